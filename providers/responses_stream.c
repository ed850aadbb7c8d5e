// See dialect.h: streams in OpenAI's responses dialect, both ways, and the table of the dialect. Its last event repeats the whole
// answer, so what is written is also kept.
#include "base/limits.h"
#include "providers/openai_priv.h"
#include "providers/responses_priv.h"

// --- Read.

#define EVENT_KEYS(X) \
    X(E_TYPE, "type") \
    X(E_RESPONSE, "response") \
    X(E_OUTPUT, "output_index") \
    X(E_SUMMARY, "summary_index") \
    X(E_ITEM, "item") \
    X(E_DELTA, "delta") \
    X(E_LOGPROBS, "logprobs") \
    X(E_ANNOTATION, "annotation") \
    X(E_CODE, "code") \
    X(E_MESSAGE, "message") \
    X(E_PARAM, "param") \
    X(E_ERROR, "error")
#define RESPONSE_KEYS(X) \
    X(R_ID, "id") \
    X(R_MODEL, "model") \
    X(R_CREATED, "created_at") \
    X(R_STATUS, "status") \
    X(R_INCOMPLETE, "incomplete_details") \
    X(R_USAGE, "usage") \
    X(R_ERROR, "error")
#define ITEM_KEYS(X) \
    X(I_TYPE, "type") \
    X(I_CALL_ID, "call_id") \
    X(I_NAME, "name") \
    X(I_ARGUMENTS, "arguments") \
    X(I_ENCRYPTED, "encrypted_content")

enum { EVENT_KEYS(CHAT_KEY_ENUM) EVENT_COUNT };
enum { RESPONSE_KEYS(CHAT_KEY_ENUM) RESPONSE_COUNT };
enum { ITEM_KEYS(CHAT_KEY_ENUM) ITEM_COUNT };
static const struct span event_keys[] = {EVENT_KEYS(CHAT_KEY_SPAN)};
static const struct span response_keys[] = {RESPONSE_KEYS(CHAT_KEY_SPAN)};
static const struct span item_keys[] = {ITEM_KEYS(CHAT_KEY_SPAN)};

static enum rw_err read_error(struct chat_reader *r, struct span value)
{
    struct chat_error error = {
        .kind = CHAT_E_SERVER, .message = SPAN("The provider reported an error."), .retry_after_ms = -1};
    chat_openai_error_take(&r->temp, value, &error);
    return chat_reader_error(r, &error);
}

// response.completed, .incomplete, .failed: the end.
static enum rw_err read_end(struct chat_reader *r, const struct span *v)
{
    struct chat_usage usage;
    const enum chat_finish finish = chat_responses_finish(&r->temp, v[R_STATUS], v[R_INCOMPLETE]);
    RW_TRY(chat_responses_usage(&r->temp, v[R_USAGE], &usage));
    if (finish == CHAT_FINISH_NONE) return RW_E_BAD;
    if (finish == CHAT_FINISH_MALFORMED) {
        RW_TRY(chat_reader_usage(r, &usage));
        return read_error(r, v[R_ERROR]);
    }
    const struct span word = chat_text_or_none(&r->temp, v[R_STATUS]);
    RW_TRY(chat_reader_finish(r, 0, &(struct chat_event){.finish = finish, .finish_raw = word}));
    RW_TRY(chat_reader_usage(r, &usage));
    return chat_reader_done(r);
}

static enum rw_err read_response(struct chat_reader *r, struct span type, struct span response)
{
    struct span v[RESPONSE_COUNT];
    RW_TRY(chat_members(&r->temp, response, response_keys, RESPONSE_COUNT, v, NULL));
    (void)chat_reader_choice(r, 0);
    RW_TRY(chat_reader_start(r, chat_text_or_none(&r->temp, v[R_ID]), chat_text_or_none(&r->temp, v[R_MODEL]),
                             chat_count(v[R_CREATED])));
    const bool end = span_eq(type, SPAN("response.completed")) ||
        span_eq(type, SPAN("response.incomplete")) || span_eq(type, SPAN("response.failed"));
    return end ? read_end(r, v) : RW_OK;
}

