// See dial.h.
#include "io/dial.h"

#include "base/list.h"

struct attempt {
    struct io_op op;
    struct dial *dial;
    int fd;
    int res; // when it is no longer submitted
};

struct dial {
    struct io_loop *loop;
    struct fiber_event changed; // an attempt has ended
    uint32_t begun;
    uint32_t running;
    struct attempt at[IO_DIAL_MAX];
};

uint32_t io_dial_order(const struct io_addr *in, uint32_t n, struct io_addr *out, uint32_t cap)
{
    uint32_t next[2] = {0, 0}, made = 0;
    if (n == 0) return 0;
    const sa_family_t first = in[0].sa.sa_family;
    for (uint32_t turn = 0; made < n && made < cap; turn ^= 1) {
        uint32_t i = next[turn];
        while (i < n && (in[i].sa.sa_family == first) != (turn == 0)) i++;
        next[turn] = i < n ? i + 1 : n;
        if (i < n) out[made++] = in[i];
    }
    return made;
}

static void ended(struct io_op *op, int32_t res, uint32_t flags)
{
    struct attempt *a = LIST_OWNER(op, struct attempt, op);
    (void)flags;
    a->res = res;
    a->dial->running--;
    fiber_event_set(&a->dial->changed);
}

static void begin(struct dial *d, const struct io_addr *peer, const struct io_addr *bind_to)
{
    struct attempt *a = &d->at[d->begun++];
    struct io_driver *driver = d->loop->driver;
    *a = (struct attempt){.dial = d, .fd = driver->ops->socket(driver, peer, bind_to)};
    a->res = a->fd;
    if (a->fd < 0) return; // such as a family that this machine does not have
    io_op_open(d->loop, &a->op, IO_OP_CONNECT, a->fd, ended);
    a->op.connect.sa = &peer->sa;
    a->op.connect.n = peer->n;
    d->running++;
    io_submit(d->loop, &a->op);
}

// The index of an attempt that succeeded; -1: none has. *err: of the one that failed last.
static int winner(const struct dial *d, int *err)
{
    for (uint32_t i = 0; i < d->begun; i++) {
        const struct attempt *a = &d->at[i];
        if (a->fd >= 0 && a->op.submitted) continue;
        if (a->res >= 0) return (int)i;
        *err = a->res;
    }
    return -1;
}

// Every attempt but `kept` (-1: all) is given up.
static void give_up(struct dial *d, int kept)
{
    for (uint32_t i = 0; i < d->begun; i++)
        if (d->at[i].fd >= 0 && d->at[i].op.submitted) io_cancel(d->loop, &d->at[i].op);
    fiber_shield();
    while (d->running > 0) {
        fiber_event_clear(&d->changed);
        const int r = fiber_wait(&d->changed, CLOCK_NEVER);
        MUST(r == 0);
    }
    fiber_unshield();
    for (uint32_t i = 0; i < d->begun; i++) {
        if (d->at[i].fd < 0) continue;
        io_op_close(d->loop, &d->at[i].op);
        if ((int)i != kept) d->loop->driver->ops->fd_close(d->loop->driver, d->at[i].fd);
    }
}

// A short time limit is shared, so that every address is tried.
static int64_t delay_of(const struct io_loop *loop, uint32_t n, int64_t deadline_ns)
{
    const int64_t share = deadline_ns == CLOCK_NEVER ? IO_DIAL_DELAY_NS : (deadline_ns - loop->now_ns) / n;
    return share < IO_DIAL_DELAY_NS ? share : IO_DIAL_DELAY_NS;
}

int io_dial(struct io_loop *loop, const struct io_addr *addr, uint32_t n, const struct io_addr *bind_to,
            int64_t deadline_ns, uint32_t *ret_which)
{
    struct dial d = {.loop = loop};
    int err = -EHOSTUNREACH, kept = -1, r = 0;
    const int64_t delay = delay_of(loop, n, deadline_ns);
    int64_t next_ns = loop->now_ns;
    MUST(n > 0 && n <= IO_DIAL_MAX);
    fiber_event_init(&d.changed);
    while ((kept = winner(&d, &err)) < 0 && (d.begun < n || d.running > 0)) {
        if (d.begun < n && (d.running == 0 || loop->now_ns >= next_ns)) {
            begin(&d, &addr[d.begun], bind_to);
            next_ns = loop->now_ns + delay;
            continue;
        }
        const uint32_t running = d.running;
        fiber_event_clear(&d.changed);
        r = fiber_wait(&d.changed, d.begun < n ? clock_earlier(next_ns, deadline_ns) : deadline_ns);
        if (r == -ECANCELED || (r == -ETIME && loop->now_ns >= deadline_ns)) break;
        // One that failed makes room for the next.
        if (d.running < running) next_ns = loop->now_ns;
        r = 0;
    }
    if (r < 0) kept = winner(&d, &err);
    give_up(&d, kept);
    if (kept < 0) return r < 0 ? r : err;
    *ret_which = (uint32_t)kept;
    return d.at[kept].fd;
}
