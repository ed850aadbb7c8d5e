// The epoll driver, for the many places where io_uring is blocked: it does what the ring does, with readiness
// underneath.
//
// A descriptor is registered once, edge-triggered, when the first operation is submitted for it. From then on
// an edge sets a flag of its entry (`in`, `out`), and only a call that ran dry clears it; so a request costs
// receives, sends and its share of an epoll_wait, and no epoll_ctl. Operations are only ever tried inside
// turn(): submit() and events put the descriptor on the work list, which is visited first in, first out, each
// entry once per pass and for a bounded number of calls, so that a fast peer cannot keep the others waiting.
// What does not fit into the caller's batch stays on the list.
//
// One operation of each direction per descriptor: receive or accept, send or connect, and a poll. Memory: 48
// bytes per descriptor number, grown by doubling, and two words per provided buffer.
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/buf.h"
#include "io/clock.h"
#include "io/driver.h"
#include "io/sock.h"

#define EVENTS_MAX 256 // of one epoll_wait
#define RECEIVES_PER_VISIT 4
#define ACCEPTS_PER_VISIT 16
#define SEND_PARTS_MAX 64 // of one sendmsg
// A turn that completed something without asking epoll returns at once; after so many of them epoll is asked
// all the same.
#define WAITS_SKIPPED_MAX 4
#define STREAM_EVENTS (uint32_t)(EPOLLIN | EPOLLRDHUP) // EPOLLOUT is added at the first send that has to wait
#define FDS_BYTES (IO_FDS_MAX * sizeof(struct entry))
#define NO_FD (-1)

#define WAKE_DATA UINT64_MAX

// op->driver_bits
#define OP_HELD 1u // submitted and not yet completed
#define OP_CANCELLED 2u // on the cancelled list
#define OP_STARTED 4u // connect() was called

struct entry {
    struct io_op *rx, *tx, *poll;
    uint32_t generation; // of the descriptor number; an event of an older one is dropped
    uint32_t watched; // EPOLL* that are registered; 0: none
    int next; // in the work list
    int16_t rx_error; // came after bytes that a RECV_INTO had to report first
    uint8_t ops; // held, for fd_close()
    bool in, out; // an edge was seen and not used up
    bool ended; // the peer's end or an error is behind what is still unread: a short receive is not the last
    bool linked; // in the work list
    bool listens; // such a descriptor may live on in another process
    bool streams; // watched for more than polls: only fd_close() ends that
};

static_assert(sizeof(struct entry) == 48, "entries are counted in thousands");

struct group {
    void **at; // by id
    uint16_t *free; // ids given, last in first out: the warmest buffer is filled next
    uint32_t free_n;
    uint32_t count;
    uint32_t bytes;
};

struct epoll {
    struct io_driver driver;
    struct io_clock clock;
    int fd;
    int wake_fd;
    struct entry *fds;
    int work_first, work_last;
    uint32_t work_n;
    struct io_op *cancelled, **cancelled_end;
    int skipped; // turns that did not ask epoll
    bool coarse; // the kernel has no epoll_pwait2 (before 5.11)
    struct group group[IO_GROUPS];
    struct epoll_event events[EVENTS_MAX];
};

// The caller's batch.
struct batch {
    struct io_completion *ret;
    int n, max;
    int patient; // of n
};

static struct epoll *epoll_of(struct io_driver *d)
{
    return (struct epoll *)(void *)d;
}

static struct entry *entry_of(struct epoll *p, int fd)
{
    MUST(fd >= 0 && (uint32_t)fd < IO_FDS_MAX);
    return &p->fds[fd];
}

static void work_add(struct epoll *p, int fd)
{
    struct entry *e = &p->fds[fd];
    if (e->linked) return;
    e->linked = true;
    e->next = NO_FD;
    if (p->work_last == NO_FD) p->work_first = fd;
    else p->fds[p->work_last].next = fd;
    p->work_last = fd;
    p->work_n++;
}

static int work_take(struct epoll *p)
{
    const int fd = p->work_first;
    struct entry *e = &p->fds[fd];
    p->work_first = e->next;
    if (p->work_first == NO_FD) p->work_last = NO_FD;
    e->linked = false;
    p->work_n--;
    return fd;
}

