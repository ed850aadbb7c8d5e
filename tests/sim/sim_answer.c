// What providers answer. See sim_exchange.h. An answer is composed whole, as the bytes that go out, together with what the
// client must make of it: `expected` and the verdict. The connection keeps to the bytes, up to where it breaks off.
#include <stdlib.h>

#include "tests/sim/sim_exchange.h"

enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE };

// How it goes wrong, if it does.
enum flaw {
    FLAW_NONE,
    FLAW_STATUS,
    FLAW_STATUS_TEXT,
    FLAW_REDIRECT,
    FLAW_OTHER_STATUS,
    FLAW_SWITCHED,
    FLAW_GZIP,
    FLAW_HTML,
    FLAW_EMPTY,
    FLAW_ERROR_200,
    FLAW_NOT_JSON,
    FLAW_CUT,
    FLAW_RESET,
    FLAW_STALL,
    FLAW_SILENT_CLOSE,
    FLAW_GARBAGE,
    FLAW_TWO_LENGTHS,
    FLAW_BAD_CHUNK,
    FLAW_HUGE_HEAD,
    FLAW_NO_FINISH,
    FLAW_ERROR_EVENT,
    FLAWS,
};

struct making {
    struct sim_gateway *g;
    struct sim_request *r;
    struct sim_answer *a;
    struct sim_text body, expected, wire;
    uint32_t cuts[512], cuts_expected[512]; // where events end in the body, and in what is expected
    uint32_t cut_n;
    bool data_seen; // an event with data, before an error event
    uint32_t finish_at; // in the body; 0: no event has a finish reason
    enum framing framing;
    enum flaw flaw;
    int status;
    bool events;
    bool renames; // the gateway says the model's name as it was asked for
    bool asks_usage; // the request that came has include_usage
    uint32_t head_n;
};

static const char *reason_of(int status)
{
    return status == 200 ? "OK" : status == 429 ? "Too Many Requests" : "Whatever";
}

// --- Events.

// What the client must get of it: the model's name may be the one that it asked for.
static void put_expected(struct making *k, struct span s)
{
    static const char theirs[] = "\"model\":\"up\"";
    const uint8_t *at = k->renames && s.n ? memmem(s.p, s.n, theirs, sizeof theirs - 1) : NULL;
    if (!at) {
        sim_text_put(&k->expected, s);
        return;
    }
    const uint32_t before = (uint32_t)(at - s.p) + (uint32_t)sizeof theirs - 4;
    sim_text_put(&k->expected, (struct span){s.p, before});
    sim_text_put(&k->expected, k->r->model);
    sim_text_put(&k->expected, span_from(s, before + 2));
}

static void put_event(struct making *k, const char *text, uint32_t n, bool forwarded)
{
    const char *end = k->r->crlf ? "\r\n\r\n" : "\n\n";
    const uint32_t from = k->body.n;
    sim_text_put(&k->body, span_of(text, n));
    sim_text_str(&k->body, end);
    if (forwarded) put_expected(k, span_of(k->body.p + from, k->body.n - from));
    if (k->cut_n == sizeof k->cuts / sizeof *k->cuts) return;
    k->cuts_expected[k->cut_n] = k->expected.n;
    k->cuts[k->cut_n++] = k->body.n;
}

static void put_chunk(struct making *k, const char *delta, const char *finish)
{
    k->data_seen = true;
    struct sim_text t = {0};
    const bool chat = k->r->kind == ASK_CHAT;
    sim_text_str(&t, sim_chance(k->g->w, 5) ? "event: message\ndata: " : "data: ");
    sim_text_format(&t, "{\"id\":\"c%u\",\"object\":\"chunk\",\"model\":\"up\",\"choices\":[{\"index\":0,",
                    k->r->id);
    if (chat) sim_text_format(&t, "\"delta\":{%s}", delta);
    else sim_text_format(&t, "\"text\":\"%s\"", delta);
    sim_text_format(&t, ",\"finish_reason\":%s}]}", finish);
    put_event(k, (char *)t.p, t.n, true);
    free(t.p);
}

