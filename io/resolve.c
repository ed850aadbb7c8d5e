// See resolve.h. c-ares is kept in a box: it tells which of its sockets it wants to read or write, we watch
// them by polls; it tells its next deadline, we arm a timer; whatever it calls back is only noted, and
// delivered when it has returned. Every call into it is followed by settle().
#include "io/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>

#include "io/loop.h"

#define FRESH_MIN_NS (5 * CLOCK_SEC)
#define FRESH_MAX_NS (300 * CLOCK_SEC)
#define FAILED_MAX_NS (60 * CLOCK_SEC) // the longest pause after failures
#define TRY_MS 2000
#define TRIES 2
#define NAME_BYTES_MAX 253

struct dns_socket {
    struct list node;
    struct io_op poll;
    struct io_resolver *r;
    int fd; // -1: c-ares has closed it; freed when joined
    uint16_t want; // POLLIN, POLLOUT
    bool in_use; // c-ares is being told about it just now
};

struct io_watch {
    struct list node; // of the resolver's names; unlinked: given up, freed when its question comes back
    struct list told; // of those to be called back
    struct io_resolver *r;
    struct io_timer again;
    io_resolved_fn resolved;
    void *ctx;
    struct io_addr_set *set;
    int err; // of the last answer
    uint32_t failures; // since the last good answer
    bool asking; // c-ares holds a pointer to this
    uint16_t port;
    char host[];
};

struct io_resolver {
    struct io_loop *loop;
    ares_channel channel;
    struct io_timer timer; // c-ares' own deadline
    struct list sockets;
    struct list watches;
    struct list to_tell;
    uint32_t asking;
    char *servers;
    int64_t fresh_min_ns, fresh_max_ns;
    int try_ms;
    uint64_t asked, failed;
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

// --- Sets.

struct io_addr_set *io_addr_set_hold(const struct io_addr_set *s)
{
    struct io_addr_set *mine = (struct io_addr_set *)(uintptr_t)s; // immutable but for the count
    atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
    return mine;
}

void io_addr_set_drop(const struct io_addr_set *s)
{
    struct io_addr_set *mine = (struct io_addr_set *)(uintptr_t)s;
    if (mine && atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1) free(mine);
}

static bool set_has(const struct io_addr_set *s, const struct io_addr *a)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (io_addr_eq(&s->addr[i], a)) return true;
    return false;
}

// The order says nothing: servers rotate it. Neither set names an address twice.
static bool set_same(const struct io_addr_set *a, const struct io_addr_set *b)
{
    if (!a || !b || a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!set_has(b, &a->addr[i])) return false;
    return true;
}

static struct io_addr_set *set_new(void)
{
    struct io_addr_set *s = calloc(1, sizeof *s + IO_ADDR_SET_MAX * sizeof *s->addr);
    if (s) atomic_init(&s->refs, 1);
    return s;
}

static void set_add(struct io_addr_set *s, const struct sockaddr *sa, uint16_t port)
{
    struct io_addr a = {0};
    if (sa->sa_family == AF_INET) {
        a.n = sizeof a.in4;
        memcpy(&a.in4, sa, sizeof a.in4);
        a.in4.sin_port = htons(port);
    } else if (sa->sa_family == AF_INET6) {
        a.n = sizeof a.in6;
        memcpy(&a.in6, sa, sizeof a.in6);
        a.in6.sin6_port = htons(port);
    }
    if (a.n && s->n < IO_ADDR_SET_MAX && !set_has(s, &a)) s->addr[s->n++] = a;
}

// --- c-ares' sockets and deadlines.

static void settle(struct io_resolver *r);

static void released_if_closed(struct io_resolver *r)
{
    if (!r->closing || !list_empty(&r->sockets) || r->asking > 0) return;
    void (*const on_closed)(void *) = r->on_closed;
    void *ctx = r->closed_ctx;
    free(r->servers);
    free(r);
    if (on_closed) on_closed(ctx);
}

