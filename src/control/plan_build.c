// See plan_build.h.
#include "control/plan_build.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "control/books_fill.h"
#include "control/log.h"
#include "control/prices.h"
#include "gateway/plan_ready.h"
#include "policy/limit_account.h"
#include "io/dial.h"
#include "providers/dialect.h"
#include "wire/proxy_protocol.h"

// Of a provider; a request has five more at most.
#define SIGNED_FIELDS_MAX (SIGV4_FIELDS_MAX - 5)

#define CORS_HEADERS "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token"

// What a plan owns: its own pieces, and the configuration that it points into.
struct plan_memory {
    struct plan plan;
    struct config *config;
    struct plan_world *world;
    struct io_mail mail;
    struct price_table *prices;
    struct plan_origin *origins; // filled by plan_seal()
    const struct credential **credentials; // likewise
    _Atomic int32_t holders; // workers
    struct block {
        struct block *next;
        size_t n;
        _Alignas(16) uint8_t bytes[];
    } * blocks;
};

// Memory for the life of the plan; NULL: there is none.
static void *take(struct plan_memory *m, size_t n)
{
    struct block *b = calloc(1, sizeof *b + n);
    if (!b) return NULL;
    b->next = m->blocks;
    b->n = n;
    m->blocks = b;
    return b->bytes;
}

static void *take_more(void *ctx, size_t n)
{
    return take(ctx, n);
}

static void plan_free(struct plan_memory *m)
{
    for (uint32_t i = 0; i < m->plan.origin_count; i++) tls_client_let_go(m->plan.origins[i].tls);
    for (uint32_t i = 0; i < m->plan.listener_count; i++) tls_server_let_go(m->plan.listeners[i].entry.tls);
    for (uint32_t i = 0; i < m->plan.credential_count; i++) credential_drop(m->plan.credentials[i]);
    map_done(&m->plan.model_by_name);
    map_done(&m->plan.provider_by_name);
    map_done(&m->plan.principal_by_digest);
    map_done(&m->plan.principal_by_peer);
    price_table_free(m->prices);
    while (m->blocks) {
        struct block *b = m->blocks;
        m->blocks = b->next;
        crypto_wipe(b->bytes, b->n); // authorization lines are among them
        free(b);
    }
    config_free(m->config);
    atomic_fetch_sub(&m->world->plans, 1);
    crypto_wipe(&m->plan, sizeof m->plan);
    free(m);
}

static void mail_free(struct io_loop *loop, struct io_mail *mail)
{
    (void)loop;
    plan_free(LIST_OWNER(mail, struct plan_memory, mail));
}

void plan_let_go(const struct plan *plan)
{
    struct plan_memory *m = plan->memory;
    if (atomic_fetch_sub(&m->holders, 1) > 1) return;
    m->mail.open = mail_free;
    io_loop_post(m->world->loop, &m->mail);
}

void plan_drop(struct plan *plan)
{
    struct plan_memory *m = plan->memory;
    m->config = NULL; // the caller's
    plan_free(m);
}

void plan_world_init(struct plan_world *w, struct io_loop *loop, struct io_resolver *resolver,
                     struct metric_labels *labels, uint32_t workers, struct store *store,
                     const struct store_pepper *pepper)
{
    *w = (struct plan_world){.loop = loop,
                             .resolver = resolver,
                             .labels = labels,
                             .workers = workers,
                             .store = store,
                             .pepper = pepper};
    if (store) {
        w->key_hmac = pepper->hmac;
    } else {
        uint8_t secret[CRYPTO_SHA256_BYTES];
        crypto_random(secret, sizeof secret);
        crypto_hmac_key_init(&w->key_hmac, secret, sizeof secret);
        crypto_wipe(secret, sizeof secret);
    }
    crypto_random(&w->map_seed, sizeof w->map_seed);
    credentials_open(&w->credentials, loop, resolver, &w->tls);
}

void plan_world_done(struct plan_world *w)
{
    MUST(atomic_load(&w->plans) == 0);
    for (uint32_t i = 0; i < w->origin_count; i++) {
        free(w->origins[i].shared);
        free(w->origin_name[i]);
        free(w->watches[i].host);
        tls_client_let_go(w->tls_made[i].client);
    }
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) tls_server_let_go(w->tls_served[i].server);
    tls_server_let_go(w->tls_admin.server);
    plan_tls_done(&w->tls);
    credentials_done(&w->credentials);
    crypto_wipe(w, sizeof *w);
}

// --- Origins.

