// What the files of json_*.c share: the states of the scan, the window it reads through, and the table of
// implementations.
//
// Window   Vectors are loaded at any position the scan stands on, so bytes behind it must be readable. In
//          most of the text they are; the last JSON_AHEAD bytes are copied to a room with as many zeros
//          behind them. A zero is no part of any valid text: everything stops at it, and the careful half
//          of the scan asks whether it is the end of the data. Nothing is ever read outside base[0 .. n).
#ifndef RINGWAY_WIRE_JSON_PRIV_H
#define RINGWAY_WIRE_JSON_PRIV_H

#include <string.h>

#include "wire/json.h"
#include "wire/utf8.h"

// What comes next, or which token is open.
enum json_state {
    JSON_S_TOP,
    JSON_S_VALUE,
    JSON_S_ARRAY, // behind '[': a value or ']'
    JSON_S_OBJECT, // behind '{': a key or '}'
    JSON_S_KEY, // behind a comma
    JSON_S_COLON,
    JSON_S_AFTER, // behind a value in a container
    JSON_S_IN_KEY,
    JSON_S_IN_STRING,
    JSON_S_IN_NUMBER,
    JSON_S_END, // behind the top-level value
};

// Where in a number. From JSON_N_ZERO on it may end.
enum json_number {
    JSON_N_MINUS, // a digit must follow
    JSON_N_DOT,
    JSON_N_E,
    JSON_N_E_SIGN,
    JSON_N_ZERO, // "0" or "-0"
    JSON_N_INT,
    JSON_N_FRACTION,
    JSON_N_EXPONENT,
};

// An entry of the stack: the array bit and a node of the tree of fields. A field has two nodes: for the
// container that is its value, and for the objects in it if that is an array.
#define JSON_IS_ARRAY 0x80u
#define JSON_NODE 0x7fu
#define JSON_NODE_NONE 0u
#define JSON_NODE_OF(field) ((field) + 1u)
#define JSON_NODE_ELEMENT(field) ((field) + 1u + JSON_FIELDS_MAX)
#define JSON_NODE_TOP (2u * JSON_FIELDS_MAX + 1u)
#define JSON_NO_FIELD 0xffu

static_assert(JSON_NODES == JSON_NODE_TOP + 1 && JSON_NODE_TOP <= JSON_NODE, "a node fits its bits");
static_assert(JSON_FIELDS_MAX <= 64, "a field is a bit of a word");

// Bytes that can be read behind any position up to `lim`. The longest reach is a key of 32 bytes, a space,
// and a number of three parts, each looked at with a vector of 32.
#define JSON_AHEAD 128

struct json_window {
    const uint8_t *p;
    const uint8_t *lim; // the last position from which JSON_AHEAD bytes can be read
    const uint8_t *end; // of the data, NULL while it is not in sight
    uintptr_t org; // address of a byte - org is its offset in the text
    const uint8_t *base;
    uint32_t n;
    bool tail;
    uint8_t room[2 * JSON_AHEAD];
};

// An implementation.
struct json_way {
    const char *name;
    bool (*usable)(void);
    // As json_scan_feed(), with s->bad == 0.
    int (*feed)(struct json_scan *s, const uint8_t *base, uint32_t n, bool final);
    // The quote that ends the string whose inside begins at p, or end.
    const uint8_t *(*quote)(const uint8_t *p, const uint8_t *end);
    // The first byte of p[0 .. n) that a JSON string cannot hold as it is or that is not ASCII, or n.
    uint32_t (*plain)(const uint8_t *p, uint32_t n);
};

extern const struct json_way json_way_scalar;
#if defined(__x86_64__)
extern const struct json_way json_way_sse42, json_way_avx2;
#elif defined(__aarch64__)
extern const struct json_way json_way_neon;
#endif

const struct json_way *json_way(void);

// The field of this key (raw, perhaps with escapes) in the node, or JSON_NO_FIELD.
uint32_t json_field_of(const struct json_fields *fields, uint32_t node, struct span raw_key);

// Bytes of the escape or of the character that is not ASCII at the front of s, 0 if it is neither.
uint32_t json_odd_bytes(struct span s);

// The bytes up to the quote that ends the string whose inside begins at the front of s, UINT32_MAX if it does not
// end there as it should.
static inline uint32_t json_inside_bytes(struct span s)
{
    for (uint32_t n = 0;;) {
        n += json_way()->plain(s.p + n, s.n - n);
        if (n == s.n) return UINT32_MAX;
        if (s.p[n] == '"') return n;
        const uint32_t k = json_odd_bytes(span_from(s, n));
        if (k == 0) return UINT32_MAX;
        n += k;
    }
}

// The bytes of the number at the front of s, UINT32_MAX if there is none by the grammar.
uint32_t json_number_bytes(struct span s);

// A bit of json_fields.filter for a key of n bytes, n > 0.
static inline uint32_t json_key_bit(uint32_t last, uint32_t n)
{
    return (last + 4 * n) & 63;
}

static inline __attribute__((always_inline)) bool json_is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Notes a field's value. Of a field that repeats, a null does not take the place of a value.
static inline __attribute__((always_inline)) void json_note(struct json_scan *s, uint32_t f,
                                                            enum json_type type, uint32_t off, uint32_t len)
{
    struct json_value *const v = &s->value[f];
    const uint64_t bit = UINT64_C(1) << f;
    if (RW_UNLIKELY(s->seen & bit)) s->again |= bit;
    s->seen |= bit;
    if (type == JSON_NULL && RW_UNLIKELY(v->type > JSON_NULL) && s->fields->field[f].repeats) return;
    *v = (struct json_value){.off = off, .len = len, .count = type == JSON_OBJECT, .type = (uint8_t)type};
}

#endif
