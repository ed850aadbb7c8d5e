// probe: /proc and /sys/fs/cgroup are made up under a folder of the test's; the kernel's refusals are real,
// made by seccomp filters in a child process, which hands its findings back through shared memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/driver.h"
#include "io/machine.h"
#include "io/probe.h"

#define GIB (UINT64_C(1) << 30)

static char root[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/ringway-probe-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

// Writes a file under the root, with the folders above it.
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void machine_of(const char *ram_kib)
{
    char text[128];
    snprintf(text, sizeof text, "MemTotal:       %s kB\nMemFree:  1 kB\n", ram_kib);
    put("/proc/meminfo", text);
}

// --- Cgroups.

static void test_machine__nothing_known(void **state)
{
    (void)state;
    assert_true(io_machine_cpu_quota(root) == UINT64_MAX);
    assert_true(io_machine_memory_limit(root) == UINT64_MAX);
    assert_true(io_machine_memory(root) == UINT64_MAX);
    assert_int_equal(io_workers_auto(root), io_machine_cpus() < 16 ? io_machine_cpus() : 16);
    assert_int_equal(io_memory_auto(root), 512 << 20);
}

static void test_machine__cgroup_v2_and_its_ancestors(void **state)
{
    (void)state;
    machine_of("16777216");
    put("/proc/self/cgroup", "0::/kubepods.slice/pod1/ctr\n");
    put("/sys/fs/cgroup/kubepods.slice/pod1/ctr/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/kubepods.slice/pod1/ctr/memory.max", "max\n");
    assert_true(io_machine_cpu_quota(root) == UINT64_MAX);
    assert_true(io_machine_memory_limit(root) == UINT64_MAX);
    assert_int_equal(io_memory_auto(root), 8 * GIB);
    put("/sys/fs/cgroup/kubepods.slice/pod1/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/kubepods.slice/pod1/memory.max", "1073741824\n");
    assert_int_equal(io_machine_cpu_quota(root), 1500);
    assert_int_equal(io_machine_memory_limit(root), GIB);
    assert_int_equal(io_memory_auto(root), GIB / 2);
    put("/sys/fs/cgroup/kubepods.slice/pod1/ctr/cpu.max", "20000 50000\n");
    assert_int_equal(io_machine_cpu_quota(root), 400);
    assert_int_equal(io_workers_auto(root), 1);
    put("/sys/fs/cgroup/kubepods.slice/memory.max", "536870912\n");
    assert_int_equal(io_machine_memory_limit(root), GIB / 2);
    // A limit above what there is limits nothing.
    machine_of("262144");
    assert_int_equal(io_memory_auto(root), GIB / 8);
}

static void test_machine__cgroup_v2_seen_from_inside_a_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "250000 100000\n");
    put("/sys/fs/cgroup/memory.max", "2147483648\n");
    assert_int_equal(io_machine_cpu_quota(root), 2500);
    assert_int_equal(io_machine_memory_limit(root), 2 * GIB);
    // The path outside is named, but only the inside is mounted.
    put("/proc/self/cgroup", "0::/docker/0123\n");
    assert_int_equal(io_machine_cpu_quota(root), 2500);
}

static void test_machine__cgroup_v1_and_hybrid(void **state)
{
    (void)state;
    machine_of("16777216");
    put("/proc/self/cgroup",
        "9:name=systemd:/x\n5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n3:cpuset:/\n0::/x\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes",
        "9223372036854771712\n"); // what v1 says for none
    assert_true(io_machine_cpu_quota(root) == UINT64_MAX);
    assert_int_equal(io_memory_auto(root), 8 * GIB);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "1073741824\n");
    assert_int_equal(io_machine_cpu_quota(root), 3000);
    assert_int_equal(io_machine_memory_limit(root), GIB);
    put("/sys/fs/cgroup/unified/x/memory.max", "1048576\n");
    assert_int_equal(io_machine_memory_limit(root), 1 << 20);
}

