// ringway-mock: see mock.h and tests/lib/MOCK.md.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/clock.h"
#include "bench/mock/mock.h"
#include "wire/json.h"

struct mock mock;
static volatile sig_atomic_t stopping;

static const struct http_rules rules = HTTP_RULES_DEFAULT;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

// --- A request: head, body, what it wishes.

static void headers_json(struct text *t, const struct http_head *head)
{
    text_str(t, "[");
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct span name = http_field_name(head, i), value = http_field_value(head, i);
        text_str(t, i ? ",[" : "[");
        text_json(t, (const char *)name.p, name.n);
        text_str(t, ",");
        text_json(t, (const char *)value.p, value.n);
        text_str(t, "]");
    }
    text_str(t, "]");
}

static struct entry *entry_new(struct conn *c, const struct http_head *head)
{
    struct entry *e = calloc(1, sizeof *e);
    struct text t = {0};
    MUST(e);
    e->seq = mock.seq++;
    e->connection = c->id;
    snprintf(e->method, sizeof e->method, "%.*s", SPAN_ARG(http_method_text(head)));
    snprintf(e->path, sizeof e->path, "%.*s", SPAN_ARG(http_path(head)));
    snprintf(e->query, sizeof e->query, "%.*s", SPAN_ARG(http_query(head)));
    snprintf(e->model, sizeof e->model, "mock");
    e->ended = "open";
    e->head_ns = mock.loop.now_ns;
    headers_json(&t, head);
    e->headers = t.p;
    struct entry **place = &mock.log[e->seq % MOCK_LOG_ENTRIES];
    if (*place && strcmp((*place)->ended, "open") != 0) {
        free((*place)->headers);
        free((*place)->body);
        free(*place);
    }
    *place = e;
    return e;
}

static void entry_end(struct conn *c)
{
    struct entry *e = c->entry;
    if (!e) return;
    e->end_ns = mock.loop.now_ns;
    e->ended = c->gone ? "client_gone" : c->closed_by_us ? "cut" : "complete";
    mock.requests_active--;
    if (mock.log_file) {
        struct text t = {0};
        entry_json(&t, e);
        fprintf(mock.log_file, "%s\n", t.p);
        fflush(mock.log_file);
        text_free(&t);
    }
    // Forgotten by /__reset while it was open.
    if (mock.log[e->seq % MOCK_LOG_ENTRIES] != e) {
        free(e->headers);
        free(e->body);
        free(e);
    }
    c->entry = NULL;
}

static void read_wish(struct conn *c)
{
    struct entry *e = c->entry;
    struct span body = span_of(e->body, e->body_kept), v;
    struct json_scan s;
    c->wish = (struct wish){.n = 1, .inputs = 1};
    static const char marker[] = "name=\"model\"\r\n\r\n";
    const uint8_t *text = body.p;
    while (text < body.p + body.n && *text <= ' ') text++;
    body = span_from(body, (uint32_t)(text - body.p));
    if (body.n && *text != '{') {
        const uint8_t *at = memmem(body.p, body.n < 4096 ? body.n : 4096, marker, sizeof marker - 1);
        if (at) {
            at += sizeof marker - 1;
            const struct span rest = span_of(at, (size_t)(body.p + body.n - at));
            snprintf(e->model, sizeof e->model, "%.*s", (int)span_find(rest, '\r'), (const char *)at);
        }
        return;
    }
    if (json_scan(&s, NULL, 0, body) < 0) {
        if (body.n == 0) return;
        // A large body is not kept whole: the model's name is looked for in what is there.
        const uint8_t *at = memmem(body.p, body.n, "\"model\"", 7);
        const uint8_t *open = at ? memchr(at + 7, '"', (size_t)(body.p + body.n - at - 7)) : NULL;
        const uint8_t *close = open ? memchr(open + 1, '"', (size_t)(body.p + body.n - open - 1)) : NULL;
        if (close)
            snprintf(e->model, sizeof e->model, "%.*s", (int)(close - open - 1), (const char *)open + 1);
        c->wish.stream =
            memmem(body.p, body.n, "\"stream\":true", 13) || memmem(body.p, body.n, "\"stream\": true", 14);
        return;
    }
    uint8_t buf[256];
    struct span model;
    uint64_t n;
    if (json_path(body, "model", &v) && v.n < sizeof buf &&
        json_string(v, JSON_LONE_REPLACE, buf, sizeof buf, &model) == RW_OK)
        snprintf(e->model, sizeof e->model, "%.*s", SPAN_ARG(model));
    if (json_path(body, "stream", &v)) json_bool(v, &c->wish.stream);
    if (json_path(body, "stream_options.include_usage", &v)) json_bool(v, &c->wish.include_usage);
    if (json_path(body, "logprobs", &v)) json_bool(v, &c->wish.logprobs);
    if (json_path(body, "n", &v) && json_u64(v, &n)) c->wish.n = (long)n;
    if (json_path(body, "encoding_format", &v)) c->wish.base64 = span_eq(v, SPAN("\"base64\""));
    if (json_path(body, "input", &v) && json_type(v) == JSON_ARRAY) {
        struct json_iter it = json_iter(v);
        struct span key, item;
        long items = 0;
        bool numbers = false;
        while (json_next(&it, &key, &item)) {
            items++;
            numbers = json_type(item) == JSON_NUMBER;
        }
        c->wish.inputs = numbers || items == 0 ? 1 : items;
    }
}

