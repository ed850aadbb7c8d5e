// See fiber.h. Layout of a stack slot, from its low end: a guard page, the stack, and at the very top the struct fiber, so
// that starting a fiber touches one page. A wait links one node per event, all on the waiting fiber's own stack; whoever
// sets an event makes the waiter runnable once, however many of its events are set by then.
//
// A fiber's deadline timer is lazy: it is left armed when a wait ends early, and re-armed when it fires before the deadline
// that is then in force. It stays armed when the fiber ends, for the next one in the slot. A request waits a dozen times with
// ever later deadlines and pays for less than one timer.
#include "io/fiber.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/span.h"
#include "io/loop.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifndef FIBER_ASAN
#define FIBER_ASAN 0
#endif
#ifndef FIBER_TSAN
#define FIBER_TSAN 0
#endif

#if FIBER_ASAN
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **ret_bottom, size_t *ret_size);
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#endif
#if FIBER_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

// Linux 6.13; older uapi headers do not have it.
#define FIBER_MADV_GUARD_INSTALL 102
#define FIBER_MAGIC 0x6669626572210a00u
// Sanitizers put red zones around every local.
#define FIBER_STACK_SCALE (FIBER_ASAN || FIBER_TSAN ? 4 : 1)

struct fiber {
    void *sp;
    uint64_t magic;
    struct fiber *next; // ready queue or free list
    struct io_loop *loop;
    struct scope *scope;
    struct list in_scope;
    fiber_fn fn;
    void *arg;
    int64_t deadline_ns; // of the present wait
    struct span note;
    struct io_timer timer;
    uint32_t shields;
    bool ready; // is in the ready queue
    bool waiting; // suspended in a wait
    bool idle_page; // the slot was idle since the last trim
#if FIBER_ASAN
    void *asan_save;
#endif
#if FIBER_TSAN
    void *tsan_fiber;
#endif
};

struct wait_node {
    struct list node;
    struct fiber *fiber;
};

void fiber_switch(void **save_sp, void *load_sp);
void fiber_entry(void);

// The running fiber, and where to return when it suspends. Thread-locals, so that the simulator may run several loops in
// one thread: a fiber runs to its next wait before another loop is turned.
static _Thread_local struct fiber *running;
static _Thread_local void *loop_sp;
#if FIBER_ASAN
static _Thread_local const void *loop_stack;
static _Thread_local size_t loop_stack_bytes;
#endif
#if FIBER_TSAN
static _Thread_local void *loop_tsan;
#endif

struct fiber *fiber_self(void)
{
    return running;
}

void fiber_note(const uint8_t *text, uint32_t n)
{
    if (running) running->note = (struct span){text, n};
}

struct span fiber_note_of_running(void)
{
    return running ? running->note : (struct span){NULL, 0};
}

struct io_loop *fiber_loop(void)
{
    MUST(running);
    return running->loop;
}

// --- Switching.

// From the loop into f, until it suspends or ends.
static void enter(struct fiber *f)
{
    MUST(!running && f->magic == FIBER_MAGIC);
    running = f;
#if FIBER_TSAN
    loop_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan_fiber, 0);
#endif
#if FIBER_ASAN
    void *save;
    const size_t bytes = FIBER_STACK_BYTES * FIBER_STACK_SCALE;
    __sanitizer_start_switch_fiber(&save, (uint8_t *)(f + 1) - bytes, bytes);
#endif
    fiber_switch(&loop_sp, f->sp);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(save, NULL, NULL);
#endif
    running = NULL;
}

// From the running fiber back to the loop. `last`: it never comes back.
static void leave(struct fiber *f, bool last)
{
#if FIBER_TSAN
    __tsan_switch_to_fiber(loop_tsan, 0);
#endif
#if FIBER_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &f->asan_save, loop_stack, loop_stack_bytes);
#endif
    (void)last;
    fiber_switch(&f->sp, loop_sp);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(f->asan_save, &loop_stack, &loop_stack_bytes);
#endif
}

static void make_ready(struct fiber *f)
{
    if (f->ready) return;
    struct fiber_pool *p = &f->loop->fibers;
    f->ready = true;
    f->next = NULL;
    if (p->ready_last) p->ready_last->next = f;
    else p->ready_first = f;
    p->ready_last = f;
    p->ready++;
}

