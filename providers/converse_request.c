// See dialect.h: a request in Bedrock's Converse dialect, to the neutral model. The model stands in the path. Every block is an
// object with one member; a cachePoint marks what stands before it.
#include "providers/converse_priv.h"

#define TOP_KEYS(X) \
    X(T_MESSAGES, "messages") \
    X(T_SYSTEM, "system") \
    X(T_CONFIG, "inferenceConfig") \
    X(T_TOOLS, "toolConfig") \
    X(T_OUTPUT, "outputConfig") \
    X(T_TIER, "serviceTier") \
    X(T_GUARDRAIL, "guardrailConfig")
#define CONFIG_KEYS(X) \
    X(C_MAX, "maxTokens") \
    X(C_TEMPERATURE, "temperature") \
    X(C_TOP_P, "topP") \
    X(C_STOP, "stopSequences")
#define BLOCK_KEYS(X) \
    X(B_TEXT, "text") \
    X(B_IMAGE, "image") \
    X(B_DOCUMENT, "document") \
    X(B_VIDEO, "video") \
    X(B_AUDIO, "audio") \
    X(B_CALL, "toolUse") \
    X(B_RESULT, "toolResult") \
    X(B_THOUGHT, "reasoningContent") \
    X(B_CACHE, "cachePoint") \
    X(B_JSON, "json")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
enum { CONFIG_KEYS(CHAT_KEY_ENUM) CONFIG_COUNT };
enum { BLOCK_KEYS(CHAT_KEY_ENUM) BLOCK_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
static const struct span config_keys[] = {CONFIG_KEYS(CHAT_KEY_SPAN)};
static const struct span block_keys[] = {BLOCK_KEYS(CHAT_KEY_SPAN)};

// --- Blocks.

static enum rw_err bad_block(struct chat_ctx *ctx, uint32_t index, struct span text)
{
    return chat_bad(ctx, text, "messages[%].content", index, 0, 0);
}

static struct span media_type(struct chat_ctx *ctx, enum chat_part_kind kind, struct span format)
{
    static const struct {
        struct span format, type;
    } documents[] = {{SPAN_INIT("pdf"), SPAN_INIT("application/pdf")},
                     {SPAN_INIT("txt"), SPAN_INIT("text/plain")},
                     {SPAN_INIT("md"), SPAN_INIT("text/markdown")},
                     {SPAN_INIT("html"), SPAN_INIT("text/html")},
                     {SPAN_INIT("csv"), SPAN_INIT("text/csv")}};
    const struct span head = kind == CHAT_IMAGE ? SPAN("image/")
        : kind == CHAT_AUDIO                    ? SPAN("audio/")
        : kind == CHAT_VIDEO                    ? SPAN("video/")
                                                : SPAN("application/");
    for (uint32_t i = 0; kind == CHAT_DOCUMENT && i < sizeof documents / sizeof *documents; i++)
        if (span_eq(format, documents[i].format)) return documents[i].type;
    return chat_concat(ctx, (struct span[]){head, format}, 2);
}

static enum rw_err media(struct chat_ctx *ctx, struct span value, enum chat_part_kind kind, uint32_t index,
                         struct chat_part *part)
{
    enum { FORMAT, SOURCE, NAME, CONTEXT, CITATIONS };
    static const struct span keys[] = {SPAN_INIT("format"), SPAN_INIT("source"), SPAN_INIT("name"),
                                       SPAN_INIT("context"), SPAN_INIT("citations")};
    struct chat_media *m = &part->media;
    struct span v[5], data;
    RW_TRY(chat_members(ctx, value, keys, 5, v, NULL));
    part->kind = kind;
    m->type = media_type(ctx, kind, chat_text_or_none(ctx, v[FORMAT]));
    m->name = chat_text_or_none(ctx, v[NAME]);
    m->context = chat_text_or_none(ctx, v[CONTEXT]);
    if (chat_has(v[CITATIONS]) && json_member(v[CITATIONS], SPAN("enabled"), &data))
        part->cited = chat_tri_of(data);
    if (!chat_has(v[SOURCE])) return bad_block(ctx, index, SPAN("An attachment needs a source."));
    if (json_member(v[SOURCE], SPAN("bytes"), &data)) {
        m->source = CHAT_DATA;
    } else if (json_member(v[SOURCE], SPAN("text"), &data)) {
        m->source = CHAT_PLAIN;
    } else if (json_path(v[SOURCE], "s3Location.uri", &data)) {
        m->source = CHAT_URL;
    } else if (json_member(v[SOURCE], SPAN("content"), &data)) {
        struct chat_part **tail = &part->content;
        m->source = CHAT_BLOCKS;
        return chat_converse_blocks(ctx, data, index, &tail);
    }
    m->data = chat_has(data) ? chat_text_or_none(ctx, data) : data;
    if (!m->data.n) return bad_block(ctx, index, SPAN("The source has no data."));
    const enum rw_err err = m->source == CHAT_DATA ? chat_base64_normal(ctx, m->data, &m->data) : RW_OK;
    return err == RW_E_BAD ? bad_block(ctx, index, SPAN("The bytes are not valid base64.")) : err;
}

static enum rw_err call(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("toolUseId"), SPAN_INIT("name"), SPAN_INIT("input")};
    struct span v[3];
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    part->kind = CHAT_TOOL_CALL;
    part->id = chat_text_or_none(ctx, v[0]);
    part->name = chat_text_or_none(ctx, v[1]);
    part->arguments = chat_has(v[2]) ? v[2] : SPAN("{}");
    return part->id.n && part->name.n ? RW_OK
                                      : bad_block(ctx, index, SPAN("A toolUse needs toolUseId and name."));
}

