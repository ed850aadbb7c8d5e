// See credentials.h.
#include "control/credentials.h"

#include <stdio.h>

// What makes a source another one. The texts are hashed with their ends, so that none runs into the next.
static void digest_of(const struct config_provider *p, uint8_t ret[CRYPTO_SHA256_BYTES])
{
    const char *const texts[] = {provider_rows[p->type].name, p->region, p->access_key_id,
                                 p->secret_access_key, p->session_token};
    struct crypto_sha256 hash;
    crypto_sha256_init(&hash);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        crypto_sha256_update(&hash, texts[i] ? texts[i] : "\n", texts[i] ? strlen(texts[i]) + 1 : 2);
    crypto_sha256_final(&hash, ret);
}

static struct credential *fixed(const struct config_provider *p)
{
    const struct sigv4_credentials aws = {.access_key = span_str(p->access_key_id),
                                          .secret_key = span_str(p->secret_access_key),
                                          .session_token =
                                              p->session_token ? span_str(p->session_token) : SPAN("")};
    return credential_sigv4(&aws, span_str(p->region), SPAN("bedrock"), 0);
}

bool credentials_index(struct credentials *all, const struct config_provider *p, uint32_t *ret_index,
                       char *ret_why, uint32_t cap)
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    *ret_index = 0;
    if (!p->access_key_id) return true;
    digest_of(p, digest);
    for (uint32_t i = 0; i < all->count; i++) {
        if (!crypto_equal(all->source[i].digest, digest, sizeof digest)) continue;
        *ret_index = i + 1;
        return true;
    }
    if (all->count == PROVIDERS_MAX) {
        snprintf(ret_why, cap,
                 "more than %d different credentials since the start: restart to forget the old ones.",
                 PROVIDERS_MAX);
        return false;
    }
    struct credentials_source *s = &all->source[all->count];
    s->now = fixed(p);
    if (!s->now) {
        snprintf(ret_why, cap, "providers.%s: out of memory, or its credentials are longer than AWS's can be",
                 p->name);
        return false;
    }
    memcpy(s->digest, digest, sizeof digest);
    *ret_index = ++all->count;
    return true;
}

void credentials_done(struct credentials *all)
{
    for (uint32_t i = 0; i < all->count; i++) credential_drop(all->source[i].now);
    crypto_wipe(all, sizeof *all);
}
