// See sim_books.h.
#include "tests/sim/sim_books.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/usage.h"
#include "store/writer.h"
#include "tests/sim/sim_exchange.h"

#define RUNS_WITH_PERCENT 20
#define SLOTS 2048
#define KEYS 3
#define LARGE INT64_C(1000000)

static struct {
    bool on;
    char dir[64];
    struct store *store;
    struct store_cells *cells;
    struct store_writer *writer;
    struct store_journal *journal[SIM_WORKERS_MAX];
    struct limit_set set[LIMIT_LEVELS];
    struct limit_bound key[KEYS], team, model, global;
    struct price_table *prices;
    struct price price;
    // Of the log: lines of requests with a key, and of those that may have ended before they had a record.
    uint64_t lines, early;
    // Of the ledger.
    uint64_t records;
    int64_t nanos;
} books;

static const struct store_cells_cfg cells_cfg = {
    .path = "", .cells = 256, .lent = 64, .layout = LIMIT_LAYOUT};

static void bind_limit(enum limit_level level, uint32_t id, struct limit_bound *ret)
{
    const enum rw_err err =
        limit_bind(books.cells, level, (struct limit_id){.lo = id}, &books.set[level], ret);
    MUST(err == RW_OK);
}

// So large that nobody is refused: what refusals do to the words is shown elsewhere; here everything has to come back.
static void limits_make(void)
{
    struct limit_cfg cfg = limit_cfg_none();
    const char *why;
    cfg.rpm = cfg.concurrency = LARGE;
    cfg.tpm = 500 * LARGE;
    cfg.usd_per_month = cfg.usd_per_day = LARGE * 1000000000;
    for (int level = 0; level < LIMIT_LEVELS; level++) {
        const enum rw_err err = limit_compile(&cfg, (enum limit_level)level, &books.set[level], &why);
        MUST(err == RW_OK);
    }
    for (uint32_t i = 0; i < KEYS; i++) bind_limit(LIMIT_KEY, i + 1, &books.key[i]);
    bind_limit(LIMIT_TEAM, 1, &books.team);
    bind_limit(LIMIT_MODEL, 1, &books.model);
    bind_limit(LIMIT_GLOBAL, 1, &books.global);
}

static void store_make(struct sim_gateway *g)
{
    char why[STORE_WHY_BYTES], path[96];
    snprintf(books.dir, sizeof books.dir, "%s/ringway-sim.XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    MUST(mkdtemp(books.dir));
    snprintf(path, sizeof path, "%s/store", books.dir);
    const struct store_cfg cfg = {.data_dir = path, .map_bytes = {MIB(4), MIB(64)}};
    enum rw_err err = store_open(&cfg, &books.store, why);
    struct store_cells_cfg cells = cells_cfg;
    enum store_cells_how how;
    snprintf(path, sizeof path, "%s/cells", books.dir);
    cells.path = path;
    if (!err) err = store_cells_open(&cells, &books.cells, &how);
    if (!err) err = store_cells_ready(books.cells);
    const struct store_writer_cfg writer = {.store = books.store};
    if (!err) err = store_writer_open(&writer, &books.writer);
    for (uint32_t i = 0; i < g->workers && !err; i++) {
        err = store_journal_open(books.store, 0, (uint8_t)i, SLOTS, &books.journal[i]);
        if (!err) store_writer_add(books.writer, books.journal[i]);
    }
    SIM_MUST(g->w, err == RW_OK, "the books cannot be opened: %d %s", (int)err, why);
}

void sim_books_open(struct sim_gateway *g)
{
    memset(&books, 0, sizeof books);
    if (!sim_chance(g->w, RUNS_WITH_PERCENT)) return;
    books.on = true;
    store_make(g);
    limits_make();
    char why[PRICE_WHY_BYTES];
    books.price = (struct price){.chat = true};
    for (int i = 0; i < PRICE_CLASSES; i++)
        books.price.pico[i] = PRICE_UNKNOWN, books.price.above_pico[i] = PRICE_UNKNOWN;
    books.price.pico[PRICE_INPUT] = 150000;
    books.price.pico[PRICE_OUTPUT] = 600000;
    MUST(price_complete(&books.price));
    books.prices = price_table_new();
    MUST(books.prices && price_table_read(books.prices, SPAN("{\"models\":[]}"), why) == RW_OK);
}

void sim_books_worker(struct worker_cfg *cfg)
{
    if (!books.on) return;
    cfg->cells = books.cells;
    cfg->journal = books.journal[cfg->index];
}

void sim_books_key(struct principal *key, uint32_t i)
{
    key->planned = true;
    if (!books.on) return;
    key->key_id = i + 1;
    key->team_id = key->tenant_id = 1;
    key->limit[0] = &books.key[i];
    key->limit[1] = &books.team;
}

void sim_books_plan(struct plan *p, struct plan_model *models, uint32_t n)
{
    if (!books.on) return;
    p->prices = books.prices;
    p->limit = &books.global;
    p->end_user = &books.set[LIMIT_END_USER];
    p->ledger_full_refuses = true;
    p->budget_status = 402;
    for (uint32_t i = 0; i < n; i++) {
        models[i].price = i % 3 ? &books.price : NULL;
        models[i].limit = i % 2 ? &books.model : NULL;
        models[i].hash = i;
    }
}

static bool has(struct span line, const char *text)
{
    return memmem(line.p, line.n, text, strlen(text)) != NULL;
}

void sim_books_line(struct span line)
{
    if (!books.on || !has(line, "\"key\":\"k\"")) return;
    books.lines++;
    if (has(line, "\"end\":\"overloaded\"") || has(line, "\"end\":\"bad_key\"")) books.early++;
}

// --- The end.

static bool add_record(const struct store_record *r, void *ctx)
{
    struct sim_gateway *g = ctx;
    books.records++;
    books.nanos += r->cost_nanos;
    SIM_MUST(g->w, !(r->flags & (STORE_CRASHED | STORE_EARLIER_BOOT)), "a record of a crash that was none");
    SIM_MUST(g->w, r->key >= 1 && r->key <= KEYS && r->team == 1 && r->tenant == 1, "a record of nobody");
    return true;
}

static void check_ledger(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    struct store_reader *reader;
    const struct store_raw_query all = {.to_ms = (INT64_C(1) << 48) - 1};
    enum rw_err err = store_reader_open(books.store, STORE_USAGE, &reader);
    if (!err) err = store_usage_raw(reader, &all, add_record, g);
    SIM_MUST(w, err == RW_OK, "the ledger cannot be read: %d", (int)err);
    store_reader_close(reader);
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < g->workers; i++) dropped += logring_dropped(&g->access[i]);
    if (!g->shape.access_log || dropped) return;
    SIM_MUST(w, books.records <= books.lines && books.records + books.early >= books.lines,
             "%lu records for %lu requests with a key, %lu of which may have none",
             (unsigned long)books.records, (unsigned long)books.lines, (unsigned long)books.early);
}

