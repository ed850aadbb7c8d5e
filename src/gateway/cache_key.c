// The canonical request: whose it is, where it would go, and its body without what does not change the answer. See cache.h.
#include "gateway/cache.h"
#include "gateway/flight.h"
#include "providers/dialect.h"

#define PIECES_MAX 16
#define CUTS_MAX 4

struct cut {
    uint32_t from, to;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// A member of the body with the comma that parts it from the others. The value is one of the scan's, so its name stands in
// quotes before it, and no quote in it.
static struct cut member_of(struct span body, const struct json_value *v)
{
    uint32_t at = v->off, end = v->off + v->len;
    while (body.p[--at] != '"') {} // the end of the name
    while (body.p[--at] != '"') {}
    while (is_space(body.p[at - 1])) at--;
    if (body.p[at - 1] == ',') return (struct cut){at - 1, end};
    while (end < body.n && is_space(body.p[end])) end++;
    return (struct cut){at, body.p[end] == ',' ? end + 1 : end};
}

// The body in pieces. Returns their number.
static uint32_t body_pieces(const struct exchange *x, struct span *piece)
{
    static const uint8_t fields[CUTS_MAX] = {FIELD_STREAM, FIELD_OPTIONS, FIELD_USER, FIELD_METADATA};
    struct cut cut[CUTS_MAX] = {0};
    uint32_t cuts = 0, n = 0, at = 0;
    for (uint32_t i = 0; i < CUTS_MAX; i++) {
        const struct json_value *v = &x->scan->value[fields[i]];
        if (v->type == JSON_ABSENT) continue;
        const struct cut c = member_of(x->body, v);
        uint32_t to = cuts++;
        for (; to > 0 && cut[to - 1].from > c.from; to--) cut[to] = cut[to - 1];
        cut[to] = c;
    }
    for (uint32_t i = 0; i < cuts; i++) {
        if (cut[i].from > at) piece[n++] = span_of(x->body.p + at, cut[i].from - at);
        if (cut[i].to > at) at = cut[i].to;
    }
    if (at < x->body.n) piece[n++] = span_from(x->body, at);
    return n;
}

uint8_t cache_form(const struct exchange *x)
{
    if (!x->stream) return 0;
    const bool usage = x->usage_asked && x->route->usage_on_request;
    return (uint8_t)(CACHE_STREAM | (x->json_array ? CACHE_ARRAY : 0) | (usage ? CACHE_USAGE : 0));
}

struct flight *cache_key(struct exchange *x)
{
    const struct principal *who = x->principal;
    const struct route *r = x->route;
    const struct http_head *head = &x->call->head;
    const bool global = x->plan->cache->global;
    // Without a decoder the forms of an answer cannot be made of each other.
    const struct {
        uint32_t tenant;
        uint8_t form, renamed, zero[2];
    } fixed = {
        global ? 0 : who->tenant_id, r->chat ? 0 : cache_form(x), x->plan->response_model_requested, {0}};
    struct span piece[PIECES_MAX] = {
        span_of(&fixed, sizeof fixed),
        global || who->tenant_id ? (struct span){NULL, 0} : who->tenant,
        span_str(r->dialect->name),
        r->chat ? (struct span){NULL, 0} : r->upstream,
        x->provider->name,
        x->upstream_model,
        x->model_asked,
        http_value(head, HTTP_N_OPENAI_BETA),
        http_value(head, HTTP_N_ANTHROPIC_BETA),
        http_value(head, HTTP_N_ANTHROPIC_VERSION),
    };
    const uint32_t named = 10, pieces = named + body_pieces(x, piece + named);
    static_assert(10 + CUTS_MAX + 1 <= PIECES_MAX, "all of them fit");
    uint64_t bytes = named;
    for (uint32_t i = 0; i < pieces; i++) {
        if (i < named && piece[i].n > UINT8_MAX) return NULL;
        bytes += piece[i].n;
    }
    uint8_t *p;
    struct flight *f = bytes <= CACHE_KEY_BYTES_MAX ? flight_new(x, (uint32_t)bytes, &p) : NULL;
    if (!f) return NULL;
    for (uint32_t i = 0; i < pieces; i++) {
        if (i < named) *p++ = (uint8_t)piece[i].n;
        if (piece[i].n) memcpy(p, piece[i].p, piece[i].n);
        p += piece[i].n;
    }
    return f;
}
