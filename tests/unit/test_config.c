// config: what right files lead to, field by field; variables; no file at all; what --explain and the
// reference say; and packaging/config/ringway.yaml held against the table of keys. Wrong files are in
// test_config_errors.c.
#include <sys/stat.h>
#include <unistd.h>

#include "control/config.h"
#include "tests/unit/config_world.h"

// --- Right files.

static void test_parse__everything_set(void **state)
{
    (void)state;
    struct config *c = must_load("listen:\n"
                                 "  - address: 0.0.0.0:8080\n"
                                 "    proxy_protocol: any\n"
                                 "    trusted_proxies: [10.0.0.0/8, \"fd00::/8\"]\n"
                                 "  - { address: \"[::1]:8081\" }\n"
                                 "  - address: unix:/run/r.sock\n"
                                 "metrics: { address: 127.0.0.1:9999 }\n"
                                 "workers: 3\n"
                                 "io: epoll\n"
                                 "memory: 256MB\n"
                                 "service_name: my gateway\n"
                                 "base_path: /api/v1/\n"
                                 "response_model: requested\n"
                                 "default_model: gpt\n"
                                 "default_provider: o\n"
                                 "cors: { origins: [\"https://a.example\"], headers: [X-One, x-two] }\n"
                                 "limits: { connections: 10, upload: 100MB, head: 16KB, body: 1MB,\n"
                                 "          head_timeout: 1s, body_timeout: 2m, idle_timeout: 1h }\n"
                                 "log: { level: debug, access: /var/log/r.log }\n"
                                 "drain: { idle: 0s, timeout: 1d }\n"
                                 "health: { ready_needs_target: true }\n"
                                 "providers:\n"
                                 "  o: { type: ollama }\n"
                                 "models: [{ name: gpt, targets: [{ provider: o, model: llama:3 }] }]\n");
    assert_string_equal(c->file, "r.yaml");
    assert_int_equal(c->listener_count, 3);
    assert_string_equal(c->listeners[0].address.text, "0.0.0.0:8080");
    assert_int_equal(io_addr_port(&c->listeners[0].address.addr), 8080);
    assert_int_equal(c->listeners[0].proxy_protocol, CONFIG_PROXY_ANY);
    assert_int_equal(c->listeners[0].trusted_proxy_count, 2);
    assert_int_equal(c->listeners[0].trusted_proxies[0].net.bits, 96 + 8);
    assert_string_equal(c->listeners[0].trusted_proxies[1].text, "fd00::/8");
    assert_int_equal(c->listeners[1].address.addr.sa.sa_family, AF_INET6);
    assert_int_equal(c->listeners[1].proxy_protocol, CONFIG_PROXY_OFF);
    assert_int_equal(c->listeners[2].address.addr.sa.sa_family, AF_UNIX);
    assert_int_equal(io_addr_port(&c->metrics_address.addr), 9999);
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->io, CONFIG_IO_EPOLL);
    assert_int_equal(c->memory_bytes, 256 << 20);
    assert_string_equal(c->service_name, "my gateway");
    assert_string_equal(c->base_path, "/api/v1");
    assert_int_equal(c->response_model, CONFIG_MODEL_REQUESTED);
    assert_string_equal(c->default_model, "gpt");
    assert_int_equal(c->default_provider, 0);
    assert_int_equal(c->cors_origin_count, 1);
    assert_string_equal(c->cors_origins[0], "https://a.example");
    assert_int_equal(c->cors_header_count, 2);
    assert_string_equal(c->cors_headers[1], "x-two");
    assert_int_equal(c->limits.connections, 10);
    assert_int_equal(c->limits.upload_bytes, 100 << 20);
    assert_int_equal(c->limits.head_bytes, 16 << 10);
    assert_int_equal(c->limits.body_bytes, 1 << 20);
    assert_int_equal(c->limits.head_timeout_ns, INT64_C(1000000000));
    assert_int_equal(c->limits.body_timeout_ns, INT64_C(120000000000));
    assert_int_equal(c->limits.idle_timeout_ns, INT64_C(3600000000000));
    assert_int_equal(c->log_level, CONFIG_LOG_DEBUG);
    assert_int_equal(c->access, CONFIG_ACCESS_FILE);
    assert_string_equal(c->access_path, "/var/log/r.log");
    assert_int_equal(c->drain_idle_ns, 0);
    assert_int_equal(c->drain_timeout_ns, INT64_C(86400000000000));
    assert_true(c->ready_needs_target);
    assert_int_equal(c->warning_count, 0);
    config_free(c);
}

