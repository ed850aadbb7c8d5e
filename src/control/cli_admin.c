// The commands of the administrator. Each is one call of the admin API: to the server that runs, over its socket, else on the
// store itself, so that the first team can be made before the first start.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "control/admin_client.h"
#include "control/admin_local.h"
#include "control/cli.h"
#include "control/cli_table.h"
#include "wire/json.h"
#include "wire/json_write.h"
#include "wire/url.h"

#define BODY_BYTES_MAX KIB(64)
#define TARGET_BYTES_MAX 1024
// Of a thousand objects each.
#define PAGES_MAX 4096

// --- Options.

#define LIMIT_OPTIONS \
    {"--rpm", CLI_COUNT, "N|none", "requests per minute", "limits.rpm"}, \
        {"--tpm", CLI_COUNT, "N|none", "tokens per minute", "limits.tpm"}, \
        {"--requests", CLI_RATE, "N/WINDOW[:BURST]", "per second, minute, hour or day; may be given again", \
         "limits.requests"}, \
        {"--tokens", CLI_RATE, "N/WINDOW[:BURST]", "the same; the two replace all such rates", \
         "limits.tokens"}, \
        {"--concurrency", CLI_COUNT, "N|none", "requests at once", "limits.concurrency"}, \
        {"--usd-per-request", CLI_MONEY, "USD|none", "money per request", "limits.usd_per_request"}, \
        {"--usd-per-day", CLI_MONEY, "USD|none", "money per day (UTC)", "limits.usd_per_day"}, \
        {"--usd-per-month", CLI_MONEY, "USD|none", "money per month (UTC)", "limits.usd_per_month"}, \
        {"--hard", CLI_BOOL, "true|false|none", "refuse what could exceed the money (default true)", \
         "limits.hard"}, \
        {"--shadow", CLI_BOOL, "true|false|none", "count, but refuse nothing", "limits.shadow"}, \
    { \
        "--mode", CLI_TEXT, "token_bucket|fixed_window|none", "how rates are counted", "limits.mode" \
    }
#define ACCESS_OPTIONS \
    {"--plan", CLI_TEXT, "NAME|none", "limits of this plan where it has none of its own", "plan"}, \
        {"--models", CLI_LIST, "A,B|none", "the only models it may use", "models"}, \
        {"--providers", CLI_LIST, "A,B|none", "the only providers", "providers"}, \
        {"--regions", CLI_LIST, "A,B|none", "only providers whose region is one of these", "regions"}, \
        {"--cidrs", CLI_LIST, "NET,NET|none", "the only networks it may come from", "cidrs"}, \
        {"--expires", CLI_TEXT, "30d|DATE|none", "when it ends", "expires"}, \
        {"--tag", CLI_PAIR, "K=V", "for chargeback; may be given again", "tags"}, \
    { \
        "--disabled", CLI_BOOL, "true|false", "refuse it without forgetting it", "disabled" \
    }

static const struct cli_option key_options[] = {
    {"--team", CLI_TEXT, "NAME", "whom it belongs to (default: default)", "team"},
    {"--name", CLI_TEXT, "NAME", "how people call it", "name"},
    ACCESS_OPTIONS,
    LIMIT_OPTIONS,
};
static const struct cli_option key_set_options[] = {
    {"--name", CLI_TEXT, "NAME", "how people call it", "name"}, ACCESS_OPTIONS, LIMIT_OPTIONS};
static const struct cli_option key_list_options[] = {
    {"--team", CLI_TEXT, "NAME", "only those of this team", NULL}};
static const struct cli_option rotate_options[] = {
    {"--overlap-hours", CLI_COUNT, "N", "how long the old text stays good (default 24)", "overlap_hours"}};
static const struct cli_option team_options[] = {
    {"--tenant", CLI_TEXT, "NAME", "whom it belongs to (default: default)", "tenant"},
    ACCESS_OPTIONS,
    LIMIT_OPTIONS};
