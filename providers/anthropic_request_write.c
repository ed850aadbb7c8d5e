// See dialect.h: the neutral model as a request in Anthropic's messages dialect. What a model of this family takes depends on
// its version: sampling, thinking by budget or by effort, structured output. A name without a version is taken for a new one.
#include "providers/anthropic_priv.h"

// The API demands max_tokens; without a word of the client or the catalogue this is asked for.
#define MAX_TOKENS_DEFAULT 4096
#define USER_BYTES_MAX 256
#define THINKING_TOKENS_MIN 1024

#define VERSION_THINKS 307
#define VERSION_SAMPLES_ALONE 400 // temperature or top_p, not both
#define VERSION_SCHEMAS 405
#define VERSION_ADAPTS 406 // thinks by effort
#define VERSION_SAMPLES_LAST 406
#define VERSION_ALWAYS_THINKS 500

struct request_writer {
    struct chat_ctx *ctx;
    const struct chat_request *rq;
    const struct dialect_target *target;
    struct json_out *o;
    struct chat_turns turns;
    uint32_t version;
    int64_t max_tokens;
    int64_t budget; // of thinking; 0: none
    enum chat_effort effort; // to be said
    bool adaptive;
    bool forced; // a call is demanded
    bool json_tool;
    bool own;
};

// --- Parts.

static void write_cache(struct json_out *o, bool cache, struct span ttl)
{
    if (!cache) return;
    json_out_key_object(o, SPAN("cache_control"));
    json_out_key_string(o, SPAN("type"), SPAN("ephemeral"));
    if (ttl.n) json_out_key_string(o, SPAN("ttl"), ttl);
    json_out_end(o);
}

static enum rw_err write_blocks(struct request_writer *w, const struct chat_part *parts,
                                bool last) RW_WARN_UNUSED;

// Text of a document that came as base64.
static enum rw_err plain_text(struct request_writer *w, const struct chat_media *m, struct span *ret)
{
    if (m->source == CHAT_PLAIN) {
        *ret = m->data;
        return RW_OK;
    }
    return chat_base64_decode(w->ctx, m->data, ret);
}

