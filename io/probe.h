// What this machine gives the gateway, and what stands in the way: for `ringway doctor`, for the choice
// between io_uring and epoll, and for the automatic numbers of workers and bytes. Each finding is a row that
// only has to be printed.
//
// Use      io_probe_run() once, at start or in doctor. Sets up a small ring, uses it over a socket pair, and
//          takes it down.
// Thread   any; reads files, so not a worker's. Nothing here is kept.
// root     prefix of /proc and /sys/fs/cgroup, for tests; NULL: the machine's own.
#ifndef RINGWAY_IO_PROBE_H
#define RINGWAY_IO_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define IO_WORKERS_AUTO_MAX 16u // more than that seldom has connections to keep it busy; `workers` may say so

enum io_probe_state {
    IO_PROBE_OK,
    IO_PROBE_WARN, // it works, at a cost
    IO_PROBE_BAD, // the gateway cannot serve
};

// The findings, in the order of the table.
#define IO_PROBE_ROWS(X) \
    X(IO_PROBE_URING, "io_uring") \
    X(IO_PROBE_KERNEL, "kernel") \
    X(IO_PROBE_FILES, "open_files") \
    X(IO_PROBE_MEMLOCK, "locked_memory") \
    X(IO_PROBE_FIBERS, "fibers") \
    X(IO_PROBE_CPUS, "cpus") \
    X(IO_PROBE_MEMORY, "memory")

#define X(symbol, name) symbol,
enum io_probe_what { IO_PROBE_ROWS(X) IO_PROBE_ROW_COUNT };
#undef X

struct io_probe_row {
    const char *what; // a stable name, for JSON
    const char *value; // what was found
    const char *why; // what it means; "" if all is well
    const char *mend; // what to do about it; "" if all is well
    enum io_probe_state state;
};

// Not to be copied: rows point into `text`.
struct io_probe {
    int uring_err; // 0, or the negative errno of the step that failed
    bool light_guards; // MADV_GUARD_INSTALL (Linux 6.13): fibers do not use up vm.max_map_count
    uint32_t kernel_major, kernel_minor;
    uint32_t fibers_max;
    uint32_t workers; // what `workers: auto` means here
    int64_t memory_bytes; // what `memory: auto` means here
    uint64_t files_max; // RLIMIT_NOFILE, the hard limit
    struct io_probe_row row[IO_PROBE_ROW_COUNT];
    uint32_t text_n;
    char text[1152];
};

void io_probe_run(struct io_probe *ret, const char *root);

// Whether io_uring can be used with our flags and features, and the row that says why not.
bool io_probe_uring_ok(const struct io_probe *p);
const struct io_probe_row *io_probe_uring_row(const struct io_probe *p);

const char *io_probe_state_name(enum io_probe_state state); // "ok", "warn", "bad"

// The smallest of the CPUs we may run on, the cgroup's CPU quota rounded up, and IO_WORKERS_AUTO_MAX; at
// least 1.
uint32_t io_workers_auto(const char *root);
// Half of the cgroup's memory limit, or of the machine's memory if that is smaller.
int64_t io_memory_auto(const char *root);

#endif
