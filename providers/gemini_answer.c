// See dialect.h: whole answers and errors in Gemini's dialect, both ways. Counts that are 0 are left out there, and thoughts are
// counted beside the candidates; the model's output holds them.
#include "providers/gemini_priv.h"

// --- Usage.

#define USAGE_KEYS(X) \
    X(U_PROMPT, "promptTokenCount") \
    X(U_CANDIDATES, "candidatesTokenCount") \
    X(U_THOUGHTS, "thoughtsTokenCount") \
    X(U_CACHED, "cachedContentTokenCount") \
    X(U_TOOLS, "toolUsePromptTokenCount") \
    X(U_TOTAL, "totalTokenCount")
enum { USAGE_KEYS(CHAT_KEY_ENUM) USAGE_COUNT };
static const struct span usage_keys[] = {USAGE_KEYS(CHAT_KEY_SPAN)};

static int64_t zero(int64_t count)
{
    return count > 0 ? count : 0;
}

enum rw_err chat_gemini_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret)
{
    struct span v[USAGE_COUNT];
    chat_usage_init(ret);
    if (!chat_has(usage)) return RW_OK;
    RW_TRY(chat_members_google(ctx, usage, usage_keys, USAGE_COUNT, v, &ret->extra));
    ret->input = zero(chat_count(v[U_PROMPT])) + zero(chat_count(v[U_TOOLS]));
    ret->output = zero(chat_count(v[U_CANDIDATES])) + zero(chat_count(v[U_THOUGHTS]));
    ret->cached = chat_count(v[U_CACHED]);
    ret->reasoning = chat_count(v[U_THOUGHTS]);
    return RW_OK;
}

void chat_gemini_usage_write(const struct chat_usage *u, bool own, struct json_out *o)
{
    const int64_t input = zero(u->input), output = zero(u->output), thoughts = zero(u->reasoning);
    json_out_object(o);
    json_out_key_u64(o, SPAN("promptTokenCount"), (uint64_t)input);
    if (output > thoughts) json_out_key_u64(o, SPAN("candidatesTokenCount"), (uint64_t)(output - thoughts));
    json_out_key_u64(o, SPAN("totalTokenCount"), (uint64_t)(input + output));
    if (u->cached > 0) json_out_key_u64(o, SPAN("cachedContentTokenCount"), (uint64_t)u->cached);
    if (thoughts) json_out_key_u64(o, SPAN("thoughtsTokenCount"), (uint64_t)thoughts);
    if (own) chat_extra_write(o, u->extra);
    json_out_end(o);
}

// --- Finish reasons.