static enum rw_err read_item(struct chat_reader *r, struct span item, uint32_t index, bool done)
{
    struct span v[ITEM_COUNT];
    RW_TRY(chat_members(&r->temp, item, item_keys, ITEM_COUNT, v, NULL));
    const struct span type = chat_text_or_none(&r->temp, v[I_TYPE]);
    if (done && span_eq(type, SPAN("reasoning"))) {
        const struct span proof = chat_responses_proof(&r->temp, v[I_ENCRYPTED]);
        const struct chat_event e = {.kind = CHAT_EV_SIGNATURE, .text = proof};
        return proof.n ? chat_reader_push(r, &e) : RW_OK;
    }
    if (!span_eq(type, SPAN("function_call"))) return RW_OK;
    int32_t tool = chat_reader_tool_find(r, 0, index);
    if (tool < 0) {
        const struct span id = chat_text_or_none(&r->temp, v[I_CALL_ID]);
        uint32_t made;
        if (!id.n) return RW_E_BAD;
        RW_TRY(chat_reader_tool(r, 0, index, id, chat_text_or_none(&r->temp, v[I_NAME]), &made));
        tool = (int32_t)made;
    }
    if (!done) return RW_OK;
    // Servers that send no pieces have the whole here.
    if (r->choice[0].tools[tool].bytes == 0)
        RW_TRY(chat_reader_text(r, 0, CHAT_EV_TOOL_ARGS, (uint32_t)tool, v[I_ARGUMENTS]));
    return chat_reader_tool_end(r, 0, (uint32_t)tool);
}

static enum rw_err read_text(struct chat_reader *r, struct span delta, struct span logprobs)
{
    struct chat_logprob *list = NULL;
    RW_TRY(chat_reader_text(r, 0, CHAT_EV_TEXT, 0, delta));
    RW_TRY(chat_openai_logprobs(&r->temp, logprobs, &list));
    return list ? chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_LOGPROBS, .logprobs = list})
                : RW_OK;
}

// Parts of a summary have an empty line between them.
static enum rw_err read_summary_part(struct chat_reader *r, struct span index)
{
    const struct chat_event e = {.kind = CHAT_EV_THINKING, .text = SPAN("\n\n")};
    return chat_count(index) > 0 ? chat_reader_push(r, &e) : RW_OK;
}

static enum rw_err read_annotation(struct chat_reader *r, struct span value)
{
    const struct chat_citation *c = chat_responses_annotation(&r->temp, value);
    if (!c) return RW_E_TOO_LARGE;
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_CITATION, .citation = c});
}

enum rw_err chat_responses_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span v[EVENT_COUNT];
    (void)name;
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    RW_TRY(chat_members(&r->temp, data, event_keys, EVENT_COUNT, v, NULL));
    const struct span type = chat_text_or_none(&r->temp, v[E_TYPE]);
    const int64_t at = chat_count(v[E_OUTPUT]);
    const uint32_t index = at > 0 ? (uint32_t)at : 0;
    if (span_eq(type, SPAN("response.output_text.delta"))) return read_text(r, v[E_DELTA], v[E_LOGPROBS]);
    if (span_eq(type, SPAN("response.function_call_arguments.delta"))) {
        const int32_t tool = chat_reader_tool_find(r, 0, index);
        return tool < 0 ? RW_OK : chat_reader_text(r, 0, CHAT_EV_TOOL_ARGS, (uint32_t)tool, v[E_DELTA]);
    }
    if (span_eq(type, SPAN("response.reasoning_summary_text.delta")) ||
        span_eq(type, SPAN("response.reasoning_text.delta")))
        return chat_reader_text(r, 0, CHAT_EV_THINKING, 0, v[E_DELTA]);
    if (span_eq(type, SPAN("response.refusal.delta")))
        return chat_reader_text(r, 0, CHAT_EV_REFUSAL, 0, v[E_DELTA]);
    if (span_eq(type, SPAN("response.output_item.added"))) return read_item(r, v[E_ITEM], index, false);
    if (span_eq(type, SPAN("response.output_item.done"))) return read_item(r, v[E_ITEM], index, true);
    if (span_eq(type, SPAN("response.reasoning_summary_part.added")))
        return read_summary_part(r, v[E_SUMMARY]);
    if (span_eq(type, SPAN("response.output_text.annotation.added")) && chat_has(v[E_ANNOTATION]))
        return read_annotation(r, v[E_ANNOTATION]);
    if (span_eq(type, SPAN("error")) || (!type.n && chat_has(v[E_ERROR])))
        return read_error(r, chat_has(v[E_ERROR]) ? v[E_ERROR] : data);
    return chat_has(v[E_RESPONSE]) ? read_response(r, type, v[E_RESPONSE]) : RW_OK;
}

