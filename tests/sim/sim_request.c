// What clients ask. See sim_exchange.h. Each request is composed twice at once: as the client sends it, and as the provider
// must get it after the edits that the gateway is permitted: the model's name, and a wish for usage in streams.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_exchange.h"

#define KEPT_BLOCK_BYTES (4u << 20)

// --- Memory and text.

static struct kept {
    struct kept *next;
    uint8_t *p;
    uint32_t cap, used;
} * kept_first, *kept_at;

void *sim_keep(uint32_t n)
{
    n = (n + 15) & ~15u;
    while (kept_at && kept_at->used + n > kept_at->cap) {
        kept_at = kept_at->next;
        if (kept_at) kept_at->used = 0;
    }
    if (!kept_at) {
        struct kept *k = sim_malloc(sizeof *k);
        MUST(k);
        *k = (struct kept){.next = NULL, .cap = n > KEPT_BLOCK_BYTES ? n : KEPT_BLOCK_BYTES};
        k->p = sim_malloc(k->cap);
        MUST(k->p);
        struct kept **at = &kept_first;
        while (*at) at = &(*at)->next;
        *at = k;
        kept_at = k;
    }
    void *p = kept_at->p + kept_at->used;
    kept_at->used += n;
    return p;
}

void sim_forget(void)
{
    kept_at = kept_first;
    if (kept_at) kept_at->used = 0;
}

struct span sim_keep_span(struct span s)
{
    uint8_t *p = sim_keep(s.n);
    if (s.n) memcpy(p, s.p, s.n);
    return (struct span){p, s.n};
}

static void text_room(struct sim_text *t, uint32_t n)
{
    if (t->n + n <= t->cap) return;
    t->cap = (t->n + n) * 2 + 1024;
    t->p = sim_realloc(t->p, t->cap);
    MUST(t->p);
}

void sim_text_put(struct sim_text *t, struct span s)
{
    text_room(t, s.n);
    if (s.n) memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
}

void sim_text_str(struct sim_text *t, const char *text)
{
    sim_text_put(t, span_str(text));
}

void sim_text_format(struct sim_text *t, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    MUST(n >= 0 && (size_t)n < sizeof line);
    sim_text_put(t, span_of(line, (size_t)n));
}

// --- JSON bodies.

struct member {
    char text[256]; // `"key": value`, as the client writes it
    char up[320]; // and as the provider gets it
    bool filled; // with text of the request's own size behind it
};

static void both(struct member *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->text, sizeof m->text, format, args);
    va_end(args);
    memcpy(m->up, m->text, sizeof m->text);
    m->filled = false;
}

static uint32_t body_bytes(struct sim_gateway *g)
{
    struct sim_world *w = g->w;
    const uint32_t way = sim_below(w, 100);
    const uint32_t max = way < 85 ? 400 : way < 95 ? 4000 : way < 99 ? 40000 : 300000;
    return sim_below(w, max < g->size_max ? max : g->size_max);
}

// Text to copy from: ASCII words, some that look like something else, and now and then characters beyond.
static struct {
    uint8_t p[65536];
    uint32_t start[8192]; // of words
    uint32_t words;
    uint32_t n;
} book;

static void book_make(void)
{
    static const char *const words[] = {"alpha ",  "beta, ", "gamma. ", "delta ",       "model ",   "stream ",
                                        "[DONE] ", "data: ", "{} ",     "caf\xc3\xa9 ", "\\u00e9 ", "\\n"};
    struct prng r;
    prng_seed(&r, 1);
    while (book.words < 8192) {
        const struct span word = span_str(words[prng_below(&r, sizeof words / sizeof *words)]);
        if (book.n + word.n > sizeof book.p) break;
        memcpy(book.p + book.n, word.p, word.n);
        book.start[book.words++] = book.n;
        book.n += word.n;
    }
}

// About n bytes of whole words.
void sim_text_words(struct sim_world *w, struct sim_text *t, uint32_t n)
{
    if (book.n == 0) book_make();
    while (n > 0) {
        const uint32_t first = sim_below(w, book.words - 1);
        uint32_t last = first + n / 6 + 1;
        if (last >= book.words) last = book.words - 1;
        const uint32_t bytes = book.start[last] - book.start[first];
        sim_text_put(t, (struct span){book.p + book.start[first], bytes});
        n = n > bytes ? n - bytes : 0;
    }
}

