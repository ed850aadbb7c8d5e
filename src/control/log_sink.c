// See log_priv.h. Whether a descriptor blocks is a property of the open file that it shares with the parent
// process, so it is not changed here: a pipe or terminal is opened a second time through /proc, which makes
// an open file of our own.
#include "control/log_priv.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fmt.h"

#define SYSLOG_PATH "/dev/log"
#define SYSLOG_PRIORITY "<30>" // facility daemon (3) * 8 + severity informational (6)
#define SYSLOG_RETRY_NS CLOCK_SEC
#define SYSLOG_BATCH 8
#define SYSLOG_HEADER_BYTES_MAX 96
#define SERVICE_BYTES_MAX 48 // RFC 5424 has 48 for APP-NAME; RFC 3164's 32 is held by nobody
// A pipe that says it is writable takes this much without blocking (pipe(7)).
#define POLLED_BYTES_MAX 4096

static enum rw_err open_stdout(struct log_sink *s)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) < 0) return rw_errno();
    s->fd = STDOUT_FILENO;
    s->kind = LOG_SINK_STREAM;
    if (S_ISREG(st.st_mode)) return RW_OK;
    if (S_ISSOCK(st.st_mode)) {
        s->kind = LOG_SINK_SOCKET;
        return RW_OK;
    }
    const int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    s->own_fd = fd >= 0;
    if (fd >= 0) s->fd = fd;
    else s->kind = LOG_SINK_POLLED;
    return RW_OK;
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
}

