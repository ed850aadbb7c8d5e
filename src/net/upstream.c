// See upstream.h.
#include "net/upstream.h"

#include <stdlib.h>

#include "base/limits.h"
#include "io/dial.h"
#include "tls/crypto.h"

#define IDLE_MAX_NS (60 * CLOCK_SEC)
#define SWEEP_NS (5 * CLOCK_SEC)
#define REFUSAL_WAIT_NS (50 * CLOCK_MS)

static_assert(UP_ADDRS_MAX <= IO_DIAL_MAX, "all addresses can be tried");

static const struct http_rules answer_rules = {
    .head_bytes_max = HTTP_HEAD_BYTES, .target_bytes_max = 1, .fields_max = HTTP_FIELDS_MAX};

// --- Connections: open, pooled, closed.

static void conn_free(struct up_conn *c)
{
    struct up_origin *o = c->origin;
    list_remove(&c->in_all);
    o->open--;
    atomic_fetch_sub_explicit(&o->shared->open, 1, memory_order_relaxed);
    if (c->tls) net_tls_done(c->tls);
    free(c->tls);
    free(c);
}

static void on_closed(struct io_stream *s)
{
    conn_free(LIST_OWNER(s, struct up_conn, s));
}

static void leave_pool(struct up_conn *c)
{
    if (!c->in_pool) return;
    c->in_pool = false;
    list_remove(&c->in_idle);
    c->origin->idle_count--;
    atomic_fetch_sub_explicit(&c->origin->shared->idle, 1, memory_order_relaxed);
}

static void conn_close(struct up_conn *c)
{
    leave_pool(c);
    if (c->piece) io_buf_free(c->s.loop, c->piece);
    if (c->whole) io_buf_free(c->s.loop, c->whole);
    c->piece = c->whole = NULL;
    io_stream_close(&c->s);
}

// On an idle connection nothing may arrive: its end, an error, and bytes nobody asked for all end it.
static void on_rx(struct io_stream *s)
{
    struct up_conn *c = LIST_OWNER(s, struct up_conn, s);
    if (!c->in_pool) return;
    c->origin->stale_total++;
    conn_close(c);
}

static void sweep(struct io_timer *t)
{
    struct up_origin *o = LIST_OWNER(t, struct up_origin, sweep);
    const int64_t now = o->loop->now_ns;
    while (!list_empty(&o->idle)) {
        struct up_conn *c = LIST_OWNER(o->idle.prev, struct up_conn, in_idle); // the oldest
        if (now - c->idle_since_ns < o->idle_max_ns) break;
        conn_close(c);
    }
    if (o->idle_count > 0) io_timer_arm(&o->loop->timers, &o->sweep, now + SWEEP_NS);
}

void up_origin_open(struct up_origin *o, struct io_loop *loop, struct up_shared *shared,
                    const struct io_addr *addrs, uint32_t addr_count, const struct io_addr *bind_to)
{
    *o = (struct up_origin){.loop = loop, .shared = shared, .idle_max_ns = IDLE_MAX_NS};
    if (bind_to) o->bind_to = *bind_to;
    list_init(&o->idle);
    list_init(&o->all);
    io_timer_init(&o->sweep, sweep);
    up_origin_addrs(o, addrs, addr_count);
}

void up_origin_addrs(struct up_origin *o, const struct io_addr *addrs, uint32_t addr_count)
{
    o->addr_count = addr_count < UP_ADDRS_MAX ? addr_count : UP_ADDRS_MAX;
    o->addr_next = 0;
    for (uint32_t i = 0; i < o->addr_count; i++) o->addr[i] = addrs[i];
}

void up_origin_tls(struct up_origin *o, struct tls_client *tls, struct io_offload *offload)
{
    o->offload = offload;
    if (o->tls == tls) return;
    tls_client_let_go(o->tls);
    o->tls = tls ? tls_client_hold(tls) : NULL;
    crypto_wipe(&o->session, sizeof o->session);
}

