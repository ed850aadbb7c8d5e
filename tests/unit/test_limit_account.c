// limit_account: which of an account's and its plan's limits holds, field by field; and that whatever passes the check compiles,
// with any plan that passes it, by random records against limit_compile().
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "policy/limit_account.h"

#define USD INT64_C(1000000000)

static struct store_account plan_with(struct store_limits limits)
{
    return (struct store_account){.kind = STORE_PLAN, .limits = limits};
}

static struct store_account key_with(struct store_limits limits)
{
    return (struct store_account){.kind = STORE_KEY, .limits = limits};
}

// The rate of a window and unit; limit 0: there is none.
static struct limit_rate rate_in(const struct limit_cfg *cfg, enum limit_window window, bool tokens)
{
    for (uint32_t i = 0; i < cfg->rate_count; i++)
        if (cfg->rate[i].window == window && cfg->rate[i].tokens == tokens) return cfg->rate[i];
    return (struct limit_rate){.limit = 0};
}

static void test_of_account__without_limits_there_are_none(void **state)
{
    (void)state;
    const struct store_account key = key_with((struct store_limits){0}), plan = plan_with(key.limits);
    struct limit_cfg cfg = limit_of_account(&key, NULL);
    const struct limit_cfg none = limit_cfg_none();
    assert_memory_equal(&cfg, &none, sizeof cfg);
    assert_true(limit_cfg_is_empty(&cfg));
    cfg = limit_of_account(&key, &plan);
    assert_true(limit_cfg_is_empty(&cfg));
    assert_true(cfg.hard);
}

static void test_of_account__own_before_plan_field_by_field(void **state)
{
    (void)state;
    const struct store_account plan = plan_with((struct store_limits){
        .set = STORE_SET_CONCURRENCY | STORE_SET_USD_PER_DAY | STORE_SET_USD_PER_REQUEST | STORE_SET_HARD,
        .concurrency = 64,
        .usd_per_day_nanos = 10 * USD,
        .usd_per_request_nanos = 1 * USD,
        .hard = false,
        .rates_count = 3,
        .rates = {{.limit = 100, .window = STORE_SECOND},
                  {.limit = 600, .window = STORE_MINUTE},
                  {.limit = 90000, .window = STORE_MINUTE, .unit = STORE_TOKENS}}});
    const struct store_account key = key_with((struct store_limits){
        .set = STORE_SET_CONCURRENCY | STORE_SET_USD_PER_DAY | STORE_SET_USD_PER_MONTH | STORE_SET_SHADOW,
        .concurrency = 2,
        .usd_per_day_nanos = 0, // nothing that costs money: not the same as no limit
        .usd_per_month_nanos = 300 * USD,
        .shadow = true,
        .rates_count = 2,
        .rates = {{.limit = 60, .burst = 5, .window = STORE_MINUTE}, {.limit = 1000, .window = STORE_DAY}}});
    const struct limit_cfg cfg = limit_of_account(&key, &plan);
    assert_int_equal(cfg.concurrency, 2);
    assert_int_equal(cfg.usd_per_day, 0);
    assert_int_equal(cfg.usd_per_month, 300 * USD);
    assert_int_equal(cfg.usd_per_request, 1 * USD);
    assert_false(cfg.hard);
    assert_true(cfg.shadow);
    assert_int_equal(cfg.rpm, LIMIT_UNSET);
    assert_int_equal(cfg.rate_count, 4);
    assert_int_equal(rate_in(&cfg, LIMIT_SECOND, false).limit, 100);
    assert_int_equal(rate_in(&cfg, LIMIT_MINUTE, false).limit, 60);
    assert_int_equal(rate_in(&cfg, LIMIT_MINUTE, false).burst, 5);
    assert_int_equal(rate_in(&cfg, LIMIT_MINUTE, true).limit, 90000);
    assert_int_equal(rate_in(&cfg, LIMIT_DAY, false).limit, 1000);
    assert_false(limit_cfg_is_empty(&cfg));
    // What is enforced is what is said.
    struct limit_set set;
    const char *why = NULL;
    assert_int_equal(limit_compile(&cfg, LIMIT_KEY, &set, &why), RW_OK);
    assert_int_equal(set.count, 7); // concurrency, four rates, day, month; usd_per_request has no cell
    assert_int_equal(set.usd_per_request, 1 * USD);
}

