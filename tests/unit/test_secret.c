// secret: keys have the promised form and never repeat; hashes are HMAC-SHA-256 (a value worked out with Python's hmac);
// pepper files of every wrong kind are refused with a reason, and two processes that make one at once get the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/secret.h"
#include "tests/lib/store_dir.h"

static char path[512];
static char why[STORE_WHY_BYTES];

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    (void)snprintf(path, sizeof path, "%s/secret/pepper", store_dir_path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_dir_remove();
    return 0;
}

static void test_key__has_its_form_and_is_new_each_time(void **state)
{
    (void)state;
    char a[STORE_KEY_CHARS], b[STORE_KEY_CHARS], hex[STORE_KEY_HEX_CHARS];
    store_key_make(a);
    store_key_make(b);
    store_key_make_hex(hex);
    assert_memory_equal(a, "rw-", 3);
    assert_memory_equal(hex, "llm-", 4);
    assert_true(memcmp(a, b, sizeof a) != 0);
    uint8_t bytes[32];
    assert_int_equal(crypto_base64url_decode(a + 3, sizeof a - 3, bytes, sizeof bytes), 32);
    for (size_t i = 4; i < sizeof hex; i++) assert_non_null(strchr("0123456789abcdef", hex[i]));
    assert_int_equal(store_key_prefix(span_of(a, sizeof a)).n, 12);
    assert_int_equal(store_key_prefix(SPAN("12345678")).n, 2);
}

static void test_hash__is_hmac_sha_256_under_the_pepper(void **state)
{
    (void)state;
    uint8_t bytes[STORE_PEPPER_BYTES], hash[STORE_HASH_BYTES];
    char hex[2 * STORE_HASH_BYTES];
    struct store_pepper p;
    for (int i = 0; i < STORE_PEPPER_BYTES; i++) bytes[i] = (uint8_t)i;
    store_pepper_of(bytes, &p);
    store_key_hash(&p, SPAN("dev-key-12345"), hash);
    assert_int_equal(crypto_hex_encode(hash, sizeof hash, hex, sizeof hex), sizeof hex);
    assert_memory_equal(hex, "0c10b65abd01f05264f47d592aff191b114b3386450c917c656f57beec46e908", sizeof hex);
    store_pepper_wipe(&p);
    for (size_t i = 0; i < sizeof p; i++) assert_int_equal(((const uint8_t *)&p)[i], 0);
}

static void test_load__makes_one_once_and_reads_it_again(void **state)
{
    (void)state;
    struct store_pepper first, again;
    assert_int_equal(store_pepper_load(path, "/nonexistent", false, &first, why), RW_E_NOT_FOUND);
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &first, why), RW_OK);
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &again, why), RW_OK);
    assert_memory_equal(&first, &again, sizeof first);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(store_pepper_save(path, first.bytes), -EEXIST);
    static const uint8_t zero[STORE_PEPPER_BYTES];
    assert_true(memcmp(first.bytes, zero, sizeof zero) != 0);
}

static void test_load__says_what_is_wrong(void **state)
{
    (void)state;
    struct store_pepper p;
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &p, why), RW_OK);
    assert_int_equal(store_pepper_load(path, store_dir_path, true, &p, why), RW_E_CONFIG);
    assert_non_null(strstr(why, "data_dir"));
    char beside[512];
    (void)snprintf(beside, sizeof beside, "%s/secre", store_dir_path);
    assert_int_equal(mkdir(beside, 0700), 0);
    assert_int_equal(store_pepper_load(path, beside, true, &p, why), RW_OK);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &p, why), RW_E_CONFIG);
    assert_non_null(strstr(why, "chmod"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &p, why), RW_E_CONFIG);
    assert_non_null(strstr(why, "32 bytes"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(store_pepper_load(path, "/nonexistent", true, &p, why), -ELOOP);
}

static void test_load__two_processes_at_once_get_the_same(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child[4];
        for (int i = 0; i < 4; i++) {
            child[i] = fork();
            if (child[i] == 0) {
                struct store_pepper p;
                if (store_pepper_load(path, "/nonexistent", true, &p, why)) _exit(1);
                _exit(write(pipes[1], p.bytes, sizeof p.bytes) == sizeof p.bytes ? 0 : 1);
            }
        }
        uint8_t first[STORE_PEPPER_BYTES], other[STORE_PEPPER_BYTES];
        for (int i = 0; i < 4; i++) {
            int status;
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_int_equal(status, 0);
            assert_int_equal(read(pipes[0], i ? other : first, sizeof first), sizeof first);
            if (i) assert_memory_equal(first, other, sizeof first);
        }
        (void)close(pipes[0]);
        (void)close(pipes[1]);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_bind__another_pepper_is_refused(void **state)
{
    (void)state;
    struct store_pepper a, b;
    uint8_t bytes[STORE_PEPPER_BYTES] = {1};
    store_pepper_of(bytes, &a);
    bytes[31] = 1;
    store_pepper_of(bytes, &b);
    struct store *s = store_dir_open();
    assert_int_equal(store_pepper_bind(s, &a), RW_OK);
    const uint64_t version = store_accounts_version(s);
    assert_int_equal(store_pepper_bind(s, &a), RW_OK);
    assert_int_equal(store_pepper_bind(s, &b), RW_E_CONFIG);
    assert_int_equal(store_accounts_version(s), version);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key__has_its_form_and_is_new_each_time),
        cmocka_unit_test(test_hash__is_hmac_sha_256_under_the_pepper),
        cmocka_unit_test_setup_teardown(test_load__makes_one_once_and_reads_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load__says_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load__two_processes_at_once_get_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bind__another_pepper_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
