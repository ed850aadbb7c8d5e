// See admin.h.
#include "control/admin.h"

#include "base/fmt.h"
#include "wire/json.h"
#include "wire/url.h"

#define PAGE 100
#define PAGE_MAX 1000
#define TEXT_BYTES_MAX 1024

void admin_begin(struct admin_call *c, uint16_t status)
{
    c->status = status;
    json_out_init(&c->out, c->arena);
}

// The text with its hole filled, and its bar a space; *ret_mend is what stands behind that.
static struct span worded(struct admin_call *c, const char *text, struct span detail, struct span *ret_mend)
{
    // What is too long to be repeated is cut, not the words.
    const struct span shown = {detail.p, detail.n < 256 ? detail.n : 256};
    char *buf = arena_alloc(c->arena, TEXT_BYTES_MAX);
    struct fmt f;
    uint32_t mend = 0;
    if (!buf) return span_str("The gateway is out of room. Try again shortly.");
    fmt_init(&f, buf, TEXT_BYTES_MAX);
    for (; *text; text++) {
        if (*text == '%') fmt_span(&f, shown);
        else fmt_char(&f, *text == '|' ? ' ' : *text);
        if (*text == '|') mend = f.n;
    }
    const struct span whole = fmt_text(&f);
    if (mend) *ret_mend = span_from(whole, mend);
    return whole;
}

void admin_refuse_field(struct admin_call *c, uint16_t status, struct span field, const char *text,
                        struct span detail)
{
    struct span mend = status == 400 ? SPAN("GET /openapi.json says what each field may be.") : SPAN("");
    const struct span message = worded(c, text, detail, &mend);
    admin_begin(c, status);
    c->etag[0] = 0;
    struct json_out *o = &c->out;
    json_out_object(o);
    json_out_key_object(o, SPAN("error"));
    json_out_key_string(o, SPAN("message"), message);
    json_out_key_string(o, SPAN("type"), SPAN("gateway_error"));
    json_out_key_u64(o, SPAN("code"), status);
    if (field.n) json_out_key_string(o, SPAN("field"), field);
    if (mend.n) json_out_key_string(o, SPAN("mend"), mend);
    json_out_end(o);
    json_out_end(o);
}

void admin_refuse(struct admin_call *c, uint16_t status, const char *text, struct span detail)
{
    admin_refuse_field(c, status, SPAN(""), text, detail);
}

void admin_refuse_err(struct admin_call *c, enum rw_err err)
{
    switch ((int)err) {
    case RW_E_NOT_FOUND:
        admin_refuse(c, 404, "There is none of that id or name.|List them to see what there is.", SPAN(""));
        break;
    case -EEXIST:
        admin_refuse(c, 409, "That name or key is taken:|choose another, or change the one there is.",
                     SPAN(""));
        break;
    case -ENOTEMPTY:
        admin_refuse(c, 409, "It still has teams or keys:|delete those first, or give them another plan.",
                     SPAN(""));
        break;
    case -ESTALE:
        admin_refuse(c, 412, "It was changed since that version:|read it again and decide anew.", SPAN(""));
        break;
    case RW_E_BAD:
        admin_refuse_field(c, 400, SPAN("name"), "The name is empty, or has control characters.", SPAN(""));
        break;
    case RW_E_TOO_LARGE:
        admin_refuse(c, 413, "The name or the lists are too long:|a record has room for 16 KB.", SPAN(""));
        break;
    case RW_E_FULL:
        admin_refuse(c, 507, "The store's reserved space is used up:|see the log for the mend.", SPAN(""));
        break;
    case -ENOSPC:
        admin_refuse(c, 507, "The disk is full: nothing was changed.|Make room and try again.", SPAN(""));
        break;
    default:
        admin_refuse(c, 500, "The store failed (%): nothing was changed.|See the log.",
                     span_str(rw_err_name((int)err)));
        break;
    }
}

bool admin_reader(struct admin_call *c, enum store_env env, struct store_reader **ret)
{
    const enum rw_err err = store_reader_open(c->admin->store, env, ret);
    if (err) admin_refuse_err(c, err);
    return err == RW_OK;
}

// --- The query.

struct span admin_query(struct admin_call *c, struct span name)
{
    struct span value, decoded;
    if (url_query_find(c->query, name, &value) == 0) return (struct span){NULL, 0};
    uint8_t *buf = arena_alloc(c->arena, value.n + 1);
    if (!buf || url_decode(value, true, buf, value.n, &decoded)) return (struct span){NULL, 0};
    // Of a value of no bytes, too, it is known that it was there.
    if (decoded.n == 0) decoded.p = buf;
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
    admin_refuse_field(c, 400, name, "The parameter '%' is a whole number:|see /openapi.json for its bounds.",
                       name);
    return false;
}

bool admin_query_page(struct admin_call *c, uint64_t *ret_limit, uint64_t *ret_after)
{
    *ret_limit = PAGE;
    *ret_after = 0;
    return admin_query_u64(c, SPAN("limit"), 1, PAGE_MAX, ret_limit) &&
        admin_query_u64(c, SPAN("after"), 0, UINT32_MAX, ret_after);
}

void admin_list_end(struct admin_call *c, uint64_t next)
{
    json_out_end(&c->out);
    json_out_key(&c->out, SPAN("next"));
    if (next) json_out_u64(&c->out, next);
    else json_out_null(&c->out);
    json_out_end(&c->out);
}

