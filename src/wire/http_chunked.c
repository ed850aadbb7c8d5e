// See http.h. Framing is taken byte by byte through one small machine; data bytes are never looked at.
#include "wire/http_priv.h"

enum {
    SIZE, // hex digits
    EXT_NAME_BEFORE, // behind ';'
    EXT_NAME,
    EXT_NAME_AFTER, // white space behind a name
    EXT_VALUE_BEFORE, // behind '='
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED, // behind a backslash in quotes
    EXT_QUOTED_END, // behind the closing quote
    EXT_AFTER, // white space behind a value
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
};

// A size that does not fit is refused at the digit that would overflow; leading zeros count as digits.
#define DIGITS_MAX 16

static int expect_lf(struct http_chunked *st, uint8_t c, uint8_t next)
{
    if (c != '\n') return HTTP_BAD_BARE_CR;
    st->state = next;
    return 0;
}

static uint8_t hex_value(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static int size_byte(struct http_chunked *st, uint8_t c)
{
    if (http_is(c, HTTP_HEX)) {
        if (st->digits == DIGITS_MAX) return HTTP_BAD_CHUNK_OVERFLOW;
        st->digits++;
        st->left = st->left << 4 | hex_value(c);
        return st->left > INT64_MAX ? HTTP_BAD_CHUNK_OVERFLOW : 0;
    }
    if (c == '\n') return HTTP_BAD_BARE_LF;
    if (st->digits == 0 || (c != '\r' && c != ';')) return HTTP_BAD_CHUNK_SIZE;
    st->state = c == ';' ? EXT_NAME_BEFORE : SIZE_LF;
    return 0;
}

// What may follow a whole name or value: the next extension, the end of the line, or white space in front
// of a ';'.
static int ext_follows(struct http_chunked *st, uint8_t c, uint8_t space)
{
    if (c == ';') st->state = EXT_NAME_BEFORE;
    else if (c == ' ' || c == '\t') st->state = space;
    else if (c == '\r' && st->state != EXT_NAME_AFTER && st->state != EXT_AFTER) st->state = SIZE_LF;
    else return HTTP_BAD_CHUNK_EXT;
    return 0;
}

// *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
static int ext_byte(struct http_chunked *st, uint8_t c)
{
    const bool space = c == ' ' || c == '\t';
    const bool token = http_is(c, HTTP_TOKEN);
    if (c == '\n') return HTTP_BAD_BARE_LF;
    switch (st->state) {
    case EXT_NAME_BEFORE:
        if (token) st->state = EXT_NAME;
        return token || space ? 0 : HTTP_BAD_CHUNK_EXT;
    case EXT_NAME:
        if (token) return 0;
        __attribute__((fallthrough));
    case EXT_NAME_AFTER:
        if (c != '=') return ext_follows(st, c, EXT_NAME_AFTER);
        st->state = EXT_VALUE_BEFORE;
        return 0;
    case EXT_VALUE_BEFORE:
        if (token) st->state = EXT_VALUE;
        else if (c == '"') st->state = EXT_QUOTED;
        else if (!space) return HTTP_BAD_CHUNK_EXT;
        return 0;
    case EXT_VALUE: return token ? 0 : ext_follows(st, c, EXT_AFTER);
    case EXT_QUOTED:
        if (c == '"') st->state = EXT_QUOTED_END;
        else if (c == '\\') st->state = EXT_ESCAPED;
        return http_is(c, HTTP_TEXT) ? 0 : HTTP_BAD_CHUNK_EXT;
    case EXT_ESCAPED: st->state = EXT_QUOTED; return http_is(c, HTTP_TEXT) ? 0 : HTTP_BAD_CHUNK_EXT;
    default: return ext_follows(st, c, EXT_AFTER);
    }
}

static int trailer_name_byte(struct http_chunked *st, uint8_t c)
{
    if (http_is(c, HTTP_TOKEN)) {
        st->state = TRAILER_NAME;
        return st->name_len++ == HTTP_NAME_BYTES_MAX ? HTTP_BAD_NAME_SIZE : 0;
    }
    if (c == ':') {
        if (st->name_len == 0) return HTTP_BAD_NAME_EMPTY;
        st->name_len = 0;
        st->state = TRAILER_VALUE;
        return 0;
    }
    if (c == ' ' || c == '\t') return st->name_len == 0 ? HTTP_BAD_FOLD : HTTP_BAD_NAME_SPACE;
    if (c == '\n') return HTTP_BAD_BARE_LF;
    return c == '\r' ? HTTP_BAD_NO_COLON : HTTP_BAD_NAME;
}

static int trailer_byte(struct http_chunked *st, uint8_t c)
{
    switch (st->state) {
    case TRAILER_START:
        if (c != '\r') return trailer_name_byte(st, c);
        st->state = END_LF;
        return 0;
    case TRAILER_NAME: return trailer_name_byte(st, c);
    case TRAILER_VALUE:
        if (c == '\n') return HTTP_BAD_BARE_LF;
        if (c == '\r') st->state = TRAILER_LF;
        return c == '\r' || http_is(c, HTTP_TEXT) ? 0 : HTTP_BAD_VALUE;
    case TRAILER_LF: return expect_lf(st, c, TRAILER_START);
    default: return expect_lf(st, c, DONE);
    }
}

// A byte that is not data. 0 or a reason.
static int framing_byte(struct http_chunked *st, uint8_t c)
{
    switch (st->state) {
    case SIZE: return size_byte(st, c);
    case SIZE_LF: st->digits = 0; return expect_lf(st, c, st->left ? DATA : TRAILER_START);
    case DATA_CR:
        if (c != '\r') return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_CHUNK_END;
        st->state = DATA_LF;
        return 0;
    case DATA_LF: return expect_lf(st, c, SIZE);
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
    case END_LF:
        if (++st->trailer_bytes > HTTP_TRAILER_BYTES_MAX) return HTTP_BAD_TRAILER_SIZE;
        return trailer_byte(st, c);
    default:
        if (++st->ext_bytes > HTTP_CHUNK_EXT_BYTES_MAX) return HTTP_BAD_CHUNK_EXT_SIZE;
        return ext_byte(st, c);
    }
}

// A size line as everybody writes it: one to eight digits, CRLF. Its bytes, or 0: something else, or not all of it is there.
static uint32_t usual_size(struct http_chunked *st, const uint8_t *p, uint32_t n)
{
    uint64_t size = 0;
    uint32_t i = 0;
    while (i < n && i < 8 && http_is(p[i], HTTP_HEX)) size = size << 4 | hex_value(p[i++]);
    if (i == 0 || n - i < 2 || p[i] != '\r' || p[i + 1] != '\n') return 0;
    st->left = size;
    st->state = size ? DATA : TRAILER_START;
    return i + 2;
}

int http_chunked_next(struct http_chunked *st, const uint8_t *p, uint32_t n, uint32_t *ret_consumed,
                      struct span *ret_data)
{
    MUST(st->state < DONE);
    int bad = 0;
    uint32_t i = 0;
    *ret_data = (struct span){p, 0};
    while (i < n) {
        if (st->state == DATA) {
            const uint32_t run = st->left < n - i ? (uint32_t)st->left : n - i;
            *ret_data = (struct span){p + i, run};
            i += run;
            st->left -= run;
            st->body_bytes += run;
            if (st->left == 0) st->state = DATA_CR;
            break;
        }
        if (st->state == DATA_CR && n - i >= 2 && p[i] == '\r' && p[i + 1] == '\n') {
            st->state = SIZE;
            i += 2;
            continue;
        }
        const uint32_t line = st->state == SIZE && st->digits == 0 ? usual_size(st, p + i, n - i) : 0;
        if (line > 0) {
            i += line;
            continue;
        }
        bad = framing_byte(st, p[i]);
        if (bad < 0) break;
        i++;
        if (st->state == DONE) break;
    }
    *ret_consumed = i;
    if (bad < 0) return bad;
    return st->state == DONE ? HTTP_CHUNKED_DONE : HTTP_NEED_MORE;
}

int http_chunked_decode(struct http_chunked *st, uint8_t *buf, uint32_t n, uint32_t *ret_consumed,
                        uint32_t *ret_out)
{
    uint32_t at = 0, out = 0;
    int got = HTTP_NEED_MORE;
    while (at < n && got == HTTP_NEED_MORE) {
        uint32_t used = 0;
        struct span data;
        got = http_chunked_next(st, buf + at, n - at, &used, &data);
        if (data.n && data.p != buf + out) memmove(buf + out, data.p, data.n);
        out += data.n;
        at += used;
    }
    *ret_consumed = at;
    *ret_out = out;
    return got;
}