static void body_bytes(struct conn *c, struct crypto_sha256 *hash, const uint8_t *p, uint32_t n)
{
    struct entry *e = c->entry;
    crypto_sha256_update(hash, p, n);
    e->body_length += n;
    const size_t keep = MOCK_BODY_KEPT - e->body_kept < n ? MOCK_BODY_KEPT - e->body_kept : n;
    if (keep == 0) return;
    e->body = realloc(e->body, e->body_kept + keep);
    MUST(e->body);
    memcpy(e->body + e->body_kept, p, keep);
    e->body_kept += keep;
}

static int read_body(struct conn *c, const struct http_framing *f)
{
    struct crypto_sha256 hash;
    struct http_chunked chunked = {0};
    uint64_t left = f->kind == HTTP_BODY_LENGTH ? f->length : 0;
    bool done = f->kind == HTTP_BODY_NONE || (f->kind == HTTP_BODY_LENGTH && left == 0);
    crypto_sha256_init(&hash);
    while (!done) {
        const int r = io_stream_fill(&c->s, 0, CLOCK_NEVER);
        if (r <= 0) {
            c->gone = true;
            return -1;
        }
        const struct span in = io_stream_front(&c->s);
        uint32_t used = in.n, out = in.n;
        if (f->kind == HTTP_BODY_CHUNKED) {
            const int d = http_chunked_decode(&chunked, io_stream_front_bytes(&c->s), in.n, &used, &out);
            if (d < 0) return -1;
            done = d == HTTP_CHUNKED_DONE;
        } else {
            if (used > left) used = out = (uint32_t)left;
            left -= used;
            done = left == 0;
        }
        body_bytes(c, &hash, in.p, out);
        io_stream_consume(&c->s, used);
    }
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_sha256_final(&hash, digest);
    const int64_t n =
        crypto_hex_encode(digest, sizeof digest, c->entry->body_sha256, sizeof c->entry->body_sha256);
    MUST(n == 64);
    c->entry->body_complete = true;
    c->entry->body_ns = mock.loop.now_ns;
    return 0;
}

// --- Connections.

