// Numbers of json.h. A number is read as sign, digits without the zeros at both ends, and a power of ten;
// the double is then exact by one multiplication or division where both sides are (Clinger, "How to read
// floating point numbers accurately", 1990), and else left to strtod().
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fmt.h"
#include "wire/json_priv.h"

// Digits that decide the rounding of a double at most, and one more for "there was something behind".
#define DOUBLE_DIGITS_MAX 768
// Powers of ten beyond this make zero or infinity of any number of digits that fits a text.
#define EXPONENT_MAX 10000000000

struct number {
    bool negative;
    bool whole; // digits holds all of them
    uint64_t digits;
    int64_t exponent; // value = digits * 10^exponent
    int64_t unit; // power of ten of the last digit that is written
};

static uint32_t digits_at(struct span s, uint32_t at)
{
    uint32_t i = at;
    while (i < s.n && (uint8_t)(s.p[i] - '0') <= 9) i++;
    return i - at;
}

uint32_t json_number_bytes(struct span s)
{
    uint32_t i = s.n && s.p[0] == '-', k = digits_at(s, i);
    if (k == 0 || (k > 1 && s.p[i] == '0')) return UINT32_MAX;
    i += k;
    if (i < s.n && s.p[i] == '.') {
        k = digits_at(s, ++i);
        if (k == 0) return UINT32_MAX;
        i += k;
    }
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        i++;
        i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
        k = digits_at(s, i);
        if (k == 0) return UINT32_MAX;
        i += k;
    }
    return i;
}

// The exponent's own value, clamped. p[0 .. n) is behind the 'e'.
static bool exponent_of(struct span s, int64_t *ret)
{
    const bool negative = s.n && s.p[0] == '-';
    int64_t v = 0;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = span_from(s, 1);
    if (s.n == 0) return false;
    for (uint32_t i = 0; i < s.n; i++) {
        const uint8_t d = (uint8_t)(s.p[i] - '0');
        if (d > 9) return false;
        if (v < EXPONENT_MAX) v = v * 10 + d;
    }
    *ret = negative ? -v : v;
    return true;
}

// One more digit, behind `zeros` zeros that are only now known not to be at the end.
static void add_digit(struct number *ret, uint32_t zeros, uint8_t d)
{
    for (; zeros && ret->digits <= UINT64_MAX / 10; zeros--) ret->digits *= 10;
    if (zeros || ret->digits > (UINT64_MAX - d) / 10) {
        ret->whole = false;
        return;
    }
    ret->digits = ret->digits * 10 + d;
}

// False: no number by the grammar.
static bool number_of(struct span s, struct number *ret)
{
    *ret = (struct number){.whole = true, .negative = s.n && s.p[0] == '-'};
    uint32_t i = ret->negative, zeros = 0, seen = 0;
    bool fraction = false;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && !fraction && seen) {
            fraction = true;
            seen = 0;
            continue;
        }
        const uint8_t d = (uint8_t)(s.p[i] - '0');
        if (d > 9) break;
        seen++;
        ret->exponent -= fraction;
        if (d == 0) {
            zeros += ret->digits != 0;
            continue;
        }
        if (ret->whole) add_digit(ret, ret->digits ? zeros : 0, d);
        zeros = 0;
    }
    if (seen == 0) return false;
    int64_t exponent = 0;
    if (i < s.n && ((s.p[i] | 0x20) != 'e' || !exponent_of(span_from(s, i + 1), &exponent))) return false;
    ret->unit = ret->exponent + exponent;
    ret->exponent = ret->unit + zeros;
    return true;
}

// The magnitude, if it is an integer of 64 bits.
static bool integer_of(const struct number *number, uint64_t *ret)
{
    uint64_t v = number->digits;
    if (!number->whole) return false;
    if (v == 0) {
        *ret = 0;
        return true;
    }
    if (number->exponent < 0 || number->exponent > 19) return false;
    for (int64_t i = 0; i < number->exponent; i++) {
        if (v > UINT64_MAX / 10) return false;
        v *= 10;
    }
    *ret = v;
    return true;
}

// The ordinary numbers have no use for a struct number, nor for the frame it lies in.
static __attribute__((noinline)) bool odd_u64(struct span value, uint64_t *ret)
{
    struct number number;
    uint64_t v;
    if (!number_of(value, &number) || !integer_of(&number, &v) || (number.negative && v)) return false;
    *ret = v;
    return true;
}

bool json_u64(struct span value, uint64_t *ret)
{
    return RW_LIKELY(span_u64(value, ret)) || odd_u64(value, ret);
}

