// Changing accounts; see accounts.h and accounts_priv.h. Every function ends with an entry in the audit, so
// that an act that failed leaves neither.
#include "store/accounts_priv.h"
#include "store/audit.h"

static const char *const kind_name[STORE_KIND_COUNT] = {"none", "tenant", "team", "key", "plan"};

static enum rw_err tell(struct store_txn *t, const struct store_account *a, const char *what,
                        const struct store_act *act)
{
    char action[32];
    const size_t n = strlen(kind_name[a->kind]), m = strlen(what);
    MUST(n + 1 + m <= sizeof action);
    memcpy(action, kind_name[a->kind], n);
    action[n] = '.';
    memcpy(action + n + 1, what, m);
    const struct store_audit_entry e = {.wall_ms = act->wall_ms,
                                        .kind = a->kind,
                                        .id = a->id,
                                        .action = span_of(action, n + 1 + m),
                                        .actor = act->actor,
                                        .name = a->name,
                                        .detail = act->detail};
    return store_audit_add(t, &e);
}

static enum rw_err check_name(struct span name)
{
    if (name.n == 0) return RW_E_BAD;
    if (name.n > STORE_NAME_BYTES_MAX) return RW_E_TOO_LARGE;
    for (uint32_t i = 0; i < name.n; i++)
        if (name.p[i] < 0x20 || name.p[i] == 0x7f) return RW_E_BAD;
    return RW_OK;
}

static enum rw_err name_put(struct store_txn *t, const struct store_account *a)
{
    const struct store_name_key at = store_name_key(a->kind, a->name, a->id);
    uint8_t id[4];
    store_be32(id, a->id);
    return store_put(t, TABLE_NAMES, (struct span){at.p, at.n}, span_of(id, 4), MDB_NOOVERWRITE);
}

static enum rw_err name_del(struct store_txn *t, const struct store_account *a)
{
    const struct store_name_key at = store_name_key(a->kind, a->name, a->id);
    return store_del(t, TABLE_NAMES, (struct span){at.p, at.n});
}

// Writes the record itself: a key below its hash, anything else below its id.
static enum rw_err record_put(struct store_txn *t, const struct store_account *a, struct span hash,
                              unsigned flags)
{
    uint8_t *bytes = t->store->scratch;
    const int64_t n = store_account_encode(a, bytes + 1, STORE_ACCOUNT_BYTES_MAX);
    if (n < 0) return (enum rw_err)n;
    if (a->kind != STORE_KEY) {
        const struct store_short_key at = store_id_key(a->kind, a->id);
        return store_put(t, TABLE_GROUPS, store_short_span(&at), span_of(bytes + 1, (size_t)n), flags);
    }
    bytes[0] = KEY_RECORD;
    return store_put(t, TABLE_KEYS, hash, span_of(bytes, (size_t)n + 1), flags);
}

// A record as it is, decoded from the map: its spans die with the next write, so it is copied first.
struct current {
    struct store_account a;
    uint8_t hash[2][STORE_HASH_BYTES];
    bool has_previous;
};

static enum rw_err current_get(struct store_txn *t, enum store_kind kind, uint32_t id,
                               const struct store_act *act, struct current *ret)
{
    struct span encoded, hash[2] = {{NULL, 0}, {NULL, 0}};
    RW_TRY(store_account_bytes(t->store, t->txn, kind, id, &encoded, hash));
    if (encoded.n > STORE_ACCOUNT_BYTES_MAX) return RW_E_CORRUPT;
    if (act->was.p && !span_eq(act->was, encoded)) return (enum rw_err) - ESTALE;
    memcpy(t->store->current, encoded.p, encoded.n);
    RW_TRY(store_account_decode(span_of(t->store->current, encoded.n), &ret->a));
    ret->has_previous = hash[1].n > 0;
    for (int i = 0; i < 2; i++)
        if (hash[i].n) memcpy(ret->hash[i], hash[i].p, STORE_HASH_BYTES);
    return RW_OK;
}

static struct span hash_span(const uint8_t hash[STORE_HASH_BYTES])
{
    return (struct span){hash, STORE_HASH_BYTES};
}

// Kinds have counters of their own; what was deleted keeps its number.
static enum rw_err id_next(struct store_txn *t, enum store_kind kind, uint32_t *ret)
{
    char name[16] = "last_";
    uint64_t last;
    memcpy(name + 5, kind_name[kind], strlen(kind_name[kind]) + 1);
    RW_TRY(store_meta_get(t->store, t->txn, TABLE_ACCOUNTS_META, name, &last));
    if (last >= UINT32_MAX - 1) return RW_E_FULL;
    RW_TRY(store_meta_put(t, TABLE_ACCOUNTS_META, name, last + 1));
    *ret = (uint32_t)last + 1;
    return RW_OK;
}

