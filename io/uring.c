// The io_uring driver: the product's. One ring per loop, made in the loop's own thread (single issuer), with completion
// work deferred to our own waits. Ordinary descriptors, multishot accept and receive, provided buffer rings, one
// io_uring_submit_and_wait_timeout per turn.
//
// user_data is kind | slot | generation, packed and unpacked in one pair of functions; the generation of a slot grows with
// every submission, so that a completion which does not belong to the present one is seen. That is a check, not the safety:
// the safety is that every operation is joined before its memory is freed.
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/driver.h"
#include "io/loop.h"
#include "io/sock.h"

#define KIND_BITS 8
#define SLOT_BITS 24
// Not an operation of a loop.
#define KIND_WAKE 0xfe
#define KIND_CANCEL 0xff

static_assert(IO_OP_KINDS < KIND_WAKE, "kinds fit their field");
static_assert(IO_OPS_MAX <= 1u << SLOT_BITS, "slots fit their field");

#define BY_SLOT_BYTES (IO_OPS_MAX * sizeof(struct io_op *))
#define GENERATION_BYTES (IO_OPS_MAX * sizeof(uint32_t))
// op->driver_bits: the last patient send was not completed while it was submitted.
#define SENT_SLOWLY 1u
// A wait that is longer may be longer still by what ran since the clock was read.
#define WAIT_LONG_NS (20 * CLOCK_MS)
// Submitting fails for want of memory in the kernel, or of room for completions.
#define SUBMIT_TRIES 1000

struct buffer_ring {
    struct io_uring_buf_ring *ring;
    size_t ring_bytes;
    uint32_t bytes; // of each buffer
    uint16_t count;
};

struct uring {
    struct io_driver driver;
    struct io_uring ring;
    struct io_clock clock;
    struct buffer_ring group[IO_GROUPS];
    struct io_op **by_slot;
    uint32_t *generation;
    int64_t now_ns; // when the loop last read the clock
    int enter_fd; // the ring's, or its number among those registered
    unsigned enter_flags;
    uint32_t enters;
    uint32_t patient; // sends queued whose completions are waited for in addition
    int wake_fd;
    bool wake_armed;
    bool wake_came;
    uint64_t wake_value;
};

static uint64_t user_data_pack(uint8_t kind, uint32_t slot, uint32_t generation)
{
    return (uint64_t)kind << (SLOT_BITS + 32) | (uint64_t)slot << 32 | generation;
}

static void user_data_unpack(uint64_t data, uint8_t *ret_kind, uint32_t *ret_slot, uint32_t *ret_generation)
{
    *ret_kind = (uint8_t)(data >> (SLOT_BITS + 32));
    *ret_slot = (uint32_t)(data >> 32) & ((1u << SLOT_BITS) - 1);
    *ret_generation = (uint32_t)data;
}

static struct uring *uring_of(struct io_driver *d)
{
    return (struct uring *)(void *)d;
}

// Submits what is queued and waits for `least` completions, until *wait (NULL: for ever); least 0: does not wait. The
// library's functions for this look at the completions, too, and at much that is the same in each call.
static int enter(struct uring *u, unsigned least, struct __kernel_timespec *wait)
{
    struct io_uring_sq *sq = &u->ring.sq;
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8, .ts = (uint64_t)(uintptr_t)wait};
    u->patient = 0;
    u->enters++;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    // Deferred completions are only posted inside a call that asks for events.
    return io_uring_enter2((unsigned)u->enter_fd, sq->sqe_tail - io_uring_smp_load_acquire(sq->khead), least,
                           u->enter_flags, (sigset_t *)(void *)&arg, sizeof arg);
}

// The ring's set-up is ours, so that what the library asks in every call is known: no polling thread, entries of one size.
static bool sq_full(const struct uring *u)
{
    const struct io_uring_sq *sq = &u->ring.sq;
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead) >= sq->ring_entries;
}

// An entry of the submission queue; when it is full, what is queued is submitted first.
static struct io_uring_sqe *sqe_take(struct uring *u)
{
    struct io_uring_sq *sq = &u->ring.sq;
    for (int i = 0; RW_UNLIKELY(sq_full(u)); i++) {
        MUST(i < SUBMIT_TRIES);
        (void)enter(u, 0, NULL);
    }
    return &sq->sqes[sq->sqe_tail++ & sq->ring_mask];
}

