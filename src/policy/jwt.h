// JSON Web Tokens (RFC 7519) in their compact, signed form, and the keys they are checked with (JWK Set, RFC 7517).
//
// Check    jwt_keys_parse() of what an issuer publishes, or jwt_keys_add_*(); then jwt_check() of a token: form, algorithm, key,
//          signature, then its time, issuer and audience, in that order, so that nothing is said of claims that nobody signed.
// Keys     decide about the algorithm, never the token: an RSA key checks RS256, RS384 and RS512, one on P-256 ES256, one on
//          P-384 ES384, a secret HS256. A key that names its "alg" checks no other. Secrets come from the configuration; a JWK
//          Set cannot bring one ("kty": "oct" is skipped), "none" is no algorithm, and a token with "crit" is refused.
// Kid      a token that names its key is checked with that key; one that does not, only if one single key can be meant.
// Make     jwt_make(): RS256 and ES256, as Google's token endpoint wants an assertion.
//
// Owner    keys are plain memory (18 KiB), may be copied and need no release; wipe those that hold a secret. What jwt_check()
//          gives lies in the caller's buffer.
// Thread   any; keys are only read. Never suspends. A signature costs what crypto_sign.h says: on a worker by offload.
// Errors   enum jwt_why, with a text for people.
#ifndef RINGWAY_POLICY_JWT_H
#define RINGWAY_POLICY_JWT_H

#include "base/err.h"
#include "base/span.h"
#include "tls/crypto.h"
#include "tls/crypto_sign.h"

#define JWT_KEYS_MAX 32
#define JWT_KID_BYTES_MAX 127
// A head of a request holds no more.
#define JWT_BYTES_MAX 16384
// What jwt_check() needs for a token of n bytes: its two texts decoded, and strings of them unescaped.
#define JWT_ROOM_BYTES(n) (2 * (n))
#define JWT_SECRET_BYTES_MIN 32
#define JWT_AUDIENCES_MAX 8

// X(symbol, name for machines, text for people: completes "The token is not accepted: ")
#define JWT_WHYS(X) \
    X(JWT_OK, "ok", "") \
    X(JWT_MALFORMED, "malformed", "it is not a signed JSON Web Token") \
    X(JWT_TOO_LARGE, "too_large", "it is longer than any that is accepted") \
    X(JWT_ALGORITHM, "algorithm", "its algorithm is none of RS256, RS384, RS512, ES256, ES384 and HS256") \
    X(JWT_CRITICAL, "critical", "it has critical extensions") \
    X(JWT_UNKNOWN_KEY, "unknown_key", "no known key is the one it was signed with") \
    X(JWT_SIGNATURE, "signature", "its signature is wrong") \
    X(JWT_NO_EXPIRY, "no_expiry", "it does not say until when it is good") \
    X(JWT_EXPIRED, "expired", "it has expired") \
    X(JWT_NOT_YET, "not_yet", "it is not good yet; clocks may differ") \
    X(JWT_ISSUER, "issuer", "it is from another issuer") \
    X(JWT_AUDIENCE, "audience", "it is meant for somebody else")

#define X(symbol, name, text) symbol,
enum jwt_why { JWT_WHYS(X) JWT_WHY_COUNT };
#undef X

// Never NULL.
const char *jwt_why_name(enum jwt_why why);
const char *jwt_why_text(enum jwt_why why);

// --- Keys.

#define JWT_ANY_ALGORITHM 0xff

struct jwt_key {
    struct crypto_public public; // of kind CRYPTO_KEY_NONE: a secret
    struct crypto_hmac_key secret;
    uint8_t algorithm; // enum crypto_signature, or JWT_ANY_ALGORITHM
    uint8_t kid_n; // 0: it has none
    char kid[JWT_KID_BYTES_MAX];
};

struct jwt_keys {
    uint32_t n;
    uint32_t skipped; // of a set: of another kind, for encryption, too weak, damaged, or one too many
    struct jwt_key key[JWT_KEYS_MAX];
};

// Replaces all of *ret. RW_E_BAD, and *ret untouched: not a JWK Set. A set without a usable key is one: ret->n is 0.
enum rw_err jwt_keys_parse(struct span json, struct jwt_keys *ret) RW_WARN_UNUSED;

// For HS256, without a kid. RW_E_BAD: shorter than JWT_SECRET_BYTES_MIN; RW_E_TOO_LARGE: there are JWT_KEYS_MAX.
enum rw_err jwt_keys_add_secret(struct jwt_keys *keys, struct span secret) RW_WARN_UNUSED;
// kid may be empty. RW_E_TOO_LARGE: there are JWT_KEYS_MAX, or kid is too long.
enum rw_err jwt_keys_add_public(struct jwt_keys *keys, const struct crypto_public *key,
                                struct span kid) RW_WARN_UNUSED;

// --- Checking.

struct jwt_wants {
    struct span issuer; // empty: any
    struct span audience[JWT_AUDIENCES_MAX]; // one of them; none: any
    uint32_t audiences;
    int64_t leeway_s; // for clocks that differ
};

struct jwt {
    struct span claims; // JSON, an object
    struct span subject, issuer; // unescaped; empty: not said
    int64_t expires_s; // Unix time
    uint32_t key; // its index in keys
};

// room: JWT_ROOM_BYTES(token.n) bytes, may be NULL for an empty token. *ret only with JWT_OK.
enum jwt_why jwt_check(const struct jwt_keys *keys, const struct jwt_wants *wants, struct span token,
                       int64_t now_s, uint8_t *room, struct jwt *ret);

// --- Making.

// The token of these claims (JSON), signed with RS256 or ES256 as the key is. kid may be empty; it is written as it is, so
// letters, digits and the like only: RW_E_BAD for others, and for a key that cannot. Returns its length; RW_E_TOO_LARGE.
int64_t jwt_make(const struct crypto_private *key, struct span kid, struct span claims, char *out,
                 uint32_t cap) RW_WARN_UNUSED;

#endif
