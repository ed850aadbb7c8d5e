// jwt: the examples of RFC 7515, Google's recorded assertion, and tokens that OpenSSL signed with every algorithm
// (tests/data/jwt) are accepted; each reason to refuse has tokens of its own, HS256-signed here, where the secret is known;
// changed tokens and the known tricks (alg none, the public key as a secret, a key of another kind) are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/jwt.h"
#include "wire/json.h"

#define NOW_S INT64_C(1795256000)

static uint8_t room[JWT_ROOM_BYTES(JWT_BYTES_MAX)];
static struct jwt_keys keys;
static const struct jwt_wants anything = {.leeway_s = 60};

static struct span read_file(const char *name)
{
    static uint8_t bytes[8192];
    char path[128];
    snprintf(path, sizeof path, "tests/data/jwt/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return span_of(bytes, n);
}

// A string of a JSON file, without escapes.
static struct span text_at(struct span json, const char *path)
{
    struct span v;
    assert_true(json_path(json, path, &v));
    return span_of(v.p + 1, v.n - 2);
}

static enum jwt_why check(struct span token, const struct jwt_wants *wants, int64_t now_s)
{
    struct jwt jwt;
    return jwt_check(&keys, wants, token, now_s, room, &jwt);
}

static const char *name_of(struct span token, const struct jwt_wants *wants)
{
    return jwt_why_name(check(token, wants, NOW_S));
}

// --- Published and foreign tokens.

static void test_check__rfc_7515_examples(void **state)
{
    // Appendices A.1 and A.3; they expired in 2011.
    (void)state;
    static const char hs256[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char secret[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    static const char es256[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    static const char set[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
                              "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                              "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
    uint8_t bytes[64];
    struct jwt jwt;
    assert_int_equal(crypto_base64url_decode(secret, sizeof secret - 1, bytes, sizeof bytes), 64);
    assert_int_equal(jwt_keys_parse(span_str(set), &keys), RW_OK);
    assert_int_equal(jwt_keys_add_secret(&keys, span_of(bytes, 64)), RW_OK);
    const struct span tokens[] = {span_str(es256), span_str(hs256)};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(jwt_check(&keys, &anything, tokens[i], 1300819379, room, &jwt), JWT_OK);
        assert_int_equal(jwt.key, i);
        assert_int_equal(jwt.expires_s, 1300819380);
        assert_true(span_eq(jwt.issuer, SPAN("joe")) && jwt.subject.n == 0);
        assert_int_equal(check(tokens[i], &anything, 1300819439), JWT_OK);
        assert_int_equal(check(tokens[i], &anything, 1300819440), JWT_EXPIRED);
    }
}

static void test_check__every_algorithm_by_its_key_of_a_set(void **state)
{
    (void)state;
    static uint8_t tokens[4096];
    static const struct {
        const char *name;
        uint32_t key;
    } each[] = {{"RS256", 0}, {"RS384", 0}, {"RS512", 0}, {"ES256", 1}, {"ES384", 2}};
    const struct jwt_wants wants = {.issuer = SPAN("https://issuer.example"),
                                    .audience = {SPAN("nobody"), SPAN("ringway")},
                                    .audiences = 2};
    assert_int_equal(jwt_keys_parse(read_file("keys.json"), &keys), RW_OK);
    assert_int_equal(keys.n, 3);
    assert_int_equal(keys.skipped, 3); // a secret, Ed25519, one for encryption
    const struct span file = read_file("tokens.json");
    memcpy(tokens, file.p, file.n);
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        struct jwt jwt;
        const struct span token = text_at(span_of(tokens, file.n), each[i].name);
        assert_int_equal(jwt_check(&keys, &wants, token, NOW_S, room, &jwt), JWT_OK);
        assert_int_equal(jwt.key, each[i].key);
        assert_true(span_eq(jwt.subject, SPAN("user-1")));
        assert_true(span_eq(text_at(jwt.claims, "team"), SPAN("blue")));
    }
}

static void test_check__googles_assertion_and_every_bit_of_its_signature(void **state)
{
    (void)state;
    static uint8_t file[8192], pem[1024], token[2048];
    struct crypto_public key;
    struct span value, text;
    const struct span read = read_file("google_rs256.json");
    memcpy(file, read.p, read.n);
    const struct span json = span_of(file, read.n), assertion = text_at(json, "assertion");
    assert_true(json_path(json, "public_key", &value));
    assert_int_equal(json_string(value, JSON_LONE_REFUSE, pem, sizeof pem, &text), RW_OK);
    assert_null(crypto_public_pem(&key, text));
    keys.n = 0;
    assert_int_equal(jwt_keys_add_public(&keys, &key, SPAN("0123456789abcdef0123456789abcdef01234567")),
                     RW_OK);
    assert_int_equal(check(assertion, &anything, NOW_S), JWT_OK);
    assert_int_equal(check(assertion, &anything, NOW_S + 10000), JWT_EXPIRED);
    keys.key[0].kid[0] = 'x';
    assert_int_equal(check(assertion, &anything, NOW_S), JWT_UNKNOWN_KEY);
    keys.key[0].kid[0] = '0';
    for (uint32_t at = 0; at < assertion.n; at++) {
        memcpy(token, assertion.p, assertion.n);
        token[at] ^= 1;
        assert_int_not_equal(check(span_of(token, assertion.n), &anything, NOW_S), JWT_OK);
    }
}

// --- Tokens of our own, by a secret.

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void use_secret(void)
{
    keys.n = 0;
    assert_int_equal(jwt_keys_add_secret(&keys, span_of(secret, 32)), RW_OK);
}

// Signed whatever it says.
static struct span make(const char *header, const char *claims)
{
    static char token[4096];
    struct crypto_hmac_key key;
    uint8_t mac[32];
    int64_t n = crypto_base64url_encode(header, strlen(header), token, sizeof token);
    assert_true(n >= 0);
    token[n++] = '.';
    const int64_t more = crypto_base64url_encode(claims, strlen(claims), token + n, sizeof token - (size_t)n);
    assert_true(more >= 0);
    n += more;
    crypto_hmac_key_init(&key, secret, 32);
    crypto_hmac(&key, token, (size_t)n, mac);
    token[n++] = '.';
    const int64_t last = crypto_base64url_encode(mac, 32, token + n, sizeof token - (size_t)n);
    assert_true(last > 0);
    return span_of(token, (size_t)(n + last));
}

#define HS "{\"alg\":\"HS256\"}"
#define EXP "\"exp\":1795259472"

static void test_check__reasons(void **state)
{
    (void)state;
    static const struct {
        const char *header, *claims, *why;
    } cases[] = {
        {HS, "{" EXP "}", "ok"},
        {"{\"alg\":\"HS256\",\"kid\":\"any\",\"typ\":\"JWT\"}", "{" EXP "}", "ok"},
        {"{\"\\u0061lg\":\"HS\\u003256\"}", "{" EXP "}", "ok"},
        {HS, "{\"exp\":1795259472.75}", "ok"},
        {HS, "{\"exp\":1.795259472e9,\"nbf\":1795256060}", "ok"},
        {"{\"alg\":\"none\"}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"None\"}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"\"}", "{" EXP "}", "algorithm"},
        {"{}", "{" EXP "}", "algorithm"},
        {"{\"alg\":5}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"hs256\"}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"HS512\"}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"PS256\"}", "{" EXP "}", "algorithm"},
        {"{\"alg\":\"RS256\"}", "{" EXP "}", "unknown_key"},
        {"{\"alg\":\"ES256\"}", "{" EXP "}", "unknown_key"},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "{" EXP "}", "critical"},
        {"{\"alg\":\"HS256\",\"crit\":null}", "{" EXP "}", "critical"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "{" EXP "}", "malformed"},
        {"{\"alg\":\"HS256\",\"kid\":1}", "{" EXP "}", "malformed"},
        {"[\"HS256\"]", "{" EXP "}", "malformed"},
        {"{\"alg\":\"HS256\"", "{" EXP "}", "malformed"},
        {HS, "[]", "malformed"},
        {HS, "{" EXP ",}", "malformed"},
        {HS, "{" EXP "," EXP "}", "malformed"},
        {HS, "{" EXP ",\"iss\":1}", "malformed"},
        {HS, "{" EXP ",\"sub\":{}}", "malformed"},
        {HS, "{\"exp\":\"1795259472\"}", "malformed"},
        {HS, "{\"exp\":1e300}", "malformed"},
        {HS, "{" EXP ",\"nbf\":true}", "malformed"},
        {HS, "{}", "no_expiry"},
        {HS, "{\"exp\":1795255940}", "expired"},
        {HS, "{\"exp\":1795255941}", "ok"},
        {HS, "{\"exp\":-1}", "expired"},
        {HS, "{" EXP ",\"nbf\":1795256061}", "not_yet"},
    };
    use_secret();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = name_of(make(cases[i].header, cases[i].claims), &anything);
        if (strcmp(got, cases[i].why) != 0) fail_msg("%s %s: %s", cases[i].header, cases[i].claims, got);
    }
}

static void test_check__issuer_and_audience(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *why;
    } cases[] = {
        {"{" EXP ",\"iss\":\"me\",\"aud\":\"us\"}", "ok"},
        {"{" EXP ",\"iss\":\"m\\u0065\",\"aud\":[\"you\",\"\\u0075s\"]}", "ok"},
        {"{" EXP ",\"aud\":\"us\"}", "issuer"},
        {"{" EXP ",\"iss\":\"me2\",\"aud\":\"us\"}", "issuer"},
        {"{" EXP ",\"iss\":\"me\"}", "audience"},
        {"{" EXP ",\"iss\":\"me\",\"aud\":\"u\"}", "audience"},
        {"{" EXP ",\"iss\":\"me\",\"aud\":[]}", "audience"},
        {"{" EXP ",\"iss\":\"me\",\"aud\":[\"you\"]}", "audience"},
        {"{" EXP ",\"iss\":\"me\",\"aud\":[1,\"us\"]}", "malformed"},
        {"{" EXP ",\"iss\":\"me\",\"aud\":{\"us\":1}}", "malformed"},
    };
    const struct jwt_wants wants = {.issuer = SPAN("me"), .audience = {SPAN("us")}, .audiences = 1};
    use_secret();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = name_of(make(HS, cases[i].claims), &wants);
        if (strcmp(got, cases[i].why) != 0) fail_msg("%s: %s", cases[i].claims, got);
    }
}

