// See jwt.h. Making and checking of tokens; the keys are in jwt_keys.c.
#include "policy/jwt_priv.h"

#include "base/fmt.h"

#define PARTS 3
// Beyond it a time is no longer exact as a double, and nobody lives to see it.
#define TIME_S_MAX 9007199254740992.0

static const struct {
    const char *name, *text;
} whys[JWT_WHY_COUNT] = {
#define X(symbol, name, text) [symbol] = {name, text},
    JWT_WHYS(X)
#undef X
};

const char *jwt_why_name(enum jwt_why why)
{
    MUST(why < JWT_WHY_COUNT);
    return whys[why].name;
}

const char *jwt_why_text(enum jwt_why why)
{
    MUST(why < JWT_WHY_COUNT);
    return whys[why].text;
}

// --- Taking a token apart.

struct parts {
    struct span header, claims; // decoded
    struct span signed_text; // both as they came
    uint32_t signature_n;
    uint8_t signature[CRYPTO_SIGNATURE_BYTES_MAX];
};

static bool split(struct span token, struct jwt_room *room, struct parts *ret)
{
    struct span rest = token, part[PARTS];
    for (uint32_t i = 0; i < PARTS; i++)
        if (!span_split(&rest, '.', &part[i]) || part[i].n == 0) return false;
    if (rest.p) return false;
    const int64_t n =
        crypto_base64url_decode((const char *)part[2].p, part[2].n, ret->signature, sizeof ret->signature);
    if (n < 0) return false;
    ret->signature_n = (uint32_t)n;
    ret->signed_text = span_of(token.p, part[0].n + 1 + part[1].n);
    return jwt_decode(part[0], room, &ret->header) && jwt_decode(part[1], room, &ret->claims) &&
        jwt_is_object(ret->header) && jwt_is_object(ret->claims);
}

// --- The header, and the key it means.

#define HS256 CRYPTO_SIGNATURE_COUNT

struct header {
    uint32_t algorithm; // enum crypto_signature, or HS256
    struct span kid; // empty: none
};

static bool algorithm_of(struct span name, uint32_t *ret)
{
    if (span_eq(name, SPAN("HS256"))) {
        *ret = HS256;
        return true;
    }
    for (uint32_t s = 0; s < CRYPTO_SIGNATURE_COUNT; s++) {
        if (!span_eq(name, span_str(crypto_signature_name((enum crypto_signature)s)))) continue;
        *ret = s;
        return true;
    }
    return false;
}

static enum jwt_why read_header(struct span json, struct jwt_room *room, struct header *ret)
{
    enum { ALG, KID, CRIT, MEMBERS };
    static const char *const names[MEMBERS] = {"alg", "kid", "crit"};
    struct span v[MEMBERS], alg;
    if (!jwt_members(json, names, MEMBERS, v) || !jwt_string(v[KID], room, &ret->kid)) return JWT_MALFORMED;
    if (v[CRIT].p) return JWT_CRITICAL;
    return jwt_string(v[ALG], room, &alg) && algorithm_of(alg, &ret->algorithm) ? JWT_OK : JWT_ALGORITHM;
}

static bool key_suits(const struct jwt_key *k, uint32_t algorithm)
{
    if (algorithm == HS256) return k->public.kind == CRYPTO_KEY_NONE;
    return k->public.kind == crypto_signature_kind((enum crypto_signature)algorithm) &&
        (k->algorithm == JWT_ANY_ALGORITHM || k->algorithm == algorithm);
}

// NULL: none, or without a kid more than one.
static const struct jwt_key *find_key(const struct jwt_keys *keys, const struct header *h)
{
    const struct jwt_key *found = NULL;
    for (uint32_t i = 0; i < keys->n; i++) {
        const struct jwt_key *k = &keys->key[i];
        if (!key_suits(k, h->algorithm)) continue;
        // A key without a name, as from the configuration, is meant by every token.
        if (h->kid.n > 0 && k->kid_n > 0) {
            if (span_eq(h->kid, span_of(k->kid, k->kid_n))) return k;
            continue;
        }
        if (found) return NULL;
        found = k;
    }
    return found;
}

static bool signature_is_right(const struct jwt_key *k, uint32_t algorithm, const struct parts *p)
{
    uint8_t mac[CRYPTO_SHA256_BYTES];
    if (algorithm != HS256)
        return crypto_verify(&k->public, (enum crypto_signature)algorithm, p->signed_text.p, p->signed_text.n,
                             span_of(p->signature, p->signature_n));
    crypto_hmac(&k->secret, p->signed_text.p, p->signed_text.n, mac);
    return p->signature_n == sizeof mac && crypto_equal(mac, p->signature, sizeof mac);
}

// --- Claims.

// Seconds since 1970, perhaps with a fraction, which is cut. False: not a number of this world.
static bool read_time(struct span value, int64_t *ret)
{
    double d;
    if (json_type(value) != JSON_NUMBER || !json_double(value, &d)) return false;
    if (!(d > -TIME_S_MAX && d < TIME_S_MAX)) return false;
    *ret = (int64_t)d;
    return true;
}

static enum jwt_why check_time(struct span exp, struct span nbf, const struct jwt_wants *wants, int64_t now_s,
                               int64_t *ret_expires_s)
{
    int64_t until, from;
    if (!exp.p) return JWT_NO_EXPIRY;
    if (!read_time(exp, &until)) return JWT_MALFORMED;
    if (until <= now_s - wants->leeway_s) return JWT_EXPIRED;
    if (nbf.p && !read_time(nbf, &from)) return JWT_MALFORMED;
    if (nbf.p && from > now_s + wants->leeway_s) return JWT_NOT_YET;
    *ret_expires_s = until;
    return JWT_OK;
}

