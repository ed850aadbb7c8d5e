// cells: the table in its file, opened by one and by several (an open file description of its own is all that makes a process
// here, since OFD locks are per description), left by the dead, of another boot and layout; names found from several threads
// at once; lent cells, and claims that a death left in the middle, which the test writes by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/cells.h"

static char folder[] = "/tmp/ringway-cells-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    if (!mkdtemp(folder)) return -1;
    (void)snprintf(path, sizeof path, "%s/cells", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static struct store_cells_cfg cfg_of(uint32_t cells, uint32_t lent)
{
    return (struct store_cells_cfg){
        .path = path, .cells = cells, .lent = lent, .layout = 1, .boot_id = {1, 2}};
}

static struct store_cells *opened(const struct store_cells_cfg *cfg, enum store_cells_how want)
{
    struct store_cells *c = NULL;
    enum store_cells_how how;
    assert_int_equal(store_cells_open(cfg, &c, &how), RW_OK);
    assert_int_equal(how, want);
    return c;
}

static enum rw_err refused(const struct store_cells_cfg *cfg)
{
    struct store_cells *c = NULL;
    enum store_cells_how how;
    const enum rw_err err = store_cells_open(cfg, &c, &how);
    assert_null(c);
    return err;
}

static struct store_cell_name name_of(uint64_t id)
{
    return (struct store_cell_name){.id = id, .kind = 5};
}

static void test_open__new_then_shared_then_left(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 8);
    struct store_cells *a = opened(&cfg, STORE_CELLS_NEW);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(st.st_blocks * 512 >= st.st_size); // allocated whole
    assert_int_equal(refused(&cfg), -EAGAIN); // not before the contents are right
    atomic_store(&store_cells_find(a, name_of(7))->word[3], 99);
    assert_int_equal(store_cells_ready(a), RW_OK);
    struct store_cells *b = opened(&cfg, STORE_CELLS_SHARED);
    assert_int_equal(store_cells_ready(b), RW_OK);
    assert_int_equal(atomic_load(&store_cells_find(b, name_of(7))->word[3]), 99);
    atomic_fetch_add(&store_cells_find(b, name_of(7))->word[3], 1);
    assert_int_equal(atomic_load(&store_cells_find(a, name_of(7))->word[3]), 100);
    store_cells_close(a);
    store_cells_close(b);
    a = opened(&cfg, STORE_CELLS_LEFT);
    assert_int_equal(atomic_load(&store_cells_find(a, name_of(7))->word[3]), 100);
    store_cells_close(a);
    store_cells_close(NULL);
}

static void test_open__another_layout_waits_for_the_living(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 8);
    struct store_cells_cfg other[4] = {cfg, cfg, cfg, cfg};
    other[0].layout = 2;
    other[1].cells = 128;
    other[2].lent = 16;
    other[3].boot_id[0] = 9;
    for (int i = 0; i < 4; i++) {
        struct store_cells *a = NULL;
        enum store_cells_how how;
        assert_int_equal(store_cells_open(&cfg, &a, &how), RW_OK);
        atomic_store(&store_cells_find(a, name_of(7))->word[3], 99);
        assert_int_equal(store_cells_ready(a), RW_OK);
        assert_int_equal(refused(&other[i]), -EBUSY);
        assert_int_equal(atomic_load(&store_cells_find(a, name_of(7))->word[3]), 99);
        store_cells_close(a);
        a = opened(&other[i], STORE_CELLS_NEW);
        assert_null(store_cells_peek(a, name_of(7)));
        store_cells_close(a);
    }
}

static void test_open__what_is_no_table_is_made_anew(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 0);
    for (int i = 0; i < 3; i++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        if (i == 1)
            assert_int_equal(ftruncate(fd, 4096 + 64 * 64), 0); // the right length, but a maker that died
        if (i == 2) assert_int_equal(write(fd, "nonsense", 8), 8);
        close(fd);
        store_cells_close(opened(&cfg, STORE_CELLS_NEW));
    }
    struct store_cells_cfg nowhere = cfg;
    nowhere.path = "/nonexistent/cells";
    assert_int_equal(refused(&nowhere), -ENOENT);
}

