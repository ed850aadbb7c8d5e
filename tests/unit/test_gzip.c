// gzip: texts compressed by zlib in every way come out again, cut at every byte and with rooms of every size; what is damaged,
// short or followed by something else is refused; what grows beyond the ratio is stopped long before its end. The input stands
// flush against a forbidden page.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "wire/gzip.h"

#define TEXT_MAX (1u << 20)

static _Alignas(16) uint8_t memory[GZIP_MEMORY_BYTES];
static uint8_t text[TEXT_MAX], packed[2 * TEXT_MAX], out[2 * TEXT_MAX];
static struct guard guard;

static uint32_t pack(const uint8_t *p, uint32_t n, int level, uint8_t *to)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = n;
    z.next_out = to;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const uint32_t used = (uint32_t)z.total_out;
    deflateEnd(&z);
    return used;
}

static uint32_t prose(uint32_t n)
{
    struct prng prng;
    prng_seed(&prng, n);
    for (uint32_t i = 0; i < n; i++) text[i] = (uint8_t)(' ' + prng_next(&prng) % 24);
    return n;
}

// Feeds `in` in pieces of `piece` bytes into rooms of `room`; the bytes that came out, or the error.
static int64_t unpack(const uint8_t *in, uint32_t n, uint32_t piece, uint32_t room, struct gzip **ret_gzip)
{
    struct gzip *g = gzip_open(memory);
    uint32_t total = 0;
    if (ret_gzip) *ret_gzip = g;
    for (uint32_t at = 0; at < n; at += piece) {
        const uint32_t size = n - at < piece ? n - at : piece;
        uint8_t *flush = guard.room + guard.cap - size;
        memcpy(flush, in + at, size);
        struct span s = {flush, size};
        uint32_t made;
        do {
            const enum rw_err err = gzip_next(g, &s, out + total, room, &made);
            if (err) return err;
            assert_true(made <= room && (s.n == 0 || made == room));
            total += made;
        } while (made == room || s.n > 0);
    }
    return gzip_whole(g) ? (int64_t)total : (int64_t)RW_E_EOF;
}

static void test_gzip_next__every_level_piece_and_room(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 100, 5000, 100000};
    for (int level = 0; level <= 9; level += 3) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const uint32_t n = prose(sizes[i]), z = pack(text, n, level, packed);
            static const uint32_t pieces[] = {1, 2, 7, 1000, UINT32_MAX / 2}, rooms[] = {1, 13, 4096, 32768};
            for (size_t p = 0; p < 5; p++) {
                for (size_t r = 0; r < 4; r++) {
                    const uint32_t piece = pieces[p] < z ? pieces[p] : z;
                    assert_int_equal(unpack(packed, z, piece, rooms[r], NULL), n);
                    assert_memory_equal(out, text, n);
                }
            }
        }
    }
}

static void test_gzip_next__members_are_one_text(void **state)
{
    (void)state;
    const uint32_t n = prose(300);
    uint32_t z = pack(text, 100, 6, packed);
    z += pack(text, 0, 6, packed + z);
    z += pack(text + 100, 200, 9, packed + z);
    for (uint32_t piece = 1; piece <= z; piece++) {
        assert_int_equal(unpack(packed, z, piece, 64, NULL), n);
        assert_memory_equal(out, text, n);
    }
}

static void test_gzip_whole__not_before_the_last_byte(void **state)
{
    (void)state;
    const uint32_t z = pack(text, prose(200), 6, packed);
    for (uint32_t cut = 1; cut < z; cut++) {
        struct gzip *g;
        assert_int_equal(unpack(packed, cut, cut, 4096, &g), RW_E_EOF);
        assert_false(gzip_whole(g));
    }
    assert_false(gzip_whole(gzip_open(memory)));
}

