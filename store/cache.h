// Answers that are kept to be given again: a folder of segments, written in a circle. Disposable: whatever happens to the files
// costs misses, never a wrong answer and never an error.
//
// Files    data_dir/cache/00 .. 31, each a head and records one behind the other; the oldest is emptied when room is needed, so
//          the folder never outgrows its bound. A record has its key, checksums and the number of its segment's round: what is
//          torn, overwritten or changed is no record. Nothing is mapped, since a mapped file that is cut is a SIGBUS, and
//          nothing is synced. This is why it is not one more LMDB environment: its pages have no checksums, so that a torn one
//          ends the process and not the search.
// Index    in memory, read by any thread without a lock, written by one. It holds a hash and a place; an entry of it that is
//          being changed leads to a record that is not the one asked for, which is a miss. Rebuilt from the records' heads at
//          open. A key that is not in it costs no system call.
// Hash     keyed by a secret of the folder. Keys are compared whole.
// Process  one process writes (it holds a lock on the folder); another one that overlaps reads what it found at its start, keeps
//          nothing new, and takes over when the first has gone.
// Thread   find, read, hash, purge and stats: any. step and close: the writer's (store/writer.h), or the test's.
#ifndef RINGWAY_STORE_CACHE_H
#define RINGWAY_STORE_CACHE_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

struct store_answers;

struct store_cache_cfg {
    const char *dir; // made if it is not there
    uint64_t bytes_max; // of all files
    bool sync; // what done() says is kept is on disk then
    uint32_t hash_bits; // 0: 64. Fewer make keys collide, for tests.
};

// Never fails for what lies in the folder, only when there cannot be one.
RW_WARN_UNUSED enum rw_err store_cache_open(const struct store_cache_cfg *cfg, struct store_answers **ret);
// What was posted is written first. NULL is fine.
void store_cache_close(struct store_answers *c);

uint64_t store_cache_hash(const struct store_answers *c, struct span key);

// Where the record with this hash may lie, and how large a buffer it needs.
struct store_cache_place {
    uint64_t at; // private
    uint32_t bytes;
};
bool store_cache_find(const struct store_answers *c, uint64_t hash, struct store_cache_place *ret);

struct store_cache_entry {
    int64_t made_ms, expires_ms; // since 1970
    struct span meta, body; // in the buffer
};
// False: it is not there, or is not what it should be, or is too old. buf: place.bytes. One system call.
bool store_cache_read(struct store_answers *c, const struct store_cache_place *place, uint64_t hash,
                      struct span asked, int64_t now_ms, uint8_t *buf, struct store_cache_entry *ret);

// The longest record: what one answer and its request may take.
uint64_t store_cache_record_max(const struct store_answers *c);

#define STORE_CACHE_IOV_MAX 48
// To be written. All of it is the writer's until done(), which says whether it can be found now; on the writer's thread.
struct store_cache_put {
    struct store_cache_put *next;
    uint64_t hash;
    struct span key, meta;
    const struct iovec *body;
    uint32_t body_n;
    int64_t made_ms, expires_ms;
    bool kept; // the writer's
    void (*done)(struct store_cache_put *put, bool kept);
};
void store_cache_post(struct store_answers *c, struct store_cache_put *put);

// Writes what was posted, empties the cache if that was asked for. True: something was done.
bool store_cache_step(struct store_answers *c, int64_t now_ms);

// Everything is to be forgotten, at the next step.
void store_cache_purge(struct store_answers *c);

struct store_cache_stats {
    uint64_t entries;
    uint64_t bytes, bytes_max; // of the files
    uint64_t written, evicted, purged; // entries, since open
    uint64_t failed; // could not be written
    uint64_t damaged; // found, and were not what they should be
    uint64_t purges; // that were carried out
    bool writes; // this process is the one that keeps answers
};
void store_cache_stats(const struct store_answers *c, struct store_cache_stats *ret);

#endif
