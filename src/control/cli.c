// See cli.h.
#include "control/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/ringway/ringway.yaml"

const struct cli_option cli_common_options[] = {
    {"--config", CLI_TEXT, "FILE", "the configuration (default: $RINGWAY_CONFIG, then " DEFAULT_CONFIG ")",
     NULL},
    {"--output", CLI_TEXT, "table|json|csv", "for people, or for machines", NULL},
    {"--help", CLI_FLAG, NULL, "this, or about one command", NULL},
};
#define COMMON_OPTIONS (sizeof cli_common_options / sizeof *cli_common_options)
const uint32_t cli_common_option_count = COMMON_OPTIONS;

// In the order of the help.
static const struct {
    const struct cli_command *at;
    const uint32_t *count;
} tables[] = {
    {cli_local_commands, &cli_local_command_count},   {cli_admin_commands, &cli_admin_command_count},
    {cli_usage_commands, &cli_usage_command_count},   {cli_prices_commands, &cli_prices_command_count},
    {cli_models_commands, &cli_models_command_count}, {cli_store_commands, &cli_store_command_count},
    {cli_live_commands, &cli_live_command_count},     {cli_words_commands, &cli_words_command_count},
    {cli_cache_commands, &cli_cache_command_count},
};

const struct cli_command *cli_command_at(uint32_t i)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        if (i < *tables[t].count) return &tables[t].at[i];
        i -= *tables[t].count;
    }
    return NULL;
}

// --- Help.