static void ended(struct fiber *f, int result)
{
    struct scope *s = f->scope;
    struct fiber_pool *p = &f->loop->fibers;
    MUST(f->shields == 0);
    list_remove(&f->in_scope);
    if (!s->ended.set) s->first_result = result;
    s->running--;
    fiber_event_set(&s->ended);
    f->magic = 0;
    p->running--;
    // The slot is free for others only behind this: on_empty may spawn, and this very stack is still in use.
    if (s->running == 0 && s->on_empty) s->on_empty(s);
    f->next = p->free;
    p->free = f;
    p->free_count++;
}

// The body of every fiber; entered once by the assembly, never returns.
static void fiber_main(void *arg)
{
    struct fiber *f = arg;
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &loop_stack, &loop_stack_bytes);
#endif
    const int result = f->fn(f->arg);
    ended(f, result);
    leave(f, true);
    UNREACHABLE("a fiber that ended was resumed");
}

// Lays out a stack from which fiber_switch() enters fiber_main(f).
static void prepare(struct fiber *f)
{
    void **top = (void **)(void *)((uintptr_t)f & ~(uintptr_t)63);
#if FIBER_ASAN
    // What the slot's last fiber left behind is no longer anybody's frame.
    const size_t bytes = FIBER_STACK_BYTES * FIBER_STACK_SCALE;
    __asan_unpoison_memory_region((uint8_t *)(f + 1) - bytes, bytes - sizeof *f);
#endif
    void (*const main_fn)(void *) = fiber_main;
#if defined(__x86_64__)
    // As fiber_switch pops them: r15 r14 r13 r12 rbx rbp, then the return address. Nine words, so that
    // fiber_entry finds the stack aligned to 16 when it calls, as the ABI wants.
    top -= 9;
    memset((void *)top, 0, 9 * sizeof *top);
    top[3] = f;
    memcpy(&top[4], &main_fn, sizeof main_fn);
    void (*const entry)(void) = fiber_entry;
    memcpy(&top[6], &entry, sizeof entry);
#elif defined(__aarch64__)
    top -= 20;
    memset((void *)top, 0, 20 * sizeof *top);
    memcpy(&top[0], &main_fn, sizeof main_fn);
    top[1] = f;
    void (*const entry)(void) = fiber_entry;
    memcpy(&top[11], &entry, sizeof entry);
#else
#error "fibers know x86-64 and AArch64"
#endif
    f->sp = (void *)top;
}

// --- The pool.

static void timer_fired(struct io_timer *t);

static bool guards_are_light(void)
{
    static _Atomic int known; // 0: not tried; the answer is the same for all threads
    if (known) return known == 1;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool light = p != MAP_FAILED && madvise(p, page, FIBER_MADV_GUARD_INSTALL) == 0;
    if (p != MAP_FAILED) munmap(p, page);
    known = light ? 1 : 2;
    return light;
}

uint32_t fiber_max_supported(void)
{
    if (guards_are_light()) return FIBERS_MAX;
    // Each mprotected guard splits the region: two more mappings. 4,096 are left for everything else.
    char text[32] = "";
    const int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0) close(fd);
    uint64_t maps = 65530; // the kernel's default
    span_u64(span_trim(span_of(text, n > 1 ? (size_t)n - 1 : 0)), &maps);
    const uint64_t fit = maps > 8192 ? (maps - 4096) / 2 : 2048;
    return fit < FIBERS_MAX ? (uint32_t)fit : FIBERS_MAX;
}

enum rw_err fiber_pool_open(struct fiber_pool *p, struct io_loop *loop, uint32_t max)
{
    const uint32_t fit = fiber_max_supported();
    *p = (struct fiber_pool){.loop = loop, .max = max < fit ? max : fit};
    p->slot_bytes = FIBER_STACK_BYTES * FIBER_STACK_SCALE;
    const size_t bytes = p->slot_bytes * p->max;
    p->region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->region == MAP_FAILED) {
        p->region = NULL;
        return rw_errno();
    }
    // A huge page would turn every touched stack into 2 MiB.
    (void)madvise(p->region, bytes, MADV_NOHUGEPAGE);
    (void)madvise(p->region, bytes, MADV_DONTDUMP);
    return RW_OK;
}

void fiber_pool_close(struct fiber_pool *p)
{
    MUST(p->running == 0);
    for (struct fiber *f = p->free; f; f = f->next) {
        io_timer_cancel(&p->loop->timers, &f->timer);
#if FIBER_TSAN
        if (f->tsan_fiber) __tsan_destroy_fiber(f->tsan_fiber);
#endif
    }
    if (p->region) munmap(p->region, p->slot_bytes * p->max);
    *p = (struct fiber_pool){0};
}

