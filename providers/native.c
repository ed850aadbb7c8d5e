// See dialect.h: POST /v1/chat of the gateways before this one. OpenAI's chat with a short list of fields, defaults of its own
// and errors that name the message; what the gateway adds to an answer, it adds itself.
#include "base/fmt.h"
#include "providers/openai_priv.h"

#define MAX_TOKENS "1024" // DIALECT_NATIVE_MAX_TOKENS
#define TEMPERATURE "0.7"

static enum rw_err refuse(struct chat_ctx *ctx, uint32_t index, const char *text)
{
    char *param = arena_alloc(ctx->arena, 32), *words = arena_alloc(ctx->arena, 128);
    struct fmt f, w;
    if (!param || !words) return RW_E_TOO_LARGE;
    fmt_init(&f, param, 32);
    fmt_str(&f, "messages[");
    fmt_u64(&f, index);
    fmt_char(&f, ']');
    fmt_init(&w, words, 128);
    fmt_span(&w, fmt_text(&f));
    fmt_str(&w, text);
    return chat_refuse(ctx, fmt_text(&f), fmt_text(&w));
}

static enum rw_err check_role(struct chat_ctx *ctx, uint32_t index, struct span role)
{
    static const struct span roles[] = {SPAN_INIT("system"), SPAN_INIT("user"), SPAN_INIT("assistant"),
                                        SPAN_INIT("tool"), SPAN_INIT("developer")};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (json_key_is(role, roles[i])) return RW_OK;
    return refuse(ctx, index, ": role must be system, user or assistant.");
}

static enum rw_err check_message(struct chat_ctx *ctx, uint32_t index, struct span message)
{
    struct span role, content, calls;
    if (json_type(message) != JSON_OBJECT) return refuse(ctx, index, " must be an object.");
    if (!json_member(message, SPAN("role"), &role) || json_type(role) != JSON_STRING)
        return refuse(ctx, index, " has no role: it is system, user or assistant.");
    RW_TRY(check_role(ctx, index, (struct span){role.p + 1, role.n - 2}));
    const bool has = json_member(message, SPAN("content"), &content) && json_type(content) != JSON_NULL;
    return has || json_member(message, SPAN("tool_calls"), &calls) ? RW_OK
                                                                   : refuse(ctx, index, " has no content.");
}

static enum rw_err check_messages(struct chat_ctx *ctx, struct span body)
{
    struct span messages, message, none, cohere;
    if (!json_member(body, SPAN("messages"), &messages)) {
        // Clients of an older API of Cohere's come by the same path.
        if (json_member(body, SPAN("message"), &cohere))
            return chat_refuse(
                ctx, SPAN("message"),
                SPAN("messages is required. This is a request of Cohere's v1 API, which is not "
                     "served: send 'messages' to /v2/chat."));
        return chat_refuse(ctx, SPAN("messages"), SPAN("messages is required: a list of {role, content}."));
    }
    if (json_type(messages) != JSON_ARRAY)
        return chat_refuse(ctx, SPAN("messages"), SPAN("messages must be an array of {role, content}."));
    uint32_t index = 0;
    for (struct json_iter it = json_iter(messages); json_next(&it, &none, &message); index++)
        RW_TRY(check_message(ctx, index, message));
    return index > 0 ? RW_OK
                     : chat_refuse(ctx, SPAN("messages"), SPAN("messages is empty: send at least one."));
}

static enum rw_err native_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    RW_TRY(check_messages(ctx, body));
    RW_TRY(chat_openai_request(ctx, body, ret));
    if (!chat_has(ret->max_tokens)) ret->max_tokens = SPAN(MAX_TOKENS);
    if (!chat_has(ret->temperature)) ret->temperature = SPAN(TEMPERATURE);
    return RW_OK;
}

static uint16_t native_error(const struct chat_error *error, const struct dialect_reply *reply,
                             struct json_out *o)
{
    const uint16_t status = chat_error_table[error->kind].openai_status;
    (void)reply;
    json_out_object(o);
    json_out_key_object(o, SPAN("error"));
    json_out_key_string(o, SPAN("message"), error->message);
    json_out_key_string(o, SPAN("type"), SPAN("gateway_error"));
    json_out_key_u64(o, SPAN("code"), status);
    json_out_end(o);
    json_out_end(o);
    return status;
}

static enum rw_err native_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->kind != CHAT_EV_ERROR) return chat_openai_write(w, e);
    json_out_bytes(w->out, SPAN("data: "));
    (void)native_error(e->error, w->reply, w->out);
    json_out_bytes(w->out, SPAN("\n\n"));
    return RW_OK;
}

const struct dialect dialect_native = {
    .name = "native",
    .family = DIALECT_OPENAI,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = native_request,
    .encode_request = chat_openai_request_write,
    .decode_answer = chat_openai_answer,
    .encode_answer = chat_openai_answer_write,
    .read = chat_openai_read,
    .write = native_write,
    .decode_error = chat_openai_error,
    .encode_error = native_error,
};
