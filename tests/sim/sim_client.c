// The clients. See sim_exchange.h. A client makes its requests one after the other, several ahead of their answers if it
// pipelines, over one connection after the other; it sends in pieces, pauses, reads slowly, and may leave at any point. What it
// had sent when a connection ended without a byte of an answer, and nobody was asked for it, it sends again, as SDKs do.
#include "tests/sim/sim_exchange.h"

#define CONNECT_PATIENCE_NS (30 * CLOCK_SEC)
#define TRIES_MAX 6u
// A half-closed connection is closed by the gateway within this time, its lingering included.
#define HALF_CLOSED_NS (10 * CLOCK_SEC)

enum leave_how { LEAVE_FIN, LEAVE_RESET, LEAVE_CLOSE };

static void run_in(struct sim_client *c, int64_t in_ns)
{
    const int64_t at = c->g->w->now_ns + in_ns;
    if (c->run.place == 0 || c->run.at_ns > at) sim_event_at(c->g->w, &c->run, at);
}

static struct sim_request *request_at(struct sim_client *c, uint32_t i)
{
    return &c->g->request[c->first + i];
}

static void finish(struct sim_client *c, struct sim_request *r)
{
    MUST(!r->ended);
    r->ended = true;
    r->ended_ns = c->g->w->now_ns;
    c->g->totals->exchanges++;
}

static void outcome(struct sim_client *c, enum sim_outcome o)
{
    c->g->totals->outcomes[o]++;
}

static void poked(struct sim_end *e)
{
    run_in(e->owner, 0);
}

// --- Connections.

static void message_begin(struct sim_client *c)
{
    sim_message_begin(&c->msg, true, c->answer_at < c->count && request_at(c, c->answer_at)->head_only);
}

// What a load balancer says in front of the first request; or somebody who is none, and must get no answer.
static void choose_entry(struct sim_client *c)
{
    static const struct span entries[] = {
        SPAN_INIT("PROXY TCP4 203.0.113.9 10.0.0.1 4000 8080\r\n"),
        SPAN_INIT("PROXY TCP6 2001:db8::9 2001:db8::1 4000 8080\r\n"),
        SPAN_INIT("PROXY UNKNOWN\r\n"),
        SPAN_INIT("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        SPAN_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x0f\xa0\x1f\x90"),
        SPAN_INIT("\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"
                  "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x0f\xa0\x1f\x90"),
    };
    static const struct span bad[] = {
        SPAN_INIT("GET /health HTTP/1.1\r\nHost: g\r\n\r\n"),
        SPAN_INIT("PROXY TCP4 203.0.113.9 10.0.0.1 4000\r\nGET /health HTTP/1.1\r\nHost: g\r\n\r\n"),
        SPAN_INIT("\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"),
    };
    struct sim_world *w = c->g->w;
    c->intruder = !c->g->calm && sim_chance(w, 5);
    c->entry = c->intruder ? bad[sim_below(w, 3)] : entries[sim_below(w, 6)];
    if (c->intruder) {
        // It stays to be thrown out.
        c->leave_ns = CLOCK_NEVER;
        c->leave_bytes = UINT64_MAX;
    }
}

static void connect_again(struct sim_client *c)
{
    struct sim_gateway *g = c->g;
    struct sim_world *w = g->w;
    if (c->answer_at == c->count || ++c->tries > TRIES_MAX) {
        for (; c->answer_at < c->count; c->answer_at++) {
            finish(c, request_at(c, c->answer_at));
            outcome(c, OUTCOME_NOT_SENT);
        }
        c->done = true;
        return;
    }
    const struct io_addr from =
        io_addr_of_ip((const uint8_t[]){10, 1, 0, (uint8_t)c->id}, 4, (uint16_t)(30000 + c->next_port++));
    c->end = sim_connect(&g->net, &g->listen, &from, poked, c);
    c->send_at = c->answer_at;
    c->sent = 0;
    c->answers_here = 0;
    c->read_here = 0;
    c->last_here = false;
    c->wait_100_until_ns = 0;
    c->progress_ns = w->now_ns;
    c->depth = sim_chance(w, 15) ? 1 + sim_below(w, 6) : 1;
    c->leave_ns = CLOCK_NEVER;
    c->leave_bytes = UINT64_MAX;
    if (!g->calm && sim_chance(w, 15)) {
        c->leave_how = (uint8_t)sim_below(w, 3);
        if (sim_chance(w, 50))
            c->leave_ns = w->now_ns + sim_between(w, 0, sim_chance(w, 70) ? 10 * CLOCK_MS : CLOCK_SEC);
        else c->leave_bytes = sim_below(w, 3000);
    }
    c->entry = (struct span){NULL, 0};
    c->intruder = c->overtold = false;
    if (g->shape.proxied) choose_entry(c);
    message_begin(c);
    run_in(c, CONNECT_PATIENCE_NS);
}

