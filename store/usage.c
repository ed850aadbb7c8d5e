// See usage.h and ledger_priv.h. Sums are grouped in memory by a number (day, id, or the number of a text) and
// sorted at the end: numbers as they are, texts by their bytes.
#include "store/usage.h"

#include <stdlib.h>

#include "store/ledger_priv.h"

void store_sums_add(struct store_sums *to, const struct store_sums *s)
{
    uint64_t *a = (uint64_t *)(void *)to;
    const uint64_t *b = (const uint64_t *)(const void *)s;
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++) a[i] += b[i];
}

static_assert(sizeof(struct store_sums) == 20 * 8, "sums are 64 bits wide, without holes");

void store_sums_note(struct store_sums *to, const struct store_record *r)
{
    const uint32_t flags = r->flags;
    if (r->part == 0) {
        to->requests++;
        to->failed += (flags & STORE_FAILED) != 0;
        to->cut += (flags & STORE_CUT) != 0;
        to->refused += (flags & STORE_REFUSED) != 0;
        to->cache_hits += r->cache == STORE_CACHE_HIT;
        to->duration_us += r->duration_us;
    } else {
        to->attempts++;
    }
    to->estimated += (flags & STORE_ESTIMATED) != 0;
    to->crashed += (flags & STORE_CRASHED) != 0;
    to->unpriced += (flags & STORE_UNPRICED) != 0;
    to->cost_nanos += r->cost_nanos;
    to->saved_nanos += r->saved_nanos;
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) to->tokens[i] += r->tokens[i];
}

void store_sums_of(const struct store_record *r, struct store_sums *ret)
{
    *ret = (struct store_sums){0};
    store_sums_note(ret, r);
}

// --- Groups: a hash table from a number to sums.

struct group {
    uint32_t number;
    bool used;
    struct span text; // looked up at the end; in the map
    struct store_sums sums;
};

struct groups {
    struct group *at;
    uint32_t mask; // places - 1
    uint32_t count;
};

