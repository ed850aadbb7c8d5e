// admin: the administrator's API as a function, on a store made for each test. Limits are read, refused and given back as they
// were said; records that went the whole way (journal, writer, ledger) are asked for as sums and compared with an addition over
// an array; one request is explained with all its parts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "control/admin.h"
#include "store/writer.h"
#include "tests/lib/store_dir.h"
#include "wire/json.h"

#define NOW INT64_C(1700000000000) // 2023-11-14 22:13:20
#define DAY INT64_C(86400000)

static struct admin admin;
static struct store_journal *journal;
static struct store_writer *writer;
static struct budget budget;
static struct arena_pool pool;
static struct arena arena;
static struct admin_call call;
static struct span answer; // of the last call; good until the next
static struct span if_match; // of the calls that follow
static uint64_t sequence;

static int64_t wall_ms(void)
{
    return NOW;
}

static int ask(enum http_method method, const char *target, const char *body)
{
    const struct span whole = span_str(target);
    const uint32_t mark = span_find(whole, '?');
    arena_done(&arena);
    arena_init(&arena, &pool, MIB(32));
    call = (struct admin_call){.method = method,
                               .path = {whole.p, mark},
                               .query = mark < whole.n ? span_from(whole, mark + 1) : SPAN(""),
                               .body = span_str(body),
                               .actor = SPAN("test"),
                               .if_match = if_match,
                               .arena = &arena};
    admin_run(&admin, &call);
    answer = json_out_flat(&call.out);
    assert_non_null(answer.p);
    return call.status;
}

static int get(const char *target)
{
    return ask(HTTP_GET, target, "");
}

// The value at a path of the answer, as JSON; "" if there is none.
static const char *at(const char *path)
{
    static char text[512];
    struct span value;
    if (!json_path(answer, path, &value)) return "";
    (void)snprintf(text, sizeof text, "%.*s", SPAN_ARG(value));
    return text;
}

static void assert_says(const char *words)
{
    static char text[16384];
    (void)snprintf(text, sizeof text, "%.*s", SPAN_ARG(answer));
    if (!strstr(text, words)) fail_msg("no '%s' in %s", words, text);
}

static int setup(void **state)
{
    (void)state;
    uint16_t epoch;
    store_dir_make();
    sequence = 0;
    budget = (struct budget){.limit = MIB(64)};
    arena_pool_init(&pool, &budget, 0);
    arena_init(&arena, &pool, MIB(1));
    static const uint8_t pepper[STORE_PEPPER_BYTES] = {1};
    admin = (struct admin){.store = store_dir_open(), .wall_ms = wall_ms};
    store_pepper_of(pepper, &admin.pepper);
    assert_int_equal(store_epoch_next(admin.store, &epoch), RW_OK);
    assert_int_equal(store_journal_open(admin.store, epoch, 1, 256, &journal), RW_OK);
    const struct store_writer_cfg cfg = {.store = admin.store};
    assert_int_equal(store_writer_open(&cfg, &writer), RW_OK);
    store_writer_add(writer, journal);
    assert_int_equal(ask(HTTP_POST, "/admin/v1/tenants", "{\"name\":\"default\"}"), 201);
    assert_int_equal(ask(HTTP_POST, "/admin/v1/teams", "{\"name\":\"default\"}"), 201);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(store_writer_stop(writer, NOW), RW_OK);
    store_journal_close(journal);
    store_close(admin.store);
    arena_done(&arena);
    arena_pool_done(&pool);
    assert_int_equal(budget.used, 0);
    store_dir_remove();
    return 0;
}

// --- Limits.

static void test_limits__come_back_as_they_were_said(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_POST, "/admin/v1/keys",
                         "{\"name\":\"k\",\"limits\":{\"rpm\":60,\"usd_per_day\":0.5,\"shadow\":true,"
                         "\"rates\":[{\"window\":\"second\",\"requests\":5,\"burst\":9}]}}"),
                     201);
    assert_string_equal(at("limits"),
                        "{\"rpm\":60,\"rates\":[{\"window\":\"second\",\"requests\":5,\"burst\":9}],"
                        "\"usd_per_day\":0.5,\"shadow\":true}");
    // What is not named stays; null takes away; a list of rates replaces the list, not rpm and tpm.
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/keys/k",
                         "{\"limits\":{\"rates\":[{\"window\":\"day\",\"tokens\":7}],\"usd_per_day\":null,"
                         "\"tpm\":3,\"mode\":\"fixed_window\"}}"),
                     200);
    assert_string_equal(at("limits"),
                        "{\"rpm\":60,\"tpm\":3,\"rates\":[{\"window\":\"day\",\"tokens\":7}],"
                        "\"shadow\":true,\"mode\":\"fixed_window\"}");
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/keys/k", "{\"limits\":null}"), 200);
    assert_string_equal(at("limits"), "{}");
}

