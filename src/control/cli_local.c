// The commands that need no server: serve is one, the others look at files and the machine.
#include "control/cli.h"
#include "control/config.h"
#include "control/doctor.h"
#include "control/plan_tls.h"
#include "control/serve.h"

static int run_serve(const struct cli *c)
{
    const bool dev = cli_value(c, "--dev") != NULL;
    const struct serve_options options = {
        .config_path = dev ? NULL : c->config, .program = c->program, .dev = dev};
    return serve_run(&options);
}

static bool check_server(struct plan_tls *tls, const struct config *config, uint32_t i)
{
    struct plan_tls_served made = {0};
    char why[1024];
    const bool good = plan_tls_server(tls, config, i, &made, why, sizeof why);
    if (!good) fprintf(stderr, "%s\n", why);
    tls_server_let_go(made.server);
    return good;
}

// What a configuration names is there and fits together.
static bool check_tls(const struct config *config)
{
    struct plan_tls tls = {0};
    bool good = true;
    for (uint32_t i = 0; i < config->provider_count; i++) {
        struct plan_tls_made made = {0};
        char why[1024];
        if (!config->providers[i].base_url.tls) continue;
        if (!plan_tls_client(&tls, &config->providers[i], &made, why, sizeof why)) {
            fprintf(stderr, "%s\n", why);
            good = false;
        }
        tls_client_let_go(made.client);
    }
    for (uint32_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].tls.first.certificate) good = check_server(&tls, config, i) && good;
    }
    if (config->admin_tls.first.certificate) good = check_server(&tls, config, PLAN_TLS_ADMIN) && good;
    plan_tls_done(&tls);
    return good;
}

static int run_check(const struct cli *c)
{
    if (cli_value(c, "--reference")) {
        config_write_reference(stdout);
        return 0;
    }
    struct config *config = NULL;
    struct config_errors errors = {0};
    const enum rw_err err = c->config ? config_load(c->config, &config_env_process, &config, &errors)
                                      : config_default_from_env(&config_env_process, &config, &errors);
    const char *name = c->config ? c->config : "(no file)";
    if (err) {
        if (err != RW_E_CONFIG) fprintf(stderr, "%s: cannot be loaded: %s\n", name, rw_err_name(err));
        config_errors_write(&errors, name, stderr);
        config_errors_free(&errors);
        return 2;
    }
    for (uint32_t i = 0; i < config->warning_count; i++)
        fprintf(stderr, "warning: %s\n", config->warnings[i]);
    if (!check_tls(config)) {
        config_free(config);
        return 2;
    }
    if (cli_value(c, "--explain")) config_explain(config, stdout);
    else
        printf("%s: good (%u listeners, %u providers, %u models, %u keys)\n", name, config->listener_count,
               config->provider_count, config->model_count, config->key_count);
    config_free(config);
    return 0;
}

static int run_doctor(const struct cli *c)
{
    return doctor_run(c->output == CLI_JSON, stdout);
}

static int run_version(const struct cli *c)
{
    if (c->output == CLI_JSON) printf("{\"version\":\"%s\",\"build\":\"%s\"}\n", RW_VERSION, RW_BUILD);
    else printf("ringway %s (%s)\n", RW_VERSION, RW_BUILD);
    return 0;
}

static const struct cli_option serve_options[] = {
    {"--dev", CLI_FLAG, NULL, "for trying out: 127.0.0.1:8000, key dev-key-12345, no configuration file",
     NULL},
};

static const struct cli_option check_options[] = {
    {"--explain", CLI_FLAG, NULL, "every key with its value and where it came from", NULL},
    {"--reference", CLI_FLAG, NULL, "every key there is, with type, default and meaning", NULL},
};

static const struct cli_option tls_check_options[] = {
    {"--ca-file", CLI_TEXT, "FILE", "the CAs to trust instead of the system's", NULL},
};

const struct cli_command cli_local_commands[] = {
    {"serve", "", "run the gateway", NULL, serve_options, sizeof serve_options / sizeof *serve_options, 0, 0,
     run_serve},
    {"check", "", "look at a configuration and say what is wrong with it", NULL, check_options,
     sizeof check_options / sizeof *check_options, 0, 0, run_check},
    {"doctor", "", "what this machine gives, what stands in the way, and the mend", NULL, NULL, 0, 0, 0,
     run_doctor},
    {"tls-check", "PROVIDER|HOST[:PORT]",
     "connect over TLS and say what is found, what is wrong, and the mend", NULL, tls_check_options,
     sizeof tls_check_options / sizeof *tls_check_options, 1, 1, cli_run_tls_check},
    {"version", "", "what this is", NULL, NULL, 0, 0, 0, run_version},
};
const uint32_t cli_local_command_count = sizeof cli_local_commands / sizeof *cli_local_commands;
