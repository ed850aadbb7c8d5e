// See dialect.h: the neutral model as a request in OpenAI's chat dialect. What came in this dialect leaves as it was, with its
// unknown fields; what came in another leaves in the plainest form, since many servers speak only that.
#include "providers/openai_priv.h"

#define STOPS_MAX 4

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    struct json_out *o;
    bool own; // the client speaks a dialect of this family
    bool mistral;
};

// --- Parts.

static enum rw_err write_document(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    if (m->context.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.context")));
    if (p->cited == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.citations")));
    if (m->source == CHAT_URL || (m->source == CHAT_FILE_ID && !w->own))
        return chat_refuse(w->ctx, SPAN("messages.content.source"),
                           SPAN("The model that was asked takes documents as data only."));
    json_out_object(w->o);
    if (m->source == CHAT_PLAIN) {
        json_out_key_string(w->o, SPAN("type"), SPAN("text"));
        json_out_key_string(w->o, SPAN("text"), m->data);
        json_out_end(w->o);
        return RW_OK;
    }
    if (w->mistral) {
        json_out_key_string(w->o, SPAN("type"), SPAN("document_url"));
        json_out_key(w->o, SPAN("document_url"));
        chat_media_write_url(w->o, m);
        if (m->name.n) json_out_key_string(w->o, SPAN("document_name"), m->name);
        json_out_end(w->o);
        return RW_OK;
    }
    json_out_key_string(w->o, SPAN("type"), SPAN("file"));
    json_out_key_object(w->o, SPAN("file"));
    if (m->source == CHAT_FILE_ID) {
        json_out_key_string(w->o, SPAN("file_id"), m->data);
    } else {
        json_out_key_string(w->o, SPAN("filename"), m->name.n ? m->name : SPAN("document.pdf"));
        json_out_key(w->o, SPAN("file_data"));
        chat_media_write_url(w->o, m);
    }
    json_out_end(w->o);
    if (w->own) chat_extra_write(w->o, p->extra);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_image(struct request_writer *w, const struct chat_part *p)
{
    const bool url = p->media.source == CHAT_URL && span_starts(p->media.data, SPAN("http"));
    if (!url && p->media.source != CHAT_DATA)
        return chat_refuse(w->ctx, SPAN("messages.content.source"),
                           SPAN("The model that was asked takes images as data or by an https URL."));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("image_url"));
    json_out_key_object(w->o, SPAN("image_url"));
    json_out_key(w->o, SPAN("url"));
    chat_media_write_url(w->o, &p->media);
    if (p->media.detail.n) json_out_key_string(w->o, SPAN("detail"), p->media.detail);
    json_out_end(w->o);
    if (w->own) chat_extra_write(w->o, p->extra);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_audio(struct request_writer *w, const struct chat_part *p)
{
    const struct span prefix = SPAN("audio/");
    struct span format = p->media.type;
    if (p->media.source != CHAT_DATA || !span_starts(format, prefix))
        return chat_refuse(w->ctx, SPAN("messages.content.audio"),
                           SPAN("The model that was asked takes audio as data only."));
    format = span_from(format, prefix.n);
    if (span_eq(format, SPAN("mpeg"))) format = SPAN("mp3");
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("input_audio"));
    json_out_key_object(w->o, SPAN("input_audio"));
    json_out_key_string(w->o, SPAN("data"), p->media.data);
    json_out_key_string(w->o, SPAN("format"), format);
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts,
                               bool results) RW_WARN_UNUSED;

static enum rw_err write_text(struct request_writer *w, const struct chat_part *p)
{
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), p->kind == CHAT_REFUSAL ? SPAN("refusal") : SPAN("text"));
    json_out_key_string(w->o, p->kind == CHAT_REFUSAL ? SPAN("refusal") : SPAN("text"), p->text);
    if (w->own && p->cache) json_out_key_raw(w->o, SPAN("cache_control"), SPAN("{\"type\":\"ephemeral\"}"));
    if (w->own) chat_extra_write(w->o, p->extra);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err lose_of_part(struct request_writer *w, const struct chat_part *p)
{
    if (w->own) return RW_OK;
    if (p->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    for (const struct chat_extra *x = p->extra; x; x = x->next) RW_TRY(chat_drop(w->ctx, x->name));
    return RW_OK;
}

static enum rw_err write_part(struct request_writer *w, const struct chat_part *p)
{
    RW_TRY(lose_of_part(w, p));
    switch (p->kind) {
    case CHAT_TEXT:
    case CHAT_REFUSAL: return write_text(w, p);
    case CHAT_IMAGE: return write_image(w, p);
    case CHAT_AUDIO: return write_audio(w, p);
    case CHAT_DOCUMENT:
        return p->media.source == CHAT_BLOCKS ? write_parts(w, p->content, false) : write_document(w, p);
    case CHAT_RAW:
        if (!w->own)
            return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
        json_out_raw(w->o, p->raw);
        return RW_OK;
    case CHAT_VIDEO:
        return chat_refuse(w->ctx, SPAN("messages.content.video"),
                           SPAN("The model that was asked takes no video."));
    default: return RW_OK; // thoughts and calls have members of their own
    }
}

// `results`: what a tool gave and its message cannot hold, else everything.
static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts, bool results)
{
    for (const struct chat_part *p = parts; p; p = p->next)
        if (!results || p->kind != CHAT_TEXT) RW_TRY(write_part(w, p));
    return RW_OK;
}

static bool is_string(const struct chat_part *p)
{
    return p && p->kind == CHAT_TEXT && !p->next && !p->extra && !p->cache;
}

static enum rw_err write_content(struct request_writer *w, const struct chat_part *parts)
{
    json_out_key(w->o, SPAN("content"));
    if (is_string(parts) || (parts && !parts->next && parts->kind == CHAT_TEXT && !w->own)) {
        RW_TRY(lose_of_part(w, parts));
        json_out_string(w->o, parts->text);
        return RW_OK;
    }
    json_out_array(w->o);
    RW_TRY(write_parts(w, parts, false));
    json_out_end(w->o);
    return RW_OK;
}

// --- The assistant's messages.

void chat_openai_call_write(struct chat_ctx *ctx, const struct chat_part *call, struct json_out *o)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("id"), call->id);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_object(o, SPAN("function"));
    json_out_key_string(o, SPAN("name"), call->name);
    json_out_key_string(o, SPAN("arguments"),
                        call->arguments.n ? chat_compact(ctx, call->arguments) : SPAN("{}"));
    json_out_end(o);
    if (call->signature.n) {
        json_out_key_object(o, SPAN("extra_content"));
        json_out_key_object(o, SPAN("google"));
        json_out_key_string(o, SPAN("thought_signature"), call->signature);
        json_out_end(o);
        json_out_end(o);
    }
}

