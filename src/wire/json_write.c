// See json_write.h.
#include "wire/json_write.h"

#include "base/check.h"
#include "base/fmt.h"
#include "wire/json_priv.h"
#include "wire/utf8.h"

// --- Escaping.

// The escape of a byte that a string cannot hold as it is. Returns its length, at most 6.
static uint32_t escape_of(uint8_t c, uint8_t out[6])
{
    static const char hex[] = "0123456789abcdef";
    const char *const letters = "\"\\\b\f\n\r\t", *const at = c ? strchr(letters, c) : NULL;
    out[0] = '\\';
    if (at) {
        out[1] = (uint8_t) "\"\\bfnrt"[at - letters];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = (uint8_t)hex[c >> 4];
    out[5] = (uint8_t)hex[c & 15];
    return 6;
}

// Bytes of the whole characters at the front of s that are not ASCII.
static uint32_t beyond_ascii(struct span s)
{
    uint32_t n = 0, character, k;
    while (n < s.n && s.p[n] >= 0x80 && (k = utf8_decode(span_from(s, n), &character)) != 0) n += k;
    return n;
}

int64_t json_escape(struct span text, uint8_t *out, uint32_t cap)
{
    const struct json_way *const way = json_way();
    uint32_t n = 0;
    while (text.n) {
        uint32_t k = way->plain(text.p, text.n);
        if (k == 0) k = beyond_ascii(text);
        uint8_t escape[6];
        struct span piece = {text.p, k};
        if (k == 0) {
            k = 1;
            piece = (struct span){escape, 0};
            piece.n = text.p[0] < 0x80 ? escape_of(text.p[0], escape) : utf8_encode(UTF8_REPLACEMENT, escape);
        }
        if (piece.n > cap - n) return RW_E_TOO_LARGE;
        memcpy(out + n, piece.p, piece.n);
        n += piece.n;
        text = span_from(text, k);
    }
    return n;
}

// --- Bytes.

static void put(struct json_writer *w, struct span s)
{
    if (w->overflow || s.n > w->cap - w->n) {
        w->overflow = true;
        return;
    }
    if (s.n) memcpy(w->p + w->n, s.p, s.n);
    w->n += s.n;
}

static void put_string(struct json_writer *w, struct span text)
{
    put(w, SPAN("\""));
    if (w->overflow) return;
    const int64_t n = json_escape(text, w->p + w->n, w->cap - w->n);
    if (n < 0) {
        w->overflow = true;
        return;
    }
    w->n += (uint32_t)n;
    put(w, SPAN("\""));
}

// --- Order.

static bool in_array(const struct json_writer *w)
{
    return w->arrays & 1;
}

// In front of a value: a comma between elements; a member's key has written what belongs there.
static void begin_value(struct json_writer *w)
{
    if (!w->key) {
        MUST(w->depth ? in_array(w) : !w->comma);
        if (w->comma) put(w, SPAN(","));
    }
    w->key = false;
    w->comma = true;
}

static void open_container(struct json_writer *w, bool array)
{
    MUST(w->depth < JSON_W_DEPTH_MAX);
    begin_value(w);
    put(w, array ? SPAN("[") : SPAN("{"));
    w->arrays = w->arrays << 1 | array;
    w->depth++;
    w->comma = false;
}

void json_w_init(struct json_writer *w, void *p, uint32_t cap)
{
    *w = (struct json_writer){.p = p, .cap = cap};
}

void json_w_object(struct json_writer *w)
{
    open_container(w, false);
}

void json_w_array(struct json_writer *w)
{
    open_container(w, true);
}

void json_w_end(struct json_writer *w)
{
    MUST(w->depth > 0 && !w->key);
    put(w, in_array(w) ? SPAN("]") : SPAN("}"));
    w->arrays >>= 1;
    w->depth--;
    w->comma = true;
}

void json_w_key(struct json_writer *w, struct span key)
{
    MUST(w->depth > 0 && !in_array(w) && !w->key);
    if (w->comma) put(w, SPAN(","));
    put_string(w, key);
    put(w, SPAN(":"));
    w->key = true;
}

void json_w_string(struct json_writer *w, struct span text)
{
    begin_value(w);
    put_string(w, text);
}

void json_w_u64(struct json_writer *w, uint64_t v)
{
    char text[FMT_U64_BYTES];
    json_w_raw(w, span_of(text, (size_t)(fmt_raw_u64(text, v) - text)));
}

void json_w_i64(struct json_writer *w, int64_t v)
{
    json_w_decimal(w, v, 0);
}

void json_w_decimal(struct json_writer *w, int64_t v, uint32_t decimals)
{
    MUST(decimals <= FMT_DECIMALS_MAX);
    char text[FMT_DECIMAL_BYTES];
    json_w_raw(w, span_of(text, (size_t)(fmt_raw_decimal(text, v, decimals) - text)));
}

void json_w_bool(struct json_writer *w, bool v)
{
    json_w_raw(w, v ? SPAN("true") : SPAN("false"));
}

void json_w_null(struct json_writer *w)
{
    json_w_raw(w, SPAN("null"));
}

void json_w_raw(struct json_writer *w, struct span json)
{
    MUST(json.n > 0);
    begin_value(w);
    put(w, json);
}

void json_w_key_string(struct json_writer *w, struct span key, struct span text)
{
    json_w_key(w, key);
    json_w_string(w, text);
}

void json_w_key_u64(struct json_writer *w, struct span key, uint64_t v)
{
    json_w_key(w, key);
    json_w_u64(w, v);
}

enum rw_err json_w_done(const struct json_writer *w, struct span *ret)
{
    MUST(w->depth == 0 && w->comma);
    if (w->overflow) return RW_E_TOO_LARGE;
    *ret = (struct span){w->p, w->n};
    return RW_OK;
}
