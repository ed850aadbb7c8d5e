// Errors in the client's dialect. Every text comes from base/end.h; what the stages add is the detail.
#include "base/fmt.h"
#include "gateway/exchange.h"
#include "gateway/translate.h"
#include "gateway/worker.h"
#include "providers/dialect.h"

#define TEXT_BYTES_MAX 1024

// OpenAI's error types and codes (contracts of the dialect, "Errors").
static void openai_kind(enum rw_end end, uint32_t status, const char **ret_type, const char **ret_code)
{
    *ret_type = status == 429 ? "requests" : status >= 500 ? "server_error" : "invalid_request_error";
    *ret_code = end_info(end)->name;
    if (end == END_BAD_KEY || end == END_NO_KEY || end == END_REVOKED || end == END_KEYS_CONTRADICT)
        *ret_code = "invalid_api_key";
    if (end == END_NO_MODEL) *ret_code = "model_not_found";
    if (end == END_RATE_LIMITED) *ret_code = "rate_limit_exceeded";
    if (end == END_BUDGET) *ret_code = "insufficient_quota";
}

static void word(struct fmt *f, const char *key, const char *value)
{
    fmt_str(f, key);
    if (value) fmt_json_string(f, span_str(value));
    else fmt_str(f, "null");
}

// In a dialect that has its own table of statuses; theirs wins where it is more than "bad request".
static struct span dialect_body(struct exchange *x, struct span text, uint32_t *status)
{
    const enum rw_end end = x->end;
    const char *detail = x->detail;
    if (translate_open(x) != STAGE_GO) {
        x->end = end;
        x->detail = detail;
        return (struct span){NULL, 0};
    }
    struct translation *t = x->translation;
    const struct chat_error error = translate_end(x, text);
    struct json_out out;
    json_out_init(&out, &t->memory);
    const uint16_t own = x->route->dialect->encode_error(&error, &t->reply, &out);
    if (error.kind != CHAT_E_BAD_REQUEST) *status = own;
    x->error_type = dialect_error_type(x->route->dialect, error.kind);
    return json_out_flat(&out);
}

// Older gateways' words, which their clients look for, where those clients ask: their own routes, and the list of models.
static uint32_t words_of(const struct exchange *x, char text[TEXT_BYTES_MAX])
{
    const char *known = NULL;
    if (x->route->shape == SHAPE_NATIVE ||
        (x->route->shape == SHAPE_OPENAI && x->route->kind != ROUTE_PASS_JSON &&
         x->route->kind != ROUTE_PASS_BODY)) {
        if (x->end == END_NO_KEY) known = "Missing API key. Include x-api-key header.";
        if (x->end == END_BAD_KEY) known = "Invalid API key.";
        if (x->end == END_RATE_LIMITED) known = "Rate limit exceeded. Please slow down.";
    }
    if (!known) return end_text(x->end, x->detail, text, TEXT_BYTES_MAX);
    const size_t n = strlen(known);
    memcpy(text, known, n);
    return (uint32_t)n;
}

// The body of an error. *status is what the head says.
static struct span error_body(struct exchange *x, uint32_t *status)
{
    char text[TEXT_BYTES_MAX];
    const uint32_t text_n = words_of(x, text);
    if (x->route->shape == SHAPE_DIALECT) {
        const struct span body = dialect_body(x, span_of(text, text_n), status);
        if (body.p) return body;
    }
    const uint32_t cap = FMT_JSON_BYTES(text_n) + 512;
    char *bytes = arena_alloc(x->call->arena, cap);
    if (!bytes)
        return SPAN("{\"error\":{\"message\":\"The gateway is out of memory.\",\"type\":\"server_error\"}}");
    struct fmt f;
    fmt_init(&f, bytes, cap);
    fmt_str(&f, "{\"error\":{\"message\":");
    fmt_json_string(&f, span_of(text, text_n));
    if (x->route->shape == SHAPE_NATIVE) {
        fmt_str(&f, ",\"type\":\"gateway_error\",\"code\":");
        fmt_u64(&f, *status);
    } else {
        const char *type, *code;
        openai_kind(x->end, *status, &type, &code);
        word(&f, ",\"type\":", type);
        word(&f, ",\"param\":", x->param);
        word(&f, ",\"code\":", code);
    }
    fmt_str(&f, "}}");
    return fmt_text(&f);
}

