// journal: slots go their whole life and come back; journals left behind are adopted with every byte of a slot
// damaged in turn; a full disk (a file size limit, and a small tmpfs where one can be mounted) stops the ledger
// and nothing else, and it catches up when there is room.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/crc.h"
#include "store/journal_priv.h"
#include "store/usage.h"
#include "store/writer.h"
#include "tests/lib/store_dir.h"

#define T0 INT64_C(1700000000000)
#define SLOTS 512

static struct store *s;
static struct store_writer *writer;
static struct store_journal *journal;
static uint64_t sequence;
static struct {
    uint32_t calls;
    uint32_t held[STORE_HELD_MAX]; // of the last call that held something
} seen;

static void see(uint32_t *held, void *ctx)
{
    (void)ctx;
    seen.calls++;
    if (held[0]) memcpy(seen.held, held, sizeof seen.held);
    memset(held, 0, sizeof seen.held);
}

// What was said last of a commit.
static enum rw_err told_last;

static void note_commit(uint8_t worker, enum rw_err err, void *ctx)
{
    (void)worker;
    (void)ctx;
    told_last = err;
}

static void open_all(bool with_journal)
{
    const struct store_writer_cfg cfg = {.give_back = see, .committed = note_commit};
    struct store_writer_cfg own = cfg;
    s = store_dir_open();
    own.store = s;
    assert_int_equal(store_writer_open(&own, &writer), RW_OK);
    journal = NULL;
    if (!with_journal) return;
    assert_int_equal(store_journal_open(s, 1, 0, SLOTS, &journal), RW_OK);
    store_writer_add(writer, journal);
}

