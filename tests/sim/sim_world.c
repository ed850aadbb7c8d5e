// See sim_world.h.
#include "tests/sim/sim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim_net.h"

// A run that has not ended after this many steps turns in circles.
#define STEPS_MAX UINT64_C(20000000)
#define START_NS (INT64_C(5000) * CLOCK_SEC)
#define START_WALL_NS (INT64_C(1760000000) * CLOCK_SEC)

static const char *const fault_names[SIM_FAULT_KINDS] = {
#define X(symbol, name) name,
    SIM_FAULTS(X)
#undef X
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
    return fault_names[kind];
}

void sim_world_open(struct sim_world *w, uint64_t seed, const char *scenario)
{
    const bool verbose = w->verbose;
    memset(w, 0, sizeof *w);
    w->verbose = verbose;
    w->seed = seed;
    w->scenario = scenario;
    prng_seed(&w->prng, seed);
    w->now_ns = START_NS + sim_between(w, 0, 100 * CLOCK_SEC);
    w->wall_ahead_ns = START_WALL_NS;
    w->steps_max = STEPS_MAX;
    w->hash = UINT64_C(0xcbf29ce484222325);
}

void sim_world_faults(struct sim_world *w, bool calm)
{
    // Of 65,536: rare, now and then, often. Kinds that cost a connection are rarer.
    static const uint32_t rates[] = {60, 600, 6000};
    for (int i = 0; i < SIM_FAULT_KINDS; i++) {
        const bool on = sim_chance(w, 50);
        uint32_t rate = rates[sim_below(w, 3)];
        if (i == SIM_RESET || i == SIM_STALL || i == SIM_CLOCK_STEP || i == SIM_NO_MEMORY) rate /= 8;
        if (i == SIM_CLOCK_JUMP) rate = 20;
        // There is little occasion for these.
        if (i == SIM_CANCEL_RACE || i == SIM_CANCEL_LATE) rate *= 8;
        if (i == SIM_DNS_FAILURE) rate = 30000;
        if (i == SIM_SHORTAGE) rate = 3000;
        if (i == SIM_LOOP_STALL) rate /= 30;
        w->rate[i] = on && !calm ? rate : 0;
    }
}

void sim_world_close(struct sim_world *w)
{
    MUST(w->heap_n == 0 && w->actors == 0);
    free(w->heap);
    w->heap = NULL;
}

// --- Events: a binary heap by time.

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->tie < b->tie;
}

static void put(struct sim_world *w, struct sim_event *e, uint32_t at)
{
    w->heap[at] = e;
    e->place = at;
}

static void rise(struct sim_world *w, struct sim_event *e, uint32_t at)
{
    for (; at > 1 && before(e, w->heap[at / 2]); at /= 2) put(w, w->heap[at / 2], at);
    put(w, e, at);
}

static void sink(struct sim_world *w, struct sim_event *e, uint32_t at)
{
    for (;;) {
        uint32_t child = at * 2;
        if (child > w->heap_n) break;
        if (child < w->heap_n && before(w->heap[child + 1], w->heap[child])) child++;
        if (!before(w->heap[child], e)) break;
        put(w, w->heap[child], at);
        at = child;
    }
    put(w, e, at);
}

void sim_event_drop(struct sim_world *w, struct sim_event *e)
{
    if (e->place == 0) return;
    const uint32_t at = e->place;
    e->place = 0;
    struct sim_event *last = w->heap[w->heap_n--];
    if (last == e) return;
    if (at > 1 && before(last, w->heap[at / 2])) rise(w, last, at);
    else sink(w, last, at);
}

void sim_event_at(struct sim_world *w, struct sim_event *e, int64_t at_ns)
{
    sim_event_drop(w, e);
    e->at_ns = at_ns > w->now_ns ? at_ns : w->now_ns;
    e->tie = prng_next(&w->prng);
    if (++w->heap_n >= w->heap_cap) {
        w->heap_cap = w->heap_cap ? w->heap_cap * 2 : 256;
        w->heap = sim_realloc(w->heap, w->heap_cap * sizeof(struct sim_event *));
        MUST(w->heap);
    }
    rise(w, e, w->heap_n);
}

void sim_event_in(struct sim_world *w, struct sim_event *e, int64_t in_ns)
{
    sim_event_at(w, e, w->now_ns + in_ns);
}

// --- Actors and time.

void sim_actor_add(struct sim_world *w, struct sim_actor *a, const char *name,
                   void (*step)(struct sim_actor *a))
{
    MUST(w->actors < SIM_ACTORS_MAX);
    *a = (struct sim_actor){.step = step, .runnable = true, .wake_ns = CLOCK_NEVER, .world = w};
    snprintf(a->name, sizeof a->name, "%s", name);
    w->actor[w->actors++] = a;
}

void sim_actor_remove(struct sim_world *w, struct sim_actor *a)
{
    for (uint32_t i = 0; i < w->actors; i++) {
        if (w->actor[i] != a) continue;
        w->actor[i] = w->actor[--w->actors];
        return;
    }
    UNREACHABLE("an actor that is not of this world");
}

// When the actor has something to do; now_ns or earlier: at once.
static int64_t actor_due_ns(const struct sim_world *w, const struct sim_actor *a)
{
    const int64_t due = a->runnable ? w->now_ns : a->wake_ns;
    return due > a->stalled_until_ns ? due : a->stalled_until_ns > w->now_ns ? a->stalled_until_ns : due;
}

