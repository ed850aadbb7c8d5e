// The simulated network: listeners, connections of two ends, and in each direction a pipe of bytes with capacity, latency and
// segmentation. Peers (clients and providers of a scenario) use it directly; the gateway reaches it through sim_driver.h.
//
// Semantics are those of TCP on Linux as far as a program can see them: what arrived before a reset is still read; closing
// with unread bytes, and bytes that arrive at a closed end, cause a reset; a FIN comes behind all bytes; a reset overtakes
// what has not arrived.
//
// Poke     an end's owner is poked after anything changed: connected, refused, bytes, end, reset, room to write. A poke never
//          comes from inside one of the functions below that the owner itself calls on that end.
// Trouble  what the network does wrong is reported to sim_trouble(), so that an exchange may be excused by it.
// Owner    an end belongs to whoever connected or accepted it until sim_close() or sim_reset().
#ifndef RINGWAY_TESTS_SIM_NET_H
#define RINGWAY_TESTS_SIM_NET_H

#include "io/addr.h"
#include "tests/sim/sim_world.h"

#define SIM_SEGMENTS_MAX 12u
#define SIM_PIPE_CLASSES 5

enum sim_mark { SIM_BYTES, SIM_FIN, SIM_RST };

struct sim_segment {
    uint64_t upto; // bytes of the pipe that have arrived with it
    int64_t at_ns;
    uint8_t mark; // enum sim_mark
};

struct sim_pipe {
    struct sim_event arrival; // of segment[0]
    struct sim_end *to;
    uint8_t *ring;
    uint32_t cap; // a power of two
    uint8_t size_class;
    uint32_t segments;
    struct sim_segment segment[SIM_SEGMENTS_MAX];
    uint64_t written, arrived, taken;
    int64_t last_ns; // arrival of the newest segment
    bool fin_sent, fin_arrived;
};

struct sim_end {
    struct sim_conn *conn;
    struct sim_pipe *in, *out;
    struct sim_end *other;
    void (*poke)(struct sim_end *e); // NULL: nobody has it yet
    void *owner;
    bool closed; // given up by its owner
    bool read_shut;
    bool reset; // the connection is gone, as far as this end knows
    bool reset_seen; // the error was reported once
};

enum sim_conn_state { SIM_CONNECTING, SIM_OPEN, SIM_REFUSED };

struct sim_conn {
    struct list node; // of net->conns or net->free
    struct list queued; // in a listener's queue
    struct sim_net *net;
    struct sim_event handshake;
    struct sim_end end[2]; // 0 connected, 1 accepted
    struct sim_pipe pipe[2]; // 0 to end 1, 1 to end 0
    struct io_addr to, from;
    int64_t latency_ns;
    uint32_t id;
    uint8_t state;
};

struct sim_listener {
    struct list node;
    struct list queue; // of connections
    struct sim_net *net;
    struct io_addr addr;
    void (*on_queue)(struct sim_listener *l); // a connection came
    void *owner;
    bool stopped;
};

struct sim_net {
    struct sim_world *world;
    struct list listeners;
    struct list conns, free;
    uint32_t open; // connections
    uint32_t next_id;
    uint8_t *spare[SIM_PIPE_CLASSES]; // rings, linked through their first bytes
    uint32_t window_class_max; // pipes are at most this large
    int64_t latency_max_ns;
};

void sim_net_open(struct sim_net *net, struct sim_world *w);
// The open connections, for whoever looks into a failed run.
void sim_net_print(const struct sim_net *net);
// No connection is open.
void sim_net_close(struct sim_net *net);

struct sim_listener *sim_listen(struct sim_net *net, const struct io_addr *addr,
                                void (*on_queue)(struct sim_listener *l), void *owner);
bool sim_listening(const struct sim_net *net, const struct io_addr *addr);
// The oldest connection that waits, NULL if none does.
struct sim_end *sim_accept(struct sim_listener *l);
void sim_listener_close(struct sim_listener *l);

struct sim_end *sim_connect(struct sim_net *net, const struct io_addr *to, const struct io_addr *from,
                            void (*poke)(struct sim_end *e), void *owner);

static inline uint32_t sim_unread(const struct sim_end *e)
{
    return (uint32_t)(e->in->arrived - e->in->taken);
}
static inline bool sim_at_eof(const struct sim_end *e)
{
    return sim_unread(e) == 0 && (e->in->fin_arrived || e->read_shut);
}
// Takes at most n bytes.
uint32_t sim_read(struct sim_end *e, void *to, uint32_t n);
// The last n bytes that were read are unread again; before anything else happens on the connection.
static inline void sim_give_back(struct sim_end *e, uint32_t n)
{
    e->in->taken -= n;
}
// Room for bytes; 0 also when nothing more can be sent.
uint32_t sim_room(const struct sim_end *e);
// Sends at most n bytes; returns how many the pipe took.
uint32_t sim_write(struct sim_end *e, const void *p, uint32_t n);
void sim_fin(struct sim_end *e);
void sim_shut_read(struct sim_end *e);
// Give the end up. close: FIN, or a reset if unread bytes are thrown away.
void sim_reset(struct sim_end *e);
void sim_close(struct sim_end *e);

#endif
