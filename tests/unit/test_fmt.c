// fmt: every formatter is compared with the slow one of libc (snprintf, gmtime_r, inet_ntop) over the edges
// and a few ten thousand random values; JSON strings are checked byte by byte at every length, so that each
// of the copying paths meets a byte that needs escaping at every position; and each piece is written into
// buffers of every size from nothing to enough.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/fmt.h"
#include "base/prng.h"

static char buffer[1024];

static struct fmt start(void)
{
    struct fmt f;
    memset(buffer, '#', sizeof buffer);
    fmt_init(&f, buffer, sizeof buffer);
    return f;
}

static void assert_text(const struct fmt *f, const char *expected)
{
    assert_false(f->overflow);
    assert_int_equal(f->n, strlen(expected));
    assert_memory_equal(f->p, expected, f->n);
    assert_int_equal(f->p[f->n], '#'); // nothing behind the text was touched
}

static void check_u64(uint64_t v)
{
    char expected[32];
    struct fmt f = start();
    fmt_u64(&f, v);
    snprintf(expected, sizeof expected, "%" PRIu64, v);
    assert_text(&f, expected);
}

static void test_u64__edges_of_every_length(void **state)
{
    (void)state;
    check_u64(0);
    for (uint64_t v = 1;; v *= 10) {
        check_u64(v - 1);
        check_u64(v);
        check_u64(v + 1);
        if (v > UINT64_MAX / 10) break;
    }
    for (uint32_t bit = 0; bit < 64; bit++) {
        check_u64((UINT64_C(1) << bit) - 1);
        check_u64(UINT64_C(1) << bit);
    }
    check_u64(UINT64_MAX);
}

static void test_u64__random_values_of_every_length(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) check_u64(prng_next(&r) >> (i & 63));
}

static void test_i64__edges(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, -1, 9, -9, 10, -10, 99, -100, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char expected[32];
        struct fmt f = start();
        fmt_i64(&f, values[i]);
        snprintf(expected, sizeof expected, "%" PRId64, values[i]);
        assert_text(&f, expected);
    }
}

static void test_hex__leading_zeros_and_all_bits(void **state)
{
    (void)state;
    struct fmt f = start();
    fmt_hex(&f, 0, 0);
    fmt_char(&f, ' ');
    fmt_hex(&f, 0xab, 4);
    fmt_char(&f, ' ');
    fmt_hex(&f, UINT64_C(0x123456789abcdef0), 2);
    fmt_char(&f, ' ');
    fmt_hex(&f, 1, 16);
    assert_text(&f, "0 00ab 123456789abcdef0 0000000000000001");
}

static void check_decimal(int64_t v, uint32_t decimals, const char *expected)
{
    struct fmt f = start();
    fmt_decimal(&f, v, decimals);
    assert_text(&f, expected);
}

static void test_decimal__zeros_at_the_end_are_cut(void **state)
{
    (void)state;
    check_decimal(0, 0, "0");
    check_decimal(0, 9, "0");
    check_decimal(12340, 3, "12.34");
    check_decimal(5000, 3, "5");
    check_decimal(50000, 3, "50");
    check_decimal(1, 9, "0.000000001");
    check_decimal(-7, 2, "-0.07");
    check_decimal(-700, 2, "-7");
    check_decimal(1000000001, 9, "1.000000001");
    check_decimal(INT64_MAX, 0, "9223372036854775807");
    check_decimal(INT64_MIN, 18, "-9.223372036854775808");
    check_decimal(-1, 18, "-0.000000000000000001");
}

