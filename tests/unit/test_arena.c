// arena, budget: pieces are written to their last byte and read again later; charges are compared with the
// budget after every step, and everything must be given back. Under ASan each piece is an allocation of its
// own, so tests that count blocks look at what both builds promise only.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/prng.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMULATED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATED 1
#endif
#endif
#ifndef EMULATED
#define EMULATED 0
#endif

static struct budget budget;
static struct arena_pool pool;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    budget = (struct budget){.limit = MIB(1)};
    arena_pool_init(&pool, &budget, 4);
    arena_init(&arena, &pool, KIB(64));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    arena_pool_done(&pool);
    return budget.used == 0 ? 0 : -1;
}

static void test_alloc__pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct prng r;
    static uint8_t *piece[200];
    static uint32_t bytes[200];
    uint32_t n = 0;
    prng_seed(&r, 7);
    for (; n < 200; n++) {
        bytes[n] = prng_below(&r, 10) ? prng_below(&r, 200) : prng_below(&r, 6000);
        piece[n] = arena_alloc(&arena, bytes[n]);
        if (!piece[n]) break;
        assert_int_equal((uintptr_t)piece[n] % 16, 0);
        memset(piece[n], (int)n, bytes[n]);
    }
    assert_true(n > 20);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < bytes[i]; k++) assert_int_equal(piece[i][k], (uint8_t)i);
    assert_int_equal(arena.used, budget.used);
}

static void test_alloc__nothing_is_a_valid_pointer(void **state)
{
    (void)state;
    assert_non_null(arena_alloc(&arena, 0));
    assert_non_null(arena_alloc(&arena, 0));
    assert_false(arena.overflow);
}

static void test_alloc__around_the_size_of_a_block(void **state)
{
    (void)state;
    for (uint32_t n = ARENA_BLOCK_BYTES - 40; n < ARENA_BLOCK_BYTES + 40; n++) {
        struct arena a;
        arena_init(&a, &pool, KIB(64));
        uint8_t *before = arena_alloc(&a, 8), *p = arena_alloc(&a, n), *after = arena_alloc(&a, 8);
        assert_non_null(p);
        memset(before, 1, 8);
        memset(p, 2, n);
        memset(after, 3, 8);
        for (uint32_t i = 0; i < 8; i++) assert_int_equal(before[i], 1);
        for (uint32_t i = 0; i < n; i++) assert_int_equal(p[i], 2);
        arena_done(&a);
        assert_int_equal(a.used, 0);
    }
}

static void test_alloc__the_bound_sets_the_flag_and_what_is_there_stays(void **state)
{
    (void)state;
    uint8_t *first = arena_alloc(&arena, 100);
    memset(first, 0x5a, 100);
    assert_null(arena_alloc(&arena, KIB(64)));
    assert_true(arena.overflow);
    assert_non_null(arena_alloc(&arena, 100)); // smaller ones still fit; the flag stays
    assert_true(arena.overflow);
    assert_int_equal(first[99], 0x5a);
    while (arena_alloc(&arena, 1000)) assert_true(arena.used <= KIB(64));
    assert_true(arena.used > KIB(64) - 2 * ARENA_BLOCK_BYTES); // and the room is used
}

static void test_alloc__the_bound_is_reached_exactly(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, &pool, ARENA_BLOCK_BYTES);
    assert_non_null(arena_alloc(&a, ARENA_BLOCK_BYTES - 16)); // with its header a block
    assert_null(arena_alloc(&a, 1));
    arena_done(&a);
    arena_init(&a, &pool, 3 * ARENA_BLOCK_BYTES);
    assert_null(arena_alloc(&a, 3 * ARENA_BLOCK_BYTES - 15));
    assert_non_null(arena_alloc(&a, 3 * ARENA_BLOCK_BYTES - 16));
    assert_null(arena_alloc(&a, 1));
    arena_done(&a);
    assert_int_equal(a.used, 0);
}