static enum rw_err result(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("toolUseId"), SPAN_INIT("content"), SPAN_INIT("status")};
    struct chat_part **tail = &part->content;
    struct span v[3];
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    part->kind = CHAT_TOOL_RESULT;
    part->id = chat_text_or_none(ctx, v[0]);
    part->failed = span_eq(chat_text_or_none(ctx, v[2]), SPAN("error"));
    if (!part->id.n) return bad_block(ctx, index, SPAN("A toolResult needs toolUseId."));
    return chat_has(v[1]) ? chat_converse_blocks(ctx, v[1], index, &tail) : RW_OK;
}

static enum rw_err thought(struct chat_ctx *ctx, struct span value, struct chat_part *part)
{
    struct span inner;
    part->kind = CHAT_THINKING;
    if (json_path(value, "reasoningText.text", &inner)) part->text = chat_text_or_none(ctx, inner);
    if (json_path(value, "reasoningText.signature", &inner)) part->signature = chat_text_or_none(ctx, inner);
    if (!json_member(value, SPAN("redactedContent"), &inner)) return RW_OK;
    part->kind = CHAT_REDACTED;
    part->signature = chat_text_or_none(ctx, inner);
    return RW_OK;
}

static enum rw_err block(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    static const enum chat_part_kind kinds[] = {
        [B_IMAGE] = CHAT_IMAGE, [B_DOCUMENT] = CHAT_DOCUMENT, [B_VIDEO] = CHAT_VIDEO, [B_AUDIO] = CHAT_AUDIO};
    struct span v[BLOCK_COUNT], key, inner;
    RW_TRY(chat_members(ctx, value, block_keys, BLOCK_COUNT, v, NULL));
    part->raw = value;
    if (chat_has(v[B_TEXT])) {
        part->text = chat_text_or_none(ctx, v[B_TEXT]);
        return chat_has(part->text) ? RW_OK : bad_block(ctx, index, SPAN("text is a string."));
    }
    for (uint32_t i = B_IMAGE; i <= B_AUDIO; i++)
        if (chat_has(v[i])) return media(ctx, v[i], kinds[i], index, part);
    if (chat_has(v[B_CALL])) return call(ctx, v[B_CALL], index, part);
    if (chat_has(v[B_RESULT])) return result(ctx, v[B_RESULT], index, part);
    if (chat_has(v[B_THOUGHT])) return thought(ctx, v[B_THOUGHT], part);
    if (chat_has(v[B_JSON])) {
        part->text = chat_compact(ctx, v[B_JSON]);
        return RW_OK;
    }
    part->kind = CHAT_RAW;
    part->name = SPAN("messages.content");
    struct json_iter it = json_iter(value);
    if (!it.object || !json_next(&it, &key, &inner))
        return bad_block(ctx, index, SPAN("A content block is an object with one member."));
    return RW_OK;
}

enum rw_err chat_converse_blocks(struct chat_ctx *ctx, struct span list, uint32_t index,
                                 struct chat_part ***tail)
{
    struct json_iter it = json_iter(list);
    struct span key, element, mark, ttl;
    struct chat_part *last = NULL;
    if (json_type(list) != JSON_ARRAY) return bad_block(ctx, index, SPAN("content is a list of blocks."));
    if (ctx->nesting == CHAT_NESTING_MAX)
        return bad_block(ctx, index, SPAN("The content is nested too deep."));
    ctx->nesting++;
    while (json_next(&it, &key, &element)) {
        if (last && json_member(element, SPAN("cachePoint"), &mark)) {
            last->cache = true;
            if (json_member(mark, SPAN("ttl"), &ttl)) last->cache_ttl = chat_text_or_none(ctx, ttl);
            continue;
        }
        if (!(last = chat_part_new(ctx, CHAT_TEXT))) return RW_E_TOO_LARGE;
        RW_TRY(block(ctx, element, index, last));
        chat_part_add(tail, last);
    }
    ctx->nesting--;
    return RW_OK;
}

