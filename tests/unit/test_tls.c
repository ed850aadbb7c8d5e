// Goal: a handshake of ours ends as BearSSL's whole engine would have it, records differ from the engine's in nothing, and what
// cannot be trusted is refused for the right reason.
// Method: BearSSL's server engine, run whole, is the peer, in memory; certificates of tests/data/tls (valid from November 2026
// for twenty years) and a clock of the test's own. TLS_CASES=1000000 runs the differential test longer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/guard.h"
#include "tls/tls_describe.h"
#include "tls/tls_priv.h"

#define YEAR_S (INT64_C(365) * 86400)
#define NOW_S INT64_C(1830000000) // December 2027
#define BOX_BYTES (256 * 1024)

static uint8_t file_bytes[4][16384];

static struct span read_file(const char *name, int place)
{
    char path[256];
    snprintf(path, sizeof path, "tests/data/tls/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(file_bytes[place], 1, sizeof file_bytes[place], f);
    fclose(f);
    return span_of(file_bytes[place], (uint32_t)n);
}

static struct tls_trust *trust_of(const char *name)
{
    struct tls_trust *t = NULL;
    uint32_t skipped = 9;
    assert_int_equal(tls_trust_make(read_file(name, 0), &t, &skipped), RW_OK);
    assert_int_equal(skipped, 0);
    return t;
}

static struct tls_identity *identity_of(const char *kind)
{
    char chain[32], key[32];
    const char *why = "";
    snprintf(chain, sizeof chain, "%s.pem", kind);
    snprintf(key, sizeof key, "%s.key", kind);
    struct tls_identity *id = tls_identity_make(read_file(chain, 1), read_file(key, 2), SPAN(""), &why);
    assert_string_equal(why, "");
    assert_non_null(id);
    return id;
}

// --- The peer.

struct peer {
    br_ssl_server_context sc;
    struct tls_identity *id;
    uint8_t ibuf[BR_SSL_BUFSIZE_INPUT], obuf[BR_SSL_BUFSIZE_OUTPUT];
    br_ssl_session_cache_lru cache;
    uint8_t cache_store[4096];
};

static void peer_open(struct peer *p, const char *kind, uint16_t suite)
{
    p->id = identity_of(kind);
    br_ssl_server_zero(&p->sc);
    br_ssl_engine_context *eng = &p->sc.eng;
    tls_profile(eng, TLS_SUITES_ALL);
    if (suite) br_ssl_engine_set_suites(eng, &suite, 1);
    if (p->id->skey.type == BR_KEYTYPE_RSA)
        br_ssl_server_set_single_rsa(&p->sc, p->id->chain, p->id->chain_n, &p->id->skey.key.rsa,
                                     BR_KEYTYPE_SIGN, br_rsa_private_get_default(),
                                     br_rsa_pkcs1_sign_get_default());
    else
        br_ssl_server_set_single_ec(&p->sc, p->id->chain, p->id->chain_n, &p->id->skey.key.ec,
                                    BR_KEYTYPE_SIGN, 0, br_ec_get_default(),
                                    br_ecdsa_sign_asn1_get_default());
    br_ssl_engine_remove_flags(eng, BR_OPT_NO_RENEGOTIATION);
    br_ssl_session_cache_lru_init(&p->cache, p->cache_store, sizeof p->cache_store);
    br_ssl_server_set_cache(&p->sc, &p->cache.vtable);
    br_ssl_engine_set_buffers_bidi(eng, p->ibuf, sizeof p->ibuf, p->obuf, sizeof p->obuf);
    assert_int_equal(br_ssl_server_reset(&p->sc), 1);
}

// What the peer has to send, all of it.
static uint32_t peer_take(struct peer *p, uint8_t *out)
{
    uint32_t n = 0;
    size_t have;
    unsigned char *from;
    while ((from = br_ssl_engine_sendrec_buf(&p->sc.eng, &have)) != NULL) {
        memcpy(out + n, from, have);
        n += (uint32_t)have;
        br_ssl_engine_sendrec_ack(&p->sc.eng, have);
    }
    return n;
}

// Gives the peer records; what it reads out of them lands in plain.
static uint32_t peer_give(struct peer *p, const uint8_t *in, uint32_t n, uint8_t *plain)
{
    uint32_t got = 0;
    for (;;) {
        size_t room;
        unsigned char *to = br_ssl_engine_recvapp_buf(&p->sc.eng, &room);
        if (to) {
            memcpy(plain + got, to, room);
            got += (uint32_t)room;
            br_ssl_engine_recvapp_ack(&p->sc.eng, room);
            continue;
        }
        to = br_ssl_engine_recvrec_buf(&p->sc.eng, &room);
        if (!to || n == 0) return got;
        if (room > n) room = n;
        memcpy(to, in, room);
        in += room;
        n -= (uint32_t)room;
        br_ssl_engine_recvrec_ack(&p->sc.eng, room);
    }
}

// --- A handshake between the two; our side gets its input in pieces of `step` bytes.

struct ours {
    struct tls_records records;
    struct tls_session session;
    struct tls_info info;
    enum tls_why why;
    uint32_t turns;
};

static struct guard guard;
static uint8_t box[BOX_BYTES], plain_box[BOX_BYTES];
_Alignas(16) static uint8_t memory[TLS_HANDSHAKE_BYTES];

static void shake(struct ours *o, struct peer *p, struct tls_client *client, uint32_t step, int64_t now_s)
{
    const struct tls_session offered = o->session;
    struct tls_handshake *h = tls_client_start(memory, client, &offered, now_s * 1000000000);
    uint32_t have = 0, at = 0;
    *o = (struct ours){.why = TLS_OK};
    for (;;) {
        const uint32_t left = have - at;
        struct tls_turn t = {.in = box + at, .in_n = left < step ? left : step};
        tls_handshake_turn(h, &t);
        o->turns++;
        at += t.used;
        if (t.out.n) (void)peer_give(p, t.out.p, t.out.n, plain_box);
        if (t.step == TLS_FAILED) {
            o->why = tls_handshake_why(h);
            break;
        }
        if (t.step == TLS_DONE) {
            tls_handshake_finish(h, &o->records, &o->session, &o->info);
            break;
        }
        if (t.step == TLS_WANTS_INPUT && at == have) {
            at = 0;
            have = peer_take(p, box);
            assert_true(have > 0);
        }
    }
    assert_int_equal(at, o->why == TLS_OK ? have : at);
    tls_handshake_end(h);
    for (size_t i = 0; i < sizeof(uint64_t) * 100; i++) assert_int_equal(memory[i], 0);
}

static const uint16_t ec_suites[] = {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                     BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                     BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256};
static const uint16_t rsa_suites[] = {BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                                      BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                                      BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256};

static struct peer peer;

static void connect_with(struct ours *o, const char *kind, uint16_t suite)
{
    struct tls_trust *trust = trust_of("ca.pem");
    struct tls_client *client = tls_client_make("server.test", trust, NULL);
    peer_open(&peer, kind, suite);
    *o = (struct ours){.why = TLS_OK};
    shake(o, &peer, client, UINT32_MAX, NOW_S);
    tls_client_let_go(client);
    tls_trust_let_go(trust);
}

static void disconnect(void)
{
    tls_identity_let_go(peer.id);
}

static void test_handshake__every_suite_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1, 2, 5, 6, 100, UINT32_MAX};
    struct tls_trust *trust = trust_of("ca.pem");
    struct tls_client *client = tls_client_make("server.test", trust, NULL);
    for (int i = 0; i < 6; i++) {
        const uint16_t suite = i < 3 ? ec_suites[i] : rsa_suites[i - 3];
        struct ours o = {.why = TLS_OK};
        peer_open(&peer, i < 3 ? "ec" : "rsa", suite);
        shake(&o, &peer, client, steps[i], NOW_S);
        assert_string_equal(tls_why_name(o.why), "ok");
        assert_string_equal(o.info.suite, tls_suite_name(suite));
        assert_string_equal(o.info.curve, "X25519");
        assert_string_equal(o.info.alpn, "http/1.1");
        assert_false(o.info.resumed);
        assert_true(br_ssl_engine_current_state(&peer.sc.eng) & BR_SSL_SENDAPP);
        assert_string_equal(br_ssl_engine_get_server_name(&peer.sc.eng), "server.test");
        disconnect();
    }
    tls_client_let_go(client);
    tls_trust_let_go(trust);
}

