// See machine.h.
#include "io/machine.h"

#include <sched.h>
#include <stdio.h>

#include "base/check.h"

#define PATH_BYTES 512
#define LINE_BYTES 512
#define CPUS_MAX 8192
#define CGROUPS "/sys/fs/cgroup"

static FILE *open_file(const char *root, const char *path)
{
    char full[PATH_BYTES];
    const int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
}

// The next line without its end, valid until the next call with the same buffer. One that does not fit is
// cut.
static bool next_line(FILE *f, char buffer[LINE_BYTES], struct span *ret)
{
    if (!f || !fgets(buffer, LINE_BYTES, f)) return false;
    size_t n = strlen(buffer);
    if (n > 0 && buffer[n - 1] == '\n') n--;
    else
        for (int c = 0; c != '\n' && c != EOF;) c = fgetc(f);
    *ret = span_of(buffer, n);
    return true;
}

void io_machine_line(const char *root, const char *path, char out[IO_MACHINE_TEXT_BYTES])
{
    char buffer[LINE_BYTES];
    struct span line = {NULL, 0};
    FILE *f = open_file(root, path);
    (void)next_line(f, buffer, &line);
    if (f) fclose(f);
    const uint32_t n = line.n < IO_MACHINE_TEXT_BYTES ? line.n : IO_MACHINE_TEXT_BYTES - 1;
    if (n) memcpy(out, line.p, n);
    out[n] = 0;
}

bool io_machine_number(const char *root, const char *path, uint64_t *ret)
{
    char text[IO_MACHINE_TEXT_BYTES];
    io_machine_line(root, path, text);
    return span_u64(span_str(text), ret);
}

bool io_machine_field(const char *root, const char *path, struct span key, uint64_t *ret)
{
    char buffer[LINE_BYTES];
    struct span line, digits;
    FILE *f = open_file(root, path);
    bool found = false;
    while (!found && next_line(f, buffer, &line)) {
        if (line.n <= key.n || line.p[key.n] != ':' || !span_starts(line, key)) continue;
        line = span_trim(span_from(line, key.n + 1));
        found = span_split(&line, ' ', &digits) && span_u64(digits, ret); // a unit may follow
    }
    if (f) fclose(f);
    return found;
}

uint32_t io_machine_cpus(void)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
    int n = 0;
    if (set && sched_getaffinity(0, CPU_ALLOC_SIZE(CPUS_MAX), set) == 0)
        n = CPU_COUNT_S(CPU_ALLOC_SIZE(CPUS_MAX), set);
    CPU_FREE(set);
    return n > 0 ? (uint32_t)n : 1;
}

// --- Cgroups.

// Reads a limit out of one cgroup's folder; UINT64_MAX: none.
typedef uint64_t (*limit_fn)(const char *root, const char *folder);

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void line_in(const char *root, const char *folder, const char *name, char out[IO_MACHINE_TEXT_BYTES])
{
    char path[PATH_BYTES];
    out[0] = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path)
        io_machine_line(root, path, out);
}

// "max" (v2) and "-1" (v1) are no numbers, so they count as none.
static uint64_t number_in(const char *root, const char *folder, const char *name)
{
    char text[IO_MACHINE_TEXT_BYTES];
    uint64_t v = UINT64_MAX;
    line_in(root, folder, name, text);
    (void)span_u64(span_str(text), &v);
    return v;
}

static uint64_t cpu_v2(const char *root, const char *folder)
{
    char text[IO_MACHINE_TEXT_BYTES];
    uint64_t quota, period;
    line_in(root, folder, "cpu.max", text);
    struct span rest = span_str(text), field;
    if (!span_split(&rest, ' ', &field) || !span_u64(field, &quota) || !span_u64(rest, &period) ||
        period == 0 || quota > UINT64_MAX / 1000)
        return UINT64_MAX;
    return quota * 1000 / period;
}

static uint64_t cpu_v1(const char *root, const char *folder)
{
    const uint64_t quota = number_in(root, folder, "cpu.cfs_quota_us");
    const uint64_t period = number_in(root, folder, "cpu.cfs_period_us");
    return quota > UINT64_MAX / 1000 || period == 0 || period == UINT64_MAX ? UINT64_MAX
                                                                            : quota * 1000 / period;
}

static uint64_t memory_v2(const char *root, const char *folder)
{
    return number_in(root, folder, "memory.max");
}

static uint64_t memory_v1(const char *root, const char *folder)
{
    return number_in(root, folder, "memory.limit_in_bytes");
}

// The smallest limit from our cgroup up to the hierarchy's root: every ancestor binds. A container often sees
// its own group as the root while /proc names the path outside; then only the root is there to be read.
static uint64_t along(const char *root, const char *mount, struct span path, limit_fn limit)
{
    uint64_t least = limit(root, mount);
    while (path.n > 1) {
        char folder[PATH_BYTES];
        const int n = snprintf(folder, sizeof folder, "%s%.*s", mount, SPAN_ARG(path));
        if (n < (int)sizeof folder) least = smaller(least, limit(root, folder));
        while (path.n > 1 && path.p[path.n - 1] != '/') path.n--;
        path.n--;
    }
    return least;
}

// Whether "cpu" is among "cpu,cpuacct".
static bool names_controller(struct span list, struct span controller)
{
    struct span name;
    while (span_split(&list, ',', &name))
        if (span_eq(name, controller)) return true;
    return false;
}

// One line of /proc/self/cgroup, ID:CONTROLLERS:PATH; version 2 is the one without controllers.
static uint64_t limit_of_line(const char *root, struct span line, struct span controller, limit_fn v1,
                              limit_fn v2)
{
    char mount[64];
    struct span id, list;
    if (!span_split(&line, ':', &id) || !span_split(&line, ':', &list) || !line.p) return UINT64_MAX;
    if (list.n == 0)
        return smaller(along(root, CGROUPS, line, v2), along(root, CGROUPS "/unified", line, v2));
    if (!names_controller(list, controller)) return UINT64_MAX;
    snprintf(mount, sizeof mount, CGROUPS "/%.*s", SPAN_ARG(controller));
    const uint64_t by_name = along(root, mount, line, v1);
    snprintf(mount, sizeof mount, CGROUPS "/%.*s", SPAN_ARG(list));
    return smaller(by_name, along(root, mount, line, v1));
}

static uint64_t cgroup_limit(const char *root, struct span controller, limit_fn v1, limit_fn v2)
{
    char buffer[LINE_BYTES];
    struct span line;
    uint64_t least = UINT64_MAX;
    FILE *f = open_file(root, "/proc/self/cgroup");
    while (next_line(f, buffer, &line)) least = smaller(least, limit_of_line(root, line, controller, v1, v2));
    if (f) fclose(f);
    return least;
}

uint64_t io_machine_cpu_quota(const char *root)
{
    return cgroup_limit(root, SPAN("cpu"), cpu_v1, cpu_v2);
}

uint64_t io_machine_memory_limit(const char *root)
{
    return cgroup_limit(root, SPAN("memory"), memory_v1, memory_v2);
}

uint64_t io_machine_memory(const char *root)
{
    uint64_t kib = 0;
    if (!io_machine_field(root, "/proc/meminfo", SPAN("MemTotal"), &kib) || kib > UINT64_MAX / 1024)
        return UINT64_MAX;
    return kib * 1024;
}
