// price: exact arithmetic against figures worked out by hand, the built-in list read whole, the rules by which a model finds its
// row, and lists that are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/estimate.h"
#include "policy/price.h"
#include "providers/prices.h"
#include "wire/json.h"

static struct price_table *table_of(const char *json)
{
    struct price_table *t = price_table_new();
    char why[PRICE_WHY_BYTES] = "";
    assert_non_null(t);
    assert_int_equal(price_table_read(t, provider_prices(), why), RW_OK);
    if (json) assert_int_equal(price_table_read(t, span_str(json), why), RW_OK);
    return t;
}

static struct price found(const struct price_table *t, const char *provider, const char *model)
{
    struct price p = {0};
    assert_true(price_find(t, span_str(provider), span_str(model), &p));
    return p;
}

static void test_decimal__exact_and_rounded_up(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned decimals;
        int64_t want; // -1: refused
    } cases[] = {
        {"0.15", 6, 150000},
        {"10", 6, 10000000},
        {"0.00875", 6, 8750},
        {"0.0000001", 6, 1},
        {"0.1000001", 6, 100001},
        {"2.5e-1", 6, 250000},
        {"25E1", 6, 250000000},
        {"1e-30", 6, 1},
        {"0e999", 6, 0},
        {"0", 6, 0},
        {"500", 9, 500000000000},
        {"0.000000000000000000000000", 9, 0},
        {"-1", 6, -1},
        {"", 6, -1},
        {".5", 6, -1},
        {"5.", 6, -1},
        {"1e", 6, -1},
        {"1e99", 6, -1},
        {"1x", 6, -1},
        {"99999999999999999999", 0, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t got = -1;
        const bool ok = price_decimal(span_str(cases[i].text), cases[i].decimals, &got);
        if (ok != (cases[i].want >= 0) || got != cases[i].want)
            fail_msg("%s: %d %ld", cases[i].text, ok, (long)got);
    }
}

struct seen {
    uint32_t rows, wildcards;
    int64_t mini; // input of openai/gpt-4o-mini
};

static bool on_row(struct span name, const struct price *p, const struct price_about *about, void *ctx)
{
    struct seen *s = ctx;
    assert_non_null(about);
    s->rows++;
    s->wildcards += name.p[name.n - 1] == '*';
    if (span_eq(name, SPAN("openai/gpt-4o-mini"))) s->mini = p->pico[PRICE_INPUT];
    return s->rows != 100000;
}

static void test_each__tells_each_row_once_as_it_holds(void **state)
{
    (void)state;
    struct seen before = {0}, after = {0};
    struct price_table *t = table_of(NULL);
    price_table_each(t, on_row, &before);
    assert_int_equal(before.rows - before.wildcards, price_table_count(t));
    assert_int_equal(before.mini, 150000);
    price_table_free(t);
    // Replaced rows and beginnings are told as they are now, and not a second time.
    t = table_of("{\"models\":[{\"provider\":\"openai\",\"model\":\"gpt-4o-mini\",\"input\":7,\"output\":1},"
                 "{\"provider\":\"x\",\"model\":\"a*\",\"input\":7,\"output\":1},"
                 "{\"provider\":\"x\",\"model\":\"a*\",\"input\":8,\"output\":1}]}");
    price_table_each(t, on_row, &after);
    assert_int_equal(after.rows, before.rows + 1);
    assert_int_equal(after.wildcards, before.wildcards + 1);
    assert_int_equal(after.mini, 7000000);
    price_table_free(t);
}

static void test_nanos__a_record_is_summed_in_picos_and_rounded_once_up(void **state)
{
    (void)state;
    struct price_table *t = table_of(NULL);
    const struct price mini = found(t, "openai", "gpt-4o-mini"); // 150,000, 600,000 and cached 75,000 picos
    uint16_t unknown = 99;
    struct price_usage u = {.tokens = {[PRICE_INPUT] = 12, [PRICE_OUTPUT] = 34}};
    assert_int_equal(price_nanos(&mini, &u, &unknown), 12 * 150 + 34 * 600);
    assert_int_equal(unknown, 0);
    const struct price nova = found(t, "bedrock", "amazon.nova-micro-v1:0"); // 35,000; cached 8,750
    u = (struct price_usage){.tokens = {[PRICE_INPUT] = 1, [PRICE_CACHED_INPUT] = 3}};
    assert_int_equal(price_nanos(&nova, &u, NULL), 62); // 61.25
    u = (struct price_usage){0};
    assert_int_equal(price_nanos(&nova, &u, NULL), 0);
    const struct price rank = found(t, "cohere", "rerank-v3.5");
    u.searches = 3;
    assert_int_equal(price_nanos(&rank, &u, NULL), 6000000); // $0.002 each
    assert_false(rank.chat);
    price_table_free(t);
}

