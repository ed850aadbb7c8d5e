// The echo scenario: io/ alone. A server of fibers and streams sends back what it receives, in every way that a stream
// offers; simulated clients write messages in pieces and check what comes back. Beside it, fibers connect out to simulated
// echo servers and do the same in the other direction. What this finds is wrong in stream, fiber, buf, timer or loop.
//
// A message is four bytes of length, little endian, and as many bytes of a pattern that belongs to its connection.
#include <stdlib.h>

#include "io/stream.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_driver.h"

#define CLIENTS_MAX 12
#define MESSAGE_MAX 150000u
// A peer that echoes holds all that a caller may send before it reads.
#define HELD_MAX 131072u
#define RUN_NS_MAX (20000 * CLOCK_SEC)

struct echo_world;

// A connection that the server accepted, or that one of its fibers made.
struct served {
    struct io_stream s;
    struct scope scope;
    struct echo_world *x;
    struct list node;
    struct io_addr to;
    bool outgoing;
    bool open;
};

// A simulated peer: writes messages and checks their echoes, or echoes what comes.
struct peer {
    struct sim_end *end;
    struct sim_event run;
    struct echo_world *x;
    uint32_t id;
    uint64_t total; // bytes it will write
    uint64_t written, checked;
    int64_t leave_ns; // CLOCK_NEVER: when all was echoed
    bool echoes; // it is the server
    bool done;
    uint8_t *bytes;
    uint64_t held; // bytes to echo, from the front of `bytes`
};

struct echo_world {
    struct sim_world *w;
    struct sim_net net;
    struct sim_process *process;
    struct io_loop loop;
    struct budget budget;
    struct scope scope; // of the fibers that connect out
    struct list served;
    struct io_op accept;
    int listen_fd;
    struct io_addr server, remote;
    struct sim_listener *remote_listener;
    struct peer peer[2 * CLIENTS_MAX];
    uint32_t peers;
    uint32_t trouble_before;
    uint32_t served_n;
    bool stopping;
    bool tight; // the budget may refuse
};

static uint8_t pattern(uint32_t id, uint64_t at)
{
    return (uint8_t)(((at + id * 7919u) * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

// --- The server's side: fibers.

static void served_closed(struct io_stream *s)
{
    struct served *c = LIST_OWNER(s, struct served, s);
    list_remove(&c->node);
    c->x->served_n--;
    free(c);
}

static void served_over(struct scope *scope)
{
    struct served *c = LIST_OWNER(scope, struct served, scope);
    io_stream_close(&c->s);
}

static int64_t some_deadline(struct echo_world *x)
{
    if (sim_chance(x->w, 70)) return CLOCK_NEVER;
    return x->loop.now_ns + sim_between(x->w, 0, 5 * CLOCK_MS);
}

// Waits for more than `have` bytes, through any number of deadlines. With a tight budget all may hold what the others wait
// for, so that somebody has to give up.
static int fill(struct served *c, uint32_t have)
{
    const int64_t patience = c->x->tight ? c->x->loop.now_ns + 10 * CLOCK_SEC : CLOCK_NEVER;
    int r;
    do r = io_stream_fill(&c->s, have, clock_earlier(some_deadline(c->x), patience));
    while (r == -ETIME && c->x->loop.now_ns < patience);
    return r;
}

static int send_span(struct served *c, struct span b)
{
    // In two parts, to have a gather list.
    const uint32_t half = b.n / 2;
    struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)b.p, .iov_len = half},
                           {.iov_base = (void *)(uintptr_t)(b.p + half), .iov_len = b.n - half}};
    return half ? io_stream_send(&c->s, iov, 2, false, CLOCK_NEVER)
                : io_stream_send(&c->s, &iov[1], 1, true, CLOCK_NEVER);
}

