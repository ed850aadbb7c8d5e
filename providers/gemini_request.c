// See dialect.h: a request in Gemini's dialect (also Vertex AI's), to the neutral model. Model and streaming stand in the path.
// Names may be in lowerCamelCase or snake_case. Calls need no ids here: they are made, and responses matched by name and order.
#include "providers/gemini_priv.h"

#define TOP_KEYS(X) \
    X(T_CONTENTS, "contents") \
    X(T_SYSTEM, "systemInstruction") \
    X(T_TOOLS, "tools") \
    X(T_TOOL_CONFIG, "toolConfig") \
    X(T_CONFIG, "generationConfig") \
    X(T_TIER, "serviceTier")
#define CONFIG_KEYS(X) \
    X(C_TEMPERATURE, "temperature") \
    X(C_TOP_P, "topP") \
    X(C_TOP_K, "topK") \
    X(C_COUNT, "candidateCount") \
    X(C_MAX, "maxOutputTokens") \
    X(C_STOP, "stopSequences") \
    X(C_SEED, "seed") \
    X(C_PRESENCE, "presencePenalty") \
    X(C_FREQUENCY, "frequencyPenalty") \
    X(C_LOGPROBS, "responseLogprobs") \
    X(C_TOP_LOGPROBS, "logprobs") \
    X(C_MIME, "responseMimeType") \
    X(C_SCHEMA, "responseSchema") \
    X(C_JSON_SCHEMA, "responseJsonSchema") \
    X(C_THINKING, "thinkingConfig")
#define TOOL_KEYS(X) \
    X(F_NAME, "name") \
    X(F_DESCRIPTION, "description") \
    X(F_PARAMETERS, "parameters") \
    X(F_JSON_SCHEMA, "parametersJsonSchema")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
enum { CONFIG_KEYS(CHAT_KEY_ENUM) CONFIG_COUNT };
enum { TOOL_KEYS(CHAT_KEY_ENUM) TOOL_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
static const struct span config_keys[] = {CONFIG_KEYS(CHAT_KEY_SPAN)};
static const struct span tool_keys[] = {TOOL_KEYS(CHAT_KEY_SPAN)};
static const struct span part_keys[] = {GEMINI_PART_KEYS(CHAT_KEY_SPAN)};

// --- Parts.

enum rw_err chat_gemini_part_members(struct chat_ctx *ctx, struct span part, struct span *values,
                                     struct chat_extra **extra)
{
    return chat_members_google(ctx, part, part_keys, GP_COUNT, values, extra);
}

static enum rw_err bad_part(struct chat_ctx *ctx, uint32_t index, struct span text)
{
    return chat_bad(ctx, text, "contents[%].parts", index, 0, 0);
}

static enum chat_part_kind kind_of(struct span type)
{
    if (span_starts(type, SPAN("image/"))) return CHAT_IMAGE;
    if (span_starts(type, SPAN("audio/"))) return CHAT_AUDIO;
    return span_starts(type, SPAN("video/")) ? CHAT_VIDEO : CHAT_DOCUMENT;
}

static enum rw_err media(struct chat_ctx *ctx, struct span value, bool file, uint32_t index,
                         struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("mimeType"), SPAN_INIT("data"), SPAN_INIT("fileUri"),
                                       SPAN_INIT("displayName")};
    struct span v[4];
    RW_TRY(chat_members_google(ctx, value, keys, 4, v, NULL));
    struct chat_media *m = &part->media;
    m->type = chat_text_or_none(ctx, v[0]);
    m->name = chat_text_or_none(ctx, v[3]);
    part->kind = kind_of(m->type);
    m->source = file ? CHAT_URL : CHAT_DATA;
    m->data = chat_text_or_none(ctx, v[file ? 2 : 1]);
    if (!m->data.n) return bad_part(ctx, index, SPAN("The data is missing."));
    // Google's Python SDK writes the URL's alphabet; others take the ordinary one only.
    const enum rw_err err = file ? RW_OK : chat_base64_normal(ctx, m->data, &m->data);
    return err == RW_E_BAD ? bad_part(ctx, index, SPAN("The data is not valid base64.")) : err;
}

