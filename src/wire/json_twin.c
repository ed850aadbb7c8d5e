// See json_twin.h.
#include "wire/json_twin.h"

#include "base/check.h"
#include "wire/json_priv.h"

static bool matches(const struct json_twin *t, struct span text)
{
    uint32_t at = 0;
    for (uint32_t h = 0;; h++) {
        const uint32_t end = h < t->holes ? t->hole[h].at : t->n, n = end - at;
        if (text.n < n || memcmp(text.p, t->text + at, n) != 0) return false;
        text = span_from(text, n);
        if (h == t->holes) return text.n == 0;
        const uint32_t inside = json_inside_bytes(text);
        if (inside == UINT32_MAX) return false;
        text = span_from(text, inside);
        at = end + t->hole[h].n;
    }
}

bool json_twin_is(struct json_twin *t, struct span text)
{
    if (t->n == 0) return false;
    if (RW_LIKELY(matches(t, text))) {
        t->misses = 0;
        return true;
    }
    t->misses++;
    return false;
}

// Behind the quote that ends the string at p[at] of a valid text.
static uint32_t string_end(struct span s, uint32_t at)
{
    return (uint32_t)(json_way()->quote(s.p + at + 1, s.p + s.n) - s.p) + 1;
}

// Is the string that ends in front of p[at] a key?
static bool is_key(struct span s, uint32_t at)
{
    while (at < s.n && json_is_space(s.p[at])) at++;
    return at < s.n && s.p[at] == ':';
}

// Is the string at this offset the value of a field?
static bool is_field(const struct json_scan *s, uint32_t off)
{
    for (uint32_t f = 0; f < s->fields->n; f++)
        if (s->value[f].type == JSON_STRING && s->value[f].off == off) return true;
    return false;
}

static bool was_hole(const struct json_twin *t, uint32_t at)
{
    for (uint32_t h = 0; h < t->holes; h++)
        if (t->hole[h].at == at) return true;
    return false;
}

// Walks through the remembered text and another one, both valid, string by string. Holes of the other are
// the strings that differ and those that were holes before. Their number, or -1: the texts differ
// elsewhere, or there are too many.
static int compare(const struct json_twin *t, const struct json_scan *s, struct span text,
                   struct json_twin_hole holes[JSON_TWIN_HOLES_MAX])
{
    const struct span old = {t->text, t->n};
    uint32_t i = 0, k = 0;
    int count = 0;
    while (i < old.n && k < text.n) {
        if (old.p[i] != text.p[k]) return -1;
        if (old.p[i] != '"') {
            i++, k++;
            continue;
        }
        const uint32_t i_end = string_end(old, i), k_end = string_end(text, k);
        const bool same = i_end - i == k_end - k && memcmp(old.p + i, text.p + k, i_end - i) == 0;
        if (!same || was_hole(t, i + 1)) {
            if (is_key(text, k_end) || is_field(s, k) || count == JSON_TWIN_HOLES_MAX) return -1;
            holes[count++] = (struct json_twin_hole){(uint16_t)(k + 1), (uint16_t)(k_end - k - 2)};
        }
        i = i_end;
        k = k_end;
    }
    return i == old.n && k == text.n ? count : -1;
}

void json_twin_learn(struct json_twin *t, const struct json_scan *s, struct span text)
{
    MUST(text.n > 0);
    // At the 1st, 2nd, 4th, 8th ... miss in a row.
    if (text.n > JSON_TWIN_BYTES_MAX || (t->misses & (t->misses - 1)) != 0) return;
    struct json_twin_hole holes[JSON_TWIN_HOLES_MAX];
    const int count = t->n ? compare(t, s, text, holes) : -1;
    t->holes = count > 0 ? (uint16_t)count : 0;
    memcpy(t->hole, holes, t->holes * sizeof(holes[0]));
    memcpy(t->text, text.p, text.n);
    t->n = (uint16_t)text.n;
}
