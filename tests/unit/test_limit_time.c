// limit_time: the calendar against the C library's for every day of two centuries, zones against the C library's in the system's
// zone files, and a wall clock that steps.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/limit_time.h"

#define SEC CLOCK_SEC
#define DAY INT64_C(86400)

static void test_at__days_and_months_of_two_centuries(void **state)
{
    (void)state;
    for (int64_t day = -3650; day < 70000; day++) {
        struct limit_time t = {0};
        limit_time_at(&t, NULL, (day * DAY + day % DAY) * SEC);
        const time_t s = (time_t)(t.at.utc_ns / SEC - (t.at.utc_ns % SEC < 0));
        struct tm tm;
        assert_non_null(gmtime_r(&s, &tm));
        if (day < 0) continue; // before 1970 the numbers wrap; nobody's clock is there
        assert_int_equal(t.at.month, (tm.tm_year - 70) * 12 + tm.tm_mon);
        assert_int_equal(t.at.day, s / DAY);
        const time_t next = (time_t)(t.month_end_ns / SEC);
        assert_non_null(gmtime_r(&next, &tm));
        assert_int_equal(tm.tm_mday, 1);
        assert_int_equal((tm.tm_year - 70) * 12 + tm.tm_mon, t.at.month + 1);
        assert_int_equal(t.day_end_ns, (t.at.day + INT64_C(1)) * DAY * SEC);
    }
}

static struct limit_zone zone;
static uint8_t file[65536];

static bool load(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    const size_t n = fread(file, 1, sizeof file, f);
    assert_int_equal(fclose(f), 0);
    assert_true(limit_zone_parse(span_of(file, n), &zone));
    for (size_t cut = 0; cut < n;
         cut++) { // a file cut short is refused, or says less; nothing is read behind its end
        uint8_t *copy = malloc(cut ? cut : 1);
        static struct limit_zone short_zone;
        memcpy(copy, file, cut);
        assert_false(limit_zone_parse(span_of(copy, cut), &short_zone));
        assert_int_equal(short_zone.count, 0);
        free(copy);
    }
    return true;
}

static void test_zone__as_the_c_library_says(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Berlin", "America/New_York", "Australia/Sydney",
                                        "Asia/Kolkata",  "Pacific/Auckland", "America/Sao_Paulo",
                                        "Etc/UTC",       "Africa/Cairo"};
    int read = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!load(names[i])) continue;
        read++;
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t s = 3 * DAY; s < INT64_C(4000000000); s += 23333) {
            struct tm tm;
            const time_t at = (time_t)s;
            assert_non_null(localtime_r(&at, &tm));
            if (limit_zone_offset_s(&zone, s) != tm.tm_gmtoff)
                fail_msg("%s at %ld: %d, not %ld", names[i], (long)s, limit_zone_offset_s(&zone, s),
                         tm.tm_gmtoff);
            if (s % 50 != 0) continue;
            struct limit_time t = {0};
            limit_time_at(&t, &zone, s * SEC);
            assert_int_equal(t.at.month, (tm.tm_year - 70) * 12 + tm.tm_mon);
            const time_t end = (time_t)(t.day_end_ns / SEC), before = end - 1;
            assert_true(end > at && end - at <= 25 * 3600);
            struct tm after;
            assert_non_null(localtime_r(&end, &after));
            assert_true(after.tm_mday != tm.tm_mday);
            assert_non_null(localtime_r(&before, &after));
            assert_int_equal(after.tm_mday, tm.tm_mday);
        }
    }
    unsetenv("TZ");
    tzset();
    if (!read) skip(); // no zone files here
}

static void test_zone__what_is_no_file_is_utc(void **state)
{
    (void)state;
    zone.count = 1;
    assert_false(limit_zone_parse(SPAN("TZif"), &zone));
    assert_int_equal(zone.count, 0);
    assert_int_equal(limit_zone_offset_s(&zone, 1), 0);
    assert_int_equal(limit_zone_offset_s(NULL, 1), 0);
}

static void test_update__a_step_of_the_wall_clock_is_followed_slowly(void **state)
{
    (void)state;
    static struct store_cell cell;
    const int64_t boot = 5000 * SEC, wall = INT64_C(1700000000) * SEC;
    struct limit_time a = {0}, b = {0};
    limit_time_update(&a, &cell, NULL, boot, wall);
    assert_int_equal(a.at.utc_ns, wall);
    const uint32_t day = a.at.day;
    // A day forward, and an hour goes by: the calendar is an eighth of an hour ahead at most.
    for (int64_t s = 1; s <= 3600; s++) {
        limit_time_update(&a, &cell, NULL, boot + s * SEC, wall + (DAY + s) * SEC);
        limit_time_update(&b, &cell, NULL, boot + s * SEC, wall + (DAY + s) * SEC);
    }
    assert_int_equal(a.at.day, day);
    assert_true(a.at.utc_ns <= wall + 4051 * SEC);
    assert_true(a.at.utc_ns >= wall + 4040 * SEC);
    assert_true(b.at.utc_ns - a.at.utc_ns <= SEC); // workers agree
    // Two days back: it goes on, slower, and never back.
    int64_t last = a.at.utc_ns;
    for (int64_t s = 3601; s <= 7200; s++) {
        limit_time_update(&a, &cell, NULL, boot + s * SEC, wall + (s - 2 * DAY) * SEC);
        assert_true(a.at.utc_ns >= last);
        last = a.at.utc_ns;
    }
    assert_true(a.at.utc_ns <= wall + 7250 * SEC);
    // Right again: after a while it is the wall clock.
    for (int64_t s = 7201; s <= 20000; s++)
        limit_time_update(&a, &cell, NULL, boot + s * SEC, wall + s * SEC);
    assert_true(a.at.utc_ns - (wall + 20000 * SEC) <= CLOCK_MS &&
                (wall + 20000 * SEC) - a.at.utc_ns <= CLOCK_MS);
}

static void test_update__the_day_changes_at_its_end(void **state)
{
    (void)state;
    static struct store_cell cell;
    const int64_t midnight = INT64_C(1700006400) * SEC; // 2023-11-15
    struct limit_time t = {0};
    limit_time_update(&t, &cell, NULL, SEC, midnight - SEC);
    const uint32_t day = t.at.day;
    assert_int_equal(t.day_end_ns, midnight);
    limit_time_update(&t, &cell, NULL, 2 * SEC - 1, midnight - 1);
    assert_int_equal(t.at.day, day);
    limit_time_update(&t, &cell, NULL, 2 * SEC, midnight);
    assert_int_equal(t.at.day, day + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at__days_and_months_of_two_centuries),
        cmocka_unit_test(test_zone__as_the_c_library_says),
        cmocka_unit_test(test_zone__what_is_no_file_is_utc),
        cmocka_unit_test(test_update__a_step_of_the_wall_clock_is_followed_slowly),
        cmocka_unit_test(test_update__the_day_changes_at_its_end),
    };
    return cmocka_run_group_tests_name("limit_time", tests, NULL, NULL);
}
