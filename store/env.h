// The store: two LMDB environments under one folder, their formats, and the way of every write.
//
//   accounts   tenants, teams, keys, plans, audit. Every commit is on disk when it returns.
//   usage      raw records of requests and their sums. The writer groups many records into one commit.
//
// Use      store_open() once per process and folder; store_reader_open() for each thread that reads;
//          store_commit() to write. store_close() when all readers and the writer are gone.
// Folder   data_dir/accounts, data_dir/usage (data.mdb, lock.mdb), data_dir/journal (journal.h),
//          data_dir/accounts.version, data_dir/lock. Created 0700 / 0600. A local file system: LMDB cannot
//          work on NFS.
// Process  several processes may have the folder open (the server, its successor, the command line); one
//          process opens it once: a second LMDB environment on a file in one process breaks the locks of the
//          first. After fork() the child must not touch what the parent opened.
// Thread   store_commit() from any thread that may wait for the disk, never a worker. A reader belongs to one
//          thread at a time. The rest: any.
// Cost     a read is 175 ns among 1,000 records; a commit of one record about 0.3 ms, 9 ms with 1,000.
// Errors   RW_E_FULL: the map is used up (store_info() tells long before). -ENOSPC, -EIO, -EFBIG: the disk is
//          full or broken; nothing of the transaction is stored, what was stored stays whole, and a later
//          commit succeeds when there is room again. RW_E_CORRUPT, RW_E_VERSION as err.h says.
#ifndef RINGWAY_STORE_ENV_H
#define RINGWAY_STORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

enum store_env { STORE_ACCOUNTS, STORE_USAGE, STORE_ENVS };

// The format written, and the oldest that is read. A release reads the format before its own as well and goes on
// writing that, so that the release before it can always come back.
#define STORE_FORMAT 1
#define STORE_FORMAT_OLDEST 1

#define STORE_WHY_BYTES 1024

struct store;
struct store_txn; // a write under way
struct store_reader;

struct store_cfg {
    const char *data_dir; // its parent must exist
    uint64_t map_bytes[STORE_ENVS]; // 0: the default of limits.h. The same in every process.
};

// ret_why (STORE_WHY_BYTES, NUL-terminated) says what failed, for people; empty on success.
RW_WARN_UNUSED enum rw_err store_open(const struct store_cfg *cfg, struct store **ret, char *ret_why);
void store_close(struct store *s);

const char *store_dir(const struct store *s);

// --- Writing.

// Runs fn in a write transaction of one environment and commits if it returns RW_OK. Waits for other writers,
// of other processes too. fn must not call store_commit().
typedef enum rw_err(store_write_fn)(struct store_txn *txn, void *ctx);
RW_WARN_UNUSED enum rw_err store_commit(struct store *s, enum store_env env, store_write_fn *fn, void *ctx);

// --- What was read may be kept as long as this stays the same: it changes with every commit to accounts, by
// whatever process. Read it before reading records. An odd value means that a commit is under way: read, but
// keep nothing. After a process died in the middle of a commit it stays odd until the writer of a living one
// calls store_accounts_repair(), or the next commit.
uint64_t store_accounts_version(const struct store *s);
void store_accounts_repair(struct store *s);

// --- Reading. A reader holds a place in LMDB's reader table, and no snapshot between two calls.

RW_WARN_UNUSED enum rw_err store_reader_open(struct store *s, enum store_env env, struct store_reader **ret);
void store_reader_close(struct store_reader *r);

// --- The rest.

struct store_env_info {
    uint64_t map_bytes;
    uint64_t used_bytes; // of the map, without pages that can be used again
    uint64_t file_bytes; // the largest it ever was
    uint64_t last_txn;
    uint32_t readers;
    bool nearly_full;
};

RW_WARN_UNUSED enum rw_err store_info(struct store *s, enum store_env env, struct store_env_info *ret);

// Frees reader places of processes that died. Once a minute, by the writer. Returns their number.
int store_readers_check(struct store *s);

// A number for this process that no other of the last 65,535 had: the epoch in request ids. Commits to usage.
RW_WARN_UNUSED enum rw_err store_epoch_next(struct store *s, uint16_t *ret);

#endif
