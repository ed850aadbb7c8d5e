// What a server decides in a handshake: which certificate, and which session is resumed.
#include <stdlib.h>
#include <string.h>

#include "tls/tls_priv.h"

// RFC 5246, F.1.4 suggests at most a day.
#define SESSION_S 3600

// --- Which certificate.

static bool is_named(const struct tls_identity *id, struct span name)
{
    struct tls_cert c;
    return tls_cert_read(span_of(id->chain[0].data, (uint32_t)id->chain[0].data_len), &c) &&
        tls_cert_has_name(&c, name);
}

// BearSSL's own policy for one certificate takes the rest over: it finds a suite and makes the signature.
static bool choose_one(br_ssl_server_context *sc, const struct tls_identity *id,
                       br_ssl_server_choices *choices)
{
    if (id->skey.type == BR_KEYTYPE_RSA)
        br_ssl_server_set_single_rsa(sc, id->chain, id->chain_n, &id->skey.key.rsa, BR_KEYTYPE_SIGN,
                                     br_rsa_private_get_default(), br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_server_set_single_ec(sc, id->chain, id->chain_n, &id->skey.key.ec, BR_KEYTYPE_SIGN,
                                    (unsigned)id->issuer_key_type, br_ec_get_default(),
                                    br_ecdsa_sign_asn1_get_default());
    return (*sc->policy_vtable)->choose(sc->policy_vtable, sc, choices) != 0;
}

// First those of the name that was asked for, in their order (an EC and an RSA one may stand for the same name); then
// all, unless names are strict.
static int choose(const br_ssl_server_policy_class **ctx, const br_ssl_server_context *sc,
                  br_ssl_server_choices *choices)
{
    struct tls_policy *p = (struct tls_policy *)(void *)ctx;
    const struct tls_server *s = p->server;
    const char *asked = br_ssl_engine_get_server_name(&sc->eng);
    for (uint32_t i = 0; *asked && i < s->identity_n; i++)
        if (is_named(s->identity[i], span_str(asked)) && choose_one(p->sc, s->identity[i], choices)) return 1;
    for (uint32_t i = 0; !s->strict_sni && i < s->identity_n; i++)
        if (choose_one(p->sc, s->identity[i], choices)) return 1;
    return 0;
}

static const br_ssl_server_policy_class policy_class = {.context_size = sizeof(struct tls_policy),
                                                        .choose = choose};

// --- Sessions.

static struct tls_kept_session *place(struct tls_server *s, const br_ssl_session_parameters *p)
{
    uint32_t at;
    memcpy(&at, p->session_id, sizeof at); // random, made by the engine
    return &s->session[at % TLS_SESSIONS];
}

static void save(const br_ssl_session_cache_class **ctx, br_ssl_server_context *sc,
                 const br_ssl_session_parameters *params)
{
    const struct tls_cache *c = (const struct tls_cache *)(const void *)ctx;
    (void)sc;
    pthread_mutex_lock(&c->server->lock);
    *place(c->server, params) =
        (struct tls_kept_session){.params = *params, .until_s = c->now_s + SESSION_S, .peer = *c->peer};
    pthread_mutex_unlock(&c->server->lock);
}

static int load(const br_ssl_session_cache_class **ctx, br_ssl_server_context *sc,
                br_ssl_session_parameters *params)
{
    const struct tls_cache *c = (const struct tls_cache *)(const void *)ctx;
    (void)sc;
    if (params->session_id_len != sizeof params->session_id) return 0;
    pthread_mutex_lock(&c->server->lock);
    const struct tls_kept_session *k = place(c->server, params);
    const bool found = k->params.session_id_len == sizeof params->session_id && c->now_s < k->until_s &&
        crypto_equal(k->params.session_id, params->session_id, sizeof params->session_id);
    if (found) {
        *params = k->params;
        *c->peer = k->peer;
    }
    pthread_mutex_unlock(&c->server->lock);
    return found;
}

static const br_ssl_session_cache_class cache_class = {
    .context_size = sizeof(struct tls_cache), .save = save, .load = load};

void tls_server_arm(br_ssl_server_context *sc, struct tls_policy *policy, struct tls_cache *cache,
                    struct tls_server *server, uint64_t *peer, int64_t now_s)
{
    *policy = (struct tls_policy){.vtable = &policy_class, .sc = sc, .server = server};
    *cache = (struct tls_cache){.vtable = &cache_class, .server = server, .peer = peer, .now_s = now_s};
    br_ssl_server_set_policy(sc, &policy->vtable);
    br_ssl_server_set_cache(sc, &cache->vtable);
    br_ssl_engine_add_flags(&sc->eng, BR_OPT_ENFORCE_SERVER_PREFERENCES | BR_OPT_FAIL_ON_ALPN_MISMATCH);
    if (server->client_ca)
        br_ssl_server_set_trust_anchor_names_alt(sc, server->client_ca->anchor, server->client_ca->count);
}

// --- Beginning and end.

struct tls_server *tls_server_make(struct tls_identity *const *identity, uint32_t count,
                                   struct tls_trust *client_ca, bool strict_sni)
{
    MUST(count > 0 && count <= TLS_SERVER_IDENTITIES_MAX);
    struct tls_server *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    atomic_store(&s->holders, 1);
    pthread_mutex_init(&s->lock, NULL);
    for (uint32_t i = 0; i < count; i++) s->identity[i] = tls_identity_hold(identity[i]);
    s->identity_n = count;
    s->strict_sni = strict_sni;
    s->suites = TLS_SUITES_ALL;
    s->client_ca = client_ca ? tls_trust_hold(client_ca) : NULL;
    return s;
}

struct tls_server *tls_server_hold(struct tls_server *s)
{
    atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    return s;
}

void tls_server_let_go(struct tls_server *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) > 1) return;
    for (uint32_t i = 0; i < s->identity_n; i++) tls_identity_let_go(s->identity[i]);
    tls_trust_let_go(s->client_ca);
    tls_peers_free(s);
    pthread_mutex_destroy(&s->lock);
    crypto_wipe(s, sizeof *s);
    free(s);
}
