// See dialect.h: Mistral's dialect, as differences from OpenAI's. A request is made fit first (what Mistral does not know is lost
// by name, ids become what it takes), then written in OpenAI's form with its few other words. Answers and streams are read as
// OpenAI's, whose reader understands lists of chunks, whole calls and flat errors. To its clients answers are OpenAI's, but a
// stream hands over each call in one piece: its SDK refuses fragments, which have no name.
#include "providers/openai_priv.h"

#define ID_BYTES 9

// Ids are exactly 9 letters and digits: any other is mapped to one, always to the same.
static struct span fit_id(struct chat_ctx *ctx, struct span id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t hash = UINT64_C(14695981039346656037);
    bool fits = id.n == ID_BYTES;
    for (uint32_t i = 0; i < id.n; i++) {
        const uint8_t c = id.p[i];
        fits &= (uint8_t)(c - '0') < 10 || (uint8_t)(span_lower(c) - 'a') < 26;
        hash = (hash ^ c) * UINT64_C(1099511628211);
    }
    if (fits) return id;
    hash ^= hash >> 29;
    uint8_t *out = arena_alloc(ctx->arena, ID_BYTES);
    if (!out) return id;
    for (uint32_t i = 0; i < ID_BYTES; i++, hash /= 62) out[i] = (uint8_t)digits[hash % 62];
    return span_of(out, ID_BYTES);
}

static enum rw_err lose_extra(struct chat_ctx *ctx, const struct chat_extra *extra)
{
    return chat_extra_lose(ctx, extra, NULL, 0);
}

static enum rw_err fit_part(struct chat_ctx *ctx, const struct chat_part *p, bool own,
                            struct chat_part ***tail)
{
    if (!own && (p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED))
        return chat_drop(ctx, SPAN("messages.reasoning_content"));
    struct chat_part *copy = arena_alloc(ctx->arena, sizeof *copy);
    if (!copy) return RW_E_TOO_LARGE;
    *copy = *p;
    copy->next = NULL;
    chat_part_add(tail, copy);
    if (p->kind == CHAT_TOOL_CALL || p->kind == CHAT_TOOL_RESULT) copy->id = fit_id(ctx, p->id);
    if (own) return RW_OK;
    if (p->kind == CHAT_REFUSAL) copy->kind = CHAT_TEXT;
    if (p->cache) RW_TRY(chat_drop(ctx, SPAN("cache_control")));
    if (p->kind == CHAT_AUDIO || p->kind == CHAT_VIDEO)
        return chat_refuse(ctx, SPAN("messages.content.input_audio"),
                           SPAN("The model that was asked takes no sound or video."));
    if (p->kind == CHAT_RAW)
        return chat_refuse(ctx, p->name, SPAN("The model that was asked knows no part like this."));
    if (p->media.source == CHAT_FILE_ID && p->media.data.n)
        return chat_refuse(ctx, SPAN("messages.content.file_id"),
                           SPAN("A file id is known to the provider that made it only."));
    RW_TRY(lose_extra(ctx, p->extra));
    copy->cache = false;
    copy->extra = NULL;
    copy->signature = (struct span){NULL, 0};
    return RW_OK;
}

static enum rw_err fit_messages(struct chat_ctx *ctx, const struct chat_request *rq, bool own,
                                struct chat_message **next)
{
    for (const struct chat_message *m = rq->messages; m; m = m->next) {
        struct chat_message *copy = arena_alloc(ctx->arena, sizeof *copy);
        if (!copy) return RW_E_TOO_LARGE;
        *copy = *m;
        copy->next = NULL;
        copy->parts = NULL;
        struct chat_part **tail = &copy->parts;
        for (const struct chat_part *p = m->parts; p; p = p->next) RW_TRY(fit_part(ctx, p, own, &tail));
        if (m->role == CHAT_DEVELOPER) copy->role = CHAT_SYSTEM;
        if (m->name.n) RW_TRY(chat_drop(ctx, SPAN("messages.name")));
        copy->name = (struct span){NULL, 0};
        if (!own) RW_TRY(lose_extra(ctx, m->extra));
        if (!own) copy->extra = NULL;
        // An assistant that said nothing is refused.
        if (m->role == CHAT_ASSISTANT && !copy->parts) continue;
        *next = copy;
        next = &copy->next;
    }
    *next = NULL;
    return RW_OK;
}

static enum rw_err fit_tools(struct chat_ctx *ctx, const struct chat_request *rq, bool own,
                             struct chat_tool **next)
{
    for (const struct chat_tool *t = rq->tools; t; t = t->next) {
        if (!chat_tool_allowed(rq, t)) continue;
        struct chat_tool *copy = arena_alloc(ctx->arena, sizeof *copy);
        if (!copy) return RW_E_TOO_LARGE;
        *copy = *t;
        *next = copy;
        next = &copy->next;
        if (t->kind == CHAT_FUNCTION && !chat_has(t->schema))
            copy->schema = SPAN("{\"type\":\"object\",\"properties\":{}}");
        if (own) continue;
        if (t->kind != CHAT_FUNCTION)
            return chat_refuse(ctx, SPAN("tools"),
                               SPAN("The model that was asked cannot run this kind of tool."));
        if (t->cache) RW_TRY(chat_drop(ctx, SPAN("cache_control")));
        RW_TRY(lose_extra(ctx, t->extra));
        copy->extra = NULL;
    }
    *next = NULL;
    return RW_OK;
}

