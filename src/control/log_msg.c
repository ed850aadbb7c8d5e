// See log.h: the process log. Lines are few, so one mutex and one buffer are enough; they also keep lines
// from mixing.
#include "control/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fmt.h"

#define X(symbol, name) name,
static const char *const level_names[LOG_LEVEL_COUNT] = {RW_LOG_LEVELS(X)};
#undef X

// What main sets at start; before that, info and above goes to stderr without a time.
static struct {
    pthread_mutex_t lock;
    _Atomic int level;
    int64_t (*wall_clock_ns)(void);
    int fd;
    struct fmt_time time;
    char text[LOG_MSG_BYTES_MAX];
    char line[FMT_TIME_ISO_BYTES + 16 + 4 * LOG_MSG_BYTES_MAX]; // each byte may be written as \xNN
} process_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .fd = -1};

bool log_level_parse(struct span name, enum log_level *ret)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (!span_eq(name, span_str(level_names[i]))) continue;
        *ret = (enum log_level)i;
        return true;
    }
    return false;
}

void log_msg_init(enum log_level level, int64_t (*wall_clock_ns)(void), int fd)
{
    pthread_mutex_lock(&process_log.lock);
    process_log.wall_clock_ns = wall_clock_ns;
    process_log.fd = fd;
    pthread_mutex_unlock(&process_log.lock);
    log_msg_level(level);
}

void log_msg_level(enum log_level level)
{
    MUST((unsigned)level < LOG_LEVEL_COUNT);
    atomic_store_explicit(&process_log.level, (int)level, memory_order_relaxed);
}

static void put_escaped(struct fmt *line, const char *text)
{
    for (; *text; text++) {
        const uint8_t c = (uint8_t)*text;
        if (c >= 0x20 && c != 0x7f) {
            fmt_char(line, *text);
            continue;
        }
        fmt_str(line, "\\x");
        fmt_hex(line, c, 2);
    }
}

void log_msg(enum log_level level, const char *format, ...)
{
    MUST((unsigned)level < LOG_LEVEL_COUNT);
    if ((int)level > atomic_load_explicit(&process_log.level, memory_order_relaxed)) return;
    pthread_mutex_lock(&process_log.lock);
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(process_log.text, sizeof process_log.text, format, args);
    va_end(args);
    struct fmt line;
    fmt_init(&line, process_log.line, sizeof process_log.line);
    if (process_log.wall_clock_ns) {
        fmt_time_iso(&line, &process_log.time, process_log.wall_clock_ns());
        fmt_char(&line, ' ');
    }
    fmt_str(&line, level_names[level]);
    fmt_char(&line, ' ');
    put_escaped(&line, n < 0 ? format : process_log.text);
    fmt_char(&line, '\n');
    MUST(!line.overflow);
    // One write, so that lines of several processes on one stderr do not mix. Who cannot write to stderr has
    // no place to say so.
    const ssize_t written = write(process_log.fd < 0 ? STDERR_FILENO : process_log.fd, line.p, line.n);
    (void)written;
    pthread_mutex_unlock(&process_log.lock);
}
