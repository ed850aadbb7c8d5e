// What people read: `ringway check --explain` and the reference of all keys.
#include "control/config_priv.h"

// --- Explain.

static uint32_t width(const char *text, uint32_t least)
{
    const uint32_t n = text ? (uint32_t)strlen(text) : 0;
    return n > least ? n : least;
}

static const char *value_text(const struct config_setting *s, char out[40])
{
    if (!s->value) return s->option->kind == CONFIG_K_DURATION ? "(inherited)" : "(not set)";
    if (s->option->flags & CONFIG_F_SECRET) {
        // An empty map of headers is "[]" and nobody's secret.
        if (!s->line && !s->from) return s->value;
        snprintf(out, 40, "set, %zu characters", strlen(s->value));
        return out;
    }
    return *s->value ? s->value : "\"\"";
}

void config_explain(const struct config *config, FILE *out)
{
    char buffer[40];
    uint32_t path_width = 20, value_width = 12;
    for (const struct config_setting *s = config->settings; s; s = s->next) {
        const uint32_t n = width(value_text(s, buffer), 0);
        path_width = width(s->path, path_width);
        if (n <= 48 && n > value_width) value_width = n;
    }
    for (const struct config_setting *s = config->settings; s; s = s->next) {
        fprintf(out, "%-*s  %-*s  ", (int)path_width, s->path, (int)value_width, value_text(s, buffer));
        if (s->line)
            fprintf(out, "%s:%u%s%s\n", config->file, s->line, s->from ? ", " : "", s->from ? s->from : "");
        else fprintf(out, "%s\n", s->from ? s->from : s->value ? "default" : "");
    }
    for (uint32_t i = 0; i < config->skipped_env_count; i++)
        fprintf(out, "%-*s  %-*s  %s\n", (int)path_width, config->skipped_env[i], (int)value_width, "skipped",
                "environment; name its provider in a configuration file");
}

// --- The reference.

static uint32_t visit_section(const struct config_section *section, char *path, size_t cap,
                              config_visit *visit, void *ctx)
{
    uint32_t count = 0;
    const size_t mark = strlen(path);
    for (uint32_t i = 0; i < section->count; i++) {
        const struct config_option *option = &section->options[i];
        const int n = snprintf(path + mark, cap - mark, "%s%s", mark ? "." : "", option->key);
        MUST(n > 0 && (size_t)n < cap - mark);
        visit(ctx, path, option);
        count++;
        if (!option->section) continue;
        const char *suffix = option->kind == CONFIG_K_LIST ? "[]"
            : option->kind == CONFIG_K_MAP                 ? ".NAME"
                                                           : "";
        MUST(strlen(path) + strlen(suffix) < cap);
        memcpy(path + strlen(path), suffix, strlen(suffix) + 1);
        count += visit_section(option->section, path, cap, visit, ctx);
    }
    path[mark] = 0;
    return count;
}

uint32_t config_each_option(config_visit *visit, void *ctx)
{
    char path[128] = "";
    return visit_section(&config_top, path, sizeof path, visit, ctx);
}

static void write_option(void *ctx, const char *path, const struct config_option *option)
{
    char type[320];
    FILE *out = ctx;
    config_type_text(option, type, sizeof type);
    fprintf(out, "%s\n    %s", path, type);
    if (option->flags & CONFIG_F_REQUIRED) fprintf(out, "; required\n");
    else if (option->def) fprintf(out, "; default %s\n", option->def);
    else fprintf(out, "\n");
    fprintf(out, "    %s\n", option->doc);
}

void config_write_reference(FILE *out)
{
    config_each_option(write_option, out);
}
