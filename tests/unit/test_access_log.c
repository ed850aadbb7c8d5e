// access_log: whole lines are compared byte by byte: the ordinary one, the emptiest, and one whose every text
// is hostile; the longest possible line is built and must fit; the two prepared parts must give the same line
// as the fields they stand for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gateway/access_log.h"

static struct logring ring;
static struct access_log access_log;

static int setup(void **state)
{
    (void)state;
    access_log = (struct access_log){.ring = &ring};
    return logring_init(&ring, LOGRING_BYTES, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    logring_done(&ring);
    return 0;
}

// The line that was written, which stays valid until the next one.
static const char *written(const struct access_record *r)
{
    static char text[LOG_LINE_BYTES_MAX + 1];
    struct span piece[2] = {{NULL, 0}, {NULL, 0}};
    access_log_write(&access_log, r);
    const uint32_t pieces = logring_peek(&ring, piece);
    assert_int_not_equal(pieces, 0);
    assert_in_range(piece[0].n + piece[1].n, 1, LOG_LINE_BYTES_MAX);
    memcpy(text, piece[0].p, piece[0].n);
    if (pieces > 1) memcpy(text + piece[0].n, piece[1].p, piece[1].n);
    text[piece[0].n + piece[1].n] = 0;
    logring_consume(&ring, piece[0].n + piece[1].n);
    return text;
}

static struct access_record ordinary(void)
{
    struct access_record r = ACCESS_RECORD_INIT;
    r.wall_ns = INT64_C(1763717220) * CLOCK_SEC + 123456789;
    r.request_id = SPAN("req_0123456789abcdef");
    r.client = SPAN("192.0.2.7");
    r.method = SPAN("POST");
    r.path = SPAN("/v1/chat/completions");
    r.status = 200;
    r.dialect = SPAN("openai");
    r.model = SPAN("gpt-4o-mini");
    r.provider = SPAN("local");
    r.upstream_model = SPAN("llama-3");
    r.upstream_request_id = SPAN("chatcmpl-8a7c6b5d4e3f2a1b0c9d8e7f6a5b4c3d");
    r.stream = true;
    r.attempts = 1;
    r.cache = SPAN("miss");
    r.tenant = SPAN("default");
    r.team = SPAN("research");
    r.key = SPAN("ci");
    r.bytes_in = 612;
    r.bytes_out = 70345;
    r.input_tokens = 123;
    r.output_tokens = 45;
    r.cost_nano_usd = 45450;
    r.duration_us = 812345;
    r.first_byte_us = 803321;
    r.overhead_us = 38;
    return r;
}

static const char ordinary_line[] =
    "{\"time\":\"2025-11-21T09:27:00.123456Z\",\"request_id\":\"req_0123456789abcdef\",\"client\":\"192.0.2."
    "7\","
    "\"method\":\"POST\",\"path\":\"/v1/chat/"
    "completions\",\"status\":200,\"end\":\"ok\",\"dialect\":\"openai\","
    "\"model\":\"gpt-4o-mini\",\"provider\":\"local\",\"upstream_model\":\"llama-3\","
    "\"upstream_request_id\":\"chatcmpl-8a7c6b5d4e3f2a1b0c9d8e7f6a5b4c3d\",\"stream\":true,\"attempts\":1,"
    "\"cache\":\"miss\",\"tenant\":\"default\",\"team\":\"research\",\"key\":\"ci\",\"bytes_in\":612,"
    "\"bytes_out\":70345,\"input_tokens\":123,\"output_tokens\":45,\"cost_usd\":0.00004545,"
    "\"duration_us\":812345,\"first_byte_us\":803321,\"overhead_us\":38}\n";

static void test_write__ordinary_line(void **state)
{
    (void)state;
    const struct access_record r = ordinary();
    assert_string_equal(written(&r), ordinary_line);
}

static void test_write__prepared_parts_make_the_same_line(void **state)
{
    (void)state;
    static char target[ACCESS_TARGET_BYTES_MAX], principal[ACCESS_PRINCIPAL_BYTES_MAX];
    struct access_record r = ordinary();
    r.target = span_of(target, access_log_prepare_target(&r, target));
    r.principal = span_of(principal, access_log_prepare_principal(&r, principal));
    r.dialect = r.model = r.provider = r.upstream_model = (struct span){NULL, 0};
    r.tenant = r.team = r.key = (struct span){NULL, 0};
    assert_string_equal(written(&r), ordinary_line);
}

static void test_write__what_is_absent_is_left_out(void **state)
{
    (void)state;
    struct access_record r = ACCESS_RECORD_INIT;
    r.request_id = SPAN("x");
    r.end = END_CLIENT_GONE;
    assert_string_equal(written(&r),
                        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"request_id\":\"x\","
                        "\"end\":\"client_gone\",\"stream\":false,\"attempts\":0,\"bytes_in\":0,"
                        "\"bytes_out\":0,\"duration_us\":0}\n");
    r.client_request_id = SPAN(""); // empty is not absent
    r.cost_nano_usd = 0;
    assert_string_equal(written(&r),
                        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"request_id\":\"x\","
                        "\"client_request_id\":\"\",\"end\":\"client_gone\",\"stream\":false,"
                        "\"attempts\":0,\"bytes_in\":0,\"bytes_out\":0,\"cost_usd\":0,"
                        "\"duration_us\":0}\n");
}

static void test_write__every_end_status_and_word(void **state)
{
    (void)state;
    for (uint32_t end = 0; end < RW_END_COUNT; end++) {
        struct access_record r = ordinary();
        char expected[64];
        r.end = (enum rw_end)end;
        r.status = 200 + end;
        snprintf(expected, sizeof expected, "\"status\":%u,\"end\":\"%s\",\"dialect\"", r.status,
                 end_info(r.end)->name);
        assert_non_null(strstr(written(&r), expected));
    }
    for (uint32_t attempts = 9; attempts < 12; attempts++) {
        struct access_record r = ordinary();
        char expected[64];
        r.attempts = attempts;
        snprintf(expected, sizeof expected, "\"attempts\":%u,\"cache\"", attempts);
        assert_non_null(strstr(written(&r), expected));
    }
    static const char *const words[] = {"GET", "PUT", "POSS", "DELETE", "OPTIONS", "POSTS"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct access_record r = ordinary();
        char expected[64];
        r.method = r.cache = span_str(words[i]);
        r.attempts = 12;
        snprintf(expected, sizeof expected, "\"method\":\"%s\",\"path\"", words[i]);
        assert_non_null(strstr(written(&r), expected));
        snprintf(expected, sizeof expected, "\"attempts\":12,\"cache\":\"%s\",\"tenant\"", words[i]);
        assert_non_null(strstr(written(&r), expected));
    }
}

static void check_path(const char *target, const char *expected)
{
    struct access_record r = ordinary();
    char text[400];
    r.path = span_str(target);
    snprintf(text, sizeof text, "\"path\":\"%s\",\"status\"", expected);
    assert_non_null(strstr(written(&r), text));
    assert_null(strstr(written(&r), "SECRET"));
}

static void test_write__no_query_and_no_password_in_the_path(void **state)
{
    (void)state;
    check_path("/v1/models?key=SECRET", "/v1/models");
    check_path("?key=SECRET", "");
    check_path("/?", "/");
    check_path("http://user:SECRET@host/v1/models?key=SECRET", "/v1/models");
    check_path("http://user:SECRET@host", "/");
    // A slash of the query is not the path's.
    check_path("http://user:SECRET@host?key=x/SECRET", "/");
    check_path("*", "*");
    check_path("example.com:443", "example.com:443");
    check_path("", "");
}

static void test_write__long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    static char target[400], expected[400];
    memset(target, 'p', sizeof target);
    target[0] = '/';
    memset(expected, 'p', sizeof expected);
    expected[0] = '/';
    expected[ACCESS_PATH_BYTES_MAX] = 0;
    target[sizeof target - 1] = 0;
    check_path(target, expected);
    memcpy(target + ACCESS_PATH_BYTES_MAX, "?SECRET", 7); // a query exactly at the limit
    check_path(target, expected);
    memcpy(target + ACCESS_PATH_BYTES_MAX - 1, "?SECRET", 7); // and one before it
    expected[ACCESS_PATH_BYTES_MAX - 1] = 0;
    check_path(target, expected);
    memcpy(target + ACCESS_PATH_BYTES_MAX - 1, "pppppppp", 8);
    memcpy(target + ACCESS_PATH_BYTES_MAX - 2, "\xe4\xb8\xad", 3); // a character of three bytes across it
    expected[ACCESS_PATH_BYTES_MAX - 2] = 0;
    check_path(target, expected);

    struct access_record r = ordinary();
    static char model[300];
    memset(model, 'm', sizeof model);
    r.model = span_of(model, sizeof model);
    static char text[400];
    snprintf(text, sizeof text, "\"model\":\"%.*s\",\"provider\"", ACCESS_TEXT_BYTES_MAX, model);
    assert_non_null(strstr(written(&r), text));
}

