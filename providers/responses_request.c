// See dialect.h: a request in OpenAI's responses dialect, to the neutral model. What the assistant said is a row of items there
// (texts, thoughts, calls) and one message here; so are the results of its calls. The first part of each item has the item as
// `raw`, for its own dialect.
#include "providers/responses_priv.h"

#define TOP_KEYS(X) \
    X(T_MODEL, "model") \
    X(T_INPUT, "input") \
    X(T_INSTRUCTIONS, "instructions") \
    X(T_STREAM, "stream") \
    X(T_STREAM_OPTIONS, "stream_options") \
    X(T_MAX, "max_output_tokens") \
    X(T_TEMPERATURE, "temperature") \
    X(T_TOP_P, "top_p") \
    X(T_TOP_LOGPROBS, "top_logprobs") \
    X(T_TOOLS, "tools") \
    X(T_CHOICE, "tool_choice") \
    X(T_PARALLEL, "parallel_tool_calls") \
    X(T_TEXT, "text") \
    X(T_REASONING, "reasoning") \
    X(T_TIER, "service_tier") \
    X(T_USER, "user") \
    X(T_STORE, "store") \
    X(T_INCLUDE, "include") \
    X(T_TRUNCATION, "truncation") \
    X(T_PROMPT, "prompt") \
    X(T_BACKGROUND, "background")

#define ITEM_KEYS(X) \
    X(I_TYPE, "type") \
    X(I_ROLE, "role") \
    X(I_CONTENT, "content") \
    X(I_ID, "id") \
    X(I_STATUS, "status") \
    X(I_CALL_ID, "call_id") \
    X(I_NAME, "name") \
    X(I_ARGUMENTS, "arguments") \
    X(I_OUTPUT, "output") \
    X(I_SUMMARY, "summary") \
    X(I_ENCRYPTED, "encrypted_content")

#define PART_KEYS(X) \
    X(P_TYPE, "type") \
    X(P_TEXT, "text") \
    X(P_REFUSAL, "refusal") \
    X(P_IMAGE, "image_url") \
    X(P_DETAIL, "detail") \
    X(P_FILE_ID, "file_id") \
    X(P_FILE_DATA, "file_data") \
    X(P_FILE_URL, "file_url") \
    X(P_FILENAME, "filename") \
    X(P_ANNOTATIONS, "annotations") \
    X(P_LOGPROBS, "logprobs")

enum { TOP_KEYS(CHAT_KEY_ENUM) TOP_COUNT };
enum { ITEM_KEYS(CHAT_KEY_ENUM) ITEM_COUNT };
enum { PART_KEYS(CHAT_KEY_ENUM) PART_COUNT };
static const struct span top_keys[] = {TOP_KEYS(CHAT_KEY_SPAN)};
static const struct span item_keys[] = {ITEM_KEYS(CHAT_KEY_SPAN)};
static const struct span part_keys[] = {PART_KEYS(CHAT_KEY_SPAN)};

struct input {
    struct chat_message **next;
    struct chat_message *open; // the last one
    struct chat_part **tail; // of its parts
};

// --- Parts.

static enum rw_err bad_item(struct chat_ctx *ctx, uint32_t index, struct span text)
{
    return chat_bad(ctx, text, "input[%]", index, 0, 0);
}

static enum rw_err media(struct chat_ctx *ctx, struct span url, uint32_t index, struct chat_media *ret)
{
    const enum rw_err err = chat_media_url(ctx, chat_text_or_none(ctx, url), ret);
    return err == RW_E_BAD ? bad_item(ctx, index, SPAN("A data URL is not valid base64.")) : err;
}

