// Chats that are decoded on their way: into another dialect, or only to know what was used and whether the answer is whole. All
// that one receive brought leaves in one send here, too.
#include "base/fmt.h"
#include "gateway/account.h"
#include "gateway/relay.h"
#include "gateway/translate.h"
#include "gateway/worker.h"

static enum stage no_memory(struct exchange *x)
{
    return exchange_fail(x, END_OVERLOADED, "memory");
}

// All pieces of the output; the last of them is the end of the answer if `last`.
static enum stage send_out(struct exchange *x, const struct json_out *out, bool last)
{
    if (json_out_done(out)) return no_memory(x);
    if (out->iov_n == 0 && !last) return STAGE_GO;
    if (!x->call->replied) {
        relay_start(x, CALL_CHUNKED);
        x->streaming = true;
    }
    for (uint32_t at = 0;;) {
        const uint32_t n = out->iov_n - at < CALL_IOV_MAX ? out->iov_n - at : CALL_IOV_MAX;
        const bool end = at + n == out->iov_n;
        const enum stage s = relay_forward(x, out->iov + at, n, last && end);
        if (s != STAGE_GO || end) return s;
        at += n;
    }
}

// What the provider reported becomes the client's error.
static enum stage reply_error(struct exchange *x, const struct chat_error *error, enum rw_end end)
{
    struct translation *t = x->translation;
    struct json_out out;
    json_out_init(&out, &t->memory);
    const uint16_t status = x->route->dialect->encode_error(error, &t->reply, &out);
    const struct span body = json_out_flat(&out);
    if (json_out_done(&out) || !body.p) return no_memory(x);
    x->end = end;
    x->error_type = dialect_error_type(x->route->dialect, error->kind);
    return exchange_reply(x, status, SPAN("application/json"), body);
}

static void saw_content(struct exchange *x)
{
    if (x->first_token_ns) return;
    x->first_token_ns = x->call->loop->now_ns;
    x->ask.first_token_until_ns = CLOCK_NEVER;
}

// --- Into another dialect.

// What one piece of the provider's stream becomes. *ret_end: nothing follows.
static enum stage feed(struct exchange *x, struct span piece, bool last, bool *ret_end)
{
    struct translation *t = x->translation;
    struct dialect_pipe *p = t->pipe;
    struct json_out out;
    json_out_init(&out, &t->scratch);
    enum rw_err err = piece.n ? dialect_pipe_feed(p, piece, &out) : RW_OK;
    if (!err && last && !p->done && !p->failed) err = dialect_pipe_end(p, &out);
    translate_usage(x, &p->usage);
    if (p->content) saw_content(x);
    *ret_end = last || p->done || p->failed;
    // Behind a begun answer the pipe has written the error itself.
    if (p->failed && !x->call->replied) return reply_error(x, &p->error, END_STREAM_ERROR);
    if (err == RW_OK) {
        if (p->failed) x->end = END_STREAM_ERROR;
        return send_out(x, &out, *ret_end);
    }
    // What came before the break is the client's all the same.
    if (out.iov_n > 0 && !out.failed && send_out(x, &out, false) != STAGE_GO) return STAGE_FAIL;
    if (err == RW_E_EOF) return exchange_fail(x, END_TRUNCATED, "it ended without a finish reason");
    if (err == RW_E_BAD)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "its stream is not what its API promises");
    return no_memory(x);
}

// Clients of InvokeModel read what was used, and what is in the frames, in the head. A field that finds no memory is left out.
static void invoke_field(struct exchange *x, struct span name, struct span value)
{
    const struct span copy = arena_copy(x->call->arena, value);
    if (copy.p && x->crossed_count < CROSSED_FIELDS_MAX)
        x->crossed[x->crossed_count++] = (struct call_field){name, copy};
}

static bool is_invoke(const struct exchange *x)
{
    return x->route->dialect->family == DIALECT_BEDROCK && x->route->dialect != &dialect_converse;
}

static void invoke_count(struct exchange *x, struct span name, int64_t tokens)
{
    char text[FMT_U64_BYTES];
    struct fmt f;
    if (tokens < 0) return;
    fmt_init(&f, text, sizeof text);
    fmt_u64(&f, (uint64_t)tokens);
    invoke_field(x, name, fmt_text(&f));
}

static void invoke_counts(struct exchange *x, const struct chat_usage *u)
{
    const int64_t cached = (u->cached > 0 ? u->cached : 0) + (u->cache_write > 0 ? u->cache_write : 0);
    invoke_count(x, SPAN("x-amzn-bedrock-input-token-count"),
                 u->input > cached ? u->input - cached : u->input);
    invoke_count(x, SPAN("x-amzn-bedrock-output-token-count"), u->output);
}

