// Stories: what a request, an answer or a stream says, as text, without what dialects write differently (ids, the form of a
// list, where a system text stands). Two texts are the same if a translation kept the meaning. Also the memory that codecs
// need, and the fixtures of tests/data/contracts.
#ifndef RINGWAY_TESTS_LIB_STORY_H
#define RINGWAY_TESTS_LIB_STORY_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "providers/dialect_priv.h"

#define STORY_MAX (256 * 1024)

// --- Memory.

struct story_world {
    struct budget budget;
    struct arena_pool pool;
    struct arena arena, scratch, files;
};

static inline void story_open(struct story_world *w)
{
    w->budget = (struct budget){.limit = INT64_C(1) << 30};
    arena_pool_init(&w->pool, &w->budget, 64);
    arena_init(&w->arena, &w->pool, 64 << 20);
    arena_init(&w->scratch, &w->pool, 64 << 20);
    arena_init(&w->files, &w->pool, 512 << 20);
}

static inline void story_close(struct story_world *w)
{
    arena_done(&w->arena);
    arena_done(&w->scratch);
    arena_done(&w->files);
    arena_pool_done(&w->pool);
    MUST(w->budget.used == 0);
}

// --- Fixtures. What is read stays until the world is closed.

static inline struct span story_file(struct story_world *w, const char *folder, const char *name)
{
    char path[512];
    if (snprintf(path, sizeof path, "tests/data/contracts/%s/%s", folder, name) >= (int)sizeof path) abort();
    FILE *f = fopen(path, "rb");
    if (!f) return (struct span){NULL, 0};
    MUST(fseek(f, 0, SEEK_END) == 0);
    const long size = ftell(f);
    MUST(size >= 0 && fseek(f, 0, SEEK_SET) == 0);
    uint8_t *p = arena_alloc(&w->files, (uint32_t)size);
    MUST(p && fread(p, 1, (size_t)size, f) == (size_t)size);
    fclose(f);
    return span_of(p, (size_t)size);
}

#define STORY_FILES_MAX 128

// The names in a folder that end so, sorted; returns their number.
static inline uint32_t story_files(const char *folder, const char *ending, char (*names)[64])
{
    char path[512];
    uint32_t n = 0;
    snprintf(path, sizeof path, "tests/data/contracts/%s", folder);
    DIR *d = opendir(path);
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d));) {
        const size_t k = strlen(e->d_name), m = strlen(ending);
        if (k < m || strcmp(e->d_name + k - m, ending) != 0 || k >= 64) continue;
        MUST(n < STORY_FILES_MAX);
        memcpy(names[n++], e->d_name, k + 1);
    }
    closedir(d);
    qsort(names, n, 64, (int (*)(const void *, const void *))strcmp);
    return n;
}

// --- Text.

struct story {
    struct fmt f;
    const char *open; // kind of the open line, to join pieces
    bool half;
};

static inline void story_begin(struct story *s, char *room)
{
    *s = (struct story){0};
    fmt_init(&s->f, room, STORY_MAX);
}

static inline void story_text(struct story *s, const char *kind, struct span text)
{
    if (!s->open || strcmp(s->open, kind) != 0) {
        if (s->open) fmt_char(&s->f, '\n');
        fmt_str(&s->f, kind);
        fmt_str(&s->f, ": ");
        s->open = kind;
    }
    fmt_span(&s->f, text);
}

static inline void story_end_line(struct story *s)
{
    if (s->open) fmt_char(&s->f, '\n');
    s->open = NULL;
}

static inline void story_line(struct story *s, const char *kind, struct span text)
{
    story_end_line(s);
    story_text(s, kind, text);
    story_end_line(s);
}

static inline struct span story_whole(struct story *s)
{
    story_end_line(s);
    MUST(!s->f.overflow);
    return fmt_text(&s->f);
}

static inline void story_part(struct story *s, struct chat_ctx *ctx, const struct chat_part *p,
                              const char *who)
{
    switch (p->kind) {
    case CHAT_TEXT:
        if (p->text.n) story_text(s, who, p->text);
        break;
    case CHAT_REFUSAL: story_text(s, "refusal", p->text); break;
    case CHAT_THINKING: story_text(s, "thinking", p->text); break;
    case CHAT_IMAGE:
    case CHAT_AUDIO:
    case CHAT_DOCUMENT:
        if (p->media.source == CHAT_PLAIN) {
            story_text(s, who, p->media.data);
            break;
        }
        story_line(s, "media", p->media.type);
        story_line(s, "data", p->media.data);
        break;
    case CHAT_TOOL_CALL:
        story_line(s, "call", p->name);
        story_line(s, "arguments", chat_compact(ctx, p->arguments.n ? p->arguments : SPAN("{}")));
        break;
    case CHAT_TOOL_RESULT:
        story_end_line(s);
        if (p->failed) story_text(s, "result", SPAN("Error: "));
        for (const struct chat_part *c = p->content; c; c = c->next)
            if (c->kind == CHAT_TEXT) story_text(s, "result", c->text);
        story_end_line(s);
        break;
    default: break;
    }
}

