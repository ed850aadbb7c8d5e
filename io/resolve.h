// Names to addresses, kept fresh: DNS by c-ares on one loop (the control thread's), so that no worker ever
// waits for it. A name is watched: it is asked for at once, and again before the answer's TTL ends; whoever
// watches is called back when the set of addresses changed, and hands it on to the workers.
//
// Use      io_resolver_open(); io_resolver_watch() for each origin; io_resolver_unwatch();
//          io_resolver_close().
// Sources  /etc/hosts first, then DNS (A and AAAA), sorted as RFC 6724 says. Literal addresses need neither:
//          they are called back from within io_resolver_watch(), and never again.
// Errors   While a name was never resolved, the first failure is called back (set NULL, err); it is asked
//          again all the same, and called back when that works. Once it was resolved, an answer that fails
//          (NXDOMAIN and empty answers included) changes nothing: the old addresses stay (stale on error),
//          and it is asked again.
// Owner    The caller's loop. A set is immutable and counted: io_addr_set_hold() to keep one beyond the
//          callback, on any thread.
// Thread   the loop's, but for io_addr_set_hold() and io_addr_set_drop(). Nothing suspends. A callback may
//          watch and unwatch names, its own included; it must not close the resolver.
#ifndef RINGWAY_IO_RESOLVE_H
#define RINGWAY_IO_RESOLVE_H

#include <stdatomic.h>

#include "base/span.h"
#include "io/addr.h"

struct io_loop;
struct io_resolver;
struct io_watch;

#define IO_ADDR_SET_MAX 16 // addresses of one name; more are not used

struct io_addr_set {
    _Atomic uint32_t refs;
    uint32_t n; // at least 1
    struct io_addr addr[]; // with their port, the preferred first
};

struct io_addr_set *io_addr_set_hold(const struct io_addr_set *s); // returns it
void io_addr_set_drop(const struct io_addr_set *s); // NULL is fine

// set is borrowed; NULL: err says why: RW_E_NOT_FOUND (no such name, or no address), -ETIMEDOUT,
// -ECONNREFUSED, -EREMOTEIO (the server failed or refused), -ENOMEM, RW_E_BAD (no name at all).
typedef void (*io_resolved_fn)(void *ctx, const struct io_addr_set *set, int err);

struct io_resolver_cfg {
    const char *servers; // "10.0.0.2,[fd00::1]:5353"; NULL: /etc/resolv.conf
    int64_t fresh_min_ns; // asked again no sooner than this, 0: 5 s; the first pause after a failure, too
    int64_t fresh_max_ns; // and no later, 0: 5 min
    int32_t try_ms; // the first of two tries per server; the second waits for twice as long. 0: 2,000
};

enum rw_err io_resolver_open(struct io_loop *loop, const struct io_resolver_cfg *cfg,
                             struct io_resolver **ret) RW_WARN_UNUSED;
// All names are given up without being called back. on_closed (may be NULL) runs on the loop when the last
// operation is joined, perhaps before this returns; the resolver is freed then.
void io_resolver_close(struct io_resolver *r, void (*on_closed)(void *ctx), void *ctx);

// RW_E_BAD: not a name that DNS could know (empty, longer than 253 bytes, a NUL inside).
enum rw_err io_resolver_watch(struct io_resolver *r, struct span host, uint16_t port, io_resolved_fn resolved,
                              void *ctx, struct io_watch **ret) RW_WARN_UNUSED;
// It is not called back any more.
void io_resolver_unwatch(struct io_watch *w);
// What is known now; NULL: nothing. Borrowed.
const struct io_addr_set *io_watch_known(const struct io_watch *w);

struct io_resolver_stats {
    uint64_t asked; // questions (each for A and AAAA)
    uint64_t failed;
    uint32_t watched;
    uint32_t stale; // names whose last answer failed and whose addresses are older
};
void io_resolver_stats(const struct io_resolver *r, struct io_resolver_stats *ret);

#endif
