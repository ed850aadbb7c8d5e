// The field names that are recognised while a head is parsed, one line each. Recognising a name costs one
// multiplication, one look at a table and one vector compare, which is less than checking an unknown name
// letter by letter: names that come with nearly every request stand here even if nobody reads them.
//
//   X(symbol, name in lower case, slot of the name in the table of http_names.c)
//
// HTTP_NAMES_READ     are looked up in O(1) by http_value(). At most 63.
// HTTP_NAMES_SEEN     are only recognised. All of them have the kind HTTP_N_OTHER, like unknown names.
//
// To add a name (4 to 30 bytes): one line here with any slot, then run test_http_names: it says which slot it
// must be, and a new multiplier with all slots should it meet another name.
#ifndef RINGWAY_WIRE_HTTP_NAMES_H
#define RINGWAY_WIRE_HTTP_NAMES_H

#define HTTP_NAMES_READ(X) \
    /* Framing and the connection. */ \
    X(HTTP_N_HOST, "host", 111) \
    X(HTTP_N_CONTENT_LENGTH, "content-length", 462) \
    X(HTTP_N_TRANSFER_ENCODING, "transfer-encoding", 429) \
    X(HTTP_N_CONNECTION, "connection", 144) \
    X(HTTP_N_EXPECT, "expect", 222) \
    X(HTTP_N_UPGRADE, "upgrade", 239) \
    X(HTTP_N_KEEP_ALIVE, "keep-alive", 412) \
    X(HTTP_N_TRAILER, "trailer", 152) \
    /* Who asks. */ \
    X(HTTP_N_AUTHORIZATION, "authorization", 258) \
    X(HTTP_N_X_API_KEY, "x-api-key", 499) \
    X(HTTP_N_API_KEY, "api-key", 252) \
    X(HTTP_N_X_GOOG_API_KEY, "x-goog-api-key", 348) \
    X(HTTP_N_COOKIE, "cookie", 203) \
    X(HTTP_N_X_FORWARDED_FOR, "x-forwarded-for", 312) \
    X(HTTP_N_X_FORWARDED_PROTO, "x-forwarded-proto", 371) \
    X(HTTP_N_FORWARDED, "forwarded", 147) \
    X(HTTP_N_X_AMZ_DATE, "x-amz-date", 490) \
    X(HTTP_N_X_AMZ_SECURITY_TOKEN, "x-amz-security-token", 18) \
    X(HTTP_N_X_AMZ_CONTENT_SHA256, "x-amz-content-sha256", 134) \
    /* The body, and what may be answered. */ \
    X(HTTP_N_CONTENT_TYPE, "content-type", 248) \
    X(HTTP_N_CONTENT_ENCODING, "content-encoding", 50) \
    X(HTTP_N_ACCEPT, "accept", 328) \
    X(HTTP_N_ACCEPT_ENCODING, "accept-encoding", 182) \
    X(HTTP_N_USER_AGENT, "user-agent", 63) \
    X(HTTP_N_CACHE_CONTROL, "cache-control", 505) \
    X(HTTP_N_IF_NONE_MATCH, "if-none-match", 229) \
    X(HTTP_N_LAST_EVENT_ID, "last-event-id", 165) \
    X(HTTP_N_IDEMPOTENCY_KEY, "idempotency-key", 216) \
    /* CORS. */ \
    X(HTTP_N_ORIGIN, "origin", 347) \
    X(HTTP_N_ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method", 350) \
    X(HTTP_N_ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers", 129) \
    /* Tracing. */ \
    X(HTTP_N_X_REQUEST_ID, "x-request-id", 298) \
    X(HTTP_N_REQUEST_ID, "request-id", 51) \
    X(HTTP_N_X_AMZN_REQUESTID, "x-amzn-requestid", 81) \
    X(HTTP_N_TRACEPARENT, "traceparent", 5) \
    X(HTTP_N_TRACESTATE, "tracestate", 225) \
    X(HTTP_N_BAGGAGE, "baggage", 436) \
    /* Dialects. */ \
    X(HTTP_N_OPENAI_BETA, "openai-beta", 336) \
    X(HTTP_N_OPENAI_ORGANIZATION, "openai-organization", 487) \
    X(HTTP_N_OPENAI_PROJECT, "openai-project", 286) \
    X(HTTP_N_OPENAI_PROCESSING_MS, "openai-processing-ms", 39) \
    X(HTTP_N_ANTHROPIC_VERSION, "anthropic-version", 1) \
    X(HTTP_N_ANTHROPIC_BETA, "anthropic-beta", 450) \
    X(HTTP_N_X_AMZN_ERRORTYPE, "x-amzn-errortype", 230) \
    X(HTTP_N_MCP_SESSION_ID, "mcp-session-id", 132) \
    X(HTTP_N_MCP_PROTOCOL_VERSION, "mcp-protocol-version", 115) \
    X(HTTP_N_SEC_WEBSOCKET_KEY, "sec-websocket-key", 463) \
    X(HTTP_N_SEC_WEBSOCKET_VERSION, "sec-websocket-version", 495) \
    X(HTTP_N_SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol", 270) \
    /* Answers of providers. */ \
    X(HTTP_N_RETRY_AFTER, "retry-after", 315) \
    X(HTTP_N_RETRY_AFTER_MS, "retry-after-ms", 396) \
    X(HTTP_N_X_SHOULD_RETRY, "x-should-retry", 322) \
    X(HTTP_N_LOCATION, "location", 409) \
    X(HTTP_N_DATE, "date", 261) \
    /* Ours. */ \
    X(HTTP_N_X_RINGWAY_CACHE, "x-ringway-cache", 302) \
    X(HTTP_N_X_RINGWAY_TAGS, "x-ringway-tags", 33) \
    X(HTTP_N_X_RINGWAY_USER, "x-ringway-user", 69) \
    X(HTTP_N_X_RINGWAY_PROVIDER, "x-ringway-provider", 356)

#define HTTP_NAMES_SEEN(X) \
    X(HTTP_S_ACCEPT_LANGUAGE, "accept-language", 168) \
    X(HTTP_S_SEC_FETCH_MODE, "sec-fetch-mode", 200) \
    X(HTTP_S_STAINLESS_LANG, "x-stainless-lang", 42) \
    X(HTTP_S_STAINLESS_PACKAGE_VERSION, "x-stainless-package-version", 212) \
    X(HTTP_S_STAINLESS_OS, "x-stainless-os", 303) \
    X(HTTP_S_STAINLESS_ARCH, "x-stainless-arch", 119) \
    X(HTTP_S_STAINLESS_RUNTIME, "x-stainless-runtime", 325) \
    X(HTTP_S_STAINLESS_ASYNC, "x-stainless-async", 194) \
    X(HTTP_S_STAINLESS_RETRY_COUNT, "x-stainless-retry-count", 6) \
    X(HTTP_S_STAINLESS_TIMEOUT, "x-stainless-timeout", 146) \
    X(HTTP_S_STAINLESS_READ_TIMEOUT, "x-stainless-read-timeout", 507) \
    X(HTTP_S_STAINLESS_HELPER_METHOD, "x-stainless-helper-method", 368) \
    X(HTTP_S_SERVER, "server", 491) \
    X(HTTP_S_SET_COOKIE, "set-cookie", 185) \
    X(HTTP_S_VARY, "vary", 255) \
    X(HTTP_S_CF_RAY, "cf-ray", 43) \
    X(HTTP_S_CF_CACHE_STATUS, "cf-cache-status", 26) \
    X(HTTP_S_ALT_SVC, "alt-svc", 164) \
    X(HTTP_S_STRICT_TRANSPORT_SECURITY, "strict-transport-security", 153) \
    X(HTTP_S_X_CONTENT_TYPE_OPTIONS, "x-content-type-options", 78) \
    X(HTTP_S_OPENAI_VERSION, "openai-version", 398) \
    X(HTTP_S_RATELIMIT_LIMIT_REQUESTS, "x-ratelimit-limit-requests", 92) \
    X(HTTP_S_RATELIMIT_LIMIT_TOKENS, "x-ratelimit-limit-tokens", 192) \
    X(HTTP_S_RATELIMIT_REMAINING_REQUESTS, "x-ratelimit-remaining-requests", 74) \
    X(HTTP_S_RATELIMIT_REMAINING_TOKENS, "x-ratelimit-remaining-tokens", 174)

// HTTP_N_OTHER is every other name.
#define X(symbol, text, slot) symbol,
enum http_name { HTTP_NAMES_READ(X) HTTP_N_OTHER };
#undef X

#define HTTP_NAME_COUNT ((int)HTTP_N_OTHER)
// The longest of these names, so that one fits a row of 32 bytes with its colon and its kind.
#define HTTP_NAME_BYTES_KNOWN_MAX 30

#endif
