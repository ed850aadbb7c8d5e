// See h1.h. The life of a connection; the life of one request on it is in h1_call.c.
#include "net/h1.h"

#include <stdlib.h>

#include "base/limits.h"
#include "net/h1_conn.h"
#include "wire/proxy_protocol.h"

// After an answer that ends the connection the client may still be sending: it is given this much time and bytes to read
// the answer before the socket goes, since a reset would take the answer with it.
#define LINGER_NS (2 * CLOCK_SEC)
#define LINGER_BYTES_MAX MIB(1)
#define CALL_ARENA_BYTES_MAX EXCHANGE_ARENA_BYTES_MAX
#define ARENAS_KEPT 256u
// What one refusal may take when the worker's budget is used up.
#define LAST_BYTES KIB(64)
#define LAST_ARENAS_KEPT 8u
#define HEADS_KEPT 32u

static void release(struct h1_conn *c);

// The only place where a connection changes its state.
static void conn_to(struct h1_conn *c, enum h1_state next)
{
    static const uint8_t allowed[H1_STATES] = {
        [H1_FREE] = 1u << H1_IDLE,
        [H1_IDLE] = 1u << H1_SERVING | 1u << H1_LINGER | 1u << H1_CLOSING,
        [H1_SERVING] = 1u << H1_IDLE | 1u << H1_LINGER | 1u << H1_CLOSING,
        [H1_LINGER] = 1u << H1_CLOSING,
        [H1_CLOSING] = 1u << H1_FREE,
    };
    MUST(allowed[c->state] & 1u << next);
    c->state = (uint8_t)next;
    c->since_ns = c->server->loop->now_ns;
}

static void close_now(struct h1_conn *c, enum rw_end end)
{
    if (c->end == END_OK) c->end = (uint8_t)end;
    conn_to(c, H1_CLOSING);
    io_timer_cancel(&c->server->loop->timers, &c->timer);
    io_stream_close(&c->s);
}

// --- Timers: one per connection, armed lazily.

static int64_t idle_until(const struct h1_conn *c)
{
    const struct h1_server *srv = c->server;
    const int64_t until = clock_deadline(c->since_ns, srv->cfg.idle_timeout_ns);
    return srv->draining ? clock_earlier(until, srv->drain_idle_until_ns) : until;
}

static void timer_fired(struct io_timer *t)
{
    struct h1_conn *c = LIST_OWNER(t, struct h1_conn, timer);
    struct h1_server *srv = c->server;
    if (c->state == H1_LINGER) {
        close_now(c, END_OK);
    } else if (c->state == H1_IDLE) {
        const int64_t until = idle_until(c);
        if (until > srv->loop->now_ns) io_timer_arm(&srv->loop->timers, t, until);
        else close_now(c, srv->draining ? END_DRAINED : END_IDLE_TIMEOUT);
    }
}

static void timer_need(struct h1_conn *c, int64_t deadline_ns)
{
    if (!io_timer_armed(&c->timer) || c->timer.deadline_ns > deadline_ns)
        io_timer_arm(&c->server->loop->timers, &c->timer, deadline_ns);
}

// --- Serving.

// Who is behind the proxies: the right-most address of X-Forwarded-For that is not a trusted proxy (DESIGN: trusted_proxies).
static void find_client(const struct h1_entry *e, const struct http_head *head, struct io_addr *client)
{
    if (e->trusted_count == 0) return;
    // Several fields are one list; the last field's last address is the nearest.
    for (uint32_t i = head->field_count; i-- > 0;) {
        if (head->field[i].kind != HTTP_N_X_FORWARDED_FOR) continue;
        struct span list = http_field_value(head, i);
        while (list.n > 0) {
            bool trusted = false;
            for (uint32_t t = 0; t < e->trusted_count && !trusted; t++)
                trusted = io_cidr_has(&e->trusted[t], client);
            if (!trusted) return;
            uint32_t start = list.n;
            while (start > 0 && list.p[start - 1] != ',') start--;
            struct io_addr hop;
            const struct span text = span_trim(span_from(list, start));
            if (io_addr_parse_ip(text, 0, &hop) && io_addr_parse(text, &hop)) return;
            *client = hop;
            list.n = start > 0 ? start - 1 : 0;
        }
    }
}