static void socket_free(struct dns_socket *s)
{
    io_op_close(s->r->loop, &s->poll);
    list_remove(&s->node);
    free(s);
}

// Sees that what is wanted is what is polled for, or that a closed socket goes.
static void socket_follow(struct dns_socket *s)
{
    struct io_loop *loop = s->r->loop;
    if (s->in_use) return;
    if (s->poll.submitted) {
        if (s->poll.poll_events != s->want) io_cancel(loop, &s->poll);
    } else if (s->fd < 0) {
        socket_free(s);
    } else if (s->want) {
        s->poll.poll_events = s->want;
        io_submit(loop, &s->poll);
    }
}

static void socket_polled(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    struct dns_socket *s = LIST_OWNER(op, struct dns_socket, poll);
    struct io_resolver *r = s->r;
    if (s->fd >= 0 && res != -ECANCELED) {
        const bool broken = res < 0 || (res & (POLLERR | POLLHUP));
        const bool in = broken || (res & POLLIN), out = broken || (res & POLLOUT);
        s->in_use = true;
        ares_process_fd(r->channel, in && (s->want & POLLIN) ? s->fd : ARES_SOCKET_BAD,
                        out && (s->want & POLLOUT) ? s->fd : ARES_SOCKET_BAD);
        s->in_use = false;
    }
    socket_follow(s);
    if (r->closing) released_if_closed(r);
    else settle(r);
}

static struct dns_socket *socket_new(struct io_resolver *r, int fd)
{
    struct dns_socket *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->r = r;
    s->fd = fd;
    io_op_open(r->loop, &s->poll, IO_OP_POLL, fd, socket_polled);
    list_push_back(&r->sockets, &s->node);
    return s;
}

// c-ares says what it wants of a socket; nothing at all means that it closes it as soon as this returns.
static void socket_wanted(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct io_resolver *r = ctx;
    struct dns_socket *s = NULL;
    LIST_EACH(it, &r->sockets)
    {
        struct dns_socket *each = LIST_OWNER(it, struct dns_socket, node);
        if (each->fd == fd) s = each;
    }
    if (!s && !readable && !writable) return;
    if (!s) s = socket_new(r, fd);
    if (!s) return; // the question goes unanswered until its time is over
    s->want = (uint16_t)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    if (!s->want) s->fd = -1;
    socket_follow(s);
}

static void timer_fired(struct io_timer *t)
{
    struct io_resolver *r = LIST_OWNER(t, struct io_resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    settle(r);
}

static enum rw_err channel_open(struct io_resolver *r)
{
    char lookups[] = "fb"; // /etc/hosts, then DNS
    struct ares_options o = {
        .timeout = r->try_ms,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = socket_wanted,
        .sock_state_cb_data = r,
    };
    if (ares_init_options(&r->channel, &o,
                          ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB))
        return (enum rw_err) - ENOMEM;
    if (r->servers && ares_set_servers_ports_csv(r->channel, r->servers) != ARES_SUCCESS) {
        ares_destroy(r->channel);
        return RW_E_CONFIG;
    }
    return RW_OK;
}

// --- Asking.

static void watch_free(struct io_watch *w)
{
    io_addr_set_drop(w->set);
    free(w);
}

static int error_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA: return RW_E_NOT_FOUND;
    case ARES_ETIMEOUT: return -ETIMEDOUT;
    case ARES_ECONNREFUSED: return -ECONNREFUSED;
    case ARES_ENOMEM: return -ENOMEM;
    case ARES_EBADNAME: return RW_E_BAD;
    default: return -EREMOTEIO;
    }
}

static void tell(struct io_watch *w)
{
    list_remove(&w->told);
    list_push_back(&w->r->to_tell, &w->told);
}

