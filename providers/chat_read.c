// See dialect_priv.h: reading members, texts and media out of JSON that was scanned.
#include "providers/dialect_priv.h"

// --- Members.

static enum rw_err extra_add(struct chat_ctx *ctx, struct span raw_key, struct span value,
                             struct chat_extra ***tail)
{
    struct chat_extra *x = chat_alloc(ctx, sizeof *x);
    uint8_t *buf = arena_alloc(ctx->arena, raw_key.n);
    if (!x || !buf) return RW_E_TOO_LARGE;
    RW_TRY(json_unescape(raw_key, JSON_LONE_REPLACE, buf, raw_key.n, &x->name));
    x->value = value;
    **tail = x;
    *tail = &x->next;
    return RW_OK;
}

// max_output_tokens is maxOutputTokens.
static bool is_google(struct span key, struct span want)
{
    uint32_t i = 0, k = 0;
    while (i < key.n && k < want.n) {
        const bool up = key.p[i] == '_' && i + 1 < key.n && (uint8_t)(key.p[i + 1] - 'a') < 26;
        if (up) i++;
        if ((up ? (uint8_t)(key.p[i] - 32) : key.p[i]) != want.p[k]) return false;
        i++, k++;
    }
    return i == key.n && k == want.n;
}

static enum rw_err members(struct chat_ctx *ctx, struct span object, const struct span *keys, uint32_t n,
                           struct span *values, struct chat_extra **extra, bool google)
{
    memset(values, 0, n * sizeof *values);
    struct json_iter it = json_iter(object);
    struct span key, value;
    if (!it.object) return RW_OK;
    while (extra && *extra) extra = &(*extra)->next;
    uint64_t seen = 0;
    while (json_next(&it, &key, &value)) {
        uint32_t i = 0;
        while (i < n && !json_key_is(key, keys[i]) && !(google && is_google(key, keys[i]))) i++;
        const bool null = json_type(value) == JSON_NULL;
        if (i == n) {
            if (extra && !null) RW_TRY(extra_add(ctx, key, value, &extra));
            continue;
        }
        if (seen >> i & 1) {
            ctx->problem =
                (struct chat_problem){.param = keys[i], .text = SPAN("This field is given twice.")};
            return RW_E_BAD;
        }
        seen |= UINT64_C(1) << i;
        if (!null) values[i] = value;
    }
    return RW_OK;
}

enum rw_err chat_members(struct chat_ctx *ctx, struct span object, const struct span *keys, uint32_t n,
                         struct span *values, struct chat_extra **extra)
{
    return members(ctx, object, keys, n, values, extra, false);
}

enum rw_err chat_members_google(struct chat_ctx *ctx, struct span object, const struct span *keys, uint32_t n,
                                struct span *values, struct chat_extra **extra)
{
    return members(ctx, object, keys, n, values, extra, true);
}

struct span chat_extra_find(const struct chat_extra *extra, struct span name)
{
    for (; extra; extra = extra->next)
        if (span_eq(extra->name, name)) return extra->value;
    return (struct span){NULL, 0};
}

// --- Values.

enum rw_err chat_text(struct chat_ctx *ctx, struct span value, struct span *ret)
{
    *ret = (struct span){NULL, 0};
    if (!chat_has(value)) return RW_OK;
    if (json_type(value) != JSON_STRING) return RW_E_BAD;
    const struct span inside = {value.p + 1, value.n - 2};
    if (span_find(inside, '\\') == inside.n) {
        *ret = inside;
        return RW_OK;
    }
    uint8_t *buf = arena_alloc(ctx->arena, value.n);
    if (!buf) return RW_E_TOO_LARGE;
    return json_string(value, JSON_LONE_REPLACE, buf, value.n, ret);
}

struct span chat_text_or_none(struct chat_ctx *ctx, struct span value)
{
    struct span text;
    return chat_text(ctx, value, &text) ? (struct span){NULL, 0} : text;
}

int64_t chat_count(struct span value)
{
    uint64_t v;
    return chat_has(value) && json_u64(value, &v) && v <= INT64_MAX / 16 ? (int64_t)v : -1;
}

bool chat_true(struct span value)
{
    bool b;
    return chat_has(value) && json_bool(value, &b) && b;
}

enum chat_tri chat_tri_of(struct span value)
{
    bool b;
    if (!chat_has(value) || !json_bool(value, &b)) return CHAT_UNSAID;
    return b ? CHAT_YES : CHAT_NO;
}

struct chat_part *chat_part_new(struct chat_ctx *ctx, enum chat_part_kind kind)
{
    struct chat_part *part = chat_alloc(ctx, sizeof *part);
    if (part) part->kind = kind;
    return part;
}

enum rw_err chat_names(struct chat_ctx *ctx, struct span value, struct chat_name **ret)
{
    struct json_iter it = json_iter(value);
    struct span key, element = value;
    const bool one = json_type(value) == JSON_STRING;
    *ret = NULL;
    while (one || json_next(&it, &key, &element)) {
        struct chat_name *name = chat_alloc(ctx, sizeof *name);
        if (!name) return RW_E_TOO_LARGE;
        RW_TRY(chat_text(ctx, element, &name->name));
        *ret = name;
        ret = &name->next;
        if (one) break;
    }
    return RW_OK;
}

