// http requests: for each rule of strict HTTP/1.1 a table of what is taken and what is refused, and why.
// Every input goes through every way of scanning, whole, split at every byte, and byte by byte, flush
// against a forbidden page (http_world.h). Then what a head says, the limits, and the time a slow sender
// costs.
#include "tests/unit/http_world.h"

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST /v1/x HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define END "\r\n"

static int reset(void **state)
{
    (void)state;
    world.rules = (struct http_rules)HTTP_RULES_DEFAULT;
    world.answers = false;
    return 0;
}

static void test_rule_1__refused_as_soon_as_a_byte_cannot_be_right(void **state)
{
    (void)state;
    EXPECT("\x16", HTTP_BAD_TLS);
    EXPECT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", HTTP_BAD_TLS);
    EXPECT("\x80", HTTP_BAD_METHOD);
    EXPECT("{", HTTP_BAD_METHOD);
    EXPECT("\0", HTTP_BAD_METHOD);
    EXPECT(" GET", HTTP_BAD_METHOD);
    EXPECT("G\rT", HTTP_BAD_METHOD);
    EXPECT("GET /\x01", HTTP_BAD_TARGET_BYTE);
    EXPECT("GET / X", HTTP_BAD_VERSION);
    EXPECT(GET "\rX", HTTP_BAD_BARE_CR);
    EXPECT(GET "Ho\x01", HTTP_BAD_NAME);
    EXPECT(GET "Host: \x01", HTTP_BAD_VALUE);
    EXPECT("", HTTP_NEED_MORE);
    EXPECT("G", HTTP_NEED_MORE);
    EXPECT("GET / HTTP/1.1", HTTP_NEED_MORE);
    EXPECT("GET / HTTP/1.1\r", HTTP_NEED_MORE);
    EXPECT(GET HOST, HTTP_NEED_MORE);
    EXPECT(GET HOST "\r", HTTP_NEED_MORE);
}

