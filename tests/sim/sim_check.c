// What an answer must be, and a request at the provider's. See sim_exchange.h.
//
// The invariants: an answer that looks whole is all that the provider sent, and the provider had sent all of it; what cannot
// be completed ends in an error the client can see, or in a broken connection; nothing is passed on that was not sent, in
// either direction, but for the permitted edits; and nothing goes wrong without a reason that this world knows of.
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_exchange.h"

#define ERROR_START SPAN("{\"error\":{\"message\":\"")
#define ERROR_EVENT SPAN("data: {\"error\":{\"message\":\"")
// Longer events cross in pieces, so that a break may come within one.
#define HELD_EVENT_BYTES 60000u

bool sim_excused(const struct sim_gateway *g, const struct sim_request *r)
{
    return g->tight || r->slow || r->troubled_start || g->w->troubles != r->troubles ||
        (g->drained_ns != CLOCK_NEVER && r->begun_ns >= g->drained_ns) || g->w->now_ns >= g->killed_ns;
}

static void count(struct sim_gateway *g, enum sim_outcome o)
{
    g->totals->outcomes[o]++;
}

// --- Texts.

// Line ends of every kind become LF, and several blank lines one: which of its line ends an event is split at is open.
static struct span normalised(struct sim_text *t, struct span s)
{
    t->n = 0;
    sim_text_put(t, s);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c == '\r') {
            if (i + 1 < s.n && s.p[i + 1] == '\n') continue;
            c = '\n';
        }
        if (c == '\n' && n >= 2 && t->p[n - 1] == '\n' && t->p[n - 2] == '\n') continue;
        t->p[n++] = c;
    }
    return (struct span){t->p, n};
}

static void normalise_both(const struct sim_request *r, struct span *got, struct span *want)
{
    static struct sim_text a, b;
    if (!r->crlf) return;
    *got = normalised(&a, *got);
    *want = normalised(&b, *want);
}

static bool is_error(struct span body)
{
    return span_starts(body, ERROR_START) && body.n > 4 && body.p[body.n - 1] == '}';
}

static bool contains(struct span s, struct span what)
{
    return s.n >= what.n && memmem(s.p, s.n, what.p, what.n) != NULL;
}

// A stream that was broken off with an error event, behind whole events of the provider's.
static bool is_stream_error(struct span got, struct span want)
{
    uint32_t at = got.n;
    while (at > 0 && !span_starts((struct span){got.p + at, got.n - at}, ERROR_EVENT)) at--;
    if (!span_starts((struct span){got.p + at, got.n - at}, ERROR_EVENT)) return false;
    struct span before = {got.p, at};
    const struct span event = span_from(got, at);
    // Behind a part of a long event it stands on a line of its own.
    if (!span_starts(want, before) && at > 2 && memcmp(got.p + at - 2, "\n\n", 2) == 0) before.n -= 2;
    if (event.n < 4 || memcmp(event.p + event.n - 4, "}}\n\n", 4) != 0) return false;
    const bool boundary =
        at == 0 || before.p[at - 1] == '\n' || before.p[at - 1] == '\r' || want.n > HELD_EVENT_BYTES;
    return boundary && span_starts(want, before);
}

// --- Answers.

static void check_fields(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m)
{
    static const char *const never[] = {"set-cookie", "location", "server", "x-ratelimit-remaining", "link"};
    SIM_MUST(g->w, sim_message_field(m, "x-request-id").n == REQUEST_ID_BYTES, "request %u: no request id",
             r->id);
    SIM_MUST(g->w, sim_message_field(m, "date").n > 0, "request %u: no date", r->id);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        SIM_MUST(g->w, !sim_message_field(m, never[i]).p, "request %u: the field %s crossed", r->id,
                 never[i]);
}

// An error of the gateway's own.
static void check_refusal(struct sim_gateway *g, struct sim_request *r, int status, struct span body,
                          bool expected)
{
    const bool known = status == 408 || status == 502 || status == 503 || status == 504;
    SIM_MUST(g->w, is_error(body) || r->kind == ASK_LOCAL,
             "request %u: an error without the shape of one: %.*s", r->id, SPAN_ARG(body));
    SIM_MUST(g->w, expected || (known && (sim_excused(g, r) || r->shaky)),
             "request %u got status %d without a reason: %.*s\nit was: %.*s", r->id, status, SPAN_ARG(body),
             r->head.n < 1000 ? (int)r->head.n : 1000, (const char *)r->head.p);
    count(g, OUTCOME_REFUSED);
}