static void test_gzip_next__damage_is_found(void **state)
{
    (void)state;
    const uint32_t n = prose(500), z = pack(text, n, 6, packed);
    // Of the header, time, system and flags of no meaning may say anything.
    for (uint32_t at = 10; at < z; at++) {
        struct gzip *g;
        packed[at] ^= 0x55;
        assert_true(unpack(packed, z, z, 4096, &g) < 0);
        packed[at] ^= 0x55;
    }
    static const char *const never[] = {"{\"id\":\"x\"}", "\x1f\x8b\x07\0\0\0\0\0\0\3",
                                        "\x78\x9c\x03\0\0\0\0\1"};
    for (size_t i = 0; i < 3; i++) {
        struct gzip *g;
        assert_int_equal(unpack((const uint8_t *)never[i], 8, 8, 4096, &g), RW_E_BAD);
        assert_string_equal(gzip_reason(g), "its gzip is damaged");
        // An error is final.
        struct span rest = SPAN("x");
        uint32_t made;
        assert_int_equal(gzip_next(g, &rest, out, 1, &made), RW_E_BAD);
    }
}

static void test_gzip_next__rubbish_behind_a_member(void **state)
{
    (void)state;
    uint32_t z = pack(text, prose(20), 6, packed);
    memcpy(packed + z, "rubbish", 7);
    assert_int_equal(unpack(packed, z + 7, z + 7, 4096, NULL), RW_E_BAD);
    assert_int_equal(unpack(packed, z + 1, z + 1, 4096, NULL), RW_E_EOF);
}

// A mebibyte of the same byte, again and again: 1,030 times its size. What comes out before it is stopped is bounded.
static void test_gzip_next__a_bomb_is_stopped(void **state)
{
    (void)state;
    memset(text, 'x', TEXT_MAX);
    const uint32_t z = pack(text, TEXT_MAX, 9, packed);
    struct gzip *g = gzip_open(memory);
    uint64_t total = 0, fed = 0;
    enum rw_err err = RW_OK;
    for (int member = 0; member < 100 && !err; member++) {
        struct span s = {packed, z};
        uint32_t made = 0;
        do {
            err = gzip_next(g, &s, out, 32768, &made);
            if (!err) total += made;
        } while (!err && (made == 32768 || s.n > 0));
        fed += z - s.n;
    }
    assert_int_equal(err, RW_E_TOO_LARGE);
    assert_string_equal(gzip_reason(g), "its gzip grows beyond all measure");
    assert_true(total >= GZIP_FREE_BYTES && total <= GZIP_FREE_BYTES + fed * GZIP_RATIO_MAX + 32768);
}

// What repeats itself as JSON does is no bomb: ninety times its size goes through, however long it is.
static void test_gzip_next__dense_texts_pass(void **state)
{
    (void)state;
    static const char event[] =
        "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"content\":\"tokens\"}}]}\n\n";
    for (uint32_t i = 0; i < TEXT_MAX; i++) text[i] = (uint8_t)event[i % (sizeof event - 1)];
    struct prng prng;
    prng_seed(&prng, 1);
    for (uint32_t i = 0; i < TEXT_MAX; i += 300) text[i] = (uint8_t)prng_next(&prng);
    const uint32_t z = pack(text, TEXT_MAX, 9, packed);
    assert_true(TEXT_MAX / z >= 30);
    struct gzip *g = gzip_open(memory);
    for (int member = 0; member < 8; member++) {
        struct span s = {packed, z};
        uint32_t made;
        do assert_int_equal(gzip_next(g, &s, out, 32768, &made), RW_OK);
        while (made == 32768 || s.n > 0);
        assert_true(gzip_whole(g));
    }
}

int main(void)
{
    guard = guard_open(sizeof packed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_next__every_level_piece_and_room),
        cmocka_unit_test(test_gzip_next__members_are_one_text),
        cmocka_unit_test(test_gzip_whole__not_before_the_last_byte),
        cmocka_unit_test(test_gzip_next__damage_is_found),
        cmocka_unit_test(test_gzip_next__rubbish_behind_a_member),
        cmocka_unit_test(test_gzip_next__a_bomb_is_stopped),
        cmocka_unit_test(test_gzip_next__dense_texts_pass),
    };
    const int failed = cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
    guard_close(&guard);
    return failed;
}