static enum rw_err file(struct chat_ctx *ctx, const struct span *v, uint32_t index, struct chat_part *part)
{
    part->media.name = chat_text_or_none(ctx, v[P_FILENAME]);
    part->media.detail = chat_text_or_none(ctx, v[P_DETAIL]);
    if (chat_has(v[P_FILE_ID])) {
        part->media.source = CHAT_FILE_ID;
        part->media.data = chat_text_or_none(ctx, v[P_FILE_ID]);
        return part->media.data.n ? RW_OK : bad_item(ctx, index, SPAN("The file_id is empty."));
    }
    const struct span url = part->kind == CHAT_IMAGE ? v[P_IMAGE]
        : chat_has(v[P_FILE_DATA])                   ? v[P_FILE_DATA]
                                                     : v[P_FILE_URL];
    if (!chat_has(url) || json_type(url) != JSON_STRING)
        return bad_item(ctx, index, SPAN("An image needs image_url, a file file_data or file_url."));
    return media(ctx, url, index, &part->media);
}

static enum rw_err one_part(struct chat_ctx *ctx, struct span value, uint32_t index, struct chat_part *part)
{
    struct span v[PART_COUNT];
    RW_TRY(chat_members(ctx, value, part_keys, PART_COUNT, v, &part->extra));
    const struct span type = chat_text_or_none(ctx, v[P_TYPE]);
    if (span_eq(type, SPAN("input_text")) || span_eq(type, SPAN("output_text")) ||
        span_eq(type, SPAN("text"))) {
        part->text = chat_text_or_none(ctx, v[P_TEXT]);
        return chat_has(part->text) ? RW_OK : bad_item(ctx, index, SPAN("A text part needs text."));
    }
    if (span_eq(type, SPAN("refusal"))) {
        part->kind = CHAT_REFUSAL;
        part->text = chat_text_or_none(ctx, v[P_REFUSAL]);
        return chat_has(part->text) ? RW_OK : bad_item(ctx, index, SPAN("A refusal part needs refusal."));
    }
    if (span_eq(type, SPAN("input_image"))) {
        part->kind = CHAT_IMAGE;
        return file(ctx, v, index, part);
    }
    if (span_eq(type, SPAN("input_file"))) {
        part->kind = CHAT_DOCUMENT;
        return file(ctx, v, index, part);
    }
    if (!type.n) return bad_item(ctx, index, SPAN("A content part needs a type."));
    *part = (struct chat_part){.kind = CHAT_RAW, .name = type};
    return RW_OK;
}

// A string or parts; raw: the item, for the first of them.
static enum rw_err content(struct chat_ctx *ctx, struct span value, struct span raw, uint32_t index,
                           struct chat_part ***tail)
{
    struct json_iter it = json_iter(value);
    struct span key, element = value;
    const bool one = json_type(value) == JSON_STRING;
    if (!one && json_type(value) != JSON_ARRAY)
        return bad_item(ctx, index, SPAN("content is a string or a list of parts."));
    while (one || json_next(&it, &key, &element)) {
        struct chat_part *part = chat_part_new(ctx, CHAT_TEXT);
        if (!part) return RW_E_TOO_LARGE;
        if (one) RW_TRY(chat_text(ctx, element, &part->text));
        else RW_TRY(one_part(ctx, element, index, part));
        part->raw = raw;
        raw = (struct span){NULL, 0};
        chat_part_add(tail, part);
        if (one) break;
    }
    return RW_OK;
}

// --- Items.

// The message that an item of this role belongs to: what the assistant says, and what its tools gave, is one each.
static enum rw_err message_of(struct chat_ctx *ctx, struct input *in, enum chat_role role, uint32_t index)
{
    const bool joins = role == CHAT_ASSISTANT || role == CHAT_TOOL;
    if (joins && in->open && in->open->role == role) return RW_OK;
    struct chat_message *m = chat_alloc(ctx, sizeof *m);
    if (!m) return RW_E_TOO_LARGE;
    m->role = role;
    m->index = index;
    *in->next = in->open = m;
    in->next = &m->next;
    in->tail = &m->parts;
    return RW_OK;
}

