// See dialect_priv.h: blocks that stand one behind the other, made of events in any order.
#include "base/limits.h"
#include "providers/dialect_priv.h"

// What may wait for earlier blocks to end. Providers hardly ever interleave calls.
#define HELD_BYTES_MAX MIB(1)

static bool is_call(const struct writer_block *b)
{
    return b->kind == CHAT_TOOL_CALL;
}

static enum rw_err hold(struct chat_writer *w, struct writer_block *b, struct span text)
{
    if (text.n > HELD_BYTES_MAX - b->held_n) return RW_E_TOO_LARGE;
    const uint32_t need = b->held_n + text.n;
    if (need > b->held_cap) {
        uint32_t cap = b->held_cap ? b->held_cap : 256;
        while (cap < need) cap *= 2;
        uint8_t *held = arena_alloc(w->ctx->arena, cap);
        if (!held) return RW_E_TOO_LARGE;
        if (b->held_n) memcpy(held, b->held, b->held_n);
        b->held = held;
        b->held_cap = cap;
    }
    if (text.n) memcpy(b->held + b->held_n, text.p, text.n);
    b->held_n = need;
    return RW_OK;
}

// Writes what can be written: the head as far as it is there, and the next ones while the head has ended.
static void advance(struct chat_writer *w, const struct writer_ops *ops)
{
    while (w->head) {
        struct writer_block *b = w->head;
        if (!w->head_open) {
            ops->open(w, b);
            w->head_open = true;
        }
        const bool wait = ops->whole_calls && is_call(b) && !b->ended;
        if (b->held_n && !wait) {
            ops->text(w, b, span_of(b->held, b->held_n));
            b->held_n = 0;
        }
        if (!b->ended) return;
        ops->close(w, b);
        w->head_open = false;
        w->blocks++;
        w->head = b->next;
        if (!w->head) w->tail = NULL;
    }
}

static struct writer_block *block_new(struct chat_writer *w, enum chat_part_kind kind,
                                      const struct chat_event *e)
{
    struct writer_block *b = chat_alloc(w->ctx, sizeof *b);
    if (!b) return NULL;
    b->kind = kind;
    b->tool = e->tool;
    if (kind == CHAT_TOOL_CALL) {
        b->id = arena_copy(w->ctx->arena, e->id);
        b->name = arena_copy(w->ctx->arena, e->name);
    } else if (kind == CHAT_REDACTED) {
        b->id = arena_copy(w->ctx->arena, e->text);
    }
    // Texts and thoughts end where something else begins; a call when it says so.
    if (w->tail && !is_call(w->tail)) w->tail->ended = true;
    if (w->tail) w->tail->next = b;
    else w->head = b;
    w->tail = b;
    return b;
}

static struct writer_block *call_find(const struct chat_writer *w, uint32_t tool)
{
    struct writer_block *b = w->head;
    while (b && !(is_call(b) && b->tool == tool)) b = b->next;
    return b;
}

static enum rw_err text(struct chat_writer *w, const struct writer_ops *ops, enum chat_part_kind kind,
                        const struct chat_event *e)
{
    struct writer_block *b = w->tail;
    if (!b || b->kind != kind || b->ended) b = block_new(w, kind, e);
    if (!b) return RW_E_TOO_LARGE;
    advance(w, ops); // opens it, if it is its turn
    if (b == w->head) ops->text(w, b, e->text);
    else RW_TRY(hold(w, b, e->text));
    return RW_OK;
}

static enum rw_err arguments(struct chat_writer *w, const struct writer_ops *ops, const struct chat_event *e)
{
    struct writer_block *b = call_find(w, e->tool);
    if (!b) return RW_OK; // behind its end: white space at most
    if (b == w->head && !ops->whole_calls) ops->text(w, b, e->text);
    else RW_TRY(hold(w, b, e->text));
    return RW_OK;
}

enum rw_err chat_blocks_event(struct chat_writer *w, const struct writer_ops *ops, const struct chat_event *e)
{
    struct writer_block *b;
    switch (e->kind) {
    case CHAT_EV_TEXT: return text(w, ops, CHAT_TEXT, e);
    case CHAT_EV_THINKING: return text(w, ops, CHAT_THINKING, e);
    case CHAT_EV_REFUSAL: return text(w, ops, ops->refusals ? CHAT_REFUSAL : CHAT_TEXT, e);
    case CHAT_EV_SIGNATURE:
        if (w->head && w->head == w->tail && w->head->kind == CHAT_THINKING && w->head_open &&
            !w->head->ended)
            ops->signature(w, w->head, e->text);
        return RW_OK;
    case CHAT_EV_REDACTED:
        b = block_new(w, CHAT_REDACTED, e);
        if (!b) return RW_E_TOO_LARGE;
        b->ended = true;
        break;
    case CHAT_EV_TOOL_START:
        if (!block_new(w, CHAT_TOOL_CALL, e)) return RW_E_TOO_LARGE;
        w->calls = true;
        break;
    case CHAT_EV_TOOL_ARGS: return arguments(w, ops, e);
    case CHAT_EV_TOOL_END:
        b = call_find(w, e->tool);
        if (b) b->ended = true;
        break;
    default: return RW_OK;
    }
    advance(w, ops);
    return RW_OK;
}

enum rw_err chat_blocks_end(struct chat_writer *w, const struct writer_ops *ops)
{
    for (struct writer_block *b = w->head; b; b = b->next) b->ended = true;
    advance(w, ops);
    return RW_OK;
}
