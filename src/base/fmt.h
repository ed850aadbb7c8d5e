// Formatting into a bounded buffer, by hand: snprintf cost 6,090 instructions for one log line.
//
// Use      fmt_init(); fmt_str(); fmt_u64() ...; then p[0 .. n) is the text (not NUL-terminated) unless
//          `overflow` is set.
// Bound    a piece is written whole or not at all. The first piece that does not fit sets `overflow`; from
//          then on nothing more is written, so what is there is always the beginning of the text, cut between
//          two pieces.
// Raw      fmt_raw_*() are the same formatters without the bound: they write at `at`, where the caller
//          guarantees the room that is stated with each, and return the end. For lines whose worst case is
//          known and asserted (access log).
// Owner    the buffer is the caller's. Thread: any. Never suspends. Time is given: wall_ns of base/clock.h,
//          UTC; what is before 1970 is shown as 1970.
#ifndef RINGWAY_BASE_FMT_H
#define RINGWAY_BASE_FMT_H

#include "base/span.h"

struct fmt {
    char *p;
    uint32_t n, cap;
    bool overflow;
};

// The last second that was formatted, so that the next line of the same second copies its text. All zero is
// empty. One per thread and purpose.
struct fmt_time {
    int64_t iso_second_ns;
    int64_t http_second;
    char iso[20]; // "2025-11-21T09:27:00" and a zero
    char http[32]; // "Fri, 21 Nov 2025 09:27:00 GMT" and a zero
};

// Most bytes that a raw formatter writes.
#define FMT_U64_BYTES 20
#define FMT_I64_BYTES 20
#define FMT_DECIMAL_BYTES 24
#define FMT_TIME_ISO_BYTES 27
#define FMT_TIME_HTTP_BYTES 29
#define FMT_IP_BYTES 45
#define FMT_DURATION_BYTES 32
// A string of n bytes with its quotes: every byte may become \u00XX.
#define FMT_JSON_BYTES(n) (6 * (n) + 2)
// Decimals that fmt_decimal() takes.
#define FMT_DECIMALS_MAX 18

static inline void fmt_init(struct fmt *f, void *p, uint32_t cap)
{
    *f = (struct fmt){.p = (char *)p, .cap = cap};
}

static inline struct span fmt_text(const struct fmt *f)
{
    return span_of(f->p, f->n);
}

// True if n more bytes fit; otherwise overflow is set.
static inline bool fmt_room(struct fmt *f, uint32_t n)
{
    if (__builtin_expect(f->overflow || n > f->cap - f->n, 0)) {
        f->overflow = true;
        return false;
    }
    return true;
}

static inline void fmt_bytes(struct fmt *f, const void *p, uint32_t n)
{
    if (!fmt_room(f, n)) return;
    if (n) memcpy(f->p + f->n, p, n);
    f->n += n;
}

static inline void fmt_span(struct fmt *f, struct span s)
{
    fmt_bytes(f, s.p, s.n);
}

static inline void fmt_str(struct fmt *f, const char *text)
{
    fmt_bytes(f, text, (uint32_t)strlen(text));
}

static inline void fmt_char(struct fmt *f, char c)
{
    fmt_bytes(f, &c, 1);
}

void fmt_u64(struct fmt *f, uint64_t v);
void fmt_i64(struct fmt *f, int64_t v);

// Lower case, without 0x, at least `digits` digits (0 to 16) with leading zeros.
void fmt_hex(struct fmt *f, uint64_t v, uint32_t digits);

// v / 10^decimals, trailing zeros of the fraction cut: (12340, 3) is 12.34, (5000, 3) is 5, (-7, 2) is -0.07.
void fmt_decimal(struct fmt *f, int64_t v, uint32_t decimals);

// RFC 3339 with microseconds (cut, not rounded): 2025-11-21T09:27:00.000000Z.
void fmt_time_iso(struct fmt *f, struct fmt_time *cache, int64_t wall_ns);

// IMF-fixdate of RFC 9110 5.6.7: Fri, 21 Nov 2025 09:27:00 GMT.
void fmt_time_http(struct fmt *f, struct fmt_time *cache, int64_t wall_ns);

// s with its quotes as a string of RFC 8259. Each byte that is no part of valid UTF-8 becomes U+FFFD; control
// characters are escaped. Whole or not at all.
void fmt_json_string(struct fmt *f, struct span s);

// As Go prints durations and OpenAI its x-ratelimit-reset-*: 6m0s, 1.21s, 35ms, 1h0m0s, 0s. Rounded up to a
// millisecond, so that who waits that long has waited long enough. Negative is 0s.
void fmt_duration_go(struct fmt *f, int64_t ns);

// An address of 4 bytes (dotted) or 16 bytes (RFC 5952; v4-mapped as ::ffff:1.2.3.4), in network order. Other
// lengths are a programmer error.
void fmt_ip(struct fmt *f, const uint8_t *address, uint32_t bytes);

char *fmt_raw_u64(char *at, uint64_t v);
char *fmt_raw_decimal(char *at, int64_t v, uint32_t decimals);
char *fmt_raw_time_iso(char *at, struct fmt_time *cache, int64_t wall_ns);
char *fmt_raw_duration_go(char *at, int64_t ns);
char *fmt_raw_json(char *at, struct span s);

#endif
