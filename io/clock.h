// The kernel's clocks, for the two drivers that run on it and for start-up code that has no loop yet. All
// others read the time of their loop. clock.c is the only file that may ask the kernel for the time.
//
// Thread   any. Never suspends.
#ifndef RINGWAY_IO_CLOCK_H
#define RINGWAY_IO_CLOCK_H

#include "io/driver.h"

void io_clock(struct io_time *ret);
int64_t io_clock_now(void);

// A clock that is read every turn: how far the wall's is ahead is asked for every 10 ms only. All zero at first.
struct io_clock {
    int64_t wall_ahead_ns;
    int64_t good_until_ns;
};
void io_clock_read(struct io_clock *c, struct io_time *ret);

#endif
