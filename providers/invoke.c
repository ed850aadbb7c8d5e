// See dialect.h: the bodies of Bedrock's InvokeModel, for its clients. Claude's are Anthropic's messages, Nova's are near
// Converse's; streams of both carry the model's own events in base64, one in each frame.
#include "providers/anthropic_priv.h"
#include "providers/converse_priv.h"
#include "providers/invoke_priv.h"
#include "tls/crypto.h"
#include "wire/aws_event.h"

#define CHUNK SPAN("chunk")

// --- Which body it is.

// The vendor in "anthropic.claude-...", also behind a provider, a region or an ARN.
static bool is_of(struct span model, struct span vendor)
{
    for (uint32_t at = 0; at + vendor.n <= model.n; at++) {
        const bool begins = at == 0 || model.p[at - 1] == '.' || model.p[at - 1] == '/';
        if (begins && span_starts(span_from(model, at), vendor)) return true;
    }
    return false;
}

const struct dialect *dialect_invoke(struct span model, struct span body)
{
    struct span value;
    if (is_of(model, SPAN("anthropic."))) return &dialect_invoke_claude;
    if (is_of(model, SPAN("amazon.nova"))) return &dialect_invoke_nova;
    if (is_of(model, SPAN("amazon.titan"))) return &dialect_invoke_titan;
    if (json_member(body, SPAN("anthropic_version"), &value)) return &dialect_invoke_claude;
    return json_member(body, SPAN("inputText"), &value) ? &dialect_invoke_titan : &dialect_invoke_nova;
}

bool dialect_is_titan(struct span model)
{
    return is_of(model, SPAN("amazon.titan-t"));
}

struct span chat_invoke_take(struct chat_extra **list, struct span name)
{
    while (*list && !span_eq((*list)->name, name)) list = &(*list)->next;
    if (!*list) return (struct span){NULL, 0};
    const struct span value = (*list)->value;
    *list = (*list)->next;
    return value;
}

// --- Requests.

static enum rw_err claude_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    RW_TRY(chat_anthropic_request(ctx, body, ret));
    (void)chat_invoke_take(&ret->extra, SPAN("anthropic_version"));
    // It says what others hear in a header.
    const struct span beta = chat_invoke_take(&ret->extra, SPAN("anthropic_beta"));
    return chat_has(beta) ? chat_drop(ctx, SPAN("anthropic_beta")) : RW_OK;
}

static enum rw_err nova_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    RW_TRY(chat_converse_request(ctx, body, ret));
    (void)chat_invoke_take(&ret->extra, SPAN("schemaVersion"));
    const struct span top_k = chat_invoke_take(&ret->config_extra, SPAN("topK"));
    if (!chat_has(top_k)) return RW_OK;
    if (json_type(top_k) != JSON_NUMBER)
        return chat_bad(ctx, SPAN("topK is a number."), "inferenceConfig", 0, 0, 0);
    ret->top_k = top_k;
    // Converse has it beside its own fields.
    ret->model_fields =
        chat_concat(ctx, (struct span[]){SPAN("{\"inferenceConfig\":{\"topK\":"), top_k, SPAN("}}")}, 3);
    return chat_has(ret->model_fields) ? RW_OK : RW_E_TOO_LARGE;
}

// --- Answers.

static enum rw_err nova_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                     const struct dialect_reply *reply, struct json_out *o)
{
    const struct chat_choice *c = a->choices;
    (void)ctx;
    (void)reply;
    json_out_object(o);
    RW_TRY(chat_converse_output_write(a, o));
    json_out_key_string(o, SPAN("stopReason"), chat_converse_finish_word(c->finish));
    json_out_key(o, SPAN("usage"));
    chat_nova_usage_write(&a->usage, o);
    json_out_end(o);
    return json_out_done(o);
}

// --- Streams, read: of answers that were kept.

static enum rw_err inner(struct chat_reader *r, struct span data, struct span *ret)
{
    struct span bytes;
    *ret = (struct span){NULL, 0};
    if (!chat_is_object(data) || !json_member(data, SPAN("bytes"), &bytes)) return RW_OK;
    RW_TRY(chat_base64_decode(&r->temp, chat_text_or_none(&r->temp, bytes), ret));
    return chat_is_object(*ret) ? RW_OK : RW_E_BAD;
}

static enum rw_err claude_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span event;
    if (r->exception) return chat_converse_read(r, name, data);
    RW_TRY(inner(r, data, &event));
    return chat_has(event) ? chat_anthropic_read(r, CHUNK, event) : RW_OK;
}

static enum rw_err nova_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span event, key, value;
    if (r->exception) return chat_converse_read(r, name, data);
    RW_TRY(inner(r, data, &event));
    struct json_iter it = json_iter(event);
    while (chat_has(event) && !r->done && json_next(&it, &key, &value))
        RW_TRY(chat_converse_read(r, key, value));
    return RW_OK;
}

// --- Streams, written.

void chat_invoke_chunk(struct chat_writer *w, struct span event)
{
    static const struct span head = SPAN_INIT("{\"bytes\":\""), tail = SPAN_INIT("\"}");
    const uint64_t cap = head.n + ((uint64_t)event.n + 2) / 3 * 4 + tail.n;
    const uint64_t whole = cap + AWS_EVENT_FRAME_BYTES + CHUNK.n;
    uint8_t *payload = whole <= UINT32_MAX ? arena_alloc(w->scratch, (uint32_t)cap) : NULL;
    uint8_t *out = payload ? arena_alloc(w->scratch, (uint32_t)whole) : NULL;
    if (!out) {
        w->broken = true;
        return;
    }
    memcpy(payload, head.p, head.n);
    memcpy(payload + cap - tail.n, tail.p, tail.n);
    const int64_t digits =
        crypto_base64_encode(event.p, event.n, (char *)payload + head.n, (size_t)(cap - head.n - tail.n));
    MUST(digits == (int64_t)(cap - head.n - tail.n));
    const uint32_t n = aws_event_write(AWS_EVENT_EVENT, CHUNK, span_of(payload, cap), out, (uint32_t)whole);
    if (n) json_out_bytes(w->out, span_of(out, n));
    else w->broken = true;
}

