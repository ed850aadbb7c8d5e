// See account_text.h and account.h.
#include "gateway/account_text.h"

#include "base/fmt.h"
#include "gateway/worker.h"
#include "providers/dialect.h"

#define REASON_BYTES 320
#define USD_DECIMALS 9

// --- Refusals.

static void whose(struct fmt *f, const struct exchange *x, enum limit_level level)
{
    const struct principal *p = x->principal;
    static const char *const before[LIMIT_LEVELS] = {"API key '", "team '", "tenant '", "model '", "", ""};
    const struct span name[LIMIT_LEVELS] = {p->name, p->team, p->tenant, x->model_asked};
    if (level == LIMIT_GLOBAL) fmt_str(f, "this gateway");
    else if (level == LIMIT_END_USER) fmt_str(f, "this end user");
    else {
        fmt_str(f, before[level]);
        fmt_span(f, name[level]);
        fmt_char(f, '\'');
    }
}

// "600 requests per minute", "5.00 USD per day".
static void how_much(struct fmt *f, const struct limit_refusal *why)
{
    const char *what = limit_what_name(why->what);
    if (limit_what_is_money(why->what)) fmt_decimal(f, why->limit, USD_DECIMALS);
    else fmt_u64(f, (uint64_t)why->limit);
    fmt_char(f, ' ');
    fmt_str(f, what);
}

static void count_refusal(struct metrics *m, const struct limit_refusal *why)
{
    static_assert((int)METRIC_LEVEL_COUNT == (int)LIMIT_LEVELS, "a label each");
    const enum metric_limit what = why->what == LIMIT_CONCURRENCY ? METRIC_LIMIT_CONCURRENCY
        : limit_what_is_money(why->what)                          ? METRIC_LIMIT_MONEY
        : why->what >= LIMIT_TOKENS_SECOND                        ? METRIC_LIMIT_TOKENS
                                                                  : METRIC_LIMIT_REQUESTS;
    if (m) metric_add(m, METRIC_LIMITED, (uint32_t)why->level * METRIC_LIMIT_COUNT + what, 1);
}

