// One request of the control loop to somebody who hands out credentials: a connection of its own, over TLS or not, and what is
// read of the answer.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/config_priv.h"
#include "control/credentials_priv.h"
#include "net/upstream.h"
#include "wire/url.h"

bool credentials_fail(struct credentials_job *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(j->why, sizeof j->why, format, args);
    va_end(args);
    return false;
}

// --- Where it is.

struct lookup {
    struct fiber_event done;
    struct io_addr addr[UP_ADDRS_MAX];
    uint32_t n;
};

static void resolved(void *ctx, const struct io_addr_set *set, int err)
{
    struct lookup *l = ctx;
    (void)err;
    for (l->n = 0; set && l->n < set->n && l->n < UP_ADDRS_MAX; l->n++) l->addr[l->n] = set->addr[l->n];
    fiber_event_set(&l->done);
}

static bool look_up(struct credentials_job *j, const struct url *url, int64_t until_ns, struct lookup *l)
{
    struct io_watch *watch = NULL;
    fiber_event_init(&l->done);
    l->n = 0;
    if (io_resolver_watch(j->source->all->resolver, url->host, url->port, resolved, l, &watch) == RW_OK) {
        if (fiber_wait(&l->done, until_ns) < 0) l->n = 0;
        io_resolver_unwatch(watch);
    }
    return l->n > 0 || credentials_fail(j, "the name %.*s cannot be resolved", SPAN_ARG(url->host));
}

// --- One exchange.

struct asking {
    struct up_origin origin;
    struct up_shared shared;
    struct lookup lookup;
    struct plan_tls_made tls;
    struct http_head head;
    char host[TLS_HOST_BYTES_MAX + 1];
};

// What is sent before `lines`.
static bool write_head(struct credentials_job *j, const char *method, const struct url *url,
                       struct span lines, struct span body, struct iovec *ret)
{
    const uint32_t cap = 512 + url->authority.n + url->path.n + url->query.n + lines.n;
    uint8_t *bytes = malloc(cap);
    if (!bytes) return credentials_fail(j, "out of memory");
    struct http_writer w = http_writer(bytes, cap);
    http_write_raw(&w, span_str(method));
    http_write_raw(&w, SPAN(" "));
    http_write_raw(&w, url->path.n ? url->path : SPAN("/"));
    if (url->has_query) http_write_raw(&w, SPAN("?"));
    http_write_raw(&w, url->query);
    http_write_raw(&w, SPAN(" HTTP/1.1\r\nuser-agent: ringway\r\naccept: */*\r\nconnection: close\r\n"));
    http_write_field(&w, SPAN("host"), url->authority);
    http_write_raw(&w, lines);
    if (strcmp(method, "GET") != 0) http_write_field_u64(&w, SPAN("content-length"), body.n);
    const uint32_t n = http_write_end(&w);
    if (!n) {
        free(bytes);
        return credentials_fail(j, "a request to %.*s cannot be written", SPAN_ARG(url->host));
    }
    *ret = (struct iovec){.iov_base = bytes, .iov_len = n};
    return true;
}

static bool exchange(struct credentials_job *j, struct asking *a, const struct iovec *head, struct span body,
                     enum http_method method, const struct url *url, int64_t until_ns)
{
    struct up_conn *c = NULL;
    const struct up_patience patience = {.connect_ns = 0, .tls_ns = 0, .until_ns = until_ns};
    int r = up_take(&a->origin, true, &patience, &c);
    if (r < 0)
        return credentials_fail(j, "no connection to %.*s: %s", SPAN_ARG(url->authority),
                                r == RW_E_TLS ? tls_why_text(a->origin.tls_why) : rw_err_name(r));
    struct iovec iov[2] = {*head, {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n}};
    struct span whole = {NULL, 0};
    r = up_send(c, iov, body.n ? 2 : 1, true, until_ns);
    if (r == 0) r = up_head(c, method, until_ns, &a->head);
    if (r == 0) j->status = a->head.status;
    if (r == 0) r = up_body_whole(c, sizeof j->answer, until_ns, &whole);
    if (r == 0 && whole.n) memcpy(j->answer, whole.p, whole.n);
    j->body = span_of(j->answer, r == 0 ? whole.n : 0);
    up_give(c);
    return r == 0 || credentials_fail(j, "no answer of %.*s: %s", SPAN_ARG(url->authority), rw_err_name(r));
}

static bool open_tls(struct credentials_job *j, struct asking *a, const struct url *url)
{
    if (url->host.n >= sizeof a->host) return credentials_fail(j, "the name of a host is too long");
    memcpy(a->host, url->host.p, url->host.n);
    const struct config_provider who = {.name = j->source->name,
                                        .base_url = {.host = a->host, .authority = a->host, .tls = true}};
    return plan_tls_client(j->source->all->tls, &who, &a->tls, j->why, sizeof j->why);
}

