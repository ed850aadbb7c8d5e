// See probe.h. The ring is tried with what uring.c does to it: the same flags, a buffer ring, a multishot
// receive. When the kernel refuses, the error alone says little (EPERM has three causes, ENOSYS three
// others), so /proc is asked for the rest.
#include "io/probe.h"

#include <liburing.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "io/fiber.h"
#include "io/machine.h"

#define RING_ENTRIES 8
#define LIGHT_GUARD 102 // MADV_GUARD_INSTALL, Linux 6.13
#define KERNEL_MIN(p, major, minor) \
    ((p)->kernel_major > (major) || ((p)->kernel_major == (major) && (p)->kernel_minor >= (minor)))
// Descriptors that are not connections, and below which serving makes no sense.
#define FILES_OWN 512
#define FILES_MIN 1024
#define MEMORY_MIN MIB(128)

static void row_is(struct io_probe *p, enum io_probe_what what, enum io_probe_state state)
{
    p->row[what].state = state;
}

// A text that lives as long as the probe, cut where the room ends.
__attribute__((format(printf, 2, 3))) static const char *text_of(struct io_probe *p, const char *format, ...)
{
    char *at = p->text + p->text_n;
    const uint32_t room = (uint32_t)sizeof p->text - p->text_n;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(at, room, format, args);
    va_end(args);
    // The last byte of the room stays a NUL, for those that come too late.
    p->text_n += n < (int)room ? (uint32_t)n + 1 : room - 1;
    if (p->text_n == sizeof p->text) p->text_n--;
    return at;
}

#define ROW_SAYS(p, what, field, ...) ((p)->row[what].field = text_of(p, __VA_ARGS__))

// Bytes as people read them.
static const char *human(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    double v = (double)bytes;
    for (; v >= 1024 && unit < 4; unit++) v /= 1024;
    (void)snprintf(out, 32, v == (double)(uint64_t)v ? "%.0f %s" : "%.1f %s", v, units[unit]);
    return out;
}

// --- io_uring.

struct trial {
    int err;
    const char *step; // what was being tried
};

static bool fails(struct trial *t, int r, const char *step)
{
    if (r >= 0) return false;
    *t = (struct trial){r, step};
    return true;
}

static bool opcodes_missing(struct trial *t, struct io_uring *ring)
{
    static const struct {
        int op;
        const char *name;
    } need[] = {
        {IORING_OP_ACCEPT, "accept"},   {IORING_OP_RECV, "receive"},        {IORING_OP_SEND, "send"},
        {IORING_OP_SENDMSG, "sendmsg"}, {IORING_OP_CONNECT, "connect"},     {IORING_OP_POLL_ADD, "poll"},
        {IORING_OP_READ, "read"},       {IORING_OP_ASYNC_CANCEL, "cancel"},
    };
    struct io_uring_probe *known = io_uring_get_probe_ring(ring);
    if (!known) return fails(t, -EOPNOTSUPP, "asking for the operations");
    const char *missing = NULL;
    for (size_t i = 0; i < sizeof need / sizeof *need && !missing; i++)
        if (!io_uring_opcode_supported(known, need[i].op)) missing = need[i].name;
    io_uring_free_probe(known);
    return missing && fails(t, -EOPNOTSUPP, missing);
}

// A multishot receive into a provided buffer; it must have gone on after the first message.
static void try_receive(struct trial *t, struct io_uring *ring, int fd, int peer)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    MUST(sqe);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, 1);
    if (send(peer, "x", 1, MSG_NOSIGNAL) != 1) {
        fails(t, -errno, "sending over a socket pair");
        return;
    }
    struct io_uring_cqe *cqe = NULL;
    struct __kernel_timespec second = {.tv_sec = 1};
    const int r = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &second, NULL);
    if (fails(t, r, "waiting for completions")) return;
    if (!cqe || io_uring_peek_cqe(ring, &cqe) != 0) fails(t, -ETIME, "multishot receive");
    else if (cqe->res < 0) fails(t, cqe->res, "multishot receive");
    else if (!(cqe->flags & IORING_CQE_F_MORE) || !(cqe->flags & IORING_CQE_F_BUFFER))
        fails(t, -EOPNOTSUPP, "multishot receive");
}

