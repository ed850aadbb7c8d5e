// See buf.h.
#include "io/buf.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "io/loop.h"
#include "io/stream.h"

// Spare buffers kept beyond what the ring holds: bursts come back.
#define SPARE_MAX(g) ((g)->count)
// A body of unknown length begins with a region of this size.
#define GROW_FIRST_BYTES KIB(16)

static_assert(sizeof(struct io_buf) == 64, "data begins on a cache line");

static int64_t bytes_of(uint32_t cap)
{
    return (int64_t)sizeof(struct io_buf) + cap;
}

static struct io_buf *make(uint32_t cap, uint8_t group)
{
    struct io_buf *b = aligned_alloc(64, ((size_t)bytes_of(cap) + 63) & ~(size_t)63);
    if (b) *b = (struct io_buf){.cap = cap, .group = group, .owner = IO_BUF_FREE};
    return b;
}

static void to_ring(struct io_group *g, struct io_buf *b)
{
    MUST(b->owner == IO_BUF_FREE && g->free_ids_n > 0);
    b->id = g->free_ids[--g->free_ids_n];
    b->owner = IO_BUF_KERNEL;
    g->by_id[b->id] = b;
    g->in_ring++;
    g->loop->driver->ops->buffer_give(g->loop->driver, g->id, b->id, b->data);
}

enum rw_err io_group_open(struct io_group *g, struct io_loop *loop, uint8_t id, uint16_t count,
                          uint32_t bytes)
{
    *g = (struct io_group){
        .loop = loop, .bytes = bytes, .count = count, .low = (uint16_t)(count - count / 4), .id = id};
    list_init(&g->starved);
    g->free_ids = calloc(count, sizeof *g->free_ids);
    g->by_id = calloc(count, sizeof(struct io_buf *));
    if (!g->free_ids || !g->by_id) return (enum rw_err) - ENOMEM;
    RW_TRY(loop->driver->ops->group_open(loop->driver, id, count, bytes));
    for (uint16_t i = 0; i < count; i++) g->free_ids[i] = (uint16_t)(count - 1 - i);
    g->free_ids_n = count;
    io_group_top_up(g);
    return g->in_ring > 0 ? RW_OK : RW_E_BUDGET;
}

void io_group_close(struct io_group *g)
{
    MUST(g->held == 0);
    for (uint32_t i = 0; g->by_id && i < g->count; i++) free(g->by_id[i]);
    while (g->spare) {
        struct io_buf *b = g->spare;
        g->spare = b->next;
        free(b);
    }
    free(g->free_ids);
    free(g->by_id);
    *g = (struct io_group){0};
}

struct io_buf *io_group_taken(struct io_group *g, uint16_t id, uint32_t n)
{
    MUST(id < g->count);
    struct io_buf *b = g->by_id[id];
    MUST(b && b->owner == IO_BUF_KERNEL && n <= b->cap);
    g->by_id[id] = NULL;
    g->free_ids[g->free_ids_n++] = id;
    g->in_ring--;
    g->held++;
    // What was received is there: it is charged even if that is above the limit.
    budget_force(g->loop->budget, bytes_of(b->cap));
    b->owner = IO_BUF_HELD;
    b->next = NULL;
    b->off = 0;
    b->len = n;
    return b;
}

void io_group_top_up(struct io_group *g)
{
    while (g->in_ring < g->count) {
        struct io_buf *b = g->spare;
        if (b) {
            g->spare = b->next;
            g->spare_n--;
        } else {
            // The first ones are the loop's own; more are made only while the budget has room for what will fill them.
            const bool room = g->made < g->count || budget_fits(g->loop->budget, bytes_of(g->bytes));
            b = room ? make(g->bytes, g->id) : NULL;
            if (!b) break;
            g->made++;
        }
        to_ring(g, b);
    }
    // Half of the ring at least, or the next burst would starve them again at once.
    if (!list_empty(&g->starved) && g->in_ring >= g->count / 2) io_stream_rearm_starved(&g->starved);
}

// --- Regions: sizes are rounded up to powers of two, so that they can be used again; what is larger than the largest class
// comes from the kernel and goes back to it, since malloc would keep it for ever.

#define REGION_BITS_MIN 12
// Kept for ever, and kept while they are in use: the more the less often their pages must be made anew.
#define REGION_KEPT_BYTES MIB(4)
#define REGION_KEPT_BYTES_MAX MIB(64)
// The part of the budget that may be kept beside it.
#define REGION_KEPT_PART 8

static_assert(IO_REGION_CLASSES == 9, "4 KiB to 1 MiB");

static uint32_t region_class(uint32_t cap)
{
    uint32_t k = 0;
    while (k < IO_REGION_CLASSES && cap > UINT32_C(1) << (REGION_BITS_MIN + k)) k++;
    return k;
}

static struct io_buf *region_unkeep(struct io_regions *r, uint32_t k)
{
    struct io_buf *b = r->free[k];
    r->free[k] = b->next;
    r->kept_bytes -= b->cap;
    if (--r->count[k] < r->idle[k]) r->idle[k] = r->count[k];
    return b;
}

