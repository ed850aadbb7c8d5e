// cache (store): what was kept is found again, also by the next process; what is forgotten is gone; and whatever is done to the
// files, by a power cut or by somebody, costs answers and never gives a wrong one. Method: a folder of a test's own, its files
// cut, overwritten byte by byte and exchanged between opens and under an open cache; a hash of no bits, so that all keys collide;
// and a cache smaller than what is put into it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "store/cache.h"
#include "store/crc.h"
#include "tests/lib/store_dir.h"

#define BYTES_MAX MIB(4)
#define NOW 1000000
#define LATER (NOW + 1000)

static struct store_answers *c;
static struct store_cache_cfg cfg;
static uint32_t kept, not_kept;
static uint8_t buf[MIB(1)];

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    cfg = (struct store_cache_cfg){.dir = store_dir_path, .bytes_max = BYTES_MAX};
    assert_int_equal(store_cache_open(&cfg, &c), RW_OK);
    kept = not_kept = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_cache_close(c);
    c = NULL;
    store_dir_remove();
    return 0;
}

static void reopen(void)
{
    store_cache_close(c);
    assert_int_equal(store_cache_open(&cfg, &c), RW_OK);
}

static void done(struct store_cache_put *p, bool ok)
{
    (void)p;
    if (ok) kept++;
    else not_kept++;
}

static void put_until(const char *key, const void *body, uint32_t n, int64_t expires_ms)
{
    const struct iovec iov[2] = {{(void *)(uintptr_t)body, n / 2},
                                 {(uint8_t *)(uintptr_t)body + n / 2, n - n / 2}};
    struct store_cache_put p = {.key = span_str(key),
                                .hash = store_cache_hash(c, span_str(key)),
                                .meta = SPAN("meta"),
                                .body = iov,
                                .body_n = 2,
                                .made_ms = NOW,
                                .expires_ms = expires_ms,
                                .done = done};
    store_cache_post(c, &p);
    assert_true(store_cache_step(c, NOW));
}

static void put(const char *key, const char *body)
{
    put_until(key, body, (uint32_t)strlen(body), LATER);
}

static bool get_at(const char *key, int64_t now_ms, struct store_cache_entry *ret)
{
    struct store_cache_place place;
    const uint64_t hash = store_cache_hash(c, span_str(key));
    if (!store_cache_find(c, hash, &place)) return false;
    assert_true(place.bytes <= sizeof buf);
    return store_cache_read(c, &place, hash, span_str(key), now_ms, buf, ret);
}

static bool holds(const char *key, const char *body)
{
    struct store_cache_entry e;
    if (!get_at(key, NOW, &e)) return false;
    assert_true(span_eq(e.meta, SPAN("meta")));
    assert_true(span_eq(e.body, span_str(body)));
    assert_int_equal(e.made_ms, NOW);
    return true;
}

static struct store_cache_stats stats(void)
{
    struct store_cache_stats st;
    store_cache_stats(c, &st);
    return st;
}

static void test_read__what_was_put(void **state)
{
    (void)state;
    assert_false(holds("a", "answer"));
    put("a", "answer");
    put("b", "");
    assert_true(holds("a", "answer"));
    assert_true(holds("b", ""));
    assert_false(holds("c", "answer"));
    put("a", "another");
    assert_true(holds("a", "another"));
    assert_int_equal(kept, 3);
    assert_int_equal(stats().entries, 2);
    assert_int_equal(stats().written, 3);
}

static void test_read__not_beyond_its_time(void **state)
{
    struct store_cache_entry e;
    (void)state;
    put("a", "answer");
    assert_true(get_at("a", LATER - 1, &e));
    assert_false(get_at("a", LATER, &e));
}

static void test_open__what_the_last_process_kept(void **state)
{
    (void)state;
    put("a", "answer");
    put("b", "second");
    put("a", "third");
    reopen();
    assert_true(holds("a", "third"));
    assert_true(holds("b", "second"));
    put("c", "fourth");
    reopen();
    assert_true(holds("a", "third"));
    assert_true(holds("c", "fourth"));
    assert_int_equal(stats().entries, 3);
}

static void test_read__keys_that_collide_are_told_apart(void **state)
{
    (void)state;
    store_cache_close(c);
    cfg.hash_bits = 1;
    assert_int_equal(store_cache_open(&cfg, &c), RW_OK);
    char key[16], body[16];
    uint32_t found = 0;
    for (int i = 0; i < 64; i++) {
        (void)snprintf(key, sizeof key, "key %d", i);
        (void)snprintf(body, sizeof body, "body %d", i);
        put(key, body);
        // holds() fails the test for a wrong body.
        for (int k = 0; k <= i; k++) {
            (void)snprintf(key, sizeof key, "key %d", k);
            (void)snprintf(body, sizeof body, "body %d", k);
            found += holds(key, body);
        }
    }
    // Of two hashes each remembers the last.
    assert_true(found >= 64 && found <= 128);
}

static void test_put__the_oldest_make_room(void **state)
{
    (void)state;
    static uint8_t body[KIB(40)];
    char key[16];
    struct store_cache_entry e;
    memset(body, 7, sizeof body);
    for (int i = 0; i < 400; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put_until(key, body, sizeof body, LATER);
        assert_true(get_at(key, NOW, &e));
        assert_true(stats().bytes <= BYTES_MAX);
    }
    assert_false(get_at("0", NOW, &e));
    assert_true(get_at("380", NOW, &e));
    assert_true(stats().evicted >= 300 && stats().entries <= 100);
    assert_int_equal(stats().entries + stats().evicted, 400);
    const uint64_t entries = stats().entries;
    reopen();
    assert_int_equal(stats().entries, entries);
    assert_true(get_at("399", NOW, &e));
    uint64_t bytes = 0;
    for (int i = 0; i < 32; i++) {
        char path[300];
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/%02d", store_dir_path, i);
        assert_int_equal(stat(path, &st), 0);
        bytes += (uint64_t)st.st_size;
    }
    assert_true(bytes <= BYTES_MAX && bytes == stats().bytes);
}

