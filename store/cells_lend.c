// The lent part of the table (see cells.h): sets of STORE_CELLS_WAYS cells; a name lives in the set that its hash names.
//
// Word 0 says what a cell is:   >= 0   named, so many holders     < 0   being claimed since -word nanoseconds
//
// A cell is claimed by making word 0 negative, which only succeeds without holders; then it gets its name, and the set is
// looked through once more. Two claimers of the same name cannot both miss the other, since each writes before it looks; who
// sees another one steps back and begins again. A claim that is older than CLAIM_NS_MAX was left by a death and is taken over.
#include "store/cells_priv.h"

#include <stddef.h>

#include "base/clock.h"

#define CLAIM_NS_MAX (10 * CLOCK_SEC)
#define TRIES_MAX 64

static struct store_cell *set_of(struct store_cells *c, struct store_cell_name name)
{
    const uint32_t sets = c->lent / STORE_CELLS_WAYS;
    return &c->cell[c->cells + (store_cells_hash(name) & (sets - 1)) * STORE_CELLS_WAYS];
}

static bool has_name(const struct store_cell *cell, struct store_cell_name name)
{
    return atomic_load(&cell->id) == name.id && atomic_load(&cell->kind) == name.kind;
}

// One holder more, if the cell still has the name.
static bool hold(struct store_cell *cell, struct store_cell_name name, int64_t *ret_holders)
{
    int64_t n = atomic_load(&cell->word[0]);
    do {
        if (n < 0) return false;
    } while (!atomic_compare_exchange_weak(&cell->word[0], &n, n + 1));
    if (has_name(cell, name)) { // and will keep it while it is held
        *ret_holders = n + 1;
        return true;
    }
    store_cells_give(cell);
    return false;
}

static struct store_cell *find_held(struct store_cell *set, struct store_cell_name name, int64_t *ret_holders)
{
    for (int i = 0; i < STORE_CELLS_WAYS; i++)
        if (has_name(&set[i], name) && hold(&set[i], name, ret_holders)) return &set[i];
    return NULL;
}

static void let_go(struct store_cell *cell, int64_t mark)
{
    atomic_store(&cell->kind, 0);
    atomic_store(&cell->id, 0);
    atomic_compare_exchange_strong(&cell->word[0], &mark, 0);
}

// Frees what the dead were claiming.
static void bury(struct store_cell *set, int64_t mark, int64_t now_ns)
{
    for (int i = 0; i < STORE_CELLS_WAYS; i++) {
        int64_t n = atomic_load(&set[i].word[0]);
        if (n < 0 && -n <= now_ns - CLAIM_NS_MAX && atomic_compare_exchange_strong(&set[i].word[0], &n, mark))
            let_go(&set[i], mark);
    }
}

// Makes the cell ours to rename; its words are zero then. False: it is held, being claimed, or remembers something.
static bool claim(struct store_cell *cell, store_cell_idle_fn idle, void *ctx, int64_t mark)
{
    int64_t n = 0;
    if (!atomic_compare_exchange_strong(&cell->word[0], &n, mark)) return false;
    if (atomic_load(&cell->kind) != 0 && !idle(ctx, cell)) {
        atomic_compare_exchange_strong(&cell->word[0], &mark, 0);
        return false;
    }
    atomic_store(&cell->kind, 0);
    for (int w = 1; w < STORE_CELL_WORDS; w++) atomic_store(&cell->word[w], 0);
    return true;
}

static struct store_cell *claim_one(struct store_cell *set, store_cell_idle_fn idle, void *ctx, int64_t mark)
{
    for (int i = 0; i < STORE_CELLS_WAYS; i++) // a free one before one that has to forget
        if (atomic_load(&set[i].kind) == 0 && claim(&set[i], idle, ctx, mark)) return &set[i];
    for (int i = 0; i < STORE_CELLS_WAYS; i++)
        if (claim(&set[i], idle, ctx, mark)) return &set[i];
    return NULL;
}

static bool named_elsewhere(const struct store_cell *set, const struct store_cell *cell,
                            struct store_cell_name name)
{
    for (int i = 0; i < STORE_CELLS_WAYS; i++)
        if (&set[i] != cell && has_name(&set[i], name)) return true;
    return false;
}

struct store_cell *store_cells_lend(struct store_cells *c, struct store_cell_name name,
                                    store_cell_idle_fn idle, void *ctx, int64_t now_ns, int64_t *ret_holders)
{
    MUST(name.id && name.kind && now_ns > 0);
    struct store_cell *set = c->lent ? set_of(c, name) : NULL;
    for (int i = 0; set && i < TRIES_MAX; i++) {
        struct store_cell *cell = find_held(set, name, ret_holders);
        if (cell) return cell;
        int64_t mark = -now_ns;
        bury(set, mark, now_ns);
        cell = claim_one(set, idle, ctx, mark);
        if (!cell) break;
        atomic_store(&cell->id, name.id);
        atomic_store(&cell->kind, name.kind);
        if (named_elsewhere(set, cell, name)) {
            let_go(cell, mark);
        } else if (atomic_compare_exchange_strong(&cell->word[0], &mark, 1)) {
            *ret_holders = 1;
            return cell;
        }
    }
    atomic_fetch_add_explicit(&c->header->no_room, 1, memory_order_relaxed);
    return NULL;
}

void store_cells_give(struct store_cell *cell)
{
    int64_t n = atomic_load_explicit(&cell->word[0], memory_order_relaxed);
    do {
        if (COUNT_IF(n <= 0)) return; // given back twice: better one too few than a count below zero
    } while (!atomic_compare_exchange_weak_explicit(&cell->word[0], &n, n - 1, memory_order_release,
                                                    memory_order_relaxed));
}

void store_cells_each(struct store_cells *c, bool alone, store_cell_each_fn each, void *ctx)
{
    for (uint64_t i = 0; i < (uint64_t)c->cells + c->lent; i++) {
        struct store_cell *cell = &c->cell[i];
        const int64_t mark = atomic_load_explicit(&cell->word[0], memory_order_relaxed);
        if (i >= c->cells && mark < 0) {
            if (alone) let_go(cell, mark);
            continue;
        }
        if (atomic_load_explicit(&cell->kind, memory_order_acquire)) each(ctx, cell);
    }
}
