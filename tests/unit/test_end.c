// end, err, check: the table of ends is walked for what holds for every line; texts are cut at every length
// and stay valid UTF-8; assertions are let fail in a child process, whose signal and message are looked at.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/end.h"
#include "base/err.h"
#include "base/span.h"

// --- end.h

static void test_info__every_line_of_the_table_is_complete(void **state)
{
    (void)state;
    for (int i = 0; i < RW_END_COUNT; i++) {
        const struct end_info *e = end_info((enum rw_end)i);
        assert_true(strlen(e->name) > 1);
        for (const char *p = e->name; *p; p++)
            assert_true((*p >= 'a' && *p <= 'z') || *p == '_'); // a label's value
        for (int j = 0; j < i; j++) assert_string_not_equal(e->name, end_info((enum rw_end)j)->name);
        assert_non_null(e->text);
        assert_true(e->status == 0 || e->status == 200 || (e->status >= 400 && e->status < 600));
        if (e->status >= 400) {
            assert_true(e->is_error);
            assert_true(e->text[0] != 0); // whoever gets a status gets a reason
        }
        const char *mark = strchr(e->text, '%');
        assert_true(!mark || !strchr(mark + 1, '%')); // one detail
    }
    assert_string_equal(end_info(END_TRUNCATED)->name, "truncated");
    assert_int_equal(end_info(END_RATE_LIMITED)->status, 429);
    assert_false(end_info(END_OK)->is_error);
}

static void test_text__puts_the_detail_in(void **state)
{
    (void)state;
    char out[200];
    assert_int_equal(end_text(END_BAD_FIELD, "messages: required", out, sizeof out), 18);
    assert_string_equal(out, "messages: required");
    end_text(END_UPSTREAM_CONNECT, "connection refused", out, sizeof out);
    assert_string_equal(out, "The provider could not be reached: connection refused.");
    end_text(END_UPSTREAM_CONNECT, NULL, out, sizeof out);
    assert_string_equal(out, "The provider could not be reached: .");
    end_text(END_BAD_FIELD, "100% of % is %", out, sizeof out); // a detail is not expanded again
    assert_string_equal(out, "100% of % is %");
    end_text(END_BAD_KEY, "not asked for", out, sizeof out);
    assert_string_equal(out, end_info(END_BAD_KEY)->text);
}

static void test_text__is_cut_between_characters(void **state)
{
    (void)state;
    static const char detail[] = "a\xc3\xbc\xe4\xb8\xad\xf0\x9f\x98\x80z"; // 1, 2, 3, 4 and 1 bytes
    static const uint32_t ends[] = {0, 1, 3, 6, 10, 11};
    for (uint32_t cap = 1; cap <= sizeof detail + 2; cap++) {
        char *out = malloc(cap); // ASan sees a byte too many
        assert_non_null(out);
        uint32_t expected = 0;
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            if (ends[i] <= cap - 1) expected = ends[i];
        assert_int_equal(end_text(END_BAD_FIELD, detail, out, cap), expected);
        assert_memory_equal(out, detail, expected);
        assert_int_equal(out[expected], 0);
        free(out);
    }
    char out[4];
    for (uint32_t cap = 1; cap < 4; cap++)
        assert_int_equal(end_text(END_BAD_FIELD, "\xe0\xa4\x95x", out, cap), 0);
    assert_int_equal(end_text(END_BAD_FIELD, "\xe0\xa4\x95x", out, 4), 3);
    assert_int_equal(end_text(END_BAD_FIELD, "\xf0\x9f\x98\x80", out, 4), 0);
}

static void test_text__is_cut_anywhere_within_its_bound(void **state)
{
    (void)state;
    char whole[300];
    const uint32_t n = end_text(END_TRUNCATED, "reset by peer", whole, sizeof whole);
    for (uint32_t cap = 1; cap < n + 3; cap++) {
        char *out = malloc(cap);
        assert_non_null(out);
        assert_int_equal(end_text(END_TRUNCATED, "reset by peer", out, cap), cap - 1 < n ? cap - 1 : n);
        assert_memory_equal(out, whole, cap - 1 < n ? cap - 1 : n);
        free(out);
    }
}

// --- err.h

static enum rw_err twice(int first, int second)
{
    RW_TRY(first);
    RW_TRY(second);
    return RW_OK;
}

static void test_err__try_returns_what_failed_first(void **state)
{
    (void)state;
    assert_int_equal(twice(0, 5), RW_OK); // a count is no error
    assert_int_equal(twice(-ETIME, -EIO), -ETIME);
    assert_int_equal(twice(0, RW_E_BAD), RW_E_BAD);
    errno = ENOENT;
    assert_int_equal(rw_errno(), -ENOENT);
}

