// Sets of keys: no more than there is room for; every key is of a kind with an algorithm that fits and no secret; the same text
// gives the same keys; a text that is refused leaves what was there.
#include <stdlib.h>

#include "policy/jwt.h"
#include "tests/fuzz/fuzz.h"

static struct jwt_keys once, again;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    const struct span json = span_of(fuzz_flush(0, data, size), size);
    once.n = 77;
    if (jwt_keys_parse(json, &once)) {
        MUST(once.n == 77);
        return 0;
    }
    MUST(once.n <= JWT_KEYS_MAX);
    for (uint32_t i = 0; i < once.n; i++) {
        const struct jwt_key *k = &once.key[i];
        MUST(k->public.kind != CRYPTO_KEY_NONE && k->kid_n <= JWT_KID_BYTES_MAX);
        MUST(k->algorithm == JWT_ANY_ALGORITHM ||
             crypto_signature_kind((enum crypto_signature)k->algorithm) == k->public.kind);
    }
    MUST(jwt_keys_parse(json, &again) == RW_OK && again.n == once.n && again.skipped == once.skipped);
    for (uint32_t i = 0; i < once.n; i++) {
        MUST(memcmp(&once.key[i].public, &again.key[i].public, sizeof once.key[i].public) == 0);
        MUST(memcmp(once.key[i].kid, again.key[i].kid, once.key[i].kid_n) == 0);
    }
    // One more of each way to get a key, as far as there is room.
    const struct crypto_public first = once.key[0].public;
    const uint32_t n = once.n;
    if (n > 0) MUST((jwt_keys_add_public(&once, &first, SPAN("another")) == RW_OK) == (n < JWT_KEYS_MAX));
    const bool room = once.n < JWT_KEYS_MAX;
    MUST(jwt_keys_add_secret(&once, SPAN("short")) == RW_E_BAD);
    MUST((jwt_keys_add_secret(&once, SPAN("0123456789abcdef0123456789abcdef")) == RW_OK) == room);
    return 0;
}