static enum rw_err message(struct chat_ctx *ctx, const struct span *v, struct span item, uint32_t index,
                           struct input *in)
{
    static const struct {
        struct span word;
        enum chat_role role;
    } roles[] = {{SPAN_INIT("user"), CHAT_USER},
                 {SPAN_INIT("assistant"), CHAT_ASSISTANT},
                 {SPAN_INIT("system"), CHAT_SYSTEM},
                 {SPAN_INIT("developer"), CHAT_DEVELOPER}};
    const struct span word = chat_text_or_none(ctx, v[I_ROLE]);
    uint32_t i = 0;
    while (i < 4 && !span_eq(word, roles[i].word)) i++;
    if (i == 4) return bad_item(ctx, index, SPAN("The role is one of user, assistant, system, developer."));
    if (!chat_has(v[I_CONTENT])) return bad_item(ctx, index, SPAN("The message has no content."));
    RW_TRY(message_of(ctx, in, roles[i].role, index));
    return content(ctx, v[I_CONTENT], item, index, &in->tail);
}

static enum rw_err call(struct chat_ctx *ctx, const struct span *v, uint32_t index, struct chat_part *part)
{
    part->kind = CHAT_TOOL_CALL;
    part->id = chat_text_or_none(ctx, v[I_CALL_ID]);
    part->name = chat_text_or_none(ctx, v[I_NAME]);
    part->arguments = chat_text_or_none(ctx, v[I_ARGUMENTS]);
    if (!chat_has(part->arguments)) part->arguments = SPAN("");
    return part->id.n && part->name.n
        ? RW_OK
        : bad_item(ctx, index, SPAN("A function_call needs call_id, name and arguments."));
}

static enum rw_err result(struct chat_ctx *ctx, const struct span *v, uint32_t index, struct chat_part *part)
{
    struct chat_part **tail = &part->content;
    part->kind = CHAT_TOOL_RESULT;
    part->id = chat_text_or_none(ctx, v[I_CALL_ID]);
    if (!part->id.n || !chat_has(v[I_OUTPUT]))
        return bad_item(ctx, index, SPAN("A function_call_output needs call_id and output."));
    return content(ctx, v[I_OUTPUT], (struct span){NULL, 0}, index, &tail);
}

struct span chat_responses_proof(struct chat_ctx *ctx, struct span encrypted_content)
{
    const struct span text = chat_text_or_none(ctx, encrypted_content);
    return span_starts(text, RESPONSES_PROOF) ? span_from(text, RESPONSES_PROOF.n) : (struct span){NULL, 0};
}

// The summary, or the text itself.
static enum rw_err reasoning(struct chat_ctx *ctx, const struct span *v, struct chat_part *part)
{
    struct span key, element, value, text[3] = {SPAN(""), SPAN("\n\n"), SPAN("")};
    struct json_iter it = json_iter(v[I_SUMMARY]);
    if (!chat_has(v[I_SUMMARY]) || !json_element(v[I_SUMMARY], 0, &element)) it = json_iter(v[I_CONTENT]);
    while (json_next(&it, &key, &element)) {
        if (!json_member(element, SPAN("text"), &value)) continue;
        text[2] = chat_text_or_none(ctx, value);
        text[0] = text[0].n ? chat_concat(ctx, text, 3) : text[2];
    }
    part->kind = CHAT_THINKING;
    part->text = text[0];
    part->signature = chat_responses_proof(ctx, v[I_ENCRYPTED]);
    return RW_OK;
}

