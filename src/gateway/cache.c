// The stage: what the client and the configuration allow, then the flights of this worker, then the cache, else a flight of the
// exchange's own. See cache.h.
#include "gateway/cache.h"

#include "gateway/account.h"
#include "gateway/flight.h"
#include "gateway/worker.h"
#include "providers/dialect.h"

// What the client says of the cache.
struct wish {
    bool read, keep;
    int64_t age_ms_max; // of a hit; -1: any
};

// One directive of cache-control: "no-cache", "max-age=60".
static void directive(struct wish *w, struct span d)
{
    static const struct span age = SPAN_INIT("max-age=");
    uint64_t seconds;
    if (span_ieq(d, SPAN("no-cache"))) w->read = false;
    if (span_ieq(d, SPAN("no-store"))) w->read = w->keep = false;
    if (d.n > age.n && span_ieq((struct span){d.p, age.n}, age) && span_u64(span_from(d, age.n), &seconds))
        w->age_ms_max = seconds < UINT32_MAX ? (int64_t)seconds * 1000 : -1;
}

static enum stage wish_of(struct exchange *x, struct wish *ret)
{
    const struct http_head *head = &x->call->head;
    *ret = (struct wish){.read = true, .keep = true, .age_ms_max = -1};
    if (http_has(head, HTTP_N_CACHE_CONTROL)) {
        struct span rest = http_value(head, HTTP_N_CACHE_CONTROL);
        while (rest.n) {
            const uint32_t comma = span_find(rest, ',');
            directive(ret, span_trim((struct span){rest.p, comma}));
            rest = comma < rest.n ? span_from(rest, comma + 1) : (struct span){NULL, 0};
        }
    }
    if (!http_has(head, HTTP_N_X_RINGWAY_CACHE)) return STAGE_GO;
    const struct span word = http_value(head, HTTP_N_X_RINGWAY_CACHE);
    if (span_ieq(word, SPAN("bypass"))) ret->read = ret->keep = false;
    else if (span_ieq(word, SPAN("refresh"))) ret->read = false;
    else if (!span_ieq(word, SPAN("use")))
        return exchange_fail(x, END_BAD_FIELD, "The header x-ringway-cache must be use, bypass or refresh.");
    return STAGE_GO;
}

// --- What the configuration leaves out.

// The tools of a request, wherever its dialect has them.
static bool uses_tool(const struct exchange *x, struct span name)
{
    struct span tools;
    if (!json_member(x->body, SPAN("tools"), &tools) && !json_member(x->body, SPAN("toolConfig"), &tools))
        return false;
    if (span_eq(name, SPAN("*"))) return tools.n > 2;
    for (struct span s = tools; s.n > name.n + 1;) {
        const uint8_t *at = memmem(s.p, s.n, name.p, name.n);
        if (!at) return false;
        if (at > s.p && at[-1] == '"' && at + name.n < s.p + s.n && at[name.n] == '"') return true;
        s = span_from(s, (uint32_t)(at - s.p) + 1);
    }
    return false;
}

// Without a temperature the provider's own is meant, which is above 0.
static bool is_sampled(const struct exchange *x)
{
    static const struct span config[] = {SPAN_INIT("generationConfig"), SPAN_INIT("inferenceConfig")};
    struct span at = x->body, value;
    for (size_t i = 0; i < 2; i++)
        if (json_member(x->body, config[i], &value)) at = value;
    if (!json_member(at, SPAN("temperature"), &value) && !json_member(x->body, SPAN("temperature"), &value))
        return true;
    // Zero, however it is written.
    for (uint32_t i = 0; i < value.n; i++) {
        if (value.p[i] == 'e' || value.p[i] == 'E') break;
        if (value.p[i] != '0' && value.p[i] != '.' && value.p[i] != '-') return true;
    }
    return false;
}

// Answers that belong to something the provider keeps are never the same.
static bool has_state(const struct exchange *x)
{
    static const struct span members[] = {SPAN_INIT("previous_response_id"), SPAN_INIT("conversation"),
                                          SPAN_INIT("background")};
    struct span value;
    for (size_t i = 0; i < sizeof members / sizeof *members && x->route->dialect == &dialect_responses; i++)
        if (json_member(x->body, members[i], &value)) return true;
    return false;
}

static bool left_out(const struct exchange *x)
{
    const struct plan_cache *cfg = x->plan->cache;
    for (uint32_t i = 0; i < cfg->models.count; i++)
        if (span_eq(cfg->models.item[i], x->model_asked)) return true;
    for (uint32_t i = 0; i < cfg->tools.count; i++)
        if (uses_tool(x, cfg->tools.item[i])) return true;
    return (!cfg->sampled && is_sampled(x)) || has_state(x);
}

// --- Looking.

static struct io_buf *read_entry(struct exchange *x, const struct flight *f, const struct wish *w,
                                 struct store_cache_entry *ret)
{
    struct store_answers *c = x->worker->cfg.answers;
    struct store_cache_place place;
    const int64_t now_ms = x->worker->loop.wall_ns / CLOCK_MS;
    if (!store_cache_find(c, flight_hash(f), &place)) return NULL;
    struct io_buf *b = io_buf_region(x->call->loop, place.bytes);
    if (!b) return NULL;
    const bool good = store_cache_read(c, &place, flight_hash(f), flight_text(f), now_ms, b->data, ret) &&
        ret->meta.n == sizeof(struct cache_meta) && now_ms - ret->made_ms < x->plan->cache->ttl_ms &&
        (w->age_ms_max < 0 || now_ms - ret->made_ms <= w->age_ms_max);
    if (good) return b;
    io_buf_free(x->call->loop, b);
    return NULL;
}

static enum stage from_store(struct exchange *x, const struct flight *f, const struct wish *w)
{
    struct store_cache_entry e;
    struct cache_meta meta;
    struct io_buf *b = read_entry(x, f, w, &e);
    if (!b) return STAGE_GO;
    memcpy(&meta, e.meta.p, sizeof meta);
    enum stage s = STAGE_GO;
    if (meta.version == CACHE_META_VERSION && meta.content_type_n <= CACHE_TYPE_BYTES_MAX)
        s = cache_replay(x, &meta, e.body);
    io_buf_free(x->call->loop, b);
    return s;
}

enum stage exchange_cache(struct exchange *x)
{
    if (RW_LIKELY(!x->plan->cache) || x->route->kind != ROUTE_PASS_JSON) return STAGE_GO;
    // What is to be made once is kept elsewhere.
    if (x->claim) {
        x->cache = STORE_CACHE_BYPASS;
        return STAGE_GO;
    }
    struct wish w;
    const enum stage said = wish_of(x, &w);
    if (said != STAGE_GO) return said;
    x->cache = STORE_CACHE_BYPASS;
    if (!w.keep || left_out(x)) return STAGE_GO;
    struct flight *f = cache_key(x);
    if (!f) return STAGE_GO;
    x->cache = STORE_CACHE_MISS;
    flight_set_hash(f, store_cache_hash(x->worker->cfg.answers, flight_text(f)));
    enum stage s = STAGE_GO;
    struct flight *other = NULL;
    if (w.read) {
        other = flight_find(x, f);
        s = other ? flight_follow(x, other) : from_store(x, f, &w);
    }
    if (s != STAGE_GO || other) flight_drop(x, f);
    else flight_lead(x, f, w.read);
    return s;
}
