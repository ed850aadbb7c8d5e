// Handshakes, by BearSSL's engine. It is fed record by record and never sees a byte behind the last one of the handshake; its
// output is copied, so that a whole flight leaves at once and the engine goes on in the same turn.
#include <string.h>

#include "tls/tls_priv.h"

#define MAGIC UINT32_C(0x746c7368)
// A client's last flight without certificate has 250 bytes; longer ones take several turns.
#define FLIGHT_BYTES 4096

struct tls_handshake {
    uint32_t magic;
    enum tls_why why;
    struct tls_client *client; // one of the two
    struct tls_server *server;
    br_ssl_engine_context *eng;
    struct tls_verify verify;
    union {
        br_ssl_client_context client;
        br_ssl_server_context server;
    } ctx;
    struct tls_policy policy; // of a server
    struct tls_cache cache;
    bool offered; // a session to resume
    bool talked; // something of the peer was seen
    uint8_t offered_id[32];
    uint32_t flight_n;
    uint8_t flight[FLIGHT_BYTES];
    uint8_t ibuf[BR_SSL_BUFSIZE_INPUT];
    uint8_t obuf[BR_SSL_BUFSIZE_OUTPUT];
};

static_assert(sizeof(struct tls_handshake) <= TLS_HANDSHAKE_BYTES, "what is lent suffices");
static_assert(sizeof(br_ssl_session_parameters) <= sizeof((struct tls_session *)0)->bytes, "a session fits");

