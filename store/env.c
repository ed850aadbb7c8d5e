// See env.h. LMDB is opened without WRITEMAP (a full disk would be a SIGBUS) and with NOTLS (a reader belongs
// to an object, not to a thread). Its lock file is filled with real blocks at start: it is mapped, and a hole
// in it would be a SIGBUS on a full disk, too.
#include "store/env.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

#define VERSION_PAGE_BYTES 4096
// What STORE_READERS_MAX places of a cache line and their head take, and a little more.
#define LOCK_FILE_BYTES (STORE_READERS_MAX * 64 + 4096)
#define MAGIC UINT64_C(0x315245565752) // "RWVER1"

static const char *const env_name[STORE_ENVS] = {"accounts", "usage"};
static const uint64_t env_map_bytes[STORE_ENVS] = {STORE_ACCOUNTS_MAP_BYTES, STORE_USAGE_MAP_BYTES};
static const enum store_table env_meta[STORE_ENVS] = {TABLE_ACCOUNTS_META, TABLE_USAGE_META};

#define X(symbol, env, name) {env, name},
static const struct {
    enum store_env env;
    const char *name;
} tables[STORE_TABLE_COUNT] = {STORE_TABLES(X)};
#undef X

struct store_version_page {
    uint64_t magic;
    _Atomic uint64_t version;
};

enum rw_err store_err(int rc)
{
    switch (rc) {
    case MDB_SUCCESS: return RW_OK;
    case MDB_NOTFOUND: return RW_E_NOT_FOUND;
    case MDB_KEYEXIST: return (enum rw_err) - EEXIST;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL: return RW_E_FULL;
    case MDB_READERS_FULL: return (enum rw_err) - EUSERS;
    case MDB_VERSION_MISMATCH: return RW_E_VERSION;
    case MDB_BAD_VALSIZE: return RW_E_TOO_LARGE;
    case MDB_MAP_RESIZED: return (enum rw_err) - ERANGE;
    default: return rc > 0 ? (enum rw_err) - rc : RW_E_CORRUPT;
    }
}

// --- Opening.

static enum rw_err say(char *why, enum rw_err err, const char *what, const char *path)
{
    (void)snprintf(why, STORE_WHY_BYTES, "%s %s: %s", what, path,
                   err < 0 && err > -4096 ? strerrordesc_np(-(int)err) : rw_err_name(err));
    return err;
}

static enum rw_err make_dir(const char *path, char *why)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return RW_OK;
    return say(why, rw_errno(), "cannot make the folder", path);
}

static enum rw_err open_lock(struct store *s, char *why)
{
    char path[STORE_PATH_BYTES_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/lock", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) return say(why, rw_errno(), "cannot open", path);
    const enum rw_err err = store_file_lock(s->lock_fd, F_RDLCK, false);
    return err ? say(why, err, "a restore holds", path) : RW_OK;
}

static enum rw_err open_version(struct store *s, char *why)
{
    char path[STORE_PATH_BYTES_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/accounts.version", s->dir);
    s->version_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->version_fd < 0) return say(why, rw_errno(), "cannot open", path);
    RW_TRY(store_file_lock(s->version_fd, F_WRLCK, true));
    const enum rw_err err = store_file_fill(s->version_fd, VERSION_PAGE_BYTES);
    if (err) return say(why, err, "cannot make", path);
    void *page = mmap(NULL, VERSION_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->version_fd, 0);
    if (page == MAP_FAILED) return say(why, rw_errno(), "cannot map", path);
    s->version = page;
    if (s->version->magic != MAGIC) {
        s->version->magic = MAGIC;
        atomic_store(&s->version->version, 2);
    }
    return store_file_lock(s->version_fd, F_UNLCK, true);
}

// Before LMDB opens it: a descriptor of ours closed later would drop LMDB's POSIX locks on the file. LMDB takes
// the number of reader places from the size that it finds.
static enum rw_err fill_lock_file(const char *folder)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/lock.mdb", folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return rw_errno();
    struct stat st;
    enum rw_err err = fstat(fd, &st) == 0 ? RW_OK : rw_errno();
    if (!err) err = store_file_fill(fd, st.st_size ? st.st_size : LOCK_FILE_BYTES);
    (void)close(fd);
    return err;
}