static struct io_buf *region_make(struct io_loop *loop, uint32_t k, uint32_t cap)
{
    if (k == IO_REGION_CLASSES) {
        void *p =
            mmap(NULL, (size_t)bytes_of(cap), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return NULL;
        struct io_buf *b = p;
        *b = (struct io_buf){.cap = cap, .group = IO_GROUPS};
        return b;
    }
    struct io_buf *b = loop->regions.free[k];
    if (!b) return make(cap, IO_GROUPS);
    region_unkeep(&loop->regions, k);
    b->next = NULL;
    b->off = b->len = 0;
    return b;
}

static bool keeps_more(const struct io_loop *loop, uint32_t bytes)
{
    const int64_t kept = (int64_t)loop->regions.kept_bytes + bytes;
    return kept <= REGION_KEPT_BYTES_MAX && kept <= loop->budget->limit / REGION_KEPT_PART;
}

static void region_free(struct io_loop *loop, struct io_buf *b)
{
    const uint32_t k = region_class(b->cap);
    if (k == IO_REGION_CLASSES) {
        munmap(b, (size_t)bytes_of(b->cap));
    } else if (loop->regions.kept_bytes + b->cap <= REGION_KEPT_BYTES || keeps_more(loop, b->cap)) {
        b->next = loop->regions.free[k];
        loop->regions.free[k] = b;
        loop->regions.count[k]++;
        loop->regions.kept_bytes += b->cap;
    } else {
        free(b);
    }
}

void io_regions_trim(struct io_loop *loop)
{
    struct io_regions *r = &loop->regions;
    for (uint32_t k = IO_REGION_CLASSES; k-- > 0;) {
        for (uint32_t n = r->idle[k]; n > 0 && r->kept_bytes > REGION_KEPT_BYTES; n--)
            free(region_unkeep(r, k));
        r->idle[k] = r->count[k];
    }
}

void io_regions_close(struct io_loop *loop)
{
    for (int k = 0; k < IO_REGION_CLASSES; k++) {
        while (loop->regions.free[k]) free(region_unkeep(&loop->regions, (uint32_t)k));
    }
}

struct io_buf *io_buf_region(struct io_loop *loop, uint32_t cap)
{
    const uint32_t k = region_class(cap);
    if (k < IO_REGION_CLASSES) cap = UINT32_C(1) << (REGION_BITS_MIN + k);
    if (!budget_take(loop->budget, bytes_of(cap))) return NULL;
    struct io_buf *b = region_make(loop, k, cap);
    if (b) b->owner = IO_BUF_HELD;
    else budget_give(loop->budget, bytes_of(cap));
    return b;
}

struct io_buf *io_buf_last(struct io_loop *loop)
{
    struct io_buf *b = region_make(loop, region_class(IO_LAST_BYTES), IO_LAST_BYTES);
    if (!b) return NULL;
    budget_force(loop->budget, bytes_of(IO_LAST_BYTES));
    b->owner = IO_BUF_HELD;
    return b;
}

enum rw_err io_buf_grow(struct io_loop *loop, struct io_buf **b, uint32_t n, uint64_t max)
{
    struct io_buf *old = *b;
    const uint64_t need = (old ? old->len : 0) + (uint64_t)n;
    if (need > max) return RW_E_TOO_LARGE;
    if (old && need <= old->cap - old->off) return RW_OK;
    uint64_t cap = old ? (uint64_t)old->cap * 2 : GROW_FIRST_BYTES;
    while (cap < need) cap *= 2;
    struct io_buf *grown = cap <= UINT32_MAX ? io_buf_region(loop, (uint32_t)cap) : NULL;
    if (!grown) return RW_E_BUDGET;
    if (old) {
        memcpy(grown->data, old->data + old->off, old->len);
        grown->len = old->len;
        io_buf_free(loop, old);
    }
    *b = grown;
    return RW_OK;
}

void io_buf_free(struct io_loop *loop, struct io_buf *b)
{
    MUST(b->owner == IO_BUF_HELD);
    b->owner = IO_BUF_FREE;
    budget_give(loop->budget, bytes_of(b->cap));
    if (b->group == IO_GROUPS) {
        region_free(loop, b);
        return;
    }
    struct io_group *g = &loop->group[b->group];
    g->held--;
    if (g->in_ring < g->count) {
        to_ring(g, b);
    } else if (g->spare_n < SPARE_MAX(g)) {
        b->next = g->spare;
        g->spare = b;
        g->spare_n++;
    } else {
        g->made--;
        free(b);
    }
}

void *io_reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    // A huge page would take 2 MiB at the first touch.
    (void)madvise(p, bytes, MADV_NOHUGEPAGE);
    (void)madvise(p, bytes, MADV_DONTDUMP); // what clients and providers say
    return p;
}

void io_reserve_free(void *p, size_t bytes)
{
    if (p) munmap(p, bytes);
}
