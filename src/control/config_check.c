// What no single value of the configuration shows: what a provider needs by its type, which time limit holds
// where, what is there when a file names nothing.
#include <unistd.h>

#include "control/config_priv.h"
#include "policy/limit_account.h"
#include "wire/url.h"

static const char built_in[] = "built in, as no provider is named";

// --- Providers.

static void fill_in_url(struct config_loader *l, const struct config_node *at, struct config_provider *p)
{
    static const struct config_option url = {.key = "base_url", .kind = CONFIG_K_URL};
    const struct provider_settings settings = {
        .region = p->region, .project = p->project, .location = p->location};
    const char *usual = provider_base_url(p->type, &settings), *missing = "base_url";
    char filled[320];
    if (!usual || provider_fill(usual, &settings, filled, sizeof filled, &missing)) {
        config_complain(l, at, "\"%s\" is missing", missing);
        return;
    }
    const char *text = config_copy(l->memory, filled, strlen(filled));
    if (!text) return;
    const struct config_node node = {
        .kind = CONFIG_SCALAR, .raw = text, .text = text, .text_n = (uint32_t)strlen(text)};
    if (!config_value_set(l, &url, CONFIG_K_URL, &node, &p->base_url)) return;
    const uint32_t mark = config_path_push(l, "base_url");
    struct config_setting *setting = config_setting_find(l->config, l->path);
    if (setting) setting->value = text, setting->from = "default of its type";
    config_path_pop(l, mark);
}

// What is set but meant for another type.
static void check_settings(struct config_loader *l, const struct config_node *at,
                           const struct config_provider *p)
{
    const char *aws = p->session_token ? "session_token" : NULL;
    if (p->secret_access_key) aws = "secret_access_key";
    if (p->access_key_id) aws = "access_key_id";
    if (aws && p->type != PROVIDER_BEDROCK) config_complain(l, at, "%s is for type bedrock", aws);
    const char *google = p->project ? "project" : NULL;
    if (p->location) google = "location";
    if (p->credentials) google = "credentials";
    if (google && p->type != PROVIDER_VERTEX) config_complain(l, at, "%s is for type vertex", google);
    if (p->api_version && p->type != PROVIDER_AZURE) config_complain(l, at, "api_version is for type azure");
}

