// See books_fill.h.
#include "control/books_fill.h"

#include <stdlib.h>

#include "io/clock.h"
#include "policy/limit_account.h"
#include "store/usage.h"

struct fill {
    struct store_cells *cells;
    struct store_reader *accounts, *usage;
    struct limit_time now;
    struct store_buf account, plan;
    enum rw_err err;
    // At a start: rows of one level, of the running month or day.
    enum store_kind kind;
    bool month;
    // After a change.
    const struct store_account *changed;
    struct store_sums sums;
};

static enum limit_level level_of(enum store_kind kind)
{
    return kind == STORE_KEY ? LIMIT_KEY : kind == STORE_TEAM ? LIMIT_TEAM : LIMIT_TENANT;
}

// Those that were let in.
static int64_t requests_of(const struct store_sums *sums)
{
    return (int64_t)(sums->requests - sums->refused);
}

static int64_t tokens_of(const struct store_sums *sums)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < STORE_TOKENS_COUNT; i++) tokens += sums->tokens[i];
    return (int64_t)tokens;
}

// Midnight of the month's first day.
static uint32_t first_of_month(const struct limit_time *now)
{
    struct limit_time t = {0};
    uint32_t first = now->at.day;
    for (; first > 0; first--) {
        limit_time_at(&t, NULL, (first - 1) * LIMIT_DAY_NS);
        if (t.at.month != now->at.month) break;
    }
    return first;
}

static enum rw_err open_fill(struct store *s, struct store_cells *cells, struct fill *f)
{
    struct io_time t;
    struct store_cell *clock = limit_clock_cell(cells);
    *f = (struct fill){.cells = cells,
                       .account = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX},
                       .plan = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX}};
    if (!f->account.p || !f->plan.p || !clock) return (enum rw_err) - ENOMEM;
    io_clock(&t);
    limit_time_update(&f->now, clock, NULL, t.now_ns, t.wall_ns);
    RW_TRY(store_reader_open(s, STORE_ACCOUNTS, &f->accounts));
    return store_reader_open(s, STORE_USAGE, &f->usage);
}

static void close_fill(struct fill *f)
{
    if (f->accounts) store_reader_close(f->accounts);
    if (f->usage) store_reader_close(f->usage);
    free(f->account.p);
    free(f->plan.p);
}

// The limits of an account where they count. *ret_any: it has some.
static enum rw_err bind_account(struct fill *f, const struct store_account *a,
                                const struct store_account *plan, struct limit_set *set,
                                struct limit_bound *ret, bool *ret_any)
{
    struct store_account found;
    const char *why;
    if (!plan && a->plan.n) {
        RW_TRY(store_account_named(f->accounts, STORE_PLAN, a->plan, &f->plan, &found));
        plan = &found;
    }
    const struct limit_cfg cfg = limit_of_account(a, plan);
    const enum limit_level level = level_of((enum store_kind)a->kind);
    *ret_any = !limit_cfg_is_empty(&cfg);
    if (!*ret_any) return RW_OK;
    RW_TRY(limit_compile(&cfg, level, set, &why));
    return limit_bind(f->cells, level, (struct limit_id){.lo = a->id}, set, ret);
}

// --- At a start.

static enum rw_err fill_one(struct fill *f, const struct store_usage_row *row)
{
    struct store_account account;
    struct limit_set set;
    struct limit_bound bound;
    bool any;
    const enum rw_err found = store_account_get(f->accounts, f->kind, row->id, &f->account, &account);
    if (found == RW_E_NOT_FOUND) return RW_OK; // it was deleted
    RW_TRY(found);
    RW_TRY(bind_account(f, &account, NULL, &set, &bound, &any));
    if (!any) return RW_OK;
    if (f->month) {
        limit_book(&bound, LIMIT_USD_MONTH, row->sums.cost_nanos, &f->now);
        return RW_OK;
    }
    limit_book(&bound, LIMIT_USD_DAY, row->sums.cost_nanos, &f->now);
    limit_book(&bound, LIMIT_REQUESTS_DAY, requests_of(&row->sums), &f->now);
    limit_book(&bound, LIMIT_TOKENS_DAY, tokens_of(&row->sums), &f->now);
    return RW_OK;
}

static bool fill_row(const struct store_usage_row *row, void *ctx)
{
    struct fill *f = ctx;
    f->err = row->id ? fill_one(f, row) : RW_OK;
    return f->err == RW_OK;
}

