// prometheus: pages are read back by a strict parser of the text format 0.0.4 written for this test: every
// sample belongs to the family whose HELP and TYPE stand above it, names and escapes are legal, no series
// comes twice, buckets grow to +Inf. Values are then looked up by their series as text. The page's bound is
// tried at many sizes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/prometheus.h"

enum { WORKERS = 2 };
static struct metrics *workers[WORKERS];
static struct metric_labels *labels;
static struct prometheus_text page;

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++) workers[i] = metric_new();
    labels = metric_labels_new();
    prometheus_init(&page, PROMETHEUS_BYTES_MAX);
    return labels && workers[0] && workers[1] ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++) metric_free(workers[i]);
    metric_labels_free(labels);
    prometheus_done(&page);
    return 0;
}

static struct prometheus_source source(void)
{
    return (struct prometheus_source){
        .workers = (const struct metrics *const *)workers,
        .worker_count = WORKERS,
        .labels = labels,
        .version = "0.1.0",
        .build = "abc\"def",
        .io_backend = "epoll",
        .log_lines_dropped = 7,
        .process = {.resident_bytes = 4096, .start_ms = 1763717220500, .cpu_ms = 1250, .max_fds = UINT64_MAX},
    };
}

// --- The parser.

struct sample {
    char *series; // name and labels as text
    char *family;
    double value;
    double le; // of a bucket
};

static struct sample *samples;
static size_t samples_n;
static char family_name[128], family_type[16];

static bool name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
        (!first && c >= '0' && c <= '9');
}

static const char *take_name(const char *p)
{
    assert_true(name_char(*p, true));
    while (name_char(*p, false)) p++;
    return p;
}

// Behind a label set that begins at '{'; *ret_le is set when there is an "le".
static const char *take_labels(const char *p, double *ret_le)
{
    do {
        const char *name = ++p;
        p = take_name(p);
        const bool is_le = p - name == 2 && memcmp(name, "le", 2) == 0;
        assert_int_equal(*p++, '=');
        assert_int_equal(*p++, '"');
        if (is_le) *ret_le = *p == '+' ? 1e300 : strtod(p, NULL);
        for (; *p != '"'; p++) {
            assert_true(*p != '\n' && *p != 0);
            if (*p != '\\') continue;
            p++;
            assert_true(*p == '\\' || *p == '"' || *p == 'n');
        }
        p++;
    } while (*p == ',');
    assert_int_equal(*p, '}');
    return p + 1;
}

static void take_comment(const char *line, const char *end)
{
    char what[8], name[128], type[16];
    if (strncmp(line, "# HELP ", 7) == 0) {
        assert_int_equal(sscanf(line, "# %7s %127s", what, family_name), 2);
        const char *text = line + 7 + strlen(family_name);
        assert_int_equal(*text, ' ');
        assert_true(end - text > 8);
        assert_null(memchr(text, '\\', (size_t)(end - text)));
        family_type[0] = 0;
        for (size_t i = 0; i < samples_n; i++) assert_string_not_equal(samples[i].family, family_name);
    } else {
        assert_int_equal(sscanf(line, "# TYPE %127s %15s", name, type), 2);
        assert_string_equal(name, family_name);
        assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                    strcmp(type, "histogram") == 0);
        memcpy(family_type, type, sizeof type);
    }
}

