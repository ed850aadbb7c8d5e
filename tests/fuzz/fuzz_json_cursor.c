// The JSON reader: over accepted text it visits every value once and in order, what it hands out is JSON
// again and is found by its path; over other bytes it stays inside them.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/json_naive.h"
#include "wire/json.h"

static uint32_t visited;

static enum rw_err add(void *arg, struct span piece)
{
    struct span *const all = arg;
    memcpy((uint8_t *)(uintptr_t)all->p + all->n, piece.p, piece.n);
    all->n += piece.n;
    return RW_OK;
}

static void check_string(struct span value, bool valid)
{
    static uint8_t buf[FUZZ_BYTES_MAX], each_buf[FUZZ_BYTES_MAX];
    for (int lone = JSON_LONE_REFUSE; lone <= JSON_LONE_REPLACE; lone++) {
        struct span text = {NULL, 0}, each = {each_buf, 0};
        const enum rw_err err = json_string(value, (enum json_lone)lone, buf, value.n, &text);
        MUST(err == RW_OK || err == RW_E_BAD);
        MUST(json_string_each(value, (enum json_lone)lone, add, &each) == err);
        if (err) continue;
        MUST(span_eq(text, each) && text.n + 2 <= value.n);
        IMPLIES(valid, naive_utf8_valid(text.p, text.n));
        MUST(json_key_is(span_of(value.p + 1, value.n - 2), text) || lone == JSON_LONE_REPLACE);
    }
}

static void check_number(struct span value)
{
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    const bool is_u = json_u64(value, &u), is_i = json_i64(value, &i), is_d = json_double(value, &d);
    IMPLIES(is_u || is_i, is_d);
    IMPLIES(is_u && is_i, i >= 0 && (uint64_t)i == u);
    IMPLIES(is_u, d == (double)u);
    IMPLIES(is_i, d == (double)i);
}

static void walk(struct span value, bool valid, uint32_t depth)
{
    visited++;
    IMPLIES(valid, json_type(value) != JSON_ABSENT);
    check_number(value);
    check_string(value, valid);
    struct json_iter it = json_iter(value);
    struct span key, element, found;
    const uint8_t *at = value.p;
    for (uint32_t i = 0; json_next(&it, &key, &element); i++) {
        MUST(element.n > 0 && element.p > at && element.p + element.n <= value.p + value.n);
        if (key.p) fuzz_within(key, at, (size_t)(element.p - at));
        at = element.p + element.n - 1;
        MUST((key.p != NULL) == (json_type(value) == JSON_OBJECT));
        IMPLIES(valid, naive_json(element.p, element.n, JSON_DEPTH_MAX));
        if (!key.p && i < 20)
            MUST(json_element(value, i, &found) && found.p == element.p && found.n == element.n);
        if (depth) walk(element, valid, depth - 1);
    }
}

static uint32_t count_naive(const uint8_t *p, uint32_t n)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (p[i] == '"') {
            struct naive j = {.p = p, .n = n, .at = i};
            naive_string(&j);
            i = (uint32_t)j.at - 1;
        } else {
            // A value stands behind each comma and behind each bracket that is not closed at once.
            uint32_t k = i + 1;
            while (k < n && strchr(" \t\r\n", p[k]) && p[k]) k++;
            count += p[i] == ',' || (p[i] == '[' && p[k] != ']') || (p[i] == '{' && p[k] != '}');
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2048) return 0; // the walk looks at each value at each depth
    const uint32_t n = (uint32_t)size;
    const uint8_t *p = fuzz_flush(0, data, size);
    struct json_scan s;
    const bool valid = json_scan(&s, NULL, 0, span_of(p, n)) > 0;
    uint32_t from = 0, to = n;
    while (from < to && (p[from] == ' ' || (p[from] >= '\t' && p[from] <= '\r'))) from++;
    while (to > from && (p[to - 1] == ' ' || (p[to - 1] >= '\t' && p[to - 1] <= '\r'))) to--;
    visited = 0;
    walk(span_of(p + from, to - from), valid, valid ? JSON_DEPTH_MAX : 8);
    IMPLIES(valid, visited == count_naive(p + from, to - from));
    // The input is a path too.
    char path[64];
    const uint32_t k = n < sizeof(path) ? n : sizeof(path) - 1;
    memcpy(path, p, k);
    path[k] = 0;
    struct span found;
    const struct span root = SPAN("{\"a\":[{\"b\":1},[2,3]],\"\":{\"a\":4}}");
    if (json_path(root, path, &found)) fuzz_within(found, root.p, root.n);
    return 0;
}
