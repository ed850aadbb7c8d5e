// See dialect.h: a request in Cohere's dialect (v2), to the neutral model. Parts and calls have OpenAI's form; what differs is
// the plan before the calls, results as documents, and documents beside the messages.
#include "providers/cohere_priv.h"

#include "providers/openai_priv.h"

#define TOP_KEYS(X) \
    X(T_MODEL, "model") \
    X(T_MESSAGES, "messages") \
    X(T_STREAM, "stream") \
    X(T_TOOLS, "tools") \
    X(T_CHOICE, "tool_choice") \
    X(T_MAX, "max_tokens") \
    X(T_STOP, "stop_sequences") \
    X(T_TEMPERATURE, "temperature") \
    X(T_TOP_P, "p") \
    X(T_TOP_K, "k") \
    X(T_SEED, "seed") \
    X(T_PRESENCE, "presence_penalty") \
    X(T_FREQUENCY, "frequency_penalty") \
    X(T_LOGPROBS, "logprobs") \
    X(T_FORMAT, "response_format") \
    X(T_THINKING, "thinking") \
    X(T_DOCUMENTS, "documents") \
    X(T_V1_MESSAGE, "message")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
const struct span chat_cohere_said_keys[CS_COUNT] = {COHERE_SAID_KEYS(CHAT_KEY_SPAN)};

// --- What the assistant said.

struct chat_citation *chat_cohere_citation(struct chat_ctx *ctx, struct span value)
{
    enum { START, END, TEXT };
    static const struct span keys[] = {SPAN_INIT("start"), SPAN_INIT("end"), SPAN_INIT("text")};
    struct span v[3];
    struct chat_citation *c = chat_alloc(ctx, sizeof *c);
    if (!c || chat_members(ctx, value, keys, 3, v, NULL)) return c;
    *c = (struct chat_citation){.kind = CHAT_CITE_DOCUMENT, .dialect = &dialect_cohere, .raw = value};
    c->start = chat_count(v[START]);
    c->end = chat_count(v[END]);
    c->text = chat_text_or_none(ctx, v[TEXT]);
    return c;
}

static enum rw_err citations(struct chat_ctx *ctx, struct span list, struct chat_part *text)
{
    struct json_iter it = json_iter(list);
    struct span key, element;
    struct chat_citation **next = &text->citations;
    while (json_next(&it, &key, &element)) {
        if (!(*next = chat_cohere_citation(ctx, element))) return RW_E_TOO_LARGE;
        next = &(*next)->next;
    }
    return RW_OK;
}

enum rw_err chat_cohere_said(struct chat_ctx *ctx, const struct span *v, uint32_t index,
                             struct chat_part ***tail)
{
    struct chat_part **first = *tail;
    RW_TRY(chat_openai_content(ctx, v[CS_CONTENT], index, tail));
    if (chat_has(v[CS_PLAN])) {
        struct chat_part *plan = chat_part_new(ctx, CHAT_TEXT);
        if (!plan) return RW_E_TOO_LARGE;
        plan->text = chat_text_or_none(ctx, v[CS_PLAN]);
        plan->name = COHERE_PLAN;
        if (plan->text.n) chat_part_add(tail, plan);
    }
    struct chat_part *text = *first;
    while (text && text->kind != CHAT_TEXT) text = text->next;
    if (text && chat_has(v[CS_CITATIONS])) RW_TRY(citations(ctx, v[CS_CITATIONS], text));
    return chat_openai_calls(ctx, v[CS_CALLS], index, tail);
}

// --- Documents. {"data": {...}, "id"} or a text; what the model reads of it is the object as JSON.

static enum rw_err document_text(struct chat_ctx *ctx, struct span document, struct span *ret)
{
    struct span data = document;
    if (json_type(document) == JSON_OBJECT && !json_member(document, SPAN("data"), &data)) data = document;
    if (json_type(data) == JSON_STRING) return chat_text(ctx, data, ret);
    *ret = chat_compact(ctx, data);
    return RW_OK;
}

