// The command line: `ringway COMMAND [ARGUMENT]... [OPTION]...`.
//
// Exit status: 0 done, 1 failed, 2 wrong use or bad configuration.
//
// Tables   A command is a line of a table, with its options: cli_local.c has what needs no server, cli_admin.c accounts and
//          the audit, cli_usage.c what was used, cli_prices.c prices, cli_models.c the catalogue, cli_cache.c the cache,
//          cli_store.c backup. Parsing, --help and the errors are made from them.
#ifndef RINGWAY_CONTROL_CLI_H
#define RINGWAY_CONTROL_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/span.h"

#define CLI_VALUES_MAX 64
#define CLI_ARGUMENTS_MAX 2

enum cli_kind {
    CLI_FLAG, // no value
    CLI_TEXT,
    CLI_COUNT, // a whole number
    CLI_MONEY, // US dollars
    CLI_BOOL, // true or false
    CLI_RATE, // N/WINDOW[:BURST]; may be given again
    CLI_LIST, // A,B,C
    CLI_PAIR, // KEY=VALUE; may be given again
};

struct cli_option {
    const char *name; // with its dashes
    enum cli_kind kind;
    const char *value; // what the help calls it
    const char *help;
    const char *json; // its name in the request to the admin API ("limits.rpm"); NULL: none
};

struct cli;

struct cli_command {
    const char *name; // one word or two
    const char *arguments; // what the help shows; "" if there are none
    const char *summary;
    const char *more; // for --help: explanation, examples; may be NULL
    const struct cli_option *options;
    uint32_t option_count;
    uint32_t arguments_min, arguments_max;
    int (*run)(const struct cli *c);
};

enum cli_output { CLI_TABLE, CLI_JSON, CLI_CSV };

// A command line, taken apart.
struct cli {
    const struct cli_command *command;
    const char *program;
    const char *config; // NULL: none given and none found
    enum cli_output output;
    struct {
        const struct cli_option *option;
        const char *text;
    } value[CLI_VALUES_MAX];
    uint32_t value_count;
    const char *argument[CLI_ARGUMENTS_MAX];
    uint32_t argument_count;
};

int cli_run(int argc, char **argv);

// The value of an option by its name ("--days"); "" for a flag; NULL: not given.
const char *cli_value(const struct cli *c, const char *name);

// A call of the admin API. 0, and the answer is the caller's to free; or the exit status, and what is wrong was said.
struct admin_answer;
int cli_call(const struct cli *c, const char *method, const char *target, struct span body,
             struct admin_answer *ret);

int cli_run_tls_check(const struct cli *c);

// In the order of the help; NULL: there is no command i.
const struct cli_command *cli_command_at(uint32_t i);
extern const struct cli_option cli_common_options[];
extern const uint32_t cli_common_option_count;

extern const struct cli_command cli_local_commands[];
extern const uint32_t cli_local_command_count;
extern const struct cli_command cli_admin_commands[];
extern const uint32_t cli_admin_command_count;
extern const struct cli_command cli_usage_commands[];
extern const uint32_t cli_usage_command_count;
extern const struct cli_command cli_models_commands[];
extern const uint32_t cli_models_command_count;
extern const struct cli_command cli_prices_commands[];
extern const uint32_t cli_prices_command_count;
extern const struct cli_command cli_cache_commands[];
extern const uint32_t cli_cache_command_count;
extern const struct cli_command cli_live_commands[];
extern const uint32_t cli_live_command_count;
extern const struct cli_command cli_words_commands[];
extern const uint32_t cli_words_command_count;
extern const struct cli_command cli_store_commands[];
extern const uint32_t cli_store_command_count;

#endif