int64_t sim_world_next_ns(const struct sim_world *w)
{
    int64_t next = w->heap_n ? w->heap[1]->at_ns : CLOCK_NEVER;
    for (uint32_t i = 0; i < w->actors; i++) next = clock_earlier(next, actor_due_ns(w, w->actor[i]));
    return next;
}

static void clock_faults(struct sim_world *w)
{
    if (w->rate[SIM_CLOCK_STEP] && sim_fault(w, SIM_CLOCK_STEP))
        w->wall_ahead_ns += sim_between(w, -4000 * CLOCK_SEC, 4000 * CLOCK_SEC);
    if (w->rate[SIM_CLOCK_JUMP] && sim_fault(w, SIM_CLOCK_JUMP)) {
        w->now_ns += sim_between(w, CLOCK_MS, 200 * CLOCK_SEC);
        // Connections that timed out meanwhile are closed; their clients learn it a little later.
        sim_trouble(w, w->now_ns + CLOCK_SEC);
    }
}

static void run_actor(struct sim_world *w, struct sim_actor *a)
{
    if (w->rate[SIM_LOOP_STALL] && sim_fault(w, SIM_LOOP_STALL)) {
        a->stalled_until_ns =
            w->now_ns + sim_between(w, CLOCK_US, sim_chance(w, 10) ? 20 * CLOCK_SEC : 50 * CLOCK_MS);
        sim_trouble(w, a->stalled_until_ns);
        return;
    }
    a->runnable = false;
    a->wake_ns = CLOCK_NEVER;
    a->step(a);
}

bool sim_world_step(struct sim_world *w)
{
    SIM_MUST(w, ++w->steps < w->steps_max, "no end after %lu steps", (unsigned long)w->steps);
    const int64_t next = sim_world_next_ns(w);
    if (next == CLOCK_NEVER) return false;
    if (next > w->now_ns) {
        w->now_ns = next;
        clock_faults(w);
    }
    // One of those that have something to do now.
    struct sim_actor *ready[SIM_ACTORS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->actors; i++)
        if (actor_due_ns(w, w->actor[i]) <= w->now_ns) ready[n++] = w->actor[i];
    const bool event = w->heap_n && w->heap[1]->at_ns <= w->now_ns;
    const uint32_t choice = n + event > 1 ? sim_below(w, n + event) : 0;
    if (choice < n) {
        run_actor(w, ready[choice]);
    } else {
        struct sim_event *e = w->heap[1];
        sim_event_drop(w, e);
        e->fire(e);
    }
    return true;
}

// --- Chance.

uint32_t sim_piece(struct sim_world *w, uint32_t max)
{
    if (max <= 1) return 1;
    const uint32_t way = sim_below(w, 8);
    if (way == 0) return 1;
    if (way < 3) return 1 + sim_below(w, max < 16 ? max : 16);
    return 1 + sim_below(w, max);
}

bool sim_fault(struct sim_world *w, enum sim_fault_kind kind)
{
    if (w->rate[kind] == 0 || sim_below(w, 65536) >= w->rate[kind]) return false;
    w->fired[kind]++;
    sim_note(w, fault_names[kind], (uint64_t)kind, 0);
    return true;
}

void sim_trouble(struct sim_world *w, int64_t until_ns)
{
    w->troubles++;
    if (until_ns > w->trouble_until_ns) w->trouble_until_ns = until_ns;
}

// --- What happened.

uint64_t sim_hash(uint64_t h, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t v;
        memcpy(&v, at, 8);
        h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    for (; n > 0; n--) h = (h ^ *at++) * UINT64_C(0x100000001b3);
    return h;
}

void sim_note(struct sim_world *w, const char *what, uint64_t a, uint64_t b)
{
    uint64_t words[4] = {(uint64_t)w->now_ns, 0, a, b};
    memcpy(&words[1], what, strnlen(what, sizeof words[1]));
    w->hash = sim_hash(w->hash, words, sizeof words);
    w->trace[w->traced++ % SIM_TRACE_KEPT] = (struct sim_trace){w->now_ns, what, a, b};
    if (w->verbose)
        fprintf(stderr, "%12.6f %-28s %lu %lu\n", (double)(w->now_ns - START_NS) / (double)CLOCK_SEC, what,
                (unsigned long)a, (unsigned long)b);
}

void sim_last_words(struct sim_world *w)
{
    const uint64_t from = w->traced > SIM_TRACE_KEPT ? w->traced - SIM_TRACE_KEPT : 0;
    if (!w->verbose) {
        fprintf(stderr, "the last events (seconds, what, numbers):\n");
        if (w->traced == 0) fprintf(stderr, "  none: nothing had happened yet in this run\n");
        for (uint64_t i = from; i < w->traced; i++) {
            const struct sim_trace *t = &w->trace[i % SIM_TRACE_KEPT];
            fprintf(stderr, "%12.6f %-28s %lu %lu\n", (double)(t->now_ns - START_NS) / (double)CLOCK_SEC,
                    t->what, (unsigned long)t->a, (unsigned long)t->b);
        }
    }
    if (w->net) sim_net_print(w->net);
    fprintf(stderr, "scenario %s, seed %lu, step %lu. To see it again: make sim SEED=%lu\n", w->scenario,
            (unsigned long)w->seed, (unsigned long)w->steps, (unsigned long)w->seed);
}

void sim_fail(struct sim_world *w, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    sim_last_words(w);
    fprintf(stderr, "sim: FAILED: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}
