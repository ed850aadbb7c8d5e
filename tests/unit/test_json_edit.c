// json_edit: the gather list is copied together and compared with the text that was wanted, or with a naive
// application of the edits; what came out must be valid JSON and say what was set.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/json_naive.h"
#include "wire/json_edit.h"

static const char *const paths[] = {"model", "stream_options", "stream_options.include_usage", "stream"};
enum { MODEL, OPTIONS, INCLUDE_USAGE, STREAM };

static struct json_fields fields;
static struct json_scan scan;
static struct json_edits edits;
static uint8_t out[4096];

static void begin(struct span body)
{
    assert_int_equal(json_scan(&scan, &fields, JSON_TOP_OBJECT, body), 1);
    json_edits_init(&edits, body, &scan);
}

static struct span gathered(void)
{
    struct iovec iov[JSON_EDIT_IOV_MAX];
    uint32_t n = 0, bytes = 0, sum = 0;
    assert_int_equal(json_edits_gather(&edits, iov, JSON_EDIT_IOV_MAX, &n, &bytes), RW_OK);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(iov[i].iov_len > 0 && sum + iov[i].iov_len <= sizeof(out));
        memcpy(out + sum, iov[i].iov_base, iov[i].iov_len);
        sum += (uint32_t)iov[i].iov_len;
    }
    assert_int_equal(sum, bytes);
    return span_of(out, sum);
}

static void assert_gathered(struct span want)
{
    const struct span got = gathered();
    if (!span_eq(got, want)) fail_msg("%.*s, not %.*s", SPAN_ARG(got), SPAN_ARG(want));
}

static void test_gather__without_edits_is_the_body(void **state)
{
    (void)state;
    begin(SPAN("{\"a\":1}"));
    assert_gathered(SPAN("{\"a\":1}"));
    json_edits_init(&edits, SPAN(""), NULL);
    assert_gathered(SPAN(""));
}

static void test_replace__keeps_all_other_bytes(void **state)
{
    (void)state;
    begin(SPAN("{ \"x\":0.50, \"model\" : \"alias\" ,\"messages\":[ ] }\n"));
    json_edits_replace(&edits, &scan.value[MODEL], SPAN("\"gpt-4o-mini\""));
    assert_gathered(SPAN("{ \"x\":0.50, \"model\" : \"gpt-4o-mini\" ,\"messages\":[ ] }\n"));
}

