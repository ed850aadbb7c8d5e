// Losses: for every field of a request and every dialect, what becomes of it is found out by translating it: it is mapped (or
// says what the target does anyway), dropped and named, or refused. The table that comes out is compared with the one that was
// agreed on; with PRINT=1 in the environment it is printed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"

#define TOOL \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}," \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}],"
#define PART(part) \
    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}," part "]}]"
#define SCHEMA "{\"type\":\"object\",\"properties\":{}}"

// M mapped, D dropped, R refused, S refused unless lenient. One letter for each target of the list.
struct line {
    const char *what;
    const char *name; // in the list of losses
    const char *members; // of the request
    const char *verdicts;
};

// From OpenAI: to Anthropic, to Gemini, to Mistral.
static const struct dialect *const openai_targets[] = {&dialect_anthropic, &dialect_gemini, &dialect_mistral};
static const struct line openai_lines[] = {
    {"max_completion_tokens", "", "\"max_completion_tokens\":5", "MMM"},
    {"max_tokens", "", "\"max_tokens\":5", "MMM"},
    {"temperature", "temperature", "\"temperature\":1.5", "MMM"},
    {"top_p", "top_p", "\"top_p\":0.5", "MMM"},
    {"top_k", "top_k", "\"top_k\":40", "MMD"},
    {"stop", "stop", "\"stop\":[\"a\",\"b\"]", "MMM"},
    {"n", "n", "\"n\":2", "SMM"},
    {"n = 1", "n", "\"n\":1", "MMM"},
    {"seed", "seed", "\"seed\":7", "DMM"},
    {"presence_penalty", "presence_penalty", "\"presence_penalty\":0.5", "DMM"},
    {"presence_penalty = 0", "presence_penalty", "\"presence_penalty\":0", "MMM"},
    {"frequency_penalty", "frequency_penalty", "\"frequency_penalty\":0.5", "DMM"},
    {"logit_bias", "logit_bias", "\"logit_bias\":{\"1\":2}", "DDD"},
    {"logprobs", "logprobs", "\"logprobs\":true", "SMS"},
    {"top_logprobs", "top_logprobs", "\"top_logprobs\":2", "SMS"},
    {"user", "user", "\"user\":\"u1\"", "MDD"},
    {"user, an e-mail", "user", "\"user\":\"a@b.c\"", "DDD"},
    {"safety_identifier", "safety_identifier", "\"safety_identifier\":\"u1\"", "MDD"},
    {"metadata", "metadata", "\"metadata\":{\"a\":\"b\"}", "DDM"},
    {"store", "store", "\"store\":true", "DDD"},
    {"prompt_cache_key", "prompt_cache_key", "\"prompt_cache_key\":\"k\"", "DDM"},
    {"prediction", "prediction", "\"prediction\":{\"type\":\"content\",\"content\":\"x\"}", "DDM"},
    {"verbosity", "verbosity", "\"verbosity\":\"low\"", "DDD"},
    {"service_tier auto", "service_tier", "\"service_tier\":\"auto\"", "MMD"},
    {"service_tier flex", "service_tier", "\"service_tier\":\"flex\"", "DMD"},
    {"stream_options", "", "\"stream\":true,\"stream_options\":{\"include_usage\":true}", "MMM"},
    {"tools", "", TOOL "\"stream\":false", "MMM"},
    {"tools: []", "", "\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false", "MMM"},
    {"tool_choice none", "tool_choice", TOOL "\"tool_choice\":\"none\"", "MMM"},
    {"tool_choice required", "tool_choice", TOOL "\"tool_choice\":\"required\"", "MMM"},
    {"tool_choice function", "tool_choice",
     TOOL "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", "MMM"},
    {"tool_choice allowed_tools", "tool_choice",
     TOOL
     "\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":"
     "\"function\",\"function\":{\"name\":\"f\"}}]}}",
     "MMM"},
    {"parallel_tool_calls false", "parallel_tool_calls", TOOL "\"parallel_tool_calls\":false", "MDM"},
    {"functions", "", "\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"f\"}", "MMM"},
    {"custom tools", "tools", "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]", "RRR"},
    {"response_format json_object", "response_format", "\"response_format\":{\"type\":\"json_object\"}",
     "MMM"},
    {"response_format json_schema", "response_format",
     "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":" SCHEMA "}}",
     "MMM"},
    {"reasoning_effort", "reasoning_effort", "\"reasoning_effort\":\"high\"", "MMM"},
    {"modalities audio", "modalities", "\"modalities\":[\"text\",\"audio\"]", "RRR"},
    {"modalities text", "modalities", "\"modalities\":[\"text\"]", "MMM"},
    {"audio", "audio", "\"audio\":{\"voice\":\"alloy\",\"format\":\"wav\"}", "RRR"},
    {"web_search_options", "web_search_options", "\"web_search_options\":{}", "SMS"},
    {"moderation", "moderation", "\"moderation\":{\"model\":\"m\"}", "DDD"},
    {"unknown field", "frobnicate", "\"frobnicate\":1", "DDD"},
    {"name on user", "messages.name", "\"messages\":[{\"role\":\"user\",\"name\":\"n\",\"content\":\"x\"}]",
     "DDD"},
    {"image detail", "messages.content.image_url.detail",
     PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
          "png;base64,AAAA\",\"detail\":\"low\"}}"),
     "DDM"},
    {"image by URL", "messages.content.image_url",
     PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}"), "MRM"},
    {"input_audio", "messages.content.input_audio",
     PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\",\"format\":\"wav\"}}"), "RMR"},
    {"file, PDF", "",
     PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/"
          "pdf;base64,AAAA\",\"filename\":\"a\"}}"),
     "MMM"},
    {"file, text", "", PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,YWJj\"}}"),
     "MMM"},
    {"file_id", "messages.content.file_id", PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"), "RRR"},
    {"cache_control", "cache_control",
     PART("{\"type\":\"text\",\"text\":\"y\",\"cache_control\":{\"type\":\"ephemeral\"}}"), "MDD"},
    {"strict tool", "tools.strict",
     "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":" SCHEMA
     "}}]",
     "MDM"},
};