static void close_all(void)
{
    (void)!store_writer_stop(writer, T0);
    if (journal) store_journal_close(journal);
    store_close(s);
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    store_dir_make();
    open_all(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_all();
    store_dir_remove();
    return 0;
}

static struct store_begin begin_of(const struct store_texts *texts)
{
    struct store_begin b = {.tenant = 1, .team = 2, .key = 3, .estimate_tokens = 40, .estimate_nanos = 5000};
    if (texts) b.texts = *texts;
    store_id_make((uint64_t)T0, 1, 0, ++sequence, b.id);
    return b;
}

static uint32_t begin(const struct store_texts *texts)
{
    const struct store_begin b = begin_of(texts);
    return store_journal_begin(journal, &b);
}

static void finish(uint32_t slot)
{
    const struct store_record r = {.status = 200, .cost_nanos = 7, .end = SPAN("ok")};
    store_journal_final(journal, slot, &r);
    (void)store_journal_done(journal, slot);
}

static struct store_texts long_texts(char fill)
{
    static char text[STORE_TEXT_BYTES_MAX];
    memset(text, fill, sizeof text);
    const struct span t = span_of(text, sizeof text);
    struct store_texts texts = {.model = t, .provider = t, .upstream_model = t, .user = t, .client_id = t};
    for (; texts.tags_count < STORE_TAGS_MAX; texts.tags_count++) texts.tags[texts.tags_count] = t;
    return texts;
}

struct found {
    uint32_t records, crashed;
    int64_t cost_nanos;
    uint32_t tokens; // of the last one, of no known class
    uint32_t texts; // bytes of the last one's
    uint8_t first; // of its model
    uint32_t flags;
};

static bool find_one(const struct store_record *r, void *ctx)
{
    struct found *f = ctx;
    f->records++;
    f->crashed += (r->flags & STORE_CRASHED) != 0;
    f->cost_nanos += r->cost_nanos;
    if (r->flags & STORE_CRASHED) f->tokens = r->tokens[STORE_TOKENS_OTHER];
    f->texts = store_texts_bytes(&r->texts);
    f->first = r->texts.model.n ? r->texts.model.p[0] : 0;
    f->flags = r->flags;
    return true;
}

static struct found find(void)
{
    struct found f = {0};
    struct store_reader *reader;
    const struct store_raw_query all = {.to_ms = T0 * 2};
    assert_int_equal(store_reader_open(s, STORE_USAGE, &reader), RW_OK);
    assert_int_equal(store_usage_raw(reader, &all, find_one, &f), RW_OK);
    store_reader_close(reader);
    return f;
}

static void test_crc__known_values_and_both_ways_alike(void **state)
{
    (void)state;
    assert_int_equal(store_crc32c("123456789", 9), 0xe3069283);
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_int_equal(store_crc32c(bytes, n), store_crc32c_portable(bytes, n));
}

static void test_slots__all_come_back_whatever_their_texts(void **state)
{
    (void)state;
    const struct store_texts longest = long_texts('a'), other = long_texts('b');
    const struct store_texts plain = {.model = SPAN("gpt-4o-mini"), .provider = SPAN("openai")};
    for (int round = 0; round < 3; round++) {
        assert_int_equal(store_journal_room(journal), SLOTS);
        const uint32_t a = begin(&longest), b = begin(&plain), c = begin(NULL), d = begin(&longest);
        assert_int_equal(store_journal_room(journal), SLOTS - 4 - 2 * 7);
        assert_true(store_journal_retarget(journal, a, &other));
        assert_true(store_journal_retarget(journal, b, &other));
        assert_true(store_journal_retarget(journal, b, &plain));
        store_journal_raise(journal, b, 90, 9000);
        finish(a);
        finish(c);
        store_journal_cancel(journal, d);
        assert_false(store_writer_step(writer, T0));
        finish(b);
        assert_false(store_writer_step(writer, T0));
        assert_int_equal(store_journal_committed(journal), 3 * (round + 1));
    }
    assert_int_equal(store_journal_room(journal), SLOTS);
    const struct found f = find();
    assert_int_equal(f.records, 9);
    assert_int_equal(f.crashed, 0);
    assert_int_equal(f.cost_nanos, 63);
}

static void test_retarget__the_last_texts_are_the_records(void **state)
{
    (void)state;
    const struct store_texts longest = long_texts('a'), other = long_texts('b');
    const uint32_t slot = begin(&longest);
    assert_true(store_journal_retarget(journal, slot, &other));
    finish(slot);
    assert_false(store_writer_step(writer, T0));
    const struct found f = find();
    assert_int_equal(f.first, 'b');
    assert_int_equal(f.texts, store_texts_bytes(&other));
}

static void test_begin__a_full_journal_says_so_and_goes_on(void **state)
{
    (void)state;
    const struct store_texts longest = long_texts('a');
    uint32_t slots[SLOTS];
    for (uint32_t i = 0; i < SLOTS - 1; i++) {
        slots[i] = begin(NULL);
        assert_true(slots[i] != STORE_SLOT_NONE);
    }
    assert_int_equal(begin(&longest), STORE_SLOT_NONE);
    assert_false(store_journal_retarget(journal, slots[0], &longest));
    slots[SLOTS - 1] = begin(NULL);
    assert_int_equal(begin(NULL), STORE_SLOT_NONE);
    for (uint32_t i = 0; i < SLOTS; i++) finish(slots[i]);
    assert_int_equal(begin(NULL), STORE_SLOT_NONE);
    assert_false(store_writer_step(writer, T0));
    assert_true(begin(NULL) != STORE_SLOT_NONE);
    assert_int_equal(find().records, SLOTS);
}

// Leaves the journal as a process that died would: its file stays, its lock is dropped.
static void die(void)
{
    close_all();
    open_all(false);
}

static bool files_left(void)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/journal", store_dir_path);
    // Only an empty folder can be removed.
    return rmdir(path) != 0 || mkdir(path, 0700) != 0;
}

static void test_adopt__open_slots_are_charged_and_given_back(void **state)
{
    (void)state;
    const struct store_texts other = long_texts('b');
    const uint32_t a = begin(NULL), b = begin(NULL), c = begin(NULL);
    for (uint32_t i = 0; i < STORE_HELD_MAX; i++) store_journal_held(journal, a)[i] = 100 + i;
    store_journal_raise(journal, a, 60, 6000);
    assert_true(store_journal_retarget(journal, a, &other));
    const struct store_record done = {.status = 200, .cost_nanos = 7, .end = SPAN("ok")};
    store_journal_final(journal, b, &done); // and killed before done()
    store_journal_cancel(journal, c);
    die();
    assert_false(store_writer_step(writer, T0));
    const struct found f = find();
    assert_int_equal(f.records, 2);
    assert_int_equal(f.crashed, 1);
    assert_int_equal(f.cost_nanos, 6007);
    assert_int_equal(f.tokens, 60);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.held[0], 100);
    assert_int_equal(seen.held[STORE_HELD_MAX - 1], 100 + STORE_HELD_MAX - 1);
    assert_false(files_left());
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.adopted, 1);
    assert_int_equal(st.crashed, 1);
    assert_int_equal(st.records, 2);
}