static enum rw_err call(struct chat_ctx *ctx, struct span value, uint32_t index, struct gemini_calls *calls,
                        struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("args"), SPAN_INIT("id")};
    struct span v[3];
    RW_TRY(chat_members_google(ctx, value, keys, 3, v, &part->extra));
    part->kind = CHAT_TOOL_CALL;
    part->name = chat_text_or_none(ctx, v[0]);
    part->arguments = chat_has(v[1]) ? v[1] : SPAN("{}");
    part->id = chat_text_or_none(ctx, v[2]);
    if (!part->name.n) return bad_part(ctx, index, SPAN("A functionCall needs a name."));
    if (!part->id.n) {
        part->id = chat_made_id(ctx, "call_", calls->seed, ++calls->made);
        part->id_made = true;
    }
    if (calls->n == DIALECT_TOOLS_MAX) return bad_part(ctx, index, SPAN("There are too many calls."));
    calls->open[calls->n++] = part;
    return RW_OK;
}

// {"result": text}, {"output": text} and {"error": text} are that text; any other object is JSON.
static enum rw_err response_text(struct chat_ctx *ctx, struct span response, struct chat_part *part)
{
    static const struct span words[] = {SPAN_INIT("error"), SPAN_INIT("result"), SPAN_INIT("output")};
    struct span key, value, text = response;
    struct json_iter it = json_iter(response);
    bool first = true, only = false;
    while (json_next(&it, &key, &value)) {
        only = first;
        first = false;
        text = value;
    }
    uint32_t w = 0;
    while (only && w < 3 && !json_key_is(key, words[w])) w++;
    struct chat_part *content = chat_part_new(ctx, CHAT_TEXT);
    if (!content) return RW_E_TOO_LARGE;
    part->content = content;
    part->failed = only && w == 0;
    if (!only || w == 3) text = response;
    if (json_type(text) == JSON_STRING) return chat_text(ctx, text, &content->text);
    content->text = chat_has(text) ? chat_compact(ctx, text) : SPAN("{}");
    return RW_OK;
}

static enum rw_err response(struct chat_ctx *ctx, struct span value, uint32_t index,
                            struct gemini_calls *calls, struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("response"), SPAN_INIT("id"),
                                       SPAN_INIT("parts")};
    struct span v[4];
    RW_TRY(chat_members_google(ctx, value, keys, 4, v, &part->extra));
    part->kind = CHAT_TOOL_RESULT;
    part->name = chat_text_or_none(ctx, v[0]);
    part->id = chat_text_or_none(ctx, v[2]);
    part->raw = value;
    uint32_t i = 0;
    while (i < calls->n &&
           !(part->id.n ? span_eq(calls->open[i]->id, part->id) : span_eq(calls->open[i]->name, part->name)))
        i++;
    if (i < calls->n) {
        part->id = calls->open[i]->id;
        memmove(&calls->open[i], &calls->open[i + 1], (--calls->n - i) * sizeof *calls->open);
    }
    if (!part->id.n)
        return bad_part(ctx, index, SPAN("A functionResponse answers no functionCall before it."));
    RW_TRY(response_text(ctx, v[1], part));
    struct chat_part **tail = &part->content->next;
    return chat_gemini_parts(ctx, v[3], index, calls, &tail);
}

