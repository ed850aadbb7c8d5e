// backup: what comes back is what was there, key by hash, sums and audit included, also when commits go on during
// the copy; an archive with any byte changed or missing is refused and leaves nothing; a store in use is not
// touched; the pepper is in the archive only when asked for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "store/audit.h"
#include "store/backup.h"
#include "store/usage.h"
#include "store/writer.h"
#include "tests/lib/store_dir.h"

#define T0 INT64_C(1700000000000)

static struct store *s;
static struct store_journal *journal;
static struct store_writer *writer;
static struct store_pepper pepper;
static uint8_t hash[STORE_HASH_BYTES];
static uint64_t sequence;
static char archive[512], other_dir[512], why[STORE_WHY_BYTES];

static enum rw_err populate(struct store_txn *t, void *ctx)
{
    (void)ctx;
    uint32_t tenant, team, id;
    const struct store_act act = {.wall_ms = T0, .actor = SPAN("test")};
    struct store_account a = {.kind = STORE_TENANT, .name = SPAN("acme")};
    RW_TRY(store_account_create(t, &a, NULL, &act, &tenant));
    a = (struct store_account){.kind = STORE_TEAM, .parent = tenant, .name = SPAN("research")};
    RW_TRY(store_account_create(t, &a, NULL, &act, &team));
    a = (struct store_account){.kind = STORE_KEY, .parent = team, .name = SPAN("ci")};
    return store_account_create(t, &a, hash, &act, &id);
}

static void use(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct store_begin b = {.tenant = 1, .team = 1, .key = 1, .texts.model = SPAN("gpt-4o-mini")};
        const struct store_record r = {.status = 200, .cost_nanos = 7, .end = SPAN("ok")};
        store_id_make((uint64_t)T0, 1, 0, ++sequence, b.id);
        const uint32_t slot = store_journal_begin(journal, &b);
        assert_true(slot != STORE_SLOT_NONE);
        store_journal_final(journal, slot, &r);
        (void)store_journal_done(journal, slot);
    }
    (void)store_writer_step(writer, T0);
}

static int setup(void **state)
{
    (void)state;
    uint8_t bytes[STORE_PEPPER_BYTES];
    for (int i = 0; i < STORE_PEPPER_BYTES; i++) bytes[i] = (uint8_t)(0xa0 + i);
    store_pepper_of(bytes, &pepper);
    store_key_hash(&pepper, SPAN("rw-test"), hash);
    store_dir_make();
    (void)snprintf(archive, sizeof archive, "%s/archive", store_dir_path);
    (void)snprintf(other_dir, sizeof other_dir, "%s/other", store_dir_path);
    s = store_dir_open();
    const struct store_writer_cfg cfg = {.store = s};
    assert_int_equal(store_journal_open(s, 1, 0, 1024, &journal), RW_OK);
    assert_int_equal(store_writer_open(&cfg, &writer), RW_OK);
    store_writer_add(writer, journal);
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, populate, NULL), RW_OK);
    use(500);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(store_writer_stop(writer, T0), RW_OK);
    store_journal_close(journal);
    store_close(s);
    store_dir_remove();
    return 0;
}