// The lock is the kernel's, so a death of any kind is seen.
static void test_open__a_killed_process_leaves_the_table(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 0);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store_cells *c = NULL;
        enum store_cells_how how;
        if (store_cells_open(&cfg, &c, &how) == RW_OK && store_cells_ready(c) == RW_OK &&
            store_cells_find(c, name_of(3)) && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    char x;
    assert_int_equal(read(ready[0], &x, 1), 1);
    store_cells_close(opened(&cfg, STORE_CELLS_SHARED));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct store_cells *c = opened(&cfg, STORE_CELLS_LEFT);
    assert_non_null(store_cells_peek(c, name_of(3)));
    store_cells_close(c);
    close(ready[0]);
    close(ready[1]);
}

static void test_find__bounded_and_never_moved(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(256, 0);
    struct store_cells *c = opened(&cfg, STORE_CELLS_NEW);
    struct store_cell *cell[224];
    for (uint64_t i = 0; i < 224; i++) { // 7/8
        assert_null(store_cells_peek(c, name_of(i + 1)));
        cell[i] = store_cells_find(c, name_of(i + 1));
        assert_non_null(cell[i]);
        atomic_store(&cell[i]->word[0], (int64_t)i);
    }
    assert_null(store_cells_find(c, name_of(1000)));
    const struct store_cells_stat stat = store_cells_stat(c);
    assert_int_equal(stat.used, 224);
    assert_int_equal(stat.no_room, 1);
    for (uint64_t i = 0; i < 224; i++) {
        assert_ptr_equal(store_cells_find(c, name_of(i + 1)), cell[i]);
        assert_ptr_equal(store_cells_peek(c, name_of(i + 1)), cell[i]);
        assert_int_equal(atomic_load(&cell[i]->word[0]), i);
        assert_ptr_equal(store_cells_at(c, store_cells_index(c, cell[i])), cell[i]);
    }
    assert_null(store_cells_at(c, 256));
    store_cells_close(c);
}

static void test_find__a_half_made_name_is_completed(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 0);
    struct store_cells *c = opened(&cfg, STORE_CELLS_NEW);
    struct store_cell *cell = store_cells_find(c, name_of(7));
    atomic_store(&cell->kind, 0); // as if the claimer had died behind the first half
    assert_ptr_equal(store_cells_find(c, name_of(7)), cell);
    atomic_store(&cell->kind, 0);
    const struct store_cell_name other = {.id = 7, .kind = 6};
    struct store_cell *second = store_cells_find(c, other);
    assert_non_null(second);
    assert_non_null(store_cells_find(c, name_of(7)));
    assert_ptr_not_equal(store_cells_find(c, name_of(7)), second);
    store_cells_close(c);
}

enum { THREADS = 4, NAMES = 2000 };
static struct store_cells *table;

static void *find_all(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < NAMES; i++) {
        struct store_cell *cell = store_cells_find(table, name_of(i + 1));
        if (cell) atomic_fetch_add(&cell->word[1], 1);
    }
    return NULL;
}

static void count_each(void *ctx, struct store_cell *cell)
{
    *(int *)ctx += atomic_load(&cell->word[1]) == THREADS ? 1 : 1000000;
}

static void test_find__threads_agree_on_one_cell_a_name(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(4096, 0);
    table = opened(&cfg, STORE_CELLS_NEW);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, find_all, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(store_cells_stat(table).used, NAMES);
    int n = 0;
    store_cells_each(table, true, count_each, &n);
    assert_int_equal(n, NAMES);
    store_cells_close(table);
}

// --- Lent cells.

static bool idle_if_word_1_is_0(void *ctx, const struct store_cell *cell)
{
    (void)ctx;
    return atomic_load(&cell->word[1]) == 0;
}

static struct store_cell *lend(struct store_cells *c, uint64_t id, int64_t now_ns, int64_t *ret_holders)
{
    return store_cells_lend(c, name_of(id), idle_if_word_1_is_0, NULL, now_ns, ret_holders);
}

