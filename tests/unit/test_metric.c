// metric: every cell of every metric is written and read back through its address, so that no two metrics
// overlap; histogram buckets are compared with bounds computed in long double around each bound; labels are
// filled past their limit; a reader thread adds up while a writer counts, to show that single-writer cells
// lose nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/prng.h"

static int setup(void **state)
{
    struct metrics *m = metric_new();
    *state = m;
    return m ? 0 : -1;
}

static int teardown(void **state)
{
    metric_free(*state);
    return 0;
}

static uint64_t cell(const struct metrics *m, enum metric_id id, uint32_t label)
{
    const metric_cell *cells = metric_row_cells(m, (uint32_t)id >> METRIC_SET_SHIFT, label >> 16);
    return cells ? atomic_load(&cells[(id & 0xffff) + (label & 0xffff)]) : 0;
}

static void test_add__every_cell_is_its_own(void **state)
{
    struct metrics *m = *state;
    uint32_t n;
    const struct metric_info *table = metric_table(&n);
    // Each cell of each metric in two rows gets a number of its own; then all are read again.
    for (int pass = 0; pass < 2; pass++) {
        uint64_t number = 1;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t rows = table[i].set == METRIC_SET_PLAIN ? 1 : 3;
            const uint32_t fixed =
                metric_label_values(table[i].labels[0]) * metric_label_values(table[i].labels[1]);
            const uint32_t cells = table[i].kind >= METRIC_LONG ? 1 + METRIC_BUCKETS : 1;
            for (uint32_t row = 0; row < rows; row++) {
                for (uint32_t c = 0; c < fixed * cells; c++, number++) {
                    const enum metric_id id = (enum metric_id)table[i].id;
                    if (pass == 0) metric_add(m, id, metric_label(row, c), number);
                    else assert_int_equal(cell(m, id, metric_label(row, c)), number);
                }
            }
        }
    }
}

static void test_add__labels_of_requests_and_buffers(void **state)
{
    struct metrics *m = *state;
    metric_add(m, METRIC_REQUESTS, metric_request_label(5, 200, END_OK), 1);
    metric_add(m, METRIC_REQUESTS, metric_request_label(5, 299, END_OK), 2);
    metric_add(m, METRIC_REQUESTS, metric_request_label(5, 0, END_CLIENT_GONE), 4);
    metric_add(m, METRIC_REQUESTS, metric_request_label(5, 599, END_INTERNAL), 8);
    assert_int_equal(cell(m, METRIC_REQUESTS, metric_label(5, METRIC_STATUS_2XX * RW_END_COUNT + END_OK)), 3);
    assert_int_equal(
        cell(m, METRIC_REQUESTS, metric_label(5, METRIC_STATUS_NONE * RW_END_COUNT + END_CLIENT_GONE)), 4);
    assert_int_equal(
        cell(m, METRIC_REQUESTS, metric_label(5, METRIC_STATUS_5XX * RW_END_COUNT + END_INTERNAL)), 8);
    assert_null(metric_row_cells(m, METRIC_SET_TARGET, 6)); // a row that nobody used takes no memory
    metric_gauge_add(m, METRIC_BUFFERS, metric_buffer_label(METRIC_GROUP_UPSTREAM, METRIC_BUFFER_FREE), 7);
    assert_int_equal(
        cell(m, METRIC_BUFFERS, METRIC_GROUP_UPSTREAM * METRIC_BUFFER_COUNT + METRIC_BUFFER_FREE), 7);
}

static void test_gauge__goes_down_and_is_set(void **state)
{
    struct metrics *m = *state;
    metric_gauge_add(m, METRIC_FIBERS, 0, 5);
    metric_gauge_add(m, METRIC_FIBERS, 0, -7);
    assert_int_equal((int64_t)cell(m, METRIC_FIBERS, 0), -2);
    metric_gauge_set(m, METRIC_FIBERS, 0, 12);
    assert_int_equal(cell(m, METRIC_FIBERS, 0), 12);
}

// The bucket that holds the only observation.
static uint32_t bucket_of(enum metric_id id, int64_t ns)
{
    struct metrics *m = metric_new();
    assert_non_null(m);
    metric_observe_ns(m, id, 0, ns);
    assert_int_equal(cell(m, id, 0), ns < 0 ? 0 : ns);
    uint32_t found = METRIC_BUCKETS;
    for (uint32_t b = 0; b < METRIC_BUCKETS; b++) {
        if (cell(m, id, 1 + b) == 0) continue;
        assert_int_equal(found, METRIC_BUCKETS);
        found = b;
    }
    assert_int_not_equal(found, METRIC_BUCKETS);
    metric_free(m);
    return found;
}

static const enum metric_id histograms[] = {METRIC_REQUEST_DURATION, METRIC_OVERHEAD};
static const enum metric_kind kinds[] = {METRIC_LONG, METRIC_SHORT};

static long double bound_ns(enum metric_kind kind, uint32_t bucket)
{
    return (long double)metric_bucket_bound(kind, bucket) * 1e9L / (1 << 30);
}

