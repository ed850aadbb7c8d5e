// ringway-floor: a bare relay on io/, the lower bound that `make bench` prints beside every row.
//
// It knows nothing but where a message ends: no rules, no keys, no JSON, no log, no metrics, no deadlines,
// no limits. What it costs is what the kernel, the ring, the streams and the fibers cost for moving one
// request up and one answer down; what a gateway costs above it is its own work. It trusts both sides
// wholly and is of no use for anything else.
//
// One thread. A fiber per request; an idle connection holds none. Upstream connections are pooled, last in
// first out.
//
//     ringway-floor LISTEN UPSTREAM        both as ADDRESS:PORT; SIGTERM ends it
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/stream.h"
#include "wire/http.h"

// Buffers that leave in one send.
#define IOV_MAX_HERE 16
// A body of known length is received into regions of at most this size, so that large ones take few calls.
#define REGION_BYTES KIB(256)

struct client {
    struct io_stream s;
    struct scope scope;
};

struct upstream {
    struct io_stream s;
    struct list idle;
    bool in_pool;
};

// Where the message at the front of a stream ends.
struct message {
    uint64_t left; // bytes still to be passed on, the head's first; chunked: of the head only
    bool chunked;
    struct http_chunked state;
};

static struct {
    struct io_loop loop;
    struct budget budget;
    struct io_op accept;
    struct io_addr upstream;
    struct list idle;
} relay;

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

// --- Where a message ends.

// Looks at a head line by line; the two fields that say where the message ends begin with one of two
// letters, all others are passed by their first. Returns the bytes of the head, 0 if it is not whole.
static uint32_t scan_head(struct span in, struct message *m)
{
    const uint8_t *p = in.p, *end = in.p + in.n;
    *m = (struct message){0};
    while ((p = memchr(p, '\n', (size_t)(end - p))) && end - ++p >= 2) {
        const size_t left = (size_t)(end - p);
        const uint8_t first = span_lower(*p);
        if (*p == '\r') return (uint32_t)(p + 2 - in.p);
        if (first == 'c' && left > 15 && span_lower(p[8]) == 'l' &&
            span_ieq(span_of(p, 15), SPAN("content-length:"))) {
            m->left = 0;
            for (p += 15; p < end && *p != '\r'; p++)
                if (*p != ' ') m->left = m->left * 10 + (uint64_t)(*p - '0');
        } else if (first == 't' && left > 18 && p[8] == '-' &&
                   span_ieq(span_of(p, 18), SPAN("transfer-encoding:"))) {
            m->chunked = true;
        }
    }
    return 0;
}

// Waits for a whole head. False: the peer left.
static bool read_head(struct io_stream *s, struct message *m)
{
    for (uint32_t seen = 0;;) {
        if (io_stream_fill(s, seen, CLOCK_NEVER) <= 0) return false;
        seen = s->unread;
        if (io_stream_front(s).n < seen && io_stream_join(s, seen)) return false;
        const uint32_t head = scan_head(io_stream_front(s), m);
        m->left += head;
        if (head > 0) return true;
    }
}

// How many bytes of the piece belong to the message. *ret_done: it ends there.
static uint32_t part_of(struct message *m, struct span piece, bool *ret_done)
{
    uint32_t n = m->left < piece.n ? (uint32_t)m->left : piece.n;
    m->left -= n;
    *ret_done = m->left == 0 && !m->chunked;
    while (m->left == 0 && m->chunked && n < piece.n) {
        struct span data;
        uint32_t used;
        const int r = http_chunked_next(&m->state, piece.p + n, piece.n - n, &used, &data);
        n += used;
        *ret_done = r != HTTP_NEED_MORE;
        if (*ret_done) break;
    }
    return n;
}

// --- Passing it on: all that has come leaves in one send.

static bool pass(struct io_stream *from, struct io_stream *to, struct message *m)
{
    for (bool done = false; !done;) {
        struct iovec iov[IOV_MAX_HERE];
        uint32_t n = 0;
        if (io_stream_fill(from, 0, CLOCK_NEVER) <= 0) return false;
        for (struct io_buf *b = from->first; b && n < IOV_MAX_HERE && !done; b = b->next) {
            const struct span piece = io_buf_span(b);
            iov[n++] = (struct iovec){.iov_base = b->data + b->off, .iov_len = part_of(m, piece, &done)};
        }
        if (io_stream_send(to, iov, n, done, CLOCK_NEVER)) return false;
        for (uint32_t i = 0; i < n; i++) io_stream_consume(from, (uint32_t)iov[i].iov_len);
        // What is left of a large body comes in large pieces.
        if (!done && !m->chunked && m->left > IO_UPSTREAM_BUFFER_BYTES) {
            const uint32_t want = m->left < REGION_BYTES ? (uint32_t)m->left : REGION_BYTES;
            if (io_stream_join(from, want)) return false;
            while (from->region_need > 0)
                if (io_stream_fill(from, from->unread, CLOCK_NEVER) <= 0) return false;
        }
    }
    return true;
}

// --- Upstream connections.