// --- Written. writer.blocks_begun counts the items, which are writer.items.

// The text of one item; a model that writes more is none.
#define ITEM_BYTES_MAX MIB(4)

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
    json_out_key_u64(w->out, SPAN("sequence_number"), w->sequence++);
    json_out_end(w->out);
    json_out_bytes(w->out, SSE_END);
}

static void head_event(struct chat_writer *w, struct span type, const struct responses_head *rest)
{
    struct responses_head head = *rest;
    struct json_out *o = event(w, type);
    head.id = w->id;
    head.model = w->model;
    head.created_s = w->created_s;
    head.request = w->reply->request;
    json_out_key(o, SPAN("response"));
    chat_responses_open(&head, o);
    for (const struct responses_item *i = head.usage ? w->items : NULL; i; i = i->next)
        chat_responses_item_write(i, false, o);
    chat_responses_close(&head, o);
    event_end(w);
}

static void start(struct chat_writer *w, const struct chat_event *e)
{
    const struct responses_head head = {.status = SPAN("in_progress")};
    w->started = true;
    w->id = chat_made_id(w->ctx, "resp_", w->reply->id, 0);
    w->model = chat_has(w->reply->model) ? w->reply->model : e->model;
    w->created_s = e->created_s > 0 ? e->created_s : w->reply->created_s;
    head_event(w, SPAN("response.created"), &head);
    head_event(w, SPAN("response.in_progress"), &head);
}

static struct json_out *item_event(struct chat_writer *w, struct span type)
{
    struct json_out *o = event(w, type);
    json_out_key_u64(o, SPAN("output_index"), w->blocks_begun);
    return o;
}

// Of a part of the open item: with the item's id and the part's number under this name.
static struct json_out *part_event(struct chat_writer *w, struct span type, struct span number)
{
    struct json_out *o = item_event(w, type);
    json_out_key_string(o, SPAN("item_id"), w->item->id);
    if (number.n) json_out_key_u64(o, number, 0);
    return o;
}

static void block_open(struct chat_writer *w, const struct writer_block *b)
{
    const bool call = b->kind == CHAT_TOOL_CALL, thought = b->kind == CHAT_THINKING;
    if (b->kind == CHAT_REDACTED) return;
    struct responses_item *item = chat_alloc(w->ctx, sizeof *item);
    if (!item) {
        w->broken = true;
        return;
    }
    *item = (struct responses_item){.kind = b->kind, .call_id = b->id, .name = b->name};
    item->id = chat_made_id(w->ctx,
                            call          ? "fc_"
                                : thought ? "rs_"
                                          : "msg_",
                            w->reply->id, w->blocks_begun + 1);
    if (w->item) w->item->next = item;
    else w->items = item;
    w->item = item;
    json_out_key(item_event(w, SPAN("response.output_item.added")), SPAN("item"));
    chat_responses_item_write(item, true, w->out);
    event_end(w);
    if (call) return;
    if (thought) {
        json_out_key_raw(part_event(w, SPAN("response.reasoning_summary_part.added"), SPAN("summary_index")),
                         SPAN("part"), SPAN("{\"type\":\"summary_text\",\"text\":\"\"}"));
    } else {
        json_out_key(part_event(w, SPAN("response.content_part.added"), SPAN("content_index")), SPAN("part"));
        chat_responses_part_write(item, true, w->out);
    }
    event_end(w);
}

