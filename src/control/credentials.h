// Credentials of providers that are no fixed lines of a plan: where they come from, and the newest of each
// (gateway/credential.h).
//
// Use      credentials_open(); credentials_index() for each provider while a plan is built, and credentials_ready() until
//          what was asked for is there or failed; the plan is given what `now` holds. Then it goes on by itself: each is
//          renewed before it expires, and `changed` is called with the new one.
// Sources  keys of AWS that stand in the configuration or the environment; else those of its profile files, of a container's
//          endpoint (ECS, EKS) or of EC2's metadata service (IMDSv2), for bedrock. Google's service accounts, authorized users,
//          workload identities and metadata server, for vertex.
// Renewed  five minutes before they expire, of short-lived ones when a third of their life is left; what fails is said in
//          the log, counted, and tried again with growing pauses, while the old one goes on until its end.
// Index    the same for as long as the process lives, as long as a provider's settings say the same: a reload that leaves
//          them alone keeps what was fetched.
// Owner    holds one of each; plans and workers hold theirs.
// Thread   the control loop's. Fetching suspends fibers of its own and nobody else; a token of a service account takes 4 ms
//          to sign.
#ifndef RINGWAY_CONTROL_CREDENTIALS_H
#define RINGWAY_CONTROL_CREDENTIALS_H

#include "control/config.h"
#include "control/plan_tls.h"
#include "gateway/credential.h"
#include "io/loop.h"
#include "io/resolve.h"

// What a source is made of. Texts of the configuration or of the environment; NULL: not set.
#define CREDENTIALS_SETTINGS(X) \
    X(REGION) \
    X(ACCESS_KEY_ID) \
    X(SECRET_ACCESS_KEY) \
    X(SESSION_TOKEN) \
    X(FILE) \
    X(METADATA_HOST) \
    X(HOME) \
    X(PROFILE) \
    X(CONFIG_FILE) \
    X(CONTAINER_PATH) \
    X(CONTAINER_URI) \
    X(CONTAINER_TOKEN) \
    X(CONTAINER_TOKEN_FILE)

enum credentials_setting {
#define X(name) CREDENTIALS_##name,
    CREDENTIALS_SETTINGS(X) CREDENTIALS_SETTING_COUNT
#undef X
};

enum credentials_kind { CREDENTIALS_NONE, CREDENTIALS_AWS_KEYS, CREDENTIALS_AWS, CREDENTIALS_GOOGLE };

struct credentials_source {
    struct credentials *all;
    enum credentials_kind kind;
    char *set[CREDENTIALS_SETTING_COUNT];
    char *name; // of the provider that needed it first
    uint8_t digest[CRYPTO_SHA256_BYTES]; // of kind and settings
    const struct credential *now; // NULL: there is none yet
    struct io_timer due;
    bool fetching;
    uint32_t failed; // times in a row
    uint64_t failures; // in all
    int64_t begun_ns; // the last try
    _Atomic bool refused; // a provider did not take it
};

struct credentials {
    struct io_loop *loop;
    struct io_resolver *resolver;
    struct plan_tls *tls;
    struct scope scope;
    // A source has a new credential. NULL: nobody is there yet.
    void (*changed)(void *ctx, uint32_t index, const struct credential *c);
    void *ctx;
    struct credentials_source source[PROVIDERS_MAX];
    uint32_t count;
};

void credentials_open(struct credentials *all, struct io_loop *loop, struct io_resolver *resolver,
                      struct plan_tls *tls);
// The provider's, in *ret_index: its index + 1, or 0 if it needs none. False with *ret_why.
bool credentials_index(struct credentials *all, const struct config_provider *p, uint32_t *ret_index,
                       char *ret_why, uint32_t cap);
// Each is there or has failed once.
bool credentials_ready(const struct credentials *all);
// From any thread: a provider did not take this one (by its index).
void credentials_refused(struct credentials *all, uint32_t index);
// Every few seconds: what was refused is fetched anew, at most twice a minute.
void credentials_look(struct credentials *all);
// Ends what is under way; the loop is to be turned until credentials_closed(), then credentials_done().
void credentials_close(struct credentials *all);
bool credentials_closed(const struct credentials *all);
void credentials_done(struct credentials *all);

#endif
