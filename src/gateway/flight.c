// See flight.h.
#include "gateway/flight.h"

#include "gateway/account.h"
#include "gateway/cache.h"
#include "gateway/relay.h"
#include "gateway/revoke.h"
#include "gateway/worker.h"
#include "store/writer.h"

// How long one waits for the leader to be through with a write of his own.
#define JOIN_NS (20 * CLOCK_MS)
// Riders of a flight that failed do not ask all at once.
#define ALONE_NS_MAX (50 * CLOCK_MS)
// How often the leader's client is looked after.
#define LOOK_NS (100 * CLOCK_MS)
#define PIECE_FIRST_BYTES KIB(4)
#define PIECE_BYTES_MAX KIB(256)
// Of a worker, with the writer: what is beyond is not kept.
#define POSTED_MAX 256

enum flight_state {
    FLIGHT_NEW,
    FLIGHT_UNDER_WAY,
    FLIGHT_LANDED, // all of it is there
    FLIGHT_FAILED,
};

// Somebody who is given what comes.
struct rider {
    struct list node;
    struct fiber_event more;
    uint32_t sent; // bytes
    struct io_buf *piece; // where they end; NULL: nowhere yet
    uint32_t piece_sent; // of it
};

struct flight {
    struct list node; // of its bucket; unlinked: it cannot be found
    struct worker *worker;
    struct io_buf *self; // where this and the key lie
    struct fiber *fiber; // the leader's
    struct exchange *leader; // while under way
    struct list riders;
    uint32_t rider_count; // the leader's own client among them, once apart
    uint32_t refs;
    enum flight_state state;
    bool apart; // the leader's client is served by a fiber of its own
    bool writing; // the leader sends to his client himself
    bool abandoned; // nobody is left to whom it matters
    bool head; // what the head says is known
    bool lost; // there was no room for all of it
    bool unshared; // it is the leader's client's alone, and not kept
    bool error_sent; // the provider's own error is in it
    bool mid_event;
    uint64_t hash;
    uint64_t length; // as the head says
    struct io_buf *first, *last; // what came, in pieces that stay where they are
    uint32_t pieces, bytes;
    struct scope own; // the fiber that serves the leader's client
    struct rider own_rider;
    int own_result;
    enum rw_end end;
    const char *detail;
    struct flight_beside beside;
    struct fiber_event on_disk;
    struct io_mail written; // from the writer
    struct store_cache_put put;
    struct iovec iov[STORE_CACHE_IOV_MAX];
    uint32_t key_n;
    uint8_t key[];
};
static_assert(PIECE_FIRST_BYTES + 40 * (uint64_t)PIECE_BYTES_MAX > CACHE_ANSWER_BYTES_MAX,
              "the longest answer fits its pieces");

void flights_init(struct flights *all)
{
    for (uint32_t i = 0; i < FLIGHT_BUCKETS; i++) list_init(&all->bucket[i]);
    all->posted = 0;
}

struct flight *flight_new(struct exchange *x, uint32_t key_bytes, uint8_t **ret_key)
{
    struct io_buf *self = io_buf_region(x->call->loop, (uint32_t)sizeof(struct flight) + key_bytes);
    if (!self) return NULL;
    struct flight *f = (struct flight *)(void *)self->data;
    memset(f, 0, offsetof(struct flight, beside));
    f->worker = x->worker;
    f->self = self;
    f->key_n = key_bytes;
    f->refs = 1;
    list_init(&f->node);
    list_init(&f->riders);
    *ret_key = f->key;
    return f;
}

struct span flight_text(const struct flight *f)
{
    return span_of(f->key, f->key_n);
}

uint64_t flight_hash(const struct flight *f)
{
    return f->hash;
}

void flight_set_hash(struct flight *f, uint64_t hash)
{
    f->hash = hash;
}

static void release(struct flight *f)
{
    struct io_loop *loop = &f->worker->loop;
    if (--f->refs > 0) return;
    list_remove(&f->node);
    for (struct io_buf *b = f->first, *next; b; b = next) {
        next = b->next;
        io_buf_free(loop, b);
    }
    io_buf_free(loop, f->self);
}

