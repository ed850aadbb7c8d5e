// account_tags: whose tags a record has, out of the account, the head and the body, by tables of what goes in and what comes out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/account_tags.h"
#include "providers/dialect.h"

#define TAGS_TEXT_BYTES 2048

// "a=1|b=2": what a request with these comes to.
static void tags_are(const char *account, const char *header, const char *body, const struct dialect *dialect,
                     const char *want)
{
    struct budget budget = {.limit = MIB(16)};
    struct arena_pool pool;
    struct arena arena;
    arena_pool_init(&pool, &budget, 0);
    arena_init(&arena, &pool, 1 << 20);
    char head[1024], got[TAGS_TEXT_BYTES] = "";
    const int n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nhost: x\r\n%s%s%s\r\n",
                           header ? "x-ringway-tags: " : "", header ? header : "", header ? "\r\n" : "");
    struct call call = {.arena = &arena};
    const struct http_rules rules = HTTP_RULES_DEFAULT;
    assert_int_equal(http_request_parse((const uint8_t *)head, (uint32_t)n, &rules, &call.head), n);
    struct span items[16], rest = span_str(account);
    struct principal who = {0};
    uint32_t count = 0;
    while (rest.n && span_split(&rest, '|', &items[count])) count++;
    who.tags[1] = (struct principal_list){items, count};
    who.tagged = count > 0;
    const struct route route = {.dialect = dialect};
    struct exchange x = {.call = &call, .principal = &who, .route = &route, .body = span_str(body)};
    x.scan = arena_alloc(&arena, JSON_SCAN_BYTES(FIELD_COUNT));
    memset(x.scan, 0, JSON_SCAN_BYTES(FIELD_COUNT));
    static const char *const paths[] = {"metadata"};
    struct json_fields fields;
    struct json_scan s;
    json_fields_make(&fields, paths, 1);
    assert_int_equal(json_scan(&s, &fields, JSON_TOP_OBJECT, x.body), 1);
    x.scan->value[FIELD_METADATA] = s.value[0];
    struct store_texts t = {0};
    if (account_has_tags(&x)) account_tags(&x, &t);
    for (uint32_t i = 0, at = 0; i < t.tags_count; i++)
        at += (uint32_t)snprintf(got + at, sizeof got - at, "%s%.*s", i ? "|" : "", SPAN_ARG(t.tags[i]));
    assert_string_equal(got, want);
    arena_done(&arena);
    arena_pool_done(&pool);
}

static void test_account_tags__of_the_body(void **state)
{
    (void)state;
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"{}", ""},
        {"{\"metadata\":null}", ""},
        {"{\"metadata\":\"a=1\"}", ""},
        {"{\"metadata\":[\"a=1\"]}", ""},
        {"{\"metadata\":{}}", ""},
        {"{\"metadata\":{\"a\":\"1\",\"b\":\"x=y\"}}", "a=1|b=x=y"},
        {"{\"metadata\":{\"a\":1,\"b\":true,\"c\":null,\"d\":{},\"e\":\"5\"}}", "e=5"},
        {"{\"metadata\":{\"\\u0061\":\"\\u0031\\n\",\"b\":\"\"}}", "a=1\n|b="},
        {"{\"metadata\":{\"a=b\":\"1\",\"\":\"2\",\"\\ud800\":\"3\",\"c\":\"\\ud800\",\"d\":\"4\"}}", "d=4"},
        {"{\"metadata\":{\"a\":\"1\",\"a\":\"2\"}}", "a=1"},
        {"{\"metadata\":{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":\"\",\"7\":\"\",\"8\":"
         "\"\",\"9\":\"\"}}",
         "1=|2=|3=|4=|5=|6=|7=|8="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        tags_are("", NULL, rows[i].body, &dialect_openai, rows[i].want);
    tags_are("", NULL, "{\"metadata\":{\"user_id\":\"u\"}}", &dialect_anthropic, "");
}

static void test_account_tags__bounds_of_one(void **state)
{
    (void)state;
    char body[512], want[512];
    for (int n = STORE_TEXT_BYTES_MAX - 2; n <= STORE_TEXT_BYTES_MAX; n++) {
        snprintf(body, sizeof body, "{\"metadata\":{\"a\":\"%0*d\",\"b\":\"1\"}}", n, 0);
        snprintf(want, sizeof want, "a=%0*d|b=1", n, 0);
        tags_are("", NULL, body, &dialect_openai, n + 2 <= STORE_TEXT_BYTES_MAX ? want : "b=1");
    }
}

static void test_account_tags__of_the_header(void **state)
{
    (void)state;
    tags_are("", "a=1, b=2 ,,c,=d,e=", "{}", &dialect_openai, "a=1|b=2|e=");
    tags_are("", "a=1,a=2,a=1", "{}", &dialect_openai, "a=1");
}

static void test_account_tags__the_account_first(void **state)
{
    (void)state;
    tags_are("project=red", NULL, "{}", &dialect_openai, "project=red");
    tags_are("project=red", "project=blue,stage=x",
             "{\"metadata\":{\"project\":\"green\",\"stage\":\"y\",\"z\":\"1\"}}", &dialect_openai,
             "project=red|stage=x|z=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account_tags__of_the_body),
        cmocka_unit_test(test_account_tags__bounds_of_one),
        cmocka_unit_test(test_account_tags__of_the_header),
        cmocka_unit_test(test_account_tags__the_account_first),
    };
    return cmocka_run_group_tests_name("account_tags", tests, NULL, NULL);
}