static enum stage translate_stream(struct exchange *x)
{
    struct translation *t = x->translation;
    if (RW_UNLIKELY(is_invoke(x)))
        invoke_field(x, SPAN("x-amzn-bedrock-content-type"), SPAN("application/json"));
    t->pipe = arena_alloc(x->call->arena, sizeof *t->pipe);
    if (!t->pipe) return no_memory(x);
    dialect_pipe_init(t->pipe, x->provider->dialect, x->route->dialect, &t->ctx, &t->scratch, &t->reply);
    x->ask.content_type =
        x->json_array ? SPAN("application/json") : span_str(x->route->dialect->content_type);
    for (;;) {
        struct span piece = {NULL, 0};
        const int got = ask_piece(&x->ask, &piece);
        if (got < 0) return exchange_fail_ask(x, got);
        const struct arena_mark mark = arena_mark(&t->scratch);
        bool end;
        const enum stage s = feed(x, piece, got == 0 || ask_ended(&x->ask), &end);
        if (s != STAGE_GO) return s;
        arena_rewind(&t->scratch, mark);
        if (end) return STAGE_DONE;
    }
}

// What the answers of /v1/chat have besides: team, time, cost and provider, in the object that is open no more.
static bool native_metadata(struct exchange *x, struct json_out *out)
{
    const struct span answer = json_out_flat(out);
    const int64_t nanos = x->account ? x->account->cost_nanos : 0;
    char usd[FMT_DECIMAL_BYTES];
    struct fmt f;
    if (!answer.p || answer.n < 2) return false;
    fmt_init(&f, usd, sizeof usd);
    // Six decimals always, rounded up as the cost itself is.
    const int64_t micros = (nanos + 999) / 1000;
    fmt_u64(&f, (uint64_t)(micros / 1000000));
    fmt_char(&f, '.');
    for (int64_t unit = 100000; unit > 0; unit /= 10) fmt_char(&f, (char)('0' + micros / unit % 10));
    struct json_out whole;
    json_out_init(&whole, &x->translation->memory);
    json_out_bytes(&whole, (struct span){answer.p, answer.n - 1});
    json_out_bytes(&whole, SPAN(",\"gateway_metadata\":"));
    json_out_object(&whole);
    json_out_key_string(&whole, SPAN("team_id"), x->principal->team);
    json_out_key_u64(&whole, SPAN("latency_ms"),
                     (uint64_t)((x->call->loop->now_ns - x->call->started_ns) / CLOCK_MS));
    json_out_key_raw(&whole, SPAN("cost_usd"), fmt_text(&f));
    json_out_key_string(&whole, SPAN("provider"), x->provider->name);
    json_out_end(&whole);
    json_out_bytes(&whole, SPAN("}"));
    *out = whole;
    return json_out_done(out) == RW_OK;
}

static enum stage translate_whole(struct exchange *x)
{
    struct translation *t = x->translation;
    struct span body;
    struct chat_answer answer;
    const int r = ask_whole(&x->ask, x->plan->body_bytes_max, &body);
    if (r < 0) return exchange_fail_ask(x, r);
    struct json_scan *scan = arena_alloc(x->call->arena, sizeof *scan);
    if (!scan) return no_memory(x);
    if (json_scan(scan, NULL, JSON_TOP_OBJECT, body) < 0)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not valid JSON");
    enum rw_err err = dialect_answer(&t->ctx, x->provider->dialect, body, &answer);
    if (err == RW_E_EOF) return exchange_fail(x, END_UPSTREAM_BROKEN, "it has no finish reason");
    if (err == RW_E_BAD) return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not what its API promises");
    if (err) return no_memory(x);
    translate_usage(x, &answer.usage);
    if (RW_UNLIKELY(is_invoke(x))) invoke_counts(x, &answer.usage);
    struct json_out out;
    json_out_init(&out, &t->memory);
    err = x->route->dialect->encode_answer(&t->ctx, &answer, &t->reply, &out);
    if (!err) err = json_out_done(&out);
    if (err) return no_memory(x);
    x->ask.content_type = SPAN("application/json");
    exchange_charge(x, x->ask.status, out.bytes);
    if (x->route->dialect == &dialect_native && !native_metadata(x, &out)) return no_memory(x);
    relay_start(x, out.bytes);
    const enum stage s = send_out(x, &out, true);
    return s == STAGE_GO ? STAGE_DONE : s;
}

enum stage relay_translated(struct exchange *x, bool stream)
{
    if (x->translation->embedding) return relay_embeddings(x);
    return stream ? translate_stream(x) : translate_whole(x);
}

