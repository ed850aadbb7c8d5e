// See stream.h.
#include "io/stream.h"

#include <stdlib.h>

// A paused multishot receive goes on when this much is left unread.
#define UNREAD_LOW (IO_UNREAD_BYTES_MAX / 2)

static void finish_close(struct io_stream *s);

// --- The queue.

void io_stream_push(struct io_stream *s, struct io_buf *b)
{
    b->next = NULL;
    if (s->last) s->last->next = b;
    else s->first = b;
    s->last = b;
    s->unread += b->len;
}

static struct io_buf *pop(struct io_stream *s)
{
    struct io_buf *b = s->first;
    if (!b) return NULL;
    s->first = b->next;
    if (!s->first) s->last = NULL;
    s->unread -= b->len;
    b->next = NULL;
    return b;
}

void io_stream_consume(struct io_stream *s, uint32_t n)
{
    struct io_buf *b = s->first;
    MUST(b && n <= b->len);
    b->off += n;
    b->len -= n;
    s->unread -= n;
    // A region that is still being filled stays, and lacks no more than before.
    if (s->region_need > 0) s->region_need -= n;
    if (b->len == 0 && s->region_need == 0) io_buf_free(s->loop, pop(s));
}

struct io_buf *io_stream_take(struct io_stream *s)
{
    MUST(s->region_need == 0);
    return pop(s);
}

void io_stream_untake(struct io_stream *s, struct io_buf *b)
{
    b->next = s->first;
    s->first = b;
    if (!s->last) s->last = b;
    s->unread += b->len;
}

struct io_buf *io_stream_take_bytes(struct io_stream *s, uint32_t n)
{
    struct io_buf *b = s->first;
    MUST(b && n <= b->len && s->region_need == 0);
    if (n == b->len) return pop(s);
    const uint32_t rest = b->len - n;
    struct io_buf *tail = io_buf_region(s->loop, rest);
    if (!tail) return NULL;
    memcpy(tail->data, b->data + b->off + n, rest);
    tail->len = rest;
    pop(s);
    b->len = n;
    io_stream_untake(s, tail);
    return b;
}

enum rw_err io_stream_join(struct io_stream *s, uint32_t need)
{
    struct io_buf *b = s->first;
    MUST(s->region_need == 0 && s->rx.kind != IO_OP_RECV_INTO);
    if (b && b->len >= need) return RW_OK;
    if (!b || need > b->cap - b->off) {
        struct io_buf *region = io_buf_region(s->loop, need);
        if (!region) return RW_E_BUDGET;
        if (b) {
            memcpy(region->data, b->data + b->off, b->len);
            region->len = b->len;
            io_buf_free(s->loop, pop(s));
        }
        io_stream_untake(s, region);
        b = region;
    }
    while (b->next && b->len < need) {
        struct io_buf *from = b->next;
        const uint32_t lacks = need - b->len, n = from->len < lacks ? from->len : lacks;
        memcpy(b->data + b->off + b->len, from->data + from->off, n);
        b->len += n;
        from->off += n;
        from->len -= n;
        if (from->len > 0) break;
        b->next = from->next;
        if (!b->next) s->last = b;
        io_buf_free(s->loop, from);
    }
    // The rest is received into place; small rests are not worth stopping a multishot receive for.
    if (b->len < need && need - b->len > IO_CLIENT_BUFFER_BYTES) {
        s->region_need = need;
        // Through a filter it is moved into place as it comes.
        if (s->rx.submitted && !s->filter) io_cancel(s->loop, &s->rx);
    }
    return RW_OK;
}

// --- Receiving.

// demanded: somebody waits for more than is there, so that a pause must not be for ever. He gets a buffer at a time.
static void receive(struct io_stream *s, bool demanded)
{
    if (s->rx.submitted || s->eof || s->rx_err || s->closing || !list_empty(&s->rx_starved)) return;
    if (s->region_need > 0 && !s->filter) {
        struct io_buf *b = s->first;
        MUST(b && s->last == b && b->len < s->region_need);
        s->rx.kind = IO_OP_RECV_INTO;
        s->rx.into.p = b->data + b->off + b->len;
        s->rx.into.n = s->region_need - b->len;
    } else {
        const bool paused = s->mode == IO_STREAM_MANY && s->unread > UNREAD_LOW;
        if (paused && !demanded) return;
        s->rx.kind = s->mode == IO_STREAM_MANY && !paused ? IO_OP_RECV_MANY : IO_OP_RECV;
    }
    io_submit(s->loop, &s->rx);
}

void io_stream_want(struct io_stream *s)
{
    receive(s, false);
}

static void received_into(struct io_stream *s, int32_t res)
{
    struct io_buf *b = s->first;
    s->rx.kind = IO_OP_NONE;
    if (res <= 0) return;
    b->len += (uint32_t)res;
    s->unread += (uint32_t)res;
    if (b->len >= s->region_need) s->region_need = 0;
}

