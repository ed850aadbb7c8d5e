// The reader of json.h: members, elements, paths. It trusts the grammar, as the text was validated, but
// never the lengths: whatever the bytes are, nothing outside the span is read.
#include "base/check.h"
#include "wire/json_priv.h"

static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && json_is_space(*p)) p++;
    return p;
}

static bool ends_scalar(uint8_t c)
{
    return c == ',' || c == ']' || c == '}' || json_is_space(c);
}

// Behind the quote that ends the string that begins at p, at most end.
static const uint8_t *string_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *const quote = json_way()->quote(p + 1, end);
    return quote < end ? quote + 1 : end;
}

// Behind the value that begins at p.
static const uint8_t *value_end(const uint8_t *p, const uint8_t *end)
{
    uint32_t depth = 0;
    if (p < end && *p != '{' && *p != '[' && *p != '"') {
        while (p < end && !ends_scalar(*p)) p++;
        return p;
    }
    while (p < end) {
        if (*p == '"') {
            p = string_end(p, end);
        } else {
            depth += *p == '{' || *p == '[';
            depth -= *p == '}' || *p == ']';
            p++;
        }
        if (depth == 0) break;
    }
    return p;
}

enum json_type json_type(struct span value)
{
    if (value.n == 0) return JSON_ABSENT;
    switch (value.p[0]) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

struct json_iter json_iter(struct span value)
{
    const enum json_type type = json_type(value);
    if (type != JSON_OBJECT && type != JSON_ARRAY) return (struct json_iter){NULL, NULL, false};
    return (struct json_iter){value.p + 1, value.p + value.n, type == JSON_OBJECT};
}

bool json_next(struct json_iter *it, struct span *ret_key, struct span *ret_value)
{
    const uint8_t *const end = it->end;
    const uint8_t *p = skip_space(it->p, end);
    if (p < end && *p == ',') p = skip_space(p + 1, end);
    struct span key = {NULL, 0};
    if (it->object && p < end && *p == '"') {
        const uint8_t *const behind = string_end(p, end);
        key = span_of(p + 1, (size_t)(behind - p - 2));
        p = skip_space(behind, end);
        if (p == end || *p != ':') return false;
        p = skip_space(p + 1, end);
    } else if (it->object) {
        return false;
    }
    if (p == end || ends_scalar(*p)) return false;
    it->p = value_end(p, end);
    *ret_key = key;
    *ret_value = span_of(p, (size_t)(it->p - p));
    return true;
}

bool json_member(struct span object, struct span key, struct span *ret)
{
    if (json_type(object) != JSON_OBJECT) return false;
    struct json_iter it = json_iter(object);
    struct span name, value;
    bool found = false;
    while (json_next(&it, &name, &value))
        if (json_key_is(name, key)) {
            *ret = value;
            found = true;
        }
    return found;
}

bool json_element(struct span array, uint32_t index, struct span *ret)
{
    if (json_type(array) != JSON_ARRAY) return false;
    struct json_iter it = json_iter(array);
    struct span name, value;
    for (uint32_t i = 0; json_next(&it, &name, &value); i++)
        if (i == index) {
            *ret = value;
            return true;
        }
    return false;
}

// Takes "key", ".key" or "[index]" off the front of the path and follows it.
static bool path_step(struct span *path, bool begin, struct span *at)
{
    if (path->p[0] == '[') {
        const uint32_t close = span_find(*path, ']');
        uint64_t index;
        if (close == path->n || !span_u64(span_of(path->p + 1, close - 1), &index)) return false;
        *path = span_from(*path, close + 1);
        return index <= UINT32_MAX && json_element(*at, (uint32_t)index, at);
    }
    if (!begin) {
        if (path->p[0] != '.') return false;
        *path = span_from(*path, 1);
    }
    uint32_t n = 0;
    while (n < path->n && path->p[n] != '.' && path->p[n] != '[') n++;
    const struct span key = {path->p, n};
    *path = span_from(*path, n);
    return json_member(*at, key, at);
}

bool json_path(struct span root, const char *path, struct span *ret)
{
    struct span rest = span_str(path), at = root;
    for (bool begin = true; rest.n; begin = false)
        if (!path_step(&rest, begin, &at)) return false;
    *ret = at;
    return true;
}