static void test_nanos__a_long_prompt_is_dearer_as_a_whole(void **state)
{
    (void)state;
    struct price_table *t = table_of(NULL);
    const struct price p =
        found(t, "anthropic", "claude-sonnet-4-5"); // 3 and 15; above 200,000: 6 and 22.5, cached 0.6
    struct price_usage u = {
        .tokens = {[PRICE_INPUT] = 150000, [PRICE_CACHED_INPUT] = 50000, [PRICE_OUTPUT] = 10}};
    assert_int_equal(price_nanos(&p, &u, NULL), 150000 * 3000 + 50000 * 300 + 10 * 15000);
    u.tokens[PRICE_CACHE_WRITE] = 1; // 200,001 tokens of prompt; its price rises from 3.75 as input does
    assert_int_equal(price_nanos(&p, &u, NULL), 150000 * INT64_C(6000) + 50000 * 600 + 7500 + 10 * 22500);
    price_table_free(t);
}

static void test_nanos__the_largest_counts_do_not_wrap(void **state)
{
    (void)state;
    struct price p = {0};
    struct price_usage u = {.searches = INT64_MAX};
    for (int c = 0; c < PRICE_CLASSES; c++) {
        p.pico[c] = p.above_pico[c] = PRICE_PICO_MAX;
        u.tokens[c] = INT64_MAX;
    }
    p.search_pico = PRICE_SEARCH_PICO_MAX;
    assert_true(price_complete(&p));
    assert_int_equal(price_nanos(&p, &u, NULL),
                     PRICE_CLASSES * INT64_C(1000000000000000) + INT64_C(1000000000000000));
}

static void test_complete__what_is_not_known_is_never_free(void **state)
{
    (void)state;
    struct price p = {.chat = true};
    for (int c = 0; c < PRICE_CLASSES; c++) p.pico[c] = p.above_pico[c] = PRICE_UNKNOWN;
    assert_false(price_complete(&p));
    p.pico[PRICE_INPUT] = 100;
    p.pico[PRICE_OUTPUT] = 400;
    assert_true(price_complete(&p));
    assert_int_equal(p.pico[PRICE_CACHED_INPUT], 100);
    assert_int_equal(p.pico[PRICE_REASONING], 400);
    struct price_usage u = {.tokens = {[PRICE_AUDIO_OUT] = 1000}};
    uint16_t unknown = 0;
    assert_int_equal(price_nanos(&p, &u, &unknown), 400);
    assert_int_equal(unknown, 1 << PRICE_AUDIO_OUT);
}

static void test_table__the_built_in_list_is_read_whole(void **state)
{
    (void)state;
    struct price_table *t = table_of(NULL);
    assert_int_equal(price_table_count(t), 94);
    const struct price p = found(t, "openai", "gpt-4o");
    assert_int_equal(p.context, 128000);
    assert_int_equal(p.max_output, 16384);
    assert_true(p.chat);
    price_table_free(t);
}