void flight_drop(struct exchange *x, struct flight *f)
{
    (void)x;
    MUST(f->state == FLIGHT_NEW);
    release(f);
}

// New, then under way, then over.
static void flight_to(struct flight *f, enum flight_state to)
{
    MUST(to == FLIGHT_UNDER_WAY ? f->state == FLIGHT_NEW : f->state == FLIGHT_UNDER_WAY);
    f->state = to;
}

static struct list *bucket(const struct exchange *x, uint64_t hash)
{
    return &x->worker->flights->bucket[hash % FLIGHT_BUCKETS];
}

struct flight *flight_find(const struct exchange *x, const struct flight *f)
{
    LIST_EACH(it, bucket(x, f->hash))
    {
        struct flight *other = LIST_OWNER(it, struct flight, node);
        const struct span theirs = flight_text(other);
        if (other->hash == f->hash && !other->abandoned && span_eq(theirs, flight_text(f))) return other;
    }
    return NULL;
}

void flight_lead(struct exchange *x, struct flight *f, bool joinable)
{
    flight_to(f, FLIGHT_UNDER_WAY);
    f->leader = x;
    f->fiber = fiber_self();
    memset(&f->beside, 0, sizeof f->beside);
    fiber_event_init(&f->on_disk);
    f->beside.meta.version = CACHE_META_VERSION;
    f->beside.meta.form = cache_form(x);
    scope_init(&f->own, x->call->loop);
    if (joinable) list_push_front(bucket(x, f->hash), &f->node);
    x->flight = f;
}

static void wake_all(struct flight *f)
{
    LIST_EACH(it, &f->riders) fiber_event_set(&LIST_OWNER(it, struct rider, node)->more);
}

// --- What came.

static bool piece_add(struct flight *f, uint32_t more)
{
    uint32_t cap = f->last ? f->last->cap * 2 : PIECE_FIRST_BYTES;
    if (!f->last && f->length != CALL_CHUNKED && f->length <= CACHE_ANSWER_BYTES_MAX)
        cap = (uint32_t)f->length;
    else if (cap > PIECE_BYTES_MAX) cap = PIECE_BYTES_MAX;
    if (f->pieces == STORE_CACHE_IOV_MAX) return false;
    struct io_buf *b = io_buf_region(&f->worker->loop, cap ? cap : more);
    if (!b) return false;
    b->next = NULL;
    b->off = b->len = 0;
    if (f->last) f->last->next = b;
    else f->first = b;
    f->last = b;
    f->pieces++;
    return true;
}

static bool keep(struct flight *f, const uint8_t *p, size_t n)
{
    if (n > CACHE_ANSWER_BYTES_MAX - f->bytes) return false;
    while (n > 0) {
        if ((!f->last || f->last->len == f->last->cap) && !piece_add(f, (uint32_t)n)) return false;
        struct io_buf *b = f->last;
        const uint32_t step = n < b->cap - b->len ? (uint32_t)n : b->cap - b->len;
        memcpy(b->data + b->len, p, step);
        b->len += step;
        f->bytes += step;
        p += step;
        n -= step;
    }
    return true;
}

// What was kept behind what the rider has; at most CALL_IOV_MAX pieces, moved past.
static uint32_t next_pieces(const struct flight *f, struct rider *r, struct iovec iov[CALL_IOV_MAX])
{
    uint32_t n = 0;
    while (r->sent < f->bytes && n < CALL_IOV_MAX) {
        if (!r->piece) r->piece = f->first;
        if (r->piece_sent == r->piece->len) {
            r->piece = r->piece->next;
            r->piece_sent = 0;
            continue;
        }
        const uint32_t step = r->piece->len - r->piece_sent;
        iov[n++] = (struct iovec){.iov_base = r->piece->data + r->piece_sent, .iov_len = step};
        r->piece_sent += step;
        r->sent += step;
    }
    return n;
}

// --- Riders, the leader's own client among them.

