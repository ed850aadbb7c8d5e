// What was used, as JSON: the members of the answers to GET /v1/usage and /admin/v1/usage, out of the ledger's sums.
//
// Use      json_out_object(); usage_report_summary(); usage_report_groups() for each grouping; json_out_end().
// Tokens   What went in is input, cached reads, cache writes, images and audio; what came out is output and reasoning, as the
//          sums keep them. total_tokens is all of them.
// Days     are UTC; the last of them is today's. Days without requests are not listed.
// Memory   the arena of `o`, bounded by rows_max whatever the ledger holds.
// Thread   that of the readers; not a worker's: a query may read millions of rows.
#ifndef RINGWAY_FEATURE_USAGE_REPORT_H
#define RINGWAY_FEATURE_USAGE_REPORT_H

#include "store/usage.h"
#include "wire/json_out.h"

#define USAGE_DAYS_MAX 3660
#define USAGE_ROWS_MAX 10000

struct usage_ask {
    int64_t wall_ms; // now
    uint32_t days; // 1 to USAGE_DAYS_MAX
    uint32_t tenant, team, key; // 0: any
    struct span model, provider, tag; // empty: any
};

// "day", "tenant", "team", "key", "model", "provider", "tag". False: no such grouping.
bool usage_group_parse(struct span name, enum store_group *ret);
const char *usage_group_name(enum store_group group);

// "period", "summary", "daily". RW_E_BAD: a tag together with key, model or provider, for which there are no sums.
RW_WARN_UNUSED enum rw_err usage_report_summary(struct json_out *o, struct store_reader *usage,
                                                const struct usage_ask *ask);

// "by_X": the rows_max (at most USAGE_ROWS_MAX) with the most requests, those first (days: all, in their order), and if there are
// more, their sum in "by_X_others". accounts: for the names; RW_E_BAD as above.
RW_WARN_UNUSED enum rw_err usage_report_groups(struct json_out *o, struct store_reader *usage,
                                               struct store_reader *accounts, const struct usage_ask *ask,
                                               enum store_group by, uint32_t rows_max);

uint64_t usage_tokens_in(const struct store_sums *s);
uint64_t usage_tokens_out(const struct store_sums *s);
uint64_t usage_tokens_all(const struct store_sums *s);

// Names of enum store_tokens: "input", "cached_input", ...
const char *usage_tokens_name(enum store_tokens class);

#endif
