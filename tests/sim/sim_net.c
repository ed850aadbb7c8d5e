// See sim_net.h.
#include "tests/sim/sim_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const uint32_t ring_bytes[SIM_PIPE_CLASSES] = {2048, 8192, 32768, 131072, 524288};

void sim_net_open(struct sim_net *net, struct sim_world *w)
{
    *net = (struct sim_net){.world = w};
    list_init(&net->listeners);
    list_init(&net->conns);
    list_init(&net->free);
    net->window_class_max = sim_below(w, SIM_PIPE_CLASSES);
    net->latency_max_ns = sim_chance(w, 70) ? CLOCK_MS : 200 * CLOCK_MS;
    w->net = net;
}

void sim_net_close(struct sim_net *net)
{
    MUST(net->open == 0 && list_empty(&net->listeners));
    struct list *node;
    while ((node = list_pop_front(&net->free))) free(LIST_OWNER(node, struct sim_conn, node));
    for (int i = 0; i < SIM_PIPE_CLASSES; i++) {
        while (net->spare[i]) {
            uint8_t *ring = net->spare[i];
            memcpy(&net->spare[i], ring, sizeof ring);
            free(ring);
        }
    }
    net->world->net = NULL;
}

void sim_net_print(const struct sim_net *net)
{
    static const char *const ways[] = {"up", "down"};
    LIST_EACH(it, &net->conns)
    {
        const struct sim_conn *c = LIST_OWNER(it, struct sim_conn, node);
        fprintf(stderr, "connection %u, state %u:", c->id, c->state);
        for (int i = 0; i < 2; i++) {
            const struct sim_pipe *p = &c->pipe[i];
            const struct sim_end *e = &c->end[i];
            fprintf(stderr, " %s %lu written, %lu arrived, %lu read of %u%s%s%s%s;", ways[i],
                    (unsigned long)p->written, (unsigned long)p->arrived, (unsigned long)p->taken, p->cap,
                    p->fin_sent ? ", FIN" : "", e->closed ? ", closed" : "", e->reset ? ", reset" : "",
                    e->poke ? "" : ", nobody's");
        }
        fprintf(stderr, "\n");
    }
}

// --- Pipes.

static void pipe_open(struct sim_net *net, struct sim_pipe *p, struct sim_end *to,
                      void (*fire)(struct sim_event *))
{
    const uint8_t size_class = (uint8_t)sim_below(net->world, net->window_class_max + 1);
    *p = (struct sim_pipe){.to = to, .cap = ring_bytes[size_class], .size_class = size_class};
    p->arrival.fire = fire;
    p->ring = net->spare[size_class];
    if (p->ring) memcpy(&net->spare[size_class], p->ring, sizeof p->ring);
    else p->ring = sim_malloc(p->cap);
    MUST(p->ring);
}

static void pipe_close(struct sim_net *net, struct sim_pipe *p)
{
    sim_event_drop(net->world, &p->arrival);
    memcpy(p->ring, &net->spare[p->size_class], sizeof p->ring);
    net->spare[p->size_class] = p->ring;
    p->ring = NULL;
}

static void conn_release(struct sim_conn *c)
{
    struct sim_net *net = c->net;
    sim_event_drop(net->world, &c->handshake);
    pipe_close(net, &c->pipe[0]);
    pipe_close(net, &c->pipe[1]);
    list_remove(&c->queued);
    list_remove(&c->node);
    list_push_front(&net->free, &c->node);
    net->open--;
}

static void poke(struct sim_end *e)
{
    if (e->poke && !e->closed) e->poke(e);
}

// The connection is gone for this end: nothing more arrives, nothing more is sent.
static void end_reset(struct sim_end *e)
{
    e->reset = true;
    e->out->segments = 0;
    sim_event_drop(e->conn->net->world, &e->out->arrival);
    poke(e);
}

static void arrive(struct sim_pipe *p, const struct sim_segment *s)
{
    struct sim_end *e = p->to;
    struct sim_world *w = e->conn->net->world;
    if (e->reset) return;
    if (s->mark == SIM_RST) {
        sim_note(w, "reset arrives", e->conn->id, e == &e->conn->end[1]);
        end_reset(e);
        return;
    }
    const bool bytes = s->upto > p->arrived;
    p->arrived = s->upto;
    if (s->mark == SIM_FIN) p->fin_arrived = true;
    if ((e->closed || e->read_shut) && bytes) {
        // Nobody will read it: the sender is told.
        p->taken = p->arrived;
        e->out->segments = 0;
        sim_event_drop(w, &e->out->arrival);
        end_reset(e->other);
        if (e->closed) e->reset = true;
        return;
    }
    poke(e);
}

static void arrival(struct sim_event *event)
{
    struct sim_pipe *p = LIST_OWNER(event, struct sim_pipe, arrival);
    struct sim_world *w = p->to->conn->net->world;
    // All that is due by now arrives as one.
    while (p->segments > 0 && p->segment[0].at_ns <= w->now_ns) {
        const struct sim_segment s = p->segment[0];
        p->segments--;
        memmove(p->segment, p->segment + 1, p->segments * sizeof *p->segment);
        arrive(p, &s);
    }
    if (p->segments > 0) sim_event_at(w, &p->arrival, p->segment[0].at_ns);
}

