// See plan_tls.h.
#include "control/plan_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "control/log.h"
#include "tls/tls_describe.h"

#define DAY_NS (86400 * CLOCK_SEC)
#define SOON_DAYS 30

// Debian, Alpine and Arch; RHEL and Amazon Linux; SUSE; Alpine's other name.
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

struct plan_tls_file {
    struct plan_tls_file *next;
    struct stat seen;
    int64_t
        expires_s; // of certificates that are shown to others; INT64_MAX: none, or said by another of the same path
    char path[];
};

static void remember(struct plan_tls *t, const char *path)
{
    struct plan_tls_file *f = calloc(1, sizeof *f + strlen(path) + 1);
    if (!f) return; // a change of it will go unnoticed until the next reload
    memcpy(f->path, path, strlen(path));
    f->expires_s = INT64_MAX;
    (void)stat(path, &f->seen);
    f->next = t->files;
    t->files = f;
}

bool plan_tls_changed(const struct plan_tls *t)
{
    for (const struct plan_tls_file *f = t->files; f; f = f->next) {
        struct stat now = {0};
        (void)stat(f->path, &now);
        if (now.st_mtim.tv_sec != f->seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != f->seen.st_mtim.tv_nsec ||
            now.st_ino != f->seen.st_ino || now.st_size != f->seen.st_size)
            return true;
    }
    return false;
}

