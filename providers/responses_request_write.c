// See dialect.h: the neutral model as a request in OpenAI's responses dialect. What came in this dialect leaves item by item as
// it was; of others nothing is kept at the provider (store: false).
#include "providers/responses_priv.h"

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    struct json_out *o;
    bool own;
};

// --- Parts.

static void write_text(struct json_out *o, struct span type, struct span key, struct span text)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), type);
    json_out_key_string(o, key, text);
    json_out_end(o);
}

static enum rw_err lose_of_part(struct request_writer *w, const struct chat_part *p)
{
    if (p->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    return chat_extra_lose(w->ctx, p->extra, NULL, 0);
}

static enum rw_err write_image(struct request_writer *w, const struct chat_part *p)
{
    const bool url = p->media.source == CHAT_URL && span_starts(p->media.data, SPAN("http"));
    if (!url && p->media.source != CHAT_DATA)
        return chat_refuse(w->ctx, SPAN("messages.content.source"),
                           SPAN("The model that was asked takes images as data or by an https URL."));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("input_image"));
    json_out_key_string(w->o, SPAN("detail"), p->media.detail.n ? p->media.detail : SPAN("auto"));
    json_out_key(w->o, SPAN("image_url"));
    chat_media_write_url(w->o, &p->media);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts,
                               bool said) RW_WARN_UNUSED;

static enum rw_err write_document(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    if (m->context.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.context")));
    if (p->cited == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.citations")));
    if (m->source == CHAT_BLOCKS) return write_parts(w, p->content, false);
    if (m->source == CHAT_PLAIN) {
        write_text(w->o, SPAN("input_text"), SPAN("text"), m->data);
        return RW_OK;
    }
    if (m->source == CHAT_FILE_ID)
        return chat_refuse(w->ctx, SPAN("messages.content.file_id"),
                           SPAN("A file id is known to the provider that made it only."));
    if (m->source == CHAT_URL && !span_starts(m->data, SPAN("http")))
        return chat_refuse(w->ctx, SPAN("messages.content.source"),
                           SPAN("The model that was asked takes files as data or by an https URL."));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("input_file"));
    if (m->source == CHAT_URL) {
        json_out_key_string(w->o, SPAN("file_url"), m->data);
    } else {
        json_out_key_string(w->o, SPAN("filename"), m->name.n ? m->name : SPAN("document.pdf"));
        json_out_key(w->o, SPAN("file_data"));
        chat_media_write_url(w->o, m);
    }
    json_out_end(w->o);
    return RW_OK;
}

// said: by the assistant.
static enum rw_err write_part(struct request_writer *w, const struct chat_part *p, bool said)
{
    RW_TRY(lose_of_part(w, p));
    switch (p->kind) {
    case CHAT_TEXT:
        write_text(w->o, said ? SPAN("output_text") : SPAN("input_text"), SPAN("text"), p->text);
        return RW_OK;
    case CHAT_REFUSAL:
        write_text(w->o, said ? SPAN("refusal") : SPAN("input_text"), said ? SPAN("refusal") : SPAN("text"),
                   p->text);
        return RW_OK;
    case CHAT_IMAGE: return write_image(w, p);
    case CHAT_DOCUMENT: return write_document(w, p);
    case CHAT_RAW:
        return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
    default:
        return chat_refuse(w->ctx, SPAN("messages.content.input_audio"),
                           SPAN("The model that was asked takes no sound or video."));
    }
}

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts, bool said)
{
    for (const struct chat_part *p = parts; p; p = p->next) RW_TRY(write_part(w, p, said));
    return RW_OK;
}

// --- Items.

static bool is_said(const struct chat_part *p)
{
    return p->kind != CHAT_TOOL_CALL && p->kind != CHAT_THINKING && p->kind != CHAT_REDACTED;
}