// Echoes n bytes piece by piece as they lie.
static int echo_pieces(struct served *c, uint32_t n)
{
    struct io_stream *s = &c->s;
    while (n > 0) {
        const int r = fill(c, 0);
        if (r <= 0) return r < 0 ? r : (int)RW_E_EOF;
        struct span front = io_stream_front(s);
        if (front.n > n) front.n = n;
        if (sim_chance(c->x->w, 30)) front.n = 1 + sim_below(c->x->w, front.n);
        const uint32_t way = sim_below(c->x->w, 3);
        if (way == 0) {
            RW_TRY(send_span(c, front));
            io_stream_consume(s, front.n);
        } else {
            struct io_buf *b = io_stream_take_bytes(s, front.n);
            if (!b) return RW_E_BUDGET;
            if (way == 2 && b->len > 1) {
                // Back again, and taken once more.
                io_stream_untake(s, b);
                b = io_stream_take(s);
            }
            const int sent = b ? send_span(c, io_buf_span(b)) : 0;
            if (b) io_buf_free(&c->x->loop, b);
            if (sent < 0) return sent;
        }
        n -= front.n;
    }
    return 0;
}

// Echoes n bytes that lie together.
static int echo_joined(struct served *c, uint32_t n)
{
    struct io_stream *s = &c->s;
    while (io_stream_front(s).n < n) {
        if (s->region_need == 0) RW_TRY(io_stream_join(s, n));
        if (io_stream_front(s).n >= n) break;
        const int r = fill(c, s->unread);
        if (r <= 0) return r < 0 ? r : (int)RW_E_EOF;
    }
    struct io_buf *b = io_stream_take_bytes(s, n);
    if (!b) return RW_E_BUDGET;
    const int sent = send_span(c, io_buf_span(b));
    io_buf_free(&c->x->loop, b);
    return sent;
}

static int echo_messages(struct served *c)
{
    for (;;) {
        uint32_t have = 0;
        while (have < 4) {
            const int r = fill(c, have);
            if (r <= 0) return r;
            have = c->s.unread;
        }
        RW_TRY(io_stream_join(&c->s, 4));
        const uint8_t *p = io_stream_front(&c->s).p;
        const uint32_t n = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        SIM_MUST(c->x->w, n <= MESSAGE_MAX, "a length of %u was read", n);
        RW_TRY(sim_chance(c->x->w, 50) ? echo_joined(c, 4 + n) : echo_pieces(c, 4 + n));
        if (sim_chance(c->x->w, 10) && fiber_sleep(c->x->loop.now_ns + CLOCK_MS) < 0) return -ECANCELED;
        if (sim_chance(c->x->w, 10) && fiber_yield() < 0) return -ECANCELED;
    }
}

static int serve(void *arg)
{
    struct served *c = arg;
    const int r = echo_messages(c);
    sim_note(c->x->w, "served", c->outgoing, (uint64_t)(int64_t)r);
    // The last echo has to reach the client before the socket goes.
    return 0;
}

static struct served *served_new(struct echo_world *x)
{
    struct served *c = calloc(1, sizeof *c);
    MUST(c);
    c->x = x;
    c->s.on_closed = served_closed;
    scope_init(&c->scope, &x->loop);
    c->scope.on_empty = served_over;
    list_push_back(&x->served, &c->node);
    x->served_n++;
    return c;
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct echo_world *x = LIST_OWNER(op, struct echo_world, accept);
    (void)flags;
    if (res >= 0) {
        struct served *c = served_new(x);
        io_stream_open(&c->s, &x->loop, res, IO_STREAM_MANY, IO_GROUP_CLIENT);
        const enum rw_err err = scope_spawn(&c->scope, serve, c);
        MUST(err == RW_OK);
    }
    if (!op->submitted && !x->stopping) io_submit(&x->loop, op);
}

