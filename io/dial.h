// Connecting to whichever of several addresses answers first (RFC 8305, "happy eyeballs"): one attempt after the other is
// begun, each a moment after the one before or as soon as that has failed, and none is given up while there is time. So an
// address that swallows packets costs a moment, not the whole of the time limit.
//
// Use      io_dial_order() once where the addresses come from, io_dial() for each connection.
// Thread   the loop's; io_dial() suspends.
#ifndef RINGWAY_IO_DIAL_H
#define RINGWAY_IO_DIAL_H

#include "io/loop.h"

#define IO_DIAL_MAX 8
#define IO_DIAL_DELAY_NS (250 * CLOCK_MS) // RFC 8305, 5: recommended

// Puts addresses in an order in which the families alternate, beginning with the first one's, and else as they were (RFC 8305,
// 4). out has room for `cap`; returns how many there are.
uint32_t io_dial_order(const struct io_addr *in, uint32_t n, struct io_addr *out, uint32_t cap);

// A connected descriptor, and in *ret_which the index of its address. -ETIME, -ECANCELED, or the negative errno of the attempt
// that failed last. n is 1 to IO_DIAL_MAX.
int io_dial(struct io_loop *loop, const struct io_addr *addr, uint32_t n, const struct io_addr *bind_to,
            int64_t deadline_ns, uint32_t *ret_which) RW_WARN_UNUSED;

#endif
