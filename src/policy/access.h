// May this principal do this? Lists of allowed models, providers, regions and client addresses, and a date of expiry, as they
// stand at a key, its team and its tenant: each of them has a struct access, and all have to say yes.
//
// Use      fill struct access when the principal is loaded; access_check() per request, as far as the request is known.
// Names    "gpt-4o-mini" exactly, "gpt-4*" by its beginning, "*" everything. A model is allowed if its alias or its
//          "provider/model" is: ask with both, once both are known. A list that was never given allows everything; one that
//          was given and is empty allows nothing.
// Address  a range allows its addresses; IPv4 clients of an IPv6 listener are IPv4 clients (::ffff:a.b.c.d). A client without
//          an address (unix socket) is in no range.
// Owner    names are spans of the caller's, ranges are copied; the arrays are the caller's.
// Thread   any; read-only after it was made. Never suspends.
#ifndef RINGWAY_POLICY_ACCESS_H
#define RINGWAY_POLICY_ACCESS_H

#include "base/err.h"
#include "base/span.h"

struct access_names {
    const struct span *name;
    uint32_t count;
    bool given;
};

// An address range, in the form of IPv6.
struct access_range {
    uint8_t addr[16];
    uint8_t bits; // 0 to 128
};

struct access_ranges {
    const struct access_range *range;
    uint32_t count;
    bool given;
};

struct access {
    struct access_names models, providers, regions;
    struct access_ranges cidrs;
    int64_t expires_ns; // wall clock; 0: never
    bool disabled;
};

enum access_verdict {
    ACCESS_OK,
    ACCESS_DISABLED,
    ACCESS_EXPIRED,
    ACCESS_ADDRESS,
    ACCESS_MODEL,
    ACCESS_PROVIDER,
    ACCESS_REGION,
};

// What is asked. A span with a NULL pointer is not known yet and not looked at.
struct access_ask {
    const uint8_t *addr; // NULL: a client without one
    uint32_t addr_bytes; // 4 or 16
    struct span model; // alias
    struct span full_model; // "provider/model"
    struct span provider;
    struct span region;
};

enum access_verdict access_check(const struct access *a, const struct access_ask *ask, int64_t wall_ns);

bool access_name_matches(struct span pattern, struct span name);
bool access_names_allow(const struct access_names *names, struct span name);

// "10.0.0.0/8", "2001:db8::/32", a bare address. RW_E_BAD: malformed, or bits behind the mask are set.
RW_WARN_UNUSED enum rw_err access_range_parse(struct span text, struct access_range *ret);

// addr: 4 or 16 bytes.
bool access_range_has(const struct access_range *range, const uint8_t *addr, uint32_t bytes);

// A short word for logs and errors: "disabled", "expired", "address", "model", ...
const char *access_verdict_name(enum access_verdict v);

#endif