static void test_parse__nothing_set_is_the_defaults_and_echo(void **state)
{
    (void)state;
    static const char *const nothing[] = {"",  "# only a comment\n",    "---\n", "{}",
                                          "~", "listen:\nkeys:\nlog:\n"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        struct config *c = must_load(nothing[i]);
        assert_int_equal(c->listener_count, 1);
        assert_string_equal(c->listeners[0].address.text, "127.0.0.1:8080");
        assert_string_equal(c->metrics_address.text, "127.0.0.1:9464");
        assert_int_equal(c->workers, 0);
        assert_int_equal(c->io, CONFIG_IO_AUTO);
        assert_int_equal(c->memory_bytes, 0);
        assert_string_equal(c->service_name, "ringway");
        assert_string_equal(c->base_path, "");
        assert_int_equal(c->provider_count, 1);
        assert_string_equal(c->providers[0].name, "echo");
        assert_int_equal(c->providers[0].type, PROVIDER_ECHO);
        assert_int_equal(c->providers[0].timeouts.total_ns, 600 * INT64_C(1000000000));
        assert_int_equal(c->model_count, 1);
        assert_string_equal(c->models[0].name, "echo");
        assert_int_equal(c->models[0].target_count, 1);
        assert_string_equal(c->models[0].targets[0].model, "echo");
        assert_int_equal(c->models[0].targets[0].timeouts.connect_ns, 5 * INT64_C(1000000000));
        assert_string_equal(c->default_model, "echo");
        assert_int_equal(c->default_provider, -1);
        assert_int_equal(c->key_count, 0);
        assert_int_equal(c->cors_origin_count, 1);
        assert_string_equal(c->cors_origins[0], "*");
        assert_int_equal(c->limits.connections, CONNECTIONS);
        assert_int_equal(c->limits.upload_bytes, 1 << 30);
        assert_int_equal(c->limits.head_bytes, HTTP_HEAD_BYTES);
        assert_int_equal(c->limits.body_bytes, HTTP_BODY_BYTES);
        assert_int_equal(c->limits.head_timeout_ns, 10 * INT64_C(1000000000));
        assert_int_equal(c->limits.body_timeout_ns, 60 * INT64_C(1000000000));
        assert_int_equal(c->limits.idle_timeout_ns, 75 * INT64_C(1000000000));
        assert_int_equal(c->timeouts.first_byte_ns, 0);
        assert_int_equal(c->timeouts.first_token_ns, 0);
        assert_int_equal(c->timeouts.idle_ns, 300 * INT64_C(1000000000));
        assert_int_equal(c->log_level, CONFIG_LOG_INFO);
        assert_int_equal(c->access, CONFIG_ACCESS_STDOUT);
        assert_int_equal(c->drain_idle_ns, 5 * INT64_C(1000000000));
        assert_int_equal(c->drain_timeout_ns, 600 * INT64_C(1000000000));
        assert_int_equal(c->response_model, CONFIG_MODEL_UPSTREAM);
        assert_false(c->ready_needs_target);
        config_free(c);
    }
}

