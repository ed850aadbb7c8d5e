// ringway-load: the client of `make bench` for what wrk does not measure: a fixed rate, paced event streams with a time stamp in
// each event, many idle connections, many open streams. One thread, epoll, nothing of io/, so that it cannot share its faults.
//
//     ringway-load open    PORT connections=N rate=R seconds=S [ask.h's options]
//         R requests a second, whatever the answers do; latency counts from when a request was due.
//     ringway-load closed  PORT connections=N seconds=S ...
//         Each connection asks again when it was answered.
//     ringway-load streams PORT connections=N seconds=S stream=1 model=…stamp… ...
//         The same, measuring the delay of each event since its stamp (CLOCK_BOOTTIME, tests/lib/MOCK.md).
//     ringway-load idle    PORT connections=N ...
//         One request on each connection, 100 at a time; then says "ready" and keeps all open until stdin ends.
//     ringway-load held    PORT connections=N stream=1 ...
//         One streamed request on each; says "ready" when each has its first event; reads on until stdin ends.
//
// The last line on stdout is a JSON object of what was seen. Exit status 1 if any answer was not a whole 200.
#include "bench/load/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define IDLE_WAVE 100
#define READ_BYTES KIB(256)

static struct load load;
static uint8_t input[READ_BYTES];

int64_t load_now(void)
{
    struct timespec t;
    MUST(clock_gettime(CLOCK_BOOTTIME, &t) == 0);
    return (int64_t)t.tv_sec * CLOCK_SEC + t.tv_nsec;
}

_Noreturn void load_fail(const char *what)
{
    fprintf(stderr, "ringway-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

// --- Sending.

static void send_rest(struct conn *c)
{
    while (c->sent < load.request_n) {
        const ssize_t n = send(c->fd, load.request + c->sent, load.request_n - c->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) load_fail("send");
        c->sent += (size_t)n;
    }
}

static void ask_now(struct conn *c, int64_t due_ns)
{
    c->busy = true;
    c->due_ns = due_ns;
    c->sent = 0;
    c->head_n = 0;
    c->in_body = false;
    c->first_event = false;
    load.asked++;
    send_rest(c);
}

static struct conn *free_conn(void)
{
    return load.free_n > 0 ? load.free[--load.free_n] : NULL;
}

// Rate: asks what is due; what finds no connection waits, its time running.
static void ask_due(int64_t now)
{
    while (load.next_due_ns <= now) {
        load.due++;
        load.next_due_ns = load.start_ns + (int64_t)((double)load.due / load.rate * 1e9);
    }
    while (load.asked < load.due) {
        struct conn *c = free_conn();
        if (!c) return;
        ask_now(c, load.start_ns + (int64_t)((double)load.asked / load.rate * 1e9));
    }
}

// --- An answer's end.

static void answered(struct conn *c)
{
    const int64_t now = load_now();
    load.answers++;
    c->busy = false;
    load_sample(&load.latency, now - c->due_ns);
    switch (load.mode) {
    case LOAD_CLOSED:
    case LOAD_STREAMS:
    case LOAD_HELD:
        if (now < load.end_ns) ask_now(c, now);
        break;
    case LOAD_OPEN:
        load.free[load.free_n++] = c;
        ask_due(now);
        break;
    case LOAD_IDLE:
        if (load.asked < load.connections) ask_now(&load.conns[load.asked], now);
        break;
    }
}

// --- Reading.

static void body_begin(struct conn *c)
{
    static const struct http_rules rules = {
        .head_bytes_max = HTTP_HEAD_BYTES, .target_bytes_max = 1, .fields_max = HTTP_FIELDS_MAX};
    static struct http_head head;
    http_head_init(&head);
    const int r = http_response_parse(c->head, c->head_n, &rules, HTTP_POST, &head);
    if (r <= 0 || head.status != 200) {
        fprintf(stderr, "ringway-load: not a good answer: %.*s\n", (int)c->head_n, (const char *)c->head);
        exit(1);
    }
    c->in_body = true;
    c->kind = head.framing.kind;
    c->left = head.framing.length;
    c->chunked = (struct http_chunked){0};
}

static void events_in(struct conn *c, struct span data)
{
    if (!c->first_event) {
        c->first_event = true;
        load.first_events++;
    }
    if (load.mode == LOAD_STREAMS) load_stamps(&load, data);
}

// Returns what of p[0 .. n) was used; the rest belongs to the next answer, which cannot be.
static uint32_t body_bytes(struct conn *c, const uint8_t *p, uint32_t n)
{
    if (c->kind == HTTP_BODY_LENGTH) {
        const uint32_t used = c->left < n ? (uint32_t)c->left : n;
        c->left -= used;
        if (c->left == 0) answered(c);
        return used;
    }
    uint32_t used = 0;
    while (used < n) {
        struct span data;
        uint32_t step;
        const int r = http_chunked_next(&c->chunked, p + used, n - used, &step, &data);
        used += step;
        if (data.n > 0) events_in(c, data);
        if (r == HTTP_NEED_MORE) continue;
        if (r != HTTP_CHUNKED_DONE) load_fail("bad chunk");
        answered(c);
        break;
    }
    return used;
}

static void take(struct conn *c, const uint8_t *p, uint32_t n)
{
    uint32_t at = 0;
    while (!c->in_body && at < n) {
        // Byte ranges up to the end of the head are copied, so that it lies in one piece.
        const uint32_t room = LOAD_HEAD_BYTES - c->head_n, step = n - at < room ? n - at : room;
        if (!c->busy || step == 0) load_fail("bytes that nobody asked for");
        memcpy(c->head + c->head_n, p + at, step);
        const uint8_t *end = memmem(c->head, c->head_n + step, "\r\n\r\n", 4);
        if (!end) {
            c->head_n += step;
            at += step;
            continue;
        }
        const uint32_t head = (uint32_t)(end + 4 - c->head);
        at += head - c->head_n;
        c->head_n = head;
        body_begin(c);
    }
    if (c->in_body && at < n) at += body_bytes(c, p + at, n - at);
    if (at < n) load_fail("bytes behind an answer");
}

static void readable(struct conn *c)
{
    for (;;) {
        const ssize_t n = recv(c->fd, input, sizeof input, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            if (n == 0 && !c->busy && load.mode != LOAD_IDLE && load_now() > load.end_ns) return;
            load_fail(n == 0 ? "the server closed a connection" : "recv");
        }
        take(c, input, (uint32_t)n);
        // Edge-triggered: a short read means that nothing is left.
        if ((size_t)n < sizeof input) return;
    }
}

// --- Running.

static void connect_all(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(load.ask.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    for (long i = 0; i < load.connections; i++) {
        struct conn *c = &load.conns[i];
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) load_fail("connect");
        if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) load_fail("TCP_NODELAY");
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) load_fail("O_NONBLOCK");
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &e)) load_fail("epoll_ctl");
        load.free[load.connections - 1 - i] = c;
    }
    load.free_n = load.connections;
}