static void put_words(struct sim_world *w, struct sim_text *a, struct sim_text *b, uint32_t n)
{
    const uint32_t from = a->n;
    sim_text_words(w, a, n);
    sim_text_put(b, span_of(a->p + from, a->n - from));
}

// stream_options, and whether the gateway has to add its wish for usage. *ret_insert: it stands in front of all members.
static void stream_options(struct sim_gateway *g, struct sim_request *r, struct member *m, uint32_t *n,
                           bool *ret_insert)
{
    struct sim_world *w = g->w;
    const bool edited = r->stream && (r->kind == ASK_CHAT || r->kind == ASK_TEXT);
    *ret_insert = false;
    switch (sim_below(w, 8)) {
    case 0:
        r->usage_asked = r->stream;
        both(&m[(*n)++], "\"stream_options\": {\"include_usage\":true}");
        return;
    case 1:
        both(&m[*n], "\"stream_options\":{\"include_usage\" : false}");
        if (edited) snprintf(m[*n].up, sizeof m->up, "\"stream_options\":{\"include_usage\" : true}");
        break;
    case 2:
        both(&m[*n], "\"stream_options\":null");
        if (edited) snprintf(m[*n].up, sizeof m->up, "\"stream_options\":{\"include_usage\":true}");
        break;
    case 3:
        both(&m[*n], "\"stream_options\":{}");
        if (edited) snprintf(m[*n].up, sizeof m->up, "\"stream_options\":{\"include_usage\":true}");
        break;
    case 4:
        both(&m[*n], "\"stream_options\":{ \"other\": [1,2]}");
        if (edited)
            snprintf(m[*n].up, sizeof m->up, "\"stream_options\":{\"include_usage\":true, \"other\": [1,2]}");
        break;
    default: *ret_insert = edited; return;
    }
    (*n)++;
}

static void shuffle(struct sim_world *w, uint8_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) order[i] = (uint8_t)i;
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t k = sim_below(w, i);
        const uint8_t t = order[k];
        order[k] = order[i - 1];
        order[i - 1] = t;
    }
}

// The model in one of the ways in which it can be named. False: not at all.
static bool model_member(struct sim_gateway *g, struct sim_request *r, struct member *m)
{
    const uint32_t p = r->provider;
    char asked[32];
    const char *key = "model", *up = asked;
    char up_name[32];
    snprintf(asked, sizeof asked, "alias-%u", p);
    snprintf(up_name, sizeof up_name, "up-%u", p);
    if (r->kind == ASK_ECHO) {
        snprintf(asked, sizeof asked, "echo");
    } else if (r->refused_with == 404) {
        snprintf(asked, sizeof asked, r->limited && p > 0 ? "alias-%u" : "nobody-knows-%u", p);
    } else {
        // A name of ours, one that is the same upstream, provider/model, or with an escape in the key.
        switch (sim_below(g->w, r->limited ? 3 : 5)) {
        case 0: snprintf(asked, sizeof asked, "same-%u", p); break;
        case 1:
            key = "mod\\u0065l";
            up = up_name;
            break;
        case 3:
            snprintf(asked, sizeof asked, "p%u/any/model", p);
            snprintf(up_name, sizeof up_name, "any/model");
            up = up_name;
            break;
        default: up = up_name;
        }
    }
    r->model = sim_keep_span(span_str(asked));
    r->model_same = strcmp(asked, up) == 0;
    // Who names none means the default, which the provider is told.
    if (g->shape.defaults && r->kind != ASK_ECHO && !r->refused_with && sim_chance(g->w, 20) && p == 0) {
        r->model = SPAN("alias-0");
        r->model_same = false;
        r->unnamed = true;
        return false;
    }
    const char *gap = sim_chance(g->w, 80) ? ":" : " : ";
    both(m, "\"%s\"%s\"%s\"", key, gap, asked);
    snprintf(m->up, sizeof m->up, "\"%s\"%s\"%s\"", key, gap, up);
    return true;
}

