// See dialect.h: the neutral model as a request in Gemini's dialect. Schemas go out as JSON Schema (parametersJsonSchema,
// responseJsonSchema), which every model since 2.0 takes.
#include "providers/gemini_priv.h"

#define STOPS_MAX 5
#define CANDIDATES_MAX 8

#define VERSION_THINKS 205
#define VERSION_LEVELS 300 // thinks by level, wants signatures, knows no penalties

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    const struct dialect_target *target;
    struct json_out *o;
    struct chat_turns turns;
    uint32_t version; // 205 for gemini-2.5-pro; a name without one is taken for a new model
    bool own;
    bool signed_step; // a call of the open content has its signature
};

static uint32_t version_of(struct span model)
{
    const struct span mark = SPAN("gemini-");
    while (model.n && !span_starts(model, mark)) model = span_from(model, 1);
    struct span rest = span_from(model, mark.n), major, minor;
    uint64_t a = 0, b = 0;
    if (model.n < mark.n) return VERSION_LEVELS;
    if (!span_split(&rest, '-', &minor) || !span_split(&minor, '.', &major) || !span_u64(major, &a) || a > 99)
        return VERSION_LEVELS;
    if (minor.p) (void)span_u64(minor, &b);
    return (uint32_t)(a * 100 + (b < 100 ? b : 99));
}

// --- Parts.

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts) RW_WARN_UNUSED;

static void write_inline(struct request_writer *w, const struct chat_media *m)
{
    json_out_key_object(w->o, SPAN("inlineData"));
    json_out_key_string(w->o, SPAN("mimeType"), m->type);
    json_out_key_string(w->o, SPAN("data"), m->data);
    json_out_end(w->o);
}

static bool is_google_url(struct span url)
{
    return span_starts(url, SPAN("gs://")) ||
        span_starts(url, SPAN("https://generativelanguage.googleapis.com/"));
}

