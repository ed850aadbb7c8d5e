// The body: read whole, validated in one pass, and the few fields of it that the gateway reads.
#include "gateway/exchange.h"
#include "gateway/meter.h"
#include "gateway/worker.h"
#include "providers/dialect.h"
#include "wire/url.h"

// Large texts are scanned in slices, so that one request never holds up the others of its worker for long.
#define SCAN_SLICE_BYTES IO_BYTES_PER_SLICE
#define CHOICES_MAX 128

static struct json_fields table;

void request_tables(void)
{
    static const char *const paths[FIELD_COUNT] = {
        [FIELD_MODEL] = "model",
        [FIELD_STREAM] = "stream",
        [FIELD_OPTIONS] = "stream_options",
        [FIELD_INCLUDE_USAGE] = "stream_options.include_usage",
        [FIELD_N] = "n",
        [FIELD_GOOGLE_CONFIG] = "generationConfig",
        [FIELD_AMAZON_CONFIG] = "inferenceConfig",
        [FIELD_MAX_TOKENS] = "max_tokens",
        [FIELD_MAX_COMPLETION] = "max_completion_tokens",
        [FIELD_MAX_OUTPUT] = "max_output_tokens",
        [FIELD_MAX_GOOGLE] = "generationConfig.maxOutputTokens",
        [FIELD_MAX_AMAZON] = "inferenceConfig.maxTokens",
        [FIELD_USER] = "user",
        [FIELD_METADATA] = "metadata",
    };
    json_fields_make(&table, paths, FIELD_COUNT);
}

static bool is_read(const struct route *r)
{
    return r->kind == ROUTE_PASS_JSON;
}

enum stage exchange_read(struct exchange *x)
{
    struct call *call = x->call;
    if (!is_read(x->route)) return STAGE_GO;
    const int64_t from = call->loop->now_ns;
    const int64_t until = clock_deadline(from, x->plan->body_timeout_ns);
    const enum rw_err err = call->ops->body_whole(call, x->plan->body_bytes_max, until, &x->body);
    x->client_wait_ns += call->loop->now_ns - from;
    return err ? exchange_fail_client(x, (int)err) : STAGE_GO;
}

static enum stage bad_json(struct exchange *x, const struct json_scan *s)
{
    char text[80];
    const uint32_t n = json_scan_say(s, text, sizeof text);
    return exchange_fail_text(x, END_BAD_JSON, span_of(text, n), SPAN(""), SPAN(""));
}

static enum stage bad_field(struct exchange *x, const char *field, const char *what)
{
    x->param = field;
    return exchange_fail_text(x, END_BAD_FIELD, SPAN("The field '"), span_str(field), span_str(what));
}

// What estimates and records want to know. Wrong types are the provider's to refuse.
static void read_for_the_books(struct exchange *x)
{
    const struct json_value *v = x->scan->value;
    for (int i = FIELD_MAX_TOKENS; i <= FIELD_MAX_AMAZON; i++) {
        int64_t n;
        if (v[i].type == JSON_NUMBER && json_i64(json_text(x->body.p, &v[i]), &n) && n >= 0 &&
            n > x->max_tokens)
            x->max_tokens = n;
    }
    if (x->max_tokens < 0 && x->route->dialect == &dialect_native) x->max_tokens = DIALECT_NATIVE_MAX_TOKENS;
    x->user = http_value(&x->call->head, HTTP_N_X_RINGWAY_USER);
    if (x->user.n || v[FIELD_USER].type != JSON_STRING) return;
    uint8_t *buf = arena_alloc(x->call->arena, v[FIELD_USER].len);
    if (!buf ||
        json_string(json_text(x->body.p, &v[FIELD_USER]), JSON_LONE_REFUSE, buf, v[FIELD_USER].len, &x->user))
        x->user = (struct span){NULL, 0};
}

// The model where it stands in the path.
static enum stage read_path_model(struct exchange *x)
{
    uint8_t *name = arena_alloc(x->call->arena, x->rest.n);
    if (!name) return exchange_fail(x, END_OVERLOADED, "memory");
    if (x->rest.n > ACCESS_PATH_BYTES_MAX ||
        url_decode(x->rest, false, name, x->rest.n, &x->model_named) != RW_OK)
        return exchange_fail_text(x, END_NO_MODEL, SPAN("The path names no model that there is: '"), x->rest,
                                  SPAN("'."));
    return STAGE_GO;
}

static enum stage read_titan(struct exchange *x)
{
    struct span max;
    int64_t n;
    if (x->stream)
        return exchange_fail_text(x, END_BAD_FIELD, SPAN("Streaming not supported for model: "),
                                  x->model_named, SPAN(""));
    if (json_path(x->body, "textGenerationConfig.maxTokenCount", &max) && json_i64(max, &n) && n >= 0)
        x->max_tokens = n;
    return STAGE_GO;
}

