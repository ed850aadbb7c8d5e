// See jwt.h. Keys: out of a JWK Set, and given ones; and the reading of members, which tokens share.
#include "policy/jwt_priv.h"

// --- Members.

bool jwt_is_object(struct span json)
{
    struct json_scan s;
    return json_scan(&s, NULL, JSON_TOP_OBJECT, json) > 0;
}

bool jwt_members(struct span object, const char *const *names, uint32_t n, struct span *ret)
{
    struct json_iter it = json_iter(object);
    struct span key, value;
    for (uint32_t i = 0; i < n; i++) ret[i] = (struct span){NULL, 0};
    while (json_next(&it, &key, &value)) {
        for (uint32_t i = 0; i < n; i++) {
            if (!json_key_is(key, span_str(names[i]))) continue;
            if (ret[i].p) return false;
            ret[i] = value;
        }
    }
    return true;
}

bool jwt_decode(struct span text, struct jwt_room *room, struct span *ret)
{
    const int64_t n = crypto_base64url_decode((const char *)text.p, text.n, room->p, room->n);
    if (n < 0) return false;
    *ret = span_of(room->p, (size_t)n);
    room->p += n;
    room->n -= (uint32_t)n;
    return true;
}

bool jwt_string(struct span value, struct jwt_room *room, struct span *ret)
{
    const enum json_type type = json_type(value);
    *ret = SPAN("");
    if (type == JSON_ABSENT || type == JSON_NULL) return true;
    if (type != JSON_STRING || json_string(value, JSON_LONE_REFUSE, room->p, room->n, ret)) return false;
    if (ret->p == room->p) {
        room->p += ret->n;
        room->n -= ret->n;
    }
    return true;
}

// --- A JWK (RFC 7517, section 4; RFC 7518, section 6).

enum { KTY, USE, ALG, KID, N, E, CRV, X, Y, MEMBERS };
static const char *const names[MEMBERS] = {"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"};

static bool decoded(struct span value, struct jwt_room *room, struct span *ret)
{
    struct span text;
    return value.p && jwt_string(value, room, &text) && jwt_decode(text, room, ret);
}

static bool read_rsa(const struct span v[MEMBERS], struct jwt_room *room, struct crypto_public *ret)
{
    struct span n, e;
    return decoded(v[N], room, &n) && decoded(v[E], room, &e) && crypto_public_rsa(ret, n, e) == RW_OK;
}

static bool read_ec(const struct span v[MEMBERS], struct jwt_room *room, struct crypto_public *ret)
{
    struct span curve, x, y;
    if (!jwt_string(v[CRV], room, &curve) || !decoded(v[X], room, &x) || !decoded(v[Y], room, &y))
        return false;
    if (span_eq(curve, SPAN("P-256"))) return crypto_public_ec(ret, CRYPTO_KEY_P256, x, y) == RW_OK;
    if (span_eq(curve, SPAN("P-384"))) return crypto_public_ec(ret, CRYPTO_KEY_P384, x, y) == RW_OK;
    return false;
}

static bool read_algorithm(struct span name, enum crypto_key_kind kind, uint8_t *ret)
{
    *ret = JWT_ANY_ALGORITHM;
    if (name.n == 0) return true;
    for (uint32_t s = 0; s < CRYPTO_SIGNATURE_COUNT; s++) {
        const enum crypto_signature it = (enum crypto_signature)s;
        if (span_eq(name, span_str(crypto_signature_name(it)))) *ret = (uint8_t)s;
    }
    return *ret != JWT_ANY_ALGORITHM && crypto_signature_kind((enum crypto_signature) * ret) == kind;
}

// Not inlined: its buffer and the scan of the set's text would be too much for one frame.
static bool __attribute__((noinline)) read_key(struct span jwk, struct jwt_key *ret)
{
    // The longest: modulus and exponent, once as text with every byte escaped, once decoded.
    uint8_t bytes[1536];
    struct jwt_room room = {bytes, sizeof bytes};
    struct span v[MEMBERS], kty, use, alg, kid;
    if (json_type(jwk) != JSON_OBJECT || !jwt_members(jwk, names, MEMBERS, v)) return false;
    if (!jwt_string(v[KTY], &room, &kty) || !jwt_string(v[USE], &room, &use) ||
        !jwt_string(v[ALG], &room, &alg) || !jwt_string(v[KID], &room, &kid))
        return false;
    if (use.n > 0 && !span_eq(use, SPAN("sig"))) return false;
    if (kid.n > sizeof ret->kid) return false;
    if (span_eq(kty, SPAN("RSA"))) {
        if (!read_rsa(v, &room, &ret->public)) return false;
    } else if (!span_eq(kty, SPAN("EC")) || !read_ec(v, &room, &ret->public)) {
        return false;
    }
    if (!read_algorithm(alg, (enum crypto_key_kind)ret->public.kind, &ret->algorithm)) return false;
    ret->kid_n = (uint8_t)kid.n;
    memcpy(ret->kid, kid.p, kid.n);
    return true;
}

enum rw_err jwt_keys_parse(struct span json, struct jwt_keys *ret)
{
    struct span list, key, element;
    static const char *const set[] = {"keys"};
    if (!jwt_is_object(json)) return RW_E_BAD;
    if (!jwt_members(json, set, 1, &list) || json_type(list) != JSON_ARRAY) return RW_E_BAD;
    *ret = (struct jwt_keys){0};
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &element)) {
        if (ret->n < JWT_KEYS_MAX && read_key(element, &ret->key[ret->n])) ret->n++;
        else ret->skipped++;
    }
    return RW_OK;
}

// --- Given keys.

enum rw_err jwt_keys_add_secret(struct jwt_keys *keys, struct span secret)
{
    if (secret.n < JWT_SECRET_BYTES_MIN) return RW_E_BAD;
    if (keys->n == JWT_KEYS_MAX) return RW_E_TOO_LARGE;
    struct jwt_key *k = &keys->key[keys->n++];
    *k = (struct jwt_key){.algorithm = JWT_ANY_ALGORITHM};
    crypto_hmac_key_init(&k->secret, secret.p, secret.n);
    return RW_OK;
}

enum rw_err jwt_keys_add_public(struct jwt_keys *keys, const struct crypto_public *key, struct span kid)
{
    MUST(key->kind != CRYPTO_KEY_NONE);
    if (keys->n == JWT_KEYS_MAX || kid.n > JWT_KID_BYTES_MAX) return RW_E_TOO_LARGE;
    struct jwt_key *k = &keys->key[keys->n++];
    *k = (struct jwt_key){.public = *key, .algorithm = JWT_ANY_ALGORITHM, .kid_n = (uint8_t)kid.n};
    if (kid.n) memcpy(k->kid, kid.p, kid.n);
    return RW_OK;
}
