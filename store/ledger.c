// See ledger_priv.h. One record touches three rows of sums and one for each tag; a batch of a thousand touches
// the same rows over and over, so they are added up in memory, sorted, and written once at the end. A record is
// added to the row of its key only; those of teams and tenants are summed from these at the end. The same table
// in memory serves every transaction.
#include "store/ledger_priv.h"

#include <stdlib.h>

#include "base/map.h"

#define ROWS STORE_BATCH_SUMS
#define PLACES (2 * ROWS)
#define TEXTS_CACHED 4096
// Rows of one record; of its key's row the end makes two more.
#define ROWS_PER_RECORD (1 + STORE_TAGS_MAX)
#define ROWS_COLLECTED (ROWS / 3)

static_assert((PLACES & (PLACES - 1)) == 0, "places are found by a mask");

struct row {
    uint8_t table; // TABLE_ROLLUP or TABLE_TAGS
    uint8_t n;
    uint8_t p[ROLLUP_KEY_BYTES];
    uint16_t place;
    struct store_sums sums;
};

struct cached_text {
    uint32_t number; // 0: empty
    uint8_t n;
    uint8_t p[STORE_TEXT_BYTES_MAX];
};

struct store_ledger {
    uint32_t rows;
    int64_t swept_ms; // read once per transaction
    bool swept_known;
    uint16_t place[PLACES]; // index of a row + 1
    struct row row[ROWS];
    struct row *order[ROWS];
    struct cached_text text[TEXTS_CACHED]; // numbers that were committed, by hash
    bool texts_new; // some in `text` are of the transaction under way
    struct cached_text *last_model, *last_provider; // where those of the record before are, or were
    MDB_cursor *raw; // at the end of the raw records, for the transaction under way
    struct row *last; // of the record before
    uint8_t bytes[STORE_RECORD_BYTES_MAX];
};

static_assert(ROWS < UINT16_MAX, "a place holds an index");

enum rw_err store_ledger_new(struct store_ledger **ret)
{
    struct store_ledger *l = calloc(1, sizeof *l);
    if (!l) return (enum rw_err) - ENOMEM;
    *ret = l;
    return RW_OK;
}

void store_ledger_free(struct store_ledger *l)
{
    free(l);
}

static void forget_rows(struct store_ledger *l)
{
    for (uint32_t i = 0; i < l->rows; i++) l->place[l->row[i].place] = 0;
    l->rows = 0;
    l->last = NULL;
}

void store_ledger_begin(struct store_ledger *l)
{
    forget_rows(l);
    l->swept_known = false;
    // Numbers given in a transaction that failed may be given to other texts.
    if (l->texts_new) memset(l->text, 0, sizeof l->text);
    l->texts_new = false;
    l->raw = NULL; // one of a transaction that failed went with it
}

// --- Texts and their numbers.

enum rw_err store_ledger_text_find(const struct store *s, MDB_txn *txn, struct span text, uint32_t *ret)
{
    struct span v;
    RW_TRY(store_get(s, txn, TABLE_TEXTS, text, &v));
    if (v.n != 4) return RW_E_CORRUPT;
    memcpy(ret, v.p, 4);
    return RW_OK;
}

enum rw_err store_ledger_text_of(const struct store *s, MDB_txn *txn, uint32_t number, struct span *ret)
{
    uint8_t at[4];
    if (number == 0 || number == TEXT_OTHER) {
        *ret = number ? SPAN(TEXT_OTHER_NAME) : (struct span){NULL, 0};
        return RW_OK;
    }
    store_be32(at, number);
    return store_get(s, txn, TABLE_TEXT_IDS, span_of(at, 4), ret);
}

static enum rw_err text_make(struct store_txn *t, struct span text, uint32_t *ret)
{
    uint64_t last;
    uint8_t at[4];
    RW_TRY(store_meta_get(t->store, t->txn, TABLE_USAGE_META, "last_text", &last));
    if (last < TEXT_OTHER) last = TEXT_OTHER;
    if (last >= STORE_TEXTS_MAX) {
        *ret = TEXT_OTHER;
        return RW_OK;
    }
    const uint32_t number = (uint32_t)last + 1;
    store_be32(at, number);
    RW_TRY(store_meta_put(t, TABLE_USAGE_META, "last_text", number));
    RW_TRY(store_put(t, TABLE_TEXTS, text, span_of(&number, 4), 0));
    RW_TRY(store_put(t, TABLE_TEXT_IDS, span_of(at, 4), text, 0));
    *ret = number;
    return RW_OK;
}

// *last: where a text was found that may well be the same; NULL: none.
static enum rw_err text_number(struct store_ledger *l, struct store_txn *t, struct span text,
                               struct cached_text **last, uint32_t *ret)
{
    struct cached_text *c = *last;
    if (text.n == 0 || (c && c->number && span_eq(span_of(c->p, c->n), text))) {
        *ret = text.n ? c->number : 0;
        return RW_OK;
    }
    *last = c = &l->text[map_hash(text, 0) & (TEXTS_CACHED - 1)];
    if (c->number == 0 || !span_eq(span_of(c->p, c->n), text)) {
        uint32_t number = 0;
        enum rw_err err = store_ledger_text_find(t->store, t->txn, text, &number);
        if (err == RW_E_NOT_FOUND) {
            err = text_make(t, text, &number);
            l->texts_new = true;
        }
        if (err) return err;
        c->number = number;
        c->n = (uint8_t)text.n;
        memcpy(c->p, text.p, text.n);
    }
    *ret = c->number;
    return RW_OK;
}

