// http write: what is written is read back by the parser; each piece into buffers of every size up to a
// forbidden page; and each byte at each position of names and values, because they are checked eight at a
// time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/http.h"

static uint8_t buffer[4096];

static void assert_written(struct http_writer *w, const char *expected)
{
    const uint32_t n = http_write_end(w);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(w->p, expected, n);
}

static void test_status_line__registered_and_others(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        const char *line, *reason;
    } cases[] = {{100, "HTTP/1.1 100 Continue\r\n\r\n", "Continue"},
                 {200, "HTTP/1.1 200 OK\r\n\r\n", "OK"},
                 {429, "HTTP/1.1 429 Too Many Requests\r\n\r\n", "Too Many Requests"},
                 {529, "HTTP/1.1 529 Overloaded\r\n\r\n", "Overloaded"},
                 {599, "HTTP/1.1 599 \r\n\r\n", ""},
                 {207, "HTTP/1.1 207 \r\n\r\n", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_writer w = http_writer(buffer, sizeof buffer);
        http_write_status_line(&w, cases[i].status);
        assert_written(&w, cases[i].line);
        assert_true(span_eq(http_status_text(cases[i].status), span_str(cases[i].reason)));
    }
    assert_int_equal(http_status_text(99).n, 0);
    assert_int_equal(http_status_text(600).n, 0);
    // The parser takes every one of them, and reads the same number.
    for (uint32_t status = 100; status < 600; status++) {
        struct http_writer w = http_writer(buffer, sizeof buffer);
        http_write_status_line(&w, status);
        const uint32_t n = http_write_end(&w);
        const struct http_rules rules = HTTP_RULES_DEFAULT;
        static struct http_head head;
        http_head_init(&head);
        assert_int_equal(http_response_parse(buffer, n, &rules, HTTP_GET, &head), n);
        assert_int_equal(head.status, status);
        assert_true(span_eq(http_reason(&head), http_status_text(status)));
    }
}

static void test_request_line__path_and_query(void **state)
{
    (void)state;
    struct http_writer w = http_writer(buffer, sizeof buffer);
    http_write_request_line(&w, HTTP_POST, SPAN("/v1/x"), SPAN(""));
    assert_written(&w, "POST /v1/x HTTP/1.1\r\n\r\n");
    w = http_writer(buffer, sizeof buffer);
    http_write_request_line(&w, HTTP_OPTIONS, SPAN("/"), SPAN("a=b&c"));
    assert_written(&w, "OPTIONS /?a=b&c HTTP/1.1\r\n\r\n");
    static const char *const bad[] = {"", "/a b", "/a?b", "/a#b", "/\r\nX: y", "/\xc3\xa9", "/\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        w = http_writer(buffer, sizeof buffer);
        http_write_request_line(&w, HTTP_GET, span_str(bad[i]), SPAN(""));
        assert_true(w.bad);
        assert_int_equal(w.n, 0);
        assert_int_equal(http_write_end(&w), 0);
    }
    w = http_writer(buffer, sizeof buffer);
    http_write_request_line(&w, HTTP_GET, SPAN("/"), SPAN("a b"));
    assert_true(w.bad);
}

static void test_field__values_and_numbers(void **state)
{
    (void)state;
    struct http_writer w = http_writer(buffer, sizeof buffer);
    http_write_field(&w, SPAN("content-type"), SPAN("text/plain"));
    http_write_field(&w, SPAN("x"), SPAN(""));
    http_write_field(&w, SPAN("x-ratelimit-reset-5h"), SPAN("6m0s"));
    http_write_field(&w, SPAN("y"), SPAN("tab\there, and \xc3\xa9"));
    http_write_field_u64(&w, SPAN("content-length"), 0);
    http_write_field_u64(&w, SPAN("a"), UINT64_MAX);
    http_write_raw(&w, SPAN("connection: close\r\n"));
    http_write_raw(&w, (struct span){NULL, 0});
    assert_written(
        &w,
        "content-type: text/plain\r\nx: \r\nx-ratelimit-reset-5h: 6m0s\r\ny: tab\there, and \xc3\xa9\r\n"
        "content-length: 0\r\na: 18446744073709551615\r\nconnection: close\r\n\r\n");
}

