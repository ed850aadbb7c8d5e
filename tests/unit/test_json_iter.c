// The reader of json.h: members, elements, paths, numbers and strings of known texts, each value against
// what it must be; the same walks over texts cut anywhere, flush against a forbidden page, must stay inside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/json.h"

static void assert_span(struct span got, struct span want)
{
    if (!span_eq(got, want)) fail_msg("\"%.*s\", not \"%.*s\"", SPAN_ARG(got), SPAN_ARG(want));
}

static void test_next__members_in_order(void **state)
{
    (void)state;
    static const struct span want[][2] = {
        {SPAN_INIT("a"), SPAN_INIT("1")},
        {SPAN_INIT("b\\\"{"), SPAN_INIT("\"x,}\\\"\"")},
        {SPAN_INIT(""), SPAN_INIT("{ \"c\" : [1,\"]\"] }")},
        {SPAN_INIT("d"), SPAN_INIT("[]")},
        {SPAN_INIT("e"), SPAN_INIT("null")},
        {SPAN_INIT("a"), SPAN_INIT("-1.5e3")},
    };
    struct json_iter it = json_iter(SPAN("{\"a\":1 , \"b\\\"{\" :\n\"x,}\\\"\",\"\":{ \"c\" : [1,\"]\"] "
                                         "},\"d\":[],\"e\":null,\"a\":-1.5e3\t}"));
    struct span key, value;
    for (uint32_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(json_next(&it, &key, &value));
        assert_span(key, want[i][0]);
        assert_span(value, want[i][1]);
    }
    assert_false(json_next(&it, &key, &value));
    assert_false(json_next(&it, &key, &value));
}

static void test_next__elements_have_no_key(void **state)
{
    (void)state;
    static const struct span want[] = {SPAN_INIT("[[1],2]"), SPAN_INIT("{}"), SPAN_INIT("true"),
                                       SPAN_INIT("\"\"")};
    struct json_iter it = json_iter(SPAN("[ [[1],2],{} ,true, \"\" ]"));
    struct span key, value;
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(json_next(&it, &key, &value));
        assert_null(key.p);
        assert_span(value, want[i]);
    }
    assert_false(json_next(&it, &key, &value));
}

static void test_next__nothing_in_empty_and_scalar_values(void **state)
{
    (void)state;
    static const struct span values[] = {SPAN_INIT("{}"), SPAN_INIT("[ ]"),   SPAN_INIT("{\n}"),
                                         SPAN_INIT("1"),  SPAN_INIT("\"a\""), SPAN_INIT("null"),
                                         SPAN_INIT("")};
    struct span key, value;
    for (uint32_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct json_iter it = json_iter(values[i]);
        assert_false(json_next(&it, &key, &value));
    }
}

static void test_type__by_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(json_type(SPAN("{}")), JSON_OBJECT);
    assert_int_equal(json_type(SPAN("[]")), JSON_ARRAY);
    assert_int_equal(json_type(SPAN("\"\"")), JSON_STRING);
    assert_int_equal(json_type(SPAN("true")), JSON_TRUE);
    assert_int_equal(json_type(SPAN("false")), JSON_FALSE);
    assert_int_equal(json_type(SPAN("null")), JSON_NULL);
    assert_int_equal(json_type(SPAN("-1")), JSON_NUMBER);
    assert_int_equal(json_type(SPAN("7")), JSON_NUMBER);
    assert_int_equal(json_type(SPAN("")), JSON_ABSENT);
}