static enum rw_err item(struct chat_ctx *ctx, struct span value, uint32_t index, struct input *in)
{
    struct span v[ITEM_COUNT];
    if (json_type(value) != JSON_OBJECT) return bad_item(ctx, index, SPAN("An item is an object."));
    RW_TRY(chat_members(ctx, value, item_keys, ITEM_COUNT, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[I_TYPE]);
    if (!type.n || span_eq(type, SPAN("message"))) return message(ctx, v, value, index, in);
    const bool output = span_eq(type, SPAN("function_call_output"));
    RW_TRY(message_of(ctx, in, output ? CHAT_TOOL : CHAT_ASSISTANT, index));
    struct chat_part *part = chat_part_new(ctx, CHAT_RAW);
    if (!part) return RW_E_TOO_LARGE;
    chat_part_add(&in->tail, part);
    part->raw = value;
    if (output) return result(ctx, v, index, part);
    if (span_eq(type, SPAN("function_call"))) return call(ctx, v, index, part);
    if (span_eq(type, SPAN("reasoning"))) return reasoning(ctx, v, part);
    part->name = type; // a hosted tool's
    return RW_OK;
}

static enum rw_err input(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct input in = {.next = &rq->messages};
    struct json_iter it = json_iter(v[T_INPUT]);
    struct span key, element;
    uint32_t index = 0;
    if (chat_has(v[T_INSTRUCTIONS])) {
        RW_TRY(message_of(ctx, &in, CHAT_SYSTEM, UINT32_MAX));
        if (json_type(v[T_INSTRUCTIONS]) != JSON_STRING)
            return chat_bad(ctx, SPAN("instructions is a string."), "instructions", 0, 0, 0);
        RW_TRY(content(ctx, v[T_INSTRUCTIONS], (struct span){NULL, 0}, 0, &in.tail));
    }
    if (chat_has(v[T_INPUT]) && json_type(v[T_INPUT]) == JSON_STRING) {
        RW_TRY(message_of(ctx, &in, CHAT_USER, 0));
        return content(ctx, v[T_INPUT], v[T_INPUT], 0, &in.tail);
    }
    while (chat_has(v[T_INPUT]) && !it.object && json_next(&it, &key, &element))
        RW_TRY(item(ctx, element, index++, &in));
    return index ? RW_OK : chat_bad(ctx, SPAN("input is a string or a list of items."), "input", 0, 0, 0);
}

// --- What is kept at the provider.

enum rw_err chat_responses_check(struct chat_ctx *ctx, struct span body)
{
    enum { PREVIOUS, CONVERSATION, BACKGROUND, INPUT };
    static const struct span keys[] = {SPAN_INIT("previous_response_id"), SPAN_INIT("conversation"),
                                       SPAN_INIT("background"), SPAN_INIT("input")};
    struct span v[4], key, element, type;
    RW_TRY(chat_members(ctx, body, keys, 4, v, NULL));
    if (chat_has(v[PREVIOUS]) || chat_has(v[CONVERSATION]))
        return chat_refuse(ctx, keys[chat_has(v[PREVIOUS]) ? PREVIOUS : CONVERSATION],
                           SPAN("Answers and conversations are not kept here: send all of it in 'input'."));
    if (chat_true(v[BACKGROUND]))
        return chat_refuse(ctx, keys[BACKGROUND], SPAN("Nothing is answered in the background here."));
    struct json_iter it = json_iter(v[INPUT]);
    if (!chat_has(v[INPUT]) || it.object) return RW_OK;
    while (json_next(&it, &key, &element)) {
        if (!json_member(element, SPAN("type"), &type)) continue;
        if (span_eq(chat_text_or_none(ctx, type), SPAN("item_reference")))
            return chat_refuse(ctx, keys[INPUT],
                               SPAN("An item_reference names an item that is not kept here: ask with store: "
                                    "false, and the client sends the items themselves."));
    }
    return RW_OK;
}

// --- Tools.

static enum rw_err tools(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    enum { TYPE, NAME, DESCRIPTION, PARAMETERS, STRICT };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("name"), SPAN_INIT("description"),
                                       SPAN_INIT("parameters"), SPAN_INIT("strict")};
    struct chat_tool **next = &rq->tools;
    struct json_iter it = json_iter(value);
    struct span key, element, v[5];
    while (chat_has(value) && json_next(&it, &key, &element)) {
        struct chat_tool *t = chat_alloc(ctx, sizeof *t);
        if (!t) return RW_E_TOO_LARGE;
        *next = t;
        next = &t->next;
        RW_TRY(chat_members(ctx, element, keys, 5, v, &t->extra));
        const struct span type = chat_text_or_none(ctx, v[TYPE]);
        if (!span_eq(type, SPAN("function"))) {
            *t = (struct chat_tool){.kind = span_eq(type, SPAN("custom")) ? CHAT_CUSTOM : CHAT_HOSTED,
                                    .name = type,
                                    .raw = element};
            continue;
        }
        t->name = chat_text_or_none(ctx, v[NAME]);
        t->description = chat_text_or_none(ctx, v[DESCRIPTION]);
        t->schema = v[PARAMETERS];
        t->strict = chat_tri_of(v[STRICT]);
        if (!t->name.n) return chat_bad(ctx, SPAN("A function needs a name."), "tools", 0, 0, 0);
    }
    return RW_OK;
}

