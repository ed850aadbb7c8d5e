// See credential.h.
#include "gateway/credential.h"

#include <stdlib.h>

#include "gateway/ask.h"
#include "gateway/worker.h"

// --- One of them.

static struct credential *make(size_t n, int64_t expires_s)
{
    struct credential *c = n <= CREDENTIAL_BYTES_MAX ? calloc(1, sizeof *c + n) : NULL;
    if (!c) return NULL;
    atomic_init(&c->refs, 1);
    c->expires_s = expires_s;
    return c;
}

static struct span keep(struct credential *c, struct span s)
{
    uint8_t *at = c->bytes + c->n;
    if (s.n) memcpy(at, s.p, s.n);
    c->n += s.n;
    return span_of(at, s.n);
}

struct credential *credential_fields(struct span lines, int64_t expires_s)
{
    MUST(lines.n > 0);
    struct credential *c = make(lines.n, expires_s);
    if (c) c->lines = keep(c, lines);
    return c;
}

struct credential *credential_sigv4(const struct sigv4_credentials *aws, struct span region,
                                    struct span service, int64_t expires_s)
{
    const size_t n =
        (size_t)aws->access_key.n + aws->secret_key.n + aws->session_token.n + region.n + service.n;
    struct sigv4_signer fits;
    if (sigv4_signer_init(&fits, aws, region, service)) return NULL;
    sigv4_signer_wipe(&fits);
    struct credential *c = make(n, expires_s);
    if (!c) return NULL;
    c->aws = (struct sigv4_credentials){.access_key = keep(c, aws->access_key),
                                        .secret_key = keep(c, aws->secret_key),
                                        .session_token = keep(c, aws->session_token)};
    c->region = keep(c, region);
    c->service = keep(c, service);
    return c;
}

const struct credential *credential_hold(const struct credential *c)
{
    if (c) atomic_fetch_add_explicit(&((struct credential *)c)->refs, 1, memory_order_relaxed);
    return c;
}

void credential_drop(const struct credential *c)
{
    struct credential *own = (struct credential *)c;
    if (!own || atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) > 1) return;
    crypto_wipe(own->bytes, own->n);
    free(own);
}

void credential_seat_take(struct credential_seat *seat, const struct credential *c)
{
    if (seat->credential == c) return;
    credential_drop(seat->credential);
    sigv4_signer_wipe(&seat->signer);
    seat->credential = credential_hold(c);
    if (!c || c->lines.n) return;
    const enum rw_err err = sigv4_signer_init(&seat->signer, &c->aws, c->region, c->service);
    MUST(!err); // it was tried when it was made
}

// --- In a request.

static struct credential_seat *seat_of(const struct ask *a)
{
    return &a->worker->credentials[a->provider->credential - 1];
}

static int fail(struct ask *a, int err, enum rw_end end, const char *detail)
{
    a->end = end;
    a->detail = detail;
    return err;
}

static int hash_body(const struct ask *a, uint8_t ret[CRYPTO_SHA256_BYTES], enum rw_end *ret_end)
{
    struct crypto_sha256 hash;
    uint32_t slice = 0;
    crypto_sha256_init(&hash);
    for (uint32_t i = 0; i < a->body_iov; i++) {
        const uint8_t *p = a->body[i].iov_base;
        for (size_t left = a->body[i].iov_len; left > 0;) {
            const size_t n = left < IO_BYTES_PER_SLICE ? left : IO_BYTES_PER_SLICE;
            crypto_sha256_update(&hash, p, n);
            p += n;
            left -= n;
            slice += (uint32_t)n;
            if (slice < IO_BYTES_PER_SLICE) continue;
            slice = 0;
            if (fiber_yield() == 0) continue;
            const enum rw_end why = fiber_cancelled();
            *ret_end = why != END_OK ? why : END_CLIENT_GONE;
            return -ECANCELED;
        }
    }
    crypto_sha256_final(&hash, ret);
    return 0;
}

