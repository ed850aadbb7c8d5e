// Keys of the configuration, as accounts: each has a record in the store that says where it stands (STORE_FROM_FILE), so that
// the ledger knows it by a number. What it may is the configuration's to say, and it is let in by the plan only.
//
// Thread   control; commits to the store where a key is new.
#ifndef RINGWAY_CONTROL_FILE_KEYS_H
#define RINGWAY_CONTROL_FILE_KEYS_H

#include "control/config.h"
#include "store/secret.h"

struct file_key {
    uint32_t tenant, team, key;
};

// ret: one for each key of the configuration, in its order. A
// key that cannot be written is an error: without a number its requests could not be accounted for.
RW_WARN_UNUSED enum rw_err file_keys_number(struct store *s, const struct store_pepper *pepper,
                                            const struct config *c, struct file_key *ret);

#endif
