// See dialect.h: whole answers and errors in OpenAI's chat dialect, both ways. Read: what compatible servers leave out or write
// differently is understood. Written: every member that the SDKs' types demand is there, null where nothing is known.
#include "providers/openai_priv.h"

// --- Usage.

#define USAGE_KEYS(X) \
    X(U_PROMPT, "prompt_tokens") \
    X(U_COMPLETION, "completion_tokens") \
    X(U_TOTAL, "total_tokens") \
    X(U_PROMPT_DETAILS, "prompt_tokens_details") \
    X(U_COMPLETION_DETAILS, "completion_tokens_details")
#define DETAIL_KEYS(X) \
    X(D_CACHED, "cached_tokens") \
    X(D_AUDIO, "audio_tokens") \
    X(D_WRITE, "cache_write_tokens") \
    X(D_REASONING, "reasoning_tokens") \
    X(D_ACCEPTED, "accepted_prediction_tokens") \
    X(D_REJECTED, "rejected_prediction_tokens")

enum { USAGE_KEYS(CHAT_KEY_ENUM) USAGE_COUNT };
enum { DETAIL_KEYS(CHAT_KEY_ENUM) DETAIL_COUNT };
static const struct span usage_keys[] = {USAGE_KEYS(CHAT_KEY_SPAN)};
static const struct span detail_keys[] = {DETAIL_KEYS(CHAT_KEY_SPAN)};

enum rw_err chat_openai_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret)
{
    struct span v[USAGE_COUNT], d[DETAIL_COUNT];
    chat_usage_init(ret);
    RW_TRY(chat_members(ctx, usage, usage_keys, USAGE_COUNT, v, NULL));
    ret->input = chat_count(v[U_PROMPT]);
    ret->output = chat_count(v[U_COMPLETION]);
    RW_TRY(chat_members(ctx, v[U_PROMPT_DETAILS], detail_keys, DETAIL_COUNT, d, NULL));
    ret->cached = chat_count(d[D_CACHED]);
    ret->cache_write = chat_count(d[D_WRITE]);
    ret->audio_input = chat_count(d[D_AUDIO]);
    RW_TRY(chat_members(ctx, v[U_COMPLETION_DETAILS], detail_keys, DETAIL_COUNT, d, NULL));
    ret->reasoning = chat_count(d[D_REASONING]);
    ret->audio_output = chat_count(d[D_AUDIO]);
    ret->prediction_used = chat_count(d[D_ACCEPTED]);
    ret->prediction_wasted = chat_count(d[D_REJECTED]);
    return RW_OK;
}

static void count(struct json_out *o, struct span key, int64_t v)
{
    if (v >= 0) json_out_key_u64(o, key, (uint64_t)v);
}

void chat_openai_usage_write(const struct chat_usage *u, struct json_out *o)
{
    const uint64_t input = u->input > 0 ? (uint64_t)u->input : 0,
                   output = u->output > 0 ? (uint64_t)u->output : 0;
    json_out_object(o);
    json_out_key_u64(o, SPAN("prompt_tokens"), input);
    json_out_key_u64(o, SPAN("completion_tokens"), output);
    json_out_key_u64(o, SPAN("total_tokens"), input + output);
    if (u->cached >= 0 || u->cache_write >= 0 || u->audio_input >= 0) {
        json_out_key_object(o, SPAN("prompt_tokens_details"));
        count(o, SPAN("cached_tokens"), u->cached > 0 ? u->cached : 0);
        count(o, SPAN("audio_tokens"), u->audio_input);
        count(o, SPAN("cache_write_tokens"), u->cache_write);
        json_out_end(o);
    }
    if (u->reasoning >= 0 || u->audio_output >= 0 || u->prediction_used >= 0) {
        json_out_key_object(o, SPAN("completion_tokens_details"));
        count(o, SPAN("reasoning_tokens"), u->reasoning > 0 ? u->reasoning : 0);
        count(o, SPAN("audio_tokens"), u->audio_output);
        count(o, SPAN("accepted_prediction_tokens"), u->prediction_used);
        count(o, SPAN("rejected_prediction_tokens"), u->prediction_wasted);
        json_out_end(o);
    }
    json_out_end(o);
}

// --- Log probabilities.

