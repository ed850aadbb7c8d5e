// Records after the handshake, by BearSSL's record contexts on our own buffers.
#include <string.h>

#include "tls/tls_priv.h"

#define VERSION_HIGH 0x03
#define VERSION_LOW 0x03
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE 22
#define TYPE_DATA 23
// Header and explicit nonce before the plaintext; tag behind it.
#define GCM_HEAD 13
#define CHAPOL_HEAD 5
#define TAG_BYTES 16

static_assert(GCM_HEAD + TAG_BYTES == TLS_SEAL_BYTES_MAX, "the larger of the two");

// The contexts begin with their class; see BearSSL's br_sslrec_in_class.
static const br_sslrec_in_class **in_of(struct tls_records *r)
{
    return (const br_sslrec_in_class **)(void *)r->in;
}

static const br_sslrec_out_class **out_of(struct tls_records *r)
{
    return (const br_sslrec_out_class **)(void *)r->out;
}

static int broken(struct tls_records *r, struct tls_opened *ret, const char *why)
{
    r->broken = true;
    ret->why = why;
    return RW_E_BAD;
}

static int opened_alert(struct tls_records *r, struct tls_opened *ret)
{
    const uint8_t *a = ret->data;
    if (ret->n != 2) return broken(r, ret, "a damaged TLS alert");
    ret->n = 0;
    if (a[1] == TLS_ALERT_CLOSE) {
        r->closed_in = ret->closed = true;
        return 1;
    }
    // A warning ends nothing (RFC 5246, 7.2.2).
    return a[0] == 1 ? 1 : broken(r, ret, "the peer ended TLS with an alert");
}

int tls_record_open(struct tls_records *r, uint8_t *in, uint32_t n, struct tls_opened *ret)
{
    *ret = (struct tls_opened){.need = TLS_RECORD_HEAD_BYTES};
    if (r->broken) return broken(r, ret, "the TLS connection is broken");
    if (n < TLS_RECORD_HEAD_BYTES) return 0;
    const uint32_t payload = (uint32_t)in[3] << 8 | in[4];
    const br_sslrec_in_class **ctx = in_of(r);
    if (in[1] != VERSION_HIGH || in[2] != VERSION_LOW)
        return broken(r, ret, "a TLS record of another version");
    if (!(*ctx)->check_length(ctx, payload)) return broken(r, ret, "a TLS record of an impossible length");
    ret->need = TLS_RECORD_HEAD_BYTES + payload;
    if (n < ret->need) return 0;
    size_t plain_n = payload;
    uint8_t *plain = (*ctx)->decrypt(ctx, in[0], BR_TLS12, in + TLS_RECORD_HEAD_BYTES, &plain_n);
    if (!plain) return broken(r, ret, "a TLS record was damaged or forged on the way");
    if (plain_n > TLS_PLAIN_BYTES_MAX) return broken(r, ret, "a TLS record of an impossible length");
    ret->used = ret->need;
    ret->data = plain;
    ret->n = (uint32_t)plain_n;
    switch (in[0]) {
    case TYPE_DATA: return r->closed_in ? broken(r, ret, "data behind the end of TLS") : 1;
    case TYPE_ALERT: return opened_alert(r, ret);
    case TYPE_HANDSHAKE: return broken(r, ret, "the peer wants to renegotiate TLS, which is refused here");
    default: return broken(r, ret, "a TLS record of an unknown kind");
    }
}

static uint32_t head_bytes(const struct tls_records *r)
{
    return r->gcm ? GCM_HEAD : CHAPOL_HEAD;
}

// n bytes of plaintext lie at out + head_bytes(). Returns the record's length.
static uint32_t seal(struct tls_records *r, uint8_t type, uint8_t *out, uint32_t n)
{
    const br_sslrec_out_class **ctx = out_of(r);
    size_t len = n;
    uint8_t *record = (*ctx)->encrypt(ctx, type, BR_TLS12, out + head_bytes(r), &len);
    MUST(record == out);
    return (uint32_t)len;
}

static uint32_t gather(struct tls_gather *from, uint8_t *out, uint32_t cap)
{
    uint32_t n = 0;
    while (from->at < from->n) {
        const struct iovec *v = &from->iov[from->at];
        const size_t left = v->iov_len - from->off;
        const uint32_t take = left < cap - n ? (uint32_t)left : cap - n;
        if (take > 0) memcpy(out + n, (const uint8_t *)v->iov_base + from->off, take);
        n += take;
        from->off += take;
        if (from->off < v->iov_len) break;
        from->at++;
        from->off = 0;
    }
    return n;
}

uint32_t tls_record_seal(struct tls_records *r, struct tls_gather *from, uint8_t *out, uint32_t cap)
{
    const uint32_t head = head_bytes(r);
    uint32_t n = 0;
    while (!tls_gather_empty(from) && cap - n > head + TAG_BYTES) {
        const uint32_t room = cap - n - head - TAG_BYTES;
        const uint32_t plain =
            gather(from, out + n + head, room < TLS_PLAIN_BYTES_MAX ? room : TLS_PLAIN_BYTES_MAX);
        if (plain > 0) n += seal(r, TYPE_DATA, out + n, plain);
    }
    return n;
}

uint32_t tls_seal_bytes(uint64_t n)
{
    const uint64_t records = n / TLS_PLAIN_BYTES_MAX + 1, all = n + records * TLS_SEAL_BYTES_MAX;
    return all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
}

uint32_t tls_record_alert(struct tls_records *r, uint8_t alert, uint8_t *out)
{
    uint8_t *at = out + head_bytes(r);
    at[0] = alert == TLS_ALERT_CLOSE ? 1 : 2;
    at[1] = alert;
    return seal(r, TYPE_ALERT, out, 2);
}
