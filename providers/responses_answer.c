// See dialect.h: whole answers in OpenAI's responses dialect, both ways. What was asked is repeated in them.
#include "providers/responses_priv.h"

// --- Usage.

enum rw_err chat_responses_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret)
{
    static const struct span keys[] = {SPAN_INIT("input_tokens"), SPAN_INIT("output_tokens"),
                                       SPAN_INIT("input_tokens_details"), SPAN_INIT("output_tokens_details")};
    static const struct span input[] = {SPAN_INIT("cached_tokens"), SPAN_INIT("cache_write_tokens")};
    static const struct span output[] = {SPAN_INIT("reasoning_tokens")};
    struct span v[4], d[2];
    chat_usage_init(ret);
    RW_TRY(chat_members(ctx, usage, keys, 4, v, NULL));
    ret->input = chat_count(v[0]);
    ret->output = chat_count(v[1]);
    RW_TRY(chat_members(ctx, v[2], input, 2, d, NULL));
    ret->cached = chat_count(d[0]);
    ret->cache_write = chat_count(d[1]);
    RW_TRY(chat_members(ctx, v[3], output, 1, d, NULL));
    ret->reasoning = chat_count(d[0]);
    return RW_OK;
}

static uint64_t zero(int64_t count)
{
    return count > 0 ? (uint64_t)count : 0;
}

static void usage_write(const struct chat_usage *u, struct json_out *o)
{
    json_out_object(o);
    json_out_key_u64(o, SPAN("input_tokens"), zero(u->input));
    json_out_key_object(o, SPAN("input_tokens_details"));
    json_out_key_u64(o, SPAN("cached_tokens"), zero(u->cached));
    json_out_key_u64(o, SPAN("cache_write_tokens"), zero(u->cache_write));
    json_out_end(o);
    json_out_key_u64(o, SPAN("output_tokens"), zero(u->output));
    json_out_key_object(o, SPAN("output_tokens_details"));
    json_out_key_u64(o, SPAN("reasoning_tokens"), zero(u->reasoning));
    json_out_end(o);
    json_out_key_u64(o, SPAN("total_tokens"), zero(u->input) + zero(u->output));
    json_out_end(o);
}

// --- How it ended.

enum chat_finish chat_responses_finish(struct chat_ctx *ctx, struct span status, struct span details)
{
    struct span reason;
    const struct span word = chat_text_or_none(ctx, status);
    if (span_eq(word, SPAN("completed"))) return CHAT_FINISH_STOP;
    if (span_eq(word, SPAN("failed")) || span_eq(word, SPAN("cancelled"))) return CHAT_FINISH_MALFORMED;
    if (!span_eq(word, SPAN("incomplete"))) return CHAT_FINISH_NONE;
    if (!chat_has(details) || !json_member(details, SPAN("reason"), &reason)) return CHAT_FINISH_LENGTH;
    return span_eq(chat_text_or_none(ctx, reason), SPAN("content_filter")) ? CHAT_FINISH_FILTER
                                                                           : CHAT_FINISH_LENGTH;
}

void chat_responses_ended(struct responses_head *head, enum chat_finish finish)
{
    const bool filter = finish == CHAT_FINISH_FILTER || finish == CHAT_FINISH_REFUSAL;
    const bool length = finish == CHAT_FINISH_LENGTH || finish == CHAT_FINISH_CONTEXT;
    head->status = filter || length ? SPAN("incomplete") : SPAN("completed");
    if (filter) head->reason = SPAN("content_filter");
    if (length) head->reason = SPAN("max_output_tokens");
}

// --- Items.

struct chat_citation *chat_responses_annotation(struct chat_ctx *ctx, struct span value)
{
    enum { TYPE, START, END, TITLE, URL };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("start_index"), SPAN_INIT("end_index"),
                                       SPAN_INIT("title"), SPAN_INIT("url")};
    struct span v[5];
    struct chat_citation *c = chat_alloc(ctx, sizeof *c);
    if (!c || chat_members(ctx, value, keys, 5, v, NULL)) return c;
    *c = (struct chat_citation){.kind = CHAT_CITE_OTHER, .dialect = &dialect_responses, .raw = value};
    c->start = chat_count(v[START]);
    c->end = chat_count(v[END]);
    c->title = chat_text_or_none(ctx, v[TITLE]);
    c->url = chat_text_or_none(ctx, v[URL]);
    if (span_eq(chat_text_or_none(ctx, v[TYPE]), SPAN("url_citation"))) c->kind = CHAT_CITE_WEB;
    return c;
}

