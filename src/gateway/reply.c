// What answers have in common: the fields of every head, and whole answers of ours.
#include "base/fmt.h"
#include "gateway/account.h"
#include "gateway/flight.h"
#include "gateway/translate.h"
#include "gateway/worker.h"

// A client that takes nothing for this long is gone; the connection is held by nothing else then.
#define WRITE_NS (60 * CLOCK_SEC)

int64_t exchange_write_until(const struct exchange *x)
{
    return x->worker->loop.now_ns + WRITE_NS;
}

// The asking origin, if it is on the list. One that all share is among the plan's lines.
static struct span listed_origin(const struct exchange *x)
{
    const struct plan *plan = x->plan;
    // Of a head that was refused nothing is known.
    if (plan->cors_origin.n || plan->cors_origin_count == 0 || x->call->bad != END_OK)
        return (struct span){NULL, 0};
    const struct span asked = http_value(&x->call->head, HTTP_N_ORIGIN);
    for (uint32_t i = 0; i < plan->cors_origin_count; i++)
        if (span_eq(asked, plan->cors_origins[i])) return asked;
    return (struct span){NULL, 0};
}

#define ID_LINE "x-request-id: "
#define ID_LINE_ANTHROPIC "\r\nrequest-id: "
#define ATTEMPTS_LINE "\r\nx-ringway-attempts: "
#define TIMING_LINE "\r\nserver-timing: gateway;dur="
#define TIMING_UPSTREAM ", upstream;dur="
// The longest that own_lines() makes.
#define OWN_LINES_BYTES \
    (sizeof ID_LINE ID_LINE_ANTHROPIC ATTEMPTS_LINE TIMING_LINE TIMING_UPSTREAM "1\r\n" + \
     2 * REQUEST_ID_BYTES + 2 * FMT_DECIMAL_BYTES)

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static inline char *put(char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

// Time in the gateway and at the provider up to now, in milliseconds as the field's standard wants, to the microsecond.
static char *put_timing(const struct exchange *x, char *at)
{
    const struct call *call = x->call;
    const int64_t all_us = (call->loop->now_ns - call->head_ns) / CLOCK_US,
                  up_us = x->ask.waited_ns / CLOCK_US;
    at = fmt_raw_decimal(PUT(at, TIMING_LINE), all_us > up_us ? all_us - up_us : 0, 3);
    return x->asked ? fmt_raw_decimal(PUT(at, TIMING_UPSTREAM), up_us, 3) : at;
}

// What every answer says of the exchange, as whole lines. {NULL, 0}: no memory.
static struct span own_lines(const struct exchange *x)
{
    char *text = arena_alloc(x->call->arena, OWN_LINES_BYTES);
    if (!text) return (struct span){NULL, 0};
    char *at = put(PUT(text, ID_LINE), x->request_id, REQUEST_ID_BYTES);
    if (x->route->dialect == &dialect_anthropic)
        at = put(PUT(at, ID_LINE_ANTHROPIC), x->request_id, REQUEST_ID_BYTES);
    if (x->asked) {
        at = PUT(at, ATTEMPTS_LINE);
        *at++ = (char)('0' + (x->ask.attempts < 3 ? x->ask.attempts : 3));
    }
    at = PUT(put_timing(x, at), "\r\n");
    MUST((size_t)(at - text) <= OWN_LINES_BYTES);
    return span_of(text, (size_t)(at - text));
}

// Of a provider that is named in the request itself: nothing was made ready for it.
static uint32_t target_fields(const struct exchange *x, struct call_field *fields)
{
    fields[0] = (struct call_field){SPAN("x-ringway-provider"), x->provider->name};
    if (!x->upstream_model.n) return 1;
    fields[1] = (struct call_field){SPAN("x-ringway-model"), x->upstream_model};
    return 2;
}

void exchange_reply_init(struct exchange *x, struct call_reply *reply, struct call_field *fields)
{
    const struct plan *plan = x->plan;
    const bool target = x->asked || x->cache == STORE_CACHE_HIT;
    uint32_t n = 0, lines = 0;
    const struct span own = own_lines(x);
    if (own.n) reply->lines[lines++] = own;
    else fields[n++] = (struct call_field){SPAN("x-request-id"), span_of(x->request_id, REQUEST_ID_BYTES)};
    reply->lines[lines++] = target && x->model ? x->model->answer_lines : plan->answer_lines;
    const struct span origin = listed_origin(x);
    if (origin.n) {
        fields[n++] = (struct call_field){SPAN("access-control-allow-origin"), origin};
        fields[n++] = (struct call_field){SPAN("vary"), SPAN("origin")};
    }
    if (target) {
        if (!x->model) n += target_fields(x, fields + n);
        if (x->translation && x->translation->dropped_n)
            fields[n++] = (struct call_field){SPAN("x-ringway-dropped"),
                                              span_of(x->translation->dropped, x->translation->dropped_n)};
        for (uint32_t i = 0; i < x->crossed_count; i++) fields[n++] = x->crossed[i];
    }
    if (x->cache != STORE_CACHE_NONE) {
        static const struct span words[] = {[STORE_CACHE_HIT] = SPAN_INIT("hit"),
                                            [STORE_CACHE_MISS] = SPAN_INIT("miss"),
                                            [STORE_CACHE_BYPASS] = SPAN_INIT("bypass")};
        fields[n++] = (struct call_field){SPAN("x-ringway-cache"), words[x->cache]};
    }
    // Amazon's SDKs take an error's class from this field.
    if (RW_UNLIKELY(x->error_type.n))
        fields[n++] = (struct call_field){SPAN("x-amzn-errortype"), x->error_type};
    if (x->replayed) fields[n++] = (struct call_field){SPAN("idempotent-replayed"), SPAN("true")};
    if (x->account) {
        const struct span limits = account_lines(x);
        if (limits.n) reply->lines[lines++] = limits;
    }
    MUST(n <= CALL_FIELDS_MAX - 4);
    reply->fields = fields;
    reply->field_count = n;
    reply->line_count = lines;
    reply->close = false;
}

void exchange_reply_add(struct call_reply *reply, struct call_field *fields, struct span name,
                        struct span value)
{
    MUST(reply->field_count < CALL_FIELDS_MAX);
    fields[reply->field_count++] = (struct call_field){name, value};
}

enum stage exchange_reply(struct exchange *x, uint16_t status, struct span content_type, struct span body)
{
    struct call *call = x->call;
    struct call_field fields[CALL_FIELDS_MAX];
    struct call_reply reply;
    // What others waited for is not to come.
    if (x->flight) (void)flight_land(x, STAGE_FAIL);
    exchange_charge(x, status, body.n);
    account_commit(x);
    exchange_reply_init(x, &reply, fields);
    reply.status = status;
    reply.length = body.n;
    // Who is refused for want of memory gives back his connection's, too.
    reply.close = x->end == END_OVERLOADED;
    if (content_type.n) exchange_reply_add(&reply, fields, SPAN("content-type"), content_type);
    if (x->allow) exchange_reply_add(&reply, fields, SPAN("allow"), span_str(x->allow));
    char seconds[FMT_U64_BYTES];
    if (x->retry_after_s) {
        const char *end = fmt_raw_u64(seconds, x->retry_after_s);
        exchange_reply_add(&reply, fields, SPAN("retry-after"), span_of(seconds, (size_t)(end - seconds)));
    }
    call->ops->reply_start(call, &reply);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n};
    const int r = call->ops->reply_write(call, &iov, body.n > 0, true, exchange_write_until(x));
    x->answer_bytes += body.n;
    if (r < 0) {
        const enum rw_end why = r == RW_E_BUDGET ? END_OVERLOADED : END_SEND_FAILED;
        return exchange_fail(x, fiber_cancelled() != END_OK ? fiber_cancelled() : why, "memory");
    }
    return STAGE_DONE;
}