static const struct cli_option set_options[] = {ACCESS_OPTIONS, LIMIT_OPTIONS};
static const struct cli_option plan_options[] = {LIMIT_OPTIONS};
static const struct cli_option tail_options[] = {{"--count", CLI_COUNT, "N", "how many (default 100)", NULL}};

// --- The request's body out of the options.

static bool is_number(const char *text)
{
    const size_t n = strspn(text, "0123456789");
    return n > 0 && text[n] == 0;
}

static bool is_money(const char *text)
{
    size_t n = strspn(text, "0123456789");
    if (n > 0 && text[n] == '.') {
        const size_t fraction = strspn(text + n + 1, "0123456789");
        n = fraction ? n + 1 + fraction : 0;
    }
    return n > 0 && text[n] == 0;
}

static bool wrong(const struct cli_option *o, const char *what, const char *text)
{
    fprintf(stderr, "ringway: %s is %s, not %s\n", o->name, what, text);
    return false;
}

static bool write_value(struct json_writer *w, const struct cli_option *o, const char *text)
{
    if (strcmp(text, "none") == 0) {
        json_w_null(w);
        return true;
    }
    switch (o->kind) {
    case CLI_COUNT:
        if (!is_number(text)) return wrong(o, "a whole number", text);
        json_w_raw(w, span_str(text));
        return true;
    case CLI_MONEY:
        if (!is_money(text)) return wrong(o, "a number of US dollars such as 12.50", text);
        json_w_raw(w, span_str(text));
        return true;
    case CLI_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) return wrong(o, "true or false", text);
        json_w_raw(w, span_str(text));
        return true;
    case CLI_LIST: {
        struct span rest = span_str(text), item;
        json_w_array(w);
        while (span_split(&rest, ',', &item)) json_w_string(w, span_trim(item));
        json_w_end(w);
        return true;
    }
    case CLI_TEXT:
    case CLI_FLAG:
    case CLI_PAIR:
    case CLI_RATE: break;
    }
    json_w_string(w, span_str(text));
    return true;
}

// "100/second:200" as an item of limits.rates.
static bool write_rate(struct json_writer *w, const struct cli_option *o, const char *text)
{
    struct span rest = span_str(text), number, window = {NULL, 0}, burst = {NULL, 0};
    uint64_t n, b = 0;
    if (!span_split(&rest, '/', &number) || !span_u64(number, &n) || !span_split(&rest, ':', &window) ||
        (span_split(&rest, ':', &burst) && !span_u64(burst, &b)))
        return wrong(o, "a rate such as 100/second, 5000/hour, or with its burst 100/second:200", text);
    json_w_object(w);
    json_w_key_string(w, SPAN("window"), window);
    json_w_key_u64(w, strcmp(o->json, "limits.tokens") == 0 ? SPAN("tokens") : SPAN("requests"), n);
    if (b) json_w_key_u64(w, SPAN("burst"), b);
    json_w_end(w);
    return true;
}

// The member limits.rates out of all --requests and --tokens, if there are any.
static bool write_rates(struct json_writer *w, const struct cli *c)
{
    bool begun = false;
    for (uint32_t i = 0; i < c->value_count; i++) {
        const struct cli_option *o = c->value[i].option;
        if (o->kind != CLI_RATE) continue;
        if (!begun) json_w_key(w, SPAN("rates")), json_w_array(w);
        begun = true;
        if (strcmp(c->value[i].text, "none") != 0 && !write_rate(w, o, c->value[i].text)) return false;
    }
    if (begun) json_w_end(w);
    return true;
}

