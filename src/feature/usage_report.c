// See usage_report.h. Of the groups only the largest are kept, in a heap whose root is the smallest, so that a million keys need
// no more room than the rows that are shown.
#include "feature/usage_report.h"

#include <stdlib.h>
#include <time.h>

#include "base/fmt.h"
#include "store/accounts.h"

static const char *const group_names[] = {
    [STORE_BY_DAY] = "day", [STORE_BY_TENANT] = "tenant", [STORE_BY_TEAM] = "team",
    [STORE_BY_KEY] = "key", [STORE_BY_MODEL] = "model",   [STORE_BY_PROVIDER] = "provider",
    [STORE_BY_TAG] = "tag"};

static const char *const token_names[STORE_TOKENS_COUNT] = {[STORE_TOKENS_INPUT] = "input",
                                                            [STORE_TOKENS_CACHE_READ] = "cached_input",
                                                            [STORE_TOKENS_CACHE_WRITE] = "cache_write",
                                                            [STORE_TOKENS_OUTPUT] = "output",
                                                            [STORE_TOKENS_REASONING] = "reasoning",
                                                            [STORE_TOKENS_AUDIO] = "audio",
                                                            [STORE_TOKENS_IMAGE] = "image",
                                                            [STORE_TOKENS_OTHER] = "other"};

bool usage_group_parse(struct span name, enum store_group *ret)
{
    for (int i = STORE_BY_DAY; i <= STORE_BY_TAG; i++) {
        if (!span_eq(name, span_str(group_names[i]))) continue;
        *ret = (enum store_group)i;
        return true;
    }
    return false;
}

const char *usage_group_name(enum store_group group)
{
    MUST(group >= STORE_BY_DAY && group <= STORE_BY_TAG);
    return group_names[group];
}

const char *usage_tokens_name(enum store_tokens class)
{
    MUST(class < STORE_TOKENS_COUNT);
    return token_names[class];
}

uint64_t usage_tokens_in(const struct store_sums *s)
{
    return s->tokens[STORE_TOKENS_INPUT] + s->tokens[STORE_TOKENS_CACHE_READ] +
        s->tokens[STORE_TOKENS_CACHE_WRITE] + s->tokens[STORE_TOKENS_IMAGE] + s->tokens[STORE_TOKENS_AUDIO];
}

uint64_t usage_tokens_out(const struct store_sums *s)
{
    return s->tokens[STORE_TOKENS_OUTPUT] + s->tokens[STORE_TOKENS_REASONING];
}

uint64_t usage_tokens_all(const struct store_sums *s)
{
    uint64_t all = 0;
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) all += s->tokens[i];
    return all;
}

// --- Pieces.

static struct store_usage_query query_of(const struct usage_ask *ask, enum store_group group)
{
    MUST(ask->days > 0 && ask->days <= USAGE_DAYS_MAX);
    const uint32_t today = store_day(ask->wall_ms);
    return (struct store_usage_query){.first_day = today >= ask->days ? today - ask->days + 1 : 0,
                                      .last_day = today,
                                      .tenant = ask->tenant,
                                      .team = ask->team,
                                      .key = ask->key,
                                      .model = ask->model,
                                      .provider = ask->provider,
                                      .tag = ask->tag,
                                      .group = group};
}

static void write_date(struct json_out *o, struct span key, uint32_t day)
{
    char text[16];
    const time_t seconds = (time_t)day * 86400;
    struct tm tm;
    MUST(gmtime_r(&seconds, &tm));
    json_out_key_string(o, key, span_of(text, strftime(text, sizeof text, "%Y-%m-%d", &tm)));
}

static void write_decimal(struct json_out *o, struct span key, int64_t v, uint32_t decimals)
{
    char text[FMT_DECIMAL_BYTES];
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    fmt_decimal(&f, v, decimals);
    json_out_key_raw(o, key, fmt_text(&f));
}

static void write_nonzero(struct json_out *o, struct span key, uint64_t v)
{
    if (v) json_out_key_u64(o, key, v);
}