// A text alone is a string.
static enum rw_err write_message(struct request_writer *w, struct span role, const struct chat_part *first,
                                 const struct chat_part *end, bool said)
{
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), role);
    json_out_key(w->o, SPAN("content"));
    if (first && first->next == end && first->kind == CHAT_TEXT) {
        RW_TRY(lose_of_part(w, first));
        json_out_string(w->o, first->text);
    } else {
        json_out_array(w->o);
        for (const struct chat_part *p = first; p != end; p = p->next) RW_TRY(write_part(w, p, said));
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_assistant(struct request_writer *w, const struct chat_message *m)
{
    for (const struct chat_part *p = m->parts; p;) {
        if (p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED) {
            RW_TRY(chat_drop(w->ctx, SPAN("messages.content.thinking")));
            p = p->next;
        } else if (p->kind == CHAT_TOOL_CALL) {
            RW_TRY(lose_of_part(w, p));
            json_out_object(w->o);
            json_out_key_string(w->o, SPAN("type"), SPAN("function_call"));
            json_out_key_string(w->o, SPAN("call_id"), p->id);
            json_out_key_string(w->o, SPAN("name"), p->name);
            json_out_key_string(w->o, SPAN("arguments"),
                                p->arguments.n ? chat_compact(w->ctx, p->arguments) : SPAN("{}"));
            json_out_end(w->o);
            p = p->next;
        } else {
            const struct chat_part *end = p;
            while (end && is_said(end)) end = end->next;
            RW_TRY(write_message(w, SPAN("assistant"), p, end, true));
            p = end;
        }
    }
    return RW_OK;
}

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p)
{
    bool plain = true;
    for (const struct chat_part *c = p->content; c; c = c->next) plain &= c->kind == CHAT_TEXT;
    RW_TRY(lose_of_part(w, p));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("function_call_output"));
    json_out_key_string(w->o, SPAN("call_id"), p->id);
    json_out_key(w->o, SPAN("output"));
    if (plain) {
        json_out_open(w->o);
        if (p->failed) json_out_piece(w->o, SPAN("Error: "));
        for (const struct chat_part *c = p->content; c; c = c->next) json_out_piece(w->o, c->text);
        json_out_close(w->o);
    } else {
        json_out_array(w->o);
        if (p->failed) write_text(w->o, SPAN("input_text"), SPAN("text"), SPAN("Error: "));
        RW_TRY(write_parts(w, p->content, false));
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static bool is_instructions(const struct chat_message *m)
{
    return m->index == UINT32_MAX && m->parts && !m->parts->next && m->parts->kind == CHAT_TEXT;
}

static enum rw_err write_items(struct request_writer *w, const struct chat_message *m)
{
    static const struct span roles[] = {SPAN_INIT("system"), SPAN_INIT("developer"), SPAN_INIT("user")};
    if (m->name.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.name")));
    RW_TRY(chat_extra_lose(w->ctx, m->extra, NULL, 0));
    if (m->role == CHAT_ASSISTANT) return write_assistant(w, m);
    if (m->role != CHAT_TOOL) return write_message(w, roles[m->role], m->parts, NULL, false);
    for (const struct chat_part *p = m->parts; p; p = p->next) RW_TRY(write_result(w, p));
    return RW_OK;
}

static enum rw_err write_input(struct request_writer *w)
{
    const struct chat_message *first = w->rq->messages;
    if (first && is_instructions(first)) {
        json_out_key_string(w->o, SPAN("instructions"), first->parts->text);
        first = first->next;
    }
    if (w->own && first && first->parts && json_type(first->parts->raw) == JSON_STRING) {
        json_out_key_raw(w->o, SPAN("input"), first->parts->raw);
        return RW_OK;
    }
    json_out_key_array(w->o, SPAN("input"));
    for (const struct chat_message *m = first; m; m = m->next) {
        if (!w->own) {
            RW_TRY(write_items(w, m));
            continue;
        }
        for (const struct chat_part *p = m->parts; p; p = p->next)
            if (chat_has(p->raw)) json_out_raw(w->o, p->raw);
    }
    json_out_end(w->o);
    return RW_OK;
}

// --- Tools. Also repeated in answers.

void chat_responses_tool_write(const struct chat_tool *t, struct json_out *o)
{
    if (t->kind != CHAT_FUNCTION) {
        json_out_raw(o, t->raw);
        return;
    }
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_string(o, SPAN("name"), t->name);
    if (chat_has(t->description)) json_out_key_string(o, SPAN("description"), t->description);
    json_out_key_raw(o, SPAN("parameters"), chat_has(t->schema) ? t->schema : SPAN("null"));
    json_out_key_raw(o, SPAN("strict"),
                     t->strict == CHAT_YES      ? SPAN("true")
                         : t->strict == CHAT_NO ? SPAN("false")
                                                : SPAN("null"));
    chat_extra_write(o, t->extra);
    json_out_end(o);
}

static void write_named(struct json_out *o, struct span name)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("function"));
    json_out_key_string(o, SPAN("name"), name);
    json_out_end(o);
}

