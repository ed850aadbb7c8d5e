// What the targets for requests and answers check: every way of scanning agrees with the portable one, in
// one piece and in three; a memo of a head that differs in one byte is never noticed; every part of a head
// lies within it; what it says about its fields is consistent.
#ifndef RINGWAY_TESTS_FUZZ_FUZZ_HTTP_HEAD_H
#define RINGWAY_TESTS_FUZZ_FUZZ_HTTP_HEAD_H

#include "tests/fuzz/fuzz.h"
#include "wire/http_priv.h"

// memo may be NULL.
typedef int (*head_parse)(const uint8_t *p, uint32_t n, struct http_head *head, struct http_memo *memo);

static inline void head_check(const struct http_head *head, const uint8_t *p, uint32_t n, int got)
{
    MUST(head->bytes == (uint32_t)got && head->bytes <= n && head->base == p);
    MUST(memcmp(p + got - 4, "\r\n\r\n", 4) == 0);
    uint32_t end = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct span name = http_field_name(head, i), value = http_field_value(head, i);
        fuzz_within(name, p, (size_t)got);
        fuzz_within(value, p, (size_t)got);
        MUST(name.n > 0 && head->field[i].name >= end && head->field[i].value > head->field[i].name + name.n);
        MUST(span_find(name, ':') == name.n && span_find(value, '\r') == value.n &&
             span_find(value, '\n') == value.n);
        MUST(span_find(value, 0) == value.n && span_trim(value).n == value.n);
        MUST(head->field[i].kind == http_name_of(name));
        MUST(http_find(head, name, 0) <= i);
        end = (uint32_t)head->field[i].value + value.n;
    }
    for (int name = 0; name < HTTP_NAME_COUNT; name++) {
        const uint32_t first = http_find(head, http_name_text((enum http_name)name), 0);
        MUST(http_has(head, (enum http_name)name) == (first < head->field_count));
        if (first == head->field_count) continue;
        MUST(http_value(head, (enum http_name)name).p == http_field_value(head, first).p);
        const bool more =
            http_find(head, http_name_text((enum http_name)name), first + 1) < head->field_count;
        MUST(http_is_doubled(head, (enum http_name)name) == more);
    }
    MUST(head->framing.kind == HTTP_BODY_LENGTH || head->framing.length == 0);
    // Never two ways to find the end of the message.
    const bool both = http_has(head, HTTP_N_CONTENT_LENGTH) && http_has(head, HTTP_N_TRANSFER_ENCODING);
    MUST(!both && !http_is_doubled(head, HTTP_N_CONTENT_LENGTH));
}

static inline bool head_same(const struct http_head *a, const struct http_head *b)
{
    return a->bytes == b->bytes && a->field_count == b->field_count && a->doubled == b->doubled &&
        a->minor == b->minor && memcmp(a->first, b->first, sizeof a->first) == 0 &&
        memcmp(a->field, b->field, a->field_count * sizeof a->field[0]) == 0 &&
        a->framing.kind == b->framing.kind && a->framing.length == b->framing.length &&
        a->framing.keep_alive == b->framing.keep_alive &&
        a->framing.expect_continue == b->framing.expect_continue &&
        a->framing.websocket == b->framing.websocket;
}

// The memo of nearly the same head, then of the same.
static inline void head_with_memo(const uint8_t *data, uint32_t n, head_parse parse, int got,
                                  const struct http_head *ret)
{
    static struct http_memo memo;
    static struct http_head head;
    static uint8_t near[FUZZ_BYTES_MAX];
    memcpy(near, data, n);
    if (n) near[fuzz_number(data, n, 3, n)] = data[fuzz_number(data, n, 4, n)];
    memo.bytes = 0;
    http_head_init(&head);
    parse(fuzz_flush(1, near, n), n, &head, &memo);
    for (int i = 0; i < 2; i++) {
        http_head_init(&head);
        const uint8_t *p = fuzz_flush(1, data, n);
        MUST(parse(p, n, &head, &memo) == got);
        if (got > 0) MUST(head_same(&head, ret) && head.base == p);
    }
}

// Returns the result of the whole input, which all others are compared with; *ret is its head.
static inline int head_fuzz(const uint8_t *data, size_t size, head_parse parse, struct http_head *ret)
{
    const uint32_t n = (uint32_t)size;
    const uint8_t *p = fuzz_flush(0, data, size);
    http_way_choose(&http_way_scalar);
    http_head_init(ret);
    const int got = parse(p, n, ret, NULL);
    if (got > 0) head_check(ret, p, n, got);
    if (got < 0) MUST(http_bad_info(got)->name);

    const uint32_t cut_1 = fuzz_number(data, size, 1, n + 1);
    const uint32_t cut_2 = cut_1 + fuzz_number(data, size, 2, n - cut_1 + 1);
    for (uint32_t w = 0; http_way_list(w); w++) {
        if (!http_way_list(w)->usable()) continue;
        http_way_choose(http_way_list(w));
        static struct http_head head;
        http_head_init(&head);
        MUST(parse(p, n, &head, NULL) == got);
        if (got > 0) MUST(head_same(&head, ret));

        http_head_init(&head);
        int part = parse(fuzz_flush(1, data, cut_1), cut_1, &head, NULL);
        if (part == HTTP_NEED_MORE) part = parse(fuzz_flush(1, data, cut_2), cut_2, &head, NULL);
        if (part == HTTP_NEED_MORE) part = parse(fuzz_flush(1, data, n), n, &head, NULL);
        MUST(part == got);
        if (got > 0) MUST(head_same(&head, ret));
        head_with_memo(data, n, parse, got, ret);
    }
    return got;
}

#endif
