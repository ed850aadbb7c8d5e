// The end of every exchange, however it came about: metrics and the line in the log. Nothing here waits.
#include "gateway/account.h"
#include "gateway/worker.h"
#include "providers/dialect.h"

static void count(struct exchange *x, int64_t duration_ns)
{
    struct metrics *m = x->worker->cfg.metrics;
    if (!m) return;
    const struct call *call = x->call;
    const uint32_t target = x->model ? x->model->target_row : METRIC_ROW_NONE;
    const uint32_t model = x->model ? x->model->model_row : METRIC_ROW_NONE;
    const uint32_t status = call->head_sent ? call->status : 0;
    metric_add(m, METRIC_REQUESTS, metric_request_label(target, status, x->end), 1);
    metric_observe_ns(m, METRIC_REQUEST_DURATION, metric_label(target, 0), duration_ns);
    if (x->first_token_ns)
        metric_observe_ns(m, METRIC_FIRST_TOKEN, metric_label(target, 0),
                          x->first_token_ns - call->started_ns);
    if (x->usage.input_tokens > 0)
        metric_add(m, METRIC_TOKENS, metric_label(model, METRIC_TOKENS_INPUT),
                   (uint64_t)x->usage.input_tokens);
    if (x->usage.output_tokens > 0)
        metric_add(m, METRIC_TOKENS, metric_label(model, METRIC_TOKENS_OUTPUT),
                   (uint64_t)x->usage.output_tokens);
    if (x->usage.cached_tokens > 0)
        metric_add(m, METRIC_TOKENS, metric_label(model, METRIC_TOKENS_CACHE_READ),
                   (uint64_t)x->usage.cached_tokens);
    if (x->usage.reasoning_tokens > 0)
        metric_add(m, METRIC_TOKENS, metric_label(model, METRIC_TOKENS_REASONING),
                   (uint64_t)x->usage.reasoning_tokens);
    if (x->cache != STORE_CACHE_NONE) metric_add(m, METRIC_CACHE, x->cache - STORE_CACHE_HIT, 1);
    if (x->account && x->account->saved_nanos > 0)
        metric_add(m, METRIC_CACHE_SAVED, 0, (uint64_t)x->account->saved_nanos);
    if (x->asked) {
        // Waiting for the provider is not ours, and neither is waiting for the client to send its body or to read.
        const int64_t own = duration_ns - x->ask.waited_ns - x->client_wait_ns;
        metric_observe_ns(m, METRIC_OVERHEAD, 0, own);
    }
}

static const struct span cache_words[] = {[STORE_CACHE_HIT] = SPAN_INIT("hit"),
                                          [STORE_CACHE_MISS] = SPAN_INIT("miss"),
                                          [STORE_CACHE_BYPASS] = SPAN_INIT("bypass")};

static void write_line(struct exchange *x, int64_t duration_ns)
{
    if (!x->plan->access_log || !x->worker->access.ring) return;
    const struct call *call = x->call;
    struct access_record r = ACCESS_RECORD_INIT;
    r.wall_ns = x->worker->loop.wall_ns;
    r.request_id = span_of(x->request_id, REQUEST_ID_BYTES);
    r.client_request_id = x->client_request_id;
    if (call->client_text.n) r.client = call->client_text;
    if (call_has_head(call)) {
        r.method = http_method_text(&call->head);
        r.path = http_target(&call->head);
    }
    // What was made ready is in OpenAI's dialect.
    if (x->model && x->route->dialect == &dialect_openai) {
        r.target = x->model->log_target;
    } else {
        if (call_has_head(call) && x->route->dialect) r.dialect = span_str(x->route->dialect->name);
        r.model = x->model_asked;
        if (x->provider) r.provider = x->provider->name;
        r.upstream_model = x->upstream_model;
    }
    r.upstream_request_id = x->upstream_request_id;
    if (x->cache != STORE_CACHE_NONE) r.cache = cache_words[x->cache];
    if (x->principal) r.principal = x->principal->log_line;
    r.end = x->end;
    r.status = call->head_sent ? call->status : 0;
    r.attempts = x->asked ? x->ask.attempts : 0;
    r.stream = x->stream;
    r.bytes_in = (int64_t)call->body_in;
    r.bytes_out = (int64_t)x->answer_bytes;
    r.input_tokens = x->usage.input_tokens;
    r.output_tokens = x->usage.output_tokens;
    if (x->account && x->account->price) r.cost_nano_usd = x->account->cost_nanos;
    r.duration_us = duration_ns / CLOCK_US;
    if (call->first_byte_ns) r.first_byte_us = (call->first_byte_ns - call->started_ns) / CLOCK_US;
    if (x->asked) r.overhead_us = (duration_ns - x->ask.waited_ns - x->client_wait_ns) / CLOCK_US;
    access_log_write(&x->worker->access, &r);
}

void exchange_settle(struct exchange *x)
{
    const int64_t duration_ns = x->call->loop->now_ns - x->call->started_ns;
    exchange_charge(x, x->call->head_sent ? x->call->status : 0, 0);
    count(x, duration_ns);
    write_line(x, duration_ns);
}