static void test_path__finds_what_is_there(void **state)
{
    (void)state;
    const struct span root = SPAN(
        "{\"a\":{\"b\":[{\"c\":1},{\"c\":[2,[3,4]]}]},\"a.b\":5,\"x\":1,\"x\":2,\"\\u0061b\":6,\"n\":null}");
    static const struct {
        const char *path;
        struct span want;
    } cases[] = {
        {"a.b[0].c", SPAN_INIT("1")},
        {"a.b[1].c[1][0]", SPAN_INIT("3")},
        {"a.b[1].c", SPAN_INIT("[2,[3,4]]")},
        {"x", SPAN_INIT("2")}, // the last one
        {"ab", SPAN_INIT("6")},
        {"n", SPAN_INIT("null")},
    };
    struct span got;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(json_path(root, cases[i].path, &got));
        assert_span(got, cases[i].want);
    }
    assert_true(json_path(root, "", &got));
    assert_span(got, root);
    assert_true(json_path(SPAN("[7,8]"), "[1]", &got));
    assert_span(got, SPAN("8"));
    static const char *const absent[] = {"b",       "a.c",  "a.b[2]", "a.b[0].c.d", "a[0]",           "x[0]",
                                         "a.b[-1]", "a.b[", "a.b[]",  "a.b[0]c",    "a.b[4294967297]"};
    for (uint32_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        got = SPAN("untouched");
        assert_false(json_path(root, absent[i], &got));
        assert_span(got, SPAN("untouched"));
    }
}

static void test_numbers__integers(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        bool is_u;
        uint64_t u;
        bool is_i;
        int64_t i;
    } cases[] = {
        {SPAN_INIT("0"), true, 0, true, 0},
        {SPAN_INIT("-0"), true, 0, true, 0},
        {SPAN_INIT("7"), true, 7, true, 7},
        {SPAN_INIT("-7"), false, 0, true, -7},
        {SPAN_INIT("5.0"), true, 5, true, 5},
        {SPAN_INIT("1e3"), true, 1000, true, 1000},
        {SPAN_INIT("1.25E+2"), true, 125, true, 125},
        {SPAN_INIT("12000e-3"), true, 12, true, 12},
        {SPAN_INIT("0.0e999999999999999999999"), true, 0, true, 0},
        {SPAN_INIT("0.00001e5"), true, 1, true, 1},
        {SPAN_INIT("100000000000000000000000e-22"), true, 10, true, 10},
        {SPAN_INIT("1.5"), false, 0, false, 0},
        {SPAN_INIT("1e-1"), false, 0, false, 0},
        {SPAN_INIT("18446744073709551615"), true, UINT64_MAX, false, 0},
        {SPAN_INIT("1.8446744073709551615e19"), true, UINT64_MAX, false, 0},
        {SPAN_INIT("18446744073709551616"), false, 0, false, 0},
        {SPAN_INIT("184467440737095516150"), false, 0, false, 0},
        {SPAN_INIT("1e20"), false, 0, false, 0},
        {SPAN_INIT("1e19"), true, UINT64_C(10000000000000000000), false, 0},
        {SPAN_INIT("9223372036854775807"), true, INT64_MAX, true, INT64_MAX},
        {SPAN_INIT("9223372036854775808"), true, UINT64_C(1) << 63, false, 0},
        {SPAN_INIT("-9223372036854775808"), false, 0, true, INT64_MIN},
        {SPAN_INIT("-9223372036854775809"), false, 0, false, 0},
        {SPAN_INIT("1e99999999999999999999"), false, 0, false, 0},
        {SPAN_INIT("true"), false, 0, false, 0},
        {SPAN_INIT("\"1\""), false, 0, false, 0},
        {SPAN_INIT("null"), false, 0, false, 0},
        {SPAN_INIT("[1]"), false, 0, false, 0},
        {SPAN_INIT(""), false, 0, false, 0},
        {SPAN_INIT("-"), false, 0, false, 0},
        {SPAN_INIT("1."), false, 0, false, 0},
        {SPAN_INIT("1e"), false, 0, false, 0},
    };
    for (uint32_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        uint64_t u = 99;
        int64_t i = 99;
        if (json_u64(cases[k].text, &u) != cases[k].is_u || u != (cases[k].is_u ? cases[k].u : 99))
            fail_msg("u64 of %.*s", SPAN_ARG(cases[k].text));
        if (json_i64(cases[k].text, &i) != cases[k].is_i || i != (cases[k].is_i ? cases[k].i : 99))
            fail_msg("i64 of %.*s", SPAN_ARG(cases[k].text));
    }
}

