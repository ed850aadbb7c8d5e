// See loop.h.
#include "io/loop.h"

#include "base/limits.h"

#define SLOTS_BYTES (IO_OPS_MAX * sizeof(struct io_op *))
#define SLOT_NEXT_BYTES (IO_OPS_MAX * sizeof(uint32_t))
#define SLOT_NONE UINT32_MAX

enum rw_err io_loop_open(struct io_loop *loop, struct io_driver *driver, const struct io_loop_cfg *cfg)
{
    *loop = (struct io_loop){.driver = driver, .budget = cfg->budget, .slot_free = SLOT_NONE};
    struct io_time t;
    driver->ops->clock(driver, &t);
    loop->now_ns = t.now_ns;
    loop->wall_ns = t.wall_ns;
    io_timers_init(&loop->timers, t.now_ns);
    loop->slots = io_reserve(SLOTS_BYTES);
    loop->slot_next = io_reserve(SLOT_NEXT_BYTES);
    enum rw_err err = loop->slots && loop->slot_next ? RW_OK : (enum rw_err) - ENOMEM;
    if (!err) err = fiber_pool_open(&loop->fibers, loop, cfg->fibers_max);
    if (!err && cfg->buffers) {
        err = io_group_open(&loop->group[IO_GROUP_CLIENT], loop, IO_GROUP_CLIENT, cfg->buffers,
                            IO_CLIENT_BUFFER_BYTES);
        if (!err)
            err = io_group_open(&loop->group[IO_GROUP_UPSTREAM], loop, IO_GROUP_UPSTREAM, cfg->buffers,
                                IO_UPSTREAM_BUFFER_BYTES);
    }
    if (err) io_loop_close(loop);
    return err;
}

void io_loop_close(struct io_loop *loop)
{
    MUST(loop->ops_in_flight == 0);
    fiber_pool_close(&loop->fibers);
    // The ring goes first: its buffers must not be freed under it.
    loop->driver->ops->close(loop->driver);
    loop->driver = NULL;
    for (int i = 0; i < IO_GROUPS; i++)
        if (loop->group[i].loop) io_group_close(&loop->group[i]);
    io_regions_close(loop);
    io_reserve_free(loop->slots, SLOTS_BYTES);
    io_reserve_free(loop->slot_next, SLOT_NEXT_BYTES);
    loop->slots = NULL;
    loop->slot_next = NULL;
}

// --- Operations.

void io_op_open(struct io_loop *loop, struct io_op *op, uint8_t kind, int fd,
                void (*done)(struct io_op *op, int32_t res, uint32_t flags))
{
    *op = (struct io_op){.kind = kind, .fd = fd, .done = done};
    if (loop->slot_free != SLOT_NONE) {
        op->slot = loop->slot_free;
        loop->slot_free = loop->slot_next[op->slot];
    } else {
        MUST(loop->slots_made < IO_OPS_MAX);
        op->slot = loop->slots_made++;
    }
    loop->slots[op->slot] = op;
}

void io_op_close(struct io_loop *loop, struct io_op *op)
{
    if (!op->done) return;
    MUST(!op->submitted && loop->slots[op->slot] == op);
    loop->slots[op->slot] = NULL;
    loop->slot_next[op->slot] = loop->slot_free;
    loop->slot_free = op->slot;
    op->done = NULL;
}

void io_submit(struct io_loop *loop, struct io_op *op)
{
    MUST(!op->submitted && op->done);
    op->submitted = true;
    op->cancelling = false;
    loop->ops_in_flight++;
    loop->driver->ops->submit(loop->driver, op);
}

void io_cancel(struct io_loop *loop, struct io_op *op)
{
    if (!op->submitted || op->cancelling) return;
    op->cancelling = true;
    loop->driver->ops->cancel(loop->driver, op);
}

// --- Turning.

void io_loop_post(struct io_loop *loop, struct io_mail *mail)
{
    struct io_mail *head = atomic_load_explicit(&loop->mail, memory_order_relaxed);
    do {
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mail, &head, mail, memory_order_release,
                                                    memory_order_relaxed));
    // Whoever finds the box empty wakes; later letters find the waking on its way.
    if (!head) loop->driver->ops->wake(loop->driver);
}

void io_loop_mail(struct io_loop *loop)
{
    if (RW_LIKELY(!atomic_load_explicit(&loop->mail, memory_order_relaxed))) return;
    struct io_mail *m = atomic_exchange_explicit(&loop->mail, NULL, memory_order_acquire);
    struct io_mail *in_order = NULL;
    while (m) {
        struct io_mail *next = m->next;
        m->next = in_order;
        in_order = m;
        m = next;
    }
    while (in_order) {
        struct io_mail *next = in_order->next;
        in_order->open(loop, in_order);
        in_order = next;
    }
}

void io_loop_turn(struct io_loop *loop, int64_t deadline_ns)
{
    struct io_completion done[IO_COMPLETIONS_PER_TURN / 4];
    fiber_run_ready(&loop->fibers);
    if (loop->fibers.ready || atomic_load_explicit(&loop->mail, memory_order_relaxed)) deadline_ns = 0;
    else deadline_ns = clock_earlier(deadline_ns, io_timers_next(&loop->timers));

    int left = IO_COMPLETIONS_PER_TURN;
    int n;
    do {
        n = loop->driver->ops->turn(loop->driver, deadline_ns, done, (int)(sizeof done / sizeof *done));
        struct io_time t;
        loop->driver->ops->clock(loop->driver, &t);
        loop->now_ns = t.now_ns;
        loop->wall_ns = t.wall_ns;
        for (int i = 0; i < n; i++) {
            struct io_op *op = done[i].op;
            if (!(done[i].flags & IO_MORE)) {
                MUST(op->submitted);
                op->submitted = false;
                loop->ops_in_flight--;
            }
            op->done(op, done[i].res, done[i].flags);
        }
        loop->completions += (uint64_t)n;
        left -= n;
        deadline_ns = 0;
    } while (n == (int)(sizeof done / sizeof *done) && left > 0);

    io_timers_run(&loop->timers, loop->now_ns);
    io_loop_mail(loop);
    for (int i = 0; i < IO_GROUPS; i++) {
        struct io_group *g = &loop->group[i];
        // What few hold for a moment comes back to the ring by itself. The starved are woken also when that made it full again.
        if (g->in_ring < g->low || (g->count > 0 && !list_empty(&g->starved))) io_group_top_up(g);
    }
    atomic_store_explicit(&loop->turns, atomic_load_explicit(&loop->turns, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}
