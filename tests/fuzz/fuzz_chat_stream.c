// Streams of hostile providers, in every dialect: the events are the same however they are cut; the output of every pair of
// dialects is the same, too; what did not finish is never ended as whole, and nothing follows an error.
#include "tests/fuzz/fuzz.h"
#include "tests/lib/story.h"

static struct story_world world;

struct seen {
    uint64_t hash;
    uint32_t events, done, errors;
    enum rw_err err;
};

static enum rw_err push(void *arg, const struct chat_event *e)
{
    struct seen *s = arg;
    MUST(s->done == 0 && s->errors == 0);
    const struct span parts[] = {span_str(chat_event_name(e->kind)), e->text, e->id, e->name};
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t i = 0; i <= parts[k].n; i++)
            s->hash = (s->hash ^ (i < parts[k].n ? parts[k].p[i] : 256u)) * UINT64_C(1099511628211);
    s->events++;
    s->done += e->kind == CHAT_EV_DONE;
    s->errors += e->kind == CHAT_EV_ERROR;
    return RW_OK;
}

static struct seen decode(const struct dialect *d, struct span text, uint32_t step)
{
    static struct chat_reader r;
    struct seen s = {.hash = 1};
    struct chat_ctx ctx;
    const struct arena_mark mark = arena_mark(&world.arena);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    chat_reader_init(&r, d, &ctx, &world.scratch, push, &s);
    for (uint32_t at = 0; at < text.n && !s.err; at += step) {
        const uint32_t n = text.n - at < step ? text.n - at : step;
        const struct arena_mark event = arena_mark(&world.scratch);
        s.err = chat_reader_feed(&r, span_of(fuzz_flush(1, text.p + at, n), n));
        arena_rewind(&world.scratch, event);
    }
    if (!s.err) s.err = chat_reader_end(&r);
    MUST(s.err || s.done + s.errors == 1);
    arena_rewind(&world.arena, mark);
    return s;
}

static uint64_t pipe_all(const struct dialect *from, const struct dialect *to, struct span text,
                         uint32_t step, enum rw_err *ret)
{
    static struct dialect_pipe p;
    const struct dialect_reply reply = {.id = SPAN("r"), .usage_wanted = text.n & 1};
    struct chat_ctx ctx;
    uint64_t hash = 1;
    const struct arena_mark mark = arena_mark(&world.arena);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    ctx.json_tool = text.n & 2;
    dialect_pipe_init(&p, from, to, &ctx, &world.scratch, &reply);
    *ret = RW_OK;
    for (uint32_t at = 0; !*ret && at <= text.n; at += step) {
        const uint32_t n = text.n - at < step ? text.n - at : step;
        const struct arena_mark event = arena_mark(&world.scratch);
        struct json_out o;
        json_out_init(&o, &world.scratch);
        if (n) *ret = dialect_pipe_feed(&p, (struct span){text.p + at, n}, &o);
        if (!*ret && at + n == text.n) *ret = dialect_pipe_end(&p, &o);
        for (uint32_t i = 0; i < o.iov_n; i++)
            for (size_t k = 0; k < o.iov[i].iov_len; k++)
                hash = (hash ^ ((uint8_t *)o.iov[i].iov_base)[k]) * UINT64_C(1099511628211);
        arena_rewind(&world.scratch, event);
        if (at + n == text.n) break;
    }
    MUST(!p.done || p.finished);
    arena_rewind(&world.arena, mark);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_BYTES_MAX) return 0;
    if (!world.pool.budget) story_open(&world);
    const struct span text = span_of(fuzz_flush(0, data, size), size);
    const uint32_t step = 1 + fuzz_number(data, size, 0, text.n + 1);
    for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
        const struct dialect *from = dialect_all[d];
        const struct seen whole = decode(from, text, text.n + 1), cut = decode(from, text, step),
                          ones = text.n < 300 ? decode(from, text, 1) : whole;
        MUST(whole.hash == cut.hash && whole.events == cut.events && whole.err == cut.err);
        MUST(whole.hash == ones.hash && whole.events == ones.events && whole.err == ones.err);
        if (!whole.events) continue;
        for (uint32_t k = 0; k < DIALECT_COUNT; k++) {
            enum rw_err a, b;
            const uint64_t one = pipe_all(from, dialect_all[k], text, text.n + 1, &a);
            MUST(pipe_all(from, dialect_all[k], text, step, &b) == one || a);
            MUST(a == b);
        }
    }
    return 0;
}
