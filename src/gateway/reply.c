// What answers have in common: the fields of every head, and whole answers of ours.
#include "base/fmt.h"
#include "gateway/exchange.h"
#include "gateway/worker.h"

// A client that takes nothing for this long is gone; the connection is held by nothing else then.
#define WRITE_NS (60 * CLOCK_SEC)

int64_t exchange_write_until(const struct exchange *x)
{
    return x->worker->loop.now_ns + WRITE_NS;
}

// The origin that may read the answer: the one and only, or the asking one if it is on the list.
static struct span cors_origin(const struct exchange *x)
{
    const struct plan *plan = x->plan;
    if (plan->cors_origin.n) return plan->cors_origin;
    // Of a head that was refused nothing is known.
    if (x->call->bad != END_OK) return (struct span){NULL, 0};
    const struct span asked = http_value(&x->call->head, HTTP_N_ORIGIN);
    for (uint32_t i = 0; i < plan->cors_origin_count; i++)
        if (span_eq(asked, plan->cors_origins[i])) return asked;
    return (struct span){NULL, 0};
}

// Time in the gateway and at the provider up to now, in milliseconds as the field's standard wants, to the microsecond.
static struct span server_timing(const struct exchange *x)
{
    const struct call *call = x->call;
    char *text = arena_alloc(call->arena, 96);
    if (!text) return (struct span){NULL, 0};
    struct fmt f;
    fmt_init(&f, text, 96);
    const int64_t all_us = (call->loop->now_ns - call->head_ns) / CLOCK_US,
                  up_us = x->ask.waited_ns / CLOCK_US;
    fmt_str(&f, "gateway;dur=");
    fmt_decimal(&f, all_us > up_us ? all_us - up_us : 0, 3);
    if (x->asked) {
        fmt_str(&f, ", upstream;dur=");
        fmt_decimal(&f, up_us, 3);
    }
    return fmt_text(&f);
}

uint32_t exchange_fields(struct exchange *x, struct call_field *fields)
{
    const struct plan *plan = x->plan;
    uint32_t n = 0;
    fields[n++] = (struct call_field){SPAN("x-request-id"), span_of(x->request_id, REQUEST_ID_BYTES)};
    const struct span origin = cors_origin(x);
    if (origin.n) fields[n++] = (struct call_field){SPAN("access-control-allow-origin"), origin};
    if (origin.n && !plan->cors_origin.n) fields[n++] = (struct call_field){SPAN("vary"), SPAN("origin")};
    fields[n++] = (struct call_field){SPAN("access-control-allow-headers"), plan->cors_headers};
    fields[n++] = (struct call_field){SPAN("access-control-allow-methods"), SPAN("OPTIONS,POST,GET")};
    fields[n++] = (struct call_field){SPAN("access-control-max-age"), SPAN("86400")};
    if (x->asked) {
        static const struct span digits[] = {SPAN_INIT("0"), SPAN_INIT("1"), SPAN_INIT("2"), SPAN_INIT("3")};
        fields[n++] = (struct call_field){SPAN("x-ringway-provider"), x->provider->name};
        if (x->upstream_model.n)
            fields[n++] = (struct call_field){SPAN("x-ringway-model"), x->upstream_model};
        fields[n++] = (struct call_field){SPAN("x-ringway-attempts"),
                                          digits[x->ask.attempts < 3 ? x->ask.attempts : 3]};
        for (uint32_t i = 0; i < x->crossed_count; i++) fields[n++] = x->crossed[i];
    }
    const struct span timing = server_timing(x);
    if (timing.n) fields[n++] = (struct call_field){SPAN("server-timing"), timing};
    MUST(n <= CALL_FIELDS_MAX - 4);
    return n;
}

enum stage exchange_reply(struct exchange *x, uint16_t status, struct span content_type, struct span body)
{
    struct call *call = x->call;
    struct call_field fields[CALL_FIELDS_MAX];
    uint32_t n = exchange_fields(x, fields);
    if (content_type.n) fields[n++] = (struct call_field){SPAN("content-type"), content_type};
    if (x->allow) fields[n++] = (struct call_field){SPAN("allow"), span_str(x->allow)};
    if (x->retry_after) fields[n++] = (struct call_field){SPAN("retry-after"), SPAN("1")};
    const struct call_reply reply = {.fields = fields, .field_count = n, .status = status, .length = body.n};
    call->ops->reply_start(call, &reply);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n};
    const int r = call->ops->reply_write(call, &iov, body.n > 0, true, exchange_write_until(x));
    x->answer_bytes += body.n;
    if (r < 0)
        return exchange_fail(x, fiber_cancelled() != END_OK ? fiber_cancelled() : END_SEND_FAILED, NULL);
    return STAGE_DONE;
}
