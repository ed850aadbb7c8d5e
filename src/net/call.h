// A call: one request of a client and the way to answer it, whatever carried it (HTTP/1.1 now; HTTP/2 and the simulator are
// other implementations). The gateway sees nothing of the connection below it.
//
// Life     The carrier parses the head, makes the call in an arena of its own, and runs the handler in a fiber. The handler
//          reads the body, replies once, and returns. Everything the call hands out lives until the handler returns, but
//          for what a later sentence says.
// Gone     When the client leaves (end or reset, half-close included), the fiber's scope is cancelled with END_CLIENT_GONE:
//          all waits return -ECANCELED, call functions too.
// Bad      A head that cannot be served comes as a call with `bad` set: the handler words the error (net/ never does), the
//          connection is closed behind it.
// Full     When there is no fiber or no memory for a request, the handler is called all the same, with `bad` END_OVERLOADED,
//          perhaps outside of any fiber: its writes are collected and sent behind its back, nothing suspends. The head may
//          be whole then (call_has_head()), so that the answer can be worded in the dialect of its route.
// Thread   the loop's; functions with a deadline suspend the calling fiber.
// Errors   0 or a negative errno / RW_E_*: RW_E_BAD the client broke the protocol (call->bad_reason says how),
//          RW_E_TOO_LARGE, RW_E_BUDGET, -ETIME, -ECANCELED.
#ifndef RINGWAY_NET_CALL_H
#define RINGWAY_NET_CALL_H

#include "base/arena.h"
#include "io/loop.h"
#include "wire/http.h"

struct call;

// A field of the answer's head; the name is our own, a value that would break the head is a programmer error.
// Needed during reply_start() only.
struct call_field {
    struct span name, value;
};

#define CALL_CHUNKED UINT64_MAX
#define CALL_FIELDS_MAX 24
#define CALL_LINES_MAX 5

struct call_reply {
    // Whole lines that are known to be right, in front of the fields. Needed during reply_start() only.
    struct span lines[CALL_LINES_MAX];
    uint32_t line_count;
    const struct call_field *fields;
    uint32_t field_count;
    uint16_t status;
    bool close; // end the connection behind this answer
    uint64_t length; // of the body, or CALL_CHUNKED when it is not known
};

struct call_ops {
    // The whole body in one region that stays until body_release(). Bounded by max bytes.
    enum rw_err (*body_whole)(struct call *c, uint64_t max, int64_t deadline_ns, struct span *ret);
    // The next piece of the body: 1, or 0 at its end. The piece may be changed in place and lives until the next call.
    // max bounds the sum.
    int (*body_read)(struct call *c, uint64_t max, int64_t deadline_ns, struct span *ret);
    void (*body_release)(struct call *c);
    // Remembers the head; it leaves with the first bytes of the body, or with reply_end().
    void (*reply_start)(struct call *c, const struct call_reply *reply);
    // Sends a piece of the body (n at most CALL_IOV_MAX); `last`: nothing follows. Suspends until the kernel has all of it.
    int (*reply_write)(struct call *c, const struct iovec *iov, uint32_t n, bool last, int64_t deadline_ns);
    // An interim answer to Expect: 100-continue, if the client waits for one. Done by body_whole() and body_read() too.
    int (*reply_continue)(struct call *c, int64_t deadline_ns);
    // The answer cannot be completed: the client must not take it for whole. Ends the connection without an ending.
    void (*reply_break)(struct call *c);
    // Whose certificate the client has shown: tls_peer.id; 0: none that is known.
    uint64_t (*peer)(const struct call *c);
};

#define CALL_IOV_MAX 64

struct call {
    const struct call_ops *ops;
    struct io_loop *loop;
    struct arena *arena;
    struct http_head head; // of the request; offsets into head.base, which lives as long as the call
    struct http_framing framing;
    struct io_addr client; // after proxy protocol and trusted X-Forwarded-For
    struct span client_text; // the same without its port, for people; empty: unknown
    enum rw_end bad; // END_OK: the head is good
    const char *bad_reason;
    int64_t started_ns; // first byte of the head
    int64_t head_ns; // the head was whole
    int64_t first_byte_ns; // of the answer given to the kernel; 0: none yet
    uint64_t body_in; // bytes of the request's body that were read, framing not counted
    uint16_t status; // of the answer; 0: not started
    bool body_done; // all of it was read
    bool replied; // reply_start() was called
    bool head_sent;
    bool ended; // the answer is complete
    bool recorded; // the handler has seen this request and its end: now only words are wanted
    bool broken; // reply_break(), or the client cannot be reached any more
    void *carrier; // the implementation's own
};

// The fields of head mean something.
static inline bool call_has_head(const struct call *c)
{
    return c->bad == END_OK || (c->bad == END_OVERLOADED && c->head.bytes > 0);
}

#endif