static enum rw_err one_part(struct chat_ctx *ctx, struct span value, uint32_t index,
                            struct gemini_calls *calls, struct chat_part *part)
{
    struct span v[GP_COUNT];
    RW_TRY(chat_gemini_part_members(ctx, value, v, &part->extra));
    part->signature = chat_text_or_none(ctx, v[GP_SIGNATURE]);
    if (chat_has(v[GP_CALL])) return call(ctx, v[GP_CALL], index, calls, part);
    if (chat_has(v[GP_RESPONSE])) return response(ctx, v[GP_RESPONSE], index, calls, part);
    if (chat_has(v[GP_INLINE])) return media(ctx, v[GP_INLINE], false, index, part);
    if (chat_has(v[GP_FILE])) return media(ctx, v[GP_FILE], true, index, part);
    if (chat_has(v[GP_TEXT])) {
        part->kind = chat_true(v[GP_THOUGHT]) ? CHAT_THINKING : CHAT_TEXT;
        return chat_text(ctx, v[GP_TEXT], &part->text) ? bad_part(ctx, index, SPAN("text is a string."))
                                                       : RW_OK;
    }
    *part = (struct chat_part){.kind = CHAT_RAW, .name = SPAN("contents.parts"), .raw = value};
    return RW_OK;
}

enum rw_err chat_gemini_parts(struct chat_ctx *ctx, struct span parts, uint32_t index,
                              struct gemini_calls *calls, struct chat_part ***tail)
{
    struct json_iter it = json_iter(parts);
    struct span key, element = parts;
    const bool one = it.object; // a part by itself is taken, too
    if (ctx->nesting == CHAT_NESTING_MAX) return bad_part(ctx, index, SPAN("The parts are nested too deep."));
    ctx->nesting++;
    while (chat_has(parts) && (one || json_next(&it, &key, &element))) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TEXT);
        if (!part) return RW_E_TOO_LARGE;
        RW_TRY(one_part(ctx, element, index, calls, part));
        chat_part_add(tail, part);
        if (one) break;
    }
    ctx->nesting--;
    return RW_OK;
}

// --- Contents.

static struct chat_message *message_new(struct chat_ctx *ctx, enum chat_role role, uint32_t index,
                                        struct chat_message ***next)
{
    struct chat_message *m = chat_alloc(ctx, sizeof *m);
    if (!m) return NULL;
    m->role = role;
    m->index = index;
    **next = m;
    *next = &m->next;
    return m;
}

static enum rw_err content(struct chat_ctx *ctx, struct span value, uint32_t index,
                           struct gemini_calls *calls, struct chat_message ***next)
{
    static const struct span keys[] = {SPAN_INIT("role"), SPAN_INIT("parts")};
    struct span v[2];
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    const struct span word = chat_text_or_none(ctx, v[0]);
    const bool model = span_eq(word, SPAN("model"));
    if (word.n && !model && !span_eq(word, SPAN("user")) && !span_eq(word, SPAN("function")))
        return chat_bad(ctx, SPAN("The role is user or model."), "contents[%].role", index, 0, 0);
    if (model) calls->n = 0;
    struct chat_part *parts = NULL, **tail = &parts;
    RW_TRY(chat_gemini_parts(ctx, v[1], index, calls, &tail));
    if (!parts) return bad_part(ctx, index, SPAN("A content needs parts."));
    struct chat_message *m = NULL;
    for (struct chat_part *p = parts, *after; p; p = after) {
        const enum chat_role role = model ? CHAT_ASSISTANT
            : p->kind == CHAT_TOOL_RESULT ? CHAT_TOOL
                                          : CHAT_USER;
        if (!m || m->role != role) {
            if (!(m = message_new(ctx, role, index, next))) return RW_E_TOO_LARGE;
            tail = &m->parts;
        }
        after = p->next;
        p->next = NULL;
        chat_part_add(&tail, p);
    }
    return RW_OK;
}

static enum rw_err contents(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_message **next = &rq->messages;
    struct gemini_calls *calls = chat_alloc(ctx, sizeof *calls);
    struct span parts, key, element;
    if (!calls) return RW_E_TOO_LARGE;
    if (chat_has(v[T_SYSTEM])) {
        struct chat_message *m = message_new(ctx, CHAT_SYSTEM, UINT32_MAX, &next);
        if (!m) return RW_E_TOO_LARGE;
        struct chat_part **tail = &m->parts;
        if (json_member(v[T_SYSTEM], SPAN("parts"), &parts))
            RW_TRY(chat_gemini_parts(ctx, parts, 0, calls, &tail));
    }
    struct json_iter it = json_iter(v[T_CONTENTS]);
    uint32_t index = 0;
    while (chat_has(v[T_CONTENTS]) && !it.object && json_next(&it, &key, &element))
        RW_TRY(content(ctx, element, index++, calls, &next));
    return index ? RW_OK
                 : chat_bad(ctx, SPAN("contents is a list with at least one content."), "contents", 0, 0, 0);
}

