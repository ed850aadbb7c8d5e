// See dialect.h and dialect_priv.h: a provider's stream, from pieces cut anywhere to events. Framing is here, and all that is
// the same in every dialect: when an answer is whole, when a call has ended, and the halves of characters that some providers
// send in two events.
#include "base/limits.h"
#include "providers/dialect_priv.h"
#include "wire/aws_event.h"

// An event of a provider's stream that is not whole yet; an image in one event is the largest there is.
#define CARRY_BYTES_MAX MIB(2)
#define CARRY_FIRST_BYTES KIB(2)

void chat_reader_init(struct chat_reader *r, const struct dialect *dialect, struct chat_ctx *ctx,
                      struct arena *scratch, enum rw_err (*push)(void *arg, const struct chat_event *e),
                      void *arg)
{
    *r = (struct chat_reader){.dialect = dialect, .ctx = ctx, .push = push, .arg = arg};
    chat_ctx_init(&r->temp, scratch, ctx->mode);
    chat_usage_init(&r->usage);
}

// --- Framing.

static enum rw_err carry_add(struct chat_reader *r, struct span piece)
{
    if (piece.n > CARRY_BYTES_MAX - r->carry_n) return RW_E_TOO_LARGE;
    const uint32_t need = r->carry_n + piece.n;
    if (need > r->carry_cap) {
        uint32_t cap = r->carry_cap ? r->carry_cap : CARRY_FIRST_BYTES;
        while (cap < need) cap *= 2;
        uint8_t *carry = arena_alloc(r->ctx->arena, cap);
        if (!carry) return RW_E_TOO_LARGE;
        if (r->carry_n) memcpy(carry, r->carry, r->carry_n);
        r->carry = carry;
        r->carry_cap = cap;
    }
    if (piece.n) memcpy(r->carry + r->carry_n, piece.p, piece.n);
    r->carry_n = need;
    return RW_OK;
}

static enum rw_err one_event(struct chat_reader *r, const struct sse_event *e)
{
    struct span data = e->data;
    if (e->data_lines == 0) return RW_OK;
    if (e->data_lines > 1) {
        uint8_t *buf = arena_alloc(r->temp.arena, e->raw.n);
        if (!buf) return RW_E_TOO_LARGE;
        RW_TRY(sse_data(e, buf, e->raw.n, &data));
    }
    return r->dialect->read(r, e->name, data);
}

// All whole frames of p[0 .. n); *ret_used bytes of it.
static enum rw_err frames(struct chat_reader *r, const uint8_t *p, uint32_t n, uint32_t *ret_used)
{
    struct aws_event_frame f;
    uint32_t used = 0;
    enum rw_err err = RW_OK;
    while (!err && !r->done && !r->failed) {
        const int64_t k = aws_event_next(p + used, n - used, &f);
        if (k <= 0) {
            err = (enum rw_err)k;
            break;
        }
        used += (uint32_t)k;
        if (f.kind == AWS_EVENT_OTHER) continue;
        r->exception = f.kind != AWS_EVENT_EVENT;
        err = r->dialect->read(r, f.type, f.payload);
    }
    *ret_used = used;
    return err;
}

// All whole events of p[0 .. n); *ret_used bytes of it.
static enum rw_err events(struct chat_reader *r, const uint8_t *p, uint32_t n, uint32_t *ret_used)
{
    struct sse_event e;
    uint32_t used = 0;
    enum rw_err err = RW_OK;
    if (r->dialect->framing == DIALECT_EVENTSTREAM) return frames(r, p, n, ret_used);
    while (!err && !r->done && !r->failed && sse_next(&r->sse, p + used, n - used, &e) > 0) {
        err = one_event(r, &e);
        used += e.raw.n;
    }
    *ret_used = used;
    return err;
}

enum rw_err chat_reader_feed(struct chat_reader *r, struct span piece)
{
    uint32_t used = 0;
    if (r->done || r->failed) return RW_OK;
    if (r->carry_n == 0) {
        RW_TRY(events(r, piece.p, piece.n, &used));
        return r->done || r->failed ? RW_OK : carry_add(r, span_from(piece, used));
    }
    RW_TRY(carry_add(r, piece));
    RW_TRY(events(r, r->carry, r->carry_n, &used));
    if (used) {
        memmove(r->carry, r->carry + used, r->carry_n - used);
        r->carry_n -= used;
    }
    return RW_OK;
}

enum rw_err chat_reader_end(struct chat_reader *r)
{
    if (r->done || r->failed) return RW_OK;
    // What was begun is lost with its end.
    if (r->carry_n && r->dialect->framing == DIALECT_EVENTSTREAM) return RW_E_EOF;
    if (r->carry_n && sse_rest(&r->sse, r->carry, r->carry_n).n) return RW_E_EOF;
    return chat_reader_done(r);
}