static int read_head(struct conn *c, struct http_head *head, uint8_t *copy)
{
    uint32_t seen = 0;
    http_head_init(head);
    for (;;) {
        const int r = io_stream_fill(&c->s, seen, CLOCK_NEVER);
        if (r <= 0) return -1;
        if (c->stale_next) {
            wire_cut(c, false);
            return -1;
        }
        seen = c->s.unread;
        if (io_stream_join(&c->s, seen < HTTP_HEAD_BYTES ? seen : HTTP_HEAD_BYTES)) return -1;
        const struct span in = io_stream_front(&c->s);
        const int n = http_request_parse(in.p, in.n, &rules, head);
        if (n == HTTP_NEED_MORE) continue;
        if (n < 0) {
            static const char refusal[] =
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            fprintf(stderr, "ringway-mock: a bad head: %s\n", http_bad_info(n)->detail);
            (void)wire_send(c, refusal, sizeof refusal - 1);
            return -1;
        }
        memcpy(copy, in.p, (size_t)n);
        head->base = copy;
        io_stream_consume(&c->s, (uint32_t)n);
        return 0;
    }
}

static int early_or_body(struct conn *c, const struct http_head *head)
{
    // An answer before the body: what of it has come tells the model.
    if (head->framing.kind != HTTP_BODY_NONE && io_stream_fill(&c->s, 0, CLOCK_NEVER) <= 0) {
        c->gone = true;
        return -1;
    }
    const struct span front = io_stream_front(&c->s);
    if (front.n && memmem(front.p, front.n, "early", 5) && memmem(front.p, front.n, "\"mock:", 6)) {
        struct crypto_sha256 hash;
        crypto_sha256_init(&hash);
        body_bytes(c, &hash, front.p, front.n);
        read_wish(c);
        options_parse(c->entry->model, &c->o);
        if (c->o.early) return 1;
        c->entry->body_length = c->entry->body_kept = 0;
    }
    return read_body(c, &head->framing);
}

static bool serve_one(struct conn *c, struct http_head *head, uint8_t *copy)
{
    if (read_head(c, head, copy) < 0) return false;
    c->wire_bytes = 0;
    c->keep = head->framing.keep_alive;
    c->head_request = head->method == HTTP_HEAD;
    c->o = (struct options){.close_at = -1};
    const bool control = span_starts(http_path(head), SPAN("/__"));
    if (c->first_request) {
        c->first_request = false;
        c->control = control;
        if (!control) {
            c->counted = true;
            mock.connections_open++;
            mock.connections_total++;
        }
    }
    if (control) return look(c, head) == 0 && c->keep;
    if (mock.quick) {
        const int q = quick_answer(c, head);
        if (q != 0) return q > 0 && c->keep;
    }
    c->entry = entry_new(c, head);
    mock.requests_total++;
    mock.requests_active++;
    const int r = early_or_body(c, head);
    if (r >= 0) {
        if (r == 0) read_wish(c);
        const char *tag = strstr(c->entry->model, "tag=");
        if (tag) snprintf(c->entry->tag, sizeof c->entry->tag, "%.*s", (int)strcspn(tag + 4, ","), tag + 4);
        if (r == 1 && c->o.status < 0) {
            char model[256];
            snprintf(model, sizeof model, "%s", c->entry->model);
            snprintf(c->entry->model, sizeof c->entry->model, "%.200s,status=413", model);
        }
        struct text sent = {0};
        if (mock.quick) c->copy = &sent;
        (void)answer(c, head);
        c->copy = NULL;
        if (mock.quick) quick_remember(c, &sent);
    }
    const bool again = r == 0 && c->keep && !c->gone && !c->closed_by_us;
    entry_end(c);
    return again;
}

static int serve(void *arg)
{
    struct conn *c = arg;
    struct http_head *head = malloc(sizeof *head);
    uint8_t *copy = malloc(HTTP_HEAD_BYTES_MAX);
    MUST(head && copy);
    while (serve_one(c, head, copy)) {
        if (c->idle_close_ns) {
            if (io_stream_fill(&c->s, 0, mock.loop.now_ns + c->idle_close_ns) == -ETIME) break;
            c->idle_close_ns = 0;
        }
    }
    free(copy);
    free(head);
    if (!c->s.rx_err && !c->s.tx_err && !c->reset && !c->s.eof && !c->gone) {
        // FIN, and a moment for the peer to read.
        io_stream_shutdown_write(&c->s);
        fiber_shield();
        const int64_t until = mock.loop.now_ns + CLOCK_SEC;
        while (io_stream_fill(&c->s, 0, until) == 1) io_stream_consume(&c->s, io_stream_front(&c->s).n);
        fiber_unshield();
    }
    return 0;
}

