// See dialect.h: a request in OpenAI's chat dialect, to the neutral model. Explicit nulls are absent fields. What Mistral's
// clients send to the same path is understood, too: random_seed, tool_choice "any".
#include "providers/openai_priv.h"

#define TOP_KEYS(X) \
    X(T_MODEL, "model") \
    X(T_MESSAGES, "messages") \
    X(T_STREAM, "stream") \
    X(T_STREAM_OPTIONS, "stream_options") \
    X(T_MAX_COMPLETION, "max_completion_tokens") \
    X(T_MAX, "max_tokens") \
    X(T_TEMPERATURE, "temperature") \
    X(T_TOP_P, "top_p") \
    X(T_TOP_K, "top_k") \
    X(T_N, "n") \
    X(T_STOP, "stop") \
    X(T_PRESENCE, "presence_penalty") \
    X(T_FREQUENCY, "frequency_penalty") \
    X(T_LOGPROBS, "logprobs") \
    X(T_TOP_LOGPROBS, "top_logprobs") \
    X(T_SEED, "seed") \
    X(T_RANDOM_SEED, "random_seed") \
    X(T_USER, "user") \
    X(T_TOOLS, "tools") \
    X(T_TOOL_CHOICE, "tool_choice") \
    X(T_PARALLEL, "parallel_tool_calls") \
    X(T_FUNCTIONS, "functions") \
    X(T_FUNCTION_CALL, "function_call") \
    X(T_FORMAT, "response_format") \
    X(T_EFFORT, "reasoning_effort") \
    X(T_TIER, "service_tier")

#define MESSAGE_KEYS(X) \
    X(M_ROLE, "role") \
    X(M_CONTENT, "content") \
    X(M_NAME, "name") \
    X(M_CALLS, "tool_calls") \
    X(M_CALL_ID, "tool_call_id") \
    X(M_REFUSAL, "refusal") \
    X(M_FUNCTION_CALL, "function_call") \
    X(M_REASONING, "reasoning_content") \
    X(M_THINKING, "thinking_blocks") \
    X(M_CACHE, "cache_control")

#define PART_KEYS(X) \
    X(P_TYPE, "type") \
    X(P_TEXT, "text") \
    X(P_IMAGE, "image_url") \
    X(P_AUDIO, "input_audio") \
    X(P_FILE, "file") \
    X(P_REFUSAL, "refusal") \
    X(P_THINKING, "thinking") \
    X(P_CACHE, "cache_control")

#define TOOL_KEYS(X) \
    X(F_NAME, "name") \
    X(F_DESCRIPTION, "description") \
    X(F_PARAMETERS, "parameters") \
    X(F_STRICT, "strict")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
