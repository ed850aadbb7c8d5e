// json_form: whatever came before, the result is the plain scan's. Known answers of one provider, where it must not
// need a scan any more and where it must; then random ones, each compared with json_scan() in everything that is public.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/json_form.h"

static const char *const paths[] = {"model", "usage",   "usage.in",        "usage.more", "usage.more.cached",
                                    "error", "choices", "choices[].finish"};
enum { MODEL, USAGE, IN, MORE, CACHED, ERROR, CHOICES, FINISH, FIELDS };

static struct json_fields fields, others;
static struct json_scan scan, plain;
static struct json_form form;

static void begin(void)
{
    memset(&form, 0, sizeof form);
}

static void assert_same(int got, int want)
{
    assert_int_equal(got, want);
    assert_int_equal(scan.bad, plain.bad);
    assert_int_equal(scan.pos, plain.pos);
    if (got <= 0) return;
    assert_int_equal(scan.top_object, plain.top_object);
    assert_int_equal(scan.top_empty, plain.top_empty);
    assert_int_equal(scan.top, plain.top);
    assert_int_equal(scan.close, plain.close);
    for (uint32_t f = 0; f < plain.fields->n; f++) {
        const struct json_value *v = &scan.value[f], *w = &plain.value[f];
        assert_int_equal(v->type, w->type);
        assert_int_equal(v->duplicate, w->duplicate);
        assert_int_equal(json_has_duplicates(&scan), json_has_duplicates(&plain));
        assert_int_equal(v->escaped, w->escaped);
        assert_int_equal(v->off, w->off);
        assert_int_equal(v->len, w->len);
        assert_int_equal(v->count, w->count);
    }
}

// Both ways. True: the form knew the text; a scan would have begun by clearing what is its own.
static bool step(struct span text)
{
    memset(&scan, 0xee, sizeof scan);
    const int got = json_form_scan(&form, &scan, &fields, text);
    assert_same(got, json_scan(&plain, &fields, JSON_TOP_OBJECT, text));
    return scan.seen == UINT64_C(0xeeeeeeeeeeeeeeee);
}

#define ANSWER(id, created, content, in, rest) \
    SPAN("{\"id\":\"" id "\",\"created\":" created ",\"model\":\"m\",\"choices\":[{\"content\":\"" content \
         "\",\"finish\":\"stop\"}],\"usage\":{\"in\":" in ",\"more\":{\"cached\":0}}" rest "}")

static void test_scan__answers_of_one_provider(void **state)
{
    (void)state;
    begin();
    assert_false(step(ANSWER("a1", "1700000000", "Yes.", "10", "")));
    assert_true(step(ANSWER("a1", "1700000000", "Yes.", "10", "")));
    assert_int_equal(form.holes, 0);
    assert_false(step(ANSWER("b22", "1700000001", "No, never.", "10", "")));
    assert_int_equal(form.holes, 3);
    assert_true(step(ANSWER("", "17e8", "\\n\\u00e4\\\"\xc3\xa4", "10", "")));
    assert_false(step(ANSWER("c", "1", "", "11", "")));
    assert_int_equal(form.holes, 4);
    assert_true(step(ANSWER("d", "-1.5e+3", "a text that is longer than the longest vector there is, by far",
                            "12345", "")));
    assert_int_equal(scan.value[IN].len, 5);
    // A hole stays one when the next text has what the first had.
    assert_true(step(ANSWER("a1", "1700000000", "Yes.", "10", "")));
}

static void test_scan__a_long_string_is_a_hole_at_once(void **state)
{
    (void)state;
    begin();
    assert_false(step(ANSWER("a", "1", "01234567890123456789012345678901x", "1", "")));
    assert_int_equal(form.holes, 1);
    assert_true(step(ANSWER("a", "1", "", "1", "")));
    assert_true(step(ANSWER("a", "1", "x", "1", "")));
    begin();
    step(ANSWER("a", "1", "01234567890123456789012345678901", "1", ""));
    assert_int_equal(form.holes, 0);
}

static void test_scan__fields_in_holes(void **state)
{
    (void)state;
    begin();
    step(SPAN("{\"model\":\"a\",\"usage\":{\"in\":1},\"choices\":[{\"finish\":\"x\"},{\"finish\":\"y\"}]}"));
    step(SPAN(
        "{\"model\":\"bb\",\"usage\":{\"in\":22},\"choices\":[{\"finish\":\"x\"},{\"finish\":\"zzz\"}]}"));
    assert_int_equal(form.holes, 3);
    assert_true(step(SPAN(
        "{\"model\":\"\\t\",\"usage\":{\"in\":333},\"choices\":[{\"finish\":\"x\"},{\"finish\":\"\"}]}")));
    assert_true(scan.value[MODEL].escaped);
    assert_false(scan.value[FINISH].escaped);
    assert_int_equal(scan.value[USAGE].len, 10);
}

