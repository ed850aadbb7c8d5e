// Private to src/net: a client's HTTP/1.1 connection (h1.c) and its call (h1_call.c).
#ifndef RINGWAY_NET_H1_CONN_H
#define RINGWAY_NET_H1_CONN_H

#include "net/h1.h"

enum h1_state {
    H1_FREE,
    H1_IDLE, // waiting for the first byte of a request
    H1_SERVING, // a fiber runs
    H1_LINGER, // our side is closed; what still comes is dropped
    H1_CLOSING, // the stream is being joined
    H1_STATES,
};

struct h1_conn {
    struct io_stream s;
    struct net_tls *tls; // NULL: plain HTTP
    struct h1_server *server;
    const struct h1_entry *entry;
    struct list node;
    struct scope scope;
    struct io_timer timer;
    int64_t since_ns; // the present state began
    struct io_buf *refusal; // the answer to a request for which there was no fiber or no memory
    struct iovec refusal_iov;
    struct io_addr peer; // as the socket or the proxy protocol says
    char peer_text[48]; // its text, made once; longer paths of unix sockets are cut
    uint8_t peer_text_n;
    uint32_t linger_bytes;
    uint32_t requests;
    uint8_t state;
    uint8_t end; // enum rw_end: why it is to close; END_OK: not yet
    bool in_handler;
    bool answered; // the last of the present answer is being sent, or was
    bool proxied; // the proxy protocol's header was read
    bool fiber_ended;
};

struct h1_call {
    struct call call;
    struct h1_conn *conn;
    struct io_buf *body; // the whole body, or the piece handed out
    struct http_chunked chunked;
    uint64_t body_left;
    uint64_t body_read;
    uint64_t length; // of the answer's body, or CALL_CHUNKED
    struct span head; // of the answer, as it will be sent
    uint8_t chunk_size[HTTP_CHUNK_SIZE_BYTES_MAX];
    bool close; // behind this answer
    bool continued; // 100 was sent, or need not be
    bool body_broken; // what follows on the connection cannot be found
    bool collect; // writes are put together in `collected` instead of being sent
    struct span collected;
};

// h1_call.c
extern const struct call_ops h1_call_ops;
void h1_call_begin(struct h1_call *c);
// After the handler: what is left of the request's body is dropped. True: the connection may serve another request.
bool h1_call_finish(struct h1_call *c);

#endif
