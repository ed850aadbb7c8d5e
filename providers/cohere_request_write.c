// See dialect.h: the neutral model as a request in Cohere's dialect (v2). It knows less of tools than others: no named one, no
// schema together with them; what was said before a call goes into its plan.
#include "providers/cohere_priv.h"

#include "providers/openai_priv.h"

#define STOPS_MAX 5
#define TOP_K_MAX 500

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    const struct dialect_target *target;
    struct json_out *o;
    bool own;
};

// --- Parts.

static enum rw_err lose_of_part(struct request_writer *w, const struct chat_part *p)
{
    if (w->own) return RW_OK;
    if (p->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    return chat_extra_lose(w->ctx, p->extra, NULL, 0);
}

static void write_text(struct json_out *o, struct span text)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("text"));
    json_out_key_string(o, SPAN("text"), text);
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
    return RW_OK;
}

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts,
                               bool results) RW_WARN_UNUSED;

static enum rw_err write_document(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    struct span text = m->data;
    if (m->context.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.context")));
    if (p->cited == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.citations")));
    if (m->source == CHAT_FILE_ID)
        return chat_refuse(w->ctx, SPAN("messages.content.file_id"),
                           SPAN("A file id is known to the provider that made it only."));
    const bool coded = m->source == CHAT_DATA && span_starts(m->type, SPAN("text/"));
    if (m->source != CHAT_PLAIN && !coded)
        return chat_refuse(w->ctx, SPAN("messages.content.file"),
                           SPAN("The model that was asked takes documents as text only."));
    if (coded) RW_TRY(chat_base64_decode(w->ctx, m->data, &text));
    write_text(w->o, text);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_part(struct request_writer *w, const struct chat_part *p)
{
    RW_TRY(lose_of_part(w, p));
    switch (p->kind) {
    case CHAT_TEXT:
    case CHAT_REFUSAL: write_text(w->o, p->text); break;
    case CHAT_IMAGE: RW_TRY(write_image(w, p)); break;
    case CHAT_DOCUMENT:
        if (w->own && span_eq(p->name, COHERE_BESIDE)) return RW_OK; // stands beside the messages
        return p->media.source == CHAT_BLOCKS ? write_parts(w, p->content, false) : write_document(w, p);
    case CHAT_RAW:
        if (!w->own)
            return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
        json_out_raw(w->o, p->raw);
        return RW_OK;
    default:
        return chat_refuse(w->ctx, SPAN("messages.content.input_audio"),
                           SPAN("The model that was asked takes no sound or video."));
    }
    if (w->own) chat_extra_write(w->o, p->extra);
    json_out_end(w->o);
    return RW_OK;
}

// `results`: what a tool gave and its message cannot hold, else everything.
static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts, bool results)
{
    for (const struct chat_part *p = parts; p; p = p->next)
        if (!results || p->kind != CHAT_TEXT) RW_TRY(write_part(w, p));
    return RW_OK;
}

static enum rw_err write_content(struct request_writer *w, const struct chat_part *parts)
{
    const struct chat_part *first = parts;
    while (w->own && first && span_eq(first->name, COHERE_BESIDE)) first = first->next;
    json_out_key(w->o, SPAN("content"));
    if (first && !first->next && first->kind == CHAT_TEXT && !(w->own && first->extra)) {
        RW_TRY(lose_of_part(w, first));
        json_out_string(w->o, first->text);
        return RW_OK;
    }
    json_out_array(w->o);
    RW_TRY(write_parts(w, first, false));
    json_out_end(w->o);
    return RW_OK;
}

// --- What the assistant said.

static void write_joined(struct json_out *o, struct span key, const struct chat_part *parts, bool plan)
{
    json_out_key(o, key);
    json_out_open(o);
    for (const struct chat_part *p = parts; p; p = p->next)
        if ((p->kind == CHAT_TEXT || p->kind == CHAT_REFUSAL) && (!plan || span_eq(p->name, COHERE_PLAN)))
            json_out_piece(o, p->text);
    json_out_close(o);
}

static void write_thought(struct json_out *o, struct span text)
{
    json_out_object(o);
    json_out_key_string(o, SPAN("type"), SPAN("thinking"));
    json_out_key_string(o, SPAN("thinking"), text);
    json_out_end(o);
}

static void write_citations(struct json_out *o, const struct chat_part *parts)
{
    bool any = false;
    for (const struct chat_part *p = parts; p; p = p->next)
        for (const struct chat_citation *c = p->citations; c; c = c->next) {
            if (c->dialect != &dialect_cohere) continue;
            if (!any) json_out_key_array(o, SPAN("citations"));
            any = true;
            json_out_raw(o, c->raw);
        }
    if (any) json_out_end(o);
}

// Which of these parts go into content: not the plan, and beside calls nothing but what the same dialect had there.
static bool in_content(const struct chat_part *p, bool own, bool calls)
{
    if (p->kind == CHAT_THINKING) return p->text.n > 0;
    if (p->kind != CHAT_TEXT && p->kind != CHAT_REFUSAL) return false;
    return own ? !span_eq(p->name, COHERE_PLAN) : !calls && p->text.n > 0;
}

enum rw_err chat_cohere_said_write(struct chat_ctx *ctx, const struct chat_part *parts, bool own, bool answer,
                                   struct json_out *o)
{
    bool calls = false, texts = false, content = false;
    for (const struct chat_part *p = parts; p; p = p->next) calls |= p->kind == CHAT_TOOL_CALL;
    for (const struct chat_part *p = parts; p; p = p->next) {
        texts |= own ? span_eq(p->name, COHERE_PLAN) : calls && p->text.n && p->kind != CHAT_THINKING;
        content |= in_content(p, own, calls);
    }
    // A whole answer without anything has an empty text: clients read content[0].
    if (content || (answer && !calls)) {
        json_out_key_array(o, SPAN("content"));
        for (const struct chat_part *p = parts; p; p = p->next) {
            if (!in_content(p, own, calls)) continue;
            if (p->kind == CHAT_THINKING) {
                write_thought(o, p->text);
                continue;
            }
            write_text(o, p->text);
            if (own) chat_extra_write(o, p->extra);
            json_out_end(o);
        }
        if (!content) {
            write_text(o, SPAN(""));
            json_out_end(o);
        }
        json_out_end(o);
    }
    if (texts) write_joined(o, SPAN("tool_plan"), parts, own);
    if (own) write_citations(o, parts);
    if (!calls) return RW_OK;
    json_out_key_array(o, SPAN("tool_calls"));
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (p->kind != CHAT_TOOL_CALL) continue;
        struct chat_part call = *p;
        call.signature = (struct span){NULL, 0};
        chat_openai_call_write(ctx, &call, o);
        if (own) chat_extra_write(o, p->extra);
        json_out_end(o);
    }
    json_out_end(o);
    return RW_OK;
}

static enum rw_err write_assistant(struct request_writer *w, const struct chat_message *m)
{
    for (const struct chat_part *p = m->parts; p; p = p->next) {
        RW_TRY(lose_of_part(w, p));
        if (p->kind == CHAT_RAW)
            return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
        if (p->kind >= CHAT_IMAGE && p->kind <= CHAT_DOCUMENT)
            return chat_refuse(w->ctx, SPAN("messages.content"),
                               SPAN("The model that was asked takes attachments of the user's only."));
        // Another provider's thoughts are not taken back.
        if ((p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED) && !w->own)
            RW_TRY(chat_drop(w->ctx, SPAN("messages.content.thinking")));
    }
    struct chat_part *parts = NULL, **tail = &parts;
    for (const struct chat_part *p = m->parts; p; p = p->next) {
        if (p->kind == CHAT_REDACTED || (p->kind == CHAT_THINKING && !w->own)) continue;
        struct chat_part *copy = arena_alloc(w->ctx->arena, sizeof *copy);
        if (!copy) return RW_E_TOO_LARGE;
        *copy = *p;
        copy->next = NULL;
        chat_part_add(&tail, copy);
    }
    const bool plain =
        parts && !parts->next && parts->kind == CHAT_TEXT && !span_eq(parts->name, COHERE_PLAN);
    if (plain && !(w->own && (parts->extra || parts->citations))) {
        json_out_key_string(w->o, SPAN("content"), parts->text);
        return RW_OK;
    }
    return chat_cohere_said_write(w->ctx, parts, w->own, false, w->o);
}

// --- Results. Text only, so what else a tool gave follows as the user's.

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p, bool *ret_more)
{
    bool raw = false;
    for (const struct chat_part *c = p->content; c; c = c->next) {
        if (c->kind != CHAT_TEXT) *ret_more = true;
        raw |= w->own && chat_has(c->raw);
    }
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), SPAN("tool"));
    json_out_key_string(w->o, SPAN("tool_call_id"), p->id);
    json_out_key(w->o, SPAN("content"));
    if (raw) {
        json_out_array(w->o);
        for (const struct chat_part *c = p->content; c; c = c->next) {
            if (chat_has(c->raw)) json_out_raw(w->o, c->raw);
            else RW_TRY(write_part(w, c));
        }
        json_out_end(w->o);
    } else {
        json_out_open(w->o);
        if (p->failed) json_out_piece(w->o, SPAN("Error: "));
        for (const struct chat_part *c = p->content; c; c = c->next)
            if (c->kind == CHAT_TEXT) json_out_piece(w->o, c->text);
        json_out_close(w->o);
    }
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
        write_text(
            w->o,
            chat_concat(w->ctx,
                        (struct span[]){SPAN("Attached to the result of tool call "), p->id, SPAN(":")}, 3));
        json_out_end(w->o);
        RW_TRY(write_parts(w, p->content, true));
    }
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

