// Deadlines: a hierarchical timer wheel (Varghese and Lauck 1987), one per loop. Arming and cancelling cost a few
// instructions; a tick is about a millisecond (2^20 ns); a timer fires in the tick after its deadline, never before it.
//
// Use      io_timer_init() once; io_timer_arm() (re-arms if armed), io_timer_cancel() (harmless if not armed).
// Owner    the timer is a field of whoever waits; it must be cancelled before that is freed.
// Thread   the loop's. The handler runs on the loop, not in a fiber: it must not suspend. It may arm and cancel any timer.
#ifndef RINGWAY_IO_TIMER_H
#define RINGWAY_IO_TIMER_H

#include "base/clock.h"
#include "base/list.h"

#define TIMER_TICK_SHIFT 20
#define TIMER_LEVELS 4
#define TIMER_SLOTS 64

struct io_timer {
    struct list node; // of its slot; unlinked: not armed
    int64_t deadline_ns;
    uint16_t place; // level * TIMER_SLOTS + slot, while armed
    void (*fire)(struct io_timer *t);
};

struct io_timers {
    int64_t tick; // all ticks up to this one were handled
    int64_t look; // no slot has to be looked at before this tick; INT64_MAX: never
    uint64_t used[TIMER_LEVELS]; // bit: the slot is not empty
    struct list slot[TIMER_LEVELS][TIMER_SLOTS];
};

void io_timers_init(struct io_timers *w, int64_t now_ns);
void io_timer_init(struct io_timer *t, void (*fire)(struct io_timer *t));
void io_timer_arm(struct io_timers *w, struct io_timer *t, int64_t deadline_ns);
void io_timer_cancel(struct io_timers *w, struct io_timer *t);

static inline bool io_timer_armed(const struct io_timer *t)
{
    return t->node.next != &t->node;
}

// Fires what is due at now_ns.
void io_timers_run_due(struct io_timers *w, int64_t now_ns);
static inline void io_timers_run(struct io_timers *w, int64_t now_ns)
{
    const int64_t tick = now_ns >> TIMER_TICK_SHIFT;
    if (tick >= w->look) io_timers_run_due(w, now_ns);
    else if (tick > w->tick) w->tick = tick;
}

// When the loop must run again at the latest, never later than a tick after the first deadline; CLOCK_NEVER: nothing is armed.
// May be earlier: a level has to be sorted into the one below, or what was armed has been cancelled since.
static inline int64_t io_timers_next(const struct io_timers *w)
{
    return w->look == INT64_MAX ? CLOCK_NEVER : w->look << TIMER_TICK_SHIFT;
}

#endif
