// See log.h: from the rings to the sink, and the thread around it. Each step gathers what all rings hold into
// one list of pieces, offers it to the sink and takes off each ring what was accepted. When the sink stops
// inside a line, the next list begins with the rest of that line.
#include "control/log_priv.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define RINGS_MAX (WORKERS_MAX + 1)
#define NO_RING UINT32_MAX
// Offered to the sink at once; so that reopening and stopping are not kept waiting by a slow disk.
#define BATCH_BYTES_MAX MIB(1)
#define ROUNDS_PER_STEP 16
#define SLEEP_NS_MIN CLOCK_MS
#define SLEEP_NS_MAX (50 * CLOCK_MS)
#define REPORT_INTERVAL_NS (60 * CLOCK_SEC)

struct log {
    struct logring *rings[RINGS_MAX];
    _Atomic uint32_t ring_count;
    struct log_sink *sink;
    _Atomic(struct log_sink *) next_sink; // from log_set(), taken by the next step
    _Atomic bool reopen;
    _Atomic bool stop;
    _Atomic uint64_t lost; // lines; single writer, as `written`
    _Atomic uint64_t written;
    int wake_fd;
    pthread_t thread;
    void (*clock)(int64_t *ret_now_ns, int64_t *ret_wall_ns);

    // The step's.
    uint32_t first; // ring that the next list begins with
    bool inside_line; // the sink's last byte was not the end of a line: of ring `first`, which has the rest
    bool torn; // the sink's last line will never be whole: it is ended before the next one
    bool blocked; // the sink took nothing at the last try
    int64_t sleep_ns;
    int64_t report_at_ns;
    struct iovec pieces[2 * RINGS_MAX];
    uint32_t piece_ring[2 * RINGS_MAX];
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    const uint64_t was = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, was + n, memory_order_relaxed);
}

enum rw_err log_new(const struct log_cfg *cfg, struct log **ret)
{
    struct log *l = calloc(1, sizeof *l);
    if (!l) return (enum rw_err) - ENOMEM;
    l->sleep_ns = SLEEP_NS_MAX;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum rw_err err = l->wake_fd < 0 ? rw_errno() : log_sink_open(cfg, &l->sink);
    if (err) {
        log_free(l);
        return err;
    }
    *ret = l;
    return RW_OK;
}

void log_free(struct log *l)
{
    if (!l) return;
    log_sink_close(l->sink);
    log_sink_close(atomic_load(&l->next_sink));
    if (l->wake_fd >= 0) close(l->wake_fd);
    free(l);
}

void log_attach(struct log *l, struct logring *ring)
{
    const uint32_t n = atomic_load_explicit(&l->ring_count, memory_order_relaxed);
    MUST(n < RINGS_MAX);
    l->rings[n] = ring;
    // Release: who sees the number sees the ring.
    atomic_store_explicit(&l->ring_count, n + 1, memory_order_release);
}

void log_wake(struct log *l)
{
    const uint64_t one = 1;
    const int saved = errno; // signal handlers call this
    const ssize_t n = write(l->wake_fd, &one, sizeof one); // full: it is awake already
    (void)n;
    errno = saved;
}

void log_ring_wake(void *l)
{
    log_wake(l);
}

void log_reopen(struct log *l)
{
    atomic_store(&l->reopen, true);
    log_wake(l);
}

enum rw_err log_set(struct log *l, const struct log_cfg *cfg)
{
    struct log_sink *sink;
    RW_TRY(log_sink_open(cfg, &sink));
    log_sink_close(atomic_exchange(&l->next_sink, sink)); // one that no step has taken yet
    log_wake(l);
    return RW_OK;
}

uint64_t log_dropped(const struct log *l)
{
    uint64_t n = atomic_load_explicit(&l->lost, memory_order_relaxed);
    for (uint32_t i = 0; i < l->ring_count; i++) n += logring_dropped(l->rings[i]);
    return n;
}

uint64_t log_written(const struct log *l)
{
    return atomic_load_explicit(&l->written, memory_order_relaxed);
}

// --- The step.

