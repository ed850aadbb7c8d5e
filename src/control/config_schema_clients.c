// The keys of clients: who they are and what they may use, see config_schema.c.
#include "control/config_priv.h"

// --- Limits of accounts and models.

#define LIMIT_COUNT(name, field, text) \
    { \
        .key = name, .kind = CONFIG_K_WHOLE, AT(config_rates, field), .min = 0, .max = INT64_C(1000000000), \
        .doc = text \
    }
#define LIMIT_USD(name, field, text) \
    { \
        .key = name, .kind = CONFIG_K_USD, AT(config_rates, field), .doc = text \
    }

static const char *const windows[] = {"second", "minute", "hour", "day", NULL};
static const char *const limit_modes[] = {"token_bucket", "fixed_window", NULL};
static_assert(LIMIT_SECOND == 0 && LIMIT_DAY == 3, "order of choices");

static const struct config_option rate_options[] = {
    {.key = "window",
     .kind = CONFIG_K_CHOICE,
     AT(config_rate, window),
     .flags = CONFIG_F_REQUIRED,
     .choices = windows,
     .doc = "The time it is for. A day is a quota that is whole again at midnight UTC."},
    {.key = "requests",
     .kind = CONFIG_K_WHOLE,
     AT(config_rate, requests),
     .min = 1,
     .max = INT64_C(1000000000),
     .doc = "How many requests; either this or tokens."},
    {.key = "tokens",
     .kind = CONFIG_K_WHOLE,
     AT(config_rate, tokens),
     .min = 1,
     .max = INT64_C(1000000000000),
     .doc = "How many tokens, of prompt and answer together."},
    {.key = "burst",
     .kind = CONFIG_K_WHOLE,
     AT(config_rate, burst),
     .min = 1,
     .max = INT64_C(1000000000),
     .doc = "How many at once, if not as many as in the window."},
};
static const struct config_section rate_section = {.name = "rates[]",
                                                   .options = rate_options,
                                                   .count = COUNT(rate_options),
                                                   .size = sizeof(struct config_rate)};

static const struct config_option rates_options[] = {
    LIMIT_COUNT("rpm", rpm, "Requests per minute."),
    LIMIT_COUNT("tpm", tpm, "Tokens per minute, of prompts and answers together."),
    LIMIT_COUNT("concurrency", concurrency, "Requests at the same time."),
    LIMIT_USD("usd_per_request", usd_per_request, "The most that one request may cost."),
    LIMIT_USD("usd_per_day", usd_per_day, "Money in a day (UTC)."),
    LIMIT_USD("usd_per_month", usd_per_month, "Money in a month."),
    {.key = "hard",
     .kind = CONFIG_K_BOOL,
     AT(config_rates, hard),
     .def = "true",
     .doc = "Money is never exceeded: each request reserves what it could cost at most. With false requests "
            "are let in "
            "as long as anything is left."},
    {.key = "shadow",
     .kind = CONFIG_K_BOOL,
     AT(config_rates, shadow),
     .def = "false",
     .doc = "Only counted, nothing is refused."},
    {.key = "mode",
     .kind = CONFIG_K_CHOICE,
     AT(config_rates, mode),
     .choices = limit_modes,
     .def = "token_bucket",
     .doc = "How rates count: token_bucket, or fixed_window, which begins anew at the window's start."},
    {.key = "rates",
     .kind = CONFIG_K_LIST,
     LIST_AT(config_rates, rates, rate_count),
     .section = &rate_section,
     .max = LIMIT_RATES_MAX,
     .doc = "More rates, each with a window of its own."},
};

#define LIMITS_SECTION(symbol, text) \
    struct config_section symbol = {.name = text, \
                                    .options = rates_options, \
                                    .count = COUNT(rates_options), \
                                    .finish = config_limits_finish}
