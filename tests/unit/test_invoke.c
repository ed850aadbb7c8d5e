// Goal: clients of Bedrock's InvokeModel send the bodies of Claude, Nova and Titan and get answers of the same kind, from a
// provider of any dialect; the streams are frames that hold the model's own events.
//
// Method: texts as a client or a provider sends them; recorded streams of providers. What was written is read by the decoders.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"
#include "wire/aws_event.h"

static struct story_world world;
static struct chat_ctx ctx;
static char sent[65536];
static const struct dialect *const bodies[] = {&dialect_invoke_claude, &dialect_invoke_nova};

static const struct dialect_reply reply = {
    .id = SPAN_INIT("r1"), .model = SPAN_INIT("asked"), .created_s = 1, .usage_wanted = true};

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
    assert_int_equal(json_out_done(o), RW_OK);
    const struct span text = json_out_flat(o);
    assert_true(text.p && text.n < sizeof sent);
    memcpy(sent, text.p, text.n);
    sent[text.n] = 0;
    return sent;
}

// What goes upstream; NULL if it was refused.
static const char *request(const struct dialect *from, const struct dialect *to, const char *body,
                           const char *model)
{
    struct chat_request rq;
    struct json_out o;
    const struct dialect_target target = {.model = span_str(model)};
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    assert_true(chat_is_object(span_str(body)));
    if (from->decode_request(&ctx, span_str(body), &rq)) return NULL;
    json_out_init(&o, &world.arena);
    return to->encode_request(&ctx, &rq, &target, &o) ? NULL : text_of(&o);
}

static const char *answer(const struct dialect *from, const char *body, const struct dialect *to)
{
    struct chat_answer a;
    struct json_out o;
    assert_true(chat_is_object(span_str(body)));
    assert_int_equal(dialect_answer(&ctx, from, span_str(body), &a), RW_OK);
    json_out_init(&o, &world.arena);
    assert_int_equal(to->encode_answer(&ctx, &a, &reply, &o), RW_OK);
    return text_of(&o);
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) fail_msg("no %s in %s", part, text ? text : "(refused)");
}

static void assert_no(const char *text, const char *part)
{
    if (!text || strstr(text, part)) fail_msg("%s in %s", part, text ? text : "(refused)");
}

// --- Which body.

static void test_invoke__the_model_says_whose_body_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *model, *body;
        const struct dialect *is;
    } cases[] = {
        {"anthropic.claude-3-haiku-20240307-v1:0", "{}", &dialect_invoke_claude},
        {"aws/us.anthropic.claude-opus-5", "{\"inputText\":\"a\"}", &dialect_invoke_claude},
        {"arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-text-express-v1", "{}",
         &dialect_invoke_titan},
        {"eu.amazon.nova-lite-v1:0", "{\"anthropic_version\":\"x\"}", &dialect_invoke_nova},
        {"not-anthropic.x", "{}", &dialect_invoke_nova},
        {"haiku", "{\"anthropic_version\":\"bedrock-2023-05-31\"}", &dialect_invoke_claude},
        {"express", "{\"inputText\":\"a\"}", &dialect_invoke_titan},
        {"micro", "{\"messages\":[]}", &dialect_invoke_nova},
        {"", "{}", &dialect_invoke_nova},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(dialect_invoke(span_str(cases[i].model), span_str(cases[i].body))->name,
                            cases[i].is->name);
    assert_true(dialect_is_titan(SPAN("amazon.titan-text-lite-v1")));
    assert_false(dialect_is_titan(SPAN("amazon.titan-embed-text-v1")));
}

// --- Claude.

static void test_claude__a_request_is_anthropics(void **state)
{
    (void)state;
    static const char body[] = "{\"anthropic_version\":\"bedrock-2023-05-31\",\"anthropic_beta\":[\"b\"],"
                               "\"max_tokens\":64,\"top_k\":5,\"system\":\"terse\","
                               "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    const char *up = request(&dialect_invoke_claude, &dialect_anthropic, body, "claude-3-haiku-20240307");
    assert_has(up, "\"top_k\":5");
    assert_has(up, "\"system\":\"terse\"");
    assert_no(up, "anthropic_");
    char lost[64];
    const uint32_t n = chat_losses_text(&ctx.losses, lost, sizeof lost);
    assert_true(span_eq(span_of(lost, n), SPAN("anthropic_beta")));
    assert_has(request(&dialect_invoke_claude, &dialect_openai, body, "gpt-4o"), "\"content\":\"hi\"");
}

