// See secret.h.
#include "store/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

#define PREFIX_CHARS_MAX 12
#define KEY_RANDOM_BYTES 32
#define KEY_HEX_RANDOM_BYTES 16
#define FINGERPRINT_BYTES 8
#define FINGERPRINT_TEXT "ringway pepper fingerprint"

void store_pepper_of(const uint8_t bytes[STORE_PEPPER_BYTES], struct store_pepper *ret)
{
    memcpy(ret->bytes, bytes, STORE_PEPPER_BYTES);
    crypto_hmac_key_init(&ret->hmac, bytes, STORE_PEPPER_BYTES);
}

void store_pepper_wipe(struct store_pepper *p)
{
    crypto_wipe(p, sizeof *p);
}

// --- The file.

static enum rw_err say(char *why, enum rw_err err, const char *path, const char *what)
{
    (void)snprintf(why, STORE_WHY_BYTES, "pepper file %.400s: %s", path,
                   what                         ? what
                       : err < 0 && err > -4096 ? strerrordesc_np(-(int)err)
                                                : rw_err_name(err));
    return err;
}

// Where the folders of both really are, whatever links lead there.
static bool lies_within(const char *path, const char *folder)
{
    char parent[STORE_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof parent) return false;
    memcpy(parent, path, n);
    parent[n] = 0;
    char *a = realpath(n ? parent : slash ? "/" : ".", NULL), *b = realpath(folder, NULL);
    const size_t m = b ? strlen(b) : 0;
    const bool within = a && b && strncmp(a, b, m) == 0 && (a[m] == 0 || a[m] == '/');
    free(a);
    free(b);
    return within;
}

static enum rw_err read_file(int fd, uint8_t ret[STORE_PEPPER_BYTES], const char **ret_what)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return rw_errno();
    if (!S_ISREG(st.st_mode) || st.st_size != STORE_PEPPER_BYTES) {
        *ret_what = "is not 32 bytes long; restore it from a backup";
        return RW_E_CONFIG;
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        *ret_what = "can be read by others; chmod 600 it";
        return RW_E_CONFIG;
    }
    return read(fd, ret, STORE_PEPPER_BYTES) == STORE_PEPPER_BYTES ? RW_OK : (enum rw_err) - EIO;
}

// Under a name of its own first: whoever reads the file finds all of it.
enum rw_err store_pepper_save(const char *path, const uint8_t bytes[STORE_PEPPER_BYTES])
{
    char making[STORE_PATH_BYTES_MAX + 32];
    const int n = snprintf(making, sizeof making, "%s.%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof making) return (enum rw_err) - ENAMETOOLONG;
    const int fd = open(making, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return rw_errno();
    enum rw_err err = write(fd, bytes, STORE_PEPPER_BYTES) == STORE_PEPPER_BYTES ? RW_OK : rw_errno();
    if (!err && fsync(fd) != 0) err = rw_errno();
    if (!err && link(making, path) != 0) err = rw_errno();
    (void)close(fd);
    (void)unlink(making);
    return err;
}

static enum rw_err make_file(const char *path)
{
    uint8_t bytes[STORE_PEPPER_BYTES];
    char folder[STORE_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    if (slash && slash != path && (size_t)(slash - path) < sizeof folder) {
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = 0;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST) return rw_errno();
    }
    crypto_random(bytes, sizeof bytes);
    const enum rw_err err = store_pepper_save(path, bytes);
    crypto_wipe(bytes, sizeof bytes);
    return err == (enum rw_err) - EEXIST ? RW_OK : err; // another process was faster
}

enum rw_err store_pepper_load(const char *path, const char *data_dir, bool make, struct store_pepper *ret,
                              char *ret_why)
{
    uint8_t bytes[STORE_PEPPER_BYTES];
    ret_why[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        if (!make) return say(ret_why, RW_E_NOT_FOUND, path, "is not there");
        const enum rw_err err = make_file(path);
        if (err) return say(ret_why, err, path, NULL);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (fd < 0) return say(ret_why, rw_errno(), path, NULL);
    const char *what = NULL;
    enum rw_err err = read_file(fd, bytes, &what);
    (void)close(fd);
    if (!err && lies_within(path, data_dir)) {
        err = RW_E_CONFIG;
        what = "lies in data_dir; it belongs elsewhere (pepper_file)";
    }
    if (!err) store_pepper_of(bytes, ret);
    crypto_wipe(bytes, sizeof bytes);
    return err ? say(ret_why, err, path, what) : RW_OK;
}

// --- Which pepper a store belongs to.

static enum rw_err bind(struct store_txn *t, void *ctx)
{
    const struct store_pepper *p = ctx;
    uint8_t mark[STORE_HASH_BYTES];
    struct span known;
    crypto_hmac(&p->hmac, FINGERPRINT_TEXT, sizeof FINGERPRINT_TEXT - 1, mark);
    const enum rw_err err = store_get(t->store, t->txn, TABLE_ACCOUNTS_META, SPAN("pepper"), &known);
    if (err == RW_E_NOT_FOUND)
        return store_put(t, TABLE_ACCOUNTS_META, SPAN("pepper"), span_of(mark, FINGERPRINT_BYTES), 0);
    if (err) return err;
    if (known.n != FINGERPRINT_BYTES) return RW_E_CORRUPT;
    // Nothing to write: no reader needs to look again.
    return crypto_equal(known.p, mark, FINGERPRINT_BYTES) ? (enum rw_err) - EALREADY : RW_E_CONFIG;
}

enum rw_err store_pepper_bind(struct store *s, const struct store_pepper *p)
{
    const enum rw_err err = store_commit(s, STORE_ACCOUNTS, bind, (void *)(uintptr_t)p);
    return err == (enum rw_err) - EALREADY ? RW_OK : err;
}

// --- Keys.

void store_key_make(char ret[STORE_KEY_CHARS])
{
    uint8_t bytes[KEY_RANDOM_BYTES];
    crypto_random(bytes, sizeof bytes);
    memcpy(ret, "rw-", 3);
    MUST(crypto_base64url_encode(bytes, sizeof bytes, ret + 3, STORE_KEY_CHARS - 3) == STORE_KEY_CHARS - 3);
    crypto_wipe(bytes, sizeof bytes);
}

void store_key_make_hex(char ret[STORE_KEY_HEX_CHARS])
{
    uint8_t bytes[KEY_HEX_RANDOM_BYTES];
    crypto_random(bytes, sizeof bytes);
    memcpy(ret, "llm-", 4);
    MUST(crypto_hex_encode(bytes, sizeof bytes, ret + 4, STORE_KEY_HEX_CHARS - 4) == STORE_KEY_HEX_CHARS - 4);
    crypto_wipe(bytes, sizeof bytes);
}

void store_key_hash(const struct store_pepper *p, struct span key, uint8_t ret[STORE_HASH_BYTES])
{
    crypto_hmac(&p->hmac, key.p, key.n, ret);
}

struct span store_key_prefix(struct span key)
{
    const uint32_t third = key.n / 3;
    return (struct span){key.p, third < PREFIX_CHARS_MAX ? third : PREFIX_CHARS_MAX};
}
