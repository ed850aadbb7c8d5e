// config: any bytes as a configuration file. Either it loads, and then --explain can be written, or there
// is at least one mistake with a text. What the environment and its files hold is seen in neither, unless
// the input says it itself.
#include <stdio.h>
#include <stdlib.h>

#include "control/config.h"
#include "control/config_priv.h"

#define SECRET "sk-very-secret-value"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *get(void *ctx, const char *name)
{
    (void)ctx;
    switch (*name) {
    case 'K': return SECRET;
    case 'U': return "http://10.0.0.1:8000/v1";
    case 'C': return "/run/credentials/ringway";
    case 'B': return "\xff\xfe";
    case 'E': return "";
    case 'O': return SECRET "-a, " SECRET "-b," SECRET "-a,short-key"; // OMNI_LLM_API_KEYS
    case 'h': return "u:" SECRET "@proxy.test:3128"; // http_proxy, https_proxy
    case 'n': return ".internal,10.0.0.0/8, *.near.test:443,fd00::1"; // no_proxy
    default: return NULL;
    }
}

static int64_t read_file(void *ctx, const char *path, char *out, uint32_t cap)
{
    (void)ctx;
    const size_t len = strlen(path);
    if (len % 3 == 0 || cap < sizeof SECRET) return len % 2 ? -ENOENT : -EFBIG;
    memcpy(out, SECRET "\n", sizeof SECRET);
    return sizeof SECRET;
}

static void must_not_tell(const char *text)
{
    if (text) MUST(!strstr(text, SECRET));
}

static char text[1 << 20];

// What people read of mistakes, as one text; and, once, the reference, which is made of the same tables.
static void write_errors(const struct config_errors *errors, bool said)
{
    static bool reference;
    memset(text, 0, sizeof text);
    FILE *out = fmemopen(text, sizeof text, "w");
    MUST(out);
    if (!reference) config_write_reference(out);
    reference = true;
    config_errors_write(errors, "fuzz", out);
    fclose(out);
    text[sizeof text - 1] = 0;
    if (!said) must_not_tell(text);
}

static void explain(const struct config *config, bool said)
{
    memset(text, 0, sizeof text);
    FILE *out = fmemopen(text, sizeof text, "w");
    MUST(out);
    config_explain(config, out);
    fclose(out);
    text[sizeof text - 1] = 0;
    // A variable in a key that is no secret is shown: that is how it is told which value a key has.
    for (const struct config_setting *s = config->settings; s; s = s->next)
        said |= s->from && s->value && strstr(s->value, SECRET) && !(s->option->flags & CONFIG_F_SECRET);
    if (!said) must_not_tell(text);
    MUST(config->listener_count > 0 && config->provider_count > 0);
    for (uint32_t i = 0; i < config->model_count; i++) {
        MUST(config->models[i].target_count == 1);
        MUST(config->models[i].targets[0].provider < config->provider_count);
        MUST(config->models[i].targets[0].timeouts.total_ns > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct config_env env = {.get = get, .read_file = read_file};
    const bool said = memmem(data, n, "sk-very", 7) != NULL;
    struct config *config = NULL;
    struct config_errors errors = {0};
    const enum rw_err err = config_parse("fuzz", (const char *)data, (uint32_t)n, &env, &config, &errors);
    MUST(err == RW_OK || err == RW_E_CONFIG);
    MUST((err == RW_OK) == (config != NULL) && (err == RW_OK) == (errors.count == 0));
    if (config) explain(config, said);
    for (uint32_t i = 0; i < errors.count; i++) {
        MUST(*errors.items[i].text);
        if (!said) must_not_tell(errors.items[i].text);
    }
    write_errors(&errors, said);
    for (uint32_t i = 0; config && !said && i < config->warning_count; i++)
        must_not_tell(config->warnings[i]);
    config_free(config);
    config_errors_free(&errors);
    return 0;
}