// What the environment of a provider's tools says where the file does not.
static void inherit_settings(struct config_loader *l, struct config_provider *p)
{
    const struct {
        enum provider_type type;
        const char **slot, *variable;
    } all[] = {{PROVIDER_VERTEX, &p->project, "GOOGLE_PROJECT_ID"},
               {PROVIDER_VERTEX, &p->location, "GOOGLE_LOCATION"},
               {PROVIDER_BEDROCK, &p->region, "AWS_REGION"},
               {PROVIDER_BEDROCK, &p->region, "AWS_DEFAULT_REGION"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (p->type != all[i].type || *all[i].slot) continue;
        const char *value = l->env->get(l->env->ctx, all[i].variable);
        if (value && config_name_ok(value)) *all[i].slot = config_copy(l->memory, value, strlen(value));
    }
}

static void check_google(struct config_loader *l, const struct config_node *at,
                         const struct config_provider *p)
{
    if (!p->project) config_complain(l, at, "\"project\" is missing, and $GOOGLE_PROJECT_ID is not set");
    if (!p->location && p->base_url.text)
        config_complain(l, at, "\"location\" is missing, and $GOOGLE_LOCATION is not set");
    if (p->credentials && p->api_key)
        config_complain(l, at, "api_key and credentials contradict each other: leave one");
}

static void check_aws(struct config_loader *l, const struct config_node *at, const struct config_provider *p)
{
    if (!p->access_key_id != !p->secret_access_key)
        config_complain(l, at, "access_key_id and secret_access_key belong together: \"%s\" is missing",
                        p->secret_access_key ? "access_key_id" : "secret_access_key");
    if (p->session_token && !p->access_key_id)
        config_complain(l, at, "session_token is for an access_key_id, which is missing");
    if (p->access_key_id && p->api_key)
        config_complain(l, at, "api_key and access_key_id contradict each other: leave one");
    bool unsigned_requests = p->api_key != NULL;
    for (uint32_t i = 0; i < p->header_count; i++) {
        if (strcmp(p->headers[i].name, "authorization") != 0) continue;
        unsigned_requests = true;
        if (p->access_key_id)
            config_complain(l, at,
                            "access_key_id and a header \"authorization\" contradict each other: leave one");
    }
    if ((!unsigned_requests || p->access_key_id) && p->base_url.text && !p->region)
        config_complain(l, at,
                        "\"region\" is missing, and $AWS_REGION is not set: it is part of what is signed");
}

// A base_url that repeats what the paths of the API say would be asked for it twice.
static void check_path(struct config_loader *l, const struct config_node *at, const struct config_provider *p)
{
    const struct span path = span_str(p->base_url.path);
    const bool origin = provider_rows[p->type].flags & PROVIDER_ORIGIN;
    if (!path.n && !origin)
        config_warn(l, at, "%s: base_url has no path; OpenAI's dialect usually lives under /v1", l->path);
    if (p->type == PROVIDER_AZURE &&
        (span_ends(path, SPAN("/openai/v1")) || span_ends(path, SPAN("/openai"))))
        config_complain(l, at, "base_url: leave \"/openai\" out; azure's paths begin with it");
}

// Echo takes nothing of what it has no use for: a key that is set there was meant for another provider.
static void check_echo(struct config_loader *l, const struct config_node *at, const struct config_provider *p)
{
    const char *what = NULL;
    if (p->client_key) what = "client_key";
    if (p->client_certificate) what = "client_certificate";
    if (p->ca_file) what = "ca_file";
    if (p->bind_address.addr.n) what = "bind_address";
    if (p->connect_to.addr.n) what = "connect_to";
    if (p->proxy.host) what = "proxy";
    if (p->header_count) what = "headers";
    if (p->api_key) what = "api_key";
    if (p->base_url.text) what = "base_url";
    if (what) config_complain(l, at, "type echo has no %s: it needs no network", what);
}

void config_listen_tls_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    const struct config_listener_tls *t = base;
    if (!t->first.certificate != !t->first.key)
        config_complain(l, at, "certificate and key belong together: \"%s\" is missing",
                        t->first.key ? "certificate" : "key");
    // A section without one would be taken for TLS, and speak plain HTTP.
    else if (!t->first.key && at) config_complain(l, at, "\"certificate\" is missing");
    else if (t->identity_count > 0 && !t->client_ca)
        config_complain(l, at, "identities need a client_ca that signed their certificates");
}

void config_admin_tls_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    const struct config_listener_tls *t = base;
    config_listen_tls_finish(l, at, base);
    if (t->first.key && !l->config->admin_address.addr.n)
        config_complain(l, at, "it is for admin.address, which is off: give one, or take this out");
}

static void check_tls(struct config_loader *l, const struct config_node *at, const struct config_provider *p)
{
    if (!p->client_certificate != !p->client_key)
        config_complain(l, at, "client_certificate and client_key belong together: \"%s\" is missing",
                        p->client_key ? "client_certificate" : "client_key");
    if (p->client_passphrase_file && !p->client_key)
        config_complain(l, at, "client_passphrase_file is for a client_key, which is missing");
    const char *what = p->client_key ? "client_key" : NULL;
    if (p->client_certificate) what = "client_certificate";
    if (p->ca_file) what = "ca_file";
    if (what && !p->base_url.tls) config_complain(l, at, "%s is for an https:// base_url", what);
    if (p->base_url.tls && strlen(p->base_url.host) > TLS_HOST_BYTES_MAX)
        config_complain(l, at, "base_url: a host name has at most %d characters", TLS_HOST_BYTES_MAX);
}

