// Accounts: the operations on tenants, teams, keys and plans. See admin.h.
#include <stdlib.h>

#include "base/clock.h"
#include "control/admin.h"
#include "control/books_fill.h"
#include "store/secret.h"
#include "wire/json.h"

// How long the old text of a rotated key stays good if nobody says otherwise.
#define OVERLAP_HOURS 24
#define OVERLAP_HOURS_MAX (24 * 30)
#define KEY_BYTES_MIN 8
#define KEY_BYTES_MAX 512
// Others may come before a change that often; then it is for the client to decide.
#define TRIES_MAX 16

// A transaction of one act, and what it needs.
struct act {
    struct admin_call *c;
    struct store_account account;
    struct span was; // as it was read, encoded
    struct store_act act;
    enum store_kind kind;
    uint8_t hash[STORE_HASH_BYTES];
    struct span prefix;
    int64_t previous_until_ms;
    bool only_new; // a key of that name must not be there
};

static struct act *act_new(struct admin_call *c)
{
    struct act *a = arena_alloc(c->arena, sizeof *a);
    if (!a) {
        admin_refuse_err(c, RW_E_BUDGET);
        return NULL;
    }
    memset(a, 0, sizeof *a);
    a->c = c;
    a->kind = c->route->kind;
    a->account.kind = (uint8_t)a->kind;
    return a;
}

static void tell(struct act *a, struct span detail)
{
    a->act = (struct store_act){
        .wall_ms = a->c->admin->wall_ms(), .actor = a->c->actor, .detail = detail, .was = a->was};
}

static bool reader(struct admin_call *c, struct store_reader **ret)
{
    return admin_reader(c, STORE_ACCOUNTS, ret);
}

enum rw_err admin_find(struct admin_call *c, struct store_reader *r, enum store_kind kind, struct span id,
                       struct store_account *ret, struct span *ret_bytes)
{
    uint64_t n;
    struct store_buf buf = {.p = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX),
                            .cap = STORE_ACCOUNT_BYTES_MAX};
    if (!buf.p) return RW_E_BUDGET;
    const bool number = span_u64(id, &n);
    if (number && n > UINT32_MAX) return RW_E_NOT_FOUND;
    RW_TRY(number ? store_account_get(r, kind, (uint32_t)n, &buf, ret)
                  : store_account_named(r, kind, id, &buf, ret));
    if (ret_bytes) *ret_bytes = span_of(buf.p, buf.n);
    return RW_OK;
}

// --- Versions.

static void etag_of(struct span encoded, char etag[ADMIN_ETAG_BYTES])
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_sha256(encoded.p, encoded.n, digest);
    etag[0] = '"';
    const int64_t n = crypto_hex_encode(digest, 8, etag + 1, ADMIN_ETAG_BYTES - 2);
    MUST(n == 16);
    etag[17] = '"';
    etag[18] = 0;
}

// Whether a field If-Match or If-None-Match has this version among its own (RFC 9110 13.1). A weak one is no match for a change.
static bool names_version(struct span field, const char *etag, bool weak_too)
{
    struct span one;
    while (span_split(&field, ',', &one)) {
        one = span_trim(one);
        if (span_eq(one, SPAN("*"))) return true;
        if (weak_too && span_starts(one, SPAN("W/"))) one = span_from(one, 2);
        if (span_eq(one, span_str(etag))) return true;
    }
    return false;
}

// Reads the record the call is about, and holds it against If-Match. RW_E_NOT_FOUND is the caller's to word.
static enum rw_err current(struct admin_call *c, struct act *a)
{
    struct store_reader *r;
    RW_TRY(store_reader_open(c->admin->store, STORE_ACCOUNTS, &r));
    const enum rw_err err = admin_find(c, r, a->kind, c->id, &a->account, &a->was);
    store_reader_close(r);
    if (err) return err;
    char etag[ADMIN_ETAG_BYTES];
    etag_of(a->was, etag);
    return c->if_match.p && !names_version(c->if_match, etag, false) ? (enum rw_err) - ESTALE : RW_OK;
}

