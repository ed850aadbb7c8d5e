// Tokens. An input that begins with 'T' is a token as it came; any other is a header, a newline and claims that are signed here,
// so that what a stranger cannot sign is reached too. Accepted is only what was signed with the key that is known and is good
// at the time; its texts lie in the room that was lent; with one bit of the signature changed it is refused.
#include "policy/jwt.h"
#include "tests/fuzz/fuzz.h"

#define NOW_S INT64_C(1795256000)

static struct jwt_keys keys;
static struct crypto_private *private_key;
static const char secret[] = "0123456789abcdef0123456789abcdef";
static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgo7NJu0QyeqCdsHLw\n"
                          "/S8MHSzMv5NGqMJVvL0KXYJ6Td2hRANCAAQXeY9e4mcx34sjCs34GyhquiABkgfZ\n"
                          "DkOJt0ADl6pFs9Dn+4R/KW9NZRW2Z9Mrfu8wIQCocE7WEEQ6zP3W7UMu\n"
                          "-----END PRIVATE KEY-----\n";
static const char public_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEF3mPXuJnMd+LIwrN+BsoarogAZIH\n"
                                 "2Q5DibdAA5eqRbPQ5/uEfylvTWUVtmfTK37vMCEAqHBO1hBEOsz91u1DLg==\n"
                                 "-----END PUBLIC KEY-----\n";

static void make_keys(void)
{
    const char *why;
    struct crypto_public pub;
    if (keys.n > 0) return;
    private_key = crypto_private_make(span_str(pem), SPAN(""), &why);
    MUST(private_key && !crypto_public_pem(&pub, span_str(public_pem)));
    MUST(jwt_keys_add_secret(&keys, span_of(secret, sizeof secret - 1)) == RW_OK);
    MUST(jwt_keys_add_public(&keys, &pub, SPAN("kid")) == RW_OK);
}

static const struct jwt_wants wants = {.issuer = SPAN_INIT("me"),
                                       .audience = {SPAN_INIT("us"), SPAN_INIT("them")},
                                       .audiences = 2,
                                       .leeway_s = 60};
static const struct jwt_wants anything = {.leeway_s = 60};

static enum jwt_why check(const struct jwt_wants *w, struct span token, struct jwt *ret)
{
    static uint8_t room[JWT_ROOM_BYTES(JWT_BYTES_MAX)];
    const enum jwt_why why = jwt_check(&keys, w, token, NOW_S, room, ret);
    MUST(jwt_why_name(why)[0] && (why == JWT_OK || jwt_why_text(why)[0]));
    if (why) return why;
    fuzz_within(ret->claims, room, JWT_ROOM_BYTES(token.n));
    fuzz_within(ret->subject, room, JWT_ROOM_BYTES(token.n));
    fuzz_within(ret->issuer, room, JWT_ROOM_BYTES(token.n));
    MUST(ret->expires_s > NOW_S - w->leeway_s && ret->key < keys.n);
    MUST(w->issuer.n == 0 || span_eq(ret->issuer, w->issuer));
    return why;
}

static uint32_t encode(const void *data, size_t n, char *out, size_t cap)
{
    const int64_t chars = crypto_base64url_encode(data, n, out, cap);
    MUST(chars >= 0);
    return (uint32_t)chars;
}

static void check_signed(struct span header, struct span claims)
{
    static char token[2 * FUZZ_BYTES_MAX];
    struct crypto_hmac_key key;
    uint8_t mac[CRYPTO_SHA256_BYTES];
    struct jwt jwt;
    uint32_t n = encode(header.p, header.n, token, sizeof token);
    token[n++] = '.';
    n += encode(claims.p, claims.n, token + n, sizeof token - n);
    crypto_hmac_key_init(&key, secret, sizeof secret - 1);
    crypto_hmac(&key, token, n, mac);
    token[n++] = '.';
    const uint32_t signature = n;
    n += encode(mac, sizeof mac, token + n, sizeof token - n);
    const enum jwt_why why = check(&anything, span_of(token, n), &jwt);
    MUST(why != JWT_OK || jwt.key == 0);
    const enum jwt_why strict = check(&wants, span_of(token, n), &jwt);
    MUST(strict == why || strict == JWT_ISSUER || strict == JWT_AUDIENCE || strict == JWT_MALFORMED);
    if (why) return;
    mac[fuzz_number(claims.p, claims.n, 1, sizeof mac)] ^= 1;
    (void)encode(mac, sizeof mac, token + signature, sizeof token - signature);
    MUST(check(&anything, span_of(token, n), &jwt) == JWT_SIGNATURE);
}

// What jwt_make() makes of a text is accepted just as that text is when signed otherwise.
static void check_made(struct span kid, struct span claims)
{
    static char token[2 * FUZZ_BYTES_MAX];
    struct jwt jwt;
    const int64_t n = jwt_make(private_key, kid, claims, token, sizeof token);
    if (n < 0) return;
    const enum jwt_why why = check(&anything, span_of(token, (size_t)n), &jwt);
    MUST(why != JWT_SIGNATURE && why != JWT_ALGORITHM && why != JWT_CRITICAL);
    MUST(why != JWT_UNKNOWN_KEY || (kid.n > 0 && !span_eq(kid, SPAN("kid"))));
    MUST(why != JWT_OK || jwt.key == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > FUZZ_BYTES_MAX) return 0;
    make_keys();
    struct jwt jwt;
    struct span rest = span_of(fuzz_flush(0, data, size), size), header;
    if (data[0] == 'T') {
        (void)check(&wants, span_from(rest, 1), &jwt);
        return 0;
    }
    if (!span_split(&rest, '\n', &header)) return 0;
    if (!rest.p) rest = SPAN("");
    check_signed(header, rest);
    // A thousand times slower.
    if (fuzz_number(data, size, 2, 16) == 0) check_made(header.n > 64 ? SPAN("kid") : header, rest);
    return 0;
}
