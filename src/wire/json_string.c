// Strings of json.h: unescaping, and the comparison of keys.
#include "base/check.h"
#include "wire/json_priv.h"
#include "wire/utf8.h"

static bool hex4(const uint8_t *p, uint32_t *ret)
{
    uint32_t v = 0;
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t c = p[i], lower = c | 0x20;
        const uint32_t digit = (uint8_t)(c - '0') <= 9 ? c - 48u
            : (uint8_t)(lower - 'a') <= 5              ? lower - 87u
                                                       : 16;
        if (digit > 15) return false;
        v = v << 4 | digit;
    }
    *ret = v;
    return true;
}

// \uXXXX at p, or a pair of them. The length, or 0: no such escape, or half of a pair that is refused.
static uint32_t unescape_u(const uint8_t *p, size_t n, enum json_lone lone, uint32_t *ret)
{
    uint32_t low;
    if (n < 6 || !hex4(p + 2, ret)) return 0;
    if ((*ret & 0xf800) != 0xd800) return 6;
    if (*ret < 0xdc00 && n >= 12 && p[6] == '\\' && p[7] == 'u' && hex4(p + 8, &low) &&
        (low & 0xfc00) == 0xdc00) {
        *ret = 0x10000 + ((*ret & 0x3ff) << 10 | (low & 0x3ff));
        return 12;
    }
    *ret = UTF8_REPLACEMENT;
    return lone == JSON_LONE_REPLACE ? 6 : 0;
}

// The escape at the front of p[0 .. n), its text in out. Returns its length, or 0.
static uint32_t unescape(const uint8_t *p, size_t n, enum json_lone lone, uint8_t out[UTF8_BYTES_MAX],
                         uint32_t *ret_out_n)
{
    static const uint8_t letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (n < 2) return 0;
    *ret_out_n = 1;
    for (uint32_t i = 0; i < sizeof(letters) - 1; i++)
        if (p[1] == letters[i]) {
            out[0] = values[i];
            return 2;
        }
    uint32_t character = 0;
    const uint32_t k = p[1] == 'u' ? unescape_u(p, n, lone, &character) : 0;
    if (k) *ret_out_n = utf8_encode(character, out);
    return k;
}

static bool inside(struct span value, struct span *ret)
{
    if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"') return false;
    *ret = (struct span){value.p + 1, value.n - 2};
    return true;
}

enum rw_err json_unescape(struct span raw, enum json_lone lone, uint8_t *buf, uint32_t cap, struct span *ret)
{
    uint32_t at = span_find(raw, '\\'), n = 0;
    if (at == raw.n) {
        *ret = raw;
        return RW_OK;
    }
    for (;;) {
        if (at > cap - n) return RW_E_TOO_LARGE;
        if (at) memcpy(buf + n, raw.p, at);
        n += at;
        raw = span_from(raw, at);
        if (raw.n == 0) break;
        uint8_t text[UTF8_BYTES_MAX];
        uint32_t text_n;
        const uint32_t k = unescape(raw.p, raw.n, lone, text, &text_n);
        if (k == 0) return RW_E_BAD;
        if (text_n > cap - n) return RW_E_TOO_LARGE;
        memcpy(buf + n, text, text_n);
        n += text_n;
        raw = span_from(raw, k);
        at = span_find(raw, '\\');
    }
    *ret = (struct span){buf, n};
    return RW_OK;
}

enum rw_err json_string(struct span value, enum json_lone lone, uint8_t *buf, uint32_t cap, struct span *ret)
{
    struct span raw;
    return inside(value, &raw) ? json_unescape(raw, lone, buf, cap, ret) : RW_E_BAD;
}

enum rw_err json_string_each(struct span value, enum json_lone lone,
                             enum rw_err (*each)(void *arg, struct span piece), void *arg)
{
    struct span raw;
    if (!inside(value, &raw)) return RW_E_BAD;
    while (raw.n) {
        const uint32_t at = span_find(raw, '\\');
        if (at) RW_TRY(each(arg, (struct span){raw.p, at}));
        raw = span_from(raw, at);
        if (raw.n == 0) break;
        uint8_t text[UTF8_BYTES_MAX];
        uint32_t text_n;
        const uint32_t k = unescape(raw.p, raw.n, lone, text, &text_n);
        if (k == 0) return RW_E_BAD;
        RW_TRY(each(arg, (struct span){text, text_n}));
        raw = span_from(raw, k);
    }
    return RW_OK;
}

bool json_key_is(struct span raw_key, struct span want)
{
    if (span_find(raw_key, '\\') == raw_key.n) return span_eq(raw_key, want);
    while (raw_key.n && want.n) {
        uint8_t text[UTF8_BYTES_MAX] = {raw_key.p[0]};
        uint32_t text_n = 1, k = 1;
        if (raw_key.p[0] == '\\') k = unescape(raw_key.p, raw_key.n, JSON_LONE_REFUSE, text, &text_n);
        if (k == 0 || !span_starts(want, (struct span){text, text_n})) return false;
        raw_key = span_from(raw_key, k);
        want = span_from(want, text_n);
    }
    return raw_key.n == 0 && want.n == 0;
}

uint32_t json_odd_bytes(struct span s)
{
    uint32_t character;
    if (s.p[0] >= 0x80) return utf8_decode(s, &character);
    if (s.p[0] != '\\' || s.n < 2) return 0;
    if (s.p[1] == 'u') return s.n >= 6 && hex4(s.p + 2, &character) ? 6 : 0;
    return s.p[1] && strchr("\"\\/bfnrt", s.p[1]) ? 2 : 0;
}
