// The cache of the running server.
#include <stdlib.h>

#include "control/admin_client.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "wire/json.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

static int show(const struct cli *c, const char *method)
{
    struct admin_answer a = {0};
    const int status = cli_call(c, method, "/admin/v1/cache", SPAN(""), &a);
    if (status) return status;
    if (c->output == CLI_JSON) printf("%s\n", a.body);
    else cli_object_print(stdout, c->output, span_of(a.body, a.n));
    free(a.body);
    return 0;
}

static int stats(const struct cli *c)
{
    return show(c, "GET");
}

static int purge(const struct cli *c)
{
    return show(c, "DELETE");
}

const struct cli_command cli_cache_commands[] = {
    {"cache stats", "", "what the cache holds, of how much it may",
     "How often it answered is in the metrics (ringway_cache_requests_total) and in 'ringway usage'.\n", NULL,
     0, 0, 0, stats},
    {"cache purge", "", "forgets all answers",
     "What is on its way to be kept meanwhile stays. One request is asked anew with the header\n"
     "x-ringway-cache: refresh.\n",
     NULL, 0, 0, 0, purge},
};
const uint32_t cli_cache_command_count = COUNT(cli_cache_commands);
