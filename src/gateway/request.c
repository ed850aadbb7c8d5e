// What goes up: the client's bytes with small edits between them, the fields that cross by the list below, and nothing else of
// the client: its credentials, cookies and hop-by-hop fields stay here.
#include "base/fmt.h"
#include "gateway/echo.h"
#include "gateway/exchange.h"
#include "gateway/revoke.h"
#include "gateway/translate.h"
#include "gateway/worker.h"
#include "providers/embed.h"
#include "wire/json_edit.h"
#include "wire/url.h"

// X(name, crosses also into another dialect)
#define UP_FIELDS(X) \
    X(HTTP_N_CONTENT_TYPE, true) \
    X(HTTP_N_ACCEPT, true) \
    X(HTTP_N_OPENAI_BETA, false) \
    X(HTTP_N_ANTHROPIC_VERSION, false) \
    X(HTTP_N_ANTHROPIC_BETA, false) \
    X(HTTP_N_IDEMPOTENCY_KEY, true) \
    X(HTTP_N_TRACEPARENT, true) \
    X(HTTP_N_TRACESTATE, true) \
    X(HTTP_N_BAGGAGE, true)

#define ANTHROPIC_VERSION "2023-06-01"

#define DOWN_FIELDS(X) \
    X(HTTP_N_RETRY_AFTER) \
    X(HTTP_N_RETRY_AFTER_MS) \
    X(HTTP_N_X_SHOULD_RETRY) \
    X(HTTP_N_OPENAI_PROCESSING_MS)

static const struct {
    enum http_name name;
    bool any_dialect;
} up_names[] = {
#define X(name, any) {name, any},
    UP_FIELDS(X)
#undef X
};
static const enum http_name down_names[] = {
#define X(name) name,
    DOWN_FIELDS(X)
#undef X
};
// The body and what the edits put between its pieces.
#define BODY_IOV_MAX 16
#define UP_NAMES (sizeof up_names / sizeof *up_names)
#define DOWN_NAMES (sizeof down_names / sizeof *down_names)

static_assert(DOWN_NAMES + 3 <= CROSSED_FIELDS_MAX, "and the provider's request id, and two of relay_chat.c");

// Anthropic's API wants to be told which of its versions is spoken.
static bool needs_version(const struct exchange *x)
{
    return x->provider->dialect == &dialect_anthropic && !x->provider->body_version.n &&
        (x->translated || !http_has(&x->call->head, HTTP_N_ANTHROPIC_VERSION));
}

// Of a field that is there. One that Connection names belongs to this hop only (RFC 9110 7.6.1).
static bool crosses(const struct exchange *x, enum http_name name, bool any_dialect)
{
    const struct http_head *head = &x->call->head;
    if (x->translated && !any_dialect) return false;
    return !http_has(head, HTTP_N_CONNECTION) || !http_connection_lists(head, http_name_text(name));
}

// Complete lines, in the arena.
static bool fields_up(struct exchange *x)
{
    const struct http_head *head = &x->call->head;
    struct call_field field[UP_NAMES];
    uint32_t n = 0, cap = 2;
    for (size_t i = 0; i < UP_NAMES; i++) {
        const enum http_name name = up_names[i].name;
        if (!http_has(head, name) || !crosses(x, name, up_names[i].any_dialect)) continue;
        field[n] = (struct call_field){http_name_text(name), http_value(head, name)};
        cap += field[n].name.n + field[n].value.n + 4;
        n += field[n].value.n > 0;
    }
    const bool version = needs_version(x);
    if (version) cap += sizeof "anthropic-version: " ANTHROPIC_VERSION "\r\n";
    uint8_t *bytes = arena_alloc(x->call->arena, cap);
    if (!bytes) return false;
    struct http_writer w = http_writer(bytes, cap);
    for (uint32_t i = 0; i < n; i++) http_write_value(&w, field[i].name, field[i].value);
    if (version) http_write_raw(&w, SPAN("anthropic-version: " ANTHROPIC_VERSION "\r\n"));
    x->ask.fields = span_of(bytes, w.n);
    return true;
}

// What of the provider's head goes to the client; copied, since the head goes with the first read of the body.
static void fields_down(struct exchange *x)
{
    const struct http_head *head = x->ask.head;
    if (!head) return;
    struct arena *arena = x->call->arena;
    for (size_t i = 0; i < DOWN_NAMES; i++) {
        const struct span value = http_value(head, down_names[i]);
        if (value.n)
            x->crossed[x->crossed_count++] =
                (struct call_field){http_name_text(down_names[i]), arena_copy(arena, value)};
    }
    // Where what the provider says of its error passes; one of ours says it anew.
    if (RW_UNLIKELY(x->route->dialect == &dialect_converse) && !x->translated)
        x->error_type = arena_copy(arena, http_value(head, HTTP_N_X_AMZN_ERRORTYPE));
    struct span id = http_value(head, HTTP_N_X_REQUEST_ID);
    if (!id.n) id = http_value(head, HTTP_N_REQUEST_ID);
    if (id.n && id.n <= ACCESS_TEXT_BYTES_MAX) {
        x->upstream_request_id = arena_copy(arena, id);
        x->crossed[x->crossed_count++] =
            (struct call_field){SPAN("x-ringway-upstream-request-id"), x->upstream_request_id};
    }
}

