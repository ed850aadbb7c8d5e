// Dialects: every fixture of every dialect is decoded and encoded into every dialect, and what comes out is decoded again: the
// story must be the same. Streams are cut at every byte; a stream that breaks off is never ended. Single rules are in
// test_dialect_rules.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"

static struct story_world world;
static char room_a[STORY_MAX], room_b[STORY_MAX];

static const struct dialect_reply reply = {
    .id = SPAN_INIT("req1"), .created_s = 1795255872, .usage_wanted = true};

// Folders of fixtures and the dialect that reads them.
static const struct {
    const char *folder;
    const struct dialect *dialect;
} folders[] = {
    {"openai", &dialect_openai},
    {"openai_compat", &dialect_openai},
    {"anthropic", &dialect_anthropic},
    {"gemini", &dialect_gemini},
    {"mistral", &dialect_mistral},
    {"cohere", &dialect_cohere},
    {"openai_responses", &dialect_responses},
    {"bedrock_converse", &dialect_converse},
};
#define FOLDERS (sizeof folders / sizeof *folders)

// A model of each dialect, by its name.
static struct dialect_target target_of(const struct dialect *d)
{
    struct dialect_target t = {.model = SPAN("gpt-4o-mini")};
    if (d->family == DIALECT_ANTHROPIC) t.model = SPAN("claude-sonnet-4-6");
    if (d->family == DIALECT_GEMINI) t.model = SPAN("gemini-2.5-flash");
    if (d->family == DIALECT_BEDROCK) t.model = SPAN("anthropic.claude-sonnet-4-5-20250929-v1:0");
    if (d->family == DIALECT_COHERE) t.model = SPAN("command-a-reasoning-08-2025");
    return t;
}

static bool is_chat(const struct dialect *d, struct span body)
{
    struct span v;
    return json_member(body, SPAN("messages"), &v) ||
        (d == &dialect_responses && json_member(body, SPAN("input"), &v)) ||
        (json_member(body, SPAN("contents"), &v) && !json_member(body, SPAN("requests"), &v));
}

