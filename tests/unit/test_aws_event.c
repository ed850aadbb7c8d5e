// Amazon's binary event streams. Goal: frames are read as other implementations wrote them, and nothing that is damaged, cut or
// lies about its lengths is taken for one. Method: frames made by an independent encoder, cut and bent at every byte; what is
// written is read again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"
#include "wire/aws_event.h"

static struct story_world world;

static int begin(void **state)
{
    (void)state;
    story_open(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    story_close(&world);
    return 0;
}

static struct span vector(const char *name)
{
    const struct span bytes = story_file(&world, "eventstream", name);
    assert_non_null(bytes.p);
    return bytes;
}

static void test_crc32__check_value(void **state)
{
    (void)state;
    assert_int_equal(aws_event_crc32(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
    const uint32_t first = aws_event_crc32(0, (const uint8_t *)"1234", 4);
    assert_int_equal(aws_event_crc32(first, (const uint8_t *)"56789", 5), 0xcbf43926);
}

static void test_next__frames_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum aws_event_kind kind;
        const char *type, *payload;
    } cases[] = {
        {"messageStart.bin", AWS_EVENT_EVENT, "messageStart",
         "{\"p\":\"abcdefghijkl\",\"role\":\"assistant\"}"},
        {"contentBlockDelta-utf8.bin", AWS_EVENT_EVENT, "contentBlockDelta",
         "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Grüße aus Zürich ☀️ "
         "你好\"},\"p\":\"abc\"}"},
        {"exception-throttling.bin", AWS_EVENT_EXCEPTION, "throttlingException", NULL},
        {"error-unmodelled.bin", AWS_EVENT_ERROR, NULL, NULL},
        {"empty.bin", AWS_EVENT_OTHER, NULL, NULL},
        {"all-header-types.bin", AWS_EVENT_OTHER, NULL, NULL},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct span bytes = vector(cases[i].file);
        struct aws_event_frame f;
        assert_int_equal(aws_event_next(bytes.p, bytes.n, &f), bytes.n);
        assert_int_equal(f.kind, cases[i].kind);
        if (cases[i].type) assert_true(span_eq(f.type, span_str(cases[i].type)));
        if (cases[i].payload) assert_true(span_eq(f.payload, span_str(cases[i].payload)));
        for (uint32_t n = 0; n < bytes.n; n++) assert_int_equal(aws_event_next(bytes.p, n, &f), 0);
    }
}

static void test_next__damage(void **state)
{
    (void)state;
    struct aws_event_frame f;
    struct span bytes = vector("bad-message-crc.bin");
    assert_int_equal(aws_event_next(bytes.p, bytes.n, &f), RW_E_BAD);
    bytes = vector("bad-prelude-crc.bin");
    assert_int_equal(aws_event_next(bytes.p, bytes.n, &f), RW_E_BAD);
    bytes = vector("truncated.bin");
    assert_int_equal(aws_event_next(bytes.p, bytes.n, &f), 0);
    bytes = vector("messageStart.bin");
    uint8_t bent[512];
    assert_true(bytes.n <= sizeof bent);
    for (uint32_t at = 0; at < bytes.n * 8; at++) {
        memcpy(bent, bytes.p, bytes.n);
        bent[at / 8] ^= (uint8_t)(1u << at % 8);
        assert_true(aws_event_next(bent, bytes.n, &f) < 0);
    }
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

// Sums that are right over lengths and headers that are not.
static void test_next__lies_with_right_sums(void **state)
{
    (void)state;
    struct aws_event_frame f;
    uint8_t bytes[64] = {0};
    const struct {
        uint32_t total, headers;
        int64_t want;
    } cases[] = {{15, 0, RW_E_BAD},
                 {16, 1, RW_E_BAD},
                 {20, 8, RW_E_BAD},
                 {16, 0, 16},
                 {16, 1 << 30, RW_E_TOO_LARGE},
                 {UINT32_MAX, 0, RW_E_TOO_LARGE}};
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put32(bytes, cases[i].total);
        put32(bytes + 4, cases[i].headers);
        put32(bytes + 8, aws_event_crc32(0, bytes, 8));
        put32(bytes + 12, aws_event_crc32(0, bytes, 12));
        assert_int_equal(aws_event_next(bytes, sizeof bytes, &f), cases[i].want);
    }
    // A header whose name, type or value does not fit.
    static const char *const headers[] = {"\x00"
                                          "a\x07",
                                          "\x05"
                                          "ab",
                                          "\x01"
                                          "a\x0a",
                                          "\x01"
                                          "a\x07\xff\xff",
                                          "\x01"
                                          "a\x05"
                                          "12"};
    for (uint32_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const uint32_t n = i == 0 ? 3 : (uint32_t)strlen(headers[i]), total = 16 + n;
        put32(bytes, total);
        put32(bytes + 4, n);
        put32(bytes + 8, aws_event_crc32(0, bytes, 8));
        memcpy(bytes + 12, headers[i], n);
        put32(bytes + 12 + n, aws_event_crc32(0, bytes, 12 + n));
        assert_int_equal(aws_event_next(bytes, total, &f), RW_E_BAD);
    }
}

static void test_write__is_what_others_write(void **state)
{
    (void)state;
    uint8_t out[512];
    struct aws_event_frame f, g;
    static const char *const files[] = {"messageStart.bin", "exception-throttling.bin", "metadata.bin"};
    for (uint32_t i = 0; i < 3; i++) {
        const struct span bytes = vector(files[i]);
        assert_int_equal(aws_event_next(bytes.p, bytes.n, &f), bytes.n);
        const uint32_t need = AWS_EVENT_FRAME_BYTES + f.type.n + f.payload.n;
        const uint32_t n = aws_event_write(f.kind, f.type, f.payload, out, need);
        assert_int_equal(n, bytes.n);
        assert_memory_equal(out, bytes.p, n);
        assert_int_equal(aws_event_next(out, n, &g), n);
        assert_true(span_eq(f.type, g.type) && span_eq(f.payload, g.payload));
        assert_int_equal(aws_event_write(f.kind, f.type, f.payload, out, need - 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crc32__check_value, begin, end),
        cmocka_unit_test_setup_teardown(test_next__frames_of_others, begin, end),
        cmocka_unit_test_setup_teardown(test_next__damage, begin, end),
        cmocka_unit_test_setup_teardown(test_next__lies_with_right_sums, begin, end),
        cmocka_unit_test_setup_teardown(test_write__is_what_others_write, begin, end),
    };
    return cmocka_run_group_tests_name("aws_event", tests, NULL, NULL);
}
