// The exchange scenario's frame. See sim_exchange.h. Builds a plan, the workers of one process and their surroundings; lets the
// world run until every client has made its requests; drains; and then everything must be back: fibers, buffers, operations,
// descriptors, connections, and every byte of the budget.
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_books.h"
#include "tests/sim/sim_exchange.h"

#define ACCESS_RING_BYTES (64u << 10)
#define RUN_NS_MAX (200000 * CLOCK_SEC)

static void plan_released(void *ctx, const struct plan *plan)
{
    struct sim_gateway *g = ctx;
    struct plan *p = g->plan[plan == g->plan[1]];
    MUST(p == plan);
    g->plans_released++;
}

// --- The access log: one line for each exchange.

static void log_line(struct sim_gateway *g, uint32_t i, struct span line)
{
    static const char key[] = "\"end\":\"";
    const uint8_t *at = memmem(line.p, line.n, key, sizeof key - 1);
    SIM_MUST(g->w, at, "a line of the access log without an end: %.*s", SPAN_ARG(line));
    const struct span from = span_from(line, (uint32_t)(at - line.p) + (uint32_t)sizeof key - 1);
    const struct span name = {from.p, span_find(from, '"')};
    for (int e = 0; e < RW_END_COUNT; e++)
        if (span_eq(name, span_str(end_info((enum rw_end)e)->name))) g->totals->ends[e]++;
    SIM_MUST(g->w,
             !memmem(line.p, line.n, SIM_KEY, sizeof SIM_KEY - 1) && !memmem(line.p, line.n, "up-secret", 9),
             "a key in the log: %.*s", SPAN_ARG(line));
    SIM_MUST(g->w, !span_eq(name, SPAN("internal")), "an internal error: %.*s", SPAN_ARG(line));
    g->log_lines[i]++;
    sim_books_line(line);
}

static void log_read(struct sim_gateway *g, uint32_t i)
{
    static struct sim_text text;
    struct span piece[2], rest, line;
    const uint32_t n = logring_peek(&g->access[i], piece);
    if (n == 0) return;
    text.n = 0;
    // A line may begin in the one and end in the other.
    for (uint32_t k = 0; k < n; k++) sim_text_put(&text, piece[k]);
    logring_consume(&g->access[i], text.n);
    rest = span_of(text.p, text.n);
    while (rest.n > 0 && span_split(&rest, '\n', &line)) log_line(g, i, line);
}

// --- Workers.

static void turn_worker(void *ctx)
{
    struct worker *w = ctx;
    struct sim_gateway *g = w->cfg.ctx;
    // A new plan is the control plane's, which has memory for it.
    const uint32_t i = w->cfg.index;
    sim_memory_arm(g->plan[1] && !atomic_load(&g->plan_opened[i]) ? NULL : g->w);
    worker_turn(w, CLOCK_NEVER);
    sim_memory_arm(NULL);
    log_read(g, w->cfg.index);
}

static void workers_open(struct sim_gateway *g)
{
    static const uint16_t counts[] = {2, 4, 16, 128};
    static struct metrics
        *metrics[SIM_WORKERS_MAX]; // go on from run to run; nothing in a run depends on them
    struct sim_world *w = g->w;
    g->process = sim_process_new(&g->net);
    for (uint32_t i = 0; i < SIM_WORKERS_MAX && !metrics[i]; i++) metrics[i] = metric_new();
    for (uint32_t i = 0; i < g->workers; i++) g->peers[i] = &g->worker[i];
    for (uint32_t i = 0; i < g->workers; i++) {
        char name[SIM_NAME_BYTES];
        const struct io_addr host = io_addr_of_ip((const uint8_t[]){10, 0, 0, 1}, 4, 0);
        snprintf(name, sizeof name, "worker %u", i);
        const enum rw_err made = logring_init(&g->access[i], ACCESS_RING_BYTES, NULL, NULL);
        MUST(made == RW_OK);
        struct worker_cfg cfg = {.index = i,
                                 .workers = g->workers,
                                 .fibers_max = g->tight && sim_chance(w, 30) ? 3 : 256,
                                 .buffers = counts[sim_below(w, 4)],
                                 .memory_bytes = g->memory_bytes,
                                 .seed = prng_next(&w->prng),
                                 .plan = g->plan[0],
                                 .access = &g->access[i],
                                 .metrics = g->shape.metrics ? metrics[i] : NULL,
                                 .open_by_worker = g->open_by_worker,
                                 .peers = g->peers,
                                 .plan_released = plan_released,
                                 .ctx = g};
        sim_books_worker(&cfg);
        struct io_driver *d = sim_driver_open(g->process, name, &host, turn_worker, &g->worker[i]);
        uint32_t listener;
        const enum rw_err err = worker_open(&g->worker[i], d, &cfg, &listener);
        SIM_MUST(w, err == RW_OK, "a worker did not open: %d", (int)err);
    }
}

