// log: most tests call log_step() by hand with sinks in a temporary folder: files that are moved away, a FIFO
// that is full or whose reader leaves, /dev/full, a datagram socket in the place of /dev/log. What comes out
// is compared line by line with what went into the rings. The last ones run the real thread against two
// producers. The process log writes into a pipe.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/log_priv.h"

#define RING_BYTES (4 * LOG_LINE_BYTES_MAX)

static struct logring ring[2];
static struct log *subject;
static char folder[] = "/tmp/ringway-test-log-XXXXXX";
static char path[sizeof folder + 16], path_2[sizeof folder + 16];
static int64_t now_ns;
static const int64_t wall_ns = INT64_C(1762133220) * CLOCK_SEC; // 3 November 2025, 01:27:00

static int setup_all(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    snprintf(path_2, sizeof path_2, "%s/b", folder);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int setup(void **state)
{
    (void)state;
    now_ns = 1000 * CLOCK_SEC;
    subject = NULL;
    for (int i = 0; i < 2; i++)
        if (logring_init(&ring[i], RING_BYTES, NULL, NULL)) return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_free(subject);
    for (int i = 0; i < 2; i++) logring_done(&ring[i]);
    unlink(path);
    unlink(path_2);
    log_msg_init(LOG_INFO, NULL, -1);
    return 0;
}

static void open_log(enum log_access access, const char *to)
{
    const struct log_cfg cfg = {.access = access, .path = to};
    assert_int_equal(log_new(&cfg, &subject), RW_OK);
    log_attach(subject, &ring[0]);
    log_attach(subject, &ring[1]);
}

static int64_t step(void)
{
    return log_step(subject, now_ns, wall_ns);
}

static void put(int r, const char *line)
{
    assert_true(logring_put(&ring[r], span_str(line)));
}

// What a file holds, or what a descriptor has for us now.
static const char *drain(int fd)
{
    static char text[1 << 20];
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    return text;
}

static const char *content(const char *file)
{
    const int fd = open(file, O_RDONLY);
    assert_true(fd >= 0);
    const char *text = drain(fd);
    close(fd);
    return text;
}

// --- Files.

static void test_step__lines_of_all_rings_reach_the_file(void **state)
{
    (void)state;
    open_log(LOG_ACCESS_FILE, path);
    put(0, "one\n");
    put(1, "two\n");
    put(0, "three\n");
    step();
    assert_string_equal(content(path), "one\nthree\ntwo\n");
    assert_int_equal(log_written(subject), 3);
    put(1, "four\n");
    step();
    assert_string_equal(content(path), "one\nthree\ntwo\nfour\n");
    assert_int_equal(log_dropped(subject), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0); // nothing for others
}

static void test_new__appends_to_what_is_there(void **state)
{
    (void)state;
    open_log(LOG_ACCESS_FILE, path);
    put(0, "one\n");
    step();
    log_free(subject);
    open_log(LOG_ACCESS_FILE, path);
    put(0, "two\n");
    step();
    assert_string_equal(content(path), "one\ntwo\n");
}

static void test_new__a_path_that_cannot_be_opened(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    log_msg_init(LOG_INFO, NULL, pipe_fd[1]);
    const struct log_cfg cfg = {.access = LOG_ACCESS_FILE, .path = "/nowhere/a"};
    assert_int_equal(log_new(&cfg, &subject), -ENOENT);
    assert_null(subject);
    assert_string_equal(drain(pipe_fd[0]), "error access log: cannot open /nowhere/a: ENOENT\n");
    const struct log_cfg syslog = {.access = LOG_ACCESS_SYSLOG, .path = path};
    assert_int_equal(log_new(&syslog, &subject), -ENOENT);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void test_reopen__after_the_file_was_moved(void **state)
{
    (void)state;
    open_log(LOG_ACCESS_FILE, path);
    put(0, "one\n");
    step();
    assert_int_equal(rename(path, path_2), 0);
    put(0, "two\n");
    step();
    assert_string_equal(content(path_2), "one\ntwo\n"); // still the old file
    log_reopen(subject);
    put(0, "three\n");
    step();
    assert_string_equal(content(path_2), "one\ntwo\n");
    assert_string_equal(content(path), "three\n");
}

static void test_reopen__impossible_goes_on_with_the_old_file(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    log_msg_init(LOG_INFO, NULL, pipe_fd[1]);
    open_log(LOG_ACCESS_FILE, path);
    assert_int_equal(rename(path, path_2), 0);
    assert_int_equal(mkdir(path, 0700), 0); // in the way
    log_reopen(subject);
    put(0, "one\n");
    step();
    assert_string_equal(content(path_2), "one\n");
    assert_non_null(strstr(drain(pipe_fd[0]), "again: EISDIR; the file that is open goes on"));
    assert_int_equal(rmdir(path), 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void test_set__changes_the_sink_at_the_next_step(void **state)
{
    (void)state;
    open_log(LOG_ACCESS_FILE, path);
    put(0, "one\n");
    step();
    const struct log_cfg to_b = {.access = LOG_ACCESS_FILE, .path = path_2}, off = {.access = LOG_ACCESS_OFF},
                         wrong = {.access = LOG_ACCESS_FILE, .path = "/nowhere/a"};
    assert_int_equal(log_set(subject, &off), RW_OK);
    assert_int_equal(log_set(subject, &to_b), RW_OK); // before a step took the other one
    put(0, "two\n");
    step();
    log_msg_level(LOG_ERROR);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_msg_init(LOG_INFO, NULL, null);
    assert_int_equal(log_set(subject, &wrong), -ENOENT);
    put(0, "three\n");
    step();
    assert_string_equal(content(path), "one\n");
    assert_string_equal(content(path_2), "two\nthree\n");
    assert_int_equal(log_set(subject, &off), RW_OK);
    put(0, "four\n");
    step();
    assert_string_equal(content(path_2), "two\nthree\n");
    assert_int_equal(log_dropped(subject), 0);
    close(null);
}

// --- Sinks that take little or nothing. A FIFO as file, of which we hold the reading end.

static int open_fifo(void)
{
    assert_int_equal(mkfifo(path, 0600), 0);
    const int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(fcntl(reader, F_SETPIPE_SZ, 4096), 4096);
    return reader;
}

static void test_step__a_slow_reader_gets_every_line_whole(void **state)
{
    (void)state;
    const int reader = open_fifo();
    open_log(LOG_ACCESS_FILE, path);
    static char received[1 << 19];
    size_t sent_n = 0, received_n = 0;
    for (int i = 0; i < 300; i++) {
        char line[800];
        const int n = snprintf(line, sizeof line, "%d:%0*d\n", i, 100 + i * 37 % 600, i);
        if (logring_put(&ring[i % 2], span_of(line, (size_t)n))) sent_n += (size_t)n;
        step();
        if (i % 3 == 0) {
            const char *text = drain(reader);
            memcpy(received + received_n, text, strlen(text));
            received_n += strlen(text);
        }
    }
    for (int i = 0; i < 200; i++) {
        step();
        const char *text = drain(reader);
        memcpy(received + received_n, text, strlen(text));
        received_n += strlen(text);
    }
    assert_int_equal(received_n, sent_n);
    uint64_t lines = 0;
    int last[2] = {-1, -1};
    for (char *line = received, *end; line < received + received_n; line = end + 1) {
        end = memchr(line, '\n', (size_t)(received + received_n - line));
        assert_non_null(end);
        const int i = atoi(line);
        char expected[800];
        const int n = snprintf(expected, sizeof expected, "%d:%0*d\n", i, 100 + i * 37 % 600, i);
        assert_int_equal(end + 1 - line, n);
        assert_memory_equal(line, expected, (size_t)n);
        assert_true(i > last[i % 2]); // in order within a ring
        last[i % 2] = i;
        lines++;
    }
    assert_int_equal(lines, log_written(subject));
    assert_int_equal(lines + log_dropped(subject), 300);
    close(reader);
}

static void test_step__a_stuck_reader_costs_lines_not_time(void **state)
{
    (void)state;
    const int reader = open_fifo();
    open_log(LOG_ACCESS_FILE, path);
    uint64_t taken = 0;
    for (int i = 0; i < 2000; i++) {
        taken += logring_put(&ring[0], SPAN("0123456789012345678901234567890123456789012345678\n"));
        assert_true(step() >= CLOCK_MS);
    }
    assert_true(log_dropped(subject) > 0);
    assert_int_equal(taken + log_dropped(subject), 2000);
    // What was taken is what the ring and the FIFO hold.
    assert_in_range(taken * 50, RING_BYTES - 50, RING_BYTES + 4096);
    assert_int_equal(step(), 50 * CLOCK_MS); // nothing to do but wait for the reader
    close(reader);
}

static void test_step__a_reader_that_leaves_loses_lines_and_is_reported_once(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    log_msg_init(LOG_INFO, NULL, pipe_fd[1]);
    int reader = open_fifo();
    open_log(LOG_ACCESS_FILE, path);
    static char line[4000];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    const struct span s = span_of(line, sizeof line);
    for (int i = 0; i < 3; i++) assert_true(logring_put(&ring[0], s)); // one and a piece fit the FIFO
    step();
    assert_int_equal(log_written(subject), 1);
    close(reader);
    step();
    assert_int_equal(log_dropped(subject), 2);
    put(0, "lost\n");
    step();
    assert_int_equal(log_dropped(subject), 3);
    const char *report = drain(pipe_fd[0]);
    assert_non_null(strstr(report, "error access log: lines are lost, cannot write "));
    assert_non_null(strstr(report, ": EPIPE (2 lost so far)\n"));
    assert_ptr_equal(strchr(report, '\n'), strrchr(report, '\n'));
    // A reader that comes back finds the broken line ended.
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(strlen(drain(reader)) > sizeof line); // what the FIFO kept
    put(0, "back\n");
    step();
    assert_true(strcmp(drain(reader), "\nback\n") == 0);
    close(reader);
    now_ns += 61 * CLOCK_SEC;
    put(0, "lost\n");
    step();
    assert_non_null(strstr(drain(pipe_fd[0]), "EPIPE (4 lost so far)"));
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void test_step__a_full_disk_loses_lines_counted(void **state)
{
    (void)state;
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_msg_init(LOG_INFO, NULL, null);
    open_log(LOG_ACCESS_FILE, "/dev/full");
    put(0, "one\n");
    put(1, "two\n");
    put(1, "three\n");
    step();
    assert_int_equal(log_dropped(subject), 3);
    assert_int_equal(log_written(subject), 0);
    close(null);
}

static void test_set__in_the_middle_of_a_line_drops_its_rest(void **state)
{
    (void)state;
    const int reader = open_fifo();
    open_log(LOG_ACCESS_FILE, path);
    static char line[6000], filler[LOG_LINE_BYTES_MAX];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 4; i++) { // the rest of the long line crosses the ring's end
        const struct span s = span_of(filler, i < 3 ? sizeof filler : sizeof filler - 5000);
        assert_true(logring_put(&ring[1], s));
        logring_consume(&ring[1], s.n);
    }
    put(0, "first\n");
    assert_true(logring_put(&ring[1], span_of(line, sizeof line)));
    put(1, "after\n");
    step(); // the FIFO is full in the middle of the long line
    const struct log_cfg to_b = {.access = LOG_ACCESS_FILE, .path = path_2};
    assert_int_equal(log_set(subject, &to_b), RW_OK);
    put(0, "new\n");
    step();
    assert_string_equal(content(path_2), "after\nnew\n");
    assert_int_equal(log_dropped(subject), 1);
    assert_int_equal(log_written(subject), 3);
    close(reader);
}

static void test_step__sleeps_shorter_the_fuller_the_rings(void **state)
{
    (void)state;
    static char line[RING_BYTES / 8];
    memset(line, '\n', sizeof line);
    open_log(LOG_ACCESS_OFF, NULL);
    assert_int_equal(step(), 50 * CLOCK_MS);
    int64_t before = 50 * CLOCK_MS;
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 3; k++) assert_true(logring_put(&ring[0], span_of(line, sizeof line)));
        const int64_t sleep = step();
        assert_true(sleep < before || sleep == CLOCK_MS);
        before = sleep;
    }
    assert_int_equal(before, CLOCK_MS);
    assert_true(logring_put(&ring[0], span_of(line, sizeof line)));
    assert_int_equal(step(), CLOCK_MS); // an eighth: as it should be
    for (int i = 0; i < 10; i++) before = step();
    assert_int_equal(before, 50 * CLOCK_MS);
}

// --- stdout. It is replaced for the time of a step.

static int saved_stdout;

static void stdout_is(int fd)
{
    fflush(stdout);
    saved_stdout = dup(STDOUT_FILENO);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
}

static void stdout_back(void)
{
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
}

static void test_stdout__a_full_pipe_does_not_block_and_keeps_its_flags(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
    assert_int_equal(fcntl(pipe_fd[1], F_SETPIPE_SZ, 4096), 4096);
    stdout_is(pipe_fd[1]);
    open_log(LOG_ACCESS_STDOUT, NULL);
    const int flags = fcntl(STDOUT_FILENO, F_GETFL);
    for (int i = 0; i < 200; i++) {
        (void)logring_put(&ring[0], SPAN("0123456789012345678901234567890123456789012345678\n"));
        step(); // would hang here
    }
    stdout_back();
    assert_int_equal(flags & O_NONBLOCK, 0);
    close(pipe_fd[1]);
    log_free(subject);
    subject = NULL;
    const char *text = drain(pipe_fd[0]);
    assert_in_range(strlen(text), 4096 - 50, 4096);
    assert_memory_equal(text, "01234567890123456789", 20);
    close(pipe_fd[0]);
}

static void test_stdout__a_socket_and_a_file(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    stdout_is(pair[1]);
    open_log(LOG_ACCESS_STDOUT, NULL);
    put(0, "to a socket\n");
    step();
    for (int i = 0; i < 20000; i++) { // more than it buffers: would hang here
        (void)logring_put(&ring[0], SPAN("0123456789012345678901234567890123456789012345678\n"));
        if (i % 100 == 0) step();
    }
    stdout_back();
    char text[64] = "";
    assert_true(read(pair[0], text, 12) == 12);
    assert_memory_equal(text, "to a socket\n", 12);
    close(pair[0]);
    close(pair[1]);
    log_free(subject);
    for (int i = 0; i < 2; i++) {
        logring_done(&ring[i]);
        assert_int_equal(logring_init(&ring[i], RING_BYTES, NULL, NULL), RW_OK);
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    stdout_is(fd);
    open_log(LOG_ACCESS_STDOUT, NULL);
    put(0, "to a file\n");
    step();
    log_reopen(subject); // means nothing for stdout
    put(0, "again\n");
    step();
    stdout_back();
    close(fd);
    assert_string_equal(content(path), "to a file\nagain\n");
}

static void test_sink__somebody_elses_pipe_is_asked_first(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
    assert_int_equal(fcntl(pipe_fd[1], F_SETPIPE_SZ, 8192), 8192);
    struct log_sink sink = {.kind = LOG_SINK_POLLED, .access = LOG_ACCESS_STDOUT, .fd = pipe_fd[1]};
    static char bytes[20000];
    const struct iovec piece = {bytes, sizeof bytes};
    assert_int_equal(log_sink_write(&sink, &piece, 1, 0, 0), 4096);
    assert_int_equal(log_sink_write(&sink, &piece, 1, 0, 0), 4096);
    assert_int_equal(log_sink_write(&sink, &piece, 1, 0, 0), -EAGAIN); // would hang here
    close(pipe_fd[0]);
    assert_int_equal(log_sink_write(&sink, &piece, 1, 0, 0), -EPIPE);
    close(pipe_fd[1]);
}

// --- Syslog.

static int open_daemon(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, strlen(path) + 1);
    unlink(path);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static const char *datagram(int fd)
{
    static char text[LOG_LINE_BYTES_MAX + 200];
    const ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n < 0) return NULL;
    text[n] = 0;
    return text;
}

static void assert_datagram(int fd, const char *line)
{
    char expected[200];
    snprintf(expected, sizeof expected, "<30>Nov  3 01:27:00 ringway[%d]: %s", (int)getpid(), line);
    const char *is = datagram(fd);
    assert_non_null(is);
    assert_string_equal(is, expected);
}

static void test_syslog__a_datagram_a_line(void **state)
{
    (void)state;
    const int daemon_fd = open_daemon();
    open_log(LOG_ACCESS_SYSLOG, path);
    put(0, "one\n");
    put(1, "two\n");
    put(0, "\n");
    step();
    assert_datagram(daemon_fd, "one");
    assert_datagram(daemon_fd, "");
    assert_datagram(daemon_fd, "two");
    assert_null(datagram(daemon_fd));
    assert_int_equal(log_written(subject), 3);
    close(daemon_fd);
}

static void test_syslog__a_slow_daemon_gets_every_line_around_the_end_of_the_ring(void **state)
{
    (void)state;
    const int daemon_fd = open_daemon();
    open_log(LOG_ACCESS_SYSLOG, path);
    uint64_t sent = 0;
    int next = 0;
    for (int i = 0; i < 2000; i++) {
        char line[300];
        const int n = snprintf(line, sizeof line, "%d:%0*d\n", i, 1 + i % 250, 0);
        sent += logring_put(&ring[0], span_of(line, (size_t)n));
        if (i % 3 == 0) step();
        for (const char *text; i % 13 == 12 && (text = datagram(daemon_fd)) != NULL;) {
            const char *body = strstr(text, "]: ");
            assert_non_null(body);
            const int number = atoi(body + 3);
            assert_true(number >= next);
            assert_int_equal(strlen(strchr(body + 3, ':')), 2 + (size_t)(number % 250));
            next = number + 1;
        }
    }
    for (int i = 0; i < 1000; i++) {
        step();
        while (datagram(daemon_fd)) {}
    }
    assert_int_equal(log_written(subject), sent);
    assert_int_equal(sent + log_dropped(subject), 2000);
    assert_true(sent > 1000);
    close(daemon_fd);
}

static void test_syslog__a_restarted_daemon_gets_what_waited(void **state)
{
    (void)state;
    int daemon_fd = open_daemon();
    const struct log_cfg cfg = {.access = LOG_ACCESS_SYSLOG, .path = path, .service = "gate"};
    assert_int_equal(log_new(&cfg, &subject), RW_OK);
    log_attach(subject, &ring[0]);
    close(daemon_fd);
    put(0, "while away\n");
    step();
    now_ns += CLOCK_SEC;
    step(); // still nobody there
    daemon_fd = open_daemon();
    step(); // asked a moment ago
    assert_null(datagram(daemon_fd));
    now_ns += CLOCK_SEC;
    step();
    const char *text = datagram(daemon_fd);
    assert_non_null(text);
    assert_non_null(strstr(text, " gate["));
    assert_non_null(strstr(text, "]: while away"));
    assert_int_equal(log_dropped(subject), 0);
    close(daemon_fd);
}

static void test_syslog__a_line_too_long_for_the_socket_is_lost_alone(void **state)
{
    (void)state;
    const int daemon_fd = open_daemon();
    const struct log_cfg cfg = {.access = LOG_ACCESS_SYSLOG, .path = path};
    struct log_sink *sink;
    assert_int_equal(log_sink_open(&cfg, &sink), RW_OK);
    const int smallest = 1;
    assert_int_equal(setsockopt(sink->fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest), 0);
    static char text[8000 + 6];
    memset(text, 'x', sizeof text);
    memcpy(text + 7999, "\nshort\n", 7);
    const struct iovec piece = {text, sizeof text};
    assert_int_equal(log_sink_write(sink, &piece, 1, now_ns, wall_ns), 8000);
    assert_int_equal(sink->lost, 1);
    const struct iovec rest = {text + 8000, 6};
    assert_int_equal(log_sink_write(sink, &rest, 1, now_ns, wall_ns), 6);
    assert_datagram(daemon_fd, "short");
    log_sink_close(sink);
    close(daemon_fd);
}

// --- The thread.

static void real_clock(int64_t *ret_now_ns, int64_t *ret_wall_ns)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    *ret_now_ns = t.tv_sec * CLOCK_SEC + t.tv_nsec;
    *ret_wall_ns = wall_ns;
}

enum { LINES = 30000 };

static void *producer(void *arg)
{
    struct logring *r = arg;
    for (int i = 0; i < LINES; i++) {
        char line[64];
        const int n = snprintf(line, sizeof line, "%d:%d\n", (int)(r - ring), i);
        (void)logring_put(r, span_of(line, (size_t)n));
        if (i % 500 == 0) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

static void test_start__two_producers_and_a_reopen(void **state)
{
    (void)state;
    const struct log_cfg cfg = {.access = LOG_ACCESS_FILE, .path = path};
    assert_int_equal(log_new(&cfg, &subject), RW_OK);
    assert_int_equal(log_start(subject, real_clock), RW_OK);
    for (int i = 0; i < 2; i++) { // workers come after the log
        ring[i].wake = log_ring_wake;
        ring[i].wake_arg = subject;
        log_attach(subject, &ring[i]);
    }
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, producer, &ring[i]), 0);
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    assert_int_equal(rename(path, path_2), 0);
    log_reopen(subject);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    int64_t before, after, unused;
    real_clock(&before, &unused);
    log_stop(subject); // writes the rest
    log_stop(subject); // harmless
    real_clock(&after, &unused);
    assert_true(after - before < LOG_STOP_MS * CLOCK_MS / 2); // without waiting for more
    assert_int_equal(log_written(subject) + log_dropped(subject), 2 * LINES);
    uint64_t lines = 0;
    for (int file = 0; file < 2; file++) {
        const char *text = content(file ? path : path_2);
        for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
            int r, i;
            assert_int_equal(sscanf(text, "%d:%d", &r, &i), 2);
            lines++;
        }
        assert_int_equal(*text, 0);
    }
    assert_int_equal(lines, log_written(subject));
}

