// url: tables of what is taken apart and how, what is refused, and encoding and decoding against each
// other. Every input lies flush against a forbidden page.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/url.h"

static struct guard guards[2];

static int open_guards(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) guards[i] = guard_open(4096);
    return 0;
}

static int close_guards(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) guard_close(&guards[i]);
    return 0;
}

static struct span flush(const char *text)
{
    const size_t n = strlen(text);
    return span_of(guard_put(&guards[0], text, n), n);
}

static void same(struct span got, const char *expected)
{
    if (!span_eq(got, span_str(expected))) fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(got), expected);
}

static void test_parse__parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *authority, *path, *query;
        uint16_t port;
        bool tls, ipv6, has_query;
    } cases[] = {
        {"https://api.openai.com/v1", "api.openai.com", "api.openai.com", "/v1", "", 443, true, false, false},
        {"http://127.0.0.1:8000/v1/", "127.0.0.1", "127.0.0.1:8000", "/v1", "", 8000, false, false, false},
        {"HTTP://Host", "Host", "Host", "", "", 80, false, false, false},
        {"http://h/", "h", "h", "", "", 80, false, false, false},
        {"http://h:80/a/b", "h", "h", "/a/b", "", 80, false, false, false},
        {"https://h:443", "h", "h", "", "", 443, true, false, false},
        {"https://h:80", "h", "h:80", "", "", 80, true, false, false},
        {"http://h:00080/", "h", "h", "", "", 80, false, false, false},
        {"http://[::1]", "::1", "[::1]", "", "", 80, false, true, false},
        {"https://[2001:db8::1]:8443/x", "2001:db8::1", "[2001:db8::1]:8443", "/x", "", 8443, true, true,
         false},
        {"https://h?a=b", "h", "h", "", "a=b", 443, true, false, true},
        {"https://h/p?", "h", "h", "/p", "", 443, true, false, true},
        {"https://h/p/?a/b?c", "h", "h", "/p", "a/b?c", 443, true, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct url u;
        const char *why = NULL;
        assert_int_equal(url_parse(flush(cases[i].text), &u, &why), RW_OK);
        assert_null(why);
        same(u.host, cases[i].host);
        same(u.authority, cases[i].authority);
        same(u.path, cases[i].path);
        same(u.query, cases[i].query);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.tls, cases[i].tls);
        assert_int_equal(u.ipv6, cases[i].ipv6);
        assert_int_equal(u.has_query, cases[i].has_query);
    }
}