static enum rw_err write_source(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    const bool text =
        m->source == CHAT_PLAIN || (m->source == CHAT_DATA && span_starts(m->type, SPAN("text/")));
    struct span plain;
    json_out_key_object(w->o, SPAN("source"));
    if (m->source == CHAT_URL && !span_starts(m->data, SPAN("http")))
        return chat_refuse(w->ctx, SPAN("messages.content.source"),
                           SPAN("The model that was asked takes attachments as data or by an https URL."));
    if (m->source == CHAT_URL) {
        json_out_key_string(w->o, SPAN("type"), SPAN("url"));
        json_out_key_string(w->o, SPAN("url"), m->data);
    } else if (m->source == CHAT_FILE_ID) {
        if (!w->own)
            return chat_refuse(w->ctx, SPAN("messages.content.file_id"),
                               SPAN("A file id is known to the provider that made it only."));
        json_out_key_string(w->o, SPAN("type"), SPAN("file"));
        json_out_key_string(w->o, SPAN("file_id"), m->data);
    } else if (m->source == CHAT_BLOCKS) {
        json_out_key_string(w->o, SPAN("type"), SPAN("content"));
        json_out_key_array(w->o, SPAN("content"));
        RW_TRY(write_blocks(w, p->content, false));
        json_out_end(w->o);
    } else if (text && p->kind == CHAT_DOCUMENT) {
        RW_TRY(plain_text(w, m, &plain));
        json_out_key_string(w->o, SPAN("type"), SPAN("text"));
        json_out_key_string(w->o, SPAN("media_type"), SPAN("text/plain"));
        json_out_key_string(w->o, SPAN("data"), plain);
    } else {
        json_out_key_string(w->o, SPAN("type"), SPAN("base64"));
        json_out_key_string(w->o, SPAN("media_type"), m->type);
        json_out_key_string(w->o, SPAN("data"), m->data);
    }
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_image(struct request_writer *w, const struct chat_part *p)
{
    static const struct span types[] = {SPAN_INIT("image/jpeg"), SPAN_INIT("image/png"),
                                        SPAN_INIT("image/gif"), SPAN_INIT("image/webp")};
    bool known = p->media.source != CHAT_DATA;
    for (uint32_t i = 0; i < 4; i++) known |= span_eq(p->media.type, types[i]);
    if (!known)
        return chat_refuse(w->ctx, SPAN("messages.content.image_url"),
                           SPAN("The model that was asked takes images as JPEG, PNG, GIF or WebP."));
    if (p->media.detail.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.content.image_url.detail")));
    json_out_key_string(w->o, SPAN("type"), SPAN("image"));
    return write_source(w, p);
}

static enum rw_err write_document(struct request_writer *w, const struct chat_part *p)
{
    const struct chat_media *m = &p->media;
    if (m->source == CHAT_DATA && !span_eq(m->type, SPAN("application/pdf")) &&
        !span_starts(m->type, SPAN("text/")))
        return chat_refuse(w->ctx, SPAN("messages.content.file"),
                           SPAN("The model that was asked takes documents as PDF or text."));
    json_out_key_string(w->o, SPAN("type"), SPAN("document"));
    RW_TRY(write_source(w, p));
    if (m->name.n) json_out_key_string(w->o, SPAN("title"), m->name);
    if (m->context.n) json_out_key_string(w->o, SPAN("context"), m->context);
    if (p->cited) {
        json_out_key_object(w->o, SPAN("citations"));
        json_out_key_bool(w->o, SPAN("enabled"), p->cited == CHAT_YES);
        json_out_end(w->o);
    }
    return RW_OK;
}

static void write_call(struct request_writer *w, const struct chat_part *p)
{
    json_out_key_string(w->o, SPAN("type"), SPAN("tool_use"));
    json_out_key_string(w->o, SPAN("id"), chat_anthropic_id(w->ctx, p->id));
    json_out_key_string(w->o, SPAN("name"), p->name);
    json_out_key_raw(w->o, SPAN("input"), p->arguments);
}

static enum rw_err write_result(struct request_writer *w, const struct chat_part *p)
{
    json_out_key_string(w->o, SPAN("type"), SPAN("tool_result"));
    json_out_key_string(w->o, SPAN("tool_use_id"), chat_anthropic_id(w->ctx, p->id));
    const struct chat_part *c = p->content;
    if (c && !c->next && c->kind == CHAT_TEXT && !c->cache && !c->extra) {
        json_out_key_string(w->o, SPAN("content"), c->text);
    } else if (c) {
        json_out_key_array(w->o, SPAN("content"));
        RW_TRY(write_blocks(w, c, false));
        json_out_end(w->o);
    }
    if (p->failed) json_out_key_bool(w->o, SPAN("is_error"), true);
    return RW_OK;
}

static void write_text(struct request_writer *w, const struct chat_part *p, bool trim)
{
    struct span text = p->text;
    while (trim && text.n && (text.p[text.n - 1] == ' ' || (uint8_t)(text.p[text.n - 1] - '\t') < 5))
        text.n--;
    json_out_key_string(w->o, SPAN("type"), SPAN("text"));
    json_out_key_string(w->o, SPAN("text"), text);
    if (!p->citations || !w->own) return;
    json_out_key_array(w->o, SPAN("citations"));
    for (const struct chat_citation *c = p->citations; c; c = c->next) json_out_raw(w->o, c->raw);
    json_out_end(w->o);
}

static enum rw_err write_block(struct request_writer *w, const struct chat_part *p, bool trim)
{
    switch (p->kind) {
    case CHAT_TEXT:
    case CHAT_REFUSAL: write_text(w, p, trim); return RW_OK;
    case CHAT_IMAGE: return write_image(w, p);
    case CHAT_DOCUMENT: return write_document(w, p);
    case CHAT_TOOL_CALL: write_call(w, p); return RW_OK;
    case CHAT_TOOL_RESULT: return write_result(w, p);
    case CHAT_THINKING:
        json_out_key_string(w->o, SPAN("type"), SPAN("thinking"));
        json_out_key_string(w->o, SPAN("thinking"), p->text);
        json_out_key_string(w->o, SPAN("signature"), p->signature);
        return RW_OK;
    case CHAT_REDACTED:
        json_out_key_string(w->o, SPAN("type"), SPAN("redacted_thinking"));
        json_out_key_string(w->o, SPAN("data"), p->signature);
        return RW_OK;
    case CHAT_AUDIO:
    case CHAT_VIDEO:
        return chat_refuse(w->ctx, SPAN("messages.content.input_audio"),
                           SPAN("The model that was asked takes no sound or video."));
    default: return chat_refuse(w->ctx, p->name, SPAN("The model that was asked knows no part like this."));
    }
}

// last: the end of an assistant's message that the model is to go on with; it must not end in white space.
static enum rw_err write_blocks(struct request_writer *w, const struct chat_part *parts, bool last)
{
    for (const struct chat_part *p = parts; p; p = p->next) {
        // Thoughts without their proof are another provider's: they cannot be sent back.
        if (p->kind == CHAT_THINKING && !p->signature.n) {
            RW_TRY(chat_drop(w->ctx, SPAN("messages.reasoning_content")));
            continue;
        }
        if (p->kind == CHAT_RAW && w->own) {
            json_out_raw(w->o, p->raw);
            continue;
        }
        json_out_object(w->o);
        RW_TRY(write_block(w, p, last && !p->next));
        write_cache(w->o, p->cache, p->cache_ttl);
        if (w->own) chat_extra_write(w->o, p->extra);
        else RW_TRY(chat_extra_lose(w->ctx, p->extra, NULL, 0));
        json_out_end(w->o);
    }
    return RW_OK;
}

// --- System and messages.

static bool is_plain(const struct chat_part *p)
{
    return p && !p->next && p->kind == CHAT_TEXT && !p->cache && !p->extra && !p->citations;
}

static enum rw_err write_system(struct request_writer *w)
{
    const struct chat_part *s = w->turns.system;
    const bool json = w->rq->format.kind == CHAT_FORMAT_JSON;
    if (is_plain(s) && !json) {
        json_out_key_string(w->o, SPAN("system"), s->text);
    } else if (s || json) {
        json_out_key_array(w->o, SPAN("system"));
        RW_TRY(write_blocks(w, s, false));
        if (json) {
            const struct chat_part line = {.kind = CHAT_TEXT,
                                           .text = SPAN("Answer with one JSON object only.")};
            RW_TRY(write_blocks(w, &line, false));
        }
        json_out_end(w->o);
    }
    return RW_OK;
}

static enum rw_err write_turns(struct request_writer *w)
{
    json_out_key_array(w->o, SPAN("messages"));
    for (const struct chat_turn *t = w->turns.turns; t; t = t->next) {
        json_out_object(w->o);
        json_out_key_string(w->o, SPAN("role"), t->assistant ? SPAN("assistant") : SPAN("user"));
        if (is_plain(t->parts) && !(t->assistant && !t->next)) {
            json_out_key_string(w->o, SPAN("content"), t->parts->text);
        } else {
            json_out_key_array(w->o, SPAN("content"));
            RW_TRY(write_blocks(w, t->parts, t->assistant && !t->next));
            json_out_end(w->o);
        }
        json_out_end(w->o);
    }
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err lose_of_messages(struct request_writer *w)
{
    if (w->own) return RW_OK;
    for (const struct chat_message *m = w->rq->messages; m; m = m->next) {
        if (m->name.n) RW_TRY(chat_drop(w->ctx, SPAN("messages.name")));
        for (const struct chat_extra *x = m->extra; x; x = x->next) RW_TRY(chat_drop(w->ctx, x->name));
    }
    return RW_OK;
}

// --- Tools.

static enum rw_err write_tool(struct request_writer *w, const struct chat_tool *t)
{
    if (t->kind != CHAT_FUNCTION && !w->own)
        return chat_refuse(w->ctx, SPAN("tools"),
                           SPAN("The model that was asked cannot run this kind of tool."));
    if (t->kind != CHAT_FUNCTION) {
        json_out_raw(w->o, t->raw);
        return RW_OK;
    }
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("name"), t->name);
    if (t->description.n) json_out_key_string(w->o, SPAN("description"), t->description);
    json_out_key_raw(w->o, SPAN("input_schema"),
                     chat_has(t->schema) ? t->schema : SPAN("{\"type\":\"object\",\"properties\":{}}"));
    if (t->strict == CHAT_YES) json_out_key_bool(w->o, SPAN("strict"), true);
    write_cache(w->o, t->cache, t->cache_ttl);
    if (w->own) chat_extra_write(w->o, t->extra);
    else RW_TRY(chat_extra_lose(w->ctx, t->extra, NULL, 0));
    json_out_end(w->o);
    return RW_OK;
}

static void write_json_tool(struct request_writer *w)
{
    json_out_object(w->o);
    json_out_key_string(w->o, SPAN("name"), CHAT_JSON_TOOL);
    json_out_key_string(w->o, SPAN("description"), SPAN("Give the final answer by calling this tool."));
    json_out_key_raw(w->o, SPAN("input_schema"), w->rq->format.schema);
    json_out_end(w->o);
}

static void write_choice(struct request_writer *w)
{
    const struct chat_tool_choice *c = &w->rq->tool_choice;
    const bool alone = w->rq->parallel_tools == CHAT_NO;
    struct span type = {NULL, 0};
    switch (c->kind) {
    case CHAT_CHOICE_NONE: type = SPAN("none"); break;
    case CHAT_CHOICE_REQUIRED: type = SPAN("any"); break;
    case CHAT_CHOICE_NAMED: type = SPAN("tool"); break;
    case CHAT_CHOICE_ALLOWED: type = c->allowed_required ? SPAN("any") : SPAN("auto"); break;
    case CHAT_CHOICE_AUTO:
        if (w->own) type = SPAN("auto");
        break;
    default: break;
    }
    const bool forced_json = w->json_tool && c->kind != CHAT_CHOICE_NAMED;
    if (forced_json) type = w->rq->tools ? SPAN("any") : SPAN("tool");
    if (!type.n && alone) type = SPAN("auto");
    if (!type.n) return;
    json_out_key_object(w->o, SPAN("tool_choice"));
    json_out_key_string(w->o, SPAN("type"), type);
    if (span_eq(type, SPAN("tool")))
        json_out_key_string(w->o, SPAN("name"), forced_json ? CHAT_JSON_TOOL : c->name);
    if (alone && !span_eq(type, SPAN("none")))
        json_out_key_bool(w->o, SPAN("disable_parallel_tool_use"), true);
    else if (w->own && w->rq->parallel_tools == CHAT_YES)
        json_out_key_bool(w->o, SPAN("disable_parallel_tool_use"), false);
    json_out_end(w->o);
}

static enum rw_err write_tools(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    if (!rq->tools && !w->json_tool) return RW_OK;
    if (rq->tool_choice.kind == CHAT_CHOICE_RAW)
        return chat_refuse(w->ctx, SPAN("tool_choice"),
                           SPAN("The model that was asked knows no choice like this."));
    json_out_key_array(w->o, SPAN("tools"));
    for (const struct chat_tool *t = rq->tools; t; t = t->next)
        if (chat_tool_allowed(rq, t)) RW_TRY(write_tool(w, t));
    if (w->json_tool) write_json_tool(w);
    json_out_end(w->o);
    write_choice(w);
    return RW_OK;
}

// --- Thinking.

// Called with a tool that was asked for without the thought that led to it, the API refuses to go on thinking.
static bool lost_thoughts(const struct chat_turns *turns)
{
    const struct chat_turn *last = NULL;
    for (const struct chat_turn *t = turns->turns; t; t = t->next)
        if (t->assistant) last = t;
    bool calls = false, thoughts = false;
    for (const struct chat_part *p = last ? last->parts : NULL; p; p = p->next) {
        calls |= p->kind == CHAT_TOOL_CALL;
        thoughts |= (p->kind == CHAT_THINKING && p->signature.n) || p->kind == CHAT_REDACTED;
    }
    return calls && !thoughts;
}

static int64_t budget_of(enum chat_effort effort)
{
    switch (effort) {
    case CHAT_EFFORT_MINIMAL:
    case CHAT_EFFORT_LOW: return THINKING_TOKENS_MIN;
    case CHAT_EFFORT_MEDIUM: return 2048;
    case CHAT_EFFORT_HIGH: return 4096;
    case CHAT_EFFORT_XHIGH:
    case CHAT_EFFORT_MAX: return 16384;
    default: return 0;
    }
}

static enum rw_err plan_thinking(struct request_writer *w)
{
    const struct chat_thinking *t = &w->rq->thinking;
    enum chat_effort effort = t->effort;
    if (w->own) return RW_OK; // as it came
    if (!effort && t->mode == CHAT_THINK_BUDGET) effort = chat_effort_of_budget(t->budget);
    if (t->mode == CHAT_THINK_OFF) effort = CHAT_EFFORT_NONE;
    if (!effort) return RW_OK;
    const bool always = w->version >= VERSION_ALWAYS_THINKS;
    if (effort == CHAT_EFFORT_NONE) {
        if (always) w->effort = CHAT_EFFORT_LOW;
        return RW_OK;
    }
    const bool thinks = w->version == 0 || w->version >= VERSION_THINKS;
    if (!thinks || w->forced || lost_thoughts(&w->turns)) return chat_drop(w->ctx, SPAN("reasoning_effort"));
    if (w->version == 0 || w->version >= VERSION_ADAPTS) {
        w->adaptive = true;
        w->effort = effort == CHAT_EFFORT_MINIMAL ? CHAT_EFFORT_LOW : effort;
        return RW_OK;
    }
    w->budget =
        t->mode == CHAT_THINK_BUDGET && t->budget >= THINKING_TOKENS_MIN ? t->budget : budget_of(effort);
    // The budget is a part of max_tokens.
    if (w->budget >= w->max_tokens) w->max_tokens += w->budget;
    if (w->target->max_output > 0 && w->max_tokens > w->target->max_output)
        w->max_tokens = w->target->max_output;
    if (w->budget < w->max_tokens) return RW_OK;
    w->budget = 0;
    return chat_drop(w->ctx, SPAN("reasoning_effort"));
}

static void write_own_thinking(struct request_writer *w)
{
    static const struct span modes[] = {
        [CHAT_THINK_OFF] = SPAN_INIT("disabled"),
        [CHAT_THINK_BUDGET] = SPAN_INIT("enabled"),
        [CHAT_THINK_ADAPTIVE] = SPAN_INIT("adaptive"),
        [CHAT_THINK_BETWEEN_TOOLS] = SPAN_INIT("between_tools"),
    };
    const struct chat_thinking *t = &w->rq->thinking;
    w->effort = t->effort;
    if (!t->mode) return;
    json_out_key_object(w->o, SPAN("thinking"));
    json_out_key_string(w->o, SPAN("type"), modes[t->mode]);
    if (t->mode == CHAT_THINK_BUDGET && t->budget >= 0)
        json_out_key_u64(w->o, SPAN("budget_tokens"), (uint64_t)t->budget);
    if (t->display.n) json_out_key_string(w->o, SPAN("display"), t->display);
    json_out_end(w->o);
}

static void write_thinking(struct request_writer *w)
{
    if (w->own) {
        write_own_thinking(w);
    } else if (w->adaptive) {
        json_out_key_raw(w->o, SPAN("thinking"), SPAN("{\"type\":\"adaptive\"}"));
    } else if (w->budget) {
        json_out_key_object(w->o, SPAN("thinking"));
        json_out_key_string(w->o, SPAN("type"), SPAN("enabled"));
        json_out_key_u64(w->o, SPAN("budget_tokens"), (uint64_t)w->budget);
        json_out_end(w->o);
    }
    const bool format = w->rq->format.kind == CHAT_FORMAT_SCHEMA && !w->json_tool;
    if (!w->effort && !format) return;
    json_out_key_object(w->o, SPAN("output_config"));
    if (w->effort) json_out_key_string(w->o, SPAN("effort"), chat_effort_names[w->effort]);
    if (format) {
        json_out_key_object(w->o, SPAN("format"));
        json_out_key_string(w->o, SPAN("type"), SPAN("json_schema"));
        json_out_key_raw(w->o, SPAN("schema"), w->rq->format.schema);
        json_out_end(w->o);
    }
    json_out_end(w->o);
}

// --- Sampling and the rest.

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
    const bool thinks = w->budget || w->adaptive, none = w->version > VERSION_SAMPLES_LAST || thinks;
    if (w->own) {
        if (chat_has(rq->temperature)) json_out_key_raw(w->o, SPAN("temperature"), rq->temperature);
        if (chat_has(rq->top_p)) json_out_key_raw(w->o, SPAN("top_p"), rq->top_p);
        if (chat_has(rq->top_k)) json_out_key_raw(w->o, SPAN("top_k"), rq->top_k);
        return RW_OK;
    }
    const bool both = w->version >= VERSION_SAMPLES_ALONE && chat_has(rq->temperature) && !none;
    if (chat_has(rq->temperature) && none && !is_one(rq->temperature))
        RW_TRY(chat_drop(w->ctx, SPAN("temperature")));
    if (chat_has(rq->temperature) && !none)
        json_out_key_raw(w->o, SPAN("temperature"), chat_clamp(rq->temperature, 1, SPAN("1")));
    if (chat_has(rq->top_p) && (none || both) && !is_one(rq->top_p)) RW_TRY(chat_drop(w->ctx, SPAN("top_p")));
    if (chat_has(rq->top_p) && !none && !both) json_out_key_raw(w->o, SPAN("top_p"), rq->top_p);
    if (chat_has(rq->top_k) && none) RW_TRY(chat_drop(w->ctx, SPAN("top_k")));
    if (chat_has(rq->top_k) && !none) json_out_key_raw(w->o, SPAN("top_k"), rq->top_k);
    if (chat_has(rq->seed)) RW_TRY(chat_drop(w->ctx, SPAN("seed")));
    if (chat_has(rq->presence_penalty) && !is_zero(rq->presence_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("presence_penalty")));
    if (chat_has(rq->frequency_penalty) && !is_zero(rq->frequency_penalty))
        RW_TRY(chat_drop(w->ctx, SPAN("frequency_penalty")));
    return RW_OK;
}

static void write_stop(struct request_writer *w)
{
    bool any = false;
    for (const struct chat_name *s = w->rq->stop; s; s = s->next) {
        const struct span text = span_trim(s->name);
        if (!text.n || (text.n == 1 && text.p[0] < ' ')) continue; // blank ones are refused
        if (!any) json_out_key_array(w->o, SPAN("stop_sequences"));
        any = true;
        json_out_string(w->o, s->name);
    }
    if (any) json_out_end(w->o);
}

static enum rw_err write_user(struct request_writer *w)
{
    struct span user = w->rq->user;
    if (!user.n) user = chat_text_or_none(w->ctx, chat_extra_find(w->rq->extra, SPAN("safety_identifier")));
    if (!user.n) return RW_OK;
    if (user.n > USER_BYTES_MAX || span_find(user, '@') < user.n) return chat_drop(w->ctx, SPAN("user"));
    json_out_key_object(w->o, SPAN("metadata"));
    json_out_key_string(w->o, SPAN("user_id"), user);
    json_out_end(w->o);
    return RW_OK;
}

static enum rw_err write_tier(struct request_writer *w)
{
    const struct span tier = w->rq->service_tier;
    if (!tier.n) return RW_OK;
    if (w->own) json_out_key_string(w->o, SPAN("service_tier"), tier);
    else if (!span_eq(tier, SPAN("auto")) && !span_eq(tier, SPAN("default")))
        return chat_drop(w->ctx, SPAN("service_tier"));
    return RW_OK;
}

static enum rw_err write_extra(struct request_writer *w)
{
    static const struct dialect_verdict table[] = {{SPAN_INIT("audio"), true, true},
                                                   {SPAN_INIT("modalities"), true, true},
                                                   {SPAN_INIT("web_search_options"), true, false}};
    if (w->own) {
        chat_extra_write(w->o, w->rq->extra);
        return RW_OK;
    }
    for (const struct chat_extra *x = w->rq->extra; x; x = x->next) {
        const struct chat_extra one = {.name = x->name, .value = x->value};
        if (span_eq(x->name, SPAN("safety_identifier")) && !w->rq->user.n) continue; // is the user
        if (chat_modalities_text(x)) continue; // what it does anyway
        RW_TRY(chat_extra_lose(w->ctx, &one, table, 3));
    }
    return RW_OK;
}

static enum rw_err plan(struct request_writer *w)
{
    const struct chat_request *rq = w->rq;
    const int64_t asked = chat_count(rq->max_tokens);
    w->own = rq->dialect->family == DIALECT_ANTHROPIC;
    w->version = chat_claude_version(w->target->model);
    w->max_tokens = asked >= 0      ? asked
        : w->target->max_output > 0 ? w->target->max_output
                                    : MAX_TOKENS_DEFAULT;
    w->forced = rq->tool_choice.kind == CHAT_CHOICE_REQUIRED || rq->tool_choice.kind == CHAT_CHOICE_NAMED ||
        (rq->tool_choice.kind == CHAT_CHOICE_ALLOWED && rq->tool_choice.allowed_required);
    if (rq->format.kind == CHAT_FORMAT_SCHEMA) {
        struct span type;
        if (!chat_has(rq->format.schema))
            return chat_bad(w->ctx, SPAN("json_schema needs a schema."), "response_format", 0, 0, 0);
        w->json_tool = !w->own && w->version != 0 && w->version < VERSION_SCHEMAS;
        if (w->json_tool &&
            !(json_member(rq->format.schema, SPAN("type"), &type) && span_eq(type, SPAN("\"object\""))))
            return chat_refuse(
                w->ctx, SPAN("response_format"),
                SPAN("The model that was asked can only give an object at the top of the schema."));
        w->forced |= w->json_tool;
        w->ctx->json_tool = w->json_tool;
    }
    RW_TRY(chat_turns_make(w->ctx, rq, &w->turns));
    RW_TRY(plan_thinking(w));
    return w->own ? RW_OK : chat_refuse_choices(w->ctx, rq);
}

enum rw_err chat_anthropic_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target, struct json_out *o)
{
    struct request_writer w = {.ctx = ctx, .rq = rq, .target = target, .o = o};
    RW_TRY(plan(&w));
    RW_TRY(lose_of_messages(&w));
    json_out_object(o);
    if (target->body_version.n) json_out_key_string(o, SPAN("anthropic_version"), target->body_version);
    else json_out_key_string(o, SPAN("model"), target->model);
    json_out_key_u64(o, SPAN("max_tokens"), (uint64_t)w.max_tokens);
    RW_TRY(write_system(&w));
    RW_TRY(write_turns(&w));
    RW_TRY(write_tools(&w));
    write_thinking(&w);
    RW_TRY(write_sampling(&w));
    write_stop(&w);
    RW_TRY(write_user(&w));
    RW_TRY(write_tier(&w));
    if (w.own) write_cache(o, rq->cache, rq->cache_ttl);
    RW_TRY(write_extra(&w));
    if (rq->stream) json_out_key_bool(o, SPAN("stream"), true);
    json_out_end(o);
    return json_out_done(o);
}
