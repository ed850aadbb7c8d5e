// One value of the configuration, from its text to its field, each kind by a function of its own. What a
// value may be is said by its option; the words of every refusal say what would have been right.
#include "control/config_priv.h"
#include "policy/limit.h"
#include "policy/price.h"
#include "tls/tls.h"
#include "wire/url.h"

#define UNIT(text, factor) \
    { \
        text, factor \
    }

struct unit {
    const char *text;
    int64_t factor;
};

// Smallest first; the last of equal meaning is what config_type_text() writes.
static const struct unit durations[] = {
    UNIT("us", 1000),
    UNIT("ms", 1000 * INT64_C(1000)),
    UNIT("s", 1000 * INT64_C(1000000)),
    UNIT("m", 60 * INT64_C(1000000000)),
    UNIT("h", 3600 * INT64_C(1000000000)),
    UNIT("d", 86400 * INT64_C(1000000000)),
    UNIT(NULL, 0),
};
static const struct unit sizes[] = {
    UNIT("B", 1), UNIT("KB", 1024), UNIT("MB", 1024 * 1024), UNIT("GB", 1024 * 1024 * 1024), UNIT(NULL, 0),
};

// --- Numbers.

// In the largest unit that divides it.
static const char *number_text(int64_t v, const struct unit *units, char out[32])
{
    const struct unit *best = units;
    if (!units || v == 0) {
        snprintf(out, 32, "%lld", (long long)v);
        return out;
    }
    for (const struct unit *u = units; u->text; u++)
        if (v % u->factor == 0 && v >= u->factor) best = u;
    snprintf(out, 32, "%lld%s", (long long)(v / best->factor), best->text);
    return out;
}

static bool number_in_range(struct config_loader *l, const struct config_option *option,
                            const struct config_node *node, const struct unit *units, int64_t v)
{
    char bound[32];
    if (v > option->max) {
        config_complain(l, node, "%s is above the most this may be, %s", config_show(l, node),
                        number_text(option->max, units, bound));
        return false;
    }
    if (v < option->min) {
        config_complain(l, node, "%s is below the least this may be, %s", config_show(l, node),
                        number_text(option->min, units, bound));
        return false;
    }
    return true;
}

// Digits and a unit. False without a word if it is not that; a number too large for int64_t comes as
// INT64_MAX.
static bool number_with_unit(const char *text, const struct unit *units, int64_t *ret)
{
    const char *p = text;
    int64_t v = 0, factor = 0;
    bool overflow = false;
    for (; *p >= '0' && *p <= '9'; p++) {
        overflow |= __builtin_mul_overflow(v, 10, &v);
        overflow |= __builtin_add_overflow(v, *p - '0', &v);
    }
    if (p == text) return false;
    for (const struct unit *u = units; u->text; u++)
        if (!strcmp(p, u->text)) factor = u->factor;
    if (!factor) return false;
    overflow |= __builtin_mul_overflow(v, factor, &v);
    *ret = overflow ? INT64_MAX : v;
    return true;
}

static bool set_duration(struct config_loader *l, const struct config_option *option,
                         const struct config_node *node, int64_t *slot)
{
    int64_t v = 0;
    if ((option->flags & CONFIG_F_OFF) && !strcmp(node->text, "off")) {
        *slot = 0;
        return true;
    }
    // Nothing is nothing in any unit.
    if (strcmp(node->text, "0") != 0 && !number_with_unit(node->text, durations, &v)) {
        config_complain(l, node,
                        "%s is not a duration: a whole number and us, ms, s, m, h or d, such as 30s%s",
                        config_show(l, node), option->flags & CONFIG_F_OFF ? ", or off" : "");
        return false;
    }
    if (!number_in_range(l, option, node, durations, v)) return false;
    *slot = v;
    return true;
}

static bool set_size(struct config_loader *l, const struct config_option *option,
                     const struct config_node *node, uint64_t *slot)
{
    int64_t v = 0;
    if ((option->flags & CONFIG_F_AUTO) && !strcmp(node->text, "auto")) {
        *slot = 0;
        return true;
    }
    if (!number_with_unit(node->text, sizes, &v)) {
        config_complain(l, node, "%s is not a size: a whole number and B, KB, MB or GB, such as 32MB%s",
                        config_show(l, node), option->flags & CONFIG_F_AUTO ? ", or auto" : "");
        return false;
    }
    if (!number_in_range(l, option, node, sizes, v)) return false;
    *slot = (uint64_t)v;
    return true;
}

