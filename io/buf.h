// Receive buffers: two groups per loop (clients, upstreams), so that a flood of one cannot starve the other.
//
// The ring of a group holds a number of buffers for the kernel to fill. A buffer that was filled belongs to the stream that
// received it, then to whoever takes it from there; io_buf_free() gives it back, to the ring or, when that is full, to the
// spare list (last in, first out: warm). Whenever a buffer leaves the ring for longer than a turn, the loop tops the ring up
// from the spares or from the heap: a slow holder never starves the others; only an exhausted byte budget does, and then
// receives wait until something is given back. Charged to the budget is what is held, not what waits to be filled.
//
// A buffer has exactly one owner word; each hand-over asserts it.
// Thread   the loop's.
#ifndef RINGWAY_IO_BUF_H
#define RINGWAY_IO_BUF_H

#include "base/budget.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/span.h"

struct io_loop;

enum io_group_id { IO_GROUP_CLIENT, IO_GROUP_UPSTREAM, IO_GROUPS };

enum io_buf_owner { IO_BUF_FREE, IO_BUF_KERNEL, IO_BUF_HELD };

struct io_buf {
    struct io_buf *next; // in a stream's queue or the spare list
    uint32_t off; // of the first unread byte in data
    uint32_t len; // unread bytes
    uint32_t cap;
    uint16_t id; // while the kernel's
    uint8_t group; // IO_GROUPS: a region of its own, from the heap
    uint8_t owner;
    uint8_t head_room[40]; // bytes before data that the holder may use
    uint8_t data[];
};

struct io_group {
    struct io_loop *loop;
    uint32_t bytes; // capacity of each buffer
    uint16_t count; // ids, a power of two
    uint16_t in_ring;
    uint16_t low; // of in_ring: then the ring is filled up
    uint16_t free_ids_n;
    uint8_t id;
    uint16_t *free_ids;
    struct io_buf **by_id;
    struct io_buf *spare;
    uint32_t spare_n;
    uint32_t made; // all that exist
    uint32_t held; // neither in the ring nor spare
    uint64_t starved_n; // receives that found no buffer
    struct list starved; // streams to re-arm, io_stream's rx_starved
};

// Regions that were given back and wait to be used again, by size.
#define IO_REGION_CLASSES 9
#define IO_LAST_BYTES KIB(4)
struct io_regions {
    struct io_buf *free[IO_REGION_CLASSES];
    uint32_t count[IO_REGION_CLASSES];
    uint32_t idle[IO_REGION_CLASSES]; // fewest since the last trim
    uint32_t kept_bytes;
};

// Unread bytes.
static inline struct span io_buf_span(const struct io_buf *b)
{
    return (struct span){b->data + b->off, b->len};
}

enum rw_err io_group_open(struct io_group *g, struct io_loop *loop, uint8_t id, uint16_t count,
                          uint32_t bytes) RW_WARN_UNUSED;
void io_group_close(struct io_group *g);
// The buffer of a completion; now HELD by the caller.
struct io_buf *io_group_taken(struct io_group *g, uint16_t id, uint32_t n);
// Once a turn: refills the ring and wakes the starved.
void io_group_top_up(struct io_group *g);

// A region of at least `cap` bytes from the heap, charged to the budget; NULL if that refuses. For joined heads and bodies.
struct io_buf *io_buf_region(struct io_loop *loop, uint32_t cap);
// A region of IO_LAST_BYTES that is charged also when the budget is used up, for the words that say so. NULL: no memory at all.
struct io_buf *io_buf_last(struct io_loop *loop);
void io_buf_free(struct io_loop *loop, struct io_buf *b);
// Makes room for n more bytes behind those of the region *b (NULL: none yet), which doubles in size. RW_E_TOO_LARGE if there
// would be more than max, RW_E_BUDGET; *b stays as it is then.
enum rw_err io_buf_grow(struct io_loop *loop, struct io_buf **b, uint32_t n, uint64_t max) RW_WARN_UNUSED;
// Gives back to the system what was not used since the last call, but for a little.
void io_regions_trim(struct io_loop *loop);
void io_regions_close(struct io_loop *loop);

// Zeroed address space that takes memory page by page as it is touched; NULL: there is none.
void *io_reserve(size_t bytes);
void io_reserve_free(void *p, size_t bytes); // p may be NULL

#endif
