// The plan: what the configuration says, in the form that workers read on every request. Made by control, immutable, shared
// by all workers, swapped as a whole at a turn of their loops.
//
// Owner    control makes it (plan_new .. fill .. plan_seal) and frees it when the last worker has let go. A worker counts its
//          exchanges on a plan without atomics and reports once when it reaches zero (worker.h).
// Thread   read by any; nothing is written after plan_seal().
// Units    in the names.
#ifndef RINGWAY_GATEWAY_PLAN_H
#define RINGWAY_GATEWAY_PLAN_H

#include "base/limits.h"
#include "base/map.h"
#include "base/span.h"
#include "gateway/principal.h"
#include "io/addr.h"
#include "net/h1.h"
#include "net/upstream.h"
#include "policy/limit.h"
#include "policy/price.h"
#include "tls/crypto.h"
#include "tls/sigv4.h"

struct plan_timeouts {
    int64_t connect_ns;
    int64_t tls_ns;
    int64_t first_byte_ns;
    int64_t first_token_ns;
    int64_t idle_ns;
    int64_t total_ns;
};

struct credential;
struct dialect;

enum plan_provider_kind { PLAN_HTTP, PLAN_ECHO };

// Workers keep one connection pool per origin; `origin` is its index, stable over reloads while the address stays.
struct plan_provider {
    struct span name;
    enum plan_provider_kind kind;
    uint32_t origin;
    struct span path_prefix; // of base_url, "/v1"; for a proxy that reads it with scheme and host in front
    struct span head_fields; // complete lines: host, authorization, configured headers
    struct span chat_front; // how the head of every chat begins: request line and head_fields (plan_ready.h)
    struct span tunnel; // what the proxy on the way is told, see up_patience; empty: nothing
    bool proxied; // the origin's addresses are a proxy's
    const struct dialect *dialect; // of its API
    // Behind path_prefix, where chats of its dialect are asked. Of an API with the model in the path: what stands before it, and
    // what behind it, without and with streaming.
    struct span chat_path;
    bool model_in_path;
    struct span path_whole, path_stream;
    bool chat_only; // other routes of its dialect have no counterpart there
    struct span
        body_version; // Anthropic's messages: anthropic_version, said instead of the model; else empty
    const struct plan_provider
        *claude; // who serves models of Anthropic's under the same name; NULL: no other
    uint32_t index; // in plan.providers, of those beside it, too
    struct span path_query; // of every path, with its '?'; mostly empty
    uint32_t credential; // index + 1 of what is renewed beside the plan; 0: all of it stands in head_fields
    const struct sigv4_field
        *signed_field; // of requests that are signed: host, and what x-amz-* the configuration sends
    uint32_t signed_fields;
    bool responses; // takes OpenAI's responses dialect, too
    bool max_tokens_old; // OpenAI's dialect without max_completion_tokens
    struct span type; // as prices name it
    struct span region; // where it computes; empty: not said
    struct plan_timeouts timeouts;
};

struct plan_model {
    struct span name; // what clients ask for
    struct span upstream_model; // what the provider is asked for
    uint32_t provider;
    uint32_t target_row; // of the metrics
    uint32_t model_row;
    struct span answer_lines; // of heads: the plan's, and provider and model (plan_ready.h)
    struct span log_target; // access_record.target
    const struct price *price; // NULL: it has none
    const struct price_about *about; // NULL: nothing is known of it
    struct span list_members; // what GET /v1/models says besides its name (plan_ready.h)
    const struct limit_bound *limit; // of the model; NULL: none
    const struct limit_list *limits; // the same, joined
    uint64_t hash; // of its name, for the estimator
    struct plan_timeouts timeouts;
};

// A client that is known by its certificate.
struct plan_peer {
    uint64_t id; // tls_peer.id
    const struct principal *principal;
};

struct plan_origin {
    struct span name; // "host:port", for people
    struct io_addr addr[UP_ADDRS_MAX];
    uint32_t addr_count;
    struct io_addr bind_to;
    struct tls_client *tls; // NULL: plain HTTP. A plan holds it.
    struct up_shared *shared; // lives as long as the process
};

struct plan_listener {
    struct io_addr addr;
    struct h1_entry entry;
};

// A worker's exchanges on a plan that is no longer the one in force. Made with the plan, so that a reload needs no memory later.
struct plan_seat {
    struct plan_seat *next;
    const struct plan *plan;
    uint32_t users;
};

// Answers from the cache (cache.h).
struct plan_cache {
    int64_t ttl_ms;
    bool global; // tenants are given each other's answers
    bool sampled; // also those to requests with a temperature
    struct principal_list models, tools; // of requests that are left out
};

struct plan {
    uint64_t generation;
    struct plan_seat *seats; // one for each worker, by its index: that worker's to write
    const struct plan_listener *listeners;
    uint32_t listener_count;
    const struct plan_origin *origins;
    uint32_t origin_count;
    // What providers are told about who asks, as it was when the plan was made. A plan holds them; indices outlive it.
    const struct credential *const *credentials;
    uint32_t credential_count;
    const struct plan_provider *providers;
    uint32_t provider_count;
    const struct plan_model *models;
    uint32_t model_count;
    const struct principal *principals; // of keys that stand in the configuration
    uint32_t principal_count;
    struct map model_by_name;
    struct map provider_by_name;
    struct map principal_by_digest;
    struct map principal_by_peer; // struct plan_peer, by the bytes of its id
    struct crypto_hmac_key key_hmac; // of all keys, those of the store, too
    int32_t default_model; // index, -1: none
    int32_t default_provider; // index, -1: none
    struct span service_name;
    struct span version;
    struct span base_path;
    bool strip_stage_prefix;
    struct span cors_origin; // the value of allow-origin when it is always the same ("*"); else empty
    const struct span *cors_origins;
    uint32_t cors_origin_count;
    struct span cors_headers; // the value of allow-headers
    struct span answer_lines; // of every answer's head: CORS, complete but for an origin from the list
    struct h1_cfg http;
    uint64_t body_bytes_max;
    uint64_t upload_bytes_max;
    int64_t body_timeout_ns;
    bool response_model_requested;
    bool ready_needs_target;
    bool access_log;
    const struct price_table *prices;
    const struct limit_bound *limit; // of all requests; NULL: none
    const struct limit_set *end_user; // of each end user; NULL: none
    const struct plan_cache *cache; // NULL: off
    uint16_t budget_status; // of a refusal because of money
    bool ledger_full_refuses; // else requests go on without a record
    bool revoke_cuts; // streams of a key that is revoked
    bool limits_closed; // a limit that cannot be read or counted refuses
    bool auth_open; // an account that cannot be read is as it was
    void *memory; // control's
};

#endif
