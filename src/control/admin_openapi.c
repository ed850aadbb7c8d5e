// GET /openapi.json: the table of admin_table.h as OpenAPI 3.1.
#include "base/fmt.h"
#include "control/admin.h"

#define SCHEMAS_MAX 64

// In an answer; in a request that makes something; in one that changes it, where nothing has to be said.
enum way { ANSWER, MAKING, CHANGING };

struct doc {
    struct json_out *o;
    // Schemas that were referred to and have to be described, each once.
    struct {
        const struct admin_schema *schema;
        enum way way;
    } schema[SCHEMAS_MAX];
    uint32_t schemas;
};

static const char *const way_name[] = {"", "Input", "Change"};

static void ref(struct doc *d, const struct admin_schema *s, enum way way)
{
    uint32_t i = 0;
    while (i < d->schemas && (d->schema[i].schema != s || d->schema[i].way != way)) i++;
    MUST(i < SCHEMAS_MAX);
    if (i == d->schemas) {
        d->schema[i].schema = s;
        d->schema[i].way = way;
        d->schemas++;
    }
    json_out_object(d->o);
    json_out_key(d->o, SPAN("$ref"));
    json_out_open(d->o);
    json_out_piece(d->o, SPAN("#/components/schemas/"));
    json_out_piece(d->o, span_str(s->name));
    json_out_piece(d->o, span_str(way_name[way]));
    json_out_close(d->o);
    json_out_end(d->o);
}

// --- A field's type.

static void type(struct doc *d, const struct admin_field *f, const char *name)
{
    json_out_key(d->o, SPAN("type"));
    if (f->flags & ADMIN_NULL) {
        json_out_array(d->o);
        json_out_string(d->o, span_str(name));
        json_out_string(d->o, SPAN("null"));
        json_out_end(d->o);
    } else {
        json_out_string(d->o, span_str(name));
    }
}

static void bounds(struct doc *d, const struct admin_field *f, const char *least, const char *most)
{
    if (f->least) json_out_key_u64(d->o, span_str(least), f->least);
    if (f->most) json_out_key_u64(d->o, span_str(most), f->most);
}

static void text_type(struct doc *d, const struct admin_field *f, enum way way)
{
    struct span rest = span_str(f->more ? f->more : ""), word;
    type(d, f, "string");
    // What comes back may have been stored by other rules.
    if (f->more && f->more[0] == '^') {
        if (way != ANSWER) json_out_key_string(d->o, SPAN("pattern"), rest);
        if (way != ANSWER) bounds(d, f, "minLength", "maxLength");
        return;
    }
    bounds(d, f, "minLength", "maxLength");
    if (!f->more) return;
    json_out_key_array(d->o, SPAN("enum"));
    while (span_split(&rest, '|', &word)) json_out_string(d->o, word);
    if (f->flags & ADMIN_NULL) json_out_null(d->o);
    json_out_end(d->o);
}

static void list_type(struct doc *d, const struct admin_field *f, enum way way)
{
    type(d, f, "array");
    if (f->most) json_out_key_u64(d->o, SPAN("maxItems"), f->most);
    json_out_key(d->o, SPAN("items"));
    if (f->type == ADMIN_LIST) {
        ref(d, f->of, way);
        return;
    }
    json_out_object(d->o);
    json_out_key_string(d->o, SPAN("type"), SPAN("string"));
    if (f->more) json_out_key_string(d->o, SPAN("format"), span_str(f->more));
    json_out_key_u64(d->o, SPAN("minLength"), 1);
    json_out_end(d->o);
}

static void map_type(struct doc *d, const struct admin_field *f)
{
    type(d, f, "object");
    json_out_key_object(d->o, SPAN("additionalProperties"));
    json_out_key_string(d->o, SPAN("type"), f->type == ADMIN_TAGS ? SPAN("string") : SPAN("integer"));
    json_out_end(d->o);
    if (f->type != ADMIN_TAGS) return;
    json_out_key_object(d->o, SPAN("propertyNames"));
    json_out_key_string(d->o, SPAN("pattern"), SPAN("^[^=]+$"));
    json_out_end(d->o);
}

static void object_type(struct doc *d, const struct admin_field *f, enum way way)
{
    if (way == ANSWER || !(f->flags & ADMIN_NULL)) {
        json_out_key_array(d->o, SPAN("allOf"));
    } else {
        json_out_key_array(d->o, SPAN("anyOf"));
        json_out_object(d->o);
        json_out_key_string(d->o, SPAN("type"), SPAN("null"));
        json_out_end(d->o);
    }
    ref(d, f->of, way);
    json_out_end(d->o);
}

