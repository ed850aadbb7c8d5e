// The books of a server: the cells that limits count in, a journal for each worker, the cache of answers, and the writer that
// commits.
//
// Use      books_open() before the workers, books_start() once their journals may fill, books_close() when they are gone.
// Alone    who finds no living process on the data_dir makes the cells right first: journals of the dead are adopted, then
//          concurrency is none and money and daily quotas are what the ledger says. Who finds one shares its cells as they are.
// Thread   control. Blocks: disk, and another process that is just opening.
#ifndef RINGWAY_CONTROL_BOOKS_H
#define RINGWAY_CONTROL_BOOKS_H

#include <pthread.h>

#include "base/limits.h"
#include "store/cells.h"
#include "store/writer.h"

struct books {
    struct store *store; // NULL: closed
    struct store_cells *cells;
    struct store_writer *writer;
    struct store_answers *answers; // the cache; NULL: none
    struct store_answers *once; // answers to requests with an Idempotency-Key
    struct store_journal *journal[WORKERS_MAX];
    uint32_t workers;
    uint16_t epoch; // of this process, in request ids
    enum rw_err told; // the trouble that was last put into the log
    struct books_tell {
        void (*committed)(void *ctx, uint32_t worker, enum rw_err err);
        void *ctx;
    } tell;
    pthread_mutex_t tell_lock;
    bool alone; // nobody else used the data_dir when this process began
};

struct books_cfg {
    struct store *store;
    uint32_t workers;
    uint32_t sync_interval_ms;
    int64_t retention_ms;
    uint64_t usage_bytes_max;
    // Records of that worker were committed, or could not be: on the writer's thread. NULL: nobody wants to know.
    struct books_tell tell;
    uint64_t cache_bytes_max; // 0: no cache
};

// ret_why: for people.
RW_WARN_UNUSED enum rw_err books_open(const struct books_cfg *cfg, struct books *ret, char *ret_why,
                                      size_t cap);
RW_WARN_UNUSED enum rw_err books_start(struct books *b);
// Nobody is told of commits any more once this returns: who was told is about to go.
void books_hush(struct books *b);
// Every so often: says in the log when commits begin to fail, and when they succeed again.
void books_look(struct books *b);
// Commits what is left. Harmless when closed.
void books_close(struct books *b);

#endif