static void reload(struct sim_event *event)
{
    struct sim_gateway *g = LIST_OWNER(event, struct sim_gateway, reload);
    sim_note(g->w, "reload", 0, 0);
    g->plan[1] = sim_plan_make(g, 2);
    for (uint32_t i = 0; i < g->workers; i++) {
        if (g->worker_closed[i]) continue;
        g->plan_mail[i].opened = &g->plan_opened[i];
        g->plans_given++;
        worker_plan(&g->worker[i], &g->plan_mail[i], g->plan[1]);
    }
}

// The resolver: answers late, or fails and asks again. Later answers say the same in another order.
static void resolve(struct sim_event *event)
{
    struct sim_gateway *g = LIST_OWNER(event, struct sim_gateway, resolve);
    struct sim_world *w = g->w;
    if (g->drained_ns != CLOCK_NEVER) return;
    if (sim_fault(w, SIM_DNS_FAILURE)) {
        const int64_t again_ns = sim_between(w, CLOCK_MS, 300 * CLOCK_MS);
        // While no answer is there nobody can be reached, and a little longer, until the letters are opened.
        if (!g->resolved) sim_trouble(w, w->now_ns + again_ns + 50 * CLOCK_MS);
        sim_event_in(w, &g->resolve, again_ns);
        return;
    }
    g->resolved = true;
    for (uint32_t o = 0; o < g->providers; o++) {
        struct io_addr addr[2];
        const uint32_t n = g->provider_addrs[o], first = sim_below(w, n);
        for (uint32_t i = 0; i < n; i++) addr[i] = g->provider_addr[o][(first + i) % n];
        for (uint32_t i = 0; i < g->workers; i++) {
            if (g->worker_closed[i]) continue;
            const enum rw_err err = worker_addrs(&g->worker[i], o, addr, n);
            MUST(err == RW_OK);
        }
    }
    sim_event_in(w, &g->resolve, sim_between(w, 100 * CLOCK_MS, 5 * CLOCK_SEC));
}

// For a while no byte of a worker's budget is left, or few.
static void shortage(struct sim_event *event)
{
    struct sim_gateway *g = LIST_OWNER(event, struct sim_gateway, shortage);
    struct sim_world *w = g->w;
    bool short_now = false;
    for (uint32_t i = 0; i < g->workers; i++) {
        struct budget *b = &g->worker[i].budget;
        b->limit = g->memory_bytes;
        if (short_now || g->worker_closed[i] || !sim_chance(w, 50) || !sim_fault(w, SIM_SHORTAGE)) continue;
        b->limit = b->used + (sim_chance(w, 50) ? 0 : sim_below(w, 60000));
        short_now = true;
    }
    if (g->drained_ns != CLOCK_NEVER && !short_now) return;
    const int64_t lasts_ns = short_now ? sim_between(w, 0, 20 * CLOCK_MS) : sim_between(w, 0, CLOCK_SEC);
    if (short_now) sim_trouble(w, w->now_ns + lasts_ns);
    sim_event_in(w, &g->shortage, lasts_ns);
}

static void drain(struct sim_event *event)
{
    struct sim_gateway *g = LIST_OWNER(event, struct sim_gateway, drain);
    sim_note(g->w, "drain", 0, 0);
    g->drained_ns = g->w->now_ns;
    // From then on requests are broken off.
    if (g->shape.killed) g->killed_ns = g->drained_ns + 2 * CLOCK_SEC;
    for (uint32_t i = 0; i < g->workers; i++) {
        g->mail[i].opened = &g->mail_opened[i];
        worker_drain(&g->worker[i], &g->mail[i], CLOCK_SEC,
                     g->shape.killed ? 2 * CLOCK_SEC : 1000 * CLOCK_SEC);
    }
}

