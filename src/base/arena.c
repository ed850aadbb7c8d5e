// See arena.h. The first fit is always the newest block: an exchange takes a few hundred bytes, so what the end of a block
// wastes is less than a search would cost.
#include "base/arena.h"

#include <stdlib.h>

struct arena_block {
    struct arena_block *next;
    uint32_t bytes; // charged, this header included
    uint32_t unused;
};

static_assert(sizeof(struct arena_block) == 16, "pieces behind the header stay aligned to 16");

void arena_pool_init(struct arena_pool *pool, struct budget *budget, uint32_t free_max)
{
    *pool = (struct arena_pool){.budget = budget, .free_max = free_max};
}

void arena_pool_done(struct arena_pool *pool)
{
    while (pool->free) {
        struct arena_block *b = pool->free;
        pool->free = b->next;
        free(b);
    }
    pool->free_count = 0;
}

void arena_init(struct arena *a, struct arena_pool *pool, uint32_t max)
{
    *a = (struct arena){.pool = pool, .max = max};
}

static void block_give(struct arena *a, struct arena_block *b)
{
    struct arena_pool *pool = a->pool;
    a->used -= b->bytes;
    budget_give(pool->budget, b->bytes);
    if (!ARENA_EMULATED && b->bytes == ARENA_BLOCK_BYTES && pool->free_count < pool->free_max) {
        b->next = pool->free;
        pool->free = b;
        pool->free_count++;
    } else {
        free(b);
    }
}

void arena_done(struct arena *a)
{
    while (a->block) {
        struct arena_block *b = a->block;
        a->block = b->next;
        block_give(a, b);
    }
    MUST(a->used == 0);
    a->at = a->end = NULL;
}

static struct arena_block *block_take(struct arena *a, uint32_t bytes)
{
    struct arena_pool *pool = a->pool;
    if (bytes > a->max - a->used || !budget_take(pool->budget, bytes)) return NULL;
    struct arena_block *b = bytes == ARENA_BLOCK_BYTES ? pool->free : NULL;
    if (b) {
        pool->free = b->next;
        pool->free_count--;
    } else {
        b = malloc(bytes);
    }
    if (!b) {
        budget_give(pool->budget, bytes);
        return NULL;
    }
    b->bytes = bytes;
    b->next = a->block;
    a->block = b;
    a->used += bytes;
    return b;
}

void *arena_alloc_slow(struct arena *a, uint32_t n)
{
    const uint32_t header = (uint32_t)sizeof(struct arena_block);
    if (!ARENA_EMULATED && n == 0 && a->at) return a->at;
    if (!ARENA_EMULATED && n <= UINT32_MAX - 15) n = (n + 15) & ~UINT32_C(15);
    if (a->max < header || n > a->max - header) {
        a->overflow = true;
        return NULL;
    }
    const bool own = ARENA_EMULATED || n > ARENA_BLOCK_BYTES - header;
    struct arena_block *b = block_take(a, own ? n + header : ARENA_BLOCK_BYTES);
    if (!b) {
        a->overflow = true;
        return NULL;
    }
    uint8_t *piece = (uint8_t *)(b + 1);
    if (own) {
        // Behind a piece of its own there is no room: the next one takes a new block.
        a->at = a->end = piece + n;
    } else {
        a->at = piece + n;
        a->end = (uint8_t *)b + ARENA_BLOCK_BYTES;
    }
    return piece;
}

struct span arena_copy(struct arena *a, struct span s)
{
    uint8_t *copy = arena_alloc(a, s.n);
    if (!copy) return (struct span){NULL, 0};
    if (s.n) memcpy(copy, s.p, s.n);
    return span_of(copy, s.n);
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){.block = a->block, .at = a->at, .overflow = a->overflow};
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    while (a->block != mark.block) {
        struct arena_block *b = a->block;
        MUST(b);
        a->block = b->next;
        block_give(a, b);
    }
    a->at = mark.at;
    // After a rewind into an ordinary block its end is known again; a piece of its own has none.
    a->end =
        a->block && a->block->bytes == ARENA_BLOCK_BYTES ? (uint8_t *)a->block + ARENA_BLOCK_BYTES : mark.at;
    a->overflow = mark.overflow;
}