// The resolver has news. A name that was never resolved leaves its provider without an address: requests get a 502.
static void resolved(void *ctx, const struct io_addr_set *set, int err)
{
    struct plan_watch *at = ctx;
    struct plan_world *w = at->world;
    struct plan_origin *o = &w->origins[at->origin];
    if (w->unresolved > 0 && o->addr_count == 0) w->unresolved--;
    if (!set) {
        log_msg(LOG_WARNING,
                "the name %s cannot be resolved (%s). Check base_url and proxy, or give connect_to.",
                at->host, rw_err_name(err));
        return;
    }
    o->addr_count = io_dial_order(set->addr, set->n, o->addr, UP_ADDRS_MAX);
    if (w->addrs_changed) w->addrs_changed(w->ctx, o, at->origin);
}

// `host` becomes the watch's.
static enum rw_err watch(struct plan_world *w, uint32_t i, const struct config_provider *p, char *host)
{
    struct plan_watch *at = &w->watches[i];
    *at = (struct plan_watch){.world = w, .host = host, .origin = i};
    if (p->connect_to.addr.n) {
        w->origins[i].addr[0] = p->connect_to.addr;
        w->origins[i].addr_count = 1;
        return RW_OK;
    }
    w->unresolved++;
    const uint16_t port = p->proxy.host ? p->proxy.port : p->base_url.port;
    const enum rw_err err =
        io_resolver_watch(w->resolver, span_str(at->host), port, resolved, at, &at->watch);
    if (err == (enum rw_err) - ENOMEM) w->unresolved--;
    else if (err) resolved(at, NULL, (int)err);
    return err == (enum rw_err) - ENOMEM ? err : RW_OK;
}

// What tells two proxies apart: where they are, and whom they take us for, which is said in a way that gives nothing away.
static void proxy_name(const struct plan_world *w, const struct config_proxy *proxy, char *out, size_t cap)
{
    uint8_t mac[CRYPTO_SHA256_BYTES] = {0};
    const char *who = proxy->authorization;
    *out = 0;
    if (!proxy->host) return;
    if (who) crypto_hmac(&w->key_hmac, who, strlen(who), mac);
    snprintf(out, cap, " by proxy %s:%u%s%02x%02x%02x%02x", proxy->host, (unsigned)proxy->port,
             who ? " as " : " unnamed ", mac[0], mac[1], mac[2], mac[3]);
}

// What makes an origin another one.
static char *origin_name(const struct plan_world *w, const struct config_provider *p)
{
    char *name, proxy[TLS_HOST_BYTES_MAX + 64];
    proxy_name(w, &p->proxy, proxy, sizeof proxy);
    const int n = asprintf(
        &name, "%s%s:%u via %s from %s ca %s as %s, %s%s", p->base_url.tls ? "https " : "", p->base_url.host,
        (unsigned)p->base_url.port, p->connect_to.text ? p->connect_to.text : "-",
        p->bind_address.text ? p->bind_address.text : "-", p->ca_file ? p->ca_file : "-",
        p->client_certificate ? p->client_certificate : "-", p->client_key ? p->client_key : "-", proxy);
    return n > 0 ? name : NULL;
}

// As if the newest had never been named.
static void origin_forget_last(struct plan_world *w)
{
    const uint32_t i = --w->origin_count;
    free(w->origins[i].shared);
    free(w->origin_name[i]);
    free(w->watches[i].host);
    w->origins[i] = (struct plan_origin){0};
    w->origin_name[i] = NULL;
    w->watches[i] = (struct plan_watch){0};
}

// Its index, the same for as long as the process lives; -1 with *ret_why.
static int32_t origin_of(struct plan_world *w, const struct config_provider *p, char *ret_why, uint32_t cap)
{
    char *name = origin_name(w, p);
    if (!name) {
        snprintf(ret_why, cap, "out of memory");
        return -1;
    }
    uint32_t i = 0;
    while (i < w->origin_count && strcmp(w->origin_name[i], name) != 0) i++;
    if (i == PROVIDERS_MAX) {
        snprintf(ret_why, cap,
                 "more than %d different provider addresses since the start: restart to forget the old ones.",
                 PROVIDERS_MAX);
        free(name);
        return -1;
    }
    struct plan_origin *o = &w->origins[i];
    if (i == w->origin_count) {
        struct up_shared *shared = calloc(1, sizeof *shared);
        char *host = strdup(p->proxy.host ? p->proxy.host : p->base_url.host);
        if (!shared || !host) {
            free(shared);
            free(name);
            free(host);
            snprintf(ret_why, cap, "out of memory");
            return -1;
        }
        o->shared = shared;
        w->origin_name[i] = name;
        o->shared->open_max = UPSTREAM_CONNECTIONS_MAX;
        o->shared->idle_max = UPSTREAM_IDLE_MAX;
        o->name = span_str(w->origin_name[i]);
        if (p->bind_address.addr.n) o->bind_to = p->bind_address.addr;
        w->origin_count++;
        if (watch(w, i, p, host)) {
            origin_forget_last(w);
            snprintf(ret_why, cap, "out of memory");
            return -1;
        }
    } else {
        free(name);
    }
    if (p->base_url.tls) {
        if (!plan_tls_client(&w->tls, p, &w->tls_made[i], ret_why, cap)) return -1;
        o->tls = w->tls_made[i].client;
    }
    return (int32_t)i;
}

