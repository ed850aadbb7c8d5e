// See crypto_sign.h. The arithmetic is BearSSL's; what it would take on trust is checked here.
#include "tls/crypto_sign.h"

#include <stdlib.h>
#include <string.h>

#include "tls/tls_der.h"
#include "tls/tls_priv.h"

#define RSA_BITS_MIN 2048
#define RSA_BYTES_MAX 512

struct crypto_private {
    struct tls_skey skey;
};

static const struct {
    const char *name;
    uint8_t kind;
} signatures[CRYPTO_SIGNATURE_COUNT] = {
#define X(symbol, name, kind) [symbol] = {name, kind},
    CRYPTO_SIGNATURES(X)
#undef X
};

const char *crypto_signature_name(enum crypto_signature s)
{
    MUST(s < CRYPTO_SIGNATURE_COUNT);
    return signatures[s].name;
}

enum crypto_key_kind crypto_signature_kind(enum crypto_signature s)
{
    MUST(s < CRYPTO_SIGNATURE_COUNT);
    return (enum crypto_key_kind)signatures[s].kind;
}

// --- Hashes.

struct digest {
    const unsigned char *oid;
    const br_hash_class *hash;
    uint32_t n;
    uint8_t bytes[CRYPTO_SHA512_BYTES];
};

static void digest_of(enum crypto_signature s, const void *data, size_t n, struct digest *ret)
{
    static const unsigned char *oid256 = BR_HASH_OID_SHA256, *oid384 = BR_HASH_OID_SHA384;
    static const unsigned char *oid512 = BR_HASH_OID_SHA512;
    switch (s) {
    case CRYPTO_RS256:
    case CRYPTO_ES256:
        crypto_sha256(data, n, ret->bytes);
        ret->n = CRYPTO_SHA256_BYTES;
        ret->oid = oid256;
        ret->hash = &br_sha256_vtable;
        return;
    case CRYPTO_RS384:
    case CRYPTO_ES384:
        crypto_sha384(data, n, ret->bytes);
        ret->n = CRYPTO_SHA384_BYTES;
        ret->oid = oid384;
        ret->hash = &br_sha384_vtable;
        return;
    case CRYPTO_RS512:
        crypto_sha512(data, n, ret->bytes);
        ret->n = CRYPTO_SHA512_BYTES;
        ret->oid = oid512;
        ret->hash = &br_sha512_vtable;
        return;
    case CRYPTO_SIGNATURE_COUNT: break;
    }
    UNREACHABLE("a signature of the table");
}

static int curve_of(enum crypto_key_kind kind)
{
    return kind == CRYPTO_KEY_P256 ? BR_EC_secp256r1 : BR_EC_secp384r1;
}

static uint32_t field_bytes(enum crypto_key_kind kind)
{
    return kind == CRYPTO_KEY_P256 ? 32 : 48;
}

// --- Public keys.

static struct span without_zeros(struct span s)
{
    while (s.n > 0 && s.p[0] == 0) s = span_from(s, 1);
    return s;
}

enum rw_err crypto_public_rsa(struct crypto_public *ret, struct span modulus, struct span exponent)
{
    modulus = without_zeros(modulus);
    exponent = without_zeros(exponent);
    if (modulus.n < RSA_BITS_MIN / 8 || modulus.n > RSA_BYTES_MAX || !(modulus.p[modulus.n - 1] & 1))
        return RW_E_BAD;
    // The first byte counts in full only if its highest bit is set.
    if (modulus.n == RSA_BITS_MIN / 8 && modulus.p[0] < 0x80) return RW_E_BAD;
    if (exponent.n == 0 || exponent.n > sizeof ret->e || !(exponent.p[exponent.n - 1] & 1)) return RW_E_BAD;
    if (exponent.n == 1 && exponent.p[0] < 3) return RW_E_BAD;
    *ret =
        (struct crypto_public){.kind = CRYPTO_KEY_RSA, .e_n = (uint8_t)exponent.n, .n = (uint16_t)modulus.n};
    memcpy(ret->e, exponent.p, exponent.n);
    memcpy(ret->bytes, modulus.p, modulus.n);
    return RW_OK;
}