static void test_limits__refusals_name_field_and_mend(void **state)
{
    (void)state;
    static const struct {
        const char *limits, *words;
    } cases[] = {
        {"5", "'limits' is an object"},
        {"{\"rpn\":5}", "'limits.rpn' is unknown"},
        {"{\"rpm\":0}", "'limits.rpm' is a whole number above 0"},
        {"{\"rpm\":1.5}", "'limits.rpm'"},
        {"{\"tpm\":\"5\"}", "'limits.tpm'"},
        {"{\"rpm\":4000000000}",
         "'limits.rpm' cannot be enforced: a rate may be at most 10 million a second"},
        {"{\"concurrency\":2000000000}", "'limits.concurrency' cannot be enforced"},
        {"{\"usd_per_day\":-1}", "'limits.usd_per_day' is US dollars"},
        {"{\"usd_per_day\":.5}", "JSON"},
        {"{\"usd_per_day\":1e7}", "12.50"},
        {"{\"usd_per_day\":-1e-3}", "12.50"},
        {"{\"usd_per_month\":4000000.01}", "'limits.usd_per_month' is US dollars"},
        {"{\"usd_per_request\":\"1\"}", "'limits.usd_per_request'"},
        {"{\"hard\":1}", "'limits.hard' must be true or false"},
        {"{\"mode\":\"bucket\"}", "token_bucket or fixed_window"},
        {"{\"rates\":{}}", "'limits.rates' is a list"},
        {"{\"rates\":[5]}", "Each of 'limits.rates' is an object"},
        {"{\"rates\":[{\"window\":\"week\",\"requests\":5}]}", "second, minute, hour or day"},
        {"{\"rates\":[{\"window\":\"day\"}]}", "requests or tokens above 0"},
        {"{\"rates\":[{\"window\":\"day\",\"requests\":5,\"tokens\":5}]}", "requests or tokens above 0"},
        {"{\"rates\":[{\"window\":\"day\",\"requests\":5,\"burts\":5}]}",
         "'limits.rates[].burts' is unknown"},
        {"{\"rates\":[{\"window\":\"day\",\"requests\":5,\"burst\":9}]}", "no burst"},
        {"{\"rpm\":5,\"rates\":[{\"window\":\"minute\",\"requests\":5}]}", "twice"},
        {"{\"mode\":\"fixed_window\",\"rates\":[{\"window\":\"hour\",\"requests\":5,\"burst\":9}]}",
         "no burst"},
    };
    assert_int_equal(ask(HTTP_POST, "/admin/v1/keys", "{\"name\":\"k\",\"limits\":{\"rpm\":60}}"), 201);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256];
        (void)snprintf(body, sizeof body, "{\"limits\":%s}", cases[i].limits);
        if (ask(HTTP_PATCH, "/admin/v1/keys/k", body) != 400 && call.status != 422)
            fail_msg("%s: %d", body, call.status);
        assert_says(cases[i].words);
        assert_int_equal(get("/admin/v1/keys/k"), 200);
        assert_string_equal(at("limits"), "{\"rpm\":60}");
    }
}

static void test_plan__holds_limits_and_must_be_there(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_POST, "/admin/v1/teams", "{\"name\":\"t\",\"plan\":\"gold\"}"), 404);
    assert_says("There is no plan 'gold'");
    assert_int_equal(ask(HTTP_POST, "/admin/v1/plans", "{\"name\":\"gold\",\"models\":[\"a\"]}"), 400);
    assert_says("a plan has name and limits");
    assert_int_equal(ask(HTTP_POST, "/admin/v1/plans", "{\"name\":\"gold\",\"limits\":{\"rpm\":9}}"), 201);
    assert_int_equal(ask(HTTP_POST, "/admin/v1/teams", "{\"name\":\"t\",\"plan\":\"gold\"}"), 201);
    assert_string_equal(at("plan"), "\"gold\"");
    assert_int_equal(ask(HTTP_DELETE, "/admin/v1/plans/gold", ""), 409);
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/plans/gold", "{\"name\":\"silver\"}"), 409);
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/teams/t", "{\"plan\":null}"), 200);
    assert_string_equal(at("plan"), "");
    assert_int_equal(ask(HTTP_DELETE, "/admin/v1/plans/gold", ""), 200);
}

