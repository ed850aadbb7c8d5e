// See admin_server.h.
#include "control/admin_server.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fmt.h"
#include "control/admin_backup.h"
#include "control/log.h"
#include "io/fiber.h"

#define BACKLOG 16
#define BODY_BYTES_MAX MIB(1)
// Bodies and answers of one call; a page of a thousand large records is 16 MB.
#define CALL_BYTES_MAX MIB(48)
#define IO_NS (30 * CLOCK_SEC)
#define WRONG_PAUSE_NS (250 * CLOCK_MS)
#define WRONG_FREE 8 // a second, without a pause
#define SAY_NS CLOCK_SEC
#define ACTOR_BYTES 96

struct job {
    const struct admin *admin;
    struct admin_call call;
    struct budget budget;
    struct arena_pool pool;
    struct arena arena;
};

static int run(void *arg)
{
    struct job *j = arg;
    admin_run_found(&j->call);
    return 0;
}

static void answer(struct call *call, const struct admin_call *a)
{
    struct call_field fields[4] = {{SPAN("content-type"), SPAN("application/json")},
                                   {SPAN("cache-control"), SPAN("no-store")}};
    uint32_t n = 2;
    if (a->allow) fields[n++] = (struct call_field){SPAN("allow"), span_str(a->allow)};
    if (a->etag[0]) fields[n++] = (struct call_field){SPAN("etag"), span_str(a->etag)};
    if (a->status == 401) fields[n++] = (struct call_field){SPAN("www-authenticate"), SPAN("Bearer")};
    const struct call_reply reply = {
        .fields = fields, .field_count = n, .status = a->status, .length = a->out.bytes};
    call->ops->reply_start(call, &reply);
    for (uint32_t at = 0; at < a->out.iov_n || at == 0;) {
        const uint32_t most = a->out.iov_n - at < CALL_IOV_MAX ? a->out.iov_n - at : CALL_IOV_MAX;
        const bool last = at + most == a->out.iov_n;
        if (call->ops->reply_write(call, a->out.iov + at, most, last, call->loop->now_ns + IO_NS) < 0 || last)
            return;
        at += most;
    }
}

// --- Who may.

static struct span token_of(const struct http_head *head)
{
    const struct span value = http_value(head, HTTP_N_AUTHORIZATION);
    if (value.n > 7 && span_ieq((struct span){value.p, 7}, SPAN("bearer ")))
        return span_trim(span_from(value, 7));
    return http_value(head, HTTP_N_X_API_KEY);
}

static void wrong_token(struct admin_server *s, struct call *call)
{
    const int64_t now_ns = call->loop->now_ns;
    s->refused++;
    if (s->said_ns == 0 || now_ns - s->said_ns > SAY_NS) {
        log_msg(LOG_WARNING, "a wrong admin token from %.*s (%llu since it was last said)",
                SPAN_ARG(call->client_text), (unsigned long long)s->refused);
        s->said_ns = now_ns;
        s->refused = 0;
    }
    // Guessing is slow, also for many at once: that many connections there are not.
    if (s->refused >= WRONG_FREE) (void)!fiber_sleep(now_ns + WRONG_PAUSE_NS);
}

// False: it was refused.
static bool may_call(struct admin_door *door, struct call *call, struct admin_call *c)
{
    struct admin_server *s = door->server;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    const struct span token = token_of(&call->head);
    if (!door->by_token) return true;
    if (c->route && (c->route->flags & ADMIN_OPEN)) return true;
    if (!s->has_token) {
        admin_refuse(c, 403,
                     "Administration over TCP is closed:|set admin.token in the configuration, or use the "
                     "command line on the machine itself.",
                     SPAN(""));
        return false;
    }
    if (!token.n) {
        admin_refuse(c, 401,
                     "Missing admin token:|send admin.token of the configuration as 'Authorization: "
                     "Bearer TOKEN'.",
                     SPAN(""));
        return false;
    }
    crypto_sha256(token.p, token.n, digest);
    if (crypto_equal(digest, s->token, sizeof digest)) return true;
    wrong_token(s, call);
    admin_refuse(c, 401, "Wrong admin token:|it is admin.token of the configuration, not an API key.",
                 SPAN(""));
    return false;
}

