// The exchange scenario's frame. See sim_exchange.h. Builds a plan, the workers of one process and their surroundings; lets the
// world run until every client has made its requests; drains; and then everything must be back: fibers, buffers, operations,
// descriptors, connections, and every byte of the budget.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/plan_ready.h"
#include "tests/sim/sim_exchange.h"

#define ACCESS_RING_BYTES (64u << 10)
#define RUN_NS_MAX (200000 * CLOCK_SEC)

// --- The plan.

static struct span text_of(const char *format, uint32_t i)
{
    char text[256];
    const int n = snprintf(text, sizeof text, format, i);
    return sim_keep_span(span_of(text, (size_t)n));
}

static struct plan_timeouts timeouts(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    return (struct plan_timeouts){.connect_ns = 5 * CLOCK_SEC,
                                  .first_byte_ns = sim_chance(w, 50) ? 0 : 30 * CLOCK_SEC,
                                  .first_token_ns = sim_chance(w, 50) ? 0 : 60 * CLOCK_SEC,
                                  .idle_ns = 20 * CLOCK_SEC,
                                  .total_ns = 600 * CLOCK_SEC};
}

static void *room(void *ctx, size_t n)
{
    (void)ctx;
    return sim_keep((uint32_t)n);
}

static void plan_providers(struct sim_gateway *g, struct plan *p)
{
    struct plan_provider *providers = sim_keep((g->providers + 1) * sizeof *providers);
    struct plan_origin *origins = sim_keep(g->providers * sizeof *origins);
    memset(providers, 0, (g->providers + 1) * sizeof *providers);
    memset(origins, 0, g->providers * sizeof *origins);
    for (uint32_t i = 0; i <= g->providers; i++) {
        struct plan_provider *to = &providers[i];
        to->timeouts = timeouts(g);
        to->kind = i == g->providers ? PLAN_ECHO : PLAN_HTTP;
        to->name = i == g->providers ? SPAN("echo") : text_of("p%u", i);
        const enum rw_err err = map_put(&p->provider_by_name, to->name, to, NULL);
        MUST(err == RW_OK);
        if (to->kind == PLAN_ECHO) continue;
        to->origin = i;
        to->path_prefix = SPAN("/v1");
        to->head_fields = text_of(
            "host: provider\r\nauthorization: Bearer " SIM_UP_KEY "-%u\r\naccept-encoding: identity\r\n", i);
        origins[i].name = to->name;
        origins[i].addr_count = g->provider_addrs[i];
        memcpy(origins[i].addr, g->provider_addr[i], sizeof g->provider_addr[i]);
        origins[i].shared = &g->shared[i];
    }
    p->providers = providers;
    p->provider_count = g->providers + 1;
    p->origins = origins;
    p->origin_count = g->providers;
    p->default_provider = -1;
}

static struct plan_model *plan_models(struct sim_gateway *g, struct plan *p)
{
    const uint32_t n = 2 * g->providers + 1;
    struct plan_model *models = sim_keep(n * sizeof *models);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t provider = i / 2;
        const bool same = i & 1;
        models[i] = (struct plan_model){
            .provider = provider, .target_row = METRIC_ROW_NONE, .model_row = METRIC_ROW_NONE};
        models[i].timeouts = p->providers[provider].timeouts;
        models[i].name =
            provider == g->providers ? SPAN("echo") : text_of(same ? "same-%u" : "alias-%u", provider);
        models[i].upstream_model =
            same || provider == g->providers ? models[i].name : text_of("up-%u", provider);
        const enum rw_err err = map_put(&p->model_by_name, models[i].name, &models[i], NULL);
        MUST(err == RW_OK);
    }
    p->models = models;
    p->model_count = n;
    p->default_model = -1;
    return models;
}

static struct plan *plan_make(struct sim_gateway *g, uint64_t generation)
{
    struct plan *p = sim_keep(sizeof *p);
    memset(p, 0, sizeof *p);
    p->generation = generation;
    p->seats = sim_keep(SIM_WORKERS_MAX * sizeof *p->seats);
    map_init(&p->model_by_name, 1, 64);
    map_init(&p->provider_by_name, 1, 64);
    map_init(&p->key_by_digest, 1, 64);
    struct plan_listener *l = sim_keep(sizeof *l);
    *l = (struct plan_listener){.addr = g->listen};
    p->listeners = l;
    p->listener_count = 1;
    plan_providers(g, p);
    struct plan_model *models = plan_models(g, p);
    struct plan_key *key = sim_keep(sizeof *key);
    *key = (struct plan_key){.name = SPAN("k"), .team = SPAN("t")};
    crypto_hmac_key_init(&p->key_hmac, "secret", 6);
    crypto_hmac(&p->key_hmac, SIM_KEY, sizeof SIM_KEY - 1, key->digest);
    const enum rw_err err = map_put(&p->key_by_digest, span_of(key->digest, sizeof key->digest), key, NULL);
    MUST(err == RW_OK);
    p->keys = key;
    p->key_count = 1;
    p->service_name = SPAN("sim");
    p->version = SPAN("0");
    p->cors_origin = SPAN("*");
    p->cors_headers = SPAN("authorization");
    p->http = (struct h1_cfg){.head_bytes_max = HTTP_HEAD_BYTES,
                              .connections_max = g->tight && sim_chance(g->w, 30) ? 2 : 1000,
                              .head_timeout_ns = 10 * CLOCK_SEC,
                              .idle_timeout_ns = sim_between(g->w, 5, 75) * CLOCK_SEC};
    p->body_bytes_max = MIB(4);
    p->upload_bytes_max = MIB(4);
    p->body_timeout_ns = 30 * CLOCK_SEC;
    p->access_log = true;
    const enum rw_err ready = plan_ready(p, models, key, &(struct plan_room){.take = room});
    MUST(ready == RW_OK);
    return p;
}