static void put_content(struct making *k)
{
    struct sim_world *w = k->g->w;
    struct sim_text t = {0};
    const bool chat = k->r->kind == ASK_CHAT;
    if (chat) sim_text_str(&t, "\"content\":\"");
    sim_text_format(&t, "t%u ", sim_below(w, 100000));
    const uint32_t more = sim_chance(w, 3) ? sim_below(w, 200) : 0;
    for (uint32_t i = 0; i < more; i++) sim_text_str(&t, "x");
    if (chat) sim_text_str(&t, "\"");
    sim_text_put(&t, (struct span){(const uint8_t *)"", 1});
    put_chunk(k, (char *)t.p, "null");
    free(t.p);
}

// An event too long to be held: it crosses unread.
static void put_long_event(struct making *k)
{
    struct sim_text t = {0};
    sim_text_format(&t, "data: {\"id\":\"long%u\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
                    k->r->id);
    for (uint32_t i = 0; i < 1200; i++)
        sim_text_str(&t, "a long text, a long text, a long text, a long text, a long, ");
    sim_text_str(&t, "\"}}]}");
    put_event(k, (char *)t.p, t.n, true);
    free(t.p);
}

// One event whose data stands on two lines: it is looked at, and goes on as it is.
static void put_two_lines(struct making *k)
{
    const bool renames = k->renames;
    const char *text = k->r->crlf ? "data: {\"model\":\"up\",\r\ndata: \"choices\":[]}"
                                  : "data: {\"model\":\"up\",\ndata: \"choices\":[]}";
    k->renames = false;
    k->data_seen = true;
    put_event(k, text, span_str(text).n, true);
    k->renames = renames;
}

static void put_oddities(struct making *k)
{
    struct sim_world *w = k->g->w;
    if (sim_chance(w, 5)) put_event(k, ": keep-alive", 12, true);
    const bool chat = k->r->kind == ASK_CHAT;
    if (chat && sim_chance(w, 2)) put_chunk(k, "\"reasoning_content\":\"hm\"", "\"\"");
    if (chat && sim_chance(w, 2)) put_chunk(k, "\"tool_calls\":[{\"index\":0}]", "null");
    if (sim_chance(w, 2)) put_two_lines(k);
    if (sim_chance(w, 2) && !k->g->calm) put_event(k, "data: not json", 14, false);
    if (sim_below(w, 2000) == 0 && k->g->size_max > 100000) put_long_event(k);
}

static void put_stream(struct making *k)
{
    struct sim_world *w = k->g->w;
    const bool chat = k->r->kind == ASK_CHAT;
    uint32_t chunks = sim_chance(w, 80) ? sim_below(w, 12) : sim_below(w, 120);
    const uint32_t error_at = k->flaw == FLAW_ERROR_EVENT ? sim_below(w, chunks + 1) : UINT32_MAX;
    if (sim_chance(w, 5)) put_event(k, ": hello", 7, true);
    for (uint32_t i = 0; i <= chunks; i++) {
        if (i == error_at) {
            static const char error[] =
                "data: {\"error\":{\"message\":\"upstream broke\",\"type\":\"server_error\"}}";
            put_event(k, error, sizeof error - 1, true);
            return;
        }
        if (i == 0 && chat) put_chunk(k, "\"role\":\"assistant\",\"content\":\"\"", "null");
        else put_content(k);
        put_oddities(k);
    }
    if (k->flaw != FLAW_NO_FINISH) {
        put_chunk(k, "", "\"stop\"");
        k->finish_at = k->body.n;
    }
    if (k->asks_usage) {
        static const char usage[] = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                                    "\"completion_tokens\":4,\"total_tokens\":7}}";
        put_event(k, usage, sizeof usage - 1, k->r->usage_asked);
    }
    if (sim_chance(w, 90)) put_event(k, "data: [DONE]", 12, true);
}

// --- Bodies that are not streams.

static void put_json(struct making *k)
{
    struct sim_world *w = k->g->w;
    sim_text_format(
        &k->body,
        "{\"id\":\"a%u\",\"model\":\"up\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"text\":\"",
        k->r->id);
    const uint32_t way = sim_below(w, 100), max = way < 85 ? 500 : way < 98 ? 20000 : 300000;
    sim_text_words(w, &k->body, sim_below(w, max < k->g->size_max ? max : k->g->size_max));
    static const char *const usages[] = {"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}",
                                         "\"usage\":null", "\"usage\":{\"prompt_tokens\":-1}",
                                         "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8,\"prompt_"
                                         "tokens_details\":{\"cached_tokens\":7},"
                                         "\"completion_tokens_details\":{\"reasoning_tokens\":6}}"};
    sim_text_format(&k->body, "\"}],%s}", usages[sim_below(w, 4)]);
    if (sim_chance(w, 20)) sim_text_str(&k->body, "\n");
}

