// sigv4: the recorded requests of tests/data/contracts/sigv4, byte for byte; AWS's own published examples of a presigned
// and of a chunked request; then what is refused, and that the cache changes nothing but the time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tls/sigv4.h"
#include "wire/json.h"
#include "wire/url.h"

// 2026-11-21T10:11:12Z
#define NOW_S INT64_C(1795255872)

static struct span vector_text(const char *name, char *buf, size_t cap)
{
    char path[128];
    snprintf(path, sizeof path, "tests/data/contracts/sigv4/%s.json", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(buf, 1, cap, f);
    assert_true(n > 0 && n < cap);
    fclose(f);
    return span_of(buf, n);
}

// What a string at that path says. It lives in static memory: a vector is read once at a time.
static struct span text_at(struct span json, const char *path)
{
    static uint8_t room[32768];
    static uint32_t used;
    struct span value, text;
    assert_true(json_path(json, path, &value));
    if (json_type(value) == JSON_NULL) return SPAN("");
    if (used > sizeof room / 2) used = 0;
    assert_int_equal(json_string(value, JSON_LONE_REFUSE, room + used, (uint32_t)sizeof room - used, &text),
                     RW_OK);
    used += value.n;
    return text;
}

static int64_t seconds_of(struct span date)
{
    struct tm tm = {0};
    char text[20] = {0};
    memcpy(text, date.p, date.n);
    assert_non_null(strptime(text, "%Y%m%dT%H%M%SZ", &tm));
    return timegm(&tm);
}

static uint32_t read_fields(struct span object, struct sigv4_field *field)
{
    struct json_iter it = json_iter(object);
    struct span key, value;
    uint32_t n = 0;
    while (json_next(&it, &key, &value))
        field[n++] = (struct sigv4_field){key, span_of(value.p + 1, value.n - 2)};
    return n;
}

// As a client would write it, in the order of the file.
static struct span read_query(struct span object, uint8_t *buf, uint32_t cap)
{
    struct json_iter it = json_iter(object);
    struct span key, value, piece;
    uint32_t n = 0;
    while (json_next(&it, &key, &value)) {
        if (n) buf[n++] = '&';
        assert_int_equal(url_encode(key, false, buf + n, cap - n, &piece), RW_OK);
        n += piece.n;
        buf[n++] = '=';
        assert_int_equal(url_encode(span_of(value.p + 1, value.n - 2), false, buf + n, cap - n, &piece),
                         RW_OK);
        n += piece.n;
    }
    return span_of(buf, n);
}

static struct span added(const struct sigv4_signed *s, const char *name)
{
    for (uint32_t i = 0; i < s->adds; i++)
        if (span_eq(s->add[i].name, span_str(name))) return s->add[i].value;
    return SPAN("(none)");
}

static void assert_span(struct span got, struct span want)
{
    if (!span_eq(got, want)) fail_msg("got \"%.*s\"\nwant \"%.*s\"", SPAN_ARG(got), SPAN_ARG(want));
}

static void check_vector(const char *name)
{
    static char file[16384];
    static uint8_t query[1024];
    struct sigv4_field field[16];
    struct sigv4_signer signer;
    struct sigv4_signed out;
    struct span headers = {0}, params = {0}, v;
    const struct span json = vector_text(name, file, sizeof file);
    const struct sigv4_credentials who = {.access_key = text_at(json, "access_key"),
                                          .secret_key = text_at(json, "secret_key"),
                                          .session_token = text_at(json, "session_token")};
    assert_int_equal(sigv4_signer_init(&signer, &who, text_at(json, "region"), text_at(json, "service")),
                     RW_OK);
    assert_true(json_path(json, "request.headers", &headers) && json_path(json, "request.query", &params));
    const struct span body = text_at(json, "request.body");
    struct sigv4_request request = {.method = text_at(json, "request.method"),
                                    .path = text_at(json, "request.wire_path"),
                                    .query = read_query(params, query, sizeof query),
                                    .field = field,
                                    .fields = read_fields(headers, field),
                                    .now_s = seconds_of(text_at(json, "amz_date"))};
    crypto_sha256(body.p, body.n, request.payload_sha256);
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_OK);

    char hex[64];
    assert_true(crypto_hex_encode(signer.day_key, 32, hex, sizeof hex) == sizeof hex);
    assert_span(span_of(hex, 64), text_at(json, "expected.signing_key_hex"));
    assert_span(span_of(out.signature, 64), text_at(json, "expected.signature"));
    assert_span(added(&out, "authorization"), text_at(json, "expected.authorization"));
    assert_span(added(&out, "x-amz-date"), text_at(json, "amz_date"));
    const struct span none = SPAN("(none)");
    const bool token = json_path(json, "expected.headers_to_send.x-amz-security-token", &v);
    assert_span(added(&out, "x-amz-security-token"), token ? text_at(json, "session_token") : none);
    const bool hash = json_path(json, "expected.headers_to_send.x-amz-content-sha256", &v);
    assert_span(added(&out, "x-amz-content-sha256"), hash ? text_at(json, "expected.payload_sha256") : none);
    sigv4_signer_wipe(&signer);
}

