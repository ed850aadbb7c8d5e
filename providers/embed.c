// See embed.h.
#include "providers/embed.h"

#include "providers/dialect_priv.h"
#include "tls/crypto.h"

// --- OpenAI's request.

static enum rw_err read_text(struct chat_ctx *ctx, struct span value, struct embed_request *ret)
{
    if (json_type(value) == JSON_STRING) {
        ret->text[ret->count++] = value;
        return RW_OK;
    }
    if (json_type(value) == JSON_NUMBER || json_type(value) == JSON_ARRAY)
        return chat_refuse(ctx, SPAN("input"),
                           SPAN("The field 'input' holds numbers of tokens, which only OpenAI's models read: "
                                "send texts to this model."));
    return chat_refuse(ctx, SPAN("input"),
                       SPAN("The field 'input' must be a string or an array of strings."));
}

static enum rw_err read_input(struct chat_ctx *ctx, struct span input, struct embed_request *ret)
{
    const bool many = chat_has(input) && json_type(input) == JSON_ARRAY;
    uint32_t n = 0;
    struct span key, value;
    if (!chat_has(input))
        return chat_refuse(ctx, SPAN("input"),
                           SPAN("The field 'input' is missing: give a string or an array of strings."));
    struct json_iter it = json_iter(input);
    while (many && n <= EMBED_TEXTS_MAX && json_next(&it, &key, &value)) n++;
    if (many && (n == 0 || n > EMBED_TEXTS_MAX))
        return chat_refuse(ctx, SPAN("input"), SPAN("The field 'input' must hold 1 to 2,048 texts."));
    ret->text = chat_alloc(ctx, (many ? n : 1) * (uint32_t)sizeof *ret->text);
    if (!ret->text) return RW_E_TOO_LARGE;
    if (!many) return read_text(ctx, input, ret);
    it = json_iter(input);
    while (json_next(&it, &key, &value)) RW_TRY(read_text(ctx, value, ret));
    return RW_OK;
}

static enum rw_err read_format(struct chat_ctx *ctx, struct span format, struct embed_request *ret)
{
    if (!chat_has(format) || span_eq(format, SPAN("\"float\""))) return RW_OK;
    ret->base64 = span_eq(format, SPAN("\"base64\""));
    if (ret->base64) return RW_OK;
    return chat_refuse(ctx, SPAN("encoding_format"),
                       SPAN("The field 'encoding_format' must be \"float\" or \"base64\"."));
}

enum rw_err embed_request_read(struct chat_ctx *ctx, struct span body, struct embed_request *ret)
{
    enum { MODEL, INPUT, DIMENSIONS, FORMAT, USER, COUNT };
    static const struct span keys[] = {SPAN_INIT("model"), SPAN_INIT("input"), SPAN_INIT("dimensions"),
                                       SPAN_INIT("encoding_format"), SPAN_INIT("user")};
    struct span v[COUNT];
    struct chat_extra *extra = NULL;
    *ret = (struct embed_request){.dimensions = -1};
    RW_TRY(chat_members(ctx, body, keys, COUNT, v, &extra));
    RW_TRY(read_input(ctx, v[INPUT], ret));
    RW_TRY(read_format(ctx, v[FORMAT], ret));
    if (chat_has(v[DIMENSIONS])) {
        ret->dimensions = chat_count(v[DIMENSIONS]);
        if (ret->dimensions < 1 || ret->dimensions > EMBED_DIMENSIONS_MAX)
            return chat_refuse(ctx, SPAN("dimensions"),
                               SPAN("The field 'dimensions' must be a number from 1 to 16,384."));
    }
    if (chat_has(v[USER])) RW_TRY(chat_drop(ctx, SPAN("user")));
    for (const struct chat_extra *e = extra; e; e = e->next) RW_TRY(chat_drop(ctx, e->name));
    return RW_OK;
}

// --- Providers' requests.

static void write_texts(const struct embed_request *rq, uint32_t first, uint32_t n, struct span key,
                        struct json_out *out)
{
    json_out_key_array(out, key);
    for (uint32_t i = first; i < first + n; i++) json_out_raw(out, rq->text[i]);
    json_out_end(out);
}

static enum rw_err mistral_encode(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first,
                                  uint32_t n, struct span model, struct json_out *out)
{
    (void)ctx;
    json_out_object(out);
    json_out_key_string(out, SPAN("model"), model);
    write_texts(rq, first, n, SPAN("input"), out);
    if (rq->dimensions > 0) json_out_key_u64(out, SPAN("output_dimension"), (uint64_t)rq->dimensions);
    json_out_end(out);
    return RW_OK;
}

