// config, wrong files: each mistake with the exact text, line and column that it must give; that texts never
// hold a secret; that many mistakes are told at once, in order.
#include "control/config.h"
#include "tests/unit/config_world.h"

struct mistake {
    const char *text;
    const char *expected;
};

static void refuse_all(const struct mistake *mistakes, size_t n)
{
    for (size_t i = 0; i < n; i++) must_refuse(mistakes[i].text, mistakes[i].expected);
}

#define REFUSE_ALL(mistakes) refuse_all(mistakes, sizeof(mistakes) / sizeof(mistakes)[0])

// --- Keys.

static void test_keys__unknown_with_a_suggestion(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"provider: {}\n", "r.yaml:1:1: unknown key \"provider\"; did you mean \"providers\"?\n"},
        {"limits:\n  haed: 1KB\n", "r.yaml:2:3: limits: unknown key \"haed\"; did you mean \"head\"?\n"},
        {"Workers: 1\n", "r.yaml:1:1: unknown key \"Workers\"; did you mean \"workers\"?\n"},
        {"log: { acces: off }\n", "r.yaml:1:8: log: unknown key \"acces\"; did you mean \"access\"?\n"},
        // Keys of what is not built yet are unknown like any other, and no other word is near.
        {"teams: []\npassthrough: {}\n",
         "r.yaml:1:1: unknown key \"teams\"\n"
         "r.yaml:2:1: unknown key \"passthrough\"\n"},
        {"timeouts: { proxy: 5s }\n", "r.yaml:1:13: timeouts: unknown key \"proxy\"\n"},
        {"providers: { a: { type: vllm, regions: x } }\n",
         "r.yaml:1:31: providers.a: unknown key \"regions\"; did you mean \"region\"?\n"},
        {"models: [{ name: m, strategy: x, targets: [{ provider: echo, model: x, weight: 1 }] }]\n",
         "r.yaml:1:21: models[0]: unknown key \"strategy\"\n"
         "r.yaml:1:72: models[0].targets[0]: unknown key \"weight\"\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_keys__what_may_be_a_secret_is_not_repeated(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        // The space after ':' forgotten: YAML takes all of it for a key.
        {"providers: { a: { type: vllm, api_key:" SECRET " } }\n",
         "r.yaml:1:31: providers.a: unknown key (is a space missing after ':'?)\n"},
        {"sk-very-secret-0123456789: 1\n", "r.yaml:1:1: unknown key\n"},
        {"sk_abc123: 1\n", "r.yaml:1:1: unknown key\n"},
        {"\"sk-very secret\": 1\n", "r.yaml:1:1: unknown key\n"},
        {"\"\": 1\n", "r.yaml:1:1: unknown key\n"},
        {"providers: { a: { type: vllm, headers: { x-token:" SECRET " } } }\n",
         "r.yaml:1:42: providers.a.headers[0]: this is not the name of a header field\n"},
        {"providers: { \"sk-very-secret !\": {} }\n",
         "r.yaml:1:14: providers: a name is made of letters, digits and \"._-\" and begins with a letter or "
         "digit\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_keys__twice(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"workers: 1\nio: auto\nworkers: 1\n", "r.yaml:3:1: \"workers\" is here twice, first in line 1\n"},
        {"providers:\n  a: { type: vllm }\n  a: { type: echo }\n",
         "r.yaml:3:3: providers: \"a\" is here twice, first in line 2\n"},
        {"providers: { a: { type: vllm, headers: { X-A: b, x-a: c } } }\n",
         "r.yaml:1:50: providers.a.headers[1]: this field is here twice\n"},
        {"models:\n  - { name: m, targets: [{ provider: echo, model: x }] }\n"
         "  - { name: n, targets: [{ provider: echo, model: x }] }\n"
         "  - { name: m, targets: [{ provider: echo, model: y }] }\n",
         "r.yaml:4:13: models: the name \"m\" is here twice, first in line 2\n"},
        {"keys:\n  - { name: a, key: " SECRET " }\n  - { name: a, key: 01234567890123456789 }\n"
         "  - { name: b, key: \"${KEY}\" }\n",
         "r.yaml:3:13: keys: the name \"a\" is here twice, first in line 2\n"
         "r.yaml:4:21: keys: the same \"key\" stands in line 2\n"},
        {"keys: [{ name: \"\", key: " SECRET " }, { name: \"\", key: 0123456789 }]\n",
         "r.yaml:1:16: keys[0].name: is empty\nr.yaml:1:57: keys[1].name: is empty\n"},
        {"listen: [{ address: 127.0.0.1:80 }, { address: 127.0.0.1:80 }]\n",
         "r.yaml:1:48: listen: the address \"127.0.0.1:80\" is here twice, first in line 1\n"},
        {"listen: [{ address: \"[::1]:80\" }, { address: \"[0:0::1]:80\" }]\n",
         "r.yaml:1:46: listen[1].address is that of listen[0].address\n"},
        {"listen: [{ address: 127.0.0.1:9464 }]\n",
         "r.yaml:1:21: listen[0].address is that of metrics.address\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_keys__missing(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"listen: [{ proxy_protocol: v1 }]\n", "r.yaml:1:10: listen[0]: \"address\" is missing\n"},
        {"providers:\n  a:\n", "r.yaml:2:3: providers.a: \"type\" is missing\n"},
        {"models:\n  - name: m\n", "r.yaml:2:5: models[0]: \"targets\" is missing\n"},
        {"models: [{ targets: [{}] }]\n",
         "r.yaml:1:10: models[0]: \"name\" is missing\n"
         "r.yaml:1:22: models[0].targets[0]: \"provider\" is missing\n"
         "r.yaml:1:22: models[0].targets[0]: \"model\" is missing\n"},
        {"keys: [{}]\n",
         "r.yaml:1:8: keys[0]: \"name\" is missing\nr.yaml:1:8: keys[0]: \"key\" is missing\n"},
        {"providers: { a: { type: llamacpp } }\n", "r.yaml:1:14: providers.a: \"base_url\" is missing\n"},
    };
    REFUSE_ALL(mistakes);
}