// --- Pieces of the plan.

static struct plan_timeouts timeouts_of(const struct config_timeouts *t)
{
    return (struct plan_timeouts){.connect_ns = t->connect_ns,
                                  .tls_ns = t->tls_ns,
                                  .first_byte_ns = t->first_byte_ns,
                                  .first_token_ns = t->first_token_ns,
                                  .idle_ns = t->idle_ns,
                                  .total_ns = t->total_ns};
}

// Who we are to a proxy that reads it.
static void write_proxy_authorization(struct http_writer *w, const struct config_proxy *proxy)
{
    if (!proxy->authorization) return;
    http_write_raw(w, SPAN("proxy-authorization: "));
    http_write_raw(w, span_str(proxy->authorization));
    http_write_raw(w, SPAN("\r\n"));
}

// What goes to the proxy: a request of its own in front of the handshake for https, the whole address of http. False: no memory.
static bool add_proxy(struct plan_memory *m, const struct config_provider *p, struct plan_provider *to)
{
    if (!p->proxy.host) return true;
    const char *auth = p->proxy.authorization;
    const size_t n = 128 + 2 * strlen(p->base_url.host) + strlen(p->base_url.authority) + to->path_prefix.n +
        (auth ? strlen(auth) + 32 : 0);
    uint8_t *bytes = take(m, n);
    if (!bytes) return false;
    struct http_writer w = http_writer(bytes, (uint32_t)n);
    to->proxied = true;
    if (!p->base_url.tls) {
        http_write_raw(&w, SPAN("http://"));
        http_write_raw(&w, span_str(p->base_url.authority));
        http_write_raw(&w, to->path_prefix);
        to->path_prefix = span_of(bytes, w.n);
        return true;
    }
    char host[TLS_HOST_BYTES_MAX + 16];
    const bool ipv6 = strchr(p->base_url.host, ':') != NULL;
    snprintf(host, sizeof host, "%s%s%s:%u", ipv6 ? "[" : "", p->base_url.host, ipv6 ? "]" : "",
             (unsigned)p->base_url.port);
    http_write_raw(&w, SPAN("CONNECT "));
    http_write_raw(&w, span_str(host));
    http_write_raw(&w, SPAN(" HTTP/1.1\r\nhost: "));
    http_write_raw(&w, span_str(host));
    http_write_raw(&w, SPAN("\r\n"));
    write_proxy_authorization(&w, &p->proxy);
    http_write_raw(&w, SPAN("\r\n"));
    MUST(!w.overflow);
    to->tunnel = span_of(bytes, w.n);
    return true;
}

// The lines that every request to this provider carries; empty: no memory.
static struct span head_fields(struct plan_memory *m, const struct config_provider *p)
{
    size_t n = 64 + strlen(p->base_url.authority) + (p->api_key ? strlen(p->api_key) + 32 : 0);
    if (p->proxy.authorization) n += strlen(p->proxy.authorization) + 32;
    for (uint32_t i = 0; i < p->header_count; i++)
        n += strlen(p->headers[i].name) + strlen(p->headers[i].value) + 4;
    uint8_t *bytes = take(m, n);
    if (!bytes) return (struct span){0};
    struct http_writer w = http_writer(bytes, (uint32_t)n);
    http_write_field(&w, SPAN("host"), span_str(p->base_url.authority));
    bool authorized = false;
    for (uint32_t i = 0; i < p->header_count; i++) {
        http_write_field(&w, span_str(p->headers[i].name), span_str(p->headers[i].value));
        authorized = authorized || strcmp(p->headers[i].name, "authorization") == 0;
    }
    if (p->api_key && !authorized) {
        http_write_raw(&w, span_str(provider_rows[p->type].key_field));
        http_write_raw(&w, span_str(p->api_key));
        http_write_raw(&w, SPAN("\r\n"));
    }
    if (!p->base_url.tls) write_proxy_authorization(&w, &p->proxy);
    http_write_raw(&w, SPAN("accept-encoding: identity\r\n"));
    MUST(!w.overflow && !w.bad); // the configuration refused control characters
    return span_of(bytes, w.n);
}

