// GET /v1/usage?days=30&group_by=model: what the asker's own team has used. The sums are read on an offload thread: a query may
// look at many rows.
#include "gateway/exchange.h"
#include "feature/usage_report.h"
#include "gateway/worker.h"
#include "io/offload.h"
#include "wire/url.h"

#define DAYS 30
#define ROWS_MAX 1000
#define ANSWER_BYTES_MAX MIB(8)

// What the offload thread works on; nothing else is touched by it.
struct usage_job {
    struct store *store;
    struct span team_name;
    struct usage_ask ask;
    enum store_group by;
    struct budget budget;
    struct arena_pool pool;
    struct arena arena;
    struct json_out out;
};

static enum rw_err report(struct usage_job *j, struct store_reader *usage, struct store_reader *accounts)
{
    struct json_out *o = &j->out;
    json_out_object(o);
    // By the name that POST /admin/keys was told.
    json_out_key_string(o, SPAN("team_id"), j->team_name);
    json_out_key_string(o, SPAN("team_name"), j->team_name);
    RW_TRY(usage_report_summary(o, usage, &j->ask));
    RW_TRY(usage_report_groups(o, usage, accounts, &j->ask, j->by, ROWS_MAX));
    json_out_end(o);
    return json_out_done(o);
}

static int run(void *arg)
{
    struct usage_job *j = arg;
    struct store_reader *usage, *accounts;
    enum rw_err err = store_reader_open(j->store, STORE_USAGE, &usage);
    if (err) return err;
    err = store_reader_open(j->store, STORE_ACCOUNTS, &accounts);
    if (!err) {
        err = report(j, usage, accounts);
        store_reader_close(accounts);
    }
    store_reader_close(usage);
    return err;
}

static enum stage bad(struct exchange *x, const char *param, const char *text)
{
    x->param = param;
    return exchange_fail(x, END_BAD_FIELD, text);
}

static enum stage read_ask(struct exchange *x, struct usage_job *j)
{
    const struct span query = x->call->head.has_query ? http_query(&x->call->head) : SPAN("");
    struct span value;
    uint64_t days = DAYS;
    if (url_query_find(query, SPAN("days"), &value) > 0 &&
        (!span_u64(value, &days) || days < 1 || days > USAGE_DAYS_MAX))
        return bad(x, "days", "The parameter 'days' must be a whole number from 1 to 3660.");
    j->by = STORE_BY_MODEL;
    if (url_query_find(query, SPAN("group_by"), &value) > 0 &&
        (!usage_group_parse(value, &j->by) || j->by == STORE_BY_TENANT))
        return bad(x, "group_by", "The parameter 'group_by' must be model, provider, key, team, tag or day.");
    j->ask = (struct usage_ask){.wall_ms = x->worker->loop.wall_ns / CLOCK_MS,
                                .days = (uint32_t)days,
                                .tenant = x->principal->tenant_id,
                                .team = x->principal->team_id};
    return STAGE_GO;
}

static enum stage answer(struct exchange *x, struct usage_job *j)
{
    struct io_offload *offload = x->worker->cfg.offload;
    const int err = offload ? io_offload(offload, run, j) : run(j);
    if (err == -ECANCELED) return exchange_fail_client(x, err);
    if (err) return exchange_fail(x, END_OVERLOADED, "the usage cannot be read");
    const struct span body = json_out_flat(&j->out);
    if (!body.p) return exchange_fail(x, END_OVERLOADED, "memory");
    return exchange_reply(x, 200, SPAN("application/json"), body);
}

enum stage inform_usage(struct exchange *x)
{
    const struct principal *p = x->principal;
    struct store *store = x->worker->cfg.store;
    if (!store || !p->team_id)
        return exchange_fail(x, END_NO_ROUTE,
                             "usage is not kept, since this gateway runs without a data_dir");
    struct usage_job *j = arena_alloc(x->call->arena, sizeof *j);
    if (!j) return exchange_fail(x, END_OVERLOADED, "memory");
    memset(j, 0, sizeof *j);
    j->store = store;
    j->team_name = p->team;
    enum stage s = read_ask(x, j);
    if (s != STAGE_GO) return s;
    j->budget.limit = ANSWER_BYTES_MAX;
    arena_pool_init(&j->pool, &j->budget, 0);
    arena_init(&j->arena, &j->pool, ANSWER_BYTES_MAX);
    json_out_init(&j->out, &j->arena);
    s = answer(x, j);
    arena_done(&j->arena);
    arena_pool_done(&j->pool);
    return s;
}