void chat_responses_annotation_write(const struct chat_citation *c, struct json_out *o)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("url_citation"));
    json_out_key_u64(o, SPAN("start_index"), zero(c->start));
    json_out_key_u64(o, SPAN("end_index"), zero(c->end));
    json_out_key_string(o, SPAN("title"), c->title);
    json_out_key_string(o, SPAN("url"), c->url);
    json_out_end(o);
}

static void logprob_write(const struct chat_logprob *l, bool outer, struct json_out *o)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("token"), l->token);
    json_out_key_raw(o, SPAN("logprob"), chat_has(l->logprob) ? l->logprob : SPAN("-9999.0"));
    json_out_key_raw(o, SPAN("bytes"), chat_has(l->bytes) ? l->bytes : SPAN("[]"));
    if (outer) {
        json_out_key_array(o, SPAN("top_logprobs"));
        for (const struct chat_logprob *t = l->top; t; t = t->next) logprob_write(t, false, o);
        json_out_end(o);
    }
    json_out_end(o);
}

void chat_responses_logprobs_write(const struct chat_logprob *list, struct json_out *o)
{
    json_out_array(o);
    for (; list; list = list->next) logprob_write(list, true, o);
    json_out_end(o);
}

void chat_responses_part_write(const struct responses_item *item, bool begun, struct json_out *o)
{
    const struct span text = begun ? SPAN("") : span_of(item->text, item->n);
    json_out_object(o);
    if (item->kind == CHAT_REFUSAL) {
        json_out_key_string(o, SPAN("type"), SPAN("refusal"));
        json_out_key_string(o, SPAN("refusal"), text);
    } else {
        json_out_key_string(o, SPAN("type"), SPAN("output_text"));
        json_out_key_array(o, SPAN("annotations"));
        for (const struct chat_citation *c = begun ? NULL : item->citations; c; c = c->next)
            if (c->kind == CHAT_CITE_WEB) chat_responses_annotation_write(c, o);
        json_out_end(o);
        json_out_key(o, SPAN("logprobs"));
        chat_responses_logprobs_write(begun ? NULL : item->logprobs, o);
        json_out_key_string(o, SPAN("text"), text);
    }
    json_out_end(o);
}

static void reasoning_write(const struct responses_item *item, bool begun, struct json_out *o)
{
    json_out_key_string(o, SPAN("type"), SPAN("reasoning"));
    json_out_key_array(o, SPAN("summary"));
    if (!begun && item->n) {
        json_out_object(o);
        json_out_key_string(o, SPAN("type"), SPAN("summary_text"));
        json_out_key_string(o, SPAN("text"), span_of(item->text, item->n));
        json_out_end(o);
    }
    json_out_end(o);
    if (begun || !item->signature.n) return;
    json_out_key(o, SPAN("encrypted_content"));
    json_out_open(o);
    json_out_piece(o, RESPONSES_PROOF);
    json_out_piece(o, item->signature);
    json_out_close(o);
}

void chat_responses_item_write(const struct responses_item *item, bool begun, struct json_out *o)
{
    const struct span status = begun ? SPAN("in_progress") : SPAN("completed");
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), item->id);
    if (item->kind == CHAT_THINKING) {
        reasoning_write(item, begun, o);
    } else if (item->kind == CHAT_TOOL_CALL) {
        json_out_key_string(o, SPAN("type"), SPAN("function_call"));
        json_out_key_string(o, SPAN("status"), status);
        json_out_key_string(o, SPAN("arguments"), begun ? SPAN("") : span_of(item->text, item->n));
        json_out_key_string(o, SPAN("call_id"), item->call_id);
        json_out_key_string(o, SPAN("name"), item->name);
    } else {
        json_out_key_string(o, SPAN("type"), SPAN("message"));
        json_out_key_string(o, SPAN("status"), status);
        json_out_key_array(o, SPAN("content"));
        if (!begun) chat_responses_part_write(item, false, o);
        json_out_end(o);
        json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    }
    json_out_end(o);
}

// --- The head of an answer.

static void raw_or_null(struct json_out *o, struct span key, struct span value)
{
    json_out_key_raw(o, key, chat_has(value) ? value : SPAN("null"));
}

