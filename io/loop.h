// The loop of one thread: driver, clock, timers, fibers, buffers and mailbox, turned by its owner.
//
// A turn: run the fibers that are ready; let the driver submit and wait until the next deadline; read the clock once; run
// the handlers of all completions; fire timers; open the mail. Handlers and timers only queue operations and wake fibers.
//
// Owner    the thread that calls io_loop_turn(). Everything reached from a loop belongs to it, except io_loop_post().
// Errors   io_loop_open() reports what the kernel refused; a turn has no errors of its own.
#ifndef RINGWAY_IO_LOOP_H
#define RINGWAY_IO_LOOP_H

#include <stdatomic.h>

#include "base/budget.h"
#include "io/buf.h"
#include "io/driver.h"
#include "io/fiber.h"
#include "io/timer.h"

// A letter to another loop: a field of the sender's message, which passes to the receiver. Intrusive, lock-free, many
// senders; order between senders is not promised, each sender's letters arrive in order.
struct io_mail {
    struct io_mail *next;
    void (*open)(struct io_loop *loop, struct io_mail *mail); // runs on the receiving loop; must not suspend
};

struct io_loop {
    struct io_driver *driver;
    int64_t now_ns; // read once a turn
    int64_t wall_ns;
    struct budget *budget;
    struct io_timers timers;
    struct fiber_pool fibers;
    struct io_group group[IO_GROUPS];
    struct io_regions regions;
    struct io_op **slots; // operations by slot, for the ring's user_data
    uint32_t slots_made;
    uint32_t slot_free; // list through slot_next
    uint32_t *slot_next;
    _Atomic(struct io_mail *) mail;
    int32_t ops_in_flight;
    _Atomic uint64_t turns; // single writer; the watchdog reads it
    uint64_t completions;
    void *owner; // the worker
};

struct io_loop_cfg {
    struct budget *budget;
    uint32_t fibers_max;
    uint16_t buffers; // of each group, a power of two; 0: the loop has no provided buffers
};

// Takes the driver over (io_loop_close() closes it), also when it fails.
enum rw_err io_loop_open(struct io_loop *loop, struct io_driver *driver,
                         const struct io_loop_cfg *cfg) RW_WARN_UNUSED;
// No fiber is running and no operation is in flight.
void io_loop_close(struct io_loop *loop);
// One turn; waits until deadline_ns at most.
void io_loop_turn(struct io_loop *loop, int64_t deadline_ns);
// Opens the letters that have come, without a turn.
void io_loop_mail(struct io_loop *loop);
// From any thread.
void io_loop_post(struct io_loop *loop, struct io_mail *mail);

// --- Operations. An operation is opened once by its owner, submitted any number of times, and closed when joined.
void io_op_open(struct io_loop *loop, struct io_op *op, uint8_t kind, int fd,
                void (*done)(struct io_op *op, int32_t res, uint32_t flags));
void io_op_close(struct io_loop *loop, struct io_op *op);
void io_submit(struct io_loop *loop, struct io_op *op);
void io_cancel(struct io_loop *loop, struct io_op *op); // harmless if not submitted

#endif
