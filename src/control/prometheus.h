// The metrics page: all workers' metrics added up and written in Prometheus' text format 0.0.4 (content type
// "text/plain; version=0.0.4; charset=utf-8").
//
// Use      prometheus_init(); fill a struct prometheus_source; prometheus_render() as often as asked; the
//          page is text->p[0 .. n); prometheus_done().
// What     every family with HELP and TYPE, each series that was ever used. Histograms always write all their
//          buckets, so that series can be added up by "le". A metric that is fed by nobody shows its HELP and
//          a zero only if it has no labels.
// Owner    the caller. Thread: control. Blocking: prometheus_process_read() reads /proc; the rest only
//          memory.
// Bound    the page grows to text->max; then it is cut after a whole line and `overflow` is set.
#ifndef RINGWAY_CONTROL_PROMETHEUS_H
#define RINGWAY_CONTROL_PROMETHEUS_H

#include "base/metric.h"
#include "control/credentials.h"
#include "control/plan_tls.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prometheus_text {
    char *p;
    uint32_t n, cap, max;
    bool overflow;
};

// What the kernel says about this process.
struct prometheus_process {
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t open_fds;
    uint64_t max_fds;
    uint64_t start_ms; // since 1970
    uint64_t cpu_ms;
};

struct prometheus_source {
    const struct metrics *const *workers;
    uint32_t worker_count;
    const struct metric_labels *labels;
    const char *version;
    const char *build; // commit or build id
    const char *io_backend; // "io_uring", "epoll", "sim"
    uint64_t log_lines_dropped;
    uint64_t ledger_records, ledger_crashed, ledger_waiting, ledger_trouble; // 0 without a store
    uint64_t cache_entries, cache_bytes, cache_evicted, cache_failed; // 0 without a cache
    const struct credentials *credentials; // NULL: none
    const struct plan_tls *tls; // whose expiry is shown; NULL: none
    struct prometheus_process process;
};

// max: at most PROMETHEUS_BYTES_MAX.
void prometheus_init(struct prometheus_text *t, uint32_t max);
void prometheus_done(struct prometheus_text *t);

// What cannot be read stays 0.
void prometheus_process_read(struct prometheus_process *ret);

// Replaces what was in t.
void prometheus_render(struct prometheus_text *t, const struct prometheus_source *s);

#endif
