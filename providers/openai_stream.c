// See dialect.h: streams in OpenAI's chat dialect, both ways, and the table of the dialect.
#include "providers/openai_priv.h"

// --- Read.

#define CHUNK_KEYS(X) \
    X(K_ID, "id") \
    X(K_MODEL, "model") \
    X(K_CREATED, "created") \
    X(K_CHOICES, "choices") \
    X(K_USAGE, "usage") \
    X(K_ERROR, "error") \
    X(K_TIER, "service_tier") \
    X(K_OBJECT, "object")
#define CHOICE_KEYS(X) \
    X(C_INDEX, "index") \
    X(C_DELTA, "delta") \
    X(C_LOGPROBS, "logprobs") \
    X(C_FINISH, "finish_reason")
#define DELTA_KEYS(X) \
    X(D_CONTENT, "content") \
    X(D_REFUSAL, "refusal") \
    X(D_CALLS, "tool_calls") \
    X(D_REASONING, "reasoning_content") \
    X(D_REASONING_2, "reasoning") \
    X(D_FUNCTION, "function_call") \
    X(D_ROLE, "role")
#define CALL_KEYS(X) \
    X(T_INDEX, "index") \
    X(T_ID, "id") \
    X(T_FUNCTION, "function") \
    X(T_CONTENT, "extra_content") \
    X(T_TYPE, "type")

enum { CHUNK_KEYS(CHAT_KEY_ENUM) CHUNK_COUNT };
enum { CHOICE_KEYS(CHAT_KEY_ENUM) CHOICE_COUNT };
enum { DELTA_KEYS(CHAT_KEY_ENUM) DELTA_COUNT };
enum { CALL_KEYS(CHAT_KEY_ENUM) CALL_COUNT };
static const struct span chunk_keys[] = {CHUNK_KEYS(CHAT_KEY_SPAN)};
static const struct span choice_keys[] = {CHOICE_KEYS(CHAT_KEY_SPAN)};
static const struct span delta_keys[] = {DELTA_KEYS(CHAT_KEY_SPAN)};
static const struct span call_keys[] = {CALL_KEYS(CHAT_KEY_SPAN)};

// {"name", "arguments"} of the call that the provider counts as key: its start, its arguments, or both.
static enum rw_err read_function(struct chat_reader *r, uint32_t choice, uint32_t key, struct span id,
                                 struct span function)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("arguments")};
    struct span v[2];
    RW_TRY(chat_members(&r->temp, function, keys, 2, v, NULL));
    const struct span name = chat_text_or_none(&r->temp, v[0]);
    int32_t at = chat_reader_tool_find(r, choice, key);
    uint32_t tool = at < 0 ? 0 : (uint32_t)at;
    // Servers that give no index write whole calls: a name behind whole arguments is the next call.
    if (at < 0 || (name.n && r->choice[choice].tools[tool].whole)) {
        if (!name.n) return RW_OK; // a fragment of nothing
        const struct span made =
            id.n ? id : chat_made_id(&r->temp, "call_", r->id, r->choice[choice].tool_count + 1);
        RW_TRY(chat_reader_tool(r, choice, key, made, name, &tool));
    }
    if (chat_has(v[1]) && json_type(v[1]) == JSON_OBJECT) {
        const struct chat_event e = {
            .kind = CHAT_EV_TOOL_ARGS, .choice = choice, .tool = tool, .text = chat_compact(&r->temp, v[1])};
        r->choice[choice].tools[tool].bytes += e.text.n;
        r->choice[choice].tools[tool].whole = true;
        return chat_reader_push(r, &e);
    }
    return chat_reader_text(r, choice, CHAT_EV_TOOL_ARGS, tool, v[1]);
}

