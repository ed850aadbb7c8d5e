// Chunked bodies: cut anywhere, in place or by spans, the same data, the same end, the same reason; the
// data never grows beyond the input; and data that was decoded, encoded again by the writer, decodes to
// itself.
#include "tests/fuzz/fuzz.h"
#include "wire/http.h"

struct decoded {
    int got;
    uint32_t used, n;
    uint8_t data[FUZZ_BYTES_MAX];
};

static void decode(const uint8_t *data, uint32_t n, uint32_t cut_1, uint32_t cut_2, struct decoded *r)
{
    const uint32_t border[] = {0, cut_1, cut_2, n};
    struct http_chunked st = {0};
    r->got = HTTP_NEED_MORE;
    r->used = r->n = 0;
    for (int i = 0; i < 3 && r->got == HTTP_NEED_MORE; i++) {
        const uint32_t piece = border[i + 1] - border[i];
        uint8_t *buf = fuzz_flush(0, data + border[i], piece);
        uint32_t used = 0, out = 0;
        r->got = http_chunked_decode(&st, buf, piece, &used, &out);
        MUST(out <= used && used <= piece && (used == piece || r->got != HTTP_NEED_MORE));
        MUST(memcmp(buf + used, data + border[i] + used, piece - used) == 0);
        if (out) memcpy(r->data + r->n, buf, out);
        r->n += out;
        r->used += used;
    }
    MUST(st.body_bytes == r->n);
    MUST(st.ext_bytes <= HTTP_CHUNK_EXT_BYTES_MAX + 1 && st.trailer_bytes <= HTTP_TRAILER_BYTES_MAX + 1);
}

static void decode_by_spans(const uint8_t *p, uint32_t n, struct decoded *r)
{
    struct http_chunked st = {0};
    r->got = HTTP_NEED_MORE;
    r->used = r->n = 0;
    while (r->got == HTTP_NEED_MORE && r->used < n) {
        uint32_t used = 0;
        struct span data;
        r->got = http_chunked_next(&st, p + r->used, n - r->used, &used, &data);
        MUST(used > 0 || r->got < 0);
        fuzz_within(data, p + r->used, used);
        if (data.n) memcpy(r->data + r->n, data.p, data.n);
        r->n += data.n;
        r->used += used;
    }
}

static void same(const struct decoded *a, const struct decoded *b)
{
    MUST(a->got == b->got && a->used == b->used && a->n == b->n && memcmp(a->data, b->data, a->n) == 0);
}

static void encode_again(const struct decoded *r, uint32_t size)
{
    static uint8_t out[FUZZ_BYTES_MAX * (HTTP_CHUNK_SIZE_BYTES_MAX + 3) + 16];
    uint32_t n = 0;
    for (uint32_t at = 0; at < r->n; at += size) {
        const uint32_t piece = r->n - at < size ? r->n - at : size;
        n += http_write_chunk_size(out + n, piece);
        memcpy(out + n, r->data + at, piece);
        memcpy(out + n + piece, "\r\n", 2);
        n += piece + 2;
    }
    memcpy(out + n, HTTP_CHUNK_LAST, sizeof HTTP_CHUNK_LAST - 1);
    n += sizeof HTTP_CHUNK_LAST - 1;
    struct http_chunked st = {0};
    uint32_t used = 0, got = 0;
    MUST(http_chunked_decode(&st, out, n, &used, &got) == HTTP_CHUNKED_DONE);
    MUST(used == n && got == r->n && memcmp(out, r->data, got) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoded whole, other;
    if (size > FUZZ_BYTES_MAX) return 0;
    const uint32_t n = (uint32_t)size;
    decode(data, n, n, n, &whole);
    decode_by_spans(fuzz_flush(0, data, n), n, &other);
    same(&whole, &other);
    for (uint32_t salt = 0; salt < 4; salt++) {
        const uint32_t cut = fuzz_number(data, size, salt, n + 1);
        decode(data, n, cut, cut + fuzz_number(data, size, salt + 9, n - cut + 1), &other);
        same(&whole, &other);
    }
    if (whole.got == HTTP_CHUNKED_DONE) encode_again(&whole, 1 + fuzz_number(data, size, 99, n + 1));
    return 0;
}
