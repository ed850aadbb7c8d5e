// See access_log.h. The fields stand in one list, which becomes the code that writes them and the sum of what
// they may need: a line that is as long as it can be fits a reserve of the ring, so nothing is checked while
// it is written.
#include "gateway/access_log.h"

// The line behind the time, in order: X(form, field, most bytes before escaping).
//   TEXT     a span, left out without a pointer        PATH     likewise, without its query
//   COUNT    a uint32_t, always there                  NUMBER   an int64_t, left out below 0
//   WORD     has a put_FIELD() of its own
// Dialect to upstream_model and tenant to key are groups of their own, because they may come prepared.
#define FIELDS_FRONT(X) \
    X(TEXT, request_id, ACCESS_NAME_BYTES_MAX) \
    X(TEXT, client_request_id, ACCESS_TEXT_BYTES_MAX) \
    X(TEXT, client, ACCESS_NAME_BYTES_MAX) \
    X(WORD, method, ACCESS_WORD_BYTES_MAX) \
    X(PATH, path, ACCESS_PATH_BYTES_MAX) \
    X(WORD, status, 0) \
    X(WORD, end, 0)
#define FIELDS_TARGET(X) \
    X(TEXT, dialect, ACCESS_WORD_BYTES_MAX) \
    X(TEXT, model, ACCESS_TEXT_BYTES_MAX) \
    X(TEXT, provider, ACCESS_NAME_BYTES_MAX) \
    X(TEXT, upstream_model, ACCESS_TEXT_BYTES_MAX)
#define FIELDS_MIDDLE(X) \
    X(TEXT, upstream_request_id, ACCESS_TEXT_BYTES_MAX) \
    X(WORD, stream, 0) \
    X(COUNT, attempts, 0) \
    X(WORD, cache, ACCESS_WORD_BYTES_MAX)
#define FIELDS_PRINCIPAL(X) \
    X(TEXT, tenant, ACCESS_NAME_BYTES_MAX) \
    X(TEXT, team, ACCESS_NAME_BYTES_MAX) \
    X(TEXT, key, ACCESS_NAME_BYTES_MAX)
#define FIELDS_BACK(X) \
    X(NUMBER, bytes_in, 0) \
    X(NUMBER, bytes_out, 0) \
    X(NUMBER, input_tokens, 0) \
    X(NUMBER, output_tokens, 0) \
    X(WORD, cost_usd, 0) \
    X(NUMBER, duration_us, 0) \
    X(NUMBER, first_byte_us, 0) \
    X(NUMBER, overhead_us, 0)

#define TIME_KEY "{\"time\":\""
#define KEY(field) ",\"" #field "\":"

#define WORD_BYTES_MAX 40
#define BYTES_TEXT(max) FMT_JSON_BYTES(max)
#define BYTES_PATH(max) FMT_JSON_BYTES(max)
#define BYTES_COUNT(max) FMT_U64_BYTES
#define BYTES_NUMBER(max) FMT_U64_BYTES
#define BYTES_WORD(max) ((max) ? FMT_JSON_BYTES(max) : WORD_BYTES_MAX)
#define BYTES(form, field, max) +(sizeof KEY(field) - 1 + BYTES_##form(max))
#define TARGET_BYTES (0 FIELDS_TARGET(BYTES))
#define PRINCIPAL_BYTES (0 FIELDS_PRINCIPAL(BYTES))
#define REST_BYTES \
    (sizeof TIME_KEY - 1 + FMT_TIME_ISO_BYTES + 1 + sizeof "}\n" - \
     1 FIELDS_FRONT(BYTES) FIELDS_MIDDLE(BYTES) FIELDS_BACK(BYTES))

static_assert(TARGET_BYTES <= ACCESS_TARGET_BYTES_MAX && PRINCIPAL_BYTES <= ACCESS_PRINCIPAL_BYTES_MAX,
              "what is prepared fits its buffer");