static void upstream_closed(struct io_stream *s)
{
    free(LIST_OWNER(s, struct upstream, s));
}

// On an idle connection only its end can come.
static void upstream_rx(struct io_stream *s)
{
    struct upstream *u = LIST_OWNER(s, struct upstream, s);
    if (!u->in_pool) return;
    list_remove(&u->idle);
    io_stream_close(s);
}

static struct upstream *upstream_take(void)
{
    struct list *node = list_pop_front(&relay.idle);
    if (node) {
        struct upstream *u = LIST_OWNER(node, struct upstream, idle);
        u->in_pool = false;
        return u;
    }
    struct upstream *u = calloc(1, sizeof *u);
    MUST(u);
    list_init(&u->idle);
    u->s.on_rx = upstream_rx;
    u->s.on_closed = upstream_closed;
    if (io_stream_connect(&u->s, &relay.loop, &relay.upstream, NULL, IO_STREAM_ONCE, IO_GROUP_UPSTREAM,
                          CLOCK_NEVER) == 0)
        return u;
    free(u);
    return NULL;
}

static void upstream_give(struct upstream *u)
{
    u->in_pool = true;
    list_push_front(&relay.idle, &u->idle);
    io_stream_want(&u->s);
}

// --- Clients.

static bool serve_one(struct client *c)
{
    struct message m;
    if (!read_head(&c->s, &m)) return false;
    struct upstream *u = upstream_take();
    if (!u) return false;
    // Armed before the request leaves, so that both enter the kernel together.
    io_stream_want(&u->s);
    const bool ok =
        pass(&c->s, &u->s, &m) && read_head(&u->s, &m) && pass(&u->s, &c->s, &m) && u->s.unread == 0;
    if (ok) upstream_give(u);
    else io_stream_close(&u->s);
    return ok;
}

static int serve(void *arg)
{
    struct client *c = arg;
    while (serve_one(c))
        if (c->s.unread == 0) return 0;
    io_stream_close(&c->s);
    return 0;
}

static void serve_more(struct client *c)
{
    if (scope_spawn(&c->scope, serve, c)) io_stream_close(&c->s);
}

static void fiber_ended(struct scope *s)
{
    struct client *c = LIST_OWNER(s, struct client, scope);
    if (c->s.fd < 0) free(c);
    else if (c->s.eof || c->s.rx_err || c->s.tx_err) io_stream_close(&c->s);
    else if (c->s.unread > 0) serve_more(c);
    else io_stream_want(&c->s); // a large request may have paused it
}

static void client_closed(struct io_stream *s)
{
    struct client *c = LIST_OWNER(s, struct client, s);
    if (scope_empty(&c->scope)) free(c);
}

static void client_rx(struct io_stream *s)
{
    struct client *c = LIST_OWNER(s, struct client, s);
    if (!scope_empty(&c->scope)) return;
    if (s->unread > 0) serve_more(c);
    else if (s->eof || s->rx_err) io_stream_close(s);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    if (res >= 0) {
        struct client *c = calloc(1, sizeof *c);
        struct io_addr peer;
        MUST(c);
        relay.loop.driver->ops->accepted(relay.loop.driver, res, &peer);
        scope_init(&c->scope, &relay.loop);
        c->scope.on_empty = fiber_ended;
        c->s.on_rx = client_rx;
        c->s.on_closed = client_closed;
        io_stream_open(&c->s, &relay.loop, res, IO_STREAM_MANY, IO_GROUP_CLIENT);
        io_stream_want(&c->s);
    }
    if (!op->submitted) io_submit(&relay.loop, op);
}

int main(int argc, char **argv)
{
    struct io_addr here;
    if (argc != 3 || io_addr_parse(span_str(argv[1]), &here) ||
        io_addr_parse(span_str(argv[2]), &relay.upstream)) {
        fprintf(stderr, "usage: ringway-floor LISTEN UPSTREAM   (ADDRESS:PORT each)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    list_init(&relay.idle);
    relay.budget.limit = INT64_C(4) << 30;
    int err = 0;
    struct io_driver *driver = io_uring_open(512, &err);
    const struct io_loop_cfg cfg = {
        .budget = &relay.budget, .fibers_max = 20000, .buffers = IO_BUFFERS_PER_GROUP};
    if (!driver || io_loop_open(&relay.loop, driver, &cfg)) {
        fprintf(stderr, "ringway-floor: io_uring cannot be used: %s\n", rw_err_name(err));
        return 1;
    }
    const int fd = driver->ops->listen(driver, &here, 4096, false);
    if (fd < 0) {
        fprintf(stderr, "ringway-floor: cannot listen on %s: %s\n", argv[1], rw_err_name(fd));
        return 1;
    }
    io_op_open(&relay.loop, &relay.accept, IO_OP_ACCEPT, fd, accepted);
    io_submit(&relay.loop, &relay.accept);
    printf("ringway-floor listening on %s\n", argv[1]);
    fflush(stdout);
    while (!stopping) io_loop_turn(&relay.loop, relay.loop.now_ns + 100 * CLOCK_MS);
    return 0;
}
