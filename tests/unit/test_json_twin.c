// json_twin: streams of known events, where it must recognise and where it must not; then random ones,
// where everything it recognises is scanned as well and must be valid and say the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tests/lib/json_naive.h"
#include "wire/json_twin.h"

static const char *const paths[] = {"usage", "error", "choices", "choices[].finish_reason", "model"};
enum { USAGE, ERROR, CHOICES, FINISH, MODEL, FIELDS };

static struct json_fields fields;
static struct json_scan scan, last;
static struct json_twin twin;

static void begin(void)
{
    twin.n = 0;
    twin.holes = 0;
    twin.misses = 0;
}

// What a user of a twin does. True: recognised.
static bool step(struct span text)
{
    if (json_twin_is(&twin, text)) return true;
    if (json_scan(&scan, &fields, JSON_TOP_OBJECT, text) == 1) json_twin_learn(&twin, &scan, text);
    return false;
}

#define CHUNK(content, reason, more) \
    SPAN("{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" content \
         "\"},\"finish_reason\":" reason "}]" more "}")

static void test_is__nothing_before_something_was_learnt(void **state)
{
    (void)state;
    begin();
    assert_false(json_twin_is(&twin, SPAN("{}")));
    assert_false(json_twin_is(&twin, SPAN("")));
}

static void test_is__the_words_of_a_stream(void **state)
{
    (void)state;
    begin();
    assert_false(step(CHUNK("Once", "null", "")));
    assert_true(step(CHUNK("Once", "null", "")));
    assert_false(step(CHUNK(" upon", "null", ""))); // a hole now
    assert_true(step(CHUNK(" a", "null", "")));
    assert_true(step(CHUNK("", "null", "")));
    assert_true(step(CHUNK("\\n\\\"\\u00e4\\\\", "null", "")));
    assert_true(step(CHUNK("\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x98\x80", "null", "")));
    assert_true(step(
        CHUNK("a longer piece of text, longer than a vector, longer than two vectors, even", "null", "")));
    assert_false(step(CHUNK(".", "\"stop\"", "")));
    assert_int_equal(scan.value[FINISH].type, JSON_STRING);
}

static void test_is__two_strings_that_change(void **state)
{
    (void)state;
    begin();
    assert_false(step(CHUNK("a", "null", ",\"obfuscation\":\"x\"")));
    assert_false(step(CHUNK("b", "null", ",\"obfuscation\":\"x\"")));
    assert_false(step(CHUNK("c", "null", ",\"obfuscation\":\"yy\"")));
    assert_true(step(CHUNK("d", "null", ",\"obfuscation\":\"z\"")));
    assert_true(step(CHUNK("b", "null", ",\"obfuscation\":\"\"")));
    assert_int_equal(twin.holes, 2);
}

static void test_learn__a_hole_stays_one(void **state)
{
    (void)state;
    begin();
    step(CHUNK("a", "null", ",\"obfuscation\":\"x\""));
    step(CHUNK("b", "null", ",\"obfuscation\":\"x\""));
    assert_false(step(CHUNK("b", "null", ",\"obfuscation\":\"yy\"")));
    assert_true(step(CHUNK("c", "null", ",\"obfuscation\":\"z\"")));
}

static void test_is__not_what_differs_outside_of_strings(void **state)
{
    (void)state;
    static const struct span others[] = {
        SPAN_INIT("{\"a\":\"1\",\"b\":2}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":1} "),
        SPAN_INIT("{\"a\":\"1\",\"b\":1"),
        SPAN_INIT("{\"a\":\"1\",\"b\":12}"),
        SPAN_INIT("{\"a\":\"1\",\"c\":1}"),
        SPAN_INIT("{\"A\":\"1\",\"b\":1}"),
        SPAN_INIT("{\"a\":\"1"),
        SPAN_INIT("{\"a\":\""),
        SPAN_INIT("{\"a\":\"1\\"),
        SPAN_INIT("{\"a\":null,\"b\":1}"),
        SPAN_INIT(""),
        SPAN_INIT("{\"a\":\"1\",\"b\":1}}"),
        SPAN_INIT("{\"a\" :\"1\",\"b\":1}"),
    };
    for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        begin();
        step(SPAN("{\"a\":\"1\",\"b\":1}"));
        step(SPAN("{\"a\":\"2\",\"b\":1}"));
        assert_true(json_twin_is(&twin, SPAN("{\"a\":\"\",\"b\":1}")));
        assert_false(json_twin_is(&twin, others[i]));
    }
}

