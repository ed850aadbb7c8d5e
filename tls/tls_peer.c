// Who a client is, by its certificate: names and attributes are compared byte for byte, so that nothing which only looks alike
// passes (RFC 5280, 4.1.2.6 and 4.2.1.6).
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls_der.h"
#include "tls/tls_priv.h"

#define TAG_SET 0x31
#define TAG_EMAIL 0x81
#define TAG_DNS 0x82
#define TAG_URI 0x86

// --- Attributes of a subject.

static const struct attribute {
    const char *name;
    uint8_t n;
    uint8_t oid[10];
} attributes[] = {
    {"CN", 3, {0x55, 4, 3}},
    {"O", 3, {0x55, 4, 10}},
    {"OU", 3, {0x55, 4, 11}},
    {"C", 3, {0x55, 4, 6}},
    {"L", 3, {0x55, 4, 7}},
    {"ST", 3, {0x55, 4, 8}},
    {"serialNumber", 3, {0x55, 4, 5}},
    {"UID", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1}},
    {"DC", 10, {0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25}},
    {"emailAddress", 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1}},
};

// Takes "CN=value" off the front of a subject's text: the attribute, and its value with the backslashes. False: it is none.
static bool take_attribute(const char **text, const struct attribute **ret, struct span *ret_value)
{
    const char *p = *text;
    while (*p == ' ') p++;
    const size_t name_n = strcspn(p, "=,");
    const char *value = p + name_n + 1;
    if (p[name_n] != '=') return false;
    *ret = NULL;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (strlen(attributes[i].name) == name_n && strncmp(attributes[i].name, p, name_n) == 0)
            *ret = &attributes[i];
    size_t n = 0;
    while (value[n] && value[n] != ',') n += value[n] == '\\' && value[n + 1] ? 2 : 1;
    *ret_value = span_of(value, (uint32_t)n);
    *text = value + n + (value[n] == ',');
    return *ret && n > 0;
}

const char *tls_subject_check(const char *subject)
{
    const struct attribute *a;
    struct span value;
    if (!*subject) return "it is empty";
    while (*subject)
        if (!take_attribute(&subject, &a, &value))
            return "attributes such as CN=app,O=Corp are expected; known are CN, O, OU, C, L, ST, UID, DC, "
                   "serialNumber, emailAddress";
    return NULL;
}

static bool value_is(struct span wanted, struct span found)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < wanted.n; i++) {
        if (wanted.p[i] == '\\' && i + 1 < wanted.n) i++;
        if (at == found.n || found.p[at++] != wanted.p[i]) return false;
    }
    return at == found.n;
}

// UTF8String, NumericString, PrintableString, IA5String: others are written in two or four bytes, or in no one knows what.
static bool is_plain_text(uint8_t tag)
{
    return tag == 0x0c || tag == 0x12 || tag == 0x13 || tag == 0x16;
}

static bool subject_has(struct span name, const struct attribute *a, struct span value)
{
    struct span list, set, pair, oid, found;
    uint8_t tag;
    if (!tls_der_take(&name, TLS_DER_SEQUENCE, &list)) return false;
    while (tls_der_take(&list, TAG_SET, &set))
        while (tls_der_take(&set, TLS_DER_SEQUENCE, &pair))
            if (tls_der_take(&pair, TLS_DER_OID, &oid) && span_eq(oid, span_of(a->oid, a->n)) &&
                tls_der_any(&pair, &tag, &found) && is_plain_text(tag) && value_is(value, found))
                return true;
    return false;
}

static bool subject_fits(const struct tls_cert *cert, const char *subject)
{
    const struct attribute *a;
    struct span value;
    while (*subject)
        if (!take_attribute(&subject, &a, &value) || !subject_has(cert->subject, a, value)) return false;
    return true;
}

// --- Alternative names.

static bool san_fits(const struct tls_cert *cert, const char *text)
{
    struct span names = cert->san, name;
    const struct span wanted = span_str(text);
    uint8_t tag, ip[16];
    while (tls_der_any(&names, &tag, &name)) {
        if (tag == TAG_DNS && span_ieq(name, wanted)) return true;
        if ((tag == TAG_URI || tag == TAG_EMAIL) && span_eq(name, wanted)) return true;
    }
    if (inet_pton(AF_INET, text, ip) == 1) return tls_cert_has_ip(cert, ip, 4);
    return inet_pton(AF_INET6, text, ip) == 1 && tls_cert_has_ip(cert, ip, 16);
}

uint64_t tls_peer_find(const struct tls_server *s, const struct tls_cert *cert)
{
    for (uint32_t i = 0; i < s->peer_n; i++) {
        const struct tls_peer *p = &s->peer[i];
        if (p->san ? san_fits(cert, p->san) : subject_fits(cert, p->subject)) return p->id;
    }
    return 0;
}

// --- What a server knows.

static char *copied(const char *text)
{
    return text ? strdup(text) : NULL;
}

bool tls_server_peers(struct tls_server *s, const struct tls_peer *peers, uint32_t n)
{
    MUST(!s->peer);
    s->peer = calloc(n + 1, sizeof *s->peer);
    if (!s->peer) return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct tls_peer *from = &peers[i];
        MUST(from->id != 0 && !from->san != !from->subject);
        s->peer[i] =
            (struct tls_peer){.id = from->id, .san = copied(from->san), .subject = copied(from->subject)};
        s->peer_n = i + 1;
        if (!s->peer[i].san && !s->peer[i].subject) return false;
    }
    return true;
}

void tls_peers_free(struct tls_server *s)
{
    for (uint32_t i = 0; i < s->peer_n; i++) {
        free((char *)(uintptr_t)s->peer[i].san);
        free((char *)(uintptr_t)s->peer[i].subject);
    }
    free(s->peer);
}
