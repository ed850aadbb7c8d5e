// The field names that are recognised while a head is parsed, one line each. Recognising a name costs one
// multiplication, one look at a table and one vector compare, which is less than checking an unknown name
// letter by letter: names that come with nearly every request stand here even if nobody reads them.
//
//   X(symbol, name in lower case)
//
// HTTP_NAMES_READ     have a bit in http_head.present and .doubled and an O(1) look-up by http_value(). At
//                     most 63.
// HTTP_NAMES_SEEN     are only recognised. All of them have the kind HTTP_N_OTHER, like unknown names.
//
// To add a name: one line here, then run test_http_names; it says which constants of http_names.c change,
// if any.
#ifndef RINGWAY_WIRE_HTTP_NAMES_H
#define RINGWAY_WIRE_HTTP_NAMES_H

#define HTTP_NAMES_READ(X) \
    /* Framing and the connection. */ \
    X(HTTP_N_HOST, "host") \
    X(HTTP_N_CONTENT_LENGTH, "content-length") \
    X(HTTP_N_TRANSFER_ENCODING, "transfer-encoding") \
    X(HTTP_N_CONNECTION, "connection") \
    X(HTTP_N_EXPECT, "expect") \
    X(HTTP_N_UPGRADE, "upgrade") \
    X(HTTP_N_KEEP_ALIVE, "keep-alive") \
    X(HTTP_N_TRAILER, "trailer") \
    X(HTTP_N_TE, "te") \
    /* Who asks. */ \
    X(HTTP_N_AUTHORIZATION, "authorization") \
    X(HTTP_N_X_API_KEY, "x-api-key") \
    X(HTTP_N_API_KEY, "api-key") \
    X(HTTP_N_X_GOOG_API_KEY, "x-goog-api-key") \
    X(HTTP_N_PROXY_AUTHORIZATION, "proxy-authorization") \
    X(HTTP_N_COOKIE, "cookie") \
    X(HTTP_N_X_FORWARDED_FOR, "x-forwarded-for") \
    X(HTTP_N_X_FORWARDED_PROTO, "x-forwarded-proto") \
    X(HTTP_N_FORWARDED, "forwarded") \
    X(HTTP_N_X_AMZ_DATE, "x-amz-date") \
    X(HTTP_N_X_AMZ_SECURITY_TOKEN, "x-amz-security-token") \
    X(HTTP_N_X_AMZ_CONTENT_SHA256, "x-amz-content-sha256") \
    /* The body, and what may be answered. */ \
    X(HTTP_N_CONTENT_TYPE, "content-type") \
    X(HTTP_N_CONTENT_ENCODING, "content-encoding") \
    X(HTTP_N_ACCEPT, "accept") \
    X(HTTP_N_ACCEPT_ENCODING, "accept-encoding") \
    X(HTTP_N_USER_AGENT, "user-agent") \
    X(HTTP_N_CACHE_CONTROL, "cache-control") \
    X(HTTP_N_IF_NONE_MATCH, "if-none-match") \
    X(HTTP_N_LAST_EVENT_ID, "last-event-id") \
    X(HTTP_N_IDEMPOTENCY_KEY, "idempotency-key") \
    /* CORS. */ \
    X(HTTP_N_ORIGIN, "origin") \
    X(HTTP_N_ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method") \
    X(HTTP_N_ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers") \
    /* Tracing. */ \
    X(HTTP_N_X_REQUEST_ID, "x-request-id") \
    X(HTTP_N_REQUEST_ID, "request-id") \
    X(HTTP_N_X_AMZN_REQUESTID, "x-amzn-requestid") \
    X(HTTP_N_TRACEPARENT, "traceparent") \
    X(HTTP_N_TRACESTATE, "tracestate") \
    X(HTTP_N_BAGGAGE, "baggage") \
    /* Dialects. */ \
    X(HTTP_N_OPENAI_BETA, "openai-beta") \
    X(HTTP_N_OPENAI_ORGANIZATION, "openai-organization") \
    X(HTTP_N_OPENAI_PROJECT, "openai-project") \
    X(HTTP_N_OPENAI_PROCESSING_MS, "openai-processing-ms") \
    X(HTTP_N_ANTHROPIC_VERSION, "anthropic-version") \
    X(HTTP_N_ANTHROPIC_BETA, "anthropic-beta") \
    X(HTTP_N_X_AMZN_ERRORTYPE, "x-amzn-errortype") \
    X(HTTP_N_MCP_SESSION_ID, "mcp-session-id") \
    X(HTTP_N_MCP_PROTOCOL_VERSION, "mcp-protocol-version") \
    X(HTTP_N_SEC_WEBSOCKET_KEY, "sec-websocket-key") \
    X(HTTP_N_SEC_WEBSOCKET_VERSION, "sec-websocket-version") \
    X(HTTP_N_SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol") \
    /* Answers of providers. */ \
    X(HTTP_N_RETRY_AFTER, "retry-after") \
    X(HTTP_N_RETRY_AFTER_MS, "retry-after-ms") \
    X(HTTP_N_X_SHOULD_RETRY, "x-should-retry") \
    X(HTTP_N_LOCATION, "location") \
    X(HTTP_N_DATE, "date") \
    /* Ours. */ \
    X(HTTP_N_X_RINGWAY_CACHE, "x-ringway-cache") \
    X(HTTP_N_X_RINGWAY_TAGS, "x-ringway-tags") \
    X(HTTP_N_X_RINGWAY_USER, "x-ringway-user") \
    X(HTTP_N_X_RINGWAY_PROVIDER, "x-ringway-provider")

#define HTTP_NAMES_SEEN(X) \
    X(HTTP_S_ACCEPT_LANGUAGE, "accept-language") \
    X(HTTP_S_SEC_FETCH_MODE, "sec-fetch-mode") \
    X(HTTP_S_STAINLESS_LANG, "x-stainless-lang") \
    X(HTTP_S_STAINLESS_PACKAGE_VERSION, "x-stainless-package-version") \
    X(HTTP_S_STAINLESS_OS, "x-stainless-os") \
    X(HTTP_S_STAINLESS_ARCH, "x-stainless-arch") \
    X(HTTP_S_STAINLESS_RUNTIME, "x-stainless-runtime") \
    X(HTTP_S_STAINLESS_RUNTIME_VERSION, "x-stainless-runtime-version") \
    X(HTTP_S_STAINLESS_ASYNC, "x-stainless-async") \
    X(HTTP_S_STAINLESS_RETRY_COUNT, "x-stainless-retry-count") \
    X(HTTP_S_STAINLESS_TIMEOUT, "x-stainless-timeout") \
    X(HTTP_S_STAINLESS_READ_TIMEOUT, "x-stainless-read-timeout") \
    X(HTTP_S_STAINLESS_HELPER_METHOD, "x-stainless-helper-method") \
    X(HTTP_S_SERVER, "server") \
    X(HTTP_S_SET_COOKIE, "set-cookie") \
    X(HTTP_S_VARY, "vary") \
    X(HTTP_S_VIA, "via") \
    X(HTTP_S_CF_RAY, "cf-ray") \
    X(HTTP_S_CF_CACHE_STATUS, "cf-cache-status") \
    X(HTTP_S_ALT_SVC, "alt-svc") \
    X(HTTP_S_STRICT_TRANSPORT_SECURITY, "strict-transport-security") \
    X(HTTP_S_X_CONTENT_TYPE_OPTIONS, "x-content-type-options") \
    X(HTTP_S_OPENAI_VERSION, "openai-version") \
    X(HTTP_S_RATELIMIT_LIMIT_REQUESTS, "x-ratelimit-limit-requests") \
    X(HTTP_S_RATELIMIT_LIMIT_TOKENS, "x-ratelimit-limit-tokens") \
    X(HTTP_S_RATELIMIT_REMAINING_REQUESTS, "x-ratelimit-remaining-requests") \
    X(HTTP_S_RATELIMIT_REMAINING_TOKENS, "x-ratelimit-remaining-tokens") \
    X(HTTP_S_RATELIMIT_RESET_REQUESTS, "x-ratelimit-reset-requests") \
    X(HTTP_S_RATELIMIT_RESET_TOKENS, "x-ratelimit-reset-tokens")

// HTTP_N_OTHER is every other name. Its bit in http_head.present means nothing.
#define X(symbol, text) symbol,
enum http_name { HTTP_NAMES_READ(X) HTTP_N_OTHER };
#undef X

#define HTTP_NAME_COUNT ((int)HTTP_N_OTHER)
// The longest of all these names; a recognised one fits a vector of 32 bytes with its colon.
#define HTTP_NAME_BYTES_KNOWN_MAX 31

#endif