// A key of the configuration is what the file says.
static bool in_the_file(struct admin_call *c, const struct act *a)
{
    if (a->kind != STORE_KEY || !(a->account.flags & STORE_FROM_FILE)) return false;
    admin_refuse(c, 409, "The key '%' stands in the configuration file:|change it there.", a->account.name);
    return true;
}

// The record, as an act on it needs it. False: it was refused.
static bool take(struct admin_call *c, struct act *a)
{
    const enum rw_err err = current(c, a);
    if (err) admin_refuse_err(c, err);
    return !err && !in_the_file(c, a);
}

// False: it was refused, or is to be tried again, since somebody else was faster.
static bool commit(struct admin_call *c, struct act *a, enum rw_err (*fn)(struct store_txn *t, void *ctx))
{
    const enum rw_err err = store_commit(c->admin->store, STORE_ACCOUNTS, fn, a);
    if (!err) return true;
    c->again = err == (enum rw_err) - ESTALE && !c->if_match.p && c->tries++ < TRIES_MAX;
    if (!c->again) admin_refuse_err(c, err);
    return false;
}

static void answer_with(struct admin_call *c, uint16_t status, struct store_reader *r,
                        const struct store_account *a, struct span encoded)
{
    admin_begin(c, status);
    etag_of(encoded, c->etag);
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
    else answer_with(c, status, r, &a, span_of(buf.p, buf.n));
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
    const enum rw_err err =
        admin_find(c, r, kind == STORE_KEY ? STORE_TEAM : STORE_TENANT, name, &parent, NULL);
    if (err) admin_refuse(c, 404, "There is no '%' to list from.|Leave it out to list all.", name);
    else *ret_id = parent.id;
    return err == RW_OK;
}

