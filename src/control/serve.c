// See serve.h.
#include "control/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/admin_local.h"
#include "control/crash.h"
#include "control/log.h"
#include "control/serve_priv.h"
#include "gateway/exchange.h"
#include "io/clock.h"

#define RING_ENTRIES 512
#define CONTROL_RING_ENTRIES 64
#define CONTROL_MEMORY_BYTES MIB(64)
#define CONTROL_FIBERS 64
#define CONTROL_BUFFERS 16
#define FILE_LOOK_NS (2 * CLOCK_SEC)
// A worker whose loop has not turned for this long while it had something to do.
#define STUCK_NS (10 * CLOCK_SEC)
#define REFUSED_SAY_NS (60 * CLOCK_SEC)
// How long the start waits for the names of providers.
#define RESOLVE_WAIT_NS (2 * CLOCK_SEC)
#define READY_LOOK_NS (5 * CLOCK_MS) // what fibers got without waiting wakes no turn

static void clock_for_log(int64_t *ret_now_ns, int64_t *ret_wall_ns)
{
    struct io_time t;
    io_clock(&t);
    *ret_now_ns = t.now_ns;
    *ret_wall_ns = t.wall_ns;
}

static int64_t wall_clock(void)
{
    struct io_time t;
    io_clock(&t);
    return t.wall_ns;
}

static int64_t wall_ms(void)
{
    return wall_clock() / CLOCK_MS;
}

// --- Workers.

static struct io_driver *driver_open(const struct serve *s, uint32_t entries, int *ret_err)
{
    return s->use_uring ? io_uring_open(entries, ret_err) : io_epoll_open(ret_err);
}

static void plan_released(void *ctx, const struct plan *plan)
{
    (void)ctx;
    plan_let_go(plan);
}

// Loudly, since no client can mend it; once per provider and minute, since every request says it again.
static void provider_refused(void *ctx, const struct plan *plan, uint32_t provider, uint32_t status,
                             int64_t now_ns)
{
    struct serve *s = ctx;
    MUST(provider < PROVIDERS_MAX);
    const struct span name = plan->providers[provider].name;
    if (plan->providers[provider].credential)
        credentials_refused(&s->world.credentials, plan->providers[provider].credential - 1);
    int64_t last = atomic_load_explicit(&s->refused_said_ns[provider], memory_order_relaxed);
    if (last && now_ns - last < REFUSED_SAY_NS) return;
    if (!atomic_compare_exchange_strong(&s->refused_said_ns[provider], &last, now_ns)) return;
    log_msg(LOG_ERROR,
            "the provider %.*s refuses this gateway's credentials (status %u): every request to it fails. "
            "Mend what providers.%.*s says of its key.",
            (int)name.n, (const char *)name.p, status, (int)name.n, (const char *)name.p);
}

static void mail_ended(struct io_loop *loop, struct io_mail *mail)
{
    struct thread *t = LIST_OWNER(mail, struct thread, ended);
    (void)loop;
    t->serve->running--;
}

static void say_started(struct thread *t)
{
    struct serve *s = t->serve;
    pthread_mutex_lock(&s->start_lock);
    s->start_waiting--;
    pthread_cond_signal(&s->start_cond);
    pthread_mutex_unlock(&s->start_lock);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct serve *s = t->serve;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", t->cfg.index);
    pthread_setname_np(pthread_self(), name);
    crash_thread();
    int err = 0;
    t->err_listener = WORKER_NO_LISTENER;
    // In this thread: a ring has one issuer, the thread that made it.
    struct io_driver *driver = driver_open(s, RING_ENTRIES, &err);
    t->err = driver ? worker_open(&t->worker, driver, &t->cfg, &t->err_listener) : (enum rw_err)err;
    t->open = t->err == RW_OK;
    say_started(t);
    if (!t->open) return NULL;
    while (!worker_is_done(&t->worker)) worker_turn(&t->worker, CLOCK_NEVER);
    worker_close(&t->worker);
    t->ended.open = mail_ended;
    io_loop_post(&s->loop, &t->ended);
    return NULL;
}

static bool no_memory(void)
{
    log_msg(LOG_ERROR, "out of memory");
    return false;
}

// Where answers wait for their record.
static void commit_wanted(void *ctx)
{
    const struct serve *s = ctx;
    store_writer_wake(s->books.writer);
}

