// See sse.h. Almost every event of a model's stream is one data line and a blank line with LF, whole in the
// buffer: sse_next() finds that without touching its state. Everything else goes line by line.
#include "wire/sse.h"

#include <stdatomic.h>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum {
    BEGUN = 1, // the byte order mark is behind us
    AFTER_CR = 2, // the last byte read was a CR: an LF belongs to it
    COMMENT = 4,
    HAS_ID = 8,
    HAS_RETRY = 16,
    PASSED = 32, // a part of this event was given away
    LINE_PASSED = 64, // and the open line began in that part
    MARK = 128, // the event begins with the byte order mark
};

// --- Finding the end of a line: the position of the first LF or CR in p[0 .. n), or n.

INLINE uint32_t find_scalar(const uint8_t *p, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && p[i] != '\n' && p[i] != '\r') i++;
    return i;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,bmi")))
#define SSE42 __attribute__((target("sse4.2")))

// LF and CR are what the table has for their low nibble; no other byte is.
AVX2 static inline uint32_t ends_avx2(const uint8_t *p)
{
    const __m256i table = _mm256_setr_epi8(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\n', 0, 0, '\r', 0, 0, 1, 0, 0, 0,
                                           0, 0, 0, 0, 0, 0, '\n', 0, 0, '\r', 0, 0);
    const __m256i v = _mm256_loadu_si256((const void *)p);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v));
}

AVX2 static inline __m256i lower_avx2(__m256i a, const uint8_t *p)
{
    return _mm256_min_epu8(a, _mm256_loadu_si256((const void *)p));
}

// Four vectors at once: nothing below SO is in most of them. Then vector by vector; the last one overlaps
// what was searched.
AVX2 INLINE uint32_t find_avx2(const uint8_t *p, uint32_t n)
{
    const __m256i most = _mm256_set1_epi8('\r');
    const uint8_t *at = p;
    const uint8_t *const end = p + n;
    if (n < 32) return find_scalar(p, n);
    for (; end - at >= 128; at += 128) {
        __m256i low = lower_avx2(_mm256_loadu_si256((const void *)at), at + 32);
        low = lower_avx2(lower_avx2(low, at + 64), at + 96);
        if (RW_LIKELY(!_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(low, most), low)))) continue;
        for (uint32_t k = 0; k < 128; k += 64) {
            const uint64_t mask = ends_avx2(at + k) | (uint64_t)ends_avx2(at + k + 32) << 32;
            if (mask) return (uint32_t)(at + k - p) + (uint32_t)_tzcnt_u64(mask);
        }
    }
    while (at < end) {
        if (end - at < 32) at = end - 32;
        const uint32_t mask = ends_avx2(at);
        if (mask) return (uint32_t)(at - p) + _tzcnt_u32(mask);
        at += 32;
    }
    return n;
}

SSE42 INLINE uint32_t find_sse42(const uint8_t *p, uint32_t n)
{
    const __m128i table = _mm_setr_epi8(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\n', 0, 0, '\r', 0, 0);
    if (n < 16) return find_scalar(p, n);
    for (uint32_t i = 0;;) {
        const uint32_t k = n - i < 16 ? n - 16 : i;
        const __m128i v = _mm_loadu_si128((const void *)(p + k));
        const uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_shuffle_epi8(table, v), v));
        if (mask) return k + (uint32_t)__builtin_ctz(mask);
        i = k + 16;
        if (i == n) return n;
    }
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

static bool has_sse42(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
INLINE uint32_t find_neon(const uint8_t *p, uint32_t n)
{
    if (n < 16) return find_scalar(p, n);
    for (uint32_t i = 0;;) {
        const uint32_t k = n - i < 16 ? n - 16 : i;
        const uint8x16_t v = vld1q_u8(p + k);
        const uint8x16_t is = vorrq_u8(vceqq_u8(v, vdupq_n_u8('\n')), vceqq_u8(v, vdupq_n_u8('\r')));
        // Four bits for each byte.
        const uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(is), 4)), 0);
        if (mask) return k + (uint32_t)__builtin_ctzll(mask) / 4;
        i = k + 16;
        if (i == n) return n;
    }
}
#endif

static bool always(void)
{
    return true;
}

typedef uint32_t find_fn(const uint8_t *p, uint32_t n);

// Bytes of the usual event at the front: one data line and a blank line, both with LF. 0: something else.
// *ret_searched: no line ends before that.
INLINE uint32_t usual(const uint8_t *p, uint32_t n, find_fn *find, uint32_t *ret_searched)
{
    if (RW_UNLIKELY(n < 8 || memcmp(p, "data: ", 6) != 0)) return 0;
    const uint32_t end = 6 + find(p + 6, n - 6);
    if (RW_LIKELY(n - end >= 2 && p[end] == '\n' && p[end + 1] == '\n')) return end + 2;
    *ret_searched = end;
    return 0;
}

static uint32_t usual_scalar(const uint8_t *p, uint32_t n, uint32_t *ret_searched)
{
    return usual(p, n, find_scalar, ret_searched);
}

