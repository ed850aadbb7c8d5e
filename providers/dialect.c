// See dialect.h: the list of dialects, and the pipe from a provider's stream to a client's.
#include "providers/dialect.h"

#include "providers/dialect_priv.h"

#define X(name) &dialect_##name,
const struct dialect *const dialect_all[DIALECT_COUNT] = {DIALECTS(X)};
#undef X

const struct dialect *dialect_find(struct span name)
{
    for (uint32_t i = 0; i < DIALECT_COUNT; i++)
        if (span_eq(span_str(dialect_all[i]->name), name)) return dialect_all[i];
    return NULL;
}

enum rw_err dialect_answer(struct chat_ctx *ctx, const struct dialect *from, struct span body,
                           struct chat_answer *ret)
{
    RW_TRY(from->decode_answer(ctx, body, ret));
    if (!ctx->json_tool) return RW_OK;
    for (struct chat_choice *c = ret->choices; c; c = c->next)
        for (struct chat_part *p = c->parts; p; p = p->next) {
            if (p->kind != CHAT_TOOL_CALL || !span_eq(p->name, CHAT_JSON_TOOL)) continue;
            p->kind = CHAT_TEXT;
            p->text = chat_compact(ctx, p->arguments);
            if (c->finish == CHAT_FINISH_TOOLS) c->finish = CHAT_FINISH_STOP;
        }
    return RW_OK;
}

void chat_writer_init(struct chat_writer *w, const struct dialect *dialect, struct chat_ctx *ctx,
                      struct arena *scratch, const struct dialect_reply *reply)
{
    *w = (struct chat_writer){.dialect = dialect, .ctx = ctx, .scratch = scratch, .reply = reply};
    chat_usage_init(&w->usage);
}

// --- The pipe. The start is held back until there is something to say: before that another target may still be asked.

static enum rw_err begin(struct dialect_pipe *p)
{
    if (p->begun) return RW_OK;
    p->begun = true;
    p->start.kind = CHAT_EV_START;
    return p->writer.dialect->write(&p->writer, &p->start);
}

// The call that stands for structured output becomes the answer's text.
static bool unwrap(struct dialect_pipe *p, const struct chat_event *e, struct chat_event *ret)
{
    *ret = *e;
    switch (e->kind) {
    case CHAT_EV_TOOL_START:
        if (!span_eq(e->name, CHAT_JSON_TOOL)) return true;
        p->json_call = e->tool + 1;
        return false;
    case CHAT_EV_TOOL_ARGS:
        if (e->tool + 1 == p->json_call) ret->kind = CHAT_EV_TEXT;
        return true;
    case CHAT_EV_TOOL_END: return e->tool + 1 != p->json_call;
    case CHAT_EV_FINISH:
        if (p->json_call && e->finish == CHAT_FINISH_TOOLS) ret->finish = CHAT_FINISH_STOP;
        return true;
    default: return true;
    }
}

static enum rw_err take(void *arg, const struct chat_event *e)
{
    struct dialect_pipe *p = arg;
    struct chat_event other;
    if (p->writer.ctx->json_tool) {
        if (!unwrap(p, e, &other)) return RW_OK;
        e = &other;
    }
    switch (e->kind) {
    case CHAT_EV_START: p->start = *e; return RW_OK;
    case CHAT_EV_USAGE:
        p->usage = *e->usage;
        return p->begun ? p->writer.dialect->write(&p->writer, e) : RW_OK;
    case CHAT_EV_ERROR:
        p->failed = true;
        p->error = *e->error;
        p->error.message = arena_copy(p->writer.ctx->arena, p->error.message);
        p->error.code = arena_copy(p->writer.ctx->arena, p->error.code);
        p->error.param = arena_copy(p->writer.ctx->arena, p->error.param);
        return p->begun ? p->writer.dialect->write(&p->writer, e) : RW_OK;
    case CHAT_EV_FINISH: p->finished = true; break;
    case CHAT_EV_DONE: p->done = true; break;
    default: p->content = true; break;
    }
    RW_TRY(begin(p));
    return p->writer.dialect->write(&p->writer, e);
}

void dialect_pipe_init(struct dialect_pipe *p, const struct dialect *from, const struct dialect *to,
                       struct chat_ctx *ctx, struct arena *scratch, const struct dialect_reply *reply)
{
    memset(p, 0, sizeof *p);
    chat_reader_init(&p->reader, from, ctx, scratch, take, p);
    chat_writer_init(&p->writer, to, ctx, scratch, reply);
    chat_usage_init(&p->usage);
    p->start.usage = &p->reader.usage;
    p->start.created_s = -1;
}

enum rw_err dialect_pipe_feed(struct dialect_pipe *p, struct span piece, struct json_out *out)
{
    p->writer.out = out;
    RW_TRY(chat_reader_feed(&p->reader, piece));
    return json_out_done(out);
}

enum rw_err dialect_pipe_end(struct dialect_pipe *p, struct json_out *out)
{
    p->writer.out = out;
    RW_TRY(chat_reader_end(&p->reader));
    return json_out_done(out);
}

enum rw_err dialect_pipe_fail(struct dialect_pipe *p, const struct chat_error *error, struct json_out *out)
{
    p->writer.out = out;
    p->failed = true;
    const struct chat_event e = {.kind = CHAT_EV_ERROR, .error = error};
    RW_TRY(p->writer.dialect->write(&p->writer, &e));
    return json_out_done(out);
}