static void rider_add(struct flight *f, struct rider *r)
{
    *r = (struct rider){0};
    fiber_event_init(&r->more);
    list_push_back(&f->riders, &r->node);
    f->rider_count++;
    f->refs++;
}

static void rider_gone(struct flight *f, struct rider *r)
{
    list_remove(&r->node);
    f->rider_count--;
    if (f->rider_count == 0 && f->state == FLIGHT_UNDER_WAY && f->apart && !f->abandoned) {
        f->abandoned = true;
        list_remove(&f->node);
        fiber_unshield_of(f->fiber);
    }
    release(f);
}

// Waits for news. Negative: the rider is to stop.
static int rider_wait(struct rider *r, int64_t until_ns)
{
    const int got = fiber_wait(&r->more, until_ns);
    fiber_event_clear(&r->more);
    return got;
}

// Nothing more can come of it for this one.
static bool is_over(const struct flight *f, bool mine)
{
    return f->state == FLIGHT_FAILED || (f->unshared && !mine);
}

// Until there is something to send: 1, or 0 when nothing more will come, or negative.
static int ride_on(struct exchange *x, struct flight *f, struct rider *r)
{
    const bool mine = x == f->leader, live = f->beside.meta.form & CACHE_STREAM;
    for (;;) {
        const bool over = is_over(f, mine);
        if (f->head && !(over && !mine && !x->call->replied) &&
            (f->state == FLIGHT_LANDED || (live && r->sent < f->bytes)))
            return 1;
        if (over) return 0;
        // The leader is shielded from his client's leaving, so this is where it is seen.
        const int got = rider_wait(r, mine ? f->worker->loop.now_ns + LOOK_NS : CLOCK_NEVER);
        if (mine && fiber_reason(f->fiber) != END_OK) return -ECANCELED;
        if (got < 0 && got != -ETIME) return got;
    }
}

// Everything up to the end of the flight, as it comes. 0: all of it is sent, or the flight has failed and all that came is; else
// how the write failed.
static int ride(struct exchange *x, struct flight *f, struct rider *r)
{
    struct call *call = x->call;
    const bool mine = x == f->leader, live = f->beside.meta.form & CACHE_STREAM;
    for (;;) {
        const int news = ride_on(x, f, r);
        if (news <= 0) return news;
        const bool landed = f->state == FLIGHT_LANDED;
        if (landed && !mine) account_saved(x, &f->beside.meta.usage);
        const struct span type = span_of(f->beside.meta.content_type, f->beside.meta.content_type_n);
        if (!call->replied && mine) relay_head(x, f->length);
        else if (!call->replied) cache_reply_start(x, type, live ? CALL_CHUNKED : f->bytes);
        x->streaming = live;
        struct iovec iov[CALL_IOV_MAX];
        uint64_t bytes = 0;
        const uint32_t n = next_pieces(f, r, iov);
        for (uint32_t i = 0; i < n; i++) bytes += iov[i].iov_len;
        const bool last = landed && r->sent == f->bytes;
        if (!mine && last) {
            exchange_charge(x, 200, bytes);
            account_commit(x);
        }
        const int sent = call->ops->reply_write(call, iov, n, last, exchange_write_until(x));
        if (sent < 0) return sent;
        if (!mine) x->answer_bytes += bytes;
        if (last) return 0;
    }
}

static int serve_own(void *arg)
{
    struct flight *f = arg;
    f->own_result = ride(f->leader, f, &f->own_rider);
    rider_gone(f, &f->own_rider);
    return 0;
}

// From now on the leader's client is one of the riders. False: it cannot be, now or at all.
static bool set_apart(struct flight *f)
{
    if (f->apart) return true;
    if (f->writing || scope_spawn(&f->own, serve_own, f) != RW_OK) return false;
    f->apart = true;
    rider_add(f, &f->own_rider);
    f->own_rider.sent = f->bytes;
    f->own_rider.piece = f->last;
    f->own_rider.piece_sent = f->last ? f->last->len : 0;
    fiber_shield_of(f->fiber);
    return true;
}