enum { MESSAGE_KEYS(CHAT_KEY_ENUM) MESSAGE_COUNT };
enum { PART_KEYS(CHAT_KEY_ENUM) PART_COUNT };
enum { TOOL_KEYS(CHAT_KEY_ENUM) TOOL_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
static const struct span message_keys[] = {MESSAGE_KEYS(CHAT_KEY_SPAN)};
static const struct span part_keys[] = {PART_KEYS(CHAT_KEY_SPAN)};
static const struct span tool_keys[] = {TOOL_KEYS(CHAT_KEY_SPAN)};

// --- Parts.

static enum rw_err bad_part(struct chat_ctx *ctx, uint32_t index, struct span text)
{
    return chat_bad(ctx, text, "messages[%].content", index, 0, 0);
}

static enum rw_err image(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_media *ret)
{
    enum { URL, DETAIL };
    static const struct span keys[] = {SPAN_INIT("url"), SPAN_INIT("detail")};
    struct span v[2] = {value, {NULL, 0}}, url;
    if (json_type(value) == JSON_OBJECT) RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    if (!chat_has(v[URL]) || chat_text(ctx, v[URL], &url))
        return bad_part(ctx, index, SPAN("An image needs image_url.url."));
    ret->detail = chat_text_or_none(ctx, v[DETAIL]);
    const enum rw_err err = chat_media_url(ctx, url, ret);
    return err == RW_E_BAD ? bad_part(ctx, index, SPAN("The image's data URL is not valid base64.")) : err;
}

static enum rw_err audio(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_media *ret)
{
    static const struct span keys[] = {SPAN_INIT("data"), SPAN_INIT("format")};
    struct span v[2];
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    const struct span format = chat_text_or_none(ctx, v[1]);
    ret->source = CHAT_DATA;
    ret->data = chat_text_or_none(ctx, v[0]);
    ret->type = chat_concat(ctx, (struct span[]){SPAN("audio/"), format}, 2);
    return chat_has(ret->data) && format.n ? RW_OK
                                           : bad_part(ctx, index, SPAN("Audio needs data and format."));
}

static enum rw_err file(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_media *ret)
{
    enum { ID, DATA, NAME };
    static const struct span keys[] = {SPAN_INIT("file_id"), SPAN_INIT("file_data"), SPAN_INIT("filename")};
    struct span v[3];
    RW_TRY(chat_members(ctx, value, keys, 3, v, NULL));
    ret->name = chat_text_or_none(ctx, v[NAME]);
    if (chat_has(v[ID])) {
        ret->source = CHAT_FILE_ID;
        ret->data = chat_text_or_none(ctx, v[ID]);
        return RW_OK;
    }
    const struct span data = chat_text_or_none(ctx, v[DATA]);
    if (!chat_has(data)) return bad_part(ctx, index, SPAN("A file needs file_data or file_id."));
    const enum rw_err err = chat_media_url(ctx, data, ret);
    return err == RW_E_BAD ? bad_part(ctx, index, SPAN("The file's data URL is not valid base64.")) : err;
}

static void cache_mark(struct chat_ctx *ctx, struct span mark, struct chat_part *part)
{
    struct span ttl = {NULL, 0};
    if (!chat_has(mark)) return;
    part->cache = true;
    if (json_member(mark, SPAN("ttl"), &ttl)) part->cache_ttl = chat_text_or_none(ctx, ttl);
}

static enum rw_err one_part(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    struct span v[PART_COUNT];
    RW_TRY(chat_members(ctx, value, part_keys, PART_COUNT, v, &part->extra));
    const struct span type = chat_text_or_none(ctx, v[P_TYPE]);
    cache_mark(ctx, v[P_CACHE], part);
    part->kind = CHAT_TEXT;
    if (span_eq(type, SPAN("text"))) {
        part->text = chat_text_or_none(ctx, v[P_TEXT]);
        return chat_has(part->text) ? RW_OK : bad_part(ctx, index, SPAN("A text part needs text."));
    }
    if (span_eq(type, SPAN("refusal"))) {
        part->kind = CHAT_REFUSAL;
        part->text = chat_text_or_none(ctx, v[P_REFUSAL]);
        return chat_has(part->text) ? RW_OK : bad_part(ctx, index, SPAN("A refusal part needs refusal."));
    }
    if (span_eq(type, SPAN("image_url"))) {
        part->kind = CHAT_IMAGE;
        return image(ctx, v[P_IMAGE], index, &part->media);
    }
    if (span_eq(type, SPAN("input_audio"))) {
        part->kind = CHAT_AUDIO;
        return audio(ctx, v[P_AUDIO], index, &part->media);
    }
    if (span_eq(type, SPAN("file"))) {
        part->kind = CHAT_DOCUMENT;
        return file(ctx, v[P_FILE], index, &part->media);
    }
    if (!type.n) return bad_part(ctx, index, SPAN("A content part needs a type."));
    part->kind = CHAT_RAW;
    part->name = type;
    part->raw = value;
    part->extra = NULL;
    return RW_OK;
}

// Mistral's chunk {"type":"thinking","thinking":[{"type":"text","text":"..."}]}.
static struct span thinking_chunk(struct chat_ctx *ctx, struct span element)
{
    struct span list, one, text = {NULL, 0}, key, value;
    if (!json_member(element, SPAN("thinking"), &list)) return text;
    if (json_type(list) == JSON_STRING) return chat_text_or_none(ctx, list);
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &one)) {
        if (!json_member(one, SPAN("text"), &value)) continue;
        const struct span more = chat_text_or_none(ctx, value);
        text = text.n ? chat_concat(ctx, (struct span[]){text, more}, 2) : more;
    }
    return text;
}

