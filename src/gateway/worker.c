// See worker.h.
#include "gateway/worker.h"

#include <stdlib.h>

#include "gateway/exchange.h"
#include "gateway/flight.h"
#include "gateway/revoke.h"
#include "policy/estimate.h"

#define BACKLOG 4096
#define TRIM_NS (1 * CLOCK_SEC)
// Accept errors that more descriptors or memory would mend: the listener tries again after this.
#define ACCEPT_RETRY_NS (100 * CLOCK_MS)
// While draining, how long handshakes that the kernel has begun may take to reach the accept queue.
#define DRAIN_QUIET_NS (100 * CLOCK_MS)
// A loop that is behind does not see in every turn who has come: quiet is only what so many turns have found so.
#define DRAIN_LOOKS 10

static void handle(struct call *call, void *ctx)
{
    exchange_run(call, ctx);
}

// --- Plans.

const struct plan *worker_plan_use(struct worker *w)
{
    w->plan_users++;
    return w->plan;
}

static void plan_done(struct worker *w, const struct plan *plan)
{
    if (w->cfg.plan_released) w->cfg.plan_released(w->cfg.ctx, plan);
}

void worker_plan_leave(struct worker *w, const struct plan *plan)
{
    if (RW_LIKELY(plan == w->plan)) {
        w->plan_users--;
        return;
    }
    for (struct plan_seat **at = &w->old_plans; *at; at = &(*at)->next) {
        struct plan_seat *old = *at;
        if (old->plan != plan) continue;
        if (--old->users > 0) return;
        *at = old->next;
        plan_done(w, plan);
        return;
    }
    UNREACHABLE("an exchange leaves a plan that nobody knows");
}

static void origins_follow(struct worker *w, const struct plan *plan)
{
    MUST(plan->origin_count <= PROVIDERS_MAX);
    for (uint32_t i = 0; i < plan->origin_count; i++) {
        const struct plan_origin *p = &plan->origins[i];
        if (i >= w->origin_count) {
            up_origin_open(&w->origins[i], &w->loop, p->shared, p->addr, p->addr_count, &p->bind_to);
            w->origin_count = i + 1;
        } else {
            up_origin_addrs(&w->origins[i], p->addr, p->addr_count);
        }
        up_origin_tls(&w->origins[i], p->tls, w->cfg.offload);
    }
}

static void credentials_follow(struct worker *w, const struct plan *plan)
{
    MUST(plan->credential_count <= PROVIDERS_MAX);
    for (uint32_t i = 0; i < plan->credential_count; i++)
        if (plan->credentials[i]) credential_seat_take(&w->credentials[i], plan->credentials[i]);
}

static void follow_rules(struct worker *w)
{
    const struct principal_rules rules = {
        .limits_closed = w->plan->limits_closed, .auth_open = w->plan->auth_open, .metrics = w->cfg.metrics};
    if (w->principals) principals_rules(w->principals, &rules);
}

static void plan_take(struct worker *w, const struct plan *plan)
{
    if (w->plan) {
        if (w->plan_users == 0) {
            plan_done(w, w->plan);
        } else {
            struct plan_seat *old = &w->plan->seats[w->cfg.index];
            *old = (struct plan_seat){.next = w->old_plans, .plan = w->plan, .users = w->plan_users};
            w->old_plans = old;
        }
    }
    w->plan = plan;
    w->plan_users = 0;
    crypto_wipe(w->keys_seen, sizeof w->keys_seen);
    follow_rules(w);
    w->http.cfg = plan->http;
    for (uint32_t i = 0; i < w->listener_count && i < plan->listener_count; i++)
        w->listeners[i].entry = plan->listeners[i].entry;
    origins_follow(w, plan);
    credentials_follow(w, plan);
}

static void mail_plan(struct io_loop *loop, struct io_mail *mail)
{
    struct worker_mail *m = LIST_OWNER(mail, struct worker_mail, mail);
    (void)loop;
    if (m->worker->closed) plan_done(m->worker, m->plan);
    else plan_take(m->worker, m->plan);
    atomic_store_explicit(m->opened, true, memory_order_release);
}

void worker_plan(struct worker *w, struct worker_mail *m, const struct plan *plan)
{
    m->worker = w;
    m->plan = plan;
    m->mail.open = mail_plan;
    io_loop_post(&w->loop, &m->mail);
}

struct addrs_mail {
    struct io_mail mail;
    struct worker *worker;
    uint32_t origin;
    uint32_t n;
    struct io_addr addr[UP_ADDRS_MAX];
};

