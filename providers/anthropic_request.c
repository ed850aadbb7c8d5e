// See dialect.h: a request in Anthropic's messages dialect, of either API version, to the neutral model. A user's message that
// holds tool results becomes a tool message and, if there is more in it, one of the user's.
#include "providers/anthropic_priv.h"

#define TOP_KEYS(X) \
    X(T_MODEL, "model") \
    X(T_MAX, "max_tokens") \
    X(T_MESSAGES, "messages") \
    X(T_SYSTEM, "system") \
    X(T_STOP, "stop_sequences") \
    X(T_STREAM, "stream") \
    X(T_TEMPERATURE, "temperature") \
    X(T_TOP_P, "top_p") \
    X(T_TOP_K, "top_k") \
    X(T_TOOLS, "tools") \
    X(T_CHOICE, "tool_choice") \
    X(T_THINKING, "thinking") \
    X(T_OUTPUT, "output_config") \
    X(T_METADATA, "metadata") \
    X(T_TIER, "service_tier") \
    X(T_CACHE, "cache_control")

#define BLOCK_KEYS(X) \
    X(B_TYPE, "type") \
    X(B_TEXT, "text") \
    X(B_CITATIONS, "citations") \
    X(B_CACHE, "cache_control") \
    X(B_SOURCE, "source") \
    X(B_TITLE, "title") \
    X(B_CONTEXT, "context") \
    X(B_ID, "id") \
    X(B_NAME, "name") \
    X(B_INPUT, "input") \
    X(B_CALLER, "caller") \
    X(B_TOOL_USE_ID, "tool_use_id") \
    X(B_CONTENT, "content") \
    X(B_IS_ERROR, "is_error") \
    X(B_THINKING, "thinking") \
    X(B_SIGNATURE, "signature") \
    X(B_DATA, "data")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
