// See ask.h.
#include "gateway/ask.h"

#include "gateway/echo.h"
#include "gateway/worker.h"
#include "wire/gzip.h"

// A decoder's memory, and behind it the room it writes to.
#define DECODING_BYTES KIB(64)

static struct io_loop *loop_of(const struct ask *a)
{
    return &a->worker->loop;
}

static int64_t now(const struct ask *a)
{
    return loop_of(a)->now_ns;
}

// The earlier of the total time limit and `span_ns` from now (0: off).
static int64_t until(const struct ask *a, int64_t span_ns)
{
    return clock_earlier(a->total_until_ns, clock_deadline(now(a), span_ns));
}

// --- Failing: every error gets the words that fit it.

static int fail(struct ask *a, int err, enum rw_end end, const char *detail)
{
    a->end = end;
    a->detail = detail;
    return err;
}

static int fail_cancelled(struct ask *a)
{
    const enum rw_end why = fiber_cancelled();
    return fail(a, -ECANCELED, why != END_OK ? why : END_CLIENT_GONE, NULL);
}

static int fail_connect(struct ask *a, int err)
{
    const enum rw_end end = a->provider->proxied ? END_UPSTREAM_PROXY : END_UPSTREAM_CONNECT;
    switch (err) {
    case -ECANCELED: return fail_cancelled(a);
    case -ETIME: return fail(a, err, end, "no connection within timeouts.connect");
    case -ECONNREFUSED: return fail(a, err, end, "the connection was refused");
    case -EHOSTUNREACH: return fail(a, err, end, "its address is not known or not reachable");
    case RW_E_PROXY: return fail(a, err, end, a->worker->origins[a->provider->origin].proxy_why);
    case RW_E_TLS: {
        const enum tls_why why = a->worker->origins[a->provider->origin].tls_why;
        if (why == TLS_BUSY || why == TLS_NO_MEMORY) return fail(a, err, END_OVERLOADED, tls_why_text(why));
        return fail(a, err, END_UPSTREAM_TLS, tls_why_text(why));
    }
    case -EMFILE: return fail(a, err, END_OVERLOADED, "too many connections to this provider");
    case RW_E_BUDGET:
    case -ENOMEM: return fail(a, err, END_OVERLOADED, "memory");
    default: return fail(a, err, end, "the connection failed");
    }
}

// While the answer is awaited or read. `began`: some of it was there.
static int fail_answer(struct ask *a, int err, bool began, const char *time_limit)
{
    switch (err) {
    case -ECANCELED: return fail_cancelled(a);
    case -ETIME:
        return fail(a, err, END_UPSTREAM_TIMEOUT,
                    now(a) >= a->total_until_ns ? "timeouts.total" : time_limit);
    case RW_E_BAD: return fail(a, err, END_UPSTREAM_BROKEN, a->up->bad_reason);
    case RW_E_TOO_LARGE: return fail(a, err, END_UPSTREAM_BROKEN, "it is larger than limits.body");
    case RW_E_BUDGET: return fail(a, err, END_OVERLOADED, "memory");
    default:
        return began ? fail(a, err, END_TRUNCATED, "the connection was lost")
                     : fail(a, err, END_UPSTREAM_BROKEN, "the connection was closed before an answer");
    }
}

// --- One attempt.

// Request line and fields, in the arena, as iov[0].
static int request_head(struct ask *a, struct iovec *ret)
{
    const struct plan_provider *p = a->provider;
    // Nearly all are asked for a chat: how that begins is ready.
    const bool chat = a->method == HTTP_POST && a->path.p == p->chat_path.p && a->path.n == p->chat_path.n;
    const uint32_t cap =
        256 + p->path_prefix.n + a->path.n + p->head_fields.n + a->fields.n + a->authorization.n;
    uint8_t *bytes = arena_alloc(a->arena, cap);
    if (!bytes) return RW_E_BUDGET;
    struct http_writer w = http_writer(bytes, cap);
    if (RW_LIKELY(chat)) {
        http_write_raw(&w, p->chat_front);
    } else {
        http_write_raw(&w, http_method_name(a->method));
        http_write_raw(&w, SPAN(" "));
        http_write_raw(&w, p->path_prefix);
        http_write_raw(&w, a->path);
        http_write_raw(&w, SPAN(" HTTP/1.1\r\n"));
        http_write_raw(&w, p->head_fields);
    }
    http_write_raw(&w, a->fields);
    if (RW_UNLIKELY(a->authorization.n)) http_write_raw(&w, a->authorization);
    if (a->upload && a->upload->framing.kind == HTTP_BODY_CHUNKED)
        http_write_raw(&w, SPAN("transfer-encoding: chunked\r\n"));
    else if (a->method == HTTP_POST)
        http_write_field_u64(&w, SPAN("content-length"),
                             a->upload ? a->upload->framing.length : a->body_bytes);
    const uint32_t n = http_write_end(&w);
    MUST(n > 0);
    *ret = (struct iovec){.iov_base = bytes, .iov_len = n};
    return 0;
}

