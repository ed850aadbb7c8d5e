// See http.h: what the fields of a whole head say about the message, and the table of reasons.
#include "wire/http_priv.h"

#define X(symbol, end, detail) [-(symbol)] = {#symbol, end, detail},
static const struct http_bad_info infos[HTTP_BAD_COUNT] = {HTTP_BADS(X)};
#undef X

const struct http_bad_info *http_bad_info(int bad)
{
    MUST(bad < 0 && bad > -(int)HTTP_BAD_COUNT);
    return &infos[-bad];
}

#define BIT(name) (UINT64_C(1) << (name))

// Digits only, at least one, at most INT64_MAX.
static bool decimal(struct span s, uint64_t *ret)
{
    return span_u64(s, ret) && *ret <= INT64_MAX;
}

// The same for up to 8 digits that have 8 readable bytes in front of their end, as in a head: three
// multiplications instead of a loop. The digits go to the highest bytes, '0' to the others.
static inline bool decimal_8(const uint8_t *p, uint32_t n, uint64_t *ret)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint32_t other_bits = 64 - 8 * n;
    uint64_t x = (http_load64(p + n - 8) ^ ones * '0') >> other_bits << other_bits;
    if ((x | (x + ones * (127 - 9))) & ones * 0x80) return false;
    x = x * 10 + (x >> 8); // two digits in every second byte
    const uint64_t two = UINT64_C(0x000000ff000000ff);
    *ret =
        ((x & two) * UINT64_C(0x000f424000000064) + ((x >> 16) & two) * UINT64_C(0x0000271000000001)) >> 32;
    return true;
}

static bool is_port(struct span s)
{
    uint64_t port = 0;
    return s.n <= 5 && decimal(s, &port) && port >= 1 && port <= 65535;
}

