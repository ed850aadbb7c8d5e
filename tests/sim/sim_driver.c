// See sim_driver.h.
#include "tests/sim/sim_driver.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define FD_FIRST 3
#define FDS_MAX 4096
#define GROUP_BUFFERS_MAX 1024
#define SCRIBBLE_BYTES 2048u
#define SCRIBBLE 0xa5
// Completions of one multishot operation in one turn.
#define MANY_PER_TURN 4u

enum sock_kind { SOCK_UNUSED, SOCK_FRESH, SOCK_LISTENER, SOCK_CONN };
enum { RX, TX, POLLING, OPS_PER_SOCK };

// What the kernel remembers of an operation.
struct kernel_op {
    struct io_op *op; // NULL: nothing in flight
    uint8_t kind, group;
    bool cancelled;
    bool ended; // its last completion is queued
    int64_t cancel_ns; // when a cancellation takes effect
    int64_t last_ns; // its queued completions are ready no earlier
    uint64_t moved; // bytes of a send or of a receive into place
    uint64_t bytes; // of a send
    uint64_t hash; // of a send's bytes and places
    uint32_t queued; // completions
    void *into;
    uint32_t into_n;
};

struct sim_sock {
    uint8_t kind; // enum sock_kind
    bool dirty; // in its driver's list of those to look at
    struct sim_driver *driver; // of the loop that uses it
    int fd;
    struct sim_end *end;
    struct sim_listener *listener;
    struct io_addr from;
    struct kernel_op op[OPS_PER_SOCK];
};

struct completion {
    struct io_completion c;
    struct kernel_op *of;
    int64_t ready_ns;
};

struct buffer_group {
    uint16_t count, have;
    uint32_t bytes;
    uint16_t ids[GROUP_BUFFERS_MAX]; // those the kernel has
    uint8_t *p[GROUP_BUFFERS_MAX]; // NULL: the user's
};

struct sim_process {
    struct sim_net *net;
    struct sim_sock *sock[FDS_MAX]; // by descriptor, made once, kept
    uint32_t fds;
};

struct sim_driver {
    struct io_driver driver;
    struct sim_process *process;
    struct sim_actor actor;
    struct sim_world *world;
    struct sim_net *net;
    struct io_addr host;
    void (*turn)(void *ctx);
    void *ctx;
    int dirty[FDS_MAX];
    uint32_t dirty_n;
    struct completion *queue;
    uint32_t queue_n, queue_cap;
    uint32_t ops; // in flight
    struct buffer_group group[IO_GROUPS];
    bool woken;
    bool in_step; // turned by the world
    bool came; // the world had its turn for it
};

static struct sim_driver *driver_of(struct io_driver *d)
{
    return (struct sim_driver *)(void *)d;
}

static void mark(struct sim_sock *s)
{
    struct sim_driver *d = s->driver;
    d->actor.runnable = true;
    if (s->dirty) return;
    s->dirty = true;
    d->dirty[d->dirty_n++] = s->fd;
}

// --- Descriptors.

struct sim_process *sim_process_new(struct sim_net *net)
{
    struct sim_process *p = sim_calloc(1, sizeof *p);
    MUST(p);
    p->net = net;
    return p;
}

void sim_process_free(struct sim_process *p)
{
    for (int fd = FD_FIRST; fd < FDS_MAX && p->sock[fd]; fd++) {
        SIM_MUST(p->net->world, p->sock[fd]->kind == SOCK_UNUSED, "descriptor %d is left open", fd);
        free(p->sock[fd]);
    }
    free(p);
}

uint32_t sim_process_fds(const struct sim_process *p)
{
    return p->fds;
}

// Another loop of the process uses the socket from now on.
static void sock_move(struct sim_sock *s, struct sim_driver *to)
{
    struct sim_driver *from = s->driver;
    for (uint32_t i = 0; s->dirty && i < from->dirty_n; i++)
        if (from->dirty[i] == s->fd) from->dirty[i] = from->dirty[--from->dirty_n];
    s->dirty = false;
    s->driver = to;
}