// What was begun on the connection is settled, or will be sent again on another.
static void settle(struct sim_client *c, bool left)
{
    struct sim_gateway *g = c->g;
    for (bool first = true; c->answer_at < c->count; first = false) {
        struct sim_request *r = request_at(c, c->answer_at);
        if (!r->begun) break;
        const bool nothing = !first || sim_message_empty(&c->msg);
        if (left) {
            r->left = true;
            r->piped = c->depth > 1;
            r->left_ns = g->w->now_ns;
            outcome(c, OUTCOME_LEFT);
        } else if (nothing && r->asked == 0 && (c->answers_here > 0 || !first) && !sim_excused(g, r)) {
            break; // it was never read: again
        } else {
            if (first) sim_check_broken(g, r, &c->msg);
            else SIM_MUST(g->w, sim_excused(g, r), "request %u was asked and never answered", r->id);
            outcome(c, OUTCOME_BROKEN);
        }
        finish(c, r);
        c->answer_at++;
    }
    for (uint32_t i = c->answer_at; i < c->count; i++) request_at(c, i)->begun = false;
}

static void disconnected(struct sim_client *c)
{
    c->end = NULL;
    c->half_closed = false;
    sim_event_drop(c->g->w, &c->run);
    run_in(c, sim_between(c->g->w, 0, sim_chance(c->g->w, 80) ? 10 * CLOCK_MS : CLOCK_SEC));
}

static void disconnect(struct sim_client *c)
{
    settle(c, false);
    disconnected(c);
}

static void leave(struct sim_client *c)
{
    sim_note(c->g->w, "client leaves", c->id, c->leave_how);
    if (c->leave_how == LEAVE_RESET) {
        sim_reset(c->end);
    } else if (c->leave_how == LEAVE_CLOSE) {
        sim_close(c->end);
    } else {
        // The gateway takes this for leaving, and must close its side soon.
        sim_fin(c->end);
        c->half_closed = true;
        c->progress_ns = c->g->w->now_ns;
        c->left_troubles = c->g->w->troubles;
        settle(c, true);
        run_in(c, HALF_CLOSED_NS);
        return;
    }
    settle(c, true);
    disconnected(c);
}

static void half_closed(struct sim_client *c)
{
    struct sim_gateway *g = c->g;
    struct sim_world *w = g->w;
    uint8_t buf[4096];
    while (sim_read(c->end, buf, sizeof buf) > 0) {}
    if (c->end->reset || sim_at_eof(c->end)) {
        sim_close(c->end);
        disconnected(c);
        return;
    }
    const bool excused =
        g->tight || c->depth > 1 || c->left_troubles != w->troubles || w->trouble_until_ns > c->progress_ns;
    SIM_MUST(w, w->now_ns < c->progress_ns + HALF_CLOSED_NS || excused,
             "client %u has left and is still served", c->id);
    SIM_MUST(w, w->now_ns < c->progress_ns + SIM_PATIENCE_NS, "client %u has left and was forgotten", c->id);
    run_in(c, HALF_CLOSED_NS);
}

// --- Reading.

static void answered(struct sim_client *c)
{
    struct sim_gateway *g = c->g;
    struct sim_request *r = request_at(c, c->answer_at);
    if (c->msg.status < 200) {
        // 100 is for those who wait for it, and nothing else comes from this gateway.
        SIM_MUST(g->w, c->msg.status == 100 && r->expects, "an interim answer that nobody waits for");
        c->wait_100_until_ns = 1; // it came
        message_begin(c);
        return;
    }
    if (!r->begun && g->tight && g->shape.proxied && c->msg.status == 503) {
        // Nobody was free to read more than the PROXY header, nor knows that a HEAD would follow.
        c->last_here = true;
        c->overtold = r->head_only;
        message_begin(c);
        return;
    }
    SIM_MUST(g->w, r->begun, "client %u got an answer before its request: %.*s%.*s", c->id,
             (int)c->msg.head_n, (const char *)c->msg.head, (int)c->msg.body_n, (const char *)c->msg.body);
    sim_check_answer(g, r, &c->msg);
    finish(c, r);
    c->answer_at++;
    c->answers_here++;
    c->tries = 0;
    const struct span connection = sim_message_field(&c->msg, "connection");
    c->last_here =
        span_ieq(connection, SPAN("close")) || (r->http10 && !span_ieq(connection, SPAN("keep-alive")));
    // Who finds nobody free to read the head is answered as if it were no HEAD.
    c->overtold = r->head_only && g->tight && c->msg.status == 503 && c->last_here;
    SIM_MUST(g->w, c->last_here || !r->closes, "request %u asked for the end of the connection", r->id);
    message_begin(c);
}

