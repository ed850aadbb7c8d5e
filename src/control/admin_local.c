// See admin_local.h.
#include "control/admin_local.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/admin_server.h"
#include "io/clock.h"
#include "store/secret.h"

#define LOCAL_BYTES_MAX MIB(256)

static int64_t wall_ms(void)
{
    struct io_time t;
    io_clock(&t);
    return t.wall_ns / CLOCK_MS;
}

// --- The store of a configuration.

struct first {
    struct store_account account;
    uint32_t id;
};

static enum rw_err commit_first(struct store_txn *t, void *ctx)
{
    struct first *f = ctx;
    const struct store_act act = {.wall_ms = wall_ms(), .actor = SPAN("ringway"), .detail = SPAN("")};
    return store_account_create(t, &f->account, NULL, &act, &f->id);
}

static enum rw_err id_of(struct store *s, enum store_kind kind, struct span name, uint32_t *ret_id)
{
    struct store_account a;
    struct store_reader *r;
    RW_TRY(store_reader_open(s, STORE_ACCOUNTS, &r));
    struct store_buf buf = {.p = malloc(STORE_ACCOUNT_BYTES_MAX), .cap = STORE_ACCOUNT_BYTES_MAX};
    MUST(buf.p);
    const enum rw_err err = store_account_named(r, kind, name, &buf, &a);
    store_reader_close(r);
    free(buf.p);
    if (!err) *ret_id = a.id;
    return err;
}

// Two processes may do this at once.
static enum rw_err make(struct store *s, const struct store_account *a, uint32_t *ret_id)
{
    struct first f = {.account = *a};
    enum rw_err err = id_of(s, (enum store_kind)a->kind, a->name, ret_id);
    if (err != RW_E_NOT_FOUND) return err;
    err = store_commit(s, STORE_ACCOUNTS, commit_first, &f);
    return !err || err == (enum rw_err) - EEXIST ? id_of(s, (enum store_kind)a->kind, a->name, ret_id) : err;
}

// The plans that are there from the start, team and tenant `default`, whom everything belongs to that names nobody. The plans
// come before the tenant, so that they are made once: who deletes one does not get it back at the next start.
static enum rw_err make_defaults(struct store *s)
{
    static const struct store_account plans[] = {
        {.kind = STORE_PLAN,
         .name = SPAN_INIT("staging"),
         .limits = {.rates_count = 1, .rates = {{.window = STORE_SECOND, .limit = 100}}}},
        {.kind = STORE_PLAN,
         .name = SPAN_INIT("production"),
         .limits = {.rates_count = 1, .rates = {{.window = STORE_SECOND, .limit = 1000}}}},
    };
    struct store_account tenant = {.kind = STORE_TENANT, .name = SPAN("default")},
                         team = {.kind = STORE_TEAM, .name = SPAN("default")};
    uint32_t id;
    enum rw_err err = id_of(s, STORE_TENANT, tenant.name, &team.parent);
    if (err == RW_E_NOT_FOUND) {
        for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) RW_TRY(make(s, &plans[i], &id));
        err = make(s, &tenant, &team.parent);
    }
    return err ? err : make(s, &team, &id);
}

// data_dir itself is the store's.
void admin_make_parents(const char *path)
{
    char part[STORE_PATH_BYTES_MAX];
    for (size_t i = 1; i < sizeof part && path[i]; i++) {
        if (path[i] != '/') continue;
        memcpy(part, path, i);
        part[i] = 0;
        (void)mkdir(part, 0755);
    }
}