static void try_buffers(struct trial *t, struct io_uring *ring)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int pair[2];
    uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fails(t, -errno, "memory");
        return;
    }
    struct io_uring_buf_ring *buffers = (struct io_uring_buf_ring *)(void *)p;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)p, .ring_entries = 1, .bgid = 0};
    if (fails(t, io_uring_register_buf_ring(ring, &reg, 0), "a ring of buffers")) goto unmap;
    io_uring_buf_ring_init(buffers);
    io_uring_buf_ring_add(buffers, p + page, (unsigned)page, 0, 0, 0);
    io_uring_buf_ring_advance(buffers, 1);
    if (fails(t, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ? -errno : 0, "a socket pair"))
        goto unmap;
    try_receive(t, ring, pair[0], pair[1]);
    close(pair[0]);
    close(pair[1]);
    // Taken down before the memory: an operation may still be using it.
    io_uring_queue_exit(ring);
    ring->ring_fd = -1;
unmap:
    munmap(p, 2 * page);
}

static struct trial try_uring(void)
{
    struct trial t = {0, ""};
    struct io_uring ring;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = 8 * RING_ENTRIES,
    };
    if (fails(&t, io_uring_queue_init_params(RING_ENTRIES, &ring, &params), "setup")) return t;
    if (!opcodes_missing(&t, &ring)) try_buffers(&t, &ring);
    if (ring.ring_fd >= 0) io_uring_queue_exit(&ring);
    return t;
}

static bool under_seccomp(const char *root)
{
    uint64_t mode = 0;
    (void)io_machine_field(root, "/proc/self/status", SPAN("Seccomp"), &mode);
    return mode == 2;
}

#define URING_SAYS(...) ROW_SAYS(p, IO_PROBE_URING, __VA_ARGS__)

static void say_seccomp(struct io_probe *p, const char *error)
{
    URING_SAYS(
        why,
        "a seccomp filter answers %s to io_uring, as the default profiles of Docker, containerd, CRI-O and "
        "Podman do",
        error);
    URING_SAYS(mend,
               "Run with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register "
               "(Docker: "
               "--security-opt seccomp=FILE; Kubernetes: securityContext.seccompProfile).");
}

static void say_eperm(struct io_probe *p, const char *root)
{
    uint64_t disabled = 0;
    (void)io_machine_number(root, "/proc/sys/kernel/io_uring_disabled", &disabled);
    char group[IO_MACHINE_TEXT_BYTES];
    if (disabled == 2) {
        URING_SAYS(why, "kernel.io_uring_disabled is 2: nobody on this machine may use io_uring");
        URING_SAYS(mend, "sysctl kernel.io_uring_disabled=0, and the same in /etc/sysctl.d/ to keep it.");
    } else if (disabled == 1) {
        io_machine_line(root, "/proc/sys/kernel/io_uring_group", group);
        URING_SAYS(why, "kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and group %s may use io_uring",
                   group);
        URING_SAYS(mend, "sysctl kernel.io_uring_group=%u (our group), or kernel.io_uring_disabled=0.",
                   (unsigned)getegid());
    } else if (under_seccomp(root)) {
        say_seccomp(p, "EPERM");
    } else {
        URING_SAYS(why, "a security module (SELinux, AppArmor or the like) forbids io_uring");
        URING_SAYS(
            mend,
            "Look for the refusal in the audit log (ausearch -m avc -ts recent, or dmesg) and allow it.");
    }
}

static void say_refused(struct io_probe *p, const char *root, const struct trial *t)
{
    char bytes[32];
    struct rlimit lock = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &lock);
    const bool old = !KERNEL_MIN(p, 6, 1);
    switch (t->err) {
    case -EPERM:
    case -EACCES: say_eperm(p, root); break;
    case -ENOSYS:
        if (KERNEL_MIN(p, 5, 1) && under_seccomp(root)) {
            say_seccomp(p, "ENOSYS");
            break;
        }
        URING_SAYS(why,
                   KERNEL_MIN(p, 5, 1) ? "the kernel was built without io_uring" : "the kernel is too old");
        URING_SAYS(mend, "Use a kernel of 6.1 or newer that is built with CONFIG_IO_URING.");
        break;
    case -ENOMEM:
        URING_SAYS(why, "no memory for a ring (limit of locked memory: %s)", human(lock.rlim_cur, bytes));
        URING_SAYS(mend,
                   "Raise the limit of locked memory (LimitMEMLOCK=infinity, ulimit -l) or of the cgroup.");
        break;
    case -EMFILE:
    case -ENFILE:
        URING_SAYS(why, "no descriptor is left for a ring");
        URING_SAYS(mend, "Raise the limit of open files (LimitNOFILE=, ulimit -n).");
        break;
    default:
        URING_SAYS(why,
                   old ? "the kernel is older than 6.1 and lacks what we use (%s: %s)" : "%s failed with %s",
                   t->step, rw_err_name(t->err));
        URING_SAYS(mend, "Use a kernel of 6.1 or newer.");
        if (!old) URING_SAYS(mend, "Report this line; until then `io: epoll` avoids it.");
        break;
    }
}