const LIMITS_SECTION(config_model_limits_section, "models[].limits");
static const LIMITS_SECTION(key_limits_section, "keys[].limits");
static const LIMITS_SECTION(global_limits_section, "global.limits");
static const LIMITS_SECTION(end_users_limits_section, "end_users.limits");

static const struct config_option global_options[] = {
    {.key = "limits",
     .kind = CONFIG_K_SECTION,
     AT(config, global),
     .section = &global_limits_section,
     .doc = "Of all requests together."},
};
const struct config_section config_global_section = {
    .name = "global", .options = global_options, .count = COUNT(global_options)};

// --- Clients.

static const struct config_option end_users_options[] = {
    {.key = "limits",
     .kind = CONFIG_K_SECTION,
     AT(config, end_users),
     .section = &end_users_limits_section,
     .doc = "Of each end user: whom x-ringway-user or the body's `user` names, within a tenant."},
};
const struct config_section config_end_users_section = {
    .name = "end_users", .options = end_users_options, .count = COUNT(end_users_options)};

static const struct config_option key_options[] = {
    {.key = "name",
     .kind = CONFIG_K_NAME,
     AT(config_key, name),
     .flags = CONFIG_F_REQUIRED,
     .min = 1,
     .max = 64,
     .doc = "How logs call this key."},
    {.key = "key",
     .kind = CONFIG_K_SECRET,
     AT(config_key, key),
     .flags = CONFIG_F_REQUIRED | CONFIG_F_SECRET,
     .min = 8,
     .max = 512,
     .doc = "What the client sends: 8 visible characters or more; below 20 there is a warning."},
    {.key = "team",
     .kind = CONFIG_K_NAME,
     AT(config_key, team),
     .min = 1,
     .max = 64,
     .def = "default",
     .doc = "Whom it belongs to."},
    {.key = "models",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_MODEL_REF,
     LIST_AT(config_key, models, model_count),
     .max = KEY_MODELS_MAX,
     .def = "[]",
     .doc = "The only models it may use: names of models, or PROVIDER/MODEL. Empty: all."},
    {.key = "providers",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_NAME,
     LIST_AT(config_key, providers, provider_count),
     .max = PROVIDERS_MAX,
     .def = "[]",
     .doc = "The only providers it may use. Empty: all."},
    {.key = "regions",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_NAME,
     LIST_AT(config_key, regions, region_count),
     .max = PROVIDERS_MAX,
     .def = "[]",
     .doc = "It may use only providers whose region is one of these. Empty: all."},
    {.key = "cidrs",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_CIDR,
     LIST_AT(config_key, cidrs, cidr_count),
     .max = TRUSTED_PROXIES_MAX,
     .def = "[]",
     .doc = "The only networks it may come from. Empty: all."},
    {.key = "disabled",
     .kind = CONFIG_K_BOOL,
     AT(config_key, disabled),
     .def = "false",
     .doc = "Refuses this key without forgetting it."},
    {.key = "limits",
     .kind = CONFIG_K_SECTION,
     AT(config_key, limits),
     .section = &key_limits_section,
     .doc = "What it may use. Needs a data_dir."},
};
const struct config_section config_key_section = {.name = "keys[]",
                                                  .options = key_options,
                                                  .count = COUNT(key_options),
                                                  .unique = {"name", "key"},
                                                  .size = sizeof(struct config_key),
                                                  .finish = config_key_finish};

static const struct config_option cors_options[] = {
    {.key = "origins",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_ORIGIN,
     LIST_AT(config, cors_origins, cors_origin_count),
     .max = CORS_ENTRIES_MAX,
     .def = "[\"*\"]",
     .doc = "Web pages that may call: \"*\" or origins such as https://app.example.com."},
    {.key = "headers",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_TOKEN,
     LIST_AT(config, cors_headers, cors_header_count),
     .max = CORS_ENTRIES_MAX,
     .def = "[]",
     .doc = "Request fields they may send beside the usual ones."},
};
const struct config_section config_cors_section = {
    .name = "cors", .options = cors_options, .count = COUNT(cors_options)};
