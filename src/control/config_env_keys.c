// Keys of clients that the environment lists: OMNI_LLM_API_KEYS, with commas between them, as an older gateway had it. They are
// taken in as if they stood behind the file's own. One that the file names is the file's.
#include "control/config_priv.h"

#define VARIABLE "OMNI_LLM_API_KEYS"
#define KEY_BYTES_MIN 8
#define KEY_BYTES_MAX 512
#define SHORT_KEY_BYTES 20
// Of a name: what people tell keys apart by. Never more than a third of the key.
#define NAME_PREFIX "env-"
#define SHOWN_BYTES_MAX 6
#define NAME_CAP 32

static uint32_t entries_of(const char *list)
{
    uint32_t n = 1;
    for (const char *p = list; *p; p++) n += *p == ',';
    return n;
}

static bool key_ok(struct config_loader *l, const char *key, uint32_t n, uint32_t number)
{
    const char *why = NULL;
    if (n < KEY_BYTES_MIN) why = "is shorter than 8 characters";
    else if (n > KEY_BYTES_MAX) why = "is longer than 512 characters";
    else if (!config_visible_ok(key))
        why = "holds a space or a character that cannot stand in a header field";
    if (why) config_complain_at(l, 0, 0, "number %u of " VARIABLE " %s", number, why);
    return !why;
}

static bool is_known(const struct config_key *keys, uint32_t count, const char *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (keys[i].key && strcmp(keys[i].key, key) == 0) return true;
    return false;
}

static bool is_named(const struct config_key *keys, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (keys[i].name && strcmp(keys[i].name, name) == 0) return true;
    return false;
}

static uint32_t begin_so(const struct config_key *keys, uint32_t count, const char *name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) n += keys[i].name && strncmp(keys[i].name, name, strlen(name)) == 0;
    return n;
}

// By its beginning, so that it keeps its name, and with it its place in the ledger, when others come and go.
static char *name_of(struct config_loader *l, const struct config_key *keys, uint32_t count, const char *key,
                     uint32_t n)
{
    char name[NAME_CAP], shown[SHOWN_BYTES_MAX + 1] = "";
    const uint32_t show = n / 3 < SHOWN_BYTES_MAX ? n / 3 : SHOWN_BYTES_MAX;
    for (uint32_t i = 0; i < show; i++) {
        const char inside[3] = {'x', key[i]};
        shown[i] = config_name_ok(inside) ? key[i] : '_';
    }
    snprintf(name, sizeof name, NAME_PREFIX "%s", shown);
    if (!is_named(keys, count, name)) return config_copy(l->memory, name, strlen(name));
    uint32_t again = begin_so(keys, count, name);
    do snprintf(name, sizeof name, NAME_PREFIX "%s-%u", shown, ++again);
    while (is_named(keys, count, name));
    return config_copy(l->memory, name, strlen(name));
}

static void record(struct config_loader *l, uint32_t index, const struct config_key *key)
{
    static const struct config_option text = {.key = "", .kind = CONFIG_K_TEXT};
    static const struct config_option secret = {.key = "", .kind = CONFIG_K_SECRET, .flags = CONFIG_F_SECRET};
    const struct config_node node = {.kind = CONFIG_SCALAR, .from = "environment " VARIABLE};
    const uint32_t mark = config_path_push_index(l, index);
    uint32_t inside = config_path_push(l, "name");
    config_record(l, &text, &node, key->name);
    config_path_pop(l, inside);
    inside = config_path_push(l, "key");
    config_record(l, &secret, &node, key->key);
    config_path_pop(l, inside);
    config_path_pop(l, mark);
}

static void add(struct config_loader *l, struct config_key *keys, struct span item, uint32_t number)
{
    struct config *c = l->config;
    const char *key = config_copy(l->memory, item.p, item.n);
    if (!key || !key_ok(l, key, item.n, number) || is_known(keys, c->key_count, key)) return;
    if (c->key_count == KEYS_IN_FILE_MAX) {
        config_complain_at(l, 0, 0,
                           "number %u of " VARIABLE
                           " is one key too many: at most %d, those of the file among them",
                           number, KEYS_IN_FILE_MAX);
        return;
    }
    if (item.n < SHORT_KEY_BYTES)
        config_warn(l, NULL,
                    "number %u of " VARIABLE " is shorter than 20 characters: short ones can be guessed",
                    number);
    keys[c->key_count] = (struct config_key){.name = name_of(l, keys, c->key_count, key, item.n),
                                             .key = key,
                                             .team = "default",
                                             .limits = config_no_limits};
    record(l, c->key_count, &keys[c->key_count]);
    c->key_count++;
}

void config_after_keys(struct config_loader *l)
{
    struct config *c = l->config;
    const char *list = l->env->get(l->env->ctx, VARIABLE);
    if (!list || !*list) return;
    struct config_key *keys = config_take(l->memory, (c->key_count + entries_of(list)) * sizeof *keys);
    if (!keys) return;
    if (c->key_count) memcpy(keys, c->keys, c->key_count * sizeof *keys);
    c->keys = keys;
    struct span rest = span_str(list), item;
    for (uint32_t number = 1; span_split(&rest, ',', &item); number++) {
        item = span_trim(item);
        if (item.n) add(l, keys, item, number);
    }
}