// Passes the client's body on piece by piece. 0 also when the answer began before its end.
static int send_upload(struct ask *a, struct iovec *head)
{
    struct call *call = a->upload;
    const bool chunked = call->framing.kind == HTTP_BODY_CHUNKED;
    int r = up_send(a->up, head, 1, false, until(a, a->timeouts->idle_ns));
    while (r == 0) {
        struct span piece;
        r = call->ops->body_read(call, a->upload_bytes_max, clock_deadline(now(a), a->upload_idle_ns),
                                 &piece);
        if (r < 0) {
            a->client_failed = true;
            return r;
        }
        uint8_t size[HTTP_CHUNK_SIZE_BYTES_MAX];
        static char crlf[] = "\r\n", last[] = HTTP_CHUNK_LAST;
        struct iovec iov[3];
        uint32_t n = 0;
        if (r == 1) {
            if (chunked)
                iov[n++] = (struct iovec){.iov_base = size, .iov_len = http_write_chunk_size(size, piece.n)};
            iov[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)piece.p, .iov_len = piece.n};
            if (chunked) iov[n++] = (struct iovec){.iov_base = crlf, .iov_len = 2};
        } else if (chunked) {
            iov[n++] = (struct iovec){.iov_base = last, .iov_len = sizeof last - 1};
        }
        const bool end = r == 0;
        r = n > 0 ? up_send(a->up, iov, n, end, until(a, a->timeouts->idle_ns)) : 0;
        if (end || (r == 0 && !a->up->sent_all)) break;
    }
    return r;
}

static int send_request(struct ask *a)
{
    // Sending uses the list up: each attempt has its own.
    struct iovec *iov = arena_alloc(a->arena, (1 + a->body_iov) * (uint32_t)sizeof *iov);
    if (!iov) return RW_E_BUDGET;
    const int r = request_head(a, &iov[0]);
    if (r < 0) return r;
    if (a->upload) return send_upload(a, &iov[0]);
    if (a->body_iov) memcpy(&iov[1], a->body, a->body_iov * sizeof *iov);
    return up_send(a->up, iov, 1 + a->body_iov, true, until(a, a->timeouts->idle_ns));
}

// *ret_stale: the pooled connection had been closed by the provider; nothing of an answer came.
static int attempt(struct ask *a, bool fresh, bool *ret_stale)
{
    *ret_stale = false;
    struct up_origin *o = &a->worker->origins[a->provider->origin];
    const struct up_patience patience = {.connect_ns = a->timeouts->connect_ns,
                                         .tls_ns = a->timeouts->tls_ns,
                                         .until_ns = a->total_until_ns,
                                         .tunnel = a->provider->tunnel};
    int r = up_take(o, fresh, &patience, &a->up);
    if (r < 0) return fail_connect(a, r);
    a->attempts++;
    r = send_request(a);
    a->sent_ns = now(a);
    if (a->client_failed) return r;
    const int64_t first = a->stream ? a->timeouts->first_byte_ns : 0;
    if (r == 0)
        r = up_head(a->up, a->method, clock_earlier(until(a, first), a->first_token_until_ns), a->head);
    a->head_ns = now(a);
    a->waited_ns += a->head_ns - a->sent_ns;
    if (r == 0) return 0;
    *ret_stale = a->up->reused && !a->up->answered && r != -ETIME && r != -ECANCELED && !a->upload;
    if (*ret_stale) a->up->origin->stale_total++;
    return fail_answer(a, r, false, "timeouts.first_byte");
}

static bool is_gzip(struct span coding)
{
    return span_ieq(coding, SPAN("gzip")) || span_ieq(coding, SPAN("x-gzip"));
}

static int answer_began(struct ask *a)
{
    a->status = a->head->status;
    a->content_type = arena_copy(a->arena, http_value(a->head, HTTP_N_CONTENT_TYPE));
    a->whole_length_known = a->up->framing.kind == HTTP_BODY_LENGTH || a->up->framing.kind == HTTP_BODY_NONE;
    a->length = a->up->framing.length;
    const struct span coding = http_value(a->head, HTTP_N_CONTENT_ENCODING);
    if (coding.n == 0 || span_ieq(coding, SPAN("identity")) || a->up->body_done) return 0;
    a->coded = !is_gzip(coding) || http_is_doubled(a->head, HTTP_N_CONTENT_ENCODING);
    if (a->coded) return 0;
    a->whole_length_known = false;
    a->decoding = io_buf_region(loop_of(a), DECODING_BYTES);
    if (!a->decoding) return fail(a, RW_E_BUDGET, END_OVERLOADED, "memory");
    a->gzip = gzip_open(a->decoding->data);
    return 0;
}

