// The plans of a run. See sim_exchange.h. What a configuration may say differs from run to run (struct sim_shape), and stays the
// same over a reload, so that clients know what to expect; time limits differ even between two plans of a run.
#include <stdio.h>

#include "gateway/plan_ready.h"
#include "tests/sim/sim_books.h"
#include "tests/sim/sim_exchange.h"

void sim_shape_choose(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    g->shape = (struct sim_shape){.base = sim_chance(w, 20),
                                  .origins_listed = sim_chance(w, 20),
                                  .renamed = sim_chance(w, 25),
                                  .proxied = sim_chance(w, 15),
                                  .trusting = sim_chance(w, 25),
                                  .defaults = sim_chance(w, 25),
                                  .ready_needs_target = sim_chance(w, 25),
                                  .echo = sim_chance(w, 85),
                                  .metrics = sim_chance(w, 70),
                                  .access_log = sim_chance(w, 90),
                                  .named = w->rate[SIM_DNS_FAILURE] > 0,
                                  .killed = sim_chance(w, 10),
                                  .body_max = sim_chance(w, 90) ? MIB(4) : KIB(24)};
}

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
    const uint32_t n = g->providers + g->shape.echo;
    struct plan_provider *providers = sim_keep(n * sizeof *providers);
    struct plan_origin *origins = sim_keep(g->providers * sizeof *origins);
    memset(providers, 0, n * sizeof *providers);
    memset(origins, 0, g->providers * sizeof *origins);
    for (uint32_t i = 0; i < n; i++) {
        struct plan_provider *to = &providers[i];
        to->timeouts = timeouts(g);
        to->kind = i == g->providers ? PLAN_ECHO : PLAN_HTTP;
        to->dialect = &dialect_openai;
        to->chat_path = SPAN("/chat/completions");
        to->name = i == g->providers ? SPAN("echo") : text_of("p%u", i);
        const enum rw_err err = map_put(&p->provider_by_name, to->name, to, NULL);
        MUST(err == RW_OK);
        if (to->kind == PLAN_ECHO) continue;
        to->origin = i;
        to->path_prefix = SPAN("/v1");
        to->head_fields = text_of(
            "host: provider\r\nauthorization: Bearer " SIM_UP_KEY "-%u\r\naccept-encoding: identity\r\n", i);
        const enum rw_err ready = gateway_provider_ready(to, &(struct plan_room){.take = room});
        MUST(ready == RW_OK);
        origins[i].name = to->name;
        // Of an origin with a name the resolver tells the addresses.
        origins[i].addr_count = g->shape.named && !g->resolved ? 0 : g->provider_addrs[i];
        memcpy(origins[i].addr, g->provider_addr[i], sizeof g->provider_addr[i]);
        origins[i].shared = &g->shared[i];
    }
    p->providers = providers;
    p->provider_count = n;
    p->origins = origins;
    p->origin_count = g->providers;
    p->default_provider = g->shape.defaults ? 0 : -1;
}

static struct plan_model *plan_models(struct sim_gateway *g, struct plan *p)
{
    const uint32_t n = 2 * g->providers + g->shape.echo;
    struct plan_model *models = sim_keep(n * sizeof *models);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t provider = i / 2;
        const bool same = i & 1;
        models[i] = (struct plan_model){.provider = provider,
                                        .target_row = i % 3 ? 1 + i : METRIC_ROW_NONE,
                                        .model_row = METRIC_ROW_NONE};
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
    p->default_model = g->shape.defaults ? 0 : -1;
    return models;
}

