// The table of all keys: what a configuration may say. Parser, defaults, `ringway check --explain` and the
// reference (config_write_reference) all read it, and a test holds packaging/config/ringway.yaml against
// it. A new key is one entry here and one field in config.h. Here is the top and what is the server's own;
// config_schema_models.c has providers and models, config_schema_clients.c keys and what they may use.
//
// A text ends up in the documentation as it stands. A default is the text that would set it in the file.
#include "control/config_priv.h"
#include "tls/tls.h"

static const char *const proxy_protocols[] = {"off", "v1", "v2", "any", NULL};
static const char *const ios[] = {"auto", "io_uring", "epoll", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const ledger_fulls[] = {"refuse", "count_only", NULL};
static const char *const revokes[] = {"finish", "cut", NULL};
static const char *const store_errors[] = {"open", "closed", NULL};
static const char *const cache_scopes[] = {"tenant", "global", NULL};
static const char *const response_models[] = {"upstream", "requested", NULL};

static_assert(CONFIG_PROXY_ANY == 3 && CONFIG_IO_EPOLL == 2, "order of choices");
static_assert(CONFIG_LOG_DEBUG == 3 && CONFIG_MODEL_REQUESTED == 1, "order of choices");
static_assert(CONFIG_STORE_CLOSED == 1 && CONFIG_CACHE_GLOBAL == 1, "order of choices");
static_assert(CONFIG_REVOKE_CUT == 1, "order of choices");
static_assert(sizeof(enum config_io) == sizeof(uint32_t), "a choice is stored as uint32_t");

// --- Where clients come in.

#define CERTIFICATE(flag) \
    { \
        .key = "certificate", .kind = CONFIG_K_TEXT, AT(config_certificate, certificate), .min = 1, \
        .max = KIB(4), .flags = (flag), \
        .doc = "A PEM file: the certificate, then those of the CAs between it and the root." \
    }
#define CERTIFICATE_KEY(flag) \
    { \
        .key = "key", .kind = CONFIG_K_TEXT, AT(config_certificate, key), .min = 1, .max = KIB(4), \
        .flags = (flag), .doc = "A PEM file: its private key, EC (faster) or RSA." \
    }
#define CERTIFICATE_PASSPHRASE \
    { \
        .key = "passphrase_file", .kind = CONFIG_K_TEXT, AT(config_certificate, passphrase_file), .min = 1, \
        .max = KIB(4), .doc = "A file whose first line is the key's passphrase, if it is encrypted." \
    }

static const struct config_option certificate_options[] = {
    CERTIFICATE(CONFIG_F_REQUIRED), CERTIFICATE_KEY(CONFIG_F_REQUIRED), CERTIFICATE_PASSPHRASE};
static const struct config_section certificate_section = {.name = "listen[].tls.certificates[]",
                                                          .options = certificate_options,
                                                          .count = COUNT(certificate_options),
                                                          .size = sizeof(struct config_certificate)};

static const struct config_option identity_options[] = {
    {.key = "san",
     .kind = CONFIG_K_TEXT,
     AT(config_identity, san),
     .min = 1,
     .max = 512,
     .doc = "One of the certificate's alternative names, as it stands there: DNS name, URI "
            "(spiffe://...), e-mail or IP address."},
    {.key = "subject",
     .kind = CONFIG_K_TEXT,
     AT(config_identity, subject),
     .min = 1,
     .max = 512,
     .doc = "Instead of san: attributes of the subject that must all be there, such as CN=app,O=Corp."},
    {.key = "team",
     .kind = CONFIG_K_NAME,
     AT(config_identity, team),
     .min = 1,
     .max = 64,
     .doc = "The team it belongs to. Its key is called after the certificate."},
    {.key = "key",
     .kind = CONFIG_K_NAME,
     AT(config_identity, key),
     .min = 1,
     .max = 64,
     .doc = "Instead of team: the name of one of keys, whose rights, limits and team it has."},
};
static const struct config_section identity_section = {.name = "listen[].tls.identities[]",
                                                       .options = identity_options,
                                                       .count = COUNT(identity_options),
                                                       .size = sizeof(struct config_identity),
                                                       .finish = config_identity_finish};

static_assert(offsetof(struct config_listener_tls, first) == 0,
              "the first certificate's options are the section's");
static const struct config_option listen_tls_options[] = {
    CERTIFICATE(0),
    CERTIFICATE_KEY(0),
    CERTIFICATE_PASSPHRASE,
    {.key = "certificates",
     .kind = CONFIG_K_LIST,
     LIST_AT(config_listener_tls, more, more_count),
     .section = &certificate_section,
     .max = TLS_SERVER_IDENTITIES_MAX - 1,
     .doc = "More certificates: the one whose names fit what the client asks for (SNI) is shown, else the "
            "one above."},
    {.key = "client_ca",
     .kind = CONFIG_K_TEXT,
     AT(config_listener_tls, client_ca),
     .min = 1,
     .max = KIB(4),
     .doc = "A PEM file with CAs: only clients with a certificate that one of them signed are served. "
            "They still need a key, unless identities say whose it is."},
    {.key = "identities",
     .kind = CONFIG_K_LIST,
     LIST_AT(config_listener_tls, identities, identity_count),
     .section = &identity_section,
     .max = TLS_PEERS_MAX,
     .doc = "Whose certificates stand for a key: such a client needs to send none. The first that fits."},
    {.key = "strict_sni",
     .kind = CONFIG_K_BOOL,
     AT(config_listener_tls, strict_sni),
     .def = "false",
     .doc = "Refuse clients that ask for a name (SNI) which no certificate has, or for none."},
    {.key = "suites",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_SUITE,
     LIST_AT(config_listener_tls, suites, suite_count),
     .max = TLS_SUITES,
     .def = "[]",
     .doc =
         "Only these cipher suites, such as ECDHE-ECDSA-AES256-GCM-SHA384; none: all that there are. Which "
         "of them comes first is what this machine does fastest."},
    {.key = "hsts",
     .kind = CONFIG_K_DURATION,
     AT(config_listener_tls, hsts_ns),
     .def = "off",
     .min = 0,
     .max = DAY(1000),
     .flags = CONFIG_F_OFF,
     .doc = "For how long browsers shall come by TLS only (Strict-Transport-Security), or off."},
};
static const struct config_section listen_tls_section = {.name = "listen[].tls",
                                                         .options = listen_tls_options,
                                                         .count = COUNT(listen_tls_options),
                                                         .finish = config_listen_tls_finish};

static const struct config_option listen_options[] = {
    {.key = "address",
     .kind = CONFIG_K_ADDRESS,
     AT(config_listener, address),
     .flags = CONFIG_F_REQUIRED | CONFIG_F_UNIX,
     .doc = "IPv4:PORT, [IPv6]:PORT or unix:/path. 0.0.0.0 and [::] stand for all addresses."},
    {.key = "tls",
     .kind = CONFIG_K_SECTION,
     AT(config_listener, tls),
     .section = &listen_tls_section,
     .doc = "Clients speak TLS here. The files are read again when they change."},
    {.key = "proxy_protocol",
     .kind = CONFIG_K_CHOICE,
     AT(config_listener, proxy_protocol),
     .choices = proxy_protocols,
     .def = "off",
     .doc =
         "The load balancer in front sends the PROXY protocol, of this version. A connection without it is "
         "refused, so never set it on a listener that clients reach themselves."},
    {.key = "trusted_proxies",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_CIDR,
     LIST_AT(config_listener, trusted_proxies, trusted_proxy_count),
     .max = TRUSTED_PROXIES_MAX,
     .def = "[]",
     .doc = "Networks whose X-Forwarded-For is believed: the right-most address that is not in them is the "
            "client."},
};
static const struct config_section listen_section = {.name = "listen[]",
                                                     .options = listen_options,
                                                     .count = COUNT(listen_options),
                                                     .unique = {"address"},
                                                     .size = sizeof(struct config_listener)};

static const struct config_option metrics_options[] = {
    {.key = "address",
     .kind = CONFIG_K_ADDRESS,
     AT(config, metrics_address),
     .flags = CONFIG_F_UNIX | CONFIG_F_OFF,
     .def = "127.0.0.1:9464",
     .doc = "Where GET /metrics answers for Prometheus, without authentication; or off."},
};
static const struct config_section metrics_section = {
    .name = "metrics", .options = metrics_options, .count = COUNT(metrics_options)};

// --- The server's own limits.

static const struct config_option limit_options[] = {
    {.key = "connections",
     .kind = CONFIG_K_COUNT,
     AT(config_limits, connections),
     .min = 1,
     .max = CONNECTIONS_MAX,
     .def = "20000",
     .doc = "Clients connected at once. Lowered to (open files - 512) / 2 where that is less."},
    {.key = "upload",
     .kind = CONFIG_K_SIZE,
     AT(config_limits, upload_bytes),
     .min = KIB(1),
     .max = HTTP_BODY_BYTES_MAX,
     .def = "1GB",
     .doc = "The body of a request that is streamed up: files, audio, images."},
    {.key = "head",
     .kind = CONFIG_K_SIZE32,
     AT(config_limits, head_bytes),
     .min = KIB(1),
     .max = HTTP_HEAD_BYTES_MAX,
     .def = "32KB",
     .doc = "Request line and header fields together (431)."},
    {.key = "body",
     .kind = CONFIG_K_SIZE,
     AT(config_limits, body_bytes),
     .min = KIB(1),
     .max = HTTP_BODY_BYTES_MAX,
     .def = "32MB",
     .doc = "The body of every other request (413)."},
    {.key = "head_timeout",
     .kind = CONFIG_K_DURATION,
     AT(config_limits, head_timeout_ns),
     .min = MS(1),
     .max = MIN(10),
     .def = "10s",
     .doc = "From the first byte of a request to the end of its head (408)."},
    {.key = "body_timeout",
     .kind = CONFIG_K_DURATION,
     AT(config_limits, body_timeout_ns),
     .min = MS(1),
     .max = DAY(1),
     .def = "60s",
     .doc = "For the whole body (408); between two receives of a body that is streamed up."},
    {.key = "idle_timeout",
     .kind = CONFIG_K_DURATION,
     AT(config_limits, idle_timeout_ns),
     .min = MS(1),
     .max = DAY(1),
     .def = "75s",
     .doc = "A connection without a request is closed after it."},
};
static const struct config_section limits_section = {
    .name = "limits", .options = limit_options, .count = COUNT(limit_options)};
static_assert(CONNECTIONS == 20000 && HTTP_HEAD_BYTES == KIB(32) && HTTP_BODY_BYTES == MIB(32),
              "the defaults above are those of limits.h");

// --- The rest.

static const struct config_option log_options[] = {
    {.key = "level",
     .kind = CONFIG_K_CHOICE,
     AT(config, log_level),
     .choices = log_levels,
     .def = "info",
     .doc = "What the process says on stderr."},
    {.key = "access",
     .kind = CONFIG_K_ACCESS,
     AT(config, access),
     .def = "stdout",
     .doc = "One JSON line per request: stdout, syslog, off, or /path/of/a/file (opened again on SIGUSR1)."},
};
static const struct config_section log_section = {
    .name = "log", .options = log_options, .count = COUNT(log_options)};

static const struct config_option usage_options[] = {
    {.key = "retention",
     .kind = CONFIG_K_DURATION,
     AT(config_usage, retention_ns),
     .min = DAY(1),
     .max = DAY(3650),
     .def = "90d",
     .doc = "How long the record of a single request is kept. Sums by day are kept for ever."},
    {.key = "max_size",
     .kind = CONFIG_K_SIZE,
     AT(config_usage, max_bytes),
     .min = MIB(16),
     .max = GB(60),
     .def = "20GB",
     .doc = "Records take no more room than this: the oldest day goes first."},
    {.key = "sync_interval",
     .kind = CONFIG_K_DURATION,
     AT(config_usage, sync_interval_ns),
     .min = 0,
     .max = SEC(10),
     .def = "100ms",
     .doc = "Records are written to disk together, this often. Until then they are in the journal, "
            "which outlives the process, not the machine. 0: each answer waits until its record is on disk."},
    {.key = "on_ledger_full",
     .kind = CONFIG_K_CHOICE,
     AT(config_usage, on_ledger_full),
     .choices = ledger_fulls,
     .def = "refuse",
     .doc = "When records could not be written for so long that the journal is full: refuse requests with "
            "503, or "
            "count_only, serve them without a record."},
};
static const struct config_section usage_section = {
    .name = "usage", .options = usage_options, .count = COUNT(usage_options)};

static const struct config_option store_error_options[] = {
    {.key = "limits",
     .kind = CONFIG_K_CHOICE,
     AT(config, store_error_limits),
     .choices = store_errors,
     .def = "open",
     .doc = "A limit that cannot be read, or has no room to be counted: open serves without it, closed "
            "refuses with 503."},
    {.key = "auth",
     .kind = CONFIG_K_CHOICE,
     AT(config, store_error_auth),
     .choices = store_errors,
     .def = "closed",
     .doc = "The account of a key cannot be read: closed refuses with 503; open serves as it was when it was "
            "last read, and keys of this file by what stands there. Others are refused in any case."},
};
static const struct config_section store_error_section = {
    .name = "on_store_error", .options = store_error_options, .count = COUNT(store_error_options)};

static const struct config_option cache_exclude_options[] = {
    {.key = "models",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_MODEL_REF,
     LIST_AT(config_cache, exclude_models, exclude_model_count),
     .max = KEY_MODELS_MAX,
     .def = "[]",
     .doc = "Models, by the names that clients ask for."},
    {.key = "tools",
     .kind = CONFIG_K_VALUES,
     .element = CONFIG_K_TEXT,
     LIST_AT(config_cache, exclude_tools, exclude_tool_count),
     .max = KEY_MODELS_MAX,
     .def = "[]",
     .doc = "Tools, by their names; \"*\": every request that brings tools."},
};
static const struct config_section cache_exclude_section = {
    .name = "exclude", .options = cache_exclude_options, .count = COUNT(cache_exclude_options)};

static const struct config_option cache_options[] = {
    {.key = "enabled",
     .kind = CONFIG_K_BOOL,
     AT(config_cache, enabled),
     .def = "false",
     .doc = "Answers are kept, and given again to who asks for exactly the same. Needs a data_dir."},
    {.key = "ttl",
     .kind = CONFIG_K_DURATION,
     AT(config_cache, ttl_ns),
     .min = SEC(1),
     .max = DAY(365),
     .def = "1h",
     .doc = "For how long an answer is given again."},
    {.key = "max_size",
     .kind = CONFIG_K_SIZE,
     AT(config_cache, max_bytes),
     .min = MIB(4),
     .max = GB(256),
     .def = "2GB",
     .doc = "What the cache takes on disk; the oldest answers go first. A thirty-second part of it is the "
            "longest answer."},
    {.key = "scope",
     .kind = CONFIG_K_CHOICE,
     AT(config_cache, scope),
     .choices = cache_scopes,
     .def = "tenant",
     .doc = "Who is given an answer: tenant, whoever belongs to the asker's, or global, everybody."},
    {.key = "sampled",
     .kind = CONFIG_K_BOOL,
     AT(config_cache, sampled),
     .def = "true",
     .doc =
         "Also for requests whose answers differ from time to time; false: only those with temperature 0."},
    {.key = "exclude",
     .kind = CONFIG_K_SECTION,
     .section = &cache_exclude_section,
     .doc = "Requests that are always asked anew."},
};
static const struct config_section cache_section = {
    .name = "cache", .options = cache_options, .count = COUNT(cache_options)};

static const struct config_option budget_options[] = {
    {.key = "status",
     .kind = CONFIG_K_COUNT,
     AT(config, budget_status),
     .min = 400,
     .max = 499,
     .def = "402",
     .doc = "The status of a refusal because the money is used up. SDKs try a 429 again, in vain."},
};
static const struct config_section budget_section = {
    .name = "budget", .options = budget_options, .count = COUNT(budget_options)};

static const struct config_option drain_options[] = {
    {.key = "idle",
     .kind = CONFIG_K_DURATION,
     AT(config, drain_idle_ns),
     .max = MIN(10),
     .def = "5s",
     .doc = "When told to stop, idle connections are kept this long, so that no request under way is lost."},
    {.key = "timeout",
     .kind = CONFIG_K_DURATION,
     AT(config, drain_timeout_ns),
     .max = DAY(1),
     .def = "10m",
     .doc = "Requests that are not done by then are cut."},
};
static const struct config_section drain_section = {
    .name = "drain", .options = drain_options, .count = COUNT(drain_options)};

static const struct config_section admin_certificate_section = {.name = "admin.tls.certificates[]",
                                                                .options = certificate_options,
                                                                .count = COUNT(certificate_options),
                                                                .size = sizeof(struct config_certificate)};
static const struct config_option admin_tls_options[] = {
    CERTIFICATE(0),
    CERTIFICATE_KEY(0),
    CERTIFICATE_PASSPHRASE,
    {.key = "certificates",
     .kind = CONFIG_K_LIST,
     LIST_AT(config_listener_tls, more, more_count),
     .section = &admin_certificate_section,
     .max = TLS_SERVER_IDENTITIES_MAX - 1,
     .doc = "More certificates, chosen by name (SNI) as under listen."},
    {.key = "client_ca",
     .kind = CONFIG_K_TEXT,
     AT(config_listener_tls, client_ca),
     .min = 1,
     .max = KIB(4),
     .doc = "A PEM file with CAs: only clients with a certificate that one of them signed get to the token, "
            "which they still need."},
};
static const struct config_section admin_tls_section = {.name = "admin.tls",
                                                        .options = admin_tls_options,
                                                        .count = COUNT(admin_tls_options),
                                                        .finish = config_admin_tls_finish};

static const struct config_option admin_options[] = {
    {.key = "address",
     .kind = CONFIG_K_ADDRESS,
     AT(config, admin_address),
     .flags = CONFIG_F_UNIX | CONFIG_F_OFF,
     .def = "127.0.0.1:8081",
     .doc = "Where the admin API answers over TCP, to who has the token; or off."},
    {.key = "token",
     .kind = CONFIG_K_SECRET,
     AT(config, admin_token),
     .flags = CONFIG_F_SECRET,
     .min = 16,
     .max = 512,
     .doc = "Who sends it may administrate over TCP. Without one that is closed."},
    {.key = "tls",
     .kind = CONFIG_K_SECTION,
     AT(config, admin_tls),
     .section = &admin_tls_section,
     .doc = "TLS for admin.address. The files are read again when they change."},
    {.key = "socket",
     .kind = CONFIG_K_TEXT,
     AT(config, admin_socket),
     .min = 1,
     .max = 100,
     .doc = "Where the command line reaches the running server. Without it admin.sock in systemd's "
            "RuntimeDirectory, else in "
            "/run/ringway for root, else in $XDG_RUNTIME_DIR/ringway, else in data_dir."},
};
static const struct config_section admin_section = {
    .name = "admin", .options = admin_options, .count = COUNT(admin_options)};

static const struct config_option health_options[] = {
    {.key = "ready_needs_target",
     .kind = CONFIG_K_BOOL,
     AT(config, ready_needs_target),
     .def = "false",
     .doc =
         "/health/ready says 503 while no provider can be reached. Off, so that a provider's outage does not "
         "take every node out of the load balancer."},
};
static const struct config_section health_section = {
    .name = "health", .options = health_options, .count = COUNT(health_options)};

static const struct config_option top_options[] = {
    {.key = "listen",
     .kind = CONFIG_K_LIST,
     LIST_AT(config, listeners, listener_count),
     .section = &listen_section,
     .min = 1,
     .max = LISTENERS_MAX,
     .def = "[{ address: \"127.0.0.1:8080\" }]",
     .doc = "Where clients connect."},
    {.key = "metrics", .kind = CONFIG_K_SECTION, .section = &metrics_section, .doc = "For Prometheus."},
    {.key = "workers",
     .kind = CONFIG_K_COUNT,
     AT(config, workers),
     .flags = CONFIG_F_AUTO,
     .min = 1,
     .max = WORKERS_MAX,
     .def = "auto",
     .doc = "Threads that serve; auto: one per core this process may use, at most 16."},
    {.key = "io",
     .kind = CONFIG_K_CHOICE,
     AT(config, io),
     .choices = ios,
     .def = "auto",
     .doc = "How to talk to the kernel; auto: io_uring where it is allowed, else epoll."},
    {.key = "memory",
     .kind = CONFIG_K_SIZE,
     AT(config, memory_bytes),
     .flags = CONFIG_F_AUTO,
     .min = MIB(16),
     .max = GB(4096),
     .def = "auto",
     .doc = "For bodies and answers of all workers together; auto: half of the cgroup's limit, or of the "
            "memory. Beyond it requests get 503."},
    {.key = "admin", .kind = CONFIG_K_SECTION, .section = &admin_section, .doc = "The administrator's side."},
    {.key = "data_dir",
     .kind = CONFIG_K_TEXT,
     AT(config, data_dir),
     .min = 1,
     .max = 300,
     .doc = "Where accounts are kept, on a local disk; or off. Without it systemd's StateDirectory, else "
            "/var/lib/ringway for "
            "root, else $XDG_STATE_HOME/ringway or ~/.local/state/ringway."},
    {.key = "pepper_file",
     .kind = CONFIG_K_TEXT,
     AT(config, pepper_file),
     .min = 1,
     .max = 300,
     .doc = "The secret that keys are hashed with; made if it is not there. Keep a copy apart from data_dir. "
            "Without it pepper in "
            "systemd's ConfigurationDirectory, else in /etc/ringway for root, else in "
            "$XDG_CONFIG_HOME/ringway or ~/.config/ringway."},
    {.key = "service_name",
     .kind = CONFIG_K_TEXT,
     AT(config, service_name),
     .min = 1,
     .max = 64,
     .def = "ringway",
     .doc = "Shown by /health and in syslog."},
    {.key = "base_path",
     .kind = CONFIG_K_BASE_PATH,
     AT(config, base_path),
     .max = 256,
     .def = "\"\"",
     .doc = "Clients find the API also below this path, such as /api/v1 for /api/v1/chat/completions."},
    {.key = "strip_stage_prefix",
     .kind = CONFIG_K_BOOL,
     AT(config, strip_stage_prefix),
     .def = "false",
     .doc = "A leading /dev, /staging or /prod is no part of the path, as behind AWS's API Gateway."},
    {.key = "providers",
     .kind = CONFIG_K_MAP,
     LIST_AT(config, providers, provider_count),
     .section = &config_provider_section,
     .max = PROVIDERS_MAX,
     .after = config_after_providers,
     .doc = "Who answers, by a name of your choice. Without any there is one: echo, of type echo."},
    {.key = "proxy",
     .kind = CONFIG_K_PROXY,
     AT(config, proxy),
     .flags = CONFIG_F_SECRET,
     .max = PROXY_TEXT_BYTES_MAX,
     .doc =
         "The HTTP proxy through which providers are reached (CONNECT), http://USER:PASSWORD@HOST:PORT; or "
         "off. Without it what HTTPS_PROXY and HTTP_PROXY say. Addresses of this machine and what NO_PROXY "
         "names are reached without it."},
    {.key = "models",
     .kind = CONFIG_K_LIST,
     LIST_AT(config, models, model_count),
     .section = &config_model_section,
     .max = MODELS_MAX,
     .after = config_after_models,
     .doc = "Names for clients to ask for. PROVIDER/MODEL always works, too."},
    {.key = "default_model",
     .kind = CONFIG_K_MODEL_REF,
     AT(config, default_model),
     .min = 1,
     .max = 320,
     .doc = "For requests to /v1/chat that name none."},
    {.key = "default_provider",
     .kind = CONFIG_K_PROVIDER,
     AT(config, default_provider),
     .doc = "For requests that have no model to go by, such as files."},
    {.key = "keys",
     .kind = CONFIG_K_LIST,
     LIST_AT(config, keys, key_count),
     .section = &config_key_section,
     .max = KEYS_IN_FILE_MAX,
     .after = config_after_keys,
     .doc = "Keys of clients. Those that the variable OMNI_LLM_API_KEYS lists (with commas between them) are "
            "taken in, too, "
            "for team default."},
    {.key = "cors",
     .kind = CONFIG_K_SECTION,
     .section = &config_cors_section,
     .doc = "Calls from web pages."},
    {.key = "usage",
     .kind = CONFIG_K_SECTION,
     AT(config, usage),
     .section = &usage_section,
     .doc = "The ledger: a record of each request, and sums by day. With a data_dir."},
    {.key = "on_revoke",
     .kind = CONFIG_K_CHOICE,
     AT(config, on_revoke),
     .choices = revokes,
     .def = "finish",
     .doc = "Streams under way when their key is revoked, disabled, deleted or expires: finish, or cut, end "
            "with "
            "an error."},
    {.key = "on_store_error",
     .kind = CONFIG_K_SECTION,
     .section = &store_error_section,
     .doc = "When data_dir cannot be read."},
    {.key = "cache",
     .kind = CONFIG_K_SECTION,
     AT(config, cache),
     .section = &cache_section,
     .doc = "Answers from the cache."},
    {.key = "global",
     .kind = CONFIG_K_SECTION,
     .section = &config_global_section,
     .doc = "For all requests. Needs a data_dir."},
    {.key = "end_users",
     .kind = CONFIG_K_SECTION,
     .section = &config_end_users_section,
     .doc = "For those whom the clients serve. Needs a data_dir."},
    {.key = "budget", .kind = CONFIG_K_SECTION, .section = &budget_section, .doc = "Budgets of money."},
    {.key = "prices_file",
     .kind = CONFIG_K_TEXT,
     AT(config, prices_file),
     .min = 1,
     .max = KIB(4),
     .doc = "A JSON file with prices of models that are added to the built-in ones, or replace them: "
            "{\"models\": [{\"provider\", \"model\", \"input\", \"output\", ...}]}, USD per million tokens. "
            "Read again with the configuration."},
    {.key = "limits",
     .kind = CONFIG_K_SECTION,
     AT(config, limits),
     .section = &limits_section,
     .doc = "The server's own limits."},
    {.key = "timeouts",
     .kind = CONFIG_K_SECTION,
     AT(config, timeouts),
     .section = &config_timeouts_section,
     .doc = "Upstream time limits; a provider or model may have its own."},
    {.key = "log", .kind = CONFIG_K_SECTION, .section = &log_section, .doc = "Logs."},
    {.key = "drain", .kind = CONFIG_K_SECTION, .section = &drain_section, .doc = "How to stop."},
    {.key = "response_model",
     .kind = CONFIG_K_CHOICE,
     AT(config, response_model),
     .choices = response_models,
     .def = "upstream",
     .doc = "What `model` says in answers: the provider's word, or the name that was asked for."},
    {.key = "health", .kind = CONFIG_K_SECTION, .section = &health_section, .doc = "Health routes."},
};

const struct config_section config_top = {
    .name = "", .options = top_options, .count = COUNT(top_options), .finish = config_top_finish};

static_assert(COUNT(top_options) <= CONFIG_OPTIONS_PER_SECTION_MAX, "sort_out() has room for so many");