static int help(FILE *out)
{
    fputs("Ringway, an LLM gateway.\n\nUsage: ringway COMMAND [OPTION]...\n\nCommands:\n", out);
    for (uint32_t i = 0; cli_command_at(i); i++)
        fprintf(out, "  %-14s %s\n", cli_command_at(i)->name, cli_command_at(i)->summary);
    fputs("\nOptions of every command:\n", out);
    for (size_t i = 0; i < COMMON_OPTIONS; i++) {
        char shown[64];
        const struct cli_option *o = &cli_common_options[i];
        snprintf(shown, sizeof shown, "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(out, "  %-24s %s\n", shown, o->help);
    }
    fputs("\nExit status: 0 done, 1 failed, 2 wrong use or bad configuration.\n", out);
    return out == stdout ? 0 : 2;
}

// Of a command that needs no words about it.
static void print_example(const struct cli_command *c)
{
    const char *argument = strcmp(c->arguments, "ID") == 0 ? " 7"
        : strcmp(c->arguments, "NAME") == 0                ? " research"
        : strcmp(c->arguments, "FILE") == 0                ? " keys.txt"
                                                           : "";
    printf("\nExample: ringway %s%s%s\n", c->name, argument,
           *argument || c->arguments_min == 0 ? "" : " ...");
}

static int help_of(const struct cli_command *c)
{
    printf("%s.\n\nUsage: ringway %s%s%s%s\n", c->summary, c->name, *c->arguments ? " " : "", c->arguments,
           c->option_count ? " [OPTION]..." : "");
    if (c->option_count) printf("\n");
    for (uint32_t i = 0; i < c->option_count; i++) {
        char shown[64];
        const struct cli_option *o = &c->options[i];
        snprintf(shown, sizeof shown, "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-24s %s\n", shown, o->help);
    }
    if (c->more) printf("\n%s", c->more);
    char itself[64];
    (void)snprintf(itself, sizeof itself, "ringway %s", c->name);
    if (!c->more || !strstr(c->more, itself)) print_example(c);
    printf("\nExit status: 0 done, 1 failed, 2 wrong use or bad configuration.\n");
    return 0;
}

// --- Parsing.

// The command that the first words name, and how many words that took.
static const struct cli_command *find(int argc, char **argv, int *ret_words)
{
    char two[64];
    snprintf(two, sizeof two, "%s %s", argv[1], argc > 2 ? argv[2] : "");
    const char *one = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    const struct cli_command *c;
    for (uint32_t i = 0; (c = cli_command_at(i)) != NULL; i++) {
        *ret_words = strchr(c->name, ' ') ? 2 : 1;
        if (strcmp(c->name, *ret_words == 2 ? two : one) == 0) return c;
    }
    return NULL;
}

static const struct cli_option *option_of(const struct cli_command *command, const char *name)
{
    for (size_t i = 0; i < COMMON_OPTIONS; i++)
        if (strcmp(cli_common_options[i].name, name) == 0) return &cli_common_options[i];
    for (uint32_t i = 0; i < command->option_count; i++)
        if (strcmp(command->options[i].name, name) == 0) return &command->options[i];
    return NULL;
}

static bool set_output(struct cli *c, const char *text)
{
    static const char *const names[] = {[CLI_TABLE] = "table", [CLI_JSON] = "json", [CLI_CSV] = "csv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        c->output = (enum cli_output)i;
        return true;
    }
    fprintf(stderr, "ringway: --output is table, json or csv, not %s\n", text);
    return false;
}

static bool take(struct cli *c, const struct cli_option *option, const char *text)
{
    if (strcmp(option->name, "--output") == 0) return set_output(c, text);
    if (strcmp(option->name, "--config") == 0) c->config = text;
    if (c->value_count == CLI_VALUES_MAX) {
        fprintf(stderr, "ringway: more than %d options\n", CLI_VALUES_MAX);
        return false;
    }
    c->value[c->value_count].option = option;
    c->value[c->value_count++].text = text;
    return true;
}

// One word of the command line, and the one behind it if it is an option's value. False: it was said what is wrong.
static bool word(struct cli *c, int argc, char **argv, int *i)
{
    char name[64];
    const char *a = argv[*i];
    if (strncmp(a, "--", 2) != 0) {
        if (strcmp(a, "-h") == 0) return take(c, option_of(c->command, "--help"), "");
        if (c->argument_count == c->command->arguments_max) {
            fprintf(stderr, "ringway: '%s' is one argument too many; 'ringway %s --help' shows the use\n", a,
                    c->command->name);
            return false;
        }
        c->argument[c->argument_count++] = a;
        return true;
    }
    const char *equals = strchr(a, '=');
    snprintf(name, sizeof name, "%.*s", (int)(equals ? equals - a : (long)strlen(a)), a);
    const struct cli_option *o = option_of(c->command, name);
    if (!o) {
        fprintf(stderr, "ringway: unknown option %s; 'ringway %s --help' lists them\n", name,
                c->command->name);
        return false;
    }
    if (o->kind == CLI_FLAG) return take(c, o, "");
    if (equals) return take(c, o, equals + 1);
    if (*i + 1 < argc) return take(c, o, argv[++*i]);
    fprintf(stderr, "ringway: %s needs a value\n", name);
    return false;
}

const char *cli_value(const struct cli *c, const char *name)
{
    for (uint32_t i = 0; i < c->value_count; i++)
        if (strcmp(c->value[i].option->name, name) == 0) return c->value[i].text;
    return NULL;
}

int cli_run(int argc, char **argv)
{
    if (argc < 2) return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    int words;
    struct cli c = {.program = argv[0], .command = find(argc, argv, &words)};
    if (!c.command) {
        fprintf(stderr, "ringway: there is no command '%s'; 'ringway --help' lists them\n", argv[1]);
        return 2;
    }
    for (int i = 1 + words; i < argc; i++)
        if (!word(&c, argc, argv, &i)) return 2;
    if (cli_value(&c, "--help")) return help_of(c.command);
    if (c.argument_count < c.command->arguments_min) {
        fprintf(stderr, "Usage: ringway %s %s\n", c.command->name, c.command->arguments);
        return 2;
    }
    const char *env = getenv("RINGWAY_CONFIG");
    if (!c.config && env && *env) c.config = env;
    if (!c.config && access(DEFAULT_CONFIG, F_OK) == 0) c.config = DEFAULT_CONFIG;
    return c.command->run(&c);
}
