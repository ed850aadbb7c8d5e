// See cells.h. The table is a hash table with linear probing that only grows: a free cell is taken by one compare-and-swap on
// the first half of the name and one on the second. A claimer that dies in between leaves a first half that whoever comes next
// with the same one completes, so no crash loses more than a cell.
#include "store/cells_priv.h"
#include "store/store_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
// How far a name is looked for. At the fullest that store_cells_find() allows (7/8), the mean of a search that finds nothing
// is 32.
#define PROBES_MAX 512

static uint64_t file_bytes(const struct store_cells_cfg *cfg)
{
    return STORE_CELLS_HEADER_BYTES + ((uint64_t)cfg->cells + cfg->lent) * sizeof(struct store_cell);
}

static int lock(int fd, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &l);
}

static bool same_shape(const struct store_cells_header *h, const struct store_cells_cfg *cfg)
{
    return atomic_load_explicit(&h->magic, memory_order_acquire) == STORE_CELLS_MAGIC &&
        h->version == VERSION && h->cell_bytes == sizeof(struct store_cell) && h->layout == cfg->layout &&
        h->bytes == file_bytes(cfg) && h->cells == cfg->cells && h->lent == cfg->lent &&
        memcmp(h->boot_id, cfg->boot_id, sizeof h->boot_id) == 0;
}

// The file as it should be, with the lock held exclusively. Emptied first, so that all words are zero; allocated whole.
static enum rw_err make_file(int fd, const struct store_cells_cfg *cfg)
{
    if (ftruncate(fd, 0) != 0) return rw_errno();
    return store_file_fill(fd, (int64_t)file_bytes(cfg));
}

static void write_header(struct store_cells_header *h, const struct store_cells_cfg *cfg)
{
    h->version = VERSION;
    h->cell_bytes = sizeof(struct store_cell);
    h->layout = cfg->layout;
    h->bytes = file_bytes(cfg);
    h->cells = cfg->cells;
    h->lent = cfg->lent;
    memcpy(h->boot_id, cfg->boot_id, sizeof h->boot_id);
    atomic_store_explicit(&h->magic, STORE_CELLS_MAGIC, memory_order_release);
}

// False: the file is too short to be mapped as cfg says.
static bool file_fits(int fd, const struct store_cells_cfg *cfg)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == file_bytes(cfg);
}

