// See admin.h.
#include "control/admin.h"

#include "wire/json.h"
#include "wire/url.h"

void admin_begin(struct admin_call *c, uint16_t status)
{
    c->status = status;
    json_out_init(&c->out, c->arena);
}

void admin_refuse(struct admin_call *c, uint16_t status, const char *text, struct span detail)
{
    const char *hole = strchr(text, '%');
    const size_t before = hole ? (size_t)(hole - text) : strlen(text);
    admin_begin(c, status);
    struct json_out *o = &c->out;
    json_out_object(o);
    json_out_key_object(o, SPAN("error"));
    json_out_key(o, SPAN("message"));
    json_out_open(o);
    json_out_piece(o, span_of(text, before));
    if (hole) {
        json_out_piece(o, detail);
        json_out_piece(o, span_str(hole + 1));
    }
    json_out_close(o);
    json_out_key_string(o, SPAN("type"), SPAN("gateway_error"));
    json_out_key_u64(o, SPAN("code"), status);
    json_out_end(o);
    json_out_end(o);
}

void admin_refuse_err(struct admin_call *c, enum rw_err err)
{
    switch ((int)err) {
    case RW_E_NOT_FOUND: admin_refuse(c, 404, "There is none of that id or name.", SPAN("")); break;
    case -EEXIST:
        admin_refuse(c, 409, "That name or key is taken: choose another, or change the one there is.",
                     SPAN(""));
        break;
    case -ENOTEMPTY:
        admin_refuse(c, 409, "It still has teams or keys: delete those first, or give them another plan.",
                     SPAN(""));
        break;
    case RW_E_BAD: admin_refuse(c, 400, "The name is empty, or has control characters.", SPAN("")); break;
    case RW_E_TOO_LARGE: admin_refuse(c, 400, "The name or the lists are too long.", SPAN("")); break;
    case RW_E_FULL:
        admin_refuse(c, 507, "The store's reserved space is used up: see the log for the mend.", SPAN(""));
        break;
    case -ENOSPC:
        admin_refuse(c, 507, "The disk is full: nothing was changed. Make room and try again.", SPAN(""));
        break;
    default:
        admin_refuse(c, 500, "The store failed (%): nothing was changed.", span_str(rw_err_name((int)err)));
        break;
    }
}

struct span admin_query(struct admin_call *c, struct span name)
{
    struct span value, decoded;
    if (url_query_find(c->query, name, &value) == 0) return (struct span){NULL, 0};
    uint8_t *buf = arena_alloc(c->arena, value.n);
    if (!buf || url_decode(value, true, buf, value.n, &decoded)) return (struct span){NULL, 0};
    return decoded;
}

bool admin_query_u64(struct admin_call *c, struct span name, uint64_t least, uint64_t most, uint64_t *value)
{
    const struct span text = admin_query(c, name);
    uint64_t n;
    if (!text.p) return true;
    if (span_u64(text, &n) && n >= least && n <= most) {
        *value = n;
        return true;
    }
    admin_refuse(c, 400, "The parameter '%' is a whole number; see /openapi.json for its bounds.", name);
    return false;
}

struct collection {
    struct span name;
    enum store_kind kind;
};

static const struct collection collections[] = {
    {SPAN_INIT("tenants"), STORE_TENANT},
    {SPAN_INIT("teams"), STORE_TEAM},
    {SPAN_INIT("keys"), STORE_KEY},
    {SPAN_INIT("plans"), STORE_PLAN},
};

static void route(struct admin_call *c)
{
    struct span rest = c->path, segment[4] = {{NULL, 0}};
    uint32_t n = 0;
    if (url_path_check(c->path) == URL_PATH_BAD || !url_path_below(c->path, SPAN(ADMIN_PREFIX))) {
        admin_refuse(c, 404, "Not found: %", c->path);
        return;
    }
    rest = span_from(rest, sizeof ADMIN_PREFIX - 1);
    while (n < 4 && url_path_next(&rest, &segment[n])) {
        uint8_t *buf = arena_alloc(c->arena, segment[n].n);
        if (!buf || url_decode(segment[n], false, buf, segment[n].n, &segment[n])) break;
        n++;
    }
    for (size_t i = 0; i < sizeof collections / sizeof *collections && n > 0 && n < 4; i++) {
        if (!span_eq(segment[0], collections[i].name)) continue;
        admin_accounts(c, collections[i].kind, segment[1], segment[2]);
        return;
    }
    if (n == 1 && span_eq(segment[0], SPAN("audit"))) admin_audit(c);
    else if (n == 1 && span_eq(segment[0], SPAN("usage"))) admin_usage(c);
    else if (n == 2 && span_eq(segment[0], SPAN("explain"))) admin_explain(c, segment[1]);
    else admin_refuse(c, 404, "Not found: %", c->path);
}

void admin_run(const struct admin *a, struct admin_call *c)
{
    c->admin = a;
    c->allow = NULL;
    if (c->body.n) {
        struct json_scan *s = arena_alloc(c->arena, sizeof *s);
        char why[80];
        if (!s) {
            admin_refuse(c, 503, "The gateway is out of room. Try again shortly.", SPAN(""));
        } else if (json_scan(s, NULL, JSON_TOP_OBJECT, c->body) < 0) {
            const uint32_t n = json_scan_say(s, why, sizeof why);
            admin_refuse(c, 400, "The request body is not valid JSON: %.", span_of(why, n));
        } else {
            route(c);
        }
    } else {
        route(c);
    }
    if (json_out_done(&c->out)) {
        // What was too large to be said is said shortly.
        admin_refuse(c, 503,
                     "The answer is larger than the gateway's room for it: ask for less with ?limit=.",
                     SPAN(""));
    }
}
