// http chunked: what is a chunked body and what is not (rules 3 and 4), each input whole, in two pieces
// cut at every byte, and byte by byte, flush against a forbidden page; the data bytes and the end must be
// the same every time. Both ways of decoding, in place and piece by piece, are compared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/http.h"

enum { CAP = 64 * 1024 };

struct decoded {
    int got;
    uint32_t used; // of all input
    uint32_t n;
    uint8_t data[CAP];
};

static struct guard guard;

// Feeds input in pieces of `first`, then `step` bytes, until it is refused, done or used up.
static void decode(const uint8_t *p, uint32_t n, uint32_t first, uint32_t step, struct decoded *r)
{
    struct http_chunked st = {0};
    *r = (struct decoded){.got = HTTP_NEED_MORE};
    uint32_t at = 0;
    do {
        const uint32_t want = at == 0 ? first : step;
        const uint32_t piece = want < n - at ? want : n - at;
        uint8_t *buf = guard_put(&guard, p + at, piece);
        uint32_t used = 0, out = 0;
        r->got = http_chunked_decode(&st, buf, piece, &used, &out);
        assert_true(out <= used && used <= piece);
        assert_true(used == piece || r->got != HTTP_NEED_MORE);
        memcpy(r->data + r->n, buf, out);
        // What follows the body is untouched.
        assert_memory_equal(buf + used, p + at + used, piece - used);
        r->n += out;
        at += used;
    } while (r->got == HTTP_NEED_MORE && at < n);
    assert_true(st.body_bytes == r->n);
    r->used = at;
}

static void decode_by_spans(const uint8_t *p, uint32_t n, struct decoded *r)
{
    struct http_chunked st = {0};
    *r = (struct decoded){.got = HTTP_NEED_MORE};
    const uint8_t *in = guard_put(&guard, p, n);
    while (r->got == HTTP_NEED_MORE && r->used < n) {
        uint32_t used = 0;
        struct span data;
        r->got = http_chunked_next(&st, in + r->used, n - r->used, &used, &data);
        assert_true(data.p >= in && data.p + data.n <= in + r->used + used);
        memcpy(r->data + r->n, data.p, data.n);
        r->n += data.n;
        r->used += used;
    }
}

static void same(const struct decoded *a, const struct decoded *b)
{
    assert_int_equal(a->got, b->got);
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->data, b->data, a->n);
}

static const struct decoded *check(const void *bytes, uint32_t n)
{
    static struct decoded whole, other;
    decode(bytes, n, n, n, &whole);
    decode_by_spans(bytes, n, &other);
    same(&whole, &other);
    if (n == 0) return &whole;
    decode(bytes, n, 1, 1, &other);
    same(&whole, &other);
    for (uint32_t cut = 1; cut < n && n < 2048; cut++) {
        decode(bytes, n, cut, n, &other);
        same(&whole, &other);
    }
    return &whole;
}

static void expect(const char *p, size_t n, int got, const char *data, size_t left)
{
    const struct decoded *r = check(p, (uint32_t)n);
    if (r->got != got) fail_msg("%d instead of %d for: %.*s", r->got, got, (int)n, p);
    if (data) {
        assert_int_equal(r->n, strlen(data));
        assert_memory_equal(r->data, data, r->n);
    }
    if (got == HTTP_CHUNKED_DONE) assert_int_equal(n - r->used, left);
}
#define EXPECT(text, got) expect("" text, sizeof(text) - 1, got, NULL, 0)
#define EXPECT_DATA(text, data, left) expect("" text, sizeof(text) - 1, HTTP_CHUNKED_DONE, data, left)

static int open_guard(void **state)
{
    (void)state;
    guard = guard_open(CAP);
    return 0;
}

static int close_guard(void **state)
{
    (void)state;
    guard_close(&guard);
    return 0;
}