enum stage relay_translated_error(struct exchange *x)
{
    struct span body;
    struct chat_error error;
    const int r = ask_whole(&x->ask, UPSTREAM_ERROR_BYTES_MAX, &body);
    if (r == -ECANCELED) return exchange_fail_ask(x, r);
    if (r < 0) body = SPAN("");
    x->provider->dialect->decode_error(&x->translation->ctx, x->ask.status, body, &error);
    return reply_error(x, &error, END_UPSTREAM_STATUS);
}

// --- The same dialect, one that meter.c does not read.

struct watch {
    struct exchange *x;
    struct chat_reader reader;
    struct chat_error error;
};

static enum rw_err watched(void *arg, const struct chat_event *e)
{
    struct watch *w = arg;
    switch (e->kind) {
    case CHAT_EV_TEXT:
    case CHAT_EV_THINKING:
    case CHAT_EV_TOOL_START:
    case CHAT_EV_REFUSAL:
        w->x->content_events++;
        saw_content(w->x);
        break;
    case CHAT_EV_ERROR: w->error = *e->error; break;
    default: break;
    }
    return RW_OK;
}

// What goes on of the piece and of what was held back before it: whole events only, so that a stream that breaks off never ends
// in half of one. `held`: a copy of what the reader held before it was fed.
static void pass_whole_events(struct json_out *out, struct span held, struct span piece, uint32_t hold)
{
    const uint32_t n = held.n + piece.n - hold;
    const uint32_t first = n < held.n ? n : held.n;
    if (first) json_out_bytes(out, (struct span){held.p, first});
    if (n > first) json_out_bytes(out, (struct span){piece.p, n - first});
}

static enum stage watch_stream(struct exchange *x)
{
    struct translation *t = x->translation;
    struct watch *w = arena_alloc(x->call->arena, sizeof *w);
    if (!w) return no_memory(x);
    w->x = x;
    chat_reader_init(&w->reader, x->route->dialect, &t->ctx, &t->scratch, watched, w);
    for (;;) {
        struct span piece = {NULL, 0};
        const int got = ask_piece(&x->ask, &piece);
        if (got < 0) {
            // A client that leaves behind the last event has all it wanted.
            if (got == -ECANCELED && w->reader.done && x->ask.end == END_CLIENT_GONE) {
                x->call->ops->reply_break(x->call);
                return STAGE_DONE;
            }
            return exchange_fail_ask(x, got);
        }
        const bool end = got == 0 || ask_ended(&x->ask);
        const struct arena_mark mark = arena_mark(&t->scratch);
        const struct span held = arena_copy(&t->scratch, span_of(w->reader.carry, w->reader.carry_n));
        if (w->reader.carry_n && !held.p) return no_memory(x);
        enum rw_err err = piece.n ? chat_reader_feed(&w->reader, piece) : RW_OK;
        if (!err && end) err = chat_reader_end(&w->reader);
        translate_usage(x, &w->reader.usage);
        if (w->reader.failed && !x->call->replied) return reply_error(x, &w->error, END_STREAM_ERROR);
        x->error_sent = w->reader.failed;
        struct json_out out;
        json_out_init(&out, &t->scratch);
        pass_whole_events(&out, held, piece, end && !err ? 0 : w->reader.carry_n);
        if (end && !err && w->reader.failed) x->end = END_STREAM_ERROR;
        x->answered = w->reader.done;
        const enum stage s = send_out(x, &out, end && !err);
        if (s != STAGE_GO) return s;
        arena_rewind(&t->scratch, mark);
        if (err == RW_E_TOO_LARGE) return no_memory(x);
        if (err) return exchange_fail(x, END_TRUNCATED, "it ended without a finish reason");
        if (end) return STAGE_DONE;
    }
}

static enum stage watch_whole(struct exchange *x)
{
    struct translation *t = x->translation;
    struct span body;
    struct chat_answer answer;
    const int r = ask_whole(&x->ask, x->plan->body_bytes_max, &body);
    if (r < 0) return exchange_fail_ask(x, r);
    struct json_scan *scan = arena_alloc(x->call->arena, sizeof *scan);
    if (!scan) return no_memory(x);
    if (json_scan(scan, NULL, JSON_TOP_OBJECT, body) < 0)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not valid JSON");
    const enum rw_err err = dialect_answer(&t->ctx, x->route->dialect, body, &answer);
    if (err == RW_E_TOO_LARGE) return no_memory(x);
    if (err) return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not what its API promises");
    translate_usage(x, &answer.usage);
    exchange_charge(x, x->ask.status, body.n);
    relay_start(x, body.n);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n};
    const enum stage s = relay_forward(x, &iov, 1, true);
    return s == STAGE_GO ? STAGE_DONE : s;
}

enum stage relay_watched(struct exchange *x, bool stream)
{
    const enum stage s = translate_open(x);
    if (s != STAGE_GO) return s;
    return stream ? watch_stream(x) : watch_whole(x);
}
