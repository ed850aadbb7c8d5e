// Chain validation: BearSSL's "minimal" engine decides, and this wraps it to check what it does not (IP addresses, extended
// key usage) and to find out why it refused. Each certificate is kept while it passes; nothing of it is kept afterwards.
#include <string.h>

#include "tls/tls_priv.h"

static struct tls_verify *self(const br_x509_class **ctx)
{
    return (struct tls_verify *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct tls_verify *v = self(ctx);
    v->certs = 0;
    v->minimal.vtable->start_chain(&v->minimal.vtable, server_name);
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct tls_verify *v = self(ctx);
    v->n = 0;
    v->minimal.vtable->start_cert(&v->minimal.vtable, length);
}

static void append(const br_x509_class **ctx, const unsigned char *buf, size_t len)
{
    struct tls_verify *v = self(ctx);
    // One that does not fit is then not readable.
    const size_t room = sizeof v->cert - v->n;
    const size_t n = len < room ? len : room;
    memcpy(v->cert + v->n, buf, n);
    v->n += (uint32_t)n;
    v->minimal.vtable->append(&v->minimal.vtable, buf, len);
}

static void end_cert(const br_x509_class **ctx)
{
    struct tls_verify *v = self(ctx);
    struct tls_cert c;
    const bool readable = tls_cert_read(span_of(v->cert, v->n), &c);
    if (readable) {
        v->any_expired = v->any_expired || v->now_s > c.not_after_s;
        v->any_early = v->any_early || v->now_s < c.not_before_s;
    }
    if (v->certs == 0) {
        v->end_readable = readable;
        v->end_self_signed = readable && span_eq(c.issuer, c.subject);
        v->end_use_ok = readable && tls_cert_may(&c, v->use);
        v->peer = readable && v->server ? tls_peer_find(v->server, &c) : 0;
        v->end_ip_ok = readable && v->ip_n > 0 && tls_cert_has_ip(&c, v->ip, v->ip_n);
    }
    v->certs++;
    if (v->seen) v->seen(v->seen_ctx, span_of(v->cert, v->n));
    v->minimal.vtable->end_cert(&v->minimal.vtable);
}

static enum tls_why why_of(const struct tls_verify *v, unsigned err)
{
    switch (err) {
    case BR_ERR_X509_EXPIRED: return v->any_early && !v->any_expired ? TLS_NOT_YET_VALID : TLS_EXPIRED;
    case BR_ERR_X509_BAD_SERVER_NAME: return TLS_WRONG_HOST;
    case BR_ERR_X509_NOT_TRUSTED:
        return v->end_self_signed && v->certs == 1 ? TLS_SELF_SIGNED : TLS_UNKNOWN_CA;
    case BR_ERR_X509_CRITICAL_EXTENSION: return TLS_CRITICAL_EXTENSION;
    case BR_ERR_X509_WEAK_PUBLIC_KEY: return TLS_WEAK_KEY;
    case BR_ERR_X509_UNSUPPORTED: return TLS_BAD_ALGORITHM;
    case BR_ERR_X509_FORBIDDEN_KEY_USAGE: return TLS_WRONG_USE;
    default: return TLS_BAD_CERTIFICATE;
    }
}

static unsigned end_chain(const br_x509_class **ctx)
{
    struct tls_verify *v = self(ctx);
    unsigned err = v->minimal.vtable->end_chain(&v->minimal.vtable);
    if (err == 0 && !v->end_readable) err = BR_ERR_X509_INVALID_VALUE;
    if (err == 0 && v->ip_n > 0 && !v->end_ip_ok) err = BR_ERR_X509_BAD_SERVER_NAME;
    if (err == 0 && !v->end_use_ok) err = BR_ERR_X509_FORBIDDEN_KEY_USAGE;
    v->why = err == 0 ? TLS_OK : why_of(v, err);
    return err;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct tls_verify *v = (const struct tls_verify *)(const void *)ctx;
    return v->minimal.vtable->get_pkey(&v->minimal.vtable, usages);
}

static const br_x509_class verify_class = {.context_size = sizeof(struct tls_verify),
                                           .start_chain = start_chain,
                                           .start_cert = start_cert,
                                           .append = append,
                                           .end_cert = end_cert,
                                           .end_chain = end_chain,
                                           .get_pkey = get_pkey};

void tls_verify_init(struct tls_verify *v, const struct tls_trust *trust, int64_t now_s, uint8_t use)
{
    memset(v, 0, offsetof(struct tls_verify, cert));
    v->vtable = &verify_class;
    v->now_s = now_s;
    v->use = use;
    br_x509_minimal_init(&v->minimal, &br_sha256_vtable, trust->anchor, trust->count);
    br_x509_minimal_set_hash(&v->minimal, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(&v->minimal, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(&v->minimal, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_rsa(&v->minimal, br_rsa_pkcs1_vrfy_get_default());
    br_x509_minimal_set_ecdsa(&v->minimal, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_minrsa(&v->minimal, 2048 / 8);
    // BearSSL counts days from the year 0; 0 would mean that it asks the system.
    const int64_t s = now_s > 0 ? now_s : 0;
    br_x509_minimal_set_time(&v->minimal, (uint32_t)(s / 86400 + 719528), (uint32_t)(s % 86400));
}
