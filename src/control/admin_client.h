// One call of the admin API for the command line: to the server that runs, over its socket, or on the store itself.
//
// Thread   any; blocks.
#ifndef RINGWAY_CONTROL_ADMIN_CLIENT_H
#define RINGWAY_CONTROL_ADMIN_CLIENT_H

#include "base/err.h"
#include "base/span.h"

struct admin_answer {
    uint16_t status;
    char *body; // the caller's to free(); NUL-terminated
    size_t n;
};

// -ENOENT, -ECONNREFUSED: no server runs there. RW_E_BAD: what answered is no admin socket.
RW_WARN_UNUSED enum rw_err admin_client_call(const char *socket, const char *method, const char *target,
                                             struct span body, struct admin_answer *ret);

// GETs what is too large to be kept: a body of status 200 goes to fd as it comes. Any other answer is in *ret as above; with 200
// its body is NULL. RW_E_EOF: the body is not whole. Errors of writing to fd, too.
RW_WARN_UNUSED enum rw_err admin_client_fetch(const char *socket, const char *target, int fd,
                                              struct admin_answer *ret);

#endif
