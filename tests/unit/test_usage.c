// usage: random requests go the whole way (journal, writer's step, ledger) into a store made for each test. What
// the sums then say, in every grouping and under every filter, is compared with an addition over an array of what
// was sent; and the raw records with that array, field by field.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "store/usage.h"
#include "store/writer.h"
#include "tests/lib/store_dir.h"

#define SENT_MAX 6000
#define T0 INT64_C(1700000000000)

static struct store *s;
static struct store_reader *reader;
static struct store_writer *writer;
static struct store_journal *journal;
static struct store_record sent[SENT_MAX];
static uint32_t sent_count;
static int64_t now_ms;
static struct prng rng;

static const struct span models[] = {SPAN_INIT("gpt-4o-mini"),
                                     SPAN_INIT("a-model-with-a-rather-long-name-that-overflows"),
                                     SPAN_INIT("llama"), SPAN_INIT("")};
static const struct span providers[] = {SPAN_INIT("openai"), SPAN_INIT("local"), SPAN_INIT("")};
static const struct span tags[] = {SPAN_INIT("cost=a"), SPAN_INIT("cost=b"),
                                   SPAN_INIT("project=some-long-project-name")};
static char long_text[STORE_TEXT_BYTES_MAX];

static void open_all(uint64_t bytes_max, int64_t retention_ms)
{
    s = store_dir_open();
    uint16_t epoch;
    assert_int_equal(store_epoch_next(s, &epoch), RW_OK);
    assert_int_equal(store_journal_open(s, epoch, 3, 1024, &journal), RW_OK);
    const struct store_writer_cfg cfg = {
        .store = s, .usage_bytes_max = bytes_max, .retention_ms = retention_ms};
    assert_int_equal(store_writer_open(&cfg, &writer), RW_OK);
    store_writer_add(writer, journal);
    assert_int_equal(store_reader_open(s, STORE_USAGE, &reader), RW_OK);
}

static void close_all(void)
{
    store_reader_close(reader);
    assert_int_equal(store_writer_stop(writer, now_ms), RW_OK);
    store_journal_close(journal);
    store_close(s);
}

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    memset(long_text, 'x', sizeof long_text);
    sent_count = 0;
    now_ms = T0;
    prng_seed(&rng, 11);
    open_all(0, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_all();
    store_dir_remove();
    return 0;
}

// Team and tenant follow from the key, as they do in accounts.
static struct store_record random_record(void)
{
    struct store_record r = {.key = 1 + prng_below(&rng, 12)};
    r.team = 1 + r.key / 4;
    r.tenant = 1 + r.team / 3;
    store_id_make((uint64_t)now_ms, 7, 3, sent_count + 1, r.id);
    r.part = prng_below(&rng, 8) == 0;
    r.attempts = (uint8_t)prng_below(&rng, 4);
    r.cache = (uint8_t)prng_below(&rng, 4);
    r.dialect = (uint8_t)prng_below(&rng, 9);
    r.status = (uint16_t)(prng_below(&rng, 3) * 200);
    r.flags = prng_below(&rng, 256) & ~(uint32_t)(STORE_CRASHED | STORE_EARLIER_BOOT);
    for (int i = 0; i < STORE_TOKENS_COUNT; i++) r.tokens[i] = prng_below(&rng, UINT32_MAX);
    // A hit has saved what another one costs.
    store_record_money_set(&r, (int64_t)(prng_next(&rng) >> 20));
    r.bytes_in = prng_next(&rng) >> 20;
    r.bytes_out = prng_next(&rng) >> 20;
    r.duration_us = prng_next(&rng) >> 20;
    r.first_byte_us = prng_below(&rng, 1000000);
    r.overhead_us = prng_below(&rng, 1000);
    r.end = SPAN("ok");
    r.texts.model = models[prng_below(&rng, 4)];
    r.texts.provider = providers[prng_below(&rng, 3)];
    if (prng_below(&rng, 4) == 0) r.texts.user = span_of(long_text, prng_below(&rng, sizeof long_text + 1));
    if (prng_below(&rng, 4) == 0) r.texts.client_id = span_of(long_text, sizeof long_text);
    while (r.texts.tags_count < 3 && prng_below(&rng, 2)) {
        r.texts.tags[r.texts.tags_count] = tags[r.texts.tags_count];
        r.texts.tags_count++;
    }
    return r;
}