static enum rw_err write_media(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    if (m->detail.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.image_url.detail")));
    if (m->context.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.context")));
    if (p->cited == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.citations")));
    switch (m->source) {
    case CHAT_DATA: write_inline(w, m); return RW_OK;
    case CHAT_PLAIN: json_out_key_string(w->o, SPAN("text"), m->data); return RW_OK;
    case CHAT_URL:
        if (!w->own && !is_google_url(m->data)) break;
        json_out_key_object(w->o, SPAN("fileData"));
        if (m->type.n) json_out_key_string(w->o, SPAN("mimeType"), m->type);
        json_out_key_string(w->o, SPAN("fileUri"), m->data);
        json_out_end(w->o);
        return RW_OK;
    default: break;
    }
    return chat_refuse(w->ctx, SPAN("messages.content.image_url"),
                       SPAN("The model that was asked takes attachments as data only: send a data URL."));
}

static void write_call(struct request_writer *w, const struct chat_part *p)
{
    json_out_key_object(w->o, SPAN("functionCall"));
    json_out_key_string(w->o, SPAN("name"), p->name);
    if (w->own && !p->id_made) json_out_key_string(w->o, SPAN("id"), p->id);
    json_out_key_raw(w->o, SPAN("args"), p->arguments);
    if (w->own) chat_extra_write(w->o, p->extra);
    json_out_end(w->o);
    // The first call of a step must prove the thought behind it; of another model's history there is none.
    if (p->signature.n) json_out_key_string(w->o, SPAN("thoughtSignature"), p->signature);
    else if (!w->signed_step && !w->own && w->version >= VERSION_LEVELS)
        json_out_key_string(w->o, SPAN("thoughtSignature"), SPAN("skip_thought_signature_validator"));
    w->signed_step = true;
}

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p)
{
    json_out_key(w->o, SPAN("functionResponse"));
    if (w->own) {
        json_out_raw(w->o, p->raw);
        return RW_OK;
    }
    uint32_t n = 0;
    bool media = false;
    for (const struct chat_part *c = p->content; c; c = c->next) {
        n += c->kind == CHAT_TEXT;
        media |= c->kind != CHAT_TEXT;
    }
    struct span text = SPAN("");
    for (const struct chat_part *c = p->content; c; c = c->next)
        if (c->kind == CHAT_TEXT)
            text = n == 1 ? c->text : chat_concat(w->ctx, (struct span[]){text, c->text}, 2);
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("name"), p->name);
    if (!p->failed && chat_is_object(text)) {
        json_out_key_raw(w->o, SPAN("response"), text);
    } else {
        json_out_key_object(w->o, SPAN("response"));
        json_out_key_string(w->o, p->failed ? SPAN("error") : SPAN("result"), text);
        json_out_end(w->o);
    }
    if (media && w->version >= VERSION_LEVELS) {
        json_out_key_array(w->o, SPAN("parts"));
        for (const struct chat_part *c = p->content; c; c = c->next) {
            if (c->kind == CHAT_TEXT) continue;
            json_out_object(w->o);
            RW_TRY(write_media(w, c));
            json_out_end(w->o);
        }
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_part(struct request_writer *w, const struct chat_part *p)
{
    switch (p->kind) {
    case CHAT_TEXT:
    case CHAT_REFUSAL:
        json_out_key_string(w->o, SPAN("text"), p->text);
        if (w->own && p->signature.n) json_out_key_string(w->o, SPAN("thoughtSignature"), p->signature);
        return RW_OK;
    case CHAT_THINKING:
        json_out_key_string(w->o, SPAN("text"), p->text);
        json_out_key_bool(w->o, SPAN("thought"), true);
        if (p->signature.n) json_out_key_string(w->o, SPAN("thoughtSignature"), p->signature);
        return RW_OK;
    case CHAT_TOOL_CALL: write_call(w, p); return RW_OK;
    case CHAT_TOOL_RESULT: return write_result(w, p);
    case CHAT_RAW:
        return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
    default: return write_media(w, p);
    }
}

static enum rw_err write_parts(struct request_writer *w, const struct chat_part *parts)
{
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (!w->own && p->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
        if (!w->own && (p->kind == CHAT_THINKING || p->kind == CHAT_REDACTED)) {
            RW_TRY(chat_drop(w->ctx, SPAN("messages.content.thinking"))); // another provider's
            continue;
        }
        if (p->kind == CHAT_DOCUMENT && p->media.source == CHAT_BLOCKS) {
            RW_TRY(write_parts(w, p->content));
            continue;
        }
        if (p->kind == CHAT_RAW && w->own) {
            json_out_raw(w->o, p->raw);
            continue;
        }
        json_out_object(w->o);
        RW_TRY(write_part(w, p));
        const bool inner = p->kind == CHAT_TOOL_CALL || p->kind == CHAT_TOOL_RESULT;
        if (w->own && !inner) chat_extra_write(w->o, p->extra);
        else if (!w->own) RW_TRY(chat_extra_lose(w->ctx, p->extra, NULL, 0));
        json_out_end(w->o);
    }
    return RW_OK;
}

// What older models cannot take inside of a response follows it.
static enum rw_err write_media_of_results(struct request_writer *w, const struct chat_part *parts)
{
    if (w->own || w->version >= VERSION_LEVELS) return RW_OK;
    for (const struct chat_part *p = parts; p; p = p->next) {
        if (p->kind != CHAT_TOOL_RESULT) continue;
        for (const struct chat_part *c = p->content; c; c = c->next) {
            if (c->kind == CHAT_TEXT) continue;
            json_out_object(w->o);
            RW_TRY(write_media(w, c));
            json_out_end(w->o);
        }
    }
    return RW_OK;
}

static enum rw_err write_contents(struct request_writer *w)
{
    json_out_key_array(w->o, SPAN("contents"));
    for (const struct chat_turn *t = w->turns.turns; t; t = t->next) {
        w->signed_step = false;
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("role"), t->assistant ? SPAN("model") : SPAN("user"));
        json_out_key_array(w->o, SPAN("parts"));
        RW_TRY(write_parts(w, t->parts));
        RW_TRY(write_media_of_results(w, t->parts));
        json_out_end(w->o);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    if (!w->turns.system) return RW_OK;
    json_out_key_object(w->o, SPAN("systemInstruction"));
    json_out_key_array(w->o, SPAN("parts"));
    RW_TRY(write_parts(w, w->turns.system));
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

// --- Tools.

static enum rw_err write_function(struct request_writer *w, const struct chat_tool *t)
{
    if (w->own) {
        json_out_raw(w->o, t->raw);
        return RW_OK;
    }
    if (t->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    if (t->strict == CHAT_YES) RW_TRY(chat_drop(w->ctx, SPAN("tools.strict")));
    RW_TRY(chat_extra_lose(w->ctx, t->extra, NULL, 0));
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("name"), t->name);
    if (t->description.n) json_out_key_string(w->o, SPAN("description"), t->description);
    if (chat_has(t->schema)) json_out_key_raw(w->o, SPAN("parametersJsonSchema"), t->schema);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_choice(struct request_writer *w)
{
    static const struct span modes[] = {[CHAT_CHOICE_AUTO] = SPAN_INIT("AUTO"),
                                        [CHAT_CHOICE_NONE] = SPAN_INIT("NONE"),
                                        [CHAT_CHOICE_REQUIRED] = SPAN_INIT("ANY"),
                                        [CHAT_CHOICE_NAMED] = SPAN_INIT("ANY")};
    const struct chat_tool_choice *c = &w->rq->tool_choice;
    if (c->kind == CHAT_CHOICE_UNSAID) return RW_OK;
    if (c->kind == CHAT_CHOICE_RAW)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    const bool allowed = c->kind == CHAT_CHOICE_ALLOWED;
    json_out_key_object(w->o, SPAN("toolConfig"));
    json_out_key_object(w->o, SPAN("functionCallingConfig"));
    json_out_key_string(w->o, SPAN("mode"),
                        !allowed                  ? modes[c->kind]
                            : c->allowed_required ? SPAN("ANY")
                                                  : SPAN("AUTO"));
    if (c->kind == CHAT_CHOICE_NAMED || (allowed && c->allowed_required)) {
        json_out_key_array(w->o, SPAN("allowedFunctionNames"));
        if (!allowed) json_out_string(w->o, c->name);
        for (const struct chat_name *a = allowed ? c->allowed : NULL; a; a = a->next)
            json_out_string(w->o, a->name);
        json_out_end(w->o);
    }
    json_out_end(w->o);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const bool search = chat_has(chat_extra_find(rq->extra, SPAN("web_search_options"))) && !w->own;
    const struct chat_tool_choice *c = &rq->tool_choice;
    // A list with mode AUTO is not a restriction to the API: the others are left out.
    const bool filter = c->kind == CHAT_CHOICE_ALLOWED && !c->allowed_required;
    bool functions = false;
    if (!rq->tools && !search) return w->own ? write_choice(w) : RW_OK;
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next) {
        if (t->kind != CHAT_FUNCTION || (filter && !chat_tool_allowed(rq, t))) continue;
        if (!functions) {
            json_out_object(w->o);
            json_out_key_array(w->o, SPAN("functionDeclarations"));
        }
        functions = true;
        RW_TRY(write_function(w, t));
    }
    if (functions) json_out_end(w->o);
    if (functions) json_out_end(w->o);
    for (const struct chat_tool *t = rq->tools; t; t = t->next) {
        if (t->kind == CHAT_FUNCTION) continue;
        if (!w->own)
            return chat_refuse(w->ctx, SPAN("tools"),
                               SPAN("The model that was asked cannot run this kind of tool."));
        json_out_raw(w->o, t->raw);
    }
    if (search) json_out_raw(w->o, SPAN("{\"googleSearch\":{}}"));
    json_out_end(w->o);
    if (search && functions && w->version < VERSION_LEVELS)
        return chat_refuse_soft(
            w->ctx, SPAN("web_search_options"),
            SPAN("The model that was asked cannot search and call functions in one request."));
    if (rq->parallel_tools == CHAT_NO) RW_TRY(chat_drop(w->ctx, SPAN("parallel_tool_calls")));
    return write_choice(w);
}

// --- The configuration.

static bool contains(struct span text, struct span part)
{
    for (; text.n >= part.n; text = span_from(text, 1))
        if (span_starts(text, part)) return true;
    return false;
}

static int64_t budget_of(enum chat_effort effort, bool pro)
{
    switch (effort) {
    case CHAT_EFFORT_NONE: return pro ? 128 : 0;
    case CHAT_EFFORT_MINIMAL: return 512;
    case CHAT_EFFORT_LOW: return 1024;
    case CHAT_EFFORT_MEDIUM: return 8192;
    case CHAT_EFFORT_HIGH: return 24576;
    default: return pro ? 32768 : 24576;
    }
}

static struct span level_of(enum chat_effort effort)
{
    switch (effort) {
    case CHAT_EFFORT_NONE:
    case CHAT_EFFORT_MINIMAL: return SPAN("MINIMAL");
    case CHAT_EFFORT_LOW: return SPAN("LOW");
    case CHAT_EFFORT_MEDIUM: return SPAN("MEDIUM");
    default: return SPAN("HIGH");
    }
}

static enum rw_err write_thinking(struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    enum chat_effort effort = t->mode == CHAT_THINK_OFF ? CHAT_EFFORT_NONE : t->effort;
    if (!effort && t->mode == CHAT_THINK_BUDGET) effort = chat_effort_of_budget(t->budget);
    const bool adaptive = t->mode == CHAT_THINK_ADAPTIVE && !effort;
    if (!effort && !adaptive && !t->show) return RW_OK;
    if (w->version < VERSION_THINKS && !w->own)
        return effort > CHAT_EFFORT_NONE ? chat_drop(w->ctx, SPAN("reasoning_effort")) : RW_OK;
    json_out_key_object(w->o, SPAN("thinkingConfig"));
    if (t->mode == CHAT_THINK_BUDGET && (w->version < VERSION_LEVELS || w->own)) {
        json_out_key_u64(w->o, SPAN("thinkingBudget"), (uint64_t)t->budget);
    } else if (t->mode == CHAT_THINK_OFF && w->own) {
        json_out_key_u64(w->o, SPAN("thinkingBudget"), 0);
    } else if (adaptive && (w->version < VERSION_LEVELS || w->own)) {
        json_out_key_raw(w->o, SPAN("thinkingBudget"), SPAN("-1"));
    } else if (effort && w->version < VERSION_LEVELS) {
        const bool pro = contains(w->target->model, SPAN("pro"));
        json_out_key_u64(w->o, SPAN("thinkingBudget"), (uint64_t)budget_of(effort, pro));
    } else if (effort) {
        json_out_key_string(w->o, SPAN("thinkingLevel"), level_of(effort));
    }
    if (t->show == CHAT_YES || (w->own && t->show))
        json_out_key_bool(w->o, SPAN("includeThoughts"), t->show == CHAT_YES);
    json_out_end(w->o);
    return RW_OK;
}

static bool is_zero(struct span number)
{
    double v;
    return json_double(number, &v) && v >= 0 && v <= 0;
}

static enum rw_err write_penalty(struct request_writer *w, struct span name, struct span google,
                                 struct span value)
{
    if (!chat_has(value)) return RW_OK;
    if (w->version >= VERSION_LEVELS && !w->own) return is_zero(value) ? RW_OK : chat_drop(w->ctx, name);
    json_out_key_raw(w->o, google, value);
    return RW_OK;
}

static enum rw_err write_numbers(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const struct {
        struct span name, value;
    } list[] = {{SPAN("temperature"), rq->temperature},
                {SPAN("topP"), rq->top_p},
                {SPAN("topK"), rq->top_k},
                {SPAN("maxOutputTokens"), rq->max_tokens},
                {SPAN("seed"), rq->seed},
                {SPAN("logprobs"), rq->top_logprobs}};
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++)
        if (chat_has(list[i].value)) json_out_key_raw(w->o, list[i].name, list[i].value);
    if (rq->logprobs) json_out_key_bool(w->o, SPAN("responseLogprobs"), true);
    const int64_t n = chat_count(rq->n);
    if (n > CANDIDATES_MAX)
        RW_TRY(
            chat_refuse_soft(w->ctx, SPAN("n"), SPAN("The model that was asked gives at most 8 answers.")));
    else if (n > 1 || (w->own && n == 1)) json_out_key_u64(w->o, SPAN("candidateCount"), (uint64_t)n);
    RW_TRY(write_penalty(w, SPAN("presence_penalty"), SPAN("presencePenalty"), rq->presence_penalty));
    return write_penalty(w, SPAN("frequency_penalty"), SPAN("frequencyPenalty"), rq->frequency_penalty);
}

static bool config_said(const struct chat_request *rq)
{
    const struct span numbers[] = {rq->temperature,      rq->top_p, rq->top_k,        rq->n,
                                   rq->max_tokens,       rq->seed,  rq->top_logprobs, rq->presence_penalty,
                                   rq->frequency_penalty};
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (chat_has(numbers[i])) return true;
    return rq->logprobs || rq->stop || rq->format.kind || rq->thinking.mode || rq->thinking.effort ||
        rq->thinking.show || rq->config_extra;
}

static enum rw_err write_config(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    uint32_t stops = 0;
    if (!config_said(rq)) return RW_OK;
    json_out_key_object(w->o, SPAN("generationConfig"));
    RW_TRY(write_numbers(w));
    for (const struct chat_name *s = rq->stop; s; s = s->next) stops++;
    if (stops > STOPS_MAX)
        return chat_refuse(w->ctx, SPAN("stop"),
                           SPAN("The model that was asked takes at most 5 stop sequences."));
    if (stops) json_out_key_array(w->o, SPAN("stopSequences"));
    for (const struct chat_name *s = rq->stop; s; s = s->next) json_out_string(w->o, s->name);
    if (stops) json_out_end(w->o);
    if (rq->format.kind == CHAT_FORMAT_JSON || rq->format.kind == CHAT_FORMAT_SCHEMA)
        json_out_key_string(w->o, SPAN("responseMimeType"), SPAN("application/json"));
    if (rq->format.kind == CHAT_FORMAT_SCHEMA && chat_has(rq->format.schema)) {
        if (w->own && chat_has(rq->format.raw))
            json_out_key_raw(w->o, SPAN("responseSchema"), rq->format.raw);
        else json_out_key_raw(w->o, SPAN("responseJsonSchema"), rq->format.schema);
    }
    RW_TRY(write_thinking(w));
    if (w->own) chat_extra_write(w->o, rq->config_extra);
    json_out_end(w->o);
    return RW_OK;
}

// --- The rest.

static enum rw_err write_rest(struct request_writer *w)
{
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true}};
    const struct chat_request *rq = w->rq;
    const struct span tier = rq->service_tier;
    const bool known =
        span_ieq(tier, SPAN("flex")) || span_ieq(tier, SPAN("priority")) || span_ieq(tier, SPAN("standard"));
    const bool usual = span_eq(tier, SPAN("auto")) || span_eq(tier, SPAN("default")) || !tier.n;
    if (w->own && tier.n) json_out_key_string(w->o, SPAN("serviceTier"), tier);
    if (!w->own && known) json_out_key_string(w->o, SPAN("serviceTier"), tier);
    if (!w->own && !known && !usual) RW_TRY(chat_drop(w->ctx, SPAN("service_tier")));
    if (w->own) {
        chat_extra_write(w->o, rq->extra);
        return RW_OK;
    }
    if (rq->user.n) RW_TRY(chat_drop(w->ctx, SPAN("user")));
    if (rq->cache) RW_TRY(chat_drop(w->ctx, SPAN("cache_control")));
    for (const struct chat_message *m = rq->messages; m; m = m->next) {
        if (m->name.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.name")));
        RW_TRY(chat_extra_lose(w->ctx, m->extra, NULL, 0));
    }
    RW_TRY(chat_extra_lose(w->ctx, rq->config_extra, NULL, 0));
    for (const struct chat_extra *x = rq->extra; x; x = x->next) {
        const struct chat_extra one = {.name = x->name, .value = x->value};
        if (span_eq(x->name, SPAN("web_search_options")) || chat_modalities_text(x)) continue;
        RW_TRY(chat_extra_lose(w->ctx, &one, table, 2));
    }
    return RW_OK;
}

enum rw_err chat_gemini_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o)
{
    struct request_writer w = {.ctx = ctx, .rq = rq, .target = target, .o = o};
    w.own = rq->dialect->family == DIALECT_GEMINI;
    w.version = version_of(target->model);
    RW_TRY(chat_turns_make(ctx, rq, &w.turns));
    json_out_object(o);
    RW_TRY(write_contents(&w));
    RW_TRY(write_tools(&w));
    RW_TRY(write_config(&w));
    RW_TRY(write_rest(&w));
    json_out_end(o);
    return json_out_done(o);
}
