// See addr.h. Numbers are read and written by inet_pton() and inet_ntop(), which know no names and no
// environment.
#include "io/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

// sun_path begins here; a socket's length counts from the start of the structure.
#define UN_PATH offsetof(struct sockaddr_un, sun_path)
#define UN_PATH_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)

#define V4_BITS_IN_V6 96 // ::ffff:0:0/96 holds the IPv4 addresses

static_assert(IO_ADDR_TEXT_BYTES > 5 + UN_PATH_BYTES, "unix:PATH must fit");
static_assert(IO_ADDR_TEXT_BYTES > INET6_ADDRSTRLEN + 11 + 8, "[ADDRESS%SCOPE]:PORT must fit");

// A copy with a NUL behind, as inet_pton() wants it. False if it is too long or holds a NUL itself.
static bool terminated(struct span s, char *out, size_t cap)
{
    if (s.n >= cap || span_find(s, 0) < s.n) return false;
    if (s.n) memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

// The interface of a link-local address: a number, or a name of this machine. 0 if it is neither.
static uint32_t scope_id(struct span s)
{
    char name[IF_NAMESIZE];
    uint64_t id = 0;
    if (span_u64(s, &id)) return id <= UINT32_MAX ? (uint32_t)id : 0;
    return terminated(s, name, sizeof name) ? if_nametoindex(name) : 0;
}

enum rw_err io_addr_parse_ip(struct span ip, uint16_t port, struct io_addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    struct io_addr a = {0};
    const uint32_t percent = span_find(ip, '%');
    if (!terminated((struct span){ip.p, percent}, text, sizeof text)) return RW_E_BAD;
    if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1) {
        if (percent < ip.n) {
            a.in6.sin6_scope_id = scope_id(span_from(ip, percent + 1));
            if (!a.in6.sin6_scope_id) return RW_E_BAD;
        }
        a.n = sizeof a.in6;
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
    } else if (percent == ip.n && inet_pton(AF_INET, text, &a.in4.sin_addr) == 1) {
        a.n = sizeof a.in4;
        a.in4.sin_family = AF_INET;
        a.in4.sin_port = htons(port);
    } else {
        return RW_E_BAD;
    }
    *ret = a;
    return RW_OK;
}

static enum rw_err parse_unix(struct span path, struct io_addr *ret)
{
    struct io_addr a = {.un = {.sun_family = AF_UNIX}};
    const bool abstract = path.n > 0 && path.p[0] == '@';
    if (path.n < (abstract ? 2u : 1u) || !terminated(path, a.un.sun_path, UN_PATH_BYTES)) return RW_E_BAD;
    // An abstract name begins with a NUL and its length ends it; a path ends with a NUL.
    if (abstract) a.un.sun_path[0] = 0;
    a.n = (socklen_t)(UN_PATH + path.n + (abstract ? 0 : 1));
    *ret = a;
    return RW_OK;
}

enum rw_err io_addr_parse(struct span text, struct io_addr *ret)
{
    if (span_starts(text, SPAN("unix:"))) return parse_unix(span_from(text, 5), ret);

    struct span ip, port;
    if (text.n && text.p[0] == '[') {
        const uint32_t end = span_find(text, ']');
        ip = span_from((struct span){text.p, end}, 1);
        port = span_from(text, end + 1);
        if (span_find(ip, ':') == ip.n || !port.n || port.p[0] != ':') return RW_E_BAD;
        port = span_from(port, 1);
    } else {
        const uint32_t colon = span_find(text, ':');
        ip = (struct span){text.p, colon};
        port = span_from(text, colon + 1);
    }
    uint64_t number = 0;
    if (port.n > 5 || !span_u64(port, &number) || number > UINT16_MAX) return RW_E_BAD;
    return io_addr_parse_ip(ip, (uint16_t)number, ret);
}

// A peer may call its socket anything; what is not printable would break a line of the log.
static uint32_t text_unix(const struct io_addr *a, char out[IO_ADDR_TEXT_BYTES])
{
    uint32_t n = 5, len = a->n > UN_PATH ? (uint32_t)(a->n - UN_PATH) : 0;
    if (len > UN_PATH_BYTES) len = UN_PATH_BYTES;
    memcpy(out, "unix:", 5);
    const bool abstract = len > 0 && a->un.sun_path[0] == 0;
    for (uint32_t i = 0; i < len; i++) {
        const char c = a->un.sun_path[i];
        if (abstract && i == 0) out[n++] = '@';
        else if (!abstract && c == 0) break;
        else out[n++] = c >= 0x20 && c != 0x7f ? c : '?';
    }
    out[n] = 0;
    return n;
}

