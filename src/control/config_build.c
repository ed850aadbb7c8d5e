// The tree of a file laid along the table of keys: every option of every section is set from the file, else
// from its default, and where it came from is recorded. Sections are taken in the order of the table, not of
// the file, so that what refers to something (a target to a provider) finds it there.
#include <stdlib.h>

#include "base/fmt.h"
#include "control/config_priv.h"

// --- The path of where we are, for messages: "models[0].targets[0].provider".

// A name can be long enough to fill it; then the rest of the path is cut, which is only less to read.
static void grown(struct config_loader *l, int n)
{
    const size_t room = sizeof l->path - l->path_n;
    if (n > 0) l->path_n = (size_t)n < room ? l->path_n + (uint32_t)n : (uint32_t)sizeof l->path - 1;
}

uint32_t config_path_push(struct config_loader *l, const char *key)
{
    const uint32_t mark = l->path_n;
    grown(l, snprintf(l->path + mark, sizeof l->path - mark, "%s%s", mark ? "." : "", key));
    return mark;
}

uint32_t config_path_push_index(struct config_loader *l, uint32_t index)
{
    const uint32_t mark = l->path_n;
    grown(l, snprintf(l->path + mark, sizeof l->path - mark, "[%u]", index));
    return mark;
}

void config_path_pop(struct config_loader *l, uint32_t mark)
{
    l->path_n = mark;
    l->path[mark] = 0;
}

// --- Records for config_explain().

void config_record(struct config_loader *l, const struct config_option *option,
                   const struct config_node *node, const char *value)
{
    struct config_setting *s = config_take(l->memory, sizeof *s);
    char *path = config_copy(l->memory, l->path, l->path_n);
    if (!s || !path) return;
    s->path = path;
    s->option = option;
    s->value = value;
    s->from = node ? node->from : NULL;
    s->line = node ? node->line : 0;
    s->column = node ? node->column : 0;
    if (l->last_setting) l->last_setting->next = s;
    else l->config->settings = s;
    l->last_setting = s;
}

struct config_setting *config_setting_find(const struct config *config, const char *path)
{
    for (const struct config_setting *s = config->settings; s; s = s->next)
        if (!strcmp(s->path, path)) return (struct config_setting *)s;
    return NULL;
}

const struct config_node *config_child(const struct config_node *map, const char *key)
{
    if (!map || map->kind != CONFIG_MAP) return NULL;
    for (const struct config_node *child = map->first; child; child = child->next)
        if (!strcmp(child->key->raw, key)) return child;
    return NULL;
}

// --- Shapes.

static bool has_shape(struct config_loader *l, const struct config_node *node, enum config_node_kind kind)
{
    static const char *const expected[] = {
        [CONFIG_SCALAR] = "one value is expected here",
        [CONFIG_LIST] = "a list is expected here: items in [ ], or one per line after \"- \"",
        [CONFIG_MAP] = "keys are expected here: \"key: value\", one per line",
    };
    static const char *const found[] = {
        [CONFIG_SCALAR] = "a single value",
        [CONFIG_LIST] = "a list",
        [CONFIG_MAP] = "a map",
    };
    if (node->kind == kind) return true;
    config_complain(l, node, "%s, not %s", expected[kind], found[node->kind]);
    return false;
}

static void set_unset(const struct config_option *option, void *slot)
{
    // Only where the table has no default; everything else that is not set is zero.
    if (option->kind == CONFIG_K_DURATION || option->kind == CONFIG_K_WHOLE || option->kind == CONFIG_K_USD)
        *(int64_t *)slot = -1;
    if (option->kind == CONFIG_K_PROVIDER) *(int32_t *)slot = -1;
}

static void build_value(struct config_loader *l, const struct config_option *option,
                        const struct config_node *node, void *slot)
{
    if (!has_shape(l, node, CONFIG_SCALAR) || !node->text) return;
    if (node->line && config_node_null(node)) {
        config_complain(l, node, "has no value: give one, or take the line out");
        return;
    }
    if (config_value_set(l, option, option->kind, node, slot)) config_record(l, option, node, node->text);
}

// How a list of values is shown: [a, b].
static const char *list_text(struct config_loader *l, const struct config_node *list)
{
    size_t n = 3;
    for (const struct config_node *v = list->first; v; v = v->next) n += v->text ? strlen(v->text) + 2 : 0;
    char *text = config_take(l->memory, n);
    if (!text) return NULL;
    struct fmt f;
    fmt_init(&f, text, (uint32_t)n);
    fmt_char(&f, '[');
    for (const struct config_node *v = list->first; v; v = v->next) {
        if (!v->text) continue;
        if (f.n > 1) fmt_str(&f, ", ");
        fmt_str(&f, v->text);
    }
    fmt_char(&f, ']');
    text[f.n] = 0;
    return text;
}

