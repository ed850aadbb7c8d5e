// What the files of store/ share: the tables, an open store, transactions, and bytes in the stored order.
//
// Numbers in keys are big-endian, so that keys sort as numbers do; in values little-endian, whatever machine.
#ifndef RINGWAY_STORE_PRIV_H
#define RINGWAY_STORE_PRIV_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/env.h"

// X(symbol, environment, name in the file)
#define STORE_TABLES(X) \
    X(TABLE_ACCOUNTS_META, STORE_ACCOUNTS, "meta") /* name: number or bytes */ \
    X(TABLE_KEYS, STORE_ACCOUNTS, "keys") /* HMAC of a key: account, or pointer to its newer hash */ \
    X(TABLE_KEY_IDS, STORE_ACCOUNTS, "key_ids") /* id: HMAC */ \
    X(TABLE_GROUPS, STORE_ACCOUNTS, "groups") /* kind, id: account of a tenant, team or plan */ \
    X(TABLE_NAMES, STORE_ACCOUNTS, "names") /* kind, name (keys: and id): id */ \
    X(TABLE_CHILDREN, STORE_ACCOUNTS, "children") /* kind, parent's id, id: nothing */ \
    X(TABLE_LABELS, STORE_ACCOUNTS, "labels") /* kind, id: name, of what was deleted */ \
    X(TABLE_AUDIT, STORE_ACCOUNTS, "audit") /* sequence: entry */ \
    X(TABLE_USAGE_META, STORE_USAGE, "meta") /* name: number or bytes */ \
    X(TABLE_RAW, STORE_USAGE, "raw") /* request id, part: record */ \
    X(TABLE_ROLLUP, STORE_USAGE, "rollup") /* day, level, tenant, team, key, model, provider: sums */ \
    X(TABLE_TAGS, STORE_USAGE, "tags") /* day, team, tag: sums */ \
    X(TABLE_TEXTS, STORE_USAGE, "texts") /* model, provider or tag: number */ \
    X(TABLE_TEXT_IDS, STORE_USAGE, "text_ids") /* number: that text */

#define X(symbol, env, name) symbol,
enum store_table { STORE_TABLES(X) STORE_TABLE_COUNT };
#undef X

struct store {
    MDB_env *env[STORE_ENVS];
    MDB_dbi dbi[STORE_TABLE_COUNT];
    struct store_version_page *version; // mapped, shared by all processes
    int version_fd; // its OFD lock is held around a commit to accounts
    int lock_fd; // its shared OFD lock is held while the store is open
    pthread_mutex_t commit_lock; // OFD locks do not part the threads of one process
    // Of the thread that writes to accounts: a record to be written, and one as it was.
    uint8_t scratch[STORE_ACCOUNT_BYTES_MAX + 1];
    uint8_t current[STORE_ACCOUNT_BYTES_MAX];
    char dir[STORE_PATH_BYTES_MAX];
};

struct store_txn {
    struct store *store;
    MDB_txn *txn;
    enum store_env env;
};

struct store_reader {
    struct store *store;
    MDB_txn *txn; // reset between calls
    enum store_env env;
};

// Files that processes share (files.c). Their locks belong to the open file, not to the process, and end with it.
RW_WARN_UNUSED enum rw_err store_file_lock(int fd, short type, bool wait);
// Gives a file real blocks up to a size; what lies in it stays.
RW_WARN_UNUSED enum rw_err store_file_fill(int fd, int64_t bytes);

// LMDB's codes in ours.
RW_WARN_UNUSED enum rw_err store_err(int rc);

// A snapshot, until the end. Spans into it die at the end.
RW_WARN_UNUSED enum rw_err store_reader_begin(struct store_reader *r);
void store_reader_end(struct store_reader *r);

static inline MDB_val store_val(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}

static inline struct span store_span(MDB_val v)
{
    return span_of(v.mv_data, v.mv_size);
}

// One record; RW_E_NOT_FOUND. The span is the map's: good until the transaction ends or writes.
RW_WARN_UNUSED enum rw_err store_get(const struct store *s, MDB_txn *txn, enum store_table table,
                                     struct span key, struct span *ret);
// flags as of mdb_put().
RW_WARN_UNUSED enum rw_err store_put(struct store_txn *t, enum store_table table, struct span key,
                                     struct span value, unsigned flags);
// RW_E_NOT_FOUND if there is none.
RW_WARN_UNUSED enum rw_err store_del(struct store_txn *t, enum store_table table, struct span key);

// Numbers in a meta table, by name; 0 if absent.
RW_WARN_UNUSED enum rw_err store_meta_get(const struct store *s, MDB_txn *txn, enum store_table table,
                                          const char *name, uint64_t *ret);
RW_WARN_UNUSED enum rw_err store_meta_put(struct store_txn *t, enum store_table table, const char *name,
                                          uint64_t value);

// --- Bytes. Writing beyond the end sets `overflow` and writes nothing; reading beyond it sets `bad`, gives 0.

static inline void store_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

static inline uint32_t store_be32_of(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t store_be64_of(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are stored as they lie in memory");

struct store_out {
    uint8_t *p;
    uint32_t n, cap;
    bool overflow;
};

static inline void store_out_bytes(struct store_out *o, const void *p, uint32_t n)
{
    if (o->overflow || n > o->cap - o->n) {
        o->overflow = true;
        return;
    }
    if (n) memcpy(o->p + o->n, p, n);
    o->n += n;
}

static inline void store_out_u8(struct store_out *o, uint8_t v)
{
    store_out_bytes(o, &v, 1);
}

static inline void store_out_u32(struct store_out *o, uint32_t v)
{
    store_out_bytes(o, &v, 4);
}

static inline void store_out_u64(struct store_out *o, uint64_t v)
{
    store_out_bytes(o, &v, 8);
}

static inline void store_out_span(struct store_out *o, struct span s)
{
    store_out_u32(o, s.n);
    store_out_bytes(o, s.p, s.n);
}

struct store_in {
    struct span rest;
    bool bad;
};

static inline void store_in_bytes(struct store_in *in, void *p, uint32_t n)
{
    if (in->bad || n > in->rest.n) {
        in->bad = true;
        memset(p, 0, n);
        return;
    }
    memcpy(p, in->rest.p, n);
    in->rest = (struct span){in->rest.p + n, in->rest.n - n};
}

static inline uint8_t store_in_u8(struct store_in *in)
{
    uint8_t v;
    store_in_bytes(in, &v, 1);
    return v;
}

static inline uint32_t store_in_u32(struct store_in *in)
{
    uint32_t v;
    store_in_bytes(in, &v, 4);
    return v;
}

static inline uint64_t store_in_u64(struct store_in *in)
{
    uint64_t v;
    store_in_bytes(in, &v, 8);
    return v;
}

static inline struct span store_in_span(struct store_in *in)
{
    const uint32_t n = store_in_u32(in);
    if (in->bad || n > in->rest.n) {
        in->bad = true;
        return (struct span){NULL, 0};
    }
    const struct span s = {in->rest.p, n};
    in->rest = (struct span){in->rest.p + n, in->rest.n - n};
    return s;
}

#endif