static void probe_uring(struct io_probe *p, const char *root)
{
    const struct trial t = try_uring();
    p->uring_err = t.err;
    if (t.err == 0) {
        URING_SAYS(value, "usable");
        return;
    }
    // epoll serves as well, at a higher cost.
    row_is(p, IO_PROBE_URING, IO_PROBE_WARN);
    URING_SAYS(value, "refused: %s", rw_err_name(t.err));
    say_refused(p, root, &t);
}

// --- The other rows.

static void probe_kernel(struct io_probe *p, const char *root)
{
    char release[IO_MACHINE_TEXT_BYTES];
    io_machine_line(root, "/proc/sys/kernel/osrelease", release);
    struct span rest = span_str(release), major, minor;
    uint64_t a = 0, b = 0;
    if (span_split(&rest, '.', &major) && span_split(&rest, '.', &minor)) {
        (void)span_u64(major, &a);
        (void)span_u64(minor, &b);
    }
    p->kernel_major = (uint32_t)a;
    p->kernel_minor = (uint32_t)b;
    ROW_SAYS(p, IO_PROBE_KERNEL, value, "%s", release);
    if (!KERNEL_MIN(p, 5, 10)) {
        row_is(p, IO_PROBE_KERNEL, IO_PROBE_BAD);
        ROW_SAYS(p, IO_PROBE_KERNEL, why, "older than 5.10, the oldest kernel that is tested");
        ROW_SAYS(p, IO_PROBE_KERNEL, mend, "Use Linux 6.1 or newer.");
    } else if (!KERNEL_MIN(p, 6, 1)) {
        row_is(p, IO_PROBE_KERNEL, IO_PROBE_WARN);
        ROW_SAYS(p, IO_PROBE_KERNEL, why, "older than 6.1: io_uring lacks what we use, epoll costs more");
        ROW_SAYS(p, IO_PROBE_KERNEL, mend, "Use Linux 6.1 or newer.");
    }
}

static void probe_files(struct io_probe *p)
{
    struct rlimit r = {0};
    (void)getrlimit(RLIMIT_NOFILE, &r);
    p->files_max = r.rlim_max;
    const uint64_t connections = r.rlim_max > FILES_OWN ? (r.rlim_max - FILES_OWN) / 2 : 0;
    if (r.rlim_max == RLIM_INFINITY) ROW_SAYS(p, IO_PROBE_FILES, value, "unlimited");
    else ROW_SAYS(p, IO_PROBE_FILES, value, "%llu", (unsigned long long)r.rlim_max);
    if (connections >= CONNECTIONS) return;
    row_is(p, IO_PROBE_FILES, r.rlim_max < FILES_MIN ? IO_PROBE_BAD : IO_PROBE_WARN);
    ROW_SAYS(p, IO_PROBE_FILES, why,
             "allows about %llu connections of the usual %u: each may need two descriptors",
             (unsigned long long)connections, CONNECTIONS);
    ROW_SAYS(p, IO_PROBE_FILES, mend,
             "Raise the hard limit to %u: LimitNOFILE= of the unit, --ulimit nofile= or ulimit -Hn.",
             2 * CONNECTIONS + FILES_OWN);
}

static void probe_memlock(struct io_probe *p)
{
    char bytes[32];
    struct rlimit r = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &r);
    if (r.rlim_cur == RLIM_INFINITY) ROW_SAYS(p, IO_PROBE_MEMLOCK, value, "unlimited");
    else ROW_SAYS(p, IO_PROBE_MEMLOCK, value, "%s", human(r.rlim_cur, bytes));
    // Only kernels before 5.12, which have no ring for us anyway, charge rings to it; later ones charge the
    // cgroup.
}

static bool guards_are_light(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool light = at != MAP_FAILED && madvise(at, page, LIGHT_GUARD) == 0;
    if (at != MAP_FAILED) munmap(at, page);
    return light;
}

static void probe_fibers(struct io_probe *p, const char *root)
{
    uint64_t maps = 0;
    (void)io_machine_number(root, "/proc/sys/vm/max_map_count", &maps);
    p->light_guards = guards_are_light();
    p->fibers_max = fiber_max_supported();
    if (p->light_guards) ROW_SAYS(p, IO_PROBE_FIBERS, value, "%u, light guard pages", p->fibers_max);
    else
        ROW_SAYS(p, IO_PROBE_FIBERS, value, "%u, guard pages by mprotect, vm.max_map_count %llu",
                 p->fibers_max, (unsigned long long)maps);
    if (p->fibers_max >= FIBERS_MAX) return;
    row_is(p, IO_PROBE_FIBERS, IO_PROBE_WARN);
    ROW_SAYS(p, IO_PROBE_FIBERS, why,
             "each request in progress needs two memory mappings; %u could be served with more", FIBERS_MAX);
    ROW_SAYS(p, IO_PROBE_FIBERS, mend,
             "sysctl vm.max_map_count=65530 (the default) or more; Linux 6.13 does not need it.");
}