// --- Messages.

static enum rw_err write_message(struct request_writer *w, const struct chat_message *m)
{
    static const struct span roles[] = {SPAN_INIT("system"), SPAN_INIT("system"), SPAN_INIT("user"),
                                        SPAN_INIT("assistant")};
    if (m->role == CHAT_TOOL) return write_results(w, m);
    if (m->name.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.name")));
    if (!w->own) RW_TRY(chat_extra_lose(w->ctx, m->extra, NULL, 0));
    if (m->role == CHAT_ASSISTANT && !m->parts) return RW_OK; // said nothing
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("role"), roles[m->role]);
    if (m->role == CHAT_ASSISTANT) RW_TRY(write_assistant(w, m));
    else RW_TRY(write_content(w, m->parts));
    if (w->own) chat_extra_write(w->o, m->extra);
    json_out_end(w->o);
    return RW_OK;
}

static void write_beside(struct request_writer *w)
{
    bool any = false;
    for (const struct chat_message *m = w->rq->messages; m; m = m->next)
        for (const struct chat_part *p = m->parts; p; p = p->next) {
            if (p->kind != CHAT_DOCUMENT || !span_eq(p->name, COHERE_BESIDE)) continue;
            if (!any) json_out_key_array(w->o, SPAN("documents"));
            any = true;
            json_out_raw(w->o, p->raw);
        }
    if (any) json_out_end(w->o);
}

