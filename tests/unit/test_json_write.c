// json_write: what is written is compared with the text that was wanted, for every size of the buffer
// (flush against a forbidden page); strings of random bytes must come out as valid JSON that reads back as
// the same text, with U+FFFD where there was no UTF-8.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tests/lib/json_naive.h"
#include "wire/json.h"
#include "wire/json_write.h"

static const struct span document =
    SPAN_INIT("{\"id\":\"a\\\"b\\\\\",\"n\":18446744073709551615,\"list\":[1,-2,[],{},true,false,null,[{"
              "\"x\":[0.5]}]],\"raw\":{\"y\": 1},\"u\":7,\"\":\"\"}");

static enum rw_err write_document(struct json_writer *w, struct span *ret)
{
    json_w_object(w);
    json_w_key_string(w, SPAN("id"), SPAN("a\"b\\"));
    json_w_key_u64(w, SPAN("n"), UINT64_MAX);
    json_w_key(w, SPAN("list"));
    json_w_array(w);
    json_w_u64(w, 1);
    json_w_i64(w, -2);
    json_w_array(w);
    json_w_end(w);
    json_w_object(w);
    json_w_end(w);
    json_w_bool(w, true);
    json_w_bool(w, false);
    json_w_null(w);
    json_w_array(w);
    json_w_object(w);
    json_w_key(w, SPAN("x"));
    json_w_array(w);
    json_w_decimal(w, 5, 1);
    json_w_end(w);
    json_w_end(w);
    json_w_end(w);
    json_w_end(w);
    json_w_key(w, SPAN("raw"));
    json_w_raw(w, SPAN("{\"y\": 1}"));
    json_w_key_u64(w, SPAN("u"), 7);
    json_w_key_string(w, SPAN(""), SPAN(""));
    json_w_end(w);
    return json_w_done(w, ret);
}

static void test_write__a_document_into_every_size(void **state)
{
    (void)state;
    struct guard g = guard_open(4096);
    for (uint32_t cap = 0; cap <= document.n + 1; cap++) {
        static const uint8_t zeros[1024];
        struct json_writer w;
        struct span got = {NULL, 0};
        json_w_init(&w, guard_put(&g, zeros, cap), cap);
        assert_int_equal(write_document(&w, &got), cap < document.n ? RW_E_TOO_LARGE : RW_OK);
        if (cap < document.n) assert_null(got.p);
        if (cap >= document.n) assert_true(span_eq(got, document));
    }
    guard_close(&g);
}

static void test_write__overflow_is_sticky(void **state)
{
    (void)state;
    uint8_t buf[8];
    struct json_writer w;
    struct span got;
    json_w_init(&w, buf, sizeof(buf));
    json_w_array(&w);
    json_w_string(&w, SPAN("does not fit"));
    json_w_u64(&w, 1); // would
    json_w_end(&w);
    assert_true(w.overflow);
    assert_int_equal(json_w_done(&w, &got), RW_E_TOO_LARGE);
}

static void test_write__scalars_at_the_top(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct json_writer w;
    struct span got;
    json_w_init(&w, buf, sizeof(buf));
    json_w_i64(&w, INT64_MIN);
    assert_int_equal(json_w_done(&w, &got), RW_OK);
    assert_true(span_eq(got, SPAN("-9223372036854775808")));
    json_w_init(&w, buf, sizeof(buf));
    json_w_string(&w, SPAN("x"));
    assert_int_equal(json_w_done(&w, &got), RW_OK);
    assert_true(span_eq(got, SPAN("\"x\"")));
}