static uint64_t lines_in(const char *p, size_t n)
{
    uint64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) lines++;
    return lines;
}

// Lists what the rings hold, from ring `first` on. Sets *ret_fullest to the fill of the fullest ring in 1/16.
static int gather(struct log *l, uint32_t *ret_fullest)
{
    int n = 0;
    uint32_t fullest = 0;
    int64_t room = BATCH_BYTES_MAX;
    const uint32_t rings = l->ring_count; // more may come while we look; none may be listed twice
    for (uint32_t i = 0; i < rings; i++) {
        const uint32_t at = (l->first + i) % rings;
        struct span piece[2];
        const uint32_t pieces = logring_peek(l->rings[at], piece);
        uint32_t bytes = 0;
        for (uint32_t k = 0; k < pieces; k++) {
            bytes += piece[k].n;
            const int64_t take = piece[k].n < room ? piece[k].n : room;
            if (take == 0) continue;
            l->pieces[n] = (struct iovec){(void *)(uintptr_t)piece[k].p, (size_t)take};
            l->piece_ring[n++] = at;
            room -= take;
        }
        const uint32_t fill = (uint32_t)((uint64_t)bytes * 16 / l->rings[at]->size);
        if (fill > fullest) fullest = fill;
    }
    *ret_fullest = fullest;
    return n;
}

// Takes `taken` bytes off the rings in the order of the list. What was written counts as such, otherwise as
// lost.
static void take_off(struct log *l, int pieces, int64_t taken, _Atomic uint64_t *counter)
{
    for (int i = 0; i < pieces && taken > 0; i++) {
        const char *p = l->pieces[i].iov_base;
        const size_t n = (int64_t)l->pieces[i].iov_len < taken ? l->pieces[i].iov_len : (size_t)taken;
        count(counter, lines_in(p, n));
        l->inside_line = p[n - 1] != '\n';
        l->first = l->inside_line ? l->piece_ring[i] : (l->piece_ring[i] + 1) % l->ring_count;
        logring_consume(l->rings[l->piece_ring[i]], (uint32_t)n);
        taken -= (int64_t)n;
    }
}

// The rest of a line whose beginning the sink has already, or lost: lost too.
static void drop_rest_of_line(struct log *l)
{
    struct span piece[2];
    while (l->inside_line) {
        const uint32_t pieces = logring_peek(l->rings[l->first], piece);
        MUST(pieces > 0);
        const uint32_t end = span_find(piece[0], '\n');
        l->inside_line = end == piece[0].n;
        logring_consume(l->rings[l->first], l->inside_line ? end : end + 1);
    }
    count(&l->lost, 1);
}

static void failed(struct log *l, int pieces, int64_t err, int64_t now_ns)
{
    int64_t all = 0;
    l->torn = l->torn || l->inside_line;
    for (int i = 0; i < pieces; i++) all += (int64_t)l->pieces[i].iov_len;
    take_off(l, pieces, all, &l->lost);
    if (l->inside_line) drop_rest_of_line(l);
    if (now_ns < l->report_at_ns) return;
    l->report_at_ns = now_ns + REPORT_INTERVAL_NS;
    log_msg(LOG_ERROR, "access log: lines are lost, cannot write %s: %s (%llu lost so far)",
            l->sink->path ? l->sink->path : "stdout", rw_err_name((int)err),
            (unsigned long long)log_dropped(l));
}

static void change_sink(struct log *l)
{
    struct log_sink *next = atomic_exchange(&l->next_sink, NULL);
    bool fresh = next != NULL;
    if (next) {
        log_sink_close(l->sink);
        l->sink = next;
        atomic_store(&l->reopen, false);
    } else if (atomic_exchange(&l->reopen, false)) {
        fresh = log_sink_reopen(l->sink);
    }
    if (!fresh) return;
    if (l->inside_line) drop_rest_of_line(l);
    l->torn = false;
}

