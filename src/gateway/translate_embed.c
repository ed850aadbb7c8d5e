// Embeddings for OpenAI's clients from providers of other dialects (providers/embed.h). A request with more texts than the
// provider takes at once is put to it in several calls, one behind the other; the client sees one answer.
#include "gateway/account.h"
#include "gateway/relay.h"
#include "gateway/translate.h"
#include "gateway/worker.h"
#include "providers/embed.h"

struct embedding {
    const struct embed_api *api;
    struct embed_request rq;
    uint32_t first, n; // of the texts that are being asked about
    struct span *vectors; // room for a batch
    float *floats; // room for one vector; NULL: they go out as they came
    struct iovec *iov; // the answer: a piece per vector, and the frame
    uint32_t iov_n;
    uint64_t bytes;
    int64_t tokens;
    bool counted; // by every answer so far
    uint32_t slice_bytes; // worked on since the last turn of others
};

static enum stage no_memory(struct exchange *x)
{
    return exchange_fail(x, END_OVERLOADED, "memory");
}

// The next texts as the body of a call.
static enum stage ask_about(struct exchange *x, struct embedding *e, uint32_t first)
{
    struct translation *t = x->translation;
    const uint32_t left = e->rq.count - first;
    e->first = first;
    e->n = left < e->api->texts_max ? left : e->api->texts_max;
    json_out_init(&t->body, &t->memory);
    enum rw_err err = e->api->encode(&t->ctx, &e->rq, e->first, e->n, x->upstream_model, &t->body);
    if (!err) err = json_out_done(&t->body);
    if (err) return translate_refused(x, err);
    x->ask.body = t->body.iov;
    x->ask.body_iov = t->body.iov_n;
    x->ask.body_bytes = t->body.bytes;
    return STAGE_GO;
}

enum stage translate_embed_request(struct exchange *x)
{
    enum stage s = translate_open(x);
    if (s != STAGE_GO) return s;
    struct translation *t = x->translation;
    struct embedding *e = arena_alloc(&t->memory, sizeof *e);
    if (!e) return no_memory(x);
    *e = (struct embedding){.api = embed_api_find(x->provider->dialect, x->upstream_model), .counted = true};
    t->embedding = e;
    const enum rw_err err = embed_request_read(&t->ctx, x->body, &e->rq);
    if (err) return translate_refused(x, err);
    s = ask_about(x, e, 0);
    t->dropped_n = chat_losses_text(&t->ctx.losses, t->dropped, sizeof t->dropped);
    return s;
}

// --- The answer.

static bool room(struct exchange *x, struct embedding *e)
{
    struct arena *memory = &x->translation->memory;
    e->vectors = arena_alloc(memory, e->api->texts_max * (uint32_t)sizeof *e->vectors);
    e->iov = arena_alloc(memory, (e->rq.count + 2) * (uint32_t)sizeof *e->iov);
    if (e->rq.base64) e->floats = arena_alloc(memory, EMBED_DIMENSIONS_MAX * (uint32_t)sizeof *e->floats);
    return e->vectors && e->iov && (e->floats || !e->rq.base64);
}

static void add_piece(struct embedding *e, void *bytes, uint32_t n)
{
    e->iov[e->iov_n++] = (struct iovec){.iov_base = bytes, .iov_len = n};
    e->bytes += n;
}

static enum stage add_vector(struct exchange *x, struct embedding *e, uint32_t index, struct span vector)
{
    int64_t n = 0;
    if (e->floats) n = embed_numbers(vector, e->floats);
    if (n < 0) return exchange_fail(x, END_UPSTREAM_BROKEN, "a vector of its answer is not one of numbers");
    uint8_t *out = arena_alloc(&x->translation->memory, 1 + embed_item_bytes(vector, e->floats, n));
    if (!out) return no_memory(x);
    out[0] = ',';
    const uint32_t skip = index == 0;
    const uint32_t written = embed_item_write(vector, e->floats, n, index, out + 1);
    add_piece(e, out + skip, 1 + written - skip);
    e->slice_bytes += vector.n;
    if (e->slice_bytes < IO_BYTES_PER_SLICE) return STAGE_GO;
    e->slice_bytes = 0;
    return fiber_yield() < 0 ? exchange_fail_client(x, -ECANCELED) : STAGE_GO;
}

