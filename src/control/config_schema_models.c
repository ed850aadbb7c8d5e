// The keys of providers and models, see config_schema.c.
#include "control/config_priv.h"

#define X(symbol, name) name,
static const char *const provider_types[] = {PROVIDER_TYPES(X) NULL};
#undef X

// --- Time limits upstream: the same keys at the top, where they have defaults, and for a provider or a
// model, where they have none.
#define TIMEOUTS(X) \
    X("connect", connect_ns, "5s", MS(1), MIN(10), "To connect to the provider.") \
    X("tls", tls_ns, "5s", MS(1), MIN(10), "For the TLS handshake behind it.") \
    X("first_byte", first_byte_ns, "off", 0, DAY(1), \
      "Streams only: from the request sent to the first byte of the answer, or off.") \
    X("first_token", first_token_ns, "off", 0, DAY(1), \
      "Streams only: from the request sent to the first token, or off.") \
    X("idle", idle_ns, "5m", MS(1), DAY(1), "Between two receives of an answer that has begun.") \
    X("total", total_ns, "10m", MS(1), DAY(7), \
      "For the whole call. A call that does not stream waits this long.")

#define TIMEOUT_TOP(name, field, value, least, most, text) \
    {.key = name, \
     .kind = CONFIG_K_DURATION, \
     AT(config_timeouts, field), \
     .def = value, \
     .min = least, \
     .max = most, \
     .flags = (least) == 0 ? CONFIG_F_OFF : 0, \
     .doc = text},
#define TIMEOUT_OWN(name, field, value, least, most, text) \
    {.key = name, \
     .kind = CONFIG_K_DURATION, \
     AT(config_timeouts, field), \
     .min = least, \
     .max = most, \
     .flags = (least) == 0 ? CONFIG_F_OFF : 0, \
     .doc = text},

static const struct config_option timeout_options[] = {TIMEOUTS(TIMEOUT_TOP)};
static const struct config_option own_timeout_options[] = {TIMEOUTS(TIMEOUT_OWN)};

const struct config_section config_timeouts_section = {
    .name = "timeouts", .options = timeout_options, .count = COUNT(timeout_options)};
static const struct config_section provider_timeouts_section = {
    .name = "providers.NAME.timeouts", .options = own_timeout_options, .count = COUNT(own_timeout_options)};
static const struct config_section model_timeouts_section = {
    .name = "models[].timeouts", .options = own_timeout_options, .count = COUNT(own_timeout_options)};

// --- Providers and models.

#define PROVIDER_FILE(field, text) \
    { \
        .key = #field, .kind = CONFIG_K_TEXT, AT(config_provider, field), .min = 1, .max = KIB(4), \
        .doc = text \
    }

#define PROVIDER_SECRET(field, most, text) \
    { \
        .key = #field, .kind = CONFIG_K_SECRET, AT(config_provider, field), .flags = CONFIG_F_SECRET, \
        .min = 1, .max = most, .doc = text \
    }

