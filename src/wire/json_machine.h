// The JSON scan itself, included once by each implementation after its vector functions. In two halves:
//
// fast()   runs through well-formed text, a token in a few instructions: strings that are plain ASCII,
//          numbers that end within a vector. It never refuses and never looks for the end of the data. At
//          anything it does not know it stops in front of the token.
// slow()   one careful step: a token of any kind, a suspension, or the error.
//
// Both go through the text by the same states, so a text may change between them at every token.
#include "wire/json_priv.h"

#define LITTLE16(a, b) ((uint16_t)((a) | (b) << 8))
#define LITTLE32(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define COLD JSON_ISA static __attribute__((noinline))

// Results of a step.
#define GO 2
#define SUSPEND JSON_NEED_MORE

INLINE uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap16(v);
#endif
    return v;
}

INLINE uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

INLINE uint32_t off(const struct json_window *w, const uint8_t *p)
{
    return (uint32_t)((uintptr_t)p - w->org);
}

// --- The window.

INLINE void copy_ahead(uint8_t *to, const uint8_t *from)
{
    static_assert(JSON_AHEAD == 128, "four copies");
    copy32(to, from);
    copy32(to + 32, from + 32);
    copy32(to + 64, from + 64);
    copy32(to + 96, from + 96);
}

INLINE void clear_ahead(uint8_t *to)
{
    clear32(to);
    clear32(to + 32);
    clear32(to + 64);
    clear32(to + 96);
}

INLINE void window_tail(struct json_window *w, uint32_t pos)
{
    const uint32_t held = w->n < JSON_AHEAD ? w->n : JSON_AHEAD;
    if (RW_LIKELY(held == JSON_AHEAD)) {
        copy_ahead(w->room, w->base + w->n - JSON_AHEAD);
    } else {
        clear_ahead(w->room);
        if (held) memcpy(w->room, w->base, held);
    }
    clear_ahead(w->room + JSON_AHEAD);
    w->tail = true;
    w->org = (uintptr_t)w->room - (w->n - held);
    w->p = w->room + (pos - (w->n - held));
    w->end = w->lim = w->room + held;
}

INLINE void window_open(struct json_window *w, const uint8_t *base, uint32_t pos, uint32_t n)
{
    w->base = base;
    w->n = n;
    w->tail = false;
    w->org = (uintptr_t)base;
    if (n - pos < JSON_AHEAD) {
        window_tail(w, pos);
        return;
    }
    w->p = base + pos;
    w->lim = base + n - JSON_AHEAD;
    w->end = NULL;
}

#include "wire/json_utf8.h"

#include "wire/json_fast.h"

#include "wire/json_slow.h"

// --- The whole.

// All the data is read and the text ends here: is it whole?
INLINE int text_end(struct json_scan *s, const struct json_window *w)
{
    s->pos = w->n;
    if (s->state == JSON_S_IN_NUMBER && s->depth == 0 && s->number >= JSON_N_ZERO) s->state = JSON_S_END;
    for (uint64_t again = s->again; RW_UNLIKELY(again); again &= again - 1)
        s->value[__builtin_ctzll(again)].duplicate = true;
    if (s->state == JSON_S_END) return 1;
    return s->state == JSON_S_TOP && off(w, w->p) == w->n ? JSON_BAD_EMPTY : JSON_BAD_END;
}

// The usual beginning of a text.
INLINE void open_top(struct json_scan *s, struct json_window *w)
{
    s->top_object = true;
    s->top = 1;
    s->stack[1] = JSON_NODE_TOP;
    s->depth = 1;
    s->state = JSON_S_OBJECT;
    w->p++;
}

JSON_ISA static int feed(struct json_scan *s, const uint8_t *base, uint32_t n, bool final)
{
    struct json_window w;
    window_open(&w, base, s->pos, n);
    if (s->state == JSON_S_TOP && s->pos == 0 && *w.p == '{') open_top(s, &w);
    for (;;) {
        fast(s, &w);
        if (w.p > w.lim) {
            window_tail(&w, off(&w, w.p));
            continue;
        }
        const int got = w.p == w.end ? SUSPEND : slow(s, &w);
        if (got == GO) continue;
        if (got < 0) return got;
        if (final) return text_end(s, &w);
        s->pos = off(&w, w.p);
        return JSON_NEED_MORE;
    }
}

JSON_ISA static const uint8_t *quote(const uint8_t *p, const uint8_t *end)
{
    const struct marks m = marks();
    while (end - p >= 32) {
        const uint32_t mask = special(p, &m);
        p += first(mask);
        if (mask == 0) continue;
        if (*p == '"') return p;
        p += *p == '\\' ? 2 : 1;
    }
    while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
    return p < end ? p : end;
}

JSON_ISA static uint32_t plain(const uint8_t *p, uint32_t n)
{
    const struct marks m = marks();
    uint32_t i = 0;
    for (; n - i >= 32; i += 32) {
        const uint32_t mask = special(p + i, &m);
        if (mask) return i + (uint32_t)first(mask);
        // Most are short; of those that are not the rest is long.
        const uint8_t *q = p + i + 32;
        while (n - i >= 96 && plain64(q, &m)) i += 64, q += 64;
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\') i++;
    return i;
}
