// The JSON scan without vectors, for processors that have none of the others and as their twin in tests.
// Thirty-two bytes are looked at as four words. See json_machine.h.
#include "wire/json_priv.h"

#define JSON_ISA
#define INLINE static inline __attribute__((always_inline))
#define ALL(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))
#define TOP ALL(0x80)

INLINE uint64_t first(uint32_t mask)
{
    return mask ? (uint64_t)__builtin_ctz(mask) : 32;
}

INLINE void copy32(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 32);
}

INLINE void clear32(uint8_t *to)
{
    memset(to, 0, 32);
}

// The bytes of the text in order, whatever the order of the processor.
INLINE uint64_t word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

// The top bits of a word's bytes, side by side.
INLINE uint32_t tops(uint64_t v)
{
    return (uint32_t)((v >> 7 & ALL(1)) * UINT64_C(0x0102040810204080) >> 56);
}

// Top bits set in bytes below c (c at most 0x80) and of ASCII: no carry leaves a byte.
INLINE uint64_t below(uint64_t v, uint8_t c)
{
    return ~((v & ~TOP) + ALL(0x80 - c)) & ~v & TOP;
}

INLINE uint64_t equal(uint64_t v, uint8_t c)
{
    return below(v ^ ALL(c), 1);
}

INLINE uint64_t word_special(uint64_t v)
{
    return below(v, 0x20) | equal(v, '"') | equal(v, '\\') | (v & TOP);
}

INLINE uint64_t word_digits(uint64_t v)
{
    return below(v, '9' + 1) & ~below(v, '0');
}

INLINE uint64_t word_spaces(uint64_t v)
{
    return equal(v, ' ') | equal(v, '\n') | equal(v, '\r') | equal(v, '\t');
}

#define FOUR_WORDS(what, p) \
    (tops(what(word(p))) | tops(what(word((p) + 8))) << 8 | tops(what(word((p) + 16))) << 16 | \
     tops(what(word((p) + 24))) << 24)

struct marks {
    char none;
};

INLINE struct marks marks(void)
{
    return (struct marks){0};
}

INLINE uint32_t special(const uint8_t *p, const struct marks *m)
{
    (void)m;
    return FOUR_WORDS(word_special, p);
}

// None of 64 bytes is special.
INLINE bool plain64(const uint8_t *p, const struct marks *m)
{
    (void)m;
    uint64_t found = 0;
    for (uint32_t i = 0; i < 64; i += 8) found |= word_special(word(p + i));
    return found == 0;
}

// The first special byte of 32, or 32.
INLINE uint64_t special_at(const uint8_t *p, const struct marks *m)
{
    return first(special(p, m));
}

INLINE uint32_t digits(const uint8_t *p)
{
    return FOUR_WORDS(word_digits, p);
}

INLINE uint32_t spaces(const uint8_t *p)
{
    return FOUR_WORDS(word_spaces, p);
}

INLINE uint32_t same(const uint8_t *p, const uint8_t *q)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < 32; i += 8) mask |= tops(equal(word(p + i) ^ word(q + i), 0)) << i;
    return mask;
}

#include "wire/json_machine.h"

static bool usable(void)
{
    return true;
}

const struct json_way json_way_scalar = {"scalar", usable, feed, quote, plain};
