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

// From OpenAI: to Anthropic, to Gemini, to Mistral, to Cohere, to responses, to Bedrock.
static const struct dialect *const openai_targets[] = {&dialect_anthropic, &dialect_gemini,
                                                       &dialect_mistral,   &dialect_cohere,
                                                       &dialect_responses, &dialect_converse};
static const struct line openai_lines[] = {
    {"max_completion_tokens", "", "\"max_completion_tokens\":5", "MMMMMM"},
    {"max_tokens", "", "\"max_tokens\":5", "MMMMMM"},
    {"temperature", "temperature", "\"temperature\":1.5", "MMMMMM"},
    {"top_p", "top_p", "\"top_p\":0.5", "MMMMMM"},
    {"top_k", "top_k", "\"top_k\":40", "MMDMDM"},
    {"stop", "stop", "\"stop\":[\"a\",\"b\"]", "MMMMSM"},
    {"n", "n", "\"n\":2", "SMMSSS"},
    {"n = 1", "n", "\"n\":1", "MMMMMM"},
    {"seed", "seed", "\"seed\":7", "DMMMDD"},
    {"presence_penalty", "presence_penalty", "\"presence_penalty\":0.5", "DMMMDD"},
    {"presence_penalty = 0", "presence_penalty", "\"presence_penalty\":0", "MMMMMM"},
    {"frequency_penalty", "frequency_penalty", "\"frequency_penalty\":0.5", "DMMMDD"},
    {"logit_bias", "logit_bias", "\"logit_bias\":{\"1\":2}", "DDDDDD"},
    {"logprobs", "logprobs", "\"logprobs\":true", "SMSMMS"},
    {"top_logprobs", "top_logprobs", "\"top_logprobs\":2", "SMSSMS"},
    {"user", "user", "\"user\":\"u1\"", "MDDDMD"},
    {"user, an e-mail", "user", "\"user\":\"a@b.c\"", "DDDDMD"},
    {"safety_identifier", "safety_identifier", "\"safety_identifier\":\"u1\"", "MDDDMD"},
    {"metadata", "metadata", "\"metadata\":{\"a\":\"b\"}", "DDMDMD"},
    {"store", "store", "\"store\":true", "DDDDDD"},
    {"prompt_cache_key", "prompt_cache_key", "\"prompt_cache_key\":\"k\"", "DDMDMD"},
    {"prediction", "prediction", "\"prediction\":{\"type\":\"content\",\"content\":\"x\"}", "DDMDDD"},
    {"verbosity", "verbosity", "\"verbosity\":\"low\"", "DDDDMD"},
    {"service_tier auto", "service_tier", "\"service_tier\":\"auto\"", "MMDDMM"},
    {"service_tier flex", "service_tier", "\"service_tier\":\"flex\"", "DMDDMM"},
    {"stream_options", "", "\"stream\":true,\"stream_options\":{\"include_usage\":true}", "MMMMMM"},
    {"tools", "", TOOL "\"stream\":false", "MMMMMM"},
    {"tools: []", "", "\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false", "MMMMMM"},
    {"tool_choice none", "tool_choice", TOOL "\"tool_choice\":\"none\"", "MMMMMM"},
    {"tool_choice required", "tool_choice", TOOL "\"tool_choice\":\"required\"", "MMMMMM"},
    {"tool_choice function", "tool_choice",
     TOOL "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", "MMMMMM"},
    {"tool_choice allowed_tools", "tool_choice",
     TOOL
     "\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":"
     "\"function\",\"function\":{\"name\":\"f\"}}]}}",
     "MMMMMM"},
    {"parallel_tool_calls false", "parallel_tool_calls", TOOL "\"parallel_tool_calls\":false", "MDMDMD"},
    {"functions", "", "\"functions\":[{\"name\":\"f\"}],\"function_call\":{\"name\":\"f\"}", "MMMMMM"},
    {"custom tools", "tools", "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]", "RRRRRR"},
    {"response_format json_object", "response_format", "\"response_format\":{\"type\":\"json_object\"}",
     "MMMMMM"},
    {"response_format json_schema", "response_format",
     "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\",\"schema\":" SCHEMA "}}",
     "MMMMMM"},
    {"reasoning_effort", "reasoning_effort", "\"reasoning_effort\":\"high\"", "MMMMMM"},
    {"modalities audio", "modalities", "\"modalities\":[\"text\",\"audio\"]", "RRRRRR"},
    {"modalities text", "modalities", "\"modalities\":[\"text\"]", "MMMMMM"},
    {"audio", "audio", "\"audio\":{\"voice\":\"alloy\",\"format\":\"wav\"}", "RRRRRR"},
    {"web_search_options", "web_search_options", "\"web_search_options\":{}", "SMSSSS"},
    {"moderation", "moderation", "\"moderation\":{\"model\":\"m\"}", "DDDDDD"},
    {"unknown field", "frobnicate", "\"frobnicate\":1", "DDDDDD"},
    {"name on user", "messages.name", "\"messages\":[{\"role\":\"user\",\"name\":\"n\",\"content\":\"x\"}]",
     "DDDDDD"},
    {"image detail", "messages.content.image_url.detail",
     PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
          "png;base64,AAAA\",\"detail\":\"low\"}}"),
     "DDMMMD"},
    {"image by URL", "messages.content.image_url",
     PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}"), "MRMMMR"},
    {"input_audio", "messages.content.input_audio",
     PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\",\"format\":\"wav\"}}"), "RMRRRM"},
    {"file, PDF", "",
     PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/"
          "pdf;base64,AAAA\",\"filename\":\"a\"}}"),
     "MMMRMM"},
    {"file, text", "", PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,YWJj\"}}"),
     "MMMMMM"},
    {"file_id", "messages.content.file_id", PART("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}"),
     "RRRRRR"},
    {"cache_control", "cache_control",
     PART("{\"type\":\"text\",\"text\":\"y\",\"cache_control\":{\"type\":\"ephemeral\"}}"), "MDDDDM"},
    {"strict tool", "tools.strict",
     "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":" SCHEMA
     "}}]",
     "MDMDMM"},
};