static int begin(void **state)
{
    (void)state;
    story_open(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    story_close(&world);
    return 0;
}

static void assert_same(const char *what, const char *file, const struct dialect *to, struct span a,
                        struct span b)
{
    if (span_eq(a, b)) return;
    fprintf(stderr, "%s of %s by way of %s:\n--- was\n%.*s--- is\n%.*s", what, file, to->name, SPAN_ARG(a),
            SPAN_ARG(b));
    fail();
}

static struct span flat(struct json_out *o)
{
    assert_int_equal(json_out_done(o), RW_OK);
    const struct span text = json_out_flat(o);
    assert_non_null(text.p);
    return text;
}

// --- Requests.

// What a target cannot hold, and the line of the contract that says so.
static const struct {
    const char *folder, *file, *to, *param;
} refused[] = {
    {"openai", "image_url.request.json", "gemini",
     "messages.content.image_url"}, // 2, attachments: not fetched yet
    {"anthropic", "image_url.request.json", "gemini", "messages.content.image_url"},
    {"gemini", "image_file.request.json", "openai", "messages.content.source"}, // gs:// is Google's own
    {"gemini", "image_file.request.json", "anthropic", "messages.content.source"},
    {"mistral", "image_url.request.json", "gemini", "messages.content.image_url"},
    {"gemini", "image_file.request.json", "mistral", "messages.content.source"},
    {"gemini", "image_file.request.json", "cohere", "messages.content.source"},
    {"gemini", "image_file.request.json", "responses", "messages.content.source"},
    {"openai", "image_url.request.json", "converse", "messages.content.image_url"},
    {"anthropic", "image_url.request.json", "converse", "messages.content.image_url"},
    {"mistral", "image_url.request.json", "converse", "messages.content.image_url"},
    {"gemini", "image_file.request.json", "converse", "messages.content.image_url"},
    {"anthropic", "document.request.json", "cohere", "messages.content.file"}, // 2: it takes no PDF
};

static bool is_refused(const char *folder, const char *file, const struct dialect *to, struct span param)
{
    for (uint32_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(refused[i].folder, folder) && !strcmp(refused[i].file, file) &&
            !strcmp(refused[i].to, to->name) && span_eq(span_str(refused[i].param), param))
            return true;
    return false;
}

static void request_to(const char *folder, const char *file, const struct dialect *from,
                       const struct dialect *to, struct span body)
{
    struct chat_ctx ctx;
    struct chat_request rq, again;
    struct json_out o;
    const struct dialect_target target = target_of(to);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    assert_int_equal(from->decode_request(&ctx, body, &rq), RW_OK);
    json_out_init(&o, &world.arena);
    const enum rw_err err = to->encode_request(&ctx, &rq, &target, &o);
    if (err == RW_E_BAD && is_refused(folder, file, to, ctx.problem.param)) return;
    if (err)
        fprintf(stderr, "%s/%s to %s: %.*s: %.*s\n", folder, file, to->name, SPAN_ARG(ctx.problem.param),
                SPAN_ARG(ctx.problem.text));
    assert_int_equal(err, RW_OK);
    const struct span text = flat(&o);
    assert_true(chat_is_object(text));
    assert_int_equal(to->decode_request(&ctx, text, &again), RW_OK);
    const bool own_max = !chat_has(rq.max_tokens);
    if (own_max) again.max_tokens = rq.max_tokens; // some demand one
    // Of a named tool Cohere is told that it is the only one, and that a call must come.
    if (to->family == DIALECT_COHERE && rq.tool_choice.kind == CHAT_CHOICE_NAMED) {
        assert_int_equal(again.tool_choice.kind, CHAT_CHOICE_REQUIRED);
        assert_true(span_eq(again.tools->name, rq.tool_choice.name) && !again.tools->next);
        again.tool_choice = rq.tool_choice;
    }
    if (to->model_in_path) again.stream = rq.stream;
    else assert_true(span_eq(again.model, target.model));
    assert_same("request", file, to, story_request(&ctx, &rq, room_a), story_request(&ctx, &again, room_b));
}

static void test_request__every_fixture_keeps_its_story(void **state)
{
    (void)state;
    static char names[STORY_FILES_MAX][64];
    uint32_t count = 0;
    for (uint32_t f = 0; f < FOLDERS; f++) {
        const uint32_t n = story_files(folders[f].folder, ".json", names);
        for (uint32_t i = 0; i < n; i++) {
            const struct span body = story_file(&world, folders[f].folder, names[i]);
            if (!strstr(names[i], "request") || !is_chat(folders[f].dialect, body) ||
                strstr(names[i], "count_tokens"))
                continue;
            for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
                const struct arena_mark mark = arena_mark(&world.arena);
                request_to(folders[f].folder, names[i], folders[f].dialect, dialect_all[d], body);
                arena_rewind(&world.arena, mark);
                count++;
            }
        }
    }
    assert_true(count >= 30);
}

// --- Round trips: all that a fixture says in its own dialect is said again.

// JSON as text with sorted keys, without nulls and empty lists; a content that is a string as a list of one text.
static void canonical(struct chat_ctx *ctx, struct span value, struct fmt *f);

struct member {
    struct span key, value;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    const uint32_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    const int c = n ? memcmp(x->key.p, y->key.p, n) : 0;
    return c ? c : (int)x->key.n - (int)y->key.n;
}

static bool left_out(struct span key, struct span value)
{
    static const char *const keys[] = {"stream_options", "total_tokens", "caller", "index"};
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (span_eq(key, span_str(keys[i]))) return true;
    struct span first;
    if (span_eq(key, SPAN("stream")) && !chat_true(value)) return true;
    return json_type(value) == JSON_NULL ||
        (json_type(value) == JSON_ARRAY && !json_element(value, 0, &first));
}

static void canonical_object(struct chat_ctx *ctx, struct span value, struct fmt *f)
{
    struct member m[64];
    uint32_t n = 0;
    struct json_iter it = json_iter(value);
    while (json_next(&it, &m[n].key, &m[n].value)) {
        if (!left_out(m[n].key, m[n].value)) n++;
        assert_true(n < 64);
    }
    qsort(m, n, sizeof *m, by_key);
    fmt_char(f, '{');
    for (uint32_t i = 0; i < n; i++) {
        fmt_span(f, m[i].key);
        fmt_char(f, '=');
        const bool content = span_eq(m[i].key, SPAN("content")) || span_eq(m[i].key, SPAN("system"));
        if (content && json_type(m[i].value) == JSON_STRING) {
            fmt_str(f, "[{text=");
            canonical(ctx, m[i].value, f);
            fmt_str(f, ",type=\"text\",},]");
        } else {
            canonical(ctx, m[i].value, f);
        }
        fmt_char(f, ',');
    }
    fmt_char(f, '}');
}