void admin_account_list(struct admin_call *c)
{
    const enum store_kind kind = c->route->kind;
    uint64_t limit, after;
    uint32_t parent, next = 0;
    struct page p = {.c = c};
    if (!admin_query_page(c, &limit, &after) || !reader(c, &p.r)) return;
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
        if (err) admin_refuse_err(c, err);
        else admin_list_end(c, next);
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
    if (a->only_new) {
        struct store_reader *r;
        struct store_account there;
        struct store_buf buf = {.p = arena_alloc(a->c->arena, STORE_ACCOUNT_BYTES_MAX),
                                .cap = STORE_ACCOUNT_BYTES_MAX};
        if (!buf.p) return RW_E_BUDGET;
        RW_TRY(store_reader_open(a->c->admin->store, STORE_ACCOUNTS, &r));
        const enum rw_err err = store_account_named(r, a->kind, a->account.name, &buf, &there);
        store_reader_close(r);
        if (err != RW_E_NOT_FOUND) return err ? err : (enum rw_err) - ESTALE;
    }
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
    const bool key = a->kind == STORE_KEY;
    struct store_reader *r;
    struct store_account parent;
    if (!key && a->kind != STORE_TEAM) return true;
    if (!name.p) name = SPAN("default");
    if (!reader(c, &r)) return false;
    const enum rw_err err = admin_find(c, r, key ? STORE_TEAM : STORE_TENANT, name, &parent, NULL);
    store_reader_close(r);
    if (err == RW_E_NOT_FOUND)
        admin_refuse_field(c, 404, key ? SPAN("team") : SPAN("tenant"),
                           key ? "There is no team '%':|create it first."
                               : "There is no tenant '%':|create it first.",
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
    enum rw_err err = buf.p ? RW_OK : RW_E_BUDGET;
    if (!err)
        err = name.n <= STORE_NAME_BYTES_MAX ? store_account_named(r, STORE_PLAN, name, &buf, &plan)
                                             : RW_E_NOT_FOUND;
    store_reader_close(r);
    if (err == RW_E_NOT_FOUND)
        admin_refuse_field(c, 404, SPAN("plan"), "There is no plan '%':|create it first.", name);
    else if (err) admin_refuse_err(c, err);
    return err == RW_OK;
}

// The body as it was sent, without a key that was brought along.
static struct span detail_of(const struct admin_call *c, const struct admin_more *more)
{
    return more->key.p || c->body.n > STORE_AUDIT_TEXT_BYTES_MAX / 2 ? SPAN("") : c->body;
}

// What the body said is in a->account; *more is the rest of it.
static void create(struct admin_call *c, struct act *a, const struct admin_more *more)
{
    char text[KEY_BYTES_MAX + 1] = "";
    if (!a->account.name.n && a->kind != STORE_KEY) {
        admin_refuse_field(c, 400, SPAN("name"), "The field '%' is missing.", SPAN("name"));
        return;
    }
    if (!plan_is_there(c, a->account.plan) || !parent_of(c, a, more->parent)) return;
    if (a->kind == STORE_KEY) {
        if (!key_text(c, more->key, text)) return;
        a->account.prefix = store_key_prefix(span_str(text));
        if (!a->account.name.n) a->account.name = a->account.prefix;
        hash_of(c, text, a->hash);
    }
    tell(a, detail_of(c, more));
    if (!commit(c, a, commit_create)) {
        crypto_wipe(text, sizeof text);
        return;
    }
    if (a->kind == STORE_KEY) answer_key(c, 201, a->account.id, text);
    else answer_stored(c, 201, a->kind, a->account.id);
    crypto_wipe(text, sizeof text);
}

void admin_account_create(struct admin_call *c)
{
    struct act *a = act_new(c);
    struct admin_more more;
    if (a && admin_account_read(c, c->body, &a->account, &more)) create(c, a, &more);
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

// The parent may be named again, as long as it is the same one; a text that exists may not be given another key.
static bool stays(struct admin_call *c, struct act *a, const struct admin_more *more)
{
    static const char *const fixed = "The field '%' is fixed:|make a new one and revoke or delete this one.";
    const struct span name = a->kind == STORE_KEY ? SPAN("team") : SPAN("tenant");
    const uint32_t parent = a->account.parent;
    if (more->key.p) {
        admin_refuse_field(c, 409, SPAN("key"), fixed, SPAN("key"));
        return false;
    }
    if (!more->parent.p) return true;
    if (!parent_of(c, a, more->parent)) return false;
    if (a->account.parent == parent) return true;
    admin_refuse_field(c, 409, name, fixed, name);
    return false;
}

// Whether the record as it is to be is the record as it was read.
static bool is_same(struct admin_call *c, const struct act *a)
{
    uint8_t *bytes = arena_alloc(c->arena, STORE_ACCOUNT_BYTES_MAX);
    const int64_t n = bytes ? store_account_encode(&a->account, bytes, STORE_ACCOUNT_BYTES_MAX) : -1;
    return n >= 0 && span_eq(span_of(bytes, (size_t)n), a->was);
}

static void update(struct admin_call *c, struct act *a, const struct admin_more *more)
{
    if (!stays(c, a, more) || !plan_is_there(c, a->account.plan)) return;
    tell(a, detail_of(c, more));
    // A budget that is new in the middle of a month knows what was spent in it.
    enum rw_err err = RW_OK;
    if (is_same(c, a)) {
        answer_stored(c, 200, a->kind, a->account.id);
        return;
    }
    if (c->admin->cells) err = books_fill_changed(c->admin->store, c->admin->cells, &a->account);
    if (err) admin_refuse_err(c, err);
    else if (commit(c, a, commit_update)) answer_stored(c, 200, a->kind, a->account.id);
}

void admin_account_change(struct admin_call *c)
{
    struct act *a = act_new(c);
    struct admin_more more;
    if (a && take(c, a) && admin_account_read(c, c->body, &a->account, &more)) update(c, a, &more);
}

// What a body may say, as if it said nothing.
static void blank(struct store_account *a)
{
    const struct store_list none = {{NULL, 0}, 0};
    memset(&a->limits, 0, sizeof a->limits);
    a->plan = (struct span){NULL, 0};
    a->models = a->providers = a->cidrs = a->tags = none;
    a->expires_ms = 0;
    a->flags &= ~(uint32_t)STORE_DISABLED;
}

static void put_new(struct admin_call *c, struct act *a)
{
    struct admin_more more;
    uint64_t number;
    if (c->if_match.p) {
        admin_refuse_err(c, (enum rw_err) - ESTALE);
        return;
    }
    if (span_u64(c->id, &number)) {
        admin_refuse_err(c, RW_E_NOT_FOUND);
        return;
    }
    if (!admin_account_read(c, c->body, &a->account, &more)) return;
    if (a->account.name.n && !span_eq(a->account.name, c->id)) {
        admin_refuse_field(
            c, 409, SPAN("name"),
            "There is no '%' yet, and the body has another name:|give it the name of the path.", c->id);
        return;
    }
    a->account.name = c->id;
    a->only_new = true;
    create(c, a, &more);
}

void admin_account_put(struct admin_call *c)
{
    struct act *a = act_new(c);
    struct admin_more more;
    if (!a) return;
    const enum rw_err err = current(c, a);
    if (err == RW_E_NOT_FOUND) {
        put_new(c, a);
        return;
    }
    if (err) admin_refuse_err(c, err);
    else if (c->if_none_match.p)
        admin_refuse(c, 412, "There is one of that name:|leave out If-None-Match to change it.", SPAN(""));
    if (err || c->if_none_match.p || in_the_file(c, a)) return;
    blank(&a->account);
    if (admin_account_read(c, c->body, &a->account, &more)) update(c, a, &more);
}

void admin_key_rotate(struct admin_call *c)
{
    char text[KEY_BYTES_MAX + 1];
    uint64_t hours = OVERLAP_HOURS;
    struct json_iter it = json_iter(c->body);
    struct span key, value;
    struct act *a = act_new(c);
    if (!a) return;
    while (c->body.n && json_next(&it, &key, &value)) {
        if (!json_key_is(key, SPAN("overlap_hours"))) {
            (void)admin_bad(c, "The field '%' is unknown: there is overlap_hours.", key);
            return;
        }
        if (json_u64(value, &hours) && hours <= OVERLAP_HOURS_MAX) continue;
        (void)admin_bad(c, "The field '%' is a whole number of hours, at most 720.", SPAN("overlap_hours"));
        return;
    }
    if (!take(c, a)) return;
    store_key_make(text);
    text[STORE_KEY_CHARS] = 0;
    hash_of(c, text, a->hash);
    a->prefix = store_key_prefix(span_str(text));
    tell(a, c->body);
    a->previous_until_ms = a->act.wall_ms + (int64_t)hours * 3600 * 1000;
    if (commit(c, a, commit_rotate)) answer_key(c, 200, a->account.id, text);
    crypto_wipe(text, sizeof text);
}

void admin_key_revoke(struct admin_call *c)
{
    struct act *a = act_new(c);
    if (!a || !take(c, a)) return;
    tell(a, SPAN(""));
    if (commit(c, a, commit_revoke)) answer_stored(c, 200, a->kind, a->account.id);
}

void admin_account_delete(struct admin_call *c)
{
    struct act *a = act_new(c);
    if (!a || !take(c, a)) return;
    tell(a, SPAN(""));
    if (!commit(c, a, commit_delete)) return;
    admin_begin(c, 200);
    json_out_object(&c->out);
    json_out_key_bool(&c->out, SPAN("deleted"), true);
    json_out_end(&c->out);
}

void admin_account_show(struct admin_call *c)
{
    struct store_reader *r;
    struct store_account a;
    struct span encoded = {NULL, 0};
    if (!reader(c, &r)) return;
    const enum rw_err err = admin_find(c, r, c->route->kind, c->id, &a, &encoded);
    if (err) {
        admin_refuse_err(c, err);
        store_reader_close(r);
        return;
    }
    admin_begin(c, 200);
    etag_of(encoded, c->etag);
    if (c->if_none_match.p && names_version(c->if_none_match, c->etag, true)) {
        c->status = 304;
    } else {
        json_out_object(&c->out);
        admin_account_members(&c->out, r, &a);
        admin_used_write(c, r, &a);
        json_out_end(&c->out);
    }
    store_reader_close(r);
}