static void test_sign__recorded_requests(void **state)
{
    (void)state;
    static const char *const names[] = {
        "01-bedrock-converse",
        "02-bedrock-converse-raw-colon",
        "03-bedrock-invoke-stream-arn-session-token",
        "04-s3-getobject-special-chars",
        "05-s3-listobjectsv2-session-token",
        "06-header-trim-and-order",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_vector(names[i]);
}

// --- AWS's published examples (S3 API reference, "Authenticating Requests").

static const struct sigv4_credentials example = {
    .access_key = SPAN_INIT("AKIAIOSFODNN7EXAMPLE"),
    .secret_key = SPAN_INIT("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
};
#define EXAMPLE_S INT64_C(1369353600) // 20130524T000000Z

static void test_presign__example_of_s3(void **state)
{
    (void)state;
    struct sigv4_signer signer;
    char out[1024];
    struct span query;
    const struct sigv4_field host = {SPAN("Host"), SPAN("examplebucket.s3.amazonaws.com")};
    const struct sigv4_request request = {.method = SPAN("GET"),
                                          .path = SPAN("/test.txt"),
                                          .field = &host,
                                          .fields = 1,
                                          .payload = SIGV4_UNSIGNED,
                                          .now_s = EXAMPLE_S};
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), SPAN("s3")), RW_OK);
    assert_int_equal(sigv4_presign(&signer, &request, 86400, out, sizeof out, &query), RW_OK);
    assert_span(query,
                SPAN("X-Amz-Algorithm=AWS4-HMAC-SHA256"
                     "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                     "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                     "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
    for (uint32_t cap = 0; cap < query.n; cap++) {
        struct span untouched = SPAN("x");
        assert_int_equal(sigv4_presign(&signer, &request, 86400, out, cap, &untouched), RW_E_TOO_LARGE);
        assert_int_equal(untouched.n, 1);
    }
}

static void test_chunk__example_of_s3(void **state)
{
    (void)state;
    static char data[65536];
    struct sigv4_signer signer;
    struct sigv4_signed out;
    char head[SIGV4_CHUNK_HEAD_BYTES_MAX];
    const struct sigv4_field field[] = {
        {SPAN("Host"), SPAN("s3.amazonaws.com")},
        {SPAN("x-amz-storage-class"), SPAN("REDUCED_REDUNDANCY")},
        {SPAN("Content-Encoding"), SPAN("aws-chunked")},
        {SPAN("x-amz-decoded-content-length"), SPAN("66560")},
        {SPAN("Content-Length"), SPAN("66824")},
    };
    const struct sigv4_request request = {.method = SPAN("PUT"),
                                          .path = SPAN("/examplebucket/chunkObject.txt"),
                                          .field = field,
                                          .fields = 5,
                                          .payload = SIGV4_STREAMED,
                                          .now_s = EXAMPLE_S};
    memset(data, 'a', sizeof data);
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), SPAN("s3")), RW_OK);
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_OK);
    assert_span(span_of(out.signature, 64),
                SPAN("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
    assert_span(added(&out, "x-amz-content-sha256"), SPAN("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
    uint32_t n = sigv4_chunk(&signer, &out, data, 65536, head);
    assert_span(span_of(head, n),
                SPAN("10000;chunk-signature="
                     "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"));
    n = sigv4_chunk(&signer, &out, data, 1024, head);
    assert_span(span_of(head, n),
                SPAN("400;chunk-signature="
                     "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"));
    n = sigv4_chunk(&signer, &out, data, 0, head);
    assert_span(span_of(head, n),
                SPAN("0;chunk-signature="
                     "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n"));
}

// --- The rest.

static const struct sigv4_field host_only = {SPAN_INIT("host"), SPAN_INIT("h")};

// The signature of a GET of that path and query, or what is returned instead of one.
static enum rw_err try_sign(const char *service, const char *path, const char *query, char *signature)
{
    struct sigv4_signer signer;
    struct sigv4_signed out;
    const struct sigv4_request request = {.method = SPAN("GET"),
                                          .path = span_str(path),
                                          .query = span_str(query),
                                          .field = &host_only,
                                          .fields = 1,
                                          .now_s = NOW_S};
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), span_str(service)), RW_OK);
    const enum rw_err err = sigv4_sign(&signer, &request, &out);
    if (err == RW_OK) memcpy(signature, out.signature, sizeof out.signature);
    return err;
}