static void answer_good(struct io_watch *w, struct io_addr_set *set, int64_t ttl_ns)
{
    const struct io_resolver *r = w->r;
    w->err = 0;
    w->failures = 0;
    if (set_same(w->set, set)) {
        io_addr_set_drop(set);
    } else {
        io_addr_set_drop(w->set);
        w->set = set;
        tell(w);
    }
    // An eighth before it ends, so that the new one is there when the old one is over.
    int64_t pause = ttl_ns - ttl_ns / 8;
    if (pause > r->fresh_max_ns) pause = r->fresh_max_ns;
    if (pause < r->fresh_min_ns) pause = r->fresh_min_ns;
    io_timer_arm(&r->loop->timers, &w->again, r->loop->now_ns + pause);
}

static void answer_bad(struct io_watch *w, int err)
{
    struct io_resolver *r = w->r;
    const bool first = w->failures == 0;
    int64_t pause = r->fresh_min_ns << (w->failures < 10 ? w->failures : 10);
    if (pause > FAILED_MAX_NS) pause = FAILED_MAX_NS;
    if (pause > r->fresh_max_ns) pause = r->fresh_max_ns;
    r->failed++;
    w->failures++;
    w->err = err;
    if (first && !w->set) tell(w);
    io_timer_arm(&r->loop->timers, &w->again, r->loop->now_ns + pause);
}

// From inside c-ares: takes the answer apart and notes it.
static void answered(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct io_watch *w = ctx;
    struct io_resolver *r = w->r;
    w->asking = false;
    r->asking--;
    int64_t ttl_s = INT32_MAX;
    struct io_addr_set *set = status == ARES_SUCCESS ? set_new() : NULL;
    for (struct ares_addrinfo_node *n = set ? info->nodes : NULL; n; n = n->ai_next) {
        set_add(set, n->ai_addr, w->port);
        if (n->ai_ttl < ttl_s) ttl_s = n->ai_ttl;
    }
    for (struct ares_addrinfo_cname *c = set ? info->cnames : NULL; c; c = c->next)
        if (c->ttl < ttl_s) ttl_s = c->ttl;
    if (info) ares_freeaddrinfo(info);

    if (list_empty(&w->node)) { // given up meanwhile
        io_addr_set_drop(set);
        watch_free(w);
    } else if (set && set->n > 0) {
        answer_good(w, set, ttl_s > 0 ? ttl_s * CLOCK_SEC : 0);
    } else {
        io_addr_set_drop(set);
        answer_bad(w, status == ARES_SUCCESS ? (int)RW_E_NOT_FOUND : error_of(status));
    }
}

static void ask(struct io_watch *w)
{
    struct io_resolver *r = w->r;
    // Perhaps the machine has moved to another network since: /etc/resolv.conf is only read by a new channel.
    if (w->failures > 0 && r->asking == 0) {
        ares_channel old = r->channel;
        if (channel_open(r) == RW_OK) ares_destroy(old);
        else r->channel = old;
    }
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    w->asking = true;
    r->asking++;
    r->asked++;
    ares_getaddrinfo(r->channel, w->host, NULL, &hints, answered, w);
    settle(r);
}

static void ask_again(struct io_timer *t)
{
    ask(LIST_OWNER(t, struct io_watch, again));
}

// After every call into c-ares: its next deadline, and what it has brought.
static void settle(struct io_resolver *r)
{
    struct timeval left;
    if (ares_timeout(r->channel, NULL, &left)) {
        const int64_t ns = (int64_t)left.tv_sec * CLOCK_SEC + (int64_t)left.tv_usec * CLOCK_US;
        io_timer_arm(&r->loop->timers, &r->timer, r->loop->now_ns + ns);
    } else {
        io_timer_cancel(&r->loop->timers, &r->timer);
    }
    struct list *node;
    while ((node = list_pop_front(&r->to_tell))) {
        // The callback may free the watch.
        const struct io_watch *w = LIST_OWNER(node, struct io_watch, told);
        const struct io_addr_set *set = w->set ? io_addr_set_hold(w->set) : NULL;
        w->resolved(w->ctx, set, set ? 0 : w->err);
        io_addr_set_drop(set);
    }
}

// --- The interface.

