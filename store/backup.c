// See backup.h. The archive, all numbers little-endian:
//
//   "RWBACKUP", version (4)
//   sections: kind (1), then chunks: length (4), that many bytes; a length of 0 ends it
//   kind 0 (1), SHA-256 of everything before (32)
//
// LMDB writes its copy into one end of a pipe on a thread of its own; we cut what comes out of the other end into
// chunks, so the archive may go to a stream.
#include "store/backup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

#define MAGIC "RWBACKUP"
#define MAGIC_BYTES 8
#define ARCHIVE_VERSION 1
#define CHUNK_BYTES KIB(256)
#define NAMES_TRIED_MAX 1000

enum section { SECTION_END, SECTION_ACCOUNTS, SECTION_USAGE, SECTION_PEPPER };

static const char *const folder_of[] = {NULL, "accounts", "usage", NULL};
static const enum store_env env_of[] = {0, STORE_ACCOUNTS, STORE_USAGE, 0};

// --- Writing.

struct archive {
    int fd;
    struct crypto_sha256 hash;
    uint8_t *chunk; // CHUNK_BYTES
};

static enum rw_err write_all(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n) {
        const ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return rw_errno();
        at += done;
        n -= (size_t)done;
    }
    return RW_OK;
}

static enum rw_err put(struct archive *a, const void *p, uint32_t n)
{
    crypto_sha256_update(&a->hash, p, n);
    return write_all(a->fd, p, n);
}

static enum rw_err put_chunk(struct archive *a, const void *p, uint32_t n)
{
    RW_TRY(put(a, &n, sizeof n));
    return n ? put(a, p, n) : RW_OK;
}

struct copy {
    MDB_env *env;
    int fd;
    int rc;
};

static void *copy_env(void *arg)
{
    struct copy *c = arg;
    c->rc = mdb_env_copyfd2(c->env, c->fd, MDB_CP_COMPACT);
    (void)close(c->fd);
    return NULL;
}

static ssize_t read_some(int fd, void *p, size_t n)
{
    ssize_t done;
    do done = read(fd, p, n);
    while (done < 0 && errno == EINTR);
    return done;
}

// Until the copy's end is closed. After an error of ours the rest is read and dropped, so that the thread ends.
static enum rw_err pump(struct archive *a, int from)
{
    enum rw_err err = RW_OK;
    ssize_t n;
    while ((n = read_some(from, a->chunk, CHUNK_BYTES)) > 0)
        if (!err) err = put_chunk(a, a->chunk, (uint32_t)n);
    if (n < 0 && !err) err = rw_errno();
    return err ? err : put_chunk(a, NULL, 0);
}

static enum rw_err put_env(struct archive *a, struct store *s, enum section section)
{
    const uint8_t kind = (uint8_t)section;
    int ends[2];
    pthread_t thread;
    RW_TRY(put(a, &kind, 1));
    if (pipe2(ends, O_CLOEXEC) != 0) return rw_errno();
    struct copy c = {.env = s->env[env_of[section]], .fd = ends[1]};
    sigset_t all, was;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    const int failed = pthread_create(&thread, NULL, copy_env, &c);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    enum rw_err err = (enum rw_err) - failed;
    if (failed) (void)close(ends[1]);
    else err = pump(a, ends[0]);
    if (!failed) pthread_join(thread, NULL);
    (void)close(ends[0]);
    return err ? err : store_err(c.rc);
}

static enum rw_err put_all(struct archive *a, struct store *s, const struct store_pepper *pepper)
{
    const uint32_t version = ARCHIVE_VERSION;
    uint8_t kind = SECTION_PEPPER, digest[CRYPTO_SHA256_BYTES];
    RW_TRY(put(a, MAGIC, MAGIC_BYTES));
    RW_TRY(put(a, &version, sizeof version));
    RW_TRY(put_env(a, s, SECTION_ACCOUNTS));
    RW_TRY(put_env(a, s, SECTION_USAGE));
    if (pepper) {
        RW_TRY(put(a, &kind, 1));
        RW_TRY(put_chunk(a, pepper->bytes, STORE_PEPPER_BYTES));
        RW_TRY(put_chunk(a, NULL, 0));
    }
    kind = SECTION_END;
    RW_TRY(put(a, &kind, 1));
    crypto_sha256_final(&a->hash, digest);
    return write_all(a->fd, digest, sizeof digest);
}