// --- Shapes.

static void test_shapes__wrong(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"- a\n", "r.yaml:1:1: keys are expected here: \"key: value\", one per line, not a list\n"},
        {"ringway\n",
         "r.yaml:1:1: keys are expected here: \"key: value\", one per line, not a single value\n"},
        {"limits: 3\n",
         "r.yaml:1:9: limits: keys are expected here: \"key: value\", one per line, not a single value\n"},
        {"listen: { address: 127.0.0.1:80 }\n",
         "r.yaml:1:9: listen: a list is expected here: items in [ ], or one per line after \"- \", not a "
         "map\n"},
        {"listen: [127.0.0.1:80]\n",
         "r.yaml:1:10: listen[0]: keys are expected here: \"key: value\", one per line, not a single "
         "value\n"},
        {"workers: [1]\n", "r.yaml:1:10: workers: one value is expected here, not a list\n"},
        {"workers: { n: 1 }\n", "r.yaml:1:10: workers: one value is expected here, not a map\n"},
        {"workers:\n", "r.yaml:1:9: workers: has no value: give one, or take the line out\n"},
        {"workers: ~\n", "r.yaml:1:10: workers: has no value: give one, or take the line out\n"},
        {"cors: { origins: \"*\" }\n",
         "r.yaml:1:18: cors.origins: a list is expected here: items in [ ], or one "
         "per line after \"- \", not a single value\n"},
        {"cors: { headers: [[a]] }\n",
         "r.yaml:1:19: cors.headers[0]: one value is expected here, not a list\n"},
        {"providers: [a]\n",
         "r.yaml:1:12: providers: keys are expected here: \"key: value\", one per line, not a list\n"},
        {"providers: { a: vllm }\n",
         "r.yaml:1:17: providers.a: keys are expected here: \"key: value\", one per line, not a single "
         "value\n"},
        {"providers: { a: { type: vllm, headers: x } }\n",
         "r.yaml:1:40: providers.a.headers: keys are expected here: \"key: value\", one per line, not a "
         "single "
         "value\n"},
        {"providers: { a: { type: vllm, headers: { x-a: [b] } } }\n",
         "r.yaml:1:47: providers.a.headers[0]: one value is expected here, not a list\n"},
        {"keys: " SECRET "\n",
         "r.yaml:1:7: keys: a list is expected here: items in [ ], or one per line after "
         "\"- \", not a single value\n"},
        {"listen: []\n", "r.yaml:1:9: listen: is empty: at least one is needed\n"},
        {"models: [{ name: m, targets: [] }]\n",
         "r.yaml:1:30: models[0].targets: is empty: at least one is needed\n"},
        {"models:\n  - name: m\n    targets:\n      - { provider: echo, model: a }\n"
         "      - { provider: echo, model: b }\n",
         "r.yaml:5:9: models[0].targets: a second target is not built yet: leave one\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_shapes__too_many(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    fprintf(out, "providers:\n");
    for (int i = 0; i <= PROVIDERS_MAX; i++) fprintf(out, "  p%d: { type: echo }\n", i);
    fclose(out);
    must_refuse(text, "r.yaml:66:8: providers: more than 64\n");
    free(text);
}

// --- Values.