// The inside of an IPv6 literal (RFC 3986 3.2.2, without IPvFuture and zones): eight groups of one to four
// hex digits, one run of groups may be "::", the last two may be an IPv4 address.
static bool is_ipv6(struct span s)
{
    uint32_t groups = 0, i = 0;
    bool gap = false;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') gap = true, i = 2;
    while (i < s.n) {
        uint32_t digits = 0;
        while (i + digits < s.n && http_is(s.p[i + digits], HTTP_HEX)) digits++;
        if (i + digits < s.n && s.p[i + digits] == '.') {
            struct span rest = span_from(s, i), part;
            uint32_t parts = 0;
            uint64_t v = 0;
            while (span_split(&rest, '.', &part)) {
                parts++;
                if (part.n > 3 || !span_u64(part, &v) || v > 255) return false;
            }
            groups += 2;
            return parts == 4 && (gap ? groups < 8 : groups == 8);
        }
        if (digits == 0 || digits > 4) return false;
        groups++;
        i += digits;
        if (i == s.n) break;
        if (s.p[i++] != ':' || i == s.n) return false;
        if (s.p[i] == ':') {
            if (gap) return false;
            gap = true;
            i++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

// What stands behind a host of `at` bytes.
static bool host_rest_is_port(struct span host, uint32_t at)
{
    return at == host.n || (host.p[at] == ':' && is_port(span_from(host, at + 1)));
}

static bool host_is_literal(struct span host)
{
    const uint32_t close = span_find(host, ']');
    if (close == host.n) return false;
    return is_ipv6((struct span){host.p + 1, close - 1}) && host_rest_is_port(host, close + 1);
}

bool http_host_is_valid(struct span host)
{
    if (host.n == 0) return false;
    if (host.p[0] == '[') return host_is_literal(host);
    uint32_t run = 0;
    while (run < host.n && http_is(host.p[run], HTTP_HOST)) run++;
    return run > 0 && host_rest_is_port(host, run);
}

// The way may have counted the host characters already. It looked at the bytes behind the value too, but
// the value ends before white space or CR, which are none.
static bool host_field_is_valid(const struct http_head *head)
{
    const struct span host = http_value(head, HTTP_N_HOST);
    const uint32_t run = head->at.host_run;
    if (run == 0) return http_host_is_valid(host);
    if (run == host.n) return true;
    const uint32_t digits = host.n - run - 1;
    uint64_t port = 0;
    return host.p[run] == ':' && digits - 1 < 5 && decimal_8(host.p + run + 1, digits, &port) && port >= 1 &&
        port <= 65535;
}

// Content-Length and Transfer-Encoding, for requests and answers alike; HTTP_BODY_NONE if there is neither.
static int body(struct http_head *head)
{
    struct http_framing *f = &head->framing;
    f->kind = HTTP_BODY_NONE;
    f->length = 0;
    if (head->doubled & BIT(HTTP_N_CONTENT_LENGTH)) return HTTP_BAD_TWO_LENGTHS;
    if (RW_UNLIKELY(http_has(head, HTTP_N_TRANSFER_ENCODING))) {
        if (http_has(head, HTTP_N_CONTENT_LENGTH)) return HTTP_BAD_BOTH_LENGTHS;
        if (head->minor == 0) return HTTP_BAD_CODING_1_0;
        if (http_is_doubled(head, HTTP_N_TRANSFER_ENCODING)) return HTTP_BAD_CODING;
        if (!span_ieq(http_value(head, HTTP_N_TRANSFER_ENCODING), SPAN("chunked"))) return HTTP_BAD_CODING;
        f->kind = HTTP_BODY_CHUNKED;
        return 0;
    }
    if (!http_has(head, HTTP_N_CONTENT_LENGTH)) return 0;
    f->kind = HTTP_BODY_LENGTH;
    const struct span v = http_value(head, HTTP_N_CONTENT_LENGTH);
    const bool right = v.n - 1 < 8 ? decimal_8(v.p, v.n, &f->length) : decimal(v, &f->length);
    return right ? 0 : HTTP_BAD_LENGTH;
}

static bool keeps_alive(const struct http_head *head)
{
    if (!http_has(head, HTTP_N_CONNECTION)) return head->minor > 0;
    // What the SDKs send.
    const struct span v = http_value(head, HTTP_N_CONNECTION);
    if (v.n == 10 && !http_is_doubled(head, HTTP_N_CONNECTION) &&
        (http_load64(v.p) | HTTP_LOWER) == http_load64("keep-alive"))
        if ((http_load16(v.p + 8) | 0x2020) == http_load16("ve")) return true;
    if (http_lists(head, HTTP_N_CONNECTION, SPAN("close"))) return false;
    return head->minor > 0 || http_lists(head, HTTP_N_CONNECTION, SPAN("keep-alive"));
}

static int expectation(struct http_head *head)
{
    // A client of HTTP/1.0 cannot mean it (RFC 9110 10.1.1).
    if (head->minor == 0) return 0;
    if (http_is_doubled(head, HTTP_N_EXPECT)) return HTTP_BAD_EXPECT;
    if (!span_ieq(http_value(head, HTTP_N_EXPECT), SPAN("100-continue"))) return HTTP_BAD_EXPECT;
    head->framing.expect_continue = head->framing.kind == HTTP_BODY_CHUNKED || head->framing.length > 0;
    return 0;
}

static bool asks_for_websocket(const struct http_head *head)
{
    return head->minor > 0 && http_lists(head, HTTP_N_UPGRADE, SPAN("websocket")) &&
        http_lists(head, HTTP_N_CONNECTION, SPAN("upgrade"));
}

int http_request_meaning(struct http_head *head)
{
    if (RW_UNLIKELY(head->doubled & (BIT(HTTP_N_HOST) | BIT(HTTP_N_AUTHORIZATION))))
        return http_is_doubled(head, HTTP_N_HOST) ? HTTP_BAD_TWO_HOSTS : HTTP_BAD_TWO_AUTHORIZATIONS;
    if (RW_LIKELY(http_has(head, HTTP_N_HOST))) {
        if (!host_field_is_valid(head)) return HTTP_BAD_HOST;
    } else if (head->minor > 0) {
        return HTTP_BAD_NO_HOST;
    }
    const int bad = body(head);
    if (bad < 0) return bad;
    head->framing.keep_alive = keeps_alive(head);
    if (RW_UNLIKELY(http_has(head, HTTP_N_UPGRADE))) head->framing.websocket = asks_for_websocket(head);
    return RW_UNLIKELY(http_has(head, HTTP_N_EXPECT)) ? expectation(head) : 0;
}

int http_response_meaning(struct http_head *head, enum http_method asked)
{
    const int bad = body(head);
    if (bad < 0) return bad;
    struct http_framing *f = &head->framing;
    f->keep_alive = keeps_alive(head);
    if (head->status < 200 || head->status == 204 || head->status == 304 || asked == HTTP_HEAD) {
        f->kind = HTTP_BODY_NONE;
        f->length = 0;
    } else if (f->kind == HTTP_BODY_NONE) {
        f->kind = HTTP_BODY_UNTIL_CLOSE;
        f->keep_alive = false;
    }
    return 0;
}