static void take(struct sim_client *c, const uint8_t *p, uint32_t n)
{
    struct sim_gateway *g = c->g;
    while (n > 0 && !c->overtold) {
        SIM_MUST(g->w, !c->last_here && c->answer_at < c->count, "bytes came behind the last answer");
        const uint32_t used = sim_message_feed(&c->msg, p, n);
        SIM_MUST(g->w, c->msg.state != SIM_HTTP_BAD, "client %u got a malformed answer: %s", c->id,
                 c->msg.why);
        p += used;
        n -= used;
        if (c->msg.state == SIM_HTTP_DONE) answered(c);
    }
}

static void read_some(struct sim_client *c)
{
    struct sim_world *w = c->g->w;
    uint8_t buf[4096];
    uint32_t budget = UINT32_MAX;
    if (sim_unread(c->end) > 0 && sim_fault(w, SIM_SLOW_PEER)) {
        budget = sim_piece(w, 3000);
        run_in(c, sim_between(w, 0, 100 * CLOCK_MS));
    }
    while (budget > 0) {
        if (c->leave_bytes <= c->read_here) return;
        uint64_t n = c->leave_bytes - c->read_here;
        if (n > sizeof buf) n = sizeof buf;
        if (n > budget) n = budget;
        const uint32_t got = sim_read(c->end, buf, (uint32_t)n);
        if (got == 0) return;
        budget -= got;
        c->read_here += got;
        c->progress_ns = w->now_ns;
        take(c, buf, got);
    }
}

// --- Writing.

static void begin(struct sim_client *c, struct sim_request *r)
{
    struct sim_world *w = c->g->w;
    r->begun = true;
    r->begun_ns = w->now_ns;
    r->troubles = w->troubles;
    r->troubled_start = w->trouble_until_ns >= w->now_ns;
    sim_note(w, "request begins", r->id, r->kind);
}

static void pause_writing(struct sim_client *c, struct sim_request *r)
{
    struct sim_world *w = c->g->w;
    int64_t pause = sim_between(w, 0, 20 * CLOCK_MS);
    if (sim_chance(w, 3) && sim_fault(w, SIM_SLOW_PEER)) {
        pause = sim_between(w, 0, 60 * CLOCK_SEC);
        r->slow = true;
    }
    c->pause_until_ns = w->now_ns + pause;
    run_in(c, pause);
}

// Sends of the request what may be sent now. True: all of it is out.
static bool send_request(struct sim_client *c, struct sim_request *r)
{
    struct sim_world *w = c->g->w;
    const uint64_t all = (uint64_t)r->head.n + r->body.n;
    while (c->sent < all) {
        const bool in_head = c->sent < r->head.n;
        if (c->sent == r->head.n && r->expects && c->wait_100_until_ns == 0 && c->depth == 1) {
            c->wait_100_until_ns = w->now_ns + CLOCK_SEC;
            run_in(c, CLOCK_SEC);
        }
        if (!in_head && c->wait_100_until_ns > w->now_ns) return false;
        const struct span part = in_head ? span_from(r->head, (uint32_t)c->sent)
                                         : span_from(r->body, (uint32_t)(c->sent - r->head.n));
        uint32_t n = part.n;
        const bool whole = sim_chance(w, 80);
        if (!whole) n = sim_piece(w, n < 4000 ? n : 4000);
        n = sim_write(c->end, part.p, n);
        if (n == 0) return false;
        c->sent += n;
        c->progress_ns = w->now_ns;
        if (whole || c->sent == all) continue;
        pause_writing(c, r);
        return false;
    }
    return true;
}

// What stands in front of the first request, in pieces. True: all of it is out.
static bool send_entry(struct sim_client *c)
{
    struct sim_world *w = c->g->w;
    while (c->entry.n > 0) {
        uint32_t n = sim_chance(w, 80) ? c->entry.n : sim_piece(w, c->entry.n);
        n = sim_write(c->end, c->entry.p, n);
        c->entry = span_from(c->entry, n);
        if (n == 0) return false;
        c->progress_ns = w->now_ns;
        if (c->entry.n == 0) break;
        run_in(c, sim_between(w, 0, 20 * CLOCK_MS));
        return false;
    }
    return true;
}

