// access: tables of names and ranges, and the verdicts in their order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "policy/access.h"

static void test_name__exact_beginning_or_everything(void **state)
{
    (void)state;
    assert_true(access_name_matches(SPAN("gpt-4o"), SPAN("gpt-4o")));
    assert_false(access_name_matches(SPAN("gpt-4o"), SPAN("gpt-4o-mini")));
    assert_false(access_name_matches(SPAN("gpt-4o-mini"), SPAN("gpt-4o")));
    assert_true(access_name_matches(SPAN("gpt-4*"), SPAN("gpt-4o")));
    assert_true(access_name_matches(SPAN("openai/*"), SPAN("openai/o3")));
    assert_false(access_name_matches(SPAN("openai/*"), SPAN("openai")));
    assert_true(access_name_matches(SPAN("*"), SPAN("")));
    assert_false(access_name_matches(SPAN(""), SPAN("x")));
    assert_false(access_name_matches(SPAN("a*b"), SPAN("axb"))); // a star counts at the end only
}

static void test_range__parses_and_matches(void **state)
{
    (void)state;
    static const struct {
        const char *range, *addr;
        int want; // -1: no range
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", 1},
        {"10.0.0.0/8", "11.0.0.1", 0},
        {"10.0.0.0/8", "::ffff:10.1.2.3", 1},
        {"192.168.1.77", "192.168.1.77", 1},
        {"192.168.1.77", "192.168.1.78", 0},
        {"192.168.1.64/27", "192.168.1.95", 1},
        {"192.168.1.64/27", "192.168.1.96", 0},
        {"0.0.0.0/0", "8.8.8.8", 1},
        {"0.0.0.0/0", "2001:db8::1", 0},
        {"::/0", "2001:db8::1", 1},
        {"2001:db8::/33", "2001:db8:7fff::1", 1},
        {"2001:db8::/33", "2001:db8:8000::1", 0},
        {"::1", "::1", 1},
        {"::ffff:10.0.0.0/104", "10.9.9.9", 1},
        {"10.0.0.1/8", "", -1}, // bits behind the mask
        {"10.0.0.0/33", "", -1},
        {"::/129", "", -1},
        {"10.0.0.0/", "", -1},
        {"10.0.0.0/-1", "", -1},
        {"10.0.0/8", "", -1},
        {"/8", "", -1},
        {"", "", -1},
        {"localhost", "", -1},
        {"10.0.0.0/0008", "", -1},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111/1", "", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct access_range r;
        const enum rw_err err = access_range_parse(span_str(cases[i].range), &r);
        if ((err == RW_OK) != (cases[i].want >= 0)) fail_msg("%s: %d", cases[i].range, err);
        if (err != RW_OK) continue;
        uint8_t addr[16];
        uint32_t n = 4;
        if (inet_pton(AF_INET, cases[i].addr, addr) != 1) {
            n = 16;
            assert_int_equal(inet_pton(AF_INET6, cases[i].addr, addr), 1);
        }
        if (access_range_has(&r, addr, n) != cases[i].want)
            fail_msg("%s has %s", cases[i].range, cases[i].addr);
    }
}

static void test_check__verdicts(void **state)
{
    (void)state;
    const struct span models[] = {SPAN("gpt-4o"), SPAN("anthropic/*")}, providers[] = {SPAN("openai")};
    struct access_range range;
    assert_int_equal(access_range_parse(SPAN("10.0.0.0/8"), &range), RW_OK);
    struct access a = {0};
    const uint8_t inside[] = {10, 1, 1, 1}, outside[] = {11, 1, 1, 1};
    struct access_ask ask = {.addr = outside, .addr_bytes = 4, .model = SPAN("o3"), .provider = SPAN("groq")};
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_OK); // nothing was given
    a.models = (struct access_names){models, 2, true};
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_MODEL);
    ask.full_model = SPAN("anthropic/claude-opus-5");
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_OK);
    ask.full_model = (struct span){NULL, 0};
    ask.model = SPAN("gpt-4o");
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_OK);
    ask.model = (struct span){NULL, 0}; // not known yet
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_OK);
    a.providers = (struct access_names){providers, 1, true};
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_PROVIDER);
    ask.provider = SPAN("openai");
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_OK);
    ask.region = SPAN("us-east-1");
    a.regions = (struct access_names){NULL, 0, true}; // given, and empty
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_REGION);
    a.cidrs = (struct access_ranges){&range, 1, true};
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_ADDRESS);
    ask.addr = inside;
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_REGION);
    ask.addr = NULL;
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_ADDRESS);
    a.expires_ns = 100;
    assert_int_equal(access_check(&a, &ask, 99), ACCESS_ADDRESS);
    assert_int_equal(access_check(&a, &ask, 100), ACCESS_EXPIRED);
    a.disabled = true;
    assert_int_equal(access_check(&a, &ask, 99), ACCESS_DISABLED);
    assert_string_equal(access_verdict_name(ACCESS_EXPIRED), "expired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name__exact_beginning_or_everything),
        cmocka_unit_test(test_range__parses_and_matches),
        cmocka_unit_test(test_check__verdicts),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
