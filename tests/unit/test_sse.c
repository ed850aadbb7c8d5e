// sse: each stream is decoded whole (flush against a forbidden page), cut in two at every byte, and byte by
// byte, by every search of this machine; the events must be the same each time, and their raw spans
// together the stream. Then streams recorded from providers, and random ones against a naive decoder that
// follows the standard's algorithm line by line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/sse.h"

#define STREAM_MAX 65536
#define EVENTS_MAX 256

static const char *const ways[] = {"scalar", "sse4.2", "avx2", "neon"};
enum { WAYS = 4 };

// What a consumer of a stream sees: one line of text for each event that is dispatched.
struct seen {
    uint32_t n, events, silent, comments;
    uint32_t rest;
    uint8_t text[STREAM_MAX];
};

static struct guard guard;
static struct seen seen_whole, seen_other;

static void see(struct seen *s, struct span name, struct span data, struct span id, struct span retry)
{
    const struct span parts[] = {name, data, id, retry};
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(s->n + parts[i].n + 2 < sizeof(s->text));
        if (parts[i].n) memcpy(s->text + s->n, parts[i].p, parts[i].n);
        s->n += parts[i].n;
        s->text[s->n++] = parts[i].p ? '|' : '-';
    }
    s->text[s->n++] = 0;
    s->events++;
}

static void see_event(struct seen *s, const struct sse_event *e)
{
    uint8_t buf[STREAM_MAX];
    struct span data;
    s->comments += e->comment;
    if (e->data_lines == 0) {
        s->silent++;
        return;
    }
    assert_int_equal(sse_data(e, buf, e->raw.n, &data), RW_OK);
    see(s, e->name, data, e->id, e->retry);
}

// Decodes what is there with n bytes known; `at` is where the open event begins.
static void decode(struct sse *sse, struct seen *s, const uint8_t *p, uint32_t n, uint32_t *at)
{
    struct sse_event e;
    while (sse_next(sse, p + *at, n - *at, &e) > 0) {
        assert_ptr_equal(e.raw.p, p + *at);
        assert_true(e.raw.n > 0 && e.raw.n <= n - *at);
        see_event(s, &e);
        *at += e.raw.n;
    }
}

static void start(struct seen *s)
{
    s->n = s->events = s->silent = s->comments = s->rest = 0;
}

static void assert_same(const struct seen *a, const struct seen *b)
{
    assert_int_equal(a->events, b->events);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->text, b->text, a->n);
    assert_int_equal(a->comments, b->comments);
    assert_int_equal(a->silent, b->silent);
}

static void decode_cut(struct span stream, uint32_t cut, struct seen *ret)
{
    struct sse sse = {0};
    uint32_t at = 0;
    start(ret);
    decode(&sse, ret, guard_put(&guard, stream.p, cut), cut, &at);
    const uint8_t *p = guard_put(&guard, stream.p, stream.n);
    decode(&sse, ret, p, stream.n, &at);
    ret->rest = sse_rest(&sse, p + at, stream.n - at).n;
}

static const struct seen *check(struct span stream)
{
    for (uint32_t w = 0; w < WAYS; w++) {
        if (!sse_simd_select(ways[w])) continue;
        struct seen *const s = w ? &seen_other : &seen_whole;
        decode_cut(stream, 0, s);
        assert_same(&seen_whole, s);
        assert_int_equal(s->rest, seen_whole.rest);
        for (uint32_t cut = 0; cut <= stream.n && stream.n < 3000; cut++) {
            decode_cut(stream, cut, &seen_other);
            assert_same(&seen_whole, &seen_other);
            // Of CR LF the LF may have come too late for its event.
            assert_int_equal(seen_other.rest, seen_whole.rest);
        }
        struct sse sse = {0};
        uint32_t at = 0;
        start(&seen_other);
        for (uint32_t n = 0; n <= stream.n; n++) {
            const uint8_t *p = guard_put(&guard, stream.p + at, n - at);
            uint32_t from = 0;
            decode(&sse, &seen_other, p, n - at, &from);
            at += from;
        }
        assert_same(&seen_whole, &seen_other);
    }
    sse_simd_select(NULL);
    return &seen_whole;
}

static void assert_seen(struct span stream, struct span want, uint32_t rest)
{
    const struct seen *s = check(stream);
    if (!span_eq(span_of(s->text, s->n), want)) {
        for (uint32_t i = 0; i < s->n; i++) fputc(s->text[i] ? s->text[i] : '#', stderr);
        fail_msg(" is what came of \"%.*s\"", SPAN_ARG(stream));
    }
    assert_int_equal(s->rest, rest);
}

