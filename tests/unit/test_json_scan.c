// json_scan: every text is scanned by every implementation of this machine, whole (flush against forbidden
// pages on either side), cut in two at every byte with the pieces in memory of their own, and byte by byte;
// all of them must agree on the verdict, the position and everything that was extracted. The tables name
// what RFC 8259 allows (y_), forbids (n_) and leaves open (i_, where the header says what we do). Mutated
// texts are compared with a naive reader.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tests/lib/json_naive.h"
#include "wire/json.h"

#define TEXT_MAX 65536

static const char *const way_names[] = {"scalar", "sse4.2", "avx2", "neon"};
enum { WAYS = 4 };

static struct guard guard_a, guard_b;

static const char *const request_paths[] = {
    "model",
    "stream",
    "stream_options",
    "stream_options.include_usage",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "user",
    "messages",
    "tools",
};
enum {
    MODEL,
    STREAM,
    OPTIONS,
    INCLUDE_USAGE,
    MAX_TOKENS,
    MAX_COMPLETION,
    N,
    USER,
    MESSAGES,
    TOOLS,
    REQUEST_FIELDS
};

static const char *const answer_paths[] = {
    "usage",
    "usage.prompt_tokens",
    "usage.prompt_tokens_details",
    "usage.prompt_tokens_details.cached_tokens",
    "error",
    "choices",
    "choices[].finish_reason",
    "choices[].delta",
    "choices[].delta.content",
    "choices[].delta.tool_calls",
};
enum { USAGE, PROMPT, DETAILS, CACHED, ERROR, CHOICES, FINISH, DELTA, CONTENT, TOOL_CALLS, ANSWER_FIELDS };

static struct json_fields request_fields, answer_fields;

struct verdict {
    int got;
    uint32_t pos;
    struct json_scan s;
};

static void assert_same(const struct verdict *a, const struct verdict *b)
{
    assert_int_equal(a->got, b->got);
    assert_int_equal(a->pos, b->pos);
    if (a->got <= 0) return;
    assert_int_equal(a->s.top_object, b->s.top_object);
    assert_int_equal(a->s.top_empty, b->s.top_empty);
    if (a->s.top_object) {
        assert_int_equal(a->s.top, b->s.top);
        assert_int_equal(a->s.close, b->s.close);
    }
    for (uint32_t f = 0; f < a->s.fields->n; f++) {
        const struct json_value *v = &a->s.value[f], *w = &b->s.value[f];
        assert_int_equal(v->type, w->type);
        assert_int_equal(v->duplicate, w->duplicate);
        if (v->type == JSON_ABSENT) continue;
        assert_int_equal(v->off, w->off);
        assert_int_equal(v->len, w->len);
        assert_int_equal(v->count, w->count);
        assert_int_equal(v->escaped, w->escaped);
    }
}

static struct verdict scan_at(const struct json_fields *fields, uint32_t flags, const uint8_t *p, uint32_t n)
{
    struct verdict v;
    v.got = json_scan(&v.s, fields, flags, span_of(p, n));
    v.pos = v.s.pos;
    return v;
}

// The first `cut` bytes alone, then all of them at another address.
static struct verdict scan_cut(const struct json_fields *fields, uint32_t flags, struct span text,
                               uint32_t cut)
{
    struct verdict v;
    json_scan_init(&v.s, fields, flags);
    v.got = json_scan_feed(&v.s, guard_put(&guard_a, text.p, cut), cut, false);
    if (v.got == JSON_NEED_MORE)
        v.got = json_scan_feed(&v.s, guard_put(&guard_b, text.p, text.n), text.n, true);
    v.pos = v.s.pos;
    return v;
}

static struct verdict scan_steps(const struct json_fields *fields, uint32_t flags, struct span text,
                                 uint32_t step)
{
    struct verdict v;
    json_scan_init(&v.s, fields, flags);
    for (uint32_t n = 0;; n = n + step < text.n ? n + step : text.n) {
        v.got = json_scan_feed(&v.s, guard_put(&guard_a, text.p, n), n, n == text.n);
        if (v.got != JSON_NEED_MORE) break;
    }
    v.pos = v.s.pos;
    return v;
}

static struct verdict check(const struct json_fields *fields, uint32_t flags, struct span text)
{
    static struct verdict first, v;
    bool have = false;
    for (uint32_t w = 0; w < WAYS; w++) {
        if (!json_simd_select(way_names[w])) continue;
        v = scan_at(fields, flags, guard_put(&guard_a, text.p, text.n), text.n);
        if (have) assert_same(&first, &v);
        if (!have) first = v;
        have = true;
        v = scan_at(fields, flags, guard_put_low(&guard_a, text.p, text.n), text.n);
        assert_same(&first, &v);
        for (uint32_t cut = 0; cut <= text.n && text.n < 2000; cut++) {
            v = scan_cut(fields, flags, text, cut);
            assert_same(&first, &v);
        }
        v = scan_steps(fields, flags, text, text.n < 2000 ? 1 : 997);
        assert_same(&first, &v);
        v = scan_steps(fields, flags, text, 67);
        assert_same(&first, &v);
    }
    json_simd_select(NULL);
    assert_true(have);
    assert_int_equal(first.got > 0 && (!(flags & JSON_TOP_OBJECT) || first.s.top_object),
                     naive_json(text.p, text.n, JSON_DEPTH_MAX) &&
                         (!(flags & JSON_TOP_OBJECT) || first.s.top_object));
    return first;
}

// --- What is and is not JSON.

struct text_case {
    struct span text;
    int bad; // 0: valid
    uint32_t pos;
};

#define Y(text) \
    { \
        SPAN_INIT(text), 0, 0 \
    }
#define NO(text, bad, pos) \
    { \
        SPAN_INIT(text), bad, pos \
    }

static void check_cases(const struct text_case *cases, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct verdict v = check(&request_fields, 0, cases[i].text);
        if (v.got != (cases[i].bad ? cases[i].bad : 1) || (cases[i].bad && v.pos != cases[i].pos)) {
            fail_msg("case %u \"%.*s\": %s at %u, expected %s at %u", i, SPAN_ARG(cases[i].text),
                     v.got < 0 ? json_bad_text(v.got) : "valid", v.pos,
                     cases[i].bad ? json_bad_text(cases[i].bad) : "valid", cases[i].pos);
        }
    }
}

