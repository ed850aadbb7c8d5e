// proxy_protocol: headers as HAProxy's document shows them and as load balancers send them; each byte of
// the signatures and lengths wrong once; every input flush against a forbidden page and in growing
// prefixes, which must ask for more until the header is whole or refused for the same reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/guard.h"
#include "wire/proxy_protocol.h"

static struct guard guard;

static int open_guard(void **state)
{
    (void)state;
    guard = guard_open(8192);
    return 0;
}

static int close_guard(void **state)
{
    (void)state;
    guard_close(&guard);
    return 0;
}

static struct proxy_header header;

static int parse(const void *bytes, size_t n, uint32_t accept)
{
    static uint8_t whole[8192];
    memcpy(whole, bytes, n);
    const int got = proxy_parse(whole, (uint32_t)n, accept, &header);
    for (size_t have = 0; have <= n; have++) {
        struct proxy_header h;
        const int part = proxy_parse(guard_put(&guard, bytes, have), (uint32_t)have, accept, &h);
        if (part == PROXY_NEED_MORE && (have < n || got == PROXY_NEED_MORE)) continue;
        assert_int_equal(part, got);
        if (got < 0) break;
        assert_int_equal(h.kind, header.kind);
        assert_int_equal(h.source_port, header.source_port);
        assert_memory_equal(h.source, header.source, 16);
        assert_int_equal(h.tlvs.n, header.tlvs.n);
    }
    if (got < 0) assert_true(strlen(proxy_bad_text(got)) > 10);
    return got;
}
#define PARSE(text) parse(text, sizeof(text) - 1, PROXY_ACCEPT_ANY)

