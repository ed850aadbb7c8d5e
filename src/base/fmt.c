// See fmt.h. Each formatter exists once, in its raw form; the bounded one writes in place when the worst case
// fits and otherwise by way of a small buffer, so that a piece that fits exactly is not refused.
#include "base/fmt.h"

#include "base/check.h"
#include "base/lanes.h"

static const char pairs[200] = {
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "4950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495969798"
    "99"};

static const uint64_t power10[20] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

static inline char *put_pair(char *at, uint32_t v)
{
    memcpy(at, pairs + 2 * v, 2);
    return at + 2;
}

// Exactly four digits.
static inline char *put_four(char *at, uint32_t v)
{
    return put_pair(put_pair(at, v / 100), v % 100);
}

// Exactly nine digits: a cost in nano-dollars.
static inline char *put_nine(char *at, uint32_t v)
{
    const uint32_t front = v / 10000;
    *at = (char)('0' + front / 10000);
    return put_four(put_four(at + 1, front % 10000), v % 10000);
}

// Exactly `digits` digits with leading zeros.
static char *put_digits(char *at, uint64_t v, uint32_t digits)
{
    uint32_t i = digits;
    for (; i >= 4; i -= 4) {
        put_four(at + i - 4, (uint32_t)(v % 10000));
        v /= 10000;
    }
    uint32_t rest = (uint32_t)v;
    if (i >= 2) {
        put_pair(at + i - 2, rest % 100);
        rest /= 100;
    }
    if (i & 1) at[0] = (char)('0' + rest % 10);
    return at + digits;
}

// Of a v above 0: 1 to 20. log10(2) is 1233 / 4096, near enough for 64 bits; the table corrects it by one.
static inline uint32_t digits_of(uint64_t v)
{
    const uint32_t bits = 64 - (uint32_t)__builtin_clzll(v);
    const uint32_t guess = bits * 1233 >> 12;
    return guess + (v >= power10[guess]);
}

// Below 10,000, without leading zeros.
static inline char *put_short(char *at, uint32_t v)
{
    const uint32_t high = v / 100, low = v % 100;
    if (high >= 10) return put_pair(put_pair(at, high), low);
    if (high > 0) {
        *at = (char)('0' + high);
        return put_pair(at + 1, low);
    }
    if (low >= 10) return put_pair(at, low);
    *at = (char)('0' + low);
    return at + 1;
}

char *fmt_raw_u64(char *at, uint64_t v)
{
    if (v < 10000) return put_short(at, (uint32_t)v);
    if (v < 100000000) {
        const uint32_t high = (uint32_t)v / 10000, low = (uint32_t)v % 10000;
        return put_four(put_short(at, high), low);
    }
    if (v < UINT64_C(1000000000000)) {
        const uint32_t low = (uint32_t)(v % 100000000);
        return put_four(put_four(put_short(at, (uint32_t)(v / 100000000)), low / 10000), low % 10000);
    }
    return put_digits(at, v, digits_of(v));
}

// The magnitude of v, INT64_MIN included.
static inline uint64_t magnitude(int64_t v)
{
    return v < 0 ? UINT64_C(0) - (uint64_t)v : (uint64_t)v;
}

static char *raw_i64(char *at, int64_t v)
{
    if (v < 0) *at++ = '-';
    return fmt_raw_u64(at, magnitude(v));
}

char *fmt_raw_decimal(char *at, int64_t v, uint32_t decimals)
{
    MUST(decimals <= FMT_DECIMALS_MAX);
    if (v < 0) *at++ = '-';
    const uint64_t whole = magnitude(v) / power10[decimals], fraction = magnitude(v) % power10[decimals];
    at = fmt_raw_u64(at, whole);
    if (fraction == 0) return at;
    *at++ = '.';
    at = decimals == 9 ? put_nine(at, (uint32_t)fraction) : put_digits(at, fraction, decimals);
    while (at[-1] == '0') at--;
    return at;
}

// A short text that was made elsewhere.
static inline void add(struct fmt *f, const char *text, const char *end)
{
    const uint32_t n = (uint32_t)(end - text);
    if (!fmt_room(f, n)) return;
    lanes_copy_short(f->p + f->n, text, n);
    f->n += n;
}

void fmt_u64(struct fmt *f, uint64_t v)
{
    char text[FMT_U64_BYTES];
    add(f, text, fmt_raw_u64(text, v));
}

