// See chat_fold.h.
#include "providers/chat_fold.h"

#include "providers/dialect_priv.h"

struct fold_part {
    struct chat_part part; // its text or arguments are set at the end
    struct fold_part *next;
    uint8_t *text;
    uint32_t n, cap;
    uint32_t tool;
};

struct fold_choice {
    struct chat_choice choice;
    struct fold_part *first, *last;
    bool begun;
};

struct fold {
    struct chat_ctx *ctx;
    struct chat_answer *answer;
    struct fold_choice choice[DIALECT_CHOICES_MAX];
    bool done;
};

static struct span keep(const struct fold *f, struct span s)
{
    return s.n ? arena_copy(f->ctx->arena, s) : s;
}

static struct fold_part *part_add(const struct fold *f, struct fold_choice *c, enum chat_part_kind kind)
{
    struct fold_part *p = chat_alloc(f->ctx, sizeof *p);
    if (!p) return NULL;
    p->part.kind = kind;
    if (c->last) c->last->next = p;
    else c->first = p;
    c->last = p;
    return p;
}

static enum rw_err append(const struct fold *f, struct fold_part *p, struct span text)
{
    if (text.n > p->cap - p->n) {
        uint64_t cap = p->cap ? p->cap : 256;
        while (cap < (uint64_t)p->n + text.n) cap *= 2;
        uint8_t *more = cap <= UINT32_MAX ? arena_alloc(f->ctx->arena, (uint32_t)cap) : NULL;
        if (!more) return RW_E_TOO_LARGE;
        if (p->n) memcpy(more, p->text, p->n);
        p->text = more;
        p->cap = (uint32_t)cap;
    }
    if (text.n) memcpy(p->text + p->n, text.p, text.n);
    p->n += text.n;
    return RW_OK;
}

// More of what the choice is saying, or the beginning of something else.
static enum rw_err say(const struct fold *f, struct fold_choice *c, enum chat_part_kind kind,
                       struct span text)
{
    struct fold_part *p = c->last;
    if (!p || p->part.kind != kind || p->part.signature.n) p = part_add(f, c, kind);
    return p ? append(f, p, text) : RW_E_TOO_LARGE;
}

static struct fold_part *call_of(const struct fold_choice *c, uint32_t tool)
{
    struct fold_part *p = c->first;
    while (p && (p->part.kind != CHAT_TOOL_CALL || p->tool != tool)) p = p->next;
    return p;
}

static enum rw_err call_begin(const struct fold *f, struct fold_choice *c, const struct chat_event *e)
{
    struct fold_part *p = part_add(f, c, CHAT_TOOL_CALL);
    if (!p) return RW_E_TOO_LARGE;
    p->tool = e->tool;
    p->part.id = keep(f, e->id);
    p->part.name = keep(f, e->name);
    return RW_OK;
}

static enum rw_err sign(const struct fold *f, struct fold_part *p, struct span proof)
{
    if (!p) return RW_E_BAD;
    p->part.signature = keep(f, proof);
    return RW_OK;
}

static enum rw_err of_choice(const struct fold *f, struct fold_choice *c, const struct chat_event *e)
{
    struct fold_part *p;
    c->begun = true;
    switch (e->kind) {
    case CHAT_EV_TEXT: return say(f, c, CHAT_TEXT, e->text);
    case CHAT_EV_THINKING: return say(f, c, CHAT_THINKING, e->text);
    case CHAT_EV_REFUSAL: return say(f, c, CHAT_REFUSAL, e->text);
    case CHAT_EV_SIGNATURE:
        p = c->last && c->last->part.kind == CHAT_THINKING ? c->last : part_add(f, c, CHAT_THINKING);
        return sign(f, p, e->text);
    case CHAT_EV_REDACTED: return sign(f, part_add(f, c, CHAT_REDACTED), e->text);
    case CHAT_EV_TOOL_START: return call_begin(f, c, e);
    case CHAT_EV_TOOL_SIGNATURE: return sign(f, call_of(c, e->tool), e->text);
    case CHAT_EV_TOOL_ARGS: p = call_of(c, e->tool); return p ? append(f, p, e->text) : RW_E_BAD;
    case CHAT_EV_TOOL_END: return RW_OK;
    case CHAT_EV_FINISH:
        c->choice.finish = e->finish;
        c->choice.finish_raw = keep(f, e->finish_raw);
        c->choice.stop_sequence = keep(f, e->stop_sequence);
        c->choice.explanation = keep(f, e->explanation);
        return RW_OK;
    default: return RW_E_BAD;
    }
}

static enum rw_err push(void *arg, const struct chat_event *e)
{
    struct fold *f = arg;
    switch (e->kind) {
    case CHAT_EV_START:
        f->answer->id = keep(f, e->id);
        f->answer->model = keep(f, e->model);
        f->answer->created_s = e->created_s;
        return RW_OK;
    case CHAT_EV_USAGE:
        chat_usage_take(&f->answer->usage, e->usage);
        // These live only as long as the event.
        f->answer->usage.extra = NULL;
        f->answer->usage.service_tier = (struct span){NULL, 0};
        return RW_OK;
    case CHAT_EV_DONE: f->done = true; return RW_OK;
    case CHAT_EV_ERROR: return RW_E_BAD;
    default: return e->choice < DIALECT_CHOICES_MAX ? of_choice(f, &f->choice[e->choice], e) : RW_E_BAD;
    }
}