// a and b in one.
static bool join(struct plan_memory *m, struct span a, struct span b, struct span *ret)
{
    uint8_t *bytes = take(m, a.n + b.n + 1);
    if (!bytes) return false;
    if (a.n) memcpy(bytes, a.p, a.n);
    if (b.n) memcpy(bytes + a.n, b.p, b.n);
    *ret = span_of(bytes, a.n + b.n);
    return true;
}

// A row's paths, and what the configuration makes of them.
static bool set_api(struct plan_memory *m, struct plan_provider *to, const struct config_provider *p,
                    const struct provider_row *row)
{
    const struct provider_settings settings = {
        .region = p->region, .project = p->project, .location = p->location};
    const uint32_t cap = 512;
    const char *missing;
    char *chat = take(m, cap);
    if (!chat) return false;
    const enum rw_err err = provider_fill(row->chat, &settings, chat, cap, &missing);
    MUST(!err); // the configuration was checked
    to->dialect = row->dialect;
    to->type = span_str(row->name);
    const char *region = p->region ? p->region : p->location;
    if (region) to->region = span_str(region);
    to->chat_path = span_str(chat);
    to->model_in_path = row->whole != NULL;
    if (to->model_in_path) to->path_whole = span_str(row->whole), to->path_stream = span_str(row->stream);
    to->max_tokens_old = row->flags & PROVIDER_MAX_TOKENS_OLD;
    to->responses = row->flags & PROVIDER_RESPONSES;
    to->chat_only = row->flags & PROVIDER_CHAT_ONLY;
    if (row->body_version) to->body_version = span_str(row->body_version);
    return !p->api_version || join(m, SPAN("?api-version="), span_str(p->api_version), &to->path_query);
}

// Vertex serves Anthropic's models in their own dialect, at another path.
static bool add_claude(struct plan_memory *m, struct plan_provider *to, const struct config_provider *p)
{
    struct plan_provider *claude = take(m, sizeof *claude);
    if (!claude) return false;
    *claude = *to;
    to->claude = claude;
    return set_api(m, claude, p, &provider_rows[PROVIDER_VERTEX_ANTHROPIC]);
}

// What of its head a signed request is signed with, beside what the request itself brings.
static bool signed_fields(struct plan_memory *m, struct plan_provider *to, const struct config_provider *p)
{
    struct sigv4_field *all = take(m, (1 + p->header_count) * sizeof *all);
    if (!all) return false;
    all[to->signed_fields++] = (struct sigv4_field){SPAN("host"), span_str(p->base_url.authority)};
    for (uint32_t i = 0; i < p->header_count && to->signed_fields < SIGNED_FIELDS_MAX; i++)
        if (!strncmp(p->headers[i].name, "x-amz", 5))
            all[to->signed_fields++] =
                (struct sigv4_field){span_str(p->headers[i].name), span_str(p->headers[i].value)};
    to->signed_field = all;
    return true;
}

static bool add_providers(struct plan_memory *m, char *ret_why, uint32_t cap)
{
    const struct config *c = m->config;
    struct plan_provider *all = take(m, c->provider_count * sizeof *all);
    if (!all) return false;
    for (uint32_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *p = &c->providers[i];
        struct plan_provider *to = &all[i];
        to->name = span_str(p->name);
        to->timeouts = timeouts_of(&p->timeouts);
        to->index = i;
        const struct provider_row *row =
            &provider_rows[p->api_version ? PROVIDER_AZURE_DEPLOYMENTS : p->type];
        const struct span url_path = p->base_url.path ? span_str(p->base_url.path) : SPAN("");
        if (!set_api(m, to, p, row) || !join(m, url_path, span_str(row->prefix), &to->path_prefix))
            return false;
        to->kind = p->type == PROVIDER_ECHO ? PLAN_ECHO : PLAN_HTTP;
        if (to->kind == PLAN_HTTP) {
            const int32_t origin = origin_of(m->world, p, ret_why, cap);
            if (origin < 0) return false;
            to->origin = (uint32_t)origin;
            if (!credentials_index(&m->world->credentials, p, &to->credential, ret_why, cap) ||
                (to->credential && !signed_fields(m, to, p)))
                return false;
            to->head_fields = head_fields(m, p);
            if (!to->head_fields.n || !add_proxy(m, p, to) ||
                gateway_provider_ready(to, &(struct plan_room){.take = take_more, .ctx = m}))
                return false;
        }
        if (p->type == PROVIDER_VERTEX && !add_claude(m, to, p)) return false;
        if (map_put(&m->plan.provider_by_name, to->name, to, NULL)) return false;
    }
    m->plan.providers = all;
    m->plan.provider_count = c->provider_count;
    m->plan.default_provider = c->default_provider;
    return true;
}

