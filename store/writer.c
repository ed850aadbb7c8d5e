// See writer.h. A step takes what waits in the journals, at most STORE_BATCH_RECORDS of them, puts it into one
// transaction and frees the slots when that is committed; so whatever happens, a slot is either still there or
// its record is on disk.
#include "store/writer.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/journal_priv.h"
#include "store/ledger_priv.h"

// How often the folder is searched for journals of the dead, readers of the dead are removed, and what is kept
// is compared with what may be.
#define ADOPT_EVERY_MS 1000
#define READERS_EVERY_MS 60000
#define SWEEP_EVERY_MS 60000
#define HOUR_MS INT64_C(3600000)

struct store_writer {
    struct store_writer_cfg cfg;
    struct store_ledger *ledger;
    struct store_journal *journal[WORKERS_MAX];
    uint32_t journals;
    int wake_fd;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    pthread_mutex_t lock; // of jobs and stats
    struct store_job *first, *last;
    struct store_writer_stats stats;

    // A journal of a dead process, while it is worked off: what of it is in the batch is noted, so that its
    // slots are freed after the commit.
    struct journal_map adopted;
    uint32_t adopted_next;
    bool adopted_open;

    int64_t adopt_at_ms, readers_at_ms, sweep_at_ms;

    // The batch.
    uint32_t taken[WORKERS_MAX]; // slots of each journal
    uint32_t slot[STORE_BATCH_RECORDS];
    uint32_t adopted_slot[STORE_BATCH_RECORDS];
    uint32_t adopted_taken;
    uint64_t new_records, repeated, crashed, damaged;
    uint8_t bytes[STORE_RECORD_BYTES_MAX];
};

// --- The batch.

static enum rw_err put_slot(struct store_writer *w, struct store_txn *t, const struct journal_map *m,
                            uint32_t slot)
{
    struct store_record r;
    const bool adopted = m == &w->adopted;
    if (adopted && store_slot_unasked(&m->slot[slot])) return RW_OK;
    const enum rw_err unread = store_slot_read(m, slot, adopted, w->bytes, &r);
    if (unread) {
        w->damaged++;
        return RW_OK;
    }
    if (adopted && !m->same_boot) r.flags |= STORE_EARLIER_BOOT;
    const enum rw_err err = store_ledger_put(w->ledger, t, &r, adopted);
    if (err == (enum rw_err) - EEXIST || err == RW_E_CLOSED) {
        w->repeated++;
        return RW_OK;
    }
    if (err) return err;
    w->new_records++;
    if (r.flags & STORE_CRASHED) w->crashed++;
    return RW_OK;
}

static enum rw_err put_batch(struct store_txn *t, void *ctx)
{
    struct store_writer *w = ctx;
    uint32_t room = STORE_BATCH_RECORDS;
    store_ledger_begin(w->ledger);
    w->new_records = w->repeated = w->crashed = w->damaged = 0;
    for (uint32_t i = 0; i < w->journals; i++) {
        w->taken[i] = store_slots_waiting(w->journal[i], w->slot, room);
        room -= w->taken[i];
        for (uint32_t k = 0; k < w->taken[i]; k++)
            RW_TRY(put_slot(w, t, store_journal_map(w->journal[i]), w->slot[k]));
    }
    for (uint32_t k = 0; k < w->adopted_taken; k++) RW_TRY(put_slot(w, t, &w->adopted, w->adopted_slot[k]));
    return store_ledger_end(w->ledger, t);
}

// The next slots of the adopted journal that have something in them, from where the last batch ended.
static void take_adopted(struct store_writer *w)
{
    w->adopted_taken = 0;
    if (!w->adopted_open) return;
    for (uint32_t i = w->adopted_next; i < w->adopted.slots && w->adopted_taken < STORE_BATCH_RECORDS; i++) {
        const uint32_t state = atomic_load_explicit(&w->adopted.slot[i].state, memory_order_acquire);
        if (state != SLOT_FREE && state != SLOT_TEXT) w->adopted_slot[w->adopted_taken++] = i;
    }
}

static void give_back(struct store_writer *w, uint32_t slot)
{
    // Of an earlier boot: the cells hold nothing of it.
    if (w->cfg.give_back && w->adopted.same_boot) w->cfg.give_back(w->adopted.slot[slot].held, w->cfg.ctx);
}

