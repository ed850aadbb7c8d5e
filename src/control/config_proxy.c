// The way out: which HTTP proxy, if any, stands between here and each provider. A provider's own `proxy` holds always; what
// the top level or the environment says holds for those without one, but not for this machine's own addresses, not for
// what NO_PROXY names, and not where connect_to says where to go.
//
// A proxy's text may hold a password: nothing of it is shown, and the header made of it is a secret.
#include "base/fmt.h"
#include "control/config_priv.h"
#include "tls/crypto.h"
#include "wire/url.h"

#define SCHEME "http://"

// --- One proxy.

// "Basic ..." of what stands before '@'. NULL with *ret_why.
static const char *basic(struct config_loader *l, struct span user, const char **ret_why)
{
    uint8_t plain[PROXY_USER_BYTES_MAX];
    char text[PROXY_USER_BYTES_MAX * 4 / 3 + 16];
    struct span decoded;
    *ret_why = "its user and password must be percent-encoded, and short";
    if (span_find(user, ':') == user.n) *ret_why = "it has a user without a password: write USER:PASSWORD@";
    else if (url_decode(user, false, plain, sizeof plain, &decoded) == RW_OK) {
        const int64_t n = crypto_base64_encode(decoded.p, decoded.n, text, sizeof text);
        crypto_wipe(plain, sizeof plain);
        const char *all = n > 0 ? config_take(l->memory, (size_t)n + sizeof "Basic ") : NULL;
        if (all) memcpy((char *)(uintptr_t)all, "Basic ", 6);
        if (all) memcpy((char *)(uintptr_t)all + 6, text, (size_t)n);
        crypto_wipe(text, sizeof text);
        return all;
    }
    return NULL;
}

// False with *ret_why, which holds nothing of the text.
static bool parse(struct config_loader *l, const char *text, struct config_proxy *ret, const char **ret_why)
{
    struct span rest = span_str(text);
    struct url url;
    if (!strstr(text, "://")) {
        *ret_why = "it must begin with http://";
        return false;
    }
    *ret_why = "only http:// proxies can be used (CONNECT); TLS to the provider goes through them untouched";
    if (rest.n < sizeof SCHEME - 1 || !span_ieq(span_of(rest.p, sizeof SCHEME - 1), SPAN(SCHEME)))
        return false;
    rest = span_from(rest, sizeof SCHEME - 1);
    struct config_proxy p = {0};
    const struct span authority = {rest.p, span_find(rest, '/')};
    uint32_t at = authority.n;
    while (at > 0 && authority.p[at - 1] != '@') at--;
    if (at > 0 && !(p.authorization = basic(l, span_of(authority.p, at - 1), ret_why))) return false;
    const size_t n = sizeof SCHEME - 1 + rest.n - at;
    char *plain = config_take(l->memory, n + 1);
    *ret_why = "out of memory";
    if (!plain) return false;
    memcpy(plain, SCHEME, sizeof SCHEME - 1);
    memcpy(plain + sizeof SCHEME - 1, rest.p + at, rest.n - at);
    if (url_parse(span_of(plain, (uint32_t)n), &url, ret_why) != RW_OK) return false;
    *ret_why = "a proxy has no path: leave out what follows the port";
    if (url.path.n > 0 || url.has_query) return false;
    p.text = text;
    p.host = config_copy(l->memory, url.host.p, url.host.n);
    p.port = url.port;
    *ret_why = "out of memory";
    if (!p.host) return false;
    *ret = p;
    return true;
}

bool config_proxy_set(struct config_loader *l, const struct config_option *option,
                      const struct config_node *node, struct config_proxy *slot)
{
    const char *why;
    if (node->text_n > option->max || !config_visible_ok(node->text)) {
        config_complain(l, node, "not a proxy: too long, or with a space or control character");
        return false;
    }
    if (!strcmp(node->text, "off")) {
        *slot = (struct config_proxy){.off = true};
        return true;
    }
    if (parse(l, node->text, slot, &why)) return true;
    config_complain(l, node, "not a proxy such as http://proxy.example.com:3128: %s", why);
    return false;
}

// --- What needs none.

static bool below(struct span host, struct span domain)
{
    if (domain.n == 0 || host.n < domain.n) return false;
    const struct span end = span_from(host, host.n - domain.n);
    return span_ieq(end, domain) && (host.n == domain.n || host.p[host.n - domain.n - 1] == '.');
}

