// What happened to one request, out of its records in the ledger: GET /admin/v1/explain/{request id}, as fields and, under
// `story`, as sentences.
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/fmt.h"
#include "control/admin.h"
#include "feature/usage_report.h"

// Longer than any sentence: three names, or a few texts of STORE_TEXT_BYTES_MAX.
#define SENTENCE_BYTES 1536

struct name {
    uint32_t n;
    char text[STORE_NAME_BYTES_MAX];
};

struct explain {
    struct admin_call *c;
    struct store_reader *accounts;
    uint32_t count;
    int64_t cost_nanos; // of all parts
    bool unpriced;
    struct name key, team, tenant;
};

static const char *const caches[] = {[STORE_CACHE_NONE] = "none",
                                     [STORE_CACHE_HIT] = "hit",
                                     [STORE_CACHE_MISS] = "miss",
                                     [STORE_CACHE_BYPASS] = "bypass"};

static const struct {
    uint32_t flag;
    const char *name;
    const char *words; // for the story
} flags[] = {
    {STORE_ESTIMATED, "estimated", "The provider named no usage: the tokens are an estimate."},
    {STORE_CRASHED, "crashed", "The process died before the end was known: it is charged at its estimate."},
    {STORE_CUT, "cut", "The answer broke off, or the client left before its end."},
    {STORE_STREAMED, "streamed", NULL},
    {STORE_UNPRICED, "unpriced",
     "The model has no price: what it cost is not in the sums. Give it one in the prices file."},
    {STORE_FAILED, "failed", NULL},
    {STORE_REFUSED, "refused", "It was refused by a limit or for want of room; nothing was used up."},
    {STORE_EARLIER_BOOT, "earlier_boot", "It was found in the journal of an earlier boot of the machine."},
};

static void name_of(struct explain *e, enum store_kind kind, uint32_t id, struct name *ret)
{
    const int64_t n = id ? store_account_label(e->accounts, kind, id, ret->text) : 0;
    if (n > 0) {
        ret->n = (uint32_t)n;
        return;
    }
    struct fmt f;
    fmt_init(&f, ret->text, sizeof ret->text);
    if (id) fmt_u64(&f, id);
    else fmt_str(&f, "(configuration)");
    ret->n = f.n;
}

static struct span name_span(const struct name *n)
{
    return span_of(n->text, n->n);
}

// --- Sentences.

// Writes one string of the story: each % of the format is the next text.
static void say(struct json_out *o, const char *format, const struct span *texts)
{
    char sentence[SENTENCE_BYTES];
    struct fmt f;
    fmt_init(&f, sentence, sizeof sentence);
    for (; *format; format++) {
        if (*format == '%') fmt_span(&f, *texts++);
        else fmt_char(&f, *format);
    }
    json_out_string(o, fmt_text(&f));
}

struct number {
    char text[FMT_DECIMAL_BYTES];
};

static struct span number(struct number *n, int64_t v, uint32_t decimals)
{
    struct fmt f;
    fmt_init(&f, n->text, sizeof n->text);
    fmt_decimal(&f, v, decimals);
    return fmt_text(&f);
}

static void tell_tokens(struct json_out *o, const struct store_record *r)
{
    char text[512];
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) {
        if (!r->tokens[i]) continue;
        if (f.n) fmt_str(&f, ", ");
        fmt_u64(&f, r->tokens[i]);
        fmt_char(&f, ' ');
        fmt_str(&f, usage_tokens_name((enum store_tokens)i));
    }
    if (f.n) say(o, "Tokens: %.", (struct span[]){fmt_text(&f)});
}

static void tell_flags(struct json_out *o, const struct store_record *r)
{
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if ((r->flags & flags[i].flag) && flags[i].words) json_out_string(o, span_str(flags[i].words));
}

static struct span upstream_model(const struct store_record *r)
{
    return r->texts.upstream_model.n ? r->texts.upstream_model : r->texts.model;
}

static void tell_money(struct json_out *o, const struct store_record *r)
{
    struct number usd;
    if (!(r->flags & STORE_UNPRICED) || r->cost_nanos)
        say(o, "It cost % USD.", (struct span[]){number(&usd, r->cost_nanos, 9)});
}

