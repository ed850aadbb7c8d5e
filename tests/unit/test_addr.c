// addr: what is read must be written again the same; what is none of the forms must be refused and leave the
// result alone. Ranges are checked at both edges, for IPv4 seen through IPv6 too.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>

#include "io/addr.h"

static struct io_addr parsed(const char *text)
{
    struct io_addr a = {0};
    if (io_addr_parse(span_str(text), &a) != RW_OK) fail_msg("refused: %s", text);
    return a;
}

static struct io_addr ip(const char *text)
{
    struct io_addr a = {0};
    if (io_addr_parse_ip(span_str(text), 7, &a) != RW_OK) fail_msg("refused: %s", text);
    return a;
}

static void test_parse__text_comes_back_the_same(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "127.0.0.1:8080",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::1]:8080",
        "[::]:443",
        "unix:/run/x.sock",
        "unix:@name",
        "unix:relative",
        "[fe80::1%1]:8080",
        "[2001:db8::1]:443",
        "[::ffff:10.0.0.1]:80",
        "unix:@a:b",
        "unix:/with space",
        "unix:/x]:80",
        "[1:2:3:4:5:6:7:8%99]:65535",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char text[IO_ADDR_TEXT_BYTES];
        const struct io_addr a = parsed(forms[i]);
        assert_int_equal(io_addr_text(&a, true, text), strlen(forms[i]));
        assert_string_equal(text, forms[i]);
        const struct io_addr again = parsed(text);
        assert_true(io_addr_eq(&a, &again));
    }
}

static void test_parse__other_forms_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "[::1]",
        "[::1]:",
        "[::1]8080",
        "::1:8080",
        "[127.0.0.1]:80",
        "127.0.0.1:080808",
        "[::1:8080",
        "localhost:80",
        "127.0.0:80",
        "256.0.0.1:80",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "unix:",
        "unix:@",
        "127.0.0.1%1:80",
        "[fe80::1%nosuchif]:80",
        "[fe80::1%0]:80",
        "[fe80::1%]:80",
        "[::1]]:80",
        "01.2.3.4:80",
        "127.0.0.1:8:9",
        "[fe80::1%4294967296]:80",
    };
    const struct io_addr untouched = {.n = 99};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct io_addr a = untouched;
        if (io_addr_parse(span_str(bad[i]), &a) != RW_E_BAD) fail_msg("taken: %s", bad[i]);
        assert_int_equal(a.n, 99);
    }
    struct io_addr a;
    assert_int_equal(io_addr_parse(SPAN("unix:/a\0b"), &a), RW_E_BAD);
    assert_int_equal(io_addr_parse(SPAN("127.0.0.1\0:80"), &a), RW_E_BAD);
}

static void test_parse__longest_unix_path(void **state)
{
    (void)state;
    char text[5 + 109] = "unix:", out[IO_ADDR_TEXT_BYTES];
    memset(text + 5, 'p', 108);
    struct io_addr a;
    assert_int_equal(io_addr_parse(span_of(text, 5 + 107), &a), RW_OK);
    assert_int_equal(a.n, sizeof(struct sockaddr_un));
    assert_int_equal(io_addr_text(&a, true, out), 5 + 107);
    assert_int_equal(io_addr_parse(span_of(text, 5 + 108), &a), RW_E_BAD);
}

static void test_parse__abstract_name_has_no_trailing_nul(void **state)
{
    (void)state;
    const struct io_addr a = parsed("unix:@ab");
    assert_int_equal(a.n, offsetof(struct sockaddr_un, sun_path) + 3);
    assert_memory_equal(a.un.sun_path, "\0ab", 3);
}

static void test_parse_ip__both_families(void **state)
{
    (void)state;
    char text[IO_ADDR_TEXT_BYTES];
    struct io_addr a = ip("10.0.0.1");
    assert_int_equal(a.sa.sa_family, AF_INET);
    assert_int_equal(io_addr_port(&a), 7);
    assert_int_equal(io_addr_text(&a, false, text), 8);
    assert_string_equal(text, "10.0.0.1");
    a = ip("2001:db8::a");
    assert_int_equal(a.sa.sa_family, AF_INET6);
    assert_int_equal(io_addr_port(&a), 7);
    io_addr_text(&a, false, text);
    assert_string_equal(text, "2001:db8::a");
    assert_int_equal(io_addr_parse_ip(SPAN("[::1]"), 7, &a), RW_E_BAD);
    assert_int_equal(io_addr_parse_ip(SPAN("10.0.0.1:80"), 7, &a), RW_E_BAD);
}

static void test_of_ip__bytes_in_network_order(void **state)
{
    (void)state;
    char text[IO_ADDR_TEXT_BYTES];
    const uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    struct io_addr a = io_addr_of_ip(bytes, 4, 80);
    io_addr_text(&a, true, text);
    assert_string_equal(text, "32.1.13.184:80");
    a = io_addr_of_ip(bytes, 16, 81);
    io_addr_text(&a, true, text);
    assert_string_equal(text, "[2001:db8::9]:81");
    const struct io_addr same = parsed("[2001:db8::9]:81");
    assert_true(io_addr_eq(&a, &same));
}

