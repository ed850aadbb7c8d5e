// Hexadecimal and the two base64 alphabets of crypto.h. The decoders take a character's value from
// comparisons instead of a table, so that the text of a key leaves no trace in the cache.
#include "tls/crypto.h"

int64_t crypto_hex_encode(const void *data, size_t n, char *out, size_t cap)
{
    static const char digits[16] = "0123456789abcdef";
    const uint8_t *p = data;
    if (n > cap / 2) return RW_E_TOO_LARGE;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    return (int64_t)(n * 2);
}

// c62 and c63 are what the two alphabets differ in.
static char digit_of(uint32_t v, char c62, char c63)
{
    v &= 63;
    if (v < 26) return (char)('A' + v);
    if (v < 52) return (char)('a' + v - 26);
    if (v < 62) return (char)('0' + v - 52);
    return v == 62 ? c62 : c63;
}

static int32_t value_of(char c, char c62, char c63)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == c62) return 62;
    return c == c63 ? 63 : -1;
}

static int64_t encode(const uint8_t *p, size_t n, char *out, size_t cap, char c62, char c63, bool padded)
{
    if (n > SIZE_MAX / 4) return RW_E_TOO_LARGE;
    const size_t chars = padded ? CRYPTO_BASE64_CHARS(n) : CRYPTO_BASE64URL_CHARS(n);
    if (chars > cap) return RW_E_TOO_LARGE;
    size_t at = 0;
    for (; n >= 3; n -= 3, p += 3) {
        const uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        out[at++] = digit_of(v >> 18, c62, c63);
        out[at++] = digit_of(v >> 12, c62, c63);
        out[at++] = digit_of(v >> 6, c62, c63);
        out[at++] = digit_of(v, c62, c63);
    }
    if (n) {
        const uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
        out[at++] = digit_of(v >> 18, c62, c63);
        out[at++] = digit_of(v >> 12, c62, c63);
        if (n == 2) out[at++] = digit_of(v >> 6, c62, c63);
        while (at < chars) out[at++] = '=';
    }
    MUST(at == chars);
    return (int64_t)at;
}

static int64_t decode(const char *text, size_t n, uint8_t *out, size_t cap, char c62, char c63)
{
    const size_t tail = n % 4;
    if (tail == 1) return RW_E_BAD;
    const size_t bytes = n / 4 * 3 + (tail ? tail - 1 : 0);
    if (bytes > cap) return RW_E_TOO_LARGE;
    uint32_t held = 0, held_bits = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t v = value_of(text[i], c62, c63);
        if (v < 0) return RW_E_BAD;
        held = held << 6 | (uint32_t)v;
        held_bits += 6;
        if (held_bits < 8) continue;
        held_bits -= 8;
        *out++ = (uint8_t)(held >> held_bits);
        held &= (1u << held_bits) - 1;
    }
    return held == 0 ? (int64_t)bytes : RW_E_BAD;
}

int64_t crypto_base64_encode(const void *data, size_t n, char *out, size_t cap)
{
    return encode(data, n, out, cap, '+', '/', true);
}

int64_t crypto_base64url_encode(const void *data, size_t n, char *out, size_t cap)
{
    return encode(data, n, out, cap, '-', '_', false);
}

int64_t crypto_base64_decode(const char *text, size_t n, void *out, size_t cap)
{
    if (n % 4) return RW_E_BAD;
    if (n && text[n - 1] == '=') n--;
    if (n % 4 == 3 && text[n - 1] == '=') n--;
    return decode(text, n, out, cap, '+', '/');
}

int64_t crypto_base64url_decode(const char *text, size_t n, void *out, size_t cap)
{
    return decode(text, n, out, cap, '-', '_');
}
