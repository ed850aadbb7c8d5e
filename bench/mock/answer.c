// See mock.h: what is answered to a request that was read, good or as the faults want it.
#include <stdlib.h>

#include "bench/mock/mock.h"

// What is ready leaves together up to this size.
#define SEND_BYTES_MAX 65536

static void provider_fields(const struct conn *c, struct text *t)
{
    if (c->o.lean) return;
    text_format(t,
                "x-request-id: mock-%llu\r\nopenai-processing-ms: 7\r\nopenai-version: "
                "2020-10-01\r\nopenai-organization: mock-org\r\n"
                "x-ratelimit-limit-requests: 5000\r\nx-ratelimit-remaining-requests: 4999\r\nset-cookie: "
                "mock=1; Path=/\r\n"
                "server: ringway-mock\r\n",
                (unsigned long long)c->entry->seq);
}

static void head_begin(struct conn *c, struct text *t, int status, const char *type)
{
    c->entry->status = status;
    text_format(t, "HTTP/%s %d %.*s\r\n", c->o.http10 ? "1.0" : "1.1", status,
                SPAN_ARG(http_status_text((uint32_t)status)));
    if (type) text_format(t, "content-type: %s\r\n", type);
    provider_fields(c, t);
    if (c->o.close || c->o.early) {
        text_str(t, "connection: close\r\n");
        c->keep = false;
    }
}

// A whole answer in one write.
static int whole(struct conn *c, int status, const char *type, const char *body, size_t n)
{
    struct text t = {0};
    head_begin(c, &t, status, type);
    if (c->o.doublelength) text_format(&t, "content-length: %zu\r\ncontent-length: %zu\r\n", n, n + 1);
    else if (c->o.bothlengths) text_format(&t, "content-length: %zu\r\ntransfer-encoding: chunked\r\n", n);
    else if (!c->o.http10) text_format(&t, "content-length: %zu\r\n", n);
    if (c->o.gzip) text_str(&t, "content-encoding: gzip\r\n");
    text_str(&t, "\r\n");
    if (!c->head_request) text_add(&t, body, n);
    if (c->o.extra) text_str(&t, "rubbish rubbish rubb");
    if (c->o.http10) c->keep = false;
    const int r = wire_send(c, t.p, t.n);
    text_free(&t);
    return r;
}

static int error_object(struct conn *c, int status, const char *message, const char *type, const char *code)
{
    struct text t = {0};
    text_str(&t, "{\"error\":{\"message\":");
    text_json(&t, message, strlen(message));
    text_format(&t, ",\"type\":\"%s\",\"param\":null,\"code\":", type);
    if (code) text_json(&t, code, strlen(code));
    else text_str(&t, "null");
    text_str(&t, "}}");
    const int r = whole(c, status, "application/json", t.p, t.n);
    text_free(&t);
    return r;
}

static int status_fault(struct conn *c, int status)
{
    char code[32];
    struct text t = {0}, message = {0};
    snprintf(code, sizeof code, "mock_%d", status);
    const char *type = status == 429 ? "requests" : status < 500 ? "invalid_request_error" : "server_error";
    text_format(&message, "mock status %d", status);
    if (c->o.errbytes > (long)message.n) text_fill(&message, 'x', (size_t)c->o.errbytes - message.n);
    text_str(&t, "{\"error\":{\"message\":");
    text_json(&t, message.p, message.n);
    text_format(&t, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", type,
                c->o.code[0] ? c->o.code : code);
    struct text head = {0};
    head_begin(c, &head, status, "application/json");
    if (c->o.retry_after[0]) text_format(&head, "retry-after: %s\r\n", c->o.retry_after);
    if (c->o.retry_after_ms[0]) text_format(&head, "retry-after-ms: %s\r\n", c->o.retry_after_ms);
    if (c->o.should_retry[0]) text_format(&head, "x-should-retry: %s\r\n", c->o.should_retry);
    text_format(&head, "content-length: %zu\r\n\r\n", t.n);
    text_add(&head, t.p, t.n);
    const int r = wire_send(c, head.p, head.n);
    text_free(&message);
    text_free(&head);
    text_free(&t);
    return r;
}

// --- A story: part by part.

struct sender {
    struct conn *c;
    struct text out; // what may leave now
    long http_chunks;
};

static int sender_flush(struct sender *s)
{
    const int r = s->out.n ? wire_send(s->c, s->out.p, s->out.n) : 0;
    s->out.n = 0;
    return r;
}

static void sender_add(struct sender *s, const char *p, size_t n)
{
    if (s->c->o.http10) {
        text_add(&s->out, p, n);
        return;
    }
    s->http_chunks++;
    if (s->c->o.badchunk && s->http_chunks == 3) text_str(&s->out, "zz\r\n");
    else text_format(&s->out, "%zx\r\n", n);
    text_add(&s->out, p, n);
    text_str(&s->out, "\r\n");
}