// --- JSON inside of strings.

bool chat_is_json(struct span text)
{
    struct json_scan s;
    return json_scan(&s, NULL, 0, text) > 0;
}

bool chat_is_object(struct span text)
{
    struct json_scan s;
    return json_scan(&s, NULL, JSON_TOP_OBJECT, text) > 0;
}

// Length of the token at p: a string whole, else one byte.
static uint32_t token(struct span json)
{
    if (json.p[0] != '"') return 1;
    uint32_t i = 1;
    while (i < json.n && json.p[i] != '"') i += json.p[i] == '\\' ? 2 : 1;
    return i + 1 < json.n ? i + 1 : json.n;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

struct span chat_compact(struct chat_ctx *ctx, struct span json)
{
    uint32_t i = 0, n = 0;
    while (i < json.n && !is_space(json.p[i])) i += token(span_from(json, i));
    if (i >= json.n) return json;
    uint8_t *out = arena_alloc(ctx->arena, json.n);
    if (!out) return json;
    memcpy(out, json.p, i);
    for (n = i; i < json.n;) {
        const uint32_t k = token(span_from(json, i));
        if (!is_space(json.p[i])) {
            memcpy(out + n, json.p + i, k);
            n += k;
        }
        i += k;
    }
    return span_of(out, n);
}

struct span chat_concat(struct chat_ctx *ctx, const struct span *texts, uint32_t n)
{
    uint32_t bytes = 0, at = 0;
    for (uint32_t i = 0; i < n; i++) bytes += texts[i].n;
    uint8_t *out = arena_alloc(ctx->arena, bytes);
    if (!out) return (struct span){NULL, 0};
    for (uint32_t i = 0; i < n; i++) {
        if (texts[i].n) memcpy(out + at, texts[i].p, texts[i].n);
        at += texts[i].n;
    }
    return span_of(out, bytes);
}

struct span chat_made_id(struct chat_ctx *ctx, const char *prefix, struct span id, uint32_t number)
{
    char text[FMT_U64_BYTES + 1] = "_";
    const uint32_t n = number ? (uint32_t)(fmt_raw_u64(text + 1, number) - text) : 0;
    return chat_concat(ctx, (struct span[]){span_str(prefix), id, span_of(text, n)}, 3);
}

// --- Media.

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Both alphabets of RFC 4648; a value above 63 is no digit.
static uint8_t base64_value(uint8_t c)
{
    if ((uint8_t)(c - 'A') < 26) return (uint8_t)(c - 'A');
    if ((uint8_t)(c - 'a') < 26) return (uint8_t)(c - 'a' + 26);
    if ((uint8_t)(c - '0') < 10) return (uint8_t)(c - '0' + 52);
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : 64;
}

enum rw_err chat_base64_normal(struct chat_ctx *ctx, struct span text, struct span *ret)
{
    uint32_t digits = 0, other = 0, odd = 0;
    while (text.n && text.p[text.n - 1] == '=') text.n--, other++;
    const uint32_t pad = other;
    for (uint32_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        if (base64_value(c) < 64) digits++, odd += c == '-' || c == '_';
        else if (is_space(c)) odd++;
        else return RW_E_BAD;
    }
    if (digits % 4 == 1 || pad > 2) return RW_E_BAD;
    if (!odd && (digits + pad) % 4 == 0) {
        *ret = (struct span){text.p, text.n + pad};
        return RW_OK;
    }
    uint8_t *out = arena_alloc(ctx->arena, digits + 2);
    if (!out) return RW_E_TOO_LARGE;
    uint32_t n = 0;
    for (uint32_t i = 0; i < text.n; i++)
        if (!is_space(text.p[i])) out[n++] = (uint8_t)base64_digits[base64_value(text.p[i])];
    while (n % 4) out[n++] = '=';
    *ret = span_of(out, n);
    return RW_OK;
}

static struct span base64_encode(struct chat_ctx *ctx, struct span bytes)
{
    uint8_t *out = arena_alloc(ctx->arena, (bytes.n + 2) / 3 * 4);
    uint32_t n = 0;
    if (!out) return (struct span){NULL, 0};
    for (uint32_t i = 0; i < bytes.n; i += 3) {
        const uint32_t left = bytes.n - i;
        const uint32_t v = (uint32_t)bytes.p[i] << 16 | (left > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0) |
            (left > 2 ? bytes.p[i + 2] : 0);
        for (uint32_t k = 0; k < 4; k++)
            out[n++] = k > left ? '=' : (uint8_t)base64_digits[v >> (18 - 6 * k) & 63];
    }
    return span_of(out, n);
}

enum rw_err chat_base64_decode(struct chat_ctx *ctx, struct span text, struct span *ret)
{
    uint8_t *out = arena_alloc(ctx->arena, text.n / 4 * 3 + 3);
    uint32_t n = 0, bits = 0, have = 0;
    if (!out) return RW_E_TOO_LARGE;
    for (uint32_t i = 0; i < text.n && base64_value(text.p[i]) < 64; i++) {
        bits = bits << 6 | base64_value(text.p[i]);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (uint8_t)(bits >> have);
    }
    *ret = span_of(out, n);
    return RW_OK;
}

static uint32_t hex(uint8_t c)
{
    if ((uint8_t)(c - '0') < 10) return (uint32_t)c - '0';
    c = span_lower(c);
    return (uint8_t)(c - 'a') < 6 ? (uint32_t)(c - 'a' + 10) : 16;
}

// %XX becomes the byte it stands for.
static struct span percent_decode(struct chat_ctx *ctx, struct span text)
{
    uint8_t *out = arena_alloc(ctx->arena, text.n);
    uint32_t n = 0;
    if (!out) return (struct span){NULL, 0};
    for (uint32_t i = 0; i < text.n; i++) {
        const bool escape =
            text.p[i] == '%' && i + 2 < text.n && hex(text.p[i + 1]) < 16 && hex(text.p[i + 2]) < 16;
        out[n++] = escape ? (uint8_t)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2])) : text.p[i];
        if (escape) i += 2;
    }
    return span_of(out, n);
}

