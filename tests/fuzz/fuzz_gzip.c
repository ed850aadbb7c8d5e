// gzip: any bytes; the first one chooses whether the rest is taken as gzip or packed first, so that the fuzzer reaches behind the
// checksum. In one piece and in three, in rooms of several sizes: the same bytes, the same end. What was packed comes out again;
// what comes out is never more than the ratio allows.
#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "wire/gzip.h"

struct decoded {
    enum rw_err err;
    bool whole;
    uint32_t n, digest;
};

static uint8_t room[4096];

static uint32_t digest(uint32_t h, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

static void decode(const uint8_t *data, uint32_t n, const uint32_t cut[2], uint32_t cap, struct decoded *ret)
{
    static _Alignas(16) uint8_t memory[GZIP_MEMORY_BYTES];
    struct gzip *g = gzip_open(memory);
    const uint32_t border[] = {0, cut[0], cut[1], n};
    *ret = (struct decoded){.digest = 2166136261u};
    for (int i = 0; i < 3 && !ret->err; i++) {
        const uint32_t piece = border[i + 1] - border[i];
        struct span in = {fuzz_flush(0, data + border[i], piece), piece};
        uint32_t made = cap;
        while (!ret->err && (in.n > 0 || made == cap)) {
            const uint32_t before = in.n;
            made = 0;
            ret->err = gzip_next(g, &in, room, cap, &made);
            if (ret->err) break;
            MUST(made > 0 || in.n < before || before == 0);
            ret->digest = digest(ret->digest, room, made);
            ret->n += made;
        }
        MUST(ret->n <= GZIP_FREE_BYTES + cap + n * GZIP_RATIO_MAX);
    }
    MUST((ret->err != RW_OK) == (*gzip_reason(g) != 0));
    ret->whole = gzip_whole(g);
}

static uint32_t pack(const uint8_t *data, uint32_t n, int level, uint8_t *out, uint32_t cap)
{
    static z_stream z;
    static bool open;
    if (!open) MUST(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 1, Z_DEFAULT_STRATEGY) == Z_OK);
    open = true;
    MUST(deflateReset(&z) == Z_OK && deflateParams(&z, level, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = n;
    z.next_out = out;
    z.avail_out = cap;
    MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
    return cap - z.avail_out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packed[FUZZ_BYTES_MAX];
    if (size < 1 || size > FUZZ_BYTES_MAX / 2) return 0;
    const uint8_t how = data[0];
    const uint32_t n = (uint32_t)size - 1;
    const uint8_t *in = data + 1;
    uint32_t in_n = n;
    if (how & 1) {
        in_n = pack(data + 1, n, how % 10, packed, sizeof packed);
        in = packed;
    }
    struct decoded whole, other;
    decode(in, in_n, (const uint32_t[]){in_n, in_n}, sizeof room, &whole);
    if (how & 1) MUST(whole.whole && whole.n == n && whole.digest == digest(2166136261u, data + 1, n));
    // Once more in small rooms would take long for what grows so much.
    for (uint32_t salt = 0; salt < 2 && whole.n <= 65536; salt++) {
        const uint32_t first = fuzz_number(data, size, salt, in_n + 1);
        const uint32_t cut[] = {first, first + fuzz_number(data, size, salt + 9, in_n - first + 1)};
        decode(in, in_n, cut, 1 + fuzz_number(data, size, salt + 99, sizeof room), &other);
        MUST(other.whole == whole.whole && (other.err != RW_OK) == (whole.err != RW_OK));
        if (!whole.err) MUST(other.n == whole.n && other.digest == whole.digest);
    }
    return 0;
}
