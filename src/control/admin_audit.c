// The audit as lists and as a whole. See admin.h.
#include "control/admin.h"
#include "store/audit.h"

struct listing {
    struct json_out *o;
    uint64_t last; // sequence of the last that was written
    uint64_t count;
};

static bool on_entry(const struct store_audit_entry *e, void *ctx)
{
    static const char *const kinds[STORE_KIND_COUNT] = {"", "tenant", "team", "key", "plan"};
    struct listing *l = ctx;
    struct json_out *o = l->o;
    l->last = e->sequence;
    l->count++;
    json_out_object(o);
    json_out_key_u64(o, SPAN("sequence"), e->sequence);
    json_out_key(o, SPAN("time_ms"));
    json_out_i64(o, e->wall_ms);
    json_out_key_string(o, SPAN("action"), e->action);
    json_out_key_string(o, SPAN("actor"), e->actor);
    if (e->kind && e->kind < STORE_KIND_COUNT) json_out_key_string(o, SPAN("kind"), span_str(kinds[e->kind]));
    if (e->id) json_out_key_u64(o, SPAN("id"), e->id);
    json_out_key_string(o, SPAN("name"), e->name);
    if (e->detail.n) json_out_key_raw(o, SPAN("detail"), e->detail);
    json_out_end(o);
    return !o->failed;
}

void admin_audit_verify(struct admin_call *c)
{
    struct store_audit_state s;
    struct store_reader *r;
    char head[2 * STORE_HASH_BYTES + 1];
    if (!admin_reader(c, STORE_ACCOUNTS, &r)) return;
    const enum rw_err err = store_audit_verify(r, &s);
    store_reader_close(r);
    if (err) {
        admin_refuse_err(c, err);
        return;
    }
    const int64_t n = crypto_hex_encode(s.head, sizeof s.head, head, sizeof head);
    admin_begin(c, 200);
    json_out_object(&c->out);
    json_out_key_bool(&c->out, SPAN("whole"), s.broken == 0);
    json_out_key_u64(&c->out, SPAN("entries"), s.entries);
    if (s.broken) json_out_key_u64(&c->out, SPAN("broken_at"), s.broken);
    json_out_key_string(&c->out, SPAN("head"), span_of(head, (size_t)n));
    json_out_end(&c->out);
}

void admin_audit(struct admin_call *c)
{
    uint64_t limit, after, before = 0;
    struct listing l = {.o = &c->out};
    struct store_reader *r;
    if (!admin_query_page(c, &limit, &after) || !admin_query_u64(c, SPAN("before"), 0, INT64_MAX, &before) ||
        !admin_reader(c, STORE_ACCOUNTS, &r))
        return;
    admin_begin(c, 200);
    json_out_object(&c->out);
    json_out_key_array(&c->out, SPAN("data"));
    const enum rw_err err = store_audit_tail(r, before, (uint32_t)limit, on_entry, &l);
    store_reader_close(r);
    if (err) admin_refuse_err(c, err);
    else admin_list_end(c, l.count == limit && l.last > 1 ? l.last : 0);
}
