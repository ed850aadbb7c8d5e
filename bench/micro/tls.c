// AES-128-GCM of TLS records, each way that this machine has beside OpenSSL's in the same run: sealing records of 1 and 16 KiB,
// MB/s, the median of nine rounds that take turns, and where the kernel counts them instructions per byte. OpenSSL is whatever
// libcrypto.so.3 is installed; without it there is nothing to compare with. Exit status 1 if the best way has less than half of
// OpenSSL's speed.
//
// OpenSSL is called as a TLS library calls it: one context with its key, for each record a nonce, 13 bytes of additional data,
// the text in place, the tag.
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tls/tls_aes.h"

#define ROUNDS 9
#define ROUND_NS (30 * CLOCK_MS)
#define WAYS_MAX 8
#define GCM_SET_IVLEN 0x9
#define GCM_GET_TAG 0x10

static uint8_t record[TLS_RECORD_BYTES_MAX], text[TLS_PLAIN_BYTES_MAX];
static const uint8_t key[16] = {1, 2, 3}, iv[4] = {4};

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * CLOCK_SEC + t.tv_nsec;
}

// -1: nobody counts here (a virtual machine, kernel.perf_event_paranoid).
static int count_instructions(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int64_t read_count(int fd)
{
    int64_t n = 0;
    return fd >= 0 && read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

// --- OpenSSL.

static struct {
    void *ctx;
    int (*init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*final)(void *, uint8_t *, int *);
    int (*ctrl)(void *, int, int, void *);
} openssl;

// A function pointer out of dlsym, which ISO C has no cast for.
static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);
    if (!p) fprintf(stderr, "libcrypto has no %s\n", name);
    return p;
}

static bool openssl_open(void)
{
    void *(*make)(void);
    const void *(*cipher)(void);
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    if (!library) return false;
    void *found[6] = {symbol(library, "EVP_CIPHER_CTX_new"),  symbol(library, "EVP_aes_128_gcm"),
                      symbol(library, "EVP_EncryptInit_ex"),  symbol(library, "EVP_EncryptUpdate"),
                      symbol(library, "EVP_EncryptFinal_ex"), symbol(library, "EVP_CIPHER_CTX_ctrl")};
    for (int i = 0; i < 6; i++)
        if (!found[i]) return false;
    memcpy(&make, &found[0], sizeof make);
    memcpy(&cipher, &found[1], sizeof cipher);
    memcpy(&openssl.init, &found[2], sizeof openssl.init);
    memcpy(&openssl.update, &found[3], sizeof openssl.update);
    memcpy(&openssl.final, &found[4], sizeof openssl.final);
    memcpy(&openssl.ctrl, &found[5], sizeof openssl.ctrl);
    openssl.ctx = make();
    return openssl.ctx && openssl.init(openssl.ctx, cipher(), NULL, NULL, NULL) == 1 &&
        openssl.ctrl(openssl.ctx, GCM_SET_IVLEN, 12, NULL) == 1 &&
        openssl.init(openssl.ctx, NULL, NULL, key, NULL) == 1;
}

static void openssl_seal(uint64_t sequence, uint32_t n)
{
    uint8_t nonce[12], head[13] = {0};
    int got;
    memcpy(nonce, iv, 4);
    memcpy(nonce + 4, &sequence, 8);
    memcpy(head, &sequence, 8);
    if (openssl.init(openssl.ctx, NULL, NULL, NULL, nonce) != 1 ||
        openssl.update(openssl.ctx, NULL, &got, head, sizeof head) != 1 ||
        openssl.update(openssl.ctx, record + 13, &got, record + 13, (int)n) != 1 ||
        openssl.final(openssl.ctx, record + 13 + n, &got) != 1 ||
        openssl.ctrl(openssl.ctx, GCM_GET_TAG, 16, record + 13 + n) != 1)
        abort();
}

// --- Ours.

static struct tls_records records[WAYS_MAX];

static void our_seal(struct tls_records *r, uint32_t n)
{
    const struct iovec iov = {text, n};
    struct tls_gather g = {.iov = &iov, .n = 1};
    if (tls_record_seal(r, &g, record, sizeof record) < n) abort();
}

// --- Both.

static void seal(struct tls_records *r, uint32_t i, uint32_t n)
{
    if (r) {
        our_seal(r, n);
    } else {
        memcpy(record + 13, text, n); // ours copies the text there, too
        openssl_seal(i, n);
    }
}

// MB/s of one round; r NULL: OpenSSL.
static double one_round(struct tls_records *r, uint32_t n)
{
    const int64_t start = clock_ns();
    int64_t now = start;
    uint64_t done = 0;
    while (now - start < ROUND_NS) {
        for (uint32_t i = 0; i < 16; i++, done++) seal(r, (uint32_t)done, n);
        now = clock_ns();
    }
    return (double)done * n * 1000 / (double)(now - start);
}

// Instructions per byte; 0: nobody counts.
static double count(int fd, struct tls_records *r, uint32_t n)
{
    const uint32_t times = 100;
    const int64_t before = read_count(fd);
    for (uint32_t i = 0; i < times; i++) seal(r, i, n);
    return (double)(read_count(fd) - before) / times / n;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static double speed[WAYS_MAX + 1][ROUNDS];
    const char *name[WAYS_MAX];
    uint32_t ways = 0;
    const char *best = tls_aes_name();
    const bool other = openssl_open();
    const int fd = count_instructions();
    bool fast_enough = true;
    for (uint32_t i = 0; tls_aes_way(i); i++) {
        if (!tls_aes_choose(tls_aes_way(i))) continue;
        name[ways] = tls_aes_way(i);
        tls_aes_records(&records[ways++], key, sizeof key, iv);
    }
    printf("AES-128-GCM, records sealed, MB/s (best here: %s)\n", best);
    for (uint32_t n = 1024; n <= 16384; n *= 16) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            for (uint32_t w = 0; w < ways; w++) speed[w][round] = one_round(&records[w], n);
            if (other) speed[ways][round] = one_round(NULL, n);
        }
        for (uint32_t w = 0; w <= ways; w++) qsort(speed[w], ROUNDS, sizeof(double), by_size);
        const double openssl_speed = speed[ways][ROUNDS / 2];
        for (uint32_t w = 0; w < ways; w++) {
            printf("%6u bytes  %-9s %8.0f", n, name[w], speed[w][ROUNDS / 2]);
            if (other) printf("  %.2f of OpenSSL's", speed[w][ROUNDS / 2] / openssl_speed);
            if (fd >= 0) printf("  %.2f instructions a byte", count(fd, &records[w], n));
            printf("\n");
        }
        if (other) printf("%6u bytes  %-9s %8.0f\n", n, "openssl", openssl_speed);
        fast_enough = fast_enough && (!other || speed[0][ROUNDS / 2] * 2 >= openssl_speed);
    }
    if (!other) printf("libcrypto.so.3 is not installed: nothing to compare with\n");
    return fast_enough ? 0 : 1;
}