// From Anthropic: to OpenAI, to Gemini, to Cohere.
static const struct dialect *const anthropic_targets[] = {&dialect_openai, &dialect_gemini, &dialect_cohere};
static const struct line anthropic_lines[] = {
    {"max_tokens", "", "\"max_tokens\":5", "MMM"},
    {"system", "", "\"system\":[{\"type\":\"text\",\"text\":\"s\"}]", "MMM"},
    {"temperature", "temperature", "\"temperature\":0.5", "MMM"},
    {"top_k", "top_k", "\"top_k\":40", "DMM"},
    {"stop_sequences, 4", "stop_sequences", "\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\"]", "MMM"},
    {"stop_sequences, 5", "stop_sequences", "\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", "RMM"},
    {"metadata.user_id", "user", "\"metadata\":{\"user_id\":\"u1\"}", "MDD"},
    {"tools", "",
     "\"tools\":[{\"name\":\"f\",\"input_schema\":" SCHEMA "}],\"tool_choice\":{\"type\":\"any\"}", "MMM"},
    {"hosted tools", "tools", "\"tools\":[{\"type\":\"web_search_20260318\",\"name\":\"web_search\"}]",
     "RRR"},
    {"disable_parallel_tool_use", "parallel_tool_calls",
     "\"tools\":[{\"name\":\"f\",\"input_schema\":" SCHEMA
     "}],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}",
     "MDD"},
    {"thinking enabled", "reasoning_effort",
     "\"max_tokens\":9000,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}", "MMM"},
    {"thinking adaptive, effort", "reasoning_effort",
     "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"high\"}", "MMM"},
    {"output_config.format", "",
     "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":" SCHEMA "}}", "MMM"},
    {"service_tier standard_only", "service_tier", "\"service_tier\":\"standard_only\"", "DDD"},
    {"cache_control", "cache_control", "\"cache_control\":{\"type\":\"ephemeral\"}", "DDD"},
    {"speed", "speed", "\"speed\":\"fast\"", "DDD"},
    {"thinking blocks", "messages.content.thinking",
     "\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":[{\"type\":"
     "\"thinking\","
     "\"thinking\":\"t\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"y\"}]},{\"role\":\"user\","
     "\"content\":\"z\"}]",
     "DDD"},
    {"document, PDF", "",
     PART("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/"
          "pdf\",\"data\":\"AAAA\"}}"),
     "MMR"},
    {"document, text", "",
     PART("{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/"
          "plain\",\"data\":\"d\"}}"),
     "MMM"},
    {"document, citations", "messages.content.citations",
     PART(
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"d\"},"
         "\"citations\":{\"enabled\":true}}"),
     "DDD"},
    {"hosted tool's blocks", "server_tool_use",
     PART("{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"n\"}"), "RRR"},
};

// From Cohere: to OpenAI, to Anthropic, to Gemini, to Mistral.
static const struct dialect *const cohere_targets[] = {&dialect_openai, &dialect_anthropic, &dialect_gemini,
                                                       &dialect_mistral};
static const struct line cohere_lines[] = {
    {"max_tokens", "", "\"max_tokens\":5", "MMMM"},
    {"temperature", "", "\"temperature\":0.5", "MMMM"},
    {"p", "", "\"p\":0.5", "MMMM"},
    {"k", "top_k", "\"k\":40", "DMMD"},
    {"stop_sequences", "", "\"stop_sequences\":[\"a\"]", "MMMM"},
    {"seed", "seed", "\"seed\":7", "MDMM"},
    {"presence_penalty", "presence_penalty", "\"presence_penalty\":0.5", "MDMM"},
    {"logprobs", "logprobs", "\"logprobs\":true", "MSMS"},
    {"tools", "", TOOL "\"tool_choice\":\"REQUIRED\"", "MMMM"},
    {"strict_tools", "strict_tools", TOOL "\"strict_tools\":true", "DDDD"},
    {"response_format", "", "\"response_format\":{\"type\":\"json_object\",\"json_schema\":" SCHEMA "}",
     "MMMM"},
    {"thinking", "", "\"thinking\":{\"type\":\"enabled\",\"token_budget\":2048}", "MMMM"},
    {"documents", "messages.content.citations",
     "\"documents\":[\"d\",{\"data\":{\"text\":\"e\"},\"id\":\"1\"}]", "DMDD"},
    {"citation_options", "citation_options", "\"citation_options\":{\"mode\":\"FAST\"}", "DDDD"},
    {"safety_mode", "safety_mode", "\"safety_mode\":\"STRICT\"", "DDDD"},
    {"priority", "priority", "\"priority\":1", "DDDD"},
};

// From responses: to OpenAI, to Anthropic, to Gemini, to Mistral, to Cohere.
#define FUNCTION "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":" SCHEMA "}],"
#define ASK "\"input\":\"x\""
static const struct dialect *const responses_targets[] = {&dialect_openai, &dialect_anthropic,
                                                          &dialect_gemini, &dialect_mistral, &dialect_cohere};
static const struct line responses_lines[] = {
    {"instructions", "", "\"instructions\":\"s\"," ASK, "MMMMM"},
    {"max_output_tokens", "", "\"max_output_tokens\":5," ASK, "MMMMM"},
    {"temperature", "", "\"temperature\":0.5," ASK, "MMMMM"},
    {"top_p", "", "\"top_p\":0.5," ASK, "MMMMM"},
    {"tools", "", FUNCTION "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}," ASK, "MMMMM"},
    {"allowed_tools", "",
     FUNCTION "\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":"
              "\"function\",\"name\":\"f\"}]}," ASK,
     "MMMMM"},
    {"hosted tools", "tools", "\"tools\":[{\"type\":\"web_search\"}]," ASK, "RRRRR"},
    {"custom tools", "tools", "\"tools\":[{\"type\":\"custom\",\"name\":\"c\"}]," ASK, "RRRRR"},
    {"parallel_tool_calls false", "parallel_tool_calls", FUNCTION "\"parallel_tool_calls\":false," ASK,
     "MMDMD"},
    {"text.format", "",
     "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"s\",\"schema\":" SCHEMA "}}," ASK, "MMMMM"},
    {"text.verbosity", "verbosity", "\"text\":{\"verbosity\":\"low\"}," ASK, "DDDDD"},
    {"reasoning", "", "\"reasoning\":{\"effort\":\"high\",\"summary\":\"auto\"}," ASK, "MMMMM"},
    {"top_logprobs", "top_logprobs", "\"top_logprobs\":2," ASK, "MSMSS"},
    {"include logprobs", "logprobs", "\"include\":[\"message.output_text.logprobs\"]," ASK, "MSMSM"},
    {"include reasoning", "", "\"include\":[\"reasoning.encrypted_content\"]," ASK, "MMMMM"},
    {"include others", "include", "\"include\":[\"file_search_call.results\"]," ASK, "DDDDD"},
    {"truncation disabled", "", "\"truncation\":\"disabled\"," ASK, "MMMMM"},
    {"truncation auto", "truncation", "\"truncation\":\"auto\"," ASK, "DDDDD"},
    {"store false", "", "\"store\":false," ASK, "MMMMM"},
    {"max_tool_calls", "max_tool_calls", "\"max_tool_calls\":3," ASK, "DDDDD"},
    {"user", "user", "\"user\":\"u1\"," ASK, "MMDDD"},
    {"safety_identifier", "safety_identifier", "\"safety_identifier\":\"u1\"," ASK, "DMDDD"},
    {"metadata", "metadata", "\"metadata\":{\"a\":\"b\"}," ASK, "DDDMD"},
    {"image", "",
     "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"data:image/"
     "png;base64,AAAA\"}]}]",
     "MMMMM"},
    {"file, PDF", "",
     "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"filename\":\"a\",\"file_data\":"
     "\"data:application/pdf;base64,AAAA\"}]}]",
     "MMMMR"},
    {"file_id", "",
     "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}]", "RRRRR"},
    {"hosted tool's items", "web_search_call",
     "\"input\":[{\"role\":\"user\",\"content\":\"x\"},{\"type\":\"web_search_call\",\"id\":\"w\"}]",
     "RRRRR"},
};

// From Bedrock: to OpenAI, to Anthropic, to Gemini, to Mistral, to Cohere, to responses.
#define SAY "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]"
#define SPEC \
    "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":" SCHEMA "}}}],"