static void test_rule_2__framing_that_can_be_read_in_two_ways(void **state)
{
    (void)state;
    EXPECT(POST HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_BOTH_LENGTHS);
    EXPECT(POST HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END, HTTP_BAD_BOTH_LENGTHS);
    EXPECT(POST HOST "Content-Length: 5\r\nContent-Length: 5\r\n" END, HTTP_BAD_TWO_LENGTHS);
    EXPECT(POST HOST "Content-Length: 5\r\nContent-Length: 6\r\n" END, HTTP_BAD_TWO_LENGTHS);
    EXPECT(POST HOST "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n" END, HTTP_BAD_TWO_LENGTHS);
    static const char *const lengths[] = {"5, 5",
                                          "5,5",
                                          "+5",
                                          "-5",
                                          "0x5",
                                          "5 5",
                                          "5;",
                                          "",
                                          "5.0",
                                          "5e1",
                                          "'5'",
                                          "\"5\"",
                                          "12345678z",
                                          "z12345678",
                                          "99999999999999999999",
                                          "9223372036854775808",
                                          "18446744073709551616",
                                          "1:5",
                                          "/5"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char text[200];
        const int n = snprintf(text, sizeof text, POST HOST "Content-Length: %s\r\n\r\n", lengths[i]);
        world_expect(text, (size_t)n, HTTP_BAD_LENGTH);
    }
    static const char *const codings[] = {
        "gzip",      "chunked, chunked", "gzip, chunked", "chunked, identity",
        "xchunked",  "chunkedx",         "\"chunked\"",   "chunked;q=1",
        "",          "identity",         "chunke",        "x",
        ", chunked", "chunked,"};
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        char text[200];
        const int n = snprintf(text, sizeof text, POST HOST "Transfer-Encoding: %s\r\n\r\n", codings[i]);
        world_expect(text, (size_t)n, HTTP_BAD_CODING);
    }
    EXPECT(POST HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_CODING);
    EXPECT(POST HOST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" END, HTTP_BAD_CODING);
    EXPECT(POST HOST "Transfer-Encoding: \x0b"
                     "chunked\r\n" END,
           HTTP_BAD_VALUE);
    EXPECT("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END, HTTP_BAD_CODING_1_0);
    EXPECT(POST HOST "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n" END, TAKEN); // another name
    EXPECT(POST HOST "Transfer-Encoding: Chunked\r\n" END, TAKEN); // codings have no case (RFC 9112 7)
}

static void test_rule_3__lines_end_with_crlf_only(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/1.1\nHost: a\n\n", HTTP_BAD_BARE_LF);
    EXPECT("GET / HTTP/1.1\r\nHost: a\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("GET / HTTP/1.1\r\nHost: a\r\n\n", HTTP_BAD_BARE_LF);
    EXPECT("GET / HTTP/1.1\rHost: a\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: 1\r\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD_BARE_CR);
}

static void test_rule_5__names_values_and_lines(void **state)
{
    (void)state;
    EXPECT(GET HOST "X : y\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(GET HOST "X\t: y\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(GET HOST "Content-Length : 5\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(GET "Host : a\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(GET HOST ": y\r\n" END, HTTP_BAD_NAME_EMPTY);
    EXPECT(GET HOST "X\r\n" END, HTTP_BAD_NO_COLON);
    EXPECT(GET HOST "X y\r\n" END, HTTP_BAD_NAME_SPACE);
    EXPECT(GET HOST "X: y\r\n z\r\n" END, HTTP_BAD_FOLD);
    EXPECT(GET HOST "X: y\r\n\tz\r\n" END, HTTP_BAD_FOLD);
    EXPECT(GET HOST " X: y\r\n" END, HTTP_BAD_FOLD);
    EXPECT(GET " Host: a\r\n" END, HTTP_BAD_FOLD);
    EXPECT(GET HOST "X: a\0b\r\n" END, HTTP_BAD_VALUE);
    EXPECT(GET HOST "X: a\x7f\r\n" END, HTTP_BAD_VALUE);
    EXPECT(GET HOST "X:\x0b\r\n" END, HTTP_BAD_VALUE);
    EXPECT(GET HOST "X:\x0c y\r\n" END, HTTP_BAD_VALUE);
    EXPECT(GET HOST "X\0: y\r\n" END, HTTP_BAD_NAME);
    EXPECT(GET HOST "X\x7f: y\r\n" END, HTTP_BAD_NAME);
    EXPECT(GET HOST "X\xc3\xa9: y\r\n" END, HTTP_BAD_NAME);
    EXPECT(GET HOST "(X): y\r\n" END, HTTP_BAD_NAME);
    EXPECT(GET HOST "X:  y \t\r\nZ:\t y\r\nA:b\r\nE:\r\nF: \r\nG:\xc3\xa9 \xff\r\nH: a\tb\r\n" END, TAKEN);
    EXPECT(GET HOST "!#$%&'*+-.^_`|~09azAZ: y\r\n" END, TAKEN);
    EXPECT(GET HOST "X: "
                    ":;\"()<>@,[]{}\\/?="
                    "\r\n" END,
           TAKEN);
}

static void test_rule_5__each_byte_in_a_name_and_in_a_value(void **state)
{
    (void)state;
    for (int long_name = 0; long_name < 2; long_name++) {
        for (int c = 0; c < 256; c++) {
            char name[120], value[120];
            const char *pad = long_name ? "X-Some-Name-That-Does-Not-Fit-A-Vector-" : "X";
            const int name_n = snprintf(name, sizeof name, GET HOST "%sA%cB: y\r\n\r\n", pad, c ? c : 1);
            const int value_n = snprintf(value, sizeof value, GET HOST "%s: A%cB\r\n\r\n", pad, c ? c : 1);
            char *at = strstr(name,
                              "A\x01"
                              "B");
            if (c == 0 && at) at[1] = 0;
            at = strstr(value,
                        "A\x01"
                        "B");
            if (c == 0 && at) at[1] = 0;
            const bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c && strchr("!#$%&'*+-.^_`|~", c));
            const struct world_result *in_name = world_check(name, (size_t)name_n);
            if (c == ':') assert_true(in_name->got > 0);
            else assert_true(token == (in_name->got > 0));
            const struct world_result *in_value = world_check(value, (size_t)value_n);
            assert_true((in_value->got > 0) == ((c >= ' ' && c != 0x7f) || c == '\t'));
        }
    }
}

static void test_rule_6__exactly_one_host_of_the_right_form(void **state)
{
    (void)state;
    EXPECT(GET END, HTTP_BAD_NO_HOST);
    EXPECT(GET "X: y\r\n" END, HTTP_BAD_NO_HOST);
    EXPECT("GET http://a/ HTTP/1.1\r\n" END, HTTP_BAD_NO_HOST);
    EXPECT(GET HOST HOST END, HTTP_BAD_TWO_HOSTS);
    EXPECT(GET HOST "X: y\r\nhOST: b\r\n" END, HTTP_BAD_TWO_HOSTS);
    EXPECT("GET / HTTP/1.0\r\n" HOST HOST END, HTTP_BAD_TWO_HOSTS);
    EXPECT("GET / HTTP/1.0\r\n" END, TAKEN);
    static const char *const good[] = {"a",
                                       "a:1",
                                       "a:65535",
                                       "api.example.com",
                                       "127.0.0.1:8080",
                                       "under_score",
                                       "a-b.c~d",
                                       "A.B",
                                       "[::1]",
                                       "[::1]:443",
                                       "[2001:db8::1]",
                                       "[1:2:3:4:5:6:7:8]",
                                       "[::ffff:1.2.3.4]",
                                       "[1:2:3:4:5:6:1.2.3.4]",
                                       "[::]",
                                       "[1::]",
                                       "a-host-name-that-is-longer-than-a-vector.example.com:8443",
                                       "x:00443"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "a:",
                                      "a:0",
                                      "a:65536",
                                      "a:123456",
                                      "a:b",
                                      "a:1:2",
                                      "a b",
                                      "a,b",
                                      "a/b",
                                      "u@a",
                                      "u:p@a",
                                      "a?b",
                                      "a#b",
                                      "http://a",
                                      "a\\b",
                                      "a%41",
                                      "[",
                                      "[]",
                                      "[::1",
                                      "::1",
                                      "[::1]x",
                                      "[::1]:",
                                      "[:1]",
                                      "[1]",
                                      "[1:2:3:4:5:6:7]",
                                      "[1:2:3:4:5:6:7:8:9]",
                                      "[1::2::3]",
                                      "[1:2:3:4:5:6:7::8]x",
                                      "[12345::]",
                                      "[::g]",
                                      "[v1.x]",
                                      "[::1%25eth0]",
                                      "[::1.2.3]",
                                      "[::1.2.3.256]",
                                      "[::1.2.3.4.5]",
                                      "[::1.2.3.4:5]",
                                      "[1:2:3:4:5:6:7:1.2.3.4]",
                                      "[1:2:3:4:5:6:7:8::]",
                                      "[:::]",
                                      "[::1:]",
                                      "\xc3\xa9",
                                      "a\xff",
                                      "*",
                                      "a-host-name-that-is-longer-than-a-vector.example.com:8443x"};
    for (size_t i = 0; i < sizeof good / sizeof *good + sizeof bad / sizeof *bad; i++) {
        const bool is_good = i < sizeof good / sizeof *good;
        const char *host = is_good ? good[i] : bad[i - sizeof good / sizeof *good];
        char text[200];
        int n = snprintf(text, sizeof text, GET "Host: %s\r\n\r\n", host);
        world_expect(text, (size_t)n, is_good ? TAKEN : HTTP_BAD_HOST);
        // Not the first field, and with more behind it.
        n = snprintf(text, sizeof text,
                     GET "X: y\r\nHost: %s\r\nX-Long: 0123456789012345678901234567890\r\n\r\n", host);
        world_expect(text, (size_t)n, is_good ? TAKEN : HTTP_BAD_HOST);
    }
}

static void test_rule_6__forms_of_the_target(void **state)
{
    (void)state;
    EXPECT("GET http://a HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET HTTPS://a:1/x?y HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET http://[::1]:1?y HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET http:///x HTTP/1.1\r\n" HOST END, HTTP_BAD_AUTHORITY);
    EXPECT("GET http://?x HTTP/1.1\r\n" HOST END, HTTP_BAD_AUTHORITY);
    EXPECT("GET http:// HTTP/1.1\r\n" HOST END, HTTP_BAD_AUTHORITY);
    EXPECT("GET http://a:b/ HTTP/1.1\r\n" HOST END, HTTP_BAD_AUTHORITY);
    EXPECT("GET http://u@a/ HTTP/1.1\r\n" HOST END, HTTP_BAD_USERINFO);
    EXPECT("GET http://u:p@a/ HTTP/1.1\r\n" HOST END, HTTP_BAD_USERINFO);
    EXPECT("GET http://@a/ HTTP/1.1\r\n" HOST END, HTTP_BAD_USERINFO);
    EXPECT("GET http://a/u@b HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET ftp://a/ HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET http:/a HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET a:443 HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET a HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET ?a HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("CONNECT a:443 HTTP/1.1\r\n" HOST END, HTTP_BAD_CONNECT);
    EXPECT("CONNECT [::1]:443 HTTP/1.1\r\n" HOST END, HTTP_BAD_CONNECT);
    EXPECT("OPTIONS * HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET * HTTP/1.1\r\n" HOST END, HTTP_BAD_ASTERISK);
    EXPECT("OPTIONS *x HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET  HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET  / HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET);
    EXPECT("GET\t/ HTTP/1.1\r\n" HOST END, HTTP_BAD_METHOD);
    EXPECT("GET /\tHTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_BYTE);
    EXPECT("GET /a#b HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_BYTE);
    EXPECT("GET /\xc3\xa9 HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_BYTE);
    EXPECT("GET /a\x7f HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_BYTE);
    EXPECT("GET /a\0 HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_BYTE);
    EXPECT("GET /a b HTTP/1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET /a%zz!$&'()*+,;=:@-._~\"<>\\^`{|} HTTP/1.1\r\n" HOST END, TAKEN); // routing looks closer
}

static void test_rule_6__a_few_empty_lines_before_a_request(void **state)
{
    (void)state;
    EXPECT("\r\n" GET HOST END, TAKEN);
    EXPECT("\r\n\r\n\r\n\r\n" GET HOST END, TAKEN);
    EXPECT("\r\n\r\n\r\n\r\n\r\n" GET HOST END, HTTP_BAD_EMPTY_LINES);
    EXPECT("\r\n\r\n\r\n\r\n\r\n", HTTP_BAD_EMPTY_LINES);
    EXPECT("\r\n\r\n", HTTP_NEED_MORE);
    EXPECT(" \r\n" GET HOST END, HTTP_BAD_METHOD);
    const struct world_result *r = world_check("\r\n\r\n" GET HOST END, sizeof("\r\n\r\n" GET HOST END) - 1);
    assert_int_equal(r->got, sizeof("\r\n\r\n" GET HOST END) - 1);
    world_text(http_method_text(&r->head), "GET");
    world_text(http_value(&r->head, HTTP_N_HOST), "a");
}

static void test_rule_7__versions(void **state)
{
    (void)state;
    EXPECT("GET /\r\n", HTTP_BAD_HTTP09);
    EXPECT("GET /\n", HTTP_BAD_HTTP09);
    EXPECT("GET / \r\n", HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/1.10\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/1.1 \r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/1.\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/01.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/1,1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / http/1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP /1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET /  HTTP/1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / XTTP/1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/+1.1\r\n" HOST END, HTTP_BAD_VERSION);
    EXPECT("GET / HTTP/2.0\r\n" HOST END, HTTP_BAD_MAJOR);
    EXPECT("GET / HTTP/0.9\r\n" HOST END, HTTP_BAD_MAJOR);
    EXPECT("GET / HTTP/3.1\r\n" HOST END, HTTP_BAD_MAJOR);
    EXPECT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_BAD_H2_PREFACE);
    EXPECT("PRI * HTTP/1.1\r\n" HOST END, HTTP_BAD_ASTERISK);
    EXPECT("GET / HTTP/1.0\r\n" HOST END, TAKEN);
    EXPECT("GET / HTTP/1.2\r\n" HOST END, TAKEN); // RFC 9110 2.5: as 1.1
    assert_int_equal(http_bad_info(HTTP_BAD_MAJOR)->end, END_VERSION);
    assert_int_equal(http_bad_info(HTTP_BAD_H2_PREFACE)->end, END_VERSION);
    assert_int_equal(end_info(END_VERSION)->status, 505);
}

static void test_rule_9__expectations_and_upgrades(void **state)
{
    (void)state;
    const struct world_result *r;
#define PARSE(text) (r = world_check(text, sizeof(text) - 1), assert_true(r->got > 0), &r->head.framing)
    assert_true(PARSE(POST HOST "Expect: 100-continue\r\nContent-Length: 1\r\n" END)->expect_continue);
    assert_true(
        PARSE(POST HOST "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n" END)->expect_continue);
    assert_false(PARSE(POST HOST "Expect: 100-continue\r\nContent-Length: 0\r\n" END)->expect_continue);
    assert_false(PARSE(POST HOST "Expect: 100-continue\r\n" END)->expect_continue);
    assert_false(PARSE("POST / HTTP/1.0\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n" END)
                     ->expect_continue);
    EXPECT(POST HOST "Expect: 200-ok\r\nContent-Length: 1\r\n" END, HTTP_BAD_EXPECT);
    EXPECT(POST HOST "Expect: \r\nContent-Length: 1\r\n" END, HTTP_BAD_EXPECT);
    EXPECT(POST HOST "Expect: 100-continue\r\nExpect: 100-continue\r\n" END, HTTP_BAD_EXPECT);
    EXPECT(POST HOST "Expect: 100-continue, x\r\n" END, HTTP_BAD_EXPECT);
    assert_int_equal(end_info(http_bad_info(HTTP_BAD_EXPECT)->end)->status, 417);

    assert_true(PARSE(GET HOST "Connection: Upgrade\r\nUpgrade: WebSocket\r\n" END)->websocket);
    assert_true(
        PARSE(GET HOST "Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket\r\n" END)->websocket);
    assert_false(PARSE(GET HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n" END)->websocket);
    assert_false(PARSE(GET HOST "Upgrade: websocket\r\n" END)->websocket);
    assert_false(PARSE("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" END)->websocket);
}

static void test_rule_10__credentials_and_connection(void **state)
{
    (void)state;
    EXPECT(GET HOST "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n" END,
           HTTP_BAD_TWO_AUTHORIZATIONS);
    EXPECT(GET HOST "Authorization: Bearer a\r\nAUTHORIZATION: Basic b\r\n" END, HTTP_BAD_TWO_AUTHORIZATIONS);
    EXPECT(GET HOST "Authorization: Bearer a\r\nProxy-Authorization: Basic b\r\n" END, TAKEN);
    const char text[] =
        GET HOST "Connection: close, X-Hop ,\tOpenAI-Beta\r\nx: y\r\nconnection: ,traceparent,\r\n" END;
    const struct world_result *r = world_check(text, sizeof text - 1);
    assert_true(r->got > 0);
    assert_true(http_connection_lists(&r->head, SPAN("x-hop")));
    assert_true(http_connection_lists(&r->head, SPAN("openai-beta")));
    assert_true(http_connection_lists(&r->head, SPAN("Traceparent")));
    assert_true(http_connection_lists(&r->head, SPAN("close")));
    assert_false(http_connection_lists(&r->head, SPAN("x-ho")));
    assert_false(http_connection_lists(&r->head, SPAN("y")));
    assert_true(http_is_doubled(&r->head, HTTP_N_CONNECTION));
    assert_false(http_is_doubled(&r->head, HTTP_N_HOST));
    r = world_check(GET HOST END, sizeof(GET HOST END) - 1);
    assert_false(http_connection_lists(&r->head, SPAN("close")));
}

static void test_keep_alive__by_version_and_connection(void **state)
{
    (void)state;
    const struct world_result *r;
    assert_true(PARSE(GET HOST END)->keep_alive);
    assert_true(PARSE(GET HOST "Connection: keep-alive\r\n" END)->keep_alive);
    assert_true(PARSE(GET HOST "Connection: Keep-Alive\r\n" END)->keep_alive);
    assert_true(PARSE(GET HOST "Connection: keep-alixx\r\n" END)->keep_alive);
    assert_true(PARSE(GET HOST "Connection: te\r\n" END)->keep_alive);
    assert_true(PARSE(GET HOST "Connection:\r\n" END)->keep_alive);
    assert_false(PARSE(GET HOST "Connection: close\r\n" END)->keep_alive);
    assert_false(PARSE(GET HOST "Connection: Close\r\n" END)->keep_alive);
    assert_false(PARSE(GET HOST "Connection: keep-alive, close\r\n" END)->keep_alive);
    assert_false(PARSE(GET HOST "Connection: keep-alive\r\nConnection: close\r\n" END)->keep_alive);
    assert_false(PARSE("GET / HTTP/1.0\r\n" HOST END)->keep_alive);
    assert_true(PARSE("GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n" END)->keep_alive);
    assert_true(PARSE("GET / HTTP/1.0\r\n" HOST "Connection: x, Keep-Alive\r\n" END)->keep_alive);
    assert_false(PARSE("GET / HTTP/1.0\r\n" HOST "Connection: keep-alixx\r\n" END)->keep_alive);
}

static void test_framing__lengths_of_every_number_of_digits(void **state)
{
    (void)state;
    uint64_t v = 0;
    for (int digits = 1; digits <= 19; digits++) {
        v = v * 10 + (uint64_t)(digits % 9 + 1);
        if (digits == 19) v = INT64_MAX;
        char text[200];
        const int n =
            snprintf(text, sizeof text, POST HOST "Content-Length: %llu\r\n\r\n", (unsigned long long)v);
        const struct world_result *r = world_check(text, (size_t)n);
        assert_true(r->got > 0);
        assert_int_equal(r->head.framing.kind, HTTP_BODY_LENGTH);
        assert_true(r->head.framing.length == v);
    }
    const struct world_result *r;
    assert_int_equal(PARSE(POST HOST "Content-Length: 0\r\n" END)->kind, HTTP_BODY_LENGTH);
    assert_int_equal(PARSE(POST HOST "Content-Length:\t00000000000000000000000042 \r\n" END)->length, 42);
    assert_int_equal(PARSE(POST HOST "Content-Length: 007\r\n" END)->length, 7);
    assert_int_equal(PARSE(POST HOST END)->kind, HTTP_BODY_NONE);
    assert_int_equal(PARSE(POST HOST "Transfer-Encoding: chunked\r\n" END)->kind, HTTP_BODY_CHUNKED);
    assert_int_equal(r->head.framing.length, 0);
    // Every byte in every place of a length that is read eight digits at a time.
    for (int at = 0; at < 8; at++)
        for (int c = 0x20; c < 0x100; c++) {
            char text[] = POST HOST "Content-Length: 12345678\r\n\r\n";
            strstr(text, "12345678")[at] = (char)c;
            const bool digit = c >= '0' && c <= '9';
            const bool space = (at == 0 || at == 7) && c == ' ';
            const int expected = digit || space ? TAKEN : c == 0x7f ? HTTP_BAD_VALUE : HTTP_BAD_LENGTH;
            static struct http_head head;
            http_head_init(&head);
            const int got = http_request_parse((const uint8_t *)text, sizeof text - 1, &world.rules, &head);
            assert_int_equal(got > 0 ? TAKEN : got, expected);
        }
}

static void test_head__says_what_was_sent(void **state)
{
    (void)state;
    const char text[] =
        "POST /v1/chat/completions?key=a%20b&x HTTP/1.1\r\nhOsT: example.com:8080\r\nX-Api-Key:\t k \r\n"
        "Content-Type: application/json\r\nX-Other-Name-That-Is-Quite-Long-Indeed: one\r\nTE: x\r\n"
        "Via:\r\nx-other: two, three\r\nX-OTHER: four\r\nContent-Length: 7\r\nAccept: */*\r\n\r\n{\"a\":1}";
    const struct world_result *r = world_check(text, sizeof text - 1);
    assert_int_equal(r->got, sizeof text - 1 - 7);
    assert_int_equal(r->head.bytes, r->got);
    assert_int_equal(r->head.method, HTTP_POST);
    assert_int_equal(r->head.minor, 1);
    world_text(http_method_text(&r->head), "POST");
    world_text(http_target(&r->head), "/v1/chat/completions?key=a%20b&x");
    world_text(http_path(&r->head), "/v1/chat/completions");
    world_text(http_query(&r->head), "key=a%20b&x");
    assert_true(r->head.has_query);
    world_text(http_value(&r->head, HTTP_N_HOST), "example.com:8080");
    world_text(http_value(&r->head, HTTP_N_X_API_KEY), "k");
    world_text(http_value(&r->head, HTTP_N_CONTENT_TYPE), "application/json");
    world_text(http_value(&r->head, HTTP_N_ACCEPT), "*/*");
    assert_null(http_value(&r->head, HTTP_N_ORIGIN).p);
    assert_false(http_has(&r->head, HTTP_N_ORIGIN));
    assert_int_equal(r->head.field_count, 10);
    world_text(http_field_name(&r->head, 3), "X-Other-Name-That-Is-Quite-Long-Indeed");
    world_text(http_field_value(&r->head, 5), "");
    assert_non_null(http_field_value(&r->head, 5).p);
    assert_int_equal(r->head.field[3].kind, HTTP_N_OTHER);
    assert_int_equal(http_find(&r->head, SPAN("X-Other"), 0), 6);
    assert_int_equal(http_find(&r->head, SPAN("x-other"), 7), 7);
    assert_int_equal(http_find(&r->head, SPAN("x-other"), 8), 10);
    assert_int_equal(http_find(&r->head, SPAN("x-none"), 0), 10);
    assert_int_equal(r->head.doubled, 0);
    assert_int_equal(r->head.framing.length, 7);
    // The bytes may move: offsets stay.
    char moved[sizeof text];
    memcpy(moved, text, sizeof text);
    static struct http_head m;
    m = r->head;
    m.base = (const uint8_t *)moved;
    assert_ptr_equal(http_value(&m, HTTP_N_HOST).p,
                     moved + (http_value(&r->head, HTTP_N_HOST).p - r->head.base));
}

static void test_head__targets_in_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query, *authority;
        bool has_query;
    } cases[] = {
        {"/", "/", "", "", false},
        {"/?", "/", "", "", true},
        {"/a?b?c", "/a", "b?c", "", true},
        {"//a/b", "//a/b", "", "", false},
        {"/0123456789abcdef0123456789abcdef0123456789abcdef?0123456789abcdef0123456789abcdef",
         "/0123456789abcdef0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef", "", true},
        {"/0123456789abcdef0123456789abcd?f", "/0123456789abcdef0123456789abcd", "f", "", true},
        {"/0123456789abcdef0123456789abcde?", "/0123456789abcdef0123456789abcde", "", "", true},
        {"http://h", "/", "", "h", false},
        {"http://h?q", "/", "q", "h", true},
        {"http://h:1/p?q/r", "/p", "q/r", "h:1", true},
        {"https://[::1]/p", "/p", "", "[::1]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        const int n = snprintf(text, sizeof text,
                               "GET %s HTTP/1.1\r\nHost: h\r\nX-Filling: 0123456789012345678901\r\n\r\n",
                               cases[i].target);
        const struct world_result *r = world_check(text, (size_t)n);
        assert_true(r->got > 0);
        world_text(http_target(&r->head), cases[i].target);
        world_text(http_path(&r->head), cases[i].path);
        world_text(http_query(&r->head), cases[i].query);
        world_text(http_span(&r->head, r->head.authority_at, r->head.authority_len), cases[i].authority);
        assert_int_equal(r->head.has_query, cases[i].has_query);
    }
}

static void test_head__methods(void **state)
{
    (void)state;
#define X(symbol, name) \
    { \
        const char text[] = name " / HTTP/1.1\r\n" HOST END; \
        const struct world_result *r = world_check(text, sizeof text - 1); \
        assert_true(r->got > 0); \
        assert_int_equal(r->head.method, symbol); \
        world_text(http_method_name(symbol), name); \
    }
    HTTP_METHODS(X)
#undef X
    const char other[] = "get / HTTP/1.1\r\n" HOST END;
    const struct world_result *r = world_check(other, sizeof other - 1);
    assert_true(r->got > 0);
    assert_int_equal(r->head.method, HTTP_METHOD_OTHER);
    world_text(http_method_text(&r->head), "get");
    EXPECT("ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1\r\n" HOST END, HTTP_BAD_METHOD);
    EXPECT("ABCDEFGHIJKLMNOPQRSTUVWXY", HTTP_BAD_METHOD);
    EXPECT("GE(T / HTTP/1.1\r\n" HOST END, HTTP_BAD_METHOD);
    EXPECT("GET\r\n", HTTP_BAD_METHOD);
    EXPECT("GET\n", HTTP_BAD_BARE_LF);
}

static void test_head__pipelined_requests_do_not_see_each_other(void **state)
{
    (void)state;
    const char text[] = GET HOST END "GET /second HTTP/1.1\r\nHost: b\r\nX: \x01";
    const struct world_result *r = world_check(text, sizeof text - 1);
    assert_int_equal(r->got, sizeof(GET HOST END) - 1);
    assert_int_equal(r->head.field_count, 1);
    world_text(http_value(&r->head, HTTP_N_HOST), "a");
}

static char *filled(size_t *n, const char *before, char c, size_t count, const char *behind)
{
    char *p = malloc(strlen(before) + count + strlen(behind) + 1);
    assert_non_null(p);
    memcpy(p, before, strlen(before));
    memset(p + strlen(before), c, count);
    memcpy(p + strlen(before) + count, behind, strlen(behind) + 1);
    *n = strlen(before) + count + strlen(behind);
    return p;
}

static void expect_filled(const char *before, char c, size_t count, const char *behind, int expected)
{
    size_t n = 0;
    char *p = filled(&n, before, c, count, behind);
    world_expect(p, n, expected);
    free(p);
}

static void test_limits__bytes_of_the_head(void **state)
{
    (void)state;
    const size_t frame = sizeof(GET HOST "X: " END END) - 1;
    expect_filled(GET HOST "X: ", 'a', HTTP_HEAD_BYTES - frame, "\r\n\r\n", TAKEN);
    expect_filled(GET HOST "X: ", 'a', HTTP_HEAD_BYTES - frame + 1, "\r\n\r\n", HTTP_BAD_HEAD_SIZE);
    expect_filled(GET HOST "X: ", 'a', HTTP_HEAD_BYTES, "", HTTP_BAD_HEAD_SIZE);
    expect_filled(GET HOST "X: ", 'a', 3 * HTTP_HEAD_BYTES, "\r\n\r\n", HTTP_BAD_HEAD_SIZE);
    // A body behind a head is not counted.
    expect_filled(GET HOST END, 'a', 2 * HTTP_HEAD_BYTES, "", TAKEN);
    world.rules.head_bytes_max = HTTP_HEAD_BYTES_MAX;
    expect_filled(GET HOST "X: ", 'a', HTTP_HEAD_BYTES_MAX - frame, "\r\n\r\n", TAKEN);
    expect_filled(GET HOST "X: ", 'a', HTTP_HEAD_BYTES_MAX - frame + 1, "\r\n\r\n", HTTP_BAD_HEAD_SIZE);
    world.rules.head_bytes_max = 40;
    EXPECT(GET HOST "X: 01234567\r\n" END, TAKEN); // 40 bytes
    EXPECT(GET HOST "X: 012345678\r\n" END, HTTP_BAD_HEAD_SIZE);
    assert_int_equal(end_info(http_bad_info(HTTP_BAD_HEAD_SIZE)->end)->status, 431);
}

static void test_limits__target_name_and_number_of_fields(void **state)
{
    (void)state;
    expect_filled("GET /", 'a', HTTP_TARGET_BYTES_MAX - 1, " HTTP/1.1\r\n" HOST END, TAKEN);
    expect_filled("GET /", 'a', HTTP_TARGET_BYTES_MAX, " HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_SIZE);
    expect_filled("GET /", 'a', HTTP_TARGET_BYTES_MAX, "\x01", HTTP_BAD_TARGET_SIZE);
    expect_filled("GET /", 'a', HTTP_TARGET_BYTES_MAX - 1, "\x01", HTTP_BAD_TARGET_BYTE);
    expect_filled("OPTIONS /", 'a', HTTP_TARGET_BYTES_MAX - 1, " HTTP/1.1\r\n" HOST END, TAKEN);
    expect_filled(GET HOST, 'a', 255, ": b\r\n\r\n", TAKEN);
    expect_filled(GET HOST, 'a', 256, ": b\r\n\r\n", HTTP_BAD_NAME_SIZE);
    expect_filled(GET HOST, 'a', 9999, "", HTTP_BAD_NAME_SIZE);
    world.rules.target_bytes_max = 8;
    EXPECT("GET /1234567 HTTP/1.1\r\n" HOST END, TAKEN);
    EXPECT("GET /12345678 HTTP/1.1\r\n" HOST END, HTTP_BAD_TARGET_SIZE);
    // So long that the vectors see it, too.
#define FILLING "X-Filling: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
    EXPECT("GET /1234567 HTTP/1.1\r\n" HOST FILLING END, TAKEN);
    EXPECT("GET /12345678 HTTP/1.1\r\n" HOST FILLING END, HTTP_BAD_TARGET_SIZE);

    for (uint32_t max = 1; max <= HTTP_FIELDS_MAX; max += 127) {
        world.rules.fields_max = (uint16_t)max;
        static char text[4096];
        strcpy(text, GET HOST);
        for (uint32_t i = 1; i < max; i++) strcat(text, "Some-Name: v\r\n");
        const size_t n = strlen(text);
        strcpy(text + n, END);
        world_expect(text, n + 2, TAKEN);
        strcpy(text + n, "One: more\r\n" END);
        world_expect(text, strlen(text), HTTP_BAD_FIELD_COUNT);
    }
}

// What was looked at once is made unreadable until the line is whole: a second look would be fatal.
static void feed_and_forbid(const char *before, size_t count, const char *behind)
{
    size_t n = 0;
    char *text = filled(&n, before, 'a', count, behind);
    struct guard g = guard_open(n);
    const uint8_t *p = guard_put_low(&g, text, n);
    static struct http_head head;
    http_head_init(&head);
    for (uint32_t have = 1; have < n; have += 64) {
        assert_int_equal(http_request_parse(p, have, &world.rules, &head), HTTP_NEED_MORE);
        const size_t whole_pages = have / g.page;
        if (whole_pages > 1)
            assert_int_equal(mprotect(g.room + g.page, (whole_pages - 1) * g.page, PROT_NONE), 0);
    }
    assert_int_equal(mprotect(g.room, g.cap, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(http_request_parse(p, (uint32_t)n, &world.rules, &head), n);
    guard_close(&g);
    free(text);
}

static void test_parse__slow_sender_is_not_read_twice(void **state)
{
    (void)state;
    world.rules.head_bytes_max = HTTP_HEAD_BYTES_MAX;
    world.rules.target_bytes_max = 60000;
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable()) continue;
        http_way_choose(http_way_list(w));
        feed_and_forbid(GET HOST "X: ", 60000, "\r\n\r\n");
        feed_and_forbid("GET /", 50000, " HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}

static void test_begun__not_by_empty_lines(void **state)
{
    (void)state;
    static struct http_head head;
    http_head_init(&head);
    assert_int_equal(http_request_parse((const uint8_t *)"\r\n\r\n", 4, &world.rules, &head), HTTP_NEED_MORE);
    assert_false(http_head_begun(&head, 4));
    assert_int_equal(http_request_parse((const uint8_t *)"\r\n\r\nG", 5, &world.rules, &head),
                     HTTP_NEED_MORE);
    assert_true(http_head_begun(&head, 5));
}

// Each reason has a name, an end that can be answered, and words that fit into it.
static void test_bad_info__is_complete(void **state)
{
    (void)state;
    for (int bad = -1; bad > -(int)HTTP_BAD_COUNT; bad--) {
        const struct http_bad_info *info = http_bad_info(bad);
        assert_non_null(info->name);
        assert_memory_equal(info->name, "HTTP_BAD_", 9);
        assert_true(strlen(info->detail) > 10);
        assert_true(end_info(info->end)->status >= 400);
        assert_non_null(strchr(end_info(info->end)->text, '%') || info->end == END_EXPECTATION ? "" : NULL);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
    const struct CMUnitTest tests[] = {
        T(test_rule_1__refused_as_soon_as_a_byte_cannot_be_right),
        T(test_rule_2__framing_that_can_be_read_in_two_ways),
        T(test_rule_3__lines_end_with_crlf_only),
        T(test_rule_5__names_values_and_lines),
        T(test_rule_5__each_byte_in_a_name_and_in_a_value),
        T(test_rule_6__exactly_one_host_of_the_right_form),
        T(test_rule_6__forms_of_the_target),
        T(test_rule_6__a_few_empty_lines_before_a_request),
        T(test_rule_7__versions),
        T(test_rule_9__expectations_and_upgrades),
        T(test_rule_10__credentials_and_connection),
        T(test_keep_alive__by_version_and_connection),
        T(test_framing__lengths_of_every_number_of_digits),
        T(test_head__says_what_was_sent),
        T(test_head__targets_in_all_forms),
        T(test_head__methods),
        T(test_head__pipelined_requests_do_not_see_each_other),
        T(test_limits__bytes_of_the_head),
        T(test_limits__target_name_and_number_of_fields),
        T(test_parse__slow_sender_is_not_read_twice),
        T(test_begun__not_by_empty_lines),
        T(test_bad_info__is_complete),
    };
    return cmocka_run_group_tests_name("http_request", tests, NULL, NULL);
}
