// The ways in and out of config.h: a file, a text, or nothing at all becomes a struct config, or a list of
// mistakes.
#include "control/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config_priv.h"
#include "tls/crypto.h"

// Variables by which providers are usually given.
static const char *const provider_variables[] = {
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY",    "MISTRAL_API_KEY",
    "COHERE_API_KEY", "GROQ_API_KEY",      "AWS_ACCESS_KEY_ID",
};
#define PROVIDER_VARIABLES (sizeof provider_variables / sizeof provider_variables[0])

// --- The world outside.

static const char *process_get(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

static int64_t read_all(int fd, char *out, uint32_t cap)
{
    uint32_t n = 0;
    for (;;) {
        char beyond;
        const ssize_t got = n < cap ? read(fd, out + n, cap - n) : read(fd, &beyond, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) return n;
        if (n == cap) return -EFBIG;
        n += (uint32_t)got;
    }
}

static int64_t process_read_file(void *ctx, const char *path, char *out, uint32_t cap)
{
    (void)ctx;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    const int64_t got = read_all(fd, out, cap);
    close(fd);
    return got;
}

static bool process_is_open_to_all(void *ctx, const char *path)
{
    struct stat st;
    (void)ctx;
    return stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0;
}

const struct config_env config_env_process = {
    .get = process_get, .read_file = process_read_file, .is_open_to_all = process_is_open_to_all};

// --- Loading.

static enum rw_err begin(struct config_loader *l)
{
    l->memory = config_memory_new();
    if (!l->memory) return (enum rw_err) - ENOMEM;
    l->config = config_take(l->memory, sizeof *l->config);
    if (l->config) {
        l->config->memory = l->memory;
        return RW_OK;
    }
    config_memory_free(l->memory);
    return (enum rw_err) - ENOMEM;
}

// Hands the configuration over, or takes everything back.
static enum rw_err end(struct config_loader *l, struct config **ret_config)
{
    if (l->scratch) crypto_wipe(l->scratch, CONFIG_VALUE_BYTES_MAX + 1);
    free(l->scratch);
    config_errors_sort(l->errors);
    const bool out_of_memory = l->out_of_memory || config_memory_failed(l->memory);
    if (!out_of_memory && !l->complaints) {
        *ret_config = l->config;
        return RW_OK;
    }
    config_memory_free(l->memory);
    return out_of_memory ? (enum rw_err) - ENOMEM : RW_E_CONFIG;
}

enum rw_err config_parse(const char *name, const char *text, uint32_t n, const struct config_env *env,
                         struct config **ret_config, struct config_errors *errors)
{
    struct config_loader l = {.env = env, .errors = errors, .name = name};
    struct config_node *tree = NULL;
    RW_TRY(begin(&l));
    l.config->file = config_copy(l.memory, name, strlen(name));
    if (n > CONFIG_FILE_BYTES_MAX)
        config_complain(&l, NULL, "is longer than %d MB", CONFIG_FILE_BYTES_MAX / 1024 / 1024);
    // A tree with a hole in it would only give mistakes that are none.
    else if (config_yaml_read(&l, text, n, false, &tree)) config_build(&l, tree);
    return end(&l, ret_config);
}

// Keys written out in a file that everybody may read.
static void warn_of_open_secrets(const char *path, struct config *config)
{
    struct config_loader l = {.config = config, .memory = config->memory, .name = path};
    for (const struct config_setting *s = config->settings; s; s = s->next) {
        if (!(s->option->flags & CONFIG_F_SECRET) || !s->value || !s->line || s->from) continue;
        config_warn(&l, NULL,
                    "%s:%u: %s is written out, and every user of this machine may read the file: chmod 640 "
                    "it, or write "
                    "\"${NAME}\" or \"${file:/path}\"",
                    path, s->line, s->path);
        return;
    }
}

enum rw_err config_load(const char *path, const struct config_env *env, struct config **ret_config,
                        struct config_errors *errors)
{
    char *text = malloc(CONFIG_FILE_BYTES_MAX);
    if (!text) return (enum rw_err) - ENOMEM;
    struct config_loader l = {.errors = errors};
    enum rw_err err = RW_E_CONFIG;
    const int64_t got = env->read_file(env->ctx, path, text, CONFIG_FILE_BYTES_MAX);
    if (got >= 0) err = config_parse(path, text, (uint32_t)got, env, ret_config, errors);
    else if (got == -EFBIG)
        config_complain(&l, NULL, "is longer than %d MB", CONFIG_FILE_BYTES_MAX / 1024 / 1024);
    else config_complain(&l, NULL, "cannot be read: %s", strerror((int)-got));
    if (!err && env->is_open_to_all && env->is_open_to_all(env->ctx, path))
        warn_of_open_secrets(path, *ret_config);
    if (got > 0 || got == -EFBIG) crypto_wipe(text, got > 0 ? (size_t)got : CONFIG_FILE_BYTES_MAX);
    free(text);
    return l.out_of_memory ? (enum rw_err) - ENOMEM : err;
}

enum rw_err config_default_from_env(const struct config_env *env, struct config **ret_config,
                                    struct config_errors *errors)
{
    struct config_loader l = {.env = env, .errors = errors, .name = "built in"};
    RW_TRY(begin(&l));
    config_build(&l, NULL);
    const char **skipped = config_take(l.memory, sizeof provider_variables);
    for (uint32_t i = 0; skipped && i < PROVIDER_VARIABLES; i++) {
        const char *value = env->get(env->ctx, provider_variables[i]);
        if (value && *value) skipped[l.config->skipped_env_count++] = provider_variables[i];
    }
    l.config->skipped_env = skipped;
    return end(&l, ret_config);
}

void config_free(struct config *config)
{
    if (config) config_memory_free(config->memory);
}

// --- Finding.

int32_t config_find_provider(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->provider_count; i++)
        if (config->providers[i].name && !strcmp(config->providers[i].name, name)) return (int32_t)i;
    return -1;
}

int32_t config_find_model(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->model_count; i++)
        if (config->models[i].name && !strcmp(config->models[i].name, name)) return (int32_t)i;
    return -1;
}
