// What the files of the log share: the sink, to which bytes go without ever waiting.
//
// Owner    the log. Thread: open and close any, the rest the log thread's (or log_step()'s caller).
#ifndef RINGWAY_CONTROL_LOG_PRIV_H
#define RINGWAY_CONTROL_LOG_PRIV_H

#include "control/log.h"

enum log_sink_kind {
    LOG_SINK_OFF, // takes everything and keeps nothing
    LOG_SINK_STREAM, // a file, or a pipe or terminal of our own opening, which does not block
    LOG_SINK_POLLED, // a pipe that could not be opened anew: asked first, written in small pieces
    LOG_SINK_SOCKET, // a stream socket as stdout (systemd)
    LOG_SINK_SYSLOG // a connected datagram socket
};

struct log_sink {
    enum log_sink_kind kind;
    enum log_access access;
    int fd;
    bool own_fd;
    char *path; // NULL: stdout
    char *service;
    int64_t retry_at_ns; // syslog, while its daemon is away: when to connect again
    uint64_t lost; // lines that it could not pass on (too long for a datagram)
};

// Opens what cfg names. Says in the process log what went wrong.
RW_WARN_UNUSED enum rw_err log_sink_open(const struct log_cfg *cfg, struct log_sink **ret);
void log_sink_close(struct log_sink *s);

// Opens the path of a file once more; on an error the old descriptor goes on. True if there is a new one.
bool log_sink_reopen(struct log_sink *s);

// Takes bytes off the front of the pieces: any number for a stream, whole lines for syslog. -EAGAIN if it can
// take none now.
int64_t log_sink_write(struct log_sink *s, const struct iovec *pieces, int count, int64_t now_ns,
                       int64_t wall_ns);

#endif