static void test_adopt__who_asked_nobody_leaves_no_record(void **state)
{
    (void)state;
    const struct store_texts texts = long_texts('b');
    const struct store_record done = {.status = 429, .end = SPAN("rate_limited")};
    struct store_begin early = begin_of(NULL);
    early.unasked = true;
    const uint32_t a = store_journal_begin(journal, &early);
    store_id_make((uint64_t)T0, 1, 0, ++sequence, early.id);
    const uint32_t b = store_journal_begin(journal, &early);
    store_id_make((uint64_t)T0, 1, 0, ++sequence, early.id);
    const uint32_t c = store_journal_begin(journal, &early);
    store_journal_held(journal, a)[0] = 7;
    assert_true(store_journal_retarget(journal, b, &texts));
    store_journal_final(journal, c, &done);
    die();
    assert_false(store_writer_step(writer, T0));
    const struct found f = find();
    assert_int_equal(f.records, 2); // b, and c without texts
    assert_int_equal(f.crashed, 1);
    assert_int_equal(seen.calls, 3);
    assert_int_equal(seen.held[0], 7);
}

static void test_adopt__not_what_lives(void **state)
{
    (void)state;
    (void)begin(NULL);
    for (int i = 0; i < 3; i++) assert_false(store_writer_step(writer, T0 + i * 2000));
    assert_int_equal(find().records, 0);
}

static void test_adopt__twice_counts_once(void **state)
{
    (void)state;
    // The file of a journal that was committed and not freed is what it was before: so take a copy of it.
    char from[512], to[512], command[1200];
    for (int i = 0; i < 300; i++) (void)begin(NULL);
    (void)snprintf(from, sizeof from, "%s/journal/0001-00-0.journal", store_dir_path);
    (void)snprintf(to, sizeof to, "%s/journal/0001-00-1.journal", store_dir_path);
    (void)snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
    die();
    while (store_writer_step(writer, T0)) {}
    (void)store_writer_step(writer, T0 + 2000);
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.adopted, 2);
    assert_int_equal(st.records, 300);
    assert_int_equal(st.repeated, 300);
    struct store_reader *reader;
    struct found f = find();
    assert_int_equal(f.records, 300);
    assert_int_equal(store_reader_open(s, STORE_USAGE, &reader), RW_OK);
    store_reader_close(reader);
}

// The journal's file of a dead process, mapped.
static uint8_t *file_map(size_t *ret_bytes)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/journal/0001-00-0.journal", store_dir_path);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    *ret_bytes = JOURNAL_HEAD_BYTES + (size_t)SLOTS * JOURNAL_SLOT_BYTES;
    uint8_t *p = mmap(NULL, *ret_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    (void)close(fd);
    return p;
}

static void test_adopt__each_damaged_byte_of_a_slot_is_seen(void **state)
{
    (void)state;
    const struct store_texts plain = {.model = SPAN("gpt-4o-mini"), .provider = SPAN("openai")};
    uint32_t slots[JOURNAL_SLOT_BYTES];
    size_t bytes;
    for (uint32_t i = 0; i < JOURNAL_SLOT_BYTES; i++) {
        slots[i] = begin(&plain);
        const struct store_record r = {.status = 200, .cost_nanos = 7, .end = SPAN("ok")};
        store_journal_final(journal, slots[i], &r);
    }
    close_all();
    uint8_t *file = file_map(&bytes);
    for (uint32_t i = 0; i < JOURNAL_SLOT_BYTES; i++)
        file[JOURNAL_HEAD_BYTES + slots[i] * JOURNAL_SLOT_BYTES + i] ^= 0x41;
    (void)munmap(file, bytes);
    open_all(false);
    assert_false(store_writer_step(writer, T0));
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    // Whole are those with a change in what is held (36 bytes), in the estimate (12: not read of a finished one), or behind
    // the texts.
    const uint32_t unread = 36 + 12 + SLOT_TEXT_BYTES - store_texts_bytes(&plain);
    assert_int_equal(st.records, unread);
    assert_int_equal(st.damaged, JOURNAL_SLOT_BYTES - unread);
    assert_int_equal(find().cost_nanos, unread * 7);
    assert_false(files_left());
}

static void test_adopt__a_damaged_text_is_seen_and_no_loop_is_followed(void **state)
{
    (void)state;
    const struct store_texts longest = long_texts('a');
    size_t bytes;
    const uint32_t a = begin(&longest), b = begin(&longest);
    close_all();
    uint8_t *file = file_map(&bytes);
    struct journal_slot *slot = (struct journal_slot *)(void *)(file + JOURNAL_HEAD_BYTES);
    struct journal_text *t = (struct journal_text *)(void *)&slot[slot[a].open.text_next];
    t->bytes[17] ^= 1;
    t = (struct journal_text *)(void *)&slot[slot[b].open.text_next];
    t->next = slot[b].open.text_next;
    t->crc = store_slot_text_crc(t);
    (void)munmap(file, bytes);
    open_all(false);
    assert_false(store_writer_step(writer, T0));
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.damaged, 2);
    assert_int_equal(st.records, 0);
}