static void test_claude__an_answer_is_anthropics(void **state)
{
    (void)state;
    const char *down =
        answer(&dialect_openai,
               "{\"id\":\"c\",\"choices\":[{\"index\":0,\"finish_reason\":\"length\",\"message\":"
               "{\"role\":\"assistant\",\"content\":\"ho\"}}],\"usage\":{\"prompt_tokens\":7,"
               "\"completion_tokens\":2,\"total_tokens\":9}}",
               &dialect_invoke_claude);
    assert_has(down, "\"type\":\"message\"");
    assert_has(down, "\"text\":\"ho\"");
    assert_has(down, "\"stop_reason\":\"max_tokens\"");
    assert_has(down, "\"input_tokens\":7");
}

// --- Streams.

struct seen {
    char text[4096];
    uint32_t n;
    uint32_t calls;
    bool done, failed;
    struct chat_usage usage;
};

static enum rw_err see(void *arg, const struct chat_event *e)
{
    struct seen *s = arg;
    if (e->kind == CHAT_EV_TEXT || e->kind == CHAT_EV_TOOL_ARGS) {
        assert_true(s->n + e->text.n < sizeof s->text);
        memcpy(s->text + s->n, e->text.p, e->text.n);
        s->n += e->text.n;
        s->text[s->n] = 0;
    }
    if (e->kind == CHAT_EV_USAGE) chat_usage_take(&s->usage, e->usage);
    s->calls += e->kind == CHAT_EV_TOOL_START;
    s->done |= e->kind == CHAT_EV_DONE;
    s->failed |= e->kind == CHAT_EV_ERROR;
    return RW_OK;
}

static void read_all(const struct dialect *d, struct span text, struct seen *s)
{
    struct chat_reader r;
    *s = (struct seen){.n = 0};
    chat_usage_init(&s->usage);
    chat_reader_init(&r, d, &ctx, &world.scratch, see, s);
    assert_int_equal(chat_reader_feed(&r, text), RW_OK);
    assert_int_equal(chat_reader_end(&r), RW_OK);
}

static struct span piped(const struct dialect *from, struct span text, uint32_t step,
                         const struct dialect *to)
{
    static struct dialect_pipe p;
    struct json_out o;
    dialect_pipe_init(&p, from, to, &ctx, &world.scratch, &reply);
    json_out_init(&o, &world.scratch);
    for (uint32_t at = 0; at < text.n; at += step) {
        const uint32_t n = text.n - at < step ? text.n - at : step;
        assert_int_equal(dialect_pipe_feed(&p, (struct span){text.p + at, n}, &o), RW_OK);
    }
    assert_int_equal(dialect_pipe_end(&p, &o), RW_OK);
    assert_int_equal(json_out_done(&o), RW_OK);
    return json_out_flat(&o);
}

// Every frame is an event "chunk".
static uint32_t chunks(struct span text)
{
    struct aws_event_frame f;
    uint32_t n = 0;
    for (int64_t k; text.n; text = span_from(text, (uint32_t)k), n++) {
        k = aws_event_next((const uint8_t *)text.p, text.n, &f);
        assert_true(k > 0 && f.kind == AWS_EVENT_EVENT && span_eq(f.type, SPAN("chunk")));
    }
    return n;
}

static void test_stream__what_was_written_says_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *file;
        const struct dialect *dialect;
    } from[] = {{"anthropic", "text.stream.sse", &dialect_anthropic},
                {"anthropic", "tool_parallel.stream.sse", &dialect_anthropic},
                {"openai", "text.stream.sse", &dialect_openai},
                {"bedrock_converse", "tool_parallel.stream.bin", &dialect_converse}};
    static struct seen was, is;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        for (size_t b = 0; b < 2; b++)
            for (uint32_t step = 1; step < 40; step += 7) {
                const struct span text = story_file(&world, from[i].folder, from[i].file);
                assert_non_null(text.p);
                read_all(from[i].dialect, text, &was);
                const struct span out = piped(from[i].dialect, text, step, bodies[b]);
                assert_true(chunks(out) > 4);
                read_all(bodies[b], out, &is);
                assert_true(is.done && was.done);
                assert_string_equal(is.text, was.text);
                assert_int_equal(is.calls, was.calls);
                assert_int_equal(is.usage.input, was.usage.input);
                assert_int_equal(is.usage.output, was.usage.output);
            }
}

