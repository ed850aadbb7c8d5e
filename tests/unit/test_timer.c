// timer: the wheel against a model that knows nothing but the rule. A timer that is armed at tick t for a
// deadline in tick d is due at tick max(d, t) + 1: it fires in the first run at or after that tick and in
// none before. Random arms, re-arms and cancels over spans from nanoseconds to weeks, runs at random
// distances, and handlers that arm and cancel others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "io/timer.h"

#define TICK (INT64_C(1) << TIMER_TICK_SHIFT)
#define TIMERS 300
#define HOUR (3600 * CLOCK_SEC)

static struct io_timers wheel;
static int64_t run_now; // of the run in progress, or the last one

struct modelled {
    struct io_timer timer;
    int64_t deadline;
    int64_t due_tick; // INT64_MAX: not armed
    uint64_t fired;
};

static struct modelled all[TIMERS];
static struct prng rnd;
static bool handlers_meddle;
static uint64_t fires;

static void arm(struct modelled *m, int64_t deadline)
{
    const int64_t d = deadline >> TIMER_TICK_SHIFT;
    io_timer_arm(&wheel, &m->timer, deadline);
    m->deadline = deadline;
    m->due_tick = deadline == CLOCK_NEVER ? INT64_MAX : (d > wheel.tick ? d : wheel.tick) + 1;
    assert_int_equal(io_timer_armed(&m->timer), deadline != CLOCK_NEVER);
}

static void cancel(struct modelled *m)
{
    io_timer_cancel(&wheel, &m->timer);
    m->due_tick = INT64_MAX;
    assert_false(io_timer_armed(&m->timer));
}

// A distance whose magnitude is as random as its digits: 1 ns to 40 days.
static int64_t random_span(void)
{
    const int64_t most = INT64_C(1) << prng_below(&rnd, 52);
    return (int64_t)(prng_next(&rnd) % (uint64_t)most) + 1;
}

static void fire(struct io_timer *t)
{
    struct modelled *m = (struct modelled *)(void *)t;
    fires++;
    m->fired++;
    assert_false(io_timer_armed(t));
    assert_true(m->due_tick != INT64_MAX); // it was armed, and not cancelled since
    assert_true(m->deadline <= run_now);
    assert_true(m->due_tick <= run_now >> TIMER_TICK_SHIFT);
    m->due_tick = INT64_MAX;
    if (!handlers_meddle) return;
    for (uint32_t i = prng_below(&rnd, 4); i > 0; i--) {
        struct modelled *other = &all[prng_below(&rnd, TIMERS)];
        if (prng_below(&rnd, 3) == 0) cancel(other);
        else arm(other, run_now + random_span());
    }
}

static void run(int64_t now)
{
    run_now = now;
    io_timers_run(&wheel, now);
    // What is armed now was not due, and the wheel wants to be run again before anything becomes overdue.
    int64_t first = INT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        assert_true(all[i].due_tick > now >> TIMER_TICK_SHIFT);
        if (all[i].due_tick < first) first = all[i].due_tick;
    }
    const int64_t next = io_timers_next(&wheel);
    assert_true(next > now);
    assert_true(first == INT64_MAX || next <= first << TIMER_TICK_SHIFT);
}

static void begin(int64_t now)
{
    io_timers_init(&wheel, now);
    run_now = now;
    fires = 0;
    handlers_meddle = false;
    for (int i = 0; i < TIMERS; i++) {
        io_timer_init(&all[i].timer, fire);
        all[i].due_tick = INT64_MAX;
        all[i].fired = 0;
    }
}

static void random_life(uint64_t seed, int steps)
{
    prng_seed(&rnd, seed);
    // Starts around all the carries of the wheel, and at nothing.
    static const int64_t starts[] = {
        0, TICK * 63, TICK * 4095, TICK * 262143, TICK * 16777215, TICK * 16777216 * 5 - 1};
    int64_t now = starts[seed % 6] + (int64_t)prng_below(&rnd, 100);
    begin(now);
    handlers_meddle = seed & 1;
    for (int i = 0; i < steps; i++) {
        struct modelled *m = &all[prng_below(&rnd, TIMERS)];
        switch (prng_below(&rnd, 8)) {
        case 0: cancel(m); break;
        case 1: arm(m, now - (int64_t)prng_below(&rnd, 3) * TICK); break; // overdue already
        case 2: arm(m, CLOCK_NEVER); break;
        case 3: // exactly when asked for, as the loop does
            if (io_timers_next(&wheel) != CLOCK_NEVER) now = io_timers_next(&wheel);
            run(now);
            break;
        case 4:
            now += random_span();
            run(now);
            break;
        default: arm(m, now + random_span()); break;
        }
    }
    // In the end everything fires.
    handlers_meddle = false;
    while (io_timers_next(&wheel) != CLOCK_NEVER) {
        now = io_timers_next(&wheel);
        run(now);
    }
    for (int i = 0; i < TIMERS; i++) assert_false(io_timer_armed(&all[i].timer));
}