#if defined(__x86_64__)
AVX2 static uint32_t usual_avx2(const uint8_t *p, uint32_t n, uint32_t *ret_searched)
{
    return usual(p, n, find_avx2, ret_searched);
}

SSE42 static uint32_t usual_sse42(const uint8_t *p, uint32_t n, uint32_t *ret_searched)
{
    return usual(p, n, find_sse42, ret_searched);
}
#elif defined(__aarch64__)
static uint32_t usual_neon(const uint8_t *p, uint32_t n, uint32_t *ret_searched)
{
    return usual(p, n, find_neon, ret_searched);
}
#endif

// An implementation.
struct way {
    const char *name;
    bool (*usable)(void);
    find_fn *find;
    uint32_t (*usual)(const uint8_t *p, uint32_t n, uint32_t *ret_searched);
};

static const struct way ways[] = {
#if defined(__x86_64__)
    {"avx2", has_avx2, find_avx2, usual_avx2},
    {"sse4.2", has_sse42, find_sse42, usual_sse42},
#elif defined(__aarch64__)
    {"neon", always, find_neon, usual_neon},
#endif
    {"scalar", always, find_scalar, usual_scalar}, // last: it runs everywhere
};

// Every thread that finds it empty chooses the same.
static _Atomic(const struct way *) chosen;

static const struct way *best(void)
{
    uint32_t i = 0;
    while (!ways[i].usable()) i++;
    return &ways[i];
}

bool sse_simd_select(const char *name)
{
    const struct way *way = name ? NULL : best();
    for (uint32_t i = 0; name && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(ways[i].name, name) == 0 && ways[i].usable()) way = &ways[i];
    if (way) atomic_store_explicit(&chosen, way, memory_order_relaxed);
    return way != NULL;
}

static const struct way *way_of(void)
{
    const struct way *way = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (RW_UNLIKELY(!way)) {
        way = best();
        atomic_store_explicit(&chosen, way, memory_order_relaxed);
    }
    return way;
}

static uint32_t line_end(const uint8_t *p, uint32_t n)
{
    return way_of()->find(p, n);
}

// --- Lines.

// True if the line is this field; *ret is its value.
static bool field_is(struct span line, struct span name, struct span *ret)
{
    if (!span_starts(line, name)) return false;
    if (line.n == name.n) {
        *ret = span_from(line, line.n);
        return true;
    }
    if (line.p[name.n] != ':') return false;
    *ret = span_from(line, name.n + 1);
    if (ret->n && ret->p[0] == ' ') *ret = span_from(*ret, 1);
    return true;
}

static bool is_digits(struct span s)
{
    uint32_t i = 0;
    while (i < s.n && (uint8_t)(s.p[i] - '0') <= 9) i++;
    return i > 0 && i == s.n;
}

static void take_line(struct sse *s, const uint8_t *p, struct span line)
{
    struct span value;
    if (line.p[0] == ':') {
        s->flags |= COMMENT;
    } else if (field_is(line, SPAN("data"), &value)) {
        s->data = (uint32_t)(value.p - p);
        s->data_n = value.n;
        s->data_lines++;
    } else if (field_is(line, SPAN("event"), &value)) {
        s->name = (uint32_t)(value.p - p);
        s->name_n = value.n;
    } else if (field_is(line, SPAN("id"), &value) && span_find(value, 0) == value.n) {
        s->id = (uint32_t)(value.p - p);
        s->id_n = value.n;
        s->flags |= HAS_ID;
    } else if (field_is(line, SPAN("retry"), &value) && is_digits(value)) {
        s->retry = (uint32_t)(value.p - p);
        s->retry_n = value.n;
        s->flags |= HAS_RETRY;
    }
}

// The event ends at p + n. The state is that of the next one.
static int give(struct sse *s, const uint8_t *p, uint32_t n, struct sse_event *ret)
{
    const struct span none = {NULL, 0};
    *ret = (struct sse_event){
        .raw = {p, n},
        .data = s->data_lines ? (struct span){p + s->data, s->data_n} : none,
        .name = s->name_n ? (struct span){p + s->name, s->name_n} : none,
        .id = s->flags & HAS_ID ? (struct span){p + s->id, s->id_n} : none,
        .retry = s->flags & HAS_RETRY ? (struct span){p + s->retry, s->retry_n} : none,
        .data_lines = s->data_lines,
        .comment = s->flags & COMMENT,
        .passed = s->flags & PASSED,
        .mark = s->flags & MARK,
    };
    *s = (struct sse){.flags = s->flags & (BEGUN | AFTER_CR)};
    return 1;
}

// False: it cannot be told yet whether the stream begins with a byte order mark.
static bool begin(struct sse *s, const uint8_t *p, uint32_t n)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    const uint32_t k = n < sizeof(mark) ? n : (uint32_t)sizeof(mark);
    if (n == 0 || memcmp(p, mark, k) != 0) {
        s->flags |= n ? BEGUN : 0;
        return n > 0;
    }
    if (k < sizeof(mark)) return false;
    s->flags |= BEGUN | MARK;
    s->at = s->line = k;
    return true;
}

