// Reading accounts; see accounts.h and accounts_priv.h.
#include "store/accounts_priv.h"

enum rw_err store_account_bytes(const struct store *s, MDB_txn *txn, enum store_kind kind, uint32_t id,
                                struct span *ret, struct span ret_hash[2])
{
    if (kind != STORE_KEY) {
        const struct store_short_key at = store_id_key(kind, id);
        return store_get(s, txn, TABLE_GROUPS, store_short_span(&at), ret);
    }
    const struct store_short_key at = store_key_id_key(id);
    struct span hashes, value;
    RW_TRY(store_get(s, txn, TABLE_KEY_IDS, store_short_span(&at), &hashes));
    if (hashes.n != STORE_HASH_BYTES && hashes.n != 2 * STORE_HASH_BYTES) return RW_E_CORRUPT;
    const struct span hash = {hashes.p, STORE_HASH_BYTES};
    const enum rw_err err = store_get(s, txn, TABLE_KEYS, hash, &value);
    if (err) return err == RW_E_NOT_FOUND ? RW_E_CORRUPT : err;
    if (value.n < 1 || value.p[0] != KEY_RECORD) return RW_E_CORRUPT;
    *ret = span_from(value, 1);
    if (ret_hash) {
        ret_hash[0] = hash;
        ret_hash[1] = span_from(hashes, STORE_HASH_BYTES);
    }
    return RW_OK;
}

static enum rw_err copy_out(struct span encoded, struct store_buf *buf, struct store_account *ret)
{
    if (encoded.n > buf->cap) return RW_E_TOO_LARGE;
    memcpy(buf->p, encoded.p, encoded.n);
    buf->n = encoded.n;
    return store_account_decode(span_of(buf->p, encoded.n), ret);
}

static enum rw_err key_find(struct store_reader *r, struct span hash, int64_t wall_ms, struct span *ret)
{
    struct span v;
    RW_TRY(store_get(r->store, r->txn, TABLE_KEYS, hash, &v));
    if (v.n == PREVIOUS_BYTES && v.p[0] == KEY_PREVIOUS) {
        int64_t until_ms;
        memcpy(&until_ms, v.p + 1 + STORE_HASH_BYTES, sizeof until_ms);
        if (wall_ms >= until_ms) return RW_E_NOT_FOUND;
        RW_TRY(store_get(r->store, r->txn, TABLE_KEYS, (struct span){v.p + 1, STORE_HASH_BYTES}, &v));
    }
    if (v.n < 1 || v.p[0] != KEY_RECORD) return RW_E_CORRUPT;
    *ret = span_from(v, 1);
    return RW_OK;
}

enum rw_err store_key_find(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES], int64_t wall_ms,
                           struct store_buf *buf, struct store_account *ret)
{
    struct span encoded = {NULL, 0};
    RW_TRY(store_reader_begin(r));
    enum rw_err err = key_find(r, (struct span){hash, STORE_HASH_BYTES}, wall_ms, &encoded);
    if (!err) err = copy_out(encoded, buf, ret);
    store_reader_end(r);
    return err;
}

enum rw_err store_account_get(struct store_reader *r, enum store_kind kind, uint32_t id,
                              struct store_buf *buf, struct store_account *ret)
{
    struct span encoded = {NULL, 0};
    RW_TRY(store_reader_begin(r));
    enum rw_err err = store_account_bytes(r->store, r->txn, kind, id, &encoded, NULL);
    if (!err) err = copy_out(encoded, buf, ret);
    store_reader_end(r);
    return err;
}

// The id of a name: the first entry that begins with it.
static enum rw_err id_of_name(struct store_reader *r, enum store_kind kind, struct span name, uint32_t *ret)
{
    const struct store_name_key at = store_name_key(kind, name, 0);
    const uint32_t prefix = kind == STORE_KEY ? at.n - 4 : at.n;
    MDB_cursor *c;
    RW_TRY(store_err(mdb_cursor_open(r->txn, r->store->dbi[TABLE_NAMES], &c)));
    MDB_val k = store_val(at.p, at.n), v;
    const int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    mdb_cursor_close(c);
    if (rc) return store_err(rc);
    if (k.mv_size != at.n || memcmp(k.mv_data, at.p, prefix) != 0) return RW_E_NOT_FOUND;
    if (v.mv_size != 4) return RW_E_CORRUPT;
    *ret = store_be32_of(v.mv_data);
    return RW_OK;
}