// --- Tools.

static enum rw_err write_tool(struct request_writer *w, const struct chat_tool *t)
{
    if (t->kind != CHAT_FUNCTION)
        return chat_refuse(w->ctx, SPAN("tools"),
                           SPAN("The model that was asked cannot run this kind of tool."));
    if (t->cache && !w->own) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    if (t->strict == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("tools.strict")));
    if (!w->own) RW_TRY(chat_extra_lose(w->ctx, t->extra, NULL, 0));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("type"), SPAN("function"));
    json_out_key_object(w->o, SPAN("function"));
    json_out_key_string(w->o, SPAN("name"), t->name);
    if (chat_has(t->description)) json_out_key_string(w->o, SPAN("description"), t->description);
    json_out_key_raw(w->o, SPAN("parameters"),
                     chat_has(t->schema) ? t->schema : SPAN("{\"type\":\"object\",\"properties\":{}}"));
    if (w->own) chat_extra_write(w->o, t->extra);
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const struct chat_tool_choice *c = &rq->tool_choice;
    const bool named = c->kind == CHAT_CHOICE_NAMED;
    const bool required =
        named || c->kind == CHAT_CHOICE_REQUIRED || (c->kind == CHAT_CHOICE_ALLOWED && c->allowed_required);
    if (!rq->tools) return RW_OK;
    if (c->kind == CHAT_CHOICE_RAW)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next)
        if (named ? span_eq(t->name, c->name) : chat_tool_allowed(rq, t)) RW_TRY(write_tool(w, t));
    json_out_end(w->o);
    if (required) json_out_key_string(w->o, SPAN("tool_choice"), SPAN("REQUIRED"));
    if (c->kind == CHAT_CHOICE_NONE) json_out_key_string(w->o, SPAN("tool_choice"), SPAN("NONE"));
    return rq->parallel_tools == CHAT_NO ? chat_drop(w->ctx, SPAN("parallel_tool_calls")) : RW_OK;
}

