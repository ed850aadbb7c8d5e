// Trust stores, identities and clients: made from PEM texts by the control plane, counted, never changed.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tls/tls_priv.h"

static bool last_holder(_Atomic int32_t *holders)
{
    return atomic_fetch_sub_explicit(holders, 1, memory_order_acq_rel) == 1;
}

static void *copy(const void *p, size_t n)
{
    void *c = malloc(n + 1);
    if (c) memcpy(c, p, n);
    return c;
}

// --- Trust.

struct dn {
    uint8_t bytes[2048];
    size_t n;
    bool too_long;
};

static void append_dn(void *ctx, const void *buf, size_t n)
{
    struct dn *dn = ctx;
    dn->too_long = dn->too_long || n > sizeof dn->bytes - dn->n;
    if (dn->too_long) return;
    memcpy(dn->bytes + dn->n, buf, n);
    dn->n += n;
}

struct reader {
    br_x509_decoder_context d;
    struct dn dn;
};

static const br_x509_pkey *read_certificate(struct reader *r, const uint8_t *der, size_t n)
{
    r->dn.n = 0;
    r->dn.too_long = false;
    br_x509_decoder_init(&r->d, append_dn, &r->dn);
    br_x509_decoder_push(&r->d, der, n);
    return br_x509_decoder_get_pkey(&r->d);
}

// False: no memory.
static bool copy_pkey(br_x509_pkey *to, const br_x509_pkey *from)
{
    *to = *from;
    if (from->key_type == BR_KEYTYPE_RSA) {
        to->key.rsa.n = copy(from->key.rsa.n, from->key.rsa.nlen);
        to->key.rsa.e = copy(from->key.rsa.e, from->key.rsa.elen);
        return to->key.rsa.n && to->key.rsa.e;
    }
    to->key.ec.q = copy(from->key.ec.q, from->key.ec.qlen);
    return to->key.ec.q;
}

struct gather_trust {
    struct tls_trust *trust;
    struct reader *reader;
    uint32_t cap, skipped;
    bool no_memory;
};

static bool add_anchor(void *ctx, const char *name, struct span der)
{
    struct gather_trust *g = ctx;
    if (!tls_pem_is_certificate(name)) return true;
    struct reader *r = g->reader;
    const br_x509_pkey *pk = read_certificate(r, der.p, der.n);
    if (!pk || r->dn.too_long) {
        g->skipped++;
        return true;
    }
    struct tls_trust *t = g->trust;
    if (t->count == g->cap) {
        const uint32_t cap = g->cap ? g->cap * 2 : 64;
        br_x509_trust_anchor *more = realloc(t->anchor, cap * sizeof *t->anchor);
        g->no_memory = !more;
        if (!more) return false;
        t->anchor = more;
        g->cap = cap;
    }
    br_x509_trust_anchor *a = &t->anchor[t->count++];
    *a = (br_x509_trust_anchor){.dn = {.data = copy(r->dn.bytes, r->dn.n), .len = r->dn.n},
                                .flags = br_x509_decoder_isCA(&r->d) ? BR_X509_TA_CA : 0};
    g->no_memory = !copy_pkey(&a->pkey, pk) || !a->dn.data;
    return !g->no_memory;
}

enum rw_err tls_trust_make(struct span pem, struct tls_trust **ret, uint32_t *ret_skipped)
{
    struct gather_trust g = {.trust = calloc(1, sizeof *g.trust), .reader = malloc(sizeof *g.reader)};
    if (!g.trust || !g.reader) {
        free(g.trust);
        free(g.reader);
        return (enum rw_err) - ENOMEM;
    }
    atomic_store(&g.trust->holders, 1);
    enum rw_err err = tls_pem_each(pem, add_anchor, &g);
    if (g.no_memory) err = (enum rw_err) - ENOMEM;
    free(g.reader);
    if (err == RW_OK && g.trust->count == 0) err = RW_E_NOT_FOUND;
    if (err) {
        tls_trust_let_go(g.trust);
        return err;
    }
    *ret = g.trust;
    *ret_skipped = g.skipped;
    return RW_OK;
}

struct tls_trust *tls_trust_hold(struct tls_trust *t)
{
    atomic_fetch_add_explicit(&t->holders, 1, memory_order_relaxed);
    return t;
}

void tls_trust_let_go(struct tls_trust *t)
{
    if (!t || !last_holder(&t->holders)) return;
    for (uint32_t i = 0; i < t->count; i++) {
        br_x509_trust_anchor *a = &t->anchor[i];
        free(a->dn.data);
        if (a->pkey.key_type == BR_KEYTYPE_RSA) {
            free(a->pkey.key.rsa.n);
            free(a->pkey.key.rsa.e);
        } else {
            free(a->pkey.key.ec.q);
        }
    }
    free(t->anchor);
    free(t);
}