static void peer_write(struct h1_conn *c)
{
    char text[IO_ADDR_TEXT_BYTES];
    uint32_t n = c->peer.n ? io_addr_text(&c->peer, false, text) : 0;
    if (n > sizeof c->peer_text) n = sizeof c->peer_text;
    memcpy(c->peer_text, text, n);
    c->peer_text_n = (uint8_t)n;
}

// The client's address in words: the connection's, unless a trusted proxy named another.
static struct span client_text(struct h1_call *call)
{
    const struct h1_conn *c = call->conn;
    if (c->entry->trusted_count == 0 || io_addr_eq(&call->call.client, &c->peer))
        return span_of(c->peer_text, c->peer_text_n);
    char text[IO_ADDR_TEXT_BYTES];
    const uint32_t n = io_addr_text(&call->call.client, false, text);
    return arena_copy(call->call.arena, span_of(text, n));
}

// The PROXY line or block in front of the first request. 0, or an error that ends the connection without an answer.
static int read_proxy(struct h1_conn *c, int64_t deadline_ns)
{
    uint32_t have = 0;
    for (;;) {
        const int r = io_stream_fill(&c->s, have, deadline_ns);
        if (r <= 0) return r == 0 ? (int)RW_E_EOF : r;
        have = c->s.unread;
        RW_TRY(io_stream_join(&c->s, have));
        const struct span in = io_stream_front(&c->s);
        struct proxy_header pp;
        const int n = proxy_parse(in.p, in.n, c->entry->proxy_accept, &pp);
        if (n < 0) return RW_E_BAD;
        if (n == PROXY_NEED_MORE) continue;
        io_stream_consume(&c->s, (uint32_t)n);
        // PROXY_LOCAL is the proxy's own health check: its address stays.
        if (pp.kind != PROXY_LOCAL)
            c->peer = io_addr_of_ip(pp.source, pp.kind == PROXY_IPV6 ? 16 : 4, pp.source_port);
        peer_write(c);
        c->proxied = true;
        return 0;
    }
}

// Clients repeat their heads. A connection finds its own again, or one of another that used the same memo.
static struct http_memo *memo_of(const struct h1_conn *c)
{
    return &c->server->heads[c->s.rx.slot % HEADS_KEPT];
}

// Reads a head to its end into the call. 1: a call is to be handled (perhaps a bad one); 0: the connection ended in order,
// nothing was asked; negative: it ended in the middle.
static int read_head(struct h1_conn *c, struct h1_call *call, int64_t deadline_ns)
{
    struct io_stream *s = &c->s;
    struct http_head *head = &call->call.head;
    const struct http_rules rules = {.head_bytes_max = c->server->cfg.head_bytes_max,
                                     .target_bytes_max = HTTP_TARGET_BYTES_MAX,
                                     .fields_max = HTTP_FIELDS_MAX};
    uint32_t seen = 0;
    http_head_init(head);
    // What an answer looks at, also that to a first line which is not whole or not good.
    head->method = HTTP_METHOD_OTHER;
    head->minor = 1;
    for (;;) {
        int r = io_stream_fill(s, seen, deadline_ns);
        if (r == -ETIME && seen > 0) {
            call->call.bad = END_HEAD_TIMEOUT;
            return 1;
        }
        if (r <= 0) return r < 0 ? r : seen == 0 ? 0 : (int)RW_E_EOF;
        seen = s->unread;
        if (io_stream_front(s).n < seen)
            RW_TRY(io_stream_join(s, seen < rules.head_bytes_max ? seen : rules.head_bytes_max));
        const struct span in = io_stream_front(s);
        MUST(in.p); // fill() said that there is something
        r = http_request_parse_memo(in.p, in.n, &rules, head, memo_of(c));
        if (r == HTTP_NEED_MORE) continue;
        if (r < 0) {
            const struct http_bad_info *info = http_bad_info(r);
            call->call.bad = info->end;
            call->call.bad_reason = info->detail;
            return 1;
        }
        // The head moves to the call's memory, so that the buffer is only the body's.
        uint8_t *copy = arena_alloc(call->call.arena, (uint32_t)r);
        if (!copy) return RW_E_BUDGET;
        memcpy(copy, in.p, (uint32_t)r);
        head->base = copy;
        io_stream_consume(s, (uint32_t)r);
        call->call.framing = head->framing;
        return 1;
    }
}

