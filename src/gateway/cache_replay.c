// A kept answer on its way to the client: as it lies there, or made into the form that is asked for. See cache.h.
#include "gateway/account.h"
#include "gateway/cache.h"
#include "gateway/relay.h"
#include "gateway/translate.h"
#include "providers/chat_fold.h"

void cache_reply_start(struct exchange *x, struct span content_type, uint64_t length)
{
    struct call_field fields[CALL_FIELDS_MAX];
    struct call_reply reply;
    exchange_reply_init(x, &reply, fields);
    reply.status = 200;
    reply.length = length;
    exchange_reply_add(&reply, fields, SPAN("content-type"), content_type);
    x->call->ops->reply_start(x->call, &reply);
}

static enum stage send_all(struct exchange *x, const struct iovec *iov, uint32_t n)
{
    x->answered = true;
    for (uint32_t at = 0;;) {
        const uint32_t step = n - at < CALL_IOV_MAX ? n - at : CALL_IOV_MAX;
        const bool last = at + step == n;
        const enum stage s = relay_forward(x, iov + at, step, last);
        if (s != STAGE_GO) return s;
        if (last) return STAGE_DONE;
        at += step;
    }
}

static void hit(struct exchange *x, const struct usage *usage)
{
    x->cache = STORE_CACHE_HIT;
    account_hit(x);
    account_saved(x, usage);
}

// --- In another form.

static void usage_add(struct chat_usage *to, const struct usage *from)
{
    if (to->input < 0) to->input = from->input_tokens;
    if (to->output < 0) to->output = from->output_tokens;
    if (to->cached < 0) to->cached = from->cached_tokens;
    if (to->reasoning < 0) to->reasoning = from->reasoning_tokens;
}

static enum rw_err convert(struct exchange *x, const struct cache_meta *meta, struct span body,
                           struct json_out *out)
{
    struct translation *t = x->translation;
    const struct dialect *d = x->route->dialect;
    struct chat_answer answer;
    t->reply.model = (struct span){NULL, 0};
    RW_TRY(meta->form & CACHE_STREAM ? chat_fold(&t->ctx, &t->scratch, d, body, &answer)
                                     : dialect_answer(&t->ctx, d, body, &answer));
    usage_add(&answer.usage, &meta->usage);
    json_out_init(out, &t->memory);
    if (!x->stream) {
        RW_TRY(d->encode_answer(&t->ctx, &answer, &t->reply, out));
        return json_out_done(out);
    }
    struct chat_writer *w = arena_alloc(&t->memory, sizeof *w);
    if (!w) return RW_E_TOO_LARGE;
    chat_writer_init(w, d, &t->ctx, &t->memory, &t->reply);
    w->out = out;
    RW_TRY(chat_unfold(w, &answer));
    return json_out_done(out);
}

static enum stage replay_converted(struct exchange *x, const struct cache_meta *meta, struct span body)
{
    struct json_out out;
    // An array is not read again.
    if (!x->route->chat || (meta->form & CACHE_ARRAY)) return STAGE_GO;
    if (translate_open(x) != STAGE_GO) return STAGE_FAIL;
    const enum rw_err err = convert(x, meta, body, &out);
    // What asks the provider then begins anew.
    if (err) {
        translate_close(x);
        return STAGE_GO;
    }
    hit(x, &meta->usage);
    if (!x->stream) {
        cache_reply_start(x, SPAN("application/json"), out.bytes);
        return send_all(x, out.iov, out.iov_n);
    }
    cache_reply_start(x, x->json_array ? SPAN("application/json") : span_str(x->route->dialect->content_type),
                      CALL_CHUNKED);
    x->streaming = true;
    return send_all(x, out.iov, out.iov_n);
}

enum stage cache_replay(struct exchange *x, const struct cache_meta *meta, struct span body)
{
    if (meta->form != cache_form(x)) return replay_converted(x, meta, body);
    hit(x, &meta->usage);
    x->streaming = x->stream;
    cache_reply_start(x, span_of(meta->content_type, meta->content_type_n),
                      x->stream ? CALL_CHUNKED : body.n);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n};
    return send_all(x, &iov, body.n > 0);
}