static void error_write(const struct chat_error *e, struct json_out *o)
{
    const char *code = chat_error_table[e->kind].openai_code;
    json_out_object(o);
    json_out_key_string(o, SPAN("code"), code ? span_str(code) : SPAN("server_error"));
    json_out_key_string(o, SPAN("message"), e->message);
    json_out_end(o);
}

void chat_responses_open(const struct responses_head *head, struct json_out *o)
{
    const struct chat_request *rq = head->request;
    const struct chat_message *first = rq ? rq->messages : NULL;
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), head->id);
    json_out_key_string(o, SPAN("object"), SPAN("response"));
    json_out_key_u64(o, SPAN("created_at"), zero(head->created_s));
    json_out_key_string(o, SPAN("status"), head->status);
    json_out_key_bool(o, SPAN("background"), false);
    json_out_key(o, SPAN("error"));
    if (head->error) error_write(head->error, o);
    else json_out_null(o);
    json_out_key(o, SPAN("incomplete_details"));
    if (head->reason.n) {
        json_out_object(o);
        json_out_key_string(o, SPAN("reason"), head->reason);
        json_out_end(o);
    } else {
        json_out_null(o);
    }
    json_out_key(o, SPAN("instructions"));
    if (first && first->index == UINT32_MAX && first->parts) json_out_string(o, first->parts->text);
    else json_out_null(o);
    raw_or_null(o, SPAN("max_output_tokens"), rq ? rq->max_tokens : (struct span){NULL, 0});
    json_out_key_string(o, SPAN("model"), head->model);
    json_out_key_array(o, SPAN("output"));
}

static void settings_write(const struct chat_request *rq, struct json_out *o)
{
    static const struct chat_request none;
    if (!rq) rq = &none;
    json_out_key_bool(o, SPAN("parallel_tool_calls"), rq->parallel_tools != CHAT_NO);
    json_out_key_null(o, SPAN("previous_response_id"));
    json_out_key_object(o, SPAN("reasoning"));
    json_out_key(o, SPAN("effort"));
    if (rq->thinking.effort) json_out_string(o, chat_effort_names[rq->thinking.effort]);
    else json_out_null(o);
    json_out_key(o, SPAN("summary"));
    if (rq->thinking.display.n) json_out_string(o, rq->thinking.display);
    else json_out_null(o);
    json_out_end(o);
    json_out_key_bool(o, SPAN("store"), false);
    raw_or_null(o, SPAN("temperature"), rq->temperature);
    json_out_key_object(o, SPAN("text"));
    json_out_key(o, SPAN("format"));
    chat_responses_format_write(&rq->format, o);
    json_out_end(o);
    json_out_key(o, SPAN("tool_choice"));
    chat_responses_choice_write(&rq->tool_choice, o);
    json_out_key_array(o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next) chat_responses_tool_write(t, o);
    json_out_end(o);
    raw_or_null(o, SPAN("top_p"), rq->top_p);
    json_out_key_string(o, SPAN("truncation"), SPAN("disabled"));
    const struct span metadata = chat_extra_find(rq->extra, SPAN("metadata"));
    json_out_key_raw(o, SPAN("metadata"), chat_has(metadata) ? metadata : SPAN("{}"));
}

void chat_responses_close(const struct responses_head *head, struct json_out *o)
{
    json_out_end(o);
    settings_write(head->request, o);
    json_out_key(o, SPAN("usage"));
    if (head->usage) usage_write(head->usage, o);
    else json_out_null(o);
    json_out_end(o);
}

// --- Answers, read.

#define ANSWER_KEYS(X) \
    X(A_ID, "id") \
    X(A_OBJECT, "object") \
    X(A_CREATED, "created_at") \
    X(A_STATUS, "status") \
    X(A_INCOMPLETE, "incomplete_details") \
    X(A_MODEL, "model") \
    X(A_OUTPUT, "output") \
    X(A_USAGE, "usage")
enum { ANSWER_KEYS(CHAT_KEY_ENUM) ANSWER_COUNT };
static const struct span answer_keys[] = {ANSWER_KEYS(CHAT_KEY_SPAN)};

