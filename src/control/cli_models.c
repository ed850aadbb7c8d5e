// The catalogue: which models are known, to choose by.
#include <stdlib.h>
#include <string.h>

#include "control/admin_local.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "control/prices.h"
#include "wire/json.h"
#include "wire/json_write.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))
#define JSON_BYTES MIB(16) // PRICE_ROWS_MAX rows are 10 MB
#define USD_DECIMALS 6 // picos per token are millionths of a dollar per million tokens
#define WHY_BYTES 512

struct filter {
    const char *beginning, *mode;
    uint16_t capabilities;
    enum price_speed speed;
    uint64_t quality, context;
    int64_t input_pico; // -1: any
};

struct found {
    struct {
        struct span name;
        const struct price *price;
        const struct price_about *about;
    } at[PRICE_ROWS_MAX];
    uint32_t n;
    struct filter filter;
};

static bool passes(const struct filter *f, struct span name, const struct price *price,
                   const struct price_about *about)
{
    return span_starts(name, span_str(f->beginning)) &&
        (!f->mode || span_eq(about->mode, span_str(f->mode))) &&
        (about->capabilities & f->capabilities) == f->capabilities &&
        (f->speed == PRICE_SPEED_UNKNOWN || f->speed == about->speed) && about->quality >= f->quality &&
        (uint64_t)price->context >= f->context &&
        (f->input_pico < 0 || price->pico[PRICE_INPUT] <= f->input_pico);
}

