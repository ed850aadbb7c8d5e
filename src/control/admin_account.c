// Accounts as JSON, both ways. See admin.h.
#include <time.h>

#include "base/clock.h"
#include "base/fmt.h"
#include "control/admin.h"
#include "io/addr.h"
#include "wire/json.h"

// --- Writing.

void admin_write_time(struct json_out *o, struct span key, int64_t ms)
{
    char text[32];
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0 || !gmtime_r(&seconds, &tm)) {
        json_out_key_null(o, key);
        return;
    }
    const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_out_key_string(o, key, span_of(text, n));
}

static void write_list(struct json_out *o, struct span key, struct store_list list)
{
    struct span item;
    if (list.count == 0) return;
    json_out_key_array(o, key);
    while (store_list_next(&list, &item)) json_out_string(o, item);
    json_out_end(o);
}

static void write_cidrs(struct json_out *o, struct store_list list)
{
    struct span item;
    if (list.count == 0) return;
    json_out_key_array(o, SPAN("cidrs"));
    while (store_list_next(&list, &item)) {
        struct store_cidr cidr;
        char text[FMT_IP_BYTES + 8];
        struct fmt f;
        MUST(item.n == sizeof cidr);
        memcpy(&cidr, item.p, sizeof cidr);
        fmt_init(&f, text, sizeof text);
        fmt_ip(&f, cidr.address, cidr.bytes);
        fmt_char(&f, '/');
        fmt_u64(&f, cidr.bits);
        json_out_string(o, fmt_text(&f));
    }
    json_out_end(o);
}

static void write_tags(struct json_out *o, struct store_list list)
{
    struct span item;
    if (list.count == 0) return;
    json_out_key_object(o, SPAN("tags"));
    while (store_list_next(&list, &item)) {
        const uint32_t equals = span_find(item, '=');
        json_out_key_text(o, (struct span){item.p, equals});
        json_out_string(o, equals < item.n ? span_from(item, equals + 1) : SPAN(""));
    }
    json_out_end(o);
}

static void write_id(struct json_out *o, struct span key, uint32_t id)
{
    char text[FMT_U64_BYTES];
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    fmt_u64(&f, id);
    json_out_key_string(o, key, fmt_text(&f));
}

static void write_parent(struct json_out *o, struct store_reader *r, struct span key, enum store_kind kind,
                         uint32_t id)
{
    char name[STORE_NAME_BYTES_MAX];
    const int64_t n = store_account_label(r, kind, id, name);
    if (n >= 0) json_out_key_string(o, key, span_of(name, (size_t)n));
}

void admin_account_members(struct json_out *o, struct store_reader *r, const struct store_account *a)
{
    write_id(o, SPAN("id"), a->id);
    json_out_key_string(o, SPAN("name"), a->name);
    if (a->kind == STORE_KEY) {
        json_out_key_string(o, SPAN("prefix"), a->prefix);
        write_parent(o, r, SPAN("team"), STORE_TEAM, a->parent);
        write_parent(o, r, SPAN("tenant"), STORE_TENANT, a->tenant);
    }
    if (a->kind == STORE_TEAM) write_parent(o, r, SPAN("tenant"), STORE_TENANT, a->parent);
    if (a->plan.n) json_out_key_string(o, SPAN("plan"), a->plan);
    admin_limits_write(o, &a->limits);
    if (a->kind != STORE_PLAN) json_out_key_bool(o, SPAN("disabled"), (a->flags & STORE_DISABLED) != 0);
    if (a->kind == STORE_KEY) json_out_key_bool(o, SPAN("revoked"), (a->flags & STORE_REVOKED) != 0);
    if (a->flags & STORE_FROM_FILE) json_out_key_bool(o, SPAN("from_file"), true);
    write_list(o, SPAN("models"), a->models);
    write_list(o, SPAN("providers"), a->providers);
    write_list(o, SPAN("regions"), a->regions);
    write_cidrs(o, a->cidrs);
    write_tags(o, a->tags);
    admin_write_time(o, SPAN("created_at"), a->created_ms);
    admin_write_time(o, SPAN("updated_at"), a->updated_ms);
    if (a->kind != STORE_PLAN) admin_write_time(o, SPAN("expires"), a->expires_ms);
    if (a->previous_until_ms) admin_write_time(o, SPAN("previous_until"), a->previous_until_ms);
}

void admin_account_write(struct json_out *o, struct store_reader *r, const struct store_account *a)
{
    json_out_object(o);
    admin_account_members(o, r, a);
    json_out_end(o);
}

// --- Reading.

bool admin_bad(struct admin_call *c, const char *text, struct span field)
{
    admin_refuse_field(c, 400, field, text, field);
    return false;
}

