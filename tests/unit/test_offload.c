// offload: real loops, fibers and threads. That a loop goes on while a function runs is shown by functions
// which only come to an end because another fiber of the same loop lets them: with a blocked loop the test
// would hang.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "io/loop.h"
#include "io/offload.h"

#define FIBERS 1200

struct world {
    struct io_loop loop;
    struct budget budget;
    struct scope scope;
};

static struct io_offload *pool;

// The turn in which the last fiber ends shall not wait.
static void all_ended(struct scope *s)
{
    s->loop->driver->ops->wake(s->loop->driver);
}

static void world_open(struct world *w)
{
    int err = 0;
    struct io_driver *d = io_epoll_open(&err);
    assert_non_null(d);
    w->budget = (struct budget){.limit = 1 << 20};
    const struct io_loop_cfg cfg = {.budget = &w->budget, .fibers_max = FIBERS};
    assert_int_equal(io_loop_open(&w->loop, d, &cfg), RW_OK);
    scope_init(&w->scope, &w->loop);
    w->scope.on_empty = all_ended;
}

static void world_run(struct world *w)
{
    while (!scope_empty(&w->scope)) io_loop_turn(&w->loop, CLOCK_NEVER);
}

static void spawn(struct world *w, fiber_fn fn, void *arg)
{
    assert_int_equal(scope_spawn(&w->scope, fn, arg), RW_OK);
}

static void pool_open(uint32_t threads)
{
    assert_int_equal(io_offload_open(threads, &pool), RW_OK);
}

// --- A result, from another thread.

struct sum {
    int a, b;
    pthread_t by;
    int result;
};

static int add(void *arg)
{
    struct sum *s = arg;
    s->by = pthread_self();
    return s->a + s->b;
}

static int ask_for_sum(void *arg)
{
    struct sum *s = arg;
    s->result = io_offload(pool, add, s);
    return 0;
}

static void test_offload__returns_what_the_function_returned(void **state)
{
    (void)state;
    static struct world w;
    struct sum s = {.a = 40, .b = -82};
    world_open(&w);
    pool_open(0);
    spawn(&w, ask_for_sum, &s);
    world_run(&w);
    assert_int_equal(s.result, -42);
    assert_false(pthread_equal(s.by, pthread_self()));
    struct io_offload_stats stats;
    io_offload_close(pool);
    pool_open(2);
    io_offload_stats(pool, &stats);
    assert_int_equal(stats.done + stats.queued + stats.running + stats.refused, 0);
    io_offload_close(pool); // that nobody used
    io_loop_close(&w.loop);
}

// --- The loop goes on.

static sem_t gate;

static int wait_at_gate(void *arg)
{
    while (sem_wait(&gate) != 0) {}
    return *(int *)arg;
}

struct asked {
    int given, result;
    int after; // of a wait behind it
    int *order;
};

static int ask_at_gate(void *arg)
{
    struct asked *a = arg;
    a->result = io_offload(pool, wait_at_gate, &a->given);
    if (a->order) a->order[(*a->order)++ + 1] = a->given;
    a->after = fiber_yield();
    return 0;
}

static int open_gate(void *arg)
{
    // Many turns of the loop, while the function is waiting.
    for (int i = 0; i < 50; i++)
        if (fiber_sleep(fiber_loop()->now_ns + CLOCK_MS / 4) != 0) return 1;
    for (int i = 0; i < *(int *)arg; i++) sem_post(&gate);
    return 0;
}

static void test_offload__loop_goes_on_meanwhile(void **state)
{
    (void)state;
    static struct world w;
    struct asked a = {.given = 7};
    int times = 1;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    world_open(&w);
    pool_open(1);
    spawn(&w, ask_at_gate, &a);
    spawn(&w, open_gate, &times);
    world_run(&w);
    assert_int_equal(a.result, 7);
    assert_int_equal(a.after, 0);
    io_offload_close(pool);
    io_loop_close(&w.loop);
}

static void test_offload__first_in_first_out(void **state)
{
    (void)state;
    enum { N = 20 };
    static struct world w;
    struct asked a[N];
    int order[N + 1] = {0}, times = N;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    world_open(&w);
    pool_open(1);
    for (int i = 0; i < N; i++) {
        a[i] = (struct asked){.given = i, .order = order};
        spawn(&w, ask_at_gate, &a[i]);
    }
    spawn(&w, open_gate, &times);
    world_run(&w);
    for (int i = 0; i < N; i++) assert_int_equal(order[i + 1], i);
    io_offload_close(pool);
    io_loop_close(&w.loop);
}