static void *map_file(int fd, const struct store_cells_cfg *cfg)
{
    return mmap(NULL, file_bytes(cfg), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static enum rw_err open_locked(int fd, const struct store_cells_cfg *cfg, bool alone, void **ret_map,
                               enum store_cells_how *ret_how)
{
    *ret_how = alone ? STORE_CELLS_LEFT : STORE_CELLS_SHARED;
    const bool fits = file_fits(fd, cfg);
    if (!fits && !alone) return (enum rw_err) - EBUSY;
    if (!fits) RW_TRY(make_file(fd, cfg));
    void *map = map_file(fd, cfg);
    if (map == MAP_FAILED) return rw_errno();
    *ret_map = map;
    if (same_shape(map, cfg)) return RW_OK;
    if (!alone) return (enum rw_err) - EBUSY;
    // Ours by its length only, or of another boot. Emptying takes its pages from below the mapping; they are read again as
    // zeros.
    RW_TRY(make_file(fd, cfg));
    write_header(map, cfg);
    *ret_how = STORE_CELLS_NEW;
    return RW_OK;
}

static bool is_power(uint32_t n)
{
    return n && (n & (n - 1)) == 0 && n <= STORE_CELLS_MAX;
}

enum rw_err store_cells_open(const struct store_cells_cfg *cfg, struct store_cells **ret,
                             enum store_cells_how *ret_how)
{
    MUST(is_power(cfg->cells) && (cfg->lent == 0 || (is_power(cfg->lent) && cfg->lent >= STORE_CELLS_WAYS)));
    struct store_cells *c = calloc(1, sizeof *c);
    if (!c) return (enum rw_err) - ENOMEM;
    c->fd = open(cfg->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->fd < 0) {
        const enum rw_err err = rw_errno();
        free(c);
        return err;
    }
    enum rw_err err = RW_OK;
    void *map = MAP_FAILED;
    enum store_cells_how how;
    if (lock(c->fd, F_WRLCK) == 0) c->exclusive = true;
    else if (lock(c->fd, F_RDLCK) != 0) err = (enum rw_err) - EAGAIN;
    if (err == RW_OK) err = open_locked(c->fd, cfg, c->exclusive, &map, &how);
    if (err != RW_OK) {
        if (map != MAP_FAILED) munmap(map, file_bytes(cfg));
        close(c->fd);
        free(c);
        return err;
    }
    c->header = map;
    c->cell = (struct store_cell *)(void *)((uint8_t *)map + STORE_CELLS_HEADER_BYTES);
    c->cells = cfg->cells;
    c->lent = cfg->lent;
    c->mask = cfg->cells - 1;
    *ret = c;
    *ret_how = how;
    return RW_OK;
}

enum rw_err store_cells_ready(struct store_cells *c)
{
    if (!c->exclusive) return RW_OK;
    if (lock(c->fd, F_RDLCK) != 0) return rw_errno();
    c->exclusive = false;
    return RW_OK;
}

void store_cells_close(struct store_cells *c)
{
    if (!c) return;
    munmap(c->header, c->header->bytes);
    close(c->fd);
    free(c);
}

// 1: the cell has the name, as before or from now on. 0: it has another.
static int claim(struct store_cells *c, struct store_cell *cell, struct store_cell_name name)
{
    uint64_t id = atomic_load_explicit(&cell->id, memory_order_acquire);
    if (id == 0) {
        // The count goes first: who dies behind it has made the table smaller by one, never larger.
        if (atomic_fetch_add_explicit(&c->header->used, 1, memory_order_relaxed) >= c->cells - c->cells / 8) {
            atomic_fetch_sub_explicit(&c->header->used, 1, memory_order_relaxed);
            return -1;
        }
        if (atomic_compare_exchange_strong(&cell->id, &id, name.id)) id = name.id;
        else atomic_fetch_sub_explicit(&c->header->used, 1, memory_order_relaxed);
    }
    if (id != name.id) return 0;
    uint64_t kind = atomic_load_explicit(&cell->kind, memory_order_acquire);
    if (kind == 0 && atomic_compare_exchange_strong(&cell->kind, &kind, name.kind)) kind = name.kind;
    return kind == name.kind;
}

struct store_cell *store_cells_find(struct store_cells *c, struct store_cell_name name)
{
    MUST(name.id && name.kind);
    uint64_t at = store_cells_hash(name);
    for (uint32_t i = 0; i < PROBES_MAX && i < c->cells; i++, at++) {
        struct store_cell *cell = &c->cell[at & c->mask];
        const int got = claim(c, cell, name);
        if (got > 0) return cell;
        if (got < 0) break;
    }
    atomic_fetch_add_explicit(&c->header->no_room, 1, memory_order_relaxed);
    return NULL;
}

struct store_cell *store_cells_peek(struct store_cells *c, struct store_cell_name name)
{
    uint64_t at = store_cells_hash(name);
    for (uint32_t i = 0; i < PROBES_MAX && i < c->cells; i++, at++) {
        struct store_cell *cell = &c->cell[at & c->mask];
        const uint64_t id = atomic_load_explicit(&cell->id, memory_order_acquire);
        if (id == 0) return NULL;
        if (id == name.id && atomic_load_explicit(&cell->kind, memory_order_acquire) == name.kind)
            return cell;
    }
    return NULL;
}

uint32_t store_cells_index(const struct store_cells *c, const struct store_cell *cell)
{
    MUST(cell >= c->cell && (uint64_t)(cell - c->cell) < (uint64_t)c->cells + c->lent);
    return (uint32_t)(cell - c->cell);
}

struct store_cell *store_cells_at(struct store_cells *c, uint32_t index)
{
    return index < (uint64_t)c->cells + c->lent ? &c->cell[index] : NULL;
}

struct store_cells_stat store_cells_stat(const struct store_cells *c)
{
    return (struct store_cells_stat){
        .cells = c->cells,
        .used = atomic_load_explicit(&c->header->used, memory_order_relaxed),
        .lent = c->lent,
        .no_room = atomic_load_explicit(&c->header->no_room, memory_order_relaxed),
    };
}