static uint32_t spread(uint32_t v)
{
    return (uint32_t)((v * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static struct group *group_place(const struct groups *g, uint32_t number)
{
    uint32_t i = spread(number) & g->mask;
    while (g->at[i].used && g->at[i].number != number) i = (i + 1) & g->mask;
    return &g->at[i];
}

static bool groups_grow(struct groups *g)
{
    const struct groups old = *g;
    const uint32_t places = old.at ? 2 * (old.mask + 1) : 256;
    g->at = calloc(places, sizeof *g->at);
    if (!g->at) {
        *g = old;
        return false;
    }
    g->mask = places - 1;
    for (uint32_t i = 0; old.at && i <= old.mask; i++)
        if (old.at[i].used) *group_place(g, old.at[i].number) = old.at[i];
    free(old.at);
    return true;
}

static enum rw_err groups_add(struct groups *g, uint32_t number, const struct store_sums *sums)
{
    if ((!g->at || g->count > g->mask / 2) && !groups_grow(g)) return (enum rw_err) - ENOMEM;
    struct group *at = group_place(g, number);
    if (!at->used) {
        *at = (struct group){.number = number, .used = true, .sums = *sums};
        g->count++;
        return RW_OK;
    }
    store_sums_add(&at->sums, sums);
    return RW_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int by_text(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    const uint32_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    const int c = n ? memcmp(x->text.p, y->text.p, n) : 0;
    return c ? c : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static bool is_text(enum store_group group)
{
    return group == STORE_BY_MODEL || group == STORE_BY_PROVIDER || group == STORE_BY_TAG;
}

// Tells the groups in order.
static enum rw_err groups_tell(struct store_reader *r, struct groups *g, enum store_group group,
                               store_usage_fn *fn, void *ctx)
{
    uint32_t n = 0;
    for (uint32_t i = 0; g->at && i <= g->mask; i++) {
        if (!g->at[i].used) continue;
        g->at[n] = g->at[i];
        if (is_text(group)) RW_TRY(store_ledger_text_of(r->store, r->txn, g->at[n].number, &g->at[n].text));
        n++;
    }
    if (n) qsort(g->at, n, sizeof *g->at, is_text(group) ? by_text : by_number);
    for (uint32_t i = 0; i < n; i++) {
        const bool has_id = group == STORE_BY_TENANT || group == STORE_BY_TEAM || group == STORE_BY_KEY;
        const struct store_usage_row row = {.day = group == STORE_BY_DAY ? g->at[i].number : 0,
                                            .id = has_id ? g->at[i].number : 0,
                                            .text = g->at[i].text,
                                            .sums = g->at[i].sums};
        if (!fn(&row, ctx)) break;
    }
    return RW_OK;
}

// --- Walking over rows of sums.

struct sum_walk {
    const struct store_usage_query *q;
    enum store_level level;
    uint32_t model, provider, tag; // numbers; 0: any
    struct groups groups;
};

// The fields of a row's key.
struct place {
    uint32_t day, tenant, team, key, model, provider, tag;
};

static bool wanted(const struct sum_walk *w, const struct place *p)
{
    const struct store_usage_query *q = w->q;
    return (!q->tenant || q->tenant == p->tenant) && (!q->team || q->team == p->team) &&
        (!q->key || q->key == p->key) && (!w->model || w->model == p->model) &&
        (!w->provider || w->provider == p->provider) && (!w->tag || w->tag == p->tag);
}

static uint32_t group_of(enum store_group group, const struct place *p)
{
    switch (group) {
    case STORE_BY_NOTHING: return 0;
    case STORE_BY_DAY: return p->day;
    case STORE_BY_TENANT: return p->tenant;
    case STORE_BY_TEAM: return p->team;
    case STORE_BY_KEY: return p->key;
    case STORE_BY_MODEL: return p->model;
    case STORE_BY_PROVIDER: return p->provider;
    case STORE_BY_TAG: return p->tag;
    }
    return 0;
}

static enum rw_err take_row(struct sum_walk *w, const struct place *p, MDB_val v)
{
    struct store_sums sums;
    if (!wanted(w, p)) return RW_OK;
    RW_TRY(store_ledger_sums_read(store_span(v), &sums));
    return groups_add(&w->groups, group_of(w->q->group, p), &sums);
}

static struct place rollup_place(const uint8_t *p)
{
    return (struct place){.day = store_be32_of(p),
                          .tenant = store_be32_of(p + 5),
                          .team = store_be32_of(p + 9),
                          .key = store_be32_of(p + 13),
                          .model = store_be32_of(p + 17),
                          .provider = store_be32_of(p + 21)};
}

// The rows of a level for each day: from the first one that may be wanted to the last.
static enum rw_err walk_rollup(struct sum_walk *w, MDB_cursor *c)
{
    const struct store_usage_query *q = w->q;
    for (uint64_t day = q->first_day; day <= q->last_day; day++) {
        uint8_t from[ROLLUP_KEY_BYTES] = {0};
        store_be32(from, (uint32_t)day);
        from[4] = (uint8_t)w->level;
        store_be32(from + 5, q->tenant);
        if (q->tenant) store_be32(from + 9, q->team);
        if (q->tenant && q->team) store_be32(from + 13, q->key);
        const uint32_t prefix = 5u + (q->tenant ? 4u : 0u) + (q->tenant && q->team ? 4u : 0u);
        MDB_val k = store_val(from, sizeof from), v;
        int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
        for (; !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
            if (k.mv_size != ROLLUP_KEY_BYTES) return RW_E_CORRUPT;
            if (memcmp(k.mv_data, from, prefix) != 0) break;
            const struct place p = rollup_place(k.mv_data);
            RW_TRY(take_row(w, &p, v));
        }
        if (rc == MDB_NOTFOUND) break;
        if (rc) return store_err(rc);
        // Days without rows are not asked for one by one.
        const uint32_t there = store_be32_of(k.mv_data);
        if (there > day + 1) day = there - 1;
    }
    return RW_OK;
}

static enum rw_err walk_tags(struct sum_walk *w, MDB_cursor *c)
{
    uint8_t from[TAG_KEY_BYTES] = {0};
    store_be32(from, w->q->first_day);
    MDB_val k = store_val(from, sizeof from), v;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (; !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (k.mv_size != TAG_KEY_BYTES) return RW_E_CORRUPT;
        const uint8_t *b = k.mv_data;
        const struct place p = {.day = store_be32_of(b),
                                .team = store_be32_of(b + 4),
                                .tag = store_be32_of(b + 8),
                                .tenant = store_be32_of(b + 12)};
        if (p.day > w->q->last_day) return RW_OK;
        RW_TRY(take_row(w, &p, v));
    }
    return rc == MDB_NOTFOUND ? RW_OK : store_err(rc);
}

// 0 for an empty text. A text that was never seen: RW_E_NOT_FOUND, and there are no rows.
static enum rw_err number_of(struct store_reader *r, struct span text, uint32_t *ret)
{
    *ret = 0;
    return text.n ? store_ledger_text_find(r->store, r->txn, text, ret) : RW_OK;
}

static enum rw_err sum_rows(struct store_reader *r, struct sum_walk *w)
{
    const struct store_usage_query *q = w->q;
    const bool tags = q->group == STORE_BY_TAG || q->tag.n;
    enum rw_err err = number_of(r, q->model, &w->model);
    if (!err) err = number_of(r, q->provider, &w->provider);
    if (!err) err = number_of(r, q->tag, &w->tag);
    if (err) return err == RW_E_NOT_FOUND ? RW_OK : err;
    w->level = q->key || q->group == STORE_BY_KEY ? LEVEL_KEY
        : q->team || q->group == STORE_BY_TEAM    ? LEVEL_TEAM
                                                  : LEVEL_TENANT;
    MDB_cursor *c;
    RW_TRY(store_err(mdb_cursor_open(r->txn, r->store->dbi[tags ? TABLE_TAGS : TABLE_ROLLUP], &c)));
    err = tags ? walk_tags(w, c) : walk_rollup(w, c);
    mdb_cursor_close(c);
    return err;
}

enum rw_err store_usage_sum(struct store_reader *r, const struct store_usage_query *q, store_usage_fn *fn,
                            void *ctx)
{
    MUST(r->env == STORE_USAGE);
    const bool tags = q->group == STORE_BY_TAG || q->tag.n;
    const bool finer = q->key || q->model.n || q->provider.n || q->group == STORE_BY_KEY ||
        q->group == STORE_BY_MODEL || q->group == STORE_BY_PROVIDER;
    if (tags && finer) return RW_E_BAD;
    struct sum_walk w = {.q = q};
    RW_TRY(store_reader_begin(r));
    enum rw_err err = sum_rows(r, &w);
    if (!err) err = groups_tell(r, &w.groups, q->group, fn, ctx);
    store_reader_end(r);
    free(w.groups.at);
    return err;
}

// --- Raw records.

static bool has_tag(const struct store_record *r, struct span tag)
{
    for (uint32_t i = 0; i < r->texts.tags_count; i++)
        if (span_eq(r->texts.tags[i], tag)) return true;
    return false;
}

static bool raw_wanted(const struct store_raw_query *q, const struct store_record *r)
{
    return (!q->tenant || q->tenant == r->tenant) && (!q->team || q->team == r->team) &&
        (!q->key || q->key == r->key) && (!q->model.n || span_eq(q->model, r->texts.model)) &&
        (!q->provider.n || span_eq(q->provider, r->texts.provider)) && (!q->tag.n || has_tag(r, q->tag));
}

static void id_of_ms(int64_t ms, uint8_t ret[STORE_ID_BYTES])
{
    memset(ret, 0, STORE_ID_BYTES);
    for (int i = 6; i-- > 0; ms >>= 8) ret[i] = (uint8_t)ms;
}

static enum rw_err walk_raw(MDB_cursor *c, const struct store_raw_query *q, store_raw_fn *fn, void *ctx)
{
    uint8_t from[STORE_ID_BYTES];
    id_of_ms(q->newest_first ? q->to_ms : q->from_ms, from);
    MDB_val k = store_val(from, sizeof from), v;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    // The newest are those before the first that is too new.
    if (q->newest_first) rc = mdb_cursor_get(c, &k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    for (; !rc; rc = mdb_cursor_get(c, &k, &v, q->newest_first ? MDB_PREV : MDB_NEXT)) {
        struct store_record r;
        RW_TRY(store_record_decode(store_span(k), store_span(v), &r));
        const int64_t ms = store_id_ms(r.id);
        if (q->newest_first ? ms < q->from_ms : ms >= q->to_ms) return RW_OK;
        if (raw_wanted(q, &r) && !fn(&r, ctx)) return RW_OK;
    }
    return rc == MDB_NOTFOUND ? RW_OK : store_err(rc);
}

// The rest of a walk in a snapshot of the reader's that is begun.
static enum rw_err raw_within(struct store_reader *r, const struct store_raw_query *q, store_raw_fn *fn,
                              void *ctx)
{
    MDB_cursor *c;
    RW_TRY(store_err(mdb_cursor_open(r->txn, r->store->dbi[TABLE_RAW], &c)));
    const enum rw_err err = walk_raw(c, q, fn, ctx);
    mdb_cursor_close(c);
    return err;
}

enum rw_err store_usage_raw(struct store_reader *r, const struct store_raw_query *q, store_raw_fn *fn,
                            void *ctx)
{
    MUST(r->env == STORE_USAGE && q->from_ms >= 0 && q->to_ms < INT64_C(1) << 48);
    RW_TRY(store_reader_begin(r));
    const enum rw_err err = raw_within(r, q, fn, ctx);
    store_reader_end(r);
    return err;
}

static enum rw_err walk_parts(MDB_cursor *c, const uint8_t *id, store_raw_fn *fn, void *ctx)
{
    MDB_val k = store_val(id, STORE_ID_BYTES), v;
    bool any = false;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (; !rc; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct store_record r;
        RW_TRY(store_record_decode(store_span(k), store_span(v), &r));
        if (memcmp(r.id, id, STORE_ID_BYTES) != 0) break;
        any = true;
        if (!fn(&r, ctx)) return RW_OK;
    }
    if (rc && rc != MDB_NOTFOUND) return store_err(rc);
    return any ? RW_OK : RW_E_NOT_FOUND;
}

enum rw_err store_usage_explain(struct store_reader *r, const uint8_t id[STORE_ID_BYTES], store_raw_fn *fn,
                                void *ctx)
{
    MUST(r->env == STORE_USAGE);
    MDB_cursor *c;
    RW_TRY(store_reader_begin(r));
    enum rw_err err = store_err(mdb_cursor_open(r->txn, r->store->dbi[TABLE_RAW], &c));
    if (!err) {
        err = walk_parts(c, id, fn, ctx);
        mdb_cursor_close(c);
    }
    store_reader_end(r);
    return err;
}

// --- What was spent since a moment.

struct since {
    struct store_reader *r;
    enum store_group group;
    struct groups groups;
    enum rw_err err;
};

static bool since_raw(const struct store_record *rec, void *ctx)
{
    struct since *s = ctx;
    struct store_sums sums;
    struct place p = {.tenant = rec->tenant, .team = rec->team, .key = rec->key};
    store_sums_of(rec, &sums);
    // A record's texts were numbered when it was written; those without one are summed as "other".
    s->err = number_of(s->r, rec->texts.model, &p.model);
    if (s->err == RW_E_NOT_FOUND) {
        p.model = TEXT_OTHER;
        s->err = RW_OK;
    }
    if (!s->err) s->err = groups_add(&s->groups, group_of(s->group, &p), &sums);
    return s->err == RW_OK;
}

static enum rw_err since(struct since *s, int64_t from_ms)
{
    const uint32_t next_day = (uint32_t)((from_ms + STORE_DAY_MS - 1) / STORE_DAY_MS);
    const struct store_raw_query edge = {.from_ms = from_ms, .to_ms = (int64_t)next_day * STORE_DAY_MS};
    if (edge.to_ms > from_ms) RW_TRY(raw_within(s->r, &edge, since_raw, s));
    RW_TRY(s->err);
    const struct store_usage_query q = {.first_day = next_day, .last_day = UINT32_MAX - 1, .group = s->group};
    struct sum_walk w = {.q = &q, .groups = s->groups};
    const enum rw_err err = sum_rows(s->r, &w);
    s->groups = w.groups;
    return err;
}

enum rw_err store_usage_since(struct store_reader *r, int64_t from_ms, enum store_group group,
                              store_usage_fn *fn, void *ctx)
{
    MUST(r->env == STORE_USAGE && from_ms >= 0);
    MUST(group == STORE_BY_NOTHING || (group >= STORE_BY_TENANT && group <= STORE_BY_MODEL));
    struct since s = {.r = r, .group = group};
    RW_TRY(store_reader_begin(r));
    enum rw_err err = since(&s, from_ms);
    if (!err) err = groups_tell(r, &s.groups, group, fn, ctx);
    store_reader_end(r);
    free(s.groups.at);
    return err;
}

enum rw_err store_usage_oldest(struct store_reader *r, int64_t *ret_ms)
{
    uint64_t bytes;
    MUST(r->env == STORE_USAGE);
    return store_ledger_raw_size(r->store, &bytes, ret_ms);
}