static void test_scan__what_does_not_fit(void **state)
{
    (void)state;
    static const struct span wrong[] = {
        SPAN_INIT("{\"a\":\"1\",\"b\":2,\"c\":3} "),
        SPAN_INIT("{\"a\":\"1\",\"b\":2,\"c\":3"),
        SPAN_INIT("{\"a\":\"1\",\"b\":2,\"c\":33}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":\"2\",\"c\":3}"),
        SPAN_INIT("{\"a\":1,\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":-,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":01,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":1.,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":.5,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":1e,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":1e+,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":+1,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\n\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\\x\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\\u12\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\x80\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\xc3\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"\\\",\"b\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1"),
        SPAN_INIT("{\"a\":\"1\",\"b\":2"),
        SPAN_INIT("{\"a\":\"1\",\"b\""),
        SPAN_INIT("{\"a\":\"1\",\"B\":2,\"c\":3}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":2,\"c\":3}}"),
        SPAN_INIT("{\"a\":\"1\",\"b\":null,\"c\":3}"),
        SPAN_INIT("{}"),
        SPAN_INIT("[]"),
        SPAN_INIT(""),
    };
    for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        begin();
        step(SPAN("{\"a\":\"1\",\"b\":1,\"c\":3}"));
        step(SPAN("{\"a\":\"2\",\"b\":2,\"c\":3}"));
        assert_int_equal(form.holes, 2);
        assert_true(step(SPAN("{\"a\":\"\",\"b\":-0.5E-7,\"c\":3}")));
        assert_false(step(wrong[i]));
    }
}

static void test_scan__keys_are_no_holes(void **state)
{
    (void)state;
    begin();
    step(SPAN("{\"key1\" :1}"));
    step(SPAN("{\"key2\" :1}"));
    assert_int_equal(form.holes, 0);
    assert_false(step(SPAN("{\"model\" :1}")));
    assert_int_equal(scan.value[MODEL].type, JSON_NUMBER);
    begin();
    step(SPAN("{\"a key of more bytes than a string may have that is not a hole at once, which it must not "
              "be\":1}"));
    assert_int_equal(form.holes, 0);
    assert_int_not_equal(form.n, 0);
}

static void test_scan__duplicates_are_not_remembered(void **state)
{
    (void)state;
    begin();
    step(SPAN("{\"model\":1,\"model\":2}"));
    assert_int_equal(form.n, 0);
    step(SPAN("{\"model\":1,\"model\":2}"));
    assert_true(scan.value[MODEL].duplicate);
}

static void test_scan__other_fields(void **state)
{
    (void)state;
    begin();
    const struct span text = SPAN("{\"model\":\"m\",\"x\":1}");
    step(text);
    assert_true(step(text));
    assert_int_equal(json_form_scan(&form, &scan, &others, text), 1);
    assert_int_equal(scan.value[0].type, JSON_NUMBER);
    assert_int_equal(json_form_scan(&form, &scan, &others, text), 1);
    assert_int_equal(scan.value[0].off, 17);
}

// In the long run no more than one text in JSON_FORM_LEARN_COST is learnt from.
static void test_scan__learns_less_often_when_nothing_fits(void **state)
{
    (void)state;
    begin();
    uint32_t learnt = 0;
    for (uint32_t i = 0; i < 3200; i++) {
        char text[40];
        const uint32_t n = (uint32_t)snprintf(text, sizeof(text), "{\"k%u\":1}", i);
        assert_false(step(span_of(text, n)));
        learnt += form.n == n && memcmp(form.text, text, n) == 0;
    }
    assert_in_range(learnt, 3200 / JSON_FORM_LEARN_COST, 3200 / JSON_FORM_LEARN_COST + 10);
    // And soon again.
    bool fitted = false;
    for (uint32_t i = 0; i < 2 * JSON_FORM_LEARN_COST && !fitted; i++) fitted = step(SPAN("{\"z\":0}"));
    assert_true(fitted);
}

static void test_scan__limits(void **state)
{
    (void)state;
    static uint8_t text[JSON_FORM_BYTES_MAX + 1];
    begin();
    memset(text, ' ', sizeof(text));
    text[0] = '{';
    text[JSON_FORM_BYTES_MAX] = '}';
    assert_false(step(span_of(text, JSON_FORM_BYTES_MAX + 1)));
    assert_int_equal(form.n, 0);
    text[JSON_FORM_BYTES_MAX - 1] = '}';
    assert_false(step(span_of(text, JSON_FORM_BYTES_MAX)));
    assert_true(step(span_of(text, JSON_FORM_BYTES_MAX)));
    // More values change than there may be holes: remembered as it is.
    begin();
    step(SPAN("{\"a\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"));
    step(SPAN("{\"a\":[2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2]}"));
    assert_int_equal(form.holes, 0);
    step(SPAN("{\"a\":[3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,2]}"));
    assert_int_equal(form.holes, JSON_FORM_HOLES_MAX);
    assert_true(step(SPAN("{\"a\":[10,9,8,7,6,5,4,3,2,1,0,1,2,3,4,5,2]}")));
}