void up_origin_close(struct up_origin *o)
{
    o->closing = true;
    up_origin_tls(o, NULL, o->offload);
    http_memo_forget(&o->heads);
    io_timer_cancel(&o->loop->timers, &o->sweep);
    while (!list_empty(&o->idle)) conn_close(LIST_OWNER(o->idle.next, struct up_conn, in_idle));
}

// The address worked: the next connection begins with it, wherever the resolver has put it by now.
static void prefer(struct up_origin *o, const struct io_addr *addr)
{
    for (uint32_t i = 0; i < o->addr_count; i++)
        if (io_addr_eq(&o->addr[i], addr)) o->addr_next = i;
}

static int connect_any(struct up_origin *o, struct up_conn *c, int64_t deadline_ns)
{
    const struct io_addr *const bind_to = o->bind_to.n ? &o->bind_to : NULL;
    // A copy: the resolver may replace or turn the list while this fiber waits, and others that connect at the same time move
    // addr_next; one address would be tried twice and another never.
    struct io_addr addr[UP_ADDRS_MAX];
    const uint32_t n = o->addr_count, first = o->addr_next;
    if (n == 0) return -EHOSTUNREACH;
    for (uint32_t i = 0; i < n; i++) addr[i] = o->addr[(first + i) % n];
    if (n == 1)
        return io_stream_connect(&c->s, o->loop, addr, bind_to, IO_STREAM_ONCE, IO_GROUP_UPSTREAM,
                                 deadline_ns);
    uint32_t which = 0;
    const int fd = io_dial(o->loop, addr, n, bind_to, deadline_ns, &which);
    if (fd < 0) return fd;
    prefer(o, &addr[which]);
    io_stream_open(&c->s, o->loop, fd, IO_STREAM_ONCE, IO_GROUP_UPSTREAM);
    return 0;
}

// --- Through a proxy.

const char *up_proxy_why(uint32_t status)
{
    switch (status) {
    case 401:
    case 407:
        return "it wants credentials, or other ones (407): give them as proxy: "
               "http://USER:PASSWORD@HOST:PORT";
    case 400: return "it did not understand CONNECT (400): is this an HTTP proxy?";
    case 403: return "its rules forbid this provider (403): have host and port allowed there";
    case 404:
    case 405:
    case 501: return "it does not know CONNECT: this is no proxy, or one for http:// only";
    case 429: return "it has too many connections (429)";
    case 502:
    case 503: return "it cannot reach the provider (502, 503): its log says why";
    case 504: return "the provider did not answer it in time (504)";
    default: return "it refused the connection: its log says why";
    }
}

static int not_through(struct up_conn *c, const char *why)
{
    c->origin->proxy_why = why;
    return RW_E_PROXY;
}

// Asks the proxy to connect us further and reads its answer. What follows that is the provider's.
static int tunnel(struct up_conn *c, struct span request, int64_t deadline_ns)
{
    struct io_stream *s = &c->s;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)request.p, .iov_len = request.n};
    struct http_head head;
    uint32_t seen = 0;
    int r = io_stream_send(s, &iov, 1, false, deadline_ns);
    if (r == -ECANCELED) return r; // another error: it may have said why before it closed
    http_head_init(&head);
    for (;;) {
        r = io_stream_fill(s, seen, deadline_ns);
        if (r == -ECANCELED) return r;
        if (r == -ETIME) return not_through(c, "it did not answer CONNECT within timeouts.connect");
        if (r <= 0) return not_through(c, "it closed the connection without an answer");
        seen = s->unread;
        if (io_stream_front(s).n < seen)
            RW_TRY(io_stream_join(s, seen < HTTP_HEAD_BYTES ? seen : HTTP_HEAD_BYTES));
        const struct span in = io_stream_front(s);
        r = http_response_parse(in.p, in.n, &answer_rules, HTTP_METHOD_OTHER, &head);
        if (r == HTTP_NEED_MORE) continue;
        if (r < 0) return not_through(c, "it does not answer in HTTP: is this an HTTP proxy?");
        if (head.status >= 200) break;
        io_stream_consume(s, (uint32_t)r);
        http_head_init(&head);
        seen = 0;
    }
    if (head.status >= 300) return not_through(c, up_proxy_why(head.status));
    io_stream_consume(s, (uint32_t)r);
    return 0;
}

