// Rules of translation that fixtures do not show: each test gives the text that a client or a provider would send and looks at
// what goes out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"

static struct story_world world;
static struct chat_ctx ctx;
static struct dialect_pipe pipe_now;
static char sent[65536];

static const struct dialect_reply reply = {.id = SPAN_INIT("r1"), .created_s = 1, .usage_wanted = true};

static int begin(void **state)
{
    (void)state;
    story_open(&world);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    story_close(&world);
    return 0;
}

static const char *text_of(struct json_out *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->iov_n; i++) {
        assert_true(n + o->iov[i].iov_len < sizeof sent);
        memcpy(sent + n, o->iov[i].iov_base, o->iov[i].iov_len);
        n += (uint32_t)o->iov[i].iov_len;
    }
    sent[n] = 0;
    return sent;
}

// What goes upstream; NULL if it was refused.
static const char *request(const struct dialect *from, const struct dialect *to, const char *body,
                           const char *model)
{
    static struct chat_request rq;
    struct json_out o;
    const struct dialect_target target = {.model = span_str(model)};
    assert_true(chat_is_object(span_str(body)));
    if (from->decode_request(&ctx, span_str(body), &rq)) return NULL;
    json_out_init(&o, &world.arena);
    if (to->encode_request(&ctx, &rq, &target, &o)) return NULL;
    assert_int_equal(json_out_done(&o), RW_OK);
    return text_of(&o);
}

static const char *stream(const struct dialect *from, const struct dialect *to, const char *text,
                          enum rw_err *ret)
{
    struct json_out o;
    dialect_pipe_init(&pipe_now, from, to, &ctx, &world.scratch, &reply);
    json_out_init(&o, &world.scratch);
    *ret = dialect_pipe_feed(&pipe_now, span_str(text), &o);
    if (!*ret) *ret = dialect_pipe_end(&pipe_now, &o);
    return text_of(&o);
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) fail_msg("no %s in %s", part, text ? text : "(refused)");
}

static void assert_no(const char *text, const char *part)
{
    if (strstr(text, part)) fail_msg("%s in %s", part, text);
}

#define CHUNK(delta) \
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n\n"
#define FINISH(word) \
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" word \
    "\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

// --- Streams.

static void test_stream__halves_of_a_character_are_joined(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(&dialect_openai, &dialect_anthropic,
                             CHUNK("{\"content\":\"a\\ud83d\"}") CHUNK("{\"content\":\"\\ude00b\"}")
                                 CHUNK("{\"content\":\"\\ud83d\"}") FINISH("stop") DONE,
                             &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"text\":\"a\"");
    assert_has(out, "\"text\":\"😀b\"");
    assert_has(out, "\"text\":\"\xef\xbf\xbd\""); // the half that stayed alone
}

static void test_stream__lists_in_chunks_of_openai_have_an_index(void **state)
{
    (void)state;
    enum rw_err err;
    // Its SDK puts lists of a delta together by index, and asserts that every fragment of a call has a function.
    const char *out = stream(
        &dialect_anthropic, &dialect_openai,
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":1}}}\n\n"
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\"}}\n\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\","
        "\"signature\":\"s\"}}\n\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "data: "
        "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\","
        "\"data\":\"r\"}}\n\n"
        "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n"
        "data: "
        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":"
        "1}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "[{\"index\":0,\"type\":\"thinking\",\"signature\":\"s\"}]");
    assert_has(out, "[{\"index\":1,\"type\":\"redacted_thinking\",\"data\":\"r\"}]");
    out = stream(
        &dialect_gemini, &dialect_openai,
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{}},"
        "\"thoughtSignature\":\"c2ln\"}]},\"finishReason\":\"STOP\"}]}\n\n",
        &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"thought_signature\":\"c2ln\"}},\"function\":{\"arguments\":\"\"}}]");
}

static void test_stream__mistral_gets_whole_calls(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(
        &dialect_openai, &dialect_mistral,
        CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
              "\\\"x\\\"\"}}]}") CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":"
                                       "\"g\",\"arguments\":\"\"}}]}")
            CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}")
                FINISH("tool_calls") DONE,
        &err);
    assert_int_equal(err, RW_OK);
    assert_has(out,
               "[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
               "\"{\\\"x\\\":1}\"}}]");
    assert_has(out,
               "[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
               "\"{}\"}}]");
    assert_no(out, "\"function\":{\"arguments\"");
}

