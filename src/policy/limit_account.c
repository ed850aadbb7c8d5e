// See limit_account.h.
#include "policy/limit_account.h"

static_assert((int)LIMIT_SECOND == (int)STORE_SECOND && (int)LIMIT_MINUTE == (int)STORE_MINUTE &&
                  (int)LIMIT_HOUR == (int)STORE_HOUR && (int)LIMIT_DAY == (int)STORE_DAY,
              "the windows of store/ and policy/ are the same");
static_assert(LIMIT_RATES_MAX == STORE_WINDOW_COUNT * STORE_UNIT_COUNT,
              "each window once, of requests and of tokens");

static int64_t clamp(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static struct limit_rate rate_of(const struct store_rate *r, bool fixed)
{
    return (struct limit_rate){.window = (enum limit_window)r->window,
                               .tokens = r->unit == STORE_TOKENS,
                               .limit = clamp(r->limit),
                               .burst = fixed || r->window == STORE_DAY ? 0 : clamp(r->burst)};
}

// Adds those of the rates whose window and unit has none yet.
static void add_rates(struct limit_cfg *cfg, const struct store_limits *l)
{
    for (uint32_t i = 0; i < l->rates_count; i++) {
        const struct limit_rate rate = rate_of(&l->rates[i], cfg->fixed_window);
        uint32_t k = 0;
        while (k < cfg->rate_count &&
               (cfg->rate[k].window != rate.window || cfg->rate[k].tokens != rate.tokens))
            k++;
        if (k < cfg->rate_count) continue;
        MUST(cfg->rate_count < LIMIT_RATES_MAX);
        cfg->rate[cfg->rate_count++] = rate;
    }
}

// Lays what l says over cfg.
static void lay_over(struct limit_cfg *cfg, const struct store_limits *l)
{
    if (l->set & STORE_SET_CONCURRENCY) cfg->concurrency = l->concurrency;
    if (l->set & STORE_SET_USD_PER_REQUEST) cfg->usd_per_request = l->usd_per_request_nanos;
    if (l->set & STORE_SET_USD_PER_DAY) cfg->usd_per_day = l->usd_per_day_nanos;
    if (l->set & STORE_SET_USD_PER_MONTH) cfg->usd_per_month = l->usd_per_month_nanos;
    if (l->set & STORE_SET_HARD) cfg->hard = l->hard;
    if (l->set & STORE_SET_SHADOW) cfg->shadow = l->shadow;
    if (l->set & STORE_SET_MODE) cfg->fixed_window = l->mode == STORE_FIXED_WINDOW;
}

struct limit_cfg limit_of_account(const struct store_account *account, const struct store_account *plan)
{
    struct limit_cfg cfg = limit_cfg_none();
    MUST(account->kind != STORE_PLAN && (!plan || plan->kind == STORE_PLAN));
    if (plan) lay_over(&cfg, &plan->limits);
    lay_over(&cfg, &account->limits);
    add_rates(&cfg, &account->limits);
    if (plan) add_rates(&cfg, &plan->limits);
    return cfg;
}

bool limit_cfg_is_empty(const struct limit_cfg *cfg)
{
    return cfg->rate_count == 0 && cfg->rpm == LIMIT_UNSET && cfg->tpm == LIMIT_UNSET &&
        cfg->concurrency == LIMIT_UNSET && cfg->usd_per_request == LIMIT_UNSET &&
        cfg->usd_per_day == LIMIT_UNSET && cfg->usd_per_month == LIMIT_UNSET;
}

// --- Checking: each field is compiled by itself, so that the one that is wrong can be named.

static bool compiles(const struct limit_cfg *cfg, const char **ret_why)
{
    struct limit_set set;
    return limit_compile(cfg, LIMIT_KEY, &set, ret_why) == RW_OK;
}

static const char *rate_field(const struct store_rate *r)
{
    if (r->window != STORE_MINUTE || r->burst) return "limits.rates";
    return r->unit == STORE_TOKENS ? "limits.tpm" : "limits.rpm";
}

static bool rates_are_good(const struct store_limits *l, const char **ret_field, const char **ret_why)
{
    struct limit_cfg all = limit_cfg_none();
    for (uint32_t i = 0; i < l->rates_count; i++) {
        const struct store_rate *r = &l->rates[i];
        struct limit_cfg one = limit_cfg_none();
        *ret_field = rate_field(r);
        one.rate_count = 1;
        one.rate[0] = rate_of(r, false);
        one.rate[0].burst = clamp(r->burst); // of a day, too: to be refused, not to be forgotten
        // As token buckets in any case, whose bounds are the narrower ones: another record may say which mode it is.
        if (!compiles(&one, ret_why)) return false;
        one.fixed_window = (l->set & STORE_SET_MODE) && l->mode == STORE_FIXED_WINDOW;
        if (!compiles(&one, ret_why)) return false;
        all.rate[all.rate_count++] = one.rate[0];
        if (!compiles(&all, ret_why)) return false;
    }
    return true;
}

static bool money_is_good(int64_t nanos)
{
    return nanos >= 0 && nanos <= LIMIT_USD_NANOS_MAX;
}

enum rw_err limit_account_check(const struct store_limits *l, const char **ret_field, const char **ret_why)
{
    static const char *const money = "a budget is from 0 to 4 million USD";
    const char *field = NULL, *why = money;
    struct limit_cfg slots = limit_cfg_none();
    MUST(l->rates_count <= STORE_RATES_MAX);
    if (l->set & STORE_SET_CONCURRENCY) slots.concurrency = l->concurrency;
    // A month of the calendar could have more; a rolling one could not.
    if (!money_is_good(l->usd_per_request_nanos)) field = "limits.usd_per_request";
    else if (!money_is_good(l->usd_per_day_nanos)) field = "limits.usd_per_day";
    else if (!money_is_good(l->usd_per_month_nanos)) field = "limits.usd_per_month";
    else if (!compiles(&slots, &why)) field = "limits.concurrency";
    else if (rates_are_good(l, &field, &why)) return RW_OK;
    *ret_field = field;
    *ret_why = why;
    return RW_E_CONFIG;
}