static void test_find__names_lead_to_rows(void **state)
{
    (void)state;
    struct price_table *t =
        table_of("{\"models\":[{\"provider\":\"vllm\",\"model\":\"llama-*\",\"input\":1,\"output\":2},"
                 "{\"provider\":\"vllm\",\"model\":\"llama-3*\",\"input\":3,\"output\":4},"
                 "{\"provider\":\"vllm\",\"model\":\"llama-3.1\",\"input\":5,\"output\":6},"
                 "{\"provider\":\"openai\",\"model\":\"gpt-4o\",\"input\":7,\"output\":8}]}");
    static const struct {
        const char *provider, *model;
        int64_t input; // picos; -1: no price
    } cases[] = {
        {"openai", "gpt-4o", 7000000}, // the file's row replaces the built-in one
        {"openai", "gpt-4o-mini", 150000},
        {"openai", "gpt-4o-mini-2024-07-18", 150000},
        {"openai", "gpt-4o-mini-20240718", 150000},
        {"openai", "gpt-4o-minis", -1},
        {"openai", "gpt-4o-mini-2024-07", -1},
        {"azure", "gpt-4o-mini", 150000},
        {"anthropic", "claude-3-haiku", 250000},
        {"anthropic", "claude-haiku-4-5-20251001", 1000000},
        {"vertex", "gemini-2.5-pro", 1250000},
        {"bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", 1100000},
        {"bedrock", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", 1100000},
        {"bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", 1000000},
        {"bedrock", "jp.anthropic.claude-sonnet-4-6", 3300000},
        {"bedrock", "us.amazon.nova-lite-v1:0", 60000},
        {"bedrock", "us.amazon.nova-2-lite-v1:0", 300000},
        {"bedrock", "nova-lite", 60000},
        {"bedrock", "us.unheard-of", -1},
        {"vllm", "llama-2", 1000000},
        {"vllm", "llama-3.2", 3000000},
        {"vllm", "llama-3.1", 5000000},
        {"ollama", "llama-3.1", -1},
        {"openai", "", -1},
        {"openai", "2024-07-18", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct price p = {0};
        const bool ok = price_find(t, span_str(cases[i].provider), span_str(cases[i].model), &p);
        if (ok != (cases[i].input >= 0) || (ok && p.pico[PRICE_INPUT] != cases[i].input))
            fail_msg("%s/%s: %d %ld", cases[i].provider, cases[i].model, ok, (long)p.pico[PRICE_INPUT]);
    }
    price_table_free(t);
}

static void test_read__a_bad_list_changes_nothing_and_says_why(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"models\":{}}",
        "{\"models\":[1]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\"}]}",
        "{\"models\":[{\"provider\":\"a\",\"input\":1,\"output\":1}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":-1,\"output\":1}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":\"1\",\"output\":1}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1001,\"output\":1}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"above\":{}}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1},{\"provider\":\"a\"}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"context\":1.5}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"quality_class\":6}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"speed_class\":\"swift\"}"
        "]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"capabilities\":"
        "\"tools\"}]}",
        "{\"models\":[{\"provider\":\"a\",\"model\":\"b\",\"input\":1,\"output\":1,\"description\":5}]}",
    };
    struct price_table *t = price_table_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char why[PRICE_WHY_BYTES] = "";
        assert_int_equal(price_table_read(t, span_str(bad[i]), why), RW_E_CONFIG);
        assert_true(why[0]);
        assert_int_equal(price_table_count(t), 0);
    }
    price_table_free(t);
}

// --- The catalogue.

static void test_about__is_found_like_the_price(void **state)
{
    (void)state;
    struct price_table *t = table_of(
        "{\"models\":[{\"provider\":\"x\",\"model\":\"m\",\"input\":1,\"output\":1,\"mode\":\"chat\","
        "\"capabilities\":[\"vision\",\"telepathy\"],\"speed_class\":\"slow\",\"quality_class\":4,"
        "\"description\":\"A \\u0022small\\u0022 one\"},"
        "{\"provider\":\"x\",\"model\":\"bare\",\"input\":1,\"output\":1,\"speed_class\":null}]}");
    const struct price_about *m = price_about(t, SPAN("x"), SPAN("m-2025-01-02"));
    assert_non_null(m);
    assert_int_equal(m->capabilities, 1u << PRICE_CAN_VISION);
    assert_int_equal(m->speed, PRICE_SLOW);
    assert_int_equal(m->quality, 4);
    assert_true(span_eq(m->description, SPAN("A \"small\" one")));
    const struct price_about *bare = price_about(t, SPAN("x"), SPAN("bare"));
    assert_true(bare && bare->speed == PRICE_SPEED_UNKNOWN && bare->quality == 0 && bare->mode.n == 0);
    assert_null(price_about(t, SPAN("x"), SPAN("n")));
    assert_non_null(price_about(t, SPAN("bedrock"), SPAN("eu.anthropic.claude-haiku-4-5-20251001-v1:0")));
    price_table_free(t);
}

static void want(struct span row, struct span name, enum json_type type)
{
    struct span value;
    if (!json_path(row, (const char *)name.p, &value) || json_type(value) != type)
        fail_msg("%.*s is missing in %.*s", SPAN_ARG(name), SPAN_ARG(row));
}