static enum rw_err allowed(struct chat_ctx *ctx, struct span value, struct chat_tool_choice *c)
{
    struct span mode, list, key, element, name;
    struct chat_name **next = &c->allowed;
    c->kind = CHAT_CHOICE_ALLOWED;
    if (json_member(value, SPAN("mode"), &mode))
        c->allowed_required = span_eq(chat_text_or_none(ctx, mode), SPAN("required"));
    if (!json_member(value, SPAN("tools"), &list)) return RW_OK;
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &element)) {
        if (!json_member(element, SPAN("name"), &name)) continue;
        if (!(*next = chat_alloc(ctx, sizeof **next))) return RW_E_TOO_LARGE;
        (*next)->name = chat_text_or_none(ctx, name);
        next = &(*next)->next;
    }
    return RW_OK;
}

static enum rw_err choice(struct chat_ctx *ctx, struct span value, struct chat_tool_choice *c)
{
    struct span type, name;
    if (!chat_has(value)) return RW_OK;
    const struct span word = chat_text_or_none(ctx, value);
    if (span_eq(word, SPAN("none"))) c->kind = CHAT_CHOICE_NONE;
    if (span_eq(word, SPAN("auto"))) c->kind = CHAT_CHOICE_AUTO;
    if (span_eq(word, SPAN("required"))) c->kind = CHAT_CHOICE_REQUIRED;
    if (chat_has(word))
        return c->kind ? RW_OK
                       : chat_bad(ctx, SPAN("tool_choice is none, auto, required or an object."),
                                  "tool_choice", 0, 0, 0);
    if (!json_member(value, SPAN("type"), &type)) type = (struct span){NULL, 0};
    type = chat_text_or_none(ctx, type);
    if (span_eq(type, SPAN("allowed_tools"))) return allowed(ctx, value, c);
    if (span_eq(type, SPAN("function")) && json_member(value, SPAN("name"), &name)) {
        c->kind = CHAT_CHOICE_NAMED;
        c->name = chat_text_or_none(ctx, name);
        return RW_OK;
    }
    c->kind = CHAT_CHOICE_RAW;
    c->raw = value;
    return RW_OK;
}

// --- The rest.

static enum rw_err add_extra(struct chat_ctx *ctx, struct chat_request *rq, struct span name,
                             struct span value)
{
    struct chat_extra **tail = &rq->extra;
    while (*tail) tail = &(*tail)->next;
    if (!(*tail = chat_alloc(ctx, sizeof **tail))) return RW_E_TOO_LARGE;
    **tail = (struct chat_extra){.name = name, .value = value};
    return RW_OK;
}

static enum rw_err text(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    enum { TYPE, NAME, DESCRIPTION, SCHEMA, STRICT };
    static const struct span keys[] = {SPAN_INIT("type"), SPAN_INIT("name"), SPAN_INIT("description"),
                                       SPAN_INIT("schema"), SPAN_INIT("strict")};
    static const struct span inner[] = {SPAN_INIT("format"), SPAN_INIT("verbosity")};
    struct span t[2], v[5];
    struct chat_format *f = &rq->format;
    RW_TRY(chat_members(ctx, value, inner, 2, t, NULL));
    if (chat_has(t[1])) RW_TRY(add_extra(ctx, rq, SPAN("verbosity"), t[1]));
    if (!chat_has(t[0])) return RW_OK;
    RW_TRY(chat_members(ctx, t[0], keys, 5, v, NULL));
    const struct span type = chat_text_or_none(ctx, v[TYPE]);
    if (span_eq(type, SPAN("text"))) f->kind = CHAT_FORMAT_TEXT;
    if (span_eq(type, SPAN("json_object"))) f->kind = CHAT_FORMAT_JSON;
    if (span_eq(type, SPAN("json_schema")) && chat_has(v[SCHEMA])) f->kind = CHAT_FORMAT_SCHEMA;
    f->name = chat_text_or_none(ctx, v[NAME]);
    f->description = chat_text_or_none(ctx, v[DESCRIPTION]);
    f->schema = v[SCHEMA];
    f->strict = chat_tri_of(v[STRICT]);
    return f->kind ? RW_OK
                   : chat_bad(ctx, SPAN("text.format is text, json_object or json_schema with a schema."),
                              "text.format", 0, 0, 0);
}

