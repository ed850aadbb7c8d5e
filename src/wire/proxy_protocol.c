// See proxy_protocol.h. Section numbers are those of HAProxy's document.
#include "wire/proxy_protocol.h"

#include "base/check.h"

// --- Version 1 (section 2.1): "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443" CRLF.

// The signature bytes that have come are those of `text`.
static bool may_be(const uint8_t *p, uint32_t n, const void *text, uint32_t text_n)
{
    return memcmp(p, text, n < text_n ? n : text_n) == 0;
}

// Decimal without leading zeros (section 2.1 demands it), at most max.
static bool number(struct span s, uint64_t max, uint64_t *ret)
{
    return s.n > 0 && (s.n == 1 || s.p[0] != '0') && s.n <= 5 && span_u64(s, ret) && *ret <= max;
}

static bool ipv4(struct span s, uint8_t out[16])
{
    struct span part;
    uint32_t parts = 0;
    while (span_split(&s, '.', &part)) {
        uint64_t v = 0;
        if (parts == 4 || !number(part, 255, &v)) return false;
        out[parts++] = (uint8_t)v;
    }
    return parts == 4;
}

// One to four hex digits.
static bool group(struct span s, uint16_t *ret)
{
    uint32_t v = 0;
    if (s.n == 0 || s.n > 4) return false;
    for (uint32_t i = 0; i < s.n; i++) {
        const uint8_t digit = (uint8_t)(s.p[i] - '0'), letter = (uint8_t)((s.p[i] | 0x20) - 'a');
        if (digit > 9 && letter > 5) return false;
        v = v << 4 | (digit <= 9 ? digit : letter + 10u);
    }
    *ret = (uint16_t)v;
    return true;
}

// Groups "a:b:c" at the end of s into out, which has room for `max` of them; the last may be an IPv4
// address, which counts as two. Returns their number, or -1.
static int groups(struct span s, uint8_t *out, int max)
{
    int n = 0;
    struct span part;
    if (s.n == 0) return 0;
    while (span_split(&s, ':', &part)) {
        uint16_t v = 0;
        uint8_t four[16];
        if (!s.p && n + 2 <= max && ipv4(part, four)) {
            memcpy(out + 2 * n, four, 4);
            return n + 2;
        }
        if (n == max || !group(part, &v)) return -1;
        out[2 * n] = (uint8_t)(v >> 8);
        out[2 * n + 1] = (uint8_t)v;
        n++;
    }
    return n;
}

static bool ipv6(struct span s, uint8_t out[16])
{
    uint32_t gap = 0;
    while (gap + 1 < s.n && !(s.p[gap] == ':' && s.p[gap + 1] == ':')) gap++;
    if (gap + 1 >= s.n) return groups(s, out, 8) == 8;
    uint8_t behind[16];
    const int before_n = groups((struct span){s.p, gap}, out, 7);
    if (before_n < 0) return false;
    const int behind_n = groups(span_from(s, gap + 2), behind, 7 - before_n);
    if (behind_n < 0) return false;
    // An IPv4 address belongs to the very end.
    if (span_find((struct span){s.p, gap}, '.') < gap) return false;
    memset(out + 2 * before_n, 0, (size_t)(16 - 2 * before_n));
    memcpy(out + 16 - 2 * behind_n, behind, (size_t)behind_n * 2);
    return true;
}

// line is without its CRLF.
static bool v1_line(struct span line, struct proxy_header *h)
{
    struct span word[6];
    uint32_t n = 0;
    // What an UNKNOWN line holds behind that word is ignored.
    if (span_eq(line, SPAN("PROXY UNKNOWN")) || span_starts(line, SPAN("PROXY UNKNOWN "))) return true;
    while (n < 6 && span_split(&line, ' ', &word[n])) n++;
    if (n != 6 || line.p) return false;
    const bool four = span_eq(word[1], SPAN("TCP4"));
    if (!four && !span_eq(word[1], SPAN("TCP6"))) return false;
    bool (*const address)(struct span, uint8_t[16]) = four ? ipv4 : ipv6;
    uint64_t source_port = 0, destination_port = 0;
    if (!address(word[2], h->source) || !address(word[3], h->destination)) return false;
    if (!number(word[4], 65535, &source_port) || !number(word[5], 65535, &destination_port)) return false;
    h->source_port = (uint16_t)source_port;
    h->destination_port = (uint16_t)destination_port;
    h->kind = four ? PROXY_IPV4 : PROXY_IPV6;
    return true;
}

static const char v1_signature[6] = {'P', 'R', 'O', 'X', 'Y', ' '};

static int v1_parse(const uint8_t *p, uint32_t n, struct proxy_header *ret)
{
    struct proxy_header h = {.kind = PROXY_LOCAL, .version = 1};
    for (uint32_t i = sizeof v1_signature; i < n && i < PROXY_V1_BYTES_MAX; i++) {
        if (p[i] == '\r') {
            if (i + 2 > PROXY_V1_BYTES_MAX) return PROXY_BAD_SIZE;
            if (i + 1 == n) return PROXY_NEED_MORE;
            if (p[i + 1] != '\n' || !v1_line(span_of(p, i), &h)) return PROXY_BAD_SYNTAX;
            *ret = h;
            return (int)i + 2;
        }
        if (p[i] < ' ' || p[i] > '~') return PROXY_BAD_SYNTAX;
    }
    return n >= PROXY_V1_BYTES_MAX ? PROXY_BAD_SIZE : PROXY_NEED_MORE;
}