static struct sim_sock *sock_new(struct sim_driver *d, enum sock_kind kind)
{
    struct sim_process *p = d->process;
    int fd = FD_FIRST;
    while (fd < FDS_MAX && p->sock[fd] && p->sock[fd]->kind != SOCK_UNUSED) fd++;
    SIM_MUST(d->world, fd < FDS_MAX, "%s: out of descriptors", d->actor.name);
    struct sim_sock *s = p->sock[fd];
    if (!s) {
        s = p->sock[fd] = sim_calloc(1, sizeof *s);
        MUST(s);
    } else if (s->driver != d) {
        sock_move(s, d);
    }
    const bool dirty = s->dirty; // the list may still hold the number
    *s = (struct sim_sock){.kind = (uint8_t)kind, .dirty = dirty, .driver = d, .fd = fd};
    p->fds++;
    return s;
}

static struct sim_sock *sock_at(struct sim_driver *d, int fd, const char *what)
{
    struct sim_sock *s = fd >= FD_FIRST && fd < FDS_MAX ? d->process->sock[fd] : NULL;
    SIM_MUST(d->world, s && s->kind != SOCK_UNUSED, "%s: %s with descriptor %d, which is not open",
             d->actor.name, what, fd);
    return s;
}

static void poked(struct sim_end *e)
{
    mark(e->owner);
}

static void queue_grew(struct sim_listener *l)
{
    mark(l->owner);
}

static int sim_listen_fd(struct io_driver *driver, const struct io_addr *addr, int backlog, bool shared_port)
{
    struct sim_driver *d = driver_of(driver);
    (void)backlog;
    if (!shared_port && sim_listening(d->net, addr)) return -EADDRINUSE;
    struct sim_sock *s = sock_new(d, SOCK_LISTENER);
    s->listener = sim_listen(d->net, addr, queue_grew, s);
    return s->fd;
}

static void sim_listen_stop_fd(struct io_driver *driver, int fd)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, fd, "listen_stop");
    SIM_MUST(d->world, s->kind == SOCK_LISTENER, "listen_stop of %d, which does not listen", fd);
    s->listener->stopped = true;
}

static int sim_socket(struct io_driver *driver, const struct io_addr *peer, const struct io_addr *bind_to)
{
    struct sim_driver *d = driver_of(driver);
    if (peer->n == 0) return -EINVAL;
    struct sim_sock *s = sock_new(d, SOCK_FRESH);
    s->from = bind_to ? *bind_to : d->host;
    return s->fd;
}

static void sim_accepted(struct io_driver *driver, int fd, struct io_addr *ret_peer)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, fd, "accepted");
    SIM_MUST(d->world, s->kind == SOCK_CONN, "accepted of %d, which is no connection", fd);
    *ret_peer = s->end->conn->from;
    if (s->end->reset) ret_peer->n = 0;
}

static void sim_shutdown_fd(struct io_driver *driver, int fd, int how)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, fd, "shutdown");
    if (s->kind != SOCK_CONN) return;
    if (how == SHUT_WR || how == SHUT_RDWR) sim_fin(s->end);
    if (how == SHUT_RD || how == SHUT_RDWR) sim_shut_read(s->end);
    mark(s);
}

static void sim_send_now(struct io_driver *driver, int fd, const void *p, uint32_t n)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, fd, "last words");
    if (s->kind == SOCK_CONN) (void)sim_write(s->end, p, n);
    mark(s);
}

static void sim_fd_close(struct io_driver *driver, int fd)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, fd, "close");
    for (int i = 0; i < OPS_PER_SOCK; i++)
        SIM_MUST(d->world, !s->op[i].op, "%s: descriptor %d was closed while operation kind %u is in flight",
                 d->actor.name, fd, s->op[i].kind);
    if (s->listener) sim_listener_close(s->listener);
    if (s->end) sim_close(s->end);
    s->kind = SOCK_UNUSED;
    s->end = NULL;
    s->listener = NULL;
    d->process->fds--;
}

// --- Operations.

static uint64_t send_hash(const struct io_op *op, uint64_t *ret_bytes)
{
    uint64_t h = UINT64_C(0x1234567), n = 0;
    for (size_t i = 0; i < op->send.msg_iovlen; i++) {
        const struct iovec *v = &op->send.msg_iov[i];
        const uint64_t place[2] = {(uint64_t)(uintptr_t)v->iov_base, v->iov_len};
        h = sim_hash(h, place, sizeof place);
        h = sim_hash(h, v->iov_base, v->iov_len);
        n += v->iov_len;
    }
    *ret_bytes = n;
    return h;
}

