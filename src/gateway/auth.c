// Who asks. A key comes in any of the headers that the SDKs use, or as ?key=; all that are there must be the same one. Keys are
// looked up by their HMAC under a secret of this plan, unless the worker has just seen the same one.
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "wire/url.h"

static struct span bearer(struct span value)
{
    static const char scheme[] = "bearer ";
    const uint32_t n = sizeof scheme - 1;
    if (value.n < n) return (struct span){NULL, 0};
    if (memcmp(value.p, "Bearer ", n) != 0 && !span_ieq((struct span){value.p, n}, SPAN("bearer ")))
        return (struct span){NULL, 0};
    return span_trim(span_from(value, n));
}

// False: two different ones. *key stays {NULL, 0} if there is none.
static bool add(struct span *key, struct span one)
{
    if (one.n == 0) return true;
    if (key->n == 0) {
        *key = one;
        return true;
    }
    return key->n == one.n && crypto_equal(key->p, one.p, one.n);
}

static bool key_of(const struct http_head *head, struct span *key)
{
    static const enum http_name names[] = {HTTP_N_X_API_KEY, HTTP_N_API_KEY, HTTP_N_X_GOOG_API_KEY};
    struct span query = {NULL, 0};
    bool same = add(key, bearer(http_value(head, HTTP_N_AUTHORIZATION)));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        same = same && !http_is_doubled(head, names[i]) && add(key, http_value(head, names[i]));
    }
    if (head->has_query && url_query_find(http_query(head), SPAN("key"), &query) > 0)
        same = same && add(key, query);
    return same;
}

// Where a key is remembered: by its end, since the beginnings of keys are alike.
static struct worker_key *seen_at(struct worker *w, struct span key)
{
    uint32_t end = 0;
    const uint32_t n = key.n < sizeof end ? key.n : (uint32_t)sizeof end;
    memcpy(&end, key.p + key.n - n, n);
    return &w->keys_seen[(end * UINT32_C(0x9e3779b1)) >> (32 - WORKER_KEYS_SEEN_BITS)];
}

static enum stage look_up(struct exchange *x, const uint8_t digest[CRYPTO_SHA256_BYTES],
                          const struct principal *planned)
{
    const struct principal_plan plan = {x->plan->generation, planned, x->plan->limit};
    struct worker *w = x->worker;
    const enum rw_err err = w->principals
        ? principal_find(w->principals, digest, w->loop.wall_ns / CLOCK_MS, &plan, &x->principal)
        : RW_E_NOT_FOUND;
    if (err == RW_OK) return STAGE_GO;
    if (err == RW_E_NOT_FOUND) {
        x->principal = planned;
        return planned ? STAGE_GO : exchange_fail(x, END_BAD_KEY, NULL);
    }
    return exchange_fail(x, END_OVERLOADED, "the accounts cannot be read");
}

static const struct principal *planned_for(const struct exchange *x,
                                           const uint8_t digest[CRYPTO_SHA256_BYTES])
{
    return map_get(&x->plan->principal_by_digest, span_of(digest, CRYPTO_SHA256_BYTES));
}

static enum stage allowed(struct exchange *x)
{
    const struct principal *p = x->principal;
    if (p->disabled || (p->expires_ms && x->worker->loop.wall_ns / CLOCK_MS >= p->expires_ms))
        return exchange_fail(x, END_BAD_KEY, NULL);
    if (!principal_may_come_from(p, &x->call->client))
        return exchange_fail(x, END_NOT_ALLOWED, "This API key may not be used from this network address.");
    return STAGE_GO;
}

// Without a key: whoever the certificate of the connection stands for.
static enum stage by_certificate(struct exchange *x)
{
    const uint64_t id = x->call->ops->peer(x->call);
    const struct plan_peer *peer = id ? map_get(&x->plan->principal_by_peer, span_of(&id, sizeof id)) : NULL;
    if (!peer) return exchange_fail(x, END_NO_KEY, NULL);
    const enum stage s = look_up(x, peer->principal->digest, peer->principal);
    return s == STAGE_GO ? allowed(x) : s;
}

enum stage exchange_authenticate(struct exchange *x)
{
    if (x->route->kind == ROUTE_HEALTH || x->route->kind == ROUTE_READY) return STAGE_GO;
    struct span key = {NULL, 0};
    if (!key_of(&x->call->head, &key)) return exchange_fail(x, END_KEYS_CONTRADICT, NULL);
    if (key.n == 0) return by_certificate(x);
    struct worker_key *seen = seen_at(x->worker, key);
    if (seen->n == key.n && crypto_equal(seen->text, key.p, key.n)) {
        x->principal = seen->planned;
        const enum stage s = x->principal ? STAGE_GO : look_up(x, seen->digest, planned_for(x, seen->digest));
        return s == STAGE_GO ? allowed(x) : s;
    }
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_hmac(&x->plan->key_hmac, key.p, key.n, digest);
    const enum stage s = look_up(x, digest, planned_for(x, digest));
    if (s != STAGE_GO) return s;
    if (key.n <= WORKER_KEY_BYTES_MAX) {
        seen->planned = x->principal->planned ? x->principal : NULL;
        seen->n = key.n;
        memcpy(seen->text, key.p, key.n);
        memcpy(seen->digest, digest, sizeof digest);
    }
    return allowed(x);
}