static void released(struct conn *c)
{
    if (c->counted) mock.connections_open--;
    list_remove(&c->node);
    free(c);
}

static void fiber_ended(struct scope *s)
{
    struct conn *c = LIST_OWNER(s, struct conn, scope);
    io_stream_close(&c->s);
}

static void on_closed(struct io_stream *s)
{
    struct conn *c = LIST_OWNER(s, struct conn, s);
    if (scope_empty(&c->scope)) released(c);
}

// The peer left: whatever is played ends.
static void on_rx(struct io_stream *s)
{
    struct conn *c = LIST_OWNER(s, struct conn, s);
    if ((s->eof || s->rx_err) && !scope_empty(&c->scope) && c->entry) {
        c->gone = true;
        scope_cancel(&c->scope, END_CLIENT_GONE);
    }
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    if (res >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct io_addr peer;
        MUST(c);
        mock.loop.driver->ops->accepted(mock.loop.driver, res, &peer);
        c->id = ++mock.next_connection;
        c->first_request = true;
        c->s.on_rx = on_rx;
        c->s.on_closed = on_closed;
        io_stream_open(&c->s, &mock.loop, res, IO_STREAM_MANY, IO_GROUP_CLIENT);
        scope_init(&c->scope, &mock.loop);
        c->scope.on_empty = fiber_ended;
        list_push_back(&mock.conns, &c->node);
        if (scope_spawn(&c->scope, serve, c)) io_stream_close(&c->s);
    }
    if (!op->submitted) io_submit(&mock.loop, op);
}

static struct io_driver *driver_open(void)
{
    int err = 0;
    const char *io = getenv("RINGWAY_IO");
    struct io_driver *d = io && strcmp(io, "epoll") == 0 ? NULL : io_uring_open(512, &err);
    return d ? d : io_epoll_open(&err);
}

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1:9001", *log = NULL;
    mock.fixtures = "tests/data/contracts/openai";
    if (argc > 1 && strcmp(argv[argc - 1], "--quick") == 0) {
        mock.quick = true;
        argc--;
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0) address = argv[i + 1];
        else if (strcmp(argv[i], "--log") == 0) log = argv[i + 1];
        else if (strcmp(argv[i], "--fixtures") == 0) mock.fixtures = argv[i + 1];
        else {
            fprintf(stderr,
                    "usage: ringway-mock [--listen ADDRESS:PORT] [--log FILE] [--fixtures DIR] [--quick]\n");
            return 2;
        }
    }
    if (log) mock.log_file = fopen(log, "a");
    signal(SIGPIPE, SIG_IGN);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    list_init(&mock.conns);
    mock.budget.limit = INT64_C(4) << 30;
    struct io_driver *driver = driver_open();
    const struct io_loop_cfg cfg = {
        .budget = &mock.budget, .fibers_max = 20000, .buffers = IO_BUFFERS_PER_GROUP};
    struct io_addr addr;
    if (!driver || io_loop_open(&mock.loop, driver, &cfg) || io_addr_parse(span_str(address), &addr)) {
        fprintf(stderr, "ringway-mock: cannot start\n");
        return 1;
    }
    const int fd = driver->ops->listen(driver, &addr, 4096, false);
    if (fd < 0) {
        fprintf(stderr, "ringway-mock: cannot listen on %s: %s\n", address, rw_err_name(fd));
        return 1;
    }
    io_op_open(&mock.loop, &mock.accept, IO_OP_ACCEPT, fd, accepted);
    io_submit(&mock.loop, &mock.accept);
    printf("ringway-mock listening on %s\n", address);
    fflush(stdout);
    // A signal interrupts the wait; what is open then ends with the process.
    while (!stopping) io_loop_turn(&mock.loop, mock.loop.now_ns + 100 * CLOCK_MS);
    return 0;
}
