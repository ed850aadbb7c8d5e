// See err.h.
#include "base/err.h"

#include <string.h>

const char *rw_err_name(int err)
{
    switch (err) {
    case RW_OK: return "OK";
    case RW_E_EOF: return "EOF";
    case RW_E_BAD: return "BAD";
    case RW_E_TOO_LARGE: return "TOO_LARGE";
    case RW_E_BUDGET: return "BUDGET";
    case RW_E_CONFIG: return "CONFIG";
    case RW_E_NOT_FOUND: return "NOT_FOUND";
    case RW_E_CLOSED: return "CLOSED";
    case RW_E_FULL: return "FULL";
    case RW_E_CORRUPT: return "CORRUPT";
    case RW_E_VERSION: return "VERSION";
    case RW_E_TLS: return "TLS";
    case RW_E_PROXY: return "PROXY";
    default: break;
    }
    const char *name = err < 0 && err > -4096 ? strerrorname_np(-err) : NULL;
    return name ? name : "UNKNOWN_ERRNO";
}
