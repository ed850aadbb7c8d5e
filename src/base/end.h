// Why something ended: one table for requests and connections. Logs, metrics, error bodies and status codes all come from
// it, so that they never contradict each other. There is no "unknown": a new way to end is a new line here.
//
//   X(symbol, name in log and metrics, is an error, HTTP status (0: none was or can be sent), text for the client)
//
// A text says what happened, why, and what to do; `%` stands for a detail the caller supplies (a field, a model, a limit).
#ifndef RINGWAY_BASE_END_H
#define RINGWAY_BASE_END_H

#include <stdbool.h>
#include <stdint.h>

#define RW_ENDS(X) \
    X(END_OK, "ok", false, 200, "") \
    /* The connection's own ends. */ \
    X(END_CLIENT_CLOSED, "client_closed", false, 0, "") \
    X(END_IDLE_TIMEOUT, "idle_timeout", false, 0, "") \
    X(END_DRAINED, "drained", false, 0, "") \
    X(END_CLIENT_GONE, "client_gone", true, 0, "") \
    X(END_TLS_FAILED, "tls_failed", true, 0, "") \
    X(END_SEND_FAILED, "send_failed", true, 0, "") \
    /* What the client sent cannot be served. */ \
    X(END_BAD_REQUEST, "bad_request", true, 400, "The request is not valid HTTP/1.1: %.") \
    X(END_BAD_JSON, "bad_json", true, 400, "The request body is not valid JSON: %.") \
    X(END_BAD_FIELD, "bad_field", true, 400, "%") \
    X(END_NO_KEY, "no_key", true, 401, \
      "Missing API key. Send it as 'Authorization: Bearer KEY' (or x-api-key).") \
    X(END_BAD_KEY, "bad_key", true, 401, "Incorrect API key provided. Check the key, or ask for a new one.") \
    X(END_KEYS_CONTRADICT, "keys_contradict", true, 401, \
      "Two different API keys were sent in one request. Send exactly one.") \
    X(END_NOT_ALLOWED, "not_allowed", true, 403, "%") \
    X(END_NO_ROUTE, "no_route", true, 404, "Not found: %") \
    X(END_NO_MODEL, "no_model", true, 404, "%") \
    X(END_BAD_METHOD, "bad_method", true, 405, "Method not allowed: %") \
    X(END_BODY_TIMEOUT, "body_timeout", true, 408, \
      "The request body did not arrive in time (limits.body_timeout).") \
    X(END_HEAD_TIMEOUT, "head_timeout", true, 408, \
      "The request head did not arrive in time (limits.head_timeout).") \
    X(END_BODY_TOO_LARGE, "body_too_large", true, 413, \
      "The request body is larger than this server accepts: %.") \
    X(END_HEAD_TOO_LARGE, "head_too_large", true, 431, \
      "The request head is larger than this server accepts: %.") \
    X(END_EXPECTATION, "expectation", true, 417, "Only 'Expect: 100-continue' is understood.") \
    X(END_LENGTH_REQUIRED, "length_required", true, 411, "Send a Content-Length or a chunked body.") \
    X(END_VERSION, "version", true, 505, "%") \
    X(END_UPGRADE, "upgrade", true, 501, "WebSocket is not served here. Use plain HTTP with stream: true.") \
    X(END_KEY_REUSED, "idempotency_key_reused", true, 422, \
      "This Idempotency-Key was sent before, with another request. Use a new one for each request.") \
    X(END_RATE_LIMITED, "rate_limited", true, 429, "%") \
    X(END_BUDGET, "budget", true, 402, "%") \
    /* This server cannot serve now. */ \
    X(END_OVERLOADED, "overloaded", true, 503, "The gateway is out of room (%). Try again shortly.") \
    X(END_STARTING, "starting", true, 503, "The gateway is starting. Try again shortly.") \
    X(END_INTERNAL, "internal", true, 500, \
      "The gateway failed to serve this request. The log has the request id.") \
    /* The provider failed. */ \
    X(END_UPSTREAM_CONNECT, "upstream_connect", true, 502, "The provider could not be reached: %.") \
    X(END_UPSTREAM_PROXY, "upstream_proxy", true, 502, "The egress proxy does not lead to the provider: %.") \
    X(END_UPSTREAM_TLS, "upstream_tls", true, 502, "No TLS connection to the provider: %.") \
    X(END_UPSTREAM_BROKEN, "upstream_broken", true, 502, "The provider's answer could not be used: %.") \
    X(END_UPSTREAM_STATUS, "upstream_status", true, 0, "The provider refused the request: %.") \
    X(END_UPSTREAM_AUTH, "upstream_auth", true, 502, \
      "The provider does not accept this gateway's credentials. Whoever runs the gateway has to mend that.") \
    X(END_NO_CREDENTIALS, "no_credentials", true, 502, \
      "This gateway has no credentials for the provider: %. Whoever runs the gateway finds the reason in " \
      "its log.") \
    X(END_UPSTREAM_TIMEOUT, "upstream_timeout", true, 504, "The provider did not answer in time (%).") \
    X(END_TRUNCATED, "truncated", true, 502, \
      "The provider's answer broke off: %. What was sent is not complete.") \
    X(END_STREAM_ERROR, "stream_error", true, 502, "The provider reported an error in the stream.") \
    X(END_REVOKED, "revoked", true, 401, \
      "The API key was revoked while the answer was under way. What was sent is not complete.") \
    X(END_KILLED, "killed", true, 503, "The gateway is shutting down. Try again.")

#define X(symbol, name, is_error, status, text) symbol,
enum rw_end { RW_ENDS(X) RW_END_COUNT };
#undef X

struct end_info {
    const char *name;
    const char *text;
    uint16_t status;
    bool is_error;
};

// Never NULL. end < RW_END_COUNT.
const struct end_info *end_info(enum rw_end end);

// The text with `%` replaced by detail (NULL: nothing), cut to cap - 1 bytes on a UTF-8 boundary, NUL-terminated. Returns
// its length.
uint32_t end_text(enum rw_end end, const char *detail, char *out, uint32_t cap);

#endif
