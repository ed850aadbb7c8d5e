// Goal: each path leads to its route, with the model that stands in it; what only looks like one leads nowhere.
//
// Method: a table of paths.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gateway/route.h"
#include "providers/dialect.h"

static void test_find__paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum route_kind kind;
        const struct dialect *dialect;
        const char *rest;
        bool named, says_stream, streams;
    } cases[] = {
        {"/v1/chat/completions", ROUTE_PASS_JSON, &dialect_openai, "", false, false, false},
        {"/v1/chat/completions/", ROUTE_NONE, NULL, "", false, false, false},
        {"/openai/v1/chat/completions", ROUTE_PASS_JSON, &dialect_openai, "", false, false, false},
        {"/openai/v1/responses", ROUTE_PASS_JSON, &dialect_responses, "", false, false, false},
        {"/openai/v1/models", ROUTE_MODELS, NULL, "", false, false, false},
        {"/openai/v1/messages", ROUTE_NONE, NULL, "", false, false, false},
        {"/openai/v1", ROUTE_NONE, NULL, "", false, false, false},
        {"/openai/chat/completions", ROUTE_NONE, NULL, "", false, false, false},
        {"/openai/deployments/d/chat/completions", ROUTE_PASS_JSON, &dialect_openai, "d", true, false, false},
        {"/openai/deployments/a%2Fb/embeddings", ROUTE_PASS_JSON, &dialect_openai, "a%2Fb", true, false,
         false},
        {"/openai/deployments//chat/completions", ROUTE_NONE, NULL, "", false, false, false},
        {"/v1/models/m", ROUTE_MODEL, NULL, "m", false, false, false},
        {"/v1/models/m:generateContent", ROUTE_PASS_JSON, &dialect_gemini, "m", true, true, false},
        {"/v1beta/models/m:streamGenerateContent", ROUTE_PASS_JSON, &dialect_gemini, "m", true, true, true},
        {"/model/a:0/converse", ROUTE_PASS_JSON, &dialect_converse, "a:0", true, true, false},
        {"/model/a/converse-stream", ROUTE_PASS_JSON, &dialect_converse, "a", true, true, true},
        {"/model/eu.a%3A0/invoke", ROUTE_PASS_JSON, &dialect_invoke_nova, "eu.a%3A0", true, true, false},
        {"/model/a/invoke-with-response-stream", ROUTE_PASS_JSON, &dialect_invoke_nova, "a", true, true,
         true},
        {"/model//invoke", ROUTE_NONE, NULL, "", false, false, false},
        {"/v1/projects/p/locations/l/publishers/google/models/m:generateContent", ROUTE_PASS_JSON,
         &dialect_gemini, "m", true, true, false},
        {"/v1beta1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent", ROUTE_PASS_JSON,
         &dialect_gemini, "m", true, true, true},
        {"/v1/projects/p/locations/l/publishers/anthropic/models/m@1:rawPredict", ROUTE_PASS_JSON,
         &dialect_anthropic, "m@1", true, true, false},
        {"/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", ROUTE_PASS_JSON,
         &dialect_anthropic, "m", true, true, true},
        {"/v1/projects/p/locations/l/publishers/other/models/m:rawPredict", ROUTE_NONE, NULL, "", false,
         false, false},
        {"/v1/projects/p/locations", ROUTE_NONE, NULL, "", false, false, false},
        {"/v1/projects/p/elsewhere/l/publishers/google/models/m:generateContent", ROUTE_NONE, NULL, "", false,
         false, false},
        {"/nowhere", ROUTE_NONE, NULL, "", false, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span rest;
        const struct route *r = route_find(span_str(cases[i].path), &rest);
        if (r->kind != cases[i].kind || r->dialect != cases[i].dialect ||
            !span_eq(rest, span_str(cases[i].rest)))
            fail_msg("%s: kind %d, rest %.*s", cases[i].path, (int)r->kind, SPAN_ARG(rest));
        if (r->kind != ROUTE_PASS_JSON) continue;
        assert_int_equal(route_names_model(r), cases[i].named);
        assert_int_equal(route_says_stream(r), cases[i].says_stream);
        assert_int_equal(route_streams(r), cases[i].streams);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find__paths)};
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
