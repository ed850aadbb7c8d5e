// See dialect.h: streams in Anthropic's messages dialect, both ways, and the table of the dialect.
#include "providers/anthropic_priv.h"

// --- Read. The type in the payload is the event's name, so that servers that send no event line are understood.

#define EVENT_KEYS(X) \
    X(E_TYPE, "type") \
    X(E_MESSAGE, "message") \
    X(E_INDEX, "index") \
    X(E_BLOCK, "content_block") \
    X(E_DELTA, "delta") \
    X(E_USAGE, "usage") \
    X(E_ERROR, "error")
#define BLOCK_KEYS(X) \
    X(B_TYPE, "type") \
    X(B_ID, "id") \
    X(B_NAME, "name") \
    X(B_TEXT, "text") \
    X(B_THINKING, "thinking") \
    X(B_DATA, "data") \
    X(B_INPUT, "input")
#define DELTA_KEYS(X) \
    X(D_TYPE, "type") \
    X(D_TEXT, "text") \
    X(D_JSON, "partial_json") \
    X(D_THINKING, "thinking") \
    X(D_SIGNATURE, "signature") \
    X(D_CITATION, "citation") \
    X(D_STOP, "stop_reason") \
    X(D_SEQUENCE, "stop_sequence") \
    X(D_DETAILS, "stop_details")

enum { EVENT_KEYS(CHAT_KEY_ENUM) EVENT_COUNT };
enum { BLOCK_KEYS(CHAT_KEY_ENUM) BLOCK_COUNT };
enum { DELTA_KEYS(CHAT_KEY_ENUM) DELTA_COUNT };
static const struct span event_keys[] = {EVENT_KEYS(CHAT_KEY_SPAN)};
static const struct span block_keys[] = {BLOCK_KEYS(CHAT_KEY_SPAN)};
static const struct span delta_keys[] = {DELTA_KEYS(CHAT_KEY_SPAN)};

static enum rw_err read_usage(struct chat_reader *r, struct span value)
{
    struct chat_usage usage;
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_anthropic_usage(&r->temp, value, &r->usage, &usage));
    usage.extra = NULL; // does not live longer than this event
    usage.service_tier = (struct span){NULL, 0};
    chat_usage_take(&r->usage, &usage);
    return r->started ? chat_reader_usage(r, &usage) : RW_OK;
}

static enum rw_err read_start(struct chat_reader *r, struct span message)
{
    static const struct span keys[] = {SPAN_INIT("id"), SPAN_INIT("model"), SPAN_INIT("usage")};
    struct span v[3];
    RW_TRY(chat_members(&r->temp, message, keys, 3, v, NULL));
    RW_TRY(read_usage(r, v[2]));
    (void)chat_reader_choice(r, 0);
    return chat_reader_start(r, chat_text_or_none(&r->temp, v[0]), chat_text_or_none(&r->temp, v[1]), -1);
}

static enum rw_err read_block(struct chat_reader *r, uint32_t index, struct span block)
{
    struct span v[BLOCK_COUNT];
    RW_TRY(chat_members(&r->temp, block, block_keys, BLOCK_COUNT, v, NULL));
    const struct span type = chat_text_or_none(&r->temp, v[B_TYPE]);
    if (span_eq(type, SPAN("tool_use"))) {
        uint32_t tool;
        RW_TRY(chat_reader_tool(r, 0, index, chat_text_or_none(&r->temp, v[B_ID]),
                                chat_text_or_none(&r->temp, v[B_NAME]), &tool));
        return RW_OK;
    }
    if (span_eq(type, SPAN("text"))) return chat_reader_text(r, 0, CHAT_EV_TEXT, 0, v[B_TEXT]);
    if (span_eq(type, SPAN("thinking"))) return chat_reader_text(r, 0, CHAT_EV_THINKING, 0, v[B_THINKING]);
    if (span_eq(type, SPAN("redacted_thinking")))
        return chat_reader_text(r, 0, CHAT_EV_REDACTED, 0, v[B_DATA]);
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_RAW, .raw = block});
}

static enum rw_err read_delta(struct chat_reader *r, uint32_t index, struct span delta)
{
    struct span v[DELTA_COUNT];
    RW_TRY(chat_members(&r->temp, delta, delta_keys, DELTA_COUNT, v, NULL));
    if (chat_has(v[D_TEXT])) return chat_reader_text(r, 0, CHAT_EV_TEXT, 0, v[D_TEXT]);
    if (chat_has(v[D_JSON])) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        return tool < 0 ? RW_OK : chat_reader_text(r, 0, CHAT_EV_TOOL_ARGS, (uint32_t)tool, v[D_JSON]);
    }
    if (chat_has(v[D_THINKING])) return chat_reader_text(r, 0, CHAT_EV_THINKING, 0, v[D_THINKING]);
    if (chat_has(v[D_SIGNATURE])) return chat_reader_text(r, 0, CHAT_EV_SIGNATURE, 0, v[D_SIGNATURE]);
    if (!chat_has(v[D_CITATION])) return RW_OK;
    const struct chat_citation *c = chat_anthropic_citation(&r->temp, v[D_CITATION]);
    if (!c) return RW_E_TOO_LARGE;
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_CITATION, .citation = c});
}

