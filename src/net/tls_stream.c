// See tls_stream.h.
#include "net/tls_stream.h"

#include "base/limits.h"
#include "tls/crypto.h"

#define SEALED_BYTES_MAX KIB(64)

static_assert(IO_GOODBYE_BYTES_MAX >= TLS_ALERT_BYTES_MAX, "close_notify fits");

// --- Receiving.

static void broken(struct io_stream *s, int err, const char *why)
{
    struct net_tls *t = s->filter_ctx;
    t->why = why;
    if (!s->rx_err) s->rx_err = err;
}

// The beginning of a record, kept until the rest comes. False: no memory.
static bool keep(struct net_tls *t, struct io_stream *s, const uint8_t *p, uint32_t n, uint32_t need)
{
    if (n < TLS_RECORD_HEAD_BYTES) {
        memcpy(t->head, p, n);
        t->head_n = n;
        return true;
    }
    t->part = io_buf_region(s->loop, need);
    if (!t->part) return false;
    memcpy(t->part->data, p, n);
    t->part->len = n;
    t->part_need = need;
    t->head_n = 0;
    return true;
}

// Opens all whole records of a buffer, in place, and brings their contents together.
static void open_all(struct net_tls *t, struct io_stream *s, struct io_buf *b)
{
    uint8_t *at = b->data + b->off, *out = NULL;
    uint32_t left = b->len, out_n = 0;
    int err = 0;
    struct tls_opened o = {0};
    while (left > 0 && !s->eof) {
        const int r = tls_record_open(&t->records, at, left, &o);
        if (r < 0) err = r;
        else if (r == 0 && !keep(t, s, at, left, o.need)) err = RW_E_BUDGET;
        if (r <= 0) break;
        at += o.used;
        left -= o.used;
        if (o.n > 0 && out) memmove(out + out_n, o.data, o.n);
        else if (o.n > 0) out = o.data;
        out_n += o.n;
        s->eof = s->eof || o.closed;
    }
    if (out_n > 0) {
        b->off = (uint32_t)(out - b->data);
        b->len = out_n;
        io_stream_push(s, b);
    } else {
        io_buf_free(s->loop, b);
    }
    // Behind what came before it.
    if (err) broken(s, err, err == RW_E_BUDGET ? "memory" : o.why);
}

// Moves bytes of b to the record that is coming in pieces.
static void complete(struct net_tls *t, struct io_stream *s, struct io_buf *b)
{
    if (!t->part) {
        struct tls_opened o;
        while (t->head_n < TLS_RECORD_HEAD_BYTES && b->len > 0) {
            t->head[t->head_n++] = b->data[b->off++];
            b->len--;
        }
        if (t->head_n < TLS_RECORD_HEAD_BYTES) return;
        const int r = tls_record_open(&t->records, t->head, TLS_RECORD_HEAD_BYTES, &o);
        if (r < 0) broken(s, r, o.why);
        else if (!keep(t, s, t->head, TLS_RECORD_HEAD_BYTES, o.need)) broken(s, RW_E_BUDGET, "memory");
        if (s->rx_err) return;
    }
    const uint32_t lacks = t->part_need - t->part->len, n = b->len < lacks ? b->len : lacks;
    memcpy(t->part->data + t->part->len, b->data + b->off, n);
    t->part->len += n;
    b->off += n;
    b->len -= n;
    if (t->part->len < t->part_need) return;
    struct io_buf *whole = t->part;
    t->part = NULL;
    open_all(t, s, whole);
}

static void received(struct io_stream *s, struct io_buf *b)
{
    struct net_tls *t = s->filter_ctx;
    while (b->len > 0 && (t->part || t->head_n > 0) && !s->eof && !s->rx_err) complete(t, s, b);
    if (b->len == 0 || s->eof || s->rx_err) io_buf_free(s->loop, b);
    else open_all(t, s, b);
}

static void ended(struct io_stream *s)
{
    const struct net_tls *t = s->filter_ctx;
    s->cut = !t->records.closed_in;
}

// --- Sending.

static void send_begin(struct io_stream *s, const struct iovec *iov, uint32_t n)
{
    struct net_tls *t = s->filter_ctx;
    MUST(!t->sealed);
    t->left = (struct tls_gather){.iov = iov, .n = n};
}

static int send_next(struct io_stream *s, struct iovec *ret, bool *ret_last)
{
    struct net_tls *t = s->filter_ctx;
    if (tls_gather_empty(&t->left)) return 0;
    if (!t->sealed) {
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < t->left.n; i++) bytes += t->left.iov[i].iov_len;
        const uint32_t cap = tls_seal_bytes(bytes);
        t->sealed = io_buf_region(s->loop, cap < SEALED_BYTES_MAX ? cap : SEALED_BYTES_MAX);
        if (!t->sealed) return RW_E_BUDGET;
    }
    const uint32_t n = tls_record_seal(&t->records, &t->left, t->sealed->data, t->sealed->cap);
    *ret = (struct iovec){.iov_base = t->sealed->data, .iov_len = n};
    *ret_last = tls_gather_empty(&t->left);
    return n > 0 ? 1 : 0;
}