static void refuse_value(struct admin_call *c, const struct admin_field *p)
{
    char text[256];
    struct fmt f;
    struct span rest = span_str(p->more), word;
    fmt_init(&f, text, sizeof text - 1);
    fmt_str(&f, "The parameter '%' is one of ");
    for (bool first = true; span_split(&rest, '|', &word); first = false) {
        if (!first) fmt_str(&f, ", ");
        fmt_span(&f, word);
    }
    fmt_char(&f, '.');
    text[f.n] = 0;
    admin_refuse_field(c, 400, span_str(p->name), text, span_str(p->name));
}

// What the table says of parameters holds for all of them: none twice, none empty that must not be, words out of their list.
static bool check_parameter(struct admin_call *c, const struct admin_field *p)
{
    const struct span name = span_str(p->name), value = admin_query(c, name);
    struct span rest = span_str(p->more ? p->more : ""), word, raw;
    if (!value.p) {
        if (url_query_find(c->query, name, &raw) == 0) return true;
        admin_refuse_field(c, 400, name, "The parameter '%' is not encoded as a URL wants it.", name);
        return false;
    }
    if (p->type != ADMIN_TEXT) return true;
    bool good = value.n >= p->least && !p->more;
    while (!good && p->more && span_split(&rest, '|', &word)) good = span_eq(word, value);
    if (!good && p->more) refuse_value(c, p);
    else if (!good)
        admin_refuse_field(c, 400, name, "The parameter '%' is empty:|leave it out, or say what to look for.",
                           name);
    return good;
}

// --- The way to the operation.

static void wrong_method(struct admin_call *c, uint32_t methods)
{
    char *allow = arena_alloc(c->arena, 128);
    struct fmt f;
    if (!allow) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    fmt_init(&f, allow, 127);
    if (methods & 1u << HTTP_GET) methods |= 1u << HTTP_HEAD;
    for (uint32_t m = 0; m < HTTP_METHOD_OTHER; m++) {
        if (!(methods & 1u << m)) continue;
        if (f.n) fmt_str(&f, ", ");
        fmt_span(&f, http_method_name((enum http_method)m));
    }
    allow[f.n] = 0;
    admin_refuse(c, 405, "Method not allowed:|use one of %.", fmt_text(&f));
    c->allow = allow;
}

static bool find_route(struct admin_call *c)
{
    struct span rest = c->path, segment[ADMIN_SEGMENTS_MAX];
    uint32_t n = 0, methods = 0;
    bool good = url_path_check(c->path) != URL_PATH_BAD;
    while (good && n < ADMIN_SEGMENTS_MAX && url_path_next(&rest, &segment[n])) {
        uint8_t *buf = arena_alloc(c->arena, segment[n].n + 1);
        good = buf && url_decode(segment[n], false, buf, segment[n].n, &segment[n]) == RW_OK;
        if (good) n++;
    }
    if (good) c->route = admin_route_find(c->method, segment, n, &methods, &c->id);
    if (c->route) return true;
    if (methods) wrong_method(c, methods);
    else admin_refuse(c, 404, "Not found: %|GET /openapi.json lists what there is.", c->path);
    return false;
}

static bool check_body(struct admin_call *c)
{
    char why[80];
    if (!c->route->body) {
        c->body = SPAN("");
        return true;
    }
    if (c->body.n == 0 && (c->route->flags & ADMIN_BODY_FREE)) return true;
    struct json_scan *s = arena_alloc(c->arena, sizeof *s);
    if (!s) {
        admin_refuse(c, 503, "The gateway is out of room.|Try again shortly.", SPAN(""));
        return false;
    }
    if (c->body.n == 0) {
        admin_refuse(c, 400, "The request has no body:|send a JSON object.", SPAN(""));
        return false;
    }
    if (json_scan(s, NULL, JSON_TOP_OBJECT, c->body) >= 0) return true;
    const uint32_t n = json_scan_say(s, why, sizeof why);
    admin_refuse(c, 400, "The request body is not valid JSON: %.|Send a JSON object.", span_of(why, n));
    return false;
}

bool admin_begin_call(const struct admin *a, struct admin_call *c)
{
    c->admin = a;
    c->allow = NULL;
    c->route = NULL;
    c->id = (struct span){NULL, 0};
    c->etag[0] = 0;
    c->tries = 0;
    if (!find_route(c) || !check_body(c)) return false;
    for (uint32_t i = 0; i < c->route->param_count; i++)
        if (!check_parameter(c, &c->route->params[i])) return false;
    if ((c->route->flags & ADMIN_LIVE) && !a->live) {
        admin_refuse(c, 409, "No server runs with this configuration:|start it with 'ringway serve'.",
                     SPAN(""));
        return false;
    }
    if (!a->store && !(c->route->flags & ADMIN_NO_STORE)) {
        admin_refuse(c, 409, "Nothing is kept, since there is no data_dir:|set data_dir and start again.",
                     SPAN(""));
        return false;
    }
    return true;
}

void admin_run_found(struct admin_call *c)
{
    do {
        c->again = false;
        c->route->run(c);
    } while (c->again);
    if (json_out_done(&c->out)) {
        // What was too large to be said is said shortly.
        admin_refuse(c, 503,
                     "The answer is larger than the gateway's room for it:|ask for less with ?limit=.",
                     SPAN(""));
    }
}

void admin_run(const struct admin *a, struct admin_call *c)
{
    if (admin_begin_call(a, c)) admin_run_found(c);
}