static void test_check__form(void **state)
{
    (void)state;
    static char text[JWT_BYTES_MAX + 2];
    use_secret();
    static const char *const bad[] = {"",     ".",     "..",         "...",     "a",       "a.b",
                                      "a.b.", "a.b.c", "e30.e30.AA", "e30..AA", ".e30.AA", "e30.e30.A A"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const enum jwt_why why = check(span_str(bad[i]), &anything, NOW_S);
        assert_int_equal(why, strcmp(bad[i], "e30.e30.AA") == 0 ? JWT_ALGORITHM : JWT_MALFORMED);
    }
    const struct span good = make(HS, "{" EXP "}");
    memcpy(text, good.p, good.n);
    assert_int_equal(check(span_of(text, good.n), &anything, NOW_S), JWT_OK);
    for (uint32_t n = 0; n < good.n; n++)
        assert_int_not_equal(check(span_of(text, n), &anything, NOW_S), JWT_OK);
    text[good.n] = '.';
    assert_int_equal(check(span_of(text, good.n + 1), &anything, NOW_S), JWT_MALFORMED);
    text[good.n] = '=';
    assert_int_equal(check(span_of(text, good.n + 1), &anything, NOW_S), JWT_MALFORMED);
    memset(text, 'A', sizeof text);
    assert_int_equal(check(span_of(text, JWT_BYTES_MAX + 1), &anything, NOW_S), JWT_TOO_LARGE);
    assert_int_equal(check(span_of(text, JWT_BYTES_MAX), &anything, NOW_S), JWT_MALFORMED);
}