static const struct config_option provider_options[] = {
    {.key = "type",
     .kind = CONFIG_K_CHOICE,
     AT(config_provider, type),
     .flags = CONFIG_F_REQUIRED,
     .choices = provider_types,
     .doc = "What speaks there: a provider by its name, or a server with OpenAI's dialect (vllm, llamacpp, "
            "ollama, openai_compatible); echo is built in and needs no network."},
    {.key = "base_url",
     .kind = CONFIG_K_URL,
     AT(config_provider, base_url),
     .doc =
         "http:// or https:// origin and path, with /v1 (anthropic, azure, bedrock, cohere, gemini, vertex: "
         "without); "
         "a slash at the end does not matter. All but azure, llamacpp and openai_compatible have their usual "
         "one as default."},
    {.key = "api_key",
     .kind = CONFIG_K_SECRET,
     AT(config_provider, api_key),
     .flags = CONFIG_F_SECRET,
     .min = 1,
     .max = KIB(4),
     .doc = "Sent as bearer token, or as the provider's API wants it. What the client sent never goes up."},
    {.key = "region",
     .kind = CONFIG_K_NAME,
     AT(config_provider, region),
     .min = 1,
     .max = 64,
     .doc = "Where it computes, for keys that are held to regions. bedrock: AWS's region, for the usual "
            "base_url and for signatures; without it $AWS_REGION or $AWS_DEFAULT_REGION."},
    PROVIDER_SECRET(
        access_key_id, 128,
        "bedrock: signs requests with this key of AWS (SigV4) instead of api_key. Without either, keys are "
        "looked for where AWS's tools do: environment, profile, container, EC2's metadata."),
    PROVIDER_SECRET(secret_access_key, 128, "bedrock: the secret of access_key_id."),
    PROVIDER_SECRET(session_token, KIB(8), "bedrock: of temporary credentials."),
    {.key = "project",
     .kind = CONFIG_K_NAME,
     AT(config_provider, project),
     .min = 1,
     .max = 64,
     .doc = "vertex: the project of Google's cloud. Without it $GOOGLE_PROJECT_ID."},
    {.key = "location",
     .kind = CONFIG_K_NAME,
     AT(config_provider, location),
     .min = 1,
     .max = 64,
     .doc = "vertex: a region, or us, eu, global; also what region says of others. Without it "
            "$GOOGLE_LOCATION."},
    PROVIDER_FILE(
        credentials,
        "vertex: a service account's file, or one of an authorized user or a workload identity. Without "
        "it $GOOGLE_APPLICATION_CREDENTIALS, else the machine's metadata server is asked."),
    {.key = "api_version",
     .kind = CONFIG_K_NAME,
     AT(config_provider, api_version),
     .min = 1,
     .max = 64,
     .doc = "azure: asks /openai/deployments/MODEL with this api-version. Without it /openai/v1 is asked."},
    {.key = "headers",
     .kind = CONFIG_K_HEADERS,
     LIST_AT(config_provider, headers, header_count),
     .flags = CONFIG_F_SECRET,
     .max = PROVIDER_HEADERS_MAX,
     .doc = "More fields for every request to this provider, as NAME: VALUE."},
    {.key = "timeouts",
     .kind = CONFIG_K_SECTION,
     AT(config_provider, timeouts),
     .section = &provider_timeouts_section,
     .doc = "Instead of those of the top level."},
    {.key = "connect_to",
     .kind = CONFIG_K_ADDRESS,
     AT(config_provider, connect_to),
     .flags = CONFIG_F_UNIX | CONFIG_F_PORT_OPTIONAL,
     .doc = "Connect there instead of to what the host of base_url resolves to: IP, IP:PORT or unix:/path."},
    {.key = "bind_address",
     .kind = CONFIG_K_ADDRESS,
     AT(config_provider, bind_address),
     .flags = CONFIG_F_NO_PORT,
     .doc = "The local IP address that connections to this provider leave from."},
    {.key = "proxy",
     .kind = CONFIG_K_PROXY,
     AT(config_provider, proxy),
     .flags = CONFIG_F_SECRET,
     .max = PROXY_TEXT_BYTES_MAX,
     .doc = "The HTTP proxy for this provider instead of the top level's, whatever NO_PROXY says; or off."},
    PROVIDER_FILE(ca_file,
                  "For https: a PEM file with the CAs to trust, instead of the system's "
                  "($SSL_CERT_FILE, or where the distribution keeps it)."),
    PROVIDER_FILE(client_certificate,
                  "For https: a PEM file with the certificate to show to a provider that "
                  "asks for one, and its chain."),
    PROVIDER_FILE(client_key, "For https: a PEM file with its private key, RSA or EC."),
    PROVIDER_FILE(client_passphrase_file,
                  "If client_key is encrypted: a file whose first line is its passphrase."),
};
const struct config_section config_provider_section = {.name = "providers.NAME",
                                                       .options = provider_options,
                                                       .count = COUNT(provider_options),
                                                       .size = sizeof(struct config_provider),
                                                       .finish = config_provider_finish};
static_assert(offsetof(struct config_provider, name) == 0, "a map's name is the first field");

static const struct config_option target_options[] = {
    {.key = "provider",
     .kind = CONFIG_K_PROVIDER,
     AT(config_target, provider),
     .flags = CONFIG_F_REQUIRED,
     .doc = "A name of providers."},
    {.key = "model",
     .kind = CONFIG_K_MODEL,
     AT(config_target, model),
     .flags = CONFIG_F_REQUIRED,
     .min = 1,
     .max = 256,
     .doc = "What the provider calls the model."},
};
static const struct config_section target_section = {.name = "models[].targets[]",
                                                     .options = target_options,
                                                     .count = COUNT(target_options),
                                                     .size = sizeof(struct config_target)};

static const struct config_option model_options[] = {
    {.key = "name",
     .kind = CONFIG_K_MODEL,
     AT(config_model, name),
     .flags = CONFIG_F_REQUIRED,
     .min = 1,
     .max = 256,
     .doc = "What clients ask for."},
    {.key = "targets",
     .kind = CONFIG_K_LIST,
     LIST_AT(config_model, targets, target_count),
     .flags = CONFIG_F_REQUIRED,
     .section = &target_section,
     .min = 1,
     .max = 1,
     .too_many = "a second target is not built yet: leave one",
     .doc = "Who answers: one provider and its name of the model."},
    {.key = "timeouts",
     .kind = CONFIG_K_SECTION,
     AT(config_model, timeouts),
     .section = &model_timeouts_section,
     .doc = "Instead of the provider's."},
    {.key = "limits",
     .kind = CONFIG_K_SECTION,
     AT(config_model, limits),
     .section = &config_model_limits_section,
     .doc = "Of all requests for this model together. Needs a data_dir."},
};
const struct config_section config_model_section = {.name = "models[]",
                                                    .options = model_options,
                                                    .count = COUNT(model_options),
                                                    .unique = {"name"},
                                                    .size = sizeof(struct config_model),
                                                    .finish = config_model_finish};
