// Who asks: a key with its team and tenant, and what they may do. Keys of the store are read by their hash and kept in a cache
// of the worker's until anything changes in the accounts. Of keys of the configuration the plan says what they may; their teams
// and tenants are the store's, too, where there is one.
//
// Fresh    An entry holds for the accounts version it was read under (store/env.h), so a revocation, a raised limit, a new key
//          hold from the next request on, on every worker of every process. Unknown keys are remembered, too.
// Errors   of the store are struct principal_rules' to decide: a limit that cannot be read or has no room to be counted is left
//          out or lets nobody in; an account that cannot be read lets nobody in, or is as it was when it was last read. What
//          could not be read is tried again within a second.
// Owner    the cache; principal_leave() gives back what principal_find() gave. A plan's live as long as the plan.
// Thread   the worker's. Never suspends; a miss reads the store's mapped file.
#ifndef RINGWAY_GATEWAY_PRINCIPAL_H
#define RINGWAY_GATEWAY_PRINCIPAL_H

#include "base/clock.h"
#include "io/addr.h"
#include "policy/limit.h"
#include "store/accounts.h"

#define PRINCIPAL_LEVELS 3 // key, team, tenant

struct principal_list {
    const struct span *item;
    uint32_t count; // 0: all
};

struct principal {
    struct span name, team, tenant;
    struct span log_line; // access_record.principal
    uint32_t key_id, team_id, tenant_id; // of the store; 0: there is none
    bool planned; // stands in the configuration: the plan's
    bool disabled; // itself, or whom it belongs to
    int64_t expires_ms; // the earliest of them; 0: never
    struct principal_list models[PRINCIPAL_LEVELS], providers[PRINCIPAL_LEVELS]; // all of them must allow it
    struct principal_list regions[PRINCIPAL_LEVELS]; // likewise
    bool regional; // there are some
    struct principal_list tags[PRINCIPAL_LEVELS]; // "k=v"
    bool tagged; // there are some
    const struct io_cidr *cidrs[PRINCIPAL_LEVELS];
    uint32_t cidr_count[PRINCIPAL_LEVELS];
    const struct limit_bound *limit[PRINCIPAL_LEVELS]; // NULL: none
    const struct limit_list *limits; // these and those of all requests, joined; NULL in a plan's
    uint8_t digest[STORE_HASH_BYTES];
    // --- The cache's.
    bool known;
    bool cached; // in a slot
    uint32_t users;
    uint64_t version, plan; // a plan's generation
    int64_t good_until_ms; // 0: as long as the version holds
};

struct principals; // a worker's cache

struct metrics;

struct principal_rules {
    bool limits_closed;
    bool auth_open;
    struct metrics *metrics; // NULL: nothing is counted
};

// cells: where limits count. NULL: no memory, or the store has no room for another reader (*ret_err).
struct principals *principals_open(struct store *store, struct store_cells *cells, enum rw_err *ret_err);
void principals_close(struct principals *p); // NULL is fine. No principal is in use.

// At first limits are open and authentication is closed.
void principals_rules(struct principals *p, const struct principal_rules *rules);

// What the plan says.
struct principal_plan {
    uint64_t generation;
    const struct principal *planned; // the key of the configuration with this hash; NULL: there is none
    const struct limit_bound *global; // of all requests; NULL: no limit
};

// RW_E_NOT_FOUND: no such key, or none in the store for `planned`, or its account cannot be read and the rules let `planned` in
// as it stands. Other errors are the store's: nobody can be let in.
RW_WARN_UNUSED enum rw_err principal_find(struct principals *p, const uint8_t digest[STORE_HASH_BYTES],
                                          int64_t wall_ms, const struct principal_plan *plan,
                                          const struct principal **ret);
void principal_leave(struct principals *p, const struct principal *principal); // both may be NULL

bool principal_may_model(const struct principal *p, struct span model);
// region: of the provider; empty: it has none, and who is held to regions may not use it.
bool principal_may_provider(const struct principal *p, struct span provider, struct span region);
bool principal_may_come_from(const struct principal *p, const struct io_addr *client);

#endif
