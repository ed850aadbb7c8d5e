// The configuration: one YAML file in, one read-only struct out, or a list of what is wrong with it.
//
// Use      config_load() a file, config_parse() text, or config_default_from_env() when there is no file;
//          hand the result to whoever builds the parts; config_free() when the last of them has let go.
//          Nothing in it changes in between: a reload makes a new one. The keys, their defaults and their
//          documentation stand in one table (config_schema.c); config_write_reference() prints it.
// Owner    the caller owns struct config and struct config_errors. Everything config points to lives as
//          long as it does. config_free() wipes the whole before it goes: it holds secrets.
// Thread   control only (and main before there are threads). Reads files, so never on a worker. Never
//          suspends. The result may be read by any thread.
// Strings  NUL-terminated UTF-8 without NUL inside; NULL where a key was not set and has no default.
// Units    in the names: _ns nanoseconds, _bytes bytes. A time limit of 0 is off.
// Errors   the first CONFIG_ERRORS_MAX mistakes are collected, each with line and column (from 1) and the
//          mend. No text ever holds the value of a secret or of a variable.
// YAML     1.1 by libyaml's events. Refused: aliases, tags, more than one document, a key twice, files
//          above CONFIG_FILE_BYTES_MAX. In every scalar value "${VAR}", "${file:/path}" and
//          "${credential:NAME}" ($CREDENTIALS_DIRECTORY/NAME) stand for what they name, "$${" for "${".
#ifndef RINGWAY_CONTROL_CONFIG_H
#define RINGWAY_CONTROL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "io/addr.h"
#include "policy/limit.h"
#include "providers/provider.h"

#define CONFIG_ERRORS_MAX 20

// --- What a configuration says.

// Where to listen, connect or bind. addr.n 0: not set.
struct config_address {
    const char *text; // as written
    struct io_addr addr;
};

struct config_cidr {
    const char *text; // as written
    struct io_cidr net;
};

enum config_proxy_protocol { CONFIG_PROXY_OFF, CONFIG_PROXY_V1, CONFIG_PROXY_V2, CONFIG_PROXY_ANY };

// A certificate chain and its key, PEM files.
struct config_certificate {
    const char *certificate;
    const char *key;
    const char *passphrase_file; // of the key; NULL: it is not encrypted
};

// A client that is known by its certificate, and whose key that stands for.
struct config_identity {
    const char *san; // one of the two
    const char *subject;
    const char *key; // of keys; NULL: the one that is made for the team
    const char *team; // NULL: that of the key
    uint32_t key_index;
};

struct config_listener_tls {
    struct config_certificate first; // NULL: the listener speaks plain HTTP
    const struct config_certificate *more; // for other names
    uint32_t more_count;
    const char *client_ca; // NULL: no client certificate is asked for
    const struct config_identity *identities;
    uint32_t identity_count;
    bool strict_sni; // a name that no certificate has is refused
    const char *const *suites; // names as tls.h has them; none: all
    uint32_t suite_count;
    int64_t hsts_ns; // 0: off
};

struct config_listener {
    struct config_address address;
    struct config_listener_tls tls;
    enum config_proxy_protocol proxy_protocol;
    const struct config_cidr *trusted_proxies;
    uint32_t trusted_proxy_count;
};

// Upstream time limits, inheritance already resolved: what a model does not say, its provider says, else
// the top level.
struct config_timeouts {
    int64_t connect_ns;
    int64_t tls_ns; // for the handshake, when there is one
    int64_t first_byte_ns; // streams only; 0: off
    int64_t first_token_ns; // streams only; 0: off
    int64_t idle_ns;
    int64_t total_ns;
};

struct config_header {
    const char *name; // lower case
    const char *value; // a secret
};

// An origin, http:// or https://, and its path, taken apart.
struct config_url {
    const char *text;
    const char *host; // without the brackets of an IPv6 literal
    const char *authority; // for the Host field: brackets kept, the scheme's own port left out
    const char *path; // begins with '/' or is "", never ends with '/'
    uint16_t port;
    bool tls; // https://
};

// An HTTP proxy on the way out.
struct config_proxy {
    const char *text; // a secret, as it may hold a password
    const char *host; // NULL: none
    const char *authorization; // "Basic ...", a secret; NULL: none is sent
    uint16_t port;
    bool off; // the word: none, whatever the top level and the environment say
};

