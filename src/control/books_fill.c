// See books_fill.h.
#include "control/books_fill.h"

#include <stdlib.h>

#include "io/clock.h"
#include "policy/limit_account.h"
#include "store/usage.h"

struct fill {
    struct store_cells *cells;
    struct store_reader *accounts, *usage;
    enum store_kind kind;
    enum limit_level level;
    bool month; // else the day
    struct limit_time now;
    struct store_buf account, plan;
    enum rw_err err;
};

static void book(const struct fill *f, const struct limit_bound *bound, const struct store_sums *sums)
{
    if (f->month) {
        limit_book(bound, LIMIT_USD_MONTH, sums->cost_nanos, &f->now);
        return;
    }
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < STORE_TOKENS_COUNT; i++) tokens += sums->tokens[i];
    limit_book(bound, LIMIT_USD_DAY, sums->cost_nanos, &f->now);
    limit_book(bound, LIMIT_REQUESTS_DAY, (int64_t)sums->requests, &f->now);
    limit_book(bound, LIMIT_TOKENS_DAY, (int64_t)tokens, &f->now);
}

static enum rw_err fill_one(struct fill *f, const struct store_usage_row *row)
{
    struct store_account account, plan;
    struct limit_set set;
    struct limit_bound bound;
    const char *why;
    const enum rw_err found = store_account_get(f->accounts, f->kind, row->id, &f->account, &account);
    if (found == RW_E_NOT_FOUND) return RW_OK; // it was deleted
    RW_TRY(found);
    const bool has_plan = account.plan.n > 0;
    if (has_plan) RW_TRY(store_account_named(f->accounts, STORE_PLAN, account.plan, &f->plan, &plan));
    const struct limit_cfg cfg = limit_of_account(&account, has_plan ? &plan : NULL);
    if (limit_cfg_is_empty(&cfg)) return RW_OK;
    RW_TRY(limit_compile(&cfg, f->level, &set, &why));
    RW_TRY(limit_bind(f->cells, f->level, (struct limit_id){.lo = row->id}, &set, &bound));
    book(f, &bound, &row->sums);
    return RW_OK;
}

static bool fill_row(const struct store_usage_row *row, void *ctx)
{
    struct fill *f = ctx;
    f->err = row->id ? fill_one(f, row) : RW_OK;
    return f->err == RW_OK;
}

// Midnight of the month's first day.
static int64_t month_begin_ms(const struct limit_time *now)
{
    struct limit_time t = {0};
    uint32_t first = now->at.day;
    for (; first > 0; first--) {
        limit_time_at(&t, NULL, (first - 1) * LIMIT_DAY_NS);
        if (t.at.month != now->at.month) break;
    }
    return first * STORE_DAY_MS;
}

static enum rw_err fill_level(struct fill *f, enum store_kind kind, enum limit_level level,
                              enum store_group group)
{
    f->kind = kind;
    f->level = level;
    for (int month = 0; month < 2; month++) {
        f->month = month;
        const int64_t from_ms = month ? month_begin_ms(&f->now) : f->now.at.day * STORE_DAY_MS;
        RW_TRY(store_usage_since(f->usage, from_ms, group, fill_row, f));
        RW_TRY(f->err);
    }
    return RW_OK;
}

static enum rw_err fill_all(struct fill *f)
{
    RW_TRY(fill_level(f, STORE_KEY, LIMIT_KEY, STORE_BY_KEY));
    RW_TRY(fill_level(f, STORE_TEAM, LIMIT_TEAM, STORE_BY_TEAM));
    return fill_level(f, STORE_TENANT, LIMIT_TENANT, STORE_BY_TENANT);
}

enum rw_err books_fill(struct books *b)
{
    struct io_time t;
    struct fill f = {.cells = b->cells,
                     .account = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX},
                     .plan = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX}};
    struct store_cell *clock = limit_clock_cell(b->cells);
    enum rw_err err = f.account.p && f.plan.p && clock ? RW_OK : (enum rw_err) - ENOMEM;
    io_clock(&t);
    if (!err) limit_time_update(&f.now, clock, NULL, t.now_ns, t.wall_ns);
    if (!err) err = store_reader_open(b->store, STORE_ACCOUNTS, &f.accounts);
    if (!err) err = store_reader_open(b->store, STORE_USAGE, &f.usage);
    if (!err) err = fill_all(&f);
    if (f.accounts) store_reader_close(f.accounts);
    if (f.usage) store_reader_close(f.usage);
    free(f.account.p);
    free(f.plan.p);
    return err;
}