static void check_cells(struct sim_gateway *g, const struct limit_time *t)
{
    const struct limit_bound *all[KEYS + 3] = {&books.key[0], &books.key[1], &books.key[2],
                                               &books.team,   &books.model,  &books.global};
    struct sim_world *w = g->w;
    int64_t used, limit, sum = 0;
    for (uint32_t i = 0; i < KEYS + 3; i++) {
        MUST(limit_used(all[i], LIMIT_CONCURRENCY, t, &used, &limit));
        SIM_MUST(w, used == 0, "limit %u: %ld requests are held", i, (long)used);
        MUST(limit_used(all[i], LIMIT_USD_MONTH, t, &used, &limit));
        if (i < KEYS) sum += used;
        const bool whole = all[i] == &books.team || all[i] == &books.global;
        SIM_MUST(w, !whole || used == sum, "limit %u: %ld nanos were counted, %ld by its keys", i, (long)used,
                 (long)sum);
    }
    SIM_MUST(w, sum == books.nanos, "%ld nanos were counted, the records say %ld", (long)sum,
             (long)books.nanos);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *f)
{
    (void)st;
    (void)what;
    (void)f;
    return remove(path);
}

void sim_books_close(struct sim_gateway *g)
{
    if (!books.on) return;
    struct limit_time t = {0};
    struct store_writer_stats stats;
    while (store_writer_step(books.writer, 0)) {}
    store_writer_stats(books.writer, &stats);
    SIM_MUST(g->w, !stats.trouble && !stats.repeated && !stats.damaged,
             "the writer: trouble %d, repeated %lu, damaged %lu", (int)stats.trouble,
             (unsigned long)stats.repeated, (unsigned long)stats.damaged);
    for (uint32_t i = 0; i < g->workers; i++)
        SIM_MUST(g->w, store_journal_room(books.journal[i]) == SLOTS,
                 "worker %u: slots of its journal are taken", i);
    check_ledger(g);
    limit_time_update(&t, limit_clock_cell(books.cells), NULL, g->w->now_ns,
                      g->w->now_ns + g->w->wall_ahead_ns);
    check_cells(g, &t);
    const enum rw_err err = store_writer_stop(books.writer, 0);
    MUST(err == RW_OK);
    for (uint32_t i = 0; i < g->workers; i++) store_journal_close(books.journal[i]);
    store_cells_close(books.cells);
    store_close(books.store);
    price_table_free(books.prices);
    (void)nftw(books.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
