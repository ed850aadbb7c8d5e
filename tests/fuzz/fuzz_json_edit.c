// Edits: any list of replacements gives what replacing one after the other from the back gives, or is
// refused for a reason that holds; setting members of a valid object gives a valid object that says what
// was set and keeps all other members.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/json_naive.h"
#include "wire/json_edit.h"

static const char *const paths[] = {"model", "stream_options", "stream_options.include_usage"};
enum { MODEL, OPTIONS, INCLUDE_USAGE };

static struct json_fields fields;
static uint8_t out[4 * FUZZ_BYTES_MAX];

static bool gathered(struct json_edits *e, uint32_t cap, struct span *ret)
{
    struct iovec iov[JSON_EDIT_IOV_MAX];
    uint32_t n = 0, bytes = 0, sum = 0;
    if (json_edits_gather(e, iov, cap, &n, &bytes) != RW_OK) return false;
    MUST(n <= cap);
    for (uint32_t i = 0; i < n; i++) {
        MUST(iov[i].iov_len > 0 && sum + iov[i].iov_len <= sizeof(out));
        memcpy(out + sum, iov[i].iov_base, iov[i].iov_len);
        sum += (uint32_t)iov[i].iov_len;
    }
    MUST(sum == bytes);
    *ret = span_of(out, sum);
    return true;
}

// The first bytes of the input say where, how long and what; the rest is the text.
static void check_list(const uint8_t *p, uint32_t n)
{
    struct json_edit list[8];
    struct json_edits e;
    const uint32_t count = n ? p[0] % 8 : 0;
    if (n < 1 + 3 * count) return;
    const struct span body = {p + 1 + 3 * count, n - 1 - 3 * count};
    json_edits_init(&e, body, NULL);
    bool apart = true;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *const b = p + 1 + 3 * i;
        static const uint8_t letters[] = "ABCDEFGHIJKLMNOP";
        list[i] = (struct json_edit){b[0], b[1] & 15, {letters, b[2] & 15}};
        json_edits_add(&e, list[i].off, list[i].len, list[i].with);
        apart &= list[i].off + list[i].len <= body.n;
        for (uint32_t k = 0; k < i; k++) {
            const struct json_edit *const a = &list[k], *const c = &list[i];
            const bool before = a->off + a->len <= c->off, behind = c->off + c->len <= a->off;
            apart &= before || behind;
        }
    }
    struct span got;
    MUST(gathered(&e, JSON_EDIT_IOV_MAX, &got) == apart);
    if (!apart) return;
    // From the back; at one place insertions in their order, and in front of a replacement.
    static uint8_t want[2 * FUZZ_BYTES_MAX];
    uint32_t want_n = body.n;
    memcpy(want, body.p, body.n);
    for (uint32_t done = 0; done < count; done++) {
        uint32_t last = count;
        for (uint32_t i = 0; i < count; i++) {
            if (list[i].off == UINT32_MAX) continue;
            const bool later = last == count || list[i].off > list[last].off ||
                (list[i].off == list[last].off && (list[i].len || !list[last].len));
            if (later) last = i;
        }
        const struct json_edit edit = list[last];
        memmove(want + edit.off + edit.with.n, want + edit.off + edit.len, want_n - edit.off - edit.len);
        memcpy(want + edit.off, edit.with.p, edit.with.n);
        want_n = want_n - edit.len + edit.with.n;
        list[last].off = UINT32_MAX;
    }
    MUST(gathered(&e, JSON_EDIT_IOV_MAX, &got) && span_eq(got, span_of(want, want_n)));
    for (uint32_t cap = 0; cap < 4; cap++)
        if (gathered(&e, cap, &got)) MUST(span_eq(got, span_of(want, want_n)));
}

// Members whose keys are none of ours, in order, must be the same in both.
static void check_others(struct span a, struct span b)
{
    struct json_iter x = json_iter(a), y = json_iter(b);
    for (;;) {
        struct span key, value, key_y, value_y;
        bool more_x, more_y;
        while ((more_x = json_next(&x, &key, &value)) &&
               (json_key_is(key, SPAN("model")) || json_key_is(key, SPAN("stream_options"))))
            continue;
        while ((more_y = json_next(&y, &key_y, &value_y)) &&
               (json_key_is(key_y, SPAN("model")) || json_key_is(key_y, SPAN("stream_options"))))
            continue;
        MUST(more_x == more_y);
        if (!more_x) return;
        MUST(span_eq(key, key_y) && span_eq(value, value_y));
    }
}

static struct span object_of(struct span text, const struct json_scan *s)
{
    return span_of(text.p + s->top - 1, s->close - s->top + 2);
}

static void check_set(const uint8_t *p, uint32_t n)
{
    static struct json_scan s, again;
    static uint8_t long_value[1000];
    struct json_edits e;
    const struct span body = {p, n};
    if (json_scan(&s, &fields, JSON_TOP_OBJECT, body) < 0) return;
    for (uint32_t f = 0; f < 3; f++)
        if (s.value[f].duplicate) return;
    memset(long_value, '7', sizeof(long_value));
    const struct span with = n & 1 ? SPAN("\"m\"") : span_of(long_value, sizeof(long_value));
    json_edits_init(&e, body, &s);
    json_edits_set(&e, &s.value[MODEL], SPAN("model"), with);
    const enum rw_err err = json_edits_set_in(&e, &s.value[OPTIONS], SPAN("stream_options"),
                                              &s.value[INCLUDE_USAGE], SPAN("include_usage"), SPAN("true"));
    const uint8_t was = s.value[OPTIONS].type;
    MUST((err == RW_OK) == (was == JSON_ABSENT || was == JSON_NULL || was == JSON_OBJECT));
    struct span got, found;
    MUST(gathered(&e, JSON_EDIT_IOV_MAX, &got));
    MUST(naive_json(got.p, got.n, JSON_DEPTH_MAX + 1));
    if (json_scan(&again, &fields, JSON_TOP_OBJECT, got) < 0)
        return; // too deep by one, if it was at the limit
    MUST(span_eq(json_text(got.p, &again.value[MODEL]), with) && !again.value[MODEL].duplicate);
    IMPLIES(err == RW_OK, again.value[INCLUDE_USAGE].type == JSON_TRUE && !again.value[OPTIONS].duplicate);
    IMPLIES(was == JSON_OBJECT && s.value[INCLUDE_USAGE].type == JSON_ABSENT,
            again.value[OPTIONS].len > s.value[OPTIONS].len);
    check_others(object_of(body, &s), object_of(got, &again));
    MUST(json_path(object_of(got, &again), "model", &found) && span_eq(found, with));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (fields.n == 0) json_fields_make(&fields, paths, 3);
    const uint8_t *p = fuzz_flush(0, data, size);
    check_list(p, (uint32_t)size);
    check_set(p, (uint32_t)size);
    return 0;
}
