// Two logs. The access log: lines that the workers put into their rings (base/logring.h) go to stdout, to a
// file or to syslog, by a thread of its own. The process log: what the gateway has to tell people, one line
// each on stderr.
//
// Use      log_new(); log_attach() each worker's ring; log_start(); ...; log_stop(); log_free(). The
//          simulator calls log_step() instead of log_start() and log_stop().
// Sinks    never block for long: a pipe or terminal is opened anew as non-blocking, a socket is written with
//          MSG_DONTWAIT. A sink that takes nothing leaves the lines in the rings; when these are full the
//          workers drop and count (log_dropped()). A write error loses what was being written, counted, and
//          is reported at most once a minute.
// Files    are opened for appending, mode 0640. log_reopen() (SIGUSR1, after logrotate moved the file) makes
//          the next step open the path again; if that fails, the old file goes on.
// Syslog   datagrams to /dev/log after RFC 3164 as the local daemons read it: facility daemon, severity info.
//          Opened again when the daemon was restarted.
// Thread   log_step() and what log_start() makes: the log thread. log_attach(): one thread, also while the
//          log thread runs. log_reopen(), log_set(), log_wake(), log_dropped() and log_msg(): any thread.
//          log_reopen() and log_wake() also from a signal handler.
// Clock    given: log_start() takes the clock function that the log thread uses.
#ifndef RINGWAY_CONTROL_LOG_H
#define RINGWAY_CONTROL_LOG_H

#include <stdarg.h>
#include <sys/uio.h>

#include "base/logring.h"

enum log_access { LOG_ACCESS_OFF, LOG_ACCESS_STDOUT, LOG_ACCESS_FILE, LOG_ACCESS_SYSLOG };

struct log_cfg {
    enum log_access access;
    const char *path; // LOG_ACCESS_FILE; LOG_ACCESS_SYSLOG: the socket, NULL for /dev/log. Copied.
    const char *service; // the name that syslog shows; NULL: ringway. Copied.
};

struct log;

// RW_OK, -ENOMEM, or what opening the file gave (the text is in the process log).
RW_WARN_UNUSED enum rw_err log_new(const struct log_cfg *cfg, struct log **ret);
void log_free(struct log *l);

// At most WORKERS_MAX + 1 rings, which stay until log_free(). The ring's wake function may be log_ring_wake
// with l as its argument.
void log_attach(struct log *l, struct logring *ring);
void log_ring_wake(void *l);

// Moves what the rings hold to the sink, as far as it takes it. Returns how long the caller may sleep before
// the next step, in nanoseconds: 1 to 50 ms, shorter the fuller the rings were. now_ns and wall_ns as in
// base/clock.h.
int64_t log_step(struct log *l, int64_t now_ns, int64_t wall_ns);

// The thread. clock gives both times. log_stop() writes what is left for at most LOG_STOP_MS, then ends the
// thread.
RW_WARN_UNUSED enum rw_err log_start(struct log *l, void (*clock)(int64_t *ret_now_ns, int64_t *ret_wall_ns));
void log_stop(struct log *l);

void log_reopen(struct log *l);
void log_wake(struct log *l);

// After a reload: the sink changes at the next step. Errors as log_new(); on an error the old sink goes on.
RW_WARN_UNUSED enum rw_err log_set(struct log *l, const struct log_cfg *cfg);

// Access lines lost since the start: dropped by full rings and lost by the sink.
uint64_t log_dropped(const struct log *l);
// Access lines handed to the sink since the start.
uint64_t log_written(const struct log *l);

// --- The process log.

// Worst first.
#define RW_LOG_LEVELS(X) \
    X(LOG_ERROR, "error") \
    X(LOG_WARNING, "warning") \
    X(LOG_INFO, "info") \
    X(LOG_DEBUG, "debug")

#define X(symbol, name) symbol,
enum log_level { RW_LOG_LEVELS(X) LOG_LEVEL_COUNT };
#undef X

// False and untouched if there is no such name.
bool log_level_parse(struct span name, enum log_level *ret);

// What log_msg() lets through, and where it takes the time from (NULL: no time is written) and writes to (-1:
// stderr). Called by main before there are threads; the level may be set again later.
void log_msg_init(enum log_level level, int64_t (*wall_clock_ns)(void), int fd);
void log_msg_level(enum log_level level);

// One line: time, level, text. For people and at a low rate: uses vsnprintf, cut at LOG_MSG_BYTES_MAX.
// Control characters and line breaks of the text are written as \xNN, so that a line is a line whatever was
// put into it.
void log_msg(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
