// tls_aes: every way that this machine has gives the bytes of BearSSL's portable code: counter mode and GHASH by themselves, on
// random keys, counters that wrap, all lengths about the widths of the loops, buffers flush against a forbidden page and at any
// alignment; then whole records sealed by one way and opened by another. AES_CASES=1000000 runs longer. The output names the
// ways.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tls/tls_aes_priv.h"

#define DATA_MAX 4096

static struct prng random_state;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(prng_next(&random_state) % n);
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)prng_next(&random_state);
}

static uint32_t cases(void)
{
    const char *env = getenv("AES_CASES");
    return env ? (uint32_t)strtoul(env, NULL, 10) : 20000;
}

// Mostly about the widths of the loops.
static uint32_t some_length(uint32_t i)
{
    if (i < 1200) return i % 600;
    if (i % 50 == 0) return below(DATA_MAX + 1);
    return below(2) ? below(64) : below(600);
}

static const struct tls_aes_way *portable(void)
{
    uint32_t n = 0;
    while (tls_aes_at(n + 1)) n++;
    return tls_aes_at(n);
}

static bool here(const struct tls_aes_way *way)
{
    return way->ctr() && way->ghash();
}

static void test_ctr__as_the_portable_code(void **state)
{
    (void)state;
    static uint8_t expected[DATA_MAX], before[DATA_MAX];
    struct guard high = guard_open(DATA_MAX), low = guard_open(DATA_MAX);
    for (uint32_t w = 0; tls_aes_at(w) != portable(); w++) {
        const struct tls_aes_way *way = tls_aes_at(w);
        if (!here(way)) continue;
        printf("AES by %s\n", way->name);
        for (uint32_t i = 0; i < cases(); i++) {
            uint8_t key[32], iv[12];
            br_aes_gen_ctr_keys ours, theirs;
            const uint32_t n = some_length(i), key_n = 16 + 8 * below(3);
            const uint32_t cc = below(3) ? below(UINT32_MAX) : UINT32_MAX - below(40);
            fill(key, key_n);
            fill(iv, sizeof iv);
            fill(before, n);
            memcpy(expected, before, n);
            way->ctr()->init(&ours.vtable, key, key_n);
            assert_ptr_equal(ours.vtable, way->ctr());
            portable()->ctr()->init(&theirs.vtable, key, key_n);
            (void)theirs.vtable->run(&theirs.vtable, iv, cc, expected, n);
            uint8_t *p = below(2) ? guard_put(&high, before, n) : guard_put_low(&low, before, n);
            (void)ours.vtable->run(&ours.vtable, iv, cc, p, n);
            assert_memory_equal(p, expected, n);
        }
        assert_true(way->ctr()->context_size <= sizeof(br_aes_gen_ctr_keys));
    }
    guard_close(&high);
    guard_close(&low);
}

static void test_ghash__as_the_portable_code(void **state)
{
    (void)state;
    static uint8_t before[DATA_MAX];
    struct guard high = guard_open(DATA_MAX), low = guard_open(DATA_MAX);
    for (uint32_t w = 0; tls_aes_at(w) != portable(); w++) {
        const struct tls_aes_way *way = tls_aes_at(w);
        if (!here(way)) continue;
        for (uint32_t i = 0; i < cases(); i++) {
            uint8_t h[16], ours[17], theirs[17];
            const uint32_t n = some_length(i);
            fill(h, sizeof h);
            // The halves of H carry into the polynomial or not, also at the ends of the range.
            if (i % 16 == 0) memset(h, i & 16 ? 0xff : 0, sizeof h);
            if (i % 16 == 0 && i & 32) h[15] ^= 1;
            if (i % 16 == 0 && i & 64) h[0] ^= 0x80;
            fill(ours, 16);
            memcpy(theirs, ours, 16);
            ours[16] = theirs[16] = 0x5a;
            fill(before, n);
            portable()->ghash()(theirs, h, before, n);
            way->ghash()(ours, h, below(2) ? guard_put(&high, before, n) : guard_put_low(&low, before, n), n);
            assert_memory_equal(ours, theirs, sizeof ours);
        }
    }
    guard_close(&high);
    guard_close(&low);
}

