// Credentials as workers use them: what is to be told to a provider beside what is fixed in its plan. Control makes them, renews
// them and hands each worker a new one (worker_credential()); a worker writes it into the heads of its requests.
//
// Use      credential_fields() or credential_sigv4() make one, held by the caller; credential_hold() for each who keeps it,
//          credential_drop() when done: the last one wipes it. credential_seat_take() puts it into a worker's seat, which
//          has what is computed from it (the signer with its key of the day). credential_authorize() before a request.
// Owner    immutable and counted; a seat belongs to its worker.
// Thread   any, but for seats. credential_authorize() suspends: large bodies are hashed in slices.
// Source   for SigV4, see tls/sigv4.h.
#ifndef RINGWAY_GATEWAY_CREDENTIAL_H
#define RINGWAY_GATEWAY_CREDENTIAL_H

#include <stdatomic.h>

#include "base/err.h"
#include "base/span.h"
#include "tls/sigv4.h"

struct ask;

// Header lines of a plain credential, or access key, secret key and session token together.
#define CREDENTIAL_BYTES_MAX 16384

struct credential {
    _Atomic uint32_t refs;
    int64_t expires_s; // Unix time; 0: never
    struct span lines; // complete header lines; n 0: requests are signed
    struct sigv4_credentials aws;
    struct span region, service;
    size_t n;
    uint8_t bytes[];
};

// Copies of what is handed in. NULL: no memory, or longer than CREDENTIAL_BYTES_MAX.
struct credential *credential_fields(struct span lines, int64_t expires_s);
struct credential *credential_sigv4(const struct sigv4_credentials *aws, struct span region,
                                    struct span service, int64_t expires_s);
const struct credential *credential_hold(const struct credential *c); // returns it; NULL is fine
void credential_drop(const struct credential *c); // NULL is fine

struct credential_seat {
    const struct credential *credential; // NULL: there is none yet
    struct sigv4_signer signer;
};

// The seat holds it from now on; NULL empties it.
void credential_seat_take(struct credential_seat *seat, const struct credential *c);

// Sets a->authorization, in the arena, from the seat of the provider. 0, or an error with a->end and a->detail set.
int credential_authorize(struct ask *a) RW_WARN_UNUSED;

#endif
