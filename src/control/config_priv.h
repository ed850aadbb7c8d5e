// What the files of the configuration share: memory, errors, the tree that YAML becomes, and the table of
// keys. Only config*.c and the tests of the configuration include this.
//
// The way of a file: config_yaml.c turns it into a tree of nodes, config_expand.c fills in variables on the
// way; config_build.c walks the tree along the table of config_schema.c and sets the fields of struct config,
// each value checked by config_value.c, each section by its finish function in config_check.c. Defaults are
// texts of the same table and take the same way. A mistake is recorded and the walk goes on.
#ifndef RINGWAY_CONTROL_CONFIG_PRIV_H
#define RINGWAY_CONTROL_CONFIG_PRIV_H

#include <stddef.h>

#include "base/limits.h"
#include "base/span.h"
#include "control/config.h"

// --- Memory of one configuration (config_memory.c): taken piece by piece, wiped and freed as a whole.

// NULL if malloc refuses.
struct config_memory *config_memory_new(void);
void config_memory_free(struct config_memory *memory);

// n bytes of zero, aligned to 16. NULL if malloc refuses; then config_memory_failed() stays true.
void *config_take(struct config_memory *memory, size_t n);
// A copy with a NUL behind it.
char *config_copy(struct config_memory *memory, const void *bytes, size_t n);
bool config_memory_failed(const struct config_memory *memory);

// --- The tree.

enum config_node_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

struct config_node {
    enum config_node_kind kind;
    uint32_t line, column; // line 0: a default of the table
    // Scalar:
    const char *raw; // as written
    const char *text; // expanded; NULL: that failed and was reported
    const char *from; // "environment VAR", "file /path", "credential NAME"; NULL: nothing was expanded
    uint32_t text_n;
    bool quoted;
    // List and map: the children in the order of the file; in a map each has its key.
    struct config_node *key;
    struct config_node *first, *last, *next;
    uint32_t count;
};

// "key:" with nothing behind it, or null.
bool config_node_null(const struct config_node *node);

// --- The table (config_schema.c).

enum config_kind {
    // One value.
    CONFIG_K_TEXT, // printable, 1 to max bytes
    CONFIG_K_NAME, // letters, digits, "._-"
    CONFIG_K_MODEL, // as K_TEXT, no spaces
    CONFIG_K_MODEL_REF, // a model of the configuration, or provider/model
    CONFIG_K_PROVIDER, // the name of a provider, held as its index
    CONFIG_K_SECRET, // visible ASCII
    CONFIG_K_BOOL,
    CONFIG_K_COUNT, // uint32_t
    CONFIG_K_SIZE, // uint64_t bytes
    CONFIG_K_SIZE32, // uint32_t bytes
    CONFIG_K_DURATION, // int64_t ns; without default -1
    CONFIG_K_WHOLE, // int64_t; without default -1
    CONFIG_K_USD, // int64_t billionths; without default -1
    CONFIG_K_CHOICE, // an enum: the index into choices
    CONFIG_K_ADDRESS,
    CONFIG_K_CIDR,
    CONFIG_K_URL,
    CONFIG_K_PROXY,
    CONFIG_K_BASE_PATH,
    CONFIG_K_ORIGIN, // of CORS
    CONFIG_K_TOKEN, // name of a header field
    CONFIG_K_SUITE, // cipher suite of TLS
    CONFIG_K_ACCESS, // log.access: sets access and access_path
    // Several; every kind from here on.
    CONFIG_K_VALUES, // list of `element`
    CONFIG_K_HEADERS, // map of names to secrets
    CONFIG_K_SECTION, // map with the keys of `section`
    CONFIG_K_LIST, // list of sections
    CONFIG_K_MAP, // map of names to sections; the name goes to the section's first field
};

