// See aws_event.h.
#include "wire/aws_event.h"

#define PRELUDE_BYTES 12
#define FRAME_BYTES_MIN 16
#define HEADERS_BYTES_MAX (128 * 1024)
#define PAYLOAD_BYTES_MAX (24 * 1024 * 1024)

// IEEE 802.3, four bits at a time: events are small, and a table of 64 bytes stays in the cache.
uint32_t aws_event_crc32(uint32_t crc, const uint8_t *p, uint32_t n)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    for (uint32_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

// --- Read.

#define TYPE_BYTES 6
#define TYPE_STRING 7

// One header off the front of *rest; *ret_value is empty for what is no text.
static bool header(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    static const uint8_t sizes[] = {0, 0, 1, 2, 4, 8, 2, 2, 8, 16}; // of 6 and 7: of their length
    const uint32_t name_n = rest->p[0];
    if (name_n == 0 || rest->n < name_n + 2) return false;
    *ret_name = (struct span){rest->p + 1, name_n};
    const uint8_t type = rest->p[1 + name_n];
    *rest = span_from(*rest, name_n + 2);
    if (type >= sizeof sizes || rest->n < sizes[type]) return false;
    uint32_t n = sizes[type];
    if (type == TYPE_BYTES || type == TYPE_STRING) {
        n = (uint32_t)rest->p[0] << 8 | rest->p[1];
        *rest = span_from(*rest, 2);
        if (rest->n < n) return false;
    }
    *ret_value = type == TYPE_STRING ? (struct span){rest->p, n} : (struct span){rest->p, 0};
    *rest = span_from(*rest, n);
    return true;
}

static bool headers(struct span rest, struct aws_event_frame *ret)
{
    struct span name, value, kind = {NULL, 0}, event = kind, exception = kind, code = kind;
    while (rest.n) {
        if (!header(&rest, &name, &value)) return false;
        if (span_eq(name, SPAN(":message-type"))) kind = value;
        if (span_eq(name, SPAN(":event-type"))) event = value;
        if (span_eq(name, SPAN(":exception-type"))) exception = value;
        if (span_eq(name, SPAN(":error-code"))) code = value;
        if (span_eq(name, SPAN(":error-message"))) ret->message = value;
    }
    ret->kind = AWS_EVENT_OTHER;
    if (span_eq(kind, SPAN("event"))) ret->kind = AWS_EVENT_EVENT;
    if (span_eq(kind, SPAN("exception"))) ret->kind = AWS_EVENT_EXCEPTION;
    if (span_eq(kind, SPAN("error"))) ret->kind = AWS_EVENT_ERROR;
    ret->type = ret->kind == AWS_EVENT_EVENT ? event : ret->kind == AWS_EVENT_EXCEPTION ? exception : code;
    return true;
}

int64_t aws_event_next(const uint8_t *p, uint32_t n, struct aws_event_frame *ret)
{
    if (n < PRELUDE_BYTES) return 0;
    const uint32_t total = get32(p), headers_n = get32(p + 4);
    // Lengths are trusted only behind their sum.
    if (aws_event_crc32(0, p, 8) != get32(p + 8)) return RW_E_BAD;
    if (headers_n > HEADERS_BYTES_MAX || total > FRAME_BYTES_MIN + HEADERS_BYTES_MAX + PAYLOAD_BYTES_MAX)
        return RW_E_TOO_LARGE;
    if (total < FRAME_BYTES_MIN + headers_n) return RW_E_BAD;
    if (n < total) return 0;
    if (aws_event_crc32(0, p, total - 4) != get32(p + total - 4)) return RW_E_BAD;
    struct aws_event_frame frame = {
        .payload = {p + PRELUDE_BYTES + headers_n, total - FRAME_BYTES_MIN - headers_n}};
    if (!headers((struct span){p + PRELUDE_BYTES, headers_n}, &frame)) return RW_E_BAD;
    *ret = frame;
    return total;
}

// --- Written.

static uint8_t *put_header(uint8_t *at, struct span name, struct span value)
{
    *at++ = (uint8_t)name.n;
    memcpy(at, name.p, name.n);
    at += name.n;
    *at++ = TYPE_STRING;
    *at++ = (uint8_t)(value.n >> 8);
    *at++ = (uint8_t)value.n;
    memcpy(at, value.p, value.n);
    return at + value.n;
}

uint32_t aws_event_write(enum aws_event_kind kind, struct span type, struct span payload, uint8_t *out,
                         uint32_t cap)
{
    if (payload.n > PAYLOAD_BYTES_MAX || type.n > UINT8_MAX ||
        cap < AWS_EVENT_FRAME_BYTES + type.n + payload.n)
        return 0;
    const bool event = kind == AWS_EVENT_EVENT;
    uint8_t *at = out + PRELUDE_BYTES;
    at = put_header(at, event ? SPAN(":event-type") : SPAN(":exception-type"), type);
    at = put_header(at, SPAN(":content-type"), SPAN("application/json"));
    at = put_header(at, SPAN(":message-type"), event ? SPAN("event") : SPAN("exception"));
    const uint32_t headers_n = (uint32_t)(at - out) - PRELUDE_BYTES;
    if (payload.n) memcpy(at, payload.p, payload.n);
    const uint32_t total = FRAME_BYTES_MIN + headers_n + payload.n;
    put32(out, total);
    put32(out + 4, headers_n);
    put32(out + 8, aws_event_crc32(0, out, 8));
    put32(out + total - 4, aws_event_crc32(0, out, total - 4));
    return total;
}