static_assert(REST_BYTES + ACCESS_TARGET_BYTES_MAX + ACCESS_PRINCIPAL_BYTES_MAX <= LOG_LINE_BYTES_MAX,
              "the longest line fits a reserve");

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static inline char *put(char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

// The first n of more bytes, less the beginning of a character that does not fit.
static struct span cut(struct span s, uint32_t n)
{
    while (n && (s.p[n] & 0xc0) == 0x80) n--;
    return (struct span){s.p, n};
}

static inline char *put_text(char *at, struct span s, uint32_t max)
{
    return fmt_raw_json(at, RW_UNLIKELY(s.n > max) ? cut(s, max) : s);
}

// The path of an absolute target: without scheme and authority, which may hold a password.
static struct span path_of_absolute(struct span target)
{
    target.n = span_find(target, '?'); // first, because a query may hold a slash
    const struct span rest = span_from(target, span_find(target, ':'));
    if (!span_starts(rest, SPAN("://"))) return target;
    const struct span authority = span_from(rest, 3);
    const struct span path = span_from(authority, span_find(authority, '/'));
    return path.n ? path : SPAN("/");
}

static inline struct span path_of(struct span target)
{
    if (RW_UNLIKELY(target.n && target.p[0] != '/')) target = path_of_absolute(target);
    // Behind the longest path nothing is searched: it is cut there anyway.
    const uint32_t most = target.n <= ACCESS_PATH_BYTES_MAX ? target.n : ACCESS_PATH_BYTES_MAX + 1;
    const uint32_t query = span_find((struct span){target.p, most}, '?');
    return query < most ? (struct span){target.p, query} : target;
}

// Four words are nearly always the same: they are written together with their keys.
static inline bool is_four(struct span s, const char *word)
{
    return s.n == 4 && memcmp(s.p, word, 4) == 0;
}

static inline char *put_method(char *at, const struct access_record *r)
{
    if (!r->method.p) return at;
    if (RW_LIKELY(is_four(r->method, "POST"))) return PUT(at, KEY(method) "\"POST\"");
    return put_text(PUT(at, KEY(method)), r->method, ACCESS_WORD_BYTES_MAX);
}

static inline char *put_cache(char *at, const struct access_record *r)
{
    if (!r->cache.p) return at;
    if (RW_LIKELY(is_four(r->cache, "miss"))) return PUT(at, KEY(cache) "\"miss\"");
    return put_text(PUT(at, KEY(cache)), r->cache, ACCESS_WORD_BYTES_MAX);
}

static inline char *put_status(char *at, const struct access_record *r)
{
    if (RW_LIKELY(r->status == 200)) return PUT(at, KEY(status) "200");
    return r->status ? fmt_raw_u64(PUT(at, KEY(status)), r->status) : at;
}

#define X(symbol, name, is_error, status, text) \
    static_assert(sizeof(name) + 1 <= WORD_BYTES_MAX, "the name of an end is a word");
RW_ENDS(X)
#undef X

static inline char *put_end(char *at, const struct access_record *r)
{
    if (RW_LIKELY(r->end == END_OK)) return PUT(at, KEY(end) "\"ok\"");
    const char *name = end_info(r->end)->name;
    at = put(PUT(at, KEY(end) "\""), name, strlen(name));
    *at = '"';
    return at + 1;
}

static inline char *put_stream(char *at, const struct access_record *r)
{
    return r->stream ? PUT(at, KEY(stream) "true") : PUT(at, KEY(stream) "false");
}

static inline char *put_cost_usd(char *at, const struct access_record *r)
{
    return r->cost_nano_usd < 0 ? at : fmt_raw_decimal(PUT(at, KEY(cost_usd)), r->cost_nano_usd, 9);
}

static inline char *put_count(char *at, uint64_t v)
{
    if (v >= 10) return fmt_raw_u64(at, v);
    *at = (char)('0' + v);
    return at + 1;
}

#define PUT_TEXT(field, max) \
    if (r->field.p) at = put_text(PUT(at, KEY(field)), r->field, (max));
#define PUT_PATH(field, max) \
    if (r->field.p) at = put_text(PUT(at, KEY(field)), path_of(r->field), (max));
#define PUT_COUNT(field, max) at = put_count(PUT(at, KEY(field)), r->field);
#define PUT_NUMBER(field, max) \
    if (r->field >= 0) at = fmt_raw_u64(PUT(at, KEY(field)), (uint64_t)r->field);
#define PUT_WORD(field, max) at = put_##field(at, r);
#define WRITE(form, field, max) PUT_##form(field, max)

static inline char *put_target(char *at, const struct access_record *r)
{
    FIELDS_TARGET(WRITE)
    return at;
}

static inline char *put_principal(char *at, const struct access_record *r)
{
    FIELDS_PRINCIPAL(WRITE)
    return at;
}

uint32_t access_log_prepare_target(const struct access_record *r, char out[ACCESS_TARGET_BYTES_MAX])
{
    return (uint32_t)(put_target(out, r) - out);
}

uint32_t access_log_prepare_principal(const struct access_record *r, char out[ACCESS_PRINCIPAL_BYTES_MAX])
{
    return (uint32_t)(put_principal(out, r) - out);
}

// Pieces of 32 bytes: what is behind the end is overwritten by the next field, and one piece of room is
// counted in the sizes.
static inline char *put_prepared(char *at, struct span s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

void access_log_write(struct access_log *log, const struct access_record *r)
{
    if (!log->ring) return;
    char *const line = logring_reserve(log->ring, LOG_LINE_BYTES_MAX);
    if (!line) return;
    char *at = PUT(line, TIME_KEY);
    at = fmt_raw_time_iso(at, &log->clock, r->wall_ns);
    *at++ = '"';
    FIELDS_FRONT(WRITE)
    at = r->target.p ? put_prepared(at, r->target) : put_target(at, r);
    FIELDS_MIDDLE(WRITE)
    at = r->principal.p ? put_prepared(at, r->principal) : put_principal(at, r);
    FIELDS_BACK(WRITE)
    at = PUT(at, "}\n");
    logring_commit(log->ring, (uint32_t)(at - line));
}