// After the commit.
static void free_adopted(struct store_writer *w)
{
    for (uint32_t k = 0; k < w->adopted_taken; k++) {
        give_back(w, w->adopted_slot[k]);
        atomic_store_explicit(&w->adopted.slot[w->adopted_slot[k]].state, SLOT_FREE, memory_order_release);
        w->adopted_next = w->adopted_slot[k] + 1;
    }
    if (w->adopted_taken == STORE_BATCH_RECORDS) return;
    store_journal_unmap(&w->adopted, true);
    w->adopted_open = false;
    w->adopt_at_ms = 0; // there may be another
}

static uint64_t count_waiting(struct store_writer *w)
{
    uint64_t n = w->adopted_taken;
    for (uint32_t i = 0; i < w->journals; i++)
        n += store_slots_waiting(w->journal[i], w->slot, STORE_BATCH_RECORDS);
    return n;
}

static void note_commit(struct store_writer *w, enum rw_err err, uint64_t waiting, int64_t wall_ms)
{
    struct store_writer_stats *st = &w->stats;
    pthread_mutex_lock(&w->lock);
    if (err && !st->trouble) st->trouble_since_ms = (uint64_t)wall_ms;
    if (!err) st->trouble_since_ms = 0;
    st->trouble = err;
    st->waiting = err ? waiting : 0;
    if (!err) {
        st->commits++;
        st->records += w->new_records;
        st->repeated += w->repeated;
        st->crashed += w->crashed;
        st->damaged += w->damaged;
    }
    pthread_mutex_unlock(&w->lock);
}

static void say_committed(struct store_writer *w, uint32_t journal, enum rw_err err)
{
    if (w->cfg.committed) w->cfg.committed(store_journal_worker(w->journal[journal]), err, w->cfg.ctx);
}

// True: more than one batch waits.
static bool commit_batch(struct store_writer *w, int64_t wall_ms)
{
    take_adopted(w);
    const uint64_t waiting = count_waiting(w);
    if (waiting == 0) {
        if (w->adopted_open) free_adopted(w);
        return false;
    }
    const enum rw_err err = store_commit(w->cfg.store, STORE_USAGE, put_batch, w);
    note_commit(w, err, waiting, wall_ms);
    if (err) {
        for (uint32_t i = 0; i < w->journals; i++) say_committed(w, i, err);
        return false;
    }
    uint32_t taken = 0;
    for (uint32_t i = 0; i < w->journals; i++) {
        if (w->taken[i] == 0) continue;
        store_slots_free(w->journal[i], w->taken[i]);
        taken += w->taken[i];
        say_committed(w, i, RW_OK);
    }
    if (w->adopted_open) free_adopted(w);
    return taken == STORE_BATCH_RECORDS || w->adopted_open;
}

// --- What is done now and then.

static void adopt(struct store_writer *w, int64_t wall_ms)
{
    if (w->adopted_open || wall_ms < w->adopt_at_ms) return;
    w->adopt_at_ms = wall_ms + ADOPT_EVERY_MS;
    const enum rw_err err = store_journal_adopt(w->cfg.store, &w->adopted);
    pthread_mutex_lock(&w->lock);
    if (err == RW_OK) w->stats.adopted++;
    if (err == RW_E_CORRUPT) w->stats.damaged++;
    pthread_mutex_unlock(&w->lock);
    w->adopted_open = err == RW_OK;
    w->adopted_next = 0;
}

struct sweep {
    int64_t before_ms;
    uint32_t removed;
};

static enum rw_err run_sweep(struct store_txn *t, void *ctx)
{
    struct sweep *s = ctx;
    return store_ledger_sweep(t, s->before_ms, STORE_SWEEP_RECORDS, &s->removed);
}

// From when on raw records stay: by age, or by size if they take too much; then the oldest day goes, or within
// today the oldest hour, but nothing of the last one.
static int64_t sweep_before(struct store_writer *w, int64_t wall_ms, bool *ret_by_size)
{
    uint64_t bytes;
    int64_t oldest_ms;
    *ret_by_size = false;
    if (store_ledger_raw_size(w->cfg.store, &bytes, &oldest_ms) || oldest_ms == 0) return 0;
    int64_t before = w->cfg.retention_ms ? wall_ms - w->cfg.retention_ms : 0;
    if (w->cfg.usage_bytes_max && bytes > w->cfg.usage_bytes_max && oldest_ms >= before) {
        const int64_t unit = store_day(oldest_ms) < store_day(wall_ms) ? STORE_DAY_MS : HOUR_MS;
        const int64_t end = (oldest_ms / unit + 1) * unit;
        before = end < wall_ms - HOUR_MS ? end : wall_ms - HOUR_MS;
        *ret_by_size = true;
    }
    return oldest_ms < before ? before : 0;
}