static bool gone(const struct h1_conn *c)
{
    return c->s.eof || c->s.rx_err;
}

// --- Refusing without a fiber, or without memory.

static const struct http_rules refusal_rules = {.head_bytes_max = HTTP_HEAD_BYTES_MAX,
                                                .target_bytes_max = HTTP_TARGET_BYTES_MAX,
                                                .fields_max = HTTP_FIELDS_MAX};

static struct h1_call *call_new(struct h1_conn *c, struct arena *arena)
{
    struct h1_call *call = arena_alloc(arena, sizeof *call);
    if (!call) return NULL;
    memset(call, 0, offsetof(struct h1_call, call.head));
    memset((uint8_t *)call + offsetof(struct h1_call, call.framing), 0,
           sizeof *call - offsetof(struct h1_call, call.framing));
    call->conn = c;
    call->call.ops = &h1_call_ops;
    call->call.loop = c->server->loop;
    call->call.arena = arena;
    call->call.client = c->peer;
    call->call.started_ns = c->server->loop->now_ns;
    return call;
}

// The handler's words, as they are to be sent. n 0: it had none. failed: the call that could not be answered; NULL: there was
// none, and what was received begins with the request's head.
static struct span refusal_words(struct h1_conn *c, struct arena *arena, const char *detail,
                                 const struct h1_call *failed)
{
    struct h1_server *srv = c->server;
    struct h1_call *call = call_new(c, arena);
    if (COUNT_IF(!call)) return (struct span){NULL, 0};
    struct http_head *head = &call->call.head;
    const struct span in = io_stream_front(&c->s);
    http_head_init(head);
    const bool known = failed && call_has_head(&failed->call);
    if (known) *head = failed->call.head;
    // Half a head means nothing.
    else if (failed || in.n == 0 || http_request_parse(in.p, in.n, &refusal_rules, head) <= 0)
        http_head_init(head);
    call->call.bad = END_OVERLOADED;
    call->call.bad_reason = detail;
    call->call.head_ns = call->call.started_ns;
    call->call.client_text = client_text(call);
    call->collect = call->close = true;
    call->call.body_done = true;
    call->call.recorded = failed && failed->call.replied;
    if (!failed) srv->requests_total++;
    srv->handler(&call->call, srv->handler_ctx);
    return call->collected;
}

// Makes c->refusal; false if there is nothing to say or no memory to say it from.
static bool refusal_make(struct h1_conn *c, const char *detail, const struct h1_call *failed)
{
    struct arena arena;
    arena_init(&arena, &c->server->last_arenas, LAST_BYTES);
    const struct span words = refusal_words(c, &arena, detail, failed);
    struct io_buf *b = words.n && !COUNT_IF(words.n > IO_LAST_BYTES) ? io_buf_last(c->server->loop) : NULL;
    if (b) {
        memcpy(b->data, words.p, words.n);
        c->refusal_iov = (struct iovec){.iov_base = b->data, .iov_len = words.n};
    }
    c->refusal = b;
    arena_done(&arena);
    return b != NULL;
}

static void refusal_drop(struct h1_conn *c)
{
    if (c->refusal) io_buf_free(c->server->loop, c->refusal);
    c->refusal = NULL;
}