static bool look_at_sockets(struct sim_driver *d);

static void sim_submit(struct io_driver *driver, struct io_op *op)
{
    struct sim_driver *d = driver_of(driver);
    // A full queue is submitted first: the kernel works on what it holds while the handler still runs.
    if (sim_fault(d->world, SIM_SQ_FULL)) look_at_sockets(d);
    struct sim_sock *s = sock_at(d, op->fd, "submit");
    const int dir = op->kind == IO_OP_SEND || op->kind == IO_OP_CONNECT ? TX
        : op->kind == IO_OP_POLL                                        ? POLLING
                                                                        : RX;
    struct kernel_op *k = &s->op[dir];
    if (s->driver != d) {
        SIM_MUST(d->world, !s->op[RX].op && !s->op[TX].op, "descriptor %d is used by two loops", op->fd);
        sock_move(s, d);
    }
    SIM_MUST(d->world, !k->op, "%s: operation kind %u on descriptor %d while kind %u is in flight",
             d->actor.name, op->kind, op->fd, k->kind);
    *k = (struct kernel_op){.op = op, .kind = op->kind, .group = op->group};
    const bool fits = op->kind == IO_OP_ACCEPT ? s->kind == SOCK_LISTENER
        : op->kind == IO_OP_CONNECT            ? s->kind == SOCK_FRESH
                                               : s->kind == SOCK_CONN;
    SIM_MUST(d->world, fits && op->kind != IO_OP_NONE && op->kind < IO_OP_KINDS,
             "%s: operation kind %u does not fit descriptor %d", d->actor.name, op->kind, op->fd);
    d->ops++;
    if (op->kind == IO_OP_SEND) {
        k->hash = send_hash(op, &k->bytes);
    } else if (op->kind == IO_OP_RECV_INTO) {
        k->into = op->into.p;
        k->into_n = op->into.n;
        SIM_MUST(d->world, k->into_n > 0, "a receive into nothing");
    } else if (op->kind == IO_OP_CONNECT) {
        struct io_addr to = {.n = op->connect.n};
        MUST(op->connect.n <= sizeof to.un);
        memcpy(&to.sa, op->connect.sa, op->connect.n);
        s->end = sim_connect(d->net, &to, &s->from, poked, s);
        s->kind = SOCK_CONN;
    }
    mark(s);
}

static void sim_cancel(struct io_driver *driver, struct io_op *op)
{
    struct sim_driver *d = driver_of(driver);
    struct sim_sock *s = sock_at(d, op->fd, "cancel");
    struct kernel_op *k = NULL;
    for (int i = 0; i < OPS_PER_SOCK; i++)
        if (s->op[i].op == op) k = &s->op[i];
    SIM_MUST(d->world, op->submitted, "%s: cancel of an operation that is not in flight", d->actor.name);
    // Its last completion may lie in the loop's hands already.
    if (!k || k->cancelled || k->ended) return;
    k->cancelled = true;
    k->cancel_ns = d->world->now_ns;
    if (sim_fault(d->world, SIM_CANCEL_LATE)) k->cancel_ns += sim_between(d->world, 1, 20 * CLOCK_MS);
    mark(s);
}

// Queues a completion of k.
static void complete(struct sim_driver *d, struct kernel_op *k, int32_t res, uint32_t flags)
{
    struct sim_world *w = d->world;
    if (d->queue_n == d->queue_cap) {
        d->queue_cap = d->queue_cap ? d->queue_cap * 2 : 256;
        d->queue = sim_realloc(d->queue, d->queue_cap * sizeof *d->queue);
        MUST(d->queue);
    }
    int64_t ready_ns = w->now_ns;
    if (sim_fault(w, SIM_LATE))
        ready_ns += sim_between(w, 1, sim_chance(w, 10) ? 500 * CLOCK_MS : 3 * CLOCK_MS);
    if (ready_ns < k->last_ns) ready_ns = k->last_ns;
    k->last_ns = ready_ns;
    k->queued++;
    k->ended = !(flags & IO_MORE);
    uint32_t at = d->queue_n++;
    if (sim_fault(w, SIM_REORDER)) {
        for (uint32_t back = 1 + sim_below(w, 8); back > 0 && at > 0 && d->queue[at - 1].of != k;
             back--, at--)
            d->queue[at] = d->queue[at - 1];
    }
    d->queue[at] = (struct completion){{k->op, res, flags}, k, ready_ns};
    sim_note(w, k->ended ? "completion" : "completion, more", (uint64_t)k->kind << 32 | (uint32_t)k->op->fd,
             (uint64_t)(int64_t)res);
}