static void test_stream__interleaved_calls_become_blocks_in_a_row(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(
        &dialect_openai, &dialect_anthropic,
        CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"
              "}") CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\","
                         "\"arguments\":\"\"}}]}")
            CHUNK("{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\\\"y\\\":2}\"}}]}")
                CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":1}\"}}]}")
                    FINISH("tool_calls") DONE,
        &err);
    assert_int_equal(err, RW_OK);
    const char *x = strstr(out, "{\\\"x\\\":1}"), *stop = strstr(out, "content_block_stop"),
               *y = strstr(out, "{\\\"y\\\":2}");
    assert_true(x && stop && y && x < stop && stop < y);
    assert_has(out, "\"index\":1");
    assert_has(out, "\"stop_reason\":\"tool_use\"");
}

static void test_stream__a_call_without_arguments_is_an_empty_object(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(
        &dialect_anthropic, &dialect_openai,
        "data: "
        "{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":1}"
        "}}\n\n"
        "data: "
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
        "\"name\":\"f\",\"input\":{}}}\n\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "data: "
        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":3}"
        "}\n\n"
        "data: {\"type\":\"message_stop\"}\n\n",
        &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"arguments\":\"{}\"");
    assert_has(out, "\"finish_reason\":\"tool_calls\"");
    assert_has(out, "\"prompt_tokens\":1,\"completion_tokens\":3");
}

static void test_stream__done_without_a_finish_is_not_whole(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(&dialect_openai, &dialect_anthropic, CHUNK("{\"content\":\"a\"}") DONE, &err);
    assert_int_equal(err, RW_E_EOF);
    assert_false(pipe_now.done || pipe_now.finished);
    assert_no(out, "message_stop");
    const struct chat_error broken = {
        .kind = CHAT_E_SERVER, .message = SPAN("It broke off."), .retry_after_ms = -1};
    struct json_out o;
    json_out_init(&o, &world.scratch);
    assert_int_equal(dialect_pipe_fail(&pipe_now, &broken, &o), RW_OK);
    assert_has(text_of(&o), "event: error\ndata: {\"type\":\"error\"");
}

static void test_stream__an_error_before_content_writes_nothing(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(
        &dialect_anthropic, &dialect_openai,
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n"
        "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Busy\"}}\n\n",
        &err);
    assert_int_equal(err, RW_OK);
    assert_string_equal(out, "");
    assert_true(pipe_now.failed && !pipe_now.begun);
    assert_int_equal(pipe_now.error.kind, CHAT_E_OVERLOADED);
    out = stream(
        &dialect_openai, &dialect_anthropic,
        CHUNK("{\"content\":\"a\"}") "data: "
                                     "{\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n" DONE,
        &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "event: error");
    assert_no(out, "message_stop");
}

static void test_stream__structured_output_by_a_call_is_text(void **state)
{
    (void)state;
    enum rw_err err;
    ctx.json_tool = true;
    const char *out = stream(&dialect_openai, &dialect_openai,
                             CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"json_"
                                   "tool_call\",\"arguments\":\"{}\"}}]}") FINISH("tool_calls") DONE,
                             &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"content\":\"{}\"");
    assert_has(out, "\"finish_reason\":\"stop\"");
    assert_no(out, "tool_calls\":");
}

// --- Requests.

static void test_request__turns_alternate(void **state)
{
    (void)state;
    const char *out =
        request(&dialect_openai, &dialect_anthropic,
                "{\"messages\":[{\"role\":\"assistant\",\"content\":\"hi\"},"
                "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"s\"},"
                "{\"role\":\"user\",\"content\":\"b\"},{\"role\":\"assistant\",\"content\":\"so \\n\"}]}",
                "claude-sonnet-4-5");
    assert_has(out, "\"system\":\"s\"");
    assert_has(
        out,
        "\"messages\":[{\"role\":\"user\",\"content\":\".\"},{\"role\":\"assistant\",\"content\":\"hi\"},");
    assert_has(out, "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]");
    assert_has(out, "\"text\":\"so\""); // a beginning must not end in white space
}