// --- Messages.

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

// Results and what else the user says are messages of their own, in the order in which they stand.
static enum rw_err message(struct chat_ctx *ctx, struct span value, uint32_t index,
                           struct chat_message ***next)
{
    static const struct span keys[] = {SPAN_INIT("role"), SPAN_INIT("content")};
    struct chat_part *parts = NULL, **tail = &parts;
    struct chat_message *m = NULL;
    struct span v[2];
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    const struct span word = chat_text_or_none(ctx, v[0]);
    const bool assistant = span_eq(word, SPAN("assistant")), system = span_eq(word, SPAN("system"));
    if (!assistant && !system && !span_eq(word, SPAN("user")))
        return chat_bad(ctx, SPAN("The role is user or assistant."), "messages[%].role", index, 0, 0);
    RW_TRY(chat_converse_blocks(ctx, v[1], index, &tail));
    for (struct chat_part *p = parts, *after; p || !m; p = after) {
        const enum chat_role role = assistant  ? CHAT_ASSISTANT
            : system                           ? CHAT_SYSTEM
            : p && p->kind == CHAT_TOOL_RESULT ? CHAT_TOOL
                                               : CHAT_USER;
        if (!m || m->role != role) {
            if (!(m = message_new(ctx, role, index, next))) return RW_E_TOO_LARGE;
            tail = &m->parts;
        }
        if (!p) break;
        after = p->next;
        p->next = NULL;
        chat_part_add(&tail, p);
    }
    return RW_OK;
}

static enum rw_err messages(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_message **next = &rq->messages;
    struct json_iter it = json_iter(v[T_MESSAGES]);
    struct span key, element;
    uint32_t index = 0;
    if (chat_has(v[T_SYSTEM])) {
        struct chat_message *m = message_new(ctx, CHAT_SYSTEM, UINT32_MAX, &next);
        if (!m) return RW_E_TOO_LARGE;
        struct chat_part **tail = &m->parts;
        if (chat_converse_blocks(ctx, v[T_SYSTEM], 0, &tail))
            return chat_bad(ctx, SPAN("system is a list of texts."), "system", 0, 0, 0);
    }
    while (chat_has(v[T_MESSAGES]) && !it.object && json_next(&it, &key, &element))
        RW_TRY(message(ctx, element, index++, &next));
    return index ? RW_OK
                 : chat_bad(ctx, SPAN("messages is a list with at least one message."), "messages", 0, 0, 0);
}

// --- Tools.

static enum rw_err tool(struct chat_ctx *ctx, struct span value, struct chat_tool *t)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("description"), SPAN_INIT("inputSchema"),
                                       SPAN_INIT("strict")};
    struct span v[4], spec;
    t->raw = value;
    if (!json_member(value, SPAN("toolSpec"), &spec)) {
        t->kind = CHAT_HOSTED;
        t->name = SPAN("systemTool");
        return RW_OK;
    }
    RW_TRY(chat_members(ctx, spec, keys, 4, v, NULL));
    t->name = chat_text_or_none(ctx, v[0]);
    t->description = chat_text_or_none(ctx, v[1]);
    if (chat_has(v[2]) && !json_member(v[2], SPAN("json"), &t->schema)) t->schema = (struct span){NULL, 0};
    t->strict = chat_tri_of(v[3]);
    return t->name.n ? RW_OK : chat_bad(ctx, SPAN("A tool needs a name."), "toolConfig.tools", 0, 0, 0);
}

