// See json_out.h. The room behind the last piece is a chunk of the arena: what is written next lengthens the piece. A span
// that is pointed at ends the piece; the rest of the chunk then begins another.
#include "wire/json_out.h"

#include "base/check.h"
#include "base/fmt.h"
#include "wire/json_priv.h"
#include "wire/json_write.h"

// An arena block less its header holds two of the first; later ones grow with the output, so that a long text that had to be
// escaped is a few pieces.
#define CHUNK_BYTES 2000
#define CHUNK_BYTES_MAX KIB(256)
#define IOV_FIRST 8

void json_out_init(struct json_out *o, struct arena *arena)
{
    *o = (struct json_out){.arena = arena};
}

static bool iov_grow(struct json_out *o)
{
    const uint32_t cap = o->iov_cap ? o->iov_cap * 2 : IOV_FIRST;
    if (cap > JSON_OUT_IOV_MAX) return false;
    struct iovec *iov = arena_alloc(o->arena, cap * (uint32_t)sizeof *iov);
    if (!iov) return false;
    if (o->iov_n) memcpy(iov, o->iov, o->iov_n * sizeof *iov);
    o->iov = iov;
    o->iov_cap = cap;
    return true;
}

// n bytes at p, which are or will be there, go out next.
static void add(struct json_out *o, const uint8_t *p, uint32_t n)
{
    o->bytes += n;
    if (o->iov_n) {
        struct iovec *last = &o->iov[o->iov_n - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == p) {
            last->iov_len += n;
            return;
        }
    }
    if (o->iov_n == o->iov_cap && !iov_grow(o)) {
        o->failed = true;
        return;
    }
    o->iov[o->iov_n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

// At least n bytes behind o->at, n <= CHUNK_BYTES.
static bool room(struct json_out *o, uint32_t n)
{
    if (RW_LIKELY(!o->failed && o->at && n <= (size_t)(o->limit - o->at))) return true;
    if (o->failed) return false;
    uint32_t bytes = CHUNK_BYTES;
    while (bytes < o->bytes && bytes < CHUNK_BYTES_MAX) bytes *= 2;
    uint8_t *chunk = arena_alloc(o->arena, bytes);
    if (!chunk) {
        o->failed = true;
        return false;
    }
    o->at = chunk;
    o->limit = chunk + bytes;
    return true;
}

static void took(struct json_out *o, uint32_t n)
{
    add(o, o->at, n);
    o->at += n;
}

static void put(struct json_out *o, struct span s)
{
    while (s.n && room(o, 1)) {
        const uint32_t left = (uint32_t)(o->limit - o->at), k = s.n < left ? s.n : left;
        memcpy(o->at, s.p, k);
        took(o, k);
        s = span_from(s, k);
    }
}

// Long ones are pointed at. With the list nearly full everything is copied: rather a larger copy than no answer.
static bool refer(struct json_out *o, struct span s)
{
    if (s.n < JSON_OUT_REF_BYTES_MIN || o->failed || o->iov_n + 8 > JSON_OUT_IOV_MAX) return false;
    add(o, s.p, s.n);
    return true;
}

// --- Structure.

static void before_value(struct json_out *o)
{
    MUST(!o->open);
    MUST(o->depth == 0 || (o->arrays & 1) || o->key);
    if (o->comma && !o->key && o->depth) put(o, SPAN(","));
    o->key = false;
    o->comma = true;
}

static void container(struct json_out *o, bool array)
{
    before_value(o);
    MUST(o->depth < JSON_OUT_DEPTH_MAX);
    o->depth++;
    o->arrays = o->arrays << 1 | array;
    o->comma = false;
    put(o, array ? SPAN("[") : SPAN("{"));
}

void json_out_object(struct json_out *o)
{
    container(o, false);
}

void json_out_array(struct json_out *o)
{
    container(o, true);
}

void json_out_end(struct json_out *o)
{
    MUST(o->depth > 0 && !o->key && !o->open);
    put(o, (o->arrays & 1) ? SPAN("]") : SPAN("}"));
    o->arrays >>= 1;
    o->depth--;
    o->comma = o->depth > 0;
}

void json_out_key(struct json_out *o, struct span key)
{
    MUST(o->depth > 0 && !(o->arrays & 1) && !o->key && !o->open);
    if (o->comma) put(o, SPAN(","));
    put(o, SPAN("\""));
    put(o, key);
    put(o, SPAN("\":"));
    o->key = true;
}

// --- Values.

static void escaped(struct json_out *o, struct span text)
{
    if (text.n >= JSON_OUT_REF_BYTES_MIN && json_way()->plain(text.p, text.n) == text.n && refer(o, text))
        return;
    while (text.n) {
        if (!room(o, 96)) return; // no crumbs: a character needs 24 at most
        const uint32_t most = (uint32_t)(o->limit - o->at) / 6;
        const uint32_t k = text.n <= most ? text.n : utf8_cut(text, most);
        const int64_t n = json_escape((struct span){text.p, k}, o->at, (uint32_t)(o->limit - o->at));
        MUST(k > 0 && n >= 0);
        took(o, (uint32_t)n);
        text = span_from(text, k);
    }
}

void json_out_open(struct json_out *o)
{
    before_value(o);
    o->open = true;
    put(o, SPAN("\""));
}

void json_out_piece(struct json_out *o, struct span text)
{
    MUST(o->open);
    escaped(o, text);
}

void json_out_close(struct json_out *o)
{
    MUST(o->open);
    o->open = false;
    put(o, SPAN("\""));
}

void json_out_string(struct json_out *o, struct span text)
{
    json_out_open(o);
    escaped(o, text);
    json_out_close(o);
}

void json_out_u64(struct json_out *o, uint64_t v)
{
    before_value(o);
    if (!room(o, FMT_U64_BYTES)) return;
    took(o, (uint32_t)(fmt_raw_u64((char *)o->at, v) - (char *)o->at));
}

void json_out_i64(struct json_out *o, int64_t v)
{
    before_value(o);
    if (v < 0) put(o, SPAN("-"));
    if (!room(o, FMT_U64_BYTES)) return;
    const uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    took(o, (uint32_t)(fmt_raw_u64((char *)o->at, size) - (char *)o->at));
}

void json_out_raw(struct json_out *o, struct span json)
{
    before_value(o);
    if (!refer(o, json)) put(o, json);
}

void json_out_bool(struct json_out *o, bool v)
{
    json_out_raw(o, v ? SPAN("true") : SPAN("false"));
}

void json_out_null(struct json_out *o)
{
    json_out_raw(o, SPAN("null"));
}

// --- Members.

void json_out_key_text(struct json_out *o, struct span key)
{
    MUST(o->depth > 0 && !(o->arrays & 1) && !o->key && !o->open);
    if (o->comma) put(o, SPAN(","));
    put(o, SPAN("\""));
    escaped(o, key);
    put(o, SPAN("\":"));
    o->key = true;
}

void json_out_key_string(struct json_out *o, struct span key, struct span text)
{
    json_out_key(o, key);
    json_out_string(o, text);
}

void json_out_key_u64(struct json_out *o, struct span key, uint64_t v)
{
    json_out_key(o, key);
    json_out_u64(o, v);
}

void json_out_key_bool(struct json_out *o, struct span key, bool v)
{
    json_out_key(o, key);
    json_out_bool(o, v);
}

void json_out_key_raw(struct json_out *o, struct span key, struct span json)
{
    json_out_key(o, key);
    json_out_raw(o, json);
}

void json_out_key_null(struct json_out *o, struct span key)
{
    json_out_key(o, key);
    json_out_null(o);
}

void json_out_key_object(struct json_out *o, struct span key)
{
    json_out_key(o, key);
    json_out_object(o);
}

void json_out_key_array(struct json_out *o, struct span key)
{
    json_out_key(o, key);
    json_out_array(o);
}

// --- Between and behind.

void json_out_bytes(struct json_out *o, struct span bytes)
{
    MUST(o->depth == 0 && !o->open);
    put(o, bytes);
    o->comma = false;
}

enum rw_err json_out_done(const struct json_out *o)
{
    MUST(o->depth == 0 && !o->open);
    return o->failed ? RW_E_TOO_LARGE : RW_OK;
}

struct span json_out_flat(const struct json_out *o)
{
    if (o->failed || o->bytes > UINT32_MAX) return (struct span){NULL, 0};
    if (o->iov_n == 1) return span_of(o->iov[0].iov_base, o->iov[0].iov_len);
    uint8_t *flat = arena_alloc(o->arena, (uint32_t)o->bytes), *at = flat;
    if (!flat) return (struct span){NULL, 0};
    for (uint32_t i = 0; i < o->iov_n; i++) {
        memcpy(at, o->iov[i].iov_base, o->iov[i].iov_len);
        at += o->iov[i].iov_len;
    }
    return span_of(flat, (size_t)(at - flat));
}