static void test_text__strange_peers(void **state)
{
    (void)state;
    char text[IO_ADDR_TEXT_BYTES] = "x";
    struct io_addr a = {0};
    assert_int_equal(io_addr_text(&a, true, text), 0);
    assert_string_equal(text, "");
    a = (struct io_addr){.n = sizeof(sa_family_t),
                         .un = {.sun_family = AF_UNIX}}; // a client that did not bind
    io_addr_text(&a, true, text);
    assert_string_equal(text, "unix:");
    a.n = sizeof a.un;
    memset(a.un.sun_path, 'x', sizeof a.un.sun_path); // no NUL at all, as getsockname() may give it
    a.un.sun_path[1] = '\n';
    assert_int_equal(io_addr_text(&a, true, text), 5 + sizeof a.un.sun_path);
    assert_int_equal(text[6], '?');
}

static void test_eq__each_part_counts(void **state)
{
    (void)state;
    static const char *const all[] = {"1.2.3.4:5", "1.2.3.5:5", "1.2.3.4:6", "[::1]:5",  "[::2]:5", "[::1]:6",
                                      "[::1%1]:5", "unix:/a",   "unix:@a",   "unix:/ab", "unix:@ab"};
    const size_t n = sizeof all / sizeof *all;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            const struct io_addr a = parsed(all[i]), b = parsed(all[k]);
            assert_int_equal(io_addr_eq(&a, &b), i == k);
        }
    }
    const struct io_addr none = {0}, a = parsed("1.2.3.4:5");
    assert_true(io_addr_eq(&none, &none));
    assert_false(io_addr_eq(&none, &a));
}

static void test_cidr__edges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *in[3], *out[3];
    } rows[] = {
        {"10.0.0.0/8",
         {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"},
         {"11.0.0.0", "9.255.255.255", "::a00:1"}},
        {"10.1.2.3/8", {"10.9.9.9"}, {"11.1.2.3"}},
        {"192.168.1.128/25", {"192.168.1.128", "192.168.1.255"}, {"192.168.1.127", "192.168.2.128"}},
        {"1.2.3.4", {"1.2.3.4"}, {"1.2.3.5"}},
        {"0.0.0.0/0", {"255.1.1.1", "0.0.0.0"}, {"::1", "2001:db8::1"}},
        {"::/0", {"255.1.1.1", "::1"}, {0}},
        {"::1/128", {"::1"}, {"::2", "127.0.0.1"}},
        {"fc00::/7", {"fd00::1", "fc00::"}, {"fe00::1"}},
        {"2001:db8::/33", {"2001:db8:7fff::1"}, {"2001:db8:8000::"}},
        {"::ffff:10.0.0.0/104", {"10.3.2.1"}, {"11.0.0.1"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct io_cidr c;
        assert_int_equal(io_cidr_parse(span_str(rows[i].range), &c), RW_OK);
        for (int k = 0; k < 3 && rows[i].in[k]; k++) {
            const struct io_addr a = ip(rows[i].in[k]);
            if (!io_cidr_has(&c, &a)) fail_msg("%s is not in %s", rows[i].in[k], rows[i].range);
        }
        for (int k = 0; k < 3 && rows[i].out[k]; k++) {
            const struct io_addr a = ip(rows[i].out[k]);
            if (io_cidr_has(&c, &a)) fail_msg("%s is in %s", rows[i].out[k], rows[i].range);
        }
    }
    struct io_cidr all;
    assert_int_equal(io_cidr_parse(SPAN("::/0"), &all), RW_OK);
    const struct io_addr local = parsed("unix:/x"), none = {0};
    assert_false(io_cidr_has(&all, &local));
    assert_false(io_cidr_has(&all, &none));
}

static void test_cidr_parse__other_forms_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/8/8",
                                      "/8",      "10/8",        "::1%1/64",  "host/8", "10.0.0.0/-1",
                                      "::/0128", "10.0.0.0 /8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct io_cidr c;
        if (io_cidr_parse(span_str(bad[i]), &c) != RW_E_BAD) fail_msg("taken: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__text_comes_back_the_same),
        cmocka_unit_test(test_parse__other_forms_are_refused),
        cmocka_unit_test(test_parse__longest_unix_path),
        cmocka_unit_test(test_parse__abstract_name_has_no_trailing_nul),
        cmocka_unit_test(test_parse_ip__both_families),
        cmocka_unit_test(test_of_ip__bytes_in_network_order),
        cmocka_unit_test(test_text__strange_peers),
        cmocka_unit_test(test_eq__each_part_counts),
        cmocka_unit_test(test_cidr__edges),
        cmocka_unit_test(test_cidr_parse__other_forms_are_refused),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