static enum rw_err write_thoughts(struct request_writer *w, const struct chat_part *parts)
{
    bool signed_ones = false, any = false;
    for (const struct chat_part *p = parts; p; p = p->next) {
        any |= p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED;
        signed_ones |= (p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED) && p->signature.n;
    }
    if (!any) return RW_OK;
    if (!w->own) return chat_drop(w->ctx, SPAN("messages.content.thinking"));
    if (!signed_ones) {
        json_out_key(w->o, SPAN("reasoning_content"));
        json_out_open(w->o);
        for (const struct chat_part *p = parts; p; p = p->next)
            if (p->kind == CHAT_THINKING) json_out_piece(w->o, p->text);
        json_out_close(w->o);
        return RW_OK;
    }
    json_out_key_array(w->o, SPAN("thinking_blocks"));
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (p->kind != CHAT_THINKING && p->kind != CHAT_REDACTED) continue;
        const bool redacted = p->kind == CHAT_REDACTED;
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("type"), redacted ? SPAN("redacted_thinking") : SPAN("thinking"));
        if (!redacted) json_out_key_string(w->o, SPAN("thinking"), p->text);
        json_out_key_string(w->o, redacted ? SPAN("data") : SPAN("signature"), p->signature);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static bool is_custom_call(const struct chat_part *p)
{
    return p->kind == CHAT_RAW && span_eq(p->name, SPAN("custom"));
}