static void test_time_iso__agrees_with_libc_day_by_day(void **state)
{
    (void)state;
    struct fmt_time cache = {0};
    for (int64_t day = 0; day < 60000; day++) { // to the year 2134
        const int64_t second = day * 86400 + day % 86400;
        const time_t t = (time_t)second;
        struct tm tm;
        char expected[64];
        gmtime_r(&t, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000042Z", &tm);
        struct fmt f = start();
        fmt_time_iso(&f, &cache, second * CLOCK_SEC + 42 * CLOCK_US + 999);
        assert_text(&f, expected);
    }
}

static void test_time_iso__the_cache_is_only_for_its_second(void **state)
{
    (void)state;
    struct fmt_time cache = {0};
    struct fmt f = start();
    fmt_time_iso(&f, &cache, 0); // a zeroed cache does not answer for second 0
    assert_text(&f, "1970-01-01T00:00:00.000000Z");
    f = start();
    fmt_time_iso(&f, &cache, 999999999);
    assert_text(&f, "1970-01-01T00:00:00.999999Z");
    f = start();
    fmt_time_iso(&f, &cache, 1000000000);
    assert_text(&f, "1970-01-01T00:00:01.000000Z");
    f = start();
    fmt_time_iso(&f, &cache, INT64_MAX);
    assert_text(&f, "2262-04-11T23:47:16.854775Z");
    f = start();
    fmt_time_iso(&f, &cache, -1);
    assert_text(&f, "1970-01-01T00:00:00.000000Z");
}

static void test_time_http__agrees_with_libc_day_by_day(void **state)
{
    (void)state;
    struct fmt_time cache = {0};
    for (int64_t day = 0; day < 60000; day++) {
        const int64_t second = day * 86400 + (day * 7919) % 86400;
        const time_t t = (time_t)second;
        struct tm tm;
        char expected[64];
        gmtime_r(&t, &tm);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        for (int again = 0; again < 2; again++) { // made, then from the cache
            struct fmt f = start();
            fmt_time_http(&f, &cache, second * CLOCK_SEC + 5);
            assert_text(&f, expected);
        }
    }
}

static void check_duration(int64_t ns, const char *expected)
{
    struct fmt f = start();
    fmt_duration_go(&f, ns);
    assert_text(&f, expected);
}

static void test_duration_go__as_openai_writes_it(void **state)
{
    (void)state;
    check_duration(0, "0s");
    check_duration(-5, "0s");
    check_duration(1, "1ms"); // rounded up: who waits that long has waited long enough
    check_duration(35 * CLOCK_MS, "35ms");
    check_duration(35 * CLOCK_MS + 1, "36ms");
    check_duration(999 * CLOCK_MS, "999ms");
    check_duration(999 * CLOCK_MS + 1, "1s");
    check_duration(1210 * CLOCK_MS, "1.21s");
    check_duration(59999 * CLOCK_MS, "59.999s");
    check_duration(60 * CLOCK_SEC, "1m0s");
    check_duration(360 * CLOCK_SEC, "6m0s");
    check_duration(3599999 * CLOCK_MS, "59m59.999s");
    check_duration(3600 * CLOCK_SEC, "1h0m0s");
    check_duration(90061 * CLOCK_SEC + 500 * CLOCK_MS, "25h1m1.5s");
    check_duration(INT64_MAX, "2562047h47m16.855s");
}

static void test_ip__v6_agrees_with_libc(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 2);
    for (int i = 0; i < 65536; i++) {
        // Each group is zero or not in all 256 ways, with groups of all lengths.
        uint8_t a[16] = {0};
        for (int group = 0; group < 8; group++) {
            if (!(i >> group & 1)) continue;
            const uint32_t v = (uint32_t)(prng_next(&r) & 0xffff) >> (4 * prng_below(&r, 4));
            a[2 * group] = (uint8_t)((v | 1) >> 8);
            a[2 * group + 1] = (uint8_t)(v | 1);
        }
        char expected[64];
        inet_ntop(AF_INET6, a, expected, sizeof expected);
        if (strchr(expected, '.')) continue; // v4-compatible: libc still writes them as RFC 4291 had it
        struct fmt f = start();
        fmt_ip(&f, a, 16);
        assert_text(&f, expected);
    }
}

static void check_v6(const char *text)
{
    uint8_t a[16];
    assert_int_equal(inet_pton(AF_INET6, text, a), 1);
    struct fmt f = start();
    fmt_ip(&f, a, 16);
    assert_text(&f, text);
}

