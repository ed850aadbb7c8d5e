// See http.h. Names and values are checked eight or sixteen bytes at a time while they are copied: what is usual
// passes, the rest is looked at byte by byte.
#include "wire/http_priv.h"

#include "base/fmt.h"
#include "base/lanes.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGH (ONES * 0x80)

// Reasons of RFC 9110 15 and the IANA registry, for the statuses that the gateway or its providers send.
#define STATUSES(X) \
    X(100, "Continue") \
    X(101, "Switching Protocols") \
    X(200, "OK") \
    X(201, "Created") \
    X(202, "Accepted") \
    X(203, "Non-Authoritative Information") \
    X(204, "No Content") \
    X(205, "Reset Content") \
    X(206, "Partial Content") \
    X(300, "Multiple Choices") \
    X(301, "Moved Permanently") \
    X(302, "Found") \
    X(303, "See Other") \
    X(304, "Not Modified") \
    X(307, "Temporary Redirect") \
    X(308, "Permanent Redirect") \
    X(400, "Bad Request") \
    X(401, "Unauthorized") \
    X(402, "Payment Required") \
    X(403, "Forbidden") \
    X(404, "Not Found") \
    X(405, "Method Not Allowed") \
    X(406, "Not Acceptable") \
    X(407, "Proxy Authentication Required") \
    X(408, "Request Timeout") \
    X(409, "Conflict") \
    X(410, "Gone") \
    X(411, "Length Required") \
    X(412, "Precondition Failed") \
    X(413, "Content Too Large") \
    X(414, "URI Too Long") \
    X(415, "Unsupported Media Type") \
    X(416, "Range Not Satisfiable") \
    X(417, "Expectation Failed") \
    X(421, "Misdirected Request") \
    X(422, "Unprocessable Content") \
    X(423, "Locked") \
    X(424, "Failed Dependency") \
    X(425, "Too Early") \
    X(426, "Upgrade Required") \
    X(428, "Precondition Required") \
    X(429, "Too Many Requests") \
    X(431, "Request Header Fields Too Large") \
    X(451, "Unavailable For Legal Reasons") \
    X(500, "Internal Server Error") \
    X(501, "Not Implemented") \
    X(502, "Bad Gateway") \
    X(503, "Service Unavailable") \
    X(504, "Gateway Timeout") \
    X(505, "HTTP Version Not Supported") \
    X(507, "Insufficient Storage") \
    X(511, "Network Authentication Required") \
    X(529, "Overloaded")

#define LINE_START "HTTP/1.1 200 "
enum { STATUS_MIN = 100, STATUS_MAX = 599, REASON_AT = sizeof LINE_START - 1 };

#define X(status, reason) [status - STATUS_MIN] = SPAN_INIT("HTTP/1.1 " #status " " reason "\r\n"),
static const struct span lines[STATUS_MAX - STATUS_MIN + 1] = {STATUSES(X)};
#undef X

struct span http_status_text(uint32_t status)
{
    if (status < STATUS_MIN || status > STATUS_MAX || !lines[status - STATUS_MIN].p) return SPAN("");
    const struct span line = lines[status - STATUS_MIN];
    return (struct span){line.p + REASON_AT, line.n - REASON_AT - 2};
}

// Room for n bytes, or NULL.
static inline uint8_t *room(struct http_writer *w, uint32_t n)
{
    if (RW_UNLIKELY(w->overflow || n > w->cap - w->n)) {
        w->overflow = true;
        return NULL;
    }
    return w->p + w->n;
}

static inline void store64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

// High bits where a byte is neither a letter nor '-'.
static inline uint64_t not_letters(uint64_t x)
{
    const uint64_t lower = (x | ONES * 0x20) & ~HIGH;
    const uint64_t letter = (lower + ONES * (0x80 - 'a')) & ~(lower + ONES * (0x7f - 'z'));
    const uint64_t dash = ~(((x & ~HIGH) ^ ONES * '-') + ONES * 0x7f);
    return (~(letter | dash) | x) & HIGH;
}

static bool all_are(const uint8_t *p, uint32_t n, int class)
{
    for (uint32_t i = 0; i < n; i++)
        if (!http_is(p[i], class)) return false;
    return true;
}

// Copies a name. False: it is none.
static bool copy_token(uint8_t *to, const uint8_t *from, uint32_t n)
{
    uint64_t odd = n < 8;
    for (uint32_t i = 0; i + 8 < n; i += 8) odd |= not_letters(http_load64(from + i));
    if (n >= 8) odd |= not_letters(http_load64(from + n - 8));
    lanes_copy(to, from, n);
    return RW_LIKELY(odd == 0) || (n > 0 && all_are(from, n, HTTP_TOKEN));
}

// Lanes that hold a control or DEL: HTAB, which is right, is left to the second look.
static inline lanes controls(lanes v)
{
    return (lanes)((v < 0x20) | (v == 0x7f));
}