static void test_stop__a_stuck_sink_ends_after_its_time(void **state)
{
    (void)state;
    const int reader = open_fifo();
    open_log(LOG_ACCESS_FILE, path);
    static char line[6000];
    memset(line, '\n', sizeof line);
    assert_true(logring_put(&ring[0], span_of(line, sizeof line)));
    assert_int_equal(log_start(subject, real_clock), RW_OK);
    int64_t before, after, unused;
    real_clock(&before, &unused);
    log_stop(subject);
    real_clock(&after, &unused);
    assert_in_range(after - before, (LOG_STOP_MS - 50) * CLOCK_MS, (LOG_STOP_MS + 2000) * CLOCK_MS);
    close(reader);
}

static void test_wake__a_ring_over_half_full_ends_the_sleep(void **state)
{
    (void)state;
    open_log(LOG_ACCESS_FILE, path);
    ring[0].wake = log_ring_wake;
    ring[0].wake_arg = subject;
    static char line[LOG_LINE_BYTES_MAX];
    memset(line, '\n', sizeof line);
    assert_int_equal(log_start(subject, real_clock), RW_OK);
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); // it sleeps now, for 50 ms
    int64_t before, after, unused;
    real_clock(&before, &unused);
    for (int i = 0; i < 3; i++) assert_true(logring_put(&ring[0], span_of(line, sizeof line)));
    for (after = before; after < before + CLOCK_SEC && log_written(subject) == 0;)
        real_clock(&after, &unused);
    log_stop(subject);
    assert_true(after - before < 40 * CLOCK_MS);
}

