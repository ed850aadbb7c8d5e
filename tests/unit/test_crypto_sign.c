// crypto_sign: keys and signatures made by OpenSSL (tests/data/jwt: a key of each kind in each form) are read and right; what we
// sign, we and the public key verify; one bit changed anywhere is noticed; keys that must not be accepted are refused, the key
// that overflows BearSSL 0.6's decoder among them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/guard.h"
#include "tls/crypto.h"
#include "tls/crypto_sign.h"
#include "tls/tls_priv.h"

static const char text[] = "what is signed";

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

static struct crypto_private *private_of(const char *name)
{
    const char *why = "";
    struct crypto_private *key = crypto_private_make(read_file(name), SPAN(""), &why);
    assert_string_equal(why, "");
    assert_non_null(key);
    return key;
}

static struct crypto_public public_of(const char *name)
{
    struct crypto_public key;
    assert_null(crypto_public_pem(&key, read_file(name)));
    return key;
}

// --- Signatures.

static const struct {
    enum crypto_signature s;
    const char *key, *pub;
    int64_t n;
} pairs[] = {
    {CRYPTO_RS256, "rsa.key", "rsa.pub", 256},       {CRYPTO_RS384, "rsa_pkcs1.key", "rsa_pkcs1.pub", 256},
    {CRYPTO_RS512, "rsa.key", "rsa.pub", 256},       {CRYPTO_ES256, "p256.key", "p256.pub", 64},
    {CRYPTO_ES256, "p256_sec1.key", "p256.pub", 64}, {CRYPTO_ES384, "p384.key", "p384.pub", 96},
};

static void test_sign__verifies_with_the_public_key_and_with_nothing_else(void **state)
{
    (void)state;
    uint8_t sig[CRYPTO_SIGNATURE_BYTES_MAX];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct crypto_private *key = private_of(pairs[i].key);
        const struct crypto_public pub = public_of(pairs[i].pub);
        assert_int_equal(crypto_private_kind(key), crypto_signature_kind(pairs[i].s));
        assert_int_equal(pub.kind, crypto_signature_kind(pairs[i].s));
        assert_int_equal(crypto_sign(key, pairs[i].s, text, sizeof text, sig, (size_t)pairs[i].n - 1),
                         RW_E_TOO_LARGE);
        const int64_t n = crypto_sign(key, pairs[i].s, text, sizeof text, sig, sizeof sig);
        assert_int_equal(n, pairs[i].n);
        for (int s = 0; s < CRYPTO_SIGNATURE_COUNT; s++) {
            const enum crypto_signature other = (enum crypto_signature)s;
            assert_int_equal(crypto_verify(&pub, other, text, sizeof text, span_of(sig, (size_t)n)),
                             other == pairs[i].s);
            if (crypto_signature_kind(other) != pub.kind)
                assert_int_equal(crypto_sign(key, other, text, sizeof text, sig, sizeof sig), RW_E_BAD);
        }
        assert_false(crypto_verify(&pub, pairs[i].s, text, sizeof text - 1, span_of(sig, (size_t)n)));
        assert_false(crypto_verify(&pub, pairs[i].s, text, sizeof text, span_of(sig, (size_t)n - 1)));
        assert_false(crypto_verify(&pub, pairs[i].s, text, sizeof text, span_of(sig, 0)));
        for (int64_t at = 0; at < n; at += 7) {
            sig[at] ^= (uint8_t)(1 << at % 8);
            assert_false(crypto_verify(&pub, pairs[i].s, text, sizeof text, span_of(sig, (size_t)n)));
            sig[at] ^= (uint8_t)(1 << at % 8);
        }
        assert_true(crypto_verify(&pub, pairs[i].s, text, sizeof text, span_of(sig, (size_t)n)));
        crypto_private_free(key);
    }
}

