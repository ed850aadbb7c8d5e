// Server-sent events: the raw spans are the stream, byte for byte; the events are the same however the
// stream is cut and whichever search is used; what an encoder wrote is read back.
#include "tests/fuzz/fuzz.h"
#include "wire/sse.h"

static const char *const ways[] = {"scalar", "sse4.2", "avx2", "neon"};

// Everything a consumer sees, as one hash.
struct seen {
    uint64_t hash;
    uint32_t events, bytes, rest;
};

static void mix(struct seen *s, struct span part)
{
    for (uint32_t i = 0; i < part.n; i++) s->hash = (s->hash ^ part.p[i]) * UINT64_C(1099511628211);
    s->hash = (s->hash ^ 256 ^ (part.p == NULL)) * UINT64_C(1099511628211);
}

static void see(struct seen *s, const struct sse_event *e)
{
    static uint8_t buf[FUZZ_BYTES_MAX];
    struct span data;
    s->bytes += e->raw.n;
    s->events += e->data_lines > 0;
    MUST(e->raw.n > 0 && !e->passed);
    const uint8_t last = e->raw.p[e->raw.n - 1];
    MUST(last == '\n' || last == '\r');
    fuzz_within(e->data, e->raw.p, e->raw.n);
    fuzz_within(e->name, e->raw.p, e->raw.n);
    fuzz_within(e->id, e->raw.p, e->raw.n);
    fuzz_within(e->retry, e->raw.p, e->raw.n);
    const enum rw_err err = sse_data(e, buf, e->raw.n, &data);
    MUST((err == RW_OK) == (e->data_lines > 0));
    if (err) return;
    uint32_t lines = 1;
    for (uint32_t i = 0; i < data.n; i++) lines += data.p[i] == '\n';
    MUST(lines == e->data_lines && span_find(data, '\r') == data.n);
    if (e->data_lines == 1) MUST(span_eq(data, e->data));
    mix(s, data);
    mix(s, e->name);
    mix(s, e->id);
    mix(s, e->retry);
}

static struct seen decode(const uint8_t *p, uint32_t n, uint32_t step)
{
    struct seen s = {.hash = 1};
    struct sse sse = {0};
    struct sse_event e;
    uint32_t at = 0;
    for (uint32_t fed = step < n ? step : n;; fed = fed + step < n ? fed + step : n) {
        // Only the bytes of the open event are there.
        const uint8_t *q = fuzz_flush(1, p + at, fed - at);
        uint32_t from = 0;
        while (sse_next(&sse, q + from, fed - at - from, &e) > 0) {
            MUST(e.raw.p == q + from);
            see(&s, &e);
            from += e.raw.n;
        }
        at += from;
        if (fed == n) {
            s.rest = sse_rest(&sse, q + from, n - at).n;
            MUST(s.rest == n - at || (s.rest + 1 == n - at && q[from] == '\n'));
            break;
        }
    }
    MUST(s.bytes == at);
    return s;
}

// With sse_pass() at every step in which there is no event: all bytes go somewhere, and no event is seen
// that began before.
static void decode_passing(const uint8_t *p, uint32_t n, uint32_t step)
{
    struct sse sse = {0};
    struct sse_event e;
    uint32_t at = 0;
    bool passed = false;
    while (at < n) {
        const uint32_t k = step < n - at ? step : n - at;
        const uint8_t *q = fuzz_flush(1, p + at, k);
        if (sse_next(&sse, q, k, &e) > 0) {
            MUST(e.raw.p == q && e.raw.n > 0 && e.raw.n <= k && e.passed == passed);
            at += e.raw.n;
            passed = false;
        } else {
            sse_pass(&sse, k);
            at += k;
            passed = true;
        }
    }
}

static void check_write(const uint8_t *p, uint32_t n)
{
    static uint8_t text[8 * FUZZ_BYTES_MAX + 64], buf[8 * FUZZ_BYTES_MAX + 64];
    const int64_t k = sse_write(SPAN("name"), span_of(p, n), text, sizeof(text));
    MUST(k > 0);
    struct sse sse = {0};
    struct sse_event e;
    struct span data;
    MUST(sse_next(&sse, text, (uint32_t)k, &e) == 1 && e.raw.n == k && span_eq(e.name, SPAN("name")));
    MUST(sse_data(&e, buf, sizeof(buf), &data) == RW_OK);
    // The same text with every line end an LF.
    uint32_t i = 0, j = 0;
    for (; i < n; i++, j++) {
        MUST(j < data.n && data.p[j] == (p[i] == '\r' ? '\n' : p[i]));
        if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') i++;
    }
    MUST(j == data.n);
    MUST(sse_write(SPAN("name"), span_of(p, n), text, (uint32_t)k - 1) == RW_E_TOO_LARGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    const uint32_t n = (uint32_t)size, step = 1 + fuzz_number(data, size, 0, n + 1);
    const uint8_t *p = fuzz_flush(0, data, size);
    struct seen first = {0};
    for (uint32_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        if (!sse_simd_select(ways[w])) continue;
        const struct seen whole = decode(p, n, n + 1), cut = decode(p, n, step),
                          ones = n < 300 ? decode(p, n, 1) : whole;
        if (w == 0) first = whole;
        MUST(whole.hash == first.hash && whole.events == first.events && whole.rest == first.rest);
        MUST(cut.hash == first.hash && cut.events == first.events && cut.rest == first.rest);
        MUST(ones.hash == first.hash && ones.events == first.events && ones.rest == first.rest);
        decode_passing(p, n, step);
    }
    sse_simd_select(NULL);
    check_write(p, n);
    return 0;
}
