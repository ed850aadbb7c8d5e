// Fibers, events and scopes: how a request is written as one function.
//
// A fiber is a stackful coroutine of one loop: it runs until it waits, never moves to another thread, and costs a pooled
// 64 KiB stack slot of which only the touched pages exist. It waits for *events* with a deadline; everything that suspends
// (streams, sleeps, offload) is a wait for events underneath.
//
// A scope is what fibers are spawned into. No fiber outlives its scope: scope_join() waits for all of them, and a scope may
// only be forgotten when it is empty. Cancelling a scope is sticky and carries a reason (enum rw_end): every present and
// later wait of its fibers returns -ECANCELED at once, except between fiber_shield() and fiber_unshield(), for what must
// still happen (settle, journal, give back). A cancelled fiber that opened scopes of its own returns from its waits, and
// leaves them by cancel and join; so cancellation runs down the tree by itself.
//
// Thread   the loop's, but for fiber_self(), which is NULL outside fibers.
// Units    deadlines are now_ns values of the loop's clock (base/clock.h); CLOCK_NEVER: none.
#ifndef RINGWAY_IO_FIBER_H
#define RINGWAY_IO_FIBER_H

#include "base/end.h"
#include "base/err.h"
#include "base/list.h"
#include "base/span.h"

struct io_loop;
struct fiber;

// Something to wait for. `set` is a level, kept by its owner: a wait for an event that is set returns at once.
struct fiber_event {
    struct list waiters;
    bool set;
};

struct scope {
    struct io_loop *loop;
    struct list fibers;
    struct fiber_event ended; // set while a child has ended that scope_first() did not report
    uint32_t running;
    int first_result; // of the child that ended first
    enum rw_end reason; // END_OK: not cancelled
    // For owners that are not fibers: runs when the last child has ended, may free the scope, must not suspend.
    void (*on_empty)(struct scope *s);
};

typedef int (*fiber_fn)(void *arg);

#define FIBER_WAIT_EVENTS_MAX 4

void fiber_event_init(struct fiber_event *e);
// Sets the level and makes all waiters runnable; they run in this turn or the next.
void fiber_event_set(struct fiber_event *e);
static inline void fiber_event_clear(struct fiber_event *e)
{
    e->set = false;
}

// Suspends until one of the events is set: returns its index (the lowest), or -ETIME, or -ECANCELED.
int fiber_wait_any(struct fiber_event *const *events, int n, int64_t deadline_ns) RW_WARN_UNUSED;
// The same for one event: 0, -ETIME or -ECANCELED.
int fiber_wait(struct fiber_event *event, int64_t deadline_ns) RW_WARN_UNUSED;
// 0 when the time has come, -ECANCELED.
int fiber_sleep(int64_t deadline_ns);
// Lets all other runnable fibers run first. 0 or -ECANCELED.
int fiber_yield(void);

struct fiber *fiber_self(void);
struct scope *fiber_scope(void); // of the running fiber
// What the running fiber is about, for a crash report: n bytes that stay valid until it ends (or NULL again).
void fiber_note(const uint8_t *text, uint32_t n);
// The running fiber's note, {NULL, 0} outside fibers. Safe in a signal handler.
struct span fiber_note_of_running(void);
struct io_loop *fiber_loop(void); // of the running fiber
// Why the running fiber is to stop; END_OK: it is not, or it is shielded, or nobody but the loop is running.
enum rw_end fiber_cancelled(void);
// Outside fibers these two do nothing: there is nothing to be kept from being cancelled.
void fiber_shield(void);
void fiber_unshield(void);
// The same for another fiber of the loop, which has not ended: others may want what it does although its own asker has gone.
// Taken away, a cancelled one returns from its wait.
void fiber_shield_of(struct fiber *f);
void fiber_unshield_of(struct fiber *f);
// Why its scope was cancelled, shielded or not; END_OK: it was not.
enum rw_end fiber_reason(const struct fiber *f);

void scope_init(struct scope *s, struct io_loop *loop);
// Starts fn(arg) in a fiber of the scope; it first runs in this turn or the next. -EAGAIN when all fibers are in use,
// -ECANCELED when the scope is cancelled.
enum rw_err scope_spawn(struct scope *s, fiber_fn fn, void *arg) RW_WARN_UNUSED;
// reason is not END_OK. The first reason stays.
void scope_cancel(struct scope *s, enum rw_end reason);
// Waits, shielded, until all children have ended. Not for use by one of them.
void scope_join(struct scope *s);
// Waits until a child has ended; its result in *ret_result. 0, -ETIME, -ECANCELED.
int scope_first(struct scope *s, int64_t deadline_ns, int *ret_result) RW_WARN_UNUSED;
static inline bool scope_empty(const struct scope *s)
{
    return s->running == 0;
}

// --- For the loop.

struct fiber_pool {
    struct io_loop *loop;
    uint8_t *region; // all stack slots
    size_t slot_bytes;
    uint32_t max;
    uint32_t made; // slots that were ever used; those above have no pages and no guard yet
    uint32_t running;
    uint32_t peak;
    struct fiber *free; // last in, first out
    struct fiber *ready_first, *ready_last;
    uint32_t ready;
    uint32_t idle_low; // fewest free slots since the last trim
    uint32_t free_count;
};

// max: fibers at most; bounded by what the kernel's map count allows (fiber_max_supported()).
enum rw_err fiber_pool_open(struct fiber_pool *p, struct io_loop *loop, uint32_t max) RW_WARN_UNUSED;
void fiber_pool_close(struct fiber_pool *p); // no fiber is running
// Runs what is ready now, each fiber once.
void fiber_run_ready(struct fiber_pool *p);
// Gives the pages of slots that were idle since the last call back to the kernel.
void fiber_trim(struct fiber_pool *p);
// How many fibers the machine allows: all of FIBERS_MAX with light guard pages (Linux 6.13), else half of vm.max_map_count.
uint32_t fiber_max_supported(void);
// Bytes of stack that were ever touched by the deepest fiber; looks at every slot, for tests.
size_t fiber_stack_peak(const struct fiber_pool *p);

#endif