static bool set_whole(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node, int64_t *slot)
{
    uint64_t v = 0;
    if (!span_u64(span_str(node->text), &v)) {
        config_complain(l, node, "%s is not a whole number", config_show(l, node));
        return false;
    }
    if (!number_in_range(l, option, node, NULL, v > INT64_MAX ? INT64_MAX : (int64_t)v)) return false;
    *slot = (int64_t)v;
    return true;
}

static bool set_usd(struct config_loader *l, const struct config_node *node, int64_t *slot)
{
    int64_t nanos;
    if (!price_decimal(span_str(node->text), 9, &nanos) || nanos > LIMIT_USD_MONTH_NANOS_MAX) {
        config_complain(l, node, "%s is not an amount of USD, such as 500 or 0.25", config_show(l, node));
        return false;
    }
    *slot = nanos;
    return true;
}

static bool set_count(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node, uint32_t *slot)
{
    uint64_t v = 0;
    if ((option->flags & CONFIG_F_AUTO) && !strcmp(node->text, "auto")) {
        *slot = 0;
        return true;
    }
    if (!span_u64(span_str(node->text), &v)) {
        config_complain(l, node, "%s is not a whole number%s", config_show(l, node),
                        option->flags & CONFIG_F_AUTO ? " or auto" : "");
        return false;
    }
    if (!number_in_range(l, option, node, NULL, v > INT64_MAX ? INT64_MAX : (int64_t)v)) return false;
    *slot = (uint32_t)v;
    return true;
}

// --- Words.

static bool set_bool(struct config_loader *l, const struct config_node *node, bool *slot)
{
    const bool yes = !strcmp(node->text, "true");
    if (!yes && strcmp(node->text, "false")) {
        config_complain(l, node, "%s is neither true nor false", config_show(l, node));
        return false;
    }
    *slot = yes;
    return true;
}