// What an address may look like besides IP:PORT, and flags of other kinds.
#define CONFIG_F_UNIX 1u // unix:/path
#define CONFIG_F_PORT_OPTIONAL 2u
#define CONFIG_F_NO_PORT 4u
#define CONFIG_F_OFF 8u // the word "off"
#define CONFIG_F_AUTO 16u // the word "auto", held as 0
#define CONFIG_F_REQUIRED 32u
#define CONFIG_F_SECRET 64u // its value is shown nowhere

struct config_loader;

struct config_option {
    const char *key;
    const char *doc; // one or two sentences
    const char *def; // as it would stand in the file; NULL: not set
    const struct config_section *section;
    const char *const *choices; // NULL-terminated
    const char *too_many; // instead of the usual text when a list exceeds max
    // Called when the value, or its default, has been set.
    void (*after)(struct config_loader *l);
    int64_t min, max; // of a number, of the bytes of a text, of the entries of a list
    uint32_t offset; // in the section's struct
    uint32_t count_offset; // lists: uint32_t
    uint32_t flags;
    enum config_kind kind;
    enum config_kind element;
};

#define CONFIG_OPTIONS_PER_SECTION_MAX 64

struct config_section {
    const char *name; // for people: "providers.NAME"; "" is the top
    const char *unique[3]; // lists: keys whose values must differ from item to item
    // Checks what no single value shows, if all of the section is right so far. `at` is where to point;
    // base is the section's struct.
    void (*finish)(struct config_loader *l, const struct config_node *at, void *base);
    const struct config_option *options;
    uint32_t count;
    uint32_t size; // of the struct, for lists and maps
};

// The table is in config_schema.c (the top), config_schema_models.c and config_schema_clients.c.
extern const struct config_section config_top;
extern const struct config_section config_timeouts_section;
extern const struct config_section config_model_limits_section;
extern const struct config_section config_global_section;
extern const struct config_section config_end_users_section;
extern const struct config_section config_key_section;
extern const struct config_section config_cors_section;
extern const struct config_section config_provider_section;
extern const struct config_section config_model_section;

// How an entry of the table says where its value goes.
#define COUNT(array) (uint32_t)(sizeof(array) / sizeof(array)[0])
#define AT(type, field) .offset = offsetof(struct type, field)
#define LIST_AT(type, field, counter) AT(type, field), .count_offset = offsetof(struct type, counter)

#define MS(n) ((n)*INT64_C(1000000))
#define SEC(n) MS((n)*INT64_C(1000))
#define MIN(n) SEC((n)*INT64_C(60))
#define DAY(n) MIN((n)*INT64_C(1440))
#define GB(n) ((n)*INT64_C(1024) * 1024 * 1024)

// Every option, depth first, with the path of its section. Returns how many there are.
typedef void config_visit(void *ctx, const char *path, const struct config_option *option);
uint32_t config_each_option(config_visit *visit, void *ctx);

// "duration, 1ms to 10m" and the like.
void config_type_text(const struct config_option *option, char *out, size_t cap);

// --- What happened to each option, for config_explain().

struct config_setting {
    const struct config_setting *next;
    const char *path; // "models[0].targets[0].model"
    const struct config_option *option;
    const char *value; // NULL: not set
    const char *from; // see struct config_node; or "default of type vllm"
    uint32_t line, column; // 0: not from the file
};

// --- A load under way.

struct config_loader {
    struct config *config;
    struct config_memory *memory;
    const struct config_env *env;
    struct config_errors *errors;
    const char *name; // of the file, in warnings
    struct config_setting *last_setting;
    char *scratch; // CONFIG_VALUE_BYTES_MAX + 1 bytes, made at the first expansion
    uint32_t nodes;
    uint32_t complaints;
    bool out_of_memory;
    bool builtin_echo; // the file names no provider
    uint32_t path_n;
    char path[256];
    char shown[64];
};

// --- config_errors.c