static inline void story_media_of_results(struct story *s, struct chat_ctx *ctx, const struct chat_message *m)
{
    for (const struct chat_part *p = m->parts; p; p = p->next)
        for (const struct chat_part *c = p->content; c; c = c->next)
            if (c->kind != CHAT_TEXT) story_part(s, ctx, c, "user");
}

// What is asked: system texts first, then the turns, tools, and what shapes the answer.
static inline struct span story_request(struct chat_ctx *ctx, const struct chat_request *rq, char *room)
{
    static const char *const who[] = {"system", "system", "user", "assistant", "tool"};
    struct story s;
    story_begin(&s, room);
    for (int pass = 0; pass < 2; pass++)
        for (const struct chat_message *m = rq->messages; m; m = m->next) {
            if ((m->role <= CHAT_DEVELOPER) != (pass == 0)) continue;
            story_end_line(&s);
            for (const struct chat_part *p = m->parts; p; p = p->next) {
                const struct span note = SPAN("Attached to the result of tool call ");
                if (p->kind == CHAT_TEXT && span_starts(p->text, note)) continue;
                story_part(&s, ctx, p, who[m->role]);
            }
            if (m->role == CHAT_TOOL) story_media_of_results(&s, ctx, m);
        }
    for (const struct chat_tool *t = rq->tools; t; t = t->next) {
        story_line(&s, "tool", t->name);
        story_line(&s, "about", t->description);
        story_line(&s, "schema", chat_compact(ctx, t->schema));
    }
    if (rq->tool_choice.kind > CHAT_CHOICE_AUTO)
        story_line(&s, "choice", chat_format(ctx, "%", rq->tool_choice.kind, 0, 0));
    if (rq->tool_choice.name.n) story_line(&s, "named", rq->tool_choice.name);
    if (rq->parallel_tools == CHAT_NO) story_line(&s, "parallel", SPAN("no"));
    if (rq->format.kind == CHAT_FORMAT_SCHEMA) story_line(&s, "format", chat_compact(ctx, rq->format.schema));
    if (chat_has(rq->max_tokens)) story_line(&s, "max", rq->max_tokens);
    if (chat_has(rq->temperature)) story_line(&s, "temperature", rq->temperature);
    for (const struct chat_name *n = rq->stop; n; n = n->next) story_line(&s, "stop", n->name);
    story_line(&s, "stream", rq->stream ? SPAN("yes") : SPAN("no"));
    return story_whole(&s);
}

// Finish reasons that dialects tell apart and others do not are one word here.
static inline const char *story_finish(enum chat_finish f)
{
    if (f == CHAT_FINISH_STOP_SEQUENCE || f == CHAT_FINISH_PAUSE) f = CHAT_FINISH_STOP;
    if (f == CHAT_FINISH_CONTEXT) f = CHAT_FINISH_LENGTH;
    if (f == CHAT_FINISH_REFUSAL) f = CHAT_FINISH_FILTER;
    return chat_finish_name(f);
}

static inline void story_usage(struct story *s, const struct chat_usage *u)
{
    char text[64];
    snprintf(text, sizeof text, "%lld %lld", (long long)(u->input > 0 ? u->input : 0),
             (long long)(u->output > 0 ? u->output : 0));
    story_line(s, "usage", span_str(text));
}

static inline struct span story_answer(struct chat_ctx *ctx, const struct chat_answer *a, char *room)
{
    struct story s;
    story_begin(&s, room);
    for (const struct chat_choice *c = a->choices; c; c = c->next) {
        story_end_line(&s);
        for (const struct chat_part *p = c->parts; p; p = p->next) {
            // A refusal is text where there is no word for it.
            struct chat_part q = *p;
            if (q.kind == CHAT_REFUSAL) q.kind = CHAT_TEXT;
            story_part(&s, ctx, &q, "text");
        }
        story_line(&s, "finish", span_str(story_finish(c->finish)));
    }
    story_usage(&s, &a->usage);
    return story_whole(&s);
}

