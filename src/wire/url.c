// See url.h.
#include "wire/url.h"

#include "wire/http.h"

static uint8_t hex_of(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10) return (uint8_t)(c - '0');
    const uint8_t letter = (uint8_t)((c | 0x20) - 'a');
    return letter < 6 ? (uint8_t)(letter + 10) : 0xff;
}

// The byte that s.p[i], a '%', and the two behind it stand for; negative if they do not.
static int escaped(struct span s, uint32_t i)
{
    if (s.n - i < 3) return -1;
    const uint8_t high = hex_of(s.p[i + 1]), low = hex_of(s.p[i + 2]);
    return high == 0xff || low == 0xff ? -1 : high << 4 | low;
}

// --- A configured URL.

static const char *split_scheme(struct span *rest, struct url *u)
{
    static const struct span http = SPAN_INIT("http://"), https = SPAN_INIT("https://");
    u->tls = rest->n >= https.n && span_ieq((struct span){rest->p, https.n}, https);
    if (!u->tls && !(rest->n >= http.n && span_ieq((struct span){rest->p, http.n}, http)))
        return "a URL must begin with http:// or https://";
    *rest = span_from(*rest, u->tls ? https.n : http.n);
    return NULL;
}

// Everything in front of the path: http_host_is_valid() has the rules.
static const char *split_authority(struct span *rest, struct url *u)
{
    uint32_t n = 0;
    while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?' && rest->p[n] != '#') n++;
    struct span authority = {rest->p, n};
    *rest = span_from(*rest, n);
    if (n == 0) return "the URL has no host";
    if (span_find(authority, '@') < n)
        return "a URL must not carry a user name; give credentials by their own keys";
    if (!http_host_is_valid(authority)) return "the host or the port of the URL is malformed";

    u->ipv6 = authority.p[0] == '[';
    const uint32_t host_n = u->ipv6 ? span_find(authority, ']') + 1 : span_find(authority, ':');
    const uint16_t usual = u->tls ? 443 : 80;
    uint64_t port = usual;
    if (host_n < n) MUST(span_u64(span_from(authority, host_n + 1), &port));
    u->port = (uint16_t)port;
    u->host = u->ipv6 ? (struct span){authority.p + 1, host_n - 2} : (struct span){authority.p, host_n};
    u->authority = (struct span){authority.p, port == usual ? host_n : n};
    return NULL;
}

static const char *split_path(struct span rest, struct url *u)
{
    const uint32_t fragment = span_find(rest, '#');
    if (fragment < rest.n) return "a URL must not have a fragment (#)";
    const uint32_t question = span_find(rest, '?');
    u->path = (struct span){rest.p, question};
    u->has_query = question < rest.n;
    u->query = span_from(rest, question + 1);
    if (u->path.n && url_path_check(u->path) == URL_PATH_BAD)
        return "the path of the URL has empty, '.' or '..' segments or characters that must be "
               "percent-encoded";
    for (uint32_t i = 0; i < u->query.n; i++)
        if (u->query.p[i] <= ' ' || u->query.p[i] >= 0x7f)
            return "the query of the URL has characters that must be percent-encoded";
    while (u->path.n && u->path.p[u->path.n - 1] == '/') u->path.n--;
    return NULL;
}

enum rw_err url_parse(struct span text, struct url *ret, const char **ret_why)
{
    struct url u = {0};
    struct span rest = text;
    const char *why = split_scheme(&rest, &u);
    if (!why) why = split_authority(&rest, &u);
    if (!why) why = split_path(rest, &u);
    if (why) {
        if (ret_why) *ret_why = why;
        return RW_E_BAD;
    }
    *ret = u;
    return RW_OK;
}

// --- Percent-encoding.

enum rw_err url_decode(struct span in, bool plus, uint8_t *out, uint32_t cap, struct span *ret)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];
        if (c == '%') {
            const int byte = escaped(in, i);
            if (byte < 0) return RW_E_BAD;
            c = (uint8_t)byte;
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (n == cap) return RW_E_TOO_LARGE;
        out[n++] = c;
    }
    *ret = (struct span){out, n};
    return RW_OK;
}

static bool is_unreserved(uint8_t c)
{
    return (uint8_t)(c - '0') < 10 || (uint8_t)((c | 0x20) - 'a') < 26 || c == '-' || c == '.' || c == '_' ||
        c == '~';
}

enum rw_err url_encode(struct span in, bool keep_slash, uint8_t *out, uint32_t cap, struct span *ret)
{
    static const char digits[] = "0123456789ABCDEF";
    uint32_t n = 0;
    for (uint32_t i = 0; i < in.n; i++) {
        const uint8_t c = in.p[i];
        const bool plain = is_unreserved(c) || (c == '/' && keep_slash);
        if (cap - n < (plain ? 1 : 3)) return RW_E_TOO_LARGE;
        if (plain) {
            out[n++] = c;
            continue;
        }
        out[n++] = '%';
        out[n++] = (uint8_t)digits[c >> 4];
        out[n++] = (uint8_t)digits[c & 15];
    }
    *ret = (struct span){out, n};
    return RW_OK;
}

