// list: random pushes, pops and removals are compared with an array after each step, walking the list in both
// directions; the loops are tried with a body that removes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/list.h"
#include "base/prng.h"

struct item {
    int number;
    struct list node; // not the first member, so that LIST_OWNER has work to do
};

enum { ITEMS = 12 };
static struct item item[ITEMS];
static struct list head;

static int setup(void **state)
{
    (void)state;
    list_init(&head);
    for (int i = 0; i < ITEMS; i++) {
        item[i].number = i;
        list_init(&item[i].node);
    }
    return 0;
}

static struct item *owner(struct list *node)
{
    return LIST_OWNER(node, struct item, node);
}

static void assert_list(const int *numbers, int n)
{
    int i = 0;
    LIST_EACH(it, &head)
    {
        assert_true(i < n);
        assert_int_equal(owner(it)->number, numbers[i]);
        assert_ptr_equal(it->prev->next, it);
        assert_ptr_equal(it->next->prev, it);
        i++;
    }
    assert_int_equal(i, n);
    for (const struct list *it = head.prev; it != &head; it = it->prev) i--;
    assert_int_equal(i, 0);
    assert_int_equal(list_empty(&head), n == 0);
}

static void test_push__front_back_and_after(void **state)
{
    (void)state;
    assert_list(NULL, 0);
    list_push_back(&head, &item[0].node);
    list_push_back(&head, &item[1].node);
    list_push_front(&head, &item[2].node);
    list_add_after(&item[0].node, &item[3].node);
    assert_list((const int[]){2, 0, 3, 1}, 4);
}

static void test_remove__twice_is_harmless(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) list_push_back(&head, &item[i].node);
    list_remove(&item[1].node);
    assert_true(list_empty(&item[1].node)); // points to itself
    list_remove(&item[1].node);
    assert_list((const int[]){0, 2}, 2);
    list_remove(&item[0].node);
    list_remove(&item[2].node);
    assert_list(NULL, 0);
    list_push_back(&head, &item[1].node);
    assert_list((const int[]){1}, 1);
}

static void test_pop_front__in_order_then_null(void **state)
{
    (void)state;
    assert_null(list_pop_front(&head));
    for (int i = 0; i < 3; i++) list_push_back(&head, &item[i].node);
    for (int i = 0; i < 3; i++) {
        struct list *node = list_pop_front(&head);
        assert_ptr_equal(node, &item[i].node);
        assert_true(list_empty(node));
    }
    assert_null(list_pop_front(&head));
}

static void test_each_safe__the_body_removes(void **state)
{
    (void)state;
    for (int i = 0; i < ITEMS; i++) list_push_back(&head, &item[i].node);
    int seen = 0;
    LIST_EACH_SAFE(it, &head)
    {
        assert_int_equal(owner(it)->number, seen++);
        if (owner(it)->number % 2) list_remove(it);
    }
    assert_int_equal(seen, ITEMS);
    assert_list((const int[]){0, 2, 4, 6, 8, 10}, 6);
    LIST_EACH_SAFE(it, &head) list_remove(it);
    assert_list(NULL, 0);
}

static void test_random__agrees_with_an_array(void **state)
{
    (void)state;
    struct prng r;
    int model[ITEMS], n = 0;
    prng_seed(&r, 5);
    for (int step = 0; step < 20000; step++) {
        const int i = (int)prng_below(&r, ITEMS);
        int at = 0;
        while (at < n && model[at] != i) at++;
        const uint32_t what = prng_below(&r, 4);
        if (what == 0 && n > 0) {
            assert_int_equal(owner(list_pop_front(&head))->number, model[0]);
            at = 0;
        } else if (at < n) {
            list_remove(&item[i].node);
        } else if (what == 1) {
            list_push_front(&head, &item[i].node);
            memmove(model + 1, model, (size_t)n++ * sizeof *model);
            model[0] = i;
            at = n;
        } else {
            list_push_back(&head, &item[i].node);
            model[n++] = i;
            at = n;
        }
        if (at < n) memmove(model + at, model + at + 1, (size_t)(--n - at) * sizeof *model);
        assert_list(model, n);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_push__front_back_and_after),    TEST(test_remove__twice_is_harmless),
        TEST(test_pop_front__in_order_then_null), TEST(test_each_safe__the_body_removes),
        TEST(test_random__agrees_with_an_array),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
