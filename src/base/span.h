// A span is a pointer and a length into bytes that somebody else owns: the currency between receiving and sending. It is
// never NUL-terminated. Whoever hands one out says how long it lives.
//
// Thread   any. Never suspends. Sizes are bytes; no single region of the gateway is larger than 4 GiB.
#ifndef RINGWAY_BASE_SPAN_H
#define RINGWAY_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/lanes.h"

struct span {
    const uint8_t *p;
    uint32_t n;
};

#define SPAN(literal) ((struct span){(const uint8_t *)("" literal), (uint32_t)(sizeof(literal) - 1)})
// For static initialisers, where a compound literal is not a constant.
#define SPAN_INIT(literal) \
    { \
        (const uint8_t *)("" literal), (uint32_t)(sizeof(literal) - 1) \
    }
// For printf's "%.*s".
#define SPAN_ARG(s) (int)(s).n, (const char *)(s).p

static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){(const uint8_t *)p, (uint32_t)n};
}

static inline struct span span_str(const char *text)
{
    return span_of(text, text ? strlen(text) : 0);
}

static inline struct span span_from(struct span s, uint32_t start)
{
    return start >= s.n ? (struct span){s.p + s.n, 0} : (struct span){s.p + start, s.n - start};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts(struct span s, struct span prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool span_ends(struct span s, struct span suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

static inline uint8_t span_lower(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

// ASCII letters compare equal whatever their case.
static inline bool span_ieq(struct span a, struct span b)
{
    if (a.n != b.n) return false;
    for (uint32_t i = 0; i < a.n; i++)
        if (span_lower(a.p[i]) != span_lower(b.p[i])) return false;
    return true;
}

// Position of c, or s.n.
static inline uint32_t span_find(struct span s, uint8_t c)
{
    return lanes_find(s.p, s.n, c);
}

// Without SP and HTAB at both ends.
static inline struct span span_trim(struct span s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

// Takes the text before the next `sep` off the front of *rest. False when *rest was used up (an empty *rest with a NULL
// pointer); an empty field between two separators is a field.
static inline bool span_split(struct span *rest, uint8_t sep, struct span *ret_field)
{
    if (!rest->p) return false;
    const uint32_t at = span_find(*rest, sep);
    *ret_field = (struct span){rest->p, at};
    *rest = at < rest->n ? (struct span){rest->p + at + 1, rest->n - at - 1} : (struct span){NULL, 0};
    return true;
}

// Decimal digits only, no sign, at least one, no overflow. False leaves *ret untouched.
static inline bool span_u64(struct span s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n == 0) return false;
    for (uint32_t i = 0; i < s.n; i++) {
        const uint8_t d = (uint8_t)(s.p[i] - '0');
        // Nineteen digits always fit.
        if (d > 9 || (i >= 19 && v > (UINT64_MAX - d) / 10)) return false;
        v = v * 10 + d;
    }
    *ret = v;
    return true;
}

#endif
