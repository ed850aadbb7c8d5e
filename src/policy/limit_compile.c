// Limit objects as they are written become lists of parts, each with the word it is counted in. See limit_priv.h for the
// places.
#include "policy/limit_priv.h"

#include <string.h>

static const char *const level_names[] = {
#define X(symbol, name) name,
    LIMIT_LEVELS_LIST(X)
#undef X
};
static const char *const what_names[] = {
#define X(symbol, name) name,
    LIMIT_WHATS(X)
#undef X
};

const char *limit_level_name(enum limit_level level)
{
    MUST(level < LIMIT_LEVELS);
    return level_names[level];
}

const char *limit_what_name(enum limit_what what)
{
    MUST(what < LIMIT_WHAT_COUNT);
    return what_names[what];
}

struct limit_cfg limit_cfg_none(void)
{
    return (struct limit_cfg){
        .rpm = LIMIT_UNSET,
        .tpm = LIMIT_UNSET,
        .concurrency = LIMIT_UNSET,
        .usd_per_request = LIMIT_UNSET,
        .usd_per_day = LIMIT_UNSET,
        .usd_per_month = LIMIT_UNSET,
        .hard = true,
    };
}

// Where rates are counted, by window (second, minute, hour, day), and requests or tokens.
struct place {
    uint8_t cell, word;
};
static const struct place bucket_places[4][2] = {
    [LIMIT_SECOND] = {{LIMIT_C_RARE, 1}, {LIMIT_C_RARE, 2}},
    [LIMIT_MINUTE] = {{LIMIT_C_MAIN, 1}, {LIMIT_C_MAIN, 2}},
    [LIMIT_HOUR] = {{LIMIT_C_RARE, 3}, {LIMIT_C_RARE, 4}},
    [LIMIT_DAY] = {{LIMIT_C_MAIN, LIMIT_W_REQUESTS_DAY}, {LIMIT_C_RARE, LIMIT_W_TOKENS_DAY}},
};
static const struct place fixed_places[4][2] = {
    [LIMIT_SECOND] = {{LIMIT_C_FIXED_1, 1}, {LIMIT_C_FIXED_1, 2}},
    [LIMIT_MINUTE] = {{LIMIT_C_FIXED_1, 3}, {LIMIT_C_FIXED_1, 4}},
    [LIMIT_HOUR] = {{LIMIT_C_FIXED_1, 5}, {LIMIT_C_FIXED_2, 1}},
    [LIMIT_DAY] = {{LIMIT_C_MAIN, LIMIT_W_REQUESTS_DAY}, {LIMIT_C_RARE, LIMIT_W_TOKENS_DAY}},
};
static const int64_t window_ns[] = {
    [LIMIT_SECOND] = CLOCK_SEC,
    [LIMIT_MINUTE] = 60 * CLOCK_SEC,
    [LIMIT_HOUR] = 3600 * CLOCK_SEC,
    [LIMIT_DAY] = LIMIT_DAY_NS,
};

struct compiler {
    struct limit_set set;
    uint32_t seen; // one bit per enum limit_what
    bool fixed;
    const char *why;
};

// The place in the bound of a cell of that number; parts that share a cell share the place.
static uint8_t cell_place(struct limit_set *set, unsigned number)
{
    for (uint8_t i = 0; i < set->cells; i++)
        if (set->cell[i] == number) return i;
    MUST(set->cells < LIMIT_CELLS_MAX);
    set->cell[set->cells] = (uint8_t)number;
    return set->cells++;
}

static void put(struct compiler *c, enum limit_what what, struct limit_part part, unsigned cell)
{
    if (c->seen & 1u << what) {
        c->why = "the same limit is given twice (rpm and tpm are the rates of one minute)";
        return;
    }
    c->seen |= 1u << what;
    part.what = (uint8_t)what;
    part.cell = cell_place(&c->set, cell);
    MUST(c->set.count < LIMIT_PARTS_MAX);
    c->set.part[c->set.count++] = part;
}

static void put_rate(struct compiler *c, const struct limit_rate *r)
{
    if (r->window > LIMIT_DAY || r->limit < 1 || r->limit > LIMIT_AMOUNT_MAX(LIMIT_TOKEN_BITS)) {
        c->why = "a rate is a number from 1 to a trillion in a second, minute, hour or day";
        return;
    }
    const enum limit_what what =
        (enum limit_what)((r->tokens ? LIMIT_TOKENS_SECOND : LIMIT_REQUESTS_SECOND) + (int)r->window);
    const struct place place = (c->fixed ? fixed_places : bucket_places)[r->window][r->tokens];
    struct limit_part part = {
        .word = place.word, .bits = LIMIT_TOKEN_BITS, .limit = r->limit, .window_ns = window_ns[r->window]};
    if (r->window == LIMIT_DAY) {
        part.kind = LIMIT_K_DAY;
        if (r->burst) c->why = "a day's quota has no burst";
    } else if (c->fixed) {
        part.kind = LIMIT_K_WINDOW;
        if (r->burst) c->why = "a fixed window has no burst";
    } else {
        part.kind = LIMIT_K_BUCKET;
        if (!limit_bucket_make(r->limit, part.window_ns, r->burst, &part.bucket))
            c->why = "a rate may be at most 10 million a second, and its burst what it gives in two days";
    }
    const int64_t room = part.kind == LIMIT_K_BUCKET ? part.bucket.burst : part.limit;
    if (r->tokens && room < c->set.least_room) c->set.least_room = room;
    if (!c->why) put(c, what, part, place.cell);
}

