// See dialect.h: streams in Cohere's dialect (v2), both ways, and the table of the dialect. Contents and calls are counted apart.
#include "providers/cohere_priv.h"

// --- Read.

#define EVENT_KEYS(X) \
    X(E_TYPE, "type") \
    X(E_ID, "id") \
    X(E_INDEX, "index") \
    X(E_DELTA, "delta") \
    X(E_LOGPROBS, "logprobs")
#define MESSAGE_KEYS(X) \
    X(M_CONTENT, "content") \
    X(M_PLAN, "tool_plan") \
    X(M_CALLS, "tool_calls") \
    X(M_CITATIONS, "citations")
#define CONTENT_KEYS(X) \
    X(C_TEXT, "text") \
    X(C_THINKING, "thinking")
#define END_KEYS(X) \
    X(N_FINISH, "finish_reason") \
    X(N_USAGE, "usage") \
    X(N_ERROR, "error")

enum { EVENT_KEYS(CHAT_KEY_ENUM) EVENT_COUNT };
enum { MESSAGE_KEYS(CHAT_KEY_ENUM) MESSAGE_COUNT };
enum { CONTENT_KEYS(CHAT_KEY_ENUM) CONTENT_COUNT };
enum { END_KEYS(CHAT_KEY_ENUM) END_COUNT };
static const struct span event_keys[] = {EVENT_KEYS(CHAT_KEY_SPAN)};
static const struct span message_keys[] = {MESSAGE_KEYS(CHAT_KEY_SPAN)};
static const struct span content_keys[] = {CONTENT_KEYS(CHAT_KEY_SPAN)};
static const struct span end_keys[] = {END_KEYS(CHAT_KEY_SPAN)};

static enum rw_err read_content(struct chat_reader *r, struct span content, struct span logprobs)
{
    struct span v[CONTENT_COUNT];
    struct chat_logprob *list = NULL, **next = &list;
    RW_TRY(chat_members(&r->temp, content, content_keys, CONTENT_COUNT, v, NULL));
    RW_TRY(chat_reader_text(r, 0, CHAT_EV_THINKING, 0, v[C_THINKING]));
    RW_TRY(chat_reader_text(r, 0, CHAT_EV_TEXT, 0, v[C_TEXT]));
    if (!chat_has(logprobs)) return RW_OK;
    RW_TRY(chat_cohere_logprob(&r->temp, logprobs, &next));
    return list ? chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_LOGPROBS, .logprobs = list})
                : RW_OK;
}

static enum rw_err read_call(struct chat_reader *r, uint32_t index, struct span call)
{
    static const struct span keys[] = {SPAN_INIT("id"), SPAN_INIT("function")};
    static const struct span inner[] = {SPAN_INIT("name"), SPAN_INIT("arguments")};
    struct span v[2], f[2];
    RW_TRY(chat_members(&r->temp, call, keys, 2, v, NULL));
    RW_TRY(chat_members(&r->temp, v[1], inner, 2, f, NULL));
    const struct span name = chat_text_or_none(&r->temp, f[0]);
    if (name.n) {
        uint32_t tool;
        struct span id = chat_text_or_none(&r->temp, v[0]);
        if (!id.n) id = chat_made_id(&r->temp, "call_", r->id, r->choice[0].tool_count + 1);
        RW_TRY(chat_reader_tool(r, 0, index, id, name, &tool));
    }
    const int32_t tool = chat_reader_tool_find(r, 0, index);
    return tool < 0 ? RW_OK : chat_reader_text(r, 0, CHAT_EV_TOOL_ARGS, (uint32_t)tool, f[1]);
}

static enum rw_err read_citation(struct chat_reader *r, struct span value)
{
    const struct chat_citation *c = chat_cohere_citation(&r->temp, value);
    if (!c) return RW_E_TOO_LARGE;
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_CITATION, .citation = c});
}

static enum rw_err read_end(struct chat_reader *r, struct span delta)
{
    struct span v[END_COUNT];
    struct chat_usage usage;
    RW_TRY(chat_members(&r->temp, delta, end_keys, END_COUNT, v, NULL));
    const struct span word = chat_text_or_none(&r->temp, v[N_FINISH]);
    const enum chat_finish finish = chat_cohere_finish(word);
    RW_TRY(chat_cohere_usage(&r->temp, v[N_USAGE], &usage));
    usage.extra = NULL; // does not live longer than this event
    if (finish == CHAT_FINISH_MALFORMED) {
        struct chat_error error = {.kind = span_eq(word, SPAN("TIMEOUT")) ? CHAT_E_TIMEOUT : CHAT_E_SERVER,
                                   .message = chat_text_or_none(&r->temp, v[N_ERROR]),
                                   .retry_after_ms = -1};
        if (!error.message.n) error.message = SPAN("The provider reported an error.");
        RW_TRY(chat_reader_usage(r, &usage));
        return chat_reader_error(r, &error);
    }
    if (finish != CHAT_FINISH_NONE)
        RW_TRY(chat_reader_finish(r, 0, &(struct chat_event){.finish = finish, .finish_raw = word}));
    return chat_reader_usage(r, &usage);
}

