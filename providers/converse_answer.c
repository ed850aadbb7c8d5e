// See dialect.h: whole answers and errors in Bedrock's Converse dialect, both ways.
#include "providers/converse_priv.h"

// --- Usage. Its inputTokens leave out what was cached; the model's input does not.

enum rw_err chat_converse_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret)
{
    enum { INPUT, OUTPUT, TOTAL, READ, WRITE, NOVA_READ, NOVA_WRITE, COUNT };
    static const struct span keys[] = {SPAN_INIT("inputTokens"),
                                       SPAN_INIT("outputTokens"),
                                       SPAN_INIT("totalTokens"),
                                       SPAN_INIT("cacheReadInputTokens"),
                                       SPAN_INIT("cacheWriteInputTokens"),
                                       SPAN_INIT("cacheReadInputTokenCount"),
                                       SPAN_INIT("cacheWriteInputTokenCount")};
    struct span v[COUNT];
    chat_usage_init(ret);
    RW_TRY(chat_members(ctx, usage, keys, COUNT, v, &ret->extra));
    if (!chat_has(v[READ])) v[READ] = v[NOVA_READ];
    if (!chat_has(v[WRITE])) v[WRITE] = v[NOVA_WRITE];
    const int64_t input = chat_count(v[INPUT]);
    ret->cached = chat_count(v[READ]);
    ret->cache_write = chat_count(v[WRITE]);
    ret->output = chat_count(v[OUTPUT]);
    if (input >= 0)
        ret->input =
            input + (ret->cached > 0 ? ret->cached : 0) + (ret->cache_write > 0 ? ret->cache_write : 0);
    return RW_OK;
}

static uint64_t zero(int64_t count)
{
    return count > 0 ? (uint64_t)count : 0;
}

static void usage_write(const struct chat_usage *u, struct span cache_read, struct span cache_write,
                        struct json_out *o)
{
    const uint64_t cached = zero(u->cached) + zero(u->cache_write), input = zero(u->input);
    json_out_object(o);
    json_out_key_u64(o, SPAN("inputTokens"), input > cached ? input - cached : 0);
    json_out_key_u64(o, SPAN("outputTokens"), zero(u->output));
    json_out_key_u64(o, SPAN("totalTokens"), input + zero(u->output));
    if (u->cached >= 0) json_out_key_u64(o, cache_read, (uint64_t)u->cached);
    if (u->cache_write >= 0) json_out_key_u64(o, cache_write, (uint64_t)u->cache_write);
    json_out_end(o);
}

void chat_converse_usage_write(const struct chat_usage *u, struct json_out *o)
{
    usage_write(u, SPAN("cacheReadInputTokens"), SPAN("cacheWriteInputTokens"), o);
}

void chat_nova_usage_write(const struct chat_usage *u, struct json_out *o)
{
    usage_write(u, SPAN("cacheReadInputTokenCount"), SPAN("cacheWriteInputTokenCount"), o);
}

// --- Stop reasons.

static const struct {
    struct span word;
    enum chat_finish finish;
} stop_reasons[] = {
    {SPAN_INIT("end_turn"), CHAT_FINISH_STOP},
    {SPAN_INIT("tool_use"), CHAT_FINISH_TOOLS},
    {SPAN_INIT("max_tokens"), CHAT_FINISH_LENGTH},
    {SPAN_INIT("stop_sequence"), CHAT_FINISH_STOP_SEQUENCE},
    {SPAN_INIT("content_filtered"), CHAT_FINISH_FILTER},
    {SPAN_INIT("guardrail_intervened"), CHAT_FINISH_FILTER},
    {SPAN_INIT("model_context_window_exceeded"), CHAT_FINISH_CONTEXT},
    {SPAN_INIT("malformed_model_output"), CHAT_FINISH_MALFORMED},
    {SPAN_INIT("malformed_tool_use"), CHAT_FINISH_MALFORMED},
};
#define STOP_REASONS (sizeof stop_reasons / sizeof *stop_reasons)

enum chat_finish chat_converse_finish(struct span word)
{
    if (!word.n) return CHAT_FINISH_NONE;
    for (uint32_t i = 0; i < STOP_REASONS; i++)
        if (span_eq(word, stop_reasons[i].word)) return stop_reasons[i].finish;
    return CHAT_FINISH_STOP;
}

