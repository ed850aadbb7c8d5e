// Tokens for Google's APIs. What a credentials file says decides: a service account signs a JWT and exchanges it (RFC 7523), an
// authorized user has a refresh token, a workload identity exchanges a token of another issuer (RFC 8693). Without a file the
// metadata server of the machine is asked.
#include <stdio.h>
#include <stdlib.h>

#include "control/credentials_priv.h"
#include "tls/crypto_sign.h"
#include "wire/url.h"

#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define LIFE_S 3600
#define ASK_NS (10 * CLOCK_SEC)
#define METADATA_NS (2 * CLOCK_SEC)
#define FORM SPAN("content-type: application/x-www-form-urlencoded\r\n")

// --- A form.

static void put_pair(struct fmt *f, const char *name, const char *value)
{
    struct span done;
    fmt_str(f, f->n ? "&" : "");
    fmt_str(f, name);
    fmt_char(f, '=');
    if (f->overflow || url_encode(span_str(value), false, (uint8_t *)f->p + f->n, f->cap - f->n, &done)) {
        f->overflow = true;
        return;
    }
    f->n += done.n;
}

static struct credential *post_form(struct credentials_job *j, const char *url, const struct fmt *form)
{
    if (form->overflow) {
        credentials_fail(j, "what is to be sent to %s is too long", url);
        return NULL;
    }
    return credentials_ask_json(j, "POST", url, FORM, fmt_text(form), ASK_NS) ? credentials_bearer(j) : NULL;
}

// --- A service account.

static bool put_base64url(struct fmt *f, const void *bytes, size_t n)
{
    const int64_t made = crypto_base64url_encode(bytes, n, f->p + f->n, f->cap - f->n);
    if (made < 0) return false;
    f->n += (uint32_t)made;
    return true;
}

static void put_member(struct fmt *f, const char *before, const char *value)
{
    fmt_str(f, before);
    fmt_json_string(f, span_str(value));
}

// header.claims.signature
static bool write_assertion(struct credentials_job *j, struct span file, const char *token_uri,
                            struct fmt *out)
{
    char *key_id = j->word[1], *email = j->word[2], *json = j->word[3];
    const size_t cap = sizeof j->word[0];
    struct fmt f;
    if (!credentials_member(file, "client_email", email, cap) ||
        !credentials_member(file, "private_key_id", key_id, cap) ||
        !credentials_member(file, "private_key", j->text, sizeof j->text))
        return credentials_fail(
            j, "the service account's file lacks client_email, private_key_id or private_key");
    fmt_init(&f, json, (uint32_t)cap);
    put_member(&f, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":", key_id);
    fmt_char(&f, '}');
    bool good = !f.overflow && put_base64url(out, f.p, f.n);
    const int64_t now_s = credentials_now_s(j);
    fmt_init(&f, json, (uint32_t)cap);
    put_member(&f, "{\"iss\":", email);
    put_member(&f, ",\"scope\":", SCOPE);
    put_member(&f, ",\"aud\":", token_uri);
    fmt_str(&f, ",\"iat\":");
    fmt_u64(&f, (uint64_t)now_s);
    fmt_str(&f, ",\"exp\":");
    fmt_u64(&f, (uint64_t)(now_s + LIFE_S));
    fmt_char(&f, '}');
    fmt_char(out, '.');
    good = good && !f.overflow && put_base64url(out, f.p, f.n);
    const char *why = "not a key of RSA";
    struct crypto_private *key = crypto_private_make(span_str(j->text), SPAN(""), &why);
    crypto_wipe(j->text, sizeof j->text);
    uint8_t signature[CRYPTO_SIGNATURE_BYTES_MAX];
    const int64_t n = key && crypto_private_kind(key) == CRYPTO_KEY_RSA
        ? crypto_sign(key, CRYPTO_RS256, out->p, out->n, signature, sizeof signature)
        : -1;
    crypto_private_free(key);
    if (n < 0) return credentials_fail(j, "the service account's private_key: %s", why);
    fmt_char(out, '.');
    good = good && put_base64url(out, signature, (size_t)n) && !out->overflow;
    return good || credentials_fail(j, "the names in the service account's file are too long");
}