// By the name the client used, or the one its dialect has now.
static void set_max_tokens(struct exchange *x, struct json_edits *e)
{
    static const struct span names[] = {SPAN_INIT("max_tokens"), SPAN_INIT("max_completion_tokens"),
                                        SPAN_INIT("max_output_tokens")};
    const struct json_value *v = x->scan->value;
    struct fmt f;
    fmt_init(&f, x->max_tokens_text, sizeof x->max_tokens_text);
    fmt_u64(&f, (uint64_t)x->max_tokens);
    bool set = false;
    for (uint32_t i = 0; i < 3; i++) {
        if (v[FIELD_MAX_TOKENS + i].type != JSON_NUMBER) continue;
        json_edits_set(e, &v[FIELD_MAX_TOKENS + i], names[i], fmt_text(&f));
        set = true;
    }
    const uint32_t own = x->route->dialect == &dialect_responses               ? 2
        : x->route->dialect == &dialect_openai && !x->provider->max_tokens_old ? 1
                                                                               : 0;
    if (!set) json_edits_set(e, &v[FIELD_MAX_TOKENS + own], names[own], fmt_text(&f));
}

// Where the key of a member begins, its quote, by its value. The text is valid JSON.
static uint32_t key_of(struct span body, uint32_t value)
{
    uint32_t at = value;
    while (body.p[at - 1] != '"') at--; // white space and ':'
    for (at--; body.p[at - 1] != '"';) at--; // a quote inside would not be a key that is looked for
    return at - 1;
}

// Where Anthropic's messages have the model in the path, their version stands in the body instead. One becomes the other.
// model: as a JSON string.
static void swap_version(struct exchange *x, struct json_edits *e, struct span model)
{
    const struct span version = x->provider->body_version;
    const struct json_value *v = x->scan->value;
    struct span old;
    uint8_t *text = arena_alloc(x->call->arena, version.n + 2);
    if (!text) {
        json_edits_add(e, UINT32_MAX, 0, model); // gather says so
        return;
    }
    text[0] = '"';
    if (version.n) memcpy(text + 1, version.p, version.n);
    text[version.n + 1] = '"';
    const struct span quoted = span_of(text, version.n + 2);
    const bool has_model = v[FIELD_MODEL].type != JSON_ABSENT;
    const bool has_version = json_member(x->body, SPAN("anthropic_version"), &old);
    if (version.n ? has_model && !has_version : has_version && !has_model) {
        const uint32_t at = version.n ? v[FIELD_MODEL].off : (uint32_t)(old.p - x->body.p);
        const uint32_t n = version.n ? v[FIELD_MODEL].len : old.n, key = key_of(x->body, at);
        json_edits_add(e, key, at - key, version.n ? SPAN("\"anthropic_version\":") : SPAN("\"model\":"));
        json_edits_add(e, at, n, version.n ? quoted : model);
    } else if (!version.n) {
        json_edits_set(e, &v[FIELD_MODEL], SPAN("model"), model);
    } else if (!has_version) {
        json_edits_set(e, &v[FIELD_MODEL], SPAN("anthropic_version"), quoted);
    }
    // Not every client says in the body, too, what its path says.
    if (x->stream && v[FIELD_STREAM].type != JSON_TRUE)
        json_edits_set(e, &v[FIELD_STREAM], SPAN("stream"), SPAN("true"));
}

// The body with the provider's model name, and with a wish for usage where a stream carries none otherwise.
static enum stage edit_body(struct exchange *x)
{
    struct json_edits *e = arena_alloc(x->call->arena, sizeof *e);
    struct iovec *iov = arena_alloc(x->call->arena, BODY_IOV_MAX * sizeof *iov);
    const uint32_t name_cap = FMT_JSON_BYTES(x->upstream_model.n);
    char *name = arena_alloc(x->call->arena, name_cap);
    if (!e || !iov || !name) return exchange_fail(x, END_OVERLOADED, "memory");
    const struct json_value *v = x->scan->value;
    json_edits_init(e, x->body, x->scan);
    const bool in_path = route_names_model(x->route);
    if (RW_UNLIKELY(x->route->dialect == &dialect_anthropic && (in_path || x->provider->body_version.n))) {
        struct fmt f;
        fmt_init(&f, name, name_cap);
        fmt_json_string(&f, x->upstream_model);
        swap_version(x, e, fmt_text(&f));
    } else if (!x->route->dialect->model_in_path &&
               (!span_eq(x->upstream_model, x->model_named) || in_path)) {
        struct fmt f;
        fmt_init(&f, name, name_cap);
        fmt_json_string(&f, x->upstream_model);
        json_edits_set(e, &v[FIELD_MODEL], SPAN("model"), fmt_text(&f));
    }
    if (x->clamped) set_max_tokens(x, e);
    if (x->stream && x->route->usage_on_request && !x->usage_asked) {
        const enum rw_err set =
            json_edits_set_in(e, &v[FIELD_OPTIONS], SPAN("stream_options"), &v[FIELD_INCLUDE_USAGE],
                              SPAN("include_usage"), SPAN("true"));
        MUST(set == RW_OK); // its type was looked at
    }
    uint32_t bytes;
    if (json_edits_gather(e, iov, BODY_IOV_MAX, &x->ask.body_iov, &bytes))
        return exchange_fail(x, END_BAD_REQUEST, "the body grew beyond 4 GiB");
    x->ask.body = iov;
    x->ask.body_bytes = bytes;
    return STAGE_GO;
}