static enum rw_err fit_extra(struct chat_ctx *ctx, const struct chat_request *rq, struct chat_extra **next)
{
    static const struct span passed[] = {SPAN_INIT("metadata"),    SPAN_INIT("prompt_cache_key"),
                                         SPAN_INIT("prediction"),  SPAN_INIT("safe_prompt"),
                                         SPAN_INIT("prompt_mode"), SPAN_INIT("guardrails")};
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true},
                                                   {SPAN_INIT("web_search_options"), true, false}};
    for (const struct chat_extra *x = rq->extra; x; x = x->next) {
        uint32_t i = 0;
        while (i < sizeof passed / sizeof *passed && !span_eq(passed[i], x->name)) i++;
        if (chat_modalities_text(x)) continue;
        struct chat_extra *copy = arena_alloc(ctx->arena, sizeof *copy);
        if (!copy) return RW_E_TOO_LARGE;
        *copy = (struct chat_extra){.name = x->name, .value = x->value};
        if (i == sizeof passed / sizeof *passed) {
            RW_TRY(chat_extra_lose(ctx, copy, table, 3));
            continue;
        }
        *next = copy;
        next = &copy->next;
    }
    *next = NULL;
    return RW_OK;
}

static enum rw_err fit(struct chat_ctx *ctx, const struct chat_request *rq, struct chat_request *ret)
{
    const bool own = rq->dialect == &dialect_mistral;
    *ret = *rq;
    RW_TRY(fit_messages(ctx, rq, own, &ret->messages));
    RW_TRY(fit_tools(ctx, rq, own, &ret->tools));
    if (rq->tool_choice.kind == CHAT_CHOICE_ALLOWED)
        ret->tool_choice.kind = rq->tool_choice.allowed_required ? CHAT_CHOICE_REQUIRED : CHAT_CHOICE_AUTO;
    if (own) return RW_OK;
    RW_TRY(fit_extra(ctx, rq, &ret->extra));
    if (rq->tool_choice.kind == CHAT_CHOICE_RAW)
        return chat_refuse(ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    struct chat_request probabilities = *rq;
    probabilities.n = (struct span){NULL, 0};
    RW_TRY(chat_refuse_choices(ctx, &probabilities));
    if (chat_has(rq->top_k)) RW_TRY(chat_drop(ctx, SPAN("top_k")));
    if (rq->user.n) RW_TRY(chat_drop(ctx, SPAN("user")));
    if (rq->cache) RW_TRY(chat_drop(ctx, SPAN("cache_control")));
    if (rq->service_tier.n) RW_TRY(chat_drop(ctx, SPAN("service_tier")));
    RW_TRY(lose_extra(ctx, rq->config_extra));
    ret->logprobs = false;
    ret->top_logprobs = ret->top_k = ret->user = ret->service_tier = (struct span){NULL, 0};
    ret->temperature = chat_clamp(rq->temperature, 1.5, SPAN("1.5"));
    return RW_OK;
}

static enum rw_err request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                 const struct dialect_target *target, struct json_out *o)
{
    struct chat_request fitted;
    RW_TRY(fit(ctx, rq, &fitted));
    return chat_openai_request_write_as(ctx, &fitted, target, true, o);
}

static enum rw_err request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    RW_TRY(chat_openai_request(ctx, body, ret));
    ret->dialect = &dialect_mistral;
    return RW_OK;
}

static void call_open(struct chat_writer *w, const struct writer_block *b)
{
    (void)w;
    (void)b;
}

static void call_close(struct chat_writer *w, const struct writer_block *b)
{
    if (!b->held_cap) chat_openai_call_whole(w, b, SPAN("{}")); // nothing came
}

static const struct writer_ops calls = {
    .open = call_open, .text = chat_openai_call_whole, .close = call_close, .whole_calls = true};

static enum rw_err write(struct chat_writer *w, const struct chat_event *e)
{
    switch (e->kind) {
    case CHAT_EV_TOOL_START:
    case CHAT_EV_TOOL_ARGS:
    case CHAT_EV_TOOL_END:
        if (e->choice == 0) return chat_blocks_event(w, &calls, e);
        break;
    case CHAT_EV_TOOL_SIGNATURE: return RW_OK; // would be a fragment
    case CHAT_EV_FINISH: RW_TRY(chat_blocks_end(w, &calls)); break;
    default: break;
    }
    return chat_openai_write(w, e);
}

const struct dialect dialect_mistral = {
    .name = "mistral",
    .family = DIALECT_OPENAI,
    .framing = DIALECT_SSE,
    .content_type = "text/event-stream",
    .decode_request = request,
    .encode_request = request_write,
    .decode_answer = chat_openai_answer,
    .encode_answer = chat_openai_answer_write,
    .read = chat_openai_read,
    .write = write,
    .decode_error = chat_openai_error,
    .encode_error = chat_openai_error_write,
};