static void test_v1__addresses(void **state)
{
    (void)state;
    assert_int_equal(PARSE("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET /"), 47);
    assert_int_equal(header.kind, PROXY_IPV4);
    assert_int_equal(header.version, 1);
    assert_memory_equal(header.source, "\xc0\xa8\x00\x01", 4);
    assert_memory_equal(header.destination, "\xc0\xa8\x00\x0b", 4);
    assert_int_equal(header.source_port, 56324);
    assert_int_equal(header.destination_port, 443);
    assert_true(PARSE("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n") > 0);
    assert_true(PARSE("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n") > 0);
    assert_int_equal(header.kind, PROXY_IPV6);
    assert_memory_equal(header.source, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_memory_equal(header.destination, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
    assert_true(PARSE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n") > 0);
    assert_true(PARSE("PROXY TCP6 :: 1:2:3:4:5:6:7:8 1 2\r\n") > 0);
    assert_memory_equal(header.source, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_memory_equal(header.destination, "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\x08", 16);
    assert_true(PARSE("PROXY TCP6 1:2:3:4:5:6:1.2.3.4 :: 1 2\r\n") > 0);
    assert_memory_equal(header.source, "\0\1\0\2\0\3\0\4\0\5\0\6\1\2\3\4", 16);
    assert_true(PARSE("PROXY TCP6 0123:4567:89ab:cdef:9:ABCD:EF:0 :: 1 2\r\n") > 0);
    assert_memory_equal(header.source, "\x01\x23\x45\x67\x89\xab\xcd\xef\0\x09\xab\xcd\0\xef\0\0", 16);
    assert_true(PARSE("PROXY TCP6 a:: 1:2:3:4:5:6:7:: 1 2\r\n") > 0);
    assert_memory_equal(header.source, "\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_memory_equal(header.destination, "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0", 16);
}

static void test_v1__unknown_is_local(void **state)
{
    (void)state;
    assert_int_equal(PARSE("PROXY UNKNOWN\r\nrest"), 15);
    assert_int_equal(header.kind, PROXY_LOCAL);
    assert_true(PARSE("PROXY UNKNOWN ffff::1 whatever 1 2\r\n") > 0);
    assert_int_equal(header.kind, PROXY_LOCAL);
    // The longest line there may be, and one byte more.
    char text[120];
    int n = snprintf(text, sizeof text, "PROXY UNKNOWN %091d\r\n", 1);
    assert_int_equal(n, PROXY_V1_BYTES_MAX);
    assert_int_equal(parse(text, (size_t)n, PROXY_ACCEPT_V1), n);
    n = snprintf(text, sizeof text, "PROXY UNKNOWN %092d\r\n", 1);
    assert_int_equal(parse(text, (size_t)n, PROXY_ACCEPT_V1), PROXY_BAD_SIZE);
    n = snprintf(text, sizeof text, "PROXY UNKNOWN %093d", 1);
    assert_int_equal(n, PROXY_V1_BYTES_MAX);
    assert_int_equal(parse(text, (size_t)n, PROXY_ACCEPT_V1), PROXY_BAD_SIZE);
    n = snprintf(text, sizeof text, "PROXY UNKNOWN %0100d", 1);
    assert_int_equal(parse(text, (size_t)n, PROXY_ACCEPT_V1), PROXY_BAD_SIZE);
}

static void test_v1__refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2..4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
        "PROXY TCP6 1::2::3 ::1 1 2\r\n",
        "PROXY TCP6 12345::1 ::1 1 2\r\n",
        "PROXY TCP6 g::1 ::1 1 2\r\n",
        "PROXY TCP6 : ::1 1 2\r\n",
        "PROXY TCP6 1: ::1 1 2\r\n",
        "PROXY TCP6 :1 ::1 1 2\r\n",
        "PROXY TCP6 ::1: ::1 1 2\r\n",
        "PROXY TCP6 ::: ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4::5:6:7:8 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4::1 ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7:1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6  ::1 1 2\r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (parse(lines[i], strlen(lines[i]), PROXY_ACCEPT_ANY) != PROXY_BAD_SYNTAX)
            fail_msg("taken or refused otherwise: %s", lines[i]);
    assert_int_equal(PARSE("GET / HTTP/1.1\r\n"), PROXY_BAD_SIGNATURE);
    assert_int_equal(PARSE("PROXX"), PROXY_BAD_SIGNATURE);
    assert_int_equal(PARSE("\x16\x03\x01"), PROXY_BAD_SIGNATURE);
    assert_int_equal(PARSE("PROXY"), PROXY_NEED_MORE);
    assert_int_equal(PARSE(""), PROXY_NEED_MORE);
}

#define V2 "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define IPV4 "\x01\x02\x03\x04\x05\x06\x07\x08\xdc\x04\x01\xbb"

static void test_v2__addresses(void **state)
{
    (void)state;
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x0c" IPV4 "GET /"), 28);
    assert_int_equal(header.kind, PROXY_IPV4);
    assert_int_equal(header.version, 2);
    assert_memory_equal(header.source, "\1\2\3\4", 4);
    assert_memory_equal(header.destination, "\5\6\7\x08", 4);
    assert_int_equal(header.source_port, 56324);
    assert_int_equal(header.destination_port, 443);
    assert_int_equal(header.tlvs.n, 0);
    assert_int_equal(PARSE(V2 "\x21\x21\x00\x24"
                              "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                              "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
                              "\x00\x01\x00\x02"),
                     52);
    assert_int_equal(header.kind, PROXY_IPV6);
    assert_memory_equal(header.destination, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    assert_int_equal(header.destination_port, 2);
}

static void test_v2__local_and_other_families(void **state)
{
    (void)state;
    assert_int_equal(PARSE(V2 "\x20\x00\x00\x00"), 16);
    assert_int_equal(header.kind, PROXY_LOCAL);
    assert_int_equal(PARSE(V2 "\x20\x11\x00\x0c" IPV4), 28); // LOCAL: the block is skipped
    assert_int_equal(header.kind, PROXY_LOCAL);
    assert_int_equal(PARSE(V2 "\x20\xff\x00\x02xy"), 18);
    assert_int_equal(PARSE(V2 "\x21\x00\x00\x03xyz"), 19); // UNSPEC
    assert_int_equal(header.kind, PROXY_LOCAL);
    assert_int_equal(PARSE(V2 "\x21\x12\x00\x0c" IPV4), 28); // UDP
    assert_int_equal(header.kind, PROXY_LOCAL);
    char unix_socket[16 + 216 + 1] = V2 "\x21\x31\x00\xd8";
    assert_int_equal(parse(unix_socket, 16 + 216, PROXY_ACCEPT_V2), 16 + 216);
    assert_int_equal(header.kind, PROXY_LOCAL);
}

static void test_v2__refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE(V2 "\x11\x11\x00\x0c" IPV4), PROXY_BAD_SYNTAX); // version 1 in binary
    assert_int_equal(PARSE(V2 "\x22\x11\x00\x0c" IPV4), PROXY_BAD_SYNTAX); // command
    assert_int_equal(PARSE(V2 "\x21\x41\x00\x0c" IPV4), PROXY_BAD_SYNTAX); // family
    assert_int_equal(PARSE(V2 "\x21\x13\x00\x0c" IPV4), PROXY_BAD_SYNTAX); // protocol
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x0b" IPV4), PROXY_BAD_SYNTAX); // too short for its family
    assert_int_equal(PARSE(V2 "\x21\x21\x00\x0c" IPV4), PROXY_BAD_SYNTAX);
    assert_int_equal(PARSE(V2 "\x21\x11\x0f\xf1" IPV4), PROXY_BAD_SIZE);
    assert_int_equal(PARSE(V2 "\x21\x11\x0f\xf0" IPV4), PROXY_NEED_MORE);
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x0c\x01\x02"), PROXY_NEED_MORE);
    for (uint32_t i = 0; i < 12; i++) {
        char text[] = V2 "\x21\x11\x00\x0c" IPV4;
        text[i] ^= 1;
        assert_int_equal(parse(text, sizeof text - 1, PROXY_ACCEPT_ANY), PROXY_BAD_SIGNATURE);
    }
}

static void test_v2__tlvs(void **state)
{
    (void)state;
    // As a network load balancer of AWS sends them: the VPC endpoint's id, and a filler.
    assert_true(PARSE(V2 "\x21\x11\x00\x1d" IPV4 "\xea\x00\x05\x01vpce\x04\x00\x03\0\0\0\x02\x00\x00") > 0);
    struct span value;
    assert_true(proxy_tlv(&header, PROXY_TLV_AWS, &value));
    assert_int_equal(value.n, 5);
    assert_memory_equal(value.p, "\x01vpce", 5);
    assert_true(proxy_tlv(&header, PROXY_TLV_AUTHORITY, &value));
    assert_int_equal(value.n, 0);
    assert_false(proxy_tlv(&header, PROXY_TLV_ALPN, &value));
    // One that is cut off, by one byte and by its own head.
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x13" IPV4 "\xea\x00\x05\x01vpc"), PROXY_BAD_SYNTAX);
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x0e" IPV4 "\xea\x00"), PROXY_BAD_SYNTAX);
}

// CRC-32C by its definition, the message as a polynomial over GF(2), the lowest bit of each byte first.
static uint32_t crc32c(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t bit = 0; bit < n * 8; bit++) {
        const uint32_t in = (uint32_t)(p[bit / 8] >> bit % 8 & 1);
        const uint32_t out = crc & 1;
        crc >>= 1;
        if (in ^ out) crc ^= 0x82f63b78;
    }
    return ~crc;
}

static void test_v2__checksum(void **state)
{
    (void)state;
    assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283); // the check value everybody prints
    uint8_t text[] = V2 "\x21\x11\x00\x17" IPV4 "\x03\x00\x04\0\0\0\0\x04\x00\x01x";
    const size_t n = sizeof text - 1, at = 28 + 3;
    const uint32_t crc = crc32c(text, n);
    for (int i = 0; i < 4; i++) text[at + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    assert_int_equal(parse(text, n, PROXY_ACCEPT_ANY), n);
    for (size_t i = 16; i < n; i++) {
        text[i] ^= 0x40;
        assert_true(parse(text, n, PROXY_ACCEPT_ANY) < 0 || i == 28); // 28: the type of the checksum itself
        text[i] ^= 0x40;
    }
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x13" IPV4 "\x03\x00\x04\0\0\0\0"), PROXY_BAD_CHECKSUM);
    assert_int_equal(PARSE(V2 "\x21\x11\x00\x12" IPV4 "\x03\x00\x03\0\0\0"), PROXY_BAD_SYNTAX);
}

static void test_accept__only_the_configured_version(void **state)
{
    (void)state;
    const char one[] = "PROXY UNKNOWN\r\n", two[] = V2 "\x20\x00\x00\x00";
    assert_int_equal(parse(one, sizeof one - 1, PROXY_ACCEPT_V2), PROXY_BAD_SIGNATURE);
    assert_int_equal(parse(two, sizeof two - 1, PROXY_ACCEPT_V1), PROXY_BAD_SIGNATURE);
    assert_true(parse(one, sizeof one - 1, PROXY_ACCEPT_V1) > 0);
    assert_true(parse(two, sizeof two - 1, PROXY_ACCEPT_V2) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1__addresses),
        cmocka_unit_test(test_v1__unknown_is_local),
        cmocka_unit_test(test_v1__refused),
        cmocka_unit_test(test_v2__addresses),
        cmocka_unit_test(test_v2__local_and_other_families),
        cmocka_unit_test(test_v2__refused),
        cmocka_unit_test(test_v2__tlvs),
        cmocka_unit_test(test_v2__checksum),
        cmocka_unit_test(test_accept__only_the_configured_version),
    };
    return cmocka_run_group_tests_name("proxy_protocol", tests, open_guard, close_guard);
}