// Every byte at every position of names and values of every length up to three words.
static void test_field__nothing_that_breaks_the_head(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 25; n++)
        for (uint32_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                uint8_t text[25];
                memset(text, at % 2 ? 'x' : '-', n);
                text[at] = (uint8_t)c;
                struct http_writer w = http_writer(buffer, sizeof buffer);
                http_write_field(&w, SPAN("a"), span_of(text, n));
                const bool good = c == '\t' || (c >= ' ' && c != 0x7f);
                assert_int_equal(w.bad, !good);
                assert_int_equal(w.n, good ? n + 5 : 0);
                w = http_writer(buffer, sizeof buffer);
                http_write_field(&w, span_of(text, n), SPAN("b"));
                const bool token = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                    (c && strchr("!#$%&'*+-.^_`|~", c));
                assert_int_equal(w.bad, !token);
                assert_int_equal(w.n, token ? n + 5 : 0);
                if (token) assert_memory_equal(buffer, text, n);
            }
    struct http_writer w = http_writer(buffer, sizeof buffer);
    http_write_field(&w, SPAN(""), SPAN("x"));
    assert_true(w.bad);
    // Bad stays bad, and the good fields around it are written.
    w = http_writer(buffer, sizeof buffer);
    http_write_field(&w, SPAN("a"), SPAN("x\r\nInjected: y"));
    http_write_field(&w, SPAN("b"), SPAN("x"));
    assert_int_equal(w.n, 6);
    assert_int_equal(http_write_end(&w), 0);
}

static void write_all(struct http_writer *w)
{
    http_write_status_line(w, 207);
    http_write_status_line(w, 200);
    http_write_request_line(w, HTTP_GET, SPAN("/path"), SPAN("query"));
    http_write_field(w, SPAN("name"), SPAN("some longer value"));
    http_write_field_u64(w, SPAN("number"), 12345);
    http_write_raw(w, SPAN("raw: x\r\n"));
}

static void test_overflow__is_sticky_and_nothing_is_written_beyond(void **state)
{
    (void)state;
    struct guard g = guard_open(4096);
    struct http_writer all = http_writer(buffer, sizeof buffer);
    write_all(&all);
    const uint32_t n = http_write_end(&all);
    assert_true(n > 0);
    for (uint32_t cap = 0; cap <= n; cap++) {
        uint8_t *p = guard_put(&g, buffer, 0);
        struct http_writer w = http_writer(p - cap, cap);
        write_all(&w);
        const uint32_t got = http_write_end(&w);
        assert_int_equal(got, cap == n ? n : 0);
        assert_int_equal(w.overflow, cap < n);
        assert_true(w.n <= cap);
        // Whole pieces from the beginning.
        assert_memory_equal(w.p, buffer, w.n);
    }
    guard_close(&g);
}

static void test_chunk_size__of_every_length(void **state)
{
    (void)state;
    struct guard g = guard_open(4096);
    struct prng prng;
    prng_seed(&prng, 3);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t n = i < 600 ? i + 1 : (uint32_t)prng_next(&prng) >> prng_below(&prng, 32);
        if (n == 0) n = UINT32_MAX;
        char expected[16];
        const uint32_t length = (uint32_t)snprintf(expected, sizeof expected, "%x\r\n", n);
        uint8_t *p = guard_put(&g, buffer, length);
        assert_int_equal(http_write_chunk_size(p, n), length);
        assert_memory_equal(p, expected, length);
    }
    guard_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_line__registered_and_others),
        cmocka_unit_test(test_request_line__path_and_query),
        cmocka_unit_test(test_field__values_and_numbers),
        cmocka_unit_test(test_field__nothing_that_breaks_the_head),
        cmocka_unit_test(test_overflow__is_sticky_and_nothing_is_written_beyond),
        cmocka_unit_test(test_chunk_size__of_every_length),
    };
    return cmocka_run_group_tests_name("http_write", tests, NULL, NULL);
}