static bool few_enough(struct config_loader *l, const struct config_option *option,
                       const struct config_node *list)
{
    if (list->count < option->min) {
        config_complain(l, list, "is empty: at least one is needed");
        return false;
    }
    if (list->count <= option->max) return true;
    const struct config_node *first_too_many = list->first;
    for (int64_t i = 0; i < option->max; i++) first_too_many = first_too_many->next;
    if (option->too_many) config_complain(l, first_too_many, "%s", option->too_many);
    else config_complain(l, first_too_many, "more than %lld", (long long)option->max);
    return option->too_many != NULL; // the first are looked at all the same
}

static uint32_t used(const struct config_option *option, const struct config_node *list)
{
    return list->count < option->max ? list->count : (uint32_t)option->max;
}

static void *field(void *base, uint32_t offset)
{
    return (char *)base + offset;
}

static void build_values(struct config_loader *l, const struct config_option *option,
                         const struct config_node *node, void *base)
{
    if (!has_shape(l, node, CONFIG_LIST) || !few_enough(l, option, node)) return;
    // The option's bounds are those of the list; its values have the ones of their kind.
    struct config_option element = *option;
    element.min = 1;
    element.max = 0;
    const size_t size = config_value_size(option->element);
    char *array = config_take(l->memory, node->count * size + 1);
    uint32_t n = 0;
    if (!array) return;
    for (const struct config_node *value = node->first; value; value = value->next) {
        const uint32_t mark = config_path_push_index(l, n);
        if (has_shape(l, value, CONFIG_SCALAR) && value->text &&
            config_value_set(l, &element, option->element, value, array + n * size))
            n++;
        config_path_pop(l, mark);
    }
    *(void **)field(base, option->offset) = array;
    *(uint32_t *)field(base, option->count_offset) = n;
    config_record(l, option, node, list_text(l, node));
}

// --- Maps of header fields.

static bool header_refused(const char *name, const char **why)
{
    // What the gateway itself writes: a second one would frame the message in two ways, or send it elsewhere.
    static const char *const ours[] = {
        "host",   "content-length", "transfer-encoding", "connection", "te",           "trailer", "upgrade",
        "expect", "cookie",         "accept-encoding",   "keep-alive", "content-type", NULL};
    *why = "this field is written by the gateway";
    for (uint32_t i = 0; ours[i]; i++)
        if (!strcmp(name, ours[i])) return true;
    *why = "this is not the name of a header field";
    return !config_token_ok(name);
}

static bool header_value_ok(const char *value)
{
    const size_t n = strlen(value);
    for (const char *p = value; *p; p++)
        if (*p < 0x20 || *p > 0x7e) return false;
    return n && n <= KIB(4) && value[0] != ' ' && value[n - 1] != ' ';
}

static bool build_header(struct config_loader *l, const struct config_node *node,
                         struct config_header *headers, uint32_t n)
{
    const char *why = NULL;
    char *name = config_copy(l->memory, node->key->raw, strlen(node->key->raw));
    if (!name || !has_shape(l, node, CONFIG_SCALAR) || !node->text) return false;
    for (char *p = name; *p; p++) *p = (char)span_lower((uint8_t)*p);
    if (header_refused(name, &why)) {
        config_complain(l, node->key, "%s", why);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(headers[i].name, name)) continue;
        config_complain(l, node->key, "this field is here twice");
        return false;
    }
    if (!header_value_ok(node->text)) {
        config_complain(l, node, "a value is visible ASCII, at most 4096 characters, and not empty");
        return false;
    }
    headers[n] = (struct config_header){.name = name, .value = node->text};
    return true;
}

static void build_headers(struct config_loader *l, const struct config_option *option,
                          const struct config_node *node, void *base)
{
    if (!has_shape(l, node, CONFIG_MAP) || !few_enough(l, option, node)) return;
    struct config_header *headers = config_take(l->memory, node->count * sizeof *headers + 1);
    uint32_t n = 0;
    if (!headers) return;
    for (const struct config_node *child = node->first; child; child = child->next) {
        // Not the name itself: with the space after ':' forgotten it would be the secret.
        const uint32_t mark = config_path_push_index(l, n);
        if (build_header(l, child, headers, n)) {
            n++;
            config_path_pop(l, mark);
            config_path_push(l, headers[n - 1].name);
            config_record(l, option, child, headers[n - 1].value);
        }
        config_path_pop(l, mark);
    }
    *(void **)field(base, option->offset) = headers;
    *(uint32_t *)field(base, option->count_offset) = n;
}