static enum rw_err write_assistant(struct request_writer *w, const struct chat_message *m)
{
    const struct chat_part *only = NULL;
    uint32_t texts = 0, calls = 0, others = 0;
    for (const struct chat_part *p = m->parts; p; p = p->next) {
        const bool call = p->kind == CHAT_TOOL_CALL || is_custom_call(p);
        const bool text = p->kind == CHAT_TEXT && !p->extra && !(p->cache && w->own);
        calls += call;
        texts += text;
        others += !call && !text && p->kind != CHAT_THINKING && p->kind != CHAT_REDACTED;
        if (text) only = p;
    }
    RW_TRY(write_thoughts(w, m->parts));
    json_out_key(w->o, SPAN("content"));
    if (others == 0 && texts == 0) {
        if (w->mistral) json_out_string(w->o, SPAN(""));
        else json_out_null(w->o);
    } else if (others == 0 && texts == 1) {
        RW_TRY(lose_of_part(w, only));
        json_out_string(w->o, only->text);
    } else {
        json_out_array(w->o);
        for (const struct chat_part *p = m->parts; p; p = p->next)
            if (!is_custom_call(p)) RW_TRY(write_part(w, p));
        json_out_end(w->o);
    }
    if (!calls) return RW_OK;
    json_out_key_array(w->o, SPAN("tool_calls"));
    for (const struct chat_part *p = m->parts; p; p = p->next) {
        if (is_custom_call(p) && w->own) json_out_raw(w->o, p->raw);
        if (p->kind != CHAT_TOOL_CALL) continue;
        chat_openai_call_write(w->ctx, p, w->o);
        if (w->own) chat_extra_write(w->o, p->extra);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

// --- Tool messages: text only, so what else a tool gave follows as the user's.

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p, bool *ret_more)
{
    bool failed = p->failed;
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), SPAN("tool"));
    json_out_key_string(w->o, SPAN("tool_call_id"), p->id);
    if (w->mistral && p->name.n) json_out_key_string(w->o, SPAN("name"), p->name);
    json_out_key(w->o, SPAN("content"));
    json_out_open(w->o);
    if (failed) json_out_piece(w->o, SPAN("Error: "));
    for (const struct chat_part *c = p->content; c; c = c->next) {
        if (c->kind == CHAT_TEXT) json_out_piece(w->o, c->text);
        else *ret_more = true;
    }
    json_out_close(w->o);
    json_out_end(w->o);
    return lose_of_part(w, p);
}

static enum rw_err write_results(struct request_writer *w, const struct chat_message *m)
{
    bool more = false;
    for (const struct chat_part *p = m->parts; p; p = p->next) RW_TRY(write_result(w, p, &more));
    if (!more) return RW_OK;
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), SPAN("user"));
    json_out_key_array(w->o, SPAN("content"));
    for (const struct chat_part *p = m->parts; p; p = p->next) {
        bool any = false;
        for (const struct chat_part *c = p->content; c; c = c->next) any |= c->kind != CHAT_TEXT;
        if (!any) continue;
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("type"), SPAN("text"));
        json_out_key(w->o, SPAN("text"));
        json_out_open(w->o);
        json_out_piece(w->o, SPAN("Attached to the result of tool call "));
        json_out_piece(w->o, p->id);
        json_out_piece(w->o, SPAN(":"));
        json_out_close(w->o);
        json_out_end(w->o);
        RW_TRY(write_parts(w, p->content, true));
    }
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_message(struct request_writer *w, const struct chat_message *m)
{
    static const struct span roles[] = {SPAN_INIT("system"), SPAN_INIT("developer"), SPAN_INIT("user"),
                                        SPAN_INIT("assistant")};
    if (m->role == CHAT_TOOL) return write_results(w, m);
    if (!w->own)
        for (const struct chat_extra *x = m->extra; x; x = x->next) RW_TRY(chat_drop(w->ctx, x->name));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), roles[m->role]);
    if (m->name.n) json_out_key_string(w->o, SPAN("name"), m->name);
    if (m->role == CHAT_ASSISTANT) RW_TRY(write_assistant(w, m));
    else RW_TRY(write_content(w, m->parts));
    // The model goes on with what the assistant is made to have begun.
    const bool begun = w->mistral && m->role == CHAT_ASSISTANT && !m->next;
    if (begun && !chat_has(chat_extra_find(m->extra, SPAN("prefix"))))
        json_out_key_bool(w->o, SPAN("prefix"), true);
    if (w->own) chat_extra_write(w->o, m->extra);
    json_out_end(w->o);
    return RW_OK;
}

