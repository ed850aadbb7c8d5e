// From a configuration to a plan: what workers read on every request.
//
// Use      plan_build() makes a plan of a configuration and keeps the configuration, whose strings it points at. Hand it to the
//          workers; each calls plan_let_go() when its last exchange on it has ended; the last one's call posts it to the
//          control loop, where it is wiped and freed.
// World    what outlives plans: origins with their caps, indices and addresses (names are watched by the resolver), rows of
//          metrics, the secret under which keys are hashed, TLS clients.
// Thread   control, but for plan_let_go().
#ifndef RINGWAY_CONTROL_PLAN_BUILD_H
#define RINGWAY_CONTROL_PLAN_BUILD_H

#include "base/metric.h"
#include "control/config.h"
#include "control/credentials.h"
#include "control/file_keys.h"
#include "control/plan_tls.h"
#include "gateway/plan.h"
#include "io/resolve.h"

// A host name of an origin, kept fresh by the resolver.
struct plan_watch {
    struct plan_world *world;
    struct io_watch *watch;
    char *host;
    uint32_t origin;
};

struct store_answers;

struct plan_world {
    struct io_loop *loop; // control's: freed plans are posted to it
    struct metric_labels *labels;
    struct crypto_hmac_key key_hmac;
    struct store *store; // where keys have their numbers; NULL: none
    const struct store_pepper *pepper;
    struct store_cells *cells; // where limits count; with a store
    struct store_answers *answers; // the cache; NULL: plans have none
    uint64_t map_seed;
    uint32_t workers;
    uint32_t connections_fit; // what the limit of open files allows; 0: no bound
    uint64_t generation;
    // Every origin that any plan of this process had, in the order of their indices.
    struct plan_origin origins[PROVIDERS_MAX];
    char *origin_name[PROVIDERS_MAX];
    struct plan_tls_made tls_made[PROVIDERS_MAX];
    struct plan_watch watches[PROVIDERS_MAX];
    struct credentials credentials;
    struct plan_tls_served tls_served[LISTENERS_MAX];
    struct plan_tls_served tls_admin;
    struct plan_tls tls;
    struct io_resolver *resolver;
    uint32_t unresolved; // names that were asked for and have neither addresses nor a failure yet
    // An origin has other addresses: the workers are to be told. NULL: nobody is there yet.
    void (*addrs_changed)(void *ctx, const struct plan_origin *origin, uint32_t index);
    void *ctx;
    uint32_t origin_count;
    _Atomic int32_t plans; // that exist
};

// store: NULL: there is none, and keys are hashed with a secret of this process.
void plan_world_init(struct plan_world *w, struct io_loop *loop, struct io_resolver *resolver,
                     struct metric_labels *labels, uint32_t workers, struct store *store,
                     const struct store_pepper *pepper);
void plan_world_done(struct plan_world *w);

// NULL: *ret_why (of `cap` bytes) says why; the configuration stays the caller's. extra_key (may be NULL): one more key, named
// "first".
struct plan *plan_build(struct plan_world *w, struct config *config, const char *extra_key, char *ret_why,
                        uint32_t cap);
// Gives it the addresses that are known now: just before it is handed to the workers.
void plan_seal(struct plan *plan);
// A plan that no worker was given.
void plan_drop(struct plan *plan);
// From any thread: one worker has let go of it.
void plan_let_go(const struct plan *plan);

#endif
