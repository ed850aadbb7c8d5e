// Forms: the input is a stream of texts between bytes ff, which no JSON has. Whatever came before, a scan by a form says
// what a plain scan says.
#include "tests/fuzz/fuzz.h"
#include "wire/json_form.h"

static const char *const paths[] = {"model", "usage", "usage.n", "choices", "choices[].finish_reason", "m"};
enum { FIELDS = 6 };

static struct json_fields fields;

static void check_same(const struct json_scan *a, const struct json_scan *b)
{
    MUST(a->pos == b->pos && a->bad == b->bad);
    if (a->bad) return;
    MUST(a->top_object == b->top_object && a->top_empty == b->top_empty);
    MUST(a->top == b->top && a->close == b->close);
    for (uint32_t f = 0; f < FIELDS; f++) {
        const struct json_value *v = &a->value[f], *w = &b->value[f];
        MUST(v->type == w->type && v->duplicate == w->duplicate && v->off == w->off && v->len == w->len);
        MUST(v->count == w->count && v->escaped == w->escaped);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (fields.n == 0) json_fields_make(&fields, paths, FIELDS);
    static struct json_form form;
    static struct json_scan s, plain;
    form.n = form.holes = 0;
    form.spent = 0;
    struct span rest = span_of(data, size), text;
    while (size && span_split(&rest, 0xff, &text)) {
        const struct span flush = {fuzz_flush(0, text.p, text.n), text.n};
        // Twice: the second time it fits if anything was learnt.
        for (int i = 0; i < 2; i++) {
            const int got = json_form_scan(&form, &s, &fields, flush);
            MUST(got == json_scan(&plain, &fields, JSON_TOP_OBJECT, flush));
            check_same(&s, &plain);
        }
    }
    return 0;
}
