// See dialect.h: whole answers and errors in Anthropic's messages dialect, both ways.
#include "providers/anthropic_priv.h"

// --- Usage. Its input_tokens leave out what was cached; the model's input does not.

#define USAGE_KEYS(X) \
    X(U_INPUT, "input_tokens") \
    X(U_OUTPUT, "output_tokens") \
    X(U_WRITE, "cache_creation_input_tokens") \
    X(U_READ, "cache_read_input_tokens") \
    X(U_WRITES, "cache_creation") \
    X(U_DETAILS, "output_tokens_details") \
    X(U_TIER, "service_tier")
enum { USAGE_KEYS(CHAT_KEY_ENUM) USAGE_COUNT };
static const struct span usage_keys[] = {USAGE_KEYS(CHAT_KEY_SPAN)};

static int64_t or_known(int64_t count, int64_t known)
{
    return count >= 0 ? count : known;
}

enum rw_err chat_anthropic_usage(struct chat_ctx *ctx, struct span usage, const struct chat_usage *known,
                                 struct chat_usage *ret)
{
    struct span v[USAGE_COUNT], value;
    chat_usage_init(ret);
    RW_TRY(chat_members(ctx, usage, usage_keys, USAGE_COUNT, v, &ret->extra));
    const int64_t input = chat_count(v[U_INPUT]);
    ret->cache_write = or_known(chat_count(v[U_WRITE]), known ? known->cache_write : -1);
    ret->cached = or_known(chat_count(v[U_READ]), known ? known->cached : -1);
    if (input >= 0)
        ret->input =
            input + (ret->cache_write > 0 ? ret->cache_write : 0) + (ret->cached > 0 ? ret->cached : 0);
    ret->output = chat_count(v[U_OUTPUT]);
    if (chat_has(v[U_WRITES]) && json_member(v[U_WRITES], SPAN("ephemeral_1h_input_tokens"), &value))
        ret->cache_write_1h = chat_count(value);
    if (chat_has(v[U_DETAILS]) && json_member(v[U_DETAILS], SPAN("thinking_tokens"), &value))
        ret->reasoning = chat_count(value);
    ret->service_tier = chat_text_or_none(ctx, v[U_TIER]);
    return RW_OK;
}

static void count_or_null(struct json_out *o, struct span key, int64_t v)
{
    json_out_key(o, key);
    if (v >= 0) json_out_u64(o, (uint64_t)v);
    else json_out_null(o);
}

void chat_anthropic_usage_write(const struct chat_usage *u, bool own, struct json_out *o)
{
    const int64_t cached = (u->cached > 0 ? u->cached : 0) + (u->cache_write > 0 ? u->cache_write : 0);
    json_out_object(o);
    json_out_key_u64(o, SPAN("input_tokens"), u->input > cached ? (uint64_t)(u->input - cached) : 0);
    count_or_null(o, SPAN("cache_creation_input_tokens"), u->cache_write);
    count_or_null(o, SPAN("cache_read_input_tokens"), u->cached);
    json_out_key(o, SPAN("cache_creation"));
    if (u->cache_write_1h >= 0) {
        json_out_object(o);
        json_out_key_u64(o, SPAN("ephemeral_5m_input_tokens"),
                         u->cache_write > u->cache_write_1h ? (uint64_t)(u->cache_write - u->cache_write_1h)
                                                            : 0);
        json_out_key_u64(o, SPAN("ephemeral_1h_input_tokens"), (uint64_t)u->cache_write_1h);
        json_out_end(o);
    } else {
        json_out_null(o);
    }
    json_out_key_u64(o, SPAN("output_tokens"), u->output > 0 ? (uint64_t)u->output : 0);
    json_out_key(o, SPAN("output_tokens_details"));
    if (u->reasoning >= 0) {
        json_out_object(o);
        json_out_key_u64(o, SPAN("thinking_tokens"), (uint64_t)u->reasoning);
        json_out_end(o);
    } else {
        json_out_null(o);
    }
    if (own && u->service_tier.n) json_out_key_string(o, SPAN("service_tier"), u->service_tier);
    if (own) chat_extra_write(o, u->extra);
    json_out_end(o);
}

// --- Stop reasons.

static const struct {
    struct span word;
    enum chat_finish finish;
} stop_reasons[] = {
    {SPAN_INIT("end_turn"), CHAT_FINISH_STOP},
    {SPAN_INIT("max_tokens"), CHAT_FINISH_LENGTH},
    {SPAN_INIT("stop_sequence"), CHAT_FINISH_STOP_SEQUENCE},
    {SPAN_INIT("tool_use"), CHAT_FINISH_TOOLS},
    {SPAN_INIT("pause_turn"), CHAT_FINISH_PAUSE},
    {SPAN_INIT("refusal"), CHAT_FINISH_REFUSAL},
    {SPAN_INIT("model_context_window_exceeded"), CHAT_FINISH_CONTEXT},
};
#define STOP_REASONS (sizeof stop_reasons / sizeof *stop_reasons)