static void canonical(struct chat_ctx *ctx, struct span value, struct fmt *f)
{
    struct span key, element;
    struct json_iter it = json_iter(value);
    switch (json_type(value)) {
    case JSON_OBJECT: canonical_object(ctx, value, f); break;
    case JSON_ARRAY:
        fmt_char(f, '[');
        while (json_next(&it, &key, &element)) {
            canonical(ctx, element, f);
            fmt_char(f, ',');
        }
        fmt_char(f, ']');
        break;
    case JSON_STRING: fmt_json_string(f, chat_text_or_none(ctx, value)); break;
    default: fmt_span(f, value); break;
    }
}

static struct span canonical_text(struct chat_ctx *ctx, struct span value, char *room)
{
    struct fmt f;
    fmt_init(&f, room, STORY_MAX);
    canonical(ctx, value, &f);
    assert_false(f.overflow);
    return fmt_text(&f);
}

static void round_trip(const char *file, const struct dialect *d, struct span body, bool request)
{
    struct chat_ctx ctx;
    struct chat_request rq;
    struct chat_answer answer;
    struct json_out o;
    struct span model;
    chat_ctx_init(&ctx, &world.arena, CHAT_STRICT);
    json_out_init(&o, &world.arena);
    if (request) {
        assert_int_equal(d->decode_request(&ctx, body, &rq), RW_OK);
        const struct dialect_target target = {.model = rq.model};
        assert_int_equal(d->encode_request(&ctx, &rq, &target, &o), RW_OK);
    } else {
        assert_int_equal(d->decode_answer(&ctx, body, &answer), RW_OK);
        assert_int_equal(d->encode_answer(&ctx, &answer, &reply, &o), RW_OK);
    }
    (void)model;
    assert_int_equal(ctx.losses.n, 0);
    assert_same("round trip", file, d, canonical_text(&ctx, body, room_a),
                canonical_text(&ctx, flat(&o), room_b));
}

static bool is_answer(struct span body)
{
    struct span v;
    if (json_member(body, SPAN("choices"), &v))
        return json_element(v, 0, &v) && json_member(v, SPAN("message"), &v);
    if (json_member(body, SPAN("stopReason"), &v)) return true;
    if (json_member(body, SPAN("output"), &v)) return json_member(body, SPAN("status"), &v);
    if (json_member(body, SPAN("finish_reason"), &v)) return json_member(body, SPAN("message"), &v);
    return json_member(body, SPAN("stop_reason"), &v) || json_member(body, SPAN("usageMetadata"), &v);
}

static void test_round_trip__the_same_dialect_loses_nothing(void **state)
{
    (void)state;
    static char names[STORY_FILES_MAX][64];
    uint32_t count = 0;
    for (uint32_t f = 0; f < FOLDERS; f++) {
        const uint32_t n = story_files(folders[f].folder, ".json", names);
        for (uint32_t i = 0; i < n; i++) {
            const struct span body = story_file(&world, folders[f].folder, names[i]);
            const bool request = strstr(names[i], "request") && is_chat(folders[f].dialect, body) &&
                !strstr(names[i], "count_tokens");
            if (!request && !is_answer(body)) continue;
            const struct arena_mark mark = arena_mark(&world.arena);
            round_trip(names[i], folders[f].dialect, body, request);
            arena_rewind(&world.arena, mark);
            count++;
        }
    }
    assert_true(count >= 25);
}

// --- Answers.

// Cohere has no word for an answer that a filter stopped: there it is an error, never a complete answer.
static bool is_filtered(const struct dialect *to, enum chat_finish finish)
{
    return to->family == DIALECT_COHERE && (finish == CHAT_FINISH_FILTER || finish == CHAT_FINISH_REFUSAL);
}

static void test_answer__every_fixture_keeps_its_story(void **state)
{
    (void)state;
    static char names[STORY_FILES_MAX][64];
    uint32_t count = 0;
    for (uint32_t f = 0; f < FOLDERS; f++) {
        const uint32_t n = story_files(folders[f].folder, ".response.json", names);
        for (uint32_t i = 0; i < n; i++) {
            const struct span body = story_file(&world, folders[f].folder, names[i]);
            if (!is_answer(body)) continue;
            for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
                const struct arena_mark mark = arena_mark(&world.arena);
                struct chat_ctx ctx;
                struct chat_answer answer, again;
                struct json_out o;
                chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
                assert_int_equal(folders[f].dialect->decode_answer(&ctx, body, &answer), RW_OK);
                json_out_init(&o, &world.arena);
                assert_int_equal(dialect_all[d]->encode_answer(&ctx, &answer, &reply, &o), RW_OK);
                const bool filtered = is_filtered(dialect_all[d], answer.choices->finish);
                assert_int_equal(dialect_all[d]->decode_answer(&ctx, flat(&o), &again),
                                 filtered ? RW_E_BAD : RW_OK);
                if (filtered) continue;
                assert_same("answer", names[i], dialect_all[d], story_answer(&ctx, &answer, room_a),
                            story_answer(&ctx, &again, room_b));
                arena_rewind(&world.arena, mark);
                count++;
            }
        }
    }
    assert_true(count >= 20);
}