static void test_numbers__doubles_are_correctly_rounded(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "1",
        "-1.5",
        "0.1",
        "0.2",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740992",
        "123456789012345678",
        "3.14159265358979323846",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "4.9e-324",
        "2e-324",
        "1e-400",
        "1.7976931348623157e308",
        "0.000001e30",
        "5e-22",
        "1e-22",
        "6.02214076e23",
        "-0.0012",
        "8.41e21",
        "9007199254740992.999999999999999999999999999999999999999999",
        "0.500000000000000166533453693773481063544750213623046875",
        "100000000000000016777215",
        "100000000000000016777216",
        "3.518437208883201171875e13",
        "0e500",
        "12345678901234567890123456789012345678901234567890e-30",
    };
    for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        double got = 0, want = strtod(texts[i], NULL);
        assert_true(json_double(span_str(texts[i]), &got));
        if (memcmp(&got, &want, sizeof(got)) != 0) fail_msg("%s: %a, not %a", texts[i], got, want);
    }
    struct prng r;
    prng_seed(&r, 3);
    for (int i = 0; i < 100000; i++) {
        char text[64];
        const uint64_t bits = prng_next(&r);
        double v, got = 0;
        memcpy(&v, &bits, sizeof(v));
        if (!isfinite(v)) continue;
        snprintf(text, sizeof(text), "%.*g", 1 + (int)prng_below(&r, 20), v);
        if (!isfinite(strtod(text, NULL))) continue;
        v = strtod(text, NULL);
        assert_true(json_double(span_str(text), &got));
        if (memcmp(&got, &v, sizeof(got)) != 0) fail_msg("%s: %a, not %a", text, got, v);
    }
}

static void assert_float(const char *number)
{
    char text[128];
    float got[2] = {0}, want = (float)strtod(number, NULL);
    uint32_t n = 0;
    snprintf(text, sizeof(text), "[ %s ,%s]", number, number);
    assert_true(json_floats(span_str(text), got, 2, &n));
    assert_int_equal(n, 2);
    if (memcmp(&got[0], &want, sizeof want) != 0 || memcmp(&got[1], &want, sizeof want) != 0)
        fail_msg("%s: %a, not %a", number, (double)got[0], (double)want);
}

// Also the middle between two floats, and what lies next to it on both sides.
static void test_floats__are_the_doubles_rounded_once_more(void **state)
{
    (void)state;
    static const char *const odd[] = {"0",
                                      "-0",
                                      "-0.0",
                                      "0e9",
                                      "1e-46",
                                      "1e-40",
                                      "-3.4e38",
                                      "16777217",
                                      "16777219",
                                      "0.1e1",
                                      "12345678901234567890123.5",
                                      "1E+2",
                                      "0.00000000000000000000000001"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) assert_float(odd[i]);
    struct prng r;
    prng_seed(&r, 5);
    for (int i = 0; i < 200000; i++) {
        char text[64];
        const uint32_t bits = (uint32_t)prng_next(&r);
        float f;
        memcpy(&f, &bits, sizeof f);
        if (!isfinite(f)) continue;
        double v = (double)f;
        if (i % 4 == 1) v = (v + (double)nextafterf(f, INFINITY)) / 2;
        if (i % 4 == 2) v = prng_below(&r, 2000000) / 1e6 - 1;
        if (i % 8 == 5) v = nextafter(v, 0);
        if (!(v > -3.4e38 && v < 3.4e38)) continue;
        snprintf(text, sizeof(text), "%.*g", 1 + (int)prng_below(&r, 20), v);
        assert_float(text);
    }
}

