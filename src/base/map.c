// See map.h. A slot without a value is empty; removing moves later entries of the run back, so there are no
// tombstones and a search ends at the first empty slot.
#include "base/map.h"

#include <stdlib.h>

#define SLOTS_MIN 8

__extension__ typedef unsigned __int128 wide;

struct map_slot {
    const uint8_t *p;
    uint32_t n;
    uint32_t hash;
    void *value;
};

static_assert(sizeof(struct map_slot) <= 24, "the header states this size");

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Both halves of the product: each bit of the result depends on all bits of a and b.
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t map_hash(struct span key, uint64_t seed)
{
    // Both factors of each product hold a secret: with a public one, a key could be chosen that makes the
    // product 0 and with that independent of the seed.
    const uint64_t secret = seed * UINT64_C(0x9fb21c651e98df25) + UINT64_C(0xd6e8feb86659fd93);
    uint64_t h = fold(seed ^ UINT64_C(0xa24baed4963ee407), secret);
    const uint8_t *p = key.p;
    uint32_t n = key.n;
    for (; n > 16; p += 16, n -= 16) h = fold(load64(p) ^ secret, load64(p + 8) ^ h);
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        a = load64(p);
        b = load64(p + n - 8);
    } else if (n >= 4) {
        a = load32(p) << 32 | load32(p + n - 4);
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    return fold(h ^ key.n, fold(a ^ secret, b ^ h) ^ secret);
}

void map_init(struct map *m, uint64_t seed, uint32_t max)
{
    MUST(max >= 1 && max <= MAP_ENTRIES_MAX);
    *m = (struct map){.seed = seed, .max = max};
}

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){.seed = m->seed, .max = m->max};
}

// The slot of key, or the empty one where it belongs. There is always an empty one.
static struct map_slot *find(struct map_slot *slots, uint32_t mask, struct span key, uint32_t hash)
{
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *s = &slots[i];
        if (!s->value) return s;
        if (s->hash == hash && s->n == key.n && (key.n == 0 || memcmp(s->p, key.p, key.n) == 0)) return s;
    }
}

void *map_get(const struct map *m, struct span key)
{
    if (RW_UNLIKELY(m->count == 0)) return NULL;
    return find(m->slots, m->mask, key, (uint32_t)map_hash(key, m->seed))->value;
}

static enum rw_err grow(struct map *m)
{
    const uint32_t slots_n = m->slots ? (m->mask + 1) * 2 : SLOTS_MIN;
    struct map_slot *slots = calloc(slots_n, sizeof *slots);
    if (!slots) return (enum rw_err) - ENOMEM;
    for (uint32_t i = 0; m->slots && i <= m->mask; i++) {
        const struct map_slot *s = &m->slots[i];
        if (!s->value) continue;
        uint32_t at = s->hash & (slots_n - 1);
        while (slots[at].value) at = (at + 1) & (slots_n - 1);
        slots[at] = *s;
    }
    free(m->slots);
    m->slots = slots;
    m->mask = slots_n - 1;
    return RW_OK;
}

enum rw_err map_put(struct map *m, struct span key, void *value, void **ret_old)
{
    MUST(value);
    const uint32_t hash = (uint32_t)map_hash(key, m->seed);
    struct map_slot *s = m->slots ? find(m->slots, m->mask, key, hash) : NULL;
    if (!s || !s->value) {
        if (m->count >= m->max) return RW_E_TOO_LARGE;
        // At most three quarters full: runs stay short, and a search always meets an empty slot.
        if (!s || ((uint64_t)m->count + 1) * 4 > ((uint64_t)m->mask + 1) * 3) {
            RW_TRY(grow(m));
            s = find(m->slots, m->mask, key, hash);
        }
        m->count++;
        *s = (struct map_slot){.p = key.p, .n = key.n, .hash = hash};
    }
    if (ret_old) *ret_old = s->value;
    s->value = value;
    return RW_OK;
}

void *map_remove(struct map *m, struct span key)
{
    if (m->count == 0) return NULL;
    struct map_slot *hole = find(m->slots, m->mask, key, (uint32_t)map_hash(key, m->seed));
    void *value = hole->value;
    if (!value) return NULL;
    // Entries further along the run move into the hole unless they would then lie before their own place.
    uint32_t hole_at = (uint32_t)(hole - m->slots);
    for (uint32_t i = (hole_at + 1) & m->mask; m->slots[i].value; i = (i + 1) & m->mask) {
        const uint32_t home = m->slots[i].hash & m->mask;
        if (((i - home) & m->mask) < ((i - hole_at) & m->mask)) continue;
        m->slots[hole_at] = m->slots[i];
        hole_at = i;
    }
    m->slots[hole_at] = (struct map_slot){0};
    m->count--;
    return value;
}

bool map_next(const struct map *m, uint32_t *cursor, struct span *ret_key, void **ret_value)
{
    while (m->slots && *cursor <= m->mask) {
        const struct map_slot *s = &m->slots[(*cursor)++];
        if (!s->value) continue;
        *ret_key = (struct span){s->p, s->n};
        *ret_value = s->value;
        return true;
    }
    return false;
}
