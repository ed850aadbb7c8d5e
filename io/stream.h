// A connected stream socket: what was received and not yet read, one send at a time, and an orderly end.
//
// Receiving  The stream owns its receive operation and a queue of received buffers. A fiber waits on the queue, so a deadline
//            ends the wait, not the receive, and no byte is lost. Two ways: IO_STREAM_MANY (clients) keeps a multishot
//            receive armed, so that a peer that leaves is noticed at any time, and cancels it above IO_UNREAD_BYTES_MAX;
//            IO_STREAM_ONCE (upstreams) receives only when somebody wants to read and the queue is empty, so that
//            back-pressure reaches the peer.
// Sending    One send at a time, gathered; the memory must stay untouched until it is done. io_stream_send() sees to that
//            itself, also when it is cancelled or late (the stream is then broken for sending).
// Filter     What goes over the socket may be another form of what is read and written (TLS, in net/): a filter stands between
//            the socket and the queue, and between a send and the socket. All the rest of this page holds with one, too.
// Ending     io_stream_close() never blocks: terminate, join (the last completions), release, then on_closed().
//
// Owner    whoever embeds it. Nothing may be freed between open and on_closed().
// Thread   the loop's. Functions with a deadline suspend the calling fiber; all others do not.
// Errors   counts or negative errno; -ETIME and -ECANCELED leave a stream readable.
#ifndef RINGWAY_IO_STREAM_H
#define RINGWAY_IO_STREAM_H

#include "io/loop.h"

struct io_stream;

enum io_stream_mode { IO_STREAM_ONCE, IO_STREAM_MANY };

// None of these may suspend or close the stream.
struct io_filter {
    // A buffer that was received, given up by the stream: what is to be read goes to io_stream_push(). Sets eof or rx_err when
    // its contents say so.
    void (*received)(struct io_stream *s, struct io_buf *b);
    // The socket's end came. Sets `cut` if it was not the end that the peer should have said.
    void (*ended)(struct io_stream *s);
    // A send begins: next() is asked for pieces until it returns 0 (or a negative errno), each good until the next call; then,
    // or when it broke off, sent() releases what that took and returns whether all of it was handed out. *ret_last: it was the
    // last piece.
    void (*send)(struct io_stream *s, const struct iovec *iov, uint32_t n);
    int (*next)(struct io_stream *s, struct iovec *ret, bool *ret_last);
    bool (*sent)(struct io_stream *s);
    // Last words, at most IO_GOODBYE_BYTES_MAX; returns their number.
    uint32_t (*goodbye)(struct io_stream *s, uint8_t *out);
    void (*release)(struct io_stream *s);
};

#define IO_GOODBYE_BYTES_MAX 64

struct io_stream {
    struct io_loop *loop;
    const struct io_filter *filter; // NULL: none
    void *filter_ctx;
    struct iovec filtered; // the piece being sent
    int fd; // -1: not open
    int rx_err; // negative errno that ended receiving
    int tx_err; // negative errno that broke sending
    int tx_res; // of the send that completed last
    uint8_t group;
    uint8_t mode;
    bool patient; // the present send
    bool eof; // the peer ended its side
    bool cut; // and the filter knows that it was not the real end
    bool closing;
    uint32_t unread; // bytes in the queue
    uint32_t region_need; // bytes to receive into the first buffer, which is a region; 0: none
    struct io_buf *first, *last;
    struct fiber_event readable; // set on arrival, end or error; cleared by whoever waits for more
    struct fiber_event sent; // set while no send is in flight
    struct io_op rx, tx;
    struct list rx_starved; // in the group's list while no buffer could be had
    uint64_t bytes_in, bytes_out;
    // All run on the loop and must not suspend; on_rx may be NULL.
    void (*on_rx)(struct io_stream *s); // after each arrival, the end, or an error
    void (*on_tx)(struct io_stream *s); // after a send or a connect, for who is no fiber; may be NULL
    void (*on_closed)(struct io_stream *s);
};

// Takes an accepted or connected descriptor over. Receiving begins with io_stream_want().
void io_stream_open(struct io_stream *s, struct io_loop *loop, int fd, enum io_stream_mode mode,
                    enum io_group_id group);
// Connects; on success the stream is open. Otherwise a negative errno, and it is not.
int io_stream_connect(struct io_stream *s, struct io_loop *loop, const struct io_addr *peer,
                      const struct io_addr *bind_to, enum io_stream_mode mode, enum io_group_id group,
                      int64_t deadline_ns) RW_WARN_UNUSED;
void io_stream_close(struct io_stream *s);

// Sees that a receive is under way if one may be.
void io_stream_want(struct io_stream *s);
// Suspends until more than `have` bytes are unread: 1. The end came first: 0. Else a negative errno.
int io_stream_fill(struct io_stream *s, uint32_t have, int64_t deadline_ns) RW_WARN_UNUSED;
// Makes the first `need` bytes lie together in the first buffer, or as many of them as are there, with room for the rest:
// what is missing will be received straight into place. RW_E_BUDGET if there is no memory for it.
enum rw_err io_stream_join(struct io_stream *s, uint32_t need) RW_WARN_UNUSED;
// The unread bytes of the first buffer.
static inline struct span io_stream_front(const struct io_stream *s)
{
    return s->first ? io_buf_span(s->first) : (struct span){NULL, 0};
}
// The same, to be changed in place.
static inline uint8_t *io_stream_front_bytes(struct io_stream *s)
{
    return s->first->data + s->first->off;
}
// Drops n bytes of the first buffer.
void io_stream_consume(struct io_stream *s, uint32_t n);
// Takes the first buffer off the queue; the caller frees it by io_buf_free(). NULL if there is none.
struct io_buf *io_stream_take(struct io_stream *s);
// Takes the first n bytes (which lie in the first buffer) as a buffer that holds nothing else; what follows them in the same
// buffer is copied to another. NULL: no memory for that.
struct io_buf *io_stream_take_bytes(struct io_stream *s, uint32_t n);
// Puts bytes back in front of the queue, from a buffer that the caller gives up.
void io_stream_untake(struct io_stream *s, struct io_buf *b);

// Starts a send; iov and what it points to stay valid until `sent` is set. Never while one is in flight. patient: when it is
// done, nothing urgent is done that does not wait for something else, too; `sent` may be set up to IO_PATIENCE_NS later.
void io_stream_send_start(struct io_stream *s, struct iovec *iov, uint32_t n, bool patient);
// Waits for it: 0, or a negative errno. When the deadline passes or the fiber is cancelled, the send is cancelled and joined.
int io_stream_send_join(struct io_stream *s, int64_t deadline_ns) RW_WARN_UNUSED;
static inline int RW_WARN_UNUSED io_stream_send(struct io_stream *s, struct iovec *iov, uint32_t n,
                                                bool patient, int64_t deadline_ns)
{
    io_stream_send_start(s, iov, n, patient);
    return io_stream_send_join(s, deadline_ns);
}
// Bytes past the filter, as many as the socket takes at once: last words before a close. No send is in flight.
void io_stream_send_now(struct io_stream *s, const void *p, uint32_t n);
// Says FIN to the peer; no send may follow.
void io_stream_shutdown_write(struct io_stream *s);

// From now on everything goes through the filter, what is in the queue included.
void io_stream_filter(struct io_stream *s, const struct io_filter *filter, void *ctx);
// For filters: a buffer with bytes to be read.
void io_stream_push(struct io_stream *s, struct io_buf *b);

// For buf.c.
void io_stream_rearm_starved(struct list *starved);

#endif