bool admin_read_text(struct admin_call *c, struct span field, struct span value, struct span *ret)
{
    uint8_t *buf = arena_alloc(c->arena, value.n);
    if (json_type(value) != JSON_STRING || !buf)
        return admin_bad(c, "The field '%' must be a string.", field);
    if (json_string(value, JSON_LONE_REFUSE, buf, value.n, ret))
        return admin_bad(c, "The field '%' holds half of a surrogate pair.", field);
    // In the arena also where it had no escapes: the caller may keep it longer than the body.
    if (ret->p != buf) *ret = arena_copy(c->arena, *ret);
    return true;
}

bool admin_read_bool(struct admin_call *c, struct span field, struct span value, bool *ret)
{
    return json_bool(value, ret) || admin_bad(c, "The field '%' must be true or false.", field);
}

// Room for all items of a JSON value, encoded.
static bool list_begin(struct admin_call *c, struct store_list_maker *m, struct span value, uint32_t each)
{
    const uint32_t cap = value.n + each;
    *m = (struct store_list_maker){.p = arena_alloc(c->arena, cap), .cap = cap};
    if (!m->p) admin_refuse(c, 400, "A list is longer than the gateway has room for.", SPAN(""));
    return m->p != NULL;
}

static bool list_end(struct admin_call *c, struct span field, const struct store_list_maker *m,
                     struct store_list *ret)
{
    if (m->overflow) {
        admin_refuse_field(c, 413, field,
                           "The list '%', or an item of it, is too long:|an item has room for 255 bytes.",
                           field);
        return false;
    }
    *ret = store_list_made(m);
    return true;
}

static bool strings_of(struct admin_call *c, struct span field, struct span array, struct store_list *ret)
{
    struct store_list_maker m = {0};
    struct json_iter it = json_iter(array);
    struct span none, value, text;
    *ret = (struct store_list){{NULL, 0}, 0};
    if (json_type(array) == JSON_NULL) return true;
    if (json_type(array) != JSON_ARRAY) return admin_bad(c, "The field '%' is a list of strings.", field);
    if (!list_begin(c, &m, array, 16)) return false;
    while (json_next(&it, &none, &value)) {
        if (!admin_read_text(c, field, value, &text)) return false;
        if (text.n == 0) return admin_bad(c, "The list '%' holds an empty string.", field);
        store_list_add(&m, text);
    }
    return list_end(c, field, &m, ret);
}

static bool cidrs_of(struct admin_call *c, struct span array, struct store_list *ret)
{
    static const char *const mend =
        "Each of 'cidrs' is a network such as 10.0.0.0/8 or 2001:db8::/32, not %.";
    struct store_list_maker m = {0};
    struct json_iter it = json_iter(array);
    struct span none, value, text;
    *ret = (struct store_list){{NULL, 0}, 0};
    if (json_type(array) == JSON_NULL) return true;
    if (json_type(array) != JSON_ARRAY)
        return admin_bad(c, "The field '%' is a list of strings.", SPAN("cidrs"));
    // The shortest text, "::/0", becomes a whole struct.
    if (!list_begin(c, &m, array, array.n / 4 * (uint32_t)sizeof(struct store_cidr))) return false;
    while (json_next(&it, &none, &value)) {
        struct io_cidr net;
        struct store_cidr cidr = {0};
        if (!admin_read_text(c, SPAN("cidrs"), value, &text)) return false;
        if (io_cidr_parse(text, &net) != RW_OK) return admin_bad(c, mend, text);
        // io/ keeps IPv4 as ::ffff:a.b.c.d.
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        const bool v4 = net.bits >= 96 && memcmp(net.bytes, mapped, sizeof mapped) == 0;
        cidr.bytes = v4 ? 4 : 16;
        cidr.bits = v4 ? (uint8_t)(net.bits - 96) : net.bits;
        memcpy(cidr.address, v4 ? net.bytes + 12 : net.bytes, cidr.bytes);
        store_list_add(&m, span_of(&cidr, sizeof cidr));
    }
    return list_end(c, SPAN("cidrs"), &m, ret);
}

static bool tags_of(struct admin_call *c, struct span object, struct store_list *ret)
{
    struct store_list_maker m = {0};
    struct json_iter it = json_iter(object);
    struct span key, value, name, text;
    *ret = (struct store_list){{NULL, 0}, 0};
    if (json_type(object) == JSON_NULL) return true;
    if (json_type(object) != JSON_OBJECT)
        return admin_bad(c, "The field '%' is an object of strings.", SPAN("tags"));
    if (!list_begin(c, &m, object, 16)) return false;
    while (json_next(&it, &key, &value)) {
        uint8_t *buf = arena_alloc(c->arena, key.n + value.n + 1);
        if (!buf || json_unescape(key, JSON_LONE_REFUSE, buf, key.n, &name) || name.n == 0 ||
            span_find(name, '=') < name.n)
            return admin_bad(c, "A name in '%' is empty or holds '='.", SPAN("tags"));
        if (!admin_read_text(c, SPAN("tags"), value, &text)) return false;
        memmove(buf, name.p, name.n);
        buf[name.n] = '=';
        if (text.n) memcpy(buf + name.n + 1, text.p, text.n);
        store_list_add(&m, span_of(buf, name.n + 1 + text.n));
    }
    return list_end(c, SPAN("tags"), &m, ret);
}