// The next slot that was never used: puts its guard page in place.
static struct fiber *slot_make(struct fiber_pool *p)
{
    if (p->made == p->max) return NULL;
    uint8_t *slot = p->region + p->slot_bytes * p->made;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const int bad =
        guards_are_light() ? madvise(slot, page, FIBER_MADV_GUARD_INSTALL) : mprotect(slot, page, PROT_NONE);
    if (bad) return NULL;
    p->made++;
    struct fiber *f = (struct fiber *)(void *)(slot + p->slot_bytes) - 1;
    io_timer_init(&f->timer, timer_fired);
    f->loop = p->loop;
#if FIBER_TSAN
    f->tsan_fiber = __tsan_create_fiber(0);
#endif
    return f;
}

static struct fiber *slot_take(struct fiber_pool *p)
{
    struct fiber *f = p->free;
    if (f) {
        p->free = f->next;
        p->free_count--;
        if (p->free_count < p->idle_low) p->idle_low = p->free_count;
        return f;
    }
    return slot_make(p);
}

void fiber_run_ready(struct fiber_pool *p)
{
    // Those made ready meanwhile run in the next turn: nobody starves the ring.
    for (uint32_t n = p->ready; n > 0; n--) {
        struct fiber *f = p->ready_first;
        MUST(f);
        p->ready_first = f->next;
        if (!p->ready_first) p->ready_last = NULL;
        p->ready--;
        f->ready = false;
        enter(f);
    }
}

void fiber_trim(struct fiber_pool *p)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    // The idle_low slots at the bottom of the free list were not used since the last call.
    uint32_t skip = p->free_count - (p->idle_low < p->free_count ? p->idle_low : p->free_count);
    for (struct fiber *f = p->free; f; f = f->next) {
        if (skip > 0) {
            skip--;
            f->idle_page = false;
            continue;
        }
        if (f->idle_page) continue;
        uint8_t *top = (uint8_t *)(f + 1);
        // All but the guard and the page that holds the struct.
        (void)madvise(top - p->slot_bytes + page, p->slot_bytes - 2 * page, MADV_DONTNEED);
        f->idle_page = true;
    }
    p->idle_low = p->free_count;
}

size_t fiber_stack_peak(const struct fiber_pool *p)
{
    size_t peak = 0;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (uint32_t i = 0; i < p->made; i++) {
        uint8_t *low = p->region + p->slot_bytes * i + page;
        uint8_t *high = p->region + p->slot_bytes * (i + 1);
        unsigned char in_core = 0;
        while (low < high && (mincore(low, page, &in_core) != 0 || !(in_core & 1))) low += page;
        if ((size_t)(high - low) > peak) peak = (size_t)(high - low);
    }
    return peak;
}

// --- Waiting.

void fiber_event_init(struct fiber_event *e)
{
    list_init(&e->waiters);
    e->set = false;
}

void fiber_event_set(struct fiber_event *e)
{
    e->set = true;
    LIST_EACH(it, &e->waiters) make_ready(LIST_OWNER(it, struct wait_node, node)->fiber);
}

static bool is_cancelled(const struct fiber *f)
{
    return f->scope->reason != END_OK && f->shields == 0;
}

static void timer_fired(struct io_timer *t)
{
    struct fiber *f = LIST_OWNER(t, struct fiber, timer);
    if (!f->waiting || f->deadline_ns == CLOCK_NEVER) return;
    if (f->deadline_ns > f->loop->now_ns) io_timer_arm(&f->loop->timers, t, f->deadline_ns);
    else make_ready(f);
}

static void suspend(struct fiber *f, int64_t deadline_ns)
{
    f->deadline_ns = deadline_ns;
    if (deadline_ns != CLOCK_NEVER && (!io_timer_armed(&f->timer) || f->timer.deadline_ns > deadline_ns))
        io_timer_arm(&f->loop->timers, &f->timer, deadline_ns);
    f->waiting = true;
    leave(f, false);
    f->waiting = false;
}

static int first_set(struct fiber_event *const *events, int n)
{
    for (int i = 0; i < n; i++)
        if (events[i]->set) return i;
    return -1;
}