static __attribute__((noinline)) bool odd_i64(struct span value, int64_t *ret)
{
    struct number number;
    uint64_t v;
    if (!number_of(value, &number) || !integer_of(&number, &v)) return false;
    if (v > (uint64_t)INT64_MAX + number.negative) return false;
    *ret = number.negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool json_i64(struct span value, int64_t *ret)
{
    uint64_t v;
    if (RW_UNLIKELY(!span_u64(value, &v) || v > INT64_MAX)) return odd_i64(value, ret);
    *ret = (int64_t)v;
    return true;
}

bool json_bool(struct span value, bool *ret)
{
    if (!span_eq(value, SPAN("true")) && !span_eq(value, SPAN("false"))) return false;
    *ret = value.p[0] == 't';
    return true;
}

// Rounded by strtod(): the process never leaves the C locale. Of a long number it is given the digits that
// can matter.
static double double_of(struct span s, const struct number *number)
{
    char text[DOUBLE_DIGITS_MAX + 64];
    struct fmt f;
    uint32_t digits = 0, dropped = 0;
    bool rest = false;
    fmt_init(&f, text, sizeof(text) - 1);
    if (number->negative) fmt_char(&f, '-');
    for (uint32_t i = number->negative; i < s.n && (s.p[i] | 0x20) != 'e'; i++) {
        const uint8_t c = s.p[i];
        if (c == '.' || (c == '0' && digits == 0)) continue;
        if (digits < DOUBLE_DIGITS_MAX) {
            fmt_char(&f, (char)c);
            digits++;
        } else {
            rest |= c != '0';
            dropped++;
        }
    }
    if (digits == 0) fmt_char(&f, '0');
    if (rest) fmt_char(&f, '1');
    fmt_char(&f, 'e');
    fmt_i64(&f, number->unit + dropped - rest);
    MUST(!f.overflow);
    text[f.n] = 0;
    return strtod(text, NULL);
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool json_double(struct span value, double *ret)
{
    struct number number;
    if (!number_of(value, &number)) return false;
    double v;
    if (number.whole && number.digits <= UINT64_C(1) << 53 && number.exponent >= -22 &&
        number.exponent <= 22) {
        v = (double)number.digits;
        v = number.exponent < 0 ? v / powers[-number.exponent] : v * powers[number.exponent];
        if (number.negative) v = -v;
    } else {
        v = double_of(value, &number);
    }
    if (!isfinite(v)) return false;
    *ret = v;
    return true;
}

// --- Embeddings: many numbers, of which most have few digits.

// A double this near to the middle between two floats may have been rounded to the wrong side of it.
#define FLOAT_MIDDLE (UINT64_C(1) << 28)
#define FLOAT_DOUBT 8

static bool float_is_certain(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    const uint64_t low = bits & (2 * FLOAT_MIDDLE - 1), exponent = bits >> 52 & 0x7ff;
    // Outside of these a float is subnormal or infinite.
    if (exponent < 1023 - 126 || exponent > 1023 + 126) return false;
    return low + FLOAT_DOUBT < FLOAT_MIDDLE || low > FLOAT_MIDDLE + FLOAT_DOUBT;
}

static bool odd_float(const uint8_t *p, const uint8_t *end, float *ret)
{
    double v;
    if (!json_double((struct span){p, (uint32_t)(end - p)}, &v) || v > (double)FLT_MAX ||
        v < -(double)FLT_MAX)
        return false;
    *ret = (float)v;
    return true;
}

// The number at p; its end, or NULL. Ended by what is no part of a number: the text was scanned.
static const uint8_t *read_float(const uint8_t *p, const uint8_t *end, float *ret)
{
    const uint8_t *begin = p;
    uint64_t digits = 0;
    int32_t exponent = 0;
    const bool negative = p < end && *p == '-';
    p += negative;
    const uint8_t *first = p;
    for (; p < end && (uint8_t)(*p - '0') <= 9; p++) digits = digits * 10 + (uint8_t)(*p - '0');
    if (p == first) return NULL;
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        for (; p < end && (uint8_t)(*p - '0') <= 9; p++) digits = digits * 10 + (uint8_t)(*p - '0');
        exponent = (int32_t)(fraction - p);
    }
    const bool many = p - first > 19; // they may have overflowed
    if (p < end && (*p | 0x20) == 'e') {
        const bool down = p + 1 < end && p[1] == '-';
        int32_t e = 0;
        p += 1 + (p + 1 < end && (p[1] == '-' || p[1] == '+'));
        for (; p < end && (uint8_t)(*p - '0') <= 9; p++)
            if (e < 10000) e = e * 10 + (*p - '0');
        exponent += down ? -e : e;
    }
    if (RW_UNLIKELY(many || exponent < -22 || exponent > 22)) return odd_float(begin, p, ret) ? p : NULL;
    double v = (double)digits;
    v = exponent < 0 ? v / powers[-exponent] : v * powers[exponent];
    if (RW_UNLIKELY(!float_is_certain(v))) return odd_float(begin, p, ret) ? p : NULL;
    *ret = (float)(negative ? -v : v);
    return p;
}

bool json_floats(struct span array, float *out, uint32_t cap, uint32_t *ret_n)
{
    const uint8_t *p = array.p, *end = array.p + array.n;
    uint32_t n = 0;
    *ret_n = 0;
    if (array.n < 2 || *p != '[' || end[-1] != ']') return false;
    p++;
    end--;
    for (;;) {
        while (p < end && *p <= ' ') p++;
        if (p == end) break;
        float v;
        p = read_float(p, end, &v);
        if (!p) return false;
        if (n < cap) out[n] = v;
        n++;
        while (p < end && *p <= ' ') p++;
        if (p < end && *p++ != ',') return false;
    }
    *ret_n = n;
    return true;
}