static void test_parse__providers(void **state)
{
    (void)state;
    struct config *c = must_load("providers:\n"
                                 "  a:\n"
                                 "    type: openai\n"
                                 "    base_url: http://llm.example/v1/\n"
                                 "    api_key: \"${KEY}\"\n"
                                 "    headers: { X-Team: platform one, x-other: \"1\" }\n"
                                 "    connect_to: 10.0.0.7\n"
                                 "    bind_address: \"::1\"\n"
                                 "  b: { type: vllm, connect_to: unix:/run/vllm.sock }\n"
                                 "  c: { type: ollama, connect_to: \"::1\" }\n"
                                 "  d: { type: llamacpp, base_url: \"http://[::1]:8081/v1\" }\n"
                                 "  e: { type: echo }\n"
                                 "  f: { type: bedrock, region: eu-west-1 }\n"
                                 "  g: { type: groq }\n"
                                 "  h: { type: vertex, project: p, location: europe-west4 }\n"
                                 "  i: { type: vertex, project: p, location: eu }\n"
                                 "  j: { type: vertex, project: p, location: global }\n");
    assert_int_equal(c->provider_count, 10);
    const struct config_provider *a = &c->providers[0];
    assert_string_equal(a->name, "a");
    assert_int_equal(a->type, PROVIDER_OPENAI);
    assert_string_equal(a->base_url.host, "llm.example");
    assert_string_equal(a->base_url.authority, "llm.example");
    assert_string_equal(a->base_url.path, "/v1");
    assert_int_equal(a->base_url.port, 80);
    assert_string_equal(a->api_key, SECRET);
    assert_int_equal(a->header_count, 2);
    assert_string_equal(a->headers[0].name, "x-team");
    assert_string_equal(a->headers[0].value, "platform one");
    assert_int_equal(io_addr_port(&a->connect_to.addr), 80); // that of the URL
    assert_int_equal(a->bind_address.addr.sa.sa_family, AF_INET6);
    assert_string_equal(c->providers[1].base_url.text, "http://127.0.0.1:8000/v1");
    assert_int_equal(c->providers[1].connect_to.addr.sa.sa_family, AF_UNIX);
    assert_string_equal(c->providers[2].base_url.text, "http://127.0.0.1:11434/v1");
    assert_int_equal(io_addr_port(&c->providers[2].connect_to.addr), 11434);
    assert_string_equal(c->providers[3].base_url.host, "::1");
    assert_string_equal(c->providers[3].base_url.authority, "[::1]:8081");
    assert_int_equal(c->providers[3].base_url.port, 8081);
    assert_null(c->providers[4].base_url.text);
    assert_string_equal(c->providers[5].base_url.text, "https://bedrock-runtime.eu-west-1.amazonaws.com");
    assert_string_equal(c->providers[6].base_url.text, "https://api.groq.com/openai/v1");
    assert_string_equal(c->providers[7].base_url.text, "https://europe-west4-aiplatform.googleapis.com");
    assert_string_equal(c->providers[8].base_url.text, "https://aiplatform.eu.rep.googleapis.com");
    assert_string_equal(c->providers[9].base_url.text, "https://aiplatform.googleapis.com");
    assert_int_equal(config_find_provider(c, "d"), 3);
    assert_int_equal(config_find_provider(c, "echo"), -1);
    assert_int_equal(c->model_count, 0);
    assert_null(c->default_model);
    config_free(c);
}

static void test_parse__time_limits_are_inherited(void **state)
{
    (void)state;
    struct config *c = must_load("timeouts: { connect: 1s, total: 1m }\n"
                                 "providers:\n"
                                 "  a: { type: vllm, timeouts: { connect: 2s, first_byte: 3s } }\n"
                                 "  b: { type: vllm }\n"
                                 "models:\n"
                                 "  - name: m\n"
                                 "    targets: [{ provider: a, model: x }]\n"
                                 "    timeouts: { idle: 4s, first_byte: off }\n"
                                 "  - { name: n, targets: [{ provider: b, model: x }] }\n");
    const struct config_timeouts *m = &c->models[0].targets[0].timeouts;
    const struct config_timeouts *n = &c->models[1].targets[0].timeouts;
    assert_int_equal(m->connect_ns, 2 * INT64_C(1000000000));
    assert_int_equal(m->first_byte_ns, 0);
    assert_int_equal(m->first_token_ns, 0);
    assert_int_equal(m->idle_ns, 4 * INT64_C(1000000000));
    assert_int_equal(m->total_ns, 60 * INT64_C(1000000000));
    assert_int_equal(c->models[0].timeouts.connect_ns, -1);
    assert_int_equal(n->connect_ns, INT64_C(1000000000));
    assert_int_equal(n->idle_ns, 300 * INT64_C(1000000000));
    assert_int_equal(c->providers[0].timeouts.first_byte_ns, 3 * INT64_C(1000000000));
    assert_int_equal(c->providers[1].timeouts.total_ns, 60 * INT64_C(1000000000));
    config_free(c);
}

