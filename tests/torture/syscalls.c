// Runs a command and makes the chosen one of its system calls fail, whichever thread makes it and whether or not it goes through
// libc (liburing's do not). No change to the command, and its process id and exit status are its own.
//
//   syscalls COMMAND [ARGUMENT...]        with RINGWAY_TORTURE=FILE, see torture.h
//   syscalls --list                       number, name and errors of the calls that may fail
//
// Method: a child that shares the descriptor table takes the listener of a seccomp filter which the parent sets on itself before
// it becomes the command (seccomp_unotify(2)). The child answers each notification by "go on" or by an error. Only calls of the
// table are asked about; the others cannot fail when they are used correctly (futex, close, munmap, clock_gettime, signals), or
// end the process. brk says no by its value, not by an error, and is left out too; malloc's mmap is not.
//
// Each call of the table fails with the error that a machine without memory, descriptors or disk gives.
// Exit: the command's own; 126 when the filter cannot be set; 127 when the command cannot be run.
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/torture/torture.h"

#define X(name, error) {SYS_##name, error, #name},
static const struct call {
    int nr;
    int error;
    const char *name;
} calls[] = {
    // Memory.
    X(mmap, ENOMEM) X(mprotect, ENOMEM) X(mremap, ENOMEM) X(madvise, ENOMEM)
    // Threads and the process.
    X(clone, EAGAIN) X(clone3, EAGAIN) X(prctl, EINVAL) X(prlimit64, EPERM) X(sched_getaffinity, EINVAL)
    // Files.
    X(openat, EMFILE) X(read, EIO) X(write, ENOSPC) X(writev, ENOSPC) X(pread64, EIO) X(lseek, ESPIPE)
        X(newfstatat, ENOMEM) X(fstat, ENOMEM) X(statx, ENOMEM) X(readlinkat, ENOMEM) X(getdents64, ENOMEM)
            X(fcntl, EINVAL) X(ioctl, ENOTTY) X(unlinkat, EIO) X(getrandom, EINTR)
    // Sockets.
    X(socket, EMFILE) X(socketpair, EMFILE) X(bind, EADDRINUSE) X(listen, EADDRINUSE) X(accept4, EMFILE)
        X(connect, EADDRNOTAVAIL) X(setsockopt, ENOMEM) X(getsockopt, ENOBUFS) X(getsockname, ENOBUFS)
            X(getpeername, ENOTCONN) X(sendto, ENOBUFS) X(sendmsg, ENOBUFS) X(recvfrom, ENOMEM)
                X(recvmsg, ENOMEM) X(shutdown, ENOTCONN)
    // Waiting.
    X(epoll_create1, EMFILE) X(epoll_ctl, ENOMEM) X(epoll_pwait, EINTR) X(ppoll, ENOMEM) X(eventfd2, EMFILE)
        X(signalfd4, EMFILE) X(pipe2, EMFILE) X(io_uring_setup, ENOMEM) X(io_uring_register, ENOMEM)
            X(io_uring_enter, EAGAIN)
#ifdef __x86_64__
                X(open, EMFILE) X(stat, ENOMEM) X(unlink, EIO) X(epoll_wait, EINTR) X(poll, ENOMEM)
                    X(readlink, ENOMEM)
#endif
};
#undef X
#define CALLS (sizeof calls / sizeof calls[0])
#define INSTRUCTIONS (CALLS + 3)

static const struct call *call_of(int nr)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].nr == nr) return &calls[i];
    return NULL;
}

// Sets the filter on this process and returns its listener.
static int filter_set(void)
{
    struct sock_filter code[INSTRUCTIONS] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (size_t i = 0; i < CALLS; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].nr,
                                                   (uint8_t)(CALLS - i), 0);
    code[1 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[2 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    const struct sock_fprog program = {.len = INSTRUCTIONS, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

// The supervisor: until nobody is left whom the filter holds.
static void answer(int listener, struct torture *t)
{
    struct torture_count *c = &t->count[TORTURE_SYSCALL];
    for (;;) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, -1) < 0) continue;
        if (!(ready.revents & POLLIN)) return;
        struct seccomp_notif ask = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) != 0) {
            if (errno == EINTR || errno == ENOENT) continue;
            return;
        }
        struct seccomp_notif_resp say = {.id = ask.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        const struct call *call = call_of(ask.data.nr);
        if (call && atomic_load(&t->begun) && torture_hit(c, call->nr)) {
            say.flags = 0;
            say.error = -call->error;
        }
        // ENOENT: the caller was interrupted; it asks again or is gone.
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &say) != 0 && errno != ENOENT) return;
    }
}

struct handed {
    _Atomic int listener; // 0: not yet
};

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < CALLS; i++) printf("%d %s %d\n", calls[i].nr, calls[i].name, calls[i].error);
        return 0;
    }
    struct torture *t = torture_map();
    struct handed *h = mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc < 2 || !t || h == MAP_FAILED) {
        fprintf(stderr, "usage: RINGWAY_TORTURE=FILE %s COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    const int parent = (int)getpid();
    const long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        // Not interrupted by what ends the command; gone with it, also before there is a listener.
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGUSR1, SIG_IGN);
        while (!atomic_load(&h->listener)) {
            if (getppid() != parent) _exit(0);
            usleep(100);
        }
        answer(atomic_load(&h->listener), t);
        _exit(0);
    }
    const int listener = child > 0 ? filter_set() : -1;
    if (listener < 0) {
        perror("syscalls: cannot set the filter");
        if (child > 0) kill((int)child, SIGKILL);
        return 126;
    }
    atomic_store(&h->listener, listener);
    execvp(argv[1], argv + 1);
    return 127;
}