// --- Tools.

static enum rw_err write_tool(struct request_writer *w, const struct chat_tool *t)
{
    if (t->kind != CHAT_FUNCTION) {
        if (!w->own)
            return chat_refuse(w->ctx, SPAN("tools"),
                               SPAN("The model that was asked cannot run this kind of tool."));
        json_out_raw(w->o, t->raw);
        return RW_OK;
    }
    if (t->cache && !w->own) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    if (!w->own)
        for (const struct chat_extra *x = t->extra; x; x = x->next) RW_TRY(chat_drop(w->ctx, x->name));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("function"));
    json_out_key_object(w->o, SPAN("function"));
    json_out_key_string(w->o, SPAN("name"), t->name);
    if (chat_has(t->description)) json_out_key_string(w->o, SPAN("description"), t->description);
    if (chat_has(t->schema)) json_out_key_raw(w->o, SPAN("parameters"), t->schema);
    if (t->strict) json_out_key_bool(w->o, SPAN("strict"), t->strict == CHAT_YES);
    if (w->own) chat_extra_write(w->o, t->extra);
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

static void write_named(struct json_out *o, struct span name)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_object(o, SPAN("function"));
    json_out_key_string(o, SPAN("name"), name);
    json_out_end(o);
    json_out_end(o);
}

static void write_choice(struct request_writer *w, const struct chat_tool_choice *c)
{
    static const struct span words[] = {
        [CHAT_CHOICE_AUTO] = SPAN_INIT("auto"),
        [CHAT_CHOICE_NONE] = SPAN_INIT("none"),
        [CHAT_CHOICE_REQUIRED] = SPAN_INIT("required"),
    };
    const bool any = w->mistral && c->kind == CHAT_CHOICE_REQUIRED;
    json_out_key(w->o, SPAN("tool_choice"));
    switch (c->kind) {
    case CHAT_CHOICE_NAMED: write_named(w->o, c->name); return;
    case CHAT_CHOICE_RAW: json_out_raw(w->o, c->raw); return;
    case CHAT_CHOICE_ALLOWED:
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("type"), SPAN("allowed_tools"));
        json_out_key_object(w->o, SPAN("allowed_tools"));
        json_out_key_string(w->o, SPAN("mode"), c->allowed_required ? SPAN("required") : SPAN("auto"));
        json_out_key_array(w->o, SPAN("tools"));
        for (const struct chat_name *a = c->allowed; a; a = a->next) write_named(w->o, a->name);
        json_out_end(w->o);
        json_out_end(w->o);
        json_out_end(w->o);
        return;
    default: json_out_string(w->o, any ? SPAN("any") : words[c->kind]);
    }
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    if (!rq->tools) return RW_OK;
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next) RW_TRY(write_tool(w, t));
    json_out_end(w->o);
    if (rq->tool_choice.kind == CHAT_CHOICE_RAW && !w->own)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    if (rq->tool_choice.kind) write_choice(w, &rq->tool_choice);
    if (rq->parallel_tools)
        json_out_key_bool(w->o, SPAN("parallel_tool_calls"), rq->parallel_tools == CHAT_YES);
    return RW_OK;
}

// --- The rest.

static void write_format(struct json_out *o, const struct chat_format *f)
{
    static const struct span types[] = {
        [CHAT_FORMAT_TEXT] = SPAN_INIT("text"),
        [CHAT_FORMAT_JSON] = SPAN_INIT("json_object"),
        [CHAT_FORMAT_SCHEMA] = SPAN_INIT("json_schema"),
    };
    if (f->kind == CHAT_FORMAT_UNSAID) return;
    json_out_key_object(o, SPAN("response_format"));
    json_out_key_string(o, SPAN("type"), types[f->kind]);
    if (f->kind == CHAT_FORMAT_SCHEMA) {
        json_out_key_object(o, SPAN("json_schema"));
        json_out_key_string(o, SPAN("name"), f->name.n ? f->name : SPAN("output"));
        if (chat_has(f->description)) json_out_key_string(o, SPAN("description"), f->description);
        if (chat_has(f->schema)) json_out_key_raw(o, SPAN("schema"), f->schema);
        if (f->strict) json_out_key_bool(o, SPAN("strict"), f->strict == CHAT_YES);
        json_out_end(o);
    }
    json_out_end(o);
}