static void committed(void *ctx, uint32_t worker, enum rw_err err)
{
    struct serve *s = ctx;
    worker_committed(&s->threads[worker].worker, err);
}

static bool thread_prepare(struct serve *s, uint32_t i, int64_t memory_bytes, uint16_t epoch)
{
    struct thread *t = &s->threads[i];
    t->serve = s;
    if (logring_init(&t->ring, LOGRING_BYTES, log_ring_wake, s->log)) return false;
    log_attach(s->log, &t->ring);
    s->metrics[i] = metric_new();
    if (!s->metrics[i]) return false;
    s->workers[i] = &t->worker;
    atomic_store(&s->open_by_worker[i], WORKER_CLOSED);
    uint64_t seed;
    crypto_random(&seed, sizeof seed);
    t->cfg = (struct worker_cfg){.index = i,
                                 .workers = s->worker_count,
                                 .process_epoch = epoch,
                                 .fibers_max = FIBERS_MAX / s->worker_count,
                                 .buffers = IO_BUFFERS_PER_GROUP,
                                 .memory_bytes = memory_bytes,
                                 .seed = seed,
                                 .plan = s->plan,
                                 .access = &t->ring,
                                 .metrics = s->metrics[i],
                                 .offload = s->offload,
                                 .store = s->admin.store,
                                 .cells = s->books.cells,
                                 .journal = s->books.journal[i],
                                 .commit_wanted = s->books.tell.committed ? commit_wanted : NULL,
                                 .once = s->admin.store ? &s->once : NULL,
                                 .answers = s->books.answers,
                                 .open_by_worker = s->open_by_worker,
                                 .peers = s->workers,
                                 .plan_released = plan_released,
                                 .credentials_refused = provider_refused,
                                 .ctx = s};
    return true;
}

static bool workers_start(struct serve *s)
{
    uint16_t epoch = s->books.epoch;
    if (!s->admin.store) crypto_random(&epoch, sizeof epoch);
    const int64_t memory = s->config->memory_bytes ? (int64_t)s->config->memory_bytes : io_memory_auto(NULL);
    s->start_waiting = s->worker_count;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        if (!thread_prepare(s, i, memory / s->worker_count, epoch)) return no_memory();
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        const int err = pthread_create(&s->threads[i].id, NULL, thread_main, &s->threads[i]);
        if (err) {
            log_msg(LOG_ERROR, "worker %u cannot be started: %s", i, rw_err_name((enum rw_err) - err));
            return false;
        }
        s->threads[i].started = true;
        s->running++;
    }
    pthread_mutex_lock(&s->start_lock);
    while (s->start_waiting > 0) pthread_cond_wait(&s->start_cond, &s->start_lock);
    pthread_mutex_unlock(&s->start_lock);
    bool all = true;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        const struct thread *t = &s->threads[i];
        if (t->open) continue;
        s->running--;
        if (all && t->err_listener < s->config->listener_count)
            log_msg(LOG_ERROR,
                    "cannot listen on %s: %s. Is another server there? See listen in the configuration.",
                    s->config->listeners[t->err_listener].address.text, rw_err_name(t->err));
        else if (all) log_msg(LOG_ERROR, "worker %u cannot be started: %s", i, rw_err_name(t->err));
        all = false;
    }
    return all;
}

static void drain(struct serve *s, int64_t idle_ns, int64_t timeout_ns)
{
    s->draining = true;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct thread *t = &s->threads[i];
        if (!t->open) continue;
        t->drain_mail.opened = &t->drain_opened;
        worker_drain(&t->worker, &t->drain_mail, idle_ns, timeout_ns);
    }
}

// The resolver has other addresses for an origin.
static void addrs_changed(void *ctx, const struct plan_origin *origin, uint32_t index)
{
    struct serve *s = ctx;
    for (uint32_t i = 0; i < s->worker_count; i++)
        if (s->threads[i].open &&
            worker_addrs(&s->threads[i].worker, index, origin->addr, origin->addr_count))
            log_msg(LOG_WARNING, "out of memory: worker %u goes on with the old addresses of %.*s", i,
                    SPAN_ARG(origin->name));
}

// A provider's credentials were renewed.
static void credential_changed(void *ctx, uint32_t index, const struct credential *c)
{
    struct serve *s = ctx;
    for (uint32_t i = 0; i < s->worker_count; i++)
        if (s->threads[i].open && worker_credential(&s->threads[i].worker, index, c))
            log_msg(LOG_WARNING, "out of memory: worker %u goes on with the old credentials", i);
}