static enum rw_err tools(struct chat_ctx *ctx, struct span config, struct chat_request *rq)
{
    struct chat_tool **next = &rq->tools, *last = NULL;
    struct span list, choice, key, element, value;
    if (!chat_has(config)) return RW_OK;
    if (!json_member(config, SPAN("tools"), &list)) list = (struct span){NULL, 0};
    struct json_iter it = json_iter(list);
    while (chat_has(list) && json_next(&it, &key, &element)) {
        if (last && json_member(element, SPAN("cachePoint"), &value)) {
            last->cache = true;
            continue;
        }
        if (!(last = *next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        RW_TRY(tool(ctx, element, last));
        next = &last->next;
    }
    if (!rq->tools || !json_member(config, SPAN("toolChoice"), &choice)) return RW_OK;
    struct chat_tool_choice *c = &rq->tool_choice;
    if (json_member(choice, SPAN("auto"), &value)) c->kind = CHAT_CHOICE_AUTO;
    if (json_member(choice, SPAN("any"), &value)) c->kind = CHAT_CHOICE_REQUIRED;
    if (json_path(choice, "tool.name", &value)) {
        c->kind = CHAT_CHOICE_NAMED;
        c->name = chat_text_or_none(ctx, value);
    }
    return c->kind ? RW_OK : chat_bad(ctx, SPAN("toolChoice is auto, any or tool."), "toolChoice", 0, 0, 0);
}

// --- The rest.

static enum rw_err config(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    struct span v[CONFIG_COUNT];
    RW_TRY(chat_members(ctx, value, config_keys, CONFIG_COUNT, v, &rq->config_extra));
    for (uint32_t i = C_MAX; i <= C_TOP_P; i++)
        if (chat_has(v[i]) && json_type(v[i]) != JSON_NUMBER)
            return chat_bad(ctx, SPAN("Its members are numbers."), "inferenceConfig", 0, 0, 0);
    rq->max_tokens = v[C_MAX];
    rq->temperature = v[C_TEMPERATURE];
    rq->top_p = v[C_TOP_P];
    if (chat_has(v[C_STOP]) && chat_names(ctx, v[C_STOP], &rq->stop))
        return chat_bad(ctx, SPAN("stopSequences is a list of strings."), "inferenceConfig", 0, 0, 0);
    return RW_OK;
}

static enum rw_err output(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    struct span v;
    if (!chat_has(value)) return RW_OK;
    if (json_member(value, SPAN("effort"), &v))
        rq->thinking.effort = chat_effort_of(chat_text_or_none(ctx, v));
    if (!json_path(value, "textFormat.structure.jsonSchema.schema", &v)) return RW_OK;
    rq->format.kind = CHAT_FORMAT_SCHEMA;
    rq->format.schema = chat_text_or_none(ctx, v);
    if (json_path(value, "textFormat.structure.jsonSchema.name", &v))
        rq->format.name = chat_text_or_none(ctx, v);
    return chat_is_json(rq->format.schema)
        ? RW_OK
        : chat_bad(ctx, SPAN("The schema is JSON in a string."), "outputConfig", 0, 0, 0);
}

// What some models take beside the dialect: top_k and Claude's thinking are words of ours, too.
static enum rw_err additional(struct chat_ctx *ctx, struct chat_request *rq)
{
    const struct span name = SPAN("additionalModelRequestFields"), all = chat_extra_find(rq->extra, name);
    struct span key, value, type;
    bool more = false;
    struct json_iter it = json_iter(all);
    while (chat_has(all) && json_next(&it, &key, &value)) {
        if (json_key_is(key, SPAN("top_k")) && json_type(value) == JSON_NUMBER) {
            rq->top_k = value;
        } else if (json_key_is(key, SPAN("thinking")) && json_member(value, SPAN("type"), &type)) {
            struct chat_thinking *t = &rq->thinking;
            type = chat_text_or_none(ctx, type);
            t->mode = span_eq(type, SPAN("enabled")) ? CHAT_THINK_BUDGET
                : span_eq(type, SPAN("adaptive"))    ? CHAT_THINK_ADAPTIVE
                                                     : CHAT_THINK_OFF;
            t->budget = json_member(value, SPAN("budget_tokens"), &type) ? chat_count(type) : -1;
            if (t->mode != CHAT_THINK_OFF) t->show = CHAT_YES;
        } else {
            more = true;
        }
    }
    rq->model_fields = all;
    // What is understood is not lost with the rest.
    struct chat_extra **x = &rq->extra;
    while (*x && !span_eq((*x)->name, name)) x = &(*x)->next;
    if (*x && !more) *x = (*x)->next;
    return RW_OK;
}

enum rw_err chat_converse_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT], type;
    *ret = (struct chat_request){.dialect = &dialect_converse, .usage_wanted = true};
    RW_TRY(chat_members(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    if (chat_has(v[T_GUARDRAIL]))
        RW_TRY(chat_refuse_soft(ctx, SPAN("guardrailConfig"),
                                SPAN("Guardrails of Bedrock are known to Bedrock only.")));
    RW_TRY(config(ctx, v[T_CONFIG], ret));
    RW_TRY(output(ctx, v[T_OUTPUT], ret));
    if (chat_has(v[T_TIER]) && json_member(v[T_TIER], SPAN("type"), &type))
        ret->service_tier = chat_text_or_none(ctx, type);
    RW_TRY(additional(ctx, ret));
    RW_TRY(tools(ctx, v[T_TOOLS], ret));
    return messages(ctx, v, ret);
}
