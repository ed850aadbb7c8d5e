// Requests that are made once: Idempotency-Key. The first request with a key is served as any other, and its answer is on disk
// before its last bytes leave; whoever sends the same key with the same request within a day is given that answer, and nobody is
// asked or billed again. While the first is under way the others wait for it, on whatever worker they are. The same key with
// another request is refused.
//
// Key      of the client's API key: others may use the same words. Of JSON requests only.
// Failed   errors, what broke off and answers longer than CACHE_ANSWER_BYTES_MAX are not kept: the next one asks again. So does a
//          repeat after the process was killed before the answer was on disk, and the ledger shows both.
// Process  claims are those of one process. While two overlap, what one of them keeps the other does not find.
// Thread   the claims are shared by all workers, under a lock that is held for a few instructions. exchange_once() and
//          once_commit() suspend.
#ifndef RINGWAY_GATEWAY_ONCE_H
#define RINGWAY_GATEWAY_ONCE_H

#include <pthread.h>

#include "gateway/exchange.h"
#include "store/cache.h"

struct store_writer;

#define ONCE_BUCKETS 256

// The process's.
struct once {
    struct store_answers *kept;
    struct store_writer *writer; // woken for each answer, since a client waits for it
    pthread_mutex_t lock;
    struct list claims[ONCE_BUCKETS];
};

void once_open(struct once *o, struct store_answers *kept, struct store_writer *writer);
void once_close(struct once *o);

// --- The exchange's, while x->claim is set.

// Before the last bytes leave: suspends until the answer is on disk, or cannot be kept.
void once_commit(struct exchange *x);
// The exchange has ended: others may have the claim.
void once_leave(struct exchange *x);

#endif