// --- Progress, by kind of operation. True: look again in the next turn.

static bool progress_accept(struct sim_sock *s, struct kernel_op *k)
{
    struct sim_driver *d = s->driver;
    for (uint32_t i = 0; i < MANY_PER_TURN; i++) {
        if (list_empty(&s->listener->queue)) return false;
        if (sim_fault(d->world, SIM_ACCEPT_ERROR)) {
            sim_trouble(d->world, d->world->now_ns);
            complete(d, k, -EMFILE, 0);
            return false;
        }
        struct sim_sock *client = sock_new(d, SOCK_CONN);
        client->end = sim_accept(s->listener);
        client->end->poke = poked;
        client->end->owner = client;
        complete(d, k, client->fd, IO_MORE);
    }
    return true;
}

// What a receive finds: 1 bytes, 0 nothing yet, -1: *ret_res is how it ends.
static int readable(struct sim_end *e, int32_t *ret_res)
{
    if (sim_unread(e) > 0) return 1;
    if (e->reset && !e->read_shut && !e->in->fin_arrived) {
        *ret_res = e->reset_seen ? 0 : -ECONNRESET;
        e->reset_seen = true;
        return -1;
    }
    if (e->reset || sim_at_eof(e)) {
        *ret_res = 0;
        return -1;
    }
    return 0;
}

static uint32_t short_of(struct sim_driver *d, uint32_t n)
{
    return n > 1 && sim_fault(d->world, SIM_SHORT_READ) ? sim_piece(d->world, n) : n;
}

// One of the buffers that the kernel has: the newest, mostly.
static uint16_t buffer_take(struct sim_driver *d, struct buffer_group *g)
{
    uint32_t at = g->have - 1u;
    if (sim_chance(d->world, 10)) at = sim_below(d->world, g->have);
    const uint16_t id = g->ids[at];
    g->ids[at] = g->ids[--g->have];
    const uint8_t *p = g->p[id];
    const uint32_t n = g->bytes < SCRIBBLE_BYTES ? g->bytes : SCRIBBLE_BYTES;
    SIM_MUST(d->world, p[0] == SCRIBBLE && memcmp(p, p + 1, n - 1) == 0,
             "%s: buffer %u was written to while the kernel had it", d->actor.name, id);
    return id;
}

static bool progress_recv(struct sim_sock *s, struct kernel_op *k)
{
    struct sim_driver *d = s->driver;
    struct buffer_group *g = &d->group[k->group];
    const bool many = k->kind == IO_OP_RECV_MANY;
    for (uint32_t i = 0; i < (many ? MANY_PER_TURN : 1); i++) {
        int32_t res = 0;
        const int is = readable(s->end, &res);
        if (is == 0) return false;
        if (is < 0) {
            complete(d, k, res, 0);
            return false;
        }
        // The queue of completions may hold it back until others have been given: as good as none left now.
        if (g->have == 0 || (g->have < g->count && sim_fault(d->world, SIM_ENOBUFS))) {
            if (g->have == 0) d->world->fired[SIM_ENOBUFS]++;
            complete(d, k, -ENOBUFS, 0);
            return false;
        }
        const uint16_t id = buffer_take(d, g);
        uint32_t n = sim_unread(s->end);
        n = short_of(d, n < g->bytes ? n : g->bytes);
        n = sim_read(s->end, g->p[id], n);
        g->p[id] = NULL;
        complete(d, k, (int32_t)n, (many ? IO_MORE : 0) | IO_BUFFER | (uint32_t)id << 16);
    }
    return many;
}