static void test_check__a_public_key_is_no_secret(void **state)
{
    // The old trick: HS256 with the text of the public key, which everybody knows, as the secret.
    (void)state;
    struct crypto_public key;
    const struct span pem = read_file("rsa.pub");
    assert_null(crypto_public_pem(&key, pem));
    keys.n = 0;
    assert_int_equal(jwt_keys_add_public(&keys, &key, SPAN("")), RW_OK);
    assert_int_equal(check(make(HS, "{" EXP "}"), &anything, NOW_S), JWT_UNKNOWN_KEY);
}

static void test_check__which_key_is_meant(void **state)
{
    (void)state;
    static const char other[] = "fedcba9876543210fedcba9876543210";
    use_secret();
    const struct span named = make("{\"alg\":\"HS256\",\"kid\":\"k\"}", "{" EXP "}");
    assert_int_equal(check(named, &anything, NOW_S), JWT_OK);
    assert_int_equal(jwt_keys_add_secret(&keys, span_of(other, 32)), RW_OK);
    assert_int_equal(check(make(HS, "{" EXP "}"), &anything, NOW_S), JWT_UNKNOWN_KEY); // one of two: which?
    keys.key[0].kid_n = keys.key[1].kid_n = 1;
    keys.key[0].kid[0] = 'k', keys.key[1].kid[0] = 'l';
    assert_int_equal(check(make("{\"alg\":\"HS256\",\"kid\":\"k\"}", "{" EXP "}"), &anything, NOW_S), JWT_OK);
    assert_int_equal(check(make("{\"alg\":\"HS256\",\"kid\":\"l\"}", "{" EXP "}"), &anything, NOW_S),
                     JWT_SIGNATURE);
    assert_int_equal(check(make("{\"alg\":\"HS256\",\"kid\":\"m\"}", "{" EXP "}"), &anything, NOW_S),
                     JWT_UNKNOWN_KEY);
    keys.key[1].kid_n = 0; // a name decides before the lack of one, wherever it stands
    assert_int_equal(check(make("{\"alg\":\"HS256\",\"kid\":\"k\"}", "{" EXP "}"), &anything, NOW_S), JWT_OK);
}

