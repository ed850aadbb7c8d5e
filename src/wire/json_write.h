// Writes JSON into a bounded buffer. Commas and colons come by themselves; a text that does not fit sets
// `overflow`, which is looked at once at the end.
//
// Use      struct json_writer w;
//          json_w_init(&w, buf, sizeof buf);
//          json_w_object(&w);
//          json_w_key(&w, SPAN("id"));  json_w_string(&w, id);
//          json_w_key(&w, SPAN("data")); json_w_array(&w); json_w_u64(&w, 1); json_w_end(&w);
//          json_w_end(&w);
//          RW_TRY(json_w_done(&w, &text));
// Order    a value in an object without its key, a key in an array, an end too many, an unfinished text at
//          json_w_done() and nesting deeper than JSON_W_DEPTH_MAX are programmer errors.
// Strings  are escaped as RFC 8259 demands and no more: quote, backslash, controls (short forms where there
//          are any). Each byte that is no part of valid UTF-8 becomes U+FFFD, so that what is written is
//          always valid.
// Owner    the buffer is the caller's. Thread: any. Never suspends. No allocation.
#ifndef RINGWAY_WIRE_JSON_WRITE_H
#define RINGWAY_WIRE_JSON_WRITE_H

#include "base/err.h"
#include "base/span.h"

#define JSON_W_DEPTH_MAX 63
// A string of n bytes with its quotes never needs more.
#define JSON_ESCAPED_BYTES_MAX(n) (6 * (n) + 2)

struct json_writer {
    uint8_t *p;
    uint32_t n, cap;
    bool overflow;
    bool comma; // a comma belongs before what comes next
    bool key; // a key was written and waits for its value
    uint8_t depth;
    uint64_t arrays; // a bit for each open container, the innermost is the lowest
};

void json_w_init(struct json_writer *w, void *p, uint32_t cap);

void json_w_object(struct json_writer *w);
void json_w_array(struct json_writer *w);
// Closes the innermost.
void json_w_end(struct json_writer *w);

void json_w_key(struct json_writer *w, struct span key);

void json_w_string(struct json_writer *w, struct span text);
void json_w_u64(struct json_writer *w, uint64_t v);
void json_w_i64(struct json_writer *w, int64_t v);
// v / 10^decimals with the zeros at the end of its fraction cut: (12340, 3) is 12.34. decimals <= 18.
// Prices are given in pico-dollars (12 decimals), sums in nano-dollars (9).
void json_w_decimal(struct json_writer *w, int64_t v, uint32_t decimals);
void json_w_bool(struct json_writer *w, bool v);
void json_w_null(struct json_writer *w);
// A value that is JSON already.
void json_w_raw(struct json_writer *w, struct span json);

// A member in one call.
void json_w_key_string(struct json_writer *w, struct span key, struct span text);
void json_w_key_u64(struct json_writer *w, struct span key, uint64_t v);

// The text. RW_E_TOO_LARGE it did not fit.
enum rw_err json_w_done(const struct json_writer *w, struct span *ret) RW_WARN_UNUSED;

// Only the escaping: text as the inside of a JSON string, without quotes. Returns the bytes written, or
// RW_E_TOO_LARGE.
int64_t json_escape(struct span text, uint8_t *out, uint32_t cap);

#endif
