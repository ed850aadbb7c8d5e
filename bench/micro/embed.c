// Embeddings on their way to an OpenAI client: 1 MiB of numbers in JSON becomes base64, beside jansson reading and writing the
// same text (libjansson.so.4, if it is installed). Prints milliseconds of CPU time and the ratio; exit 1 if it is above GATE.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/prng.h"
#include "providers/embed.h"
#include "wire/json.h"

#define GATE 0.2
#define TEXT_BYTES MIB(1)
#define DIMENSIONS 1536
#define ROUNDS 15

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// What Cohere answers: vectors of nine digits a number.
static struct span make_text(char *text)
{
    struct prng r;
    struct fmt f;
    prng_seed(&r, 1);
    fmt_init(&f, text, TEXT_BYTES + KIB(64));
    fmt_str(&f, "{\"embeddings\":{\"float\":[");
    while (f.n < TEXT_BYTES) {
        fmt_str(&f, "[");
        for (int i = 0; i < DIMENSIONS; i++) {
            if (i) fmt_str(&f, ",");
            fmt_decimal(&f, (int64_t)prng_below(&r, 2000000000) - 1000000000, 9);
        }
        fmt_str(&f, "],");
    }
    f.n--;
    fmt_str(&f, "]}}");
    MUST(!f.overflow);
    return fmt_text(&f);
}

// The whole way: the scan that proves it to be JSON, the vectors, their numbers, base64.
static uint64_t ours(struct span text, float *floats, uint8_t *out)
{
    struct json_scan scan;
    struct span list, key, vector;
    uint64_t n = 0;
    MUST(json_scan(&scan, NULL, JSON_TOP_OBJECT, text) >= 0);
    MUST(json_path(text, "embeddings.float", &list));
    struct json_iter it = json_iter(list);
    while (json_next(&it, &key, &vector)) {
        const int64_t count = embed_numbers(vector, floats);
        MUST(count == DIMENSIONS);
        n += embed_item_write(vector, floats, count, 0, out);
    }
    return n;
}

struct jansson {
    void *(*load)(const char *, size_t, size_t, void *);
    char *(*dump)(const void *, size_t);
    void (*delete)(void *);
};

static bool find_jansson(struct jansson *j)
{
    void *lib = dlopen("libjansson.so.4", RTLD_NOW);
    if (!lib) return false;
    *(void **)&j->load = dlsym(lib, "json_loadb");
    *(void **)&j->dump = dlsym(lib, "json_dumps");
    *(void **)&j->delete = dlsym(lib, "json_delete");
    return j->load && j->dump && j->delete;
}

static void theirs(const struct jansson *j, struct span text)
{
    void *value = j->load((const char *)text.p, text.n, 0, NULL);
    MUST(value);
    char *out = j->dump(value, 0x20); // compact
    MUST(out);
    free(out);
    j->delete (value);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static float floats[EMBED_DIMENSIONS_MAX];
    static uint8_t out[KIB(64)];
    char *buf = malloc(TEXT_BYTES + KIB(64));
    MUST(buf);
    const struct span text = make_text(buf);
    struct jansson j = {0};
    double a[ROUNDS], b[ROUNDS];
    const bool rival = find_jansson(&j);
    for (int i = 0; i < ROUNDS; i++) {
        double t = cpu_ms();
        ours(text, floats, out);
        a[i] = cpu_ms() - t;
        t = cpu_ms();
        if (rival) theirs(&j, text);
        b[i] = cpu_ms() - t;
    }
    free(buf);
    qsort(a, ROUNDS, sizeof *a, by_size);
    qsort(b, ROUNDS, sizeof *b, by_size);
    const double mine = a[ROUNDS / 2], other = b[ROUNDS / 2];
    printf("%u bytes of JSON numbers to base64: %.2f ms\n", text.n, mine);
    if (!rival) {
        printf("libjansson.so.4 is not installed: NOT COMPARED\n");
        return 0;
    }
    printf("jansson, read and written again:    %.2f ms\nratio %.3f, at most %.2f: %s\n", other, mine / other,
           GATE, mine / other <= GATE ? "pass" : "FAIL");
    return mine / other <= GATE ? 0 : 1;
}