enum { BLOCK_KEYS(CHAT_KEY_ENUM) BLOCK_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
static const struct span block_keys[] = {BLOCK_KEYS(CHAT_KEY_SPAN)};

// --- Blocks.

static enum rw_err bad_block(struct chat_ctx *ctx, uint32_t index, struct span text)
{
    return chat_bad(ctx, text, "messages[%].content", index, 0, 0);
}

static void cache_mark(struct chat_ctx *ctx, struct span mark, bool *cache, struct span *ttl)
{
    struct span value;
    if (!chat_has(mark)) return;
    *cache = true;
    if (json_member(mark, SPAN("ttl"), &value)) *ttl = chat_text_or_none(ctx, value);
}

static enum rw_err source(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    enum { TYPE, MEDIA_TYPE, DATA, URL, FILE_ID, CONTENT };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("media_type"), SPAN_INIT("data"),
                                       SPAN_INIT("url"),  SPAN_INIT("file_id"),    SPAN_INIT("content")};
    struct span v[6];
    struct chat_media *m = &part->media;
    RW_TRY(chat_members(ctx, value, keys, 6, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    m->type = chat_text_or_none(ctx, v[MEDIA_TYPE]);
    uint32_t from = DATA;
    if (span_eq(type, SPAN("base64"))) {
        m->source = CHAT_DATA;
    } else if (span_eq(type, SPAN("text"))) {
        m->source = CHAT_PLAIN;
    } else if (span_eq(type, SPAN("url"))) {
        m->source = CHAT_URL;
        from = URL;
    } else if (span_eq(type, SPAN("file"))) {
        m->source = CHAT_FILE_ID;
        from = FILE_ID;
    } else if (span_eq(type, SPAN("content"))) {
        struct chat_part **tail = &part->content;
        m->source = CHAT_BLOCKS;
        return chat_anthropic_content(ctx, v[CONTENT], index, &tail);
    } else {
        return bad_block(ctx, index, SPAN("This source.type is not known."));
    }
    m->data = chat_text_or_none(ctx, v[from]);
    return chat_has(m->data) ? RW_OK : bad_block(ctx, index, SPAN("The source has no data."));
}

struct chat_citation *chat_anthropic_citation(struct chat_ctx *ctx, struct span value)
{
    enum { TYPE, URL, TITLE, DOCUMENT_TITLE, CITED };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("url"), SPAN_INIT("title"),
                                       SPAN_INIT("document_title"), SPAN_INIT("cited_text")};
    struct span v[5];
    struct chat_citation *c = chat_alloc(ctx, sizeof *c);
    if (!c || chat_members(ctx, value, keys, 5, v, NULL)) return c;
    *c = (struct chat_citation){.kind = CHAT_CITE_DOCUMENT, .dialect = &dialect_anthropic, .raw = value};
    c->start = c->end = -1; // of the source, not of the answer
    c->title = chat_text_or_none(ctx, chat_has(v[TITLE]) ? v[TITLE] : v[DOCUMENT_TITLE]);
    c->text = chat_text_or_none(ctx, v[CITED]);
    c->url = chat_text_or_none(ctx, v[URL]);
    if (c->url.n) c->kind = CHAT_CITE_WEB;
    return c;
}

static enum rw_err citations(struct chat_ctx *ctx, struct span list, struct chat_citation **ret)
{
    struct json_iter it = json_iter(list);
    struct span key, element;
    while (chat_has(list) && json_next(&it, &key, &element)) {
        if (!(*ret = chat_anthropic_citation(ctx, element))) return RW_E_TOO_LARGE;
        ret = &(*ret)->next;
    }
    return RW_OK;
}

static enum rw_err tool_use(struct chat_ctx *ctx, const struct span *v, uint32_t index,
                            struct chat_part *part)
{
    part->kind = CHAT_TOOL_CALL;
    part->id = chat_text_or_none(ctx, v[B_ID]);
    part->name = chat_text_or_none(ctx, v[B_NAME]);
    part->arguments = chat_has(v[B_INPUT]) ? v[B_INPUT] : SPAN("{}");
    return part->id.n && part->name.n && json_type(part->arguments) == JSON_OBJECT
        ? RW_OK
        : bad_block(ctx, index, SPAN("A tool_use block needs id, name and an object as its input."));
}

static enum rw_err tool_result(struct chat_ctx *ctx, const struct span *v, uint32_t index,
                               struct chat_part *part)
{
    struct chat_part **tail = &part->content;
    part->kind = CHAT_TOOL_RESULT;
    part->id = chat_text_or_none(ctx, v[B_TOOL_USE_ID]);
    part->failed = chat_true(v[B_IS_ERROR]);
    if (!part->id.n) return bad_block(ctx, index, SPAN("A tool_result block needs tool_use_id."));
    return chat_anthropic_content(ctx, v[B_CONTENT], index, &tail);
}

static enum rw_err document(struct chat_ctx *ctx, const struct span *v, uint32_t index,
                            struct chat_part *part)
{
    struct span enabled;
    part->kind = CHAT_DOCUMENT;
    part->media.name = chat_text_or_none(ctx, v[B_TITLE]);
    part->media.context = chat_text_or_none(ctx, v[B_CONTEXT]);
    if (chat_has(v[B_CITATIONS]) && json_member(v[B_CITATIONS], SPAN("enabled"), &enabled))
        part->cited = chat_tri_of(enabled);
    return source(ctx, v[B_SOURCE], index, part);
}

static enum rw_err block(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    struct span v[BLOCK_COUNT];
    RW_TRY(chat_members(ctx, value, block_keys, BLOCK_COUNT, v, &part->extra));
    const struct span type = chat_text_or_none(ctx, v[B_TYPE]);
    cache_mark(ctx, v[B_CACHE], &part->cache, &part->cache_ttl);
    if (span_eq(type, SPAN("text"))) {
        part->text = chat_text_or_none(ctx, v[B_TEXT]);
        RW_TRY(citations(ctx, v[B_CITATIONS], &part->citations));
        return chat_has(part->text) ? RW_OK : bad_block(ctx, index, SPAN("A text block needs text."));
    }
    if (span_eq(type, SPAN("tool_use"))) return tool_use(ctx, v, index, part);
    if (span_eq(type, SPAN("tool_result"))) return tool_result(ctx, v, index, part);
    if (span_eq(type, SPAN("image"))) {
        part->kind = CHAT_IMAGE;
        return source(ctx, v[B_SOURCE], index, part);
    }
    if (span_eq(type, SPAN("document"))) return document(ctx, v, index, part);
    if (span_eq(type, SPAN("thinking"))) {
        part->kind = CHAT_THINKING;
        part->text = chat_text_or_none(ctx, v[B_THINKING]);
        part->signature = chat_text_or_none(ctx, v[B_SIGNATURE]);
        return RW_OK;
    }
    if (span_eq(type, SPAN("redacted_thinking"))) {
        part->kind = CHAT_REDACTED;
        part->signature = chat_text_or_none(ctx, v[B_DATA]);
        return RW_OK;
    }
    if (!type.n) return bad_block(ctx, index, SPAN("A content block needs a type."));
    *part = (struct chat_part){.kind = CHAT_RAW, .name = type, .raw = value};
    return RW_OK;
}

enum rw_err chat_anthropic_content(struct chat_ctx *ctx, struct span content, uint32_t index,
                                   struct chat_part ***tail)
{
    if (!chat_has(content)) return RW_OK;
    struct chat_part *part;
    if (json_type(content) == JSON_STRING) {
        if (!(part = chat_part_new(ctx, CHAT_TEXT))) return RW_E_TOO_LARGE;
        chat_part_add(tail, part);
        return chat_text(ctx, content, &part->text);
    }
    if (json_type(content) != JSON_ARRAY)
        return bad_block(ctx, index, SPAN("content is a string or a list of blocks."));
    struct json_iter it = json_iter(content);
    struct span key, element;
    if (ctx->nesting == CHAT_NESTING_MAX)
        return bad_block(ctx, index, SPAN("The content is nested too deep."));
    ctx->nesting++;
    while (json_next(&it, &key, &element)) {
        if (!(part = chat_part_new(ctx, CHAT_TEXT))) return RW_E_TOO_LARGE;
        RW_TRY(block(ctx, element, index, part));
        chat_part_add(tail, part);
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
static enum rw_err user_message(struct chat_ctx *ctx, struct span content, uint32_t index,
                                struct chat_message ***next)
{
    struct chat_part *parts = NULL, **tail = &parts;
    struct chat_message *m = NULL;
    RW_TRY(chat_anthropic_content(ctx, content, index, &tail));
    for (struct chat_part *p = parts, *after; p || !m; p = after) {
        const enum chat_role role = p && p->kind == CHAT_TOOL_RESULT ? CHAT_TOOL : CHAT_USER;
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

static enum rw_err message(struct chat_ctx *ctx, struct span value, uint32_t index,
                           struct chat_message ***next)
{
    static const struct span keys[] = {SPAN_INIT("role"), SPAN_INIT("content")};
    struct span v[2];
    struct chat_extra *extra = NULL;
    RW_TRY(chat_members(ctx, value, keys, 2, v, &extra));
    const struct span role = chat_text_or_none(ctx, v[0]);
    if (!chat_has(v[1])) return bad_block(ctx, index, SPAN("The message has no content."));
    if (span_eq(role, SPAN("user"))) return user_message(ctx, v[1], index, next);
    const bool assistant = span_eq(role, SPAN("assistant"));
    if (!assistant && !span_eq(role, SPAN("system")))
        return chat_bad(ctx, SPAN("The role is user or assistant."), "messages[%].role", index, 0, 0);
    struct chat_message *m = message_new(ctx, assistant ? CHAT_ASSISTANT : CHAT_SYSTEM, index, next);
    if (!m) return RW_E_TOO_LARGE;
    struct chat_part **tail = &m->parts;
    m->extra = extra;
    return chat_anthropic_content(ctx, v[1], index, &tail);
}

static enum rw_err messages(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_message **next = &rq->messages;
    if (chat_has(v[T_SYSTEM])) {
        struct chat_message *m = message_new(ctx, CHAT_SYSTEM, UINT32_MAX, &next);
        if (!m) return RW_E_TOO_LARGE;
        struct chat_part **tail = &m->parts;
        if (chat_anthropic_content(ctx, v[T_SYSTEM], 0, &tail))
            return chat_bad(ctx, SPAN("system is a string or a list of text blocks."), "system", 0, 0, 0);
    }
    struct json_iter it = json_iter(v[T_MESSAGES]);
    struct span key, element;
    uint32_t index = 0;
    while (chat_has(v[T_MESSAGES]) && !it.object && json_next(&it, &key, &element))
        RW_TRY(message(ctx, element, index++, &next));
    return index ? RW_OK
                 : chat_bad(ctx, SPAN("messages is a list with at least one message."), "messages", 0, 0, 0);
}

// --- Tools.

static enum rw_err tool(struct chat_ctx *ctx, struct span value, struct chat_tool *t)
{
    enum { TYPE, NAME, DESCRIPTION, SCHEMA, CACHE, STRICT };
    static const struct span keys[] = {SPAN_INIT("type"),          SPAN_INIT("name"),
                                       SPAN_INIT("description"),   SPAN_INIT("input_schema"),
                                       SPAN_INIT("cache_control"), SPAN_INIT("strict")};
    struct span v[6];
    RW_TRY(chat_members(ctx, value, keys, 6, v, &t->extra));
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    t->name = chat_text_or_none(ctx, v[NAME]);
    cache_mark(ctx, v[CACHE], &t->cache, &t->cache_ttl);
    if (type.n && !span_eq(type, SPAN("custom"))) {
        t->kind = CHAT_HOSTED;
        t->name = type;
        t->raw = value;
        t->extra = NULL;
        return RW_OK;
    }
    t->description = chat_text_or_none(ctx, v[DESCRIPTION]);
    t->schema = v[SCHEMA];
    t->strict = chat_tri_of(v[STRICT]);
    return t->name.n ? RW_OK : chat_bad(ctx, SPAN("A tool needs a name."), "tools", 0, 0, 0);
}

static enum rw_err tools(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_tool **next = &rq->tools;
    struct json_iter it = json_iter(v[T_TOOLS]);
    struct span key, element, type, value;
    while (chat_has(v[T_TOOLS]) && json_next(&it, &key, &element)) {
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        RW_TRY(tool(ctx, element, *next));
        next = &(*next)->next;
    }
    if (!chat_has(v[T_CHOICE])) return RW_OK;
    static const struct {
        struct span word;
        enum chat_choice_kind kind;
    } kinds[] = {{SPAN_INIT("auto"), CHAT_CHOICE_AUTO},
                 {SPAN_INIT("any"), CHAT_CHOICE_REQUIRED},
                 {SPAN_INIT("tool"), CHAT_CHOICE_NAMED},
                 {SPAN_INIT("none"), CHAT_CHOICE_NONE}};
    if (!json_member(v[T_CHOICE], SPAN("type"), &type)) type = (struct span){NULL, 0};
    const struct span word = chat_text_or_none(ctx, type);
    for (uint32_t i = 0; i < 4; i++)
        if (span_eq(word, kinds[i].word)) rq->tool_choice.kind = kinds[i].kind;
    if (!rq->tool_choice.kind)
        return chat_bad(ctx, SPAN("tool_choice.type is auto, any, tool or none."), "tool_choice", 0, 0, 0);
    if (json_member(v[T_CHOICE], SPAN("name"), &value)) rq->tool_choice.name = chat_text_or_none(ctx, value);
    if (json_member(v[T_CHOICE], SPAN("disable_parallel_tool_use"), &value) && chat_tri_of(value))
        rq->parallel_tools = chat_true(value) ? CHAT_NO : CHAT_YES;
    return RW_OK;
}

// --- The rest.

static enum rw_err thinking(struct chat_ctx *ctx, struct span value, struct chat_thinking *t)
{
    enum { TYPE, BUDGET, DISPLAY };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("budget_tokens"), SPAN_INIT("display")};
    struct span v[3];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    if (span_eq(type, SPAN("enabled"))) t->mode = CHAT_THINK_BUDGET;
    if (span_eq(type, SPAN("adaptive"))) t->mode = CHAT_THINK_ADAPTIVE;
    if (span_eq(type, SPAN("disabled"))) t->mode = CHAT_THINK_OFF;
    if (span_eq(type, SPAN("between_tools"))) t->mode = CHAT_THINK_BETWEEN_TOOLS;
    t->budget = chat_count(v[BUDGET]);
    t->display = chat_text_or_none(ctx, v[DISPLAY]);
    if (t->mode == CHAT_THINK_BUDGET || t->mode == CHAT_THINK_ADAPTIVE)
        t->show = span_eq(t->display, SPAN("omitted")) ? CHAT_NO : CHAT_YES;
    return t->mode ? RW_OK : chat_bad(ctx, SPAN("This thinking.type is not known."), "thinking", 0, 0, 0);
}

static enum rw_err output(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    static const struct span keys[] = {SPAN_INIT("effort"), SPAN_INIT("format")};
    struct span v[2], schema;
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    rq->thinking.effort = chat_effort_of(chat_text_or_none(ctx, v[0]));
    if (!chat_has(v[1])) return RW_OK;
    if (!json_member(v[1], SPAN("schema"), &schema))
        return chat_bad(ctx, SPAN("The format needs a schema."), "output_config.format", 0, 0, 0);
    rq->format = (struct chat_format){.kind = CHAT_FORMAT_SCHEMA, .schema = schema, .strict = CHAT_YES};
    return RW_OK;
}

static enum rw_err numbers(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    const struct {
        uint32_t from;
        struct span *to;
    } list[] = {{T_MAX, &rq->max_tokens},
                {T_TEMPERATURE, &rq->temperature},
                {T_TOP_P, &rq->top_p},
                {T_TOP_K, &rq->top_k}};
    for (uint32_t i = 0; i < 4; i++) {
        const struct span value = v[list[i].from];
        if (chat_has(value) && json_type(value) != JSON_NUMBER) {
            ctx->problem = (struct chat_problem){.param = top_keys[list[i].from],
                                                 .text = SPAN("This field is a number.")};
            return RW_E_BAD;
        }
        *list[i].to = value;
    }
    return RW_OK;
}

enum rw_err chat_anthropic_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT], user;
    *ret = (struct chat_request){.dialect = &dialect_anthropic, .usage_wanted = true};
    RW_TRY(chat_members(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    ret->model = chat_text_or_none(ctx, v[T_MODEL]);
    ret->stream = chat_true(v[T_STREAM]);
    RW_TRY(numbers(ctx, v, ret));
    if (chat_has(v[T_STOP]) && chat_names(ctx, v[T_STOP], &ret->stop))
        return chat_bad(ctx, SPAN("stop_sequences is a list of strings."), "stop_sequences", 0, 0, 0);
    if (chat_has(v[T_METADATA]) && json_member(v[T_METADATA], SPAN("user_id"), &user))
        ret->user = chat_text_or_none(ctx, user);
    ret->service_tier = chat_text_or_none(ctx, v[T_TIER]);
    cache_mark(ctx, v[T_CACHE], &ret->cache, &ret->cache_ttl);
    RW_TRY(thinking(ctx, v[T_THINKING], &ret->thinking));
    RW_TRY(output(ctx, v[T_OUTPUT], ret));
    RW_TRY(tools(ctx, v, ret));
    return messages(ctx, v, ret);
}
