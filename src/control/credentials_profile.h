// AWS's profile files, credentials and config: what one profile says of keys. Sections in brackets, lines KEY = VALUE; lines that
// are indented belong to the one above and say nothing of keys.
//
// Use      credentials_profile_read() with a whole file.
// Owner    all spans point into the text. No allocation.
// Thread   any. Never suspends.
// Source   "Shared config and credentials file format" of AWS's SDK and tools reference guide.
#ifndef RINGWAY_CONTROL_CREDENTIALS_PROFILE_H
#define RINGWAY_CONTROL_CREDENTIALS_PROFILE_H

#include "base/span.h"

struct credentials_profile {
    bool found; // there is a section of that name
    struct span access_key, secret_key, session_token; // empty: not there
    struct span other; // the key of another way to credentials, such as role_arn; empty: none
};

// is_config: profiles but "default" are called "profile NAME" there.
void credentials_profile_read(struct span text, bool is_config, struct span name,
                              struct credentials_profile *ret);

#endif