// --- Usage.

static void record(const struct store_record *r)
{
    struct store_begin b = {.part = r->part,
                            .tenant = r->tenant,
                            .team = r->team,
                            .key = r->key,
                            .texts = r->texts,
                            .flags = r->flags & STORE_STREAMED};
    memcpy(b.id, r->id, sizeof b.id);
    const uint32_t slot = store_journal_begin(journal, &b);
    assert_true(slot != STORE_SLOT_NONE);
    store_journal_final(journal, slot, r);
    (void)store_journal_done(journal, slot);
    while (store_writer_step(writer, NOW)) {}
}

static struct store_record request(int64_t ms, const char *model, uint32_t key)
{
    struct store_record r = {
        .tenant = 1, .team = 1, .key = key, .status = 200, .attempts = 1, .end = SPAN("ok")};
    store_id_make((uint64_t)ms, 1, 1, ++sequence, r.id);
    r.texts.model = span_str(model);
    r.texts.provider = SPAN("openai");
    r.tokens[STORE_TOKENS_INPUT] = 100;
    r.tokens[STORE_TOKENS_OUTPUT] = 10;
    r.cost_nanos = 1500;
    return r;
}

static void test_usage__sums_by_what_is_asked(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_POST, "/admin/v1/keys", "{\"name\":\"ci\"}"), 201);
    struct store_record r = request(NOW, "gpt-4o", 1);
    record(&r);
    r = request(NOW - DAY, "gpt-4o", 1);
    r.tokens[STORE_TOKENS_REASONING] = 5;
    r.flags = STORE_ESTIMATED;
    record(&r);
    r = request(NOW - 40 * DAY, "gpt-4o", 1); // too old
    record(&r);
    r = request(NOW, "llama", 7); // of a key that is in no table
    r.flags = STORE_UNPRICED;
    r.cost_nanos = 0;
    r.texts.tags[0] = SPAN("cost=a");
    r.texts.tags_count = 1;
    record(&r);

    assert_int_equal(get("/admin/v1/usage"), 200);
    assert_string_equal(at("period"), "{\"days\":30,\"start\":\"2023-10-16\",\"end\":\"2023-11-14\"}");
    assert_string_equal(at("summary.total_requests"), "3");
    assert_string_equal(at("summary.total_input_tokens"), "300");
    assert_string_equal(at("summary.total_output_tokens"), "35");
    assert_string_equal(at("summary.total_tokens"), "335");
    assert_string_equal(at("summary.total_cost_usd"), "0.000003");
    assert_string_equal(at("summary.avg_daily_cost_usd"), "0.0000001");
    assert_string_equal(at("summary.avg_tokens_per_request"), "111.66");
    assert_string_equal(at("summary.tokens"), "{\"input\":300,\"output\":30,\"reasoning\":5}");
    assert_string_equal(at("summary.unpriced"), "1");
    assert_string_equal(at("daily"),
                        "[{\"date\":\"2023-11-13\",\"requests\":1,\"input_tokens\":100,\"output_tokens\":15,"
                        "\"cost_usd\":0.0000015,\"estimated\":1},"
                        "{\"date\":\"2023-11-14\",\"requests\":2,\"input_tokens\":200,\"output_tokens\":20,"
                        "\"cost_usd\":0.0000015,\"unpriced\":1}]");
    assert_string_equal(at("by_model"),
                        "[{\"model\":\"gpt-4o\",\"requests\":2,\"input_tokens\":200,\"output_tokens\":25,"
                        "\"cost_usd\":0.000003,\"estimated\":1},"
                        "{\"model\":\"llama\",\"requests\":1,\"input_tokens\":100,\"output_tokens\":10,"
                        "\"cost_usd\":0,\"unpriced\":1}]");

    assert_int_equal(get("/admin/v1/usage?group_by=key&days=1"), 200);
    assert_string_equal(
        at("by_key"),
        "[{\"key\":\"ci\",\"id\":\"1\",\"requests\":1,\"input_tokens\":100,\"output_tokens\":10,"
        "\"cost_usd\":0.0000015},"
        "{\"key\":\"7\",\"id\":\"7\",\"requests\":1,\"input_tokens\":100,\"output_tokens\":10,"
        "\"cost_usd\":0,\"unpriced\":1}]");
    assert_int_equal(get("/admin/v1/usage?group_by=team&key=ci"), 200);
    assert_string_equal(at("by_team"),
                        "[{\"team\":\"default\",\"id\":\"1\",\"requests\":2,\"input_tokens\":200,"
                        "\"output_tokens\":25,\"cost_usd\":0.000003,\"estimated\":1}]");
    assert_int_equal(get("/admin/v1/usage?group_by=tag"), 200);
    assert_string_equal(at("by_tag"),
                        "[{\"tag\":\"cost=a\",\"requests\":1,\"input_tokens\":100,\"output_tokens\":10,"
                        "\"cost_usd\":0,\"unpriced\":1}]");
    assert_int_equal(get("/admin/v1/usage?group_by=day&tag=cost%3Da"), 200);
    assert_string_equal(at("summary.total_requests"), "1");
    assert_int_equal(get("/admin/v1/usage?group_by=provider&model=llama"), 200);
    assert_string_equal(at("summary.total_requests"), "1");
    // What a key was called is known after its end; then it is asked for by its id.
    assert_int_equal(ask(HTTP_DELETE, "/admin/v1/keys/ci", ""), 200);
    assert_int_equal(get("/admin/v1/usage?group_by=key&key=1"), 200);
    assert_says("\"key\":\"ci\"");
}