static void test_scan__y_structures(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        Y("{}"),
        Y("[]"),
        Y(" [ ] "),
        Y("\t{\r\n}\n"),
        Y("{\"a\":[]}"),
        Y("[[]   ]"),
        Y("[\"\"]"),
        Y("[1\n]"),
        Y("[ 1]"),
        Y("[2] "),
        Y("[1,null,null,null,2]"),
        Y("[null, 1, \"1\", {}]"),
        Y("{\"\":0}"),
        Y("{\"a\":\"b\",\"a\":\"c\"}"),
        Y("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
        Y("{\"x\":[{\"id\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}], "
          "\"id\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"),
        Y("{\n\"a\": \"b\"\n}"),
        Y("{\"a\":{\"b\":{\"c\":[[[{}]]]}}}"),
        Y("[[[[[[[[]]]]]]],[[[[]]]]]"),
        Y("\"top\""),
        Y("false"),
        Y("true "),
        Y(" null"),
        Y("42"),
        Y("-0"),
        Y("[true,false]"),
        Y("                                                                    [                             "
          "      ]"),
        Y("{\"a\"                                              :                                             "
          "  1 }"),
        Y("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1,\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":2,"
          "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":3}"),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__y_numbers(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        Y("[123e65]"),
        Y("[0e+1]"),
        Y("[0e1]"),
        Y("[4]"),
        Y("[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]"),
        Y("[20e1]"),
        Y("[-0]"),
        Y("[-123]"),
        Y("[-1]"),
        Y("[1E22]"),
        Y("[1E-2]"),
        Y("[1E+2]"),
        Y("[123e45]"),
        Y("[123.456e78]"),
        Y("[1e-2]"),
        Y("[1e+2]"),
        Y("[123]"),
        Y("[123.456789]"),
        Y("[0.5,10,0]"),
        Y("0"),
        Y("0.0"),
        Y("1e5"),
        Y("[1e0000000000000000000000000000000000000000001]"),
        Y("[100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000]"),
        Y("[0.10000000000000000000000000000000000000000000000000000000001,-1]"),
        Y("[123456789012345678901,12345678901234567890,0.12345678901234567890,0.123456789012345678901]"),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__y_strings(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        Y("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
        Y("[\"\\u0060\\u012a\\u12AB\\uABCD\\uabcd\"]"),
        Y("[\"\\u0000\"]"),
        Y("[\"\\\\u0000\"]"),
        Y("[\"\\\\a\"]"),
        Y("[\"a/*b*/c/*d//e\"]"),
        Y("[\"new\\u000Aline\"]"),
        Y("[\"\x7f\"]"),
        Y("[\"\xc2\x80\xdf\xbf\"]"),
        Y("[\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"]"),
        Y("[\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]"),
        Y("[\"\xef\xbb\xbf\"]"),
        Y("[\"\xe2\x80\xa8\xe2\x80\xa9\"]"),
        Y("[\"\\uD801\\udc37\\uD834\\uDD1E\"]"),
        Y("{\"\xc3\xa4\":\"\xe6\xbc\xa2\xe5\xad\x97\"}"),
        Y("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4"
          "\"]"),
        Y("[\"\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc"
          "\xa2\xe6\xbc\xa2"
          "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"
          "\xe6\xbc\xa2"
          "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"
          "\xe6\xbc\xa2\"]"),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__i_lone_surrogates_pass(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        Y("[\"\\uDADA\"]"),  Y("[\"\\uD888\\u1234\"]"), Y("[\"\\uD800\\uD800\\n\"]"),
        Y("[\"\\uDd1ea\"]"), Y("{\"\\uDFAA\":0}"),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__n_structures(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        NO("", JSON_BAD_EMPTY, 0),
        NO(" \n", JSON_BAD_EMPTY, 2),
        NO("\xef\xbb\xbf{}", JSON_BAD_BOM, 0),
        NO("\xff\xfe[\0]\0", JSON_BAD_BOM, 0),
        NO("[", JSON_BAD_END, 1),
        NO("{", JSON_BAD_END, 1),
        NO("[1", JSON_BAD_END, 2),
        NO("[1,", JSON_BAD_END, 3),
        NO("{\"a\"", JSON_BAD_END, 4),
        NO("{\"a\":", JSON_BAD_END, 5),
        NO("{\"a\":1", JSON_BAD_END, 6),
        NO("{\"a\":1,", JSON_BAD_END, 7),
        NO("[\"", JSON_BAD_END, 2),
        NO("[\"abc", JSON_BAD_END, 5),
        NO("[\"\\", JSON_BAD_END, 3),
        NO("[\"\\u00A", JSON_BAD_END, 7),
        NO("nul", JSON_BAD_END, 3),
        NO("[tru", JSON_BAD_END, 4),
        NO("-", JSON_BAD_END, 1),
        NO("1e", JSON_BAD_END, 2),
        NO("]", JSON_BAD_VALUE, 0),
        NO("}", JSON_BAD_VALUE, 0),
        NO("[,1]", JSON_BAD_VALUE, 1),
        NO("[1,,2]", JSON_BAD_VALUE, 3),
        NO("[1,]", JSON_BAD_TRAILING_COMMA, 3),
        NO("[1, ]", JSON_BAD_TRAILING_COMMA, 4),
        NO("{\"a\":1,}", JSON_BAD_TRAILING_COMMA, 7),
        NO("{\"a\":0 , }", JSON_BAD_TRAILING_COMMA, 9),
        NO("{,}", JSON_BAD_KEY, 1),
        NO("{a:1}", JSON_BAD_KEY, 1),
        NO("{'a':1}", JSON_BAD_KEY, 1),
        NO("{1:1}", JSON_BAD_KEY, 1),
        NO("{\"a\":1,2}", JSON_BAD_KEY, 7),
        NO("{\"a\" 1}", JSON_BAD_COLON, 5),
        NO("{\"a\"}", JSON_BAD_COLON, 4),
        NO("{\"a\",1}", JSON_BAD_COLON, 4),
        NO("{\"a\":}", JSON_BAD_VALUE, 5),
        NO("{\"a\"::1}", JSON_BAD_VALUE, 5),
        NO("[1 2]", JSON_BAD_COMMA, 3),
        NO("[1}", JSON_BAD_COMMA, 2),
        NO("{\"a\":1]", JSON_BAD_COMMA, 6),
        NO("[\"\"\"]", JSON_BAD_COMMA, 3),
        NO("[\"a\":1]", JSON_BAD_COMMA, 4),
        NO("{\"a\":\"b\":1}", JSON_BAD_COMMA, 8),
        NO("{\"a\":1 \"b\":2}", JSON_BAD_COMMA, 7),
        NO("{}}", JSON_BAD_TRAILING, 2),
        NO("[] 1", JSON_BAD_TRAILING, 3),
        NO("[]\0", JSON_BAD_TRAILING, 2),
        NO("{}#", JSON_BAD_TRAILING, 2),
        NO("\"a\"\"b\"", JSON_BAD_TRAILING, 3),
        NO("[\f]", JSON_BAD_VALUE, 1),
        NO("[\v1]", JSON_BAD_VALUE, 1),
        NO("[\xc2\xa0]", JSON_BAD_VALUE, 1),
        NO("{\0}", JSON_BAD_KEY, 1),
        NO("[1\0]", JSON_BAD_COMMA, 2),
        NO("/**/[]", JSON_BAD_VALUE, 0),
        NO("[1]//", JSON_BAD_TRAILING, 3),
        NO("{\"a\":[}", JSON_BAD_VALUE, 6),
        NO("{\"a\":{]", JSON_BAD_KEY, 6),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__n_words_and_numbers(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        NO("[nul]", JSON_BAD_WORD, 1),           NO("[trux]", JSON_BAD_WORD, 1),
        NO("[fals0]", JSON_BAD_WORD, 1),         NO("{\"a\":nill}", JSON_BAD_WORD, 5),
        NO("[nullx]", JSON_BAD_COMMA, 5),        NO("[True]", JSON_BAD_VALUE, 1),
        NO("[NaN]", JSON_BAD_VALUE, 1),          NO("[nan]", JSON_BAD_WORD, 1),
        NO("[Infinity]", JSON_BAD_VALUE, 1),     NO("[-Infinity]", JSON_BAD_NUMBER, 2),
        NO("[+1]", JSON_BAD_VALUE, 1),           NO("[.5]", JSON_BAD_VALUE, 1),
        NO("[-]", JSON_BAD_NUMBER, 2),           NO("[--1]", JSON_BAD_NUMBER, 2),
        NO("[-.5]", JSON_BAD_NUMBER, 2),         NO("[01]", JSON_BAD_NUMBER, 2),
        NO("[-01]", JSON_BAD_NUMBER, 3),         NO("[00]", JSON_BAD_NUMBER, 2),
        NO("012", JSON_BAD_NUMBER, 1),           NO("[1.]", JSON_BAD_NUMBER, 3),
        NO("[1.e1]", JSON_BAD_NUMBER, 3),        NO("[0.e]", JSON_BAD_NUMBER, 3),
        NO("[1e]", JSON_BAD_NUMBER, 3),          NO("[1e+]", JSON_BAD_NUMBER, 4),
        NO("[1eE2]", JSON_BAD_NUMBER, 3),        NO("[1.5.2]", JSON_BAD_COMMA, 4),
        NO("[1e1.5]", JSON_BAD_COMMA, 4),        NO("[0x1]", JSON_BAD_COMMA, 2),
        NO("[1_000]", JSON_BAD_COMMA, 2),        NO("[1a]", JSON_BAD_COMMA, 2),
        NO("[\xef\xbc\x91]", JSON_BAD_VALUE, 1), NO("{\"a\":-}", JSON_BAD_NUMBER, 6),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__n_strings(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        NO("[\"\t\"]", JSON_BAD_CONTROL, 2),
        NO("[\"a\nb\"]", JSON_BAD_CONTROL, 3),
        NO("[\"a\0b\"]", JSON_BAD_CONTROL, 3),
        NO("[\"\x1f\"]", JSON_BAD_CONTROL, 2),
        NO("{\"a\x01\":1}", JSON_BAD_CONTROL, 3),
        NO("{\"model\":\"a\x01\"}", JSON_BAD_CONTROL, 11),
        NO("[\"\\a\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\'\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\x00\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\u00g0\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\u00\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\U0000\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\\0\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\\\xc3\xa4\"]", JSON_BAD_ESCAPE, 2),
        NO("[\"\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xc0\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xc1\xbf\"]", JSON_BAD_UTF8, 2),
        NO("[\"a\xc3\"]", JSON_BAD_UTF8, 3),
        NO("[\"\xe0\x9f\xbf\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xe1\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xed\xa0\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xf0\x8f\xbf\xbf\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xf4\x90\x80\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xf5\x80\x80\x80\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xff\"]", JSON_BAD_UTF8, 2),
        NO("[\"\xf0\x9f\x98\x80\x80\"]", JSON_BAD_UTF8, 6),
        NO("[\"\xc3\xa4\xc3\xa4\xa4\"]", JSON_BAD_UTF8, 6),
        NO("[\"\xe6\xbc\xa2\xe6\xbc\\u0020\"]", JSON_BAD_UTF8, 5),
        NO("{\"\xc3\":1}", JSON_BAD_UTF8, 2),
        NO("[\"\xc3", JSON_BAD_END, 3),
        NO("[\"\xf0\x9f\x98", JSON_BAD_END, 5),
        NO("[\"\xf5", JSON_BAD_UTF8, 2),
        NO("[\"\xe0\x80", JSON_BAD_UTF8, 2),
    };
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_scan__depth_is_bounded(void **state)
{
    (void)state;
    static uint8_t text[2 * JSON_DEPTH_MAX + 4];
    for (uint32_t kind = 0; kind < 2; kind++)
        for (uint32_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
            uint32_t n = 0;
            static uint8_t deep[8 * JSON_DEPTH_MAX];
            for (uint32_t i = 0; i < depth; i++) {
                const struct span open = kind ? SPAN("{\"\":") : SPAN("[");
                memcpy(deep + n, open.p, open.n);
                n += open.n;
            }
            deep[n++] = '1';
            memset(deep + n, kind ? '}' : ']', depth);
            n += depth;
            const struct verdict v = check(&request_fields, 0, span_of(deep, n));
            assert_int_equal(v.got, depth <= JSON_DEPTH_MAX ? 1 : JSON_BAD_DEPTH);
            if (v.got < 0) assert_int_equal(v.pos, kind ? 4 * JSON_DEPTH_MAX : JSON_DEPTH_MAX);
        }
    memset(text, '[', sizeof(text));
    assert_int_equal(check(NULL, 0, span_of(text, sizeof(text))).got, JSON_BAD_DEPTH);
}

// Many short tokens in a row, more than a vector reaches over, up to the forbidden page.
static void test_scan__runs_of_short_tokens(void **state)
{
    (void)state;
    static const struct {
        struct span open, token, close;
    } runs[] = {
        {SPAN_INIT("["), SPAN_INIT("1,"), SPAN_INIT("1]")},
        {SPAN_INIT("["), SPAN_INIT("\"\","), SPAN_INIT("\"\"]")},
        {SPAN_INIT("["), SPAN_INIT("[],"), SPAN_INIT("[]]")},
        {SPAN_INIT("["), SPAN_INIT("null,"), SPAN_INIT("{}]")},
        {SPAN_INIT("{"), SPAN_INIT("\"\":0,"), SPAN_INIT("\"\":0}")},
        {SPAN_INIT("["), SPAN_INIT(" "), SPAN_INIT("]")},
        {SPAN_INIT("[1"), SPAN_INIT("\t"), SPAN_INIT(",1]")},
        {SPAN_INIT("{\"\""), SPAN_INIT("\n"), SPAN_INIT(":1}")},
        {SPAN_INIT("[-"), SPAN_INIT("1"), SPAN_INIT("]")},
        {SPAN_INIT("[\""), SPAN_INIT("\\n"), SPAN_INIT("\"]")},
        {SPAN_INIT("{\"tools\":["), SPAN_INIT("{},"), SPAN_INIT("0]}")},
    };
    for (uint32_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        for (uint32_t count = 120; count < 140; count++) {
            uint8_t text[1000];
            uint32_t n = 0;
            for (uint32_t k = 0; k < count + 2; k++) {
                const struct span piece = k == 0 ? runs[i].open : k <= count ? runs[i].token : runs[i].close;
                memcpy(text + n, piece.p, piece.n);
                n += piece.n;
            }
            const struct verdict v = check(&request_fields, 0, span_of(text, n));
            assert_int_equal(v.got, 1);
            if (v.s.value[TOOLS].type == JSON_ARRAY) assert_int_equal(v.s.value[TOOLS].count, count + 1);
            assert_int_equal(check(&request_fields, 0, span_of(text, n - 1)).got, JSON_BAD_END);
        }
}

static void test_scan__top_must_be_an_object_if_asked(void **state)
{
    (void)state;
    assert_int_equal(check(NULL, JSON_TOP_OBJECT, SPAN("{}")).got, 1);
    assert_int_equal(check(NULL, JSON_TOP_OBJECT, SPAN(" {\"a\":[1]}\n")).got, 1);
    static const struct text_case cases[] = {
        NO("[]", JSON_BAD_TOP, 0),   NO(" 1", JSON_BAD_TOP, 1),   NO("\"a\"", JSON_BAD_TOP, 0),
        NO("null", JSON_BAD_TOP, 0), NO("true", JSON_BAD_TOP, 0), NO("-", JSON_BAD_TOP, 0),
        NO("x", JSON_BAD_VALUE, 0),  NO("", JSON_BAD_EMPTY, 0),   NO("\xef\xbb\xbf{}", JSON_BAD_BOM, 0),
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct verdict v = check(NULL, JSON_TOP_OBJECT, cases[i].text);
        assert_int_equal(v.got, cases[i].bad);
        assert_int_equal(v.pos, cases[i].pos);
    }
}

static void test_say__names_the_error_and_the_byte(void **state)
{
    (void)state;
    struct json_scan s;
    char text[80];
    assert_int_equal(json_scan(&s, NULL, 0, SPAN("{\"aaaaaaaaaaaaa\":\"\n\"}")), JSON_BAD_CONTROL);
    assert_int_equal(json_scan_say(&s, text, sizeof(text)), 42);
    assert_string_equal(text, "a control character in a string at byte 18");
    assert_int_equal(json_scan_say(&s, text, 10), 9);
    assert_string_equal(text, "a control");
}

static void test_feed__an_error_stays(void **state)
{
    (void)state;
    struct json_scan s;
    json_scan_init(&s, NULL, 0);
    assert_int_equal(json_scan_feed(&s, (const uint8_t *)"[x", 2, false), JSON_BAD_VALUE);
    assert_int_equal(json_scan_feed(&s, (const uint8_t *)"[1]", 3, true), JSON_BAD_VALUE);
    assert_int_equal(s.pos, 1);
}

// --- What is extracted.

static void assert_value(struct span text, const struct verdict *v, uint32_t f, enum json_type type,
                         struct span want)
{
    assert_int_equal(v->s.value[f].type, type);
    const struct span got = {text.p + v->s.value[f].off, v->s.value[f].len};
    if (!span_eq(got, want)) fail_msg("field %u: %.*s, not %.*s", f, SPAN_ARG(got), SPAN_ARG(want));
}

static void test_fields__of_a_request(void **state)
{
    (void)state;
    const struct span text =
        SPAN("{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"model\",\"model\":1},"
             "{},[],3],"
             "\"temperature\":0.2,\"stream\":true,\"stream_options\":{\"include_usage\":false,\"x\":{"
             "\"include_usage\":1}},"
             "\"max_tokens\":64,\"n\":1,\"user\":\"a \\\"b\\\"\",\"include_usage\":7,\"tools\":[]}");
    const struct verdict v = check(&request_fields, JSON_TOP_OBJECT, text);
    assert_int_equal(v.got, 1);
    assert_value(text, &v, MODEL, JSON_STRING, SPAN("\"gpt-4o-mini\""));
    assert_value(text, &v, STREAM, JSON_TRUE, SPAN("true"));
    assert_value(text, &v, OPTIONS, JSON_OBJECT,
                 SPAN("{\"include_usage\":false,\"x\":{\"include_usage\":1}}"));
    assert_value(text, &v, INCLUDE_USAGE, JSON_FALSE, SPAN("false"));
    assert_value(text, &v, MAX_TOKENS, JSON_NUMBER, SPAN("64"));
    assert_value(text, &v, N, JSON_NUMBER, SPAN("1"));
    assert_value(text, &v, USER, JSON_STRING, SPAN("\"a \\\"b\\\"\""));
    assert_true(v.s.value[USER].escaped);
    assert_false(v.s.value[MODEL].escaped);
    assert_int_equal(v.s.value[MAX_COMPLETION].type, JSON_ABSENT);
    assert_int_equal(v.s.value[MESSAGES].type, JSON_ARRAY);
    assert_int_equal(v.s.value[MESSAGES].count, 4);
    assert_value(text, &v, TOOLS, JSON_ARRAY, SPAN("[]"));
    assert_int_equal(v.s.value[TOOLS].count, 0);
    for (uint32_t f = 0; f < REQUEST_FIELDS; f++) assert_false(v.s.value[f].duplicate);
    assert_int_equal(v.s.top, 1);
    assert_int_equal(v.s.close, text.n - 1);
    assert_false(v.s.top_empty);
}

static void test_fields__values_of_every_kind_and_spacing(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        enum json_type type;
    } values[] = {
        {SPAN_INIT("null"), JSON_NULL},
        {SPAN_INIT("true"), JSON_TRUE},
        {SPAN_INIT("false"), JSON_FALSE},
        {SPAN_INIT("0"), JSON_NUMBER},
        {SPAN_INIT("-12.5e+7"), JSON_NUMBER},
        {SPAN_INIT("123456789012345678901234567890123456789012345678901234567890"), JSON_NUMBER},
        {SPAN_INIT("\"\""), JSON_STRING},
        {SPAN_INIT("\"0123456789012345678901234567890\""), JSON_STRING},
        {SPAN_INIT("\"01234567890123456789012345678901\""), JSON_STRING},
        {SPAN_INIT("\"012345678901234567890123456789012345678901234567890123456789\""), JSON_STRING},
        {SPAN_INIT("\"Z\xc3\xbcrich\""), JSON_STRING},
        {SPAN_INIT("[]"), JSON_ARRAY},
        {SPAN_INIT("[ ]"), JSON_ARRAY},
        {SPAN_INIT("[[],{}]"), JSON_ARRAY},
        {SPAN_INIT("{}"), JSON_OBJECT},
        {SPAN_INIT("{ }"), JSON_OBJECT},
        {SPAN_INIT("{\"a\":{}}"), JSON_OBJECT},
        {SPAN_INIT("{ \"a\" : [ 1 ] }"), JSON_OBJECT},
    };
    static const char *const patterns[] = {"{\"n\":%}", "{\"a\":0,\"n\": % , \"b\":1}",
                                           "{\n\t\"n\"  :  \r\n%  \n}", "{\"\\u006e\":%}"};
    for (uint32_t k = 0; k < sizeof(patterns) / sizeof(patterns[0]); k++)
        for (uint32_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            uint8_t text[200];
            uint32_t n = 0;
            for (const char *c = patterns[k]; *c; c++) {
                if (*c != '%') text[n++] = (uint8_t)*c;
                if (*c == '%') memcpy(text + n, values[i].text.p, values[i].text.n), n += values[i].text.n;
            }
            const struct verdict v = check(&request_fields, JSON_TOP_OBJECT, span_of(text, n));
            assert_int_equal(v.got, 1);
            assert_value(span_of(text, n), &v, N, values[i].type, values[i].text);
        }
}

static void test_fields__counts_of_elements(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        uint32_t count;
    } cases[] = {
        {SPAN_INIT("{\"tools\":[]}"), 0},
        {SPAN_INIT("{\"tools\":[  ]}"), 0},
        {SPAN_INIT("{\"tools\":[1]}"), 1},
        {SPAN_INIT("{\"tools\":[ null ]}"), 1},
        {SPAN_INIT("{\"tools\":[true,false , null]}"), 3},
        {SPAN_INIT("{\"tools\":[[1,2,3],{\"a\":[1,2]},\"x,y\"]}"), 3},
        {SPAN_INIT("{\"tools\":{}}"), 0},
        {SPAN_INIT("{\"tools\":{ }}"), 0},
        {SPAN_INIT("{\"tools\":{\"a\":1}}"), 1},
        {SPAN_INIT("{\"tools\":{\"a\":1,\"b\":2}}"), 1},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct verdict v = check(&request_fields, 0, cases[i].text);
        assert_int_equal(v.got, 1);
        assert_int_equal(v.s.value[TOOLS].count, cases[i].count);
    }
}

// White space of every length between the brackets, wherever in a vector it begins and ends.
static void test_fields__counts_behind_long_white_space(void **state)
{
    (void)state;
    static const struct {
        struct span open, close;
        uint32_t count;
    } cases[] = {
        {SPAN_INIT("{\"tools\":["), SPAN_INIT("],\"model\":\"a model with a long name\"}"), 0},
        {SPAN_INIT("{\"tools\":["), SPAN_INIT("1],\"model\":\"a model with a long name\"}"), 1},
        {SPAN_INIT("{\"tools\":[[]],\"x\":["), SPAN_INIT("],\"model\":\"a model with a long name\"}"), 1},
        {SPAN_INIT("{\"tools\":{"), SPAN_INIT("},\"model\":\"a model with a long name\"}"), 0},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (uint32_t spaces = 0; spaces < 200; spaces++) {
            uint8_t text[400];
            const uint32_t open = cases[i].open.n, close = cases[i].close.n;
            memcpy(text, cases[i].open.p, open);
            memset(text + open, spaces % 3 ? ' ' : '\n', spaces);
            memcpy(text + open + spaces, cases[i].close.p, close);
            const struct verdict v = check(&request_fields, 0, span_of(text, open + spaces + close));
            assert_int_equal(v.got, 1);
            assert_int_equal(v.s.value[TOOLS].count, cases[i].count);
        }
}

static void test_fields__keys_are_compared_unescaped(void **state)
{
    (void)state;
    struct span text = SPAN("{\"mod\\u0065l\":\"a\",\"\\u0073tream\\u005foptions\":{\"\\u0069nclude_usage\":"
                            "true},\"\\u006E\":3}");
    struct verdict v = check(&request_fields, 0, text);
    assert_int_equal(v.got, 1);
    assert_value(text, &v, MODEL, JSON_STRING, SPAN("\"a\""));
    assert_value(text, &v, INCLUDE_USAGE, JSON_TRUE, SPAN("true"));
    assert_value(text, &v, N, JSON_NUMBER, SPAN("3"));
    text = SPAN("{\"model\\u0000\":1,\"mode\":1,\"models\":1,\"Model\":1,\"mode\\\\u006c\":1,"
                "\"\\ud800model\":1,\"model\\ud800\":1}");
    v = check(&request_fields, 0, text);
    assert_int_equal(v.got, 1);
    assert_int_equal(v.s.value[MODEL].type, JSON_ABSENT);
}

static void test_fields__duplicates_are_reported(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        uint32_t field;
        bool duplicate;
    } cases[] = {
        {SPAN_INIT("{\"model\":\"a\",\"model\":\"b\"}"), MODEL, true},
        {SPAN_INIT("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}"), MODEL, true},
        {SPAN_INIT("{\"model\":null,\"model\":null}"), MODEL, true},
        {SPAN_INIT("{\"model\":null,\"model\":\"b\"}"), MODEL, true},
        {SPAN_INIT("{\"model\":[1],\"model\":{}}"), MODEL, true},
        {SPAN_INIT("{\"a\":{\"model\":1},\"model\":\"b\"}"), MODEL, false},
        {SPAN_INIT("{\"x\":1,\"x\":2,\"model\":\"b\"}"), MODEL, false},
        {SPAN_INIT("{\"stream_options\":{\"include_usage\":true,\"include_usage\":true}}"), INCLUDE_USAGE,
         true},
        {SPAN_INIT("{\"stream_options\":{\"include_usage\":true},\"stream_options\":{}}"), OPTIONS, true},
        {SPAN_INIT("{\"messages\":[{\"model\":1},{\"model\":2}],\"model\":1}"), MODEL, false},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct verdict v = check(&request_fields, 0, cases[i].text);
        assert_int_equal(v.got, 1);
        assert_int_equal(v.s.value[cases[i].field].duplicate, cases[i].duplicate);
        assert_int_equal(json_has_duplicates(&v.s), cases[i].duplicate);
    }
    struct span text = SPAN("{\"model\":\"a\",\"model\":null}");
    const struct verdict v = check(&request_fields, 0, text);
    assert_value(text, &v, MODEL, JSON_NULL, SPAN("null")); // the last
}

static void test_fields__of_an_answer(void **state)
{
    (void)state;
    const struct span text = SPAN(
        "{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"finish_reason\":\"no\"},\"finish_reason\":"
        "\"stop\"},"
        "{\"finish_reason\":\"length\"},{\"finish_reason\":null},[{\"finish_reason\":\"no\"}]],\"usage\":{"
        "\"prompt_tokens\":12,"
        "\"prompt_tokens_details\":{\"cached_tokens\":1024},\"cached_tokens\":5},\"finish_reason\":\"no\"}");
    const struct verdict v = check(&answer_fields, JSON_TOP_OBJECT, text);
    assert_int_equal(v.got, 1);
    assert_int_equal(v.s.value[CHOICES].count, 4);
    assert_value(text, &v, FINISH, JSON_STRING, SPAN("\"length\""));
    assert_false(v.s.value[FINISH].duplicate);
    assert_value(text, &v, PROMPT, JSON_NUMBER, SPAN("12"));
    assert_value(text, &v, CACHED, JSON_NUMBER, SPAN("1024"));
    assert_value(text, &v, DETAILS, JSON_OBJECT, SPAN("{\"cached_tokens\":1024}"));
    assert_int_equal(v.s.value[ERROR].type, JSON_ABSENT);
    assert_int_equal(v.s.value[DELTA].type, JSON_ABSENT);
}

static void test_fields__of_elements(void **state)
{
    (void)state;
    struct span text = SPAN(
        "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null},{\"delta\":{\"content\":null,"
        "\"tool_calls\":[{\"content\":1},2]},\"finish_reason\":null}]}");
    struct verdict v = check(&answer_fields, 0, text);
    assert_int_equal(v.got, 1);
    assert_value(text, &v, CONTENT, JSON_STRING, SPAN("\"a\"")); // the null behind it does not count
    assert_value(text, &v, FINISH, JSON_NULL, SPAN("null"));
    assert_value(text, &v, TOOL_CALLS, JSON_ARRAY, SPAN("[{\"content\":1},2]"));
    assert_int_equal(v.s.value[TOOL_CALLS].count, 2);
    for (uint32_t f = 0; f < ANSWER_FIELDS; f++) assert_false(v.s.value[f].duplicate);

    text = SPAN("{\"choices\":[{\"delta\":{\"content\":1,\"content\":2}},{\"finish_reason\":1,\"finish_"
                "reason\":2},{\"finish_reason\":3}]}");
    v = check(&answer_fields, 0, text);
    assert_true(v.s.value[CONTENT].duplicate);
    assert_true(v.s.value[FINISH].duplicate);
    assert_value(text, &v, FINISH, JSON_NUMBER, SPAN("3"));
    // An array is asked for, an object is there; and the other way round.
    text = SPAN("{\"choices\":{\"finish_reason\":1},\"usage\":[{\"prompt_tokens\":1}]}");
    v = check(&answer_fields, 0, text);
    assert_int_equal(v.s.value[FINISH].type, JSON_ABSENT);
    assert_int_equal(v.s.value[PROMPT].type, JSON_ABSENT);
}

static void test_top__where_members_can_be_added(void **state)
{
    (void)state;
    static const struct {
        struct span text;
        uint32_t top, close;
        bool empty;
    } cases[] = {
        {SPAN_INIT("{}"), 1, 1, true},
        {SPAN_INIT(" { } "), 2, 3, true},
        {SPAN_INIT("{\"a\":{}}"), 1, 7, false},
        {SPAN_INIT("\n{\n\"a\":1\n}\n"), 2, 9, false},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct verdict v = check(&request_fields, 0, cases[i].text);
        assert_int_equal(v.got, 1);
        assert_true(v.s.top_object);
        assert_int_equal(v.s.top, cases[i].top);
        assert_int_equal(v.s.close, cases[i].close);
        assert_int_equal(v.s.top_empty, cases[i].empty);
    }
    assert_false(check(&request_fields, 0, SPAN("[{}]")).s.top_object);
}

static void test_fields__as_many_as_there_may_be(void **state)
{
    (void)state;
    static char names[JSON_FIELDS_MAX][16];
    static const char *paths[JSON_FIELDS_MAX];
    static struct json_fields fields;
    static uint8_t text[JSON_FIELDS_MAX * 16];
    uint32_t n = 0;
    text[n++] = '{';
    for (uint32_t f = 0; f < JSON_FIELDS_MAX; f++) {
        snprintf(names[f], sizeof(names[f]), "key%u", f);
        paths[f] = names[f];
        n += (uint32_t)snprintf((char *)text + n, sizeof(text) - n, "%s\"key%u\":%u", f ? "," : "", f, f);
    }
    text[n++] = '}';
    json_fields_make(&fields, paths, JSON_FIELDS_MAX);
    const struct verdict v = check(&fields, 0, span_of(text, n));
    assert_int_equal(v.got, 1);
    for (uint32_t f = 0; f < JSON_FIELDS_MAX; f++) {
        char want[8];
        snprintf(want, sizeof(want), "%u", f);
        assert_value(span_of(text, n), &v, f, JSON_NUMBER, span_str(want));
    }
}

static void test_fields__longest_key(void **state)
{
    (void)state;
    static const char *const paths[] = {"abcdefghijklmnopqrstuvwxyz01234", "abcdefghijklmnopqrstuvwxyz0123",
                                        "4"};
    static struct json_fields fields;
    json_fields_make(&fields, paths, 3);
    const struct span text =
        SPAN("{\"abcdefghijklmnopqrstuvwxyz01234\":1,\"abcdefghijklmnopqrstuvwxyz0123\":2,"
             "\"abcdefghijklmnopqrstuvwxyz012345\":3,\"4\":4}");
    const struct verdict v = check(&fields, 0, text);
    assert_int_equal(v.got, 1);
    for (uint32_t f = 0; f < 3; f++) assert_false(v.s.value[f].duplicate);
    assert_value(text, &v, 0, JSON_NUMBER, SPAN("1"));
    assert_value(text, &v, 1, JSON_NUMBER, SPAN("2"));
    assert_value(text, &v, 2, JSON_NUMBER, SPAN("4"));
}

// --- Large and random.

static void test_feed__slices_of_a_large_body(void **state)
{
    (void)state;
    const uint32_t n = 3 << 20;
    uint8_t *text = malloc(n);
    assert_non_null(text);
    memset(text, 'A', n);
    memcpy(text, "{\"messages\":[\"", 14);
    memcpy(text + n - 15, "\"],\"model\":\"m\"}", 15);
    memcpy(text + 1000001, "\xe6\xbc\xa2", 3);
    memcpy(text + 2 * 262144 - 1, "\\n", 2);
    for (uint32_t w = 0; w < WAYS; w++) {
        if (!json_simd_select(way_names[w])) continue;
        struct json_scan s;
        json_scan_init(&s, &request_fields, JSON_TOP_OBJECT);
        int got = JSON_NEED_MORE;
        uint32_t fed = 0, slices = 0;
        for (; got == JSON_NEED_MORE; slices++) {
            fed = fed + 262144 < n ? fed + 262144 : n;
            got = json_scan_feed(&s, text, fed, fed == n);
            assert_true(s.pos <= fed && s.pos + 6 > fed);
        }
        assert_int_equal(got, 1);
        assert_int_equal(slices, 12);
        assert_int_equal(s.value[MODEL].off, n - 4);
        assert_int_equal(s.value[MESSAGES].count, 1);
    }
    json_simd_select(NULL);
    free(text);
}

static const struct span corpus[] = {
    SPAN_INIT("{\"id\":\"chatcmpl-n2\",\"object\":\"chat.completion.chunk\",\"created\":1795255872,\"model\":"
              "\"gpt-4o\",\"choices\":[{\"index\":"
              "0,\"delta\":{\"content\":\"Gr\xc3\xbc\xc3\x9f"
              "e\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}"),
    SPAN_INIT("{\"model\": \"a\", \"messages\": [{\"role\": \"user\", \"content\": \"x\\n\\u00e4\\\"\"}], "
              "\"temperature\": 0.25, "
              "\"stream\": true, \"stream_options\": {\"include_usage\": false}}"),
    SPAN_INIT("[-0.0012, 1e-05, 123456, [true, false, null], {\"a\": {}}, "
              "\"\xe6\xbc\xa2\xe5\xad\x97\xf0\x9f\x98\x80\", \"\\ud83d\\ude00\"]"),
    SPAN_INIT("{\n  \"usage\": {\n    \"prompt_tokens\": 12,\n    \"prompt_tokens_details\": {\n      "
              "\"cached_tokens\": 3\n    }\n  },\n"
              "  \"choices\": [\n    {\n      \"finish_reason\": \"stop\"\n    }\n  ]\n}\n"),
};

// Few bytes of a valid text are replaced, removed, doubled or inserted, mostly by bytes that mean
// something. The tokens move through all places of a vector by white space in front.
static uint32_t mutate(struct prng *r, struct span from, uint8_t *out)
{
    static const uint8_t bytes[] =
        "\"\\,:{}[]0123456789-+.eEtrufalsn \n\t\x00\x1f\x7f\x80\xbf\xc3\xe6\xed\xf0\xf4\xff";
    uint32_t n = prng_below(r, 40);
    memset(out, ' ', n);
    memcpy(out + n, from.p, from.n);
    const uint32_t lead = n;
    n += from.n;
    for (uint32_t k = prng_below(r, 4); k > 0; k--) {
        const uint32_t at = lead + prng_below(r, n - lead), with = prng_below(r, 4);
        const uint8_t byte = bytes[prng_below(r, sizeof(bytes) - 1)];
        if (with == 0) out[at] = byte;
        if (with == 1) memmove(out + at, out + at + 1, n - at - 1), n--;
        if (with >= 2) memmove(out + at + 1, out + at, n - at), n++;
        if (with == 3) out[at] = byte;
    }
    return n;
}

static void test_scan__mutations_agree_with_a_naive_reader(void **state)
{
    (void)state;
    struct prng r;
    uint8_t text[1000];
    uint32_t valid = 0;
    const uint32_t rounds = 60000;
    prng_seed(&r, 1);
    for (uint32_t i = 0; i < rounds; i++) {
        const struct span from = corpus[prng_below(&r, 4)];
        const uint32_t n = mutate(&r, from, text);
        const bool want = naive_json(text, n, JSON_DEPTH_MAX);
        valid += want;
        static struct verdict first, v;
        bool have = false;
        for (uint32_t w = 0; w < WAYS; w++) {
            if (!json_simd_select(way_names[w])) continue;
            const struct json_fields *fields = i & 1 ? &request_fields : &answer_fields;
            v = scan_at(fields, 0, guard_put(&guard_a, text, n), n);
            if (have) assert_same(&first, &v);
            if (!have) first = v;
            have = true;
            v = scan_cut(fields, 0, span_of(text, n), prng_below(&r, n + 1));
            assert_same(&first, &v);
        }
        if ((first.got > 0) != want) fail_msg("round %u: \"%.*s\"", i, (int)n, (const char *)text);
    }
    json_simd_select(NULL);
    assert_in_range(valid, rounds / 10, rounds - rounds / 10);
}

static void test_scan__utf8_at_every_place_of_a_vector(void **state)
{
    (void)state;
    static const struct span pieces[] = {
        SPAN_INIT("\xc3\xa4"),
        SPAN_INIT("\xe6\xbc\xa2"),
        SPAN_INIT("\xf0\x9f\x98\x80"),
        SPAN_INIT("a"),
        SPAN_INIT("\xed\x9f\xbf"),
        SPAN_INIT("\x80"),
        SPAN_INIT("\xc3"),
        SPAN_INIT("\xe6\xbc"),
        SPAN_INIT("\xf0\x9f\x98"),
        SPAN_INIT("\xed\xa0\x80"),
        SPAN_INIT("\xc0\x80"),
        SPAN_INIT("\xf4\x90\x80\x80"),
        SPAN_INIT("\xe0\x9f\xbf"),
        SPAN_INIT("\\n"),
        SPAN_INIT("\xf8"),
        SPAN_INIT("\xf0\x8f\xbf\xbf"),
        SPAN_INIT("\xf5\x80\x80\x80"),
    };
    enum { PIECES = sizeof(pieces) / sizeof(pieces[0]), GOOD = 5 };
    struct prng r;
    uint8_t text[600];
    uint32_t valid = 0;
    prng_seed(&r, 2);
    for (uint32_t i = 0; i < 30000; i++) {
        uint32_t n = 1 + prng_below(&r, 64);
        memset(text, ' ', n);
        text[n++] = '"';
        const uint32_t runs = prng_below(&r, 100);
        const uint32_t sort = prng_below(&r, GOOD);
        for (uint32_t k = 0; k < runs; k++) {
            const uint32_t which = prng_below(&r, 200);
            const struct span piece = which == 0 ? pieces[GOOD + prng_below(&r, PIECES - GOOD)]
                : which < 100                    ? pieces[sort]
                                                 : pieces[prng_below(&r, GOOD)];
            memcpy(text + n, piece.p, piece.n);
            n += piece.n;
        }
        text[n++] = '"';
        const bool want = naive_json(text, n, 1);
        valid += want;
        static struct verdict first, v;
        bool have = false;
        for (uint32_t w = 0; w < WAYS; w++) {
            if (!json_simd_select(way_names[w])) continue;
            v = scan_at(NULL, 0, guard_put(&guard_a, text, n), n);
            if (have) assert_same(&first, &v);
            if (!have) first = v;
            have = true;
            v = scan_cut(NULL, 0, span_of(text, n), prng_below(&r, n + 1));
            assert_same(&first, &v);
        }
        if ((first.got > 0) != want) fail_msg("round %u", i);
        if (!want) {
            // The position is where the naive reader stops, too.
            struct naive j = {.p = text, .n = n};
            naive_space(&j);
            naive_string(&j);
            assert_int_equal(first.pos, j.at);
        }
    }
    json_simd_select(NULL);
    assert_in_range(valid, 10000, 29000);
}

static void test_simd__names(void **state)
{
    (void)state;
    assert_false(json_simd_select("abacus"));
    assert_true(json_simd_select("scalar"));
    assert_string_equal(json_simd_name(), "scalar");
    assert_true(json_simd_select(NULL));
    uint32_t there = 0;
    for (uint32_t w = 0; w < WAYS; w++) there += json_simd_select(way_names[w]);
    assert_true(json_simd_select(NULL));
    if (there == 1) print_message("only the scalar scan exists here: SIMD NOT TESTED\n");
}

static int set_up(void **state)
{
    (void)state;
    guard_a = guard_open(TEXT_MAX);
    guard_b = guard_open(TEXT_MAX);
    json_fields_make(&request_fields, request_paths, REQUEST_FIELDS);
    json_fields_make(&answer_fields, answer_paths, ANSWER_FIELDS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan__y_structures),
        cmocka_unit_test(test_scan__y_numbers),
        cmocka_unit_test(test_scan__y_strings),
        cmocka_unit_test(test_scan__i_lone_surrogates_pass),
        cmocka_unit_test(test_scan__n_structures),
        cmocka_unit_test(test_scan__n_words_and_numbers),
        cmocka_unit_test(test_scan__n_strings),
        cmocka_unit_test(test_scan__depth_is_bounded),
        cmocka_unit_test(test_scan__runs_of_short_tokens),
        cmocka_unit_test(test_scan__top_must_be_an_object_if_asked),
        cmocka_unit_test(test_say__names_the_error_and_the_byte),
        cmocka_unit_test(test_feed__an_error_stays),
        cmocka_unit_test(test_fields__of_a_request),
        cmocka_unit_test(test_fields__values_of_every_kind_and_spacing),
        cmocka_unit_test(test_fields__counts_of_elements),
        cmocka_unit_test(test_fields__counts_behind_long_white_space),
        cmocka_unit_test(test_fields__keys_are_compared_unescaped),
        cmocka_unit_test(test_fields__duplicates_are_reported),
        cmocka_unit_test(test_fields__of_an_answer),
        cmocka_unit_test(test_fields__of_elements),
        cmocka_unit_test(test_top__where_members_can_be_added),
        cmocka_unit_test(test_fields__as_many_as_there_may_be),
        cmocka_unit_test(test_fields__longest_key),
        cmocka_unit_test(test_feed__slices_of_a_large_body),
        cmocka_unit_test(test_scan__mutations_agree_with_a_naive_reader),
        cmocka_unit_test(test_scan__utf8_at_every_place_of_a_vector),
        cmocka_unit_test(test_simd__names),
    };
    return cmocka_run_group_tests_name("json_scan", tests, set_up, NULL);
}
