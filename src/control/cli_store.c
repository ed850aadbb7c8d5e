// Backup and restore of the store. The server that runs sends a backup over its socket; without one, or with the pepper, this
// process takes it from the store itself, which LMDB allows beside a server, too. A restore needs the store for itself.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/admin_backup.h"
#include "control/admin_local.h"
#include "control/cli.h"
#include "io/clock.h"
#include "store/backup.h"
#include "wire/json.h"

#define PATH_BYTES (STORE_PATH_BYTES_MAX + 128)
#define SHOW_EVERY_MS 200
#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

// What failed below, for people: one thread, and too large for a frame.
static char why[STORE_WHY_BYTES];

static int fail(const char *what, const char *reason)
{
    fprintf(stderr, "ringway: %s: %s\n", what, reason);
    return 1;
}

static const char *words(enum rw_err err)
{
    return err < 0 && err > -4096 ? strerror(-(int)err) : rw_err_name((int)err);
}

// The configuration, and that it keeps anything. 0, or the exit status.
static int config_of(const struct cli *c, struct config **ret)
{
    if (admin_local_config(c->config, ret, why, sizeof why) != RW_OK) {
        fprintf(stderr, "ringway: %s\n", why);
        return 2;
    }
    if (*(*ret)->data_dir) return 0;
    fprintf(stderr, "ringway: the configuration says data_dir: off, so nothing is kept\n");
    config_free(*ret);
    return 2;
}

// --- Backup.

// A line on a terminal that says how far it is, written over and over by a thread of its own.
struct progress {
    pthread_t thread;
    bool runs;
    atomic_bool done;
    int fd;
    bool reads; // how far it was read, else how long it is
};

static void *show(void *arg)
{
    struct progress *p = arg;
    struct stat st;
    while (!atomic_load(&p->done)) {
        const struct timespec pause = {.tv_nsec = SHOW_EVERY_MS * 1000000L};
        const bool known = fstat(p->fd, &st) == 0;
        const off_t at = p->reads ? lseek(p->fd, 0, SEEK_CUR) : st.st_size;
        if (known && p->reads && st.st_size > 0)
            fprintf(stderr, "\r%llu of %llu MB ", (unsigned long long)at >> 20,
                    (unsigned long long)st.st_size >> 20);
        else if (known) fprintf(stderr, "\r%llu MB ", (unsigned long long)at >> 20);
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "\r%*s\r", 40, "");
    return NULL;
}

static void progress_begin(struct progress *p, int fd, bool reads)
{
    *p = (struct progress){.fd = fd, .reads = reads};
    p->runs = isatty(STDERR_FILENO) && pthread_create(&p->thread, NULL, show, p) == 0;
}

static void progress_end(struct progress *p)
{
    atomic_store(&p->done, true);
    if (p->runs) pthread_join(p->thread, NULL);
}

// The file's name, and that of the same while it is not whole. False: it was said why not.
static bool name_file(const char *given, char file[PATH_BYTES], char part[PATH_BYTES + 8])
{
    struct stat st;
    const bool folder = stat(given, &st) == 0 && S_ISDIR(st.st_mode);
    struct io_time now;
    struct tm tm;
    io_clock(&now);
    const time_t seconds = (time_t)(now.wall_ns / CLOCK_SEC);
    char stamp[48] = "";
    if (folder && gmtime_r(&seconds, &tm))
        strftime(stamp, sizeof stamp, "/ringway-%Y%m%dT%H%M%SZ.backup", &tm);
    const int n = snprintf(file, PATH_BYTES, "%s%s", given, stamp);
    if (n < 0 || n >= PATH_BYTES) return fail(given, "the path is too long") == 0;
    if (access(file, F_OK) == 0) return fail(file, "is there already; choose another name") == 0;
    snprintf(part, PATH_BYTES + 8, "%s.part", file);
    return true;
}

