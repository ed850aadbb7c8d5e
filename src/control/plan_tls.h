// TLS of providers and listeners: from the files that a configuration names to what handshakes read.
//
// Use      plan_tls_client() for every https provider, plan_tls_server() for every listener with TLS, administration's too, at
//          start, at each reload and in `ringway check`. They read the files anew; if nothing in them has changed, what was made
//          before stays, so that sessions can be resumed.
// Trust    without ca_file the system's: $SSL_CERT_FILE, else the first bundle found where distributions keep one.
// Owner    the caller holds what he gets once more; plan_tls_done() lets go of the rest.
// Thread   control.
#ifndef RINGWAY_CONTROL_PLAN_TLS_H
#define RINGWAY_CONTROL_PLAN_TLS_H

#include "control/config.h"
#include "tls/crypto.h"
#include "tls/tls.h"

// The system's trust store is read once for all providers without ca_file. All zero: not read yet.
struct plan_tls {
    struct tls_trust *system;
    uint8_t system_digest[CRYPTO_SHA256_BYTES];
    const char *system_path;
    struct plan_tls_file *files; // that were read
    int64_t warned_day; // of the clock, when expiry was last looked at; 0: not since the files were read
};

// Before a new configuration is looked at: the system's store is to be read again.
void plan_tls_refresh(struct plan_tls *t);
void plan_tls_done(struct plan_tls *t);

// What a client was made from; the same bytes make the same client.
struct plan_tls_made {
    struct tls_client *client; // NULL: none yet
    uint8_t digest[CRYPTO_SHA256_BYTES];
};

// For an https provider: *made is replaced if its files have changed. False with *ret_why: made is as it was.
bool plan_tls_client(struct plan_tls *t, const struct config_provider *p, struct plan_tls_made *made,
                     char *ret_why, uint32_t cap);

// The same for listen[i].tls, or for admin.tls.
#define PLAN_TLS_ADMIN UINT32_MAX
struct plan_tls_served {
    struct tls_server *server;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    uint8_t client_digest[CRYPTO_SHA256_BYTES]; // of where it listens and whose certificates it takes
};
bool plan_tls_server(struct plan_tls *t, const struct config *c, uint32_t i, struct plan_tls_served *made,
                     char *ret_why, uint32_t cap);

// What a connection remembers of its client: another one once the certificate would have to be looked at anew, because the
// listener, its client_ca or the identity is another one.
uint64_t plan_tls_peer_id(const struct plan_tls_served *made, const struct config_identity *who);

// Whether a file that was read since plan_tls_refresh() is another one now.
bool plan_tls_changed(const struct plan_tls *t);

// A file with a certificate that is shown to others, and when the first certificate in it expires (Unix time).
struct plan_tls_expiry {
    const char *path; // until the next plan_tls_refresh()
    int64_t expires_s;
};
// False: there are i of them or fewer.
bool plan_tls_expiry(const struct plan_tls *t, uint32_t i, struct plan_tls_expiry *ret);
// Often: warns in the log of those that expire within 30 days, when they were read anew and once a day.
void plan_tls_look(struct plan_tls *t, int64_t wall_ns);

// The system's store, for doctor: NULL with *ret_why, else its path and the number of its certificates.
const char *plan_tls_system(struct plan_tls *t, uint32_t *ret_count, char *ret_why, uint32_t cap);

#endif