static void test_handshake__resumed(void **state)
{
    (void)state;
    struct tls_trust *trust = trust_of("ca.pem");
    struct tls_client *client = tls_client_make("server.test", trust, NULL);
    struct ours o = {.why = TLS_OK};
    peer_open(&peer, "ec", 0);
    shake(&o, &peer, client, UINT32_MAX, NOW_S);
    assert_true(o.session.usable);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(br_ssl_server_reset(&peer.sc), 1);
        shake(&o, &peer, client, i == 0 ? 1 : UINT32_MAX, NOW_S);
        assert_int_equal(o.why, TLS_OK);
        assert_true(o.info.resumed);
        assert_string_equal(o.info.curve, "");
    }
    // A server that has forgotten it makes a new one.
    br_ssl_session_cache_lru_init(&peer.cache, peer.cache_store, sizeof peer.cache_store);
    assert_int_equal(br_ssl_server_reset(&peer.sc), 1);
    shake(&o, &peer, client, UINT32_MAX, NOW_S);
    assert_int_equal(o.why, TLS_OK);
    assert_false(o.info.resumed);
    disconnect();
    tls_client_let_go(client);
    tls_trust_let_go(trust);
}

static void test_handshake__names_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *host, *trust;
        int64_t now_s;
        enum tls_why why;
    } cases[] = {
        {"server.test", "ca.pem", NOW_S, TLS_OK},
        {"SERVER.test", "ca.pem", NOW_S, TLS_OK},
        {"a.wild.test", "ca.pem", NOW_S, TLS_OK},
        {"wild.test", "ca.pem", NOW_S, TLS_WRONG_HOST},
        {"a.b.wild.test", "ca.pem", NOW_S, TLS_WRONG_HOST},
        {"other.test", "ca.pem", NOW_S, TLS_WRONG_HOST},
        {"10.1.2.3", "ca.pem", NOW_S, TLS_OK},
        {"10.1.2.4", "ca.pem", NOW_S, TLS_WRONG_HOST},
        {"2001:db8::1", "ca.pem", NOW_S, TLS_OK},
        {"2001:db8::2", "ca.pem", NOW_S, TLS_WRONG_HOST},
        {"server.test", "ca.pem", NOW_S - 10 * YEAR_S, TLS_NOT_YET_VALID},
        {"server.test", "ca.pem", 0, TLS_NOT_YET_VALID},
        {"server.test", "ca.pem", NOW_S + 40 * YEAR_S, TLS_EXPIRED},
        {"server.test", "rsa.pem", NOW_S, TLS_UNKNOWN_CA},
        {"server.test", "ec.pem", NOW_S, TLS_OK}, // the very certificate is trusted
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_trust *trust = trust_of(cases[i].trust);
        struct tls_client *client = tls_client_make(cases[i].host, trust, NULL);
        struct ours o = {.why = TLS_OK};
        peer_open(&peer, "ec", 0);
        shake(&o, &peer, client, UINT32_MAX, cases[i].now_s);
        if (o.why != cases[i].why) print_error("case %zu, %s\n", i, cases[i].host);
        assert_string_equal(tls_why_name(o.why), tls_why_name(cases[i].why));
        assert_true(o.why == TLS_OK || strlen(tls_why_text(o.why)) > 10);
        disconnect();
        tls_client_let_go(client);
        tls_trust_let_go(trust);
    }
}

