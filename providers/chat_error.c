// See dialect_priv.h: what an error is called in each dialect (status, type, code), from one table.
#include "providers/dialect_priv.h"

#define ERROR_TEXT_BYTES_MAX 1024

const struct chat_error_words chat_error_table[CHAT_E_COUNT] = {
    [CHAT_E_BAD_REQUEST] = {"bad_request", 400, "invalid_request_error", NULL, 400, "invalid_request_error",
                            400, "INVALID_ARGUMENT", 400, "ValidationException"},
    [CHAT_E_KEY] = {"key", 401, "invalid_request_error", "invalid_api_key", 401, "authentication_error", 401,
                    "UNAUTHENTICATED", 403, "UnrecognizedClientException"},
    [CHAT_E_NOT_ALLOWED] = {"not_allowed", 403, "invalid_request_error", NULL, 403, "permission_error", 403,
                            "PERMISSION_DENIED", 403, "AccessDeniedException"},
    [CHAT_E_NOT_FOUND] = {"not_found", 404, "invalid_request_error", "model_not_found", 404,
                          "not_found_error", 404, "NOT_FOUND", 404, "ResourceNotFoundException"},
    [CHAT_E_TOO_LARGE] = {"too_large", 413, "invalid_request_error", NULL, 413, "request_too_large", 400,
                          "INVALID_ARGUMENT", 413, "ValidationException"},
    [CHAT_E_CONTEXT] = {"context", 400, "invalid_request_error", "context_length_exceeded", 400,
                        "invalid_request_error", 400, "INVALID_ARGUMENT", 400, "ValidationException"},
    [CHAT_E_CONTENT] = {"content", 400, "invalid_request_error", "content_policy_violation", 400,
                        "invalid_request_error", 400, "INVALID_ARGUMENT", 400, "ValidationException"},
    [CHAT_E_RATE] = {"rate", 429, "requests", "rate_limit_exceeded", 429, "rate_limit_error", 429,
                     "RESOURCE_EXHAUSTED", 429, "ThrottlingException"},
    [CHAT_E_QUOTA] = {"quota", 429, "insufficient_quota", "insufficient_quota", 429, "rate_limit_error", 429,
                      "RESOURCE_EXHAUSTED", 400, "ServiceQuotaExceededException"},
    [CHAT_E_MONEY] = {"money", 402, "insufficient_quota", "insufficient_quota", 402, "billing_error", 429,
                      "RESOURCE_EXHAUSTED", 400, "ServiceQuotaExceededException"},
    [CHAT_E_OVERLOADED] = {"overloaded", 503, "server_error", NULL, 529, "overloaded_error", 503,
                           "UNAVAILABLE", 503, "ServiceUnavailableException"},
    [CHAT_E_TIMEOUT] = {"timeout", 504, "server_error", NULL, 504, "timeout_error", 504, "DEADLINE_EXCEEDED",
                        408, "ModelTimeoutException"},
    [CHAT_E_UPSTREAM_AUTH] = {"upstream_auth", 502, "server_error", "upstream_auth", 500, "api_error", 500,
                              "INTERNAL", 500, "InternalServerException"},
    [CHAT_E_SERVER] = {"server", 502, "server_error", NULL, 500, "api_error", 500, "INTERNAL", 500,
                       "InternalServerException"},
};

enum chat_error_kind chat_error_of_status(uint16_t status)
{
    switch (status) {
    case 401:
    case 403: return CHAT_E_UPSTREAM_AUTH; // of the gateway's key, never of the client's
    case 402: return CHAT_E_QUOTA;
    case 404: return CHAT_E_NOT_FOUND;
    case 408:
    case 504: return CHAT_E_TIMEOUT;
    case 413: return CHAT_E_TOO_LARGE;
    case 429: return CHAT_E_RATE;
    case 503:
    case 529: return CHAT_E_OVERLOADED;
    default: return status >= 400 && status < 500 ? CHAT_E_BAD_REQUEST : CHAT_E_SERVER;
    }
}

static bool contains(struct span text, struct span part)
{
    for (; text.n >= part.n; text = span_from(text, 1))
        if (span_ieq((struct span){text.p, part.n}, part)) return true;
    return false;
}

bool chat_error_is_context(struct span message)
{
    static const struct span words[] = {
        SPAN_INIT("prompt is too long"),
        SPAN_INIT("exceed context limit"),
        SPAN_INIT("Input is too long for requested model"),
        SPAN_INIT("too many input tokens"),
        SPAN_INIT("exceeds the maximum number of tokens allowed"),
        SPAN_INIT("too large for model"),
        SPAN_INIT("too many tokens"),
        SPAN_INIT("maximum context length is"),
    };
    if (message.n > ERROR_TEXT_BYTES_MAX) message.n = ERROR_TEXT_BYTES_MAX;
    for (uint32_t i = 0; i < sizeof words / sizeof *words; i++)
        if (contains(message, words[i])) return true;
    return false;
}

struct span chat_error_text(struct span body)
{
    if (body.n == 0) return SPAN("The provider gave no reason.");
    return body.n > ERROR_TEXT_BYTES_MAX ? (struct span){body.p, utf8_cut(body, ERROR_TEXT_BYTES_MAX)} : body;
}

struct span dialect_error_type(const struct dialect *dialect, enum chat_error_kind kind)
{
    return dialect->family == DIALECT_BEDROCK ? span_str(chat_error_table[kind].aws_type)
                                              : (struct span){NULL, 0};
}