static void test_adopt__of_an_earlier_boot_holds_nothing(void **state)
{
    (void)state;
    size_t bytes;
    const uint32_t a = begin(NULL);
    store_journal_held(journal, a)[0] = 1;
    close_all();
    uint8_t *file = file_map(&bytes);
    struct journal_head *head = (struct journal_head *)(void *)file;
    head->boot[0] ^= 1;
    head->crc = store_crc32c(head, offsetof(struct journal_head, crc));
    (void)munmap(file, bytes);
    open_all(false);
    assert_false(store_writer_step(writer, T0));
    assert_int_equal(seen.calls, 0);
    const struct found f = find();
    assert_int_equal(f.crashed, 1);
    assert_true(f.flags & STORE_EARLIER_BOOT);
}

static void test_adopt__what_is_no_journal_is_set_aside(void **state)
{
    (void)state;
    size_t bytes;
    char path[512];
    (void)begin(NULL);
    close_all();
    uint8_t *file = file_map(&bytes);
    file[9] ^= 1;
    (void)munmap(file, bytes);
    open_all(false);
    assert_false(store_writer_step(writer, T0));
    assert_false(store_writer_step(writer, T0 + 5000));
    struct store_writer_stats st;
    store_writer_stats(writer, &st);
    assert_int_equal(st.damaged, 1);
    (void)snprintf(path, sizeof path, "%s/journal/0001-00-0.journal.bad", store_dir_path);
    assert_int_equal(unlink(path), 0);
    // An unfinished one of a dead process goes, too.
    (void)snprintf(path, sizeof path, "%s/journal/0001-00-7.making", store_dir_path);
    const int fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_false(store_writer_step(writer, T0 + 10000));
    assert_false(files_left());
}

static void note_done(struct store_job *job, enum rw_err err)
{
    *(enum rw_err *)job->ctx = err;
}

static enum rw_err no_work(struct store_txn *t, void *ctx)
{
    (void)t;
    (void)ctx;
    return (enum rw_err) - ENOANO;
}

static void test_job__is_told_how_it_went(void **state)
{
    (void)state;
    enum rw_err result[2] = {RW_OK, RW_OK};
    struct store_job jobs[2];
    for (int i = 0; i < 2; i++) {
        jobs[i] =
            (struct store_job){.env = STORE_ACCOUNTS, .run = no_work, .ctx = &result[i], .done = note_done};
        store_writer_post(writer, &jobs[i]);
    }
    assert_false(store_writer_step(writer, T0));
    assert_int_equal(result[0], -ENOANO);
    assert_int_equal(result[1], -ENOANO);
}

static int64_t fixed_time(void *ctx)
{
    (void)ctx;
    return T0;
}

static void told(uint8_t worker, enum rw_err err, void *ctx)
{
    assert_int_equal(err, RW_OK);
    assert_int_equal(worker, 0);
    atomic_fetch_add((_Atomic uint32_t *)ctx, 1);
}

static void test_thread__commits_by_itself_and_tells(void **state)
{
    (void)state;
    static _Atomic uint32_t commits;
    assert_int_equal(store_writer_stop(writer, T0), RW_OK);
    const struct store_writer_cfg cfg = {
        .store = s, .wall_ms = fixed_time, .committed = told, .ctx = &commits};
    assert_int_equal(store_writer_open(&cfg, &writer), RW_OK);
    store_writer_add(writer, journal);
    assert_int_equal(store_writer_start(writer), RW_OK);
    for (uint64_t n = 1; n <= 2000; n++) {
        const uint32_t slot = begin(NULL);
        const struct store_record r = {.cost_nanos = 7};
        assert_true(slot != STORE_SLOT_NONE);
        store_journal_final(journal, slot, &r);
        assert_int_equal(store_journal_done(journal, slot), n);
        store_writer_wake(writer);
        if (n % 100 == 0)
            while (store_journal_committed(journal) < n) (void)sched_yield();
    }
    assert_int_equal(store_writer_stop(writer, T0), RW_OK);
    assert_in_range(commits, 20, 2000);
    const struct store_writer_cfg plain = {.store = s};
    assert_int_equal(store_writer_open(&plain, &writer), RW_OK);
    const struct found f = find();
    assert_int_equal(f.records, 2000);
}

