// See revoke.h.
#include "gateway/revoke.h"

#include "gateway/exchange.h"
#include "gateway/worker.h"

#define REVOKE_LOOK_NS (100 * CLOCK_MS)

// The principal that the exchange's key stands for by now is nobody, or may not come in.
static bool is_revoked(const struct worker *w, const struct exchange *x, int64_t wall_ms)
{
    const uint8_t *digest = x->principal->digest;
    const struct principal_plan plan = {
        .generation = w->plan->generation,
        .planned = map_get(&w->plan->principal_by_digest, span_of(digest, STORE_HASH_BYTES)),
        .global = w->plan->limit};
    const struct principal *found = NULL;
    enum rw_err err = RW_E_NOT_FOUND;
    if (w->principals) err = principal_find(w->principals, digest, wall_ms, &plan, &found);
    if (err == RW_E_NOT_FOUND) found = plan.planned;
    else if (err) return false;
    const bool revoked = !found || found->disabled || (found->expires_ms && wall_ms >= found->expires_ms);
    if (!err) principal_leave(w->principals, found);
    return revoked;
}

static void look(struct io_timer *t)
{
    struct worker *w = LIST_OWNER(t, struct worker, revoke_look);
    const uint64_t version = w->cfg.store ? store_accounts_version(w->cfg.store) : 0;
    const int64_t wall_ms = w->loop.wall_ns / CLOCK_MS;
    LIST_EACH(it, &w->streams)
    {
        struct exchange *x = LIST_OWNER(it, struct exchange, in_streams);
        const int64_t expires_ms = x->principal->expires_ms;
        const bool seen = x->seen_version == version && x->seen_generation == w->plan->generation;
        if (seen && (!expires_ms || wall_ms < expires_ms)) continue;
        if (is_revoked(w, x, wall_ms)) scope_cancel(x->scope, END_REVOKED);
        // While a commit is under way what was read may change.
        x->seen_version = version & 1 ? 0 : version;
        x->seen_generation = w->plan->generation;
    }
    if (!list_empty(&w->streams)) io_timer_arm(&w->loop.timers, t, w->loop.now_ns + REVOKE_LOOK_NS);
}

void revoke_open(struct worker *w)
{
    list_init(&w->streams);
    io_timer_init(&w->revoke_look, look);
}

void revoke_close(struct worker *w)
{
    MUST(list_empty(&w->streams));
    io_timer_cancel(&w->loop.timers, &w->revoke_look);
}

void revoke_watch(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->in_streams.next) return;
    // Who came by a certificate has no key that could be revoked.
    if (is_revoked(w, x, w->loop.wall_ns / CLOCK_MS)) return;
    x->scope = fiber_scope();
    x->seen_version = x->principal->version;
    x->seen_generation = x->plan->generation;
    list_push_back(&w->streams, &x->in_streams);
    if (!io_timer_armed(&w->revoke_look))
        io_timer_arm(&w->loop.timers, &w->revoke_look, w->loop.now_ns + REVOKE_LOOK_NS);
}

void revoke_forget(struct exchange *x)
{
    list_remove(&x->in_streams);
}
