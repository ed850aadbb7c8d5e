// Taking DER (X.690) apart: the elements of a certificate or a key, one behind the other. Spans point into the input.
#ifndef RINGWAY_TLS_TLS_DER_H
#define RINGWAY_TLS_TLS_DER_H

#include "base/span.h"

#define TLS_DER_BOOL 0x01
#define TLS_DER_INTEGER 0x02
#define TLS_DER_BITS 0x03
#define TLS_DER_OCTETS 0x04
#define TLS_DER_OID 0x06
#define TLS_DER_UTC_TIME 0x17
#define TLS_DER_LONG_TIME 0x18
#define TLS_DER_SEQUENCE 0x30

// Takes the element at the front of *rest: its tag, its contents. False, and *rest as it was: there is none, or it is damaged.
static inline bool tls_der_any(struct span *rest, uint8_t *ret_tag, struct span *ret)
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

// The same, if it has that tag.
static inline bool tls_der_take(struct span *rest, uint8_t tag, struct span *ret)
{
    uint8_t found;
    struct span at = *rest;
    if (!tls_der_any(&at, &found, ret) || found != tag) return false;
    *rest = at;
    return true;
}

// The same with its tag and length.
static inline bool tls_der_whole(struct span *rest, uint8_t tag, struct span *ret)
{
    const struct span from = *rest;
    struct span inner;
    if (!tls_der_take(rest, tag, &inner)) return false;
    *ret = span_of(from.p, from.n - rest->n);
    return true;
}

// Takes an INTEGER that is not negative; its bytes without the zero that keeps it positive.
static inline bool tls_der_number(struct span *rest, struct span *ret)
{
    struct span v;
    if (!tls_der_take(rest, TLS_DER_INTEGER, &v) || v.n == 0 || v.p[0] >= 0x80) return false;
    *ret = v.n > 1 && v.p[0] == 0 ? span_from(v, 1) : v;
    return true;
}

#endif