static enum rw_err read_message_delta(struct chat_reader *r, struct span delta, struct span usage)
{
    struct span v[DELTA_COUNT], explanation;
    RW_TRY(chat_members(&r->temp, delta, delta_keys, DELTA_COUNT, v, NULL));
    struct chat_event e = {.kind = CHAT_EV_FINISH};
    e.finish_raw = chat_text_or_none(&r->temp, v[D_STOP]);
    e.finish = chat_anthropic_finish(e.finish_raw);
    e.stop_sequence = chat_text_or_none(&r->temp, v[D_SEQUENCE]);
    if (chat_has(v[D_DETAILS]) && json_member(v[D_DETAILS], SPAN("explanation"), &explanation))
        e.explanation = chat_text_or_none(&r->temp, explanation);
    if (e.finish != CHAT_FINISH_NONE) RW_TRY(chat_reader_finish(r, 0, &e));
    return read_usage(r, usage);
}

enum rw_err chat_anthropic_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span v[EVENT_COUNT];
    (void)name;
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    RW_TRY(chat_members(&r->temp, data, event_keys, EVENT_COUNT, v, NULL));
    const struct span type = chat_text_or_none(&r->temp, v[E_TYPE]);
    const int64_t at = chat_count(v[E_INDEX]);
    const uint32_t index = at > 0 ? (uint32_t)at : 0;
    if (span_eq(type, SPAN("content_block_delta"))) return read_delta(r, index, v[E_DELTA]);
    if (span_eq(type, SPAN("message_start"))) return read_start(r, v[E_MESSAGE]);
    if (span_eq(type, SPAN("content_block_start"))) return read_block(r, index, v[E_BLOCK]);
    if (span_eq(type, SPAN("content_block_stop"))) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        return tool < 0 ? RW_OK : chat_reader_tool_end(r, 0, (uint32_t)tool);
    }
    if (span_eq(type, SPAN("message_delta"))) return read_message_delta(r, v[E_DELTA], v[E_USAGE]);
    if (span_eq(type, SPAN("message_stop"))) return chat_reader_done(r);
    if (!chat_has(v[E_ERROR])) return RW_OK; // ping, or what is not known yet
    struct chat_error error = {
        .kind = CHAT_E_SERVER, .message = SPAN("The provider reported an error."), .retry_after_ms = -1};
    chat_anthropic_error_take(&r->temp, v[E_ERROR], &error);
    return chat_reader_error(r, &error);
}

// --- Written.

static struct json_out *event(struct chat_writer *w, struct span type)
{
    json_out_bytes(w->out, SPAN("event: "));
    json_out_bytes(w->out, type);
    json_out_bytes(w->out, SPAN("\ndata: "));
    json_out_object(w->out);
    json_out_key_string(w->out, SPAN("type"), type);
    return w->out;
}

static void event_end(struct chat_writer *w)
{
    json_out_end(w->out);
    json_out_bytes(w->out, SSE_END);
}

