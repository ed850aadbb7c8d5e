// env and audit: what is reported of an environment, what happens at its bounds (map full, a format of another
// release, no folder), epochs, and readers of dead processes; and an audit in which an entry is changed, taken out,
// put in or cut off at the end, each by LMDB itself, must show where it is broken.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/audit.h"
#include "store/store_priv.h"
#include "tests/lib/store_dir.h"

static struct store *s;

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    s = store_dir_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (s) store_close(s);
    store_dir_remove();
    return 0;
}

static enum rw_err put_large(struct store_txn *t, void *ctx)
{
    static uint8_t bytes[100000];
    return store_put(t, TABLE_USAGE_META, span_str(ctx), span_of(bytes, sizeof bytes), 0);
}

static void test_info__full_maps_are_seen_before_and_told(void **state)
{
    (void)state;
    store_close(s);
    const struct store_cfg cfg = {.data_dir = store_dir_path,
                                  .map_bytes = {UINT64_C(1) << 22, UINT64_C(1) << 22}};
    char why[STORE_WHY_BYTES], name[32];
    assert_int_equal(store_open(&cfg, &s, why), RW_OK);
    struct store_env_info info;
    enum rw_err err = RW_OK;
    bool nearly = false;
    int i = 0;
    for (; !err && i < 100; i++) {
        assert_int_equal(store_info(s, STORE_USAGE, &info), RW_OK);
        assert_true(info.used_bytes <= info.file_bytes && info.file_bytes <= info.map_bytes);
        nearly = nearly || info.nearly_full;
        (void)snprintf(name, sizeof name, "large-%d", i);
        err = store_commit(s, STORE_USAGE, put_large, name);
    }
    assert_int_equal(err, RW_E_FULL);
    assert_true(nearly);
    assert_in_range(i, 30, 45);
    // What is there stays usable, and so does the other environment.
    uint16_t epoch;
    assert_int_equal(store_info(s, STORE_USAGE, &info), RW_OK);
    assert_int_equal(store_epoch_next(s, &epoch), RW_OK);
    assert_int_equal(store_info(s, STORE_ACCOUNTS, &info), RW_OK);
    assert_false(info.nearly_full);
}

static enum rw_err newer(struct store_txn *t, void *ctx)
{
    (void)ctx;
    return store_meta_put(t, TABLE_USAGE_META, "format", STORE_FORMAT + 1);
}

static void test_open__a_newer_format_is_left_alone(void **state)
{
    (void)state;
    const struct store_cfg cfg = {.data_dir = store_dir_path};
    char why[STORE_WHY_BYTES];
    assert_int_equal(store_commit(s, STORE_USAGE, newer, NULL), RW_OK);
    store_close(s);
    assert_int_equal(store_open(&cfg, &s, why), RW_E_VERSION);
    assert_non_null(strstr(why, "usage"));
    s = NULL;
}

static void test_open__says_which_folder_it_cannot_make(void **state)
{
    (void)state;
    char path[512], why[STORE_WHY_BYTES];
    (void)snprintf(path, sizeof path, "%s/no/such", store_dir_path);
    const struct store_cfg cfg = {.data_dir = path};
    struct store *none = NULL;
    assert_int_equal(store_open(&cfg, &none, why), -ENOENT);
    assert_non_null(strstr(why, path));
    assert_null(none);
}

