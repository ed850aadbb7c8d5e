// See meter.h.
#include "gateway/meter.h"

#include "base/limits.h"

enum {
    USAGE = METER_USAGE,
    INPUT,
    OUTPUT,
    INPUT_DETAILS,
    CACHED,
    OUTPUT_DETAILS,
    REASONING,
    ERROR,
    WHOLE_FIELDS, // what is read of a whole answer
    CHOICES = WHOLE_FIELDS,
    FINISH,
    FIELDS, // of an event once the first token was seen
    DELTA = FIELDS,
    CONTENT,
    TOOL_CALLS,
    REASONING_TEXT,
    TEXT,
    FIRST_FIELDS,
};

// Until the first token of a stream was seen its signs are looked for, too.
static struct json_fields whole_table, table, first_table;
static_assert(FIRST_FIELDS <= METER_FIELDS_MAX && WHOLE_FIELDS <= JSON_FORM_FIELDS_MAX,
              "there is room for all");

void answer_tables(void)
{
    static const char *const paths[FIRST_FIELDS] = {
        [METER_MODEL] = "model",
        [USAGE] = "usage",
        [INPUT] = "usage.prompt_tokens",
        [OUTPUT] = "usage.completion_tokens",
        [INPUT_DETAILS] = "usage.prompt_tokens_details",
        [CACHED] = "usage.prompt_tokens_details.cached_tokens",
        [OUTPUT_DETAILS] = "usage.completion_tokens_details",
        [REASONING] = "usage.completion_tokens_details.reasoning_tokens",
        [ERROR] = "error",
        [CHOICES] = "choices",
        [FINISH] = "choices[].finish_reason",
        [DELTA] = "choices[].delta",
        [CONTENT] = "choices[].delta.content",
        [TOOL_CALLS] = "choices[].delta.tool_calls",
        [REASONING_TEXT] = "choices[].delta.reasoning_content",
        [TEXT] = "choices[].text",
    };
    json_fields_make(&whole_table, paths, WHOLE_FIELDS);
    json_fields_make(&table, paths, FIELDS);
    json_fields_make(&first_table, paths, FIRST_FIELDS);
}

void meter_init(struct meter *m, struct json_scan *scan, struct json_twin *twin)
{
    *m = (struct meter){.scan = scan, .twin = twin};
}

static void read_count(const uint8_t *base, const struct json_value *v, int64_t *ret)
{
    int64_t n;
    if (v->type == JSON_NUMBER && json_i64(json_text(base, v), &n) && n >= 0) *ret = n;
}

static void read_usage(const struct meter *m, const uint8_t *base, struct usage *usage)
{
    const struct json_value *v = m->scan->value;
    if (v[USAGE].type != JSON_OBJECT) return;
    read_count(base, &v[INPUT], &usage->input_tokens);
    read_count(base, &v[OUTPUT], &usage->output_tokens);
    read_count(base, &v[CACHED], &usage->cached_tokens);
    read_count(base, &v[REASONING], &usage->reasoning_tokens);
}

// A string with something in it.
static bool says(const struct json_value *v)
{
    return v->type == JSON_STRING && v->len > 2;
}

// Some servers send "" as the reason of every event.
static void read_finish(struct meter *m)
{
    if (says(&m->scan->value[FINISH])) m->finished = true;
}

static bool is_error(const struct json_value *v)
{
    return v->type == JSON_OBJECT || says(v);
}

enum meter_event meter_event(struct meter *m, struct span data, struct usage *usage)
{
    if (data.n == 6 && span_eq(data, SPAN("[DONE]"))) {
        m->done = true;
        return METER_DONE;
    }
    struct json_twin *twin = m->first_token ? m->twin : NULL;
    if (twin && json_twin_is(twin, data)) return METER_PLAIN;
    const struct json_fields *fields = m->first_token ? &table : &first_table;
    if (json_scan(m->scan, fields, JSON_TOP_OBJECT, data) < 0) return METER_BAD;
    const struct json_value *v = m->scan->value;
    if (is_error(&v[ERROR])) return METER_ERROR;
    read_usage(m, data.p, usage);
    read_finish(m);
    if (!m->first_token)
        m->first_token = says(&v[CONTENT]) || says(&v[REASONING_TEXT]) || says(&v[TEXT]) ||
            v[TOOL_CALLS].type == JSON_ARRAY;
    const bool no_choices = v[CHOICES].type == JSON_ARRAY && v[CHOICES].count == 0;
    if (no_choices && v[USAGE].type == JSON_OBJECT) return METER_USAGE_ONLY;
    if (twin) json_twin_learn(twin, m->scan, data);
    return METER_PLAIN;
}

static int scan_slices(struct json_scan *s, struct span body)
{
    json_scan_init(s, &whole_table, JSON_TOP_OBJECT);
    int r = JSON_NEED_MORE;
    for (uint32_t n = 0; r == JSON_NEED_MORE;) {
        n = body.n - n > IO_BYTES_PER_SLICE ? n + IO_BYTES_PER_SLICE : body.n;
        r = json_scan_feed(s, body.p, n, n == body.n);
        if (r == JSON_NEED_MORE && fiber_yield() < 0) return -ECANCELED;
    }
    return r;
}

int meter_whole(struct meter *m, struct json_form *form, struct span body, struct usage *usage)
{
    const int r = form && body.n <= IO_BYTES_PER_SLICE ? json_form_scan(form, m->scan, &whole_table, body)
                                                       : scan_slices(m->scan, body);
    if (r < 0) return r;
    if (is_error(&m->scan->value[ERROR])) return 0;
    read_usage(m, body.p, usage);
    return 1;
}