// --- The process log.

static int64_t fixed_clock(void)
{
    return wall_ns;
}

static void test_msg__time_level_text(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    log_msg_init(LOG_INFO, fixed_clock, pipe_fd[1]);
    log_msg(LOG_WARNING, "listener %s: %d of %s", "127.0.0.1:80", 3, "four");
    assert_string_equal(drain(pipe_fd[0]),
                        "2025-11-03T01:27:00.000000Z warning listener 127.0.0.1:80: 3 of four\n");
    log_msg(LOG_DEBUG, "not shown");
    assert_string_equal(drain(pipe_fd[0]), "");
    log_msg_level(LOG_DEBUG);
    log_msg(LOG_DEBUG, "shown");
    log_msg_level(LOG_ERROR);
    log_msg(LOG_WARNING, "not shown");
    log_msg(LOG_ERROR, "shown too");
    assert_string_equal(drain(pipe_fd[0]),
                        "2025-11-03T01:27:00.000000Z debug shown\n"
                        "2025-11-03T01:27:00.000000Z error shown too\n");
    log_msg_init(LOG_INFO, NULL, pipe_fd[1]);
    log_msg(LOG_INFO, "no clock yet");
    assert_string_equal(drain(pipe_fd[0]), "info no clock yet\n");
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void test_msg__is_one_line_whatever_is_in_it(void **state)
{
    (void)state;
    int pipe_fd[2];
    assert_int_equal(pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC), 0);
    log_msg_init(LOG_INFO, NULL, pipe_fd[1]);
    log_msg(LOG_INFO, "%s", "a\nerror forged\x1b[31m\x7f gr\xc3\xbc\xc3\x9f");
    assert_string_equal(drain(pipe_fd[0]), "info a\\x0aerror forged\\x1b[31m\\x7f gr\xc3\xbc\xc3\x9f\n");
    static char text[3 * LOG_MSG_BYTES_MAX];
    memset(text, '\n', sizeof text - 1);
    log_msg(LOG_INFO, "%s", text);
    assert_int_equal(strlen(drain(pipe_fd[0])), 5 + 4 * (LOG_MSG_BYTES_MAX - 1) + 1); // cut
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void test_level_parse__names(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;
    assert_true(log_level_parse(SPAN("error"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_true(log_level_parse(SPAN("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse(SPAN("loud"), &level));
    assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_step__lines_of_all_rings_reach_the_file),
        TEST(test_new__appends_to_what_is_there),
        TEST(test_new__a_path_that_cannot_be_opened),
        TEST(test_reopen__after_the_file_was_moved),
        TEST(test_reopen__impossible_goes_on_with_the_old_file),
        TEST(test_set__changes_the_sink_at_the_next_step),
        TEST(test_step__a_slow_reader_gets_every_line_whole),
        TEST(test_step__a_stuck_reader_costs_lines_not_time),
        TEST(test_step__a_reader_that_leaves_loses_lines_and_is_reported_once),
        TEST(test_step__a_full_disk_loses_lines_counted),
        TEST(test_set__in_the_middle_of_a_line_drops_its_rest),
        TEST(test_step__sleeps_shorter_the_fuller_the_rings),
        TEST(test_stdout__a_full_pipe_does_not_block_and_keeps_its_flags),
        TEST(test_stdout__a_socket_and_a_file),
        TEST(test_sink__somebody_elses_pipe_is_asked_first),
        TEST(test_syslog__a_datagram_a_line),
        TEST(test_syslog__a_slow_daemon_gets_every_line_around_the_end_of_the_ring),
        TEST(test_syslog__a_restarted_daemon_gets_what_waited),
        TEST(test_syslog__a_line_too_long_for_the_socket_is_lost_alone),
        TEST(test_start__two_producers_and_a_reopen),
        TEST(test_stop__a_stuck_sink_ends_after_its_time),
        TEST(test_wake__a_ring_over_half_full_ends_the_sleep),
        TEST(test_msg__time_level_text),
        TEST(test_msg__is_one_line_whatever_is_in_it),
        TEST(test_level_parse__names),
    };
    return cmocka_run_group_tests_name("log", tests, setup_all, teardown_all);
}
