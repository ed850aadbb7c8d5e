// What the parts of the torture share: one page of memory, mapped by the runner (run.py), by the gateway under test (inject.c)
// and by the supervisor of its system calls (syscalls.c). The runner says which call of a kind shall fail; the two others count
// the calls and make that one fail.
//
// The file's path is in the environment variable RINGWAY_TORTURE. run.py knows the layout by TORTURE_LAYOUT.
#ifndef RINGWAY_TESTS_TORTURE_H
#define RINGWAY_TESTS_TORTURE_H

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TORTURE_BYTES 4096
#define TORTURE_FRAMES 8

enum torture_kind {
    TORTURE_MEMORY, // an allocation
    TORTURE_OPERATION, // a submission to the io/ driver
    TORTURE_SYSCALL,
    TORTURE_KINDS,
};

struct torture_count {
    _Atomic uint64_t seen; // calls so far
    _Atomic uint64_t fail_at; // the one with this number fails; 0: none
    _Atomic uint64_t fired; // how many were made to fail
    _Atomic int64_t what; // the kind of operation, the number of the system call
    _Atomic uint64_t frames[TORTURE_FRAMES]; // who called, less the program's base; 0 ends
};

struct torture {
    struct torture_count count[TORTURE_KINDS];
    _Atomic int64_t error; // for operations: the negative errno; 0: one that suits the operation
    _Atomic uint64_t begun; // the program is past its loader: before that nothing is counted
};

static_assert(sizeof(struct torture) == 8 * ((4 + TORTURE_FRAMES) * TORTURE_KINDS + 2),
              "run.py reads words of 8 bytes");

// NULL: no torture.
static inline struct torture *torture_map(void)
{
    const char *path = getenv("RINGWAY_TORTURE");
    if (!path) return NULL;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return NULL;
    void *p = mmap(NULL, TORTURE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

// Counts one call; true if it is the one that fails.
static inline int torture_hit(struct torture_count *c, int64_t what)
{
    const uint64_t n = atomic_fetch_add(&c->seen, 1) + 1;
    if (n != atomic_load(&c->fail_at)) return 0;
    atomic_store(&c->what, what);
    atomic_fetch_add(&c->fired, 1);
    return 1;
}

#endif