static void test_observe__a_value_lies_at_or_below_the_bound_of_its_bucket(void **state)
{
    (void)state;
    for (int h = 0; h < 2; h++) {
        for (uint32_t b = 0; b + 1 < METRIC_BUCKETS; b++) {
            const int64_t last =
                (int64_t)bound_ns(kinds[h], b); // the last nanosecond that is not above the bound
            assert_int_equal(bucket_of(histograms[h], last), b);
            assert_int_equal(bucket_of(histograms[h], last + 2), b + 1);
        }
        assert_int_equal(bucket_of(histograms[h], 0), 0);
        assert_int_equal(bucket_of(histograms[h], -5), 0);
        assert_int_equal(bucket_of(histograms[h], INT64_MAX), METRIC_BUCKETS - 1);
    }
    assert_int_equal(
        bucket_of(METRIC_REQUEST_DURATION, CLOCK_SEC) + 1,
        bucket_of(METRIC_REQUEST_DURATION, CLOCK_SEC + 1)); // 1 s is a bound, and belongs below it
}

static void test_observe__ranges_and_errors_are_as_stated(void **state)
{
    (void)state;
    static const long double worst[] = {0.25L, 0.125L};
    static const long double first[] = {1.0L / 65536, 1.0L / 262144}, last[] = {16384, 0.125L};
    for (int h = 0; h < 2; h++) {
        assert_true(bound_ns(kinds[h], 0) == first[h] * 1e9L);
        assert_true(bound_ns(kinds[h], METRIC_BUCKETS - 2) == last[h] * 1e9L);
        assert_true(metric_bucket_bound(kinds[h], METRIC_BUCKETS - 1) == UINT64_MAX);
        for (uint32_t b = 1; b + 1 < METRIC_BUCKETS; b++) {
            const long double low = bound_ns(kinds[h], b - 1), high = bound_ns(kinds[h], b);
            assert_true(low < high);
            assert_true(((low + high) / 2 - low) / low <= worst[h]);
        }
    }
}

static void test_observe__adds_up_in_the_row_of_its_target(void **state)
{
    struct metrics *m = *state;
    for (int i = 0; i < 10; i++) metric_observe_ns(m, METRIC_FIRST_TOKEN, metric_label(7, 0), CLOCK_MS);
    assert_int_equal(cell(m, METRIC_FIRST_TOKEN, metric_label(7, 0)), 10 * CLOCK_MS);
    assert_int_equal(cell(m, METRIC_REQUEST_DURATION, metric_label(7, 0)), 0);
    uint64_t count = 0;
    for (uint32_t b = 0; b < METRIC_BUCKETS; b++)
        count += cell(m, METRIC_FIRST_TOKEN, metric_label(7, 1 + b));
    assert_int_equal(count, 10);
}

static void test_rows__same_name_same_row_for_ever(void **state)
{
    (void)state;
    struct metric_labels *l = metric_labels_new();
    assert_non_null(l);
    assert_int_equal(metric_rows(l, METRIC_SET_PLAIN), 1);
    assert_int_equal(metric_rows(l, METRIC_SET_TARGET), 2);
    const uint32_t a = metric_target_row(l, SPAN("gpt"), SPAN("openai"));
    const uint32_t b = metric_target_row(l, SPAN("gpt"), SPAN("local"));
    assert_int_equal(a, 2);
    assert_int_equal(b, 3);
    assert_int_equal(metric_target_row(l, SPAN("gpt"), SPAN("openai")), a);
    assert_int_equal(metric_target_row(l, SPAN("gpto"), SPAN("penai")),
                     4); // the border between the two counts
    assert_int_equal(metric_target_row(l, SPAN(""), SPAN("")), METRIC_ROW_NONE);
    assert_int_equal(metric_target_row(l, SPAN(""), SPAN("openai")), 5);
    assert_int_equal(metric_model_row(l, SPAN("gpt")), 2); // a table of its own
    assert_true(span_eq(metric_row_model(l, METRIC_SET_TARGET, b), SPAN("gpt")));
    assert_true(span_eq(metric_row_provider(l, b), SPAN("local")));
    assert_true(span_eq(metric_row_model(l, METRIC_SET_MODEL, 2), SPAN("gpt")));
    assert_true(span_eq(metric_row_model(l, METRIC_SET_TARGET, METRIC_ROW_OTHER), SPAN("other")));
    assert_true(span_eq(metric_row_provider(l, METRIC_ROW_OTHER), SPAN("other")));
    assert_true(span_eq(metric_row_model(l, METRIC_SET_TARGET, METRIC_ROW_NONE), SPAN("")));
    metric_labels_free(l);
}

static void test_rows__beyond_the_limit_are_other(void **state)
{
    (void)state;
    struct metric_labels *l = metric_labels_new();
    assert_non_null(l);
    char name[32];
    for (uint32_t i = 0; i < LABEL_VALUES_MAX; i++) {
        const int n = snprintf(name, sizeof name, "m%u", i);
        assert_int_equal(metric_model_row(l, span_of(name, (size_t)n)), i + 2);
    }
    assert_int_equal(metric_model_row(l, SPAN("one more")), METRIC_ROW_OTHER);
    assert_int_equal(metric_model_row(l, SPAN("m199")), 201);
    assert_int_equal(metric_rows(l, METRIC_SET_MODEL), METRIC_ROWS_MAX);
    metric_labels_free(l);
}

