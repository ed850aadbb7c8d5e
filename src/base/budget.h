// A worker's byte budget: what bodies, detached buffers and growing regions are charged to before they grow, so that a flood
// of large requests ends in clear 503s and never in the kernel's out-of-memory killer.
//
// Thread   the worker's; no atomics. Units: bytes.
#ifndef RINGWAY_BASE_BUDGET_H
#define RINGWAY_BASE_BUDGET_H

#include "base/check.h"

struct budget {
    int64_t limit;
    int64_t used;
    int64_t peak;
    uint64_t refused; // times that something did not fit
};

static inline bool budget_take(struct budget *b, int64_t n)
{
    MUST(n >= 0);
    if (RW_UNLIKELY(n > b->limit - b->used)) {
        b->refused++;
        return false;
    }
    b->used += n;
    if (b->used > b->peak) b->peak = b->used;
    return true;
}

static inline bool budget_fits(const struct budget *b, int64_t n)
{
    return n <= b->limit - b->used;
}

// Charges what is there already, also above the limit.
static inline void budget_force(struct budget *b, int64_t n)
{
    b->used += n;
    if (b->used > b->peak) b->peak = b->used;
}

static inline void budget_give(struct budget *b, int64_t n)
{
    MUST(n >= 0 && n <= b->used);
    b->used -= n;
}

#endif