// --- Tools.

static enum rw_err function(struct chat_ctx *ctx, struct span value, struct chat_tool *tool)
{
    struct span v[TOOL_COUNT];
    RW_TRY(chat_members_google(ctx, value, tool_keys, TOOL_COUNT, v, &tool->extra));
    tool->raw = value;
    tool->name = chat_text_or_none(ctx, v[F_NAME]);
    tool->description = chat_text_or_none(ctx, v[F_DESCRIPTION]);
    tool->schema = v[F_JSON_SCHEMA];
    if (!chat_has(tool->schema) && chat_has(v[F_PARAMETERS])) {
        const enum rw_err err = chat_google_schema(ctx, v[F_PARAMETERS], &tool->schema);
        if (err == RW_E_BAD) return chat_bad(ctx, SPAN("The schema is nested too deep."), "tools", 0, 0, 0);
        RW_TRY(err);
    }
    return tool->name.n ? RW_OK : chat_bad(ctx, SPAN("A function needs a name."), "tools", 0, 0, 0);
}

static enum rw_err tools(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    struct chat_tool **next = &rq->tools;
    struct json_iter it = json_iter(value);
    struct span key, element, list, one;
    while (chat_has(value) && json_next(&it, &key, &element)) {
        static const struct span keys[] = {SPAN_INIT("functionDeclarations")};
        struct chat_extra *others = NULL;
        RW_TRY(chat_members_google(ctx, element, keys, 1, &list, &others));
        struct json_iter functions = json_iter(list);
        while (chat_has(list) && json_next(&functions, &key, &one)) {
            if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
            RW_TRY(function(ctx, one, *next));
            next = &(*next)->next;
        }
        if (!others) continue;
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        **next = (struct chat_tool){.kind = CHAT_HOSTED, .name = others->name, .raw = element};
        next = &(*next)->next;
    }
    return RW_OK;
}

static enum rw_err tool_config(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    static const struct span outer[] = {SPAN_INIT("functionCallingConfig")};
    static const struct span keys[] = {SPAN_INIT("mode"), SPAN_INIT("allowedFunctionNames")};
    struct span config, v[2];
    struct chat_tool_choice *c = &rq->tool_choice;
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members_google(ctx, value, outer, 1, &config, NULL));
    RW_TRY(chat_members_google(ctx, config, keys, 2, v, NULL));
    const struct span mode = chat_text_or_none(ctx, v[0]);
    if (span_eq(mode, SPAN("AUTO")) || span_eq(mode, SPAN("VALIDATED"))) c->kind = CHAT_CHOICE_AUTO;
    if (span_eq(mode, SPAN("NONE"))) c->kind = CHAT_CHOICE_NONE;
    if (!span_eq(mode, SPAN("ANY"))) return RW_OK;
    c->kind = CHAT_CHOICE_REQUIRED;
    if (chat_has(v[1]) && chat_names(ctx, v[1], &c->allowed))
        return chat_bad(ctx, SPAN("allowedFunctionNames is a list of strings."), "toolConfig", 0, 0, 0);
    if (!c->allowed) return RW_OK;
    c->kind = c->allowed->next ? CHAT_CHOICE_ALLOWED : CHAT_CHOICE_NAMED;
    c->name = c->allowed->name;
    c->allowed_required = true;
    return RW_OK;
}

// --- The configuration.