static void test_is__not_what_is_wrong_inside_a_hole(void **state)
{
    (void)state;
    static const struct span bad[] = {SPAN_INIT("\n"),      SPAN_INIT("\0"),       SPAN_INIT("\x1f"),
                                      SPAN_INIT("\\x"),     SPAN_INIT("\\"),       SPAN_INIT("\\u12"),
                                      SPAN_INIT("\\u12g4"), SPAN_INIT("\\u123g"),  SPAN_INIT("\x80"),
                                      SPAN_INIT("\xc3"),    SPAN_INIT("\xe6\xbc"), SPAN_INIT("\xed\xa0\x80"),
                                      SPAN_INIT("\","),     SPAN_INIT("\"")};
    begin();
    step(SPAN("{\"a\":\"1\",\"b\":1}"));
    step(SPAN("{\"a\":\"2\",\"b\":1}"));
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (uint32_t lead = 0; lead < 70; lead += 23) {
            uint8_t text[200];
            memcpy(text, "{\"a\":\"", 6);
            memset(text + 6, 'x', lead);
            memcpy(text + 6 + lead, bad[i].p, bad[i].n);
            memcpy(text + 6 + lead + bad[i].n, "\",\"b\":1}", 8);
            assert_false(json_twin_is(&twin, span_of(text, 14 + lead + bad[i].n)));
        }
}

static void test_learn__values_of_fields_and_keys_are_no_holes(void **state)
{
    (void)state;
    begin();
    step(SPAN("{\"model\":\"a\",\"x\":1}"));
    step(SPAN("{\"model\":\"b\",\"x\":1}"));
    assert_int_equal(twin.holes, 0);
    assert_false(json_twin_is(&twin, SPAN("{\"model\":\"c\",\"x\":1}")));
    assert_true(json_twin_is(&twin, SPAN("{\"model\":\"b\",\"x\":1}")));
    begin();
    step(SPAN("{\"key1\" :1}"));
    step(SPAN("{\"key2\" :1}"));
    assert_int_equal(twin.holes, 0);
    assert_false(json_twin_is(&twin, SPAN("{\"key3\" :1}")));
}

static void test_learn__less_often_when_nothing_matches(void **state)
{
    (void)state;
    begin();
    uint32_t learnt = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        char text[40];
        const uint32_t n = (uint32_t)snprintf(text, sizeof(text), "{\"n\":%u}", i);
        assert_false(step(span_of(text, n)));
        learnt += twin.n == n && memcmp(twin.text, text, n) == 0;
    }
    assert_in_range(learnt, 8, 12);
}

static void test_learn__limits(void **state)
{
    (void)state;
    static uint8_t text[JSON_TWIN_BYTES_MAX + 1];
    begin();
    memset(text, ' ', sizeof(text));
    text[0] = '{';
    text[JSON_TWIN_BYTES_MAX] = '}';
    assert_false(step(span_of(text, JSON_TWIN_BYTES_MAX + 1)));
    assert_int_equal(twin.n, 0);
    text[JSON_TWIN_BYTES_MAX - 1] = '}';
    assert_false(step(span_of(text, JSON_TWIN_BYTES_MAX)));
    assert_true(step(span_of(text, JSON_TWIN_BYTES_MAX)));
    // More strings change than there may be holes: remembered as it is.
    begin();
    step(SPAN("[]"));
    step(SPAN("{\"a\":[\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\"]}"));
    step(SPAN("{\"a\":[\"2\",\"2\",\"2\",\"2\",\"2\",\"2\",\"2\"]}"));
    assert_int_equal(twin.holes, 0);
    assert_true(step(SPAN("{\"a\":[\"2\",\"2\",\"2\",\"2\",\"2\",\"2\",\"2\"]}")));
    step(SPAN("{\"a\":[\"3\",\"3\",\"3\",\"3\",\"3\",\"3\",\"2\"]}"));
    assert_int_equal(twin.holes, JSON_TWIN_HOLES_MAX);
    assert_true(step(SPAN("{\"a\":[\"4\",\"5\",\"\",\"777\",\"8\",\"9\",\"2\"]}")));
}

// --- Random streams.

static const struct span shapes[] = {
    SPAN_INIT(
        "{\"id\":\"%\",\"choices\":[{\"delta\":{\"content\":\"%\"},\"finish_reason\":null}],\"usage\":null}"),
    SPAN_INIT("{\"id\":\"%\",\"choices\":[{\"delta\":{\"content\":\"%\"},\"finish_reason\":\"%\"}],\"usage\":"
              "null}"),
    SPAN_INIT("{\"id\" : \"%\" , \"model\":\"%\", \"%\":\"%\", \"x\":[\"%\",{\"%\":1}]}"),
};

