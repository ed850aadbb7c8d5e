// The writer: the one thread of a process that commits to the store. Workers hand it finished journal slots,
// control hands it jobs; it groups the first into one commit every sync_interval, runs the second one by one,
// adopts the journals of processes that died, and removes what is older than the retention.
//
// Use      store_writer_open(); store_writer_add() for each worker's journal; store_writer_start(). At the
//          end, when the workers are gone: store_writer_stop(), which commits what is left, then the journals'
//          store_journal_close(). Tests and the command line call store_writer_step() instead of starting it.
// Ledger   a finished slot becomes a raw record and parts of the sums (usage.h) in one transaction, then its
//          slot is freed. A record whose id is already there counts nothing, so doing it again is harmless.
// Failure  a commit that fails (disk full, map full) leaves the slots where they are; it is tried again at the
//          next step. The store_writer_stats say so. Journals fill meanwhile, and store_journal_begin() tells
//          when they are full.
// Adopted  slots of a dead process that were finished are committed; those under way are charged at their
//          estimate and marked STORE_CRASHED, those that had asked nobody leave no record. Then give_back() is
//          called for what they held.
// Thread   post, wake and stats: any. Jobs, their done(), give_back() and committed(): the writer's thread.
#ifndef RINGWAY_STORE_WRITER_H
#define RINGWAY_STORE_WRITER_H

#include "store/cache.h"
#include "store/journal.h"

struct store_writer;

struct store_writer_cfg {
    struct store *store;
    uint32_t
        sync_interval_ms; // 0: a commit whenever something is finished and store_writer_wake() was called
    int64_t retention_ms; // of raw records; 0: for ever
    uint64_t usage_bytes_max; // of raw records; 0: no bound
    int64_t (*wall_ms)(void *ctx); // the time, when the thread runs
    // What an adopted exchange of this boot held: STORE_HELD_MAX words of policy's. Each is cleared before what it
    // stands for is given back, so that being killed in between leaves too much taken, not too little. May be NULL.
    void (*give_back)(uint32_t *held, void *ctx);
    // Slots of that worker were committed, or could not be; may be NULL.
    void (*committed)(uint8_t worker, enum rw_err err, void *ctx);
    struct store_answers *once; // likewise, and who posts there wakes the writer
    struct store_answers *cache; // its answers are written here, too; NULL: none
    void *ctx;
};

RW_WARN_UNUSED enum rw_err store_writer_open(const struct store_writer_cfg *cfg, struct store_writer **ret);
// Not while the thread runs. At most WORKERS_MAX.
void store_writer_add(struct store_writer *w, struct store_journal *j);
RW_WARN_UNUSED enum rw_err store_writer_start(struct store_writer *w);
// Ends the thread if there is one, then steps until everything is committed or a commit fails, and frees it.
// Jobs that still wait are run. Returns how the last commit went.
RW_WARN_UNUSED enum rw_err store_writer_stop(struct store_writer *w, int64_t wall_ms);

// A write by another thread. The job belongs to the writer until done() is called, with what run() or the
// commit returned.
struct store_job {
    enum store_env env;
    store_write_fn *run;
    void *ctx;
    void (*done)(struct store_job *job, enum rw_err err);
    struct store_job *next;
};
void store_writer_post(struct store_writer *w, struct store_job *job);
// The writer looks now, not at the end of its interval.
void store_writer_wake(struct store_writer *w);

// One round: jobs, one batch of records, a part of the adoption, a part of the sweep. True: there is more to do
// at once.
bool store_writer_step(struct store_writer *w, int64_t wall_ms);

struct store_writer_stats {
    enum rw_err trouble; // of the last commit to usage; RW_OK
    uint64_t trouble_since_ms; // 0: none
    uint64_t commits, records; // of the ledger
    uint64_t repeated; // records that were there already
    uint64_t waiting; // slots that were found finished and are not committed
    uint64_t adopted; // journals
    uint64_t crashed; // records charged at their estimate
    uint64_t damaged; // slots that a power cut had torn
    uint64_t swept; // raw records removed
    bool swept_by_size; // before their retention was over
};
void store_writer_stats(struct store_writer *w, struct store_writer_stats *ret);

#endif
