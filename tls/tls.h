// TLS 1.2 (RFC 5246) without I/O: handshakes and records over bytes that somebody else receives and sends.
//
// Handshake  tls_client_start() or tls_server_start() in memory lent for it; then tls_handshake_turn() with what has been
//            received, send what it gives, until it is done or failed; tls_handshake_finish() hands over the keys,
//            tls_handshake_end() wipes the memory. A turn may verify and make signatures (0.3 to 5 ms): it is a pure function
//            over the handshake's memory and its input, and belongs on a thread of the offload pool.
// Records    struct tls_records: opened in place where they were received, sealed from a gather list into one run of bytes.
//            About 700 bytes, movable by memcpy; nothing else is kept of a connection.
// Refused    anything older or newer than TLS 1.2; renegotiation; suites without forward secrecy or authenticated encryption;
//            RSA keys below 2048 bits; SHA-1 and MD5 in certificates.
//
// Owner    tls_trust, tls_identity, tls_client and tls_server are counted; whoever makes one holds it once, a handshake holds
//          its client or server. All else is the caller's memory.
// Thread   any, one at a time for each handshake or connection. Never suspends.
// Errors   enum tls_why for handshakes, with a text for people that names the mend; RW_E_BAD with a reason for records.
#ifndef RINGWAY_TLS_TLS_H
#define RINGWAY_TLS_TLS_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

// --- Why there is no connection. X(symbol, name for machines, text for people: completes "No TLS connection to X: ...")
#define TLS_WHYS(X) \
    X(TLS_OK, "ok", "") \
    X(TLS_UNKNOWN_CA, "unknown_ca", \
      "its certificate is not signed by a known CA, or intermediate certificates are missing; name the " \
      "CA's " \
      "certificate in ca_file") \
    X(TLS_SELF_SIGNED, "self_signed", \
      "its certificate is self-signed; if it is the right one, name it in ca_file") \
    X(TLS_EXPIRED, "expired", "a certificate of its chain has expired; it has to be renewed there") \
    X(TLS_NOT_YET_VALID, "not_yet_valid", \
      "a certificate of its chain is not valid yet; check this machine's clock") \
    X(TLS_WRONG_HOST, "wrong_host", \
      "its certificate is for another host; check base_url (connect_to changes the address and keeps the " \
      "name)") \
    X(TLS_WRONG_USE, "wrong_use", "its certificate is not meant for this use (extended key usage)") \
    X(TLS_CRITICAL_EXTENSION, "critical_extension", \
      "its certificate has a critical extension that is not understood here (such as name constraints)") \
    X(TLS_WEAK_KEY, "weak_key", "a certificate of its chain has an RSA key below 2048 bits") \
    X(TLS_BAD_ALGORITHM, "bad_algorithm", \
      "a certificate of its chain uses an algorithm that is not accepted (SHA-1, MD5, RSA-PSS, Ed25519)") \
    X(TLS_BAD_CERTIFICATE, "bad_certificate", "its certificate chain is damaged or in the wrong order") \
    X(TLS_VERSION, "version", \
      "it does not speak TLS 1.2 (perhaps TLS 1.3 only); put a TLS proxy that does in between") \
    X(TLS_NO_COMMON_SUITE, "no_common_suite", \
      "there is no common cipher suite or curve; it needs ECDHE with AES-GCM or ChaCha20-Poly1305") \
    X(TLS_NEEDS_CERTIFICATE, "needs_certificate", \
      "it does not accept the certificate of this gateway, or wants one; set client_certificate and " \
      "client_key") \
    X(TLS_ALERT, "alert", "it ended the handshake with an alert") \
    X(TLS_NOT_TLS, "not_tls", "it does not speak TLS on this port; check the port, or use http://") \
    X(TLS_PROTOCOL, "protocol", "it broke the TLS protocol") \
    X(TLS_CUT, "cut", "it closed the connection during the TLS handshake") \
    X(TLS_TIMEOUT, "timeout", "the TLS handshake was not done within timeouts.tls") \
    X(TLS_BUSY, "busy", "too many TLS handshakes are waiting") \
    X(TLS_NO_MEMORY, "no_memory", "there was no memory for the TLS handshake")