static void test_sign__a_path_that_aws_would_rewrite_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a", "//", "/a//b", "/./a", "/a/..", "/a/../b", "/."};
    char sig[64], other[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(try_sign("bedrock", bad[i], "", sig), RW_E_BAD);
    static const char *const good[] = {"", "/", "/a/", "/a/b", "/...", "/.a/b.", "/%2e%2e"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(try_sign("bedrock", good[i], "", sig), RW_OK);
    // S3 takes a key for what it is.
    assert_int_equal(try_sign("s3", "/a//../b", "", sig), RW_OK);
    assert_int_equal(try_sign("s3", "a", "", sig), RW_E_BAD);
    assert_int_equal(try_sign("bedrock", "", "", sig), RW_OK);
    assert_int_equal(try_sign("bedrock", "/", "", other), RW_OK);
    assert_memory_equal(sig, other, sizeof sig);
}

static void test_sign__queries_that_say_the_same_have_one_signature(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"a=1&b=2", "b=2&a=1", true}, {"a=1&a=2", "a=2&a=1", true},   {"a", "a=", true},
        {"a=%7E&&b", "b=&a=~", true}, {"a=%c3%bc", "a=%C3%BC", true}, {"a=x%2Fy", "a=x/y", true},
        {"a=b%3Dc", "a=b=c", true},   {"a-=1&a=2", "a=2&a-=1", true}, {"a%2B=1&a-=2", "a-=2&a+=1", true},
        {"a=1", "a=2", false},        {"a=+", "a=%20", false},        {"a=1&b=2", "a=2&b=1", false},
        {"a=1&a=1", "a=1", false},
    };
    char a[64], b[64];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(try_sign("bedrock", "/", pairs[i].a, a), RW_OK);
        assert_int_equal(try_sign("bedrock", "/", pairs[i].b, b), RW_OK);
        if ((memcmp(a, b, sizeof a) == 0) != pairs[i].same) fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
    static const char *const broken[] = {"a=%", "a=%4", "a=%4g", "%zz=1", "a=1&b=%"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(try_sign("bedrock", "/", broken[i], a), RW_E_BAD);
}

static void test_sign__order_of_parameters_is_that_of_their_encoded_forms(void **state)
{
    // '|' (7C) is greater than 'a' (61), but "%7C" is less than "a". A query in that order is canonical: signing the path of
    // S3 with it written out by hand gives the digest that a sorted one must have.
    (void)state;
    char a[64], b[64];
    assert_int_equal(try_sign("bedrock", "/", "%7C=1&a=2", a), RW_OK);
    assert_int_equal(try_sign("bedrock", "/", "a=2&%7C=1", b), RW_OK);
    assert_memory_equal(a, b, sizeof a);
    // Signed with the canonical request written down: host, x-amz-date, empty payload.
    static const char canonical[] =
        "GET\n/\n%7C=1&a=2\nhost:h\nx-amz-date:20261121T101112Z\n\nhost;x-amz-date\n";
    struct sigv4_signer signer;
    struct sigv4_signed out;
    struct crypto_sha256 hash;
    uint8_t digest[32];
    char hex[64], text[256];
    const uint8_t zeros[32] = {0};
    const struct sigv4_request request = {
        .method = SPAN("GET"), .path = SPAN("/"), .field = &host_only, .fields = 1, .now_s = NOW_S};
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), SPAN("bedrock")), RW_OK);
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_OK); // for the day's key
    crypto_sha256_init(&hash);
    crypto_sha256_update(&hash, canonical, sizeof canonical - 1);
    assert_true(crypto_hex_encode(zeros, 32, hex, sizeof hex) > 0);
    crypto_sha256_update(&hash, hex, sizeof hex);
    crypto_sha256_final(&hash, digest);
    assert_true(crypto_hex_encode(digest, 32, hex, sizeof hex) > 0);
    const int n =
        snprintf(text, sizeof text,
                 "AWS4-HMAC-SHA256\n20261121T101112Z\n20261121/us-east-1/bedrock/aws4_request\n%.64s", hex);
    struct crypto_hmac_key key;
    crypto_hmac_key_init(&key, signer.day_key, 32);
    crypto_hmac(&key, text, (size_t)n, digest);
    assert_true(crypto_hex_encode(digest, 32, hex, sizeof hex) > 0);
    assert_memory_equal(a, hex, sizeof hex);
}