enum rw_err store_account_named(struct store_reader *r, enum store_kind kind, struct span name,
                                struct store_buf *buf, struct store_account *ret)
{
    struct span encoded = {NULL, 0};
    uint32_t id = 0;
    if (name.n > STORE_NAME_BYTES_MAX) return RW_E_NOT_FOUND;
    RW_TRY(store_reader_begin(r));
    enum rw_err err = id_of_name(r, kind, name, &id);
    if (!err) err = store_account_bytes(r->store, r->txn, kind, id, &encoded, NULL);
    if (!err) err = copy_out(encoded, buf, ret);
    store_reader_end(r);
    return err;
}

// --- Lists: a walk over the index that has the ids in order, one record looked up for each.

struct walk {
    enum store_kind kind;
    uint32_t parent;
    enum store_table table;
    struct store_short_key at; // the first entry wanted
    uint32_t prefix; // bytes of it that all entries of this list share
};

static struct walk walk_of(enum store_kind kind, uint32_t parent, uint32_t after)
{
    struct walk w = {.kind = kind, .parent = parent};
    if (parent) {
        w.table = TABLE_CHILDREN;
        w.at = store_child_key(kind, parent, after + 1);
        w.prefix = 5;
    } else if (kind == STORE_KEY) {
        w.table = TABLE_KEY_IDS;
        w.at = store_key_id_key(after + 1);
        w.prefix = 0;
    } else {
        w.table = TABLE_GROUPS;
        w.at = store_id_key(kind, after + 1);
        w.prefix = 1;
    }
    return w;
}

static enum rw_err list(struct store_reader *r, const struct walk *w, MDB_cursor *c, uint32_t limit,
                        store_account_fn *fn, void *ctx, uint32_t *ret_next)
{
    MDB_val k = store_val(w->at.p, w->at.n), v;
    uint32_t last = 0;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (; !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (k.mv_size != w->at.n || memcmp(k.mv_data, w->at.p, w->prefix) != 0) break;
        if (limit-- == 0) {
            *ret_next = last;
            return RW_OK;
        }
        struct span encoded = {NULL, 0};
        struct store_account a = {0};
        last = store_be32_of((const uint8_t *)k.mv_data + k.mv_size - 4);
        RW_TRY(store_account_bytes(r->store, r->txn, w->kind, last, &encoded, NULL));
        RW_TRY(store_account_decode(encoded, &a));
        if (!fn(&a, ctx)) {
            *ret_next = last;
            return RW_OK;
        }
    }
    if (rc && rc != MDB_NOTFOUND) return store_err(rc);
    *ret_next = 0;
    return RW_OK;
}

enum rw_err store_account_list(struct store_reader *r, enum store_kind kind, uint32_t parent, uint32_t after,
                               uint32_t limit, store_account_fn *fn, void *ctx, uint32_t *ret_next)
{
    MUST(limit > 0);
    if (after == UINT32_MAX) {
        *ret_next = 0;
        return RW_OK;
    }
    const struct walk w = walk_of(kind, parent, after);
    MDB_cursor *c;
    RW_TRY(store_reader_begin(r));
    enum rw_err err = store_err(mdb_cursor_open(r->txn, r->store->dbi[w.table], &c));
    if (!err) {
        err = list(r, &w, c, limit, fn, ctx, ret_next);
        mdb_cursor_close(c);
    }
    store_reader_end(r);
    return err;
}

static int64_t label(struct store_reader *r, enum store_kind kind, uint32_t id, char *ret_name)
{
    struct span found;
    struct store_account a = {0};
    enum rw_err err = store_account_bytes(r->store, r->txn, kind, id, &found, NULL);
    if (!err) {
        err = store_account_decode(found, &a);
        found = a.name;
    } else if (err == RW_E_NOT_FOUND) {
        const struct store_short_key at = store_id_key(kind, id);
        err = store_get(r->store, r->txn, TABLE_LABELS, store_short_span(&at), &found);
    }
    if (err) return err;
    if (found.n > STORE_NAME_BYTES_MAX) return RW_E_CORRUPT;
    memcpy(ret_name, found.p, found.n);
    return found.n;
}

int64_t store_account_label(struct store_reader *r, enum store_kind kind, uint32_t id,
                            char ret_name[STORE_NAME_BYTES_MAX])
{
    RW_TRY(store_reader_begin(r));
    const int64_t n = label(r, kind, id, ret_name);
    store_reader_end(r);
    return n;
}