enum rw_err chat_openai_content(struct chat_ctx *ctx, struct span content, uint32_t index,
                                struct chat_part ***tail)
{
    if (!chat_has(content)) return RW_OK;
    if (json_type(content) == JSON_STRING) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TEXT);
        if (!part) return RW_E_TOO_LARGE;
        chat_part_add(tail, part);
        return chat_text(ctx, content, &part->text);
    }
    if (json_type(content) != JSON_ARRAY)
        return bad_part(ctx, index, SPAN("content is a string or a list of parts."));
    struct json_iter it = json_iter(content);
    struct span key, element;
    while (json_next(&it, &key, &element)) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TEXT);
        if (!part) return RW_E_TOO_LARGE;
        RW_TRY(one_part(ctx, element, index, part));
        const struct span thought = part->kind == CHAT_RAW && span_eq(part->name, SPAN("thinking"))
            ? thinking_chunk(ctx, element)
            : (struct span){NULL, 0};
        if (chat_has(thought)) *part = (struct chat_part){.kind = CHAT_THINKING, .text = thought};
        chat_part_add(tail, part);
    }
    return RW_OK;
}

// --- What the assistant said.

enum rw_err chat_openai_thoughts(struct chat_ctx *ctx, struct span text, struct span blocks,
                                 struct chat_part ***tail)
{
    enum { TYPE, THINKING, SIGNATURE, DATA };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("thinking"), SPAN_INIT("signature"),
                                       SPAN_INIT("data")};
    struct json_iter it = json_iter(blocks);
    struct span key, block;
    bool any = false;
    while (chat_has(blocks) && json_next(&it, &key, &block)) {
        struct span v[4];
        RW_TRY(chat_members(ctx, block, keys, 4, v, NULL));
        const bool redacted = span_eq(chat_text_or_none(ctx, v[TYPE]), SPAN("redacted_thinking"));
        struct chat_part *part = chat_part_new(ctx, redacted ? CHAT_REDACTED : CHAT_THINKING);
        if (!part) return RW_E_TOO_LARGE;
        part->text = chat_text_or_none(ctx, v[THINKING]);
        part->signature = chat_text_or_none(ctx, v[redacted ? DATA : SIGNATURE]);
        chat_part_add(tail, part);
        any = true;
    }
    if (any || !chat_has(text) || json_type(text) != JSON_STRING) return RW_OK;
    struct chat_part *part = chat_part_new(ctx, CHAT_THINKING);
    if (!part) return RW_E_TOO_LARGE;
    RW_TRY(chat_text(ctx, text, &part->text));
    if (part->text.n) chat_part_add(tail, part);
    return RW_OK;
}

// {"name", "arguments"}; servers that send the arguments as an object are understood.
static enum rw_err function_call(struct chat_ctx *ctx, struct span value, uint32_t index,
                                 struct chat_part *part)
{
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("arguments")};
    struct span v[2];
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    part->name = chat_text_or_none(ctx, v[0]);
    if (!part->name.n)
        return chat_bad(ctx, SPAN("A tool call needs function.name."), "messages[%].tool_calls", index, 0, 0);
    if (chat_has(v[1]) && json_type(v[1]) == JSON_OBJECT) part->arguments = chat_compact(ctx, v[1]);
    else part->arguments = chat_text_or_none(ctx, v[1]);
    if (!chat_has(part->arguments)) part->arguments = SPAN("");
    return RW_OK;
}