// Whatever stands in a record of the handshake's first answer, a flipped bit never leads to a connection.
static void test_handshake__a_flipped_bit_never_connects(void **state)
{
    (void)state;
    struct tls_trust *trust = trust_of("ca.pem");
    struct tls_client *client = tls_client_make("server.test", trust, NULL);
    struct prng rng;
    prng_seed(&rng, 7);
    for (int i = 0; i < 150; i++) {
        peer_open(&peer, "ec", 0);
        struct tls_handshake *h = tls_client_start(memory, client, NULL, NOW_S * 1000000000);
        struct tls_turn t = {.in = box};
        tls_handshake_turn(h, &t);
        (void)peer_give(&peer, t.out.p, t.out.n, plain_box);
        const uint32_t n = peer_take(&peer, box);
        const uint32_t at = (uint32_t)(prng_next(&rng) % n);
        box[at] ^= (uint8_t)(1u << (prng_next(&rng) % 8));
        t = (struct tls_turn){.in = box, .in_n = n};
        tls_handshake_turn(h, &t);
        // The flaw may show on our side, or make our last flight worthless for the peer.
        if (t.step == TLS_WANTS_INPUT) {
            (void)peer_give(&peer, t.out.p, t.out.n, plain_box);
            assert_false(br_ssl_engine_current_state(&peer.sc.eng) & BR_SSL_SENDAPP);
        } else {
            assert_int_equal(t.step, TLS_FAILED);
        }
        tls_handshake_end(h);
        disconnect();
    }
    tls_client_let_go(client);
    tls_trust_let_go(trust);
}