static void finish(struct fold *f)
{
    struct chat_choice **to = &f->answer->choices;
    for (uint32_t i = 0; i < DIALECT_CHOICES_MAX; i++) {
        struct fold_choice *c = &f->choice[i];
        if (!c->begun) continue;
        struct chat_part **part = &c->choice.parts;
        for (struct fold_part *p = c->first; p; p = p->next) {
            const struct span text = span_of(p->text, p->n);
            if (p->part.kind == CHAT_TOOL_CALL) p->part.arguments = text;
            else p->part.text = text;
            *part = &p->part;
            part = &p->part.next;
        }
        c->choice.index = i;
        *to = &c->choice;
        to = &c->choice.next;
    }
}

enum rw_err chat_fold(struct chat_ctx *ctx, struct arena *scratch, const struct dialect *dialect,
                      struct span stream, struct chat_answer *ret)
{
    struct fold *f = chat_alloc(ctx, sizeof *f);
    struct chat_reader *r = chat_alloc(ctx, sizeof *r);
    if (!f || !r) return RW_E_TOO_LARGE;
    *ret = (struct chat_answer){.dialect = dialect, .created_s = -1};
    chat_usage_init(&ret->usage);
    *f = (struct fold){.ctx = ctx, .answer = ret};
    chat_reader_init(r, dialect, ctx, scratch, push, f);
    enum rw_err err = chat_reader_feed(r, stream);
    if (!err) err = chat_reader_end(r);
    if (err) return err == RW_E_TOO_LARGE ? err : RW_E_BAD;
    finish(f);
    return f->done && ret->choices ? RW_OK : RW_E_BAD;
}

// --- The other way.

static enum rw_err write_call(struct chat_writer *w, const struct chat_part *p, struct chat_event *e)
{
    e->kind = CHAT_EV_TOOL_START;
    e->id = p->id;
    e->name = p->name;
    RW_TRY(w->dialect->write(w, e));
    e->id = e->name = (struct span){NULL, 0};
    e->kind = CHAT_EV_TOOL_ARGS;
    e->text = p->arguments.n ? p->arguments : SPAN("{}");
    RW_TRY(w->dialect->write(w, e));
    if (p->signature.n) {
        e->kind = CHAT_EV_TOOL_SIGNATURE;
        e->text = p->signature;
        RW_TRY(w->dialect->write(w, e));
    }
    e->kind = CHAT_EV_TOOL_END;
    e->text = (struct span){NULL, 0};
    RW_TRY(w->dialect->write(w, e));
    e->tool++;
    return RW_OK;
}

static enum rw_err write_text(struct chat_writer *w, enum chat_event_kind kind, struct span text,
                              const struct chat_event *of)
{
    struct chat_event e = {.kind = kind, .choice = of->choice, .text = text};
    return text.n ? w->dialect->write(w, &e) : RW_OK;
}

static enum rw_err write_part(struct chat_writer *w, const struct chat_part *p, struct chat_event *e)
{
    if (p->extra || p->citations) return RW_E_BAD;
    switch (p->kind) {
    case CHAT_TEXT: return write_text(w, CHAT_EV_TEXT, p->text, e);
    case CHAT_REFUSAL: return write_text(w, CHAT_EV_REFUSAL, p->text, e);
    case CHAT_THINKING:
        RW_TRY(write_text(w, CHAT_EV_THINKING, p->text, e));
        return write_text(w, CHAT_EV_SIGNATURE, p->signature, e);
    case CHAT_REDACTED: return write_text(w, CHAT_EV_REDACTED, p->signature, e);
    case CHAT_TOOL_CALL: return write_call(w, p, e);
    default: return RW_E_BAD;
    }
}

enum rw_err chat_unfold(struct chat_writer *w, const struct chat_answer *a)
{
    struct chat_event e = {
        .kind = CHAT_EV_START, .id = a->id, .model = a->model, .created_s = a->created_s, .usage = &a->usage};
    w->usage = a->usage;
    RW_TRY(w->dialect->write(w, &e));
    for (const struct chat_choice *c = a->choices; c; c = c->next) {
        if (c->logprobs || c->refusal_logprobs || c->finish == CHAT_FINISH_NONE) return RW_E_BAD;
        e = (struct chat_event){.choice = c->index};
        for (const struct chat_part *p = c->parts; p; p = p->next) RW_TRY(write_part(w, p, &e));
        e = (struct chat_event){.kind = CHAT_EV_FINISH,
                                .choice = c->index,
                                .finish = c->finish,
                                .finish_raw = c->finish_raw,
                                .stop_sequence = c->stop_sequence,
                                .explanation = c->explanation};
        RW_TRY(w->dialect->write(w, &e));
    }
    e = (struct chat_event){.kind = CHAT_EV_USAGE, .usage = &a->usage};
    RW_TRY(w->dialect->write(w, &e));
    e.kind = CHAT_EV_DONE;
    return w->dialect->write(w, &e);
}