// --- Streams.

static struct story_stream stream_a, stream_b;

// Decodes text, cut at `cut` (0: whole; UINT32_MAX: byte by byte).
static enum rw_err decode_stream(const struct dialect *d, struct span text, uint32_t cut,
                                 struct story_stream *st)
{
    static struct chat_reader r;
    struct chat_ctx ctx;
    const struct arena_mark mark = arena_mark(&world.arena);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    story_stream_begin(st);
    chat_reader_init(&r, d, &ctx, &world.scratch, story_push, st);
    enum rw_err err = RW_OK;
    for (uint32_t at = 0; at < text.n && !err;) {
        const uint32_t n = cut == UINT32_MAX ? 1 : at < cut ? cut - at : text.n - at;
        const struct arena_mark event = arena_mark(&world.scratch);
        err = chat_reader_feed(&r, (struct span){text.p + at, n});
        arena_rewind(&world.scratch, event);
        at += n;
    }
    if (!err) err = chat_reader_end(&r);
    arena_rewind(&world.arena, mark);
    return err;
}

// Through the pipe; the output in *ret (malloc).
static enum rw_err pipe_stream(const struct dialect *from, const struct dialect *to, struct span text,
                               uint32_t step, struct span *ret)
{
    static struct dialect_pipe p;
    static uint8_t out[4 << 20];
    struct chat_ctx ctx;
    uint32_t n = 0;
    const struct arena_mark mark = arena_mark(&world.arena);
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    dialect_pipe_init(&p, from, to, &ctx, &world.scratch, &reply);
    enum rw_err err = RW_OK;
    for (uint32_t at = 0; !err && at <= text.n; at += step) {
        const struct arena_mark event = arena_mark(&world.scratch);
        struct json_out o;
        json_out_init(&o, &world.scratch);
        const uint32_t k = text.n - at < step ? text.n - at : step;
        err = k ? dialect_pipe_feed(&p, (struct span){text.p + at, k}, &o) : dialect_pipe_end(&p, &o);
        if (k && k < step && !err) err = dialect_pipe_end(&p, &o);
        if (!err && p.failed && !p.begun && o.bytes == 0) {
            err = dialect_pipe_fail(&p, &p.error, &o);
            at = text.n + 1;
        }
        for (uint32_t i = 0; i < o.iov_n; i++) {
            assert_true(n + o.iov[i].iov_len < sizeof out);
            memcpy(out + n, o.iov[i].iov_base, o.iov[i].iov_len);
            n += (uint32_t)o.iov[i].iov_len;
        }
        arena_rewind(&world.scratch, event);
        if (p.failed) break;
    }
    if (p.done) assert_false(p.writer.head_open);
    arena_rewind(&world.arena, mark);
    *ret = span_of(out, n);
    return err;
}

typedef void each_stream(const char *file, const struct dialect *d, struct span text);

static uint32_t for_each_stream(each_stream *each)
{
    static char names[STORY_FILES_MAX][64];
    uint32_t count = 0;
    for (uint32_t f = 0; f < FOLDERS; f++) {
        const bool frames = folders[f].dialect->framing == DIALECT_EVENTSTREAM;
        const uint32_t n = story_files(folders[f].folder, frames ? ".stream.bin" : ".stream.sse", names);
        for (uint32_t i = 0; i < n; i++) {
            if (strstr(names[i], "completions.")) continue; // the legacy API
            each(names[i], folders[f].dialect, story_file(&world, folders[f].folder, names[i]));
            count++;
        }
    }
    return count;
}

