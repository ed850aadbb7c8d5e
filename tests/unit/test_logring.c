// logring: random sequences of calls of both sides, in one thread and so in every order, are compared with a
// plain copy of what should come out; then two threads run against each other, the consumer checking each
// byte, to let TSan see the ordering. Lines carry their number, so a lost, doubled or torn one is found.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/logring.h"
#include "base/prng.h"

#define BYTES (2 * LOG_LINE_BYTES_MAX)

static struct logring ring;
static int wakes;

static void count_wake(void *arg)
{
    assert_ptr_equal(arg, &wakes);
    wakes++;
}

static int setup(void **state)
{
    (void)state;
    wakes = 0;
    return logring_init(&ring, BYTES, count_wake, &wakes);
}

static int teardown(void **state)
{
    (void)state;
    logring_done(&ring);
    return 0;
}

// Bytes to read.
static uint32_t filled(void)
{
    struct span piece[2];
    const uint32_t n = logring_peek(&ring, piece);
    return (n > 0 ? piece[0].n : 0) + (n > 1 ? piece[1].n : 0);
}

static void test_put__comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct span piece[2];
    assert_int_equal(logring_peek(&ring, piece), 0);
    assert_true(logring_put(&ring, SPAN("one\n")));
    assert_true(logring_put(&ring, SPAN("two\n")));
    assert_int_equal(logring_peek(&ring, piece), 1);
    assert_true(span_eq(piece[0], SPAN("one\ntwo\n")));
    logring_consume(&ring, 6); // inside a line
    assert_int_equal(logring_peek(&ring, piece), 1);
    assert_true(span_eq(piece[0], SPAN("o\n")));
    logring_consume(&ring, 2);
    assert_int_equal(logring_peek(&ring, piece), 0);
}

static void test_reserve__uncommitted_costs_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) assert_non_null(logring_reserve(&ring, LOG_LINE_BYTES_MAX));
    assert_int_equal(filled(), 0);
    char *at = logring_reserve(&ring, LOG_LINE_BYTES_MAX);
    memcpy(at, "short\n", 6);
    logring_commit(&ring, 6); // less than was reserved
    assert_int_equal(filled(), 6);
    assert_int_equal(logring_dropped(&ring), 0);
}

static void test_put__full_drops_and_counts_the_line(void **state)
{
    (void)state;
    static uint8_t line[LOG_LINE_BYTES_MAX];
    memset(line, 'x', sizeof line);
    assert_true(logring_put(&ring, span_of(line, sizeof line)));
    assert_true(logring_put(&ring, span_of(line, sizeof line))); // to the last byte
    assert_false(logring_put(&ring, span_of(line, 1)));
    assert_null(logring_reserve(&ring, 1));
    assert_int_equal(logring_dropped(&ring), 2);
    assert_int_equal(filled(), BYTES);
    logring_consume(&ring, 1);
    assert_false(logring_put(&ring, span_of(line, 2)));
    assert_true(logring_put(&ring, span_of(line, 1)));
    assert_int_equal(logring_dropped(&ring), 3);
}

static void test_commit__a_line_over_the_end_is_whole_again(void **state)
{
    (void)state;
    static uint8_t filler[LOG_LINE_BYTES_MAX];
    struct span piece[2];
    for (int i = 0; i < 2; i++) {
        assert_true(logring_put(&ring, span_of(filler, LOG_LINE_BYTES_MAX - 2)));
        logring_consume(&ring, LOG_LINE_BYTES_MAX - 2);
    }
    assert_true(logring_put(&ring, SPAN("0123456789\n"))); // four bytes before the end, seven behind
    assert_int_equal(logring_peek(&ring, piece), 2);
    assert_true(span_eq(piece[0], SPAN("0123")));
    assert_true(span_eq(piece[1], SPAN("456789\n")));
    logring_consume(&ring, 11);
    assert_int_equal(logring_peek(&ring, piece), 0);
}

static void test_wake__once_over_half_until_there_was_progress(void **state)
{
    (void)state;
    static uint8_t line[BYTES / 8];
    for (int i = 0; i < 4; i++) assert_true(logring_put(&ring, span_of(line, sizeof line)));
    assert_int_equal(wakes, 0); // exactly half
    assert_true(logring_put(&ring, span_of(line, 1)));
    assert_int_equal(wakes, 1);
    assert_true(logring_put(&ring, span_of(line, 1)));
    assert_true(filled() > 0); // looked at, but the sink took nothing
    assert_true(logring_put(&ring, span_of(line, 1)));
    assert_int_equal(wakes, 1);
    logring_consume(&ring, 1);
    assert_true(logring_put(&ring, span_of(line, 1)));
    assert_int_equal(wakes, 2);
    logring_consume(&ring, filled());
    assert_true(logring_put(&ring, span_of(line, sizeof line)));
    assert_int_equal(wakes, 2); // no longer over half, though the producer's view of tail was old
}