static __attribute__((noinline)) int next_by_lines(struct sse *s, const uint8_t *p, uint32_t n,
                                                   struct sse_event *ret)
{
    if (!(s->flags & BEGUN) && !begin(s, p, n)) return SSE_NEED_MORE;
    for (;;) {
        if (s->at == n) return SSE_NEED_MORE;
        if (s->flags & AFTER_CR) {
            s->flags &= ~(uint32_t)AFTER_CR;
            if (p[s->at] == '\n') {
                s->line = ++s->at;
                continue;
            }
        }
        const uint32_t end = s->at + line_end(p + s->at, n - s->at);
        s->at = end;
        if (end == n) return SSE_NEED_MORE;
        const struct span line = {p + s->line, end - s->line};
        const bool blank = line.n == 0 && !(s->flags & LINE_PASSED);
        if (line.n && !(s->flags & LINE_PASSED)) take_line(s, p, line);
        s->flags &= ~(uint32_t)LINE_PASSED;
        s->at++;
        if (p[end] == '\r') {
            if (s->at == n) s->flags |= AFTER_CR;
            if (s->at < n && p[s->at] == '\n') s->at++;
        }
        if (blank) return give(s, p, s->at, ret);
        s->line = s->at;
    }
}

int sse_next(struct sse *s, const uint8_t *p, uint32_t n, struct sse_event *ret)
{
    if (RW_UNLIKELY(s->at || s->flags != BEGUN)) return next_by_lines(s, p, n, ret);
    const uint32_t bytes = way_of()->usual(p, n, &s->at); // what was searched is not searched again
    if (RW_UNLIKELY(bytes == 0)) return next_by_lines(s, p, n, ret);
    ret->raw = (struct span){p, bytes};
    ret->data = (struct span){p + 6, bytes - 8};
    ret->name = ret->id = ret->retry = (struct span){NULL, 0};
    ret->data_lines = 1;
    ret->comment = ret->passed = ret->mark = false;
    return 1;
}

void sse_pass(struct sse *s, uint32_t n)
{
    MUST(s->at <= n && s->line <= n);
    uint32_t flags = (s->flags & (BEGUN | AFTER_CR | LINE_PASSED)) | BEGUN | PASSED;
    if (s->line < n) flags |= LINE_PASSED;
    if (n == 0) flags = s->flags;
    *s = (struct sse){.flags = flags};
}

struct span sse_rest(struct sse *s, const uint8_t *p, uint32_t n)
{
    *s = (struct sse){0};
    // A blank line would have been an event: an LF in front belongs to the CR that ended the last one.
    return span_from((struct span){p, n}, n && p[0] == '\n');
}

enum rw_err sse_data(const struct sse_event *e, uint8_t *buf, uint32_t cap, struct span *ret)
{
    if (e->data_lines == 0) return RW_E_NOT_FOUND;
    if (e->data_lines == 1) {
        *ret = e->data;
        return RW_OK;
    }
    struct span rest = e->raw, value;
    uint32_t n = 0;
    bool first = true;
    if (e->mark) rest = span_from(rest, 3);
    while (rest.n) {
        const uint32_t end = line_end(rest.p, rest.n);
        const struct span line = {rest.p, end};
        rest = span_from(rest, end + 1);
        if (!field_is(line, SPAN("data"), &value)) continue;
        if (value.n + !first > cap - n) return RW_E_TOO_LARGE;
        if (!first) buf[n++] = '\n';
        if (value.n) memcpy(buf + n, value.p, value.n);
        n += value.n;
        first = false;
    }
    *ret = (struct span){buf, n};
    return RW_OK;
}

static bool put(uint8_t *out, uint32_t cap, uint32_t *n, struct span s)
{
    if (s.n > cap - *n) return false;
    if (s.n) memcpy(out + *n, s.p, s.n);
    *n += s.n;
    return true;
}

int64_t sse_write(struct span name, struct span data, uint8_t *out, uint32_t cap)
{
    uint32_t n = 0;
    if (name.n &&
        !(put(out, cap, &n, SPAN("event: ")) && put(out, cap, &n, name) && put(out, cap, &n, SPAN("\n"))))
        return RW_E_TOO_LARGE;
    for (bool more = true; more;) {
        const uint32_t end = line_end(data.p, data.n);
        const struct span line = {data.p, end};
        if (!put(out, cap, &n, SSE_DATA) || !put(out, cap, &n, line) || !put(out, cap, &n, SPAN("\n")))
            return RW_E_TOO_LARGE;
        more = end < data.n;
        const bool pair = end + 1 < data.n && data.p[end] == '\r' && data.p[end + 1] == '\n';
        data = span_from(data, end + 1 + pair);
    }
    if (!put(out, cap, &n, SPAN("\n"))) return RW_E_TOO_LARGE;
    return n;
}