void fmt_i64(struct fmt *f, int64_t v)
{
    char text[FMT_I64_BYTES];
    fmt_bytes(f, text, (uint32_t)(raw_i64(text, v) - text));
}

void fmt_hex(struct fmt *f, uint64_t v, uint32_t digits)
{
    MUST(digits <= 16);
    char text[16];
    uint32_t n = 0;
    do {
        text[15 - n++] = "0123456789abcdef"[v & 15];
        v >>= 4;
    } while (v || n < digits);
    fmt_bytes(f, text + 16 - n, n);
}

void fmt_decimal(struct fmt *f, int64_t v, uint32_t decimals)
{
    char text[FMT_DECIMAL_BYTES];
    add(f, text, fmt_raw_decimal(text, v, decimals));
}

struct civil {
    uint32_t year, month, day; // month and day from 1
};

// The proleptic Gregorian calendar, counted in eras of 400 years that begin on the first of March, so that
// the leap day is the last of its year.
static struct civil civil_of(uint32_t days_since_1970)
{
    const uint32_t days = days_since_1970 + 719468;
    const uint32_t era = days / 146097, in_era = days % 146097;
    const uint32_t year_in_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const uint32_t in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    const uint32_t from_march = (5 * in_year + 2) / 153;
    const uint32_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (struct civil){
        .year = year_in_era + era * 400 + (month <= 2),
        .month = month,
        .day = in_year - (153 * from_march + 2) / 5 + 1,
    };
}

static char *put_clock(char *at, uint32_t second_of_day)
{
    at = put_pair(at, second_of_day / 3600);
    *at++ = ':';
    at = put_pair(at, second_of_day / 60 % 60);
    *at++ = ':';
    return put_pair(at, second_of_day % 60);
}

static void iso_second_make(struct fmt_time *cache, int64_t second)
{
    const struct civil day = civil_of((uint32_t)(second / 86400));
    char *at = put_four(cache->iso, day.year);
    *at++ = '-';
    at = put_pair(at, day.month);
    *at++ = '-';
    at = put_pair(at, day.day);
    *at++ = 'T';
    at = put_clock(at, (uint32_t)(second % 86400));
    *at = 0;
    cache->iso_second_ns = second * 1000000000;
}

char *fmt_raw_time_iso(char *at, struct fmt_time *cache, int64_t wall_ns)
{
    if (RW_UNLIKELY(wall_ns < 0)) wall_ns = 0;
    uint64_t ns = (uint64_t)(wall_ns - cache->iso_second_ns);
    if (RW_UNLIKELY(ns >= 1000000000 || cache->iso[0] == 0)) {
        iso_second_make(cache, wall_ns / 1000000000);
        ns = (uint64_t)(wall_ns - cache->iso_second_ns);
    }
    memcpy(at, cache->iso, 19);
    const uint32_t us = (uint32_t)ns / 1000;
    at[19] = '.';
    put_pair(at + 20, us / 10000);
    put_four(at + 22, us % 10000);
    at[26] = 'Z';
    return at + FMT_TIME_ISO_BYTES;
}

static void http_second_make(struct fmt_time *cache, int64_t second)
{
    const uint32_t days = (uint32_t)(second / 86400);
    const struct civil day = civil_of(days);
    char *at = cache->http;
    memcpy(at, &"ThuFriSatSunMonTueWed"[3 * (days % 7)], 3); // the first of January 1970 was a Thursday
    memcpy(at + 3, ", ", 2);
    at = put_pair(at + 5, day.day);
    *at++ = ' ';
    memcpy(at, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * (day.month - 1)], 3);
    at[3] = ' ';
    at = put_four(at + 4, day.year);
    *at++ = ' ';
    at = put_clock(at, (uint32_t)(second % 86400));
    memcpy(at, " GMT", 5);
    cache->http_second = second;
}

void fmt_time_iso(struct fmt *f, struct fmt_time *cache, int64_t wall_ns)
{
    char text[FMT_TIME_ISO_BYTES];
    fmt_raw_time_iso(text, cache, wall_ns);
    fmt_bytes(f, text, FMT_TIME_ISO_BYTES);
}

void fmt_time_http(struct fmt *f, struct fmt_time *cache, int64_t wall_ns)
{
    const int64_t second = wall_ns < 0 ? 0 : wall_ns / 1000000000;
    if (second != cache->http_second || cache->http[0] == 0) http_second_make(cache, second);
    fmt_bytes(f, cache->http, FMT_TIME_HTTP_BYTES);
}

