// Requests that never reach a provider: answered from the gateway itself, refused by it, or not HTTP at all. See
// sim_exchange.h. Each stands here with the status it must get, and whether the connection must end behind it.
#include <stdlib.h>

#include "tests/sim/sim_exchange.h"

// What is put behind the lines of the head.
#define KEY 1u // the field of a good key
#define LENGTH 2u // Content-Length, of the body that stands here
#define OPEN 4u // no empty line: the head does not end
// What must become of it.
#define CLOSES 8u
#define BODYLESS 16u // an answer to HEAD
// Where it may be asked.
#define NO_DEFAULTS 32u
#define ECHO 64u // there is the built-in provider
#define SEVERAL 128u // providers

struct odd {
    const char *head;
    const char *body;
    int status;
    unsigned flags;
};

#define AT(target) target " HTTP/1.1\r\nHost: g\r\n"
#define CHAT AT("POST /v1/chat/completions")
#define FILES AT("POST /v1/files")
#define JSON(text, status) \
    { \
        CHAT, text, status, KEY | LENGTH \
    }
#define HEAD(head) \
    { \
        head, "", 400, CLOSES \
    }
// The framing is refused, and what follows it must never be served.
#define FRAMING(head, body) \
    { \
        head, body "GET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n", 400, KEY | CLOSES \
    }
#define CHUNKS(body) FRAMING(CHAT "Transfer-Encoding: chunked\r\n", body)
#define X64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
// A head that is too large is made when it is asked for.
#define FILLED "GET /health HTTP/1.1\r\nFILL"