// What the texts are for is not said by OpenAI's clients: what is stored is embedded more often than what is asked.
static void write_cohere(const struct embed_request *rq, uint32_t first, uint32_t n, struct json_out *out)
{
    write_texts(rq, first, n, SPAN("texts"), out);
    json_out_key_string(out, SPAN("input_type"), SPAN("search_document"));
    json_out_key_array(out, SPAN("embedding_types"));
    json_out_string(out, SPAN("float"));
    json_out_end(out);
    if (rq->dimensions > 0) json_out_key_u64(out, SPAN("output_dimension"), (uint64_t)rq->dimensions);
}

static enum rw_err cohere_encode(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first,
                                 uint32_t n, struct span model, struct json_out *out)
{
    (void)ctx;
    json_out_object(out);
    json_out_key_string(out, SPAN("model"), model);
    write_cohere(rq, first, n, out);
    json_out_end(out);
    return RW_OK;
}

static enum rw_err bedrock_cohere_encode(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first,
                                         uint32_t n, struct span model, struct json_out *out)
{
    (void)ctx;
    (void)model;
    json_out_object(out);
    write_cohere(rq, first, n, out);
    json_out_end(out);
    return RW_OK;
}

static enum rw_err titan_encode(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first,
                                uint32_t n, struct span model, struct json_out *out)
{
    const bool old = span_starts(model, SPAN("amazon.titan-embed-text-v1"));
    MUST(n == 1);
    if (old && rq->dimensions > 0 && rq->dimensions != 1536)
        RW_TRY(chat_refuse_soft(ctx, SPAN("dimensions"),
                                SPAN("This model's vectors have 1,536 numbers: leave 'dimensions' out.")));
    json_out_object(out);
    json_out_key_raw(out, SPAN("inputText"), rq->text[first]);
    if (!old && rq->dimensions > 0) json_out_key_u64(out, SPAN("dimensions"), (uint64_t)rq->dimensions);
    json_out_end(out);
    return RW_OK;
}

static enum rw_err gemini_encode(struct chat_ctx *ctx, const struct embed_request *rq, uint32_t first,
                                 uint32_t n, struct span model, struct json_out *out)
{
    const uint32_t name_n = model.n + 7;
    uint8_t *name = chat_alloc(ctx, name_n);
    if (!name) return RW_E_TOO_LARGE;
    memcpy(name, "models/", 7);
    memcpy(name + 7, model.p, model.n);
    json_out_object(out);
    json_out_key_array(out, SPAN("requests"));
    for (uint32_t i = first; i < first + n; i++) {
        json_out_object(out);
        json_out_key_string(out, SPAN("model"), span_of(name, name_n));
        json_out_key_object(out, SPAN("content"));
        json_out_key_array(out, SPAN("parts"));
        json_out_object(out);
        json_out_key_raw(out, SPAN("text"), rq->text[i]);
        json_out_end(out);
        json_out_end(out);
        json_out_end(out);
        if (rq->dimensions > 0) json_out_key_u64(out, SPAN("outputDimensionality"), (uint64_t)rq->dimensions);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
    return RW_OK;
}

// --- Their answers.

// n arrays, each at `path` of an element of `list`; "" for the element itself.
static enum rw_err read_vectors(struct span list, const char *path, uint32_t n, struct span *vectors)
{
    struct span key, element;
    uint32_t i = 0;
    if (json_type(list) != JSON_ARRAY) return RW_E_BAD;
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &element)) {
        if (i == n) return RW_E_BAD;
        if (!json_path(element, path, &vectors[i]) || json_type(vectors[i]) != JSON_ARRAY) return RW_E_BAD;
        i++;
    }
    return i == n ? RW_OK : RW_E_BAD;
}

static int64_t count_at(struct span body, const char *path)
{
    struct span value;
    return json_path(body, path, &value) ? chat_count(value) : -1;
}