// --- Query.

bool url_query_next(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    struct span one;
    while (span_split(rest, '&', &one)) {
        if (one.n == 0) continue;
        const uint32_t equals = span_find(one, '=');
        *ret_name = (struct span){one.p, equals};
        *ret_value = span_from(one, equals + 1);
        return true;
    }
    return false;
}

// Compares without a buffer. A name with a broken '%' is equal to nothing.
static bool decodes_to(struct span encoded, struct span name)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < encoded.n; i++, k++) {
        int c = encoded.p[i];
        if (c == '%') {
            c = escaped(encoded, i);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (k == name.n || c != name.p[k]) return false;
    }
    return k == name.n;
}

uint32_t url_query_find(struct span query, struct span name, struct span *ret_value)
{
    uint32_t found = 0;
    struct span rest = query, one, value;
    *ret_value = (struct span){NULL, 0};
    while (found < 2 && url_query_next(&rest, &one, &value)) {
        if (!decodes_to(one, name)) continue;
        if (found++ == 0) *ret_value = value;
    }
    return found;
}

// --- Paths.

static bool is_dots(struct span s)
{
    return (s.n == 1 && s.p[0] == '.') || (s.n == 2 && s.p[0] == '.' && s.p[1] == '.');
}

// One segment, without its slashes. Dots count the same whether they are encoded or not.
static enum url_path check_segment(struct span s)
{
    enum url_path got = URL_PATH_PLAIN;
    uint32_t dots = 0, bytes = 0;
    for (uint32_t i = 0; i < s.n; i++, bytes++) {
        int c = s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\' || c == '?' || c == '#') return URL_PATH_BAD;
        if (c == '%') {
            c = escaped(s, i);
            if (c < ' ' || c == 0x7f || c == '\\') return URL_PATH_BAD;
            if (c == '/') got = URL_PATH_ENCODED_SLASH;
            else if (got == URL_PATH_PLAIN) got = URL_PATH_ENCODED;
            i += 2;
        }
        dots += c == '.';
    }
    return dots == bytes && (dots == 1 || dots == 2) ? URL_PATH_BAD : got;
}

// "a%2F..%2Fb": dots between encoded slashes, which a provider may normalise after decoding.
static bool has_hidden_dots(struct span s)
{
    uint8_t part[3];
    uint32_t n = 0;
    for (uint32_t i = 0; i <= s.n; i++) {
        int c = '/';
        if (i < s.n) {
            c = s.p[i];
            if (c == '%') {
                c = escaped(s, i);
                i += 2;
            }
        }
        if (c == '/') {
            if (n == 0 || (n < 3 && is_dots((struct span){part, n}))) return true;
            n = 0;
        } else {
            if (n < 3) part[n] = (uint8_t)c;
            n += n < 3;
        }
    }
    return false;
}

enum url_path url_path_check(struct span path)
{
    if (path.n == 0 || path.p[0] != '/') return URL_PATH_BAD;
    enum url_path got = URL_PATH_PLAIN;
    struct span rest = path, segment;
    while (url_path_next(&rest, &segment)) {
        const bool last = !rest.p;
        if (segment.n == 0 && !last) return URL_PATH_BAD;
        const enum url_path one = check_segment(segment);
        if (one == URL_PATH_BAD || (one == URL_PATH_ENCODED_SLASH && has_hidden_dots(segment)))
            return URL_PATH_BAD;
        if (one > got) got = one;
    }
    return got;
}

bool url_path_next(struct span *rest, struct span *ret_segment)
{
    if (!rest->p) return false;
    struct span s = *rest;
    if (s.n && s.p[0] == '/') s = span_from(s, 1);
    const uint32_t n = span_find(s, '/');
    *ret_segment = (struct span){s.p, n};
    *rest = n < s.n ? span_from(s, n) : (struct span){NULL, 0};
    return true;
}

enum rw_err url_join(struct span base, struct span path, uint8_t *out, uint32_t cap, struct span *ret)
{
    while (base.n && base.p[base.n - 1] == '/') base.n--;
    while (path.n && path.p[0] == '/') path = span_from(path, 1);
    if ((uint64_t)base.n + 1 + path.n > cap) return RW_E_TOO_LARGE;
    if (base.n) memcpy(out, base.p, base.n);
    out[base.n] = '/';
    if (path.n) memcpy(out + base.n + 1, path.p, path.n);
    *ret = (struct span){out, base.n + 1 + path.n};
    return RW_OK;
}

bool url_path_below(struct span path, struct span prefix)
{
    while (prefix.n && prefix.p[prefix.n - 1] == '/') prefix.n--;
    return span_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}
