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

// Decoders are large; only one is in use at a time.
union reader {
    struct {
        br_x509_decoder_context d;
        struct dn dn;
    } cert;
    struct {
        br_skey_decoder_context d;
        // BearSSL 0.6 takes the decoder's last field, of 3 x 512 bytes, for 3 x 520 long: this is for a crafted key.
        uint8_t room[64];
    } key;
};

static const br_x509_pkey *read_certificate(union reader *r, const uint8_t *der, size_t n)
{
    r->cert.dn.n = 0;
    r->cert.dn.too_long = false;
    br_x509_decoder_init(&r->cert.d, append_dn, &r->cert.dn);
    br_x509_decoder_push(&r->cert.d, der, n);
    return br_x509_decoder_get_pkey(&r->cert.d);
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
    union reader *reader;
    uint32_t cap, skipped;
    bool no_memory;
};

static bool add_anchor(void *ctx, const char *name, struct span der)
{
    struct gather_trust *g = ctx;
    if (!tls_pem_is_certificate(name)) return true;
    union reader *r = g->reader;
    const br_x509_pkey *pk = read_certificate(r, der.p, der.n);
    if (!pk || r->cert.dn.too_long) {
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
    *a = (br_x509_trust_anchor){.dn = {.data = copy(r->cert.dn.bytes, r->cert.dn.n), .len = r->cert.dn.n},
                                .flags = br_x509_decoder_isCA(&r->cert.d) ? BR_X509_TA_CA : 0};
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

// The key's numbers point into the decoder: moved to the identity's own memory.
static void adopt(struct tls_identity *id, unsigned char **part, size_t n, size_t *at)
{
    MUST(n <= sizeof id->key_bytes - *at);
    memcpy(id->key_bytes + *at, *part, n);
    *part = id->key_bytes + *at;
    *at += n;
}

struct gather_identity {
    struct tls_identity *id;
    union reader *reader;
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

static void adopt_rsa(struct gather_identity *g, const br_rsa_private_key *rsa)
{
    struct tls_identity *id = g->id;
    size_t at = 0;
    const size_t most = 4096 / 16 + 1; // of each of the five numbers, a leading zero included
    const bool fits = rsa->plen <= most && rsa->qlen <= most && rsa->dplen <= most && rsa->dqlen <= most &&
        rsa->iqlen <= most;
    if (rsa->n_bitlen < 2048 || rsa->n_bitlen > 4096 || !fits) {
        g->why = "its RSA key must have 2048 to 4096 bits";
        return;
    }
    id->key.rsa = *rsa;
    adopt(id, &id->key.rsa.p, rsa->plen, &at);
    adopt(id, &id->key.rsa.q, rsa->qlen, &at);
    adopt(id, &id->key.rsa.dp, rsa->dplen, &at);
    adopt(id, &id->key.rsa.dq, rsa->dqlen, &at);
    adopt(id, &id->key.rsa.iq, rsa->iqlen, &at);
    id->key_type = BR_KEYTYPE_RSA;
}

static void adopt_ec(struct gather_identity *g, const br_ec_private_key *ec)
{
    size_t at = 0;
    if (ec->xlen > 67) { // P-521, and a leading zero
        g->why = "its EC key must be on P-256, P-384 or P-521";
        return;
    }
    g->id->key.ec = *ec;
    adopt(g->id, &g->id->key.ec.x, ec->xlen, &at);
    g->id->key_type = BR_KEYTYPE_EC;
}

static bool add_key(void *ctx, const char *name, struct span der)
{
    struct gather_identity *g = ctx;
    if (strcmp(name, "ENCRYPTED PRIVATE KEY") == 0) {
        g->why = "its key is encrypted: give one that is not (openssl pkey -in OLD -out NEW)";
        return false;
    }
    if (strcmp(name, "RSA PRIVATE KEY") != 0 && strcmp(name, "EC PRIVATE KEY") != 0 &&
        strcmp(name, "PRIVATE KEY") != 0)
        return true;
    br_skey_decoder_context *d = &g->reader->key.d;
    br_skey_decoder_init(d);
    br_skey_decoder_push(d, der.p, der.n);
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(d);
    const br_ec_private_key *ec = br_skey_decoder_get_ec(d);
    if (br_skey_decoder_last_error(d) || (!rsa && !ec)) {
        g->why = "its private key is damaged, or neither RSA nor EC";
    } else if (rsa) {
        adopt_rsa(g, rsa);
    } else {
        adopt_ec(g, ec);
    }
    return false;
}

// The certificate is the key's own: the public halves are the same.
static const char *check_pair(struct tls_identity *id, union reader *r)
{
    const br_x509_pkey *pk = read_certificate(r, id->chain[0].data, id->chain[0].data_len);
    if (!pk) return "its first certificate is damaged, or of a kind that is not supported";
    id->issuer_key_type = br_x509_decoder_get_signer_key_type(&r->cert.d);
    static const char other[] = "the certificate and the key do not belong together";
    if (pk->key_type != id->key_type) return other;
    if (id->key_type == BR_KEYTYPE_RSA) {
        uint8_t n[512];
        const size_t got = br_rsa_compute_modulus_get_default()(n, &id->key.rsa);
        const br_rsa_public_key *pub = &pk->key.rsa;
        const size_t skip = pub->nlen > got ? pub->nlen - got : 0;
        return got == pub->nlen - skip && memcmp(n, pub->n + skip, got) == 0 ? NULL : other;
    }
    uint8_t q[BR_EC_KBUF_PUB_MAX_SIZE];
    const size_t got = br_ec_compute_pub(br_ec_get_default(), NULL, q, &id->key.ec);
    return got == pk->key.ec.qlen && memcmp(q, pk->key.ec.q, got) == 0 ? NULL : other;
}

struct tls_identity *tls_identity_make(struct span chain_pem, struct span key_pem, const char **ret_why)
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
    if (!g.why && tls_pem_each(key_pem, add_key, &g)) g.why = "its key is not PEM text, or damaged";
    if (!g.why && !g.id->key_type) g.why = "there is no private key";
    if (!g.why) g.why = check_pair(g.id, g.reader);
    crypto_wipe(g.reader, sizeof *g.reader);
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