static void test_write__hostile_texts_stay_inside_their_strings(void **state)
{
    (void)state;
    struct access_record r = ACCESS_RECORD_INIT;
    r.request_id = SPAN("x");
    r.client_request_id = SPAN("\",\"status\":500,\"x\":\"\n");
    r.path = SPAN("/\"\\\x01\xff");
    r.model = SPAN("gr\xc3\xbc\xc3\x9f"
                   "e\t");
    assert_string_equal(
        written(&r),
        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"request_id\":\"x\","
        "\"client_request_id\":\"\\\",\\\"status\\\":500,\\\"x\\\":\\\"\\n\","
        "\"path\":\"/\\\"\\\\\\u0001\xef\xbf\xbd\",\"end\":\"ok\",\"model\":\"gr\xc3\xbc\xc3\x9f"
        "e\\t\",\"stream\":false,\"attempts\":0,\"bytes_in\":0,\"bytes_out\":0,\"duration_us\":0}\n");
}

static void test_write__the_longest_line_fits(void **state)
{
    (void)state;
    static uint8_t worst[1000];
    memset(worst, 1, sizeof worst);
    worst[0] = '/';
    const struct span text = span_of(worst, sizeof worst);
    struct access_record r = {
        .wall_ns = INT64_MAX,
        .request_id = text,
        .client_request_id = text,
        .client = text,
        .method = text,
        .path = text,
        .dialect = text,
        .model = text,
        .provider = text,
        .upstream_model = text,
        .upstream_request_id = text,
        .cache = text,
        .tenant = text,
        .team = text,
        .key = text,
        .status = UINT32_MAX,
        .attempts = UINT32_MAX,
        .bytes_in = INT64_MAX,
        .bytes_out = INT64_MAX,
        .input_tokens = INT64_MAX,
        .output_tokens = INT64_MAX,
        .cost_nano_usd = INT64_MAX,
        .duration_us = INT64_MAX,
        .first_byte_us = INT64_MAX,
        .overhead_us = INT64_MAX,
    };
    for (uint32_t end = 0; end < RW_END_COUNT; end++) {
        r.end = (enum rw_end)end;
        const size_t n = strlen(written(&r));
        assert_in_range(n, 6000, LOG_LINE_BYTES_MAX);
    }
    assert_non_null(strstr(written(&r), "\"overhead_us\":9223372036854775807}\n"));
    static char target[ACCESS_TARGET_BYTES_MAX], principal[ACCESS_PRINCIPAL_BYTES_MAX];
    assert_in_range(access_log_prepare_target(&r, target), 1500, sizeof target);
    assert_in_range(access_log_prepare_principal(&r, principal), 1000, sizeof principal);
}

static void test_write__off_and_full_write_nothing(void **state)
{
    (void)state;
    const struct access_record r = ordinary();
    struct access_log off = {0};
    access_log_write(&off, &r);
    static uint8_t filler[LOG_LINE_BYTES_MAX];
    while (logring_put(&ring, span_of(filler, sizeof filler))) {}
    const uint64_t dropped = logring_dropped(&ring);
    access_log_write(&access_log, &r);
    assert_int_equal(logring_dropped(&ring), dropped + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write__ordinary_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__prepared_parts_make_the_same_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__what_is_absent_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__every_end_status_and_word, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__no_query_and_no_password_in_the_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__long_texts_are_cut_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__hostile_texts_stay_inside_their_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__the_longest_line_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write__off_and_full_write_nothing, setup, teardown),
    };
    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
