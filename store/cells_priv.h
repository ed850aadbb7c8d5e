// What cells.c and cells_lend.c share: the table as it lies in the file, and how a name becomes a place.
#ifndef RINGWAY_STORE_CELLS_PRIV_H
#define RINGWAY_STORE_CELLS_PRIV_H

#include "base/limits.h"
#include "store/cells.h"

#define STORE_CELLS_MAGIC UINT64_C(0x31736c6c65635752) // "RWcells1" where bytes are little-endian
#define STORE_CELLS_HEADER_BYTES 4096

// The first page of the file. `magic` is written last: a file whose maker died in between is nobody's.
struct store_cells_header {
    _Atomic uint64_t magic;
    uint32_t version, cell_bytes;
    uint64_t layout, bytes;
    uint8_t boot_id[16];
    uint32_t cells, lent;
    _Atomic uint32_t used;
    _Atomic uint64_t no_room;
};

static_assert(sizeof(struct store_cells_header) <= STORE_CELLS_HEADER_BYTES, "a page");

struct store_cells {
    struct store_cells_header *header;
    struct store_cell *cell; // cells, then lent
    uint32_t mask; // cells - 1
    uint32_t cells, lent;
    int fd;
    bool exclusive;
};

// Where the search for a name begins. Names are often small numbers: every bit of them moves every bit of the place
// (the finalizer of MurmurHash3).
static inline uint64_t store_cells_hash(struct store_cell_name name)
{
    uint64_t h = name.id ^ (name.kind * UINT64_C(0x9e3779b97f4a7c15));
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

#endif