static void take_sample(const char *line, const char *end)
{
    struct sample s = {.le = -1};
    const char *p = take_name(line);
    const size_t name_n = (size_t)(p - line), family_n = strlen(family_name);
    assert_true(name_n >= family_n && memcmp(line, family_name, family_n) == 0);
    const char *suffix = line + family_n;
    const size_t suffix_n = name_n - family_n;
    if (strcmp(family_type, "histogram") == 0) {
        assert_true((suffix_n == 7 && memcmp(suffix, "_bucket", 7) == 0) ||
                    (suffix_n == 4 && memcmp(suffix, "_sum", 4) == 0) ||
                    (suffix_n == 6 && memcmp(suffix, "_count", 6) == 0));
    } else {
        assert_int_equal(suffix_n, 0);
    }
    if (*p == '{') p = take_labels(p, &s.le);
    assert_int_equal(s.le >= 0, suffix_n == 7);
    assert_int_equal(*p, ' ');
    s.series = strndup(line, (size_t)(p - line));
    s.family = strdup(family_name);
    char *number_end;
    s.value = strtod(p + 1, &number_end);
    assert_ptr_equal(number_end, end);
    if (s.le > 0 && samples_n && samples[samples_n - 1].le > 0 && samples[samples_n - 1].le < s.le) {
        assert_true(s.value >= samples[samples_n - 1].value); // cumulative
        assert_string_equal(s.family, samples[samples_n - 1].family);
    }
    if (suffix_n == 6) { // the count is the last bucket, two lines above
        assert_true(samples[samples_n - 2].le == 1e300);
        assert_true(samples[samples_n - 2].value == s.value);
    }
    samples = realloc(samples, (samples_n + 1) * sizeof *samples);
    assert_non_null(samples);
    samples[samples_n++] = s;
}

static int by_series(const void *a, const void *b)
{
    return strcmp(((const struct sample *)a)->series, ((const struct sample *)b)->series);
}

static void forget(void)
{
    for (size_t i = 0; i < samples_n; i++) {
        free(samples[i].series);
        free(samples[i].family);
    }
    free(samples);
    samples = NULL;
    samples_n = 0;
    family_name[0] = 0;
}

static void parse(void)
{
    forget();
    char *text = malloc((size_t)page.n + 1);
    assert_non_null(text);
    if (page.n) memcpy(text, page.p, page.n);
    text[page.n] = 0;
    assert_int_equal(strlen(text), page.n);
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); // the last line ends too
        *end = 0;
        if (*line == '#') take_comment(line, end);
        else take_sample(line, end);
    }
    free(text);
    qsort(samples, samples_n, sizeof *samples, by_series);
    for (size_t i = 1; i < samples_n; i++) assert_string_not_equal(samples[i - 1].series, samples[i].series);
}

// -1 if the series is not on the page.
static double value(const char *series)
{
    for (size_t i = 0; i < samples_n; i++)
        if (strcmp(samples[i].series, series) == 0) return samples[i].value;
    return -1;
}

static void assert_value(const char *series, double expected)
{
    const double is = value(series);
    if (is != expected) print_error("%s is %f, not %f\n", series, is, expected);
    assert_true(is == expected);
}

// --- Tests.

static void test_render__a_fresh_process(void **state)
{
    (void)state;
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
    assert_false(page.overflow);
    assert_value("ringway_build_info{version=\"0.1.0\",build=\"abc\\\"def\"}", 1);
    assert_value("ringway_io_backend{backend=\"epoll\"}", 1);
    assert_value("ringway_workers", 2);
    assert_value("ringway_log_lines_dropped_total", 7);
    assert_value("process_resident_memory_bytes", 4096);
    assert_value("process_start_time_seconds", 1763717220.5);
    assert_value("process_cpu_seconds_total", 1.25);
    assert_value("ringway_turns_total", 0);
    assert_value("ringway_client_connections", 0);
    assert_value("ringway_overhead_seconds_count", 0);
    assert_value("ringway_buffers{group=\"upstream\",state=\"held\"}", 0);
    for (size_t i = 0; i < samples_n; i++)
        assert_null(strstr(samples[i].series, "model=")); // nothing was used yet
}