enum rw_err chat_cohere_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span v[EVENT_COUNT], m[MESSAGE_COUNT], message;
    (void)name;
    if (span_starts(data, SPAN("[DONE]"))) return chat_reader_done(r);
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    RW_TRY(chat_members(&r->temp, data, event_keys, EVENT_COUNT, v, NULL));
    const struct span type = chat_text_or_none(&r->temp, v[E_TYPE]);
    const int64_t at = chat_count(v[E_INDEX]);
    const uint32_t index = at > 0 ? (uint32_t)at : 0;
    if (!chat_has(v[E_DELTA]) || !json_member(v[E_DELTA], SPAN("message"), &message))
        message = (struct span){NULL, 0};
    RW_TRY(chat_members(&r->temp, message, message_keys, MESSAGE_COUNT, m, NULL));
    if (span_eq(type, SPAN("content-delta")) || span_eq(type, SPAN("content-start")))
        return read_content(r, m[M_CONTENT], v[E_LOGPROBS]);
    if (span_eq(type, SPAN("message-start"))) {
        (void)chat_reader_choice(r, 0);
        return chat_reader_start(r, chat_text_or_none(&r->temp, v[E_ID]), (struct span){NULL, 0}, -1);
    }
    if (span_eq(type, SPAN("tool-plan-delta"))) return chat_reader_text(r, 0, CHAT_EV_TEXT, 0, m[M_PLAN]);
    if (span_eq(type, SPAN("tool-call-start")) || span_eq(type, SPAN("tool-call-delta")))
        return read_call(r, index, m[M_CALLS]);
    if (span_eq(type, SPAN("tool-call-end"))) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        return tool < 0 ? RW_OK : chat_reader_tool_end(r, 0, (uint32_t)tool);
    }
    if (span_eq(type, SPAN("citation-start")) && chat_has(m[M_CITATIONS]))
        return read_citation(r, m[M_CITATIONS]);
    return span_eq(type, SPAN("message-end")) ? read_end(r, v[E_DELTA]) : RW_OK;
}

// --- Written. writer.blocks_begun counts contents, writer.citations citations.

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

// Up to the value of `key` in delta.message.
static struct json_out *delta(struct chat_writer *w, struct span type, uint32_t index, struct span key)
{
    struct json_out *o = event(w, type);
    json_out_key_u64(o, SPAN("index"), index);
    json_out_key_object(o, SPAN("delta"));
    json_out_key_object(o, SPAN("message"));
    json_out_key(o, key);
    return o;
}

static void delta_end(struct chat_writer *w)
{
    json_out_end(w->out);
    json_out_end(w->out);
    event_end(w);
}

static void start(struct chat_writer *w, const struct chat_event *e)
{
    struct json_out *o = event(w, SPAN("message-start"));
    w->id = e->id.n ? e->id : w->reply->id;
    json_out_key_string(o, SPAN("id"), w->id);
    json_out_key_object(o, SPAN("delta"));
    json_out_key_object(o, SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    json_out_key_raw(o, SPAN("content"), SPAN("[]"));
    json_out_key_string(o, SPAN("tool_plan"), SPAN(""));
    json_out_key_raw(o, SPAN("tool_calls"), SPAN("[]"));
    json_out_key_raw(o, SPAN("citations"), SPAN("[]"));
    delta_end(w);
}

static void call_open(struct chat_writer *w, const struct writer_block *b)
{
    struct json_out *o = delta(w, SPAN("tool-call-start"), b->tool, SPAN("tool_calls"));
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), b->id);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_object(o, SPAN("function"));
    json_out_key_string(o, SPAN("name"), b->name);
    json_out_key_string(o, SPAN("arguments"), SPAN(""));
    json_out_end(o);
    json_out_end(o);
    delta_end(w);
}

static void block_open(struct chat_writer *w, const struct writer_block *b)
{
    const struct span kind = b->kind == CHAT_THINKING ? SPAN("thinking") : SPAN("text");
    if (b->kind == CHAT_REDACTED) return;
    if (b->kind == CHAT_TOOL_CALL) {
        call_open(w, b);
        return;
    }
    struct json_out *o = delta(w, SPAN("content-start"), w->blocks_begun, SPAN("content"));
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), kind);
    json_out_key_string(o, kind, SPAN(""));
    json_out_end(o);
    delta_end(w);
}