#define CALLS \
    "{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"type\":" \
    "\"function\"," \
    "\"function\":{\"name\":\"f\",\"arguments\":\"%s\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":{" \
    "\"name\":\"f\"," \
    "\"arguments\":\"\"}}]}"

static void test_request__results_stand_with_their_calls(void **state)
{
    (void)state;
    static char body[2048];
    snprintf(body, sizeof body,
             "{\"messages\":[" CALLS ",{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"2\"},"
             "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},{\"role\":\"user\",\"content\":"
             "\"y\"}]}",
             "");
    const char *out = request(&dialect_openai, &dialect_anthropic, body, "claude-sonnet-4-5");
    assert_has(out, "\"input\":{}");
    assert_has(
        out,
        "[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"1\"},{\"type\":\"tool_result\","
        "\"tool_use_id\":\"b\",\"content\":\"2\"},{\"type\":\"text\",\"text\":\"y\"}]");
}

static void assert_refused(const char *body, const char *param, const char *text)
{
    assert_null(request(&dialect_openai, &dialect_anthropic, body, "claude-sonnet-4-5"));
    static char got[512];
    snprintf(got, sizeof got, "%.*s|%.*s", SPAN_ARG(ctx.problem.param), SPAN_ARG(ctx.problem.text));
    assert_has(got, param);
    assert_has(got, text);
}

static void test_request__what_is_missing_is_named(void **state)
{
    (void)state;
    static char body[2048];
    snprintf(body, sizeof body,
             "{\"messages\":[" CALLS ",{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]}", "");
    assert_refused(body, "messages[1].tool_calls", "'b'");
    snprintf(body, sizeof body, "{\"messages\":[" CALLS "]}", "[1]");
    assert_refused(body, "messages[1].tool_calls[0].function.arguments", "not a JSON object");
    assert_refused("{\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]}",
                   "messages[0].tool_call_id", "answers no tool call");
    assert_refused("{\"messages\":[]}", "messages", "at least one");
    assert_refused("{\"messages\":[{\"role\":\"user\",\"content\":\" \"}]}", "messages[0].content", "empty");
    assert_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"temperature\":\"hot\"}",
                   "temperature", "number");
    assert_refused("{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}", "model", "twice");
}

static void test_request__parts_in_parts_have_an_end(void **state)
{
    (void)state;
    static char body[32768];
    uint32_t n = (uint32_t)snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":[");
    const uint32_t deep = 100;
    for (uint32_t i = 0; i < deep; i++)
        n += (uint32_t)snprintf(body + n, sizeof body - n,
                                "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[");
    for (uint32_t i = 0; i < deep; i++) n += (uint32_t)snprintf(body + n, sizeof body - n, "]}");
    snprintf(body + n, sizeof body - n, "]}]}");
    assert_null(request(&dialect_anthropic, &dialect_openai, body, "m"));
    assert_has((const char *)ctx.problem.text.p, "nested too deep");
}

static void test_request__thinking_follows_the_model(void **state)
{
    (void)state;
    const char *body =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":100,\"temperature\":0.2,"
        "\"reasoning_effort\":\"medium\"}";
    const char *out = request(&dialect_openai, &dialect_anthropic, body, "claude-sonnet-4-5-20250929");
    assert_has(out, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}");
    assert_has(out, "\"max_tokens\":2148"); // the budget is a part of it
    assert_no(out, "temperature");
    out = request(&dialect_openai, &dialect_anthropic, body, "claude-opus-4-6");
    assert_has(out, "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"medium\"}");
    out = request(&dialect_openai, &dialect_anthropic, body, "claude-3-haiku-20240307");
    assert_no(out, "thinking");
    assert_has(out, "\"temperature\":0.2");
    out = request(&dialect_openai, &dialect_gemini, body, "gemini-2.5-flash");
    assert_has(out, "\"thinkingConfig\":{\"thinkingBudget\":8192}");
    out = request(&dialect_openai, &dialect_gemini, body, "gemini-3.5-flash");
    assert_has(out, "\"thinkingConfig\":{\"thinkingLevel\":\"MEDIUM\"}");
}