static void prepare_receive(struct io_uring_sqe *sqe, const struct io_op *op)
{
    if (op->kind == IO_OP_RECV_MANY) io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    else io_uring_prep_recv(sqe, op->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = op->group;
}

static void prepare_send(struct io_uring_sqe *sqe, struct io_op *op)
{
    const unsigned flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (op->send.msg_iovlen == 1)
        io_uring_prep_send(sqe, op->fd, op->send.msg_iov[0].iov_base, op->send.msg_iov[0].iov_len,
                           (int)flags);
    else io_uring_prep_sendmsg(sqe, op->fd, &op->send, flags);
}

// The kernel completes nearly every send while it is submitted. One more completion is waited for than there are patient sends:
// something that somebody is waiting for. Unless the peer did not take the last one so promptly.
static void note_patience(struct uring *u, struct io_op *op)
{
    if (!(op->driver_bits & SENT_SLOWLY)) u->patient++;
    op->driver_word = u->enters;
}

static void note_promptness(const struct uring *u, struct io_op *op)
{
    if (op->driver_word + 1 == u->enters) op->driver_bits = 0;
    else op->driver_bits = SENT_SLOWLY;
}

static void submit(struct io_driver *d, struct io_op *op)
{
    struct uring *u = uring_of(d);
    struct io_uring_sqe *sqe = sqe_take(u);
    switch ((enum io_op_kind)op->kind) {
    case IO_OP_ACCEPT:
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        break;
    case IO_OP_RECV_MANY:
    case IO_OP_RECV: prepare_receive(sqe, op); break;
    case IO_OP_RECV_INTO: io_uring_prep_recv(sqe, op->fd, op->into.p, op->into.n, MSG_WAITALL); break;
    case IO_OP_SEND:
        prepare_send(sqe, op);
        if (op->patient) note_patience(u, op);
        break;
    case IO_OP_CONNECT: io_uring_prep_connect(sqe, op->fd, op->connect.sa, op->connect.n); break;
    case IO_OP_POLL: io_uring_prep_poll_add(sqe, op->fd, op->poll_events); break;
    case IO_OP_NONE:
    case IO_OP_KINDS: UNREACHABLE("an operation without a kind was submitted");
    }
    u->by_slot[op->slot] = op;
    io_uring_sqe_set_data64(sqe, user_data_pack(op->kind, op->slot, ++u->generation[op->slot]));
}

static void cancel(struct io_driver *d, struct io_op *op)
{
    struct uring *u = uring_of(d);
    struct io_uring_sqe *sqe = sqe_take(u);
    io_uring_prep_cancel64(sqe, user_data_pack(op->kind, op->slot, u->generation[op->slot]), 0);
    io_uring_sqe_set_data64(sqe, user_data_pack(KIND_CANCEL, 0, 0));
}

static void wake_arm(struct uring *u)
{
    struct io_uring_sqe *sqe = sqe_take(u);
    io_uring_prep_read(sqe, u->wake_fd, &u->wake_value, sizeof u->wake_value, 0);
    io_uring_sqe_set_data64(sqe, user_data_pack(KIND_WAKE, 0, 0));
    u->wake_armed = true;
}

static void wake(struct io_driver *d)
{
    const uint64_t one = 1;
    const ssize_t n = write(uring_of(d)->wake_fd, &one, sizeof one);
    (void)n; // full: it is awake already
}

// A send of which the kernel took only a part although it was told to wait for all: the connection is broken.
static int32_t send_result(const struct io_op *op, int32_t res)
{
    if (res < 0) return res;
    size_t all = 0;
    for (size_t i = 0; i < op->send.msg_iovlen; i++) all += op->send.msg_iov[i].iov_len;
    if ((size_t)res == all) return res;
    return op->cancelling ? -ECANCELED : -EPIPE;
}

static bool translate(struct uring *u, const struct io_uring_cqe *cqe, struct io_completion *ret)
{
    uint8_t kind;
    uint32_t slot, generation;
    user_data_unpack(cqe->user_data, &kind, &slot, &generation);
    if (RW_UNLIKELY(kind >= KIND_WAKE)) {
        if (kind == KIND_WAKE) u->wake_armed = false;
        return false;
    }
    struct io_op *op = u->by_slot[slot];
    MUST(op && op->submitted && u->generation[slot] == generation);
    ret->op = op;
    ret->res = cqe->res;
    if (kind == IO_OP_SEND) {
        ret->res = send_result(op, cqe->res);
        if (op->patient) note_promptness(u, op);
    }
    ret->flags = cqe->flags & IORING_CQE_F_MORE ? IO_MORE : 0;
    if (cqe->flags & IORING_CQE_F_BUFFER)
        ret->flags |= IO_BUFFER | (uint32_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) << 16;
    return true;
}

static void enter_until(struct uring *u, int64_t deadline_ns)
{
    struct __kernel_timespec ts, *wait = NULL;
    if ((deadline_ns != CLOCK_NEVER || u->patient > 0) && deadline_ns != 0) {
        int64_t left = deadline_ns - u->now_ns;
        // What ran since then took little, seen against a long wait.
        if (left < WAIT_LONG_NS) left = deadline_ns - io_clock_now();
        if (left < 0) left = 0;
        if (u->patient > 0 && left > IO_PATIENCE_NS) left = IO_PATIENCE_NS;
        ts = (struct __kernel_timespec){.tv_sec = left / CLOCK_SEC, .tv_nsec = left % CLOCK_SEC};
        wait = &ts;
    }
    const int r = enter(u, deadline_ns != 0 ? 1 + u->patient : 0, wait);
    // -EBUSY: completions wait in the overflow list, which this very call drains.
    MUST(r >= 0 || r == -ETIME || r == -EINTR || r == -EBUSY || r == -EAGAIN);
}

static int turn(struct io_driver *d, int64_t deadline_ns, struct io_completion *ret, int max)
{
    struct uring *u = uring_of(d);
    if (RW_UNLIKELY(!u->wake_armed)) wake_arm(u);
    // Completions that are there already are taken first, but what was queued must go out.
    if (deadline_ns != 0 || io_uring_sq_ready(&u->ring) > 0 || io_uring_cq_ready(&u->ring) == 0)
        enter_until(u, deadline_ns);
    const struct io_uring_cq *cq = &u->ring.cq;
    const unsigned mask = cq->ring_mask, tail = io_uring_smp_load_acquire(cq->ktail);
    const struct io_uring_cqe *const cqes = cq->cqes;
    unsigned head = *cq->khead;
    int n = 0;
    for (; head != tail && n < max; head++)
        if (translate(u, &cqes[head & mask], &ret[n])) n++;
    io_uring_smp_store_release(cq->khead, head);
    return n;
}

static void clock_read(struct io_driver *d, struct io_time *ret)
{
    io_clock_read(&uring_of(d)->clock, ret);
    uring_of(d)->now_ns = ret->now_ns;
}

static int group_open(struct io_driver *d, uint8_t group, uint16_t count, uint32_t bytes)
{
    struct uring *u = uring_of(d);
    struct buffer_ring *g = &u->group[group];
    const size_t ring_bytes = count * sizeof(struct io_uring_buf);
    void *p = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return -errno;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)p, .ring_entries = count, .bgid = group};
    const int r = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (r < 0) {
        munmap(p, ring_bytes);
        return r;
    }
    *g = (struct buffer_ring){.ring = p, .ring_bytes = ring_bytes, .bytes = bytes, .count = count};
    io_uring_buf_ring_init(g->ring);
    return 0;
}

