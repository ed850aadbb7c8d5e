// See dialect.h: Titan's text bodies of Bedrock's InvokeModel. It knows one text only; a chat is written into it as lines that
// begin with "User:" and "Bot:" and end with a "Bot:" for the answer.
#include "providers/invoke_priv.h"

#define USER SPAN("User:")
#define BOT SPAN("Bot:")

static struct span trim(struct span s)
{
    while (s.n && (uint8_t)s.p[0] <= ' ') s = span_from(s, 1);
    while (s.n && (uint8_t)s.p[s.n - 1] <= ' ') s.n--;
    return s;
}

// --- The request.

// Where the next line begins that somebody says, from `at` on; text.n if there is none.
static uint32_t turn_find(struct span text, uint32_t at)
{
    for (; at < text.n; at++) {
        const struct span rest = span_from(text, at);
        if ((at == 0 || text.p[at - 1] == '\n') && (span_starts(rest, USER) || span_starts(rest, BOT)))
            return at;
    }
    return text.n;
}

static enum rw_err say(struct chat_ctx *ctx, enum chat_role role, struct span text,
                       struct chat_message ***next)
{
    if (!text.n) return RW_OK;
    struct chat_message *m = chat_alloc(ctx, sizeof *m);
    if (!m || !(m->parts = chat_part_new(ctx, CHAT_TEXT))) return RW_E_TOO_LARGE;
    m->role = role;
    m->index = role == CHAT_SYSTEM ? UINT32_MAX : 0;
    m->parts->text = text;
    **next = m;
    *next = &m->next;
    return RW_OK;
}

static enum rw_err messages(struct chat_ctx *ctx, struct span text, struct chat_message **next)
{
    const struct span whole = trim(text);
    const uint32_t end = whole.n >= BOT.n ? whole.n - BOT.n : 0;
    const bool asks = span_eq(span_from(whole, end), BOT) && end > 0 && whole.p[end - 1] == '\n';
    uint32_t at = asks ? turn_find(whole, 0) : whole.n;
    if (at >= end || !span_starts(span_from(whole, at), USER)) return say(ctx, CHAT_USER, text, &next);
    RW_TRY(say(ctx, CHAT_SYSTEM, trim((struct span){whole.p, at}), &next));
    while (at < whole.n) {
        const bool user = span_starts(span_from(whole, at), USER);
        const uint32_t from = at + (user ? USER.n : BOT.n);
        at = turn_find(whole, from);
        RW_TRY(say(ctx, user ? CHAT_USER : CHAT_ASSISTANT, trim((struct span){whole.p + from, at - from}),
                   &next));
    }
    return RW_OK;
}

static enum rw_err config(struct chat_ctx *ctx, struct span value, struct chat_request *rq)
{
    enum { MAX, TEMPERATURE, TOP_P, STOP };
    static const struct span keys[] = {SPAN_INIT("maxTokenCount"), SPAN_INIT("temperature"),
                                       SPAN_INIT("topP"), SPAN_INIT("stopSequences")};
    struct chat_extra *extra = NULL;
    struct span v[4];
    if (!chat_has(value)) return RW_OK;
    RW_TRY(chat_members(ctx, value, keys, 4, v, &extra));
    for (uint32_t i = MAX; i <= TOP_P; i++)
        if (chat_has(v[i]) && json_type(v[i]) != JSON_NUMBER)
            return chat_bad(ctx, SPAN("Its members are numbers."), "textGenerationConfig", 0, 0, 0);
    rq->max_tokens = v[MAX];
    rq->temperature = v[TEMPERATURE];
    rq->top_p = v[TOP_P];
    if (chat_has(v[STOP]) && (json_type(v[STOP]) != JSON_ARRAY || chat_names(ctx, v[STOP], &rq->stop)))
        return chat_bad(ctx, SPAN("stopSequences is a list of strings."), "textGenerationConfig", 0, 0, 0);
    return chat_extra_lose(ctx, extra, NULL, 0);
}

