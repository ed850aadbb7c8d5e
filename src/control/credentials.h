// Credentials of providers that are no fixed lines of a plan: where they come from, and the newest of each
// (gateway/credential.h).
//
// Use      credentials_index() for each provider while a plan is built; credentials_now() for the plan.
// Index    the same for as long as the process lives, as long as a provider's settings say the same: a reload that leaves them
//          alone keeps what was fetched.
// Owner    holds one of each; plans and workers hold theirs.
// Thread   control.
#ifndef RINGWAY_CONTROL_CREDENTIALS_H
#define RINGWAY_CONTROL_CREDENTIALS_H

#include "control/config.h"
#include "gateway/credential.h"

struct credentials_source {
    uint8_t digest[CRYPTO_SHA256_BYTES]; // of the settings that it is made of
    const struct credential *now; // NULL: there is none yet
};

struct credentials {
    struct credentials_source source[PROVIDERS_MAX];
    uint32_t count;
};

// The provider's, in *ret_index: its index + 1, or 0 if it needs none. False with *ret_why.
bool credentials_index(struct credentials *all, const struct config_provider *p, uint32_t *ret_index,
                       char *ret_why, uint32_t cap);
void credentials_done(struct credentials *all);

#endif
