// What was used: sums by day, kept for ever, and the raw records, kept for a while.
//
// Sums     rows of day x tenant, day x tenant x team, day x tenant x team x key, each x model x provider; and
//          day x team x tag. A query takes the coarsest that can answer it. Days are UTC, of a request's begin.
// Raw      records by id, so in the order of time.
// Thread   that of the store_reader (STORE_USAGE). A query reads one snapshot and takes memory for its groups;
//          not on a worker.
#ifndef RINGWAY_STORE_USAGE_H
#define RINGWAY_STORE_USAGE_H

#include "store/record.h"

#define STORE_DAY_MS INT64_C(86400000)

// Days since 1970.
static inline uint32_t store_day(int64_t wall_ms)
{
    return (uint32_t)(wall_ms / STORE_DAY_MS);
}

// All 64 bits wide: it is stored as it lies. New ones are appended; older rows are shorter.
struct store_sums {
    uint64_t requests; // parts 0
    uint64_t failed;
    uint64_t estimated;
    uint64_t crashed;
    uint64_t cut;
    uint64_t unpriced;
    uint64_t cache_hits;
    uint64_t attempts; // parts other than 0
    uint64_t tokens[STORE_TOKENS_COUNT];
    int64_t cost_nanos;
    uint64_t duration_us;
    uint64_t refused;
    int64_t saved_nanos; // what answers from the cache would have cost
};

void store_sums_add(struct store_sums *to, const struct store_sums *s);
// What one record adds, to what is there and by itself.
void store_sums_note(struct store_sums *to, const struct store_record *r);
void store_sums_of(const struct store_record *r, struct store_sums *ret);

enum store_group {
    STORE_BY_NOTHING, // one row: the total
    STORE_BY_DAY,
    STORE_BY_TENANT,
    STORE_BY_TEAM,
    STORE_BY_KEY,
    STORE_BY_MODEL,
    STORE_BY_PROVIDER,
    STORE_BY_TAG
};

// With STORE_BY_TAG or a tag, neither key, model nor provider can be asked for: RW_E_BAD. A request with two tags
// is in both rows.
struct store_usage_query {
    uint32_t first_day, last_day; // both included
    uint32_t tenant, team, key; // 0: any
    struct span model, provider, tag; // empty: any
    enum store_group group;
};

struct store_usage_row {
    uint32_t day; // STORE_BY_DAY
    uint32_t id; // of tenant, team or key
    struct span text; // model, provider, tag
    struct store_sums sums;
};

// The rows in ascending order of day, id or text. False ends it.
typedef bool store_usage_fn(const struct store_usage_row *row, void *ctx);
RW_WARN_UNUSED enum rw_err store_usage_sum(struct store_reader *r, const struct store_usage_query *q,
                                           store_usage_fn *fn, void *ctx);

// --- Raw records.

struct store_raw_query {
    int64_t from_ms, to_ms; // the second not included
    uint32_t tenant, team, key; // 0: any
    struct span model, provider, tag; // empty: any
    bool newest_first;
};
// Until fn returns false. The record's spans are good during the call.
typedef bool store_raw_fn(const struct store_record *r, void *ctx);
RW_WARN_UNUSED enum rw_err store_usage_raw(struct store_reader *r, const struct store_raw_query *q,
                                           store_raw_fn *fn, void *ctx);

// All parts of one request, part 0 first. RW_E_NOT_FOUND.
RW_WARN_UNUSED enum rw_err store_usage_explain(struct store_reader *r, const uint8_t id[STORE_ID_BYTES],
                                               store_raw_fn *fn, void *ctx);

// What was spent since a moment, of each tenant, team or key (STORE_BY_TENANT, _TEAM, _KEY) or model: for
// filling money and quota cells after a start. Whole days come from the sums, the rest from raw records.
RW_WARN_UNUSED enum rw_err store_usage_since(struct store_reader *r, int64_t from_ms, enum store_group group,
                                             store_usage_fn *fn, void *ctx);

// The time of the oldest raw record, 0 if there is none.
RW_WARN_UNUSED enum rw_err store_usage_oldest(struct store_reader *r, int64_t *ret_ms);

#endif
