// The key that serve makes when nobody has one yet. Where a store is kept it is an account like any other, named `first`, and
// the next start knows it; without a store it is good for this run. It is shown once: on a terminal with the next three
// commands, else in the file `first-key` of mode 0600 beside the admin socket, whose name is logged, since what is written to a
// pipe ends up in somebody's log.
//
// Thread   main's, at start; commits to the store.
#ifndef RINGWAY_CONTROL_FIRST_KEY_H
#define RINGWAY_CONTROL_FIRST_KEY_H

#include "control/admin.h"
#include "control/config.h"

struct first_key {
    char text[STORE_KEY_CHARS + 1]; // "": none was made
    bool kept; // in the store
    bool in_file; // and its name was said
};

// Makes one if neither the configuration nor the store has a key; keys of an earlier configuration do not count. a->store NULL:
// nothing is kept. What fails is said in the log, with the mend.
void first_key_make(const struct admin *a, const struct config *config, struct first_key *ret);
// Once the server listens. config_path NULL: none was given.
void first_key_show(const struct first_key *k, const struct config *config, const char *config_path);
void first_key_wipe(struct first_key *k);

#endif