static enum rw_err fill_level(struct fill *f, enum store_kind kind, enum store_group group)
{
    f->kind = kind;
    for (int month = 0; month < 2; month++) {
        f->month = month;
        const uint32_t first = month ? first_of_month(&f->now) : f->now.at.day;
        RW_TRY(store_usage_since(f->usage, first * STORE_DAY_MS, group, fill_row, f));
        RW_TRY(f->err);
    }
    return RW_OK;
}

enum rw_err books_fill(struct books *b)
{
    struct fill f;
    enum rw_err err = open_fill(b->store, b->cells, &f);
    if (!err) err = fill_level(&f, STORE_KEY, STORE_BY_KEY);
    if (!err) err = fill_level(&f, STORE_TEAM, STORE_BY_TEAM);
    if (!err) err = fill_level(&f, STORE_TENANT, STORE_BY_TENANT);
    close_fill(&f);
    return err;
}

// --- After a change.

static bool sum_up(const struct store_usage_row *row, void *ctx)
{
    struct fill *f = ctx;
    store_sums_add(&f->sums, &row->sums);
    return true;
}

static enum rw_err used_since(struct fill *f, uint32_t first_day, const struct store_usage_query *who)
{
    struct store_usage_query q = *who;
    q.first_day = first_day;
    q.last_day = f->now.at.day;
    f->sums = (struct store_sums){0};
    return store_usage_sum(f->usage, &q, sum_up, f);
}

static enum rw_err fill_bound(struct fill *f, const struct store_usage_query *who,
                              const struct limit_bound *bound)
{
    RW_TRY(used_since(f, f->now.at.day, who));
    limit_fill(bound, LIMIT_USD_DAY, f->sums.cost_nanos, &f->now);
    limit_fill(bound, LIMIT_REQUESTS_DAY, requests_of(&f->sums), &f->now);
    limit_fill(bound, LIMIT_TOKENS_DAY, tokens_of(&f->sums), &f->now);
    RW_TRY(used_since(f, first_of_month(&f->now), who));
    limit_fill(bound, LIMIT_USD_MONTH, f->sums.cost_nanos, &f->now);
    return RW_OK;
}

static enum rw_err fill_account(struct fill *f, const struct store_account *a,
                                const struct store_account *plan)
{
    struct limit_set set;
    struct limit_bound bound;
    struct store_usage_query who = {0};
    bool any;
    RW_TRY(bind_account(f, a, plan, &set, &bound, &any));
    if (a->kind == STORE_KEY) who.key = a->id;
    else if (a->kind == STORE_TEAM) who.team = a->id;
    else who.tenant = a->id;
    return any ? fill_bound(f, &who, &bound) : RW_OK;
}

// One that has the plan which changes.
static bool fill_follower(const struct store_account *a, void *ctx)
{
    struct fill *f = ctx;
    f->err = span_eq(a->plan, f->changed->name) ? fill_account(f, a, f->changed) : RW_OK;
    return f->err == RW_OK;
}

#define PAGE 1000

static enum rw_err fill_followers(struct fill *f, struct store *s)
{
    static const enum store_kind kinds[] = {STORE_KEY, STORE_TEAM, STORE_TENANT};
    struct store_reader *r;
    RW_TRY(store_reader_open(s, STORE_ACCOUNTS, &r));
    enum rw_err err = RW_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !err; i++) {
        uint32_t next = 0;
        do {
            err = store_account_list(r, kinds[i], 0, next, PAGE, fill_follower, f, &next);
            if (!err) err = f->err;
        } while (!err && next);
    }
    store_reader_close(r);
    return err;
}

enum rw_err books_fill_changed(struct store *s, struct store_cells *cells,
                               const struct store_account *changed)
{
    struct fill f;
    enum rw_err err = open_fill(s, cells, &f);
    f.changed = changed;
    if (!err) err = changed->kind == STORE_PLAN ? fill_followers(&f, s) : fill_account(&f, changed, NULL);
    close_fill(&f);
    return err;
}

// --- Of the configuration.

enum rw_err books_fill_bound(struct store *s, struct store_cells *cells, const struct store_usage_query *who,
                             const struct limit_bound *bound)
{
    struct fill f;
    enum rw_err err = open_fill(s, cells, &f);
    if (!err) err = fill_bound(&f, who, bound);
    close_fill(&f);
    return err;
}
