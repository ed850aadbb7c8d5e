// prng: the generator is compared with the first numbers of its authors' definition, computed by a second
// implementation that is written out here; the range function is judged by how often each value comes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/prng.h"

static void test_seed__splitmix64_known_values(void **state)
{
    (void)state;
    // splitmix64 from state 0: the first outputs of the reference generator.
    struct prng r;
    prng_seed(&r, 0);
    assert_true(r.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(r.s[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(r.s[2] == UINT64_C(0x06c45d188009454f));
    assert_true(r.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static uint64_t turn(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

static void test_next__is_xoshiro256_starstar(void **state)
{
    (void)state;
    // From the state 1, 2, 3, 4 the first numbers are known.
    struct prng r = {{1, 2, 3, 4}};
    assert_true(prng_next(&r) == 11520);
    assert_true(prng_next(&r) == 0);
    assert_true(prng_next(&r) == 1509978240);
    uint64_t s[4];
    prng_seed(&r, 12345);
    memcpy(s, r.s, sizeof s);
    for (int i = 0; i < 10000; i++) {
        const uint64_t expected = turn(s[1] * 5, 7) * 9;
        const uint64_t a = s[0], b = s[1], c = s[2] ^ s[0], d = s[3] ^ s[1];
        s[0] = a ^ d;
        s[1] = b ^ c;
        s[2] = c ^ b << 17;
        s[3] = turn(d, 45);
        assert_true(prng_next(&r) == expected);
    }
}

static void test_seed__same_seed_same_numbers(void **state)
{
    (void)state;
    struct prng a, b, c;
    prng_seed(&a, 42);
    prng_seed(&b, 42);
    prng_seed(&c, 43);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t x = prng_next(&a);
        assert_true(x == prng_next(&b));
        same += x == prng_next(&c);
    }
    assert_int_equal(same, 0);
}

static void test_below__every_value_about_equally_often(void **state)
{
    (void)state;
    static const uint32_t ranges[] = {1, 2, 3, 7, 10, 64, 100};
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        struct prng r;
        uint32_t count[100] = {0};
        const uint32_t n = ranges[k], each = 10000;
        prng_seed(&r, k);
        for (uint32_t i = 0; i < n * each; i++) {
            const uint32_t v = prng_below(&r, n);
            assert_true(v < n);
            count[v]++;
        }
        for (uint32_t v = 0; v < n; v++) assert_in_range(count[v], each - 500, each + 500); // five deviations
    }
}

static void test_below__the_largest_range(void **state)
{
    (void)state;
    struct prng r;
    uint32_t lowest = UINT32_MAX, highest = 0;
    prng_seed(&r, 9);
    for (int i = 0; i < 10000; i++) {
        const uint32_t v = prng_below(&r, UINT32_MAX);
        assert_true(v < UINT32_MAX);
        if (v < lowest) lowest = v;
        if (v > highest) highest = v;
    }
    assert_true(lowest < UINT32_MAX / 100);
    assert_true(highest > UINT32_MAX / 100 * 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed__splitmix64_known_values),
        cmocka_unit_test(test_next__is_xoshiro256_starstar),
        cmocka_unit_test(test_seed__same_seed_same_numbers),
        cmocka_unit_test(test_below__every_value_about_equally_often),
        cmocka_unit_test(test_below__the_largest_range),
    };
    return cmocka_run_group_tests_name("prng", tests, NULL, NULL);
}