static bool progress_into(struct sim_sock *s, struct kernel_op *k)
{
    struct sim_driver *d = s->driver;
    int32_t res = 0;
    const int is = readable(s->end, &res);
    if (is == 1) {
        const uint32_t left = k->into_n - (uint32_t)k->moved,
                       n = short_of(d, left < sim_unread(s->end) ? left : sim_unread(s->end));
        k->moved += sim_read(s->end, (uint8_t *)k->into + k->moved, n);
        if (k->moved < k->into_n) return true; // more bytes, or the end
        complete(d, k, (int32_t)k->moved, 0);
    } else if (is < 0) {
        complete(d, k, k->moved ? (int32_t)k->moved : res, 0);
    }
    return false;
}

static void check_send(struct sim_driver *d, const struct kernel_op *k)
{
    uint64_t bytes;
    SIM_MUST(d->world, send_hash(k->op, &bytes) == k->hash && bytes == k->bytes,
             "%s: the memory of a send on descriptor %d changed while the kernel had it", d->actor.name,
             k->op->fd);
}

// Moves what fits, from where the last time stopped.
static void send_some(struct sim_sock *s, struct kernel_op *k, uint64_t most)
{
    uint64_t skip = k->moved;
    for (size_t i = 0; i < k->op->send.msg_iovlen && most > 0; i++) {
        const struct iovec *v = &k->op->send.msg_iov[i];
        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        const uint64_t have = v->iov_len - skip, want = have < most ? have : most;
        const uint32_t n = sim_write(s->end, (const uint8_t *)v->iov_base + skip, (uint32_t)want);
        k->moved += n;
        most -= n;
        skip = 0;
        if (n < want) return;
    }
}

static bool progress_send(struct sim_sock *s, struct kernel_op *k)
{
    struct sim_driver *d = s->driver;
    struct sim_end *e = s->end;
    if (e->reset || e->out->fin_sent) {
        complete(d, k, e->reset && !e->reset_seen && k->moved ? -ECONNRESET : -EPIPE, 0);
        e->reset_seen = e->reset;
        return false;
    }
    uint64_t most = k->bytes - k->moved;
    bool again = false;
    if (most > 1 && sim_room(e) > 0 && sim_fault(d->world, SIM_SHORT_WRITE)) {
        most = sim_piece(d->world, most > 100000 ? 100000 : (uint32_t)most);
        again = true;
    }
    if (k->moved == 0 && sim_room(e) > 0) check_send(d, k);
    send_some(s, k, most);
    if (k->moved < k->bytes) return again;
    complete(d, k, (int32_t)k->bytes, 0);
    return false;
}

static bool progress_connect(struct sim_sock *s, struct kernel_op *k)
{
    if (s->end->conn->state == SIM_OPEN) complete(s->driver, k, 0, 0);
    else if (s->end->conn->state == SIM_REFUSED) complete(s->driver, k, -ECONNREFUSED, 0);
    return false;
}

static bool progress_poll(struct sim_sock *s, struct kernel_op *k)
{
    int32_t res;
    int32_t ready = readable(s->end, &res) ? POLLIN : 0;
    if (sim_room(s->end) > 0 || s->end->reset) ready |= POLLOUT;
    ready &= k->op->poll_events;
    if (ready) complete(s->driver, k, ready, 0);
    return false;
}

static bool progress(struct sim_sock *s, struct kernel_op *k)
{
    switch ((enum io_op_kind)k->kind) {
    case IO_OP_ACCEPT: return progress_accept(s, k);
    case IO_OP_RECV_MANY:
    case IO_OP_RECV: return progress_recv(s, k);
    case IO_OP_RECV_INTO: return progress_into(s, k);
    case IO_OP_SEND: return progress_send(s, k);
    case IO_OP_CONNECT: return progress_connect(s, k);
    case IO_OP_POLL: return progress_poll(s, k);
    case IO_OP_NONE:
    case IO_OP_KINDS: break;
    }
    UNREACHABLE("an operation of no kind");
}

