// The key that serve makes when the configuration has none: for this run only, shown once.
//
// Thread   main's, at start.
#ifndef RINGWAY_CONTROL_FIRST_KEY_H
#define RINGWAY_CONTROL_FIRST_KEY_H

#include "control/config.h"

// "rw-" and 43 base64url characters of 32 random bytes. From malloc; the caller wipes and frees it. NULL: no memory.
char *first_key_make(void);

// On a terminal: the key and a curl line to try. Otherwise a file of mode 0600 whose name is logged, since what is written to a
// pipe ends up in somebody's log.
void first_key_show(const char *key, const struct config *config);

#endif
