// See utf8.h. What a lead byte allows follows table 3-7 of the Unicode standard.
#include "wire/utf8.h"

#include "base/check.h"

// Bytes that must follow the lead byte (0xff: none such), and the bounds of the first of them.
struct lead {
    uint8_t need, low, high;
};

static struct lead lead_of(uint8_t c)
{
    if (c < 0x80) return (struct lead){0, 0, 0};
    if (c < 0xc2) return (struct lead){0xff, 0, 0}; // a continuation, or an overlong form of ASCII
    if (c < 0xe0) return (struct lead){1, 0x80, 0xbf};
    if (c == 0xe0) return (struct lead){2, 0xa0, 0xbf}; // below: overlong
    if (c == 0xed) return (struct lead){2, 0x80, 0x9f}; // above: surrogates
    if (c < 0xf0) return (struct lead){2, 0x80, 0xbf};
    if (c == 0xf0) return (struct lead){3, 0x90, 0xbf};
    if (c < 0xf4) return (struct lead){3, 0x80, 0xbf};
    if (c == 0xf4) return (struct lead){3, 0x80, 0x8f}; // above: beyond U+10FFFF
    return (struct lead){0xff, 0, 0};
}

static uint32_t ascii_run(const uint8_t *p, uint32_t n)
{
    uint32_t i = 0;
    for (; n - i >= 16; i += 16) {
        uint64_t a, b;
        memcpy(&a, p + i, 8);
        memcpy(&b, p + i + 8, 8);
        if ((a | b) & UINT64_C(0x8080808080808080)) break;
    }
    while (i < n && p[i] < 0x80) i++;
    return i;
}

// Length of the whole character at p, 0 if there is none.
static uint32_t character(const uint8_t *p, uint32_t n)
{
    if (n == 0) return 0;
    const struct lead l = lead_of(p[0]);
    if (l.need >= n) return 0;
    for (uint32_t i = 1; i <= l.need; i++) {
        const uint8_t low = i == 1 ? l.low : 0x80, high = i == 1 ? l.high : 0xbf;
        if (p[i] < low || p[i] > high) return 0;
    }
    return l.need + 1u;
}

uint32_t utf8_prefix(struct span s)
{
    uint32_t i = 0;
    while (i < s.n) {
        i += ascii_run(s.p + i, s.n - i);
        const uint32_t k = character(s.p + i, s.n - i);
        if (k == 0) break;
        i += k;
    }
    return i;
}

bool utf8_valid(struct span s)
{
    return utf8_prefix(s) == s.n;
}

static void feed_byte(struct utf8 *u, uint8_t c)
{
    if (u->need == 0) {
        const struct lead l = lead_of(c);
        u->bad = l.need == 0xff;
        if (!u->bad) u->need = l.need, u->low = l.low, u->high = l.high;
        return;
    }
    if (c < u->low || c > u->high) u->bad = true;
    u->need--;
    u->low = 0x80, u->high = 0xbf;
}

bool utf8_feed(struct utf8 *u, struct span piece)
{
    uint32_t i = 0;
    while (u->need && !u->bad && i < piece.n) feed_byte(u, piece.p[i++]);
    if (u->need || u->bad) return !u->bad;
    i += utf8_prefix(span_from(piece, i));
    while (!u->bad && i < piece.n) feed_byte(u, piece.p[i++]);
    return !u->bad;
}

uint32_t utf8_cut(struct span s, uint32_t at)
{
    if (at >= s.n) at = s.n;
    for (uint32_t back = 1; back < UTF8_BYTES_MAX && back <= at; back++) {
        const uint32_t i = at - back;
        if ((s.p[i] & 0xc0) == 0x80) continue;
        // Inside the character that begins here, if it is one and reaches over the cut.
        return character(s.p + i, s.n - i) > back ? i : at;
    }
    return at;
}

uint32_t utf8_decode(struct span s, uint32_t *ret)
{
    const uint32_t k = character(s.p, s.n);
    if (k == 0) return 0;
    uint32_t c = k == 1 ? s.p[0] : s.p[0] & (0x7fu >> k);
    for (uint32_t i = 1; i < k; i++) c = c << 6 | (s.p[i] & 0x3fu);
    *ret = c;
    return k;
}

uint32_t utf8_encode(uint32_t c, uint8_t *out)
{
    MUST(c <= 0x10ffff && (c & 0xfffff800) != 0xd800);
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    const uint32_t k = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = k; i-- > 1;) out[i] = (uint8_t)(0x80 | (c >> (6 * (k - 1 - i)) & 0x3f));
    out[0] = (uint8_t)(0xf00u >> k | c >> (6 * (k - 1)));
    return k;
}