static void test_ctr__at_every_alignment(void **state)
{
    (void)state;
    static uint8_t room[512 + 64], expected[512];
    for (uint32_t w = 0; tls_aes_at(w) != portable(); w++) {
        const struct tls_aes_way *way = tls_aes_at(w);
        if (!here(way)) continue;
        for (uint32_t at = 0; at < 64; at++) {
            br_aes_gen_ctr_keys ours, theirs;
            const uint8_t key[32] = {1, 2, 3}, iv[12] = {4};
            memset(room, 0xa5, sizeof room);
            memset(expected, 0xa5, sizeof expected);
            way->ctr()->init(&ours.vtable, key, 32);
            portable()->ctr()->init(&theirs.vtable, key, 32);
            (void)theirs.vtable->run(&theirs.vtable, iv, 2, expected, 500);
            (void)ours.vtable->run(&ours.vtable, iv, 2, room + at, 500);
            assert_memory_equal(room + at, expected, 500);
            for (uint32_t i = 0; i < sizeof room; i++)
                if (i < at || i >= at + 500) assert_int_equal(room[i], 0xa5);
        }
    }
}

static uint32_t seal(struct tls_records *r, const uint8_t *data, uint32_t n, uint8_t *out, uint32_t cap)
{
    const struct iovec iov = {(void *)(uintptr_t)data, n};
    struct tls_gather g = {.iov = &iov, .n = 1};
    return tls_record_seal(r, &g, out, cap);
}

static void test_records__sealed_by_one_way_opened_by_another(void **state)
{
    (void)state;
    static uint8_t data[TLS_PLAIN_BYTES_MAX], sealed[TLS_RECORD_BYTES_MAX], again[TLS_RECORD_BYTES_MAX];
    const char *best = tls_aes_name(), *plain = portable()->name;
    for (uint32_t w = 0; tls_aes_way(w); w++) {
        if (!tls_aes_choose(tls_aes_way(w))) continue;
        assert_string_equal(tls_aes_name(), tls_aes_way(w));
        for (uint32_t key_n = 16; key_n <= 32; key_n += 16) {
            struct tls_records ours, theirs;
            uint8_t key[32], iv[4];
            fill(key, sizeof key);
            fill(iv, sizeof iv);
            assert_true(tls_aes_choose(tls_aes_way(w)));
            tls_aes_records(&ours, key, key_n, iv);
            assert_true(tls_aes_choose(plain));
            tls_aes_records(&theirs, key, key_n, iv);
            for (uint32_t i = 0; i < 60; i++) {
                struct tls_opened o;
                const uint32_t n = i < 10 ? TLS_PLAIN_BYTES_MAX - i : 1 + below(3000);
                fill(data, n);
                const uint32_t size = seal(&ours, data, n, sealed, sizeof sealed);
                assert_int_equal(seal(&theirs, data, n, again, sizeof again), size);
                assert_memory_equal(sealed, again, size);
                assert_int_equal(tls_record_open(&ours, again, size, &o), 1);
                assert_int_equal(o.n, n);
                assert_memory_equal(o.data, data, n);
                assert_int_equal(tls_record_open(&theirs, sealed, size, &o), 1);
            }
            assert_true(seal(&ours, data, 100, sealed, sizeof sealed) > 100);
            sealed[50] ^= 4;
            struct tls_opened o;
            assert_int_equal(tls_record_open(&ours, sealed, 129, &o), RW_E_BAD);
        }
    }
    assert_true(tls_aes_choose(best));
    assert_false(tls_aes_choose("abacus"));
    assert_int_equal(tls_aes_is_fast(), strcmp(best, plain) != 0);
}

int main(void)
{
    prng_seed(&random_state, 20261121);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctr__as_the_portable_code),
        cmocka_unit_test(test_ghash__as_the_portable_code),
        cmocka_unit_test(test_ctr__at_every_alignment),
        cmocka_unit_test(test_records__sealed_by_one_way_opened_by_another),
    };
    return cmocka_run_group_tests_name("tls_aes", tests, NULL, NULL);
}