struct span chat_converse_finish_word(enum chat_finish finish)
{
    if (finish == CHAT_FINISH_REFUSAL) finish = CHAT_FINISH_FILTER;
    for (uint32_t i = 0; i < STOP_REASONS; i++)
        if (finish == stop_reasons[i].finish) return stop_reasons[i].word;
    return SPAN("end_turn");
}

// --- Answers.

enum rw_err chat_converse_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    enum { OUTPUT, STOP, USAGE, FIELDS };
    static const struct span keys[] = {SPAN_INIT("output"), SPAN_INIT("stopReason"), SPAN_INIT("usage")};
    struct span v[3], content, fields, sequence;
    *ret = (struct chat_answer){.dialect = &dialect_converse, .created_s = -1};
    RW_TRY(chat_members(ctx, body, keys, FIELDS, v, &ret->extra));
    if (!chat_has(v[OUTPUT]) || !json_path(v[OUTPUT], "message.content", &content)) return RW_E_BAD;
    struct chat_choice *c = chat_alloc(ctx, sizeof *c);
    if (!c) return RW_E_TOO_LARGE;
    ret->choices = c;
    struct chat_part **tail = &c->parts;
    RW_TRY(chat_converse_blocks(ctx, content, 0, &tail));
    RW_TRY(chat_converse_usage(ctx, v[USAGE], &ret->usage));
    fields = chat_extra_find(ret->extra, SPAN("additionalModelResponseFields"));
    if (chat_has(fields) && json_member(fields, SPAN("stop_sequence"), &sequence))
        c->stop_sequence = chat_text_or_none(ctx, sequence);
    c->finish_raw = chat_text_or_none(ctx, v[STOP]);
    c->finish = chat_converse_finish(c->finish_raw);
    if (c->finish == CHAT_FINISH_MALFORMED) return RW_E_BAD;
    for (const struct chat_part *p = c->parts; p && c->finish == CHAT_FINISH_STOP; p = p->next)
        if (p->kind == CHAT_TOOL_CALL) c->finish = CHAT_FINISH_TOOLS;
    return c->finish == CHAT_FINISH_NONE ? RW_E_EOF : RW_OK;
}

static enum rw_err write_part(const struct chat_part *p, struct json_out *o)
{
    json_out_object(o);
    switch (p->kind) {
    case CHAT_TOOL_CALL: {
        const struct span input = p->arguments.n ? p->arguments : SPAN("{}");
        if (!chat_is_object(input)) return RW_E_BAD; // there is no honest object to send
        json_out_key_object(o, SPAN("toolUse"));
        json_out_key_string(o, SPAN("toolUseId"), p->id);
        json_out_key_string(o, SPAN("name"), p->name);
        json_out_key_raw(o, SPAN("input"), input);
        json_out_end(o);
        break;
    }
    case CHAT_THINKING:
        json_out_key_object(o, SPAN("reasoningContent"));
        json_out_key_object(o, SPAN("reasoningText"));
        json_out_key_string(o, SPAN("text"), p->text);
        if (p->signature.n) json_out_key_string(o, SPAN("signature"), p->signature);
        json_out_end(o);
        json_out_end(o);
        break;
    case CHAT_REDACTED:
        json_out_key_object(o, SPAN("reasoningContent"));
        json_out_key_string(o, SPAN("redactedContent"), p->signature);
        json_out_end(o);
        break;
    default: json_out_key_string(o, SPAN("text"), p->text);
    }
    json_out_end(o);
    return RW_OK;
}

static bool has_word(const struct chat_part *p)
{
    const bool text = p->kind == CHAT_TEXT || p->kind == CHAT_REFUSAL;
    return text ? p->text.n > 0
                : p->kind == CHAT_TOOL_CALL || p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED;
}

