// See plan_ready.h.
#include "gateway/plan_ready.h"

#include "gateway/access_log.h"
#include "wire/http.h"

static bool keep(const struct plan_room *room, const void *bytes, uint32_t n, struct span *ret)
{
    void *copy = room->take(room->ctx, n ? n : 1);
    if (!copy) return false;
    memcpy(copy, bytes, n);
    *ret = span_of(copy, n);
    return true;
}

// One line. A value that no header can hold is left out.
static void add_line(struct http_writer *w, const char *name, struct span value)
{
    w->bad = false;
    http_write_field(w, span_str(name), value);
}

static bool answer_lines(struct plan *p, const struct plan_room *room)
{
    const uint32_t cap = 256 + p->cors_origin.n + p->cors_headers.n;
    uint8_t *bytes = room->take(room->ctx, cap);
    if (!bytes) return false;
    struct http_writer w = http_writer(bytes, cap);
    if (p->cors_origin.n) add_line(&w, "access-control-allow-origin", p->cors_origin);
    add_line(&w, "access-control-allow-headers", p->cors_headers);
    add_line(&w, "access-control-allow-methods", SPAN("OPTIONS,POST,GET"));
    add_line(&w, "access-control-max-age", SPAN("86400"));
    MUST(!w.overflow);
    p->answer_lines = span_of(w.p, w.n);
    return true;
}

static bool model_lines(struct plan_model *m, struct span provider, const struct plan_room *room)
{
    const uint32_t cap = 64 + provider.n + m->upstream_model.n;
    uint8_t *bytes = room->take(room->ctx, cap);
    if (!bytes) return false;
    struct http_writer w = http_writer(bytes, cap);
    add_line(&w, "x-ringway-provider", provider);
    if (m->upstream_model.n) add_line(&w, "x-ringway-model", m->upstream_model);
    MUST(!w.overflow);
    m->answer_lines = span_of(w.p, w.n);
    return true;
}

enum rw_err gateway_plan_ready(struct plan *p, struct plan_model *models, struct principal *keys,
                               const struct plan_room *room)
{
    char *piece = room->take(room->ctx, ACCESS_TARGET_BYTES_MAX + ACCESS_PRINCIPAL_BYTES_MAX);
    if (!piece || !answer_lines(p, room)) return (enum rw_err) - ENOMEM;
    for (uint32_t i = 0; i < p->model_count; i++) {
        struct plan_model *m = &models[i];
        const struct span provider = p->providers[m->provider].name;
        const struct access_record r = {.dialect = SPAN("openai"),
                                        .model = m->name,
                                        .provider = provider,
                                        .upstream_model = m->upstream_model};
        if (!model_lines(m, provider, room) ||
            !keep(room, piece, access_log_prepare_target(&r, piece), &m->log_target))
            return (enum rw_err) - ENOMEM;
    }
    for (uint32_t i = 0; i < p->principal_count; i++) {
        struct principal *k = &keys[i];
        const struct access_record r = {.tenant = k->tenant, .team = k->team, .key = k->name};
        if (!keep(room, piece, access_log_prepare_principal(&r, piece), &k->log_line))
            return (enum rw_err) - ENOMEM;
    }
    return RW_OK;
}
