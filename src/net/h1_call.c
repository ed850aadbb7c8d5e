// struct call over HTTP/1.1: see call.h. The answer's head, the framing and the body of a write leave in one send.
#include "base/fmt.h"
#include "base/limits.h"
#include "net/h1_conn.h"

// What is read and dropped behind an answer, so that the connection can be used again; more is not worth the time.
#define DRAIN_BYTES_MAX KIB(64)
#define DRAIN_NS (2 * CLOCK_SEC)

static struct h1_call *call_of(struct call *c)
{
    return (struct h1_call *)(void *)c;
}

void h1_call_begin(struct h1_call *c)
{
    const struct http_framing *f = &c->call.framing;
    c->body_left = f->kind == HTTP_BODY_LENGTH ? f->length : 0;
    c->call.body_done = f->kind == HTTP_BODY_NONE || (f->kind == HTTP_BODY_LENGTH && f->length == 0);
    c->continued = !f->expect_continue;
    c->close = !f->keep_alive;
}

// --- The request's body.

// Behind what was collected before; of refusals, which are short and written at once.
static int collect(struct h1_call *c, const struct iovec *iov, uint32_t n)
{
    size_t bytes = c->collected.n;
    for (uint32_t i = 0; i < n; i++) bytes += iov[i].iov_len;
    uint8_t *all = bytes <= EXCHANGE_ARENA_BYTES_MAX ? arena_alloc(c->call.arena, (uint32_t)bytes) : NULL;
    if (!all) return RW_E_BUDGET;
    if (c->collected.n) memcpy(all, c->collected.p, c->collected.n);
    size_t at = c->collected.n;
    for (uint32_t i = 0; i < n; at += iov[i++].iov_len) memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
    c->collected = span_of(all, bytes);
    return 0;
}

// last: the answer is complete with it. What is done then concerns nobody who waits, unless the client closed its request with
// the connection or has sent the next one.
static int send_all(struct h1_call *c, struct iovec *iov, uint32_t n, bool last, int64_t deadline_ns)
{
    struct io_stream *s = &c->conn->s;
    const bool patient = last && !c->close && s->unread == 0;
    c->conn->answered = last;
    const int r = c->collect ? collect(c, iov, n) : io_stream_send(s, iov, n, patient, deadline_ns);
    if (r < 0) c->call.broken = true;
    return r;
}

static int reply_continue(struct call *call, int64_t deadline_ns)
{
    struct h1_call *c = call_of(call);
    if (c->continued || call->replied) return 0;
    c->continued = true;
    // A client that sends without waiting needs none.
    if (c->conn->s.unread > 0) return 0;
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {.iov_base = (void *)(uintptr_t)interim, .iov_len = sizeof interim - 1};
    return send_all(c, &iov, 1, false, deadline_ns);
}

static int more(struct h1_call *c, uint32_t have, int64_t deadline_ns)
{
    const int r = io_stream_fill(&c->conn->s, have, deadline_ns);
    return r == 0 ? (int)RW_E_EOF : r;
}

static enum rw_err body_bad(struct h1_call *c, const char *reason)
{
    c->call.bad_reason = reason;
    c->body_broken = true;
    return RW_E_BAD;
}

static void body_release(struct call *call)
{
    struct h1_call *c = call_of(call);
    if (c->body) io_buf_free(call->loop, c->body);
    c->body = NULL;
}

// The next piece of the body as it lies in the front buffer, as c->body. 1, 0 at the end, or an error.
static int piece(struct h1_call *c, uint64_t max, int64_t deadline_ns)
{
    struct io_stream *s = &c->conn->s;
    body_release(&c->call);
    while (!c->call.body_done) {
        RW_TRY(more(c, 0, deadline_ns));
        const struct span in = io_stream_front(s);
        uint32_t used = in.n, out = in.n;
        if (c->call.framing.kind == HTTP_BODY_CHUNKED) {
            const int r = http_chunked_decode(&c->chunked, io_stream_front_bytes(s), in.n, &used, &out);
            if (r < 0) return body_bad(c, http_bad_info(r)->detail);
            c->call.body_done = r == HTTP_CHUNKED_DONE;
        } else {
            if (used > c->body_left) used = out = (uint32_t)c->body_left;
            c->body_left -= used;
            c->call.body_done = c->body_left == 0;
        }
        c->call.body_in += out;
        c->body_read += out;
        if (c->body_read > max) {
            // Its bytes go with it: what is left lying would be read as the next request.
            io_stream_consume(s, used);
            c->body_broken = !c->call.body_done;
            return RW_E_TOO_LARGE;
        }
        struct io_buf *b = io_stream_take_bytes(s, used);
        if (!b) {
            // They stay, perhaps without their framing: nothing behind them can be read.
            c->call.body_done = false;
            c->body_broken = true;
            return RW_E_BUDGET;
        }
        b->len = out;
        c->body = b;
        if (out > 0) return 1;
        body_release(&c->call);
    }
    return 0;
}