// From Anthropic: to OpenAI, to Gemini.
static const struct dialect *const anthropic_targets[] = {&dialect_openai, &dialect_gemini};
static const struct line anthropic_lines[] = {
    {"max_tokens", "", "\"max_tokens\":5", "MM"},
    {"system", "", "\"system\":[{\"type\":\"text\",\"text\":\"s\"}]", "MM"},
    {"temperature", "temperature", "\"temperature\":0.5", "MM"},
    {"top_k", "top_k", "\"top_k\":40", "DM"},
    {"stop_sequences, 4", "stop_sequences", "\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\"]", "MM"},
    {"stop_sequences, 5", "stop_sequences", "\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", "RM"},
    {"metadata.user_id", "user", "\"metadata\":{\"user_id\":\"u1\"}", "MD"},
    {"tools", "",
     "\"tools\":[{\"name\":\"f\",\"input_schema\":" SCHEMA "}],\"tool_choice\":{\"type\":\"any\"}", "MM"},
    {"hosted tools", "tools", "\"tools\":[{\"type\":\"web_search_20260318\",\"name\":\"web_search\"}]", "RR"},
    {"disable_parallel_tool_use", "parallel_tool_calls",
     "\"tools\":[{\"name\":\"f\",\"input_schema\":" SCHEMA
     "}],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}",
     "MD"},
    {"thinking enabled", "reasoning_effort",
     "\"max_tokens\":9000,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}", "MM"},
    {"thinking adaptive, effort", "reasoning_effort",
     "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"high\"}", "MM"},
    {"output_config.format", "",
     "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":" SCHEMA "}}", "MM"},
    {"service_tier standard_only", "service_tier", "\"service_tier\":\"standard_only\"", "DD"},
    {"cache_control", "cache_control", "\"cache_control\":{\"type\":\"ephemeral\"}", "DD"},
    {"speed", "speed", "\"speed\":\"fast\"", "DD"},
    {"thinking blocks", "messages.content.thinking",
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":[{\"type\":"
     "\"thinking\","
     "\"thinking\":\"t\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"y\"}]},{\"role\":\"user\","
     "\"content\":\"z\"}]",
     "DD"},
    {"document, PDF", "",
     PART("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/"
          "pdf\",\"data\":\"AAAA\"}}"),
     "MM"},
    {"document, text", "",
     PART("{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/"
          "plain\",\"data\":\"d\"}}"),
     "MM"},
    {"document, citations", "messages.content.citations",
     PART(
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"d\"},"
         "\"citations\":{\"enabled\":true}}"),
     "DD"},
    {"hosted tool's blocks", "server_tool_use",
     PART("{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"n\"}"), "RR"},
};

