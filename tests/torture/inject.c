// Linked into build/torture/ringway, the gateway as it is: makes the chosen allocation and the chosen submission to the io/
// driver fail. The linker (--wrap) leads every allocating call of the product and of the archives in it here, and the making
// of drivers, each of which gets a driver around it.
//
// An operation that fails never reaches the kernel: its completion comes with the next turn, as an error that the kernel may
// answer for want of memory or of descriptors, or because the peer is gone.
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "io/driver.h"
#include "tests/torture/torture.h"

#define FAILED_MAX 8
// Frames of one stack are nearer than this.
#define STACK_BYTES_MAX (1u << 20)

static struct torture *torture;
extern char __executable_start;

__attribute__((constructor)) static void begin(void)
{
    torture = torture_map();
    if (torture) atomic_store(&torture->begun, 1);
}

// The callers by their frame pointers.
static void note_frames(struct torture_count *c)
{
    const uintptr_t *frame = __builtin_frame_address(0);
    for (int i = 0; i < TORTURE_FRAMES; i++) {
        atomic_store(&c->frames[i], frame[1] - (uintptr_t)&__executable_start);
        const uintptr_t *up = (const uintptr_t *)frame[0];
        if (up <= frame || (uintptr_t)up - (uintptr_t)frame > STACK_BYTES_MAX || ((uintptr_t)up & 7)) {
            if (i + 1 < TORTURE_FRAMES) atomic_store(&c->frames[i + 1], 0);
            return;
        }
        frame = up;
    }
}

static bool fails(enum torture_kind kind, int64_t what)
{
    if (!torture || !torture_hit(&torture->count[kind], what)) return false;
    note_frames(&torture->count[kind]);
    return true;
}

static bool no_memory(void)
{
    if (!fails(TORTURE_MEMORY, 0)) return false;
    errno = ENOMEM;
    return true;
}

// --- Allocations: X(returned type, function, parameters, arguments).
#define ALLOCATORS(X) \
    X(void *, malloc, (size_t n), (n)) \
    X(void *, calloc, (size_t count, size_t n), (count, n)) \
    X(void *, realloc, (void *p, size_t n), (p, n)) \
    X(void *, aligned_alloc, (size_t align, size_t n), (align, n)) \
    X(char *, strdup, (const char *s), (s)) \
    X(char *, strndup, (const char *s, size_t n), (s, n)) \
    X(FILE *, fopen, (const char *path, const char *mode), (path, mode)) \
    X(FILE *, fopen64, (const char *path, const char *mode), (path, mode)) \
    X(DIR *, opendir, (const char *path), (path))

#define X(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters \
    { \
        return no_memory() ? NULL : __real_##name arguments; \
    }
ALLOCATORS(X)
#undef X

int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret, const char *format, ...)
{
    if (no_memory()) return -1;
    va_list args;
    va_start(args, format);
    const int n = vasprintf(ret, format, args);
    va_end(args);
    return n;
}

// --- Operations.

struct failed {
    struct io_op *op;
    int32_t res;
};

struct wrapper {
    struct io_driver driver;
    struct io_driver_ops ops;
    struct io_driver *inner;
    struct failed failed[FAILED_MAX];
    int failed_n;
};

static struct wrapper *wrapper_of(struct io_driver *d)
{
    return LIST_OWNER(d, struct wrapper, driver);
}

static int32_t error_for(const struct io_op *op)
{
    const int64_t error = atomic_load(&torture->error);
    if (error) return (int32_t)error;
    switch ((enum io_op_kind)op->kind) {
    case IO_OP_ACCEPT: return -EMFILE;
    case IO_OP_RECV_MANY:
    case IO_OP_RECV: return -ENOBUFS;
    case IO_OP_RECV_INTO: return -ECONNRESET;
    case IO_OP_SEND: return -EPIPE;
    case IO_OP_CONNECT: return -ECONNREFUSED;
    default: return -EINTR;
    }
}

static void submit(struct io_driver *d, struct io_op *op)
{
    struct wrapper *w = wrapper_of(d);
    if (fails(TORTURE_OPERATION, op->kind)) {
        MUST(w->failed_n < FAILED_MAX);
        w->failed[w->failed_n++] = (struct failed){op, error_for(op)};
        return;
    }
    w->inner->ops->submit(w->inner, op);
}

static void cancel(struct io_driver *d, struct io_op *op)
{
    struct wrapper *w = wrapper_of(d);
    for (int i = 0; i < w->failed_n; i++)
        if (w->failed[i].op == op) return;
    w->inner->ops->cancel(w->inner, op);
}

static int turn(struct io_driver *d, int64_t deadline_ns, struct io_completion *ret, int max)
{
    struct wrapper *w = wrapper_of(d);
    int n = 0;
    for (; n < w->failed_n && n < max - 1; n++)
        ret[n] = (struct io_completion){.op = w->failed[n].op, .res = w->failed[n].res};
    memmove(w->failed, w->failed + n, (size_t)(w->failed_n - n) * sizeof w->failed[0]);
    w->failed_n -= n;
    return n + w->inner->ops->turn(w->inner, n ? 0 : deadline_ns, ret + n, max - n);
}

static void wake(struct io_driver *d)
{
    wrapper_of(d)->inner->ops->wake(wrapper_of(d)->inner);
}

static void clock_read(struct io_driver *d, struct io_time *ret)
{
    wrapper_of(d)->inner->ops->clock(wrapper_of(d)->inner, ret);
}

static int group_open(struct io_driver *d, uint8_t group, uint16_t count, uint32_t bytes)
{
    return wrapper_of(d)->inner->ops->group_open(wrapper_of(d)->inner, group, count, bytes);
}

static void buffer_give(struct io_driver *d, uint8_t group, uint16_t id, void *p)
{
    wrapper_of(d)->inner->ops->buffer_give(wrapper_of(d)->inner, group, id, p);
}

static void fd_close(struct io_driver *d, int fd)
{
    wrapper_of(d)->inner->ops->fd_close(wrapper_of(d)->inner, fd);
}

void *__real_calloc(size_t count, size_t n);

static void wrapper_close(struct io_driver *d)
{
    struct wrapper *w = wrapper_of(d);
    w->inner->ops->close(w->inner);
    free(w);
}

static struct io_driver *around(struct io_driver *inner)
{
    if (!inner || !torture) return inner;
    struct wrapper *w = __real_calloc(1, sizeof *w);
    MUST(w);
    // What opens and sets up sockets does not look at the driver.
    w->ops = *inner->ops;
    w->ops.close = wrapper_close;
    w->ops.submit = submit;
    w->ops.cancel = cancel;
    w->ops.turn = turn;
    w->ops.wake = wake;
    w->ops.clock = clock_read;
    w->ops.group_open = group_open;
    w->ops.buffer_give = buffer_give;
    w->ops.fd_close = fd_close;
    w->driver.ops = &w->ops;
    w->inner = inner;
    return &w->driver;
}

struct io_driver *__real_io_uring_open(uint32_t entries, int *ret_err);
struct io_driver *__wrap_io_uring_open(uint32_t entries, int *ret_err);
struct io_driver *__wrap_io_uring_open(uint32_t entries, int *ret_err)
{
    return around(__real_io_uring_open(entries, ret_err));
}

struct io_driver *__real_io_epoll_open(int *ret_err);
struct io_driver *__wrap_io_epoll_open(int *ret_err);
struct io_driver *__wrap_io_epoll_open(int *ret_err)
{
    return around(__real_io_epoll_open(ret_err));
}