// --- A cancelled fiber.

static int cancel_scope_then_open(void *arg)
{
    struct world *w = arg;
    struct asked *a = w->loop.owner;
    scope_cancel(&w->scope, END_CLIENT_GONE);
    // Its own waits are over too; it gives the other a chance to misbehave by shielding itself.
    fiber_shield();
    assert_int_equal(fiber_sleep(fiber_loop()->now_ns + 5 * CLOCK_MS), 0);
    assert_int_equal(a->result, -1); // still waiting: the function is not done
    fiber_unshield();
    sem_post(&gate);
    return 0;
}

static void test_offload__cancelled_fiber_waits_for_the_end(void **state)
{
    (void)state;
    static struct world w;
    struct asked a = {.given = 9, .result = -1};
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    world_open(&w);
    w.loop.owner = &a;
    pool_open(1);
    spawn(&w, ask_at_gate, &a);
    spawn(&w, cancel_scope_then_open, &w);
    world_run(&w);
    assert_int_equal(a.result, 9);
    assert_int_equal(a.after, -ECANCELED); // and then it hears of it
    io_offload_close(pool);
    io_loop_close(&w.loop);
}

// --- A full queue.

static void test_offload__full_queue_refuses(void **state)
{
    (void)state;
    enum { N = IO_OFFLOAD_QUEUE_MAX + 10 };
    static struct asked a[N];
    static struct world w;
    int times = N;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    world_open(&w);
    pool_open(1);
    for (int i = 0; i < N; i++) {
        a[i] = (struct asked){.given = 1};
        spawn(&w, ask_at_gate, &a[i]);
    }
    spawn(&w, open_gate, &times);
    world_run(&w);
    int served = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        served += a[i].result == 1;
        refused += a[i].result == -EAGAIN;
    }
    assert_int_equal(served + refused, N);
    assert_in_range(served, IO_OFFLOAD_QUEUE_MAX,
                    IO_OFFLOAD_QUEUE_MAX + 1); // one may have been with the thread already
    struct io_offload_stats stats;
    io_offload_stats(pool, &stats);
    assert_int_equal(stats.refused, refused);
    assert_int_equal(stats.queued, 0);
    io_offload_close(pool);
    io_loop_close(&w.loop);
}

// --- Several loops at once.

enum { LOOPS = 3, ASKERS = 20, ROUNDS = 200 };

struct asker {
    uint64_t sum;
    int wrong;
};

static int mix(void *arg)
{
    uint64_t *v = arg;
    for (int i = 0; i < 100; i++) *v = *v * UINT64_C(6364136223846793005) + 1;
    return (int)(*v >> 40);
}

static int ask_often(void *arg)
{
    struct asker *a = arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t mine = (uint64_t)i, check = mine;
        const int r = io_offload(pool, mix, &mine);
        if (r != mix(&check) || mine != check) a->wrong++;
        a->sum++;
    }
    return 0;
}

// No assertions here: cmocka's belong to the main thread.
static void *loop_thread(void *arg)
{
    world_run(arg);
    return NULL;
}

static void test_offload__many_loops_share_a_pool(void **state)
{
    (void)state;
    pthread_t thread[LOOPS];
    static struct world w[LOOPS];
    static struct asker askers[LOOPS][ASKERS];
    pool_open(3);
    for (int i = 0; i < LOOPS; i++) {
        world_open(&w[i]);
        for (int k = 0; k < ASKERS; k++) spawn(&w[i], ask_often, &askers[i][k]);
    }
    for (int i = 0; i < LOOPS; i++) assert_int_equal(pthread_create(&thread[i], NULL, loop_thread, &w[i]), 0);
    for (int i = 0; i < LOOPS; i++) pthread_join(thread[i], NULL);
    // The pool before the loops.
    io_offload_close(pool);
    for (int i = 0; i < LOOPS; i++) {
        io_loop_close(&w[i].loop);
        for (int k = 0; k < ASKERS; k++) {
            assert_int_equal(askers[i][k].sum, ROUNDS);
            assert_int_equal(askers[i][k].wrong, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offload__returns_what_the_function_returned),
        cmocka_unit_test(test_offload__loop_goes_on_meanwhile),
        cmocka_unit_test(test_offload__first_in_first_out),
        cmocka_unit_test(test_offload__cancelled_fiber_waits_for_the_end),
        cmocka_unit_test(test_offload__full_queue_refuses),
        cmocka_unit_test(test_offload__many_loops_share_a_pool),
    };
    return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
