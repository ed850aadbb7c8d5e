// /admin/keys: keys as earlier gateways made and listed them, for the scripts that still ask for them. There, a key's team was
// its own record with a rate in a fixed window of a minute; here the team is made if there is none of that name, the key's name
// is team_name. See admin.h.
#include "control/admin.h"
#include "store/secret.h"
#include "wire/json.h"

#define RPM 60
#define RPM_MAX 600000000
#define PAGE 1000

struct making {
    struct admin_call *c;
    struct span team_id, team_name;
    uint64_t rpm;
    struct store_account team, key;
    uint8_t hash[STORE_HASH_BYTES];
};

static bool read_body(struct admin_call *c, struct making *m)
{
    struct json_iter it = json_iter(c->body);
    struct span key, value;
    while (json_next(&it, &key, &value)) {
        if (json_key_is(key, SPAN("team_id"))) {
            if (!admin_read_text(c, SPAN("team_id"), value, &m->team_id)) return false;
        } else if (json_key_is(key, SPAN("team_name"))) {
            if (!admin_read_text(c, SPAN("team_name"), value, &m->team_name)) return false;
        } else if (json_key_is(key, SPAN("rate_limit_rpm"))) {
            if (!json_u64(value, &m->rpm) || m->rpm < 1 || m->rpm > RPM_MAX)
                return admin_bad(c, "The field '%' is a whole number from 1 to 600000000.",
                                 SPAN("rate_limit_rpm"));
        } else {
            return admin_bad(c, "The field '%' is unknown.", key);
        }
    }
    if (!m->team_name.p) m->team_name = m->team_id;
    if (m->team_id.n && m->team_name.n) return true;
    if (m->team_id.n) return admin_bad(c, "The field '%' is empty.", SPAN("team_name"));
    admin_refuse_field(c, 400, SPAN("team_id"), "team_id is required", SPAN(""));
    return false;
}

static enum rw_err find_team(struct store_reader *r, struct store_buf *buf, struct making *m,
                             uint32_t *ret_tenant)
{
    struct store_account tenant;
    RW_TRY(store_account_named(r, STORE_TENANT, SPAN("default"), buf, &tenant));
    *ret_tenant = tenant.id;
    return store_account_named(r, STORE_TEAM, m->team_id, buf, &m->team);
}

// Team and key in one transaction.
static enum rw_err commit_both(struct store_txn *t, void *ctx)
{
    struct making *m = ctx;
    const struct store_act act = {
        .wall_ms = m->c->admin->wall_ms(), .actor = m->c->actor, .detail = SPAN("")};
    struct store_buf buf = {.p = arena_alloc(m->c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    struct store_reader *r;
    uint32_t tenant = 0, id;
    if (!buf.p) return RW_E_BUDGET;
    RW_TRY(store_reader_open(m->c->admin->store, STORE_ACCOUNTS, &r));
    enum rw_err err = find_team(r, &buf, m, &tenant);
    store_reader_close(r);
    if (err == RW_E_NOT_FOUND && tenant) {
        m->team = (struct store_account){.kind = STORE_TEAM, .parent = tenant, .name = m->team_id};
        err = store_account_create(t, &m->team, NULL, &act, &m->team.id);
    }
    if (err) return err;
    m->key.parent = m->team.id;
    return store_account_create(t, &m->key, m->hash, &act, &id);
}

void admin_native_create(struct admin_call *c)
{
    char text[STORE_KEY_HEX_CHARS + 1];
    struct making *m = arena_alloc(c->arena, sizeof *m);
    if (!m) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    memset(m, 0, sizeof *m);
    m->c = c;
    m->rpm = RPM;
    if (!read_body(c, m)) return;
    store_key_make_hex(text);
    text[STORE_KEY_HEX_CHARS] = 0;
    store_key_hash(&c->admin->pepper, span_str(text), m->hash);
    m->key = (struct store_account){
        .kind = STORE_KEY,
        .name = m->team_name,
        .prefix = store_key_prefix(span_str(text)),
        .limits = {.set = STORE_SET_MODE,
                   .mode = STORE_FIXED_WINDOW,
                   .rates_count = 1,
                   .rates = {{.limit = m->rpm, .window = STORE_MINUTE, .unit = STORE_REQUESTS}}}};
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_both, m);
    if (err) {
        admin_refuse_err(c, err);
    } else {
        admin_begin(c, 201);
        json_out_object(&c->out);
        json_out_key_string(&c->out, SPAN("api_key"), span_str(text));
        json_out_key_string(&c->out, SPAN("team_id"), m->team_id);
        json_out_key_string(&c->out, SPAN("team_name"), m->team_name);
        json_out_key_u64(&c->out, SPAN("rate_limit_rpm"), m->rpm);
        json_out_key_string(&c->out, SPAN("message"),
                            SPAN("Store this API key now. It will not be shown again."));
        json_out_end(&c->out);
    }
    crypto_wipe(text, sizeof text);
}

// --- The list.

struct listing {
    struct admin_call *c;
    struct store_reader *names; // the list's own reader is busy with it
    int64_t now_ms;
    uint64_t count;
};

static bool on_key(const struct store_account *a, void *ctx)
{
    struct listing *l = ctx;
    struct json_out *o = &l->c->out;
    char team[STORE_NAME_BYTES_MAX];
    const int64_t n = store_account_label(l->names, STORE_TEAM, a->parent, team);
    const bool over = a->expires_ms && a->expires_ms <= l->now_ms;
    l->count++;
    json_out_object(o);
    json_out_key(o, SPAN("api_key_prefix"));
    json_out_open(o);
    json_out_piece(o, a->prefix);
    json_out_piece(o, SPAN("…"));
    json_out_close(o);
    json_out_key_string(o, SPAN("team_id"), span_of(team, n > 0 ? (size_t)n : 0));
    json_out_key_string(o, SPAN("team_name"), a->name);
    json_out_key(o, SPAN("rate_limit_rpm"));
    uint64_t rpm = 0;
    for (uint32_t i = 0; i < a->limits.rates_count; i++)
        if (a->limits.rates[i].window == STORE_MINUTE && a->limits.rates[i].unit == STORE_REQUESTS)
            rpm = a->limits.rates[i].limit;
    if (rpm) json_out_u64(o, rpm);
    else json_out_null(o);
    json_out_key_bool(o, SPAN("is_active"), !over && !(a->flags & (STORE_DISABLED | STORE_REVOKED)));
    admin_write_time(o, SPAN("created_at"), a->created_ms);
    json_out_end(o);
    return !o->failed;
}

static enum rw_err list_all(struct listing *l, struct store_reader *r)
{
    uint32_t after = 0;
    do {
        RW_TRY(store_account_list(r, STORE_KEY, 0, after, PAGE, on_key, l, &after));
    } while (after && !l->c->out.failed);
    return RW_OK;
}

void admin_native_list(struct admin_call *c)
{
    struct store_reader *r;
    struct listing l = {.c = c, .now_ms = c->admin->wall_ms()};
    if (!admin_reader(c, STORE_ACCOUNTS, &r)) return;
    if (admin_reader(c, STORE_ACCOUNTS, &l.names)) {
        admin_begin(c, 200);
        json_out_object(&c->out);
        json_out_key_array(&c->out, SPAN("keys"));
        const enum rw_err err = list_all(&l, r);
        store_reader_close(l.names);
        if (err) {
            admin_refuse_err(c, err);
        } else {
            json_out_end(&c->out);
            json_out_key_u64(&c->out, SPAN("count"), l.count);
            json_out_end(&c->out);
        }
    }
    store_reader_close(r);
}
