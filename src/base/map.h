// A hash map from spans to pointers: open addressing, linear probing, a seeded hash. Made for tables that are
// built when a configuration is loaded and read on the hot path: model names, key hashes, header names.
//
// Use      map_init(); map_put()...; map_get() many times; map_done().
// Owner    the caller owns keys and values: the map keeps the key's span, not a copy, so its bytes must
//          outlive the entry. A value is never NULL: NULL is how map_get() says "absent".
// Bound    `max` entries; memory is taken as the map grows (24 bytes a slot, at most 4/3 to 8/3 slots an
//          entry).
// Thread   any number of readers while nobody writes. Never suspends. Reads do not allocate.
// Errors   map_put(): RW_E_TOO_LARGE at `max`, -ENOMEM. The map is then unchanged.
#ifndef RINGWAY_BASE_MAP_H
#define RINGWAY_BASE_MAP_H

#include "base/err.h"
#include "base/span.h"

#define MAP_ENTRIES_MAX (UINT32_C(1) << 28)

struct map_slot;

struct map {
    struct map_slot *slots;
    uint64_t seed;
    uint32_t mask; // slots - 1; 0 while there are none
    uint32_t count;
    uint32_t max;
};

// max: 1 to MAP_ENTRIES_MAX. seed: random where keys come from outside, so that nobody can make them collide
// on purpose.
void map_init(struct map *m, uint64_t seed, uint32_t max);
void map_done(struct map *m);

// NULL if absent.
void *map_get(const struct map *m, struct span key);

// Adds or replaces. *ret_old (may be NULL): the value that was replaced, or NULL; the key that stays is then
// the older span.
RW_WARN_UNUSED enum rw_err map_put(struct map *m, struct span key, void *value, void **ret_old);

// The value that was removed, or NULL.
void *map_remove(struct map *m, struct span key);

// Visits each entry once, in no order. *cursor starts at 0. The map must not change meanwhile. False: no
// more.
bool map_next(const struct map *m, uint32_t *cursor, struct span *ret_key, void **ret_value);

// The hash itself, for tables of another shape. Not for secrets. Differs between architectures of different
// byte order.
uint64_t map_hash(struct span key, uint64_t seed);

#endif