static bool keep(struct chat_writer *w, struct responses_item *item, struct span text)
{
    if (text.n > ITEM_BYTES_MAX - item->n) return false;
    const uint32_t need = item->n + text.n;
    if (need > item->cap) {
        uint32_t cap = item->cap ? item->cap : 256;
        while (cap < need) cap *= 2;
        uint8_t *room = arena_alloc(w->ctx->arena, cap);
        if (!room) return false;
        if (item->n) memcpy(room, item->text, item->n);
        item->text = room;
        item->cap = cap;
    }
    if (text.n) memcpy(item->text + item->n, text.p, text.n);
    item->n = need;
    return true;
}

static void block_text(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_REDACTED || w->broken) return;
    w->broken = !keep(w, w->item, text);
    struct json_out *o;
    switch (b->kind) {
    case CHAT_TOOL_CALL: o = part_event(w, SPAN("response.function_call_arguments.delta"), SPAN("")); break;
    case CHAT_THINKING:
        o = part_event(w, SPAN("response.reasoning_summary_text.delta"), SPAN("summary_index"));
        break;
    case CHAT_REFUSAL: o = part_event(w, SPAN("response.refusal.delta"), SPAN("content_index")); break;
    default: o = part_event(w, SPAN("response.output_text.delta"), SPAN("content_index")); break;
    }
    json_out_key_string(o, SPAN("delta"), text);
    if (b->kind == CHAT_TEXT) json_out_key_raw(o, SPAN("logprobs"), SPAN("[]"));
    event_end(w);
}

static void block_signature(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_THINKING && w->item) w->item->signature = arena_copy(w->ctx->arena, text);
}

static void close_call(struct chat_writer *w)
{
    struct json_out *o = part_event(w, SPAN("response.function_call_arguments.done"), SPAN(""));
    json_out_key_string(o, SPAN("name"), w->item->name);
    json_out_key_string(o, SPAN("arguments"), span_of(w->item->text, w->item->n));
    event_end(w);
}

static void close_thought(struct chat_writer *w)
{
    const struct span text = span_of(w->item->text, w->item->n), number = SPAN("summary_index");
    json_out_key_string(part_event(w, SPAN("response.reasoning_summary_text.done"), number), SPAN("text"),
                        text);
    event_end(w);
    struct json_out *o = part_event(w, SPAN("response.reasoning_summary_part.done"), number);
    json_out_key_object(o, SPAN("part"));
    json_out_key_string(o, SPAN("type"), SPAN("summary_text"));
    json_out_key_string(o, SPAN("text"), text);
    json_out_end(o);
    event_end(w);
}

static void close_text(struct chat_writer *w)
{
    const struct span text = span_of(w->item->text, w->item->n), number = SPAN("content_index");
    if (w->item->kind == CHAT_REFUSAL) {
        json_out_key_string(part_event(w, SPAN("response.refusal.done"), number), SPAN("refusal"), text);
    } else {
        struct json_out *o = part_event(w, SPAN("response.output_text.done"), number);
        json_out_key_string(o, SPAN("text"), text);
        json_out_key_raw(o, SPAN("logprobs"), SPAN("[]"));
    }
    event_end(w);
    json_out_key(part_event(w, SPAN("response.content_part.done"), number), SPAN("part"));
    chat_responses_part_write(w->item, false, w->out);
    event_end(w);
}

static void block_close(struct chat_writer *w, const struct writer_block *b)
{
    if (b->kind == CHAT_REDACTED || w->broken) return;
    if (b->kind == CHAT_TOOL_CALL) close_call(w);
    else if (b->kind == CHAT_THINKING) close_thought(w);
    else close_text(w);
    json_out_key(item_event(w, SPAN("response.output_item.done")), SPAN("item"));
    chat_responses_item_write(w->item, false, w->out);
    event_end(w);
    w->blocks_begun++;
}

static const struct writer_ops blocks = {.open = block_open,
                                         .text = block_text,
                                         .signature = block_signature,
                                         .close = block_close,
                                         .refusals = true};

static bool in_text(const struct chat_writer *w)
{
    return w->head_open && w->head->kind == CHAT_TEXT && w->item && !w->broken;
}