static int lockstep(struct sender *s, long k)
{
    struct conn *c = s->c;
    while (step_reached(c->o.lockstep) < k) {
        const int r = sender_flush(s);
        if (r < 0) return r;
        struct fiber_event *moved = step_event(c->o.lockstep);
        fiber_event_clear(moved);
        if (fiber_wait(moved, CLOCK_NEVER) < 0) {
            c->gone = true;
            return -ECANCELED;
        }
    }
    return 0;
}

// Faults that strike after `sent` content chunks. 1: the answer ends here.
static int fault_after(struct sender *s, long sent)
{
    struct conn *c = s->c;
    if (c->o.cut_at == sent || c->o.reset_at == sent) {
        if (sender_flush(s) == 0) wire_cut(c, c->o.reset_at == sent);
        return 1;
    }
    if (c->o.stall_at == sent) {
        if (sender_flush(s) == 0) (void)wire_wait(c, 3600 * CLOCK_SEC);
        return 1;
    }
    if (c->o.error_at == sent) {
        static const char event[] =
            "data: {\"error\":{\"message\":\"mock midstream\",\"type\":\"server_error\",\"param\":null,"
            "\"code\":null}}\n\n";
        sender_add(s, event, sizeof event - 1);
        if (!c->o.http10) text_str(&s->out, "0\r\n\r\n");
        (void)sender_flush(s);
        return 1;
    }
    return 0;
}

// The time at which the event leaves, in place.
static void stamp(char *event, size_t n)
{
    char *at = memmem(event, n, STAMP_PLACE, sizeof STAMP_PLACE - 1);
    char digits[sizeof STAMP_PLACE];
    if (!at) return;
    snprintf(digits, sizeof digits, "%020llu", (unsigned long long)stamp_now());
    memcpy(at, digits, sizeof STAMP_PLACE - 2);
}

static int send_stream(struct conn *c, struct story *story)
{
    struct sender s = {.c = c};
    struct part p;
    long sent = 0;
    head_begin(c, &s.out, 200, story->type);
    if (!c->o.http10) text_str(&s.out, "transfer-encoding: chunked\r\n");
    else c->keep = false;
    text_str(&s.out, "\r\n");
    int r = fault_after(&s, 0);
    while (r == 0 && story_next(c, story, &p)) {
        if (c->o.lockstep[0] && p.chunk > 0) r = lockstep(&s, p.chunk - 1);
        if (c->o.lockstep[0] && p.chunk == -2) r = lockstep(&s, c->o.chunks - 1);
        if (r == 0 && (p.wait_ns > 0 || s.out.n > SEND_BYTES_MAX)) {
            r = sender_flush(&s);
            if (r == 0) r = wire_wait(c, p.wait_ns);
        }
        if (r < 0) break;
        if (c->o.stamp && p.chunk >= 0) stamp(story->text.p, story->text.n);
        sender_add(&s, story->text.p, story->text.n);
        if (c->o.pace_ns > 0 && p.chunk >= 0) r = sender_flush(&s);
        if (p.chunk >= 0) {
            c->entry->chunks_sent++;
            mock.chunks_total++;
            sent++;
            if (r == 0) r = fault_after(&s, sent);
        }
    }
    if (r == 0) {
        if (!c->o.http10) text_str(&s.out, "0\r\n\r\n");
        if (c->o.extra) text_str(&s.out, "rubbish rubbish rubb");
        r = sender_flush(&s);
    }
    text_free(&s.out);
    return r < 0 ? r : 0;
}

static int play(struct conn *c, struct story *s)
{
    int r;
    if (s->stream) {
        r = send_stream(c, s);
    } else {
        if (c->o.lean || !c->wish.stream)
            c->entry->chunks_sent = (uint64_t)(c->o.chunks > 0 ? c->o.chunks : 0);
        r = whole(c, 200, s->type, s->text.p, s->text.n);
    }
    story_free(s);
    return r;
}

// --- Faults of the whole answer.

static int endless(struct conn *c, bool head)
{
    char pad[512];
    memset(pad, 'x', sizeof pad);
    const char *begin = head
        ? "HTTP/1.1 200 OK\r\n"
        : "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: ";
    int r = wire_send(c, begin, strlen(begin));
    for (long i = 0; r == 0 && i < (head ? 131072 : 204800); i++) {
        if (head) {
            char line[512];
            const int n = snprintf(line, sizeof line, "x-pad-%ld: %.470s\r\n", i, pad);
            r = wire_send(c, line, (size_t)n);
        } else {
            r = wire_send(c, pad, sizeof pad);
        }
        if (r == 0) r = fiber_yield();
    }
    c->keep = false;
    return r;
}