enum rw_err store_backup(struct store *s, const struct store_pepper *pepper, int fd)
{
    struct archive a = {.fd = fd, .chunk = malloc(CHUNK_BYTES)};
    if (!a.chunk) return (enum rw_err) - ENOMEM;
    crypto_sha256_init(&a.hash);
    const enum rw_err err = put_all(&a, s, pepper);
    free(a.chunk);
    return err;
}

// --- Reading.

struct restore {
    int fd;
    struct crypto_sha256 hash;
    uint8_t *chunk;
    const char *data_dir;
    int lock_fd;
    bool got[4]; // sections
    struct store_restored result;
    char *why;
};

static enum rw_err say(struct restore *r, enum rw_err err, const char *what)
{
    const char *reason = err < 0 && err > -4096 ? strerrordesc_np(-(int)err) : rw_err_name(err);
    if (!r->why[0]) (void)snprintf(r->why, STORE_WHY_BYTES, "%s (%s)", what, reason);
    return err;
}

static enum rw_err get_plain(struct restore *r, void *p, size_t n)
{
    uint8_t *at = p;
    while (n) {
        const ssize_t done = read_some(r->fd, at, n);
        if (done < 0) return say(r, rw_errno(), "the archive cannot be read");
        if (done == 0) return say(r, RW_E_BAD, "the archive ends too early");
        at += done;
        n -= (size_t)done;
    }
    return RW_OK;
}

static enum rw_err get(struct restore *r, void *p, size_t n)
{
    RW_TRY(get_plain(r, p, n));
    crypto_sha256_update(&r->hash, p, n);
    return RW_OK;
}

// Into r->chunk; *ret_n 0 at the end of the section.
static enum rw_err get_chunk(struct restore *r, uint32_t *ret_n)
{
    RW_TRY(get(r, ret_n, sizeof *ret_n));
    if (*ret_n > CHUNK_BYTES) return say(r, RW_E_BAD, "the archive is damaged: a chunk is too long");
    return *ret_n ? get(r, r->chunk, *ret_n) : RW_OK;
}

static void path_of(const struct restore *r, const char *format, const char *name,
                    char ret[STORE_PATH_BYTES_MAX + 64])
{
    char tail[64];
    (void)snprintf(tail, sizeof tail, format, name);
    (void)snprintf(ret, STORE_PATH_BYTES_MAX + 64, "%s/%s", r->data_dir, tail);
}

static enum rw_err make_folder(struct restore *r, const char *format, const char *name)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    path_of(r, format, name, path);
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return RW_OK;
    return say(r, rw_errno(), "a folder for the restored files cannot be made");
}

static enum rw_err get_env(struct restore *r, const char *name)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    uint32_t n;
    RW_TRY(make_folder(r, "%s.restoring", name));
    path_of(r, "%s.restoring/data.mdb", name, path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return say(r, rw_errno(), "a restored file cannot be made");
    enum rw_err err;
    while ((err = get_chunk(r, &n)) == RW_OK && n)
        if ((err = write_all(fd, r->chunk, n)) != RW_OK) break;
    if (!err && fsync(fd) != 0) err = rw_errno();
    (void)close(fd);
    return err ? say(r, err, "a restored file cannot be written") : RW_OK;
}

static enum rw_err get_pepper(struct restore *r)
{
    uint32_t n;
    RW_TRY(get_chunk(r, &n));
    if (n != STORE_PEPPER_BYTES) return say(r, RW_E_BAD, "the archive is damaged: the pepper's length");
    memcpy(r->result.pepper, r->chunk, n);
    crypto_wipe(r->chunk, n);
    r->result.has_pepper = true;
    RW_TRY(get_chunk(r, &n));
    return n == 0 ? RW_OK : say(r, RW_E_BAD, "the archive is damaged: the pepper's length");
}

static enum rw_err get_sections(struct restore *r)
{
    uint8_t kind, digest[CRYPTO_SHA256_BYTES], wanted[CRYPTO_SHA256_BYTES];
    for (;;) {
        RW_TRY(get(r, &kind, 1));
        if (kind == SECTION_END) break;
        if (kind > SECTION_PEPPER || r->got[kind])
            return say(r, RW_E_BAD, "the archive is damaged: an unknown or repeated section");
        r->got[kind] = true;
        RW_TRY(kind == SECTION_PEPPER ? get_pepper(r) : get_env(r, folder_of[kind]));
    }
    crypto_sha256_final(&r->hash, digest);
    RW_TRY(get_plain(r, wanted, sizeof wanted));
    if (!crypto_equal(digest, wanted, sizeof digest))
        return say(r, RW_E_BAD, "the archive is damaged: its checksum is wrong");
    return r->got[SECTION_ACCOUNTS] && r->got[SECTION_USAGE]
        ? RW_OK
        : say(r, RW_E_BAD, "the archive is not complete");
}