static void test_alloc__sizes_that_would_wrap(void **state)
{
    (void)state;
    struct arena a;
    budget.limit = INT64_MAX;
    arena_init(&a, &pool, UINT32_MAX);
    for (uint32_t n = UINT32_MAX; n > UINT32_MAX - 14; n--) {
        a.overflow = false;
        assert_null(arena_alloc(&a, n));
        assert_true(a.overflow);
    }
    arena_done(&a);
    arena_init(&a, &pool, 0);
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, UINT32_MAX - 20));
    assert_true(a.overflow);
    arena_done(&a);
    assert_int_equal(budget.used, 0);
}

static void test_alloc__the_budget_refuses(void **state)
{
    (void)state;
    budget.limit = 2 * ARENA_BLOCK_BYTES;
    struct arena other;
    arena_init(&other, &pool, KIB(64));
    assert_non_null(arena_alloc(&other, ARENA_BLOCK_BYTES - 100));
    assert_non_null(arena_alloc(&arena, ARENA_BLOCK_BYTES - 100));
    assert_null(arena_alloc(&arena, 200)); // within its own bound, but the worker has no more
    assert_true(arena.overflow);
    assert_int_equal(budget.refused, 1);
    arena_done(&other);
    arena.overflow = false;
    assert_non_null(arena_alloc(&arena, 200));
    assert_false(arena.overflow);
}

static void test_copy__bytes_and_failure(void **state)
{
    (void)state;
    const struct span s = arena_copy(&arena, SPAN("hello"));
    assert_true(span_eq(s, SPAN("hello")));
    assert_ptr_not_equal(s.p, SPAN("hello").p);
    const struct span empty = arena_copy(&arena, (struct span){NULL, 0});
    assert_non_null(empty.p);
    assert_int_equal(empty.n, 0);
    static uint8_t large[KIB(80)];
    const struct span none = arena_copy(&arena, span_of(large, sizeof large));
    assert_null(none.p);
    assert_int_equal(none.n, 0);
    assert_true(arena.overflow);
}

static void test_rewind__gives_back_what_came_after_the_mark(void **state)
{
    (void)state;
    uint8_t *kept = arena_alloc(&arena, 300);
    memset(kept, 9, 300);
    const int64_t used = budget.used;
    const struct arena_mark mark = arena_mark(&arena);
    const uint8_t *first_try = NULL;
    for (int attempt = 0; attempt < 5; attempt++) {
        const uint8_t *p = arena_alloc(&arena, 500);
        if (attempt == 0) first_try = p;
        if (!EMULATED) assert_ptr_equal(p, first_try); // the same room again
        assert_non_null(arena_alloc(&arena, 3 * ARENA_BLOCK_BYTES)); // a piece of its own
        for (int i = 0; i < 10; i++) assert_non_null(arena_alloc(&arena, 1000));
        assert_true(budget.used > used);
        arena_rewind(&arena, mark);
        assert_int_equal(budget.used, used);
    }
    for (int i = 0; i < 300; i++) assert_int_equal(kept[i], 9);
}

static void test_rewind__to_the_beginning_and_behind_a_large_piece(void **state)
{
    (void)state;
    const struct arena_mark empty = arena_mark(&arena);
    assert_non_null(arena_alloc(&arena, 10));
    uint8_t *large = arena_alloc(&arena, 2 * ARENA_BLOCK_BYTES);
    memset(large, 4, 2 * ARENA_BLOCK_BYTES);
    const struct arena_mark behind = arena_mark(&arena);
    uint8_t *small = arena_alloc(&arena, 64);
    memset(small, 5, 64);
    arena_rewind(&arena, behind);
    small = arena_alloc(&arena, 64);
    memset(small, 6, 64); // not into the large piece
    for (uint32_t i = 0; i < 2 * ARENA_BLOCK_BYTES; i++) assert_int_equal(large[i], 4);
    arena_rewind(&arena, empty);
    assert_int_equal(budget.used, 0);
    assert_non_null(arena_alloc(&arena, 10));
}

static void test_rewind__forgets_an_overflow_of_the_attempt_only(void **state)
{
    (void)state;
    struct arena_mark mark = arena_mark(&arena);
    assert_null(arena_alloc(&arena, KIB(100)));
    arena_rewind(&arena, mark);
    assert_false(arena.overflow);
    assert_null(arena_alloc(&arena, KIB(100))); // nobody has looked at the flag yet
    mark = arena_mark(&arena);
    assert_non_null(arena_alloc(&arena, 10));
    arena_rewind(&arena, mark);
    assert_true(arena.overflow);
}