// Where a limit object of the configuration counts. False: no memory, or no room for it.
static bool bind_limits(struct plan_memory *m, const struct config_rates *rates, enum limit_level level,
                        struct limit_id id, const struct store_usage_query *who,
                        const struct limit_bound **ret)
{
    const struct limit_cfg cfg = config_limits(rates);
    const char *why;
    if (limit_cfg_is_empty(&cfg)) return true;
    struct limit_set *set = take(m, sizeof *set);
    struct limit_bound *bound = take(m, sizeof *bound);
    if (!set || !bound || !m->world->cells) return false;
    const enum rw_err err = limit_compile(&cfg, level, set, &why);
    MUST(!err); // the configuration was checked
    *ret = bound;
    return limit_bind(m->world->cells, level, id, set, bound) == RW_OK &&
        books_fill_bound(m->world->store, m->world->cells, who, bound) == RW_OK;
}

static bool join_model(struct plan_memory *m, struct plan_model *to)
{
    const struct limit_bound *const level[LIMIT_LEVELS] = {[LIMIT_MODEL] = to->limit};
    const struct limit_set *const set[LIMIT_LEVELS] = {[LIMIT_MODEL] = to->limit ? to->limit->set : NULL};
    struct limit_list *list = to->limit ? take(m, limit_list_bytes(set)) : NULL;
    if (list) limit_list_make(m->world->cells, level, list);
    to->limits = list;
    return list || !to->limit;
}

// Of each end user: cells are lent to them as they come.
static bool end_user_limits(struct plan_memory *m)
{
    const struct limit_cfg cfg = config_limits(&m->config->end_users);
    const char *why;
    if (limit_cfg_is_empty(&cfg)) return true;
    struct limit_set *set = take(m, sizeof *set);
    if (!set) return false;
    const enum rw_err err = limit_compile(&cfg, LIMIT_END_USER, set, &why);
    MUST(!err); // the configuration was checked
    m->plan.end_user = set;
    return true;
}

// A model is known by its name: it keeps its count when the configuration changes.
static struct limit_id id_of_model(struct span name)
{
    return (struct limit_id){.lo = map_hash(name, 0) | 1, .hi = map_hash(name, 1)};
}

static bool add_prices(struct plan_memory *m, char *ret_why, uint32_t cap)
{
    if (!prices_load(m->config->prices_file, &m->prices, ret_why, cap)) return false;
    m->plan.prices = m->prices;
    return true;
}

static bool add_price(struct plan_memory *m, struct plan_model *to)
{
    static const struct price nothing = {.chat = true};
    const struct plan_provider *p = &m->plan.providers[to->provider];
    struct price found;
    to->about = price_about(m->prices, p->type, to->upstream_model);
    if (p->kind == PLAN_ECHO) to->price = &nothing;
    if (p->kind == PLAN_ECHO || !price_find(m->prices, p->type, to->upstream_model, &found)) return true;
    struct price *kept = take(m, sizeof *kept);
    if (!kept) return false;
    *kept = found;
    to->price = kept;
    return true;
}

static struct plan_model *add_models(struct plan_memory *m)
{
    const struct config *c = m->config;
    struct plan_model *all = take(m, c->model_count * sizeof *all + 1);
    if (!all) return NULL;
    m->plan.default_model = -1;
    for (uint32_t i = 0; i < c->model_count; i++) {
        const struct config_model *from = &c->models[i];
        const struct config_target *t = &from->targets[0];
        struct plan_model *to = &all[i];
        *to = (struct plan_model){.name = span_str(from->name),
                                  .upstream_model = span_str(t->model),
                                  .provider = t->provider,
                                  .timeouts = timeouts_of(&t->timeouts)};
        to->hash = map_hash(to->name, 0);
        if (!add_price(m, to) ||
            !bind_limits(m, &from->limits, LIMIT_MODEL, id_of_model(to->name),
                         &(struct store_usage_query){.model = to->name}, &to->limit) ||
            !join_model(m, to))
            return NULL;
        to->target_row = metric_target_row(m->world->labels, to->name, m->plan.providers[t->provider].name);
        to->model_row = metric_model_row(m->world->labels, to->name);
        if (map_put(&m->plan.model_by_name, to->name, to, NULL)) return NULL;
        if (c->default_model && strcmp(c->default_model, from->name) == 0) m->plan.default_model = (int32_t)i;
    }
    m->plan.models = all;
    m->plan.model_count = c->model_count;
    return all;
}

