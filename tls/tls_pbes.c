// Encrypted private keys: PKCS#8's EncryptedPrivateKeyInfo (RFC 5958) with PBES2, PBKDF2 and AES-CBC (RFC 8018), as OpenSSL 1.1
// and later write them.
#include <string.h>

#include "tls/tls_der.h"
#include "tls/tls_priv.h"

// OpenSSL's default is 2,048; the advice for passwords of people 600,000, half a second here. More would hold up a reload.
#define ROUNDS_MAX 2000000
#define SALT_BYTES_MAX 64
#define BLOCK 16

struct scheme {
    const br_hash_class *hash;
    struct span salt, iv, sealed;
    uint32_t rounds, key_n;
};

static bool is_oid(struct span oid, const char *bytes, uint32_t n)
{
    return span_eq(oid, span_of(bytes, n));
}
#define IS_OID(oid, literal) is_oid(oid, literal, sizeof(literal) - 1)

#define PKCS5 "\x2a\x86\x48\x86\xf7\x0d\x01\x05"
#define HMAC_WITH "\x2a\x86\x48\x86\xf7\x0d\x02"
#define AES "\x60\x86\x48\x01\x65\x03\x04\x01"

static bool read_hash(struct span *parameters, struct scheme *ret)
{
    struct span prf, oid;
    ret->hash = &br_sha1_vtable; // when none is named
    if (!tls_der_take(parameters, TLS_DER_SEQUENCE, &prf)) return parameters->n == 0;
    if (!tls_der_take(&prf, TLS_DER_OID, &oid)) return false;
    if (IS_OID(oid, HMAC_WITH "\x07")) return true;
    if (IS_OID(oid, HMAC_WITH "\x09")) ret->hash = &br_sha256_vtable;
    else if (IS_OID(oid, HMAC_WITH "\x0a")) ret->hash = &br_sha384_vtable;
    else if (IS_OID(oid, HMAC_WITH "\x0b")) ret->hash = &br_sha512_vtable;
    else return false;
    return true;
}

static bool read_derivation(struct span kdf, struct scheme *ret)
{
    struct span oid, parameters, rounds, length;
    if (!tls_der_take(&kdf, TLS_DER_OID, &oid) || !IS_OID(oid, PKCS5 "\x0c")) return false;
    if (!tls_der_take(&kdf, TLS_DER_SEQUENCE, &parameters)) return false;
    if (!tls_der_take(&parameters, TLS_DER_OCTETS, &ret->salt) || ret->salt.n > SALT_BYTES_MAX) return false;
    if (!tls_der_number(&parameters, &rounds) || rounds.n > 3) return false;
    for (uint32_t i = 0; i < rounds.n; i++) ret->rounds = ret->rounds << 8 | rounds.p[i];
    if (ret->rounds == 0 || ret->rounds > ROUNDS_MAX) return false;
    (void)tls_der_number(&parameters, &length); // the cipher says it
    return read_hash(&parameters, ret);
}

static bool read_cipher(struct span cipher, struct scheme *ret)
{
    struct span oid;
    if (!tls_der_take(&cipher, TLS_DER_OID, &oid)) return false;
    if (IS_OID(oid, AES "\x02")) ret->key_n = 16;
    else if (IS_OID(oid, AES "\x16")) ret->key_n = 24;
    else if (IS_OID(oid, AES "\x2a")) ret->key_n = 32;
    else return false;
    return tls_der_take(&cipher, TLS_DER_OCTETS, &ret->iv) && ret->iv.n == BLOCK;
}

static bool read_scheme(struct span der, struct scheme *ret)
{
    struct span info, algorithm, oid, parameters, kdf, cipher;
    *ret = (struct scheme){0};
    return tls_der_take(&der, TLS_DER_SEQUENCE, &info) && tls_der_take(&info, TLS_DER_SEQUENCE, &algorithm) &&
        tls_der_take(&info, TLS_DER_OCTETS, &ret->sealed) && tls_der_take(&algorithm, TLS_DER_OID, &oid) &&
        IS_OID(oid, PKCS5 "\x0d") && tls_der_take(&algorithm, TLS_DER_SEQUENCE, &parameters) &&
        tls_der_take(&parameters, TLS_DER_SEQUENCE, &kdf) &&
        tls_der_take(&parameters, TLS_DER_SEQUENCE, &cipher) && read_derivation(kdf, ret) &&
        read_cipher(cipher, ret);
}

// PBKDF2: blocks of the hash's length, each the sum of all rounds.
static void derive(const struct scheme *s, struct span passphrase, uint8_t *key)
{
    br_hmac_key_context hmac_key;
    br_hmac_context hmac;
    uint8_t u[64], sum[64];
    br_hmac_key_init(&hmac_key, s->hash, passphrase.p, passphrase.n);
    for (uint32_t at = 0, block = 1; at < s->key_n; block++) {
        const uint8_t number[4] = {0, 0, 0, (uint8_t)block};
        br_hmac_init(&hmac, &hmac_key, 0);
        br_hmac_update(&hmac, s->salt.p, s->salt.n);
        br_hmac_update(&hmac, number, sizeof number);
        const size_t n = br_hmac_out(&hmac, u);
        memcpy(sum, u, n);
        for (uint32_t round = 1; round < s->rounds; round++) {
            br_hmac_init(&hmac, &hmac_key, 0);
            br_hmac_update(&hmac, u, n);
            (void)br_hmac_out(&hmac, u);
            for (size_t i = 0; i < n; i++) sum[i] ^= u[i];
        }
        const uint32_t take = s->key_n - at < n ? s->key_n - at : (uint32_t)n;
        memcpy(key + at, sum, take);
        at += take;
    }
    crypto_wipe(&hmac_key, sizeof hmac_key);
    crypto_wipe(&hmac, sizeof hmac);
    crypto_wipe(u, sizeof u);
    crypto_wipe(sum, sizeof sum);
}

const char *tls_pbes_open(struct span der, struct span passphrase, uint8_t *out, uint32_t cap,
                          uint32_t *ret_n)
{
    struct scheme s;
    uint8_t key[32], iv[BLOCK];
    br_aes_ct64_cbcdec_keys cbc;
    if (!read_scheme(der, &s))
        return "its key is encrypted in a way that is not known here; write it anew with openssl pkcs8 "
               "-topk8 -v2 aes-256-cbc "
               "-in OLD -out NEW";
    if (s.sealed.n == 0 || s.sealed.n % BLOCK != 0 || s.sealed.n > cap) return "its encrypted key is damaged";
    derive(&s, passphrase, key);
    memcpy(iv, s.iv.p, sizeof iv);
    memcpy(out, s.sealed.p, s.sealed.n);
    br_aes_ct64_cbcdec_init(&cbc, key, s.key_n);
    br_aes_ct64_cbcdec_run(&cbc, iv, out, s.sealed.n);
    crypto_wipe(key, sizeof key);
    crypto_wipe(&cbc, sizeof cbc);
    const uint8_t pad = out[s.sealed.n - 1];
    bool good = pad >= 1 && pad <= BLOCK;
    for (uint32_t i = 1; good && i <= pad; i++) good = out[s.sealed.n - i] == pad;
    // A wrong key gives a right padding once in 256 times; it is no key then.
    if (!good || out[0] != TLS_DER_SEQUENCE) return "the passphrase is not the one of its key";
    *ret_n = s.sealed.n - pad;
    return NULL;
}