static struct story_world world;

static char verdict(const struct dialect *from, const struct dialect *to, const struct line *line,
                    enum chat_mode mode)
{
    static char body[4096];
    const bool messages = strstr(line->members, "\"messages\"") != NULL;
    const int n = snprintf(body, sizeof body, "{\"model\":\"m\",%s%s}", line->members,
                           messages ? "" : ",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]");
    const struct span text = span_of(body, (size_t)n);
    struct chat_ctx ctx;
    struct chat_request rq;
    struct json_out o;
    struct dialect_target target = {.model = to->family == DIALECT_GEMINI ? SPAN("gemini-2.5-pro")
                                                                          : SPAN("gpt-4o")};
    if (to->family == DIALECT_ANTHROPIC) target.model = SPAN("claude-sonnet-4-6");
    assert_true(chat_is_object(text));
    chat_ctx_init(&ctx, &world.arena, mode);
    if (from->decode_request(&ctx, text, &rq))
        fail_msg("%s: %.*s: %.*s", line->what, SPAN_ARG(ctx.problem.param), SPAN_ARG(ctx.problem.text));
    json_out_init(&o, &world.arena);
    const enum rw_err err = to->encode_request(&ctx, &rq, &target, &o);
    if (err) assert_true(ctx.problem.unsupported && ctx.problem.text.n);
    if (err) return 'R';
    for (uint32_t i = 0; i < ctx.losses.n; i++)
        if (!span_eq(ctx.losses.name[i], span_str(line->name)))
            fail_msg("%s to %s loses %.*s, too", line->what, to->name, SPAN_ARG(ctx.losses.name[i]));
    return ctx.losses.n ? 'D' : 'M';
}

static void check(const struct dialect *from, const struct dialect *const *targets, uint32_t target_count,
                  const struct line *lines, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t t = 0; t < target_count; t++) {
            const char want = lines[i].verdicts[t];
            const char normal = verdict(from, targets[t], &lines[i], CHAT_NORMAL);
            const char lenient = verdict(from, targets[t], &lines[i], CHAT_LENIENT);
            const char strict = verdict(from, targets[t], &lines[i], CHAT_STRICT);
            const char is = normal == 'R' && lenient == 'D' ? 'S' : normal;
            if (getenv("PRINT")) printf("%-32s %-10s %c\n", lines[i].what, targets[t]->name, is);
            if (is != want) fail_msg("%s to %s: %c, not %c", lines[i].what, targets[t]->name, is, want);
            assert_int_equal(strict, is == 'M' ? 'M' : 'R');
        }
}

static void test_losses__openai(void **state)
{
    (void)state;
    check(&dialect_openai, openai_targets, 3, openai_lines, sizeof openai_lines / sizeof *openai_lines);
}

static void test_losses__anthropic(void **state)
{
    (void)state;
    check(&dialect_anthropic, anthropic_targets, 2, anthropic_lines,
          sizeof anthropic_lines / sizeof *anthropic_lines);
}

static int begin(void **state)
{
    (void)state;
    story_open(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    story_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_losses__openai, begin, end),
        cmocka_unit_test_setup_teardown(test_losses__anthropic, begin, end),
    };
    return cmocka_run_group_tests_name("dialect_losses", tests, NULL, NULL);
}