uint32_t io_addr_text(const struct io_addr *a, bool with_port, char out[IO_ADDR_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN];
    int n = 0;
    out[0] = 0;
    if (a->n == 0) return 0;
    if (a->sa.sa_family == AF_UNIX) return text_unix(a, out);
    if (a->sa.sa_family == AF_INET) {
        MUST(inet_ntop(AF_INET, &a->in4.sin_addr, ip, sizeof ip));
        n = with_port ? snprintf(out, IO_ADDR_TEXT_BYTES, "%s:%u", ip, io_addr_port(a))
                      : snprintf(out, IO_ADDR_TEXT_BYTES, "%s", ip);
    } else if (a->sa.sa_family == AF_INET6) {
        char scope[12] = "";
        MUST(inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof ip));
        if (a->in6.sin6_scope_id) snprintf(scope, sizeof scope, "%%%u", a->in6.sin6_scope_id);
        n = with_port ? snprintf(out, IO_ADDR_TEXT_BYTES, "[%s%s]:%u", ip, scope, io_addr_port(a))
                      : snprintf(out, IO_ADDR_TEXT_BYTES, "%s%s", ip, scope);
    }
    return (uint32_t)n;
}

bool io_addr_eq(const struct io_addr *a, const struct io_addr *b)
{
    if (a->n != b->n || a->n == 0) return a->n == b->n;
    if (a->sa.sa_family != b->sa.sa_family) return false;
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr && a->in4.sin_port == b->in4.sin_port;
    case AF_INET6:
        return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0 &&
            a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id;
    default: return memcmp(&a->un, &b->un, a->n) == 0;
    }
}

uint16_t io_addr_port(const struct io_addr *a)
{
    if (a->n == 0) return 0;
    if (a->sa.sa_family == AF_INET) return ntohs(a->in4.sin_port);
    return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

// IPv4 as ::ffff:a.b.c.d. False if it is no IP address.
static bool as_v6(const struct io_addr *a, uint8_t out[16])
{
    if (a->n == 0) return false;
    if (a->sa.sa_family == AF_INET) {
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &a->in4.sin_addr, 4);
        return true;
    }
    if (a->sa.sa_family != AF_INET6) return false;
    memcpy(out, &a->in6.sin6_addr, 16);
    return true;
}

// The part of byte i that belongs to a prefix of `bits`.
static uint8_t prefix_mask(uint32_t bits, uint32_t i)
{
    const uint32_t whole = i * 8;
    if (bits >= whole + 8) return 0xff;
    return (uint8_t)(bits <= whole ? 0 : 0xff << (8 - (bits - whole)));
}

enum rw_err io_cidr_parse(struct span text, struct io_cidr *ret)
{
    struct io_addr a;
    struct io_cidr c;
    const uint32_t slash = span_find(text, '/');
    RW_TRY(io_addr_parse_ip((struct span){text.p, slash}, 0, &a));
    const bool v4 = a.sa.sa_family == AF_INET;
    if (!v4 && a.in6.sin6_scope_id) return RW_E_BAD;
    MUST(as_v6(&a, c.bytes));
    uint64_t bits = v4 ? 32 : 128;
    if (slash < text.n) {
        const uint64_t most = bits;
        const struct span digits = span_from(text, slash + 1);
        if (digits.n > 3 || !span_u64(digits, &bits) || bits > most) return RW_E_BAD;
    }
    c.bits = (uint8_t)(bits + (v4 ? V4_BITS_IN_V6 : 0));
    // Bits behind the prefix say nothing: "10.1.2.3/8" is 10.0.0.0/8.
    for (uint32_t i = 0; i < 16; i++) c.bytes[i] &= prefix_mask(c.bits, i);
    *ret = c;
    return RW_OK;
}

bool io_cidr_has(const struct io_cidr *c, const struct io_addr *a)
{
    uint8_t bytes[16];
    if (!as_v6(a, bytes)) return false;
    for (uint32_t i = 0; i * 8 < c->bits; i++)
        if ((bytes[i] & prefix_mask(c->bits, i)) != c->bytes[i]) return false;
    return true;
}

struct io_addr io_addr_of_ip(const uint8_t *bytes, uint32_t n, uint16_t port)
{
    struct io_addr a = {0};
    MUST(n == 4 || n == 16);
    if (n == 4) {
        a.n = sizeof a.in4;
        a.in4.sin_family = AF_INET;
        a.in4.sin_port = htons(port);
        memcpy(&a.in4.sin_addr, bytes, 4);
    } else {
        a.n = sizeof a.in6;
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
        memcpy(&a.in6.sin6_addr, bytes, 16);
    }
    return a;
}