// --- Reload.

static void remember_file(struct serve *s)
{
    if (!s->options.config_path || stat(s->options.config_path, &s->file) != 0)
        memset(&s->file, 0, sizeof s->file);
}

static bool same_listeners(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count) return false;
    for (uint32_t i = 0; i < a->listener_count; i++)
        if (!io_addr_eq(&a->listeners[i].address.addr, &b->listeners[i].address.addr)) return false;
    return true;
}

// What is fixed until a restart and was changed all the same is said, not ignored.
static void warn_fixed(const struct config *old, const struct config *new)
{
    static const char *const text = "%s was changed in the file; that takes effect with the next start";
    if (!same_listeners(old, new)) log_msg(LOG_WARNING, text, "listen");
    if (old->workers != new->workers) log_msg(LOG_WARNING, text, "workers");
    if (old->io != new->io) log_msg(LOG_WARNING, text, "io");
    if (old->memory_bytes != new->memory_bytes) log_msg(LOG_WARNING, text, "memory");
    if (old->usage.sync_interval_ns != new->usage.sync_interval_ns ||
        old->usage.retention_ns != new->usage.retention_ns || old->usage.max_bytes != new->usage.max_bytes)
        log_msg(LOG_WARNING, text, "usage.sync_interval, retention or max_size");
    if (old->cache.max_bytes != new->cache.max_bytes) log_msg(LOG_WARNING, text, "cache.max_size");
    if (!io_addr_eq(&old->metrics_address.addr, &new->metrics_address.addr))
        log_msg(LOG_WARNING, text, "metrics");
    if (!io_addr_eq(&old->admin_address.addr, &new->admin_address.addr) ||
        strcmp(old->admin_socket, new->admin_socket) != 0)
        log_msg(LOG_WARNING, text, "admin.address or admin.socket");
}

static struct log_cfg log_cfg_of(const struct config *c)
{
    static const enum log_access access[] = {[CONFIG_ACCESS_OFF] = LOG_ACCESS_OFF,
                                             [CONFIG_ACCESS_STDOUT] = LOG_ACCESS_STDOUT,
                                             [CONFIG_ACCESS_SYSLOG] = LOG_ACCESS_SYSLOG,
                                             [CONFIG_ACCESS_FILE] = LOG_ACCESS_FILE};
    return (struct log_cfg){.access = access[c->access], .path = c->access_path, .service = c->service_name};
}

// The first of them, for who asked for the reload.
static void first_error(const struct config_errors *errors, enum rw_err err, char *ret_why, size_t cap)
{
    const struct config_error *e = &errors->items[0];
    if (errors->count == 0) snprintf(ret_why, cap, "%s", rw_err_name(err));
    else if (e->line) snprintf(ret_why, cap, "line %u, column %u: %s", e->line, e->column, e->text);
    else snprintf(ret_why, cap, "%s", e->text);
}

static void say_errors(const struct config_errors *errors, enum rw_err err, const char *path)
{
    if (err != RW_E_CONFIG) log_msg(LOG_ERROR, "%s: cannot be loaded: %s", path, rw_err_name(err));
    for (uint32_t i = 0; i < errors->count; i++) {
        const struct config_error *e = &errors->items[i];
        if (e->line) log_msg(LOG_ERROR, "%s:%u:%u: %s", path, e->line, e->column, e->text);
        else log_msg(LOG_ERROR, "%s: %s", path, e->text);
    }
    if (errors->more) log_msg(LOG_ERROR, "%s: and %u more", path, errors->more);
}

// Hands a plan to all workers; the one before goes when the last has let go of it.
static void put_in_force(struct serve *s, struct config *config, struct plan *plan)
{
    const struct log_cfg cfg = log_cfg_of(config);
    warn_fixed(s->config, config);
    (void)!log_set(s->log, &cfg);
    log_msg_level((enum log_level)config->log_level);
    if (config->cache.enabled && !s->books.answers)
        log_msg(LOG_WARNING, "cache.enabled was set in the file; that takes effect with the next start");
    s->config = config;
    s->plan = plan;
    serve_admin_renew(s);
    plan_seal(plan);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct thread *t = &s->threads[i];
        atomic_store(&t->plan_opened, false);
        t->plan_mail.opened = &t->plan_opened;
        worker_plan(&t->worker, &t->plan_mail, plan);
    }
    log_msg(LOG_INFO, "configuration loaded from %s (%u providers, %u models, %u keys)",
            s->options.config_path, plan->provider_count, plan->model_count, plan->principal_count);
}