static void test_err__names(void **state)
{
    (void)state;
    assert_string_equal(rw_err_name(RW_OK), "OK");
    assert_string_equal(rw_err_name(-ETIME), "ETIME");
    assert_string_equal(rw_err_name(-ECONNRESET), "ECONNRESET");
    assert_string_equal(rw_err_name(-4095), "UNKNOWN_ERRNO");
    assert_string_equal(rw_err_name(5), "UNKNOWN_ERRNO");
    assert_string_equal(rw_err_name(INT32_MIN), "UNKNOWN_ERRNO");
    static const int ours[] = {RW_E_EOF,    RW_E_BAD,       RW_E_TOO_LARGE, RW_E_BUDGET,
                               RW_E_CONFIG, RW_E_NOT_FOUND, RW_E_CLOSED};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        assert_true(ours[i] < -4096);
        assert_string_not_equal(rw_err_name(ours[i]), "UNKNOWN_ERRNO");
        for (size_t j = 0; j < i; j++) assert_string_not_equal(rw_err_name(ours[i]), rw_err_name(ours[j]));
    }
}

// --- check.h

// Runs fn in a child; returns its wait status and what it wrote to stderr.
static int in_child(void (*fn)(void), char *ret_text, size_t cap)
{
    int pipe_fd[2], status;
    assert_int_equal(pipe(pipe_fd), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_fd[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(7);
    }
    close(pipe_fd[1]);
    size_t n = 0;
    for (ssize_t got; n < cap - 1 && (got = read(pipe_fd[0], ret_text + n, cap - 1 - n)) > 0;)
        n += (size_t)got;
    ret_text[n] = 0;
    close(pipe_fd[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void must_fail(void)
{
    int two = 2;
    MUST(two == 3);
}

static void implies_fail(void)
{
    bool yes = true, no = false;
    IMPLIES(yes, no);
}

static void unreachable(void)
{
    UNREACHABLE("the impossible case");
}

static void no_such_end(void)
{
    (void)end_info(RW_END_COUNT);
}

static void all_hold(void)
{
    bool yes = true, no = false;
    MUST(yes);
    IMPLIES(no, no);
    IMPLIES(yes, yes);
}

static void assert_aborts(void (*fn)(void), const char *what)
{
    char text[512];
    const int status = in_child(fn, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "ringway: broken invariant: "));
    assert_non_null(strstr(text, what));
    assert_non_null(strstr(text, ".c:")); // where
}

static void test_check__a_broken_invariant_says_what_and_aborts(void **state)
{
    (void)state;
    assert_aborts(must_fail, "two == 3");
    assert_aborts(implies_fail, "!(yes) || (no)");
    assert_aborts(unreachable, "unreachable: the impossible case");
    assert_aborts(no_such_end, "end < RW_END_COUNT");
    char text[64];
    const int status = in_child(all_hold, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_string_equal(text, "");
}

static const struct check_site *site_of(const char *what)
{
    for (const struct check_site *s = check_sites(); s; s = s->next)
        if (strcmp(s->what, what) == 0) return s;
    return NULL;
}

static bool odd_number(int i)
{
    return COUNT_IF(i % 2 == 1);
}

static void test_count_if__yields_and_counts_each_time(void **state)
{
    (void)state;
    assert_false(odd_number(2));
    assert_null(site_of("i % 2 == 1")); // a site that was never hit is not listed
    for (int i = 0; i < 10; i++) assert_int_equal(odd_number(i), i % 2 == 1);
    const struct check_site *site = site_of("i % 2 == 1");
    assert_non_null(site);
    assert_int_equal(atomic_load(&site->hits), 5);
    assert_true(site->line > 0);
    assert_non_null(strstr(site->file, "test_end.c"));
}

enum { THREADS = 4, HITS = 20000 };

static void *hitter(void *arg)
{
    const bool always = arg == NULL;
    for (int i = 0; i < HITS; i++) {
        if (!COUNT_IF(always)) return arg;
        if (i % 2 && !COUNT_IF(always || i < 0)) return arg;
    }
    return NULL;
}

static void test_count_if__threads_lose_no_hit_and_no_site(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, hitter, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    const struct check_site *a = site_of("always"), *b = site_of("always || i < 0");
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(atomic_load(&a->hits), THREADS * HITS);
    assert_int_equal(atomic_load(&b->hits), THREADS * HITS / 2);
    int listed = 0;
    for (const struct check_site *s = check_sites(); s; s = s->next) listed += s == a || s == b;
    assert_int_equal(listed, 2); // each once
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info__every_line_of_the_table_is_complete),
        cmocka_unit_test(test_text__puts_the_detail_in),
        cmocka_unit_test(test_text__is_cut_between_characters),
        cmocka_unit_test(test_text__is_cut_anywhere_within_its_bound),
        cmocka_unit_test(test_err__try_returns_what_failed_first),
        cmocka_unit_test(test_err__names),
        cmocka_unit_test(test_check__a_broken_invariant_says_what_and_aborts),
        cmocka_unit_test(test_count_if__yields_and_counts_each_time),
        cmocka_unit_test(test_count_if__threads_lose_no_hit_and_no_site),
    };
    return cmocka_run_group_tests_name("end", tests, NULL, NULL);
}
