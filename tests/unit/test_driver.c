// driver: one suite for the completion seam (io/driver.h), run over each driver that this kernel gives:
// io_uring (skipped loudly where it is refused), epoll, and epoll without epoll_pwait2 (as before Linux 5.11,
// by a seccomp filter). The peer is plain sockets of the same thread, so that every state is reached on
// purpose and none by luck.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/prng.h"
#include "io/driver.h"

#define MS CLOCK_MS
#define BUFFERS 8
#define BUFFER_BYTES 4096
#define SEEN_MAX 512
#define PATIENCE_NS (5 * CLOCK_SEC)
#define BIG (8u << 20)

static struct io_driver *(*open_driver)(int *ret_err);
static struct io_driver *d;
static uint8_t buffers[BUFFERS][BUFFER_BYTES];
static uint32_t slots;

// An operation and all its completions.
struct watched {
    struct io_op op;
    int n;
    bool over;
    int32_t res[SEEN_MAX];
    uint32_t flags[SEEN_MAX];
    void (*hook)(struct watched *w); // runs as a handler would
};

static bool is_ring(void)
{
    return strcmp(d->ops->name, "io_uring") == 0;
}

static int64_t now_ns(void)
{
    struct io_time t;
    d->ops->clock(d, &t);
    return t.now_ns;
}

static void done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct watched *w = (struct watched *)(void *)op;
    assert_false(w->over);
    assert_true(w->n < SEEN_MAX);
    w->res[w->n] = res;
    w->flags[w->n++] = flags;
    w->over = !(flags & IO_MORE);
    if (w->hook) w->hook(w);
}

static void submit(struct watched *w)
{
    assert_false(w->op.submitted);
    w->n = 0;
    w->over = false;
    w->op.submitted = true;
    w->op.cancelling = false;
    d->ops->submit(d, &w->op);
}

static struct watched *make(uint8_t kind, int fd)
{
    struct watched *w = test_calloc(1, sizeof *w);
    w->op = (struct io_op){.kind = kind, .fd = fd, .slot = slots++, .done = done};
    return w;
}

static struct watched *start(uint8_t kind, int fd)
{
    struct watched *w = make(kind, fd);
    submit(w);
    return w;
}

static void cancel(struct watched *w)
{
    if (!w->op.submitted || w->op.cancelling) return;
    w->op.cancelling = true;
    d->ops->cancel(d, &w->op);
}

// One turn with at most `max` completions, handled as the loop does.
static int turn_max(int64_t deadline_ns, int max)
{
    struct io_completion c[64];
    const int n = d->ops->turn(d, deadline_ns, c, max);
    assert_in_range(n, 0, max);
    for (int i = 0; i < n; i++) {
        if (!(c[i].flags & IO_MORE)) {
            assert_true(c[i].op->submitted);
            c[i].op->submitted = false;
        }
        c[i].op->done(c[i].op, c[i].res, c[i].flags);
    }
    return n;
}

static int turn(int64_t deadline_ns)
{
    return turn_max(deadline_ns, 64);
}

#define TURN_UNTIL(cond) \
    do { \
        const int64_t end_ = now_ns() + PATIENCE_NS; \
        while (!(cond)) { \
            turn(now_ns() + 20 * MS); \
            if (now_ns() > end_) fail_msg("waited in vain for " #cond); \
        } \
    } while (0)

// Turns that must bring nothing for the operation, and must wait rather than spin.
static void quiet(struct watched *w)
{
    const int had = w->n;
    const int64_t end = now_ns() + 15 * MS;
    int turns = 0;
    for (; now_ns() < end; turns++) turn(end);
    assert_int_equal(w->n, had);
    assert_in_range(turns, 1, 20);
}

static void join(struct watched *w)
{
    TURN_UNTIL(w->over);
}

// Joins it and checks its one completion.
static void ends_with(struct watched *w, int32_t res)
{
    join(w);
    assert_int_equal(w->n, 1);
    assert_int_equal(w->res[0], res);
    test_free(w);
}

static void cancelled(struct watched *w)
{
    const int had = w->n;
    cancel(w);
    assert_int_equal(w->n, had); // never inside cancel()
    join(w);
    assert_int_equal(w->n, had + 1);
    assert_int_equal(w->res[had], -ECANCELED);
    assert_int_equal(w->flags[had], 0);
    quiet(w);
    test_free(w);
}

static void give(uint16_t id)
{
    d->ops->buffer_give(d, 0, id, buffers[id]);
}

// --- Plain sockets on the other side.

struct pair {
    int ours, peer;
};

static int plain_listener(struct io_addr *ret_addr)
{
    struct io_addr a;
    socklen_t n = sizeof a.in6;
    assert_int_equal(io_addr_parse(SPAN("127.0.0.1:0"), &a), RW_OK);
    const int fd = d->ops->listen(d, &a, 64, false);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, &a.sa, &n), 0);
    *ret_addr = a;
    return fd;
}

static int plain_connect(const struct io_addr *a)
{
    const int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &a->sa, a->n), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

// A connected TCP pair; ours is what the driver would have accepted.
static struct pair tcp_pair(void)
{
    struct io_addr a, peer;
    struct pair p;
    const int l = plain_listener(&a);
    p.peer = plain_connect(&a);
    do p.ours = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (p.ours < 0 && errno == EAGAIN);
    assert_true(p.ours >= 0);
    d->ops->accepted(d, p.ours, &peer);
    d->ops->fd_close(d, l);
    return p;
}

static void pair_close(struct pair p)
{
    if (p.ours >= 0) d->ops->fd_close(d, p.ours);
    if (p.peer >= 0) close(p.peer);
}