// A key that is in no store has to be in the plan.
static const char *run_key(const struct serve *s, const struct config *config)
{
    return config->key_count || s->first_key.kept || !s->first_key.text[0] ? NULL : s->first_key.text;
}

enum rw_err serve_reload(struct serve *s, char *ret_why, size_t cap)
{
    if (!s->options.config_path) {
        snprintf(ret_why, cap, "there is no configuration file to load again");
        log_msg(LOG_WARNING, "%s", ret_why);
        return RW_E_CONFIG;
    }
    for (uint32_t i = 0; i < s->worker_count; i++) {
        // The mail of the last reload is still on its way: this one comes back.
        if (s->plan->generation > 1 && !atomic_load(&s->threads[i].plan_opened)) {
            io_timer_arm(&s->loop.timers, &s->look, s->loop.now_ns + CLOCK_SEC);
            memset(&s->file, 0, sizeof s->file);
            return (enum rw_err) - EAGAIN;
        }
    }
    remember_file(s);
    struct config *config = NULL;
    struct config_errors errors = {0};
    const enum rw_err err = config_load(s->options.config_path, &config_env_process, &config, &errors);
    if (err) {
        first_error(&errors, err, ret_why, cap);
        say_errors(&errors, err, s->options.config_path);
        log_msg(LOG_ERROR, "the configuration was not loaded: the one before stays in force");
        config_errors_free(&errors);
        return RW_E_CONFIG;
    }
    struct plan *plan = plan_build(&s->world, config, run_key(s, config), ret_why, (uint32_t)cap);
    if (!plan) {
        log_msg(LOG_ERROR, "%s", ret_why);
        log_msg(LOG_ERROR, "the configuration was not loaded: the one before stays in force");
        config_free(config);
        return RW_E_CONFIG;
    }
    put_in_force(s, config, plan);
    return RW_OK;
}

static void reload(struct serve *s)
{
    char why[512] = "";
    (void)!serve_reload(s, why, sizeof why); // the log has it
}

// The watchdog: a loop that does not turn while its thread should.
static void watch(struct serve *s)
{
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct thread *t = &s->threads[i];
        const uint64_t turns = atomic_load_explicit(&t->worker.loop.turns, memory_order_relaxed);
        // Housekeeping turns every loop once a second.
        if (turns != t->turns_seen || !t->turned_ns) {
            t->turns_seen = turns;
            t->turned_ns = s->loop.now_ns;
            t->wedged = false;
        } else if (!t->wedged && !s->draining && s->loop.now_ns - t->turned_ns > STUCK_NS) {
            t->wedged = true;
            log_msg(LOG_ERROR, "worker %u has not turned for %d s", i, (int)(STUCK_NS / CLOCK_SEC));
        }
    }
}

static void look(struct io_timer *timer)
{
    struct serve *s = LIST_OWNER(timer, struct serve, look);
    struct stat now;
    watch(s);
    books_look(&s->books);
    if (s->options.config_path && stat(s->options.config_path, &now) == 0 &&
        (now.st_mtim.tv_sec != s->file.st_mtim.tv_sec || now.st_mtim.tv_nsec != s->file.st_mtim.tv_nsec ||
         now.st_ino != s->file.st_ino || now.st_size != s->file.st_size))
        reload(s);
    // Certificates are renewed without a word about it in the configuration.
    else if (plan_tls_changed(&s->world.tls)) reload(s);
    plan_tls_look(&s->world.tls, s->loop.wall_ns);
    credentials_look(&s->world.credentials);
    if (!s->draining) io_timer_arm(&s->loop.timers, timer, s->loop.now_ns + FILE_LOOK_NS);
}

// --- Signals.

static void on_signal(struct serve *s, int signal)
{
    if (signal == SIGHUP) {
        reload(s);
    } else if (signal == SIGUSR1) {
        log_reopen(s->log);
    } else if (s->draining) {
        log_msg(LOG_WARNING, "second signal: ending now");
        _exit(1);
    } else {
        log_msg(LOG_INFO, "draining: requests in flight are served to their end (at most %lld s)",
                (long long)(s->config->drain_timeout_ns / CLOCK_SEC));
        drain(s, s->config->drain_idle_ns, s->config->drain_timeout_ns);
    }
}