static const struct dialect *const converse_targets[] = {&dialect_openai, &dialect_anthropic,
                                                         &dialect_gemini, &dialect_mistral,
                                                         &dialect_cohere, &dialect_responses};
static const struct line converse_lines[] = {
    {"system", "", "\"system\":[{\"text\":\"s\"}]," SAY, "MMMMMM"},
    {"inferenceConfig", "", "\"inferenceConfig\":{\"maxTokens\":5,\"temperature\":0.5}," SAY, "MMMMMM"},
    {"topP", "", "\"inferenceConfig\":{\"topP\":0.5}," SAY, "MMMMMM"},
    {"stopSequences", "stop", "\"inferenceConfig\":{\"stopSequences\":[\"a\"]}," SAY, "MMMMMS"},
    {"top_k", "top_k", "\"additionalModelRequestFields\":{\"top_k\":40}," SAY, "DMMDMD"},
    {"thinking", "",
     "\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}," SAY,
     "MMMMMM"},
    {"other model fields", "additionalModelRequestFields", "\"additionalModelRequestFields\":{\"x\":1}," SAY,
     "DDDDDD"},
    {"toolChoice any", "", SPEC "\"toolChoice\":{\"any\":{}}}," SAY, "MMMMMM"},
    {"toolChoice tool", "", SPEC "\"toolChoice\":{\"tool\":{\"name\":\"f\"}}}," SAY, "MMMMMM"},
    {"systemTool", "tools", "\"toolConfig\":{\"tools\":[{\"systemTool\":{\"name\":\"n\"}}]}," SAY, "RRRRRR"},
    {"textFormat", "",
     "\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{\"schema\":"
     "\"{\\\"type\\\":\\\"object\\\"}\"}}}}," SAY,
     "MMMMMM"},
    {"requestMetadata", "requestMetadata", "\"requestMetadata\":{\"a\":\"b\"}," SAY, "DDDDDD"},
    {"performanceConfig", "performanceConfig", "\"performanceConfig\":{\"latency\":\"optimized\"}," SAY,
     "DDDDDD"},
    {"cachePoint", "cache_control",
     "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"},{\"cachePoint\":{\"type\":\"default\"}}]"
     "}]",
     "DMDDDD"},
    {"guardContent", "messages.content",
     "\"messages\":[{\"role\":\"user\",\"content\":[{\"guardContent\":{}}]}]", "RRRRRR"},
};

