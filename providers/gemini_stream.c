// See dialect.h: streams in Gemini's dialect, both ways, and the table of the dialect. Each event is an answer with new parts;
// the stream has no end mark but the end of the body.
#include "providers/gemini_priv.h"

#define CHUNK_KEYS(X) \
    X(K_CANDIDATES, "candidates") \
    X(K_FEEDBACK, "promptFeedback") \
    X(K_USAGE, "usageMetadata") \
    X(K_MODEL, "modelVersion") \
    X(K_ID, "responseId") \
    X(K_ERROR, "error")
#define CANDIDATE_KEYS(X) \
    X(C_CONTENT, "content") \
    X(C_FINISH, "finishReason") \
    X(C_INDEX, "index") \
    X(C_LOGPROBS, "logprobsResult")
#define CALL_KEYS(X) \
    X(F_NAME, "name") \
    X(F_ARGS, "args") \
    X(F_ID, "id")
enum { CHUNK_KEYS(CHAT_KEY_ENUM) CHUNK_COUNT };
enum { CANDIDATE_KEYS(CHAT_KEY_ENUM) CANDIDATE_COUNT };
enum { CALL_KEYS(CHAT_KEY_ENUM) CALL_COUNT };
static const struct span chunk_keys[] = {CHUNK_KEYS(CHAT_KEY_SPAN)};
static const struct span candidate_keys[] = {CANDIDATE_KEYS(CHAT_KEY_SPAN)};
static const struct span call_keys[] = {CALL_KEYS(CHAT_KEY_SPAN)};

// --- Read.

static enum rw_err read_call(struct chat_reader *r, uint32_t choice, struct span call, struct span signature)
{
    struct span v[CALL_COUNT];
    uint32_t tool;
    RW_TRY(chat_members_google(&r->temp, call, call_keys, CALL_COUNT, v, NULL));
    const struct span name = chat_text_or_none(&r->temp, v[F_NAME]);
    struct span id = chat_text_or_none(&r->temp, v[F_ID]);
    if (!name.n) return RW_OK;
    const uint32_t number = r->choice[choice].tool_count + 1;
    if (!id.n) id = chat_made_id(&r->temp, "call_", r->id, number);
    RW_TRY(chat_reader_tool(r, choice, number, id, name, &tool));
    RW_TRY(chat_reader_text(r, choice, CHAT_EV_TOOL_SIGNATURE, tool, signature));
    if (chat_has(v[F_ARGS]) && json_type(v[F_ARGS]) == JSON_OBJECT) {
        const struct chat_event e = {.kind = CHAT_EV_TOOL_ARGS,
                                     .choice = choice,
                                     .tool = tool,
                                     .text = chat_compact(&r->temp, v[F_ARGS])};
        r->choice[choice].tools[tool].bytes = e.text.n;
        RW_TRY(chat_reader_push(r, &e));
    }
    return chat_reader_tool_end(r, choice, tool);
}

static enum rw_err read_parts(struct chat_reader *r, uint32_t choice, struct span parts)
{
    struct json_iter it = json_iter(parts);
    struct span key, part, v[GP_COUNT];
    while (json_next(&it, &key, &part)) {
        RW_TRY(chat_gemini_part_members(&r->temp, part, v, NULL));
        if (chat_has(v[GP_CALL])) {
            RW_TRY(read_call(r, choice, v[GP_CALL], v[GP_SIGNATURE]));
        } else if (chat_has(v[GP_TEXT])) {
            const bool thought = chat_true(v[GP_THOUGHT]);
            RW_TRY(chat_reader_text(r, choice, thought ? CHAT_EV_THINKING : CHAT_EV_TEXT, 0, v[GP_TEXT]));
        } else {
            RW_TRY(chat_reader_push(
                r, &(struct chat_event){.kind = CHAT_EV_RAW, .choice = choice, .raw = part}));
        }
    }
    return RW_OK;
}

static enum rw_err malformed(struct chat_reader *r)
{
    const struct chat_error error = {
        .kind = CHAT_E_SERVER, .message = SPAN("The model's call could not be read."), .retry_after_ms = -1};
    return chat_reader_error(r, &error);
}

