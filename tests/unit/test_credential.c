// Goal: a credential lives as long as somebody holds it, and a worker's seat signs with the newest.
//
// Method: credentials are made, put into a seat, replaced and dropped under the sanitizer's eyes; what cannot be signed with is
// refused when it is made.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/credential.h"

static struct credential *aws(struct span secret)
{
    const struct sigv4_credentials c = {
        .access_key = SPAN("AKID"), .secret_key = secret, .session_token = SPAN("tok")};
    return credential_sigv4(&c, SPAN("us-east-1"), SPAN("bedrock"), 100);
}

static void test_fields__a_copy(void **state)
{
    (void)state;
    char line[] = "authorization: Bearer x\r\n";
    struct credential *c = credential_fields(span_of(line, sizeof line - 1), 7);
    memset(line, 0, sizeof line);
    assert_true(span_eq(c->lines, SPAN("authorization: Bearer x\r\n")));
    assert_int_equal(c->expires_s, 7);
    assert_ptr_equal(credential_hold(c), c);
    credential_drop(c);
    assert_true(span_eq(c->lines, SPAN("authorization: Bearer x\r\n")));
    credential_drop(c);
    assert_null(credential_hold(NULL));
    credential_drop(NULL);
}

static void test_make__what_cannot_be_used(void **state)
{
    (void)state;
    static char secret[200];
    memset(secret, 'x', sizeof secret);
    assert_null(aws(span_of(secret, 129)));
    static char lines[CREDENTIAL_BYTES_MAX + 1];
    assert_null(credential_fields(span_of(lines, sizeof lines), 0));
}

static void test_seat__takes_the_newest(void **state)
{
    (void)state;
    struct credential_seat seat = {0};
    struct credential *a = aws(SPAN("one")), *b = aws(SPAN("two")),
                      *line = credential_fields(SPAN("x-a: b\r\n"), 0);
    credential_seat_take(&seat, a);
    credential_drop(a); // the seat has it
    assert_true(span_eq(seat.signer.access_key, SPAN("AKID")));
    const struct crypto_hmac_key first = seat.signer.secret;
    credential_seat_take(&seat, b);
    credential_drop(b);
    assert_memory_not_equal(&first, &seat.signer.secret, sizeof first);
    credential_seat_take(&seat, b); // the same again
    assert_true(span_eq(seat.credential->aws.secret_key, SPAN("two")));
    credential_seat_take(&seat, line);
    credential_drop(line);
    assert_null(seat.signer.access_key.p); // nothing of the old one is left
    credential_seat_take(&seat, NULL);
    assert_null(seat.credential);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields__a_copy),
        cmocka_unit_test(test_make__what_cannot_be_used),
        cmocka_unit_test(test_seat__takes_the_newest),
    };
    return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
