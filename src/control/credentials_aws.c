// Keys of AWS that stand in no configuration, where AWS's own tools look for them: the profile files, the endpoint that ECS and
// EKS give a container, the metadata service of an EC2 machine (IMDSv2). The first that is there decides; it fails aloud instead
// of leaving the word to the next, whose identity would be another. The environment's keys come before (credentials.c).
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "control/config_priv.h"
#include "control/credentials_priv.h"
#include "control/credentials_profile.h"
#include "wire/url.h"

#define ASK_NS (5 * CLOCK_SEC)
#define METADATA_NS (2 * CLOCK_SEC)
#define ECS_HOST "http://169.254.170.2"
#define SESSION_LIFE "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"
#define SESSION_TOKEN "x-aws-ec2-metadata-token: "
#define ROLES "/latest/meta-data/iam/security-credentials/"

static struct credential *make(struct credentials_job *j, const struct sigv4_credentials *aws,
                               int64_t expires_s)
{
    struct credential *c =
        credential_sigv4(aws, span_str(credentials_set(j, CREDENTIALS_REGION)), SPAN("bedrock"), expires_s);
    if (!c) credentials_fail(j, "out of memory, or the keys are longer than AWS's are");
    return c;
}

// --- What an endpoint answers.

// "2026-11-21T20:40:15Z"; a fraction is cut.
static bool read_time(const char *text, int64_t *ret)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end) return false;
    if (*end == '.') end += 1 + strspn(end + 1, "0123456789");
    if (strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0) return false;
    *ret = (int64_t)timegm(&tm);
    return true;
}

struct credential *credentials_aws_answer(struct credentials_job *j, int64_t now_s)
{
    char *access = j->word[0], *secret = j->word[1], *code = j->word[2], *token = j->text;
    const size_t cap = sizeof j->word[0];
    struct span raw;
    int64_t expires_s = 0;
    if (credentials_member(j->body, "Code", code, cap) && strcmp(code, "Success") != 0) {
        credentials_fail(j, "the answer says %.64s instead of credentials",
                         config_visible_ok(code) ? code : "?");
        return NULL;
    }
    bool good = credentials_member(j->body, "AccessKeyId", access, cap) && *access &&
        config_visible_ok(access) && credentials_member(j->body, "SecretAccessKey", secret, cap) && *secret;
    *token = 0;
    if (json_member(j->body, SPAN("Token"), &raw))
        good = good && credentials_member(j->body, "Token", token, CREDENTIAL_BYTES_MAX / 2) &&
            config_visible_ok(token);
    if (!good) {
        credentials_fail(j, "the answer has no usable AccessKeyId, SecretAccessKey and Token");
        return NULL;
    }
    if (json_member(j->body, SPAN("Expiration"), &raw) &&
        (!credentials_member(j->body, "Expiration", code, cap) || !read_time(code, &expires_s))) {
        credentials_fail(j, "the answer's Expiration is no time");
        return NULL;
    }
    if (expires_s && expires_s <= now_s) {
        credentials_fail(j, "the answer's credentials have expired already: compare the clocks");
        return NULL;
    }
    const struct sigv4_credentials aws = {
        .access_key = span_str(access), .secret_key = span_str(secret), .session_token = span_str(token)};
    return make(j, &aws, expires_s);
}

static struct credential *ask_keys(struct credentials_job *j, const char *url, struct span lines,
                                   int64_t timeout_ns)
{
    return credentials_ask_json(j, "GET", url, lines, SPAN(""), timeout_ns)
        ? credentials_aws_answer(j, credentials_now_s(j))
        : NULL;
}

// --- The profile files.