static void segment_add(struct sim_end *e, uint64_t upto, enum sim_mark mark, int64_t delay_ns)
{
    struct sim_pipe *p = e->out;
    struct sim_world *w = e->conn->net->world;
    int64_t at_ns = w->now_ns + e->conn->latency_ns + delay_ns;
    if (at_ns < p->last_ns) at_ns = p->last_ns;
    p->last_ns = at_ns;
    if (p->segments == SIM_SEGMENTS_MAX) {
        p->segment[p->segments - 1] = (struct sim_segment){upto, at_ns, (uint8_t)mark};
    } else {
        p->segment[p->segments++] = (struct sim_segment){upto, at_ns, (uint8_t)mark};
    }
    if (p->segments == 1) sim_event_at(w, &p->arrival, at_ns);
}

// --- Listening and connecting.

struct sim_listener *sim_listen(struct sim_net *net, const struct io_addr *addr,
                                void (*on_queue)(struct sim_listener *l), void *owner)
{
    struct sim_listener *l = sim_calloc(1, sizeof *l);
    MUST(l);
    *l = (struct sim_listener){.net = net, .addr = *addr, .on_queue = on_queue, .owner = owner};
    list_init(&l->queue);
    list_push_back(&net->listeners, &l->node);
    return l;
}

bool sim_listening(const struct sim_net *net, const struct io_addr *addr)
{
    LIST_EACH(it, &net->listeners)
    if (io_addr_eq(&LIST_OWNER(it, struct sim_listener, node)->addr, addr)) return true;
    return false;
}

struct sim_end *sim_accept(struct sim_listener *l)
{
    struct list *node = list_pop_front(&l->queue);
    return node ? &LIST_OWNER(node, struct sim_conn, queued)->end[1] : NULL;
}

void sim_listener_close(struct sim_listener *l)
{
    struct sim_end *e;
    while ((e = sim_accept(l))) sim_reset(e);
    list_remove(&l->node);
    free(l);
}

// One of those that listen on the address; they share its connections as with SO_REUSEPORT.
static struct sim_listener *listener_for(struct sim_net *net, const struct io_addr *addr)
{
    struct sim_listener *found[8];
    uint32_t n = 0;
    LIST_EACH(it, &net->listeners)
    {
        struct sim_listener *l = LIST_OWNER(it, struct sim_listener, node);
        if (n < 8 && !l->stopped && io_addr_eq(&l->addr, addr)) found[n++] = l;
    }
    return n == 0 ? NULL : found[n > 1 ? sim_below(net->world, n) : 0];
}

static void handshake(struct sim_event *event)
{
    struct sim_conn *c = LIST_OWNER(event, struct sim_conn, handshake);
    struct sim_net *net = c->net;
    struct sim_listener *l = listener_for(net, &c->to);
    const bool refused = l && sim_fault(net->world, SIM_CONNECT_REFUSED);
    if (refused) sim_trouble(net->world, net->world->now_ns);
    if (!l || refused) {
        sim_note(net->world, "connection refused", c->id, 0);
        c->state = SIM_REFUSED;
        poke(&c->end[0]);
        return;
    }
    sim_note(net->world, "connected", c->id, 0);
    c->state = SIM_OPEN;
    list_push_back(&l->queue, &c->queued);
    poke(&c->end[0]);
    l->on_queue(l);
}

struct sim_end *sim_connect(struct sim_net *net, const struct io_addr *to, const struct io_addr *from,
                            void (*poke_fn)(struct sim_end *e), void *owner)
{
    struct sim_world *w = net->world;
    struct list *node = list_pop_front(&net->free);
    struct sim_conn *c = node ? LIST_OWNER(node, struct sim_conn, node) : sim_malloc(sizeof *c);
    MUST(c);
    memset(c, 0, sizeof *c);
    c->net = net;
    c->to = *to;
    c->from = *from;
    c->id = ++net->next_id;
    c->handshake.fire = handshake;
    c->latency_ns = sim_between(w, 5 * CLOCK_US, net->latency_max_ns);
    list_init(&c->node);
    list_init(&c->queued);
    list_push_back(&net->conns, &c->node);
    for (int i = 0; i < 2; i++) {
        c->end[i] =
            (struct sim_end){.conn = c, .in = &c->pipe[1 - i], .out = &c->pipe[i], .other = &c->end[1 - i]};
        pipe_open(net, &c->pipe[i], &c->end[1 - i], arrival);
    }
    c->end[0].poke = poke_fn;
    c->end[0].owner = owner;
    net->open++;
    sim_note(w, "connecting", c->id, 0);
    if (sim_fault(w, SIM_CONNECT_STALL)) sim_trouble(w, w->now_ns);
    else sim_event_in(w, &c->handshake, 2 * c->latency_ns);
    return &c->end[0];
}

