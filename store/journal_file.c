// The files of journals: made under a name that nobody looks for, locked, filled, and only then given the name
// by which adopters find them; so what an adopter finds and can lock is whole, and its process is dead.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/crc.h"
#include "store/journal_priv.h"
#include "store/store_priv.h"

#define NAMES_TRIED_MAX 1000
#define UNFINISHED ".making"
#define SET_ASIDE ".bad"

static uint64_t file_bytes(uint32_t slots)
{
    return JOURNAL_HEAD_BYTES + (uint64_t)slots * JOURNAL_SLOT_BYTES;
}

static void boot_id(char ret[JOURNAL_BOOT_BYTES])
{
    memset(ret, 0, JOURNAL_BOOT_BYTES);
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (read(fd, ret, JOURNAL_BOOT_BYTES) != JOURNAL_BOOT_BYTES) memset(ret, 0, JOURNAL_BOOT_BYTES);
    (void)close(fd);
}

static uint32_t head_crc(const struct journal_head *h)
{
    return store_crc32c(h, offsetof(struct journal_head, crc));
}

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

static enum rw_err map_file(struct journal_map *m)
{
    const size_t bytes = file_bytes(m->slots);
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    if (base == MAP_FAILED) return rw_errno();
    m->base = base;
    m->slot = (struct journal_slot *)(void *)((uint8_t *)base + JOURNAL_HEAD_BYTES);
    return RW_OK;
}

void store_journal_unmap(struct journal_map *m, bool empty)
{
    if (m->base) (void)munmap(m->base, file_bytes(m->slots));
    if (empty && m->path[0]) (void)unlink(m->path);
    if (m->fd >= 0) (void)close(m->fd);
    *m = (struct journal_map){.fd = -1};
}

// Another process may take the new file for one left over, and remove it, before the lock is ours: then its
// name is gone, and a new one is made.
static enum rw_err make_locked(const char *path, int *ret_fd)
{
    for (int tries = 0; tries < NAMES_TRIED_MAX; tries++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            if (errno != EEXIST) return rw_errno();
            (void)unlink(path);
            continue;
        }
        struct stat st;
        const enum rw_err err = store_file_lock(fd, F_WRLCK, true);
        if (!err && fstat(fd, &st) == 0 && st.st_nlink == 1) {
            *ret_fd = fd;
            return RW_OK;
        }
        (void)close(fd);
    }
    return (enum rw_err) - EBUSY;
}

static enum rw_err head_write(const struct journal_map *m, uint16_t epoch, uint8_t worker)
{
    struct journal_head *h = m->base;
    h->magic = JOURNAL_MAGIC;
    h->version = JOURNAL_VERSION;
    h->slots = m->slots;
    h->epoch = epoch;
    h->worker = worker;
    boot_id(h->boot);
    h->crc = head_crc(h);
    // The head is all that has to survive a power cut whole.
    return msync(m->base, JOURNAL_HEAD_BYTES, MS_SYNC) == 0 ? RW_OK : rw_errno();
}