static void test_decimal__prices(void **state)
{
    (void)state;
    static const struct {
        int64_t v;
        uint32_t decimals;
        struct span want;
    } cases[] = {
        {150000, 12, SPAN_INIT("0.00000015")},
        {1250000, 9, SPAN_INIT("0.00125")},
        {-1, 9, SPAN_INIT("-0.000000001")},
        {0, 12, SPAN_INIT("0")},
        {3000000000, 9, SPAN_INIT("3")},
        {12340, 3, SPAN_INIT("12.34")},
        {INT64_MAX, 12, SPAN_INIT("9223372.036854775807")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[40];
        struct json_writer w;
        struct span got;
        json_w_init(&w, buf, sizeof(buf));
        json_w_decimal(&w, cases[i].v, cases[i].decimals);
        assert_int_equal(json_w_done(&w, &got), RW_OK);
        assert_true(span_eq(got, cases[i].want));
    }
}

static void test_write__deepest(void **state)
{
    (void)state;
    uint8_t buf[256];
    struct json_writer w;
    struct span got;
    json_w_init(&w, buf, sizeof(buf));
    for (uint32_t i = 0; i < JSON_W_DEPTH_MAX; i++) {
        if (i & 1) json_w_object(&w), json_w_key(&w, SPAN(""));
        if (!(i & 1)) json_w_array(&w);
    }
    json_w_null(&w);
    for (uint32_t i = 0; i < JSON_W_DEPTH_MAX; i++) json_w_end(&w);
    assert_int_equal(json_w_done(&w, &got), RW_OK);
    assert_true(naive_json(got.p, got.n, JSON_W_DEPTH_MAX));
}

static void test_escape__what_must_be_and_no_more(void **state)
{
    (void)state;
    static const struct {
        struct span text, want;
    } cases[] = {
        {SPAN_INIT(""), SPAN_INIT("")},
        {SPAN_INIT("plain / text 'x' <&> \x7f"), SPAN_INIT("plain / text 'x' <&> \x7f")},
        {SPAN_INIT("\"\\\b\f\n\r\t"), SPAN_INIT("\\\"\\\\\\b\\f\\n\\r\\t")},
        {SPAN_INIT("\0\x01\x1f"), SPAN_INIT("\\u0000\\u0001\\u001f")},
        {SPAN_INIT("\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80"),
         SPAN_INIT("\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80")},
        {SPAN_INIT("a\x80z\xc3"), SPAN_INIT("a\xef\xbf\xbdz\xef\xbf\xbd")},
        {SPAN_INIT("\xe6\xbc\xa2\xe6\xbc"), SPAN_INIT("\xe6\xbc\xa2\xef\xbf\xbd\xef\xbf\xbd")},
        {SPAN_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb"),
         SPAN_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\nb")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[200];
        assert_int_equal(json_escape(cases[i].text, out, sizeof(out)), cases[i].want.n);
        assert_memory_equal(out, cases[i].want.p, cases[i].want.n);
        assert_int_equal(json_escape(cases[i].text, out, cases[i].want.n), cases[i].want.n);
        if (cases[i].want.n)
            assert_int_equal(json_escape(cases[i].text, out, cases[i].want.n - 1), RW_E_TOO_LARGE);
    }
}

static void test_string__random_bytes_read_back(void **state)
{
    (void)state;
    static const char *const ways[] = {"scalar", "sse4.2", "avx2", "neon"};
    struct prng r;
    struct guard g = guard_open(4096);
    prng_seed(&r, 6);
    for (int round = 0; round < 20000; round++) {
        if (!json_simd_select(ways[round & 3])) continue;
        uint8_t bytes[100], out[JSON_ESCAPED_BYTES_MAX(100)], want[300], back[JSON_ESCAPED_BYTES_MAX(100)];
        const uint32_t n = prng_below(&r, 101), kind = prng_below(&r, 3);
        for (uint32_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(kind == 0       ? 'a' + prng_below(&r, 26)
                                     : kind == 1 ? prng_below(&r, 128)
                                                 : prng_below(&r, 256));
        uint32_t want_n = 0;
        for (uint32_t i = 0; i < n;) {
            const uint32_t k = (uint32_t)naive_utf8(bytes + i, n - i);
            memcpy(want + want_n, k ? bytes + i : (const uint8_t *)"\xef\xbf\xbd", k ? k : 3);
            want_n += k ? k : 3;
            i += k ? k : 1;
        }
        struct json_writer w;
        struct span got, text;
        json_w_init(&w, out, sizeof(out));
        json_w_string(&w, span_of(guard_put(&g, bytes, n), n));
        assert_int_equal(json_w_done(&w, &got), RW_OK);
        assert_true(naive_json(got.p, got.n, 1));
        assert_int_equal(json_string(got, JSON_LONE_REFUSE, back, sizeof(back), &text), RW_OK);
        assert_true(span_eq(text, span_of(want, want_n)));
    }
    json_simd_select(NULL);
    guard_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write__a_document_into_every_size),
        cmocka_unit_test(test_write__overflow_is_sticky),
        cmocka_unit_test(test_write__scalars_at_the_top),
        cmocka_unit_test(test_decimal__prices),
        cmocka_unit_test(test_write__deepest),
        cmocka_unit_test(test_escape__what_must_be_and_no_more),
        cmocka_unit_test(test_string__random_bytes_read_back),
    };
    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