static void unread_drop(struct h1_conn *c)
{
    while (c->s.unread > 0) io_stream_consume(&c->s, io_stream_front(&c->s).n);
}

// In the loop: the answer goes out behind our back, on_tx() sees its end.
static void turn_away(struct h1_conn *c, const char *detail)
{
    c->end = END_OVERLOADED;
    if (!refusal_make(c, detail, NULL)) {
        close_now(c, END_OVERLOADED);
        return;
    }
    conn_to(c, H1_LINGER);
    timer_need(c, c->server->loop->now_ns + LINGER_NS);
    unread_drop(c);
    io_stream_send_start(&c->s, &c->refusal_iov, 1, false);
    io_stream_want(&c->s);
}

// In the fiber of a request for which there was no memory.
static void refuse_full(struct h1_conn *c, const struct h1_call *failed)
{
    c->end = END_OVERLOADED;
    if (!refusal_make(c, "memory", failed)) return;
    const int sent = io_stream_send(&c->s, &c->refusal_iov, 1, false, c->server->loop->now_ns + LINGER_NS);
    (void)sent; // the connection ends in any case
    refusal_drop(c);
}

static void on_tx(struct io_stream *s)
{
    struct h1_conn *c = LIST_OWNER(s, struct h1_conn, s);
    if (c->state != H1_LINGER || !c->refusal) return;
    refusal_drop(c);
    if (s->tx_err) close_now(c, END_OVERLOADED);
    else io_stream_shutdown_write(s);
}

// One request. True: the connection may serve another.
static bool serve_one(struct h1_conn *c)
{
    struct h1_server *srv = c->server;
    struct io_loop *loop = srv->loop;
    struct arena arena;
    arena_init(&arena, &srv->arenas, CALL_ARENA_BYTES_MAX);
    bool again = false;
    struct h1_call *call = call_new(c, &arena);
    if (!call) {
        refuse_full(c, NULL);
        goto out;
    }
    const int r = read_head(c, call, clock_deadline(loop->now_ns, srv->cfg.head_timeout_ns));
    if (r <= 0) {
        c->end = r == 0 ? END_CLIENT_CLOSED : r == -ECANCELED ? (uint8_t)c->scope.reason : END_CLIENT_GONE;
        if (r == RW_E_BUDGET) refuse_full(c, NULL);
        goto out;
    }
    call->call.head_ns = loop->now_ns;
    if (call->call.bad == END_OK) find_client(c->entry, &call->call.head, &call->call.client);
    call->call.client_text = client_text(call);
    h1_call_begin(call);
    srv->requests_total++;
    c->requests++;
    srv->serving++;
    c->in_handler = true;
    c->answered = false;
    // An end that came with the request cannot be told from leaving.
    if (gone(c)) scope_cancel(&c->scope, END_CLIENT_GONE);
    srv->handler(&call->call, srv->handler_ctx);
    c->in_handler = false;
    srv->serving--;
    again = h1_call_finish(call);
    // The handler had no memory to say anything.
    if (!again && !call->call.head_sent && !c->s.tx_err && !gone(c) && c->scope.reason == END_OK)
        refuse_full(c, call);
    if (!again && c->end == END_OK) c->end = call->call.bad != END_OK ? (uint8_t)call->call.bad : END_OK;
out:
    arena_done(&arena);
    return again;
}

// The handshake of a new connection. False: it is to be closed.
static bool secure(struct h1_conn *c)
{
    struct h1_server *srv = c->server;
    enum tls_why why = TLS_BUSY;
    int r = RW_E_TLS;
    // A flood of handshakes is cut here; who is turned away costs little. The listener may have lost its TLS meanwhile.
    if (c->entry->tls && srv->shaking < TLS_HANDSHAKES_MAX) {
        struct tls_server *tls = tls_server_hold(c->entry->tls);
        srv->shaking++;
        r = net_tls_accept(c->tls, &c->s, srv->offload, tls, srv->loop->now_ns + TLS_ACCEPT_MS * CLOCK_MS,
                           &why);
        srv->shaking--;
        tls_server_let_go(tls);
    }
    if (r == 0) return true;
    if (c->end == END_OK) c->end = r == RW_E_TLS ? END_TLS_FAILED : (uint8_t)c->scope.reason;
    return false;
}

