// The answer on its way to the client: whole, as a stream of events, or as pieces of whatever it is. Events leave as the bytes
// in which they came; all that one receive brought leaves in one send. Only an event that is not whole yet is held back, which
// no client can tell, since it acts on whole ones.
#include "base/fmt.h"
#include "base/limits.h"
#include "gateway/account.h"
#include "gateway/flight.h"
#include "gateway/meter.h"
#include "gateway/once.h"
#include "gateway/relay.h"
#include "gateway/worker.h"
#include "providers/dialect.h"
#include "wire/sse.h"

// A partial event is completed in steps of this size, so that little is copied twice.
#define CARRY_STEP_BYTES 1024u
#define CARRY_FIRST_BYTES KIB(4)
// Events that lie one behind the other are one entry.
#define RELAY_IOV_MAX 12
static_assert(RELAY_IOV_MAX <= CALL_IOV_MAX, "one write takes them all");

struct relay {
    struct exchange *x;
    struct meter meter;
    struct sse sse;
    struct io_buf *carry; // the beginning of an event that is not whole yet
    struct span model; // to put in the place of the provider's, as JSON; n 0: it stays
    struct iovec iov[RELAY_IOV_MAX];
    uint32_t iov_n;
    bool first_seen; // an event
    bool error; // the provider's own was seen
};

static enum stage send_failed(struct exchange *x, int err)
{
    const enum rw_end why = fiber_cancelled();
    return exchange_fail(x,
                         why != END_OK           ? why
                             : err == -ECANCELED ? END_CLIENT_GONE
                                                 : END_SEND_FAILED,
                         NULL);
}

// The same as a literal, compared in place.
#define IS(s, literal) ((s).n == sizeof(literal) - 1 && memcmp((s).p, (literal), sizeof(literal) - 1) == 0)

// Nearly all are one of two.
static void add_type(struct call_reply *reply, struct call_field *fields, struct span type)
{
    if (IS(type, "application/json"))
        reply->lines[reply->line_count++] = SPAN("content-type: application/json\r\n");
    else if (IS(type, "text/event-stream"))
        reply->lines[reply->line_count++] = SPAN("content-type: text/event-stream\r\n");
    else if (type.n) exchange_reply_add(reply, fields, SPAN("content-type"), type);
}

void relay_head(struct exchange *x, uint64_t length)
{
    struct call_field fields[CALL_FIELDS_MAX];
    struct call_reply reply;
    exchange_reply_init(x, &reply, fields);
    reply.status = x->ask.status;
    reply.length = length;
    add_type(&reply, fields, x->ask.content_type);
    x->call->ops->reply_start(x->call, &reply);
}

void relay_start(struct exchange *x, uint64_t length)
{
    if (RW_LIKELY(!x->flight) || flight_head(x, length)) relay_head(x, length);
}

enum stage relay_forward(struct exchange *x, const struct iovec *iov, uint32_t n, bool last)
{
    const int64_t from = x->call->loop->now_ns;
    // With these bytes the client has all of it.
    if ((last || x->answered) && x->account) {
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < n; i++) bytes += iov[i].iov_len;
        exchange_charge(x, x->flight ? x->ask.status : x->call->status, bytes);
        account_commit(x);
    }
    const enum flight_way way = RW_LIKELY(!x->flight) ? FLIGHT_SEND : flight_take(x, iov, n);
    if (way == FLIGHT_FAIL) return STAGE_FAIL;
    if (RW_UNLIKELY(x->claim) && (last || x->answered)) once_commit(x);
    int r = 0;
    if (way == FLIGHT_SEND) r = x->call->ops->reply_write(x->call, iov, n, last, exchange_write_until(x));
    if (x->flight) flight_sent(x);
    x->client_wait_ns += x->call->loop->now_ns - from;
    if (r < 0) return send_failed(x, r);
    for (uint32_t i = 0; i < n; i++) x->answer_bytes += iov[i].iov_len;
    return STAGE_GO;
}

// The name the client asked for, as JSON; empty if there is no memory.
static struct span model_json(struct exchange *x)
{
    const uint32_t cap = FMT_JSON_BYTES(x->model_asked.n);
    char *text = arena_alloc(x->call->arena, cap);
    struct fmt f;
    fmt_init(&f, text, text ? cap : 0);
    fmt_json_string(&f, x->model_asked);
    return fmt_text(&f);
}

