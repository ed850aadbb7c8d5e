// See translate.h.
#include "gateway/translate.h"

#include "gateway/worker.h"

static const struct dialect *client_of(const struct exchange *x)
{
    return x->route->dialect;
}

// A stream's last chunk of its own for what was used: where the client asked for it, or its dialect always has it. The older
// gateways' streams never had one.
static bool usage_wanted(const struct exchange *x)
{
    return x->usage_asked || (!x->route->usage_on_request && x->route->shape != SHAPE_NATIVE);
}

enum stage translate_open(struct exchange *x)
{
    if (x->translation) return STAGE_GO;
    struct call *call = x->call;
    struct translation *t = arena_alloc(call->arena, sizeof *t);
    if (!t) return exchange_fail(x, END_OVERLOADED, "memory");
    memset(t, 0, sizeof *t);
    arena_init(&t->memory, call->arena->pool, TRANSLATION_BYTES_MAX);
    arena_init(&t->scratch, call->arena->pool, TRANSLATION_BYTES_MAX);
    chat_ctx_init(&t->ctx, &t->memory, CHAT_NORMAL);
    t->reply = (struct dialect_reply){.id = span_of(x->request_id, REQUEST_ID_BYTES),
                                      .model = x->model_asked,
                                      .created_s = x->worker->loop.wall_ns / CLOCK_SEC,
                                      .usage_wanted = usage_wanted(x),
                                      .json_array = x->json_array};
    x->translation = t;
    return STAGE_GO;
}

void translate_close(struct exchange *x)
{
    struct translation *t = x->translation;
    if (!t) return;
    arena_done(&t->scratch);
    arena_done(&t->memory);
    x->translation = NULL;
}

enum stage translate_refused(struct exchange *x, enum rw_err err)
{
    const struct chat_problem *p = &x->translation->ctx.problem;
    if (err != RW_E_BAD) return exchange_fail(x, END_OVERLOADED, "memory");
    if (p->param.p) {
        char *param = arena_alloc(x->call->arena, p->param.n + 1);
        if (!param) return exchange_fail(x, END_OVERLOADED, "memory");
        memcpy(param, p->param.p, p->param.n);
        param[p->param.n] = 0;
        x->param = param;
    }
    return exchange_fail_text(x, END_BAD_FIELD, p->text, SPAN(""), SPAN(""));
}

enum stage translate_request(struct exchange *x)
{
    if (!x->route->chat) return translate_embed_request(x);
    const enum stage s = translate_open(x);
    if (s != STAGE_GO) return s;
    struct translation *t = x->translation;
    const struct dialect_target target = {.model = x->upstream_model,
                                          .body_version = x->provider->body_version,
                                          .max_tokens_old = x->provider->max_tokens_old};
    enum rw_err err = client_of(x)->decode_request(&t->ctx, x->body, &t->request);
    if (err) return translate_refused(x, err);
    t->request.stream = x->stream;
    if (x->clamped) {
        struct fmt f;
        fmt_init(&f, x->max_tokens_text, sizeof x->max_tokens_text);
        fmt_u64(&f, (uint64_t)x->max_tokens);
        t->request.max_tokens = fmt_text(&f);
    }
    t->reply.legacy_functions = t->request.legacy_functions;
    t->reply.request = &t->request;
    json_out_init(&t->body, &t->memory);
    err = x->provider->dialect->encode_request(&t->ctx, &t->request, &target, &t->body);
    if (!err) err = json_out_done(&t->body);
    if (err) return translate_refused(x, err);
    t->dropped_n = chat_losses_text(&t->ctx.losses, t->dropped, sizeof t->dropped);
    return STAGE_GO;
}

enum stage translate_check(struct exchange *x)
{
    const enum stage s = translate_open(x);
    if (s != STAGE_GO) return s;
    const enum rw_err err = client_of(x)->check(&x->translation->ctx, x->body);
    return err ? translate_refused(x, err) : STAGE_GO;
}

void translate_usage(struct exchange *x, const struct chat_usage *usage)
{
    if (usage->input >= 0) x->usage.input_tokens = usage->input;
    if (usage->output >= 0) x->usage.output_tokens = usage->output;
    if (usage->cached >= 0) x->usage.cached_tokens = usage->cached;
    if (usage->reasoning >= 0) x->usage.reasoning_tokens = usage->reasoning;
    if (usage->cache_write >= 0) x->usage.cache_write_tokens = usage->cache_write;
    if (usage->cache_write_1h >= 0) x->usage.cache_write_1h_tokens = usage->cache_write_1h;
    if (usage->audio_input >= 0) x->usage.audio_input_tokens = usage->audio_input;
    if (usage->audio_output >= 0) x->usage.audio_output_tokens = usage->audio_output;
}

static enum chat_error_kind kind_of(enum rw_end end, uint16_t status)
{
    switch (end) {
    case END_NO_CREDENTIALS:
    case END_UPSTREAM_AUTH: return CHAT_E_UPSTREAM_AUTH;
    case END_UPSTREAM_TIMEOUT: return CHAT_E_TIMEOUT;
    case END_NO_MODEL:
    case END_NO_ROUTE: return CHAT_E_NOT_FOUND;
    default: break;
    }
    switch (status) {
    case 401: return CHAT_E_KEY;
    case 402: return CHAT_E_MONEY;
    case 403: return CHAT_E_NOT_ALLOWED;
    case 413: return CHAT_E_TOO_LARGE;
    case 429: return CHAT_E_RATE;
    case 503: return CHAT_E_OVERLOADED;
    default: return status >= 500 ? CHAT_E_SERVER : CHAT_E_BAD_REQUEST;
    }
}

struct chat_error translate_end(const struct exchange *x, struct span text)
{
    const uint16_t status = x->end == END_UPSTREAM_STATUS ? x->ask.status : end_info(x->end)->status;
    return (struct chat_error){.kind = kind_of(x->end, status),
                               .status = status,
                               .message = text,
                               .code = span_str(end_info(x->end)->name),
                               .param = x->param ? span_str(x->param) : (struct span){NULL, 0},
                               .retry_after_ms = -1};
}