static void test_values__numbers(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"workers: 0\n", "r.yaml:1:10: workers: \"0\" is below the least this may be, 1\n"},
        {"workers: 65\n", "r.yaml:1:10: workers: \"65\" is above the most this may be, 64\n"},
        {"workers: two\n", "r.yaml:1:10: workers: \"two\" is not a whole number or auto\n"},
        {"workers: -1\n", "r.yaml:1:10: workers: \"-1\" is not a whole number or auto\n"},
        {"workers: \"\"\n", "r.yaml:1:10: workers: \"\" is not a whole number or auto\n"},
        {"workers: 99999999999999999999\n",
         "r.yaml:1:10: workers: \"99999999999999999999\" is not a whole number or auto\n"},
        {"workers: 18446744073709551615\n",
         "r.yaml:1:10: workers: \"18446744073709551615\" is above the most this may be, 64\n"},
        {"limits: { connections: 1.5 }\n",
         "r.yaml:1:24: limits.connections: \"1.5\" is not a whole number\n"},
        {"limits: { head: 65KB }\n",
         "r.yaml:1:17: limits.head: \"65KB\" is above the most this may be, 64KB\n"},
        {"limits: { head: 1B }\n", "r.yaml:1:17: limits.head: \"1B\" is below the least this may be, 1KB\n"},
        {"limits: { body: 1TB }\n",
         "r.yaml:1:17: limits.body: \"1TB\" is not a size: a whole number and B, KB, "
         "MB or GB, such as 32MB\n"},
        {"limits: { body: 100 }\n",
         "r.yaml:1:17: limits.body: \"100\" is not a size: a whole number and B, KB, "
         "MB or GB, such as 32MB\n"},
        {"limits: { body: 99999999999GB }\n",
         "r.yaml:1:17: limits.body: \"99999999999GB\" is above the most this may be, 1GB\n"},
        {"limits: { body: 99999999999999999999999B }\n",
         "r.yaml:1:17: limits.body: \"99999999999999999999999B\" is above the most this may be, 1GB\n"},
        {"memory: 1MB\n", "r.yaml:1:9: memory: \"1MB\" is below the least this may be, 16MB\n"},
        {"memory: lots\n",
         "r.yaml:1:9: memory: \"lots\" is not a size: a whole number and B, KB, MB or GB, such "
         "as 32MB, or auto\n"},
        {"timeouts: { connect: 5 }\n",
         "r.yaml:1:22: timeouts.connect: \"5\" is not a duration: a whole number and "
         "us, ms, s, m, h or d, such as 30s\n"},
        {"timeouts: { first_byte: 5 s }\n",
         "r.yaml:1:25: timeouts.first_byte: \"5 s\" is not a duration: a whole "
         "number and us, ms, s, m, h or d, such as 30s, or off\n"},
        {"timeouts: { total: off }\n",
         "r.yaml:1:20: timeouts.total: \"off\" is not a duration: a whole number "
         "and us, ms, s, m, h or d, such as 30s\n"},
        {"timeouts: { total: 8d }\n",
         "r.yaml:1:20: timeouts.total: \"8d\" is above the most this may be, 7d\n"},
        {"timeouts: { connect: 999us }\n",
         "r.yaml:1:22: timeouts.connect: \"999us\" is below the least this may be, 1ms\n"},
        {"timeouts: { connect: 9999999999999999d }\n",
         "r.yaml:1:22: timeouts.connect: \"9999999999999999d\" is above the most this may be, 10m\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__words(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"io: uring\n", "r.yaml:1:5: io: \"uring\" is not one of auto, io_uring, epoll\n"},
        {"io: epol\n",
         "r.yaml:1:5: io: \"epol\" is not one of auto, io_uring, epoll; did you mean \"epoll\"?\n"},
        {"providers: { a: { type: coher } }\n",
         "r.yaml:1:25: providers.a.type: \"coher\" is not one of openai, azure, anthropic, bedrock, gemini, "
         "vertex, mistral, cohere, groq, deepseek, xai, together, fireworks, openrouter, huggingface, "
         "ollama, vllm, "
         "llamacpp, openai_compatible, echo; did you mean \"cohere\"?\n"},
        {"health: { ready_needs_target: yes }\n",
         "r.yaml:1:31: health.ready_needs_target: \"yes\" is neither true nor false\n"},
        {"log: { access: file }\n",
         "r.yaml:1:16: log.access: \"file\" is not one of stdout, syslog, off, or a path that begins with "
         "'/'\n"},
        {"base_path: api\n", "r.yaml:1:12: base_path: \"api\" is not a plain path such as /api/v1\n"},
        {"base_path: /a/../b\n", "r.yaml:1:12: base_path: \"/a/../b\" is not a plain path such as /api/v1\n"},
        {"service_name: \"\"\n", "r.yaml:1:15: service_name: is empty\n"},
        {"service_name: \"${EMPTY}\"\n", "r.yaml:1:15: service_name: is empty (environment EMPTY)\n"},
        {"service_name: \"a\\nb\"\n", "r.yaml:1:15: service_name: holds a control character\n"},
        {"service_name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
         "r.yaml:1:15: service_name: is longer than 64 characters\n"},
        {"models: [{ name: a b, targets: [{ provider: echo, model: x }] }]\n",
         "r.yaml:1:18: models[0].name: holds a space or control character\n"},
        {"keys: [{ name: a b, key: " SECRET " }]\n",
         "r.yaml:1:16: keys[0].name: a name is made of letters, "
         "digits and \"._-\" and begins with a letter or digit\n"},
        {"cors: { headers: [a b] }\n",
         "r.yaml:1:19: cors.headers[0]: this is not the name of a header field\n"},
        {"cors: { origins: [\"https://a.example/\", example.com, \"https://a/b\"] }\n",
         "r.yaml:1:19: cors.origins[0]: \"https://a.example/\" is not an origin: \"*\", or https://host "
         "without a "
         "path\n"
         "r.yaml:1:41: cors.origins[0]: \"example.com\" is not an origin: \"*\", or https://host without a "
         "path\n"
         "r.yaml:1:54: cors.origins[0]: \"https://a/b\" is not an origin: \"*\", or https://host without a "
         "path\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__addresses(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"listen: [{ address: localhost:80 }]\n",
         "r.yaml:1:21: listen[0].address: \"localhost:80\" is not "
         "IPv4:PORT, [IPv6]:PORT or unix:/path\n"},
        {"listen: [{ address: 127.0.0.1 }]\n",
         "r.yaml:1:21: listen[0].address: \"127.0.0.1\" is not IPv4:PORT, "
         "[IPv6]:PORT or unix:/path\n"},
        {"listen: [{ address: 8080 }]\n",
         "r.yaml:1:21: listen[0].address: \"8080\" has no address; for all of "
         "them write 0.0.0.0:8080, or \"[::]:8080\" with IPv6\n"},
        {"listen: [{ address: \":8080\" }]\n",
         "r.yaml:1:21: listen[0].address: \":8080\" has no address; for all "
         "of them write 0.0.0.0:8080, or \"[::]:8080\" with IPv6\n"},
        {"listen: [{ address: \"*:8080\" }]\n",
         "r.yaml:1:21: listen[0].address: \"*:8080\" has no address; for "
         "all of them write 0.0.0.0:8080, or \"[::]:8080\" with IPv6\n"},
        {"metrics: { address: on }\n",
         "r.yaml:1:21: metrics.address: \"on\" is not IPv4:PORT, [IPv6]:PORT, "
         "unix:/path or off\n"},
        {"providers: { a: { type: vllm, connect_to: x } }\n",
         "r.yaml:1:43: providers.a.connect_to: \"x\" is not IP, IPv4:PORT, [IPv6]:PORT or unix:/path\n"},
        {"providers: { a: { type: vllm, bind_address: 127.0.0.1:1 } }\n",
         "r.yaml:1:45: providers.a.bind_address: \"127.0.0.1:1\" is not an IP address without a port\n"},
        {"listen: [{ address: 127.0.0.1:80, trusted_proxies: [10.0.0.0/33] }]\n",
         "r.yaml:1:53: listen[0].trusted_proxies[0]: \"10.0.0.0/33\" is not a network such as 10.0.0.0/8 or "
         "fd00::/8\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__references(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"providers: { local: { type: echo } }\nmodels: [{ name: m, targets: [{ provider: locl, model: x }] "
         "}]\n",
         "r.yaml:2:43: models[0].targets[0].provider: no provider \"locl\"; did you mean \"local\"?\n"},
        {"providers: { a: { type: echo } }\nmodels: [{ name: m, targets: [{ provider: echo, model: x }] }]\n",
         "r.yaml:2:43: models[0].targets[0].provider: no provider \"echo\" under providers\n"},
        {"default_provider: azure\n",
         "r.yaml:1:19: default_provider: no provider \"azure\" under providers\n"},
        {"default_model: ecko\n", "r.yaml:1:16: default_model: no model \"ecko\"; did you mean \"echo\"?\n"},
        {"default_model: gpt-4\n",
         "r.yaml:1:16: default_model: no model \"gpt-4\": name one of models, or PROVIDER/MODEL\n"},
        {"default_model: ech/x\n",
         "r.yaml:1:16: default_model: no model \"ech/x\": name one of models, or PROVIDER/MODEL\n"},
        {"default_model: echo/\n",
         "r.yaml:1:16: default_model: no model \"echo/\"; did you mean \"echo\"?\n"},
        {"keys: [{ name: a, key: " SECRET ", models: [echo, nope] }]\n",
         "r.yaml:1:61: keys[0].models[1]: no model \"nope\": name one of models, or PROVIDER/MODEL\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__providers(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"providers: { a: { type: openai, client_key: /k } }\n",
         "r.yaml:1:14: providers.a: client_certificate and client_key belong together: "
         "\"client_certificate\" is missing\n"},
        {"providers: { a: { type: openai, client_certificate: /c } }\n",
         "r.yaml:1:14: providers.a: client_certificate and client_key belong together: \"client_key\" is "
         "missing\n"},
        {"providers: { a: { type: vllm, ca_file: /c } }\n",
         "r.yaml:1:14: providers.a: ca_file is for an https:// base_url\n"},
        {"providers: { a: { type: echo, ca_file: /c } }\n",
         "r.yaml:1:14: providers.a: type echo has no ca_file: it needs no network\n"},
        {"providers: { a: { type: vllm, base_url: \"http://h/v1?key=" SECRET "\" } }\n",
         "r.yaml:1:41: providers.a.base_url: a base URL has no query: leave out '?' and what follows it\n"},
        {"keys: [{ name: a, key: aaaaaaaaaaaaaaaaaaaaaaaaa, providers: [b] }]\n",
         "r.yaml:1:8: keys[0]: there is no provider \"b\"\n"},
        {"providers: { a: { type: vllm, api_version: x } }\n",
         "r.yaml:1:14: providers.a: api_version is for type azure\n"},
        {"providers: { a: { type: bedrock } }\n", "r.yaml:1:14: providers.a: \"region\" is missing\n"},
        {"providers: { a: { type: bedrock, region: r, access_key_id: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: access_key_id and secret_access_key belong together: "
         "\"secret_access_key\" is "
         "missing\n"},
        {"providers: { a: { type: bedrock, region: r, session_token: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: session_token is for an access_key_id, which is missing\n"},
        {"providers: { a: { type: bedrock, region: r, api_key: x, access_key_id: " SECRET
         ", secret_access_key: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: api_key and access_key_id contradict each other: leave one\n"},
        {"providers: { a: { type: bedrock, base_url: \"http://h\", access_key_id: " SECRET
         ", secret_access_key: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: \"region\" is missing, and $AWS_REGION is not set: it is part of what is "
         "signed\n"},
        {"providers: { a: { type: bedrock, base_url: \"http://h\" } }\n",
         "r.yaml:1:14: providers.a: \"region\" is missing, and $AWS_REGION is not set: it is part of what is "
         "signed\n"},
        {"providers: { a: { type: openai, secret_access_key: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: secret_access_key is for type bedrock\n"},
        {"providers: { a: { type: vertex, location: l } }\n",
         "r.yaml:1:14: providers.a: \"project\" is missing, and $GOOGLE_PROJECT_ID is not set\n"},
        {"providers: { a: { type: vertex, project: p } }\n",
         "r.yaml:1:14: providers.a: \"location\" is missing\n"},
        {"providers: { a: { type: vertex, base_url: \"http://h\", project: p } }\n",
         "r.yaml:1:14: providers.a: \"location\" is missing, and $GOOGLE_LOCATION is not set\n"},
        {"providers: { a: { type: vertex, project: p, location: l, api_key: x, credentials: /c } }\n",
         "r.yaml:1:14: providers.a: api_key and credentials contradict each other: leave one\n"},
        {"providers: { a: { type: gemini, project: p } }\n",
         "r.yaml:1:14: providers.a: project is for type vertex\n"},
        {"providers: { a: { type: azure } }\n", "r.yaml:1:14: providers.a: \"base_url\" is missing\n"},
        {"providers: { a: { type: azure, base_url: \"https://x.openai.azure.com/openai/v1/\" } }\n",
         "r.yaml:1:14: providers.a: base_url: leave \"/openai\" out; azure's paths begin with it\n"},
        {"providers: { a: { type: echo, api_key: " SECRET " } }\n",
         "r.yaml:1:14: providers.a: type echo has no api_key: it needs no network\n"},
        {"providers: { a: { type: echo, base_url: \"http://h/v1\" } }\n",
         "r.yaml:1:14: providers.a: type echo has no base_url: it needs no network\n"},
        {"providers: { a: { type: echo, headers: { a: b } } }\n",
         "r.yaml:1:14: providers.a: type echo has no headers: it needs no network\n"},
        {"providers: { a: { type: echo, connect_to: 127.0.0.1 } }\n",
         "r.yaml:1:14: providers.a: type echo has no connect_to: it needs no network\n"},
        {"providers: { a: { type: echo, bind_address: 127.0.0.1 } }\n",
         "r.yaml:1:14: providers.a: type echo has no bind_address: it needs no network\n"},
        {"providers: { a: { type: vllm, api_key: x, headers: { Authorization: " SECRET " } } }\n",
         "r.yaml:1:14: providers.a: api_key and a header \"authorization\" contradict each other: leave "
         "one\n"},
        {"providers: { a: { type: vllm, headers: { Host: h } } }\n",
         "r.yaml:1:42: providers.a.headers[0]: this field is written by the gateway\n"},
        {"providers: { a: { type: vllm, headers: { \"a b\": h } } }\n",
         "r.yaml:1:42: providers.a.headers[0]: this is not the name of a header field\n"},
        {"providers: { a: { type: vllm, headers: { a: \"\" } } }\n",
         "r.yaml:1:45: providers.a.headers[0]: a value is visible ASCII, at most 4096 characters, and not "
         "empty\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__tls_of_listeners_and_administration(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"admin: { tls: { certificate: /c } }\n",
         "r.yaml:1:15: admin.tls: certificate and key belong together: \"key\" is missing\n"},
        {"admin: { tls: { client_ca: /ca } }\n", "r.yaml:1:15: admin.tls: \"certificate\" is missing\n"},
        {"admin: { tls: {} }\n", "r.yaml:1:15: admin.tls: \"certificate\" is missing\n"},
        {"admin: { tls: { certificate: /c, key: /k, certificates: [{ certificate: /d }] } }\n",
         "r.yaml:1:58: admin.tls.certificates[0]: \"key\" is missing\n"},
        {"admin: { address: off, tls: { certificate: /c, key: /k } }\n",
         "r.yaml:1:29: admin.tls: it is for admin.address, which is off: give one, or take this out\n"},
        {"listen: [{ address: 127.0.0.1:80, tls: {} }]\n",
         "r.yaml:1:40: listen[0].tls: \"certificate\" is missing\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_values__a_url_that_cannot_be_used_shows_nothing_of_it(void **state)
{
    (void)state;
    static const char *const urls[] = {"ftp://h/", "http://", "http://u:" SECRET "@h/v1", "http://h:99999/v1",
                                       "h"};
    static const char prefix[] = "providers.a.base_url: not a URL that can be used: ";
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char text[160];
        struct config *c = NULL;
        struct config_errors errors = {0};
        snprintf(text, sizeof text, "providers: { a: { type: vllm, base_url: \"%s\" } }\n", urls[i]);
        assert_int_equal(world_parse(text, &c, &errors), RW_E_CONFIG);
        assert_int_equal(errors.count, 1);
        assert_int_equal(errors.items[0].line, 1);
        assert_int_equal(errors.items[0].column, 41);
        assert_memory_equal(errors.items[0].text, prefix, strlen(prefix));
        assert_true(strlen(errors.items[0].text) > strlen(prefix) + 4);
        assert_null(strstr(errors.items[0].text, "sk-very"));
        config_errors_free(&errors);
    }
}

// --- Secrets.

static void test_secrets__are_in_no_text(void **state)
{
    // must_refuse() looks for the value itself in every text.
    (void)state;
    static const struct mistake mistakes[] = {
        {"keys: [{ name: a, key: sk-very }]\n", "r.yaml:1:24: keys[0].key: is shorter than 8 characters\n"},
        {"keys: [{ name: a, key: \"" SECRET " " SECRET "\" }]\n",
         "r.yaml:1:24: keys[0].key: holds a space, a line break or a character that cannot stand in a header "
         "field\n"},
        {"keys: [{ name: a, key: \"${LINES}\" }]\n",
         "r.yaml:1:24: keys[0].key: holds a space, a line break or a character that cannot stand in a header "
         "field\n"},
        {"keys: [{ name: a, key: [" SECRET "] }]\n",
         "r.yaml:1:24: keys[0].key: one value is expected here, not a list\n"},
        {"providers: { a: { type: vllm, api_key: \"${EMPTY}\" } }\n",
         "r.yaml:1:40: providers.a.api_key: is empty (environment EMPTY)\n"},
        {"providers: { a: { type: vllm, headers: { x-a: \"${LINES}\" } } }\n",
         "r.yaml:1:47: providers.a.headers[0]: a value is visible ASCII, at most 4096 characters, and not "
         "empty\n"},
        {"keys: [{ name: a, key: \"12345678\\x7f\" }]\n",
         "r.yaml:1:24: keys[0].key: holds a space, a line break or a character that cannot stand in a header "
         "field\n"},
        {"providers: { a: { type: vllm, headers: { x-a: \" b\" } } }\n",
         "r.yaml:1:47: providers.a.headers[0]: a value is visible ASCII, at most 4096 characters, and not "
         "empty\n"},
        // A variable where a number should be: its name is shown, not what is in it.
        {"workers: \"${KEY}\"\n", "r.yaml:1:10: workers: \"${KEY}\" is not a whole number or auto\n"},
        {"io: \"${KEY}\"\n", "r.yaml:1:5: io: \"${KEY}\" is not one of auto, io_uring, epoll\n"},
        {"default_model: \"${KEY}\"\n",
         "r.yaml:1:16: default_model: no model \"${KEY}\": name one of models, or PROVIDER/MODEL\n"},
        {"listen: [{ address: \"${KEY}\" }]\n",
         "r.yaml:1:21: listen[0].address: \"${KEY}\" is not IPv4:PORT, [IPv6]:PORT or unix:/path\n"},
        {"models:\n  - { name: \"${KEY}\", targets: [{ provider: echo, model: x }] }\n"
         "  - { name: \"${KEY}\", targets: [{ provider: echo, model: x }] }\n",
         "r.yaml:3:13: models: the name \"${KEY}\" is here twice, first in line 2\n"},
    };
    REFUSE_ALL(mistakes);
}

// --- Variables.

static void test_expand__mistakes(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"service_name: \"${NOPE}\"\n",
         "r.yaml:1:15: \"${NOPE}\": this variable is not set in the environment (a "
         "plain \"${\" is written \"$${\")\n"},
        {"service_name: \"${NOPE\"\n",
         "r.yaml:1:15: \"${...}\": the '}' is missing; a plain \"${\" is written "
         "\"$${\"\n"},
        {"service_name: \"${sk-very-secret}\"\n",
         "r.yaml:1:15: \"${...}\": only ${VARIABLE}, ${file:/path} and ${credential:NAME} are known; a plain "
         "\"${\" "
         "is written \"$${\"\n"},
        {"service_name: \"${}\"\n",
         "r.yaml:1:15: \"${...}\": only ${VARIABLE}, ${file:/path} and "
         "${credential:NAME} are known; a plain \"${\" is written \"$${\"\n"},
        {"service_name: \"${1X}\"\n",
         "r.yaml:1:15: \"${...}\": only ${VARIABLE}, ${file:/path} and "
         "${credential:NAME} are known; a plain \"${\" is written \"$${\"\n"},
        {"service_name: \"${file:key}\"\n", "r.yaml:1:15: \"${file:key}\": the path must begin with '/'\n"},
        {"service_name: \"${file:/etc/nope}\"\n",
         "r.yaml:1:15: \"${file:/etc/nope}\": No such file or directory\n"},
        {"service_name: \"${file:/etc/forbidden}\"\n",
         "r.yaml:1:15: \"${file:/etc/forbidden}\": Permission denied\n"},
        {"service_name: \"${file:/etc/large}\"\n", "r.yaml:1:15: the value is longer than 64 KB\n"},
        {"service_name: \"${file:/etc/nul}\"\n",
         "r.yaml:1:15: \"${...}\": what it stands for is not UTF-8 text\n"},
        {"service_name: \"${LATIN1}\"\n", "r.yaml:1:15: \"${...}\": what it stands for is not UTF-8 text\n"},
        {"service_name: \"${credential:nope}\"\n",
         "r.yaml:1:15: \"${credential:nope}\": No such file or directory\n"},
        {"service_name: \"${credential:../key}\"\n",
         "r.yaml:1:15: \"${credential:../key}\": the name of a "
         "credential is letters, digits and \"._-@:\"\n"},
        {"service_name: \"${credential:..}\"\n",
         "r.yaml:1:15: \"${credential:..}\": the name of a credential is "
         "letters, digits and \"._-@:\"\n"},
        // Two in one file are told together, and what is wrong beside them.
        {"service_name: \"${NOPE}\"\nbase_path: ${NADA}\nworkers: x\n",
         "r.yaml:1:15: \"${NOPE}\": this variable is not set in the environment (a plain \"${\" is written "
         "\"$${\")\n"
         "r.yaml:2:12: \"${NADA}\": this variable is not set in the environment (a plain \"${\" is written "
         "\"$${\")\n"
         "r.yaml:3:10: workers: \"x\" is not a whole number or auto\n"},
    };
    REFUSE_ALL(mistakes);
}