// --- Bytes.

uint32_t sim_read(struct sim_end *e, void *to, uint32_t n)
{
    struct sim_pipe *p = e->in;
    const uint32_t have = sim_unread(e);
    if (n > have) n = have;
    const uint32_t at = (uint32_t)p->taken & (p->cap - 1), first = n < p->cap - at ? n : p->cap - at;
    memcpy(to, p->ring + at, first);
    memcpy((uint8_t *)to + first, p->ring, n - first);
    p->taken += n;
    // The other end has room again; half a window at least, as TCP does to avoid silly ones.
    if (n > 0 && !e->reset && p->written - (p->taken - n) > p->cap / 2) poke(e->other);
    return n;
}

uint32_t sim_room(const struct sim_end *e)
{
    const struct sim_pipe *p = e->out;
    if (e->conn->state != SIM_OPEN || e->reset || p->fin_sent) return 0;
    return p->cap - (uint32_t)(p->written - p->taken);
}

static void cut_both(struct sim_conn *c)
{
    for (int i = 0; i < 2; i++) {
        c->pipe[i].segments = 0;
        sim_event_drop(c->net->world, &c->pipe[i].arrival);
    }
    for (int i = 0; i < 2; i++)
        if (!c->end[i].reset) end_reset(&c->end[i]);
}

uint32_t sim_write(struct sim_end *e, const void *from, uint32_t n)
{
    struct sim_pipe *p = e->out;
    struct sim_net *net = e->conn->net;
    struct sim_world *w = net->world;
    const uint32_t room = sim_room(e);
    if (n > room) n = room;
    if (n == 0) return 0;
    const uint32_t at = (uint32_t)p->written & (p->cap - 1), first = n < p->cap - at ? n : p->cap - at;
    memcpy(p->ring + at, from, first);
    memcpy(p->ring, (const uint8_t *)from + first, n - first);
    const uint64_t start = p->written;
    p->written += n;
    w->hash = sim_hash(w->hash, from, n);
    sim_note(w, e == &e->conn->end[0] ? "sent up" : "sent down", e->conn->id, n);
    if (sim_fault(w, SIM_RESET)) {
        sim_trouble(w, w->now_ns);
        cut_both(e->conn);
        return n;
    }
    int64_t delay_ns = 0;
    if (sim_fault(w, SIM_STALL)) {
        delay_ns = sim_between(w, CLOCK_MS, sim_chance(w, 30) ? 100 * CLOCK_SEC : CLOCK_SEC);
        sim_trouble(w, w->now_ns + delay_ns + e->conn->latency_ns);
    }
    if (n > 1 && sim_fault(w, SIM_SEGMENTS)) {
        uint64_t upto = start;
        for (uint32_t left = n, pieces = 1 + sim_below(w, 6); left > 0; pieces--) {
            const uint32_t piece = pieces > 1 ? sim_piece(w, left) : left;
            upto += piece;
            left -= piece;
            segment_add(e, upto, SIM_BYTES, delay_ns);
            delay_ns += sim_below(w, 3) ? sim_between(w, 0, CLOCK_MS) : 0;
        }
    } else {
        segment_add(e, p->written, SIM_BYTES, delay_ns);
    }
    return n;
}

void sim_fin(struct sim_end *e)
{
    if (e->out->fin_sent || e->reset || e->conn->state != SIM_OPEN) return;
    e->out->fin_sent = true;
    sim_note(e->conn->net->world, "end sent", e->conn->id, e == &e->conn->end[1]);
    segment_add(e, e->out->written, SIM_FIN, 0);
}

void sim_shut_read(struct sim_end *e)
{
    e->read_shut = true;
}

static void end_close(struct sim_end *e)
{
    MUST(!e->closed);
    e->closed = true;
    e->poke = NULL;
    struct sim_conn *c = e->conn;
    // An end that nobody accepted is closed by its listener only.
    if (c->state != SIM_OPEN || c->end[1 - (e == &c->end[1])].closed) conn_release(c);
}

static void send_reset(struct sim_end *e)
{
    if (e->reset || e->conn->state != SIM_OPEN) return;
    struct sim_pipe *p = e->out;
    sim_note(e->conn->net->world, "reset sent", e->conn->id, e == &e->conn->end[1]);
    // What has not arrived may never do.
    if (sim_chance(e->conn->net->world, 50) && p->segments > 0) {
        const uint32_t keep = sim_below(e->conn->net->world, p->segments);
        p->segments = keep;
        if (keep == 0) sim_event_drop(e->conn->net->world, &p->arrival);
    }
    segment_add(e, p->segments ? p->segment[p->segments - 1].upto : p->arrived, SIM_RST, 0);
    e->reset = true;
    e->in->segments = 0;
    sim_event_drop(e->conn->net->world, &e->in->arrival);
}

void sim_reset(struct sim_end *e)
{
    send_reset(e);
    end_close(e);
}

void sim_close(struct sim_end *e)
{
    if (sim_unread(e) > 0) send_reset(e);
    else sim_fin(e);
    end_close(e);
}
