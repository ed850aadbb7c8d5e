// A small fast generator (xoshiro256**, Blackman and Vigna 2018) for jitter, sampling and request ids' low bits. Not for
// secrets: those come from tls/crypto.h. The state is the caller's and is seeded by him, so the simulator repeats itself.
#ifndef RINGWAY_BASE_PRNG_H
#define RINGWAY_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t s[4];
};

// Spreads any seed, 0 included, over the state (splitmix64).
static inline void prng_seed(struct prng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t prng_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t prng_next(struct prng *r)
{
    const uint64_t result = prng_rotl(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = prng_rotl(r->s[3], 45);
    return result;
}

// 0 to n - 1 (n > 0), without the bias of a plain remainder (Lemire 2019, without the rejection: bias below 2^-32).
static inline uint32_t prng_below(struct prng *r, uint32_t n)
{
    return (uint32_t)(((prng_next(r) >> 32) * n) >> 32);
}

#endif
