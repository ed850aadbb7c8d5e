// See admin_backup.h. Beyond a pipe the archive is made; this end of it goes out piece by piece. Who leaves closes the pipe, and
// the copy ends by that.
#include "control/admin_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "io/fiber.h"
#include "store/audit.h"
#include "store/backup.h"

#define PIECE_BYTES KIB(256)
#define IO_NS (60 * CLOCK_SEC)

struct note {
    const struct admin *admin;
    struct span actor, file;
    bool with_pepper;
};

static enum rw_err commit_note(struct store_txn *t, void *ctx)
{
    const struct note *n = ctx;
    // Of a long path the end says more.
    const uint32_t skip = n->file.n > STORE_NAME_BYTES_MAX ? n->file.n - STORE_NAME_BYTES_MAX : 0;
    const struct store_audit_entry e = {.wall_ms = n->admin->wall_ms(),
                                        .action = SPAN("backup"),
                                        .actor = n->actor,
                                        .name = span_from(n->file, skip),
                                        .detail = n->with_pepper ? SPAN("{\"with_pepper\":true}")
                                                                 : SPAN("{\"with_pepper\":false}")};
    return store_audit_add(t, &e);
}

enum rw_err admin_backup_note(const struct admin *a, struct span actor, struct span file, bool with_pepper)
{
    struct note n = {.admin = a, .actor = actor, .file = file, .with_pepper = with_pepper};
    return store_commit(a->store, STORE_ACCOUNTS, commit_note, &n);
}

struct backup {
    const struct admin *admin;
    struct span actor;
    pthread_t thread;
    int from, to; // the ends of the pipe
    enum rw_err err;
    uint8_t *piece; // PIECE_BYTES
    ssize_t n; // bytes of it; 0: the end
};

static void *make(void *arg)
{
    struct backup *b = arg;
    b->err = store_backup(b->admin->store, NULL, b->to);
    (void)close(b->to);
    return NULL;
}

static int begin(void *arg)
{
    struct backup *b = arg;
    int ends[2];
    b->err = admin_backup_note(b->admin, b->actor, SPAN("(sent over the socket)"), false);
    if (b->err) return 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        b->err = rw_errno();
        return 0;
    }
    b->from = ends[0];
    b->to = ends[1];
    const int failed = pthread_create(&b->thread, NULL, make, b);
    if (!failed) return 0;
    (void)close(b->from);
    (void)close(b->to);
    b->err = (enum rw_err) - failed;
    return 0;
}

static int next_piece(void *arg)
{
    struct backup *b = arg;
    do b->n = read(b->from, b->piece, PIECE_BYTES);
    while (b->n < 0 && errno == EINTR);
    return 0;
}

static int finish(void *arg)
{
    struct backup *b = arg;
    (void)close(b->from);
    (void)pthread_join(b->thread, NULL);
    return 0;
}

// Until it is whole. False: the client is gone, or it cannot be read.
static bool send_pieces(struct call *call, struct io_offload *offload, struct backup *b)
{
    while (io_offload(offload, next_piece, b) == 0 && b->n > 0) {
        const struct iovec iov = {.iov_base = b->piece, .iov_len = (size_t)b->n};
        if (call->ops->reply_write(call, &iov, 1, false, call->loop->now_ns + IO_NS) < 0) return false;
    }
    return b->n == 0;
}

bool admin_backup_send(struct call *call, struct io_offload *offload, struct admin_call *c)
{
    static const struct call_field fields[] = {
        {SPAN_INIT("content-type"), SPAN_INIT("application/octet-stream")}};
    const struct call_reply reply = {
        .fields = fields, .field_count = 1, .status = 200, .length = CALL_CHUNKED};
    struct backup *b = arena_alloc(c->arena, sizeof *b);
    uint8_t *piece = arena_alloc(c->arena, PIECE_BYTES);
    if (!b || !piece) {
        admin_refuse_err(c, RW_E_BUDGET);
        return false;
    }
    *b = (struct backup){.admin = c->admin, .actor = c->actor, .piece = piece, .n = -1};
    const int queued = io_offload(offload, begin, b);
    if (queued || b->err) {
        admin_refuse_err(c, queued ? (enum rw_err)queued : b->err);
        return false;
    }
    call->ops->reply_start(call, &reply);
    const bool sent = send_pieces(call, offload, b);
    // The queue may be full for a moment; the copy must be over before its memory goes.
    while (io_offload(offload, finish, b) == -EAGAIN) (void)fiber_yield();
    const struct iovec none = {.iov_base = piece, .iov_len = 0};
    if (!sent || b->err || call->ops->reply_write(call, &none, 1, true, call->loop->now_ns + IO_NS) < 0)
        call->ops->reply_break(call);
    return true;
}