static void set_identity(br_ssl_client_context *cc, const struct tls_identity *id)
{
    if (id->skey.type == BR_KEYTYPE_RSA)
        br_ssl_client_set_single_rsa(cc, id->chain, id->chain_n, &id->skey.key.rsa,
                                     br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_client_set_single_ec(cc, id->chain, id->chain_n, &id->skey.key.ec, BR_KEYTYPE_SIGN,
                                    (unsigned)id->issuer_key_type, br_ec_get_default(),
                                    br_ecdsa_sign_asn1_get_default());
}

struct tls_handshake *tls_client_start(void *memory, struct tls_client *client,
                                       const struct tls_session *resume, int64_t wall_ns)
{
    struct tls_handshake *h = memory;
    memset(h, 0, offsetof(struct tls_handshake, verify));
    h->magic = MAGIC;
    h->client = tls_client_hold(client);
    tls_verify_init(&h->verify, client->trust, wall_ns / 1000000000, 1);
    h->verify.ip = client->ip;
    h->verify.ip_n = client->ip_n;
    br_ssl_client_context *cc = &h->ctx.client;
    br_ssl_client_zero(cc);
    h->eng = &cc->eng;
    tls_profile(h->eng, TLS_SUITES_ALL);
    br_ssl_engine_set_x509(h->eng, &h->verify.vtable);
    if (client->identity) set_identity(cc, client->identity);
    br_ssl_engine_set_buffers_bidi(h->eng, h->ibuf, sizeof h->ibuf, h->obuf, sizeof h->obuf);
    h->offered = resume && resume->usable;
    if (h->offered) {
        br_ssl_session_parameters p;
        memcpy(&p, resume->bytes, sizeof p);
        br_ssl_engine_set_session_parameters(h->eng, &p);
        memcpy(h->offered_id, p.session_id, sizeof h->offered_id);
        crypto_wipe(&p, sizeof p);
    }
    h->flight_n = 0;
    // An address is not a name: it is not sent, and the certificate is looked at for it by verify.
    const bool reset = br_ssl_client_reset(cc, client->ip_n ? NULL : client->host, h->offered);
    MUST(reset);
    return h;
}

struct tls_handshake *tls_server_start(void *memory, struct tls_server *server, int64_t wall_ns)
{
    struct tls_handshake *h = memory;
    const int64_t now_s = wall_ns / 1000000000;
    memset(h, 0, offsetof(struct tls_handshake, verify));
    h->magic = MAGIC;
    h->server = tls_server_hold(server);
    br_ssl_server_context *sc = &h->ctx.server;
    br_ssl_server_zero(sc);
    h->eng = &sc->eng;
    tls_profile(h->eng, server->suites);
    if (server->client_ca) {
        tls_verify_init(&h->verify, server->client_ca, now_s, 2);
        br_ssl_engine_set_x509(h->eng, &h->verify.vtable);
        h->verify.server = server;
    } else {
        h->verify.peer = 0;
        h->verify.why = TLS_OK;
        h->verify.certs = 0;
    }
    tls_server_arm(sc, &h->policy, &h->cache, server, &h->verify.peer, now_s);
    br_ssl_engine_set_buffers_bidi(h->eng, h->ibuf, sizeof h->ibuf, h->obuf, sizeof h->obuf);
    h->offered = h->talked = false;
    h->flight_n = 0;
    const bool reset = br_ssl_server_reset(sc);
    MUST(reset);
    return h;
}

// What the engine gave up for, in our words.
static enum tls_why why_of(const struct tls_handshake *h, int err)
{
    if (h->verify.why != TLS_OK) return h->verify.why;
    if (err >= BR_ERR_RECV_FATAL_ALERT && err < BR_ERR_SEND_FATAL_ALERT) {
        switch (err - BR_ERR_RECV_FATAL_ALERT) {
        // Once the peer has shown its certificate, suite and curve are agreed upon: what it lacks is ours.
        case 40: return h->verify.certs > 0 ? TLS_NEEDS_CERTIFICATE : TLS_NO_COMMON_SUITE;
        case 42: // bad_certificate
        case 43: // unsupported_certificate
        case 44: // certificate_revoked
        case 45: // certificate_expired
        case 46: // certificate_unknown
        case 48: // unknown_ca
        case 49: // access_denied
        case 116: return TLS_NEEDS_CERTIFICATE;
        case 70: return TLS_VERSION;
        case 71: return TLS_NO_COMMON_SUITE; // insufficient_security
        default: return TLS_ALERT;
        }
    }
    if (err == BR_ERR_UNSUPPORTED_VERSION || err == BR_ERR_BAD_VERSION) return TLS_VERSION;
    if (err == BR_ERR_BAD_CIPHER_SUITE || err == BR_ERR_INVALID_ALGORITHM) return TLS_NO_COMMON_SUITE;
    return TLS_PROTOCOL;
}

static void fail(struct tls_handshake *h, struct tls_turn *t, enum tls_why why)
{
    h->why = why;
    t->step = TLS_FAILED;
}

// Moves what the engine wants to send to the flight. False: it is full.
static bool take_flight(struct tls_handshake *h)
{
    size_t n;
    unsigned char *p;
    while ((p = br_ssl_engine_sendrec_buf(h->eng, &n)) != NULL) {
        const size_t room = sizeof h->flight - h->flight_n;
        if (n > room) n = room;
        if (n == 0) return false;
        memcpy(h->flight + h->flight_n, p, n);
        h->flight_n += (uint32_t)n;
        br_ssl_engine_sendrec_ack(h->eng, n);
    }
    return true;
}

// Feeds the engine no more than what it asks for: a record's header, then its body.
static bool feed(struct tls_handshake *h, struct tls_turn *t)
{
    size_t n;
    unsigned char *p = br_ssl_engine_recvrec_buf(h->eng, &n);
    const size_t have = t->in_n - t->used;
    if (!p || have == 0) return false;
    if (n > have) n = have;
    memcpy(p, t->in + t->used, n);
    t->used += (uint32_t)n;
    br_ssl_engine_recvrec_ack(h->eng, n);
    return true;
}

static void run(struct tls_handshake *h, struct tls_turn *t)
{
    if (!h->talked && t->in_n > 0) {
        // A handshake or an alert: anything else is another protocol, which the engine would only call strange.
        h->talked = true;
        if (t->in[0] != 0x16 && t->in[0] != 0x15) {
            fail(h, t, TLS_NOT_TLS);
            return;
        }
    }
    for (;;) {
        const bool taken = take_flight(h);
        const unsigned state = br_ssl_engine_current_state(h->eng);
        if (state == BR_SSL_CLOSED) {
            const int err = br_ssl_engine_last_error(h->eng);
            fail(h, t, err == BR_ERR_OK ? TLS_CUT : why_of(h, err));
            return;
        }
        if (!taken) {
            t->step = TLS_WANTS_TURN;
            return;
        }
        if (state & BR_SSL_SENDAPP) {
            // Handshake bytes behind the end in the same record would be a renegotiation.
            if (h->eng->ixa != h->eng->ixb) fail(h, t, TLS_PROTOCOL);
            else t->step = TLS_DONE;
            return;
        }
        if (feed(h, t)) continue;
        t->step = TLS_WANTS_INPUT;
        return;
    }
}

void tls_handshake_watch(struct tls_handshake *h, void (*seen)(void *ctx, struct span der), void *ctx)
{
    h->verify.seen = seen;
    h->verify.seen_ctx = ctx;
}

void tls_handshake_turn(struct tls_handshake *h, struct tls_turn *t)
{
    MUST(h->magic == MAGIC && h->why == TLS_OK);
    t->used = 0;
    h->flight_n = 0;
    run(h, t);
    t->out = span_of(h->flight, h->flight_n);
}

enum tls_why tls_handshake_why(const struct tls_handshake *h)
{
    return h->why;
}

void tls_handshake_end(struct tls_handshake *h)
{
    MUST(h->magic == MAGIC);
    tls_client_let_go(h->client);
    tls_server_let_go(h->server);
    crypto_wipe(h, sizeof *h);
}

void tls_handshake_finish(const struct tls_handshake *h, struct tls_records *ret,
                          struct tls_session *ret_session, struct tls_info *ret_info)
{
    const br_ssl_engine_context *eng = h->eng;
    if (ret) {
        static_assert(sizeof eng->in.gcm <= sizeof ret->in && sizeof eng->in.chapol <= sizeof ret->in,
                      "keys fit");
        *ret = (struct tls_records){.gcm = eng->in.vtable == &br_sslrec_in_gcm_vtable.inner};
        MUST(ret->gcm || eng->in.vtable == &br_sslrec_in_chapol_vtable.inner);
        const size_t n = ret->gcm ? sizeof eng->in.gcm : sizeof eng->in.chapol;
        memcpy(ret->in, &eng->in, n);
        memcpy(ret->out, &eng->out, n);
    }
    const br_ssl_session_parameters *p = &eng->session;
    const bool resumed = h->offered && h->verify.certs == 0 && p->session_id_len == 32 &&
        memcmp(p->session_id, h->offered_id, 32) == 0;
    if (ret_session) {
        *ret_session = (struct tls_session){.usable = p->session_id_len == 32};
        if (ret_session->usable) memcpy(ret_session->bytes, p, sizeof *p);
    }
    if (ret_info)
        *ret_info = (struct tls_info){.suite = tls_suite_name(p->cipher_suite),
                                      .curve = resumed ? "" : tls_curve_name(eng->ecdhe_curve),
                                      .alpn = eng->selected_protocol == 1 ? "http/1.1" : "",
                                      .resumed = resumed,
                                      .peer = h->verify.peer};
}