static void test_usage__the_largest_rows_and_the_rest_as_a_sum(void **state)
{
    (void)state;
    struct prng rng;
    uint32_t requests[40] = {0}, total = 0;
    prng_seed(&rng, 3);
    for (int i = 0; i < 600; i++) {
        char model[16];
        const uint32_t m = prng_below(&rng, 40);
        requests[m]++;
        total++;
        (void)snprintf(model, sizeof model, "m%02u", m);
        const struct store_record r = request(NOW, model, 1);
        record(&r);
    }
    for (uint32_t limit = 1; limit <= 45; limit += 11) {
        char target[64];
        struct span rows, row, none, value;
        uint64_t before = UINT64_MAX, n = 0, shown = 0, rest = 0;
        (void)snprintf(target, sizeof target, "/admin/v1/usage?limit=%u", limit);
        assert_int_equal(get(target), 200);
        assert_true(json_path(answer, "by_model", &rows));
        for (struct json_iter it = json_iter(rows); json_next(&it, &none, &row); n++) {
            uint64_t count = 0;
            assert_true(json_path(row, "requests", &value) && json_u64(value, &count));
            assert_true(count <= before);
            assert_true(json_path(row, "model", &value));
            assert_int_equal(count, requests[(value.p[2] - '0') * 10 + value.p[3] - '0']);
            before = count;
            shown += count;
        }
        assert_int_equal(n, limit < 40 ? limit : 40);
        // Nobody who is not shown is larger than the smallest that is.
        for (int m = 0, larger = 0; m < 40; m++) {
            larger += requests[m] > before;
            assert_true(larger < (int)limit);
        }
        if (json_path(answer, "by_model_others.requests", &value)) assert_true(json_u64(value, &rest));
        assert_int_equal(shown + rest, total);
        assert_int_equal(rest > 0, limit < 40);
    }
}

static void test_usage__refusals(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        int status;
        const char *words;
    } cases[] = {
        {"days=0", 400, "'days'"},
        {"days=99999", 400, "'days'"},
        {"limit=0", 400, "'limit'"},
        {"group_by=moon", 400, "day, tenant, team, key, model, provider, tag"},
        {"group_by=tag&model=x", 409, "Tags are summed"},
        {"tag=a%3Db", 409, "group_by=day"},
        {"tag=a%3Db&group_by=provider", 409, "Tags are summed"},
        {"tag=", 400, "'tag' is empty"},
        {"team=%zz", 400, "not encoded"},
        {"team=nobody", 404, "There is no 'nobody'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[96];
        (void)snprintf(target, sizeof target, "/admin/v1/usage?%s", cases[i].query);
        assert_int_equal(get(target), cases[i].status);
        assert_says(cases[i].words);
    }
    assert_int_equal(ask(HTTP_POST, "/admin/v1/usage", ""), 405);
    assert_string_equal(call.allow, "GET, HEAD");
}