// The value of the field that a request's own lines begin with, if that is its content type.
static struct span content_type(struct span lines)
{
    const struct span name = SPAN("content-type: ");
    if (!span_starts(lines, name)) return SPAN("");
    const struct span value = span_from(lines, name.n);
    return (struct span){value.p, span_find(value, '\r')};
}

// prefix and path in one, without what a proxy needs to know.
static struct span target_of(struct ask *a)
{
    struct span prefix = a->provider->path_prefix;
    if (prefix.n && prefix.p[0] != '/') { // http://host/path
        prefix = span_from(prefix, span_find(prefix, '/') + 2);
        prefix = span_from(prefix, span_find(prefix, '/'));
    }
    uint8_t *bytes = arena_alloc(a->arena, prefix.n + a->path.n);
    if (!bytes) return (struct span){NULL, 0};
    if (prefix.n) memcpy(bytes, prefix.p, prefix.n);
    memcpy(bytes + prefix.n, a->path.p, a->path.n);
    return span_of(bytes, prefix.n + a->path.n);
}

static bool sign(struct ask *a, struct sigv4_request *rq, struct span target, struct sigv4_signed *ret)
{
    const struct plan_provider *p = a->provider;
    struct sigv4_field field[SIGV4_FIELDS_MAX];
    const struct span type = content_type(a->fields);
    const uint32_t cut = span_find(target, '?');
    rq->method = http_method_name(a->method);
    rq->path = (struct span){target.p, cut};
    rq->query = span_from(target, cut + 1);
    rq->field = field;
    rq->now_s = a->worker->loop.wall_ns / CLOCK_SEC;
    MUST(p->signed_fields < SIGV4_FIELDS_MAX);
    for (; rq->fields < p->signed_fields; rq->fields++) field[rq->fields] = p->signed_field[rq->fields];
    if (type.n) field[rq->fields++] = (struct sigv4_field){SPAN("content-type"), type};
    const bool good = sigv4_sign(&seat_of(a)->signer, rq, ret) == RW_OK;
    rq->field = NULL; // they were this function's
    return good;
}

static int authorize_signed(struct ask *a)
{
    struct sigv4_request rq = {.payload = SIGV4_HASHED};
    MUST(!a->upload); // providers whose requests are signed have none that is passed through unread
    const int r = hash_body(a, rq.payload_sha256, &a->end);
    if (r < 0) return r;
    const struct span target = target_of(a);
    struct sigv4_signed *made = arena_alloc(a->arena, sizeof *made);
    if (!made || !target.p) return fail(a, RW_E_BUDGET, END_OVERLOADED, "memory");
    if (!sign(a, &rq, target, made))
        return fail(a, RW_E_BAD, END_BAD_FIELD, "The model's name makes a path that cannot be signed.");
    uint32_t cap = 0;
    for (uint32_t i = 0; i < made->adds; i++) cap += made->add[i].name.n + made->add[i].value.n + 4;
    uint8_t *lines = arena_alloc(a->arena, cap);
    if (!lines) return fail(a, RW_E_BUDGET, END_OVERLOADED, "memory");
    struct http_writer w = http_writer(lines, cap);
    for (uint32_t i = 0; i < made->adds; i++) http_write_field(&w, made->add[i].name, made->add[i].value);
    if (w.bad || w.overflow) return fail(a, RW_E_BAD, END_NO_CREDENTIALS, "they hold control characters");
    a->authorization = span_of(lines, w.n);
    return 0;
}

int credential_authorize(struct ask *a)
{
    const struct credential *c = seat_of(a)->credential;
    if (!c) return fail(a, -EACCES, END_NO_CREDENTIALS, "there are none yet");
    if (c->expires_s && a->worker->loop.wall_ns / CLOCK_SEC >= c->expires_s)
        return fail(a, -EACCES, END_NO_CREDENTIALS, "they have expired and could not be renewed");
    if (!c->lines.n) return authorize_signed(a);
    // A copy: the seat may have another before the request is sent.
    a->authorization = arena_copy(a->arena, c->lines);
    return a->authorization.p ? 0 : fail(a, RW_E_BUDGET, END_OVERLOADED, "memory");
}
