// See tls_aes.h.
#include "tls/tls_aes.h"

#include <stdatomic.h>
#include <string.h>

#include "tls/tls_aes_priv.h"
#include "tls/tls_priv.h"

static const br_block_ctr_class *portable_ctr(void)
{
    return &br_aes_ct64_ctr_vtable;
}

static br_ghash portable_ghash(void)
{
    return &br_ghash_ctmul64;
}

static const struct tls_aes_way ways[] = {
#if defined(__x86_64__)
    {"vaes", tls_aes_x86_ctr, tls_aes_x86_ghash},
    {"aes-ni", br_aes_x86ni_ctr_get_vtable, br_ghash_pclmul_get},
#elif defined(__aarch64__)
    {"armv8", tls_aes_arm_ctr, tls_aes_arm_ghash},
#endif
    {"portable", portable_ctr, portable_ghash},
};

#define WAYS (sizeof ways / sizeof *ways)

// The answer is the same for every thread that asks, so it does not matter who stores it first.
static _Atomic(const struct tls_aes_way *) chosen;

static bool usable(const struct tls_aes_way *way)
{
    return way->ctr() && way->ghash();
}

const struct tls_aes_way *tls_aes_at(uint32_t index)
{
    return index < WAYS ? &ways[index] : NULL;
}

const struct tls_aes_way *tls_aes(void)
{
    const struct tls_aes_way *way = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (RW_LIKELY(way != NULL)) return way;
    for (way = ways; !usable(way);) way++;
    atomic_store_explicit(&chosen, way, memory_order_relaxed);
    return way;
}

const char *tls_aes_name(void)
{
    return tls_aes()->name;
}

bool tls_aes_is_fast(void)
{
    return tls_aes() != &ways[WAYS - 1];
}

const char *tls_aes_way(uint32_t index)
{
    return index < WAYS ? ways[index].name : NULL;
}

bool tls_aes_choose(const char *name)
{
    for (uint32_t i = 0; i < WAYS; i++) {
        if (strcmp(ways[i].name, name) != 0 || !usable(&ways[i])) continue;
        atomic_store_explicit(&chosen, &ways[i], memory_order_relaxed);
        return true;
    }
    return false;
}

void tls_aes_records(struct tls_records *ret, const uint8_t *key, size_t key_n, const uint8_t iv[4])
{
    static_assert(sizeof(br_sslrec_gcm_context) <= sizeof ret->in, "a context fits");
    const struct tls_aes_way *way = tls_aes();
    *ret = (struct tls_records){.gcm = true};
    br_sslrec_in_gcm_vtable.init((const br_sslrec_in_gcm_class **)(void *)ret->in, way->ctr(), key, key_n,
                                 way->ghash(), iv);
    br_sslrec_out_gcm_vtable.init((const br_sslrec_out_gcm_class **)(void *)ret->out, way->ctr(), key, key_n,
                                  way->ghash(), iv);
}