static bool is_wanted(const struct jwt_wants *wants, struct span audience)
{
    for (uint32_t i = 0; i < wants->audiences; i++)
        if (span_eq(wants->audience[i], audience)) return true;
    return false;
}

// One string, or a list of them.
static enum jwt_why check_audience(const struct jwt_wants *wants, struct span value, struct jwt_room room)
{
    struct span one;
    if (wants->audiences == 0) return JWT_OK;
    if (json_type(value) != JSON_ARRAY) {
        if (!jwt_string(value, &room, &one)) return JWT_MALFORMED;
        return is_wanted(wants, one) ? JWT_OK : JWT_AUDIENCE;
    }
    struct json_iter it = json_iter(value);
    struct span key, element;
    while (json_next(&it, &key, &element)) {
        struct jwt_room again = room;
        if (json_type(element) != JSON_STRING || !jwt_string(element, &again, &one)) return JWT_MALFORMED;
        if (is_wanted(wants, one)) return JWT_OK;
    }
    return JWT_AUDIENCE;
}

static enum jwt_why check_claims(const struct jwt_wants *wants, struct span claims, int64_t now_s,
                                 struct jwt_room *room, struct jwt *ret)
{
    enum { EXP, NBF, ISS, AUD, SUB, MEMBERS };
    static const char *const names[MEMBERS] = {"exp", "nbf", "iss", "aud", "sub"};
    struct span v[MEMBERS];
    if (!jwt_members(claims, names, MEMBERS, v)) return JWT_MALFORMED;
    if (!jwt_string(v[ISS], room, &ret->issuer) || !jwt_string(v[SUB], room, &ret->subject))
        return JWT_MALFORMED;
    const enum jwt_why why = check_time(v[EXP], v[NBF], wants, now_s, &ret->expires_s);
    if (why) return why;
    if (wants->issuer.n > 0 && !span_eq(wants->issuer, ret->issuer)) return JWT_ISSUER;
    return check_audience(wants, v[AUD], *room);
}

enum jwt_why jwt_check(const struct jwt_keys *keys, const struct jwt_wants *wants, struct span token,
                       int64_t now_s, uint8_t *room_p, struct jwt *ret)
{
    struct parts parts;
    struct header header;
    struct jwt jwt = {0};
    if (token.n > JWT_BYTES_MAX) return JWT_TOO_LARGE;
    struct jwt_room room = {room_p, JWT_ROOM_BYTES(token.n)};
    if (!split(token, &room, &parts)) return JWT_MALFORMED;
    enum jwt_why why = read_header(parts.header, &room, &header);
    if (why) return why;
    const struct jwt_key *key = find_key(keys, &header);
    if (!key) return JWT_UNKNOWN_KEY;
    if (!signature_is_right(key, header.algorithm, &parts)) return JWT_SIGNATURE;
    why = check_claims(wants, parts.claims, now_s, &room, &jwt);
    if (why) return why;
    jwt.claims = parts.claims;
    jwt.key = (uint32_t)(key - keys->key);
    *ret = jwt;
    return JWT_OK;
}

// --- Making.

// Writes what stands between two dots.
static void write_base64url(struct fmt *out, const void *data, uint32_t n)
{
    const int64_t chars = crypto_base64url_encode(data, n, out->p + out->n, out->cap - out->n);
    if (out->overflow || chars < 0) out->overflow = true;
    else out->n += (uint32_t)chars;
}

static bool kid_is_plain(struct span kid)
{
    for (uint32_t i = 0; i < kid.n; i++)
        if (kid.p[i] < 0x20 || kid.p[i] > 0x7e || kid.p[i] == '"' || kid.p[i] == '\\') return false;
    return true;
}

int64_t jwt_make(const struct crypto_private *key, struct span kid, struct span claims, char *out,
                 uint32_t cap)
{
    char text[64 + JWT_KID_BYTES_MAX];
    uint8_t signature[CRYPTO_SIGNATURE_BYTES_MAX];
    struct fmt header, token;
    const enum crypto_key_kind kind = crypto_private_kind(key);
    if ((kind != CRYPTO_KEY_RSA && kind != CRYPTO_KEY_P256) || !kid_is_plain(kid)) return RW_E_BAD;
    if (kid.n > JWT_KID_BYTES_MAX) return RW_E_TOO_LARGE;
    const enum crypto_signature algorithm = kind == CRYPTO_KEY_RSA ? CRYPTO_RS256 : CRYPTO_ES256;

    fmt_init(&header, text, sizeof text);
    fmt_str(&header, "{\"alg\":\"");
    fmt_str(&header, crypto_signature_name(algorithm));
    fmt_str(&header, "\",\"typ\":\"JWT\"");
    if (kid.n > 0) {
        fmt_str(&header, ",\"kid\":\"");
        fmt_span(&header, kid);
        fmt_char(&header, '"');
    }
    fmt_char(&header, '}');
    MUST(!header.overflow);

    fmt_init(&token, out, cap);
    write_base64url(&token, header.p, header.n);
    fmt_char(&token, '.');
    write_base64url(&token, claims.p, claims.n);
    if (token.overflow) return RW_E_TOO_LARGE;
    const int64_t n = crypto_sign(key, algorithm, token.p, token.n, signature, sizeof signature);
    if (n < 0) return n;
    fmt_char(&token, '.');
    write_base64url(&token, signature, (uint32_t)n);
    return token.overflow ? (int64_t)RW_E_TOO_LARGE : token.n;
}