static void test_lend__held_or_remembering_cells_stay_idle_ones_go(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 8);
    struct store_cells *c = opened(&cfg, STORE_CELLS_NEW);
    struct store_cell *cell[8];
    int64_t holders = 0;
    for (uint64_t i = 0; i < 8; i++) {
        cell[i] = lend(c, i + 1, 5, &holders);
        assert_non_null(cell[i]);
        assert_int_equal(holders, 1);
    }
    assert_ptr_equal(lend(c, 3, 5, &holders), cell[2]);
    assert_int_equal(holders, 2);
    assert_null(lend(c, 100, 5, &holders)); // all are held
    store_cells_give(cell[2]);
    assert_null(lend(c, 100, 5, &holders));
    atomic_store(&cell[2]->word[1], 1);
    atomic_store(&cell[2]->word[4], 44);
    store_cells_give(cell[2]);
    assert_null(lend(c, 100, 5, &holders)); // it remembers something
    atomic_store(&cell[2]->word[1], 0);
    assert_ptr_equal(lend(c, 100, 5, &holders), cell[2]);
    assert_int_equal(atomic_load(&cell[2]->word[4]), 0);
    store_cells_give(cell[2]);
    store_cells_give(cell[2]); // once too often
    assert_int_equal(atomic_load(&cell[2]->word[0]), 0);
    store_cells_close(c);
}

static void test_lend__a_claim_of_the_dead_is_taken_over_after_a_while(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 8);
    struct store_cells *c = opened(&cfg, STORE_CELLS_NEW);
    int64_t holders = 0;
    const int64_t begun = 1000 * INT64_C(1000000000), long_ago = begun + 11 * INT64_C(1000000000);
    struct store_cell *cell = lend(c, 1, begun, &holders);
    atomic_store(&cell->word[0], -begun); // died when the name was there and the cell not yet open
    assert_null(lend(c, 1, begun + 1, &holders));
    cell = lend(c, 1, long_ago, &holders);
    assert_non_null(cell);
    assert_int_equal(holders, 1);
    atomic_store(&cell->word[0], -begun);
    store_cells_each(c, true, count_each, &(int){0}); // who is alone need not wait
    assert_non_null(lend(c, 1, begun, &holders));
    store_cells_close(c);
}

static _Atomic int held[16];
static _Atomic int wrong;

static void *lend_all(void *arg)
{
    uint64_t x = 88172645463325252u + (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        const uint64_t id = x % 16; // twice as many names as cells
        int64_t holders;
        struct store_cell *cell = lend(table, id + 1, 5, &holders);
        if (!cell) continue;
        atomic_fetch_add(&held[id], 1);
        // Word 2 belongs to the name as long as it is held: a cell given to two names, or a name in two cells, shows here.
        atomic_fetch_add(&cell->word[2], 1);
        if (atomic_load(&cell->id) != id + 1) atomic_fetch_add(&wrong, 1);
        if (atomic_load(&cell->word[2]) > THREADS) atomic_fetch_add(&wrong, 1);
        atomic_fetch_sub(&cell->word[2], 1);
        atomic_fetch_sub(&held[id], 1);
        store_cells_give(cell);
    }
    return NULL;
}

static void test_lend__threads_share_names_and_take_over_cells(void **state)
{
    (void)state;
    const struct store_cells_cfg cfg = cfg_of(64, 8);
    table = opened(&cfg, STORE_CELLS_NEW);
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, lend_all, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(wrong, 0);
    int64_t holders;
    for (uint64_t id = 0; id < 8; id++) {
        struct store_cell *cell = lend(table, id + 1, 5, &holders);
        assert_non_null(cell);
        assert_int_equal(holders, 1); // nothing was left held
        assert_int_equal(atomic_load(&cell->word[2]), 0);
    }
    store_cells_close(table);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_open__new_then_shared_then_left),
        T(test_open__another_layout_waits_for_the_living),
        T(test_open__what_is_no_table_is_made_anew),
        T(test_open__a_killed_process_leaves_the_table),
        T(test_find__bounded_and_never_moved),
        T(test_find__a_half_made_name_is_completed),
        T(test_find__threads_agree_on_one_cell_a_name),
        T(test_lend__held_or_remembering_cells_stay_idle_ones_go),
        T(test_lend__a_claim_of_the_dead_is_taken_over_after_a_while),
        T(test_lend__threads_share_names_and_take_over_cells),
    };
    return cmocka_run_group_tests_name("cells", tests, NULL, NULL);
}
