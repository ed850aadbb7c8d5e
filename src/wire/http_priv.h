// Shared by the files of the HTTP/1.1 layer: classes of bytes, the table of names, and the way in which a
// head is scanned on this machine.
//
// A way takes only what is usual: a request line of POST or GET with a path and HTTP/1.1, and whole lines
// "name: value" CRLF with a name of at most 31 bytes, one space behind the colon and none elsewhere at the
// ends of the value. Everything else, errors included, is left to the line parsers of http_parse.c, which
// therefore alone decide what is right and why something is not. The portable way takes nothing, so that a
// test can compare any way with the line parsers.
#ifndef RINGWAY_WIRE_HTTP_PRIV_H
#define RINGWAY_WIRE_HTTP_PRIV_H

#include <stdatomic.h>

#include "wire/http.h"

// --- Classes of bytes.
#define HTTP_IS_ALPHA(c) ((((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'z'))
#define HTTP_IS_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define HTTP_IS_HEX(c) (HTTP_IS_DIGIT(c) || (((c) | 0x20) >= 'a' && ((c) | 0x20) <= 'f'))
// tchar of RFC 9110 5.6.2.
#define HTTP_IS_TOKEN(c) \
    (HTTP_IS_ALPHA(c) || HTTP_IS_DIGIT(c) || (c) == '!' || ((c) >= '#' && (c) <= '\'') || (c) == '*' || \
     (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' || (c) == '|' || \
     (c) == '~')
// Visible ASCII but '#': a fragment is never sent, and two programs would cut it at different places.
#define HTTP_IS_TARGET(c) ((c) > 0x20 && (c) < 0x7f && (c) != '#')
#define HTTP_IS_HOST(c) \
    (HTTP_IS_ALPHA(c) || HTTP_IS_DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
// field-vchar, SP and HTAB.
#define HTTP_IS_TEXT(c) (((c) >= 0x20 && (c) != 0x7f) || (c) == '\t')

enum { HTTP_TOKEN = 1, HTTP_TARGET = 2, HTTP_HOST = 4, HTTP_TEXT = 8, HTTP_DIGIT = 16, HTTP_HEX = 32 };

extern const uint8_t http_class[256];

static inline bool http_is(uint8_t c, int classes)
{
    return (http_class[c] & classes) != 0;
}

// For a class of ASCII bytes as vectors test it: bit r of entry i says whether the byte (r << 4 | i) is in
// it.
#define HTTP_NIBBLE(is, i) \
    (uint8_t)(is(0x00 | (i)) << 0 | is(0x10 | (i)) << 1 | is(0x20 | (i)) << 2 | is(0x30 | (i)) << 3 | \
              is(0x40 | (i)) << 4 | is(0x50 | (i)) << 5 | is(0x60 | (i)) << 6 | is(0x70 | (i)) << 7)
#define HTTP_NIBBLES(is) \
    { \
        HTTP_NIBBLE(is, 0), HTTP_NIBBLE(is, 1), HTTP_NIBBLE(is, 2), HTTP_NIBBLE(is, 3), HTTP_NIBBLE(is, 4), \
            HTTP_NIBBLE(is, 5), HTTP_NIBBLE(is, 6), HTTP_NIBBLE(is, 7), HTTP_NIBBLE(is, 8), \
            HTTP_NIBBLE(is, 9), HTTP_NIBBLE(is, 10), HTTP_NIBBLE(is, 11), HTTP_NIBBLE(is, 12), \
            HTTP_NIBBLE(is, 13), HTTP_NIBBLE(is, 14), HTTP_NIBBLE(is, 15) \
    }

// --- Names.
#define X(symbol, text, slot) symbol,
enum http_seen { HTTP_S_NOTHING = HTTP_N_OTHER, HTTP_NAMES_SEEN(X) HTTP_NAMES_ALL };
#undef X

struct http_row {
    char name[31]; // in lower case, with its colon; zeros behind
    uint8_t kind; // enum http_name
};

#define HTTP_NAME_SLOT_BITS 9
#define HTTP_NAME_MULTIPLIER UINT32_C(0x77b82cff)
#define HTTP_LOWER UINT64_C(0x2020202020202020)

extern const uint16_t http_name_slot[1 << HTTP_NAME_SLOT_BITS]; // bytes from http_name_row to the row
extern const struct http_row http_name_row[HTTP_NAMES_ALL];

static inline uint16_t http_load16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t http_load32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t http_load64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// The one row that name[0 .. n) can be equal to. Reads the four bytes in front of name + n.
static inline const struct http_row *http_row_of(const uint8_t *name, size_t n)
{
    const uint32_t key = (http_load32(name + n - 4) | (uint32_t)HTTP_LOWER) + (uint32_t)n * 8;
    const uint32_t slot = key * HTTP_NAME_MULTIPLIER >> (32 - HTTP_NAME_SLOT_BITS);
    return (const struct http_row *)(const void *)((const char *)http_name_row + http_name_slot[slot]);
}

// --- Ways.
struct http_way {
    const char *name;
    bool (*usable)(void); // on this machine
    // A usual request from its first byte on: the request line as request_line() would, then its fields.
    // Returns the offset of the first line it did not take, 0 if that is already the first.
    uint32_t (*request)(const uint8_t *p, uint32_t n, const struct http_rules *rules, struct http_head *head);
    // Adds the fields of usual whole lines from p + from on, at most up to fields_max in all. Returns the
    // offset of the first line it did not take.
    uint32_t (*fields)(const uint8_t *p, uint32_t from, uint32_t n, uint32_t fields_max,
                       struct http_head *head);
    // The first place from `at` on where a[0 .. n) and b[0 .. n) differ, or n. n >= HTTP_DIFFER_MIN.
    uint32_t (*differ)(const uint8_t *a, const uint8_t *b, uint32_t at, uint32_t n);
    // The end of the run of text at p + at; n if it is one of the last three bytes. n >= HTTP_DIFFER_MIN.
    uint32_t (*text)(const uint8_t *p, uint32_t at, uint32_t n);
};

// The bytes that `differ` must be given at least.
#define HTTP_DIFFER_MIN 32

extern const struct http_way http_way_scalar;
#if defined(__x86_64__)
extern const struct http_way http_way_avx2;
extern const struct http_way http_way_sse42;
#elif defined(__aarch64__)
extern const struct http_way http_way_neon;
#endif

// Best first; the last is portable and always usable. NULL beyond it.
const struct http_way *http_way_list(uint32_t index);
// Every parse after this goes that way. For tests and measurements, while no other thread parses.
void http_way_choose(const struct http_way *way);

// NULL until the first parse or a choice.
extern _Atomic(const struct http_way *) http_way_chosen;
const struct http_way *http_way_best(void);

static inline const struct http_way *http_way(void)
{
    const struct http_way *way = atomic_load_explicit(&http_way_chosen, memory_order_relaxed);
    return RW_LIKELY(way != NULL) ? way : http_way_best();
}

// --- What the fields of a whole head say. 0 or a negative enum http_bad.
int http_request_meaning(struct http_head *head);
int http_response_meaning(struct http_head *head, enum http_method asked);

#endif