enum chat_finish chat_anthropic_finish(struct span word)
{
    if (!word.n) return CHAT_FINISH_NONE;
    for (uint32_t i = 0; i < STOP_REASONS; i++)
        if (span_eq(word, stop_reasons[i].word)) return stop_reasons[i].finish;
    return CHAT_FINISH_STOP;
}

struct span chat_anthropic_finish_word(enum chat_finish finish)
{
    if (finish == CHAT_FINISH_FILTER) finish = CHAT_FINISH_REFUSAL;
    for (uint32_t i = 0; i < STOP_REASONS; i++)
        if (finish == stop_reasons[i].finish) return stop_reasons[i].word;
    return SPAN("end_turn");
}

struct span chat_anthropic_id(struct chat_ctx *ctx, struct span id)
{
    uint8_t *copy = NULL;
    for (uint32_t i = 0; i < id.n; i++) {
        const uint8_t c = id.p[i];
        if ((uint8_t)(span_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '_' || c == '-') continue;
        if (!copy) {
            copy = arena_alloc(ctx->arena, id.n);
            if (!copy) return id;
            memcpy(copy, id.p, id.n);
        }
        copy[i] = '_';
    }
    return copy ? span_of(copy, id.n) : id;
}

// --- Answers.

#define ANSWER_KEYS(X) \
    X(A_ID, "id") \
    X(A_TYPE, "type") \
    X(A_ROLE, "role") \
    X(A_MODEL, "model") \
    X(A_CONTENT, "content") \
    X(A_STOP, "stop_reason") \
    X(A_SEQUENCE, "stop_sequence") \
    X(A_DETAILS, "stop_details") \
    X(A_USAGE, "usage")
enum { ANSWER_KEYS(CHAT_KEY_ENUM) ANSWER_COUNT };
static const struct span answer_keys[] = {ANSWER_KEYS(CHAT_KEY_SPAN)};

enum rw_err chat_anthropic_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    struct span v[ANSWER_COUNT], explanation;
    *ret = (struct chat_answer){.dialect = &dialect_anthropic, .created_s = -1};
    RW_TRY(chat_members(ctx, body, answer_keys, ANSWER_COUNT, v, &ret->extra));
    if (!chat_has(v[A_CONTENT]) || json_type(v[A_CONTENT]) != JSON_ARRAY) return RW_E_BAD;
    struct chat_choice *c = chat_alloc(ctx, sizeof *c);
    if (!c) return RW_E_TOO_LARGE;
    ret->choices = c;
    ret->id = chat_text_or_none(ctx, v[A_ID]);
    ret->model = chat_text_or_none(ctx, v[A_MODEL]);
    struct chat_part **tail = &c->parts;
    RW_TRY(chat_anthropic_content(ctx, v[A_CONTENT], 0, &tail));
    c->finish_raw = chat_text_or_none(ctx, v[A_STOP]);
    c->finish = chat_anthropic_finish(c->finish_raw);
    c->stop_sequence = chat_text_or_none(ctx, v[A_SEQUENCE]);
    if (chat_has(v[A_DETAILS])) {
        if (json_member(v[A_DETAILS], SPAN("explanation"), &explanation))
            c->explanation = chat_text_or_none(ctx, explanation);
        struct chat_extra *details = chat_alloc(ctx, sizeof *details);
        if (!details) return RW_E_TOO_LARGE;
        *details = (struct chat_extra){.name = SPAN("stop_details"), .value = v[A_DETAILS]};
        c->extra = details;
    }
    RW_TRY(chat_anthropic_usage(ctx, v[A_USAGE], NULL, &ret->usage));
    return c->finish == CHAT_FINISH_NONE ? RW_E_EOF : RW_OK;
}

static void write_text(struct json_out *o, const struct chat_part *p)
{
    bool any = false;
    json_out_key_string(o, SPAN("type"), SPAN("text"));
    json_out_key_string(o, SPAN("text"), p->text);
    json_out_key(o, SPAN("citations"));
    for (const struct chat_citation *c = p->citations; c; c = c->next) {
        if (c->dialect != &dialect_anthropic) continue;
        if (!any) json_out_array(o);
        any = true;
        json_out_raw(o, c->raw);
    }
    if (any) json_out_end(o);
    else json_out_null(o);
}

static enum rw_err write_part(struct chat_ctx *ctx, const struct chat_part *p, bool own, struct json_out *o)
{
    if (p->kind == CHAT_RAW) {
        if (own) json_out_raw(o, p->raw);
        return RW_OK;
    }
    json_out_object(o);
    switch (p->kind) {
    case CHAT_THINKING:
        json_out_key_string(o, SPAN("type"), SPAN("thinking"));
        json_out_key_string(o, SPAN("thinking"), p->text);
        json_out_key_string(o, SPAN("signature"), p->signature);
        break;
    case CHAT_REDACTED:
        json_out_key_string(o, SPAN("type"), SPAN("redacted_thinking"));
        json_out_key_string(o, SPAN("data"), p->signature);
        break;
    case CHAT_TOOL_CALL: {
        const struct span input = p->arguments.n ? p->arguments : SPAN("{}");
        if (!chat_is_object(input)) return RW_E_BAD; // there is no honest object to send
        json_out_key_string(o, SPAN("type"), SPAN("tool_use"));
        json_out_key_string(o, SPAN("id"), chat_anthropic_id(ctx, p->id));
        json_out_key_string(o, SPAN("name"), p->name);
        json_out_key_raw(o, SPAN("input"), input);
        json_out_key_raw(o, SPAN("caller"), SPAN("{\"type\":\"direct\"}"));
        break;
    }
    default: write_text(o, p); break;
    }
    if (own) chat_extra_write(o, p->extra);
    json_out_end(o);
    return RW_OK;
}