// The members of a body without the braces, twice. Returns their number.
static uint32_t members(struct sim_gateway *g, struct sim_request *r, struct member *m, bool *ret_insert)
{
    struct sim_world *w = g->w;
    uint32_t n = 0;
    if (model_member(g, r, &m[n])) n++;
    both(&m[n++], "\"user\":\"rq%u\"", r->id);
    if (r->stream) both(&m[n++], "\"stream\": true");
    else if (sim_chance(w, 30)) both(&m[n++], sim_chance(w, 50) ? "\"stream\":false" : "\"stream\":null");
    stream_options(g, r, m, &n, ret_insert);
    if (sim_chance(w, 30)) both(&m[n++], "\"temperature\":0.70");
    if (sim_chance(w, 20)) both(&m[n++], "\"seed\":12345678901234567890123");
    if (sim_chance(w, 20)) both(&m[n++], "\"metadata\":{\"model\":\"x\",\"stream\":1,\"n\":[{\"n\":0}]}");
    if (sim_chance(w, 20)) both(&m[n++], "\"unknown\":\"\\ud83d\\ude00 \\/\\\"\"");
    if (sim_chance(w, 20)) both(&m[n++], "\"n\":1");
    const char *texts = r->kind == ASK_EMBED ? "\"input\":\""
        : !r->chat                           ? "\"prompt\":\""
        : r->parts ? "\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},{\"content\":[{\"type\":"
                     "\"image_url\"},{\"type\":\"text\",\"text\":\""
                   : "\"messages\":[{\"role\":\"user\",\"content\":\"";
    both(&m[n], "%s", texts);
    m[n++].filled = true;
    return n;
}

static void json_body(struct sim_gateway *g, struct sim_request *r, struct sim_text *a, struct sim_text *b)
{
    struct sim_world *w = g->w;
    struct member all[16];
    uint8_t order[16];
    bool insert;
    const uint32_t n = members(g, r, all, &insert);
    static const char *const gaps[] = {",", ", ", ",\n  ", " ,\t"};
    const char *gap = gaps[sim_below(w, 4)];
    shuffle(w, order, n);
    sim_text_str(a, "{");
    sim_text_str(b, "{");
    if (r->unnamed) sim_text_str(b, "\"model\":\"up-0\",");
    if (insert) sim_text_str(b, "\"stream_options\":{\"include_usage\":true},");
    for (uint32_t i = 0; i < n; i++) {
        const struct member *m = &all[order[i]];
        if (i > 0) {
            sim_text_str(a, gap);
            sim_text_str(b, gap);
        }
        sim_text_str(a, m->text);
        sim_text_str(b, m->up);
        if (!m->filled) continue;
        const uint32_t from = a->n;
        if (r->kind == ASK_ECHO) {
            for (uint32_t k = 0; k < 20; k++) sim_text_format(a, "w%u ", sim_below(w, 1000));
            r->said = (struct span){NULL, a->n - from};
        } else {
            put_words(w, a, b, body_bytes(g));
        }
        const char *end = !r->chat ? "\"" : r->parts ? "\"}],\"role\":\"user\"}]" : "\"}]";
        sim_text_str(a, end);
        sim_text_str(b, end);
        if (r->kind == ASK_ECHO) r->said.p = sim_keep_span(span_of(a->p + from, r->said.n)).p;
    }
    sim_text_str(a, "}");
    sim_text_str(b, "}");
}

// --- Heads.

static const char *path_of(struct sim_gateway *g, struct sim_request *r)
{
    static const char *const local[] = {"/health", "/v1/models", "/health/ready", "/healthz"};
    switch ((enum sim_ask_kind)r->kind) {
    case ASK_CHAT:
    case ASK_TEXT:
    case ASK_ECHO: return r->chat ? "/v1/chat/completions" : "/v1/completions";
    case ASK_EMBED: return "/v1/embeddings";
    case ASK_UPLOAD: return sim_chance(g->w, 50) ? "/v1/files" : "/v1/audio/transcriptions";
    case ASK_LOCAL: return local[sim_below(g->w, 4)];
    case ASK_KINDS: break;
    }
    UNREACHABLE("a request of no kind");
}