int fiber_wait_any(struct fiber_event *const *events, int n, int64_t deadline_ns)
{
    struct fiber *f = running;
    MUST(f && n <= FIBER_WAIT_EVENTS_MAX);
    if (is_cancelled(f)) return -ECANCELED;
    int set = first_set(events, n);
    if (set >= 0) return set;
    if (deadline_ns <= f->loop->now_ns) return -ETIME;

    struct wait_node nodes[FIBER_WAIT_EVENTS_MAX];
    for (int i = 0; i < n; i++) {
        nodes[i].fiber = f;
        list_push_back(&events[i]->waiters, &nodes[i].node);
    }
    for (;;) {
        suspend(f, deadline_ns);
        if (is_cancelled(f)) set = -ECANCELED;
        else set = first_set(events, n);
        if (set != -1) break;
        if (deadline_ns <= f->loop->now_ns) {
            set = -ETIME;
            break;
        }
    }
    for (int i = 0; i < n; i++) list_remove(&nodes[i].node);
    return set;
}

// What most waits are, without what several events need.
int fiber_wait(struct fiber_event *event, int64_t deadline_ns)
{
    struct fiber *f = running;
    MUST(f);
    if (is_cancelled(f)) return -ECANCELED;
    if (event->set) return 0;
    struct wait_node node = {.fiber = f};
    list_push_back(&event->waiters, &node.node);
    int r = -ETIME;
    while (deadline_ns > f->loop->now_ns) {
        suspend(f, deadline_ns);
        r = is_cancelled(f) ? -ECANCELED : event->set ? 0 : -ETIME;
        if (r != -ETIME) break;
    }
    list_remove(&node.node);
    return r;
}

int fiber_sleep(int64_t deadline_ns)
{
    const int r = fiber_wait_any(NULL, 0, deadline_ns);
    return r == -ETIME ? 0 : r;
}

int fiber_yield(void)
{
    struct fiber *f = running;
    MUST(f);
    if (is_cancelled(f)) return -ECANCELED;
    make_ready(f);
    suspend(f, CLOCK_NEVER);
    return is_cancelled(f) ? -ECANCELED : 0;
}

struct scope *fiber_scope(void)
{
    MUST(running);
    return running->scope;
}

enum rw_end fiber_cancelled(void)
{
    return running && is_cancelled(running) ? running->scope->reason : END_OK;
}

void fiber_shield(void)
{
    if (running) running->shields++;
}

void fiber_unshield(void)
{
    if (!running) return;
    MUST(running->shields > 0);
    running->shields--;
}

void fiber_shield_of(struct fiber *f)
{
    f->shields++;
}

void fiber_unshield_of(struct fiber *f)
{
    MUST(f->shields > 0);
    f->shields--;
    if (is_cancelled(f) && f->waiting) make_ready(f);
}

enum rw_end fiber_reason(const struct fiber *f)
{
    return f->scope->reason;
}

// --- Scopes.

void scope_init(struct scope *s, struct io_loop *loop)
{
    *s = (struct scope){.loop = loop, .reason = END_OK};
    list_init(&s->fibers);
    fiber_event_init(&s->ended);
}

enum rw_err scope_spawn(struct scope *s, fiber_fn fn, void *arg)
{
    struct fiber_pool *p = &s->loop->fibers;
    if (s->reason != END_OK) return (enum rw_err) - ECANCELED;
    struct fiber *f = slot_take(p);
    if (!f) return (enum rw_err) - EAGAIN;
    // The timer and what belongs to the slot stay as they are.
    f->magic = FIBER_MAGIC;
    f->scope = s;
    f->fn = fn;
    f->arg = arg;
    f->note = (struct span){NULL, 0};
    f->shields = 0;
    f->ready = f->waiting = f->idle_page = false;
    list_push_back(&s->fibers, &f->in_scope);
    s->running++;
    if (++p->running > p->peak) p->peak = p->running;
    prepare(f);
    make_ready(f);
    return RW_OK;
}

void scope_cancel(struct scope *s, enum rw_end reason)
{
    MUST(reason != END_OK);
    if (s->reason != END_OK) return;
    s->reason = reason;
    LIST_EACH(it, &s->fibers)
    {
        struct fiber *f = LIST_OWNER(it, struct fiber, in_scope);
        if (f->waiting) make_ready(f);
    }
}

void scope_join(struct scope *s)
{
    if (s->running == 0) return;
    fiber_shield();
    while (s->running > 0) {
        fiber_event_clear(&s->ended);
        const int r = fiber_wait(&s->ended, CLOCK_NEVER);
        MUST(r == 0);
    }
    fiber_unshield();
}

int scope_first(struct scope *s, int64_t deadline_ns, int *ret_result)
{
    const int r = fiber_wait(&s->ended, deadline_ns);
    if (r != 0) return r;
    *ret_result = s->first_result;
    fiber_event_clear(&s->ended);
    return 0;
}