// --- Random answers.

static uint32_t value(struct prng *r, char kind, uint8_t *out)
{
    static const struct span strings[] = {
        SPAN_INIT("a"),
        SPAN_INIT("b"),
        SPAN_INIT("stop"),
        SPAN_INIT(""),
        SPAN_INIT("\\n"),
        SPAN_INIT("\\u00e4"),
        SPAN_INIT("\\\""),
        SPAN_INIT("\xc3\xa4"),
        SPAN_INIT("\xf0\x9f\x98\x80"),
        SPAN_INIT("\\ud800"),
        SPAN_INIT("a string that is longer than thirty-two bytes, so that it is a hole at once"),
        SPAN_INIT("\""),
        SPAN_INIT("\x80"),
        SPAN_INIT("\n"),
        SPAN_INIT("\\"),
        SPAN_INIT("\\x")};
    static const struct span numbers[] = {
        SPAN_INIT("0"),    SPAN_INIT("1"),    SPAN_INIT("-12"),  SPAN_INIT("1.5"),
        SPAN_INIT("1e9"),  SPAN_INIT("17"),   SPAN_INIT("2E-3"), SPAN_INIT("null"),
        SPAN_INIT("true"), SPAN_INIT("\"\""), SPAN_INIT("01"),   SPAN_INIT("-"),
        SPAN_INIT("1."),   SPAN_INIT(""),     SPAN_INIT("1e"),   SPAN_INIT("+1")};
    const uint32_t sorts = prng_below(r, 20) ? 11 : 16; // the last ones are wrong
    uint32_t n = 0;
    for (uint32_t k = kind == '#' || prng_below(r, 5) ? 1 : prng_below(r, 4); k > 0; k--) {
        const uint32_t which =
            prng_below(r, 3) ? 0 : prng_below(r, kind == '#' && prng_below(r, 4) ? 7 : sorts);
        const struct span piece = kind == '#' ? numbers[which] : strings[which];
        memcpy(out + n, piece.p, piece.n);
        n += piece.n;
    }
    return n;
}

static uint32_t make(struct prng *r, uint8_t *out)
{
    static const struct span shapes[] = {
        SPAN_INIT("{\"id\":\"%\",\"model\":\"%\",\"choices\":[{\"index\":#,\"message\":{\"content\":\"%\"},"
                  "\"finish\":"
                  "\"%\"}],\"usage\":{\"in\":#,\"more\":{\"cached\":#}}}"),
        SPAN_INIT("{\"choices\":[{\"finish\":\"%\"},{\"finish\":\"%\",\"x\":#}], \"usage\" : {\"in\":#} "
                  ",\"error\":#}"),
        SPAN_INIT(" {\"model\":\"%\",\"u\":[#,#,{\"%\":#}],\"usage\":{\"more\":{}},\"choices\":[] , "
                  "\"mod\\u0065l2\":\"%\"}"),
        SPAN_INIT("{\"model\":\"%\", \"\\u006dodel\":\"%\"}"),
    };
    const struct span shape = shapes[prng_below(r, 10) ? 0 : prng_below(r, 4)];
    uint32_t n = 0;
    for (uint32_t i = 0; i < shape.n; i++) {
        if (shape.p[i] == '%' || shape.p[i] == '#') n += value(r, (char)shape.p[i], out + n);
        else out[n++] = shape.p[i];
    }
    if (prng_below(r, 100) == 0) n -= prng_below(r, n);
    return n;
}

static void test_scan__random_answers(void **state)
{
    (void)state;
    struct prng r;
    struct guard g = guard_open(8192);
    uint32_t fitted = 0, with_holes = 0;
    prng_seed(&r, 11);
    begin();
    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t bytes[4000];
        if (prng_below(&r, 300) == 0) begin();
        const uint32_t n = make(&r, bytes);
        if (!step(span_of(guard_put(&g, bytes, n), n))) continue;
        fitted++;
        with_holes += form.holes > 0;
    }
    guard_close(&g);
    assert_in_range(fitted, 20000, 190000);
    assert_in_range(with_holes, 10000, 190000);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const other_paths[] = {"x"};
    json_fields_make(&fields, paths, FIELDS);
    json_fields_make(&others, other_paths, 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan__answers_of_one_provider),
        cmocka_unit_test(test_scan__a_long_string_is_a_hole_at_once),
        cmocka_unit_test(test_scan__fields_in_holes),
        cmocka_unit_test(test_scan__what_does_not_fit),
        cmocka_unit_test(test_scan__keys_are_no_holes),
        cmocka_unit_test(test_scan__duplicates_are_not_remembered),
        cmocka_unit_test(test_scan__other_fields),
        cmocka_unit_test(test_scan__learns_less_often_when_nothing_fits),
        cmocka_unit_test(test_scan__limits),
        cmocka_unit_test(test_scan__random_answers),
    };
    return cmocka_run_group_tests_name("json_form", tests, set_up, NULL);
}
