// The completion seam: everything the gateway asks of the kernel goes through one `struct io_driver`, with the ring's
// semantics. Three drivers stand behind it: io_uring (uring.c, the product), epoll (epoll.c, where io_uring is blocked)
// and the simulator's (tests/sim), which breaks things on purpose. Streams, fibers, pools and all above exist once.
//
// Rules that every driver keeps and every user may rely on
//   * An operation is a struct io_op inside its owner. Between submit and its last completion (one without IO_MORE) it
//     belongs to the driver, and so does the memory it points to, cancelled or not: join before you free.
//   * submit() only queues; turn() submits, waits until the deadline and fills completions. Handlers run after the turn.
//   * cancel() is a hint. The operation's own completion follows (-ECANCELED, or whatever it had become by then).
//   * Receives with a provided buffer complete with IO_BUFFER and the buffer's id when a buffer was used. -ENOBUFS: none was
//     left; the operation is over and may be submitted again once buffers were given.
//     A driver may say so already when the operation begins, or only when data waits.
//   * RECV_INTO receives until its memory is full, the end, an error or a cancel, and completes with what there is: an
//     error behind some bytes may show only as the end of the stream with the next receive.
//   * The owner of a send that is `patient` does nothing urgent when it is done: a driver may hold such completions back until
//     there is another one, but no longer than IO_PATIENCE_NS. That saves turns.
//   * POLL may set more than was asked for (POLLERR, POLLHUP, POLLRDHUP).
//   * res is 0 or positive (a count, a descriptor) or a negative errno. A receive of 0 is the end of the stream.
//
// Thread   all calls from the thread that owns the loop, except wake(), which any thread may call.
#ifndef RINGWAY_IO_DRIVER_H
#define RINGWAY_IO_DRIVER_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/err.h"
#include "io/addr.h"

enum io_op_kind {
    IO_OP_NONE,
    IO_OP_ACCEPT, // multishot: each completion is a new descriptor
    IO_OP_RECV_MANY, // multishot, a provided buffer of op->group each time
    IO_OP_RECV, // once, a provided buffer of op->group
    IO_OP_RECV_INTO, // once, into op->into
    IO_OP_SEND, // gathers op->send; completes when all of it was taken by the kernel, or with an error
    IO_OP_CONNECT, // to op->connect, which must stay valid
    IO_OP_POLL, // once: op->poll_events (POLLIN, POLLOUT); res is what is ready
    IO_OP_KINDS,
};

#define IO_PATIENCE_NS (1 * CLOCK_MS)

#define IO_MORE 1u // the operation goes on: more completions follow
#define IO_BUFFER 2u // a provided buffer was used; its id is io_completion_buffer()

struct io_op {
    uint8_t kind;
    uint8_t group; // of provided buffers
    bool submitted; // set by io_submit(), cleared before the last completion's handler runs
    bool cancelling; // io_cancel() was called for this submission
    uint16_t poll_events;
    uint8_t driver_bits; // the driver's own
    bool patient; // SEND
    int fd;
    uint32_t slot; // names the operation in the ring's user_data; given by io_op_open()
    uint32_t driver_word; // the driver's own
    // Runs once for each completion, on the loop, never inside submit(). flags: IO_MORE, IO_BUFFER | id << 16.
    void (*done)(struct io_op *op, int32_t res, uint32_t flags);
    union {
        struct {
            void *p;
            uint32_t n;
        } into;
        struct msghdr send;
        struct {
            const struct sockaddr *sa;
            socklen_t n;
        } connect;
    };
    struct io_op *driver_next; // the driver's own
};

struct io_completion {
    struct io_op *op;
    int32_t res;
    uint32_t flags;
};

static inline uint16_t io_completion_buffer(uint32_t flags)
{
    return (uint16_t)(flags >> 16);
}

struct io_time {
    int64_t now_ns;
    int64_t wall_ns;
};

struct io_driver;

struct io_driver_ops {
    const char *name; // "io_uring", "epoll", "sim"
    void (*close)(struct io_driver *d);

    void (*submit)(struct io_driver *d, struct io_op *op);
    void (*cancel)(struct io_driver *d, struct io_op *op);
    // Waits until deadline_ns at most (0: does not wait), fills at most `max` completions, returns their number. Returns
    // early after wake(). More may be left for the next turn.
    int (*turn)(struct io_driver *d, int64_t deadline_ns, struct io_completion *ret, int max);
    void (*wake)(struct io_driver *d);
    void (*clock)(struct io_driver *d, struct io_time *ret);

    // Provided buffers. Ids are 0 to count - 1; a buffer given is the kernel's until a completion names it.
    int (*group_open)(struct io_driver *d, uint8_t group, uint16_t count, uint32_t bytes);
    void (*buffer_give)(struct io_driver *d, uint8_t group, uint16_t id, void *p);

    // Sockets. All are non-blocking and close-on-exec; the ones that return a descriptor return a negative errno otherwise.
    int (*listen)(struct io_driver *d, const struct io_addr *addr, int backlog, bool shared_port);
    // Lets no new handshake begin; those under way still reach the accept queue. For a drain that loses nobody.
    void (*listen_stop)(struct io_driver *d, int fd);
    int (*socket)(struct io_driver *d, const struct io_addr *peer, const struct io_addr *bind_to);
    void (*accepted)(struct io_driver *d, int fd,
                     struct io_addr *ret_peer); // options of a new client, and its address
    void (*shutdown)(struct io_driver *d, int fd, int how);
    // Last words before the descriptor goes: what the socket takes at once, the rest is lost. No send is in flight.
    void (*send_now)(struct io_driver *d, int fd, const void *p, uint32_t n);
    void (*fd_close)(struct io_driver *d, int fd);
};

// The first member of every driver.
struct io_driver {
    const struct io_driver_ops *ops;
};

// The kernel's drivers. NULL with *ret_err: what the kernel said. entries: submission queue (the completion queue is 8 times
// that).
struct io_driver *io_uring_open(uint32_t entries, int *ret_err);
struct io_driver *io_epoll_open(int *ret_err);

#endif