static void test_parse__models_and_keys(void **state)
{
    (void)state;
    // Keys and models stand in front of what they refer to: the order of the file does not matter.
    struct config *c = must_load("keys:\n"
                                 "  - { name: ci, key: \"${KEY}\", models: [gpt, a/other], team: research }\n"
                                 "  - { name: old, key: 12345678901234567890, disabled: true }\n"
                                 "default_model: a/x/y\n"
                                 "models:\n"
                                 "  - { name: gpt, targets: [{ provider: a, model: org/Llama-3 }] }\n"
                                 "providers: { a: { type: ollama } }\n");
    assert_int_equal(c->key_count, 2);
    assert_string_equal(c->keys[0].key, SECRET);
    assert_string_equal(c->keys[0].team, "research");
    assert_int_equal(c->keys[0].model_count, 2);
    assert_string_equal(c->keys[0].models[1], "a/other");
    assert_false(c->keys[0].disabled);
    assert_string_equal(c->keys[1].team, "default");
    assert_int_equal(c->keys[1].model_count, 0);
    assert_true(c->keys[1].disabled);
    assert_string_equal(c->default_model, "a/x/y");
    assert_string_equal(c->models[0].targets[0].model, "org/Llama-3");
    assert_int_equal(config_find_model(c, "gpt"), 0);
    assert_int_equal(config_find_model(c, "gp"), -1);
    config_free(c);
}

static void test_parse__tls_of_administration(void **state)
{
    (void)state;
    struct config *c =
        must_load("admin:\n"
                  "  tls:\n"
                  "    certificate: /a.crt\n"
                  "    key: /a.key\n"
                  "    certificates: [{ certificate: /b.crt, key: /b.key, passphrase_file: /b.pass }]\n"
                  "    client_ca: /ca.crt\n");
    assert_string_equal(c->admin_address.text, "127.0.0.1:8081");
    assert_string_equal(c->admin_tls.first.certificate, "/a.crt");
    assert_string_equal(c->admin_tls.first.key, "/a.key");
    assert_null(c->admin_tls.first.passphrase_file);
    assert_int_equal(c->admin_tls.more_count, 1);
    assert_string_equal(c->admin_tls.more[0].passphrase_file, "/b.pass");
    assert_string_equal(c->admin_tls.client_ca, "/ca.crt");
    config_free(c);
    // Without it plain HTTP, also if all that is below it is taken out.
    c = must_load("admin:\n  tls:\n");
    assert_null(c->admin_tls.first.certificate);
    config_free(c);
}

static void test_parse__echo_beside_models_of_its_own(void **state)
{
    (void)state;
    struct config *c = must_load("models: [{ name: parrot, targets: [{ provider: echo, model: x }] }]\n");
    assert_int_equal(c->model_count, 2);
    assert_string_equal(c->models[0].name, "parrot");
    assert_string_equal(c->models[1].name, "echo");
    config_free(c);
    c = must_load("models: [{ name: echo, targets: [{ provider: echo, model: x }] }]\ndefault_model: echo\n");
    assert_int_equal(c->model_count, 1);
    assert_string_equal(c->models[0].targets[0].model, "x");
    config_free(c);
}

static void test_parse__off_and_units(void **state)
{
    (void)state;
    struct config *c = must_load("metrics: { address: off }\n"
                                 "log: { access: off }\n"
                                 "timeouts: { connect: 1500us, idle: 2ms, first_byte: 1h }\n"
                                 "limits: { body: 2048B, upload: 1GB }\n");
    assert_int_equal(c->metrics_address.addr.n, 0);
    assert_int_equal(c->access, CONFIG_ACCESS_OFF);
    assert_int_equal(c->timeouts.connect_ns, 1500000);
    assert_int_equal(c->timeouts.idle_ns, 2000000);
    assert_int_equal(c->timeouts.first_byte_ns, INT64_C(3600000000000));
    assert_int_equal(c->limits.body_bytes, 2048);
    config_free(c);
    c = must_load("log: { access: syslog }\nmemory: auto\nworkers: auto\n");
    assert_int_equal(c->access, CONFIG_ACCESS_SYSLOG);
    config_free(c);
}

static void test_parse__byte_order_mark(void **state)
{
    (void)state;
    struct config *c = must_load("\xef\xbb\xbfworkers: 2\n");
    assert_int_equal(c->workers, 2);
    config_free(c);
}

