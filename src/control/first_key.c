// See first_key.h.
#include "control/first_key.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/admin_local.h"
#include "control/log.h"

#define NAME "first"

// --- Whether there is one.

static bool counts(const struct store_account *a, void *ctx)
{
    if (a->flags & STORE_FROM_FILE) return true;
    *(bool *)ctx = true;
    return false;
}

static enum rw_err has_keys(const struct admin *a, bool *ret)
{
    struct store_reader *r;
    uint32_t next;
    *ret = false;
    RW_TRY(store_reader_open(a->store, STORE_ACCOUNTS, &r));
    const enum rw_err err = store_account_list(r, STORE_KEY, 0, 0, UINT32_MAX, counts, ret, &next);
    store_reader_close(r);
    return err;
}

// --- Keeping it.

struct keeping {
    const struct admin *admin;
    struct store_account account;
    uint8_t hash[STORE_HASH_BYTES];
};

static enum rw_err commit(struct store_txn *t, void *ctx)
{
    struct keeping *k = ctx;
    const struct store_act act = {
        .wall_ms = k->admin->wall_ms(), .actor = SPAN("ringway"), .detail = SPAN("")};
    uint32_t id;
    return store_account_create(t, &k->account, k->hash, &act, &id);
}

static enum rw_err keep(const struct admin *a, const char *text)
{
    struct keeping k = {
        .admin = a,
        .account = {.kind = STORE_KEY, .name = SPAN(NAME), .prefix = store_key_prefix(span_str(text))}};
    struct store_reader *r;
    struct store_account team;
    struct store_buf buf = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX};
    if (!buf.p) return (enum rw_err) - ENOMEM;
    enum rw_err err = store_reader_open(a->store, STORE_ACCOUNTS, &r);
    if (!err) {
        err = store_account_named(r, STORE_TEAM, SPAN("default"), &buf, &team);
        store_reader_close(r);
    }
    free(buf.p);
    if (err) return err;
    k.account.parent = team.id;
    store_key_hash(&a->pepper, span_str(text), k.hash);
    return store_commit(a->store, STORE_ACCOUNTS, commit, &k);
}

// --- The file.

static bool write_file(const char *path, const char *text)
{
    const size_t n = strlen(text);
    admin_make_parents(path);
    (void)unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    const bool written = write(fd, text, n) == (ssize_t)n && write(fd, "\n", 1) == 1;
    (void)close(fd);
    if (!written) (void)unlink(path);
    return written;
}

// In the socket's folder. False: it could not be written, and why was said.
static bool to_file(const struct config *config, const char *text, bool kept)
{
    char path[STORE_PATH_BYTES_MAX + 16];
    const char *slash = strrchr(config->admin_socket, '/');
    const int n = slash ? (int)(slash - config->admin_socket) : 0;
    (void)snprintf(path, sizeof path, "%.*s/first-key", n, config->admin_socket);
    if (!write_file(path, text)) {
        log_msg(LOG_ERROR,
                "there is no key yet, and a first one could not be written to %s: %s. Make one: 'ringway key "
                "create'.",
                path, strerror(errno));
        return false;
    }
    log_msg(LOG_INFO,
            "there was no key yet: a first one%s is in %s. Next: take it from there and delete the file; "
            "'ringway key create --name my-app'; 'ringway usage --by key'.",
            kept ? "" : ", for this run,", path);
    return true;
}

// --- The whole.

void first_key_make(const struct admin *a, const struct config *config, struct first_key *ret)
{
    bool there = config->key_count > 0;
    *ret = (struct first_key){.kept = a->store != NULL};
    enum rw_err err = there || !a->store ? RW_OK : has_keys(a, &there);
    if (there) return;
    store_key_make(ret->text);
    // Written before it counts: a key that nobody ever sees would stand in the way of the next one.
    ret->in_file = !isatty(STDERR_FILENO);
    if (!err && ret->in_file && !to_file(config, ret->text, ret->kept)) {
        first_key_wipe(ret);
        return;
    }
    if (!err && a->store) err = keep(a, ret->text);
    if (!err) return;
    log_msg(LOG_ERROR, "a first key cannot be kept: %s. Mend the store, then 'ringway key create'.",
            rw_err_name((int)err));
    first_key_wipe(ret);
}

void first_key_show(const struct first_key *k, const struct config *config, const char *config_path)
{
    const char *model = config->model_count > 0 ? config->models[0].name : "echo";
    const char *address = config->listeners[0].address.text, *host = "";
    const char *flag = config_path ? " --config " : "", *path = config_path ? config_path : "";
    if (!k->text[0] || k->in_file) return;
    if (strncmp(address, "0.0.0.0:", 8) == 0) {
        host = "127.0.0.1";
        address += 7;
    }
    fprintf(stderr,
            "\n  The first key%s, shown this once:\n\n    %s\n\n  Next, in another terminal:\n\n"
            "    curl http%s://%s%s%s/v1/chat/completions -H 'Authorization: Bearer %s' \\\n"
            "      -H 'Content-Type: application/json' \\\n"
            "      -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n"
            "    ringway key create --name my-app --rpm 60%s%s\n    ringway usage --by key%s%s\n\n",
            k->kept ? "" : " of this run (nothing is kept: see data_dir)", k->text,
            config->listeners[0].tls.first.certificate ? "s" : "", host, address, config->base_path, k->text,
            model, flag, path, flag, path);
}

void first_key_wipe(struct first_key *k)
{
    crypto_wipe(k->text, sizeof k->text);
}