static void test_rows__long_names_are_cut_between_characters(void **state)
{
    (void)state;
    struct metric_labels *l = metric_labels_new();
    assert_non_null(l);
    char name[300];
    memset(name, 'a', sizeof name);
    memcpy(name + METRIC_NAME_BYTES_MAX - 1, "\xc3\xbc", 2); // an umlaut across the limit
    const uint32_t row = metric_model_row(l, span_of(name, sizeof name));
    assert_int_equal(metric_row_model(l, METRIC_SET_MODEL, row).n, METRIC_NAME_BYTES_MAX - 1);
    name[sizeof name - 1] = 'b';
    assert_int_equal(metric_model_row(l, span_of(name, sizeof name)), row);
    metric_labels_free(l);
}

static void test_tables__names_are_complete_and_unique(void **state)
{
    (void)state;
    uint32_t n;
    const struct metric_info *table = metric_table(&n);
    for (uint32_t i = 0; i < n; i++) {
        const size_t len = strlen(table[i].name);
        assert_true(strncmp(table[i].name, "ringway_", 8) == 0);
        assert_true(strlen(table[i].help) > 8);
        const bool total = len > 6 && strcmp(table[i].name + len - 6, "_total") == 0;
        assert_int_equal(total, table[i].kind == METRIC_COUNTER || table[i].kind == METRIC_NANOS);
        for (uint32_t j = 0; j < i; j++) assert_string_not_equal(table[i].name, table[j].name);
        for (int k = 0; k < 2; k++) {
            const uint32_t label = table[i].labels[k];
            for (uint32_t v = 0; v < metric_label_values(label); v++)
                assert_non_null(metric_label_value(label, v));
        }
        assert_true(table[i].labels[1] == METRIC_LABEL_UNUSED || table[i].labels[0] != METRIC_LABEL_UNUSED);
    }
    assert_string_equal(metric_label_value(METRIC_LABEL_END, END_TRUNCATED), "truncated");
    assert_string_equal(metric_label_value(METRIC_LABEL_TOKENS, METRIC_TOKENS_CACHE_WRITE), "cache_write");
    assert_string_equal(metric_label_name(METRIC_LABEL_TOKENS), "class");
    assert_string_equal(metric_label_value(METRIC_LABEL_UPSTREAM, METRIC_UPSTREAM_ACTIVE), "active");
    assert_string_equal(metric_label_value(METRIC_LABEL_BUFFER, METRIC_BUFFER_HELD), "held");
    assert_string_equal(metric_label_value(METRIC_LABEL_STATUS, METRIC_STATUS_5XX), "5xx");
}

enum { COUNTS = 300000 };

static void *writer(void *arg)
{
    struct metrics *m = arg;
    for (uint32_t i = 0; i < COUNTS; i++) {
        metric_add(m, METRIC_TURNS, 0, 1);
        metric_add(m, METRIC_TOKENS, metric_label(i % METRIC_ROWS_MAX, METRIC_TOKENS_OUTPUT), 2);
    }
    return NULL;
}

static void test_add__a_reader_beside_the_writer_sees_growing_numbers(void **state)
{
    struct metrics *m = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, writer, m), 0);
    uint64_t turns = 0, tokens = 0;
    while (turns < COUNTS) {
        const uint64_t now = cell(m, METRIC_TURNS, 0);
        assert_true(now >= turns);
        turns = now;
        uint64_t sum = 0;
        for (uint32_t row = 0; row < METRIC_ROWS_MAX; row++)
            sum += cell(m, METRIC_TOKENS, metric_label(row, METRIC_TOKENS_OUTPUT));
        assert_true(sum >= tokens);
        tokens = sum;
    }
    pthread_join(thread, NULL);
    tokens = 0;
    for (uint32_t row = 0; row < METRIC_ROWS_MAX; row++)
        tokens += cell(m, METRIC_TOKENS, metric_label(row, METRIC_TOKENS_OUTPUT));
    assert_int_equal(tokens, 2 * COUNTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add__every_cell_is_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__labels_of_requests_and_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gauge__goes_down_and_is_set, setup, teardown),
        cmocka_unit_test(test_observe__a_value_lies_at_or_below_the_bound_of_its_bucket),
        cmocka_unit_test(test_observe__ranges_and_errors_are_as_stated),
        cmocka_unit_test_setup_teardown(test_observe__adds_up_in_the_row_of_its_target, setup, teardown),
        cmocka_unit_test(test_rows__same_name_same_row_for_ever),
        cmocka_unit_test(test_rows__beyond_the_limit_are_other),
        cmocka_unit_test(test_rows__long_names_are_cut_between_characters),
        cmocka_unit_test(test_tables__names_are_complete_and_unique),
        cmocka_unit_test_setup_teardown(test_add__a_reader_beside_the_writer_sees_growing_numbers, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