static void test_ip__forms_of_rfc_5952(void **state)
{
    (void)state;
    check_v6("::");
    check_v6("::1");
    check_v6("1::");
    check_v6("2001:db8::1");
    check_v6("2001:db8:0:1:1:1:1:1"); // a single zero group is not shortened
    check_v6("2001:0:0:1::1"); // the longest run, not the first
    check_v6("2001:db8::1:0:0:1"); // of two equal ones the first
    check_v6("::ffff:192.0.2.1");
    check_v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    const uint8_t v4[4] = {192, 0, 2, 255};
    struct fmt f = start();
    fmt_ip(&f, v4, 4);
    assert_text(&f, "192.0.2.255");
}

static void check_json(const void *in, size_t n, const char *expected)
{
    // On the heap, exactly as long as it is: reading past the end is seen by ASan.
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, in, n);
    struct fmt f = start();
    fmt_json_string(&f, span_of(copy, n));
    assert_text(&f, expected);
    // The same into a buffer that it fits exactly, and into one that is a byte short.
    const uint32_t exact = f.n;
    char *tight = malloc(exact);
    assert_non_null(tight);
    fmt_init(&f, tight, exact);
    fmt_json_string(&f, span_of(copy, n));
    assert_false(f.overflow);
    assert_int_equal(f.n, exact);
    assert_memory_equal(tight, expected, exact);
    fmt_init(&f, tight, exact - 1);
    fmt_json_string(&f, span_of(copy, n));
    assert_true(f.overflow);
    assert_int_equal(f.n, 0);
    free(tight);
    free(copy);
}

static void test_json_string__every_length_and_position(void **state)
{
    (void)state;
    static const struct {
        uint8_t byte;
        const char *escaped;
    } odd[] = {{'"', "\\\""},
               {'\\', "\\\\"},
               {'\n', "\\n"},
               {'\r', "\\r"},
               {'\t', "\\t"},
               {'\b', "\\b"},
               {'\f', "\\f"},
               {0, "\\u0000"},
               {0x1f, "\\u001f"},
               {0x80, "\xef\xbf\xbd"},
               {0xff, "\xef\xbf\xbd"},
               {0x7f, "\x7f"},
               {' ', " "},
               {'!', "!"},
               {'#', "#"},
               {'[', "["},
               {']', "]"}};
    for (uint32_t n = 0; n <= 70; n++) {
        char in[80], expected[160];
        memset(in, 'a', sizeof in);
        snprintf(expected, sizeof expected, "\"%.*s\"", (int)n, in);
        check_json(in, n, expected);
        for (uint32_t at = 0; at < n; at++) {
            for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
                memset(in, 'a', sizeof in);
                in[at] = (char)odd[k].byte;
                memset(expected, 'a', sizeof expected);
                expected[0] = '"';
                memcpy(expected + 1 + at, odd[k].escaped, strlen(odd[k].escaped));
                memcpy(expected + n + strlen(odd[k].escaped), "\"", 2);
                check_json(in, n, expected);
            }
        }
    }
}

#define BAD "\xef\xbf\xbd"

static void test_json_string__utf8_passes_and_each_wrong_byte_is_replaced(void **state)
{
    (void)state;
    check_json("gr\xc3\xbc\xc3\x9f"
               "e",
               7,
               "\"gr\xc3\xbc\xc3\x9f"
               "e\"");
    check_json("\xe4\xb8\xad\xf0\x9f\x98\x80", 7, "\"\xe4\xb8\xad\xf0\x9f\x98\x80\"");
    check_json("\xc3", 1, "\"" BAD "\""); // cut off
    check_json("\xe4\xb8", 2, "\"" BAD BAD "\"");
    check_json("\xf0\x9f\x98", 3, "\"" BAD BAD BAD "\"");
    check_json("\xc0\xaf", 2, "\"" BAD BAD "\""); // overlong
    check_json("\xc1\xbf", 2, "\"" BAD BAD "\"");
    check_json("\xe0\x9f\xbf", 3, "\"" BAD BAD BAD "\"");
    check_json("\xe0\xa0\x80", 3, "\"\xe0\xa0\x80\"");
    check_json("\xf0\x8f\xbf\xbf", 4, "\"" BAD BAD BAD BAD "\"");
    check_json("\xf0\x90\x80\x80", 4, "\"\xf0\x90\x80\x80\"");
    check_json("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\""); // a surrogate
    check_json("\xed\x9f\xbf", 3, "\"\xed\x9f\xbf\"");
    check_json("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\""); // above U+10FFFF
    check_json("\xf4\x8f\xbf\xbf", 4, "\"\xf4\x8f\xbf\xbf\"");
    check_json("\xf5\x80\x80\x80", 4, "\"" BAD BAD BAD BAD "\"");
    check_json("\xe4\xb8"
               "a",
               3, "\"" BAD BAD "a\"");
    check_json("\xc3\"", 2, "\"" BAD "\\\"\"");
}