static void signals_ready(struct io_op *op, int32_t res, uint32_t flags)
{
    struct serve *s = LIST_OWNER(op, struct serve, signals);
    struct signalfd_siginfo info;
    (void)flags;
    if (res == -ECANCELED) return;
    while (read(op->fd, &info, sizeof info) == sizeof info) on_signal(s, (int)info.ssi_signo);
    io_submit(&s->loop, op);
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// --- Beginning.

// Which driver, and what stands in the way of the better one. False: the configuration insists on what is not to be had.
static bool choose_io(struct serve *s)
{
    if (s->config->io == CONFIG_IO_EPOLL) return true;
    io_probe_run(&s->probe, NULL);
    s->use_uring = io_probe_uring_ok(&s->probe);
    if (s->use_uring) return true;
    const struct io_probe_row *row = io_probe_uring_row(&s->probe);
    if (s->config->io == CONFIG_IO_URING) {
        log_msg(LOG_ERROR, "io: io_uring is configured, but %s. %s", row->why, row->mend);
        return false;
    }
    log_msg(LOG_WARNING, "io_uring cannot be used: %s. Going on with epoll, at a higher cost per request. %s",
            row->why, row->mend);
    return true;
}

// Each connection may need two descriptors; 512 are for everything else.
static uint32_t connections_fit(const struct config *c)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 0;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
    const uint64_t fit = r.rlim_cur > 1024 ? (r.rlim_cur - 512) / 2 : 256;
    if (c->limits.connections > fit)
        log_msg(
            LOG_WARNING,
            "limits.connections is lowered from %u to %llu: only %llu files may be open. Raise that limit.",
            c->limits.connections, (unsigned long long)fit, (unsigned long long)r.rlim_cur);
    return fit < UINT32_MAX ? (uint32_t)fit : 0;
}

static void greet(const struct serve *s)
{
    const struct config *c = s->config;
    for (uint32_t i = 0; i < c->listener_count; i++)
        log_msg(LOG_INFO, "ringway %s listens on %s (%s, %u workers)", RW_VERSION,
                c->listeners[i].address.text, s->use_uring ? "io_uring" : "epoll", s->worker_count);
    if (c->metrics_address.addr.n) log_msg(LOG_INFO, "metrics on http://%s/metrics", c->metrics_address.text);
    for (uint32_t i = 0; i < c->skipped_env_count; i++)
        log_msg(LOG_WARNING, "%s is set, but there is no configuration file that names its provider",
                c->skipped_env[i]);
    for (uint32_t i = 0; i < c->warning_count; i++) log_msg(LOG_WARNING, "%s", c->warnings[i]);
    first_key_show(&s->first_key, c, s->options.config_path);
}

// Accounts. False: the configuration insists on a folder that cannot be used.
static bool store_begin(struct serve *s)
{
    char why[STORE_WHY_BYTES];
    const struct config *c = s->config;
    if (!*c->data_dir) return true;
    if (admin_store_open(c, &s->admin, why, sizeof why) == RW_OK) {
        const struct books_cfg books = {.store = s->admin.store,
                                        .workers = s->worker_count,
                                        .sync_interval_ms =
                                            (uint32_t)((c->usage.sync_interval_ns + CLOCK_MS - 1) / CLOCK_MS),
                                        .retention_ms = c->usage.retention_ns / CLOCK_MS,
                                        .usage_bytes_max = c->usage.max_bytes,
                                        .cache_bytes_max = c->cache.enabled ? c->cache.max_bytes : 0,
                                        .tell = {c->usage.sync_interval_ns ? NULL : committed, s}};
        if (books_open(&books, &s->books, why, sizeof why) == RW_OK) {
            s->admin.cells = s->books.cells;
            s->admin.answers = s->books.answers;
            once_open(&s->once, s->books.once, s->books.writer);
            return true;
        }
        store_close(s->admin.store);
    }
    s->admin.store = NULL;
    if (c->data_dir_given) {
        log_msg(LOG_ERROR, "%s", why);
        return false;
    }
    log_msg(LOG_WARNING,
            "%s. Going on without: only keys of the configuration are known. Set data_dir, or data_dir: off.",
            why);
    return true;
}