static struct story_world world;

static char verdict(const struct dialect *from, const struct dialect *to, const struct line *line,
                    enum chat_mode mode)
{
    static char body[4096];
    const bool messages = strstr(line->members, "\"messages\"") || strstr(line->members, "\"input\"");
    const int n =
        snprintf(body, sizeof body, "{%s%s%s}", from->model_in_path ? "" : "\"model\":\"m\",", line->members,
                 messages ? "" : ",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]");
    const struct span text = span_of(body, (size_t)n);
    struct chat_ctx ctx;
    struct chat_request rq;
    struct json_out o;
    struct dialect_target target = {.model = to->family == DIALECT_GEMINI ? SPAN("gemini-2.5-pro")
                                                                          : SPAN("gpt-4o")};
    if (to->family == DIALECT_ANTHROPIC) target.model = SPAN("claude-sonnet-4-6");
    if (to->family == DIALECT_BEDROCK) target.model = SPAN("anthropic.claude-sonnet-4-5-20250929-v1:0");
    if (to->family == DIALECT_COHERE) target.model = SPAN("command-a-reasoning-08-2025");
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
    check(&dialect_openai, openai_targets, 6, openai_lines, sizeof openai_lines / sizeof *openai_lines);
}

static void test_losses__anthropic(void **state)
{
    (void)state;
    check(&dialect_anthropic, anthropic_targets, 3, anthropic_lines,
          sizeof anthropic_lines / sizeof *anthropic_lines);
}

static void test_losses__cohere(void **state)
{
    (void)state;
    check(&dialect_cohere, cohere_targets, 4, cohere_lines, sizeof cohere_lines / sizeof *cohere_lines);
}

static void test_losses__responses(void **state)
{
    (void)state;
    check(&dialect_responses, responses_targets, 5, responses_lines,
          sizeof responses_lines / sizeof *responses_lines);
}

static void test_losses__converse(void **state)
{
    (void)state;
    check(&dialect_converse, converse_targets, 6, converse_lines,
          sizeof converse_lines / sizeof *converse_lines);
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
        cmocka_unit_test_setup_teardown(test_losses__cohere, begin, end),
        cmocka_unit_test_setup_teardown(test_losses__responses, begin, end),
        cmocka_unit_test_setup_teardown(test_losses__converse, begin, end),
    };
    return cmocka_run_group_tests_name("dialect_losses", tests, NULL, NULL);
}