static void test_parse__warnings(void **state)
{
    (void)state;
    struct config *c =
        must_load("providers:\n"
                  "  a: { type: vllm, base_url: http://127.0.0.1:8000 }\n"
                  "keys: [{ name: ci, key: sk-12345 }, { name: b, key: 1234567890123456789 },\n"
                  "       { name: c, key: 12345678901234567890 }]\n");
    assert_int_equal(c->warning_count, 3);
    assert_string_equal(
        c->warnings[0],
        "r.yaml:2: providers.a: base_url has no path; OpenAI's dialect usually lives under /v1");
    assert_string_equal(c->warnings[1],
                        "r.yaml:3: the key \"ci\" is shorter than 20 characters: short ones can "
                        "be guessed");
    config_free(c);
}

// --- Variables.

static void test_expand__each_source_and_the_escape(void **state)
{
    (void)state;
    static const struct world_entry cases[] = {
        {"\"${UTF8}\"", "caf\xc3\xa9"},
        {"${UTF8}", "caf\xc3\xa9"},
        {"\"<${UTF8}${EMPTY}>\"", "<caf\xc3\xa9>"},
        {"'${file:/etc/key}'", SECRET},
        {"\"${credential:openai}\"", SECRET},
        {"\"$${UTF8}\"", "${UTF8}"},
        {"\"$$${UTF8}\"", "$${UTF8}"},
        {"\"$UTF8 $$ {UTF8} $\"", "$UTF8 $$ {UTF8} $"},
        {"\"${REFERENCE}\"", "${KEY}"}, // what was filled in is not looked at again
        {"\"${YAML}\"", "a, b: [c] # \"d\""}, // nor is it YAML
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "service_name: %s\n", cases[i].name);
        struct config *c = must_load(text);
        assert_string_equal(c->service_name, cases[i].value);
        config_free(c);
    }
}

static void test_expand__keys_are_left_alone(void **state)
{
    (void)state;
    must_refuse("\"${KEY}\": 1\n", "r.yaml:1:1: unknown key\n");
}

// --- No file.

static const struct world_entry cloud_variables[] = {
    {"OPENAI_API_KEY", SECRET}, {"GROQ_API_KEY", SECRET}, {"MISTRAL_API_KEY", ""}, {NULL, NULL}};

static void test_default_from_env__names_what_is_skipped(void **state)
{
    (void)state;
    const struct config_env env = {
        .ctx = (void *)(uintptr_t)cloud_variables, .get = world_get, .read_file = world_read_file};
    struct config *c = NULL;
    struct config_errors errors = {0};
    assert_int_equal(config_default_from_env(&env, &c, &errors), RW_OK);
    assert_null(c->file);
    assert_string_equal(c->listeners[0].address.text, "127.0.0.1:8080");
    assert_string_equal(c->models[0].name, "echo");
    assert_int_equal(c->skipped_env_count, 2);
    assert_string_equal(c->skipped_env[0], "OPENAI_API_KEY");
    assert_string_equal(c->skipped_env[1], "GROQ_API_KEY");
    char *text = explained(c);
    assert_non_null(strstr(text, "OPENAI_API_KEY"));
    assert_null(strstr(text, SECRET));
    free(text);
    config_free(c);
    config_errors_free(&errors);
}

// --- Keys of the environment.

static struct config *with_keys(const char *list, const char *text, enum rw_err *ret_err, char **ret_errors)
{
    const struct world_entry variables[] = {{"OMNI_LLM_API_KEYS", list}, {NULL, NULL}};
    const struct config_env env = {
        .ctx = (void *)(uintptr_t)variables, .get = world_get, .read_file = world_read_file};
    struct config *c = NULL;
    struct config_errors errors = {0};
    size_t n = 0;
    *ret_err = text ? config_parse("r.yaml", text, (uint32_t)strlen(text), &env, &c, &errors)
                    : config_default_from_env(&env, &c, &errors);
    FILE *out = open_memstream(ret_errors, &n);
    assert_non_null(out);
    config_errors_write(&errors, "r.yaml", out);
    fclose(out);
    config_errors_free(&errors);
    return c;
}

