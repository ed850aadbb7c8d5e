// SHA-256 on the SHA2 extension of ARMv8 (Arm Architecture Reference Manual, SHA256H, SHA256H2, SHA256SU0,
// SHA256SU1). The state is two vectors in memory order, ABCD and EFGH; each step does four rounds with four
// words of the message schedule, of which four vectors are a window that slides over the 64 rounds.
#include "tls/crypto_priv.h"

#if defined(__aarch64__)

// clang 14 hides the intrinsics behind these macros of the command line, although it lets one function have
// the extension; gcc offers them to any function with the target.
#if defined(__clang__) && !defined(__ARM_FEATURE_SHA2)
#define __ARM_FEATURE_SHA2 1
#define __ARM_FEATURE_CRYPTO 1
#endif
#include <arm_neon.h>
#include <sys/auxv.h>

#ifndef HWCAP_SHA2
#define HWCAP_SHA2 (1u << 6)
#endif

bool crypto_arm_sha_usable(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
}

#if defined(__clang__)
#define SHA_TARGET __attribute__((target("sha2,crypto")))
#else
#define SHA_TARGET __attribute__((target("+crypto")))
#endif

struct halves {
    uint32x4_t abcd, efgh;
};

SHA_TARGET static inline struct halves four_rounds(struct halves s, uint32x4_t w, uint32_t round)
{
    const uint32x4_t wk = vaddq_u32(w, vld1q_u32(crypto_sha256_k + round));
    return (struct halves){
        .abcd = vsha256hq_u32(s.abcd, s.efgh, wk),
        .efgh = vsha256h2q_u32(s.efgh, s.abcd, wk),
    };
}

// The next four words of the schedule from the sixteen before them, oldest vector first.
SHA_TARGET static inline uint32x4_t schedule(uint32x4_t w0, uint32x4_t w1, uint32x4_t w2, uint32x4_t w3)
{
    return vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
}

SHA_TARGET static inline uint32x4_t load_words(const uint8_t *data)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data)));
}

SHA_TARGET void crypto_arm_sha_compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    struct halves s = {.abcd = vld1q_u32(state), .efgh = vld1q_u32(state + 4)};
    for (; blocks; blocks--, data += 64) {
        const struct halves before = s;
        uint32x4_t w0 = load_words(data), w1 = load_words(data + 16);
        uint32x4_t w2 = load_words(data + 32), w3 = load_words(data + 48);
        for (uint32_t round = 0;; round += 16) {
            s = four_rounds(s, w0, round);
            s = four_rounds(s, w1, round + 4);
            s = four_rounds(s, w2, round + 8);
            s = four_rounds(s, w3, round + 12);
            if (round == 48) break;
            w0 = schedule(w0, w1, w2, w3);
            w1 = schedule(w1, w2, w3, w0);
            w2 = schedule(w2, w3, w0, w1);
            w3 = schedule(w3, w0, w1, w2);
        }
        s.abcd = vaddq_u32(s.abcd, before.abcd);
        s.efgh = vaddq_u32(s.efgh, before.efgh);
    }
    vst1q_u32(state, s.abcd);
    vst1q_u32(state + 4, s.efgh);
}

#else
// ISO C wants something in every file.
typedef int crypto_arm_not_here;
#endif
