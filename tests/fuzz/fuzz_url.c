// URLs, paths, queries and percent-encoding: parts lie within the input; encoding and decoding are
// inverse; a path that may be routed has no dot segment however it is decoded; what is taken apart is put
// together again.
#include "tests/fuzz/fuzz.h"
#include "wire/http.h"
#include "wire/url.h"

static void check_parse(const uint8_t *p, uint32_t n)
{
    struct url u;
    const char *why = NULL;
    if (url_parse(span_of(p, n), &u, &why) < 0) {
        MUST(why && why[0]);
        return;
    }
    fuzz_within(u.host, p, n);
    fuzz_within(u.authority, p, n);
    fuzz_within(u.path, p, n);
    fuzz_within(u.query, p, n);
    MUST(u.host.n > 0 && u.port > 0 && http_host_is_valid(u.authority));
    MUST(u.path.n == 0 || (u.path.p[0] == '/' && u.path.p[u.path.n - 1] != '/'));
    MUST(span_find(u.authority, '@') == u.authority.n);
}

// No segment is "." or "..", neither as it is nor when all that is encoded is decoded.
static void check_no_dots(struct span path)
{
    struct span rest = path, s;
    while (url_path_next(&rest, &s)) {
        MUST(!span_eq(s, SPAN(".")) && !span_eq(s, SPAN("..")));
        MUST(s.n > 0 || !rest.p);
    }
}

static void check_path(const uint8_t *p, uint32_t n)
{
    const struct span path = span_of(p, n);
    const enum url_path kind = url_path_check(path);
    if (kind == URL_PATH_BAD) return;
    static uint8_t decoded[FUZZ_BYTES_MAX];
    struct span whole;
    MUST(p[0] == '/' && url_decode(path, false, decoded, sizeof decoded, &whole) == RW_OK);
    MUST((kind == URL_PATH_PLAIN) == span_eq(path, whole));
    check_no_dots(path);
    check_no_dots(whole);
    for (uint32_t i = 0; i < whole.n; i++)
        MUST(whole.p[i] >= ' ' && whole.p[i] != 0x7f && whole.p[i] != '\\');
    MUST(url_path_below(path, SPAN("/")) && url_path_below(path, path));
}

static void check_coding(const uint8_t *p, uint32_t n)
{
    static uint8_t coded[3 * FUZZ_BYTES_MAX], back[FUZZ_BYTES_MAX];
    struct span out, again;
    MUST(url_encode(span_of(p, n), n & 1, coded, 3 * n, &out) == RW_OK);
    MUST(url_decode(out, true, back, n, &again) == RW_OK && span_eq(again, span_of(p, n)));
    if (url_decode(span_of(p, n), false, back, n, &again) == RW_OK) {
        MUST(again.n <= n && (again.n == n || memchr(p, '%', n)));
        struct span tight;
        uint8_t *exact = fuzz_flush(1, back, again.n);
        MUST(url_decode(span_of(p, n), false, exact, again.n, &tight) == RW_OK && span_eq(tight, again));
    }
}

static void check_query(const uint8_t *p, uint32_t n)
{
    struct span rest = span_of(p, n), name, value;
    uint32_t count = 0;
    while (url_query_next(&rest, &name, &value)) {
        fuzz_within(name, p, n);
        fuzz_within(value, p, n);
        MUST(++count <= n);
        static uint8_t decoded[FUZZ_BYTES_MAX];
        struct span plain, found;
        // What stands there is found by its own name.
        if (url_decode(name, true, decoded, sizeof decoded, &plain) == RW_OK)
            MUST(count > 50 || url_query_find(span_of(p, n), plain, &found) >= 1);
    }
}

static void check_join(const uint8_t *p, uint32_t n, uint32_t cut)
{
    static uint8_t out[FUZZ_BYTES_MAX + 1];
    struct span got;
    MUST(url_join(span_of(p, cut), span_of(p + cut, n - cut), out, n + 1, &got) == RW_OK);
    MUST(got.n >= 1 && got.n <= n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    const uint32_t n = (uint32_t)size;
    const uint8_t *p = fuzz_flush(0, data, size);
    check_parse(p, n);
    check_path(p, n);
    check_coding(p, n);
    check_query(p, n);
    check_join(p, n, fuzz_number(data, size, 0, n + 1));
    http_host_is_valid(span_of(p, n));
    return 0;
}