static enum rw_err thinking(struct chat_ctx *ctx, struct span value, struct chat_thinking *t)
{
    static const struct span keys[] = {SPAN_INIT("thinkingBudget"), SPAN_INIT("thinkingLevel"),
                                       SPAN_INIT("includeThoughts")};
    static const struct span levels[] = {SPAN_INIT("MINIMAL"), SPAN_INIT("LOW"), SPAN_INIT("MEDIUM"),
                                         SPAN_INIT("HIGH")};
    struct span v[3];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members_google(ctx, value, keys, 3, v, NULL));
    int64_t budget;
    if (chat_has(v[0]) && json_i64(v[0], &budget)) {
        t->budget = budget < 0 ? -1 : budget;
        t->mode = budget < 0 ? CHAT_THINK_ADAPTIVE : budget == 0 ? CHAT_THINK_OFF : CHAT_THINK_BUDGET;
    }
    const struct span level = chat_text_or_none(ctx, v[1]);
    for (uint32_t i = 0; i < 4; i++)
        if (span_ieq(level, levels[i])) t->effort = (enum chat_effort)(CHAT_EFFORT_MINIMAL + i);
    t->show = chat_tri_of(v[2]);
    return RW_OK;
}

static enum rw_err format(struct chat_ctx *ctx, const struct span *v, struct chat_format *f)
{
    const struct span mime = chat_text_or_none(ctx, v[C_MIME]);
    if (chat_has(v[C_JSON_SCHEMA])) {
        f->schema = v[C_JSON_SCHEMA];
    } else if (chat_has(v[C_SCHEMA])) {
        const enum rw_err err = chat_google_schema(ctx, v[C_SCHEMA], &f->schema);
        if (err == RW_E_BAD)
            return chat_bad(ctx, SPAN("The schema is nested too deep."), "responseSchema", 0, 0, 0);
        RW_TRY(err);
        f->raw = v[C_SCHEMA];
    }
    if (chat_has(f->schema)) f->kind = CHAT_FORMAT_SCHEMA;
    else if (span_eq(mime, SPAN("application/json"))) f->kind = CHAT_FORMAT_JSON;
    else if (mime.n) f->kind = CHAT_FORMAT_TEXT;
    return RW_OK;
}

static enum rw_err config(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    struct span v[CONFIG_COUNT];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members_google(ctx, value, config_keys, CONFIG_COUNT, v, &rq->config_extra));
    const struct {
        uint32_t from;
        struct span *to;
    } list[] = {{C_TEMPERATURE, &rq->temperature},
                {C_TOP_P, &rq->top_p},
                {C_TOP_K, &rq->top_k},
                {C_COUNT, &rq->n},
                {C_MAX, &rq->max_tokens},
                {C_SEED, &rq->seed},
                {C_PRESENCE, &rq->presence_penalty},
                {C_FREQUENCY, &rq->frequency_penalty},
                {C_TOP_LOGPROBS, &rq->top_logprobs}};
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (chat_has(v[list[i].from]) && json_type(v[list[i].from]) != JSON_NUMBER) {
            ctx->problem = (struct chat_problem){.param = config_keys[list[i].from],
                                                 .text = SPAN("This field is a number.")};
            return RW_E_BAD;
        }
        *list[i].to = v[list[i].from];
    }
    rq->logprobs = chat_true(v[C_LOGPROBS]);
    if (chat_has(v[C_STOP]) && chat_names(ctx, v[C_STOP], &rq->stop))
        return chat_bad(ctx, SPAN("stopSequences is a list of strings."), "generationConfig", 0, 0, 0);
    RW_TRY(thinking(ctx, v[C_THINKING], &rq->thinking));
    return format(ctx, v, &rq->format);
}

enum rw_err chat_gemini_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT];
    *ret = (struct chat_request){.dialect = &dialect_gemini, .usage_wanted = true};
    RW_TRY(chat_members_google(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    ret->service_tier = chat_text_or_none(ctx, v[T_TIER]);
    RW_TRY(config(ctx, v[T_CONFIG], ret));
    RW_TRY(tools(ctx, v[T_TOOLS], ret));
    RW_TRY(tool_config(ctx, v[T_TOOL_CONFIG], ret));
    return contents(ctx, v, ret);
}