static uint32_t begin(const struct store_record *r)
{
    struct store_begin b = {.part = r->part,
                            .dialect = r->dialect,
                            .flags = r->flags & STORE_STREAMED,
                            .tenant = r->tenant,
                            .team = r->team,
                            .key = r->key,
                            .estimate_tokens = 77,
                            .estimate_nanos = 55,
                            .texts = r->texts};
    memcpy(b.id, r->id, STORE_ID_BYTES);
    return store_journal_begin(journal, &b);
}

static void send_one(void)
{
    struct store_record *r = &sent[sent_count];
    *r = random_record();
    sent_count++;
    const uint32_t slot = begin(r);
    assert_true(slot != STORE_SLOT_NONE);
    store_journal_final(journal, slot, r);
    (void)store_journal_done(journal, slot);
}

static void send(uint32_t n, uint32_t step_ms)
{
    for (uint32_t i = 0; i < n; i++) {
        send_one();
        now_ms += prng_below(&rng, step_ms);
        if (prng_below(&rng, 100) == 0) (void)store_writer_step(writer, now_ms);
    }
    while (store_writer_step(writer, now_ms)) {}
}

// --- The addition that the sums are compared with.

static bool matches(const struct store_usage_query *q, const struct store_record *r)
{
    bool tagged = q->tag.n == 0;
    for (uint32_t i = 0; i < r->texts.tags_count; i++) tagged = tagged || span_eq(r->texts.tags[i], q->tag);
    const uint32_t day = store_day(store_id_ms(r->id));
    return day >= q->first_day && day <= q->last_day && (!q->tenant || q->tenant == r->tenant) &&
        (!q->team || q->team == r->team) && (!q->key || q->key == r->key) &&
        (!q->model.n || span_eq(q->model, r->texts.model)) &&
        (!q->provider.n || span_eq(q->provider, r->texts.provider)) && tagged;
}

static bool in_row(enum store_group group, const struct store_usage_row *row, const struct store_record *r)
{
    switch (group) {
    case STORE_BY_NOTHING: return true;
    case STORE_BY_DAY: return row->day == store_day(store_id_ms(r->id));
    case STORE_BY_TENANT: return row->id == r->tenant;
    case STORE_BY_TEAM: return row->id == r->team;
    case STORE_BY_KEY: return row->id == r->key;
    case STORE_BY_MODEL: return span_eq(row->text, r->texts.model);
    case STORE_BY_PROVIDER: return span_eq(row->text, r->texts.provider);
    case STORE_BY_TAG:
        for (uint32_t i = 0; i < r->texts.tags_count; i++)
            if (span_eq(r->texts.tags[i], row->text)) return true;
        return false;
    }
    return false;
}

struct check {
    const struct store_usage_query *q;
    uint32_t rows;
    uint64_t requests;
    struct store_usage_row last;
};

static bool check_row(const struct store_usage_row *row, void *ctx)
{
    struct check *c = ctx;
    struct store_sums wanted = {0}, one;
    for (uint32_t i = 0; i < sent_count; i++)
        if (matches(c->q, &sent[i]) && in_row(c->q->group, row, &sent[i])) {
            store_sums_of(&sent[i], &one);
            store_sums_add(&wanted, &one);
        }
    assert_memory_equal(&row->sums, &wanted, sizeof wanted);
    assert_true(wanted.requests + wanted.attempts > 0);
    if (c->rows) {
        const uint32_t n = c->last.text.n < row->text.n ? c->last.text.n : row->text.n;
        const int texts = n ? memcmp(c->last.text.p, row->text.p, n) : 0;
        assert_true(c->last.day < row->day || c->last.id < row->id || texts < 0 ||
                    (texts == 0 && c->last.text.n < row->text.n));
    }
    c->last = *row;
    c->rows++;
    c->requests += row->sums.requests + row->sums.attempts;
    return true;
}

