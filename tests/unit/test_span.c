// span: small tables of inputs and results for each function; inputs lie on the heap at their exact length,
// so that ASan sees a byte too many. Numbers are compared with strtoull around every power of ten.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/span.h"

// A span over a copy of text that is exactly as long as it. Freed by drop().
static struct span exact(const char *text)
{
    const size_t n = strlen(text);
    uint8_t *p = malloc(n ? n : 1);
    assert_non_null(p);
    memcpy(p, text, n);
    return span_of(p, n);
}

static void drop(struct span s)
{
    free((void *)(uintptr_t)s.p);
}

static const struct span null = {NULL, 0};

static void test_make__literal_string_and_bytes(void **state)
{
    (void)state;
    static const struct span fixed = SPAN_INIT("a\0b");
    assert_int_equal(fixed.n, 3);
    assert_int_equal(SPAN("").n, 0);
    assert_non_null(SPAN("").p);
    assert_int_equal(SPAN("abc").n, 3);
    assert_int_equal(span_str("hello").n, 5);
    assert_int_equal(span_str(NULL).n, 0);
    char text[16];
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(span_of("abcdef", 3)));
    assert_string_equal(text, "abc");
}

static void test_from__start_within_at_and_behind_the_end(void **state)
{
    (void)state;
    const struct span s = exact("hello");
    assert_true(span_eq(span_from(s, 0), SPAN("hello")));
    assert_true(span_eq(span_from(s, 2), SPAN("llo")));
    assert_int_equal(span_from(s, 5).n, 0);
    assert_ptr_equal(span_from(s, 5).p, s.p + 5);
    assert_ptr_equal(span_from(s, UINT32_MAX).p, s.p + 5);
    assert_int_equal(span_from(s, UINT32_MAX).n, 0);
    drop(s);
}

static void test_eq__bytes_and_length(void **state)
{
    (void)state;
    const struct span a = exact("ab"), b = exact("abc"), c = exact("ab");
    assert_true(span_eq(a, c));
    assert_false(span_eq(a, b));
    assert_false(span_eq(b, a));
    assert_false(span_eq(a, SPAN("aB")));
    assert_true(span_eq(null, SPAN("")));
    assert_true(span_eq(span_of("a\0b", 3), span_of("a\0b", 3)));
    assert_false(span_eq(span_of("a\0b", 3), span_of("a\0c", 3)));
    drop(a);
    drop(b);
    drop(c);
}

// Vectors of several sizes do it: every length around theirs, another byte at every place.
static void test_eq_and_find__every_length_and_place(void **state)
{
    (void)state;
    char text[101];
    for (size_t n = 0; n <= 100; n++) {
        memset(text, 'a', n);
        text[n] = 0;
        const struct span same = exact(text), s = exact(text);
        assert_true(span_eq(s, same));
        assert_int_equal(span_find(s, 'b'), n);
        uint8_t *const bytes = (uint8_t *)(uintptr_t)s.p;
        for (size_t at = 0; at < n; at++) {
            bytes[at] = 'a' ^ 0x80;
            assert_false(span_eq(s, same));
            assert_int_equal(span_find(s, 'a' ^ 0x80), at);
            bytes[at] = 'a';
        }
        for (size_t at = n; at-- > 0;) {
            bytes[at] = 'b'; // as all behind it are by now
            assert_int_equal(span_find(s, 'b'), at);
        }
        drop(same);
        drop(s);
    }
}

static void test_starts__prefixes(void **state)
{
    (void)state;
    const struct span s = exact("Bearer x");
    assert_true(span_starts(s, SPAN("Bearer ")));
    assert_true(span_starts(s, SPAN("")));
    assert_true(span_starts(s, s));
    assert_true(span_starts(null, null));
    assert_false(span_starts(s, SPAN("bearer ")));
    assert_false(span_starts(SPAN("Bear"), SPAN("Bearer ")));
    drop(s);
}

