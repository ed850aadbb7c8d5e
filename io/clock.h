// The kernel's clocks, for the two drivers that run on it and for start-up code that has no loop yet. All
// others read the time of their loop. clock.c is the only file that may ask the kernel for the time.
//
// Thread   any. Never suspends.
#ifndef RINGWAY_IO_CLOCK_H
#define RINGWAY_IO_CLOCK_H

#include "io/driver.h"

void io_clock(struct io_time *ret);

#endif