void chat_responses_choice_write(const struct chat_tool_choice *c, struct json_out *o)
{
    switch (c->kind) {
    case CHAT_CHOICE_NONE: json_out_string(o, SPAN("none")); return;
    case CHAT_CHOICE_REQUIRED: json_out_string(o, SPAN("required")); return;
    case CHAT_CHOICE_NAMED: write_named(o, c->name); return;
    case CHAT_CHOICE_RAW: json_out_raw(o, c->raw); return;
    case CHAT_CHOICE_ALLOWED:
        json_out_object(o);
        json_out_key_string(o, SPAN("type"), SPAN("allowed_tools"));
        json_out_key_string(o, SPAN("mode"), c->allowed_required ? SPAN("required") : SPAN("auto"));
        json_out_key_array(o, SPAN("tools"));
        for (const struct chat_name *a = c->allowed; a; a = a->next) write_named(o, a->name);
        json_out_end(o);
        json_out_end(o);
        return;
    default: json_out_string(o, SPAN("auto"));
    }
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    if (!rq->tools) return RW_OK;
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next) {
        struct chat_tool copy = *t;
        if (!w->own && t->kind != CHAT_FUNCTION)
            return chat_refuse(w->ctx, SPAN("tools"),
                               SPAN("The model that was asked cannot run this kind of tool."));
        if (!w->own) {
            if (t->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
            RW_TRY(chat_extra_lose(w->ctx, t->extra, NULL, 0));
            copy.extra = NULL;
            // What is not said is strict there, and a schema must be written for that.
            if (!t->strict) copy.strict = CHAT_NO;
        }
        chat_responses_tool_write(&copy, w->o);
    }
    json_out_end(w->o);
    if (!w->own && rq->tool_choice.kind == CHAT_CHOICE_RAW)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    if (rq->tool_choice.kind) {
        json_out_key(w->o, SPAN("tool_choice"));
        chat_responses_choice_write(&rq->tool_choice, w->o);
    }
    if (rq->parallel_tools)
        json_out_key_bool(w->o, SPAN("parallel_tool_calls"), rq->parallel_tools == CHAT_YES);
    return RW_OK;
}

// --- The rest.

void chat_responses_format_write(const struct chat_format *f, struct json_out *o)
{
    json_out_object(o);
    if (f->kind == CHAT_FORMAT_SCHEMA) {
        json_out_key_string(o, SPAN("type"), SPAN("json_schema"));
        json_out_key_string(o, SPAN("name"), f->name.n ? f->name : SPAN("output"));
        if (chat_has(f->description)) json_out_key_string(o, SPAN("description"), f->description);
        json_out_key_raw(o, SPAN("schema"), chat_has(f->schema) ? f->schema : SPAN("{}"));
        if (f->strict) json_out_key_bool(o, SPAN("strict"), f->strict == CHAT_YES);
    } else {
        json_out_key_string(o, SPAN("type"),
                            f->kind == CHAT_FORMAT_JSON ? SPAN("json_object") : SPAN("text"));
    }
    json_out_end(o);
}

static void write_text_options(struct request_writer *w)
{
    const struct span verbosity = chat_extra_find(w->rq->extra, SPAN("verbosity"));
    const bool format = w->rq->format.kind != CHAT_FORMAT_UNSAID;
    if (!format && !chat_has(verbosity)) return;
    json_out_key_object(w->o, SPAN("text"));
    if (format) {
        json_out_key(w->o, SPAN("format"));
        chat_responses_format_write(&w->rq->format, w->o);
    }
    if (chat_has(verbosity)) json_out_key_raw(w->o, SPAN("verbosity"), verbosity);
    json_out_end(w->o);
}

static void write_reasoning(struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    enum chat_effort effort = t->effort;
    if (!effort && t->mode == CHAT_THINK_BUDGET) effort = chat_effort_of_budget(t->budget);
    if (!effort && !(w->own && t->display.n)) return;
    json_out_key_object(w->o, SPAN("reasoning"));
    if (effort) json_out_key_string(w->o, SPAN("effort"), chat_effort_names[effort]);
    if (w->own && t->display.n) json_out_key_string(w->o, SPAN("summary"), t->display);
    else if (t->show == CHAT_YES) json_out_key_string(w->o, SPAN("summary"), SPAN("auto"));
    json_out_end(w->o);
}

