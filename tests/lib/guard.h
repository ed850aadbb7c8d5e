// Bytes flush against a page that may not be touched, so that a parser which reads one byte too far dies
// at that byte, with or without ASan. For unit tests and fuzz targets.
//
// Use      struct guard g = guard_open(4096);
//          const uint8_t *p = guard_put(&g, bytes, n);     // catches reading past the last byte
//          const uint8_t *q = guard_put_low(&g, bytes, n); // catches reading in front of the first
//          guard_close(&g);
// Owner    the caller. Each put overwrites the one before; the room between the pages is filled with
//          GUARD_FILL first, so that what a parser reads on the open side is never by chance what it hopes
//          for.
// Errors   no memory, or n larger than the room: abort, as this is a test's own fault.
#ifndef RINGWAY_TESTS_LIB_GUARD_H
#define RINGWAY_TESTS_LIB_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_FILL 0xa5

struct guard {
    uint8_t *map; // forbidden page, room, forbidden page
    uint8_t *room;
    size_t cap; // of the room, whole pages
    size_t page;
};

static inline struct guard guard_open(size_t cap)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guard g = {.page = page, .cap = (cap + page - 1) / page * page};
    if (g.cap == 0) g.cap = page;
    g.map = mmap(NULL, g.cap + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED) abort();
    g.room = g.map + page;
    if (mprotect(g.room, g.cap, PROT_READ | PROT_WRITE) != 0) abort();
    return g;
}

static inline void guard_close(struct guard *g)
{
    if (g->map) munmap(g->map, g->cap + 2 * g->page);
    g->map = NULL;
}

static inline uint8_t *guard_place(struct guard *g, uint8_t *at, const void *bytes, size_t n)
{
    memset(g->room, GUARD_FILL, g->cap);
    if (n) memcpy(at, bytes, n);
    return at;
}

// A writable copy whose byte behind the last is forbidden. n may be 0: then the pointer itself is.
static inline uint8_t *guard_put(struct guard *g, const void *bytes, size_t n)
{
    if (n > g->cap) abort();
    return guard_place(g, g->room + g->cap - n, bytes, n);
}

// A writable copy whose byte before the first is forbidden.
static inline uint8_t *guard_put_low(struct guard *g, const void *bytes, size_t n)
{
    if (n > g->cap) abort();
    return guard_place(g, g->room, bytes, n);
}

#endif