// Nothing without a source, or that nobody could choose by.
static void test_catalogue__each_row_is_whole(void **state)
{
    (void)state;
    struct span models, key, row, value;
    uint32_t n = 0;
    assert_true(json_path(provider_prices(), "models", &models));
    for (struct json_iter it = json_iter(models); json_next(&it, &key, &row); n++) {
        want(row, SPAN("input"), JSON_NUMBER);
        want(row, SPAN("output"), JSON_NUMBER);
        want(row, SPAN("context"), JSON_NUMBER);
        want(row, SPAN("source"), JSON_STRING);
        want(row, SPAN("mode"), JSON_STRING);
        want(row, SPAN("description"), JSON_STRING);
        want(row, SPAN("speed_class"), JSON_STRING);
        want(row, SPAN("quality_class"), JSON_NUMBER);
        if (json_path(row, "mode", &value) && span_eq(value, SPAN("\"chat\"")))
            want(row, SPAN("max_output"), JSON_NUMBER);
        if (json_path(row, "mode", &value) && span_eq(value, SPAN("\"rerank\"")))
            want(row, SPAN("per_search"), JSON_NUMBER);
    }
    assert_in_range(n, 90, PRICE_ROWS_MAX);
}

// --- Estimates.

static void test_worst__nothing_can_cost_more(void **state)
{
    (void)state;
    struct price_table *t = table_of(NULL);
    const struct price p = found(t, "anthropic", "claude-sonnet-4-5");
    struct estimate_ask ask = {.body_bytes = 1000, .max_tokens = 100, .n = 2};
    struct estimate e = estimate_worst(&ask, &p);
    assert_int_equal(e.input_tokens, 1000);
    assert_int_equal(e.output_tokens, 200);
    for (int in = 0; in < PRICE_AUDIO_IN; in++) {
        if (in == PRICE_OUTPUT || in == PRICE_REASONING) continue;
        struct price_usage u = {.tokens = {[PRICE_REASONING] = 100, [PRICE_OUTPUT] = 100}};
        u.tokens[in] += 1000;
        assert_true(price_nanos(&p, &u, NULL) <= e.nanos);
    }
    // Cache writes for an hour are the dearest input; not a nano more, so that a budget for a hundred lets in a hundred.
    assert_int_equal(e.nanos, 1000 * 6000 + 200 * 15000);
    ask.max_tokens = -1;
    assert_int_equal(estimate_worst(&ask, &p).output_tokens, 2 * 64000);
    ask.body_bytes =
        300000; // more than the model takes; and at the price of long prompts, which begins above 200,000
    e = estimate_worst(&ask, &p);
    assert_int_equal(e.input_tokens, 200000);
    ask = (struct estimate_ask){.body_bytes = 100, .parts_elsewhere = 1, .max_tokens = 10};
    assert_true(estimate_worst(&ask, NULL).input_tokens > ESTIMATE_PART_TOKENS);
    assert_int_equal(estimate_worst(&ask, NULL).nanos, 0);
    const struct price embedding = found(t, "openai", "text-embedding-3-small");
    assert_int_equal(estimate_worst(&ask, &embedding).output_tokens, 0);
    price_table_free(t);
}

static void test_clamp__the_most_that_fits(void **state)
{
    (void)state;
    struct price_table *t = table_of(NULL);
    const struct price p = found(t, "openai", "gpt-4o-mini");
    struct estimate_ask ask = {.body_bytes = 1000, .max_tokens = 5000, .n = 2};
    const int64_t whole = estimate_worst(&ask, &p).nanos;
    assert_int_equal(estimate_clamp(&ask, &p, whole), 5000);
    for (int64_t nanos = 0; nanos < whole; nanos += 40009) {
        const int64_t most = estimate_clamp(&ask, &p, nanos);
        struct estimate_ask clamped = ask;
        clamped.max_tokens = most;
        if (most >= 0) assert_true(estimate_worst(&clamped, &p).nanos <= nanos);
        clamped.max_tokens = most + 1;
        assert_true(estimate_worst(&clamped, &p).nanos > nanos);
    }
    price_table_free(t);
}