// Something can be tried for the descriptor now.
static bool has_work(const struct entry *e)
{
    return (e->rx && (e->in || e->rx_error)) || (e->tx && e->out);
}

// --- Completing.

static void put(struct batch *b, struct io_op *op, int32_t res, uint32_t flags)
{
    MUST(b->n < b->max);
    b->ret[b->n++] = (struct io_completion){.op = op, .res = res, .flags = flags};
}

static struct io_op **slot_of(struct entry *e, const struct io_op *op)
{
    switch ((enum io_op_kind)op->kind) {
    case IO_OP_ACCEPT:
    case IO_OP_RECV_MANY:
    case IO_OP_RECV:
    case IO_OP_RECV_INTO: return &e->rx;
    case IO_OP_SEND:
    case IO_OP_CONNECT: return &e->tx;
    case IO_OP_POLL: return &e->poll;
    case IO_OP_NONE:
    case IO_OP_KINDS: break;
    }
    UNREACHABLE("an operation without a kind was submitted");
}

// The last completion of an operation.
static void finish(struct batch *b, struct entry *e, struct io_op *op, int64_t res, uint32_t flags)
{
    struct io_op **slot = slot_of(e, op);
    MUST(*slot == op && e->ops > 0 && res <= INT32_MAX);
    *slot = NULL;
    e->ops--;
    op->driver_bits = 0;
    put(b, op, (int32_t)res, flags);
}

// --- Registration.

// Sees that epoll watches for `events` (and what it watched for before). 0 or a negative errno.
static int watch(struct epoll *p, struct entry *e, int fd, uint32_t events)
{
    const uint32_t want = e->watched | events;
    if (RW_LIKELY(want == e->watched)) return 0;
    struct epoll_event ev = {.events = want | EPOLLET,
                             .data.u64 = (uint64_t)e->generation << 32 | (uint32_t)fd};
    if (epoll_ctl(p->fd, e->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) != 0) return -errno;
    e->watched = want;
    return 0;
}

// The owner of a descriptor that was only polled may close it without telling us (resolvers do): nothing is
// kept.
static void forget_if_only_polled(struct epoll *p, struct entry *e, int fd)
{
    if (e->streams || e->poll) return;
    if (e->watched) (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
    e->watched = 0;
    e->generation++;
    e->in = e->out = e->ended = false;
}

// --- Trying. Each function completes the operation, or clears the flag that says it can be tried, or leaves
// both for the next visit.

static void try_accept(struct batch *b, struct entry *e, struct io_op *op)
{
    for (int i = 0; i < ACCEPTS_PER_VISIT && b->n < b->max; i++) {
        const int fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            put(b, op, fd, IO_MORE);
        } else if (errno == EAGAIN) {
            e->in = false;
            return;
        } else {
            // As in the ring an error ends it. The connection may still wait (EMFILE): the flag stays.
            finish(b, e, op, -errno, 0);
            return;
        }
    }
}

// False when the socket ran dry or failed.
static bool receive(struct entry *e, int fd, void *p, size_t n, ssize_t *ret_n)
{
    *ret_n = recv(fd, p, n, 0);
    if (*ret_n > 0) {
        // A short receive took all there was; what comes later is a new edge. Only an end that was already
        // reported is not.
        if ((size_t)*ret_n < n && !e->ended) e->in = false;
        return true;
    }
    if (*ret_n == 0) return true;
    *ret_n = -errno;
    if (*ret_n != -EAGAIN) return true;
    e->in = e->ended = false;
    return false;
}

static void try_receive(struct epoll *p, struct batch *b, struct entry *e, struct io_op *op)
{
    struct group *g = &p->group[op->group];
    for (int i = 0; i < RECEIVES_PER_VISIT && e->in && b->n < b->max; i++) {
        if (RW_UNLIKELY(g->free_n == 0)) {
            finish(b, e, op, -ENOBUFS, 0);
            return;
        }
        const uint16_t id = g->free[g->free_n - 1];
        ssize_t n;
        if (!receive(e, op->fd, g->at[id], g->bytes, &n)) return;
        if (n <= 0) {
            finish(b, e, op, n, 0);
            return;
        }
        g->free_n--;
        const uint32_t flags = IO_BUFFER | (uint32_t)id << 16;
        if (op->kind == IO_OP_RECV) {
            finish(b, e, op, n, flags);
            return;
        }
        put(b, op, (int32_t)n, flags | IO_MORE);
    }
}