// --- Money, versions, the description.

static void test_money__any_number_of_json(void **state)
{
    (void)state;
    static const struct {
        const char *said, *kept;
    } cases[] = {
        {"12.5", "12.5"},
        {"1e-3", "0.001"},
        {"1E+3", "1000"},
        {"0.5e1", "5"},
        {"-0.0", "0"},
        {"4000000", "4000000"},
        {"1e-999", "0"},
        {"0.0000000019", "0.000000001"},
        {"4000000e-6", "4"},
        {"0e9999", "0"},
        {"400000.0e1", "4000000"},
    };
    assert_int_equal(ask(HTTP_POST, "/admin/v1/keys", "{\"name\":\"k\"}"), 201);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[128];
        (void)snprintf(body, sizeof body, "{\"limits\":{\"usd_per_day\":%s}}", cases[i].said);
        if (ask(HTTP_PATCH, "/admin/v1/keys/k", body) != 200) fail_msg("%s: %d", body, call.status);
        assert_string_equal(at("limits.usd_per_day"), cases[i].kept);
    }
}

// Somebody else changes the record between reading and writing: that is as a reader of another version.
static void test_change__rests_on_what_was_read(void **state)
{
    (void)state;
    char etag[ADMIN_ETAG_BYTES];
    assert_int_equal(ask(HTTP_PUT, "/admin/v1/teams/t", "{\"limits\":{\"rpm\":5}}"), 201);
    memcpy(etag, call.etag, sizeof etag);
    assert_int_equal(ask(HTTP_PUT, "/admin/v1/teams/t", "{\"limits\":{\"rpm\":5}}"), 200);
    assert_string_equal(call.etag, etag);
    assert_int_equal(get("/admin/v1/audit?limit=1"), 200);
    assert_says("team.create"); // the second said nothing new
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/teams/t", "{\"limits\":{\"rpm\":6}}"), 200);
    assert_string_not_equal(call.etag, etag);
    if_match = span_str(etag);
    assert_int_equal(ask(HTTP_PATCH, "/admin/v1/teams/t", "{\"limits\":{\"rpm\":7}}"), 412);
    assert_int_equal(ask(HTTP_PUT, "/admin/v1/teams/other", "{}"), 412);
    assert_int_equal(ask(HTTP_DELETE, "/admin/v1/teams/t", ""), 412);
    if_match = (struct span){NULL, 0};
    assert_int_equal(ask(HTTP_PUT, "/admin/v1/teams/t", "{\"name\":\"renamed\"}"), 200);
    assert_string_equal(at("limits"), "{}");
    assert_int_equal(ask(HTTP_PUT, "/admin/v1/teams/t", "{\"name\":\"another\"}"), 409);
}

// A value that a field of this type takes.
static void write_example(char *out, size_t cap, const struct admin_field *f)
{
    char word[64];
    const char *text = "\"x\"";
    if (f->more && strchr(f->more, '|') && f->more[0] != '^') {
        (void)snprintf(word, sizeof word, "\"%.*s\"", (int)strcspn(f->more, "|"), f->more);
        text = word;
    }
    if (f->type == ADMIN_COUNT || f->type == ADMIN_USD) text = "5";
    if (f->type == ADMIN_BOOL) text = "false";
    if (f->type == ADMIN_TEXTS) text = "[\"10.0.0.0/8\"]";
    if (f->type == ADMIN_TAGS || f->type == ADMIN_OBJECT) text = "{}";
    if (f->type == ADMIN_LIST) text = "[]";
    if (strcmp(f->name, "expires") == 0) text = "\"30d\"";
    if (strcmp(f->name, "plan") == 0) text = "\"gold\"";
    if (strcmp(f->name, "team") == 0 || strcmp(f->name, "tenant") == 0) text = "\"default\"";
    (void)snprintf(out, cap, "{\"%s\":%s}", f->name, text);
}

static bool has_field(const struct admin_schema *s, struct span name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (span_eq(name, span_str(s->fields[i].name))) return true;
    return s->open;
}

