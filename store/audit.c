// See audit.h.
#include "store/audit.h"

#include "store/store_priv.h"
#include "tls/crypto.h"

#define ENTRY_VERSION 1
#define HEAD "audit_head"
// Version, time, kind, id, four lengths.
#define ENTRY_FIXED_BYTES (1 + 8 + 1 + 4 + 4 * 4)

struct head {
    uint64_t sequence;
    uint8_t hash[STORE_HASH_BYTES];
};

static enum rw_err head_get(const struct store *s, MDB_txn *txn, struct head *ret)
{
    struct span v;
    *ret = (struct head){0};
    const enum rw_err err = store_get(s, txn, TABLE_ACCOUNTS_META, SPAN(HEAD), &v);
    if (err) return err == RW_E_NOT_FOUND ? RW_OK : err;
    struct store_in in = {.rest = v};
    ret->sequence = store_in_u64(&in);
    store_in_bytes(&in, ret->hash, STORE_HASH_BYTES);
    return in.bad ? RW_E_CORRUPT : RW_OK;
}

static void chain(const uint8_t before[STORE_HASH_BYTES], uint64_t sequence, struct span entry,
                  uint8_t ret[STORE_HASH_BYTES])
{
    struct crypto_sha256 hash;
    uint8_t number[8];
    store_be64(number, sequence);
    crypto_sha256_init(&hash);
    crypto_sha256_update(&hash, before, STORE_HASH_BYTES);
    crypto_sha256_update(&hash, number, sizeof number);
    crypto_sha256_update(&hash, entry.p, entry.n);
    crypto_sha256_final(&hash, ret);
}

enum rw_err store_audit_add(struct store_txn *t, const struct store_audit_entry *e)
{
    MUST(t->env == STORE_ACCOUNTS);
    const uint64_t texts = (uint64_t)e->action.n + e->actor.n + e->name.n + e->detail.n;
    if (texts > STORE_AUDIT_TEXT_BYTES_MAX) return RW_E_TOO_LARGE;
    struct head head;
    RW_TRY(head_get(t->store, t->txn, &head));
    head.sequence++;

    uint8_t number[8];
    store_be64(number, head.sequence);
    MDB_val k = store_val(number, sizeof number);
    MDB_val v = store_val(NULL, ENTRY_FIXED_BYTES + texts + STORE_HASH_BYTES);
    RW_TRY(store_err(mdb_put(t->txn, t->store->dbi[TABLE_AUDIT], &k, &v, MDB_RESERVE | MDB_APPEND)));
    struct store_out o = {.p = v.mv_data, .cap = (uint32_t)v.mv_size};
    store_out_u8(&o, ENTRY_VERSION);
    store_out_u64(&o, (uint64_t)e->wall_ms);
    store_out_u8(&o, e->kind);
    store_out_u32(&o, e->id);
    store_out_span(&o, e->action);
    store_out_span(&o, e->actor);
    store_out_span(&o, e->name);
    store_out_span(&o, e->detail);
    chain(head.hash, head.sequence, span_of(o.p, o.n), head.hash);
    store_out_bytes(&o, head.hash, STORE_HASH_BYTES);
    MUST(!o.overflow && o.n == o.cap);

    uint8_t bytes[8 + STORE_HASH_BYTES];
    memcpy(bytes, &head.sequence, 8);
    memcpy(bytes + 8, head.hash, STORE_HASH_BYTES);
    return store_put(t, TABLE_ACCOUNTS_META, SPAN(HEAD), span_of(bytes, sizeof bytes), 0);
}

static enum rw_err decode(MDB_val k, MDB_val v, struct store_audit_entry *ret)
{
    if (k.mv_size != 8) return RW_E_CORRUPT;
    struct store_in in = {.rest = store_span(v)};
    ret->sequence = store_be64_of(k.mv_data);
    if (store_in_u8(&in) != ENTRY_VERSION) return RW_E_CORRUPT;
    ret->wall_ms = (int64_t)store_in_u64(&in);
    ret->kind = store_in_u8(&in);
    ret->id = store_in_u32(&in);
    ret->action = store_in_span(&in);
    ret->actor = store_in_span(&in);
    ret->name = store_in_span(&in);
    ret->detail = store_in_span(&in);
    store_in_bytes(&in, ret->hash, STORE_HASH_BYTES);
    return in.bad || in.rest.n ? RW_E_CORRUPT : RW_OK;
}

static enum rw_err walk_back(MDB_cursor *c, uint64_t before, uint32_t count, store_audit_fn *fn, void *ctx)
{
    uint8_t number[8];
    store_be64(number, before);
    MDB_val k = store_val(number, sizeof number), v;
    int rc = MDB_NOTFOUND;
    if (before) rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    rc = mdb_cursor_get(c, &k, &v, rc ? MDB_LAST : MDB_PREV);
    for (; !rc && count; count--, rc = mdb_cursor_get(c, &k, &v, MDB_PREV)) {
        struct store_audit_entry e;
        RW_TRY(decode(k, v, &e));
        if (!fn(&e, ctx)) return RW_OK;
    }
    return rc && rc != MDB_NOTFOUND ? store_err(rc) : RW_OK;
}

enum rw_err store_audit_tail(struct store_reader *r, uint64_t before, uint32_t count, store_audit_fn *fn,
                             void *ctx)
{
    MDB_cursor *c;
    RW_TRY(store_reader_begin(r));
    enum rw_err err = store_err(mdb_cursor_open(r->txn, r->store->dbi[TABLE_AUDIT], &c));
    if (!err) {
        err = walk_back(c, before, count, fn, ctx);
        mdb_cursor_close(c);
    }
    store_reader_end(r);
    return err;
}

// True if the entry is what follows the state's head; the state then has it.
static bool follows(struct store_audit_state *state, MDB_val k, MDB_val v)
{
    uint8_t hash[STORE_HASH_BYTES];
    if (k.mv_size != 8 || v.mv_size < STORE_HASH_BYTES) return false;
    if (store_be64_of(k.mv_data) != state->entries + 1) return false;
    const struct span covered = span_of(v.mv_data, v.mv_size - STORE_HASH_BYTES);
    chain(state->head, state->entries + 1, covered, hash);
    if (!crypto_equal(hash, covered.p + covered.n, STORE_HASH_BYTES)) return false;
    memcpy(state->head, hash, STORE_HASH_BYTES);
    state->entries++;
    return true;
}

static enum rw_err verify(struct store_reader *r, MDB_cursor *c, struct store_audit_state *state)
{
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0)
        if (!follows(state, k, v)) {
            state->broken = state->entries + 1;
            return RW_OK;
        }
    if (rc != MDB_NOTFOUND) return store_err(rc);
    struct head head;
    RW_TRY(head_get(r->store, r->txn, &head));
    if (head.sequence != state->entries || !crypto_equal(head.hash, state->head, STORE_HASH_BYTES))
        state->broken = state->entries + 1;
    return RW_OK;
}

enum rw_err store_audit_verify(struct store_reader *r, struct store_audit_state *ret)
{
    MDB_cursor *c;
    struct store_audit_state state = {0};
    RW_TRY(store_reader_begin(r));
    enum rw_err err = store_err(mdb_cursor_open(r->txn, r->store->dbi[TABLE_AUDIT], &c));
    if (!err) {
        err = verify(r, c, &state);
        mdb_cursor_close(c);
    }
    store_reader_end(r);
    if (!err) *ret = state;
    return err;
}
