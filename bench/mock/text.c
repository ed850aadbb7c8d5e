// See mock.h: growing texts, and the options of a model name.
#include <stdarg.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "bench/mock/mock.h"

void text_add(struct text *t, const void *p, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 1024;
        while (cap < t->n + n + 1) cap *= 2;
        t->p = realloc(t->p, cap);
        MUST(t->p);
        t->cap = cap;
    }
    if (n) memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
}

void text_fill(struct text *t, char c, size_t n)
{
    char piece[256];
    memset(piece, c, sizeof piece);
    for (; n > 0; n -= n < sizeof piece ? n : sizeof piece)
        text_add(t, piece, n < sizeof piece ? n : sizeof piece);
}

void text_str(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_format(struct text *t, const char *format, ...)
{
    char buf[1024];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(buf, sizeof buf, format, args);
    va_end(args);
    MUST(n >= 0 && (size_t)n < sizeof buf);
    text_add(t, buf, (size_t)n);
}

void text_json(struct text *t, const char *p, size_t n)
{
    char *buf = malloc(FMT_JSON_BYTES(n));
    MUST(buf);
    struct fmt f;
    fmt_init(&f, buf, (uint32_t)FMT_JSON_BYTES(n));
    fmt_json_string(&f, span_of(p, n));
    text_add(t, buf, f.n);
    free(buf);
}

void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

// --- Options.

static int64_t duration_of(const char *v)
{
    char *end;
    const double d = strtod(v, &end);
    const double unit = strcmp(end, "us") == 0 ? 1e3 : strcmp(end, "s") == 0 ? 1e9 : 1e6;
    return (int64_t)(d * unit);
}

static void copy_word(char *to, size_t cap, const char *v)
{
    snprintf(to, cap, "%s", v);
}

struct flag {
    const char *name;
    size_t at;
};
#define FLAG(name, member) \
    { \
        name, offsetof(struct options, member) \
    }
static const struct flag flags[] = {
    FLAG("nousage", nousage),
    FLAG("floatonly", floatonly),
    FLAG("n2", n2),
    FLAG("logprobs", logprobs),
    FLAG("echo-body", echo_body),
    FLAG("lean", lean),
    FLAG("close", close),
    FLAG("silent", silent),
    FLAG("badjson", badjson),
    FLAG("html", html),
    FLAG("empty", empty),
    FLAG("errorbody", errorbody),
    FLAG("badevent", badevent),
    FLAG("doublelength", doublelength),
    FLAG("bothlengths", bothlengths),
    FLAG("badchunk", badchunk),
    FLAG("endless-head", endless_head),
    FLAG("longline", longline),
    FLAG("gzip", gzip),
    FLAG("http10", http10),
    FLAG("early", early),
    FLAG("extra", extra),
    FLAG("stale", stale),
    FLAG("redirect", redirect),
    FLAG("nofinish", nofinish),
    FLAG("nodone", nodone),
    FLAG("stamp", stamp),
};
static const struct flag numbers[] = {
    FLAG("chunks", chunks),  FLAG("size", size),     FLAG("bytes", bytes),       FLAG("dims", dims),
    FLAG("tools", tools),    FLAG("status", status), FLAG("errbytes", errbytes), FLAG("fail", fail),
    FLAG("split", split),    FLAG("cut", cut_at),    FLAG("reset", reset_at),    FLAG("stall", stall_at),
    FLAG("close", close_at),
};
static const struct flag durations[] = {
    FLAG("pace", pace_ns), FLAG("delay", delay_ns),           FLAG("gap", gap_ns),
    FLAG("drip", drip_ns), FLAG("idle-close", idle_close_ns),
};
struct word_flag {
    struct flag flag;
    size_t cap;
};
#define WORD(name, member) \
    { \
        FLAG(name, member), sizeof((struct options *)0)->member \
    }
static const struct word_flag word_flags[] = {
    WORD("finish", finish),
    WORD("fixture", fixture),
    WORD("raw", raw),
    WORD("lockstep", lockstep),
    WORD("tag", tag),
    WORD("code", code),
    WORD("retry-after", retry_after),
    WORD("retry-after-ms", retry_after_ms),
    WORD("should-retry", should_retry),
};
#define COUNT(list) (sizeof list / sizeof *list)

static bool set_value(struct options *o, const char *name, const char *v)
{
    char *base = (char *)o;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        if (strcmp(name, numbers[i].name) != 0) continue;
        const long n = strtol(v, NULL, 10);
        memcpy(base + numbers[i].at, &n, sizeof n);
        return true;
    }
    for (size_t i = 0; i < COUNT(durations); i++) {
        if (strcmp(name, durations[i].name) != 0) continue;
        const int64_t ns = duration_of(v);
        memcpy(base + durations[i].at, &ns, sizeof ns);
        return true;
    }
    for (size_t i = 0; i < COUNT(word_flags); i++) {
        if (strcmp(name, word_flags[i].flag.name) != 0) continue;
        copy_word(base + word_flags[i].flag.at, word_flags[i].cap, v);
        return true;
    }
    if (strcmp(name, "usage") == 0) {
        o->cached = 0;
        return sscanf(v, "%ld/%ld/%ld", &o->prompt, &o->completion, &o->cached) >= 2;
    }
    if (strcmp(name, "error") == 0) return sscanf(v, "midstream@%ld", &o->error_at) == 1;
    return false;
}

static bool set_flag(struct options *o, const char *name)
{
    if (strcmp(name, "tools") == 0) {
        o->tools = 1;
        return true;
    }
    for (size_t i = 0; i < COUNT(flags); i++) {
        if (strcmp(name, flags[i].name) != 0) continue;
        *((bool *)o + flags[i].at) = true;
        return true;
    }
    return false;
}

const char *options_parse(const char *model, struct options *ret)
{
    static char piece[256];
    static_assert(sizeof(bool) == 1, "flags are addressed by their offset");
    *ret = (struct options){.chunks = 5,
                            .size = -1,
                            .bytes = -1,
                            .dims = 8,
                            .tools = -1,
                            .status = -1,
                            .errbytes = -1,
                            .fail = -1,
                            .split = -1,
                            .prompt = 10,
                            .completion = -1,
                            .error_at = -1,
                            .cut_at = -1,
                            .reset_at = -1,
                            .stall_at = -1,
                            .close_at = -1};
    if (strncmp(model, "mock:", 5) != 0) return NULL;
    const char *at = model + 5;
    while (*at) {
        const size_t n = strcspn(at, ",");
        snprintf(piece, sizeof piece, "%.*s", (int)n, at);
        at += at[n] ? n + 1 : n;
        char *sep = strpbrk(piece, "=@");
        if (!sep) {
            if (!set_flag(ret, piece)) return piece;
            continue;
        }
        const char was = *sep;
        *sep = 0;
        const bool known = set_value(ret, piece, sep + 1);
        *sep = was;
        if (!known) return piece;
    }
    return NULL;
}
