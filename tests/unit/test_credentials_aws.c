// Goal: keys of AWS are read from profile files and from the answers of its endpoints as AWS's own tools read them, and what
// cannot be used is refused with the reason.
//
// Method: texts in, keys out; every answer is handed in as the endpoint would have given it, against a clock of the test's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/credentials_priv.h"
#include "control/credentials_profile.h"

#define NOW_S 1795293615 // 2026-11-21T20:40:15Z

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.n, strlen(text));
    assert_memory_equal(s.p ? s.p : (const uint8_t *)"", text, s.n);
}

static const char file_text[] = "aws_access_key_id = outside\n"
                                "# aws_access_key_id = comment\n"
                                "[default]\r\n"
                                "aws_access_key_id=AKID\r\n"
                                "AWS_Secret_Access_Key =  s/e+c=r# \t; of ours\r\n"
                                "\r\n"
                                "[ team ] # another\n"
                                "region = eu-west-1\n"
                                "s3 =\n"
                                "  aws_access_key_id = nested\n"
                                "\taws_secret_access_key = nested\n"
                                "aws_access_key_id = AK2\n"
                                "aws_secret_access_key = s2\n"
                                "aws_session_token = tok==\n"
                                "no equals sign\n"
                                "[half]\n"
                                "aws_secret_access_key = s3";

static void test_read__keys_of_a_profile(void **state)
{
    (void)state;
    struct credentials_profile p;
    credentials_profile_read(span_str(file_text), false, SPAN("default"), &p);
    assert_true(p.found && !p.other.n && !p.session_token.n);
    assert_span(p.access_key, "AKID");
    assert_span(p.secret_key, "s/e+c=r#");
    credentials_profile_read(span_str(file_text), false, SPAN("team"), &p);
    assert_span(p.access_key, "AK2");
    assert_span(p.secret_key, "s2");
    assert_span(p.session_token, "tok==");
    credentials_profile_read(span_str(file_text), false, SPAN("half"), &p);
    assert_true(p.found && !p.access_key.n);
    assert_span(p.secret_key, "s3");
    credentials_profile_read(span_str(file_text), false, SPAN("tea"), &p);
    assert_false(p.found || p.access_key.n);
    credentials_profile_read(SPAN(""), false, SPAN("default"), &p);
    assert_false(p.found);
}

static void test_read__names_of_the_config_file(void **state)
{
    (void)state;
    static const char text[] =
        "[default]\naws_access_key_id = A\n[team]\naws_access_key_id = B\n"
        "[profile\tteam]\nrole_arn = arn:aws:iam::1:role/r\n[profiles]\n"
        "aws_access_key_id = C\n[profile default]\naws_secret_access_key = D\n[profile";
    struct credentials_profile p;
    credentials_profile_read(span_str(text), true, SPAN("default"), &p);
    assert_span(p.access_key, "A");
    assert_span(p.secret_key, "D");
    credentials_profile_read(span_str(text), true, SPAN("team"), &p);
    assert_true(p.found && !p.access_key.n);
    assert_span(p.other, "role_arn");
    credentials_profile_read(span_str(text), true, SPAN("profiles"), &p);
    assert_false(p.found);
}

// Every beginning of a file is a file.
static void test_read__cut_anywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof file_text; n++) {
        uint8_t *exact = malloc(n + !n);
        struct credentials_profile p;
        assert_non_null(exact);
        memcpy(exact, file_text, n);
        credentials_profile_read(span_of(exact, n), n & 1, SPAN("team"), &p);
        free(exact);
    }
}

static struct credential *answer(struct credentials_job *j, const char *text)
{
    *j->why = 0;
    j->body = span_str(text);
    assert_true(credentials_is_object(j, j->body));
    return credentials_aws_answer(j, NOW_S);
}

static struct credentials_job *new_job(struct credentials_source *source)
{
    struct credentials_job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    static char region[] = "eu-west-1";
    *source = (struct credentials_source){.set = {[CREDENTIALS_REGION] = region}};
    j->source = source;
    return j;
}

static void test_answer__keys_and_their_end(void **state)
{
    (void)state;
    struct credentials_source source;
    struct credentials_job *j = new_job(&source);
    struct credential *c =
        answer(j,
               "{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":"
               "\"s\\/+\",\"Token\":\"t==\",\"Expiration\":\"2026-11-21T20:40:16Z\"}");
    assert_non_null(c);
    assert_span(c->aws.access_key, "ASIA");
    assert_span(c->aws.secret_key, "s/+");
    assert_span(c->aws.session_token, "t==");
    assert_span(c->region, "eu-west-1");
    assert_span(c->service, "bedrock");
    assert_int_equal(c->expires_s, NOW_S + 1);
    credential_drop(c);
    c = answer(
        j, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2028-02-29T00:00:00.123Z\"}");
    assert_non_null(c);
    assert_int_equal(c->expires_s, 1835395200);
    assert_int_equal(c->aws.session_token.n, 0);
    credential_drop(c);
    c = answer(j, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}");
    assert_non_null(c);
    assert_int_equal(c->expires_s, 0);
    credential_drop(c);
    free(j);
}

static void test_answer__what_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } all[] = {
        {"{\"Code\":\"AssumeRoleUnauthorizedAccess\"}",
         "the answer says AssumeRoleUnauthorizedAccess instead of credentials"},
        {"{\"AccessKeyId\":\"A\"}", "the answer has no usable AccessKeyId, SecretAccessKey and Token"},
        {"{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"s\"}",
         "the answer has no usable AccessKeyId, SecretAccessKey and Token"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"a\\r\\nb: c\"}",
         "the answer has no usable AccessKeyId, SecretAccessKey and Token"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":7}",
         "the answer has no usable AccessKeyId, SecretAccessKey and Token"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2026-11-21T20:40:16+02:00\"}",
         "the answer's Expiration is no time"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"tomorrow\"}",
         "the answer's Expiration is no time"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2026-11-21T20:40:15Z\"}",
         "the answer's credentials have expired already: compare the clocks"},
    };
    struct credentials_source source;
    struct credentials_job *j = new_job(&source);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_null(answer(j, all[i].text));
        assert_string_equal(j->why, all[i].why);
    }
    free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read__keys_of_a_profile),
        cmocka_unit_test(test_read__names_of_the_config_file),
        cmocka_unit_test(test_read__cut_anywhere),
        cmocka_unit_test(test_answer__keys_and_their_end),
        cmocka_unit_test(test_answer__what_cannot_be_used),
    };
    return cmocka_run_group_tests_name("credentials_aws", tests, NULL, NULL);
}