static enum rw_err read_calls(struct chat_reader *r, uint32_t choice, struct span calls)
{
    struct json_iter it = json_iter(calls);
    struct span key, call, v[CALL_COUNT], signature;
    uint32_t position = 0;
    while (chat_has(calls) && json_next(&it, &key, &call)) {
        RW_TRY(chat_members(&r->temp, call, call_keys, CALL_COUNT, v, NULL));
        const int64_t index = chat_count(v[T_INDEX]);
        const uint32_t k = index >= 0 ? (uint32_t)index : position;
        RW_TRY(read_function(r, choice, k, chat_text_or_none(&r->temp, v[T_ID]), v[T_FUNCTION]));
        const int32_t tool = chat_reader_tool_find(r, choice, k);
        if (tool >= 0 && chat_has(v[T_CONTENT]) &&
            json_path(v[T_CONTENT], "google.thought_signature", &signature))
            RW_TRY(chat_reader_text(r, choice, CHAT_EV_TOOL_SIGNATURE, (uint32_t)tool, signature));
        position++;
    }
    return RW_OK;
}

// Mistral's content may be a list of chunks.
static enum rw_err read_chunks(struct chat_reader *r, uint32_t choice, struct span list)
{
    struct json_iter it = json_iter(list);
    struct span key, chunk, inner, one, text;
    while (json_next(&it, &key, &chunk)) {
        if (json_member(chunk, SPAN("text"), &text)) {
            RW_TRY(chat_reader_text(r, choice, CHAT_EV_TEXT, 0, text));
        } else if (json_member(chunk, SPAN("thinking"), &inner)) {
            struct json_iter thoughts = json_iter(inner);
            while (json_next(&thoughts, &key, &one))
                if (json_member(one, SPAN("text"), &text))
                    RW_TRY(chat_reader_text(r, choice, CHAT_EV_THINKING, 0, text));
        }
    }
    return RW_OK;
}

static enum rw_err read_delta(struct chat_reader *r, uint32_t choice, struct span delta)
{
    struct span v[DELTA_COUNT];
    RW_TRY(chat_members(&r->temp, delta, delta_keys, DELTA_COUNT, v, NULL));
    const struct span reasoning = chat_has(v[D_REASONING]) ? v[D_REASONING] : v[D_REASONING_2];
    RW_TRY(chat_reader_text(r, choice, CHAT_EV_THINKING, 0, reasoning));
    if (chat_has(v[D_CONTENT]) && json_type(v[D_CONTENT]) == JSON_ARRAY)
        RW_TRY(read_chunks(r, choice, v[D_CONTENT]));
    else RW_TRY(chat_reader_text(r, choice, CHAT_EV_TEXT, 0, v[D_CONTENT]));
    RW_TRY(chat_reader_text(r, choice, CHAT_EV_REFUSAL, 0, v[D_REFUSAL]));
    if (chat_has(v[D_FUNCTION])) RW_TRY(read_function(r, choice, 0, (struct span){NULL, 0}, v[D_FUNCTION]));
    return read_calls(r, choice, v[D_CALLS]);
}

static enum rw_err read_logprobs(struct chat_reader *r, uint32_t choice, struct span value)
{
    struct span list;
    struct chat_logprob *content = NULL, *refusal = NULL;
    if (!chat_has(value)) return RW_OK;
    if (json_member(value, SPAN("content"), &list)) RW_TRY(chat_openai_logprobs(&r->temp, list, &content));
    if (json_member(value, SPAN("refusal"), &list)) RW_TRY(chat_openai_logprobs(&r->temp, list, &refusal));
    if (!content && !refusal) return RW_OK;
    return chat_reader_push(
        r,
        &(struct chat_event){
            .kind = CHAT_EV_LOGPROBS, .choice = choice, .logprobs = content, .refusal_logprobs = refusal});
}

