// Numbers about what runs: counters, gauges and histograms. Each worker writes its own memory and nobody
// else's; the control thread adds them up when it is asked (control/prometheus.h). The table of all of them
// stands below, once.
//
// Use      metric_new() for each worker; metric_add(), metric_gauge_add(), metric_observe_ns() from that
//          worker only. The plan holds a row for each target and model, made by metric_target_row() and
//          metric_model_row().
// Labels   come from the configuration only, never from a request. A label value that the configuration names
//          becomes a row; rows are never renumbered, so that counters stay right over a reload. Beyond
//          LABEL_VALUES_MAX rows everything is METRIC_ROW_OTHER. METRIC_ROW_NONE (empty labels) is for what
//          ended before it had a model.
// Owner    worker: struct metrics. Control thread: struct metric_labels.
// Thread   one writer per struct metrics (plain load and relaxed store, no lock prefix), any number of
//          readers. A reader may see a histogram's sum without its newest observation. Never suspends.
// Cost     about 10 instructions an addition, 40 an observation. The memory of a row is taken at its first
//          use (3 KB); if there is none, the use is counted in METRIC_ROW_OTHER.
// Exact    histograms are log-linear: METRIC_LONG has 2 buckets an octave from 2^-16 s (15 us) to 2^14 s (4.5
//          h), a value is known within 25 %; METRIC_SHORT has 4 from 2^-18 s (3.8 us) to 2^-3 s (125 ms),
//          within 12.5 %. Powers of two of a second, so that 0.5, 1, 2 and 4 s are bounds. A value that is a
//          bound counts below it, as Prometheus' "le" wants.
#ifndef RINGWAY_BASE_METRIC_H
#define RINGWAY_BASE_METRIC_H

#include <stdatomic.h>

#include "base/check.h"
#include "base/end.h"
#include "base/limits.h"
#include "base/span.h"

// --- The table.
//
// Labels whose values are known when this is compiled: X(symbol, name, number of values).
#define RW_METRIC_LABELS(X) \
    X(METRIC_LABEL_UNUSED, "", 1) \
    X(METRIC_LABEL_STATUS, "status", METRIC_STATUS_COUNT) \
    X(METRIC_LABEL_END, "end", RW_END_COUNT) \
    X(METRIC_LABEL_REASON, "reason", RW_END_COUNT) \
    X(METRIC_LABEL_TOKENS, "class", METRIC_TOKENS_COUNT) \
    X(METRIC_LABEL_UPSTREAM, "state", METRIC_UPSTREAM_COUNT) \
    X(METRIC_LABEL_GROUP, "group", METRIC_GROUP_COUNT) \
    X(METRIC_LABEL_BUFFER, "state", METRIC_BUFFER_COUNT) \
    X(METRIC_LABEL_LEVEL, "level", METRIC_LEVEL_COUNT) \
    X(METRIC_LABEL_LIMIT, "limit", METRIC_LIMIT_COUNT) \
    X(METRIC_LABEL_CACHE, "result", METRIC_CACHE_COUNT)