static void put_body(struct making *k)
{
    switch (k->flaw) {
    case FLAW_STATUS:
    case FLAW_ERROR_200:
        sim_text_format(
            &k->body,
            "{\"error\":{\"message\":\"rq%u refused\",\"type\":\"t\",\"param\":null,\"code\":null}}",
            k->r->id);
        return;
    case FLAW_STATUS_TEXT: sim_text_str(&k->body, "<html>upstream connect error</html>"); return;
    case FLAW_HTML: sim_text_str(&k->body, "<html>please log in</html>"); return;
    case FLAW_EMPTY: return;
    case FLAW_NOT_JSON: sim_text_str(&k->body, "{\"id\":\"a\",\"choices\":[{]}"); return;
    default: break;
    }
    if (k->events) put_stream(k);
    else put_json(k);
}

// --- Heads and framing.

static void put_head(struct making *k)
{
    struct sim_world *w = k->g->w;
    struct sim_text *t = &k->wire;
    if (k->flaw == FLAW_NONE && sim_chance(w, 3))
        sim_text_str(t, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    sim_text_format(t, "HTTP/1.1 %d %s\r\n", k->status, reason_of(k->status));
    if (k->flaw == FLAW_HUGE_HEAD)
        for (uint32_t i = 0; i < 1200; i++) sim_text_format(t, "x-filler-%u: 01234567890123456789\r\n", i);
    const char *type = k->flaw == FLAW_HTML || k->flaw == FLAW_STATUS_TEXT ? "text/html"
        : k->events && k->status == 200                                    ? "text/event-stream"
                                                                           : "application/json";
    sim_text_format(t, "Content-Type: %s\r\n", type);
    if (sim_chance(w, 30)) sim_text_format(t, "x-request-id: up-rq%u\r\n", k->r->id);
    if (k->status == 429) sim_text_str(t, "Retry-After: 1\r\n");
    if (sim_chance(w, 20))
        sim_text_str(t, "Set-Cookie: secret=1\r\nServer: sim\r\nx-ratelimit-remaining: 5\r\n");
    if (k->flaw == FLAW_REDIRECT) sim_text_str(t, "Location: http://evil.example/\r\n");
    if (k->flaw != FLAW_GZIP && sim_chance(w, 5)) sim_text_str(t, "Content-Encoding: identity\r\n");
    if (k->flaw == FLAW_GZIP) sim_text_str(t, "Content-Encoding: gzip\r\n");
    if (k->flaw == FLAW_TWO_LENGTHS) sim_text_format(t, "Content-Length: %u\r\n", k->body.n + 1);
    if (k->framing == BY_LENGTH) sim_text_format(t, "Content-Length: %u\r\n", k->body.n);
    if (k->framing == BY_CHUNKS) sim_text_str(t, "Transfer-Encoding: chunked\r\n");
    if (k->framing == BY_CLOSE || sim_chance(w, 5)) {
        sim_text_str(t, "Connection: close\r\n");
        k->a->stop = STOP_FIN;
    }
    sim_text_str(t, "\r\n");
    k->head_n = t->n;
}

static void put_chunks(struct making *k)
{
    struct sim_world *w = k->g->w;
    struct span body = span_of(k->body.p, k->body.n);
    uint32_t cut = 0, at = 0;
    const bool by_event = sim_chance(w, 60);
    while (at < body.n) {
        uint32_t n = body.n - at;
        if (by_event) {
            while (cut < k->cut_n && k->cuts[cut] <= at) cut++;
            if (cut < k->cut_n) n = k->cuts[cut] - at;
        } else if (n > 20 && sim_chance(w, 90)) {
            n = sim_piece(w, n < 4000 ? n : 4000);
        }
        sim_text_format(&k->wire, "%x\r\n", n);
        sim_text_put(&k->wire, (struct span){body.p + at, n});
        sim_text_str(&k->wire, "\r\n");
        at += n;
    }
    sim_text_str(&k->wire, "0\r\n\r\n");
}

static void put_wire(struct making *k)
{
    struct sim_world *w = k->g->w;
    if (k->flaw == FLAW_GARBAGE) {
        static const char *const garbage[] = {
            "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 2OO OK\r\n\r\n", "\x15\x03\x01\x00\x02\x02",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "HTTP/1.1 200 OK\r\nbad line\r\n\r\n"};
        sim_text_str(&k->wire, garbage[sim_below(w, 5)]);
        k->a->stop = sim_chance(w, 50) ? STOP_FIN : STOP_SILENT;
        return;
    }
    put_head(k);
    if (k->framing == BY_CHUNKS) put_chunks(k);
    else sim_text_put(&k->wire, span_of(k->body.p, k->body.n));
    if (k->flaw == FLAW_BAD_CHUNK) {
        // In the place of the last chunk.
        const bool size = sim_chance(w, 50);
        k->wire.n -= 5;
        sim_text_str(&k->wire, size ? "0x5\r\nhello\r\n0\r\n\r\n" : "5\r\nhelloo\r\n0\r\n\r\n");
        if (size) return;
        sim_text_str(&k->body, "hello"); // so much of it is good
        sim_text_str(&k->expected, "hello");
    }
}

// --- What becomes of it.

// An answer that ends with the connection breaks off in order: what was sent may be whole. True: it is, and what is
// expected of it was cut as well.
static bool cut_is_whole(struct making *k)
{
    if (k->a->stop != STOP_FIN || k->a->stop_at < k->head_n) return false;
    const uint32_t n = k->a->stop_at - k->head_n;
    if (k->r->kind == ASK_UPLOAD) {
        k->body.n = n; // nobody can tell
        return true;
    }
    // A CR ends the blank line, whether or not its LF comes.
    const uint32_t less = k->r->crlf ? 1 : 0;
    if (!k->events || !k->finish_at || n < k->finish_at - less) return false;
    for (uint32_t i = 0; i < k->cut_n; i++) {
        if (k->cuts[i] != n && k->cuts[i] != n + less) continue;
        k->expected.n = k->cuts_expected[i];
        return true;
    }
    return false;
}

static void breaks_off(struct making *k)
{
    struct sim_world *w = k->g->w;
    struct sim_answer *a = k->a;
    struct sim_request *r = k->r;
    a->stop = k->flaw == FLAW_CUT ? STOP_FIN : k->flaw == FLAW_RESET ? STOP_RESET : STOP_SILENT;
    // More than the line end behind a JSON text is missing.
    a->stop_at = k->flaw == FLAW_SILENT_CLOSE ? 0 : sim_below(w, a->wire.n - 2);
    if (k->flaw == FLAW_SILENT_CLOSE) a->stop = sim_chance(w, 70) ? STOP_FIN : STOP_RESET;
    r->verdict = k->framing == BY_CLOSE && cut_is_whole(k) ? VERDICT_WHOLE : VERDICT_BAD;
}

static void judge(struct making *k)
{
    struct sim_request *r = k->r;
    struct sim_answer *a = k->a;
    a->stop_at = a->wire.n;
    switch (k->flaw) {
    case FLAW_NONE: r->verdict = VERDICT_WHOLE; break;
    case FLAW_STATUS: r->verdict = k->status == 401 || k->status == 403 ? VERDICT_BAD : VERDICT_STATUS; break;
    case FLAW_STATUS_TEXT: r->verdict = VERDICT_STATUS_OURS; break;
    case FLAW_CUT:
    case FLAW_RESET:
    case FLAW_STALL:
    case FLAW_SILENT_CLOSE: breaks_off(k); break;
    // Raw bodies are not looked into.
    case FLAW_HTML:
    case FLAW_EMPTY:
    case FLAW_ERROR_200:
    case FLAW_NOT_JSON: r->verdict = r->kind == ASK_UPLOAD ? VERDICT_WHOLE : VERDICT_BAD; break;
    // An error event in the middle is part of the answer.
    case FLAW_ERROR_EVENT: r->verdict = k->data_seen ? VERDICT_WHOLE : VERDICT_BAD; break;
    default: r->verdict = VERDICT_BAD;
    }
    // What is read whole may be too large.
    if (!k->events && k->status == 200 && r->kind != ASK_UPLOAD && k->body.n > k->g->shape.body_max)
        r->verdict = VERDICT_BAD;
    if (k->flaw == FLAW_NONE && a->stop == STOP_KEEP && sim_below(k->g->w, 300) == 0 && !k->g->calm) {
        // Bytes behind the answer: they end the connection, the answer is good. If they come so late that another request is
        // on its way, they are taken for its answer, which nobody can help.
        sim_trouble(k->g->w, k->g->w->now_ns + 1000 * CLOCK_SEC);
        sim_text_str(&k->wire, "HTTP/1.1 200 OK\r\n");
        a->wire = span_of(k->wire.p, k->wire.n);
        a->stop_at = a->wire.n;
        a->stop = STOP_SILENT;
    }
}

static enum flaw some_flaw(struct making *k)
{
    struct sim_world *w = k->g->w;
    if (k->g->calm || !sim_chance(w, 25)) return FLAW_NONE;
    enum flaw f = (enum flaw)sim_below(w, FLAWS);
    if (!k->events && (f == FLAW_NO_FINISH || f == FLAW_ERROR_EVENT)) f = FLAW_NONE;
    if (k->events && (f == FLAW_ERROR_200 || f == FLAW_NOT_JSON)) f = FLAW_STATUS;
    return f;
}

void sim_answer_compose(struct sim_gateway *g, struct sim_request *r, bool fresh, struct sim_answer *ret)
{
    static struct making making; // large, and used by one at a time
    struct sim_world *w = g->w;
    struct making *k = &making;
    const struct sim_text body = k->body, expected = k->expected, wire = k->wire;
    *k = (struct making){.g = g, .r = r, .a = ret, .body = body, .expected = expected, .wire = wire};
    k->body.n = k->expected.n = k->wire.n = 0;
    *ret = (struct sim_answer){.stop = STOP_KEEP};
    r->shaky = false;
    k->events = r->stream;
    r->crlf = k->events && sim_chance(w, 10);
    k->asks_usage = r->stream;
    k->renames = g->shape.renamed && r->kind != ASK_UPLOAD;
    k->flaw = some_flaw(k);
    // A connection that was used before may have been closed by then: the gateway asks once more.
    if (!g->calm && !fresh && sim_chance(w, 3)) k->flaw = FLAW_SILENT_CLOSE;
    k->framing = (enum framing)sim_below(w, 3);
    if (k->flaw == FLAW_TWO_LENGTHS) k->framing = BY_LENGTH;
    if (k->flaw == FLAW_BAD_CHUNK) k->framing = BY_CHUNKS;
    static const int statuses[] = {400, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529, 401, 403};
    k->status = k->flaw == FLAW_STATUS || k->flaw == FLAW_STATUS_TEXT ? statuses[sim_below(w, 11)]
        : k->flaw == FLAW_REDIRECT                                    ? 302
        : k->flaw == FLAW_OTHER_STATUS                                ? 201 + (int)sim_below(w, 2)
        : k->flaw == FLAW_SWITCHED                                    ? 101
                                                                      : 200;
    if (k->flaw == FLAW_STATUS && sim_chance(w, 10)) k->status = statuses[11 + sim_below(w, 2)];
    put_body(k);
    put_wire(k);
    ret->wire = span_of(k->wire.p, k->wire.n);
    judge(k);
    ret->wire = sim_keep_span(ret->wire);
    if (!k->events) {
        k->expected.n = 0;
        put_expected(k, span_of(k->body.p, k->body.n));
    }
    const bool plain =
        (!k->events && !k->expected.n) || k->status != 200 || k->flaw == FLAW_HTML || k->flaw == FLAW_EMPTY;
    r->expected =
        sim_keep_span(plain ? span_of(k->body.p, k->body.n) : span_of(k->expected.p, k->expected.n));
    r->answer_status = k->status;
    r->answer_sent = 0;
    ret->at_once = sim_chance(w, 60);
    ret->pause_max_ns = sim_chance(w, 80) ? 5 * CLOCK_MS : 400 * CLOCK_MS;
    ret->early = !g->calm && sim_chance(w, k->flaw == FLAW_STATUS ? 20 : 2);
    ret->deaf = ret->early && sim_chance(w, 30);
    if (ret->deaf && ret->stop == STOP_KEEP) ret->stop = STOP_FIN;
}