uint32_t tls_trust_count(const struct tls_trust *t)
{
    return t->count;
}

// --- Identities.

struct gather_identity {
    struct tls_identity *id;
    struct reader *reader;
    const char *why;
};

static const char no_memory[] = "out of memory";

static bool add_certificate(void *ctx, const char *name, struct span der)
{
    struct gather_identity *g = ctx;
    struct tls_identity *id = g->id;
    if (!tls_pem_is_certificate(name)) return true;
    if (id->chain_n == TLS_CHAIN_MAX || der.n > TLS_CERT_BYTES_MAX) {
        g->why = "it holds too many certificates, or one that is too large";
        return false;
    }
    uint8_t *bytes = copy(der.p, der.n);
    if (!bytes) {
        g->why = no_memory;
        return false;
    }
    id->chain[id->chain_n++] = (br_x509_certificate){.data = bytes, .data_len = der.n};
    return true;
}

// The certificate is the key's own: the public halves are the same.
static const char *check_pair(struct tls_identity *id, struct reader *r)
{
    const br_x509_pkey *pk = read_certificate(r, id->chain[0].data, id->chain[0].data_len);
    if (!pk) return "its first certificate is damaged, or of a kind that is not supported";
    id->issuer_key_type = br_x509_decoder_get_signer_key_type(&r->d);
    static const char other[] = "the certificate and the key do not belong together";
    if (pk->key_type != id->skey.type) return other;
    if (id->skey.type == BR_KEYTYPE_RSA) {
        uint8_t n[512];
        const size_t got = br_rsa_compute_modulus_get_default()(n, &id->skey.key.rsa);
        const br_rsa_public_key *pub = &pk->key.rsa;
        const size_t skip = pub->nlen > got ? pub->nlen - got : 0;
        return got == pub->nlen - skip && memcmp(n, pub->n + skip, got) == 0 ? NULL : other;
    }
    uint8_t q[BR_EC_KBUF_PUB_MAX_SIZE];
    const size_t got = br_ec_compute_pub(br_ec_get_default(), NULL, q, &id->skey.key.ec);
    return got == pk->key.ec.qlen && memcmp(q, pk->key.ec.q, got) == 0 ? NULL : other;
}

struct tls_identity *tls_identity_make(struct span chain_pem, struct span key_pem, struct span passphrase,
                                       const char **ret_why)
{
    struct gather_identity g = {.id = calloc(1, sizeof *g.id), .reader = malloc(sizeof *g.reader)};
    if (!g.id || !g.reader) {
        free(g.id);
        free(g.reader);
        *ret_why = no_memory;
        return NULL;
    }
    atomic_store(&g.id->holders, 1);
    if (tls_pem_each(chain_pem, add_certificate, &g) && !g.why) g.why = "it is not PEM text, or damaged";
    if (!g.why && g.id->chain_n == 0) g.why = "it holds no certificate";
    if (!g.why) g.why = tls_skey_read(key_pem, passphrase, &g.id->skey);
    if (!g.why) g.why = check_pair(g.id, g.reader);
    free(g.reader);
    if (!g.why) return g.id;
    *ret_why = g.why;
    tls_identity_let_go(g.id);
    return NULL;
}

struct tls_identity *tls_identity_hold(struct tls_identity *id)
{
    atomic_fetch_add_explicit(&id->holders, 1, memory_order_relaxed);
    return id;
}

void tls_identity_let_go(struct tls_identity *id)
{
    if (!id || !last_holder(&id->holders)) return;
    for (uint32_t i = 0; i < id->chain_n; i++) free(id->chain[i].data);
    crypto_wipe(id, sizeof *id);
    free(id);
}

// --- Clients.

struct tls_client *tls_client_make(const char *host, struct tls_trust *trust, struct tls_identity *identity)
{
    struct tls_client *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    atomic_store(&c->holders, 1);
    MUST(strlen(host) < sizeof c->host);
    memcpy(c->host, host, strlen(host));
    if (inet_pton(AF_INET, host, c->ip) == 1) c->ip_n = 4;
    else if (inet_pton(AF_INET6, host, c->ip) == 1) c->ip_n = 16;
    c->trust = tls_trust_hold(trust);
    c->identity = identity ? tls_identity_hold(identity) : NULL;
    return c;
}

struct tls_client *tls_client_hold(struct tls_client *c)
{
    atomic_fetch_add_explicit(&c->holders, 1, memory_order_relaxed);
    return c;
}

void tls_client_let_go(struct tls_client *c)
{
    if (!c || !last_holder(&c->holders)) return;
    tls_trust_let_go(c->trust);
    tls_identity_let_go(c->identity);
    free(c);
}
