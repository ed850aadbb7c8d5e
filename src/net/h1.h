// The HTTP/1.1 server side: connections of clients, and struct call over them.
//
// A connection is idle (no fiber, no buffer), serving (a fiber runs one request after the other, pipelined ones in order),
// or lingering (the answer was sent, the client is given a moment to read it before the socket goes). The handler sees
// struct call only.
//
// Limits   h1_cfg holds what the configuration says; it is read at the start of each request and may be swapped between turns.
// Drain    h1_server_drain(): answers say `connection: close`; idle connections are closed when their time comes.
// Owner    the server belongs to a worker; connections belong to the server.
// Thread   the loop's.
#ifndef RINGWAY_NET_H1_H
#define RINGWAY_NET_H1_H

#include "base/fmt.h"
#include "io/stream.h"
#include "net/call.h"
#include "net/tls_stream.h"

// What is particular to the socket a client came in by.
struct h1_entry {
    uint32_t proxy_accept; // mask of enum proxy_accept: a PROXY header comes first; 0: none does
    const struct io_cidr *trusted; // proxies whose X-Forwarded-For is believed
    uint32_t trusted_count;
    struct tls_server *tls; // NULL: plain HTTP. Whoever makes the entry holds it.
    uint32_t hsts_s; // for how long clients shall come by TLS only (RFC 6797); 0: nothing is said
};

struct h1_cfg {
    uint32_t head_bytes_max;
    uint32_t connections_max; // of this worker
    int64_t head_timeout_ns; // total, for a head
    int64_t idle_timeout_ns;
};

// Answers the call; returns when it is done with it. Runs in a fiber.
typedef void (*h1_handler)(struct call *c, void *ctx);

struct h1_server {
    struct io_loop *loop;
    struct h1_cfg cfg;
    h1_handler handler;
    void *handler_ctx;
    struct io_offload *offload; // for handshakes; NULL: they are made here
    uint32_t shaking; // handshakes under way
    struct arena_pool arenas;
    struct arena_pool last_arenas; // for refusals when all else is used up; one call at a time
    struct budget last_budget;
    struct http_memo *heads; // the last ones, see http.h
    struct list conns;
    struct list free_conns;
    uint32_t open;
    uint32_t serving;
    uint64_t accepted_total, requests_total;
    uint64_t ends[RW_END_COUNT]; // of connections, by reason
    struct fmt_time date_cache;
    int64_t date_sec;
    char front[96]; // "HTTP/1.1 200 OK\r\ndate: ...\r\n" of that second
    uint32_t front_bytes;
    bool draining;
    int64_t drain_idle_until_ns; // idle connections stay until then while draining
    void (*on_closed)(struct h1_server *srv); // a connection went; may be NULL
};

enum rw_err h1_server_open(struct h1_server *srv, struct io_loop *loop, const struct h1_cfg *cfg,
                           h1_handler handler, void *handler_ctx) RW_WARN_UNUSED; // -ENOMEM
// No connection is open.
void h1_server_close(struct h1_server *srv);
// Takes an accepted descriptor over. entry lives as long as the server. False: no memory, the descriptor was closed.
bool h1_accept(struct h1_server *srv, int fd, const struct h1_entry *entry);
void h1_server_drain(struct h1_server *srv, int64_t idle_until_ns);
// Ends all connections now: the reason is what their requests are cancelled with.
void h1_server_kill(struct h1_server *srv, enum rw_end reason);

#endif