// Multiplying it by one fails for what is no point of the curve.
static bool on_curve(enum crypto_key_kind kind, const uint8_t *point, uint32_t n)
{
    uint8_t copy[2 * 48 + 1];
    const uint8_t one = 1;
    MUST(n <= sizeof copy);
    memcpy(copy, point, n);
    return br_ec_get_default()->mul(copy, n, &one, 1, curve_of(kind)) == 1;
}

static enum rw_err public_point(struct crypto_public *ret, enum crypto_key_kind kind, struct span point)
{
    if (point.n != 2 * field_bytes(kind) + 1 || point.p[0] != 4 || !on_curve(kind, point.p, point.n))
        return RW_E_BAD;
    *ret = (struct crypto_public){.kind = (uint8_t)kind, .n = (uint16_t)point.n};
    memcpy(ret->bytes, point.p, point.n);
    return RW_OK;
}

enum rw_err crypto_public_ec(struct crypto_public *ret, enum crypto_key_kind kind, struct span x,
                             struct span y)
{
    MUST(kind == CRYPTO_KEY_P256 || kind == CRYPTO_KEY_P384);
    uint8_t point[2 * 48 + 1] = {4};
    const uint32_t n = field_bytes(kind);
    if (x.n != n || y.n != n) return RW_E_BAD;
    memcpy(point + 1, x.p, n);
    memcpy(point + 1 + n, y.p, n);
    return public_point(ret, kind, span_of(point, 2 * n + 1));
}

// RSAPublicKey of PKCS#1: SEQUENCE of modulus and exponent.
static enum rw_err public_pkcs1(struct crypto_public *ret, struct span der)
{
    struct span key, modulus, exponent;
    if (!tls_der_take(&der, TLS_DER_SEQUENCE, &key) || der.n > 0) return RW_E_BAD;
    if (!tls_der_number(&key, &modulus) || !tls_der_number(&key, &exponent) || key.n > 0) return RW_E_BAD;
    return crypto_public_rsa(ret, modulus, exponent);
}

enum rw_err crypto_public_der(struct crypto_public *ret, struct span der)
{
    static const uint8_t rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const uint8_t ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    static const uint8_t p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    static const uint8_t p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};
    struct span info, algorithm, oid, bits, curve;
    if (!tls_der_take(&der, TLS_DER_SEQUENCE, &info) || der.n > 0) return RW_E_BAD;
    if (!tls_der_take(&info, TLS_DER_SEQUENCE, &algorithm) || !tls_der_take(&algorithm, TLS_DER_OID, &oid))
        return RW_E_BAD;
    if (!tls_der_take(&info, TLS_DER_BITS, &bits) || info.n > 0 || bits.n < 1 || bits.p[0] != 0)
        return RW_E_BAD;
    bits = span_from(bits, 1);
    if (span_eq(oid, span_of(rsa, sizeof rsa))) return public_pkcs1(ret, bits);
    if (!span_eq(oid, span_of(ec, sizeof ec)) || !tls_der_take(&algorithm, TLS_DER_OID, &curve))
        return RW_E_BAD;
    if (span_eq(curve, span_of(p256, sizeof p256))) return public_point(ret, CRYPTO_KEY_P256, bits);
    if (span_eq(curve, span_of(p384, sizeof p384))) return public_point(ret, CRYPTO_KEY_P384, bits);
    return RW_E_BAD;
}

struct finding {
    struct crypto_public *key;
    bool found;
    enum rw_err err;
};

static bool find_public(void *ctx, const char *name, struct span der)
{
    struct finding *f = ctx;
    struct tls_cert cert;
    f->found = true;
    if (strcmp(name, "PUBLIC KEY") == 0) f->err = crypto_public_der(f->key, der);
    else if (strcmp(name, "RSA PUBLIC KEY") == 0) f->err = public_pkcs1(f->key, der);
    else if (!tls_pem_is_certificate(name)) f->found = false;
    else f->err = tls_cert_read(der, &cert) ? crypto_public_der(f->key, cert.public_key) : RW_E_BAD;
    return !f->found;
}