static void test_put__too_long_a_record_is_not_kept(void **state)
{
    (void)state;
    static uint8_t body[BYTES_MAX / 32];
    put("a", "answer");
    put_until("b", body, sizeof body, LATER);
    assert_int_equal(not_kept, 1);
    assert_int_equal(stats().failed, 1);
    put("c", "behind it");
    assert_true(holds("a", "answer"));
    assert_true(holds("c", "behind it"));
}

static void test_purge__nothing_is_left(void **state)
{
    (void)state;
    put("a", "answer");
    store_cache_purge(c);
    assert_true(store_cache_step(c, NOW));
    assert_false(holds("a", "answer"));
    assert_int_equal(stats().entries, 0);
    assert_int_equal(stats().purged, 1);
    put("b", "after");
    assert_true(holds("b", "after"));
    reopen();
    assert_false(holds("a", "answer"));
    assert_true(holds("b", "after"));
}

// --- What somebody does to the files.

static int file_open(int i)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%02d", store_dir_path, i);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static void test_read__every_byte_that_changes_is_a_miss(void **state)
{
    (void)state;
    off_t size = 1;
    char path[300];
    (void)snprintf(path, sizeof path, "%s/00", store_dir_path);
    for (off_t at = 0; at < size; at++) {
        store_cache_close(c);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(store_cache_open(&cfg, &c), RW_OK);
        put("first", "answer one");
        put("second", "answer two");
        const int fd = file_open(0);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        size = st.st_size;
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x41;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
        // holds() fails for a wrong body. One record is whole, wherever the byte was; padding is nobody's.
        assert_true(holds("first", "answer one") + holds("second", "answer two") >= 1);
        reopen();
        const bool first = holds("first", "answer one"), second = holds("second", "answer two");
        assert_true(first || at < size / 2 + 64);
        assert_true(!first || !second || at >= 64);
    }
    assert_true(size > 300);
}

static void test_read__files_cut_anywhere(void **state)
{
    (void)state;
    for (off_t at = 0; at < 400; at += 7) {
        store_cache_purge(c);
        (void)store_cache_step(c, NOW);
        put("first", "answer one");
        put("second", "answer two");
        for (int i = 0; i < 32; i++) {
            const int fd = file_open(i);
            struct stat st;
            assert_int_equal(fstat(fd, &st), 0);
            if (st.st_size > at) assert_int_equal(ftruncate(fd, at), 0);
            (void)close(fd);
        }
        // Under the open cache, and after it.
        (void)holds("first", "answer one");
        (void)holds("second", "answer two");
        reopen();
        (void)holds("first", "answer one");
        put("third", "goes on");
        assert_true(holds("third", "goes on"));
        reopen();
        assert_true(holds("third", "goes on"));
    }
}

static void test_open__a_folder_full_of_anything(void **state)
{
    (void)state;
    put("a", "answer");
    store_cache_close(c);
    for (int i = 0; i < 32; i++) {
        const int fd = file_open(i);
        for (int k = 0; k < 1000; k++) {
            const int word = rand();
            assert_int_equal(write(fd, &word, sizeof word), sizeof word);
        }
        (void)close(fd);
    }
    char path[300];
    (void)snprintf(path, sizeof path, "%s/secret", store_dir_path);
    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(store_cache_open(&cfg, &c), RW_OK);
    assert_int_equal(stats().entries, 0);
    assert_false(holds("a", "answer"));
    put("a", "answer");
    assert_true(holds("a", "answer"));
}

static void test_open__a_second_process_only_reads(void **state)
{
    (void)state;
    put("a", "answer");
    struct store_answers *first = c, *second;
    assert_int_equal(store_cache_open(&cfg, &second), RW_OK);
    c = second;
    assert_false(stats().writes);
    assert_true(holds("a", "answer"));
    put("b", "refused");
    assert_int_equal(not_kept, 1);
    // Until the first has gone.
    c = first;
    put("c", "late");
    store_cache_close(c);
    c = second;
    (void)store_cache_step(c, NOW + 5000);
    assert_true(stats().writes);
    assert_true(holds("a", "answer"));
    assert_true(holds("c", "late"));
    put("d", "its own");
    assert_true(holds("d", "its own"));
}

static void test_crc32c_more__pieces_are_as_the_whole(void **state)
{
    (void)state;
    const char text[] = "123456789, and what comes behind it";
    for (size_t n = 0; n < sizeof text; n++)
        assert_int_equal(store_crc32c_more(store_crc32c_more(0, text, n), text + n, sizeof text - n),
                         store_crc32c(text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read__what_was_put, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__not_beyond_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__what_the_last_process_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__keys_that_collide_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put__the_oldest_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put__too_long_a_record_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_purge__nothing_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__every_byte_that_changes_is_a_miss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read__files_cut_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__a_folder_full_of_anything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open__a_second_process_only_reads, setup, teardown),
        cmocka_unit_test(test_crc32c_more__pieces_are_as_the_whole),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