void config_provider_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    struct config_provider *p = base;
    check_settings(l, at, p);
    if (p->type == PROVIDER_ECHO) {
        check_echo(l, at, p);
        return;
    }
    inherit_settings(l, p);
    if (!p->base_url.text) fill_in_url(l, at, p);
    if (!p->base_url.text) return;
    check_path(l, at, p);
    if (p->type == PROVIDER_BEDROCK) check_aws(l, at, p);
    if (p->type == PROVIDER_VERTEX) check_google(l, at, p);
    check_tls(l, at, p);
    if (p->connect_to.addr.n && p->proxy.host)
        config_complain(l, at, "connect_to and proxy contradict each other: leave one");
    for (uint32_t i = 0; i < p->header_count; i++)
        if (p->api_key && !strcmp(p->headers[i].name, "authorization"))
            config_complain(l, at, "api_key and a header \"authorization\" contradict each other: leave one");
    if (p->connect_to.addr.n && io_addr_port(&p->connect_to.addr) == 0) {
        struct io_addr *a = &p->connect_to.addr;
        if (a->sa.sa_family == AF_INET) a->in4.sin_port = htons(p->base_url.port);
        if (a->sa.sa_family == AF_INET6) a->in6.sin6_port = htons(p->base_url.port);
    }
}

static void record_builtin(struct config_loader *l, const char *key, const char *value)
{
    static const struct config_option text = {.key = "", .kind = CONFIG_K_TEXT};
    const struct config_node node = {.kind = CONFIG_SCALAR, .from = built_in};
    const uint32_t mark = config_path_push(l, key);
    config_record(l, &text, &node, value);
    config_path_pop(l, mark);
}

void config_after_providers(struct config_loader *l)
{
    struct config *c = l->config;
    if (c->provider_count) return;
    struct config_provider *echo = config_take(l->memory, sizeof *echo);
    if (!echo) return;
    echo->name = "echo";
    echo->type = PROVIDER_ECHO;
    echo->timeouts = (struct config_timeouts){-1, -1, -1, -1, -1, -1};
    c->providers = echo;
    c->provider_count = 1;
    l->builtin_echo = true;
    record_builtin(l, "echo.type", "echo");
}

// --- Models.

void config_model_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    struct config_model *m = base;
    (void)at;
    (void)l;
    for (uint32_t i = 0; i < m->target_count; i++) {
        struct config_target *t = (struct config_target *)&m->targets[i];
        t->timeouts = m->timeouts; // the rest is inherited when all is read
    }
}

const struct config_rates config_no_limits = {
    .rpm = -1, .tpm = -1, .concurrency = -1, .usd_per_request = -1, .usd_per_day = -1, .usd_per_month = -1};

void config_after_models(struct config_loader *l)
{
    struct config *c = l->config;
    if (!l->builtin_echo || config_find_model(c, "echo") >= 0) return;
    struct config_model *models = config_take(l->memory, (c->model_count + 1) * sizeof *models);
    struct config_target *target = config_take(l->memory, sizeof *target);
    if (!models || !target) return;
    if (c->model_count) memcpy(models, c->models, c->model_count * sizeof *models);
    target->provider = 0;
    target->model = "echo";
    target->timeouts = (struct config_timeouts){-1, -1, -1, -1, -1, -1};
    models[c->model_count] = (struct config_model){.name = "echo",
                                                   .targets = target,
                                                   .target_count = 1,
                                                   .timeouts = target->timeouts,
                                                   .limits = config_no_limits};
    c->models = models;
    c->model_count++;
    const uint32_t mark = config_path_push_index(l, c->model_count - 1);
    record_builtin(l, "name", "echo");
    record_builtin(l, "targets[0].provider", "echo");
    record_builtin(l, "targets[0].model", "echo");
    config_path_pop(l, mark);
}

// --- Keys.