// The cancellation takes effect. A send or a receive into place that has moved bytes says so in its way.
static void cancel_now(struct sim_driver *d, struct kernel_op *k)
{
    if (k->kind == IO_OP_RECV_INTO && k->moved) complete(d, k, (int32_t)k->moved, 0);
    else if (k->kind == IO_OP_SEND && k->moved) complete(d, k, -EPIPE, 0);
    else complete(d, k, -ECANCELED, 0);
}

#define AGAIN 1u // it can go on without anything else happening first
#define LATER 2u // a cancellation takes effect later

// All that can happen on a socket now; returns a mask of these.
static uint32_t sock_progress(struct sim_sock *s)
{
    struct sim_driver *d = s->driver;
    struct sim_world *w = d->world;
    uint32_t mask = 0;
    for (int i = 0; i < OPS_PER_SOCK; i++) {
        struct kernel_op *k = &s->op[i];
        if (!k->op || k->ended) continue;
        SIM_MUST(w, k->op->kind == k->kind && k->op->submitted && k->op->fd == s->fd,
                 "%s: an operation on descriptor %d was changed in flight", d->actor.name, s->fd);
        const bool due = k->cancelled && k->cancel_ns <= w->now_ns;
        if ((!due || sim_fault(w, SIM_CANCEL_RACE)) && progress(s, k)) mask |= AGAIN;
        if (due && !k->ended) cancel_now(d, k);
        if (k->cancelled && !k->ended) {
            d->actor.wake_ns = clock_earlier(d->actor.wake_ns, k->cancel_ns);
            mask |= LATER;
        }
    }
    return mask;
}

// --- Turns.

// True if a socket can go on at once.
static bool look_at_sockets(struct sim_driver *d)
{
    int now[FDS_MAX];
    uint32_t n = d->dirty_n;
    bool again = false;
    memcpy(now, d->dirty, n * sizeof *now);
    d->dirty_n = 0;
    for (; n > 0; n--) {
        const uint32_t pick = n > 1 ? sim_below(d->world, n) : 0;
        struct sim_sock *s = d->process->sock[now[pick]];
        now[pick] = now[n - 1];
        s->dirty = false;
        if (s->kind == SOCK_UNUSED) continue;
        const uint32_t mask = sock_progress(s);
        again = again || (mask & AGAIN);
        if (mask && !s->dirty) {
            s->dirty = true;
            d->dirty[d->dirty_n++] = s->fd;
        }
    }
    return again;
}

static int hand_out(struct sim_driver *d, struct io_completion *ret, int max)
{
    struct sim_world *w = d->world;
    uint32_t kept = 0;
    int n = 0;
    for (uint32_t i = 0; i < d->queue_n; i++) {
        struct completion *c = &d->queue[i];
        if (n == max || c->ready_ns > w->now_ns) {
            d->actor.wake_ns = clock_earlier(d->actor.wake_ns, c->ready_ns);
            d->queue[kept++] = *c;
            continue;
        }
        struct kernel_op *k = c->of;
        SIM_MUST(w, k->op == c->c.op && k->op->kind == k->kind && k->op->submitted,
                 "%s: an operation was changed in flight", d->actor.name);
        k->queued--;
        ret[n++] = c->c;
        if (c->c.flags & IO_MORE) continue;
        if (k->kind == IO_OP_SEND) check_send(d, k);
        k->op = NULL;
        d->ops--;
    }
    d->queue_n = kept;
    return n;
}

static int turn_once(struct sim_driver *d, int64_t deadline_ns, struct io_completion *ret, int max)
{
    d->actor.runnable = false;
    d->actor.wake_ns = CLOCK_NEVER;
    const bool again = look_at_sockets(d);
    const int n = hand_out(d, ret, max);
    if (n > 0 || again || d->woken || deadline_ns <= d->world->now_ns) d->actor.runnable = true;
    else d->actor.wake_ns = clock_earlier(d->actor.wake_ns, deadline_ns);
    d->woken = false;
    return n;
}

static void came(struct sim_actor *a)
{
    LIST_OWNER(a, struct sim_driver, actor)->came = true;
}