static void test_request__mistral_takes_ids_of_nine_characters(void **state)
{
    (void)state;
    static char body[2048];
    snprintf(body, sizeof body,
             "{\"seed\":5,\"messages\":[" CALLS
             ",{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},"
             "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"2\"}],\"tools\":[{\"type\":"
             "\"function\",\"function\":"
             "{\"name\":\"f\"}}],\"tool_choice\":\"required\"}",
             "");
    const char *out = request(&dialect_openai, &dialect_mistral, body, "mistral-large-latest");
    assert_has(out, "\"random_seed\":5");
    assert_has(out, "\"tool_choice\":\"any\"");
    assert_has(out, "\"parameters\":{\"type\":\"object\"");
    const char *call = strstr(out, "\"tool_calls\":[{\"id\":\""),
               *result = strstr(out, "\"tool_call_id\":\"");
    assert_true(call && result);
    assert_int_equal(call[21 + 9], '"');
    assert_memory_equal(call + 21, result + 16, 10);
}

static void test_request__gemini_wants_a_signature_for_the_first_call(void **state)
{
    (void)state;
    static char body[2048];
    snprintf(body, sizeof body,
             "{\"messages\":[" CALLS
             ",{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"{\\\"t\\\":1}\"},"
             "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"2\"}]}",
             "");
    const char *out = request(&dialect_openai, &dialect_gemini, body, "gemini-3.5-flash");
    assert_has(out, "\"thoughtSignature\":\"skip_thought_signature_validator\"},{\"functionCall\"");
    assert_has(out, "{\"name\":\"f\",\"response\":{\"t\":1}}");
    assert_has(out, "{\"name\":\"f\",\"response\":{\"result\":\"2\"}}");
    assert_no(request(&dialect_openai, &dialect_gemini, body, "gemini-2.5-pro"), "thoughtSignature");
}

// --- Cohere.

static void test_cohere__what_was_said_before_a_call_is_its_plan(void **state)
{
    (void)state;
    const char *out =
        request(&dialect_openai, &dialect_cohere,
                "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\","
                "\"content\":\"I look.\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\","
                "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},{\"role\":\"tool\","
                "\"tool_call_id\":\"a\",\"content\":\"1\"}],\"frequency_penalty\":-1,\"top_p\":1}",
                "command-a-03-2025");
    assert_has(out, "{\"role\":\"assistant\",\"tool_plan\":\"I look.\",\"tool_calls\":[");
    assert_has(out, "\"arguments\":\"{}\"");
    assert_has(out, "\"p\":0.99");
    assert_no(out, "penalty");
    assert_int_equal(ctx.losses.n, 1);
}

static void test_cohere__a_named_tool_is_the_only_one(void **state)
{
    (void)state;
    const char *out =
        request(&dialect_openai, &dialect_cohere,
                "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":"
                "\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":"
                "{\"name\":\"g\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":"
                "{\"name\":\"g\"}}}",
                "command-a-03-2025");
    assert_has(out, "\"tool_choice\":\"REQUIRED\"");
    assert_has(out, "{\"name\":\"g\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}");
    assert_no(out, "\"name\":\"f\"");
    assert_null(request(&dialect_openai, &dialect_cohere,
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":"
                        "\"function\",\"function\":{\"name\":\"f\"}}],\"response_format\":{\"type\":"
                        "\"json_object\"}}",
                        "command-a-03-2025"));
    assert_true(span_eq(ctx.problem.param, SPAN("response_format")));
}

static void test_cohere__thinking_follows_the_model(void **state)
{
    (void)state;
    const char *body =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"reasoning_effort\":\"medium\"}";
    assert_has(request(&dialect_openai, &dialect_cohere, body, "command-a-reasoning-08-2025"),
               "\"thinking\":{\"type\":\"enabled\",\"token_budget\":4096}");
    assert_int_equal(ctx.losses.n, 0);
    assert_no(request(&dialect_openai, &dialect_cohere, body, "command-r-plus-08-2024"), "thinking");
    assert_int_equal(ctx.losses.n, 1);
}

static void test_cohere__documents_go_with_the_question(void **state)
{
    (void)state;
    const char *body =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"documents\":[\"one\",{\"data\":"
        "{\"title\":\"T\",\"text\":\"two\"},\"id\":\"d1\"}],\"safety_mode\":\"OFF\"}";
    const char *out = request(&dialect_cohere, &dialect_anthropic, body, "claude-sonnet-4-6");
    assert_has(out, "\"data\":\"one\"},\"citations\":{\"enabled\":true}}");
    assert_has(out, "\"title\":\"T\"");
    assert_has(out, ",{\"type\":\"text\",\"text\":\"x\"}]");
    out = request(&dialect_cohere, &dialect_cohere, body, "command-a-03-2025");
    assert_has(out, "\"content\":\"x\"");
    assert_has(out, "\"documents\":[\"one\",{\"data\":{\"title\":\"T\",\"text\":\"two\"},\"id\":\"d1\"}]");
    assert_has(out, "\"safety_mode\":\"OFF\"");
}

static void test_cohere__version_1_is_named(void **state)
{
    (void)state;
    assert_null(request(&dialect_cohere, &dialect_openai, "{\"message\":\"hi\"}", "m"));
    assert_true(span_eq(ctx.problem.param, SPAN("message")));
    assert_has((const char *)ctx.problem.text.p, "/v2/chat");
}

static void test_cohere__what_a_filter_stopped_is_not_complete(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(&dialect_openai, &dialect_cohere,
                             CHUNK("{\"content\":\"a\"}") FINISH("content_filter") DONE, &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"finish_reason\":\"ERROR\",\"error\":\"A content filter stopped the answer.\"");
    assert_no(out, "COMPLETE");
}

static void test_cohere__log_probabilities(void **state)
{
    (void)state;
    enum rw_err err;
    const char *text =
        "data: {\"type\":\"message-start\",\"id\":\"m\"}\n\n"
        "data: "
        "{\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\","
        "\"text\":\"\"}}}}\n\n"
        "data: "
        "{\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}},"
        "\"logprobs\":{\"text\":\"Hi\",\"token_ids\":[7,8],\"logprobs\":[-0.5,-1.25]}}\n\n"
        "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n";
    const char *out = stream(&dialect_cohere, &dialect_openai, text, &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "{\"token\":\"Hi\",\"logprob\":-0.5,");
    assert_has(out, "{\"token\":\"\",\"logprob\":-1.25,");
    out = stream(&dialect_cohere, &dialect_cohere, text, &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "\"logprobs\":{\"text\":\"Hi\",\"token_ids\":[7],\"logprobs\":[-0.5]}}");
}

// --- Responses.

#define RESPONSE_REFUSED(body, name, words) \
    do { \
        assert_null(request(&dialect_responses, &dialect_openai, body, "m")); \
        assert_true(ctx.problem.unsupported &&span_eq(ctx.problem.param, SPAN(name))); \
        assert_has((const char *)ctx.problem.text.p, words); \
    } while (0)

static void test_responses__what_is_kept_elsewhere_is_refused(void **state)
{
    (void)state;
    RESPONSE_REFUSED("{\"input\":\"x\",\"previous_response_id\":\"resp_1\"}", "previous_response_id",
                     "'input'");
    RESPONSE_REFUSED("{\"input\":\"x\",\"conversation\":{\"id\":\"c\"}}", "conversation", "'input'");
    RESPONSE_REFUSED("{\"input\":\"x\",\"background\":true}", "background", "background");
    RESPONSE_REFUSED("{\"input\":\"x\",\"store\":true}", "store", "store: false");
    RESPONSE_REFUSED("{\"input\":\"x\",\"prompt\":{\"id\":\"p\"}}", "prompt", "stored prompt");
    RESPONSE_REFUSED("{\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}", "input", "store: false");
    // The same where nothing is translated; nulls and what asks for nothing may pass.
    assert_int_equal(
        dialect_responses.check(&ctx, SPAN("{\"input\":[{\"type\":\"item_reference\",\"id\":\"m\"}]}")),
        RW_E_BAD);
    assert_int_equal(
        dialect_responses.check(&ctx,
                                SPAN("{\"input\":\"x\",\"previous_response_id\":null,\"background\":"
                                     "false,\"store\":true}")),
        RW_OK);
}

static void test_responses__items_become_messages(void **state)
{
    (void)state;
    const char *out = request(
        &dialect_responses, &dialect_anthropic,
        "{\"instructions\":\"s\",\"input\":[{\"role\":\"user\",\"content\":\"x\"},"
        "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"t\"}],"
        "\"encrypted_content\":\"rw1.proof\"},"
        "{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":"
        "[{\"type\":\"output_text\",\"text\":\"I look.\",\"annotations\":[],\"logprobs\":[]}]},"
        "{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call\",\"call_id\":\"b\",\"name\":\"f\",\"arguments\":\"\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"1\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"b\",\"output\":[{\"type\":\"input_text\",\"text\":"
        "\"2\"}]}]}",
        "claude-sonnet-4-6");
    assert_has(out, "\"system\":\"s\"");
    assert_has(
        out,
        "{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"proof\"},{\"type\":\"text\",\"text\":"
        "\"I look.\"},{\"type\":\"tool_use\",\"id\":\"a\"");
    assert_has(out, "\"tool_use_id\":\"b\",\"content\":\"2\"");
    assert_int_equal(ctx.losses.n, 0);
}

static void test_responses__a_stream_counts_and_repeats(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(
        &dialect_openai, &dialect_responses,
        CHUNK("{\"reasoning_content\":\"Hm.\"}") CHUNK("{\"content\":\"a\"}") CHUNK("{\"content\":\"b\"}")
            CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\","
                  "\"arguments\":\"{}\"}}]}") FINISH("tool_calls") DONE,
        &err);
    assert_int_equal(err, RW_OK);
    uint32_t n = 0;
    for (const char *at = out; (at = strstr(at, "event: ")); at++, n++) {
        char number[32];
        snprintf(number, sizeof number, "\"sequence_number\":%u}", (unsigned)n);
        const char *end = strstr(at, "\n\n"), *found = strstr(at, number);
        assert_true(found && end && found < end);
    }
    assert_int_equal(n, 20);
    const char *last = strstr(out, "event: response.completed");
    assert_non_null(last);
    assert_has(last, "\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm.\"}]");
    assert_has(last, "\"text\":\"ab\"");
    assert_has(last, "\"arguments\":\"{}\",\"call_id\":\"c1\",\"name\":\"f\"");
}