static void test_verify__a_longer_signature_of_the_same_numbers_is_none(void **state)
{
    // r and s with a zero before each: BearSSL takes them, JOSE does not.
    (void)state;
    uint8_t sig[64], padded[66] = {0};
    struct crypto_private *key = private_of("p256.key");
    const struct crypto_public pub = public_of("p256.pub");
    assert_int_equal(crypto_sign(key, CRYPTO_ES256, text, sizeof text, sig, sizeof sig), 64);
    memcpy(padded + 1, sig, 32);
    memcpy(padded + 34, sig + 32, 32);
    assert_true(crypto_verify(&pub, CRYPTO_ES256, text, sizeof text, span_of(sig, sizeof sig)));
    assert_false(crypto_verify(&pub, CRYPTO_ES256, text, sizeof text, span_of(padded, sizeof padded)));
    memset(sig, 0, sizeof sig); // r = s = 0 is right for every text where nobody checks
    assert_false(crypto_verify(&pub, CRYPTO_ES256, text, sizeof text, span_of(sig, sizeof sig)));
    crypto_private_free(key);
}

// --- Public keys.

static void test_public_rsa__sizes_and_exponents(void **state)
{
    (void)state;
    uint8_t n[520];
    struct crypto_public key;
    const struct span f4 = span_of("\1\0\1", 3);
    memset(n, 0xff, sizeof n);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), f4), RW_OK);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 512), f4), RW_OK);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 255), f4), RW_E_BAD);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 513), f4), RW_E_BAD);
    n[0] = 0; // a leading zero counts for nothing
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 513), f4), RW_OK);
    assert_int_equal(key.n, 512);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), f4), RW_E_BAD);
    n[0] = 0x7f; // 2047 bits
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), f4), RW_E_BAD);
    n[0] = 0xff;
    n[255] = 0xfe;
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), f4), RW_E_BAD);
    n[255] = 0xff;
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), SPAN("")), RW_E_BAD);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of("\0\0", 2)), RW_E_BAD);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of("\1", 1)), RW_E_BAD);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of("\4", 1)), RW_E_BAD);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of("\0\3", 2)), RW_OK);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of(n, 8)), RW_OK);
    assert_int_equal(crypto_public_rsa(&key, span_of(n, 256), span_of(n, 9)), RW_E_BAD);
}

static void test_public_ec__a_point_off_the_curve_is_refused(void **state)
{
    (void)state;
    struct crypto_public key, again;
    static const struct {
        const char *name;
        enum crypto_key_kind kind;
        uint32_t n;
    } curves[] = {{"p256.pub", CRYPTO_KEY_P256, 32}, {"p384.pub", CRYPTO_KEY_P384, 48}};
    for (size_t i = 0; i < 2; i++) {
        key = public_of(curves[i].name);
        const uint32_t n = curves[i].n;
        const struct span x = span_of(key.bytes + 1, n), y = span_of(key.bytes + 1 + n, n);
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, x, y), RW_OK);
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, y, x), RW_E_BAD);
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, span_from(x, 1), y), RW_E_BAD);
        key.bytes[2 * n] ^= 1;
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, x, y), RW_E_BAD);
        memset(key.bytes + 1, 0, 2 * n);
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, x, y), RW_E_BAD);
        memset(key.bytes + 1, 0xff, 2 * n);
        assert_int_equal(crypto_public_ec(&again, curves[i].kind, x, y), RW_E_BAD);
    }
}

static void test_public_pem__certificates_and_what_is_refused(void **state)
{
    (void)state;
    struct crypto_public key;
    uint8_t pem[4096];
    FILE *f = fopen("tests/data/tls/rsa.pem", "rb");
    assert_non_null(f);
    const size_t n = fread(pem, 1, sizeof pem, f);
    fclose(f);
    assert_null(crypto_public_pem(&key, span_of(pem, n)));
    assert_int_equal(key.kind, CRYPTO_KEY_RSA);
    assert_string_equal(crypto_public_pem(&key, SPAN("nothing")), "there is no public key");
    assert_string_equal(crypto_public_pem(&key, read_file("rsa.key")), "there is no public key");
    assert_string_equal(crypto_public_pem(&key, span_of(pem, n / 2)), "it is not PEM text, or damaged");
    assert_non_null(strstr(crypto_public_pem(&key, read_file("rsa1024.pub")), "2048"));
}

static uint8_t der_bytes[4096];
static uint32_t der_n;

static bool keep(void *ctx, const char *name, struct span der)
{
    (void)ctx;
    (void)name;
    memcpy(der_bytes, der.p, der.n);
    der_n = der.n;
    return false;
}

