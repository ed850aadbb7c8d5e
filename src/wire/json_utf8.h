// Text that is not ASCII inside strings. Included by json_machine.h.

#ifdef VEC
// Which errors a pair of bytes can be part of, looked up by the high and the low nibble of the first byte
// and the high nibble of the second; the pair has those that all three name. After Keiser and Lemire,
// "Validating UTF-8 in less than one instruction per byte", Software: Practice and Experience 51 (2021).
enum {
    PAIR_SHORT = 1 << 0, // a lead without its continuation
    PAIR_LONG = 1 << 1, // a continuation behind ASCII
    PAIR_OVERLONG3 = 1 << 2, // e0 80..9f
    PAIR_LARGE = 1 << 3, // f4 90..bf, f5.. 90..bf
    PAIR_SURROGATE = 1 << 4, // ed a0..bf
    PAIR_OVERLONG2 = 1 << 5, // c0, c1
    PAIR_LARGE_8X = 1 << 6, // f5.. 80..8f
    PAIR_OVERLONG4 = 1 << 6, // f0 80..8f
    PAIR_CONTINUED = 1 << 7, // two continuations: right only as the third or fourth byte
    PAIR_ANY_LOW = PAIR_SHORT | PAIR_LONG | PAIR_CONTINUED,
    PAIR_LOW_5_TO_F = PAIR_ANY_LOW | PAIR_LARGE | PAIR_LARGE_8X,
    PAIR_LEAD_F = PAIR_SHORT | PAIR_LARGE | PAIR_LARGE_8X | PAIR_OVERLONG4,
    PAIR_SECOND = PAIR_LONG | PAIR_OVERLONG2 | PAIR_CONTINUED,
};

static const uint8_t pair_high[16] = {
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_LONG,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_CONTINUED,
    PAIR_SHORT | PAIR_OVERLONG2,
    PAIR_SHORT,
    PAIR_SHORT | PAIR_OVERLONG3 | PAIR_SURROGATE,
    PAIR_LEAD_F,
};

static const uint8_t pair_low[16] = {
    PAIR_ANY_LOW | PAIR_OVERLONG3 | PAIR_OVERLONG2 | PAIR_OVERLONG4,
    PAIR_ANY_LOW | PAIR_OVERLONG2,
    PAIR_ANY_LOW,
    PAIR_ANY_LOW,
    PAIR_ANY_LOW | PAIR_LARGE,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F | PAIR_SURROGATE,
    PAIR_LOW_5_TO_F,
    PAIR_LOW_5_TO_F,
};

static const uint8_t pair_second[16] = {
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SECOND | PAIR_OVERLONG3 | PAIR_LARGE_8X | PAIR_OVERLONG4,
    PAIR_SECOND | PAIR_OVERLONG3 | PAIR_LARGE,
    PAIR_SECOND | PAIR_SURROGATE | PAIR_LARGE,
    PAIR_SECOND | PAIR_SURROGATE | PAIR_LARGE,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
    PAIR_SHORT,
};

// Lanes of v that are wrong behind what stands before them. `prev` are the bytes in front of v.
INLINE vec utf8_errors(vec v, vec prev)
{
    vec before[3];
    vec_before(v, prev, before);
    const vec high = vec_look_up(vec_table(pair_high), vec_high_nibble(before[0]));
    const vec low = vec_look_up(vec_table(pair_low), vec_low_nibble(before[0]));
    const vec second = vec_look_up(vec_table(pair_second), vec_high_nibble(v));
    // The third byte of e0..ff and the fourth of f0..ff: two continuations are right exactly there.
    const vec third = vec_sub_floor(before[1], 0xe0 - 0x80), fourth = vec_sub_floor(before[2], 0xf0 - 0x80);
    const vec must = vec_and(vec_or(third, fourth), vec_fill(0x80));
    return vec_xor(must, vec_and(vec_and(high, low), second));
}

// The last start of a character up to p. From `from`, itself one, up to p the text is valid but for what is
// cut off by p.
JSON_ISA static const uint8_t *character_start(const uint8_t *p, const uint8_t *from)
{
    const uint8_t *q = p;
    uint32_t character, k;
    for (int i = 0; i < UTF8_BYTES_MAX && q > from; i++)
        if ((*--q & 0xc0) != 0x80) break;
    while ((k = utf8_decode(span_of(q, (size_t)(p - q)), &character)) != 0) q += k;
    return q;
}

// From p, where a character begins that is not ASCII, over text that is valid and needs no attention.
// Returns a start of a character; p itself if the one there is wrong or not whole.
JSON_ISA static const uint8_t *utf8_run(const uint8_t *p, const uint8_t *lim)
{
    const uint8_t *const from = p;
    const struct marks m = marks();
    vec prev = vec_zero();
    for (;;) {
        const vec a = vec_load(p), b = vec_load(p + VEC);
        const vec a_wrong = utf8_errors(a, prev), b_wrong = utf8_errors(b, a);
        const vec a_stop = vec_stop(a, &m), b_stop = vec_stop(b, &m);
        if (RW_UNLIKELY(vec_any(vec_or(vec_or(a_wrong, a_stop), vec_or(b_wrong, b_stop))))) {
            const bool in_a = vec_any(vec_or(a_wrong, a_stop));
            const uint64_t stop = first(vec_nonzero(in_a ? a_stop : b_stop));
            const uint64_t wrong = first(vec_nonzero(in_a ? a_wrong : b_wrong));
            p += in_a ? 0 : VEC;
            return wrong <= stop ? character_start(p + wrong, from) : p + stop;
        }
        p += 2 * VEC;
        if (!vec_mask(vec_or(a, b))) return p;
        if (p > lim) return character_start(p, from);
        prev = b;
    }
}
#else
JSON_ISA static const uint8_t *utf8_run(const uint8_t *p, const uint8_t *lim)
{
    uint32_t character;
    while (p <= lim && *p >= 0x80) {
        const uint32_t k = utf8_decode(span_of(p, UTF8_BYTES_MAX), &character);
        if (k == 0) break;
        p += k;
    }
    return p;
}
#endif