// What it used, said once more in the last event.
static void metrics(struct chat_writer *w, struct json_out *o)
{
    const struct chat_usage *u = &w->usage;
    const int64_t cached = (u->cached > 0 ? u->cached : 0) + (u->cache_write > 0 ? u->cache_write : 0);
    json_out_key_object(o, SPAN("amazon-bedrock-invocationMetrics"));
    json_out_key_u64(o, SPAN("inputTokenCount"), u->input > cached ? (uint64_t)(u->input - cached) : 0);
    json_out_key_u64(o, SPAN("outputTokenCount"), u->output > 0 ? (uint64_t)u->output : 0);
    json_out_key_u64(o, SPAN("invocationLatency"), 0);
    json_out_key_u64(o, SPAN("firstByteLatency"), 0);
    if (u->cached >= 0) json_out_key_u64(o, SPAN("cacheReadInputTokenCount"), (uint64_t)u->cached);
    if (u->cache_write >= 0) json_out_key_u64(o, SPAN("cacheWriteInputTokenCount"), (uint64_t)u->cache_write);
    json_out_end(o);
}

static void claude_stop(struct chat_writer *w)
{
    struct json_out o;
    json_out_init(&o, w->scratch);
    json_out_object(&o);
    json_out_key_string(&o, SPAN("type"), SPAN("message_stop"));
    metrics(w, &o);
    json_out_end(&o);
    const struct span event = json_out_done(&o) ? (struct span){NULL, 0} : json_out_flat(&o);
    if (chat_has(event)) chat_invoke_chunk(w, event);
    else w->broken = true;
}

// The other API's events, without what frames them there: "event: NAME\ndata: JSON\n\n".
static void reframe(struct chat_writer *w, struct span sse)
{
    struct span line;
    bool stop = false;
    while (span_split(&sse, '\n', &line)) {
        const struct span data = SPAN("data: ");
        if (span_eq(line, SPAN("event: message_stop"))) stop = true;
        else if (stop && line.n) claude_stop(w);
        else if (span_starts(line, data)) chat_invoke_chunk(w, span_from(line, data.n));
    }
}

static enum rw_err claude_write(struct chat_writer *w, const struct chat_event *e)
{
    struct json_out *out = w->out, sse;
    if (e->kind == CHAT_EV_ERROR) return chat_converse_write(w, e);
    json_out_init(&sse, w->scratch);
    w->out = &sse;
    enum rw_err err = chat_anthropic_write(w, e);
    w->out = out;
    if (!err) err = json_out_done(&sse);
    if (err || !sse.bytes) return err;
    const struct span text = json_out_flat(&sse);
    if (!chat_has(text)) return RW_E_TOO_LARGE;
    reframe(w, text);
    return w->broken ? RW_E_TOO_LARGE : RW_OK;
}

void chat_nova_event(struct chat_writer *w, struct span type, struct span payload)
{
    struct json_out o;
    json_out_init(&o, w->scratch);
    json_out_object(&o);
    json_out_key_raw(&o, type, payload);
    if (span_eq(type, SPAN("metadata"))) metrics(w, &o);
    json_out_end(&o);
    const struct span event = json_out_done(&o) ? (struct span){NULL, 0} : json_out_flat(&o);
    if (chat_has(event)) chat_invoke_chunk(w, event);
    else w->broken = true;
}

// --- Titan has no streams here; what ends one is said all the same.

static enum rw_err titan_read(struct chat_reader *r, struct span name, struct span data)
{
    return r->exception ? chat_converse_read(r, name, data) : RW_E_BAD;
}

static enum rw_err titan_write(struct chat_writer *w, const struct chat_event *e)
{
    return e->kind == CHAT_EV_ERROR ? chat_converse_write(w, e) : RW_E_BAD;
}

const struct dialect dialect_invoke_claude = {
    .name = "invoke_claude",
    .family = DIALECT_BEDROCK,
    .framing = DIALECT_EVENTSTREAM,
    .model_in_path = true,
    .content_type = "application/vnd.amazon.eventstream",
    .decode_request = claude_request,
    .decode_answer = chat_anthropic_answer,
    .encode_answer = chat_anthropic_answer_write,
    .read = claude_read,
    .write = claude_write,
    .decode_error = chat_converse_error,
    .encode_error = chat_converse_error_write,
};

const struct dialect dialect_invoke_nova = {
    .name = "invoke_nova",
    .family = DIALECT_BEDROCK,
    .framing = DIALECT_EVENTSTREAM,
    .model_in_path = true,
    .content_type = "application/vnd.amazon.eventstream",
    .decode_request = nova_request,
    .decode_answer = chat_converse_answer,
    .encode_answer = nova_answer_write,
    .read = nova_read,
    .write = chat_converse_write,
    .decode_error = chat_converse_error,
    .encode_error = chat_converse_error_write,
};

const struct dialect dialect_invoke_titan = {
    .name = "invoke_titan",
    .family = DIALECT_BEDROCK,
    .framing = DIALECT_EVENTSTREAM,
    .model_in_path = true,
    .content_type = "application/vnd.amazon.eventstream",
    .decode_request = chat_titan_request,
    .decode_answer = chat_titan_answer,
    .encode_answer = chat_titan_answer_write,
    .read = titan_read,
    .write = titan_write,
    .decode_error = chat_converse_error,
    .encode_error = chat_converse_error_write,
};
