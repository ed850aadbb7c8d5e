// What the fuzz targets share. A target is one file fuzz_<name>.c with LLVMFuzzerTestOneInput(); beside
// crashes it checks properties of its parser. `make fuzz T=<name>` runs it, `make fuzz-replay` runs it
// once over tests/data/fuzz/<name>/.
#ifndef RINGWAY_TESTS_FUZZ_FUZZ_H
#define RINGWAY_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/span.h"
#include "tests/lib/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Larger inputs find nothing that smaller ones do not.
#define FUZZ_BYTES_MAX 8192

// The input flush against a forbidden page; two at a time, by slot.
static inline uint8_t *fuzz_flush(int slot, const uint8_t *data, size_t size)
{
    static struct guard guards[2];
    if (!guards[slot].map) guards[slot] = guard_open(FUZZ_BYTES_MAX);
    MUST(size <= FUZZ_BYTES_MAX);
    uint8_t *p = guards[slot].room + guards[slot].cap - size;
    if (size) memcpy(p, data, size);
    return p;
}

// A number below n (> 0) that depends on the whole input, so that the fuzzer's inputs also choose where
// they are cut.
static inline uint32_t fuzz_number(const uint8_t *data, size_t size, uint32_t salt, uint32_t n)
{
    uint32_t h = 2166136261u ^ salt;
    for (size_t i = 0; i < size; i++) h = (h ^ data[i]) * 16777619u;
    h ^= h >> 15;
    return h % n;
}

static inline void fuzz_within(struct span s, const uint8_t *p, size_t n)
{
    MUST(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

#endif