static int body_read(struct call *call, uint64_t max, int64_t deadline_ns, struct span *ret)
{
    struct h1_call *c = call_of(call);
    if (call->framing.kind == HTTP_BODY_LENGTH && call->framing.length > max) return RW_E_TOO_LARGE;
    const int continued = reply_continue(call, deadline_ns);
    if (continued < 0) return continued;
    const int r = piece(c, max, deadline_ns);
    if (r == 1) *ret = io_buf_span(c->body);
    return r;
}

// All of a body with a length: small ones are copied next to the head, so that the buffer is free at once; larger ones are
// taken as they lie, or received into one region.
static enum rw_err whole_length(struct h1_call *c, int64_t deadline_ns, struct span *ret)
{
    struct io_stream *s = &c->conn->s;
    const uint32_t n = (uint32_t)c->body_left;
    while (io_stream_front(s).n < n) {
        if (s->region_need == 0) RW_TRY(io_stream_join(s, n));
        if (io_stream_front(s).n >= n) break;
        const int r = more(c, s->unread, deadline_ns);
        // The stream may be in the middle of receiving into place: nothing can be read behind that.
        if (r < 0) c->body_broken = true;
        RW_TRY(r);
    }
    if (n <= EXCHANGE_COPY_BYTES_MAX) {
        *ret = arena_copy(c->call.arena, (struct span){io_stream_front(s).p, n});
        if (!ret->p) return RW_E_BUDGET;
        io_stream_consume(s, n);
    } else {
        c->body = io_stream_take_bytes(s, n);
        if (!c->body) return RW_E_BUDGET;
        *ret = io_buf_span(c->body);
    }
    c->call.body_in += n;
    c->body_read = n;
    c->body_left = 0;
    c->call.body_done = true;
    return RW_OK;
}

static enum rw_err whole_chunked(struct h1_call *c, uint64_t max, int64_t deadline_ns, struct span *ret)
{
    struct io_buf *all = NULL;
    enum rw_err err = RW_OK;
    for (;;) {
        const int r = piece(c, max, deadline_ns);
        if (r <= 0) {
            err = (enum rw_err)r;
            break;
        }
        err = io_buf_grow(c->call.loop, &all, c->body->len, max);
        if (err) break;
        memcpy(all->data + all->len, c->body->data + c->body->off, c->body->len);
        all->len += c->body->len;
    }
    body_release(&c->call);
    if (err) {
        if (all) io_buf_free(c->call.loop, all);
        return err;
    }
    c->body = all;
    *ret = all ? io_buf_span(all) : SPAN("");
    return RW_OK;
}

static enum rw_err body_whole(struct call *call, uint64_t max, int64_t deadline_ns, struct span *ret)
{
    struct h1_call *c = call_of(call);
    MUST(max <= HTTP_BODY_BYTES_MAX);
    *ret = SPAN("");
    if (call->body_done) return RW_OK;
    if (call->framing.kind == HTTP_BODY_LENGTH && call->framing.length > max) return RW_E_TOO_LARGE;
    RW_TRY(reply_continue(call, deadline_ns));
    if (call->framing.kind == HTTP_BODY_LENGTH) return whole_length(c, deadline_ns, ret);
    return whole_chunked(c, max, deadline_ns, ret);
}

// --- The answer.

#define LINE_OK "HTTP/1.1 200 OK\r\n"

// Status line and date. Of most answers both are those of the one before.
static void write_front(struct h1_server *srv, struct http_writer *w, uint32_t status)
{
    const int64_t sec = srv->loop->wall_ns / CLOCK_SEC;
    if (RW_UNLIKELY(sec != srv->date_sec)) {
        struct fmt f;
        fmt_init(&f, srv->front, sizeof srv->front);
        fmt_str(&f, LINE_OK "date: ");
        fmt_time_http(&f, &srv->date_cache, srv->loop->wall_ns);
        fmt_str(&f, "\r\n");
        MUST(!f.overflow);
        srv->front_bytes = f.n;
        srv->date_sec = sec;
    }
    const struct span front = span_of(srv->front, srv->front_bytes);
    if (RW_UNLIKELY(status != 200)) http_write_status_line(w, status);
    http_write_raw(w, status == 200 ? front : span_from(front, sizeof LINE_OK - 1));
}

static void write_hsts(const struct h1_entry *entry, struct http_writer *w)
{
    char text[sizeof "max-age=" + FMT_U64_BYTES];
    struct fmt f;
    if (RW_LIKELY(entry->hsts_s == 0)) return;
    fmt_init(&f, text, sizeof text);
    fmt_str(&f, "max-age=");
    fmt_u64(&f, entry->hsts_s);
    http_write_value(w, SPAN("strict-transport-security"), fmt_text(&f));
}