// The table and what reads and writes records say the same: each field that may be sent is understood, and an answer has no
// member that the table does not know.
static void test_table__is_what_is_read_and_written(void **state)
{
    (void)state;
    char target[64], body[256];
    uint32_t fields = 0;
    assert_int_equal(ask(HTTP_POST, "/admin/v1/plans", "{\"name\":\"gold\"}"), 201);
    for (uint32_t r = 0; r < admin_route_count; r++) {
        const struct admin_route *route = &admin_routes[r];
        if (route->run != admin_account_put) continue;
        const uint32_t n = (uint32_t)strcspn(route->path, "{");
        (void)snprintf(target, sizeof target, "%.*s%s", (int)n, route->path, "x");
        assert_int_equal(ask(HTTP_PUT, target, "{}"), 201);
        for (uint32_t i = 0; i < route->body->count; i++, fields++) {
            const struct admin_field *f = &route->body->fields[i];
            if (f->flags & ADMIN_READ) continue;
            write_example(body, sizeof body, f);
            if (ask(HTTP_PATCH, target, body) != 200)
                fail_msg("%s %s: %d %.*s", target, body, call.status, SPAN_ARG(answer));
        }
        assert_int_equal(get(target), 200);
        struct json_iter it = json_iter(answer);
        struct span key, value;
        while (json_next(&it, &key, &value))
            if (!has_field(route->body, key)) fail_msg("%s: %.*s is not in the table", target, SPAN_ARG(key));
    }
    assert_true(fields > 30);
}

static void test_openapi__is_json_and_has_every_operation(void **state)
{
    (void)state;
    struct json_scan *scan = calloc(1, sizeof *scan);
    assert_non_null(scan);
    assert_int_equal(get("/openapi.json"), 200);
    assert_true(json_scan(scan, NULL, JSON_TOP_OBJECT, answer) >= 0);
    free(scan);
    char *text = strndup((const char *)answer.p, answer.n);
    assert_non_null(text);
    for (uint32_t i = 0; i < admin_route_count; i++) {
        char words[64];
        (void)snprintf(words, sizeof words, "\"operationId\":\"%s\"", admin_routes[i].id);
        if (!strstr(text, words)) fail_msg("%s is missing", admin_routes[i].id);
    }
    free(text);
}

static void test_native_keys__as_older_gateways_made_them(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_POST, "/admin/keys", "{\"team_name\":\"x\"}"), 400);
    assert_says("\"message\":\"team_id is required\"");
    assert_int_equal(ask(HTTP_POST, "/admin/keys", "{\"team_id\":\"research\",\"rate_limit_rpm\":0}"), 400);
    assert_int_equal(ask(HTTP_POST, "/admin/keys", "{\"team_id\":\"research\"}"), 201);
    assert_int_equal(strlen(at("api_key")), 36 + 2);
    assert_string_equal(at("team_name"), "\"research\"");
    assert_string_equal(at("rate_limit_rpm"), "60");
    // The team is the one that was made before.
    assert_int_equal(
        ask(HTTP_POST, "/admin/keys", "{\"team_id\":\"research\",\"team_name\":\"R\",\"rate_limit_rpm\":5}"),
        201);
    assert_int_equal(get("/admin/v1/teams"), 200);
    assert_string_equal(at("data[1].name"), "\"research\"");
    assert_string_equal(at("data[2].name"), "");
    assert_int_equal(get("/admin/keys"), 200);
    assert_string_equal(at("count"), "2");
    assert_string_equal(at("keys[1].team_name"), "\"R\"");
    assert_string_equal(at("keys[1].rate_limit_rpm"), "5");
    assert_string_equal(at("keys[1].is_active"), "true");
    assert_int_equal(strlen(at("keys[1].api_key_prefix")), 12 + 3 + 2);
    assert_int_equal(get("/admin/v1/keys/R"), 200);
    assert_string_equal(at("limits"), "{\"rpm\":5,\"mode\":\"fixed_window\"}");
}

// --- Explain.

static int explain(const struct store_record *r)
{
    char target[64] = "/admin/v1/explain/";
    store_id_text(r->id, target + strlen(target));
    return get(target);
}