// Goes on until the region is full, the stream ends or fails; bytes that are there are reported before
// either.
static void try_receive_into(struct batch *b, struct entry *e, struct io_op *op)
{
    for (int i = 0; i < RECEIVES_PER_VISIT && e->in; i++) {
        ssize_t n;
        if (!receive(e, op->fd, (uint8_t *)op->into.p + op->driver_word, op->into.n - op->driver_word, &n))
            return;
        if (n < 0 && op->driver_word > 0) e->rx_error = (int16_t)n;
        if (n > 0) op->driver_word += (uint32_t)n;
        if (n <= 0 || op->driver_word == op->into.n) {
            finish(b, e, op, op->driver_word > 0 ? (int64_t)op->driver_word : n, 0);
            return;
        }
    }
}

static void try_rx(struct epoll *p, struct batch *b, struct entry *e)
{
    struct io_op *op = e->rx;
    if (RW_UNLIKELY(e->rx_error)) {
        finish(b, e, op, e->rx_error, 0);
        e->rx_error = 0;
    } else if (op->kind == IO_OP_ACCEPT) {
        try_accept(b, e, op);
    } else if (op->kind == IO_OP_RECV_INTO) {
        try_receive_into(b, e, op);
    } else {
        try_receive(p, b, e, op);
    }
}

// What is left to send after the first `sent` bytes, as far as it fits; *ret_all: it is the whole rest.
static int send_parts(const struct msghdr *m, size_t sent, struct iovec part[SEND_PARTS_MAX],
                      size_t *ret_bytes, bool *ret_all)
{
    int n = 0;
    *ret_bytes = 0;
    *ret_all = true;
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        const struct iovec *v = &m->msg_iov[i];
        if (sent >= v->iov_len) {
            sent -= v->iov_len;
            continue;
        }
        if (n == SEND_PARTS_MAX) {
            *ret_all = false;
            break;
        }
        part[n++] = (struct iovec){(uint8_t *)v->iov_base + sent, v->iov_len - sent};
        *ret_bytes += v->iov_len - sent;
        sent = 0;
    }
    return n;
}

static void try_send(struct epoll *p, struct batch *b, struct entry *e, struct io_op *op)
{
    struct iovec part[SEND_PARTS_MAX];
    struct msghdr m = {.msg_iov = part};
    size_t bytes;
    bool all;
    const int parts = send_parts(&op->send, op->driver_word, part, &bytes, &all);
    m.msg_iovlen = (size_t)parts;
    ssize_t n = 0;
    if (parts == 1) n = send(op->fd, part[0].iov_base, bytes, MSG_NOSIGNAL);
    else if (parts > 1) n = sendmsg(op->fd, &m, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        finish(b, e, op, -errno, 0);
        return;
    }
    op->driver_word += n > 0 ? (uint32_t)n : 0;
    if ((size_t)(n > 0 ? n : 0) < bytes) {
        // The kernel's buffer is full, and it promises an edge once there is room. Registering asks for the
        // level first.
        e->out = false;
        const int err = watch(p, e, op->fd, EPOLLOUT);
        if (err) finish(b, e, op, err, 0);
    } else if (all) {
        if (op->patient) b->patient++;
        finish(b, e, op, op->driver_word, 0);
    }
}

// The same call starts a connection and, after an edge, says how it went; a false alarm is -EALREADY. An
// unconnected socket would report a hang-up, so it is watched from here on only.
static void try_connect(struct epoll *p, struct batch *b, struct entry *e, struct io_op *op)
{
    int err = connect(op->fd, op->connect.sa, op->connect.n) == 0 ? 0 : -errno;
    const bool again = op->driver_bits & OP_STARTED;
    op->driver_bits |= OP_STARTED;
    if (err == -EINPROGRESS || (again && err == -EALREADY)) {
        e->out = false;
        err = watch(p, e, op->fd, STREAM_EVENTS | EPOLLOUT);
        e->streams = !err;
        if (!err) return;
    }
    finish(b, e, op, again && err == -EISCONN ? 0 : err, 0);
}

