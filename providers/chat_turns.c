// See dialect_priv.h: messages as turns of two roles. Anthropic, Bedrock and Gemini refuse what OpenAI takes: two messages of
// one role in a row, a system text in the middle, results far from their calls. So everything is put where it belongs, and
// what has no place is refused with the index of the message that the client sent.
#include "providers/dialect_priv.h"

struct maker {
    struct chat_ctx *ctx;
    struct chat_turns *turns;
    struct chat_turn **next; // where the next turn is linked
    struct chat_turn *turn; // the open one
    struct chat_part **tail; // of its parts
    struct chat_part **system;
};

static struct chat_part *copy(struct maker *m, const struct chat_part *part)
{
    struct chat_part *p = arena_alloc(m->ctx->arena, sizeof *p);
    if (!p) return NULL;
    *p = *part;
    p->next = NULL;
    return p;
}

static enum rw_err open_turn(struct maker *m, bool assistant)
{
    if (m->turn && m->turn->assistant == assistant) return RW_OK;
    struct chat_turn *t = chat_alloc(m->ctx, sizeof *t);
    if (!t) return RW_E_TOO_LARGE;
    t->assistant = assistant;
    *m->next = m->turn = t;
    m->next = &t->next;
    m->tail = &t->parts;
    return RW_OK;
}

static enum rw_err add(struct maker *m, bool assistant, const struct chat_part *part)
{
    RW_TRY(open_turn(m, assistant));
    struct chat_part *p = copy(m, part);
    if (!p) return RW_E_TOO_LARGE;
    chat_part_add(&m->tail, p);
    return RW_OK;
}

static bool is_blank(struct span text)
{
    for (uint32_t i = 0; i < text.n; i++)
        if (text.p[i] != ' ' && (text.p[i] < '\t' || text.p[i] > '\r')) return false;
    return true;
}

// The text that stands in for a user's message where one is demanded.
static enum rw_err add_placeholder(struct maker *m)
{
    const struct chat_part dot = {.kind = CHAT_TEXT, .text = SPAN(".")};
    return add(m, false, &dot);
}

static enum rw_err system_message(struct maker *m, const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p; p = p->next) {
        if (p->kind != CHAT_TEXT)
            return chat_bad(m->ctx, SPAN("A system message holds text only."), "messages[%].content",
                            message->index, 0, 0);
        if (p->text.n == 0) continue;
        struct chat_part *text = copy(m, p);
        if (!text) return RW_E_TOO_LARGE;
        *m->system = text;
        m->system = &text->next;
    }
    return RW_OK;
}

// The results of the open turn of calls, wherever they stand in the tool messages behind it.
static const struct chat_part *result_of(const struct chat_message *message, struct span id)
{
    for (; message && message->role == CHAT_TOOL; message = message->next)
        for (const struct chat_part *p = message->parts; p; p = p->next)
            if (p->kind == CHAT_TOOL_RESULT && span_eq(p->id, id)) return p;
    return NULL;
}

// In the order of their calls; a call without a result, and a result without a call, is refused by the providers in worse words.
static enum rw_err results(struct maker *m, const struct chat_message *calls,
                           const struct chat_message *first)
{
    uint32_t wanted = 0, had = 0;
    for (const struct chat_part *p = calls ? calls->parts : NULL; p; p = p->next) {
        if (p->kind != CHAT_TOOL_CALL) continue;
        const struct chat_part *result = result_of(first, p->id);
        if (!result) {
            const struct span text =
                chat_concat(m->ctx,
                            (struct span[]){SPAN("The tool call '"), p->id,
                                            SPAN("' has no tool message with its result.")},
                            3);
            return chat_bad(m->ctx, text, "messages[%].tool_calls", calls->index, 0, 0);
        }
        if (++wanted > DIALECT_TOOLS_MAX)
            return chat_bad(m->ctx, SPAN("There are too many tool calls in one message."),
                            "messages[%].tool_calls", calls->index, 0, 0);
        RW_TRY(add(m, false, result));
        struct chat_part *last = m->turn->parts;
        while (last->next) last = last->next;
        if (!last->name.n) last->name = p->name;
    }
    for (const struct chat_message *t = first; t && t->role == CHAT_TOOL; t = t->next)
        for (const struct chat_part *p = t->parts; p; p = p->next) had++;
    if (had != wanted)
        return chat_bad(m->ctx,
                        SPAN("A tool message answers no tool call of the assistant's message before it."),
                        "messages[%].tool_call_id", first->index, 0, 0);
    return RW_OK;
}

static bool has_calls(const struct chat_message *message)
{
    for (const struct chat_part *p = message->parts; p; p = p->next)
        if (p->kind == CHAT_TOOL_CALL) return true;
    return false;
}

// The number-th call of a message: its arguments must be an object where dialects demand one.
static enum rw_err add_call(struct maker *m, const struct chat_part *call, uint32_t index, uint32_t number)
{
    struct chat_part p = *call;
    if (!p.arguments.n) p.arguments = SPAN("{}");
    if (!p.id.n)
        return chat_bad(m->ctx, SPAN("A tool call needs an id."), "messages[%].tool_calls[%].id", index,
                        number, 0);
    if (!chat_is_object(p.arguments))
        return chat_bad(m->ctx, SPAN("The arguments of a tool call are not a JSON object."),
                        "messages[%].tool_calls[%].function.arguments", index, number, 0);
    return add(m, true, &p);
}

static enum rw_err ordinary(struct maker *m, const struct chat_message *message)
{
    const bool assistant = message->role == CHAT_ASSISTANT;
    bool any = false;
    uint32_t calls = 0;
    for (const struct chat_part *p = message->parts; p; p = p->next) {
        if ((p->kind == CHAT_TEXT || p->kind == CHAT_REFUSAL) && is_blank(p->text)) continue;
        if (p->kind == CHAT_TOOL_CALL) RW_TRY(add_call(m, p, message->index, calls++));
        else RW_TRY(add(m, assistant, p));
        any = true;
    }
    if (!any && !assistant)
        return chat_bad(m->ctx, SPAN("The message is empty."), "messages[%].content", message->index, 0, 0);
    return RW_OK;
}

enum rw_err chat_turns_make(struct chat_ctx *ctx, const struct chat_request *rq, struct chat_turns *ret)
{
    struct maker m = {.ctx = ctx, .turns = ret, .next = &ret->turns, .system = &ret->system};
    const struct chat_message *calls = NULL; // the assistant's message whose results must come now
    *ret = (struct chat_turns){0};
    for (const struct chat_message *g = rq->messages; g; g = g->next) {
        if (g->role == CHAT_SYSTEM || g->role == CHAT_DEVELOPER) {
            RW_TRY(system_message(&m, g));
            continue;
        }
        if (g->role == CHAT_TOOL || calls) {
            ret->tools = true;
            RW_TRY(results(&m, calls, g));
            calls = NULL;
            while (g->role == CHAT_TOOL && g->next && g->next->role == CHAT_TOOL) g = g->next;
            if (g->role == CHAT_TOOL) continue;
        }
        if (g->role == CHAT_ASSISTANT && !m.turn) RW_TRY(add_placeholder(&m));
        RW_TRY(ordinary(&m, g));
        if (has_calls(g)) calls = g;
    }
    if (calls) RW_TRY(results(&m, calls, NULL));
    return m.turn ? RW_OK : add_placeholder(&m);
}