enum chat_finish chat_gemini_finish(struct span word)
{
    static const struct {
        struct span word;
        enum chat_finish finish;
    } table[] = {{SPAN_INIT("STOP"), CHAT_FINISH_STOP},
                 {SPAN_INIT("MAX_TOKENS"), CHAT_FINISH_LENGTH},
                 {SPAN_INIT("SAFETY"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("RECITATION"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("LANGUAGE"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("BLOCKLIST"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("PROHIBITED_CONTENT"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("SPII"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("IMAGE_SAFETY"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("IMAGE_PROHIBITED_CONTENT"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("IMAGE_RECITATION"), CHAT_FINISH_FILTER},
                 {SPAN_INIT("MALFORMED_FUNCTION_CALL"), CHAT_FINISH_MALFORMED},
                 {SPAN_INIT("UNEXPECTED_TOOL_CALL"), CHAT_FINISH_MALFORMED},
                 {SPAN_INIT("TOO_MANY_TOOL_CALLS"), CHAT_FINISH_MALFORMED}};
    if (!word.n) return CHAT_FINISH_NONE;
    for (uint32_t i = 0; i < sizeof table / sizeof *table; i++)
        if (span_eq(word, table[i].word)) return table[i].finish;
    return CHAT_FINISH_STOP;
}

struct span chat_gemini_finish_word(enum chat_finish finish)
{
    switch (finish) {
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return SPAN("MAX_TOKENS");
    case CHAT_FINISH_FILTER:
    case CHAT_FINISH_REFUSAL: return SPAN("SAFETY");
    default: return SPAN("STOP");
    }
}

// --- Log probabilities.

static enum rw_err logprob(struct chat_ctx *ctx, struct span value, struct chat_logprob **ret)
{
    static const struct span keys[] = {SPAN_INIT("token"), SPAN_INIT("logProbability"), SPAN_INIT("tokenId")};
    struct span v[3];
    if (!(*ret = chat_alloc(ctx, sizeof **ret))) return RW_E_TOO_LARGE;
    RW_TRY(chat_members_google(ctx, value, keys, 3, v, NULL));
    (*ret)->token = chat_text_or_none(ctx, v[0]);
    (*ret)->logprob = v[1];
    (*ret)->token_id = v[2];
    return RW_OK;
}

enum rw_err chat_gemini_logprobs(struct chat_ctx *ctx, struct span result, struct chat_logprob **ret)
{
    struct span chosen, top = {NULL, 0}, key, element, list, one;
    if (!chat_has(result) || !json_member(result, SPAN("chosenCandidates"), &chosen)) return RW_OK;
    if (!json_member(result, SPAN("topCandidates"), &top)) top = (struct span){NULL, 0};
    struct json_iter it = json_iter(chosen), tops = json_iter(top);
    while (json_next(&it, &key, &element)) {
        RW_TRY(logprob(ctx, element, ret));
        struct chat_logprob **next = &(*ret)->top;
        if (chat_has(top) && json_next(&tops, &key, &list) && json_member(list, SPAN("candidates"), &list)) {
            struct json_iter inner = json_iter(list);
            while (json_next(&inner, &key, &one)) {
                RW_TRY(logprob(ctx, one, next));
                next = &(*next)->next;
            }
        }
        ret = &(*ret)->next;
    }
    return RW_OK;
}

// --- Answers, read.

#define ANSWER_KEYS(X) \
    X(A_CANDIDATES, "candidates") \
    X(A_USAGE, "usageMetadata") \
    X(A_MODEL, "modelVersion") \
    X(A_ID, "responseId")
#define CANDIDATE_KEYS(X) \
    X(C_CONTENT, "content") \
    X(C_FINISH, "finishReason") \
    X(C_INDEX, "index") \
    X(C_LOGPROBS, "logprobsResult") \
    X(C_GROUNDING, "groundingMetadata")
enum { ANSWER_KEYS(CHAT_KEY_ENUM) ANSWER_COUNT };
enum { CANDIDATE_KEYS(CHAT_KEY_ENUM) CANDIDATE_COUNT };
static const struct span answer_keys[] = {ANSWER_KEYS(CHAT_KEY_SPAN)};
static const struct span candidate_keys[] = {CANDIDATE_KEYS(CHAT_KEY_SPAN)};

static enum rw_err candidate(struct chat_ctx *ctx, struct span value, struct span id, struct chat_choice *c)
{
    struct span v[CANDIDATE_COUNT], parts;
    RW_TRY(chat_members_google(ctx, value, candidate_keys, CANDIDATE_COUNT, v, &c->extra));
    const int64_t index = chat_count(v[C_INDEX]);
    c->index = index > 0 ? (uint32_t)index : 0;
    struct gemini_calls *calls = chat_alloc(ctx, sizeof *calls);
    if (!calls) return RW_E_TOO_LARGE;
    calls->seed = id;
    struct chat_part **tail = &c->parts;
    if (chat_has(v[C_CONTENT]) && json_member(v[C_CONTENT], SPAN("parts"), &parts))
        RW_TRY(chat_gemini_parts(ctx, parts, 0, calls, &tail));
    RW_TRY(chat_gemini_logprobs(ctx, v[C_LOGPROBS], &c->logprobs));
    c->finish_raw = chat_text_or_none(ctx, v[C_FINISH]);
    c->finish = chat_gemini_finish(c->finish_raw);
    if (c->finish == CHAT_FINISH_NONE) return RW_E_EOF;
    if (c->finish == CHAT_FINISH_MALFORMED) return RW_E_BAD;
    if (calls->made + calls->n && c->finish == CHAT_FINISH_STOP) c->finish = CHAT_FINISH_TOOLS;
    return RW_OK;
}

// A prompt that was blocked is an answer without candidates.
static enum rw_err blocked(struct chat_ctx *ctx, struct span feedback, struct chat_answer *ret)
{
    struct span reason;
    if (!chat_has(feedback) || !json_member(feedback, SPAN("blockReason"), &reason)) return RW_E_EOF;
    struct chat_choice *c = chat_alloc(ctx, sizeof *c);
    if (!c) return RW_E_TOO_LARGE;
    c->finish = CHAT_FINISH_FILTER;
    c->finish_raw = chat_text_or_none(ctx, reason);
    if (json_member(feedback, SPAN("blockReasonMessage"), &reason))
        c->explanation = chat_text_or_none(ctx, reason);
    ret->choices = c;
    return RW_OK;
}

enum rw_err chat_gemini_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    struct span v[ANSWER_COUNT], key, element, error;
    *ret = (struct chat_answer){.dialect = &dialect_gemini, .created_s = -1};
    RW_TRY(chat_members_google(ctx, body, answer_keys, ANSWER_COUNT, v, &ret->extra));
    if (json_member(body, SPAN("error"), &error)) return RW_E_BAD;
    ret->id = chat_text_or_none(ctx, v[A_ID]);
    ret->model = chat_text_or_none(ctx, v[A_MODEL]);
    RW_TRY(chat_gemini_usage(ctx, v[A_USAGE], &ret->usage));
    struct json_iter it = json_iter(v[A_CANDIDATES]);
    struct chat_choice **next = &ret->choices;
    while (chat_has(v[A_CANDIDATES]) && json_next(&it, &key, &element)) {
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        RW_TRY(candidate(ctx, element, ret->id, *next));
        next = &(*next)->next;
    }
    return ret->choices ? RW_OK : blocked(ctx, chat_extra_find(ret->extra, SPAN("promptFeedback")), ret);
}

// --- Answers, written.

static enum rw_err write_part(const struct chat_part *p, bool own, struct json_out *o)
{
    json_out_object(o);
    switch (p->kind) {
    case CHAT_TOOL_CALL: {
        const struct span args = p->arguments.n ? p->arguments : SPAN("{}");
        if (!chat_is_object(args)) return RW_E_BAD; // there is no honest object to send
        json_out_key_object(o, SPAN("functionCall"));
        if (!own || !p->id_made) json_out_key_string(o, SPAN("id"), p->id);
        json_out_key_string(o, SPAN("name"), p->name);
        json_out_key_raw(o, SPAN("args"), args);
        json_out_end(o);
        break;
    }
    case CHAT_IMAGE:
    case CHAT_AUDIO:
        json_out_key_object(o, SPAN("inlineData"));
        json_out_key_string(o, SPAN("mimeType"), p->media.type);
        json_out_key_string(o, SPAN("data"), p->media.data);
        json_out_end(o);
        break;
    default:
        json_out_key_string(o, SPAN("text"), p->text);
        if (p->kind == CHAT_THINKING) json_out_key_bool(o, SPAN("thought"), true);
        break;
    }
    if (own && p->signature.n) json_out_key_string(o, SPAN("thoughtSignature"), p->signature);
    if (own && p->kind != CHAT_TOOL_CALL) chat_extra_write(o, p->extra);
    json_out_end(o);
    return RW_OK;
}

static void logprobs_write(const struct chat_logprob *list, struct json_out *o)
{
    json_out_key_object(o, SPAN("logprobsResult"));
    for (int top = 0; top < 2; top++) {
        json_out_key_array(o, top ? SPAN("topCandidates") : SPAN("chosenCandidates"));
        for (const struct chat_logprob *l = list; l; l = l->next) {
            if (top) {
                json_out_object(o);
                json_out_key_array(o, SPAN("candidates"));
            }
            for (const struct chat_logprob *t = top ? l->top : l; t; t = top ? t->next : NULL) {
                json_out_object(o);
                json_out_key_string(o, SPAN("token"), t->token);
                if (chat_has(t->token_id)) json_out_key_raw(o, SPAN("tokenId"), t->token_id);
                if (chat_has(t->logprob)) json_out_key_raw(o, SPAN("logProbability"), t->logprob);
                json_out_end(o);
            }
            if (!top) continue;
            json_out_end(o);
            json_out_end(o);
        }
        json_out_end(o);
    }
    json_out_end(o);
}

static enum rw_err write_candidate_end(const struct chat_choice *c, bool own, struct json_out *o)
{
    const bool said = own && c->finish_raw.n;
    json_out_key_string(o, SPAN("finishReason"), said ? c->finish_raw : chat_gemini_finish_word(c->finish));
    if (c->explanation.n) json_out_key_string(o, SPAN("finishMessage"), c->explanation);
    json_out_key_u64(o, SPAN("index"), c->index);
    if (c->logprobs) logprobs_write(c->logprobs, o);
    if (own) chat_extra_write(o, c->extra);
    json_out_end(o);
    return RW_OK;
}

static enum rw_err write_candidate(const struct chat_choice *c, bool own, struct json_out *o)
{
    json_out_object(o);
    // What was stopped by a filter has no content at all.
    const bool none = !c->parts && (c->finish == CHAT_FINISH_FILTER || c->finish == CHAT_FINISH_REFUSAL);
    if (none) return write_candidate_end(c, own, o);
    json_out_key_object(o, SPAN("content"));
    json_out_key_string(o, SPAN("role"), SPAN("model"));
    json_out_key_array(o, SPAN("parts"));
    for (const struct chat_part *p = c->parts; p; p = p->next) {
        if (p->kind == CHAT_RAW && own) json_out_raw(o, p->raw);
        if (p->kind == CHAT_RAW || p->kind == CHAT_REDACTED) continue;
        RW_TRY(write_part(p, own, o));
    }
    json_out_end(o);
    json_out_end(o);
    return write_candidate_end(c, own, o);
}

enum rw_err chat_gemini_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                     const struct dialect_reply *reply, struct json_out *o)
{
    const bool own = a->dialect == &dialect_gemini;
    (void)ctx;
    const bool fed_back = own && chat_has(chat_extra_find(a->extra, SPAN("promptFeedback")));
    json_out_object(o);
    if (!fed_back || a->choices->parts) {
        json_out_key_array(o, SPAN("candidates"));
        for (const struct chat_choice *c = a->choices; c; c = c->next) RW_TRY(write_candidate(c, own, o));
        json_out_end(o);
    }
    json_out_key(o, SPAN("usageMetadata"));
    chat_gemini_usage_write(&a->usage, own, o);
    json_out_key_string(o, SPAN("modelVersion"), chat_has(reply->model) ? reply->model : a->model);
    json_out_key_string(o, SPAN("responseId"), a->id.n ? a->id : reply->id);
    if (own) chat_extra_write(o, a->extra);
    json_out_end(o);
    return json_out_done(o);
}

// --- Errors.

// "21s", "1.5s" in milliseconds, rounded up; -1 if it is none.
static int64_t delay_ms(struct span text)
{
    int64_t ms = 0, unit = 0;
    for (uint32_t i = 0; i < text.n && i < 9; i++) {
        const uint8_t c = text.p[i];
        if (c == 's') return unit ? ms + 1 : ms * 1000;
        if (c == '.') {
            ms *= 1000;
            unit = 100;
        } else if ((uint8_t)(c - '0') < 10) {
            ms = unit ? ms + (c - '0') * unit : ms * 10 + (c - '0');
            unit = unit == 1 ? 1 : unit / 10 + (unit && unit < 10);
        } else {
            return -1;
        }
    }
    return -1;
}

static void details(struct chat_ctx *ctx, struct span list, struct chat_error *ret)
{
    struct json_iter it = json_iter(list);
    struct span key, element, value;
    while (json_next(&it, &key, &element)) {
        if (json_member(element, SPAN("retryDelay"), &value))
            ret->retry_after_ms = delay_ms(chat_text_or_none(ctx, value));
        if (json_member(element, SPAN("reason"), &value) &&
            span_eq(chat_text_or_none(ctx, value), SPAN("API_KEY_INVALID")))
            ret->kind = CHAT_E_UPSTREAM_AUTH;
    }
}

void chat_gemini_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret)
{
    static const struct span keys[] = {SPAN_INIT("code"), SPAN_INIT("message"), SPAN_INIT("status"),
                                       SPAN_INIT("details")};
    struct span v[4];
    if (chat_members(ctx, error, keys, 4, v, NULL)) return;
    const int64_t code = chat_count(v[0]);
    if (ret->status == 0 && code >= 400 && code < 600) ret->kind = chat_error_of_status((uint16_t)code);
    if (chat_has(v[1])) ret->message = chat_text_or_none(ctx, v[1]);
    ret->code = chat_text_or_none(ctx, v[2]);
    if (ret->kind == CHAT_E_BAD_REQUEST && chat_error_is_context(ret->message)) ret->kind = CHAT_E_CONTEXT;
    if (chat_has(v[3])) details(ctx, v[3], ret);
}

void chat_gemini_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret)
{
    struct span error;
    *ret = (struct chat_error){.kind = chat_error_of_status(status),
                               .status = status,
                               .message = chat_error_text(body),
                               .retry_after_ms = -1};
    if (!chat_is_json(body)) return;
    if (json_type(body) == JSON_ARRAY && !json_element(body, 0, &body)) return;
    if (json_member(body, SPAN("error"), &error)) chat_gemini_error_take(ctx, error, ret);
}

uint16_t chat_gemini_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o)
{
    const struct chat_error_words *w = &chat_error_table[error->kind];
    (void)reply;
    json_out_object(o);
    json_out_key_object(o, SPAN("error"));
    json_out_key_u64(o, SPAN("code"), w->google_status);
    json_out_key(o, SPAN("message"));
    json_out_open(o);
    if (error->param.n) {
        json_out_piece(o, error->param);
        json_out_piece(o, SPAN(": "));
    }
    json_out_piece(o, error->message);
    json_out_close(o);
    json_out_key_string(o, SPAN("status"), span_str(w->google_word));
    if (error->retry_after_ms >= 0 && error->kind == CHAT_E_RATE) {
        json_out_key_array(o, SPAN("details"));
        json_out_object(o);
        json_out_key_string(o, SPAN("@type"), SPAN("type.googleapis.com/google.rpc.RetryInfo"));
        char seconds[FMT_U64_BYTES + 1];
        char *end = fmt_raw_u64(seconds, ((uint64_t)error->retry_after_ms + 999) / 1000);
        *end++ = 's';
        json_out_key_string(o, SPAN("retryDelay"), span_of(seconds, (size_t)(end - seconds)));
        json_out_end(o);
        json_out_end(o);
    }
    json_out_end(o);
    json_out_end(o);
    return w->google_status;
}