// Copies n bytes that must be HTTP_TEXT. False: at least one is not.
static inline __attribute__((always_inline)) bool copy_text(uint8_t *to, const uint8_t *from, uint32_t n)
{
    lanes odd;
    if (RW_LIKELY(n >= 16)) {
        const lanes tail = lanes_load(from + n - 16);
        odd = controls(tail);
        for (uint32_t i = 0; i + 16 < n; i += 16) {
            const lanes v = lanes_load(from + i);
            odd |= controls(v);
            lanes_store(to + i, v);
        }
        lanes_store(to + n - 16, tail);
    } else if (n >= 8) {
        const uint64_t head = http_load64(from), tail = http_load64(from + n - 8);
        odd = controls((lanes)(lane_pair){head, tail});
        store64(to, head);
        store64(to + n - 8, tail);
    } else {
        lanes_copy(to, from, n);
        return all_are(from, n, HTTP_TEXT);
    }
    return RW_LIKELY(!lanes_any(odd)) || all_are(from, n, HTTP_TEXT);
}

void http_write_status_line(struct http_writer *w, uint32_t status)
{
    MUST(status >= STATUS_MIN && status <= STATUS_MAX);
    const struct span line = lines[status - STATUS_MIN];
    if (RW_LIKELY(line.p != NULL)) {
        http_write_raw(w, line);
        return;
    }
    uint8_t *p = room(w, REASON_AT + 2);
    if (!p) return;
    memcpy(p, LINE_START "\r\n", REASON_AT + 2);
    p[9] = (uint8_t)('0' + status / 100);
    p[10] = (uint8_t)('0' + status / 10 % 10);
    p[11] = (uint8_t)('0' + status % 10);
    w->n += REASON_AT + 2;
}

void http_write_request_line(struct http_writer *w, enum http_method method, struct span path,
                             struct span query)
{
    static const char version[] = " HTTP/1.1\r\n";
    enum { VERSION = sizeof version - 1 };
    MUST(method < HTTP_METHOD_OTHER);
    const struct span name = http_method_name(method);
    const uint64_t n = UINT64_C(1) + name.n + path.n + (query.n ? 1 + (uint64_t)query.n : 0) + VERSION;
    uint8_t *p = n <= UINT32_MAX ? room(w, (uint32_t)n) : room(w, UINT32_MAX);
    if (!p) return;
    // A '?' in the path would move the border to the query.
    if (path.n == 0 || span_find(path, '?') < path.n || !all_are(path.p, path.n, HTTP_TARGET) ||
        !all_are(query.p, query.n, HTTP_TARGET)) {
        w->bad = true;
        return;
    }
    memcpy(p, name.p, name.n);
    p += name.n;
    *p++ = ' ';
    memcpy(p, path.p, path.n);
    p += path.n;
    if (query.n) {
        *p++ = '?';
        memcpy(p, query.p, query.n);
        p += query.n;
    }
    memcpy(p, version, VERSION);
    w->n += (uint32_t)n;
}

void http_write_field(struct http_writer *w, struct span name, struct span value)
{
    const uint64_t n = (uint64_t)name.n + value.n + 4;
    uint8_t *p = n <= UINT32_MAX ? room(w, (uint32_t)n) : room(w, UINT32_MAX);
    if (!p) return;
    const bool named = copy_token(p, name.p, name.n);
    if (!named || !copy_text(p + name.n + 2, value.p, value.n)) {
        w->bad = true;
        return;
    }
    p[name.n] = ':';
    p[name.n + 1] = ' ';
    memcpy(p + n - 2, "\r\n", 2);
    w->n += (uint32_t)n;
}

void http_write_value(struct http_writer *w, struct span name, struct span value)
{
    const uint64_t n = (uint64_t)name.n + value.n + 4;
    uint8_t *p = n <= UINT32_MAX ? room(w, (uint32_t)n) : room(w, UINT32_MAX);
    if (!p) return;
    lanes_copy(p, name.p, name.n);
    p += name.n;
    memcpy(p, ": ", 2);
    if (!copy_text(p + 2, value.p, value.n)) {
        w->bad = true;
        return;
    }
    memcpy(p + 2 + value.n, "\r\n", 2);
    w->n += (uint32_t)n;
}

// The digits are written in place if the most of them have room there.
void http_write_field_u64(struct http_writer *w, struct span name, uint64_t value)
{
    char digits[FMT_U64_BYTES];
    uint32_t n = name.n + FMT_U64_BYTES + 4;
    const bool wide = !w->overflow && n <= w->cap - w->n;
    if (RW_UNLIKELY(!wide)) n = name.n + (uint32_t)(fmt_raw_u64(digits, value) - digits) + 4;
    uint8_t *const p = room(w, n);
    if (!p) return;
    lanes_copy(p, name.p, name.n);
    memcpy(p + name.n, ": ", 2);
    char *at = (char *)p + name.n + 2;
    if (RW_LIKELY(wide)) at = fmt_raw_u64(at, value);
    else at = (char *)memcpy(at, digits, n - name.n - 4) + (n - name.n - 4);
    memcpy(at, "\r\n", 2);
    w->n += (uint32_t)((uint8_t *)at + 2 - p);
}

uint32_t http_write_end(struct http_writer *w)
{
    http_write_raw(w, SPAN("\r\n"));
    return w->overflow || w->bad ? 0 : w->n;
}

uint32_t http_write_chunk_size(uint8_t *out, uint32_t n)
{
    MUST(n > 0);
    const uint32_t digits = (35 - (uint32_t)__builtin_clz(n)) / 4;
    for (uint32_t i = digits; i-- > 0; n >>= 4) out[i] = (uint8_t) "0123456789abcdef"[n & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
