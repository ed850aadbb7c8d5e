// See record.h. A record's value: a version, the numbers in the order of the struct, the end, the texts. Texts:
// five of them and the number of tags, then the tags; each a length in one byte and its bytes.
#include "store/record.h"

#include "store/store_priv.h"

#define RECORD_VERSION 1
#define RAW_KEY_BYTES (STORE_ID_BYTES + 1)

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void store_id_make(uint64_t wall_ms, uint16_t epoch, uint8_t worker, uint64_t sequence,
                   uint8_t ret[STORE_ID_BYTES])
{
    store_be64(ret, wall_ms << 16 | epoch);
    store_be64(ret + 8, (uint64_t)worker << 56 | (sequence & ((UINT64_C(1) << 56) - 1)));
}

void store_id_text(const uint8_t id[STORE_ID_BYTES], char ret[STORE_ID_CHARS])
{
    uint64_t high = store_be64_of(id), low = store_be64_of(id + 8);
    for (int i = STORE_ID_CHARS; i-- > 0;) {
        ret[i] = digits[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
}

enum rw_err store_id_parse(struct span text, uint8_t ret[STORE_ID_BYTES])
{
    uint64_t high = 0, low = 0;
    if (text.n != STORE_ID_CHARS) return RW_E_BAD;
    for (uint32_t i = 0; i < STORE_ID_CHARS; i++) {
        const char *digit = memchr(digits, span_lower(text.p[i]), 32);
        // Of 130 bits the first two must be zero.
        if (!digit || high >> 59) return RW_E_BAD;
        high = high << 5 | low >> 59;
        low = low << 5 | (uint64_t)(digit - digits);
    }
    store_be64(ret, high);
    store_be64(ret + 8, low);
    return RW_OK;
}

// --- Texts.

static uint32_t text_out(struct span s, uint8_t *out)
{
    MUST(s.n <= STORE_TEXT_BYTES_MAX);
    out[0] = (uint8_t)s.n;
    if (s.n) memcpy(out + 1, s.p, s.n);
    return 1 + s.n;
}

static struct span text_in(struct store_in *in)
{
    const uint8_t *p = in->rest.p;
    const uint32_t most = in->rest.n;
    if (RW_UNLIKELY(in->bad || most == 0 || p[0] >= most || p[0] > STORE_TEXT_BYTES_MAX)) {
        in->bad = true;
        return (struct span){NULL, 0};
    }
    const uint32_t n = p[0];
    in->rest = (struct span){p + 1 + n, most - 1 - n};
    return (struct span){p + 1, n};
}

static_assert(128 + 24 + 7 + (5 + STORE_TAGS_MAX) * (1 + STORE_TEXT_BYTES_MAX) <= STORE_RECORD_BYTES_MAX,
              "numbers, end and the longest texts fit");

uint32_t store_texts_bytes(const struct store_texts *t)
{
    uint32_t n = 6 + t->model.n + t->provider.n + t->upstream_model.n + t->user.n + t->client_id.n;
    for (uint32_t i = 0; i < t->tags_count; i++) n += 1 + t->tags[i].n;
    return n;
}

uint32_t store_texts_encode(const struct store_texts *t, uint8_t *out)
{
    MUST(t->tags_count <= STORE_TAGS_MAX);
    if (t->encoded.n) {
        memcpy(out, t->encoded.p, t->encoded.n);
        return t->encoded.n;
    }
    uint32_t n = text_out(t->model, out);
    n += text_out(t->provider, out + n);
    n += text_out(t->upstream_model, out + n);
    n += text_out(t->user, out + n);
    n += text_out(t->client_id, out + n);
    out[n++] = (uint8_t)t->tags_count;
    for (uint32_t i = 0; i < t->tags_count; i++) n += text_out(t->tags[i], out + n);
    return n;
}

static void texts_in(struct store_in *in, struct store_texts *ret)
{
    ret->model = text_in(in);
    ret->provider = text_in(in);
    ret->upstream_model = text_in(in);
    ret->user = text_in(in);
    ret->client_id = text_in(in);
    ret->tags_count = store_in_u8(in);
    if (ret->tags_count > STORE_TAGS_MAX) in->bad = true;
    if (in->bad) ret->tags_count = 0;
    for (uint32_t i = 0; i < ret->tags_count; i++) ret->tags[i] = text_in(in);
}

enum rw_err store_texts_decode(struct span bytes, struct store_texts *ret)
{
    struct store_in in = {.rest = bytes};
    texts_in(&in, ret);
    if (in.bad || in.rest.n) return RW_E_CORRUPT;
    ret->encoded = bytes;
    return RW_OK;
}

// --- Records.

uint32_t store_record_encode(const struct store_record *r, uint8_t *out)
{
    struct store_out o = {.p = out, .cap = STORE_RECORD_BYTES_MAX};
    store_out_u8(&o, RECORD_VERSION);
    store_out_u8(&o, r->attempts);
    store_out_u8(&o, r->cache);
    store_out_u8(&o, r->dialect);
    store_out_bytes(&o, &r->status, 2);
    store_out_u32(&o, r->flags);
    store_out_u32(&o, r->tenant);
    store_out_u32(&o, r->team);
    store_out_u32(&o, r->key);
    store_out_bytes(&o, r->tokens, sizeof r->tokens);
    store_out_u64(&o, (uint64_t)store_record_money(r));
    store_out_u64(&o, r->bytes_in);
    store_out_u64(&o, r->bytes_out);
    store_out_u64(&o, r->duration_us);
    store_out_u32(&o, r->first_byte_us);
    store_out_u32(&o, r->overhead_us);
    MUST(!o.overflow);
    o.n += text_out(r->end, out + o.n);
    o.n += store_texts_encode(&r->texts, out + o.n);
    return o.n;
}

enum rw_err store_record_decode(struct span key, struct span value, struct store_record *ret)
{
    struct store_in in = {.rest = value};
    struct store_record r = {0};
    if (key.n != RAW_KEY_BYTES) return RW_E_CORRUPT;
    memcpy(r.id, key.p, STORE_ID_BYTES);
    r.part = key.p[STORE_ID_BYTES];
    if (store_in_u8(&in) != RECORD_VERSION) return in.bad ? RW_E_CORRUPT : RW_E_VERSION;
    r.attempts = store_in_u8(&in);
    r.cache = store_in_u8(&in);
    r.dialect = store_in_u8(&in);
    store_in_bytes(&in, &r.status, 2);
    r.flags = store_in_u32(&in);
    r.tenant = store_in_u32(&in);
    r.team = store_in_u32(&in);
    r.key = store_in_u32(&in);
    store_in_bytes(&in, r.tokens, sizeof r.tokens);
    store_record_money_set(&r, (int64_t)store_in_u64(&in));
    r.bytes_in = store_in_u64(&in);
    r.bytes_out = store_in_u64(&in);
    r.duration_us = store_in_u64(&in);
    r.first_byte_us = store_in_u32(&in);
    r.overhead_us = store_in_u32(&in);
    r.end = text_in(&in);
    texts_in(&in, &r.texts);
    if (in.bad || in.rest.n) return RW_E_CORRUPT;
    *ret = r;
    return RW_OK;
}