char *fmt_raw_duration_go(char *at, int64_t ns)
{
    const uint64_t ms = ns <= 0 ? 0 : (uint64_t)ns / 1000000 + ((uint64_t)ns % 1000000 != 0);
    if (ms == 0) {
        *at++ = '0';
    } else if (ms < 1000) {
        at = fmt_raw_u64(at, ms);
        *at++ = 'm';
    } else {
        const uint64_t minutes = ms / 60000;
        if (minutes >= 60) {
            at = fmt_raw_u64(at, minutes / 60);
            *at++ = 'h';
        }
        if (minutes) {
            at = fmt_raw_u64(at, minutes % 60);
            *at++ = 'm';
        }
        at = fmt_raw_decimal(at, (int64_t)(ms % 60000), 3);
    }
    *at++ = 's';
    return at;
}

void fmt_duration_go(struct fmt *f, int64_t ns)
{
    char text[FMT_DURATION_BYTES];
    add(f, text, fmt_raw_duration_go(text, ns));
}

static char *put_v4(char *at, const uint8_t *a)
{
    for (int i = 0; i < 4; i++) {
        if (i) *at++ = '.';
        at = fmt_raw_u64(at, a[i]);
    }
    return at;
}

static char *put_group(char *at, uint32_t group)
{
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        const uint32_t digit = group >> shift & 15;
        begun = begun || digit || shift == 0;
        if (begun) *at++ = "0123456789abcdef"[digit];
    }
    return at;
}

// RFC 5952: the first of the longest runs of two or more zero groups becomes "::".
static char *put_v6(char *at, const uint8_t *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(a, mapped, sizeof mapped) == 0) {
        memcpy(at, "::ffff:", 7);
        return put_v4(at + 7, a + 12);
    }
    uint32_t group[8], best = 8, best_n = 1;
    for (uint32_t i = 0; i < 8; i++) group[i] = (uint32_t)a[2 * i] << 8 | a[2 * i + 1];
    for (uint32_t i = 0, n; i < 8; i += n ? n : 1) {
        for (n = 0; i + n < 8 && group[i + n] == 0;) n++;
        if (n > best_n) {
            best = i;
            best_n = n;
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        if (i == best) {
            memcpy(at, "::", 2);
            at += 2;
            i += best_n - 1;
            continue;
        }
        if (i && i != best + best_n) *at++ = ':';
        at = put_group(at, group[i]);
    }
    return at;
}

void fmt_ip(struct fmt *f, const uint8_t *address, uint32_t bytes)
{
    MUST(bytes == 4 || bytes == 16);
    char text[FMT_IP_BYTES];
    const char *end = bytes == 4 ? put_v4(text, address) : put_v6(text, address);
    fmt_bytes(f, text, (uint32_t)(end - text));
}

// --- JSON strings.

typedef int8_t signed_lanes __attribute__((vector_size(16)));

// Lanes that need a second look: below 0x20 and, the comparison being signed, above 0x7f; the quote, the
// backslash.
static inline lanes odd(lanes v)
{
    return (lanes)(((signed_lanes)v < 0x20) | (v == '"') | (v == '\\'));
}

// The following copy n bytes if none of them is odd, and otherwise nothing that counts. Pieces overlap in
// the middle instead of being handled byte by byte.
static inline bool copy_1_to_3(char *at, const uint8_t *p, uint32_t n)
{
    const uint8_t head = p[0], middle = p[n / 2], tail = p[n - 1];
    const uint64_t three = (uint64_t)head << 16 | (uint64_t)middle << 8 | tail | UINT64_C(0x2020202020000000);
    if (lanes_any(odd((lanes)(lane_pair){three, three}))) return false;
    at[0] = (char)head;
    at[n / 2] = (char)middle;
    at[n - 1] = (char)tail;
    return true;
}

static inline bool copy_4_to_7(char *at, const uint8_t *p, uint32_t n)
{
    const uint32_t head = lanes_load4(p), tail = lanes_load4(p + n - 4);
    const uint64_t both = (uint64_t)head << 32 | tail;
    if (lanes_any(odd((lanes)(lane_pair){both, both}))) return false;
    memcpy(at, &head, 4);
    memcpy(at + n - 4, &tail, 4);
    return true;
}

