// What is answered from here: health, readiness, models.
#include "base/fmt.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "providers/dialect.h"
#include "wire/url.h"

// One entry of the list is at most this long: two names and the rest.
// First and last name are repeated behind the list: each entry pays for one more.
#define MODEL_ENTRY_BYTES(m, owner) \
    (4 * FMT_JSON_BYTES((m)->name.n) + FMT_JSON_BYTES((owner).n) + (m)->list_members.n + 128)

static enum stage health(struct exchange *x)
{
    const struct plan *plan = x->plan;
    const uint32_t cap = 160 + FMT_JSON_BYTES(plan->service_name.n) + FMT_JSON_BYTES(plan->version.n);
    char *text = arena_alloc(x->call->arena, cap);
    if (!text) return exchange_fail(x, END_OVERLOADED, "memory");
    struct fmt f;
    struct fmt_time clock = {0};
    fmt_init(&f, text, cap);
    fmt_str(&f, "{\"status\":\"healthy\",\"service\":");
    fmt_json_string(&f, plan->service_name);
    fmt_str(&f, ",\"timestamp\":\"");
    fmt_time_iso(&f, &clock, x->worker->loop.wall_ns);
    fmt_str(&f, "\",\"version\":");
    fmt_json_string(&f, plan->version);
    fmt_str(&f, "}");
    return exchange_reply(x, 200, SPAN("application/json"), fmt_text(&f));
}

// A provider that could be reached when it was last tried, or was not tried yet.
static bool any_target(const struct exchange *x)
{
    for (uint32_t i = 0; i < x->plan->provider_count; i++) {
        const struct plan_provider *p = &x->plan->providers[i];
        if (p->kind == PLAN_ECHO || !x->worker->origins[p->origin].failed) return true;
    }
    return false;
}

static enum stage ready(struct exchange *x)
{
    const struct worker *w = x->worker;
    if (w->draining)
        return exchange_reply(x, 503, SPAN("application/json"), SPAN("{\"status\":\"draining\"}"));
    if (!w->ready) return exchange_reply(x, 503, SPAN("application/json"), SPAN("{\"status\":\"starting\"}"));
    if (x->plan->ready_needs_target && !any_target(x))
        return exchange_reply(x, 503, SPAN("application/json"), SPAN("{\"status\":\"no_target\"}"));
    return exchange_reply(x, 200, SPAN("application/json"), SPAN("{\"status\":\"ready\"}"));
}

// Anthropic's SDKs ask the same path, and say so.
static bool asks_anthropic(const struct exchange *x)
{
    return http_has(&x->call->head, HTTP_N_ANTHROPIC_VERSION);
}

// Google's ask their own path, or the same one with Google's key header.
static bool asks_google(const struct exchange *x)
{
    return x->route->dialect == &dialect_gemini || http_has(&x->call->head, HTTP_N_X_GOOG_API_KEY);
}

// The name as the rest of a string that was begun, with its closing quote.
static void string_rest(struct fmt *f, struct span name)
{
    const uint32_t at = f->n;
    fmt_json_string(f, name);
    if (f->overflow) return;
    memmove(f->p + at, f->p + at + 1, f->n - at - 1);
    f->n--;
}

static void entry_google(struct fmt *f, struct span name)
{
    fmt_str(f, "{\"name\":\"models/");
    string_rest(f, name);
    fmt_str(f, ",\"displayName\":");
    fmt_json_string(f, name);
    fmt_str(f, ",\"supportedGenerationMethods\":[\"generateContent\",\"streamGenerateContent\"]}");
}

