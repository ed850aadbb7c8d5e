// JSON as simple as RFC 8259 can be written down, to compare the real reader with: recursive, byte by byte,
// no state kept. For unit tests and fuzz targets.
//
// Use      naive_json(p, n, JSON_DEPTH_MAX) is true if the bytes are one valid text.
//          naive_member(p, n, "model", &from, &to, &count) finds a top-level member in valid text.
// UTF-8    is checked against a table of its own: the ranges of RFC 3629's grammar.
#ifndef RINGWAY_TESTS_LIB_JSON_NAIVE_H
#define RINGWAY_TESTS_LIB_JSON_NAIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct naive {
    const uint8_t *p;
    size_t n, at;
    int depth;
};

static inline int naive_peek(const struct naive *j)
{
    return j->at < j->n ? j->p[j->at] : -1;
}

static inline bool naive_take(struct naive *j, int c)
{
    if (naive_peek(j) != c) return false;
    j->at++;
    return true;
}

static inline void naive_space(struct naive *j)
{
    while (naive_take(j, ' ') || naive_take(j, '\t') || naive_take(j, '\n') || naive_take(j, '\r')) continue;
}

static inline bool naive_digits(struct naive *j)
{
    const size_t from = j->at;
    while (naive_peek(j) >= '0' && naive_peek(j) <= '9') j->at++;
    return j->at > from;
}

static inline bool naive_number(struct naive *j)
{
    naive_take(j, '-');
    if (!naive_take(j, '0') && !naive_digits(j)) return false;
    if (naive_take(j, '.') && !naive_digits(j)) return false;
    if (naive_take(j, 'e') || naive_take(j, 'E')) {
        if (!naive_take(j, '+')) naive_take(j, '-');
        return naive_digits(j);
    }
    return true;
}

// Length of the UTF-8 character at p, 0 if there is none.
static inline size_t naive_utf8(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t first[2], rest[3][2];
        size_t n;
    } rows[] = {
        {{0x00, 0x7f}, {{0}}, 1},
        {{0xc2, 0xdf}, {{0x80, 0xbf}}, 2},
        {{0xe0, 0xe0}, {{0xa0, 0xbf}, {0x80, 0xbf}}, 3},
        {{0xe1, 0xec}, {{0x80, 0xbf}, {0x80, 0xbf}}, 3},
        {{0xed, 0xed}, {{0x80, 0x9f}, {0x80, 0xbf}}, 3},
        {{0xee, 0xef}, {{0x80, 0xbf}, {0x80, 0xbf}}, 3},
        {{0xf0, 0xf0}, {{0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
        {{0xf1, 0xf3}, {{0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
        {{0xf4, 0xf4}, {{0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}, 4},
    };
    for (size_t r = 0; n && r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (p[0] < rows[r].first[0] || p[0] > rows[r].first[1] || rows[r].n > n) continue;
        size_t i = 1;
        while (i < rows[r].n && p[i] >= rows[r].rest[i - 1][0] && p[i] <= rows[r].rest[i - 1][1]) i++;
        if (i == rows[r].n) return i;
    }
    return 0;
}

static inline bool naive_utf8_valid(const uint8_t *p, size_t n)
{
    size_t i = 0, k;
    while (i < n && (k = naive_utf8(p + i, n - i)) != 0) i += k;
    return i == n;
}

static inline bool naive_string(struct naive *j)
{
    if (!naive_take(j, '"')) return false;
    for (;;) {
        const int c = naive_peek(j);
        if (c < 0x20) return false;
        if (naive_take(j, '"')) return true;
        if (naive_take(j, '\\')) {
            const int e = naive_peek(j);
            if (e < 0 || !strchr("\"\\/bfnrtu", e) || e == 0) return false;
            j->at++;
            for (int i = 0; e == 'u' && i < 4; i++) {
                const int h = naive_peek(j);
                if (h <= 0 || !strchr("0123456789abcdefABCDEF", h)) return false;
                j->at++;
            }
            continue;
        }
        const size_t k = naive_utf8(j->p + j->at, j->n - j->at);
        if (k == 0) return false;
        j->at += k;
    }
}

static inline bool naive_word(struct naive *j, const char *word)
{
    const size_t k = strlen(word);
    if (j->n - j->at < k || memcmp(j->p + j->at, word, k) != 0) return false;
    j->at += k;
    return true;
}

static inline bool naive_value(struct naive *j)
{
    const int open = naive_peek(j);
    if (open == '"') return naive_string(j);
    if (open == 't') return naive_word(j, "true");
    if (open == 'f') return naive_word(j, "false");
    if (open == 'n') return naive_word(j, "null");
    if (open != '{' && open != '[') return naive_number(j);
    const int close = open == '{' ? '}' : ']';
    if (j->depth-- == 0) return false;
    j->at++;
    naive_space(j);
    for (bool first = true; !(first && naive_take(j, close)); first = false) {
        if (open == '{') {
            if (!naive_string(j)) return false;
            naive_space(j);
            if (!naive_take(j, ':')) return false;
            naive_space(j);
        }
        if (!naive_value(j)) return false;
        naive_space(j);
        if (naive_take(j, close)) break;
        if (!naive_take(j, ',')) return false;
        naive_space(j);
    }
    j->depth++;
    return true;
}

static inline bool naive_json(const uint8_t *p, size_t n, int depth_max)
{
    struct naive j = {.p = p, .n = n, .depth = depth_max};
    naive_space(&j);
    if (!naive_value(&j)) return false;
    naive_space(&j);
    return j.at == n;
}

// The last top-level member of a valid text whose key is written exactly like this. How many there are in
// *ret_count.
static inline bool naive_member(const uint8_t *p, size_t n, const char *key, size_t *ret_from, size_t *ret_to,
                                unsigned *ret_count)
{
    struct naive j = {.p = p, .n = n, .depth = 1000};
    unsigned count = 0;
    naive_space(&j);
    if (!naive_take(&j, '{')) return false;
    for (;;) {
        naive_space(&j);
        const size_t from = j.at + 1;
        if (!naive_string(&j)) break;
        const bool is = j.at - 1 - from == strlen(key) && memcmp(p + from, key, strlen(key)) == 0;
        naive_space(&j);
        naive_take(&j, ':');
        naive_space(&j);
        const size_t value = j.at;
        naive_value(&j);
        if (is) {
            *ret_from = value;
            *ret_to = j.at;
            count++;
        }
        naive_space(&j);
        if (!naive_take(&j, ',')) break;
    }
    *ret_count = count;
    return count > 0;
}

#endif