// --- Sections.

static void build_section(struct config_loader *l, const struct config_section *section,
                          const struct config_node *node, const struct config_node *at, void *base);

static void complain_unknown(struct config_loader *l, const struct config_section *section,
                             const struct config_node *key)
{
    const char *best = NULL;
    const char *const shown = config_show_key(l, key);
    uint32_t distance = UINT32_MAX;
    for (uint32_t i = 0; i < section->count; i++)
        config_nearer(key->raw, section->options[i].key, &best, &distance);
    if (best && *shown == '"') config_complain(l, key, "unknown key %s; did you mean \"%s\"?", shown, best);
    else config_complain(l, key, "unknown key%s%s", *shown ? " " : "", shown);
}

// The node of each option, and complaints about the rest.
static void sort_out(struct config_loader *l, const struct config_section *section,
                     const struct config_node *node, const struct config_node **found)
{
    for (const struct config_node *child = node->first; child; child = child->next) {
        uint32_t i = 0;
        while (i < section->count && strcmp(section->options[i].key, child->key->raw)) i++;
        if (i == section->count) complain_unknown(l, section, child->key);
        else if (found[i])
            config_complain(l, child->key, "\"%s\" is here twice, first in line %u", section->options[i].key,
                            found[i]->key->line);
        else found[i] = child;
    }
}

static int by_text(const void *a, const void *b)
{
    const struct config_node *x = *(const struct config_node *const *)a;
    const struct config_node *y = *(const struct config_node *const *)b;
    const int order = strcmp(x->text, y->text);
    if (order) return order;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static const struct config_option *option_of(const struct config_section *section, const char *key)
{
    for (uint32_t i = 0; i < section->count; i++)
        if (!strcmp(section->options[i].key, key)) return &section->options[i];
    UNREACHABLE("a key of `unique` is one of the section");
}

// No two items of the list may have the same value under `key`.
static void check_unique(struct config_loader *l, const struct config_section *section, const char *key,
                         const struct config_node *list)
{
    const struct config_node **values = config_take(l->memory, (list->count + 1) * sizeof(void *));
    const bool secret = option_of(section, key)->flags & CONFIG_F_SECRET;
    uint32_t n = 0;
    if (!values) return;
    for (const struct config_node *item = list->first; item; item = item->next) {
        const struct config_node *value = config_child(item, key);
        if (value && value->kind == CONFIG_SCALAR && value->text && *value->text) values[n++] = value;
    }
    qsort(values, n, sizeof(void *), by_text);
    for (uint32_t i = 1; i < n; i++) {
        if (strcmp(values[i - 1]->text, values[i]->text)) continue;
        if (secret)
            config_complain(l, values[i], "the same \"%s\" stands in line %u", key, values[i - 1]->line);
        else
            config_complain(l, values[i], "the %s %s is here twice, first in line %u", key,
                            config_show(l, values[i]), values[i - 1]->line);
        values[i] = values[i - 1]; // a third one points to the first as well
    }
}

static void build_list(struct config_loader *l, const struct config_option *option,
                       const struct config_node *node, void *base)
{
    const struct config_section *section = option->section;
    if (!has_shape(l, node, CONFIG_LIST) || !few_enough(l, option, node)) return;
    const uint32_t count = used(option, node);
    char *array = config_take(l->memory, count * (size_t)section->size + 1);
    if (!array) return;
    // In place before it is filled: what is inside may refer to what came before it.
    *(void **)field(base, option->offset) = array;
    *(uint32_t *)field(base, option->count_offset) = count;
    const struct config_node *item = node->first;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        const uint32_t mark = config_path_push_index(l, i);
        const bool map = has_shape(l, item, CONFIG_MAP);
        if (map) build_section(l, section, item, item, array + i * (size_t)section->size);
        config_path_pop(l, mark);
    }
    for (uint32_t i = 0; i < 3 && section->unique[i]; i++) check_unique(l, section, section->unique[i], node);
}

