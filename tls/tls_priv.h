// Inside tls/: what the files of TLS share. The only header that shows BearSSL's types.
#ifndef RINGWAY_TLS_TLS_PRIV_H
#define RINGWAY_TLS_TLS_PRIV_H

#include <bearssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tls/crypto.h"
#include "tls/tls.h"

// A certificate, or any other object of a PEM text.
#define TLS_CERT_BYTES_MAX 12288
#define TLS_CHAIN_MAX 16

struct tls_trust {
    _Atomic int32_t holders;
    br_x509_trust_anchor *anchor;
    uint32_t count;
};

// A private key. Points into itself: never copied.
struct tls_skey {
    int type; // BR_KEYTYPE_RSA or BR_KEYTYPE_EC; 0: none
    union {
        br_rsa_private_key rsa;
        br_ec_private_key ec;
    } key;
    uint8_t bytes[5 * (4096 / 16 + 1)];
};

struct tls_identity {
    _Atomic int32_t holders;
    br_x509_certificate chain[TLS_CHAIN_MAX];
    uint32_t chain_n;
    int issuer_key_type;
    struct tls_skey skey;
};

struct tls_client {
    _Atomic int32_t holders;
    struct tls_trust *trust;
    struct tls_identity *identity;
    uint8_t ip[16];
    uint8_t ip_n; // 0: host is a name
    char host[256];
};

// A session that a client may resume; many are kept, the newest of those whose ids begin alike.
#define TLS_SESSIONS 4096

struct tls_kept_session {
    br_ssl_session_parameters params; // id of length 0: none
    int64_t until_s;
    uint64_t peer; // whom it was made with
};

struct tls_server {
    _Atomic int32_t holders;
    struct tls_identity *identity[TLS_SERVER_IDENTITIES_MAX];
    uint32_t identity_n;
    bool strict_sni;
    uint32_t suites; // bits by index
    struct tls_trust *client_ca;
    struct tls_peer *peer;
    uint32_t peer_n;
    pthread_mutex_t lock; // of the sessions: handshakes run on many threads
    struct tls_kept_session session[TLS_SESSIONS];
};

// --- tls_server.c: the server's part of a handshake. The policy is a field of it, and so is the cache.
struct tls_policy {
    const br_ssl_server_policy_class *vtable;
    br_ssl_server_context *sc;
    struct tls_server *server;
};
struct tls_cache {
    const br_ssl_session_cache_class *vtable;
    struct tls_server *server;
    uint64_t *peer; // of this handshake
    int64_t now_s;
};
void tls_server_arm(br_ssl_server_context *sc, struct tls_policy *policy, struct tls_cache *cache,
                    struct tls_server *server, uint64_t *peer, int64_t now_s);

// --- tls_pem.c: calls each(ctx, name of the object, DER) for every object; false from it ends the walk. RW_E_BAD: damaged.
typedef bool (*tls_pem_each_fn)(void *ctx, const char *name, struct span der);
enum rw_err tls_pem_each(struct span pem, tls_pem_each_fn each, void *ctx) RW_WARN_UNUSED;
bool tls_pem_is_certificate(const char *name);

// --- tls_skey.c: the first private key of a PEM text, or a key in DER form: PKCS#8, PKCS#1 or SEC 1; RSA of 2048 to 4096 bits or
// EC on P-256, P-384 or P-521. passphrase: of an encrypted key; may be empty. NULL, or a text that completes "FILE: ...".
struct tls_skey_decoder {
    br_skey_decoder_context d;
    // BearSSL 0.6 takes the decoder's last field, of 3 x 512 bytes, for 3 x 520 long: this is for a crafted key.
    uint8_t room[64];
};
static_assert(sizeof(struct tls_skey_decoder) >= offsetof(br_skey_decoder_context, key_data) + 3 * 520,
              "what the decoder may write to");
const char *tls_skey_read(struct span pem, struct span passphrase, struct tls_skey *ret);
const char *tls_skey_read_der(struct span der, struct tls_skey *ret);

// --- tls_pbes.c: what an ENCRYPTED PRIVATE KEY holds, into out. NULL, or a text as above; out must be wiped in either case.
const char *tls_pbes_open(struct span der, struct span passphrase, uint8_t *out, uint32_t cap,
                          uint32_t *ret_n);

// --- tls_cert.c: what BearSSL does not say of a certificate. Spans point into it.
struct tls_cert {
    struct span issuer, subject; // Names, whole
    int64_t not_before_s, not_after_s; // Unix time
    struct span public_key; // SubjectPublicKeyInfo, whole
    struct span san; // GeneralNames; empty: none
    struct span usages; // of extended key usage; empty: none
};
bool tls_cert_read(struct span der, struct tls_cert *ret);
// A DNS name of it, or a wildcard of one label, whatever the case.
bool tls_cert_has_name(const struct tls_cert *cert, struct span host);
bool tls_cert_has_ip(const struct tls_cert *cert, const uint8_t *ip, uint32_t ip_n);
// No extended key usage, or one that names this use: 1 for servers, 2 for clients (RFC 5280, 4.2.1.12).
bool tls_cert_may(const struct tls_cert *cert, uint8_t use);

// --- tls_peer.c: the id of the first of the server's peers whose certificate this is; 0: none.
uint64_t tls_peer_find(const struct tls_server *server, const struct tls_cert *cert);
void tls_peers_free(struct tls_server *server);

// --- tls_verify.c: BearSSL's chain validation, and the checks that it does not make.
struct tls_verify {
    const br_x509_class *vtable;
    br_x509_minimal_context minimal;
    int64_t now_s;
    const uint8_t *ip;
    uint32_t ip_n;
    uint8_t use; // see tls_cert_may()
    uint32_t certs; // seen
    uint32_t n; // bytes of the present one
    bool any_expired, any_early;
    bool end_self_signed, end_ip_ok, end_use_ok, end_readable;
    enum tls_why why;
    const struct tls_server *server; // whose peers are looked for; NULL: none are
    uint64_t peer;
    void (*seen)(void *ctx, struct span der); // may be NULL
    void *seen_ctx;
    uint8_t cert[TLS_CERT_BYTES_MAX];
};
void tls_verify_init(struct tls_verify *v, const struct tls_trust *trust, int64_t now_s, uint8_t use);

// --- tls_profile.c: what we offer and accept.
void tls_profile(br_ssl_engine_context *eng, uint32_t suites);
const char *tls_suite_name(uint16_t suite);
const char *tls_curve_name(int curve);

#endif
