// See dialect.h: whole answers and errors in Cohere's dialect (v2), both ways. An answer names neither a model nor a time.
#include "providers/cohere_priv.h"

// --- Usage. What is billed is less than what the model read; the model's counts are those of the tokens.

#define USAGE_KEYS(X) \
    X(U_TOKENS, "tokens") \
    X(U_CACHED, "cached_tokens")
#define COUNT_KEYS(X) \
    X(U_INPUT, "input_tokens") \
    X(U_OUTPUT, "output_tokens")
enum { USAGE_KEYS(CHAT_KEY_ENUM) USAGE_COUNT };
enum { COUNT_KEYS(CHAT_KEY_ENUM) COUNT_COUNT };
static const struct span usage_keys[] = {USAGE_KEYS(CHAT_KEY_SPAN)};
static const struct span count_keys[] = {COUNT_KEYS(CHAT_KEY_SPAN)};

enum rw_err chat_cohere_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret)
{
    struct span v[USAGE_COUNT], n[COUNT_COUNT];
    chat_usage_init(ret);
    if (!chat_has(usage)) return RW_OK;
    RW_TRY(chat_members(ctx, usage, usage_keys, USAGE_COUNT, v, &ret->extra));
    const struct span billed = chat_extra_find(ret->extra, SPAN("billed_units"));
    RW_TRY(chat_members(ctx, chat_has(v[U_TOKENS]) ? v[U_TOKENS] : billed, count_keys, COUNT_COUNT, n, NULL));
    ret->input = chat_count(n[U_INPUT]);
    ret->output = chat_count(n[U_OUTPUT]);
    ret->cached = chat_count(v[U_CACHED]);
    return RW_OK;
}

static void counts_write(struct json_out *o, struct span key, const struct chat_usage *u)
{
    json_out_key_object(o, key);
    json_out_key_u64(o, SPAN("input_tokens"), u->input > 0 ? (uint64_t)u->input : 0);
    json_out_key_u64(o, SPAN("output_tokens"), u->output > 0 ? (uint64_t)u->output : 0);
    json_out_end(o);
}

void chat_cohere_usage_write(const struct chat_usage *u, bool own, struct json_out *o)
{
    json_out_object(o);
    if (own) chat_extra_write(o, u->extra);
    else counts_write(o, SPAN("billed_units"), u);
    counts_write(o, SPAN("tokens"), u);
    if (u->cached >= 0) json_out_key_u64(o, SPAN("cached_tokens"), (uint64_t)u->cached);
    json_out_end(o);
}

// --- Finish reasons.

enum chat_finish chat_cohere_finish(struct span word)
{
    static const struct {
        struct span word;
        enum chat_finish finish;
    } table[] = {{SPAN_INIT("COMPLETE"), CHAT_FINISH_STOP},
                 {SPAN_INIT("STOP_SEQUENCE"), CHAT_FINISH_STOP_SEQUENCE},
                 {SPAN_INIT("MAX_TOKENS"), CHAT_FINISH_LENGTH},
                 {SPAN_INIT("TOOL_CALL"), CHAT_FINISH_TOOLS},
                 {SPAN_INIT("ERROR"), CHAT_FINISH_MALFORMED},
                 {SPAN_INIT("TIMEOUT"), CHAT_FINISH_MALFORMED}};
    if (!word.n) return CHAT_FINISH_NONE;
    for (uint32_t i = 0; i < sizeof table / sizeof *table; i++)
        if (span_eq(word, table[i].word)) return table[i].finish;
    return CHAT_FINISH_STOP;
}

struct span chat_cohere_finish_word(enum chat_finish finish)
{
    switch (finish) {
    case CHAT_FINISH_STOP_SEQUENCE: return SPAN("STOP_SEQUENCE");
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return SPAN("MAX_TOKENS");
    case CHAT_FINISH_TOOLS: return SPAN("TOOL_CALL");
    case CHAT_FINISH_FILTER:
    case CHAT_FINISH_REFUSAL: return SPAN("ERROR");
    default: return SPAN("COMPLETE");
    }
}

// --- Log probabilities. {"text", "token_ids": [], "logprobs": []}: the text is of all its tokens together.

enum rw_err chat_cohere_logprob(struct chat_ctx *ctx, struct span value, struct chat_logprob ***next)
{
    static const struct span keys[] = {SPAN_INIT("text"), SPAN_INIT("token_ids"), SPAN_INIT("logprobs")};
    struct span v[3], key, id, number;
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    struct json_iter ids = json_iter(v[1]), numbers = json_iter(v[2]);
    for (bool first = true;; first = false) {
        const bool has_id = chat_has(v[1]) && json_next(&ids, &key, &id);
        const bool has_number = chat_has(v[2]) && json_next(&numbers, &key, &number);
        if (!has_id && !has_number) return RW_OK;
        struct chat_logprob *l = chat_alloc(ctx, sizeof *l);
        if (!l) return RW_E_TOO_LARGE;
        l->token = first ? chat_text_or_none(ctx, v[0]) : SPAN("");
        if (!chat_has(l->token)) l->token = SPAN("");
        if (has_id && json_type(id) == JSON_NUMBER) l->token_id = id;
        if (has_number && json_type(number) == JSON_NUMBER) l->logprob = number;
        **next = l;
        *next = &l->next;
    }
}