static enum rw_err read_choice(struct chat_reader *r, struct span value)
{
    struct span v[CHOICE_COUNT];
    RW_TRY(chat_members(&r->temp, value, choice_keys, CHOICE_COUNT, v, NULL));
    const int64_t index = chat_count(v[C_INDEX]);
    const uint32_t choice = index > 0 ? (uint32_t)index : 0;
    if (!chat_reader_choice(r, choice)) return RW_E_BAD;
    RW_TRY(read_delta(r, choice, v[C_DELTA]));
    RW_TRY(read_logprobs(r, choice, v[C_LOGPROBS]));
    const struct span word = chat_text_or_none(&r->temp, v[C_FINISH]);
    const enum chat_finish finish = chat_openai_finish(word);
    if (finish == CHAT_FINISH_NONE) return RW_OK;
    if (finish == CHAT_FINISH_MALFORMED) {
        const struct chat_error error = {
            .kind = CHAT_E_SERVER, .message = SPAN("The model's output was no use."), .retry_after_ms = -1};
        return chat_reader_error(r, &error);
    }
    return chat_reader_finish(r, choice, &(struct chat_event){.finish = finish, .finish_raw = word});
}

enum rw_err chat_openai_read(struct chat_reader *r, struct span name, struct span data)
{
    (void)name;
    if (span_starts(data, SPAN("[DONE]"))) return chat_reader_done(r);
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    struct span v[CHUNK_COUNT], key, choice;
    RW_TRY(chat_members(&r->temp, data, chunk_keys, CHUNK_COUNT, v, NULL));
    // Mistral and older vLLM send the error itself as the event.
    if (!chat_has(v[K_ERROR]) && span_eq(chat_text_or_none(&r->temp, v[K_OBJECT]), SPAN("error")))
        v[K_ERROR] = data;
    if (chat_has(v[K_ERROR])) {
        struct chat_error error = {
            .kind = CHAT_E_SERVER, .message = SPAN("The provider reported an error."), .retry_after_ms = -1};
        chat_openai_error_take(&r->temp, v[K_ERROR], &error);
        return chat_reader_error(r, &error);
    }
    // Azure's first chunk has neither id nor choices.
    const struct span id = chat_text_or_none(&r->temp, v[K_ID]);
    if (!id.n && chat_has(v[K_CHOICES]) && !json_element(v[K_CHOICES], 0, &choice)) return RW_OK;
    RW_TRY(chat_reader_start(r, id, chat_text_or_none(&r->temp, v[K_MODEL]), chat_count(v[K_CREATED])));
    struct json_iter it = json_iter(v[K_CHOICES]);
    while (chat_has(v[K_CHOICES]) && !r->failed && json_next(&it, &key, &choice))
        RW_TRY(read_choice(r, choice));
    if (!chat_has(v[K_USAGE]) || r->failed) return RW_OK;
    struct chat_usage usage;
    RW_TRY(chat_openai_usage(&r->temp, v[K_USAGE], &usage));
    return chat_reader_usage(r, &usage);
}

// --- Written.

// The beginning of a chunk, up to the members of its only choice.
static struct json_out *chunk(struct chat_writer *w)
{
    struct json_out *o = w->out;
    json_out_bytes(o, SSE_DATA);
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), w->id);
    json_out_key_string(o, SPAN("object"), SPAN("chat.completion.chunk"));
    json_out_key_u64(o, SPAN("created"), (uint64_t)w->created_s);
    json_out_key_string(o, SPAN("model"), w->model);
    json_out_key_array(o, SPAN("choices"));
    return o;
}

static struct json_out *delta(struct chat_writer *w, uint32_t index)
{
    struct json_out *o = chunk(w);
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), index);
    json_out_key_object(o, SPAN("delta"));
    return o;
}

static void delta_end(struct chat_writer *w, struct span finish, const struct chat_event *logprobs)
{
    struct json_out *o = w->out;
    json_out_end(o);
    json_out_key(o, SPAN("logprobs"));
    if (logprobs) chat_openai_logprobs_write(logprobs->logprobs, logprobs->refusal_logprobs, o);
    else json_out_null(o);
    json_out_key(o, SPAN("finish_reason"));
    if (finish.n) json_out_string(o, finish);
    else json_out_null(o);
    json_out_end(o);
    json_out_end(o);
    if (w->reply->usage_wanted) json_out_key_null(o, SPAN("usage"));
    json_out_end(o);
    json_out_bytes(o, SSE_END);
}