static void test_handshake__another_protocol(void **state)
{
    (void)state;
    struct tls_trust *trust = trust_of("ca.pem");
    struct tls_client *client = tls_client_make("server.test", trust, NULL);
    struct tls_handshake *h = tls_client_start(memory, client, NULL, NOW_S * 1000000000);
    struct tls_turn t = {.in = box};
    tls_handshake_turn(h, &t);
    assert_int_equal(t.step, TLS_WANTS_INPUT);
    t = (struct tls_turn){.in = (const uint8_t *)"HTTP/1.1 400", .in_n = 12};
    tls_handshake_turn(h, &t);
    assert_int_equal(t.step, TLS_FAILED);
    assert_int_equal(tls_handshake_why(h), TLS_NOT_TLS);
    tls_handshake_end(h);
    tls_client_let_go(client);
    tls_trust_let_go(trust);
}

// --- Records.

static uint32_t any_length(struct prng *rng)
{
    static const uint32_t edges[] = {16383, 16384, 16385, 0, 1};
    const uint64_t r = prng_next(rng);
    if (r % 32 == 0) return edges[(r >> 8) % 5];
    return (uint32_t)(r >> 8) % 513;
}

static void fill(struct prng *rng, uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) p[i] = (uint8_t)prng_next(rng);
}

// Opens all records at box + off[0..n) into plain_box.
static uint32_t open_all(struct tls_records *r, uint8_t *at, uint32_t n)
{
    uint32_t got = 0;
    while (n > 0) {
        struct tls_opened o;
        assert_int_equal(tls_record_open(r, at, n, &o), 1);
        assert_true(o.used > 0 && o.used <= n && o.need == o.used);
        if (o.n) memcpy(plain_box + got, o.data, o.n);
        got += o.n;
        at += o.used;
        n -= o.used;
    }
    return got;
}

static void exchange(struct ours *o, struct prng *rng)
{
    static uint8_t text[32768];
    const uint32_t n = any_length(rng), off = (uint32_t)prng_next(rng) % 17;
    fill(rng, text, n);
    if (prng_next(rng) % 2) {
        // Ours to the engine, from a gather list of three.
        const uint32_t a = n ? (uint32_t)prng_next(rng) % n : 0,
                       b = n > a ? (uint32_t)prng_next(rng) % (n - a) : 0;
        const struct iovec iov[3] = {{text, a}, {text + a, b}, {text + a + b, n - a - b}};
        struct tls_gather g = {.iov = iov, .n = 3};
        const uint32_t sealed = tls_record_seal(&o->records, &g, box + off, BOX_BYTES - 32);
        assert_true(tls_gather_empty(&g) && sealed <= tls_seal_bytes(n));
        assert_int_equal(peer_give(&peer, box + off, sealed, plain_box), n);
        assert_memory_equal(plain_box, text, n);
        return;
    }
    uint32_t sealed = 0;
    for (uint32_t done = 0; done < n;) {
        size_t room;
        unsigned char *to = br_ssl_engine_sendapp_buf(&peer.sc.eng, &room);
        assert_non_null(to);
        if (room > n - done) room = n - done;
        memcpy(to, text + done, room);
        done += (uint32_t)room;
        br_ssl_engine_sendapp_ack(&peer.sc.eng, room);
        br_ssl_engine_flush(&peer.sc.eng, 0);
        sealed += peer_take(&peer, box + off + sealed);
    }
    assert_int_equal(open_all(&o->records, box + off, sealed), n);
    assert_memory_equal(plain_box, text, n);
}