// --- A call.

static struct span field(const struct http_head *head, struct span name)
{
    const uint32_t i = http_find(head, name, 0);
    return i < head->field_count ? http_field_value(head, i) : (struct span){NULL, 0};
}

// Fills the call and says what is wrong with it before anything is looked up. True: go on.
static bool read_call(struct admin_door *door, struct call *call, struct job *j)
{
    struct admin_call *c = &j->call;
    struct span body = {NULL, 0};
    c->arena = &j->arena;
    c->admin = j->admin;
    if (call->bad != END_OK) {
        char text[256];
        const uint32_t n = end_text(call->bad, call->bad_reason, text, sizeof text);
        const uint16_t status = end_info(call->bad)->status;
        admin_refuse(c, status ? status : 400, "%", span_of(text, n));
        return false;
    }
    c->method = (enum http_method)call->head.method;
    c->path = http_path(&call->head);
    c->query = call->head.has_query ? http_query(&call->head) : SPAN("");
    c->if_match = field(&call->head, SPAN("if-match"));
    c->if_none_match = field(&call->head, SPAN("if-none-match"));
    c->actor = SPAN("socket");
    if (door->by_token) {
        char *actor = arena_alloc(&j->arena, ACTOR_BYTES);
        struct fmt f;
        fmt_init(&f, actor ? actor : "", actor ? ACTOR_BYTES : 0);
        fmt_str(&f, "admin token from ");
        fmt_span(&f, call->client_text);
        c->actor = actor ? fmt_text(&f) : SPAN("admin token");
    }
    // The route first: whether it asks for a token is written there. A refusal of it is not for those who have none.
    struct admin_call before = *c;
    (void)!admin_begin_call(j->admin, &before);
    c->route = before.route;
    if (!may_call(door, call, c)) return false;
    const enum rw_err err = call->ops->body_whole(call, BODY_BYTES_MAX, call->loop->now_ns + IO_NS, &body);
    if (err == RW_E_TOO_LARGE)
        admin_refuse(c, 413, "The request body is larger than 1 MB.|Split it.", SPAN(""));
    else if (err) admin_refuse(c, 400, "The request body did not arrive whole.", SPAN(""));
    c->body = body;
    return err == RW_OK && admin_begin_call(j->admin, c);
}

static void handle(struct call *call, void *ctx)
{
    struct admin_door *door = ctx;
    struct admin_server *s = door->server;
    struct job *j = arena_alloc(call->arena, sizeof *j);
    bool sent = false;
    if (!j || call->bad == END_OVERLOADED) {
        call->ops->reply_break(call);
        return;
    }
    *j = (struct job){.admin = s->cfg.admin, .budget = {.limit = CALL_BYTES_MAX}};
    arena_pool_init(&j->pool, &j->budget, 0);
    arena_init(&j->arena, &j->pool, CALL_BYTES_MAX);
    if (read_call(door, call, j)) {
        const uint16_t flags = j->call.route->flags;
        if (flags & ADMIN_BYTES) sent = admin_backup_send(call, s->cfg.offload, &j->call);
        else if (flags & ADMIN_LIVE) admin_run_found(&j->call);
        else if (io_offload(s->cfg.offload, run, j) != 0)
            admin_refuse(&j->call, 503, "The gateway is busy.|Try again shortly.", SPAN(""));
    }
    if (!sent) answer(call, &j->call);
    arena_done(&j->arena);
    arena_pool_done(&j->pool);
}

static bool may_connect(const struct admin_server *s, int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid() || (s->group >= 0 && (int64_t)peer.gid == s->group);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct admin_door *door = LIST_OWNER(op, struct admin_door, accept);
    (void)flags;
    if (res >= 0) {
        if (door->by_token || may_connect(door->server, res)) h1_accept(&door->http, res, &door->entry);
        else close(res);
    }
    if (!op->submitted && !op->cancelling) io_submit(door->server->cfg.loop, op);
}

// --- Opening and closing.