static void test_stream__the_last_event_has_the_metrics(void **state)
{
    (void)state;
    const struct span text = story_file(&world, "anthropic", "text.stream.sse");
    for (size_t b = 0; b < 2; b++) {
        struct span out = piped(&dialect_anthropic, text, text.n, bodies[b]), bytes, last = {NULL, 0};
        struct aws_event_frame f;
        for (int64_t k; out.n; out = span_from(out, (uint32_t)k)) {
            k = aws_event_next((const uint8_t *)out.p, out.n, &f);
            assert_true(json_member(f.payload, SPAN("bytes"), &bytes));
            assert_int_equal(chat_base64_decode(&ctx, chat_text_or_none(&ctx, bytes), &last), RW_OK);
        }
        char copy[1024];
        snprintf(copy, sizeof copy, "%.*s", SPAN_ARG(last));
        assert_has(copy, b ? "{\"metadata\":{\"usage\":" : "{\"type\":\"message_stop\",");
        assert_has(copy, "\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":");
        assert_no(copy, "\"outputTokenCount\":0");
    }
}

static void test_stream__an_error_is_an_exception(void **state)
{
    (void)state;
    const struct chat_error error = {.kind = CHAT_E_RATE, .message = SPAN("slow"), .retry_after_ms = -1};
    static struct seen s;
    for (size_t b = 0; b < 2; b++) {
        static struct dialect_pipe p;
        struct json_out o;
        struct aws_event_frame f;
        dialect_pipe_init(&p, &dialect_openai, bodies[b], &ctx, &world.scratch, &reply);
        json_out_init(&o, &world.scratch);
        assert_int_equal(dialect_pipe_fail(&p, &error, &o), RW_OK);
        const struct span out = json_out_flat(&o);
        assert_int_equal(aws_event_next((const uint8_t *)out.p, out.n, &f), out.n);
        assert_int_equal(f.kind, AWS_EVENT_EXCEPTION);
        assert_true(span_eq(f.type, SPAN("throttlingException")));
        read_all(bodies[b], out, &s);
        assert_true(s.failed && !s.done);
    }
}

// What is in a chunk and is none of the model's events ends the stream.
static void test_stream__chunks_that_are_none(void **state)
{
    (void)state;
    static const char *const payloads[] = {"{\"bytes\":\"bm8=\"}", "{\"bytes\":\"%\"}", "{\"bytes\":7}",
                                           "{\"bytes\":\"\"}"};
    static struct seen s;
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        for (size_t b = 0; b < 2; b++) {
            uint8_t frame[256];
            struct chat_reader r;
            const uint32_t n =
                aws_event_write(AWS_EVENT_EVENT, SPAN("chunk"), span_str(payloads[i]), frame, sizeof frame);
            chat_reader_init(&r, bodies[b], &ctx, &world.scratch, see, &s);
            assert_int_equal(chat_reader_feed(&r, span_of(frame, n)), RW_E_BAD);
        }
}

// --- Nova.

static void test_nova__a_request_is_near_converses(void **state)
{
    (void)state;
    static const char body[] =
        "{\"schemaVersion\":\"messages-v1\",\"system\":[{\"text\":\"terse\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}],"
        "\"inferenceConfig\":{\"maxTokens\":9,\"topP\":0.5,\"topK\":20,\"stopSequences\":[\"X\"]}}";
    const char *up = request(&dialect_invoke_nova, &dialect_converse, body, "amazon.nova-lite-v1:0");
    assert_has(up, "\"additionalModelRequestFields\":{\"inferenceConfig\":{\"topK\":20}}");
    assert_has(up, "\"inferenceConfig\":{\"maxTokens\":9,\"topP\":0.5,\"stopSequences\":[\"X\"]}");
    assert_no(up, "schemaVersion");
    assert_has(request(&dialect_invoke_nova, &dialect_anthropic, body, "claude-3-haiku-20240307"),
               "\"top_k\":20");
    assert_int_equal(ctx.losses.n, 0);
    assert_null(request(&dialect_invoke_nova, &dialect_anthropic,
                        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}],"
                        "\"inferenceConfig\":{\"topK\":\"a\"}}",
                        "m"));
}

static void test_nova__an_answer_has_its_own_counts(void **state)
{
    (void)state;
    const char *down =
        answer(&dialect_anthropic,
               "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"ho\"}],"
               "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":7,\"output_tokens\":2,"
               "\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":3}}",
               &dialect_invoke_nova);
    assert_string_equal(down,
                        "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"ho\"}]}},"
                        "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":7,\"outputTokens\":2,"
                        "\"totalTokens\":17,\"cacheReadInputTokenCount\":5,"
                        "\"cacheWriteInputTokenCount\":3}}");
    char again[1024];
    snprintf(again, sizeof again, "%s", down);
    assert_has(answer(&dialect_invoke_nova, again, &dialect_anthropic),
               "\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":5");
}

