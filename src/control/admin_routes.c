// The routes of the admin API over accounts and the audit. See admin.h.
#include <stdlib.h>

#include "base/clock.h"
#include "control/admin.h"
#include "control/books_fill.h"
#include "store/audit.h"
#include "store/secret.h"
#include "wire/json.h"

#define PAGE 100
#define PAGE_MAX 1000
// How long the old text of a rotated key stays good if nobody says otherwise.
#define OVERLAP_HOURS 24
#define OVERLAP_HOURS_MAX (24 * 30)
#define KEY_BYTES_MIN 8
#define KEY_BYTES_MAX 512

// A transaction of one act, and what it needs.
struct act {
    struct admin_call *c;
    struct store_account account;
    struct store_act act;
    enum store_kind kind;
    uint8_t hash[STORE_HASH_BYTES];
    struct span prefix;
    int64_t previous_until_ms;
};

static struct store_act act_of(const struct admin_call *c, struct span detail)
{
    return (struct store_act){.wall_ms = c->admin->wall_ms(), .actor = c->actor, .detail = detail};
}

bool admin_reader(struct admin_call *c, enum store_env env, struct store_reader **ret)
{
    const enum rw_err err = store_reader_open(c->admin->store, env, ret);
    if (err) admin_refuse_err(c, err);
    return err == RW_OK;
}

static bool reader(struct admin_call *c, struct store_reader **ret)
{
    return admin_reader(c, STORE_ACCOUNTS, ret);
}