// The members that options name, of the body itself (object NULL) or of an object in it ("limits", "tags").
static bool write_members(struct json_writer *w, const struct cli *c, const char *object)
{
    const size_t n = object ? strlen(object) : 0;
    bool open = false;
    for (uint32_t i = 0; i < c->value_count; i++) {
        const struct cli_option *o = c->value[i].option;
        const char *text = c->value[i].text;
        if (!o->json) continue;
        const char *dot = strchr(o->json, '.');
        const bool inside = o->kind == CLI_PAIR || dot;
        if (inside != (object != NULL) || (inside && strncmp(o->json, object, n) != 0)) continue;
        if (inside && !open) json_w_key(w, span_str(object)), json_w_object(w);
        open = inside;
        if (o->kind == CLI_RATE) continue;
        if (o->kind == CLI_PAIR) {
            const char *equals = strchr(text, '=');
            if (!equals) return wrong(o, "NAME=VALUE", text);
            json_w_key_string(w, span_of(text, (size_t)(equals - text)), span_str(equals + 1));
            continue;
        }
        json_w_key(w, span_str(dot ? dot + 1 : o->json));
        if (!write_value(w, o, text)) return false;
    }
    if (!open) return true;
    if (strcmp(object, "limits") == 0 && !write_rates(w, c)) return false;
    json_w_end(w);
    return true;
}

// name: of the object to be made; NULL: none.
static bool body_of(const struct cli *c, const char *name, char *buf, struct span *ret)
{
    struct json_writer w;
    json_w_init(&w, buf, BODY_BYTES_MAX);
    json_w_object(&w);
    if (name) json_w_key_string(&w, SPAN("name"), span_str(name));
    if (!write_members(&w, c, NULL) || !write_members(&w, c, "limits") || !write_members(&w, c, "tags"))
        return false;
    json_w_end(&w);
    if (json_w_done(&w, ret) == RW_OK) return true;
    fprintf(stderr, "ringway: that is more than one request can say\n");
    return false;
}

// --- Calls.

int cli_call(const struct cli *c, const char *method, const char *target, struct span body,
             struct admin_answer *ret)
{
    struct span message;
    char why[STORE_WHY_BYTES] = "";
    const enum rw_err err = admin_local_call(c->config, method, target, body, ret, why, sizeof why);
    if (err) {
        fprintf(stderr, "ringway: %s\n", *why ? why : rw_err_name((int)err));
        return err == RW_E_CONFIG ? 2 : 1;
    }
    if (ret->status < 400) return 0;
    if (json_path(span_of(ret->body, ret->n), "error.message", &message) && message.n >= 2)
        fprintf(stderr, "ringway: %.*s\n", (int)message.n - 2, (const char *)message.p + 1);
    else fprintf(stderr, "ringway: the server answered %u\n", ret->status);
    free(ret->body);
    return 1;
}

static bool target_of(char *out, const char *collection, const char *id, const char *verb)
{
    char encoded[TARGET_BYTES_MAX / 2] = "";
    struct span s = {NULL, 0};
    if (id && url_encode(span_str(id), false, (uint8_t *)encoded, sizeof encoded, &s)) {
        fprintf(stderr, "ringway: no name is that long\n");
        return false;
    }
    snprintf(out, TARGET_BYTES_MAX, "/admin/v1/%s%s%.*s%s%s", collection, id ? "/" : "", (int)s.n,
             (const char *)s.p, verb ? "/" : "", verb ? verb : "");
    return true;
}

static void print_object(const struct cli *c, const struct admin_answer *a)
{
    if (c->output == CLI_JSON) printf("%s\n", a->body);
    else cli_object_print(stdout, c->output, span_of(a->body, a->n));
}

// One object: made, shown, changed.
static int one(const struct cli *c, const char *method, const char *collection, const char *id,
               const char *verb, const char *name)
{
    char target[TARGET_BYTES_MAX];
    struct admin_answer a = {0};
    struct span body = {NULL, 0};
    char *buf = malloc(BODY_BYTES_MAX);
    int status = 2;
    if (buf &&
        (strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0 || body_of(c, name, buf, &body)) &&
        target_of(target, collection, id, verb))
        status = cli_call(c, method, target, body, &a);
    free(buf);
    if (status == 0) {
        print_object(c, &a);
        free(a.body);
    }
    return status;
}