static void mail_addrs(struct io_loop *loop, struct io_mail *mail)
{
    struct addrs_mail *m = LIST_OWNER(mail, struct addrs_mail, mail);
    (void)loop;
    // An origin that this worker does not know yet comes with its plan.
    if (!m->worker->closed && m->origin < m->worker->origin_count)
        up_origin_addrs(&m->worker->origins[m->origin], m->addr, m->n);
    free(m);
}

enum rw_err worker_addrs(struct worker *w, uint32_t origin, const struct io_addr *addrs, uint32_t n)
{
    MUST(n <= UP_ADDRS_MAX);
    struct addrs_mail *m = malloc(sizeof *m);
    if (!m) return (enum rw_err) - ENOMEM;
    *m = (struct addrs_mail){.worker = w, .origin = origin, .n = n};
    memcpy(m->addr, addrs, n * sizeof *addrs);
    m->mail.open = mail_addrs;
    io_loop_post(&w->loop, &m->mail);
    return RW_OK;
}

struct credential_mail {
    struct io_mail mail;
    struct worker *worker;
    uint32_t index;
    const struct credential *credential;
};

static void mail_credential(struct io_loop *loop, struct io_mail *mail)
{
    struct credential_mail *m = LIST_OWNER(mail, struct credential_mail, mail);
    (void)loop;
    if (!m->worker->closed) credential_seat_take(&m->worker->credentials[m->index], m->credential);
    credential_drop(m->credential);
    free(m);
}

enum rw_err worker_credential(struct worker *w, uint32_t index, const struct credential *c)
{
    MUST(index < PROVIDERS_MAX && c);
    struct credential_mail *m = malloc(sizeof *m);
    if (!m) return (enum rw_err) - ENOMEM;
    *m = (struct credential_mail){.worker = w, .index = index, .credential = credential_hold(c)};
    m->mail.open = mail_credential;
    io_loop_post(&w->loop, &m->mail);
    return RW_OK;
}

static void mail_committed(struct io_loop *loop, struct io_mail *mail)
{
    struct worker *w = LIST_OWNER(mail, struct worker, commit_mail);
    (void)loop;
    atomic_store(&w->commit_posted, false);
    w->commit_failing = atomic_load(&w->commit_err) != RW_OK;
    fiber_event_set(&w->commit);
}

void worker_committed(struct worker *w, enum rw_err err)
{
    atomic_store(&w->commit_err, (int)err);
    if (atomic_exchange(&w->commit_posted, true)) return;
    w->commit_mail.open = mail_committed;
    io_loop_post(&w->loop, &w->commit_mail);
}

// --- Accepting.

// How many connections this worker has, for the others. Released: who reads it may post to this worker's loop.
static void say_open(struct worker *w)
{
    if (w->cfg.open_by_worker)
        atomic_store_explicit(&w->cfg.open_by_worker[w->cfg.index],
                              w->draining ? WORKER_CLOSED : w->http.open, memory_order_release);
}

static void client_open(struct worker *w, int fd, const struct worker_listener *l)
{
    h1_accept(&w->http, fd, &l->entry);
    say_open(w);
}

static void mail_client(struct io_loop *loop, struct io_mail *mail)
{
    struct worker_mail *m = LIST_OWNER(mail, struct worker_mail, mail);
    struct worker *w = m->worker;
    if (w->closed) {
        loop->driver->ops->fd_close(loop->driver, m->fd);
    } else {
        MUST(m->listener < w->listener_count);
        client_open(w, m->fd, &w->listeners[m->listener]);
    }
    free(m);
}

// The worker that should have this client: the least loaded, if this one is more than an eighth and one above it.
static struct worker *worker_for(struct worker *w)
{
    if (!w->cfg.peers || w->cfg.workers < 2 || w->draining) return w;
    uint32_t least = w->cfg.index, fewest = w->http.open;
    for (uint32_t i = 0; i < w->cfg.workers; i++) {
        const uint32_t open = atomic_load_explicit(&w->cfg.open_by_worker[i], memory_order_acquire);
        if (open < fewest) {
            fewest = open;
            least = i;
        }
    }
    return w->http.open > fewest + fewest / 8 + 1 ? w->cfg.peers[least] : w;
}