// The first chunk of a choice names the role.
static void first(struct chat_writer *w, uint32_t choice)
{
    if (w->begun >> choice & 1) return;
    w->begun |= UINT64_C(1) << choice;
    struct json_out *o = delta(w, choice);
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    json_out_key_string(o, SPAN("content"), SPAN(""));
    json_out_key_null(o, SPAN("refusal"));
    delta_end(w, (struct span){NULL, 0}, NULL);
}

static void text(struct chat_writer *w, const struct chat_event *e, struct span key)
{
    json_out_key_string(delta(w, e->choice), key, e->text);
    delta_end(w, (struct span){NULL, 0}, NULL);
}

void chat_openai_call_whole(struct chat_writer *w, const struct writer_block *call, struct span arguments)
{
    first(w, 0);
    struct json_out *o = delta(w, 0);
    json_out_key_array(o, SPAN("tool_calls"));
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), call->tool);
    json_out_key_string(o, SPAN("id"), call->id);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_object(o, SPAN("function"));
    json_out_key_string(o, SPAN("name"), call->name);
    json_out_key_string(o, SPAN("arguments"), arguments);
    for (uint32_t i = 0; i < 3; i++) json_out_end(o);
    delta_end(w, (struct span){NULL, 0}, NULL);
}

static void call(struct chat_writer *w, const struct chat_event *e)
{
    const bool start = e->kind == CHAT_EV_TOOL_START;
    struct json_out *o = delta(w, e->choice);
    if (w->reply->legacy_functions) {
        json_out_key_object(o, SPAN("function_call"));
    } else {
        json_out_key_array(o, SPAN("tool_calls"));
        json_out_object(o);
        json_out_key_u64(o, SPAN("index"), e->tool);
        if (start) json_out_key_string(o, SPAN("id"), e->id);
        if (start) json_out_key_string(o, SPAN("type"), SPAN("function"));
        json_out_key_object(o, SPAN("function"));
    }
    if (start) json_out_key_string(o, SPAN("name"), e->name);
    json_out_key_string(o, SPAN("arguments"), start ? SPAN("") : e->text);
    json_out_end(o);
    if (!w->reply->legacy_functions) {
        json_out_end(o);
        json_out_end(o);
    }
    delta_end(w, (struct span){NULL, 0}, NULL);
}

// What thinking has to be sent back with: a block of its own, whole. The SDK puts lists together by the index of their elements.
static void thinking_block(struct chat_writer *w, const struct chat_event *e)
{
    const bool redacted = e->kind == CHAT_EV_REDACTED;
    struct json_out *o = delta(w, e->choice);
    json_out_key_array(o, SPAN("thinking_blocks"));
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), w->blocks_begun++);
    json_out_key_string(o, SPAN("type"), redacted ? SPAN("redacted_thinking") : SPAN("thinking"));
    json_out_key_string(o, redacted ? SPAN("data") : SPAN("signature"), e->text);
    json_out_end(o);
    json_out_end(o);
    delta_end(w, (struct span){NULL, 0}, NULL);
}

static void call_signature(struct chat_writer *w, const struct chat_event *e)
{
    struct json_out *o = delta(w, e->choice);
    json_out_key_array(o, SPAN("tool_calls"));
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), e->tool);
    json_out_key_object(o, SPAN("extra_content"));
    json_out_key_object(o, SPAN("google"));
    json_out_key_string(o, SPAN("thought_signature"), e->text);
    for (uint32_t i = 0; i < 2; i++) json_out_end(o);
    json_out_key_object(o, SPAN("function")); // OpenAI's SDK asserts that every fragment has one
    json_out_key_string(o, SPAN("arguments"), SPAN(""));
    for (uint32_t i = 0; i < 3; i++) json_out_end(o);
    delta_end(w, (struct span){NULL, 0}, NULL);
}

