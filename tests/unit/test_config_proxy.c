// Goal: which proxy each provider is reached through, and that a proxy which cannot be used is refused without showing its
// password. Method: configurations over an environment of the test's own; NO_PROXY's entries one by one.
#include "tests/unit/config_world.h"

static const char start[] =
    "providers:\n"
    "  far: { type: openai, base_url: \"https://api.far.test/v1\" }\n"
    "  old: { type: openai, base_url: \"http://old.far.test/v1\" }\n"
    "  own: { type: openai, base_url: \"https://own.test/v1\", proxy: \"http://u:p%40@own-proxy.test:1\" }\n"
    "  not: { type: openai, base_url: \"https://not.test/v1\", proxy: off }\n"
    "  here: { type: openai, base_url: \"https://127.0.0.1:9/v1\" }\n"
    "  told: { type: openai, base_url: \"https://told.test/v1\", connect_to: 10.0.0.1 }\n";

struct loaded {
    struct config *config;
    char *errors;
};

static struct loaded load(const char *more, const struct world_entry *variables)
{
    struct config_env env = world;
    struct config_errors errors = {0};
    struct loaded l = {NULL, NULL};
    char text[2048];
    size_t n = 0;
    env.ctx = (void *)(uintptr_t)variables;
    snprintf(text, sizeof text, "%s%s", start, more);
    const enum rw_err err = config_parse("r.yaml", text, (uint32_t)strlen(text), &env, &l.config, &errors);
    FILE *out = open_memstream(&l.errors, &n);
    config_errors_write(&errors, "r.yaml", out);
    fclose(out);
    config_errors_free(&errors);
    if (err) l.config = NULL;
    return l;
}

static void unload(struct loaded *l)
{
    if (l->config) config_free(l->config);
    free(l->errors);
}

static void expect(const struct config *c, const char *provider, const char *host, uint16_t port)
{
    const struct config_provider *p = &c->providers[config_find_provider(c, provider)];
    if (!host) {
        assert_null(p->proxy.host);
        return;
    }
    assert_non_null(p->proxy.host);
    assert_string_equal(p->proxy.host, host);
    assert_int_equal(p->proxy.port, port);
}

static void test_config_proxies__none(void **state)
{
    (void)state;
    static const struct world_entry nothing[] = {{NULL, NULL}};
    struct loaded l = load("", nothing);
    assert_non_null(l.config);
    expect(l.config, "far", NULL, 0);
    expect(l.config, "own", "own-proxy.test", 1);
    const struct config_provider *own = &l.config->providers[config_find_provider(l.config, "own")];
    assert_string_equal(own->proxy.authorization, "Basic dTpwQA==");
    unload(&l);
}

static void test_config_proxies__environment_by_scheme(void **state)
{
    (void)state;
    static const struct world_entry variables[] = {{"HTTPS_PROXY", "http://upper.test:3"},
                                                   {"https_proxy", "lower.test:4"},
                                                   {"HTTP_PROXY", "http://plain.test"},
                                                   {NULL, NULL}};
    struct loaded l = load("", variables);
    assert_non_null(l.config);
    expect(l.config, "far", "lower.test", 4);
    expect(l.config, "old", "plain.test", 80);
    expect(l.config, "own", "own-proxy.test", 1);
    expect(l.config, "not", NULL, 0);
    expect(l.config, "here", NULL, 0);
    expect(l.config, "told", NULL, 0);
    unload(&l);
}

static void test_config_proxies__top_level_before_environment(void **state)
{
    (void)state;
    static const struct world_entry variables[] = {
        {"HTTPS_PROXY", "http://upper.test:3"}, {"NO_PROXY", "old.far.test,own.test"}, {NULL, NULL}};
    struct loaded l = load("proxy: \"http://[::1]:8\"\n", variables);
    assert_non_null(l.config);
    expect(l.config, "far", "::1", 8);
    expect(l.config, "old", NULL, 0);
    expect(l.config, "own", "own-proxy.test", 1);
    expect(l.config, "here", NULL, 0);
    unload(&l);
    l = load("proxy: off\n", variables);
    assert_non_null(l.config);
    expect(l.config, "far", NULL, 0);
    unload(&l);
}

static void test_config_proxies__variables_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *value, *word;
    } cases[] = {{"socks5://hidden:w@x:1", "only http://"},
                 {"https://hidden:w@x:1", "only http://"},
                 {"http://hid den@x:1", "space"},
                 {"http://hidden@x:1", "without a password"},
                 {"http://hidden:%zz@x:1", "percent-encoded"},
                 {"http://hidden:w@x:99999", "port"},
                 {"http://hidden:w@x:1/y", "no path"},
                 {"http://", "no host"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct world_entry variables[] = {{"HTTPS_PROXY", cases[i].value}, {NULL, NULL}};
        struct loaded l = load("", variables);
        assert_null(l.config);
        assert_non_null(strstr(l.errors, cases[i].word));
        assert_non_null(strstr(l.errors, "HTTPS_PROXY"));
        assert_null(strstr(l.errors, "hid"));
        unload(&l);
    }
}

static void test_config_no_proxy__entries(void **state)
{
    (void)state;
    static const struct {
        const char *list, *host;
        uint16_t port;
        bool excepted;
    } cases[] = {
        {"*", "api.test", 443, true},
        {"api.test", "api.test", 443, true},
        {"API.test", "api.Test", 443, true},
        {"api.test", "eu.api.test", 443, true},
        {"api.test", "myapi.test", 443, false},
        {".api.test", "eu.api.test", 443, true},
        {".api.test", "api.test", 443, true},
        {"*.api.test", "eu.api.test", 443, true},
        {"api.test:443", "api.test", 443, true},
        {"api.test:80", "api.test", 443, false},
        {"api.test:x", "api.test", 443, false},
        {"a.test, b.test", "b.test", 443, true},
        {"a.test b.test,", "b.test", 443, true},
        {"a.test,,c.test", "b.test", 443, false},
        {"10.0.0.0/8", "10.1.2.3", 443, true},
        {"10.0.0.0/8", "11.1.2.3", 443, false},
        {"10.1.2.3", "10.1.2.3", 443, true},
        {"10.1.2.3:443", "10.1.2.3", 443, true},
        {"2.3", "10.1.2.3", 443, false},
        {"fd00::/8", "fd00::1", 443, true},
        {"fd00::1", "fd00::1", 443, true},
        {"10.0.0.0/8", "ten.test", 443, false},
        {".", "api.test", 443, false},
        {"", "api.test", 443, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bool found = config_no_proxy(span_str(cases[i].list), span_str(cases[i].host), cases[i].port);
        if (found != cases[i].excepted) print_error("%s for %s\n", cases[i].list, cases[i].host);
        assert_int_equal(found, cases[i].excepted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_proxies__none),
        cmocka_unit_test(test_config_proxies__environment_by_scheme),
        cmocka_unit_test(test_config_proxies__top_level_before_environment),
        cmocka_unit_test(test_config_proxies__variables_that_cannot_be_used),
        cmocka_unit_test(test_config_no_proxy__entries),
    };
    return cmocka_run_group_tests_name("config_proxy", tests, NULL, NULL);
}
