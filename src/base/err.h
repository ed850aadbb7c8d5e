// The one error type. 0 is success; negative errno values stand for themselves (-ETIME a deadline, -ECANCELED a cancelled
// exchange, -ECONNRESET ...); the gateway's own begin below -4096, where the kernel has none. A function that returns a
// count or an error returns int or int64_t with the same negative values.
//
// Two kinds are never mixed: operating errors are returned, programmer errors abort (check.h). Text for people comes from
// the table in end.h, never from here.
#ifndef RINGWAY_BASE_ERR_H
#define RINGWAY_BASE_ERR_H

#include <errno.h>

#include "base/check.h"

enum rw_err {
    RW_OK = 0,
    RW_E_EOF = -4097, // the peer ended its side where more was needed
    RW_E_BAD = -4098, // bytes that break the protocol
    RW_E_TOO_LARGE = -4099, // over a limit of limits.h or of the configuration
    RW_E_BUDGET = -4100, // the worker's byte budget is used up
    RW_E_CONFIG = -4101, // a configuration that cannot be used; the text is with the caller
    RW_E_NOT_FOUND = -4102, // no such name
    RW_E_CLOSED = -4103, // used after it was closed by our side
    RW_E_FULL = -4104, // the store's reserved map is used up
    RW_E_CORRUPT = -4105, // stored bytes that cannot be what was written
    RW_E_VERSION = -4106, // stored in a format that this release does not know
    RW_E_TLS = -4107, // no TLS connection; an enum tls_why is with the caller
    RW_E_PROXY = -4108, // the egress proxy does not lead to the provider; why is with the caller
    RW_E_LIMIT = INT32_MIN, // makes every int32 value representable
};

// Turns a libc return of -1 into the error type.
static inline enum rw_err rw_errno(void)
{
    return (enum rw_err) - errno;
}

// A short stable name for logs and tests: "ETIME", "EOF", ... Never NULL.
const char *rw_err_name(int err);

// The only macro that hides a return.
#define RW_TRY(expr) \
    do { \
        const int rw_try_ = (int)(expr); \
        if (RW_UNLIKELY(rw_try_ < 0)) return (enum rw_err)rw_try_; \
    } while (0)

#endif