static void citation(struct chat_writer *w, const struct chat_event *e)
{
    const struct chat_citation *c = e->citation;
    if (c->kind != CHAT_CITE_WEB) return;
    struct json_out *o = delta(w, e->choice);
    json_out_key_array(o, SPAN("annotations"));
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), w->citations++);
    json_out_key_string(o, SPAN("type"), SPAN("url_citation"));
    json_out_key_object(o, SPAN("url_citation"));
    json_out_key_u64(o, SPAN("start_index"), c->start >= 0 ? (uint64_t)c->start : 0);
    json_out_key_u64(o, SPAN("end_index"), c->end >= 0 ? (uint64_t)c->end : 0);
    json_out_key_string(o, SPAN("title"), c->title);
    json_out_key_string(o, SPAN("url"), c->url);
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    delta_end(w, (struct span){NULL, 0}, NULL);
}

static void finish(struct chat_writer *w, const struct chat_event *e)
{
    first(w, e->choice);
    if (e->explanation.n) {
        json_out_key_string(delta(w, e->choice), SPAN("refusal"), e->explanation);
        delta_end(w, (struct span){NULL, 0}, NULL);
    }
    (void)delta(w, e->choice);
    delta_end(w, chat_openai_finish_word(e->finish, w->reply->legacy_functions), NULL);
}

static void done(struct chat_writer *w)
{
    if (w->reply->usage_wanted) {
        struct json_out *o = chunk(w);
        json_out_end(o);
        json_out_key(o, SPAN("usage"));
        chat_openai_usage_write(&w->usage, o);
        json_out_end(o);
        json_out_bytes(o, SSE_END);
    }
    json_out_bytes(w->out, SPAN("data: [DONE]\n\n"));
}

static void start(struct chat_writer *w, const struct chat_event *e)
{
    w->id = e->id.n ? e->id : chat_made_id(w->ctx, "chatcmpl-", w->reply->id, 0);
    w->model = chat_has(w->reply->model) ? w->reply->model : e->model;
    w->created_s = e->created_s > 0 ? e->created_s : w->reply->created_s;
}

enum rw_err chat_openai_write(struct chat_writer *w, const struct chat_event *e)
{
    switch (e->kind) {
    case CHAT_EV_START: start(w, e); return RW_OK;
    case CHAT_EV_USAGE: w->usage = *e->usage; return RW_OK;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        done(w);
        return RW_OK;
    case CHAT_EV_ERROR:
        json_out_bytes(w->out, SSE_DATA);
        (void)chat_openai_error_write(e->error, w->reply, w->out);
        json_out_bytes(w->out, SSE_END);
        return RW_OK;
    case CHAT_EV_FINISH: finish(w, e); return RW_OK;
    case CHAT_EV_TOOL_END:
    case CHAT_EV_RAW: return RW_OK;
    default: break;
    }
    first(w, e->choice);
    switch (e->kind) {
    case CHAT_EV_TEXT: text(w, e, SPAN("content")); break;
    case CHAT_EV_THINKING: text(w, e, SPAN("reasoning_content")); break;
    case CHAT_EV_REFUSAL: text(w, e, SPAN("refusal")); break;
    case CHAT_EV_SIGNATURE:
    case CHAT_EV_REDACTED: thinking_block(w, e); break;
    case CHAT_EV_TOOL_SIGNATURE: call_signature(w, e); break;
    case CHAT_EV_CITATION: citation(w, e); break;
    case CHAT_EV_LOGPROBS:
        (void)delta(w, e->choice);
        delta_end(w, (struct span){NULL, 0}, e);
        break;
    default: call(w, e); break;
    }
    return RW_OK;
}

const struct dialect dialect_openai = {
    .name = "openai",
    .family = DIALECT_OPENAI,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = chat_openai_request,
    .encode_request = chat_openai_request_write,
    .decode_answer = chat_openai_answer,
    .encode_answer = chat_openai_answer_write,
    .read = chat_openai_read,
    .write = chat_openai_write,
    .decode_error = chat_openai_error,
    .encode_error = chat_openai_error_write,
};