static void test_explain__a_request_with_all_its_parts(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_POST, "/admin/v1/keys", "{\"name\":\"ci\"}"), 201);
    struct store_record r = request(NOW + 123, "gpt-4o", 1);
    r.attempts = 2;
    r.flags = STORE_STREAMED | STORE_CUT;
    r.end = SPAN("client_gone");
    r.duration_us = 1234567;
    r.first_byte_us = 300000;
    r.overhead_us = 95;
    r.texts.upstream_model = SPAN("gpt-4o-2024-08-06");
    r.texts.user = SPAN("anna \"x\"");
    r.texts.client_id = SPAN("abc");
    r.texts.tags[0] = SPAN("cost=a");
    r.texts.tags_count = 1;
    record(&r);
    struct store_record part = r;
    part.part = 1;
    part.status = 500;
    part.flags = STORE_ESTIMATED;
    part.end = SPAN("upstream_timeout");
    part.cost_nanos = 500;
    part.texts.provider = SPAN("local");
    record(&part);
    const struct store_record next = request(NOW + 124, "other", 1);
    record(&next);

    assert_int_equal(explain(&r), 200);
    assert_string_equal(at("time"), "\"2023-11-14T22:13:20.123000Z\"");
    assert_string_equal(at("key"), "\"ci\"");
    assert_string_equal(at("team"), "\"default\"");
    assert_string_equal(at("upstream_model"), "\"gpt-4o-2024-08-06\"");
    assert_string_equal(at("tokens"), "{\"input\":100,\"output\":10}");
    assert_string_equal(at("tags"), "{\"cost\":\"a\"}");
    assert_string_equal(at("flags"), "[\"cut\",\"streamed\"]");
    assert_string_equal(at("cost_usd"), "0.0000015");
    assert_string_equal(at("total_cost_usd"), "0.000002");
    assert_string_equal(at("attempts"), "2");
    assert_says("\"other_attempts\":[{\"model\":\"gpt-4o\",\"provider\":\"local\"");
    assert_says(
        "At 2023-11-14T22:13:20.123000Z key 'ci' of team 'default', tenant 'default', sent a request.");
    assert_says("It asked for model gpt-4o, as a stream.");
    assert_says("It went to provider openai as gpt-4o-2024-08-06, after 2 attempts in all.");
    assert_says("It ended as 'client_gone'; the client got status 200.");
    assert_says("Tokens: 100 input, 10 output.");
    assert_says("It took 1234.567 ms, 0.095 ms of it the gateway's own; the first byte left after 300 ms.");
    assert_says("Besides, an attempt at provider local as gpt-4o-2024-08-06 ended as 'upstream_timeout' and "
                "is charged.");
    assert_says("All together it cost 0.000002 USD.");
    static char text[8192];
    (void)snprintf(text, sizeof text, "%.*s", SPAN_ARG(answer));
    assert_null(strstr(text, "\"other\""));
}

static void test_explain__what_has_no_price_and_no_provider(void **state)
{
    (void)state;
    struct store_record r = request(NOW, "secret-model", 0);
    r.flags = STORE_UNPRICED;
    r.cost_nanos = 0;
    record(&r);
    assert_int_equal(explain(&r), 200);
    assert_string_equal(at("cost_usd"), "null");
    assert_string_equal(at("key"), "\"(configuration)\"");
    assert_says("The model has no price");
    r = request(NOW, "gone", 9);
    r.texts.provider = SPAN("");
    r.attempts = 0;
    r.status = 429;
    r.end = SPAN("rate_limited");
    record(&r);
    assert_int_equal(explain(&r), 200);
    assert_string_equal(at("key"), "\"9\"");
    assert_says("It went to no provider.");
    assert_says("It ended as 'rate_limited'; the client got status 429.");
}

static void test_explain__refusals(void **state)
{
    (void)state;
    const struct store_record r = request(NOW, "never-stored", 1);
    assert_int_equal(explain(&r), 404);
    assert_says("usage.retention");
    assert_int_equal(get("/admin/v1/explain/req-1"), 404);
    assert_says("26 characters");
    assert_int_equal(get("/admin/v1/explain"), 404);
    assert_int_equal(ask(HTTP_POST, "/admin/v1/explain/req-1", ""), 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limits__come_back_as_they_were_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits__refusals_name_field_and_mend, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan__holds_limits_and_must_be_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage__sums_by_what_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage__the_largest_rows_and_the_rest_as_a_sum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage__refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain__a_request_with_all_its_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain__what_has_no_price_and_no_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain__refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_money__any_number_of_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change__rests_on_what_was_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table__is_what_is_read_and_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_openapi__is_json_and_has_every_operation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_native_keys__as_older_gateways_made_them, setup, teardown),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