static enum rw_err thinking(struct chat_ctx *ctx, struct span value, struct chat_thinking *t)
{
    static const struct span keys[] = {SPAN_INIT("effort"), SPAN_INIT("summary")};
    struct span v[2];
    RW_TRY(chat_members(ctx, value, keys, 2, v, NULL));
    t->effort = chat_effort_of(chat_text_or_none(ctx, v[0]));
    if (chat_has(v[0]) && !t->effort)
        return chat_bad(ctx, SPAN("This effort is not known."), "reasoning.effort", 0, 0, 0);
    t->display = chat_text_or_none(ctx, v[1]);
    if (t->display.n) t->show = CHAT_YES;
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
                {T_TOP_LOGPROBS, &rq->top_logprobs}};
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

// include, truncation, store and prompt: what asks for nothing is left out, what cannot be done by translating is refused.
static enum rw_err wishes(struct chat_ctx *ctx, const struct span *v, struct chat_request *rq)
{
    struct json_iter it = json_iter(v[T_INCLUDE]);
    struct span key, element;
    bool more = false;
    while (chat_has(v[T_INCLUDE]) && json_next(&it, &key, &element)) {
        const struct span word = chat_text_or_none(ctx, element);
        if (span_eq(word, SPAN("message.output_text.logprobs"))) rq->logprobs = true;
        else more |= !span_eq(word, SPAN("reasoning.encrypted_content"));
    }
    if (more) RW_TRY(add_extra(ctx, rq, SPAN("include"), v[T_INCLUDE]));
    if (chat_has(v[T_TRUNCATION]) && !span_eq(chat_text_or_none(ctx, v[T_TRUNCATION]), SPAN("disabled")))
        RW_TRY(add_extra(ctx, rq, SPAN("truncation"), v[T_TRUNCATION]));
    if (chat_true(v[T_STORE]))
        return chat_refuse_soft(ctx, SPAN("store"),
                                SPAN("The model that was asked keeps no answers: send store: false."));
    if (chat_has(v[T_PROMPT]))
        return chat_refuse(ctx, SPAN("prompt"),
                           SPAN("A stored prompt is known to the provider that keeps it only."));
    return RW_OK;
}

enum rw_err chat_responses_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    struct span v[TOP_COUNT];
    *ret = (struct chat_request){.dialect = &dialect_responses, .usage_wanted = true};
    RW_TRY(chat_responses_check(ctx, body));
    RW_TRY(chat_members(ctx, body, top_keys, TOP_COUNT, v, &ret->extra));
    ret->model = chat_text_or_none(ctx, v[T_MODEL]);
    ret->stream = chat_true(v[T_STREAM]);
    RW_TRY(numbers(ctx, v, ret));
    ret->user = chat_text_or_none(ctx, v[T_USER]);
    ret->service_tier = chat_text_or_none(ctx, v[T_TIER]);
    RW_TRY(wishes(ctx, v, ret));
    RW_TRY(text(ctx, v[T_TEXT], ret));
    RW_TRY(thinking(ctx, v[T_REASONING], &ret->thinking));
    RW_TRY(tools(ctx, v[T_TOOLS], ret));
    RW_TRY(choice(ctx, v[T_CHOICE], &ret->tool_choice));
    ret->parallel_tools = chat_tri_of(v[T_PARALLEL]);
    if (!ret->tools) {
        ret->tool_choice = (struct chat_tool_choice){0};
        ret->parallel_tools = CHAT_UNSAID;
    }
    return input(ctx, v, ret);
}