static void make_archive(const struct store_pepper *with)
{
    const int fd = open(archive, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(store_backup(s, with, fd), RW_OK);
    (void)close(fd);
}

static enum rw_err restore_into(const char *dir, bool replace, struct store_restored *ret)
{
    const int fd = open(archive, O_RDONLY);
    assert_true(fd >= 0);
    const enum rw_err err = store_restore(dir, fd, replace, ret, why);
    (void)close(fd);
    assert_int_equal(err == RW_OK, why[0] == 0);
    return err;
}

struct counted {
    struct store_sums raw, sums;
};

static bool add_raw(const struct store_record *r, void *ctx)
{
    struct store_sums one;
    store_sums_of(r, &one);
    store_sums_add(&((struct counted *)ctx)->raw, &one);
    return true;
}

static bool add_sums(const struct store_usage_row *row, void *ctx)
{
    store_sums_add(&((struct counted *)ctx)->sums, &row->sums);
    return true;
}

// The store in a folder must hold the key, a whole audit, and as many records as its sums say. Returns these.
static uint64_t check_store(const char *dir)
{
    const struct store_cfg cfg = {.data_dir = dir, .map_bytes = {UINT64_C(1) << 30, UINT64_C(4) << 30}};
    struct store *restored;
    struct store_reader *reader;
    static uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
    struct store_buf buf = {.p = bytes, .cap = sizeof bytes};
    struct store_account a;
    struct store_audit_state audit;
    struct counted c = {0};
    assert_int_equal(store_open(&cfg, &restored, why), RW_OK);
    assert_int_equal(store_reader_open(restored, STORE_ACCOUNTS, &reader), RW_OK);
    assert_int_equal(store_key_find(reader, hash, T0, &buf, &a), RW_OK);
    assert_int_equal(a.parent, 1);
    assert_int_equal(store_audit_verify(reader, &audit), RW_OK);
    assert_true(audit.entries == 3 && audit.broken == 0);
    store_reader_close(reader);
    const struct store_raw_query all = {.to_ms = 2 * T0};
    const struct store_usage_query sum = {.last_day = UINT32_MAX - 1};
    assert_int_equal(store_reader_open(restored, STORE_USAGE, &reader), RW_OK);
    assert_int_equal(store_usage_raw(reader, &all, add_raw, &c), RW_OK);
    assert_int_equal(store_usage_sum(reader, &sum, add_sums, &c), RW_OK);
    store_reader_close(reader);
    assert_memory_equal(&c.raw, &c.sums, sizeof c.raw);
    store_close(restored);
    return c.raw.requests;
}

static void test_restore__gives_back_what_was_there(void **state)
{
    (void)state;
    struct store_restored r;
    make_archive(&pepper);
    assert_int_equal(restore_into(other_dir, false, &r), RW_OK);
    assert_true(r.has_pepper);
    assert_memory_equal(r.pepper, pepper.bytes, STORE_PEPPER_BYTES);
    assert_int_equal(check_store(other_dir), 500);

    // Again only over what is there if that is wanted, and then it is kept.
    assert_int_equal(restore_into(other_dir, false, &r), -EEXIST);
    assert_int_equal(restore_into(other_dir, true, &r), RW_OK);
    assert_int_equal(restore_into(other_dir, true, &r), RW_OK);
    assert_int_equal(check_store(other_dir), 500);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/usage.before-2/data.mdb", other_dir);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_restore__not_below_a_living_process(void **state)
{
    (void)state;
    struct store_restored r;
    make_archive(NULL);
    assert_int_equal(restore_into(store_dir_path, true, &r), -EAGAIN);
    use(1);
}

static uint8_t *load(size_t *ret_n)
{
    struct stat st;
    const int fd = open(archive, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t *p = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    (void)close(fd);
    *ret_n = (size_t)st.st_size;
    return p;
}

static void save(const uint8_t *p, size_t n)
{
    const int fd = open(archive, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, p, n), n);
    (void)close(fd);
}

static bool holds(const uint8_t *p, size_t n, const uint8_t *what, size_t m)
{
    return memmem(p, n, what, m) != NULL;
}

static void test_backup__the_pepper_is_there_only_if_asked_for(void **state)
{
    (void)state;
    struct store_restored r;
    size_t n;
    make_archive(&pepper);
    uint8_t *p = load(&n);
    assert_true(holds(p, n, pepper.bytes, STORE_PEPPER_BYTES));
    free(p);
    make_archive(NULL);
    p = load(&n);
    assert_false(holds(p, n, pepper.bytes, STORE_PEPPER_BYTES));
    assert_true(holds(p, n, hash, sizeof hash));
    free(p);
    assert_int_equal(restore_into(other_dir, false, &r), RW_OK);
    assert_false(r.has_pepper);
}

static void test_restore__a_damaged_archive_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    struct store_restored r;
    size_t n;
    make_archive(&pepper);
    uint8_t *p = load(&n);
    for (size_t at = 0; at < n; at += at < 40 || at > n - 90 ? 1 : n / 40) {
        p[at] ^= 0x10;
        save(p, n);
        p[at] ^= 0x10;
        const enum rw_err err = restore_into(other_dir, false, &r);
        assert_true(err == RW_E_BAD || (err == RW_E_VERSION && at >= 8 && at < 12));
        save(p, at);
        assert_int_equal(restore_into(other_dir, false, &r), RW_E_BAD);
    }
    free(p);
    // Only its lock is there.
    char path[600];
    (void)snprintf(path, sizeof path, "%s/lock", other_dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(other_dir), 0);
}

static void test_backup__a_full_disk_is_told(void **state)
{
    (void)state;
    const int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(store_backup(s, NULL, fd), -ENOSPC);
    (void)close(fd);
    use(1);
}

static _Atomic bool copying;

static void *copy_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) make_archive(NULL);
    atomic_store(&copying, false);
    return NULL;
}

static void test_backup__while_commits_go_on(void **state)
{
    (void)state;
    struct store_restored r;
    pthread_t thread;
    uint64_t sent = 500;
    atomic_store(&copying, true);
    assert_int_equal(pthread_create(&thread, NULL, copy_often, NULL), 0);
    while (atomic_load(&copying)) {
        use(50);
        sent += 50;
    }
    pthread_join(thread, NULL);
    assert_int_equal(restore_into(other_dir, false, &r), RW_OK);
    assert_in_range(check_store(other_dir), 500, sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restore__gives_back_what_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restore__not_below_a_living_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup__the_pepper_is_there_only_if_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restore__a_damaged_archive_is_refused_and_leaves_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_backup__a_full_disk_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup__while_commits_go_on, setup, teardown),
    };
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