static enum rw_err logprob(struct chat_ctx *ctx, struct span value, struct chat_logprob ***next,
                           struct span *ret_top)
{
    static const struct span keys[] = {SPAN_INIT("token"), SPAN_INIT("logprob"), SPAN_INIT("bytes"),
                                       SPAN_INIT("top_logprobs")};
    struct span v[4];
    struct chat_logprob *l = chat_alloc(ctx, sizeof *l);
    if (!l) return RW_E_TOO_LARGE;
    RW_TRY(chat_members(ctx, value, keys, 4, v, NULL));
    l->token = chat_text_or_none(ctx, v[0]);
    l->logprob = v[1];
    l->bytes = v[2];
    *ret_top = v[3];
    **next = l;
    *next = &l->next;
    return RW_OK;
}

enum rw_err chat_openai_logprobs(struct chat_ctx *ctx, struct span list, struct chat_logprob **ret)
{
    struct json_iter it = json_iter(list);
    struct span key, element, top, none;
    while (chat_has(list) && json_next(&it, &key, &element)) {
        struct chat_logprob **at = ret;
        RW_TRY(logprob(ctx, element, &ret, &top));
        struct chat_logprob **next = &(*at)->top;
        struct json_iter inner = json_iter(top);
        while (chat_has(top) && json_next(&inner, &key, &element))
            RW_TRY(logprob(ctx, element, &next, &none));
    }
    return RW_OK;
}

static void logprob_write(const struct chat_logprob *l, bool outer, struct json_out *o)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("token"), l->token);
    json_out_key_raw(o, SPAN("logprob"), chat_has(l->logprob) ? l->logprob : SPAN("-9999.0"));
    json_out_key_raw(o, SPAN("bytes"), chat_has(l->bytes) ? l->bytes : SPAN("null"));
    if (outer) {
        json_out_key_array(o, SPAN("top_logprobs"));
        for (const struct chat_logprob *t = l->top; t; t = t->next) logprob_write(t, false, o);
        json_out_end(o);
    }
    json_out_end(o);
}

static void logprobs_list(struct span key, const struct chat_logprob *list, struct json_out *o)
{
    json_out_key(o, key);
    if (!list) {
        json_out_null(o);
        return;
    }
    json_out_array(o);
    for (; list; list = list->next) logprob_write(list, true, o);
    json_out_end(o);
}

void chat_openai_logprobs_write(const struct chat_logprob *content, const struct chat_logprob *refusal,
                                struct json_out *o)
{
    if (!content && !refusal) {
        json_out_null(o);
        return;
    }
    json_out_object(o);
    logprobs_list(SPAN("content"), content, o);
    logprobs_list(SPAN("refusal"), refusal, o);
    json_out_end(o);
}

// --- Finish reasons.

enum chat_finish chat_openai_finish(struct span word)
{
    static const struct {
        struct span word;
        enum chat_finish finish;
    } table[] = {
        {SPAN_INIT("stop"), CHAT_FINISH_STOP},           {SPAN_INIT("length"), CHAT_FINISH_LENGTH},
        {SPAN_INIT("tool_calls"), CHAT_FINISH_TOOLS},    {SPAN_INIT("content_filter"), CHAT_FINISH_FILTER},
        {SPAN_INIT("function_call"), CHAT_FINISH_TOOLS}, {SPAN_INIT("model_length"), CHAT_FINISH_CONTEXT},
        {SPAN_INIT("error"), CHAT_FINISH_MALFORMED}};
    if (word.n == 0) return CHAT_FINISH_NONE;
    for (uint32_t i = 0; i < sizeof table / sizeof *table; i++)
        if (span_eq(word, table[i].word)) return table[i].finish;
    return CHAT_FINISH_STOP;
}

struct span chat_openai_finish_word(enum chat_finish finish, bool legacy)
{
    switch (finish) {
    case CHAT_FINISH_LENGTH:
    case CHAT_FINISH_CONTEXT: return SPAN("length");
    case CHAT_FINISH_TOOLS: return legacy ? SPAN("function_call") : SPAN("tool_calls");
    case CHAT_FINISH_FILTER:
    case CHAT_FINISH_REFUSAL: return SPAN("content_filter");
    default: return SPAN("stop");
    }
}

// --- Answers, read.

#define ANSWER_KEYS(X) \
    X(A_ID, "id") \
    X(A_MODEL, "model") \
    X(A_CREATED, "created") \
    X(A_CHOICES, "choices") \
    X(A_USAGE, "usage") \
    X(A_TIER, "service_tier") \
    X(A_OBJECT, "object")
#define CHOICE_KEYS(X) \
    X(C_INDEX, "index") \
    X(C_MESSAGE, "message") \
    X(C_LOGPROBS, "logprobs") \
    X(C_FINISH, "finish_reason")