static enum rw_err read_content(struct chat_ctx *ctx, struct span list, struct chat_choice *c,
                                struct chat_part ***tail)
{
    enum { TYPE, TEXT, REFUSAL, ANNOTATIONS };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("text"), SPAN_INIT("refusal"),
                                       SPAN_INIT("annotations")};
    struct json_iter it = json_iter(list);
    struct span key, element, one, v[4];
    (void)c;
    while (json_next(&it, &key, &element)) {
        RW_TRY(chat_members(ctx, element, keys, 4, v, NULL));
        const bool refusal = chat_has(v[REFUSAL]);
        struct chat_part *part = chat_part_new(ctx, refusal ? CHAT_REFUSAL : CHAT_TEXT);
        if (!part) return RW_E_TOO_LARGE;
        part->text = chat_text_or_none(ctx, v[refusal ? REFUSAL : TEXT]);
        if (!chat_has(part->text)) part->text = SPAN("");
        chat_part_add(tail, part);
        struct chat_citation **next = &part->citations;
        struct json_iter notes = json_iter(v[ANNOTATIONS]);
        while (chat_has(v[ANNOTATIONS]) && json_next(&notes, &key, &one)) {
            if (!(*next = chat_responses_annotation(ctx, one))) return RW_E_TOO_LARGE;
            next = &(*next)->next;
        }
    }
    return RW_OK;
}

