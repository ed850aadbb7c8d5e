// URLs: taking a configured one apart, joining paths, reading a query, and the check that a request's path
// must pass before anything is routed by it (RFC 3986). Strict: a path that two programs could normalise
// in two ways is refused, so that what was authorised is what the provider gets.
//
// Owner    all spans point into the caller's bytes, or into the buffer the caller gave. No allocation.
// Thread   any. Never suspends.
#ifndef RINGWAY_WIRE_URL_H
#define RINGWAY_WIRE_URL_H

#include "base/err.h"
#include "base/span.h"

// --- A configured URL: "https://api.openai.com/v1", "http://[::1]:8000".
struct url {
    struct span host; // without the brackets of an IPv6 literal
    struct span
        authority; // as a Host field wants it: brackets kept, the port only where it is not the scheme's own
    struct span path; // without slashes at its end; may be empty
    struct span query; // without '?'; most callers want it empty
    uint16_t port; // given, or 80 and 443
    bool tls; // https
    bool ipv6; // host is an IPv6 literal
    bool has_query;
};

// RW_E_BAD with *ret_why (never NULL then; may be passed as NULL) saying what is wrong in words for a
// configuration error: another scheme, a user name, a fragment, an empty or malformed host, a port out of
// range, a path that url_path_check() refuses. *ret is untouched on failure.
enum rw_err url_parse(struct span text, struct url *ret, const char **ret_why) RW_WARN_UNUSED;

// --- Percent-encoding.
// Decodes into out (at most in.n bytes are needed; out may be in.p itself). plus: '+' is a space, as in
// forms. RW_E_BAD for a '%' without two hex digits, RW_E_TOO_LARGE if it does not fit cap; a decoded NUL
// is a byte like others.
enum rw_err url_decode(struct span in, bool plus, uint8_t *out, uint32_t cap,
                       struct span *ret) RW_WARN_UNUSED;

// Encodes everything but letters, digits and "-._~" (and '/' if keep_slash). RW_E_TOO_LARGE if it does not
// fit cap.
enum rw_err url_encode(struct span in, bool keep_slash, uint8_t *out, uint32_t cap,
                       struct span *ret) RW_WARN_UNUSED;

// --- Query: "a=1&key=x%20y&flag".
// The number of parameters with that name (compared after decoding), counted up to 2; *ret_value is the
// first one's value as sent, still encoded, {NULL, 0} if there is none. So 1 is the answer to be happy with.
uint32_t url_query_find(struct span query, struct span name, struct span *ret_value);

// Takes the next parameter off the front of *rest (start with the whole query): name and value as sent; a
// parameter without '=' has an empty value, empty parameters ("&&") are skipped. False at the end.
bool url_query_next(struct span *rest, struct span *ret_name, struct span *ret_value);

// --- Paths.
enum url_path {
    URL_PATH_PLAIN, // nothing is encoded: compare it as it is
    URL_PATH_ENCODED, // has percent-encoding, but no encoded slash: decode segment by segment
    // A segment holds %2F (Bedrock's ARNs do): only for routes that take such a segment as data.
    URL_PATH_ENCODED_SLASH,
    URL_PATH_BAD, // never route it
};

// Refused: not beginning with '/', "." and ".." as segments (encoded or not), empty segments except the
// last, a backslash, an encoded backslash, NUL or control, a broken '%', bytes that are not visible ASCII,
// '?' and '#'.
enum url_path url_path_check(struct span path);

// Takes the next segment off the front of *rest ("/v1/models" gives "v1", then "models"); a slash at the
// end gives one empty segment. False at the end.
bool url_path_next(struct span *rest, struct span *ret_segment);

// base ("/v1", "", "/v1/") and path ("/chat/completions") with exactly one slash between them, into out.
// RW_E_TOO_LARGE if it does not fit cap.
enum rw_err url_join(struct span base, struct span path, uint8_t *out, uint32_t cap,
                     struct span *ret) RW_WARN_UNUSED;

// True if path is prefix or lies below it: "/v1" covers "/v1" and "/v1/x", not "/v10". A prefix may end
// with a slash.
bool url_path_below(struct span path, struct span prefix);

#endif