static void test_render__workers_are_added_up(void **state)
{
    (void)state;
    const uint32_t row = metric_target_row(labels, SPAN("gpt"), SPAN("openai"));
    const uint32_t model = metric_model_row(labels, SPAN("gpt"));
    for (uint32_t w = 0; w < WORKERS; w++) {
        metric_add(workers[w], METRIC_REQUESTS, metric_request_label(row, 200, END_OK), 10 + w);
        metric_add(workers[w], METRIC_TOKENS, metric_label(model, METRIC_TOKENS_INPUT), 100);
        metric_gauge_add(workers[w], METRIC_FIBERS, 0, w ? 5 : -2);
        metric_gauge_set(workers[w], METRIC_UPSTREAM_CONNECTIONS, METRIC_UPSTREAM_ACTIVE, 3);
    }
    metric_add(workers[1], METRIC_REQUESTS, metric_request_label(row, 0, END_CLIENT_GONE), 1);
    metric_add(workers[1], METRIC_REQUESTS, metric_request_label(METRIC_ROW_NONE, 401, END_NO_KEY), 4);
    metric_add(workers[1], METRIC_CONNECTION_ENDS, END_IDLE_TIMEOUT, 2);
    metric_gauge_add(workers[0], METRIC_EXCHANGES, 0, -4); // between two loads a sum may be below zero
    metric_add(workers[0], METRIC_TURNS, 0, UINT64_C(1) << 63);
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
    assert_value("ringway_requests_total{model=\"gpt\",provider=\"openai\",status=\"2xx\",end=\"ok\"}", 21);
    assert_value(
        "ringway_requests_total{model=\"gpt\",provider=\"openai\",status=\"none\",end=\"client_gone\"}", 1);
    assert_value("ringway_requests_total{model=\"\",provider=\"\",status=\"4xx\",end=\"no_key\"}", 4);
    assert_value("ringway_tokens_total{model=\"gpt\",class=\"input\"}", 200);
    assert_value("ringway_fibers", 3);
    assert_value("ringway_exchanges", -4);
    assert_value("ringway_turns_total", 9223372036854775808.0);
    assert_value("ringway_upstream_connections{state=\"active\"}", 6);
    assert_value("ringway_connection_ends_total{reason=\"idle_timeout\"}", 2);
    assert_value("omni_llm_requests_total{model=\"gpt\",provider=\"openai\"}", 22);
    assert_value("omni_llm_requests_total{model=\"\",provider=\"\"}", 4);
    assert_value("omni_llm_errors_by_provider{provider=\"openai\"}", 1);
    assert_value("omni_llm_errors_by_provider{provider=\"\"}", 4);
}

static void test_render__errors_of_a_provider_over_its_models(void **state)
{
    (void)state;
    static const char *const models[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        const uint32_t row = metric_target_row(labels, span_str(models[i]), i == 1 ? SPAN("y") : SPAN("x"));
        metric_add(workers[0], METRIC_REQUESTS, metric_request_label(row, 502, END_TRUNCATED), 1 + i);
    }
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
    assert_value("omni_llm_errors_by_provider{provider=\"x\"}", 4);
    assert_value("omni_llm_errors_by_provider{provider=\"y\"}", 2);
}

static void test_render__histograms_are_cumulative(void **state)
{
    (void)state;
    const uint32_t row = metric_target_row(labels, SPAN("m"), SPAN("p"));
    metric_observe_ns(workers[0], METRIC_REQUEST_DURATION, metric_label(row, 0), CLOCK_SEC);
    metric_observe_ns(workers[1], METRIC_REQUEST_DURATION, metric_label(row, 0), CLOCK_SEC + 1);
    metric_observe_ns(workers[1], METRIC_REQUEST_DURATION, metric_label(row, 0), 100000 * CLOCK_SEC);
    metric_observe_ns(workers[1], METRIC_OVERHEAD, 0, 30 * CLOCK_US);
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
#define DURATION "ringway_request_duration_seconds"
#define M "model=\"m\",provider=\"p\""
    assert_value(DURATION "_bucket{" M ",le=\"0.000015258\"}", 0);
    assert_value(DURATION "_bucket{" M ",le=\"0.75\"}", 0);
    assert_value(DURATION "_bucket{" M ",le=\"1\"}", 1);
    assert_value(DURATION "_bucket{" M ",le=\"1.5\"}", 2);
    assert_value(DURATION "_bucket{" M ",le=\"16384\"}", 2);
    assert_value(DURATION "_bucket{" M ",le=\"+Inf\"}", 3);
    assert_value(DURATION "_count{" M "}", 3);
    assert_value(DURATION "_sum{" M "}", 100002.000000001);
    assert_value("ringway_overhead_seconds_bucket{le=\"0.000003814\"}", 0);
    assert_value("ringway_overhead_seconds_bucket{le=\"0.125\"}", 1);
    assert_value("ringway_overhead_seconds_sum", 0.00003);
    assert_value("ringway_time_to_first_token_seconds_count{" M "}", -1); // unused: not there
}