static bool map_name_ok(struct config_loader *l, const struct config_node *map,
                        const struct config_node *child)
{
    if (!config_name_ok(child->key->raw)) {
        config_complain(l, child->key,
                        "a name is made of letters, digits and \"._-\" and begins with a letter or digit");
        return false;
    }
    for (const struct config_node *before = map->first; before != child; before = before->next) {
        if (strcmp(before->key->raw, child->key->raw)) continue;
        config_complain(l, child->key, "\"%s\" is here twice, first in line %u", child->key->raw,
                        before->key->line);
        return false;
    }
    return true;
}

static void build_map(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node, void *base)
{
    const struct config_section *section = option->section;
    if (!has_shape(l, node, CONFIG_MAP) || !few_enough(l, option, node)) return;
    char *array = config_take(l->memory, node->count * (size_t)section->size + 1);
    uint32_t n = 0;
    if (!array) return;
    *(void **)field(base, option->offset) = array;
    for (const struct config_node *child = node->first; child; child = child->next) {
        if (!map_name_ok(l, node, child)) continue;
        const uint32_t mark = config_path_push(l, child->key->raw);
        char *entry = array + n * (size_t)section->size;
        *(const char **)entry = child->key->raw;
        *(uint32_t *)field(base, option->count_offset) = ++n;
        const bool null = config_node_null(child);
        if (null || has_shape(l, child, CONFIG_MAP))
            build_section(l, section, null ? NULL : child, child->key, entry);
        config_path_pop(l, mark);
    }
}

static void build_option(struct config_loader *l, const struct config_option *option,
                         const struct config_node *node, void *base)
{
    void *slot = field(base, option->offset);
    switch (option->kind) {
    case CONFIG_K_VALUES: build_values(l, option, node, base); break;
    case CONFIG_K_HEADERS: build_headers(l, option, node, base); break;
    case CONFIG_K_LIST: build_list(l, option, node, base); break;
    case CONFIG_K_MAP: build_map(l, option, node, base); break;
    case CONFIG_K_SECTION:
        if (has_shape(l, node, CONFIG_MAP)) build_section(l, option->section, node, node, slot);
        break;
    default: build_value(l, option, node, slot); break;
    }
}

// A default that is a list goes through YAML; a plain one need not.
static void build_default(struct config_loader *l, const struct config_option *option, void *base)
{
    const char *text = option->def;
    struct config_node value = {.kind = CONFIG_SCALAR, .raw = text, .text = text};
    struct config_node *node = &value;
    if (!strcmp(text, "[]")) {
        config_record(l, option, NULL, text);
        return;
    }
    if (!strcmp(text, "\"\"")) value.text = value.raw = "";
    value.text_n = (uint32_t)strlen(value.text);
    if (*text == '[' && !config_yaml_read(l, text, (uint32_t)strlen(text), true, &node)) return;
    build_option(l, option, node, base);
}

// node NULL: the section is not there, or empty. `at`: where to point when something is missing.
static void build_section(struct config_loader *l, const struct config_section *section,
                          const struct config_node *node, const struct config_node *at, void *base)
{
    const struct config_node *found[CONFIG_OPTIONS_PER_SECTION_MAX] = {NULL};
    const uint32_t complaints = l->complaints;
    if (node) sort_out(l, section, node, found);
    for (uint32_t i = 0; i < section->count && !config_memory_failed(l->memory); i++) {
        const struct config_option *option = &section->options[i];
        const bool list = option->kind == CONFIG_K_LIST || option->kind == CONFIG_K_MAP;
        // "models:" with every line below it commented out says as much as no line at all.
        if (found[i] && option->kind >= CONFIG_K_VALUES && config_node_null(found[i])) found[i] = NULL;
        void *slot = field(base, option->offset);
        if (!option->def && !list) set_unset(option, slot);
        if (!found[i] && (option->flags & CONFIG_F_REQUIRED)) {
            config_complain(l, at, "\"%s\" is missing", option->key);
            continue;
        }
        const uint32_t mark = config_path_push(l, option->key);
        if (found[i]) build_option(l, option, found[i], base);
        else if (option->kind == CONFIG_K_SECTION) build_section(l, option->section, NULL, NULL, slot);
        else if (option->def) build_default(l, option, base);
        else config_record(l, option, NULL, list ? "[]" : NULL);
        if (option->after) option->after(l);
        config_path_pop(l, mark);
    }
    const bool right = l->complaints == complaints && !config_memory_failed(l->memory);
    if (section->finish && right) section->finish(l, at, base);
}

void config_build(struct config_loader *l, const struct config_node *tree)
{
    const bool empty = !tree || config_node_null(tree);
    if (empty || has_shape(l, tree, CONFIG_MAP))
        build_section(l, &config_top, empty ? NULL : tree, tree, l->config);
}
