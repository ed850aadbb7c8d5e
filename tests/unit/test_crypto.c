// crypto: published vectors (FIPS 180-4 examples, RFC 4231, RFC 4648) on every way to hash that this machine
// has, then all ways against each other on random lengths, alignments and cuts; the rest by exhaustion of
// small cases. The output of a run names the ways, so that a log shows what was covered.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>

#include "tls/crypto.h"
#include "tls/crypto_priv.h"

// The next way that runs on this machine; from NULL the first.
static const struct crypto_sha256_way *next_way(const struct crypto_sha256_way *after)
{
    bool found = after == NULL;
    for (uint32_t i = 0; crypto_sha256_way(i); i++) {
        if (found && crypto_sha256_way(i)->usable()) return crypto_sha256_way(i);
        if (crypto_sha256_way(i) == after) found = true;
    }
    return NULL;
}

#define EACH_WAY(way) for (const struct crypto_sha256_way *way = next_way(NULL); way; way = next_way(way))

static const char *hex(const uint8_t *p, size_t n)
{
    static char text[2 * 64 + 1];
    const int64_t chars = crypto_hex_encode(p, n, text, sizeof text - 1);
    assert_true(chars == (int64_t)CRYPTO_HEX_CHARS(n));
    text[chars] = 0;
    return text;
}

// A repeatable stream of bytes; the tests need variety, not quality.
static uint64_t seed;

static uint32_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33);
}

static const struct {
    const char *text;
    const char *digest;
} sha_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrs"
     "t"
     "nopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void test_sha256__published_vectors(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    EACH_WAY(way)
    {
        crypto_sha256_choose(way);
        assert_string_equal(crypto_sha256_name(), way->name);
        printf("SHA-256 by %s\n", way->name);
        for (size_t i = 0; i < sizeof sha_vectors / sizeof sha_vectors[0]; i++) {
            crypto_sha256(sha_vectors[i].text, strlen(sha_vectors[i].text), digest);
            assert_string_equal(hex(digest, sizeof digest), sha_vectors[i].digest);
        }
    }
}

