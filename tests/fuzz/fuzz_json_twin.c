// Twins: the input is a stream of texts between bytes ff, which no JSON has. Whatever a twin recognises is
// valid, and a scan of it finds in every field of interest what the text that was remembered had there.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/json_naive.h"
#include "wire/json_twin.h"

static const char *const paths[] = {"usage", "choices", "choices[].finish_reason", "m"};
enum { FIELDS = 4 };

static struct json_fields fields;

static void check_recognised(struct span text, struct span remembered)
{
    static struct json_scan s, t;
    MUST(naive_json(text.p, text.n, JSON_DEPTH_MAX));
    MUST(json_scan(&s, &fields, 0, text) == 1 && json_scan(&t, &fields, 0, remembered) == 1);
    for (uint32_t f = 0; f < FIELDS; f++) {
        const struct json_value *v = &s.value[f], *w = &t.value[f];
        MUST(v->type == w->type && v->count == w->count && v->duplicate == w->duplicate);
        IMPLIES(v->type != JSON_ABSENT && v->type < JSON_ARRAY,
                span_eq(json_text(text.p, v), json_text(remembered.p, w)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (fields.n == 0) json_fields_make(&fields, paths, FIELDS);
    static struct json_twin twin;
    static struct json_scan s;
    static uint8_t remembered[JSON_TWIN_BYTES_MAX];
    twin.n = twin.holes = 0;
    twin.misses = 0;
    struct span rest = span_of(data, size), text;
    while (size && span_split(&rest, 0xff, &text)) {
        const struct span flush = {fuzz_flush(0, text.p, text.n), text.n};
        if (json_twin_is(&twin, flush)) {
            check_recognised(flush, span_of(remembered, twin.n));
        } else if (json_scan(&s, &fields, 0, flush) == 1) {
            json_twin_learn(&twin, &s, flush);
            memcpy(remembered, twin.text, twin.n);
            MUST(twin.n == 0 || twin.n != flush.n || json_twin_is(&twin, span_of(remembered, twin.n)));
        }
    }
    return 0;
}
