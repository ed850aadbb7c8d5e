// See crc.h.
#include "store/crc.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// A nibble at a time: 64 bytes of table, and nobody's hot path.
static uint32_t portable(uint32_t before, const void *data, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = data;
    uint32_t crc = ~before;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

uint32_t store_crc32c_portable(const void *data, size_t n)
{
    return portable(0, data, n);
}

#if defined(__x86_64__)
#define STEP64(crc, v) (uint32_t) _mm_crc32_u64(crc, v)
#define STEP8(crc, v) _mm_crc32_u8(crc, v)
#define WITH_CRC __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#define STEP64(crc, v) __crc32cd(crc, v)
#define STEP8(crc, v) __crc32cb(crc, v)
#define WITH_CRC __attribute__((target("+crc")))
#endif

#if defined(WITH_CRC)
WITH_CRC static uint32_t by_instructions(uint32_t before, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t crc = ~before;
    for (; n >= 32; n -= 32, p += 32) {
        uint64_t v[4];
        memcpy(v, p, 32);
        crc = STEP64(crc, v[0]);
        crc = STEP64(crc, v[1]);
        crc = STEP64(crc, v[2]);
        crc = STEP64(crc, v[3]);
    }
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        crc = STEP64(crc, v);
    }
    for (; n; n--, p++) crc = STEP8(crc, *p);
    return ~crc;
}

uint32_t store_crc32c_more(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return by_instructions(crc, data, n);
#else
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) return by_instructions(crc, data, n);
#endif
    return portable(crc, data, n);
}
#else
uint32_t store_crc32c_more(uint32_t crc, const void *data, size_t n)
{
    return portable(crc, data, n);
}
#endif

uint32_t store_crc32c(const void *data, size_t n)
{
    return store_crc32c_more(0, data, n);
}
