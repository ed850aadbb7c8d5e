// AWS Signature Version 4: who signs a request to Bedrock, S3 and other services of AWS, without I/O.
//
// Use      sigv4_signer_init() once for each set of credentials, region and service; then for a request
//          sigv4_sign(), which gives the fields to add to it, or sigv4_presign(), which gives a query string
//          that carries the signature itself. A body that is not known when the head is sent is signed chunk by
//          chunk behind it: sigv4_sign() with SIGV4_STREAMED, then sigv4_chunk().
// Signed   what was handed in and the fields that are added; hand in host and content-type and whatever else no
//          proxy on the way changes (not user-agent, connection, transfer-encoding, expect).
// Path     as it is on the wire. Services other than S3 encode it once more before it is signed, which happens
//          here ("%3A" is signed as "%253A"). They also resolve ".", ".." and "//": such a path is refused.
// Query    as it is on the wire, without '?'. It is sorted here; '+' stands for itself.
// Cache    the signing key of a day takes four HMACs; the signer keeps that of the last day.
//
// Owner    the signer points to access key, session token, region and service, which must outlive it; the secret
//          key is not kept, only a hash of it, which is as secret: sigv4_signer_wipe() when done.
// Thread   one at a time for each signer (the cache): give every worker its own. Never suspends. A request of
//          1 KiB to be signed costs some 2 us.
// Errors   RW_E_TOO_LARGE: more fields or parameters than SIGV4_FIELDS_MAX, or texts that do not fit.
//          RW_E_BAD: a path as above, a broken percent-encoding, a field that occurs twice.
// Source   "Signature Version 4 signing process" and "Authenticating Requests: AWS Signature Version 4" of S3.
#ifndef RINGWAY_TLS_SIGV4_H
#define RINGWAY_TLS_SIGV4_H

#include "base/err.h"
#include "base/span.h"
#include "tls/crypto.h"

// Header fields that are signed, those of the signer included, and parameters of a query.
#define SIGV4_FIELDS_MAX 32
// Authorization and the other texts that signing makes.
#define SIGV4_TEXT_BYTES_MAX 1536
#define SIGV4_TEXT_FIELD_BYTES_MAX 256
#define SIGV4_DATE_CHARS 16 // 20261121T101112Z
#define SIGV4_DAY_CHARS 8
#define SIGV4_SIGNATURE_CHARS 64

struct sigv4_credentials {
    struct span access_key, secret_key;
    struct span session_token; // of temporary ones; else empty
};

struct sigv4_signer {
    struct span access_key, session_token, region, service;
    bool s3; // encodes the path once
    bool sends_payload_hash; // x-amz-content-sha256 is a field of the request (S3, OpenSearch Serverless)
    uint8_t day_key[CRYPTO_SHA256_BYTES];
    char day[SIGV4_DAY_CHARS]; // of day_key; all zero: none yet
    struct crypto_hmac_key secret;
};

// "bedrock", "s3", "aoss", ... For a secret key of up to 128 bytes; RW_E_TOO_LARGE for a longer one.
enum rw_err sigv4_signer_init(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                              struct span region, struct span service) RW_WARN_UNUSED;
void sigv4_signer_wipe(struct sigv4_signer *signer);

struct sigv4_field {
    struct span name; // any case
    struct span value; // spaces around it and runs of them inside do not matter
};

enum sigv4_payload {
    SIGV4_HASHED, // payload_sha256 is of the whole body
    SIGV4_UNSIGNED, // S3 over TLS only
    SIGV4_STREAMED, // S3: content-encoding aws-chunked, x-amz-decoded-content-length are among the fields
};

struct sigv4_request {
    struct span method, path, query;
    const struct sigv4_field *field;
    uint32_t fields;
    enum sigv4_payload payload;
    uint8_t payload_sha256[CRYPTO_SHA256_BYTES];
    int64_t now_s; // Unix time
};

struct sigv4_signed {
    // To be added to the request: x-amz-date, authorization, and as needed x-amz-security-token and
    // x-amz-content-sha256. Their values lie in `text`, in the signer's session token and in constants.
    struct sigv4_field add[4];
    uint32_t adds;
    char signature[SIGV4_SIGNATURE_CHARS]; // lower case hex; of the chunk before, for sigv4_chunk()
    char date[SIGV4_DATE_CHARS];
    uint32_t text_n;
    char text[SIGV4_TEXT_BYTES_MAX];
};

enum rw_err sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request,
                       struct sigv4_signed *ret) RW_WARN_UNUSED;

// The query to send instead of request->query, good for expires_s seconds (1 to 604800). What is written to out:
// request->query, then the parameters of the signature. request->field is usually host alone.
enum rw_err sigv4_presign(struct sigv4_signer *signer, const struct sigv4_request *request,
                          uint32_t expires_s, char *out, uint32_t cap, struct span *ret) RW_WARN_UNUSED;

// For a request signed with SIGV4_STREAMED: the chunk's head for the chunk n bytes, "hex;chunk-signature=...\r\n";
// behind it go the bytes and "\r\n". The last chunk is empty. Returns the head's length.
#define SIGV4_CHUNK_HEAD_BYTES_MAX (16 + 17 + SIGV4_SIGNATURE_CHARS + 2)
uint32_t sigv4_chunk(struct sigv4_signer *signer, struct sigv4_signed *request, const void *data, size_t n,
                     char out[SIGV4_CHUNK_HEAD_BYTES_MAX]);

#endif
