// Runs a command in a world where io_uring is refused, as container runtimes and hardened hosts do.
//
//   seccomp_run --io-uring=EPERM|ENOSYS COMMAND [ARGUMENT...]
//
// EPERM is what a seccomp profile or kernel.io_uring_disabled answers, ENOSYS what older runtimes and kernels
// answer. The filter is seccomp-bpf by prctl(2), without a library: the three io_uring calls (their numbers
// are the same on all architectures) fail with the given errno, everything else is allowed. It holds for the
// command and its children.
// Exit: the command's own; 2 for wrong use; 126 when the filter cannot be set; 127 when the command cannot be
// run.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture's AUDIT_ARCH_ constant here"
#endif

enum { NR_IO_URING_SETUP = 425, NR_IO_URING_REGISTER = 427 };

static int errno_of(const char *name)
{
    if (strcmp(name, "EPERM") == 0) return EPERM;
    if (strcmp(name, "ENOSYS") == 0) return ENOSYS;
    return 0;
}

static int refuse_io_uring(int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NR_IO_URING_SETUP, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NR_IO_URING_REGISTER, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv)
{
    static const char option[] = "--io-uring=";
    int error = 0;
    if (argc >= 3 && strncmp(argv[1], option, sizeof option - 1) == 0) {
        error = errno_of(argv[1] + sizeof option - 1);
    }
    if (error == 0) {
        fprintf(stderr, "usage: %s --io-uring=EPERM|ENOSYS COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    if (refuse_io_uring(error) != 0) {
        perror("seccomp_run: cannot set the filter");
        return 126;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