// --- Titan.

static void test_titan__a_chat_is_lines_of_one_text(void **state)
{
    (void)state;
    const char *up =
        request(&dialect_invoke_titan, &dialect_openai,
                "{\"inputText\":\"Be terse.\\nUser: hi\\nBot: ho\\nUser: more\\nthan that\\nBot:\","
                "\"textGenerationConfig\":{\"maxTokenCount\":9,\"temperature\":0.5,\"topP\":0.9,"
                "\"stopSequences\":[\"User:\"]}}",
                "gpt-4o");
    assert_has(
        up,
        "{\"role\":\"system\",\"content\":\"Be terse.\"},{\"role\":\"user\",\"content\":\"hi\"},"
        "{\"role\":\"assistant\",\"content\":\"ho\"},{\"role\":\"user\",\"content\":\"more\\nthan that\"}]");
    assert_has(up, "\"stop\":[\"User:\"]");
    assert_has(up, "\"temperature\":0.5");
    static const char *const plain[] = {"hi", "User: hi", "Tell me.\\nBot:", "Bot:", "a User: b\\nBot:"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        char body[128], part[128];
        snprintf(body, sizeof body, "{\"inputText\":\"%s\"}", plain[i]);
        snprintf(part, sizeof part, "\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]", plain[i]);
        assert_has(request(&dialect_invoke_titan, &dialect_openai, body, "m"), part);
    }
}

static void test_titan__a_request_that_is_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{}",
        "{\"inputText\":7}",
        "{\"inputText\":\" \\n\"}",
        "{\"inputText\":\"User:\\nBot:\"}",
        "{\"inputText\":\"a\",\"textGenerationConfig\":{\"topP\":\"1\"}}",
        "{\"inputText\":\"a\",\"textGenerationConfig\":{\"stopSequences\":7}}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *up = request(&dialect_invoke_titan, &dialect_openai, wrong[i], "m");
        if (up) fail_msg("%s becomes %s", wrong[i], up);
        assert_true(ctx.problem.text.n > 0);
    }
}

static void test_titan__an_answer_is_one_result(void **state)
{
    (void)state;
    static const struct {
        const char *stop, *reason;
    } cases[] = {{"end_turn", "FINISH"},
                 {"max_tokens", "LENGTH"},
                 {"stop_sequence", "STOP_CRITERIA_MET"},
                 {"refusal", "CONTENT_FILTERED"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256], want[256];
        snprintf(body, sizeof body,
                 "{\"content\":[{\"type\":\"text\",\"text\":\"h\"},{\"type\":\"text\",\"text\":\"o\"}],"
                 "\"stop_reason\":\"%s\",\"usage\":{\"input_tokens\":7,\"output_tokens\":2}}",
                 cases[i].stop);
        snprintf(want, sizeof want,
                 "{\"inputTextTokenCount\":7,\"results\":[{\"tokenCount\":2,\"outputText\":\"ho\","
                 "\"completionReason\":\"%s\"}]}",
                 cases[i].reason);
        assert_string_equal(answer(&dialect_anthropic, body, &dialect_invoke_titan), want);
        assert_string_equal(answer(&dialect_invoke_titan, want, &dialect_invoke_titan), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_invoke__the_model_says_whose_body_it_is, begin, end),
        cmocka_unit_test_setup_teardown(test_claude__a_request_is_anthropics, begin, end),
        cmocka_unit_test_setup_teardown(test_claude__an_answer_is_anthropics, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__what_was_written_says_the_same, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__the_last_event_has_the_metrics, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__an_error_is_an_exception, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__chunks_that_are_none, begin, end),
        cmocka_unit_test_setup_teardown(test_nova__a_request_is_near_converses, begin, end),
        cmocka_unit_test_setup_teardown(test_nova__an_answer_has_its_own_counts, begin, end),
        cmocka_unit_test_setup_teardown(test_titan__a_chat_is_lines_of_one_text, begin, end),
        cmocka_unit_test_setup_teardown(test_titan__a_request_that_is_none, begin, end),
        cmocka_unit_test_setup_teardown(test_titan__an_answer_is_one_result, begin, end),
    };
    return cmocka_run_group_tests_name("invoke", tests, NULL, NULL);
}
