// region: regions that were given back are used again, are kept while they are in use, and go when they are not. On a loop whose
// driver does nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/loop.h"

#define MANY 16

static void no_close(struct io_driver *d)
{
    (void)d;
}

static void no_clock(struct io_driver *d, struct io_time *ret)
{
    (void)d;
    *ret = (struct io_time){1, 1};
}

static const struct io_driver_ops ops = {.name = "none", .close = no_close, .clock = no_clock};
static struct io_driver driver = {&ops};
static struct budget budget;
static struct io_loop loop;
static struct io_buf *all[MANY];

static void begin(int64_t limit)
{
    budget = (struct budget){.limit = limit};
    const struct io_loop_cfg cfg = {.budget = &budget, .fibers_max = 1};
    assert_int_equal(io_loop_open(&loop, &driver, &cfg), RW_OK);
}

// Each of MANY regions of a MiB is held at the same time, then given back.
static void use_all(void)
{
    for (int i = 0; i < MANY; i++) assert_non_null(all[i] = io_buf_region(&loop, MIB(1)));
    for (int i = 0; i < MANY; i++) io_buf_free(&loop, all[i]);
    assert_int_equal(budget.used, 0);
}

static void test_region_free__keeps_what_is_in_use(void **state)
{
    (void)state;
    begin(INT64_C(1) << 30);
    use_all();
    assert_int_equal(loop.regions.kept_bytes, MANY * MIB(1));
    for (int i = 0; i < 3; i++) {
        io_regions_trim(&loop);
        use_all();
        assert_int_equal(loop.regions.kept_bytes, MANY * MIB(1));
    }
    // The last that was given back is the first to be used again.
    struct io_buf *b = io_buf_region(&loop, MIB(1));
    assert_ptr_equal(b, all[MANY - 1]);
    io_buf_free(&loop, b);
    io_loop_close(&loop);
}

static void test_regions_trim__gives_back_what_is_not(void **state)
{
    (void)state;
    begin(INT64_C(1) << 30);
    use_all();
    io_regions_trim(&loop);
    struct io_buf *b = io_buf_region(&loop, MIB(1));
    io_buf_free(&loop, b);
    io_regions_trim(&loop); // one of them was used
    assert_int_equal(loop.regions.kept_bytes, MIB(4));
    io_regions_trim(&loop);
    assert_int_equal(loop.regions.kept_bytes, MIB(4)); // a little stays
    io_loop_close(&loop);
}

static void test_region_free__small_budget_keeps_little(void **state)
{
    (void)state;
    begin(MIB(48));
    use_all();
    assert_int_equal(loop.regions.kept_bytes, MIB(6)); // an eighth
    io_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region_free__keeps_what_is_in_use),
        cmocka_unit_test(test_regions_trim__gives_back_what_is_not),
        cmocka_unit_test(test_region_free__small_budget_keeps_little),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
