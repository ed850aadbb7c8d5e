// What the head says: the first stage. Nothing here waits.
#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "wire/url.h"

// A client's own id is kept for the log if it is short and printable.
#define CLIENT_REQUEST_ID_BYTES_MAX 128

static struct span client_request_id(const struct http_head *head)
{
    const struct span id = http_value(head, HTTP_N_X_REQUEST_ID);
    return id.n <= CLIENT_REQUEST_ID_BYTES_MAX ? id : (struct span){NULL, 0};
}

// "/dev/v1/chat" as "/v1/chat": what API Gateway puts in front.
static struct span strip_stage(struct span path)
{
    static const struct span stages[] = {SPAN_INIT("/dev"), SPAN_INIT("/staging"), SPAN_INIT("/prod")};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (span_starts(path, stages[i]) && path.n > stages[i].n && path.p[stages[i].n] == '/')
            return span_from(path, stages[i].n);
    return path;
}

// The path behind base_path; false if it does not begin with it.
static bool strip_base(const struct plan *plan, struct span *path)
{
    const struct span base = plan->base_path;
    if (base.n == 0) return true;
    if (!span_starts(*path, base) || (path->n > base.n && path->p[base.n] != '/')) return false;
    *path = path->n > base.n ? span_from(*path, base.n) : SPAN("/");
    return true;
}

static enum stage preflight(struct exchange *x)
{
    struct call_field fields[CALL_FIELDS_MAX];
    struct call_reply reply;
    exchange_reply_init(x, &reply, fields);
    reply.status = 204;
    reply.length = 0;
    x->call->ops->reply_start(x->call, &reply);
    const int r = x->call->ops->reply_write(x->call, NULL, 0, true, exchange_write_until(x));
    return r < 0 ? exchange_fail_client(x, r) : STAGE_DONE;
}

static const char *allow_text(uint32_t methods)
{
    return methods == ROUTE_POST ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

enum stage exchange_identify(struct exchange *x)
{
    const struct call *call = x->call;
    const struct http_head *head = &call->head;
    x->route = &route_unknown;
    if (!call_has_head(call)) return exchange_fail(x, call->bad, call->bad_reason);
    x->client_request_id = client_request_id(head);
    x->path = http_path(head);
    if (head->method == HTTP_OPTIONS && x->path.n == 1 && x->path.p[0] == '*')
        return call->bad != END_OK ? exchange_fail(x, call->bad, call->bad_reason) : preflight(x);
    if (RW_UNLIKELY(x->plan->strip_stage_prefix)) x->path = strip_stage(x->path);
    struct span path = x->path;
    const bool ours = strip_base(x->plan, &path);
    // Probes find their routes with and without the prefix.
    const struct route *route = route_find(ours ? path : x->path, &x->rest);
    // A path that is a route's own, letter by letter, holds nothing to be refused.
    if ((route->kind == ROUTE_NONE || x->rest.n) && url_path_check(x->path) == URL_PATH_BAD)
        return exchange_fail(x, END_BAD_REQUEST, "the path holds dot segments or malformed escapes");
    if (ours) x->path = path;
    if (ours || route->kind == ROUTE_HEALTH || route->kind == ROUTE_READY) x->route = route;
    if (route->chat && http_has(head, HTTP_N_USER_AGENT))
        x->route = route_for_sdk(x->route, http_value(head, HTTP_N_USER_AGENT));
    // Turned away: by now it is known in which dialect.
    if (call->bad != END_OK) return exchange_fail(x, call->bad, call->bad_reason);
    if (x->route->kind == ROUTE_NONE)
        return exchange_fail_text(x, END_NO_ROUTE, http_method_text(head), SPAN(" "), x->path);
    if (head->method == HTTP_OPTIONS) return preflight(x);
    if (!(x->route->methods & 1u << head->method) || head->method == HTTP_METHOD_OTHER) {
        x->allow = allow_text(x->route->methods);
        return exchange_fail_text(x, END_BAD_METHOD, http_method_text(head),
                                  SPAN(" is not served here, use "),
                                  span_str(x->route->methods == ROUTE_POST ? "POST" : "GET"));
    }
    if (head->framing.websocket) return exchange_fail(x, END_UPGRADE, NULL);
    return STAGE_GO;
}