static enum rw_err parent_check(struct store_txn *t, struct store_account *a)
{
    struct span encoded;
    struct store_account parent;
    if (a->kind != STORE_KEY && a->kind != STORE_TEAM) {
        a->parent = a->tenant = STORE_ID_NONE;
        return RW_OK;
    }
    const enum store_kind above = a->kind == STORE_KEY ? STORE_TEAM : STORE_TENANT;
    RW_TRY(store_account_bytes(t->store, t->txn, above, a->parent, &encoded, NULL));
    RW_TRY(store_account_decode(encoded, &parent));
    a->tenant = a->kind == STORE_KEY ? parent.parent : a->parent;
    return RW_OK;
}

// --- Plans: known by name to those who have them.

static enum rw_err plan_check(struct store_txn *t, const struct store_account *a)
{
    struct span id;
    if (!a->plan.n) return RW_OK;
    if (a->plan.n > STORE_NAME_BYTES_MAX) return RW_E_TOO_LARGE;
    const struct store_name_key at = store_name_key(STORE_PLAN, a->plan, 0);
    return store_get(t->store, t->txn, TABLE_NAMES, (struct span){at.p, at.n}, &id);
}

// -ENOTEMPTY if a record of that table has the plan. Reads all of it: a million keys are half a second.
static enum rw_err plan_free_in(struct store_txn *t, enum store_table table, struct span plan)
{
    MDB_cursor *c;
    MDB_val k, v;
    enum rw_err err = RW_OK;
    RW_TRY(store_err(mdb_cursor_open(t->txn, t->store->dbi[table], &c)));
    int rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    for (; !rc && !err; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct span encoded = store_span(v);
        struct store_account a;
        if (table == TABLE_KEYS) {
            if (encoded.n < 1 || encoded.p[0] != KEY_RECORD) continue;
            encoded = span_from(encoded, 1);
        }
        err = store_account_decode(encoded, &a);
        if (!err && span_eq(a.plan, plan)) err = (enum rw_err) - ENOTEMPTY;
    }
    mdb_cursor_close(c);
    return err || !rc || rc == MDB_NOTFOUND ? err : store_err(rc);
}

static enum rw_err plan_free(struct store_txn *t, const struct store_account *a)
{
    if (a->kind != STORE_PLAN) return RW_OK;
    RW_TRY(plan_free_in(t, TABLE_GROUPS, a->name));
    return plan_free_in(t, TABLE_KEYS, a->name);
}

enum rw_err store_account_create(struct store_txn *t, const struct store_account *given, const uint8_t *hash,
                                 const struct store_act *act, uint32_t *ret_id)
{
    MUST(t->env == STORE_ACCOUNTS && (hash != NULL) == (given->kind == STORE_KEY));
    struct store_account a = *given;
    RW_TRY(check_name(a.name));
    RW_TRY(parent_check(t, &a));
    RW_TRY(plan_check(t, &a));
    RW_TRY(id_next(t, a.kind, &a.id));
    a.created_ms = a.updated_ms = act->wall_ms;
    a.previous_until_ms = 0;
    RW_TRY(name_put(t, &a));
    RW_TRY(record_put(t, &a, hash ? hash_span(hash) : (struct span){NULL, 0}, MDB_NOOVERWRITE));
    if (a.kind == STORE_KEY) {
        const struct store_short_key at = store_key_id_key(a.id);
        RW_TRY(store_put(t, TABLE_KEY_IDS, store_short_span(&at), hash_span(hash), 0));
    }
    if (a.parent) {
        const struct store_short_key at = store_child_key(a.kind, a.parent, a.id);
        RW_TRY(store_put(t, TABLE_CHILDREN, store_short_span(&at), (struct span){NULL, 0}, 0));
    }
    *ret_id = a.id;
    return tell(t, &a, "create", act);
}

enum rw_err store_account_update(struct store_txn *t, const struct store_account *given,
                                 const struct store_act *act)
{
    MUST(t->env == STORE_ACCOUNTS);
    struct current was;
    RW_TRY(check_name(given->name));
    RW_TRY(current_get(t, given->kind, given->id, act, &was));
    struct store_account a = *given;
    a.parent = was.a.parent;
    a.tenant = was.a.tenant;
    a.created_ms = was.a.created_ms;
    a.prefix = was.a.prefix;
    a.previous_until_ms = was.a.previous_until_ms;
    a.flags = (given->flags & ~(uint32_t)STORE_REVOKED) | (was.a.flags & STORE_REVOKED);
    a.updated_ms = act->wall_ms;
    RW_TRY(plan_check(t, &a));
    if (!span_eq(a.name, was.a.name)) {
        RW_TRY(plan_free(t, &was.a));
        RW_TRY(name_put(t, &a));
        RW_TRY(name_del(t, &was.a));
    }
    RW_TRY(record_put(t, &a, hash_span(was.hash[0]), 0));
    return tell(t, &a, "update", act);
}