// The body in chunks of any size.
static struct span chunked(struct sim_world *w, struct span body)
{
    struct sim_text t = {0};
    while (body.n > 0) {
        const uint32_t n =
            body.n < 20 || sim_chance(w, 30) ? body.n : sim_piece(w, body.n > 5000 ? 5000 : body.n);
        sim_text_format(&t, sim_chance(w, 20) ? "%X;ext=1\r\n" : "%x\r\n", n);
        sim_text_put(&t, (struct span){body.p, n});
        sim_text_str(&t, "\r\n");
        body = span_from(body, n);
    }
    sim_text_str(&t, sim_chance(w, 10) ? "0\r\nx-trailer: 1\r\n\r\n" : "0\r\n\r\n");
    const struct span kept = sim_keep_span(span_of(t.p, t.n));
    free(t.p);
    return kept;
}

// What must not go up.
static void put_decoys(struct sim_world *w, struct sim_text *t)
{
    if (sim_chance(w, 20)) sim_text_str(t, "Cookie: session=secret\r\n");
    if (sim_chance(w, 20)) sim_text_str(t, "X-Stainless-Lang: python\r\n");
    static const char *const behind[] = {
        "1.2.3.4",          "9.9.9.9, 10.1.0.7", "2001:db8::1, 10.1.1.1,192.0.2.7",
        "unknown",          "[2001:db8::5]:80",  "10.1.0.1, 10.1.0.2",
        "1.2.3.4, 5.6.7.8", " , 10.1.0.9"};
    if (sim_chance(w, 20)) sim_text_format(t, "X-Forwarded-For: %s\r\n", behind[sim_below(w, 8)]);
    if (sim_chance(w, 10)) sim_text_format(t, "Origin: http://%c\r\n", 'a' + (char)sim_below(w, 3));
    if (sim_chance(w, 10)) sim_text_str(t, "X-Request-Id: theirs\r\n");
    if (sim_chance(w, 10))
        sim_text_str(t, "Connection: keep-alive, traceparent\r\ntraceparent: 00-1-2-01\r\n");
    else if (sim_chance(w, 10)) sim_text_str(t, "traceparent: 00-11-22-01\r\n");
    if (sim_chance(w, 20)) sim_text_str(t, "Accept: */*\r\nAccept-Encoding: gzip, br\r\n");
}

static void put_key(struct sim_world *w, struct sim_request *r, struct sim_text *t)
{
    static const char *const bad[] = {"Bearer sk-wrong", "Basic c2s6Z29vZA==", "Bearer " SIM_KEY_DISABLED};
    static const char *const fields[] = {"Authorization: bearer ",
                                         "x-api-key: ", "api-key: ", "x-goog-api-key: "};
    const char *key = r->limited ? SIM_KEY_LIMITED : SIM_KEY;
    if (r->refused_with == 401) {
        if (sim_chance(w, 60)) sim_text_format(t, "Authorization: %s\r\n", bad[sim_below(w, 3)]);
        return;
    }
    bool some = r->key_in_query;
    for (int i = 0; i < 4; i++) {
        if (!sim_chance(w, i == 0 ? 80 : 10) && (some || i < 3)) continue;
        sim_text_format(t, "%s%s\r\n", fields[i], key);
        some = true;
    }
}

static void compose_head(struct sim_gateway *g, struct sim_request *r)
{
    struct sim_world *w = g->w;
    struct sim_text t = {0};
    const bool get = r->kind == ASK_LOCAL;
    r->key_in_query = r->refused_with != 401 && sim_chance(w, 5);
    const char *query = !r->key_in_query ? sim_chance(w, 5) ? "?x=1" : ""
        : r->limited                     ? "?a=b&key=" SIM_KEY_LIMITED
                                         : "?key=" SIM_KEY "&x";
    sim_text_format(&t, "%s %s%s%s HTTP/1.%d\r\nHost: gateway\r\n", get ? "GET" : "POST",
                    g->shape.base ? "/base" : "", path_of(g, r), query, r->http10 ? 0 : 1);
    put_key(w, r, &t);
    sim_text_format(&t, "Idempotency-Key: rq%u\r\n", r->id);
    put_decoys(w, &t);
    // The only provider need not be named, nor the default one.
    const bool only = g->providers == 1 || (g->shape.defaults && r->provider == 0);
    if (r->kind == ASK_UPLOAD && !(only && sim_chance(w, 50)))
        sim_text_format(&t, "x-ringway-provider: p%u\r\n", r->provider);
    if (!get) {
        sim_text_str(&t,
                     r->kind == ASK_UPLOAD ? "Content-Type: multipart/form-data; boundary=b\r\n"
                                           : "Content-Type: application/json\r\n");
        if (!r->http10 && sim_chance(w, 30)) {
            r->body = chunked(w, r->body);
            sim_text_str(&t, "Transfer-Encoding: chunked\r\n");
        } else {
            sim_text_format(&t, "Content-Length: %u\r\n", r->body.n);
        }
        if (r->expects) sim_text_str(&t, "Expect: 100-continue\r\n");
    }
    if (r->closes) sim_text_str(&t, "Connection: close\r\n");
    else if (r->http10 && sim_chance(w, 50)) sim_text_str(&t, "Connection: keep-alive\r\n");
    sim_text_str(&t, "\r\n");
    r->head = sim_keep_span(span_of(t.p, t.n));
    free(t.p);
}

