// The simulated kernel as one process (or worker) sees it: a struct io_driver over sim_net, with faults.
//
// It keeps the rules of io/driver.h for itself and enforces them on its user. These end the run at once:
//   * a descriptor used after it was closed, closed twice, or closed while an operation on it is in flight;
//   * two receives or two sends in flight on one socket; an operation submitted twice, or changed while it is in flight;
//   * bytes of a send that changed, or were given to another, before it completed;
//   * a provided buffer given twice, or written to by anybody but the kernel while the kernel has it.
// Descriptors are small integers, the lowest free one first, so that a late use hits somebody else.
//
// Bytes are copied when they move, not when an operation is submitted: memory that was freed too early is touched, which
// AddressSanitizer sees. Buffers are scribbled over when they are given, so that a span that outlived its buffer reads
// nonsense and is caught by the checks of contents.
//
// Completions may be short, late, in another order than they arose (never those of one operation), and an operation that
// was cancelled may still complete in full.
#ifndef RINGWAY_TESTS_SIM_DRIVER_H
#define RINGWAY_TESTS_SIM_DRIVER_H

#include "io/loop.h"
#include "tests/sim/sim_net.h"

// The descriptors of a process, which its loops share: one may accept a client and hand it to another.
struct sim_process;

struct sim_process *sim_process_new(struct sim_net *net);
// After its drivers were closed. Fails the run if a descriptor was left open.
void sim_process_free(struct sim_process *p);
uint32_t sim_process_fds(const struct sim_process *p);

// `host`: the address from which it connects. The actor turns `turn(ctx)`, which must lead to one turn of the loop.
// Closing it fails the run if an operation is in flight.
struct io_driver *sim_driver_open(struct sim_process *process, const char *name, const struct io_addr *host,
                                  void (*turn)(void *ctx), void *ctx);

#endif