static struct credential *service_account(struct credentials_job *j, struct span file)
{
    char *token_uri = j->word[0], *assertion = malloc(4096);
    const size_t cap = sizeof j->word[0];
    struct credential *c = NULL;
    struct fmt f;
    if (!assertion) return NULL;
    if (!credentials_member(file, "token_uri", token_uri, cap))
        snprintf(token_uri, cap, "https://oauth2.googleapis.com/token");
    fmt_init(&f, assertion, 4095);
    if (write_assertion(j, file, token_uri, &f)) {
        assertion[f.n] = 0;
        fmt_init(&f, j->text, sizeof j->text);
        put_pair(&f, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        put_pair(&f, "assertion", assertion);
        c = post_form(j, token_uri, &f);
    }
    free(assertion);
    return c;
}

// --- An authorized user.

static struct credential *authorized_user(struct credentials_job *j, struct span file)
{
    char *token_uri = j->word[0], *id = j->word[1], *secret = j->word[2], *token = j->word[3];
    const size_t cap = sizeof j->word[0];
    struct fmt f;
    if (!credentials_member(file, "client_id", id, cap) ||
        !credentials_member(file, "client_secret", secret, cap) ||
        !credentials_member(file, "refresh_token", token, cap)) {
        credentials_fail(j, "the authorized user's file lacks client_id, client_secret or refresh_token");
        return NULL;
    }
    if (!credentials_member(file, "token_uri", token_uri, cap))
        snprintf(token_uri, cap, "https://oauth2.googleapis.com/token");
    fmt_init(&f, j->text, sizeof j->text);
    put_pair(&f, "grant_type", "refresh_token");
    put_pair(&f, "client_id", id);
    put_pair(&f, "client_secret", secret);
    put_pair(&f, "refresh_token", token);
    return post_form(j, token_uri, &f);
}

// --- A workload identity: a file holds the other issuer's token, as text or as a member of a JSON object.

static bool read_subject(struct credentials_job *j, struct span source, char *out, size_t cap)
{
    char *path = j->word[3], *member = j->word[4], kind[16];
    const size_t word = sizeof j->word[0];
    struct span format;
    if (!credentials_member(source, "file", path, word))
        return credentials_fail(
            j, "the workload identity's credential_source has no file: no other is supported");
    if (!json_member(source, SPAN("format"), &format) ||
        !credentials_member(format, "type", kind, sizeof kind) || strcmp(kind, "json") != 0) {
        if (credentials_file(j, path, out, cap) < 0) return false;
        for (size_t n = strlen(out); n > 0 && out[n - 1] <= ' '; n--) out[n - 1] = 0;
        return true;
    }
    const int64_t n = credentials_file(j, path, (char *)j->answer, sizeof j->answer - 1);
    if (n < 0) return false;
    const struct span object = span_of(j->answer, (uint32_t)n);
    return (credentials_member(format, "subject_token_field_name", member, word) &&
            credentials_is_object(j, object) && credentials_member(object, member, out, cap)) ||
        credentials_fail(j, "%s has no such member as the workload identity says", path);
}

static struct credential *workload_identity(struct credentials_job *j, struct span file)
{
    char *token_url = j->word[0], *audience = j->word[1], *type = j->word[2];
    const size_t cap = sizeof j->word[0];
    struct span source;
    if (!credentials_member(file, "audience", audience, cap) ||
        !credentials_member(file, "subject_token_type", type, cap) ||
        !json_member(file, SPAN("credential_source"), &source)) {
        credentials_fail(
            j, "the workload identity's file lacks audience, subject_token_type or credential_source");
        return NULL;
    }
    if (!credentials_member(file, "token_url", token_url, cap))
        snprintf(token_url, cap, "https://sts.googleapis.com/v1/token");
    struct span impersonation;
    if (json_member(file, SPAN("service_account_impersonation_url"), &impersonation)) {
        credentials_fail(j, "a workload identity that impersonates a service account is not supported");
        return NULL;
    }
    char *subject = malloc(CREDENTIAL_BYTES_MAX);
    struct credential *c = NULL;
    if (subject && read_subject(j, source, subject, CREDENTIAL_BYTES_MAX - 1)) {
        struct fmt f;
        fmt_init(&f, j->text, sizeof j->text);
        put_pair(&f, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        put_pair(&f, "audience", audience);
        put_pair(&f, "scope", SCOPE);
        put_pair(&f, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
        put_pair(&f, "subject_token_type", type);
        put_pair(&f, "subject_token", subject);
        c = post_form(j, token_url, &f);
    }
    free(subject);
    return c;
}

// --- The metadata server.

static struct credential *metadata(struct credentials_job *j)
{
    char url[320];
    snprintf(url, sizeof url, "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
             credentials_set(j, CREDENTIALS_METADATA_HOST));
    if (!credentials_ask_json(j, "GET", url, SPAN("metadata-flavor: Google\r\n"), SPAN(""), METADATA_NS))
        return NULL;
    return credentials_bearer(j);
}

struct credential *credentials_google(struct credentials_job *j)
{
    const char *path = credentials_set(j, CREDENTIALS_FILE);
    char type[32];
    if (!*path) return metadata(j);
    const int64_t n = credentials_file(j, path, j->more, sizeof j->more - 1);
    if (n < 0) return NULL;
    const struct span file = span_of(j->more, (uint32_t)n);
    struct credential *c = NULL;
    if (!credentials_is_object(j, file) || !credentials_member(file, "type", type, sizeof type))
        credentials_fail(j, "%s is no credentials file of Google's: a JSON object with type", path);
    else if (!strcmp(type, "service_account")) c = service_account(j, file);
    else if (!strcmp(type, "authorized_user")) c = authorized_user(j, file);
    else if (!strcmp(type, "external_account")) c = workload_identity(j, file);
    else credentials_fail(j, "%s has the type %s, which is not supported", path, type);
    crypto_wipe(j->more, sizeof j->more);
    return c;
}
