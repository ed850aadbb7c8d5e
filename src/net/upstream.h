// Connections to providers: a pool per worker and origin, and HTTP/1.1 over one of them, with TLS or without.
//
// Use      up_take() a connection (from the pool, last in first out, or a new one); up_send() the request; up_head() the
//          answer's head; up_body() piece by piece, or up_body_whole(); then up_give() it back. Whatever went wrong:
//          up_give() too, which closes what cannot be used again.
// Stale    A pooled connection on which the provider closed is dropped when that is noticed (a receive stays armed while it
//          is idle). If it closes just as a request is sent, the error comes with conn->reused set and conn->answered
//          not: one retry on a fresh connection is safe, since no byte of an answer came.
// Early    While a request is being sent, an answer may begin: up_send() then stops sending and returns 0; up_head() reads it.
// Owner    An origin belongs to a worker and outlives its connections. A connection belongs to whoever took it.
// Thread   the loop's. Functions with a deadline suspend.
// Errors   RW_E_BAD: the provider broke the protocol (conn->bad_reason); RW_E_EOF: the answer broke off; -ETIME; -ECANCELED;
//          a negative errno of connect or receive; RW_E_TLS; RW_E_PROXY; RW_E_TOO_LARGE; RW_E_BUDGET.
#ifndef RINGWAY_NET_UPSTREAM_H
#define RINGWAY_NET_UPSTREAM_H

#include <stdatomic.h>

#include "io/stream.h"
#include "net/tls_stream.h"
#include "wire/http.h"

// Shared by the workers: an origin's caps hold for the whole process.
struct up_shared {
    _Atomic int32_t open; // connections, idle ones included
    _Atomic int32_t idle;
    int32_t open_max;
    int32_t idle_max;
};

#define UP_ADDRS_MAX 8 // tried in this order, see io/dial.h

struct up_origin {
    struct io_loop *loop;
    struct up_shared *shared;
    struct io_addr addr[UP_ADDRS_MAX];
    uint32_t addr_count;
    uint32_t addr_next; // the one that answered last
    struct io_addr bind_to;
    int64_t idle_max_ns; // older idle connections are closed
    struct list idle; // newest first
    struct list all;
    uint32_t open, idle_count;
    struct io_timer sweep;
    struct http_memo heads; // answers of one origin are alike
    struct io_offload *offload; // for handshakes; NULL: they are made here
    struct tls_client *tls; // NULL: plain HTTP
    struct tls_session session; // to be resumed by the next connection
    enum tls_why tls_why; // of RW_E_TLS
    const char *proxy_why; // of RW_E_PROXY
    uint64_t stale_total;
    bool failed; // the last try to connect
    bool closing;
};

struct up_conn {
    struct io_stream s;
    struct net_tls *tls; // NULL: plain HTTP
    struct up_origin *origin;
    struct list in_all;
    struct list in_idle;
    struct http_framing framing; // of the answer being read
    struct http_chunked chunked;
    uint64_t body_left; // of a body with a length
    struct io_buf *piece; // handed out by up_body(), freed by the next call
    struct io_buf *whole; // handed out by up_body_whole()
    const char *bad_reason;
    int64_t idle_since_ns;
    uint32_t requests;
    uint32_t head_bytes; // of an answer whose body was not touched yet
    bool reused;
    bool answered; // a byte of the present answer came
    bool keep; // the answer allows another request
    bool body_done;
    bool sent_all;
    bool in_pool;
};

void up_origin_open(struct up_origin *o, struct io_loop *loop, struct up_shared *shared,
                    const struct io_addr *addrs, uint32_t addr_count, const struct io_addr *bind_to);
// New addresses from the resolver; connections that are open stay.
void up_origin_addrs(struct up_origin *o, const struct io_addr *addrs, uint32_t addr_count);
// From now on new connections use this client (NULL: plain HTTP); those that are open stay.
void up_origin_tls(struct up_origin *o, struct tls_client *tls, struct io_offload *offload);
// Closes all idle connections now, the others as they are given back. up_origin_closed() when none is left.
void up_origin_close(struct up_origin *o);
static inline bool up_origin_closed(const struct up_origin *o)
{
    return o->open == 0;
}

// How long a new connection may take: connect_ns to connect (0: no limit), then tls_ns for the handshake.
struct up_patience {
    int64_t connect_ns, tls_ns;
    int64_t until_ns; // and all of it
    // What is said to a proxy before anything else (CONNECT with its fields, complete): the origin's addresses are the proxy's.
    // Empty: there is none, or it reads the requests themselves.
    struct span tunnel;
};

// Why a proxy that answered with this status does not connect, with the mend.
const char *up_proxy_why(uint32_t status);

// fresh: never from the pool. -EMFILE: the cap of open connections is reached; -EHOSTUNREACH: no address is known; RW_E_TLS,
// RW_E_PROXY: the origin's tls_why or proxy_why says why, until the next call.
int up_take(struct up_origin *o, bool fresh, const struct up_patience *patience,
            struct up_conn **ret) RW_WARN_UNUSED;
void up_give(struct up_conn *c);

// last: nothing but the answer is waited for behind it.
int up_send(struct up_conn *c, struct iovec *iov, uint32_t n, bool last, int64_t deadline_ns) RW_WARN_UNUSED;
// `asked`: the method of the request. Interim answers (1xx) are skipped. *ret points into the connection's buffer and is good
// until the first read of the body. A head is 1.2 KB: keep it in an arena, not on a stack.
int up_head(struct up_conn *c, enum http_method asked, int64_t deadline_ns,
            struct http_head *ret) RW_WARN_UNUSED;
// 1 and the next piece of the decoded body, 0 at its end. The piece lives until the next call and may be changed in place.
int up_body(struct up_conn *c, int64_t deadline_ns, struct span *ret) RW_WARN_UNUSED;
// The whole body in one region, at most max bytes; it lives until up_give().
int up_body_whole(struct up_conn *c, uint64_t max, int64_t deadline_ns, struct span *ret) RW_WARN_UNUSED;

#endif