// The four that every row has; then what is seldom, where there is any.
static void write_sums(struct json_out *o, const struct store_sums *s)
{
    json_out_key_u64(o, SPAN("requests"), s->requests);
    json_out_key_u64(o, SPAN("input_tokens"), usage_tokens_in(s));
    json_out_key_u64(o, SPAN("output_tokens"), usage_tokens_out(s));
    write_decimal(o, SPAN("cost_usd"), s->cost_nanos, 9);
    if (s->cache_hits) {
        json_out_key_u64(o, SPAN("cache_hits"), s->cache_hits);
        write_decimal(o, SPAN("saved_usd"), s->saved_nanos, 9);
    }
    write_nonzero(o, SPAN("failed"), s->failed);
    write_nonzero(o, SPAN("estimated"), s->estimated);
    write_nonzero(o, SPAN("unpriced"), s->unpriced);
}

// --- Summary.

struct daily {
    struct json_out *o;
    struct store_sums total;
};

static bool on_day(const struct store_usage_row *row, void *ctx)
{
    struct daily *d = ctx;
    store_sums_add(&d->total, &row->sums);
    json_out_object(d->o);
    write_date(d->o, SPAN("date"), row->day);
    write_sums(d->o, &row->sums);
    json_out_end(d->o);
    return !d->o->failed;
}

static void write_summary(struct json_out *o, const struct store_sums *s, uint32_t days)
{
    const uint64_t tokens = usage_tokens_all(s);
    json_out_key_object(o, SPAN("summary"));
    json_out_key_u64(o, SPAN("total_requests"), s->requests);
    json_out_key_u64(o, SPAN("total_input_tokens"), usage_tokens_in(s));
    json_out_key_u64(o, SPAN("total_output_tokens"), usage_tokens_out(s));
    json_out_key_u64(o, SPAN("total_tokens"), tokens);
    write_decimal(o, SPAN("total_cost_usd"), s->cost_nanos, 9);
    write_decimal(o, SPAN("avg_daily_cost_usd"), s->cost_nanos / days, 9);
    write_decimal(o, SPAN("avg_tokens_per_request"), s->requests ? (int64_t)(tokens * 100 / s->requests) : 0,
                  2);
    json_out_key_object(o, SPAN("tokens"));
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) write_nonzero(o, span_str(token_names[i]), s->tokens[i]);
    json_out_end(o);
    json_out_key_u64(o, SPAN("failed"), s->failed);
    json_out_key_u64(o, SPAN("cut"), s->cut);
    json_out_key_u64(o, SPAN("crashed"), s->crashed);
    json_out_key_u64(o, SPAN("estimated"), s->estimated);
    json_out_key_u64(o, SPAN("unpriced"), s->unpriced);
    json_out_key_u64(o, SPAN("cache_hits"), s->cache_hits);
    write_decimal(o, SPAN("saved_usd"), s->saved_nanos, 9);
    json_out_key_u64(o, SPAN("other_attempts"), s->attempts);
    json_out_end(o);
}

enum rw_err usage_report_summary(struct json_out *o, struct store_reader *usage, const struct usage_ask *ask)
{
    const struct store_usage_query q = query_of(ask, STORE_BY_DAY);
    struct daily d = {.o = o};
    json_out_key_object(o, SPAN("period"));
    json_out_key_u64(o, SPAN("days"), ask->days);
    write_date(o, SPAN("start"), q.first_day);
    write_date(o, SPAN("end"), q.last_day);
    json_out_end(o);
    json_out_key_array(o, SPAN("daily"));
    RW_TRY(store_usage_sum(usage, &q, on_day, &d));
    json_out_end(o);
    write_summary(o, &d.total, ask->days);
    return RW_OK;
}

// --- Groups.

struct row {
    uint32_t day, id;
    uint32_t text_n;
    uint8_t text[STORE_TEXT_BYTES_MAX];
    struct store_sums sums;
};

struct rows {
    struct row *at;
    uint32_t n, max;
    bool by_day; // in the order of the days, of which all are kept
    uint64_t others; // rows that are not kept
    struct store_sums others_sums;
};

// Which of two rows is shown first: below 0 the first. Never 0 but for one and the same.
static int order(const struct rows *all, const struct row *a, const struct row *b)
{
    if (all->by_day) return a->day < b->day ? -1 : a->day > b->day;
    if (a->sums.requests != b->sums.requests) return a->sums.requests > b->sums.requests ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    const uint32_t n = a->text_n < b->text_n ? a->text_n : b->text_n;
    const int c = memcmp(a->text, b->text, n);
    return c ? c : (a->text_n > b->text_n) - (a->text_n < b->text_n);
}

// The heap's root is what would be shown last.
static void sift_down(struct rows *all, uint32_t i, uint32_t n)
{
    for (uint32_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        if (child + 1 < n && order(all, &all->at[child], &all->at[child + 1]) < 0) child++;
        if (order(all, &all->at[i], &all->at[child]) >= 0) return;
        const struct row swap = all->at[i];
        all->at[i] = all->at[child];
        all->at[child] = swap;
    }
}