enum rw_err chat_openai_calls(struct chat_ctx *ctx, struct span calls, uint32_t index,
                              struct chat_part ***tail)
{
    enum { ID, TYPE, FUNCTION, CUSTOM, CONTENT, POSITION, KEYS };
    static const struct span keys[] = {SPAN_INIT("id"),     SPAN_INIT("type"),          SPAN_INIT("function"),
                                       SPAN_INIT("custom"), SPAN_INIT("extra_content"), SPAN_INIT("index")};
    struct json_iter it = json_iter(calls);
    struct span key, call, signature;
    while (chat_has(calls) && json_next(&it, &key, &call)) {
        struct span v[KEYS];
        struct chat_part *part = chat_part_new(ctx, CHAT_TOOL_CALL);
        if (!part) return RW_E_TOO_LARGE;
        RW_TRY(chat_members(ctx, call, keys, KEYS, v, &part->extra));
        part->id = chat_text_or_none(ctx, v[ID]);
        if (chat_has(v[CUSTOM])) {
            part->kind = CHAT_RAW;
            part->name = SPAN("custom");
            part->raw = call;
            part->extra = NULL;
        } else {
            RW_TRY(function_call(ctx, v[FUNCTION], index, part));
        }
        if (chat_has(v[CONTENT]) && json_path(v[CONTENT], "google.thought_signature", &signature))
            part->signature = chat_text_or_none(ctx, signature);
        chat_part_add(tail, part);
    }
    return RW_OK;
}

// --- Messages.

struct messages {
    struct chat_message **next;
    struct span legacy_id; // of the last function_call
    bool legacy;
};

static bool role_of(struct span word, enum chat_role *ret)
{
    static const struct {
        struct span word;
        enum chat_role role;
    } roles[] = {{SPAN_INIT("user"), CHAT_USER},           {SPAN_INIT("assistant"), CHAT_ASSISTANT},
                 {SPAN_INIT("system"), CHAT_SYSTEM},       {SPAN_INIT("tool"), CHAT_TOOL},
                 {SPAN_INIT("developer"), CHAT_DEVELOPER}, {SPAN_INIT("function"), CHAT_TOOL}};
    for (uint32_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (!span_eq(word, roles[i].word)) continue;
        *ret = roles[i].role;
        return true;
    }
    return false;
}

static enum rw_err tool_message(struct chat_ctx *ctx, const struct span *v, const struct messages *list,
                                struct chat_message *m)
{
    struct chat_part *result = chat_part_new(ctx, CHAT_TOOL_RESULT);
    if (!result) return RW_E_TOO_LARGE;
    result->id = chat_text_or_none(ctx, v[M_CALL_ID]);
    result->name = chat_text_or_none(ctx, v[M_NAME]);
    if (!chat_has(result->id)) result->id = list->legacy_id;
    if (!chat_has(result->id))
        return chat_bad(ctx, SPAN("A tool message needs tool_call_id."), "messages[%].tool_call_id", m->index,
                        0, 0);
    struct chat_part **tail = &result->content;
    m->parts = result;
    return chat_openai_content(ctx, v[M_CONTENT], m->index, &tail);
}

static enum rw_err assistant_message(struct chat_ctx *ctx, const struct span *v, struct messages *list,
                                     struct chat_message *m)
{
    struct chat_part **tail = &m->parts;
    RW_TRY(chat_openai_thoughts(ctx, v[M_REASONING], v[M_THINKING], &tail));
    RW_TRY(chat_openai_content(ctx, v[M_CONTENT], m->index, &tail));
    struct span refusal;
    if (chat_has(v[M_REFUSAL]) && chat_text(ctx, v[M_REFUSAL], &refusal) == RW_OK) {
        struct chat_part *part = chat_part_new(ctx, CHAT_REFUSAL);
        if (!part) return RW_E_TOO_LARGE;
        part->text = refusal;
        chat_part_add(&tail, part);
    }
    if (chat_has(v[M_FUNCTION_CALL])) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TOOL_CALL);
        if (!part) return RW_E_TOO_LARGE;
        RW_TRY(function_call(ctx, v[M_FUNCTION_CALL], m->index, part));
        part->id = list->legacy_id = chat_format(ctx, "call_%", m->index, 0, 0);
        list->legacy = true;
        chat_part_add(&tail, part);
    }
    return chat_openai_calls(ctx, v[M_CALLS], m->index, &tail);
}

