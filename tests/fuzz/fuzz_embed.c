// Embeddings: OpenAI's requests into every API's, and every API's answers into OpenAI's list. What is written is valid JSON; a
// vector's base64 is as long as its numbers say, and each number is what the other reader of numbers has.
#include "providers/embed.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/story.h"
#include "wire/json.h"

#define TEXTS 8

static struct story_world world;

static const struct span models[] = {SPAN_INIT("m"), SPAN_INIT("cohere.embed-v4:0"),
                                     SPAN_INIT("amazon.titan-embed-text-v1"),
                                     SPAN_INIT("amazon.titan-embed-text-v2:0")};

static void requests(struct span body)
{
    for (uint32_t d = 0; d < DIALECT_COUNT; d++)
        for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
            const struct embed_api *api = embed_api_find(dialect_all[d], models[m]);
            const struct arena_mark mark = arena_mark(&world.arena);
            struct chat_ctx ctx;
            struct embed_request rq;
            struct json_out o;
            chat_ctx_init(&ctx, &world.arena, (enum chat_mode)(m % 3));
            enum rw_err err = api ? embed_request_read(&ctx, body, &rq) : RW_E_BAD;
            MUST(!api || err != RW_E_BAD || ctx.problem.text.n);
            if (!err) {
                const uint32_t n = rq.count < api->texts_max ? rq.count : api->texts_max;
                MUST(rq.count >= 1 && rq.count <= EMBED_TEXTS_MAX);
                json_out_init(&o, &world.arena);
                err = api->encode(&ctx, &rq, rq.count - n, n, models[m], &o);
                MUST(err != RW_E_BAD || ctx.problem.text.n);
                if (!err) err = json_out_done(&o);
                const struct span text = err ? SPAN("{}") : json_out_flat(&o);
                MUST(!text.p || chat_is_object(text));
            }
            arena_rewind(&world.arena, mark);
        }
}

static void item(struct span vector)
{
    static float floats[EMBED_DIMENSIONS_MAX];
    static uint8_t out[2][64 * 1024];
    const int64_t n = embed_numbers(vector, floats);
    struct span base64, key, number;
    uint32_t i = 0;
    MUST(embed_item_bytes(vector, NULL, 0) <= sizeof out[0]);
    const uint32_t raw = embed_item_write(vector, NULL, 0, 1, out[0]);
    MUST(chat_is_object(span_of(out[0], raw)));
    if (n < 0) return;
    const uint32_t packed = embed_item_write(vector, floats, n, 1, out[1]);
    MUST(chat_is_object(span_of(out[1], packed)) && json_path(span_of(out[1], packed), "embedding", &base64));
    MUST(base64.n == 2 + ((uint64_t)n * sizeof *floats + 2) / 3 * 4);
    struct json_iter it = json_iter(vector);
    while (json_next(&it, &key, &number)) {
        double v = 0;
        MUST(json_double(number, &v));
        const float want = (float)v;
        MUST(memcmp(&want, &floats[i++], sizeof want) == 0);
    }
    MUST(i == n);
}

static void answers(struct span body, uint32_t n)
{
    for (uint32_t d = 0; d < DIALECT_COUNT; d++)
        for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
            const struct embed_api *api = embed_api_find(dialect_all[d], models[m]);
            struct span vectors[TEXTS];
            struct chat_ctx ctx;
            int64_t tokens;
            if (!api) continue;
            const uint32_t k = n < api->texts_max ? n : api->texts_max;
            const struct arena_mark mark = arena_mark(&world.arena);
            chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
            if (api->decode(&ctx, body, k, vectors, &tokens) == RW_OK)
                for (uint32_t i = 0; i < k; i++) item(vectors[i]);
            arena_rewind(&world.arena, mark);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (!world.pool.budget) story_open(&world);
    const struct span body = span_of(fuzz_flush(0, data, size), size);
    if (!chat_is_object(body)) return 0;
    requests(body);
    for (uint32_t n = 1; n <= 3; n++) answers(body, n);
    return 0;
}