static void test_sha256__a_million_a(void **state)
{
    (void)state;
    uint8_t digest[CRYPTO_SHA256_BYTES], piece[1000];
    memset(piece, 'a', sizeof piece);
    EACH_WAY(way)
    {
        struct crypto_sha256 hash;
        crypto_sha256_choose(way);
        crypto_sha256_init(&hash);
        for (int i = 0; i < 1000; i++) crypto_sha256_update(&hash, piece, sizeof piece);
        crypto_sha256_final(&hash, digest);
        assert_string_equal(hex(digest, sizeof digest),
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

static void test_sha256__length_above_four_gigabits(void **state)
{
    // 2^29 bytes are 2^32 bits: the upper half of the length field. 512 MiB of zeros.
    (void)state;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    const size_t n = (size_t)1 << 20;
    uint8_t *zeros = calloc(1, n);
    assert_non_null(zeros);
    struct crypto_sha256 hash;
    crypto_sha256_choose(next_way(NULL));
    crypto_sha256_init(&hash);
    for (int i = 0; i < 512; i++) crypto_sha256_update(&hash, zeros, n);
    crypto_sha256_final(&hash, digest);
    free(zeros);
    assert_string_equal(hex(digest, sizeof digest),
                        "9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767");
}

static void test_sha256__ways_agree_on_every_length_alignment_and_cut(void **state)
{
    (void)state;
    uint8_t data[320], expected[CRYPTO_SHA256_BYTES], digest[CRYPTO_SHA256_BYTES];
    const struct crypto_sha256_way *portable = crypto_sha256_way(0);
    for (uint32_t i = 0; crypto_sha256_way(i); i++) portable = crypto_sha256_way(i);
    assert_string_equal(portable->name, "portable");
    seed = 1;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)next_random();

    for (size_t n = 0; n <= 300; n++) {
        const size_t offset = next_random() % 17;
        crypto_sha256_choose(portable);
        crypto_sha256(data + offset, n, expected);
        EACH_WAY(way)
        {
            crypto_sha256_choose(way);
            crypto_sha256(data + offset, n, digest);
            assert_memory_equal(digest, expected, sizeof digest);
            for (int round = 0; round < 8; round++) {
                struct crypto_sha256 hash;
                crypto_sha256_init(&hash);
                for (size_t at = 0; at < n;) {
                    const size_t step = next_random() % (round < 4 ? 9 : 140);
                    const size_t take = step < n - at ? step : n - at;
                    crypto_sha256_update(&hash, data + offset + at, take);
                    at += take;
                }
                crypto_sha256_final(&hash, digest);
                assert_memory_equal(digest, expected, sizeof digest);
            }
        }
    }
}

static void test_sha256__copy_goes_two_ways(void **state)
{
    (void)state;
    uint8_t a[CRYPTO_SHA256_BYTES], b[CRYPTO_SHA256_BYTES];
    struct crypto_sha256 one, two;
    crypto_sha256_init(&one);
    crypto_sha256_update(&one, "ab", 2);
    two = one;
    crypto_sha256_update(&one, "c", 1);
    crypto_sha256_update(&two, "d", 1);
    crypto_sha256_final(&one, a);
    crypto_sha256_final(&two, b);
    assert_string_equal(hex(a, sizeof a), sha_vectors[1].digest);
    crypto_sha256("abd", 3, a);
    assert_memory_equal(a, b, sizeof a);
}

// RFC 4231, section 4. A key or message that is one byte repeated has its count; a count of 0 is a string.
static const struct {
    const char *key;
    size_t key_count;
    const char *data;
    size_t data_count;
    const char *mac;
} hmac_vectors[] = {
    {"\x0b", 20, "Hi There", 0, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"Jefe", 0, "what do ya want for nothing?", 0,
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"\xaa", 20, "\xdd", 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19",
     0, "\xcd", 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"\x0c", 20, "Test With Truncation", 0,
     "a3b6167473100ee06e0c796c2955552bfa6f7c0a6a8aef8b93f860aab0cd20c5"}, // the RFC shows its first half
    {"\xaa", 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    {"\xaa", 131,
     "This is a test using a larger than block-size key and a larger than block-size data. The key needs to "
     "be "
     "hashed before being used by the HMAC algorithm.",
     0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static size_t spread(const char *text, size_t count, uint8_t out[160])
{
    const size_t n = count ? count : strlen(text);
    assert_true(n <= 160);
    if (count) memset(out, (unsigned char)text[0], n);
    else memcpy(out, text, n);
    return n;
}

static void test_hmac__rfc_4231(void **state)
{
    (void)state;
    uint8_t secret[160], data[160], mac[CRYPTO_SHA256_BYTES];
    EACH_WAY(way)
    {
        crypto_sha256_choose(way);
        for (size_t i = 0; i < sizeof hmac_vectors / sizeof hmac_vectors[0]; i++) {
            struct crypto_hmac_key key;
            const size_t key_n = spread(hmac_vectors[i].key, hmac_vectors[i].key_count, secret);
            const size_t n = spread(hmac_vectors[i].data, hmac_vectors[i].data_count, data);
            crypto_hmac_key_init(&key, secret, key_n);
            crypto_hmac(&key, data, n, mac);
            assert_string_equal(hex(mac, sizeof mac), hmac_vectors[i].mac);

            struct crypto_hmac pieces;
            crypto_hmac_init(&pieces, &key);
            for (size_t at = 0; at < n; at++) crypto_hmac_update(&pieces, data + at, 1);
            crypto_hmac_final(&pieces, mac);
            assert_string_equal(hex(mac, sizeof mac), hmac_vectors[i].mac);
        }
    }
}

static void test_hmac__key_of_one_block_is_not_hashed_and_empty_is_allowed(void **state)
{
    (void)state;
    uint8_t secret[65], mac[CRYPTO_SHA256_BYTES], other[CRYPTO_SHA256_BYTES], digest[CRYPTO_SHA256_BYTES];
    struct crypto_hmac_key key;
    memset(secret, 7, sizeof secret);
    crypto_hmac_key_init(&key, secret, 65); // is replaced by its digest
    crypto_hmac(&key, "x", 1, mac);
    crypto_sha256(secret, 65, digest);
    crypto_hmac_key_init(&key, digest, sizeof digest);
    crypto_hmac(&key, "x", 1, other);
    assert_memory_equal(mac, other, sizeof mac);

    crypto_hmac_key_init(&key, secret, 64);
    crypto_hmac(&key, "x", 1, mac);
    crypto_sha256(secret, 64, digest);
    crypto_hmac_key_init(&key, digest, sizeof digest);
    crypto_hmac(&key, "x", 1, other);
    assert_memory_not_equal(mac, other, sizeof mac);

    crypto_hmac_key_init(&key, NULL, 0);
    crypto_hmac(&key, NULL, 0, mac);
    assert_string_equal(hex(mac, sizeof mac),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static uint32_t blocks_compressed;
static const struct crypto_sha256_way *counted;

static void counting_compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    blocks_compressed += (uint32_t)blocks;
    counted->compress(state, data, blocks);
}

static void test_hmac__a_key_of_46_bytes_costs_two_blocks(void **state)
{
    (void)state;
    uint8_t mac[CRYPTO_SHA256_BYTES];
    struct crypto_hmac_key key;
    char message[56];
    memset(message, 'k', sizeof message);
    crypto_hmac_key_init(&key, "pepper", 6);
    for (uint32_t i = 0; crypto_sha256_way(i); i++) counted = crypto_sha256_way(i);
    const struct crypto_sha256_way counting = {"counting", counted->usable, counting_compress};
    crypto_sha256_choose(&counting);
    blocks_compressed = 0;
    crypto_hmac(&key, message, 46, mac);
    assert_int_equal(blocks_compressed, 2);
    crypto_hmac(&key, message, 55, mac);
    assert_int_equal(blocks_compressed, 4);
    crypto_hmac(&key, message, 56, mac);
    assert_int_equal(blocks_compressed, 7);
    crypto_sha256_choose(counted);
}

static void test_equal__one_bit_anywhere_differs(void **state)
{
    (void)state;
    uint8_t a[40], b[40];
    for (size_t n = 0; n <= sizeof a; n++) {
        memset(a, 0x5a, sizeof a);
        memset(b, 0x5a, sizeof b);
        assert_true(crypto_equal(a, b, n));
        for (size_t bit = 0; bit < n * 8; bit++) {
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(crypto_equal(a, b, n));
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        if (n < sizeof a) b[n] ^= 1; // behind the end: not looked at
        assert_true(crypto_equal(a, b, n));
    }
}

static void test_wipe__all_and_no_more(void **state)
{
    (void)state;
    uint8_t bytes[9];
    memset(bytes, 1, sizeof bytes);
    crypto_wipe(bytes + 1, 7);
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(bytes[i], i == 0 || i == 8);
    crypto_wipe(NULL, 0);
}

static void test_random__fills_every_byte_and_does_not_repeat(void **state)
{
    (void)state;
    enum { N = 1000 }; // above the 256 bytes that the kernel gives uninterrupted
    static uint8_t once[N], seen[N];
    for (int round = 0; round < 8; round++) {
        crypto_random(once, N);
        for (size_t i = 0; i < N; i++) seen[i] |= once[i];
    }
    // A byte that is zero eight times: once in 2^64.
    for (size_t i = 0; i < N; i++) assert_int_not_equal(seen[i], 0);
    uint8_t a[16], b[16];
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    crypto_random(NULL, 0);
}

static void interrupt(int signal)
{
    (void)signal;
}

static void test_random__goes_on_after_a_signal(void **state)
{
    // A signal makes getrandom() return what it has, in steps of a page.
    (void)state;
    const size_t n = (size_t)1 << 23;
    uint8_t *bytes = calloc(1, n);
    assert_non_null(bytes);
    const struct sigaction on_alarm = {.sa_handler = interrupt};
    const struct itimerval each_ms = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};
    const struct itimerval stop = {0};
    assert_int_equal(sigaction(SIGALRM, &on_alarm, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &each_ms, NULL), 0);
    crypto_random(bytes, n);
    assert_int_equal(setitimer(ITIMER_REAL, &stop, NULL), 0);
    uint8_t any = 0;
    for (size_t i = n - 32; i < n; i++) any |= bytes[i];
    free(bytes);
    assert_int_not_equal(any, 0);
}

static void test_hex_encode__fits_or_leaves_out_alone(void **state)
{
    (void)state;
    char out[5] = "----";
    assert_int_equal(crypto_hex_encode("\x00\xaf", 2, out, 4), 4);
    assert_string_equal(out, "00af");
    assert_int_equal(crypto_hex_encode("\x01\x02", 2, out, 3), RW_E_TOO_LARGE);
    assert_int_equal(crypto_hex_encode("", SIZE_MAX, out, 4), RW_E_TOO_LARGE);
    assert_string_equal(out, "00af");
    assert_int_equal(crypto_hex_encode(NULL, 0, out, 0), 0);
}

static const struct {
    const char *bytes;
    const char *base64;
    const char *url;
} base64_vectors[] = {
    // RFC 4648 section 10, then the characters in which the alphabets differ.
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xef\xff", "++//", "--__"},
};

static void test_base64__published_vectors(void **state)
{
    (void)state;
    char text[16];
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof base64_vectors / sizeof base64_vectors[0]; i++) {
        const char *plain = base64_vectors[i].bytes;
        const size_t n = strlen(plain), padded = strlen(base64_vectors[i].base64);
        const size_t bare = strlen(base64_vectors[i].url);
        assert_int_equal(CRYPTO_BASE64_CHARS(n), padded);
        assert_int_equal(CRYPTO_BASE64URL_CHARS(n), bare);
        assert_int_equal(crypto_base64_encode(plain, n, text, padded), padded);
        assert_memory_equal(text, base64_vectors[i].base64, padded);
        assert_int_equal(crypto_base64url_encode(plain, n, text, bare), bare);
        assert_memory_equal(text, base64_vectors[i].url, bare);
        assert_int_equal(crypto_base64_decode(base64_vectors[i].base64, padded, bytes, n), n);
        assert_memory_equal(bytes, plain, n);
        assert_int_equal(crypto_base64url_decode(base64_vectors[i].url, bare, bytes, n), n);
        assert_memory_equal(bytes, plain, n);
        if (n == 0) continue;
        assert_int_equal(crypto_base64_encode(plain, n, text, padded - 1), RW_E_TOO_LARGE);
        assert_int_equal(crypto_base64url_encode(plain, n, text, bare - 1), RW_E_TOO_LARGE);
        assert_int_equal(crypto_base64_decode(base64_vectors[i].base64, padded, bytes, n - 1),
                         RW_E_TOO_LARGE);
        assert_int_equal(crypto_base64url_decode(base64_vectors[i].url, bare, bytes, n - 1), RW_E_TOO_LARGE);
    }
    assert_int_equal(crypto_base64_encode("", SIZE_MAX, text, sizeof text), RW_E_TOO_LARGE);
}

static void test_base64__random_round_trips(void **state)
{
    (void)state;
    uint8_t data[70], back[70];
    char text[CRYPTO_BASE64_CHARS(70)];
    seed = 2;
    for (int i = 0; i < 2000; i++) {
        const size_t n = next_random() % (sizeof data + 1);
        for (size_t k = 0; k < n; k++) data[k] = (uint8_t)next_random();
        int64_t chars = crypto_base64_encode(data, n, text, sizeof text);
        assert_true(chars >= 0);
        assert_int_equal(crypto_base64_decode(text, (size_t)chars, back, sizeof back), n);
        assert_memory_equal(data, back, n);
        chars = crypto_base64url_encode(data, n, text, sizeof text);
        assert_true(chars >= 0);
        assert_int_equal(crypto_base64url_decode(text, (size_t)chars, back, sizeof back), n);
        assert_memory_equal(data, back, n);
    }
}

static void test_base64_decode__one_text_for_the_same_bytes(void **state)
{
    // Every text of up to four characters over a hostile alphabet is refused or what the encoder writes.
    (void)state;
    static const char alphabet[] = "AQg+/-_= \n\x80";
    uint8_t bytes[8];
    char text[4], again[8];
    for (size_t n = 0; n <= 4; n++) {
        uint32_t texts = 1;
        for (size_t i = 0; i < n; i++) texts *= sizeof alphabet; // the final NUL is one of them
        for (uint32_t which = 0; which < texts; which++) {
            for (uint32_t i = 0, v = which; i < n; i++, v /= sizeof alphabet)
                text[i] = alphabet[v % sizeof alphabet];
            int64_t got = crypto_base64_decode(text, n, bytes, sizeof bytes);
            if (got < 0) assert_int_equal(got, RW_E_BAD);
            else {
                assert_int_equal(crypto_base64_encode(bytes, (size_t)got, again, sizeof again), n);
                assert_memory_equal(text, again, n);
            }
            got = crypto_base64url_decode(text, n, bytes, sizeof bytes);
            if (got < 0) assert_int_equal(got, RW_E_BAD);
            else {
                assert_int_equal(crypto_base64url_encode(bytes, (size_t)got, again, sizeof again), n);
                assert_memory_equal(text, again, n);
            }
        }
    }
}

static void test_sha512__published_vectors(void **state)
{
    // FIPS 180-4 examples: one block, two blocks.
    (void)state;
    static const char *const two = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopj"
                                   "klmnopqklmnopqrlmnopqrsmnopqrst"
                                   "nopqrstu";
    uint8_t digest[CRYPTO_SHA512_BYTES];
    crypto_sha384("abc", 3, digest);
    assert_string_equal(hex(digest, CRYPTO_SHA384_BYTES),
                        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                        "8086072ba1e7cc2358baeca134c825a7");
    crypto_sha384(two, strlen(two), digest);
    assert_string_equal(hex(digest, CRYPTO_SHA384_BYTES),
                        "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712"
                        "fcc7c71a557e2db966c3e9fa91746039");
    crypto_sha512("abc", 3, digest);
    assert_string_equal(hex(digest, CRYPTO_SHA512_BYTES),
                        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    crypto_sha512(two, strlen(two), digest);
    assert_string_equal(hex(digest, CRYPTO_SHA512_BYTES),
                        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
                        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909");
}

static void test_hkdf__rfc_5869(void **state)
{
    // Test cases 1 to 3: basic, longer than one block of output and input, and without salt and info.
    (void)state;
    uint8_t secret[80], salt[80], info[80], out[82];
    memset(secret, 0x0b, 22);
    for (uint32_t i = 0; i < 80; i++) salt[i] = (uint8_t)i, info[i] = (uint8_t)(0xf0 + i);
    crypto_hkdf(span_of(salt, 13), span_of(secret, 22), span_of(info, 10), out, 42);
    assert_string_equal(
        hex(out, 42), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    crypto_hkdf(span_of(NULL, 0), span_of(secret, 22), span_of(NULL, 0), out, 42);
    assert_string_equal(
        hex(out, 42), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    for (uint32_t i = 0; i < 80; i++)
        secret[i] = (uint8_t)i, salt[i] = (uint8_t)(0x60 + i), info[i] = (uint8_t)(0xb0 + i);
    crypto_hkdf(span_of(salt, 80), span_of(secret, 80), span_of(info, 80), out, 82);
    assert_string_equal(hex(out, 41),
                        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271");
    assert_string_equal(hex(out + 41, 41),
                        "cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256__published_vectors),
        cmocka_unit_test(test_sha256__a_million_a),
        cmocka_unit_test(test_sha256__length_above_four_gigabits),
        cmocka_unit_test(test_sha256__ways_agree_on_every_length_alignment_and_cut),
        cmocka_unit_test(test_sha256__copy_goes_two_ways),
        cmocka_unit_test(test_hmac__rfc_4231),
        cmocka_unit_test(test_hmac__key_of_one_block_is_not_hashed_and_empty_is_allowed),
        cmocka_unit_test(test_hmac__a_key_of_46_bytes_costs_two_blocks),
        cmocka_unit_test(test_sha512__published_vectors),
        cmocka_unit_test(test_hkdf__rfc_5869),
        cmocka_unit_test(test_equal__one_bit_anywhere_differs),
        cmocka_unit_test(test_wipe__all_and_no_more),
        cmocka_unit_test(test_random__fills_every_byte_and_does_not_repeat),
        cmocka_unit_test(test_random__goes_on_after_a_signal),
        cmocka_unit_test(test_hex_encode__fits_or_leaves_out_alone),
        cmocka_unit_test(test_base64__published_vectors),
        cmocka_unit_test(test_base64__random_round_trips),
        cmocka_unit_test(test_base64_decode__one_text_for_the_same_bytes),
    };
    return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