static bool control_open(struct serve *s)
{
    int err = 0;
    struct io_driver *driver = driver_open(s, CONTROL_RING_ENTRIES, &err);
    if (!driver) {
        log_msg(LOG_ERROR, "the control loop cannot be made: %s", rw_err_name(err));
        return false;
    }
    s->budget.limit = CONTROL_MEMORY_BYTES;
    const struct io_loop_cfg cfg = {
        .budget = &s->budget, .fibers_max = CONTROL_FIBERS, .buffers = CONTROL_BUFFERS};
    const enum rw_err open = io_loop_open(&s->loop, driver, &cfg);
    if (open) log_msg(LOG_ERROR, "the control loop cannot be made: %s", rw_err_name(open));
    return open == RW_OK;
}

static bool parts_open(struct serve *s, uint32_t fit)
{
    s->labels = metric_labels_new();
    if (!s->labels) return no_memory();
    const struct io_resolver_cfg dns = {0};
    if (io_resolver_open(&s->loop, &dns, &s->resolver)) {
        log_msg(LOG_ERROR, "the resolver cannot be made");
        return false;
    }
    plan_world_init(&s->world, &s->loop, s->resolver, s->labels, s->worker_count, s->admin.store,
                    &s->admin.pepper);
    s->world.connections_fit = fit;
    s->world.cells = s->books.cells;
    s->world.answers = s->books.answers;
    char why[512];
    first_key_make(&s->admin, s->config, &s->first_key);
    s->plan = plan_build(&s->world, s->config, run_key(s, s->config), why, sizeof why);
    if (!s->plan) {
        log_msg(LOG_ERROR, "%s", why);
        return false;
    }
    // A moment for the names and credentials: whoever asks first should find them.
    const int64_t until = s->loop.now_ns + RESOLVE_WAIT_NS;
    while ((s->world.unresolved > 0 || !credentials_ready(&s->world.credentials)) && s->loop.now_ns < until)
        io_loop_turn(&s->loop, clock_earlier(until, s->loop.now_ns + READY_LOOK_NS));
    plan_seal(s->plan);
    const struct log_cfg cfg = log_cfg_of(s->config);
    enum rw_err err = log_new(&cfg, &s->log);
    if (!err) err = log_start(s->log, clock_for_log);
    if (err) {
        log_msg(LOG_ERROR, "the log cannot be opened: %s", rw_err_name(err));
        return false;
    }
    if (io_offload_open(0, &s->offload)) {
        log_msg(LOG_ERROR, "the threads for long computations cannot be made");
        return false;
    }
    s->threads = calloc(s->worker_count, sizeof *s->threads);
    return s->threads || no_memory();
}

static int run(struct serve *s, int signal_fd)
{
    if (!choose_io(s)) return 2;
    s->worker_count = s->config->workers ? s->config->workers : io_workers_auto(NULL);
    if (s->worker_count > WORKERS_MAX) s->worker_count = WORKERS_MAX;
    const uint32_t fit = connections_fit(s->config);
    if (!store_begin(s) || !control_open(s) || !parts_open(s, fit)) return 1;
    exchange_tables();
    if (books_start(&s->books)) {
        log_msg(LOG_ERROR, "the thread that writes the ledger cannot be made");
        return 1;
    }
    if (!workers_start(s)) return 1;
    const struct metrics_page_cfg page = {.loop = &s->loop,
                                          .address = &s->config->metrics_address.addr,
                                          .workers = (const struct metrics *const *)s->metrics,
                                          .worker_count = s->worker_count,
                                          .labels = s->labels,
                                          .log = s->log,
                                          .writer = s->books.writer,
                                          .answers = s->books.answers,
                                          .credentials = &s->world.credentials,
                                          .tls = &s->world.tls,
                                          .io_backend = s->use_uring ? "io_uring" : "epoll"};
    if (s->config->metrics_address.addr.n && metrics_page_open(&s->page, &page))
        log_msg(LOG_WARNING, "the metrics page cannot be served on %s: is another server there?",
                s->config->metrics_address.text);
    io_op_open(&s->loop, &s->signals, IO_OP_POLL, signal_fd, signals_ready);
    s->signals.poll_events = POLLIN;
    io_submit(&s->loop, &s->signals);
    s->world.addrs_changed = addrs_changed;
    s->world.credentials.changed = credential_changed;
    s->world.credentials.ctx = s;
    s->world.ctx = s;
    remember_file(s);
    io_timer_init(&s->look, look);
    io_timer_arm(&s->loop.timers, &s->look, s->loop.now_ns + FILE_LOOK_NS);
    serve_admin_begin(s);
    greet(s);
    while (s->running > 0) io_loop_turn(&s->loop, CLOCK_NEVER);
    serve_admin_end(s);
    log_msg(LOG_INFO, "drained");
    return 0;
}