static void test_floats__what_is_no_vector(void **state)
{
    (void)state;
    static const char *const bad[] = {"1",      "{}",    "[\"1\"]", "[1,[2]]", "[null]",
                                      "[1e39]", "[1 2]", "[-]",     "["};
    float out[4];
    uint32_t n = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (json_floats(span_str(bad[i]), out, 4, &n)) fail_msg("%s", bad[i]);
    assert_true(json_floats(SPAN("[]"), out, 4, &n) && n == 0);
    assert_true(json_floats(SPAN("[1,2,3,4,5,6]"), out, 4, &n) && n == 6 && out[3] == 4);
}

static void test_numbers__doubles_of_very_many_digits(void **state)
{
    (void)state;
    static char text[5000];
    // Halfway between two doubles, and a digit far behind that decides.
    memset(text, '0', sizeof(text));
    memcpy(text, "9007199254740993.", 17);
    text[4000] = 0;
    double got = 0;
    assert_true(json_double(span_str(text), &got));
    assert_true(got == 9007199254740992.0);
    text[3999] = '1';
    assert_true(json_double(span_str(text), &got));
    assert_true(got == 9007199254740994.0);
    // Many digits in front of the point, and an exponent that brings them back.
    memset(text, '7', 3000);
    memcpy(text + 3000, "e-2999", 7);
    assert_true(json_double(span_str(text), &got));
    assert_true(got == 7.777777777777778);
    memset(text, '0', 3000);
    text[1] = '.';
    memcpy(text + 2999, "5e2998", 7);
    assert_true(json_double(span_str(text), &got));
    assert_true(got == 5);
    got = 3;
    assert_false(json_double(SPAN("1e309"), &got));
    assert_false(json_double(SPAN("-1e99999999999999999999"), &got));
    assert_false(json_double(SPAN("\"1\""), &got));
    assert_false(json_double(SPAN("true"), &got));
    assert_true(got == 3);
}

static void test_bool__only_true_and_false(void **state)
{
    (void)state;
    bool v = false;
    assert_true(json_bool(SPAN("true"), &v));
    assert_true(v);
    assert_true(json_bool(SPAN("false"), &v));
    assert_false(v);
    assert_false(json_bool(SPAN("null"), &v));
    assert_false(json_bool(SPAN("1"), &v));
    assert_false(json_bool(SPAN("\"true\""), &v));
}

static enum rw_err append(void *arg, struct span piece)
{
    struct span *const out = arg;
    memcpy((uint8_t *)(uintptr_t)out->p + out->n, piece.p, piece.n);
    out->n += piece.n;
    return RW_OK;
}

static const struct {
    struct span value, want;
    enum rw_err err; // with JSON_LONE_REFUSE
} strings[] = {
    {SPAN_INIT("\"\""), SPAN_INIT(""), RW_OK},
    {SPAN_INIT("\"plain\""), SPAN_INIT("plain"), RW_OK},
    {SPAN_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SPAN_INIT("\"\\/\b\f\n\r\t"), RW_OK},
    {SPAN_INIT("\"a\\u0041\\u00e4\\u6F22b\""),
     SPAN_INIT("aA\xc3\xa4\xe6\xbc\xa2"
               "b"),
     RW_OK},
    {SPAN_INIT("\"\\u0000\""), SPAN_INIT("\0"), RW_OK},
    {SPAN_INIT("\"\\ud83d\\ude00!\""), SPAN_INIT("\xf0\x9f\x98\x80!"), RW_OK},
    {SPAN_INIT("\"\\uD834\\uDD1E\\uDBFF\\uDFFF\""), SPAN_INIT("\xf0\x9d\x84\x9e\xf4\x8f\xbf\xbf"), RW_OK},
    {SPAN_INIT("\"x\\ud83dy\""), SPAN_INIT("x\xef\xbf\xbdy"), RW_E_BAD},
    {SPAN_INIT("\"\\ude00\\ud83d\""), SPAN_INIT("\xef\xbf\xbd\xef\xbf\xbd"), RW_E_BAD},
    {SPAN_INIT("\"\\ud83d\\u0041\""),
     SPAN_INIT("\xef\xbf\xbd"
               "A"),
     RW_E_BAD},
    {SPAN_INIT("\"\\ude00\\ude00\""), SPAN_INIT("\xef\xbf\xbd\xef\xbf\xbd"), RW_E_BAD},
    {SPAN_INIT("\"\\ud83d\\ud83d\\ude00\""), SPAN_INIT("\xef\xbf\xbd\xf0\x9f\x98\x80"), RW_E_BAD},
};

