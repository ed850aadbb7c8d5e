// Whole bodies, of clients and of hostile providers, in every dialect: what is decoded is encoded into every dialect as valid
// JSON, in every mode; what a decoder refused has a reason.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/story.h"

static struct story_world world;

static const struct dialect *const invoke[] = {&dialect_invoke_claude, &dialect_invoke_nova,
                                               &dialect_invoke_titan};

static void check_out(struct json_out *o, enum rw_err err)
{
    if (err) return;
    const struct span text = json_out_flat(o);
    MUST(!text.p || chat_is_object(text));
}

static void request(const struct dialect *from, struct span body)
{
    static const struct span models[] = {SPAN_INIT("claude-3-haiku-20240307"), SPAN_INIT("m"),
                                         SPAN_INIT("claude-opus-4-5")};
    for (uint32_t d = 0; d < DIALECT_COUNT; d++)
        for (uint32_t mode = 0; mode < 3; mode++) {
            const struct arena_mark mark = arena_mark(&world.arena);
            struct chat_ctx ctx;
            struct chat_request rq;
            struct json_out o;
            const struct dialect_target target = {.model = models[mode], .max_output = 100 * mode};
            chat_ctx_init(&ctx, &world.arena, (enum chat_mode)mode);
            enum rw_err err = from->decode_request(&ctx, body, &rq);
            MUST(err != RW_E_BAD || ctx.problem.text.n);
            if (err == RW_OK) {
                json_out_init(&o, &world.arena);
                err = dialect_all[d]->encode_request(&ctx, &rq, &target, &o);
                MUST(err != RW_E_BAD || ctx.problem.text.n);
                check_out(&o, err);
            }
            char text[64];
            MUST(chat_losses_text(&ctx.losses, text, sizeof text) <= sizeof text);
            arena_rewind(&world.arena, mark);
        }
}

static void answer(const struct dialect *from, struct span body)
{
    const struct dialect_reply reply = {.id = SPAN("r"), .legacy_functions = body.n & 1};
    for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
        const struct arena_mark mark = arena_mark(&world.arena);
        struct chat_ctx ctx;
        struct chat_answer a;
        struct json_out o;
        chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
        ctx.json_tool = body.n & 2;
        if (dialect_answer(&ctx, from, body, &a) == RW_OK) {
            json_out_init(&o, &world.arena);
            check_out(&o, dialect_all[d]->encode_answer(&ctx, &a, &reply, &o));
            for (uint32_t i = 0; i < 3 && d == 0; i++) {
                json_out_init(&o, &world.arena);
                check_out(&o, invoke[i]->encode_answer(&ctx, &a, &reply, &o));
            }
        }
        struct chat_error error;
        from->decode_error(&ctx, 400, body, &error);
        json_out_init(&o, &world.arena);
        MUST(dialect_all[d]->encode_error(&error, &reply, &o) >= 400);
        check_out(&o, json_out_done(&o));
        arena_rewind(&world.arena, mark);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (!world.pool.budget) story_open(&world);
    const struct span body = span_of(fuzz_flush(0, data, size), size);
    // Only what was scanned comes to a decoder.
    if (!chat_is_object(body)) return 0;
    for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
        request(dialect_all[d], body);
        answer(dialect_all[d], body);
    }
    for (uint32_t d = 0; d < 3; d++) {
        request(invoke[d], body);
        answer(invoke[d], body);
    }
    return 0;
}
