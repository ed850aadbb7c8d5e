// See provider.h.
#include "providers/provider.h"

#include "base/check.h"

#define BEARER "authorization: Bearer "
#define VERTEX "/v1/projects/{project}/locations/{location}/publishers/"
#define CHAT "/chat/completions"

// Where OpenAI's dialect is all there is, and the URL ends in its version.
#define LIKE_OPENAI(name, url, flags) \
    { \
        name, &dialect_openai, url, "", CHAT, NULL, NULL, BEARER, flags, NULL \
    }

const struct provider_row provider_rows[PROVIDER_ROWS] = {
    [PROVIDER_OPENAI] = LIKE_OPENAI("openai", "https://api.openai.com/v1", PROVIDER_RESPONSES),
    [PROVIDER_AZURE] = {"azure", &dialect_openai, NULL, "/openai/v1", CHAT, NULL, NULL,
                        "api-key: ", PROVIDER_RESPONSES | PROVIDER_ORIGIN, NULL},
    [PROVIDER_AZURE_DEPLOYMENTS] = {"azure", &dialect_openai, NULL, "/openai/deployments", "/", CHAT, CHAT,
                                    "api-key: ", PROVIDER_ORIGIN, NULL},
    [PROVIDER_ANTHROPIC] = {"anthropic", &dialect_anthropic, "https://api.anthropic.com", "", "/v1/messages",
                            NULL, NULL, "x-api-key: ", PROVIDER_ORIGIN, NULL},
    [PROVIDER_BEDROCK] = {"bedrock", &dialect_converse, "https://bedrock-runtime.{region}.amazonaws.com", "",
                          "/model/", "/converse", "/converse-stream", BEARER, PROVIDER_ORIGIN, NULL},
    [PROVIDER_GEMINI] = {"gemini", &dialect_gemini, "https://generativelanguage.googleapis.com", "",
                         "/v1beta/models/", ":generateContent", ":streamGenerateContent?alt=sse",
                         "x-goog-api-key: ", PROVIDER_ORIGIN, NULL},
    [PROVIDER_VERTEX] = {"vertex", &dialect_gemini, "https://{location}-aiplatform.googleapis.com", "",
                         VERTEX "google/models/", ":generateContent", ":streamGenerateContent?alt=sse",
                         "x-goog-api-key: ", PROVIDER_ORIGIN, NULL},
    [PROVIDER_VERTEX_ANTHROPIC] = {"vertex", &dialect_anthropic, NULL, "", VERTEX "anthropic/models/",
                                   ":rawPredict", ":streamRawPredict", "x-goog-api-key: ",
                                   PROVIDER_ORIGIN | PROVIDER_CHAT_ONLY, "vertex-2023-10-16"},
    [PROVIDER_MISTRAL] = {"mistral", &dialect_mistral, "https://api.mistral.ai/v1", "", CHAT, NULL, NULL,
                          BEARER, 0, NULL},
    [PROVIDER_COHERE] = {"cohere", &dialect_cohere, "https://api.cohere.com", "", "/v2/chat", NULL, NULL,
                         BEARER, PROVIDER_ORIGIN, NULL},
    [PROVIDER_GROQ] = LIKE_OPENAI("groq", "https://api.groq.com/openai/v1", 0),
    [PROVIDER_DEEPSEEK] = LIKE_OPENAI("deepseek", "https://api.deepseek.com/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_XAI] = LIKE_OPENAI("xai", "https://api.x.ai/v1", 0),
    [PROVIDER_TOGETHER] = LIKE_OPENAI("together", "https://api.together.xyz/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_FIREWORKS] =
        LIKE_OPENAI("fireworks", "https://api.fireworks.ai/inference/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_OPENROUTER] =
        LIKE_OPENAI("openrouter", "https://openrouter.ai/api/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_HUGGINGFACE] =
        LIKE_OPENAI("huggingface", "https://router.huggingface.co/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_OLLAMA] = LIKE_OPENAI("ollama", "http://127.0.0.1:11434/v1", PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_VLLM] = LIKE_OPENAI("vllm", "http://127.0.0.1:8000/v1", PROVIDER_MAX_TOKENS_OLD),
    // Its own port, 8080, is ours.
    [PROVIDER_LLAMACPP] = LIKE_OPENAI("llamacpp", NULL, PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_OPENAI_COMPATIBLE] = LIKE_OPENAI("openai_compatible", NULL, PROVIDER_MAX_TOKENS_OLD),
    [PROVIDER_ECHO] = LIKE_OPENAI("echo", NULL, 0),
};

const char *provider_base_url(enum provider_type type, const struct provider_settings *settings)
{
    const char *location = settings->location ? settings->location : "";
    if (type == PROVIDER_VERTEX && !strcmp(location, "global")) return "https://aiplatform.googleapis.com";
    // Of several regions at once.
    if (type == PROVIDER_VERTEX && (!strcmp(location, "us") || !strcmp(location, "eu")))
        return "https://aiplatform.{location}.rep.googleapis.com";
    return provider_rows[type].base_url;
}

// The setting of that name.
static void setting(const struct provider_settings *s, struct span name, const char **ret_name,
                    const char **ret)
{
    const struct {
        const char *name, *value;
    } all[] = {{"region", s->region}, {"project", s->project}, {"location", s->location}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!span_eq(name, span_str(all[i].name))) continue;
        *ret_name = all[i].name;
        *ret = all[i].value;
        return;
    }
    UNREACHABLE("the templates are ours");
}

enum rw_err provider_fill(const char *text, const struct provider_settings *settings, char *out, uint32_t cap,
                          const char **ret_missing)
{
    uint32_t n = 0;
    for (struct span rest = span_str(text); rest.n > 0;) {
        struct span piece = {rest.p, span_find(rest, '{')};
        rest = span_from(rest, piece.n);
        if (piece.n == 0) {
            const uint32_t end = span_find(rest, '}');
            const struct span name = span_of(rest.p + 1, end - 1);
            const char *known = NULL, *value = NULL;
            setting(settings, name, &known, &value);
            if (!value) {
                *ret_missing = known;
                return RW_E_NOT_FOUND;
            }
            piece = span_str(value);
            rest = span_from(rest, end + 1);
        }
        if (piece.n >= cap - n) return RW_E_TOO_LARGE;
        memcpy(out + n, piece.p, piece.n);
        n += piece.n;
    }
    out[n] = 0;
    return RW_OK;
}