// A result is a text, or texts and documents; a document is kept as it was written for its own dialect.
static enum rw_err result(struct chat_ctx *ctx, const struct span *v, uint32_t index, struct chat_part *part)
{
    struct json_iter it = json_iter(v[CS_CONTENT]);
    struct span key, element, document;
    struct chat_part **tail = &part->content;
    part->id = chat_text_or_none(ctx, v[CS_CALL_ID]);
    if (!part->id.n)
        return chat_bad(ctx, SPAN("A tool message needs tool_call_id."), "messages[%].tool_call_id", index, 0,
                        0);
    if (!chat_has(v[CS_CONTENT]) || json_type(v[CS_CONTENT]) != JSON_ARRAY)
        return chat_openai_content(ctx, v[CS_CONTENT], index, &tail);
    while (json_next(&it, &key, &element)) {
        struct chat_part *p = chat_part_new(ctx, CHAT_TEXT);
        if (!p) return RW_E_TOO_LARGE;
        chat_part_add(&tail, p);
        if (json_member(element, SPAN("document"), &document)) {
            p->raw = element;
            RW_TRY(document_text(ctx, document, &p->text));
        } else if (json_member(element, SPAN("text"), &document)) {
            p->text = chat_text_or_none(ctx, document);
        }
        if (!chat_has(p->text))
            return chat_bad(ctx, SPAN("A tool's result is text or documents."), "messages[%].content", index,
                            0, 0);
    }
    return RW_OK;
}

// Documents beside the messages belong to what the user said last; citations of them are wanted.
static enum rw_err beside(struct chat_ctx *ctx, struct span list, struct chat_request *rq)
{
    struct chat_message *user = NULL;
    if (!chat_has(list)) return RW_OK;
    for (struct chat_message *m = rq->messages; m; m = m->next)
        if (m->role == CHAT_USER) user = m;
    struct json_iter it = json_iter(list);
    struct span key, element, title;
    if (json_type(list) != JSON_ARRAY || !user)
        return chat_bad(ctx, SPAN("documents is a list, and a message of the user's asks about it."),
                        "documents", 0, 0, 0);
    struct chat_part *said = user->parts, **tail = &user->parts;
    while (json_next(&it, &key, &element)) {
        struct chat_part *p = chat_part_new(ctx, CHAT_DOCUMENT);
        if (!p) return RW_E_TOO_LARGE;
        chat_part_add(&tail, p);
        p->name = COHERE_BESIDE;
        p->raw = element;
        p->cited = CHAT_YES;
        p->media.source = CHAT_PLAIN;
        p->media.type = SPAN("text/plain");
        if (json_path(element, "data.title", &title)) p->media.name = chat_text_or_none(ctx, title);
        RW_TRY(document_text(ctx, element, &p->media.data));
    }
    *tail = said;
    return RW_OK;
}

// --- Messages.

static enum rw_err message(struct chat_ctx *ctx, struct span value, uint32_t index,
                           struct chat_message ***next)
{
    static const struct {
        struct span word;
        enum chat_role role;
    } roles[] = {{SPAN_INIT("user"), CHAT_USER},
                 {SPAN_INIT("assistant"), CHAT_ASSISTANT},
                 {SPAN_INIT("system"), CHAT_SYSTEM},
                 {SPAN_INIT("tool"), CHAT_TOOL}};
    struct span v[CS_COUNT];
    struct chat_message *m = chat_alloc(ctx, sizeof *m);
    if (!m) return RW_E_TOO_LARGE;
    RW_TRY(chat_members(ctx, value, chat_cohere_said_keys, CS_COUNT, v, &m->extra));
    const struct span word = chat_text_or_none(ctx, v[CS_ROLE]);
    uint32_t i = 0;
    while (i < 4 && !span_eq(word, roles[i].word)) i++;
    if (i == 4)
        return chat_bad(ctx, SPAN("The role is one of system, user, assistant, tool."), "messages[%].role",
                        index, 0, 0);
    m->role = roles[i].role;
    m->index = index;
    **next = m;
    *next = &m->next;
    struct chat_part **tail = &m->parts;
    if (m->role == CHAT_TOOL) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TOOL_RESULT);
        if (!part) return RW_E_TOO_LARGE;
        chat_part_add(&tail, part);
        return result(ctx, v, index, part);
    }
    if (m->role == CHAT_ASSISTANT) return chat_cohere_said(ctx, v, index, &tail);
    if (!chat_has(v[CS_CONTENT]))
        return chat_bad(ctx, SPAN("The message has no content."), "messages[%].content", index, 0, 0);
    return chat_openai_content(ctx, v[CS_CONTENT], index, &tail);
}

static enum rw_err messages(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_message **next = &rq->messages;
    struct json_iter it = json_iter(v[T_MESSAGES]);
    struct span key, element;
    uint32_t index = 0;
    if (chat_has(v[T_V1_MESSAGE]) && !chat_has(v[T_MESSAGES]))
        return chat_bad(ctx,
                        SPAN("This is a request of Cohere's v1 API, which is not served: send 'messages' to "
                             "/v2/chat."),
                        "message", 0, 0, 0);
    while (chat_has(v[T_MESSAGES]) && !it.object && json_next(&it, &key, &element))
        RW_TRY(message(ctx, element, index++, &next));
    if (!index)
        return chat_bad(ctx, SPAN("messages is a list with at least one message."), "messages", 0, 0, 0);
    return beside(ctx, v[T_DOCUMENTS], rq);
}