static uint32_t make(struct prng *r, struct span shape, uint8_t *out)
{
    static const struct span pieces[] = {
        SPAN_INIT("a"),    SPAN_INIT("b"),       SPAN_INIT("word"),
        SPAN_INIT("\\n"),  SPAN_INIT("\\u00e4"), SPAN_INIT("\xc3\xa4"),
        SPAN_INIT("\\\\"), SPAN_INIT("\\\""),    SPAN_INIT("\xf0\x9f\x98\x80"),
        SPAN_INIT(""),     SPAN_INIT("id"),      SPAN_INIT("usage"),
        SPAN_INIT("\""),   SPAN_INIT("\x80"),    SPAN_INIT("\n"),
        SPAN_INIT("\\")};
    const uint32_t sorts = prng_below(r, 8) ? 12 : 16; // the last ones are wrong
    uint32_t n = 0;
    for (uint32_t i = 0; i < shape.n; i++) {
        if (shape.p[i] != '%') {
            out[n++] = shape.p[i];
            continue;
        }
        for (uint32_t k = prng_below(r, 5) ? 1 : prng_below(r, 4); k > 0; k--) {
            const struct span piece = pieces[prng_below(r, 5) ? 0 : prng_below(r, sorts)];
            memcpy(out + n, piece.p, piece.n);
            n += piece.n;
        }
    }
    if (prng_below(r, 50) == 0) n -= prng_below(r, n);
    return n;
}

static void test_is__only_what_a_scan_says_too(void **state)
{
    (void)state;
    static uint8_t remembered[1000];
    struct prng r;
    struct guard g = guard_open(4096);
    struct span shape = shapes[0];
    uint32_t hits = 0, with_holes = 0, remembered_n = 0;
    prng_seed(&r, 9);
    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t bytes[1000];
        if (prng_below(&r, 40) == 0) {
            begin();
            shape = shapes[prng_below(&r, 3)];
        }
        const uint32_t n = make(&r, shape, bytes);
        const struct span text = span_of(guard_put(&g, bytes, n), n);
        if (json_twin_is(&twin, text)) {
            if (!naive_json(text.p, text.n, JSON_DEPTH_MAX)) fail_msg("%.*s", SPAN_ARG(text));
            assert_int_equal(json_scan(&scan, &fields, JSON_TOP_OBJECT, text), 1);
            assert_int_equal(json_scan(&last, &fields, JSON_TOP_OBJECT, span_of(remembered, remembered_n)),
                             1);
            for (uint32_t f = 0; f < FIELDS; f++) {
                const struct json_value *v = &scan.value[f], *w = &last.value[f];
                assert_true(v->type == w->type && v->count == w->count && v->duplicate == w->duplicate);
                if (v->type != JSON_ABSENT && v->type < JSON_ARRAY)
                    assert_true(span_eq(json_text(text.p, v), json_text(remembered, w)));
            }
            hits++;
            with_holes += twin.holes > 0;
        } else if (json_scan(&scan, &fields, JSON_TOP_OBJECT, text) == 1) {
            json_twin_learn(&twin, &scan, text);
            remembered_n = twin.n;
            memcpy(remembered, twin.text, twin.n);
        }
    }
    guard_close(&g);
    assert_in_range(hits, 20000, 190000);
    assert_in_range(with_holes, 10000, 190000);
}

static int set_up(void **state)
{
    (void)state;
    json_fields_make(&fields, paths, FIELDS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is__nothing_before_something_was_learnt),
        cmocka_unit_test(test_is__the_words_of_a_stream),
        cmocka_unit_test(test_is__two_strings_that_change),
        cmocka_unit_test(test_learn__a_hole_stays_one),
        cmocka_unit_test(test_is__not_what_differs_outside_of_strings),
        cmocka_unit_test(test_is__not_what_is_wrong_inside_a_hole),
        cmocka_unit_test(test_learn__values_of_fields_and_keys_are_no_holes),
        cmocka_unit_test(test_learn__less_often_when_nothing_matches),
        cmocka_unit_test(test_learn__limits),
        cmocka_unit_test(test_is__only_what_a_scan_says_too),
    };
    return cmocka_run_group_tests_name("json_twin", tests, set_up, NULL);
}
