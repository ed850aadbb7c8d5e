// ringway-load's parts: see main.c for what it is. One thread; errors end the program.
#ifndef RINGWAY_BENCH_LOAD_H
#define RINGWAY_BENCH_LOAD_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "bench/instr/ask.h"
#include "wire/http.h"

#define LOAD_HEAD_BYTES 4096

enum load_mode { LOAD_OPEN, LOAD_CLOSED, LOAD_STREAMS, LOAD_IDLE, LOAD_HELD };

// Times in tenths of a microsecond.
struct load_samples {
    uint32_t *p;
    size_t n, cap;
};

struct conn {
    int fd;
    bool busy; // asked and not answered
    bool in_body;
    bool first_event;
    uint8_t kind; // enum http_body
    size_t sent;
    uint64_t left;
    int64_t due_ns;
    struct http_chunked chunked;
    uint32_t head_n;
    uint8_t head[LOAD_HEAD_BYTES];
};

struct load {
    enum load_mode mode;
    struct ask ask;
    long connections;
    double rate, seconds;
    int64_t spread_ns; // over which the first requests are spread
    int64_t skip_ns; // events of this first while are not counted
    char *request;
    size_t request_n;
    struct conn *conns;
    struct conn **free; // not busy; LOAD_OPEN only
    long free_n;
    int epoll;
    int64_t start_ns, end_ns, next_due_ns;
    long due, asked, answers, first_events;
    struct load_samples latency; // of answers
    struct load_samples delay; // of stamped events
};

int64_t load_now(void);
_Noreturn void load_fail(const char *what);
void load_options(struct load *l, int argc, char **argv);
void load_sample(struct load_samples *s, int64_t ns);
void load_sort(struct load_samples *s);
double load_quantile(const struct load_samples *s, double q); // of sorted samples, in microseconds
// The delay of every stamped event in the data; an event that is not whole in it is passed over.
void load_stamps(struct load *l, struct span data);

#endif