// --- Sums in memory.

// There is room for it: store_ledger_put() sees to that.
static struct row *row_of(struct store_ledger *l, enum store_table table, const uint8_t *p, uint32_t n)
{
    const struct span wanted = span_of(p, n);
    uint64_t at = map_hash(wanted, (uint64_t)table) & (PLACES - 1);
    for (; l->place[at]; at = (at + 1) & (PLACES - 1)) {
        struct row *r = &l->row[l->place[at] - 1];
        if (r->table == table && span_eq(span_of(r->p, r->n), wanted)) return r;
    }
    struct row *r = &l->row[l->rows];
    l->place[at] = (uint16_t)++l->rows;
    *r = (struct row){.table = (uint8_t)table, .n = (uint8_t)n, .place = (uint16_t)at};
    memcpy(r->p, p, n);
    return r;
}

static struct row *key_row(struct store_ledger *l, uint32_t day, const struct store_record *r, uint32_t model,
                           uint32_t provider)
{
    uint8_t p[ROLLUP_KEY_BYTES];
    store_be32(p, day);
    p[4] = LEVEL_KEY;
    store_be32(p + 5, r->tenant);
    store_be32(p + 9, r->team);
    store_be32(p + 13, r->key);
    store_be32(p + 17, model);
    store_be32(p + 21, provider);
    if (!l->last || memcmp(l->last->p, p, sizeof p) != 0)
        l->last = row_of(l, TABLE_ROLLUP, p, ROLLUP_KEY_BYTES);
    return l->last;
}

// The rows of teams and tenants, from those of keys.
static void sum_levels(struct store_ledger *l)
{
    const uint32_t rows = l->rows;
    for (uint32_t i = 0; i < rows; i++) {
        const struct row *r = &l->row[i];
        if (r->table != TABLE_ROLLUP || r->p[4] != LEVEL_KEY) continue;
        uint8_t p[ROLLUP_KEY_BYTES];
        memcpy(p, r->p, sizeof p);
        memset(p + 13, 0, 4);
        p[4] = LEVEL_TEAM;
        store_sums_add(&row_of(l, TABLE_ROLLUP, p, ROLLUP_KEY_BYTES)->sums, &r->sums);
        memset(p + 9, 0, 4);
        p[4] = LEVEL_TENANT;
        store_sums_add(&row_of(l, TABLE_ROLLUP, p, ROLLUP_KEY_BYTES)->sums, &r->sums);
    }
}

static enum rw_err sum_up(struct store_ledger *l, struct store_txn *t, const struct store_record *r)
{
    uint32_t model = 0, provider = 0;
    uint8_t p[TAG_KEY_BYTES];
    const uint32_t day = store_day(store_id_ms(r->id));
    RW_TRY(text_number(l, t, r->texts.model, &l->last_model, &model));
    RW_TRY(text_number(l, t, r->texts.provider, &l->last_provider, &provider));
    store_sums_note(&key_row(l, day, r, model, provider)->sums, r);
    for (uint32_t i = 0; i < r->texts.tags_count; i++) {
        uint32_t tag = 0;
        struct cached_text *none = NULL;
        RW_TRY(text_number(l, t, r->texts.tags[i], &none, &tag));
        store_be32(p, day);
        store_be32(p + 4, r->team);
        store_be32(p + 8, tag);
        store_be32(p + 12, r->tenant);
        store_sums_note(&row_of(l, TABLE_TAGS, p, TAG_KEY_BYTES)->sums, r);
    }
    return RW_OK;
}

static enum rw_err swept_check(struct store_ledger *l, struct store_txn *t, const struct store_record *r)
{
    if (!l->swept_known) {
        uint64_t ms;
        RW_TRY(store_meta_get(t->store, t->txn, TABLE_USAGE_META, "swept_ms", &ms));
        l->swept_ms = (int64_t)ms;
        l->swept_known = true;
    }
    return store_id_ms(r->id) < l->swept_ms ? RW_E_CLOSED : RW_OK;
}

// Records come in the order of time but for those of several workers in one batch: most are put behind the last one,
// without a search.
static enum rw_err raw_put(struct store_ledger *l, struct store_txn *t, struct span key, struct span value)
{
    if (!l->raw) RW_TRY(store_err(mdb_cursor_open(t->txn, t->store->dbi[TABLE_RAW], &l->raw)));
    MDB_val k = store_val(key.p, key.n), v = store_val(value.p, value.n);
    int rc = mdb_cursor_put(l->raw, &k, &v, MDB_APPEND);
    if (rc == MDB_KEYEXIST) rc = mdb_cursor_put(l->raw, &k, &v, MDB_NOOVERWRITE);
    return store_err(rc);
}