// A gzip file of stored blocks.
static void gzip_stored(struct text *out, const char *p, size_t n)
{
    static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)p[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
    }
    crc ^= 0xffffffff;
    text_add(out, head, sizeof head);
    for (size_t at = 0; at < n || at == 0; at += 65535) {
        const size_t len = n - at < 65535 ? n - at : 65535;
        const uint8_t block[5] = {at + len == n, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len,
                                  (uint8_t)(~len >> 8)};
        text_add(out, block, sizeof block);
        text_add(out, p + at, len);
    }
    const uint8_t tail[8] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24),
                             (uint8_t)n,   (uint8_t)(n >> 8),   (uint8_t)(n >> 16),   (uint8_t)(n >> 24)};
    text_add(out, tail, sizeof tail);
}

static int send_raw_file(struct conn *c)
{
    char path[512], buf[1024];
    snprintf(path, sizeof path, "%s/%s.http", mock.fixtures, c->o.raw);
    FILE *f = fopen(path, "rb");
    if (!f) return error_object(c, 400, "mock: no such file", "invalid_request_error", NULL);
    size_t n;
    int r = 0;
    while (r == 0 && (n = fread(buf, 1, sizeof buf, f)) > 0) r = wire_send(c, buf, n);
    fclose(f);
    if (r == 0) wire_cut(c, false);
    return r;
}

static bool fault_is_on(const struct conn *c)
{
    if (c->o.fail < 0) return true;
    for (uint32_t i = 0; i < mock.fail_count; i++)
        if (strcmp(mock.fails[i].model, c->entry->model) == 0) return mock.fails[i].seen++ < c->o.fail;
    if (mock.fail_count == sizeof mock.fails / sizeof *mock.fails) return false;
    snprintf(mock.fails[mock.fail_count].model, sizeof mock.fails[0].model, "%s", c->entry->model);
    mock.fails[mock.fail_count++].seen = 1;
    return c->o.fail > 0;
}

// 1: the fault was played; 0: no fault.
static int faults(struct conn *c, int *ret)
{
    const struct options *o = &c->o;
    static const char error_body[] =
        "{\"error\":{\"message\":\"mock midstream\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    if (o->silent) *ret = wire_wait(c, 3600 * CLOCK_SEC);
    else if (o->status >= 0) *ret = status_fault(c, (int)o->status);
    else if (o->raw[0]) *ret = send_raw_file(c);
    else if (o->badjson) *ret = whole(c, 200, "application/json", "{\"id\":\"x\",\"choices\":[{", 22);
    else if (o->html) *ret = whole(c, 200, "text/html", "<html><body>mock</body></html>", 30);
    else if (o->empty) *ret = whole(c, 200, "application/json", "", 0);
    else if (o->errorbody) *ret = whole(c, 200, "application/json", error_body, sizeof error_body - 1);
    else if (o->endless_head || o->longline) *ret = endless(c, o->endless_head);
    else if (o->redirect) {
        static const char text[] =
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        c->entry->status = 302;
        *ret = wire_send(c, text, sizeof text - 1);
    } else return 0;
    return 1;
}

// --- Routes.

