// map: a long random sequence of puts, gets and removes over a small set of keys is compared with a plain
// array after each step, so that runs wrap around the end and removals move entries; the hash is judged by
// how its bits spread over keys that differ little; bounds and the treatment of keys by reference have tests
// of their own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/prng.h"

static int things[4096];

static void put(struct map *m, struct span key, void *value)
{
    assert_int_equal(map_put(m, key, value, NULL), RW_OK);
}

static void test_get__of_an_empty_map_is_null(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, 1, 10);
    uint32_t cursor = 0;
    struct span key;
    void *value;
    assert_null(map_get(&m, SPAN("x")));
    assert_null(map_get(&m, (struct span){NULL, 0}));
    assert_null(map_remove(&m, SPAN("x")));
    assert_false(map_next(&m, &cursor, &key, &value));
    map_done(&m);
}

static void test_put__replaces_and_returns_the_old_value(void **state)
{
    (void)state;
    struct map m;
    void *old = &things[9];
    map_init(&m, 1, 10);
    assert_int_equal(map_put(&m, SPAN("a"), &things[0], &old), RW_OK);
    assert_null(old);
    assert_int_equal(map_put(&m, SPAN("a"), &things[1], &old), RW_OK);
    assert_ptr_equal(old, &things[0]);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_get(&m, SPAN("a")), &things[1]);
    map_done(&m);
    assert_null(map_get(&m, SPAN("a")));
}

static void test_put__keys_are_compared_by_bytes_and_length(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, 1, 10);
    put(&m, (struct span){NULL, 0}, &things[0]); // the empty key is a key
    put(&m, span_of("a\0b", 3), &things[1]);
    put(&m, span_of("a", 1), &things[2]);
    put(&m, SPAN("A"), &things[3]);
    assert_ptr_equal(map_get(&m, SPAN("")), &things[0]);
    assert_ptr_equal(map_get(&m, span_of("a\0b", 3)), &things[1]);
    assert_ptr_equal(map_get(&m, SPAN("a")), &things[2]);
    assert_ptr_equal(map_get(&m, SPAN("A")), &things[3]);
    assert_null(map_get(&m, span_of("a\0c", 3)));
    map_done(&m);
}

static void test_put__refuses_more_than_max_and_stays_as_it_was(void **state)
{
    (void)state;
    struct map m;
    void *old = &things[7];
    map_init(&m, 1, 2);
    put(&m, SPAN("a"), &things[0]);
    put(&m, SPAN("b"), &things[1]);
    assert_int_equal(map_put(&m, SPAN("c"), &things[2], &old), RW_E_TOO_LARGE);
    assert_ptr_equal(old, &things[7]);
    assert_int_equal(map_put(&m, SPAN("b"), &things[3], &old), RW_OK); // replacing is no growth
    assert_null(map_get(&m, SPAN("c")));
    assert_ptr_equal(map_remove(&m, SPAN("a")), &things[0]);
    put(&m, SPAN("c"), &things[2]);
    assert_int_equal(m.count, 2);
    map_done(&m);
}

static void test_put__the_key_is_referenced_not_copied(void **state)
{
    (void)state;
    struct map m;
    char name[] = "model-a", again[] = "model-a";
    map_init(&m, 1, 10);
    put(&m, span_str(name), &things[0]);
    put(&m, span_str(again), &things[1]);
    uint32_t cursor = 0;
    struct span key;
    void *value;
    assert_true(map_next(&m, &cursor, &key, &value));
    assert_ptr_equal(key.p, name); // the older span stays
    assert_ptr_equal(value, &things[1]);
    assert_false(map_next(&m, &cursor, &key, &value));
    map_done(&m);
}

static void test_put__full_tables_of_every_size_keep_all_entries(void **state)
{
    (void)state;
    static char names[4096][16];
    struct map m;
    map_init(&m, 42, 4096);
    for (uint32_t i = 0; i < 4096; i++) {
        snprintf(names[i], sizeof names[i], "model-%u", i);
        put(&m, span_str(names[i]), &things[i]);
        assert_true(m.count * 4 <= (m.mask + 1) * 3); // never fuller than stated
        assert_true(m.mask + 1 == 8 || m.count * 8 > (m.mask + 1) * 3 - 8); // nor emptier
    }
    for (uint32_t i = 0; i < 4096; i++) assert_ptr_equal(map_get(&m, span_str(names[i])), &things[i]);
    uint32_t cursor = 0, seen = 0;
    struct span key;
    void *value;
    static bool visited[4096];
    while (map_next(&m, &cursor, &key, &value)) {
        const ptrdiff_t i = (int *)value - things;
        assert_false(visited[i]);
        visited[i] = true;
        assert_true(span_eq(key, span_str(names[i])));
        seen++;
    }
    assert_int_equal(seen, 4096);
    map_done(&m);
}