enum rw_err chat_titan_request(struct chat_ctx *ctx, struct span body, struct chat_request *ret)
{
    static const struct span keys[] = {SPAN_INIT("inputText"), SPAN_INIT("textGenerationConfig")};
    struct chat_extra *extra = NULL;
    struct span v[2];
    *ret = (struct chat_request){.dialect = &dialect_invoke_titan};
    RW_TRY(chat_members(ctx, body, keys, 2, v, &extra));
    RW_TRY(chat_extra_lose(ctx, extra, NULL, 0)); // no other API has words for these
    RW_TRY(config(ctx, v[1], ret));
    const struct span text = chat_text_or_none(ctx, v[0]);
    if (!trim(text).n) return chat_bad(ctx, SPAN("inputText is a text."), "inputText", 0, 0, 0);
    RW_TRY(messages(ctx, text, &ret->messages));
    return ret->messages ? RW_OK : chat_bad(ctx, SPAN("Nobody says anything."), "inputText", 0, 0, 0);
}

// --- The answer.

static const struct {
    struct span word;
    enum chat_finish finish;
} reasons[] = {
    {SPAN_INIT("FINISH"), CHAT_FINISH_STOP},
    {SPAN_INIT("FINISHED"), CHAT_FINISH_STOP},
    {SPAN_INIT("LENGTH"), CHAT_FINISH_LENGTH},
    {SPAN_INIT("LENGTH"), CHAT_FINISH_CONTEXT},
    {SPAN_INIT("STOP_CRITERIA_MET"), CHAT_FINISH_STOP_SEQUENCE},
    {SPAN_INIT("CONTENT_FILTERED"), CHAT_FINISH_FILTER},
    {SPAN_INIT("CONTENT_FILTERED"), CHAT_FINISH_REFUSAL},
};
#define REASONS (sizeof reasons / sizeof *reasons)

enum rw_err chat_titan_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret)
{
    enum { TOKENS, TEXT, REASON };
    static const struct span keys[] = {SPAN_INIT("tokenCount"), SPAN_INIT("outputText"),
                                       SPAN_INIT("completionReason")};
    struct span v[3], results, key, first, count;
    *ret = (struct chat_answer){.dialect = &dialect_invoke_titan, .created_s = -1};
    chat_usage_init(&ret->usage);
    if (!json_member(body, SPAN("results"), &results)) return RW_E_BAD;
    struct json_iter it = json_iter(results);
    if (it.object || !json_next(&it, &key, &first)) return RW_E_BAD;
    RW_TRY(chat_members(ctx, first, keys, 3, v, NULL));
    struct chat_choice *c = ret->choices = chat_alloc(ctx, sizeof *c);
    if (!c || !(c->parts = chat_part_new(ctx, CHAT_TEXT))) return RW_E_TOO_LARGE;
    c->parts->text = chat_text_or_none(ctx, v[TEXT]);
    c->finish_raw = chat_text_or_none(ctx, v[REASON]);
    for (uint32_t i = REASONS; i-- > 0;)
        if (span_eq(c->finish_raw, reasons[i].word)) c->finish = reasons[i].finish;
    if (c->finish_raw.n && !c->finish) c->finish = CHAT_FINISH_STOP;
    if (json_member(body, SPAN("inputTextTokenCount"), &count)) ret->usage.input = chat_count(count);
    ret->usage.output = chat_count(v[TOKENS]);
    return c->finish ? RW_OK : RW_E_EOF;
}

enum rw_err chat_titan_answer_write(struct chat_ctx *ctx, const struct chat_answer *a,
                                    const struct dialect_reply *reply, struct json_out *o)
{
    const struct chat_choice *c = a->choices;
    struct span reason = reasons[0].word;
    (void)ctx;
    (void)reply;
    for (uint32_t i = 0; i < REASONS; i++)
        if (c->finish == reasons[i].finish && reasons[i].finish != CHAT_FINISH_STOP) reason = reasons[i].word;
    json_out_object(o);
    json_out_key_u64(o, SPAN("inputTextTokenCount"), a->usage.input > 0 ? (uint64_t)a->usage.input : 0);
    json_out_key_array(o, SPAN("results"));
    json_out_object(o);
    json_out_key_u64(o, SPAN("tokenCount"), a->usage.output > 0 ? (uint64_t)a->usage.output : 0);
    json_out_key(o, SPAN("outputText"));
    json_out_open(o);
    for (const struct chat_part *p = c->parts; p; p = p->next)
        if (p->kind == CHAT_TEXT || p->kind == CHAT_REFUSAL) json_out_piece(o, p->text);
    json_out_close(o);
    json_out_key_string(o, SPAN("completionReason"), reason);
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    return json_out_done(o);
}