static void plan_released(void *ctx, const struct plan *plan)
{
    struct sim_gateway *g = ctx;
    struct plan *p = g->plan[plan == g->plan[1]];
    MUST(p == plan);
    g->plans_released++;
}

static void plan_free(struct plan *p)
{
    map_done(&p->model_by_name);
    map_done(&p->provider_by_name);
    map_done(&p->key_by_digest);
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
    SIM_MUST(g->w, !span_eq(name, SPAN("internal")), "an internal error: %.*s", SPAN_ARG(line));
    g->log_lines[i]++;
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
    worker_turn(w, CLOCK_NEVER);
    log_read(g, w->cfg.index);
}

static void workers_open(struct sim_gateway *g)
{
    static const uint16_t counts[] = {2, 4, 16, 128};
    struct sim_world *w = g->w;
    g->process = sim_process_new(&g->net);
    for (uint32_t i = 0; i < g->workers; i++) g->peers[i] = &g->worker[i];
    for (uint32_t i = 0; i < g->workers; i++) {
        char name[SIM_NAME_BYTES];
        const struct io_addr host = io_addr_of_ip((const uint8_t[]){10, 0, 0, 1}, 4, 0);
        snprintf(name, sizeof name, "worker %u", i);
        const enum rw_err made = logring_init(&g->access[i], ACCESS_RING_BYTES, NULL, NULL);
        MUST(made == RW_OK);
        const struct worker_cfg cfg = {.index = i,
                                       .workers = g->workers,
                                       .fibers_max = g->tight && sim_chance(w, 30) ? 3 : 256,
                                       .buffers = counts[sim_below(w, 4)],
                                       .memory_bytes = g->tight ? KIB(200) + sim_below(w, MIB(1)) : MIB(512),
                                       .seed = prng_next(&w->prng),
                                       .plan = g->plan[0],
                                       .access = &g->access[i],
                                       .open_by_worker = g->open_by_worker,
                                       .peers = g->peers,
                                       .plan_released = plan_released,
                                       .ctx = g};
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
    g->plan[1] = plan_make(g, 2);
    for (uint32_t i = 0; i < g->workers; i++) {
        static struct worker_mail mail[SIM_WORKERS_MAX];
        static _Atomic bool opened[SIM_WORKERS_MAX];
        if (g->worker_closed[i]) continue;
        mail[i].opened = &opened[i];
        g->plans_given++;
        worker_plan(&g->worker[i], &mail[i], g->plan[1]);
    }
}

static void drain(struct sim_event *event)
{
    struct sim_gateway *g = LIST_OWNER(event, struct sim_gateway, drain);
    sim_note(g->w, "drain", 0, 0);
    g->drained_ns = g->w->now_ns;
    for (uint32_t i = 0; i < g->workers; i++) {
        g->mail[i].opened = &g->mail_opened[i];
        worker_drain(&g->worker[i], &g->mail[i], CLOCK_SEC, 1000 * CLOCK_SEC);
    }
}

// --- The run.

static void surroundings(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    g->calm = sim_chance(w, 15);
    sim_world_faults(w, sim_chance(w, 20));
    sim_net_open(&g->net, w);
    g->drained_ns = CLOCK_NEVER;
    g->tight = sim_chance(w, 8);
    g->size_max = g->net.latency_max_ns > CLOCK_MS ? 16000 : 300000;
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
    g->plan[0] = plan_make(g, 1);
}

static void clients_open(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    g->clients = 1 + sim_below(w, SIM_CLIENTS_MAX);
    for (uint32_t i = 0; i < g->clients; i++) {
        const uint32_t count = 1 + sim_below(w, 25), first = g->requests;
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
    SIM_MUST(w, g->log_lines[i] + logring_dropped(&g->access[i]) == k->http.requests_total,
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
    if (g->drained_ns == CLOCK_NEVER) drain(&g->drain);
    step_until(g, workers_done, "the workers drain");
    const uint32_t plans = g->plan[1] ? 2 : 1;
    SIM_MUST(w, g->plans_released == g->workers + g->plans_given, "%u plans were released of %u",
             g->plans_released, g->workers + g->plans_given);
    for (uint32_t i = 0; i < plans; i++) plan_free(g->plan[i]);
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
    if (sim_chance(w, 20)) sim_event_in(w, &g->reload, sim_between(w, 0, 2 * CLOCK_SEC));
    if (sim_chance(w, 15)) sim_event_in(w, &g->drain, sim_between(w, 0, 2 * CLOCK_SEC));
    step_until(g, run_over, "clients have requests");
    gateway_close(g);
}