static void test_parse__refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "http://"},
        {"api.openai.com", "http://"},
        {"ftp://h", "http://"},
        {"http:/h", "http://"},
        {"https:h", "http://"},
        {"http://", "no host"},
        {"http:///x", "no host"},
        {"http://?x", "no host"},
        {"http://user@h/", "user name"},
        {"http://user:secret@h/", "user name"},
        {"http://@h", "user name"},
        {"http://h:0", "port"},
        {"http://h:65536", "port"},
        {"http://h:", "port"},
        {"http://h:x", "port"},
        {"http://::1", "host"},
        {"http://[::1", "host"},
        {"http://a b/", "host"},
        {"http://h/#x", "fragment"},
        {"http://h#x", "fragment"},
        {"http://h/a//b", "path"},
        {"http://h/a/../b", "path"},
        {"http://h/a b", "path"},
        {"http://h/%2e%2e/b", "path"},
        {"http://h/a?b c", "query"},
        {"http://h/a?b\x7f", "query"},
        {"http://h/a?\xc3\xa9", "query"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct url u = {.port = 7};
        const char *why = NULL;
        assert_int_equal(url_parse(flush(cases[i].text), &u, &why), RW_E_BAD);
        assert_non_null(why);
        if (!strstr(why, cases[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, why, cases[i].why);
        assert_int_equal(u.port, 7); // untouched
        assert_int_equal(url_parse(flush(cases[i].text), &u, NULL), RW_E_BAD);
    }
}

static void test_decode__bytes(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool plus;
    } cases[] = {{"", "", false},
                 {"abc", "abc", false},
                 {"a%20b", "a b", false},
                 {"%41%4a%4A%7e", "AJJ~", false},
                 {"a+b", "a+b", false},
                 {"a+b%2B", "a b+", true},
                 {"%2f%2F", "//", false},
                 {"%25%32%35", "%25", false},
                 {"%c3%a9", "\xc3\xa9", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t n = strlen(cases[i].out);
        struct span got;
        uint8_t *out = guard_put(&guards[1], cases[i].in, n);
        assert_int_equal(url_decode(flush(cases[i].in), cases[i].plus, out, (uint32_t)n, &got), RW_OK);
        same(got, cases[i].out);
        if (n > 0) {
            assert_int_equal(url_decode(flush(cases[i].in), cases[i].plus, out, (uint32_t)n - 1, &got),
                             RW_E_TOO_LARGE);
        }
        // In its own place.
        struct span in = flush(cases[i].in);
        assert_int_equal(url_decode(in, cases[i].plus, (uint8_t *)(uintptr_t)in.p, in.n, &got), RW_OK);
        same(got, cases[i].out);
    }
    static const char *const bad[] = {"%",   "%4",  "a%",  "%4g", "%g4", "%%41", "% 1",
                                      "%-1", "%+1", "%:0", "%@0", "%`0", "%/0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t out[16];
        struct span got = {NULL, 42};
        assert_int_equal(url_decode(flush(bad[i]), false, out, sizeof out, &got), RW_E_BAD);
        assert_int_equal(got.n, 42);
    }
    uint8_t out[4];
    struct span got;
    assert_int_equal(url_decode(flush("a%00b"), false, out, sizeof out, &got), RW_OK);
    assert_int_equal(got.n, 3);
    assert_memory_equal(got.p, "a\0b", 3);
}

static void test_encode__comes_back_and_fits_exactly(void **state)
{
    (void)state;
    struct prng prng;
    prng_seed(&prng, 11);
    for (int round = 0; round < 2000; round++) {
        uint8_t text[40], coded[120], back[40];
        const uint32_t n = prng_below(&prng, 40);
        for (uint32_t i = 0; i < n; i++) text[i] = (uint8_t)(prng_below(&prng, 2) ? prng_next(&prng) : 'a');
        struct span out, again;
        const bool slash = prng_below(&prng, 2);
        assert_int_equal(url_encode(span_of(text, n), slash, coded, sizeof coded, &out), RW_OK);
        for (uint32_t i = 0; i < out.n; i++) assert_true(out.p[i] > ' ' && out.p[i] < 0x7f);
        assert_int_equal(url_decode(out, true, back, sizeof back, &again), RW_OK);
        assert_true(span_eq(again, span_of(text, n)));
        uint8_t *tight = guard_put(&guards[1], coded, out.n);
        struct span fit;
        assert_int_equal(url_encode(span_of(text, n), slash, tight, out.n, &fit), RW_OK);
        if (out.n > 0) {
            assert_int_equal(url_encode(span_of(text, n), slash, coded, out.n - 1, &fit), RW_E_TOO_LARGE);
        }
    }
    uint8_t out[64];
    struct span got;
    assert_int_equal(url_encode(SPAN("a b/c:d~_.-%"), false, out, sizeof out, &got), RW_OK);
    same(got, "a%20b%2Fc%3Ad~_.-%25");
    assert_int_equal(url_encode(SPAN("a/b\xff"), true, out, sizeof out, &got), RW_OK);
    same(got, "a/b%FF");
}

static void test_query__find(void **state)
{
    (void)state;
    struct span value;
    assert_int_equal(url_query_find(flush("key=a%20b&x=1"), SPAN("key"), &value), 1);
    same(value, "a%20b");
    assert_int_equal(url_query_find(flush("x=1&k%65y=2"), SPAN("key"), &value), 1);
    same(value, "2");
    assert_int_equal(url_query_find(flush("key=1&key=2&key=3"), SPAN("key"), &value), 2);
    same(value, "1");
    assert_int_equal(url_query_find(flush("key"), SPAN("key"), &value), 1);
    same(value, "");
    assert_non_null(value.p);
    assert_int_equal(url_query_find(flush("&&key=a=b&"), SPAN("key"), &value), 1);
    same(value, "a=b");
    assert_int_equal(url_query_find(flush("a+b=1"), SPAN("a b"), &value), 1);
    static const char *const without[] = {"",       "ke=1",  "keyy=1", "Key=1",    "k%=1",
                                          "key%=1", "k%6=1", "x=key",  "%6bey%=1", "=key"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        assert_int_equal(url_query_find(flush(without[i]), SPAN("key"), &value), 0);
        assert_null(value.p);
    }
    struct span rest = flush("a=1&&b&=c&"), name;
    assert_true(url_query_next(&rest, &name, &value));
    same(name, "a");
    same(value, "1");
    assert_true(url_query_next(&rest, &name, &value));
    same(name, "b");
    same(value, "");
    assert_true(url_query_next(&rest, &name, &value));
    same(name, "");
    same(value, "c");
    assert_false(url_query_next(&rest, &name, &value));
}

static void test_path_check__what_may_be_routed(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum url_path expected;
    } cases[] = {
        {"/", URL_PATH_PLAIN},
        {"/v1/chat/completions", URL_PATH_PLAIN},
        {"/v1/", URL_PATH_PLAIN},
        {"/v1beta/models/gemini-2.5-pro:generateContent", URL_PATH_PLAIN},
        {"/a.b/..c/d../...", URL_PATH_PLAIN},
        {"/model/a%3Ab/converse", URL_PATH_ENCODED},
        {"/a%20b", URL_PATH_ENCODED},
        {"/%c3%a9", URL_PATH_ENCODED},
        {"/a%2e", URL_PATH_ENCODED},
        {"/%2e%2e%2e", URL_PATH_ENCODED},
        {"/%252e%252e/x", URL_PATH_ENCODED}, // decodes to "%2e%2e", which is a name
        {"/model/arn%3Aaws%3Abedrock%3Ax%2Fprofile%2Fy/converse", URL_PATH_ENCODED_SLASH},
        {"/a%2fb/c%20d", URL_PATH_ENCODED_SLASH},
        {"", URL_PATH_BAD},
        {"v1", URL_PATH_BAD},
        {"*", URL_PATH_BAD},
        {"//", URL_PATH_BAD},
        {"//a", URL_PATH_BAD},
        {"/a//b", URL_PATH_BAD},
        {"/a//", URL_PATH_BAD},
        {"/.", URL_PATH_BAD},
        {"/..", URL_PATH_BAD},
        {"/./a", URL_PATH_BAD},
        {"/a/..", URL_PATH_BAD},
        {"/a/../b", URL_PATH_BAD},
        {"/a/./", URL_PATH_BAD},
        {"/%2e", URL_PATH_BAD},
        {"/%2E%2e/b", URL_PATH_BAD},
        {"/.%2e/b", URL_PATH_BAD},
        {"/%2e./b", URL_PATH_BAD},
        {"/a%2F..%2Fb", URL_PATH_BAD},
        {"/a%2F%2e%2E%2Fb", URL_PATH_BAD},
        {"/..%2Fb", URL_PATH_BAD},
        {"/a%2F..", URL_PATH_BAD},
        {"/a%2F.%2Fb", URL_PATH_BAD},
        {"/a%2F%2Fb", URL_PATH_BAD},
        {"/%2Fa", URL_PATH_BAD},
        {"/a%2F", URL_PATH_BAD},
        {"/a\\b", URL_PATH_BAD},
        {"/a%5cb", URL_PATH_BAD},
        {"/a%00", URL_PATH_BAD},
        {"/a%0d%0ab", URL_PATH_BAD},
        {"/a%1f", URL_PATH_BAD},
        {"/a%7f", URL_PATH_BAD},
        {"/a%", URL_PATH_BAD},
        {"/a%2", URL_PATH_BAD},
        {"/a%2/b", URL_PATH_BAD},
        {"/a%zz", URL_PATH_BAD},
        {"/a b", URL_PATH_BAD},
        {"/a\x01", URL_PATH_BAD},
        {"/\xc3\xa9", URL_PATH_BAD},
        {"/a?b", URL_PATH_BAD},
        {"/a#b", URL_PATH_BAD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const enum url_path got = url_path_check(flush(cases[i].path));
        if (got != cases[i].expected) fail_msg("%s: %d, not %d", cases[i].path, got, cases[i].expected);
    }
}

static void test_path_next__segments(void **state)
{
    (void)state;
    struct span rest = flush("/v1/models/x"), s;
    assert_true(url_path_next(&rest, &s));
    same(s, "v1");
    assert_true(url_path_next(&rest, &s));
    same(s, "models");
    assert_true(url_path_next(&rest, &s));
    same(s, "x");
    assert_false(url_path_next(&rest, &s));
    rest = flush("/a/");
    assert_true(url_path_next(&rest, &s));
    same(s, "a");
    assert_true(url_path_next(&rest, &s));
    same(s, "");
    assert_false(url_path_next(&rest, &s));
    rest = flush("/");
    assert_true(url_path_next(&rest, &s));
    same(s, "");
    assert_false(url_path_next(&rest, &s));
}

static void test_join__one_slash(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"/v1", "/chat", "/v1/chat"},
                                           {"", "/chat", "/chat"},
                                           {"/v1/", "/chat", "/v1/chat"},
                                           {"/v1", "chat", "/v1/chat"},
                                           {"/v1//", "//chat", "/v1/chat"},
                                           {"", "", "/"},
                                           {"/", "/", "/"},
                                           {"/a", "/b/", "/a/b/"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t n = (uint32_t)strlen(cases[i][2]);
        uint8_t *out = guard_put(&guards[1], cases[i][2], n);
        memset(out, '#', n);
        struct span got;
        assert_int_equal(url_join(span_str(cases[i][0]), flush(cases[i][1]), out, n, &got), RW_OK);
        same(got, cases[i][2]);
        assert_int_equal(url_join(span_str(cases[i][0]), flush(cases[i][1]), out, n - 1, &got),
                         RW_E_TOO_LARGE);
    }
}