// Offers the sink what the rings hold. False: nothing is left, or the sink takes no more.
static bool offer(struct log *l, uint32_t *ret_fullest, int64_t now_ns, int64_t wall_ns)
{
    const struct iovec line_end = {(void *)(uintptr_t) "\n", 1};
    const int pieces = l->ring_count ? gather(l, ret_fullest) : 0;
    if (pieces == 0) return false;
    int64_t taken = 0;
    if (l->torn) taken = log_sink_write(l->sink, &line_end, 1, now_ns, wall_ns);
    if (taken >= 0) {
        l->torn = false;
        taken = log_sink_write(l->sink, l->pieces, pieces, now_ns, wall_ns);
    }
    l->blocked = taken == -EAGAIN;
    if (l->blocked) return false;
    if (taken < 0) {
        failed(l, pieces, taken, now_ns);
        return true;
    }
    take_off(l, pieces, taken, &l->written);
    count(&l->lost, l->sink->lost);
    count(&l->written, UINT64_C(0) - l->sink->lost);
    l->sink->lost = 0;
    return true;
}

int64_t log_step(struct log *l, int64_t now_ns, int64_t wall_ns)
{
    if (atomic_load_explicit(&l->next_sink, memory_order_relaxed) ||
        atomic_load_explicit(&l->reopen, memory_order_relaxed))
        change_sink(l);
    uint32_t fullest = 0, later;
    l->blocked = false;
    if (offer(l, &fullest, now_ns, wall_ns))
        for (int round = 1; round < ROUNDS_PER_STEP && offer(l, &later, now_ns, wall_ns);) round++;
    if (l->blocked) return SLEEP_NS_MAX; // the thread wakes up when the sink is ready
    // A ring should be met about a quarter full: then bursts of four times the rate still fit.
    if (fullest >= 4) l->sleep_ns = l->sleep_ns / 2 > SLEEP_NS_MIN ? l->sleep_ns / 2 : SLEEP_NS_MIN;
    else if (fullest < 1) l->sleep_ns = l->sleep_ns * 2 < SLEEP_NS_MAX ? l->sleep_ns * 2 : SLEEP_NS_MAX;
    return l->sleep_ns;
}

// --- The thread.

static void sleep_until_work(struct log *l, int64_t sleep_ns)
{
    struct pollfd p[2] = {{.fd = l->wake_fd, .events = POLLIN}, {.fd = -1}};
    if (l->blocked) p[1] = (struct pollfd){.fd = l->sink->fd, .events = POLLOUT};
    const struct timespec limit = {.tv_sec = sleep_ns / CLOCK_SEC, .tv_nsec = sleep_ns % CLOCK_SEC};
    if (ppoll(p, 2, &limit, NULL) <= 0 || !p[0].revents) return;
    uint64_t wakes;
    const ssize_t n = read(l->wake_fd, &wakes, sizeof wakes);
    (void)n;
}

static bool rings_empty(const struct log *l)
{
    struct span piece[2];
    for (uint32_t i = 0; i < l->ring_count; i++)
        if (logring_peek(l->rings[i], piece)) return false;
    return true;
}

static void *run(void *arg)
{
    struct log *l = arg;
    int64_t now_ns, wall_ns, end_ns = 0;
    for (;;) {
        l->clock(&now_ns, &wall_ns);
        const bool stopping = atomic_load(&l->stop);
        const int64_t sleep_ns = log_step(l, now_ns, wall_ns);
        if (stopping && end_ns == 0) end_ns = now_ns + LOG_STOP_MS * CLOCK_MS;
        if (stopping && (rings_empty(l) || now_ns >= end_ns)) return NULL;
        sleep_until_work(l, stopping ? SLEEP_NS_MIN : sleep_ns);
    }
}

enum rw_err log_start(struct log *l, void (*clock)(int64_t *ret_now_ns, int64_t *ret_wall_ns))
{
    l->clock = clock;
    // Signals are for the main thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int err = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        l->clock = NULL;
        return (enum rw_err) - err;
    }
    pthread_setname_np(l->thread, "log");
    return RW_OK;
}

void log_stop(struct log *l)
{
    if (!l->clock) return;
    atomic_store(&l->stop, true);
    log_wake(l);
    pthread_join(l->thread, NULL);
    l->clock = NULL;
}
