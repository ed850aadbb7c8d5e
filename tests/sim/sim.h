// The scenarios, and what they count. A scenario runs one world from a seed and either returns, or fails the run by
// sim_fail().
#ifndef RINGWAY_TESTS_SIM_SIM_H
#define RINGWAY_TESTS_SIM_SIM_H

#include "base/end.h"
#include "tests/sim/sim_world.h"

// How exchanges ended, as the client saw it.
#define SIM_OUTCOMES(X) \
    X(OUTCOME_WHOLE, "answered in full") \
    X(OUTCOME_REFUSED, "refused by the gateway") \
    X(OUTCOME_PROVIDER_ERROR, "refused by the provider") \
    X(OUTCOME_STREAM_ERROR, "error within a stream") \
    X(OUTCOME_BROKEN, "connection broken") \
    X(OUTCOME_LEFT, "client left") \
    X(OUTCOME_NOT_SENT, "never sent")

#define X(symbol, name) symbol,
enum sim_outcome { SIM_OUTCOMES(X) SIM_OUTCOME_COUNT };
#undef X

struct sim_totals {
    uint64_t exchanges;
    uint64_t steps;
    uint64_t outcomes[SIM_OUTCOME_COUNT];
    uint64_t fired[SIM_FAULT_KINDS];
    uint64_t ends[RW_END_COUNT]; // by the access log
    uint64_t hash; // of all runs
};

typedef void sim_scenario(struct sim_world *w, uint64_t seed, struct sim_totals *totals);

// io/ alone: an echo server and client of fibers and streams.
sim_scenario sim_echo;

#endif