static bool is_here(struct span host)
{
    static const char *const nets[] = {"127.0.0.0/8", "::1/128"};
    struct io_addr a;
    if (below(host, SPAN("localhost"))) return true;
    if (io_addr_parse_ip(host, 0, &a) != RW_OK) return false;
    for (size_t i = 0; i < COUNT(nets); i++) {
        struct io_cidr c;
        if (io_cidr_parse(span_str(nets[i]), &c) == RW_OK && io_cidr_has(&c, &a)) return true;
    }
    return false;
}

// One entry of NO_PROXY: "*", a network, an address, or a name that stands for all below it, too; perhaps with a port.
static bool excepts(struct span entry, struct span host, uint16_t port)
{
    struct io_cidr net;
    struct io_addr a;
    const bool literal = io_addr_parse_ip(host, 0, &a) == RW_OK;
    if (span_eq(entry, SPAN("*"))) return true;
    if (literal && io_cidr_parse(entry, &net) == RW_OK) return io_cidr_has(&net, &a);
    if (literal && span_ieq(entry, host)) return true;
    const uint32_t colon = span_find(entry, ':');
    if (colon < entry.n) {
        uint64_t wanted;
        if (!span_u64(span_from(entry, colon + 1), &wanted) || wanted != port) return false;
        entry.n = colon;
    }
    if (entry.n > 1 && entry.p[0] == '*' && entry.p[1] == '.') entry = span_from(entry, 1);
    if (entry.n > 0 && entry.p[0] == '.') entry = span_from(entry, 1);
    return literal ? span_ieq(entry, host) : below(host, entry);
}

bool config_no_proxy(struct span list, struct span host, uint16_t port)
{
    while (list.n > 0) {
        uint32_t n = 0;
        while (n < list.n && list.p[n] != ',' && list.p[n] != ' ') n++;
        if (n > 0 && excepts((struct span){list.p, n}, host, port)) return true;
        list = span_from(list, n + 1);
    }
    return false;
}

// --- All providers.

// The first of the names that is set to something; NULL: none is. Good until the environment is asked again.
static const char *variable(const struct config_loader *l, const char *const *names, const char **ret_name)
{
    for (uint32_t i = 0; names[i]; i++) {
        const char *value = l->env->get(l->env->ctx, names[i]);
        *ret_name = names[i];
        if (value && *value) return value;
    }
    return NULL;
}

static void tell(struct config_loader *l, const struct config_provider *p, const char *text, const char *from)
{
    char path[128];
    snprintf(path, sizeof path, "providers.%s.proxy", p->name);
    struct config_setting *s = config_setting_find(l->config, path);
    if (s) s->value = text, s->from = from;
}

// As the environment says. A bare host:port is taken, as other programs do.
static void from_environment(struct config_loader *l, const struct config_node *at, struct config_provider *p)
{
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", NULL};
    static const char *const http[] = {"http_proxy", "HTTP_PROXY", NULL};
    const char *name, *why, *value = variable(l, p->base_url.tls ? https : http, &name);
    char text[PROXY_TEXT_BYTES_MAX + sizeof SCHEME], from[64];
    if (!value) return;
    const bool bare = !strstr(value, "://");
    const int n = snprintf(text, sizeof text, "%s%s", bare ? SCHEME : "", value);
    snprintf(from, sizeof from, "environment %s", name);
    if (n < 0 || (size_t)n >= sizeof text) why = "it is too long";
    else if (!config_visible_ok(text)) why = "it holds a space or control character";
    else if (parse(l, text, &p->proxy, &why)) {
        p->proxy.text = config_copy(l->memory, text, strlen(text));
        tell(l, p, p->proxy.text, config_copy(l->memory, from, strlen(from)));
        why = NULL;
    }
    crypto_wipe(text, sizeof text);
    if (why)
        config_complain(l, at,
                        "the variable %s cannot be used for the provider %s: %s. Mend or unset it, or set "
                        "\"proxy: off\"",
                        name, p->name, why);
}

void config_proxies(struct config_loader *l, const struct config_node *at)
{
    static const char *const names[] = {"no_proxy", "NO_PROXY", NULL};
    struct config *c = l->config;
    const char *unused, *list = variable(l, names, &unused);
    if (list) list = config_copy(l->memory, list, strlen(list));
    for (uint32_t i = 0; i < c->provider_count; i++) {
        struct config_provider *p = (struct config_provider *)&c->providers[i];
        if (!p->base_url.host || p->connect_to.addr.n || p->proxy.off || p->proxy.host) continue;
        const struct span host = span_str(p->base_url.host);
        if (is_here(host) || (list && config_no_proxy(span_str(list), host, p->base_url.port))) continue;
        if (c->proxy.host) {
            p->proxy = c->proxy;
            tell(l, p, p->proxy.text, "proxy of the top level");
        } else if (!c->proxy.off) {
            from_environment(l, at, p);
        }
    }
}