static void test_wake__none_is_fine(void **state)
{
    (void)state;
    struct logring r;
    static uint8_t line[LOG_LINE_BYTES_MAX];
    assert_int_equal(logring_init(&r, BYTES, NULL, NULL), RW_OK);
    while (logring_put(&r, span_of(line, sizeof line))) {}
    assert_int_equal(logring_dropped(&r), 1);
    logring_done(&r);
}

static void test_random__both_sides_agree_with_a_copy(void **state)
{
    (void)state;
    static char model[2 * BYTES];
    uint64_t through = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct prng r;
        uint32_t n = filled();
        logring_consume(&ring, n);
        n = 0;
        prng_seed(&r, seed);
        for (int step = 0; step < 3000; step++) {
            if (prng_below(&r, 2)) {
                static char line[LOG_LINE_BYTES_MAX];
                const uint32_t most = prng_below(&r, 20) ? 700 : LOG_LINE_BYTES_MAX;
                const uint32_t len = 1 + prng_below(&r, most);
                for (uint32_t i = 0; i < len; i++) line[i] = (char)(step + (int)i);
                const uint64_t dropped = logring_dropped(&ring);
                const bool taken = logring_put(&ring, span_of(line, len));
                assert_int_equal(taken, n + len <= BYTES);
                assert_int_equal(logring_dropped(&ring), dropped + !taken);
                if (!taken) continue;
                memcpy(model + n, line, len);
                n += len;
            } else {
                struct span piece[2] = {{NULL, 0}, {NULL, 0}};
                const uint32_t pieces = logring_peek(&ring, piece);
                assert_int_equal(pieces > 0, n > 0);
                assert_int_equal(piece[0].n + piece[1].n, n);
                if (!n) continue;
                assert_memory_equal(piece[0].p, model, piece[0].n);
                if (pieces > 1) assert_memory_equal(piece[1].p, model + piece[0].n, piece[1].n);
                const uint32_t take = prng_below(&r, n + 1);
                logring_consume(&ring, take);
                memmove(model, model + take, n - take);
                n -= take;
                through += take;
            }
        }
    }
    assert_true(through > 100 * BYTES); // it went around often
}

enum { LINES = 200000 };

static void *producer(void *arg)
{
    uint32_t *sent = arg;
    for (uint32_t i = 0; i < LINES; i++) {
        char *at = logring_reserve(&ring, 64);
        if (!at) {
            sched_yield();
            continue;
        }
        // "number:" and as many x as its last digits say, then the end of the line
        const int n = snprintf(at, 64, "%u:%.*s\n", i, (int)(i % 50),
                               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        logring_commit(&ring, (uint32_t)n);
        (*sent)++;
    }
    return NULL;
}

static void check_line(const char *line, size_t n, int64_t *last, uint32_t *received)
{
    char *end;
    const long number = strtol(line, &end, 10);
    assert_true(number > *last && number < LINES);
    assert_int_equal(*end, ':');
    assert_int_equal((size_t)(end - line) + 1 + (size_t)number % 50 + 1, n);
    for (const char *p = end + 1; p < line + n - 1; p++) assert_int_equal(*p, 'x');
    *last = number;
    (*received)++;
}

static void test_threads__nothing_is_lost_doubled_or_torn(void **state)
{
    (void)state;
    pthread_t thread;
    uint32_t sent = 0, received = 0;
    static char text[2 * BYTES];
    size_t have = 0;
    int64_t last = -1;
    ring.wake = NULL; // it asserts in the other thread
    assert_int_equal(pthread_create(&thread, NULL, producer, &sent), 0);
    bool joined = false;
    for (;;) {
        struct span piece[2];
        const uint32_t pieces = logring_peek(&ring, piece);
        if (pieces == 0 && joined) break;
        if (pieces == 0 && received + logring_dropped(&ring) >= LINES) {
            pthread_join(thread, NULL);
            joined = true;
        }
        for (uint32_t i = 0; i < pieces; i++) {
            memcpy(text + have, piece[i].p, piece[i].n);
            have += piece[i].n;
            logring_consume(&ring, piece[i].n);
        }
        char *line = text, *end;
        while ((end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
            check_line(line, (size_t)(end - line) + 1, &last, &received);
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
    }
    assert_int_equal(have, 0);
    assert_int_equal(received, sent);
    assert_int_equal(sent + logring_dropped(&ring), LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put__comes_out_as_it_went_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve__uncommitted_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put__full_drops_and_counts_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit__a_line_over_the_end_is_whole_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wake__once_over_half_until_there_was_progress, setup, teardown),
        cmocka_unit_test(test_wake__none_is_fine),
        cmocka_unit_test_setup_teardown(test_random__both_sides_agree_with_a_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads__nothing_is_lost_doubled_or_torn, setup, teardown),
    };
    return cmocka_run_group_tests_name("logring", tests, NULL, NULL);
}