// Where a backup comes from: the server that runs, which is asked over its socket, or the store itself. The pepper only this
// process can add, if it may read its file.
struct source {
    const char *socket; // NULL: the store
    struct admin admin;
    bool with_pepper;
};

static enum rw_err copy_store(const struct source *from, const char *file, int fd)
{
    char actor[32];
    RW_TRY(store_backup(from->admin.store, from->with_pepper ? &from->admin.pepper : NULL, fd));
    const int n = snprintf(actor, sizeof actor, "uid %u", (unsigned)geteuid());
    return admin_backup_note(&from->admin, span_of(actor, (size_t)n), span_str(file), from->with_pepper);
}

static enum rw_err ask_server(const struct source *from, int fd)
{
    struct admin_answer a;
    struct span message;
    RW_TRY(admin_client_fetch(from->socket, ADMIN_BACKUP_PATH, fd, &a));
    if (a.status == 200) return RW_OK;
    if (json_path(span_of(a.body, a.n), "error.message", &message))
        fprintf(stderr, "ringway: %.*s\n", SPAN_ARG(message));
    free(a.body);
    return RW_E_BAD;
}

// part: its name while it is not whole; NULL: standard output.
static int write_backup(const struct source *from, const char *file, const char *part)
{
    struct progress progress;
    if (part) (void)unlink(part); // of one that was cut short
    const int fd = part ? open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : STDOUT_FILENO;
    if (fd < 0) return fail(part, strerror(errno));
    if (part) progress_begin(&progress, fd, false);
    enum rw_err err = from->socket ? ask_server(from, fd) : copy_store(from, file, fd);
    if (part) {
        progress_end(&progress);
        if (!err && fsync(fd) != 0) err = rw_errno();
        (void)close(fd);
        if (!err && rename(part, file) != 0) err = rw_errno();
        if (err) (void)unlink(part);
    }
    return err ? fail(file, words(err)) : 0;
}

static int backup_to(const struct cli *c, const struct config *config, const struct source *from)
{
    char file[PATH_BYTES] = "(standard output)", part[PATH_BYTES + 8];
    const bool piped = strcmp(c->argument[0], "-") == 0;
    struct stat st = {0};
    if (piped && isatty(STDOUT_FILENO))
        return fail("-", "standard output is a terminal: send it to a file or a pipe");
    if (!piped && !name_file(c->argument[0], file, part)) return 1;
    const int status = write_backup(from, file, piped ? NULL : part);
    if (status) return status;
    (void)stat(file, &st);
    if (!piped && c->output == CLI_JSON)
        printf("{\"file\":\"%s\",\"bytes\":%llu}\n", file, (unsigned long long)st.st_size);
    else if (!piped) printf("%s: %llu bytes\n", file, (unsigned long long)st.st_size);
    if (from->with_pepper) fprintf(stderr, "The backup holds the pepper: keep it as secret as the keys.\n");
    else
        fprintf(stderr,
                "Without %s no key in it is ever recognised: keep a copy of that file elsewhere, or use "
                "--with-pepper.\n",
                config->pepper_file);
    return 0;
}

// Whether a server answers there.
static bool server_runs(const char *socket)
{
    struct admin_answer a;
    if (admin_client_call(socket, "GET", "/admin/v1/audit?limit=1", SPAN(""), &a) != RW_OK) return false;
    free(a.body);
    return a.status == 200;
}

static int backup(const struct cli *c)
{
    struct config *config = NULL;
    struct source from = {.with_pepper = cli_value(c, "--with-pepper") != NULL};
    int status = config_of(c, &config);
    if (status) return status;
    if (!from.with_pepper && server_runs(config->admin_socket)) {
        from.socket = config->admin_socket;
        status = backup_to(c, config, &from);
    } else if (!admin_store_exists(config)) {
        status = fail(config->data_dir, "holds no store; see data_dir in the configuration");
    } else if (admin_store_open(config, &from.admin, why, sizeof why) != RW_OK) {
        status = fail("backup", why);
    } else {
        status = backup_to(c, config, &from);
        store_close(from.admin.store);
        store_pepper_wipe(&from.admin.pepper);
    }
    config_free(config);
    return status;
}