static void cut_everywhere(const char *file, const struct dialect *d, struct span text)
{
    const enum rw_err whole = decode_stream(d, text, 0, &stream_a);
    const struct span story = story_stream_whole(&stream_a);
    const bool cut = strstr(file, "cut") != NULL;
    if ((whole != RW_OK) != cut) fprintf(stderr, "%s: %s\n", file, rw_err_name(whole));
    assert_int_equal(whole != RW_OK, cut);
    assert_true(stream_a.done + stream_a.errors == (cut ? 0u : 1u));
    for (uint32_t at = 1; at <= text.n; at++) {
        assert_int_equal(decode_stream(d, text, at == text.n ? UINT32_MAX : at, &stream_b), whole);
        assert_int_equal(stream_a.trace, stream_b.trace);
        assert_same("stream", file, d, story, story_stream_whole(&stream_b));
    }
}

static void test_stream__the_same_events_for_every_cut(void **state)
{
    (void)state;
    assert_true(for_each_stream(cut_everywhere) >= 15);
}

// The expected end of a stream is its last event; without that it must not look whole.
static void truncate_everywhere(const char *file, const struct dialect *d, struct span text)
{
    (void)file;
    if (decode_stream(d, text, 0, &stream_a) || stream_a.errors) return;
    for (uint32_t n = 0; n < text.n; n++) {
        const enum rw_err err = decode_stream(d, (struct span){text.p, n}, 0, &stream_b);
        assert_true((err == RW_OK) == (stream_b.done == 1));
        // Whole without its last bytes only if all choices have finished.
        for (uint32_t i = 0; i < stream_a.choices && err == RW_OK; i++)
            assert_int_equal(stream_b.finish[i], stream_a.finish[i]);
    }
}

static void test_stream__truncated_is_never_whole(void **state)
{
    (void)state;
    for_each_stream(truncate_everywhere);
}

static bool contains(struct span text, const char *what)
{
    const struct span part = span_str(what);
    for (; text.n >= part.n; text = span_from(text, 1))
        if (span_starts(text, part)) return true;
    return false;
}

static void translate(const char *file, const struct dialect *from, struct span text)
{
    const enum rw_err whole = decode_stream(from, text, 0, &stream_a);
    for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
        const struct dialect *to = dialect_all[d];
        struct span out;
        uint64_t sum = 0;
        if (stream_a.choices > 1 && to->family != DIALECT_OPENAI) continue; // n > 1 was refused
        for (uint32_t step = 1; step <= text.n + 1; step = step < 8 ? step + 1 : step * 3) {
            assert_int_equal(pipe_stream(from, to, text, step, &out), whole);
            uint64_t hash = 0;
            for (uint32_t i = 0; i < out.n; i++) hash = (hash ^ out.p[i]) * UINT64_C(1099511628211);
            if (step > 1) assert_int_equal(hash, sum);
            sum = hash;
        }
        if (whole || stream_a.errors) {
            assert_false(contains(out, "[DONE]"));
            assert_false(contains(out, "message_stop"));
        }
        (void)decode_stream(to, out, 0, &stream_b);
        if (!whole && is_filtered(to, stream_a.finish[0])) {
            assert_int_equal(stream_b.errors, 1);
            continue;
        }
        if (!whole)
            assert_same("stream", file, to, story_stream_whole(&stream_a), story_stream_whole(&stream_b));
    }
}

static void test_stream__every_fixture_keeps_its_story(void **state)
{
    (void)state;
    for_each_stream(translate);
}

// --- Errors.