static void try_poll(struct epoll *p, struct batch *b, struct entry *e, struct io_op *op)
{
    // Watched first, asked then: nothing falls between. Ordinary files cannot be watched and are always
    // ready.
    const int err = watch(p, e, op->fd, op->poll_events | (uint32_t)EPOLLERR);
    struct pollfd ask = {.fd = op->fd, .events = (short)op->poll_events};
    const int n = poll(&ask, 1, 0);
    const int refused = n < 0 ? -errno : 0;
    const int fd = op->fd;
    if (n > 0 && !(ask.revents & POLLNVAL)) finish(b, e, op, ask.revents, 0);
    else if (n > 0 || err) finish(b, e, op, err ? err : -EBADF, 0);
    else if (refused) finish(b, e, op, refused, 0); // no memory: its owner asks again
    else return;
    forget_if_only_polled(p, e, fd);
}

// --- The work list.

// The first visit of a descriptor. It is taken for writable until a send shows otherwise, and only then
// watched for it.
static void begin_watching(struct epoll *p, struct batch *b, struct entry *e, int fd)
{
    if (!e->rx && !e->tx) return;
    e->out = true;
    if (e->tx && e->tx->kind == IO_OP_CONNECT) try_connect(p, b, e, e->tx);
    if (e->streams || (!e->rx && !e->tx)) return;
    const int err = watch(p, e, fd, STREAM_EVENTS);
    e->streams = !err;
    if (!err) return;
    if (e->tx && b->n < b->max) finish(b, e, e->tx, err, 0);
    if (e->rx && b->n < b->max) finish(b, e, e->rx, err, 0);
}

static void visit(struct epoll *p, struct batch *b, int fd)
{
    struct entry *e = &p->fds[fd];
    if (RW_UNLIKELY(!e->streams)) begin_watching(p, b, e, fd);
    // Sends go first: what they free, the receives may use.
    if (e->tx && e->out && b->n < b->max) {
        if (e->tx->kind == IO_OP_SEND) try_send(p, b, e, e->tx);
        else try_connect(p, b, e, e->tx);
    }
    if (e->rx && (e->in || e->rx_error) && b->n < b->max) try_rx(p, b, e);
    bool poll_left = e->poll;
    if (e->poll && b->n < b->max) {
        try_poll(p, b, e, e->poll);
        poll_left = false;
    }
    if (has_work(e) || poll_left || ((e->rx || e->tx) && !e->streams)) work_add(p, fd);
}

static void run_work(struct epoll *p, struct batch *b)
{
    for (uint32_t n = p->work_n; n > 0 && b->n < b->max; n--) visit(p, b, work_take(p));
}

static void run_cancelled(struct epoll *p, struct batch *b)
{
    while (p->cancelled && b->n < b->max) {
        struct io_op *op = p->cancelled;
        p->cancelled = op->driver_next;
        if (!p->cancelled) p->cancelled_end = &p->cancelled;
        op->driver_bits = 0;
        if (op->kind != IO_OP_POLL) entry_of(p, op->fd)->ops--;
        // Bytes that were received are never lost.
        const bool partial = op->kind == IO_OP_RECV_INTO && op->driver_word > 0;
        put(b, op, partial ? (int32_t)op->driver_word : -ECANCELED, 0);
    }
}

// --- Waiting.