static bool join(struct flight *f, struct rider *r)
{
    const int64_t until = f->worker->loop.now_ns + JOIN_NS;
    while (f->state == FLIGHT_UNDER_WAY && f->writing && !f->apart)
        if (rider_wait(r, until) < 0) return false;
    if (f->state == FLIGHT_UNDER_WAY) return !f->abandoned && set_apart(f);
    return f->state == FLIGHT_LANDED;
}

// The flight is over and the rider wants the answer in another form.
static enum stage replay(struct exchange *x, struct flight *f)
{
    struct io_buf *all = io_buf_region(x->call->loop, f->bytes ? f->bytes : 1);
    if (!all) return STAGE_GO;
    all->off = all->len = 0;
    for (const struct io_buf *b = f->first; b; b = b->next) {
        memcpy(all->data + all->len, b->data, b->len);
        all->len += b->len;
    }
    const enum stage s = cache_replay(x, &f->beside.meta, span_of(all->data, all->len));
    io_buf_free(x->call->loop, all);
    return s;
}

static enum stage cancelled(struct exchange *x)
{
    const enum rw_end why = fiber_cancelled();
    return exchange_fail(x, why != END_OK ? why : END_SEND_FAILED, NULL);
}

// The flight ended early, and the rider with it.
static enum stage fail_with(struct exchange *x, const struct flight *f)
{
    x->mid_event = f->mid_event;
    x->error_sent = f->error_sent;
    return exchange_fail(x, f->end, f->detail);
}

static enum stage rider_end(struct exchange *x, struct flight *f, int result)
{
    if (result < 0) return cancelled(x);
    if (x->call->ended) return STAGE_DONE;
    if (f->state == FLIGHT_LANDED && !f->unshared) return replay(x, f);
    if (x->call->replied) return fail_with(x, f);
    // Nothing was sent: he asks himself.
    const int64_t moment = (int64_t)prng_below(&x->worker->prng, ALONE_NS_MAX);
    return fiber_sleep(x->call->loop->now_ns + moment) < 0 ? cancelled(x) : STAGE_GO;
}

static int wait_landed(struct flight *f, struct rider *r)
{
    while (f->state == FLIGHT_UNDER_WAY && !f->unshared) {
        const int got = rider_wait(r, CLOCK_NEVER);
        if (got < 0) return got;
    }
    return 0;
}

enum stage flight_follow(struct exchange *x, struct flight *f)
{
    struct rider r;
    rider_add(f, &r);
    enum stage s = STAGE_GO;
    if (join(f, &r)) {
        const bool same = f->beside.meta.form == cache_form(x);
        x->cache = STORE_CACHE_HIT;
        account_hit(x);
        if (x->plan->revoke_cuts && x->stream) revoke_watch(x);
        s = rider_end(x, f, same ? ride(x, f, &r) : wait_landed(f, &r));
        if (s == STAGE_GO) x->cache = STORE_CACHE_MISS;
    } else if (fiber_cancelled() != END_OK) {
        s = cancelled(x);
    }
    rider_gone(f, &r);
    return s;
}

// --- The leader.

bool flight_head(struct exchange *x, uint64_t length)
{
    struct flight *f = x->flight;
    const struct span type = x->ask.content_type;
    if (f->head) return !f->apart;
    f->head = true;
    f->length = length;
    // What was cut short for one client is not another's answer.
    if (x->ask.status != 200 || x->clamped || type.n == 0 || type.n > CACHE_TYPE_BYTES_MAX) {
        f->unshared = true;
        list_remove(&f->node);
    }
    if (type.n <= CACHE_TYPE_BYTES_MAX) {
        f->beside.meta.content_type_n = (uint8_t)type.n;
        memcpy(f->beside.meta.content_type, type.p, type.n);
    }
    return !f->apart;
}

