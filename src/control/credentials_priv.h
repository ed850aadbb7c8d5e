// What the files of credentials share: one renewal, and how it asks others (credentials.h).
#ifndef RINGWAY_CONTROL_CREDENTIALS_PRIV_H
#define RINGWAY_CONTROL_CREDENTIALS_PRIV_H

#include "base/fmt.h"
#include "control/credentials.h"
#include "wire/json.h"

// Answers of token services are a few kilobytes.
#define CREDENTIALS_ANSWER_BYTES 65536
#define CREDENTIALS_TEXT_BYTES 32768
#define CREDENTIALS_WORD_BYTES 1024

// One renewal, in a fiber of the control loop.
struct credentials_job {
    const struct credentials_source *source;
    char why[640]; // what went wrong, a whole clause
    uint16_t status; // of the last answer
    struct span body; // of it, in `answer`
    uint8_t answer[CREDENTIALS_ANSWER_BYTES];
    char text[CREDENTIALS_TEXT_BYTES]; // where requests are put together
    char more[CREDENTIALS_TEXT_BYTES];
    char word[6][CREDENTIALS_WORD_BYTES]; // members that are read, too large for frames
    struct json_scan scan;
};

// Asks url ("https://host/path?query"). lines: complete header lines. True: there is an answer, of any status.
bool credentials_ask(struct credentials_job *j, const char *method, const char *url, struct span lines,
                     struct span body, int64_t timeout_ns);
// The same, and the answer must be a 200 with a JSON object.
bool credentials_ask_json(struct credentials_job *j, const char *method, const char *url, struct span lines,
                          struct span body, int64_t timeout_ns);
// Says what failed. Always false.
__attribute__((format(printf, 2, 3))) bool credentials_fail(struct credentials_job *j, const char *format,
                                                            ...);

// Whether it is one, valid to its end.
bool credentials_is_object(struct credentials_job *j, struct span text);
// The text of a member, NUL-terminated in out; false: it is not there, no text, or too long.
bool credentials_member(struct span object, const char *key, char *out, size_t cap);
// A number, as number or as text.
bool credentials_number(struct span object, const char *key, int64_t *ret);
// A file's text, NUL-terminated in out; its length, -1 with the reason said.
int64_t credentials_file(struct credentials_job *j, const char *path, char *out, size_t cap);
// Of an answer {"access_token","expires_in"}: a bearer token. NULL with the reason said.
struct credential *credentials_bearer(struct credentials_job *j);
int64_t credentials_now_s(const struct credentials_job *j);
const char *credentials_set(const struct credentials_job *j, enum credentials_setting which); // "" if not set

// The sources: a new credential, or NULL with the reason said.
struct credential *credentials_google(struct credentials_job *j);
struct credential *credentials_aws(struct credentials_job *j);
// Of an answer with AccessKeyId, SecretAccessKey, Token and Expiration, as ECS, EKS and IMDS give them, in j->body.
struct credential *credentials_aws_answer(struct credentials_job *j, int64_t now_s);

#endif