const char *crypto_public_pem(struct crypto_public *ret, struct span pem)
{
    struct finding f = {.key = ret};
    if (tls_pem_each(pem, find_public, &f)) return "it is not PEM text, or damaged";
    if (!f.found) return "there is no public key";
    return f.err ? "its public key is damaged, or neither RSA (2048 to 4096 bits) nor EC on P-256 or P-384"
                 : NULL;
}

// --- Verification.

static bool verify_rsa(const struct crypto_public *key, const struct digest *d, struct span signature)
{
    uint8_t got[CRYPTO_SHA512_BYTES];
    // BearSSL takes the parts of a key as writable, and writes to none.
    const br_rsa_public_key pk = {(unsigned char *)(uintptr_t)key->bytes, key->n,
                                  (unsigned char *)(uintptr_t)key->e, key->e_n};
    if (signature.n != key->n) return false;
    return br_rsa_pkcs1_vrfy_get_default()(signature.p, signature.n, d->oid, d->n, &pk, got) == 1 &&
        crypto_equal(got, d->bytes, d->n);
}

static bool verify_ec(const struct crypto_public *key, const struct digest *d, struct span signature)
{
    const enum crypto_key_kind kind = (enum crypto_key_kind)key->kind;
    const br_ec_public_key pk = {curve_of(kind), (unsigned char *)(uintptr_t)key->bytes, key->n};
    if (signature.n != 2 * field_bytes(kind)) return false;
    return br_ecdsa_vrfy_raw_get_default()(br_ec_get_default(), d->bytes, d->n, &pk, signature.p,
                                           signature.n) == 1;
}

bool crypto_verify(const struct crypto_public *key, enum crypto_signature s, const void *data, size_t n,
                   struct span signature)
{
    struct digest d;
    if (key->kind != crypto_signature_kind(s)) return false;
    digest_of(s, data, n, &d);
    return key->kind == CRYPTO_KEY_RSA ? verify_rsa(key, &d, signature) : verify_ec(key, &d, signature);
}

// --- Signing.

struct crypto_private *crypto_private_make(struct span pem, struct span passphrase, const char **ret_why)
{
    struct crypto_private *key = calloc(1, sizeof *key);
    const char *why = key ? tls_skey_read(pem, passphrase, &key->skey) : "out of memory";
    if (!why && crypto_private_kind(key) == CRYPTO_KEY_NONE) why = "its EC key must be on P-256 or P-384";
    if (!why) return key;
    crypto_private_free(key);
    *ret_why = why;
    return NULL;
}

void crypto_private_free(struct crypto_private *key)
{
    if (!key) return;
    crypto_wipe(key, sizeof *key);
    free(key);
}

enum crypto_key_kind crypto_private_kind(const struct crypto_private *key)
{
    if (key->skey.type == BR_KEYTYPE_RSA) return CRYPTO_KEY_RSA;
    return key->skey.key.ec.curve == BR_EC_secp256r1 ? CRYPTO_KEY_P256
        : key->skey.key.ec.curve == BR_EC_secp384r1  ? CRYPTO_KEY_P384
                                                     : CRYPTO_KEY_NONE;
}

int64_t crypto_sign(const struct crypto_private *key, enum crypto_signature s, const void *data, size_t n,
                    uint8_t *out, size_t cap)
{
    struct digest d;
    const enum crypto_key_kind kind = crypto_private_kind(key);
    if (kind != crypto_signature_kind(s)) return RW_E_BAD;
    digest_of(s, data, n, &d);
    if (kind == CRYPTO_KEY_RSA) {
        const br_rsa_private_key *rsa = &key->skey.key.rsa;
        const size_t size = (rsa->n_bitlen + 7) / 8;
        if (size > cap) return RW_E_TOO_LARGE;
        return br_rsa_pkcs1_sign_get_default()(d.oid, d.bytes, d.n, rsa, out) == 1 ? (int64_t)size : RW_E_BAD;
    }
    const size_t size = 2 * field_bytes(kind);
    if (size > cap) return RW_E_TOO_LARGE;
    const size_t got =
        br_ecdsa_sign_raw_get_default()(br_ec_get_default(), d.hash, d.bytes, &key->skey.key.ec, out);
    return got == size ? (int64_t)size : RW_E_BAD;
}
