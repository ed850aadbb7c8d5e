// JSON after RFC 8259, read where it was received: one validating pass that picks out the few values the
// gateway looks at (json_scan), and a pull reader for code that looks deeper (json_iter). Nothing is
// copied, nothing is allocated, nothing recurses.
//
// Scan     static struct json_fields fields;                     // once, when the process starts
//          static const char *const paths[] = {"model", "choices", "choices[].finish_reason"};
//          json_fields_make(&fields, paths, 3);
//
//          struct json_scan s;
//          json_scan_init(&s, &fields, JSON_TOP_OBJECT);
//          for (;;) {
//              int got = json_scan_feed(&s, p, n, final);         // p[0 .. n): the text since its first byte
//              if (got > 0) break;                                // valid, s.value[] is filled
//              if (got < 0) refuse(json_bad_text(got), s.pos);    // an enum json_bad
//              receive more behind the same bytes, or yield       // JSON_NEED_MORE
//          }
//          s.value[0].type, json_text(p, &s.value[0]), ...
//
// Pieces   Everything kept is an offset, so p may change between two feeds as long as the bytes stay the
//          same. Each feed goes on where the last one stopped; the sum of the work is linear in n. Who has
//          all of a large text feeds it in slices: n = 256 KiB, 512 KiB, ... with `final` on the last.
// Strict   Refused: invalid UTF-8, control characters in strings, a byte order mark, bytes behind the
//          value, NaN and other words, numbers against the grammar (leading zeros, "+1", "1."), nesting
//          deeper than JSON_DEPTH_MAX, an empty text, a top level that is no object if JSON_TOP_OBJECT is
//          set. Numbers have any length. Lone surrogates written as escapes ("\ud800") are in the grammar
//          of RFC 8259: in texts that are passed on they are let through; where a string is unescaped to be
//          read (a key that could be one of ours, json_unescape()) they are refused, since no UTF-8 stands
//          for them. A key with one is therefore never one of ours.
// Keys     are compared after unescaping. A field of interest that occurs twice in its object sets
//          `duplicate`; whoever reads it must refuse the text, because the other side may read the other
//          value. Duplicates of keys that nobody reads are ignored.
// Owner    everything is the caller's; json_fields is read-only after it was made and may be shared by all
//          threads.
// Thread   any. Never suspends. Which SIMD is used is decided at the first scan of the process.
#ifndef RINGWAY_WIRE_JSON_H
#define RINGWAY_WIRE_JSON_H

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

// --- Fields of interest.

#define JSON_FIELDS_MAX 48
#define JSON_FIELD_KEY_BYTES_MAX 31