// All pages of a list.
static int list(const struct cli *c, const char *collection, const char *filter,
                const struct cli_column *columns, uint32_t column_count)
{
    char target[TARGET_BYTES_MAX];
    struct admin_answer *answers = calloc(PAGES_MAX, sizeof *answers);
    struct span *pages = calloc(PAGES_MAX, sizeof *pages);
    uint32_t n = 0;
    uint64_t after = 0;
    int status = 0;
    MUST(answers && pages);
    do {
        struct span next;
        snprintf(target, sizeof target, "/admin/v1/%s?limit=1000&after=%llu%s", collection,
                 (unsigned long long)after, filter);
        status = cli_call(c, "GET", target, SPAN(""), &answers[n]);
        if (status) break;
        const struct span all = span_of(answers[n].body, answers[n].n);
        if (!json_path(all, "data", &pages[n])) pages[n] = SPAN("[]");
        after = 0;
        if (json_path(all, "next", &next)) (void)json_u64(next, &after);
        n++;
    } while (after && n < PAGES_MAX);
    if (after && status == 0) fprintf(stderr, "ringway: only the first %d are shown\n", PAGES_MAX * 1000);
    if (status == 0 && c->output == CLI_JSON) {
        printf("{\"data\":[");
        bool first = true;
        for (uint32_t i = 0; i < n; i++) {
            const struct span inside = {pages[i].p + 1, pages[i].n - 2};
            if (inside.n) printf("%s%.*s", first ? "" : ",", SPAN_ARG(inside));
            if (inside.n) first = false;
        }
        printf("],\"next\":null}\n");
    } else if (status == 0) {
        cli_table_print(stdout, c->output, columns, column_count, pages, n);
    }
    for (uint32_t i = 0; i < n; i++) free(answers[i].body);
    free(answers);
    free(pages);
    return status;
}

// --- Keys.

static const struct cli_column key_columns[] = {
    {"ID", "id", true},
    {"NAME", "name", false},
    {"PREFIX", "prefix", false},
    {"TEAM", "team", false},
    {"PLAN", "plan", false},
    {"RPM", "limits.rpm", true},
    {"TPM", "limits.tpm", true},
    {"USD/MONTH", "limits.usd_per_month", true},
    {"EXPIRES", "expires", false},
    {"DISABLED", "disabled", false},
    {"REVOKED", "revoked", false},
};
static const struct cli_column group_columns[] = {
    {"ID", "id", true},
    {"NAME", "name", false},
    {"TENANT", "tenant", false},
    {"PLAN", "plan", false},
    {"RPM", "limits.rpm", true},
    {"TPM", "limits.tpm", true},
    {"CONCURRENCY", "limits.concurrency", true},
    {"USD/DAY", "limits.usd_per_day", true},
    {"USD/MONTH", "limits.usd_per_month", true},
    {"MODELS", "models", false},
};
static const struct cli_column plan_columns[] = {
    {"ID", "id", true},
    {"NAME", "name", false},
    {"LIMITS", "limits", false},
};
static const struct cli_column audit_columns[] = {
    {"SEQ", "sequence", true}, {"ACTION", "action", false}, {"NAME", "name", false},
    {"ACTOR", "actor", false}, {"DETAIL", "detail", false},
};
#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

static int key_create(const struct cli *c)
{
    const int status = one(c, "POST", "keys", NULL, NULL, NULL);
    if (status == 0 && c->output == CLI_TABLE)
        fprintf(stderr, "\nThe key is shown this once: keep it now.\n");
    return status;
}

static int key_list(const struct cli *c)
{
    char filter[256] = "", encoded[200];
    struct span s;
    const char *team = cli_value(c, "--team");
    if (team && url_encode(span_str(team), false, (uint8_t *)encoded, sizeof encoded, &s) == RW_OK)
        snprintf(filter, sizeof filter, "&team=%.*s", SPAN_ARG(s));
    return list(c, "keys", filter, key_columns, COUNT(key_columns));
}

static int key_show(const struct cli *c)
{
    return one(c, "GET", "keys", c->argument[0], NULL, NULL);
}