enum rw_err admin_find(struct admin_call *c, struct store_reader *r, enum store_kind kind, struct span id,
                       struct store_account *ret)
{
    uint64_t n;
    struct store_buf buf = {.p = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    if (!buf.p) return RW_E_BUDGET;
    if (span_u64(id, &n))
        return n <= UINT32_MAX ? store_account_get(r, kind, (uint32_t)n, &buf, ret) : RW_E_NOT_FOUND;
    return store_account_named(r, kind, id, &buf, ret);
}

static void answer_with(struct admin_call *c, uint16_t status, struct store_reader *r,
                        const struct store_account *a)
{
    admin_begin(c, status);
    admin_account_write(&c->out, r, a);
}

// Reads it anew, as it is stored.
static void answer_stored(struct admin_call *c, uint16_t status, enum store_kind kind, uint32_t id)
{
    struct store_reader *r;
    struct store_account a;
    struct store_buf buf = {.p = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    if (!reader(c, &r)) return;
    const enum rw_err err = buf.p ? store_account_get(r, kind, id, &buf, &a) : RW_E_BUDGET;
    if (err) admin_refuse_err(c, err);
    else answer_with(c, status, r, &a);
    store_reader_close(r);
}

// --- Lists.

struct page {
    struct admin_call *c;
    struct store_reader *r, *names; // the first is busy with the list while names are looked up
};

static bool on_page(const struct store_account *a, void *ctx)
{
    struct page *p = ctx;
    admin_account_write(&p->c->out, p->names, a);
    return !p->c->out.failed;
}

static bool parent_filter(struct admin_call *c, struct store_reader *r, enum store_kind kind,
                          uint32_t *ret_id)
{
    const struct span team = admin_query(c, SPAN("team")), tenant = admin_query(c, SPAN("tenant"));
    const struct span name = kind == STORE_KEY ? team : kind == STORE_TEAM ? tenant : SPAN("");
    struct store_account parent;
    *ret_id = 0;
    if (!name.n) return true;
    const enum rw_err err = admin_find(c, r, kind == STORE_KEY ? STORE_TEAM : STORE_TENANT, name, &parent);
    if (err) admin_refuse(c, 404, "There is no '%' to list from.", name);
    else *ret_id = parent.id;
    return err == RW_OK;
}

static void list(struct admin_call *c, enum store_kind kind)
{
    uint64_t limit = PAGE, after = 0;
    uint32_t parent, next = 0;
    struct page p = {.c = c};
    if (!admin_query_u64(c, SPAN("limit"), 1, PAGE_MAX, &limit) ||
        !admin_query_u64(c, SPAN("after"), 0, UINT32_MAX, &after) || !reader(c, &p.r))
        return;
    if (!reader(c, &p.names)) {
        store_reader_close(p.r);
        return;
    }
    if (parent_filter(c, p.r, kind, &parent)) {
        admin_begin(c, 200);
        json_out_object(&c->out);
        json_out_key_array(&c->out, SPAN("data"));
        const enum rw_err err =
            store_account_list(p.r, kind, parent, (uint32_t)after, (uint32_t)limit, on_page, &p, &next);
        if (err) {
            admin_refuse_err(c, err);
        } else {
            json_out_end(&c->out);
            json_out_key(&c->out, SPAN("next"));
            if (next) json_out_u64(&c->out, next);
            else json_out_null(&c->out);
            json_out_end(&c->out);
        }
    }
    store_reader_close(p.names);
    store_reader_close(p.r);
}

// --- Creating.

static bool key_text(struct admin_call *c, struct span given, char text[KEY_BYTES_MAX + 1])
{
    if (!given.p) {
        store_key_make(text);
        text[STORE_KEY_CHARS] = 0;
        return true;
    }
    bool visible = given.n >= KEY_BYTES_MIN && given.n <= KEY_BYTES_MAX;
    for (uint32_t i = 0; visible && i < given.n; i++) visible = given.p[i] > ' ' && given.p[i] < 0x7f;
    if (!visible) {
        admin_refuse(c, 400, "The field '%' is 8 to 512 visible ASCII characters.", SPAN("key"));
        return false;
    }
    memcpy(text, given.p, given.n);
    text[given.n] = 0;
    return true;
}

static void hash_of(const struct admin_call *c, const char *text, uint8_t hash[STORE_HASH_BYTES])
{
    store_key_hash(&c->admin->pepper, span_str(text), hash);
}

static enum rw_err commit_create(struct store_txn *t, void *ctx)
{
    struct act *a = ctx;
    return store_account_create(t, &a->account, a->kind == STORE_KEY ? a->hash : NULL, &a->act,
                                &a->account.id);
}

// With the text of a new key, shown this once.
static void answer_key(struct admin_call *c, uint16_t status, uint32_t id, const char *text)
{
    answer_stored(c, status, STORE_KEY, id);
    if (c->status != status) return;
    const struct span object = json_out_flat(&c->out);
    if (!object.p) return;
    admin_begin(c, status);
    json_out_object(&c->out);
    json_out_key_string(&c->out, SPAN("key"), span_str(text));
    // The members of the object behind it: everything but its braces.
    struct json_iter it = json_iter(object);
    struct span key, value;
    while (json_next(&it, &key, &value)) json_out_key_raw(&c->out, key, value);
    json_out_end(&c->out);
}

static bool parent_of(struct admin_call *c, struct act *a, struct span name)
{
    struct store_reader *r;
    struct store_account parent;
    if (a->kind != STORE_KEY && a->kind != STORE_TEAM) return true;
    if (!name.p) name = SPAN("default");
    if (!reader(c, &r)) return false;
    const enum rw_err err = admin_find(c, r, a->kind == STORE_KEY ? STORE_TEAM : STORE_TENANT, name, &parent);
    store_reader_close(r);
    if (err == RW_E_NOT_FOUND)
        admin_refuse(c, 400,
                     a->kind == STORE_KEY ? "There is no team '%': create it first."
                                          : "There is no tenant '%': create it first.",
                     name);
    else if (err) admin_refuse_err(c, err);
    if (!err) a->account.parent = parent.id;
    return err == RW_OK;
}

static bool plan_is_there(struct admin_call *c, struct span name)
{
    struct store_reader *r;
    struct store_account plan;
    struct store_buf buf = {.p = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    if (!name.n) return true;
    if (!reader(c, &r)) return false;
    const enum rw_err err = buf.p ? store_account_named(r, STORE_PLAN, name, &buf, &plan) : RW_E_BUDGET;
    store_reader_close(r);
    if (err == RW_E_NOT_FOUND) admin_refuse(c, 400, "There is no plan '%': create it first.", name);
    else if (err) admin_refuse_err(c, err);
    return err == RW_OK;
}

// The body as it was sent, without a key that was brought along.
static struct span detail_of(const struct admin_call *c, const struct admin_more *more)
{
    return more->key.p || c->body.n > STORE_AUDIT_TEXT_BYTES_MAX / 2 ? SPAN("") : c->body;
}

static void create(struct admin_call *c, enum store_kind kind)
{
    struct act *a = arena_alloc(c->arena, sizeof *a);
    char text[KEY_BYTES_MAX + 1] = "";
    struct admin_more more;
    if (!a) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    memset(a, 0, sizeof *a);
    a->kind = kind;
    a->account.kind = (uint8_t)kind;
    if (!admin_account_read(c, c->body, &a->account, &more)) return;
    if (!a->account.name.n && kind != STORE_KEY) {
        admin_refuse(c, 400, "The field '%' is missing.", SPAN("name"));
        return;
    }
    if (!plan_is_there(c, a->account.plan) || !parent_of(c, a, more.parent)) return;
    if (kind == STORE_KEY) {
        if (!key_text(c, more.key, text)) return;
        a->account.prefix = store_key_prefix(span_str(text));
        if (!a->account.name.n) a->account.name = a->account.prefix;
        hash_of(c, text, a->hash);
    }
    a->act = act_of(c, detail_of(c, &more));
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_create, a);
    if (err) admin_refuse_err(c, err);
    else if (kind == STORE_KEY) answer_key(c, 201, a->account.id, text);
    else answer_stored(c, 201, kind, a->account.id);
    crypto_wipe(text, sizeof text);
}

// --- One record.

static enum rw_err commit_update(struct store_txn *t, void *ctx)
{
    struct act *a = ctx;
    return store_account_update(t, &a->account, &a->act);
}

static enum rw_err commit_delete(struct store_txn *t, void *ctx)
{
    struct act *a = ctx;
    return store_account_delete(t, a->kind, a->account.id, &a->act);
}

static enum rw_err commit_revoke(struct store_txn *t, void *ctx)
{
    struct act *a = ctx;
    return store_key_revoke(t, a->account.id, &a->act);
}

static enum rw_err commit_rotate(struct store_txn *t, void *ctx)
{
    struct act *a = ctx;
    return store_key_rotate(t, a->account.id, a->hash, a->prefix, a->previous_until_ms, &a->act);
}

static void change(struct admin_call *c, struct act *a)
{
    struct admin_more more;
    if (!admin_account_read(c, c->body, &a->account, &more)) return;
    if (more.parent.p || more.key.p) {
        admin_refuse(c, 400, "The field '%' is fixed: make a new one and revoke or delete this one.",
                     more.key.p                 ? SPAN("key")
                         : a->kind == STORE_KEY ? SPAN("team")
                                                : SPAN("tenant"));
        return;
    }
    if (!plan_is_there(c, a->account.plan)) return;
    a->act = act_of(c, detail_of(c, &more));
    // A budget that is new in the middle of a month knows what was spent in it.
    enum rw_err err = RW_OK;
    if (c->admin->cells) err = books_fill_changed(c->admin->store, c->admin->cells, &a->account);
    if (!err) err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_update, a);
    if (err) admin_refuse_err(c, err);
    else answer_stored(c, 200, a->kind, a->account.id);
}

static void rotate(struct admin_call *c, struct act *a)
{
    char text[KEY_BYTES_MAX + 1];
    uint64_t hours = OVERLAP_HOURS;
    struct span value;
    if (c->body.n && json_member(c->body, SPAN("overlap_hours"), &value) &&
        (!json_u64(value, &hours) || hours > OVERLAP_HOURS_MAX)) {
        admin_refuse(c, 400, "The field '%' is a whole number of hours, at most 720.", SPAN("overlap_hours"));
        return;
    }
    store_key_make(text);
    text[STORE_KEY_CHARS] = 0;
    hash_of(c, text, a->hash);
    a->prefix = store_key_prefix(span_str(text));
    a->act = act_of(c, c->body);
    a->previous_until_ms = a->act.wall_ms + (int64_t)hours * 3600 * 1000;
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_rotate, a);
    if (err) admin_refuse_err(c, err);
    else answer_key(c, 200, a->account.id, text);
    crypto_wipe(text, sizeof text);
}