static void wait_until(int64_t until_ns)
{
    static struct epoll_event events[EVENTS_AT_ONCE];
    const int64_t left = until_ns - load_now();
    const struct timespec t = {.tv_sec = left > 0 ? left / CLOCK_SEC : 0,
                               .tv_nsec = left > 0 ? left % CLOCK_SEC : 0};
    const int n = epoll_pwait2(load.epoll, events, EVENTS_AT_ONCE, &t, NULL);
    if (n < 0 && errno != EINTR) load_fail("epoll_pwait2");
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->busy && c->sent < load.request_n) send_rest(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    }
}

// Starts spread over one pace, so that paced streams do not beat together.
static void run_closed(void)
{
    const int64_t step = load.spread_ns / load.connections;
    for (long i = 0; i < load.connections; i++) {
        while (load_now() < load.start_ns + i * step) wait_until(load.start_ns + i * step);
        ask_now(&load.conns[i], load_now());
    }
    while (load_now() < load.end_ns) wait_until(load.end_ns);
}

static void run_open(void)
{
    load.next_due_ns = load.start_ns;
    for (int64_t now; (now = load_now()) < load.end_ns;) {
        ask_due(now);
        wait_until(load.next_due_ns);
    }
}

static bool stdin_ended(void)
{
    char c;
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && read(STDIN_FILENO, &c, 1) <= 0;
}

static void run_until_told(void)
{
    const bool held = load.mode == LOAD_HELD;
    const long first = held ? load.connections : IDLE_WAVE;
    for (long i = 0; i < first && i < load.connections; i++) ask_now(&load.conns[i], load_now());
    while ((held ? load.first_events : load.answers) < load.connections) wait_until(load_now() + CLOCK_SEC);
    printf("ready\n");
    fflush(stdout);
    while (!stdin_ended()) wait_until(load_now() + 50 * CLOCK_MS);
}

static void report(void)
{
    const double seconds = (double)(load_now() - load.start_ns) / 1e9;
    struct load_samples *const s = load.mode == LOAD_STREAMS ? &load.delay : &load.latency;
    load_sort(s);
    printf("{\"seconds\":%.6f,\"answers\":%ld,\"late\":%ld,\"events\":%zu,\"p50_us\":%.2f,\"p90_us\":%.2f,"
           "\"p99_us\":%.2f}\n",
           seconds, load.answers, load.mode == LOAD_OPEN ? load.due - load.asked : 0, load.delay.n,
           load_quantile(s, 0.50), load_quantile(s, 0.90), load_quantile(s, 0.99));
}

int main(int argc, char **argv)
{
    load_options(&load, argc, argv);
    load.request = ask_request(&load.ask, &load.request_n);
    load.conns = calloc((size_t)load.connections, sizeof *load.conns);
    load.free = calloc((size_t)load.connections, sizeof(struct conn *));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.conns || !load.free || load.epoll < 0) load_fail("start");
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    connect_all();
    load.start_ns = load_now();
    load.end_ns = load.start_ns + (int64_t)(load.seconds * 1e9);
    if (load.mode == LOAD_IDLE || load.mode == LOAD_HELD) load.end_ns = CLOCK_NEVER;
    if (load.mode == LOAD_OPEN) run_open();
    else if (load.mode == LOAD_CLOSED || load.mode == LOAD_STREAMS) run_closed();
    else run_until_told();
    report();
    return 0;
}
