// Signatures as JOSE has them (RFC 7518): RSA PKCS#1 1.5 with SHA-256, 384 and 512, ECDSA on P-256 and P-384; their keys out of
// PEM and DER texts, or out of numbers (JWK).
//
// Public keys are plain memory and may be copied. Private keys are made and freed, and stay where they are. Accepted are RSA keys
// of 2048 to 4096 bits, for verification with an exponent below 2^64, and points that lie on their curve. ECDSA signatures are
// r and s, 64 or 96 bytes; they are made without randomness (RFC 6979).
//
// Owner    the caller. Thread: any; keys are only read. Never suspends, but takes long, with BearSSL's portable code: to verify
//          costs 0.3 ms for RSA-2048, 1.3 ms for P-256, 5 ms for P-384; to sign 4 ms, 0.6 ms, 2.5 ms. On a worker: by offload.
// Errors   a signature is right or not, whatever else is wrong with it or its key. Keys: a text that completes "FILE: ...".
#ifndef RINGWAY_TLS_CRYPTO_SIGN_H
#define RINGWAY_TLS_CRYPTO_SIGN_H

#include "base/err.h"
#include "base/span.h"

enum crypto_key_kind { CRYPTO_KEY_NONE, CRYPTO_KEY_RSA, CRYPTO_KEY_P256, CRYPTO_KEY_P384 };

// X(symbol, JOSE's name, kind of key)
#define CRYPTO_SIGNATURES(X) \
    X(CRYPTO_RS256, "RS256", CRYPTO_KEY_RSA) \
    X(CRYPTO_RS384, "RS384", CRYPTO_KEY_RSA) \
    X(CRYPTO_RS512, "RS512", CRYPTO_KEY_RSA) \
    X(CRYPTO_ES256, "ES256", CRYPTO_KEY_P256) \
    X(CRYPTO_ES384, "ES384", CRYPTO_KEY_P384)

#define X(symbol, name, kind) symbol,
enum crypto_signature { CRYPTO_SIGNATURES(X) CRYPTO_SIGNATURE_COUNT };
#undef X

const char *crypto_signature_name(enum crypto_signature s);
enum crypto_key_kind crypto_signature_kind(enum crypto_signature s);

#define CRYPTO_SIGNATURE_BYTES_MAX 512

struct crypto_public {
    uint8_t kind; // enum crypto_key_kind
    uint8_t e_n;
    uint16_t n; // bytes of the modulus, or of the point
    uint8_t e[8];
    uint8_t bytes[512];
};

// modulus and exponent: big-endian, leading zeros allowed. RW_E_BAD: a key that is not accepted.
enum rw_err crypto_public_rsa(struct crypto_public *ret, struct span modulus,
                              struct span exponent) RW_WARN_UNUSED;
// x and y: big-endian, as long as the curve's field.
enum rw_err crypto_public_ec(struct crypto_public *ret, enum crypto_key_kind kind, struct span x,
                             struct span y) RW_WARN_UNUSED;
// The first PUBLIC KEY (SubjectPublicKeyInfo), RSA PUBLIC KEY (PKCS#1) or CERTIFICATE of a PEM text. NULL, or what is wrong.
const char *crypto_public_pem(struct crypto_public *ret, struct span pem);
// A SubjectPublicKeyInfo. RW_E_BAD.
enum rw_err crypto_public_der(struct crypto_public *ret, struct span der) RW_WARN_UNUSED;

// Is it the key's signature of data? False also if it cannot be one of this key's kind.
RW_WARN_UNUSED bool crypto_verify(const struct crypto_public *key, enum crypto_signature s, const void *data,
                                  size_t n, struct span signature);

struct crypto_private;

// The first private key of a PEM text: PKCS#8, PKCS#1 or SEC 1. passphrase: of an encrypted key; may be empty. NULL with
// *ret_why.
struct crypto_private *crypto_private_make(struct span pem, struct span passphrase, const char **ret_why);
void crypto_private_free(struct crypto_private *key); // NULL is harmless; wipes it
enum crypto_key_kind crypto_private_kind(const struct crypto_private *key);

// The signature's length. RW_E_BAD: not a signature of this kind of key; RW_E_TOO_LARGE: more than cap.
int64_t crypto_sign(const struct crypto_private *key, enum crypto_signature s, const void *data, size_t n,
                    uint8_t *out, size_t cap) RW_WARN_UNUSED;

#endif
