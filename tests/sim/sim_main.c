// The simulator's command line: runs scenarios over seeds and prints what happened.
//
//   ringway-sim --seed N             one seed of every scenario, twice: the second run must leave the same trace
//   ringway-sim --seeds N            seeds 1 to N
//   ringway-sim --seeds FROM..TO
//   ringway-sim ... --scenario NAME  only this one
//   ringway-sim ... --verbose        every event as it happens
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim_exchange.h"

static const struct {
    const char *name;
    sim_scenario *run;
} scenarios[] = {
    {"echo", sim_echo},
    {"exchange", sim_exchange},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static struct sim_world world;
static struct sim_totals totals;
static uint64_t repeated; // seeds that left the same trace twice

// A check of the gateway's that failed, or a fault of the processor: which run was it?
static void crashed(int signal_number)
{
    signal(signal_number, SIG_DFL);
    sim_last_words(&world);
    raise(signal_number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void sanitizer_died(void)
{
    sim_last_words(&world);
}

static void catch_crashes(void)
{
    signal(SIGABRT, crashed);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(sanitizer_died);
        return;
    }
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
}

static uint64_t run(size_t scenario, uint64_t seed)
{
    scenarios[scenario].run(&world, seed, &totals);
    for (int i = 0; i < SIM_FAULT_KINDS; i++) totals.fired[i] += world.fired[i];
    totals.steps += world.steps;
    totals.hash = sim_hash(totals.hash, &world.hash, sizeof world.hash);
    return world.hash;
}

// The second time is not counted.
static uint64_t again(size_t scenario, uint64_t seed)
{
    const struct sim_totals kept = totals;
    const uint64_t hash = run(scenario, seed);
    totals = kept;
    return hash;
}

static void print_totals(uint64_t runs, double seconds)
{
    static const char *const outcomes[SIM_OUTCOME_COUNT] = {
#define X(symbol, name) name,
        SIM_OUTCOMES(X)
#undef X
    };
    printf(
        "%lu runs, %lu exchanges, %lu steps, %.1f s of CPU time (%.0f exchanges per second), trace %016lx\n",
        (unsigned long)runs, (unsigned long)(totals.exchanges - totals.outcomes[OUTCOME_NOT_SENT]),
        (unsigned long)totals.steps, seconds,
        (double)(totals.exchanges - totals.outcomes[OUTCOME_NOT_SENT]) / (seconds > 0 ? seconds : 1),
        (unsigned long)totals.hash);
    printf("  faults fired:\n");
    for (int i = 0; i < SIM_FAULT_KINDS; i++)
        printf("    %-32s %12lu\n", sim_fault_name((enum sim_fault_kind)i), (unsigned long)totals.fired[i]);
    printf("  exchanges by outcome:\n");
    for (int i = 0; i < SIM_OUTCOME_COUNT; i++)
        if (totals.outcomes[i]) printf("    %-32s %12lu\n", outcomes[i], (unsigned long)totals.outcomes[i]);
    printf("  exchanges by end:\n");
    for (int i = 0; i < RW_END_COUNT; i++)
        if (totals.ends[i])
            printf("    %-32s %12lu\n", end_info((enum rw_end)i)->name, (unsigned long)totals.ends[i]);
}

// What a long run must have shown. It is asked for by its length.
#define LONG_RUNS 10000u
#define LONG_EXCHANGES 1000000u
#define LONG_FIRED 1000u

static bool shown(const char *name, uint64_t runs)
{
    bool enough = true;
    if (runs < LONG_RUNS || strcmp(name, "exchange") != 0) return true;
    const uint64_t made = totals.exchanges - totals.outcomes[OUTCOME_NOT_SENT];
    if (made < LONG_EXCHANGES) {
        fprintf(stderr, "sim: FAILED: only %lu exchanges of %u\n", (unsigned long)made, LONG_EXCHANGES);
        enough = false;
    }
    for (int i = 0; i < SIM_FAULT_KINDS; i++) {
        if (totals.fired[i] >= LONG_FIRED) continue;
        fprintf(stderr, "sim: FAILED: '%s' fired only %lu times of %u\n",
                sim_fault_name((enum sim_fault_kind)i), (unsigned long)totals.fired[i], LONG_FIRED);
        enough = false;
    }
    if (enough)
        printf("  shown: %u exchanges and more, every fault %u times and more, %lu seeds twice with the same "
               "trace\n",
               LONG_EXCHANGES, LONG_FIRED, (unsigned long)repeated);
    return enough;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: ringway-sim --seed N | --seeds N | --seeds FROM..TO [--scenario NAME] [--verbose]\n");
    return 2;
}

static bool wanted(const char *only, size_t scenario)
{
    return !only || strcmp(only, scenarios[scenario].name) == 0;
}

static bool run_all(uint64_t from, uint64_t to, const char *only, bool twice)
{
    bool enough = true;
    for (size_t s = 0; s < SCENARIOS; s++) {
        if (!wanted(only, s)) continue;
        memset(&totals, 0, sizeof totals);
        repeated = 0;
        const clock_t begun = clock();
        for (uint64_t seed = from; seed <= to; seed++) {
            const uint64_t hash = run(s, seed);
            // Now and then, and always when one seed was asked for: does it repeat itself?
            if ((twice || seed % 64 == 0) && !world.verbose) {
                if (again(s, seed) != hash) {
                    fprintf(stderr, "sim: FAILED: seed %lu of %s left two different traces\n",
                            (unsigned long)seed, scenarios[s].name);
                    exit(1);
                }
                repeated++;
            }
            if (isatty(STDERR_FILENO) && seed % 100 == 0)
                fprintf(stderr, "\r%s: seed %lu of %lu ", scenarios[s].name, (unsigned long)seed,
                        (unsigned long)to);
        }
        if (isatty(STDERR_FILENO)) fprintf(stderr, "\r");
        printf("%s: ", scenarios[s].name);
        print_totals(to - from + 1, (double)(clock() - begun) / CLOCKS_PER_SEC);
        enough = shown(scenarios[s].name, to - from + 1) && enough;
    }
    return enough;
}

int main(int argc, char **argv)
{
    uint64_t from = 0, to = 0;
    const char *only = NULL;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seed") == 0 && more) {
            from = to = strtoull(argv[++i], NULL, 10);
            one = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && more) {
            const char *range = argv[++i], *dots = strstr(range, "..");
            from = dots ? strtoull(range, NULL, 10) : 1;
            to = strtoull(dots ? dots + 2 : range, NULL, 10);
        } else if (strcmp(argv[i], "--scenario") == 0 && more) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--verbose") == 0) {
            world.verbose = true;
        } else {
            return usage();
        }
    }
    if (to < from || (to == 0 && !one)) return usage();
    catch_crashes();
    return run_all(from, to, only, one) ? 0 : 1;
}
