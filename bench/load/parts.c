// See load.h.
#include "bench/load/load.h"

#define STAMP_DIGITS 20u

void load_options(struct load *l, int argc, char **argv)
{
    static const char *const modes[] = {"open", "closed", "streams", "idle", "held"};
    *l = (struct load){.ask = ASK_DEFAULT, .connections = 1, .seconds = 1, .rate = 1000};
    bool good = argc >= 3, known = false;
    for (unsigned i = 0; good && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i]) != 0) continue;
        l->mode = (enum load_mode)i;
        known = true;
    }
    for (int i = 3; good && i < argc; i++) {
        const char *w = argv[i];
        if (strncmp(w, "connections=", 12) == 0) l->connections = strtol(w + 12, NULL, 10);
        else if (strncmp(w, "rate=", 5) == 0) l->rate = strtod(w + 5, NULL);
        else if (strncmp(w, "seconds=", 8) == 0) l->seconds = strtod(w + 8, NULL);
        else if (strncmp(w, "spread=", 7) == 0) l->spread_ns = (int64_t)(strtod(w + 7, NULL) * 1e9);
        else if (strncmp(w, "skip=", 5) == 0) l->skip_ns = (int64_t)(strtod(w + 5, NULL) * 1e9);
        else good = ask_option(&l->ask, w);
    }
    if (!good || !known || l->connections < 1 || l->rate <= 0) {
        fprintf(stderr,
                "usage: ringway-load open|closed|streams|idle|held PORT [connections=N] [rate=R] "
                "[seconds=S] [spread=S] [skip=S] " ASK_OPTIONS "\n");
        exit(2);
    }
    l->ask.port = (unsigned short)strtol(argv[2], NULL, 10);
}

void load_sample(struct load_samples *s, int64_t ns)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->p = realloc(s->p, s->cap * sizeof *s->p);
        if (!s->p) load_fail("memory");
    }
    const int64_t tenths = ns / 100;
    s->p[s->n++] = tenths < 0 ? 0 : tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int by_size(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void load_sort(struct load_samples *s)
{
    if (s->n > 0) qsort(s->p, s->n, sizeof *s->p, by_size);
}

double load_quantile(const struct load_samples *s, double q)
{
    return s->n > 0 ? (double)s->p[(size_t)(q * (double)(s->n - 1))] / 10 : 0;
}

void load_stamps(struct load *l, struct span data)
{
    static const char content[] = "\"content\":\"t";
    const int64_t now = load_now();
    if (now < l->start_ns + l->skip_ns) return;
    const uint8_t *p = data.p, *end = data.p + data.n;
    while ((p = memmem(p, (size_t)(end - p), content, sizeof content - 1))) {
        p += sizeof content - 1;
        while (p < end && *p >= '0' && *p <= '9') p++;
        if (end - p < (ptrdiff_t)STAMP_DIGITS + 1) return;
        uint64_t stamp;
        if (span_u64(span_of(p + 1, STAMP_DIGITS), &stamp)) load_sample(&l->delay, now - (int64_t)stamp);
        p += STAMP_DIGITS;
    }
}
