// The providers. See sim_exchange.h. One connection carries one request after the other; what arrives is checked before it is
// answered, and what is answered goes out in pieces, with pauses, up to where it breaks off.
#include "tests/sim/sim_exchange.h"

// A provider whose client has left is told by the gateway within this time, late completions and full pipes included.
#define LEFT_PATIENCE_NS (10 * CLOCK_SEC)

static void conn_over(struct sim_provider_conn *c)
{
    sim_event_drop(c->g->w, &c->run);
    sim_message_close(&c->msg);
    c->used = false;
    c->g->conns_open--;
}

static void run_in(struct sim_provider_conn *c, int64_t in_ns)
{
    const int64_t at = c->g->w->now_ns + in_ns;
    if (c->run.place == 0 || c->run.at_ns > at) sim_event_at(c->g->w, &c->run, at);
}

// --- Reading.

static void asked(struct sim_provider_conn *c)
{
    struct sim_gateway *g = c->g;
    struct sim_request *r = sim_request_find(g, &c->msg);
    c->request = r;
    sim_note(g->w, "provider is asked", r->id, r->asked);
    SIM_MUST(g->w,
             !r->refused_with && r->kind != ASK_ECHO && r->kind != ASK_LOCAL && r->provider == c->provider,
             "request %u reached a provider that it must not reach", r->id);
    r->asked++;
    // Once more is allowed if no byte of an answer came back, and the request can be repeated.
    const bool again = r->answer_sent == 0 || r->troubles != g->w->troubles || r->troubled_start;
    SIM_MUST(g->w, r->asked == 1 || (r->asked == 2 && again && r->kind != ASK_UPLOAD),
             "request %u was asked %u times", r->id, r->asked);
    SIM_MUST(g->w, !r->ended || r->left || sim_excused(g, r),
             "request %u is asked although its client has its answer", r->id);
    sim_answer_compose(g, r, c->served == 0, &c->answer);
}

static void answer_begin(struct sim_provider_conn *c)
{
    c->answering = true;
    c->sent = 0;
    c->pause_until_ns = 0;
    if (!c->answer.at_once)
        c->pause_until_ns = c->g->w->now_ns + sim_between(c->g->w, 0, c->answer.pause_max_ns);
}

static void read_some(struct sim_provider_conn *c)
{
    struct sim_gateway *g = c->g;
    uint8_t buf[4096];
    uint32_t budget = 1u << 20;
    if (c->read_pause_until_ns > g->w->now_ns) {
        run_in(c, c->read_pause_until_ns - g->w->now_ns);
        return;
    }
    if (sim_unread(c->end) > 0 && sim_fault(g->w, SIM_SLOW_PEER)) {
        budget = sim_piece(g->w, 3000);
        c->read_pause_until_ns = g->w->now_ns + sim_between(g->w, 0, 200 * CLOCK_MS);
        run_in(c, c->read_pause_until_ns - g->w->now_ns);
    }
    while (budget > 0 && c->msg.state != SIM_HTTP_DONE && !(c->answering && c->answer.deaf)) {
        uint32_t n = sizeof buf < budget ? (uint32_t)sizeof buf : budget;
        n = sim_read(c->end, buf, n);
        if (n == 0) return;
        budget -= n;
        const uint32_t used = sim_message_feed(&c->msg, buf, n);
        SIM_MUST(g->w, c->msg.state != SIM_HTTP_BAD, "a provider got a malformed request: %s", c->msg.why);
        if (used < n) {
            // The next request, which may only come behind an answer that was given early.
            SIM_MUST(g->w, c->answering && c->sent == c->answer.stop_at,
                     "a provider got bytes behind a request");
            sim_give_back(c->end, n - used);
        }
        if (!c->request && sim_message_has_head(&c->msg)) {
            asked(c);
            if (c->answer.early) answer_begin(c);
        }
    }
    if (c->msg.state == SIM_HTTP_DONE && c->request && !c->answered) {
        sim_check_request(g, c->request, &c->msg, true);
        c->answered = true;
        if (!c->answering) answer_begin(c);
    }
}

// --- Answering.

static void next_request(struct sim_provider_conn *c)
{
    struct sim_world *w = c->g->w;
    c->answering = c->answered = false;
    c->request = NULL;
    c->served++;
    sim_message_begin(&c->msg, false, false);
    if (sim_unread(c->end) > 0) run_in(c, 0); // it came behind the rest of a request that was answered early
    c->close_ns = CLOCK_NEVER;
    if (!c->g->calm && sim_chance(w, 20)) {
        c->close_ns = w->now_ns + sim_between(w, 0, sim_chance(w, 50) ? 20 * CLOCK_MS : 5 * CLOCK_SEC);
        run_in(c, c->close_ns - w->now_ns);
    }
}

