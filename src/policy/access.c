// See access.h. Addresses are compared in the form of IPv6, so that an IPv4 range and a mapped client need no case of their
// own.
#include "policy/access.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
#define MAPPED_BITS 96
#define ADDRESS_TEXT_BYTES_MAX 45

bool access_name_matches(struct span pattern, struct span name)
{
    if (pattern.n && pattern.p[pattern.n - 1] == '*')
        return span_starts(name, (struct span){pattern.p, pattern.n - 1});
    return span_eq(pattern, name);
}

bool access_names_allow(const struct access_names *names, struct span name)
{
    if (!names->given) return true;
    for (uint32_t i = 0; i < names->count; i++)
        if (access_name_matches(names->name[i], name)) return true;
    return false;
}

static void widen(const uint8_t *addr, uint32_t bytes, uint8_t out[16])
{
    MUST(bytes == 4 || bytes == 16);
    if (bytes == 4) memcpy(out, mapped, sizeof mapped);
    memcpy(out + 16 - bytes, addr, bytes);
}

// The bits of one byte that a mask of so many bits covers, of which `before` lie in bytes before.
static uint8_t mask_byte(uint32_t bits, uint32_t before)
{
    const uint32_t n = bits <= before ? 0 : bits - before >= 8 ? 8 : bits - before;
    return (uint8_t)(0xff00u >> n);
}

bool access_range_has(const struct access_range *range, const uint8_t *addr, uint32_t bytes)
{
    uint8_t a[16];
    widen(addr, bytes, a);
    uint8_t differs = 0;
    for (uint32_t i = 0; i < 16; i++)
        differs |= (uint8_t)((a[i] ^ range->addr[i]) & mask_byte(range->bits, i * 8));
    return differs == 0;
}

enum rw_err access_range_parse(struct span text, struct access_range *ret)
{
    const uint32_t slash = span_find(text, '/');
    char addr[ADDRESS_TEXT_BYTES_MAX + 1];
    if (slash == 0 || slash > ADDRESS_TEXT_BYTES_MAX) return RW_E_BAD;
    memcpy(addr, text.p, slash);
    addr[slash] = 0;
    if (strlen(addr) != slash) return RW_E_BAD;
    struct access_range r;
    uint8_t bytes[16];
    uint32_t n = 4;
    if (inet_pton(AF_INET, addr, bytes) != 1) {
        n = 16;
        if (inet_pton(AF_INET6, addr, bytes) != 1) return RW_E_BAD;
    }
    widen(bytes, n, r.addr);
    uint64_t bits = n * 8;
    if (slash < text.n) {
        const struct span digits = span_from(text, slash + 1);
        if (digits.n > 3 || !span_u64(digits, &bits) || bits > n * 8) return RW_E_BAD;
    }
    r.bits = (uint8_t)(n == 4 ? bits + MAPPED_BITS : bits);
    for (uint32_t i = 0; i < 16; i++)
        if (r.addr[i] & (uint8_t)~mask_byte(r.bits, i * 8)) return RW_E_BAD;
    *ret = r;
    return RW_OK;
}

static bool addr_allowed(const struct access_ranges *ranges, const struct access_ask *ask)
{
    if (!ranges->given) return true;
    for (uint32_t i = 0; ask->addr && i < ranges->count; i++)
        if (access_range_has(&ranges->range[i], ask->addr, ask->addr_bytes)) return true;
    return false;
}

enum access_verdict access_check(const struct access *a, const struct access_ask *ask, int64_t wall_ns)
{
    if (a->disabled) return ACCESS_DISABLED;
    if (a->expires_ns && wall_ns >= a->expires_ns) return ACCESS_EXPIRED;
    if (!addr_allowed(&a->cidrs, ask)) return ACCESS_ADDRESS;
    const bool alias = ask->model.p && access_names_allow(&a->models, ask->model);
    const bool full = ask->full_model.p && access_names_allow(&a->models, ask->full_model);
    if ((ask->model.p || ask->full_model.p) && !alias && !full) return ACCESS_MODEL;
    if (ask->provider.p && !access_names_allow(&a->providers, ask->provider)) return ACCESS_PROVIDER;
    if (ask->region.p && !access_names_allow(&a->regions, ask->region)) return ACCESS_REGION;
    return ACCESS_OK;
}

const char *access_verdict_name(enum access_verdict v)
{
    static const char *const names[] = {
        [ACCESS_OK] = "ok",           [ACCESS_DISABLED] = "disabled", [ACCESS_EXPIRED] = "expired",
        [ACCESS_ADDRESS] = "address", [ACCESS_MODEL] = "model",       [ACCESS_PROVIDER] = "provider",
        [ACCESS_REGION] = "region",
    };
    MUST((unsigned)v < sizeof names / sizeof *names);
    return names[v];
}
