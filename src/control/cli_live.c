// The commands about the server that runs: its state, a reload, what of limits is used. Each is one call of the admin API.
#include <stdlib.h>

#include "control/admin_client.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "wire/json.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

static int print_call(const struct cli *c, const char *method, const char *target)
{
    struct admin_answer a = {0};
    const int status = cli_call(c, method, target, SPAN(""), &a);
    if (status) return status;
    if (c->output == CLI_JSON) printf("%s\n", a.body);
    else cli_object_print(stdout, c->output, span_of(a.body, a.n));
    free(a.body);
    return 0;
}

static int status(const struct cli *c)
{
    return print_call(c, "GET", "/admin/v1/status");
}

static int reload(const struct cli *c)
{
    return print_call(c, "POST", "/admin/v1/reload");
}

static const struct cli_column limit_columns[] = {
    {"KIND", "kind", false}, {"ID", "id", true}, {"NAME", "name", false}, {"USED", "used", false}};

static int limits(const struct cli *c)
{
    char target[96];
    struct admin_answer a = {0};
    struct span data, next;
    const char *kind = cli_value(c, "--kind");
    uint64_t after = 0;
    (void)snprintf(target, sizeof target, "/admin/v1/limits?limit=1000&kind=%.20s", kind ? kind : "team");
    const int failed = cli_call(c, "GET", target, SPAN(""), &a);
    if (failed) return failed;
    const struct span all = span_of(a.body, a.n);
    if (json_path(all, "next", &next)) (void)json_u64(next, &after);
    if (c->output == CLI_JSON) printf("%s\n", a.body);
    else if (json_path(all, "data", &data))
        cli_table_print(stdout, c->output, limit_columns, COUNT(limit_columns), &data, 1);
    if (after) fprintf(stderr, "ringway: there are more than these thousand; see GET /admin/v1/limits\n");
    free(a.body);
    return 0;
}

static const struct cli_option limits_options[] = {
    {"--kind", CLI_TEXT, "tenant|team|key", "of whom (default team)", NULL}};

const struct cli_command cli_live_commands[] = {
    {"status", "", "the server that runs with this configuration", "Example: ringway status --output json\n",
     NULL, 0, 0, 0, status},
    {"reload", "", "have the server load its configuration file; a bad one changes nothing",
     "Example: ringway check && ringway reload\n", NULL, 0, 0, 0, reload},
    {"limits", "", "what of their limits is used now", "Example: ringway limits --kind key\n", limits_options,
     COUNT(limits_options), 0, 0, limits},
};
const uint32_t cli_live_command_count = COUNT(cli_live_commands);
