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

#define BACKLOG 16
#define BODY_BYTES_MAX MIB(1)
// Bodies and answers of one call; a page of a thousand large records is 16 MB.
#define CALL_BYTES_MAX MIB(48)
#define IO_NS (30 * CLOCK_SEC)

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
    admin_run(j->admin, &j->call);
    return 0;
}

static void answer(struct call *call, const struct admin_call *a)
{
    struct call_field fields[2] = {{SPAN("content-type"), SPAN("application/json")}};
    uint32_t n = 1;
    if (a->allow) fields[n++] = (struct call_field){SPAN("allow"), span_str(a->allow)};
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

static void handle(struct call *call, void *ctx)
{
    struct admin_server *s = ctx;
    struct span body = {NULL, 0};
    char actor[64];
    struct fmt f;
    struct job *j = arena_alloc(call->arena, sizeof *j);
    if (!j || call->bad != END_OK ||
        call->ops->body_whole(call, BODY_BYTES_MAX, call->loop->now_ns + IO_NS, &body) != RW_OK) {
        call->ops->reply_break(call);
        return;
    }
    fmt_init(&f, actor, sizeof actor);
    fmt_str(&f, "socket");
    *j = (struct job){.admin = s->cfg.admin, .budget = {.limit = CALL_BYTES_MAX}};
    arena_pool_init(&j->pool, &j->budget, 0);
    arena_init(&j->arena, &j->pool, CALL_BYTES_MAX);
    j->call = (struct admin_call){.method = (enum http_method)call->head.method,
                                  .path = http_path(&call->head),
                                  .query = call->head.has_query ? http_query(&call->head) : SPAN(""),
                                  .body = body,
                                  .actor = fmt_text(&f),
                                  .arena = &j->arena};
    if (j->call.method == HTTP_GET && span_eq(j->call.path, SPAN(ADMIN_BACKUP_PATH))) {
        j->call.admin = s->cfg.admin;
        if (!admin_backup_send(call, s->cfg.offload, &j->call)) answer(call, &j->call);
    } else if (io_offload(s->cfg.offload, run, j) == 0) {
        answer(call, &j->call);
    } else {
        call->ops->reply_break(call);
    }
    arena_done(&j->arena);
    arena_pool_done(&j->pool);
}

static bool may(const struct admin_server *s, int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid() || (s->group >= 0 && (int64_t)peer.gid == s->group);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct admin_server *s = LIST_OWNER(op, struct admin_server, accept);
    (void)flags;
    if (res >= 0) {
        if (may(s, res)) h1_accept(&s->http, res, &s->entry);
        else close(res);
    }
    if (!op->submitted && !op->cancelling) io_submit(s->cfg.loop, op);
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

enum rw_err admin_server_open(struct admin_server *s, const struct admin_server_cfg *cfg)
{
    const struct h1_cfg http = {.head_bytes_max = HTTP_HEAD_BYTES,
                                .connections_max = 64,
                                .head_timeout_ns = 10 * CLOCK_SEC,
                                .idle_timeout_ns = 75 * CLOCK_SEC};
    struct io_addr address;
    char text[STORE_PATH_BYTES_MAX + 8];
    *s = (struct admin_server){.cfg = *cfg, .group = -1};
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
    const enum rw_err err = h1_server_open(&s->http, cfg->loop, &http, handle, s);
    if (err) {
        cfg->loop->driver->ops->fd_close(cfg->loop->driver, fd);
        return err;
    }
    s->fd = fd;
    io_op_open(cfg->loop, &s->accept, IO_OP_ACCEPT, fd, accepted);
    io_submit(cfg->loop, &s->accept);
    return RW_OK;
}

void admin_server_close(struct admin_server *s)
{
    if (!s->fd) return;
    io_cancel(s->cfg.loop, &s->accept);
    h1_server_kill(&s->http, END_KILLED);
    (void)unlink(s->cfg.path);
}

bool admin_server_closed(const struct admin_server *s)
{
    return !s->fd || (!s->accept.submitted && s->http.open == 0);
}

void admin_server_done(struct admin_server *s)
{
    if (!s->fd) return;
    io_op_close(s->cfg.loop, &s->accept);
    s->cfg.loop->driver->ops->fd_close(s->cfg.loop->driver, s->fd);
    h1_server_close(&s->http);
    s->fd = 0;
}