static void test_string__is_unescaped(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        uint8_t buf[64], each_buf[64];
        struct span got = SPAN("untouched"), each = {each_buf, 0};
        assert_int_equal(json_string(strings[i].value, JSON_LONE_REFUSE, buf, sizeof(buf), &got),
                         strings[i].err);
        if (strings[i].err == RW_OK) assert_span(got, strings[i].want);
        if (strings[i].err != RW_OK) assert_span(got, SPAN("untouched"));
        assert_int_equal(json_string_each(strings[i].value, JSON_LONE_REFUSE, append, &each), strings[i].err);
        if (strings[i].err == RW_OK) assert_span(each, strings[i].want);

        each.n = 0;
        assert_int_equal(json_string(strings[i].value, JSON_LONE_REPLACE, buf, sizeof(buf), &got), RW_OK);
        assert_span(got, strings[i].want);
        assert_int_equal(json_string_each(strings[i].value, JSON_LONE_REPLACE, append, &each), RW_OK);
        assert_span(each, strings[i].want);
        if (got.n != strings[i].value.n - 2) {
            // One byte too few, and exactly enough.
            assert_int_equal(json_string(strings[i].value, JSON_LONE_REPLACE, buf, got.n - 1, &got),
                             RW_E_TOO_LARGE);
            assert_int_equal(json_string(strings[i].value, JSON_LONE_REPLACE, buf, strings[i].want.n, &got),
                             RW_OK);
        } else {
            assert_int_equal(json_string(strings[i].value, JSON_LONE_REPLACE, NULL, 0, &got),
                             RW_OK); // in place
            assert_ptr_equal(got.p, strings[i].value.p + 1);
        }
    }
}

static void test_string__refuses_what_is_none(void **state)
{
    (void)state;
    static const struct span values[] = {
        SPAN_INIT("1"),         SPAN_INIT("null"),        SPAN_INIT("\""),
        SPAN_INIT(""),          SPAN_INIT("\"a"),         SPAN_INIT("\"\\x\""),
        SPAN_INIT("\"\\u12\""), SPAN_INIT("\"\\u12g4\""), SPAN_INIT("\"\\\"")};
    uint8_t buf[16];
    struct span got;
    for (uint32_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct span each = {buf, 0};
        assert_int_equal(json_string(values[i], JSON_LONE_REPLACE, buf, sizeof(buf), &got), RW_E_BAD);
        assert_int_equal(json_string_each(values[i], JSON_LONE_REPLACE, append, &each), RW_E_BAD);
    }
}

static enum rw_err refuse_second(void *arg, struct span piece)
{
    (void)piece;
    int *const calls = arg;
    return ++*calls == 2 ? RW_E_BUDGET : RW_OK;
}

static void test_string_each__hands_the_error_on(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(json_string_each(SPAN("\"a\\nb\\nc\""), JSON_LONE_REFUSE, refuse_second, &calls),
                     RW_E_BUDGET);
    assert_int_equal(calls, 2);
}

