// insn COMMAND [ARG]...: runs COMMAND and prints the user-mode instructions of it and its children to
// stderr. Needs a PMU: real hardware, or arm64-vm --icount. Take slopes between two amounts of work, so
// that start and stop cancel.
#include <inttypes.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;
static void pass_on(int sig)
{
    kill(child, sig);
}

int main(int argc, char **argv)
{
    int gate[2];
    if (argc < 2 || pipe(gate)) return 2;
    child = fork();
    if (child == 0) {
        char c;
        close(gate[1]);
        if (read(gate[0], &c, 1) < 0) _exit(127);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    struct perf_event_attr a;
    memset(&a, 0, sizeof a);
    a.size = sizeof a;
    a.type = PERF_TYPE_HARDWARE;
    a.config = PERF_COUNT_HW_INSTRUCTIONS;
    a.disabled = a.inherit = a.enable_on_exec = a.exclude_kernel = a.exclude_hv = 1;
    int fd = (int)syscall(SYS_perf_event_open, &a, child, -1, -1, 0);
    if (fd < 0) perror("insn: perf_event_open");
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    close(gate[1]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {}
    uint64_t n = 0;
    if (fd >= 0 && read(fd, &n, sizeof n) == sizeof n) fprintf(stderr, "insn: %" PRIu64 "\n", n);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