static void client_place(struct worker *w, int fd, struct worker_listener *l)
{
    struct worker *to = worker_for(w);
    struct worker_mail *m = to != w ? malloc(sizeof *m) : NULL;
    if (!m) {
        client_open(w, fd, l);
        return;
    }
    // Counted at once, so that a burst is spread and not sent to one.
    atomic_fetch_add_explicit(&w->cfg.open_by_worker[to->cfg.index], 1, memory_order_relaxed);
    *m = (struct worker_mail){.worker = to, .fd = fd, .listener = (uint32_t)(l - w->listeners)};
    m->mail.open = mail_client;
    io_loop_post(&to->loop, &m->mail);
}

static void accept_more(struct worker *w, struct worker_listener *l)
{
    if (l->fd < 0 || l->accept.submitted || !w->accepting || io_timer_armed(&l->rearm)) return;
    if (w->http.open >= w->plan->http.connections_max && !w->draining) return;
    io_submit(&w->loop, &l->accept);
}

static void accept_retry(struct io_timer *t)
{
    struct worker_listener *l = LIST_OWNER(t, struct worker_listener, rearm);
    accept_more(l->worker, l);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    struct worker_listener *l = LIST_OWNER(op, struct worker_listener, accept);
    struct worker *w = l->worker;
    if (res >= 0) {
        client_place(w, res, l);
        // The kernel's queue holds the others until some of ours have gone.
        if (w->http.open >= w->plan->http.connections_max && !w->draining && op->submitted &&
            !op->cancelling) {
            w->accept_paused++;
            io_cancel(&w->loop, op);
        }
    } else if (res != -ECANCELED &&
               COUNT_IF(res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS)) {
        io_timer_arm(&w->loop.timers, &l->rearm, w->loop.now_ns + ACCEPT_RETRY_NS);
    }
    // Quiet is when nobody came for a while, not when the queue could not be taken.
    if (w->draining && w->accepting && res != -ECANCELED) {
        w->drain_looks = 0;
        io_timer_arm(&w->loop.timers, &w->drain_quiet,
                     w->loop.now_ns + DRAIN_QUIET_NS + (res < 0 ? ACCEPT_RETRY_NS : 0));
    }
    if (!op->submitted) accept_more(w, l);
}

static void client_closed(struct h1_server *srv)
{
    struct worker *w = LIST_OWNER(srv, struct worker, http);
    say_open(w);
    if (!w->accepting) return;
    for (uint32_t i = 0; i < w->listener_count; i++) accept_more(w, &w->listeners[i]);
}

static enum rw_err listen_all(struct worker *w, uint32_t *ret_listener)
{
    const struct plan *plan = w->plan;
    w->listeners = calloc(plan->listener_count, sizeof *w->listeners);
    if (!w->listeners) return (enum rw_err) - ENOMEM;
    for (uint32_t i = 0; i < plan->listener_count; i++) {
        struct worker_listener *l = &w->listeners[i];
        *ret_listener = i;
        l->worker = w;
        l->entry = plan->listeners[i].entry;
        l->ours = true;
        io_timer_init(&l->rearm, accept_retry);
        // A unix socket cannot be shared by port: the first worker's serves all, by handing over.
        const bool unix_socket = plan->listeners[i].addr.sa.sa_family == AF_UNIX;
        w->listener_count = i + 1;
        l->fd = -1;
        if (unix_socket && w->cfg.index != 0) continue;
        l->fd = w->loop.driver->ops->listen(w->loop.driver, &plan->listeners[i].addr, BACKLOG,
                                            w->cfg.workers > 1 && !unix_socket);
        if (l->fd < 0) return (enum rw_err)l->fd;
        io_op_open(&w->loop, &l->accept, IO_OP_ACCEPT, l->fd, accepted);
    }
    return RW_OK;
}

// --- Housekeeping.