static void check_local(struct sim_gateway *g, struct sim_request *r, int status, struct span body)
{
    if (r->silent && (status == 200 || status == 204)) {
        SIM_MUST(g->w, body.n == 0, "request %u: %u bytes that nobody wants", r->id, body.n);
        count(g, OUTCOME_WHOLE);
        return;
    }
    SIM_MUST(g->w, !r->head_only || body.n == 0 || status == 408, "request %u: a body behind HEAD", r->id);
    if (status != 200) {
        // Not ready: it drains, or no provider could be reached when it was last tried.
        const bool no_target = contains(body, SPAN("\"no_target\"")) && g->shape.ready_needs_target &&
            !g->shape.echo && g->w->troubles > 0;
        check_refusal(g, r, status, body, status == 503 && (no_target || g->drained_ns != CLOCK_NEVER));
        return;
    }
    SIM_MUST(g->w,
             contains(body, SPAN("healthy")) || contains(body, SPAN("\"ready\"")) ||
                 contains(body, SPAN("\"list\"")) || contains(body, SPAN("\"owned_by\"")) ||
                 contains(body, SPAN("supportedGenerationMethods")),
             "request %u: a strange answer: %.*s", r->id, SPAN_ARG(body));
    count(g, OUTCOME_WHOLE);
}

static void check_echo(struct sim_gateway *g, struct sim_request *r, int status, struct span body)
{
    if (status != 200) {
        check_refusal(g, r, status, body, false);
        return;
    }
    if (!r->stream) {
        SIM_MUST(g->w, contains(body, r->said), "request %u: the echo said something else", r->id);
        count(g, OUTCOME_WHOLE);
        return;
    }
    // Every word, in its order, and the end.
    struct span rest = r->said, word;
    while (rest.n > 0 && span_split(&rest, ' ', &word) && word.n > 0) {
        const uint8_t *at = memmem(body.p, body.n, word.p, word.n);
        SIM_MUST(g->w, at, "request %u: the echo lost a word", r->id);
        body = span_from(body, (uint32_t)(at - body.p) + word.n);
    }
    SIM_MUST(g->w, contains(body, SPAN("data: [DONE]\n\n")), "request %u: the echo did not end", r->id);
    count(g, OUTCOME_WHOLE);
}

static void check_forwarded(struct sim_gateway *g, struct sim_request *r, int status, struct span got)
{
    struct span want = r->expected;
    const int theirs = r->answer_status;
    normalise_both(r, &got, &want);
    if (status == 200) {
        if (r->verdict == VERDICT_WHOLE && theirs == 200 && span_eq(got, want)) {
            count(g, OUTCOME_WHOLE);
            return;
        }
        SIM_MUST(g->w, r->stream && is_stream_error(got, want),
                 "request %u (verdict %u) got an answer that looks whole and is not: %u bytes of %u: ...%.*s",
                 r->id, r->verdict, got.n, want.n, SPAN_ARG(span_from(got, got.n > 300 ? got.n - 300 : 0)));
        SIM_MUST(g->w, r->verdict == VERDICT_BAD || r->shaky || sim_excused(g, r),
                 "request %u: a good stream was broken off: %.*s", r->id,
                 SPAN_ARG(span_from(got, got.n > 300 ? got.n - 300 : 0)));
        count(g, OUTCOME_STREAM_ERROR);
        return;
    }
    if (r->verdict == VERDICT_STATUS && status == theirs && span_eq(got, want)) {
        count(g, OUTCOME_PROVIDER_ERROR);
        return;
    }
    // An upload cannot be repeated when the provider has just closed the connection it goes out on.
    const bool stale = r->kind == ASK_UPLOAD && r->asked == 0 && status == 502 && !g->calm;
    const bool expected = (r->verdict == VERDICT_STATUS_OURS && status == theirs) ||
        (r->verdict == VERDICT_STATUS && status == theirs && sim_excused(g, r)) ||
        (r->verdict == VERDICT_BAD && (status == 502 || status == 504)) || stale;
    check_refusal(g, r, status, got, expected);
}

// An answer to HTTP/1.0 ends with the connection, and says by its contents, if by anything, that it is whole.
static bool broke_off(const struct sim_request *r, const struct sim_message *m, struct span body)
{
    if (m->status != 200 || m->has_length || m->chunked) return false;
    if (r->kind == ASK_ECHO) return r->stream && !contains(body, SPAN("data: [DONE]\n\n"));
    struct span got = body, want = r->expected;
    normalise_both(r, &got, &want);
    return (r->verdict == VERDICT_BAD || !span_eq(got, want)) && !is_stream_error(got, want);
}