static bool set_choice(struct config_loader *l, const struct config_option *option,
                       const struct config_node *node, uint32_t *slot)
{
    char all[240] = "";
    size_t n = 0;
    const char *best = NULL;
    uint32_t distance = UINT32_MAX;
    for (uint32_t i = 0; option->choices[i]; i++) {
        if (strcmp(node->text, option->choices[i])) continue;
        *slot = i;
        return true;
    }
    for (uint32_t i = 0; option->choices[i]; i++) {
        config_nearer(node->raw, option->choices[i], &best, &distance);
        const int more = snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", option->choices[i]);
        n += more > 0 ? (size_t)more : 0;
        MUST(n < sizeof all);
    }
    if (best)
        config_complain(l, node, "%s is not one of %s; did you mean \"%s\"?", config_show(l, node), all,
                        best);
    else config_complain(l, node, "%s is not one of %s", config_show(l, node), all);
    return false;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool config_name_ok(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (!name_char(text[n]) && !(n && strchr("._-", text[n]))) return false;
    return n > 0 && n <= 64;
}

bool config_token_ok(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (!name_char(text[n]) && !strchr("!#$%&'*+-.^_`|~", text[n])) return false;
    return n > 0 && n <= 128;
}

bool config_visible_ok(const char *text)
{
    for (; *text; text++)
        if (*text < 0x21 || *text > 0x7e) return false;
    return true;
}

static bool printable_ok(const char *text, bool spaces)
{
    for (; *text; text++)
        if ((uint8_t)*text < (spaces ? 0x20 : 0x21) || *text == 0x7f) return false;
    return true;
}

// Nothing of the value is shown: it may be a secret.
static bool length_ok(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node)
{
    if (option->min && node->text_n == 0) {
        config_complain(l, node, "is empty%s%s%s", node->from ? " (" : "", node->from ? node->from : "",
                        node->from ? ")" : "");
        return false;
    }
    if (node->text_n < option->min) {
        config_complain(l, node, "is shorter than %lld characters", (long long)option->min);
        return false;
    }
    if (option->max && node->text_n > option->max) {
        config_complain(l, node, "is longer than %lld characters", (long long)option->max);
        return false;
    }
    return true;
}

static bool set_text(struct config_loader *l, const struct config_option *option, enum config_kind kind,
                     const struct config_node *node, const char **slot)
{
    const char *why = NULL;
    if (!length_ok(l, option, node)) return false;
    if (kind == CONFIG_K_TEXT && !printable_ok(node->text, true)) why = "holds a control character";
    if (kind == CONFIG_K_MODEL && !printable_ok(node->text, false))
        why = "holds a space or control character";
    if (kind == CONFIG_K_NAME && !config_name_ok(node->text))
        why = "a name is made of letters, digits and \"._-\" and begins with a letter or digit";
    if (kind == CONFIG_K_SECRET && !config_visible_ok(node->text))
        why = "holds a space, a line break or a character that cannot stand in a header field";
    if (kind == CONFIG_K_TOKEN && !config_token_ok(node->text))
        why = "this is not the name of a header field";
    if (why) {
        config_complain(l, node, "%s", why);
        return false;
    }
    *slot = node->text;
    return true;
}

static bool set_origin(struct config_loader *l, const struct config_node *node, const char **slot)
{
    struct url url;
    const char *why = NULL;
    const struct span text = span_str(node->text);
    const bool any = !strcmp(node->text, "*");
    // An origin is compared letter by letter with what the browser sends, which has no slash at its end.
    if (!any &&
        (url_parse(text, &url, &why) != RW_OK || url.path.n || url.has_query || text.p[text.n - 1] == '/')) {
        config_complain(l, node, "%s is not an origin: \"*\", or https://host without a path",
                        config_show(l, node));
        return false;
    }
    *slot = node->text;
    return true;
}

static bool set_suite(struct config_loader *l, const struct config_node *node, const char **slot)
{
    const char *best = NULL;
    uint32_t distance = UINT32_MAX;
    *slot = node->text;
    if (tls_suite_find(node->text) >= 0) return true;
    for (uint32_t i = 0; i < TLS_SUITES; i++) config_nearer(node->raw, tls_suite_at(i), &best, &distance);
    config_complain(l, node,
                    "no cipher suite %s%s%s%s; there are ECDHE-ECDSA- and ECDHE-RSA- with AES128-GCM-SHA256, "
                    "AES256-GCM-SHA384, CHACHA20-POLY1305",
                    config_show(l, node), best ? "; did you mean \"" : "", best ? best : "",
                    best ? "\"?" : "");
    return false;
}

// --- References.

static bool set_provider(struct config_loader *l, const struct config_node *node, int32_t *slot)
{
    const char *best = NULL;
    uint32_t distance = UINT32_MAX;
    const int32_t index = config_find_provider(l->config, node->text);
    if (index >= 0) {
        *slot = index;
        return true;
    }
    for (uint32_t i = 0; i < l->config->provider_count; i++)
        config_nearer(node->raw, l->config->providers[i].name, &best, &distance);
    if (best) config_complain(l, node, "no provider %s; did you mean \"%s\"?", config_show(l, node), best);
    else config_complain(l, node, "no provider %s under providers", config_show(l, node));
    return false;
}

static bool set_model_ref(struct config_loader *l, const struct config_node *node, const char **slot)
{
    const char *best = NULL;
    uint32_t distance = UINT32_MAX;
    bool found = config_find_model(l->config, node->text) >= 0;
    const char *slash = strchr(node->text, '/');
    for (uint32_t i = 0; i < l->config->provider_count && slash && slash[1]; i++) {
        const char *name = l->config->providers[i].name;
        found |= strlen(name) == (size_t)(slash - node->text) && !strncmp(name, node->text, strlen(name));
    }
    if (found) {
        *slot = node->text;
        return true;
    }
    for (uint32_t i = 0; i < l->config->model_count; i++)
        if (l->config->models[i].name) config_nearer(node->raw, l->config->models[i].name, &best, &distance);
    if (best) config_complain(l, node, "no model %s; did you mean \"%s\"?", config_show(l, node), best);
    else config_complain(l, node, "no model %s: name one of models, or PROVIDER/MODEL", config_show(l, node));
    return false;
}

// --- Addresses.

static const char *address_forms(const struct config_option *option)
{
    if (option->flags & CONFIG_F_NO_PORT) return "an IP address without a port";
    if (option->flags & CONFIG_F_PORT_OPTIONAL) return "IP, IPv4:PORT, [IPv6]:PORT or unix:/path";
    if (option->flags & CONFIG_F_OFF) return "IPv4:PORT, [IPv6]:PORT, unix:/path or off";
    return "IPv4:PORT, [IPv6]:PORT or unix:/path";
}

static bool set_address(struct config_loader *l, const struct config_option *option,
                        const struct config_node *node, struct config_address *slot)
{
    struct config_address a = {.text = node->text};
    const struct span text = span_str(node->text);
    bool ok = false;
    if ((option->flags & CONFIG_F_OFF) && !strcmp(node->text, "off")) ok = true;
    else {
        if (option->flags & (CONFIG_F_NO_PORT | CONFIG_F_PORT_OPTIONAL))
            ok = io_addr_parse_ip(text, 0, &a.addr) == RW_OK;
        if (!ok && !(option->flags & CONFIG_F_NO_PORT)) ok = io_addr_parse(text, &a.addr) == RW_OK;
    }
    // ":8080", "*:8080" and "8080" are what other servers take for all addresses.
    const struct span port =
        text.n && text.p[0] == '*' ? span_from(text, 2) : span_from(text, text.n && text.p[0] == ':');
    uint64_t number = 0;
    if (!ok && span_u64(port, &number) && number <= UINT16_MAX && !(option->flags & CONFIG_F_NO_PORT)) {
        config_complain(l, node,
                        "%s has no address; for all of them write 0.0.0.0:%u, or \"[::]:%u\" with IPv6",
                        config_show(l, node), (uint32_t)number, (uint32_t)number);
        return false;
    }
    if (!ok) {
        config_complain(l, node, "%s is not %s", config_show(l, node), address_forms(option));
        return false;
    }
    *slot = a;
    return true;
}

static bool set_cidr(struct config_loader *l, const struct config_node *node, struct config_cidr *slot)
{
    struct config_cidr c = {.text = node->text};
    if (io_cidr_parse(span_str(node->text), &c.net) != RW_OK) {
        config_complain(l, node, "%s is not a network such as 10.0.0.0/8 or fd00::/8", config_show(l, node));
        return false;
    }
    *slot = c;
    return true;
}

// A URL may hold a password: nothing of it is shown.
static bool set_url(struct config_loader *l, const struct config_node *node, struct config_url *slot)
{
    struct url url;
    const char *why = NULL;
    if (url_parse(span_str(node->text), &url, &why) != RW_OK) {
        config_complain(l, node, "not a URL that can be used: %s", why);
        return false;
    }
    if (url.has_query) {
        config_complain(l, node, "a base URL has no query: leave out '?' and what follows it");
        return false;
    }
    const struct config_url u = {
        .text = node->text,
        .host = config_copy(l->memory, url.host.p, url.host.n),
        .authority = config_copy(l->memory, url.authority.p, url.authority.n),
        .path = config_copy(l->memory, url.path.p, url.path.n),
        .port = url.port,
        .tls = url.tls,
    };
    if (!u.host || !u.authority || !u.path) return false;
    *slot = u;
    return true;
}

static bool set_base_path(struct config_loader *l, const struct config_option *option,
                          const struct config_node *node, const char **slot)
{
    struct span path = span_str(node->text);
    if (!length_ok(l, option, node)) return false;
    while (path.n && path.p[path.n - 1] == '/') path.n--;
    if (path.n && url_path_check(path) != URL_PATH_PLAIN) {
        config_complain(l, node, "%s is not a plain path such as /api/v1", config_show(l, node));
        return false;
    }
    *slot = config_copy(l->memory, path.p, path.n);
    return *slot != NULL;
}

static bool set_access(struct config_loader *l, const struct config_node *node)
{
    struct config *c = l->config;
    c->access_path = NULL;
    if (!strcmp(node->text, "off")) c->access = CONFIG_ACCESS_OFF;
    else if (!strcmp(node->text, "stdout")) c->access = CONFIG_ACCESS_STDOUT;
    else if (!strcmp(node->text, "syslog")) c->access = CONFIG_ACCESS_SYSLOG;
    else if (*node->text == '/') {
        c->access = CONFIG_ACCESS_FILE;
        c->access_path = node->text;
    } else {
        config_complain(l, node, "%s is not one of stdout, syslog, off, or a path that begins with '/'",
                        config_show(l, node));
        return false;
    }
    return true;
}

size_t config_value_size(enum config_kind kind)
{
    return kind == CONFIG_K_CIDR ? sizeof(struct config_cidr) : sizeof(const char *);
}

bool config_value_set(struct config_loader *l, const struct config_option *option, enum config_kind kind,
                      const struct config_node *node, void *slot)
{
    switch (kind) {
    case CONFIG_K_TEXT:
    case CONFIG_K_NAME:
    case CONFIG_K_MODEL:
    case CONFIG_K_SECRET:
    case CONFIG_K_TOKEN: return set_text(l, option, kind, node, slot);
    case CONFIG_K_MODEL_REF: return set_model_ref(l, node, slot);
    case CONFIG_K_PROVIDER: return set_provider(l, node, slot);
    case CONFIG_K_BOOL: return set_bool(l, node, slot);
    case CONFIG_K_COUNT: return set_count(l, option, node, slot);
    case CONFIG_K_SIZE: return set_size(l, option, node, slot);
    case CONFIG_K_SIZE32: {
        uint64_t v = 0;
        if (!set_size(l, option, node, &v)) return false;
        *(uint32_t *)slot = (uint32_t)v;
        return true;
    }
    case CONFIG_K_DURATION: return set_duration(l, option, node, slot);
    case CONFIG_K_WHOLE: return set_whole(l, option, node, slot);
    case CONFIG_K_USD: return set_usd(l, node, slot);
    case CONFIG_K_CHOICE: return set_choice(l, option, node, slot);
    case CONFIG_K_ADDRESS: return set_address(l, option, node, slot);
    case CONFIG_K_CIDR: return set_cidr(l, node, slot);
    case CONFIG_K_URL: return set_url(l, node, slot);
    case CONFIG_K_PROXY: return config_proxy_set(l, option, node, slot);
    case CONFIG_K_BASE_PATH: return set_base_path(l, option, node, slot);
    case CONFIG_K_ORIGIN: return set_origin(l, node, slot);
    case CONFIG_K_ACCESS: return set_access(l, node);
    case CONFIG_K_SUITE: return set_suite(l, node, slot);
    default: UNREACHABLE("config_build.c takes the kinds that are several values apart");
    }
}

// --- Types in words, for the reference.

static void range_text(const struct config_option *option, const char *what, const struct unit *units,
                       char *out, size_t cap)
{
    char least[32], most[32];
    snprintf(out, cap, "%s, %s to %s%s%s", what, number_text(option->min, units, least),
             number_text(option->max, units, most), option->flags & CONFIG_F_OFF ? ", or off" : "",
             option->flags & CONFIG_F_AUTO ? ", or auto" : "");
}

static const char *kind_text(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_K_TEXT: return "text";
    case CONFIG_K_NAME: return "name";
    case CONFIG_K_MODEL: return "name of a model";
    case CONFIG_K_MODEL_REF: return "name of a model, or PROVIDER/MODEL";
    case CONFIG_K_PROVIDER: return "name of a provider";
    case CONFIG_K_SECRET: return "secret";
    case CONFIG_K_BOOL: return "true or false";
    case CONFIG_K_CIDR: return "network";
    case CONFIG_K_PROXY: return "http://[USER:PASSWORD@]HOST:PORT, or off";
    case CONFIG_K_URL: return "http:// or https:// URL";
    case CONFIG_K_BASE_PATH: return "path";
    case CONFIG_K_ORIGIN: return "origin";
    case CONFIG_K_TOKEN: return "header field";
    case CONFIG_K_SUITE: return "cipher suite";
    case CONFIG_K_ACCESS: return "stdout, syslog, off or /path";
    case CONFIG_K_HEADERS: return "map of header fields to secrets";
    case CONFIG_K_USD: return "amount of USD";
    case CONFIG_K_SECTION: return "section";
    case CONFIG_K_LIST: return "list of sections";
    case CONFIG_K_MAP: return "map of names to sections";
    default: UNREACHABLE("the other kinds depend on their option");
    }
}

void config_type_text(const struct config_option *option, char *out, size_t cap)
{
    switch (option->kind) {
    case CONFIG_K_COUNT:
    case CONFIG_K_WHOLE: range_text(option, "number", NULL, out, cap); break;
    case CONFIG_K_SIZE:
    case CONFIG_K_SIZE32: range_text(option, "size", sizes, out, cap); break;
    case CONFIG_K_DURATION: range_text(option, "duration", durations, out, cap); break;
    case CONFIG_K_ADDRESS: snprintf(out, cap, "%s", address_forms(option)); break;
    case CONFIG_K_VALUES: snprintf(out, cap, "list: %s", kind_text(option->element)); break;
    case CONFIG_K_CHOICE: {
        size_t n = 0;
        for (uint32_t i = 0; option->choices[i] && n < cap; i++) {
            const int more = snprintf(out + n, cap - n, "%s%s", i ? " | " : "", option->choices[i]);
            n += more > 0 ? (size_t)more : 0;
        }
        break;
    }
    default: snprintf(out, cap, "%s", kind_text(option->kind)); break;
    }
}