static int key_set(const struct cli *c)
{
    return one(c, "PATCH", "keys", c->argument[0], NULL, NULL);
}

static int key_rotate(const struct cli *c)
{
    return one(c, "POST", "keys", c->argument[0], "rotate", NULL);
}

static int key_revoke(const struct cli *c)
{
    return one(c, "POST", "keys", c->argument[0], "revoke", NULL);
}

static int key_delete(const struct cli *c)
{
    return one(c, "DELETE", "keys", c->argument[0], NULL, NULL);
}

// How often an import says how far it is.
#define IMPORT_SHOW 100

// One key a line, a name behind it if it has one. Lines that begin with # are remarks.
static int key_import(const struct cli *c)
{
    FILE *f = fopen(c->argument[0], "re");
    char *line = NULL;
    size_t cap = 0;
    uint32_t done = 0, number = 0;
    int status = 0;
    if (!f) {
        fprintf(stderr, "ringway: %s: %s\n", c->argument[0], strerror(errno));
        return 1;
    }
    const char *team = cli_value(c, "--team");
    const bool shows = isatty(STDERR_FILENO);
    while (status == 0 && getline(&line, &cap, f) >= 0) {
        char body[1400];
        struct json_writer w;
        struct span rest = span_trim(span_str(line)), key, name, json;
        number++;
        if (rest.n && rest.p[rest.n - 1] == '\n') rest.n--;
        if (!rest.n || rest.p[0] == '#' || !span_split(&rest, ' ', &key)) continue;
        name = span_trim(rest);
        json_w_init(&w, body, sizeof body);
        json_w_object(&w);
        json_w_key_string(&w, SPAN("key"), key);
        if (name.n) json_w_key_string(&w, SPAN("name"), name);
        if (team) json_w_key_string(&w, SPAN("team"), span_str(team));
        json_w_end(&w);
        struct admin_answer a = {0};
        if (json_w_done(&w, &json)) status = 1;
        else status = cli_call(c, "POST", "/admin/v1/keys", json, &a);
        if (status) fprintf(stderr, "ringway: line %u of %s was not imported\n", number, c->argument[0]);
        else free(a.body), done++;
        if (shows && done % IMPORT_SHOW == 0) fprintf(stderr, "\r%u keys ", done);
    }
    if (shows && done >= IMPORT_SHOW) fprintf(stderr, "\r%*s\r", 20, "");
    printf("%u keys imported\n", done);
    free(line);
    fclose(f);
    return status;
}

// --- Teams, tenants, plans: the same acts on three collections.

static bool is_about_plans(const struct cli *c)
{
    return strncmp(c->command->name, "plan ", 5) == 0;
}

static const char *collection_of(const struct cli *c)
{
    return is_about_plans(c) ? "plans" : strncmp(c->command->name, "team ", 5) == 0 ? "teams" : "tenants";
}

static int group_create(const struct cli *c)
{
    return one(c, "POST", collection_of(c), NULL, NULL, c->argument[0]);
}

static int group_list(const struct cli *c)
{
    if (is_about_plans(c)) return list(c, "plans", "", plan_columns, COUNT(plan_columns));
    return list(c, collection_of(c), "", group_columns, COUNT(group_columns));
}

static int group_show(const struct cli *c)
{
    return one(c, "GET", collection_of(c), c->argument[0], NULL, NULL);
}

static int group_set(const struct cli *c)
{
    return one(c, "PATCH", collection_of(c), c->argument[0], NULL, NULL);
}

static int group_delete(const struct cli *c)
{
    return one(c, "DELETE", collection_of(c), c->argument[0], NULL, NULL);
}

// --- The audit.