static enum rw_err door_open(struct admin_door *door, int fd)
{
    const struct h1_cfg http = {.head_bytes_max = HTTP_HEAD_BYTES,
                                .connections_max = 64,
                                .head_timeout_ns = 10 * CLOCK_SEC,
                                .idle_timeout_ns = 75 * CLOCK_SEC};
    struct io_loop *loop = door->server->cfg.loop;
    const enum rw_err err = h1_server_open(&door->http, loop, &http, handle, door);
    if (err) {
        loop->driver->ops->fd_close(loop->driver, fd);
        return err;
    }
    door->http.offload = door->server->cfg.offload;
    door->fd = fd;
    io_op_open(loop, &door->accept, IO_OP_ACCEPT, fd, accepted);
    io_submit(loop, &door->accept);
    return RW_OK;
}

static void door_close(struct admin_door *door)
{
    if (!door->fd) return;
    io_cancel(door->server->cfg.loop, &door->accept);
    h1_server_kill(&door->http, END_KILLED);
}

static bool door_closed(const struct admin_door *door)
{
    return !door->fd || (!door->accept.submitted && door->http.open == 0);
}

static void door_done(struct admin_door *door)
{
    if (!door->fd) return;
    struct io_loop *loop = door->server->cfg.loop;
    io_op_close(loop, &door->accept);
    loop->driver->ops->fd_close(loop->driver, door->fd);
    h1_server_close(&door->http);
    door->fd = 0;
}

// A socket file that a process left behind, or one that is alive?
static bool answers(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof a.sun_path) {
        if (fd >= 0) close(fd);
        return false;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    const bool alive = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return alive;
}

void admin_server_token(struct admin_server *s, const char *token)
{
    s->has_token = token != NULL;
    if (token) crypto_sha256(token, strlen(token), s->token);
}

void admin_server_tls(struct admin_server *s, struct tls_server *tls)
{
    struct tls_server *old = s->tcp.entry.tls;
    s->tcp.entry.tls = tls ? tls_server_hold(tls) : NULL;
    tls_server_let_go(old);
}

void admin_server_init(struct admin_server *s, const struct admin_server_cfg *cfg, const char *token)
{
    *s = (struct admin_server){.cfg = *cfg, .group = -1};
    s->socket.server = s->tcp.server = s;
    s->tcp.by_token = true;
    admin_server_token(s, token);
}

enum rw_err admin_server_open_socket(struct admin_server *s)
{
    const struct admin_server_cfg *cfg = &s->cfg;
    struct io_addr address;
    char text[STORE_PATH_BYTES_MAX + 8];
    snprintf(text, sizeof text, "unix:%s", cfg->path);
    RW_TRY(io_addr_parse(span_str(text), &address));
    if (answers(cfg->path)) return (enum rw_err) - EADDRINUSE;
    (void)unlink(cfg->path);
    const struct group *g = getgrnam("ringway");
    if (g) s->group = (int64_t)g->gr_gid;
    const int fd = cfg->loop->driver->ops->listen(cfg->loop->driver, &address, BACKLOG, false);
    if (fd < 0) return (enum rw_err)fd;
    // Who may connect is asked again of the kernel at each connection.
    if (s->group >= 0 && chown(cfg->path, (uid_t)-1, (gid_t)s->group) != 0)
        log_msg(LOG_WARNING, "the group of %s cannot be set: members of group ringway cannot use it",
                cfg->path);
    if (chmod(cfg->path, s->group >= 0 ? 0660 : 0600) != 0)
        log_msg(LOG_WARNING, "the mode of %s cannot be set: %s", cfg->path, strerror(errno));
    return door_open(&s->socket, fd);
}

enum rw_err admin_server_open_tcp(struct admin_server *s)
{
    struct io_driver *driver = s->cfg.loop->driver;
    const int fd = driver->ops->listen(driver, s->cfg.address, BACKLOG, false);
    return fd < 0 ? (enum rw_err)fd : door_open(&s->tcp, fd);
}

void admin_server_close(struct admin_server *s)
{
    door_close(&s->socket);
    door_close(&s->tcp);
    if (s->socket.fd) (void)unlink(s->cfg.path);
}

bool admin_server_closed(const struct admin_server *s)
{
    return door_closed(&s->socket) && door_closed(&s->tcp);
}

void admin_server_done(struct admin_server *s)
{
    door_done(&s->socket);
    door_done(&s->tcp);
    admin_server_tls(s, NULL);
}