static enum rw_err write_format(struct request_writer *w)
{
    const struct chat_format *f = &w->rq->format;
    const bool json = f->kind == CHAT_FORMAT_JSON || f->kind == CHAT_FORMAT_SCHEMA;
    if (f->kind == CHAT_FORMAT_UNSAID) return RW_OK;
    if (json && w->rq->tools && !w->own)
        return chat_refuse(w->ctx, SPAN("response_format"),
                           SPAN("The model that was asked gives JSON or calls tools, not both."));
    json_out_key_object(w->o, SPAN("response_format"));
    json_out_key_string(w->o, SPAN("type"), json ? SPAN("json_object") : SPAN("text"));
    if (f->kind == CHAT_FORMAT_SCHEMA && chat_has(f->schema))
        json_out_key_raw(w->o, SPAN("json_schema"), f->schema);
    json_out_end(w->o);
    return RW_OK;
}

// --- Thinking and sampling.

// Models from before there was reasoning; a name that is not known is taken for a new one.
static bool thinks(struct span model)
{
    static const struct span without[] = {SPAN_INIT("command-r"),
                                          SPAN_INIT("command-a-03"),
                                          SPAN_INIT("command-a-vision"),
                                          SPAN_INIT("command-a-translate"),
                                          SPAN_INIT("command-light"),
                                          SPAN_INIT("command-nightly"),
                                          SPAN_INIT("c4ai-")};
    for (uint32_t i = 0; i < sizeof without / sizeof *without; i++)
        if (span_starts(model, without[i])) return false;
    return true;
}

static int64_t budget_of(enum chat_effort effort)
{
    switch (effort) {
    case CHAT_EFFORT_MINIMAL: return 512;
    case CHAT_EFFORT_LOW: return 1024;
    case CHAT_EFFORT_MEDIUM: return 4096;
    case CHAT_EFFORT_HIGH: return 16384;
    default: return -1; // as much as the model has
    }
}

static enum rw_err write_thinking(struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    const bool off = t->mode == CHAT_THINK_OFF || t->effort == CHAT_EFFORT_NONE;
    if (!t->mode && !t->effort) return RW_OK;
    if (!w->own && !thinks(w->target->model))
        return off ? RW_OK : chat_drop(w->ctx, SPAN("reasoning_effort"));
    const int64_t budget = t->mode == CHAT_THINK_BUDGET ? t->budget : budget_of(t->effort);
    json_out_key_object(w->o, SPAN("thinking"));
    json_out_key_string(w->o, SPAN("type"), off ? SPAN("disabled") : SPAN("enabled"));
    if (!off && budget >= 0) json_out_key_u64(w->o, SPAN("token_budget"), (uint64_t)budget);
    json_out_end(w->o);
    return RW_OK;
}

static struct span at_least(struct span number, double low, struct span literal)
{
    double v;
    return chat_has(number) && json_double(number, &v) && v < low ? literal : number;
}

