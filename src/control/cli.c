// See cli.h. Each command is a line of the table below; the help is made from it.
#include "control/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/config.h"
#include "control/doctor.h"
#include "control/serve.h"

#define DEFAULT_CONFIG "/etc/ringway/ringway.yaml"

struct options {
    const char *config; // NULL: none given and none found
    bool config_given;
    bool json;
    bool explain;
    bool reference;
    bool help;
};

struct command {
    const char *name;
    const char *summary;
    const char *usage;
    int (*run)(const struct options *o, const char *program);
};

static int run_serve(const struct options *o, const char *program);
static int run_check(const struct options *o, const char *program);
static int run_doctor(const struct options *o, const char *program);
static int run_version(const struct options *o, const char *program);

static const struct command commands[] = {
    {"serve", "run the gateway", "serve [--config FILE]", run_serve},
    {"check", "look at a configuration and say what is wrong with it",
     "check [--config FILE] [--explain | --reference]\n\n"
     "  --explain     every key with its value and where it came from\n"
     "  --reference   every key there is, with type, default and meaning",
     run_check},
    {"doctor", "what this machine gives, what stands in the way, and the mend", "doctor [--output json]",
     run_doctor},
    {"version", "what this is", "version [--output json]", run_version},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int help(FILE *out)
{
    fputs("Ringway, an LLM gateway.\n\nUsage: ringway COMMAND [OPTION]...\n\nCommands:\n", out);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\nOptions of every command:\n"
          "  --config FILE   the configuration (default: $RINGWAY_CONFIG, then " DEFAULT_CONFIG ")\n"
          "  --output json   for machines\n"
          "  --help          this, or about one command\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong use or bad configuration.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int run_serve(const struct options *o, const char *program)
{
    const struct serve_options options = {.config_path = o->config, .program = program};
    return serve_run(&options);
}

static int run_check(const struct options *o, const char *program)
{
    (void)program;
    if (o->reference) {
        config_write_reference(stdout);
        return 0;
    }
    struct config *config = NULL;
    struct config_errors errors = {0};
    const enum rw_err err = o->config ? config_load(o->config, &config_env_process, &config, &errors)
                                      : config_default_from_env(&config_env_process, &config, &errors);
    const char *name = o->config ? o->config : "(no file)";
    if (err) {
        config_errors_write(&errors, name, stderr);
        config_errors_free(&errors);
        return 2;
    }
    for (uint32_t i = 0; i < config->warning_count; i++)
        fprintf(stderr, "warning: %s\n", config->warnings[i]);
    if (o->explain) config_explain(config, stdout);
    else
        printf("%s: good (%u listeners, %u providers, %u models, %u keys)\n", name, config->listener_count,
               config->provider_count, config->model_count, config->key_count);
    config_free(config);
    return 0;
}

static int run_doctor(const struct options *o, const char *program)
{
    (void)program;
    return doctor_run(o->json, stdout);
}

static int run_version(const struct options *o, const char *program)
{
    (void)program;
    if (o->json) printf("{\"version\":\"%s\",\"build\":\"%s\"}\n", RW_VERSION, RW_BUILD);
    else printf("ringway %s (%s)\n", RW_VERSION, RW_BUILD);
    return 0;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

// The argument behind options[*i], or NULL with a message.
static const char *value_of(int argc, char **argv, int *i)
{
    if (*i + 1 < argc) return argv[++*i];
    fprintf(stderr, "ringway: %s needs a value\n", argv[*i]);
    return NULL;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i], *v;
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            o->help = true;
        } else if (strcmp(a, "--config") == 0) {
            if (!(v = value_of(argc, argv, &i))) return false;
            o->config = v;
            o->config_given = true;
        } else if (strcmp(a, "--output") == 0) {
            if (!(v = value_of(argc, argv, &i))) return false;
            if (strcmp(v, "json") != 0 && strcmp(v, "table") != 0) {
                fprintf(stderr, "ringway: --output is table or json, not %s\n", v);
                return false;
            }
            o->json = strcmp(v, "json") == 0;
        } else if (strcmp(a, "--explain") == 0) {
            o->explain = true;
        } else if (strcmp(a, "--reference") == 0) {
            o->reference = true;
        } else {
            fprintf(stderr, "ringway: unknown option %s; 'ringway %s --help' lists them\n", a, argv[1]);
            return false;
        }
    }
    if (o->config_given) return true;
    const char *env = getenv("RINGWAY_CONFIG");
    if (env && *env) o->config = env;
    else if (access(DEFAULT_CONFIG, F_OK) == 0) o->config = DEFAULT_CONFIG;
    return true;
}

int cli_run(int argc, char **argv)
{
    if (argc < 2) return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    const struct command *c = find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (!c) {
        fprintf(stderr, "ringway: there is no command '%s'; 'ringway --help' lists them\n", argv[1]);
        return 2;
    }
    struct options o = {0};
    if (!parse(argc, argv, &o)) return 2;
    if (o.help) {
        printf("%s.\n\nUsage: ringway %s\n", c->summary, c->usage);
        return 0;
    }
    return c->run(&o, argv[0]);
}
