// See mock.h: bytes to the wire.
#include "bench/mock/mock.h"

int wire_wait(struct conn *c, int64_t ns)
{
    if (ns <= 0) return 0;
    const int r = fiber_sleep(mock.loop.now_ns + ns);
    if (r < 0) c->gone = true;
    return r;
}

void wire_cut(struct conn *c, bool reset)
{
    if (c->closed_by_us) return;
    c->closed_by_us = true;
    c->keep = false;
    c->reset = reset;
    if (reset) {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->s.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
}

static int send_now(struct conn *c, const void *p, size_t n)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    const int r = io_stream_send(&c->s, &iov, 1, false, CLOCK_NEVER);
    if (r < 0) {
        c->gone = true;
        return r;
    }
    if (c->entry) {
        if (!c->entry->first_ns) c->entry->first_ns = mock.loop.now_ns;
        c->entry->bytes_sent += n;
    }
    return 0;
}

int wire_send(struct conn *c, const void *p, size_t n)
{
    if (c->closed_by_us || c->gone) return -EPIPE;
    const uint8_t *at = p;
    bool end = false;
    if (c->o.close_at >= 0 && c->wire_bytes + n >= (uint64_t)c->o.close_at) {
        n = (size_t)c->o.close_at - (size_t)c->wire_bytes;
        end = true;
    }
    c->wire_bytes += n;
    if (c->copy) text_add(c->copy, p, n);
    const size_t piece = c->o.drip_ns ? 1 : c->o.split > 0 ? (size_t)c->o.split : n;
    while (n > 0) {
        const size_t now = n < piece ? n : piece;
        const int r = send_now(c, at, now);
        if (r < 0) return r;
        at += now;
        n -= now;
        if (c->o.drip_ns && wire_wait(c, c->o.drip_ns) < 0) return -ECANCELED;
        // A turn between two writes, so that they are two segments.
        if (c->o.split > 0 && n > 0 && fiber_yield() < 0) return -ECANCELED;
    }
    if (end) {
        wire_cut(c, false);
        return -EPIPE;
    }
    return 0;
}