// Where a file is: as the variable says ("~/" stands for the home), or at its usual place. False: there is no such file.
static bool file_at(const struct credentials_job *j, enum credentials_setting which, const char *usual,
                    char *out, size_t cap)
{
    const char *set = credentials_set(j, which), *home = credentials_set(j, CREDENTIALS_HOME);
    if (!*set && !*home) return false;
    const char *below = *set ? (strncmp(set, "~/", 2) ? NULL : set + 1) : usual;
    const int n = below ? snprintf(out, cap, "%s%s", home, below) : snprintf(out, cap, "%s", set);
    return n > 0 && (size_t)n < cap && (access(out, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

static const char *profile_name(const struct credentials_job *j)
{
    const char *set = credentials_set(j, CREDENTIALS_PROFILE);
    return *set ? set : "default";
}

// What one of the files says. True: it decides, with *ret or, NULL, the reason said.
static bool profile_in(struct credentials_job *j, bool is_config, struct credential **ret, bool *ret_found)
{
    char *path = j->word[is_config];
    struct credentials_profile p;
    *path = 0;
    const bool there = is_config
        ? file_at(j, CREDENTIALS_CONFIG_FILE, "/.aws/config", path, sizeof j->word[0])
        : file_at(j, CREDENTIALS_FILE, "/.aws/credentials", path, sizeof j->word[0]);
    if (!there) return false;
    const int64_t n = credentials_file(j, path, j->more, sizeof j->more - 1);
    if (n < 0) return true;
    const char *name = profile_name(j);
    credentials_profile_read(span_of(j->more, (size_t)n), is_config, span_str(name), &p);
    *ret_found = *ret_found || p.found;
    if (p.access_key.n && p.secret_key.n) {
        const struct sigv4_credentials aws = {
            .access_key = p.access_key, .secret_key = p.secret_key, .session_token = p.session_token};
        *ret = make(j, &aws, 0);
    } else if (p.access_key.n || p.secret_key.n) {
        credentials_fail(j,
                         "profile %s in %s has aws_access_key_id or aws_secret_access_key without the other",
                         name, path);
    } else if (p.other.n) {
        credentials_fail(j, "profile %s in %s has %.*s, which is not supported: give it keys", name, path,
                         SPAN_ARG(p.other));
    } else {
        return false;
    }
    return true;
}

static bool profile(struct credentials_job *j, struct credential **ret)
{
    bool found = false;
    const bool decided = profile_in(j, false, ret, &found) || profile_in(j, true, ret, &found);
    crypto_wipe(j->more, sizeof j->more);
    if (decided) return true;
    if (!*credentials_set(j, CREDENTIALS_PROFILE)) return false;
    credentials_fail(j,
                     "AWS_PROFILE names %s, %s in ~/.aws/credentials (AWS_SHARED_CREDENTIALS_FILE) and "
                     "~/.aws/config (AWS_CONFIG_FILE)",
                     profile_name(j), found ? "which has no keys" : "which is not");
    return true;
}

// --- A container's endpoint.

// Plain HTTP carries keys no further than the machine itself and the addresses of ECS and EKS.
static bool may_ask(struct credentials_job *j, const char *text)
{
    static const char *const near[] = {"localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"};
    struct url url;
    const char *why;
    if (url_parse(span_str(text), &url, &why))
        return credentials_fail(j, "AWS_CONTAINER_CREDENTIALS_FULL_URI: %s", why);
    bool good = url.tls || span_starts(url.host, SPAN("127."));
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        good = good || span_eq(url.host, span_str(near[i]));
    return good ||
        credentials_fail(j,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI: http:// is for loopback and the addresses of "
                         "ECS and EKS; use https://");
}

// The line that names the container, in j->text.
static bool container_line(struct credentials_job *j)
{
    static const char before[] = "authorization: ";
    char *token = j->text + sizeof before - 1;
    const size_t cap = CREDENTIAL_BYTES_MAX;
    const char *path = credentials_set(j, CREDENTIALS_CONTAINER_TOKEN_FILE);
    const char *set = credentials_set(j, CREDENTIALS_CONTAINER_TOKEN);
    *j->text = 0;
    if (!*path && !*set) return true;
    memcpy(j->text, before, sizeof before);
    if (*path) {
        int64_t n = credentials_file(j, path, token, cap);
        if (n < 0) return false;
        while (n > 0 && token[n - 1] <= ' ') token[--n] = 0;
    } else if ((size_t)snprintf(token, cap, "%s", set) >= cap) {
        return credentials_fail(j, "AWS_CONTAINER_AUTHORIZATION_TOKEN is too long");
    }
    for (const char *p = token; *p; p++)
        if (*p < ' ' || *p > '~')
            return credentials_fail(j, "the container's authorization token cannot stand in a header field");
    memcpy(token + strlen(token), "\r\n", 3);
    return true;
}

static struct credential *container(struct credentials_job *j)
{
    const char *path = credentials_set(j, CREDENTIALS_CONTAINER_PATH);
    char *url = j->word[5];
    const size_t cap = sizeof j->word[0];
    const int n = *path ? snprintf(url, cap, ECS_HOST "%s", path)
                        : snprintf(url, cap, "%s", credentials_set(j, CREDENTIALS_CONTAINER_URI));
    if (n < 0 || (size_t)n >= cap) {
        credentials_fail(j, "the address of the container's endpoint is too long");
        return NULL;
    }
    if (!may_ask(j, url) || !container_line(j)) return NULL;
    return ask_keys(j, url, span_str(j->text), ASK_NS);
}

// --- The metadata service.

// The first line of the last answer, as a word of the next request.
static bool take_word(struct credentials_job *j, const char *what, char *out, size_t cap)
{
    const struct span line = span_trim((struct span){j->body.p, span_find(j->body, '\n')});
    const bool fits = j->status == 200 && line.n > 0 && line.n < cap;
    if (fits) memcpy(out, line.p, line.n);
    out[fits ? line.n : 0] = 0;
    return (fits && config_visible_ok(out)) ||
        credentials_fail(j, "the metadata service answered %u and no %s", j->status, what);
}

static struct credential *metadata(struct credentials_job *j)
{
    const char *host = credentials_set(j, CREDENTIALS_METADATA_HOST);
    char *url = j->word[3], *lines = j->word[4], *role = j->word[5];
    const size_t cap = sizeof j->word[0];
    const int n = (int)strlen(host) - (*host && host[strlen(host) - 1] == '/');
    snprintf(url, cap, "%.*s/latest/api/token", n, host);
    if (!credentials_ask(j, "PUT", url, SPAN(SESSION_LIFE), SPAN(""), METADATA_NS)) return NULL;
    memcpy(lines, SESSION_TOKEN, sizeof SESSION_TOKEN);
    const size_t before = sizeof SESSION_TOKEN - 1;
    if (!take_word(j, "session token", lines + before, cap - before - 2)) return NULL;
    memcpy(lines + strlen(lines), "\r\n", 3);
    snprintf(url, cap, "%.*s" ROLES, n, host);
    if (!credentials_ask(j, "GET", url, span_str(lines), SPAN(""), METADATA_NS) ||
        !take_word(j, "role: attach one to the machine", role, 256))
        return NULL;
    if ((size_t)snprintf(url, cap, "%.*s" ROLES "%s", n, host, role) >= cap) {
        credentials_fail(j, "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
        return NULL;
    }
    return ask_keys(j, url, span_str(lines), METADATA_NS);
}

// Nothing was found: what was looked at, and the mend.
static void say_nothing_found(struct credentials_job *j, const char *last)
{
    char *reason = j->word[0];
    snprintf(reason, sizeof j->word[0], "%s", last);
    credentials_fail(j,
                     "found no AWS_ACCESS_KEY_ID, no keys of profile %s in ~/.aws, no "
                     "AWS_CONTAINER_CREDENTIALS_*_URI; EC2's metadata service: %s. Set one of them, or "
                     "access_key_id or api_key of the provider.",
                     profile_name(j), reason);
}

struct credential *credentials_aws(struct credentials_job *j)
{
    struct credential *c = NULL;
    if (*credentials_set(j, CREDENTIALS_ACCESS_KEY_ID) ||
        *credentials_set(j, CREDENTIALS_SECRET_ACCESS_KEY)) {
        credentials_fail(j, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: set both or none");
        return NULL;
    }
    if (profile(j, &c)) return c;
    if (*credentials_set(j, CREDENTIALS_CONTAINER_PATH) || *credentials_set(j, CREDENTIALS_CONTAINER_URI))
        return container(j);
    if (!*credentials_set(j, CREDENTIALS_METADATA_HOST)) {
        say_nothing_found(j, "turned off by AWS_EC2_METADATA_DISABLED");
        return NULL;
    }
    c = metadata(j);
    if (!c) say_nothing_found(j, j->why);
    return c;
}