// --- A full disk.

#define REQUIRE(x) \
    do { \
        if (!(x)) { \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            _exit(1); \
        } \
    } while (0)

// In a child, where a limit may be set: fill, see trouble, make room, see it gone. Nothing may be lost or doubled.
static void live_through_full_disk(void (*fill)(void), void (*room)(void))
{
    struct store_writer_stats st = {0};
    struct found f;
    uint32_t records = 0;
    fill();
    for (int i = 0; i < 200 && !st.trouble; i++) {
        for (int k = 0; k < 2; k++, records++) {
            const struct store_texts texts = long_texts((char)('a' + i % 20));
            const uint32_t slot = begin(&texts);
            REQUIRE(slot != STORE_SLOT_NONE);
            finish(slot);
        }
        (void)store_writer_step(writer, T0 + i);
        store_writer_stats(writer, &st);
    }
    REQUIRE(st.trouble == (enum rw_err) - EFBIG || st.trouble == (enum rw_err) - ENOSPC ||
            st.trouble == (enum rw_err) - EIO);
    REQUIRE(st.waiting >= 2 && st.trouble_since_ms != 0 && told_last == st.trouble);
    f = find();
    REQUIRE(f.records == st.records && f.records <= records - 2);
    // It goes on: journals are on disk already.
    for (int k = 0; k < 20; k++, records++) finish(begin(NULL));
    (void)store_writer_step(writer, T0 + 1000);
    room();
    while (store_writer_step(writer, T0 + 2000)) {}
    store_writer_stats(writer, &st);
    REQUIRE(st.trouble == RW_OK && st.trouble_since_ms == 0 && st.waiting == 0 && told_last == RW_OK);
    f = find();
    REQUIRE(f.records == records && f.cost_nanos == 7 * (int64_t)records);
}

static rlim_t limit_bytes;

static void limit_files(void)
{
    char path[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/usage/data.mdb", store_dir_path);
    REQUIRE(stat(path, &st) == 0);
    limit_bytes = (rlim_t)st.st_size + 64 * 1024;
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = limit_bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void limit_no_files(void)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static int in_child(void (*fn)(void))
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void limited(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    open_all(true);
    live_through_full_disk(limit_files, limit_no_files);
    close_all();
}

static void test_full__a_limit_of_file_size(void **state)
{
    (void)state;
    store_dir_make();
    assert_int_equal(in_child(limited), 0);
    store_dir_remove();
}

static char filler[512];

static void fill_disk(void)
{
    static char bytes[4096];
    const int fd = open(filler, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0);
    while (write(fd, bytes, sizeof bytes) > 0) {}
    (void)close(fd);
}

static void empty_disk(void)
{
    REQUIRE(unlink(filler) == 0);
}

#define NO_MOUNT 77

static void on_small_disk(void)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(NO_MOUNT);
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("tmpfs", store_dir_path, "tmpfs", 0, "size=2m") != 0) _exit(NO_MOUNT);
    (void)snprintf(filler, sizeof filler, "%s/filler", store_dir_path);
    open_all(true);
    live_through_full_disk(fill_disk, empty_disk);
    // And a journal is not made where there is no room for it.
    fill_disk();
    struct store_journal *another;
    REQUIRE(store_journal_open(s, 1, 1, 65536, &another) == (enum rw_err) - ENOSPC);
    empty_disk();
    close_all();
}

static void test_full__a_disk_without_room(void **state)
{
    (void)state;
    store_dir_make();
    const int status = in_child(on_small_disk);
    store_dir_remove();
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MOUNT) {
        (void)fprintf(stderr, "no tmpfs can be mounted here: NOT TESTED\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc__known_values_and_both_ways_alike),
        cmocka_unit_test_setup_teardown(test_slots__all_come_back_whatever_their_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retarget__the_last_texts_are_the_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_begin__a_full_journal_says_so_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__open_slots_are_charged_and_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__who_asked_nobody_leaves_no_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__not_what_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__twice_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__each_damaged_byte_of_a_slot_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__a_damaged_text_is_seen_and_no_loop_is_followed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_adopt__of_an_earlier_boot_holds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt__what_is_no_journal_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job__is_told_how_it_went, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thread__commits_by_itself_and_tells, setup, teardown),
        cmocka_unit_test(test_full__a_limit_of_file_size),
        cmocka_unit_test(test_full__a_disk_without_room),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