// Writes a few messages to the remote echo and reads them back.
static int call_out(struct served *c)
{
    struct echo_world *x = c->x;
    for (uint32_t rounds = 1 + sim_below(x->w, 4); rounds > 0; rounds--) {
        const uint32_t n = 1 + sim_below(x->w, sim_chance(x->w, 20) ? 100000 : 3000),
                       id = sim_below(x->w, 1000);
        uint8_t *bytes = malloc(n);
        MUST(bytes);
        for (uint32_t i = 0; i < n; i++) bytes[i] = pattern(id, i);
        int r = send_span(c, span_of(bytes, n));
        free(bytes);
        for (uint32_t at = 0; r >= 0 && at < n;) {
            r = fill(c, 0);
            if (r <= 0) return r < 0 ? r : (int)RW_E_EOF;
            const struct span front = io_stream_front(&c->s);
            SIM_MUST(x->w, front.n <= n - at, "more came back than was sent");
            for (uint32_t i = 0; i < front.n; i++)
                SIM_MUST(x->w, front.p[i] == pattern(id, at + i), "another byte came back at %u", at + i);
            at += front.n;
            io_stream_consume(&c->s, front.n);
        }
        if (r < 0) return r;
    }
    return 0;
}

static int outgoing(void *arg)
{
    struct echo_world *x = arg;
    const uint32_t before = x->w->troubles;
    (void)fiber_sleep(x->loop.now_ns + sim_between(x->w, 0, 50 * CLOCK_MS));
    struct served *c = served_new(x);
    c->outgoing = true;
    c->to = x->remote;
    const int64_t until = x->loop.now_ns + 5 * CLOCK_SEC;
    int r = io_stream_connect(&c->s, &x->loop, &c->to, NULL, IO_STREAM_ONCE, IO_GROUP_UPSTREAM, until);
    if (r < 0) {
        SIM_MUST(x->w, before != x->w->troubles, "a connection failed: %d", r);
        served_closed(&c->s);
        return r;
    }
    r = call_out(c);
    SIM_MUST(x->w, r == 0 || x->tight || before != x->w->troubles, "a call out failed: %d", r);
    io_stream_close(&c->s);
    return r;
}

// --- The simulated side.

static void peer_over(struct peer *p)
{
    p->done = true;
    sim_event_drop(p->x->w, &p->run);
    free(p->bytes);
    p->bytes = NULL;
}

static void peer_read(struct peer *p, uint32_t most)
{
    uint8_t buf[4096];
    while (most > 0 && !p->done) {
        const uint32_t n = sim_read(p->end, buf, most < sizeof buf ? most : sizeof buf);
        if (n == 0) return;
        most -= n;
        for (uint32_t i = 0; i < n; i++)
            SIM_MUST(p->x->w, p->checked + i < p->written && buf[i] == p->bytes[p->checked + i],
                     "client %u: another byte came back at %lu", p->id, (unsigned long)(p->checked + i));
        p->checked += n;
    }
}

static bool excused(const struct echo_world *x)
{
    return x->trouble_before != x->w->troubles || x->tight;
}

static void client_run(struct peer *p)
{
    struct echo_world *x = p->x;
    struct sim_end *e = p->end;
    if (e->conn->state == SIM_CONNECTING && p->leave_ns > x->w->now_ns) return;
    if (e->conn->state == SIM_REFUSED || p->leave_ns <= x->w->now_ns) {
        SIM_MUST(x->w, e->conn->state != SIM_REFUSED || excused(x), "client %u was refused", p->id);
        if (sim_chance(x->w, 50)) sim_reset(e);
        else sim_close(e);
        peer_over(p);
        return;
    }
    const bool slow = sim_fault(x->w, SIM_SLOW_PEER);
    peer_read(p, slow ? sim_piece(x->w, 4000) : UINT32_MAX);
    if (p->written < p->total && sim_room(e) > 0) {
        uint64_t n = p->total - p->written;
        if (n > 1 && sim_chance(x->w, 50)) n = sim_piece(x->w, n > 100000 ? 100000 : (uint32_t)n);
        p->written += sim_write(e, p->bytes + p->written, (uint32_t)n);
        if (sim_room(e) > 0) sim_event_in(x->w, &p->run, sim_between(x->w, 0, CLOCK_MS));
    }
    if (p->written == p->total) sim_fin(e);
    if (slow || sim_unread(e) > 0) sim_event_in(x->w, &p->run, sim_between(x->w, 0, 30 * CLOCK_MS));
    if (!e->reset && !sim_at_eof(e)) return;
    if (sim_unread(e) > 0) return;
    SIM_MUST(x->w, p->checked == p->total || excused(x), "client %u: the echo broke off at %lu of %lu", p->id,
             (unsigned long)p->checked, (unsigned long)p->total);
    sim_close(e);
    peer_over(p);
}