static int wait_for_events(struct epoll *p, int64_t deadline_ns)
{
    if (deadline_ns == 0) return epoll_wait(p->fd, p->events, EVENTS_MAX, 0);
    if (deadline_ns == CLOCK_NEVER) return epoll_wait(p->fd, p->events, EVENTS_MAX, -1);
    const int64_t now_ns = io_clock_now();
    const int64_t left = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    if (!p->coarse) {
        const struct timespec ts = {.tv_sec = left / CLOCK_SEC, .tv_nsec = left % CLOCK_SEC};
        // By number: the C library has had it since 2.35 only.
        const long n = syscall(SYS_epoll_pwait2, p->fd, p->events, EVENTS_MAX, &ts, NULL, 0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)n;
        p->coarse = true;
    }
    // Rounded up: an early return would only come back to wait again.
    const int64_t ms = (left + CLOCK_MS - 1) / CLOCK_MS;
    return epoll_wait(p->fd, p->events, EVENTS_MAX, ms < INT32_MAX ? (int)ms : INT32_MAX);
}

static void take_event(struct epoll *p, const struct epoll_event *ev)
{
    if (ev->data.u64 == WAKE_DATA) return;
    const int fd = (int)(ev->data.u64 & UINT32_MAX);
    struct entry *e = entry_of(p, fd);
    if (e->generation != (uint32_t)(ev->data.u64 >> 32)) return;
    if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) e->ended = true;
    if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) e->in = true;
    if (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) e->out = true;
    if (has_work(e) || e->poll) work_add(p, fd);
}

static void wait_once(struct epoll *p, int64_t deadline_ns)
{
    const int n = wait_for_events(p, deadline_ns);
    MUST(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) take_event(p, &p->events[i]);
}

static int turn(struct io_driver *d, int64_t deadline_ns, struct io_completion *ret, int max)
{
    struct epoll *p = epoll_of(d);
    struct batch b = {.ret = ret, .max = max};
    run_cancelled(p, &b);
    run_work(p, &b);
    const bool urgent = b.n > b.patient || b.n == max;
    if (urgent && p->skipped < WAITS_SKIPPED_MAX) {
        p->skipped++;
        return b.n;
    }
    p->skipped = 0;
    if (b.n > 0) deadline_ns = clock_earlier(deadline_ns, io_clock_now() + IO_PATIENCE_NS);
    wait_once(p, urgent || p->work_n > 0 || p->cancelled ? 0 : deadline_ns);
    run_work(p, &b);
    return b.n;
}

// --- The rest of the seam.

static void submit(struct io_driver *d, struct io_op *op)
{
    struct epoll *p = epoll_of(d);
    struct entry *e = entry_of(p, op->fd);
    struct io_op **slot = slot_of(e, op);
    MUST(!*slot && !(op->driver_bits & OP_HELD) && e->ops < UINT8_MAX);
    *slot = op;
    e->ops++;
    op->driver_bits = OP_HELD;
    op->driver_word = 0;
    if (op->kind == IO_OP_ACCEPT) e->listens = true;
    // A connection that is made again on the same socket starts with the call, not with an edge.
    if (op->kind == IO_OP_CONNECT) e->out = true;
    if (has_work(e) || op->kind == IO_OP_POLL || !e->streams) work_add(p, op->fd);
}

static void cancel(struct io_driver *d, struct io_op *op)
{
    struct epoll *p = epoll_of(d);
    // It may have completed in the batch that is being handled.
    if (!(op->driver_bits & OP_HELD) || (op->driver_bits & OP_CANCELLED)) return;
    struct entry *e = entry_of(p, op->fd);
    *slot_of(e, op) = NULL;
    op->driver_bits |= OP_CANCELLED;
    if (op->kind == IO_OP_POLL) {
        e->ops--; // its owner may close the descriptor at once
        forget_if_only_polled(p, e, op->fd);
    }
    op->driver_next = NULL;
    *p->cancelled_end = op;
    p->cancelled_end = &op->driver_next;
}

static void wake(struct io_driver *d)
{
    // Every write is an edge, so nobody has to read; the counter lasts for 2^64 of them.
    const uint64_t one = 1;
    const ssize_t n = write(epoll_of(d)->wake_fd, &one, sizeof one);
    (void)n; // at worst late: every loop turns once in a while
}

static void clock_read(struct io_driver *d, struct io_time *ret)
{
    io_clock_read(&epoll_of(d)->clock, ret);
}