// --- Events.

enum rw_err chat_reader_push(struct chat_reader *r, const struct chat_event *e)
{
    return r->push(r->arg, e);
}

enum rw_err chat_reader_start(struct chat_reader *r, struct span id, struct span model, int64_t created_s)
{
    if (r->started) return RW_OK;
    r->started = true;
    r->id = arena_copy(r->ctx->arena, id);
    r->model = arena_copy(r->ctx->arena, model);
    return chat_reader_push(r,
                            &(struct chat_event){.kind = CHAT_EV_START,
                                                 .id = r->id,
                                                 .model = r->model,
                                                 .created_s = created_s,
                                                 .usage = &r->usage});
}

struct reader_choice *chat_reader_choice(struct chat_reader *r, uint64_t index)
{
    if (index >= DIALECT_CHOICES_MAX) return NULL;
    if (index >= r->choices) r->choices = (uint32_t)index + 1;
    r->choice[index].started = true;
    return &r->choice[index];
}

enum rw_err chat_reader_usage(struct chat_reader *r, const struct chat_usage *usage)
{
    chat_usage_take(&r->usage, usage);
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_USAGE, .usage = &r->usage});
}

enum rw_err chat_reader_done(struct chat_reader *r)
{
    if (r->choices == 0) return RW_E_EOF;
    for (uint32_t i = 0; i < r->choices; i++)
        if (r->choice[i].started && !r->choice[i].finished) return RW_E_EOF;
    r->done = true;
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_DONE, .usage = &r->usage});
}

enum rw_err chat_reader_error(struct chat_reader *r, const struct chat_error *error)
{
    r->failed = true;
    return chat_reader_push(r, &(struct chat_event){.kind = CHAT_EV_ERROR, .error = error});
}

// --- Texts. A pair of surrogates that stands in two events is joined; half of one that stays alone is U+FFFD.

// The unit of an escape \uXXXX at p, or 0.
static uint32_t unit_at(struct span s)
{
    uint32_t v = 0;
    if (s.n < 6 || s.p[0] != '\\' || s.p[1] != 'u') return 0;
    for (uint32_t i = 2; i < 6; i++) {
        const uint8_t c = span_lower(s.p[i]);
        const uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'a' + 10);
        if (digit > 15) return 0;
        v = v << 4 | digit;
    }
    return v;
}

// Ends `inside` with the first half of a pair? Then it is cut off and returned.
static uint32_t half_at_end(struct span *inside)
{
    if (inside->n < 6) return 0;
    const struct span last = span_from(*inside, inside->n - 6);
    const uint32_t unit = unit_at(last);
    uint32_t slashes = 0;
    while (slashes < last.p - inside->p && last.p[-1 - (int32_t)slashes] == '\\') slashes++;
    if ((unit & 0xfc00) != 0xd800 || slashes % 2) return 0;
    inside->n -= 6;
    return unit;
}

// What the open half becomes in front of `inside`; its other half is taken off. Returns the bytes written.
static uint32_t join_half(struct reader_choice *c, bool same, struct span *inside,
                          uint8_t out[UTF8_BYTES_MAX])
{
    const uint32_t low = same ? unit_at(*inside) : 0, high = c->half;
    c->half = 0;
    if ((low & 0xfc00) != 0xdc00) return utf8_encode(UTF8_REPLACEMENT, out);
    *inside = span_from(*inside, 6);
    return utf8_encode(0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff)), out);
}

static enum rw_err text_slow(struct chat_reader *r, struct reader_choice *c, uint32_t of, struct span inside,
                             struct span *ret)
{
    uint8_t *buf = arena_alloc(r->temp.arena, inside.n + UTF8_BYTES_MAX);
    if (!buf) return RW_E_TOO_LARGE;
    const uint32_t cap = inside.n;
    const uint32_t n = c->half ? join_half(c, c->half_of == of, &inside, buf) : 0;
    c->half = half_at_end(&inside);
    c->half_of = of;
    struct span rest;
    RW_TRY(json_unescape(inside, JSON_LONE_REPLACE, buf + n, cap, &rest));
    if (rest.n && rest.p != buf + n) memcpy(buf + n, rest.p, rest.n);
    *ret = span_of(buf, n + rest.n);
    return RW_OK;
}

