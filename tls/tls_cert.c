// A certificate's fields, read from its DER form (RFC 5280, 4.1): only what chain validation does not tell.
#include <string.h>

#include "tls/tls_der.h"
#include "tls/tls_priv.h"

#define TAG_DNS 0x82
#define TAG_IP 0x87

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
    if (!tls_der_any(rest, &tag, &t)) return false;
    const uint32_t year_n = tag == TLS_DER_UTC_TIME ? 2 : tag == TLS_DER_LONG_TIME ? 4 : 0;
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
        if (!tls_der_take(&list, TLS_DER_SEQUENCE, &extension) ||
            !tls_der_take(&extension, TLS_DER_OID, &oid))
            return false;
        (void)tls_der_take(&extension, TLS_DER_BOOL, &critical);
        if (!tls_der_take(&extension, TLS_DER_OCTETS, &value)) return false;
        if (span_eq(oid, span_of(san, sizeof san)) && !tls_der_take(&value, TLS_DER_SEQUENCE, &ret->san))
            return false;
        if (span_eq(oid, span_of(usage, sizeof usage)) &&
            !tls_der_take(&value, TLS_DER_SEQUENCE, &ret->usages))
            return false;
    }
    return true;
}

bool tls_cert_read(struct span der, struct tls_cert *ret)
{
    struct tls_cert c = {0};
    struct span certificate, tbs, skipped, validity, extensions;
    uint8_t tag;
    if (!tls_der_take(&der, TLS_DER_SEQUENCE, &certificate) ||
        !tls_der_take(&certificate, TLS_DER_SEQUENCE, &tbs))
        return false;
    (void)tls_der_take(&tbs, 0xa0, &skipped); // version
    if (!tls_der_take(&tbs, 0x02, &skipped)) return false; // serial number
    if (!tls_der_take(&tbs, TLS_DER_SEQUENCE, &skipped)) return false; // signature algorithm
    if (!tls_der_whole(&tbs, TLS_DER_SEQUENCE, &c.issuer) || !tls_der_take(&tbs, TLS_DER_SEQUENCE, &validity))
        return false;
    if (!take_time(&validity, &c.not_before_s) || !take_time(&validity, &c.not_after_s)) return false;
    if (!tls_der_whole(&tbs, TLS_DER_SEQUENCE, &c.subject)) return false;
    if (!tls_der_whole(&tbs, TLS_DER_SEQUENCE, &c.public_key)) return false;
    while (tbs.n > 0) {
        if (!tls_der_any(&tbs, &tag, &skipped)) return false;
        if (tag != 0xa3) continue;
        if (!tls_der_take(&skipped, TLS_DER_SEQUENCE, &extensions) || !read_extensions(extensions, &c))
            return false;
    }
    *ret = c;
    return true;
}

bool tls_cert_has_name(const struct tls_cert *cert, struct span host)
{
    struct span names = cert->san, name;
    const struct span parent = span_from(host, span_find(host, '.'));
    uint8_t tag;
    while (tls_der_any(&names, &tag, &name)) {
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
    while (tls_der_any(&names, &tag, &name))
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
    while (tls_der_take(&usages, TLS_DER_OID, &oid))
        if (span_eq(oid, span_of(wanted, sizeof wanted)) || span_eq(oid, span_of(any, sizeof any)))
            return true;
    return false;
}