static void test_learn__finds_the_95th_percentile(void **state)
{
    (void)state;
    struct estimator *e = estimate_new();
    const struct estimate_ask ask = {.body_bytes = 100000, .max_tokens = -1};
    assert_int_equal(estimate_tokens(e, 1, 2, &ask), 25000 + ESTIMATE_FIRST_OUTPUT_TOKENS);
    uint64_t x = 88172645463325252u;
    int above = 0;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        const int64_t used = (int64_t)(x % 2000) + 100;
        if (i >= 2000) above += used > estimate_tokens(e, 1, 2, &ask);
        estimate_learn(e, 1, 2, used);
        estimate_learn(e, 2, 2, 7);
    }
    assert_in_range(above, 18000 * 3 / 100, 18000 * 7 / 100);
    assert_in_range(estimate_tokens(e, 2, 2, &ask), 7, 9);
    const struct estimate_ask small = {.body_bytes = 10, .max_tokens = 5};
    assert_int_equal(estimate_tokens(e, 1, 2, &small), 15); // never above what it can be
    estimate_free(e);
}

static void test_learn__the_table_keeps_what_is_used(void **state)
{
    (void)state;
    struct estimator *e = estimate_new();
    const struct estimate_ask ask = {.body_bytes = 1000, .max_tokens = 1000};
    for (uint64_t key = 1; key <= 100000; key++) {
        estimate_learn(e, 5, key, 3);
        estimate_learn(e, 5, 0, 3);
    }
    assert_in_range(estimate_tokens(e, 5, 0, &ask), 3, 5);
    assert_int_equal(estimate_tokens(e, 5, 1, &ask), 250 + ESTIMATE_FIRST_OUTPUT_TOKENS); // forgotten
    estimate_free(e);
}

static void test_nanos__of_tokens_in_and_out_by_the_short_way_as_by_the_long_one(void **state)
{
    (void)state;
    struct price p = {.above_tokens = 5000};
    uint32_t seed = 3;
    for (int c = 0; c < PRICE_CLASSES; c++)
        p.pico[c] = 1234567 * (c + 1), p.above_pico[c] = 2345679 * (c + 1);
    for (int i = 0; i < 20000; i++) {
        uint16_t unknown;
        struct price_usage u = {0};
        seed = seed * 1664525u + 1013904223u;
        u.tokens[PRICE_INPUT] = seed >> 8 & 0x3fff;
        u.tokens[PRICE_OUTPUT] = seed >> 20 & 0xfff;
        if (i % 5 == 0) u.tokens[i / 5 % PRICE_CLASSES] = seed >> 12 & 0xff;
        assert_int_equal(price_nanos(&p, &u, NULL), price_nanos(&p, &u, &unknown));
    }
    const struct price_usage most = {
        .tokens = {[PRICE_INPUT] = PRICE_TOKENS_MAX, [PRICE_OUTPUT] = PRICE_TOKENS_MAX}};
    p.above_pico[PRICE_INPUT] = p.above_pico[PRICE_OUTPUT] = PRICE_PICO_MAX;
    assert_int_equal(price_nanos(&p, &most, NULL), 2 * PRICE_TOKENS_MAX * (PRICE_PICO_MAX / 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nanos__of_tokens_in_and_out_by_the_short_way_as_by_the_long_one),
        cmocka_unit_test(test_decimal__exact_and_rounded_up),
        cmocka_unit_test(test_each__tells_each_row_once_as_it_holds),
        cmocka_unit_test(test_nanos__a_record_is_summed_in_picos_and_rounded_once_up),
        cmocka_unit_test(test_nanos__a_long_prompt_is_dearer_as_a_whole),
        cmocka_unit_test(test_nanos__the_largest_counts_do_not_wrap),
        cmocka_unit_test(test_complete__what_is_not_known_is_never_free),
        cmocka_unit_test(test_table__the_built_in_list_is_read_whole),
        cmocka_unit_test(test_find__names_lead_to_rows),
        cmocka_unit_test(test_read__a_bad_list_changes_nothing_and_says_why),
        cmocka_unit_test(test_worst__nothing_can_cost_more),
        cmocka_unit_test(test_about__is_found_like_the_price),
        cmocka_unit_test(test_catalogue__each_row_is_whole),
        cmocka_unit_test(test_clamp__the_most_that_fits),
        cmocka_unit_test(test_learn__finds_the_95th_percentile),
        cmocka_unit_test(test_learn__the_table_keeps_what_is_used),
    };
    return cmocka_run_group_tests_name("price", tests, NULL, NULL);
}