// --- The run.

static void surroundings(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    g->calm = sim_chance(w, 15);
    sim_world_faults(w, sim_chance(w, 20));
    sim_net_open(&g->net, w);
    g->drained_ns = g->killed_ns = CLOCK_NEVER;
    sim_shape_choose(g);
    g->tight = sim_chance(w, 8);
    g->size_max = g->net.latency_max_ns > CLOCK_MS ? 16000 : 300000;
    g->memory_bytes = g->tight ? KIB(200) + sim_below(w, MIB(1)) : MIB(512);
    g->workers = 1 + sim_below(w, SIM_WORKERS_MAX);
    g->providers = 1 + sim_below(w, SIM_PROVIDERS_MAX);
    g->listen = io_addr_of_ip((const uint8_t[]){10, 0, 0, 1}, 4, 8080);
    for (uint32_t i = 0; i < g->providers; i++) {
        // The first of two addresses answers nobody.
        g->provider_addrs[i] = 1 + sim_chance(w, 10);
        for (uint32_t k = 0; k < 2; k++)
            g->provider_addr[i][k] = io_addr_of_ip((const uint8_t[]){10, 2, (uint8_t)i, (uint8_t)k}, 4, 80);
        g->shared[i] =
            (struct up_shared){.open_max = g->tight ? 3 : 10000, .idle_max = sim_chance(w, 50) ? 1024 : 1};
        sim_provider_open(g, i);
    }
    sim_books_open(g);
    g->plan[0] = sim_plan_make(g, 1);
}

static void clients_open(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    g->clients = 1 + sim_below(w, SIM_CLIENTS_MAX);
    for (uint32_t i = 0; i < g->clients; i++) {
        const uint32_t count = 1 + sim_below(w, 30), first = g->requests;
        for (uint32_t k = 0; k < count; k++) sim_request_compose(g, &g->request[g->requests++]);
        sim_client_open(g, &g->client[i], first, count);
    }
}

static void check_worker(struct sim_gateway *g, uint32_t i);

// A worker's thread ends when it is done, and all know that they are to end: until then others may hand it clients.
static void workers_reap(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    for (uint32_t i = 0; i < g->workers; i++)
        if (!atomic_load(&g->mail_opened[i])) return;
    for (uint32_t i = 0; i < g->workers && g->drained_ns != CLOCK_NEVER; i++) {
        if (g->worker_closed[i] || !worker_is_done(&g->worker[i])) continue;
        check_worker(g, i);
        worker_close(&g->worker[i]);
        worker_free(&g->worker[i]);
        SIM_MUST(w, g->worker[i].budget.used == 0, "worker %u: %ld bytes of the budget are left", i,
                 (long)g->worker[i].budget.used);
        logring_done(&g->access[i]);
        g->worker_closed[i] = true;
        sim_note(w, "worker closed", i, 0);
    }
}

static bool step_until(struct sim_gateway *g, bool (*content)(const struct sim_gateway *g), const char *what)
{
    struct sim_world *w = g->w;
    while (!content(g)) {
        const bool alive = sim_world_step(w);
        SIM_MUST(w, alive, "nothing can happen any more, and still: %s", what);
        SIM_MUST(w, w->now_ns < RUN_NS_MAX, "no end in sight: %s", what);
        workers_reap(g);
    }
    return true;
}

static bool clients_done(const struct sim_gateway *g)
{
    for (uint32_t i = 0; i < g->clients; i++)
        if (!g->client[i].done) return false;
    return true;
}

static bool workers_done(const struct sim_gateway *g)
{
    for (uint32_t i = 0; i < g->workers; i++)
        if (!g->worker_closed[i]) return false;
    return true;
}

static bool run_over(const struct sim_gateway *g)
{
    return clients_done(g) || (g->drained_ns != CLOCK_NEVER && workers_done(g));
}

static bool net_quiet(const struct sim_gateway *g)
{
    return g->net.open == 0;
}