static void rx_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct io_stream *s = LIST_OWNER(op, struct io_stream, rx);
    struct io_group *g = &s->loop->group[s->group];
    if (op->kind == IO_OP_RECV_INTO) {
        received_into(s, res);
    } else if (flags & IO_BUFFER) {
        struct io_buf *b = io_group_taken(g, io_completion_buffer(flags), res > 0 ? (uint32_t)res : 0);
        if (res <= 0 || s->closing) io_buf_free(s->loop, b);
        else if (s->filter) s->filter->received(s, b);
        else io_stream_push(s, b);
    }
    if (s->closing) {
        finish_close(s);
        return;
    }
    if (res > 0) {
        s->bytes_in += (uint32_t)res;
        // What arrived between the decision for a region and the end of the multishot receive belongs into it.
        if (s->region_need > 0 && s->first && s->first->next) {
            const uint32_t need = s->region_need;
            s->region_need = 0;
            const enum rw_err joined = io_stream_join(s, need);
            MUST(joined == RW_OK); // its room is there already
        }
        if (s->mode == IO_STREAM_MANY && s->unread > IO_UNREAD_BYTES_MAX) io_cancel(s->loop, op);
    } else if (res == 0) {
        if (s->filter && !s->eof) s->filter->ended(s);
        s->eof = true;
    } else if (res == -ENOBUFS) {
        g->starved_n++;
        list_push_back(&g->starved, &s->rx_starved);
        return;
    } else if (res != -ECANCELED || !op->cancelling) {
        s->rx_err = res;
    }
    // The filter may have found the end behind which nothing is wanted.
    if (op->submitted && (s->eof || s->rx_err)) io_cancel(s->loop, op);
    if (!op->submitted && !s->eof && !s->rx_err && (s->mode == IO_STREAM_MANY || s->region_need > 0))
        io_stream_want(s);
    fiber_event_set(&s->readable);
    if (s->on_rx) s->on_rx(s);
}

void io_stream_filter(struct io_stream *s, const struct io_filter *filter, void *ctx)
{
    MUST(!s->filter && s->region_need == 0 && !s->tx.submitted);
    s->filter = filter;
    s->filter_ctx = ctx;
    struct io_buf *b, *all = NULL, **end = &all;
    while ((b = pop(s))) {
        *end = b;
        end = &b->next;
    }
    while ((b = all)) {
        all = b->next;
        b->next = NULL;
        filter->received(s, b);
    }
    if (s->eof) filter->ended(s);
}

void io_stream_rearm_starved(struct list *starved)
{
    struct list now;
    list_init(&now);
    struct list *node;
    while ((node = list_pop_front(starved))) list_push_back(&now, node);
    while ((node = list_pop_front(&now))) {
        struct io_stream *s = LIST_OWNER(node, struct io_stream, rx_starved);
        io_stream_want(s);
        if (!s->rx.submitted) fiber_event_set(&s->readable); // paused, but who waits may demand more
    }
}

int io_stream_fill(struct io_stream *s, uint32_t have, int64_t deadline_ns)
{
    for (;;) {
        if (s->unread > have) return 1;
        if (s->rx_err) return s->rx_err;
        if (s->eof) return 0;
        fiber_event_clear(&s->readable);
        receive(s, true);
        const int r = fiber_wait(&s->readable, deadline_ns);
        if (r < 0) return r;
    }
}

// --- Sending.

// The next piece that the filter makes of a send. False: there is none, the send is over.
static bool send_next(struct io_stream *s)
{
    bool last = false;
    const int r = s->filter->next(s, &s->filtered, &last);
    if (r < 0) s->tx_err = r;
    if (r <= 0) return false;
    s->tx.kind = IO_OP_SEND;
    s->tx.patient = s->patient && last;
    s->tx.send = (struct msghdr){.msg_iov = &s->filtered, .msg_iovlen = 1};
    io_submit(s->loop, &s->tx);
    return true;
}

static void filtered_sent(struct io_stream *s)
{
    const bool all = s->filter->sent(s);
    if (!all && s->tx_err == 0) s->tx_err = s->tx_res = -ECANCELED;
}

static void tx_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    struct io_stream *s = LIST_OWNER(op, struct io_stream, tx);
    s->tx_res = res;
    if (res < 0) s->tx_err = res;
    else if (op->kind == IO_OP_SEND) s->bytes_out += (uint32_t)res;
    if (s->filter && op->kind == IO_OP_SEND) {
        if (res >= 0 && !s->closing && !op->cancelling && send_next(s)) return;
        filtered_sent(s);
    }
    fiber_event_set(&s->sent);
    if (s->closing) finish_close(s);
    else if (s->on_tx) s->on_tx(s);
}

void io_stream_send_start(struct io_stream *s, struct iovec *iov, uint32_t n, bool patient)
{
    MUST(!s->tx.submitted);
    s->patient = patient;
    if (s->tx_err || s->closing) {
        if (!s->tx_err) s->tx_err = -EPIPE;
        return;
    }
    if (s->filter) {
        s->filter->send(s, iov, n);
        if (send_next(s)) fiber_event_clear(&s->sent);
        else filtered_sent(s);
        return;
    }
    s->tx.kind = IO_OP_SEND;
    s->tx.patient = patient;
    s->tx.send = (struct msghdr){.msg_iov = iov, .msg_iovlen = n};
    fiber_event_clear(&s->sent);
    io_submit(s->loop, &s->tx);
}