// --- Version 2 (section 2.2): signature, version and command, family, length, addresses, TLVs.

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum { V2_FIXED = 16, V2_COMMAND = 12, V2_FAMILY = 13, V2_LENGTH = 14 };
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static uint16_t big16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

// Takes the next TLV off the front of *rest. False at the end, or if it is cut off; then *rest is not empty.
static bool tlv_next(struct span *rest, uint8_t *ret_type, struct span *ret_value)
{
    if (rest->n < 3) return false;
    const uint32_t n = big16(rest->p + 1);
    if (rest->n - 3 < n) return false;
    *ret_type = rest->p[0];
    *ret_value = (struct span){rest->p + 3, n};
    *rest = span_from(*rest, 3 + n);
    return true;
}

bool proxy_tlv(const struct proxy_header *h, uint8_t type, struct span *ret_value)
{
    struct span rest = h->tlvs, value;
    uint8_t t = 0;
    while (tlv_next(&rest, &t, &value)) {
        if (t != type) continue;
        *ret_value = value;
        return true;
    }
    return false;
}

// CRC-32C (Castagnoli), bit by bit: once per connection, over some hundred bytes.
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

// All TLVs are whole and, if there is a checksum, it is that of the header with zeros in its place
// (section 2.2.4).
static int v2_tlvs(const uint8_t *p, uint32_t n, struct span tlvs)
{
    struct span rest = tlvs, value;
    uint8_t type = 0;
    while (tlv_next(&rest, &type, &value)) {
        if (type != PROXY_TLV_CRC32C) continue;
        static const uint8_t zeros[4];
        if (value.n != sizeof zeros) return PROXY_BAD_SYNTAX;
        const uint32_t sent = (uint32_t)big16(value.p) << 16 | big16(value.p + 2);
        uint32_t crc = crc32c(UINT32_MAX, p, (size_t)(value.p - p));
        crc = crc32c(crc, zeros, sizeof zeros);
        crc = ~crc32c(crc, value.p + 4, (size_t)(p + n - (value.p + 4)));
        if (crc != sent) return PROXY_BAD_CHECKSUM;
    }
    return rest.n ? PROXY_BAD_SYNTAX : 0;
}

// The fixed part's bytes that have come are right.
static int v2_fixed(const uint8_t *p, uint32_t n)
{
    if (n > V2_COMMAND && p[V2_COMMAND] != V2_LOCAL && p[V2_COMMAND] != V2_PROXY) return PROXY_BAD_SYNTAX;
    // Of LOCAL even the family is ignored.
    if (n > V2_FAMILY && p[V2_COMMAND] == V2_PROXY)
        if ((p[V2_FAMILY] >> 4) > 3 || (p[V2_FAMILY] & 15) > 2) return PROXY_BAD_SYNTAX;
    if (n < V2_FIXED) return PROXY_NEED_MORE;
    return V2_FIXED + big16(p + V2_LENGTH) > PROXY_V2_BYTES_MAX ? PROXY_BAD_SIZE : 1;
}

static int v2_parse(const uint8_t *p, uint32_t n, struct proxy_header *ret)
{
    const int fixed = v2_fixed(p, n);
    if (fixed <= 0) return fixed;
    const uint32_t bytes = (uint32_t)V2_FIXED + big16(p + V2_LENGTH);
    if (n < bytes) return PROXY_NEED_MORE;

    struct proxy_header h = {.kind = PROXY_LOCAL, .version = 2};
    const uint8_t family = p[V2_FAMILY];
    // Of a LOCAL header, and of families that say nothing about an address, only the length counts.
    const bool four = p[V2_COMMAND] == V2_PROXY && family == V2_TCP4;
    const bool six = p[V2_COMMAND] == V2_PROXY && family == V2_TCP6;
    uint32_t at = V2_FIXED;
    if (four || six) {
        const uint32_t each = four ? 4 : 16;
        if (bytes < V2_FIXED + 2 * each + 4) return PROXY_BAD_SYNTAX;
        memcpy(h.source, p + at, each);
        memcpy(h.destination, p + at + each, each);
        h.source_port = big16(p + at + 2 * each);
        h.destination_port = big16(p + at + 2 * each + 2);
        h.kind = four ? PROXY_IPV4 : PROXY_IPV6;
        at += 2 * each + 4;
        h.tlvs = (struct span){p + at, bytes - at};
        const int bad = v2_tlvs(p, bytes, h.tlvs);
        if (bad < 0) return bad;
    }
    *ret = h;
    return (int)bytes;
}

int proxy_parse(const uint8_t *p, uint32_t n, uint32_t accept, struct proxy_header *ret)
{
    if (n == 0) return PROXY_NEED_MORE;
    if (accept & PROXY_ACCEPT_V1 && may_be(p, n, v1_signature, sizeof v1_signature))
        return n < sizeof v1_signature ? PROXY_NEED_MORE : v1_parse(p, n, ret);
    if (accept & PROXY_ACCEPT_V2 && may_be(p, n, v2_signature, sizeof v2_signature))
        return n < sizeof v2_signature ? PROXY_NEED_MORE : v2_parse(p, n, ret);
    return PROXY_BAD_SIGNATURE;
}

const char *proxy_bad_text(int bad)
{
    switch (bad) {
    case PROXY_BAD_SIGNATURE:
        return "the connection does not begin with a PROXY protocol header of an accepted version";
    case PROXY_BAD_SYNTAX: return "the PROXY protocol header is malformed";
    case PROXY_BAD_SIZE: return "the PROXY protocol header is too long";
    case PROXY_BAD_CHECKSUM: return "the checksum of the PROXY protocol header is wrong";
    default: UNREACHABLE("no reason of proxy_parse()");
    }
}
