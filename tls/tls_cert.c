// A certificate's fields, read from its DER form (RFC 5280, 4.1): only what chain validation does not tell.
#include <string.h>

#include "tls/tls_priv.h"

#define TAG_BOOL 0x01
#define TAG_OCTETS 0x04
#define TAG_OID 0x06
#define TAG_UTC_TIME 0x17
#define TAG_LONG_TIME 0x18
#define TAG_SEQUENCE 0x30
#define TAG_DNS 0x82
#define TAG_IP 0x87

// Takes the element at the front of *rest: its tag, its contents. False: there is none, or it is damaged.
static bool take(struct span *rest, uint8_t *ret_tag, struct span *ret)
{
    if (rest->n < 2) return false;
    const uint8_t *p = rest->p;
    uint32_t head = 2, n = p[1];
    if (n >= 0x80) {
        const uint32_t octets = n & 0x7f;
        if (octets == 0 || octets > 3 || rest->n < 2 + octets) return false;
        n = 0;
        for (uint32_t i = 0; i < octets; i++) n = n << 8 | p[2 + i];
        head += octets;
    }
    if (n > rest->n - head) return false;
    *ret_tag = p[0];
    *ret = span_of(p + head, n);
    *rest = span_from(*rest, head + n);
    return true;
}

static bool take_tag(struct span *rest, uint8_t tag, struct span *ret)
{
    uint8_t found;
    struct span at = *rest;
    if (!take(&at, &found, ret) || found != tag) return false;
    *rest = at;
    return true;
}

// The same with its tag and length.
static bool take_whole(struct span *rest, uint8_t tag, struct span *ret)
{
    const struct span from = *rest;
    struct span inner;
    if (!take_tag(rest, tag, &inner)) return false;
    *ret = span_of(from.p, from.n - rest->n);
    return true;
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    const int64_t era = y / 400, yoe = y - era * 400;
    const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

// YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ.
static bool take_time(struct span *rest, int64_t *ret)
{
    uint8_t tag;
    struct span t;
    if (!take(rest, &tag, &t)) return false;
    const uint32_t year_n = tag == TAG_UTC_TIME ? 2 : tag == TAG_LONG_TIME ? 4 : 0;
    if (year_n == 0 || t.n != year_n + 11 || t.p[t.n - 1] != 'Z') return false;
    for (uint32_t i = 0; i + 1 < t.n; i++)
        if (t.p[i] < '0' || t.p[i] > '9') return false;
    int64_t v[6] = {0};
    for (uint32_t i = 0; i < year_n; i++) v[0] = v[0] * 10 + (t.p[i] - '0');
    if (year_n == 2) v[0] += v[0] < 50 ? 2000 : 1900;
    for (uint32_t k = 1; k < 6; k++) {
        const uint8_t *two = t.p + year_n + 2 * (k - 1);
        v[k] = (two[0] - '0') * 10 + (two[1] - '0');
    }
    if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31) return false;
    *ret = days_from_civil(v[0], v[1], v[2]) * 86400 + v[3] * 3600 + v[4] * 60 + v[5];
    return true;
}

static bool read_extensions(struct span list, struct tls_cert *ret)
{
    static const uint8_t san[] = {0x55, 0x1d, 0x11}, usage[] = {0x55, 0x1d, 0x25};
    while (list.n > 0) {
        struct span extension, oid, critical, value;
        if (!take_tag(&list, TAG_SEQUENCE, &extension) || !take_tag(&extension, TAG_OID, &oid)) return false;
        (void)take_tag(&extension, TAG_BOOL, &critical);
        if (!take_tag(&extension, TAG_OCTETS, &value)) return false;
        if (span_eq(oid, span_of(san, sizeof san)) && !take_tag(&value, TAG_SEQUENCE, &ret->san))
            return false;
        if (span_eq(oid, span_of(usage, sizeof usage)) && !take_tag(&value, TAG_SEQUENCE, &ret->usages))
            return false;
    }
    return true;
}

bool tls_cert_read(struct span der, struct tls_cert *ret)
{
    struct tls_cert c = {0};
    struct span certificate, tbs, skipped, validity, extensions;
    uint8_t tag;
    if (!take_tag(&der, TAG_SEQUENCE, &certificate) || !take_tag(&certificate, TAG_SEQUENCE, &tbs))
        return false;
    (void)take_tag(&tbs, 0xa0, &skipped); // version
    if (!take_tag(&tbs, 0x02, &skipped)) return false; // serial number
    if (!take_tag(&tbs, TAG_SEQUENCE, &skipped)) return false; // signature algorithm
    if (!take_whole(&tbs, TAG_SEQUENCE, &c.issuer) || !take_tag(&tbs, TAG_SEQUENCE, &validity)) return false;
    if (!take_time(&validity, &c.not_before_s) || !take_time(&validity, &c.not_after_s)) return false;
    if (!take_whole(&tbs, TAG_SEQUENCE, &c.subject)) return false;
    while (tbs.n > 0) {
        if (!take(&tbs, &tag, &skipped)) return false;
        if (tag != 0xa3) continue;
        if (!take_tag(&skipped, TAG_SEQUENCE, &extensions) || !read_extensions(extensions, &c)) return false;
    }
    *ret = c;
    return true;
}

bool tls_cert_has_name(const struct tls_cert *cert, struct span host)
{
    struct span names = cert->san, name;
    const struct span parent = span_from(host, span_find(host, '.'));
    uint8_t tag;
    while (take(&names, &tag, &name)) {
        if (tag != TAG_DNS || name.n == 0) continue;
        if (span_ieq(name, host)) return true;
        if (name.p[0] == '*' && parent.n > 1 && parent.n < host.n && span_ieq(span_from(name, 1), parent))
            return true;
    }
    return false;
}

bool tls_cert_has_ip(const struct tls_cert *cert, const uint8_t *ip, uint32_t ip_n)
{
    struct span names = cert->san, name;
    uint8_t tag;
    while (take(&names, &tag, &name))
        if (tag == TAG_IP && span_eq(name, span_of(ip, ip_n))) return true;
    return false;
}

bool tls_cert_may(const struct tls_cert *cert, uint8_t use)
{
    // 1.3.6.1.5.5.7.3.USE, and anyExtendedKeyUsage.
    const uint8_t wanted[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, use};
    static const uint8_t any[] = {0x55, 0x1d, 0x25, 0x00};
    struct span usages = cert->usages, oid;
    if (usages.n == 0) return true;
    while (take_tag(&usages, TAG_OID, &oid))
        if (span_eq(oid, span_of(wanted, sizeof wanted)) || span_eq(oid, span_of(any, sizeof any)))
            return true;
    return false;
}