// The remote echo.
static void remote_run(struct peer *p)
{
    struct sim_end *e = p->end;
    struct sim_world *w = p->x->w;
    const bool slow = sim_fault(w, SIM_SLOW_PEER);
    p->held += sim_read(e, p->bytes + p->held, slow ? 100 : (uint32_t)(HELD_MAX - p->held));
    const uint32_t n = sim_write(e, p->bytes, (uint32_t)p->held);
    p->held -= n;
    memmove(p->bytes, p->bytes + n, p->held);
    if (slow) sim_event_in(w, &p->run, sim_between(w, 0, 20 * CLOCK_MS));
    else if ((n > 0 && p->held > 0) || sim_unread(e) > 0) sim_event_in(w, &p->run, 0);
    if (e->reset || (sim_at_eof(e) && p->held == 0)) {
        sim_close(e);
        peer_over(p);
    }
}

static void peer_run(struct sim_event *event)
{
    struct peer *p = LIST_OWNER(event, struct peer, run);
    if (p->echoes) remote_run(p);
    else client_run(p);
}

static void peer_poked(struct sim_end *e)
{
    struct peer *p = e->owner;
    if (p->done) return;
    if (p->run.place == 0 || p->run.at_ns > p->x->w->now_ns) sim_event_in(p->x->w, &p->run, 0);
}

static struct peer *peer_new(struct echo_world *x)
{
    MUST(x->peers < 2 * CLIENTS_MAX);
    struct peer *p = &x->peer[x->peers];
    *p = (struct peer){.x = x, .id = x->peers++, .leave_ns = CLOCK_NEVER};
    p->run.fire = peer_run;
    return p;
}

static void client_new(struct echo_world *x)
{
    struct sim_world *w = x->w;
    struct peer *p = peer_new(x);
    uint32_t lengths[8];
    const uint32_t messages = 1 + sim_below(w, 8);
    for (uint32_t i = 0; i < messages; i++) {
        const uint32_t way = sim_below(w, 10);
        lengths[i] = sim_below(w, way < 6 ? 500 : way < 8 ? 20000 : MESSAGE_MAX);
        p->total += 4 + lengths[i];
    }
    p->bytes = malloc(p->total);
    MUST(p->bytes);
    uint64_t at = 0;
    for (uint32_t i = 0; i < messages; i++) {
        for (int b = 0; b < 4; b++) p->bytes[at++] = (uint8_t)(lengths[i] >> (8 * b));
        for (uint32_t k = 0; k < lengths[i]; k++, at++) p->bytes[at] = pattern(p->id, at);
    }
    if (sim_chance(w, 20)) p->leave_ns = w->now_ns + sim_between(w, 0, 100 * CLOCK_MS);
    struct io_addr from = io_addr_of_ip((const uint8_t[]){10, 0, 0, 1}, 4, (uint16_t)(40000 + p->id));
    p->end = sim_connect(&x->net, &x->server, &from, peer_poked, p);
    // Whatever happens, it gives up at some time: a handshake may never be answered.
    if (p->leave_ns == CLOCK_NEVER && w->rate[SIM_CONNECT_STALL]) p->leave_ns = w->now_ns + 500 * CLOCK_SEC;
    sim_event_at(w, &p->run, p->leave_ns == CLOCK_NEVER ? w->now_ns : p->leave_ns);
}

static void remote_accept(struct sim_listener *l)
{
    struct echo_world *x = l->owner;
    struct peer *p = peer_new(x);
    p->echoes = true;
    p->bytes = malloc(HELD_MAX);
    MUST(p->bytes);
    p->end = sim_accept(l);
    p->end->owner = p;
    p->end->poke = peer_poked;
    sim_event_in(x->w, &p->run, 0);
}

// --- The run.

static void turn_loop(void *ctx)
{
    struct echo_world *x = ctx;
    io_loop_turn(&x->loop, CLOCK_NEVER);
}