// --- Key sets.

static void test_keys_parse__sets_and_what_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int n, skipped; // n < 0: refused
    } cases[] = {
        {"{\"keys\":[]}", 0, 0},
        {"{\"keys\":[1,[],{},null,{\"kty\":\"EC\"},{\"kty\":1}]}", 0, 6},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", 0, 1},
        {"{\"keys\":{}}", -1, 0},
        {"{\"keys\":[],\"keys\":[]}", -1, 0},
        {"{}", -1, 0},
        {"[]", -1, 0},
        {"{\"keys\":[]", -1, 0},
        {"", -1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jwt_keys got = {.n = 77};
        const enum rw_err err = jwt_keys_parse(span_str(cases[i].json), &got);
        assert_int_equal(err, cases[i].n < 0 ? RW_E_BAD : RW_OK);
        assert_int_equal(got.n, cases[i].n < 0 ? 77 : cases[i].n);
        if (cases[i].n >= 0) assert_int_equal(got.skipped, cases[i].skipped);
    }
}

static uint32_t keys_of(const char *more)
{
    static char json[65536];
    int n = snprintf(json, sizeof json,
                     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
                     "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"%s}]}",
                     more);
    assert_int_equal(jwt_keys_parse(span_of(json, (size_t)n), &keys), RW_OK);
    return keys.n;
}

static void test_keys_parse__members_of_a_key(void **state)
{
    (void)state;
    char long_kid[200] = ",\"kid\":\"";
    assert_int_equal(keys_of(""), 1);
    assert_int_equal(keys_of(",\"use\":\"sig\",\"alg\":\"ES256\",\"x5c\":[\"x\"]"), 1);
    assert_int_equal(keys.key[0].algorithm, CRYPTO_ES256);
    assert_int_equal(keys_of(",\"use\":\"enc\""), 0);
    assert_int_equal(keys_of(",\"alg\":\"ES384\""), 0);
    assert_int_equal(keys_of(",\"alg\":\"RS256\""), 0);
    assert_int_equal(keys_of(",\"alg\":\"ECDH-ES\""), 0);
    assert_int_equal(keys_of(",\"crv\":\"P-256\""), 0); // twice
    memset(long_kid + 8, 'k', JWT_KID_BYTES_MAX);
    memcpy(long_kid + 8 + JWT_KID_BYTES_MAX, "\"", 2);
    assert_int_equal(keys_of(long_kid), 1);
    memcpy(long_kid + 8 + JWT_KID_BYTES_MAX, "k\"", 3);
    assert_int_equal(keys_of(long_kid), 0);
}

static void test_keys_parse__no_more_than_there_is_room_for(void **state)
{
    (void)state;
    static char json[16384] = "{\"keys\":[";
    for (uint32_t i = 0; i < JWT_KEYS_MAX + 3; i++)
        snprintf(json + strlen(json), 256,
                 "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%u\",\"x\":"
                 "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
                 i ? "," : "", i);
    snprintf(json + strlen(json), 3, "]}");
    struct crypto_public key;
    assert_int_equal(jwt_keys_parse(span_str(json), &keys), RW_OK);
    assert_int_equal(keys.n, JWT_KEYS_MAX);
    assert_int_equal(keys.skipped, 3);
    assert_int_equal(jwt_keys_add_secret(&keys, span_of(secret, 32)), RW_E_TOO_LARGE);
    key = keys.key[0].public;
    assert_int_equal(jwt_keys_add_public(&keys, &key, SPAN("")), RW_E_TOO_LARGE);
    keys.n = 0;
    assert_int_equal(jwt_keys_add_secret(&keys, span_of(secret, 31)), RW_E_BAD);
}