static uint8_t kind_of(struct sim_world *w)
{
    const uint32_t way = sim_below(w, 100);
    return way < 55 ? ASK_CHAT
        : way < 65  ? ASK_TEXT
        : way < 72  ? ASK_EMBED
        : way < 84  ? ASK_UPLOAD
        : way < 94  ? ASK_ECHO
                    : ASK_LOCAL;
}

void sim_request_compose(struct sim_gateway *g, struct sim_request *r)
{
    struct sim_world *w = g->w;
    *r = (struct sim_request){.id = (uint32_t)(r - g->request), .kind = kind_of(w)};
    if (r->kind == ASK_ECHO && !g->shape.echo) r->kind = ASK_TEXT;
    r->chat = r->kind == ASK_CHAT || (r->kind == ASK_ECHO && sim_chance(w, 70));
    r->parts = r->kind == ASK_ECHO && r->chat && sim_chance(w, 30);
    if (sim_chance(w, 6)) {
        sim_odd_compose(g, r);
        return;
    }
    r->provider = sim_below(w, g->providers);
    r->stream = (r->kind == ASK_CHAT || r->kind == ASK_TEXT || r->kind == ASK_ECHO) && sim_chance(w, 60);
    r->http10 = sim_chance(w, 4);
    r->closes = sim_chance(w, 5);
    r->expects = !r->http10 && r->kind != ASK_LOCAL && sim_chance(w, 8);
    const bool json = r->kind != ASK_UPLOAD && r->kind != ASK_LOCAL;
    if (!g->calm && sim_chance(w, 6))
        r->refused_with = sim_chance(w, 50) ? 401 : json && r->kind != ASK_ECHO ? 404 : 0;
    if (r->kind == ASK_LOCAL) r->refused_with = 0;
    // A key that may ask for some models of the first provider only.
    r->limited = sim_chance(w, 8);
    if (!r->refused_with && r->limited && json && r->kind != ASK_ECHO && r->provider > 0)
        r->refused_with = 404;
    struct sim_text a = {0}, b = {0};
    if (json) {
        json_body(g, r, &a, &b);
        if (!g->calm && !r->refused_with && sim_chance(w, 2) && a.n > 1) {
            a.n--; // the last brace
            r->refused_with = 400;
        }
        if (a.n > g->shape.body_max) r->refused_with = 413;
    } else if (r->kind == ASK_UPLOAD) {
        sim_text_format(&a, "--b rq%u ", r->id);
        sim_text_format(&b, "--b rq%u ", r->id);
        put_words(w, &a, &b, 4 * body_bytes(g));
    }
    r->body = sim_keep_span(span_of(a.p, a.n));
    r->body_up = sim_keep_span(span_of(b.p, b.n));
    free(a.p);
    free(b.p);
    compose_head(g, r);
}

struct sim_request *sim_request_find(struct sim_gateway *g, const struct sim_message *m)
{
    const struct span key = sim_message_field(m, "idempotency-key");
    uint64_t id;
    SIM_MUST(g->w, span_starts(key, SPAN("rq")) && span_u64(span_from(key, 2), &id) && id < g->requests,
             "a provider was asked something that no client had asked");
    return &g->request[id];
}
