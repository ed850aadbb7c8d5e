// What models cost, by the prices that hold with this configuration.
#include <stdlib.h>
#include <string.h>

#include "control/admin_local.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "control/prices.h"
#include "wire/json.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))
#define JSON_BYTES MIB(32) // PRICE_ROWS_MAX rows are 8 MB, twice
#define WHY_BYTES 512

struct list {
    struct json_out o;
    uint32_t unpriced;
};

// --- The models of the configuration.

static void write_target(struct list *l, const struct config *c, const struct config_model *m,
                         const struct config_target *t, const struct price_table *prices)
{
    static const struct price nothing = {.chat = true};
    const struct config_provider *provider = &c->providers[t->provider];
    const struct span type = span_str(provider_rows[provider->type].name);
    struct price found = nothing;
    json_out_object(&l->o);
    json_out_key_string(&l->o, SPAN("model"), span_str(m->name));
    json_out_key_string(&l->o, SPAN("provider"), span_str(provider->name));
    json_out_key_string(&l->o, SPAN("upstream_model"), span_str(t->model));
    const bool priced =
        provider->type == PROVIDER_ECHO || price_find(prices, type, span_str(t->model), &found);
    json_out_key_bool(&l->o, SPAN("priced"), priced);
    if (priced) prices_write(&l->o, &found);
    else l->unpriced++;
    json_out_end(&l->o);
}

static void write_configured(struct list *l, const struct config *c, const struct price_table *prices)
{
    for (uint32_t i = 0; i < c->model_count; i++)
        for (uint32_t k = 0; k < c->models[i].target_count; k++)
            write_target(l, c, &c->models[i], &c->models[i].targets[k], prices);
}

// --- Rows of the list.

static void write_rows(struct list *l, const char *beginning, const struct price_table *prices)
{
    struct prices_sorted *r = calloc(1, sizeof *r);
    MUST(r);
    prices_sort(prices, span_str(beginning), r);
    for (uint32_t i = 0; i < r->n; i++) {
        json_out_object(&l->o);
        json_out_key_string(&l->o, SPAN("model"), r->at[i].name);
        prices_write(&l->o, r->at[i].price);
        json_out_end(&l->o);
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
    struct span data;
    const struct span text = json_out_flat(&l->o);
    MUST(text.p && json_path(text, "data", &data));
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
    struct budget budget = {.limit = JSON_BYTES};
    struct arena_pool pool;
    struct arena arena;
    arena_pool_init(&pool, &budget, 0);
    arena_init(&arena, &pool, JSON_BYTES);
    json_out_init(&l.o, &arena);
    json_out_object(&l.o);
    json_out_key_array(&l.o, SPAN("data"));
    if (configured) write_configured(&l, config, table);
    else write_rows(&l, all ? "" : c->argument[0], table);
    json_out_end(&l.o);
    json_out_end(&l.o);
    print(c, &l, configured);
    arena_done(&arena);
    arena_pool_done(&pool);
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
