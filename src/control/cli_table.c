// See cli_table.h.
#include "control/cli_table.h"

#include <stdlib.h>

#include "base/check.h"
#include "wire/json.h"
#include "wire/utf8.h"

// An item of limits.rates as the command line takes it: requests=100/second:200.
static bool write_rate(FILE *f, struct span object)
{
    struct span window, n, burst;
    const bool tokens = json_path(object, "tokens", &n);
    if (!json_path(object, "window", &window) || window.n < 2 ||
        (!tokens && !json_path(object, "requests", &n)))
        return false;
    fprintf(f, "%s=%.*s/%.*s", tokens ? "tokens" : "requests", SPAN_ARG(n), (int)window.n - 2,
            (const char *)window.p + 1);
    if (json_path(object, "burst", &burst)) fprintf(f, ":%.*s", SPAN_ARG(burst));
    return true;
}

// An item of used: 12 of 600 requests per minute.
static bool write_used(FILE *f, struct span object)
{
    struct span what, used, limit;
    if (!json_path(object, "what", &what) || what.n < 2 || !json_path(object, "used", &used) ||
        !json_path(object, "limit", &limit))
        return false;
    fprintf(f, "%.*s of %.*s %.*s", SPAN_ARG(used), SPAN_ARG(limit), (int)what.n - 2,
            (const char *)what.p + 1);
    return true;
}

static char *joined(struct span container)
{
    char *all = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&all, &n);
    MUST(f);
    struct json_iter it = json_iter(container);
    struct span key, value;
    for (bool first = true; json_next(&it, &key, &value); first = false) {
        if (!first) fputs(", ", f);
        if (json_type(value) == JSON_OBJECT && (write_rate(f, value) || write_used(f, value))) continue;
        char *text = cli_text(value);
        if (key.p && !json_key_is(key, SPAN("rates"))) fprintf(f, "%.*s=", SPAN_ARG(key));
        fputs(text, f);
        free(text);
    }
    if (ftell(f) == 0) fputs("-", f);
    fclose(f);
    return all;
}

char *cli_text(struct span value)
{
    const enum json_type type = json_type(value);
    if (type == JSON_ARRAY || type == JSON_OBJECT) return joined(value);
    char *text = malloc(value.n + 4u);
    MUST(text);
    struct span s = type == JSON_NULL || type == JSON_ABSENT ? SPAN("-") : value;
    if (type == JSON_STRING && json_string(value, JSON_LONE_REPLACE, (uint8_t *)text, value.n, &s))
        s = SPAN("?");
    memmove(text, s.p, s.n);
    text[s.n] = 0;
    // What would move the cursor is shown as a question mark.
    for (uint32_t i = 0; i < s.n; i++)
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) text[i] = '?';
    return text;
}

// Columns on a terminal: characters, not bytes.
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++) n += ((uint8_t)*text & 0xc0) != 0x80;
    return n;
}

static void csv_cell(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

struct cells {
    char **cell;
    size_t n, cap;
};

static void add(struct cells *c, char *text)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 256;
        c->cell = realloc(c->cell, c->cap * sizeof *c->cell);
        MUST(c->cell);
    }
    c->cell[c->n++] = text;
}

static void collect(struct cells *c, const struct cli_column *columns, uint32_t column_count,
                    struct span page)
{
    struct json_iter it = json_iter(page);
    struct span none, row, value;
    while (json_next(&it, &none, &row))
        for (uint32_t i = 0; i < column_count; i++)
            add(c, cli_text(json_path(row, columns[i].path, &value) ? value : SPAN("null")));
}

static void print_aligned(FILE *out, const struct cli_column *columns, uint32_t column_count,
                          const struct cells *c)
{
    int width[32];
    MUST(column_count > 0 && column_count <= 32);
    for (uint32_t i = 0; i < column_count; i++) width[i] = width_of(columns[i].title);
    for (size_t k = 0; k < c->n; k++)
        if (width_of(c->cell[k]) > width[k % column_count]) width[k % column_count] = width_of(c->cell[k]);
    for (uint32_t i = 0; i < column_count; i++) {
        const int pad = i + 1 == column_count && !columns[i].right ? 0 : width[i];
        fprintf(out, columns[i].right ? "%*s" : "%-*s", pad, columns[i].title);
        fputs(i + 1 == column_count ? "\n" : "  ", out);
    }
    for (size_t k = 0; k < c->n; k++) {
        const size_t i = k % column_count;
        const int pad = width[i] - width_of(c->cell[k]);
        const bool last = i + 1 == column_count;
        if (columns[i].right) fprintf(out, "%*s%s", pad, "", c->cell[k]);
        else fprintf(out, "%s%*s", c->cell[k], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", out);
    }
}

static void print_csv(FILE *out, const struct cli_column *columns, uint32_t column_count,
                      const struct cells *c)
{
    for (uint32_t i = 0; i < column_count; i++) fprintf(out, "%s%s", i ? "," : "", columns[i].path);
    fputs("\n", out);
    for (size_t k = 0; k < c->n; k++) {
        if (strcmp(c->cell[k], "-") != 0) csv_cell(out, c->cell[k]);
        fputc((k + 1) % column_count ? ',' : '\n', out);
    }
}

void cli_table_print(FILE *out, enum cli_output as, const struct cli_column *columns, uint32_t column_count,
                     const struct span *pages, uint32_t page_count)
{
    struct cells c = {NULL, 0, 0};
    MUST(column_count > 0);
    for (uint32_t i = 0; i < page_count; i++) collect(&c, columns, column_count, pages[i]);
    if (as == CLI_CSV) print_csv(out, columns, column_count, &c);
    else print_aligned(out, columns, column_count, &c);
    for (size_t k = 0; k < c.n; k++) free(c.cell[k]);
    free(c.cell);
}

static void object_csv(FILE *out, struct span object)
{
    struct span key, value;
    bool first = true;
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value); first = false)
        fprintf(out, "%s%.*s", first ? "" : ",", SPAN_ARG(key));
    fputc('\n', out);
    first = true;
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value); first = false) {
        char *text = cli_text(value);
        if (!first) fputc(',', out);
        if (strcmp(text, "-") != 0) csv_cell(out, text);
        free(text);
    }
    fputc('\n', out);
}

void cli_object_print(FILE *out, enum cli_output as, struct span object)
{
    int width = 0;
    struct span key, value;
    if (as == CLI_CSV) {
        object_csv(out, object);
        return;
    }
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value);)
        if ((int)key.n > width) width = (int)key.n;
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value);) {
        char *text = cli_text(value);
        fprintf(out, "%-*.*s  %s\n", width, SPAN_ARG(key), text);
        free(text);
    }
}