static void write_some(struct sim_client *c)
{
    struct sim_world *w = c->g->w;
    if (!send_entry(c) || c->intruder) return;
    while (!c->last_here && c->send_at < c->count && c->send_at < c->answer_at + c->depth) {
        if (c->pause_until_ns > w->now_ns) {
            run_in(c, c->pause_until_ns - w->now_ns);
            return;
        }
        struct sim_request *r = request_at(c, c->send_at);
        // An answer may come before all of the request went out; the rest is owed all the same.
        if (!r->begun) begin(c, r);
        if (!send_request(c, r)) return;
        // Behind what has no end the next one would become a part of it.
        if (r->hangs) return;
        c->send_at++;
        c->sent = 0;
        c->wait_100_until_ns = 0;
        // Sooner or later the next one.
        if (sim_chance(w, 50)) continue;
        c->pause_until_ns = w->now_ns + sim_between(w, 0, sim_chance(w, 90) ? 5 * CLOCK_MS : 2 * CLOCK_SEC);
    }
}

// --- Life.

static void connection_ended(struct sim_client *c)
{
    struct sim_gateway *g = c->g;
    const bool in_order = !c->end->reset;
    if (in_order && c->answer_at < c->count && request_at(c, c->answer_at)->begun &&
        !sim_message_empty(&c->msg) && c->msg.state == SIM_HTTP_UNTIL_CLOSE) {
        sim_message_end(&c->msg);
        answered(c);
    }
    (void)g;
    sim_close(c->end);
    disconnect(c);
}

static void run(struct sim_event *event)
{
    struct sim_client *c = LIST_OWNER(event, struct sim_client, run);
    struct sim_gateway *g = c->g;
    struct sim_world *w = g->w;
    if (!c->end) {
        connect_again(c);
        return;
    }
    if (c->end->conn->state == SIM_REFUSED ||
        (c->end->conn->state == SIM_CONNECTING && w->now_ns >= c->progress_ns + CONNECT_PATIENCE_NS)) {
        SIM_MUST(w, w->troubles || g->drained_ns != CLOCK_NEVER, "client %u could not connect", c->id);
        sim_close(c->end);
        disconnect(c);
        return;
    }
    if (c->half_closed) {
        half_closed(c);
        return;
    }
    if (c->leave_ns <= w->now_ns) {
        leave(c);
        return;
    }
    if (c->leave_ns != CLOCK_NEVER) run_in(c, c->leave_ns - w->now_ns);
    if (c->end->conn->state == SIM_CONNECTING) {
        run_in(c, c->progress_ns + CONNECT_PATIENCE_NS - w->now_ns);
        return;
    }
    read_some(c);
    SIM_MUST(w, !c->intruder || c->read_here == 0 || g->tight,
             "client %u has no PROXY header and was answered", c->id);
    if (c->leave_bytes <= c->read_here) {
        leave(c);
        return;
    }
    if (sim_unread(c->end) == 0 && (c->end->reset || sim_at_eof(c->end))) {
        connection_ended(c);
        return;
    }
    if (c->answer_at == c->count || c->last_here) {
        // Nothing more to ask here. The gateway closes if it said so; else the client does.
        if (c->last_here) {
            SIM_MUST(w, w->now_ns < c->progress_ns + SIM_PATIENCE_NS, "the gateway said close and does not");
            if (sim_chance(w, 50)) {
                run_in(c, 5 * CLOCK_SEC);
                return;
            }
        }
        sim_close(c->end);
        disconnect(c);
        return;
    }
    write_some(c);
    SIM_MUST(w, w->now_ns < c->progress_ns + SIM_PATIENCE_NS, "client %u was forgotten with request %u",
             c->id, c->first + c->answer_at);
    if (c->run.place == 0) run_in(c, SIM_PATIENCE_NS);
}

void sim_client_open(struct sim_gateway *g, struct sim_client *c, uint32_t first, uint32_t count)
{
    *c = (struct sim_client){.g = g, .id = (uint32_t)(c - g->client), .first = first, .count = count};
    c->run.fire = run;
    sim_message_open(&c->msg);
    run_in(c, sim_between(g->w, 0, sim_chance(g->w, 70) ? 20 * CLOCK_MS : 3 * CLOCK_SEC));
}

void sim_client_close(struct sim_client *c)
{
    sim_event_drop(c->g->w, &c->run);
    sim_message_close(&c->msg);
}
