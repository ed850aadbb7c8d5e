// Types of providers: what `type` of a provider in the configuration stands for. One row of provider.c says all that is known
// of a type beforehand: the dialect of its API, where it is, where chats are asked there, how the key is sent, what is odd.
//
// Paths     stand behind base_url and prefix. `chat` is the whole path, or, of an API with the model in the path (`whole` and
//           `stream` are set), what stands before the model; the two stand behind it. In base_url and `chat`, {region},
//           {project} and {location} stand for the provider's settings of that name: provider_fill().
// Forms     Some types have a second row: another form of their API, which the configuration or the model chooses. Those have
//           no name of their own.
// Thread    any; read-only.
// Sources   the API references of each provider.
#ifndef RINGWAY_PROVIDERS_PROVIDER_H
#define RINGWAY_PROVIDERS_PROVIDER_H

#include "base/err.h"
#include "providers/dialect.h"

// X(symbol, name in the configuration)
#define PROVIDER_TYPES(X) \
    X(OPENAI, "openai") \
    X(AZURE, "azure") \
    X(ANTHROPIC, "anthropic") \
    X(BEDROCK, "bedrock") \
    X(GEMINI, "gemini") \
    X(VERTEX, "vertex") \
    X(MISTRAL, "mistral") \
    X(COHERE, "cohere") \
    X(GROQ, "groq") \
    X(DEEPSEEK, "deepseek") \
    X(XAI, "xai") \
    X(TOGETHER, "together") \
    X(FIREWORKS, "fireworks") \
    X(OPENROUTER, "openrouter") \
    X(HUGGINGFACE, "huggingface") \
    X(OLLAMA, "ollama") \
    X(VLLM, "vllm") \
    X(LLAMACPP, "llamacpp") \
    X(OPENAI_COMPATIBLE, "openai_compatible") \
    X(ECHO, "echo")

#define X(symbol, name) PROVIDER_##symbol,
enum provider_type {
    PROVIDER_TYPES(X) PROVIDER_TYPE_COUNT,
    // Second forms.
    PROVIDER_AZURE_DEPLOYMENTS = PROVIDER_TYPE_COUNT, // with api_version: the deployment in the path
    PROVIDER_VERTEX_ANTHROPIC, // for models of Anthropic's
    PROVIDER_ROWS
};
#undef X

#define PROVIDER_MAX_TOKENS_OLD 1u // OpenAI's dialect without max_completion_tokens
#define PROVIDER_RESPONSES 2u // speaks OpenAI's responses dialect, too
#define PROVIDER_CHAT_ONLY 8u // other routes of its dialect have no counterpart there
#define PROVIDER_ORIGIN 4u // base_url is usually the bare origin: its API's paths say the rest

struct provider_row {
    const char *name; // as prices and metrics have it
    const struct dialect *dialect;
    const char *base_url; // NULL: none that is usual
    const char *prefix; // of every path of its API, behind base_url
    const char *chat; // behind prefix
    const char *whole, *stream; // behind the model; NULL: the body names it
    const char *key_field; // what the API key is sent behind
    uint32_t flags;
    const char *
        body_version; // Anthropic's messages: sent as anthropic_version where the model would stand; NULL: not so
};

extern const struct provider_row provider_rows[PROVIDER_ROWS];

// The usual base_url of a type, which may have braces; NULL: there is none.
struct provider_settings;
const char *provider_base_url(enum provider_type type, const struct provider_settings *settings);

// What the braces of a template stand for; NULL: not set.
struct provider_settings {
    const char *region, *project, *location;
};
// The text with its braces filled in, NUL-terminated. RW_E_TOO_LARGE: it does not fit; RW_E_NOT_FOUND: *ret_missing is not set.
enum rw_err provider_fill(const char *text, const struct provider_settings *settings, char *out, uint32_t cap,
                          const char **ret_missing) RW_WARN_UNUSED;

#endif
