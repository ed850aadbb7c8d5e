// See dialect.h: the neutral model as a request in Bedrock's Converse dialect. What a model takes beside the dialect (thinking,
// top_k) depends on whose it is, which its id tells.
#include "providers/converse_priv.h"

#define VERSION_THINKS 307
#define VERSION_SAMPLES_ALONE 400 // temperature or top_p, not both
#define VERSION_SCHEMAS 405
#define VERSION_ADAPTS 406
#define THINKING_TOKENS_MIN 1024

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    const struct dialect_target *target;
    struct json_out *o;
    struct chat_turns turns;
    uint32_t claude; // its version; 0: another model
    bool nova, nova_2;
    bool forces; // takes a demand for a call
    bool own;
    bool json_tool; // structured output is asked for as a call
    bool no_calls; // tools stay because the history has calls, but none is wanted
    bool thinks;
};

// --- Blocks.

static enum rw_err refuse_type(struct request_writer *w, struct span name)
{
    return chat_refuse(w->ctx, name, SPAN("The model that was asked takes no attachment of this type."));
}

static bool format_of(enum chat_part_kind kind, struct span type, struct span *ret)
{
    static const struct {
        enum chat_part_kind kind;
        struct span type, format;
    } table[] = {{CHAT_IMAGE, SPAN_INIT("image/png"), SPAN_INIT("png")},
                 {CHAT_IMAGE, SPAN_INIT("image/jpeg"), SPAN_INIT("jpeg")},
                 {CHAT_IMAGE, SPAN_INIT("image/jpg"), SPAN_INIT("jpeg")},
                 {CHAT_IMAGE, SPAN_INIT("image/gif"), SPAN_INIT("gif")},
                 {CHAT_IMAGE, SPAN_INIT("image/webp"), SPAN_INIT("webp")},
                 {CHAT_DOCUMENT, SPAN_INIT("application/pdf"), SPAN_INIT("pdf")},
                 {CHAT_DOCUMENT, SPAN_INIT("text/plain"), SPAN_INIT("txt")},
                 {CHAT_DOCUMENT, SPAN_INIT("text/markdown"), SPAN_INIT("md")},
                 {CHAT_DOCUMENT, SPAN_INIT("text/html"), SPAN_INIT("html")},
                 {CHAT_DOCUMENT, SPAN_INIT("text/csv"), SPAN_INIT("csv")},
                 {CHAT_AUDIO, SPAN_INIT("audio/wav"), SPAN_INIT("wav")},
                 {CHAT_AUDIO, SPAN_INIT("audio/mp3"), SPAN_INIT("mp3")},
                 {CHAT_AUDIO, SPAN_INIT("audio/mpeg"), SPAN_INIT("mp3")},
                 {CHAT_VIDEO, SPAN_INIT("video/mp4"), SPAN_INIT("mp4")},
                 {CHAT_VIDEO, SPAN_INIT("video/webm"), SPAN_INIT("webm")}};
    for (uint32_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].kind != kind || !span_eq(table[i].type, type)) continue;
        *ret = table[i].format;
        return true;
    }
    return false;
}