static void test_env_keys__stand_behind_those_of_the_file(void **state)
{
    (void)state;
    enum rw_err err;
    char *errors;
    struct config *c =
        with_keys(" sk-old-0123456789abcdef , in-file-0123456789abcdef,,sk-old-x987654321fedcba,"
                  "sk-old-0123456789abcdef,!short!!\t",
                  "keys: [{ name: env-sk-old-2, key: in-file-0123456789abcdef }]", &err, &errors);
    assert_int_equal(err, RW_OK);
    static const struct {
        const char *name, *key;
    } want[] = {{"env-sk-old-2", "in-file-0123456789abcdef"},
                {"env-sk-old", "sk-old-0123456789abcdef"},
                {"env-sk-old-3", "sk-old-x987654321fedcba"},
                {"env-_s", "!short!!"}};
    assert_int_equal(c->key_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(c->keys[i].name, want[i].name);
        assert_string_equal(c->keys[i].key, want[i].key);
        assert_string_equal(c->keys[i].team, "default");
        assert_int_equal(c->keys[i].limits.rpm, -1);
    }
    assert_int_equal(c->warning_count, 1);
    assert_non_null(strstr(c->warnings[0], "number 6 of OMNI_LLM_API_KEYS is shorter than 20"));
    char *text = explained(c);
    assert_non_null(strstr(text, "keys[2].key"));
    assert_non_null(strstr(text, "environment OMNI_LLM_API_KEYS"));
    assert_null(strstr(text, "0123456789"));
    free(text);
    free(errors);
    config_free(c);
}

static void test_env_keys__without_a_file(void **state)
{
    (void)state;
    enum rw_err err;
    char *errors;
    struct config *c = with_keys("", NULL, &err, &errors);
    assert_int_equal(c->key_count, 0);
    free(errors);
    config_free(c);
    c = with_keys("one-key-0123456789abcdef", NULL, &err, &errors);
    assert_int_equal(c->key_count, 1);
    free(errors);
    config_free(c);
}

static void test_env_keys__what_is_no_key_is_named_by_its_place(void **state)
{
    (void)state;
    enum rw_err err;
    char *errors;
    assert_null(with_keys("good-0123456789abcdefgh,brief,with a blank", NULL, &err, &errors));
    assert_int_equal(err, RW_E_CONFIG);
    assert_string_equal(
        errors,
        "r.yaml: number 2 of OMNI_LLM_API_KEYS is shorter than 8 characters\n"
        "r.yaml: number 3 of OMNI_LLM_API_KEYS holds a space or a character that cannot stand in "
        "a header field\n");
    free(errors);
}

