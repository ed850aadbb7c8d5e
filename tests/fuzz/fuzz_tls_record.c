// Records behind the handshake: what was sealed is opened, whole and from pieces, in place; what was changed on the way is
// refused, and everything behind it; alerts end the connection or mean nothing; nothing else than data comes through. An input
// is a list of records to be sent and of what happens to them on the way, the first byte the choice of cipher.
#include "tests/fuzz/fuzz.h"
#include "tls/tls_aes.h"
#include "tls/tls_aes_priv.h"
#include "tls/tls_priv.h"

#define WIRE_BYTES 1024

struct script {
    const uint8_t *p;
    size_t left;
};

static uint8_t next(struct script *s)
{
    if (s->left == 0) return 0;
    s->left--;
    return *s->p++;
}

static struct span next_bytes(struct script *s)
{
    size_t n = next(s);
    if (n > s->left) n = s->left;
    const struct span bytes = span_of(s->p, (uint32_t)n);
    s->p += n;
    s->left -= n;
    return bytes;
}

// Both ends of one direction.
static void make_keys(struct tls_records *r, bool gcm)
{
    static const uint8_t key[32] = {1, 2, 3}, iv[12] = {4};
    *r = (struct tls_records){.gcm = gcm};
    void *in = r->in, *out = r->out;
    if (gcm) {
        br_sslrec_in_gcm_vtable.init(in, tls_aes()->ctr(), key, 16, tls_aes()->ghash(), iv);
        br_sslrec_out_gcm_vtable.init(out, tls_aes()->ctr(), key, 16, tls_aes()->ghash(), iv);
    } else {
        br_sslrec_in_chapol_vtable.init(in, br_chacha20_ct_run, br_poly1305_ctmul_run, key, iv);
        br_sslrec_out_chapol_vtable.init(out, br_chacha20_ct_run, br_poly1305_ctmul_run, key, iv);
    }
}

// A record of any kind, as a peer could send it.
static uint32_t seal_kind(struct tls_records *r, uint8_t kind, struct span text, uint8_t *out)
{
    const br_sslrec_out_class **ctx = (const br_sslrec_out_class **)(void *)r->out;
    uint8_t *at = out + (r->gcm ? 13 : 5);
    size_t n = text.n;
    if (n) memcpy(at, text.p, n);
    uint8_t *record = (*ctx)->encrypt(ctx, kind, BR_TLS12, at, &n);
    MUST(record == out);
    return (uint32_t)n;
}

static uint32_t seal_data(struct tls_records *r, struct span text, uint8_t *out)
{
    const uint32_t half = text.n / 2;
    const struct iovec iov[2] = {{(void *)(uintptr_t)text.p, half},
                                 {(void *)(uintptr_t)(text.p + half), text.n - half}};
    struct tls_gather g = {.iov = iov, .n = 2};
    const uint32_t n = tls_record_seal(r, &g, out, WIRE_BYTES);
    MUST(tls_gather_empty(&g) && n <= tls_seal_bytes(text.n));
    return n;
}

// Half a record says what it lacks, and stays as it was.
static void open_beginning(struct tls_records *r, const uint8_t *wire, uint32_t n, uint32_t cut)
{
    struct tls_opened o;
    uint8_t *p = fuzz_flush(0, wire, cut);
    MUST(tls_record_open(r, p, cut, &o) == 0);
    MUST(o.need == (cut < TLS_RECORD_HEAD_BYTES ? TLS_RECORD_HEAD_BYTES : n));
    MUST(cut == 0 || memcmp(p, wire, cut) == 0);
}

// What a record of this kind and text has to give. True: more may follow.
static bool check(int r, const struct tls_opened *o, uint8_t kind, struct span text, bool ended)
{
    const bool warning = kind == 21 && text.n == 2 && text.p[0] == 1 && text.p[1] != TLS_ALERT_CLOSE;
    const bool close = kind == 21 && text.n == 2 && text.p[1] == TLS_ALERT_CLOSE;
    if (kind == 23 && !ended)
        MUST(r == 1 && o->n == text.n && (o->n == 0 || memcmp(o->data, text.p, o->n) == 0));
    else if (close) MUST(r == 1 && o->n == 0 && o->closed);
    else if (warning) MUST(r == 1 && o->n == 0 && !o->closed);
    else MUST(r == RW_E_BAD && o->why);
    return r == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_records r;
    struct tls_opened o;
    struct script s = {data, size};
    uint8_t wire[WIRE_BYTES];
    if (size > FUZZ_BYTES_MAX) return 0;
    make_keys(&r, next(&s) & 1);
    bool open = true;
    while (s.left > 0 && open) {
        const uint8_t what = next(&s) & 3, kind = what == 1 ? next(&s) : 23;
        const bool ended = r.closed_in;
        const struct span text = next_bytes(&s);
        uint32_t n = what == 3 ? text.n
            : what == 1        ? seal_kind(&r, kind, text, wire)
                               : seal_data(&r, text, wire);
        if (n == 0) continue; // no data makes no record
        if (what == 3) memcpy(wire, text.p, n);
        if (what == 2) {
            const uint32_t at = next(&s) % n;
            wire[at] ^= (uint8_t)(next(&s) | 1);
        }
        if (what < 2) open_beginning(&r, wire, n, fuzz_number(data, size, n, n));
        const int result = tls_record_open(&r, fuzz_flush(1, wire, n), n, &o);
        if (what < 2) open = check(result, &o, kind, text, ended);
        else MUST(result <= 0); // changed or made up: at most it is not whole
        // What is not whole would be waited for.
        open = open && what < 2;
    }
    if (open && !r.closed_in) {
        const uint32_t n = tls_record_alert(&r, TLS_ALERT_CLOSE, wire);
        MUST(n <= TLS_ALERT_BYTES_MAX && tls_record_open(&r, wire, n, &o) == 1 && o.closed);
    }
    if (r.broken) MUST(tls_record_open(&r, wire, 0, &o) == RW_E_BAD && o.why);
    return 0;
}