static void test_bounds__a_piece_is_whole_or_not_there(void **state)
{
    (void)state;
    static const uint8_t v4[4] = {127, 0, 0, 1};
    static const char whole[] =
        "ab-12/34,beef.1.5 2025-11-21T09:27:00.000000Z Fri, 21 Nov 2025 09:27:00 GMT 6m0s 127.0.0.1 \"x\"";
    for (uint32_t cap = 0; cap <= sizeof whole; cap++) {
        char *p = malloc(cap ? cap : 1);
        assert_non_null(p);
        struct fmt f;
        struct fmt_time cache = {0};
        const int64_t wall_ns = INT64_C(1763717220) * CLOCK_SEC;
        fmt_init(&f, p, cap);
        fmt_str(&f, "ab");
        fmt_i64(&f, -12);
        fmt_char(&f, '/');
        fmt_u64(&f, 34);
        fmt_span(&f, SPAN(","));
        fmt_hex(&f, 0xbeef, 0);
        fmt_bytes(&f, ".", 1);
        fmt_decimal(&f, 15, 1);
        fmt_char(&f, ' ');
        fmt_time_iso(&f, &cache, wall_ns);
        fmt_char(&f, ' ');
        fmt_time_http(&f, &cache, wall_ns);
        fmt_char(&f, ' ');
        fmt_duration_go(&f, 360 * CLOCK_SEC);
        fmt_char(&f, ' ');
        fmt_ip(&f, v4, 4);
        fmt_char(&f, ' ');
        fmt_json_string(&f, SPAN("x"));
        assert_int_equal(f.overflow, cap < sizeof whole - 1);
        assert_true(f.n <= cap);
        assert_memory_equal(f.p, whole, f.n);
        if (!f.overflow) assert_int_equal(f.n, sizeof whole - 1);
        // After an overflow even what would fit is not written: the text stays a beginning.
        const uint32_t n = f.n;
        if (f.overflow) fmt_span(&f, SPAN(""));
        assert_int_equal(f.n, n);
        free(p);
    }
}

static void test_text__is_a_span_of_what_was_written(void **state)
{
    (void)state;
    struct fmt f = start();
    assert_int_equal(fmt_text(&f).n, 0);
    fmt_str(&f, "hello");
    assert_true(span_eq(fmt_text(&f), SPAN("hello")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64__edges_of_every_length),
        cmocka_unit_test(test_u64__random_values_of_every_length),
        cmocka_unit_test(test_i64__edges),
        cmocka_unit_test(test_hex__leading_zeros_and_all_bits),
        cmocka_unit_test(test_decimal__zeros_at_the_end_are_cut),
        cmocka_unit_test(test_time_iso__agrees_with_libc_day_by_day),
        cmocka_unit_test(test_time_iso__the_cache_is_only_for_its_second),
        cmocka_unit_test(test_time_http__agrees_with_libc_day_by_day),
        cmocka_unit_test(test_duration_go__as_openai_writes_it),
        cmocka_unit_test(test_ip__v6_agrees_with_libc),
        cmocka_unit_test(test_ip__forms_of_rfc_5952),
        cmocka_unit_test(test_json_string__every_length_and_position),
        cmocka_unit_test(test_json_string__utf8_passes_and_each_wrong_byte_is_replaced),
        cmocka_unit_test(test_bounds__a_piece_is_whole_or_not_there),
        cmocka_unit_test(test_text__is_a_span_of_what_was_written),
    };
    return cmocka_run_group_tests_name("fmt", tests, NULL, NULL);
}