static enum rw_err mistral_decode(struct chat_ctx *ctx, struct span body, uint32_t n, struct span *vectors,
                                  int64_t *ret_tokens)
{
    struct span data, key, element, index;
    uint64_t at;
    (void)ctx;
    *ret_tokens = count_at(body, "usage.prompt_tokens");
    if (!json_path(body, "data", &data) || json_type(data) != JSON_ARRAY) return RW_E_BAD;
    for (uint32_t i = 0; i < n; i++) vectors[i] = (struct span){NULL, 0};
    struct json_iter it = json_iter(data);
    while (json_next(&it, &key, &element)) {
        if (!json_path(element, "index", &index) || !json_u64(index, &at) || at >= n) return RW_E_BAD;
        if (!json_path(element, "embedding", &vectors[at])) return RW_E_BAD;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!chat_has(vectors[i]) || json_type(vectors[i]) != JSON_ARRAY) return RW_E_BAD;
    return RW_OK;
}

// {"embeddings":{"float":[[...]]}}; Bedrock's, where no type was asked for, have the list at once.
static enum rw_err cohere_decode(struct chat_ctx *ctx, struct span body, uint32_t n, struct span *vectors,
                                 int64_t *ret_tokens)
{
    struct span list;
    (void)ctx;
    *ret_tokens = count_at(body, "meta.billed_units.input_tokens");
    if (!json_path(body, "embeddings", &list)) return RW_E_BAD;
    if (json_type(list) == JSON_OBJECT && !json_path(list, "float", &list)) return RW_E_BAD;
    return read_vectors(list, "", n, vectors);
}

static enum rw_err titan_decode(struct chat_ctx *ctx, struct span body, uint32_t n, struct span *vectors,
                                int64_t *ret_tokens)
{
    (void)ctx;
    MUST(n == 1);
    *ret_tokens = count_at(body, "inputTextTokenCount");
    if (!json_path(body, "embedding", &vectors[0]) || json_type(vectors[0]) != JSON_ARRAY) return RW_E_BAD;
    return RW_OK;
}

static enum rw_err gemini_decode(struct chat_ctx *ctx, struct span body, uint32_t n, struct span *vectors,
                                 int64_t *ret_tokens)
{
    struct span list;
    (void)ctx;
    *ret_tokens = count_at(body, "usageMetadata.promptTokenCount");
    if (!json_path(body, "embeddings", &list)) return RW_E_BAD;
    return read_vectors(list, "values", n, vectors);
}

static const struct embed_api apis[] = {
    {&dialect_mistral, NULL, SPAN_INIT("/embeddings"), 512, mistral_encode, mistral_decode},
    {&dialect_cohere, NULL, SPAN_INIT("/v2/embed"), 96, cohere_encode, cohere_decode},
    {&dialect_gemini, NULL, SPAN_INIT(":batchEmbedContents"), 100, gemini_encode, gemini_decode},
    {&dialect_converse, "cohere.", SPAN_INIT("/invoke"), 96, bedrock_cohere_encode, cohere_decode},
    {&dialect_converse, "amazon.titan-embed", SPAN_INIT("/invoke"), 1, titan_encode, titan_decode},
};

const struct embed_api *embed_api_find(const struct dialect *dialect, struct span model)
{
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++)
        if (apis[i].dialect == dialect && (!apis[i].vendor || span_starts(model, span_str(apis[i].vendor))))
            return &apis[i];
    return NULL;
}

// --- OpenAI's answer.

#define ITEM_BYTES 96

int64_t embed_numbers(struct span vector, float *floats)
{
    uint32_t n;
    if (!json_floats(vector, floats, EMBED_DIMENSIONS_MAX, &n) || n > EMBED_DIMENSIONS_MAX) return -1;
    return n;
}

uint32_t embed_item_bytes(struct span vector, const float *floats, int64_t n)
{
    return ITEM_BYTES + (floats ? (uint32_t)CRYPTO_BASE64_CHARS((uint64_t)n * sizeof *floats) : vector.n);
}

uint32_t embed_item_write(struct span vector, const float *floats, int64_t n, uint32_t index, uint8_t *out)
{
    struct fmt f;
    fmt_init(&f, out, embed_item_bytes(vector, floats, n));
    fmt_str(&f, "{\"object\":\"embedding\",\"index\":");
    fmt_u64(&f, index);
    fmt_str(&f, ",\"embedding\":");
    if (floats) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "floats go to the client with the least significant byte first"
#endif
        fmt_char(&f, '"');
        const int64_t chars =
            crypto_base64_encode(floats, (size_t)n * sizeof *floats, f.p + f.n, f.cap - f.n);
        MUST(chars >= 0);
        f.n += (uint32_t)chars;
        fmt_char(&f, '"');
    } else {
        fmt_span(&f, vector);
    }
    fmt_char(&f, '}');
    MUST(!f.overflow);
    return f.n;
}