static void probe_cpus(struct io_probe *p, const char *root)
{
    const uint64_t quota = io_machine_cpu_quota(root);
    const uint32_t cpus = io_machine_cpus();
    p->workers = io_workers_auto(root);
    if (quota == UINT64_MAX) ROW_SAYS(p, IO_PROBE_CPUS, value, "%u, no quota: %u workers", cpus, p->workers);
    else
        ROW_SAYS(p, IO_PROBE_CPUS, value, "%u, quota %llu.%02llu: %u workers", cpus,
                 (unsigned long long)quota / 1000, (unsigned long long)quota / 10 % 100, p->workers);
    if (quota >= 1000) return;
    row_is(p, IO_PROBE_CPUS, IO_PROBE_WARN);
    ROW_SAYS(p, IO_PROBE_CPUS, why,
             "the cgroup allows less than one CPU: the kernel will stop us for parts of each period");
    ROW_SAYS(p, IO_PROBE_CPUS, mend,
             "Give it a whole CPU (resources.limits.cpu, --cpus, CPUQuota=), or no limit.");
}

static void probe_memory(struct io_probe *p, const char *root)
{
    char limit_text[32], ram_text[32];
    const uint64_t limit = io_machine_memory_limit(root), ram = io_machine_memory(root);
    p->memory_bytes = io_memory_auto(root);
    if (limit < ram)
        ROW_SAYS(p, IO_PROBE_MEMORY, value, "%s of %s by cgroup", human(limit, limit_text),
                 human(ram, ram_text));
    else if (ram < UINT64_MAX) ROW_SAYS(p, IO_PROBE_MEMORY, value, "%s", human(ram, ram_text));
    else ROW_SAYS(p, IO_PROBE_MEMORY, value, "not known");
    if (2 * p->memory_bytes >= MEMORY_MIN) return;
    row_is(p, IO_PROBE_MEMORY, IO_PROBE_WARN);
    ROW_SAYS(p, IO_PROBE_MEMORY, why, "less than %u MiB: large bodies will be answered with 503",
             MEMORY_MIN >> 20);
    ROW_SAYS(p, IO_PROBE_MEMORY, mend, "Raise the memory limit, or lower limits.body.");
}

void io_probe_run(struct io_probe *ret, const char *root)
{
#define X(symbol, name) name,
    static const char *const names[] = {IO_PROBE_ROWS(X)};
#undef X
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++) {
        struct io_probe_row *row = &ret->row[i];
        row->what = names[i];
        row->value = row->why = row->mend = "";
    }
    if (!root) root = "";
    probe_kernel(ret, root); // first: others look at the version
    probe_uring(ret, root);
    probe_files(ret);
    probe_memlock(ret);
    probe_fibers(ret, root);
    probe_cpus(ret, root);
    probe_memory(ret, root);
}

bool io_probe_uring_ok(const struct io_probe *p)
{
    return p->uring_err == 0;
}

const struct io_probe_row *io_probe_uring_row(const struct io_probe *p)
{
    return &p->row[IO_PROBE_URING];
}

const char *io_probe_state_name(enum io_probe_state state)
{
    static const char *const names[] = {
        [IO_PROBE_OK] = "ok", [IO_PROBE_WARN] = "warn", [IO_PROBE_BAD] = "bad"};
    return names[state];
}

uint32_t io_workers_auto(const char *root)
{
    const uint64_t quota = io_machine_cpu_quota(root ? root : "");
    uint32_t n = io_machine_cpus();
    if (quota < (uint64_t)n * 1000) n = (uint32_t)((quota + 999) / 1000);
    if (n > IO_WORKERS_AUTO_MAX) n = IO_WORKERS_AUTO_MAX;
    return n > 0 ? n : 1;
}

int64_t io_memory_auto(const char *root)
{
    const uint64_t limit = io_machine_memory_limit(root ? root : ""),
                   ram = io_machine_memory(root ? root : "");
    const uint64_t least = limit < ram ? limit : ram;
    // Where neither is known, what the smallest of machines has.
    return (int64_t)(least == UINT64_MAX ? MIB(512) : least / 2);
}