static void test_set__replaces_or_inserts(void **state)
{
    (void)state;
    static const struct {
        struct span body, want;
    } cases[] = {
        {SPAN_INIT("{\"model\":\"a\"}"), SPAN_INIT("{\"model\":\"b\"}")},
        {SPAN_INIT("{\"a\":1}"), SPAN_INIT("{\"model\":\"b\",\"a\":1}")},
        {SPAN_INIT("{ \"a\":1}"), SPAN_INIT("{\"model\":\"b\", \"a\":1}")},
        {SPAN_INIT("{}"), SPAN_INIT("{\"model\":\"b\"}")},
        {SPAN_INIT(" { } "), SPAN_INIT(" {\"model\":\"b\" } ")},
        {SPAN_INIT("{\"model\":[1,{}],\"a\":1}"), SPAN_INIT("{\"model\":\"b\",\"a\":1}")},
        {SPAN_INIT("{\"model\":null}"), SPAN_INIT("{\"model\":\"b\"}")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(cases[i].body);
        json_edits_set(&edits, &scan.value[MODEL], SPAN("model"), SPAN("\"b\""));
        assert_gathered(cases[i].want);
    }
}

static void test_set__several_into_an_empty_object(void **state)
{
    (void)state;
    begin(SPAN("{ }"));
    json_edits_set(&edits, &scan.value[MODEL], SPAN("model"), SPAN("\"b\""));
    json_edits_set(&edits, &scan.value[STREAM], SPAN("stream"), SPAN("true"));
    assert_int_equal(json_edits_set_in(&edits, &scan.value[OPTIONS], SPAN("stream_options"),
                                       &scan.value[INCLUDE_USAGE], SPAN("include_usage"), SPAN("true")),
                     RW_OK);
    assert_gathered(SPAN("{\"model\":\"b\",\"stream\":true,\"stream_options\":{\"include_usage\":true} }"));
    begin(SPAN("{\"x\":1}"));
    json_edits_set(&edits, &scan.value[MODEL], SPAN("model"), SPAN("\"b\""));
    json_edits_set(&edits, &scan.value[STREAM], SPAN("stream"), SPAN("true"));
    assert_gathered(SPAN("{\"model\":\"b\",\"stream\":true,\"x\":1}"));
}

static void test_set_in__include_usage_in_every_state(void **state)
{
    (void)state;
    static const struct {
        struct span body, want;
    } cases[] = {
        {SPAN_INIT("{\"stream\":true}"),
         SPAN_INIT("{\"stream_options\":{\"include_usage\":true},\"stream\":true}")},
        {SPAN_INIT("{}"), SPAN_INIT("{\"stream_options\":{\"include_usage\":true}}")},
        {SPAN_INIT("{\"stream_options\":null}"), SPAN_INIT("{\"stream_options\":{\"include_usage\":true}}")},
        {SPAN_INIT("{\"stream_options\":{}}"), SPAN_INIT("{\"stream_options\":{\"include_usage\":true}}")},
        {SPAN_INIT("{\"stream_options\":{ }}"), SPAN_INIT("{\"stream_options\":{\"include_usage\":true }}")},
        {SPAN_INIT("{\"stream_options\":{\"x\":1},\"a\":2}"),
         SPAN_INIT("{\"stream_options\":{\"include_usage\":true,\"x\":1},\"a\":2}")},
        {SPAN_INIT("{\"stream_options\":{\"include_usage\":false,\"x\":1}}"),
         SPAN_INIT("{\"stream_options\":{\"include_usage\":true,\"x\":1}}")},
        {SPAN_INIT("{\"stream_options\":{\"include_usage\":null}}"),
         SPAN_INIT("{\"stream_options\":{\"include_usage\":true}}")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(cases[i].body);
        assert_int_equal(json_edits_set_in(&edits, &scan.value[OPTIONS], SPAN("stream_options"),
                                           &scan.value[INCLUDE_USAGE], SPAN("include_usage"), SPAN("true")),
                         RW_OK);
        assert_gathered(cases[i].want);
    }
}

static void test_set_in__refuses_another_type(void **state)
{
    (void)state;
    static const struct span bodies[] = {
        SPAN_INIT("{\"stream_options\":[]}"), SPAN_INIT("{\"stream_options\":true}"),
        SPAN_INIT("{\"stream_options\":\"x\"}"), SPAN_INIT("{\"stream_options\":1}")};
    for (uint32_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        begin(bodies[i]);
        assert_int_equal(json_edits_set_in(&edits, &scan.value[OPTIONS], SPAN("stream_options"),
                                           &scan.value[INCLUDE_USAGE], SPAN("include_usage"), SPAN("true")),
                         RW_E_BAD);
        assert_gathered(bodies[i]);
    }
}

static void test_set__long_values_are_pointed_at(void **state)
{
    (void)state;
    static uint8_t value[2000];
    memset(value, 'v', sizeof(value));
    value[0] = value[sizeof(value) - 1] = '"';
    static const struct span bodies[] = {
        SPAN_INIT("{\"a\":1}"), SPAN_INIT("{}"), SPAN_INIT("{\"stream_options\":null}"),
        SPAN_INIT("{\"stream_options\":{}}"), SPAN_INIT("{\"stream_options\":{\"y\":1}}")};
    for (uint32_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        begin(bodies[i]);
        json_edits_set(&edits, &scan.value[MODEL], SPAN("model"), span_of(value, sizeof(value)));
        assert_int_equal(json_edits_set_in(&edits, &scan.value[OPTIONS], SPAN("stream_options"),
                                           &scan.value[INCLUDE_USAGE], SPAN("include_usage"),
                                           span_of(value, sizeof(value))),
                         RW_OK);
        const struct span got = gathered();
        struct span found;
        assert_true(naive_json(got.p, got.n, 10));
        assert_true(json_path(got, "model", &found) && span_eq(found, span_of(value, sizeof(value))));
        assert_true(json_path(got, "stream_options.include_usage", &found) &&
                    span_eq(found, span_of(value, sizeof(value))));
        struct iovec iov[JSON_EDIT_IOV_MAX];
        uint32_t n, bytes, pointed = 0;
        assert_int_equal(json_edits_gather(&edits, iov, JSON_EDIT_IOV_MAX, &n, &bytes), RW_OK);
        for (uint32_t k = 0; k < n; k++) pointed += iov[k].iov_base == value;
        assert_int_equal(pointed, 2);
    }
}

static void test_add__order_does_not_matter_but_at_one_place(void **state)
{
    (void)state;
    json_edits_init(&edits, SPAN("0123456789"), NULL);
    json_edits_add(&edits, 8, 1, SPAN("H"));
    json_edits_add(&edits, 2, 2, SPAN("replaced"));
    json_edits_add(&edits, 0, 0, SPAN("<"));
    json_edits_add(&edits, 10, 0, SPAN(">"));
    json_edits_add(&edits, 2, 0, SPAN("first "));
    json_edits_add(&edits, 4, 0, SPAN("a"));
    json_edits_add(&edits, 4, 0, SPAN("b"));
    json_edits_add(&edits, 5, 2, SPAN(""));
    assert_gathered(SPAN("<01first replacedab47H9>"));
}

static enum rw_err gather_err(uint32_t cap)
{
    struct iovec iov[JSON_EDIT_IOV_MAX];
    uint32_t n = 77, bytes = 77;
    const enum rw_err err = json_edits_gather(&edits, iov, cap, &n, &bytes);
    if (err) assert_true(n == 77 && bytes == 77);
    return err;
}

static void test_gather__refuses_overlaps_and_places_outside(void **state)
{
    (void)state;
    static const struct {
        uint32_t off[2], len[2];
    } cases[] = {
        {{2, 3}, {2, 2}}, {{2, 2}, {1, 1}},          {{2, 3}, {4, 0}},          {{0, 11}, {0, 0}},
        {{0, 5}, {0, 6}}, {{0, 5}, {0, UINT32_MAX}}, {{0, UINT32_MAX}, {0, 2}},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (uint32_t turn = 0; turn < 2; turn++) {
            json_edits_init(&edits, SPAN("0123456789"), NULL);
            json_edits_add(&edits, cases[i].off[turn], cases[i].len[turn], SPAN("x"));
            json_edits_add(&edits, cases[i].off[!turn], cases[i].len[!turn], SPAN("y"));
            assert_int_equal(gather_err(JSON_EDIT_IOV_MAX), RW_E_BAD);
        }
}

static void test_gather__refuses_what_does_not_fit(void **state)
{
    (void)state;
    json_edits_init(&edits, SPAN("0123456789"), NULL);
    for (uint32_t i = 0; i < JSON_EDITS_MAX; i++) json_edits_add(&edits, i / 2, 0, SPAN("x"));
    assert_int_equal(gather_err(JSON_EDIT_IOV_MAX), RW_OK);
    assert_int_equal(gather_err(3), RW_E_TOO_LARGE);
    json_edits_add(&edits, 9, 0, SPAN("x"));
    assert_int_equal(gather_err(JSON_EDIT_IOV_MAX), RW_E_TOO_LARGE);

    static uint8_t key[JSON_EDIT_SCRATCH_BYTES];
    memset(key, 'k', sizeof(key));
    begin(SPAN("{}"));
    json_edits_set(&edits, &scan.value[MODEL], span_of(key, sizeof(key)), SPAN("1"));
    assert_int_equal(gather_err(JSON_EDIT_IOV_MAX), RW_E_TOO_LARGE);

    // Pieces of 800 MB each, which nobody reads.
    json_edits_init(&edits, SPAN("{}"), NULL);
    for (uint32_t i = 0; i < JSON_EDITS_MAX; i++) json_edits_add(&edits, 1, 0, span_of(key, 800000000));
    assert_int_equal(gather_err(JSON_EDIT_IOV_MAX), RW_E_TOO_LARGE);
}

static void test_gather__random_edits_equal_naive_ones(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 5);
    for (int round = 0; round < 20000; round++) {
        uint8_t body[64], want[600];
        const uint32_t n = prng_below(&r, sizeof(body) + 1), count = prng_below(&r, 8);
        for (uint32_t i = 0; i < n; i++) body[i] = (uint8_t)('a' + i % 26);
        // Places that do not overlap, from left to right; then given in a random order.
        struct json_edit list[8];
        uint32_t at = 0, used = 0, want_n = 0;
        for (uint32_t i = 0; i < count && at < n; i++) {
            const uint32_t off = at + prng_below(&r, n - at + 1), len = prng_below(&r, n - off + 1) / 2;
            static const struct span with[] = {SPAN_INIT(""), SPAN_INIT("X"), SPAN_INIT("LONGER")};
            list[used++] = (struct json_edit){off, len, with[prng_below(&r, 3)]};
            memcpy(want + want_n, body + at, off - at);
            want_n += off - at;
            memcpy(want + want_n, list[used - 1].with.p, list[used - 1].with.n);
            want_n += list[used - 1].with.n;
            at = off + len + (len == 0);
            if (len == 0 && at <= n && off < n) want[want_n++] = body[off];
            if (at > n) at = n;
        }
        memcpy(want + want_n, body + at, n - at);
        want_n += n - at;
        json_edits_init(&edits, span_of(body, n), NULL);
        for (; used > 0; used--) {
            const uint32_t k = prng_below(&r, used);
            json_edits_add(&edits, list[k].off, list[k].len, list[k].with);
            list[k] = list[used - 1];
        }
        assert_gathered(span_of(want, want_n));
    }
}

static int set_up(void **state)
{
    (void)state;
    json_fields_make(&fields, paths, 4);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather__without_edits_is_the_body),
        cmocka_unit_test(test_replace__keeps_all_other_bytes),
        cmocka_unit_test(test_set__replaces_or_inserts),
        cmocka_unit_test(test_set__several_into_an_empty_object),
        cmocka_unit_test(test_set_in__include_usage_in_every_state),
        cmocka_unit_test(test_set_in__refuses_another_type),
        cmocka_unit_test(test_set__long_values_are_pointed_at),
        cmocka_unit_test(test_add__order_does_not_matter_but_at_one_place),
        cmocka_unit_test(test_gather__refuses_overlaps_and_places_outside),
        cmocka_unit_test(test_gather__refuses_what_does_not_fit),
        cmocka_unit_test(test_gather__random_edits_equal_naive_ones),
    };
    return cmocka_run_group_tests_name("json_edit", tests, set_up, NULL);
}