static void test_load__from_the_file_system(void **state)
{
    (void)state;
    char path[] = "/tmp/test_config.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "workers: 2\n", 11), 11);
    struct config *c = NULL;
    struct config_errors errors = {0};
    assert_int_equal(config_load(path, &config_env_process, &c, &errors), RW_OK);
    assert_int_equal(c->workers, 2);
    assert_string_equal(c->file, path);
    config_free(c);

    // Longer than a configuration may be: the file is not read into what cannot hold it.
    assert_int_equal(ftruncate(fd, CONFIG_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(config_load(path, &config_env_process, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text, "is longer than 4 MB");
    config_errors_free(&errors);
    close(fd);
    unlink(path);
    assert_int_equal(config_load(path, &config_env_process, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text, "cannot be read: No such file or directory");
    assert_int_equal(errors.items[0].line, 0);
    config_errors_free(&errors);
    assert_int_equal(config_load("/", &config_env_process, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text, "cannot be read: Is a directory");
    config_errors_free(&errors);
}

static void test_load__keys_in_a_file_open_to_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        bool warns;
    } rows[] = {
        {"keys: [{ name: a, key: " SECRET " }]\n", 0644, true},
        {"keys: [{ name: a, key: " SECRET " }]\n", 0640, false},
        {"providers: { a: { type: vllm, headers: { X-Token: " SECRET " } } }\n", 0604, true},
        {"keys: [{ name: a, key: \"${PATH}\" }]\n", 0644, false},
        {"workers: 2\n", 0644, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[] = "/tmp/test_config.XXXXXX";
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, rows[i].text, strlen(rows[i].text)), strlen(rows[i].text));
        assert_int_equal(fchmod(fd, rows[i].mode), 0);
        close(fd);
        struct config *c = NULL;
        struct config_errors errors = {0};
        assert_int_equal(config_load(path, &config_env_process, &c, &errors), RW_OK);
        bool warned = false;
        for (uint32_t w = 0; w < c->warning_count; w++) {
            warned |= strstr(c->warnings[w], "chmod 640") != NULL;
            assert_null(strstr(c->warnings[w], SECRET));
        }
        assert_int_equal(warned, rows[i].warns);
        config_free(c);
        unlink(path);
    }
}

// --- What people read.

static void test_explain__values_sources_and_no_secret(void **state)
{
    (void)state;
    struct config *c = must_load("workers: 2\n"
                                 "limits: { head: \"${HEAD}\" }\n"
                                 "providers:\n"
                                 "  a:\n"
                                 "    type: vllm\n"
                                 "    api_key: \"${KEY}\"\n"
                                 "    headers: { X-Token: " SECRET " }\n"
                                 "keys: [{ name: ci, key: \"${file:/etc/key}\" }]\n");
    char *text = explained(c);
    assert_null(strstr(text, "sk-very"));
    // Runs of spaces are one: the columns are not what is tested.
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != ' ' || from[1] != ' ') *to++ = *from;
    *to = 0;
    static const char *const lines[] = {
        "\nworkers 2 r.yaml:1\n",
        "\nlimits.head 16KB r.yaml:2, environment HEAD\n",
        "\nlimits.body 32MB default\n",
        "\nproviders.a.base_url http://127.0.0.1:8000/v1 default of its type\n",
        "\nproviders.a.api_key set, 20 characters r.yaml:6, environment KEY\n",
        "\nproviders.a.headers.x-token set, 20 characters r.yaml:7\n",
        "\nproviders.a.timeouts.total (inherited) \n",
        "\nproviders.a.bind_address (not set) \n",
        "\nkeys[0].key set, 20 characters r.yaml:8, file /etc/key\n",
        "\nkeys[0].models [] default\n",
        "\nbase_path \"\" default\n",
        "\ncors.origins [*] default\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(text, lines[i])) fail_msg("not explained: %s in:\n%s", lines[i], text);
    free(text);
    config_free(c);
}

struct reference {
    char *text;
    uint32_t missing;
};

static void must_be_described(void *ctx, const char *path, const struct config_option *option)
{
    struct reference *r = ctx;
    char line[160];
    snprintf(line, sizeof line, "\n%s\n", path);
    const char *at = strstr(r->text, line);
    if (!at || !option->doc || !strstr(at, option->doc)) {
        print_error("not in the reference: %s\n", path);
        r->missing++;
    }
}

static void test_write_reference__every_key_with_type_default_and_text(void **state)
{
    (void)state;
    struct reference r = {0};
    size_t n = 0;
    FILE *out = open_memstream(&r.text, &n);
    assert_non_null(out);
    fprintf(out, "\n");
    config_write_reference(out);
    fclose(out);
    assert_true(config_each_option(must_be_described, &r) > 50);
    assert_int_equal(r.missing, 0);
    assert_non_null(strstr(r.text, "\nlimits.head\n    size, 1KB to 64KB; default 32KB\n"));
    assert_non_null(strstr(r.text, "\ntimeouts.first_byte\n    duration, 0 to 1d, or off; default off\n"));
    assert_non_null(strstr(r.text, "\nworkers\n    number, 1 to 64, or auto; default auto\n"));
    assert_non_null(strstr(r.text, "\nio\n    auto | io_uring | epoll; default auto\n"));
    assert_non_null(strstr(r.text, "\nkeys[].key\n    secret; required\n"));
    free(r.text);
}

// --- The reference file that is installed.

#define REFERENCE_FILE "packaging/config/ringway.yaml"

static char *reference_text(bool as_it_stands)
{
    char *text = calloc(1, CONFIG_FILE_BYTES_MAX);
    FILE *in = fopen(REFERENCE_FILE, "r");
    if (!in) fail_msg("%s: run the tests from the root of the tree", REFERENCE_FILE);
    const size_t n = fread(text, 1, CONFIG_FILE_BYTES_MAX - 1, in);
    fclose(in);
    assert_true(n > 1000);
    if (as_it_stands) return text;
    // "#word" and "#  word" are settings, "# word" is a comment.
    char *to = text;
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        if (line[0] == '#' && line[1] != '\n' && (line[1] != ' ' || line[2] == ' ')) line++;
        memmove(to, line, (size_t)(end + 1 - line));
        to += end + 1 - line;
        line = end + 1;
    }
    *to = 0;
    return text;
}

static void test_reference_file__as_it_stands_says_nothing(void **state)
{
    (void)state;
    char *text = reference_text(true);
    struct config *c = must_load(text);
    for (const struct config_setting *s = c->settings; s; s = s->next) assert_int_equal(s->line, 0);
    assert_string_equal(c->models[0].name, "echo");
    config_free(c);
    free(text);
}

// "providers.local.headers.x-team" is the option providers.NAME.headers, "keys[3].name" is keys[].name.
static void generalise(const char *path, char out[128])
{
    char *to = out;
    if (!strncmp(path, "providers.", 10)) {
        to = stpcpy(to, "providers.NAME");
        path = strchr(path + 10, '.');
    }
    for (; *path; path++)
        if (*path < '0' || *path > '9') *to++ = *path;
    *to = 0;
    char *header = strstr(out, ".headers.");
    if (header && !strncmp(out, "providers.", 10)) header[8] = 0;
}

static bool same_value(const char *def, const char *value)
{
    char plain[64], *to = plain;
    for (; *def; def++)
        if (*def != '"') *to++ = *def;
    *to = 0;
    return !strcmp(plain, value);
}

static void must_stand_in_file(void *ctx, const char *path, const struct config_option *option)
{
    const struct config *config = ctx;
    if (option->section) return; // what is in it is looked at
    for (const struct config_setting *s = config->settings; s; s = s->next) {
        char general[128];
        generalise(s->path, general);
        if (strcmp(general, path) || !s->line) continue;
        if (option->def && !same_value(option->def, s->value))
            fail_msg("%s:%u: %s is %s there, the default is %s", REFERENCE_FILE, s->line, path, s->value,
                     option->def);
        return;
    }
    fail_msg("%s does not mention %s", REFERENCE_FILE, path);
}

static void test_reference_file__uncommented_it_sets_every_key_to_its_default(void **state)
{
    (void)state;
    char *text = reference_text(false);
    struct config *c = must_load(text);
    assert_int_equal(c->warning_count, 0);
    config_each_option(must_stand_in_file, c);
    config_free(c);
    free(text);
}

// --- Size.

static void test_parse__thousands_of_models_and_keys(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    fprintf(out, "providers: { a: { type: vllm } }\nmodels:\n");
    for (int i = 0; i < MODELS_MAX; i++)
        fprintf(out, "  - { name: m%d, targets: [{ provider: a, model: x }] }\n", i);
    fprintf(out, "keys:\n");
    for (int i = 0; i < KEYS_IN_FILE_MAX; i++) fprintf(out, "  - { name: k%d, key: \"%030d\" }\n", i, i);
    fclose(out);
    struct config *c = must_load(text);
    assert_int_equal(c->model_count, MODELS_MAX);
    assert_int_equal(c->key_count, KEYS_IN_FILE_MAX);
    assert_string_equal(c->keys[4095].name, "k4095");
    config_free(c);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__everything_set),
        cmocka_unit_test(test_parse__nothing_set_is_the_defaults_and_echo),
        cmocka_unit_test(test_parse__providers),
        cmocka_unit_test(test_parse__time_limits_are_inherited),
        cmocka_unit_test(test_parse__models_and_keys),
        cmocka_unit_test(test_parse__tls_of_administration),
        cmocka_unit_test(test_parse__echo_beside_models_of_its_own),
        cmocka_unit_test(test_parse__off_and_units),
        cmocka_unit_test(test_parse__byte_order_mark),
        cmocka_unit_test(test_parse__warnings),
        cmocka_unit_test(test_expand__each_source_and_the_escape),
        cmocka_unit_test(test_expand__keys_are_left_alone),
        cmocka_unit_test(test_default_from_env__names_what_is_skipped),
        cmocka_unit_test(test_env_keys__stand_behind_those_of_the_file),
        cmocka_unit_test(test_env_keys__without_a_file),
        cmocka_unit_test(test_env_keys__what_is_no_key_is_named_by_its_place),
        cmocka_unit_test(test_load__from_the_file_system),
        cmocka_unit_test(test_load__keys_in_a_file_open_to_all),
        cmocka_unit_test(test_explain__values_sources_and_no_secret),
        cmocka_unit_test(test_write_reference__every_key_with_type_default_and_text),
        cmocka_unit_test(test_reference_file__as_it_stands_says_nothing),
        cmocka_unit_test(test_reference_file__uncommented_it_sets_every_key_to_its_default),
        cmocka_unit_test(test_parse__thousands_of_models_and_keys),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