static void test_render__label_values_are_escaped(void **state)
{
    (void)state;
    metric_add(workers[0], METRIC_TOKENS,
               metric_label(metric_model_row(labels, SPAN("a\"b\\c\nd\xc3\xbc")), 0), 5);
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
    assert_value("ringway_tokens_total{model=\"a\\\"b\\\\c\\nd\xc3\xbc\",class=\"input\"}", 5);
}

static void test_render__suspicious_sites(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        if (!COUNT_IF(strcmp("a\"b", "c") != 0)) fail();
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    parse();
    double found = 0;
    for (size_t i = 0; i < samples_n; i++)
        if (strstr(samples[i].series, "ringway_suspicious_total{") &&
            strstr(samples[i].series, "test_prometheus.c"))
            found = samples[i].value;
    assert_true(found == 3);
}

static void test_render__the_fullest_page(void **state)
{
    (void)state;
    static char model[METRIC_NAME_BYTES_MAX + 1];
    for (uint32_t i = 0; i < LABEL_VALUES_MAX + 3; i++) {
        memset(model, '"', sizeof model - 1);
        snprintf(model, 8, "%u", i);
        model[strlen(model)] = '"';
        const struct span name = span_of(model, sizeof model - 1);
        const uint32_t row = metric_target_row(labels, name, name), by_model = metric_model_row(labels, name);
        metric_observe_ns(workers[0], METRIC_REQUEST_DURATION, metric_label(row, 0), 1);
        metric_observe_ns(workers[0], METRIC_FIRST_TOKEN, metric_label(row, 0), 1);
        for (uint32_t end = 0; end < RW_END_COUNT; end++)
            metric_add(workers[1], METRIC_REQUESTS, metric_request_label(row, 500, (enum rw_end)end), 1);
        for (uint32_t t = 0; t < METRIC_TOKENS_COUNT; t++)
            metric_add(workers[1], METRIC_TOKENS, metric_label(by_model, t), 1);
    }
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    assert_false(page.overflow); // the bound holds what the labels allow
    const struct span other = SPAN("{model=\"other\",provider=\"other\",status=\"5xx\"");
    assert_non_null(memmem(page.p, page.n, other.p, other.n));
}

static void test_render__a_full_page_ends_after_a_whole_line(void **state)
{
    (void)state;
    const struct prometheus_source s = source();
    prometheus_render(&page, &s);
    const uint32_t whole = page.n;
    for (uint32_t max = 1024; max < whole + 2048; max += 517) {
        struct prometheus_text small;
        prometheus_init(&small, max);
        for (int again = 0; again < 2; again++) {
            prometheus_render(&small, &s);
            assert_true(small.n <= max);
            assert_true(small.overflow || small.n == whole);
            assert_memory_equal(small.p, page.p, small.n);
            if (small.n) assert_int_equal(small.p[small.n - 1], '\n');
            if (max < whole) assert_true(small.overflow);
        }
        prometheus_done(&small);
    }
}

static void test_process_read__what_the_kernel_says_is_plausible(void **state)
{
    (void)state;
    struct prometheus_process before, p;
    prometheus_process_read(&before);
    const int fd = dup(0);
    assert_true(fd >= 0);
    prometheus_process_read(&p);
    close(fd);
    assert_int_equal(p.open_fds, before.open_fds + 1);
    assert_in_range(p.resident_bytes, 100000, p.virtual_bytes);
    assert_int_equal(p.max_fds, sysconf(_SC_OPEN_MAX));
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    assert_in_range(p.start_ms, now_ms - 600000, now_ms + 2000); // the boot time is known to the second
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    assert_in_range(p.cpu_ms, 0, (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000 + 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_render__a_fresh_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__workers_are_added_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__errors_of_a_provider_over_its_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__histograms_are_cumulative, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__label_values_are_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__suspicious_sites, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__the_fullest_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__a_full_page_ends_after_a_whole_line, setup, teardown),
        cmocka_unit_test(test_process_read__what_the_kernel_says_is_plausible),
    };
    const int failed = cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
    forget();
    return failed;
}