static const struct world_entry no_variables[] = {{NULL, NULL}};

static void test_expand__credential_without_systemd(void **state)
{
    (void)state;
    static const char text[] = "service_name: \"${credential:x}\"\n";
    const struct config_env env = {
        .ctx = (void *)(uintptr_t)no_variables, .get = world_get, .read_file = world_read_file};
    struct config *c = NULL;
    struct config_errors errors = {0};
    assert_int_equal(config_parse("r.yaml", text, sizeof text - 1, &env, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text,
                        "\"${credential:x}\": CREDENTIALS_DIRECTORY is not set; systemd sets "
                        "it when the unit has LoadCredential=");
    config_errors_free(&errors);
}

// --- YAML.

static void test_yaml__mistakes(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"a: [1\nb: 2\n",
         "r.yaml:2:2: not valid YAML: did not find expected ',' or ']', while parsing a flow "
         "sequence that begins in line 1\n"},
        {"limits: { head: ${HEAD} }\n",
         "r.yaml:1:18: not valid YAML: did not find expected ',' or '}', while parsing a flow mapping that "
         "begins in line 1; write \"${...}\" in quotes\n"},
        {"limits:\n\thead: 1KB\n",
         "r.yaml:2:1: not valid YAML: found character that cannot start any token, "
         "while scanning for the next token that begins in line 2; a tab cannot indent: "
         "use spaces\n"},
        {"service_name: \"\\q\"\n",
         "r.yaml:1:16: not valid YAML: found unknown escape character, while parsing a "
         "quoted scalar that begins in line 1\n"},
        {"service_name: \"a\\0b\"\n", "r.yaml:1:15: a NUL cannot be part of a value\n"},
        {"service_name: \"caf\xe9\"\n", "r.yaml:1:19: not UTF-8 text (invalid trailing UTF-8 octet)\n"},
        {"service_name: \"\xc3\xa9\xff\"\n", "r.yaml:1:17: not UTF-8 text (invalid leading UTF-8 octet)\n"},
        {"io: auto\nservice_name: a\x01\n",
         "r.yaml:2:16: not UTF-8 text (control characters are not allowed)\n"},
        {"a: &x 1\nb: *x\n",
         "r.yaml:1:4: anchors are not supported: write the value out, or quote a text that "
         "begins with '&'\n"},
        {"cors: { origins: [*] }\n",
         "r.yaml:1:20: not valid YAML: did not find expected alphabetic or numeric "
         "character, while scanning an alias that begins in line 1\n"},
        {"b: *x\n",
         "r.yaml:1:4: aliases are not supported: write the value out, or quote a text that begins with "
         "'*'\n"},
        {"service_name: !x y\n",
         "r.yaml:1:15: tags are not supported: leave it out, or quote a text that begins "
         "with '!'\n"},
        {"? [a]\n: b\n", "r.yaml:1:3: a key must be a word\n"},
        {"workers: 1\n---\nworkers: 2\n",
         "r.yaml:2:1: a second document begins here: the configuration is one\n"},
        {"[[[[[[[[[[[[[[[[[[[[\n", "r.yaml:1:17: nested too deeply\n"},
    };
    REFUSE_ALL(mistakes);
}

