// Which provider and which of its models: an alias of the configuration, or provider/model. Nothing here waits.
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "providers/dialect.h"
#include "providers/embed.h"

static enum stage no_model(struct exchange *x, struct span name)
{
    x->param = "model";
    return exchange_fail_text(
        x, END_NO_MODEL, SPAN("The model '"), name,
        SPAN("' does not exist or this key may not use it. GET /v1/models lists those it may."));
}

static bool may_use(const struct exchange *x, const struct plan_provider *p)
{
    return principal_may_provider(x->principal, p->name, p->region);
}

// The name goes into a header of the answer.
static bool fits_a_header(struct span name)
{
    for (uint32_t i = 0; i < name.n; i++)
        if (name.p[i] < ' ' || name.p[i] == 0x7f) return false;
    return true;
}

static enum stage by_model(struct exchange *x)
{
    const struct plan *plan = x->plan;
    struct span name = x->model_named;
    // What older gateways fell back to, as long as the configuration names nothing else.
    if (name.n == 0 && plan->default_model < 0 && x->route->dialect == &dialect_native &&
        map_get(&plan->model_by_name, SPAN("nova-micro")))
        name = SPAN("nova-micro");
    if (name.n == 0) {
        if (plan->default_model < 0) {
            x->param = "model";
            return exchange_fail(x, END_BAD_FIELD,
                                 "The field 'model' is missing: name one of those in GET /v1/models.");
        }
        name = plan->models[plan->default_model].name;
    }
    x->model_asked = name;
    if (!principal_may_model(x->principal, name)) return no_model(x, name);
    const struct plan_model *m = map_get(&plan->model_by_name, name);
    if (m) {
        if (!may_use(x, &plan->providers[m->provider])) return no_model(x, name);
        x->model = m;
        x->provider = &plan->providers[m->provider];
        x->upstream_model = m->upstream_model;
        x->ask.timeouts = &m->timeouts;
        return STAGE_GO;
    }
    const uint32_t slash = span_find(name, '/');
    const struct plan_provider *p =
        slash < name.n ? map_get(&plan->provider_by_name, (struct span){name.p, slash}) : NULL;
    if (!p || slash + 1 == name.n || !may_use(x, p)) return no_model(x, name);
    if (!fits_a_header(name)) {
        x->param = "model";
        return exchange_fail(x, END_BAD_FIELD, "The field 'model' holds a control character.");
    }
    x->provider = p;
    x->upstream_model = span_from(name, slash + 1);
    x->ask.timeouts = &p->timeouts;
    return STAGE_GO;
}

// A request whose body is not read names its provider in a header, or there is only one it can mean.
static enum stage by_provider(struct exchange *x)
{
    const struct plan *plan = x->plan;
    const struct span named = http_value(&x->call->head, HTTP_N_X_RINGWAY_PROVIDER);
    const struct plan_provider *p = NULL;
    if (named.n) {
        p = map_get(&plan->provider_by_name, named);
        if (!p)
            return exchange_fail_text(x, END_BAD_FIELD, SPAN("The header x-ringway-provider names '"), named,
                                      SPAN("', which is not a provider here."));
    } else if (plan->default_provider >= 0) {
        p = &plan->providers[plan->default_provider];
    } else {
        uint32_t found = 0;
        for (uint32_t i = 0; i < plan->provider_count; i++) {
            if (plan->providers[i].kind != PLAN_HTTP) continue;
            p = &plan->providers[i];
            found++;
        }
        if (found != 1) p = NULL;
    }
    if (!p || p->kind != PLAN_HTTP)
        return exchange_fail(x, END_BAD_FIELD,
                             "This request names no model, and there is not exactly one provider it can go "
                             "to: say which in the header "
                             "x-ringway-provider.");
    if (!may_use(x, p)) return exchange_fail(x, END_NOT_ALLOWED, "This API key may not use that provider.");
    x->provider = p;
    x->ask.timeouts = &p->timeouts;
    return STAGE_GO;
}

static bool speaks(const struct plan_provider *p, const struct route *r)
{
    // A body that is not read names no model for the path.
    if (p->model_in_path && r->kind == ROUTE_PASS_BODY) return false;
    if (p->chat_only && !r->chat) return false;
    return p->dialect == r->dialect || (p->responses && r->dialect == &dialect_responses);
}

// As the gateways before this one had it, whose clients know the text.
static enum stage no_titan_stream(struct exchange *x)
{
    return exchange_fail_text(x, END_BAD_FIELD, SPAN("Streaming not supported for model: "), x->model_asked,
                              SPAN(""));
}

enum stage exchange_route(struct exchange *x)
{
    const enum stage s = x->route->kind == ROUTE_PASS_JSON ? by_model(x) : by_provider(x);
    if (RW_UNLIKELY(s == STAGE_GO && x->route->dialect == &dialect_native) && x->stream &&
        (dialect_is_titan(x->upstream_model) || dialect_is_titan(x->model_asked)))
        return no_titan_stream(x);
    if (RW_UNLIKELY(s == STAGE_GO && x->provider->claude && span_starts(x->upstream_model, SPAN("claude"))))
        x->provider = x->provider->claude;
    if (s != STAGE_GO || (speaks(x->provider, x->route) && !x->json_array)) return s;
    if (!x->route->chat &&
        !(route_embeds(x->route) && embed_api_find(x->provider->dialect, x->upstream_model)))
        return exchange_fail_text(x, END_BAD_FIELD, SPAN("The provider '"), x->provider->name,
                                  SPAN("' speaks another API, which has no counterpart of this route."));
    x->translated = true;
    return s;
}
