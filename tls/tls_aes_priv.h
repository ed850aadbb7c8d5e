// Between tls_aes.c and the files with the instructions of one architecture.
#ifndef RINGWAY_TLS_TLS_AES_PRIV_H
#define RINGWAY_TLS_TLS_AES_PRIV_H

#include <bearssl.h>
#include <stdbool.h>

#include "tls/tls_aes.h"

struct tls_aes_way {
    const char *name;
    const br_block_ctr_class *(*ctr)(void); // NULL from either: not on this machine
    br_ghash (*ghash)(void);
};
const struct tls_aes_way *tls_aes(void);
const struct tls_aes_way *tls_aes_at(uint32_t index);

#if defined(__x86_64__)
const br_block_ctr_class *tls_aes_x86_ctr(void);
br_ghash tls_aes_x86_ghash(void);
#elif defined(__aarch64__)
const br_block_ctr_class *tls_aes_arm_ctr(void);
br_ghash tls_aes_arm_ghash(void);
#endif

#endif