static void check_query(const struct store_usage_query *q)
{
    struct check c = {.q = q};
    assert_int_equal(store_usage_sum(reader, q, check_row, &c), RW_OK);
    uint64_t all = 0;
    for (uint32_t i = 0; i < sent_count; i++) {
        if (!matches(q, &sent[i])) continue;
        if (q->group != STORE_BY_TAG) {
            all++;
            continue;
        }
        for (uint32_t k = 0; k < sent[i].texts.tags_count; k++)
            all += q->tag.n == 0 || span_eq(q->tag, sent[i].texts.tags[k]);
    }
    assert_int_equal(c.requests, all);
}

static void test_sum__is_the_sum_of_the_records_in_every_grouping(void **state)
{
    (void)state;
    send(4000, 150000);
    const uint32_t first = store_day(T0), last = store_day(now_ms);
    assert_true(last - first >= 3);
    for (enum store_group group = STORE_BY_NOTHING; group <= STORE_BY_TAG; group++)
        for (uint32_t filter = 0; filter < 8; filter++) {
            struct store_usage_query q = {.first_day = first, .last_day = last, .group = group};
            if (filter == 1) q.first_day = q.last_day = first + 1;
            if (filter == 2) q.team = 2;
            if (filter == 3) q.tenant = 2;
            if (filter == 4) q.key = 5;
            if (filter == 5) q.model = models[1];
            if (filter == 6) q.tag = tags[0];
            if (filter == 7) q.tenant = 1, q.team = 2, q.key = 5, q.provider = providers[0];
            const bool tagged = group == STORE_BY_TAG || q.tag.n;
            const bool finer = q.key || q.model.n || group == STORE_BY_KEY || group == STORE_BY_MODEL ||
                group == STORE_BY_PROVIDER;
            struct check none = {.q = &q};
            if (tagged && finer) assert_int_equal(store_usage_sum(reader, &q, check_row, &none), RW_E_BAD);
            else check_query(&q);
        }
    const struct store_usage_query unknown = {.last_day = last, .model = SPAN("never seen")};
    check_query(&unknown);
    const struct store_usage_query elsewhere = {.first_day = last + 1, .last_day = UINT32_MAX};
    check_query(&elsewhere);
}

struct raw_check {
    const struct store_raw_query *q;
    uint32_t n;
    uint32_t at; // of `sent`, whence the next is looked for
    uint32_t stop;
};

static void assert_texts_equal(const struct store_texts *a, const struct store_texts *b)
{
    assert_true(span_eq(a->model, b->model));
    assert_true(span_eq(a->provider, b->provider));
    assert_true(span_eq(a->upstream_model, b->upstream_model));
    assert_true(span_eq(a->user, b->user));
    assert_true(span_eq(a->client_id, b->client_id));
    assert_int_equal(a->tags_count, b->tags_count);
    for (uint32_t i = 0; i < a->tags_count; i++) assert_true(span_eq(a->tags[i], b->tags[i]));
}

static void assert_record_equal(const struct store_record *a, const struct store_record *b)
{
    assert_memory_equal(a->id, b->id, STORE_ID_BYTES);
    assert_int_equal(a->part, b->part);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->cache, b->cache);
    assert_int_equal(a->dialect, b->dialect);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->tenant, b->tenant);
    assert_int_equal(a->team, b->team);
    assert_int_equal(a->key, b->key);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    assert_int_equal(a->cost_nanos, b->cost_nanos);
    assert_int_equal(a->saved_nanos, b->saved_nanos);
    assert_int_equal(a->bytes_in, b->bytes_in);
    assert_int_equal(a->bytes_out, b->bytes_out);
    assert_int_equal(a->duration_us, b->duration_us);
    assert_int_equal(a->first_byte_us, b->first_byte_us);
    assert_int_equal(a->overhead_us, b->overhead_us);
    assert_true(span_eq(a->end, b->end));
    assert_texts_equal(&a->texts, &b->texts);
}

static bool raw_in(const struct store_raw_query *q, const struct store_record *r)
{
    const struct store_usage_query same = {.last_day = UINT32_MAX,
                                           .tenant = q->tenant,
                                           .team = q->team,
                                           .key = q->key,
                                           .model = q->model,
                                           .provider = q->provider,
                                           .tag = q->tag};
    return store_id_ms(r->id) >= q->from_ms && store_id_ms(r->id) < q->to_ms && matches(&same, r);
}

