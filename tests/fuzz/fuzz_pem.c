// PEM texts and what is in them, DER: whatever is read lies within the input, a text that was accepted is accepted again, and
// keys that were accepted can be used: what such a private key signs is a signature of the length that its kind has. Inputs
// that begin with 'D' are DER, all others PEM.
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tls/crypto_sign.h"
#include "tls/tls_priv.h"

static void use_private(const struct crypto_private *key, const uint8_t *data, size_t size)
{
    static const enum crypto_signature by_kind[] = {
        [CRYPTO_KEY_RSA] = CRYPTO_RS256, [CRYPTO_KEY_P256] = CRYPTO_ES256, [CRYPTO_KEY_P384] = CRYPTO_ES384};
    static uint8_t out[CRYPTO_SIGNATURE_BYTES_MAX];
    const enum crypto_key_kind kind = crypto_private_kind(key);
    MUST(kind == CRYPTO_KEY_RSA || kind == CRYPTO_KEY_P256 || kind == CRYPTO_KEY_P384);
    const int64_t n = crypto_sign(key, by_kind[kind], data, size, out, sizeof out);
    if (kind == CRYPTO_KEY_P256) MUST(n == 64 || n == RW_E_BAD);
    else if (kind == CRYPTO_KEY_P384) MUST(n == 96 || n == RW_E_BAD);
    else MUST((n >= 256 && n <= 512) || n == RW_E_BAD);
}

static void use_public(const struct crypto_public *key, const uint8_t *data, size_t size)
{
    static const uint8_t zeros[CRYPTO_SIGNATURE_BYTES_MAX];
    MUST(key->kind != CRYPTO_KEY_NONE && key->n >= 65 && key->n <= 512);
    // Of no key and no text are zeros the signature.
    for (int s = 0; s < CRYPTO_SIGNATURE_COUNT; s++) {
        const size_t n = key->kind == CRYPTO_KEY_RSA ? key->n : key->kind == CRYPTO_KEY_P256 ? 64 : 96;
        MUST(!crypto_verify(key, (enum crypto_signature)s, data, size, span_of(zeros, n)));
    }
}

static void check_der(const uint8_t *p, uint32_t n)
{
    const struct span der = span_of(p, n);
    struct tls_cert cert;
    struct crypto_public pub;
    struct tls_skey skey = {0};
    if (tls_cert_read(der, &cert)) {
        fuzz_within(cert.issuer, p, n);
        fuzz_within(cert.subject, p, n);
        fuzz_within(cert.public_key, p, n);
        fuzz_within(cert.san, p, n);
        fuzz_within(cert.usages, p, n);
        static const uint8_t ip[16] = {127, 0, 0, 1};
        const bool has = tls_cert_has_ip(&cert, ip, 4) | tls_cert_has_name(&cert, SPAN("a.example"));
        MUST(!has || cert.san.n > 0);
        MUST(cert.usages.n > 0 || tls_cert_may(&cert, 1));
        if (crypto_public_der(&pub, cert.public_key) == RW_OK) use_public(&pub, p, n);
    }
    if (crypto_public_der(&pub, der) == RW_OK) use_public(&pub, p, n);
    if (!tls_skey_read_der(der, &skey)) MUST(skey.type == BR_KEYTYPE_RSA || skey.type == BR_KEYTYPE_EC);
}

static void check_pem(const uint8_t *p, uint32_t n)
{
    const struct span pem = span_of(p, n);
    struct tls_trust *trust = NULL;
    uint32_t skipped;
    const char *why = NULL;
    struct crypto_public pub;
    if (tls_trust_make(pem, &trust, &skipped) == RW_OK) {
        MUST(tls_trust_count(trust) > 0);
        tls_trust_let_go(trust);
    }
    if (!crypto_public_pem(&pub, pem)) use_public(&pub, p, n);
    struct crypto_private *key = crypto_private_make(pem, SPAN("secret"), &why);
    MUST(key || why);
    // Signing is a thousand times slower than the rest.
    if (key && fuzz_number(p, n, 1, 8) == 0) use_private(key, p, n);
    crypto_private_free(key);
    why = NULL;
    struct tls_identity *id = tls_identity_make(pem, pem, SPAN(""), &why);
    MUST(id || why);
    tls_identity_let_go(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > FUZZ_BYTES_MAX) return 0;
    if (data[0] == 'D') check_der(fuzz_flush(0, data + 1, size - 1), (uint32_t)size - 1);
    else check_pem(fuzz_flush(0, data, size), (uint32_t)size);
    return 0;
}