static void test_decode__data_and_what_follows(void **state)
{
    (void)state;
    EXPECT_DATA("0\r\n\r\n", "", 0);
    EXPECT_DATA("5\r\nhello\r\n0\r\n\r\n", "hello", 0);
    EXPECT_DATA("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HT", "hello world", 8);
    EXPECT_DATA("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0);
    EXPECT_DATA("0005\r\nhello\r\n000\r\n\r\n", "hello", 0);
    EXPECT_DATA("2\r\n\r\n\r\n0\r\n\r\n\r\n", "\r\n", 2);
    EXPECT_DATA("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", 0);
    EXPECT("", HTTP_NEED_MORE);
    EXPECT("5", HTTP_NEED_MORE);
    EXPECT("5\r", HTTP_NEED_MORE);
    EXPECT("5\r\n", HTTP_NEED_MORE);
    EXPECT("5\r\nhel", HTTP_NEED_MORE);
    EXPECT("5\r\nhello", HTTP_NEED_MORE);
    EXPECT("5\r\nhello\r\n", HTTP_NEED_MORE);
    EXPECT("5\r\nhello\r\n0\r\n", HTTP_NEED_MORE);
    EXPECT("5\r\nhello\r\n0\r\n\r", HTTP_NEED_MORE);
}

static void test_decode__nothing_moves_if_it_lies_right(void **state)
{
    (void)state;
    uint8_t data[] = "hello, this is the middle of a chunk";
    struct http_chunked st = {0};
    uint32_t used = 0, out = 0;
    uint8_t size[] = "64\r\n";
    assert_int_equal(http_chunked_decode(&st, size, 4, &used, &out), HTTP_NEED_MORE);
    assert_int_equal(out, 0);
    // The middle of a chunk is given back as it is, from memory that must not be written.
    assert_int_equal(mprotect(guard.room, guard.cap, PROT_READ | PROT_WRITE), 0);
    uint8_t *p = guard_put(&guard, data, sizeof data - 1);
    assert_int_equal(mprotect(guard.room, guard.cap, PROT_READ), 0);
    assert_int_equal(http_chunked_decode(&st, p, sizeof data - 1, &used, &out), HTTP_NEED_MORE);
    assert_int_equal(out, sizeof data - 1);
    assert_int_equal(mprotect(guard.room, guard.cap, PROT_READ | PROT_WRITE), 0);
}

static void test_rule_3__lines_end_with_crlf_only(void **state)
{
    (void)state;
    EXPECT("5\nhello\r\n0\r\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("5\rhello\r\n0\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("5\r\nhello\n0\r\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("5\r\nhello\rx", HTTP_BAD_BARE_CR);
    EXPECT("5\r\nhello0\r\n\r\n", HTTP_BAD_CHUNK_END);
    EXPECT("5\r\nhello world\r\n0\r\n\r\n", HTTP_BAD_CHUNK_END);
    EXPECT("5\r\nhel\r\n0\r\n\r\n", HTTP_BAD_CHUNK_END);
    EXPECT("5\r\nhello\r\n0\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("5\r\nhello\r\n0\r\n\n", HTTP_BAD_BARE_LF);
    EXPECT("5\r\nhello\r\n0\r\n\rx", HTTP_BAD_BARE_CR);
    EXPECT("0\r\nX: y\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("0\r\nX: y\rZ: 1\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("5;a\nhello\r\n0\r\n\r\n", HTTP_BAD_BARE_LF);
    EXPECT("5;a\rhello\r\n0\r\n\r\n", HTTP_BAD_BARE_CR);
    EXPECT("\r\n5\r\nhello\r\n0\r\n\r\n", HTTP_BAD_CHUNK_SIZE);
}

static void test_rule_4__sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {"+5", "-5", "0x5",  "0X5", "5_0", " 5",    "5 ",  "5\t", "g",   "5g",
                                      ";",  ";a", "\x01", "5.0", "5h",  "\"5\"", "5,5", "{",   "5 ;a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        const int n = snprintf(text, sizeof text, "%s\r\nhello\r\n0\r\n\r\n", bad[i]);
        expect(text, (size_t)n, HTTP_BAD_CHUNK_SIZE, NULL, 0);
    }
    EXPECT("\r\n", HTTP_BAD_CHUNK_SIZE);
    EXPECT("8000000000000000", HTTP_BAD_CHUNK_OVERFLOW);
    EXPECT("ffffffffffffffff", HTTP_BAD_CHUNK_OVERFLOW);
    EXPECT("10000000000000005\r\nhello\r\n0\r\n\r\n", HTTP_BAD_CHUNK_OVERFLOW);
    EXPECT("00000000000000005", HTTP_BAD_CHUNK_OVERFLOW);
    EXPECT("7fffffffffffffff\r\nx", HTTP_NEED_MORE);
    EXPECT("0000000000000005\r\nhello\r\n0\r\n\r\n", HTTP_CHUNKED_DONE);
    // 2^32 + 5 must not become 5.
    struct http_chunked st = {0};
    uint8_t text[] = "100000005\r\nhello\r\n0\r\n\r\n";
    uint32_t used = 0, out = 0;
    assert_int_equal(http_chunked_decode(&st, text, sizeof text - 1, &used, &out), HTTP_NEED_MORE);
    assert_int_equal(out, sizeof text - 1 - 11);
    assert_true(st.left == (UINT64_C(1) << 32) + 5 - out);
}

static void test_rule_4__extensions(void **state)
{
    (void)state;
    EXPECT_DATA("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", 0);
    EXPECT_DATA("5;a=b;c=\"d;\\\"e\\\\\" ; f ;\tg =\t h\r\nhello\r\n0\r\n\r\n", "hello", 0);
    EXPECT_DATA("5;a=\"\"\r\nhello\r\n0\r\n\r\n", "hello", 0);
    EXPECT_DATA("5;a=\"\xff\t\"\r\nhello\r\n0\r\n\r\n", "hello", 0);
    EXPECT("5;\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5; \r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;;a\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;=b\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=;\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a \r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a b\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=b \r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=b c\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"b\"c\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"b\"=\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=b=c\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=b\"\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"b\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"b\x01\"\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"\\\x01\"\r\n", HTTP_BAD_CHUNK_EXT);
    EXPECT("5;a=\"\\\n\"\r\n", HTTP_BAD_BARE_LF);
    EXPECT("5;a\0\r\n", HTTP_BAD_CHUNK_EXT);
}

static void test_rule_4__trailers(void **state)
{
    (void)state;
    EXPECT_DATA("5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 5\r\nE:\r\n\r\nGET", "hello", 3);
    EXPECT("0\r\nX : y\r\n\r\n", HTTP_BAD_NAME_SPACE);
    EXPECT("0\r\n X: y\r\n\r\n", HTTP_BAD_FOLD);
    EXPECT("0\r\nX: y\r\n z\r\n\r\n", HTTP_BAD_FOLD);
    EXPECT("0\r\n: y\r\n\r\n", HTTP_BAD_NAME_EMPTY);
    EXPECT("0\r\nX\r\n\r\n", HTTP_BAD_NO_COLON);
    EXPECT("0\r\nX(: y\r\n\r\n", HTTP_BAD_NAME);
    EXPECT("0\r\nX\n", HTTP_BAD_BARE_LF);
    EXPECT("0\r\nX: \x01\r\n\r\n", HTTP_BAD_VALUE);
    EXPECT("0\r\nX: \0\r\n\r\n", HTTP_BAD_VALUE);
    EXPECT("0\r\nGET / HTTP/1.1\r\n\r\n", HTTP_BAD_NAME_SPACE); // the last line of a body that was cut off
}

static char *filled(uint32_t *ret_n, const char *before, size_t count, const char *behind)
{
    const size_t b = strlen(before), e = strlen(behind);
    char *p = malloc(b + count + e + 1);
    assert_non_null(p);
    memcpy(p, before, b);
    memset(p + b, 'a', count);
    memcpy(p + b + count, behind, e + 1);
    *ret_n = (uint32_t)(b + count + e);
    return p;
}

static void expect_filled(const char *before, size_t count, const char *behind, int got)
{
    uint32_t n = 0;
    char *p = filled(&n, before, count, behind);
    static struct decoded a, b;
    decode((const uint8_t *)p, n, n, n, &a);
    assert_int_equal(a.got, got);
    decode((const uint8_t *)p, n, 7, 1000, &b);
    same(&a, &b);
    free(p);
}

static void test_rule_4__sums_of_extensions_and_trailers_are_limited(void **state)
{
    (void)state;
    // Everything from behind the ';' to the CR counts, of all chunks together.
    expect_filled("5;", HTTP_CHUNK_EXT_BYTES_MAX - 1, "\r\nhello\r\n0\r\n\r\n", HTTP_CHUNKED_DONE);
    expect_filled("5;", HTTP_CHUNK_EXT_BYTES_MAX, "\r\nhello\r\n0\r\n\r\n", HTTP_BAD_CHUNK_EXT_SIZE);
    expect_filled("5;", HTTP_CHUNK_EXT_BYTES_MAX - 3, "\r\nhello\r\n0;b\r\n\r\n", HTTP_CHUNKED_DONE);
    expect_filled("5;", HTTP_CHUNK_EXT_BYTES_MAX - 2, "\r\nhello\r\n0;b\r\n\r\n", HTTP_BAD_CHUNK_EXT_SIZE);
    // "X: " aaa CRLF CRLF
    expect_filled("0\r\nX: ", HTTP_TRAILER_BYTES_MAX - 7, "\r\n\r\n", HTTP_CHUNKED_DONE);
    expect_filled("0\r\nX: ", HTTP_TRAILER_BYTES_MAX - 6, "\r\n\r\n", HTTP_BAD_TRAILER_SIZE);
    expect_filled("0\r\n", 255, ": b\r\n\r\n", HTTP_CHUNKED_DONE);
    expect_filled("0\r\n", 256, ": b\r\n\r\n", HTTP_BAD_NAME_SIZE);
    // Every name begins anew.
    expect_filled("0\r\nabc:\r\n", 255, ":\r\n\r\n", HTTP_CHUNKED_DONE);
}

static void test_decode__random_bodies_in_random_pieces(void **state)
{
    (void)state;
    struct prng prng;
    prng_seed(&prng, 7);
    static uint8_t text[CAP], data[CAP];
    static struct decoded r;
    for (int round = 0; round < 300; round++) {
        uint32_t n = 0, data_n = 0;
        while (n < 20000) {
            const uint32_t size = prng_below(&prng, 4) ? prng_below(&prng, 40) : prng_below(&prng, 5000);
            if (size == 0) break;
            n += (uint32_t)snprintf((char *)text + n, CAP - n, prng_below(&prng, 2) ? "%x\r\n" : "%X;x=y\r\n",
                                    size);
            for (uint32_t i = 0; i < size; i++) text[n++] = data[data_n++] = (uint8_t)prng_next(&prng);
            n += (uint32_t)snprintf((char *)text + n, CAP - n, "\r\n");
        }
        n += (uint32_t)snprintf((char *)text + n, CAP - n, "0\r\nT: x\r\n\r\nbehind");
        decode(text, n, 1 + prng_below(&prng, n), 1 + prng_below(&prng, 3000), &r);
        assert_int_equal(r.got, HTTP_CHUNKED_DONE);
        assert_int_equal(r.used, n - 6);
        assert_int_equal(r.n, data_n);
        assert_memory_equal(r.data, data, data_n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode__data_and_what_follows),
        cmocka_unit_test(test_decode__nothing_moves_if_it_lies_right),
        cmocka_unit_test(test_rule_3__lines_end_with_crlf_only),
        cmocka_unit_test(test_rule_4__sizes),
        cmocka_unit_test(test_rule_4__extensions),
        cmocka_unit_test(test_rule_4__trailers),
        cmocka_unit_test(test_rule_4__sums_of_extensions_and_trailers_are_limited),
        cmocka_unit_test(test_decode__random_bodies_in_random_pieces),
    };
    return cmocka_run_group_tests_name("http_chunked", tests, open_guard, close_guard);
}