// --- An event stream.

static void put(struct relay *r, const uint8_t *p, size_t n)
{
    if (n == 0) return;
    if (r->iov_n > 0) {
        struct iovec *before = &r->iov[r->iov_n - 1];
        if ((const uint8_t *)before->iov_base + before->iov_len == p) {
            before->iov_len += n;
            return;
        }
    }
    MUST(r->iov_n < RELAY_IOV_MAX);
    r->iov[r->iov_n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

// The event with the model's name in it replaced.
static void put_renamed(struct relay *r, const struct sse_event *e)
{
    const struct json_value *v = &r->meter.scan->value[METER_MODEL];
    const bool other = r->model.n && v->type == JSON_STRING && e->data_lines == 1 &&
        !span_eq(r->model, (struct span){e->data.p + v->off, v->len});
    if (!other) {
        put(r, e->raw.p, e->raw.n);
        return;
    }
    const uint8_t *value = e->data.p + v->off, *end = e->raw.p + e->raw.n;
    put(r, e->raw.p, (size_t)(value - e->raw.p));
    put(r, r->model.p, r->model.n);
    put(r, value + v->len, (size_t)(end - value - v->len));
}

// What was collected goes out.
static enum stage flush(struct relay *r, bool last)
{
    struct exchange *x = r->x;
    if (r->iov_n == 0 && !last) return STAGE_GO;
    if (!x->call->replied) {
        relay_start(x, CALL_CHUNKED);
        x->streaming = true;
    }
    const enum stage s = relay_forward(x, r->iov, r->iov_n, last);
    r->iov_n = 0;
    return s;
}

// A stream whose first event is an error has not begun: the client gets it as an error.
static enum stage first_is_error(struct relay *r, struct span data)
{
    struct exchange *x = r->x;
    x->end = END_STREAM_ERROR;
    return exchange_reply(x, 502, SPAN("application/json"), data);
}

static enum stage one_event(struct relay *r, const struct sse_event *e)
{
    struct exchange *x = r->x;
    struct span data = e->data;
    struct arena *arena = x->call->arena;
    const struct arena_mark mark = arena_mark(arena);
    // A field of several lines is put together only to be looked at.
    if (e->data_lines > 1) {
        uint8_t *buf = arena_alloc(arena, e->raw.n);
        if (!buf || sse_data(e, buf, e->raw.n, &data)) return exchange_fail(x, END_OVERLOADED, "memory");
    }
    enum meter_event kind = METER_PLAIN;
    if (e->data_lines > 0 && !e->passed) kind = meter_event(&r->meter, data, &x->usage);
    if (e->data_lines > 1 && kind != METER_ERROR) arena_rewind(arena, mark);
    x->mid_event = false;
    const bool first = !r->first_seen;
    if (e->data_lines > 0) r->first_seen = true;
    switch (kind) {
    case METER_PLAIN:
        if (r->meter.first_token && !x->first_token_ns) {
            x->first_token_ns = x->call->loop->now_ns;
            x->ask.first_token_until_ns = CLOCK_NEVER;
        }
        x->content_events++;
        put_renamed(r, e);
        return STAGE_GO;
    case METER_USAGE_ONLY:
        // Injected by us: the client did not ask for it.
        if (x->usage_asked || !x->route->usage_on_request) put_renamed(r, e);
        return STAGE_GO;
    case METER_ERROR:
        // A comment may have begun the stream already.
        if (first && !x->call->replied) return first_is_error(r, data);
        r->error = x->error_sent = true;
        put(r, e->raw.p, e->raw.n);
        return STAGE_GO;
    case METER_DONE:
        // Without a finish reason it is not complete, whatever it says.
        if (x->route->finishes && !r->meter.finished && !r->error) {
            const enum stage s = flush(r, false);
            return s != STAGE_GO ? s : exchange_fail(x, END_TRUNCATED, "it ended without a finish reason");
        }
        put(r, e->raw.p, e->raw.n);
        x->answered = true;
        return STAGE_GO;
    case METER_BAD:
        (void)COUNT_IF(kind == METER_BAD); // skipped
        return STAGE_GO;
    }
    UNREACHABLE("an event of no kind");
}

// All whole events in p[0 .. n); *ret_used bytes of it.
static enum stage events(struct relay *r, const uint8_t *p, uint32_t n, uint32_t limit, uint32_t *ret_used)
{
    struct sse_event e;
    uint32_t used = 0, count = 0;
    enum stage s = STAGE_GO;
    while (s == STAGE_GO && count < limit && sse_next(&r->sse, p + used, n - used, &e) > 0) {
        if (r->iov_n + 3 > RELAY_IOV_MAX) s = flush(r, false);
        if (s == STAGE_GO) s = one_event(r, &e);
        used += e.raw.n;
        count++;
    }
    *ret_used = used;
    return s;
}

static bool carry_add(struct relay *r, const uint8_t *p, uint32_t n)
{
    struct io_loop *loop = r->x->call->loop;
    struct io_buf *old = r->carry;
    const uint32_t have = old ? old->len : 0;
    if (!old || n > old->cap - have) {
        uint32_t cap = old ? old->cap * 2 : CARRY_FIRST_BYTES;
        while (cap < have + n) cap *= 2;
        struct io_buf *b = io_buf_region(loop, cap);
        if (!b) return false;
        if (old) {
            memcpy(b->data, old->data, have);
            io_buf_free(loop, old);
        }
        b->len = have;
        r->carry = b;
    }
    memcpy(r->carry->data + r->carry->len, p, n);
    r->carry->len += n;
    return true;
}

static void carry_drop(struct relay *r)
{
    if (r->carry) io_buf_free(r->x->call->loop, r->carry);
    r->carry = NULL;
}

// Completes the event that was begun in earlier pieces, if this one has its end. *p and *n: what is left of the piece.
static enum stage carry_complete(struct relay *r, const uint8_t **p, uint32_t *n)
{
    while (r->carry && r->carry->len > 0 && *n > 0) {
        const uint32_t step = *n < CARRY_STEP_BYTES ? *n : CARRY_STEP_BYTES;
        if (!carry_add(r, *p, step)) return exchange_fail(r->x, END_OVERLOADED, "memory");
        *p += step;
        *n -= step;
        uint32_t used;
        const enum stage s = events(r, r->carry->data, r->carry->len, 1, &used);
        if (s != STAGE_GO) return s;
        if (used > 0) {
            // What lies behind that event in the carry lies in the piece, too.
            const uint32_t back = r->carry->len - used;
            *p -= back;
            *n += back;
            r->carry->len = 0;
            return STAGE_GO;
        }
        if (r->carry->len > SSE_EVENT_HOLD_BYTES_MAX) {
            // Too long to be one of ours: it goes on unread.
            sse_pass(&r->sse, r->carry->len);
            put(r, r->carry->data, r->carry->len);
            const enum stage sent = flush(r, false);
            if (sent != STAGE_GO) return sent;
            r->carry->len = 0;
            r->first_seen = r->x->mid_event = true;
        }
    }
    return STAGE_GO;
}

static enum stage take_piece(struct relay *r, struct span piece)
{
    const uint8_t *p = piece.p;
    uint32_t n = piece.n;
    enum stage s = carry_complete(r, &p, &n);
    if (s != STAGE_GO || n == 0) return s;
    uint32_t used = 0;
    s = events(r, p, n, UINT32_MAX, &used);
    if (s != STAGE_GO) return s;
    // The completed event may still be on its way out of the carry: it is sent before more is put there.
    if (used < n && r->iov_n > 0 && r->carry) {
        s = flush(r, false);
        if (s != STAGE_GO) return s;
    }
    if (used < n && !carry_add(r, p + used, n - used)) return exchange_fail(r->x, END_OVERLOADED, "memory");
    return STAGE_GO;
}

// The provider's stream has ended in order. Is it whole?
static enum stage stream_end(struct relay *r)
{
    struct exchange *x = r->x;
    if (!r->first_seen) return exchange_fail(x, END_UPSTREAM_BROKEN, "an event stream without an event");
    if (r->carry && r->carry->len > 0) {
        if (sse_rest(&r->sse, r->carry->data, r->carry->len).n > 0)
            return exchange_fail(x, END_TRUNCATED, "the last event is not whole");
        put(r, r->carry->data, r->carry->len); // an LF that belongs to the CR of the last event
    }
    if (r->error) {
        x->end = END_STREAM_ERROR;
    } else if (x->route->finishes && !r->meter.finished) {
        return exchange_fail(x, END_TRUNCATED, "it ended without a finish reason");
    }
    return STAGE_GO;
}

static enum stage stream(struct relay *r)
{
    struct exchange *x = r->x;
    for (;;) {
        struct span piece;
        const int got = ask_piece(&x->ask, &piece);
        if (got < 0) {
            // A client that leaves behind [DONE] has all it wanted.
            if (got == -ECANCELED && r->meter.done && x->ask.end == END_CLIENT_GONE) {
                x->call->ops->reply_break(x->call);
                return STAGE_DONE;
            }
            return exchange_fail_ask(x, got);
        }
        enum stage s = STAGE_GO;
        if (got > 0) s = take_piece(r, piece);
        const bool end = s == STAGE_GO && (got == 0 || ask_ended(&x->ask));
        if (end) {
            s = stream_end(r);
            // What came before the break is the client's all the same.
            if (s == STAGE_FAIL && r->iov_n > 0 && flush(r, false) != STAGE_GO) return STAGE_FAIL;
        }
        if (s == STAGE_GO) s = flush(r, end);
        if (s != STAGE_GO || end) return s == STAGE_GO ? STAGE_DONE : s;
    }
}

static enum stage relay_stream(struct exchange *x)
{
    struct relay *r = arena_alloc(x->call->arena, sizeof *r);
    if (!r) return exchange_fail(x, END_OVERLOADED, "memory");
    memset(r, 0, sizeof *r);
    r->x = x;
    struct json_twin *twin = NULL;
    // Providers answer with names of their own ("…-2024-08-06"), also when they are asked for the same one.
    if (x->plan->response_model_requested) {
        r->model = model_json(x);
        if (!r->model.n) return exchange_fail(x, END_OVERLOADED, "memory");
    } else {
        twin = arena_alloc(x->call->arena, sizeof *twin);
        if (!twin) return exchange_fail(x, END_OVERLOADED, "memory");
        twin->n = twin->holes = 0;
        twin->misses = 0;
    }
    // The scan of the request has done its work.
    meter_init(&r->meter, x->scan, twin);
    const enum stage s = stream(r);
    carry_drop(r);
    return s;
}

// --- A whole answer.

static enum stage relay_json(struct exchange *x)
{
    struct span body;
    int r = ask_whole(&x->ask, x->plan->body_bytes_max, &body);
    if (r < 0) return exchange_fail_ask(x, r);
    struct meter meter, *const m = &meter;
    meter_init(m, x->scan, NULL);
    if (body.n == 0) return exchange_fail(x, END_UPSTREAM_BROKEN, "it is empty");
    struct json_form *form = x->provider->kind == PLAN_HTTP ? &x->worker->answers[x->provider->origin] : NULL;
    r = meter_whole(m, form, body, &x->usage);
    if (r == -ECANCELED && fiber_cancelled() != END_OK) return exchange_fail_client(x, r);
    if (r < 0) return exchange_fail(x, END_UPSTREAM_BROKEN, "it is not valid JSON");
    if (r == 0) return exchange_fail(x, END_UPSTREAM_BROKEN, "it is an error, sent as a success");
    struct iovec iov[3] = {{.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n}};
    uint32_t n = 1;
    uint64_t length = body.n;
    const struct json_value *v = &m->scan->value[METER_MODEL];
    if (x->plan->response_model_requested && v->type == JSON_STRING) {
        const struct span name = model_json(x);
        if (!name.n) return exchange_fail(x, END_OVERLOADED, "memory");
        iov[0].iov_len = v->off;
        iov[1] = (struct iovec){.iov_base = (void *)(uintptr_t)name.p, .iov_len = name.n};
        iov[2] = (struct iovec){.iov_base = (void *)(uintptr_t)(body.p + v->off + v->len),
                                .iov_len = body.n - v->off - v->len};
        n = 3;
        length = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len;
    }
    exchange_charge(x, x->ask.status, length);
    relay_start(x, length);
    const enum stage s = relay_forward(x, iov, n, true);
    return s == STAGE_GO ? STAGE_DONE : s;
}

// --- Anything else: bytes as they come.

static enum stage relay_raw(struct exchange *x)
{
    const bool known = x->ask.whole_length_known;
    uint64_t left = x->ask.length;
    bool started = false;
    for (;;) {
        struct span piece = {NULL, 0};
        const int got = ask_piece(&x->ask, &piece);
        if (got < 0) return exchange_fail_ask(x, got);
        const bool end = got == 0 || ask_ended(&x->ask);
        if (!started) relay_start(x, known ? left : CALL_CHUNKED);
        started = true;
        const struct iovec iov = {.iov_base = (void *)(uintptr_t)piece.p, .iov_len = piece.n};
        const enum stage s = relay_forward(x, &iov, piece.n > 0, end);
        if (s != STAGE_GO) return s;
        if (end) return STAGE_DONE;
    }
}

// --- A refusal of the provider's: its own words, if they are in the client's dialect.

static enum stage relay_error(struct exchange *x)
{
    struct span body;
    // A provider knows no proxies: this was said on the way to it.
    if (x->ask.status == 407 && x->provider->proxied)
        return exchange_fail(x, END_UPSTREAM_PROXY, up_proxy_why(407));
    // The client's own key was good: it must not be told otherwise.
    if (x->ask.status == 401 || x->ask.status == 403) {
        const struct worker_cfg *cfg = &x->worker->cfg;
        if (cfg->credentials_refused)
            cfg->credentials_refused(cfg->ctx, x->plan, x->provider->index, x->ask.status,
                                     x->call->loop->now_ns);
        return exchange_fail(x, END_UPSTREAM_AUTH, NULL);
    }
    if (x->translated) return relay_translated_error(x);
    const int r = ask_whole(&x->ask, UPSTREAM_ERROR_BYTES_MAX, &body);
    if (r == -ECANCELED) return exchange_fail_ask(x, r);
    struct json_scan *s = arena_alloc(x->call->arena, sizeof *s);
    if (!s) return exchange_fail(x, END_OVERLOADED, "memory");
    if (r < 0 || json_scan(s, NULL, JSON_TOP_OBJECT, body) < 0)
        return exchange_fail_text(x, END_UPSTREAM_STATUS, SPAN("it answered "),
                                  http_status_text(x->ask.status), SPAN(" without a usable message"));
    x->end = END_UPSTREAM_STATUS;
    return exchange_reply(x, x->ask.status, SPAN("application/json"), body);
}

// With parameters, or in upper case.
static bool is_type_by_parts(struct span content_type, struct span want)
{
    if (content_type.n < want.n || (content_type.p[0] | 0x20) != want.p[0]) return false;
    struct span type = span_trim((struct span){content_type.p, span_find(content_type, ';')});
    return span_ieq(type, want);
}

// As everybody writes it, or as it may be written.
#define IS_TYPE(content_type, want) (IS((content_type), want) || is_type_by_parts((content_type), SPAN(want)))

enum stage exchange_relay(struct exchange *x)
{
    const struct ask *a = &x->ask;
    if (a->status >= 400) return relay_error(x);
    if (a->status != 200 && a->status < 300)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "its status is not 200");
    if (a->status >= 300)
        return exchange_fail(x, END_UPSTREAM_BROKEN, "it redirects, which is never followed");
    if (a->coded)
        return exchange_fail(x, END_UPSTREAM_BROKEN,
                             "its content coding is not one that is understood here (identity and gzip are)");
    if (x->route->kind == ROUTE_PASS_JSON) {
        const bool stream = IS_TYPE(a->content_type, "text/event-stream") ||
            IS_TYPE(a->content_type, "application/vnd.amazon.eventstream");
        const bool json = IS_TYPE(a->content_type, "application/json");
        if (x->translated && (stream || json)) return relay_translated(x, stream);
        if (x->route->chat && x->route->dialect != &dialect_openai && (stream || json))
            return relay_watched(x, stream);
        if (stream) return relay_stream(x);
        if (json) return relay_json(x);
        if (x->route->finishes || x->stream || IS_TYPE(a->content_type, "text/html"))
            return exchange_fail(x, END_UPSTREAM_BROKEN,
                                 "its content type is neither JSON nor an event stream");
    }
    return relay_raw(x);
}