static void test_path_below__whole_segments(void **state)
{
    (void)state;
    assert_true(url_path_below(flush("/v1"), SPAN("/v1")));
    assert_true(url_path_below(flush("/v1/x"), SPAN("/v1")));
    assert_true(url_path_below(flush("/v1/x"), SPAN("/v1/")));
    assert_true(url_path_below(flush("/v1"), SPAN("/v1/")));
    assert_true(url_path_below(flush("/x"), SPAN("/")));
    assert_true(url_path_below(flush("/x"), SPAN("")));
    assert_false(url_path_below(flush("/v10"), SPAN("/v1")));
    assert_false(url_path_below(flush("/v"), SPAN("/v1")));
    assert_false(url_path_below(flush("/"), SPAN("/v1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__parts),
        cmocka_unit_test(test_parse__refused_with_a_reason),
        cmocka_unit_test(test_decode__bytes),
        cmocka_unit_test(test_encode__comes_back_and_fits_exactly),
        cmocka_unit_test(test_query__find),
        cmocka_unit_test(test_path_check__what_may_be_routed),
        cmocka_unit_test(test_path_next__segments),
        cmocka_unit_test(test_join__one_slash),
        cmocka_unit_test(test_path_below__whole_segments),
    };
    return cmocka_run_group_tests_name("url", tests, open_guards, close_guards);
}