void worker_gauges(struct worker *w)
{
    struct metrics *m = w->cfg.metrics;
    if (!m) return;
    uint32_t idle = 0, open = 0;
    for (uint32_t i = 0; i < w->origin_count; i++) {
        idle += w->origins[i].idle_count;
        open += w->origins[i].open;
    }
    metric_gauge_set(m, METRIC_CLIENT_CONNECTIONS, 0, w->http.open);
    metric_gauge_set(m, METRIC_UPSTREAM_CONNECTIONS, METRIC_UPSTREAM_IDLE, idle);
    metric_gauge_set(m, METRIC_UPSTREAM_CONNECTIONS, METRIC_UPSTREAM_ACTIVE, (int64_t)open - idle);
    metric_gauge_set(m, METRIC_EXCHANGES, 0, w->http.serving);
    metric_gauge_set(m, METRIC_FIBERS, 0, w->loop.fibers.running);
    metric_gauge_set(m, METRIC_BUDGET_BYTES, 0, w->budget.used);
    metric_gauge_set(m, METRIC_ACCEPT_PAUSED, 0, (int64_t)w->accept_paused);
    metric_gauge_set(m, METRIC_TURNS, 0, (int64_t)atomic_load_explicit(&w->loop.turns, memory_order_relaxed));
    metric_gauge_set(m, METRIC_COMPLETIONS, 0, (int64_t)w->loop.completions);
    for (uint32_t g = 0; g < IO_GROUPS; g++) {
        const struct io_group *group = &w->loop.group[g];
        metric_gauge_set(m, METRIC_BUFFERS, metric_buffer_label(g, METRIC_BUFFER_KERNEL), group->in_ring);
        metric_gauge_set(m, METRIC_BUFFERS, metric_buffer_label(g, METRIC_BUFFER_HELD), group->held);
        metric_gauge_set(m, METRIC_BUFFERS, metric_buffer_label(g, METRIC_BUFFER_FREE), group->spare_n);
    }
    for (uint32_t e = 0; e < RW_END_COUNT; e++)
        if (w->http.ends[e]) metric_gauge_set(m, METRIC_CONNECTION_ENDS, e, (int64_t)w->http.ends[e]);
}

static void trim(struct io_timer *t)
{
    struct worker *w = LIST_OWNER(t, struct worker, trim);
    fiber_trim(&w->loop.fibers);
    io_regions_trim(&w->loop);
    worker_gauges(w);
    if (!w->draining) io_timer_arm(&w->loop.timers, t, w->loop.now_ns + TRIM_NS);
}

// --- Drain.

static void listeners_close(struct worker *w)
{
    w->accepting = false;
    for (uint32_t i = 0; i < w->listener_count; i++) {
        struct worker_listener *l = &w->listeners[i];
        io_timer_cancel(&w->loop.timers, &l->rearm);
        if (l->fd >= 0) io_cancel(&w->loop, &l->accept);
    }
}

// The quiet time is over: what the kernel accepted was taken.
static void drain_quiet(struct io_timer *t)
{
    struct worker *w = LIST_OWNER(t, struct worker, drain_quiet);
    if (++w->drain_looks < DRAIN_LOOKS) io_timer_arm(&w->loop.timers, t, w->loop.now_ns + CLOCK_MS);
    else listeners_close(w);
}

static void drain_end(struct io_timer *t)
{
    struct worker *w = LIST_OWNER(t, struct worker, drain_end);
    listeners_close(w);
    h1_server_kill(&w->http, END_KILLED);
}

static void mail_drain(struct io_loop *loop, struct io_mail *mail)
{
    struct worker_mail *m = LIST_OWNER(mail, struct worker_mail, mail);
    struct worker *w = m->worker;
    (void)loop;
    if (!w->draining && !w->closed) {
        const int64_t now = w->loop.now_ns;
        w->draining = true;
        w->ready = false;
        say_open(w);
        h1_server_drain(&w->http, clock_deadline(now, m->idle_ns));
        io_timer_arm(&w->loop.timers, &w->drain_end, clock_deadline(now, m->timeout_ns));
        // No new handshakes; those under way reach the queue and are taken.
        for (uint32_t i = 0; i < w->listener_count; i++)
            if (w->listeners[i].fd >= 0) w->loop.driver->ops->listen_stop(w->loop.driver, w->listeners[i].fd);
        for (uint32_t i = 0; i < w->listener_count; i++) accept_more(w, &w->listeners[i]);
        io_timer_arm(&w->loop.timers, &w->drain_quiet, now + DRAIN_QUIET_NS);
    }
    atomic_store_explicit(m->opened, true, memory_order_release);
}

void worker_drain(struct worker *w, struct worker_mail *m, int64_t idle_ns, int64_t timeout_ns)
{
    m->worker = w;
    m->idle_ns = idle_ns;
    m->timeout_ns = timeout_ns;
    m->mail.open = mail_drain;
    io_loop_post(&w->loop, &m->mail);
}

bool worker_is_done(const struct worker *w)
{
    if (!w->draining || w->accepting || w->http.open > 0 || w->loop.fibers.running > 0) return false;
    // The writer has something of this worker's.
    if (w->flights && w->flights->posted > 0) return false;
    // A client that another worker has handed over may lie in the box.
    if (atomic_load_explicit(&w->loop.mail, memory_order_relaxed)) return false;
    for (uint32_t i = 0; i < w->listener_count; i++)
        if (w->listeners[i].fd >= 0 && w->listeners[i].accept.submitted) return false;
    return true;
}

