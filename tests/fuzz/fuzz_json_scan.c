// The JSON scan: it accepts what a naive reader accepts, by every implementation, however the text is cut;
// what was extracted is what the naive reader finds; a position of an error lies in the text.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/json_naive.h"
#include "wire/json.h"

static const char *const paths[] = {
    "model", "stream",  "stream_options",          "stream_options.include_usage",
    "usage", "choices", "choices[].finish_reason", "n",
};
enum { FIELDS = sizeof(paths) / sizeof(paths[0]), CHOICES = 5 };

static const char *const ways[] = {"scalar", "sse4.2", "avx2", "neon"};
static struct json_fields fields;

static void check_same(int got_a, const struct json_scan *a, int got_b, const struct json_scan *b)
{
    MUST(got_a == got_b && a->pos == b->pos);
    if (got_a <= 0) return;
    MUST(a->top_object == b->top_object && a->top_empty == b->top_empty);
    IMPLIES(a->top_object, a->top == b->top && a->close == b->close);
    for (uint32_t f = 0; f < FIELDS; f++) {
        const struct json_value *v = &a->value[f], *w = &b->value[f];
        MUST(v->type == w->type && v->duplicate == w->duplicate && v->off == w->off && v->len == w->len);
        MUST(v->count == w->count && v->escaped == w->escaped);
    }
}

// In steps of their own length, each piece flush against a forbidden page and at an address of its own.
static void check_split(const uint8_t *p, uint32_t n, uint32_t step, int got, const struct json_scan *whole)
{
    struct json_scan s;
    int now;
    json_scan_init(&s, &fields, 0);
    for (uint32_t fed = step < n ? step : n;; fed = fed + step < n ? fed + step : n) {
        now = json_scan_feed(&s, fuzz_flush(1, p, fed), fed, fed == n);
        if (now != JSON_NEED_MORE) break;
        MUST(fed < n && s.pos <= fed && s.pos + 6 > fed);
    }
    check_same(got, whole, now, &s);
}

static void check_fields(const uint8_t *p, uint32_t n, const struct json_scan *s)
{
    MUST(s->top_object == (json_type(span_of(p + s->top - s->top_object, 1)) == JSON_OBJECT));
    for (uint32_t f = 0; f < FIELDS; f++) {
        const struct json_value *v = &s->value[f];
        if (v->type == JSON_ABSENT) continue;
        MUST(v->off < n && v->len > 0 && v->len <= n - v->off);
        MUST(naive_json(p + v->off, v->len, JSON_DEPTH_MAX) && json_type(json_text(p, v)) == v->type);
        IMPLIES(v->type == JSON_STRING, v->escaped == (memchr(p + v->off, '\\', v->len) != NULL));
        struct json_iter it = json_iter(json_text(p, v));
        struct span key, element;
        uint32_t count = 0;
        while (json_next(&it, &key, &element)) count++;
        MUST(v->type == JSON_OBJECT ? v->count == (count > 0) : v->count == count);
        size_t from, to;
        unsigned members;
        // A key that is written with escapes is not found by the naive reader.
        if (!strchr(paths[f], '.') && !memchr(p, '\\', n)) {
            MUST(naive_member(p, n, paths[f], &from, &to, &members));
            MUST(from == v->off && to == v->off + v->len && v->duplicate == (members > 1));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (fields.n == 0) json_fields_make(&fields, paths, FIELDS);
    const uint32_t n = (uint32_t)size, step = 1 + fuzz_number(data, size, 1, n + 1);
    const uint8_t *p = fuzz_flush(0, data, size);
    const bool want = naive_json(p, n, JSON_DEPTH_MAX);
    struct json_scan first, s;
    int got = 0;
    for (uint32_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        if (!json_simd_select(ways[w])) continue;
        const int now = json_scan(w ? &s : &first, &fields, 0, span_of(p, n));
        if (w == 0) got = now;
        if (w) check_same(got, &first, now, &s);
        check_split(p, n, step, got, &first);
        if (n < 300) check_split(p, n, 1, got, &first);
    }
    json_simd_select(NULL);
    MUST((got > 0) == want && first.pos <= n);
    if (got > 0) {
        check_fields(p, n, &first);
        return 0;
    }
    char text[80];
    MUST(json_scan_say(&first, text, sizeof(text)) < sizeof(text) - 1);
    const int top = json_scan(&s, &fields, JSON_TOP_OBJECT, span_of(p, n));
    MUST(top < 0);
    return 0;
}