void sim_check_answer(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m)
{
    const struct span body = {m->body, m->body_n};
    sim_note(g->w, "answered", r->id, (uint64_t)m->status << 32 | body.n);
    if (broke_off(r, m, body)) {
        sim_check_broken(g, r, m);
        count(g, OUTCOME_BROKEN);
        return;
    }
    check_fields(g, r, m);
    SIM_MUST(g->w, m->status != 500 || r->answer_status == 500, "request %u: internal error", r->id);
    SIM_MUST(g->w, r->asked > 0 || m->status != 200 || r->kind == ASK_ECHO || r->kind == ASK_LOCAL,
             "request %u was answered by nobody", r->id);
    if (r->refused_with) check_refusal(g, r, m->status, body, m->status == r->refused_with);
    else if (r->kind == ASK_LOCAL) check_local(g, r, m->status, body);
    else if (r->kind == ASK_ECHO) check_echo(g, r, m->status, body);
    else check_forwarded(g, r, m->status, body);
}

void sim_check_broken(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m)
{
    sim_note(g->w, "broken off", r->id, m->body_n);
    const bool begun = sim_message_has_head(m);
    const bool reason = sim_excused(g, r) || r->shaky || (r->verdict == VERDICT_BAD && begun);
    SIM_MUST(g->w, reason,
             "request %u (verdict %u) got no answer, or not all of it: status %d, %u bytes of %u", r->id,
             r->verdict, m->status, m->body_n, r->expected.n);
    if (!begun || m->status != 200 || r->kind == ASK_ECHO || r->kind == ASK_LOCAL) return;
    struct span got = {m->body, m->body_n}, want = r->expected;
    normalise_both(r, &got, &want);
    // Normalising may have joined the last line end; and an error event may be on its way, too.
    while (r->crlf && got.n > 0 && got.p[got.n - 1] == '\n') got.n--;
    if (span_starts(want, got)) return;
    const uint8_t *event = memmem(got.p, got.n, ERROR_EVENT.p, 6);
    for (; event; event = memmem(event + 1, (size_t)(got.p + got.n - event - 1), ERROR_EVENT.p, 6))
        if (r->stream && span_starts(want, (struct span){got.p, (uint32_t)(event - got.p)}) &&
            !span_starts(want, (struct span){got.p, (uint32_t)(event - got.p) + 20}))
            return;
    uint32_t at = 0;
    while (at < got.n && at < want.n && got.p[at] == want.p[at]) at++;
    sim_fail(g->w, "request %u got bytes that its provider never sent, from byte %u: ...%.*s", r->id, at,
             SPAN_ARG(span_from(got, at > 100 ? at - 100 : 0)));
}

// --- Requests at the provider's.

struct field_check {
    struct sim_gateway *g;
    struct sim_request *r;
};

static void check_field(void *ctx, struct span name, struct span value)
{
    static const char *const allowed[] = {
        "host",        "authorization",   "accept-encoding", "content-type",     "accept",
        "traceparent", "idempotency-key", "content-length",  "transfer-encoding"};
    const struct field_check *f = ctx;
    struct sim_world *w = f->g->w;
    bool found = false;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        found = found || span_ieq(name, span_str(allowed[i]));
    SIM_MUST(w, found, "request %u: the field %.*s went up", f->r->id, SPAN_ARG(name));
    SIM_MUST(w, !contains(value, SPAN(SIM_KEY)) && !contains(value, SPAN("secret=")),
             "request %u: a secret went up", f->r->id);
    SIM_MUST(w, !span_ieq(name, SPAN("traceparent")) || span_eq(value, SPAN("00-11-22-01")),
             "request %u: a field that Connection named went up", f->r->id);
}

void sim_check_request(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m, bool whole)
{
    if (!sim_message_has_head(m)) return;
    struct field_check f = {g, r};
    char key[64];
    snprintf(key, sizeof key, "Bearer " SIM_UP_KEY "-%u", r->provider);
    sim_message_fields(m, check_field, &f);
    SIM_MUST(g->w, span_eq(sim_message_field(m, "authorization"), span_str(key)),
             "request %u: the wrong credential", r->id);
    const struct span got = {m->body, m->body_n};
    const bool same = whole ? span_eq(got, r->body_up) : span_starts(r->body_up, got);
    if (same) return;
    uint32_t at = 0;
    while (at < got.n && at < r->body_up.n && got.p[at] == r->body_up.p[at]) at++;
    const struct span g_rest = span_from(got, at > 40 ? at - 40 : 0),
                      w_rest = span_from(r->body_up, at > 40 ? at - 40 : 0);
    sim_fail(
        g->w,
        "request %u: the provider got another body (%u bytes for %u), from byte %u:\n got  %.*s\n want %.*s",
        r->id, got.n, r->body_up.n, at, g_rest.n < 120 ? (int)g_rest.n : 120, (const char *)g_rest.p,
        w_rest.n < 120 ? (int)w_rest.n : 120, (const char *)w_rest.p);
}
