// See mock.h: the control connections, which appear in no counter and no log.
#include <stdlib.h>

#include "bench/mock/mock.h"
#include "wire/url.h"

static uint32_t step_at(const char *token)
{
    for (uint32_t i = 0; i < mock.step_count; i++)
        if (strcmp(mock.steps[i].token, token) == 0) return i;
    // The oldest token is forgotten when the table is full.
    const uint32_t at =
        mock.step_count < MOCK_TOKENS ? mock.step_count++ : (uint32_t)(mock.seq % MOCK_TOKENS);
    snprintf(mock.steps[at].token, sizeof mock.steps[at].token, "%s", token);
    mock.steps[at].k = -1;
    fiber_event_init(&mock.steps[at].moved);
    return at;
}

long step_reached(const char *token)
{
    return mock.steps[step_at(token)].k;
}

struct fiber_event *step_event(const char *token)
{
    return &mock.steps[step_at(token)].moved;
}

void entry_json(struct text *t, const struct entry *e)
{
    text_format(t,
                "{\"seq\":%llu,\"connection\":%llu,\"method\":\"%s\",\"path\":", (unsigned long long)e->seq,
                (unsigned long long)e->connection, e->method);
    text_json(t, e->path, strlen(e->path));
    text_str(t, ",\"query\":");
    text_json(t, e->query, strlen(e->query));
    text_str(t, ",\"headers\":");
    text_str(t, e->headers);
    text_str(t, ",\"model\":");
    text_json(t, e->model, strlen(e->model));
    text_format(t,
                ",\"body_length\":%llu,\"body_sha256\":\"%s\",\"body\":", (unsigned long long)e->body_length,
                e->body_sha256);
    if (e->body_length <= MOCK_BODY_KEPT) {
        char *b64 = malloc(CRYPTO_BASE64_CHARS(e->body_kept) + 1);
        MUST(b64);
        const int64_t n =
            crypto_base64_encode(e->body, e->body_kept, b64, CRYPTO_BASE64_CHARS(e->body_kept) + 1);
        MUST(n >= 0);
        text_str(t, "\"");
        text_add(t, b64, (size_t)n);
        text_str(t, "\"");
        free(b64);
    } else {
        text_str(t, "null");
    }
    text_format(t,
                ",\"body_complete\":%s,\"status\":%d,\"chunks_sent\":%llu,\"bytes_sent\":%llu,\"ended\":\"%"
                "s\",\"head_ns\":%lld,"
                "\"body_ns\":%lld,\"first_ns\":%lld,\"end_ns\":%lld}",
                e->body_complete ? "true" : "false", e->status, (unsigned long long)e->chunks_sent,
                (unsigned long long)e->bytes_sent, e->ended, (long long)e->head_ns, (long long)e->body_ns,
                (long long)e->first_ns, (long long)e->end_ns);
}

static int reply(struct conn *c, int status, const char *body, size_t n)
{
    struct text t = {0};
    text_format(&t, "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n", status,
                status == 204 ? "No Content" : "OK");
    if (status != 204) text_format(&t, "content-length: %zu\r\n", n);
    text_str(&t, "\r\n");
    text_add(&t, body, n);
    const int r = wire_send(c, t.p, t.n);
    text_free(&t);
    return r;
}

static void parameter(const struct http_head *head, const char *name, char *out, size_t cap)
{
    struct span value = {NULL, 0};
    out[0] = 0;
    if (url_query_find(http_query(head), span_str(name), &value) > 0)
        snprintf(out, cap, "%.*s", SPAN_ARG(value));
}

static int log_page(struct conn *c, const struct http_head *head)
{
    char tag[64], last[32];
    parameter(head, "tag", tag, sizeof tag);
    parameter(head, "last", last, sizeof last);
    uint64_t from = mock.seq > MOCK_LOG_ENTRIES ? mock.seq - MOCK_LOG_ENTRIES : 0;
    if (last[0]) {
        const uint64_t n = strtoull(last, NULL, 10);
        if (n < mock.seq && mock.seq - n > from) from = mock.seq - n;
    }
    struct text t = {0};
    bool first = true;
    text_str(&t, "{\"requests\":[");
    for (uint64_t s = from; s < mock.seq; s++) {
        const struct entry *e = mock.log[s % MOCK_LOG_ENTRIES];
        if (!e || (tag[0] && strcmp(tag, e->tag) != 0)) continue;
        if (!first) text_str(&t, ",");
        first = false;
        entry_json(&t, e);
    }
    text_str(&t, "]}");
    const int r = reply(c, 200, t.p, t.n);
    text_free(&t);
    return r;
}

static void reset(void)
{
    for (uint32_t i = 0; i < MOCK_LOG_ENTRIES; i++) {
        struct entry *e = mock.log[i];
        // An open one belongs to its connection still; it is only forgotten here.
        mock.log[i] = NULL;
        if (e && strcmp(e->ended, "open") != 0) {
            free(e->headers);
            free(e->body);
            free(e);
        }
    }
    mock.seq = 0;
    mock.step_count = mock.fail_count = 0;
    mock.requests_total = mock.chunks_total = mock.connections_total = 0;
}

int look(struct conn *c, const struct http_head *head)
{
    const struct span path = http_path(head);
    char text[256];
    if (span_eq(path, SPAN("/__stats"))) {
        const int n =
            snprintf(text, sizeof text,
                     "{\"connections_open\":%llu,\"connections_total\":%llu,\"requests_active\":%llu,"
                     "\"requests_total\":%llu,"
                     "\"chunks_total\":%llu}",
                     (unsigned long long)mock.connections_open, (unsigned long long)mock.connections_total,
                     (unsigned long long)mock.requests_active, (unsigned long long)mock.requests_total,
                     (unsigned long long)mock.chunks_total);
        return reply(c, 200, text, (size_t)n);
    }
    if (span_eq(path, SPAN("/__log"))) return log_page(c, head);
    if (span_starts(path, SPAN("/__step/"))) {
        char token[64], k[32];
        snprintf(token, sizeof token, "%.*s", SPAN_ARG(span_from(path, 8)));
        parameter(head, "k", k, sizeof k);
        const uint32_t at = step_at(token);
        const long reached = strtol(k, NULL, 10);
        if (reached > mock.steps[at].k) mock.steps[at].k = reached;
        fiber_event_set(&mock.steps[at].moved);
        return reply(c, 204, "", 0);
    }
    if (span_eq(path, SPAN("/__reset"))) {
        reset();
        return reply(c, 204, "", 0);
    }
    return reply(c, 404, "{}", 2);
}