static int files(struct conn *c, const char *path)
{
    struct text t = {0};
    int r;
    const char *id = strncmp(path, "/v1/files/", 10) == 0 ? path + 10 : NULL;
    long n;
    if (id && sscanf(id, "file-%ld/content", &n) == 1 && strstr(id, "/content")) {
        for (long i = 0; i < n; i++) {
            const uint8_t b = (uint8_t)(i % 251);
            text_add(&t, &b, 1);
        }
        r = whole(c, 200, "application/octet-stream", t.p, t.n);
    } else {
        if (!id) {
            text_str(&t, "{\"object\":\"list\",\"data\":[],\"has_more\":false}");
        } else if (strcmp(c->entry->method, "DELETE") == 0) {
            text_format(&t, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", id);
        } else {
            text_format(&t,
                        "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":1000,\"created_at\":1700000000,"
                        "\"filename\":\"upload\","
                        "\"purpose\":\"batch\",\"status\":\"processed\"}",
                        id);
        }
        r = whole(c, 200, "application/json", t.p, t.n);
    }
    text_free(&t);
    return r;
}

static int models(struct conn *c, const char *id)
{
    struct text t = {0};
    static const char entry[] =
        "{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"mock\"}";
    if (!id) {
        text_str(&t, "{\"object\":\"list\",\"data\":[");
        text_format(&t, entry, "mock");
        text_str(&t, ",");
        text_format(&t, entry, "mock-embed");
        text_str(&t, "]}");
    } else if (strcmp(id, "mock") == 0 || strcmp(id, "mock-embed") == 0) {
        text_format(&t, entry, id);
    } else {
        return error_object(c, 404, "mock: no such model", "invalid_request_error", "model_not_found");
    }
    const int r = whole(c, 200, "application/json", t.p, t.n);
    text_free(&t);
    return r;
}

static int speech(struct conn *c)
{
    const long n = c->o.bytes > 0 ? c->o.bytes : 10000;
    struct sender s = {.c = c};
    head_begin(c, &s.out, 200, "audio/mpeg");
    text_str(&s.out, "transfer-encoding: chunked\r\n\r\n");
    int r = 0;
    for (long at = 0; r == 0 && at < n; at += 1024) {
        char piece[1024];
        const long len = n - at < 1024 ? n - at : 1024;
        for (long i = 0; i < len; i++) piece[i] = (char)((at + i) % 251);
        sender_add(&s, piece, (size_t)len);
        r = sender_flush(&s);
    }
    if (r == 0) r = wire_send(c, "0\r\n\r\n", 5);
    text_free(&s.out);
    return r;
}

static int uploaded(struct conn *c, bool file)
{
    struct text t = {0};
    if (file)
        text_format(&t,
                    "{\"id\":\"file-mock-%llu\",\"object\":\"file\",\"bytes\":%llu,\"created_at\":1700000000,"
                    "\"filename\":\"upload\","
                    "\"purpose\":\"batch\",\"status\":\"processed\",\"sha256\":\"%s\"}",
                    (unsigned long long)c->entry->seq, (unsigned long long)c->entry->body_length,
                    c->entry->body_sha256);
    else
        text_format(&t, "{\"text\":\"sha256=%s length=%llu\"}", c->entry->body_sha256,
                    (unsigned long long)c->entry->body_length);
    const int r = whole(c, 200, "application/json", t.p, t.n);
    text_free(&t);
    return r;
}

static int route(struct conn *c)
{
    const char *path = c->entry->path;
    struct story s = {0};
    if (strcmp(path, "/v1/chat/completions") == 0 || strcmp(path, "/v1/completions") == 0) {
        if (c->o.fixture[0]) {
            if (!story_file(c, &s))
                return error_object(c, 400, "mock: no such fixture", "invalid_request_error", NULL);
        } else {
            story_chat(c, &s, path[4] == 'c' && path[5] == 'h');
        }
        if (c->o.gzip && !s.stream) {
            struct text packed = {0};
            gzip_stored(&packed, s.text.p, s.text.n);
            text_free(&s.text);
            s.text = packed;
        }
        return play(c, &s);
    }
    if (strcmp(path, "/v1/embeddings") == 0) {
        story_embeddings(c, &s);
        return play(c, &s);
    }
    if (strcmp(path, "/v1/models") == 0) return models(c, NULL);
    if (strncmp(path, "/v1/models/", 11) == 0) return models(c, path + 11);
    const bool post = strcmp(c->entry->method, "POST") == 0;
    if (strcmp(path, "/v1/files") == 0 && post) return uploaded(c, true);
    if (strncmp(path, "/v1/files", 9) == 0) return files(c, path);
    if (strcmp(path, "/v1/audio/transcriptions") == 0 || strcmp(path, "/v1/audio/translations") == 0)
        return uploaded(c, false);
    if (strcmp(path, "/v1/audio/speech") == 0) return speech(c);
    if (strcmp(path, "/v1/moderations") == 0) {
        struct text t = {0};
        text_str(&t, "{\"id\":\"modr-mock\",\"model\":");
        text_json(&t, c->entry->model, strlen(c->entry->model));
        text_str(&t, ",\"results\":[{\"flagged\":false,\"categories\":{},\"category_scores\":{}}]}");
        const int r = whole(c, 200, "application/json", t.p, t.n);
        text_free(&t);
        return r;
    }
    return error_object(c, 404, "mock: no such route", "invalid_request_error", "not_found");
}

int answer(struct conn *c, const struct http_head *head)
{
    (void)head;
    int r = 0;
    const char *unknown = options_parse(c->entry->model, &c->o);
    if (unknown) {
        char message[300];
        snprintf(message, sizeof message, "mock: unknown option %s", unknown);
        return error_object(c, 400, message, "invalid_request_error", NULL);
    }
    if (c->o.delay_ns && wire_wait(c, c->o.delay_ns) < 0) return -ECANCELED;
    if (strcmp(c->entry->method, "POST") == 0 && fault_is_on(c) && faults(c, &r)) return r;
    r = route(c);
    if (c->o.extra) c->keep = false;
    if (c->o.stale) c->stale_next = true;
    c->idle_close_ns = c->o.idle_close_ns;
    return r;
}