static bool send_end(struct io_stream *s)
{
    struct net_tls *t = s->filter_ctx;
    if (t->sealed) io_buf_free(s->loop, t->sealed);
    t->sealed = NULL;
    return tls_gather_empty(&t->left);
}

// --- The end.

static uint32_t goodbye(struct io_stream *s, uint8_t *out)
{
    struct net_tls *t = s->filter_ctx;
    return tls_record_alert(&t->records, s->rx_err == RW_E_BAD ? TLS_ALERT_BAD_RECORD : TLS_ALERT_CLOSE, out);
}

static void release(struct io_stream *s)
{
    struct net_tls *t = s->filter_ctx;
    if (t->part) io_buf_free(s->loop, t->part);
    if (t->sealed) io_buf_free(s->loop, t->sealed);
    t->part = t->sealed = NULL;
}

static const struct io_filter filter = {.received = received,
                                        .ended = ended,
                                        .send = send_begin,
                                        .next = send_next,
                                        .sent = send_end,
                                        .goodbye = goodbye,
                                        .release = release};

void net_tls_done(struct net_tls *t)
{
    crypto_wipe(&t->records, sizeof t->records);
}

// --- The handshake.

struct step {
    struct tls_handshake *h;
    struct tls_turn turn;
};

static int take_step(void *arg)
{
    struct step *x = arg;
    tls_handshake_turn(x->h, &x->turn);
    return 0;
}

// Of a wait or a transfer that failed.
static int lost(int err, enum tls_why *ret_why)
{
    if (err == -ECANCELED) return err;
    *ret_why = err == -ETIME ? TLS_TIMEOUT : err == RW_E_BUDGET ? TLS_NO_MEMORY : TLS_CUT;
    return RW_E_TLS;
}

static int shake(struct io_stream *s, struct io_offload *pool, struct tls_handshake *h, int64_t deadline_ns,
                 enum tls_why *ret_why)
{
    for (;;) {
        const struct span in = io_stream_front(s);
        struct step x = {.h = h, .turn = {.in = in.p, .in_n = in.n}};
        // Without input there is little to do: a client words its greeting.
        const int r = pool && in.n > 0 ? io_offload(pool, take_step, &x) : take_step(&x);
        if (r == -EAGAIN) {
            *ret_why = TLS_BUSY;
            return RW_E_TLS;
        }
        if (x.turn.used > 0) io_stream_consume(s, x.turn.used);
        if (x.turn.step == TLS_FAILED) {
            if (x.turn.out.n > 0) io_stream_send_now(s, x.turn.out.p, x.turn.out.n);
            *ret_why = tls_handshake_why(h);
            return RW_E_TLS;
        }
        if (x.turn.out.n > 0) {
            struct iovec iov = {.iov_base = (void *)(uintptr_t)x.turn.out.p, .iov_len = x.turn.out.n};
            const int sent = io_stream_send(s, &iov, 1, false, deadline_ns);
            // A peer that refuses says why before it closes.
            if (sent < 0 && (s->unread == 0 || sent == -ECANCELED || sent == -ETIME))
                return lost(sent, ret_why);
        }
        if (x.turn.step == TLS_DONE) return 0;
        if (x.turn.step == TLS_WANTS_INPUT && s->unread == 0) {
            const int got = io_stream_fill(s, 0, deadline_ns);
            if (got <= 0) return lost(got, ret_why);
        }
    }
}

// Hands the keys over and begins to use them, or not; gives the memory back.
static void settle(struct net_tls *t, struct io_stream *s, struct io_buf *memory, struct tls_handshake *h,
                   bool good, struct tls_session *session)
{
    if (good) {
        *t = (struct net_tls){.why = ""};
        tls_handshake_finish(h, &t->records, session, &t->info);
        io_stream_filter(s, &filter, t);
    }
    tls_handshake_end(h);
    io_buf_free(s->loop, memory);
}

int net_tls_connect(struct net_tls *t, struct io_stream *s, struct io_offload *pool,
                    struct tls_client *client, struct tls_session *session, int64_t deadline_ns,
                    enum tls_why *ret_why)
{
    struct io_buf *memory = io_buf_region(s->loop, TLS_HANDSHAKE_BYTES);
    if (!memory) return lost(RW_E_BUDGET, ret_why);
    struct tls_handshake *h = tls_client_start(memory->data, client, session, s->loop->wall_ns);
    const int r = shake(s, pool, h, deadline_ns, ret_why);
    // A session that did not help is not offered again.
    if (r < 0) *session = (struct tls_session){.usable = false};
    settle(t, s, memory, h, r == 0, session);
    return r;
}

int net_tls_accept(struct net_tls *t, struct io_stream *s, struct io_offload *pool, struct tls_server *server,
                   int64_t deadline_ns, enum tls_why *ret_why)
{
    struct io_buf *memory = io_buf_region(s->loop, TLS_HANDSHAKE_BYTES);
    if (!memory) return lost(RW_E_BUDGET, ret_why);
    struct tls_handshake *h = tls_server_start(memory->data, server, s->loop->wall_ns);
    const int r = shake(s, pool, h, deadline_ns, ret_why);
    settle(t, s, memory, h, r == 0, NULL);
    return r;
}
