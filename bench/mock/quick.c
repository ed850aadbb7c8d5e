// See mock.h: --quick, for benchmarks. Answers that depend on nothing but the model's name and how it was asked
// are remembered whole and sent again; such requests are counted, but neither hashed nor logged. So the mock
// costs less than what it measures.
#include <stdlib.h>

#include "bench/mock/mock.h"
#include "io/clock.h"

#define REMEMBERED_MAX 64
// What decides the answer stands this near to the request's beginning, or the request is none of these.
#define LOOKED_AT_BYTES 4096u

struct remembered {
    char key[128];
    uint32_t key_n;
    bool stream, usage;
    char *answer;
    size_t n;
};

static struct remembered remembered[REMEMBERED_MAX];
static uint32_t remembered_count;

// Only words of this kind: no pace, no fault, nothing that is counted or kept.
static bool same_every_time(struct span model)
{
    static const struct span words[] = {SPAN_INIT("lean"), SPAN_INIT("bytes="), SPAN_INIT("chunks="),
                                        SPAN_INIT("size="), SPAN_INIT("usage=")};
    struct span rest = span_from(model, 5), word;
    bool lean = false;
    if (!span_starts(model, SPAN("mock:"))) return false;
    while (span_split(&rest, ',', &word)) {
        bool known = false;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) known |= span_starts(word, words[i]);
        if (!known) return false;
        lean |= span_eq(word, SPAN("lean"));
    }
    return lean;
}

// What of the body's beginning decides: false if the model's name is not there.
static bool read_key(struct span body, struct remembered *ret)
{
    static const char name[] = "\"model\":";
    const uint8_t *at = memmem(body.p, body.n, name, sizeof name - 1);
    if (!at) return false;
    at += sizeof name - 1;
    const uint8_t *end = body.p + body.n;
    while (at < end && *at == ' ') at++;
    if (at == end || *at != '"') return false;
    const struct span rest = span_of(at + 1, (size_t)(end - at - 1));
    const uint32_t n = span_find(rest, '"');
    if (n == rest.n || n > sizeof ret->key) return false;
    memcpy(ret->key, rest.p, n);
    ret->key_n = n;
    ret->stream =
        memmem(body.p, body.n, "\"stream\":true", 13) || memmem(body.p, body.n, "\"stream\": true", 14);
    ret->usage = memmem(body.p, body.n, "\"include_usage\":", 16) != NULL;
    return true;
}

static const struct remembered *find(const struct remembered *key)
{
    for (uint32_t i = 0; i < remembered_count; i++) {
        const struct remembered *r = &remembered[i];
        if (r->key_n == key->key_n && r->stream == key->stream && r->usage == key->usage &&
            memcmp(r->key, key->key, key->key_n) == 0)
            return r;
    }
    return NULL;
}

int quick_answer(struct conn *c, const struct http_head *head)
{
    struct remembered key;
    const struct http_framing *f = &head->framing;
    if (head->method != HTTP_POST || f->kind != HTTP_BODY_LENGTH || f->length == 0) return 0;
    if (!span_eq(http_path(head), SPAN("/v1/chat/completions"))) return 0;
    const uint32_t look = f->length < LOOKED_AT_BYTES ? (uint32_t)f->length : LOOKED_AT_BYTES;
    while (c->s.unread < look)
        if (io_stream_fill(&c->s, c->s.unread, CLOCK_NEVER) <= 0) return -1;
    if (io_stream_join(&c->s, look)) return -1;
    struct span body = io_stream_front(&c->s);
    if (body.n > look) body.n = look;
    const struct remembered *r = read_key(body, &key) ? find(&key) : NULL;
    if (!r) return 0;
    for (uint64_t left = f->length; left > 0;) {
        if (io_stream_fill(&c->s, 0, CLOCK_NEVER) <= 0) return -1;
        const uint32_t have = io_stream_front(&c->s).n, n = left < have ? (uint32_t)left : have;
        io_stream_consume(&c->s, n);
        left -= n;
    }
    mock.requests_total++;
    struct iovec iov = {.iov_base = r->answer, .iov_len = r->n};
    return io_stream_send(&c->s, &iov, 1, c->s.unread == 0, CLOCK_NEVER) == 0 ? 1 : -1;
}

void quick_remember(const struct conn *c, struct text *answer)
{
    const struct entry *e = c->entry;
    struct remembered *r = &remembered[remembered_count];
    const struct span body =
        span_of(e->body, e->body_kept < LOOKED_AT_BYTES ? e->body_kept : LOOKED_AT_BYTES);
    *r = (struct remembered){.n = 0};
    if (remembered_count == REMEMBERED_MAX || !c->keep || strcmp(e->path, "/v1/chat/completions") != 0 ||
        !read_key(body, r) || !same_every_time(span_of(r->key, r->key_n)) || find(r)) {
        text_free(answer);
        return;
    }
    r->answer = answer->p;
    r->n = answer->n;
    remembered_count++;
}

uint64_t stamp_now(void)
{
    struct io_time now;
    io_clock(&now);
    return (uint64_t)now.now_ns;
}