static int audit_tail(const struct cli *c)
{
    char target[64];
    struct admin_answer a = {0};
    struct span data;
    const char *count = cli_value(c, "--count");
    snprintf(target, sizeof target, "/admin/v1/audit?limit=%s", count && is_number(count) ? count : "100");
    const int status = cli_call(c, "GET", target, SPAN(""), &a);
    if (status) return status;
    if (c->output == CLI_JSON) printf("%s\n", a.body);
    else if (json_path(span_of(a.body, a.n), "data", &data))
        cli_table_print(stdout, c->output, audit_columns, COUNT(audit_columns), &data, 1);
    free(a.body);
    return 0;
}

static int audit_verify(const struct cli *c)
{
    struct admin_answer a = {0};
    struct span whole;
    bool good = false;
    const int status = cli_call(c, "GET", "/admin/v1/audit/state", SPAN(""), &a);
    if (status) return status;
    print_object(c, &a);
    if (json_path(span_of(a.body, a.n), "whole", &whole)) (void)json_bool(whole, &good);
    free(a.body);
    return good ? 0 : 1;
}

#define OPTIONS(array) array, COUNT(array)
#define GROUP(word, create_options, set_opts, more, deletable) \
    {word " create", "NAME", "make a " word, more, OPTIONS(create_options), 1, 1, group_create}, \
        {word " list", "", "all " word "s", NULL, NULL, 0, 0, 0, group_list}, \
        {word " show", "NAME", "one " word, NULL, NULL, 0, 1, 1, group_show}, \
        {word " set", "NAME",   "change a " word "; what is not named stays", more, OPTIONS(set_opts), 1, \
         1,           group_set}, \
    { \
        word " delete", "NAME", "delete a " word " " deletable, NULL, NULL, 0, 1, 1, group_delete \
    }

#define TEAM_EXAMPLES \
    "Example: ringway team create research --plan production --usd-per-month 500 --models gpt-4o-mini\n" \
    "         ringway team set research --rpm 600 --tokens 5000000/day\n"
#define TENANT_EXAMPLES "Example: ringway tenant create acme --usd-per-month 20000\n"
#define PLAN_EXAMPLES \
    "Keys, teams and tenants that have the plan take from it each limit that they do not have " \
    "themselves.\n\n" \
    "Example: ringway plan create bronze --requests 5/second:20 --tokens 1000000/day --concurrency 8\n" \
    "         ringway team set research --plan bronze\n"

const struct cli_command cli_admin_commands[] = {
    {"key create", "", "make a key and show it, once",
     "Example: ringway key create --team research --name ci --models gpt-4o-mini --expires 90d --rpm 60\n",
     OPTIONS(key_options), 0, 0, key_create},
    {"key import", "FILE", "take in keys that exist: one a line, a name behind it",
     "Keys are kept as a keyed hash; the file is not needed afterwards.\n", OPTIONS(key_list_options), 1, 1,
     key_import},
    {"key list", "", "all keys", NULL, OPTIONS(key_list_options), 0, 0, key_list},
    {"key show", "ID", "one key", NULL, NULL, 0, 1, 1, key_show},
    {"key set", "ID", "change a key; what is not named stays", NULL, OPTIONS(key_set_options), 1, 1, key_set},
    {"key rotate", "ID", "a new text for a key; the old one stays good for a while", NULL,
     OPTIONS(rotate_options), 1, 1, key_rotate},
    {"key revoke", "ID", "refuse a key from the next request on, for ever", NULL, NULL, 0, 1, 1, key_revoke},
    {"key delete", "ID", "forget a key", NULL, NULL, 0, 1, 1, key_delete},
    GROUP("team", team_options, set_options, TEAM_EXAMPLES, "without keys"),
    GROUP("tenant", set_options, set_options, TENANT_EXAMPLES, "without teams"),
    GROUP("plan", plan_options, plan_options, PLAN_EXAMPLES, "that nobody has"),
    {"audit tail", "", "what administrators did last", NULL, OPTIONS(tail_options), 0, 0, audit_tail},
    {"audit verify", "", "check that the audit was not changed", NULL, NULL, 0, 0, 0, audit_verify},
};
const uint32_t cli_admin_command_count = COUNT(cli_admin_commands);