static void test_machine__odd_files_are_no_limit(void **state)
{
    (void)state;
    static const char *const odd[] = {"",         "\n",       "x 100000",  "100000",
                                      "100000 0", "100000 x", "-5 100000", "18446744073709551615 100000",
                                      "1 2 3"};
    char cgroup[700] = "0::/";
    memset(cgroup + 4, 'a', 600); // longer than any path of ours
    put("/proc/self/cgroup", cgroup);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        put("/sys/fs/cgroup/cpu.max", odd[i]);
        put("/sys/fs/cgroup/memory.max", odd[i]);
        assert_true(io_machine_cpu_quota(root) == UINT64_MAX);
    }
    put("/proc/self/cgroup", "no colon\n1:one\n:\n::\n0::/deep/\n");
    put("/sys/fs/cgroup/deep/cpu.max", "100000 100000");
    assert_int_equal(io_machine_cpu_quota(root), 1000);
}

static void test_workers_auto__follows_the_affinity(void **state)
{
    (void)state;
    cpu_set_t was, one;
    assert_int_equal(sched_getaffinity(0, sizeof was, &was), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &was)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const uint32_t n = io_workers_auto(root);
    assert_int_equal(sched_setaffinity(0, sizeof was, &was), 0);
    assert_int_equal(n, 1);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "6400000 100000\n");
    assert_int_equal(io_workers_auto(root), CPU_COUNT(&was) < 16 ? CPU_COUNT(&was) : 16);
    if (CPU_COUNT(&was) < 2) return;
    put("/sys/fs/cgroup/cpu.max", "101000 100000\n"); // 1.01 is two
    assert_int_equal(io_workers_auto(root), 2);
}

// --- Refusals.

struct refusal {
    int call; // system call
    int err; // what it is answered with; 0: nothing is refused
    int only_with; // only if its third argument is this; -1: always
};