static void tell_request(const struct explain *e, struct json_out *o, const struct store_record *r)
{
    char when[FMT_TIME_ISO_BYTES];
    struct fmt f;
    struct fmt_time cache = {0};
    struct number a, b, n;
    fmt_init(&f, when, sizeof when);
    fmt_time_iso(&f, &cache, store_id_ms(r->id) * CLOCK_MS);
    const struct span who[] = {fmt_text(&f), name_span(&e->key), name_span(&e->team), name_span(&e->tenant)};
    say(o, "At % key '%' of team '%', tenant '%', sent a request.", who);
    if (r->texts.model.n)
        say(o, r->flags & STORE_STREAMED ? "It asked for model %, as a stream." : "It asked for model %.",
            &r->texts.model);
    if (r->cache == STORE_CACHE_HIT) json_out_string(o, SPAN("It was answered from the cache."));
    else if (r->texts.provider.n) {
        const struct span went[] = {r->texts.provider, upstream_model(r), number(&n, r->attempts, 0)};
        say(o,
            r->attempts > 1 ? "It went to provider % as %, after % attempts in all."
                            : "It went to provider % as %.",
            went);
    } else json_out_string(o, SPAN("It went to no provider."));
    const struct span end[] = {r->end, number(&n, r->status, 0)};
    if (r->status) say(o, "It ended as '%'; the client got status %.", end);
    else if (r->end.n) say(o, "It ended as '%'; the client got no answer.", end);
    tell_tokens(o, r);
    tell_money(o, r);
    tell_flags(o, r);
    const struct span times[] = {number(&a, (int64_t)r->duration_us, 3), number(&b, r->overhead_us, 3),
                                 number(&n, r->first_byte_us, 3)};
    if (r->first_byte_us)
        say(o, "It took % ms, % ms of it the gateway's own; the first byte left after % ms.", times);
    else if (r->duration_us) say(o, "It took % ms, % ms of it the gateway's own.", times);
}

static void tell_attempt(struct json_out *o, const struct store_record *r)
{
    const struct span what[] = {r->texts.provider.n ? r->texts.provider : SPAN("a provider"),
                                upstream_model(r), r->end.n ? r->end : SPAN("unknown")};
    say(o, "Besides, an attempt at provider % as % ended as '%' and is charged.", what);
    tell_tokens(o, r);
    tell_money(o, r);
    tell_flags(o, r);
}

// --- Fields.

static void write_text(struct json_out *o, struct span key, struct span text)
{
    if (text.n) json_out_key_string(o, key, text);
}

static void write_tokens(struct json_out *o, const struct store_record *r)
{
    json_out_key_object(o, SPAN("tokens"));
    for (int i = 0; i < STORE_TOKENS_COUNT; i++)
        if (r->tokens[i])
            json_out_key_u64(o, span_str(usage_tokens_name((enum store_tokens)i)), r->tokens[i]);
    json_out_end(o);
}

// What every part has.
static void write_part(struct json_out *o, const struct store_record *r)
{
    write_text(o, SPAN("model"), r->texts.model);
    write_text(o, SPAN("provider"), r->texts.provider);
    write_text(o, SPAN("upstream_model"), r->texts.upstream_model);
    if (r->status) json_out_key_u64(o, SPAN("status"), r->status);
    else json_out_key_null(o, SPAN("status"));
    write_text(o, SPAN("end"), r->end);
    write_tokens(o, r);
    if ((r->flags & STORE_UNPRICED) && !r->cost_nanos) json_out_key_null(o, SPAN("cost_usd"));
    else admin_write_usd(o, SPAN("cost_usd"), r->cost_nanos);
    if (r->cache == STORE_CACHE_HIT) admin_write_usd(o, SPAN("saved_usd"), r->saved_nanos);
    json_out_key_array(o, SPAN("flags"));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (r->flags & flags[i].flag) json_out_string(o, span_str(flags[i].name));
    json_out_end(o);
    json_out_key_u64(o, SPAN("duration_us"), r->duration_us);
    if (r->first_byte_us) json_out_key_u64(o, SPAN("first_byte_us"), r->first_byte_us);
}

static void write_tags(struct json_out *o, const struct store_texts *t)
{
    if (!t->tags_count) return;
    json_out_key_object(o, SPAN("tags"));
    for (uint32_t i = 0; i < t->tags_count; i++) {
        const uint32_t equals = span_find(t->tags[i], '=');
        json_out_key_text(o, (struct span){t->tags[i].p, equals});
        json_out_string(o, equals < t->tags[i].n ? span_from(t->tags[i], equals + 1) : SPAN(""));
    }
    json_out_end(o);
}