static void test_public_der__cut_anywhere_or_with_a_tail(void **state)
{
    (void)state;
    static const char *const names[] = {"rsa.pub", "p256.pub", "p384.pub"};
    struct crypto_public key;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tls_pem_each(read_file(names[i]), keep, NULL), RW_OK);
        for (uint32_t n = 0; n < der_n; n++)
            assert_int_equal(crypto_public_der(&key, span_of(der_bytes, n)), RW_E_BAD);
        assert_int_equal(crypto_public_der(&key, span_of(der_bytes, der_n)), RW_OK);
        der_bytes[der_n] = 0;
        assert_int_equal(crypto_public_der(&key, span_of(der_bytes, der_n + 1)), RW_E_BAD);
    }
}

// --- Private keys.

static const char *why_not(struct span pem)
{
    const char *why = "";
    assert_null(crypto_private_make(pem, SPAN(""), &why));
    return why;
}

static void test_private_make__what_is_refused(void **state)
{
    (void)state;
    assert_string_equal(why_not(read_file("rsa1024.key")), "its RSA key must have 2048 to 4096 bits");
    assert_string_equal(why_not(read_file("p521.key")), "its EC key must be on P-256 or P-384");
    assert_string_equal(why_not(read_file("rsa.pub")), "there is no private key");
    assert_string_equal(why_not(SPAN("")), "there is no private key");
    const struct span whole = read_file("rsa.key");
    assert_string_equal(why_not(span_of(whole.p, whole.n - 40)), "its key is not PEM text, or damaged");
}

static void test_private_make__encrypted(void **state)
{
    // Written by OpenSSL: every cipher and hash that is known here.
    (void)state;
    static const char *const good[] = {"p256_aes-128-cbc.key", "p256_aes-192-cbc.key", "p256_aes-256-cbc.key",
                                       "rsa_sha1.key",         "p384_sha384.key",      "p384_sha512.key"};
    static const char *const pubs[] = {"p256.pub", "p256.pub", "p256.pub", "rsa.pub", "p384.pub", "p384.pub"};
    static const enum crypto_signature kinds[] = {CRYPTO_ES256, CRYPTO_ES256, CRYPTO_ES256,
                                                  CRYPTO_RS256, CRYPTO_ES384, CRYPTO_ES384};
    const char *why = "";
    for (size_t i = 0; i < 6; i++) {
        uint8_t sig[CRYPTO_SIGNATURE_BYTES_MAX];
        struct crypto_private *key = crypto_private_make(read_file(good[i]), SPAN("secret"), &why);
        assert_non_null(key);
        const int64_t n = crypto_sign(key, kinds[i], text, sizeof text, sig, sizeof sig);
        assert_true(n > 0);
        const struct crypto_public pub = public_of(pubs[i]);
        assert_true(crypto_verify(&pub, kinds[i], text, sizeof text, span_of(sig, (size_t)n)));
        crypto_private_free(key);
        assert_null(crypto_private_make(read_file(good[i]), SPAN("Secret"), &why));
        assert_string_equal(why, "the passphrase is not the one of its key");
        assert_null(crypto_private_make(read_file(good[i]), SPAN(""), &why));
        assert_non_null(strstr(why, "passphrase_file"));
    }
    static const char *const bad[] = {"p256_des3.key", "p256_old.key"};
    for (size_t i = 0; i < 2; i++) {
        assert_null(crypto_private_make(read_file(bad[i]), SPAN("secret"), &why));
        assert_non_null(strstr(why, "openssl pkcs8"));
    }
}

static void test_pbes_open__any_byte_changed_and_cut_anywhere(void **state)
{
    // Nothing is read or written where it must not be; what comes out is the key or nothing that could be one.
    (void)state;
    uint8_t out[1024], copy[1024];
    uint32_t n = 0;
    assert_int_equal(tls_pem_each(read_file("p384_sha512.key"), keep, NULL), RW_OK);
    for (uint32_t at = 0; at < der_n; at++) {
        assert_non_null(tls_pbes_open(span_of(der_bytes, at), SPAN("secret"), out, sizeof out, &n));
        memcpy(copy, der_bytes, der_n);
        copy[at] ^= 0x55;
        n = 0;
        if (!tls_pbes_open(span_of(copy, der_n), SPAN("secret"), out, sizeof out, &n))
            assert_true(n > 0 && n < der_n);
    }
    assert_non_null(tls_pbes_open(span_of(der_bytes, der_n), SPAN("secret"), out, 16, &n));
    assert_null(tls_pbes_open(span_of(der_bytes, der_n), SPAN("secret"), out, sizeof out, &n));
}

