// See http_priv.h: the choice of the way, and the portable one.
#include "wire/http_priv.h"

static bool always(void)
{
    return true;
}

static uint32_t no_request(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                           struct http_head *head)
{
    (void)p, (void)n, (void)rules, (void)head;
    return 0;
}

static uint32_t no_fields(const uint8_t *p, uint32_t from, uint32_t n, uint32_t fields_max,
                          struct http_head *head)
{
    (void)p, (void)n, (void)fields_max, (void)head;
    return from;
}

static uint32_t differ(const uint8_t *a, const uint8_t *b, uint32_t at, uint32_t n)
{
    while (at < n && a[at] == b[at]) at++;
    return at;
}

static uint32_t text(const uint8_t *p, uint32_t at, uint32_t n)
{
    while (at < n && http_is(p[at], HTTP_TEXT) && p[at] != '\t') at++;
    return at + 4 <= n ? at : n;
}

const struct http_way http_way_scalar = {"scalar", always, no_request, no_fields, differ, text};

static const struct http_way *const ways[] = {
#if defined(__x86_64__)
    &http_way_avx2,
    &http_way_sse42,
#elif defined(__aarch64__)
    &http_way_neon,
#endif
    &http_way_scalar,
};

const struct http_way *http_way_list(uint32_t index)
{
    return index < sizeof ways / sizeof *ways ? ways[index] : NULL;
}

// Several threads may choose at once: they all store the same.
_Atomic(const struct http_way *) http_way_chosen;

void http_way_choose(const struct http_way *way)
{
    MUST(way->usable());
    atomic_store_explicit(&http_way_chosen, way, memory_order_relaxed);
}

const struct http_way *http_way_best(void)
{
    uint32_t i = 0;
    while (i + 1 < sizeof ways / sizeof *ways && !ways[i]->usable()) i++;
    http_way_choose(ways[i]);
    return ways[i];
}
