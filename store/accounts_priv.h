// How accounts lie in their tables; for accounts.c and accounts_write.c.
//
//   keys      HMAC: KEY_RECORD, encoded account;  or KEY_PREVIOUS, newer HMAC, good until (8)
//   key_ids   id (4): HMAC, and that of the key before it was rotated, if it was
//   groups    kind (1), id (4): encoded account
//   names     kind (1), name: id (4);  of keys: kind (1), name, 0, id (4): id (4)
//   children  kind (1), parent's id (4), id (4): nothing;  kind is the child's
//   labels    kind (1), id (4): name
#ifndef RINGWAY_STORE_ACCOUNTS_PRIV_H
#define RINGWAY_STORE_ACCOUNTS_PRIV_H

#include "store/accounts.h"
#include "store/store_priv.h"

enum { KEY_RECORD = 1, KEY_PREVIOUS = 2 };

#define PREVIOUS_BYTES (1 + STORE_HASH_BYTES + 8)

struct store_short_key {
    uint8_t p[16];
    uint32_t n;
};

struct store_name_key {
    uint8_t p[1 + STORE_NAME_BYTES_MAX + 1 + 4];
    uint32_t n;
};

static inline struct span store_short_span(const struct store_short_key *k)
{
    return (struct span){k->p, k->n};
}

static inline struct store_short_key store_id_key(enum store_kind kind, uint32_t id)
{
    struct store_short_key k = {.n = 5};
    k.p[0] = (uint8_t)kind;
    store_be32(k.p + 1, id);
    return k;
}

static inline struct store_short_key store_key_id_key(uint32_t id)
{
    struct store_short_key k = {.n = 4};
    store_be32(k.p, id);
    return k;
}

static inline struct store_short_key store_child_key(enum store_kind kind, uint32_t parent, uint32_t id)
{
    struct store_short_key k = {.n = 9};
    k.p[0] = (uint8_t)kind;
    store_be32(k.p + 1, parent);
    store_be32(k.p + 5, id);
    return k;
}

// name.n <= STORE_NAME_BYTES_MAX.
static inline struct store_name_key store_name_key(enum store_kind kind, struct span name, uint32_t id)
{
    struct store_name_key k = {.n = 1 + name.n};
    k.p[0] = (uint8_t)kind;
    if (name.n) memcpy(k.p + 1, name.p, name.n);
    if (kind == STORE_KEY) {
        k.p[k.n++] = 0;
        store_be32(k.p + k.n, id);
        k.n += 4;
    }
    return k;
}

// The encoded account by its id, in the map. ret_hash (may be NULL): a key's hash and the one before, the
// second empty if there is none; in the map, too.
RW_WARN_UNUSED enum rw_err store_account_bytes(const struct store *s, MDB_txn *txn, enum store_kind kind,
                                               uint32_t id, struct span *ret, struct span ret_hash[2]);

#endif