// found: by the key that a client sends.
static bool add_key(struct plan_memory *m, struct principal *to, const char *key, bool found)
{
    crypto_hmac(&m->plan.key_hmac, key, strlen(key), to->digest);
    return !found ||
        map_put(&m->plan.principal_by_digest, span_of(to->digest, sizeof to->digest), to, NULL) == RW_OK;
}

// Their numbers in the ledger. False: the store cannot be written.
static bool number_keys(struct plan_memory *m, struct principal *all, uint32_t count)
{
    struct plan_world *w = m->world;
    struct file_key *ids = take(m, (m->config->key_count + 1) * sizeof *ids);
    if (!ids || (w->store && file_keys_number(w->store, w->pepper, m->config, ids))) return false;
    for (uint32_t i = 0; i < count; i++) {
        all[i].planned = true;
        all[i].key_id = ids[i].key;
        all[i].team_id = ids[i].team;
        all[i].tenant_id = ids[i].tenant;
        if (i < m->config->key_count &&
            !bind_limits(m, &m->config->keys[i].limits, LIMIT_KEY, (struct limit_id){.lo = ids[i].key},
                         &(struct store_usage_query){.key = ids[i].key}, &all[i].limit[0]))
            return false;
    }
    return true;
}

// False: no memory.
static bool list_of(struct plan_memory *m, const char *const *texts, uint32_t n, struct principal_list *ret)
{
    struct span *items = take(m, n * sizeof *items + 1);
    if (!items) return false;
    for (uint32_t i = 0; i < n; i++) items[i] = span_str(texts[i]);
    *ret = (struct principal_list){items, n};
    return true;
}

static bool describe_key(struct plan_memory *m, const struct config_key *from, struct principal *to)
{
    struct io_cidr *cidrs = take(m, from->cidr_count * sizeof *cidrs + 1);
    if (!cidrs) return false;
    for (uint32_t i = 0; i < from->cidr_count; i++) cidrs[i] = from->cidrs[i].net;
    *to = (struct principal){.name = span_str(from->name),
                             .team = span_str(from->team),
                             .tenant = SPAN("default"),
                             .cidrs = {cidrs},
                             .cidr_count = {from->cidr_count},
                             .regional = from->region_count > 0,
                             .disabled = from->disabled};
    return list_of(m, from->models, from->model_count, &to->models[0]) &&
        list_of(m, from->providers, from->provider_count, &to->providers[0]) &&
        list_of(m, from->regions, from->region_count, &to->regions[0]);
}

static struct principal *add_keys(struct plan_memory *m, const char *extra_key, char *ret_why, uint32_t cap)
{
    const struct config *c = m->config;
    struct principal *all = take(m, (c->key_count + 1) * sizeof *all);
    if (!all) return NULL;
    m->plan.key_hmac = m->world->key_hmac;
    for (uint32_t i = 0; i < c->key_count; i++) {
        const struct config_key *from = &c->keys[i];
        if (!describe_key(m, from, &all[i])) return NULL;
        if (!add_key(m, &all[i], from->key, !from->certificate)) return NULL;
    }
    m->plan.principal_count = c->key_count;
    if (extra_key) {
        all[c->key_count] =
            (struct principal){.name = SPAN("first"), .team = SPAN("default"), .tenant = SPAN("default")};
        if (!add_key(m, &all[c->key_count], extra_key, true)) return NULL;
        m->plan.principal_count++;
    }
    m->plan.principals = all;
    if (!number_keys(m, all, m->plan.principal_count)) {
        snprintf(ret_why, cap, "the keys of the configuration cannot be written to the store");
        return NULL;
    }
    return all;
}