static void entry(const struct exchange *x, struct fmt *f, const struct plan_model *m)
{
    const struct span name = m->name;
    if (asks_google(x)) {
        entry_google(f, name);
        return;
    }
    if (asks_anthropic(x)) {
        fmt_str(f, "{\"type\":\"model\",\"id\":");
        fmt_json_string(f, name);
        fmt_str(f, ",\"display_name\":");
        fmt_json_string(f, name);
        fmt_str(f, ",\"created_at\":\"1970-01-01T00:00:00Z\"}");
        return;
    }
    fmt_str(f, "{\"id\":");
    fmt_json_string(f, name);
    fmt_str(f, ",\"object\":\"model\",\"created\":0,\"owned_by\":");
    fmt_json_string(f, x->plan->providers[m->provider].name);
    fmt_span(f, m->list_members);
    fmt_str(f, "}");
}

static void id_or_null(struct fmt *f, struct span name)
{
    if (name.p) fmt_json_string(f, name);
    else fmt_str(f, "null");
}

static bool may_use(const struct exchange *x, const struct plan_model *m)
{
    const struct plan_provider *p = &x->plan->providers[m->provider];
    return principal_may_model(x->principal, m->name) &&
        principal_may_provider(x->principal, p->name, p->region);
}

static enum stage models(struct exchange *x)
{
    const struct plan *plan = x->plan;
    uint64_t cap = 128;
    for (uint32_t i = 0; i < plan->model_count; i++)
        cap += MODEL_ENTRY_BYTES(&plan->models[i], plan->providers[plan->models[i].provider].name);
    char *text = cap <= UINT32_MAX ? arena_alloc(x->call->arena, (uint32_t)cap) : NULL;
    if (!text) return exchange_fail(x, END_OVERLOADED, "memory");
    struct fmt f;
    fmt_init(&f, text, (uint32_t)cap);
    fmt_str(&f,
            asks_google(x)          ? "{\"models\":["
                : asks_anthropic(x) ? "{\"data\":["
                                    : "{\"object\":\"list\",\"data\":[");
    bool first = true;
    struct span first_name = {NULL, 0}, last_name = {NULL, 0};
    for (uint32_t i = 0; i < plan->model_count; i++) {
        const struct plan_model *m = &plan->models[i];
        if (!may_use(x, m)) continue;
        if (!first) fmt_str(&f, ",");
        first = false;
        entry(x, &f, m);
        if (!first_name.p) first_name = m->name;
        last_name = m->name;
    }
    fmt_str(&f, "]");
    if (asks_anthropic(x) && !asks_google(x)) {
        fmt_str(&f, ",\"has_more\":false,\"first_id\":");
        id_or_null(&f, first_name);
        fmt_str(&f, ",\"last_id\":");
        id_or_null(&f, last_name);
    }
    fmt_str(&f, "}");
    return exchange_reply(x, 200, SPAN("application/json"), fmt_text(&f));
}

static enum stage model(struct exchange *x)
{
    uint8_t name[ACCESS_PATH_BYTES_MAX];
    struct span decoded;
    const struct plan_model *m = NULL;
    if (url_decode(x->rest, false, name, sizeof name, &decoded) == RW_OK)
        m = map_get(&x->plan->model_by_name, decoded);
    if (!m || !may_use(x, m))
        return exchange_fail_text(
            x, END_NO_MODEL, SPAN("The model '"), x->rest,
            SPAN("' does not exist or this key may not use it. GET /v1/models lists those it may."));
    const uint32_t cap = MODEL_ENTRY_BYTES(m, x->plan->providers[m->provider].name);
    char *text = arena_alloc(x->call->arena, cap);
    if (!text) return exchange_fail(x, END_OVERLOADED, "memory");
    struct fmt f;
    fmt_init(&f, text, cap);
    entry(x, &f, m);
    return exchange_reply(x, 200, SPAN("application/json"), fmt_text(&f));
}

enum stage exchange_inform(struct exchange *x)
{
    switch (x->route->kind) {
    case ROUTE_HEALTH: return health(x);
    case ROUTE_READY: return ready(x);
    case ROUTE_MODELS: return models(x);
    case ROUTE_MODEL: return model(x);
    case ROUTE_USAGE: return inform_usage(x);
    case ROUTE_NONE:
    case ROUTE_PASS_JSON:
    case ROUTE_PASS_BODY: break;
    }
    return STAGE_GO;
}
