// See admin_table.h.
#include "control/admin_table.h"

#include "control/admin.h"
#include "wire/url.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))
#define FIELDS(array) .fields = array, .count = COUNT(array)
#define PARAMS(array) .params = array, .param_count = COUNT(array)

#define EXPIRES \
    "^([1-9][0-9]{0,4}[dhm]|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])" \
    "(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?)$"
#define NAME_PATTERN "^[^\\u0000-\\u001f\\u007f]+$"
#define NAME(what, more_flags) \
    { \
        "name", what, ADMIN_TEXT, more_flags, NAME_PATTERN, NULL, 1, STORE_NAME_BYTES_MAX \
    }

// --- Objects.

// What a day gives at ten million a second.
#define RATE_MAX UINT64_C(864000000000)

static const struct admin_field rate_fields[] = {
    {"window", "Of what time.", ADMIN_TEXT, ADMIN_NEEDED, "second|minute|hour|day", NULL, 0, 0},
    {"requests", "How many requests; this or tokens.", ADMIN_COUNT, 0, NULL, NULL, 1, RATE_MAX},
    {"tokens", "How many tokens; this or requests.", ADMIN_COUNT, 0, NULL, NULL, 1, RATE_MAX},
    {"burst", "How many at once; as many as in one window if left out. Not with a day.", ADMIN_COUNT, 0, NULL,
     NULL, 0, RATE_MAX},
};
static const struct admin_schema rate_schema = {"Rate", FIELDS(rate_fields), false};

static const struct admin_field limits_fields[] = {
    {"rpm", "Requests per minute.", ADMIN_COUNT, ADMIN_NULL, NULL, NULL, 1, 600000000},
    {"tpm", "Tokens per minute.", ADMIN_COUNT, ADMIN_NULL, NULL, NULL, 1, 600000000},
    {"rates", "More rates: each window once for requests and once for tokens.", ADMIN_LIST, ADMIN_NULL, NULL,
     &rate_schema, 0, 8},
    {"concurrency", "Requests at once.", ADMIN_COUNT, ADMIN_NULL, NULL, NULL, 1, 1000000000},
    {"usd_per_request", "Money per request.", ADMIN_USD, ADMIN_NULL, NULL, NULL, 0, 4000000},
    {"usd_per_day", "Money per day.", ADMIN_USD, ADMIN_NULL, NULL, NULL, 0, 4000000},
    {"usd_per_month", "Money per month.", ADMIN_USD, ADMIN_NULL, NULL, NULL, 0, 4000000},
    {"hard", "Whether to refuse what could exceed the money in the worst case; true if left out.", ADMIN_BOOL,
     ADMIN_NULL, NULL, NULL, 0, 0},
    {"shadow", "Count, but refuse nothing.", ADMIN_BOOL, ADMIN_NULL, NULL, NULL, 0, 0},
    {"mode", "How rates are counted.", ADMIN_TEXT, ADMIN_NULL, "token_bucket|fixed_window", NULL, 0, 0},
};
static const struct admin_schema limits_schema = {"Limits", FIELDS(limits_fields), false};