// Metrics of a worker: X(symbol, name, kind, help, label, label). Kinds: METRIC_COUNTER, METRIC_GAUGE,
// METRIC_NANOS (a counter of billionths, shown as units), METRIC_LONG, METRIC_SHORT (histograms).
#define RW_METRICS_PLAIN(X) \
    X(METRIC_OVERHEAD, "ringway_overhead_seconds", METRIC_SHORT, \
      "Time the gateway itself spent on a request: duration without waiting for the client or the " \
      "provider.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_CLIENT_CONNECTIONS, "ringway_client_connections", METRIC_GAUGE, "Open client connections.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_UPSTREAM_CONNECTIONS, "ringway_upstream_connections", METRIC_GAUGE, \
      "Open connections to providers.", METRIC_LABEL_UPSTREAM, METRIC_LABEL_UNUSED) \
    X(METRIC_CONNECTION_ENDS, "ringway_connection_ends_total", METRIC_COUNTER, \
      "Client connections that ended, by reason.", METRIC_LABEL_REASON, METRIC_LABEL_UNUSED) \
    X(METRIC_EXCHANGES, "ringway_exchanges", METRIC_GAUGE, "Requests being served.", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_FIBERS, "ringway_fibers", METRIC_GAUGE, "Fibers in use.", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_BUFFERS, "ringway_buffers", METRIC_GAUGE, "Receive buffers by group and owner.", \
      METRIC_LABEL_GROUP, METRIC_LABEL_BUFFER) \
    X(METRIC_BUDGET_BYTES, "ringway_budget_bytes", METRIC_GAUGE, \
      "Memory charged to the byte budget: bodies, detached buffers, arenas.", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_ACCEPT_PAUSED, "ringway_accept_paused_total", METRIC_COUNTER, \
      "Times that accepting connections was paused at the limit.", METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_LIMITED, "ringway_limited_total", METRIC_COUNTER, \
      "Requests that a limit or a budget refused, by whose and what it counts.", METRIC_LABEL_LEVEL, \
      METRIC_LABEL_LIMIT) \
    X(METRIC_LEDGER_FULL, "ringway_ledger_full_total", METRIC_COUNTER, \
      "Requests that found no room in the journal, since the ledger cannot be written.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_STORE_AUTH, "ringway_store_auth_errors_total", METRIC_COUNTER, \
      "Times that the account of a key could not be read (on_store_error.auth).", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_STORE_LIMITS, "ringway_store_limits_errors_total", METRIC_COUNTER, \
      "Times that a limit could not be read or had no room to be counted (on_store_error.limits).", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_CACHE, "ringway_cache_requests_total", METRIC_COUNTER, \
      "Requests that the cache was asked about, by what came of it.", METRIC_LABEL_CACHE, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_CACHE_SAVED, "ringway_cache_saved_usd_total", METRIC_NANOS, \
      "What answers from the cache would have cost, in USD.", METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_TURNS, "ringway_turns_total", METRIC_COUNTER, "Turns of the workers' loops.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_COMPLETIONS, "ringway_completions_total", METRIC_COUNTER, "Completions taken from the kernel.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED)

// Metrics with the labels model and provider.
#define RW_METRICS_BY_TARGET(X) \
    X(METRIC_REQUESTS, "ringway_requests_total", METRIC_COUNTER, \
      "Requests that ended, by class of the status sent and reason.", METRIC_LABEL_STATUS, METRIC_LABEL_END) \
    X(METRIC_REQUEST_DURATION, "ringway_request_duration_seconds", METRIC_LONG, \
      "Time from the first byte of a request to the last byte of its answer.", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED) \
    X(METRIC_FIRST_TOKEN, "ringway_time_to_first_token_seconds", METRIC_LONG, \
      "Time from the first byte of a streamed request to the first token of its answer.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED)

// Metrics with the label model.
#define RW_METRICS_BY_MODEL(X) \
    X(METRIC_TOKENS, "ringway_tokens_total", METRIC_COUNTER, "Tokens as the providers counted them.", \
      METRIC_LABEL_TOKENS, METRIC_LABEL_UNUSED) \
    X(METRIC_COST, "ringway_cost_usd_total", METRIC_NANOS, "What the requests cost, in USD.", \
      METRIC_LABEL_UNUSED, METRIC_LABEL_UNUSED) \
    X(METRIC_UNPRICED, "ringway_unpriced_requests_total", METRIC_COUNTER, \
      "Requests that used tokens of a model without a price: they count as free.", METRIC_LABEL_UNUSED, \
      METRIC_LABEL_UNUSED)

// Metrics that are asked for at scrape and have no cell: X(symbol, name, kind, help).
#define RW_METRICS_PROCESS(X) \
    X(METRIC_BUILD_INFO, "ringway_build_info", METRIC_GAUGE, "Always 1; the labels say what runs.") \
    X(METRIC_IO_BACKEND, "ringway_io_backend", METRIC_GAUGE, "1 for the completion back end in use.") \
    X(METRIC_WORKERS, "ringway_workers", METRIC_GAUGE, "Worker threads.") \
    X(METRIC_LOG_DROPPED, "ringway_log_lines_dropped_total", METRIC_COUNTER, \
      "Access log lines that were lost because the log's receiver was too slow or failed.") \
    X(METRIC_SUSPICIOUS, "ringway_suspicious_total", METRIC_COUNTER, \
      "Times that a condition of the code that should not occur was true and survived.") \
    X(METRIC_LEDGER_RECORDS, "ringway_ledger_records_total", METRIC_COUNTER, \
      "Records that were committed to the ledger.") \
    X(METRIC_LEDGER_CRASHED, "ringway_ledger_crashed_total", METRIC_COUNTER, \
      "Requests of processes that died, charged at their estimate.") \
    X(METRIC_LEDGER_WAITING, "ringway_ledger_waiting", METRIC_GAUGE, \
      "Records that could not be committed yet.") \
    X(METRIC_LEDGER_TROUBLE, "ringway_ledger_trouble", METRIC_GAUGE, \
      "1 while commits to the ledger fail; the log says why.") \
    X(METRIC_CACHE_ENTRIES, "ringway_cache_entries", METRIC_GAUGE, "Answers in the cache.") \
    X(METRIC_CACHE_BYTES, "ringway_cache_bytes", METRIC_GAUGE, "Size of the cache's files.") \
    X(METRIC_CACHE_EVICTED, "ringway_cache_evicted_total", METRIC_COUNTER, \
      "Answers that had to make room for newer ones.") \
    X(METRIC_CACHE_FAILED, "ringway_cache_failed_total", METRIC_COUNTER, \
      "Answers that could not be kept, or were not what they should be when they were read.") \
    X(METRIC_CERTIFICATE_EXPIRES, "ringway_certificate_expires_timestamp_seconds", METRIC_GAUGE, \
      "When the first certificate in a file that is shown to others expires, Unix time.") \
    X(METRIC_CREDENTIAL_EXPIRES, "ringway_credential_expires_timestamp_seconds", METRIC_GAUGE, \
      "When a provider's credentials that are renewed here expire, Unix time; 0: there are none.") \
    X(METRIC_CREDENTIAL_FAILURES, "ringway_credential_failures_total", METRIC_COUNTER, \
      "Times that a provider's credentials could not be renewed; the log says why.") \
    X(METRIC_RESIDENT, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory.") \
    X(METRIC_VIRTUAL, "process_virtual_memory_bytes", METRIC_GAUGE, "Virtual memory.") \
    X(METRIC_OPEN_FDS, "process_open_fds", METRIC_GAUGE, "Open file descriptors.") \
    X(METRIC_MAX_FDS, "process_max_fds", METRIC_GAUGE, "Largest number of open file descriptors.") \
    X(METRIC_START_TIME, "process_start_time_seconds", METRIC_GAUGE, "Start of the process since 1970.") \
    X(METRIC_CPU, "process_cpu_seconds_total", METRIC_COUNTER, "User and system time of the process.")

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_NANOS, METRIC_LONG, METRIC_SHORT };

// --- Values of the fixed labels; their names are in metric.c, in this order.

enum metric_status {
    METRIC_STATUS_NONE, // nothing was sent
    METRIC_STATUS_1XX,
    METRIC_STATUS_2XX,
    METRIC_STATUS_3XX,
    METRIC_STATUS_4XX,
    METRIC_STATUS_5XX,
    METRIC_STATUS_COUNT
};
// Cache reads and writes are part of input, reasoning is part of output.
enum metric_tokens {
    METRIC_TOKENS_INPUT,
    METRIC_TOKENS_OUTPUT,
    METRIC_TOKENS_CACHE_READ,
    METRIC_TOKENS_CACHE_WRITE,
    METRIC_TOKENS_REASONING,
    METRIC_TOKENS_COUNT
};
enum metric_upstream { METRIC_UPSTREAM_IDLE, METRIC_UPSTREAM_ACTIVE, METRIC_UPSTREAM_COUNT };
enum metric_group { METRIC_GROUP_CLIENT, METRIC_GROUP_UPSTREAM, METRIC_GROUP_COUNT };
// Lent to the kernel; received and held by a stream or an exchange; spare.
enum metric_buffer { METRIC_BUFFER_KERNEL, METRIC_BUFFER_HELD, METRIC_BUFFER_FREE, METRIC_BUFFER_COUNT };

// Whose limit refused, in the order of policy/limit.h, and what it counts.
enum metric_level {
    METRIC_LEVEL_KEY,
    METRIC_LEVEL_TEAM,
    METRIC_LEVEL_TENANT,
    METRIC_LEVEL_MODEL,
    METRIC_LEVEL_GLOBAL,
    METRIC_LEVEL_END_USER,
    METRIC_LEVEL_COUNT
};
enum metric_limit {
    METRIC_LIMIT_CONCURRENCY,
    METRIC_LIMIT_REQUESTS,
    METRIC_LIMIT_TOKENS,
    METRIC_LIMIT_MONEY,
    METRIC_LIMIT_COUNT
};

// In the order of enum store_cache.
enum metric_cache { METRIC_CACHE_HIT, METRIC_CACHE_MISS, METRIC_CACHE_BYPASS, METRIC_CACHE_COUNT };

#define METRIC_BUCKETS 62
#define METRIC_CELLS_METRIC_COUNTER 1
#define METRIC_CELLS_METRIC_GAUGE 1
#define METRIC_CELLS_METRIC_NANOS 1
#define METRIC_CELLS_METRIC_LONG (1 + METRIC_BUCKETS) // the sum in nanoseconds, then the buckets
#define METRIC_CELLS_METRIC_SHORT (1 + METRIC_BUCKETS)

#define X(symbol, name, count) symbol##_VALUES = (count),
enum { RW_METRIC_LABELS(X) };
#undef X

// What the metrics of a row are keyed by.
enum metric_set { METRIC_SET_PLAIN, METRIC_SET_TARGET, METRIC_SET_MODEL, METRIC_SET_COUNT };
#define METRIC_SET_SHIFT 16

// The value of a symbol is its address: the set above METRIC_SET_SHIFT, below it the first cell in a row of
// that set.
#define X(symbol, name, kind, help, a, b) \
    symbol, symbol##_LAST = symbol + METRIC_CELLS_##kind * a##_VALUES * b##_VALUES - 1,
enum metric_id {
    RW_METRICS_PLAIN(X) METRIC_PLAIN_END,
    METRIC_TARGET_BEFORE = (METRIC_SET_TARGET << METRIC_SET_SHIFT) - 1,
    RW_METRICS_BY_TARGET(X) METRIC_TARGET_END,
    METRIC_MODEL_BEFORE = (METRIC_SET_MODEL << METRIC_SET_SHIFT) - 1,
    RW_METRICS_BY_MODEL(X) METRIC_MODEL_END,
};
#undef X

// --- Rows.

#define METRIC_ROW_OTHER 0
#define METRIC_ROW_NONE 1
#define METRIC_ROWS_MAX (LABEL_VALUES_MAX + 2)

// One metric's place in its set: a row and, where the metric has fixed labels, their values.
static inline uint32_t metric_label(uint32_t row, uint32_t fixed)
{
    return row << 16 | fixed;
}

// status 0: none was sent. Anything else that is no status is a programmer error.
static inline uint32_t metric_request_label(uint32_t row, uint32_t status, enum rw_end end)
{
    MUST(status < 600 && end < RW_END_COUNT);
    return metric_label(row, status / 100 * RW_END_COUNT + end);
}

static inline uint32_t metric_buffer_label(enum metric_group group, enum metric_buffer state)
{
    return group * METRIC_BUFFER_COUNT + state;
}

// --- Writing. Only from the thread that owns m.

typedef _Atomic uint64_t metric_cell;

struct metrics {
    metric_cell *_Atomic rows[METRIC_SET_COUNT][METRIC_ROWS_MAX];
};

// NULL if there is no memory.
struct metrics *metric_new(void);
void metric_free(struct metrics *m);

// Makes the memory of a row, or gives that of METRIC_ROW_OTHER.
metric_cell *metric_row_make(struct metrics *m, uint32_t set, uint32_t row);

// Cells of a row.
static inline uint32_t metric_row_size(uint32_t set)
{
    return set == METRIC_SET_PLAIN ? METRIC_PLAIN_END
        : set == METRIC_SET_TARGET ? METRIC_TARGET_END - METRIC_TARGET_BEFORE - 1
                                   : METRIC_MODEL_END - METRIC_MODEL_BEFORE - 1;
}

// The cell itself: of metric_label()'s row the one of the fixed labels' values.
static inline metric_cell *metric_at(struct metrics *m, enum metric_id id, uint32_t label)
{
    const uint32_t set = (uint32_t)id >> METRIC_SET_SHIFT, row = label >> 16;
    const uint32_t cell = (id & 0xffff) + (label & 0xffff);
    MUST(row < METRIC_ROWS_MAX && cell < metric_row_size(set));
    metric_cell *cells = atomic_load_explicit(&m->rows[set][row], memory_order_relaxed);
    if (RW_UNLIKELY(!cells)) cells = metric_row_make(m, set, row);
    return cells + cell;
}

static inline void metric_cell_add(metric_cell *cell, uint64_t n)
{
    const uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, was + n, memory_order_relaxed);
}

// label: 0 for a metric without labels, a value for one with a single fixed label, metric_label() or one of
// its kind for the others.
static inline void metric_add(struct metrics *m, enum metric_id id, uint32_t label, uint64_t n)
{
    metric_cell_add(metric_at(m, id, label), n);
}

static inline void metric_gauge_add(struct metrics *m, enum metric_id id, uint32_t label, int64_t n)
{
    metric_add(m, id, label, (uint64_t)n);
}

static inline void metric_gauge_set(struct metrics *m, enum metric_id id, uint32_t label, int64_t v)
{
    atomic_store_explicit(metric_at(m, id, label), (uint64_t)v, memory_order_relaxed);
}

#define X(symbol, name, kind_, help, a, b) || ((kind_) == kind && id == (symbol))
static inline __attribute__((always_inline)) bool metric_is(enum metric_id id, enum metric_kind kind)
{
    return false RW_METRICS_PLAIN(X) RW_METRICS_BY_TARGET(X) RW_METRICS_BY_MODEL(X);
}
#undef X

// Where a value lies: 0 to METRIC_BUCKETS - 1.
uint32_t metric_bucket_long(uint64_t ns);
uint32_t metric_bucket_short(uint64_t ns);

// A histogram's observation; a negative one counts as 0. id must be of kind METRIC_LONG or METRIC_SHORT.
static inline __attribute__((always_inline)) void metric_observe_ns(struct metrics *m, enum metric_id id,
                                                                    uint32_t label, int64_t ns)
{
    const bool is_short = metric_is(id, METRIC_SHORT);
    MUST((is_short || metric_is(id, METRIC_LONG)) && (label & 0xffff) == 0);
    const uint64_t value = ns < 0 ? 0 : (uint64_t)ns;
    metric_cell *cells = metric_at(m, id, label);
    metric_cell_add(cells, value);
    metric_cell_add(cells + 1 + (is_short ? metric_bucket_short(value) : metric_bucket_long(value)), 1);
}

// --- Names of rows. The control thread's.

struct metric_labels;

struct metric_labels *metric_labels_new(void);
void metric_labels_free(struct metric_labels *l);

// The row of a configured name or pair, made if it is new. Names are copied, cut to METRIC_NAME_BYTES_MAX at
// a character.
uint32_t metric_target_row(struct metric_labels *l, struct span model, struct span provider);
uint32_t metric_model_row(struct metric_labels *l, struct span model);

// --- Reading, for exporters. Any thread that holds the labels.

struct metric_info {
    const char *name;
    const char *help;
    uint32_t id; // enum metric_id
    uint8_t kind; // enum metric_kind
    uint8_t set; // enum metric_set
    uint8_t labels[2]; // enum metric_fixed_label; METRIC_LABEL_UNUSED comes last
};

#define X(symbol, name, count) symbol,
enum metric_fixed_label { RW_METRIC_LABELS(X) METRIC_LABEL_COUNT };
#undef X

#define X(symbol, name, kind, help) symbol,
enum metric_process { RW_METRICS_PROCESS(X) METRIC_PROCESS_COUNT };
#undef X

// The metrics with cells, in the order of the lists, and their number.
const struct metric_info *metric_table(uint32_t *ret_count);
const char *metric_label_name(uint32_t label);
const char *metric_label_value(uint32_t label, uint32_t value);
uint32_t metric_label_values(uint32_t label);

// Rows in use of a set (METRIC_ROW_OTHER and METRIC_ROW_NONE included), and their names ("other" and "" for
// those two).
uint32_t metric_rows(const struct metric_labels *l, uint32_t set);
struct span metric_row_model(const struct metric_labels *l, uint32_t set, uint32_t row);
struct span metric_row_provider(const struct metric_labels *l, uint32_t row);

// The cells of a row, or NULL if this worker never used it.
const metric_cell *metric_row_cells(const struct metrics *m, uint32_t set, uint32_t row);

// Upper bound of a bucket in units of 2^-30 s; UINT64_MAX for the last, which has none.
uint64_t metric_bucket_bound(enum metric_kind kind, uint32_t bucket);

#endif