#define SAID_KEYS(X) \
    X(S_ROLE, "role") \
    X(S_CONTENT, "content") \
    X(S_REFUSAL, "refusal") \
    X(S_CALLS, "tool_calls") \
    X(S_FUNCTION_CALL, "function_call") \
    X(S_REASONING, "reasoning_content") \
    X(S_REASONING_2, "reasoning") \
    X(S_THINKING, "thinking_blocks") \
    X(S_ANNOTATIONS, "annotations")

enum { ANSWER_KEYS(CHAT_KEY_ENUM) ANSWER_COUNT };
enum { CHOICE_KEYS(CHAT_KEY_ENUM) CHOICE_COUNT };
enum { SAID_KEYS(CHAT_KEY_ENUM) SAID_COUNT };
static const struct span answer_keys[] = {ANSWER_KEYS(CHAT_KEY_SPAN)};
static const struct span choice_keys[] = {CHOICE_KEYS(CHAT_KEY_SPAN)};
static const struct span said_keys[] = {SAID_KEYS(CHAT_KEY_SPAN)};

static enum rw_err annotations(struct chat_ctx *ctx, struct span list, struct chat_citation **ret)
{
    enum { START, END, TITLE, URL };
    static const struct span keys[] = {SPAN_INIT("start_index"), SPAN_INIT("end_index"), SPAN_INIT("title"),
                                       SPAN_INIT("url")};
    struct json_iter it = json_iter(list);
    struct span key, element, inner, v[4];
    while (chat_has(list) && json_next(&it, &key, &element)) {
        struct chat_citation *c = chat_alloc(ctx, sizeof *c);
        if (!c) return RW_E_TOO_LARGE;
        *ret = c;
        ret = &c->next;
        *c = (struct chat_citation){.kind = CHAT_CITE_OTHER, .dialect = &dialect_openai, .raw = element};
        if (!json_member(element, SPAN("url_citation"), &inner)) continue;
        RW_TRY(chat_members(ctx, inner, keys, 4, v, NULL));
        c->kind = CHAT_CITE_WEB;
        c->start = chat_count(v[START]);
        c->end = chat_count(v[END]);
        c->title = chat_text_or_none(ctx, v[TITLE]);
        c->url = chat_text_or_none(ctx, v[URL]);
    }
    return RW_OK;
}

static enum rw_err legacy_call(struct chat_ctx *ctx, struct span value, struct chat_part ***tail)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("arguments")};
    struct span v[2];
    struct chat_part *part = chat_part_new(ctx, CHAT_TOOL_CALL);
    if (!part) return RW_E_TOO_LARGE;
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    part->id = SPAN("call_0");
    part->name = chat_text_or_none(ctx, v[0]);
    part->arguments = chat_text_or_none(ctx, v[1]);
    chat_part_add(tail, part);
    return RW_OK;
}

static enum rw_err said(struct chat_ctx *ctx, struct span message, struct chat_choice *c)
{
    struct span v[SAID_COUNT];
    RW_TRY(chat_members(ctx, message, said_keys, SAID_COUNT, v, &c->message_extra));
    struct chat_part **tail = &c->parts;
    const struct span reasoning = chat_has(v[S_REASONING]) ? v[S_REASONING] : v[S_REASONING_2];
    RW_TRY(chat_openai_thoughts(ctx, reasoning, v[S_THINKING], &tail));
    struct chat_part **text = tail;
    RW_TRY(chat_openai_content(ctx, v[S_CONTENT], 0, &tail));
    if (*text && (*text)->kind == CHAT_TEXT) RW_TRY(annotations(ctx, v[S_ANNOTATIONS], &(*text)->citations));
    if (chat_has(v[S_REFUSAL])) {
        struct chat_part *part = chat_part_new(ctx, CHAT_REFUSAL);
        if (!part) return RW_E_TOO_LARGE;
        part->text = chat_text_or_none(ctx, v[S_REFUSAL]);
        if (part->text.n) chat_part_add(&tail, part);
    }
    if (chat_has(v[S_FUNCTION_CALL])) RW_TRY(legacy_call(ctx, v[S_FUNCTION_CALL], &tail));
    return chat_openai_calls(ctx, v[S_CALLS], 0, &tail);
}

