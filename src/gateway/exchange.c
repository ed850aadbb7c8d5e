// The life of a request, read top to bottom. `~` marks where the fiber may be suspended; when the client leaves, the suspended
// call returns -ECANCELED and the stage fails with END_CLIENT_GONE.
//
//      head ── identify ── authenticate ── admit ── inform ─────┐ health, models
//                                │            keys, requests    │
//                               read ~        the body          │
//                                │                              │
//                               scan          JSON, fields      │
//                                │                              │
//                               route         model → target    │
//                                │                              │
//                               once ~ ───────────────────────┤ a repeat of an Idempotency-Key
//                                │                              │
//                               cache ~ ──────────────────────┤ a hit; or riding along with who asks the same (flight.h)
//                                │                              │
//                               reserve       tokens, money     │
//                                │                              │
//                               ask ~         connect, send, head of the answer (ask.c)
//                                │                              │
//                               relay ~       whole, or piece by piece through the event filters
//                                │                              │
//      refuse ~ ◄── a stage failed, nothing was sent yet        │
//                                │                              │
//                              settle ◄─────────────────────────┘ ledger, metrics, log
#include "gateway/exchange.h"

#include "gateway/flight.h"
#include "gateway/once.h"
#include "gateway/revoke.h"
#include "gateway/translate.h"
#include "gateway/worker.h"

typedef enum stage stage_fn(struct exchange *x);

static stage_fn *const life[] = {
    exchange_identify, exchange_authenticate, exchange_admit, exchange_inform,  exchange_read, exchange_scan,
    exchange_route,    exchange_once,         exchange_cache, exchange_reserve, exchange_ask,  exchange_relay,
};

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

// Time in milliseconds (48 bits), process (16), worker (8), sequence (56), in Crockford's base 32, the first digit of which
// has only 3 bits: ids sort by time, and no two requests of any process get the same.
static void request_id(struct exchange *x)
{
    struct worker *w = x->worker;
    uint64_t high = (uint64_t)(w->loop.wall_ns / CLOCK_MS) << 16 | w->cfg.process_epoch;
    uint64_t low = (uint64_t)w->cfg.index << 56 | (++w->sequence & ((UINT64_C(1) << 56) - 1));
    // Of most ids only the last digit is another than the one's before.
    const uint8_t last = (uint8_t)id_digits[low & 31];
    if (RW_UNLIKELY((low & 31) == 0 || high != w->id_high)) {
        w->id_high = high;
        for (int i = REQUEST_ID_BYTES; i-- > 0;) {
            w->id[i] = (uint8_t)id_digits[low & 31];
            low = low >> 5 | high << 59;
            high >>= 5;
        }
    }
    w->id[REQUEST_ID_BYTES - 1] = last;
    memcpy(x->request_id, w->id, REQUEST_ID_BYTES);
}

void exchange_tables(void)
{
    request_tables();
    answer_tables();
}

void exchange_run(struct call *call, struct worker *worker)
{
    struct exchange *x = arena_alloc(call->arena, sizeof *x);
    if (!x) {
        call->ops->reply_break(call);
        return;
    }
    memset(x, 0, sizeof *x);
    x->call = call;
    x->worker = worker;
    x->plan = worker_plan_use(worker);
    x->usage = (struct usage){-1, -1, -1, -1, -1, -1, -1, -1};
    x->max_tokens = -1;
    request_id(x);
    fiber_note(x->request_id, REQUEST_ID_BYTES);

    enum stage s = STAGE_GO;
    for (size_t i = 0; i < sizeof life / sizeof *life && s == STAGE_GO; i++) s = life[i](x);
    if (x->flight) s = flight_land(x, s);
    if (s == STAGE_FAIL) exchange_refuse(x);
    if (x->claim) once_leave(x);

    if (RW_UNLIKELY(x->in_streams.next != NULL)) revoke_forget(x);
    if (x->asked) ask_close(&x->ask);
    if (!call->recorded) exchange_settle(x);
    principal_leave(worker->principals, x->principal);
    translate_close(x);
    fiber_note(NULL, 0);
    worker_plan_leave(worker, x->plan);
}

// --- Failing.

enum stage exchange_fail(struct exchange *x, enum rw_end end, const char *detail)
{
    x->end = end;
    x->detail = detail;
    return STAGE_FAIL;
}

enum stage exchange_fail_text(struct exchange *x, enum rw_end end, struct span a, struct span b,
                              struct span c)
{
    char *text = arena_alloc(x->call->arena, a.n + b.n + c.n + 1);
    if (!text) return exchange_fail(x, END_OVERLOADED, "memory");
    if (a.n) memcpy(text, a.p, a.n);
    if (b.n) memcpy(text + a.n, b.p, b.n);
    if (c.n) memcpy(text + a.n + b.n, c.p, c.n);
    text[a.n + b.n + c.n] = 0;
    return exchange_fail(x, end, text);
}

enum stage exchange_fail_client(struct exchange *x, int err)
{
    switch (err) {
    case RW_E_TOO_LARGE: return exchange_fail(x, END_BODY_TOO_LARGE, "limits.body (or limits.upload)");
    case RW_E_BUDGET: return exchange_fail(x, END_OVERLOADED, "memory");
    case RW_E_BAD: return exchange_fail(x, END_BAD_REQUEST, x->call->bad_reason);
    case -ETIME: return exchange_fail(x, END_BODY_TIMEOUT, NULL);
    default: {
        const enum rw_end why = fiber_cancelled();
        return exchange_fail(x, why != END_OK ? why : END_CLIENT_GONE, NULL);
    }
    }
}

enum stage exchange_fail_ask(struct exchange *x, int err)
{
    if (x->ask.client_failed) return exchange_fail_client(x, err);
    return exchange_fail(x, x->ask.end, x->ask.detail);
}
