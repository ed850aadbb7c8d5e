// Private keys: BearSSL's decoder takes them apart, and this keeps what it must not be given away from it, checks what it does
// not, and moves the numbers out of it.
#include <stdlib.h>
#include <string.h>

#include "tls/tls_priv.h"

// The longest, of RSA with 4096 bits in PKCS#8, has 2,375 bytes.
#define KEY_BYTES_MAX 8192
#define RSA_PART_BYTES_MAX (4096 / 16 + 1) // of each of the five numbers, a leading zero included
#define EC_BYTES_MAX 67 // P-521, and a leading zero

static_assert(5 * RSA_PART_BYTES_MAX <= sizeof((struct tls_skey *)0)->bytes, "the numbers of one key");

static const char too_large[] = "its private key is larger than any that is accepted";

static void adopt(struct tls_skey *k, unsigned char **part, size_t n, size_t *at)
{
    MUST(n <= sizeof k->bytes - *at);
    memcpy(k->bytes + *at, *part, n);
    *part = k->bytes + *at;
    *at += n;
}

static bool is_odd(const uint8_t *p, size_t n)
{
    return n > 0 && (p[n - 1] & 1);
}

static const char *adopt_rsa(struct tls_skey *k, const br_rsa_private_key *rsa)
{
    size_t at = 0;
    const size_t most = RSA_PART_BYTES_MAX;
    const bool fits = rsa->plen <= most && rsa->qlen <= most && rsa->dplen <= most && rsa->dqlen <= most &&
        rsa->iqlen <= most;
    if (rsa->n_bitlen < 2048 || rsa->n_bitlen > 4096 || !fits)
        return "its RSA key must have 2048 to 4096 bits";
    // With an even factor the arithmetic means nothing.
    if (!is_odd(rsa->p, rsa->plen) || !is_odd(rsa->q, rsa->qlen)) return "its RSA key is damaged";
    k->key.rsa = *rsa;
    adopt(k, &k->key.rsa.p, rsa->plen, &at);
    adopt(k, &k->key.rsa.q, rsa->qlen, &at);
    adopt(k, &k->key.rsa.dp, rsa->dplen, &at);
    adopt(k, &k->key.rsa.dq, rsa->dqlen, &at);
    adopt(k, &k->key.rsa.iq, rsa->iqlen, &at);
    k->type = BR_KEYTYPE_RSA;
    return NULL;
}

static const char *adopt_ec(struct tls_skey *k, const br_ec_private_key *ec)
{
    size_t at = 0;
    const bool known =
        ec->curve == BR_EC_secp256r1 || ec->curve == BR_EC_secp384r1 || ec->curve == BR_EC_secp521r1;
    if (!known || ec->xlen > EC_BYTES_MAX) return "its EC key must be on P-256, P-384 or P-521";
    k->key.ec = *ec;
    adopt(k, &k->key.ec.x, ec->xlen, &at);
    k->type = BR_KEYTYPE_EC;
    return NULL;
}

const char *tls_skey_read_der(struct span der, struct tls_skey *ret)
{
    if (der.n > KEY_BYTES_MAX) return too_large;
    struct tls_skey_decoder *d = malloc(sizeof *d);
    if (!d) return "out of memory";
    const char *why;
    br_skey_decoder_init(&d->d);
    br_skey_decoder_push(&d->d, der.p, der.n);
    const br_rsa_private_key *rsa = br_skey_decoder_get_rsa(&d->d);
    const br_ec_private_key *ec = br_skey_decoder_get_ec(&d->d);
    if (br_skey_decoder_last_error(&d->d) || (!rsa && !ec)) {
        why = "its private key is damaged, or neither RSA nor EC";
    } else {
        why = rsa ? adopt_rsa(ret, rsa) : adopt_ec(ret, ec);
    }
    crypto_wipe(d, sizeof *d);
    free(d);
    return why;
}

static const char *read_encrypted(struct span der, struct span passphrase, struct tls_skey *ret)
{
    uint32_t n;
    if (passphrase.n == 0) return "its key is encrypted: name a file with its passphrase in passphrase_file";
    if (der.n > KEY_BYTES_MAX) return too_large;
    uint8_t *plain = malloc(KEY_BYTES_MAX);
    if (!plain) return "out of memory";
    const char *why = tls_pbes_open(der, passphrase, plain, KEY_BYTES_MAX, &n);
    if (!why) why = tls_skey_read_der(span_of(plain, n), ret);
    crypto_wipe(plain, KEY_BYTES_MAX);
    free(plain);
    return why;
}

struct finding {
    struct tls_skey *key;
    struct span passphrase;
    const char *why;
};

static bool find_key(void *ctx, const char *name, struct span der)
{
    struct finding *f = ctx;
    const struct span kind = span_str(name);
    if (span_eq(kind, SPAN("ENCRYPTED PRIVATE KEY"))) f->why = read_encrypted(der, f->passphrase, f->key);
    else if (span_eq(kind, SPAN("RSA PRIVATE KEY")) || span_eq(kind, SPAN("EC PRIVATE KEY")) ||
             span_eq(kind, SPAN("PRIVATE KEY")))
        f->why = tls_skey_read_der(der, f->key);
    else return true;
    return false;
}

// OpenSSL's own form of before 2016, with header lines before the Base64 text.
static bool is_old_encrypted(struct span pem)
{
    static const char mark[] = "Proc-Type: 4,ENCRYPTED";
    return pem.n > 0 && memmem(pem.p, pem.n, mark, sizeof mark - 1) != NULL;
}

const char *tls_skey_read(struct span pem, struct span passphrase, struct tls_skey *ret)
{
    struct finding f = {.key = ret, .passphrase = passphrase};
    ret->type = 0;
    if (is_old_encrypted(pem))
        return "its key is encrypted in a way that is not known here; write it anew with openssl pkcs8 "
               "-topk8 -v2 aes-256-cbc "
               "-in OLD -out NEW";
    if (tls_pem_each(pem, find_key, &f) && !f.why) return "its key is not PEM text, or damaged";
    if (!f.why && !ret->type) return "there is no private key";
    return f.why;
}