static void test_of_account__hard_and_mode_of_its_own_beat_the_plans(void **state)
{
    (void)state;
    const struct store_limits soft = {.set = STORE_SET_HARD | STORE_SET_MODE | STORE_SET_SHADOW,
                                      .shadow = true,
                                      .mode = STORE_FIXED_WINDOW};
    const struct store_account plan = plan_with(soft), bare = key_with((struct store_limits){0}),
                               strict = key_with((struct store_limits){
                                   .set = STORE_SET_HARD | STORE_SET_MODE | STORE_SET_SHADOW, .hard = true});
    struct limit_cfg cfg = limit_of_account(&bare, &plan);
    assert_true(!cfg.hard && cfg.shadow && cfg.fixed_window);
    cfg = limit_of_account(&strict, &plan);
    assert_true(cfg.hard && !cfg.shadow && !cfg.fixed_window);
}

static void test_of_account__a_plans_burst_means_nothing_in_a_fixed_window(void **state)
{
    (void)state;
    const struct store_account plan = plan_with((struct store_limits){
        .rates_count = 1, .rates = {{.limit = 60, .burst = 10, .window = STORE_MINUTE}}});
    const struct store_account key =
        key_with((struct store_limits){.set = STORE_SET_MODE, .mode = STORE_FIXED_WINDOW});
    const struct limit_cfg cfg = limit_of_account(&key, &plan);
    struct limit_set set;
    const char *why = NULL;
    assert_int_equal(cfg.rate[0].burst, 0);
    assert_int_equal(limit_compile(&cfg, LIMIT_KEY, &set, &why), RW_OK);
}