static enum rw_err message(struct chat_ctx *ctx, struct span value, uint32_t index, struct messages *list)
{
    struct span v[MESSAGE_COUNT];
    struct chat_message *m = chat_alloc(ctx, sizeof *m);
    if (!m) return RW_E_TOO_LARGE;
    RW_TRY(chat_members(ctx, value, message_keys, MESSAGE_COUNT, v, &m->extra));
    m->index = index;
    if (!role_of(chat_text_or_none(ctx, v[M_ROLE]), &m->role))
        return chat_bad(ctx, SPAN("The role is one of system, developer, user, assistant, tool."),
                        "messages[%].role", index, 0, 0);
    *list->next = m;
    list->next = &m->next;
    if (m->role == CHAT_TOOL) return tool_message(ctx, v, list, m);
    m->name = chat_text_or_none(ctx, v[M_NAME]);
    if (m->role == CHAT_ASSISTANT) return assistant_message(ctx, v, list, m);
    if (!chat_has(v[M_CONTENT])) return bad_part(ctx, index, SPAN("The message has no content."));
    struct chat_part **tail = &m->parts;
    RW_TRY(chat_openai_content(ctx, v[M_CONTENT], index, &tail));
    if (!chat_has(v[M_CACHE])) return RW_OK;
    struct chat_part *last = m->parts;
    while (last && last->next) last = last->next;
    if (last) cache_mark(ctx, v[M_CACHE], last);
    return RW_OK;
}

static enum rw_err messages(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    struct messages list = {.next = &rq->messages};
    struct json_iter it = json_iter(value);
    struct span key, element;
    uint32_t index = 0;
    while (chat_has(value) && !it.object && json_next(&it, &key, &element))
        RW_TRY(message(ctx, element, index++, &list));
    if (!rq->messages)
        return chat_bad(ctx, SPAN("messages is a list with at least one message."), "messages", 0, 0, 0);
    rq->legacy_functions |= list.legacy;
    return RW_OK;
}

// --- Tools.

static enum rw_err function(struct chat_ctx *ctx, struct span value, struct chat_tool *tool)
{
    struct span v[TOOL_COUNT];
    RW_TRY(chat_members(ctx, value, tool_keys, TOOL_COUNT, v, &tool->extra));
    tool->name = chat_text_or_none(ctx, v[F_NAME]);
    tool->description = chat_text_or_none(ctx, v[F_DESCRIPTION]);
    tool->schema = v[F_PARAMETERS];
    tool->strict = chat_tri_of(v[F_STRICT]);
    return tool->name.n ? RW_OK : chat_bad(ctx, SPAN("A function needs a name."), "tools", 0, 0, 0);
}

static enum rw_err tools(struct chat_ctx *ctx, struct span value, bool legacy, struct chat_request *rq)
{
    struct chat_tool **next = &rq->tools;
    struct json_iter it = json_iter(value);
    struct span key, element, inner, mark;
    while (chat_has(value) && json_next(&it, &key, &element)) {
        struct chat_tool *tool = chat_alloc(ctx, sizeof *tool);
        if (!tool) return RW_E_TOO_LARGE;
        *next = tool;
        next = &tool->next;
        if (json_member(element, SPAN("cache_control"), &mark)) tool->cache = true;
        if (legacy) {
            RW_TRY(function(ctx, element, tool));
        } else if (json_member(element, SPAN("function"), &inner) && json_type(inner) == JSON_OBJECT) {
            RW_TRY(function(ctx, inner, tool));
        } else {
            tool->kind = json_member(element, SPAN("custom"), &inner) ? CHAT_CUSTOM : CHAT_HOSTED;
            tool->raw = element;
            if (json_member(element, SPAN("type"), &inner)) tool->name = chat_text_or_none(ctx, inner);
        }
    }
    return RW_OK;
}