#define X(symbol, name, text) symbol,
enum tls_why { TLS_WHYS(X) TLS_WHY_COUNT };
#undef X

// Never NULL.
const char *tls_why_name(enum tls_why why);
const char *tls_why_text(enum tls_why why);

// --- Whom to trust.

struct tls_trust;

// From PEM text. A certificate that cannot be an anchor is skipped and counted. RW_E_NOT_FOUND: there is none at all;
// RW_E_BAD: the text is damaged.
enum rw_err tls_trust_make(struct span pem, struct tls_trust **ret, uint32_t *ret_skipped) RW_WARN_UNUSED;
struct tls_trust *tls_trust_hold(struct tls_trust *trust);
void tls_trust_let_go(struct tls_trust *trust); // NULL is harmless
uint32_t tls_trust_count(const struct tls_trust *trust);

// --- A certificate chain (the end's own first) and its private key, RSA 2048 to 4096 bits or EC on P-256, P-384 or P-521.

struct tls_identity;

// From PEM text. passphrase: of an encrypted key; may be empty. NULL with *ret_why, a text that completes "FILE: ...".
struct tls_identity *tls_identity_make(struct span chain_pem, struct span key_pem, struct span passphrase,
                                       const char **ret_why);
struct tls_identity *tls_identity_hold(struct tls_identity *identity);
void tls_identity_let_go(
    struct tls_identity *identity); // NULL is harmless; wipes the key when it was the last

// --- A client: what connections to one server have in common.

struct tls_client;

// host: a DNS name, which is sent as SNI, or an IP address, which is not; the certificate must be for it. identity may be NULL.
// NULL: no memory. Holds trust and identity.
struct tls_client *tls_client_make(const char *host, struct tls_trust *trust, struct tls_identity *identity);
struct tls_client *tls_client_hold(struct tls_client *client);
void tls_client_let_go(struct tls_client *client); // NULL is harmless

// --- A server: what connections to one listener have in common, the sessions that may be resumed included.

struct tls_server;

// The certificate is chosen by the name that a client asks for (SNI); the first is for all others. client_ca: clients have to
// show a certificate that it signed; NULL: none is asked for. strict_sni: who asks for a name that no certificate has, or for
// none, is refused. NULL: no memory. Holds all of them.
struct tls_server *tls_server_make(struct tls_identity *const *identity, uint32_t count,
                                   struct tls_trust *client_ca, bool strict_sni);

// The cipher suites that are known, by OpenSSL's names ("ECDHE-RSA-AES128-GCM-SHA256"); index -1: no such.
#define TLS_SUITES 6
#define TLS_SUITES_ALL ((1u << TLS_SUITES) - 1)
const char *tls_suite_at(uint32_t index);
int tls_suite_find(const char *name);
// Only those of the mask (bits by index) are spoken; which of them comes first is what this machine does fastest. Once, before
// the first handshake. False: with none of them can an identity of the server's be used.
bool tls_server_suites(struct tls_server *server, uint32_t mask);

// A client that is known by its certificate: by one of its alternative names (DNS, URI, e-mail or IP address, as it stands
// there), or by attributes of its subject that must all be there, "CN=app,O=Corp" ("\\," for a comma in a value).
struct tls_peer {
    uint64_t id; // the caller's, not 0
    const char *san; // one of the two
    const char *subject;
};
// Those that a server with client_ca tells apart; the first that fits is it. Copied. Once, before the first handshake. False:
// no memory.
bool tls_server_peers(struct tls_server *server, const struct tls_peer *peers, uint32_t n);
// NULL: good; else what is wrong with it.
const char *tls_subject_check(const char *subject);
struct tls_server *tls_server_hold(struct tls_server *server);
void tls_server_let_go(struct tls_server *server); // NULL is harmless

// What a server may resume. As secret as the connection it comes from. All zero: nothing.
struct tls_session {
    uint8_t bytes[96];
    bool usable;
};

// --- Handshakes.

// Aligned to 16. Whoever lends it gets it back by tls_handshake_end().
#define TLS_HANDSHAKE_BYTES 65536

struct tls_handshake;

