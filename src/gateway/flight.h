// Flights: an answer that is on its way while others ask for the same. Whoever asks first leads: his exchange runs as it always
// does, and what it sends is kept beside. Who asks for the same meanwhile, on the same worker, rides along: he is given what was
// kept, and then what comes, as it comes. When the answer is whole it is handed to the writer, and its flight can be joined until
// it is in the cache.
//
// Apart    from the first rider on the leader's own client is served by a fiber like a rider's, so that a client that does not
//          read holds nobody but itself; and the leader is shielded from his client's leaving until no rider is left. While
//          the leader is in the middle of a write of his own nobody can join, and who would goes on by himself.
// Memory   an answer is kept once, charged to the worker's budget, at most CACHE_ANSWER_BYTES_MAX of it; beyond that, riders
//          are told that it broke off, and the leader goes on alone.
// Failed   riders who have sent nothing yet go on by themselves, after a moment of chance; the others end as the leader does.
// Thread   the worker's. flight_follow() and flight_land() suspend.
#ifndef RINGWAY_GATEWAY_FLIGHT_H
#define RINGWAY_GATEWAY_FLIGHT_H

#include "gateway/cache.h"
#include "gateway/exchange.h"
#include "tls/crypto.h"

#define FLIGHT_BUCKETS 1024

struct flight;
struct store_writer;

// What stands beside an answer in the store: in the cache meta alone.
struct flight_beside {
    uint8_t request[CRYPTO_SHA256_BYTES]; // of once.h
    struct cache_meta meta;
};

// A worker's.
struct flights {
    struct list bucket[FLIGHT_BUCKETS];
    uint32_t posted; // with the writer
};

void flights_init(struct flights *all);

// Room for a key of so many bytes, in a flight that is nobody's yet; NULL: there is no memory.
struct flight *flight_new(struct exchange *x, uint32_t key_bytes, uint8_t **ret_key);
void flight_drop(struct exchange *x, struct flight *f);
struct span flight_text(const struct flight *f);
uint64_t flight_hash(const struct flight *f);
void flight_set_hash(struct flight *f, uint64_t hash);

// The one under way that has the key of f and is not full; NULL: none.
struct flight *flight_find(const struct exchange *x, const struct flight *f);

// x leads f from now on: x->flight. joinable: others may find it.
void flight_lead(struct exchange *x, struct flight *f, bool joinable);

// Answers x with what f brings. STAGE_GO: it brought nothing, x has to ask himself.
enum stage flight_follow(struct exchange *x, struct flight *f);

// --- The leader's, while x->flight is set.

// The answer's head is known. False: it is sent elsewhere, not by the caller.
bool flight_head(struct exchange *x, uint64_t length);
enum flight_way {
    FLIGHT_SEND, // the caller sends it; flight_sent() behind it
    FLIGHT_SENT, // others do
    FLIGHT_FAIL, // x->end says why
};
enum flight_way flight_take(struct exchange *x, const struct iovec *iov, uint32_t n);
void flight_sent(struct exchange *x);
// Keeps what has come so far, which is all of the answer, and suspends, shielded, until it is on disk or cannot be.
// request stands beside it. The flight is nobody else's.
void flight_commit(struct exchange *x, struct store_answers *to, const uint8_t request[CRYPTO_SHA256_BYTES],
                   int64_t keep_ms, struct store_writer *writer);
// The exchange is through with its answer. x->flight is NULL behind it.
enum stage flight_land(struct exchange *x, enum stage s);

#endif
