// The memory of one exchange: taken piece by piece, given back all at once. Blocks of ARENA_BLOCK_BYTES come from the
// worker's block list (last in, first out); a piece that is larger than a block is an allocation of its own. All of it
// is charged to the worker's budget and bounded by `max`.
//
// Use      arena_init(); arena_alloc()...; arena_done(). arena_mark()/arena_rewind() around an attempt that may be
//          repeated: what was taken after the mark is given back.
// Owner    the exchange. Pieces are valid until arena_done() or a rewind to before them.
// Errors   arena_alloc() returns NULL when the bound, the budget or malloc refuses, and `overflow` stays set: a stage may
//          build several pieces and look at the flag once.
// ASan     each piece is its own malloc with red zones, so that writing past one is seen.
// Thread   the worker's. Never suspends.
#ifndef RINGWAY_BASE_ARENA_H
#define RINGWAY_BASE_ARENA_H

#include "base/budget.h"
#include "base/limits.h"
#include "base/span.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_EMULATED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_EMULATED 1
#endif
#endif
#ifndef ARENA_EMULATED
#define ARENA_EMULATED 0
#endif

struct arena_block;

// Free blocks of a worker, shared by its arenas.
struct arena_pool {
    struct arena_block *free;
    struct budget *budget;
    uint32_t free_count;
    uint32_t free_max; // more than these go back to malloc
};

struct arena {
    struct arena_pool *pool;
    struct arena_block *block; // newest first
    uint8_t *at;
    uint8_t *end;
    uint32_t used; // bytes charged
    uint32_t max;
    bool overflow;
};

struct arena_mark {
    struct arena_block *block;
    uint8_t *at;
    bool overflow; // an overflow before the mark outlives a rewind
};

void arena_pool_init(struct arena_pool *pool, struct budget *budget, uint32_t free_max);
void arena_pool_done(struct arena_pool *pool);

void arena_init(struct arena *a, struct arena_pool *pool, uint32_t max);
void arena_done(struct arena *a);

// n bytes, aligned to 16, contents undefined. NULL sets a->overflow. n == 0 gives a valid pointer.
void *arena_alloc_slow(struct arena *a, uint32_t n); // when the newest block has no room
static inline void *arena_alloc(struct arena *a, uint32_t n)
{
    const uint32_t need = (n + 15) & ~UINT32_C(15);
    // Pieces of no bytes, and of nearly all that a number can say, are the other's.
    if (ARENA_EMULATED || RW_UNLIKELY(need - 1 >= (size_t)(a->end - a->at))) return arena_alloc_slow(a, n);
    void *piece = a->at;
    a->at += need;
    return piece;
}

// A copy of s in the arena; {NULL, 0} with overflow set if it does not fit.
struct span arena_copy(struct arena *a, struct span s);

struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

#endif