static enum rw_err write_numbers(struct request_writer *w, const struct dialect_target *target)
{
    const struct chat_request *rq = w->rq;
    const struct {
        struct span name, value;
    } list[] = {
        {target->max_tokens_old || w->mistral ? SPAN("max_tokens") : SPAN("max_completion_tokens"),
         rq->max_tokens},
        {SPAN("temperature"), rq->temperature},
        {SPAN("top_p"), rq->top_p},
        {SPAN("n"), rq->n},
        {SPAN("presence_penalty"), rq->presence_penalty},
        {SPAN("frequency_penalty"), rq->frequency_penalty},
        {SPAN("top_logprobs"), rq->top_logprobs},
        {w->mistral ? SPAN("random_seed") : SPAN("seed"), rq->seed},
    };
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++)
        if (chat_has(list[i].value)) json_out_key_raw(w->o, list[i].name, list[i].value);
    if (rq->logprobs) json_out_key_bool(w->o, SPAN("logprobs"), true);
    if (!chat_has(rq->top_k)) return RW_OK;
    if (!w->own) return chat_drop(w->ctx, SPAN("top_k"));
    json_out_key_raw(w->o, SPAN("top_k"), rq->top_k);
    return RW_OK;
}

static enum rw_err write_stop(struct request_writer *w)
{
    uint32_t n = 0;
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) n++;
    if (n == 0) return RW_OK;
    if (n > STOPS_MAX && !w->own)
        return chat_refuse(w->ctx, SPAN("stop_sequences"), SPAN("The model that was asked takes at most 4."));
    json_out_key_array(w->o, SPAN("stop"));
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) json_out_string(w->o, s->name);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_tier(struct request_writer *w)
{
    const struct span tier = w->rq->service_tier;
    if (!tier.n) return RW_OK;
    const bool known =
        span_eq(tier, SPAN("auto")) || span_eq(tier, SPAN("flex")) || span_eq(tier, SPAN("priority"));
    if (w->own || known) json_out_key_string(w->o, SPAN("service_tier"), tier);
    else RW_TRY(chat_drop(w->ctx, SPAN("service_tier")));
    return RW_OK;
}

static void write_effort(struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    enum chat_effort effort = t->effort;
    if (!effort && t->mode == CHAT_THINK_BUDGET) effort = chat_effort_of_budget(t->budget);
    if (effort) json_out_key_string(w->o, SPAN("reasoning_effort"), chat_effort_names[effort]);
}

enum rw_err chat_openai_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o)
{
    return chat_openai_request_write_as(ctx, rq, target, false, o);
}

enum rw_err chat_openai_request_write_as(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target, bool mistral,
                                         struct json_out *o)
{
    static const struct dialect_verdict refused[] = {{SPAN_INIT("mcp_servers"), true, true}};
    struct request_writer w = {.ctx = ctx, .rq = rq, .o = o, .mistral = mistral};
    w.own = mistral || rq->dialect->family == DIALECT_OPENAI;
    json_out_object(o);
    json_out_key_string(o, SPAN("model"), target->model);
    json_out_key_array(o, SPAN("messages"));
    for (const struct chat_message *m = rq->messages; m; m = m->next) RW_TRY(write_message(&w, m));
    json_out_end(o);
    RW_TRY(write_tools(&w));
    RW_TRY(write_numbers(&w, target));
    RW_TRY(write_stop(&w));
    write_format(o, &rq->format);
    write_effort(&w);
    if (chat_has(rq->user)) json_out_key_string(o, SPAN("user"), rq->user);
    RW_TRY(write_tier(&w));
    if (rq->cache && !w.own) RW_TRY(chat_drop(ctx, SPAN("cache_control")));
    if (rq->stream) {
        json_out_key_bool(o, SPAN("stream"), true);
        if (!mistral) json_out_key_raw(o, SPAN("stream_options"), SPAN("{\"include_usage\":true}"));
    }
    if (w.own) chat_extra_write(o, rq->extra);
    else RW_TRY(chat_extra_lose(ctx, rq->extra, refused, 1));
    json_out_end(o);
    return json_out_done(o);
}