struct config_provider {
    const char *name;
    enum provider_type type;
    struct config_url base_url; // all NULL for echo
    const char *api_key; // a secret; NULL: none is sent
    const char *region; // of bedrock AWS's; NULL: not set
    const char *access_key_id; // of AWS, a secret, as are the next two; NULL: requests are not signed
    const char *secret_access_key;
    const char *session_token; // of temporary ones
    const char *project; // of Google's cloud; NULL: not set
    const char *location;
    const char *credentials; // a file of Google's; NULL: not set
    const char *api_version; // of Azure's older form; NULL: the newer
    const struct config_header *headers;
    uint32_t header_count;
    struct config_timeouts timeouts;
    struct config_address connect_to; // instead of what base_url's host resolves to; port filled in
    struct config_address bind_address; // the local end; its port is 0
    struct config_proxy proxy; // what the top level and the environment say included
    // Files, for https; NULL: not set.
    const char *ca_file; // instead of the system's trust store
    const char *client_certificate; // both or none
    const char *client_key;
    const char *client_passphrase_file; // NULL: the key is not encrypted
};

// Limits of a key, a model or of everybody. -1: not set.
struct config_rate {
    uint32_t window; // enum limit_window
    int64_t requests, tokens, burst;
};

struct config_rates {
    int64_t rpm, tpm, concurrency;
    int64_t usd_per_request, usd_per_day, usd_per_month; // billionths
    bool hard, shadow;
    uint32_t mode; // 1: fixed windows
    const struct config_rate *rates;
    uint32_t rate_count;
};

struct config_target {
    uint32_t provider; // index into providers
    const char *model; // the name sent to the provider
    struct config_timeouts timeouts;
};

struct config_model {
    const char *name; // what clients ask for
    const struct config_target *targets;
    uint32_t target_count; // 1 until there is a router
    struct config_timeouts
        timeouts; // what the model itself says, -1: nothing; targets have the resolved ones
    struct config_rates limits;
};

struct config_key {
    const char *name;
    const char *key; // a secret, 8 characters or more
    const char *team; // "default" if not said
    const char *const *models; // names of models or "provider/model"; none: all
    uint32_t model_count;
    const char *const *providers, *const *regions; // none: all
    uint32_t provider_count, region_count;
    const struct config_cidr *cidrs; // networks it may come from; none: all
    uint32_t cidr_count;
    bool disabled;
    bool certificate; // made for an identity: no client can send it
    struct config_rates limits;
};

enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_access { CONFIG_ACCESS_OFF, CONFIG_ACCESS_STDOUT, CONFIG_ACCESS_SYSLOG, CONFIG_ACCESS_FILE };
enum config_response_model { CONFIG_MODEL_UPSTREAM, CONFIG_MODEL_REQUESTED };

struct config_limits {
    uint32_t connections;
    uint64_t upload_bytes; // body of a streamed route
    uint32_t head_bytes;
    uint64_t body_bytes;
    int64_t head_timeout_ns;
    int64_t body_timeout_ns;
    int64_t idle_timeout_ns;
};

enum config_ledger_full { CONFIG_LEDGER_REFUSE, CONFIG_LEDGER_COUNT_ONLY };

enum config_revoke { CONFIG_REVOKE_FINISH, CONFIG_REVOKE_CUT };
enum config_store_error { CONFIG_STORE_OPEN, CONFIG_STORE_CLOSED };

// What is kept of requests.
struct config_usage {
    int64_t retention_ns;
    uint64_t max_bytes;
    int64_t sync_interval_ns;
    enum config_ledger_full on_ledger_full;
};

enum config_cache_scope { CONFIG_CACHE_TENANT, CONFIG_CACHE_GLOBAL };

struct config_cache {
    bool enabled;
    int64_t ttl_ns;
    uint64_t max_bytes;
    enum config_cache_scope scope;
    bool sampled;
    const char *const *exclude_models;
    uint32_t exclude_model_count;
    const char *const *exclude_tools;
    uint32_t exclude_tool_count;
};

struct config_setting;
struct config_memory;

struct config {
    const char *file; // NULL: made by config_default_from_env

    const struct config_listener *listeners; // at least one
    uint32_t listener_count;
    struct config_address metrics_address; // addr.n 0: off