static enum rw_err open_env(struct store *s, enum store_env e, uint64_t map_bytes, char *why)
{
    char path[STORE_PATH_BYTES_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%s", s->dir, env_name[e]);
    RW_TRY(make_dir(path, why));
    enum rw_err err = fill_lock_file(path);
    if (err) return say(why, err, "cannot make the lock file in", path);
    int rc = mdb_env_create(&s->env[e]);
    if (!rc) rc = mdb_env_set_mapsize(s->env[e], map_bytes ? map_bytes : env_map_bytes[e]);
    if (!rc) rc = mdb_env_set_maxreaders(s->env[e], STORE_READERS_MAX);
    if (!rc) rc = mdb_env_set_maxdbs(s->env[e], STORE_TABLE_COUNT);
    if (!rc) rc = mdb_env_open(s->env[e], path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    err = store_err(rc);
    if (!err) (void)mdb_reader_check(s->env[e], NULL);
    return err ? say(why, err, "cannot open", path) : RW_OK;
}

static enum rw_err open_tables(struct store_txn *t, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < STORE_TABLE_COUNT; i++)
        if (tables[i].env == t->env)
            RW_TRY(store_err(mdb_dbi_open(t->txn, tables[i].name, MDB_CREATE, &t->store->dbi[i])));
    uint64_t format;
    RW_TRY(store_meta_get(t->store, t->txn, env_meta[t->env], "format", &format));
    if (format == 0) return store_meta_put(t, env_meta[t->env], "format", STORE_FORMAT);
    return format >= STORE_FORMAT_OLDEST && format <= STORE_FORMAT ? RW_OK : RW_E_VERSION;
}

static enum rw_err open_all(struct store *s, const struct store_cfg *cfg, char *why)
{
    char path[STORE_PATH_BYTES_MAX + 32];
    RW_TRY(make_dir(s->dir, why));
    (void)snprintf(path, sizeof path, "%s/journal", s->dir);
    RW_TRY(make_dir(path, why));
    RW_TRY(open_lock(s, why));
    RW_TRY(open_version(s, why));
    for (uint32_t e = 0; e < STORE_ENVS; e++) RW_TRY(open_env(s, e, cfg->map_bytes[e], why));
    for (uint32_t e = 0; e < STORE_ENVS; e++) {
        const enum rw_err err = store_commit(s, e, open_tables, NULL);
        if (err == RW_E_VERSION) {
            (void)snprintf(why, STORE_WHY_BYTES,
                           "%s/%s was written by a release that this one does not understand", s->dir,
                           env_name[e]);
            return err;
        }
        if (err) return say(why, err, "cannot read the tables of", env_name[e]);
    }
    return RW_OK;
}

enum rw_err store_open(const struct store_cfg *cfg, struct store **ret, char *ret_why)
{
    ret_why[0] = 0;
    const size_t n = strlen(cfg->data_dir);
    if (n == 0 || n >= STORE_PATH_BYTES_MAX)
        return say(ret_why, (enum rw_err) - ENAMETOOLONG, "data_dir", "");
    struct store *s = calloc(1, sizeof *s);
    if (!s) return say(ret_why, (enum rw_err) - ENOMEM, "store", "");
    memcpy(s->dir, cfg->data_dir, n);
    s->version_fd = s->lock_fd = -1;
    pthread_mutex_init(&s->commit_lock, NULL);
    const enum rw_err err = open_all(s, cfg, ret_why);
    if (err) {
        store_close(s);
        return err;
    }
    *ret = s;
    return RW_OK;
}

void store_close(struct store *s)
{
    for (uint32_t e = 0; e < STORE_ENVS; e++)
        if (s->env[e]) mdb_env_close(s->env[e]);
    if (s->version) (void)munmap(s->version, VERSION_PAGE_BYTES);
    if (s->version_fd >= 0) (void)close(s->version_fd);
    if (s->lock_fd >= 0) (void)close(s->lock_fd);
    pthread_mutex_destroy(&s->commit_lock);
    free(s);
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

// --- Commits. The version is odd while a commit to accounts is under way. Its file's lock, which the kernel
// drops with its holder, tells a commit under way from one whose process died: whoever gets the lock and finds
// an odd version is looking at the work of a dead one.

uint64_t store_accounts_version(const struct store *s)
{
    return atomic_load_explicit(&s->version->version, memory_order_acquire);
}

static void version_settle(struct store *s)
{
    const uint64_t v = atomic_load(&s->version->version);
    atomic_store(&s->version->version, (v | 1) + 1);
}

void store_accounts_repair(struct store *s)
{
    if ((store_accounts_version(s) & 1) == 0) return;
    pthread_mutex_lock(&s->commit_lock);
    if (store_file_lock(s->version_fd, F_WRLCK, false) == RW_OK) {
        if (store_accounts_version(s) & 1) version_settle(s);
        (void)!store_file_lock(s->version_fd, F_UNLCK, true);
    }
    pthread_mutex_unlock(&s->commit_lock);
}

static enum rw_err commit(struct store *s, enum store_env env, store_write_fn *fn, void *ctx)
{
    struct store_txn t = {.store = s, .env = env};
    RW_TRY(store_err(mdb_txn_begin(s->env[env], NULL, 0, &t.txn)));
    const enum rw_err err = fn(&t, ctx);
    if (err) {
        mdb_txn_abort(t.txn);
        return err;
    }
    if (env == STORE_ACCOUNTS) atomic_fetch_or(&s->version->version, 1);
    return store_err(mdb_txn_commit(t.txn));
}

enum rw_err store_commit(struct store *s, enum store_env env, store_write_fn *fn, void *ctx)
{
    if (env != STORE_ACCOUNTS) return commit(s, env, fn, ctx);
    pthread_mutex_lock(&s->commit_lock);
    enum rw_err err = store_file_lock(s->version_fd, F_WRLCK, true);
    if (!err) {
        err = commit(s, env, fn, ctx);
        if (!err || (store_accounts_version(s) & 1)) version_settle(s);
        (void)!store_file_lock(s->version_fd, F_UNLCK, true);
    }
    pthread_mutex_unlock(&s->commit_lock);
    return err;
}

// --- Readers.

enum rw_err store_reader_open(struct store *s, enum store_env env, struct store_reader **ret)
{
    struct store_reader *r = calloc(1, sizeof *r);
    if (!r) return (enum rw_err) - ENOMEM;
    r->store = s;
    r->env = env;
    const enum rw_err err = store_err(mdb_txn_begin(s->env[env], NULL, MDB_RDONLY, &r->txn));
    if (err) {
        free(r);
        return err;
    }
    mdb_txn_reset(r->txn);
    *ret = r;
    return RW_OK;
}

void store_reader_close(struct store_reader *r)
{
    mdb_txn_abort(r->txn);
    free(r);
}

enum rw_err store_reader_begin(struct store_reader *r)
{
    return store_err(mdb_txn_renew(r->txn));
}

void store_reader_end(struct store_reader *r)
{
    mdb_txn_reset(r->txn);
}

// --- Single records.

enum rw_err store_get(const struct store *s, MDB_txn *txn, enum store_table table, struct span key,
                      struct span *ret)
{
    MDB_val k = store_val(key.p, key.n), v;
    const int rc = mdb_get(txn, s->dbi[table], &k, &v);
    if (rc) return store_err(rc);
    *ret = store_span(v);
    return RW_OK;
}

enum rw_err store_put(struct store_txn *t, enum store_table table, struct span key, struct span value,
                      unsigned flags)
{
    MDB_val k = store_val(key.p, key.n), v = store_val(value.p, value.n);
    return store_err(mdb_put(t->txn, t->store->dbi[table], &k, &v, flags));
}

enum rw_err store_del(struct store_txn *t, enum store_table table, struct span key)
{
    MDB_val k = store_val(key.p, key.n);
    return store_err(mdb_del(t->txn, t->store->dbi[table], &k, NULL));
}

enum rw_err store_meta_get(const struct store *s, MDB_txn *txn, enum store_table table, const char *name,
                           uint64_t *ret)
{
    struct span v;
    const enum rw_err err = store_get(s, txn, table, span_str(name), &v);
    if (err && err != RW_E_NOT_FOUND) return err;
    struct store_in in = {.rest = err ? (struct span){NULL, 0} : v};
    const uint64_t number = err ? 0 : store_in_u64(&in);
    if (in.bad) return RW_E_CORRUPT;
    *ret = number;
    return RW_OK;
}

enum rw_err store_meta_put(struct store_txn *t, enum store_table table, const char *name, uint64_t value)
{
    return store_put(t, table, span_str(name), span_of(&value, sizeof value), 0);
}

// --- Looking at an environment.

// Pages that were given back and may be used again: LMDB keeps them in its first table, as lists that begin
// with their length.
static enum rw_err count_free_pages(MDB_txn *txn, uint64_t *ret)
{
    MDB_cursor *c;
    RW_TRY(store_err(mdb_cursor_open(txn, 0, &c)));
    MDB_val k, v;
    uint64_t pages = 0;
    int rc;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        size_t n;
        memcpy(&n, v.mv_data, sizeof n);
        pages += n;
    }
    mdb_cursor_close(c);
    if (rc != MDB_NOTFOUND) return store_err(rc);
    *ret = pages;
    return RW_OK;
}

enum rw_err store_info(struct store *s, enum store_env env, struct store_env_info *ret)
{
    MDB_envinfo info;
    MDB_stat stat;
    MDB_txn *txn;
    uint64_t unused = 0;
    RW_TRY(store_err(mdb_txn_begin(s->env[env], NULL, MDB_RDONLY, &txn)));
    enum rw_err err = store_err(mdb_env_info(s->env[env], &info));
    if (!err) err = store_err(mdb_env_stat(s->env[env], &stat));
    if (!err) err = count_free_pages(txn, &unused);
    mdb_txn_abort(txn);
    if (err) return err;
    const uint64_t pages = info.me_last_pgno + 1;
    ret->map_bytes = info.me_mapsize;
    ret->used_bytes = (pages - unused) * stat.ms_psize;
    ret->file_bytes = pages * stat.ms_psize;
    ret->last_txn = info.me_last_txnid;
    ret->readers = info.me_numreaders;
    ret->nearly_full = ret->used_bytes >= ret->map_bytes / 100 * STORE_NEARLY_FULL_PERCENT;
    return RW_OK;
}

int store_readers_check(struct store *s)
{
    int sum = 0;
    for (uint32_t e = 0; e < STORE_ENVS; e++) {
        int dead = 0;
        if (mdb_reader_check(s->env[e], &dead) == 0) sum += dead;
    }
    return sum;
}

static enum rw_err next_epoch(struct store_txn *t, void *ctx)
{
    uint64_t epoch = 0;
    RW_TRY(store_meta_get(t->store, t->txn, TABLE_USAGE_META, "epoch", &epoch));
    *(uint64_t *)ctx = ++epoch;
    return store_meta_put(t, TABLE_USAGE_META, "epoch", epoch);
}

enum rw_err store_epoch_next(struct store *s, uint16_t *ret)
{
    uint64_t epoch = 0;
    RW_TRY(store_commit(s, STORE_USAGE, next_epoch, &epoch));
    *ret = (uint16_t)epoch;
    return RW_OK;
}
