// The offload pool: pure functions that take longer than a turn of a loop may (public-key work, hashing of
// large bodies, gzip) run on its threads, while the fiber that asked is suspended and its loop goes on.
//
// Use      io_offload(pool, fn, arg) from a fiber: returns what fn returned. fn runs on another thread, so it
//          touches nothing but what arg points to, and it never suspends, waits or sees the loop. arg may lie
//          on the fiber's stack: a cancelled fiber waits for the end of fn all the same (the wait is
//          shielded).
// Queue    first in, first out over all loops, IO_OFFLOAD_QUEUE_MAX at most; whoever finds it full is told
//          -EAGAIN (too much work is refused, not piled up).
// Owner    main. The pool is closed before the loops that use it: its threads may still be waking one of
//          them.
// Thread   io_offload() on any loop; io_offload_open() and io_offload_close() on main's thread.
#ifndef RINGWAY_IO_OFFLOAD_H
#define RINGWAY_IO_OFFLOAD_H

#include "base/err.h"
#include "base/limits.h"

struct io_offload;

// threads 0: min(4, CPUs / 4), at least 1.
enum rw_err io_offload_open(uint32_t threads, struct io_offload **ret) RW_WARN_UNUSED;
// Nobody waits for the pool any more, and nobody will ask again. Joins its threads.
void io_offload_close(struct io_offload *pool);

// fn(arg), on a thread of the pool. fn's own results are 0 or positive or negative errno values other than
// -EAGAIN.
int io_offload(struct io_offload *pool, int (*fn)(void *), void *arg) RW_WARN_UNUSED;

struct io_offload_stats {
    uint64_t done; // functions that have run
    uint64_t refused; // asked for while the queue was full
    uint32_t queued; // waiting now
    uint32_t running; // on a thread now
};
void io_offload_stats(struct io_offload *pool, struct io_offload_stats *ret);

#endif