static void test_next__line_ends_of_every_kind(void **state)
{
    (void)state;
    const struct span want = SPAN("-a|--\0-b|--\0");
    assert_seen(SPAN("data: a\n\ndata: b\n\n"), want, 0);
    assert_seen(SPAN("data: a\r\n\r\ndata: b\r\n\r\n"), want, 0);
    assert_seen(SPAN("data: a\r\rdata: b\r\r"), want, 0);
    assert_seen(SPAN("data: a\r\n\ndata: b\n\r\n"), want, 0);
    assert_seen(SPAN("data: a\n\rdata: b\r\n\r"), want, 0);
    assert_seen(SPAN("data: a\r\r\ndata: b\r\r\n"), want, 0);
}

static void test_next__space_behind_the_colon(void **state)
{
    (void)state;
    assert_seen(SPAN("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\ndata:a \n\n"),
                SPAN("-a|--\0-a|--\0- a|--\0-\ta|--\0-a |--\0"), 0);
}

static void test_next__fields(void **state)
{
    (void)state;
    assert_seen(SPAN("event: message_start\ndata: {}\n\n"), SPAN("message_start|{}|--\0"), 0);
    assert_seen(SPAN("data: x\nevent: a\nevent: b\nid: 7\nretry: 100\n\n"), SPAN("b|x|7|100|\0"), 0);
    assert_seen(SPAN("event:\ndata: x\nid\nretry\n\n"), SPAN("-x||-\0"), 0); // retry without digits is none
    assert_seen(SPAN("data: x\nretry: 1s\nid: a\0b\n\n"), SPAN("-x|--\0"), 0);
    assert_seen(SPAN("Data: x\ndatas: y\n data: z\ndat: q\nfoo: bar\n\n"), SPAN(""), 0);
    assert_seen(SPAN("data: x\nfoo\n:\n\n"), SPAN("-x|--\0"), 0);
    assert_int_equal(seen_whole.comments, 1);
}

static void test_next__data_lines_are_joined(void **state)
{
    (void)state;
    assert_seen(SPAN("data: a\ndata: b\ndata:\ndata\ndata: c\n\n"), SPAN("-a\nb\n\n\nc|--\0"), 0);
    assert_seen(SPAN("data: a\r\nid: 1\r\ndata: b\r\n\r\n"), SPAN("-a\nb|1|-\0"), 0);
    assert_seen(SPAN("data\n\n"), SPAN("-|--\0"), 0);
    assert_seen(SPAN("data:\n\ndata\ndata\n\n"), SPAN("-|--\0-\n|--\0"), 0);
}

static void test_next__what_dispatches_nothing(void **state)
{
    (void)state;
    assert_seen(SPAN(": keep-alive\n\n\n\nid: 1\n\nevent: x\n\ndata: a\n\n"), SPAN("-a|--\0"), 0);
    assert_int_equal(seen_whole.silent, 5);
    assert_int_equal(seen_whole.comments, 1);
}

static void test_next__byte_order_mark_only_at_the_start(void **state)
{
    (void)state;
    assert_seen(SPAN("\xef\xbb\xbf"
                     "data: a\n\n\xef\xbb\xbf"
                     "data: b\n\ndata: c\n\n"),
                SPAN("-a|--\0-c|--\0"), 0);
    assert_seen(SPAN("\xef\xbb\xbf"
                     "data: a\ndata: b\n\n"),
                SPAN("-a\nb|--\0"), 0);
    // Later it is a part of the name of a field that nobody knows.
    assert_seen(SPAN("data: x\n\n\xef\xbb\xbf"
                     "data: a\ndata: b\ndata: c\n\n"),
                SPAN("-x|--\0-b\nc|--\0"), 0);
    assert_seen(SPAN("\xef\xbb"), SPAN(""), 2);
    assert_seen(SPAN("\xef\xbb"
                     "data: a\n\ndata: b\n\n"),
                SPAN("-b|--\0"), 0);
}

static void test_rest__unterminated_event(void **state)
{
    (void)state;
    assert_seen(SPAN(""), SPAN(""), 0);
    assert_seen(SPAN("data: a\n\ndata: b\n"), SPAN("-a|--\0"), 8);
    assert_seen(SPAN("data: a\n\ndata: b"), SPAN("-a|--\0"), 7);
    assert_seen(SPAN("data: a\r\r\n"), SPAN("-a|--\0"), 0);
    assert_seen(SPAN("data: a\r\n\r"), SPAN("-a|--\0"), 0);
    assert_seen(SPAN("d"), SPAN(""), 1);
    assert_seen(SPAN("data: a\r\n\r\n:x"), SPAN("-a|--\0"), 2);
}