// Where the provider is asked about the model; {NULL, 0}: no memory.
static struct span model_path(struct exchange *x, struct span verb)
{
    const struct plan_provider *p = x->provider;
    const struct span before = p->chat_path, query = p->path_query;
    const uint32_t name_cap = 3 * x->upstream_model.n;
    uint8_t *path = arena_alloc(x->call->arena, before.n + name_cap + verb.n + query.n);
    struct span name;
    if (!path || url_encode(x->upstream_model, false, path + before.n, name_cap, &name))
        return (struct span){NULL, 0};
    memcpy(path, before.p, before.n);
    memcpy(path + before.n + name.n, verb.p, verb.n);
    if (query.n) memcpy(path + before.n + name.n + verb.n, query.p, query.n);
    return span_of(path, before.n + name.n + verb.n + query.n);
}

// The path behind the provider's prefix; {NULL, 0}: no memory.
static struct span path_up(struct exchange *x)
{
    const struct plan_provider *p = x->provider;
    if (x->translated && !x->route->chat) {
        const struct span behind = embed_api_find(p->dialect, x->upstream_model)->path;
        return p->model_in_path ? model_path(x, behind) : behind;
    }
    const bool chat = x->translated || (x->route->chat && x->route->dialect == p->dialect);
    if (!p->model_in_path) return chat ? p->chat_path : x->route->upstream;
    if (!chat) return model_path(x, x->route->upstream);
    return model_path(x, x->stream ? p->path_stream : p->path_whole);
}

static enum stage prepare(struct exchange *x)
{
    struct ask *a = &x->ask;
    struct call *call = x->call;
    a->worker = x->worker;
    a->arena = call->arena;
    a->provider = x->provider;
    a->method = (enum http_method)call->head.method;
    a->stream = x->stream;
    a->path = path_up(x);
    if (!a->path.p) return exchange_fail(x, END_OVERLOADED, "memory");
    if (!fields_up(x)) return exchange_fail(x, END_OVERLOADED, "memory");
    if (x->translated) {
        const enum stage s = translate_request(x);
        if (s != STAGE_GO) return s;
        a->body = x->translation->body.iov;
        a->body_iov = x->translation->body.iov_n;
        a->body_bytes = x->translation->body.bytes;
    }
    if (!x->translated && x->route->chat && x->route->dialect->check) {
        const enum stage s = translate_check(x);
        if (s != STAGE_GO) return s;
    }
    if (x->provider->kind == PLAN_ECHO) {
        const struct span body = x->translated ? json_out_flat(&x->translation->body) : x->body;
        struct echo_request *echo = arena_alloc(call->arena, sizeof *echo);
        if (!echo || !body.p) return exchange_fail(x, END_OVERLOADED, "memory");
        *echo = (struct echo_request){.model = x->model_asked,
                                      .body = body,
                                      .path = a->path,
                                      .id = span_of(x->request_id, REQUEST_ID_BYTES),
                                      .usage = x->usage_asked || x->translated};
        a->echo = echo;
        return STAGE_GO;
    }
    if (x->translated) return STAGE_GO;
    if (x->route->kind == ROUTE_PASS_JSON) return edit_body(x);
    if (call->framing.kind == HTTP_BODY_NONE) return exchange_fail(x, END_LENGTH_REQUIRED, NULL);
    a->upload = call;
    a->upload_bytes_max = x->plan->upload_bytes_max;
    a->upload_idle_ns = x->plan->body_timeout_ns;
    if (call->framing.kind == HTTP_BODY_LENGTH && call->framing.length > a->upload_bytes_max)
        return exchange_fail_client(x, RW_E_TOO_LARGE);
    return STAGE_GO;
}

enum stage exchange_ask(struct exchange *x)
{
    const enum stage s = prepare(x);
    if (s != STAGE_GO) return s;
    x->asked = true;
    if (RW_UNLIKELY(x->plan->revoke_cuts) && x->stream) revoke_watch(x);
    const int r = ask_open(&x->ask);
    if (r < 0) return exchange_fail_ask(x, r);
    fields_down(x);
    return STAGE_GO;
}
