// What we offer and accept: TLS 1.2, ECDHE with authenticated encryption, SHA-256 and above.
#include <string.h>

#include "tls/tls_aes_priv.h"
#include "tls/tls_priv.h"

struct suite {
    uint16_t id;
    const char *name;
};

static const struct suite suites[] = {
    {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"},
    {BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"},
    {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"},
};
#define SUITES TLS_SUITES
#define CHACHA_FROM 4
static_assert(sizeof suites / sizeof *suites == SUITES, "as many as the header says");

// Every second one is for EC certificates.
static bool is_for(uint32_t index, int key_type)
{
    return (index % 2 == 0) == (key_type == BR_KEYTYPE_EC);
}

const char *tls_suite_at(uint32_t index)
{
    return index < SUITES ? suites[index].name : NULL;
}

int tls_suite_find(const char *name)
{
    for (uint32_t i = 0; i < SUITES; i++)
        if (strcmp(suites[i].name, name) == 0) return (int)i;
    return -1;
}

bool tls_server_suites(struct tls_server *s, uint32_t mask)
{
    s->suites = mask;
    for (uint32_t k = 0; k < s->identity_n; k++) {
        bool usable = false;
        for (uint32_t i = 0; i < SUITES; i++)
            usable = usable || ((mask >> i & 1) && is_for(i, s->identity[k]->skey.type));
        if (!usable) return false;
    }
    return true;
}

void tls_profile(br_ssl_engine_context *eng, uint32_t mask)
{
    uint16_t order[SUITES];
    uint32_t n = 0;
    const uint32_t first = tls_aes_is_fast() ? 0 : CHACHA_FROM;
    for (uint32_t i = 0; i < SUITES; i++) {
        const uint32_t at = (first + i) % SUITES;
        if (mask >> at & 1) order[n++] = suites[at].id;
    }
    br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(eng, order, n);
    br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(eng, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(eng, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(eng, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(eng, &br_tls12_sha384_prf);
    br_ssl_engine_set_default_aes_gcm(eng);
    br_ssl_engine_set_aes_ctr(eng, tls_aes()->ctr());
    br_ssl_engine_set_ghash(eng, tls_aes()->ghash());
    br_ssl_engine_set_default_chapol(eng);
    br_ssl_engine_set_default_ec(eng);
    br_ssl_engine_set_default_rsavrfy(eng);
    br_ssl_engine_set_default_ecdsa(eng);
    br_ssl_engine_add_flags(eng, BR_OPT_NO_RENEGOTIATION);
    static const char *alpn[] = {"http/1.1"};
    br_ssl_engine_set_protocol_names(eng, alpn, 1);
    // Without this it depends on the machine whether there is randomness: RDRAND, or /dev/urandom, which a container may lack.
    uint8_t seed[32];
    crypto_random(seed, sizeof seed);
    br_ssl_engine_inject_entropy(eng, seed, sizeof seed);
    crypto_wipe(seed, sizeof seed);
}

const char *tls_suite_name(uint16_t suite)
{
    for (uint32_t i = 0; i < SUITES; i++)
        if (suites[i].id == suite) return suites[i].name;
    return "unknown";
}

const char *tls_curve_name(int curve)
{
    switch (curve) {
    case BR_EC_secp256r1: return "P-256";
    case BR_EC_secp384r1: return "P-384";
    case BR_EC_secp521r1: return "P-521";
    case BR_EC_curve25519: return "X25519";
    default: return "";
    }
}
