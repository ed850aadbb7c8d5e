// One JSON line for each request that ended, into the worker's log ring.
//
// Use      fill a struct access_record (zero it first, or start from ACCESS_RECORD_INIT); access_log_write().
// Line     keys in this order: time, request_id, client_request_id, client, method, path, status, end,
//          dialect, model, provider, upstream_model, upstream_request_id, stream, attempts, cache, tenant,
//          team, key, bytes_in, bytes_out, input_tokens, output_tokens, cost_usd, duration_us, first_byte_us,
//          overhead_us. What is absent is left out, never null: a span whose pointer is NULL, a number below
//          0, a status of 0 (nothing was sent). time, request_id, end, stream, attempts, bytes_in, bytes_out
//          and duration_us are always there.
// Never    bodies or secrets: the path ends before '?' (a key may be in ?key=) and at ACCESS_PATH_BYTES_MAX;
//          `key` is the key's name or id. Every other text is cut at the length stated with it, so that a
//          line always fits a reserve.
// Text     bytes that are not UTF-8 become U+FFFD; a cut falls between characters.
// Full     when the ring is full the line is dropped and counted there.
// Prepared dialect, model, provider and upstream_model are the same for every request to a target, tenant,
// team and key for every request of a key. Whoever builds the plan may have these two parts of a line written
// once, by access_log_prepare_*(), and put them into the records: a quarter of the work less.
// Thread   the worker's. Never suspends, never allocates. An ordinary line takes 900 instructions with
//          prepared parts, 1,220 without.
#ifndef RINGWAY_GATEWAY_ACCESS_LOG_H
#define RINGWAY_GATEWAY_ACCESS_LOG_H

#include "base/end.h"
#include "base/fmt.h"
#include "base/logring.h"

#define ACCESS_PATH_BYTES_MAX 256
#define ACCESS_TEXT_BYTES_MAX 128 // models and the ids of others
#define ACCESS_NAME_BYTES_MAX 64 // names of the configuration, addresses, our own ids
#define ACCESS_WORD_BYTES_MAX 24 // method, dialect, cache
#define ACCESS_ABSENT INT64_C(-1)
// Prepared parts of a line.
#define ACCESS_TARGET_BYTES_MAX 2128
#define ACCESS_PRINCIPAL_BYTES_MAX 1184

struct access_record {
    int64_t wall_ns; // when the request ended
    struct span request_id;
    struct span client_request_id;
    struct span client; // address without port
    struct span method;
    struct span path; // the request target as it came
    struct span dialect;
    struct span model; // as the client asked
    struct span provider;
    struct span upstream_model;
    struct span upstream_request_id;
    struct span cache; // hit, miss, bypass
    struct span tenant;
    struct span team;
    struct span key; // name or id
    // If they have a pointer, they stand for dialect to upstream_model and for tenant to key: parts that were
    // prepared.
    struct span target;
    struct span principal;
    enum rw_end end;
    uint32_t status; // sent to the client
    uint32_t attempts; // calls to providers
    bool stream;
    int64_t bytes_in; // of the request's body
    int64_t bytes_out; // of the answer's body
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cost_nano_usd;
    int64_t duration_us; // first byte of the request to last byte of the answer
    int64_t first_byte_us; // first byte of the request to first byte of the answer
    int64_t overhead_us; // of duration, neither the client's nor the provider's
};

// What may be absent is absent.
#define ACCESS_RECORD_INIT \
    { \
        .input_tokens = ACCESS_ABSENT, .output_tokens = ACCESS_ABSENT, .cost_nano_usd = ACCESS_ABSENT, \
        .first_byte_us = ACCESS_ABSENT, .overhead_us = ACCESS_ABSENT \
    }

// A worker's.
struct access_log {
    struct logring *ring; // NULL: the access log is off
    struct fmt_time clock;
};

// The parts of a line for record.target and record.principal, from the fields of r that belong to them.
// Return their length.
uint32_t access_log_prepare_target(const struct access_record *r, char out[ACCESS_TARGET_BYTES_MAX]);
uint32_t access_log_prepare_principal(const struct access_record *r, char out[ACCESS_PRINCIPAL_BYTES_MAX]);

void access_log_write(struct access_log *log, const struct access_record *record);

#endif