enum rw_err chat_anthropic_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                        const struct dialect_reply *reply, struct json_out *o)
{
    const bool own = a->dialect == &dialect_anthropic;
    const struct chat_choice *c = a->choices;
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), a->id.n ? a->id : chat_made_id(ctx, "msg_", reply->id, 0));
    json_out_key_string(o, SPAN("type"), SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    json_out_key_string(o, SPAN("model"), chat_has(reply->model) ? reply->model : a->model);
    json_out_key_array(o, SPAN("content"));
    for (const struct chat_part *p = c->parts; p; p = p->next) {
        const bool empty = (p->kind == CHAT_TEXT || p->kind == CHAT_REFUSAL) && !p->text.n;
        if (!empty || own) RW_TRY(write_part(ctx, p, own, o));
    }
    json_out_end(o);
    json_out_key_string(o, SPAN("stop_reason"), chat_anthropic_finish_word(c->finish));
    json_out_key(o, SPAN("stop_sequence"));
    if (chat_has(c->stop_sequence)) json_out_string(o, c->stop_sequence);
    else json_out_null(o);
    if (own && c->extra) chat_extra_write(o, c->extra);
    else json_out_key_null(o, SPAN("stop_details"));
    json_out_key(o, SPAN("usage"));
    chat_anthropic_usage_write(&a->usage, own, o);
    if (own) chat_extra_write(o, a->extra);
    json_out_end(o);
    return json_out_done(o);
}

// --- Errors.

void chat_anthropic_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret)
{
    static const struct {
        struct span type;
        enum chat_error_kind kind;
    } types[] = {{SPAN_INIT("invalid_request_error"), CHAT_E_BAD_REQUEST},
                 {SPAN_INIT("authentication_error"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("permission_error"), CHAT_E_UPSTREAM_AUTH},
                 {SPAN_INIT("billing_error"), CHAT_E_QUOTA},
                 {SPAN_INIT("not_found_error"), CHAT_E_NOT_FOUND},
                 {SPAN_INIT("request_too_large"), CHAT_E_TOO_LARGE},
                 {SPAN_INIT("rate_limit_error"), CHAT_E_RATE},
                 {SPAN_INIT("timeout_error"), CHAT_E_TIMEOUT},
                 {SPAN_INIT("overloaded_error"), CHAT_E_OVERLOADED},
                 {SPAN_INIT("api_error"), CHAT_E_SERVER}};
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("message"), SPAN_INIT("details")};
    struct span v[3], code;
    if (chat_members(ctx, error, keys, 3, v, NULL)) return;
    ret->code = chat_text_or_none(ctx, v[0]);
    if (chat_has(v[1])) ret->message = chat_text_or_none(ctx, v[1]);
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++)
        if (span_eq(ret->code, types[i].type)) ret->kind = types[i].kind;
    if (ret->kind == CHAT_E_BAD_REQUEST && chat_error_is_context(ret->message)) ret->kind = CHAT_E_CONTEXT;
    if (chat_has(v[2]) && json_member(v[2], SPAN("error_code"), &code) &&
        span_eq(chat_text_or_none(ctx, code), SPAN("enforced_spend_limit_reached")))
        ret->kind = CHAT_E_QUOTA;
}

void chat_anthropic_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret)
{
    struct span error;
    *ret = (struct chat_error){.kind = chat_error_of_status(status),
                               .status = status,
                               .message = chat_error_text(body),
                               .retry_after_ms = -1};
    if (chat_is_object(body) && json_member(body, SPAN("error"), &error))
        chat_anthropic_error_take(ctx, error, ret);
}

uint16_t chat_anthropic_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                    struct json_out *o)
{
    const struct chat_error_words *w = &chat_error_table[error->kind];
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("error"));
    json_out_key_object(o, SPAN("error"));
    json_out_key_string(o, SPAN("type"), span_str(w->anthropic_type));
    json_out_key(o, SPAN("message"));
    json_out_open(o);
    if (error->param.n) {
        json_out_piece(o, error->param);
        json_out_piece(o, SPAN(": "));
    }
    json_out_piece(o, error->message);
    json_out_close(o);
    json_out_end(o);
    json_out_key(o, SPAN("request_id"));
    if (reply->id.n) json_out_string(o, reply->id);
    else json_out_null(o);
    json_out_end(o);
    return w->anthropic_status;
}