// Letters, digits, single spaces and a few signs; anything else becomes '-'.
static struct span clean_name(struct chat_ctx *ctx, struct span name)
{
    uint8_t *out = arena_alloc(ctx->arena, name.n);
    if (!name.n || !out) return SPAN("document");
    for (uint32_t i = 0; i < name.n; i++) {
        const uint8_t c = name.p[i];
        const bool good = (uint8_t)(span_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '(' ||
            c == ')' || c == '[' || c == ']' || (c == ' ' && (i == 0 || out[i - 1] != ' '));
        out[i] = good ? c : '-';
    }
    return span_of(out, name.n);
}

static enum rw_err write_blocks(struct request_writer *w, const struct chat_part *parts) RW_WARN_UNUSED;

static enum rw_err write_media(struct request_writer *w, const struct chat_part *p, struct span key,
                               struct span field)
{
    const struct chat_media *m = &p->media;
    struct span format = SPAN("txt");
    const bool text = m->source == CHAT_PLAIN || m->source == CHAT_BLOCKS;
    if (m->detail.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.image_url.detail")));
    if (m->source == CHAT_FILE_ID)
        return chat_refuse(w->ctx, SPAN("messages.content.file_id"),
                           SPAN("A file id is known to the provider that made it only."));
    if (m->source == CHAT_URL)
        return chat_refuse(w->ctx, field, SPAN("The model that was asked takes attachments as data only."));
    if (!text && !format_of(p->kind, m->type, &format)) return refuse_type(w, field);
    json_out_key_object(w->o, key);
    json_out_key_string(w->o, SPAN("format"), format);
    if (p->kind == CHAT_DOCUMENT) json_out_key_string(w->o, SPAN("name"), clean_name(w->ctx, m->name));
    json_out_key_object(w->o, SPAN("source"));
    if (m->source == CHAT_PLAIN) {
        json_out_key_string(w->o, SPAN("text"), m->data);
    } else if (m->source == CHAT_BLOCKS) {
        json_out_key_array(w->o, SPAN("content"));
        RW_TRY(write_blocks(w, p->content));
        json_out_end(w->o);
    } else {
        json_out_key_string(w->o, SPAN("bytes"), m->data);
    }
    json_out_end(w->o);
    if (m->context.n) json_out_key_string(w->o, SPAN("context"), m->context);
    if (p->cited) {
        json_out_key_object(w->o, SPAN("citations"));
        json_out_key_bool(w->o, SPAN("enabled"), p->cited == CHAT_YES);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

// Letters, digits, '_' and '-'.
static struct span fit_id(struct chat_ctx *ctx, struct span id)
{
    uint8_t *out = arena_alloc(ctx->arena, id.n);
    if (!out) return id;
    for (uint32_t i = 0; i < id.n; i++) {
        const uint8_t c = id.p[i];
        const bool good =
            (uint8_t)(span_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '_' || c == '-';
        out[i] = good ? c : '_';
    }
    return span_of(out, id.n);
}

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p)
{
    json_out_key_object(w->o, SPAN("toolResult"));
    json_out_key_string(w->o, SPAN("toolUseId"), fit_id(w->ctx, p->id));
    json_out_key_array(w->o, SPAN("content"));
    RW_TRY(write_blocks(w, p->content));
    json_out_end(w->o);
    if (p->failed) json_out_key_string(w->o, SPAN("status"), SPAN("error"));
    json_out_end(w->o);
    return RW_OK;
}

static void write_thought(struct request_writer *w, const struct chat_part *p)
{
    json_out_key_object(w->o, SPAN("reasoningContent"));
    if (p->kind == CHAT_REDACTED) {
        json_out_key_string(w->o, SPAN("redactedContent"), p->signature);
    } else {
        json_out_key_object(w->o, SPAN("reasoningText"));
        json_out_key_string(w->o, SPAN("text"), p->text);
        json_out_key_string(w->o, SPAN("signature"), p->signature);
        json_out_end(w->o);
    }
    json_out_end(w->o);
}

static enum rw_err write_block(struct request_writer *w, const struct chat_part *p)
{
    switch (p->kind) {
    case CHAT_TEXT:
    case CHAT_REFUSAL: json_out_key_string(w->o, SPAN("text"), p->text); return RW_OK;
    case CHAT_IMAGE: return write_media(w, p, SPAN("image"), SPAN("messages.content.image_url"));
    case CHAT_AUDIO: return write_media(w, p, SPAN("audio"), SPAN("messages.content.input_audio"));
    case CHAT_VIDEO: return write_media(w, p, SPAN("video"), SPAN("messages.content.video"));
    case CHAT_DOCUMENT: return write_media(w, p, SPAN("document"), SPAN("messages.content.file"));
    case CHAT_TOOL_CALL:
        json_out_key_object(w->o, SPAN("toolUse"));
        json_out_key_string(w->o, SPAN("toolUseId"), fit_id(w->ctx, p->id));
        json_out_key_string(w->o, SPAN("name"), p->name);
        json_out_key_raw(w->o, SPAN("input"), p->arguments);
        json_out_end(w->o);
        return RW_OK;
    case CHAT_TOOL_RESULT: return write_result(w, p);
    case CHAT_THINKING:
    case CHAT_REDACTED: write_thought(w, p); return RW_OK;
    default: return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
    }
}

static void write_cache(struct request_writer *w, struct span ttl)
{
    json_out_object(w->o);
    json_out_key_object(w->o, SPAN("cachePoint"));
    json_out_key_string(w->o, SPAN("type"), SPAN("default"));
    if (ttl.n) json_out_key_string(w->o, SPAN("ttl"), ttl);
    json_out_end(w->o);
    json_out_end(w->o);
}

static enum rw_err write_blocks(struct request_writer *w, const struct chat_part *parts)
{
    for (const struct chat_part *p = parts; p; p = p->next) {
        // Thoughts without their proof are another provider's: they cannot be sent back.
        if (p->kind == CHAT_THINKING && !p->signature.n && !w->own) {
            RW_TRY(chat_drop(w->ctx, SPAN("messages.reasoning_content")));
            continue;
        }
        if (w->own && chat_has(p->raw)) {
            json_out_raw(w->o, p->raw);
        } else {
            json_out_object(w->o);
            RW_TRY(write_block(w, p));
            json_out_end(w->o);
        }
        if (p->cache) write_cache(w, p->cache_ttl);
        if (!w->own) RW_TRY(chat_extra_lose(w->ctx, p->extra, NULL, 0));
    }
    return RW_OK;
}

// --- System and messages.

static void write_line(struct request_writer *w, struct span text)
{
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("text"), text);
    json_out_end(w->o);
}

static enum rw_err write_system(struct request_writer *w)
{
    const bool json = w->rq->format.kind == CHAT_FORMAT_JSON && !w->own;
    if (!w->turns.system && !json && !w->no_calls) return RW_OK;
    json_out_key_array(w->o, SPAN("system"));
    RW_TRY(write_blocks(w, w->turns.system));
    if (json) write_line(w, SPAN("Answer with one JSON object only."));
    if (w->no_calls) write_line(w, SPAN("Do not call any tool."));
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_turns(struct request_writer *w)
{
    json_out_key_array(w->o, SPAN("messages"));
    for (const struct chat_turn *t = w->turns.turns; t; t = t->next) {
        bool document = false, text = false;
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("role"), t->assistant ? SPAN("assistant") : SPAN("user"));
        json_out_key_array(w->o, SPAN("content"));
        RW_TRY(write_blocks(w, t->parts));
        for (const struct chat_part *p = t->parts; p; p = p->next) {
            document |= p->kind == CHAT_DOCUMENT;
            text |= p->kind == CHAT_TEXT;
        }
        // A document is not taken without a text beside it.
        if (document && !text && !w->own) write_line(w, SPAN("."));
        json_out_end(w->o);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err lose_of_messages(struct request_writer *w)
{
    for (const struct chat_message *m = w->own ? NULL : w->rq->messages; m; m = m->next) {
        if (m->name.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.name")));
        RW_TRY(chat_extra_lose(w->ctx, m->extra, NULL, 0));
    }
    return RW_OK;
}

// --- Tools.

static void tool_open(struct request_writer *w, struct span name, struct span description, struct span schema)
{
    json_out_object(w->o);
    json_out_key_object(w->o, SPAN("toolSpec"));
    json_out_key_string(w->o, SPAN("name"), name);
    if (description.n) json_out_key_string(w->o, SPAN("description"), description);
    json_out_key_object(w->o, SPAN("inputSchema"));
    json_out_key_raw(w->o, SPAN("json"),
                     chat_has(schema) ? schema : SPAN("{\"type\":\"object\",\"properties\":{}}"));
    json_out_end(w->o);
}

static void tool_close(struct request_writer *w)
{
    json_out_end(w->o);
    json_out_end(w->o);
}

static enum rw_err write_tool(struct request_writer *w, const struct chat_tool *t)
{
    if (w->own) {
        json_out_raw(w->o, t->raw);
    } else {
        if (t->kind != CHAT_FUNCTION)
            return chat_refuse(w->ctx, SPAN("tools"),
                               SPAN("The model that was asked cannot run this kind of tool."));
        const bool strict = t->strict == CHAT_YES && w->claude >= VERSION_SCHEMAS;
        if (t->strict == CHAT_YES && !strict) RW_TRY(chat_drop(w->ctx, SPAN("tools.strict")));
        RW_TRY(chat_extra_lose(w->ctx, t->extra, NULL, 0));
        tool_open(w, t->name, t->description, t->schema);
        if (strict) json_out_key_bool(w->o, SPAN("strict"), true);
        tool_close(w);
    }
    if (t->cache) write_cache(w, t->cache_ttl);
    return RW_OK;
}

static const struct chat_part *first_call(const struct chat_turns *turns, struct span name)
{
    for (const struct chat_turn *t = turns->turns; t; t = t->next)
        for (const struct chat_part *p = t->parts; p; p = p->next)
            if (p->kind == CHAT_TOOL_CALL && span_eq(p->name, name)) return p;
    return NULL;
}

// A history of calls is not taken without their tools: each name once.
static void write_tools_of_history(struct request_writer *w)
{
    for (const struct chat_turn *t = w->turns.turns; t; t = t->next)
        for (const struct chat_part *p = t->parts; p; p = p->next) {
            if (p->kind != CHAT_TOOL_CALL || first_call(&w->turns, p->name) != p) continue;
            tool_open(w, p->name, (struct span){NULL, 0}, (struct span){NULL, 0});
            tool_close(w);
        }
}

static void write_choice(struct request_writer *w)
{
    const struct chat_tool_choice *c = &w->rq->tool_choice;
    struct span name = c->kind == CHAT_CHOICE_NAMED ? c->name : (struct span){NULL, 0};
    bool any = c->kind == CHAT_CHOICE_REQUIRED || (c->kind == CHAT_CHOICE_ALLOWED && c->allowed_required);
    if (w->json_tool && !name.n) {
        any = w->rq->tools != NULL;
        if (!any) name = CHAT_JSON_TOOL;
    }
    if (!any && !name.n && !(w->own && c->kind == CHAT_CHOICE_AUTO)) return;
    json_out_key_object(w->o, SPAN("toolChoice"));
    json_out_key_object(w->o, name.n ? SPAN("tool") : any ? SPAN("any") : SPAN("auto"));
    if (name.n) json_out_key_string(w->o, SPAN("name"), name);
    json_out_end(w->o);
    json_out_end(w->o);
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const enum chat_choice_kind kind = rq->tool_choice.kind;
    const bool forced = kind == CHAT_CHOICE_REQUIRED || kind == CHAT_CHOICE_NAMED ||
        (kind == CHAT_CHOICE_ALLOWED && rq->tool_choice.allowed_required);
    if (kind == CHAT_CHOICE_RAW)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    if (forced && !w->forces)
        RW_TRY(chat_refuse_soft(w->ctx, SPAN("tool_choice"),
                                SPAN("The model that was asked decides by itself whether to call a tool.")));
    if (rq->parallel_tools == CHAT_NO) RW_TRY(chat_drop(w->ctx, SPAN("parallel_tool_calls")));
    const bool none = kind == CHAT_CHOICE_NONE && !w->turns.tools;
    if ((!rq->tools || none) && !w->turns.tools && !w->json_tool) return RW_OK;
    json_out_key_object(w->o, SPAN("toolConfig"));
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next)
        if (chat_tool_allowed(rq, t)) RW_TRY(write_tool(w, t));
    if (!rq->tools) write_tools_of_history(w);
    if (w->json_tool) {
        tool_open(w, CHAT_JSON_TOOL, SPAN("Give the final answer by calling this tool."), rq->format.schema);
        tool_close(w);
    }
    json_out_end(w->o);
    if (!forced || w->forces) write_choice(w);
    json_out_end(w->o);
    return RW_OK;
}

// --- Sampling, thinking, output.

static bool is_one(struct span number)
{
    double v;
    return json_double(number, &v) && v >= 1 && v <= 1;
}

static bool is_zero(struct span number)
{
    double v;
    return json_double(number, &v) && v >= 0 && v <= 0;
}

static enum rw_err write_sampling(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const bool none = !w->own && (w->claude > VERSION_ADAPTS || w->thinks);
    const bool alone = !w->own && w->claude >= VERSION_SAMPLES_ALONE && chat_has(rq->temperature) && !none;
    if (chat_has(rq->temperature) && none && !is_one(rq->temperature))
        RW_TRY(chat_drop(w->ctx, SPAN("temperature")));
    if (chat_has(rq->temperature) && !none)
        json_out_key_raw(w->o, SPAN("temperature"),
                         w->own ? rq->temperature : chat_clamp(rq->temperature, 1, SPAN("1")));
    if (!chat_has(rq->top_p)) return RW_OK;
    if (!none && !alone) json_out_key_raw(w->o, SPAN("topP"), rq->top_p);
    else if (!is_one(rq->top_p)) return chat_drop(w->ctx, SPAN("top_p"));
    return RW_OK;
}

static void write_stop(struct request_writer *w)
{
    bool any = false;
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) {
        const struct span text = span_trim(s->name);
        if (!text.n || (text.n == 1 && text.p[0] < ' ')) continue; // blank ones are refused
        if (!any) json_out_key_array(w->o, SPAN("stopSequences"));
        any = true;
        json_out_string(w->o, s->name);
    }
    if (any) json_out_end(w->o);
}

static int64_t budget_of(const struct chat_thinking *t, enum chat_effort effort)
{
    if (t->mode == CHAT_THINK_BUDGET && t->budget >= THINKING_TOKENS_MIN) return t->budget;
    switch (effort) {
    case CHAT_EFFORT_MEDIUM: return 2048;
    case CHAT_EFFORT_HIGH: return 4096;
    case CHAT_EFFORT_XHIGH:
    case CHAT_EFFORT_MAX: return 16384;
    default: return THINKING_TOKENS_MIN;
    }
}

static enum chat_effort effort_of(const struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    if (t->mode == CHAT_THINK_OFF) return CHAT_EFFORT_UNSAID;
    enum chat_effort effort = t->effort;
    if (!effort && t->mode == CHAT_THINK_BUDGET) effort = chat_effort_of_budget(t->budget);
    return effort == CHAT_EFFORT_NONE ? CHAT_EFFORT_UNSAID : effort;
}

static enum rw_err write_config(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const bool any = chat_has(rq->max_tokens) || chat_has(rq->temperature) || chat_has(rq->top_p) ||
        rq->stop || (w->own && rq->config_extra);
    if (!any) return RW_OK;
    json_out_key_object(w->o, SPAN("inferenceConfig"));
    const int64_t max = chat_count(rq->max_tokens);
    const bool budgeted = w->thinks && w->claude && w->claude < VERSION_ADAPTS;
    const int64_t budget = budgeted ? budget_of(&rq->thinking, effort_of(w)) : 0;
    // The budget is a part of it.
    if (budgeted && max >= 0 && max <= budget)
        json_out_key_u64(w->o, SPAN("maxTokens"), (uint64_t)(max + budget));
    else if (chat_has(rq->max_tokens)) json_out_key_raw(w->o, SPAN("maxTokens"), rq->max_tokens);
    RW_TRY(write_sampling(w));
    write_stop(w);
    if (w->own) chat_extra_write(w->o, rq->config_extra);
    json_out_end(w->o);
    return RW_OK;
}

static void write_nova_effort(struct request_writer *w, enum chat_effort effort)
{
    const struct span word = effort <= CHAT_EFFORT_LOW ? SPAN("low")
        : effort == CHAT_EFFORT_MEDIUM                 ? SPAN("medium")
                                                       : SPAN("high");
    json_out_key_object(w->o, SPAN("reasoningConfig"));
    json_out_key_string(w->o, SPAN("type"), SPAN("enabled"));
    json_out_key_string(w->o, SPAN("maxReasoningEffort"), word);
    json_out_end(w->o);
}

// additionalModelRequestFields and outputConfig.
static enum rw_err write_model_fields(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const enum chat_effort effort = effort_of(w);
    const bool top_k = chat_has(rq->top_k) && ((w->claude && !w->thinks) || w->nova);
    if (w->own) {
        if (chat_has(rq->model_fields))
            json_out_key_raw(w->o, SPAN("additionalModelRequestFields"), rq->model_fields);
        return RW_OK;
    }
    if (chat_has(rq->top_k) && !top_k) RW_TRY(chat_drop(w->ctx, SPAN("top_k")));
    if (effort && !w->thinks) RW_TRY(chat_drop(w->ctx, SPAN("reasoning_effort")));
    if (!top_k && !w->thinks) return RW_OK;
    json_out_key_object(w->o, SPAN("additionalModelRequestFields"));
    if (top_k && w->claude) json_out_key_raw(w->o, SPAN("top_k"), rq->top_k);
    if (top_k && w->nova) {
        json_out_key_object(w->o, SPAN("inferenceConfig"));
        json_out_key_raw(w->o, SPAN("topK"), rq->top_k);
        json_out_end(w->o);
    }
    if (w->thinks && w->nova_2) write_nova_effort(w, effort);
    if (w->thinks && w->claude >= VERSION_ADAPTS) {
        json_out_key_raw(w->o, SPAN("thinking"), SPAN("{\"type\":\"adaptive\"}"));
    } else if (w->thinks && w->claude) {
        json_out_key_object(w->o, SPAN("thinking"));
        json_out_key_string(w->o, SPAN("type"), SPAN("enabled"));
        json_out_key_u64(w->o, SPAN("budget_tokens"), (uint64_t)budget_of(&rq->thinking, effort));
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static void write_output(struct request_writer *w)
{
    const struct chat_format *f = &w->rq->format;
    const bool schema = f->kind == CHAT_FORMAT_SCHEMA && !w->json_tool;
    const bool says =
        w->own ? w->rq->thinking.effort != CHAT_EFFORT_UNSAID : w->thinks && w->claude >= VERSION_ADAPTS;
    if (!schema && !says) return;
    json_out_key_object(w->o, SPAN("outputConfig"));
    if (schema) {
        json_out_key_object(w->o, SPAN("textFormat"));
        json_out_key_string(w->o, SPAN("type"), SPAN("json_schema"));
        json_out_key_object(w->o, SPAN("structure"));
        json_out_key_object(w->o, SPAN("jsonSchema"));
        json_out_key_string(w->o, SPAN("schema"), f->schema);
        if (f->name.n) json_out_key_string(w->o, SPAN("name"), f->name);
        for (int i = 0; i < 3; i++) json_out_end(w->o);
    }
    enum chat_effort effort = w->own ? w->rq->thinking.effort : effort_of(w);
    if (effort == CHAT_EFFORT_MINIMAL && !w->own) effort = CHAT_EFFORT_LOW;
    if (says) json_out_key_string(w->o, SPAN("effort"), chat_effort_names[effort]);
    json_out_end(w->o);
}

// --- The rest.

static enum rw_err lose(struct request_writer *w)
{
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true},
                                                   {SPAN_INIT("mcp_servers"), true, true},
                                                   {SPAN_INIT("web_search_options"), true, false}};
    const struct chat_request *rq = w->rq;
    RW_TRY(chat_refuse_choices(w->ctx, rq));
    if (chat_has(rq->seed)) RW_TRY(chat_drop(w->ctx, SPAN("seed")));
    if (chat_has(rq->presence_penalty) && !is_zero(rq->presence_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("presence_penalty")));
    if (chat_has(rq->frequency_penalty) && !is_zero(rq->frequency_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("frequency_penalty")));
    if (rq->user.n) RW_TRY(chat_drop(w->ctx, SPAN("user")));
    if (rq->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    RW_TRY(chat_extra_lose(w->ctx, rq->config_extra, NULL, 0));
    for (const struct chat_extra *x = rq->extra; x; x = x->next) {
        const struct chat_extra one = {.name = x->name, .value = x->value};
        if (!chat_modalities_text(x)) RW_TRY(chat_extra_lose(w->ctx, &one, table, 4));
    }
    return RW_OK;
}

static enum rw_err write_tier(struct request_writer *w)
{
    const struct span tier = w->rq->service_tier;
    if (!tier.n || (!w->own && span_eq(tier, SPAN("auto")))) return RW_OK;
    const bool known =
        span_eq(tier, SPAN("priority")) || span_eq(tier, SPAN("flex")) || span_eq(tier, SPAN("default"));
    if (!w->own && !known) return chat_drop(w->ctx, SPAN("service_tier"));
    json_out_key_object(w->o, SPAN("serviceTier"));
    json_out_key_string(w->o, SPAN("type"), tier);
    json_out_end(w->o);
    return RW_OK;
}

static bool contains(struct span text, struct span part)
{
    for (; text.n >= part.n; text = span_from(text, 1))
        if (span_starts(text, part)) return true;
    return false;
}

static enum rw_err plan_schema(struct request_writer *w)
{
    const struct chat_format *f = &w->rq->format;
    struct span type;
    if (f->kind != CHAT_FORMAT_SCHEMA || w->own) return RW_OK;
    if (!chat_has(f->schema))
        return chat_bad(w->ctx, SPAN("json_schema needs a schema."), "response_format", 0, 0, 0);
    w->json_tool = w->claude < VERSION_SCHEMAS;
    if (w->json_tool && !w->forces)
        return chat_refuse(w->ctx, SPAN("response_format"),
                           SPAN("The model that was asked cannot be held to a schema."));
    if (w->json_tool && !(json_member(f->schema, SPAN("type"), &type) && span_eq(type, SPAN("\"object\""))))
        return chat_refuse(
            w->ctx, SPAN("response_format"),
            SPAN("The model that was asked can only give an object at the top of the schema."));
    w->ctx->json_tool = w->json_tool;
    return RW_OK;
}

static enum rw_err plan(struct request_writer *w)
{
    static const struct span unforced[] = {SPAN_INIT("meta."),          SPAN_INIT("cohere."),
                                           SPAN_INIT("ai21."),          SPAN_INIT("amazon.titan"),
                                           SPAN_INIT("deepseek."),      SPAN_INIT("mistral.mistral-7b"),
                                           SPAN_INIT("mistral.mixtral")};
    const struct span model = w->target->model;
    w->own = w->rq->dialect->family == DIALECT_BEDROCK;
    w->claude = chat_claude_version(model);
    w->nova = contains(model, SPAN("nova-"));
    w->nova_2 = contains(model, SPAN("nova-2"));
    w->forces = true;
    for (uint32_t i = 0; i < sizeof unforced / sizeof *unforced; i++)
        w->forces &= !contains(model, unforced[i]);
    RW_TRY(plan_schema(w));
    RW_TRY(chat_turns_make(w->ctx, w->rq, &w->turns));
    w->no_calls = w->rq->tool_choice.kind == CHAT_CHOICE_NONE && w->turns.tools;
    const bool forced = w->json_tool || w->rq->tool_choice.kind == CHAT_CHOICE_REQUIRED ||
        w->rq->tool_choice.kind == CHAT_CHOICE_NAMED;
    w->thinks = !w->own && effort_of(w) && !forced && (w->claude >= VERSION_THINKS || w->nova_2);
    return RW_OK;
}

enum rw_err chat_converse_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                        const struct dialect_target *target, struct json_out *o)
{
    struct request_writer w = {.ctx = ctx, .rq = rq, .target = target, .o = o};
    RW_TRY(plan(&w));
    RW_TRY(lose_of_messages(&w));
    json_out_object(o);
    RW_TRY(write_system(&w));
    RW_TRY(write_turns(&w));
    RW_TRY(write_tools(&w));
    RW_TRY(write_config(&w));
    RW_TRY(write_model_fields(&w));
    write_output(&w);
    RW_TRY(write_tier(&w));
    if (w.own) {
        for (const struct chat_extra *x = rq->extra; x; x = x->next) {
            const struct chat_extra one = {.name = x->name, .value = x->value};
            if (!span_eq(x->name, SPAN("additionalModelRequestFields"))) chat_extra_write(o, &one);
        }
    } else {
        RW_TRY(lose(&w));
    }
    json_out_end(o);
    return json_out_done(o);
}