enum tls_step {
    TLS_WANTS_INPUT, // send `out`, then bring more
    TLS_WANTS_TURN, // send `out`, then take another turn; no input is needed
    TLS_DONE, // send `out`
    TLS_FAILED, // send `out` (an alert, perhaps) and close; tls_handshake_why() says why
};

struct tls_turn {
    // In: what was received and not yet used.
    const uint8_t *in;
    uint32_t in_n;
    // Out:
    uint32_t used; // of in; when done, what follows is records
    struct span out; // good until the next turn
    enum tls_step step;
};

// resume may be NULL. wall_ns: against which validity is checked.
struct tls_handshake *tls_client_start(void *memory, struct tls_client *client,
                                       const struct tls_session *resume, int64_t wall_ns);
struct tls_handshake *tls_server_start(void *memory, struct tls_server *server, int64_t wall_ns);
// seen(ctx, der) for every certificate that the peer shows, before it is judged. Before the first turn.
void tls_handshake_watch(struct tls_handshake *h, void (*seen)(void *ctx, struct span der), void *ctx);
void tls_handshake_turn(struct tls_handshake *h, struct tls_turn *t);
enum tls_why tls_handshake_why(const struct tls_handshake *h);
void tls_handshake_end(struct tls_handshake *h);

// For people; all texts are constants.
struct tls_info {
    const char *suite; // "ECDHE-RSA-AES128-GCM-SHA256"
    const char *curve; // "" when resumed
    const char *alpn; // "": the peer chose none
    bool resumed;
    uint64_t peer; // of a client: tls_peer.id, also when resumed; 0: none fits
};

// --- Records.

#define TLS_PLAIN_BYTES_MAX 16384
#define TLS_RECORD_HEAD_BYTES 5
// A sealed record: header, explicit nonce, tag.
#define TLS_SEAL_BYTES_MAX 29
#define TLS_RECORD_BYTES_MAX (TLS_PLAIN_BYTES_MAX + TLS_SEAL_BYTES_MAX)
#define TLS_ALERT_BYTES_MAX (2 + TLS_SEAL_BYTES_MAX)

// Opaque; wipe it when the connection is gone.
struct tls_records {
    _Alignas(16) uint8_t in[320];
    _Alignas(16) uint8_t out[320];
    bool gcm;
    bool closed_in; // close_notify came
    bool broken; // a record was bad: nothing more is opened
};

// Of a handshake that is done; each of the three may be NULL.
void tls_handshake_finish(const struct tls_handshake *h, struct tls_records *ret,
                          struct tls_session *ret_session, struct tls_info *ret_info);

struct tls_opened {
    uint8_t *data; // in place; n may be 0 (empty records are legal, and some alerts mean nothing)
    uint32_t n;
    uint32_t used; // bytes of the record
    uint32_t need; // when it is not whole: of the whole record, or of its header
    bool closed; // it was close_notify: nothing follows
    const char *why; // of RW_E_BAD
};

// The record at the front of in[0..n), which is overwritten. 1: opened; 0: not whole yet; RW_E_BAD: the connection is broken.
int tls_record_open(struct tls_records *r, uint8_t *in, uint32_t n, struct tls_opened *ret) RW_WARN_UNUSED;

// Where in a gather list one is.
struct tls_gather {
    const struct iovec *iov;
    uint32_t n;
    uint32_t at;
    size_t off; // in iov[at]
};
static inline bool tls_gather_empty(const struct tls_gather *g)
{
    return g->at == g->n;
}

// Seals records one behind the other into out, as much as cap holds (TLS_RECORD_BYTES_MAX or more, or room for all). Returns
// the bytes written, 0 if nothing was left to be sealed.
uint32_t tls_record_seal(struct tls_records *r, struct tls_gather *from, uint8_t *out, uint32_t cap);
// The room that n bytes need.
uint32_t tls_seal_bytes(uint64_t n);

#define TLS_ALERT_CLOSE 0
#define TLS_ALERT_BAD_RECORD 20
// TLS_ALERT_BYTES_MAX bytes at out. Returns their number.
uint32_t tls_record_alert(struct tls_records *r, uint8_t alert, uint8_t *out);

#endif