// --- Making.

static void test_make__googles_texts_and_a_signature_that_is_right(void **state)
{
    (void)state;
    static uint8_t file[8192], claims_room[1024];
    static char token[2048];
    struct span value, claims;
    const char *why = "";
    const struct span read = read_file("google_rs256.json");
    memcpy(file, read.p, read.n);
    const struct span json = span_of(file, read.n), input = text_at(json, "signing_input");
    const struct span kid = text_at(json, "header.kid");
    assert_true(json_path(json, "claims_json", &value));
    assert_int_equal(json_string(value, JSON_LONE_REFUSE, claims_room, sizeof claims_room, &claims), RW_OK);
    struct crypto_private *key = crypto_private_make(read_file("rsa.key"), SPAN(""), &why);
    assert_non_null(key);
    const int64_t n = jwt_make(key, kid, claims, token, sizeof token);
    assert_int_equal(n, (int64_t)input.n + 1 + 342);
    assert_memory_equal(token, input.p, input.n);
    for (uint32_t cap = 0; cap < n; cap += 9)
        assert_int_equal(jwt_make(key, kid, claims, token, cap), RW_E_TOO_LARGE);
    assert_int_equal(jwt_make(key, kid, claims, token, sizeof token), n);
    crypto_private_free(key);

    struct crypto_public pub;
    assert_null(crypto_public_pem(&pub, read_file("rsa.pub")));
    keys.n = 0;
    assert_int_equal(jwt_keys_add_public(&keys, &pub, kid), RW_OK);
    assert_int_equal(check(span_of(token, (size_t)n), &anything, NOW_S), JWT_OK);
}

static void test_make__es256_and_what_is_refused(void **state)
{
    (void)state;
    char token[1024];
    const char *why = "";
    struct crypto_private *key = crypto_private_make(read_file("p256.key"), SPAN(""), &why);
    assert_non_null(key);
    const int64_t n = jwt_make(key, SPAN(""), SPAN("{" EXP "}"), token, sizeof token);
    assert_true(n > 0);
    struct crypto_public pub;
    assert_null(crypto_public_pem(&pub, read_file("p256.pub")));
    keys.n = 0;
    assert_int_equal(jwt_keys_add_public(&keys, &pub, SPAN("")), RW_OK);
    assert_int_equal(check(span_of(token, (size_t)n), &anything, NOW_S), JWT_OK);
    static char kid[JWT_KID_BYTES_MAX + 1];
    memset(kid, 'k', sizeof kid);
    assert_int_equal(jwt_make(key, span_of(kid, sizeof kid), SPAN("{}"), token, sizeof token),
                     RW_E_TOO_LARGE);
    assert_int_equal(jwt_make(key, SPAN("a\"b"), SPAN("{}"), token, sizeof token), RW_E_BAD);
    assert_int_equal(jwt_make(key, SPAN("a\\b"), SPAN("{}"), token, sizeof token), RW_E_BAD);
    assert_int_equal(jwt_make(key, SPAN("a\nb"), SPAN("{}"), token, sizeof token), RW_E_BAD);
    crypto_private_free(key);
    key = crypto_private_make(read_file("p384.key"), SPAN(""), &why);
    assert_non_null(key);
    assert_int_equal(jwt_make(key, SPAN(""), SPAN("{}"), token, sizeof token), RW_E_BAD);
    crypto_private_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check__rfc_7515_examples),
        cmocka_unit_test(test_check__every_algorithm_by_its_key_of_a_set),
        cmocka_unit_test(test_check__googles_assertion_and_every_bit_of_its_signature),
        cmocka_unit_test(test_check__reasons),
        cmocka_unit_test(test_check__issuer_and_audience),
        cmocka_unit_test(test_check__form),
        cmocka_unit_test(test_check__a_public_key_is_no_secret),
        cmocka_unit_test(test_check__which_key_is_meant),
        cmocka_unit_test(test_keys_parse__sets_and_what_is_none),
        cmocka_unit_test(test_keys_parse__members_of_a_key),
        cmocka_unit_test(test_keys_parse__no_more_than_there_is_room_for),
        cmocka_unit_test(test_make__googles_texts_and_a_signature_that_is_right),
        cmocka_unit_test(test_make__es256_and_what_is_refused),
    };
    return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