static bool refuse(const struct refusal *r)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->only_with, 0, (uint8_t)(r->only_with < 0 ? 0 : 1)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)r->err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Runs the probe in a child that is refused something; the result lies in shared memory at the same address,
// so that the rows' texts can be read.
static const struct io_probe *probed(const struct refusal *r, rlim_t files)
{
    struct io_probe *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {files, files};
        if (files && setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(2);
        if (r->err && !refuse(r)) _exit(3);
        io_probe_run(p, root);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return p;
}

static void done_with(const struct io_probe *p)
{
    munmap((void *)(uintptr_t)p, sizeof *p);
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static void test_run__says_why_io_uring_is_refused(void **state)
{
    (void)state;
    static const struct {
        int call, err;
        const char *disabled, *group, *seccomp, *release, *why, *mend;
    } rows[] = {
        {SYS_io_uring_setup, EPERM, "2", "-1", "2", "6.1.0", "io_uring_disabled is 2", "io_uring_disabled=0"},
        {SYS_io_uring_setup, EPERM, "1", "999", "0", "6.6.1", "group 999", "kernel.io_uring_group="},
        {SYS_io_uring_setup, EPERM, "0", "-1", "2", "6.6.1", "seccomp filter answers EPERM", "seccomp=FILE"},
        {SYS_io_uring_setup, EPERM, NULL, NULL, "2", "6.1.0", "seccomp filter answers EPERM",
         "seccompProfile"},
        {SYS_io_uring_setup, EPERM, NULL, NULL, "0", "6.1.0", "security module", "audit"},
        {SYS_io_uring_setup, EACCES, NULL, NULL, "0", "6.1.0", "security module", "audit"},
        {SYS_io_uring_setup, ENOSYS, NULL, NULL, "2", "6.1.0", "seccomp filter answers ENOSYS",
         "io_uring_setup"},
        {SYS_io_uring_setup, ENOSYS, NULL, NULL, "0", "6.1.0", "built without io_uring", "CONFIG_IO_URING"},
        {SYS_io_uring_setup, ENOSYS, NULL, NULL, "2", "4.18.0", "too old", "6.1 or newer"},
        {SYS_io_uring_setup, EINVAL, NULL, NULL, "0", "5.15.0-91", "older than 6.1", "6.1 or newer"},
        {SYS_io_uring_setup, EINVAL, NULL, NULL, "0", "6.8.0", "setup failed with EINVAL", "io: epoll"},
        {SYS_io_uring_setup, ENOMEM, NULL, NULL, "0", "6.1.0", "locked memory", "LimitMEMLOCK"},
        {SYS_io_uring_setup, EMFILE, NULL, NULL, "0", "6.1.0", "no descriptor", "LimitNOFILE"},
        {SYS_io_uring_register, EPERM, NULL, NULL, "2", "6.1.0", "seccomp filter answers EPERM",
         "io_uring_register"},
        {SYS_io_uring_enter, EPERM, NULL, NULL, "2", "6.1.0", "seccomp filter answers EPERM",
         "io_uring_enter"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char status[64], release[64];
        snprintf(status, sizeof status, "Name:\tx\nSeccomp:\t%s\nSeccomp_filters:\t7\n", rows[i].seccomp);
        snprintf(release, sizeof release, "%s\n", rows[i].release);
        teardown(NULL);
        setup(NULL);
        put("/proc/self/status", status);
        put("/proc/sys/kernel/osrelease", release);
        if (rows[i].disabled) put("/proc/sys/kernel/io_uring_disabled", rows[i].disabled);
        if (rows[i].group) put("/proc/sys/kernel/io_uring_group", rows[i].group);
        const struct io_probe *p = probed(&(struct refusal){rows[i].call, rows[i].err, -1}, 0);
        const struct io_probe_row *row = io_probe_uring_row(p);
        assert_false(io_probe_uring_ok(p));
        assert_int_equal(row->state, IO_PROBE_WARN);
        assert_string_equal(row->what, "io_uring");
        // Where the machine's own kernel refuses the ring altogether, later steps are not reached.
        if (rows[i].call == SYS_io_uring_setup) assert_int_equal(p->uring_err, -rows[i].err);
        if (p->uring_err == -rows[i].err) {
            has(row->value, rw_err_name(-rows[i].err));
            has(row->why, rows[i].why);
            has(row->mend, rows[i].mend);
        }
        done_with(p);
    }
}

static void test_run__agrees_with_the_driver(void **state)
{
    (void)state;
    int err = 0;
    const struct io_probe *p = probed(&(struct refusal){0}, 0);
    struct io_driver *d = io_uring_open(8, &err);
    assert_int_equal(io_probe_uring_ok(p), d != NULL);
    assert_int_equal(p->row[IO_PROBE_URING].state, d ? IO_PROBE_OK : IO_PROBE_WARN);
    assert_int_equal(strlen(io_probe_uring_row(p)->why) > 0, d == NULL);
    if (d) d->ops->close(d);
    else print_message("SKIPPED: what follows a successful setup, io_uring gives %s\n", rw_err_name(err));
    done_with(p);
}

static void test_run__kernel_versions(void **state)
{
    (void)state;
    static const struct {
        const char *release;
        enum io_probe_state state;
    } rows[] = {
        {"5.4.0-150-generic\n", IO_PROBE_BAD},
        {"5.9.16\n", IO_PROBE_BAD},
        {"5.10.0\n", IO_PROBE_WARN},
        {"5.15.0\n", IO_PROBE_WARN},
        {"6.0.19\n", IO_PROBE_WARN},
        {"6.1.0-13-arm64\n", IO_PROBE_OK},
        {"6.18.44\n", IO_PROBE_OK},
        {"10.0.1\n", IO_PROBE_OK},
        {"garbage\n", IO_PROBE_BAD},
    };
    struct io_probe p;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("/proc/sys/kernel/osrelease", rows[i].release);
        io_probe_run(&p, root);
        if (p.row[IO_PROBE_KERNEL].state != rows[i].state) fail_msg("%s", rows[i].release);
        assert_int_equal(strlen(p.row[IO_PROBE_KERNEL].mend) > 0, rows[i].state != IO_PROBE_OK);
    }
}

static void test_run__open_files(void **state)
{
    (void)state;
    const struct io_probe *p = probed(&(struct refusal){0}, 512);
    assert_int_equal(p->row[IO_PROBE_FILES].state, IO_PROBE_BAD);
    assert_string_equal(p->row[IO_PROBE_FILES].value, "512");
    done_with(p);
    p = probed(&(struct refusal){0}, 4096);
    assert_int_equal(p->row[IO_PROBE_FILES].state, IO_PROBE_WARN);
    assert_int_equal(p->files_max, 4096);
    has(p->row[IO_PROBE_FILES].why, "1792 connections");
    has(p->row[IO_PROBE_FILES].mend, "40512");
    done_with(p);
}

static void test_run__guard_pages(void **state)
{
    (void)state;
    put("/proc/sys/vm/max_map_count", "65530\n");
    const struct io_probe *p = probed(&(struct refusal){SYS_madvise, EINVAL, 102}, 0);
    assert_false(p->light_guards);
    has(p->row[IO_PROBE_FIBERS].value, "vm.max_map_count 65530");
    assert_true(p->fibers_max > 0);
    done_with(p);
}

static void test_run__less_than_a_cpu_and_little_memory(void **state)
{
    (void)state;
    struct io_probe p;
    machine_of("16777216");
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "25500 100000\n");
    put("/sys/fs/cgroup/memory.max", "67108864\n");
    io_probe_run(&p, root);
    assert_int_equal(p.row[IO_PROBE_CPUS].state, IO_PROBE_WARN);
    has(p.row[IO_PROBE_CPUS].value, "quota 0.25: 1 workers");
    assert_int_equal(p.row[IO_PROBE_MEMORY].state, IO_PROBE_WARN);
    assert_string_equal(p.row[IO_PROBE_MEMORY].value, "64 MiB of 16 GiB by cgroup");
    assert_int_equal(p.workers, 1);
    assert_int_equal(p.memory_bytes, 32 << 20);
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/memory.max", "1610612736\n");
    io_probe_run(&p, root);
    assert_int_equal(p.row[IO_PROBE_CPUS].state, IO_PROBE_OK);
    assert_int_equal(p.row[IO_PROBE_MEMORY].state, IO_PROBE_OK);
    assert_string_equal(p.row[IO_PROBE_MEMORY].value, "1.5 GiB of 16 GiB by cgroup");
    // Every row has a name and a value, none of them cut.
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++) {
        assert_true(strlen(p.row[i].what) > 0);
        if (i != IO_PROBE_KERNEL) assert_true(strlen(p.row[i].value) > 0);
    }
    assert_true(p.text_n < sizeof p.text - 1);
    assert_string_equal(io_probe_state_name(p.row[0].state), p.uring_err ? "warn" : "ok");
}