static enum rw_err read_candidate(struct chat_reader *r, struct span value)
{
    struct span v[CANDIDATE_COUNT], parts;
    RW_TRY(chat_members_google(&r->temp, value, candidate_keys, CANDIDATE_COUNT, v, NULL));
    const int64_t index = chat_count(v[C_INDEX]);
    const uint32_t choice = index > 0 ? (uint32_t)index : 0;
    if (index >= DIALECT_CHOICES_MAX || !chat_reader_choice(r, choice)) return RW_E_BAD;
    if (chat_has(v[C_CONTENT]) && json_member(v[C_CONTENT], SPAN("parts"), &parts))
        RW_TRY(read_parts(r, choice, parts));
    struct chat_logprob *logprobs = NULL;
    RW_TRY(chat_gemini_logprobs(&r->temp, v[C_LOGPROBS], &logprobs));
    if (logprobs)
        RW_TRY(chat_reader_push(
            r, &(struct chat_event){.kind = CHAT_EV_LOGPROBS, .choice = choice, .logprobs = logprobs}));
    const struct span word = chat_text_or_none(&r->temp, v[C_FINISH]);
    const enum chat_finish finish = chat_gemini_finish(word);
    if (finish == CHAT_FINISH_NONE) return RW_OK;
    if (finish == CHAT_FINISH_MALFORMED) return malformed(r);
    return chat_reader_finish(r, choice, &(struct chat_event){.finish = finish, .finish_raw = word});
}

static enum rw_err read_feedback(struct chat_reader *r, struct span feedback)
{
    struct span reason, text;
    if (!chat_has(feedback) || !json_member(feedback, SPAN("blockReason"), &reason)) return RW_OK;
    struct chat_event e = {.finish = CHAT_FINISH_FILTER, .finish_raw = chat_text_or_none(&r->temp, reason)};
    if (json_member(feedback, SPAN("blockReasonMessage"), &text))
        e.explanation = chat_text_or_none(&r->temp, text);
    return chat_reader_finish(r, 0, &e);
}

enum rw_err chat_gemini_read(struct chat_reader *r, struct span name, struct span data)
{
    struct span v[CHUNK_COUNT], key, element;
    (void)name;
    if (!chat_is_object(data)) {
        r->skipped++;
        return RW_OK;
    }
    RW_TRY(chat_members_google(&r->temp, data, chunk_keys, CHUNK_COUNT, v, NULL));
    if (chat_has(v[K_ERROR])) {
        struct chat_error error = {
            .kind = CHAT_E_SERVER, .message = SPAN("The provider reported an error."), .retry_after_ms = -1};
        chat_gemini_error_take(&r->temp, v[K_ERROR], &error);
        return chat_reader_error(r, &error);
    }
    RW_TRY(chat_reader_start(r, chat_text_or_none(&r->temp, v[K_ID]), chat_text_or_none(&r->temp, v[K_MODEL]),
                             -1));
    struct json_iter it = json_iter(v[K_CANDIDATES]);
    while (chat_has(v[K_CANDIDATES]) && !r->failed && json_next(&it, &key, &element))
        RW_TRY(read_candidate(r, element));
    if (!r->failed) RW_TRY(read_feedback(r, v[K_FEEDBACK]));
    if (!chat_has(v[K_USAGE]) || r->failed) return RW_OK;
    struct chat_usage usage;
    RW_TRY(chat_gemini_usage(&r->temp, v[K_USAGE], &usage));
    usage.extra = NULL; // does not live longer than this event
    return chat_reader_usage(r, &usage);
}

// --- Written. One candidate: calls are whole parts, so they are kept until their arguments are.

static struct json_out *chunk(struct chat_writer *w)
{
    struct json_out *o = w->out;
    if (w->reply->json_array) json_out_bytes(o, w->blocks_begun++ ? SPAN(",\r\n") : SPAN("["));
    else json_out_bytes(o, SSE_DATA);
    json_out_object(o);
    return o;
}

static void chunk_end(struct chat_writer *w)
{
    struct json_out *o = w->out;
    if (w->model.n) json_out_key_string(o, SPAN("modelVersion"), w->model);
    json_out_key_string(o, SPAN("responseId"), w->id);
    json_out_end(o);
    if (!w->reply->json_array) json_out_bytes(o, SPAN("\r\n\r\n"));
}

