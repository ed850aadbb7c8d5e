// What models cost, by the prices that hold with this configuration.
#include <stdlib.h>
#include <string.h>

#include "control/admin_local.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "control/prices.h"
#include "wire/json.h"
#include "wire/json_write.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))
#define JSON_BYTES MIB(16) // PRICE_ROWS_MAX rows are 8 MB
#define USD_DECIMALS 6 // picos per token are millionths of a dollar per million tokens
#define WHY_BYTES 512

struct list {
    struct json_writer w;
    const char *beginning; // of the rows that are wanted
    uint32_t unpriced;
};

static void write_price(struct list *l, const struct price *p)
{
    static const char *const names[PRICE_CLASSES] = {
#define X(symbol, name) [symbol] = name,
        PRICE_CLASS_LIST(X)
#undef X
    };
    for (int c = 0; c < PRICE_CLASSES; c++) {
        if (p->unknown & 1u << c) continue;
        json_w_key(&l->w, span_str(names[c]));
        json_w_decimal(&l->w, p->pico[c], USD_DECIMALS);
    }
    if (p->context) json_w_key_u64(&l->w, SPAN("context"), (uint64_t)p->context);
    if (p->max_output) json_w_key_u64(&l->w, SPAN("max_output"), (uint64_t)p->max_output);
    if (p->above_tokens) json_w_key_u64(&l->w, SPAN("dearer_above"), (uint64_t)p->above_tokens);
}

// --- The models of the configuration.

static void write_target(struct list *l, const struct config *c, const struct config_model *m,
                         const struct config_target *t, const struct price_table *prices)
{
    static const struct price nothing = {.chat = true};
    const struct config_provider *provider = &c->providers[t->provider];
    const struct span type = span_str(provider_rows[provider->type].name);
    struct price found = nothing;
    json_w_object(&l->w);
    json_w_key_string(&l->w, SPAN("model"), span_str(m->name));
    json_w_key_string(&l->w, SPAN("provider"), span_str(provider->name));
    json_w_key_string(&l->w, SPAN("upstream_model"), span_str(t->model));
    const bool priced =
        provider->type == PROVIDER_ECHO || price_find(prices, type, span_str(t->model), &found);
    json_w_key(&l->w, SPAN("priced"));
    json_w_bool(&l->w, priced);
    if (priced) write_price(l, &found);
    else l->unpriced++;
    json_w_end(&l->w);
}

static void write_configured(struct list *l, const struct config *c, const struct price_table *prices)
{
    for (uint32_t i = 0; i < c->model_count; i++)
        for (uint32_t k = 0; k < c->models[i].target_count; k++)
            write_target(l, c, &c->models[i], &c->models[i].targets[k], prices);
}

// --- Rows of the list.

struct rows {
    struct {
        struct span name;
        const struct price *price;
    } at[PRICE_ROWS_MAX];
    uint32_t n;
    const char *beginning;
};

static bool on_row(struct span name, const struct price *price, const struct price_about *about, void *ctx)
{
    struct rows *r = ctx;
    (void)about;
    if (!span_starts(name, span_str(r->beginning)) || r->n == COUNT(r->at)) return true;
    r->at[r->n].name = name;
    r->at[r->n++].price = price;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    const int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void write_rows(struct list *l, const char *beginning, const struct price_table *prices)
{
    struct rows *r = calloc(1, sizeof *r);
    MUST(r);
    r->beginning = beginning;
    price_table_each(prices, on_row, r);
    if (r->n) qsort(r->at, r->n, sizeof r->at[0], by_name);
    for (uint32_t i = 0; i < r->n; i++) {
        json_w_object(&l->w);
        json_w_key_string(&l->w, SPAN("model"), r->at[i].name);
        write_price(l, r->at[i].price);
        json_w_end(&l->w);
    }
    free(r);
}

// --- The command.

static const struct cli_column configured_columns[] = {
    {"MODEL", "model", false},      {"PROVIDER", "provider", false}, {"UPSTREAM", "upstream_model", false},
    {"INPUT", "input", true},       {"OUTPUT", "output", true},      {"CACHED", "cached_input", true},
    {"WRITE", "cache_write", true}, {"CONTEXT", "context", true},
};
static const struct cli_column row_columns[] = {
    {"MODEL", "model", false},        {"INPUT", "input", true},       {"OUTPUT", "output", true},
    {"CACHED", "cached_input", true}, {"WRITE", "cache_write", true}, {"CONTEXT", "context", true},
};

static void print(const struct cli *c, struct list *l, bool configured)
{
    struct span text, data;
    MUST(json_w_done(&l->w, &text) == RW_OK && json_path(text, "data", &data));
    if (c->output == CLI_JSON) {
        printf("%.*s\n", SPAN_ARG(text));
        return;
    }
    if (configured)
        cli_table_print(stdout, c->output, configured_columns, COUNT(configured_columns), &data, 1);
    else cli_table_print(stdout, c->output, row_columns, COUNT(row_columns), &data, 1);
    if (c->output != CLI_TABLE) return;
    printf("\nUSD per million tokens.\n");
    if (l->unpriced)
        printf("Without a price: %u. Their requests are counted as unpriced; give them one in prices_file.\n",
               l->unpriced);
    if (configured) printf("'ringway prices openai/gpt' shows all built-in prices whose name begins so.\n");
}

static int prices(const struct cli *c)
{
    char why[WHY_BYTES] = "";
    struct config *config = NULL;
    struct price_table *table;
    const bool all = cli_value(c, "--all") != NULL, configured = !all && c->argument_count == 0;
    const char *file = cli_value(c, "--file");
    struct list l = {0};
    if (admin_local_config(c->config, &config, why, sizeof why) != RW_OK) {
        fprintf(stderr, "ringway: %s\n", why);
        return 2;
    }
    if (!prices_load(file ? file : config->prices_file, &table, why, sizeof why)) {
        fprintf(stderr, "ringway: %s\n", why);
        config_free(config);
        return 2;
    }
    char *text = malloc(JSON_BYTES);
    MUST(text);
    json_w_init(&l.w, text, JSON_BYTES);
    json_w_object(&l.w);
    json_w_key(&l.w, SPAN("data"));
    json_w_array(&l.w);
    if (configured) write_configured(&l, config, table);
    else write_rows(&l, all ? "" : c->argument[0], table);
    json_w_end(&l.w);
    json_w_end(&l.w);
    print(c, &l, configured);
    free(text);
    price_table_free(table);
    config_free(config);
    return 0;
}

static const struct cli_option prices_options[] = {
    {"--all", CLI_FLAG, NULL, "every price there is", NULL},
    {"--file", CLI_TEXT, "FILE", "with this file in place of prices_file, to try it", NULL},
};

const struct cli_command cli_prices_commands[] = {
    {"prices", "[TYPE/MODEL]", "what the configured models cost, and which have no price",
     "With the beginning of a name: every price known for it.\n\n"
     "Example: ringway prices\n"
     "         ringway prices anthropic/claude --output csv\n"
     "         ringway prices --file new-prices.json\n",
     prices_options, COUNT(prices_options), 0, 1, prices},
};
const uint32_t cli_prices_command_count = COUNT(cli_prices_commands);