// Follows the braces of a call's arguments, to know when they are whole.
static void follow(struct reader_tool *t, struct span text)
{
    t->bytes += text.n;
    for (uint32_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        if (t->escape) {
            t->escape = false;
        } else if (t->in_string) {
            t->escape = c == '\\';
            t->in_string = c != '"';
        } else if (c == '"') {
            t->in_string = true;
        } else if (c == '{' || c == '[') {
            t->depth++;
        } else if ((c == '}' || c == ']') && t->depth && --t->depth == 0) {
            t->whole = true;
        }
    }
}

enum rw_err chat_reader_text(struct chat_reader *r, uint32_t choice, enum chat_event_kind kind, uint32_t tool,
                             struct span value)
{
    if (!chat_has(value) || json_type(value) != JSON_STRING) return RW_OK;
    struct reader_choice *c = chat_reader_choice(r, choice);
    if (!c) return RW_E_BAD;
    struct span text = {value.p + 1, value.n - 2};
    if (text.n == 0) return RW_OK;
    if (c->half || span_find(text, '\\') < text.n)
        RW_TRY(text_slow(r, c, (uint32_t)kind << 16 | tool, text, &text));
    if (text.n == 0) return RW_OK;
    if (kind == CHAT_EV_TOOL_ARGS && tool < c->tool_count) follow(&c->tools[tool], text);
    if (kind == CHAT_EV_REFUSAL) c->has_refusal = true;
    return chat_reader_push(r,
                            &(struct chat_event){.kind = kind, .choice = choice, .tool = tool, .text = text});
}

// --- Calls.

int32_t chat_reader_tool_find(const struct chat_reader *r, uint32_t choice, uint32_t key)
{
    const struct reader_choice *c = &r->choice[choice];
    for (uint32_t i = c->tool_count; i-- > 0;)
        if (c->tools[i].key == key) return (int32_t)i;
    return -1;
}

enum rw_err chat_reader_tool_end(struct chat_reader *r, uint32_t choice, uint32_t tool)
{
    struct reader_tool *t = &r->choice[choice].tools[tool];
    if (t->ended) return RW_OK;
    t->ended = true;
    struct chat_event e = {.kind = CHAT_EV_TOOL_ARGS, .choice = choice, .tool = tool, .text = SPAN("{}")};
    if (t->bytes == 0) RW_TRY(chat_reader_push(r, &e));
    e.kind = CHAT_EV_TOOL_END;
    return chat_reader_push(r, &e);
}

enum rw_err chat_reader_tool(struct chat_reader *r, uint32_t choice, uint32_t key, struct span id,
                             struct span name, uint32_t *ret)
{
    struct reader_choice *c = chat_reader_choice(r, choice);
    if (!c || c->tool_count == DIALECT_TOOLS_MAX) return RW_E_BAD;
    if (c->tool_count == c->tool_cap) {
        const uint32_t cap = c->tool_cap ? c->tool_cap * 2 : 4;
        struct reader_tool *tools = arena_alloc(r->ctx->arena, cap * (uint32_t)sizeof *tools);
        if (!tools) return RW_E_TOO_LARGE;
        if (c->tool_count) memcpy(tools, c->tools, c->tool_count * sizeof *tools);
        c->tools = tools;
        c->tool_cap = cap;
    }
    // Who begins another call has ended those whose arguments are whole.
    for (uint32_t i = 0; i < c->tool_count; i++)
        if (c->tools[i].whole) RW_TRY(chat_reader_tool_end(r, choice, i));
    *ret = c->tool_count++;
    c->tools[*ret] = (struct reader_tool){.key = key, .used = true};
    return chat_reader_push(
        r,
        &(struct chat_event){
            .kind = CHAT_EV_TOOL_START, .choice = choice, .tool = *ret, .id = id, .name = name});
}

enum rw_err chat_reader_finish(struct chat_reader *r, uint32_t choice, const struct chat_event *e)
{
    struct reader_choice *c = chat_reader_choice(r, choice);
    if (!c) return RW_E_BAD;
    if (c->finished) return RW_OK;
    if (c->half) {
        const struct chat_event rest = {.kind = (enum chat_event_kind)(c->half_of >> 16),
                                        .choice = choice,
                                        .tool = c->half_of & 0xffff,
                                        .text = SPAN("\xef\xbf\xbd")};
        c->half = 0;
        RW_TRY(chat_reader_push(r, &rest));
    }
    for (uint32_t i = 0; i < c->tool_count; i++) RW_TRY(chat_reader_tool_end(r, choice, i));
    c->finished = true;
    struct chat_event finish = *e;
    finish.kind = CHAT_EV_FINISH;
    finish.choice = choice;
    // Some say stop although there are calls.
    if (c->tool_count && finish.finish == CHAT_FINISH_STOP) finish.finish = CHAT_FINISH_TOOLS;
    return chat_reader_push(r, &finish);
}
