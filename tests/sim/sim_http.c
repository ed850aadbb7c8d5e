// See sim_http.h.
#include "tests/sim/sim_http.h"

#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/sim_world.h"

#define HEAD_BYTES_MAX 65536u
#define BODY_BYTES_MAX (64u << 20)

void sim_message_open(struct sim_message *m)
{
    memset(m, 0, sizeof *m);
}

void sim_message_close(struct sim_message *m)
{
    free(m->head);
    free(m->body);
    m->head = m->body = NULL;
}

void sim_message_begin(struct sim_message *m, bool response, bool bodyless)
{
    m->response = response;
    m->bodyless = bodyless;
    m->state = SIM_HTTP_HEAD;
    m->chunked = m->has_length = false;
    m->status = 0;
    m->left = 0;
    m->why = NULL;
    m->line_n = m->head_n = m->body_n = 0;
}

static void bad(struct sim_message *m, const char *why)
{
    m->state = SIM_HTTP_BAD;
    m->why = why;
}

static void append(uint8_t **bytes, uint32_t *n, uint32_t *cap, const uint8_t *p, uint32_t more)
{
    if (*n + more > *cap) {
        *cap = (*n + more) * 2 + 512;
        *bytes = sim_realloc(*bytes, *cap);
        MUST(*bytes);
    }
    memcpy(*bytes + *n, p, more);
    *n += more;
}

// --- Heads.

static bool is_token(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        (c && strchr("!#$%&'*+-.^_`|~", c));
}

// The next line, without its CRLF, from *at on. False at the empty line that ends the head.
static bool next_line(const struct sim_message *m, uint32_t *at, struct span *ret)
{
    const uint32_t from = *at;
    uint32_t to = from;
    while (to + 1 < m->head_n && !(m->head[to] == '\r' && m->head[to + 1] == '\n')) to++;
    *ret = (struct span){m->head + from, to - from};
    *at = to + 2;
    return ret->n > 0;
}

// name and value of a line; false: it is malformed.
static bool split_field(struct span line, struct span *ret_name, struct span *ret_value)
{
    const uint32_t colon = span_find(line, ':');
    if (colon == 0 || colon == line.n) return false;
    for (uint32_t i = 0; i < colon; i++)
        if (!is_token(line.p[i])) return false;
    *ret_name = (struct span){line.p, colon};
    *ret_value = span_trim(span_from(line, colon + 1));
    return true;
}

static bool status_line(struct sim_message *m, struct span line)
{
    if (line.n < 13 || !span_starts(line, SPAN("HTTP/1.1 ")) || line.p[12] != ' ') return false;
    for (int i = 9; i < 12; i++) {
        if (line.p[i] < '0' || line.p[i] > '9') return false;
        m->status = m->status * 10 + (line.p[i] - '0');
    }
    return true;
}

static bool request_line(struct span line)
{
    const uint32_t method = span_find(line, ' ');
    const struct span rest = span_from(line, method + 1);
    const uint32_t target = span_find(rest, ' ');
    return method > 0 && method < line.n && rest.n > 0 && rest.p[0] == '/' && target < rest.n &&
        span_eq(span_from(rest, target + 1), SPAN("HTTP/1.1"));
}

static void frame(struct sim_message *m, struct span name, struct span value)
{
    if (span_ieq(name, SPAN("content-length"))) {
        if (m->has_length || m->chunked || !span_u64(value, &m->left))
            bad(m, "two framings, or a bad length");
        m->has_length = true;
    } else if (span_ieq(name, SPAN("transfer-encoding"))) {
        if (m->has_length || m->chunked || !span_eq(value, SPAN("chunked")))
            bad(m, "a bad transfer-encoding");
        m->chunked = true;
    }
}

static void head_done(struct sim_message *m)
{
    struct span line, name, value;
    uint32_t at = 0;
    for (uint32_t i = 0; i + 4 <= m->head_n; i++) {
        const uint8_t c = m->head[i];
        if ((c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f) bad(m, "a control character");
        if (c == '\r' && m->head[i + 1] != '\n') bad(m, "a bare CR");
        if (c == '\n' && (i == 0 || m->head[i - 1] != '\r')) bad(m, "a bare LF");
    }
    next_line(m, &at, &line);
    if (m->response ? !status_line(m, line) : !request_line(line)) bad(m, "a malformed first line");
    while (m->state != SIM_HTTP_BAD && next_line(m, &at, &line)) {
        if (!split_field(line, &name, &value)) bad(m, "a malformed field");
        else frame(m, name, value);
    }
    if (m->state == SIM_HTTP_BAD) return;
    const bool none = (m->bodyless && m->status != 408) ||
        (m->response && (m->status < 200 || m->status == 204 || m->status == 304));
    if (none) m->state = SIM_HTTP_DONE;
    else if (m->chunked) m->state = SIM_HTTP_CHUNK_SIZE;
    else if (m->has_length) m->state = m->left ? SIM_HTTP_LENGTH : SIM_HTTP_DONE;
    else m->state = m->response ? SIM_HTTP_UNTIL_CLOSE : SIM_HTTP_DONE;
}

static uint32_t feed_head(struct sim_message *m, const uint8_t *p, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && m->state == SIM_HTTP_HEAD) {
        // Up to the next LF at once.
        const uint8_t *lf = memchr(p + i, '\n', n - i);
        const uint32_t more = lf ? (uint32_t)(lf - (p + i)) + 1 : n - i;
        append(&m->head, &m->head_n, &m->head_cap, p + i, more);
        i += more;
        if (m->head_n > HEAD_BYTES_MAX) bad(m, "an endless head");
        else if (m->head_n >= 4 && memcmp(m->head + m->head_n - 4, "\r\n\r\n", 4) == 0) head_done(m);
        else if (m->head_n == 2 && memcmp(m->head, "\r\n", 2) == 0) bad(m, "an empty line for a head");
    }
    return i;
}