static const struct odd odds[] = {
    // Answered from here. The first GOOD ones are what a calm client asks.
    {AT("GET /v1/models/alias-0"), "", 200, KEY},
    {AT("HEAD /health"), "", 200, BODYLESS},
    {AT("HEAD /v1/models"), "", 200, KEY | BODYLESS},
    {AT("OPTIONS /v1/chat/completions") "Origin: http://a\r\n", "", 204, 0},
    {AT("OPTIONS *"), "", 204, 0},
    {AT("GET http://g/livez"), "", 200, 0},
    {"\r\n\r\n" AT("GET /readyz"), "", 200, 0},
#define GOOD 7u
    // Nothing of the kind.
    {AT("GET /v1/models/none"), "", 404, KEY},
    {AT("GET /nowhere"), "", 404, KEY},
    {AT("GET /base"), "", 404, KEY},
    {AT("GET /baseless/v1/models"), "", 404, KEY},
    {AT("GET /v1/models") "x-api-key: " SIM_KEY "\r\nx-api-key: " SIM_KEY "\r\n", "", 401, 0},
    {AT("POST /v1/nowhere"), "hello", 404, LENGTH},
    {AT("OPTIONS /nowhere"), "", 404, 0},
    {AT("GET /v1/chat/completions"), "", 405, KEY},
    {AT("BREW /health"), "", 405, 0},
    {AT("GET /v1/../health"), "", 400, 0},
    {AT("GET /v1/models") "Connection: upgrade\r\nUpgrade: websocket\r\n", "", 501, KEY},
    // Keys.
    {AT("GET /v1/models") "x-api-key: other\r\n", "", 401, KEY},
    {AT("GET /v1/models?key=other"), "", 401, KEY},
    {AT("GET /v1/models") "Authorization: Basic abc\r\n", "", 401, 0},
    // Heads that are none, or two.
    HEAD("GET /health HTTP/1.1\r\n"),
    HEAD(AT("GET /health") "Host: g\r\n"),
    HEAD("GET /health HTTP/1.1\r\nHost : g\r\n"),
    HEAD("GET /health HTTP/1.1\nHost: g\r\n"),
    HEAD(AT("GET /health") "X: a\r\n b\r\n"),
    HEAD(AT("GET /health") "X: a\x01\r\n"),
    HEAD(AT("GET /health") "no colon here\r\n"),
    HEAD("GET /health HTTP/1.10\r\nHost: g\r\n"),
    HEAD("GET /health\r\n"),
    {AT("CONNECT g:443"), "", 405, CLOSES},
    {"GET /health HTTP/2.0\r\nHost: g\r\n", "", 505, CLOSES},
    {"PRI * HTTP/2.0\r\n", "SM\r\n\r\n", 505, CLOSES},
    {"\x16\x03\x01\x02", "", 400, OPEN | CLOSES},
    {CHAT "Expect: the unexpected\r\n", "{}", 417, KEY | LENGTH | CLOSES},
    {FILLED, "", 431, CLOSES},
    // Two framings, or none that can be believed.
    FRAMING(CHAT "Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
    FRAMING(CHAT "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    FRAMING(CHAT "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
    FRAMING(CHAT "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    FRAMING(CHAT "Content-Length: +2\r\n", "{}"),
    FRAMING(CHAT "Content-Length: 0x2\r\n", "{}"),
    FRAMING(CHAT "Content-Length: 99999999999999999999\r\n", "{}"),
    FRAMING("POST /v1/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    CHUNKS("0x2\r\n{}\r\n0\r\n\r\n"),
    CHUNKS("2\n{}\r\n0\r\n\r\n"),
    CHUNKS("2\r\n{}0\r\n\r\n"),
    CHUNKS("-2\r\n{}\r\n0\r\n\r\n"),
    CHUNKS("100000000000000002\r\n{}\r\n0\r\n\r\n"),
    // Too large.
    {CHAT "Content-Length: 900000000\r\n", "", 413, KEY | CLOSES},
    {CHAT "Expect: 100-continue\r\nContent-Length: 900000000\r\n", "", 413, KEY | CLOSES},
    {FILES "x-ringway-provider: p0\r\nContent-Length: 900000000\r\n", "", 413, KEY | CLOSES},
    // JSON that is none, or says nothing that can be used.
    JSON("", 400),
    JSON("[]", 400),
    {CHAT, "{}", 400, KEY | LENGTH | NO_DEFAULTS},
    JSON("{\"model\": 5}", 400),
    {CHAT, "{\"model\": null}", 400, KEY | LENGTH | NO_DEFAULTS},
    JSON("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", 400),
    JSON("{\"model\":\"alias-0\",\"stream\":\"maybe\"}", 400),
    JSON("{\"model\":\"alias-0\",\"n\": 0.5}", 400),
    JSON("{\"model\":\"alias-0\",\"n\": 0}", 400),
    JSON("{\"model\":\"alias-0\",\"n\": 129}", 400),
    JSON("{\"model\":\"\xff\xfe\"}", 400),
    JSON("{\"model\":\"\\ud800\"}", 400),
    JSON("\xef\xbb\xbf{\"model\":1}", 400),
    JSON("{\"model\":\"alias-0\",\"stream_options\":[1,2,3]}", 400),
    JSON("{\"model\":\"alias-0\",\"stream_options\":{\"include_usage\":1}}", 400),
    JSON("{\"model\":\"p0/\"}", 404),
    JSON("{\"model\":\"nobody/model\"}", 404),
    JSON("{\"model\":\"" X64 X64 X64 X64 X64 X64 X64 X64 X64 "\"}", 400),
    {AT("POST /v1/embeddings"), "{\"model\":\"echo\",\"input\":\"x\"}", 400, KEY | LENGTH | ECHO},
    {FILES "x-ringway-provider: nobody\r\n", "{}", 400, KEY | LENGTH},
    {FILES "x-ringway-provider: echo\r\n", "{}", 400, KEY | LENGTH},
    {FILES, "{}", 400, KEY | LENGTH | NO_DEFAULTS | SEVERAL},
    {FILES "x-ringway-provider: p0\r\n", "", 411, KEY},
    // What never comes to its end.
    {"GET /heal", "", 408, OPEN | CLOSES},
    {AT("GET /health") "X-Slow: ", "", 408, OPEN | CLOSES},
    {CHAT "Content-Length: 20\r\n", "{\"model\":\"al", 408, KEY | CLOSES},
    {CHAT "Transfer-Encoding: chunked\r\n", "5\r\n{\"mod", 408, KEY | CLOSES},
};

// A head that says LENGTH of what is behind it, and is otherwise as it stands.
static struct span head_of(struct sim_gateway *g, const struct odd *o)
{
    struct sim_world *w = g->w;
    struct sim_text t = {0};
    struct span head = span_str(o->head);
    const bool filled = head.n > 4 && memcmp(head.p + head.n - 4, "FILL", 4) == 0;
    if (filled) head.n -= 4;
    const char *path = strstr(o->head, " /v1/");
    if (path && g->shape.base) {
        const uint32_t method = (uint32_t)(path - o->head) + 1;
        sim_text_put(&t, (struct span){head.p, method});
        sim_text_str(&t, "/base");
        head = span_from(head, method);
    }
    sim_text_put(&t, head);
    for (uint32_t i = 0; filled && i < 100; i++) {
        sim_text_format(&t, "x-%u: ", i);
        for (uint32_t words = 100 + sim_below(w, 20); words > 0; words--) sim_text_str(&t, "too much ");
        sim_text_str(&t, "\r\n");
    }
    if (o->flags & KEY) sim_text_str(&t, "Authorization: Bearer " SIM_KEY "\r\n");
    if (o->flags & LENGTH) sim_text_format(&t, "Content-Length: %u\r\n", span_str(o->body).n);
    if (!(o->flags & OPEN)) sim_text_str(&t, "\r\n");
    const struct span kept = sim_keep_span(span_of(t.p, t.n));
    free(t.p);
    return kept;
}

void sim_odd_compose(struct sim_gateway *g, struct sim_request *r)
{
    const uint32_t kinds = sizeof odds / sizeof *odds;
    const struct odd *o = &odds[sim_below(g->w, g->calm ? GOOD : kinds)];
    if ((o->flags & NO_DEFAULTS && g->shape.defaults) || (o->flags & ECHO && !g->shape.echo) ||
        (o->flags & SEVERAL && g->providers == 1))
        o = &odds[0];
    r->kind = ASK_LOCAL;
    r->odd = true;
    r->refused_with = o->status >= 400 ? o->status : 0;
    r->head_only = o->flags & BODYLESS;
    r->silent = r->head_only || o->status == 204;
    r->closes = o->flags & CLOSES;
    r->hangs = o->flags & OPEN || o->status == 408;
    r->head = head_of(g, o);
    r->body = span_str(o->body);
}
