// The world of one simulated run: clock, events, chance, faults, and the actors (loops) that take turns in it.
//
// Everything that happens is decided by one generator seeded once, and runs in one thread, so that a seed repeats itself
// bit for bit: the trace hash is taken over every event. Time stands still while anybody has something to do and then
// jumps to the next event. Each kind of fault has a probability of its own, and about half of them are wholly off in a
// run (swarm testing: Groce et al. 2012), so that rare combinations and faultless runs both occur.
//
// Use      sim_world_open(), make drivers and peers, sim_world_step() until it returns false or the scenario is content,
//          sim_world_close().
// Fail     sim_fail() prints what is wrong, the last events and the line that replays it, and ends the process.
// Thread   one.
#ifndef RINGWAY_TESTS_SIM_WORLD_H
#define RINGWAY_TESTS_SIM_WORLD_H

#include "base/clock.h"
#include "base/list.h"
#include "base/prng.h"
#include "base/span.h"

// X(symbol, name)
#define SIM_FAULTS(X) \
    X(SIM_SHORT_READ, "short read") \
    X(SIM_SHORT_WRITE, "short write") \
    X(SIM_SEGMENTS, "split in transit") \
    X(SIM_STALL, "stall in transit") \
    X(SIM_RESET, "reset in transit") \
    X(SIM_ENOBUFS, "no buffer (ENOBUFS)") \
    X(SIM_SQ_FULL, "submission queue full") \
    X(SIM_LATE, "late completion") \
    X(SIM_REORDER, "reordered completions") \
    X(SIM_CANCEL_RACE, "completed although cancelled") \
    X(SIM_CANCEL_LATE, "late cancellation") \
    X(SIM_ACCEPT_ERROR, "accept error (EMFILE)") \
    X(SIM_CONNECT_REFUSED, "connect refused") \
    X(SIM_CONNECT_STALL, "connect unanswered") \
    X(SIM_SLOW_PEER, "slow peer") \
    X(SIM_DNS_FAILURE, "name not resolved") \
    X(SIM_NO_MEMORY, "allocation failed") \
    X(SIM_SHORTAGE, "budget used up") \
    X(SIM_CLOCK_STEP, "wall clock step") \
    X(SIM_CLOCK_JUMP, "clock jump (suspend)") \
    X(SIM_LOOP_STALL, "loop not scheduled")

#define X(symbol, name) symbol,
enum sim_fault_kind { SIM_FAULTS(X) SIM_FAULT_KINDS };
#undef X

#define SIM_NAME_BYTES 24
#define SIM_ACTORS_MAX 16
#define SIM_TRACE_KEPT 160u

struct sim_world;

// Something that will happen. A field of whoever it happens to.
struct sim_event {
    int64_t at_ns;
    uint64_t tie; // random: what falls due together happens in any order
    uint32_t place; // in the heap, from 1; 0: not waiting
    void (*fire)(struct sim_event *e);
};

// A loop that is turned by the world.
struct sim_actor {
    void (*step)(struct sim_actor *a);
    bool runnable;
    int64_t wake_ns; // CLOCK_NEVER: only if somebody makes it runnable
    int64_t stalled_until_ns;
    char name[SIM_NAME_BYTES];
    struct sim_world *world;
};

struct sim_trace {
    int64_t now_ns;
    const char *what; // static
    uint64_t a, b;
};

struct sim_world {
    uint64_t seed;
    const char *scenario;
    int64_t now_ns;
    int64_t wall_ahead_ns; // wall clock less now_ns
    struct prng prng;
    struct sim_event **heap; // from 1
    uint32_t heap_n, heap_cap;
    struct sim_actor *actor[SIM_ACTORS_MAX];
    uint32_t actors;
    uint32_t rate[SIM_FAULT_KINDS]; // of 65,536
    uint64_t fired[SIM_FAULT_KINDS];
    uint32_t troubles; // what went wrong that an exchange may be excused by
    int64_t trouble_until_ns; // and works on until then
    uint64_t steps, steps_max;
    uint64_t hash;
    uint64_t traced;
    struct sim_trace trace[SIM_TRACE_KEPT];
    bool verbose;
    struct sim_net *net;
};

void sim_world_open(struct sim_world *w, uint64_t seed, const char *scenario);
// Every fault gets a rate, or none. calm: all of them none.
void sim_world_faults(struct sim_world *w, bool calm);
void sim_world_close(struct sim_world *w);

// One event or one turn of one actor; false: nothing can happen any more.
bool sim_world_step(struct sim_world *w);
// Nothing can happen before this time.
int64_t sim_world_next_ns(const struct sim_world *w);

void sim_actor_add(struct sim_world *w, struct sim_actor *a, const char *name,
                   void (*step)(struct sim_actor *a));
void sim_actor_remove(struct sim_world *w, struct sim_actor *a);

// (Re)arms e to happen at at_ns, now at the earliest.
void sim_event_at(struct sim_world *w, struct sim_event *e, int64_t at_ns);
void sim_event_in(struct sim_world *w, struct sim_event *e, int64_t in_ns);
void sim_event_drop(struct sim_world *w, struct sim_event *e);

// --- Chance.
static inline uint32_t sim_below(struct sim_world *w, uint32_t n)
{
    return prng_below(&w->prng, n);
}
// lo to hi, both included.
static inline int64_t sim_between(struct sim_world *w, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(prng_next(&w->prng) % (uint64_t)(hi - lo + 1));
}
// True in `percent` of all cases.
static inline bool sim_chance(struct sim_world *w, uint32_t percent)
{
    return sim_below(w, 100) < percent;
}
// 1 to max, small numbers more often: for the sizes of pieces.
uint32_t sim_piece(struct sim_world *w, uint32_t max);
// Whether a fault happens here; counts and traces it.
bool sim_fault(struct sim_world *w, enum sim_fault_kind kind);
const char *sim_fault_name(enum sim_fault_kind kind);
// Something happened that may break or delay whatever is under way, until then. Calm runs have no troubles.
void sim_trouble(struct sim_world *w, int64_t until_ns);

// --- What happened. `what` is a string literal.
void sim_note(struct sim_world *w, const char *what, uint64_t a, uint64_t b);
_Noreturn void sim_fail(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define SIM_MUST(w, x, ...) \
    do { \
        if (__builtin_expect(!(x), 0)) sim_fail(w, __VA_ARGS__); \
    } while (0)
// The last events and the line that replays the run: for a crash.
void sim_last_words(struct sim_world *w);

// --- Memory. The simulator's own never runs out; that of the code under test may, while it is armed (sim_wrap.c).
void *sim_malloc(size_t n);
void *sim_calloc(size_t n, size_t size);
void *sim_realloc(void *p, size_t n);
void sim_memory_arm(struct sim_world *w); // NULL: every allocation succeeds

// From now on a fiber that waits without a deadline fails the run; NULL: no more.
void sim_watch_waits(struct sim_world *w);

// A fast hash of memory: for traces, and to see that memory did not change.
uint64_t sim_hash(uint64_t h, const void *p, size_t n);

#endif