// The next whole second, for retry-after.
static uint32_t seconds(int64_t ns)
{
    const int64_t s = (ns + CLOCK_SEC - 1) / CLOCK_SEC;
    return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

enum stage account_refuse(struct exchange *x, const struct limit_refusal *why)
{
    count_refusal(x->worker->cfg.metrics, why);
    char *text = arena_alloc(x->call->arena, REASON_BYTES);
    if (!text) return exchange_fail(x, END_OVERLOADED, "memory");
    struct fmt f;
    fmt_init(&f, text, REASON_BYTES - 1);
    const bool money = limit_what_is_money(why->what);
    if (why->what == LIMIT_USD_REQUEST)
        fmt_str(&f, "This request may cost more than is allowed for one. Limit of ");
    else fmt_str(&f, money ? "The budget is used up. Limit of " : "Too many. Limit of ");
    whose(&f, x, why->level);
    fmt_str(&f, ": ");
    how_much(&f, why);
    fmt_str(&f, ". ");
    if (why->what == LIMIT_USD_REQUEST) {
        fmt_str(&f, "Ask for fewer tokens (max_tokens), or have the limit raised.");
    } else if (money) {
        fmt_str(&f, "It is renewed in ");
        fmt_duration_go(&f, why->reset_ns);
        fmt_str(&f, "; or have it raised.");
    } else {
        fmt_str(&f, "Try again in ");
        fmt_duration_go(&f, why->wait_ns);
        fmt_char(&f, '.');
        x->retry_after_s = seconds(why->wait_ns);
    }
    text[f.n] = 0;
    return exchange_fail(x, money ? END_BUDGET : END_RATE_LIMITED, text);
}

// --- Lines of the answer's head.

// Of the limits in requests and in tokens, each of OpenAI and of Anthropic.
struct line_names {
    const char *limit, *remaining, *reset;
};
static const struct line_names names[2][2] = {
    {{"x-ratelimit-limit-requests: ", "x-ratelimit-remaining-requests: ", "x-ratelimit-reset-requests: "},
     {"anthropic-ratelimit-requests-limit: ", "anthropic-ratelimit-requests-remaining: ",
      "anthropic-ratelimit-requests-reset: "}},
    {{"x-ratelimit-limit-tokens: ", "x-ratelimit-remaining-tokens: ", "x-ratelimit-reset-tokens: "},
     {"anthropic-ratelimit-tokens-limit: ", "anthropic-ratelimit-tokens-remaining: ",
      "anthropic-ratelimit-tokens-reset: "}}};

static void make_text(struct worker_limit_text *t, const struct line_names *n, int64_t limit)
{
    struct fmt front, middle;
    fmt_init(&front, t->front, sizeof t->front);
    fmt_str(&front, n->limit);
    fmt_i64(&front, limit);
    fmt_str(&front, "\r\n");
    fmt_str(&front, n->remaining);
    fmt_init(&middle, t->middle, sizeof t->middle);
    fmt_str(&middle, "\r\n");
    fmt_str(&middle, n->reset);
    MUST(!front.overflow && !middle.overflow);
    t->front_bytes = front.n;
    t->middle_bytes = middle.n;
    t->limit = limit;
}

// The longest view, with what is copied too much.
#define VIEW_BYTES \
    (sizeof((struct worker_limit_text *)0)->front + FMT_U64_BYTES + \
     sizeof((struct worker_limit_text *)0)->middle + FMT_DURATION_BYTES + 2)
static_assert(2 * VIEW_BYTES + 128 <= ACCOUNT_LINES_BYTES, "both views, what was clamped and what it cost");

static inline char *put_end(char *at)
{
    memcpy(at, "\r\n", 2);
    return at + 2;
}

static char *view_lines(char *at, const struct exchange *x, const struct limit_view *v, bool tokens,
                        bool anthropic)
{
    if (!v->limit) return at;
    struct worker *w = x->worker;
    struct worker_limit_text *t = &w->limit_text[tokens][anthropic];
    if (RW_UNLIKELY(t->limit != v->limit)) make_text(t, &names[tokens][anthropic], v->limit);
    memcpy(at, t->front, sizeof t->front);
    at = fmt_raw_u64(at + t->front_bytes, v->remaining > 0 ? (uint64_t)v->remaining : 0);
    memcpy(at, t->middle, sizeof t->middle);
    at += t->middle_bytes;
    return put_end(anthropic ? fmt_raw_time_iso(at, &w->access.clock, w->loop.wall_ns + v->reset_ns)
                             : fmt_raw_duration_go(at, v->reset_ns));
}

struct span account_lines(struct exchange *x)
{
    static const char clamped[] = "x-ringway-clamped: ", cost[] = "x-ringway-cost-usd: ";
    const struct account *a = x->account;
    const struct limit *l = &a->limit;
    const bool priced = a->closed && a->price && x->asked;
    if (!l->requests.limit && !l->tokens.limit && !priced && !x->clamped) return (struct span){NULL, 0};
    char *text = arena_alloc(x->call->arena, ACCOUNT_LINES_BYTES);
    if (!text) return (struct span){NULL, 0};
    const bool theirs = x->route->dialect == &dialect_anthropic;
    char *at = view_lines(text, x, &l->requests, false, theirs);
    at = view_lines(at, x, &l->tokens, true, theirs);
    if (x->clamped) {
        memcpy(at, clamped, sizeof clamped - 1);
        at = put_end(fmt_raw_u64(at + sizeof clamped - 1, (uint64_t)x->max_tokens));
    }
    if (priced) {
        memcpy(at, cost, sizeof cost - 1);
        at = put_end(fmt_raw_decimal(at + sizeof cost - 1, a->cost_nanos, USD_DECIMALS));
    }
    return span_of(text, (size_t)(at - text));
}

// --- Metrics.

void account_count(struct exchange *x, const struct price_usage *used)
{
    struct metrics *m = x->worker->cfg.metrics;
    const struct account *a = x->account;
    const uint32_t row = x->model ? x->model->model_row : METRIC_ROW_NONE;
    if (!m) return;
    if (a->cost_nanos > 0) metric_add(m, METRIC_COST, metric_label(row, 0), (uint64_t)a->cost_nanos);
    if (!a->price && (used->tokens[PRICE_INPUT] || used->tokens[PRICE_OUTPUT]))
        metric_add(m, METRIC_UNPRICED, metric_label(row, 0), 1);
}