static bool add_peers(struct plan_memory *m, const struct config_listener *l,
                      const struct plan_tls_served *made)
{
    struct plan_peer *all = take(m, l->tls.identity_count * sizeof *all + 1);
    if (!all) return false;
    for (uint32_t i = 0; i < l->tls.identity_count; i++) {
        const struct config_identity *who = &l->tls.identities[i];
        const struct span id = span_of(&all[i].id, sizeof all[i].id);
        all[i] = (struct plan_peer){.id = plan_tls_peer_id(made, who),
                                    .principal = &m->plan.principals[who->key_index]};
        // The same twice: the first counts.
        if (!map_get(&m->plan.principal_by_peer, id) &&
            map_put(&m->plan.principal_by_peer, id, &all[i], NULL))
            return false;
    }
    return true;
}

static bool add_listeners(struct plan_memory *m, char *ret_why, uint32_t cap)
{
    const struct config *c = m->config;
    struct plan_listener *all = take(m, c->listener_count * sizeof *all);
    if (!all) return false;
    m->plan.listeners = all;
    m->plan.listener_count = c->listener_count;
    plan_tls_refresh(&m->world->tls);
    static const uint32_t accept[] = {[CONFIG_PROXY_OFF] = 0,
                                      [CONFIG_PROXY_V1] = PROXY_ACCEPT_V1,
                                      [CONFIG_PROXY_V2] = PROXY_ACCEPT_V2,
                                      [CONFIG_PROXY_ANY] = PROXY_ACCEPT_ANY};
    for (uint32_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *from = &c->listeners[i];
        struct io_cidr *trusted = take(m, from->trusted_proxy_count * sizeof *trusted + 1);
        if (!trusted) return false;
        for (uint32_t k = 0; k < from->trusted_proxy_count; k++) trusted[k] = from->trusted_proxies[k].net;
        all[i].addr = from->address.addr;
        all[i].entry = (struct h1_entry){.proxy_accept = accept[from->proxy_protocol],
                                         .trusted = trusted,
                                         .trusted_count = from->trusted_proxy_count};
        if (!from->tls.first.certificate) continue;
        struct plan_tls_served *made = &m->world->tls_served[i];
        if (!plan_tls_server(&m->world->tls, c, i, made, ret_why, cap)) return false;
        all[i].entry.tls = tls_server_hold(made->server);
        if (!add_peers(m, from, made)) return false;
        all[i].entry.hsts_s = (uint32_t)(from->tls.hsts_ns / CLOCK_SEC);
    }
    return !c->admin_tls.first.certificate ||
        plan_tls_server(&m->world->tls, c, PLAN_TLS_ADMIN, &m->world->tls_admin, ret_why, cap);
}

static bool add_cors(struct plan_memory *m)
{
    const struct config *c = m->config;
    size_t n = sizeof CORS_HEADERS;
    for (uint32_t i = 0; i < c->cors_header_count; i++) n += strlen(c->cors_headers[i]) + 1;
    char *headers = take(m, n);
    struct span *origins = take(m, c->cors_origin_count * sizeof *origins + 1);
    if (!headers || !origins) return false;
    struct fmt f;
    fmt_init(&f, headers, (uint32_t)n);
    fmt_str(&f, CORS_HEADERS);
    for (uint32_t i = 0; i < c->cors_header_count; i++) {
        fmt_char(&f, ',');
        fmt_str(&f, c->cors_headers[i]);
    }
    m->plan.cors_headers = fmt_text(&f);
    for (uint32_t i = 0; i < c->cors_origin_count; i++) {
        origins[i] = span_str(c->cors_origins[i]);
        if (span_eq(origins[i], SPAN("*"))) m->plan.cors_origin = SPAN("*");
    }
    m->plan.cors_origins = origins;
    m->plan.cors_origin_count = c->cors_origin_count;
    return true;
}

// What plan_seal() fills, and what the workers keep with the plan.
static bool add_list(struct plan_memory *m, const char *const *from, uint32_t n, struct principal_list *ret)
{
    struct span *items = take(m, n * sizeof *items + 1);
    if (!items) return false;
    for (uint32_t i = 0; i < n; i++) items[i] = span_str(from[i]);
    *ret = (struct principal_list){.item = items, .count = n};
    return true;
}

static bool add_cache(struct plan_memory *m)
{
    const struct config_cache *from = &m->config->cache;
    if (!from->enabled || !m->world->answers) return true;
    struct plan_cache *to = take(m, sizeof *to);
    if (!to || !add_list(m, from->exclude_models, from->exclude_model_count, &to->models) ||
        !add_list(m, from->exclude_tools, from->exclude_tool_count, &to->tools))
        return false;
    to->ttl_ms = from->ttl_ns / CLOCK_MS;
    to->global = from->scope == CONFIG_CACHE_GLOBAL;
    to->sampled = from->sampled;
    m->plan.cache = to;
    return true;
}

