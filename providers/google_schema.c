// See dialect_priv.h: Google's schemas are a subset of OpenAPI 3.0: types in capitals, `nullable` instead of a second type. Other
// dialects take JSON Schema.
#include "providers/dialect_priv.h"

// Deeper than any schema that a model follows, and within what the writer nests.
#define DEPTH_MAX 24

static struct span lower(struct chat_ctx *ctx, struct span word)
{
    uint8_t *out = arena_alloc(ctx->arena, word.n);
    if (!out) return word;
    for (uint32_t i = 0; i < word.n; i++) out[i] = span_lower(word.p[i]);
    return span_of(out, word.n);
}

static void write_type(struct chat_ctx *ctx, struct span type, bool nullable, struct json_out *o)
{
    const struct span word = lower(ctx, chat_text_or_none(ctx, type));
    json_out_key(o, SPAN("type"));
    if (nullable) json_out_array(o);
    json_out_string(o, word);
    if (nullable) json_out_string(o, SPAN("null"));
    if (nullable) json_out_end(o);
}

static enum rw_err write(struct chat_ctx *ctx, struct span value, bool names, uint32_t depth,
                         struct json_out *o) RW_WARN_UNUSED;

static enum rw_err write_member(struct chat_ctx *ctx, struct span key, struct span value, bool nullable,
                                uint32_t depth, struct json_out *o)
{
    static const struct span left_out[] = {SPAN_INIT("nullable"), SPAN_INIT("propertyOrdering"),
                                           SPAN_INIT("property_ordering")};
    struct span format;
    for (uint32_t i = 0; i < 3; i++)
        if (json_key_is(key, left_out[i])) return RW_OK;
    if (json_key_is(key, SPAN("type")) && json_type(value) == JSON_STRING) {
        write_type(ctx, value, nullable, o);
        return RW_OK;
    }
    format = json_key_is(key, SPAN("format")) ? chat_text_or_none(ctx, value) : (struct span){NULL, 0};
    if (span_eq(format, SPAN("enum"))) return RW_OK; // says what `enum` says
    uint8_t *buf = arena_alloc(ctx->arena, key.n);
    struct span name;
    if (!buf) return RW_E_TOO_LARGE;
    RW_TRY(json_unescape(key, JSON_LONE_REPLACE, buf, key.n, &name));
    json_out_key_text(o, name);
    return write(ctx, value, span_eq(name, SPAN("properties")), depth, o);
}

// names: the members are names of properties, each with a schema.
static enum rw_err write(struct chat_ctx *ctx, struct span value, bool names, uint32_t depth,
                         struct json_out *o)
{
    struct span key, element, flag;
    if (depth > DEPTH_MAX) return RW_E_BAD;
    const enum json_type type = json_type(value);
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        json_out_raw(o, value);
        return RW_OK;
    }
    struct json_iter it = json_iter(value);
    if (type == JSON_ARRAY) {
        json_out_array(o);
        while (json_next(&it, &key, &element)) RW_TRY(write(ctx, element, false, depth + 1, o));
        json_out_end(o);
        return RW_OK;
    }
    const bool nullable = !names && json_member(value, SPAN("nullable"), &flag) && chat_true(flag);
    json_out_object(o);
    while (json_next(&it, &key, &element)) {
        if (!names) {
            RW_TRY(write_member(ctx, key, element, nullable, depth + 1, o));
            continue;
        }
        uint8_t *buf = arena_alloc(ctx->arena, key.n);
        struct span name;
        if (!buf) return RW_E_TOO_LARGE;
        RW_TRY(json_unescape(key, JSON_LONE_REPLACE, buf, key.n, &name));
        json_out_key_text(o, name);
        RW_TRY(write(ctx, element, false, depth + 1, o));
    }
    json_out_end(o);
    return RW_OK;
}

enum rw_err chat_google_schema(struct chat_ctx *ctx, struct span schema, struct span *ret)
{
    struct json_out o;
    json_out_init(&o, ctx->arena);
    RW_TRY(write(ctx, schema, false, 0, &o));
    RW_TRY(json_out_done(&o));
    const struct span text = json_out_flat(&o);
    if (!chat_has(text)) return RW_E_TOO_LARGE;
    *ret = text;
    return RW_OK;
}