static void test_records__as_the_engine_has_them(void **state)
{
    (void)state;
    const char *wish = getenv("TLS_CASES");
    const long cases = wish ? strtol(wish, NULL, 10) : 12000;
    struct prng rng;
    prng_seed(&rng, 1);
    for (int s = 0; s < 6; s++) {
        struct ours o;
        connect_with(&o, s < 3 ? "ec" : "rsa", s < 3 ? ec_suites[s] : rsa_suites[s - 3]);
        assert_int_equal(o.why, TLS_OK);
        for (long i = 0; i < cases / 6; i++) exchange(&o, &rng);
        disconnect();
    }
}

// A record of the peer with `n` bytes of plaintext, at the end of the guarded page.
static uint32_t peer_record(uint32_t n)
{
    size_t room;
    unsigned char *to = br_ssl_engine_sendapp_buf(&peer.sc.eng, &room);
    memset(to, 'x', n);
    br_ssl_engine_sendapp_ack(&peer.sc.eng, n);
    br_ssl_engine_flush(&peer.sc.eng, 0);
    return peer_take(&peer, box);
}

static void test_open__a_beginning_says_what_it_lacks(void **state)
{
    (void)state;
    struct ours o;
    connect_with(&o, "ec", 0);
    const uint32_t n = peer_record(100);
    for (uint32_t i = 0; i < n; i++) {
        struct tls_opened x;
        uint8_t *p = guard_put(&guard, box, i);
        assert_int_equal(tls_record_open(&o.records, p, i, &x), 0);
        assert_int_equal(x.need, i < 5 ? 5 : n);
    }
    assert_int_equal(open_all(&o.records, box, n), 100);
    disconnect();
}

static void test_open__every_flipped_bit_is_refused(void **state)
{
    (void)state;
    for (int s = 0; s < 2; s++) {
        struct ours o;
        connect_with(&o, "ec", s ? BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 : ec_suites[0]);
        const uint32_t n = peer_record(40);
        for (uint32_t bit = 0; bit < n * 8; bit++) {
            struct tls_records r = o.records;
            struct tls_opened x;
            uint8_t copy[256];
            memcpy(copy, box, n);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const int got = tls_record_open(&r, copy, n, &x);
            // A longer length only waits for more.
            assert_true(got == RW_E_BAD || (got == 0 && x.need > n));
            if (got != RW_E_BAD) continue;
            assert_non_null(x.why);
            assert_int_equal(tls_record_open(&r, box, n, &x), RW_E_BAD);
        }
        assert_int_equal(open_all(&o.records, box, n), 40);
        disconnect();
    }
}

static void test_open__goodbye_and_renegotiation(void **state)
{
    (void)state;
    struct ours o;
    struct tls_opened x;
    connect_with(&o, "rsa", 0);
    const uint32_t before = peer_record(10);
    assert_int_equal(open_all(&o.records, box, before), 10);
    assert_int_equal(br_ssl_engine_renegotiate(&peer.sc.eng), 1);
    uint32_t n = peer_take(&peer, box);
    assert_int_equal(tls_record_open(&o.records, box, n, &x), RW_E_BAD);
    assert_non_null(strstr(x.why, "renegotiate"));
    disconnect();

    connect_with(&o, "rsa", 0);
    br_ssl_engine_close(&peer.sc.eng);
    n = peer_take(&peer, box);
    assert_int_equal(tls_record_open(&o.records, box, n, &x), 1);
    assert_true(x.closed && x.n == 0 && o.records.closed_in);
    // And ours back.
    n = tls_record_alert(&o.records, TLS_ALERT_CLOSE, box);
    assert_true(n <= TLS_ALERT_BYTES_MAX);
    (void)peer_give(&peer, box, n, plain_box);
    assert_int_equal(br_ssl_engine_current_state(&peer.sc.eng), BR_SSL_CLOSED);
    assert_int_equal(br_ssl_engine_last_error(&peer.sc.eng), 0);
    disconnect();
}