// --- Streams: one story for what was pushed, however it was cut.

#define STORY_CALLS_MAX 16

struct story_stream {
    struct story s;
    char room[STORY_MAX];
    char text[DIALECT_CHOICES_MAX][8192], thinking[8192], refusal[8192];
    char call[DIALECT_CHOICES_MAX][STORY_CALLS_MAX][2048];
    enum chat_finish finish[DIALECT_CHOICES_MAX];
    uint32_t calls[DIALECT_CHOICES_MAX], ended, choices;
    uint32_t done, errors, starts;
    struct chat_usage usage;
    uint64_t trace; // hash of the events as they came
    uint32_t events;
    char error[64];
};

static inline void story_append(char *to, size_t cap, struct span text)
{
    const size_t n = strlen(to);
    MUST(n + text.n < cap);
    if (text.n) memcpy(to + n, text.p, text.n);
    to[n + text.n] = 0;
}

static inline void story_trace(struct story_stream *st, struct span text)
{
    for (uint32_t i = 0; i < text.n; i++) st->trace = (st->trace ^ text.p[i]) * UINT64_C(1099511628211);
    st->trace = (st->trace ^ 0x100) * UINT64_C(1099511628211);
}

static inline enum rw_err story_push(void *arg, const struct chat_event *e)
{
    struct story_stream *st = arg;
    MUST(st->done == 0 && st->errors == 0);
    story_trace(st, span_str(chat_event_name(e->kind)));
    story_trace(st, e->text);
    story_trace(st, e->name);
    story_trace(st, e->id);
    st->events++;
    MUST(e->choice < DIALECT_CHOICES_MAX && e->tool < STORY_CALLS_MAX);
    if (e->kind != CHAT_EV_START && e->kind != CHAT_EV_USAGE && e->choice >= st->choices)
        st->choices = e->choice + 1;
    switch (e->kind) {
    case CHAT_EV_START: st->starts++; break;
    case CHAT_EV_TEXT: story_append(st->text[e->choice], sizeof st->text[0], e->text); break;
    case CHAT_EV_REFUSAL: story_append(st->text[e->choice], sizeof st->text[0], e->text); break;
    case CHAT_EV_THINKING: story_append(st->thinking, sizeof st->thinking, e->text); break;
    case CHAT_EV_TOOL_START:
        MUST(e->tool == st->calls[e->choice]); // counted from 0
        st->calls[e->choice]++;
        story_append(st->call[e->choice][e->tool], 2048, e->name);
        story_append(st->call[e->choice][e->tool], 2048, SPAN(" "));
        MUST(e->id.n && e->name.n);
        break;
    case CHAT_EV_TOOL_ARGS:
        MUST(e->tool < st->calls[e->choice]);
        story_append(st->call[e->choice][e->tool], 2048, e->text);
        break;
    case CHAT_EV_FINISH:
        MUST(st->finish[e->choice] == CHAT_FINISH_NONE && e->finish != CHAT_FINISH_NONE);
        st->finish[e->choice] = e->finish;
        break;
    case CHAT_EV_USAGE: st->usage = *e->usage; break;
    case CHAT_EV_DONE: st->done++; break;
    case CHAT_EV_ERROR:
        st->errors++;
        snprintf(st->error, sizeof st->error, "%s", chat_error_name(e->error->kind));
        break;
    default: break;
    }
    return RW_OK;
}

static inline void story_stream_begin(struct story_stream *st)
{
    memset(st, 0, sizeof *st);
    chat_usage_init(&st->usage);
}

static inline struct span story_stream_whole(struct story_stream *st)
{
    struct story s;
    story_begin(&s, st->room);
    for (uint32_t i = 0; i < st->choices; i++) {
        if (st->thinking[0] && i == 0) story_line(&s, "thinking", span_str(st->thinking));
        if (st->text[i][0]) story_line(&s, "text", span_str(st->text[i]));
        for (uint32_t k = 0; k < st->calls[i]; k++) story_line(&s, "call", span_str(st->call[i][k]));
        if (st->finish[i]) story_line(&s, "finish", span_str(story_finish(st->finish[i])));
    }
    if (st->errors) story_line(&s, "error", SPAN(""));
    if (st->done) {
        story_usage(&s, &st->usage);
        story_line(&s, "done", SPAN(""));
    }
    return story_whole(&s);
}

#endif
