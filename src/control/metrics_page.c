// See metrics_page.h.
#include "control/metrics_page.h"

#include "store/writer.h"

#define BACKLOG 16
#define PAGE_BYTES_MAX MIB(8)
#define WRITE_NS (10 * CLOCK_SEC)

static void answer(struct call *call, uint16_t status, struct span type, struct span body)
{
    const struct call_field field = {SPAN("content-type"), type};
    const struct call_reply reply = {.fields = &field, .field_count = 1, .status = status, .length = body.n};
    call->ops->reply_start(call, &reply);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n};
    const int r = call->ops->reply_write(call, &iov, body.n > 0, true, call->loop->now_ns + WRITE_NS);
    (void)r; // a scraper that leaves comes again
}

static void handle(struct call *call, void *ctx)
{
    struct metrics_page *p = ctx;
    const struct span text = SPAN("text/plain; charset=utf-8");
    if (call->bad != END_OK) {
        answer(call, end_info(call->bad)->status, text, SPAN("bad request\n"));
        return;
    }
    if (!span_eq(http_path(&call->head), SPAN("/metrics"))) {
        answer(call, 404, text, SPAN("Only /metrics is served here.\n"));
        return;
    }
    if (call->head.method != HTTP_GET && call->head.method != HTTP_HEAD) {
        answer(call, 405, text, SPAN("Use GET.\n"));
        return;
    }
    struct prometheus_source s = {.workers = p->cfg.workers,
                                  .worker_count = p->cfg.worker_count,
                                  .labels = p->cfg.labels,
                                  .version = RW_VERSION,
                                  .build = RW_BUILD,
                                  .io_backend = p->cfg.io_backend,
                                  .credentials = p->cfg.credentials,
                                  .tls = p->cfg.tls,
                                  .log_lines_dropped = log_dropped(p->cfg.log)};
    if (p->cfg.writer) {
        struct store_writer_stats st;
        store_writer_stats(p->cfg.writer, &st);
        s.ledger_records = st.records;
        s.ledger_crashed = st.crashed;
        s.ledger_waiting = st.waiting;
        s.ledger_trouble = st.trouble != RW_OK;
    }
    if (p->cfg.answers) {
        struct store_cache_stats st;
        store_cache_stats(p->cfg.answers, &st);
        s.cache_entries = st.entries;
        s.cache_bytes = st.bytes;
        s.cache_evicted = st.evicted;
        s.cache_failed = st.failed + st.damaged;
    }
    prometheus_process_read(&s.process);
    prometheus_render(&p->text, &s);
    // The next scrape overwrites the page: this one sends a copy.
    const struct span page = arena_copy(call->arena, span_of(p->text.p, p->text.n));
    if (!page.p) answer(call, 503, text, SPAN("The page is larger than this listener's memory.\n"));
    else answer(call, 200, span_str(PROMETHEUS_CONTENT_TYPE), page);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct metrics_page *p = LIST_OWNER(op, struct metrics_page, accept);
    (void)flags;
    if (res >= 0) h1_accept(&p->http, res, &p->entry);
    if (!op->submitted && !op->cancelling) io_submit(p->cfg.loop, op);
}

enum rw_err metrics_page_open(struct metrics_page *p, const struct metrics_page_cfg *cfg)
{
    const struct h1_cfg http = {.head_bytes_max = HTTP_HEAD_BYTES,
                                .connections_max = 64,
                                .head_timeout_ns = 10 * CLOCK_SEC,
                                .idle_timeout_ns = 75 * CLOCK_SEC};
    *p = (struct metrics_page){.cfg = *cfg};
    const int fd = cfg->loop->driver->ops->listen(cfg->loop->driver, cfg->address, BACKLOG, false);
    if (fd < 0) return (enum rw_err)fd;
    p->fd = fd;
    prometheus_init(&p->text, PAGE_BYTES_MAX);
    const enum rw_err err = h1_server_open(&p->http, cfg->loop, &http, handle, p);
    if (err) {
        cfg->loop->driver->ops->fd_close(cfg->loop->driver, fd);
        p->fd = 0;
        return err;
    }
    io_op_open(cfg->loop, &p->accept, IO_OP_ACCEPT, fd, accepted);
    io_submit(cfg->loop, &p->accept);
    return RW_OK;
}

void metrics_page_close(struct metrics_page *p)
{
    if (!p->fd) return;
    io_cancel(p->cfg.loop, &p->accept);
    h1_server_kill(&p->http, END_KILLED);
}

bool metrics_page_closed(const struct metrics_page *p)
{
    return !p->fd || (!p->accept.submitted && p->http.open == 0);
}

void metrics_page_done(struct metrics_page *p)
{
    if (!p->fd) return;
    io_op_close(p->cfg.loop, &p->accept);
    p->cfg.loop->driver->ops->fd_close(p->cfg.loop->driver, p->fd);
    h1_server_close(&p->http);
    prometheus_done(&p->text);
    p->fd = 0;
}