// --- Files.

static void test_identity__what_is_refused(void **state)
{
    (void)state;
    static const char other[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    const char *why = NULL;
    assert_null(tls_identity_make(read_file("ec.pem", 0), read_file("rsa.key", 1), SPAN(""), &why));
    assert_string_equal(why, "the certificate and the key do not belong together");
    assert_null(tls_identity_make(read_file("ec.pem", 0), read_file("ca.key", 1), SPAN(""), &why));
    assert_string_equal(why, "the certificate and the key do not belong together");
    assert_null(tls_identity_make(read_file("ec.key", 0), read_file("ec.key", 1), SPAN(""), &why));
    assert_string_equal(why, "it holds no certificate");
    assert_null(tls_identity_make(read_file("ec.pem", 0), span_of(other, sizeof other - 1), SPAN(""), &why));
    assert_non_null(strstr(why, "encrypted"));
    assert_null(tls_identity_make(read_file("ec.pem", 0), SPAN("nothing"), SPAN(""), &why));
    assert_string_equal(why, "there is no private key");
    // Cut anywhere before its last line, a key is refused.
    const struct span key = read_file("rsa.key", 1);
    for (uint32_t n = 0; n + 30 < key.n; n += 13)
        assert_null(tls_identity_make(read_file("rsa.pem", 0), span_of(key.p, n), SPAN(""), &why));
}

static void test_trust__counts_and_refuses(void **state)
{
    (void)state;
    struct tls_trust *t = NULL;
    uint32_t skipped = 0;
    assert_int_equal(tls_trust_make(SPAN(""), &t, &skipped), RW_E_NOT_FOUND);
    assert_int_equal(tls_trust_make(read_file("ec.key", 0), &t, &skipped), RW_E_NOT_FOUND);
    assert_int_equal(tls_trust_make(SPAN("-----BEGIN CERTIFICATE-----\n$$$\n"), &t, &skipped), RW_E_BAD);
    assert_int_equal(tls_trust_make(SPAN("-----BEGIN CERTIFICATE-----\nMAAA\n"), &t, &skipped), RW_E_BAD);
    char two[8192];
    const struct span a = read_file("ca.pem", 0), b = read_file("rsa.pem", 1);
    static const char junk[] = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n";
    const int n = snprintf(two, sizeof two, "comment\n%.*s%s%.*s", (int)a.n, a.p, junk, (int)b.n - 1, b.p);
    assert_int_equal(tls_trust_make(span_of(two, (uint32_t)n), &t, &skipped), RW_OK);
    assert_int_equal(tls_trust_count(t), 2);
    assert_int_equal(skipped, 1);
    tls_trust_let_go(t);
}

static struct span der_seen;
static uint8_t der_bytes[4096];

static bool keep_der(void *ctx, const char *name, struct span der)
{
    (void)ctx;
    assert_true(tls_pem_is_certificate(name));
    memcpy(der_bytes, der.p, der.n);
    der_seen = span_of(der_bytes, der.n);
    return true;
}

static void test_describe__words_of_a_certificate(void **state)
{
    (void)state;
    static uint8_t bytes[2048];
    struct tls_description d;
    FILE *f = fopen("tests/data/fuzz/pem/cert_names_c_der", "rb"); // behind the letter that says DER
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f) - 1;
    fclose(f);
    assert_true(tls_describe(span_of(bytes + 1, n), &d));
    assert_string_equal(d.subject, "a.example");
    assert_string_equal(d.issuer, "a.example");
    assert_string_equal(d.names, "a.example, *.b.example, 127.0.0.1, ::1");
    assert_string_equal(d.key, "EC P-256");
    assert_true(d.self_signed);
    // Control characters of a name do not reach a terminal; names that are too many end in dots.
    for (size_t i = 1; i + 9 < n; i++)
        if (memcmp(bytes + i, "a.example", 9) == 0) bytes[i] = 0x1b;
    assert_true(tls_describe(span_of(bytes + 1, n), &d));
    assert_string_equal(d.subject, "?.example");
    for (size_t cut = 0; cut < n; cut++) assert_false(tls_describe(span_of(bytes + 1, cut), &d));
}