// The error as an event of the client's dialect, framed. Empty if there is no memory.
static struct span dialect_event(struct exchange *x)
{
    char text[TEXT_BYTES_MAX];
    const uint32_t text_n = end_text(x->end, x->detail, text, sizeof text);
    const enum rw_end end = x->end;
    const char *detail = x->detail;
    // An answer from the cache had no use for it until now.
    const bool open = translate_open(x) == STAGE_GO;
    x->end = end;
    x->detail = detail;
    if (!open) return SPAN("");
    struct translation *t = x->translation;
    const struct chat_error error = translate_end(x, span_of(text, text_n));
    struct json_out out;
    json_out_init(&out, &t->memory);
    enum rw_err err;
    if (t->pipe) {
        err = dialect_pipe_fail(t->pipe, &error, &out);
    } else {
        struct chat_writer *w = arena_alloc(&t->memory, sizeof *w);
        if (!w) return SPAN("");
        chat_writer_init(w, x->route->dialect, &t->ctx, &t->memory, &t->reply);
        w->out = &out;
        err = w->dialect->write(w, &(struct chat_event){.kind = CHAT_EV_ERROR, .error = &error});
    }
    const struct span event = json_out_flat(&out);
    return err || !event.p ? SPAN("") : event;
}

// The answer has begun: what was sent must not be taken for whole. A stream gets the error as its last event, without [DONE];
// anything else is broken off.
static void refuse_late(struct exchange *x)
{
    struct call *call = x->call;
    struct span body;
    const bool can_speak =
        x->streaming && !call->broken && x->end != END_CLIENT_GONE && x->end != END_SEND_FAILED;
    if (can_speak) {
        // On a line of its own, also behind half an event.
        struct span begin = x->mid_event ? SPAN("\n\ndata: ") : SPAN("data: "), end = SPAN("\n\n");
        if (x->route->shape == SHAPE_DIALECT || (x->translation && x->translation->pipe)) {
            body = dialect_event(x);
            begin = x->mid_event ? SPAN("\n\n") : SPAN("");
            end = SPAN("");
        } else {
            uint32_t status = x->end == END_REVOKED ? end_info(x->end)->status : 500;
            body = error_body(x, &status);
        }
        const struct iovec iov[] = {
            {.iov_base = (void *)(uintptr_t)begin.p, .iov_len = begin.n},
            {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n},
            {.iov_base = (void *)(uintptr_t)end.p, .iov_len = end.n},
        };
        fiber_shield();
        const int sent =
            call->ops->reply_write(call, iov, x->error_sent ? 0 : 3, true, exchange_write_until(x));
        fiber_unshield();
        if (sent == 0) return;
    }
    call->ops->reply_break(call);
}

void exchange_refuse(struct exchange *x)
{
    struct call *call = x->call;
    if (call->replied) {
        refuse_late(x);
        return;
    }
    uint32_t status = end_info(x->end)->status;
    if (x->end == END_UPSTREAM_STATUS) status = x->ask.status;
    if (status == 0) {
        // Nobody is there to read it.
        call->ops->reply_break(call);
        return;
    }
    if (status == 503 && !x->retry_after_s) x->retry_after_s = 1;
    if (x->end == END_BUDGET) status = x->plan->budget_status;
    // There a model that is not known is a wrong field.
    if (x->end == END_NO_MODEL && x->route->dialect == &dialect_native) status = 400;
    const enum rw_end end = x->end;
    const char *detail = x->detail;
    // What is said is said also when the worker is being stopped; a client that has left is found out by the send.
    fiber_shield();
    const struct span body = error_body(x, &status);
    (void)exchange_reply(x, (uint16_t)status, SPAN("application/json"), body);
    fiber_unshield();
    x->end = end;
    x->detail = detail;
}