// --- Restore.

// The pepper of the archive becomes the configured file; another one that is there is kept beside it.
static int put_pepper(const char *path, const uint8_t bytes[STORE_PEPPER_BYTES])
{
    struct store_pepper there;
    char aside[PATH_BYTES];
    const bool same = store_pepper_load(path, "", false, &there, why) == RW_OK &&
        crypto_equal(there.bytes, bytes, STORE_PEPPER_BYTES);
    store_pepper_wipe(&there);
    if (same) return 0;
    admin_make_parents(path);
    for (int i = 1; access(path, F_OK) == 0 && i < 1000; i++) {
        snprintf(aside, sizeof aside, "%s.before-%d", path, i);
        if (access(aside, F_OK) == 0) continue;
        if (rename(path, aside) != 0) break;
        printf("the pepper that was in %s is in %s now\n", path, aside);
    }
    const enum rw_err err = store_pepper_save(path, bytes);
    return err ? fail(path, words(err)) : 0;
}

// That the pepper there is the one the restored keys were hashed with.
static int check_pepper(const struct config *config)
{
    struct admin admin;
    if (access(config->pepper_file, F_OK) != 0) {
        printf("%s is missing: put the pepper of the backed up gateway there before the first start, or its "
               "keys are lost\n",
               config->pepper_file);
        return 0;
    }
    if (admin_store_open(config, &admin, why, sizeof why) != RW_OK) return fail("restore", why);
    store_close(admin.store);
    store_pepper_wipe(&admin.pepper);
    return 0;
}

static int restore(const struct cli *c)
{
    struct config *config = NULL;
    struct store_restored got = {0};
    int status = config_of(c, &config);
    if (status) return status;
    const bool piped = strcmp(c->argument[0], "-") == 0;
    const int fd = piped ? STDIN_FILENO : open(c->argument[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        status = fail(c->argument[0], strerror(errno));
        config_free(config);
        return status;
    }
    admin_make_parents(config->data_dir);
    struct progress progress;
    progress_begin(&progress, fd, true);
    const enum rw_err err = store_restore(config->data_dir, fd, cli_value(c, "--replace") != NULL, &got, why);
    progress_end(&progress);
    if (err == (enum rw_err) - EEXIST)
        status = fail(config->data_dir, "holds a store already; --replace puts that aside first");
    else if (err) status = fail(c->argument[0], why);
    if (!piped) (void)close(fd);
    if (!err && got.has_pepper) status = put_pepper(config->pepper_file, got.pepper);
    crypto_wipe(&got, sizeof got);
    if (!err && !status) status = check_pepper(config);
    if (!err && !status) printf("%s: restored\n", config->data_dir);
    config_free(config);
    return status;
}

static const struct cli_option backup_options[] = {
    {"--with-pepper", CLI_FLAG, NULL, "with the secret that the keys are hashed with", NULL}};
static const struct cli_option restore_options[] = {
    {"--replace", CLI_FLAG, NULL, "put the store that is there aside, as accounts.before-1 and so on", NULL}};

const struct cli_command cli_store_commands[] = {
    {"backup", "FILE|DIR|-", "copy keys, teams and usage while the server runs",
     "To a new file, to a new file in a folder, or to standard output.\n\n"
     "Example: ringway backup /var/backups\n"
     "         ringway backup - --with-pepper | age -r age1... > ringway.backup.age\n",
     backup_options, COUNT(backup_options), 1, 1, backup},
    {"restore", "FILE|-", "put a backup in place, with the server stopped",
     "The backup is read and checked whole before anything is changed.\n\n"
     "Example: ringway restore /var/backups/ringway-20261121T160000Z.backup --replace\n",
     restore_options, COUNT(restore_options), 1, 1, restore},
};
const uint32_t cli_store_command_count = COUNT(cli_store_commands);
