// http responses: what a provider may send and what makes it a failed target (rule 17), each input through
// every way of scanning and every split (http_world.h).
#include "tests/unit/http_world.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define END "\r\n"

static int reset(void **state)
{
    (void)state;
    world.rules = (struct http_rules)HTTP_RULES_DEFAULT;
    world.answers = true;
    world.asked = HTTP_POST;
    return 0;
}

static const struct world_result *r;
#define PARSE(text) (r = world_check(text, sizeof(text) - 1), assert_true(r->got > 0), &r->head)

static void test_status_line__forms(void **state)
{
    (void)state;
    assert_int_equal(PARSE(OK END)->status, 200);
    world_text(http_reason(&r->head), "OK");
    assert_int_equal(PARSE("HTTP/1.0 503 Service Unavailable\r\n" END)->status, 503);
    world_text(http_reason(&r->head), "Service Unavailable");
    assert_int_equal(r->head.minor, 0);
    assert_int_equal(PARSE("HTTP/1.1 429 \r\n" END)->status, 429);
    world_text(http_reason(&r->head), "");
    assert_int_equal(PARSE("HTTP/1.1 429\r\n" END)->status, 429);
    world_text(http_reason(&r->head), "");
    assert_int_equal(PARSE("HTTP/1.1 599 \tx \xff\r\n" END)->status, 599);
    assert_int_equal(PARSE("HTTP/1.1 100 Continue\r\n" END)->status, 100);
    EXPECT("HTTP/1.1 099 x\r\n" END, HTTP_BAD_STATUS);
    EXPECT("HTTP/1.1 600 x\r\n" END, HTTP_BAD_STATUS);
    EXPECT("HTTP/1.1 000 x\r\n" END, HTTP_BAD_STATUS);
    EXPECT("HTTP/1.1 20 x\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 2000 x\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 +20 x\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1  200 x\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 200x\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/2.0 200 OK\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1 200 OK\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("http/1.1 200 OK\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("\r\nHTTP/1.1 200 OK\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("<html>", HTTP_BAD_STATUS_LINE);
    EXPECT("\x15\x03\x01", HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 200 O\x01K\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 200 O\0K\r\n" END, HTTP_BAD_STATUS_LINE);
    EXPECT("HTTP/1.1 200 OK\n", HTTP_BAD_BARE_LF);
    EXPECT("HTTP/1.1 200\n", HTTP_BAD_BARE_LF);
    EXPECT("HTTP/1.1 200 OK\rX", HTTP_BAD_BARE_CR);
    EXPECT("HTTP/1.1 200\rX", HTTP_BAD_BARE_CR);
    EXPECT("", HTTP_NEED_MORE);
    EXPECT("HTTP/1.1 200 OK\r", HTTP_NEED_MORE);
    EXPECT(OK "X: y\r\n", HTTP_NEED_MORE);
}

static void test_rule_17__bad_framing_of_a_provider(void **state)
{
    (void)state;
    EXPECT(OK "Content-Length: 5\r\nContent-Length: 5\r\n" END, HTTP_BAD_TWO_LENGTHS);
    EXPECT(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_BOTH_LENGTHS);
    EXPECT(OK "Content-Length: 5, 5\r\n" END, HTTP_BAD_LENGTH);
    EXPECT(OK "Content-Length: -1\r\n" END, HTTP_BAD_LENGTH);
    EXPECT(OK "Transfer-Encoding: gzip, chunked\r\n" END, HTTP_BAD_CODING);
    EXPECT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_CODING);
    EXPECT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_CODING_1_0);
    EXPECT(OK "X : y\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(OK "X: y\r\n z\r\n" END, HTTP_BAD_FOLD);
    EXPECT(OK "X: y\n" END, HTTP_BAD_BARE_LF);
    EXPECT(OK "X: \0\r\n" END, HTTP_BAD_VALUE);
    world.rules.fields_max = 3;
    EXPECT(OK "A: b\r\nA: b\r\nA: b\r\n" END, TAKEN);
    EXPECT(OK "A: b\r\nA: b\r\nA: b\r\nA: b\r\n" END, HTTP_BAD_FIELD_COUNT);
    world.rules.head_bytes_max = 30;
    EXPECT(OK "X: 01234567890\r\n" END, HTTP_BAD_HEAD_SIZE);
    EXPECT("HTTP/1.1 200 0123456789012345678901234", HTTP_BAD_HEAD_SIZE);
}

static void test_framing__of_answers(void **state)
{
    (void)state;
    const struct http_framing *f = &PARSE(OK "Content-Length: 5\r\n" END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_LENGTH);
    assert_int_equal(f->length, 5);
    assert_true(f->keep_alive);
    f = &PARSE(OK "Transfer-Encoding: chunked\r\n" END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_CHUNKED);
    assert_true(f->keep_alive);
    f = &PARSE(OK END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_UNTIL_CLOSE);
    assert_false(f->keep_alive);
    f = &PARSE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_UNTIL_CLOSE);
    assert_false(f->keep_alive);
    f = &PARSE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n" END)->framing;
    assert_true(f->keep_alive);
    f = &PARSE(OK "Connection: close\r\nContent-Length: 0\r\n" END)->framing;
    assert_false(f->keep_alive);
}

static void test_framing__answers_without_a_body(void **state)
{
    (void)state;
    const struct http_framing *f = &PARSE("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_NONE);
    assert_int_equal(f->length, 0);
    assert_true(f->keep_alive);
    assert_int_equal(PARSE("HTTP/1.1 304 Not Modified\r\n" END)->framing.kind, HTTP_BODY_NONE);
    assert_int_equal(PARSE("HTTP/1.1 100 Continue\r\n" END OK END)->framing.kind, HTTP_BODY_NONE);
    assert_int_equal(r->got, sizeof("HTTP/1.1 100 Continue\r\n" END) - 1);
    assert_int_equal(PARSE("HTTP/1.1 199 x\r\nTransfer-Encoding: chunked\r\n" END)->framing.kind,
                     HTTP_BODY_NONE);
    world.asked = HTTP_HEAD;
    f = &PARSE(OK "Content-Length: 5\r\n" END)->framing;
    assert_int_equal(f->kind, HTTP_BODY_NONE);
    assert_int_equal(f->length, 0);
    assert_true(f->keep_alive);
    assert_true(PARSE(OK END)->framing.keep_alive);
}

static void test_fields__of_a_provider(void **state)
{
    (void)state;
    const struct http_head *head =
        PARSE(OK "Date: Fri, 21 Nov 2025 09:27:00 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                 "x-request-id: req_1\r\nopenai-processing-ms: 213\r\nx-ratelimit-remaining-requests: 9\r\n"
                 "Retry-After: 2\r\nX-Should-Retry: true\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                 "strict-transport-security: max-age=31536000\r\nTransfer-Encoding: chunked\r\n" END);
    world_text(http_value(&r->head, HTTP_N_CONTENT_TYPE), "text/event-stream; charset=utf-8");
    world_text(http_value(&r->head, HTTP_N_X_REQUEST_ID), "req_1");
    world_text(http_value(&r->head, HTTP_N_RETRY_AFTER), "2");
    world_text(http_value(&r->head, HTTP_N_X_SHOULD_RETRY), "true");
    world_text(http_value(&r->head, HTTP_N_OPENAI_PROCESSING_MS), "213");
    assert_int_equal(head->field_count, 11);
    assert_int_equal(http_find(&r->head, SPAN("set-cookie"), 0), 7);
    assert_int_equal(http_find(&r->head, SPAN("set-cookie"), 8), 8);
    assert_int_equal(r->head.doubled, 0); // names that nobody reads are not counted
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
    const struct CMUnitTest tests[] = {
        T(test_status_line__forms),    T(test_rule_17__bad_framing_of_a_provider),
        T(test_framing__of_answers),   T(test_framing__answers_without_a_body),
        T(test_fields__of_a_provider),
    };
    return cmocka_run_group_tests_name("http_response", tests, NULL, NULL);
}