// --- Connecting.

// The connection is closed when this fails.
static int secure(struct up_conn *c, const struct up_patience *patience)
{
    struct up_origin *o = c->origin;
    c->tls = calloc(1, sizeof *c->tls);
    // The origin may get another client while this one is in use.
    struct tls_client *tls = tls_client_hold(o->tls);
    const int64_t until =
        clock_earlier(patience->until_ns, clock_deadline(o->loop->now_ns, patience->tls_ns));
    struct tls_session session = o->session;
    int r = -ENOMEM;
    if (c->tls) r = net_tls_connect(c->tls, &c->s, o->offload, tls, &session, until, &o->tls_why);
    if (tls == o->tls) o->session = session;
    crypto_wipe(&session, sizeof session);
    tls_client_let_go(tls);
    if (r < 0) conn_close(c);
    return r;
}

static int take_fresh(struct up_origin *o, const struct up_patience *patience, struct up_conn **ret)
{
    if (atomic_fetch_add_explicit(&o->shared->open, 1, memory_order_relaxed) >= o->shared->open_max) {
        atomic_fetch_sub_explicit(&o->shared->open, 1, memory_order_relaxed);
        return -EMFILE;
    }
    struct up_conn *c = calloc(1, sizeof *c);
    if (!c) {
        atomic_fetch_sub_explicit(&o->shared->open, 1, memory_order_relaxed);
        return -ENOMEM;
    }
    c->origin = o;
    list_init(&c->in_idle);
    list_push_back(&o->all, &c->in_all);
    o->open++;
    c->s.on_rx = on_rx;
    c->s.on_closed = on_closed;
    const int64_t until =
        clock_earlier(patience->until_ns, clock_deadline(o->loop->now_ns, patience->connect_ns));
    int r = connect_any(o, c, until);
    if (r < 0) {
        conn_free(c);
    } else {
        if (patience->tunnel.n > 0 && (r = tunnel(c, patience->tunnel, until)) < 0) conn_close(c);
        if (r == 0 && o->tls) r = secure(c, patience);
    }
    if (r != -ECANCELED) o->failed = r < 0;
    if (r == 0) *ret = c;
    return r;
}

int up_take(struct up_origin *o, bool fresh, const struct up_patience *patience, struct up_conn **ret)
{
    struct up_conn *c = NULL;
    if (!fresh && !list_empty(&o->idle)) {
        c = LIST_OWNER(o->idle.next, struct up_conn, in_idle);
        leave_pool(c);
        c->reused = true;
    } else {
        const int r = take_fresh(o, patience, &c);
        if (r < 0) return r;
    }
    MUST(c);
    c->answered = c->body_done = c->keep = c->sent_all = false;
    c->head_bytes = 0;
    c->bad_reason = NULL;
    c->requests++;
    *ret = c;
    return 0;
}

void up_give(struct up_conn *c)
{
    struct up_origin *o = c->origin;
    if (c->piece) io_buf_free(c->s.loop, c->piece);
    if (c->whole) io_buf_free(c->s.loop, c->whole);
    c->piece = c->whole = NULL;
    // Bytes behind an answer end the connection, as does everything that was not read to its end.
    const bool use_again = c->keep && c->body_done && c->sent_all && c->s.unread == 0 && !c->s.eof &&
        !c->s.rx_err && !c->s.tx_err && !o->closing;
    if (!use_again || atomic_load_explicit(&o->shared->idle, memory_order_relaxed) >= o->shared->idle_max) {
        conn_close(c);
        return;
    }
    c->in_pool = true;
    c->idle_since_ns = o->loop->now_ns;
    list_push_front(&o->idle, &c->in_idle);
    o->idle_count++;
    atomic_fetch_add_explicit(&o->shared->idle, 1, memory_order_relaxed);
    io_stream_want(&c->s);
    if (!io_timer_armed(&o->sweep)) io_timer_arm(&o->loop->timers, &o->sweep, o->loop->now_ns + SWEEP_NS);
}

// --- One request.