static void test_open__only_the_owner_may_look(void **state)
{
    (void)state;
    static const char *const names[] = {"accounts",          "usage", "journal",         "accounts/data.mdb",
                                        "accounts/lock.mdb", "lock",  "accounts.version"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/%s", store_dir_path, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
}

static void test_lock_file__has_no_holes(void **state)
{
    (void)state;
    char path[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/usage/lock.mdb", store_dir_path);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size >= STORE_READERS_MAX * 64);
    assert_true(st.st_blocks * 512 >= st.st_size);
}

static void test_epoch__is_never_the_same(void **state)
{
    (void)state;
    uint16_t a, b;
    assert_int_equal(store_epoch_next(s, &a), RW_OK);
    store_close(s);
    s = store_dir_open();
    assert_int_equal(store_epoch_next(s, &b), RW_OK);
    assert_int_equal(b, a + 1);
}

static void test_readers__of_the_dead_are_removed(void **state)
{
    (void)state;
    store_close(s);
    int pipes[2];
    char byte;
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct store_reader *r;
        s = store_dir_open();
        if (store_reader_open(s, STORE_USAGE, &r)) _exit(1);
        (void)!write(pipes[1], "x", 1);
        for (;;) (void)pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    s = store_dir_open();
    assert_int_equal(store_readers_check(s), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(store_readers_check(s), 1);
    assert_int_equal(store_readers_check(s), 0);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

// --- The audit.

static enum rw_err add_entries(struct store_txn *t, void *ctx)
{
    (void)ctx;
    for (int i = 1; i <= 10; i++) {
        char text[16];
        const struct store_audit_entry e = {.wall_ms = i,
                                            .action = SPAN("backup"),
                                            .actor = SPAN("uid 0"),
                                            .detail =
                                                span_of(text, (size_t)snprintf(text, sizeof text, "%d", i))};
        RW_TRY(store_audit_add(t, &e));
    }
    return RW_OK;
}

static enum rw_err add_too_long(struct store_txn *t, void *ctx)
{
    static char text[STORE_AUDIT_TEXT_BYTES_MAX + 1];
    struct store_audit_entry e = {.detail = span_of(text, sizeof text - 1)};
    (void)ctx;
    RW_TRY(store_audit_add(t, &e));
    e.actor = SPAN("x");
    return store_audit_add(t, &e);
}

struct tampering {
    enum { CHANGE, REMOVE, CUT, DOUBLE } how;
    uint64_t at;
};

static enum rw_err tamper(struct store_txn *t, void *ctx)
{
    const struct tampering *how = ctx;
    uint8_t number[8], copy[256];
    struct span v;
    store_be64(number, how->at);
    RW_TRY(store_get(t->store, t->txn, TABLE_AUDIT, span_of(number, 8), &v));
    MUST(v.n <= sizeof copy);
    memcpy(copy, v.p, v.n);
    if (how->how == CHANGE) {
        copy[v.n - STORE_HASH_BYTES - 1] ^= 1; // the last character of the detail
        return store_put(t, TABLE_AUDIT, span_of(number, 8), span_of(copy, v.n), 0);
    }
    if (how->how == DOUBLE) {
        store_be64(number, 11);
        return store_put(t, TABLE_AUDIT, span_of(number, 8), span_of(copy, v.n), 0);
    }
    for (uint64_t i = how->at; i <= (how->how == CUT ? 10 : how->at); i++) {
        store_be64(number, i);
        RW_TRY(store_del(t, TABLE_AUDIT, span_of(number, 8)));
    }
    return RW_OK;
}

static bool collect(const struct store_audit_entry *e, void *ctx)
{
    uint64_t *sum = ctx;
    uint64_t detail;
    assert_true(span_u64(e->detail, &detail));
    assert_int_equal(detail, e->sequence);
    assert_int_equal(e->wall_ms, e->sequence);
    *sum = *sum * 100 + e->sequence;
    return true;
}

static void test_tail__newest_first_in_pages(void **state)
{
    (void)state;
    struct store_reader *r;
    uint64_t sum = 0;
    assert_int_equal(store_reader_open(s, STORE_ACCOUNTS, &r), RW_OK);
    assert_int_equal(store_audit_tail(r, 0, 3, collect, &sum), RW_OK);
    assert_int_equal(sum, 0);
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, add_entries, NULL), RW_OK);
    assert_int_equal(store_audit_tail(r, 0, 3, collect, &sum), RW_OK);
    assert_int_equal(sum, 100908);
    sum = 0;
    assert_int_equal(store_audit_tail(r, 8, 3, collect, &sum), RW_OK);
    assert_int_equal(sum, 70605);
    sum = 0;
    assert_int_equal(store_audit_tail(r, 3, 30, collect, &sum), RW_OK);
    assert_int_equal(sum, 201);
    sum = 0;
    assert_int_equal(store_audit_tail(r, 1, 30, collect, &sum), RW_OK);
    assert_int_equal(sum, 0);
    assert_int_equal(store_audit_tail(r, 99, 1, collect, &sum), RW_OK);
    assert_int_equal(sum, 10);
    store_reader_close(r);
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, add_too_long, NULL), RW_E_TOO_LARGE);
}

static void test_verify__shows_where_the_chain_is_broken(void **state)
{
    (void)state;
    static const struct {
        struct tampering how;
        uint64_t broken;
    } cases[] = {
        {{CHANGE, 1}, 1}, {{CHANGE, 5}, 5}, {{CHANGE, 10}, 10}, {{REMOVE, 1}, 1},
        {{REMOVE, 6}, 6}, {{CUT, 10}, 10},  {{DOUBLE, 3}, 11},  {{CUT, 1}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_reader *r;
        struct store_audit_state audit;
        struct tampering how = cases[i].how;
        assert_int_equal(store_commit(s, STORE_ACCOUNTS, add_entries, NULL), RW_OK);
        assert_int_equal(store_reader_open(s, STORE_ACCOUNTS, &r), RW_OK);
        assert_int_equal(store_audit_verify(r, &audit), RW_OK);
        assert_true(audit.broken == 0 && audit.entries == 10);
        assert_int_equal(store_commit(s, STORE_ACCOUNTS, tamper, &how), RW_OK);
        assert_int_equal(store_audit_verify(r, &audit), RW_OK);
        assert_int_equal(audit.broken, cases[i].broken);
        assert_int_equal(audit.entries, cases[i].broken - 1);
        store_reader_close(r);
        store_close(s);
        store_dir_remove();
        store_dir_make();
        s = store_dir_open();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_info__full_maps_are_seen_before_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__a_newer_format_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__says_which_folder_it_cannot_make, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__only_the_owner_may_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock_file__has_no_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epoch__is_never_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers__of_the_dead_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail__newest_first_in_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__shows_where_the_chain_is_broken, setup, teardown),
    };
    return cmocka_run_group_tests_name("store_env", tests, NULL, NULL);
}