struct limit_cfg config_limits(const struct config_rates *r)
{
    struct limit_cfg c = limit_cfg_none();
    c.rpm = r->rpm;
    c.tpm = r->tpm;
    c.concurrency = r->concurrency;
    c.usd_per_request = r->usd_per_request;
    c.usd_per_day = r->usd_per_day;
    c.usd_per_month = r->usd_per_month;
    c.hard = r->hard;
    c.shadow = r->shadow;
    c.fixed_window = r->mode == 1;
    for (uint32_t i = 0; i < r->rate_count; i++) {
        const struct config_rate *from = &r->rates[i];
        const bool tokens = from->tokens >= 0;
        c.rate[c.rate_count++] = (struct limit_rate){.window = (enum limit_window)from->window,
                                                     .tokens = tokens,
                                                     .limit = tokens ? from->tokens : from->requests,
                                                     .burst = from->burst > 0 ? from->burst : 0};
    }
    return c;
}

void config_limits_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    const struct config_rates *r = base;
    for (uint32_t i = 0; i < r->rate_count; i++) {
        if ((r->rates[i].requests >= 0) != (r->rates[i].tokens >= 0)) continue;
        config_complain(l, at, "each of rates needs either requests or tokens");
        return;
    }
    const struct limit_cfg c = config_limits(r);
    struct limit_set set;
    const char *why = "";
    if (!limit_cfg_is_empty(&c) && limit_compile(&c, LIMIT_KEY, &set, &why))
        config_complain(l, at, "%s", why);
}

void config_key_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    const struct config_key *k = base;
    for (uint32_t i = 0; i < k->provider_count; i++)
        if (config_find_provider(l->config, k->providers[i]) < 0)
            config_complain(l, at, "there is no provider \"%s\"", k->providers[i]);
    if (k->key && k->name && strlen(k->key) < 20)
        config_warn(l, at, "the key \"%s\" is shorter than 20 characters: short ones can be guessed",
                    k->name);
}

// --- All of it.

static void inherit(struct config_timeouts *t, const struct config_timeouts *from)
{
    if (t->connect_ns < 0) t->connect_ns = from->connect_ns;
    if (t->tls_ns < 0) t->tls_ns = from->tls_ns;
    if (t->first_byte_ns < 0) t->first_byte_ns = from->first_byte_ns;
    if (t->first_token_ns < 0) t->first_token_ns = from->first_token_ns;
    if (t->idle_ns < 0) t->idle_ns = from->idle_ns;
    if (t->total_ns < 0) t->total_ns = from->total_ns;
}

static void inherit_all(struct config *c)
{
    for (uint32_t i = 0; i < c->provider_count; i++)
        inherit((struct config_timeouts *)&c->providers[i].timeouts, &c->timeouts);
    for (uint32_t i = 0; i < c->model_count; i++) {
        for (uint32_t k = 0; k < c->models[i].target_count; k++) {
            struct config_target *t = (struct config_target *)&c->models[i].targets[k];
            inherit(&t->timeouts, &c->providers[t->provider].timeouts);
        }
    }
}

// Where a setting stands in the file; line 0 if it does not.
static struct config_node place(const struct config_loader *l, const char *format, uint32_t index)
{
    char path[64];
    struct config_node node = {.kind = CONFIG_SCALAR};
    snprintf(path, sizeof path, format, index);
    const struct config_setting *setting = config_setting_find(l->config, path);
    if (setting) node.line = setting->line, node.column = setting->column;
    return node;
}

// Two ways to write one address; the same text twice was seen before.
static void check_listeners(struct config_loader *l)
{
    const struct config *c = l->config;
    for (uint32_t i = 0; i < c->listener_count; i++) {
        const struct io_addr *a = &c->listeners[i].address.addr;
        if (a->sa.sa_family != AF_UNIX && io_addr_port(a) == 0) continue; // any free port
        const struct config_node at = place(l, "listen[%u].address", i);
        if (io_addr_eq(a, &c->metrics_address.addr))
            config_complain(l, &at, "listen[%u].address is that of metrics.address", i);
        for (uint32_t k = 0; k < i; k++)
            if (io_addr_eq(a, &c->listeners[k].address.addr))
                config_complain(l, &at, "listen[%u].address is that of listen[%u].address", i, k);
    }
}