int up_send(struct up_conn *c, struct iovec *iov, uint32_t n, bool last, int64_t deadline_ns)
{
    struct io_stream *s = &c->s;
    c->sent_all = false;
    if (s->unread > 0) return 0; // the answer began before this piece
    fiber_event_clear(&s->readable);
    io_stream_want(s);
    io_stream_send_start(s, iov, n, last);
    while (s->tx.submitted) {
        struct fiber_event *const either[] = {&s->sent, &s->readable};
        const int r = fiber_wait_any(either, 2, deadline_ns);
        if (r == 1 && s->unread == 0 && !s->eof && !s->rx_err) {
            // Half a record of TLS, or a receive that was ended by something else: nothing is to be read yet.
            fiber_event_clear(&s->readable);
            io_stream_want(s);
            continue;
        }
        // The answer began while the request was still going out, or it will never come: no more is sent.
        const int sent = io_stream_send_join(s, r == 0 ? deadline_ns : 0);
        if (r < 0) return r;
        if (r == 1 && s->unread > 0) return 0;
        if (r == 1) return s->rx_err ? s->rx_err : (int)RW_E_EOF;
        if (sent < 0 && sent != s->tx_err) return sent;
    }
    // A provider that refuses may close before it has read all: its words may be on their way.
    if (s->tx_err && io_stream_fill(s, 0, s->loop->now_ns + REFUSAL_WAIT_NS) == 1) return 0;
    c->sent_all = s->tx_err == 0;
    return s->tx_err;
}

static int bad(struct up_conn *c, const char *reason)
{
    c->bad_reason = reason;
    return RW_E_BAD;
}

// Waits for more than `have` unread bytes. A broken stream of TLS says how.
static int fill_any(struct up_conn *c, uint32_t have, int64_t deadline_ns)
{
    const int r = io_stream_fill(&c->s, have, deadline_ns);
    return r == RW_E_BAD ? bad(c, c->tls->why) : r;
}

// The same for the answer's head. The end of the stream is an error here.
static int fill(struct up_conn *c, uint32_t have, int64_t deadline_ns)
{
    const int r = fill_any(c, have, deadline_ns);
    if (r == 1) c->answered = true;
    return r == 0 ? (int)RW_E_EOF : r;
}

static void body_begin(struct up_conn *c, const struct http_head *head)
{
    c->framing = head->framing;
    c->head_bytes = head->bytes;
    c->keep = c->framing.keep_alive;
    c->body_left = c->framing.kind == HTTP_BODY_LENGTH ? c->framing.length : 0;
    c->body_done =
        c->framing.kind == HTTP_BODY_NONE || (c->framing.kind == HTTP_BODY_LENGTH && c->body_left == 0);
    c->chunked = (struct http_chunked){0};
}

int up_head(struct up_conn *c, enum http_method asked, int64_t deadline_ns, struct http_head *ret)
{
    uint32_t seen = 0;
    http_head_init(ret);
    for (;;) {
        int r = fill(c, seen, deadline_ns);
        if (r < 0) return r;
        seen = c->s.unread;
        // A head over several buffers is brought together; that is rare.
        if (io_stream_front(&c->s).n < seen)
            RW_TRY(io_stream_join(&c->s, seen < HTTP_HEAD_BYTES ? seen : HTTP_HEAD_BYTES));
        const struct span in = io_stream_front(&c->s);
        r = http_response_parse_memo(in.p, in.n, &answer_rules, asked, ret, &c->origin->heads);
        if (r < 0) return bad(c, http_bad_info(r)->detail);
        if (r == HTTP_NEED_MORE) continue;
        if (ret->status >= 200) break;
        if (ret->status == 101) return bad(c, "it switched protocols unasked");
        io_stream_consume(&c->s, (uint32_t)r);
        http_head_init(ret);
        seen = 0;
    }
    // The head's bytes stay in front of the body until the first read: *ret points at them.
    body_begin(c, ret);
    return 0;
}

static void head_drop(struct up_conn *c)
{
    if (!c->head_bytes) return;
    io_stream_consume(&c->s, c->head_bytes);
    c->head_bytes = 0;
}