static bool check_raw(const struct store_record *r, void *ctx)
{
    struct raw_check *c = ctx;
    const uint32_t step = c->q->newest_first ? UINT32_MAX : 1;
    while (!raw_in(c->q, &sent[c->at])) c->at += step;
    assert_record_equal(r, &sent[c->at]);
    c->at += step;
    c->n++;
    return c->n != c->stop;
}

static void test_raw__gives_each_record_as_it_was_sent(void **state)
{
    (void)state;
    send(3000, 1000);
    for (int newest = 0; newest < 2; newest++)
        for (int filter = 0; filter < 5; filter++) {
            struct store_raw_query q = {.from_ms = T0, .to_ms = now_ms + 1, .newest_first = newest};
            if (filter == 1) q.from_ms += 200000, q.to_ms -= 300000;
            if (filter == 2) q.key = 3;
            if (filter == 3) q.model = models[0], q.provider = providers[1];
            if (filter == 4) q.tag = tags[1];
            uint32_t wanted = 0;
            for (uint32_t i = 0; i < sent_count; i++) wanted += raw_in(&q, &sent[i]);
            assert_true(wanted > 0);
            struct raw_check c = {.q = &q, .at = newest ? sent_count - 1 : 0};
            assert_int_equal(store_usage_raw(reader, &q, check_raw, &c), RW_OK);
            assert_int_equal(c.n, wanted);
        }
}

static bool count_one(const struct store_record *r, void *ctx)
{
    assert_int_equal(r->part, *(uint32_t *)ctx);
    (*(uint32_t *)ctx)++;
    return true;
}

static void test_explain__finds_all_parts_by_the_printed_id(void **state)
{
    (void)state;
    struct store_record r = random_record();
    send(10, 1);
    r.part = 0;
    store_id_make((uint64_t)now_ms, 7, 3, 1000, r.id);
    for (; r.part < 3; r.part++) {
        const uint32_t slot = begin(&r);
        store_journal_final(journal, slot, &r);
        (void)store_journal_done(journal, slot);
    }
    send(10, 1);
    char text[STORE_ID_CHARS];
    uint8_t id[STORE_ID_BYTES];
    uint32_t parts = 0;
    store_id_text(r.id, text);
    assert_int_equal(store_id_parse(span_of(text, sizeof text), id), RW_OK);
    assert_memory_equal(id, r.id, sizeof id);
    assert_int_equal(store_usage_explain(reader, id, count_one, &parts), RW_OK);
    assert_int_equal(parts, 3);
    id[15]++;
    assert_int_equal(store_usage_explain(reader, id, count_one, &parts), RW_E_NOT_FOUND);
}

