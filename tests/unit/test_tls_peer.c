// tls_peer: which clients a certificate is taken for. Method: subjects and alternative names put together here, byte by byte,
// among them those that only look like what is wanted.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tls/tls_der.h"
#include "tls/tls_priv.h"

struct der {
    uint8_t bytes[512];
    uint32_t n;
};

// An element with these contents, behind what is there.
static void put(struct der *d, uint8_t tag, const void *p, uint32_t n)
{
    assert_true(n < 0x80 && d->n + n + 2 < sizeof d->bytes);
    d->bytes[d->n++] = tag;
    d->bytes[d->n++] = (uint8_t)n;
    memcpy(d->bytes + d->n, p, n);
    d->n += n;
}

// One more RDN: its attribute is 2.5.4.`kind`.
static void put_attribute(struct der *name, uint8_t kind, uint8_t tag, const char *value, uint32_t n)
{
    struct der pair = {.n = 0}, seq = {.n = 0};
    put(&pair, TLS_DER_OID, (const uint8_t[]){0x55, 4, kind}, 3);
    put(&pair, tag, value, n);
    put(&seq, TLS_DER_SEQUENCE, pair.bytes, pair.n);
    put(name, 0x31, seq.bytes, seq.n);
}

static struct tls_cert subject_of(const struct der *list, struct der *whole)
{
    whole->n = 0;
    put(whole, TLS_DER_SEQUENCE, list->bytes, list->n);
    return (struct tls_cert){.subject = span_of(whole->bytes, whole->n)};
}

static uint64_t found(const struct tls_cert *cert, const char *san, const char *subject)
{
    struct tls_peer peers[] = {{.id = 1, .san = "nobody.else"}, {.id = 7, .san = san, .subject = subject}};
    const struct tls_server s = {.peer = peers, .peer_n = 2};
    return tls_peer_find(&s, cert);
}

static void test_find__subject(void **state)
{
    (void)state;
    struct der list = {.n = 0}, whole;
    put_attribute(&list, 10, 0x0c, "Corp, Inc", 9);
    put_attribute(&list, 11, 0x13, "research", 8);
    put_attribute(&list, 11, 0x13, "batch", 5);
    put_attribute(&list, 3, 0x0c, "app", 3);
    const struct tls_cert c = subject_of(&list, &whole);
    static const struct {
        const char *subject;
        bool fits;
    } cases[] = {
        {"CN=app", true},
        {"CN=app,O=Corp\\, Inc", true},
        {"O=Corp\\, Inc, CN=app", true},
        {"OU=batch,OU=research", true},
        {"CN=app,OU=other", false},
        {"CN=App", false},
        {"CN=ap", false},
        {"CN=app2", false},
        {"CN=app ", false},
        {"O=app", false},
        {"O=Corp", false},
        {"C=app", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(tls_subject_check(cases[i].subject));
        if (found(&c, NULL, cases[i].subject) != (cases[i].fits ? 7 : 0))
            print_error("%s\n", cases[i].subject);
        assert_int_equal(found(&c, NULL, cases[i].subject), cases[i].fits ? 7 : 0);
    }
}

static void test_find__a_subject_in_other_letters(void **state)
{
    (void)state;
    struct der list = {.n = 0}, whole;
    put_attribute(&list, 3, 0x1e, "app", 3); // BMPString
    put_attribute(&list, 3, 0x14, "app", 3); // TeletexString
    put_attribute(&list, 3, 0x0c, "app\0x", 5);
    const struct tls_cert c = subject_of(&list, &whole);
    assert_int_equal(found(&c, NULL, "CN=app"), 0);
}

static void test_find__alternative_names(void **state)
{
    (void)state;
    struct der san = {.n = 0};
    put(&san, 0x82, "App.example", 11);
    put(&san, 0x82, "*.wild.example", 14);
    put(&san, 0x86, "spiffe://corp/app", 17);
    put(&san, 0x81, "Ann@corp.example", 16);
    put(&san, 0x87, (const uint8_t[]){10, 0, 0, 9}, 4);
    put(&san, 0x88, "registered", 10);
    put(&san, 0x82, "cut.example\0.evil", 17);
    const struct tls_cert c = {.san = span_of(san.bytes, san.n)};
    static const char *const good[] = {"app.example", "spiffe://corp/app", "Ann@corp.example", "10.0.0.9",
                                       "*.wild.example"};
    static const char *const bad[] = {
        "example", "app.example.x", "spiffe://corp/App", "spiffe://corp/ap", "ann@corp.example", "10.0.0.8",
        "::1",     "registered",    "x.wild.example",    "cut.example",      "App.exampl"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_int_equal(found(&c, good[i], NULL), 7);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(found(&c, bad[i], NULL), 0);
    // A subject is no alternative name, nor the other way round.
    assert_int_equal(found(&c, NULL, "CN=app.example"), 0);
}

static void test_find__damaged(void **state)
{
    (void)state;
    struct der list = {.n = 0}, whole;
    put_attribute(&list, 10, 0x0c, "Corp", 4);
    put_attribute(&list, 3, 0x0c, "app", 3);
    const struct tls_cert c = subject_of(&list, &whole);
    for (uint32_t n = 0; n < whole.n; n++) {
        struct der cut = whole;
        cut.n = n;
        const struct tls_cert part = {.subject = span_of(cut.bytes, cut.n)};
        assert_int_equal(found(&part, NULL, "CN=app"), 0);
    }
    assert_int_equal(found(&c, NULL, "CN=app"), 7);
}

static void test_subject_check__what_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "app", "CN=", "XX=app", "CN=app,O", "cn=app", "=app", ","};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_non_null(tls_subject_check(bad[i]));
    assert_null(tls_subject_check("UID=u1,DC=corp,emailAddress=a@b,serialNumber=9,L=x,ST=y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find__subject),
        cmocka_unit_test(test_find__a_subject_in_other_letters),
        cmocka_unit_test(test_find__alternative_names),
        cmocka_unit_test(test_find__damaged),
        cmocka_unit_test(test_subject_check__what_is_refused),
    };
    return cmocka_run_group_tests_name("tls_peer", tests, NULL, NULL);
}