static bool has_children(struct store_txn *t, enum store_kind kind, uint32_t id)
{
    if (kind != STORE_TENANT && kind != STORE_TEAM) return false;
    const struct store_short_key at = store_child_key(kind == STORE_TENANT ? STORE_TEAM : STORE_KEY, id, 0);
    MDB_cursor *c;
    if (mdb_cursor_open(t->txn, t->store->dbi[TABLE_CHILDREN], &c)) return true;
    MDB_val k = store_val(at.p, at.n), v;
    const int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    mdb_cursor_close(c);
    return !rc && k.mv_size == at.n && memcmp(k.mv_data, at.p, 5) == 0;
}

enum rw_err store_account_delete(struct store_txn *t, enum store_kind kind, uint32_t id,
                                 const struct store_act *act)
{
    MUST(t->env == STORE_ACCOUNTS);
    struct current was;
    RW_TRY(current_get(t, kind, id, act, &was));
    if (has_children(t, kind, id)) return (enum rw_err) - ENOTEMPTY;
    RW_TRY(plan_free(t, &was.a));
    const struct store_short_key at = store_id_key(kind, id);
    RW_TRY(name_del(t, &was.a));
    if (kind == STORE_KEY) {
        const struct store_short_key by_id = store_key_id_key(id);
        RW_TRY(store_del(t, TABLE_KEYS, hash_span(was.hash[0])));
        if (was.has_previous) RW_TRY(store_del(t, TABLE_KEYS, hash_span(was.hash[1])));
        RW_TRY(store_del(t, TABLE_KEY_IDS, store_short_span(&by_id)));
    } else {
        RW_TRY(store_del(t, TABLE_GROUPS, store_short_span(&at)));
    }
    if (was.a.parent) {
        const struct store_short_key child = store_child_key(kind, was.a.parent, id);
        RW_TRY(store_del(t, TABLE_CHILDREN, store_short_span(&child)));
    }
    RW_TRY(store_put(t, TABLE_LABELS, store_short_span(&at), was.a.name, 0));
    return tell(t, &was.a, "delete", act);
}

enum rw_err store_key_revoke(struct store_txn *t, uint32_t id, const struct store_act *act)
{
    MUST(t->env == STORE_ACCOUNTS);
    struct current was;
    RW_TRY(current_get(t, STORE_KEY, id, act, &was));
    was.a.flags |= STORE_REVOKED;
    was.a.updated_ms = act->wall_ms;
    RW_TRY(record_put(t, &was.a, hash_span(was.hash[0]), 0));
    return tell(t, &was.a, "revoke", act);
}

enum rw_err store_key_rotate(struct store_txn *t, uint32_t id, const uint8_t new_hash[STORE_HASH_BYTES],
                             struct span new_prefix, int64_t previous_until_ms, const struct store_act *act)
{
    MUST(t->env == STORE_ACCOUNTS);
    struct current was;
    RW_TRY(current_get(t, STORE_KEY, id, act, &was));
    was.a.prefix = new_prefix;
    was.a.previous_until_ms = previous_until_ms;
    was.a.updated_ms = act->wall_ms;
    RW_TRY(record_put(t, &was.a, hash_span(new_hash), MDB_NOOVERWRITE));
    if (was.has_previous) RW_TRY(store_del(t, TABLE_KEYS, hash_span(was.hash[1])));

    uint8_t previous[PREVIOUS_BYTES];
    previous[0] = KEY_PREVIOUS;
    memcpy(previous + 1, new_hash, STORE_HASH_BYTES);
    memcpy(previous + 1 + STORE_HASH_BYTES, &previous_until_ms, sizeof previous_until_ms);
    RW_TRY(store_put(t, TABLE_KEYS, hash_span(was.hash[0]), span_of(previous, sizeof previous), 0));

    uint8_t hashes[2 * STORE_HASH_BYTES];
    const struct store_short_key at = store_key_id_key(id);
    memcpy(hashes, new_hash, STORE_HASH_BYTES);
    memcpy(hashes + STORE_HASH_BYTES, was.hash[0], STORE_HASH_BYTES);
    RW_TRY(store_put(t, TABLE_KEY_IDS, store_short_span(&at), span_of(hashes, sizeof hashes), 0));
    return tell(t, &was.a, "rotate", act);
}