static void field(struct doc *d, const struct admin_field *f, enum way way)
{
    json_out_object(d->o);
    if (*f->text) json_out_key_string(d->o, SPAN("description"), span_str(f->text));
    switch (f->type) {
    case ADMIN_TEXT: text_type(d, f, way); break;
    case ADMIN_TIME:
        type(d, f, "string");
        json_out_key_string(d->o, SPAN("format"), SPAN("date-time"));
        break;
    case ADMIN_COUNT:
        type(d, f, "integer");
        json_out_key_u64(d->o, SPAN("minimum"), f->least);
        if (f->most) json_out_key_u64(d->o, SPAN("maximum"), f->most);
        break;
    case ADMIN_USD:
        type(d, f, "number");
        json_out_key_u64(d->o, SPAN("minimum"), f->least);
        if (f->most) json_out_key_u64(d->o, SPAN("maximum"), f->most);
        break;
    case ADMIN_BOOL: type(d, f, "boolean"); break;
    case ADMIN_LIST:
    case ADMIN_TEXTS: list_type(d, f, way); break;
    case ADMIN_TAGS:
    case ADMIN_SUMS: map_type(d, f); break;
    case ADMIN_OBJECT: object_type(d, f, way); break;
    case ADMIN_ANY: break;
    }
    json_out_end(d->o);
}

static bool is_in(const struct admin_field *f, enum way way)
{
    return !(f->flags & (way == ANSWER ? ADMIN_WRITE : ADMIN_READ));
}

static void schema(struct doc *d, const struct admin_schema *s, enum way way)
{
    bool any = false;
    json_out_key(d->o, SPAN("type"));
    json_out_string(d->o, SPAN("object"));
    if (!s->open) json_out_key_bool(d->o, SPAN("additionalProperties"), false);
    json_out_key_object(d->o, SPAN("properties"));
    for (uint32_t i = 0; i < s->count; i++) {
        if (!is_in(&s->fields[i], way)) continue;
        json_out_key(d->o, span_str(s->fields[i].name));
        field(d, &s->fields[i], way);
    }
    json_out_end(d->o);
    for (uint32_t i = 0; way != CHANGING && i < s->count; i++) {
        const struct admin_field *f = &s->fields[i];
        if (!(f->flags & ADMIN_NEEDED) || !is_in(f, way)) continue;
        if (!any) json_out_key_array(d->o, SPAN("required"));
        any = true;
        json_out_string(d->o, span_str(f->name));
    }
    if (any) json_out_end(d->o);
}

// --- Operations.

static void parameters(struct doc *d, const struct admin_route *r)
{
    const bool id = strstr(r->path, "{id}") != NULL;
    static const struct admin_field header = {.name = "", .text = "", .type = ADMIN_TEXT};
    if (!r->param_count && !id && !(r->flags & ADMIN_ETAG)) return;
    json_out_key_array(d->o, SPAN("parameters"));
    if (id) {
        json_out_raw(d->o,
                     SPAN("{\"name\":\"id\",\"in\":\"path\",\"required\":true,"
                          "\"schema\":{\"type\":\"string\",\"minLength\":1}}"));
    }
    for (uint32_t i = 0; i < r->param_count; i++) {
        json_out_object(d->o);
        json_out_key_string(d->o, SPAN("name"), span_str(r->params[i].name));
        json_out_key_string(d->o, SPAN("in"), SPAN("query"));
        json_out_key(d->o, SPAN("schema"));
        field(d, &r->params[i], MAKING);
        json_out_end(d->o);
    }
    if (r->flags & ADMIN_ETAG && id) {
        json_out_object(d->o);
        json_out_key_string(d->o, SPAN("name"),
                            r->method == HTTP_GET ? SPAN("If-None-Match") : SPAN("If-Match"));
        json_out_key_string(d->o, SPAN("in"), SPAN("header"));
        json_out_key_string(d->o, SPAN("description"),
                            r->method == HTTP_GET ? SPAN("304 if it is still that version.")
                                                  : SPAN("412 if it is no longer that version."));
        json_out_key(d->o, SPAN("schema"));
        field(d, &header, MAKING);
        json_out_end(d->o);
    }
    json_out_end(d->o);
}

static void content(struct doc *d, const struct admin_schema *s, enum way way, bool list)
{
    json_out_key_object(d->o, SPAN("content"));
    json_out_key_object(d->o, SPAN("application/json"));
    json_out_key(d->o, SPAN("schema"));
    if (!list) {
        ref(d, s, way);
    } else {
        json_out_object(d->o);
        json_out_key_string(d->o, SPAN("type"), SPAN("object"));
        json_out_key_raw(d->o, SPAN("required"), SPAN("[\"data\",\"next\"]"));
        json_out_key_object(d->o, SPAN("properties"));
        json_out_key_raw(d->o, SPAN("next"), SPAN("{\"type\":[\"integer\",\"string\",\"null\"]}"));
        json_out_key_object(d->o, SPAN("data"));
        json_out_key_string(d->o, SPAN("type"), SPAN("array"));
        json_out_key(d->o, SPAN("items"));
        ref(d, s, ANSWER);
        json_out_end(d->o);
        json_out_end(d->o);
        json_out_end(d->o);
    }
    json_out_end(d->o);
    json_out_end(d->o);
}