enum rw_err chat_media_url(struct chat_ctx *ctx, struct span url, struct chat_media *ret)
{
    ret->source = CHAT_URL;
    ret->data = url;
    if (url.n < 5 || !span_ieq((struct span){url.p, 5}, SPAN("data:"))) return RW_OK;
    struct span rest = span_from(url, 5);
    const uint32_t comma = span_find(rest, ',');
    if (comma == rest.n) return RW_E_BAD;
    struct span head = {rest.p, comma};
    const struct span data = span_from(rest, comma + 1);
    const struct span mark = SPAN(";base64");
    const bool coded = head.n >= mark.n && span_ieq(span_from(head, head.n - mark.n), mark);
    if (coded) head.n -= mark.n;
    head.n = span_find(head, ';');
    ret->source = CHAT_DATA;
    ret->type = head.n ? head : SPAN("text/plain");
    if (coded) return chat_base64_normal(ctx, data, &ret->data);
    ret->data = base64_encode(ctx, percent_decode(ctx, data));
    return chat_has(ret->data) ? RW_OK : RW_E_TOO_LARGE;
}

void chat_media_write_url(struct json_out *o, const struct chat_media *media)
{
    if (media->source != CHAT_DATA) {
        json_out_string(o, media->data);
        return;
    }
    json_out_open(o);
    json_out_piece(o, SPAN("data:"));
    json_out_piece(o, media->type.n ? media->type : SPAN("application/octet-stream"));
    json_out_piece(o, SPAN(";base64,"));
    json_out_piece(o, media->data);
    json_out_close(o);
}

// --- Losses.

enum rw_err chat_extra_lose(struct chat_ctx *ctx, const struct chat_extra *extra,
                            const struct dialect_verdict *table, uint32_t n)
{
    for (; extra; extra = extra->next) {
        const struct span text = SPAN("The model that was asked cannot do what this field asks for.");
        uint32_t i = 0;
        while (i < n && !span_eq(table[i].name, extra->name)) i++;
        if (i == n || !table[i].refuse) RW_TRY(chat_drop(ctx, extra->name));
        else if (table[i].hard) RW_TRY(chat_refuse(ctx, extra->name, text));
        else RW_TRY(chat_refuse_soft(ctx, extra->name, text));
    }
    return RW_OK;
}

bool chat_modalities_text(const struct chat_extra *extra)
{
    struct span first, second;
    return span_eq(extra->name, SPAN("modalities")) && json_element(extra->value, 0, &first) &&
        span_eq(first, SPAN("\"text\"")) && !json_element(extra->value, 1, &second);
}

void chat_extra_write(struct json_out *o, const struct chat_extra *extra)
{
    for (; extra; extra = extra->next) {
        json_out_key_text(o, extra->name);
        json_out_raw(o, extra->value);
    }
}

enum rw_err chat_refuse_choices(struct chat_ctx *ctx, const struct chat_request *rq)
{
    uint64_t n;
    if (chat_has(rq->n) && !(json_u64(rq->n, &n) && n == 1))
        RW_TRY(
            chat_refuse_soft(ctx, SPAN("n"), SPAN("The model that was asked gives one answer at a time.")));
    if (rq->logprobs)
        RW_TRY(chat_refuse_soft(ctx, SPAN("logprobs"),
                                SPAN("The model that was asked gives no log probabilities.")));
    if (chat_count(rq->top_logprobs) > 0)
        RW_TRY(chat_refuse_soft(ctx, SPAN("top_logprobs"),
                                SPAN("The model that was asked gives no log probabilities.")));
    return RW_OK;
}

bool chat_tool_allowed(const struct chat_request *rq, const struct chat_tool *tool)
{
    if (rq->tool_choice.kind != CHAT_CHOICE_ALLOWED) return true;
    for (const struct chat_name *a = rq->tool_choice.allowed; a; a = a->next)
        if (span_eq(a->name, tool->name)) return true;
    return false;
}
