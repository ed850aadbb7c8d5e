// Mapped cells: a table of atomic words in a file that all workers of all processes on one data_dir share. Limiters count in
// it, and what else must act as one across cores. A cell is one cache line: a name of 128 bits and six words whose meaning is
// the user's (policy/limit.h).
//
// Use      store_cells_open(); if it was alone, make the contents right (below), then store_cells_ready(); store_cells_find()
//          once per name, keep the pointer for the life of the table; store_cells_close() when no worker runs any more.
// Alone    Each process holds a shared OFD lock on the file, which the kernel drops at any death. An opener that finds nobody
//          else gets the lock exclusively: the words are then those of processes that are dead, or all zero if the file is new,
//          of an earlier boot or of another layout. It has to mend them (journals, ledger) before store_cells_ready() lets
//          others in; they get -EAGAIN until then and try again.
// Shared   Somebody lives: the words are his too and are left as they are. If his layout differs, -EBUSY: wait for him to
//          drain.
// Whole    The file is allocated before it is mapped: -ENOSPC at the start instead of a SIGBUS later. It is never synced.
// Find     A name is found or made without a lock; a cell is never moved and never taken away, so who has the pointer keeps it.
//          The table is bounded; a full one says NULL and counts it.
// Lend     Names without bound (end users) live in a second, set-associative part: who has one borrows it, and one that
//          nobody holds may be given to another name when it has nothing left to remember.
// Thread   store_cells_open(), _ready(), _close(): one. All others any thread of any process. Nothing suspends but open (file
//          I/O).
#ifndef RINGWAY_STORE_CELLS_H
#define RINGWAY_STORE_CELLS_H

#include <stdatomic.h>

#include "base/err.h"

#define STORE_CELL_WORDS 6

struct store_cell {
    _Atomic uint64_t id, kind; // the name; both 0: free
    _Atomic int64_t word[STORE_CELL_WORDS];
} __attribute__((aligned(64)));

static_assert(sizeof(struct store_cell) == 64, "one cache line");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the words are shared between processes");

// Neither half is 0.
struct store_cell_name {
    uint64_t id, kind;
};

struct store_cells;

struct store_cells_cfg {
    const char *path;
    uint32_t cells; // for names that stay; a power of two, at most STORE_CELLS_MAX
    uint32_t lent; // for names that come and go; 0, or a power of two from 8 to STORE_CELLS_MAX
    uint64_t layout; // what the words mean: changes when the user's layout does
    uint8_t boot_id[16]; // the words hold times of this boot's clock
};

enum store_cells_how {
    STORE_CELLS_NEW, // alone; all words are 0
    STORE_CELLS_LEFT, // alone; the words were left by dead processes of this boot
    STORE_CELLS_SHARED, // a living process uses them
};

// -EBUSY: a living process has another layout or size. -EAGAIN: another process is opening; try again. Else what the file
// system says.
RW_WARN_UNUSED enum rw_err store_cells_open(const struct store_cells_cfg *cfg, struct store_cells **ret,
                                            enum store_cells_how *ret_how);

// The words are right: others may come in. Does nothing if it was shared.
RW_WARN_UNUSED enum rw_err store_cells_ready(struct store_cells *c);

void store_cells_close(struct store_cells *c); // NULL is fine

// NULL: the table is full.
struct store_cell *store_cells_find(struct store_cells *c, struct store_cell_name name);

// The same without making it. NULL: there is none.
struct store_cell *store_cells_peek(struct store_cells *c, struct store_cell_name name);

// A cell as a number, the same in every process, for journals; below UINT32_MAX.
uint32_t store_cells_index(const struct store_cells *c, const struct store_cell *cell);
struct store_cell *store_cells_at(struct store_cells *c, uint32_t index); // NULL: out of range

// Has nothing left to remember: may be forgotten. Nobody else changes the cell during the call.
typedef bool (*store_cell_idle_fn)(void *ctx, const struct store_cell *cell);

// Finds or makes a cell for a while. Word 0 of a lent cell is the number of its holders: 1 more now (*ret_holders, with this
// one), and the caller gives it back by store_cells_give(). now_ns (of the boot's clock, not 0) tells a claim in progress from
// one whose claimer died. NULL: the name's set is full of cells that are held or remember something.
struct store_cell *store_cells_lend(struct store_cells *c, struct store_cell_name name,
                                    store_cell_idle_fn idle, void *ctx, int64_t now_ns, int64_t *ret_holders);

// Gives back what was lent or, by store_cells_at(), what a dead process held. A cell without holders is left as it is.
void store_cells_give(struct store_cell *cell);

// Every cell that has a name, in no order. With `alone`, and only while the caller is alone, cells of the lent part that a dead
// process was about to claim are freed, too.
typedef void (*store_cell_each_fn)(void *ctx, struct store_cell *cell);
void store_cells_each(struct store_cells *c, bool alone, store_cell_each_fn each, void *ctx);

struct store_cells_stat {
    uint32_t cells, used; // of names that stay
    uint32_t lent; // room for names that come and go
    uint64_t no_room; // times that a name found no cell, since the file was made
};
struct store_cells_stat store_cells_stat(const struct store_cells *c);

#endif
