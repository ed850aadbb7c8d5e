// See dialect.h: errors in OpenAI's dialect, both ways.
#include "providers/openai_priv.h"

// Mistral's message may be an object with a list of details, or the list alone: the first one's words.
static struct span message_of(struct chat_ctx *ctx, struct span value)
{
    struct span list = value, first, text;
    if (json_type(value) == JSON_STRING) return chat_text_or_none(ctx, value);
    if (json_type(value) == JSON_OBJECT && !json_member(value, SPAN("detail"), &list)) list = value;
    if (json_type(list) == JSON_STRING) return chat_text_or_none(ctx, list);
    if (json_element(list, 0, &first) && json_member(first, SPAN("msg"), &text))
        return chat_text_or_none(ctx, text);
    return chat_has(value) ? chat_error_text(value) : value;
}

void chat_openai_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret)
{
    enum { MESSAGE, TYPE, PARAM, CODE, DETAIL };
    static const struct span keys[] = {SPAN_INIT("message"), SPAN_INIT("type"), SPAN_INIT("param"),
                                       SPAN_INIT("code"), SPAN_INIT("detail")};
    struct span v[5];
    if (json_type(error) == JSON_STRING) {
        ret->message = chat_text_or_none(ctx, error);
        return;
    }
    if (chat_members(ctx, error, keys, 5, v, NULL)) return;
    const struct span text = message_of(ctx, chat_has(v[MESSAGE]) ? v[MESSAGE] : v[DETAIL]);
    if (text.n) ret->message = text;
    ret->param = chat_text_or_none(ctx, v[PARAM]);
    ret->code = chat_text_or_none(ctx, v[CODE]);
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    if (!ret->code.n) ret->code = type;
    if (span_eq(ret->code, SPAN("insufficient_quota")) || span_eq(type, SPAN("insufficient_quota")))
        ret->kind = CHAT_E_QUOTA;
    else if (span_eq(ret->code, SPAN("context_length_exceeded")) || chat_error_is_context(ret->message))
        ret->kind = CHAT_E_CONTEXT;
    else if (span_eq(ret->code, SPAN("content_policy_violation")) ||
             span_eq(ret->code, SPAN("content_filter")))
        ret->kind = CHAT_E_CONTENT;
    else if (ret->status == 0 &&
             (span_eq(ret->code, SPAN("rate_limit_exceeded")) || span_eq(type, SPAN("requests")) ||
              span_eq(type, SPAN("tokens"))))
        ret->kind = CHAT_E_RATE;
    else if (ret->status == 0 && span_eq(type, SPAN("invalid_request_error"))) ret->kind = CHAT_E_BAD_REQUEST;
}

void chat_openai_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret)
{
    struct span error;
    *ret = (struct chat_error){.kind = chat_error_of_status(status),
                               .status = status,
                               .message = chat_error_text(body),
                               .retry_after_ms = -1};
    if (!chat_is_json(body)) return;
    // Google's compatible endpoint wraps it in a list.
    if (json_type(body) == JSON_ARRAY && !json_element(body, 0, &body)) return;
    if (json_member(body, SPAN("error"), &error) && json_type(error) != JSON_NULL)
        chat_openai_error_take(ctx, error, ret);
    else if (json_member(body, SPAN("message"), &error) || json_member(body, SPAN("detail"), &error))
        chat_openai_error_take(ctx, body, ret);
}

uint16_t chat_openai_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o)
{
    const struct chat_error_words *w = &chat_error_table[error->kind];
    (void)reply;
    json_out_object(o);
    json_out_key_object(o, SPAN("error"));
    json_out_key_string(o, SPAN("message"), error->message);
    json_out_key_string(o, SPAN("type"), span_str(w->openai_type));
    json_out_key(o, SPAN("param"));
    if (error->param.n) json_out_string(o, error->param);
    else json_out_null(o);
    json_out_key(o, SPAN("code"));
    if (w->openai_code) json_out_string(o, span_str(w->openai_code));
    else if (error->kind == CHAT_E_BAD_REQUEST && span_starts(error->code, SPAN("unsupported_")))
        json_out_string(o, error->code);
    else json_out_null(o);
    json_out_end(o);
    json_out_end(o);
    return w->openai_status;
}
