// What is wrong with a configuration, in words: recording, showing values without betraying any, and guessing
// what a misspelt word was meant to be.
#include <stdarg.h>
#include <stdlib.h>

#include "control/config_priv.h"

#define WARNINGS_MAX 64
// The mistakes that are found first are not those that stand first: so many are kept until they are in order.
#define KEPT_MAX 256
// Longer words than this are not compared: no key is.
#define WORD_BYTES_MAX 40

static void record(struct config_loader *l, uint32_t line, uint32_t column, const char *prefix,
                   const char *format, va_list args)
{
    struct config_errors *errors = l->errors;
    l->complaints++;
    if (!errors->items) {
        errors->items = calloc(KEPT_MAX, sizeof errors->items[0]);
        if (!errors->items) {
            l->out_of_memory = true;
            return;
        }
    }
    if (errors->count == KEPT_MAX) {
        errors->more++;
        return;
    }
    struct config_error *e = &errors->items[errors->count++];
    e->line = line;
    e->column = column;
    const int n = *prefix ? snprintf(e->text, sizeof e->text, "%s: ", prefix) : 0;
    if (n >= 0 && (size_t)n < sizeof e->text)
        vsnprintf(e->text + n, sizeof e->text - (size_t)n, format, args);
}

void config_complain(struct config_loader *l, const struct config_node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(l, at ? at->line : 0, at ? at->column : 0, l->path, format, args);
    va_end(args);
}

void config_complain_at(struct config_loader *l, uint32_t line, uint32_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(l, line, column, "", format, args);
    va_end(args);
}

void config_warn(struct config_loader *l, const struct config_node *at, const char *format, ...)
{
    struct config *config = l->config;
    char text[512];
    int n = at && at->line ? snprintf(text, sizeof text, "%s:%u: ", l->name, at->line) : 0;
    if (n < 0 || (size_t)n >= sizeof text) n = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);

    if (!config->warnings) config->warnings = config_take(l->memory, WARNINGS_MAX * sizeof(char *));
    if (!config->warnings || config->warning_count == WARNINGS_MAX) return;
    const char *copy = config_copy(l->memory, text, strlen(text));
    if (copy) ((const char **)config->warnings)[config->warning_count++] = copy;
}

// Insertion sort: few and nearly in order, and errors of one place keep theirs.
void config_errors_sort(struct config_errors *errors)
{
    for (uint32_t i = 1; i < errors->count; i++) {
        const struct config_error e = errors->items[i];
        uint32_t to = i;
        for (; to > 0; to--) {
            const struct config_error *before = &errors->items[to - 1];
            if (before->line < e.line || (before->line == e.line && before->column <= e.column)) break;
            errors->items[to] = *before;
        }
        errors->items[to] = e;
    }
    if (errors->count <= CONFIG_ERRORS_MAX) return;
    errors->more += errors->count - CONFIG_ERRORS_MAX;
    errors->count = CONFIG_ERRORS_MAX;
}

void config_errors_free(struct config_errors *errors)
{
    free(errors->items);
    *errors = (struct config_errors){0};
}

void config_errors_write(const struct config_errors *errors, const char *name, FILE *out)
{
    for (uint32_t i = 0; i < errors->count; i++) {
        const struct config_error *e = &errors->items[i];
        if (e->line) fprintf(out, "%s:%u:%u: %s\n", name, e->line, e->column, e->text);
        else fprintf(out, "%s: %s\n", name, e->text);
    }
    if (errors->more) fprintf(out, "%s: and %u more\n", name, errors->more);
}

// --- Showing what was written.

static void show(struct config_loader *l, const char *text)
{
    char *out = l->shown;
    const char *const end = l->shown + sizeof l->shown - sizeof "...\"";
    *out++ = '"';
    // Bytes above 0x7e may be half a character after a cut: shown as '?', like control characters.
    for (; *text && out < end; text++) *out++ = *text >= ' ' && *text <= '~' ? *text : '?';
    if (*text) out = memcpy(out, "...", 3), out += 3;
    *out++ = '"';
    *out = 0;
}

const char *config_show(struct config_loader *l, const struct config_node *node)
{
    show(l, node->raw);
    return l->shown;
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Letters, few digits, not long. What is a secret by accident ("key:rw-...", or a key one line too low) is
// not.
const char *config_show_key(struct config_loader *l, const struct config_node *key)
{
    uint32_t n = 0, digits = 0;
    const char *p = key->raw;
    for (; letter(*p) || *p == '-' || (*p >= '0' && *p <= '9'); p++, n++) digits += *p >= '0' && *p <= '9';
    if (*p || n == 0 || n > 24 || digits > 2) return n && *p == ':' ? "(is a space missing after ':'?)" : "";
    show(l, key->raw);
    return l->shown;
}

// --- Guessing.

static char lower(char c)
{
    return (char)span_lower((uint8_t)c);
}

uint32_t config_distance(const char *a, const char *b)
{
    const size_t an = strlen(a), bn = strlen(b);
    if (an > WORD_BYTES_MAX || bn > WORD_BYTES_MAX) return UINT32_MAX;
    // Three rows of the usual table: row i holds the distances of a's first i letters to all beginnings of b.
    uint32_t rows[3][WORD_BYTES_MAX + 1];
    for (uint32_t j = 0; j <= bn; j++) rows[0][j] = j;
    for (uint32_t i = 1; i <= an; i++) {
        uint32_t *row = rows[i % 3];
        const uint32_t *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= bn; j++) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            uint32_t least = above[j - 1] + !same;
            if (above[j] + 1 < least) least = above[j] + 1;
            if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
            const bool swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped && above2[j - 2] + 1 < least) least = above2[j - 2] + 1;
            row[j] = least;
        }
    }
    return rows[an % 3][bn];
}

bool config_nearer(const char *word, const char *candidate, const char **best, uint32_t *best_distance)
{
    // One mistake in three letters is still a misspelling, not another word.
    const size_t n = strlen(word);
    const uint32_t distance = config_distance(word, candidate);
    if (n < 3 || distance > (n < 6 ? 1 : n / 3) || distance >= *best_distance) return false;
    *best = candidate;
    *best_distance = distance;
    return true;
}