static void put_short(struct compiler *c, int64_t limit, bool tokens)
{
    if (limit == LIMIT_UNSET) return;
    const struct limit_rate rate = {.window = LIMIT_MINUTE, .tokens = tokens, .limit = limit};
    put_rate(c, &rate);
}

static void put_money(struct compiler *c, int64_t nanos, bool month, bool rolling)
{
    if (nanos == LIMIT_UNSET || c->why) return;
    const enum limit_what what = month ? LIMIT_USD_MONTH : LIMIT_USD_DAY;
    struct limit_part part = {.limit = nanos,
                              .bits = month && !rolling ? LIMIT_MONTH_BITS : LIMIT_MONEY_BITS};
    if (!rolling) {
        part.kind = month ? LIMIT_K_MONTH : LIMIT_K_DAY;
        part.word = month ? LIMIT_W_USD_MONTH : LIMIT_W_USD_DAY;
        put(c, what, part, LIMIT_C_MAIN);
        return;
    }
    const unsigned first = month ? LIMIT_C_RING_MONTH : LIMIT_C_RING_DAY;
    part.kind = LIMIT_K_RING;
    part.word = 1;
    part.window_ns = month ? LIMIT_RING_MONTH_SLOT_NS : LIMIT_RING_DAY_SLOT_NS;
    put(c, what, part, first);
    for (unsigned i = 1; i < LIMIT_RING_CELLS; i++) (void)cell_place(&c->set, first + i);
}

static bool usd_ok(int64_t nanos, int64_t max)
{
    return nanos == LIMIT_UNSET || (nanos >= 0 && nanos <= max);
}

// What limit_admit() takes stands first; the order is otherwise that of enum limit_what, so that a refusal names the same limit
// however the object was written.
static void sort_parts(struct limit_set *set)
{
    for (uint8_t i = 1; i < set->count; i++) {
        const struct limit_part p = set->part[i];
        uint8_t at = i;
        for (; at > 0 && set->part[at - 1].what > p.what; at--) set->part[at] = set->part[at - 1];
        set->part[at] = p;
    }
    for (set->admit = 0; set->admit < set->count && limit_part_is_admit(&set->part[set->admit]); set->admit++)
        continue;
}

static uint8_t wants_of(const struct limit_set *set)
{
    const uint8_t money =
        set->hard && !set->shadow ? LIMIT_WANTS_MONEY | LIMIT_WANTS_WORST_CASE : LIMIT_WANTS_MONEY;
    uint8_t wants = set->usd_per_request != LIMIT_UNSET ? money : 0;
    for (uint8_t i = set->admit; i < set->count; i++)
        wants |= limit_what_is_money(set->part[i].what) ? money : LIMIT_WANTS_TOKENS;
    return wants;
}

enum rw_err limit_compile(const struct limit_cfg *cfg, enum limit_level level, struct limit_set *ret,
                          const char **ret_why)
{
    struct compiler c = {.fixed = cfg->fixed_window};
    c.set.hard = cfg->hard;
    c.set.shadow = cfg->shadow;
    c.set.usd_per_request = cfg->usd_per_request;
    c.set.least_room = INT64_MAX;
    if (level == LIMIT_END_USER) (void)cell_place(&c.set, LIMIT_C_MAIN); // whose word 0 is always counted
    if (cfg->concurrency != LIMIT_UNSET) {
        if (cfg->concurrency < 1 || cfg->concurrency > LIMIT_CONCURRENCY_MAX)
            c.why = "concurrency is a number from 1 to a billion";
        const struct limit_part part = {.kind = LIMIT_K_SLOTS, .limit = cfg->concurrency};
        put(&c, LIMIT_CONCURRENCY, part, LIMIT_C_MAIN);
    }
    put_short(&c, cfg->rpm, false);
    put_short(&c, cfg->tpm, true);
    MUST(cfg->rate_count <= LIMIT_RATES_MAX);
    for (uint32_t i = 0; i < cfg->rate_count && !c.why; i++) put_rate(&c, &cfg->rate[i]);
    const bool rolling = cfg->rolling && level != LIMIT_END_USER;
    if (!usd_ok(cfg->usd_per_request, LIMIT_USD_NANOS_MAX) ||
        !usd_ok(cfg->usd_per_day, LIMIT_USD_NANOS_MAX) ||
        !usd_ok(cfg->usd_per_month, rolling ? LIMIT_USD_NANOS_MAX : LIMIT_USD_MONTH_NANOS_MAX))
        c.why = "a budget is at most 4 million USD, of a month of the calendar 60 million, and not negative";
    put_money(&c, cfg->usd_per_day, false, rolling);
    put_money(&c, cfg->usd_per_month, true, rolling);
    if (c.why) {
        *ret_why = c.why;
        return RW_E_CONFIG;
    }
    sort_parts(&c.set);
    c.set.wants = wants_of(&c.set);
    *ret = c.set;
    return RW_OK;
}