static void test_key_is__compares_unescaped(void **state)
{
    (void)state;
    assert_true(json_key_is(SPAN("model"), SPAN("model")));
    assert_true(json_key_is(SPAN("mod\\u0065l"), SPAN("model")));
    assert_true(json_key_is(SPAN("\\u006d\\u006f\\u0064\\u0065\\u006C"), SPAN("model")));
    assert_true(json_key_is(SPAN("a\\/b\\\\\\\""), SPAN("a/b\\\"")));
    assert_true(json_key_is(SPAN("\\u00e4\\ud83d\\ude00"), SPAN("\xc3\xa4\xf0\x9f\x98\x80")));
    assert_true(json_key_is(SPAN(""), SPAN("")));
    assert_false(json_key_is(SPAN("mod\\u0065"), SPAN("model")));
    assert_false(json_key_is(SPAN("mod\\u0065ls"), SPAN("model")));
    assert_false(json_key_is(SPAN("mod\\\\u0065l"), SPAN("model")));
    assert_false(json_key_is(SPAN("model\\u0000"), SPAN("model")));
    assert_false(json_key_is(SPAN("\\ud800"), SPAN("\xef\xbf\xbd")));
    assert_false(json_key_is(SPAN("\\u00e4"), SPAN("\xc3")));
}

// Everything of the reader, on bytes that were never validated.
static void walk(struct span value, uint32_t depth)
{
    uint8_t buf[256];
    struct span key, element, text;
    uint64_t u;
    int64_t i;
    double d;
    json_u64(value, &u);
    json_i64(value, &i);
    json_double(value, &d);
    if (json_string(value, JSON_LONE_REPLACE, buf, sizeof(buf), &text) == RW_OK)
        assert_true(text.n <= value.n);
    struct json_iter it = json_iter(value);
    while (json_next(&it, &key, &element)) {
        assert_true(element.p > value.p && element.p + element.n <= value.p + value.n);
        json_key_is(key, SPAN("model"));
        if (depth) walk(element, depth - 1);
    }
}

static void test_next__stays_inside_bytes_that_are_no_json(void **state)
{
    (void)state;
    const struct span text = SPAN("{\"a\\u0041\":[1,-2.5e10,\"x\\ud83d\\ude00\\\"\",{\"b\":null,\"c\":{}}],"
                                  "\"d\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
    struct guard g = guard_open(4096);
    for (uint32_t n = 0; n <= text.n; n++) walk(span_of(guard_put(&g, text.p, n), n), 8);
    struct prng r;
    prng_seed(&r, 4);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[200];
        memcpy(bytes, text.p, text.n);
        for (int k = 0; k < 4; k++)
            bytes[prng_below(&r, text.n)] = (uint8_t) "\"\\{}[]:,0e \xff"[prng_below(&r, 12)];
        walk(span_of(guard_put(&g, bytes, text.n), text.n), 8);
    }
    guard_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next__members_in_order),
        cmocka_unit_test(test_next__elements_have_no_key),
        cmocka_unit_test(test_next__nothing_in_empty_and_scalar_values),
        cmocka_unit_test(test_type__by_the_first_byte),
        cmocka_unit_test(test_path__finds_what_is_there),
        cmocka_unit_test(test_numbers__integers),
        cmocka_unit_test(test_numbers__doubles_are_correctly_rounded),
        cmocka_unit_test(test_numbers__doubles_of_very_many_digits),
        cmocka_unit_test(test_bool__only_true_and_false),
        cmocka_unit_test(test_string__is_unescaped),
        cmocka_unit_test(test_string__refuses_what_is_none),
        cmocka_unit_test(test_string_each__hands_the_error_on),
        cmocka_unit_test(test_floats__are_the_doubles_rounded_once_more),
        cmocka_unit_test(test_floats__what_is_no_vector),
        cmocka_unit_test(test_key_is__compares_unescaped),
        cmocka_unit_test(test_next__stays_inside_bytes_that_are_no_json),
    };
    return cmocka_run_group_tests_name("json_iter", tests, NULL, NULL);
}