bool admin_store_exists(const struct config *c)
{
    char path[STORE_PATH_BYTES_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/accounts/data.mdb", c->data_dir);
    return access(path, F_OK) == 0 || errno != ENOENT;
}

enum rw_err admin_store_open(const struct config *c, struct admin *ret, char *ret_why, size_t cap)
{
    const struct store_cfg cfg = {.data_dir = c->data_dir};
    MUST(cap >= STORE_WHY_BYTES);
    *ret = (struct admin){.wall_ms = wall_ms};
    admin_make_parents(c->data_dir);
    admin_make_parents(c->pepper_file);
    // Where keys are kept already, a new pepper would be a wrong one.
    enum rw_err err =
        store_pepper_load(c->pepper_file, c->data_dir, !admin_store_exists(c), &ret->pepper, ret_why);
    if (!err) err = store_open(&cfg, &ret->store, ret_why);
    if (err == RW_E_NOT_FOUND) {
        snprintf(ret_why, cap,
                 "%s is not there, and the keys in %s were hashed with it: put it back (pepper_file; a "
                 "backup made "
                 "--with-pepper holds it)",
                 c->pepper_file, c->data_dir);
        return err;
    }
    if (err) return err;
    err = store_pepper_bind(ret->store, &ret->pepper);
    if (err) {
        snprintf(
            ret_why, cap,
            "the keys in %s were hashed with another pepper than %s: without the right one none is known",
            c->data_dir, c->pepper_file);
        store_close(ret->store);
        ret->store = NULL;
        return err;
    }
    err = make_defaults(ret->store);
    if (!err) return RW_OK;
    snprintf(ret_why, cap, "team and tenant 'default' cannot be made in %s: %s", c->data_dir,
             rw_err_name((int)err));
    store_close(ret->store);
    ret->store = NULL;
    return err;
}

// --- Without a server.

static enum http_method method_of(const char *name)
{
    static const enum http_method all[] = {HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (span_eq(http_method_name(all[i]), span_str(name))) return all[i];
    return HTTP_METHOD_OTHER;
}

static enum rw_err on_store(const struct config *c, const char *method, const char *target, struct span body,
                            struct admin_answer *ret, char *ret_why, size_t cap)
{
    struct admin admin;
    struct budget budget = {.limit = LOCAL_BYTES_MAX};
    struct arena_pool pool;
    struct arena arena;
    char actor[32];
    RW_TRY(admin_store_open(c, &admin, ret_why, cap));
    arena_pool_init(&pool, &budget, 0);
    arena_init(&arena, &pool, LOCAL_BYTES_MAX);
    const struct span whole = span_str(target);
    const uint32_t mark = span_find(whole, '?');
    const int n = snprintf(actor, sizeof actor, "uid %u", (unsigned)geteuid());
    struct admin_call call = {.method = method_of(method),
                              .path = {whole.p, mark},
                              .query = mark < whole.n ? span_from(whole, mark + 1) : SPAN(""),
                              .body = body,
                              .actor = span_of(actor, (size_t)n),
                              .arena = &arena};
    admin_run(&admin, &call);
    const struct span text = json_out_flat(&call.out);
    ret->status = call.status;
    ret->n = text.n;
    ret->body = text.p ? malloc(text.n + 1u) : NULL;
    if (ret->body) {
        memcpy(ret->body, text.p, text.n);
        ret->body[text.n] = 0;
    }
    arena_done(&arena);
    arena_pool_done(&pool);
    store_close(admin.store);
    store_pepper_wipe(&admin.pepper);
    return ret->body ? RW_OK : (enum rw_err) - ENOMEM;
}

enum rw_err admin_local_config(const char *config_path, struct config **ret, char *ret_why, size_t cap)
{
    struct config_errors errors = {0};
    const enum rw_err err = config_path ? config_load(config_path, &config_env_process, ret, &errors)
                                        : config_default_from_env(&config_env_process, ret, &errors);
    if (!err) return RW_OK;
    config_errors_write(&errors, config_path ? config_path : "(environment)", stderr);
    config_errors_free(&errors);
    snprintf(ret_why, cap, "the configuration cannot be used");
    return RW_E_CONFIG;
}

enum rw_err admin_local_call(const char *config_path, const char *method, const char *target,
                             struct span body, struct admin_answer *ret, char *ret_why, size_t cap)
{
    struct config *c = NULL;
    RW_TRY(admin_local_config(config_path, &c, ret_why, cap));
    enum rw_err err = admin_client_call(c->admin_socket, method, target, body, ret);
    if (err == (enum rw_err) - EACCES || err == RW_E_EOF)
        snprintf(ret_why, cap, "%s does not let you in: be root, the server's user, or in group ringway",
                 c->admin_socket);
    else if (err == (enum rw_err) - ENOENT || err == (enum rw_err) - ECONNREFUSED) {
        if (*c->data_dir) {
            err = on_store(c, method, target, body, ret, ret_why, cap);
        } else {
            snprintf(ret_why, cap, "the configuration says data_dir: off, so there is nothing to administer");
            err = RW_E_CONFIG;
        }
    } else if (err) {
        snprintf(ret_why, cap, "%s: %s", c->admin_socket, rw_err_name((int)err));
    }
    config_free(c);
    return err;
}