static bool on_row(struct span name, const struct price *price, const struct price_about *about, void *ctx)
{
    struct found *r = ctx;
    if (r->n == COUNT(r->at) || !passes(&r->filter, name, price, about)) return true;
    r->at[r->n].name = name;
    r->at[r->n].price = price;
    r->at[r->n++].about = about;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    const int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void write_count(struct json_writer *w, const char *name, int64_t n)
{
    json_w_key(w, span_str(name));
    if (n > 0) json_w_i64(w, n);
    else json_w_null(w);
}

static void write_row(struct json_writer *w, struct span name, const struct price *p,
                      const struct price_about *about)
{
    json_w_object(w);
    json_w_key_string(w, SPAN("model"), name);
    json_w_key_string(w, SPAN("mode"), about->mode);
    write_count(w, "context", p->context);
    write_count(w, "max_output", p->max_output);
    json_w_key(w, SPAN("input"));
    json_w_decimal(w, p->pico[PRICE_INPUT], USD_DECIMALS);
    json_w_key(w, SPAN("output"));
    json_w_decimal(w, p->pico[PRICE_OUTPUT], USD_DECIMALS);
    json_w_key_string(w, SPAN("speed"), span_str(price_speed_names[about->speed]));
    write_count(w, "quality", about->quality);
    json_w_key(w, SPAN("capabilities"));
    json_w_array(w);
    for (int i = 0; i < PRICE_CAPABILITIES; i++)
        if (about->capabilities & 1u << i) json_w_string(w, span_str(price_capability_names[i]));
    json_w_end(w);
    json_w_key_string(w, SPAN("description"), about->description);
    json_w_end(w);
}

static const struct cli_column columns[] = {
    {"MODEL", "model", false}, {"CONTEXT", "context", true},
    {"INPUT", "input", true},  {"OUTPUT", "output", true},
    {"SPEED", "speed", false}, {"QUALITY", "quality", true},
    {"MODE", "mode", false},   {"DESCRIPTION", "description", false},
};
// A spreadsheet has room for all.
static const struct cli_column csv_columns[] = {
    {"MODEL", "model", false},
    {"MODE", "mode", false},
    {"CONTEXT", "context", true},
    {"MAX_OUTPUT", "max_output", true},
    {"INPUT", "input", true},
    {"OUTPUT", "output", true},
    {"SPEED", "speed", false},
    {"QUALITY", "quality", true},
    {"CAPABILITIES", "capabilities", false},
    {"DESCRIPTION", "description", false},
};

static void print(const struct cli *c, struct json_writer *w, uint32_t n)
{
    struct span text, data;
    MUST(json_w_done(w, &text) == RW_OK && json_path(text, "data", &data));
    if (c->output == CLI_JSON) {
        printf("%.*s\n", SPAN_ARG(text));
        return;
    }
    if (c->output == CLI_CSV) cli_table_print(stdout, c->output, csv_columns, COUNT(csv_columns), &data, 1);
    else cli_table_print(stdout, c->output, columns, COUNT(columns), &data, 1);
    if (c->output != CLI_TABLE) return;
    printf("\n%u models; USD per million tokens. Speed and quality (1 to 5) are a help to choose, never a "
           "limit.\n",
           n);
}

// --- What was asked for.

static bool complain(const char *what, const char *value, const char *const *names, uint32_t count)
{
    fprintf(stderr, "ringway: %s '%s' is not one of", what, value);
    for (uint32_t i = 0; i < count; i++)
        if (names[i][0]) fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    return false;
}

static bool read_capabilities(const char *list, uint16_t *ret)
{
    while (*list) {
        const uint32_t n = (uint32_t)strcspn(list, ",");
        int i = 0;
        while (i < PRICE_CAPABILITIES && !span_eq(span_of(list, n), span_str(price_capability_names[i]))) i++;
        if (i == PRICE_CAPABILITIES)
            return complain("--can", list, price_capability_names, PRICE_CAPABILITIES);
        *ret |= (uint16_t)(1u << i);
        list += n + (list[n] == ',');
    }
    return true;
}

static bool read_filter(const struct cli *c, struct filter *f)
{
    const char *can = cli_value(c, "--can"), *speed = cli_value(c, "--speed");
    const char *quality = cli_value(c, "--quality"), *context = cli_value(c, "--context");
    const char *input = cli_value(c, "--input");
    *f = (struct filter){.beginning = c->argument_count ? c->argument[0] : "",
                         .mode = cli_value(c, "--mode"),
                         .quality = quality ? strtoull(quality, NULL, 10) : 0,
                         .context = context ? strtoull(context, NULL, 10) : 0,
                         .input_pico = -1};
    if (input && !price_decimal(span_str(input), USD_DECIMALS, &f->input_pico)) {
        fprintf(stderr, "ringway: --input '%s' is not an amount of US dollars\n", input);
        return false;
    }
    for (int i = PRICE_FAST; speed && i <= PRICE_SLOW; i++)
        if (strcmp(speed, price_speed_names[i]) == 0) f->speed = (enum price_speed)i;
    if (speed && f->speed == PRICE_SPEED_UNKNOWN)
        return complain("--speed", speed, price_speed_names, COUNT(price_speed_names));
    return !can || read_capabilities(can, &f->capabilities);
}

static void list(const struct cli *c, struct found *found, const struct price_table *table)
{
    char *text = malloc(JSON_BYTES);
    MUST(text);
    struct json_writer w;
    price_table_each(table, on_row, found);
    if (found->n) qsort(found->at, found->n, sizeof found->at[0], by_name);
    json_w_init(&w, text, JSON_BYTES);
    json_w_object(&w);
    json_w_key(&w, SPAN("data"));
    json_w_array(&w);
    for (uint32_t i = 0; i < found->n; i++)
        write_row(&w, found->at[i].name, found->at[i].price, found->at[i].about);
    json_w_end(&w);
    json_w_end(&w);
    print(c, &w, found->n);
    free(text);
}

static int models(const struct cli *c)
{
    char why[WHY_BYTES] = "";
    struct config *config = NULL;
    struct price_table *table = NULL;
    struct found *found = calloc(1, sizeof *found);
    MUST(found);
    int status = 2;
    if (!read_filter(c, &found->filter)) goto out;
    if (admin_local_config(c->config, &config, why, sizeof why) != RW_OK ||
        !prices_load(config->prices_file, &table, why, sizeof why)) {
        fprintf(stderr, "ringway: %s\n", why);
        goto out;
    }
    list(c, found, table);
    status = 0;
out:
    free(found);
    price_table_free(table);
    config_free(config);
    return status;
}

static const struct cli_option models_options[] = {
    {"--mode", CLI_TEXT, "MODE", "chat, embedding or rerank", NULL},
    {"--can", CLI_LIST, "A,B",
     "only with these: tools, vision, pdf, audio_in, json_schema, reasoning, prompt_cache", NULL},
    {"--speed", CLI_TEXT, "CLASS", "fast, standard or slow", NULL},
    {"--quality", CLI_COUNT, "N", "of this class (1 to 5) or better", NULL},
    {"--context", CLI_COUNT, "TOKENS", "with at least this much context", NULL},
    {"--input", CLI_MONEY, "USD", "whose input costs this much per million tokens, or less", NULL},
};

const struct cli_command cli_models_commands[] = {
    {"models", "[TYPE/MODEL]", "the catalogue: known models with prices, limits, capabilities",
     "With the beginning of a name: only those. prices_file replaces and adds rows.\n\n"
     "Example: ringway models\n"
     "         ringway models anthropic/ --quality 4\n"
     "         ringway models --can vision,tools --speed fast --input 0.50\n",
     models_options, COUNT(models_options), 0, 1, models},
};
const uint32_t cli_models_command_count = COUNT(cli_models_commands);