// A file of PEM text, hashed on the way into *all. p NULL with *ret_why.
static struct span read_pem(struct plan_tls *t, const char *what, const char *path, struct crypto_sha256 *all,
                            char *ret_why, uint32_t cap)
{
    remember(t, path);
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

// --- Expiry.

static void note_expiry(struct plan_tls *t, const char *path, struct span pem)
{
    struct plan_tls_file *found = NULL;
    for (struct plan_tls_file *f = t->files; f; f = f->next) {
        if (strcmp(f->path, path) != 0) continue;
        if (f->expires_s != INT64_MAX) return;
        found = f;
    }
    if (found) found->expires_s = tls_expires_s(pem);
}

bool plan_tls_expiry(const struct plan_tls *t, uint32_t i, struct plan_tls_expiry *ret)
{
    for (const struct plan_tls_file *f = t->files; f; f = f->next) {
        if (f->expires_s == INT64_MAX || i-- > 0) continue;
        *ret = (struct plan_tls_expiry){.path = f->path, .expires_s = f->expires_s};
        return true;
    }
    return false;
}

void plan_tls_look(struct plan_tls *t, int64_t wall_ns)
{
    struct plan_tls_expiry e;
    const int64_t day = wall_ns / DAY_NS, now_s = wall_ns / CLOCK_SEC;
    if (day == t->warned_day) return;
    t->warned_day = day;
    for (uint32_t i = 0; plan_tls_expiry(t, i, &e); i++) {
        const int64_t left = e.expires_s - now_s;
        if (left < 0) log_msg(LOG_WARNING, "the certificate in %s has expired: renew it", e.path);
        else if (left < SOON_DAYS * (DAY_NS / CLOCK_SEC))
            log_msg(LOG_WARNING, "the certificate in %s expires in %d days: renew it", e.path,
                    (int)(left / (DAY_NS / CLOCK_SEC)));
    }
}

// --- Files.

// The passphrase of a key: the file's first line. path NULL: empty, and true.
static bool read_passphrase(struct plan_tls *t, const char *path, struct crypto_sha256 *all,
                            struct span *ret_file, struct span *ret, char *ret_why, uint32_t cap)
{
    *ret_file = *ret = (struct span){NULL, 0};
    if (!path) return true;
    *ret_file = read_pem(t, "passphrase_file", path, all, ret_why, cap);
    if (!ret_file->p) return false;
    struct span line = span_of(ret_file->p, span_find(*ret_file, '\n'));
    if (line.n > 0 && line.p[line.n - 1] == '\r') line.n--;
    *ret = line;
    if (line.n == 0) snprintf(ret_why, cap, "passphrase_file %s: its first line is empty", path);
    return line.n > 0;
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
    const struct span pem = read_pem(t, "the trust store", path, &all, ret_why, cap);
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
    t->warned_day = 0;
    while (t->files) {
        struct plan_tls_file *f = t->files;
        t->files = f->next;
        free(f);
    }
}

void plan_tls_done(struct plan_tls *t)
{
    tls_trust_let_go(t->system);
    plan_tls_refresh(t);
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
    struct span passphrase_file, passphrase; // the second lies in the first
};

static bool read_files(struct plan_tls *t, const struct config_provider *p, struct files *f,
                       struct crypto_sha256 *all, char *ret_why, uint32_t cap)
{
    if (p->ca_file) {
        f->ca = read_pem(t, "ca_file", p->ca_file, all, ret_why, cap);
        if (!f->ca.p) return false;
    } else {
        if (!read_system(t, ret_why, cap)) return false;
        crypto_sha256_update(all, t->system_digest, sizeof t->system_digest);
    }
    if (!p->client_certificate) return true;
    f->certificate = read_pem(t, "client_certificate", p->client_certificate, all, ret_why, cap);
    if (!f->certificate.p) return false;
    note_expiry(t, p->client_certificate, f->certificate);
    f->key = read_pem(t, "client_key", p->client_key, all, ret_why, cap);
    return f->key.p &&
        read_passphrase(t, p->client_passphrase_file, all, &f->passphrase_file, &f->passphrase, ret_why, cap);
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
        identity = tls_identity_make(f->certificate, f->key, f->passphrase, &why);
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
    free_pem(f.passphrase_file);
    if (!good) snprintf(ret_why, cap, "providers.%s: %s", p->name, why);
    return good;
}

// --- Servers.

// Reads a certificate and its key; the identity in *ret. False: *ret_why.
static bool read_identity(struct plan_tls *t, const struct config_certificate *c, struct crypto_sha256 *all,
                          struct tls_identity **ret, char *ret_why, uint32_t cap)
{
    struct span key = {NULL, 0}, file = {NULL, 0}, passphrase = {NULL, 0};
    const struct span chain = read_pem(t, "certificate", c->certificate, all, ret_why, cap);
    if (chain.p) note_expiry(t, c->certificate, chain);
    if (chain.p) key = read_pem(t, "key", c->key, all, ret_why, cap);
    struct tls_identity *id = NULL;
    if (key.p && read_passphrase(t, c->passphrase_file, all, &file, &passphrase, ret_why, cap)) {
        const char *why;
        id = tls_identity_make(chain, key, passphrase, &why);
        if (!id) snprintf(ret_why, cap, "certificate %s and key %s: %s", c->certificate, c->key, why);
    }
    free_pem(chain);
    free_pem(key);
    free_pem(file);
    *ret = id;
    return id != NULL;
}

static bool read_server(struct plan_tls *t, const struct config_listener_tls *c, struct crypto_sha256 *all,
                        struct tls_identity **ids, struct tls_trust **ret_ca, struct crypto_sha256 *clients,
                        char *ret_why, uint32_t cap)
{
    bool good = read_identity(t, &c->first, all, &ids[0], ret_why, cap);
    for (uint32_t i = 0; i < c->more_count && good; i++)
        good = read_identity(t, &c->more[i], all, &ids[i + 1], ret_why, cap);
    if (!good || !c->client_ca) return good;
    const struct span ca = read_pem(t, "client_ca", c->client_ca, all, ret_why, cap);
    if (ca.p) crypto_sha256_update(clients, ca.p, ca.n);
    good = ca.p && make_trust("client_ca", c->client_ca, ca, ret_ca, ret_why, cap);
    free_pem(ca);
    return good;
}

uint64_t plan_tls_peer_id(const struct plan_tls_served *made, const struct config_identity *who)
{
    struct crypto_sha256 all;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    uint64_t id;
    const char *text = who->san ? who->san : who->subject;
    crypto_sha256_init(&all);
    crypto_sha256_update(&all, made->client_digest, sizeof made->client_digest);
    crypto_sha256_update(&all, who->san ? "n" : "s", 1);
    crypto_sha256_update(&all, text, strlen(text));
    crypto_sha256_final(&all, digest);
    memcpy(&id, digest, sizeof id);
    return id | 1;
}

// Bits of the suites that are named; all, if none is.
static uint32_t suites_of(const struct config_listener_tls *c)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < c->suite_count; i++) mask |= 1u << tls_suite_find(c->suites[i]);
    return mask ? mask : TLS_SUITES_ALL;
}

