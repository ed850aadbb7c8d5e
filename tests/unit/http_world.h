// What the tests of HTTP heads share: one input is parsed by every way of this machine, whole and in
// pieces, always flush against a forbidden page; all must agree with the portable way on the whole input.
#ifndef RINGWAY_TESTS_UNIT_HTTP_WORLD_H
#define RINGWAY_TESTS_UNIT_HTTP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/guard.h"
#include "wire/http_priv.h"

// Growing prefixes cost the square of the length.
#define WORLD_BY_BYTE_MAX 1024

struct world {
    struct guard guard;
    struct http_rules rules;
    bool answers; // parse answers, not requests
    enum http_method asked;
};

static struct world world = {.rules = HTTP_RULES_DEFAULT, .asked = HTTP_POST};

static inline int world_parse(const uint8_t *p, uint32_t n, struct http_head *head)
{
    return world.answers ? http_response_parse(p, n, &world.rules, world.asked, head)
                         : http_request_parse(p, n, &world.rules, head);
}

static inline const char *world_name(int got)
{
    return got > 0 ? "taken" : got == 0 ? "more" : http_bad_info(got)->name;
}

// Everything a head says, but for the parser's own state.
static inline void world_same(const char *what, const struct http_head *a, const struct http_head *b)
{
    bool same = a->bytes == b->bytes && a->field_count == b->field_count && a->minor == b->minor;
    same = same && a->doubled == b->doubled && memcmp(a->first, b->first, sizeof a->first) == 0;
    same = same && memcmp(a->field, b->field, a->field_count * sizeof a->field[0]) == 0;
    same = same && a->framing.kind == b->framing.kind && a->framing.length == b->framing.length;
    same = same && a->framing.keep_alive == b->framing.keep_alive;
    same = same && a->framing.expect_continue == b->framing.expect_continue;
    same = same && a->framing.websocket == b->framing.websocket;
    if (world.answers) {
        same =
            same && a->status == b->status && a->reason_at == b->reason_at && a->reason_len == b->reason_len;
    } else {
        same =
            same && a->method == b->method && a->method_at == b->method_at && a->method_len == b->method_len;
        same = same && a->target_at == b->target_at && a->target_len == b->target_len;
        same = same && a->path_at == b->path_at && a->path_len == b->path_len;
        same = same && a->has_query == b->has_query && a->query_len == b->query_len;
        same = same && (!a->has_query || a->query_at == b->query_at);
        same = same && a->authority_len == b->authority_len && a->authority_at == b->authority_at;
    }
    if (!same) fail_msg("%s: the heads differ", what);
}

struct world_result {
    int got;
    struct http_head head;
};

static inline void world_agree(const char *what, const struct world_result *r, int got,
                               const struct http_head *head)
{
    if (got != r->got)
        fail_msg("%s: %s (%d), the whole input with the portable way: %s (%d)", what, world_name(got), got,
                 world_name(r->got), r->got);
    if (got > 0) world_same(what, &r->head, head);
}

// In pieces: the bytes lie somewhere else each time, as they would after a move to a larger buffer.
static inline void world_in_pieces(const char *way, const uint8_t *p, uint32_t n,
                                   const struct world_result *r, uint32_t step, uint32_t first)
{
    static struct http_head head;
    char what[64];
    snprintf(what, sizeof what, "%s, first %u, then %u a time", way, first, step);
    http_head_init(&head);
    for (uint32_t have = first;; have = have + step < n ? have + step : n) {
        const int got = world_parse(guard_put(&world.guard, p, have), have, &head);
        if (got != HTTP_NEED_MORE || have == n) {
            world_agree(what, r, got, &head);
            return;
        }
    }
}

// The result of p[0 .. n), after all ways and splits agreed on it. Valid until the next check.
static inline const struct world_result *world_check(const void *bytes, size_t n_bytes)
{
    static struct world_result r;
    static struct http_head head;
    const uint8_t *p = bytes;
    const uint32_t n = (uint32_t)n_bytes;
    if (!world.guard.map) world.guard = guard_open(128 * 1024);

    http_way_choose(&http_way_scalar);
    http_head_init(&r.head);
    r.got = world_parse(p, n, &r.head);
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable()) continue;
        const char *way = http_way_list(w)->name;
        http_way_choose(http_way_list(w));
        for (int low = 0; low < 2; low++) {
            http_head_init(&head);
            const uint8_t *at = low ? guard_put_low(&world.guard, p, n) : guard_put(&world.guard, p, n);
            world_agree(way, &r, world_parse(at, n, &head), &head);
        }
        if (n > WORLD_BY_BYTE_MAX) {
            for (uint32_t step = 1000; step < n; step = step * 3 + 7)
                world_in_pieces(way, p, n, &r, step, step);
            continue;
        }
        if (n > 0) world_in_pieces(way, p, n, &r, 1, 1);
        for (uint32_t first = 0; first < n; first++) world_in_pieces(way, p, n, &r, n, first);
    }
    r.head.base = p;
    return &r;
}

static inline void world_expect(const char *text, size_t n, int expected)
{
    const struct world_result *r = world_check(text, n);
    if (expected > 0 ? r->got <= 0 : r->got != expected)
        fail_msg("%s instead of %s for:\n%.*s", world_name(r->got), world_name(expected), (int)n, text);
}

#define TAKEN 1
#define EXPECT(text, expected) world_expect("" text, sizeof(text) - 1, expected)

static inline void world_text(struct span got, const char *expected)
{
    if (!span_eq(got, span_str(expected))) fail_msg("\"%.*s\" instead of \"%s\"", SPAN_ARG(got), expected);
}

#endif