static void test_responses__ends_that_are_none(void **state)
{
    (void)state;
    enum rw_err err;
    const char *out = stream(&dialect_openai, &dialect_responses,
                             CHUNK("{\"content\":\"a\"}") FINISH("content_filter") DONE, &err);
    assert_int_equal(err, RW_OK);
    assert_has(out, "event: response.incomplete");
    assert_has(out, "\"incomplete_details\":{\"reason\":\"content_filter\"}");
    out = stream(
        &dialect_openai, &dialect_responses,
        CHUNK("{\"content\":\"a\"}") "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n",
        &err);
    assert_has(out, "event: response.failed");
    assert_has(out, "\"error\":{\"code\":\"server_error\",\"message\":\"no\"}");
    assert_no(out, "response.completed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_responses__what_is_kept_elsewhere_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_responses__items_become_messages, begin, end),
        cmocka_unit_test_setup_teardown(test_responses__a_stream_counts_and_repeats, begin, end),
        cmocka_unit_test_setup_teardown(test_responses__ends_that_are_none, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__what_was_said_before_a_call_is_its_plan, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__a_named_tool_is_the_only_one, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__thinking_follows_the_model, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__documents_go_with_the_question, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__version_1_is_named, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__what_a_filter_stopped_is_not_complete, begin, end),
        cmocka_unit_test_setup_teardown(test_cohere__log_probabilities, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__halves_of_a_character_are_joined, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__lists_in_chunks_of_openai_have_an_index, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__mistral_gets_whole_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__interleaved_calls_become_blocks_in_a_row, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__a_call_without_arguments_is_an_empty_object, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__done_without_a_finish_is_not_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__an_error_before_content_writes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__structured_output_by_a_call_is_text, begin, end),
        cmocka_unit_test_setup_teardown(test_request__turns_alternate, begin, end),
        cmocka_unit_test_setup_teardown(test_request__results_stand_with_their_calls, begin, end),
        cmocka_unit_test_setup_teardown(test_request__what_is_missing_is_named, begin, end),
        cmocka_unit_test_setup_teardown(test_request__parts_in_parts_have_an_end, begin, end),
        cmocka_unit_test_setup_teardown(test_request__thinking_follows_the_model, begin, end),
        cmocka_unit_test_setup_teardown(test_request__mistral_takes_ids_of_nine_characters, begin, end),
        cmocka_unit_test_setup_teardown(test_request__gemini_wants_a_signature_for_the_first_call, begin,
                                        end),
    };
    return cmocka_run_group_tests_name("dialect_rules", tests, NULL, NULL);
}