static void test_pool__blocks_are_used_again_up_to_its_size(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) assert_non_null(arena_alloc(&arena, ARENA_BLOCK_BYTES - 16));
    arena_done(&arena);
    assert_int_equal(pool.free_count, EMULATED ? 0 : 4);
    arena_init(&arena, &pool, KIB(64));
    assert_non_null(arena_alloc(&arena, 10));
    assert_int_equal(pool.free_count, EMULATED ? 0 : 3);
    assert_int_equal(budget.used, arena.used); // blocks in the pool are nobody's charge
}

static void test_random__charges_always_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct prng r;
        struct arena a[3];
        struct arena_mark mark[3];
        bool marked[3] = {false};
        prng_seed(&r, seed);
        for (int i = 0; i < 3; i++) arena_init(&a[i], &pool, KIB(40));
        for (int step = 0; step < 500; step++) {
            const uint32_t i = prng_below(&r, 3);
            switch (prng_below(&r, 12)) {
            case 0:
                mark[i] = arena_mark(&a[i]);
                marked[i] = true;
                break;
            case 1:
                if (marked[i]) arena_rewind(&a[i], mark[i]);
                break;
            case 2:
                arena_done(&a[i]);
                marked[i] = false;
                break;
            default: {
                const uint32_t n = prng_below(&r, prng_below(&r, 8) ? 300 : 9000);
                void *p = arena_alloc(&a[i], n);
                if (p) memset(p, 1, n);
            }
            }
            assert_int_equal(budget.used, (int64_t)a[0].used + a[1].used + a[2].used);
        }
        for (int i = 0; i < 3; i++) arena_done(&a[i]);
        assert_int_equal(budget.used, 0);
    }
}

// --- The budget by itself.

static void test_budget__takes_to_the_last_byte(void **state)
{
    (void)state;
    struct budget b = {.limit = 100};
    assert_true(budget_take(&b, 60));
    assert_false(budget_take(&b, 41));
    assert_true(budget_take(&b, 40));
    assert_true(budget_take(&b, 0));
    assert_false(budget_take(&b, INT64_MAX));
    assert_int_equal(b.refused, 2);
    budget_give(&b, 100);
    assert_int_equal(b.used, 0);
    assert_int_equal(b.peak, 100);
    assert_true(budget_take(&b, 10));
    assert_int_equal(b.peak, 100);
    b.limit = 5; // a reload lowered it below what is in use
    assert_false(budget_take(&b, 1));
    budget_give(&b, 10);
    assert_true(budget_take(&b, 5));
}

static void give_too_much(void)
{
    struct budget b = {.limit = 100};
    (void)budget_take(&b, 10);
    budget_give(&b, 11);
}

static void take_negative(void)
{
    struct budget b = {.limit = 100};
    (void)budget_take(&b, -1);
}

static void assert_aborts(void (*fn)(void))
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_budget__wrong_use_aborts(void **state)
{
    (void)state;
    assert_aborts(give_too_much);
    assert_aborts(take_negative);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_alloc__pieces_are_aligned_and_do_not_overlap),
        TEST(test_alloc__nothing_is_a_valid_pointer),
        TEST(test_alloc__around_the_size_of_a_block),
        TEST(test_alloc__the_bound_sets_the_flag_and_what_is_there_stays),
        TEST(test_alloc__the_bound_is_reached_exactly),
        TEST(test_alloc__sizes_that_would_wrap),
        TEST(test_alloc__the_budget_refuses),
        TEST(test_copy__bytes_and_failure),
        TEST(test_rewind__gives_back_what_came_after_the_mark),
        TEST(test_rewind__to_the_beginning_and_behind_a_large_piece),
        TEST(test_rewind__forgets_an_overflow_of_the_attempt_only),
        TEST(test_pool__blocks_are_used_again_up_to_its_size),
        TEST(test_random__charges_always_agree),
        cmocka_unit_test(test_budget__takes_to_the_last_byte),
        cmocka_unit_test(test_budget__wrong_use_aborts),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