enum json_type {
    JSON_ABSENT, // so that all zero is "not there"
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

// Where a value stands in the text. A string is given with its quotes.
struct json_value {
    uint32_t off;
    uint32_t len;
    uint32_t count; // of an array: its elements; of an object: 0 if it has no members, else 1
    uint8_t type; // enum json_type
    bool duplicate; // the key occurred again in the same object; off and len are of the last one
    bool escaped; // a string with a backslash in it
};

// One key of the tree: its text with the quote behind it, padded with zeros.
struct json_field {
    uint8_t key[JSON_FIELD_KEY_BYTES_MAX + 1];
    uint32_t mask; // a bit for each byte of the key and for the quote
    uint8_t next; // another field of the same slot + 1, 0: none
    bool repeats; // stands in the elements of an array
    uint8_t pad[26]; // to a power of two, so that it is found by a shift
};

static_assert(sizeof(struct json_field) == 64, "a power of two");

#define JSON_NODES (2 * JSON_FIELDS_MAX + 2)

// The tree, made once of a list of paths. Opaque but for its size. A node is an object in which fields stand.
struct json_fields {
    uint64_t filter[JSON_NODES]; // a bit for each key of the node by a hash of it
    uint64_t below[JSON_NODES]; // the fields of the node and all under them, one bit each
    uint8_t slot[JSON_NODES][64]; // by the hash: field + 1, 0: none
    uint32_t n;
    struct json_field field[JSON_FIELDS_MAX];
};

// paths[i] becomes value[i]. "a.b" is member b of the object that is member a; "a[].b" is member b of each
// element of the array a: its value is the last one that is not null, or null if all were. Every parent is
// a path of its own that stands before ("usage", then "usage.prompt_tokens"); for "a[].b" that is "a". Keys
// are ASCII without '.' and '['. A table that breaks this is a programmer error.
void json_fields_make(struct json_fields *ret, const char *const *paths, uint32_t n);

// --- The scan.

// Why a text was refused: X(symbol, words that fit "The request body is not valid JSON: % at byte N.")
#define JSON_BADS(X) \
    X(JSON_BAD_END, "the text ends in the middle of a value") \
    X(JSON_BAD_EMPTY, "there is no value") \
    X(JSON_BAD_BOM, "a byte order mark") \
    X(JSON_BAD_TOP, "the top level is not an object") \
    X(JSON_BAD_VALUE, "no value begins like this") \
    X(JSON_BAD_WORD, "a word that is not true, false or null") \
    X(JSON_BAD_NUMBER, "a malformed number") \
    X(JSON_BAD_KEY, "a key in double quotes is missing") \
    X(JSON_BAD_COLON, "a colon is missing behind a key") \
    X(JSON_BAD_COMMA, "a comma or a closing bracket is missing") \
    X(JSON_BAD_TRAILING_COMMA, "a comma stands before a closing bracket") \
    X(JSON_BAD_CONTROL, "a control character in a string") \
    X(JSON_BAD_UTF8, "invalid UTF-8 in a string") \
    X(JSON_BAD_ESCAPE, "an unknown escape in a string") \
    X(JSON_BAD_DEPTH, "nesting is too deep") \
    X(JSON_BAD_TRAILING, "bytes follow the value")

#define JSON_NEED_MORE 0

enum json_bad_index {
#define X(symbol, text) symbol##_INDEX,
    JSON_BADS(X)
#undef X
        JSON_BAD_COUNT
};

enum json_bad {
#define X(symbol, text) symbol = -1 - symbol##_INDEX,
    JSON_BADS(X)
#undef X
};

// Flags of json_scan_init().
#define JSON_TOP_OBJECT 1u

struct json_scan {
    const struct json_fields *fields;
    uint32_t pos; // read so far; after an error the offset of the byte that is wrong
    int bad; // 0, or the enum json_bad that ended the scan
    // Where members can be added to a top-level object; valid when the scan is done and the top level is an
    // object.
    uint32_t top; // offset just behind its '{'
    uint32_t close; // offset of its '}'
    bool top_object;
    bool top_empty; // it has no members
    // --- The rest is the scan's own.
    uint8_t flags;
    uint8_t state;
    uint8_t number; // where in a number
    uint8_t field; // of interest whose value is next or being read, 0xff: none
    bool escaped; // the open string has a backslash
    uint16_t depth;
    uint32_t start; // of the open string, number or word
    uint64_t seen; // fields met in their present object, one bit each
    uint64_t again; // and those met twice
    uint8_t stack[JSON_DEPTH_MAX + 1]; // each open container: array bit, node of the tree
    struct json_value value[JSON_FIELDS_MAX]; // only the first fields->n are in use
};

// What of a struct json_scan is used with so many fields: no more needs to be allocated.
#define JSON_SCAN_BYTES(fields) (offsetof(struct json_scan, value) + (fields) * sizeof(struct json_value))

// fields may be NULL: validate only.
void json_scan_init(struct json_scan *s, const struct json_fields *fields, uint32_t flags);

// Any value is a `duplicate`. Of a scan that is done.
static inline bool json_has_duplicates(const struct json_scan *s)
{
    return s->again != 0;
}

// 1: the text is whole and valid (only with `final`). JSON_NEED_MORE (only without). Negative: an enum
// json_bad, which stays. n never shrinks; the first s->pos bytes are those of before.
int json_scan_feed(struct json_scan *s, const uint8_t *base, uint32_t n, bool final);

// All of it at once.
int json_scan(struct json_scan *s, const struct json_fields *fields, uint32_t flags, struct span text);

const char *json_bad_text(int bad);

// "a control character in a string at byte 17", NUL-terminated, cut to cap - 1; returns its length. 80
// bytes are enough.
uint32_t json_scan_say(const struct json_scan *s, char *out, uint32_t cap);

static inline struct span json_text(const uint8_t *base, const struct json_value *v)
{
    return (struct span){base + v->off, v->len};
}

// --- Looking deeper. All of these take a value's text out of a text that json_scan accepted. On other
// bytes they stay inside the span, but what they find means nothing.

// By the first byte; JSON_ABSENT for an empty span.
enum json_type json_type(struct span value);

// Walks the members of an object or the elements of an array, in their order:
//     struct json_iter it = json_iter(value);
//     struct span key, element;
//     while (json_next(&it, &key, &element)) ...
// Other values have none. Children are walked by a json_iter of their own; the outer one steps over them by
// itself.
struct json_iter {
    const uint8_t *p;
    const uint8_t *end;
    bool object;
};

struct json_iter json_iter(struct span value);

// The key is raw: between its quotes, not unescaped (json_key_is(), json_unescape()); of an array's element
// {NULL, 0}.
bool json_next(struct json_iter *it, struct span *ret_key, struct span *ret_value);

// Is the raw key, unescaped, `want`?
bool json_key_is(struct span raw_key, struct span want);

// The member of an object (the last, if there are several: as other readers take it), the element of an
// array.
bool json_member(struct span object, struct span key, struct span *ret);
bool json_element(struct span array, uint32_t index, struct span *ret);

// "choices[0].delta.content". Keys in a path are plain text without '.' and '['. "" is the root.
bool json_path(struct span root, const char *path, struct span *ret);

// False, and *ret untouched, if the value is of another type or does not fit. Integers may be written with
// a fraction or an exponent if their value is one (1e3, 5.0).
bool json_u64(struct span value, uint64_t *ret);
bool json_i64(struct span value, int64_t *ret);
bool json_bool(struct span value, bool *ret);
// Correctly rounded; too large gives false.
bool json_double(struct span value, double *ret);

// The numbers of an array of a text that was scanned, as floats: an embedding. Each is what rounding the correctly rounded double
// gives. *ret_n: how many; more than cap are counted and not kept. False: another element stands there, or one is too large.
bool json_floats(struct span array, float *out, uint32_t cap, uint32_t *ret_n);

// What to do with an escape that is half of a surrogate pair.
enum json_lone {
    JSON_LONE_REFUSE,
    JSON_LONE_REPLACE, // by U+FFFD
};

// The text of a string value, unescaped: in place in the input if it has no escapes (the buffer is not
// touched then), else in buf. Unescaping never makes a text longer: cap = value.n is always enough.
// RW_E_TOO_LARGE does not fit; RW_E_BAD a lone surrogate, or no string.
enum rw_err json_string(struct span value, enum json_lone lone, uint8_t *buf, uint32_t cap,
                        struct span *ret) RW_WARN_UNUSED;

// The same for what stands between the quotes, as a raw key does.
enum rw_err json_unescape(struct span raw, enum json_lone lone, uint8_t *buf, uint32_t cap,
                          struct span *ret) RW_WARN_UNUSED;

// The same in pieces, for texts of any length without a buffer: each(arg, piece) for every run of bytes, in
// order, until it returns an error, which is handed on. A piece ends with a whole character and lives until
// each() returns.
enum rw_err json_string_each(struct span value, enum json_lone lone,
                             enum rw_err (*each)(void *arg, struct span piece), void *arg) RW_WARN_UNUSED;

// For tests and benchmarks: use this implementation from now on ("scalar", "sse4.2", "avx2", "neon"). False
// if this build or processor has none of that name; NULL: the best one again. Not while other threads scan.
bool json_simd_select(const char *name);
const char *json_simd_name(void);

#endif
