// json_out: what is written is read back by the scanner and compared with what was meant; texts of every length cross the ends
// of chunks, long plain ones are pointed at, and an arena that is too small is reported.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/prng.h"
#include "wire/json.h"
#include "wire/json_out.h"

static struct budget budget;
static struct arena_pool pool;
static struct arena arena;

static int begin(void **state)
{
    (void)state;
    budget = (struct budget){.limit = 64 << 20};
    arena_pool_init(&pool, &budget, 8);
    arena_init(&arena, &pool, 32 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_done(&arena);
    arena_pool_done(&pool);
    return budget.used != 0;
}

static struct span flat(struct json_out *o)
{
    assert_int_equal(json_out_done(o), RW_OK);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < o->iov_n; i++) sum += o->iov[i].iov_len;
    assert_int_equal(sum, o->bytes);
    const struct span text = json_out_flat(o);
    assert_non_null(text.p);
    assert_int_equal(text.n, o->bytes);
    return text;
}

static void assert_text(struct json_out *o, const char *want)
{
    const struct span got = flat(o);
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void test_json_out__commas_and_nesting(void **state)
{
    (void)state;
    struct json_out o;
    json_out_init(&o, &arena);
    json_out_object(&o);
    json_out_key_string(&o, SPAN("a"), SPAN("x\"\n\x01y"));
    json_out_key_array(&o, SPAN("b"));
    json_out_end(&o);
    json_out_key_array(&o, SPAN("c"));
    json_out_u64(&o, 0);
    json_out_i64(&o, INT64_MIN);
    json_out_object(&o);
    json_out_end(&o);
    json_out_null(&o);
    json_out_end(&o);
    json_out_key_bool(&o, SPAN("d"), true);
    json_out_key_text(&o, SPAN("e\"f"));
    json_out_open(&o);
    json_out_piece(&o, SPAN("one"));
    json_out_piece(&o, SPAN("\\two"));
    json_out_close(&o);
    json_out_key_raw(&o, SPAN("g"), SPAN("{\"h\": 1}"));
    json_out_end(&o);
    assert_text(&o,
                "{\"a\":\"x\\\"\\n\\u0001y\",\"b\":[],\"c\":[0,-9223372036854775808,{},null],\"d\":true,"
                "\"e\\\"f\":\"one\\\\two\",\"g\":{\"h\": 1}}");
}

static void test_json_out__documents_and_frames(void **state)
{
    (void)state;
    struct json_out o;
    json_out_init(&o, &arena);
    for (int i = 0; i < 2; i++) {
        json_out_bytes(&o, SPAN("data: "));
        json_out_object(&o);
        json_out_key_u64(&o, SPAN("i"), (uint64_t)i);
        json_out_end(&o);
        json_out_bytes(&o, SPAN("\n\n"));
    }
    assert_text(&o, "data: {\"i\":0}\n\ndata: {\"i\":1}\n\n");
}

// Texts of random characters and lengths: what the scanner reads is what was written.
static void test_json_out_string__every_length_is_read_back(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "\"", "\n", "ü", "你", "😀", "\\", " "};
    struct prng prng;
    prng_seed(&prng, 7);
    static uint8_t text[9000], back[9000];
    for (uint32_t round = 0; round < 300; round++) {
        const uint32_t want = (uint32_t)prng_below(&prng, round < 250 ? 300 : 8000);
        const uint32_t kinds = round % 3 == 0 ? 1 : 8;
        uint32_t n = 0;
        while (n < want) {
            const char *l = letters[prng_below(&prng, kinds)];
            memcpy(text + n, l, strlen(l));
            n += (uint32_t)strlen(l);
        }
        const struct arena_mark mark = arena_mark(&arena);
        struct json_out o;
        json_out_init(&o, &arena);
        json_out_array(&o);
        for (uint32_t i = 0; i < 3; i++) json_out_string(&o, span_of(text, n));
        json_out_end(&o);
        const struct span got = flat(&o);
        struct json_scan s;
        assert_int_equal(json_scan(&s, NULL, 0, got), 1);
        for (uint32_t i = 0; i < 3; i++) {
            struct span element, read;
            assert_true(json_element(got, i, &element));
            assert_int_equal(json_string(element, JSON_LONE_REFUSE, back, sizeof back, &read), RW_OK);
            assert_true(span_eq(read, span_of(text, n)));
        }
        arena_rewind(&arena, mark);
    }
}

static void test_json_out_string__long_plain_text_is_pointed_at(void **state)
{
    (void)state;
    const uint32_t n = 1 << 20;
    uint8_t *text = malloc(n);
    assert_non_null(text);
    memset(text, 'A', n);
    struct json_out o;
    json_out_init(&o, &arena);
    json_out_array(&o);
    json_out_string(&o, span_of(text, n));
    json_out_raw(&o, SPAN("1"));
    json_out_end(&o);
    assert_int_equal(o.iov_n, 3);
    assert_ptr_equal(o.iov[1].iov_base, text);
    assert_int_equal(o.bytes, n + 6);
    text[5] = '\n'; // now it has to be copied
    json_out_init(&o, &arena);
    json_out_string(&o, span_of(text, n));
    assert_int_equal(json_out_done(&o), RW_OK);
    assert_int_equal(o.bytes, n + 3);
    assert_true(o.iov_n < 32);
    free(text);
}

static void test_json_out__small_arena_is_reported(void **state)
{
    (void)state;
    struct arena small;
    arena_init(&small, &pool, 8192);
    struct json_out o;
    json_out_init(&o, &small);
    json_out_array(&o);
    for (uint32_t i = 0; i < 10000; i++) json_out_u64(&o, i);
    json_out_end(&o);
    assert_int_equal(json_out_done(&o), RW_E_TOO_LARGE);
    arena_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_out__commas_and_nesting, begin, end),
        cmocka_unit_test_setup_teardown(test_json_out__documents_and_frames, begin, end),
        cmocka_unit_test_setup_teardown(test_json_out_string__every_length_is_read_back, begin, end),
        cmocka_unit_test_setup_teardown(test_json_out_string__long_plain_text_is_pointed_at, begin, end),
        cmocka_unit_test_setup_teardown(test_json_out__small_arena_is_reported, begin, end),
    };
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
