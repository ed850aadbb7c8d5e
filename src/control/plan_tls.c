// See plan_tls.h.
#include "control/plan_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

// Debian, Alpine and Arch; RHEL and Amazon Linux; SUSE; Alpine's other name.
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

// A file of PEM text, hashed on the way into *all. p NULL with *ret_why.
static struct span read_pem(const char *what, const char *path, struct crypto_sha256 *all, char *ret_why,
                            uint32_t cap)
{
    char *text = malloc(TLS_STORE_BYTES_MAX);
    const int64_t n =
        text ? config_env_process.read_file(NULL, path, text, TLS_STORE_BYTES_MAX) : (int64_t)-ENOMEM;
    if (n < 0) {
        snprintf(ret_why, cap, "%s %s cannot be read: %s", what, path, strerror((int)-n));
        free(text);
        return (struct span){NULL, 0};
    }
    crypto_sha256_update(all, &n, sizeof n);
    crypto_sha256_update(all, text, (size_t)n);
    return span_of(text, (uint32_t)n);
}

static void free_pem(struct span text)
{
    if (text.p) crypto_wipe((void *)(uintptr_t)text.p, text.n);
    free((void *)(uintptr_t)text.p);
}

static bool make_trust(const char *what, const char *path, struct span pem, struct tls_trust **ret,
                       char *ret_why, uint32_t cap)
{
    uint32_t skipped;
    const enum rw_err err = tls_trust_make(pem, ret, &skipped);
    if (err == RW_OK) return true;
    snprintf(ret_why, cap, "%s %s %s", what, path,
             err == RW_E_NOT_FOUND ? "holds no certificate (PEM text is expected)"
                 : err == RW_E_BAD ? "is damaged: it is not PEM text"
                                   : "needs more memory than there is");
    return false;
}

// --- The system's trust store.

static const char *system_path(void)
{
    const char *env = config_env_process.get(NULL, "SSL_CERT_FILE");
    if (env && *env) return env;
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (access(bundles[i], R_OK) == 0) return bundles[i];
    return NULL;
}

static bool read_system(struct plan_tls *t, char *ret_why, uint32_t cap)
{
    if (t->system_path) return true;
    const char *path = system_path();
    if (!path) {
        snprintf(ret_why, cap,
                 "there is no trust store on this machine: install ca-certificates, or set SSL_CERT_FILE or "
                 "ca_file");
        return false;
    }
    struct crypto_sha256 all;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_sha256_init(&all);
    const struct span pem = read_pem("the trust store", path, &all, ret_why, cap);
    if (!pem.p) return false;
    crypto_sha256_final(&all, digest);
    bool good = true;
    if (!t->system || !crypto_equal(digest, t->system_digest, sizeof digest)) {
        struct tls_trust *trust;
        good = make_trust("the trust store", path, pem, &trust, ret_why, cap);
        if (good) {
            tls_trust_let_go(t->system);
            t->system = trust;
            memcpy(t->system_digest, digest, sizeof digest);
        }
    }
    free_pem(pem);
    if (good) t->system_path = path;
    return good;
}

void plan_tls_refresh(struct plan_tls *t)
{
    t->system_path = NULL;
}

void plan_tls_done(struct plan_tls *t)
{
    tls_trust_let_go(t->system);
    *t = (struct plan_tls){0};
}

const char *plan_tls_system(struct plan_tls *t, uint32_t *ret_count, char *ret_why, uint32_t cap)
{
    if (!read_system(t, ret_why, cap)) return NULL;
    *ret_count = tls_trust_count(t->system);
    return t->system_path;
}

// --- Clients.

struct files {
    struct span ca, certificate, key;
};

static bool read_files(struct plan_tls *t, const struct config_provider *p, struct files *f,
                       struct crypto_sha256 *all, char *ret_why, uint32_t cap)
{
    if (p->ca_file) {
        f->ca = read_pem("ca_file", p->ca_file, all, ret_why, cap);
        if (!f->ca.p) return false;
    } else {
        if (!read_system(t, ret_why, cap)) return false;
        crypto_sha256_update(all, t->system_digest, sizeof t->system_digest);
    }
    if (!p->client_certificate) return true;
    f->certificate = read_pem("client_certificate", p->client_certificate, all, ret_why, cap);
    if (!f->certificate.p) return false;
    f->key = read_pem("client_key", p->client_key, all, ret_why, cap);
    return f->key.p != NULL;
}

static struct tls_client *make_client(struct plan_tls *t, const struct config_provider *p,
                                      const struct files *f, char *ret_why, uint32_t cap)
{
    struct tls_trust *trust;
    struct tls_identity *identity = NULL;
    if (!f->ca.p) trust = tls_trust_hold(t->system);
    else if (!make_trust("ca_file", p->ca_file, f->ca, &trust, ret_why, cap)) return NULL;
    if (f->key.p) {
        const char *why;
        identity = tls_identity_make(f->certificate, f->key, &why);
        if (!identity) {
            snprintf(ret_why, cap, "client_certificate %s and client_key %s: %s", p->client_certificate,
                     p->client_key, why);
            tls_trust_let_go(trust);
            return NULL;
        }
    }
    struct tls_client *client = tls_client_make(p->base_url.host, trust, identity);
    if (!client) snprintf(ret_why, cap, "out of memory");
    tls_trust_let_go(trust);
    tls_identity_let_go(identity);
    return client;
}

bool plan_tls_client(struct plan_tls *t, const struct config_provider *p, struct plan_tls_made *made,
                     char *ret_why, uint32_t cap)
{
    struct files f = {0};
    struct crypto_sha256 all;
    char why[640];
    crypto_sha256_init(&all);
    bool good = read_files(t, p, &f, &all, why, sizeof why);
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_sha256_final(&all, digest);
    if (good && (!made->client || !crypto_equal(digest, made->digest, sizeof digest))) {
        struct tls_client *client = make_client(t, p, &f, why, sizeof why);
        good = client != NULL;
        if (good) {
            tls_client_let_go(made->client);
            made->client = client;
            memcpy(made->digest, digest, sizeof digest);
        }
    }
    free_pem(f.ca);
    free_pem(f.certificate);
    free_pem(f.key);
    if (!good) snprintf(ret_why, cap, "providers.%s: %s", p->name, why);
    return good;
}
