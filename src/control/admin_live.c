// What only a running server knows: how much of limits is used, what models cost by the prices in force, its state. See admin.h.
#include "base/fmt.h"
#include "control/admin.h"
#include "control/prices.h"

// --- Limits.

struct page {
    struct admin_call *c;
    struct store_reader *plans; // the list's own reader is busy with it
};

static bool on_account(const struct store_account *a, void *ctx)
{
    static const char *const kinds[STORE_KIND_COUNT] = {"", "tenant", "team", "key", "plan"};
    struct page *p = ctx;
    struct json_out *o = &p->c->out;
    char id[FMT_U64_BYTES];
    struct fmt f;
    fmt_init(&f, id, sizeof id);
    fmt_u64(&f, a->id);
    json_out_object(o);
    json_out_key_string(o, SPAN("kind"), span_str(kinds[a->kind]));
    json_out_key_string(o, SPAN("id"), fmt_text(&f));
    json_out_key_string(o, SPAN("name"), a->name);
    admin_used_write(p->c, p->plans, a);
    json_out_end(o);
    return !o->failed;
}

void admin_limits_used(struct admin_call *c)
{
    const struct span kind = admin_query(c, SPAN("kind"));
    const enum store_kind which = span_eq(kind, SPAN("tenant")) ? STORE_TENANT
        : span_eq(kind, SPAN("key"))                            ? STORE_KEY
                                                                : STORE_TEAM;
    struct store_reader *r;
    struct page p = {.c = c};
    uint64_t limit, after;
    uint32_t next;
    if (!c->admin->cells) {
        admin_refuse(c, 409, "No server runs, so nothing counts:|start it with 'ringway serve'.", SPAN(""));
        return;
    }
    if (!admin_query_page(c, &limit, &after) || !admin_reader(c, STORE_ACCOUNTS, &r)) return;
    if (admin_reader(c, STORE_ACCOUNTS, &p.plans)) {
        admin_begin(c, 200);
        json_out_object(&c->out);
        json_out_key_array(&c->out, SPAN("data"));
        const enum rw_err err =
            store_account_list(r, which, 0, (uint32_t)after, (uint32_t)limit, on_account, &p, &next);
        if (err) admin_refuse_err(c, err);
        else admin_list_end(c, next);
        store_reader_close(p.plans);
    }
    store_reader_close(r);
}

// --- Prices.

void admin_prices(struct admin_call *c)
{
    const struct admin_live *live = c->admin->live;
    const struct span after = admin_query(c, SPAN("after"));
    struct prices_sorted *rows = arena_alloc(c->arena, sizeof *rows);
    uint64_t limit = 100;
    uint32_t i = 0;
    if (!rows) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    if (!admin_query_u64(c, SPAN("limit"), 1, 1000, &limit)) return;
    prices_sort(live->prices(live->ctx), admin_query(c, SPAN("prefix")), rows);
    while (i < rows->n && after.n && prices_compare(rows->at[i].name, after) <= 0) i++;
    admin_begin(c, 200);
    json_out_object(&c->out);
    json_out_key_array(&c->out, SPAN("data"));
    for (; i < rows->n && limit > 0; i++, limit--) {
        json_out_object(&c->out);
        json_out_key_string(&c->out, SPAN("model"), rows->at[i].name);
        prices_write(&c->out, rows->at[i].price);
        json_out_end(&c->out);
    }
    json_out_end(&c->out);
    json_out_key(&c->out, SPAN("next"));
    if (i > 0 && i < rows->n) json_out_string(&c->out, rows->at[i - 1].name);
    else json_out_null(&c->out);
    json_out_end(&c->out);
}

// --- The server.

void admin_status(struct admin_call *c)
{
    const struct admin_live *live = c->admin->live;
    admin_begin(c, 200);
    json_out_object(&c->out);
    live->status(live->ctx, &c->out);
    json_out_end(&c->out);
}

void admin_reload(struct admin_call *c)
{
    const struct admin_live *live = c->admin->live;
    char *why = arena_alloc(c->arena, 1024);
    if (!why) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    *why = 0;
    const enum rw_err err = live->reload(live->ctx, why, 1024);
    if (!err) admin_status(c);
    else if (err == (enum rw_err) - EAGAIN)
        admin_refuse(c, 409, "A reload is under way:|try again in a second.", SPAN(""));
    else
        admin_refuse(c, 409,
                     "The configuration was not loaded, the one before stays in force: %.|Mend the file; "
                     "'ringway check' says the same.",
                     span_str(why));
}