static void plan_entry(struct sim_gateway *g, struct plan *p)
{
    // Clients are 10.1.0.0/16; so are proxies that some of them pretend to be.
    static const char *const nets[] = {"10.1.0.0/16", "192.0.2.0/24"};
    struct plan_listener *l = sim_keep(sizeof *l);
    *l = (struct plan_listener){.addr = g->listen};
    if (g->shape.proxied) l->entry.proxy_accept = PROXY_ACCEPT_ANY;
    if (g->shape.trusting) {
        struct io_cidr *trusted = sim_keep(2 * sizeof *trusted);
        for (int i = 0; i < 2; i++) {
            const enum rw_err err = io_cidr_parse(span_str(nets[i]), &trusted[i]);
            MUST(err == RW_OK);
        }
        l->entry.trusted = trusted;
        l->entry.trusted_count = 2;
    }
    p->listeners = l;
    p->listener_count = 1;
}

static struct principal *plan_keys(struct plan *p)
{
    static const char *const texts[] = {SIM_KEY, SIM_KEY_LIMITED, SIM_KEY_DISABLED};
    static const struct span may[] = {SPAN_INIT("echo"), SPAN_INIT("same-0"), SPAN_INIT("alias-0")};
    struct principal *keys = sim_keep(3 * sizeof *keys);
    crypto_hmac_key_init(&p->key_hmac, "secret", 6);
    for (int i = 0; i < 3; i++) {
        struct principal *key = &keys[i];
        *key = (struct principal){.name = SPAN("k"), .team = SPAN("t"), .disabled = i == 2};
        if (i == 1) {
            key->models[0] = (struct principal_list){may, 3};
        }
        sim_books_key(key, (uint32_t)i);
        const struct span text = span_str(texts[i]);
        crypto_hmac(&p->key_hmac, text.p, text.n, key->digest);
        const enum rw_err err =
            map_put(&p->principal_by_digest, span_of(key->digest, sizeof key->digest), key, NULL);
        MUST(err == RW_OK);
    }
    p->principals = keys;
    p->principal_count = 3;
    return keys;
}

static void plan_cors(struct sim_gateway *g, struct plan *p)
{
    static const struct span origins[] = {SPAN_INIT("http://b"), SPAN_INIT("http://a")};
    if (!g->shape.origins_listed) {
        p->cors_origin = SPAN("*");
        return;
    }
    p->cors_origins = origins;
    p->cors_origin_count = 2;
}

struct plan *sim_plan_make(struct sim_gateway *g, uint64_t generation)
{
    struct plan *p = sim_keep(sizeof *p);
    memset(p, 0, sizeof *p);
    p->generation = generation;
    p->seats = sim_keep(SIM_WORKERS_MAX * sizeof *p->seats);
    map_init(&p->model_by_name, 1, 64);
    map_init(&p->provider_by_name, 1, 64);
    map_init(&p->principal_by_digest, 1, 64);
    plan_entry(g, p);
    plan_providers(g, p);
    struct plan_model *models = plan_models(g, p);
    sim_books_plan(p, models, p->model_count);
    struct principal *keys = plan_keys(p);
    p->service_name = SPAN("sim");
    p->version = SPAN("0");
    plan_cors(g, p);
    if (g->shape.base) p->base_path = SPAN("/base");
    p->cors_headers = SPAN("authorization");
    p->http = (struct h1_cfg){.head_bytes_max = HTTP_HEAD_BYTES,
                              .connections_max = g->tight && sim_chance(g->w, 30) ? 2 : 1000,
                              .head_timeout_ns = 10 * CLOCK_SEC,
                              .idle_timeout_ns = sim_between(g->w, 5, 75) * CLOCK_SEC};
    p->body_bytes_max = g->shape.body_max;
    p->upload_bytes_max = MIB(4);
    p->body_timeout_ns = 30 * CLOCK_SEC;
    p->access_log = g->shape.access_log;
    p->response_model_requested = g->shape.renamed;
    p->ready_needs_target = g->shape.ready_needs_target;
    const enum rw_err ready = gateway_plan_ready(p, models, keys, &(struct plan_room){.take = room});
    MUST(ready == RW_OK);
    return p;
}

void sim_plan_free(struct plan *p)
{
    map_done(&p->model_by_name);
    map_done(&p->provider_by_name);
    map_done(&p->principal_by_digest);
}