static void revoke(struct admin_call *c, struct act *a)
{
    a->act = act_of(c, SPAN(""));
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_revoke, a);
    if (err) admin_refuse_err(c, err);
    else answer_stored(c, 200, a->kind, a->account.id);
}

static void erase(struct admin_call *c, struct act *a)
{
    a->act = act_of(c, SPAN(""));
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, commit_delete, a);
    if (err) {
        admin_refuse_err(c, err);
        return;
    }
    admin_begin(c, 200);
    json_out_object(&c->out);
    json_out_key_bool(&c->out, SPAN("deleted"), true);
    json_out_end(&c->out);
}

// A key of the configuration is what the file says.
static bool in_the_file(struct admin_call *c, const struct act *a)
{
    if (a->kind != STORE_KEY || !(a->account.flags & STORE_FROM_FILE)) return false;
    admin_refuse(c, 409, "The key '%' stands in the configuration file: change it there.", a->account.name);
    return true;
}

void admin_wrong_method(struct admin_call *c, const char *allow)
{
    admin_refuse(c, 405, "Method not allowed: use one of %.", span_str(allow));
    c->allow = allow;
}

static void act_on(struct admin_call *c, struct act *a, struct span verb)
{
    const bool rotating = span_eq(verb, SPAN("rotate"));
    if (a->kind != STORE_KEY || (!rotating && !span_eq(verb, SPAN("revoke"))))
        admin_refuse(c, 404, "Not found: %", c->path);
    else if (c->method != HTTP_POST) admin_wrong_method(c, "POST");
    else if (in_the_file(c, a)) return;
    else if (rotating) rotate(c, a);
    else revoke(c, a);
}