static void test_run__long_texts_are_cut_not_overrun(void **state)
{
    (void)state;
    static char long_line[1000];
    memset(long_line, '9', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = 0;
    put("/proc/sys/kernel/osrelease", long_line);
    put("/proc/sys/kernel/io_uring_disabled", "1");
    put("/proc/sys/kernel/io_uring_group", long_line);
    put("/proc/self/status", long_line);
    const struct io_probe *p = probed(&(struct refusal){SYS_io_uring_setup, EPERM, -1}, 512);
    assert_int_equal(strlen(p->row[IO_PROBE_KERNEL].value), IO_MACHINE_TEXT_BYTES - 1);
    for (int i = 0; i < IO_PROBE_ROW_COUNT; i++) {
        assert_true(strlen(p->row[i].value) < sizeof p->text);
        assert_true(strlen(p->row[i].mend) < sizeof p->text);
    }
    done_with(p);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_machine__nothing_known),
        T(test_machine__cgroup_v2_and_its_ancestors),
        T(test_machine__cgroup_v2_seen_from_inside_a_container),
        T(test_machine__cgroup_v1_and_hybrid),
        T(test_machine__odd_files_are_no_limit),
        T(test_workers_auto__follows_the_affinity),
        T(test_run__says_why_io_uring_is_refused),
        T(test_run__agrees_with_the_driver),
        T(test_run__kernel_versions),
        T(test_run__open_files),
        T(test_run__guard_pages),
        T(test_run__less_than_a_cpu_and_little_memory),
        T(test_run__long_texts_are_cut_not_overrun),
    };
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