static void test_expires__the_first_of_a_chain(void **state)
{
    (void)state;
    struct tls_cert c;
    static uint8_t both[8192];
    const struct span ca = read_file("ca.pem", 0), rsa = read_file("rsa.pem", 1);
    memcpy(both, ca.p, ca.n);
    memcpy(both + ca.n, rsa.p, rsa.n);
    const int64_t one = tls_expires_s(ca), other = tls_expires_s(rsa), first = one < other ? one : other;
    assert_true(one > NOW_S && one < INT64_MAX && other > NOW_S && one != other);
    assert_int_equal(tls_pem_each(rsa, keep_der, NULL), RW_OK);
    assert_true(tls_cert_read(der_seen, &c));
    assert_int_equal(other, c.not_after_s);
    assert_int_equal(tls_expires_s(span_of(both, ca.n + rsa.n)), first);
    assert_int_equal(tls_expires_s(SPAN("")), INT64_MAX);
    assert_int_equal(tls_expires_s(span_of(ca.p, ca.n / 2)), INT64_MAX);
}

static void test_certificate__read_and_cut_anywhere(void **state)
{
    (void)state;
    static const uint8_t ip[] = {10, 1, 2, 3}, other[] = {10, 1, 2, 4};
    struct tls_cert c;
    assert_int_equal(tls_pem_each(read_file("ec.pem", 0), keep_der, NULL), RW_OK);
    assert_true(tls_cert_read(der_seen, &c));
    assert_true(c.not_before_s < NOW_S && c.not_after_s > NOW_S + 10 * YEAR_S);
    assert_true(tls_cert_has_ip(&c, ip, 4));
    assert_false(tls_cert_has_ip(&c, other, 4));
    static const struct {
        const char *host;
        bool has;
    } names[] = {
        {"server.test", true},   {"Server.TEST", true}, {"a.wild.test", true},   {"a.b.wild.test", false},
        {"wild.test", false},    {".wild.test", false}, {"other.test", false},   {"", false},
        {"xserver.test", false}, {"*.wild.test", true}, {"server.test.x", false}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(tls_cert_has_name(&c, span_str(names[i].host)), names[i].has);
    assert_true(tls_cert_may(&c, 1));
    assert_false(tls_cert_may(&c, 2));
    assert_false(span_eq(c.issuer, c.subject));
    for (uint32_t n = 0; n < der_seen.n; n++) {
        uint8_t *p = guard_put(&guard, der_seen.p, n);
        assert_false(tls_cert_read(span_of(p, n), &c));
    }
    // Any byte may be anything: nothing is read beyond the end.
    for (uint32_t at = 0; at < der_seen.n; at++) {
        uint8_t *p = guard_put(&guard, der_seen.p, der_seen.n);
        p[at] = (uint8_t)~p[at];
        if (tls_cert_read(span_of(p, der_seen.n), &c)) (void)tls_cert_has_ip(&c, ip, 4);
    }
}

int main(void)
{
    guard = guard_open(16384);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake__every_suite_in_pieces_of_any_size),
        cmocka_unit_test(test_handshake__resumed),
        cmocka_unit_test(test_handshake__names_and_times),
        cmocka_unit_test(test_handshake__a_flipped_bit_never_connects),
        cmocka_unit_test(test_handshake__another_protocol),
        cmocka_unit_test(test_records__as_the_engine_has_them),
        cmocka_unit_test(test_open__a_beginning_says_what_it_lacks),
        cmocka_unit_test(test_open__every_flipped_bit_is_refused),
        cmocka_unit_test(test_open__goodbye_and_renegotiation),
        cmocka_unit_test(test_identity__what_is_refused),
        cmocka_unit_test(test_trust__counts_and_refuses),
        cmocka_unit_test(test_describe__words_of_a_certificate),
        cmocka_unit_test(test_expires__the_first_of_a_chain),
        cmocka_unit_test(test_certificate__read_and_cut_anywhere),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