// An address, bare or in brackets: its set is final. A name has none yet.
static enum rw_err set_of_literal(struct span host, uint16_t port, struct io_addr_set **ret)
{
    struct io_addr a;
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct span){host.p + 1, host.n - 2};
    if (io_addr_parse_ip(host, port, &a) != RW_OK) return RW_OK;
    struct io_addr_set *set = set_new();
    if (!set) return (enum rw_err) - ENOMEM;
    set->addr[set->n++] = a;
    *ret = set;
    return RW_OK;
}

enum rw_err io_resolver_watch(struct io_resolver *r, struct span host, uint16_t port, io_resolved_fn resolved,
                              void *ctx, struct io_watch **ret)
{
    MUST(!r->closing);
    if (host.n == 0 || host.n > NAME_BYTES_MAX || span_find(host, 0) < host.n) return RW_E_BAD;
    struct io_addr_set *literal = NULL;
    RW_TRY(set_of_literal(host, port, &literal));
    struct io_watch *w = calloc(1, sizeof *w + host.n + 1);
    if (!w) {
        io_addr_set_drop(literal);
        return (enum rw_err) - ENOMEM;
    }
    w->r = r;
    w->resolved = resolved;
    w->ctx = ctx;
    w->port = port;
    memcpy(w->host, host.p, host.n);
    list_init(&w->told);
    io_timer_init(&w->again, ask_again);
    list_push_back(&r->watches, &w->node);
    *ret = w;
    w->set = literal;
    if (w->set) resolved(ctx, w->set, 0);
    else ask(w);
    return RW_OK;
}

void io_resolver_unwatch(struct io_watch *w)
{
    list_remove(&w->node);
    list_remove(&w->told);
    io_timer_cancel(&w->r->loop->timers, &w->again);
    if (!w->asking) watch_free(w);
}

const struct io_addr_set *io_watch_known(const struct io_watch *w)
{
    return w->set;
}

enum rw_err io_resolver_open(struct io_loop *loop, const struct io_resolver_cfg *cfg,
                             struct io_resolver **ret)
{
    struct io_resolver *r = calloc(1, sizeof *r);
    if (!r) return (enum rw_err) - ENOMEM;
    r->loop = loop;
    r->fresh_min_ns = cfg->fresh_min_ns > 0 ? cfg->fresh_min_ns : FRESH_MIN_NS;
    r->fresh_max_ns = cfg->fresh_max_ns > 0 ? cfg->fresh_max_ns : FRESH_MAX_NS;
    r->try_ms = cfg->try_ms > 0 ? cfg->try_ms : TRY_MS;
    r->servers = cfg->servers ? strdup(cfg->servers) : NULL;
    list_init(&r->sockets);
    list_init(&r->watches);
    list_init(&r->to_tell);
    io_timer_init(&r->timer, timer_fired);
    const enum rw_err err =
        ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS && (!cfg->servers || r->servers)
        ? channel_open(r)
        : (enum rw_err) - ENOMEM;
    if (err) {
        free(r->servers);
        free(r);
        return err;
    }
    *ret = r;
    return RW_OK;
}

void io_resolver_close(struct io_resolver *r, void (*on_closed)(void *ctx), void *ctx)
{
    MUST(!r->closing && list_empty(&r->to_tell));
    while (!list_empty(&r->watches)) io_resolver_unwatch(LIST_OWNER(r->watches.next, struct io_watch, node));
    io_timer_cancel(&r->loop->timers, &r->timer);
    r->closing = true;
    r->on_closed = on_closed;
    r->closed_ctx = ctx;
    // Ends all questions, whose watches are freed by that, and closes all sockets, whose polls are cancelled.
    ares_destroy(r->channel);
    r->channel = NULL;
    released_if_closed(r);
}

void io_resolver_stats(const struct io_resolver *r, struct io_resolver_stats *ret)
{
    *ret = (struct io_resolver_stats){.asked = r->asked, .failed = r->failed};
    LIST_EACH(it, &r->watches)
    {
        const struct io_watch *w = LIST_OWNER(it, struct io_watch, node);
        ret->watched++;
        ret->stale += w->set && w->failures > 0;
    }
}