static enum rw_err choice(struct chat_ctx *ctx, struct span value, struct chat_choice *c)
{
    struct span v[CHOICE_COUNT], list;
    RW_TRY(chat_members(ctx, value, choice_keys, CHOICE_COUNT, v, &c->extra));
    if (!chat_has(v[C_MESSAGE])) return RW_E_BAD;
    const int64_t index = chat_count(v[C_INDEX]);
    c->index = index > 0 ? (uint32_t)index : 0;
    RW_TRY(said(ctx, v[C_MESSAGE], c));
    if (chat_has(v[C_LOGPROBS])) {
        if (json_member(v[C_LOGPROBS], SPAN("content"), &list))
            RW_TRY(chat_openai_logprobs(ctx, list, &c->logprobs));
        if (json_member(v[C_LOGPROBS], SPAN("refusal"), &list))
            RW_TRY(chat_openai_logprobs(ctx, list, &c->refusal_logprobs));
    }
    c->finish_raw = chat_text_or_none(ctx, v[C_FINISH]);
    c->finish = chat_openai_finish(c->finish_raw);
    if (c->finish == CHAT_FINISH_NONE) return RW_E_EOF;
    for (const struct chat_part *p = c->parts; p && c->finish == CHAT_FINISH_STOP; p = p->next)
        if (p->kind == CHAT_TOOL_CALL) c->finish = CHAT_FINISH_TOOLS;
    return RW_OK;
}

enum rw_err chat_openai_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    struct span v[ANSWER_COUNT], key, element, error;
    *ret = (struct chat_answer){.dialect = &dialect_openai};
    RW_TRY(chat_members(ctx, body, answer_keys, ANSWER_COUNT, v, &ret->extra));
    if (json_member(body, SPAN("error"), &error) && json_type(error) == JSON_OBJECT) return RW_E_BAD;
    ret->id = chat_text_or_none(ctx, v[A_ID]);
    ret->model = chat_text_or_none(ctx, v[A_MODEL]);
    ret->created_s = chat_count(v[A_CREATED]);
    RW_TRY(chat_openai_usage(ctx, v[A_USAGE], &ret->usage));
    ret->usage.service_tier = chat_text_or_none(ctx, v[A_TIER]);
    if (!chat_has(v[A_CHOICES]) || json_type(v[A_CHOICES]) != JSON_ARRAY) return RW_E_BAD;
    struct json_iter it = json_iter(v[A_CHOICES]);
    struct chat_choice **next = &ret->choices;
    while (json_next(&it, &key, &element)) {
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        RW_TRY(choice(ctx, element, *next));
        next = &(*next)->next;
    }
    return ret->choices ? RW_OK : RW_E_BAD;
}

// --- Answers, written.

// Text of all parts of a kind as one string, or null if there is none (an empty string if `empty`).
static void write_joined(struct json_out *o, struct span key, const struct chat_part *parts,
                         enum chat_part_kind kind, bool empty)
{
    bool any = empty;
    for (const struct chat_part *p = parts; p; p = p->next) any |= p->kind == kind;
    json_out_key(o, key);
    if (!any) {
        json_out_null(o);
        return;
    }
    json_out_open(o);
    for (const struct chat_part *p = parts; p; p = p->next)
        if (p->kind == kind) json_out_piece(o, p->text);
    json_out_close(o);
}

static uint32_t characters(struct span text)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < text.n; i++) n += (text.p[i] & 0xc0) != 0x80;
    return n;
}

static void write_citation(const struct chat_citation *c, uint32_t from, uint32_t to, struct json_out *o)
{
    if (c->dialect && c->dialect->family == DIALECT_OPENAI && c->kind != CHAT_CITE_WEB) {
        json_out_raw(o, c->raw);
        return;
    }
    if (c->kind != CHAT_CITE_WEB) return;
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("url_citation"));
    json_out_key_object(o, SPAN("url_citation"));
    json_out_key_u64(o, SPAN("start_index"), c->start >= 0 ? (uint64_t)c->start : from);
    json_out_key_u64(o, SPAN("end_index"), c->end >= 0 ? (uint64_t)c->end : to);
    json_out_key_string(o, SPAN("title"), c->title);
    json_out_key_string(o, SPAN("url"), c->url);
    json_out_end(o);
    json_out_end(o);
}

static void write_annotations(struct json_out *o, const struct chat_part *parts)
{
    uint32_t at = 0;
    json_out_key_array(o, SPAN("annotations"));
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (p->kind != CHAT_TEXT) continue;
        const uint32_t to = at + characters(p->text);
        for (const struct chat_citation *c = p->citations; c; c = c->next) write_citation(c, at, to, o);
        at = to;
    }
    json_out_end(o);
}