static void test_yaml__too_large(void **state)
{
    (void)state;
    struct config *c = NULL;
    struct config_errors errors = {0};
    const uint32_t n = CONFIG_FILE_BYTES_MAX + 1;
    char *text = malloc(n);
    memset(text, '#', n);
    assert_int_equal(config_parse("r.yaml", text, n, &world, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text, "is longer than 4 MB");
    config_errors_free(&errors);

    // As many values as fit: refused at a bound, and soon.
    for (uint32_t i = 0; i < n - 1; i++) text[i] = i % 2 ? 'a' : ',';
    text[0] = '[';
    assert_int_equal(config_parse("r.yaml", text, n - 1, &world, &c, &errors), RW_E_CONFIG);
    assert_string_equal(errors.items[0].text, "too many values");
    config_errors_free(&errors);
    free(text);
}

// --- Many at once.

static void test_errors__twenty_in_order_and_the_rest_counted(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    for (int i = 0; i < 10; i++) fprintf(out, "nope_%c: 1\n", 'a' + i);
    fprintf(out, "keys:\n"); // in front of the listeners, which are looked at first
    for (int i = 0; i < 4; i++) fprintf(out, "  - {}\n");
    fprintf(out, "listen:\n");
    for (int i = 0; i < 9; i++) fprintf(out, "  - {}\n");
    fclose(out);
    struct config *c = NULL;
    struct config_errors errors = {0};
    assert_int_equal(world_parse(text, &c, &errors), RW_E_CONFIG);
    free(text);
    assert_int_equal(errors.count, CONFIG_ERRORS_MAX);
    assert_int_equal(errors.more, 7);
    for (uint32_t i = 1; i < errors.count; i++) assert_true(errors.items[i - 1].line <= errors.items[i].line);
    assert_string_equal(errors.items[0].text, "unknown key \"nope_a\"");
    assert_string_equal(errors.items[19].text, "listen[1]: \"address\" is missing");
    config_errors_free(&errors);
}

static void test_errors__long_words_are_cut(void **state)
{
    (void)state;
    static const char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; // 64
    char text[600], expected[400];
    snprintf(text, sizeof text,
             "providers:\n  %s:\n    timeouts: { connect: \"%s%s\\x41\\xe9\" }\n    type: vllm\n", name, name,
             name);
    snprintf(
        expected, sizeof expected,
        "r.yaml:3:26: providers.%s.timeouts.connect: \"%.58s...\" is not a duration: a whole number and us, "
        "ms, s, m, h or d, such as 30s\n",
        name, name);
    must_refuse(text, expected);
}

// --- Guessing.

static void test_distance__as_people_mistype(void **state)
{
    (void)state;
    assert_int_equal(config_distance("head", "head"), 0);
    assert_int_equal(config_distance("HEAD", "head"), 0);
    assert_int_equal(config_distance("haed", "head"), 1);
    assert_int_equal(config_distance("hea", "head"), 1);
    assert_int_equal(config_distance("headd", "head"), 1);
    assert_int_equal(config_distance("heed", "head"), 1);
    assert_int_equal(config_distance("", "head"), 4);
    assert_int_equal(config_distance("head", ""), 4);
    assert_int_equal(config_distance("ab", "ba"), 1);
    assert_int_equal(config_distance("kitten", "sitting"), 3);
    assert_int_equal(config_distance("a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys__unknown_with_a_suggestion),
        cmocka_unit_test(test_keys__what_may_be_a_secret_is_not_repeated),
        cmocka_unit_test(test_keys__twice),
        cmocka_unit_test(test_keys__missing),
        cmocka_unit_test(test_shapes__wrong),
        cmocka_unit_test(test_shapes__too_many),
        cmocka_unit_test(test_values__numbers),
        cmocka_unit_test(test_values__words),
        cmocka_unit_test(test_values__addresses),
        cmocka_unit_test(test_values__references),
        cmocka_unit_test(test_values__providers),
        cmocka_unit_test(test_values__tls_of_listeners_and_administration),
        cmocka_unit_test(test_values__a_url_that_cannot_be_used_shows_nothing_of_it),
        cmocka_unit_test(test_secrets__are_in_no_text),
        cmocka_unit_test(test_expand__mistakes),
        cmocka_unit_test(test_expand__credential_without_systemd),
        cmocka_unit_test(test_yaml__mistakes),
        cmocka_unit_test(test_yaml__too_large),
        cmocka_unit_test(test_errors__twenty_in_order_and_the_rest_counted),
        cmocka_unit_test(test_errors__long_words_are_cut),
        cmocka_unit_test(test_distance__as_people_mistype),
    };
    return cmocka_run_group_tests_name("config_errors", tests, NULL, NULL);
}