static void buffer_give(struct io_driver *d, uint8_t group, uint16_t id, void *p)
{
    struct buffer_ring *g = &uring_of(d)->group[group];
    io_uring_buf_ring_add(g->ring, p, g->bytes, id, g->count - 1, 0);
    io_uring_buf_ring_advance(g->ring, 1);
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

// What is queued for this descriptor must reach the kernel before the number is free for others.
static void sock_close(struct io_driver *d, int fd)
{
    (void)d;
    io_sock_close(fd);
}

static void uring_close(struct io_driver *d)
{
    struct uring *u = uring_of(d);
    io_uring_queue_exit(&u->ring);
    for (int i = 0; i < IO_GROUPS; i++)
        if (u->group[i].ring) munmap(u->group[i].ring, u->group[i].ring_bytes);
    if (u->wake_fd >= 0) close(u->wake_fd);
    io_reserve_free(u->by_slot, BY_SLOT_BYTES);
    io_reserve_free(u->generation, GENERATION_BYTES);
    free(u);
}

static const struct io_driver_ops ops = {
    .name = "io_uring",
    .close = uring_close,
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

struct io_driver *io_uring_open(uint32_t entries, int *ret_err)
{
    struct uring *u = calloc(1, sizeof *u);
    if (!u) {
        *ret_err = -ENOMEM;
        return NULL;
    }
    u->driver.ops = &ops;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 8,
    };
    const int r = io_uring_queue_init_params(entries, &u->ring, &p);
    if (r < 0) {
        *ret_err = r;
        free(u);
        return NULL;
    }
    (void)io_uring_ring_dontfork(&u->ring);
    u->enter_fd = u->ring.ring_fd;
    u->enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    // Saves a look-up per call; goes on without.
    if (io_uring_register_ring_fd(&u->ring) == 1) {
        u->enter_fd = u->ring.enter_ring_fd;
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    u->wake_fd = eventfd(0, EFD_CLOEXEC);
    const int wake_err = u->wake_fd < 0 ? -errno : 0;
    u->by_slot = io_reserve(BY_SLOT_BYTES);
    u->generation = io_reserve(GENERATION_BYTES);
    if (wake_err || !u->by_slot || !u->generation) {
        *ret_err = wake_err ? wake_err : -ENOMEM;
        uring_close(&u->driver);
        return NULL;
    }
    return &u->driver;
}