static void write_request(const struct explain *e, struct json_out *o, const struct store_record *r)
{
    char id[STORE_ID_CHARS], when[FMT_TIME_ISO_BYTES];
    struct fmt f;
    struct fmt_time cache = {0};
    store_id_text(r->id, id);
    fmt_init(&f, when, sizeof when);
    fmt_time_iso(&f, &cache, store_id_ms(r->id) * CLOCK_MS);
    json_out_key_string(o, SPAN("request_id"), span_of(id, sizeof id));
    json_out_key_string(o, SPAN("time"), fmt_text(&f));
    json_out_key_string(o, SPAN("tenant"), name_span(&e->tenant));
    json_out_key_string(o, SPAN("team"), name_span(&e->team));
    json_out_key_string(o, SPAN("key"), name_span(&e->key));
    write_text(o, SPAN("client_request_id"), r->texts.client_id);
    write_text(o, SPAN("user"), r->texts.user);
    write_tags(o, &r->texts);
    write_part(o, r);
    json_out_key_string(o, SPAN("cache"),
                        span_str(r->cache <= STORE_CACHE_BYPASS ? caches[r->cache] : "none"));
    json_out_key_u64(o, SPAN("attempts"), r->attempts);
    json_out_key_u64(o, SPAN("overhead_us"), r->overhead_us);
    json_out_key_u64(o, SPAN("bytes_in"), r->bytes_in);
    json_out_key_u64(o, SPAN("bytes_out"), r->bytes_out);
}

// --- The parts, in three walks over them: the request's fields, the other attempts, the story.

static bool on_request(const struct store_record *r, void *ctx)
{
    struct explain *e = ctx;
    e->cost_nanos += r->cost_nanos;
    e->unpriced = e->unpriced || (r->flags & STORE_UNPRICED);
    if (e->count++) return true;
    name_of(e, STORE_KEY, r->key, &e->key);
    name_of(e, STORE_TEAM, r->team, &e->team);
    name_of(e, STORE_TENANT, r->tenant, &e->tenant);
    write_request(e, &e->c->out, r);
    return true;
}

static bool on_attempt(const struct store_record *r, void *ctx)
{
    struct explain *e = ctx;
    if (r->part == 0) return true;
    json_out_object(&e->c->out);
    write_part(&e->c->out, r);
    json_out_end(&e->c->out);
    return true;
}

static bool on_story(const struct store_record *r, void *ctx)
{
    struct explain *e = ctx;
    if (r->part == 0) tell_request(e, &e->c->out, r);
    else tell_attempt(&e->c->out, r);
    return true;
}

static enum rw_err answer(struct explain *e, struct store_reader *usage, const uint8_t id[STORE_ID_BYTES])
{
    struct json_out *o = &e->c->out;
    struct number usd;
    admin_begin(e->c, 200);
    json_out_object(o);
    RW_TRY(store_usage_explain(usage, id, on_request, e));
    json_out_key_array(o, SPAN("other_attempts"));
    RW_TRY(store_usage_explain(usage, id, on_attempt, e));
    json_out_end(o);
    admin_write_usd(o, SPAN("total_cost_usd"), e->cost_nanos);
    json_out_key_array(o, SPAN("story"));
    RW_TRY(store_usage_explain(usage, id, on_story, e));
    if (e->count > 1) say(o, "All together it cost % USD.", (struct span[]){number(&usd, e->cost_nanos, 9)});
    json_out_end(o);
    json_out_end(o);
    return RW_OK;
}

void admin_explain(struct admin_call *c)
{
    const struct span id = c->id;
    uint8_t bytes[STORE_ID_BYTES];
    struct store_reader *usage;
    struct explain *e = arena_alloc(c->arena, sizeof *e);
    if (store_id_parse(id, bytes) != RW_OK) {
        admin_refuse(c, 404,
                     "'%' is no request id:|it is the 26 characters of x-request-id, or request_id in the "
                     "access log.",
                     id);
        return;
    }
    if (!e) {
        admin_refuse_err(c, RW_E_BUDGET);
        return;
    }
    *e = (struct explain){.c = c};
    if (!admin_reader(c, STORE_ACCOUNTS, &e->accounts)) return;
    if (admin_reader(c, STORE_USAGE, &usage)) {
        const enum rw_err err = answer(e, usage, bytes);
        if (err == RW_E_NOT_FOUND)
            admin_refuse(c, 404,
                         "There is no record of request %.|It had no valid key, is not committed yet (a "
                         "moment), or is older "
                         "than usage.retention.",
                         id);
        else if (err) admin_refuse_err(c, err);
        store_reader_close(usage);
    }
    store_reader_close(e->accounts);
}