    uint32_t workers; // 0: auto
    enum config_io io;
    uint64_t memory_bytes; // of all workers; 0: auto
    const char *service_name;
    const char *data_dir; // "": off, nothing is kept
    bool data_dir_given; // in the file
    const char *pepper_file;
    const char *admin_socket;
    struct config_address admin_address; // addr.n 0: off
    struct config_listener_tls admin_tls; // certificates and client_ca only
    const char *admin_token; // NULL: none
    struct config_usage usage;
    enum config_revoke on_revoke;
    enum config_store_error store_error_limits, store_error_auth;
    struct config_cache cache;
    uint32_t budget_status;
    struct config_rates global;
    struct config_rates end_users; // of each
    const char *prices_file; // NULL: the built-in prices alone
    const char *base_path; // begins with '/' or is "", never ends with '/'
    bool strip_stage_prefix;

    struct config_proxy proxy; // of providers without their own
    const struct config_provider *providers; // at least one: echo if the file names none
    uint32_t provider_count;
    const struct config_model *models; // in the file's order
    uint32_t model_count;
    const char *default_model; // NULL: a request must name one
    int32_t default_provider; // index into providers; -1: none
    const struct config_key *keys;
    uint32_t key_count;

    const char *const *cors_origins;
    uint32_t cors_origin_count;
    const char *const *cors_headers; // beside those that are always allowed
    uint32_t cors_header_count;

    struct config_limits limits;
    struct config_timeouts timeouts;
    enum config_log_level log_level;
    enum config_access access;
    const char *access_path; // for CONFIG_ACCESS_FILE
    int64_t drain_idle_ns;
    int64_t drain_timeout_ns;
    enum config_response_model response_model;
    bool ready_needs_target;

    // Names of provider variables that are set in the environment but lead nowhere, because a provider is named in a file
    // only. Filled when there is no file.
    const char *const *skipped_env;
    uint32_t skipped_env_count;
    // Worth saying at start, not worth refusing: whole sentences, with file and line where there is one.
    const char *const *warnings;
    uint32_t warning_count;

    const struct config_setting *settings; // for config_explain()
    struct config_memory *memory;
};

// --- Where it comes from.

// The world outside, so that tests need none.
struct config_env {
    void *ctx;
    // The value of an environment variable, valid until the next call; NULL: not set.
    const char *(*get)(void *ctx, const char *name);
    // Reads a whole file. Returns its length, or a negative errno (-EFBIG: longer than cap).
    int64_t (*read_file)(void *ctx, const char *path, char *out, uint32_t cap);
    // Whether every user of the machine may read the file. NULL: none is.
    bool (*is_open_to_all)(void *ctx, const char *path);
};

// getenv() and the file system. Call only while no other thread changes the environment.
extern const struct config_env config_env_process;

struct config_error {
    uint32_t line, column; // from 1; 0: the file as a whole
    char text[372];
};

// All zero is empty.
struct config_errors {
    struct config_error *items;
    uint32_t count;
    uint32_t more; // found beyond CONFIG_ERRORS_MAX
};

// RW_E_CONFIG: the file cannot be used and *errors says why. A file that cannot be read is an error there,
// too.
RW_WARN_UNUSED enum rw_err config_load(const char *path, const struct config_env *env,
                                       struct config **ret_config, struct config_errors *errors);

// The same from memory; `name` is how errors and config_explain() call the source.
RW_WARN_UNUSED enum rw_err config_parse(const char *name, const char *text, uint32_t n,
                                        const struct config_env *env, struct config **ret_config,
                                        struct config_errors *errors);

// What there is without a file: 127.0.0.1:8080, all defaults, provider and model `echo`. No keys: serve
// makes one.
RW_WARN_UNUSED enum rw_err config_default_from_env(const struct config_env *env, struct config **ret_config,
                                                   struct config_errors *errors);

// Harmless on NULL.
void config_free(struct config *config);
void config_errors_free(struct config_errors *errors);

// One line each: "FILE:LINE:COLUMN: TEXT".
void config_errors_write(const struct config_errors *errors, const char *name, FILE *out);

// Every key with its value and where it came from: file:line, default, environment. A secret is shown as
// "set, N characters"; what a variable holds is shown only for keys that are no secret.
void config_explain(const struct config *config, FILE *out);

// Every key there is, with type, default and documentation: what packaging/config/ringway.yaml must say.
void config_write_reference(FILE *out);

// As policy/limit.h has it.
struct limit_cfg config_limits(const struct config_rates *rates);
bool config_has_limits(const struct config *config);

// Index of a provider or model by name; -1: none. Linear: for start and reload, not for requests.
int32_t config_find_provider(const struct config *config, const char *name);
int32_t config_find_model(const struct config *config, const char *name);

#endif
