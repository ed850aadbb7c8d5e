// Embeddings: OpenAI's request for them, put to providers of other dialects, and what they answer.
//
// Use       embed_request_read(&ctx, body, &rq);                      // OpenAI's
//           api = embed_api_find(provider's dialect, model);          // NULL: it has none that is known here
//           api->encode(&ctx, &rq, first, n, model, &out);            // n texts, at most api->texts_max
//           api->decode(&ctx, body, n, vectors, &tokens);             // of the answer to these: a JSON array of numbers each
//           embed_item_write() per vector, and the frame around them
// Batches   A request with more texts than the provider takes at once is put to it in several calls.
// Lost      what tunes and has no word there is named in ctx->losses; a length of the vectors that cannot be had is refused,
//           as is text that comes as numbers of tokens.
// Errors    as of a codec, see dialect.h.
// Thread    any.
// Sources   the API references of OpenAI (embeddings), Cohere (v2/embed), Google (batchEmbedContents), Mistral (embeddings) and
//           Amazon Bedrock (Titan and Cohere by InvokeModel).
#ifndef RINGWAY_PROVIDERS_EMBED_H
#define RINGWAY_PROVIDERS_EMBED_H

#include "providers/dialect.h"

#define EMBED_TEXTS_MAX 2048 // of one request, as OpenAI has it
#define EMBED_DIMENSIONS_MAX 16384

struct embed_request {
    struct span *text; // JSON strings, as the client wrote them
    uint32_t count;
    int64_t dimensions; // -1: not said
    bool base64;
};

struct embed_api {
    const struct dialect *dialect;
    const char *vendor; // of a dialect for models of many: what the model's name begins with; NULL: any
    struct span path; // behind the provider's prefix; where the model is in the path, behind the model
    uint32_t texts_max;
    enum rw_err (*encode)(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first, uint32_t n,
                          struct span model, struct json_out *out);
    // vectors has room for n. *ret_tokens: -1 if nothing is said.
    enum rw_err (*decode)(struct chat_ctx *ctx, struct span body, uint32_t n, struct span *vectors,
                          int64_t *ret_tokens);
};

const struct embed_api *embed_api_find(const struct dialect *dialect, struct span model);

enum rw_err embed_request_read(struct chat_ctx *ctx, struct span body,
                               struct embed_request *ret) RW_WARN_UNUSED;

// The numbers of a vector; room for EMBED_DIMENSIONS_MAX. -1: it is none.
int64_t embed_numbers(struct span vector, float *floats);
// One element of OpenAI's list: with floats (n of them) in base64, with NULL as the vector was written. The most bytes that it
// takes, and writing it: how many it took.
uint32_t embed_item_bytes(struct span vector, const float *floats, int64_t n);
uint32_t embed_item_write(struct span vector, const float *floats, int64_t n, uint32_t index, uint8_t *out);

#endif
