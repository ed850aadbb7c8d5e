// See credentials.h.
#include "control/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/credentials_priv.h"
#include "control/log.h"

#define EARLY_NS (300 * CLOCK_SEC)
#define SOONEST_NS (CLOCK_SEC / 2)
#define AGAIN_NS (1 * CLOCK_SEC) // after a failure, doubled up to
#define AGAIN_NS_MAX (60 * CLOCK_SEC)
#define REFUSED_NS (30 * CLOCK_SEC)

// --- What a provider needs.

struct wanted {
    enum credentials_kind kind;
    const char *set[CREDENTIALS_SETTING_COUNT];
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool has_authorization(const struct config_provider *p)
{
    for (uint32_t i = 0; i < p->header_count; i++)
        if (!strcmp(p->headers[i].name, "authorization")) return true;
    return false;
}

// What AWS's own tools look at where no key is configured. Keys of the environment are as good as configured ones.
static void want_aws(const struct config_provider *p, struct wanted *w)
{
    static const char *const names[CREDENTIALS_SETTING_COUNT] = {
        [CREDENTIALS_ACCESS_KEY_ID] = "AWS_ACCESS_KEY_ID",
        [CREDENTIALS_SECRET_ACCESS_KEY] = "AWS_SECRET_ACCESS_KEY",
        [CREDENTIALS_SESSION_TOKEN] = "AWS_SESSION_TOKEN",
        [CREDENTIALS_FILE] = "AWS_SHARED_CREDENTIALS_FILE",
        [CREDENTIALS_METADATA_HOST] = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        [CREDENTIALS_HOME] = "HOME",
        [CREDENTIALS_PROFILE] = "AWS_PROFILE",
        [CREDENTIALS_CONFIG_FILE] = "AWS_CONFIG_FILE",
        [CREDENTIALS_CONTAINER_PATH] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        [CREDENTIALS_CONTAINER_URI] = "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        [CREDENTIALS_CONTAINER_TOKEN] = "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        [CREDENTIALS_CONTAINER_TOKEN_FILE] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"};
    const char *off = variable("AWS_EC2_METADATA_DISABLED");
    for (size_t i = 0; i < CREDENTIALS_SETTING_COUNT; i++)
        if (names[i]) w->set[i] = variable(names[i]);
    w->kind = w->set[CREDENTIALS_ACCESS_KEY_ID] && w->set[CREDENTIALS_SECRET_ACCESS_KEY]
        ? CREDENTIALS_AWS_KEYS
        : CREDENTIALS_AWS;
    w->set[CREDENTIALS_REGION] = p->region;
    if (!w->set[CREDENTIALS_METADATA_HOST]) w->set[CREDENTIALS_METADATA_HOST] = "http://169.254.169.254";
    if (off && span_ieq(span_str(off), SPAN("true"))) w->set[CREDENTIALS_METADATA_HOST] = NULL;
}

static void want(const struct config_provider *p, struct wanted *w)
{
    *w = (struct wanted){.kind = CREDENTIALS_NONE};
    if (p->api_key || has_authorization(p)) return;
    if (p->type == PROVIDER_BEDROCK && p->access_key_id) {
        w->kind = CREDENTIALS_AWS_KEYS;
        w->set[CREDENTIALS_REGION] = p->region;
        w->set[CREDENTIALS_ACCESS_KEY_ID] = p->access_key_id;
        w->set[CREDENTIALS_SECRET_ACCESS_KEY] = p->secret_access_key;
        w->set[CREDENTIALS_SESSION_TOKEN] = p->session_token;
    }
    if (p->type == PROVIDER_BEDROCK && !p->access_key_id) want_aws(p, w);
    if (p->type == PROVIDER_VERTEX) {
        const char *host = variable("GCE_METADATA_HOST");
        w->kind = CREDENTIALS_GOOGLE;
        w->set[CREDENTIALS_FILE] =
            p->credentials ? p->credentials : variable("GOOGLE_APPLICATION_CREDENTIALS");
        if (!w->set[CREDENTIALS_FILE]) w->set[CREDENTIALS_METADATA_HOST] = host ? host : "169.254.169.254";
    }
}

// What makes a source another one. The texts are hashed with their ends, so that none runs into the next.
static void digest_of(const struct wanted *w, uint8_t ret[CRYPTO_SHA256_BYTES])
{
    struct crypto_sha256 hash;
    crypto_sha256_init(&hash);
    crypto_sha256_update(&hash, &w->kind, sizeof w->kind);
    for (size_t i = 0; i < CREDENTIALS_SETTING_COUNT; i++) {
        const char *text = w->set[i] ? w->set[i] : "\n";
        crypto_sha256_update(&hash, text, strlen(text) + 1);
    }
    crypto_sha256_final(&hash, ret);
}

// --- Renewing.

static struct credential *fixed(const struct credentials_job *j)
{
    const struct sigv4_credentials aws = {
        .access_key = span_str(credentials_set(j, CREDENTIALS_ACCESS_KEY_ID)),
        .secret_key = span_str(credentials_set(j, CREDENTIALS_SECRET_ACCESS_KEY)),
        .session_token = span_str(credentials_set(j, CREDENTIALS_SESSION_TOKEN))};
    return credential_sigv4(&aws, span_str(credentials_set(j, CREDENTIALS_REGION)), SPAN("bedrock"), 0);
}

static void renewed(struct credentials_source *s, struct credential *c)
{
    struct credentials *all = s->all;
    const int64_t left_ns = c->expires_s * CLOCK_SEC - all->loop->wall_ns;
    const int64_t early_ns = left_ns / 3 < EARLY_NS ? left_ns / 3 : EARLY_NS;
    const int64_t in_ns = left_ns - early_ns > SOONEST_NS ? left_ns - early_ns : SOONEST_NS;
    credential_drop(s->now);
    s->now = c;
    if (s->failed) log_msg(LOG_INFO, "the credentials of providers.%s were renewed", s->name);
    s->failed = 0;
    if (all->changed) all->changed(all->ctx, (uint32_t)(s - all->source), c);
    if (c->expires_s) io_timer_arm(&all->loop->timers, &s->due, all->loop->now_ns + in_ns);
}

static void not_renewed(struct credentials_source *s, const char *why)
{
    struct credentials *all = s->all;
    const int64_t left_s = s->now ? s->now->expires_s - all->loop->wall_ns / CLOCK_SEC : 0;
    const uint32_t doublings = s->failed < 6 ? s->failed : 6;
    const int64_t pause_ns = AGAIN_NS << doublings;
    s->failed++;
    s->failures++;
    if (left_s > 0)
        log_msg(LOG_WARNING,
                "the credentials of providers.%s cannot be renewed: %s. They last for %lld s more.", s->name,
                why, (long long)left_s);
    else
        log_msg(LOG_ERROR, "providers.%s has no credentials, and every request to it fails: %s", s->name,
                why);
    io_timer_arm(&all->loop->timers, &s->due,
                 all->loop->now_ns + (pause_ns < AGAIN_NS_MAX ? pause_ns : AGAIN_NS_MAX));
}

static int renew(void *arg)
{
    struct credentials_source *s = arg;
    struct credentials_job *j = calloc(1, sizeof *j);
    struct credential *c = NULL;
    if (j) {
        j->source = s;
        snprintf(j->why, sizeof j->why, "out of memory");
        switch (s->kind) {
        case CREDENTIALS_GOOGLE: c = credentials_google(j); break;
        case CREDENTIALS_AWS: c = credentials_aws(j); break;
        case CREDENTIALS_AWS_KEYS: c = fixed(j); break;
        case CREDENTIALS_NONE: UNREACHABLE("a source has a kind");
        }
    }
    s->fetching = false;
    if (c) renewed(s, c);
    else if (fiber_cancelled() == END_OK) not_renewed(s, j ? j->why : "out of memory");
    if (j) crypto_wipe(j, sizeof *j);
    free(j);
    return 0;
}

static void begin(struct credentials_source *s)
{
    struct credentials *all = s->all;
    if (s->fetching) return;
    s->fetching = true;
    s->begun_ns = all->loop->now_ns;
    atomic_store_explicit(&s->refused, false, memory_order_relaxed);
    io_timer_cancel(&all->loop->timers, &s->due);
    const enum rw_err err = scope_spawn(&all->scope, renew, s);
    if (!err) return;
    s->fetching = false;
    if (err != (enum rw_err) - ECANCELED) not_renewed(s, "too much is under way");
}

static void due(struct io_timer *t)
{
    begin(LIST_OWNER(t, struct credentials_source, due));
}

// --- Sources.

static void forget(struct credentials_source *s)
{
    for (size_t i = 0; i < CREDENTIALS_SETTING_COUNT; i++) {
        if (s->set[i]) crypto_wipe(s->set[i], strlen(s->set[i]));
        free(s->set[i]);
    }
    free(s->name);
    credential_drop(s->now);
    crypto_wipe(s, sizeof *s);
}

static bool fill(struct credentials_source *s, const struct wanted *w, const char *name)
{
    s->kind = w->kind;
    digest_of(w, s->digest);
    s->name = strdup(name);
    bool good = s->name != NULL;
    for (size_t i = 0; i < CREDENTIALS_SETTING_COUNT; i++)
        if (w->set[i]) good = (s->set[i] = strdup(w->set[i])) && good;
    return good;
}

bool credentials_index(struct credentials *all, const struct config_provider *p, uint32_t *ret_index,
                       char *ret_why, uint32_t cap)
{
    struct wanted w;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    *ret_index = 0;
    want(p, &w);
    if (w.kind == CREDENTIALS_NONE) return true;
    digest_of(&w, digest);
    for (uint32_t i = 0; i < all->count; i++) {
        if (!crypto_equal(all->source[i].digest, digest, sizeof digest)) continue;
        *ret_index = i + 1;
        return true;
    }
    if (all->count == PROVIDERS_MAX) {
        snprintf(ret_why, cap,
                 "more than %d different credentials since the start: restart to forget the old ones.",
                 PROVIDERS_MAX);
        return false;
    }
    struct credentials_source *s = &all->source[all->count];
    *s = (struct credentials_source){.all = all};
    io_timer_init(&s->due, due);
    if (!fill(s, &w, p->name)) {
        forget(s);
        snprintf(ret_why, cap, "out of memory");
        return false;
    }
    *ret_index = ++all->count;
    begin(s);
    return true;
}

bool credentials_ready(const struct credentials *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (!all->source[i].now && !all->source[i].failed) return false;
    return true;
}

void credentials_refused(struct credentials *all, uint32_t index)
{
    atomic_store_explicit(&all->source[index].refused, true, memory_order_relaxed);
}

void credentials_look(struct credentials *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct credentials_source *s = &all->source[i];
        if (s->kind == CREDENTIALS_AWS_KEYS || !atomic_load_explicit(&s->refused, memory_order_relaxed))
            continue;
        if (all->loop->now_ns - s->begun_ns >= REFUSED_NS) begin(s);
    }
}

void credentials_open(struct credentials *all, struct io_loop *loop, struct io_resolver *resolver,
                      struct plan_tls *tls)
{
    *all = (struct credentials){.loop = loop, .resolver = resolver, .tls = tls};
    scope_init(&all->scope, loop);
}

void credentials_close(struct credentials *all)
{
    scope_cancel(&all->scope, END_KILLED);
    for (uint32_t i = 0; i < all->count; i++) io_timer_cancel(&all->loop->timers, &all->source[i].due);
}

bool credentials_closed(const struct credentials *all)
{
    return scope_empty(&all->scope);
}

void credentials_done(struct credentials *all)
{
    for (uint32_t i = 0; i < all->count; i++) forget(&all->source[i]);
    crypto_wipe(all, sizeof *all);
}