bool credentials_ask(struct credentials_job *j, const char *method, const char *url, struct span lines,
                     struct span body, int64_t timeout_ns)
{
    struct io_loop *loop = j->source->all->loop;
    const int64_t until_ns = loop->now_ns + timeout_ns;
    struct url u;
    const char *why = NULL;
    struct iovec head = {0};
    if (url_parse(span_str(url), &u, &why)) return credentials_fail(j, "%s: %s", url, why);
    // url_parse() leaves a slash at the end out; EC2's metadata service tells a list by it.
    if (u.path.n && u.path.p[u.path.n] == '/') u.path.n++;
    struct asking *a = calloc(1, sizeof *a);
    if (!a) return credentials_fail(j, "out of memory");
    bool good = look_up(j, &u, until_ns, &a->lookup) && (!u.tls || open_tls(j, a, &u)) &&
        write_head(j, method, &u, lines, body, &head);
    if (good) {
        a->shared = (struct up_shared){.open_max = 1};
        up_origin_open(&a->origin, loop, &a->shared, a->lookup.addr, a->lookup.n, &(struct io_addr){0});
        up_origin_tls(&a->origin, a->tls.client, NULL);
        const enum http_method m = strcmp(method, "POST") == 0 ? HTTP_POST : HTTP_GET;
        good = exchange(j, a, &head, body, m, &u, until_ns);
        up_origin_close(&a->origin);
        fiber_shield();
        while (!up_origin_closed(&a->origin)) fiber_sleep(loop->now_ns + CLOCK_MS);
        fiber_unshield();
        crypto_wipe(head.iov_base, head.iov_len);
        free(head.iov_base);
    }
    tls_client_let_go(a->tls.client);
    free(a);
    return good;
}

// What an error says, as far as it is one of the forms that token services use.
static void say_refusal(struct credentials_job *j, const char *url)
{
    char text[160] = "";
    static const char *const keys[] = {"error_description", "message", "Message", "error"};
    if (credentials_is_object(j, j->body))
        for (size_t i = 0; i < sizeof keys / sizeof *keys && !*text; i++)
            (void)credentials_member(j->body, keys[i], text, sizeof text);
    for (char *p = text; *p; p++)
        if ((uint8_t)*p < ' ' || *p == 0x7f) *p = ' ';
    const char *query = strchr(url, '?'); // may hold more than is to be shown
    credentials_fail(j, "%.*s answered %u%s%s", query ? (int)(query - url) : (int)strlen(url), url, j->status,
                     *text ? ": " : "", text);
}

bool credentials_ask_json(struct credentials_job *j, const char *method, const char *url, struct span lines,
                          struct span body, int64_t timeout_ns)
{
    if (!credentials_ask(j, method, url, lines, body, timeout_ns)) return false;
    if (j->status != 200) {
        say_refusal(j, url);
        return false;
    }
    return credentials_is_object(j, j->body) || credentials_fail(j, "the answer of %s is no JSON", url);
}

// --- What is read.

bool credentials_is_object(struct credentials_job *j, struct span text)
{
    return json_scan(&j->scan, NULL, JSON_TOP_OBJECT, text) >= 0;
}

bool credentials_member(struct span object, const char *key, char *out, size_t cap)
{
    struct span raw, text;
    out[0] = 0;
    if (!json_member(object, span_str(key), &raw) || raw.n < 2 || raw.p[0] != '"' || raw.n > cap)
        return false;
    if (json_string(raw, JSON_LONE_REFUSE, (uint8_t *)out, (uint32_t)cap, &text) || text.n >= cap)
        return false;
    if (text.n) memmove(out, text.p, text.n);
    out[text.n] = 0;
    return strlen(out) == text.n;
}

bool credentials_number(struct span object, const char *key, int64_t *ret)
{
    struct span raw;
    uint64_t n;
    if (!json_member(object, span_str(key), &raw)) return false;
    if (raw.n > 2 && raw.p[0] == '"') raw = span_of(raw.p + 1, raw.n - 2);
    if (!span_u64(raw, &n) || n > INT32_MAX) return false;
    *ret = (int64_t)n;
    return true;
}

int64_t credentials_file(struct credentials_job *j, const char *path, char *out, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && n < cap; n += (size_t)got) {
        got = read(fd, out + n, cap - n);
        if (got < 0) break;
    }
    if (fd >= 0) close(fd);
    if (fd < 0 || n == cap) {
        credentials_fail(j, "%s cannot be read: %s", path, fd < 0 ? strerror(errno) : "it is too long");
        return -1;
    }
    out[n] = 0;
    return (int64_t)n;
}

int64_t credentials_now_s(const struct credentials_job *j)
{
    return j->source->all->loop->wall_ns / CLOCK_SEC;
}

const char *credentials_set(const struct credentials_job *j, enum credentials_setting which)
{
    return j->source->set[which] ? j->source->set[which] : "";
}

struct credential *credentials_bearer(struct credentials_job *j)
{
    static const char before[] = "authorization: Bearer ";
    char *token = j->text;
    int64_t lasts_s = 0;
    const size_t n = sizeof before - 1;
    memcpy(token, before, n);
    if (!credentials_member(j->body, "access_token", token + n, CREDENTIAL_BYTES_MAX - n - 2) || !token[n] ||
        !config_visible_ok(token + n) || !credentials_number(j->body, "expires_in", &lasts_s)) {
        credentials_fail(j, "the answer has no access_token with expires_in");
        return NULL;
    }
    memcpy(token + strlen(token), "\r\n", 3);
    struct credential *c = credential_fields(span_str(token), credentials_now_s(j) + lasts_s);
    if (!c) credentials_fail(j, "out of memory");
    return c;
}