static bool is_zero(struct span number)
{
    double v;
    return json_double(number, &v) && v >= 0 && v <= 0;
}

static enum rw_err write_penalty(struct request_writer *w, struct span name, struct span value)
{
    double v;
    if (!chat_has(value)) return RW_OK;
    if (!w->own && json_double(value, &v) && v < 0) return chat_drop(w->ctx, name);
    if (!w->own && is_zero(value)) return RW_OK;
    json_out_key_raw(w->o, name, w->own ? value : chat_clamp(value, 1, SPAN("1")));
    return RW_OK;
}

static enum rw_err write_sampling(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const bool own = w->own;
    const struct {
        struct span name, value;
    } list[] = {
        {SPAN("max_tokens"), rq->max_tokens},
        {SPAN("temperature"), own ? rq->temperature : chat_clamp(rq->temperature, 1, SPAN("1"))},
        {SPAN("p"),
         own ? rq->top_p : at_least(chat_clamp(rq->top_p, 0.99, SPAN("0.99")), 0.01, SPAN("0.01"))},
        {SPAN("k"), own ? rq->top_k : chat_clamp(rq->top_k, TOP_K_MAX, SPAN("500"))},
        {SPAN("seed"), rq->seed},
    };
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++)
        if (chat_has(list[i].value)) json_out_key_raw(w->o, list[i].name, list[i].value);
    RW_TRY(write_penalty(w, SPAN("presence_penalty"), rq->presence_penalty));
    return write_penalty(w, SPAN("frequency_penalty"), rq->frequency_penalty);
}

static enum rw_err write_stop(struct request_writer *w)
{
    uint32_t n = 0;
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) n++;
    if (n == 0) return RW_OK;
    if (n > STOPS_MAX && !w->own)
        return chat_refuse(w->ctx, SPAN("stop_sequences"), SPAN("The model that was asked takes at most 5."));
    json_out_key_array(w->o, SPAN("stop_sequences"));
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) json_out_string(w->o, s->name);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err lose(struct request_writer *w)
{
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true},
                                                   {SPAN_INIT("mcp_servers"), true, true},
                                                   {SPAN_INIT("web_search_options"), true, false}};
    const struct chat_request *rq = w->rq;
    struct chat_request choices = *rq;
    choices.logprobs = false; // it has those, but of the token alone
    RW_TRY(chat_refuse_choices(w->ctx, &choices));
    if (rq->user.n) RW_TRY(chat_drop(w->ctx, SPAN("user")));
    if (rq->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    if (rq->service_tier.n) RW_TRY(chat_drop(w->ctx, SPAN("service_tier")));
    RW_TRY(chat_extra_lose(w->ctx, rq->config_extra, NULL, 0));
    for (const struct chat_extra *x = rq->extra; x; x = x->next) {
        const struct chat_extra one = {.name = x->name, .value = x->value};
        if (chat_modalities_text(x)) continue; // what it does anyway
        RW_TRY(chat_extra_lose(w->ctx, &one, table, 4));
    }
    return RW_OK;
}

enum rw_err chat_cohere_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o)
{
    struct request_writer w = {.ctx = ctx, .rq = rq, .target = target, .o = o};
    w.own = rq->dialect->family == DIALECT_COHERE;
    json_out_object(o);
    json_out_key_string(o, SPAN("model"), target->model);
    json_out_key_array(o, SPAN("messages"));
    for (const struct chat_message *m = rq->messages; m; m = m->next) RW_TRY(write_message(&w, m));
    json_out_end(o);
    if (w.own) write_beside(&w);
    RW_TRY(write_tools(&w));
    RW_TRY(write_format(&w));
    RW_TRY(write_thinking(&w));
    RW_TRY(write_sampling(&w));
    RW_TRY(write_stop(&w));
    if (rq->logprobs) json_out_key_bool(o, SPAN("logprobs"), true);
    if (w.own) chat_extra_write(o, rq->extra);
    else RW_TRY(lose(&w));
    if (rq->stream) json_out_key_bool(o, SPAN("stream"), true);
    json_out_end(o);
    return json_out_done(o);
}