// All of the answer went out. True: the connection is over.
static bool answer_over(struct sim_provider_conn *c)
{
    switch ((enum sim_stop)c->answer.stop) {
    case STOP_KEEP:
        // The rest of a request that was answered early is read first.
        if (c->answered) next_request(c);
        return false;
    case STOP_FIN:
        c->silent = true;
        sim_fin(c->end);
        return false;
    case STOP_RESET:
        c->request->answer_sent = 0; // it may never arrive
        sim_reset(c->end);
        conn_over(c);
        return true;
    case STOP_SILENT: c->silent = true; return false;
    }
    UNREACHABLE("an answer that ends in no way");
}

static bool send_some(struct sim_provider_conn *c)
{
    struct sim_world *w = c->g->w;
    struct sim_request *r = c->request;
    const struct sim_answer *a = &c->answer;
    if (c->pause_until_ns > w->now_ns) {
        run_in(c, c->pause_until_ns - w->now_ns);
        return false;
    }
    while (c->sent < a->stop_at) {
        uint32_t n = a->stop_at - c->sent;
        if (!a->at_once) n = sim_piece(w, n < 4000 ? n : 4000);
        n = sim_write(c->end, a->wire.p + c->sent, n);
        if (n == 0) return false;
        SIM_MUST(w, !r->left || r->piped || w->now_ns < r->left_ns + LEFT_PATIENCE_NS || sim_excused(c->g, r),
                 "the provider of request %u still sends, although the client has left", r->id);
        c->sent += n;
        r->answer_sent = c->sent;
        if (a->at_once || c->sent == a->stop_at) continue;
        c->pause_until_ns = w->now_ns + (sim_chance(w, 70) ? sim_between(w, 0, a->pause_max_ns) : 0);
        run_in(c, c->pause_until_ns - w->now_ns);
        return false;
    }
    return answer_over(c);
}

static void ended(struct sim_provider_conn *c)
{
    if (c->request && c->msg.state != SIM_HTTP_DONE) sim_check_request(c->g, c->request, &c->msg, false);
    sim_close(c->end);
    conn_over(c);
}

static void run(struct sim_event *event)
{
    struct sim_provider_conn *c = LIST_OWNER(event, struct sim_provider_conn, run);
    struct sim_world *w = c->g->w;
    if (c->silent) {
        // What is still coming is dropped, or left lying.
        uint8_t buf[4096];
        while (!c->answer.deaf && sim_read(c->end, buf, sizeof buf) > 0) {}
        if (c->end->reset || c->end->in->fin_arrived) ended(c);
        return;
    }
    read_some(c);
    if (c->answering && send_some(c)) return;
    if (c->silent) {
        run_in(c, 0);
        return;
    }
    if (c->end->reset || sim_at_eof(c->end)) {
        ended(c);
        return;
    }
    if (!c->request && sim_message_empty(&c->msg) && c->close_ns <= w->now_ns && sim_unread(c->end) == 0) {
        sim_close(c->end);
        conn_over(c);
    }
}

static void poked(struct sim_end *e)
{
    run_in(e->owner, 0);
}

static void accept_conn(struct sim_listener *l)
{
    struct sim_gateway *g = l->owner;
    uint32_t provider = 0;
    while (g->provider_listener[provider] != l) provider++;
    struct sim_provider_conn *c = g->conn;
    while (c < g->conn + SIM_PROVIDER_CONNS_MAX && c->used) c++;
    SIM_MUST(g->w, c < g->conn + SIM_PROVIDER_CONNS_MAX, "too many connections to providers");
    *c = (struct sim_provider_conn){.g = g, .provider = provider, .used = true, .close_ns = CLOCK_NEVER};
    c->run.fire = run;
    c->end = sim_accept(l);
    c->end->owner = c;
    c->end->poke = poked;
    sim_message_open(&c->msg);
    sim_message_begin(&c->msg, false, false);
    g->conns_open++;
    run_in(c, 0);
}

void sim_provider_open(struct sim_gateway *g, uint32_t provider)
{
    const struct io_addr *addr = &g->provider_addr[provider][g->provider_addrs[provider] - 1];
    g->provider_listener[provider] = sim_listen(&g->net, addr, accept_conn, g);
}

void sim_providers_close(struct sim_gateway *g)
{
    for (uint32_t i = 0; i < g->providers; i++) sim_listener_close(g->provider_listener[i]);
}
