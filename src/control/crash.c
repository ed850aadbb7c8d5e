// See crash.h.
#include "control/crash.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "io/fiber.h"

#define FRAMES_MAX 32
#define LINE_BYTES 512
#define STACK_BYTES (32 * 1024)

extern const char __executable_start[];
extern const char etext[];

struct line {
    char text[LINE_BYTES];
    size_t n;
};

static void add(struct line *l, const char *text, size_t n)
{
    if (n > sizeof l->text - l->n) n = sizeof l->text - l->n;
    memcpy(l->text + l->n, text, n);
    l->n += n;
}

static void add_text(struct line *l, const char *text)
{
    add(l, text, strlen(text));
}

static void add_hex(struct line *l, uintptr_t v)
{
    char digits[2 * sizeof v];
    size_t n = 0;
    do {
        digits[sizeof digits - ++n] = "0123456789abcdef"[v & 15];
        v >>= 4;
    } while (v);
    add_text(l, "0x");
    add(l, digits + sizeof digits - n, n);
}

static void say(struct line *l)
{
    add(l, "\n", 1);
    const ssize_t written = write(STDERR_FILENO, l->text, l->n);
    (void)written;
    l->n = 0;
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    case SIGABRT: return "SIGABRT";
    default: return "a signal";
    }
}

// Reads two words of this process without trusting the address.
static bool peek(uintptr_t at, uintptr_t ret[2])
{
    struct iovec to = {.iov_base = ret, .iov_len = 2 * sizeof *ret};
    struct iovec from = {.iov_base = (void *)at, .iov_len = 2 * sizeof *ret};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)to.iov_len;
}

static void add_address(struct line *l, uintptr_t at)
{
    const uintptr_t start = (uintptr_t)__executable_start;
    if (at >= start && at < (uintptr_t)etext) {
        add_text(l, " ringway+");
        add_hex(l, at - start);
    } else {
        add_text(l, " ");
        add_hex(l, at);
    }
}

// Follows the frame pointers (the program is built with them).
static void add_calls(struct line *l, const ucontext_t *context)
{
#if defined(__x86_64__)
    uintptr_t pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP],
              frame = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
#else
    uintptr_t pc = (uintptr_t)context->uc_mcontext.pc, frame = (uintptr_t)context->uc_mcontext.regs[29];
#endif
    add_address(l, pc);
    for (int i = 0; i < FRAMES_MAX; i++) {
        uintptr_t words[2];
        if (frame == 0 || (frame & 7) || !peek(frame, words) || words[1] == 0) break;
        add_address(l, words[1]);
        if (words[0] <= frame) break;
        frame = words[0];
    }
}

static void last_words(int number, siginfo_t *info, void *context)
{
    struct line l = {.n = 0};
    char thread[16] = "?";
    prctl(PR_GET_NAME, thread, 0, 0, 0);
    const struct span request = fiber_note_of_running();
    add_text(&l, "ringway " RW_VERSION " (" RW_BUILD ") died of ");
    add_text(&l, signal_name(number));
    if (number == SIGSEGV || number == SIGBUS) {
        add_text(&l, " at ");
        add_hex(&l, (uintptr_t)info->si_addr);
    }
    add_text(&l, ", thread ");
    add_text(&l, thread);
    add_text(&l, ", request ");
    if (request.p) add(&l, (const char *)request.p, request.n);
    else add_text(&l, "none");
    say(&l);
    add_text(&l, "calls:");
    add_calls(&l, context);
    say(&l);
    // SA_RESETHAND restored the default: the signal comes again when this returns, or is sent here (abort).
    raise(number);
}

void crash_thread(void)
{
    static _Thread_local uint8_t stack[STACK_BYTES];
    const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, NULL);
}

// The bits of core(5): of all memory only the headers of ELF files, by which a debugger knows what was loaded.
#define CORE_WITHOUT_MEMORY "0x10"

static void keep_out_of_cores(void)
{
    const char *wanted = getenv("RINGWAY_CORE");
    if (wanted && strcmp(wanted, "full") == 0) return;
    const int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? write(fd, CORE_WITHOUT_MEMORY, sizeof CORE_WITHOUT_MEMORY - 1) : -1;
    if (n < 0) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (fd >= 0) close(fd);
}

void crash_install(void)
{
    keep_out_of_cores();
    crash_thread();
    struct sigaction action = {.sa_sigaction = last_words,
                               .sa_flags = SA_SIGINFO | (int)SA_RESETHAND | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaction(fatal[i], &action, NULL);
}
