// What the tests of the configuration share: an environment and files that exist only here, and a way to
// state what a text must lead to.
#ifndef RINGWAY_TESTS_UNIT_CONFIG_WORLD_H
#define RINGWAY_TESTS_UNIT_CONFIG_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config.h"
#include "control/config_priv.h"
#include "tests/lib/guard.h"

// What must never be seen in any message.
#define SECRET "sk-very-secret-value"

struct world_entry {
    const char *name, *value;
};

static const struct world_entry world_variables[] = {
    {"KEY", SECRET},
    {"EMPTY", ""},
    {"URL", "http://10.0.0.1:8000/v1"},
    {"HEAD", "16KB"},
    {"YAML", "a, b: [c] # \"d\""},
    {"REFERENCE", "${KEY}"},
    {"LINES", SECRET "\r\nx-injected: 1"},
    {"LATIN1", "caf\xe9"},
    {"UTF8", "caf\xc3\xa9"},
    {"CREDENTIALS_DIRECTORY", "/run/credentials/ringway"},
    {"LOCAL_API_KEY", SECRET},
    {"AZURE_OPENAI_API_KEY", SECRET},
    {"AWS_ACCESS_KEY_ID", SECRET},
    {"AWS_SECRET_ACCESS_KEY", SECRET},
    {"AWS_SESSION_TOKEN", SECRET},
    {"RINGWAY_CI_KEY", SECRET "-of-a-client"},
    {"RINGWAY_ADMIN_TOKEN", SECRET "-of-an-administrator"},
    {NULL, NULL},
};

static const struct world_entry world_files[] = {
    {"/etc/key", SECRET "\n"},
    {"/etc/empty", ""},
    {"/run/credentials/ringway/openai", SECRET "\r\n"},
    {NULL, NULL},
};

static inline const char *world_find(const struct world_entry *entries, const char *name)
{
    for (; entries->name; entries++)
        if (!strcmp(entries->name, name)) return entries->value;
    return NULL;
}

static inline const char *world_get(void *ctx, const char *name)
{
    return world_find(ctx ? ctx : (void *)(uintptr_t)world_variables, name);
}

static inline int64_t world_read_file(void *ctx, const char *path, char *out, uint32_t cap)
{
    (void)ctx;
    const char *text = world_find(world_files, path);
    if (!strcmp(path, "/etc/large")) {
        memset(out, 'x', cap);
        return -EFBIG;
    }
    if (!strcmp(path, "/etc/nul")) {
        memcpy(out, "a\0b", 3);
        return 3;
    }
    if (!strcmp(path, "/etc/forbidden")) return -EACCES;
    if (!text) return -ENOENT;
    if (strlen(text) > cap) return -EFBIG;
    memcpy(out, text, strlen(text));
    return (int64_t)strlen(text);
}

static const struct config_env world = {.get = world_get, .read_file = world_read_file};

static inline enum rw_err world_parse(const char *text, struct config **ret, struct config_errors *errors)
{
    struct guard g = guard_open(strlen(text));
    const char *flush = (const char *)guard_put(&g, text, strlen(text));
    const enum rw_err err = config_parse("r.yaml", flush, (uint32_t)strlen(text), &world, ret, errors);
    guard_close(&g);
    return err;
}

// Loads or fails the test with what was wrong. The caller frees it.
static inline struct config *must_load(const char *text)
{
    struct config *config = NULL;
    struct config_errors errors = {0};
    const enum rw_err err = world_parse(text, &config, &errors);
    config_errors_write(&errors, "r.yaml", stderr);
    config_errors_free(&errors);
    assert_int_equal(err, RW_OK);
    return config;
}

// The text is refused with exactly these lines.
static inline void must_refuse(const char *text, const char *expected)
{
    struct config *config = NULL;
    struct config_errors errors = {0};
    char *written = NULL;
    size_t n = 0;
    const enum rw_err err = world_parse(text, &config, &errors);
    if (err != RW_E_CONFIG) fail_msg("accepted (%s): %s", rw_err_name(err), text);
    assert_null(config);
    FILE *out = open_memstream(&written, &n);
    assert_non_null(out);
    config_errors_write(&errors, "r.yaml", out);
    fclose(out);
    assert_null(strstr(written, "sk-very"));
    assert_string_equal(written, expected);
    free(written);
    config_errors_free(&errors);
}

// What config_explain() prints. The caller frees it.
static inline char *explained(const struct config *config)
{
    char *written = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&written, &n);
    assert_non_null(out);
    config_explain(config, out);
    fclose(out);
    return written;
}

#endif