static int serve(void *arg)
{
    struct h1_conn *c = arg;
    if (c->entry->proxy_accept && !c->proxied) {
        if (read_proxy(c, clock_deadline(c->server->loop->now_ns, c->server->cfg.head_timeout_ns)) < 0) {
            c->end = END_BAD_REQUEST;
            return 0;
        }
        if (c->s.unread == 0 && !gone(c)) return 1;
    }
    if (c->tls && !c->s.filter) {
        if (!secure(c)) return 0;
        if (c->s.unread == 0 && !gone(c)) return 1;
    }
    while (serve_one(c)) {
        if (gone(c) || fiber_cancelled() != END_OK) return 0;
        // The next one is here already, perhaps pipelined. All others had their turn while the answer was being sent.
        if (c->s.unread == 0) return 1;
    }
    return 0;
}

static int serve_fiber(void *arg)
{
    struct h1_conn *c = arg;
    c->fiber_ended = serve(c) == 0;
    return 0;
}

static void start_serving(struct h1_conn *c)
{
    const enum rw_err err = scope_spawn(&c->scope, serve_fiber, c);
    if (!err) conn_to(c, H1_SERVING);
    else turn_away(c, "requests at once");
}

// The fiber has ended: idle again, or the end of the connection.
static void fiber_gone(struct scope *scope)
{
    struct h1_conn *c = LIST_OWNER(scope, struct h1_conn, scope);
    struct h1_server *srv = c->server;
    if (!c->fiber_ended && !gone(c)) {
        conn_to(c, H1_IDLE);
        if (c->s.unread > 0) {
            start_serving(c);
            return;
        }
        io_stream_want(&c->s);
        timer_need(c, idle_until(c));
        return;
    }
    if (gone(c) || c->s.tx_err || c->end == END_CLIENT_CLOSED || c->scope.reason != END_OK) {
        close_now(c, c->scope.reason != END_OK ? c->scope.reason : END_OK);
        return;
    }
    // FIN, and a moment for the client to read what was said.
    conn_to(c, H1_LINGER);
    io_stream_shutdown_write(&c->s);
    timer_need(c, srv->loop->now_ns + LINGER_NS);
    unread_drop(c);
    io_stream_want(&c->s);
}

static void on_rx(struct io_stream *s)
{
    struct h1_conn *c = LIST_OWNER(s, struct h1_conn, s);
    switch ((enum h1_state)c->state) {
    case H1_IDLE:
        if (s->unread > 0) start_serving(c);
        else if (gone(c)) close_now(c, s->eof ? END_CLIENT_CLOSED : END_CLIENT_GONE);
        break;
    case H1_SERVING:
        // Who leaves when he has all of the answer is not gone, although the fiber may not have heard yet that it was sent.
        if (gone(c) && c->in_handler && !(c->answered && !s->tx.submitted))
            scope_cancel(&c->scope, END_CLIENT_GONE);
        break;
    case H1_LINGER:
        while (s->unread > 0) {
            c->linger_bytes += io_stream_front(s).n;
            io_stream_consume(s, io_stream_front(s).n);
        }
        if (gone(c) || c->linger_bytes > LINGER_BYTES_MAX) close_now(c, END_OK);
        break;
    case H1_FREE:
    case H1_CLOSING:
    case H1_STATES: break;
    }
}

// --- Connections.

static void on_stream_closed(struct io_stream *s)
{
    struct h1_conn *c = LIST_OWNER(s, struct h1_conn, s);
    // The fiber, if there is one, has the last word.
    if (scope_empty(&c->scope)) release(c);
}