static void sift_up(struct rows *all, uint32_t i)
{
    while (i && order(all, &all->at[(i - 1) / 2], &all->at[i]) < 0) {
        const struct row swap = all->at[i];
        all->at[i] = all->at[(i - 1) / 2];
        i = (i - 1) / 2;
        all->at[i] = swap;
    }
}

static bool on_group(const struct store_usage_row *given, void *ctx)
{
    struct rows *all = ctx;
    struct row row = {.day = given->day, .id = given->id, .sums = given->sums};
    row.text_n = given->text.n < sizeof row.text ? given->text.n : (uint32_t)sizeof row.text;
    if (row.text_n) memcpy(row.text, given->text.p, row.text_n);
    if (all->n < all->max) {
        all->at[all->n] = row;
        sift_up(all, all->n++);
        return true;
    }
    const struct row *out = order(all, &row, &all->at[0]) < 0 ? &all->at[0] : &row;
    store_sums_add(&all->others_sums, &out->sums);
    all->others++;
    if (out == &row) return true;
    all->at[0] = row;
    sift_down(all, 0, all->n);
    return true;
}

// The first shown first.
static void heap_sort(struct rows *all)
{
    for (uint32_t n = all->n; n > 1; n--) {
        const struct row last = all->at[0];
        all->at[0] = all->at[n - 1];
        all->at[n - 1] = last;
        sift_down(all, 0, n - 1);
    }
}

static void write_account(struct json_out *o, struct store_reader *accounts, enum store_group by, uint32_t id)
{
    const enum store_kind kind = by == STORE_BY_KEY ? STORE_KEY
        : by == STORE_BY_TEAM                       ? STORE_TEAM
                                                    : STORE_TENANT;
    char name[STORE_NAME_BYTES_MAX], digits[FMT_U64_BYTES];
    const int64_t n = id ? store_account_label(accounts, kind, id, name) : 0;
    struct fmt f;
    fmt_init(&f, digits, sizeof digits);
    fmt_u64(&f, id);
    json_out_key_string(o, span_str(group_names[by]),
                        n > 0         ? span_of(name, (size_t)n)
                            : id == 0 ? SPAN("(configuration)")
                                      : fmt_text(&f));
    json_out_key_string(o, SPAN("id"), fmt_text(&f));
}

static void write_row(struct json_out *o, struct store_reader *accounts, enum store_group by,
                      const struct row *row)
{
    json_out_object(o);
    if (by == STORE_BY_DAY) write_date(o, SPAN("day"), row->day);
    else if (by == STORE_BY_KEY || by == STORE_BY_TEAM || by == STORE_BY_TENANT)
        write_account(o, accounts, by, row->id);
    else json_out_key_string(o, span_str(group_names[by]), span_of(row->text, row->text_n));
    write_sums(o, &row->sums);
    json_out_end(o);
}

enum rw_err usage_report_groups(struct json_out *o, struct store_reader *usage, struct store_reader *accounts,
                                const struct usage_ask *ask, enum store_group by, uint32_t rows_max)
{
    char name[32];
    struct fmt f;
    MUST(rows_max > 0 && rows_max <= USAGE_ROWS_MAX);
    const struct store_usage_query q = query_of(ask, by);
    struct rows all = {.max = by == STORE_BY_DAY ? ask->days : rows_max, .by_day = by == STORE_BY_DAY};
    all.at = arena_alloc(o->arena, all.max * (uint32_t)sizeof *all.at);
    if (!all.at) return RW_E_BUDGET;
    RW_TRY(store_usage_sum(usage, &q, on_group, &all));
    heap_sort(&all);
    fmt_init(&f, name, sizeof name);
    fmt_str(&f, "by_");
    fmt_str(&f, usage_group_name(by));
    json_out_key_array(o, fmt_text(&f));
    for (uint32_t i = 0; i < all.n && !o->failed; i++) write_row(o, accounts, by, &all.at[i]);
    json_out_end(o);
    if (!all.others) return RW_OK;
    fmt_str(&f, "_others");
    json_out_key_object(o, fmt_text(&f));
    json_out_key_u64(o, SPAN("rows"), all.others);
    write_sums(o, &all.others_sums);
    json_out_end(o);
    return RW_OK;
}