static void test_ieq__ascii_letters_only(void **state)
{
    (void)state;
    assert_true(span_ieq(SPAN("Content-TYPE"), SPAN("content-type")));
    assert_true(span_ieq(null, SPAN("")));
    assert_false(span_ieq(SPAN("a"), SPAN("ab")));
    for (int c = 0; c < 256; c++) {
        const bool letter = (c >= 'A' && c <= 'Z');
        assert_int_equal(span_lower((uint8_t)c), letter ? c + 32 : c);
        for (int d = 0; d < 256; d++) {
            const uint8_t x = (uint8_t)c, y = (uint8_t)d;
            const int lc = letter ? c + 32 : c, ld = d >= 'A' && d <= 'Z' ? d + 32 : d;
            assert_int_equal(span_ieq(span_of(&x, 1), span_of(&y, 1)), lc == ld);
        }
    }
}

static void test_find__first_or_length(void **state)
{
    (void)state;
    const struct span s = exact("a/b/c");
    assert_int_equal(span_find(s, '/'), 1);
    assert_int_equal(span_find(s, 'c'), 4);
    assert_int_equal(span_find(s, 'x'), 5);
    assert_int_equal(span_find(null, 'x'), 0);
    drop(s);
}

static void test_trim__spaces_and_tabs_at_both_ends(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},    {" ", ""},     {"\t \t", ""},     {"a", "a"},
                 {" a", "a"}, {"a \t", "a"}, {"\ta b ", "a b"}, {"\na\n", "\na\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct span s = exact(cases[i].in);
        assert_true(span_eq(span_trim(s), span_str(cases[i].out)));
        drop(s);
    }
    assert_int_equal(span_trim(null).n, 0);
}

static void check_split(const char *in, const char *const *fields, size_t n)
{
    const struct span whole = exact(in);
    struct span rest = whole, field = SPAN("untouched");
    for (size_t i = 0; i < n; i++) {
        assert_true(span_split(&rest, ',', &field));
        assert_true(span_eq(field, span_str(fields[i])));
    }
    const struct span last = field;
    assert_false(span_split(&rest, ',', &field));
    assert_ptr_equal(field.p, last.p); // untouched at the end
    assert_false(span_split(&rest, ',', &field));
    drop(whole);
}

static void test_split__empty_fields_are_fields(void **state)
{
    (void)state;
    check_split("a,bc,d", (const char *const[]){"a", "bc", "d"}, 3);
    check_split("", (const char *const[]){""}, 1);
    check_split(",", (const char *const[]){"", ""}, 2);
    check_split("a,,b,", (const char *const[]){"a", "", "b", ""}, 4);
    struct span rest = null, field;
    assert_false(span_split(&rest, ',', &field));
}

static void check_number(const char *text, bool good, uint64_t expected)
{
    const struct span s = exact(text);
    uint64_t v = 4711;
    assert_int_equal(span_u64(s, &v), good);
    assert_int_equal(v, good ? expected : 4711);
    drop(s);
}

static void test_u64__digits_only_and_no_overflow(void **state)
{
    (void)state;
    check_number("0", true, 0);
    check_number("00", true, 0);
    check_number("0000000000000000000000000000001", true, 1);
    check_number("18446744073709551615", true, UINT64_MAX);
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1a",
                                      "/",
                                      ":",
                                      "1.",
                                      "1\xc2",
                                      "18446744073709551616",
                                      "18446744073709551620",
                                      "99999999999999999999",
                                      "184467440737095516150"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_number(bad[i], false, 0);
    for (uint64_t v = 1; v < UINT64_MAX / 10; v *= 10) {
        for (int d = -1; d <= 1; d++) {
            char text[32];
            snprintf(text, sizeof text, "%" PRIu64, v + (uint64_t)d);
            check_number(text, true, strtoull(text, NULL, 10));
        }
    }
    uint64_t v = 4711;
    assert_false(span_u64(null, &v));
    assert_int_equal(v, 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make__literal_string_and_bytes),
        cmocka_unit_test(test_from__start_within_at_and_behind_the_end),
        cmocka_unit_test(test_eq__bytes_and_length),
        cmocka_unit_test(test_eq_and_find__every_length_and_place),
        cmocka_unit_test(test_starts__prefixes),
        cmocka_unit_test(test_ieq__ascii_letters_only),
        cmocka_unit_test(test_find__first_or_length),
        cmocka_unit_test(test_trim__spaces_and_tabs_at_both_ends),
        cmocka_unit_test(test_split__empty_fields_are_fields),
        cmocka_unit_test(test_u64__digits_only_and_no_overflow),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