static void test_sign__too_many_or_twice_the_same(void **state)
{
    (void)state;
    static char names[SIGV4_FIELDS_MAX][8];
    struct sigv4_field field[SIGV4_FIELDS_MAX];
    struct sigv4_signer signer;
    struct sigv4_signed out;
    char query[512] = "", sig[64];
    for (uint32_t i = 0; i < SIGV4_FIELDS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "x-%02u", i);
        field[i] = (struct sigv4_field){span_str(names[i]), SPAN("v")};
    }
    struct sigv4_request request = {.method = SPAN("GET"), .path = SPAN("/"), .field = field, .now_s = NOW_S};
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), SPAN("bedrock")), RW_OK);
    request.fields = SIGV4_FIELDS_MAX - 1;
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_OK);
    request.fields = SIGV4_FIELDS_MAX;
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_E_TOO_LARGE);
    field[1].name = SPAN("X-00");
    request.fields = 2;
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_E_BAD);
    field[1].name = SPAN("X-Amz-Date"); // is added here, never by the caller
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_E_BAD);

    for (uint32_t i = 0; i < SIGV4_FIELDS_MAX; i++) snprintf(query + strlen(query), 8, "a%u&", i);
    assert_int_equal(try_sign("bedrock", "/", query, sig), RW_OK);
    snprintf(query + strlen(query), 8, "z");
    assert_int_equal(try_sign("bedrock", "/", query, sig), RW_E_TOO_LARGE);
}

static void test_sign__cache_of_the_day_changes_no_signature(void **state)
{
    (void)state;
    struct sigv4_signer kept, fresh;
    struct sigv4_signed a, b;
    struct sigv4_request request = {
        .method = SPAN("GET"), .path = SPAN("/"), .field = &host_only, .fields = 1, .now_s = NOW_S};
    assert_int_equal(sigv4_signer_init(&kept, &example, SPAN("us-east-1"), SPAN("bedrock")), RW_OK);
    static const int64_t later[] = {0, 1, 86400, 86400 * 400, 3};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        request.now_s = NOW_S + later[i];
        assert_int_equal(sigv4_signer_init(&fresh, &example, SPAN("us-east-1"), SPAN("bedrock")), RW_OK);
        assert_int_equal(sigv4_sign(&kept, &request, &a), RW_OK);
        assert_int_equal(sigv4_sign(&fresh, &request, &b), RW_OK);
        assert_memory_equal(a.signature, b.signature, sizeof a.signature);
    }
}

static void test_chunk__after_midnight_it_is_of_the_day_of_its_request(void **state)
{
    (void)state;
    struct sigv4_signer signer;
    struct sigv4_signed out, next;
    char a[SIGV4_CHUNK_HEAD_BYTES_MAX], b[SIGV4_CHUNK_HEAD_BYTES_MAX];
    struct sigv4_request request = {.method = SPAN("PUT"),
                                    .path = SPAN("/"),
                                    .field = &host_only,
                                    .fields = 1,
                                    .payload = SIGV4_STREAMED,
                                    .now_s = NOW_S};
    assert_int_equal(sigv4_signer_init(&signer, &example, SPAN("us-east-1"), SPAN("s3")), RW_OK);
    assert_int_equal(sigv4_sign(&signer, &request, &out), RW_OK);
    char kept[64];
    memcpy(kept, out.signature, sizeof kept);
    const uint32_t n = sigv4_chunk(&signer, &out, "abc", 3, a);
    memcpy(out.signature, kept, sizeof kept);
    request.now_s += 86400;
    assert_int_equal(sigv4_sign(&signer, &request, &next), RW_OK);
    assert_int_equal(sigv4_chunk(&signer, &out, "abc", 3, b), n);
    assert_memory_equal(a, b, n);
}

static void test_signer_init__texts_that_are_too_long(void **state)
{
    (void)state;
    static char text[300];
    struct sigv4_signer signer;
    struct sigv4_credentials who = example;
    memset(text, 'x', sizeof text);
    who.secret_key = span_of(text, 128);
    assert_int_equal(sigv4_signer_init(&signer, &who, SPAN("r"), SPAN("s")), RW_OK);
    who.secret_key.n++;
    assert_int_equal(sigv4_signer_init(&signer, &who, SPAN("r"), SPAN("s")), RW_E_TOO_LARGE);
    who = example;
    who.access_key = span_of(text, SIGV4_TEXT_FIELD_BYTES_MAX + 1);
    assert_int_equal(sigv4_signer_init(&signer, &who, SPAN("r"), SPAN("s")), RW_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign__recorded_requests),
        cmocka_unit_test(test_presign__example_of_s3),
        cmocka_unit_test(test_chunk__example_of_s3),
        cmocka_unit_test(test_sign__a_path_that_aws_would_rewrite_is_refused),
        cmocka_unit_test(test_sign__queries_that_say_the_same_have_one_signature),
        cmocka_unit_test(test_sign__order_of_parameters_is_that_of_their_encoded_forms),
        cmocka_unit_test(test_sign__too_many_or_twice_the_same),
        cmocka_unit_test(test_sign__cache_of_the_day_changes_no_signature),
        cmocka_unit_test(test_chunk__after_midnight_it_is_of_the_day_of_its_request),
        cmocka_unit_test(test_signer_init__texts_that_are_too_long),
    };
    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
