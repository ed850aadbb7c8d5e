// Goal: the table of provider types is whole, and its templates are filled with what the configuration says.
//
// Method: every row is looked at for what a request needs of it; templates with settings that are there, missing, too long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "providers/provider.h"

static void test_rows__each_says_what_a_request_needs(void **state)
{
    (void)state;
    for (int i = 0; i < PROVIDER_ROWS; i++) {
        const struct provider_row *r = &provider_rows[i];
        assert_non_null(r->name);
        assert_non_null(r->dialect);
        assert_non_null(r->prefix);
        assert_int_equal(r->chat[0], '/');
        assert_int_equal(r->whole == NULL, r->stream == NULL);
        // The model stands where its dialect has it, or in the path of another form.
        assert_true(r->whole || !r->dialect->model_in_path);
        if (i != PROVIDER_ECHO) assert_true(span_ends(span_str(r->key_field), SPAN(" ")));
        if (r->base_url && !(r->flags & PROVIDER_ORIGIN))
            assert_true(span_ends(span_str(r->base_url), SPAN("/v1")));
    }
}

static void test_fill__settings(void **state)
{
    (void)state;
    const struct provider_settings s = {.region = "eu-west-1", .location = "europe-west4"};
    char out[64];
    const char *missing = NULL;
    assert_int_equal(provider_fill(provider_rows[PROVIDER_BEDROCK].base_url, &s, out, sizeof out, &missing),
                     RW_OK);
    assert_string_equal(out, "https://bedrock-runtime.eu-west-1.amazonaws.com");
    assert_int_equal(provider_fill("{location}/x/{location}", &s, out, sizeof out, &missing), RW_OK);
    assert_string_equal(out, "europe-west4/x/europe-west4");
    assert_int_equal(provider_fill("plain", &s, out, sizeof out, &missing), RW_OK);
    assert_string_equal(out, "plain");
    assert_int_equal(provider_fill("a/{project}", &s, out, sizeof out, &missing), RW_E_NOT_FOUND);
    assert_string_equal(missing, "project");
}

static void test_fill__too_long(void **state)
{
    (void)state;
    const struct provider_settings s = {.region = "r1"};
    char out[8];
    const char *missing = NULL;
    assert_int_equal(provider_fill("abcde{region}", &s, out, 8, &missing), RW_OK);
    assert_string_equal(out, "abcder1");
    assert_int_equal(provider_fill("abcdef{region}", &s, out, 8, &missing), RW_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows__each_says_what_a_request_needs),
        cmocka_unit_test(test_fill__settings),
        cmocka_unit_test(test_fill__too_long),
    };
    return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