static void start(struct chat_writer *w, const struct chat_event *e)
{
    struct json_out *o = event(w, SPAN("message_start"));
    struct chat_usage usage = *e->usage;
    if (usage.output < 0) usage.output = 1;
    json_out_key_object(o, SPAN("message"));
    json_out_key_string(o, SPAN("id"), e->id.n ? e->id : chat_made_id(w->ctx, "msg_", w->reply->id, 0));
    json_out_key_string(o, SPAN("type"), SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    json_out_key_string(o, SPAN("model"), chat_has(w->reply->model) ? w->reply->model : e->model);
    json_out_key_array(o, SPAN("content"));
    json_out_end(o);
    json_out_key_null(o, SPAN("stop_reason"));
    json_out_key_null(o, SPAN("stop_sequence"));
    json_out_key(o, SPAN("usage"));
    chat_anthropic_usage_write(&usage, false, o);
    json_out_end(o);
    event_end(w);
}

static void block_open(struct chat_writer *w, const struct writer_block *b)
{
    struct json_out *o = event(w, SPAN("content_block_start"));
    json_out_key_u64(o, SPAN("index"), w->blocks);
    json_out_key_object(o, SPAN("content_block"));
    switch (b->kind) {
    case CHAT_TOOL_CALL:
        json_out_key_string(o, SPAN("type"), SPAN("tool_use"));
        json_out_key_string(o, SPAN("id"), chat_anthropic_id(w->ctx, b->id));
        json_out_key_string(o, SPAN("name"), b->name);
        json_out_key_object(o, SPAN("input"));
        json_out_end(o);
        break;
    case CHAT_THINKING:
        json_out_key_string(o, SPAN("type"), SPAN("thinking"));
        json_out_key_string(o, SPAN("thinking"), SPAN(""));
        json_out_key_string(o, SPAN("signature"), SPAN(""));
        break;
    case CHAT_REDACTED:
        json_out_key_string(o, SPAN("type"), SPAN("redacted_thinking"));
        json_out_key_string(o, SPAN("data"), b->id);
        break;
    default:
        json_out_key_string(o, SPAN("type"), SPAN("text"));
        json_out_key_string(o, SPAN("text"), SPAN(""));
        json_out_key_null(o, SPAN("citations"));
        break;
    }
    json_out_end(o);
    event_end(w);
}

static struct json_out *delta(struct chat_writer *w, struct span type)
{
    struct json_out *o = event(w, SPAN("content_block_delta"));
    json_out_key_u64(o, SPAN("index"), w->blocks);
    json_out_key_object(o, SPAN("delta"));
    json_out_key_string(o, SPAN("type"), type);
    return o;
}

static void delta_end(struct chat_writer *w)
{
    json_out_end(w->out);
    event_end(w);
}

static void block_text(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_TOOL_CALL)
        json_out_key_string(delta(w, SPAN("input_json_delta")), SPAN("partial_json"), text);
    else if (b->kind == CHAT_THINKING)
        json_out_key_string(delta(w, SPAN("thinking_delta")), SPAN("thinking"), text);
    else json_out_key_string(delta(w, SPAN("text_delta")), SPAN("text"), text);
    delta_end(w);
}

static void block_signature(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    (void)b;
    json_out_key_string(delta(w, SPAN("signature_delta")), SPAN("signature"), text);
    delta_end(w);
}

static void block_close(struct chat_writer *w, const struct writer_block *b)
{
    (void)b;
    json_out_key_u64(event(w, SPAN("content_block_stop")), SPAN("index"), w->blocks);
    event_end(w);
}

static const struct writer_ops blocks = {
    .open = block_open, .text = block_text, .signature = block_signature, .close = block_close};

static void citation(struct chat_writer *w, const struct chat_citation *c)
{
    if (c->dialect != &dialect_anthropic || !w->head_open || w->head->kind != CHAT_TEXT) return;
    json_out_key_raw(delta(w, SPAN("citations_delta")), SPAN("citation"), c->raw);
    delta_end(w);
}

static enum rw_err done(struct chat_writer *w)
{
    RW_TRY(chat_blocks_end(w, &blocks));
    struct json_out *o = event(w, SPAN("message_delta"));
    json_out_key_object(o, SPAN("delta"));
    json_out_key_string(o, SPAN("stop_reason"), chat_anthropic_finish_word(w->finish));
    json_out_key(o, SPAN("stop_sequence"));
    if (w->stop_sequence.n) json_out_string(o, w->stop_sequence);
    else json_out_null(o);
    json_out_end(o);
    json_out_key(o, SPAN("usage"));
    chat_anthropic_usage_write(&w->usage, false, o);
    event_end(w);
    (void)event(w, SPAN("message_stop"));
    event_end(w);
    return RW_OK;
}

enum rw_err chat_anthropic_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->choice > 0) return RW_OK; // a message has one
    switch (e->kind) {
    case CHAT_EV_START: start(w, e); return RW_OK;
    case CHAT_EV_USAGE: w->usage = *e->usage; return RW_OK;
    case CHAT_EV_FINISH:
        w->finish = e->finish;
        w->stop_sequence = arena_copy(w->ctx->arena, e->stop_sequence);
        return RW_OK;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        return done(w);
    case CHAT_EV_ERROR:
        json_out_bytes(w->out, SPAN("event: error\ndata: "));
        (void)chat_anthropic_error_write(e->error, w->reply, w->out);
        json_out_bytes(w->out, SSE_END);
        return RW_OK;
    case CHAT_EV_CITATION: citation(w, e->citation); return RW_OK;
    default: return chat_blocks_event(w, &blocks, e);
    }
}

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .family = DIALECT_ANTHROPIC,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = chat_anthropic_request,
    .encode_request = chat_anthropic_request_write,
    .decode_answer = chat_anthropic_answer,
    .encode_answer = chat_anthropic_answer_write,
    .read = chat_anthropic_read,
    .write = chat_anthropic_write,
    .decode_error = chat_anthropic_error,
    .encode_error = chat_anthropic_error_write,
};