enum rw_err limit_bind(struct store_cells *cells, enum limit_level level, struct limit_id id,
                       const struct limit_set *set, struct limit_bound *ret)
{
    struct limit_bound bound = {.set = set};
    for (uint8_t i = 0; i < set->cells; i++) {
        const struct store_cell_name name = {id.lo, limit_cell_kind(level, set->cell[i], id.hi)};
        bound.cell[i] = store_cells_find(cells, name);
        if (!bound.cell[i]) return RW_E_TOO_LARGE;
    }
    *ret = bound;
    return RW_OK;
}

struct store_cell *limit_clock_cell(struct store_cells *cells)
{
    return store_cells_find(cells, (struct store_cell_name){1, UINT64_C(0xff) << 56});
}

// What the word of a cell counts in periods, as of t. False: it is a bucket.
static bool count_of(unsigned number, int w, const struct limit_time *t, struct limit_count *ret)
{
    *ret = (struct limit_count){.bits = LIMIT_TOKEN_BITS, .period = t->at.day};
    if (number == LIMIT_C_MAIN && (w == LIMIT_W_USD_DAY || w == LIMIT_W_USD_MONTH)) {
        const bool month = w == LIMIT_W_USD_MONTH;
        ret->bits = month ? LIMIT_MONTH_BITS : LIMIT_MONEY_BITS;
        if (month) ret->period = t->at.month;
        return true;
    }
    if (number == LIMIT_C_MAIN || number == LIMIT_C_RARE) return w == LIMIT_W_REQUESTS_DAY;
    const int window = number == LIMIT_C_FIXED_2 || w == 5 ? LIMIT_HOUR : w < 3 ? LIMIT_SECOND : LIMIT_MINUTE;
    ret->period = (uint32_t)(t->at.utc_ns / window_ns[window]);
    return true;
}

// Nothing in the cell is different from a new one: its rates are full, its periods are over.
static bool is_idle(void *ctx, const struct store_cell *cell)
{
    const struct limit_time *t = ctx;
    const unsigned number = limit_cell_number(atomic_load_explicit(&cell->kind, memory_order_relaxed));
    for (int w = 1; w < STORE_CELL_WORDS; w++) {
        struct limit_count k;
        if (count_of(number, w, t, &k) ? limit_count_used(&cell->word[w], &k) > 0
                                       : limit_bucket_used_ns(&cell->word[w], t->now_ns) > 0)
            return false;
    }
    return true;
}

enum rw_err limit_lend(struct store_cells *cells, struct limit_id id, const struct limit_set *set,
                       const struct limit_time *t, struct limit_bound *ret)
{
    struct limit_bound bound = {.set = set, .lent = true};
    struct limit_time time = *t;
    for (uint8_t i = 0; i < set->cells; i++) {
        const struct store_cell_name name = {id.lo, limit_cell_kind(LIMIT_END_USER, set->cell[i], id.hi)};
        int64_t holders = 0;
        bound.cell[i] = store_cells_lend(cells, name, is_idle, &time, t->now_ns, &holders);
        if (!bound.cell[i]) {
            limit_lend_give(&bound);
            return RW_E_TOO_LARGE;
        }
        if (i == 0) bound.holders = holders;
    }
    *ret = bound;
    return RW_OK;
}

void limit_lend_give(struct limit_bound *bound)
{
    for (uint8_t i = 0; i < bound->set->cells && bound->cell[i]; i++) store_cells_give(bound->cell[i]);
    *bound = (struct limit_bound){.set = bound->set};
}

static void forget(void *ctx, struct store_cell *cell)
{
    (void)ctx;
    const uint64_t kind = atomic_load_explicit(&cell->kind, memory_order_relaxed);
    if (limit_cell_level(kind) == LIMIT_LEVELS) return;
    // The ledger knows nothing of end users: what the dead counted of them is the best there is.
    const bool known = limit_cell_level(kind) != LIMIT_END_USER;
    const unsigned number = limit_cell_number(kind);
    for (int w = 0; w < STORE_CELL_WORDS; w++) {
        const bool money = number == LIMIT_C_MAIN && (w == LIMIT_W_USD_DAY || w == LIMIT_W_USD_MONTH);
        const bool daily = number <= LIMIT_C_RARE && w == LIMIT_W_REQUESTS_DAY;
        if (w == 0 || (known && (money || daily || number >= LIMIT_C_RING_DAY)))
            atomic_store_explicit(&cell->word[w], 0, memory_order_relaxed);
    }
}

void limit_forget(struct store_cells *cells)
{
    store_cells_each(cells, true, forget, NULL);
}
