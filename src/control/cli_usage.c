// The commands that look into the ledger: usage in sums, and what happened to one request. Each is one call of the admin API.
#include <stdlib.h>
#include <string.h>

#include "control/admin_client.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "wire/json.h"
#include "wire/url.h"

#define TARGET_BYTES_MAX 1200
#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

// Appends ?name=value, or &name=value. False: there is no room.
static bool add_parameter(char target[TARGET_BYTES_MAX], const char *name, const char *value)
{
    uint8_t encoded[400];
    struct span s;
    const size_t n = strlen(target);
    if (url_encode(span_str(value), false, encoded, sizeof encoded, &s)) return false;
    const int more = snprintf(target + n, TARGET_BYTES_MAX - n, "%c%s=%.*s", strchr(target, '?') ? '&' : '?',
                              name, SPAN_ARG(s));
    return more > 0 && (size_t)more < TARGET_BYTES_MAX - n;
}

// --- Usage.

// Beside a number, or nothing.
static void print_number(struct span object, const char *path, const char *format)
{
    struct span value;
    if (json_path(object, path, &value)) printf(format, SPAN_ARG(value));
}

static void print_note(struct span all, const char *path, const char *text)
{
    struct span value;
    uint64_t n;
    if (json_path(all, path, &value) && json_u64(value, &n) && n > 0) printf(text, (unsigned long long)n);
}

// Under the table: the total, and what the figures do not say.
static void print_total(struct span all)
{
    print_number(all, "period.days", "\nIn %.*s days: ");
    print_number(all, "summary.total_requests", "%.*s requests, ");
    print_number(all, "summary.total_input_tokens", "%.*s tokens in, ");
    print_number(all, "summary.total_output_tokens", "%.*s out, ");
    print_number(all, "summary.total_cost_usd", "%.*s USD.\n");
    print_note(all, "summary.unpriced",
               "%llu were for models without a price: what they cost is not in the sum.\n");
    print_note(all, "summary.estimated", "%llu are estimates: the provider named no usage.\n");
    print_note(all, "summary.crashed", "%llu are charged at their estimate, because a process died.\n");
}

static void print_rows(const struct cli *c, struct span all, const char *by)
{
    char path[32], others[48], title[16] = "";
    struct span rows;
    for (size_t i = 0; by[i] && i + 1 < sizeof title; i++) title[i] = (char)(by[i] - 'a' + 'A');
    const struct cli_column columns[] = {
        {title, by, false},
        {"REQUESTS", "requests", true},
        {"INPUT", "input_tokens", true},
        {"OUTPUT", "output_tokens", true},
        {"USD", "cost_usd", true},
        {"FAILED", "failed", true},
        {"ESTIMATED", "estimated", true},
        {"UNPRICED", "unpriced", true},
    };
    snprintf(path, sizeof path, "by_%s", by);
    snprintf(others, sizeof others, "by_%s_others.rows", by);
    if (!json_path(all, path, &rows)) rows = SPAN("[]");
    cli_table_print(stdout, c->output, columns, COUNT(columns), &rows, 1);
    if (c->output == CLI_TABLE) print_note(all, others, "and %llu more; --limit shows them\n");
}

static int usage(const struct cli *c)
{
    static const char *const filters[] = {"--tenant",   "--team", "--key",  "--model",
                                          "--provider", "--tag",  "--days", "--limit"};
    char target[TARGET_BYTES_MAX] = "/admin/v1/usage";
    struct admin_answer a = {0};
    const char *by = cli_value(c, "--by");
    if (!by) by = cli_value(c, "--tag") ? "day" : "model";
    bool fits = add_parameter(target, "group_by", by);
    for (size_t i = 0; i < COUNT(filters); i++) {
        const char *value = cli_value(c, filters[i]);
        if (value) fits = fits && add_parameter(target, filters[i] + 2, value);
    }
    if (!fits) {
        fprintf(stderr, "ringway: no name is that long\n");
        return 2;
    }
    const int status = cli_call(c, "GET", target, SPAN(""), &a);
    if (status) return status;
    const struct span all = span_of(a.body, a.n);
    if (c->output == CLI_JSON) printf("%s\n", a.body);
    else print_rows(c, all, by);
    if (c->output == CLI_TABLE) print_total(all);
    free(a.body);
    return 0;
}

// --- One request.

static int explain(const struct cli *c)
{
    char target[TARGET_BYTES_MAX];
    struct admin_answer a = {0};
    struct span s, story, none, sentence;
    uint8_t encoded[128];
    if (url_encode(span_str(c->argument[0]), false, encoded, sizeof encoded, &s)) {
        fprintf(stderr, "ringway: a request id has 26 characters\n");
        return 2;
    }
    snprintf(target, sizeof target, "/admin/v1/explain/%.*s", SPAN_ARG(s));
    const int status = cli_call(c, "GET", target, SPAN(""), &a);
    if (status) return status;
    if (c->output == CLI_JSON) {
        printf("%s\n", a.body);
    } else if (c->output == CLI_CSV) {
        cli_object_print(stdout, c->output, span_of(a.body, a.n));
    } else if (json_path(span_of(a.body, a.n), "story", &story)) {
        struct json_iter it = json_iter(story);
        while (json_next(&it, &none, &sentence)) {
            char *text = cli_text(sentence);
            puts(text);
            free(text);
        }
    }
    free(a.body);
    return 0;
}

// --- The table.

static const struct cli_option usage_options[] = {
    {"--days", CLI_COUNT, "N", "of the last N days, in UTC, with today (default 30)", NULL},
    {"--by", CLI_TEXT, "WHAT", "model (default), provider, key, team, tenant, tag or day", NULL},
    {"--tenant", CLI_TEXT, "NAME", "only what this tenant used", NULL},
    {"--team", CLI_TEXT, "NAME", "only this team", NULL},
    {"--key", CLI_TEXT, "NAME|ID", "only this key", NULL},
    {"--model", CLI_TEXT, "NAME", "only this model", NULL},
    {"--provider", CLI_TEXT, "NAME", "only this provider", NULL},
    {"--tag", CLI_TEXT, "K=V", "only requests with this tag", NULL},
    {"--limit", CLI_COUNT, "N", "rows at most (default 1000); the largest are shown", NULL},
};

const struct cli_command cli_usage_commands[] = {
    {"usage", "", "requests, tokens and money, summed",
     "Example: ringway usage --days 7 --by key --team research\n"
     "         ringway usage --days 90 --by tag --output csv > chargeback.csv\n",
     usage_options, COUNT(usage_options), 0, 0, usage},
    {"explain", "ID", "what happened to one request, and what it cost",
     "ID is the x-request-id of the answer, or request_id in the access log.\n\n"
     "Example: ringway explain 01k9z3m6d0e5r8w2x4y7a1b3c5\n",
     NULL, 0, 1, 1, explain},
};
const uint32_t cli_usage_command_count = COUNT(cli_usage_commands);
