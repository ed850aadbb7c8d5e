// See books.h.
#include "control/books.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/books_fill.h"
#include "control/log.h"
#include "io/clock.h"
#include "policy/limit.h"

#define BOOT_ID_TEXT 36
// Another process makes the cells right: how long it is waited for.
#define OPENING_MS_MAX 30000
#define OPENING_STEP_MS 20

static int64_t wall_ms(void *ctx)
{
    struct io_time t;
    (void)ctx;
    io_clock(&t);
    return t.wall_ns / CLOCK_MS;
}

// The 32 hex digits of this boot; all zero where there are none.
static void boot_id(uint8_t ret[16])
{
    char text[BOOT_ID_TEXT];
    uint32_t digits = 0;
    memset(ret, 0, 16);
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    const ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        const char c = text[i];
        const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0) continue;
        ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | v);
        digits++;
    }
}

static enum rw_err cells_open(struct books *b, enum store_cells_how *ret_how)
{
    char path[STORE_PATH_BYTES_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/cells", store_dir(b->store));
    struct store_cells_cfg cfg = {
        .path = path, .cells = STORE_CELLS, .lent = STORE_CELLS_LENT, .layout = LIMIT_LAYOUT};
    boot_id(cfg.boot_id);
    enum rw_err err = RW_OK;
    for (int ms = 0; ms < OPENING_MS_MAX; ms += OPENING_STEP_MS) {
        err = store_cells_open(&cfg, &b->cells, ret_how);
        if (err != (enum rw_err) - EAGAIN && err != (enum rw_err) - EBUSY) return err;
        const struct timespec step = {.tv_nsec = OPENING_STEP_MS * CLOCK_MS};
        (void)nanosleep(&step, NULL);
    }
    return err;
}

static enum rw_err answers_open(const struct books *b, const char *name, uint64_t bytes_max, bool sync,
                                struct store_answers **ret)
{
    char path[STORE_PATH_BYTES_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", store_dir(b->store), name);
    const struct store_cache_cfg cfg = {.dir = path, .bytes_max = bytes_max, .sync = sync};
    return store_cache_open(&cfg, ret);
}

static void give_back(uint32_t *held, void *ctx)
{
    struct books *b = ctx;
    limit_adopt(b->cells, (struct limit_hold *)(void *)held);
}

static void committed(uint8_t worker, enum rw_err err, void *ctx)
{
    struct books *b = ctx;
    pthread_mutex_lock(&b->tell_lock);
    if (b->tell.committed) b->tell.committed(b->tell.ctx, worker, err);
    pthread_mutex_unlock(&b->tell_lock);
}

void books_hush(struct books *b)
{
    if (!b->store) return;
    pthread_mutex_lock(&b->tell_lock);
    b->tell.committed = NULL;
    pthread_mutex_unlock(&b->tell_lock);
}

// All journals of the dead, so that the ledger knows what they did.
static enum rw_err adopt_all(struct books *b)
{
    struct store_writer_stats before, after;
    do {
        store_writer_stats(b->writer, &before);
        while (store_writer_step(b->writer, wall_ms(NULL))) {}
        store_writer_stats(b->writer, &after);
    } while (after.adopted != before.adopted);
    if (after.crashed)
        log_msg(LOG_WARNING, "%llu requests of a process that died were charged at their estimate",
                (unsigned long long)after.crashed);
    return after.trouble;
}

static enum rw_err open_parts(struct books *b, const struct books_cfg *cfg, const char **what)
{
    enum store_cells_how how;
    *what = "an epoch";
    RW_TRY(store_epoch_next(b->store, &b->epoch));
    *what = "the cells of limits";
    RW_TRY(cells_open(b, &how));
    b->alone = how != STORE_CELLS_SHARED;
    *what = "the cache";
    if (cfg->cache_bytes_max) RW_TRY(answers_open(b, "cache", cfg->cache_bytes_max, false, &b->answers));
    *what = "the answers of Idempotency-Keys";
    RW_TRY(answers_open(b, "once", ONCE_BYTES_MAX, true, &b->once));
    const struct store_writer_cfg writer = {.store = b->store,
                                            .sync_interval_ms = cfg->sync_interval_ms,
                                            .retention_ms = cfg->retention_ms,
                                            .usage_bytes_max = cfg->usage_bytes_max,
                                            .wall_ms = wall_ms,
                                            .give_back = give_back,
                                            .committed = cfg->tell.committed ? committed : NULL,
                                            .cache = b->answers,
                                            .once = b->once,
                                            .ctx = b};
    *what = "the ledger's writer";
    RW_TRY(store_writer_open(&writer, &b->writer));
    if (b->alone) {
        // Else budgets would begin with less than was spent.
        *what = "the journals of processes that died";
        RW_TRY(adopt_all(b));
        limit_forget(b->cells);
        *what = "budgets from the ledger";
        RW_TRY(books_fill(b));
    }
    *what = "the cells of limits";
    RW_TRY(store_cells_ready(b->cells));
    *what = "a journal";
    for (; b->workers < cfg->workers; b->workers++) {
        RW_TRY(store_journal_open(b->store, b->epoch, (uint8_t)b->workers, 0, &b->journal[b->workers]));
        store_writer_add(b->writer, b->journal[b->workers]);
    }
    return RW_OK;
}

enum rw_err books_open(const struct books_cfg *cfg, struct books *ret, char *ret_why, size_t cap)
{
    const char *what = "";
    *ret = (struct books){.store = cfg->store, .tell = cfg->tell, .tell_lock = PTHREAD_MUTEX_INITIALIZER};
    const enum rw_err err = open_parts(ret, cfg, &what);
    if (!err) return RW_OK;
    snprintf(ret_why, cap, "%s cannot be opened in %s: %s", what, store_dir(cfg->store),
             rw_err_name((int)err));
    books_close(ret);
    return err;
}

enum rw_err books_start(struct books *b)
{
    return b->store ? store_writer_start(b->writer) : RW_OK;
}

void books_look(struct books *b)
{
    struct store_writer_stats st;
    if (!b->store) return;
    store_writer_stats(b->writer, &st);
    if (st.trouble && st.trouble != b->told)
        log_msg(LOG_ERROR,
                "the ledger in %s cannot be written: %s. Requests go on; their records wait in the journal "
                "(%llu now). Make room or mend the disk.",
                store_dir(b->store), rw_err_name((int)st.trouble), (unsigned long long)st.waiting);
    else if (!st.trouble && b->told) log_msg(LOG_INFO, "the ledger is written again");
    b->told = st.trouble;
}

void books_close(struct books *b)
{
    if (!b->store) return;
    if (b->writer) {
        const enum rw_err err = store_writer_stop(b->writer, wall_ms(NULL));
        if (err)
            log_msg(LOG_ERROR, "records are left in the journal, the ledger cannot be written: %s",
                    rw_err_name((int)err));
    }
    store_cache_close(b->answers);
    store_cache_close(b->once);
    while (b->workers > 0) store_journal_close(b->journal[--b->workers]);
    store_cells_close(b->cells);
    *b = (struct books){0};
}