static const struct admin_field used_fields[] = {
    {"what", "Which limit.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"used", "Used until now.", ADMIN_USD, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"limit", "Of how much.", ADMIN_USD, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema used_schema = {"Used", FIELDS(used_fields), false};

#define ACCOUNT_FIRST \
    { \
        "id", "A number that is never used twice.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 1, 0 \
    }
#define ACCOUNT_LIMITS \
    { \
        "limits", "What it may use; null takes a limit away.", ADMIN_OBJECT, ADMIN_NULL, NULL, \
            &limits_schema, 0, 0 \
    }
#define ACCOUNT_ACCESS \
    {"plan", \
     "The plan whose limits it has where it has none of its own.", \
     ADMIN_TEXT, \
     ADMIN_NULL, \
     NAME_PATTERN, \
     NULL, \
     1, \
     STORE_NAME_BYTES_MAX}, \
        {"disabled", "Refused for now.", ADMIN_BOOL, 0, NULL, NULL, 0, 0}, \
        {"models", "The only models it may use; all if left out.", ADMIN_TEXTS, ADMIN_NULL, NULL, NULL, 0, 0}, \
        {"providers", "The only providers it may use.", ADMIN_TEXTS, ADMIN_NULL, NULL, NULL, 0, 0}, \
        {"cidrs",     "The only networks it may come from, such as 10.0.0.0/8.", \
         ADMIN_TEXTS, ADMIN_NULL, \
         "cidr",      NULL, \
         0,           0}, \
        {"tags", "For chargeback.", ADMIN_TAGS, ADMIN_NULL, NULL, NULL, 0, 0}, \
    { \
        "expires", "A time in UTC, or from now: 30d, 12h, 90m. Answers have the time.", ADMIN_TEXT, \
            ADMIN_NULL, EXPIRES, NULL, 0, 0 \
    }
#define ACCOUNT_TIMES \
    { \
        "created_at", \
        "When it was made.", \
        ADMIN_TIME, \
        ADMIN_NEEDED | ADMIN_READ | ADMIN_NULL, \
        NULL, \
        NULL, \
        0, \
        0}, \
    { \
        "updated_at", "When it was changed last.", ADMIN_TIME, ADMIN_NEEDED | ADMIN_READ | ADMIN_NULL, NULL, \
            NULL, 0, 0 \
    }
#define ACCOUNT_USED \
    { \
        "used", "What of its limits is used; of a running server, when one record is asked for.", \
            ADMIN_LIST, ADMIN_READ, NULL, &used_schema, 0, 0 \
    }

static const struct admin_field tenant_fields[] = {
    ACCOUNT_FIRST,  NAME("Its name, unique among tenants.", ADMIN_NEEDED),
    ACCOUNT_LIMITS, ACCOUNT_ACCESS,
    ACCOUNT_TIMES,  ACCOUNT_USED};
static const struct admin_schema tenant_schema = {"Tenant", FIELDS(tenant_fields), false};

static const struct admin_field team_fields[] = {
    ACCOUNT_FIRST,
    NAME("Its name, unique among teams.", ADMIN_NEEDED),
    {"tenant", "Whom it belongs to, by name or id; tenant default if left out. Stays for ever.", ADMIN_TEXT,
     0, NULL, NULL, 1, STORE_NAME_BYTES_MAX},
    ACCOUNT_LIMITS,
    ACCOUNT_ACCESS,
    ACCOUNT_TIMES,
    ACCOUNT_USED,
    {"from_file", "It was made because the configuration file names it.", ADMIN_BOOL, ADMIN_READ, NULL, NULL,
     0, 0}};
static const struct admin_schema team_schema = {"Team", FIELDS(team_fields), false};

static const struct admin_field key_fields[] = {
    ACCOUNT_FIRST,
    NAME("How people call it; its prefix if left out. Several keys may have one name.", 0),
    {"prefix", "The beginning of its text.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
    {"team", "Whom it belongs to, by name or id; team default if left out. Stays for ever.", ADMIN_TEXT, 0,
     NULL, NULL, 1, STORE_NAME_BYTES_MAX},
    {"tenant", "Whom its team belongs to.", ADMIN_TEXT, ADMIN_READ, NULL, NULL, 0, 0},
    ACCOUNT_LIMITS,
    ACCOUNT_ACCESS,
    {"revoked", "Refused for ever.", ADMIN_BOOL, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
    {"from_file", "It stands in the configuration file, which is where it is changed.", ADMIN_BOOL,
     ADMIN_READ, NULL, NULL, 0, 0},
    ACCOUNT_TIMES,
    {"previous_until", "Until when the text before the last rotation is good.", ADMIN_TIME, ADMIN_READ, NULL,
     NULL, 0, 0},
    ACCOUNT_USED,
};
static const struct admin_schema key_schema = {"Key", FIELDS(key_fields), false};

#define KEY_TEXT "^[!-~]+$"
// The same with its text, which is shown when it is made.
static const struct admin_field new_key_fields[] = {
    {"key", "Its text: shown this once. Given, it is taken in; left out, it is made.", ADMIN_TEXT, 0,
     KEY_TEXT, NULL, 8, 512},
    ACCOUNT_FIRST,
    NAME("How people call it; its prefix if left out. Several keys may have one name.", 0),
    {"prefix", "The beginning of its text.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
    {"team", "Whom it belongs to, by name or id; team default if left out. Stays for ever.", ADMIN_TEXT, 0,
     NULL, NULL, 1, STORE_NAME_BYTES_MAX},
    {"tenant", "Whom its team belongs to.", ADMIN_TEXT, ADMIN_READ, NULL, NULL, 0, 0},
    ACCOUNT_LIMITS,
    ACCOUNT_ACCESS,
    {"revoked", "Refused for ever.", ADMIN_BOOL, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
    ACCOUNT_TIMES,
    {"previous_until", "Until when the text before the last rotation is good.", ADMIN_TIME, ADMIN_READ, NULL,
     NULL, 0, 0},
};
static const struct admin_schema new_key_schema = {"NewKey", FIELDS(new_key_fields), false};

static const struct admin_field plan_fields[] = {
    ACCOUNT_FIRST, NAME("Its name, unique among plans.", ADMIN_NEEDED), ACCOUNT_LIMITS, ACCOUNT_TIMES};
static const struct admin_schema plan_schema = {"Plan", FIELDS(plan_fields), false};

static const struct admin_field deleted_fields[] = {
    {"deleted", "True.", ADMIN_BOOL, ADMIN_NEEDED, NULL, NULL, 0, 0}};
static const struct admin_schema deleted_schema = {"Deleted", FIELDS(deleted_fields), false};

static const struct admin_field rotate_fields[] = {{"overlap_hours",
                                                    "How long the old text stays good; 24 if left out.",
                                                    ADMIN_COUNT, 0, NULL, NULL, 0, 720}};
static const struct admin_schema rotate_schema = {"Rotation", FIELDS(rotate_fields), false};

static const struct admin_field audit_fields[] = {
    {"sequence", "Its number.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"time_ms", "Milliseconds since 1970 in UTC.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"action", "What was done, such as key.create.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"actor", "Who did it.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"kind", "To what.", ADMIN_TEXT, 0, "tenant|team|key|plan", NULL, 0, 0},
    {"id", "The id of that.", ADMIN_COUNT, 0, NULL, NULL, 0, 0},
    {"name", "And its name.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"detail", "The body of the request, without secrets.", ADMIN_ANY, 0, NULL, NULL, 0, 0},
};
static const struct admin_schema audit_schema = {"AuditEntry", FIELDS(audit_fields), false};

static const struct admin_field verify_fields[] = {
    {"whole", "Whether no entry was changed or taken out.", ADMIN_BOOL, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"entries", "How many there are.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"broken_at", "The first that does not fit.", ADMIN_COUNT, 0, NULL, NULL, 0, 0},
    {"head", "The hash of the last: note it elsewhere to notice if the end is cut off.", ADMIN_TEXT,
     ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema verify_schema = {"AuditState", FIELDS(verify_fields), false};

static const struct admin_field day_fields[] = {
    {"date", "In UTC.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"requests", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"input_tokens", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"output_tokens", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"cost_usd", "", ADMIN_USD, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema day_schema = {"UsageDay", FIELDS(day_fields), true};

static const struct admin_field period_fields[] = {
    {"days", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"start", "The first day.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"end", "The last.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema period_schema = {"UsagePeriod", FIELDS(period_fields), true};

static const struct admin_field summary_fields[] = {
    {"total_requests", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"total_input_tokens", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"total_output_tokens", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"total_tokens", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"total_cost_usd", "", ADMIN_USD, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema summary_schema = {"UsageSummary", FIELDS(summary_fields), true};

static const struct admin_field usage_fields[] = {
    {"period", "", ADMIN_OBJECT, ADMIN_NEEDED, NULL, &period_schema, 0, 0},
    {"summary", "", ADMIN_OBJECT, ADMIN_NEEDED, NULL, &summary_schema, 0, 0},
    {"daily", "", ADMIN_LIST, ADMIN_NEEDED, NULL, &day_schema, 0, 0},
};
static const struct admin_schema usage_schema = {"Usage", FIELDS(usage_fields), true};

static const struct admin_field attempt_fields[] = {
    {"model", "", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
    {"provider", "", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
    {"upstream_model", "", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
    {"status", "", ADMIN_COUNT, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
    {"end", "How it ended.", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
    {"tokens", "By class.", ADMIN_SUMS, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"cost_usd", "null: the model has no price.", ADMIN_USD, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
    {"flags", "", ADMIN_TEXTS, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"duration_us", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema attempt_schema = {"Attempt", FIELDS(attempt_fields), true};

static const struct admin_field explain_fields[] = {
    {"request_id", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"time", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"tenant", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"team", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"key", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"cache", "Whether the cache answered.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"attempts", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"other_attempts", "Those that were charged besides the one that answered.", ADMIN_LIST, ADMIN_NEEDED,
     NULL, &attempt_schema, 0, 0},
    {"total_cost_usd", "Of all attempts.", ADMIN_USD, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"story", "The same as sentences.", ADMIN_TEXTS, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema explain_schema = {"Explanation", FIELDS(explain_fields), true};

static const struct admin_field cache_fields[] = {
    {"entries", "Answers that can be found.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"bytes", "Of its files.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"max_bytes", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"written", "Since the server began, as are the next ones.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"evicted", "Made room for newer ones.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"purged", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"failed", "Could not be written.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"damaged", "Were not what they should be when they were read.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0,
     0},
    {"writes", "false: another process keeps answers, and this one only reads them.", ADMIN_BOOL,
     ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema cache_schema = {"Cache", FIELDS(cache_fields), false};

static const struct admin_field used_row_fields[] = {
    {"kind", "", ADMIN_TEXT, ADMIN_NEEDED, "tenant|team|key", NULL, 0, 0},
    {"id", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"name", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"used", "", ADMIN_LIST, 0, NULL, &used_schema, 0, 0},
};
static const struct admin_schema used_row_schema = {"LimitsUsed", FIELDS(used_row_fields), false};

static const struct admin_field price_fields[] = {
    {"model", "type/model, as prices_file names it.", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0}};
static const struct admin_schema price_schema = {"Price", FIELDS(price_fields), true};

static const struct admin_field status_fields[] = {
    {"version", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"build", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"started_at", "", ADMIN_TIME, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"config", "The file, or null.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
    {"generation", "Of the configuration in force; each reload adds one.", ADMIN_COUNT, ADMIN_NEEDED, NULL,
     NULL, 0, 0},
    {"draining", "", ADMIN_BOOL, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"io", "", ADMIN_TEXT, ADMIN_NEEDED, "io_uring|epoll", NULL, 0, 0},
    {"workers", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"connections", "Of clients, open now.", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"listen", "", ADMIN_TEXTS, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"data_dir", "null: nothing is kept.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
    {"ledger_waiting", "Records in journals that are not committed yet.", ADMIN_COUNT, ADMIN_NEEDED, NULL,
     NULL, 0, 0},
};
static const struct admin_schema status_schema = {"Status", FIELDS(status_fields), false};

static const struct admin_field native_fields[] = {
    {"team_id", "The team, made if there is none of that name.", ADMIN_TEXT, ADMIN_NEEDED, NAME_PATTERN, NULL,
     1, STORE_NAME_BYTES_MAX},
    {"team_name", "The key's name; team_id if left out.", ADMIN_TEXT, 0, NAME_PATTERN, NULL, 1,
     STORE_NAME_BYTES_MAX},
    {"rate_limit_rpm", "Requests in a fixed window of a minute; 60 if left out.", ADMIN_COUNT, 0, NULL, NULL,
     1, 600000000},
    {"api_key", "Shown this once.", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
    {"message", "", ADMIN_TEXT, ADMIN_NEEDED | ADMIN_READ, NULL, NULL, 0, 0},
};
static const struct admin_schema native_schema = {"TeamKey", FIELDS(native_fields), false};

static const struct admin_field native_row_fields[] = {
    {"api_key_prefix", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"team_id", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"team_name", "", ADMIN_TEXT, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"rate_limit_rpm", "", ADMIN_COUNT, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
    {"is_active", "", ADMIN_BOOL, ADMIN_NEEDED, NULL, NULL, 0, 0},
    {"created_at", "", ADMIN_TIME, ADMIN_NEEDED | ADMIN_NULL, NULL, NULL, 0, 0},
};
static const struct admin_schema native_row_schema = {"TeamKeyRow", FIELDS(native_row_fields), false};
static const struct admin_field native_list_fields[] = {
    {"keys", "", ADMIN_LIST, ADMIN_NEEDED, NULL, &native_row_schema, 0, 0},
    {"count", "", ADMIN_COUNT, ADMIN_NEEDED, NULL, NULL, 0, 0},
};
static const struct admin_schema native_list_schema = {"TeamKeys", FIELDS(native_list_fields), false};

// --- Parameters.

#define LIMIT_PARAM \
    { \
        "limit", "Rows at most; 100 if left out.", ADMIN_COUNT, 0, NULL, NULL, 1, 1000 \
    }
#define AFTER_PARAM \
    { \
        "after", "What `next` of the page before said.", ADMIN_COUNT, 0, NULL, NULL, 0, UINT32_MAX \
    }

static const struct admin_field list_params[] = {LIMIT_PARAM, AFTER_PARAM};
static const struct admin_field team_list_params[] = {
    LIMIT_PARAM,
    AFTER_PARAM,
    {"tenant", "Only teams of this tenant, by name or id.", ADMIN_TEXT, 0, NULL, NULL, 1, 0}};
static const struct admin_field key_list_params[] = {
    LIMIT_PARAM,
    AFTER_PARAM,
    {"team", "Only keys of this team, by name or id.", ADMIN_TEXT, 0, NULL, NULL, 1, 0}};
static const struct admin_field audit_params[] = {
    LIMIT_PARAM, {"before", "Only entries before this number.", ADMIN_COUNT, 0, NULL, NULL, 0, INT64_MAX}};
static const struct admin_field usage_params[] = {
    {"days", "Of the last days, in UTC, with today; 30 if left out.", ADMIN_COUNT, 0, NULL, NULL, 1, 3660},
    {"group_by", "Sums by what; model if left out.", ADMIN_TEXT, 0, "day|tenant|team|key|model|provider|tag",
     NULL, 0, 0},
    {"limit", "Rows at most, the largest; 1000 if left out.", ADMIN_COUNT, 0, NULL, NULL, 1, 10000},
    {"tenant", "Only of this tenant, by name or id.", ADMIN_TEXT, 0, NULL, NULL, 1, 0},
    {"team", "Only of this team, by name or id.", ADMIN_TEXT, 0, NULL, NULL, 1, 0},
    {"key", "Only of this key, by name or id.", ADMIN_TEXT, 0, NULL, NULL, 1, 0},
    {"model", "Only of this model.", ADMIN_TEXT, 0, NULL, NULL, 1, 0},
    {"provider", "Only of this provider.", ADMIN_TEXT, 0, NULL, NULL, 1, 0},
    {"tag", "Only with this tag, as k=v. Tags are summed by day, tenant and team only.", ADMIN_TEXT, 0, NULL,
     NULL, 1, 0},
};
static const struct admin_field limits_params[] = {
    {"kind", "Of which accounts; team if left out.", ADMIN_TEXT, 0, "tenant|team|key", NULL, 0, 0},
    LIMIT_PARAM,
    AFTER_PARAM,
};
static const struct admin_field prices_params[] = {
    {"prefix", "Only models whose name begins so.", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
    LIMIT_PARAM,
    {"after", "What `next` of the page before said.", ADMIN_TEXT, 0, NULL, NULL, 0, 0},
};

// --- Operations.

#define ACCOUNTS(word, Kind, schema, made, lists) \
    {.method = HTTP_GET, \
     .path = "/admin/v1/" word "s", \
     .id = word "_list", \
     .summary = "All " word "s, in pages.", \
     PARAMS(lists), \
     .answer = &schema, \
     .status = 200, \
     .flags = ADMIN_LISTS, \
     .kind = Kind, \
     .run = admin_account_list}, \
        {.method = HTTP_POST, \
         .path = "/admin/v1/" word "s", \
         .id = word "_create", \
         .summary = "Makes a " word ".", \
         .body = &made, \
         .answer = &made, \
         .status = 201, \
         .flags = ADMIN_ETAG | (Kind == STORE_KEY ? ADMIN_BODY_FREE : 0), \
         .kind = Kind, \
         .run = admin_account_create}, \
        {.method = HTTP_GET, \
         .path = "/admin/v1/" word "s/{id}", \
         .id = word "_show", \
         .summary = "One " word ", by its id or name.", \
         .answer = &schema, \
         .status = 200, \
         .flags = ADMIN_ETAG, \
         .kind = Kind, \
         .run = admin_account_show}, \
        {.method = HTTP_PUT, \
         .path = "/admin/v1/" word "s/{id}", \
         .id = word "_put", \
         .summary = \
             "Makes the " word " what the body says, and makes it if there is none of that name. Said " \
             "twice, it changes nothing the second time.", \
         .body = &schema, \
         .answer = &made, \
         .status = 200, \
         .flags = ADMIN_ETAG | ADMIN_MAKES, \
         .kind = Kind, \
         .run = admin_account_put}, \
        {.method = HTTP_PATCH, \
         .path = "/admin/v1/" word "s/{id}", \
         .id = word "_change", \
         .summary = "Changes what the body names and leaves the rest.", \
         .body = &schema, \
         .answer = &schema, \
         .status = 200, \
         .flags = ADMIN_ETAG, \
         .kind = Kind, \
         .run = admin_account_change}, \
    { \
        .method = HTTP_DELETE, .path = "/admin/v1/" word "s/{id}", .id = word "_delete", \
        .summary = "Forgets the " word ".", .answer = &deleted_schema, .status = 200, .flags = ADMIN_ETAG, \
        .kind = Kind, .run = admin_account_delete \
    }

const struct admin_route admin_routes[] = {
    ACCOUNTS("tenant", STORE_TENANT, tenant_schema, tenant_schema, list_params),
    ACCOUNTS("team", STORE_TEAM, team_schema, team_schema, team_list_params),
    ACCOUNTS("key", STORE_KEY, key_schema, new_key_schema, key_list_params),
    ACCOUNTS("plan", STORE_PLAN, plan_schema, plan_schema, list_params),
    {.method = HTTP_POST,
     .path = "/admin/v1/keys/{id}/rotate",
     .id = "key_rotate",
     .summary = "Gives the key a new text; the old one stays good for a while.",
     .body = &rotate_schema,
     .answer = &new_key_schema,
     .status = 200,
     .flags = ADMIN_ETAG | ADMIN_BODY_FREE,
     .kind = STORE_KEY,
     .run = admin_key_rotate},
    {.method = HTTP_POST,
     .path = "/admin/v1/keys/{id}/revoke",
     .id = "key_revoke",
     .summary = "Refuses the key from the next request on, for ever.",
     .answer = &key_schema,
     .status = 200,
     .flags = ADMIN_ETAG,
     .kind = STORE_KEY,
     .run = admin_key_revoke},
    {.method = HTTP_GET,
     .path = "/admin/v1/limits",
     .id = "limits_used",
     .summary = "What of their limits accounts have used until now.",
     PARAMS(limits_params),
     .answer = &used_row_schema,
     .status = 200,
     .flags = ADMIN_LISTS,
     .run = admin_limits_used},
    {.method = HTTP_GET,
     .path = "/admin/v1/usage",
     .id = "usage",
     .summary = "Requests, tokens and money, summed.",
     PARAMS(usage_params),
     .answer = &usage_schema,
     .status = 200,
     .run = admin_usage},
    {.method = HTTP_GET,
     .path = "/admin/v1/cache",
     .id = "cache_stats",
     .summary = "What the cache holds.",
     .answer = &cache_schema,
     .status = 200,
     .run = admin_cache_stats},
    {.method = HTTP_DELETE,
     .path = "/admin/v1/cache",
     .id = "cache_purge",
     .summary = "Forgets all answers.",
     .answer = &cache_schema,
     .status = 200,
     .run = admin_cache_purge},
    {.method = HTTP_GET,
     .path = "/admin/v1/explain/{id}",
     .id = "explain",
     .summary = "What happened to one request, by its x-request-id.",
     .answer = &explain_schema,
     .status = 200,
     .run = admin_explain},
    {.method = HTTP_GET,
     .path = "/admin/v1/audit",
     .id = "audit_list",
     .summary = "What administrators did, the last first.",
     PARAMS(audit_params),
     .answer = &audit_schema,
     .status = 200,
     .flags = ADMIN_LISTS,
     .run = admin_audit},
    {.method = HTTP_GET,
     .path = "/admin/v1/audit/state",
     .id = "audit_verify",
     .summary = "Whether the audit is whole.",
     .answer = &verify_schema,
     .status = 200,
     .run = admin_audit_verify},
    {.method = HTTP_GET,
     .path = "/admin/v1/prices",
     .id = "price_list",
     .summary = "What models cost, in US dollars per million tokens.",
     PARAMS(prices_params),
     .answer = &price_schema,
     .status = 200,
     .flags = ADMIN_LISTS | ADMIN_LIVE | ADMIN_NO_STORE,
     .run = admin_prices},
    {.method = HTTP_GET,
     .path = "/admin/v1/status",
     .id = "status",
     .summary = "The server that runs.",
     .answer = &status_schema,
     .status = 200,
     .flags = ADMIN_LIVE | ADMIN_NO_STORE,
     .run = admin_status},
    {.method = HTTP_POST,
     .path = "/admin/v1/reload",
     .id = "reload",
     .summary = "Loads the configuration file; a bad one changes nothing.",
     .answer = &status_schema,
     .status = 200,
     .flags = ADMIN_LIVE | ADMIN_NO_STORE,
     .run = admin_reload},
    {.method = HTTP_GET,
     .path = "/admin/v1/backup",
     .id = "backup",
     .summary = "Keys, teams and usage as an archive for `ringway restore`, without the pepper.",
     .status = 200,
     .flags = ADMIN_BYTES},
    {.method = HTTP_POST,
     .path = "/admin/keys",
     .id = "team_key_create",
     .summary = "A key for a team, as earlier gateways made them.",
     .body = &native_schema,
     .answer = &native_schema,
     .status = 201,
     .run = admin_native_create},
    {.method = HTTP_GET,
     .path = "/admin/keys",
     .id = "team_key_list",
     .summary = "All keys, as earlier gateways listed them.",
     .answer = &native_list_schema,
     .status = 200,
     .run = admin_native_list},
    {.method = HTTP_GET,
     .path = "/openapi.json",
     .id = "openapi",
     .summary = "This description.",
     .status = 200,
     .flags = ADMIN_OPEN | ADMIN_NO_STORE,
     .run = admin_openapi},
};
const uint32_t admin_route_count = COUNT(admin_routes);

static bool path_fits(const char *path, const struct span *segments, uint32_t n, struct span *ret_id)
{
    struct span rest = span_str(path), word, id = {NULL, 0};
    for (uint32_t i = 0; i < n; i++) {
        if (!url_path_next(&rest, &word)) return false;
        if (span_eq(word, SPAN("{id}"))) id = segments[i];
        else if (!span_eq(word, segments[i])) return false;
    }
    if (url_path_next(&rest, &word)) return false;
    if (id.p) *ret_id = id;
    return true;
}

const struct admin_route *admin_route_find(enum http_method method, const struct span *segments, uint32_t n,
                                           uint32_t *ret_methods, struct span *ret_id)
{
    if (method == HTTP_HEAD) method = HTTP_GET;
    *ret_methods = 0;
    for (uint32_t i = 0; i < admin_route_count; i++) {
        const struct admin_route *r = &admin_routes[i];
        if (!path_fits(r->path, segments, n, ret_id)) continue;
        if (r->method == method) return r;
        *ret_methods |= 1u << r->method;
    }
    return NULL;
}