enum flight_way flight_take(struct exchange *x, const struct iovec *iov, uint32_t n)
{
    struct flight *f = x->flight;
    for (uint32_t i = 0; i < n && !f->lost; i++)
        if (!keep(f, iov[i].iov_base, iov[i].iov_len)) f->lost = true;
    if (f->lost) list_remove(&f->node);
    f->mid_event = x->mid_event;
    if (f->apart) {
        if (f->lost) {
            exchange_fail(x, END_OVERLOADED, "memory for an answer that several wait for");
            return FLIGHT_FAIL;
        }
        if (f->abandoned) {
            exchange_fail(x, fiber_cancelled() != END_OK ? fiber_cancelled() : END_SEND_FAILED, NULL);
            return FLIGHT_FAIL;
        }
        wake_all(f);
        return FLIGHT_SENT;
    }
    f->writing = true;
    return FLIGHT_SEND;
}

void flight_sent(struct exchange *x)
{
    x->flight->writing = false;
    wake_all(x->flight);
}

static void written(struct io_loop *loop, struct io_mail *mail)
{
    struct flight *f = LIST_OWNER(mail, struct flight, written);
    (void)loop;
    f->worker->flights->posted--;
    list_remove(&f->node);
    fiber_event_set(&f->on_disk);
    release(f);
}

// On the writer's thread.
static void put_done(struct store_cache_put *put, bool kept)
{
    struct flight *f = LIST_OWNER(put, struct flight, put);
    (void)kept;
    f->written.open = written;
    io_loop_post(&f->worker->loop, &f->written);
}

static void post(struct flight *f, struct store_answers *to, struct span beside, int64_t keep_ms)
{
    const int64_t now_ms = f->worker->loop.wall_ns / CLOCK_MS;
    uint32_t n = 0;
    for (struct io_buf *b = f->first; b; b = b->next)
        f->iov[n++] = (struct iovec){.iov_base = b->data, .iov_len = b->len};
    f->put = (struct store_cache_put){.hash = f->hash,
                                      .key = flight_text(f),
                                      .meta = beside,
                                      .body = f->iov,
                                      .body_n = n,
                                      .made_ms = now_ms,
                                      .expires_ms = now_ms + keep_ms,
                                      .done = put_done};
    f->refs++;
    f->worker->flights->posted++;
    store_cache_post(to, &f->put);
}

void flight_commit(struct exchange *x, struct store_answers *to, const uint8_t request[CRYPTO_SHA256_BYTES],
                   int64_t keep_ms, struct store_writer *writer)
{
    struct flight *f = x->flight;
    const bool whole = f->head && x->ask.status == 200 && !f->lost && f->beside.meta.content_type_n;
    f->unshared = true;
    if (!whole) return;
    f->beside.meta.usage = x->usage;
    memcpy(f->beside.request, request, CRYPTO_SHA256_BYTES);
    fiber_event_init(&f->on_disk);
    post(f, to, span_of(&f->beside, sizeof f->beside), keep_ms);
    store_writer_wake(writer);
    fiber_shield();
    const int r = fiber_wait(&f->on_disk, CLOCK_NEVER);
    fiber_unshield();
    MUST(r == 0);
}

enum stage flight_land(struct exchange *x, enum stage s)
{
    struct flight *f = x->flight;
    const bool whole = s == STAGE_DONE && x->end == END_OK && f->head && !f->lost && !x->error_sent;
    flight_to(f, whole ? FLIGHT_LANDED : FLIGHT_FAILED);
    if (x->end == END_STREAM_ERROR && s == STAGE_DONE) x->error_sent = true;
    f->end = x->end;
    f->detail = x->detail;
    f->error_sent = x->error_sent;
    f->beside.meta.usage = x->usage;
    if (whole && !f->unshared && x->worker->flights->posted < POSTED_MAX)
        post(f, x->worker->cfg.answers, span_of(&f->beside.meta, sizeof f->beside.meta),
             x->plan->cache->ttl_ms);
    else list_remove(&f->node);
    wake_all(f);
    x->flight = NULL;
    if (f->apart) {
        if (!f->abandoned) fiber_unshield();
        scope_join(&f->own);
        if (s == STAGE_DONE && f->own_result < 0) s = cancelled(x);
        // The error that came in the stream is its end.
        else if (s == STAGE_DONE && !whole) s = STAGE_FAIL;
    }
    f->leader = NULL;
    release(f);
    return s;
}