// Up to the members of the only part.
static struct json_out *part(struct chat_writer *w)
{
    struct json_out *o = chunk(w);
    json_out_key_array(o, SPAN("candidates"));
    json_out_object(o);
    json_out_key_object(o, SPAN("content"));
    json_out_key_string(o, SPAN("role"), SPAN("model"));
    json_out_key_array(o, SPAN("parts"));
    json_out_object(o);
    return o;
}

static void part_end(struct chat_writer *w, struct span finish)
{
    struct json_out *o = w->out;
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    if (finish.n) json_out_key_string(o, SPAN("finishReason"), finish);
    json_out_key_u64(o, SPAN("index"), 0);
    json_out_end(o);
    json_out_end(o);
}

static void block_none(struct chat_writer *w, const struct writer_block *b)
{
    (void)w;
    (void)b;
}

static void block_signature(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    (void)w;
    (void)b;
    (void)text;
}

static void block_text(struct chat_writer *w, const struct writer_block *b, struct span text)
{
    if (b->kind == CHAT_REDACTED) return;
    if (b->kind == CHAT_TOOL_CALL && !chat_is_object(text)) {
        w->broken = true; // there is no honest object to send
        return;
    }
    struct json_out *o = part(w);
    if (b->kind == CHAT_TOOL_CALL) {
        json_out_key_object(o, SPAN("functionCall"));
        json_out_key_string(o, SPAN("id"), b->id);
        json_out_key_string(o, SPAN("name"), b->name);
        json_out_key_raw(o, SPAN("args"), text);
        json_out_end(o);
    } else {
        json_out_key_string(o, SPAN("text"), text);
        if (b->kind == CHAT_THINKING) json_out_key_bool(o, SPAN("thought"), true);
    }
    part_end(w, (struct span){NULL, 0});
    chunk_end(w);
}

static const struct writer_ops blocks = {.open = block_none,
                                         .text = block_text,
                                         .signature = block_signature,
                                         .close = block_none,
                                         .whole_calls = true};

static enum rw_err done(struct chat_writer *w)
{
    RW_TRY(chat_blocks_end(w, &blocks));
    if (w->broken) return RW_E_BAD;
    json_out_key_string(part(w), SPAN("text"), SPAN(""));
    part_end(w, chat_gemini_finish_word(w->finish));
    json_out_key(w->out, SPAN("usageMetadata"));
    chat_gemini_usage_write(&w->usage, false, w->out);
    chunk_end(w);
    if (w->reply->json_array) json_out_bytes(w->out, SPAN("]"));
    return RW_OK;
}

enum rw_err chat_gemini_write(struct chat_writer *w, const struct chat_event *e)
{
    if (e->choice > 0) return RW_OK;
    switch (e->kind) {
    case CHAT_EV_START:
        w->id = e->id.n ? e->id : w->reply->id;
        w->model = chat_has(w->reply->model) ? w->reply->model : e->model;
        return RW_OK;
    case CHAT_EV_USAGE: w->usage = *e->usage; return RW_OK;
    case CHAT_EV_FINISH: w->finish = e->finish; return RW_OK;
    case CHAT_EV_DONE:
        if (e->usage) w->usage = *e->usage;
        return done(w);
    case CHAT_EV_ERROR:
        json_out_bytes(w->out,
                       w->reply->json_array ? (w->blocks_begun++ ? SPAN(",\r\n") : SPAN("[")) : SSE_DATA);
        (void)chat_gemini_error_write(e->error, w->reply, w->out);
        json_out_bytes(w->out, w->reply->json_array ? SPAN("]") : SPAN("\r\n\r\n"));
        return RW_OK;
    default: RW_TRY(chat_blocks_event(w, &blocks, e)); return w->broken ? RW_E_BAD : RW_OK;
    }
}

const struct dialect dialect_gemini = {
    .name = "gemini",
    .family = DIALECT_GEMINI,
    .framing = DIALECT_SSE,
    .model_in_path = true,
    .content_type = "text/event-stream",
    .decode_request = chat_gemini_request,
    .encode_request = chat_gemini_request_write,
    .decode_answer = chat_gemini_answer,
    .encode_answer = chat_gemini_answer_write,
    .read = chat_gemini_read,
    .write = chat_gemini_write,
    .decode_error = chat_gemini_error,
    .encode_error = chat_gemini_error_write,
};