static enum rw_err read_item(struct chat_ctx *ctx, struct span item, struct chat_choice *c,
                             struct chat_part ***tail)
{
    enum { TYPE, CONTENT, CALL_ID, NAME, ARGUMENTS, SUMMARY, ENCRYPTED };
    static const struct span keys[] = {
        SPAN_INIT("type"),      SPAN_INIT("content"), SPAN_INIT("call_id"),          SPAN_INIT("name"),
        SPAN_INIT("arguments"), SPAN_INIT("summary"), SPAN_INIT("encrypted_content")};
    struct span v[7], text;
    RW_TRY(chat_members(ctx, item, keys, 7, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    if (span_eq(type, SPAN("message"))) return read_content(ctx, v[CONTENT], c, tail);
    struct chat_part *part = chat_part_new(ctx, CHAT_RAW);
    if (!part) return RW_E_TOO_LARGE;
    chat_part_add(tail, part);
    part->raw = item;
    part->name = type;
    if (span_eq(type, SPAN("function_call"))) {
        part->kind = CHAT_TOOL_CALL;
        part->id = chat_text_or_none(ctx, v[CALL_ID]);
        part->name = chat_text_or_none(ctx, v[NAME]);
        part->arguments = chat_text_or_none(ctx, v[ARGUMENTS]);
        return part->id.n && part->name.n ? RW_OK : RW_E_BAD;
    }
    if (!span_eq(type, SPAN("reasoning"))) return RW_OK;
    const struct span list = chat_has(v[SUMMARY]) ? v[SUMMARY] : v[CONTENT];
    struct json_iter it = json_iter(list);
    struct span key, element, pieces[3] = {SPAN(""), SPAN("\n\n"), SPAN("")};
    while (chat_has(list) && json_next(&it, &key, &element)) {
        if (!json_member(element, SPAN("text"), &text)) continue;
        pieces[2] = chat_text_or_none(ctx, text);
        pieces[0] = pieces[0].n ? chat_concat(ctx, pieces, 3) : pieces[2];
    }
    part->kind = CHAT_THINKING;
    part->text = pieces[0];
    part->signature = chat_responses_proof(ctx, v[ENCRYPTED]);
    return RW_OK;
}

enum rw_err chat_responses_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    struct span v[ANSWER_COUNT], key, element;
    *ret = (struct chat_answer){.dialect = &dialect_responses};
    RW_TRY(chat_members(ctx, body, answer_keys, ANSWER_COUNT, v, &ret->extra));
    if (!chat_has(v[A_OUTPUT]) || json_type(v[A_OUTPUT]) != JSON_ARRAY) return RW_E_BAD;
    struct chat_choice *c = chat_alloc(ctx, sizeof *c);
    struct chat_extra *output = chat_alloc(ctx, sizeof *output);
    if (!c || !output) return RW_E_TOO_LARGE;
    *output = (struct chat_extra){.name = SPAN("output"), .value = v[A_OUTPUT]};
    c->extra = output; // its items as they were, for the same dialect
    ret->choices = c;
    ret->id = chat_text_or_none(ctx, v[A_ID]);
    ret->model = chat_text_or_none(ctx, v[A_MODEL]);
    ret->created_s = chat_count(v[A_CREATED]);
    struct chat_part **tail = &c->parts;
    struct json_iter it = json_iter(v[A_OUTPUT]);
    while (json_next(&it, &key, &element)) RW_TRY(read_item(ctx, element, c, &tail));
    RW_TRY(chat_responses_usage(ctx, v[A_USAGE], &ret->usage));
    c->finish_raw = chat_text_or_none(ctx, v[A_STATUS]);
    c->finish = chat_responses_finish(ctx, v[A_STATUS], v[A_INCOMPLETE]);
    if (c->finish == CHAT_FINISH_MALFORMED) return RW_E_BAD;
    for (const struct chat_part *p = c->parts; p && c->finish == CHAT_FINISH_STOP; p = p->next)
        if (p->kind == CHAT_TOOL_CALL) c->finish = CHAT_FINISH_TOOLS;
    return c->finish == CHAT_FINISH_NONE ? RW_E_EOF : RW_OK;
}

// --- Answers, written.

static void write_output(struct chat_ctx *ctx, const struct chat_choice *c, const struct dialect_reply *reply,
                         struct json_out *o)
{
    uint32_t number = 0;
    bool refused = !c->explanation.n;
    const struct chat_logprob *logprobs = c->logprobs;
    for (const struct chat_part *p = c->parts; p; p = p->next) {
        const bool call = p->kind == CHAT_TOOL_CALL, thought = p->kind == CHAT_THINKING;
        refused |= p->kind == CHAT_REFUSAL;
        if (p->kind > CHAT_TEXT && !call && !thought && p->kind != CHAT_REFUSAL) continue;
        struct span text = p->text;
        if (call) text = p->arguments.n ? chat_compact(ctx, p->arguments) : SPAN("{}");
        if (!text.n && !(thought && p->signature.n)) continue;
        const struct responses_item item = {
            .kind = p->kind,
            .id = chat_made_id(ctx,
                               call          ? "fc_"
                                   : thought ? "rs_"
                                             : "msg_",
                               reply->id, ++number),
            .call_id = p->id,
            .name = p->name,
            .signature = p->signature,
            .text = (uint8_t *)(uintptr_t)text.p,
            .n = text.n,
            .citations = p->citations,
            .logprobs = p->kind == CHAT_TEXT ? logprobs : NULL,
        };
        if (p->kind == CHAT_TEXT) logprobs = NULL;
        chat_responses_item_write(&item, false, o);
    }
    if (refused) return;
    const struct responses_item why = {.kind = CHAT_REFUSAL,
                                       .id = chat_made_id(ctx, "msg_", reply->id, ++number),
                                       .text = (uint8_t *)(uintptr_t)c->explanation.p,
                                       .n = c->explanation.n};
    chat_responses_item_write(&why, false, o);
}

enum rw_err chat_responses_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                        const struct dialect_reply *reply, struct json_out *o)
{
    const struct chat_choice *c = a->choices;
    struct responses_head head = {.id = chat_made_id(ctx, "resp_", reply->id, 0),
                                  .model = chat_has(reply->model) ? reply->model : a->model,
                                  .created_s = a->created_s > 0 ? a->created_s : reply->created_s,
                                  .usage = &a->usage,
                                  .request = reply->request};
    chat_responses_ended(&head, c->finish);
    if (a->dialect != &dialect_responses) {
        chat_responses_open(&head, o);
        write_output(ctx, c, reply, o);
        chat_responses_close(&head, o);
        return json_out_done(o);
    }
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), a->id);
    json_out_key_string(o, SPAN("object"), SPAN("response"));
    json_out_key_u64(o, SPAN("created_at"), (uint64_t)head.created_s);
    json_out_key_string(o, SPAN("status"), c->finish_raw);
    json_out_key_string(o, SPAN("model"), head.model);
    if (head.reason.n) {
        json_out_key_object(o, SPAN("incomplete_details"));
        json_out_key_string(o, SPAN("reason"), head.reason);
        json_out_end(o);
    }
    chat_extra_write(o, c->extra);
    json_out_key(o, SPAN("usage"));
    usage_write(&a->usage, o);
    chat_extra_write(o, a->extra);
    json_out_end(o);
    return json_out_done(o);
}