static void echo_open(struct echo_world *x, struct sim_world *w, uint64_t seed)
{
    sim_world_open(w, seed, "echo");
    sim_world_faults(w, sim_chance(w, 20));
    sim_net_open(&x->net, w);
    x->w = w;
    list_init(&x->served);
    x->server = io_addr_of_ip((const uint8_t[]){10, 0, 0, 9}, 4, 7);
    x->remote = io_addr_of_ip((const uint8_t[]){10, 0, 0, 8}, 4, 7);
    static const uint16_t counts[] = {2, 4, 16, 128};
    const uint16_t buffers = counts[sim_below(w, 4)];
    x->tight = sim_chance(w, 20);
    x->budget.limit = x->tight ? (int64_t)sim_below(w, 500000) : MIB(256);
    x->process = sim_process_new(&x->net);
    struct io_driver *d = sim_driver_open(x->process, "echo", &x->server, turn_loop, x);
    const struct io_loop_cfg cfg = {.budget = &x->budget, .fibers_max = 64, .buffers = buffers};
    const enum rw_err err = io_loop_open(&x->loop, d, &cfg);
    MUST(err == RW_OK);
    scope_init(&x->scope, &x->loop);
    x->listen_fd = d->ops->listen(d, &x->server, 64, false);
    io_op_open(&x->loop, &x->accept, IO_OP_ACCEPT, x->listen_fd, accepted);
    io_submit(&x->loop, &x->accept);
    x->remote_listener = sim_listen(&x->net, &x->remote, remote_accept, x);
}

static bool all_done(const struct echo_world *x)
{
    for (uint32_t i = 0; i < x->peers; i++)
        if (!x->peer[i].done) return false;
    return x->served_n == 0 && scope_empty(&x->scope);
}

static void step_until(struct echo_world *x, bool (*content)(const struct echo_world *x), const char *what)
{
    struct sim_world *w = x->w;
    while (!content(x)) {
        const bool alive = sim_world_step(w);
        SIM_MUST(w, alive, "nothing can happen any more, and still: %s", what);
        SIM_MUST(w, w->now_ns < RUN_NS_MAX, "no end in sight of simulated time: %s", what);
    }
}

static bool accept_over(const struct echo_world *x)
{
    return !x->accept.submitted;
}

static void echo_close(struct echo_world *x)
{
    struct sim_world *w = x->w;
    x->stopping = true;
    io_cancel(&x->loop, &x->accept);
    step_until(x, accept_over, "the accept is to be cancelled");
    io_op_close(&x->loop, &x->accept);
    x->loop.driver->ops->fd_close(x->loop.driver, x->listen_fd);
    SIM_MUST(w, x->loop.fibers.running == 0, "%u fibers are left", x->loop.fibers.running);
    for (int i = 0; i < IO_GROUPS; i++) {
        const struct io_group *g = &x->loop.group[i];
        SIM_MUST(w, g->held == 0 && g->in_ring + g->spare_n == g->made,
                 "group %d: held %u, ring %u, spare %u of %u", i, g->held, g->in_ring, g->spare_n, g->made);
    }
    io_loop_close(&x->loop);
    SIM_MUST(w, x->budget.used == 0, "%ld bytes of the budget are left", (long)x->budget.used);
    sim_process_free(x->process);
    sim_listener_close(x->remote_listener);
    sim_net_close(&x->net);
    sim_world_close(w);
}

void sim_echo(struct sim_world *w, uint64_t seed, struct sim_totals *totals)
{
    static struct echo_world world;
    struct echo_world *x = &world;
    memset(x, 0, sizeof *x);
    echo_open(x, w, seed);
    x->trouble_before = x->w->troubles;
    const uint32_t clients = 1 + sim_below(w, CLIENTS_MAX - 1), calls = sim_below(w, CLIENTS_MAX);
    for (uint32_t i = 0; i < clients; i++) client_new(x);
    for (uint32_t i = 0; i < calls; i++) {
        const enum rw_err err = scope_spawn(&x->scope, outgoing, x);
        MUST(err == RW_OK);
    }
    step_until(x, all_done, "connections are open");
    totals->exchanges += clients + calls;
    echo_close(x);
}