// total_until_ns stands.
static int open_within(struct ask *a)
{
    a->first_token_until_ns = a->stream ? clock_deadline(now(a), a->timeouts->first_token_ns) : CLOCK_NEVER;
    if (a->provider->kind == PLAN_ECHO) return echo_open(a);
    a->head = arena_alloc(a->arena, sizeof *a->head);
    if (!a->head) return fail(a, RW_E_BUDGET, END_OVERLOADED, "memory");
    bool stale;
    int r = RW_UNLIKELY(a->provider->credential) ? credential_authorize(a) : 0;
    if (r < 0) return r;
    r = attempt(a, false, &stale);
    if (r < 0 && stale) {
        up_give(a->up);
        a->up = NULL;
        r = attempt(a, true, &stale);
    }
    return r == 0 ? answer_began(a) : r;
}

int ask_open(struct ask *a)
{
    a->total_until_ns = clock_deadline(now(a), a->timeouts->total_ns);
    return open_within(a);
}

int ask_again(struct ask *a)
{
    ask_close(a);
    a->gzip = NULL;
    a->coded_left = (struct span){NULL, 0};
    a->decode_more = false;
    return open_within(a);
}

// --- The answer.

// The next piece as the provider sent it.
static int received(struct ask *a, int64_t deadline_ns, struct span *ret)
{
    const int64_t from = now(a);
    const int r = up_body(a->up, clock_earlier(deadline_ns, a->first_token_until_ns), ret);
    a->waited_ns += now(a) - from;
    if (r >= 0) return r;
    return fail_answer(a, r, true,
                       now(a) >= a->first_token_until_ns ? "timeouts.first_token" : "timeouts.idle");
}

// The next piece of what was compressed. 1, or 0 at the end, which is there only if both endings are.
static int decoded(struct ask *a, int64_t deadline_ns, struct span *ret)
{
    uint8_t *room = a->decoding->data + GZIP_MEMORY_BYTES;
    const uint32_t cap = a->decoding->cap - GZIP_MEMORY_BYTES;
    for (;;) {
        if (a->slice_bytes > IO_BYTES_PER_SLICE) {
            a->slice_bytes = 0;
            if (fiber_yield() < 0) return fail_cancelled(a);
        }
        uint32_t n = 0;
        if (a->coded_left.n > 0 || a->decode_more) {
            const enum rw_err err = gzip_next(a->gzip, &a->coded_left, room, cap, &n);
            if (err) return fail(a, err, END_UPSTREAM_BROKEN, gzip_reason(a->gzip));
        }
        a->decode_more = n == cap;
        a->slice_bytes += n;
        *ret = span_of(room, n);
        if (n > 0) return 1;
        const int r = received(a, deadline_ns, &a->coded_left);
        if (r < 0) return r;
        if (r == 0) return gzip_whole(a->gzip) ? 0 : fail(a, RW_E_EOF, END_TRUNCATED, "its gzip has no end");
    }
}

static int decoded_whole(struct ask *a, uint64_t max, struct span *ret)
{
    struct span piece = {NULL, 0};
    int r;
    while ((r = decoded(a, a->total_until_ns, &piece)) == 1) {
        const enum rw_err err = io_buf_grow(loop_of(a), &a->decoded, piece.n, max);
        if (err) return fail_answer(a, err, true, NULL);
        memcpy(a->decoded->data + a->decoded->len, piece.p, piece.n);
        a->decoded->len += piece.n;
    }
    if (r == 0) *ret = a->decoded ? io_buf_span(a->decoded) : SPAN("");
    return r;
}

int ask_whole(struct ask *a, uint64_t max, struct span *ret)
{
    if (a->generator) return echo_whole(a, ret);
    if (a->gzip) return decoded_whole(a, max, ret);
    const int64_t from = now(a);
    // A call that does not stream waits until total; idle holds between bytes of a body that has begun.
    const int r = up_body_whole(a->up, max, a->total_until_ns, ret);
    a->waited_ns += now(a) - from;
    return r < 0 ? fail_answer(a, r, true, "timeouts.idle") : 0;
}

int ask_piece(struct ask *a, struct span *ret)
{
    if (a->generator) return echo_piece(a, ret);
    const int64_t deadline_ns = until(a, a->timeouts->idle_ns);
    return a->gzip ? decoded(a, deadline_ns, ret) : received(a, deadline_ns, ret);
}

bool ask_ended(const struct ask *a)
{
    if (a->generator) return echo_ended(a);
    // Of a compressed answer the end is known when nothing comes any more.
    return a->up->body_done && !a->gzip;
}

void ask_close(struct ask *a)
{
    if (a->up) up_give(a->up);
    if (a->decoding) io_buf_free(loop_of(a), a->decoding);
    if (a->decoded) io_buf_free(loop_of(a), a->decoded);
    a->up = NULL;
    a->decoding = a->decoded = NULL;
}
