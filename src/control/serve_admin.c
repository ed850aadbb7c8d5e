// What administrators see of a running server: its state, its prices, a reload, and the doors they come in by. See serve_priv.h.
#include "control/log.h"
#include "control/serve_priv.h"
#include "io/clock.h"

static int64_t wall_ms(void)
{
    struct io_time t;
    io_clock(&t);
    return t.wall_ns / CLOCK_MS;
}

static const struct price_table *live_prices(void *ctx)
{
    return ((struct serve *)ctx)->plan->prices;
}

static enum rw_err live_reload(void *ctx, char *ret_why, size_t cap)
{
    return serve_reload(ctx, ret_why, cap);
}

static uint32_t connections_now(const struct serve *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        const uint32_t open = atomic_load_explicit(&s->open_by_worker[i], memory_order_relaxed);
        if (open != WORKER_CLOSED) n += open;
    }
    return n;
}

static void live_status(void *ctx, struct json_out *o)
{
    const struct serve *s = ctx;
    struct store_writer_stats ledger = {0};
    if (s->books.writer) store_writer_stats(s->books.writer, &ledger);
    json_out_key_string(o, SPAN("version"), SPAN(RW_VERSION));
    json_out_key_string(o, SPAN("build"), SPAN(RW_BUILD));
    admin_write_time(o, SPAN("started_at"), s->started_ms);
    if (s->options.config_path) json_out_key_string(o, SPAN("config"), span_str(s->options.config_path));
    else json_out_key_null(o, SPAN("config"));
    json_out_key_u64(o, SPAN("generation"), s->plan->generation);
    json_out_key_bool(o, SPAN("draining"), s->draining);
    json_out_key_string(o, SPAN("io"), s->use_uring ? SPAN("io_uring") : SPAN("epoll"));
    json_out_key_u64(o, SPAN("workers"), s->worker_count);
    json_out_key_u64(o, SPAN("connections"), connections_now(s));
    json_out_key_array(o, SPAN("listen"));
    for (uint32_t i = 0; i < s->config->listener_count; i++)
        json_out_string(o, span_str(s->config->listeners[i].address.text));
    json_out_end(o);
    if (s->admin.store) json_out_key_string(o, SPAN("data_dir"), span_str(s->config->data_dir));
    else json_out_key_null(o, SPAN("data_dir"));
    json_out_key_u64(o, SPAN("ledger_waiting"), ledger.waiting);
}

static void admin_socket_begin(struct serve *s)
{
    const struct config *c = s->config;
    const enum rw_err err = admin_server_open_socket(&s->admin_server);
    if (err)
        log_msg(LOG_WARNING,
                "the admin socket %s cannot be opened: %s. Commands such as 'ringway key create' work on the "
                "store itself. See admin.socket in the configuration.",
                c->admin_socket,
                err == (enum rw_err) - EADDRINUSE ? "another server has it" : rw_err_name((int)err));
    else log_msg(LOG_INFO, "administration on %s", c->admin_socket);
}

// Beyond this machine what goes over it, the token first, may be read on the way.
static bool is_local(const struct io_addr *a)
{
    struct io_cidr v4, v6;
    return a->sa.sa_family == AF_UNIX ||
        (io_cidr_parse(SPAN("127.0.0.0/8"), &v4) == RW_OK && io_cidr_has(&v4, a)) ||
        (io_cidr_parse(SPAN("::1/128"), &v6) == RW_OK && io_cidr_has(&v6, a));
}

static void warn_plain(const struct config *c)
{
    if (is_local(&c->admin_address.addr)) return;
    log_msg(LOG_WARNING,
            "admin.address %s can be reached from other machines, without TLS: the token can be read on the "
            "way. Set admin.tls, or use 127.0.0.1 and a tunnel.",
            c->admin_address.text);
}

static void admin_tcp_begin(struct serve *s)
{
    const struct config *c = s->config;
    if (!c->admin_address.addr.n) return;
    const enum rw_err err = admin_server_open_tcp(&s->admin_server);
    if (err) {
        log_msg(
            LOG_WARNING,
            "administration cannot be served on %s: %s. Is another server there? See admin.address in the "
            "configuration.",
            c->admin_address.text, rw_err_name((int)err));
        return;
    }
    log_msg(LOG_INFO, "administration on %s://%s%s", c->admin_tls.first.certificate ? "https" : "http",
            c->admin_address.text, c->admin_token ? "" : " (closed until admin.token is set)");
    if (!c->admin_tls.first.certificate) warn_plain(c);
}

void serve_admin_renew(struct serve *s)
{
    const struct config *c = s->config;
    const bool before = s->admin_server.tcp.entry.tls != NULL;
    const bool now = c->admin_tls.first.certificate != NULL;
    admin_server_token(&s->admin_server, c->admin_token);
    admin_server_tls(&s->admin_server, now ? s->world.tls_admin.server : NULL);
    if (before && !now) warn_plain(c);
}

void serve_admin_begin(struct serve *s)
{
    const struct config *c = s->config;
    s->live =
        (struct admin_live){.ctx = s, .status = live_status, .reload = live_reload, .prices = live_prices};
    s->admin.live = &s->live;
    if (!s->admin.wall_ms) s->admin.wall_ms = wall_ms;
    const struct admin_server_cfg cfg = {.loop = &s->loop,
                                         .offload = s->offload,
                                         .admin = &s->admin,
                                         .path = c->admin_socket,
                                         .address = &c->admin_address.addr};
    admin_server_init(&s->admin_server, &cfg, c->admin_token);
    if (s->admin.store) admin_socket_begin(s);
    serve_admin_renew(s);
    admin_tcp_begin(s);
}

void serve_admin_end(struct serve *s)
{
    admin_server_close(&s->admin_server);
    while (!admin_server_closed(&s->admin_server)) io_loop_turn(&s->loop, s->loop.now_ns + 10 * CLOCK_MS);
    admin_server_done(&s->admin_server);
}
