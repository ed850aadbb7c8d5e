// See account_tags.h.
#include "gateway/account_tags.h"

#include "providers/dialect.h"

static struct span name_of(struct span tag)
{
    return (struct span){tag.p, span_find(tag, '=')};
}

static void add(struct store_texts *t, struct span tag)
{
    const struct span name = name_of(tag);
    if (name.n == 0 || name.n == tag.n || tag.n > STORE_TEXT_BYTES_MAX || t->tags_count == STORE_TAGS_MAX)
        return;
    for (uint32_t i = 0; i < t->tags_count; i++)
        if (span_eq(name_of(t->tags[i]), name)) return;
    t->tags[t->tags_count++] = tag;
}

static void of_header(const struct exchange *x, struct store_texts *t)
{
    struct span rest = http_value(&x->call->head, HTTP_N_X_RINGWAY_TAGS), tag;
    while (rest.n && span_split(&rest, ',', &tag)) add(t, span_trim(tag));
}

// "name": "value" as name=value. A name with '=' in it would be read as another one.
static void of_member(struct exchange *x, struct store_texts *t, struct span key, struct span value)
{
    struct span name, text;
    if (json_type(value) != JSON_STRING || key.n + value.n > STORE_TEXT_BYTES_MAX * 6) return;
    uint8_t *tag = arena_alloc(x->call->arena, key.n + 1 + value.n);
    if (!tag || json_unescape(key, JSON_LONE_REFUSE, tag, key.n, &name) || span_find(name, '=') < name.n)
        return;
    if (name.n) memmove(tag, name.p, name.n);
    tag[name.n] = '=';
    uint8_t *to = tag + name.n + 1;
    if (json_string(value, JSON_LONE_REFUSE, to, value.n, &text)) return;
    if (text.n) memmove(to, text.p, text.n);
    add(t, span_of(tag, name.n + 1 + text.n));
}

static void of_body(struct exchange *x, struct store_texts *t)
{
    const struct json_value *v = x->scan ? &x->scan->value[FIELD_METADATA] : NULL;
    if (!v || v->type != JSON_OBJECT || x->route->dialect == &dialect_anthropic) return;
    struct json_iter it = json_iter(json_text(x->body.p, v));
    struct span key, value;
    while (t->tags_count < STORE_TAGS_MAX && json_next(&it, &key, &value)) of_member(x, t, key, value);
}

void account_tags(struct exchange *x, struct store_texts *t)
{
    const struct principal *p = x->principal;
    for (uint32_t level = 0; level < PRINCIPAL_LEVELS; level++)
        for (uint32_t i = 0; i < p->tags[level].count; i++) add(t, p->tags[level].item[i]);
    of_header(x, t);
    of_body(x, t);
}
