// What the linker puts between the code under test and what it calls (module.mk: --wrap). See sim_world.h.
//
//   malloc, calloc, mmap   fail now and then while a loop is turned. realloc never does: what grows by it (the slots of a loop,
//                          maps) belongs to the control plane, which aborts instead.
//   fiber_wait, _any       nobody may wait for ever: a wait without a deadline fails the run, unless it stands behind a shield,
//                          as the join of a cancelled operation does, which the kernel always completes.
#include <stdlib.h>
#include <sys/mman.h>

#include "io/fiber.h"
#include "tests/sim/sim_world.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __real_fiber_wait_any(struct fiber_event *const *events, int n, int64_t deadline_ns);
int __real_fiber_wait(struct fiber_event *event, int64_t deadline_ns);
void __real_fiber_shield(void);
void __real_fiber_unshield(void);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __wrap_fiber_wait_any(struct fiber_event *const *events, int n, int64_t deadline_ns);
int __wrap_fiber_wait(struct fiber_event *event, int64_t deadline_ns);
void __wrap_fiber_shield(void);
void __wrap_fiber_unshield(void);

static struct sim_world *armed, *watched;
static uint32_t shields; // of the running fiber

void *sim_malloc(size_t n)
{
    return __real_malloc(n);
}

void *sim_calloc(size_t n, size_t size)
{
    return __real_calloc(n, size);
}

void *sim_realloc(void *p, size_t n)
{
    return realloc(p, n);
}

void sim_memory_arm(struct sim_world *w)
{
    armed = w && w->rate[SIM_NO_MEMORY] ? w : NULL;
}

void sim_watch_waits(struct sim_world *w)
{
    watched = w;
    shields = 0;
}

static bool fails(void)
{
    if (!armed || !sim_fault(armed, SIM_NO_MEMORY)) return false;
    // A client that was accepted in vain learns it when the end has crossed the network.
    sim_trouble(armed, armed->now_ns + CLOCK_SEC / 2);
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, n, prot, flags, fd, offset);
}

void __wrap_fiber_shield(void)
{
    shields++;
    __real_fiber_shield();
}

void __wrap_fiber_unshield(void)
{
    shields--;
    __real_fiber_unshield();
}

static void check_deadline(int64_t deadline_ns)
{
    if (!watched || deadline_ns != CLOCK_NEVER || shields > 0) return;
    sim_fail(watched, "a fiber waits without a deadline");
}

// While one waits others run, with shields of their own.
int __wrap_fiber_wait_any(struct fiber_event *const *events, int n, int64_t deadline_ns)
{
    const uint32_t mine = shields;
    check_deadline(deadline_ns);
    shields = 0;
    const int r = __real_fiber_wait_any(events, n, deadline_ns);
    shields = mine;
    return r;
}

int __wrap_fiber_wait(struct fiber_event *event, int64_t deadline_ns)
{
    const uint32_t mine = shields;
    check_deadline(deadline_ns);
    shields = 0;
    const int r = __real_fiber_wait(event, deadline_ns);
    shields = mine;
    return r;
}