static int group_open(struct io_driver *d, uint8_t group, uint16_t count, uint32_t bytes)
{
    MUST(group < IO_GROUPS && count > 0);
    struct group *g = &epoll_of(d)->group[group];
    MUST(!g->at);
    void **at = calloc(count, sizeof(void *));
    uint16_t *ids = calloc(count, sizeof *ids);
    if (!at || !ids) {
        free(at);
        free(ids);
        return -ENOMEM;
    }
    *g = (struct group){.at = at, .free = ids, .count = count, .bytes = bytes};
    return 0;
}

static void buffer_give(struct io_driver *d, uint8_t group, uint16_t id, void *p)
{
    MUST(group < IO_GROUPS);
    struct group *g = &epoll_of(d)->group[group];
    MUST(id < g->count && g->free_n < g->count);
    g->at[id] = p;
    g->free[g->free_n++] = id;
}

static int sock_listen(struct io_driver *d, const struct io_addr *addr, int backlog, bool shared_port)
{
    (void)d;
    return io_sock_listen(addr, backlog, shared_port);
}

static void sock_listen_stop(struct io_driver *d, int fd)
{
    (void)d;
    io_sock_listen_stop(fd);
}

static int sock_open(struct io_driver *d, const struct io_addr *peer, const struct io_addr *bind_to)
{
    (void)d;
    return io_sock_open(peer, bind_to);
}

static void sock_accepted(struct io_driver *d, int fd, struct io_addr *ret_peer)
{
    (void)d;
    io_sock_accepted(fd, ret_peer);
}

static void sock_shutdown(struct io_driver *d, int fd, int how)
{
    (void)d;
    io_sock_shutdown(fd, how);
}

static void sock_send_now(struct io_driver *d, int fd, const void *p, uint32_t n)
{
    (void)d;
    io_sock_send_now(fd, p, n);
}

static void sock_close(struct io_driver *d, int fd)
{
    struct epoll *p = epoll_of(d);
    if ((uint32_t)fd < IO_FDS_MAX) {
        struct entry *e = &p->fds[fd];
        MUST(e->ops == 0); // joined before closed
        // Closing ends the registration unless another process holds the socket too, as it may a listener.
        if (e->listens && e->watched) (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
        *e = (struct entry){.generation = e->generation + 1, .linked = e->linked, .next = e->next};
    }
    io_sock_close(fd);
}

static void epoll_close(struct io_driver *d)
{
    struct epoll *p = epoll_of(d);
    if (p->fd >= 0) close(p->fd);
    if (p->wake_fd >= 0) close(p->wake_fd);
    for (int i = 0; i < IO_GROUPS; i++) {
        free(p->group[i].at);
        free(p->group[i].free);
    }
    io_reserve_free(p->fds, FDS_BYTES);
    free(p);
}

static const struct io_driver_ops ops = {
    .name = "epoll",
    .close = epoll_close,
    .submit = submit,
    .cancel = cancel,
    .turn = turn,
    .wake = wake,
    .clock = clock_read,
    .group_open = group_open,
    .buffer_give = buffer_give,
    .listen = sock_listen,
    .listen_stop = sock_listen_stop,
    .socket = sock_open,
    .accepted = sock_accepted,
    .shutdown = sock_shutdown,
    .send_now = sock_send_now,
    .fd_close = sock_close,
};

struct io_driver *io_epoll_open(int *ret_err)
{
    struct epoll *p = calloc(1, sizeof *p);
    if (!p) {
        *ret_err = -ENOMEM;
        return NULL;
    }
    p->driver.ops = &ops;
    p->work_first = p->work_last = NO_FD;
    p->cancelled_end = &p->cancelled;
    p->fd = -1;
    p->wake_fd = -1;
    p->fds = io_reserve(FDS_BYTES);
    if (!p->fds) {
        *ret_err = -ENOMEM;
        epoll_close(&p->driver);
        return NULL;
    }
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA};
    if (p->fd < 0 || p->wake_fd < 0 || epoll_ctl(p->fd, EPOLL_CTL_ADD, p->wake_fd, &ev) != 0) {
        *ret_err = -errno;
        epoll_close(&p->driver);
        return NULL;
    }
    return &p->driver;
}
