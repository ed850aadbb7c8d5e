// Usage in sums: GET /admin/v1/usage?days=30&group_by=model&team=research&limit=1000. See feature/usage_report.h for the answer.
#include "control/admin.h"
#include "feature/usage_report.h"

#define DAYS 30
#define ROWS 1000

// The id of a filter on tenants, teams or keys. What was deleted can still be asked for by its id.
static bool id_filter(struct admin_call *c, struct store_reader *accounts, struct span name,
                      enum store_kind kind, uint32_t *ret_id)
{
    const struct span value = admin_query(c, name);
    struct store_account a;
    uint64_t n;
    if (!value.n) return true;
    if (span_u64(value, &n) && n > 0 && n <= UINT32_MAX) {
        *ret_id = (uint32_t)n;
        return true;
    }
    const enum rw_err err = admin_find(c, accounts, kind, value, &a, NULL);
    if (err == RW_E_NOT_FOUND)
        admin_refuse(c, 404, "There is no '%':|ask by its id for what was deleted.", value);
    else if (err) admin_refuse_err(c, err);
    else *ret_id = a.id;
    return err == RW_OK;
}

static bool read_ask(struct admin_call *c, struct store_reader *accounts, struct usage_ask *ask)
{
    uint64_t days = DAYS;
    if (!admin_query_u64(c, SPAN("days"), 1, USAGE_DAYS_MAX, &days)) return false;
    *ask = (struct usage_ask){.wall_ms = c->admin->wall_ms(),
                              .days = (uint32_t)days,
                              .model = admin_query(c, SPAN("model")),
                              .provider = admin_query(c, SPAN("provider")),
                              .tag = admin_query(c, SPAN("tag"))};
    return id_filter(c, accounts, SPAN("tenant"), STORE_TENANT, &ask->tenant) &&
        id_filter(c, accounts, SPAN("team"), STORE_TEAM, &ask->team) &&
        id_filter(c, accounts, SPAN("key"), STORE_KEY, &ask->key);
}

static bool read_group(struct admin_call *c, enum store_group *ret)
{
    const struct span group_by = admin_query(c, SPAN("group_by"));
    *ret = STORE_BY_MODEL;
    if (!group_by.n || usage_group_parse(group_by, ret)) return true;
    admin_refuse(c, 400,
                 "Usage is not kept by '%': group_by is day, tenant, team, key, model, provider or tag.",
                 group_by);
    return false;
}

static enum rw_err report(struct admin_call *c, struct store_reader *accounts, struct store_reader *usage,
                          const struct usage_ask *ask, enum store_group by, uint32_t rows)
{
    RW_TRY(usage_report_summary(&c->out, usage, ask));
    return usage_report_groups(&c->out, usage, accounts, ask, by, rows);
}

static void answer(struct admin_call *c, struct store_reader *accounts, struct store_reader *usage)
{
    struct usage_ask ask;
    enum store_group by;
    uint64_t rows = ROWS;
    if (!read_ask(c, accounts, &ask) || !read_group(c, &by) ||
        !admin_query_u64(c, SPAN("limit"), 1, USAGE_ROWS_MAX, &rows))
        return;
    // Sums without a tag have no tag in them, and the other way round; by a tag, models are not asked for unless it was said.
    if ((ask.tag.n || by == STORE_BY_TAG) &&
        (ask.key || ask.model.n || ask.provider.n || by == STORE_BY_KEY || by == STORE_BY_MODEL ||
         by == STORE_BY_PROVIDER)) {
        admin_refuse(c, 409,
                     "Tags are summed by day, tenant and team only:|leave out key, model and provider%.",
                     ask.tag.n && by == STORE_BY_MODEL ? SPAN(", and give group_by=day, tenant, team or tag")
                                                       : SPAN(""));
        return;
    }
    admin_begin(c, 200);
    json_out_object(&c->out);
    const enum rw_err err = report(c, accounts, usage, &ask, by, (uint32_t)rows);
    if (err) admin_refuse_err(c, err);
    else json_out_end(&c->out);
}

void admin_usage(struct admin_call *c)
{
    struct store_reader *accounts, *usage;
    if (!admin_reader(c, STORE_ACCOUNTS, &accounts)) return;
    if (admin_reader(c, STORE_USAGE, &usage)) {
        answer(c, accounts, usage);
        store_reader_close(usage);
    }
    store_reader_close(accounts);
}