// --- Bodies.

static void chunk_size_done(struct sim_message *m)
{
    uint64_t size = 0;
    if (m->line_n == 0 || m->line_n > 8) {
        bad(m, "a malformed chunk size");
        return;
    }
    for (uint32_t i = 0; i < m->line_n; i++) {
        const uint8_t c = m->line[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) {
            bad(m, "a malformed chunk size");
            return;
        }
        size = size * 16 + (uint64_t)digit;
    }
    m->left = size;
    m->line_n = 0;
    m->state = size ? SIM_HTTP_CHUNK : SIM_HTTP_TRAILER;
}

// One byte of what stands between the chunks.
static void feed_framing(struct sim_message *m, uint8_t c)
{
    if (m->line_n == sizeof m->line) {
        bad(m, "a long line between chunks");
        return;
    }
    m->line[m->line_n++] = c;
    const bool ended = m->line_n >= 2 && m->line[m->line_n - 2] == '\r' && c == '\n';
    if (c == '\n' && !ended) {
        bad(m, "a bare LF between chunks");
    } else if (ended) {
        m->line_n -= 2;
        if (m->state == SIM_HTTP_CHUNK_SIZE) {
            chunk_size_done(m);
        } else if (m->line_n > 0) {
            bad(m, "no CRLF behind a chunk, or a trailer");
        } else {
            m->state = m->state == SIM_HTTP_CHUNK_END ? SIM_HTTP_CHUNK_SIZE : SIM_HTTP_DONE;
        }
    }
}

static uint32_t feed_body(struct sim_message *m, const uint8_t *p, uint32_t n)
{
    if (m->state != SIM_HTTP_UNTIL_CLOSE && n > m->left) n = (uint32_t)m->left;
    append(&m->body, &m->body_n, &m->body_cap, p, n);
    if (m->body_n > BODY_BYTES_MAX) bad(m, "an endless body");
    if (m->state == SIM_HTTP_UNTIL_CLOSE) return n;
    m->left -= n;
    if (m->left == 0) m->state = m->state == SIM_HTTP_CHUNK ? SIM_HTTP_CHUNK_END : SIM_HTTP_DONE;
    return n;
}

uint32_t sim_message_feed(struct sim_message *m, const uint8_t *p, uint32_t n)
{
    uint32_t used = 0;
    while (used < n) {
        switch ((enum sim_http_state)m->state) {
        case SIM_HTTP_HEAD: used += feed_head(m, p + used, n - used); break;
        case SIM_HTTP_LENGTH:
        case SIM_HTTP_CHUNK:
        case SIM_HTTP_UNTIL_CLOSE: used += feed_body(m, p + used, n - used); break;
        case SIM_HTTP_CHUNK_SIZE:
        case SIM_HTTP_CHUNK_END:
        case SIM_HTTP_TRAILER: feed_framing(m, p[used++]); break;
        case SIM_HTTP_DONE:
        case SIM_HTTP_BAD: return used;
        }
    }
    return used;
}

bool sim_message_end(struct sim_message *m)
{
    if (m->state == SIM_HTTP_UNTIL_CLOSE) m->state = SIM_HTTP_DONE;
    return m->state == SIM_HTTP_DONE;
}

// --- Fields.

void sim_message_fields(const struct sim_message *m,
                        void (*each)(void *ctx, struct span name, struct span value), void *ctx)
{
    struct span line, name, value;
    uint32_t at = 0;
    next_line(m, &at, &line);
    while (next_line(m, &at, &line))
        if (split_field(line, &name, &value)) each(ctx, name, value);
}

struct span sim_message_field(const struct sim_message *m, const char *name_text)
{
    struct span line, name, value;
    uint32_t at = 0;
    next_line(m, &at, &line);
    while (next_line(m, &at, &line))
        if (split_field(line, &name, &value) && span_ieq(name, span_str(name_text))) return value;
    return (struct span){NULL, 0};
}

struct span sim_message_line(const struct sim_message *m)
{
    struct span line;
    uint32_t at = 0;
    next_line(m, &at, &line);
    return line;
}
