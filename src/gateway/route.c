// See route.h.
#include "gateway/route.h"

#include "providers/dialect.h"

static const struct route routes[] = {
    {SPAN_INIT("/v1/chat/completions"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/chat/completions"), &dialect_openai, true, true, true},
    {SPAN_INIT("/v1/completions"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/completions"),
     &dialect_openai, false, true, true},
    {SPAN_INIT("/v1/embeddings"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/embeddings"),
     &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/moderations"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/moderations"),
     &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/images/generations"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/images/generations"), &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/images/edits"), ROUTE_PASS_BODY, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/images/edits"),
     &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/images/variations"), ROUTE_PASS_BODY, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/images/variations"), &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/audio/speech"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/audio/speech"),
     &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/audio/transcriptions"), ROUTE_PASS_BODY, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/audio/transcriptions"), &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/audio/translations"), ROUTE_PASS_BODY, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/audio/translations"), &dialect_openai, false, false, false},
    {SPAN_INIT("/v1/files"), ROUTE_PASS_BODY, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/files"), &dialect_openai,
     false, false, false},
    {SPAN_INIT("/v1/messages"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/v1/messages"),
     &dialect_anthropic, true, true, false},
    {SPAN_INIT("/v1/messages/count_tokens"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT("/v1/messages/count_tokens"), &dialect_anthropic, false, false, false},
    {SPAN_INIT("/v1/responses"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/responses"),
     &dialect_responses, true, true, false},
    {SPAN_INIT("/v2/chat"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/v2/chat"),
     &dialect_cohere, true, true, false},
    {SPAN_INIT("/v2/embed"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/v2/embed"),
     &dialect_cohere, false, false, false},
    {SPAN_INIT("/v1/rerank"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/v2/rerank"),
     &dialect_cohere, false, false, false},
    {SPAN_INIT("/v2/rerank"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/v2/rerank"),
     &dialect_cohere, false, false, false},
    {SPAN_INIT("/v1/chat"), ROUTE_PASS_JSON, SHAPE_NATIVE, ROUTE_POST, SPAN_INIT(""), &dialect_native, true,
     true, false},
    {SPAN_INIT("/v1beta/models"), ROUTE_MODELS, SHAPE_DIALECT, ROUTE_GET, SPAN_INIT(""), &dialect_gemini,
     false, false, false},
    {SPAN_INIT("/v1beta/models/"), ROUTE_MODEL, SHAPE_DIALECT, ROUTE_GET, SPAN_INIT(""), &dialect_gemini,
     false, false, false},
    {SPAN_INIT("/v1/models"), ROUTE_MODELS, SHAPE_OPENAI, ROUTE_GET, SPAN_INIT(""), NULL, false, false,
     false},
    {SPAN_INIT("/v1/models/"), ROUTE_MODEL, SHAPE_OPENAI, ROUTE_GET, SPAN_INIT(""), NULL, false, false,
     false},
    {SPAN_INIT("/v1/usage"), ROUTE_USAGE, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false, false},
    {SPAN_INIT("/health"), ROUTE_HEALTH, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false, false},
    {SPAN_INIT("/health/live"), ROUTE_HEALTH, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false,
     false},
    {SPAN_INIT("/healthz"), ROUTE_HEALTH, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false, false},
    {SPAN_INIT("/livez"), ROUTE_HEALTH, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false, false},
    {SPAN_INIT("/health/ready"), ROUTE_READY, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false,
     false},
    {SPAN_INIT("/readyz"), ROUTE_READY, SHAPE_NATIVE, ROUTE_GET, SPAN_INIT(""), NULL, false, false, false},
};
// Mistral's clients come to the path of OpenAI's.
static const struct route mistral_chat = {SPAN_INIT("/v1/chat/completions"),
                                          ROUTE_PASS_JSON,
                                          SHAPE_OPENAI,
                                          ROUTE_POST,
                                          SPAN_INIT("/chat/completions"),
                                          &dialect_mistral,
                                          true,
                                          true,
                                          false};
// Google's, Amazon's and Azure's: the model, and behind it what is asked. Some of Google's SDKs say v1, where the models of
// others are.
static const struct route named_routes[] = {
    {SPAN_INIT("/v1beta/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT(":generateContent"),
     &dialect_gemini, true, true, false},
    {SPAN_INIT("/v1beta/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT(":streamGenerateContent"), &dialect_gemini, true, true, false},
    {SPAN_INIT("/v1beta/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT(":countTokens"),
     &dialect_gemini, false, false, false},
    {SPAN_INIT("/v1beta/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT(":embedContent"),
     &dialect_gemini, false, false, false},
    {SPAN_INIT("/v1beta/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT(":batchEmbedContents"), &dialect_gemini, false, false, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/converse"),
     &dialect_converse, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/converse-stream"),
     &dialect_converse, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/invoke"),
     &dialect_invoke_nova, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT("/invoke-with-response-stream"), &dialect_invoke_nova, true, true, false},
    {SPAN_INIT("/publishers/anthropic/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT(":rawPredict"), &dialect_anthropic, true, true, false},
    {SPAN_INIT("/publishers/anthropic/models/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT(":streamRawPredict"), &dialect_anthropic, true, true, false},
    {SPAN_INIT("/openai/deployments/"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST,
     SPAN_INIT("/chat/completions"), &dialect_openai, true, true, true},
    {SPAN_INIT("/openai/deployments/"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/completions"),
     &dialect_openai, false, true, true},
    {SPAN_INIT("/openai/deployments/"), ROUTE_PASS_JSON, SHAPE_OPENAI, ROUTE_POST, SPAN_INIT("/embeddings"),
     &dialect_openai, false, false, false},
};

// Amazon's InvokeModel, where the body turns out to be another than Nova's.
static const struct route invoke_routes[] = {
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/invoke"),
     &dialect_invoke_claude, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT("/invoke-with-response-stream"), &dialect_invoke_claude, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST, SPAN_INIT("/invoke"),
     &dialect_invoke_titan, true, true, false},
    {SPAN_INIT("/model/"), ROUTE_PASS_JSON, SHAPE_DIALECT, ROUTE_POST,
     SPAN_INIT("/invoke-with-response-stream"), &dialect_invoke_titan, true, true, false},
};

const struct route route_unknown = {SPAN_INIT(""), ROUTE_NONE, SHAPE_NATIVE, 0,    SPAN_INIT(""),
                                    NULL,          false,      false,        false};

const struct route *route_for_sdk(const struct route *r, struct span agent)
{
    return r == &routes[0] && span_starts(agent, SPAN("mistral-client-")) ? &mistral_chat : r;
}

const struct route *route_for_body(const struct route *r, struct span model, struct span body)
{
    if (RW_LIKELY(r->dialect != &dialect_invoke_nova)) return r;
    const struct dialect *d = dialect_invoke(model, body);
    for (size_t i = 0; i < sizeof invoke_routes / sizeof *invoke_routes; i++)
        if (invoke_routes[i].dialect == d && span_eq(invoke_routes[i].upstream, r->upstream))
            return &invoke_routes[i];
    return r;
}

bool route_names_model(const struct route *r)
{
    return r->kind == ROUTE_PASS_JSON && r->path.p[r->path.n - 1] == '/';
}

bool route_says_stream(const struct route *r)
{
    return route_names_model(r) && r->dialect != &dialect_openai;
}

bool route_streams(const struct route *r)
{
    return span_starts(r->upstream, SPAN(":stream")) || span_eq(r->upstream, SPAN("/converse-stream")) ||
        span_eq(r->upstream, SPAN("/invoke-with-response-stream"));
}

bool route_embeds(const struct route *r)
{
    return span_eq(r->upstream, SPAN("/embeddings"));
}

// Of Vertex what stands behind project and location, "/publishers/...": whose they are is said by the key.
static struct span without_project(struct span path)
{
    if (!span_starts(path, SPAN("/v1/projects/")) && !span_starts(path, SPAN("/v1beta1/projects/")))
        return path;
    struct span rest = span_from(path, 1), segment;
    for (int i = 0; i < 3; i++)
        if (!span_split(&rest, '/', &segment)) return path;
    if (!span_split(&rest, '/', &segment)) return path;
    if (!span_eq(segment, SPAN("locations")) || !span_split(&rest, '/', &segment) || !rest.n) return path;
    return (struct span){rest.p - 1, rest.n + 1};
}

static const struct route *named_find(struct span path, struct span *ret_model)
{
    const struct span behind = without_project(path);
    struct span v1 = SPAN("/v1/models/");
    if (behind.n < path.n) v1 = SPAN("/publishers/google/models/");
    path = behind;
    for (size_t i = 0; i < sizeof named_routes / sizeof *named_routes; i++) {
        const struct route *r = &named_routes[i];
        const struct span verb = r->upstream;
        const bool google = r->dialect == &dialect_gemini && span_starts(path, v1);
        if (!google && !span_starts(path, r->path)) continue;
        const struct span rest = span_from(path, google ? v1.n : r->path.n);
        if (rest.n <= verb.n || rest.p[0] == '/' || !span_eq(span_from(rest, rest.n - verb.n), verb))
            continue;
        *ret_model = (struct span){rest.p, rest.n - verb.n};
        return r;
    }
    return NULL;
}

// Azure has OpenAI's routes under a path of its own.
static const struct route *azure_find(struct span path)
{
    const struct span azure = SPAN("/openai");
    struct span rest;
    if (!span_starts(path, SPAN("/openai/v1/"))) return &route_unknown;
    const struct route *r = route_find(span_from(path, azure.n), &rest);
    return r->shape == SHAPE_OPENAI && !rest.n ? r : &route_unknown;
}

const struct route *route_find(struct span path, struct span *ret_rest)
{
    *ret_rest = (struct span){NULL, 0};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        if (RW_LIKELY(r->path.p[r->path.n - 1] != '/')) {
            if (span_eq(path, r->path)) return r;
        } else if (path.n > r->path.n && span_starts(path, r->path)) {
            const struct route *named = named_find(path, ret_rest);
            if (named) return named;
            *ret_rest = span_from(path, r->path.n);
            return r;
        }
    }
    const struct route *named = named_find(path, ret_rest);
    return named ? named : azure_find(path);
}