static bool is_zero(struct span number)
{
    double v;
    return json_double(number, &v) && v >= 0 && v <= 0;
}

static enum rw_err lose(struct request_writer *w)
{
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true},
                                                   {SPAN_INIT("mcp_servers"), true, true},
                                                   {SPAN_INIT("web_search_options"), true, false}};
    static const struct span kept[] = {SPAN_INIT("metadata"), SPAN_INIT("safety_identifier"),
                                       SPAN_INIT("prompt_cache_key"), SPAN_INIT("verbosity")};
    const struct chat_request *rq = w->rq;
    struct chat_request choices = *rq;
    choices.logprobs = false; // it has those
    choices.top_logprobs = (struct span){NULL, 0};
    RW_TRY(chat_refuse_choices(w->ctx, &choices));
    if (rq->stop)
        RW_TRY(chat_refuse_soft(w->ctx, SPAN("stop"),
                                SPAN("The model that was asked knows no stop sequences.")));
    if (chat_has(rq->top_k)) RW_TRY(chat_drop(w->ctx, SPAN("top_k")));
    if (chat_has(rq->seed)) RW_TRY(chat_drop(w->ctx, SPAN("seed")));
    if (chat_has(rq->presence_penalty) && !is_zero(rq->presence_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("presence_penalty")));
    if (chat_has(rq->frequency_penalty) && !is_zero(rq->frequency_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("frequency_penalty")));
    if (rq->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    RW_TRY(chat_extra_lose(w->ctx, rq->config_extra, NULL, 0));
    const bool openai = rq->dialect->family == DIALECT_OPENAI;
    for (const struct chat_extra *x = rq->extra; x; x = x->next) {
        const struct chat_extra one = {.name = x->name, .value = x->value};
        uint32_t i = 0;
        while (i < 4 && !span_eq(kept[i], x->name)) i++;
        if (openai && i < 4) {
            if (i < 3) chat_extra_write(w->o, &one);
        } else if (!chat_modalities_text(x)) {
            RW_TRY(chat_extra_lose(w->ctx, &one, table, 4));
        }
    }
    return RW_OK;
}

static enum rw_err write_tier(struct request_writer *w)
{
    const struct span tier = w->rq->service_tier;
    if (!tier.n) return RW_OK;
    const bool known = w->own || w->rq->dialect->family == DIALECT_OPENAI;
    if (!known) return chat_drop(w->ctx, SPAN("service_tier"));
    json_out_key_string(w->o, SPAN("service_tier"), tier);
    return RW_OK;
}

enum rw_err chat_responses_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target, struct json_out *o)
{
    struct request_writer w = {.ctx = ctx, .rq = rq, .o = o};
    w.own = rq->dialect->family == DIALECT_RESPONSES;
    json_out_object(o);
    json_out_key_string(o, SPAN("model"), target->model);
    RW_TRY(write_input(&w));
    RW_TRY(write_tools(&w));
    if (chat_has(rq->max_tokens)) json_out_key_raw(o, SPAN("max_output_tokens"), rq->max_tokens);
    if (chat_has(rq->temperature)) json_out_key_raw(o, SPAN("temperature"), rq->temperature);
    if (chat_has(rq->top_p)) json_out_key_raw(o, SPAN("top_p"), rq->top_p);
    if (chat_has(rq->top_logprobs)) json_out_key_raw(o, SPAN("top_logprobs"), rq->top_logprobs);
    if (rq->logprobs) json_out_key_raw(o, SPAN("include"), SPAN("[\"message.output_text.logprobs\"]"));
    write_text_options(&w);
    write_reasoning(&w);
    if (chat_has(rq->user)) json_out_key_string(o, SPAN("user"), rq->user);
    RW_TRY(write_tier(&w));
    if (w.own) {
        for (const struct chat_extra *x = rq->extra; x; x = x->next) {
            const struct chat_extra one = {.name = x->name, .value = x->value};
            if (!span_eq(x->name, SPAN("verbosity")) && !span_eq(x->name, SPAN("include")))
                chat_extra_write(o, &one);
        }
    } else {
        RW_TRY(lose(&w));
        json_out_key_bool(o, SPAN("store"), false);
    }
    if (rq->stream) json_out_key_bool(o, SPAN("stream"), true);
    json_out_end(o);
    return json_out_done(o);
}