static void citation(struct chat_writer *w, const struct chat_citation *c)
{
    if (c->kind != CHAT_CITE_WEB || !in_text(w)) return;
    struct chat_citation *copy = chat_alloc(w->ctx, sizeof *copy);
    uint32_t n = 0;
    if (!copy) {
        w->broken = true;
        return;
    }
    *copy = (struct chat_citation){.kind = c->kind, .start = c->start, .end = c->end};
    copy->url = arena_copy(w->ctx->arena, c->url);
    copy->title = arena_copy(w->ctx->arena, c->title);
    const struct chat_citation **next = &w->item->citations;
    for (; *next; n++) next = (const struct chat_citation **)(uintptr_t) & (*next)->next;
    *next = copy;
    struct json_out *o = part_event(w, SPAN("response.output_text.annotation.added"), SPAN("content_index"));
    json_out_key_u64(o, SPAN("annotation_index"), n);
    json_out_key(o, SPAN("annotation"));
    chat_responses_annotation_write(copy, o);
    event_end(w);
}

static void logprobs(struct chat_writer *w, const struct chat_logprob *list)
{
    if (!list || !in_text(w)) return;
    struct json_out *o = part_event(w, SPAN("response.output_text.delta"), SPAN("content_index"));
    json_out_key_string(o, SPAN("delta"), SPAN(""));
    json_out_key(o, SPAN("logprobs"));
    chat_responses_logprobs_write(list, o);
    event_end(w);
}

static enum rw_err done(struct chat_writer *w)
{
    struct responses_head head = {.usage = &w->usage};
    const struct chat_event why = {.kind = CHAT_EV_REFUSAL, .text = w->explanation};
    if (why.text.n) RW_TRY(chat_blocks_event(w, &blocks, &why));
    RW_TRY(chat_blocks_end(w, &blocks));
    if (w->broken) return RW_E_TOO_LARGE;
    chat_responses_ended(&head, w->finish);
    head_event(w, head.reason.n ? SPAN("response.incomplete") : SPAN("response.completed"), &head);
    return RW_OK;
}

// What is whole so far is repeated; before the answer began there is only the error.
static void fail(struct chat_writer *w, const struct chat_error *error)
{
    const struct responses_head head = {.status = SPAN("failed"), .error = error, .usage = &w->usage};
    const char *code = chat_error_table[error->kind].openai_code;
    if (w->started) {
        head_event(w, SPAN("response.failed"), &head);
        return;
    }
    struct json_out *o = event(w, SPAN("error"));
    json_out_key_string(o, SPAN("code"), code ? span_str(code) : SPAN("server_error"));
    json_out_key_string(o, SPAN("message"), error->message);
    json_out_key(o, SPAN("param"));
    if (error->param.n) json_out_string(o, error->param);
    else json_out_null(o);
    event_end(w);
}

enum rw_err chat_responses_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->choice > 0) return RW_OK; // an answer is one
    switch (e->kind) {
    case CHAT_EV_START: start(w, e); break;
    case CHAT_EV_USAGE: w->usage = *e->usage; break;
    case CHAT_EV_FINISH:
        w->finish = e->finish;
        w->explanation = arena_copy(w->ctx->arena, e->explanation);
        break;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        return done(w);
    case CHAT_EV_ERROR: fail(w, e->error); break;
    case CHAT_EV_CITATION: citation(w, e->citation); break;
    case CHAT_EV_LOGPROBS: logprobs(w, e->logprobs); break;
    default: RW_TRY(chat_blocks_event(w, &blocks, e));
    }
    return w->broken ? RW_E_TOO_LARGE : RW_OK;
}

const struct dialect dialect_responses = {
    .name = "responses",
    .family = DIALECT_RESPONSES,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = chat_responses_request,
    .encode_request = chat_responses_request_write,
    .decode_answer = chat_responses_answer,
    .encode_answer = chat_responses_answer_write,
    .read = chat_responses_read,
    .write = chat_responses_write,
    .decode_error = chat_openai_error,
    .encode_error = chat_openai_error_write,
    .check = chat_responses_check,
};