// Takes the framing out of the front buffer, in place. On return the piece (perhaps empty) is c->piece.
static int piece_chunked(struct up_conn *c)
{
    const struct span in = io_stream_front(&c->s);
    uint32_t used, out;
    const int r = http_chunked_decode(&c->chunked, io_stream_front_bytes(&c->s), in.n, &used, &out);
    if (r < 0) return bad(c, http_bad_info(r)->detail);
    if (r == HTTP_CHUNKED_DONE) c->body_done = true;
    struct io_buf *b = io_stream_take_bytes(&c->s, used);
    if (!b) return RW_E_BUDGET;
    b->len = out;
    c->piece = b;
    return 0;
}

static int piece_plain(struct up_conn *c)
{
    const uint32_t have = io_stream_front(&c->s).n;
    const bool bounded = c->framing.kind == HTTP_BODY_LENGTH;
    const uint32_t n = bounded && c->body_left < have ? (uint32_t)c->body_left : have;
    struct io_buf *b = io_stream_take_bytes(&c->s, n);
    if (!b) return RW_E_BUDGET;
    c->piece = b;
    if (bounded) {
        c->body_left -= n;
        c->body_done = c->body_left == 0;
    }
    return 0;
}

int up_body(struct up_conn *c, int64_t deadline_ns, struct span *ret)
{
    head_drop(c);
    for (;;) {
        if (c->piece) io_buf_free(c->s.loop, c->piece);
        c->piece = NULL;
        if (c->body_done) return 0;
        const int r = fill_any(c, 0, deadline_ns);
        if (r < 0) return r;
        if (r == 0) {
            c->keep = false;
            // An end that TLS did not announce may be anybody's.
            if (c->framing.kind != HTTP_BODY_UNTIL_CLOSE || c->s.cut) return RW_E_EOF;
            c->body_done = true;
            return 0;
        }
        const int p = c->framing.kind == HTTP_BODY_CHUNKED ? piece_chunked(c) : piece_plain(c);
        if (p < 0) return p;
        *ret = io_buf_span(c->piece);
        if (ret->n > 0) return 1;
    }
}

// A body whose length is known: received into one region, or taken as it lies when it arrived whole.
static int whole_length(struct up_conn *c, uint64_t max, int64_t deadline_ns, struct span *ret)
{
    if (c->body_left > max) return RW_E_TOO_LARGE;
    const uint32_t n = (uint32_t)c->body_left;
    while (io_stream_front(&c->s).n < n) {
        if (c->s.region_need == 0) RW_TRY(io_stream_join(&c->s, n));
        if (io_stream_front(&c->s).n >= n) break;
        const int r = fill_any(c, c->s.unread, deadline_ns);
        if (r <= 0) return r == 0 ? (int)RW_E_EOF : r;
    }
    if (n > 0) {
        c->whole = io_stream_take_bytes(&c->s, n);
        if (!c->whole) return RW_E_BUDGET;
    }
    c->body_left = 0;
    c->body_done = true;
    *ret = c->whole ? io_buf_span(c->whole) : SPAN("");
    return 0;
}

int up_body_whole(struct up_conn *c, uint64_t max, int64_t deadline_ns, struct span *ret)
{
    head_drop(c);
    if (c->framing.kind == HTTP_BODY_LENGTH) return whole_length(c, max, deadline_ns, ret);
    for (;;) {
        struct span piece;
        const int r = up_body(c, deadline_ns, &piece);
        if (r < 0) return r;
        if (r == 0) break;
        if (!c->whole && c->body_done) {
            // The only piece: it stays where it is.
            if (piece.n > max) return RW_E_TOO_LARGE;
            c->whole = c->piece;
            c->piece = NULL;
            break;
        }
        RW_TRY(io_buf_grow(c->s.loop, &c->whole, piece.n, max));
        memcpy(c->whole->data + c->whole->off + c->whole->len, piece.p, piece.n);
        c->whole->len += piece.n;
    }
    *ret = c->whole ? io_buf_span(c->whole) : SPAN("");
    return 0;
}