static void show(struct admin_call *c, struct store_reader *r, const struct store_account *a)
{
    admin_begin(c, 200);
    json_out_object(&c->out);
    admin_account_members(&c->out, r, a);
    admin_used_write(c, r, a);
    json_out_end(&c->out);
}

static void one(struct admin_call *c, enum store_kind kind, struct span id, struct span verb)
{
    struct store_reader *r;
    struct act *a = arena_alloc(c->arena, sizeof *a);
    if (!a || !reader(c, &r)) return;
    memset(a, 0, sizeof *a);
    a->kind = kind;
    const enum rw_err found = admin_find(c, r, kind, id, &a->account);
    const bool look = c->method == HTTP_GET || c->method == HTTP_HEAD;
    if (found == RW_OK && !verb.p && look) show(c, r, &a->account);
    store_reader_close(r);
    if (found) admin_refuse_err(c, found);
    else if (verb.p) act_on(c, a, verb);
    else if (look || in_the_file(c, a)) return;
    else if (c->method == HTTP_PUT || c->method == HTTP_PATCH) change(c, a);
    else if (c->method == HTTP_DELETE) erase(c, a);
    else admin_wrong_method(c, "GET, HEAD, PUT, PATCH, DELETE");
}

void admin_accounts(struct admin_call *c, enum store_kind kind, struct span id, struct span verb)
{
    if (id.p) one(c, kind, id, verb);
    else if (c->method == HTTP_GET || c->method == HTTP_HEAD) list(c, kind);
    else if (c->method == HTTP_POST) create(c, kind);
    else admin_wrong_method(c, "GET, HEAD, POST");
}

// --- The audit.

static bool on_entry(const struct store_audit_entry *e, void *ctx)
{
    static const char *const kinds[STORE_KIND_COUNT] = {"", "tenant", "team", "key", "plan"};
    struct json_out *o = ctx;
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

static void verify(struct admin_call *c, struct store_reader *r)
{
    struct store_audit_state s;
    char head[2 * STORE_HASH_BYTES + 1];
    const enum rw_err err = store_audit_verify(r, &s);
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
    uint64_t limit = PAGE, before = 0;
    struct store_reader *r;
    if (c->method != HTTP_GET && c->method != HTTP_HEAD) {
        admin_wrong_method(c, "GET, HEAD");
        return;
    }
    if (!admin_query_u64(c, SPAN("limit"), 1, PAGE_MAX, &limit) ||
        !admin_query_u64(c, SPAN("before"), 0, UINT64_MAX, &before) || !reader(c, &r))
        return;
    if (admin_query(c, SPAN("verify")).p) {
        verify(c, r);
    } else {
        admin_begin(c, 200);
        json_out_object(&c->out);
        json_out_key_array(&c->out, SPAN("data"));
        const enum rw_err err = store_audit_tail(r, before, (uint32_t)limit, on_entry, &c->out);
        if (err) {
            admin_refuse_err(c, err);
        } else {
            json_out_end(&c->out);
            json_out_end(&c->out);
        }
    }
    store_reader_close(r);
}