static void response(struct doc *d, const struct admin_route *r, struct span status)
{
    json_out_key_object(d->o, status);
    json_out_key_string(d->o, SPAN("description"), SPAN("Done."));
    if (r->answer) {
        content(d, r->answer, ANSWER, (r->flags & ADMIN_LISTS) != 0);
    } else {
        json_out_key_object(d->o, SPAN("content"));
        json_out_key_raw(d->o,
                         r->flags & ADMIN_BYTES ? SPAN("application/octet-stream") : SPAN("application/json"),
                         SPAN("{}"));
        json_out_end(d->o);
    }
    json_out_end(d->o);
}

static void operation(struct doc *d, const struct admin_route *r)
{
    char method[8] = "";
    const struct span name = http_method_name(r->method);
    for (uint32_t i = 0; i < name.n && i + 1 < sizeof method; i++) method[i] = (char)(name.p[i] | 0x20);
    json_out_key_object(d->o, span_str(method));
    json_out_key_string(d->o, SPAN("operationId"), span_str(r->id));
    json_out_key_string(d->o, SPAN("summary"), span_str(r->summary));
    if (r->flags & ADMIN_OPEN) json_out_key_raw(d->o, SPAN("security"), SPAN("[]"));
    parameters(d, r);
    if (r->body) {
        json_out_key_object(d->o, SPAN("requestBody"));
        json_out_key_bool(d->o, SPAN("required"), !(r->flags & ADMIN_BODY_FREE));
        content(d, r->body, r->method == HTTP_POST ? MAKING : CHANGING, false);
        json_out_end(d->o);
    }
    json_out_key_object(d->o, SPAN("responses"));
    response(d, r, r->status == 201 ? SPAN("201") : SPAN("200"));
    if (r->flags & ADMIN_MAKES) response(d, r, SPAN("201"));
    if (r->flags & ADMIN_ETAG && r->method == HTTP_GET)
        json_out_key_raw(d->o, SPAN("304"), SPAN("{\"description\":\"It is still that version.\"}"));
    json_out_key_raw(d->o, SPAN("default"), SPAN("{\"$ref\":\"#/components/responses/Error\"}"));
    json_out_end(d->o);
    json_out_end(d->o);
}

// All methods of a path stand below it, in the order of the table.
static void paths(struct doc *d)
{
    json_out_key_object(d->o, SPAN("paths"));
    for (uint32_t i = 0; i < admin_route_count; i++) {
        bool first = true;
        for (uint32_t k = 0; k < i; k++)
            first = first && strcmp(admin_routes[k].path, admin_routes[i].path) != 0;
        if (!first) continue;
        json_out_key_object(d->o, span_str(admin_routes[i].path));
        for (uint32_t k = i; k < admin_route_count; k++)
            if (strcmp(admin_routes[k].path, admin_routes[i].path) == 0) operation(d, &admin_routes[k]);
        json_out_end(d->o);
    }
    json_out_end(d->o);
}

static void components(struct doc *d)
{
    json_out_key_object(d->o, SPAN("components"));
    json_out_key_raw(
        d->o, SPAN("securitySchemes"),
        SPAN("{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"admin.token of the "
             "configuration. On the unix socket the user counts instead.\"}}"));
    json_out_key_raw(d->o, SPAN("responses"),
                     SPAN("{\"Error\":{\"description\":\"What is wrong, and what to "
                          "do.\",\"content\":{\"application/json\":"
                          "{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}}"));
    json_out_key_object(d->o, SPAN("schemas"));
    json_out_key_raw(
        d->o, SPAN("Error"),
        SPAN("{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
             "\"required\":[\"message\",\"type\",\"code\"],\"additionalProperties\":false,\"properties\":{"
             "\"message\":{\"type\":\"string\"},\"type\":{\"const\":\"gateway_error\"},"
             "\"code\":{\"type\":\"integer\"},\"field\":{\"type\":\"string\",\"description\":\"Which one is "
             "wrong.\"},\"mend\":{\"type\":\"string\",\"description\":\"What to do.\"}}}}}"));
    // A schema may refer to others, which then stand behind it.
    for (uint32_t i = 0; i < d->schemas; i++) {
        char name[64];
        struct fmt f;
        fmt_init(&f, name, sizeof name);
        fmt_str(&f, d->schema[i].schema->name);
        fmt_str(&f, way_name[d->schema[i].way]);
        json_out_key_object(d->o, fmt_text(&f));
        schema(d, d->schema[i].schema, d->schema[i].way);
        json_out_end(d->o);
    }
    json_out_end(d->o);
    json_out_end(d->o);
}

void admin_openapi(struct admin_call *c)
{
    struct doc d = {.o = &c->out};
    admin_begin(c, 200);
    json_out_object(d.o);
    json_out_key_string(d.o, SPAN("openapi"), SPAN("3.1.0"));
    json_out_key_object(d.o, SPAN("info"));
    json_out_key_string(d.o, SPAN("title"), SPAN("Ringway: administration"));
    json_out_key_string(d.o, SPAN("version"), SPAN(RW_VERSION));
    json_out_end(d.o);
    json_out_key_raw(d.o, SPAN("security"), SPAN("[{\"token\":[]}]"));
    paths(&d);
    components(&d);
    json_out_end(d.o);
}