static void write_thinking(struct json_out *o, const struct chat_part *parts)
{
    bool any = false, proof = false;
    for (const struct chat_part *p = parts; p; p = p->next) {
        any |= p->kind == CHAT_THINKING;
        proof |= (p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED) && p->signature.n;
    }
    if (any) write_joined(o, SPAN("reasoning_content"), parts, CHAT_THINKING, false);
    if (!proof) return;
    json_out_key_array(o, SPAN("thinking_blocks"));
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (p->kind != CHAT_THINKING && p->kind != CHAT_REDACTED) continue;
        const bool redacted = p->kind == CHAT_REDACTED;
        json_out_object(o);
        json_out_key_string(o, SPAN("type"), redacted ? SPAN("redacted_thinking") : SPAN("thinking"));
        if (!redacted) json_out_key_string(o, SPAN("thinking"), p->text);
        json_out_key_string(o, redacted ? SPAN("data") : SPAN("signature"), p->signature);
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_calls(struct chat_ctx *ctx, struct json_out *o, const struct chat_part *parts, bool legacy)
{
    const struct chat_part *first = parts;
    while (first && first->kind != CHAT_TOOL_CALL) first = first->next;
    if (!first) return;
    if (legacy) {
        json_out_key_object(o, SPAN("function_call"));
        json_out_key_string(o, SPAN("name"), first->name);
        json_out_key_string(o, SPAN("arguments"), chat_compact(ctx, first->arguments));
        json_out_end(o);
        return;
    }
    json_out_key_array(o, SPAN("tool_calls"));
    for (const struct chat_part *p = first; p; p = p->next) {
        if (p->kind != CHAT_TOOL_CALL) continue;
        chat_openai_call_write(ctx, p, o);
        json_out_end(o);
    }
    json_out_end(o);
}

static void write_choice(struct chat_ctx *ctx, const struct chat_choice *c, bool own, bool legacy,
                         struct json_out *o)
{
    bool calls = false, refused = false;
    for (const struct chat_part *p = c->parts; p; p = p->next) {
        calls |= p->kind == CHAT_TOOL_CALL;
        refused |= p->kind == CHAT_REFUSAL;
    }
    json_out_object(o);
    json_out_key_u64(o, SPAN("index"), c->index);
    json_out_key_object(o, SPAN("message"));
    json_out_key_string(o, SPAN("role"), SPAN("assistant"));
    write_joined(o, SPAN("content"), c->parts, CHAT_TEXT, !calls && !refused);
    if (!refused && c->explanation.n) json_out_key_string(o, SPAN("refusal"), c->explanation);
    else write_joined(o, SPAN("refusal"), c->parts, CHAT_REFUSAL, false);
    write_annotations(o, c->parts);
    write_thinking(o, c->parts);
    write_calls(ctx, o, c->parts, legacy);
    if (own) chat_extra_write(o, c->message_extra);
    json_out_end(o);
    json_out_key(o, SPAN("logprobs"));
    chat_openai_logprobs_write(c->logprobs, c->refusal_logprobs, o);
    json_out_key_string(o, SPAN("finish_reason"), chat_openai_finish_word(c->finish, legacy));
    if (own) chat_extra_write(o, c->extra);
    json_out_end(o);
}

enum rw_err chat_openai_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                     const struct dialect_reply *reply, struct json_out *o)
{
    const bool own = a->dialect->family == DIALECT_OPENAI;
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), a->id.n ? a->id : chat_made_id(ctx, "chatcmpl-", reply->id, 0));
    json_out_key_string(o, SPAN("object"), SPAN("chat.completion"));
    json_out_key_u64(o, SPAN("created"), (uint64_t)(a->created_s >= 0 ? a->created_s : reply->created_s));
    json_out_key_string(o, SPAN("model"), chat_has(reply->model) ? reply->model : a->model);
    json_out_key_array(o, SPAN("choices"));
    for (const struct chat_choice *c = a->choices; c; c = c->next)
        write_choice(ctx, c, own, reply->legacy_functions, o);
    json_out_end(o);
    json_out_key(o, SPAN("usage"));
    chat_openai_usage_write(&a->usage, o);
    if (own && a->usage.service_tier.n) json_out_key_string(o, SPAN("service_tier"), a->usage.service_tier);
    if (own) chat_extra_write(o, a->extra);
    json_out_end(o);
    return json_out_done(o);
}
