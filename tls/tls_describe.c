// See tls_describe.h.
#include "tls/tls_describe.h"

#include "base/fmt.h"
#include "tls/crypto_sign.h"
#include "tls/tls_der.h"
#include "tls/tls_priv.h"

#define TAG_SET 0x31
#define TAG_DNS 0x82
#define TAG_IP 0x87

// Text of somebody else's for a terminal.
static void write_plain(struct fmt *out, struct span text)
{
    for (uint32_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        fmt_char(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
}

static void end_text(struct fmt *out, char *text, uint32_t cap)
{
    MUST(out->n < cap);
    text[out->n] = 0;
}

// Of a Name (RFC 5280, 4.1.2.4): its first common name, else its first organisation.
static void write_name(struct span name, char *text, uint32_t cap)
{
    static const uint8_t common[] = {0x55, 0x04, 0x03}, organisation[] = {0x55, 0x04, 0x0a};
    struct span list, set, pair, oid, value, best = SPAN("(no name)");
    uint8_t tag;
    bool named = false, any = false;
    if (tls_der_take(&name, TLS_DER_SEQUENCE, &list)) {
        while (!named && tls_der_take(&list, TAG_SET, &set)) {
            if (!tls_der_take(&set, TLS_DER_SEQUENCE, &pair) || !tls_der_take(&pair, TLS_DER_OID, &oid) ||
                !tls_der_any(&pair, &tag, &value))
                break;
            named = span_eq(oid, span_of(common, sizeof common));
            if (named || (!any && span_eq(oid, span_of(organisation, sizeof organisation)))) {
                best = value;
                any = true;
            }
        }
    }
    struct fmt out;
    fmt_init(&out, text, cap - 1);
    write_plain(&out, best);
    end_text(&out, text, cap);
}

static void write_names(struct span san, char *text, uint32_t cap)
{
    static const char more[] = ", ...";
    struct fmt out;
    struct span value;
    uint8_t tag;
    fmt_init(&out, text, cap - (uint32_t)sizeof more);
    while (tls_der_any(&san, &tag, &value)) {
        const bool address = tag == TAG_IP && (value.n == 4 || value.n == 16);
        if (tag != TAG_DNS && !address) continue;
        const uint32_t before = out.n;
        if (out.n > 0) fmt_str(&out, ", ");
        if (address) fmt_ip(&out, value.p, value.n);
        else write_plain(&out, value);
        if (!out.overflow) continue;
        memcpy(text + before, more, sizeof more);
        return;
    }
    end_text(&out, text, cap);
}

static void write_key(struct span public_key, char *text, uint32_t cap)
{
    struct crypto_public key;
    struct fmt out;
    fmt_init(&out, text, cap - 1);
    if (crypto_public_der(&key, public_key)) {
        fmt_str(&out, "another kind");
    } else if (key.kind == CRYPTO_KEY_RSA) {
        fmt_str(&out, "RSA ");
        fmt_u64(&out, key.n * UINT64_C(8));
        fmt_str(&out, " bits");
    } else {
        fmt_str(&out, key.kind == CRYPTO_KEY_P256 ? "EC P-256" : "EC P-384");
    }
    end_text(&out, text, cap);
}

bool tls_describe(struct span der, struct tls_description *ret)
{
    struct tls_cert c;
    if (!tls_cert_read(der, &c)) return false;
    write_name(c.subject, ret->subject, sizeof ret->subject);
    write_name(c.issuer, ret->issuer, sizeof ret->issuer);
    write_names(c.san, ret->names, sizeof ret->names);
    write_key(c.public_key, ret->key, sizeof ret->key);
    ret->not_before_s = c.not_before_s;
    ret->not_after_s = c.not_after_s;
    ret->self_signed = span_eq(c.issuer, c.subject);
    return true;
}

static bool earliest(void *ctx, const char *name, struct span der)
{
    int64_t *first = ctx;
    struct tls_cert c;
    if (tls_pem_is_certificate(name) && tls_cert_read(der, &c) && c.not_after_s < *first)
        *first = c.not_after_s;
    return true;
}

int64_t tls_expires_s(struct span pem)
{
    int64_t first = INT64_MAX;
    // What is damaged is said by whoever needs it.
    return tls_pem_each(pem, earliest, &first) ? INT64_MAX : first;
}