static void test_run__as_the_model_says(void **state)
{
    (void)state;
    uint64_t sum = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        random_life(seed, 3000);
        sum += fires;
    }
    assert_true(sum > 30000);
}

static void test_run__far_deadlines_are_not_early(void **state)
{
    (void)state;
    static const int64_t spans[] = {HOUR, 4 * HOUR, 5 * HOUR, 24 * HOUR, 24 * 30 * HOUR, 24 * 365 * HOUR};
    const int64_t start = 12345 * CLOCK_SEC;
    begin(start);
    for (int i = 0; i < 6; i++) arm(&all[i], start + spans[i]);
    for (int i = 0; i < 6; i++) {
        run(start + spans[i] - 1);
        assert_int_equal(all[i].fired, 0);
        run(start + spans[i] + TICK);
        assert_int_equal(all[i].fired, 1);
    }
}

static void test_next__wakes_seldom_for_far_deadlines(void **state)
{
    (void)state;
    // An idle worker with an hour's timer must not tick: each level is sorted down once.
    begin(0);
    arm(&all[0], HOUR);
    int runs = 0;
    for (int64_t now = 0; !all[0].fired; runs++) {
        now = io_timers_next(&wheel);
        run(now);
    }
    assert_in_range(runs, 1, TIMER_LEVELS + 1);
}

static void test_arm__again_moves_it_and_cancel_twice_is_harmless(void **state)
{
    (void)state;
    begin(0);
    arm(&all[0], 10 * TICK);
    arm(&all[0], 5000 * TICK);
    run(100 * TICK);
    assert_int_equal(all[0].fired, 0);
    arm(&all[0], 200 * TICK);
    run(6000 * TICK);
    assert_int_equal(all[0].fired, 1);
    cancel(&all[0]);
    cancel(&all[0]);
    arm(&all[0], 7000 * TICK);
    arm(&all[0], CLOCK_NEVER);
    // Once at most for what was cancelled.
    if (io_timers_next(&wheel) != CLOCK_NEVER) run(io_timers_next(&wheel));
    assert_true(io_timers_next(&wheel) == CLOCK_NEVER);
}

static void rearm_at_once(struct io_timer *t)
{
    ((struct modelled *)(void *)t)->fired++;
    io_timer_arm(&wheel, t, run_now);
}

static void test_run__handler_that_arms_itself_for_now_comes_to_an_end(void **state)
{
    (void)state;
    begin(0);
    io_timer_init(&all[0].timer, rearm_at_once);
    io_timer_arm(&wheel, &all[0].timer, TICK);
    run_now = 50 * TICK + 7;
    io_timers_run(&wheel, run_now);
    assert_int_equal(all[0].fired, 1); // the next tick after now is another run's
    run_now += TICK;
    io_timers_run(&wheel, run_now);
    assert_int_equal(all[0].fired, 2);
}

static void cancel_all(struct io_timer *t)
{
    ((struct modelled *)(void *)t)->fired++;
    for (int i = 0; i < TIMERS; i++) io_timer_cancel(&wheel, &all[i].timer);
}

static void test_run__handler_may_cancel_those_due_with_it(void **state)
{
    (void)state;
    begin(0);
    for (int i = 0; i < TIMERS; i++) {
        io_timer_init(&all[i].timer, cancel_all);
        io_timer_arm(&wheel, &all[i].timer, 70 * TICK);
    }
    io_timers_run(&wheel, 80 * TICK);
    uint64_t sum = 0;
    for (int i = 0; i < TIMERS; i++) sum += all[i].fired;
    assert_int_equal(sum, 1);
    assert_true(io_timers_next(&wheel) == CLOCK_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run__as_the_model_says),
        cmocka_unit_test(test_run__far_deadlines_are_not_early),
        cmocka_unit_test(test_next__wakes_seldom_for_far_deadlines),
        cmocka_unit_test(test_arm__again_moves_it_and_cancel_twice_is_harmless),
        cmocka_unit_test(test_run__handler_that_arms_itself_for_now_comes_to_an_end),
        cmocka_unit_test(test_run__handler_may_cancel_those_due_with_it),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
