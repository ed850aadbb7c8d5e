// PEM texts (RFC 7468), object by object.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls_priv.h"

// What an object may have; a DER form is always shorter than its text.
struct object {
    uint8_t *bytes;
    size_t n, cap;
};

static void append(void *ctx, const void *data, size_t n)
{
    struct object *o = ctx;
    MUST(n <= o->cap - o->n);
    memcpy(o->bytes + o->n, data, n);
    o->n += n;
}

bool tls_pem_is_certificate(const char *name)
{
    return strcmp(name, "CERTIFICATE") == 0 || strcmp(name, "X509 CERTIFICATE") == 0;
}

enum rw_err tls_pem_each(struct span pem, tls_pem_each_fn each, void *ctx)
{
    struct object o = {.bytes = malloc(pem.n + 1), .cap = pem.n};
    if (!o.bytes) return (enum rw_err) - ENOMEM;
    br_pem_decoder_context pd;
    br_pem_decoder_init(&pd);
    enum rw_err err = RW_OK;
    char name[128] = "";
    bool inside = false, ended = false;
    // The decoder wants a line end behind the last line, which not every file has.
    for (uint32_t at = 0; err == RW_OK && !ended;) {
        const bool tail = at == pem.n;
        const size_t used =
            tail ? br_pem_decoder_push(&pd, "\n", 1) : br_pem_decoder_push(&pd, pem.p + at, pem.n - at);
        if (!tail) at += (uint32_t)used;
        switch (br_pem_decoder_event(&pd)) {
        case BR_PEM_BEGIN_OBJ:
            snprintf(name, sizeof name, "%s", br_pem_decoder_name(&pd));
            o.n = 0;
            inside = true;
            br_pem_decoder_setdest(&pd, append, &o);
            break;
        case BR_PEM_END_OBJ:
            inside = false;
            if (!each(ctx, name, span_of(o.bytes, (uint32_t)o.n))) ended = true;
            break;
        case BR_PEM_ERROR: err = RW_E_BAD; break;
        default: break;
        }
        if (tail && used == 1) ended = true;
    }
    if (err == RW_OK && inside) err = RW_E_BAD;
    crypto_wipe(o.bytes, pem.n + 1);
    free(o.bytes);
    return err;
}
