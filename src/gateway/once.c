// See once.h.
#include "gateway/once.h"

#include "gateway/cache.h"
#include "gateway/flight.h"
#include "gateway/worker.h"
#include "store/writer.h"
#include "tls/crypto.h"

// How often those who wait look whether the first has its answer.
#define LOOK_NS (10 * CLOCK_MS)
#define KEPT_MS INT64_C(86400000)
#define VALUE_BYTES_MAX 255

struct once_claim {
    struct list node; // of its bucket, under the lock
    uint8_t id[CRYPTO_SHA256_BYTES]; // whose key, and its words
    uint8_t request[CRYPTO_SHA256_BYTES]; // what is asked
    bool tried; // to keep the answer
};

void once_open(struct once *o, struct store_answers *kept, struct store_writer *writer)
{
    o->kept = kept;
    o->writer = writer;
    pthread_mutex_init(&o->lock, NULL);
    for (uint32_t i = 0; i < ONCE_BUCKETS; i++) list_init(&o->claims[i]);
}

void once_close(struct once *o)
{
    pthread_mutex_destroy(&o->lock);
}

static void make_id(const struct exchange *x, struct span words, uint8_t ret[CRYPTO_SHA256_BYTES])
{
    const struct principal *p = x->principal;
    struct crypto_sha256 hash;
    crypto_sha256_init(&hash);
    crypto_sha256_update(&hash, &p->key_id, sizeof p->key_id);
    if (!p->key_id) crypto_sha256_update(&hash, p->digest, sizeof p->digest);
    crypto_sha256_update(&hash, words.p, words.n);
    crypto_sha256_final(&hash, ret);
}

// 0, or -ECANCELED: a long body is hashed in slices.
static int hash_request(const struct exchange *x, uint8_t ret[CRYPTO_SHA256_BYTES])
{
    struct crypto_sha256 hash;
    crypto_sha256_init(&hash);
    const struct span target = http_target(&x->call->head);
    crypto_sha256_update(&hash, target.p, target.n);
    crypto_sha256_update(&hash, "", 1);
    for (uint32_t at = 0; at < x->body.n; at += IO_BYTES_PER_SLICE) {
        const uint32_t left = x->body.n - at;
        if (at > 0 && fiber_yield() < 0) return -ECANCELED;
        crypto_sha256_update(&hash, x->body.p + at, left < IO_BYTES_PER_SLICE ? left : IO_BYTES_PER_SLICE);
    }
    crypto_sha256_final(&hash, ret);
    return 0;
}

static bool is_same(const uint8_t a[CRYPTO_SHA256_BYTES], const uint8_t b[CRYPTO_SHA256_BYTES])
{
    return memcmp(a, b, CRYPTO_SHA256_BYTES) == 0;
}

enum claimed { CLAIM_MINE, CLAIM_TAKEN, CLAIM_OTHERS };

// CLAIM_OTHERS: taken, for another request.
static enum claimed claim(struct once *o, struct once_claim *c)
{
    struct list *bucket = &o->claims[c->id[0]];
    enum claimed r = CLAIM_MINE;
    pthread_mutex_lock(&o->lock);
    LIST_EACH(it, bucket)
    {
        const struct once_claim *other = LIST_OWNER(it, struct once_claim, node);
        if (is_same(other->id, c->id)) r = is_same(other->request, c->request) ? CLAIM_TAKEN : CLAIM_OTHERS;
    }
    if (r == CLAIM_MINE) list_push_back(bucket, &c->node);
    pthread_mutex_unlock(&o->lock);
    return r;
}

void once_leave(struct exchange *x)
{
    struct once *o = x->worker->cfg.once;
    pthread_mutex_lock(&o->lock);
    list_remove(&x->claim->node);
    pthread_mutex_unlock(&o->lock);
    x->claim = NULL;
}

static enum stage reused(struct exchange *x)
{
    return exchange_fail(x, END_KEY_REUSED, NULL);
}

// The answer that an earlier one left. STAGE_GO: there is none.
static enum stage replay(struct exchange *x, const struct flight *f)
{
    struct store_answers *kept = x->worker->cfg.once->kept;
    struct store_cache_place place;
    struct store_cache_entry e;
    struct flight_beside beside;
    if (!store_cache_find(kept, flight_hash(f), &place)) return STAGE_GO;
    struct io_buf *b = io_buf_region(x->call->loop, place.bytes);
    // Better not now than twice.
    if (!b) return exchange_fail(x, END_OVERLOADED, "memory");
    enum stage s = STAGE_GO;
    if (store_cache_read(kept, &place, flight_hash(f), flight_text(f), x->call->loop->wall_ns / CLOCK_MS,
                         b->data, &e) &&
        e.meta.n == sizeof beside) {
        memcpy(&beside, e.meta.p, sizeof beside);
        x->replayed = true;
        s = is_same(beside.request, x->claim->request) ? cache_replay(x, &beside.meta, e.body) : reused(x);
        if (s == STAGE_GO) x->replayed = false;
    }
    io_buf_free(x->call->loop, b);
    return s;
}

static enum stage lead_or_replay(struct exchange *x)
{
    uint8_t *p;
    struct flight *f = flight_new(x, CRYPTO_SHA256_BYTES, &p);
    if (!f) return exchange_fail(x, END_OVERLOADED, "memory");
    memcpy(p, x->claim->id, CRYPTO_SHA256_BYTES);
    flight_set_hash(f, store_cache_hash(x->worker->cfg.once->kept, flight_text(f)));
    const enum stage s = replay(x, f);
    if (s == STAGE_GO) flight_lead(x, f, false);
    else flight_drop(x, f);
    return s;
}

enum stage exchange_once(struct exchange *x)
{
    if (RW_LIKELY(!http_has(&x->call->head, HTTP_N_IDEMPOTENCY_KEY)) || !x->worker->cfg.once ||
        x->route->kind != ROUTE_PASS_JSON)
        return STAGE_GO;
    const struct span words = http_value(&x->call->head, HTTP_N_IDEMPOTENCY_KEY);
    if (words.n == 0 || words.n > VALUE_BYTES_MAX)
        return exchange_fail(x, END_BAD_FIELD, "The header Idempotency-Key must have 1 to 255 characters.");
    struct once_claim *c = arena_alloc(x->call->arena, sizeof *c);
    if (!c) return exchange_fail(x, END_OVERLOADED, "memory");
    list_init(&c->node);
    c->tried = false;
    make_id(x, words, c->id);
    if (hash_request(x, c->request) < 0) return exchange_fail_client(x, -ECANCELED);
    enum claimed r;
    while ((r = claim(x->worker->cfg.once, c)) == CLAIM_TAKEN)
        if (fiber_sleep(x->call->loop->now_ns + LOOK_NS) < 0) return exchange_fail_client(x, -ECANCELED);
    if (r == CLAIM_OTHERS) return reused(x);
    x->claim = c;
    return lead_or_replay(x);
}

void once_commit(struct exchange *x)
{
    struct once *o = x->worker->cfg.once;
    if (x->claim->tried || !x->flight || x->end != END_OK || x->error_sent) return;
    x->claim->tried = true;
    flight_commit(x, o->kept, x->claim->request, KEPT_MS, o->writer);
}