static int sim_turn(struct io_driver *driver, int64_t deadline_ns, struct io_completion *ret, int max)
{
    struct sim_driver *d = driver_of(driver);
    int n = turn_once(d, deadline_ns, ret, max);
    // The world turns whom it likes, and a turn need not wait. But who turns by himself waits here for the world.
    void (*const step)(struct sim_actor * a) = d->actor.step;
    d->actor.step = came;
    while (!d->in_step && !d->actor.runnable) {
        for (d->came = false; !d->came;)
            SIM_MUST(d->world, sim_world_step(d->world), "%s waits for ever", d->actor.name);
        n = turn_once(d, deadline_ns, ret, max);
    }
    d->actor.step = step;
    return n;
}

static void actor_step(struct sim_actor *a)
{
    struct sim_driver *d = LIST_OWNER(a, struct sim_driver, actor);
    d->in_step = true;
    d->turn(d->ctx);
    d->in_step = false;
}

static void sim_wake(struct io_driver *driver)
{
    struct sim_driver *d = driver_of(driver);
    d->woken = d->actor.runnable = true;
}

static void sim_clock(struct io_driver *driver, struct io_time *ret)
{
    const struct sim_world *w = driver_of(driver)->world;
    *ret = (struct io_time){.now_ns = w->now_ns, .wall_ns = w->now_ns + w->wall_ahead_ns};
}

// --- Buffers.

static int sim_group_open(struct io_driver *driver, uint8_t group, uint16_t count, uint32_t bytes)
{
    struct sim_driver *d = driver_of(driver);
    MUST(group < IO_GROUPS && count <= GROUP_BUFFERS_MAX);
    d->group[group].count = count;
    d->group[group].bytes = bytes;
    return 0;
}

static void sim_buffer_give(struct io_driver *driver, uint8_t group, uint16_t id, void *p)
{
    struct sim_driver *d = driver_of(driver);
    struct buffer_group *g = &d->group[group];
    SIM_MUST(d->world, id < g->count && !g->p[id], "%s: buffer %u of group %u was given twice", d->actor.name,
             id, group);
    for (uint16_t i = 0; i < g->have; i++)
        SIM_MUST(d->world, g->p[g->ids[i]] != p, "%s: the same memory was given under two ids",
                 d->actor.name);
    g->p[id] = p;
    g->ids[g->have++] = id;
    memset(p, SCRIBBLE, g->bytes < SCRIBBLE_BYTES ? g->bytes : SCRIBBLE_BYTES);
}

// --- Beginning and end.

static void sim_driver_close(struct io_driver *driver)
{
    struct sim_driver *d = driver_of(driver);
    SIM_MUST(d->world, d->ops == 0 && d->queue_n == 0, "%s: %u operations are left", d->actor.name, d->ops);
    sim_actor_remove(d->world, &d->actor);
    // Sockets that it used last may be closed by others of the process.
    for (int fd = FD_FIRST; fd < FDS_MAX && d->process->sock[fd]; fd++) {
        struct sim_sock *s = d->process->sock[fd];
        SIM_MUST(d->world, s->kind == SOCK_UNUSED || s->driver != d, "%s: descriptor %d is left open",
                 d->actor.name, fd);
        if (s->driver == d) s->dirty = false;
    }
    free(d->queue);
    free(d);
}

static const struct io_driver_ops ops = {
    .name = "sim",
    .close = sim_driver_close,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .turn = sim_turn,
    .wake = sim_wake,
    .clock = sim_clock,
    .group_open = sim_group_open,
    .buffer_give = sim_buffer_give,
    .listen = sim_listen_fd,
    .listen_stop = sim_listen_stop_fd,
    .socket = sim_socket,
    .accepted = sim_accepted,
    .shutdown = sim_shutdown_fd,
    .send_now = sim_send_now,
    .fd_close = sim_fd_close,
};

struct io_driver *sim_driver_open(struct sim_process *process, const char *name, const struct io_addr *host,
                                  void (*turn)(void *ctx), void *ctx)
{
    struct sim_driver *d = sim_calloc(1, sizeof *d);
    MUST(d);
    struct sim_net *net = process->net;
    d->driver.ops = &ops;
    d->process = process;
    d->world = net->world;
    d->net = net;
    d->host = *host;
    d->turn = turn;
    d->ctx = ctx;
    sim_actor_add(net->world, &d->actor, name, actor_step);
    return &d->driver;
}