static enum rw_err get_head(struct restore *r)
{
    char magic[MAGIC_BYTES];
    uint32_t version;
    RW_TRY(get(r, magic, sizeof magic));
    if (memcmp(magic, MAGIC, sizeof magic) != 0) return say(r, RW_E_BAD, "this is no backup");
    RW_TRY(get(r, &version, sizeof version));
    return version == ARCHIVE_VERSION ? RW_OK : say(r, RW_E_VERSION, "the archive is of a later release");
}

// --- Putting it in place.

static bool is_there(const struct restore *r, const char *name)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    path_of(r, "%s/data.mdb", name, path);
    return access(path, F_OK) == 0;
}

static enum rw_err put_aside(struct restore *r, const char *name)
{
    char path[STORE_PATH_BYTES_MAX + 64], aside[STORE_PATH_BYTES_MAX + 96];
    path_of(r, "%s", name, path);
    for (int i = 1; i < NAMES_TRIED_MAX; i++) {
        (void)snprintf(aside, sizeof aside, "%s.before-%d", path, i);
        if (renameat2(AT_FDCWD, path, AT_FDCWD, aside, RENAME_NOREPLACE) == 0 || errno == ENOENT)
            return RW_OK;
        if (errno != EEXIST) break;
    }
    return say(r, rw_errno(), "what is there cannot be put aside");
}

static enum rw_err put_in_place(struct restore *r, const char *name)
{
    char path[STORE_PATH_BYTES_MAX + 64], from[STORE_PATH_BYTES_MAX + 64];
    RW_TRY(put_aside(r, name));
    path_of(r, "%s", name, path);
    path_of(r, "%s.restoring", name, from);
    return rename(from, path) == 0 ? RW_OK : say(r, rw_errno(), "the restored files cannot be put in place");
}

static enum rw_err lock_folder(struct restore *r)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    if (mkdir(r->data_dir, 0700) != 0 && errno != EEXIST)
        return say(r, rw_errno(), "data_dir cannot be made");
    path_of(r, "%s", "lock", path);
    r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (r->lock_fd < 0) return say(r, rw_errno(), "data_dir cannot be locked");
    const enum rw_err err = store_file_lock(r->lock_fd, F_WRLCK, false);
    return err ? say(r, err, "the store is in use; stop the server first") : RW_OK;
}

static enum rw_err restore(struct restore *r, bool replace)
{
    RW_TRY(lock_folder(r));
    if (!replace && (is_there(r, "accounts") || is_there(r, "usage")))
        return say(r, (enum rw_err) - EEXIST, "data_dir holds a store already");
    RW_TRY(get_head(r));
    RW_TRY(get_sections(r));
    RW_TRY(put_in_place(r, "accounts"));
    RW_TRY(put_in_place(r, "usage"));
    const int folder = open(r->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        (void)fsync(folder);
        (void)close(folder);
    }
    return RW_OK;
}

// Of a restore that failed.
static void clean_up(const struct restore *r)
{
    char path[STORE_PATH_BYTES_MAX + 64];
    for (enum section i = SECTION_ACCOUNTS; i <= SECTION_USAGE; i++) {
        path_of(r, "%s.restoring/data.mdb", folder_of[i], path);
        (void)unlink(path);
        path_of(r, "%s.restoring", folder_of[i], path);
        (void)rmdir(path);
    }
}

enum rw_err store_restore(const char *data_dir, int fd, bool replace, struct store_restored *ret,
                          char *ret_why)
{
    struct restore r = {.fd = fd, .data_dir = data_dir, .lock_fd = -1, .why = ret_why};
    ret_why[0] = 0;
    const size_t n = strlen(data_dir);
    if (n == 0 || n >= STORE_PATH_BYTES_MAX) return say(&r, (enum rw_err) - ENAMETOOLONG, "data_dir");
    r.chunk = malloc(CHUNK_BYTES);
    if (!r.chunk) return say(&r, (enum rw_err) - ENOMEM, "restore");
    crypto_sha256_init(&r.hash);
    const enum rw_err err = restore(&r, replace);
    if (err && r.got[SECTION_ACCOUNTS]) clean_up(&r);
    if (r.lock_fd >= 0) (void)close(r.lock_fd);
    free(r.chunk);
    if (!err) *ret = r.result;
    crypto_wipe(&r.result, sizeof r.result);
    return err;
}