// The vectors of one answer, copied out of it: the next one takes its place.
static enum stage take(struct exchange *x, struct embedding *e)
{
    struct translation *t = x->translation;
    struct span body;
    int64_t tokens;
    const int r = ask_whole(&x->ask, x->plan->body_bytes_max, &body);
    if (r < 0) return exchange_fail_ask(x, r);
    struct json_scan *scan = arena_alloc(x->call->arena, sizeof *scan);
    if (!scan) return no_memory(x);
    if (json_scan(scan, NULL, JSON_TOP_OBJECT, body) < 0)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not valid JSON");
    if (e->api->decode(&t->ctx, body, e->n, e->vectors, &tokens))
        return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not what its API promises");
    if (tokens < 0) e->counted = false;
    else e->tokens += tokens;
    for (uint32_t i = 0; i < e->n; i++) {
        const enum stage s = add_vector(x, e, e->first + i, e->vectors[i]);
        if (s != STAGE_GO) return s;
    }
    return STAGE_GO;
}

static enum stage ask_more(struct exchange *x, struct embedding *e)
{
    const enum stage s = ask_about(x, e, e->first + e->n);
    if (s != STAGE_GO) return s;
    const int r = ask_again(&x->ask);
    if (r < 0) return exchange_fail_ask(x, r);
    if (x->ask.status == 200) return STAGE_GO;
    if (x->ask.status >= 400) return relay_translated_error(x);
    return exchange_fail(x, END_UPSTREAM_BROKEN, "its status is not 200");
}

// The last member of the list, and what stands behind it.
static bool add_tail(struct exchange *x, struct embedding *e)
{
    const uint32_t cap = 128 + FMT_JSON_BYTES(x->model_asked.n);
    char *text = arena_alloc(&x->translation->memory, cap);
    if (!text) return false;
    const int64_t tokens = e->counted ? e->tokens : account_guess_input(x);
    struct fmt f;
    fmt_init(&f, text, cap);
    fmt_str(&f, "],\"model\":");
    fmt_json_string(&f, x->model_asked);
    fmt_str(&f, ",\"usage\":{\"prompt_tokens\":");
    fmt_i64(&f, tokens);
    fmt_str(&f, ",\"total_tokens\":");
    fmt_i64(&f, tokens);
    fmt_str(&f, "}}");
    MUST(!f.overflow);
    add_piece(e, text, f.n);
    return true;
}

static enum stage send_all(struct exchange *x, struct embedding *e)
{
    for (uint32_t at = 0;;) {
        const uint32_t n = e->iov_n - at < CALL_IOV_MAX ? e->iov_n - at : CALL_IOV_MAX;
        const bool end = at + n == e->iov_n;
        const enum stage s = relay_forward(x, e->iov + at, n, end);
        if (s != STAGE_GO) return s;
        if (end) return STAGE_DONE;
        at += n;
    }
}

enum stage relay_embeddings(struct exchange *x)
{
    static char head[] = "{\"object\":\"list\",\"data\":[";
    struct embedding *e = x->translation->embedding;
    if (!room(x, e)) return no_memory(x);
    add_piece(e, head, sizeof head - 1);
    x->usage.output_tokens = 0;
    for (;;) {
        enum stage s = take(x, e);
        // What was asked for has its price, however the rest goes.
        if (e->counted) x->usage.input_tokens = e->tokens;
        else x->usage.input_tokens = -1;
        if (s != STAGE_GO) return s;
        if (e->first + e->n == e->rq.count) break;
        s = ask_more(x, e);
        if (s != STAGE_GO) return s;
    }
    if (!add_tail(x, e)) return no_memory(x);
    x->ask.content_type = SPAN("application/json");
    exchange_charge(x, x->ask.status, e->bytes);
    relay_start(x, e->bytes);
    return send_all(x, e);
}