// Records one mistake at node's place (NULL: the file as a whole). The text begins with l->path where there
// is one. Never pass the text of a node: only config_show().
__attribute__((format(printf, 3, 4))) void config_complain(struct config_loader *l,
                                                           const struct config_node *at, const char *format,
                                                           ...);
__attribute__((format(printf, 4, 5))) void config_complain_at(struct config_loader *l, uint32_t line,
                                                              uint32_t column, const char *format, ...);
__attribute__((format(printf, 3, 4))) void config_warn(struct config_loader *l, const struct config_node *at,
                                                       const char *format, ...);
// In the order of the file, the first CONFIG_ERRORS_MAX of them.
void config_errors_sort(struct config_errors *errors);

// The value of a node as written, quoted and cut, valid until the next call. Variables are not expanded.
const char *config_show(struct config_loader *l, const struct config_node *node);

// A key may be a value with the space after ':' forgotten, so what does not look like a key is not shown.
const char *config_show_key(struct config_loader *l, const struct config_node *key);

// How many letters are wrong between two words: inserted, missing, replaced, or swapped with the next.
uint32_t config_distance(const char *a, const char *b);

// True and *best replaced if `candidate` is near enough to `word` and nearer than *best.
bool config_nearer(const char *word, const char *candidate, const char **best, uint32_t *best_distance);

// --- config_yaml.c, config_expand.c, config_value.c, config_build.c, config_check.c

// NULL in *ret_node for an empty document. False: it is recorded why not. `defaults`: text of the table.
bool config_yaml_read(struct config_loader *l, const char *text, uint32_t n, bool defaults,
                      struct config_node **ret_node);

// Sets text, text_n and from of a scalar from its raw text of n bytes. False: it is recorded why not.
bool config_expand(struct config_loader *l, struct config_node *node, uint32_t n);

// Checks and sets one value. False: it is recorded why not, and *slot is as it was.
bool config_value_set(struct config_loader *l, const struct config_option *option, enum config_kind kind,
                      const struct config_node *node, void *slot);
// The size of what config_value_set() sets for an entry of CONFIG_K_VALUES.
size_t config_value_size(enum config_kind kind);
bool config_name_ok(const char *text);
bool config_token_ok(const char *text);
bool config_visible_ok(const char *text);

// tree NULL: all defaults.
void config_build(struct config_loader *l, const struct config_node *tree);
// The value of `key` in a map; NULL: none.
const struct config_node *config_child(const struct config_node *map, const char *key);
// Records where a value came from.
void config_record(struct config_loader *l, const struct config_option *option,
                   const struct config_node *node, const char *value);
// The setting of that path; NULL: none. Linear.
struct config_setting *config_setting_find(const struct config *config, const char *path);

uint32_t config_path_push(struct config_loader *l, const char *key);
uint32_t config_path_push_index(struct config_loader *l, uint32_t index);
void config_path_pop(struct config_loader *l, uint32_t mark);

// --- config_proxy.c

// As config_value_set().
bool config_proxy_set(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node, struct config_proxy *slot);
// Whether NO_PROXY's list names this host and port.
bool config_no_proxy(struct span list, struct span host, uint16_t port);
// Gives every provider without a proxy of its own the one of the top level or of the environment. `at`: where mistakes are shown.
void config_proxies(struct config_loader *l, const struct config_node *at);

// --- config_identity.c

void config_identity_finish(struct config_loader *l, const struct config_node *at, void *base);
// Finds the keys of all identities, and makes those of teams. `at`: where mistakes are shown.
void config_identities(struct config_loader *l, const struct config_node *at);

void config_admin_tls_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_listen_tls_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_provider_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_model_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_limits_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_key_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_top_finish(struct config_loader *l, const struct config_node *at, void *base);
void config_after_providers(struct config_loader *l);
void config_after_models(struct config_loader *l);
// Keys that OMNI_LLM_API_KEYS names, behind those of the file.
void config_after_keys(struct config_loader *l);

extern const struct config_rates config_no_limits;

#endif
