// The metrics listener: GET /metrics in Prometheus' text format, on the control loop, without a key. It has an address of its
// own so that it can be kept from clients.
//
// Thread   control's.
#ifndef RINGWAY_CONTROL_METRICS_PAGE_H
#define RINGWAY_CONTROL_METRICS_PAGE_H

#include "control/log.h"
#include "control/credentials.h"
#include "control/plan_tls.h"
#include "control/prometheus.h"
#include "net/h1.h"

struct store_answers;
struct store_writer;

struct metrics_page_cfg {
    struct io_loop *loop;
    const struct io_addr *address;
    const struct metrics *const *workers;
    uint32_t worker_count;
    const struct metric_labels *labels;
    const struct log *log;
    struct store_answers *answers; // the cache; NULL: there is none
    struct store_writer *writer; // of the ledger; NULL: there is none
    const struct credentials *credentials; // NULL: none
    const struct plan_tls *tls; // NULL: no certificates
    const char *io_backend;
};

struct metrics_page {
    struct metrics_page_cfg cfg;
    struct h1_server http;
    struct h1_entry entry;
    struct io_op accept;
    struct prometheus_text text;
    int fd; // 0: not open
};

enum rw_err metrics_page_open(struct metrics_page *p, const struct metrics_page_cfg *cfg) RW_WARN_UNUSED;
// Begins to close; metrics_page_closed() within a few turns.
void metrics_page_close(struct metrics_page *p);
bool metrics_page_closed(const struct metrics_page *p);
// After that: gives the memory back.
void metrics_page_done(struct metrics_page *p);

#endif