enum rw_err store_ledger_put(struct store_ledger *l, struct store_txn *t, const struct store_record *r,
                             bool adopted)
{
    uint8_t at[RAW_KEY_BYTES];
    if (adopted) RW_TRY(swept_check(l, t, r));
    if (l->rows + ROWS_PER_RECORD > ROWS_COLLECTED) RW_TRY(store_ledger_end(l, t));
    const uint32_t n = store_record_encode(r, l->bytes);
    RW_TRY(raw_put(l, t, raw_key(r->id, r->part, at), span_of(l->bytes, n)));
    return sum_up(l, t, r);
}

// --- Sums in the file.

static int by_place(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    if (x->table != y->table) return x->table < y->table ? -1 : 1;
    return memcmp(x->p, y->p, x->n);
}

enum rw_err store_ledger_sums_read(struct span value, struct store_sums *ret)
{
    if (value.n % 8 != 0) return RW_E_CORRUPT;
    *ret = (struct store_sums){0};
    memcpy(ret, value.p, value.n < sizeof *ret ? value.n : sizeof *ret);
    return RW_OK;
}

// One descent in the tree: a put that finds the row there leaves the cursor on it.
static enum rw_err row_write(MDB_cursor *c, struct row *r)
{
    MDB_val k = store_val(r->p, r->n), v = store_val(&r->sums, sizeof r->sums);
    const int rc = mdb_cursor_put(c, &k, &v, MDB_NOOVERWRITE);
    if (rc != MDB_KEYEXIST) return store_err(rc);
    struct store_sums was;
    RW_TRY(store_ledger_sums_read(store_span(v), &was));
    store_sums_add(&r->sums, &was);
    v = store_val(&r->sums, sizeof r->sums);
    return store_err(mdb_cursor_put(c, &k, &v, MDB_CURRENT));
}

static enum rw_err rows_write(struct store_ledger *l, struct store_txn *t, uint32_t first, uint32_t end)
{
    MDB_cursor *c;
    if (first == end) return RW_OK;
    RW_TRY(store_err(mdb_cursor_open(t->txn, t->store->dbi[l->order[first]->table], &c)));
    enum rw_err err = RW_OK;
    for (uint32_t i = first; i < end && !err; i++) err = row_write(c, l->order[i]);
    mdb_cursor_close(c);
    return err;
}

enum rw_err store_ledger_end(struct store_ledger *l, struct store_txn *t)
{
    uint32_t tags = 0;
    if (l->raw) mdb_cursor_close(l->raw);
    l->raw = NULL;
    sum_levels(l);
    for (uint32_t i = 0; i < l->rows; i++) l->order[i] = &l->row[i];
    qsort(l->order, l->rows, sizeof *l->order, by_place);
    while (tags < l->rows && l->order[tags]->table == TABLE_ROLLUP) tags++;
    RW_TRY(rows_write(l, t, 0, tags));
    RW_TRY(rows_write(l, t, tags, l->rows));
    forget_rows(l);
    return RW_OK;
}

// --- Retention.

enum rw_err store_ledger_sweep(struct store_txn *t, int64_t before_ms, uint32_t max, uint32_t *ret_removed)
{
    MDB_cursor *c;
    MDB_val k, v;
    uint32_t removed = 0;
    RW_TRY(store_err(mdb_cursor_open(t->txn, t->store->dbi[TABLE_RAW], &c)));
    int rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    while (!rc && removed < max && k.mv_size == RAW_KEY_BYTES && store_id_ms(k.mv_data) < before_ms) {
        rc = mdb_cursor_del(c, 0);
        if (!rc) removed++;
        if (!rc) rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
    }
    mdb_cursor_close(c);
    if (rc && rc != MDB_NOTFOUND) return store_err(rc);
    if (removed) {
        uint64_t was;
        RW_TRY(store_meta_get(t->store, t->txn, TABLE_USAGE_META, "swept_ms", &was));
        if ((int64_t)was < before_ms)
            RW_TRY(store_meta_put(t, TABLE_USAGE_META, "swept_ms", (uint64_t)before_ms));
    }
    *ret_removed = removed;
    return RW_OK;
}

enum rw_err store_ledger_raw_size(struct store *s, uint64_t *ret_bytes, int64_t *ret_oldest_ms)
{
    MDB_txn *txn;
    MDB_stat stat;
    MDB_cursor *c;
    MDB_val k, v;
    RW_TRY(store_err(mdb_txn_begin(s->env[STORE_USAGE], NULL, MDB_RDONLY, &txn)));
    int rc = mdb_stat(txn, s->dbi[TABLE_RAW], &stat);
    if (!rc) rc = mdb_cursor_open(txn, s->dbi[TABLE_RAW], &c);
    if (!rc) {
        rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
        *ret_oldest_ms = !rc && k.mv_size == RAW_KEY_BYTES ? store_id_ms(k.mv_data) : 0;
        *ret_bytes = (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
        mdb_cursor_close(c);
        if (rc == MDB_NOTFOUND) rc = 0;
    }
    mdb_txn_abort(txn);
    return store_err(rc);
}