enum rw_err chat_converse_output_write(const struct chat_answer *a, struct json_out *o)
{
    const bool own = a->dialect == &dialect_converse;
    const struct chat_choice *c = a->choices;
    json_out_key_object(o, SPAN("output"));
    json_out_key_object(o, SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    json_out_key_array(o, SPAN("content"));
    for (const struct chat_part *p = c->parts; p; p = p->next) {
        if (own && chat_has(p->raw)) json_out_raw(o, p->raw);
        else if (has_word(p)) RW_TRY(write_part(p, o));
    }
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    return RW_OK;
}

enum rw_err chat_converse_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                       const struct dialect_reply *reply, struct json_out *o)
{
    const bool own = a->dialect == &dialect_converse;
    const struct chat_choice *c = a->choices;
    (void)ctx;
    (void)reply;
    json_out_object(o);
    RW_TRY(chat_converse_output_write(a, o));
    json_out_key_string(o, SPAN("stopReason"),
                        own && c->finish_raw.n ? c->finish_raw : chat_converse_finish_word(c->finish));
    json_out_key(o, SPAN("usage"));
    chat_converse_usage_write(&a->usage, o);
    if (own) {
        chat_extra_write(o, a->extra);
    } else {
        json_out_key_raw(o, SPAN("metrics"), SPAN("{\"latencyMs\":0}"));
        if (c->stop_sequence.n) {
            json_out_key_object(o, SPAN("additionalModelResponseFields"));
            json_out_key_string(o, SPAN("stop_sequence"), c->stop_sequence);
            json_out_end(o);
        }
    }
    json_out_end(o);
    return json_out_done(o);
}

// --- Errors. Their type stands in a header; here the body says it, too, for those who look there.

enum chat_error_kind chat_converse_error_kind(struct span type, enum chat_error_kind otherwise)
{
    static const struct {
        struct span type;
        enum chat_error_kind kind;
    } types[] = {{SPAN_INIT("ValidationException"), CHAT_E_BAD_REQUEST},
                 {SPAN_INIT("ServiceQuotaExceededException"), CHAT_E_QUOTA},
                 {SPAN_INIT("AccessDeniedException"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("UnrecognizedClientException"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("InvalidSignatureException"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("ExpiredTokenException"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("ResourceNotFoundException"), CHAT_E_NOT_FOUND},
                 {SPAN_INIT("ModelTimeoutException"), CHAT_E_TIMEOUT},
                 {SPAN_INIT("ModelErrorException"), CHAT_E_SERVER},
                 {SPAN_INIT("ModelStreamErrorException"), CHAT_E_SERVER},
                 {SPAN_INIT("ThrottlingException"), CHAT_E_RATE},
                 {SPAN_INIT("ModelNotReadyException"), CHAT_E_RATE},
                 {SPAN_INIT("InternalServerException"), CHAT_E_SERVER},
                 {SPAN_INIT("ServiceUnavailableException"), CHAT_E_OVERLOADED}};
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++)
        if (span_ieq(type, types[i].type)) return types[i].kind;
    return otherwise;
}

void chat_converse_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret)
{
    struct span value;
    *ret = (struct chat_error){.kind = status == 424 ? CHAT_E_SERVER : chat_error_of_status(status),
                               .status = status,
                               .message = chat_error_text(body),
                               .retry_after_ms = -1};
    if (!chat_is_object(body)) return;
    if (json_member(body, SPAN("message"), &value) || json_member(body, SPAN("Message"), &value)) {
        const struct span text = chat_text_or_none(ctx, value);
        if (text.n) ret->message = text;
    }
    if (json_member(body, SPAN("__type"), &value)) {
        ret->code = chat_text_or_none(ctx, value);
        const uint32_t mark = span_find(ret->code, '#');
        if (mark < ret->code.n) ret->code = span_from(ret->code, mark + 1);
        ret->kind = chat_converse_error_kind(ret->code, ret->kind);
    }
    if (ret->kind == CHAT_E_BAD_REQUEST && chat_error_is_context(ret->message)) ret->kind = CHAT_E_CONTEXT;
}

uint16_t chat_converse_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                   struct json_out *o)
{
    const struct chat_error_words *w = &chat_error_table[error->kind];
    (void)reply;
    json_out_object(o);
    json_out_key_string(o, SPAN("__type"), span_str(w->aws_type));
    json_out_key(o, SPAN("message"));
    json_out_open(o);
    if (error->param.n) {
        json_out_piece(o, error->param);
        json_out_piece(o, SPAN(": "));
    }
    json_out_piece(o, error->message);
    json_out_close(o);
    json_out_end(o);
    return w->aws_status;
}
