// utf8: all sequences of up to three bytes and all interesting ones of four are compared with a naive
// reader that has the grammar of RFC 3629 as a table; texts are fed in two pieces cut at every byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tests/lib/json_naive.h"
#include "wire/utf8.h"

static bool feed_cut(const uint8_t *p, uint32_t n, uint32_t cut)
{
    struct utf8 u = {0};
    const bool first = utf8_feed(&u, span_of(p, cut));
    const bool second = utf8_feed(&u, span_of(p + cut, n - cut));
    if (!first && second) fail(); // what is wrong stays wrong
    return second && utf8_done(&u);
}

static void check(const uint8_t *p, uint32_t n)
{
    const bool want = naive_utf8_valid(p, n);
    if (utf8_valid(span_of(p, n)) != want) fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
    for (uint32_t cut = 0; cut <= n; cut++)
        if (feed_cut(p, n, cut) != want)
            fail_msg("%02x %02x %02x %02x cut at %u", p[0], p[1], p[2], p[3], cut);
    uint32_t character;
    if (utf8_decode(span_of(p, n), &character) != naive_utf8(p, n))
        fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
}

static void test_valid__every_short_sequence(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff};
    for (uint32_t a = 0; a < 256; a++)
        for (uint32_t b = 0; b < 256; b++) {
            for (uint32_t c = 0; c < sizeof(edges); c++)
                for (uint32_t d = 0; d < sizeof(edges); d++) {
                    const uint8_t bytes[4] = {(uint8_t)a, (uint8_t)b, edges[c], edges[d]};
                    check(bytes, 4);
                    if (d == 0) check(bytes, 3);
                    if (c + d == 0) check(bytes, 2);
                    if (b + c + d == 0) check(bytes, 1);
                }
        }
}

static void test_encode__is_the_inverse_of_decode(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        uint8_t out[UTF8_BYTES_MAX];
        uint32_t back = 0;
        const uint32_t n = utf8_encode(c, out);
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        if (utf8_decode(span_of(out, n), &back) != n || back != c) fail_msg("U+%04X", c);
        for (uint32_t k = 0; k < n; k++) assert_int_equal(utf8_decode(span_of(out, k), &back), 0);
    }
}

static void test_prefix__ends_with_a_whole_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_prefix(SPAN("")), 0);
    assert_int_equal(utf8_prefix(SPAN("abc")), 3);
    assert_int_equal(utf8_prefix(SPAN("ab\xc3")), 2);
    assert_int_equal(utf8_prefix(SPAN("ab\xc3\xa4\xf0\x9f\x98")), 4);
    assert_int_equal(utf8_prefix(SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x80")), 43);
}

static void test_cut__never_inside_a_character(void **state)
{
    (void)state;
    const struct span s = SPAN("a\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80z");
    static const uint32_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (uint32_t at = 0; at < sizeof(want) / sizeof(want[0]); at++)
        assert_int_equal(utf8_cut(s, at), want[at]);
    // What is no UTF-8 has no inside.
    const struct span bad = SPAN("\x80\x80\x80\x80\xc3z\xe6\xbc");
    for (uint32_t at = 0; at <= bad.n; at++) assert_int_equal(utf8_cut(bad, at), at);
}

static void test_feed__long_texts_cut_anywhere(void **state)
{
    (void)state;
    static const struct span pieces[] = {SPAN_INIT("a"),
                                         SPAN_INIT("some text"),
                                         SPAN_INIT("\xc3\xa4"),
                                         SPAN_INIT("\xe6\xbc\xa2"),
                                         SPAN_INIT("\xf0\x9f\x98\x80"),
                                         SPAN_INIT("\xed\xa0\x80"),
                                         SPAN_INIT("\x80")};
    struct prng r;
    struct guard g = guard_open(4096);
    prng_seed(&r, 7);
    uint32_t valid = 0;
    for (int round = 0; round < 3000; round++) {
        uint8_t text[400];
        uint32_t n = 0;
        const uint32_t count = prng_below(&r, 40), sorts = prng_below(&r, 8) ? 5 : 7;
        for (uint32_t i = 0; i < count; i++) {
            const struct span piece = pieces[prng_below(&r, sorts)];
            memcpy(text + n, piece.p, piece.n);
            n += piece.n;
        }
        const bool want = naive_utf8_valid(text, n);
        valid += want;
        const uint8_t *p = guard_put(&g, text, n);
        assert_true(utf8_valid(span_of(p, n)) == want);
        for (uint32_t cut = 0; cut <= n; cut++) assert_true(feed_cut(p, n, cut) == want);
    }
    assert_in_range(valid, 2000, 2990);
    guard_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid__every_short_sequence),
        cmocka_unit_test(test_encode__is_the_inverse_of_decode),
        cmocka_unit_test(test_prefix__ends_with_a_whole_character),
        cmocka_unit_test(test_cut__never_inside_a_character),
        cmocka_unit_test(test_feed__long_texts_cut_anywhere),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