static const char *variable(const struct config_loader *l, const char *name)
{
    const char *value = l->env->get(l->env->ctx, name);
    return value && *value == '/' ? value : NULL;
}

// Where a kind of file belongs: systemd says so (StateDirectory= and the like), root has the system's folders, a user his own.
struct place {
    const char *systemd; // variable
    const char *root;
    const char *user; // variable
    const char *below_home; // where the user's is if that is not set; NULL: nowhere
};

static const char *path_in(struct config_loader *l, const struct place *p, const char *user_folder,
                           const char *name)
{
    char text[512];
    const char *value = variable(l, p->systemd);
    if (value) snprintf(text, sizeof text, "%.300s%s", value, name);
    else if (geteuid() == 0) snprintf(text, sizeof text, "%s%s", p->root, name);
    else if ((value = variable(l, p->user)))
        snprintf(text, sizeof text, "%.300s%s%s", value, user_folder, name);
    else if (p->below_home && (value = variable(l, "HOME")))
        snprintf(text, sizeof text, "%.300s%s%s%s", value, p->below_home, user_folder, name);
    else return NULL;
    return config_copy(l->memory, text, strlen(text));
}

static void default_paths(struct config_loader *l)
{
    static const struct place state = {"STATE_DIRECTORY", "/var/lib/ringway", "XDG_STATE_HOME",
                                       "/.local/state"};
    static const struct place own = {"CONFIGURATION_DIRECTORY", "/etc/ringway", "XDG_CONFIG_HOME",
                                     "/.config"};
    static const struct place run = {"RUNTIME_DIRECTORY", "/run/ringway", "XDG_RUNTIME_DIR", NULL};
    struct config *c = l->config;
    c->data_dir_given = c->data_dir != NULL;
    if (!c->data_dir) c->data_dir = path_in(l, &state, "/ringway", "");
    // A user without a home has nowhere to keep anything.
    if (!c->data_dir || strcmp(c->data_dir, "off") == 0) c->data_dir = "";
    if (!c->pepper_file) c->pepper_file = path_in(l, &own, "/ringway", "/pepper");
    if (!c->pepper_file) c->pepper_file = "/etc/ringway/pepper";
    if (!c->admin_socket) c->admin_socket = path_in(l, &run, "/ringway", "/admin.sock");
    if (c->admin_socket) return;
    char text[512];
    snprintf(text, sizeof text, "%.300s/admin.sock", *c->data_dir ? c->data_dir : "/run/ringway");
    c->admin_socket = config_copy(l->memory, text, strlen(text));
}

static bool limits_something(const struct config_rates *r)
{
    const struct limit_cfg c = config_limits(r);
    return !limit_cfg_is_empty(&c);
}

bool config_has_limits(const struct config *c)
{
    bool any = limits_something(&c->global) || limits_something(&c->end_users);
    for (uint32_t i = 0; i < c->model_count; i++) any = any || limits_something(&c->models[i].limits);
    for (uint32_t i = 0; i < c->key_count; i++) any = any || limits_something(&c->keys[i].limits);
    return any;
}

static void check_limits(struct config_loader *l, const struct config_node *at)
{
    if (!*l->config->data_dir && config_has_limits(l->config))
        config_complain(l, at, "limits are counted in data_dir, which is off");
    if (!*l->config->data_dir && l->config->cache.enabled)
        config_complain(l, at, "the cache (cache.enabled) is kept in data_dir, which is off: set data_dir");
}

void config_top_finish(struct config_loader *l, const struct config_node *at, void *base)
{
    (void)base;
    check_listeners(l);
    inherit_all(l->config);
    config_proxies(l, at);
    config_identities(l, at);
    default_paths(l);
    check_limits(l, at);
    if (l->builtin_echo && !l->config->default_model) {
        struct config_setting *setting = config_setting_find(l->config, "default_model");
        l->config->default_model = "echo";
        if (setting) setting->value = "echo", setting->from = built_in;
    }
}