// Waits for the operation on tx; when the wait fails, cancels and joins it.
static int tx_join(struct io_stream *s, int64_t deadline_ns)
{
    const int r = fiber_wait(&s->sent, deadline_ns);
    if (r == 0 || !s->tx.submitted) return r;
    io_cancel(s->loop, &s->tx);
    fiber_shield();
    const int joined = fiber_wait(&s->sent, CLOCK_NEVER);
    fiber_unshield();
    MUST(joined == 0);
    if (s->tx_res >= 0) return r; // it had been taken whole; still too late
    s->tx_err = s->tx_res;
    return r;
}

int io_stream_send_join(struct io_stream *s, int64_t deadline_ns)
{
    if (s->tx.submitted) {
        const int r = tx_join(s, deadline_ns);
        if (r < 0) return r;
    }
    return s->tx_err;
}

void io_stream_send_now(struct io_stream *s, const void *p, uint32_t n)
{
    MUST(!s->tx.submitted);
    s->loop->driver->ops->send_now(s->loop->driver, s->fd, p, n);
}

// Not behind half of a send, and not twice.
static void say_goodbye(struct io_stream *s)
{
    if (!s->filter || s->tx.submitted || s->tx_err) return;
    uint8_t words[IO_GOODBYE_BYTES_MAX];
    io_stream_send_now(s, words, s->filter->goodbye(s, words));
}

void io_stream_shutdown_write(struct io_stream *s)
{
    MUST(!s->tx.submitted);
    say_goodbye(s);
    s->tx_err = -EPIPE;
    s->loop->driver->ops->shutdown(s->loop->driver, s->fd, SHUT_WR);
}

// --- Beginning and end.

void io_stream_open(struct io_stream *s, struct io_loop *loop, int fd, enum io_stream_mode mode,
                    enum io_group_id group)
{
    void (*const on_rx)(struct io_stream *) = s->on_rx;
    void (*const on_tx)(struct io_stream *) = s->on_tx;
    void (*const on_closed)(struct io_stream *) = s->on_closed;
    *s = (struct io_stream){.loop = loop,
                            .fd = fd,
                            .mode = (uint8_t)mode,
                            .group = (uint8_t)group,
                            .on_rx = on_rx,
                            .on_tx = on_tx,
                            .on_closed = on_closed};
    fiber_event_init(&s->readable);
    fiber_event_init(&s->sent);
    s->sent.set = true;
    list_init(&s->rx_starved);
    io_op_open(loop, &s->rx, IO_OP_NONE, fd, rx_done);
    io_op_open(loop, &s->tx, IO_OP_NONE, fd, tx_done);
    s->rx.group = (uint8_t)group;
}

int io_stream_connect(struct io_stream *s, struct io_loop *loop, const struct io_addr *peer,
                      const struct io_addr *bind_to, enum io_stream_mode mode, enum io_group_id group,
                      int64_t deadline_ns)
{
    const int fd = loop->driver->ops->socket(loop->driver, peer, bind_to);
    if (fd < 0) return fd;
    io_stream_open(s, loop, fd, mode, group);
    s->tx.kind = IO_OP_CONNECT;
    s->tx.connect.sa = &peer->sa;
    s->tx.connect.n = peer->n;
    fiber_event_clear(&s->sent);
    io_submit(loop, &s->tx);
    int r = tx_join(s, deadline_ns);
    if (r == 0) r = s->tx_err;
    if (r == 0) return 0;
    // Nothing is in flight: released at once, without on_closed().
    io_op_close(loop, &s->rx);
    io_op_close(loop, &s->tx);
    loop->driver->ops->fd_close(loop->driver, fd);
    s->fd = -1;
    return r;
}

static void finish_close(struct io_stream *s)
{
    if (s->rx.submitted || s->tx.submitted) return;
    struct io_loop *loop = s->loop;
    s->region_need = 0;
    struct io_buf *b;
    while ((b = pop(s))) io_buf_free(loop, b);
    if (s->filter) s->filter->release(s);
    s->filter = NULL;
    list_remove(&s->rx_starved);
    io_op_close(loop, &s->rx);
    io_op_close(loop, &s->tx);
    loop->driver->ops->fd_close(loop->driver, s->fd);
    s->fd = -1;
    if (s->on_closed) s->on_closed(s);
}

void io_stream_close(struct io_stream *s)
{
    if (s->closing || s->fd < 0) return;
    say_goodbye(s);
    s->closing = true;
    if (s->rx.submitted || s->tx.submitted) {
        // A receive does not end by close(), and no FIN would be sent while it holds the file.
        s->loop->driver->ops->shutdown(s->loop->driver, s->fd, SHUT_RDWR);
        io_cancel(s->loop, &s->rx);
        io_cancel(s->loop, &s->tx);
    }
    // Whoever still waits finds out.
    s->rx_err = s->rx_err ? s->rx_err : (int)RW_E_CLOSED;
    fiber_event_set(&s->readable);
    finish_close(s);
}