// True: not all that has to go is gone.
static bool sweep(struct store_writer *w, int64_t wall_ms)
{
    bool by_size;
    if (wall_ms < w->sweep_at_ms) return false;
    struct sweep s = {.before_ms = sweep_before(w, wall_ms, &by_size)};
    const bool any =
        s.before_ms && store_commit(w->cfg.store, STORE_USAGE, run_sweep, &s) == RW_OK && s.removed;
    if (!any) w->sweep_at_ms = wall_ms + SWEEP_EVERY_MS;
    pthread_mutex_lock(&w->lock);
    w->stats.swept += s.removed;
    if (any || !by_size) w->stats.swept_by_size = by_size;
    pthread_mutex_unlock(&w->lock);
    return any;
}

static void run_jobs(struct store_writer *w)
{
    for (;;) {
        pthread_mutex_lock(&w->lock);
        struct store_job *job = w->first;
        if (job) w->first = job->next;
        if (!w->first) w->last = NULL;
        pthread_mutex_unlock(&w->lock);
        if (!job) return;
        job->done(job, store_commit(w->cfg.store, job->env, job->run, job->ctx));
    }
}

bool store_writer_step(struct store_writer *w, int64_t wall_ms)
{
    run_jobs(w);
    store_accounts_repair(w->cfg.store);
    adopt(w, wall_ms);
    if (w->cfg.once) (void)store_cache_step(w->cfg.once, wall_ms);
    if (w->cfg.cache) (void)store_cache_step(w->cfg.cache, wall_ms);
    bool more = commit_batch(w, wall_ms);
    if (sweep(w, wall_ms)) more = true;
    if (wall_ms >= w->readers_at_ms) {
        w->readers_at_ms = wall_ms + READERS_EVERY_MS;
        (void)store_readers_check(w->cfg.store);
    }
    return more;
}

// --- The thread.

static void wait_for_work(struct store_writer *w)
{
    struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};
    uint64_t count;
    const int ms = w->cfg.sync_interval_ms ? (int)w->cfg.sync_interval_ms : ADOPT_EVERY_MS;
    if (poll(&p, 1, ms) == 1) (void)!read(w->wake_fd, &count, sizeof count);
}

static void *serve(void *arg)
{
    struct store_writer *w = arg;
    while (!atomic_load(&w->stopping))
        if (!store_writer_step(w, w->cfg.wall_ms(w->cfg.ctx))) wait_for_work(w);
    return NULL;
}

enum rw_err store_writer_open(const struct store_writer_cfg *cfg, struct store_writer **ret)
{
    struct store_writer *w = calloc(1, sizeof *w);
    if (!w) return (enum rw_err) - ENOMEM;
    w->cfg = *cfg;
    w->adopted.fd = -1;
    pthread_mutex_init(&w->lock, NULL);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum rw_err err = w->wake_fd < 0 ? rw_errno() : store_ledger_new(&w->ledger);
    if (err) {
        if (w->wake_fd >= 0) (void)close(w->wake_fd);
        free(w);
        return err;
    }
    *ret = w;
    return RW_OK;
}

void store_writer_add(struct store_writer *w, struct store_journal *j)
{
    MUST(!w->running && w->journals < WORKERS_MAX);
    w->journal[w->journals++] = j;
}

enum rw_err store_writer_start(struct store_writer *w)
{
    // Signals are for the threads that wait for them.
    sigset_t all, was;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    const int err = pthread_create(&w->thread, NULL, serve, w);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (err) return (enum rw_err) - err;
    (void)pthread_setname_np(w->thread, "store-writer");
    w->running = true;
    return RW_OK;
}

enum rw_err store_writer_stop(struct store_writer *w, int64_t wall_ms)
{
    if (w->running) {
        atomic_store(&w->stopping, true);
        store_writer_wake(w);
        pthread_join(w->thread, NULL);
    }
    run_jobs(w);
    while (commit_batch(w, wall_ms)) {}
    const enum rw_err err = w->stats.trouble;
    if (w->adopted_open) store_journal_unmap(&w->adopted, false);
    store_ledger_free(w->ledger);
    (void)close(w->wake_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return err;
}

void store_writer_post(struct store_writer *w, struct store_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    if (w->last) w->last->next = job;
    if (!w->first) w->first = job;
    w->last = job;
    pthread_mutex_unlock(&w->lock);
    store_writer_wake(w);
}

void store_writer_wake(struct store_writer *w)
{
    const uint64_t one = 1;
    // Full means that it is woken already.
    (void)!write(w->wake_fd, &one, sizeof one);
}

void store_writer_stats(struct store_writer *w, struct store_writer_stats *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = w->stats;
    pthread_mutex_unlock(&w->lock);
}