static void test_error__status_and_type_of_each_dialect(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *file;
        const char *kind;
        uint16_t openai, anthropic;
    } cases[] = {
        {"anthropic", "error_400.json", "bad_request", 400, 400},
        {"anthropic", "error_401.json", "upstream_auth", 502, 500},
        {"anthropic", "error_404.json", "not_found", 404, 404},
        {"anthropic", "error_413.json", "too_large", 413, 413},
        {"anthropic", "error_429.json", "rate", 429, 429},
        {"anthropic", "error_529.json", "overloaded", 503, 529},
        {"openai", "error_400.json", "bad_request", 400, 400},
        {"openai", "error_401.json", "upstream_auth", 502, 500},
        {"openai", "error_429.json", "rate", 429, 429},
        {"openai", "error_500.json", "server", 502, 500},
        {"gemini", "error_400.json", "bad_request", 400, 400},
        {"gemini", "error_400_api_key.json", "upstream_auth", 502, 500},
        {"gemini", "error_401.json", "upstream_auth", 502, 500},
        {"gemini", "error_429.json", "rate", 429, 429},
        {"mistral", "error_400.json", "bad_request", 400, 400},
        {"mistral", "error_401.json", "upstream_auth", 502, 500},
        {"mistral", "error_429.json", "rate", 429, 429},
        {"mistral", "error_500.json", "overloaded", 503, 529},
        {"gemini", "error_503.json", "overloaded", 503, 529},
        {"bedrock_converse", "error_400.json", "bad_request", 400, 400},
        {"bedrock_converse", "error_403.json", "upstream_auth", 502, 500},
        {"bedrock_converse", "error_403_signature.json", "upstream_auth", 502, 500},
        {"bedrock_converse", "error_408.json", "timeout", 504, 504},
        {"bedrock_converse", "error_424.json", "server", 502, 500},
        {"bedrock_converse", "error_429.json", "rate", 429, 429},
        {"bedrock_converse", "error_500.json", "server", 502, 500},
        {"bedrock_converse", "error_503.json", "overloaded", 503, 529},
        {"cohere", "error_400.json", "bad_request", 400, 400},
        {"cohere", "error_401.json", "upstream_auth", 502, 500},
        {"cohere", "error_404.json", "not_found", 404, 404},
        {"cohere", "error_422.json", "bad_request", 400, 400},
        {"cohere", "error_429.json", "rate", 429, 429},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct span file = story_file(&world, cases[i].folder, cases[i].file);
        struct span body, status, message;
        uint64_t number = 0;
        assert_true(json_member(file, SPAN("body"), &body));
        assert_true(json_member(file, SPAN("status"), &status) && json_u64(status, &number));
        const struct dialect *from = NULL;
        for (uint32_t f = 0; f < FOLDERS; f++)
            if (!strcmp(folders[f].folder, cases[i].folder)) from = folders[f].dialect;
        assert_non_null(from);
        struct chat_ctx ctx;
        struct chat_error error;
        struct json_out o;
        chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
        from->decode_error(&ctx, (uint16_t)number, body, &error);
        if (strcmp(chat_error_name(error.kind), cases[i].kind) != 0)
            fprintf(stderr, "%s/%s: %s\n", cases[i].folder, cases[i].file, chat_error_name(error.kind));
        assert_string_equal(chat_error_name(error.kind), cases[i].kind);
        assert_true(error.message.n > 0 && error.message.p[0] != '{');
        if (!strcmp(cases[i].folder, "gemini") && number == 429)
            assert_int_equal(error.retry_after_ms, 21000);
        json_out_init(&o, &world.arena);
        assert_int_equal(dialect_openai.encode_error(&error, &reply, &o), cases[i].openai);
        assert_true(json_path(flat(&o), "error.message", &message));
        assert_true(span_eq(chat_text_or_none(&ctx, message), error.message));
        json_out_init(&o, &world.arena);
        assert_int_equal(dialect_anthropic.encode_error(&error, &reply, &o), cases[i].anthropic);
        assert_true(json_path(flat(&o), "error.type", &message));
    }
}

static void test_error__pages_and_empty_bodies(void **state)
{
    (void)state;
    struct chat_ctx ctx;
    struct chat_error error;
    chat_ctx_init(&ctx, &world.arena, CHAT_NORMAL);
    for (uint32_t d = 0; d < DIALECT_COUNT; d++) {
        dialect_all[d]->decode_error(&ctx, 502, SPAN("<html>Bad gateway</html>"), &error);
        assert_int_equal(error.kind, CHAT_E_SERVER);
        assert_true(error.message.n > 0 && error.message.n <= 1024);
        dialect_all[d]->decode_error(&ctx, 429, SPAN(""), &error);
        assert_int_equal(error.kind, CHAT_E_RATE);
        assert_true(error.message.n > 0);
        dialect_all[d]->decode_error(&ctx, 429, SPAN("{\"error\":[]}"), &error);
        assert_int_equal(error.kind, CHAT_E_RATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request__every_fixture_keeps_its_story, begin, end),
        cmocka_unit_test_setup_teardown(test_round_trip__the_same_dialect_loses_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_answer__every_fixture_keeps_its_story, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__the_same_events_for_every_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__truncated_is_never_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_stream__every_fixture_keeps_its_story, begin, end),
        cmocka_unit_test_setup_teardown(test_error__status_and_type_of_each_dialect, begin, end),
        cmocka_unit_test_setup_teardown(test_error__pages_and_empty_bodies, begin, end),
    };
    return cmocka_run_group_tests_name("dialects", tests, NULL, NULL);
}
