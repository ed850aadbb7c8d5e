// principal: whom a key stands for, out of a store and cells made for each test. Records are damaged and the table of cells is
// filled to see what the rules say: limits open or closed, authentication closed or open.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metric.h"
#include "gateway/principal.h"
#include "store/accounts_priv.h"
#include "tests/lib/store_dir.h"

#define NOW INT64_C(1700000000000)

static struct store *s;
static struct store_cells *cells;
static struct principals *all;
static struct metrics *metrics;
static const struct store_act act = {.wall_ms = NOW, .actor = SPAN_INIT("test")};
static uint32_t team;
static uint8_t hash[STORE_HASH_BYTES] = {1};

struct making {
    struct store_account a;
    const uint8_t *hash;
    uint32_t id;
};

static enum rw_err run_create(struct store_txn *t, void *ctx)
{
    struct making *m = ctx;
    return store_account_create(t, &m->a, m->hash, &act, &m->id);
}

static uint32_t make(struct store_account a, const uint8_t *key_hash)
{
    struct making m = {.a = a, .hash = key_hash};
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, run_create, &m), RW_OK);
    return m.id;
}

// All bits of a record turned over, and back by the second time.
struct wound {
    enum store_kind kind;
    uint32_t id;
};

static enum rw_err run_hurt(struct store_txn *t, void *ctx)
{
    const struct wound *w = ctx;
    const struct store_short_key key = store_id_key(w->kind, w->id);
    static uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
    struct span record;
    RW_TRY(store_get(t->store, t->txn, TABLE_GROUPS, store_short_span(&key), &record));
    for (uint32_t i = 0; i < record.n; i++) bytes[i] = record.p[i] ^ 0xff;
    return store_put(t, TABLE_GROUPS, store_short_span(&key), (struct span){bytes, record.n}, 0);
}

static void hurt(enum store_kind kind, uint32_t id)
{
    struct wound w = {kind, id};
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, run_hurt, &w), RW_OK);
}

static void rules(bool limits_closed, bool auth_open)
{
    const struct principal_rules r = {limits_closed, auth_open, metrics};
    principals_rules(all, &r);
}

static enum rw_err find_at(int64_t ms, const struct principal *planned, const struct principal **ret)
{
    *ret = NULL;
    return principal_find(all, hash, ms, &(struct principal_plan){.generation = 1, .planned = planned}, ret);
}

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    s = store_dir_open();
    char path[300];
    snprintf(path, sizeof path, "%s/cells", store_dir_path);
    const struct store_cells_cfg cfg = {.path = path, .cells = 8, .layout = LIMIT_LAYOUT, .boot_id = {1}};
    enum store_cells_how how;
    enum rw_err err;
    assert_int_equal(store_cells_open(&cfg, &cells, &how), RW_OK);
    assert_int_equal(store_cells_ready(cells), RW_OK);
    all = principals_open(s, cells, &err);
    assert_non_null(all);
    metrics = metric_new();
    const uint32_t tenant = make((struct store_account){.kind = STORE_TENANT, .name = SPAN("acme")}, NULL);
    team = make((struct store_account){.kind = STORE_TEAM, .parent = tenant, .name = SPAN("red")}, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    principals_close(all);
    store_cells_close(cells);
    store_close(s);
    metric_free(metrics);
    store_dir_remove();
    return 0;
}

static uint64_t counted(enum metric_id id)
{
    return atomic_load(metric_at(metrics, id, 0));
}

static struct store_account key_with_limit(void)
{
    return (struct store_account){.kind = STORE_KEY,
                                  .parent = team,
                                  .name = SPAN("k"),
                                  .limits = {.set = STORE_SET_CONCURRENCY, .concurrency = 5}};
}

static void test_find__a_key_with_its_limits(void **state)
{
    (void)state;
    const struct principal *p;
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_NOT_FOUND);
    make(key_with_limit(), hash);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    assert_non_null(p->limit[0]);
    assert_null(p->limit[1]);
    assert_true(span_eq(p->team, SPAN("red")) && span_eq(p->tenant, SPAN("acme")));
    principal_leave(all, p);
    assert_int_equal(counted(METRIC_STORE_LIMITS) + counted(METRIC_STORE_AUTH), 0);
}

// The table of cells is full: the limit has nowhere to be counted.
static void test_limits__without_room_open_or_closed(void **state)
{
    (void)state;
    const struct principal *p;
    for (uint64_t i = 1; store_cells_find(cells, (struct store_cell_name){i, 1}); i++) continue;
    make(key_with_limit(), hash);
    rules(true, false);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_TOO_LARGE);
    rules(false, false);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    assert_null(p->limit[0]);
    principal_leave(all, p);
    assert_int_equal(counted(METRIC_STORE_LIMITS), 2);
    // Within a second it is not tried again, then it is.
    assert_int_equal(find_at(NOW + 999, NULL, &p), RW_OK);
    principal_leave(all, p);
    assert_int_equal(counted(METRIC_STORE_LIMITS), 2);
    assert_int_equal(find_at(NOW + 1000, NULL, &p), RW_OK);
    principal_leave(all, p);
    assert_int_equal(counted(METRIC_STORE_LIMITS), 3);
}

static void test_limits__of_a_plan_that_cannot_be_read(void **state)
{
    (void)state;
    const struct principal *p;
    const struct store_limits two = {.rates_count = 1,
                                     .rates = {{.limit = 2, .window = STORE_HOUR, .unit = STORE_REQUESTS}}};
    const uint32_t plan =
        make((struct store_account){.kind = STORE_PLAN, .name = SPAN("gold"), .limits = two}, NULL);
    struct store_account key = key_with_limit();
    key.plan = SPAN("gold");
    make(key, hash);
    hurt(STORE_PLAN, plan);
    rules(true, true);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_VERSION);
    rules(false, false);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    assert_int_equal(p->limit[0]->set->count, 1); // its own
    principal_leave(all, p);
    hurt(STORE_PLAN, plan);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    assert_int_equal(p->limit[0]->set->count, 2);
    principal_leave(all, p);
}

static void test_auth__closed_or_as_it_was(void **state)
{
    (void)state;
    const struct principal *p;
    make(key_with_limit(), hash);
    rules(false, true);
    hurt(STORE_TEAM, team);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_VERSION); // never read
    hurt(STORE_TEAM, team);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    principal_leave(all, p);
    hurt(STORE_TEAM, team);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    assert_non_null(p->limit[0]);
    principal_leave(all, p);
    rules(false, false);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_VERSION);
    assert_int_equal(counted(METRIC_STORE_AUTH), 3);
    hurt(STORE_TEAM, team);
    assert_int_equal(find_at(NOW, NULL, &p), RW_OK);
    principal_leave(all, p);
}

// Who is remembered as unknown stays unknown, and a key of the file is let in by what stands there.
static void test_auth__open_knows_nobody_new(void **state)
{
    (void)state;
    const struct principal *p, planned = {.planned = true};
    rules(false, true);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_NOT_FOUND);
    make(key_with_limit(), hash);
    hurt(STORE_TEAM, team);
    assert_int_equal(find_at(NOW, NULL, &p), RW_E_VERSION);
    assert_int_equal(find_at(NOW, &planned, &p), RW_E_NOT_FOUND);
    rules(false, false);
    assert_int_equal(find_at(NOW, &planned, &p), RW_E_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find__a_key_with_its_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits__without_room_open_or_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits__of_a_plan_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth__closed_or_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth__open_knows_nobody_new, setup, teardown),
    };
    return cmocka_run_group_tests_name("principal", tests, NULL, NULL);
}