static void release(struct h1_conn *c)
{
    struct h1_server *srv = c->server;
    refusal_drop(c);
    srv->ends[c->end == END_OK ? END_CLIENT_CLOSED : c->end]++;
    if (c->tls) net_tls_done(c->tls);
    free(c->tls);
    c->tls = NULL;
    conn_to(c, H1_FREE);
    list_remove(&c->node);
    list_push_front(&srv->free_conns, &c->node);
    srv->open--;
    if (srv->on_closed) srv->on_closed(srv);
}

bool h1_accept(struct h1_server *srv, int fd, const struct h1_entry *entry)
{
    struct list *node = list_pop_front(&srv->free_conns);
    struct h1_conn *c = node ? LIST_OWNER(node, struct h1_conn, node) : malloc(sizeof *c);
    if (!c) {
        srv->loop->driver->ops->fd_close(srv->loop->driver, fd);
        return false;
    }
    memset(c, 0, sizeof *c);
    c->tls = entry->tls ? calloc(1, sizeof *c->tls) : NULL;
    if (entry->tls && !c->tls) {
        free(c);
        srv->loop->driver->ops->fd_close(srv->loop->driver, fd);
        return false;
    }
    c->server = srv;
    c->entry = entry;
    list_init(&c->node);
    list_push_back(&srv->conns, &c->node);
    scope_init(&c->scope, srv->loop);
    c->scope.on_empty = fiber_gone;
    io_timer_init(&c->timer, timer_fired);
    srv->loop->driver->ops->accepted(srv->loop->driver, fd, &c->peer);
    peer_write(c);
    c->s.on_rx = on_rx;
    c->s.on_tx = on_tx;
    c->s.on_closed = on_stream_closed;
    io_stream_open(&c->s, srv->loop, fd, IO_STREAM_MANY, IO_GROUP_CLIENT);
    srv->open++;
    srv->accepted_total++;
    conn_to(c, H1_IDLE);
    io_stream_want(&c->s);
    timer_need(c, idle_until(c));
    return true;
}

enum rw_err h1_server_open(struct h1_server *srv, struct io_loop *loop, const struct h1_cfg *cfg,
                           h1_handler handler, void *handler_ctx)
{
    *srv = (struct h1_server){
        .loop = loop, .cfg = *cfg, .handler = handler, .handler_ctx = handler_ctx, .date_sec = -1};
    list_init(&srv->conns);
    list_init(&srv->free_conns);
    arena_pool_init(&srv->arenas, loop->budget, ARENAS_KEPT);
    srv->last_budget.limit = LAST_BYTES;
    arena_pool_init(&srv->last_arenas, &srv->last_budget, LAST_ARENAS_KEPT);
    srv->heads = calloc(HEADS_KEPT, sizeof *srv->heads);
    return srv->heads ? RW_OK : (enum rw_err) - ENOMEM;
}

void h1_server_close(struct h1_server *srv)
{
    MUST(srv->open == 0);
    struct list *node;
    while ((node = list_pop_front(&srv->free_conns))) free(LIST_OWNER(node, struct h1_conn, node));
    arena_pool_done(&srv->arenas);
    arena_pool_done(&srv->last_arenas);
    for (uint32_t i = 0; i < HEADS_KEPT; i++) http_memo_forget(&srv->heads[i]);
    free(srv->heads);
}

void h1_server_drain(struct h1_server *srv, int64_t idle_until_ns)
{
    srv->draining = true;
    srv->drain_idle_until_ns = idle_until_ns;
    LIST_EACH(it, &srv->conns)
    {
        struct h1_conn *c = LIST_OWNER(it, struct h1_conn, node);
        if (c->state == H1_IDLE) timer_need(c, idle_until_ns);
    }
}

void h1_server_kill(struct h1_server *srv, enum rw_end reason)
{
    LIST_EACH_SAFE(it, &srv->conns)
    {
        struct h1_conn *c = LIST_OWNER(it, struct h1_conn, node);
        if (c->state == H1_SERVING) scope_cancel(&c->scope, reason);
        else if (c->state == H1_IDLE || c->state == H1_LINGER) close_now(c, reason);
    }
}