static int connect_syslog(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const size_t n = strlen(path);
    if (n >= sizeof to.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, path, n + 1);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
        const int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static enum rw_err open_named(struct log_sink *s)
{
    s->fd = s->access == LOG_ACCESS_FILE ? open_path(s->path) : connect_syslog(s->path);
    if (s->fd < 0) {
        const enum rw_err err = rw_errno();
        log_msg(LOG_ERROR, "access log: cannot open %s: %s", s->path, rw_err_name(err));
        return err;
    }
    s->own_fd = true;
    s->kind = s->access == LOG_ACCESS_FILE ? LOG_SINK_STREAM : LOG_SINK_SYSLOG;
    return RW_OK;
}

enum rw_err log_sink_open(const struct log_cfg *cfg, struct log_sink **ret)
{
    const char *path = cfg->access == LOG_ACCESS_SYSLOG && !cfg->path ? SYSLOG_PATH : cfg->path;
    const bool named = cfg->access == LOG_ACCESS_FILE || cfg->access == LOG_ACCESS_SYSLOG;
    MUST(!named || path);
    struct log_sink *s = calloc(1, sizeof *s);
    if (!s) return (enum rw_err) - ENOMEM;
    s->access = cfg->access;
    s->fd = -1;
    s->service = strndup(cfg->service ? cfg->service : "ringway", SERVICE_BYTES_MAX);
    s->path = named ? strdup(path) : NULL;
    enum rw_err err = RW_OK;
    if (!s->service || (named && !s->path)) err = (enum rw_err) - ENOMEM;
    else if (named) err = open_named(s);
    else if (cfg->access == LOG_ACCESS_STDOUT) err = open_stdout(s);
    if (err) {
        log_sink_close(s);
        return err;
    }
    *ret = s;
    return RW_OK;
}

void log_sink_close(struct log_sink *s)
{
    if (!s) return;
    if (s->own_fd) close(s->fd);
    free(s->path);
    free(s->service);
    free(s);
}

bool log_sink_reopen(struct log_sink *s)
{
    if (s->access != LOG_ACCESS_FILE) return false;
    const int fd = open_path(s->path);
    if (fd < 0) {
        log_msg(LOG_ERROR, "access log: cannot open %s again: %s; the file that is open goes on", s->path,
                rw_err_name(rw_errno()));
        return false;
    }
    close(s->fd);
    s->fd = fd;
    return true;
}

// --- Syslog.

// "<30>Nov 21 09:27:00 ringway[123]: ", RFC 3164 4.1 without the host, as programs speak to the daemon of
// their own machine. The time is UTC; the daemons use their own clock unless told otherwise.
static uint32_t header_make(const struct log_sink *s, int64_t wall_ns, char out[SYSLOG_HEADER_BYTES_MAX])
{
    struct fmt_time cache = {0};
    char date[FMT_TIME_HTTP_BYTES];
    struct fmt f;
    fmt_init(&f, date, sizeof date);
    fmt_time_http(&f, &cache, wall_ns); // "Fri, 21 Nov 2025 09:27:00 GMT"
    fmt_init(&f, out, SYSLOG_HEADER_BYTES_MAX);
    fmt_str(&f, SYSLOG_PRIORITY);
    fmt_bytes(&f, date + 8, 3);
    fmt_char(&f, ' ');
    fmt_char(&f, date[5] == '0' ? ' ' : date[5]);
    fmt_bytes(&f, date + 6, 1);
    fmt_char(&f, ' ');
    fmt_bytes(&f, date + 17, 8);
    fmt_char(&f, ' ');
    fmt_str(&f, s->service);
    fmt_char(&f, '[');
    fmt_i64(&f, getpid());
    fmt_str(&f, "]: ");
    MUST(!f.overflow);
    return f.n;
}

// A place in the pieces.
struct cursor {
    const struct iovec *piece;
    int left; // pieces, this one included
    size_t at;
};

// The next line without its '\n' as at most two parts (a line crosses from one piece into the next only where
// the ring wraps). Returns its length with the '\n', or 0 if there is no whole line.
static size_t take_line(struct cursor *c, struct iovec part[2], size_t *ret_parts)
{
    struct cursor next = *c;
    size_t bytes = 0;
    for (size_t n = 0; next.left > 0 && n < 2; next.piece++, next.left--, next.at = 0) {
        const char *p = (const char *)next.piece->iov_base + next.at;
        const size_t have = next.piece->iov_len - next.at;
        if (have == 0) continue;
        const char *end = memchr(p, '\n', have);
        const size_t len = end ? (size_t)(end - p) : have;
        part[n++] = (struct iovec){(void *)(uintptr_t)p, len};
        bytes += len + (end != NULL);
        if (!end) continue;
        next.at += len + 1;
        *c = next;
        *ret_parts = n;
        return bytes;
    }
    return 0;
}

// The daemon was stopped or restarted: its socket is connected anew, at most once a second. Meanwhile lines
// wait in the rings.
static void syslog_lost(struct log_sink *s, int64_t now_ns)
{
    if (s->own_fd) close(s->fd);
    s->fd = -1;
    s->own_fd = false;
    s->retry_at_ns = now_ns + SYSLOG_RETRY_NS;
}

static bool syslog_back(struct log_sink *s, int64_t now_ns)
{
    if (now_ns < s->retry_at_ns) return false;
    s->fd = connect_syslog(s->path);
    s->own_fd = s->fd >= 0;
    if (s->fd < 0) s->retry_at_ns = now_ns + SYSLOG_RETRY_NS;
    return s->fd >= 0;
}

static int64_t syslog_write(struct log_sink *s, const struct iovec *pieces, int count, int64_t now_ns,
                            int64_t wall_ns)
{
    if (s->fd < 0 && !syslog_back(s, now_ns)) return -EAGAIN;
    char header[SYSLOG_HEADER_BYTES_MAX];
    const uint32_t header_n = header_make(s, wall_ns, header);
    struct cursor c = {.piece = pieces, .left = count};
    int64_t taken = 0;
    for (;;) {
        struct mmsghdr message[SYSLOG_BATCH] = {0};
        struct iovec parts[SYSLOG_BATCH][3];
        size_t bytes[SYSLOG_BATCH] = {0}, parts_n;
        unsigned n = 0;
        for (; n < SYSLOG_BATCH && (bytes[n] = take_line(&c, &parts[n][1], &parts_n)) > 0; n++) {
            parts[n][0] = (struct iovec){header, header_n};
            message[n].msg_hdr = (struct msghdr){.msg_iov = parts[n], .msg_iovlen = 1 + parts_n};
        }
        if (n == 0) return taken;
        const int sent = sendmmsg(s->fd, message, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        const int err = sent < 0 ? errno : 0;
        for (int i = 0; i < sent; i++) taken += (int64_t)bytes[i];
        if (err == EMSGSIZE) {
            s->lost++;
            return taken + (int64_t)bytes[0];
        }
        if (err == ECONNREFUSED || err == ENOTCONN || err == ECONNRESET || err == EPIPE)
            syslog_lost(s, now_ns);
        if (sent < (int)n) return taken ? taken : -EAGAIN;
    }
}

// --- Streams.

static int64_t polled_write(int fd, const struct iovec *piece)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLOUT | POLLERR | POLLHUP))) return -EAGAIN;
    const ssize_t n =
        write(fd, piece->iov_base, piece->iov_len < POLLED_BYTES_MAX ? piece->iov_len : POLLED_BYTES_MAX);
    return n < 0 ? -errno : n;
}

static int64_t all_of(const struct iovec *pieces, int count)
{
    int64_t n = 0;
    for (int i = 0; i < count; i++) n += (int64_t)pieces[i].iov_len;
    return n;
}

int64_t log_sink_write(struct log_sink *s, const struct iovec *pieces, int count, int64_t now_ns,
                       int64_t wall_ns)
{
    int64_t n = 0;
    switch (s->kind) {
    case LOG_SINK_OFF: return all_of(pieces, count);
    case LOG_SINK_SYSLOG: return syslog_write(s, pieces, count, now_ns, wall_ns);
    case LOG_SINK_POLLED: n = polled_write(s->fd, &pieces[0]); break;
    case LOG_SINK_STREAM:
        n = writev(s->fd, pieces, count);
        if (n < 0) n = -errno;
        break;
    case LOG_SINK_SOCKET: {
        const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
        n = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) n = -errno;
        break;
    }
    }
    return n == -EINTR || n == -EWOULDBLOCK || n == 0 ? -EAGAIN : n;
}