static void test_check__names_the_field(void **state)
{
    (void)state;
    static const struct {
        struct store_limits limits;
        const char *field; // NULL: good
    } cases[] = {
        {{0}, NULL},
        {{.set = STORE_SET_CONCURRENCY, .concurrency = 1}, NULL},
        {{.set = STORE_SET_CONCURRENCY, .concurrency = 0}, "limits.concurrency"},
        {{.set = STORE_SET_CONCURRENCY, .concurrency = 1000000001}, "limits.concurrency"},
        {{.set = STORE_SET_USD_PER_DAY, .usd_per_day_nanos = LIMIT_USD_NANOS_MAX}, NULL},
        {{.set = STORE_SET_USD_PER_DAY, .usd_per_day_nanos = LIMIT_USD_NANOS_MAX + 1}, "limits.usd_per_day"},
        {{.set = STORE_SET_USD_PER_DAY, .usd_per_day_nanos = -1}, "limits.usd_per_day"},
        {{.set = STORE_SET_USD_PER_REQUEST, .usd_per_request_nanos = -1}, "limits.usd_per_request"},
        {{.set = STORE_SET_USD_PER_MONTH, .usd_per_month_nanos = LIMIT_USD_NANOS_MAX + 1},
         "limits.usd_per_month"},
        {{.rates_count = 1, .rates = {{.limit = 0, .window = STORE_MINUTE}}}, "limits.rpm"},
        {{.rates_count = 1, .rates = {{.limit = 2000000000, .window = STORE_MINUTE}}}, "limits.rpm"},
        {{.rates_count = 1, .rates = {{.limit = UINT64_MAX, .window = STORE_MINUTE, .unit = STORE_TOKENS}}},
         "limits.tpm"},
        {{.rates_count = 1, .rates = {{.limit = 5, .burst = 9, .window = STORE_DAY}}}, "limits.rates"},
        {{.rates_count = 1, .rates = {{.limit = 5, .window = STORE_DAY}}}, NULL},
        {{.rates_count = 2,
          .rates = {{.limit = 5, .window = STORE_HOUR}, {.limit = 6, .window = STORE_HOUR}}},
         "limits.rates"},
        {{.rates_count = 1, .rates = {{.limit = 60, .burst = 9, .window = STORE_MINUTE}}}, NULL},
        {{.set = STORE_SET_MODE,
          .mode = STORE_FIXED_WINDOW,
          .rates_count = 1,
          .rates = {{.limit = 60, .burst = 9, .window = STORE_MINUTE}}},
         "limits.rates"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *field = NULL, *why = NULL;
        const enum rw_err err = limit_account_check(&cases[i].limits, &field, &why);
        if (err != (cases[i].field ? RW_E_CONFIG : RW_OK)) fail_msg("case %zu: %d", i, err);
        if (!cases[i].field) continue;
        assert_string_equal(field, cases[i].field);
        assert_non_null(why);
    }
}

static uint64_t one_of(struct prng *r, const uint64_t *values, size_t n)
{
    return values[prng_next(r) % n];
}

static struct store_limits random_limits(struct prng *r)
{
    static const uint64_t numbers[] = {0,       1,          60,        100000,       10000000,  10000001,
                                       1000000, UINT32_MAX, 600000000, 864000000000, UINT64_MAX};
    static const uint64_t usd[] = {0, 1, 4000000000000000, 4000000000000001, UINT64_MAX};
    struct store_limits l = {.set = (uint32_t)prng_next(r) & STORE_SET_ALL};
    if (l.set & STORE_SET_CONCURRENCY) l.concurrency = (uint32_t)one_of(r, numbers, 11);
    if (l.set & STORE_SET_USD_PER_REQUEST) l.usd_per_request_nanos = (int64_t)one_of(r, usd, 5);
    if (l.set & STORE_SET_USD_PER_DAY) l.usd_per_day_nanos = (int64_t)one_of(r, usd, 5);
    if (l.set & STORE_SET_USD_PER_MONTH) l.usd_per_month_nanos = (int64_t)one_of(r, usd, 5);
    if (l.set & STORE_SET_HARD) l.hard = prng_next(r) & 1;
    if (l.set & STORE_SET_SHADOW) l.shadow = prng_next(r) & 1;
    if (l.set & STORE_SET_MODE) l.mode = prng_next(r) & 1;
    l.rates_count = (uint8_t)(prng_next(r) % 4);
    for (uint32_t i = 0; i < l.rates_count; i++)
        l.rates[i] = (struct store_rate){.limit = one_of(r, numbers, 11),
                                         .burst = prng_next(r) & 1 ? 0 : one_of(r, numbers, 11),
                                         .window = (uint8_t)(prng_next(r) % STORE_WINDOW_COUNT),
                                         .unit = (uint8_t)(prng_next(r) % STORE_UNIT_COUNT)};
    return l;
}

static void test_check__what_passes_compiles_with_whatever_plan_passes(void **state)
{
    (void)state;
    struct prng r;
    const char *field = NULL, *why = NULL;
    unsigned pairs = 0, refused = 0;
    prng_seed(&r, 7);
    struct store_account plan = plan_with((struct store_limits){0});
    for (int i = 0; i < 400000; i++) {
        const struct store_account a = key_with(random_limits(&r));
        if (limit_account_check(&a.limits, &field, &why)) {
            refused++;
            continue;
        }
        for (unsigned rolling = 0; rolling < 2; rolling++) {
            struct limit_cfg cfg = limit_of_account(&a, &plan);
            struct limit_set set;
            cfg.rolling = rolling;
            if (limit_compile(&cfg, LIMIT_TENANT, &set, &why)) fail_msg("record %d: %s", i, why);
        }
        plan.limits = a.limits;
        pairs++;
    }
    assert_true(pairs > 1000 && refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_account__without_limits_there_are_none),
        cmocka_unit_test(test_of_account__own_before_plan_field_by_field),
        cmocka_unit_test(test_of_account__hard_and_mode_of_its_own_beat_the_plans),
        cmocka_unit_test(test_of_account__a_plans_burst_means_nothing_in_a_fixed_window),
        cmocka_unit_test(test_check__names_the_field),
        cmocka_unit_test(test_check__what_passes_compiles_with_whatever_plan_passes),
    };
    return cmocka_run_group_tests_name("limit_account", tests, NULL, NULL);
}