static enum rw_err allowed_tools(struct chat_ctx *ctx, struct span value, struct chat_tool_choice *ret)
{
    struct span mode, list, key, element, name;
    struct chat_name **next = &ret->allowed;
    ret->kind = CHAT_CHOICE_ALLOWED;
    if (json_member(value, SPAN("mode"), &mode))
        ret->allowed_required = span_eq(chat_text_or_none(ctx, mode), SPAN("required"));
    if (!json_member(value, SPAN("tools"), &list)) return RW_OK;
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &element)) {
        if (!json_path(element, "function.name", &name) && !json_member(element, SPAN("name"), &name))
            continue;
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        (*next)->name = chat_text_or_none(ctx, name);
        next = &(*next)->next;
    }
    return RW_OK;
}

static enum rw_err tool_choice(struct chat_ctx *ctx, struct span value, struct chat_tool_choice *ret)
{
    struct span inner;
    if (!chat_has(value)) return RW_OK;
    const struct span word = chat_text_or_none(ctx, value);
    if (span_eq(word, SPAN("none"))) ret->kind = CHAT_CHOICE_NONE;
    if (span_eq(word, SPAN("auto"))) ret->kind = CHAT_CHOICE_AUTO;
    if (span_eq(word, SPAN("required")) || span_eq(word, SPAN("any"))) ret->kind = CHAT_CHOICE_REQUIRED;
    if (chat_has(word))
        return ret->kind ? RW_OK
                         : chat_bad(ctx, SPAN("tool_choice is none, auto, required or an object."),
                                    "tool_choice", 0, 0, 0);
    if (json_path(value, "function.name", &inner) || json_member(value, SPAN("name"), &inner)) {
        ret->kind = CHAT_CHOICE_NAMED;
        ret->name = chat_text_or_none(ctx, inner);
        return RW_OK;
    }
    if (json_member(value, SPAN("allowed_tools"), &inner)) return allowed_tools(ctx, inner, ret);
    ret->kind = CHAT_CHOICE_RAW;
    ret->raw = value;
    return RW_OK;
}

// --- The rest.

static enum rw_err response_format(struct chat_ctx *ctx, struct span value, struct chat_format *ret)
{
    enum { NAME, DESCRIPTION, SCHEMA, STRICT };
    static const struct span keys[] = {SPAN_INIT("name"), SPAN_INIT("description"), SPAN_INIT("schema"),
                                       SPAN_INIT("strict")};
    struct span type, inner, v[4];
    if (!chat_has(value)) return RW_OK;
    if (!json_member(value, SPAN("type"), &type)) type = value;
    const struct span word = chat_text_or_none(ctx, type);
    if (span_eq(word, SPAN("text"))) ret->kind = CHAT_FORMAT_TEXT;
    if (span_eq(word, SPAN("json_object"))) ret->kind = CHAT_FORMAT_JSON;
    if (span_eq(word, SPAN("json_schema"))) ret->kind = CHAT_FORMAT_SCHEMA;
    if (ret->kind == CHAT_FORMAT_UNSAID)
        return chat_bad(ctx, SPAN("response_format.type is text, json_object or json_schema."),
                        "response_format", 0, 0, 0);
    if (ret->kind != CHAT_FORMAT_SCHEMA) return RW_OK;
    if (!json_member(value, SPAN("json_schema"), &inner)) inner = (struct span){NULL, 0};
    RW_TRY(chat_members(ctx, inner, keys, 4, v, NULL));
    ret->name = chat_text_or_none(ctx, v[NAME]);
    ret->description = chat_text_or_none(ctx, v[DESCRIPTION]);
    ret->schema = v[SCHEMA];
    ret->strict = chat_tri_of(v[STRICT]);
    return RW_OK;
}