static void check_worker(struct sim_gateway *g, uint32_t i)
{
    struct sim_world *w = g->w;
    const struct worker *k = &g->worker[i];
    log_read(g, i);
    SIM_MUST(w, k->http.serving == 0 && k->http.open == 0 && k->loop.fibers.running == 0,
             "worker %u: %u connections, %u requests, %u fibers are left", i, k->http.open, k->http.serving,
             k->loop.fibers.running);
    for (int b = 0; b < IO_GROUPS; b++) {
        const struct io_group *group = &k->loop.group[b];
        // A connection to a provider that is just being closed may hold some; closing the loop sees that none does then.
        SIM_MUST(w, group->held + group->in_ring + group->spare_n == group->made,
                 "worker %u: group %d has lost buffers: held %u, ring %u, spare %u of %u", i, b, group->held,
                 group->in_ring, group->spare_n, group->made);
    }
    // A request for which there was no memory at all has no line.
    const uint64_t lines = g->log_lines[i] + logring_dropped(&g->access[i]);
    SIM_MUST(w, g->shape.access_log ? lines <= k->http.requests_total : lines == 0,
             "worker %u: too many lines", i);
    SIM_MUST(w,
             !g->shape.access_log || g->tight ||
                 lines + w->fired[SIM_NO_MEMORY] + w->fired[SIM_SHORTAGE] >= k->http.requests_total,
             "worker %u: %lu lines in the log for %lu requests", i, (unsigned long)g->log_lines[i],
             (unsigned long)k->http.requests_total);
    SIM_MUST(w, g->open_by_worker[i] == 0 || g->open_by_worker[i] == WORKER_CLOSED,
             "worker %u counts %u connections", i, g->open_by_worker[i]);
}

static void gateway_close(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    sim_event_drop(w, &g->reload);
    sim_event_drop(w, &g->drain);
    sim_event_drop(w, &g->resolve);
    if (g->drained_ns == CLOCK_NEVER) drain(&g->drain);
    step_until(g, workers_done, "the workers drain");
    sim_event_drop(w, &g->shortage);
    sim_watch_waits(NULL);
    const uint32_t plans = g->plan[1] ? 2 : 1;
    SIM_MUST(w, g->plans_released == g->workers + g->plans_given, "%u plans were released of %u",
             g->plans_released, g->workers + g->plans_given);
    sim_books_close(g);
    for (uint32_t i = 0; i < plans; i++) sim_plan_free(g->plan[i]);
    for (uint32_t i = 0; i < g->providers; i++)
        SIM_MUST(w, g->shared[i].open == 0 && g->shared[i].idle == 0,
                 "provider %u: %d connections, %d idle are counted", i, g->shared[i].open, g->shared[i].idle);
    // The process is gone; clients that still want something find that out.
    sim_process_free(g->process);
    step_until(g, clients_done, "clients have requests");
    step_until(g, net_quiet, "connections are open");
    for (uint32_t i = 0; i < g->clients; i++) sim_client_close(&g->client[i]);
    sim_providers_close(g);
    SIM_MUST(w, g->conns_open == 0, "%u connections of providers are open", g->conns_open);
    sim_net_close(&g->net);
    sim_world_close(w);
}

void sim_exchange(struct sim_world *w, uint64_t seed, struct sim_totals *totals)
{
    static struct sim_gateway gateway;
    static bool tables;
    struct sim_gateway *g = &gateway;
    if (!tables) exchange_tables();
    tables = true;
    memset(g, 0, sizeof *g);
    sim_forget();
    sim_world_open(w, seed, "exchange");
    g->w = w;
    g->totals = totals;
    surroundings(g);
    workers_open(g);
    clients_open(g);
    g->reload.fire = reload;
    g->drain.fire = drain;
    g->resolve.fire = resolve;
    g->shortage.fire = shortage;
    if (g->shape.named) {
        const int64_t first_ns = sim_between(w, 0, 100 * CLOCK_MS);
        sim_trouble(w, w->now_ns + first_ns + 50 * CLOCK_MS);
        sim_event_in(w, &g->resolve, first_ns);
    }
    if (w->rate[SIM_SHORTAGE]) sim_event_in(w, &g->shortage, sim_between(w, 0, 100 * CLOCK_MS));
    sim_watch_waits(w);
    if (sim_chance(w, 20)) sim_event_in(w, &g->reload, sim_between(w, 0, 2 * CLOCK_SEC));
    if (sim_chance(w, 15)) sim_event_in(w, &g->drain, sim_between(w, 0, 2 * CLOCK_SEC));
    step_until(g, run_over, "clients have requests");
    gateway_close(g);
}