static inline bool copy_8_to_15(char *at, const uint8_t *p, uint32_t n)
{
    const uint64_t head = lanes_load8(p), tail = lanes_load8(p + n - 8);
    if (lanes_any(odd((lanes)(lane_pair){head, tail}))) return false;
    memcpy(at, &head, 8);
    memcpy(at + n - 8, &tail, 8);
    return true;
}

static inline bool copy_16_to_32(char *at, const uint8_t *p, uint32_t n)
{
    const lanes head = lanes_load(p), tail = lanes_load(p + n - 16);
    if (lanes_any(odd(head) | odd(tail))) return false;
    memcpy(at, &head, 16);
    memcpy(at + n - 16, &tail, 16);
    return true;
}

static inline bool copy_long(char *at, const uint8_t *p, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 32 < n; i += 32)
        if (!copy_16_to_32(at + i, p + i, 32)) return false;
    // What is left is 1 to 32 bytes: the last 32 once more.
    return copy_16_to_32(at + n - 32, p + n - 32, 32);
}

static inline bool copy_plain(char *at, const uint8_t *p, uint32_t n)
{
    if (n > 32) return copy_long(at, p, n);
    if (n >= 16) return copy_16_to_32(at, p, n);
    if (n >= 8) return copy_8_to_15(at, p, n);
    if (n >= 4) return copy_4_to_7(at, p, n);
    return n == 0 || copy_1_to_3(at, p, n);
}

// Length of the valid UTF-8 sequence at p that begins with a byte above 0x7f (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF), or 0.
static uint32_t utf8_sequence(const uint8_t *p, uint32_t n)
{
    const uint8_t b = p[0];
    const uint32_t len = b >= 0xc2 && b < 0xe0 ? 2
        : b >= 0xe0 && b < 0xf0                ? 3
        : b >= 0xf0 && b < 0xf5                ? 4
                                               : 0;
    if (len == 0 || len > n) return 0;
    const uint8_t low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (uint32_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return len;
}

// The letter behind the backslash of a short escape, or 0.
static char short_escape(uint8_t c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

// One character of s at p (n bytes left) to `at`; at most 6 bytes. *ret_used: bytes of s.
static char *put_character(char *at, const uint8_t *p, uint32_t n, uint32_t *ret_used)
{
    *ret_used = 1;
    const char letter = short_escape(*p);
    if (letter) {
        at[0] = '\\';
        at[1] = letter;
        return at + 2;
    }
    if (*p < 0x20) {
        memcpy(at, "\\u00", 4);
        at[4] = (char)('0' + (*p >> 4));
        at[5] = "0123456789abcdef"[*p & 15];
        return at + 6;
    }
    if (*p < 0x80) {
        *at = (char)*p;
        return at + 1;
    }
    const uint32_t len = utf8_sequence(p, n);
    if (len == 0) {
        memcpy(at, "\xef\xbf\xbd", 3);
        return at + 3;
    }
    memcpy(at, p, len);
    *ret_used = len;
    return at + len;
}

// The whole string, quotes included. Out of line, so that the ordinary case has no registers to save.
static __attribute__((noinline)) char *put_escaped(char *at, struct span s)
{
    *at++ = '"';
    for (uint32_t i = 0, used; i < s.n; i += used) at = put_character(at, s.p + i, s.n - i, &used);
    *at++ = '"';
    return at;
}

char *fmt_raw_json(char *at, struct span s)
{
    if (RW_UNLIKELY(!copy_plain(at + 1, s.p, s.n))) return put_escaped(at, s);
    at[0] = '"';
    at[s.n + 1] = '"';
    return at + s.n + 2;
}

void fmt_json_string(struct fmt *f, struct span s)
{
    uint64_t bytes = (uint64_t)s.n * 6 + 2;
    if (RW_UNLIKELY(bytes > f->cap - f->n)) {
        // The worst case does not fit: how long is it really?
        char character[8];
        bytes = 2;
        for (uint32_t i = 0, used; i < s.n; i += used)
            bytes += (uint64_t)(put_character(character, s.p + i, s.n - i, &used) - character);
    }
    if (bytes > UINT32_MAX) bytes = UINT32_MAX;
    if (!fmt_room(f, (uint32_t)bytes)) return;
    f->n = (uint32_t)(fmt_raw_json(f->p + f->n, s) - f->p);
}
