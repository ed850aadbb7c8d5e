// See timer.h. Level l holds timers that fall due within 64^(l+1) ticks, in slots of 64^l ticks each. When the tick passes
// the start of a higher slot, that slot is sorted again into the levels below.
#include "io/timer.h"

#include "base/check.h"

#define LEVEL_BITS 6
#define TICKS_MAX ((INT64_C(1) << (LEVEL_BITS * TIMER_LEVELS)) - 1)

static_assert(TIMER_SLOTS == 1 << LEVEL_BITS, "a slot index is LEVEL_BITS bits of the tick");

void io_timers_init(struct io_timers *w, int64_t now_ns)
{
    w->tick = now_ns >> TIMER_TICK_SHIFT;
    w->look = INT64_MAX;
    for (int l = 0; l < TIMER_LEVELS; l++) {
        w->used[l] = 0;
        for (int s = 0; s < TIMER_SLOTS; s++) list_init(&w->slot[l][s]);
    }
}

void io_timer_init(struct io_timer *t, void (*fire)(struct io_timer *t))
{
    list_init(&t->node);
    t->deadline_ns = CLOCK_NEVER;
    t->place = 0;
    t->fire = fire;
}

static void place(struct io_timers *w, struct io_timer *t)
{
    // Rounded up: a timer never fires before its deadline.
    int64_t due = (t->deadline_ns >> TIMER_TICK_SHIFT) + 1;
    if (due <= w->tick) due = w->tick + 1;
    if (due - w->tick > TICKS_MAX) due = w->tick + TICKS_MAX; // looked at again then
    // The level is where the due tick and the present one first differ.
    const uint64_t differ = (uint64_t)due ^ (uint64_t)w->tick;
    const int level = (63 - __builtin_clzll(differ)) / LEVEL_BITS;
    // A carry beyond the highest level: its slot is still ahead of the present one, modulo the wheel.
    const int l = level < TIMER_LEVELS ? level : TIMER_LEVELS - 1;
    const int s = (int)((due >> (l * LEVEL_BITS)) & (TIMER_SLOTS - 1));
    t->place = (uint16_t)(l * TIMER_SLOTS + s);
    w->used[l] |= UINT64_C(1) << s;
    list_push_back(&w->slot[l][s], &t->node);
    const int64_t look = due >> (l * LEVEL_BITS) << (l * LEVEL_BITS);
    if (look < w->look) w->look = look;
}

void io_timer_cancel(struct io_timers *w, struct io_timer *t)
{
    if (!io_timer_armed(t)) return;
    const int l = t->place / TIMER_SLOTS, s = t->place % TIMER_SLOTS;
    list_remove(&t->node);
    if (list_empty(&w->slot[l][s])) w->used[l] &= ~(UINT64_C(1) << s);
}

void io_timer_arm(struct io_timers *w, struct io_timer *t, int64_t deadline_ns)
{
    io_timer_cancel(w, t);
    t->deadline_ns = deadline_ns;
    if (deadline_ns != CLOCK_NEVER) place(w, t);
}

// Takes all timers of a slot and either fires them or places them again.
static void empty_slot(struct io_timers *w, int level, int s, int64_t now_ns)
{
    struct list due;
    list_init(&due);
    struct list *from = &w->slot[level][s];
    while (!list_empty(from)) {
        struct list *node = list_pop_front(from);
        list_push_back(&due, node);
    }
    w->used[level] &= ~(UINT64_C(1) << s);
    struct list *node;
    while ((node = list_pop_front(&due))) {
        struct io_timer *t = LIST_OWNER(node, struct io_timer, node);
        if (t->deadline_ns <= now_ns && (t->deadline_ns >> TIMER_TICK_SHIFT) < w->tick) {
            t->fire(t);
        } else {
            place(w, t);
        }
    }
}

// The first tick after the present one at which a slot has to be looked at.
static int64_t next_tick(const struct io_timers *w)
{
    for (int l = 0; l < TIMER_LEVELS; l++) {
        if (!w->used[l]) continue;
        const int shift = l * LEVEL_BITS;
        const int64_t here = w->tick >> shift;
        const int at = (int)(here & (TIMER_SLOTS - 1));
        // Rotated so that bit 0 is the slot after the present one.
        const int turn = (at + 1) & (TIMER_SLOTS - 1);
        const uint64_t ahead =
            turn ? (w->used[l] >> turn) | (w->used[l] << (TIMER_SLOTS - turn)) : w->used[l];
        return (here + 1 + __builtin_ctzll(ahead)) << shift;
    }
    return INT64_MAX;
}

void io_timers_run_due(struct io_timers *w, int64_t now_ns)
{
    const int64_t until = now_ns >> TIMER_TICK_SHIFT;
    int64_t tick;
    while ((tick = next_tick(w)) <= until) {
        w->tick = tick;
        // From the top down, so that what is sorted into a lower slot of this very tick is fired now.
        for (int l = TIMER_LEVELS - 1; l >= 0; l--) {
            const int64_t mask = (INT64_C(1) << (l * LEVEL_BITS)) - 1;
            if (tick & mask) continue;
            const int s = (int)((tick >> (l * LEVEL_BITS)) & (TIMER_SLOTS - 1));
            if (w->used[l] & (UINT64_C(1) << s)) empty_slot(w, l, s, now_ns);
        }
    }
    if (until > w->tick) w->tick = until;
    w->look = tick;
}