static void peer_says(int fd, const void *p, size_t n)
{
    assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

static void peer_resets(struct pair *p)
{
    const struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(p->peer, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(p->peer);
    p->peer = -1;
}

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static int setup(void **state)
{
    (void)state;
    int err = 0;
    slots = 0;
    d = open_driver(&err);
    assert_non_null(d);
    assert_int_equal(d->ops->group_open(d, 0, BUFFERS, BUFFER_BYTES), 0);
    for (uint16_t i = 0; i < BUFFERS; i++) give(i);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    d->ops->close(d);
    return 0;
}

// --- Accept.

static void test_accept__each_connection_is_a_completion(void **state)
{
    (void)state;
    struct io_addr a, peer, own;
    socklen_t n = sizeof own.in6;
    const int l = plain_listener(&a);
    struct watched *w = start(IO_OP_ACCEPT, l);
    quiet(w);
    for (int i = 0; i < 3; i++) {
        const int fd = plain_connect(&a);
        TURN_UNTIL(w->n == i + 1);
        assert_int_equal(w->flags[i], IO_MORE);
        assert_true(w->res[i] >= 0);
        assert_true(fcntl(w->res[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(w->res[i], F_GETFD) & FD_CLOEXEC);
        d->ops->accepted(d, w->res[i], &peer);
        own.n = 0;
        assert_int_equal(getsockname(fd, &own.sa, &n), 0);
        own.n = n;
        assert_true(io_addr_eq(&own, &peer));
        int on = 0;
        socklen_t on_n = sizeof on;
        assert_int_equal(getsockopt(w->res[i], IPPROTO_TCP, TCP_NODELAY, &on, &on_n), 0);
        assert_true(on);
        pair_close((struct pair){w->res[i], fd});
    }
    cancelled(w);
    d->ops->fd_close(d, l);
}

static void test_accept__a_crowd_comes_in_small_batches(void **state)
{
    (void)state;
    struct io_addr a;
    int fds[40];
    const int l = plain_listener(&a);
    for (int i = 0; i < 40; i++) fds[i] = plain_connect(&a);
    struct watched *w = start(IO_OP_ACCEPT, l);
    const int64_t end = now_ns() + PATIENCE_NS;
    while (w->n < 40 && now_ns() < end) assert_true(turn_max(now_ns() + 20 * MS, 3) <= 3);
    assert_int_equal(w->n, 40);
    for (int i = 0; i < 40; i++) pair_close((struct pair){w->res[i], fds[i]});
    cancelled(w);
    d->ops->fd_close(d, l);
}

static void test_accept__no_descriptor_left_ends_it_and_loses_nobody(void **state)
{
    (void)state;
    struct io_addr a;
    struct rlimit was, low;
    const int l = plain_listener(&a);
    const int fd = plain_connect(&a);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    low = was;
    low.rlim_cur = (rlim_t)fd + 1;
    for (int i = 0; i < fd; i++) assert_true(fcntl(i, F_GETFD) >= 0); // none free below
    struct watched *w = make(IO_OP_ACCEPT, l);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    submit(w);
    const int64_t end = now_ns() + PATIENCE_NS;
    while (!w->over && now_ns() < end) turn(now_ns() + 20 * MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_true(w->over);
    assert_int_equal(w->res[0], -EMFILE);
    submit(w);
    TURN_UNTIL(w->n == 1);
    pair_close((struct pair){w->res[0], fd});
    cancelled(w);
    d->ops->fd_close(d, l);
}

// --- Receive.

static void test_recv_many__each_arrival_has_a_buffer(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    struct watched *w = start(IO_OP_RECV_MANY, p.ours);
    quiet(w);
    uint32_t used = 0;
    for (int i = 0; i < 5; i++) {
        const char say[2] = {(char)('a' + i), 0};
        peer_says(p.peer, say, 2);
        TURN_UNTIL(w->n == i + 1);
        assert_int_equal(w->res[i], 2);
        assert_int_equal(w->flags[i] & 0xffff, IO_MORE | IO_BUFFER);
        const uint16_t id = io_completion_buffer(w->flags[i]);
        assert_in_range(id, 0, BUFFERS - 1);
        assert_false(used >> id & 1); // not given back yet, so not used again
        used |= 1u << id;
        assert_string_equal((char *)buffers[id], say);
    }
    cancelled(w);
    pair_close(p);
}

// Sends n bytes of the pattern from `at`, and takes what a multishot receive brings until it ends.
static uint64_t checked_until_over(struct watched *w, uint64_t at)
{
    int seen = 0;
    do {
        TURN_UNTIL(w->n > seen);
        for (; seen < w->n; seen++) {
            if (!(w->flags[seen] & IO_BUFFER)) continue;
            const uint8_t *p = buffers[io_completion_buffer(w->flags[seen])];
            for (int32_t i = 0; i < w->res[seen]; i++) assert_int_equal(p[i], pattern(at++));
        }
    } while (!w->over);
    return at;
}

static void test_recv_many__out_of_buffers_ends_it_and_loses_nothing(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    static uint8_t text[BUFFERS * BUFFER_BYTES + 3000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = pattern(i);
    peer_says(p.peer, text, sizeof text);
    struct watched *w = start(IO_OP_RECV_MANY, p.ours);
    uint64_t at = checked_until_over(w, 0);
    assert_true(at <= BUFFERS * BUFFER_BYTES);
    assert_int_equal(w->res[w->n - 1], -ENOBUFS);
    assert_int_equal(w->flags[w->n - 1], 0);
    // Each buffer was named once.
    uint32_t used = 0;
    for (int i = 0; i < w->n - 1; i++) {
        used ^= 1u << io_completion_buffer(w->flags[i]);
        assert_int_equal(w->flags[i] & 0xffff, IO_MORE | IO_BUFFER);
    }
    assert_int_equal(used, (1u << BUFFERS) - 1);
    // With none given it cannot go on; with some it does, where it stopped.
    submit(w);
    join(w);
    assert_int_equal(w->n, 1);
    assert_int_equal(w->res[0], -ENOBUFS);
    for (uint16_t i = 0; i < BUFFERS; i++) give(i);
    submit(w);
    TURN_UNTIL(w->n > 0);
    shutdown(p.peer, SHUT_WR);
    at = checked_until_over(w, at);
    assert_int_equal(at, sizeof text);
    assert_int_equal(w->res[w->n - 1], 0);
    test_free(w);
    pair_close(p);
}

static void test_recv_many__end_of_stream(void **state)
{
    (void)state;
    for (int armed_first = 0; armed_first < 2; armed_first++) {
        const struct pair p = tcp_pair();
        struct watched *w = make(IO_OP_RECV_MANY, p.ours);
        if (armed_first) {
            submit(w);
            quiet(w);
        }
        peer_says(p.peer, "bye", 3);
        shutdown(p.peer, SHUT_WR);
        if (!armed_first) submit(w);
        join(w);
        assert_int_equal(w->n, 2);
        assert_int_equal(w->res[0], 3);
        assert_int_equal(w->flags[0] & 0xffff, IO_MORE | IO_BUFFER);
        assert_int_equal(w->res[1], 0);
        assert_int_equal(w->flags[1], 0); // no buffer was used for the end
        give(io_completion_buffer(w->flags[0]));
        // The end stays the end.
        submit(w);
        ends_with(w, 0);
        pair_close(p);
    }
}

static void test_recv__once_means_once(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    struct watched *w = start(IO_OP_RECV, p.ours);
    quiet(w);
    for (int i = 0; i < 2 * BUFFERS; i++) {
        peer_says(p.peer, "0123", 4);
        join(w);
        assert_int_equal(w->n, 1);
        assert_int_equal(w->res[0], 4);
        assert_int_equal(w->flags[0] & 0xffff, IO_BUFFER);
        assert_memory_equal(buffers[io_completion_buffer(w->flags[0])], "0123", 4);
        give(io_completion_buffer(w->flags[0]));
        if (i & 1) {
            // What comes between two receives waits for the second.
            peer_says(p.peer, "4567", 4);
            quiet(w);
            submit(w);
            join(w);
            assert_int_equal(w->res[0], 4);
            give(io_completion_buffer(w->flags[0]));
        }
        submit(w);
    }
    close(p.peer);
    ends_with(w, 0);
    pair_close((struct pair){p.ours, -1});
}

static void test_recv__no_buffer_ends_it(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    struct watched *w = make(IO_OP_RECV, p.ours);
    uint16_t ids[BUFFERS];
    for (int i = 0; i < BUFFERS; i++) {
        peer_says(p.peer, "x", 1);
        submit(w);
        join(w);
        ids[i] = io_completion_buffer(w->flags[0]);
    }
    peer_says(p.peer, "y", 1);
    submit(w);
    join(w);
    assert_int_equal(w->res[0], -ENOBUFS);
    assert_int_equal(w->flags[0], 0);
    give(ids[5]);
    submit(w);
    join(w);
    assert_int_equal(w->res[0], 1);
    assert_int_equal(io_completion_buffer(w->flags[0]), ids[5]);
    assert_int_equal(buffers[ids[5]][0], 'y');
    test_free(w);
    pair_close(p);
}

static void test_recv__full_buffers_then_nothing(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    static uint8_t text[2 * BUFFER_BYTES];
    peer_says(p.peer, text, sizeof text);
    struct watched *w = make(IO_OP_RECV, p.ours);
    for (int i = 0; i < 2; i++) {
        submit(w);
        join(w);
        assert_int_equal(w->res[0], BUFFER_BYTES);
        give(io_completion_buffer(w->flags[0]));
    }
    submit(w);
    quiet(w);
    cancelled(w);
    pair_close(p);
}

static void test_recv__reset_by_peer(void **state)
{
    (void)state;
    static const uint8_t kinds[] = {IO_OP_RECV_MANY, IO_OP_RECV, IO_OP_RECV_INTO};
    uint8_t into[8];
    for (int i = 0; i < 6; i++) {
        struct pair p = tcp_pair();
        struct watched *w = make(kinds[i % 3], p.ours);
        if (kinds[i % 3] == IO_OP_RECV_INTO) w->op.into.p = into, w->op.into.n = sizeof into;
        if (i < 3) {
            submit(w);
            quiet(w);
        }
        peer_resets(&p);
        if (i >= 3) submit(w);
        ends_with(w, -ECONNRESET);
        pair_close(p);
    }
}

static void test_recv_into__goes_on_until_it_is_full(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    static uint8_t into[10000];
    struct watched *w = make(IO_OP_RECV_INTO, p.ours);
    w->op.into.p = into;
    w->op.into.n = sizeof into;
    submit(w);
    for (uint32_t at = 0; at < sizeof into; at += 2500) {
        static uint8_t part[2500];
        quiet(w);
        for (uint32_t i = 0; i < sizeof part; i++) part[i] = pattern(at + i);
        peer_says(p.peer, part, sizeof part);
    }
    peer_says(p.peer, "more", 4);
    join(w);
    assert_int_equal(w->n, 1);
    assert_int_equal(w->res[0], sizeof into);
    assert_int_equal(w->flags[0], 0);
    for (uint32_t i = 0; i < sizeof into; i++) assert_int_equal(into[i], pattern(i));
    w->op.into.n = 4;
    submit(w);
    join(w);
    assert_int_equal(w->res[0], 4);
    assert_memory_equal(into, "more", 4);
    test_free(w);
    pair_close(p);
}

static void test_recv_into__end_and_cancel_give_what_there_was(void **state)
{
    (void)state;
    uint8_t into[100];
    for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
        const struct pair p = tcp_pair();
        struct watched *w = make(IO_OP_RECV_INTO, p.ours);
        w->op.into.p = into;
        w->op.into.n = sizeof into;
        submit(w);
        peer_says(p.peer, "abc", 3);
        quiet(w);
        if (by_cancel) cancel(w);
        else shutdown(p.peer, SHUT_WR);
        join(w);
        assert_int_equal(w->n, 1);
        assert_int_equal(w->res[0], 3);
        assert_memory_equal(into, "abc", 3);
        if (by_cancel) peer_says(p.peer, "d", 1);
        w->op.into.n = 1;
        submit(w);
        ends_with(w, by_cancel ? 1 : 0);
        pair_close(p);
    }
}

static void test_recv_into__reset_after_a_part(void **state)
{
    (void)state;
    uint8_t into[100];
    struct pair p = tcp_pair();
    struct watched *w = make(IO_OP_RECV_INTO, p.ours);
    w->op.into.p = into;
    w->op.into.n = sizeof into;
    submit(w);
    peer_says(p.peer, "abc", 3);
    quiet(w);
    peer_resets(&p);
    join(w);
    assert_int_equal(w->res[0], 3);
    submit(w);
    join(w);
    // The ring has told the error together with the bytes, by a short count, and knows no more than the end.
    assert_true(w->res[0] == -ECONNRESET || (is_ring() && w->res[0] == 0));
    test_free(w);
    pair_close(p);
}

// --- Send.

static size_t peer_reads(int fd, void *p, size_t n)
{
    const ssize_t got = recv(fd, p, n, 0);
    assert_true(got >= 0 || errno == EAGAIN);
    return got > 0 ? (size_t)got : 0;
}

static void test_send__gathers_in_order(void **state)
{
    (void)state;
    enum { PARTS = 200 };
    const struct pair p = tcp_pair();
    static uint8_t bytes[PARTS * 3], got[sizeof bytes];
    static struct iovec iov[PARTS];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = pattern(i);
    for (int parts = 1; parts <= PARTS; parts += parts < 3 ? 1 : 197) {
        size_t n = 0;
        // Lengths 0 to 5: an empty part is a part.
        for (int i = 0; i < parts; i++) {
            const size_t len = parts == 1 ? 5 : (size_t)(i % 2 ? 0 : i % 6);
            iov[i] = (struct iovec){bytes + n, len};
            n += len;
        }
        struct watched *w = make(IO_OP_SEND, p.ours);
        w->op.send.msg_iov = iov;
        w->op.send.msg_iovlen = (size_t)parts;
        submit(w);
        ends_with(w, (int32_t)n);
        size_t have = 0;
        const int64_t end = now_ns() + PATIENCE_NS;
        while (have < n && now_ns() < end) have += peer_reads(p.peer, got + have, sizeof got - have);
        assert_int_equal(have, n);
        assert_memory_equal(got, bytes, n);
    }
    pair_close(p);
}

static void test_send__slow_reader_gets_all_of_it(void **state)
{
    (void)state;
    enum { PARTS = 5 };
    const struct pair p = tcp_pair();
    uint8_t *bytes = test_malloc(BIG), *got = test_malloc(BIG);
    struct iovec iov[PARTS], was[PARTS];
    for (size_t i = 0; i < BIG; i++) bytes[i] = pattern(i);
    for (size_t i = 0; i < PARTS; i++) {
        const size_t from = BIG / PARTS * i, to = i == PARTS - 1 ? BIG : BIG / PARTS * (i + 1);
        was[i] = iov[i] = (struct iovec){bytes + from, to - from};
    }
    struct watched *w = make(IO_OP_SEND, p.ours);
    w->op.send.msg_iov = iov;
    w->op.send.msg_iovlen = PARTS;
    submit(w);
    quiet(w); // it does not fit
    size_t have = 0;
    const int64_t end = now_ns() + 4 * PATIENCE_NS;
    for (int i = 0; have < BIG && now_ns() < end; i++) {
        have += peer_reads(p.peer, got + have, i % 7 ? 10000 : BIG - have);
        turn(i % 16 ? 0 : now_ns() + MS);
    }
    assert_int_equal(have, BIG);
    assert_memory_equal(got, bytes, BIG);
    assert_memory_equal(iov, was, sizeof iov); // the caller's list is not touched
    ends_with(w, BIG);
    test_free(bytes);
    test_free(got);
    pair_close(p);
}

static struct watched *blocked_send(struct pair p, struct iovec *iov, uint8_t *bytes)
{
    memset(bytes, 'x', BIG);
    *iov = (struct iovec){bytes, BIG};
    struct watched *w = make(IO_OP_SEND, p.ours);
    w->op.send.msg_iov = iov;
    w->op.send.msg_iovlen = 1;
    submit(w);
    quiet(w);
    return w;
}

static void test_send__peer_gone(void **state)
{
    (void)state;
    struct iovec iov;
    uint8_t *bytes = test_malloc(BIG);
    // While it waits: an error, not a signal.
    struct pair p = tcp_pair();
    struct watched *w = blocked_send(p, &iov, bytes);
    peer_resets(&p);
    join(w);
    assert_true(w->res[0] == -ECONNRESET || w->res[0] == -EPIPE);
    // And again, on a connection that is known to be gone.
    iov.iov_len = 1;
    submit(w);
    ends_with(w, -EPIPE);
    pair_close(p);
    test_free(bytes);
}

static void test_send_and_recv__both_directions_of_one_socket(void **state)
{
    (void)state;
    struct iovec iov;
    uint8_t *bytes = test_malloc(BIG);
    const struct pair p = tcp_pair();
    struct watched *r = start(IO_OP_RECV_MANY, p.ours);
    struct watched *s = blocked_send(p, &iov, bytes);
    struct watched *ready = make(IO_OP_POLL, p.ours);
    ready->op.poll_events = POLLIN;
    submit(ready);
    for (int i = 0; i < 3; i++) {
        peer_says(p.peer, "ping", 4);
        TURN_UNTIL(r->n == i + 1);
        assert_int_equal(r->res[i], 4);
        assert_false(s->over);
    }
    size_t have = 0;
    const int64_t end = now_ns() + 4 * PATIENCE_NS;
    while (have < BIG && now_ns() < end) {
        have += peer_reads(p.peer, bytes, BIG); // the same bytes
        turn(0);
    }
    ends_with(s, BIG);
    cancel(ready); // whether it saw a ping before the receive took it is left open
    join(ready);
    assert_int_equal(ready->n, 1);
    test_free(ready);
    cancelled(r);
    test_free(bytes);
    pair_close(p);
}

// --- Connect.

static void test_connect__ok_refused_and_nowhere(void **state)
{
    (void)state;
    struct io_addr a, from;
    const int l = plain_listener(&a);
    assert_int_equal(io_addr_parse_ip(SPAN("127.0.0.3"), 0, &from), RW_OK);
    for (int bound = 0; bound < 2; bound++) {
        const int fd = d->ops->socket(d, &a, bound ? &from : NULL);
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        struct watched *w = make(IO_OP_CONNECT, fd);
        w->op.connect.sa = &a.sa;
        w->op.connect.n = a.n;
        submit(w);
        ends_with(w, 0);
        // It can be used at once.
        struct io_addr peer;
        socklen_t n = sizeof peer.in6;
        int got;
        do got = accept4(l, &peer.sa, &n, SOCK_NONBLOCK);
        while (got < 0 && errno == EAGAIN);
        peer.n = n;
        char text[IO_ADDR_TEXT_BYTES];
        io_addr_text(&peer, false, text);
        assert_string_equal(text, bound ? "127.0.0.3" : "127.0.0.1");
        struct watched *r = start(IO_OP_RECV, fd);
        peer_says(got, "hi", 2);
        join(r);
        assert_int_equal(r->res[0], 2);
        give(io_completion_buffer(r->flags[0]));
        test_free(r);
        pair_close((struct pair){fd, got});
    }
    d->ops->fd_close(d, l); // nobody listens now
    const int fd = d->ops->socket(d, &a, NULL);
    struct watched *w = make(IO_OP_CONNECT, fd);
    w->op.connect.sa = &a.sa;
    w->op.connect.n = a.n;
    submit(w);
    ends_with(w, -ECONNREFUSED);
    d->ops->fd_close(d, fd);
    const struct io_addr none = {0};
    assert_int_equal(d->ops->socket(d, &none, NULL), -EINVAL);
}

// --- Cancel.

static void test_cancel__every_kind_while_it_waits(void **state)
{
    (void)state;
    struct io_addr a;
    struct iovec iov;
    uint8_t into[8], *bytes = test_malloc(BIG);
    const struct pair p = tcp_pair();
    const int l = plain_listener(&a);
    for (int fresh = 0; fresh < 2; fresh++) { // before and after a turn has seen it
        struct watched *w[5] = {make(IO_OP_ACCEPT, l), make(IO_OP_RECV_MANY, p.ours),
                                make(IO_OP_RECV, p.ours), make(IO_OP_RECV_INTO, p.ours),
                                make(IO_OP_POLL, p.ours)};
        w[3]->op.into.p = into;
        w[3]->op.into.n = sizeof into;
        w[4]->op.poll_events = POLLIN;
        for (int i = 0; i < 5; i++) {
            submit(w[i]);
            if (!fresh) quiet(w[i]);
            cancelled(w[i]);
        }
    }
    // A part of it is gone already: the stream is broken, whichever way that is said.
    struct watched *s = blocked_send(p, &iov, bytes);
    cancel(s);
    assert_int_equal(s->n, 0);
    join(s);
    assert_int_equal(s->n, 1);
    assert_true(s->res[0] == -ECANCELED || s->res[0] == -EPIPE);
    test_free(s);
    pair_close(p);
    d->ops->fd_close(d, l);
    test_free(bytes);
}

static void test_cancel__connect_that_nobody_answers(void **state)
{
    (void)state;
    // A listener whose queue is full drops the first packet of a handshake.
    struct io_addr a;
    int filler[3];
    const int l = plain_listener(&a);
    assert_int_equal(listen(l, 0), 0);
    for (int i = 0; i < 3; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], &a.sa, a.n);
    }
    const int fd = d->ops->socket(d, &a, NULL);
    struct watched *w = make(IO_OP_CONNECT, fd);
    w->op.connect.sa = &a.sa;
    w->op.connect.n = a.n;
    submit(w);
    quiet(w);
    cancelled(w);
    d->ops->fd_close(d, fd);
    for (int i = 0; i < 3; i++) close(filler[i]);
    d->ops->fd_close(d, l);
}

static void test_cancel__socket_goes_on_with_the_next_operation(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    for (int i = 0; i < 20; i++) {
        struct watched *w = start(i % 2 ? IO_OP_RECV : IO_OP_RECV_MANY, p.ours);
        if (i % 3 == 0) turn(0);
        cancelled(w);
        peer_says(p.peer, "z", 1);
        w = start(IO_OP_RECV, p.ours);
        join(w);
        assert_int_equal(w->res[0], 1); // what came meanwhile was not lost
        give(io_completion_buffer(w->flags[0]));
        test_free(w);
    }
    pair_close(p);
}

static struct watched *other;

static void cancel_other(struct watched *w)
{
    (void)w;
    cancel(other);
}

static void test_cancel__of_what_is_complete_but_not_yet_handled(void **state)
{
    (void)state;
    // Both receives have their bytes before the turn; whoever is handled first cancels the other.
    for (int many = 0; many < 2; many++) {
        const struct pair a = tcp_pair(), b = tcp_pair();
        peer_says(a.peer, "a", 1);
        peer_says(b.peer, "b", 1);
        struct watched *first = make(IO_OP_RECV, a.ours);
        other = make(many ? IO_OP_RECV_MANY : IO_OP_RECV, b.ours);
        first->hook = cancel_other;
        submit(first);
        submit(other);
        join(first);
        join(other);
        quiet(other);
        // Its byte, or the cancellation, or with a multishot first the one and then the other.
        assert_int_equal(other->n, other->res[0] == 1 && many ? 2 : 1);
        if (other->flags[0] & IO_BUFFER) give(io_completion_buffer(other->flags[0]));
        give(io_completion_buffer(first->flags[0]));
        test_free(first);
        test_free(other);
        pair_close(a);
        pair_close(b);
    }
}

// --- Poll.

static int32_t polled(int fd, uint16_t events)
{
    struct watched *w = make(IO_OP_POLL, fd);
    w->op.poll_events = events;
    submit(w);
    join(w);
    const int32_t res = w->res[0];
    assert_int_equal(w->n, 1);
    test_free(w);
    return res & ~POLLRDHUP; // which the ring says unasked
}

static void test_poll__says_what_is_ready_once(void **state)
{
    (void)state;
    const struct pair p = tcp_pair();
    assert_int_equal(polled(p.ours, POLLOUT), POLLOUT);
    assert_int_equal(polled(p.ours, POLLIN | POLLOUT), POLLOUT);
    struct watched *w = make(IO_OP_POLL, p.ours);
    w->op.poll_events = POLLIN;
    submit(w);
    quiet(w);
    peer_says(p.peer, "a", 1);
    ends_with(w, POLLIN);
    // A level, not an edge: nobody read.
    assert_int_equal(polled(p.ours, POLLIN), POLLIN);
    assert_int_equal(polled(p.ours, POLLIN | POLLOUT), POLLIN | POLLOUT);
    struct watched *r = start(IO_OP_RECV, p.ours);
    ends_with(r, 1);
    peer_says(p.peer, "b", 1);
    for (int i = 0; i < 3; i++) assert_int_equal(polled(p.ours, POLLIN), POLLIN);
    close(p.peer);
    assert_int_equal(polled(p.ours, POLLIN), POLLIN);
    pair_close((struct pair){p.ours, -1});
}

static void test_poll__foreign_descriptors_may_be_closed_behind_our_back(void **state)
{
    (void)state;
    // The same number again and again, each time another thing, never told to the driver.
    const uint64_t one = 1;
    for (int i = 0; i < 10; i++) {
        const int e = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct watched *w = make(IO_OP_POLL, e);
        w->op.poll_events = POLLIN;
        submit(w);
        quiet(w);
        if (i % 3 == 0) {
            cancel(w);
            close(e);
            join(w);
            test_free(w);
        } else {
            assert_int_equal(write(e, &one, sizeof one), sizeof one);
            ends_with(w, POLLIN);
            close(e);
        }
        int fds[2];
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(fds[0], e);
        assert_int_equal(polled(fds[1], POLLOUT), POLLOUT);
        w = make(IO_OP_POLL, fds[0]);
        w->op.poll_events = POLLIN;
        submit(w);
        quiet(w);
        close(fds[1]);
        ends_with(w, POLLHUP);
        close(fds[0]);
        // Then a socket of ours.
        const struct pair p = tcp_pair();
        struct watched *r = start(IO_OP_RECV, p.ours);
        peer_says(p.peer, "x", 1);
        join(r);
        give(io_completion_buffer(r->flags[0]));
        ends_with(r, 1);
        pair_close(p);
    }
}

// --- Turns.

static void *waker(void *arg)
{
    const int64_t *delay_ns = arg;
    usleep((useconds_t)(*delay_ns / 1000));
    d->ops->wake(d);
    return NULL;
}

static void test_wake__ends_the_wait(void **state)
{
    (void)state;
    int64_t delay_ns = 20 * MS;
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        const int64_t begun = now_ns();
        assert_int_equal(pthread_create(&t, NULL, waker, &delay_ns), 0);
        while (turn(begun + PATIENCE_NS) == 0 && now_ns() < begun + delay_ns) {}
        assert_true(now_ns() < begun + PATIENCE_NS / 2);
        pthread_join(t, NULL);
    }
    // Before the turn, and several times: the next turn does not wait, the one after it does.
    for (int i = 0; i < 3; i++) d->ops->wake(d);
    int64_t begun = now_ns();
    turn(begun + PATIENCE_NS);
    assert_true(now_ns() < begun + PATIENCE_NS / 2);
    turn(now_ns() + 5 * MS); // a wake may still be on its way
    begun = now_ns();
    turn(begun + 20 * MS);
    assert_true(now_ns() >= begun + 20 * MS);
}

static void test_turn__never_returns_before_the_deadline(void **state)
{
    (void)state;
    turn(now_ns() + MS); // whatever the first turn sets up
    int64_t late_max = 0;
    for (int i = 0; i < 40; i++) {
        const int64_t deadline = now_ns() + (i % 4 + 1) * MS + i * 37 * CLOCK_US;
        assert_int_equal(turn(deadline), 0);
        const int64_t late = now_ns() - deadline;
        assert_true(late >= 0);
        if (late < 5 * MS) late_max = late > late_max ? late : late_max;
    }
    print_message("latest of those that were not preempted: %ld us\n", (long)(late_max / 1000));
    const int64_t begun = now_ns();
    for (int i = 0; i < 100; i++) assert_int_equal(turn(0), 0);
    for (int i = 0; i < 100; i++) assert_int_equal(turn(begun - CLOCK_SEC), 0); // long past
    assert_true(now_ns() < begun + CLOCK_SEC);
}

static void test_turn__what_exceeds_the_batch_is_kept(void **state)
{
    (void)state;
    enum { N = 7 };
    struct pair p[N];
    struct watched *w[N];
    for (int i = 0; i < N; i++) {
        p[i] = tcp_pair();
        peer_says(p[i].peer, "q", 1);
        w[i] = start(IO_OP_RECV, p[i].ours);
    }
    int n = 0;
    const int64_t end = now_ns() + PATIENCE_NS;
    while (n < N && now_ns() < end) n += turn_max(now_ns() + 20 * MS, 2);
    for (int i = 0; i < N; i++) {
        ends_with(w[i], 1);
        pair_close(p[i]);
    }
}

static void test_turn__a_flood_does_not_starve_the_others(void **state)
{
    (void)state;
    // One socket has more to read than all buffers hold and gets each of them back at once; the byte of the
    // other must come within a few turns all the same.
    const struct pair flood = tcp_pair(), drop = tcp_pair();
    uint8_t *bytes = test_calloc(1, BIG);
    struct watched *f = start(IO_OP_RECV_MANY, flood.ours);
    struct watched *w = start(IO_OP_RECV, drop.ours);
    turn(0);
    (void)!send(flood.peer, bytes, BIG, MSG_NOSIGNAL);
    peer_says(drop.peer, "!", 1);
    int turns = 0;
    for (int given = 0; !w->over && turns < 100; turns++) {
        turn(now_ns() + 20 * MS);
        for (; given < f->n; given++)
            if (f->flags[given] & IO_BUFFER) give(io_completion_buffer(f->flags[given]));
        (void)!send(flood.peer, bytes, BIG, MSG_NOSIGNAL);
        // In the ring the flood may have had all the buffers; they are back now, and who starved is first in
        // line.
        if (w->over && w->res[0] == -ENOBUFS) submit(w);
        if (f->over) {
            submit(f);
            given = 0;
        }
    }
    assert_in_range(turns, 0, 10);
    assert_int_equal(w->res[0], 1);
    cancel(f);
    join(f);
    test_free(f);
    test_free(w);
    test_free(bytes);
    pair_close(flood);
    pair_close(drop);
}

static void test_turn__a_busy_socket_does_not_hide_new_events(void **state)
{
    (void)state;
    // One socket always has more to read, so no turn ever has to wait; the other's byte comes later and must
    // be seen soon.
    const struct pair busy = tcp_pair(), late = tcp_pair();
    uint8_t *bytes = test_calloc(1, BIG);
    (void)!send(busy.peer, bytes, BIG, MSG_NOSIGNAL);
    struct watched *w = start(IO_OP_RECV, late.ours);
    quiet(w);
    struct watched *b = start(IO_OP_RECV, busy.ours);
    int turns = 0;
    for (; !w->over && turns < 40; turns++) {
        if (turns == 10) peer_says(late.peer, "!", 1);
        turn(now_ns() + 20 * MS);
        if (!b->over) continue;
        assert_int_equal(b->res[0], BUFFER_BYTES);
        give(io_completion_buffer(b->flags[0]));
        submit(b);
    }
    assert_in_range(turns, 11, 20);
    ends_with(w, 1);
    if (b->op.submitted) cancel(b);
    join(b);
    test_free(b);
    test_free(bytes);
    pair_close(busy);
    pair_close(late);
}

static void test_turn__a_long_queue_is_shared_out(void **state)
{
    (void)state;
    // Both have all they need before the turn; the one with little must not be behind all of the other's.
    // (The ring promises no order among sockets.)
    if (is_ring()) return;
    const struct pair flood = tcp_pair(), drop = tcp_pair();
    static uint8_t bytes[BUFFERS * BUFFER_BYTES];
    peer_says(flood.peer, bytes, sizeof bytes);
    peer_says(drop.peer, "!", 1);
    struct watched *f = start(IO_OP_RECV_MANY, flood.ours);
    struct watched *w = start(IO_OP_RECV, drop.ours);
    TURN_UNTIL(w->over);
    assert_int_equal(w->res[0], 1);
    assert_in_range(f->n, 1, BUFFERS - 2);
    cancel(f);
    join(f);
    test_free(f);
    test_free(w);
    pair_close(flood);
    pair_close(drop);
}

// --- Ends.

static void test_shutdown__ours_ends_the_receive_and_tells_the_peer(void **state)
{
    (void)state;
    struct pair p = tcp_pair();
    struct watched *w = start(IO_OP_RECV_MANY, p.ours);
    quiet(w);
    d->ops->shutdown(d, p.ours, SHUT_WR);
    uint8_t c;
    int64_t end = now_ns() + PATIENCE_NS;
    while (recv(p.peer, &c, 1, 0) != 0) assert_true(now_ns() < end);
    peer_says(p.peer, "still here", 10);
    TURN_UNTIL(w->n == 1);
    assert_int_equal(w->res[0], 10);
    d->ops->shutdown(d, p.ours, SHUT_RDWR);
    join(w);
    assert_int_equal(w->res[1], 0);
    test_free(w);
    peer_resets(&p);
    d->ops->shutdown(d, p.ours, SHUT_RDWR); // of what is gone: harmless
    pair_close(p);
}

static void test_close__number_is_used_again(void **state)
{
    (void)state;
    int number = -1;
    for (int i = 0; i < 100; i++) {
        struct pair p = tcp_pair();
        if (number < 0) number = p.ours;
        struct watched *w = start(IO_OP_RECV_MANY, p.ours);
        if (i % 4 == 0) quiet(w);
        peer_says(p.peer, "n", 1);
        TURN_UNTIL(w->n == 1);
        give(io_completion_buffer(w->flags[0]));
        if (i % 2) peer_resets(&p); // an edge that nobody waits for any more
        cancel(w);
        join(w);
        test_free(w);
        pair_close(p);
    }
    const struct pair p = tcp_pair();
    struct watched *w = start(IO_OP_RECV, p.ours);
    quiet(w);
    cancelled(w);
    pair_close(p);
}

// --- Other families, listeners.

static void echo_over(const struct io_addr *a)
{
    const int l = d->ops->listen(d, a, 8, false);
    assert_true(l >= 0);
    struct io_addr at = *a, peer;
    socklen_t n = sizeof(struct sockaddr_un);
    assert_int_equal(getsockname(l, &at.sa, &n), 0);
    at.n = n;
    struct watched *accepts = start(IO_OP_ACCEPT, l);
    const int fd = d->ops->socket(d, &at, NULL);
    assert_true(fd >= 0);
    struct watched *w = make(IO_OP_CONNECT, fd);
    w->op.connect.sa = &at.sa;
    w->op.connect.n = at.n;
    submit(w);
    TURN_UNTIL(w->over && accepts->n == 1);
    ends_with(w, 0);
    const int got = accepts->res[0];
    d->ops->accepted(d, got, &peer);
    assert_int_equal(peer.sa.sa_family, a->sa.sa_family);
    struct watched *r = start(IO_OP_RECV_MANY, got);
    struct iovec iov = {(void *)(uintptr_t) "over", 4};
    w = make(IO_OP_SEND, fd);
    w->op.send.msg_iov = &iov;
    w->op.send.msg_iovlen = 1;
    submit(w);
    TURN_UNTIL(w->over && r->n == 1);
    ends_with(w, 4);
    assert_int_equal(r->res[0], 4);
    give(io_completion_buffer(r->flags[0]));
    d->ops->fd_close(d, fd);
    join(r);
    assert_int_equal(r->res[1], 0);
    test_free(r);
    d->ops->fd_close(d, got);
    cancelled(accepts);
    d->ops->fd_close(d, l);
}

static void test_listen__unix_path_and_abstract_name(void **state)
{
    (void)state;
    char path[64], text[80];
    struct io_addr a;
    snprintf(path, sizeof path, "/tmp/ringway-driver-%ld.sock", (long)getpid());
    snprintf(text, sizeof text, "unix:%s", path);
    assert_int_equal(io_addr_parse(span_str(text), &a), RW_OK);
    (void)unlink(path);
    const int nobody = d->ops->socket(d, &a, NULL);
    struct watched *w = make(IO_OP_CONNECT, nobody);
    w->op.connect.sa = &a.sa;
    w->op.connect.n = a.n;
    submit(w);
    ends_with(w, -ENOENT);
    d->ops->fd_close(d, nobody);
    echo_over(&a);
    assert_int_equal(access(path, F_OK), 0);
    echo_over(&a); // the path was left behind: replaced
    const int l = d->ops->listen(d, &a, 8, true);
    assert_true(l >= 0);
    assert_int_equal(d->ops->listen(d, &a, 8, true), -EADDRINUSE); // somebody answers
    d->ops->fd_close(d, l);
    assert_int_equal(unlink(path), 0);
    // A file that is no socket is nobody's to remove.
    const int f = open(path, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
    close(f);
    assert_int_equal(d->ops->listen(d, &a, 8, false), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
    snprintf(text, sizeof text, "unix:@ringway-driver-%ld", (long)getpid());
    assert_int_equal(io_addr_parse(span_str(text), &a), RW_OK);
    echo_over(&a);
}

static void test_listen__ipv6_stands_beside_ipv4(void **state)
{
    (void)state;
    struct io_addr a, any4;
    socklen_t n = sizeof a.in6;
    assert_int_equal(io_addr_parse(SPAN("[::1]:0"), &a), RW_OK);
    const int l = d->ops->listen(d, &a, 8, false);
    if (l == -EAFNOSUPPORT || l == -EADDRNOTAVAIL) {
        print_message("SKIPPED: this machine has no IPv6\n");
        skip();
    }
    d->ops->fd_close(d, l);
    echo_over(&a);
    assert_int_equal(io_addr_parse(SPAN("[::]:0"), &a), RW_OK);
    const int six = d->ops->listen(d, &a, 8, false);
    assert_true(six >= 0);
    assert_int_equal(getsockname(six, &a.sa, &n), 0);
    assert_int_equal(io_addr_parse_ip(SPAN("0.0.0.0"), io_addr_port(&a), &any4), RW_OK);
    const int four = d->ops->listen(d, &any4, 8, false);
    assert_true(four >= 0);
    d->ops->fd_close(d, four);
    d->ops->fd_close(d, six);
}

static void test_listen__port_is_shared_only_when_asked(void **state)
{
    (void)state;
    struct io_addr a;
    socklen_t n = sizeof a.in6;
    const int alone = plain_listener(&a);
    assert_int_equal(d->ops->listen(d, &a, 8, false), -EADDRINUSE);
    assert_int_equal(d->ops->listen(d, &a, 8, true), -EADDRINUSE);
    d->ops->fd_close(d, alone);
    assert_int_equal(io_addr_parse(SPAN("127.0.0.1:0"), &a), RW_OK);
    const int one = d->ops->listen(d, &a, 8, true);
    assert_int_equal(getsockname(one, &a.sa, &n), 0);
    const int two = d->ops->listen(d, &a, 8, true);
    assert_true(two >= 0);
    d->ops->fd_close(d, one);
    d->ops->fd_close(d, two);
}

static void test_listen_stop__who_came_before_is_accepted_who_comes_after_waits(void **state)
{
    (void)state;
    struct io_addr a;
    const int l = plain_listener(&a);
    const int early = plain_connect(&a);
    d->ops->listen_stop(d, l);
    const int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, &a.sa, a.n), -1);
    assert_int_equal(errno, EINPROGRESS);
    struct watched *w = start(IO_OP_ACCEPT, l);
    TURN_UNTIL(w->n == 1);
    quiet(w);
    peer_says(early, "in", 2);
    struct watched *r = start(IO_OP_RECV, w->res[0]);
    join(r);
    give(io_completion_buffer(r->flags[0]));
    ends_with(r, 2);
    assert_int_equal(connect(late, &a.sa, a.n), -1);
    assert_int_equal(errno, EALREADY);
    close(late);
    pair_close((struct pair){w->res[0], early});
    cancelled(w);
    d->ops->fd_close(d, l);
}

// --- Everything at once: random sizes both ways over several sockets, with cancels in between; each byte is
// checked.

struct talk {
    struct pair pair;
    struct watched *rx;
    uint64_t said, heard; // by the peer, by us
    int seen;
    uint8_t into[6000];
};

static void talk_arm(struct talk *t, struct prng *r)
{
    static const uint8_t kinds[] = {IO_OP_RECV_MANY, IO_OP_RECV, IO_OP_RECV_INTO};
    t->rx->op.kind = kinds[prng_below(r, 3)];
    if (t->rx->op.kind == IO_OP_RECV_INTO) {
        t->rx->op.into.p = t->into;
        t->rx->op.into.n = 1 + prng_below(r, sizeof t->into - 1);
    }
    t->seen = 0;
    submit(t->rx);
}

static void talk_listen(struct talk *t)
{
    for (; t->seen < t->rx->n; t->seen++) {
        const int32_t n = t->rx->res[t->seen];
        const uint32_t flags = t->rx->flags[t->seen];
        if (n <= 0) {
            assert_true(n == -ECANCELED || n == -ENOBUFS);
            continue;
        }
        const uint8_t *p = flags & IO_BUFFER ? buffers[io_completion_buffer(flags)] : t->into;
        for (int32_t i = 0; i < n; i++) assert_int_equal(p[i], pattern(t->heard++));
        if (flags & IO_BUFFER) give(io_completion_buffer(flags));
    }
}

static void test_soak__every_byte_in_order(void **state)
{
    (void)state;
    enum { TALKS = 6, BYTES = 400000 };
    struct talk *talks = test_calloc(TALKS, sizeof *talks);
    struct prng r;
    prng_seed(&r, 7);
    for (int i = 0; i < TALKS; i++) {
        talks[i].pair = tcp_pair();
        talks[i].rx = make(IO_OP_RECV, talks[i].pair.ours);
    }
    const int64_t end = now_ns() + 8 * PATIENCE_NS;
    for (int left = TALKS; left > 0 && now_ns() < end;) {
        left = 0;
        for (int i = 0; i < TALKS; i++) {
            struct talk *t = &talks[i];
            if (t->said < BYTES && prng_below(&r, 3) == 0) {
                static uint8_t part[20000];
                const uint32_t n = 1 + prng_below(&r, prng_below(&r, 2) ? 100 : sizeof part - 1);
                for (uint32_t k = 0; k < n; k++) part[k] = pattern(t->said + k);
                const ssize_t sent = send(t->pair.peer, part, n, MSG_NOSIGNAL);
                t->said += sent > 0 ? (uint64_t)sent : 0;
            }
            talk_listen(t);
            if (!t->rx->op.submitted) talk_arm(t, &r);
            // Whoever waits for the last bytes into a region must be called back.
            else if (prng_below(&r, 20) == 0) cancel(t->rx);
            left += t->heard < BYTES || t->said > t->heard;
        }
        turn_max(now_ns() + MS, 1 + (int)prng_below(&r, 8));
    }
    for (int i = 0; i < TALKS; i++) {
        struct talk *t = &talks[i];
        cancel(t->rx);
        if (t->rx->op.submitted) join(t->rx);
        talk_listen(t);
        assert_true(t->heard >= BYTES);
        assert_int_equal(t->said, t->heard);
        test_free(t->rx);
        pair_close(t->pair);
    }
    test_free(talks);
}

// --- The drivers.

static struct io_driver *open_uring(int *ret_err)
{
    return io_uring_open(64, ret_err);
}

// Makes epoll_pwait2 unknown to this process, as to kernels before 5.11.
static bool forbid_epoll_pwait2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_accept__each_connection_is_a_completion),
        T(test_accept__a_crowd_comes_in_small_batches),
        T(test_accept__no_descriptor_left_ends_it_and_loses_nobody),
        T(test_recv_many__each_arrival_has_a_buffer),
        T(test_recv_many__out_of_buffers_ends_it_and_loses_nothing),
        T(test_recv_many__end_of_stream),
        T(test_recv__once_means_once),
        T(test_recv__no_buffer_ends_it),
        T(test_recv__full_buffers_then_nothing),
        T(test_recv__reset_by_peer),
        T(test_recv_into__goes_on_until_it_is_full),
        T(test_recv_into__end_and_cancel_give_what_there_was),
        T(test_recv_into__reset_after_a_part),
        T(test_send__gathers_in_order),
        T(test_send__slow_reader_gets_all_of_it),
        T(test_send__peer_gone),
        T(test_send_and_recv__both_directions_of_one_socket),
        T(test_connect__ok_refused_and_nowhere),
        T(test_cancel__every_kind_while_it_waits),
        T(test_cancel__connect_that_nobody_answers),
        T(test_cancel__socket_goes_on_with_the_next_operation),
        T(test_cancel__of_what_is_complete_but_not_yet_handled),
        T(test_poll__says_what_is_ready_once),
        T(test_poll__foreign_descriptors_may_be_closed_behind_our_back),
        T(test_wake__ends_the_wait),
        T(test_turn__never_returns_before_the_deadline),
        T(test_turn__what_exceeds_the_batch_is_kept),
        T(test_turn__a_flood_does_not_starve_the_others),
        T(test_turn__a_busy_socket_does_not_hide_new_events),
        T(test_turn__a_long_queue_is_shared_out),
        T(test_shutdown__ours_ends_the_receive_and_tells_the_peer),
        T(test_close__number_is_used_again),
        T(test_listen__unix_path_and_abstract_name),
        T(test_listen__ipv6_stands_beside_ipv4),
        T(test_listen__port_is_shared_only_when_asked),
        T(test_listen_stop__who_came_before_is_accepted_who_comes_after_waits),
        T(test_soak__every_byte_in_order),
    };
    int failed = 0, err = 0;
    struct io_driver *ring = io_uring_open(64, &err);
    if (ring) {
        ring->ops->close(ring);
        open_driver = open_uring;
        failed += cmocka_run_group_tests_name("driver: io_uring", tests, NULL, NULL);
    } else {
        printf("SKIPPED: io_uring, the kernel refuses it with %s\n", rw_err_name(err));
    }
    open_driver = io_epoll_open;
    failed += cmocka_run_group_tests_name("driver: epoll", tests, NULL, NULL);
    if (forbid_epoll_pwait2()) {
        failed += cmocka_run_group_tests_name("driver: epoll before 5.11", tests, NULL, NULL);
    } else {
        printf("SKIPPED: epoll before 5.11, no seccomp filter can be set\n");
    }
    return failed;
}
