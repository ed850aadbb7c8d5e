// See chat.h: the context of a translation, losses, and small words about the model.
#include "providers/chat.h"

#include "providers/dialect_priv.h"

void chat_ctx_init(struct chat_ctx *ctx, struct arena *arena, enum chat_mode mode)
{
    *ctx = (struct chat_ctx){.arena = arena, .mode = mode};
}

void *chat_alloc(struct chat_ctx *ctx, uint32_t bytes)
{
    void *p = arena_alloc(ctx->arena, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

// --- Losses and refusals.

enum rw_err chat_refuse(struct chat_ctx *ctx, struct span name, struct span text)
{
    ctx->problem = (struct chat_problem){.param = name, .text = text, .unsupported = true};
    return RW_E_BAD;
}

enum rw_err chat_drop(struct chat_ctx *ctx, struct span name)
{
    if (ctx->mode == CHAT_STRICT)
        return chat_refuse(ctx, name, SPAN("This field cannot be translated for the model that was asked."));
    struct chat_losses *l = &ctx->losses;
    for (uint32_t i = 0; i < l->n; i++)
        if (span_eq(l->name[i], name)) return RW_OK;
    if (l->n < CHAT_LOSSES_MAX) l->name[l->n++] = name;
    else l->more = true;
    return RW_OK;
}

enum rw_err chat_refuse_soft(struct chat_ctx *ctx, struct span name, struct span text)
{
    return ctx->mode == CHAT_LENIENT ? chat_drop(ctx, name) : chat_refuse(ctx, name, text);
}

struct span chat_format(struct chat_ctx *ctx, const char *format, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t numbers[] = {a, b, c}, cap = (uint32_t)strlen(format) + 3 * FMT_U64_BYTES;
    char *text = arena_alloc(ctx->arena, cap);
    struct fmt f;
    uint32_t k = 0;
    fmt_init(&f, text, text ? cap : 0);
    for (; *format; format++) {
        if (*format != '%') fmt_char(&f, *format);
        else fmt_u64(&f, numbers[k < 2 ? k : 2]);
        k += *format == '%';
    }
    return fmt_text(&f);
}

enum rw_err chat_bad(struct chat_ctx *ctx, struct span text, const char *format, uint32_t a, uint32_t b,
                     uint32_t c)
{
    const struct span param = chat_format(ctx, format, a, b, c);
    ctx->problem = (struct chat_problem){.param = param, .text = text};
    return RW_E_BAD;
}

// A name may come from the client: what no header can hold is left out of it.
static void header_name(struct fmt *f, struct span name)
{
    for (uint32_t i = 0; i < name.n; i++) {
        const uint8_t c = name.p[i];
        fmt_char(f, c > ' ' && c < 0x7f && c != ',' ? (char)c : '_');
    }
}

uint32_t chat_losses_text(const struct chat_losses *losses, char *out, uint32_t cap)
{
    struct fmt f;
    fmt_init(&f, out, cap);
    for (uint32_t i = 0; i < losses->n; i++) {
        const uint32_t before = f.n;
        if (i) fmt_str(&f, ", ");
        header_name(&f, losses->name[i]);
        if (f.overflow || cap - f.n < 5) {
            f.n = before;
            f.overflow = false;
            fmt_str(&f, ", ...");
            return f.n;
        }
    }
    if (losses->more) fmt_str(&f, ", ...");
    return f.n;
}

// --- Usage.

void chat_usage_init(struct chat_usage *usage)
{
    *usage = (struct chat_usage){.input = -1,
                                 .output = -1,
                                 .cached = -1,
                                 .cache_write = -1,
                                 .cache_write_1h = -1,
                                 .reasoning = -1,
                                 .audio_input = -1,
                                 .audio_output = -1,
                                 .prediction_used = -1,
                                 .prediction_wasted = -1};
}

void chat_usage_take(struct chat_usage *usage, const struct chat_usage *from)
{
#define TAKE(field) \
    if (from->field >= 0) usage->field = from->field
    TAKE(input);
    TAKE(output);
    TAKE(cached);
    TAKE(cache_write);
    TAKE(cache_write_1h);
    TAKE(reasoning);
    TAKE(audio_input);
    TAKE(audio_output);
    TAKE(prediction_used);
    TAKE(prediction_wasted);
#undef TAKE
    if (from->service_tier.n) usage->service_tier = from->service_tier;
    if (from->extra) usage->extra = from->extra;
}

// --- Names.

const char *chat_event_name(enum chat_event_kind kind)
{
    static const char *const names[] = {"start",     "text",     "thinking", "signature", "tool_signature",
                                        "redacted",  "refusal",  "citation", "logprobs",  "tool_start",
                                        "tool_args", "tool_end", "raw",      "finish",    "usage",
                                        "done",      "error"};
    return names[kind];
}

const char *chat_error_name(enum chat_error_kind kind)
{
    return chat_error_table[kind].name;
}

const char *chat_finish_name(enum chat_finish finish)
{
    static const char *const names[] = {"none",  "stop",   "stop_sequence", "length", "context",
                                        "tools", "filter", "refusal",       "pause",  "malformed"};
    return names[finish];
}

const struct span chat_effort_names[CHAT_EFFORT_COUNT] = {
    SPAN_INIT(""),       SPAN_INIT("none"), SPAN_INIT("minimal"), SPAN_INIT("low"),
    SPAN_INIT("medium"), SPAN_INIT("high"), SPAN_INIT("xhigh"),   SPAN_INIT("max")};

enum chat_effort chat_effort_of(struct span name)
{
    for (uint32_t i = CHAT_EFFORT_NONE; i < CHAT_EFFORT_COUNT; i++)
        if (span_eq(name, chat_effort_names[i])) return (enum chat_effort)i;
    return CHAT_EFFORT_UNSAID;
}

enum chat_effort chat_effort_of_budget(int64_t budget)
{
    if (budget < 0) return CHAT_EFFORT_UNSAID;
    if (budget == 0) return CHAT_EFFORT_NONE;
    if (budget <= 1024) return CHAT_EFFORT_LOW;
    return budget <= 8192 ? CHAT_EFFORT_MEDIUM : CHAT_EFFORT_HIGH;
}

uint32_t chat_claude_version(struct span model)
{
    const struct span mark = SPAN("claude-");
    while (model.n && !span_starts(model, mark)) model = span_from(model, 1);
    if (!model.n) return 0;
    struct span rest = span_from(model, mark.n), word;
    uint64_t v;
    uint32_t version = 0;
    while (span_split(&rest, '-', &word)) {
        word.n = span_find(word, '@');
        if (word.n > 2 || !span_u64(word, &v)) {
            if (version) break;
            continue;
        }
        if (version) return version + (uint32_t)v;
        version = (uint32_t)v * 100;
    }
    return version;
}

struct span chat_clamp(struct span number, double high, struct span literal)
{
    double v;
    return chat_has(number) && json_double(number, &v) && v > high ? literal : number;
}