// --- Tools.

static enum rw_err tool(struct chat_ctx *ctx, struct span value, struct chat_tool *t)
{
    enum { NAME, DESCRIPTION, PARAMETERS };
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("description"), SPAN_INIT("parameters")};
    struct span v[3], function;
    if (!json_member(value, SPAN("function"), &function)) function = (struct span){NULL, 0};
    RW_TRY(chat_members(ctx, function, keys, 3, v, &t->extra));
    t->name = chat_text_or_none(ctx, v[NAME]);
    t->description = chat_text_or_none(ctx, v[DESCRIPTION]);
    t->schema = v[PARAMETERS];
    return t->name.n ? RW_OK : chat_bad(ctx, SPAN("A tool needs function.name."), "tools", 0, 0, 0);
}

static enum rw_err tools(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct chat_tool **next = &rq->tools;
    struct json_iter it = json_iter(v[T_TOOLS]);
    struct span key, element;
    while (chat_has(v[T_TOOLS]) && json_next(&it, &key, &element)) {
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        RW_TRY(tool(ctx, element, *next));
        next = &(*next)->next;
    }
    if (!chat_has(v[T_CHOICE]) || !rq->tools) return RW_OK;
    const struct span word = chat_text_or_none(ctx, v[T_CHOICE]);
    if (span_ieq(word, SPAN("REQUIRED"))) rq->tool_choice.kind = CHAT_CHOICE_REQUIRED;
    if (span_ieq(word, SPAN("NONE"))) rq->tool_choice.kind = CHAT_CHOICE_NONE;
    return rq->tool_choice.kind
        ? RW_OK
        : chat_bad(ctx, SPAN("tool_choice is REQUIRED or NONE."), "tool_choice", 0, 0, 0);
}

// --- The rest.

static enum rw_err format(struct chat_ctx *ctx, struct span value, struct chat_format *ret)
{
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("json_schema"), SPAN_INIT("schema")};
    struct span v[3];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[0]);
    ret->schema = chat_has(v[1]) ? v[1] : v[2];
    if (span_eq(type, SPAN("text"))) ret->kind = CHAT_FORMAT_TEXT;
    if (span_eq(type, SPAN("json_object")))
        ret->kind = chat_has(ret->schema) ? CHAT_FORMAT_SCHEMA : CHAT_FORMAT_JSON;
    return ret->kind
        ? RW_OK
        : chat_bad(ctx, SPAN("response_format.type is text or json_object."), "response_format", 0, 0, 0);
}

static enum rw_err thinking(struct chat_ctx *ctx, struct span value, struct chat_thinking *t)
{
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("token_budget")};
    struct span v[2];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[0]);
    t->budget = chat_count(v[1]);
    if (span_eq(type, SPAN("disabled"))) t->mode = CHAT_THINK_OFF;
    if (span_eq(type, SPAN("enabled"))) {
        t->mode = t->budget >= 0 ? CHAT_THINK_BUDGET : CHAT_THINK_ADAPTIVE;
        t->show = CHAT_YES;
    }
    return t->mode ? RW_OK
                   : chat_bad(ctx, SPAN("thinking.type is enabled or disabled."), "thinking", 0, 0, 0);
}

static enum rw_err numbers(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    const struct {
        uint32_t from;
        struct span *to;
    } list[] = {{T_MAX, &rq->max_tokens},
                {T_TEMPERATURE, &rq->temperature},
                {T_TOP_P, &rq->top_p},
                {T_TOP_K, &rq->top_k},
                {T_SEED, &rq->seed},
                {T_PRESENCE, &rq->presence_penalty},
                {T_FREQUENCY, &rq->frequency_penalty}};
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++) {
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

enum rw_err chat_cohere_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT];
    *ret = (struct chat_request){.dialect = &dialect_cohere, .usage_wanted = true};
    RW_TRY(chat_members(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    ret->model = chat_text_or_none(ctx, v[T_MODEL]);
    ret->stream = chat_true(v[T_STREAM]);
    RW_TRY(numbers(ctx, v, ret));
    ret->logprobs = chat_true(v[T_LOGPROBS]);
    if (chat_has(v[T_STOP]) && chat_names(ctx, v[T_STOP], &ret->stop))
        return chat_bad(ctx, SPAN("stop_sequences is a list of strings."), "stop_sequences", 0, 0, 0);
    RW_TRY(format(ctx, v[T_FORMAT], &ret->format));
    RW_TRY(thinking(ctx, v[T_THINKING], &ret->thinking));
    RW_TRY(tools(ctx, v, ret));
    return messages(ctx, v, ret);
}