static void resolver_closed(void *ctx)
{
    ((struct serve *)ctx)->resolver = NULL;
}

// Joins the workers and takes the control loop down, so that nothing is left behind.
static void done(struct serve *s)
{
    for (uint32_t i = 0; i < s->worker_count && s->threads; i++)
        if (s->threads[i].started) pthread_join(s->threads[i].id, NULL);
    books_hush(&s->books);
    // Its threads may still be waking loops.
    if (s->offload) io_offload_close(s->offload);
    // Only now: until its thread had ended, each could post to the others, and control to all.
    for (uint32_t i = 0; i < s->worker_count && s->threads; i++)
        if (s->threads[i].open) worker_free(&s->threads[i].worker);
    if (s->log) {
        log_stop(s->log);
        log_free(s->log);
    }
    for (uint32_t i = 0; i < s->worker_count && s->threads; i++) {
        logring_done(&s->threads[i].ring);
        metric_free(s->metrics[i]);
    }
    free(s->threads);
    first_key_wipe(&s->first_key);
}

// After a run: the control loop's own operations are joined, plans that workers let go are freed.
static void control_close(struct serve *s)
{
    metrics_page_close(&s->page);
    io_resolver_close(s->resolver, resolver_closed, s);
    io_cancel(&s->loop, &s->signals);
    io_timer_cancel(&s->loop.timers, &s->look);
    credentials_close(&s->world.credentials);
    const int64_t until = s->loop.now_ns + CLOCK_SEC;
    while ((s->signals.submitted || !credentials_closed(&s->world.credentials) || s->resolver ||
            !metrics_page_closed(&s->page) || atomic_load(&s->world.plans) > 0) &&
           s->loop.now_ns < until)
        io_loop_turn(&s->loop, s->loop.now_ns + 10 * CLOCK_MS);
    metrics_page_done(&s->page);
    if (s->books.store) once_close(&s->once);
    books_close(&s->books);
    if (s->admin.store) store_close(s->admin.store);
    store_pepper_wipe(&s->admin.pepper);
    io_op_close(&s->loop, &s->signals);
    io_loop_close(&s->loop);
    plan_world_done(&s->world);
    metric_labels_free(s->labels);
}

static enum rw_err load_first(const struct serve_options *options, struct config **ret,
                              struct config_errors *errors)
{
    static const char dev[] = "listen: [ { address: '127.0.0.1:8000' } ]\n"
                              "keys: [ { name: dev, key: dev-key-12345 } ]\n";
    if (options->dev) {
        log_msg(LOG_WARNING,
                "--dev: everybody on this machine knows the key dev-key-12345. Never serve others so.");
        return config_parse("--dev", dev, sizeof dev - 1, &config_env_process, ret, errors);
    }
    if (options->config_path) return config_load(options->config_path, &config_env_process, ret, errors);
    return config_default_from_env(&config_env_process, ret, errors);
}

int serve_run(const struct serve_options *options)
{
    log_msg_init(LOG_INFO, wall_clock, -1);
    struct serve *s = calloc(1, sizeof *s);
    if (!s) {
        no_memory();
        return 1;
    }
    s->options = *options;
    s->started_ms = wall_ms();
    pthread_mutex_init(&s->start_lock, NULL);
    pthread_cond_init(&s->start_cond, NULL);
    const int signal_fd = signals_open();
    if (signal_fd < 0) {
        log_msg(LOG_ERROR, "signals cannot be received: %s", strerror(errno));
        free(s);
        return 1;
    }
    struct config_errors errors = {0};
    const enum rw_err err = load_first(options, &s->config, &errors);
    if (err) {
        say_errors(&errors, err, options->config_path ? options->config_path : "(environment)");
        config_errors_free(&errors);
        free(s);
        return 2;
    }
    log_msg_level((enum log_level)s->config->log_level);
    const int status = run(s, signal_fd);
    // What failed to start leaves its pieces to the end of the process.
    if (status != 0) return status;
    done(s);
    control_close(s);
    close(signal_fd);
    free(s);
    return 0;
}