// --- Beginning and end.

enum rw_err worker_open(struct worker *w, struct io_driver *driver, const struct worker_cfg *cfg,
                        uint32_t *ret_listener)
{
    *w = (struct worker){.cfg = *cfg, .budget = {.limit = cfg->memory_bytes}};
    *ret_listener = WORKER_NO_LISTENER;
    const struct io_loop_cfg loop_cfg = {
        .budget = &w->budget, .fibers_max = cfg->fibers_max, .buffers = cfg->buffers};
    RW_TRY(io_loop_open(&w->loop, driver, &loop_cfg));
    w->loop.owner = w;
    w->access.ring = cfg->access;
    prng_seed(&w->prng, cfg->seed);
    fiber_event_init(&w->commit);
    revoke_open(w);
    io_timer_init(&w->trim, trim);
    io_timer_init(&w->drain_end, drain_end);
    io_timer_init(&w->drain_quiet, drain_quiet);
    w->origins = calloc(PROVIDERS_MAX, sizeof *w->origins);
    w->answers = calloc(PROVIDERS_MAX, sizeof *w->answers);
    w->credentials = calloc(PROVIDERS_MAX, sizeof *w->credentials);
    if (!w->origins || !w->answers || !w->credentials ||
        h1_server_open(&w->http, &w->loop, &cfg->plan->http, handle, w)) {
        free(w->origins);
        free(w->answers);
        free(w->credentials);
        w->closed = true;
        return (enum rw_err) - ENOMEM;
    }
    w->http.on_closed = client_closed;
    w->http.offload = cfg->offload;
    plan_take(w, cfg->plan);
    enum rw_err err = RW_OK;
    if (cfg->store) w->principals = principals_open(cfg->store, cfg->cells, &err);
    follow_rules(w);
    if (!err && cfg->journal) {
        w->estimator = estimate_new();
        w->limit_clock = limit_clock_cell(cfg->cells);
        if (!w->estimator || !w->limit_clock) err = (enum rw_err) - ENOMEM;
    }
    if (!err && (cfg->answers || cfg->once)) {
        w->flights = malloc(sizeof *w->flights);
        if (w->flights) flights_init(w->flights);
        else err = (enum rw_err) - ENOMEM;
    }
    if (!err) err = listen_all(w, ret_listener);
    if (err) {
        w->draining = true;
        worker_close(w);
        return err;
    }
    w->accepting = true;
    w->ready = true;
    say_open(w);
    for (uint32_t i = 0; i < w->listener_count; i++) accept_more(w, &w->listeners[i]);
    io_timer_arm(&w->loop.timers, &w->trim, w->loop.now_ns + TRIM_NS);
    return RW_OK;
}

void worker_turn(struct worker *w, int64_t deadline_ns)
{
    io_loop_turn(&w->loop, deadline_ns);
}

void worker_close(struct worker *w)
{
    for (uint32_t i = 0; i < w->listener_count; i++) {
        struct worker_listener *l = &w->listeners[i];
        if (l->fd < 0) continue;
        io_op_close(&w->loop, &l->accept);
        w->loop.driver->ops->fd_close(w->loop.driver, l->fd);
    }
    for (uint32_t i = 0; i < w->origin_count; i++) up_origin_close(&w->origins[i]);
    // Idle upstream connections are joined within a few turns.
    for (uint32_t i = 0; i < w->origin_count; i++)
        while (!up_origin_closed(&w->origins[i])) io_loop_turn(&w->loop, w->loop.now_ns + CLOCK_MS);
    h1_server_close(&w->http);
    revoke_close(w);
    MUST(w->plan_users == 0 && !w->old_plans);
    crypto_wipe(w->keys_seen, sizeof w->keys_seen);
    plan_done(w, w->plan);
    principals_close(w->principals);
    estimate_free(w->estimator);
    free(w->flights);
    free(w->listeners);
    free(w->origins);
    free(w->answers);
    for (uint32_t i = 0; i < PROVIDERS_MAX; i++) credential_seat_take(&w->credentials[i], NULL);
    free(w->credentials);
    w->closed = true;
}

void worker_free(struct worker *w)
{
    // The loop could not be made.
    if (!w->loop.driver) return;
    MUST(w->closed);
    io_loop_mail(&w->loop);
    io_loop_close(&w->loop);
}