// Numbers the name until it is free: a journal of the same epoch and worker may still wait to be adopted.
static enum rw_err name_it(struct store *s, struct journal_map *m, uint16_t epoch, uint8_t worker)
{
    char path[sizeof m->path];
    for (int i = 0; i < NAMES_TRIED_MAX; i++) {
        (void)snprintf(path, sizeof path, "%s/journal/%04x-%02x-%d" JOURNAL_SUFFIX, s->dir, epoch, worker, i);
        if (renameat2(AT_FDCWD, m->path, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
            memcpy(m->path, path, sizeof path);
            return RW_OK;
        }
        if (errno != EEXIST) return rw_errno();
    }
    return (enum rw_err) - EEXIST;
}

enum rw_err store_journal_make(struct store *s, uint16_t epoch, uint8_t worker, uint32_t slots,
                               struct journal_map *ret)
{
    struct journal_map m = {.fd = -1, .slots = slots, .same_boot = true};
    (void)snprintf(m.path, sizeof m.path, "%s/journal/%04x-%02x-%d" UNFINISHED, s->dir, epoch, worker,
                   (int)getpid());
    RW_TRY(make_locked(m.path, &m.fd));
    enum rw_err err = store_file_fill(m.fd, (int64_t)file_bytes(slots));
    if (!err) err = map_file(&m);
    if (!err) err = head_write(&m, epoch, worker);
    if (!err) err = name_it(s, &m, epoch, worker);
    if (err) {
        store_journal_unmap(&m, true);
        return err;
    }
    *ret = m;
    return RW_OK;
}

// --- Adopting.

static enum rw_err head_read(struct journal_map *m)
{
    struct journal_head h;
    struct stat st;
    char boot[JOURNAL_BOOT_BYTES];
    static const char unknown[JOURNAL_BOOT_BYTES];
    if (pread(m->fd, &h, sizeof h, 0) != (ssize_t)sizeof h) return RW_E_CORRUPT;
    if (h.magic != JOURNAL_MAGIC || h.crc != head_crc(&h)) return RW_E_CORRUPT;
    if (h.version != JOURNAL_VERSION) return RW_E_VERSION;
    if (fstat(m->fd, &st) != 0 || h.slots > STORE_JOURNAL_SLOTS_MAX) return RW_E_CORRUPT;
    if ((uint64_t)st.st_size < file_bytes(h.slots)) return RW_E_CORRUPT;
    boot_id(boot);
    m->slots = h.slots;
    m->same_boot = memcmp(boot, h.boot, sizeof boot) == 0 && memcmp(boot, unknown, sizeof boot) != 0;
    return RW_OK;
}

// RW_OK: it is ours. RW_E_NOT_FOUND: somebody's, or gone meanwhile.
static enum rw_err try_lock(struct journal_map *m)
{
    struct stat st;
    m->fd = open(m->path, O_RDWR | O_CLOEXEC);
    if (m->fd < 0) return RW_E_NOT_FOUND;
    if (store_file_lock(m->fd, F_WRLCK, false) == RW_OK && fstat(m->fd, &st) == 0 && st.st_nlink == 1)
        return RW_OK;
    (void)close(m->fd);
    m->fd = -1;
    return RW_E_NOT_FOUND;
}

// A file of one that died while it made it holds nothing.
static enum rw_err look_at(struct journal_map *m, const char *name)
{
    if (has_suffix(name, UNFINISHED)) {
        if (try_lock(m) == RW_OK) store_journal_unmap(m, true);
        return RW_E_NOT_FOUND;
    }
    if (!has_suffix(name, JOURNAL_SUFFIX)) return RW_E_NOT_FOUND;
    RW_TRY(try_lock(m));
    enum rw_err err = head_read(m);
    if (!err) err = map_file(m);
    if (!err) return RW_OK;
    if (err == RW_E_CORRUPT) {
        char path[sizeof m->path + sizeof SET_ASIDE];
        (void)snprintf(path, sizeof path, "%s" SET_ASIDE, m->path);
        (void)rename(m->path, path);
    }
    (void)close(m->fd);
    m->fd = -1;
    // One of another release waits for it.
    return err == RW_E_VERSION ? RW_E_NOT_FOUND : err;
}

enum rw_err store_journal_adopt(struct store *s, struct journal_map *ret)
{
    char folder[STORE_PATH_BYTES_MAX + 32];
    (void)snprintf(folder, sizeof folder, "%s/journal", s->dir);
    DIR *d = opendir(folder);
    if (!d) return rw_errno();
    enum rw_err err = RW_E_NOT_FOUND;
    const struct dirent *e;
    while (err == RW_E_NOT_FOUND && (e = readdir(d))) {
        *ret = (struct journal_map){.fd = -1};
        const int n = snprintf(ret->path, sizeof ret->path, "%s/%s", folder, e->d_name);
        if (n > 0 && (size_t)n < sizeof ret->path) err = look_at(ret, e->d_name);
    }
    (void)closedir(d);
    return err;
}