static void test_next__visits_the_first_and_the_last_slot(void **state)
{
    (void)state;
    static const char letters[] = "abcdef";
    for (uint64_t seed = 0; seed < 100; seed++) { // six entries in eight slots, each time elsewhere
        struct map m;
        uint32_t cursor = 0, seen = 0;
        struct span key;
        void *value;
        map_init(&m, seed, 6);
        for (int i = 0; i < 6; i++) put(&m, span_of(&letters[i], 1), &things[i]);
        while (map_next(&m, &cursor, &key, &value)) seen |= 1U << ((int *)value - things);
        assert_int_equal(seen, 63);
        map_done(&m);
    }
}

static void test_remove__agrees_with_an_array_over_random_steps(void **state)
{
    (void)state;
    enum { KEYS = 40 };
    static char names[KEYS][24];
    for (int i = 0; i < KEYS; i++) snprintf(names[i], sizeof names[i], "%*d", i % 20 + 1, i);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct prng r;
        struct map m;
        void *model[KEYS] = {NULL};
        prng_seed(&r, seed);
        map_init(&m, prng_next(&r), KEYS);
        for (int step = 0; step < 2000; step++) {
            const uint32_t k = prng_below(&r, KEYS);
            void *old = NULL;
            if (prng_below(&r, 2)) {
                void *value = &things[prng_below(&r, 100)];
                assert_int_equal(map_put(&m, span_str(names[k]), value, &old), RW_OK);
                assert_ptr_equal(old, model[k]);
                model[k] = value;
            } else {
                assert_ptr_equal(map_remove(&m, span_str(names[k])), model[k]);
                model[k] = NULL;
            }
            uint32_t count = 0;
            for (int i = 0; i < KEYS; i++) {
                assert_ptr_equal(map_get(&m, span_str(names[i])), model[i]);
                count += model[i] != NULL;
            }
            assert_int_equal(m.count, count);
        }
        map_done(&m);
    }
}

static void test_hash__each_bit_of_a_key_changes_half_of_the_hash(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 3);
    for (uint32_t n = 1; n <= 64; n++) {
        uint8_t key[64];
        uint64_t flips = 0;
        const uint32_t tries = 40;
        for (uint32_t t = 0; t < tries; t++) {
            for (uint32_t i = 0; i < n; i++) key[i] = (uint8_t)prng_next(&r);
            const uint64_t seed = prng_next(&r), was = map_hash(span_of(key, n), seed);
            for (uint32_t bit = 0; bit < n * 8; bit++) {
                key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                const uint64_t is = map_hash(span_of(key, n), seed);
                assert_int_not_equal(is, was);
                flips += (uint64_t)__builtin_popcountll(is ^ was);
                key[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
        }
        const uint64_t most = (uint64_t)n * 8 * tries * 64;
        assert_in_range(flips * 1000 / most, 480, 520);
    }
}

static void test_hash__depends_on_seed_and_length(void **state)
{
    (void)state;
    static const uint8_t zeros[40];
    for (uint32_t n = 0; n < 40; n++) {
        assert_int_not_equal(map_hash(span_of(zeros, n), 1), map_hash(span_of(zeros, n), 2));
        assert_int_not_equal(map_hash(span_of(zeros, n), 0), map_hash(span_of(zeros, n + 1), 0));
    }
}

static void test_hash__names_in_a_row_spread_over_the_low_bits(void **state)
{
    (void)state;
    // 4096 names into 4096 places: at random 63.2 % of the places are taken.
    static bool taken[4096];
    uint32_t n = 0;
    for (int i = 0; i < 4096; i++) {
        char name[32];
        const int len = snprintf(name, sizeof name, "key-%d", i);
        const uint64_t at = map_hash(span_of(name, (size_t)len), 0) & 4095;
        n += !taken[at];
        taken[at] = true;
    }
    assert_in_range(n, 2500, 2680);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get__of_an_empty_map_is_null),
        cmocka_unit_test(test_put__replaces_and_returns_the_old_value),
        cmocka_unit_test(test_put__keys_are_compared_by_bytes_and_length),
        cmocka_unit_test(test_put__refuses_more_than_max_and_stays_as_it_was),
        cmocka_unit_test(test_put__the_key_is_referenced_not_copied),
        cmocka_unit_test(test_put__full_tables_of_every_size_keep_all_entries),
        cmocka_unit_test(test_next__visits_the_first_and_the_last_slot),
        cmocka_unit_test(test_remove__agrees_with_an_array_over_random_steps),
        cmocka_unit_test(test_hash__each_bit_of_a_key_changes_half_of_the_hash),
        cmocka_unit_test(test_hash__depends_on_seed_and_length),
        cmocka_unit_test(test_hash__names_in_a_row_spread_over_the_low_bits),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
