// See plan_ready.h.
#include "gateway/plan_ready.h"

#include "base/fmt.h"
#include "gateway/access_log.h"
#include "policy/price.h"
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

static bool model_lines(struct plan_model *m, struct span plan_lines, struct span provider,
                        const struct plan_room *room)
{
    const uint32_t cap = 64 + plan_lines.n + provider.n + m->upstream_model.n;
    uint8_t *bytes = room->take(room->ctx, cap);
    if (!bytes) return false;
    struct http_writer w = http_writer(bytes, cap);
    http_write_raw(&w, plan_lines);
    add_line(&w, "x-ringway-provider", provider);
    if (m->upstream_model.n) add_line(&w, "x-ringway-model", m->upstream_model);
    MUST(!w.overflow);
    m->answer_lines = span_of(w.p, w.n);
    return true;
}

// --- What GET /v1/models says of a model.

#define LIST_MEMBER_BYTES 768

static void count_or_null(struct fmt *f, int64_t n)
{
    if (n > 0) fmt_i64(f, n);
    else fmt_str(f, "null");
}

// A pico-dollar per token is a millionth of a dollar per million tokens.
static void add_pricing(struct fmt *f, const struct price *p)
{
    if (!p) {
        fmt_str(f, ",\"pricing\":null");
        return;
    }
    fmt_str(f, ",\"pricing\":{\"input_per_1k\":");
    fmt_decimal(f, p->pico[PRICE_INPUT], 9);
    fmt_str(f, ",\"output_per_1k\":");
    fmt_decimal(f, p->pico[PRICE_OUTPUT], 9);
    fmt_str(f, ",\"input_per_million\":");
    fmt_decimal(f, p->pico[PRICE_INPUT], 6);
    fmt_str(f, ",\"output_per_million\":");
    fmt_decimal(f, p->pico[PRICE_OUTPUT], 6);
    fmt_str(f, "}");
}

static void add_capabilities(struct fmt *f, const struct price_about *about)
{
    bool first = true;
    fmt_str(f, ",\"capabilities\":[");
    for (int i = 0; i < PRICE_CAPABILITIES; i++) {
        if (!(about->capabilities & 1u << i)) continue;
        if (!first) fmt_str(f, ",");
        first = false;
        fmt_json_string(f, span_str(price_capability_names[i]));
    }
    fmt_str(f, "]");
}

static bool list_members(struct plan_model *m, struct span provider, const struct plan_room *room)
{
    static const struct price_about nothing;
    const struct price_about *about = m->about ? m->about : &nothing;
    const uint32_t cap =
        LIST_MEMBER_BYTES + FMT_JSON_BYTES(provider.n) + FMT_JSON_BYTES(about->description.n);
    char *text = room->take(room->ctx, cap);
    struct fmt f;
    if (!text) return false;
    fmt_init(&f, text, cap);
    fmt_str(&f, ",\"provider\":");
    fmt_json_string(&f, provider);
    fmt_str(&f, ",\"description\":");
    fmt_json_string(&f, about->description);
    add_pricing(&f, m->price);
    fmt_str(&f, ",\"context_window\":");
    count_or_null(&f, m->price ? m->price->context : 0);
    fmt_str(&f, ",\"max_output_tokens\":");
    count_or_null(&f, m->price ? m->price->max_output : 0);
    add_capabilities(&f, about);
    MUST(!f.overflow);
    m->list_members = fmt_text(&f);
    return true;
}

enum rw_err gateway_provider_ready(struct plan_provider *p, const struct plan_room *room)
{
    const struct span post = SPAN("POST "), version = SPAN(" HTTP/1.1\r\n");
    const uint32_t cap = post.n + p->path_prefix.n + p->chat_path.n + version.n + p->head_fields.n;
    uint8_t *bytes = room->take(room->ctx, cap);
    if (!bytes) return (enum rw_err) - ENOMEM;
    struct http_writer w = http_writer(bytes, cap);
    http_write_raw(&w, post);
    http_write_raw(&w, p->path_prefix);
    http_write_raw(&w, p->chat_path);
    http_write_raw(&w, version);
    http_write_raw(&w, p->head_fields);
    MUST(!w.overflow);
    p->chat_front = span_of(w.p, w.n);
    return RW_OK;
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
        if (!model_lines(m, p->answer_lines, provider, room) || !list_members(m, provider, room) ||
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