static uint32_t put_head(uint8_t *at, uint8_t tag, uint32_t n)
{
    at[0] = tag;
    at[1] = 0x82;
    at[2] = (uint8_t)(n >> 8);
    at[3] = (uint8_t)n;
    return 4;
}

// An RSA key in PKCS#1 whose five secret numbers have `part` bytes each, the last of them `last`.
static struct span crafted(uint8_t *out, uint32_t bits, uint32_t part, uint32_t last)
{
    static const uint8_t zero[] = {0x02, 0x01, 0x00};
    uint32_t n = 4;
    memcpy(out + n, zero, sizeof zero); // version
    n += sizeof zero;
    const uint32_t sizes[] = {bits / 8 + 1, 3, bits / 8, part, part, part, part, last};
    for (uint32_t i = 0; i < 8; i++) {
        n += put_head(out + n, 0x02, sizes[i]);
        memset(out + n, i == 0 ? 0xff : 0x7f, sizes[i]);
        if (i == 0) out[n] = 0; // all of the modulus's bits count
        n += sizes[i];
    }
    put_head(out, 0x30, n - 4);
    return span_of(out, n);
}

static void test_skey_read_der__numbers_longer_than_the_decoders_field(void **state)
{
    // BearSSL 0.6 checks the five numbers against 1560 bytes and has 1536. The decoder is flush against a forbidden page here.
    (void)state;
    static uint8_t der[8192];
    struct tls_skey key;
    struct guard guard = guard_open(sizeof(struct tls_skey_decoder));
    struct tls_skey_decoder *d = (struct tls_skey_decoder *)(void *)(guard.room + guard.cap - sizeof *d);
    for (uint32_t part = 250; part < 700; part++) {
        for (uint32_t last = part; last <= part + (part == 312 ? 60 : 0); last++) {
            const struct span crafty = crafted(der, 4096, part, last);
            br_skey_decoder_init(&d->d);
            br_skey_decoder_push(&d->d, crafty.p, crafty.n);
            key.type = 0;
            if (tls_skey_read_der(crafty, &key)) assert_int_equal(key.type, 0);
        }
    }
    guard_close(&guard);
    assert_string_equal(tls_skey_read_der(span_of(der, sizeof der), &key),
                        "its private key is damaged, or neither RSA nor EC");
    static uint8_t large[9000];
    assert_string_equal(tls_skey_read_der(span_of(large, sizeof large), &key),
                        "its private key is larger than any that is accepted");
}

static void test_skey_read_der__an_even_factor_is_refused(void **state)
{
    (void)state;
    static uint8_t der[8192];
    struct tls_skey key = {0};
    const struct span d = crafted(der, 2048, 128, 128);
    const uint32_t p_end = 4 + 3 + (4 + 257) + (4 + 3) + (4 + 256) + (4 + 128);
    assert_null(tls_skey_read_der(d, &key));
    der[p_end - 1] ^= 1;
    assert_string_equal(tls_skey_read_der(d, &key), "its RSA key is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign__verifies_with_the_public_key_and_with_nothing_else),
        cmocka_unit_test(test_verify__a_longer_signature_of_the_same_numbers_is_none),
        cmocka_unit_test(test_public_rsa__sizes_and_exponents),
        cmocka_unit_test(test_public_ec__a_point_off_the_curve_is_refused),
        cmocka_unit_test(test_public_pem__certificates_and_what_is_refused),
        cmocka_unit_test(test_public_der__cut_anywhere_or_with_a_tail),
        cmocka_unit_test(test_private_make__what_is_refused),
        cmocka_unit_test(test_private_make__encrypted),
        cmocka_unit_test(test_pbes_open__any_byte_changed_and_cut_anywhere),
        cmocka_unit_test(test_skey_read_der__numbers_longer_than_the_decoders_field),
        cmocka_unit_test(test_skey_read_der__an_even_factor_is_refused),
    };
    return cmocka_run_group_tests_name("crypto_sign", tests, NULL, NULL);
}