// The head, in the arena; stays empty if that has no room.
static void write_head(struct h1_call *c, const struct call_reply *r)
{
    uint32_t cap = 256;
    for (uint32_t i = 0; i < r->line_count; i++) cap += r->lines[i].n;
    for (uint32_t i = 0; i < r->field_count; i++) cap += r->fields[i].name.n + r->fields[i].value.n + 4;
    uint8_t *p = arena_alloc(c->call.arena, cap);
    if (!p) return;
    struct http_writer w = http_writer(p, cap);
    write_front(c->conn->server, &w, r->status);
    write_hsts(c->conn->entry, &w);
    for (uint32_t i = 0; i < r->line_count; i++) http_write_raw(&w, r->lines[i]);
    for (uint32_t i = 0; i < r->field_count; i++) http_write_value(&w, r->fields[i].name, r->fields[i].value);
    const bool bodyless = r->status == 204 || r->status == 304 || r->status < 200;
    if (r->length != CALL_CHUNKED) {
        if (!bodyless) http_write_field_u64(&w, SPAN("content-length"), r->length);
    } else if (c->call.head.minor != 0) {
        http_write_raw(&w, SPAN("transfer-encoding: chunked\r\n"));
    }
    if (c->close) http_write_raw(&w, SPAN("connection: close\r\n"));
    else if (c->call.head.minor == 0) http_write_raw(&w, SPAN("connection: keep-alive\r\n"));
    const uint32_t n = http_write_end(&w);
    MUST(n > 0); // fields come from our own code, values were checked when they were taken over
    c->head = span_of(p, n);
}

static void reply_start(struct call *call, const struct call_reply *reply)
{
    struct h1_call *c = call_of(call);
    MUST(!call->replied && reply->field_count <= CALL_FIELDS_MAX);
    call->replied = true;
    call->status = reply->status;
    c->length = reply->length;
    // A body that is too large to drop, or that cannot be found the end of, ends the connection.
    const bool unread_body = !call->body_done &&
        (c->body_broken || call->framing.kind != HTTP_BODY_LENGTH || c->body_left > DRAIN_BYTES_MAX ||
         !c->continued);
    if (reply->close || unread_body || call->bad != END_OK || c->conn->server->draining) c->close = true;
    // HTTP/1.0 knows no chunks: such an answer ends with the connection.
    if (reply->length == CALL_CHUNKED && call->head.minor == 0) c->close = true;
    write_head(c, reply);
}

static int reply_write(struct call *call, const struct iovec *body, uint32_t n, bool last,
                       int64_t deadline_ns)
{
    struct h1_call *c = call_of(call);
    struct iovec iov[CALL_IOV_MAX + 3];
    MUST(call->replied && !call->ended && n <= CALL_IOV_MAX);
    if (call->broken) return -EPIPE;
    uint32_t at = 0;
    if (!call->head_sent) {
        if (!c->head.n) return RW_E_BUDGET;
        iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)c->head.p, .iov_len = c->head.n};
        at = 1;
    }
    size_t bytes = 0;
    const bool silent = call->head.method == HTTP_HEAD;
    for (uint32_t i = 0; i < n; i++) bytes += body[i].iov_len;
    const bool chunked = c->length == CALL_CHUNKED && call->head.minor != 0 && !silent;
    MUST(bytes <= UINT32_MAX);
    if (bytes > 0 && !silent) {
        if (chunked) {
            const uint32_t size = http_write_chunk_size(c->chunk_size, (uint32_t)bytes);
            iov[at++] = (struct iovec){.iov_base = c->chunk_size, .iov_len = size};
        }
        memcpy(&iov[at], body, n * sizeof *body);
        at += n;
    }
    static const char crlf_last[] = "\r\n" HTTP_CHUNK_LAST;
    if (chunked && (bytes > 0 || last)) {
        const size_t from = bytes > 0 ? 0 : 2;
        iov[at++] = (struct iovec){.iov_base = (void *)(uintptr_t)(crlf_last + from),
                                   .iov_len = last ? sizeof crlf_last - 1 - from : 2};
    }
    int r = 0;
    if (at > 0) {
        if (!call->first_byte_ns) call->first_byte_ns = call->loop->now_ns;
        call->head_sent = true;
        r = send_all(c, iov, at, last, deadline_ns);
    }
    if (r == 0 && last) call->ended = true;
    return r;
}

static void reply_break(struct call *call)
{
    call->broken = true;
    call_of(call)->close = true;
}

static uint64_t peer(const struct call *call)
{
    const struct net_tls *tls = ((const struct h1_call *)(const void *)call)->conn->tls;
    return tls ? tls->info.peer : 0;
}

const struct call_ops h1_call_ops = {
    .body_whole = body_whole,
    .body_read = body_read,
    .body_release = body_release,
    .reply_start = reply_start,
    .reply_write = reply_write,
    .reply_continue = reply_continue,
    .reply_break = reply_break,
    .peer = peer,
};

bool h1_call_finish(struct h1_call *c)
{
    struct call *call = &c->call;
    body_release(call);
    if (!call->ended || call->broken || c->close) return false;
    // The next request is never read out of a body.
    const int64_t until = call->loop->now_ns + DRAIN_NS;
    while (!call->body_done)
        if (piece(c, c->body_read + DRAIN_BYTES_MAX, until) < 0) return false;
    body_release(call);
    return true;
}