static void test_next__need_more_leaves_the_event_untouched(void **state)
{
    (void)state;
    struct sse s = {0};
    struct sse_event e = {.data_lines = 77};
    assert_int_equal(sse_next(&s, (const uint8_t *)"data: a\n", 8, &e), SSE_NEED_MORE);
    assert_int_equal(e.data_lines, 77);
    assert_int_equal(sse_next(&s, (const uint8_t *)"data: a\n\n", 9, &e), 1);
    assert_int_equal(e.data_lines, 1);
    assert_int_equal(e.raw.n, 9);
}

static void test_next__does_not_search_twice(void **state)
{
    (void)state;
    // What was searched may be overwritten: nobody looks at it again but to copy it.
    uint8_t text[2000];
    struct sse s = {0};
    struct sse_event e;
    memset(text, 'x', sizeof(text));
    memcpy(text, "data: ", 6);
    assert_int_equal(sse_next(&s, text, 1000, &e), SSE_NEED_MORE);
    memset(text + 6, '\n', 900);
    memcpy(text + 1998, "\n\n", 2);
    assert_int_equal(sse_next(&s, text, 2000, &e), 1);
    assert_int_equal(e.raw.n, 2000);
    assert_int_equal(e.data.n, 1992);
}

static void test_pass__the_rest_of_a_long_event_comes_without_data(void **state)
{
    (void)state;
    static const struct {
        struct span first, second;
    } cases[] = {
        {SPAN_INIT("data: very lon"), SPAN_INIT("g\n\n")},
        {SPAN_INIT("data: very long\n"), SPAN_INIT("data: b\n\n")},
        {SPAN_INIT("data: very long"), SPAN_INIT("\n\n")},
        {SPAN_INIT("data: a\r"), SPAN_INIT("\n\r\n")},
        {SPAN_INIT("data: a\n"), SPAN_INIT("\n")},
        {SPAN_INIT("dat"), SPAN_INIT("a: x\n\n")},
        {SPAN_INIT("d"), SPAN_INIT("data: x\ndata: y\r\r")},
        {SPAN_INIT("\xef\xbb"), SPAN_INIT("\xbf\n\n")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (uint32_t step = 1; step <= cases[i].second.n; step++) {
            struct sse s = {0};
            struct sse_event e;
            assert_int_equal(sse_next(&s, cases[i].first.p, cases[i].first.n, &e), SSE_NEED_MORE);
            sse_pass(&s, cases[i].first.n);
            uint32_t n = step;
            while (sse_next(&s, cases[i].second.p, n, &e) == SSE_NEED_MORE) {
                assert_true(n < cases[i].second.n);
                n++;
            }
            assert_true(e.passed);
            assert_true(e.raw.n == cases[i].second.n || (cases[i].second.p[e.raw.n - 1] == '\r'));
            const struct span next = SPAN("data: b\n\n");
            assert_int_equal(sse_next(&s, next.p, next.n, &e), 1);
            assert_false(e.passed);
            assert_true(span_eq(e.data, SPAN("b")));
        }
}

static void test_data__needs_room(void **state)
{
    (void)state;
    struct sse s = {0};
    struct sse_event e;
    struct span data = {NULL, 0};
    uint8_t buf[3];
    assert_int_equal(sse_next(&s, (const uint8_t *)"data: a\ndata: b\n\n", 17, &e), 1);
    assert_int_equal(sse_data(&e, buf, 2, &data), RW_E_TOO_LARGE);
    assert_null(data.p);
    assert_int_equal(sse_data(&e, buf, 3, &data), RW_OK);
    assert_int_equal(sse_next(&s, (const uint8_t *)"\n", 1, &e), 1);
    assert_int_equal(sse_data(&e, buf, 3, &data), RW_E_NOT_FOUND);
}

static void test_write__payloads(void **state)
{
    (void)state;
    static const struct {
        struct span name, data, want;
    } cases[] = {
        {SPAN_INIT(""), SPAN_INIT("{}"), SPAN_INIT("data: {}\n\n")},
        {SPAN_INIT("ping"), SPAN_INIT("x"), SPAN_INIT("event: ping\ndata: x\n\n")},
        {SPAN_INIT(""), SPAN_INIT(""), SPAN_INIT("data: \n\n")},
        {SPAN_INIT(""), SPAN_INIT("a\nb\r\nc\rd"), SPAN_INIT("data: a\ndata: b\ndata: c\ndata: d\n\n")},
        {SPAN_INIT(""), SPAN_INIT("a\n"), SPAN_INIT("data: a\ndata: \n\n")},
        {SPAN_INIT(""), SPAN_INIT("\r\n\n"), SPAN_INIT("data: \ndata: \ndata: \n\n")},
        {SPAN_INIT(""), SPAN_INIT(" x"), SPAN_INIT("data:  x\n\n")},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[100];
        const int64_t n = sse_write(cases[i].name, cases[i].data, out, sizeof(out));
        assert_true(n == cases[i].want.n && memcmp(out, cases[i].want.p, (size_t)n) == 0);
        assert_int_equal(sse_write(cases[i].name, cases[i].data, out, cases[i].want.n), cases[i].want.n);
        for (uint32_t cap = 0; cap < cases[i].want.n; cap++)
            assert_int_equal(sse_write(cases[i].name, cases[i].data, out, cap), RW_E_TOO_LARGE);
    }
}

static struct span read_file(const char *path)
{
    static uint8_t bytes[STREAM_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: run the tests from the top of the tree", path);
    const size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    return span_of(bytes, n);
}

static uint32_t count_of(const struct seen *s, const char *needle)
{
    uint32_t count = 0;
    const size_t k = strlen(needle);
    for (uint32_t i = 0; i + k <= s->n; i++) count += memcmp(s->text + i, needle, k) == 0;
    return count;
}

static void test_next__recorded_streams(void **state)
{
    (void)state;
    const struct seen *s = check(read_file("tests/data/contracts/openai/odd_framing.stream.sse"));
    assert_int_equal(s->events, 4);
    assert_int_equal(s->comments, 2);
    assert_int_equal(s->rest, 0);
    assert_int_equal(count_of(s, "chat.completion.chunk"), 3);
    assert_int_equal(count_of(s, "Gr\xc3\xbc\xc3\x9f"), 1);
    assert_int_equal(count_of(s, "message|{"), 1);
    assert_int_equal(count_of(s, "|7|1000|"), 1);
    assert_int_equal(count_of(s, "-[DONE]|"), 1);
    static const struct {
        const char *path;
        uint32_t events;
    } files[] = {
        {"tests/data/contracts/openai/text.stream.sse", 0},
        {"tests/data/contracts/openai/tool_parallel.stream.sse", 0},
        {"tests/data/contracts/openai/n2_logprobs.stream.sse", 0},
    };
    for (uint32_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const struct span stream = read_file(files[i].path);
        uint32_t blocks = 0;
        for (uint32_t k = 0; k + 1 < stream.n; k++) blocks += stream.p[k] == '\n' && stream.p[k + 1] == '\n';
        s = check(stream);
        assert_int_equal(s->events, blocks);
        assert_int_equal(count_of(s, "[DONE]"), 1);
    }
}

// The algorithm of the standard on a whole stream, with the data of an event collected line by line.
static void decode_naive(struct span stream, struct seen *ret)
{
    static uint8_t data[STREAM_MAX];
    struct span name = {NULL, 0}, id = {NULL, 0}, retry = {NULL, 0};
    uint32_t data_n = 0, at = 0;
    bool has_data = false;
    start(ret);
    if (span_starts(stream, SPAN("\xef\xbb\xbf"))) at = 3;
    for (uint32_t i = at; i < stream.n; i++) {
        if (stream.p[i] != '\n' && stream.p[i] != '\r') continue;
        const struct span line = {stream.p + at, i - at};
        if (stream.p[i] == '\r' && i + 1 < stream.n && stream.p[i + 1] == '\n') i++;
        at = i + 1;
        if (line.n == 0) {
            if (has_data) see(ret, name, span_of(data, data_n - 1), id, retry);
            name = id = retry = (struct span){NULL, 0};
            data_n = 0;
            has_data = false;
            continue;
        }
        const uint32_t colon = span_find(line, ':');
        const struct span field = {line.p, colon};
        struct span value = span_from(line, colon + 1);
        if (span_starts(value, SPAN(" "))) value = span_from(value, 1);
        if (colon == 0) ret->comments++;
        if (span_eq(field, SPAN("event"))) name = value.n ? value : (struct span){NULL, 0};
        if (span_eq(field, SPAN("id")) && span_find(value, 0) == value.n) id = value;
        bool digits = value.n > 0;
        for (uint32_t k = 0; k < value.n; k++) digits &= value.p[k] >= '0' && value.p[k] <= '9';
        if (span_eq(field, SPAN("retry")) && digits) retry = value;
        if (!span_eq(field, SPAN("data"))) continue;
        memcpy(data + data_n, value.p, value.n);
        data_n += value.n;
        data[data_n++] = '\n';
        has_data = true;
    }
    ret->rest = stream.n - at;
}

static void test_next__random_streams_equal_the_standard(void **state)
{
    (void)state;
    static const struct span pieces[] = {
        SPAN_INIT("\n"),
        SPAN_INIT("\n\n"),
        SPAN_INIT("\r\n"),
        SPAN_INIT("\r"),
        SPAN_INIT("data: "),
        SPAN_INIT("data"),
        SPAN_INIT("data:"),
        SPAN_INIT("event:"),
        SPAN_INIT("id: "),
        SPAN_INIT("retry: "),
        SPAN_INIT("12"),
        SPAN_INIT(":"),
        SPAN_INIT("\0"),
        SPAN_INIT(" "),
        SPAN_INIT("\t"),
        SPAN_INIT("\xef\xbb\xbf"),
        SPAN_INIT("{\"a\":1}"),
        SPAN_INIT("x"),
        SPAN_INIT("0123456789012345678901234567890123456789012345678901234567890123456789"),
    };
    static struct seen naive;
    struct prng r;
    prng_seed(&r, 8);
    uint32_t events = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t text[2000];
        uint32_t n = 0;
        const uint32_t count = prng_below(&r, 25);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t among = prng_below(&r, 2) ? 5 : sizeof(pieces) / sizeof(pieces[0]);
            const struct span piece = pieces[prng_below(&r, among)];
            memcpy(text + n, piece.p, piece.n);
            n += piece.n;
        }
        const struct span stream = span_of(text, n);
        decode_naive(stream, &naive);
        events += naive.events;
        for (uint32_t w = 0; w < WAYS; w++) {
            if (!sse_simd_select(ways[w])) continue;
            decode_cut(stream, prng_below(&r, n + 1), &seen_other);
            assert_int_equal(naive.events, seen_other.events);
            assert_int_equal(naive.n, seen_other.n);
            assert_memory_equal(naive.text, seen_other.text, naive.n);
        }
    }
    sse_simd_select(NULL);
    assert_in_range(events, 10000, UINT32_MAX);
}

static void test_next__line_ends_at_every_place_of_a_vector(void **state)
{
    (void)state;
    for (uint32_t w = 0; w < WAYS; w++) {
        if (!sse_simd_select(ways[w])) continue;
        for (uint32_t len = 0; len < 400; len++)
            for (uint32_t behind = 0; behind < 140; behind += 23) {
                // Bytes near the line ends in value must not stop the search.
                uint8_t text[600];
                for (uint32_t i = 0; i < sizeof(text); i++)
                    text[i] = (uint8_t) "\x0b\x0c\t\x8a\x8d\x1a\x1d\0J"[i % 9];
                memcpy(text, "data: ", 6);
                memcpy(text + 6 + len, "\n\n", 2);
                struct sse s = {0};
                struct sse_event e;
                const uint8_t *p = guard_put(&guard, text, len + 8 + behind);
                for (int twice = 0; twice < 2; twice++) {
                    assert_int_equal(sse_next(&s, p, len + 8 + behind, &e), 1);
                    assert_int_equal(e.raw.n, len + 8);
                    assert_int_equal(e.data.n, len);
                }
            }
    }
    sse_simd_select(NULL);
    assert_false(sse_simd_select("abacus"));
}

static int set_up(void **state)
{
    (void)state;
    guard = guard_open(STREAM_MAX);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next__line_ends_of_every_kind),
        cmocka_unit_test(test_next__space_behind_the_colon),
        cmocka_unit_test(test_next__fields),
        cmocka_unit_test(test_next__data_lines_are_joined),
        cmocka_unit_test(test_next__what_dispatches_nothing),
        cmocka_unit_test(test_next__byte_order_mark_only_at_the_start),
        cmocka_unit_test(test_rest__unterminated_event),
        cmocka_unit_test(test_next__need_more_leaves_the_event_untouched),
        cmocka_unit_test(test_next__does_not_search_twice),
        cmocka_unit_test(test_pass__the_rest_of_a_long_event_comes_without_data),
        cmocka_unit_test(test_data__needs_room),
        cmocka_unit_test(test_write__payloads),
        cmocka_unit_test(test_next__recorded_streams),
        cmocka_unit_test(test_next__random_streams_equal_the_standard),
        cmocka_unit_test(test_next__line_ends_at_every_place_of_a_vector),
    };
    return cmocka_run_group_tests_name("sse", tests, set_up, NULL);
}