static void block_text(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_REDACTED) return;
    if (b->kind == CHAT_TOOL_CALL) {
        struct json_out *o = delta(w, SPAN("tool-call-delta"), b->tool, SPAN("tool_calls"));
        json_out_object(o);
        json_out_key_object(o, SPAN("function"));
        json_out_key_string(o, SPAN("arguments"), text);
        json_out_end(o);
        json_out_end(o);
    } else {
        struct json_out *o = delta(w, SPAN("content-delta"), w->blocks_begun, SPAN("content"));
        json_out_object(o);
        json_out_key_string(o, b->kind == CHAT_THINKING ? SPAN("thinking") : SPAN("text"), text);
        json_out_end(o);
    }
    delta_end(w);
}

static void block_signature(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    (void)w;
    (void)b;
    (void)text;
}

static void block_close(struct chat_writer *w, const struct writer_block *b)
{
    if (b->kind == CHAT_REDACTED) return;
    const bool call = b->kind == CHAT_TOOL_CALL;
    struct json_out *o = event(w, call ? SPAN("tool-call-end") : SPAN("content-end"));
    json_out_key_u64(o, SPAN("index"), call ? b->tool : w->blocks_begun++);
    event_end(w);
}

static const struct writer_ops blocks = {
    .open = block_open, .text = block_text, .signature = block_signature, .close = block_close};

static void citation(struct chat_writer *w, const struct chat_citation *c)
{
    if (c->dialect != &dialect_cohere) return;
    json_out_raw(delta(w, SPAN("citation-start"), w->citations, SPAN("citations")), c->raw);
    delta_end(w);
    json_out_key_u64(event(w, SPAN("citation-end")), SPAN("index"), w->citations++);
    event_end(w);
}

static void logprobs(struct chat_writer *w, const struct chat_logprob *list)
{
    if (!w->head_open || w->head->kind != CHAT_TEXT) return;
    for (; list; list = list->next) {
        struct json_out *o = delta(w, SPAN("content-delta"), w->blocks_begun, SPAN("content"));
        json_out_object(o);
        json_out_key_string(o, SPAN("text"), SPAN(""));
        json_out_end(o);
        json_out_end(o);
        json_out_end(o);
        json_out_key(o, SPAN("logprobs"));
        chat_cohere_logprob_write(list, o);
        event_end(w);
    }
}

// The last event; error.p NULL: none.
static void message_end(struct chat_writer *w, struct span word, struct span error)
{
    struct json_out *o = event(w, SPAN("message-end"));
    if (w->id.n) json_out_key_string(o, SPAN("id"), w->id);
    json_out_key_object(o, SPAN("delta"));
    json_out_key_string(o, SPAN("finish_reason"), word);
    if (chat_has(error)) json_out_key_string(o, SPAN("error"), error);
    json_out_key(o, SPAN("usage"));
    chat_cohere_usage_write(&w->usage, false, o);
    json_out_end(o);
    event_end(w);
}

static enum rw_err done(struct chat_writer *w)
{
    const bool filtered = w->finish == CHAT_FINISH_FILTER || w->finish == CHAT_FINISH_REFUSAL;
    const struct span why = w->explanation.n ? w->explanation : SPAN("A content filter stopped the answer.");
    RW_TRY(chat_blocks_end(w, &blocks));
    message_end(w, chat_cohere_finish_word(w->finish), filtered ? why : (struct span){NULL, 0});
    json_out_bytes(w->out, SPAN("data: [DONE]\n\n"));
    return RW_OK;
}

enum rw_err chat_cohere_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->choice > 0) return RW_OK; // a message has one
    switch (e->kind) {
    case CHAT_EV_START: start(w, e); return RW_OK;
    case CHAT_EV_USAGE: w->usage = *e->usage; return RW_OK;
    case CHAT_EV_FINISH:
        w->finish = e->finish;
        w->explanation = arena_copy(w->ctx->arena, e->explanation);
        return RW_OK;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        return done(w);
    case CHAT_EV_ERROR: message_end(w, SPAN("ERROR"), e->error->message); return RW_OK;
    case CHAT_EV_CITATION: citation(w, e->citation); return RW_OK;
    case CHAT_EV_LOGPROBS: logprobs(w, e->logprobs); return RW_OK;
    default: return chat_blocks_event(w, &blocks, e);
    }
}

const struct dialect dialect_cohere = {
    .name = "cohere",
    .family = DIALECT_COHERE,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = chat_cohere_request,
    .encode_request = chat_cohere_request_write,
    .decode_answer = chat_cohere_answer,
    .encode_answer = chat_cohere_answer_write,
    .read = chat_cohere_read,
    .write = chat_cohere_write,
    .decode_error = chat_cohere_error,
    .encode_error = chat_cohere_error_write,
};