void chat_cohere_logprob_write(const struct chat_logprob *l, struct json_out *o)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("text"), l->token);
    json_out_key_array(o, SPAN("token_ids"));
    if (chat_has(l->token_id)) json_out_raw(o, l->token_id);
    json_out_end(o);
    json_out_key_array(o, SPAN("logprobs"));
    if (chat_has(l->logprob)) json_out_raw(o, l->logprob);
    json_out_end(o);
    json_out_end(o);
}

// --- Answers.

#define ANSWER_KEYS(X) \
    X(A_ID, "id") \
    X(A_MESSAGE, "message") \
    X(A_FINISH, "finish_reason") \
    X(A_USAGE, "usage") \
    X(A_LOGPROBS, "logprobs")
enum { ANSWER_KEYS(CHAT_KEY_ENUM) ANSWER_COUNT };
static const struct span answer_keys[] = {ANSWER_KEYS(CHAT_KEY_SPAN)};

enum rw_err chat_cohere_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    struct span v[ANSWER_COUNT], said[CS_COUNT], key, element;
    *ret = (struct chat_answer){.dialect = &dialect_cohere, .created_s = -1};
    RW_TRY(chat_members(ctx, body, answer_keys, ANSWER_COUNT, v, &ret->extra));
    if (!chat_has(v[A_MESSAGE]) || json_type(v[A_MESSAGE]) != JSON_OBJECT) return RW_E_BAD;
    struct chat_choice *c = chat_alloc(ctx, sizeof *c);
    if (!c) return RW_E_TOO_LARGE;
    ret->choices = c;
    ret->id = chat_text_or_none(ctx, v[A_ID]);
    RW_TRY(chat_members(ctx, v[A_MESSAGE], chat_cohere_said_keys, CS_COUNT, said, &c->message_extra));
    struct chat_part **tail = &c->parts;
    RW_TRY(chat_cohere_said(ctx, said, 0, &tail));
    struct json_iter it = json_iter(v[A_LOGPROBS]);
    struct chat_logprob **next = &c->logprobs;
    while (chat_has(v[A_LOGPROBS]) && json_next(&it, &key, &element))
        RW_TRY(chat_cohere_logprob(ctx, element, &next));
    RW_TRY(chat_cohere_usage(ctx, v[A_USAGE], &ret->usage));
    c->finish_raw = chat_text_or_none(ctx, v[A_FINISH]);
    c->finish = chat_cohere_finish(c->finish_raw);
    if (c->finish == CHAT_FINISH_MALFORMED) return RW_E_BAD;
    for (const struct chat_part *p = c->parts; p && c->finish == CHAT_FINISH_STOP; p = p->next)
        if (p->kind == CHAT_TOOL_CALL) c->finish = CHAT_FINISH_TOOLS;
    return c->finish == CHAT_FINISH_NONE ? RW_E_EOF : RW_OK;
}

enum rw_err chat_cohere_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                     const struct dialect_reply *reply, struct json_out *o)
{
    const bool own = a->dialect == &dialect_cohere;
    const struct chat_choice *c = a->choices;
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), a->id.n ? a->id : reply->id);
    json_out_key_string(o, SPAN("finish_reason"), chat_cohere_finish_word(c->finish));
    json_out_key_object(o, SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    RW_TRY(chat_cohere_said_write(ctx, c->parts, own, true, o));
    if (own) chat_extra_write(o, c->message_extra);
    json_out_end(o);
    json_out_key(o, SPAN("usage"));
    chat_cohere_usage_write(&a->usage, own, o);
    if (c->logprobs) {
        json_out_key_array(o, SPAN("logprobs"));
        for (const struct chat_logprob *l = c->logprobs; l; l = l->next) chat_cohere_logprob_write(l, o);
        json_out_end(o);
    }
    if (own) chat_extra_write(o, a->extra);
    json_out_end(o);
    return json_out_done(o);
}

// --- Errors.

void chat_cohere_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret)
{
    struct span message;
    // 498: the token is not valid.
    *ret = (struct chat_error){.kind = status == 498 ? CHAT_E_UPSTREAM_AUTH : chat_error_of_status(status),
                               .status = status,
                               .message = chat_error_text(body),
                               .retry_after_ms = -1};
    if (!chat_is_object(body) || !json_member(body, SPAN("message"), &message)) return;
    const struct span text = chat_text_or_none(ctx, message);
    if (text.n) ret->message = text;
    if (ret->kind == CHAT_E_BAD_REQUEST && chat_error_is_context(ret->message)) ret->kind = CHAT_E_CONTEXT;
}

uint16_t chat_cohere_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o)
{
    json_out_object(o);
    if (reply->id.n) json_out_key_string(o, SPAN("id"), reply->id);
    json_out_key(o, SPAN("message"));
    json_out_open(o);
    if (error->param.n) {
        json_out_piece(o, error->param);
        json_out_piece(o, SPAN(": "));
    }
    json_out_piece(o, error->message);
    json_out_close(o);
    json_out_end(o);
    return chat_error_table[error->kind].openai_status;
}