static bool add_seats(struct plan_memory *m)
{
    m->origins = take(m, m->world->origin_count * sizeof *m->origins + 1);
    m->credentials = take(m, m->world->credentials.count * sizeof *m->credentials + 1);
    m->plan.seats = take(m, m->world->workers * sizeof *m->plan.seats);
    return m->origins && m->credentials && m->plan.seats;
}

struct plan *plan_build(struct plan_world *w, struct config *config, const char *extra_key, char *ret_why,
                        uint32_t cap)
{
    snprintf(ret_why, cap, "out of memory"); // unless another reason is given
    if (!w->cells && config_has_limits(config)) {
        snprintf(ret_why, cap, "limits are counted in data_dir, which cannot be used");
        return NULL;
    }
    struct plan_memory *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->world = w;
    m->config = config;
    atomic_store(&m->holders, (int32_t)w->workers);
    atomic_fetch_add(&w->plans, 1);
    struct plan *p = &m->plan;
    p->memory = m;
    p->generation = ++w->generation;
    p->service_name = span_str(config->service_name);
    p->version = SPAN(RW_VERSION);
    p->base_path = span_str(config->base_path);
    p->strip_stage_prefix = config->strip_stage_prefix;
    map_init(&p->principal_by_digest, w->map_seed, KEYS_IN_FILE_MAX + 1);
    map_init(&p->principal_by_peer, w->map_seed, LISTENERS_MAX * TLS_PEERS_MAX);
    map_init(&p->provider_by_name, w->map_seed, PROVIDERS_MAX);
    map_init(&p->model_by_name, w->map_seed, MODELS_MAX);
    uint32_t connections = config->limits.connections;
    if (w->connections_fit && connections > w->connections_fit) connections = w->connections_fit;
    const uint32_t per_worker = (connections + w->workers - 1) / w->workers;
    p->http = (struct h1_cfg){.head_bytes_max = config->limits.head_bytes,
                              .connections_max = per_worker,
                              .head_timeout_ns = config->limits.head_timeout_ns,
                              .idle_timeout_ns = config->limits.idle_timeout_ns};
    p->body_bytes_max = config->limits.body_bytes;
    p->upload_bytes_max = config->limits.upload_bytes;
    p->body_timeout_ns = config->limits.body_timeout_ns;
    p->response_model_requested = config->response_model == CONFIG_MODEL_REQUESTED;
    p->ready_needs_target = config->ready_needs_target;
    p->access_log = config->access != CONFIG_ACCESS_OFF;
    struct plan_model *models = NULL;
    p->budget_status = (uint16_t)config->budget_status;
    p->revoke_cuts = config->on_revoke == CONFIG_REVOKE_CUT;
    p->limits_closed = config->store_error_limits == CONFIG_STORE_CLOSED;
    p->auth_open = config->store_error_auth == CONFIG_STORE_OPEN;
    p->ledger_full_refuses = config->usage.on_ledger_full == CONFIG_LEDGER_REFUSE;
    struct principal *keys = add_keys(m, extra_key, ret_why, cap);
    if (keys &&
        bind_limits(m, &config->global, LIMIT_GLOBAL, (struct limit_id){.lo = 1},
                    &(struct store_usage_query){0}, &p->limit) &&
        end_user_limits(m) && add_prices(m, ret_why, cap) && add_listeners(m, ret_why, cap) && add_cors(m) &&
        add_cache(m) && add_providers(m, ret_why, cap) && (models = add_models(m)) && add_seats(m) &&
        !gateway_plan_ready(p, models, keys, &(struct plan_room){.take = take_more, .ctx = m}))
        return p;
    plan_drop(p);
    return NULL;
}

void plan_seal(struct plan *plan)
{
    struct plan_memory *m = plan->memory;
    const struct plan_world *w = m->world;
    memcpy(m->origins, w->origins, w->origin_count * sizeof *m->origins);
    for (uint32_t i = 0; i < w->origin_count; i++)
        if (m->origins[i].tls) tls_client_hold(m->origins[i].tls);
    for (uint32_t i = 0; i < w->credentials.count; i++)
        m->credentials[i] = credential_hold(w->credentials.source[i].now);
    plan->credentials = m->credentials;
    plan->credential_count = w->credentials.count;
    plan->origins = m->origins;
    plan->origin_count = w->origin_count;
}
