// What of its limits an account has used until now, out of the cells: the member `used` of an account that is looked at while a
// server runs. See admin.h.
#include "control/admin.h"
#include "io/clock.h"
#include "policy/limit_account.h"

struct used {
    struct json_out *o;
    const struct limit_bound *bound;
    const struct limit_time *now;
};

static void write_number(struct json_out *o, enum limit_what what, struct span key, int64_t n)
{
    if (limit_what_is_money(what)) {
        admin_write_usd(o, key, n);
        return;
    }
    json_out_key(o, key);
    json_out_i64(o, n);
}

static void write_one(const struct used *u, enum limit_what what)
{
    int64_t used, limit;
    if (!limit_used(u->bound, what, u->now, &used, &limit)) return;
    json_out_object(u->o);
    json_out_key_string(u->o, SPAN("what"), span_str(limit_what_name(what)));
    write_number(u->o, what, SPAN("used"), used);
    write_number(u->o, what, SPAN("limit"), limit);
    json_out_end(u->o);
}

static enum rw_err bind_account(const struct admin_call *c, const struct store_account *a,
                                const struct store_account *plan, struct limit_set *set,
                                struct limit_bound *ret)
{
    static const enum limit_level level[STORE_KIND_COUNT] = {
        [STORE_TENANT] = LIMIT_TENANT, [STORE_TEAM] = LIMIT_TEAM, [STORE_KEY] = LIMIT_KEY};
    const struct limit_cfg cfg = limit_of_account(a, plan);
    const char *why;
    if (limit_cfg_is_empty(&cfg)) return RW_E_NOT_FOUND;
    RW_TRY(limit_compile(&cfg, level[a->kind], set, &why));
    return limit_bind(c->admin->cells, level[a->kind], (struct limit_id){.lo = a->id}, set, ret);
}

void admin_used_write(struct admin_call *c, struct store_reader *r, const struct store_account *a)
{
    struct store_account plan;
    struct limit_set set;
    struct limit_bound bound;
    struct limit_time now = {0};
    struct io_time t;
    if (!c->admin->cells || a->kind == STORE_PLAN) return;
    struct store_buf buf = {.p = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    const bool has_plan = a->plan.n > 0;
    if (!buf.p || (has_plan && store_account_named(r, STORE_PLAN, a->plan, &buf, &plan) != RW_OK)) return;
    if (bind_account(c, a, has_plan ? &plan : NULL, &set, &bound) != RW_OK) return;
    io_clock(&t);
    limit_time_update(&now, limit_clock_cell(c->admin->cells), NULL, t.now_ns, t.wall_ns);
    const struct used u = {.o = &c->out, .bound = &bound, .now = &now};
    json_out_key_array(&c->out, SPAN("used"));
    for (int what = 0; what < LIMIT_WHAT_COUNT; what++) write_one(&u, (enum limit_what)what);
    json_out_end(&c->out);
}