// "30d" from now, or a time in UTC; null: never.
static bool expires_of(struct admin_call *c, struct span value, int64_t *ret_ms)
{
    static const char *const mend =
        "The field '%' is a time in UTC such as 2027-01-31T00:00:00Z, or a duration such as 30d, 12h, 90m.";
    struct span text;
    char copy[32];
    struct tm tm = {0};
    *ret_ms = 0;
    if (json_type(value) == JSON_NULL) return true;
    if (!admin_read_text(c, SPAN("expires"), value, &text)) return false;
    if (text.n < 2 || text.n >= sizeof copy) return admin_bad(c, mend, SPAN("expires"));
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end) end = strptime(copy, "%Y-%m-%d", &tm);
    if (end && !*end) {
        // 0 would be never.
        const int64_t ms = (int64_t)timegm(&tm) * 1000;
        *ret_ms = ms > 0 ? ms : 1;
        return true;
    }
    uint64_t n;
    const int64_t unit = text.p[text.n - 1] == 'd' ? 86400
        : text.p[text.n - 1] == 'h'                ? 3600
        : text.p[text.n - 1] == 'm'                ? 60
                                                   : 0;
    if (unit == 0 || !span_u64((struct span){text.p, text.n - 1}, &n) || n == 0 || n > 36500 * 24 * 60)
        return admin_bad(c, mend, SPAN("expires"));
    *ret_ms = c->admin->wall_ms() + (int64_t)n * unit * 1000;
    return true;
}

static bool member_of(struct admin_call *c, struct span key, struct span value, struct store_account *a,
                      struct admin_more *more)
{
    if (json_key_is(key, SPAN("name"))) return admin_read_text(c, SPAN("name"), value, &a->name);
    if ((a->kind == STORE_KEY && json_key_is(key, SPAN("team"))) ||
        (a->kind == STORE_TEAM && json_key_is(key, SPAN("tenant"))))
        return admin_read_text(c, key, value, &more->parent);
    if (a->kind == STORE_KEY && json_key_is(key, SPAN("key")))
        return admin_read_text(c, key, value, &more->key);
    if (json_key_is(key, SPAN("limits"))) return admin_limits_read(c, value, &a->limits);
    if (a->kind == STORE_PLAN)
        return admin_bad(c, "The field '%' is unknown: a plan has name and limits.", key);
    if (json_key_is(key, SPAN("plan"))) {
        a->plan = (struct span){NULL, 0};
        if (json_type(value) == JSON_NULL) return true;
        return admin_read_text(c, SPAN("plan"), value, &a->plan) &&
            (a->plan.n > 0 ||
             admin_bad(c, "The field '%' is empty:|null takes the plan away.", SPAN("plan")));
    }
    if (json_key_is(key, SPAN("models"))) return strings_of(c, SPAN("models"), value, &a->models);
    if (json_key_is(key, SPAN("providers"))) return strings_of(c, SPAN("providers"), value, &a->providers);
    if (json_key_is(key, SPAN("regions"))) return strings_of(c, SPAN("regions"), value, &a->regions);
    if (json_key_is(key, SPAN("cidrs"))) return cidrs_of(c, value, &a->cidrs);
    if (json_key_is(key, SPAN("tags"))) return tags_of(c, value, &a->tags);
    if (json_key_is(key, SPAN("expires"))) return expires_of(c, value, &a->expires_ms);
    if (json_key_is(key, SPAN("disabled"))) {
        bool disabled;
        if (!admin_read_bool(c, SPAN("disabled"), value, &disabled)) return false;
        a->flags = disabled ? a->flags | STORE_DISABLED : a->flags & ~(uint32_t)STORE_DISABLED;
        return true;
    }
    return admin_bad(c, "The field '%' is unknown.", key);
}

bool admin_account_read(struct admin_call *c, struct span body, struct store_account *a,
                        struct admin_more *more)
{
    struct json_iter it = json_iter(body);
    struct span key, value;
    *more = (struct admin_more){{NULL, 0}, {NULL, 0}};
    while (json_next(&it, &key, &value))
        if (!member_of(c, key, value, a, more)) return false;
    return true;
}