// Streaming where it is said there.
static enum stage read_path_stream(struct exchange *x)
{
    struct span alt;
    x->route = route_for_body(x->route, x->model_named, x->body);
    x->stream = route_streams(x->route);
    x->choices = 1;
    const bool sse = x->call->head.has_query &&
        url_query_find(http_query(&x->call->head), SPAN("alt"), &alt) && span_eq(alt, SPAN("sse"));
    x->json_array = x->stream && x->route->dialect == &dialect_gemini && !sse;
    read_for_the_books(x);
    return x->route->dialect == &dialect_invoke_titan ? read_titan(x) : STAGE_GO;
}

static enum stage read_model(struct exchange *x)
{
    const struct json_value *model = &x->scan->value[FIELD_MODEL];
    if (route_names_model(x->route)) return read_path_model(x);
    if (model->type == JSON_STRING) {
        uint8_t *buf = arena_alloc(x->call->arena, model->len);
        if (!buf) return exchange_fail(x, END_OVERLOADED, "memory");
        if (json_string(json_text(x->body.p, model), JSON_LONE_REFUSE, buf, model->len, &x->model_named))
            return bad_field(x, "model", "' holds half of a surrogate pair.");
        if (x->model_named.n > ACCESS_PATH_BYTES_MAX)
            return bad_field(x, "model", "' is longer than any model's name.");
    } else if (model->type > JSON_NULL) {
        return bad_field(x, "model", "' must be a string.");
    }
    return STAGE_GO;
}

// What the fields mean. null is the same as absent.
static enum stage read_fields(struct exchange *x)
{
    static const char *const names[FIELD_COUNT] = {"model",
                                                   "stream",
                                                   "stream_options",
                                                   "stream_options.include_usage",
                                                   "n",
                                                   "generationConfig",
                                                   "inferenceConfig",
                                                   "max_tokens",
                                                   "max_completion_tokens",
                                                   "max_output_tokens",
                                                   "generationConfig.maxOutputTokens",
                                                   "inferenceConfig.maxTokens",
                                                   "user",
                                                   "metadata"};
    const struct json_value *v = x->scan->value;
    for (int i = 0; i < FIELD_COUNT && RW_UNLIKELY(json_has_duplicates(x->scan)); i++)
        if (v[i].duplicate) return bad_field(x, names[i], "' is given twice. Send it once.");
    const enum stage named = read_model(x);
    if (named != STAGE_GO) return named;
    if (route_says_stream(x->route)) return read_path_stream(x);

    const uint8_t stream = v[FIELD_STREAM].type;
    if (stream > JSON_TRUE) return bad_field(x, "stream", "' must be true or false.");
    x->stream = stream == JSON_TRUE;
    const uint8_t options = v[FIELD_OPTIONS].type;
    if (options > JSON_NULL && options != JSON_OBJECT)
        return bad_field(x, "stream_options", "' must be an object.");
    const uint8_t usage = v[FIELD_INCLUDE_USAGE].type;
    if (usage > JSON_TRUE) return bad_field(x, "stream_options.include_usage", "' must be true or false.");
    x->usage_asked = usage == JSON_TRUE;
    uint64_t n = 1;
    if (v[FIELD_N].type > JSON_NULL &&
        (!json_u64(json_text(x->body.p, &v[FIELD_N]), &n) || n < 1 || n > CHOICES_MAX))
        return bad_field(x, "n", "' must be a whole number from 1 to 128.");
    x->choices = (uint32_t)n;
    read_for_the_books(x);
    return STAGE_GO;
}

enum stage exchange_scan(struct exchange *x)
{
    if (!is_read(x->route)) return STAGE_GO;
    static_assert(FIELD_COUNT <= METER_FIELDS_MAX, "the answer is scanned in the same place");
    struct json_scan *s = arena_alloc(x->call->arena, JSON_SCAN_BYTES(METER_FIELDS_MAX));
    if (!s) return exchange_fail(x, END_OVERLOADED, "memory");
    json_scan_init(s, &table, JSON_TOP_OBJECT);
    int r = JSON_NEED_MORE;
    for (uint32_t n = 0; r == JSON_NEED_MORE;) {
        n = x->body.n - n > SCAN_SLICE_BYTES ? n + SCAN_SLICE_BYTES : x->body.n;
        const bool final = n == x->body.n;
        r = json_scan_feed(s, x->body.p, n, final);
        if (!final && r == JSON_NEED_MORE && fiber_yield() < 0) return exchange_fail_client(x, -ECANCELED);
    }
    if (r < 0) return bad_json(x, s);
    x->scan = s;
    return read_fields(x);
}