static void test_id__text_and_back(void **state)
{
    (void)state;
    uint8_t id[STORE_ID_BYTES], back[STORE_ID_BYTES];
    char text[STORE_ID_CHARS], before[STORE_ID_CHARS] = {0};
    for (int64_t ms = T0; ms < T0 + 1000; ms++) {
        store_id_make((uint64_t)ms, (uint16_t)prng_next(&rng), (uint8_t)prng_next(&rng), prng_next(&rng), id);
        store_id_text(id, text);
        assert_int_equal(store_id_ms(id), ms);
        assert_int_equal(store_id_parse(span_of(text, sizeof text), back), RW_OK);
        assert_memory_equal(id, back, sizeof id);
        assert_true(memcmp(before, text, sizeof text) < 0);
        memcpy(before, text, sizeof text);
    }
    assert_int_equal(store_id_parse(SPAN("7zzzzzzzzzzzzzzzzzzzzzzzzz"), id), RW_OK);
    assert_int_equal(store_id_parse(SPAN("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), id), RW_OK);
    assert_int_equal(store_id_parse(SPAN("80000000000000000000000000"), id), RW_E_BAD);
    assert_int_equal(store_id_parse(SPAN("7zzzzzzzzzzzzzzzzzzzzzzzzu"), id), RW_E_BAD);
    assert_int_equal(store_id_parse(SPAN("7zzzzzzzzzzzzzzzzzzzzzzzz"), id), RW_E_BAD);
}

static bool check_since(const struct store_usage_row *row, void *ctx)
{
    const int64_t from = *(int64_t *)ctx;
    struct store_sums wanted = {0}, one;
    for (uint32_t i = 0; i < sent_count; i++)
        if (store_id_ms(sent[i].id) >= from && row->id == sent[i].key) {
            store_sums_of(&sent[i], &one);
            store_sums_add(&wanted, &one);
        }
    assert_memory_equal(&row->sums, &wanted, sizeof wanted);
    return true;
}

static void test_since__from_any_moment(void **state)
{
    (void)state;
    send(2000, 200000);
    for (int64_t from = T0 - STORE_DAY_MS; from < now_ms; from += STORE_DAY_MS / 3 + 12345)
        assert_int_equal(store_usage_since(reader, from, STORE_BY_KEY, check_since, &from), RW_OK);
}

static bool one_sum(const struct store_usage_row *row, void *ctx)
{
    *(struct store_sums *)ctx = row->sums;
    return true;
}

static bool count_raw(const struct store_record *r, void *ctx)
{
    (void)r;
    (*(uint32_t *)ctx)++;
    return true;
}

static void test_sweep__old_records_go_and_sums_stay(void **state)
{
    (void)state;
    close_all();
    open_all(0, 2 * STORE_DAY_MS);
    send(5000, 170000);
    now_ms += 70000;
    struct store_sums before, after;
    const struct store_usage_query all = {.last_day = UINT32_MAX - 1};
    assert_int_equal(store_usage_sum(reader, &all, one_sum, &before), RW_OK);
    while (store_writer_step(writer, now_ms)) {}
    assert_int_equal(store_usage_sum(reader, &all, one_sum, &after), RW_OK);
    assert_memory_equal(&before, &after, sizeof before);

    int64_t oldest;
    assert_int_equal(store_usage_oldest(reader, &oldest), RW_OK);
    assert_true(oldest >= now_ms - 2 * STORE_DAY_MS && oldest < now_ms - STORE_DAY_MS);
    uint32_t left = 0, wanted = 0;
    const struct store_raw_query q = {.to_ms = now_ms + 1};
    assert_int_equal(store_usage_raw(reader, &q, count_raw, &left), RW_OK);
    for (uint32_t i = 0; i < sent_count; i++) wanted += store_id_ms(sent[i].id) >= now_ms - 2 * STORE_DAY_MS;
    assert_int_equal(left, wanted);
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.swept, sent_count - wanted);
    assert_false(st.swept_by_size);
}

static void test_sweep__by_size_says_so_and_leaves_the_last_hour(void **state)
{
    (void)state;
    close_all();
    open_all(300000, 90 * STORE_DAY_MS);
    send(4000, 170000);
    for (int i = 0; i < 100; i++) {
        now_ms += 60001;
        (void)store_writer_step(writer, now_ms);
    }
    uint32_t left = 0;
    const struct store_raw_query q = {.to_ms = now_ms + 1};
    assert_int_equal(store_usage_raw(reader, &q, count_raw, &left), RW_OK);
    assert_in_range(left, 100, 2500);
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.swept, sent_count - left);

    // A bound that nothing fits in: the last hour is left all the same.
    close_all();
    open_all(1, 0);
    for (int i = 0; i < 20000; i++) {
        now_ms += 60001;
        if (i == 19950) send(50, 100);
        (void)store_writer_step(writer, now_ms);
    }
    left = 0;
    const struct store_raw_query again = {.to_ms = now_ms + 1};
    assert_int_equal(store_usage_raw(reader, &again, count_raw, &left), RW_OK);
    assert_int_equal(left, 50);
    store_writer_stats(writer, &st);
    assert_true(st.swept > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sum__is_the_sum_of_the_records_in_every_grouping, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_raw__gives_each_record_as_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain__finds_all_parts_by_the_printed_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_id__text_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_since__from_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep__old_records_go_and_sums_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep__by_size_says_so_and_leaves_the_last_hour, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