static enum rw_err numbers(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    const struct {
        uint32_t from;
        struct span *to;
    } list[] = {{T_MAX, &rq->max_tokens},
                {T_MAX_COMPLETION, &rq->max_tokens},
                {T_TEMPERATURE, &rq->temperature},
                {T_TOP_P, &rq->top_p},
                {T_TOP_K, &rq->top_k},
                {T_N, &rq->n},
                {T_PRESENCE, &rq->presence_penalty},
                {T_FREQUENCY, &rq->frequency_penalty},
                {T_TOP_LOGPROBS, &rq->top_logprobs},
                {T_RANDOM_SEED, &rq->seed},
                {T_SEED, &rq->seed}};
    for (uint32_t i = 0; i < sizeof list / sizeof *list; i++) {
        const struct span value = v[list[i].from];
        if (!chat_has(value)) continue;
        if (json_type(value) != JSON_NUMBER) {
            ctx->problem = (struct chat_problem){.param = top_keys[list[i].from],
                                                 .text = SPAN("This field is a number.")};
            return RW_E_BAD;
        }
        *list[i].to = value;
    }
    return RW_OK;
}

static enum rw_err tools_all(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    RW_TRY(tools(ctx, v[T_TOOLS], false, rq));
    RW_TRY(tool_choice(ctx, v[T_TOOL_CHOICE], &rq->tool_choice));
    rq->parallel_tools = chat_tri_of(v[T_PARALLEL]);
    if (!rq->tools && chat_has(v[T_FUNCTIONS])) {
        RW_TRY(tools(ctx, v[T_FUNCTIONS], true, rq));
        RW_TRY(tool_choice(ctx, v[T_FUNCTION_CALL], &rq->tool_choice));
        rq->legacy_functions = true;
    }
    // An empty list is none, and then nothing may be said of it.
    if (!rq->tools) {
        rq->tool_choice = (struct chat_tool_choice){0};
        rq->parallel_tools = CHAT_UNSAID;
    }
    return RW_OK;
}

enum rw_err chat_openai_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT], usage;
    *ret = (struct chat_request){.dialect = &dialect_openai};
    RW_TRY(chat_members(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    ret->model = chat_text_or_none(ctx, v[T_MODEL]);
    ret->stream = chat_true(v[T_STREAM]);
    ret->usage_wanted = chat_has(v[T_STREAM_OPTIONS]) &&
        json_member(v[T_STREAM_OPTIONS], SPAN("include_usage"), &usage) && chat_true(usage);
    RW_TRY(numbers(ctx, v, ret));
    ret->logprobs = chat_true(v[T_LOGPROBS]);
    if (chat_has(v[T_STOP]) && chat_names(ctx, v[T_STOP], &ret->stop))
        return chat_bad(ctx, SPAN("stop is a string or a list of strings."), "stop", 0, 0, 0);
    ret->user = chat_text_or_none(ctx, v[T_USER]);
    ret->service_tier = chat_text_or_none(ctx, v[T_TIER]);
    ret->thinking.effort = chat_effort_of(chat_text_or_none(ctx, v[T_EFFORT]));
    if (chat_has(v[T_EFFORT]) && !ret->thinking.effort)
        return chat_bad(ctx, SPAN("This effort is not known."), "reasoning_effort", 0, 0, 0);
    RW_TRY(response_format(ctx, v[T_FORMAT], &ret->format));
    RW_TRY(tools_all(ctx, v, ret));
    return messages(ctx, v[T_MESSAGES], ret);
}