// NULL with *ret_why.
static struct tls_server *make_server(const struct config_listener_tls *c, struct tls_identity *const *ids,
                                      struct tls_trust *ca, const struct plan_tls_served *made, char *ret_why,
                                      uint32_t cap)
{
    snprintf(ret_why, cap, "out of memory");
    struct tls_server *server = tls_server_make(ids, c->more_count + 1, ca, c->strict_sni);
    if (server && !tls_server_suites(server, suites_of(c))) {
        snprintf(ret_why, cap,
                 "suites: a certificate can be used with none of them (ECDHE-ECDSA- is for EC keys, "
                 "ECDHE-RSA- for RSA)");
        tls_server_let_go(server);
        return NULL;
    }
    if (!server || c->identity_count == 0) return server;
    struct tls_peer *peers = calloc(c->identity_count, sizeof *peers);
    for (uint32_t i = 0; peers && i < c->identity_count; i++) {
        const struct config_identity *who = &c->identities[i];
        peers[i] = (struct tls_peer){
            .id = plan_tls_peer_id(made, who), .san = who->san, .subject = who->san ? NULL : who->subject};
    }
    if (!peers || !tls_server_peers(server, peers, c->identity_count)) {
        tls_server_let_go(server);
        server = NULL;
    }
    free(peers);
    return server;
}

bool plan_tls_server(struct plan_tls *t, const struct config *config, uint32_t i,
                     struct plan_tls_served *made, char *ret_why, uint32_t cap)
{
    const bool admin = i == PLAN_TLS_ADMIN;
    const struct config_listener_tls *c = admin ? &config->admin_tls : &config->listeners[i].tls;
    const char *address = admin ? config->admin_address.text : config->listeners[i].address.text;
    struct tls_identity *ids[TLS_SERVER_IDENTITIES_MAX] = {NULL};
    struct tls_trust *ca = NULL;
    struct crypto_sha256 all, clients;
    struct plan_tls_served next = {0};
    char why[640];
    crypto_sha256_init(&all);
    crypto_sha256_init(&clients);
    crypto_sha256_update(&clients, address, strlen(address));
    bool good = read_server(t, c, &all, ids, &ca, &clients, why, sizeof why);
    crypto_sha256_final(&clients, next.client_digest);
    uint8_t digest[CRYPTO_SHA256_BYTES];
    for (uint32_t k = 0; k < c->identity_count; k++) {
        const uint64_t id = plan_tls_peer_id(&next, &c->identities[k]);
        crypto_sha256_update(&all, &id, sizeof id);
    }
    const uint32_t suites = suites_of(c);
    crypto_sha256_update(&all, &suites, sizeof suites);
    crypto_sha256_update(&all, &c->strict_sni, sizeof c->strict_sni);
    crypto_sha256_final(&all, digest);
    if (good && (!made->server || !crypto_equal(digest, made->digest, sizeof digest))) {
        next.server = make_server(c, ids, ca, &next, why, sizeof why);
        good = next.server != NULL;
        if (good) {
            tls_server_let_go(made->server);
            memcpy(next.digest, digest, sizeof digest);
            *made = next;
        }
    }
    for (uint32_t k = 0; k < TLS_SERVER_IDENTITIES_MAX; k++) tls_identity_let_go(ids[k]);
    tls_trust_let_go(ca);
    if (!good && admin) snprintf(ret_why, cap, "admin.tls: %s", why);
    else if (!good) snprintf(ret_why, cap, "listen[%u].tls: %s", i, why);
    return good;
}
