// Processes are killed with SIGKILL at random moments while a worker begins, retargets, raises, finishes and
// cancels exchanges and a writer thread commits them. What each exchange had reached stands in memory that
// outlives the process; afterwards the ledger must hold one record for each that was begun, with its own money if
// it was finished, at its estimate and marked if not, none for one that was cancelled, and the cells must have
// come back to where they were, or one reservation above for each kill. Alone, and with a second process that
// lives on, adopts and ends in peace. The same for commits to accounts and the version that caches go by.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/prng.h"
#include "store/accounts.h"
#include "store/usage.h"
#include "store/writer.h"
#include "tests/lib/store_dir.h"

#define T0 INT64_C(1700000000000)
#define EXCHANGES_MAX 20000
#define UNDER_WAY 24
#define PROCESSES 2

enum reached { NOTHING, BEGINNING, BEGUN, CANCELLING, CANCELLED, FINISHING, FINISHED };

// What outlives a process.
static struct shared {
    struct life {
        _Atomic uint8_t reached[EXCHANGES_MAX];
        _Atomic uint64_t adopted;
        _Atomic bool ready;
    } life[PROCESSES];
    _Atomic bool stop;
    _Atomic int32_t concurrency; // the cell
    _Atomic int32_t given_back;
} * shared;

static int group_setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static void nap(int64_t us)
{
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&t, NULL);
}

static int64_t fixed_time(void *ctx)
{
    (void)ctx;
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return T0 + t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// Clears the word first: killed in between, the cell stays one too high.
static void let_go(uint32_t *held)
{
    const uint32_t was = held[0];
    held[0] = 0;
    atomic_signal_fence(memory_order_seq_cst);
    if (was) atomic_fetch_sub(&shared->concurrency, 1);
}

static void give_back(uint32_t *held, void *ctx)
{
    (void)ctx;
    let_go(held);
    atomic_fetch_add(&shared->given_back, 1);
}

static int64_t cost_of(uint32_t i)
{
    return 1000 + i;
}

static int64_t estimate_of(uint32_t i)
{
    return 1000000 + i;
}

struct child {
    struct store *store;
    struct store_journal *journal;
    struct store_writer *writer;
    struct life *life;
    struct prng rng;
    uint32_t process;
    struct {
        uint32_t slot, exchange;
        bool used;
    } way[UNDER_WAY];
    uint32_t next;
};

static void step_begin(struct child *c, int at)
{
    static char text[STORE_TEXT_BYTES_MAX];
    const uint32_t i = c->next++;
    struct store_begin b = {.tenant = 1, .team = 1, .key = 1 + c->process, .estimate_nanos = estimate_of(i)};
    store_id_make((uint64_t)T0, (uint16_t)(1 + c->process), 0, i, b.id);
    b.texts.model = span_of(text, prng_below(&c->rng, 2) ? sizeof text : 5);
    atomic_store(&c->life->reached[i], BEGINNING);
    const uint32_t slot = store_journal_begin(c->journal, &b);
    if (slot == STORE_SLOT_NONE) {
        atomic_store(&c->life->reached[i], NOTHING);
        c->next--;
        (void)sched_yield();
        return;
    }
    atomic_store(&c->life->reached[i], BEGUN);
    atomic_fetch_add(&shared->concurrency, 1);
    store_journal_held(c->journal, slot)[0] = 1;
    c->way[at].slot = slot;
    c->way[at].exchange = i;
    c->way[at].used = true;
}

static void step_go_on(struct child *c, int at)
{
    static char other[STORE_TEXT_BYTES_MAX] = "other";
    const uint32_t slot = c->way[at].slot, i = c->way[at].exchange, what = prng_below(&c->rng, 16);
    if (what < 3) {
        const struct store_texts texts = {.model = span_of(other, prng_below(&c->rng, sizeof other))};
        (void)store_journal_retarget(c->journal, slot, &texts);
        return;
    }
    if (what < 5) {
        store_journal_raise(c->journal, slot, 1, estimate_of(i));
        return;
    }
    c->way[at].used = false;
    if (what < 7) {
        atomic_store(&c->life->reached[i], CANCELLING);
        let_go(store_journal_held(c->journal, slot));
        store_journal_cancel(c->journal, slot);
        atomic_store(&c->life->reached[i], CANCELLED);
        return;
    }
    const struct store_record r = {.status = 200, .cost_nanos = cost_of(i), .end = SPAN("ok")};
    atomic_store(&c->life->reached[i], FINISHING);
    store_journal_final(c->journal, slot, &r);
    atomic_store(&c->life->reached[i], FINISHED);
    let_go(store_journal_held(c->journal, slot));
    (void)store_journal_done(c->journal, slot);
}

static void note_stats(struct child *c)
{
    struct store_writer_stats st;
    store_writer_stats(c->writer, &st);
    atomic_store(&c->life->adopted, st.adopted);
}

// Ends by being killed, or when it is told to stop: then everything under way is finished first.
static void live(uint32_t process, uint64_t seed)
{
    struct child c = {.process = process, .life = &shared->life[process]};
    prng_seed(&c.rng, seed);
    c.store = store_dir_open();
    if (store_journal_open(c.store, (uint16_t)(1 + process), 0, 256, &c.journal)) _exit(2);
    const struct store_writer_cfg cfg = {
        .store = c.store, .sync_interval_ms = 1, .wall_ms = fixed_time, .give_back = give_back};
    if (store_writer_open(&cfg, &c.writer)) _exit(3);
    store_writer_add(c.writer, c.journal);
    if (store_writer_start(c.writer)) _exit(4);
    atomic_store(&c.life->ready, true);
    while (!atomic_load(&shared->stop)) {
        const int at = (int)prng_below(&c.rng, UNDER_WAY);
        if (c.way[at].used) step_go_on(&c, at);
        else if (c.next < EXCHANGES_MAX) step_begin(&c, at);
        else nap(100);
        if (prng_below(&c.rng, 64) == 0) note_stats(&c);
        if (prng_below(&c.rng, 256) == 0) nap(200);
    }
    for (int at = 0; at < UNDER_WAY; at++)
        while (c.way[at].used) step_go_on(&c, at);
    if (store_writer_stop(c.writer, fixed_time(NULL))) _exit(5);
    store_journal_close(c.journal);
    store_close(c.store);
    _exit(0);
}

static pid_t start(uint32_t process, uint64_t seed)
{
    const pid_t child = fork();
    if (child == 0) live(process, seed);
    assert_true(child > 0);
    while (!atomic_load(&shared->life[process].ready)) {
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
        nap(200);
    }
    return child;
}

static void kill_it(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

// --- What the ledger must hold.

struct book {
    uint8_t records[PROCESSES][EXCHANGES_MAX];
    bool crashed[PROCESSES][EXCHANGES_MAX];
    struct store_sums sums;
};
static struct book book;

static bool enter(const struct store_record *r, void *ctx)
{
    (void)ctx;
    struct store_sums one;
    const uint32_t process = r->key - 1, i = (uint32_t)r->id[13] << 16 | (uint32_t)r->id[14] << 8 | r->id[15];
    assert_true(process < PROCESSES && i < EXCHANGES_MAX);
    book.records[process][i]++;
    book.crashed[process][i] = (r->flags & STORE_CRASHED) != 0;
    assert_int_equal(r->cost_nanos, r->flags & STORE_CRASHED ? estimate_of(i) : cost_of(i));
    store_sums_of(r, &one);
    store_sums_add(&book.sums, &one);
    return true;
}

static bool total(const struct store_usage_row *row, void *ctx)
{
    *(struct store_sums *)ctx = row->sums;
    return true;
}

static void check_exchange(uint32_t process, uint32_t i)
{
    const uint8_t records = book.records[process][i];
    const bool crashed = book.crashed[process][i];
    switch ((enum reached)shared->life[process].reached[i]) {
    case NOTHING:
    case CANCELLED: assert_int_equal(records, 0); break;
    case BEGINNING:
    case CANCELLING: assert_true(records == 0 || (records == 1 && crashed)); break;
    case BEGUN: assert_true(records == 1 && crashed); break;
    case FINISHING: assert_int_equal(records, 1); break;
    case FINISHED: assert_true(records == 1 && !crashed); break;
    }
}

// Takes over what is left and reads the books. Returns the number of records.
static uint64_t check_books(void)
{
    struct store *s = store_dir_open();
    struct store_writer *w;
    struct store_reader *reader;
    struct store_sums sums = {0};
    const struct store_writer_cfg cfg = {.store = s, .give_back = give_back};
    assert_int_equal(store_writer_open(&cfg, &w), RW_OK);
    for (int i = 0; i < 10; i++)
        while (store_writer_step(w, T0 + i * 2000)) {}
    struct store_writer_stats st;
    store_writer_stats(w, &st);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.trouble, RW_OK);
    assert_int_equal(store_writer_stop(w, T0), RW_OK);

    const struct store_raw_query all = {.to_ms = 2 * T0};
    const struct store_usage_query sum = {.last_day = UINT32_MAX - 1};
    memset(&book, 0, sizeof book);
    assert_int_equal(store_reader_open(s, STORE_USAGE, &reader), RW_OK);
    assert_int_equal(store_usage_raw(reader, &all, enter, NULL), RW_OK);
    assert_int_equal(store_usage_sum(reader, &sum, total, &sums), RW_OK);
    store_reader_close(reader);
    store_close(s);
    assert_memory_equal(&sums, &book.sums, sizeof sums);
    for (uint32_t p = 0; p < PROCESSES; p++)
        for (uint32_t i = 0; i < EXCHANGES_MAX; i++) check_exchange(p, i);
    return book.sums.requests;
}

static void begin_round(void)
{
    memset(shared, 0, sizeof *shared);
    store_dir_make();
}

static void test_kill__of_the_only_process(void **state)
{
    (void)state;
    struct prng r;
    uint64_t records = 0, given_back = 0;
    int32_t leaked = 0;
    prng_seed(&r, 21);
    for (uint64_t round = 0; round < 60; round++) {
        begin_round();
        const pid_t child = start(0, round);
        nap(prng_below(&r, 30000));
        kill_it(child);
        records += check_books();
        given_back += (uint64_t)shared->given_back;
        assert_in_range(shared->concurrency, 0, 1);
        leaked += shared->concurrency;
        store_dir_remove();
    }
    print_message("60 kills: %llu records, %llu reservations given back, %d left\n",
                  (unsigned long long)records, (unsigned long long)given_back, leaked);
    assert_true(records > 1000 && given_back > 100);
}

static void test_kill__beside_a_process_that_lives_on(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 22);
    for (uint64_t round = 0; round < 12; round++) {
        begin_round();
        const pid_t dies = start(0, 100 + round), lives = start(1, 200 + round);
        nap(prng_below(&r, 30000));
        kill_it(dies);
        // Adoption is looked for once a second.
        for (int i = 0; i < 5000 && atomic_load(&shared->life[1].adopted) == 0; i++) nap(1000);
        assert_int_equal(atomic_load(&shared->life[1].adopted), 1);
        atomic_store(&shared->stop, true);
        int status;
        assert_int_equal(waitpid(lives, &status, 0), lives);
        assert_int_equal(status, 0);
        assert_true(check_books() > 0);
        assert_in_range(shared->concurrency, 0, 1);
        store_dir_remove();
    }
}

// --- Accounts.

static enum rw_err rename_it(struct store_txn *t, void *ctx)
{
    const struct store_act act = {.wall_ms = T0, .actor = SPAN("test")};
    struct store_account a = {.kind = STORE_TENANT, .id = 1, .name = *(struct span *)ctx};
    return store_account_update(t, &a, &act);
}

static enum rw_err create_it(struct store_txn *t, void *ctx)
{
    const struct store_act act = {.wall_ms = T0, .actor = SPAN("test")};
    const struct store_account a = {.kind = STORE_TENANT, .name = SPAN("0")};
    return store_account_create(t, &a, NULL, &act, ctx);
}

static void rename_for_ever(void)
{
    struct store *s = store_dir_open();
    char name[16];
    for (uint32_t i = 1;; i++) {
        struct span text = span_of(name, (size_t)snprintf(name, sizeof name, "%u", i));
        if (store_commit(s, STORE_ACCOUNTS, rename_it, &text)) _exit(1);
        atomic_store(&shared->life[0].adopted, i);
    }
}

static uint32_t name_now(struct store_reader *reader)
{
    static uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
    struct store_buf buf = {.p = bytes, .cap = sizeof bytes};
    struct store_account a;
    uint64_t n = 0;
    assert_int_equal(store_account_get(reader, STORE_TENANT, 1, &buf, &a), RW_OK);
    assert_true(span_u64(a.name, &n));
    return (uint32_t)n;
}

// A reader that caches by the version, as workers do, while another process commits and is killed.
static void test_kill__in_a_commit_to_accounts_leaves_no_stale_cache(void **state)
{
    (void)state;
    struct prng r;
    uint32_t odd = 0, id;
    prng_seed(&r, 23);
    begin_round();
    struct store *s = store_dir_open();
    assert_int_equal(store_commit(s, STORE_ACCOUNTS, create_it, &id), RW_OK);
    store_close(s);
    for (int round = 0; round < 40; round++) {
        atomic_store(&shared->life[0].adopted, 0);
        const pid_t child = fork();
        if (child == 0) rename_for_ever();
        while (atomic_load(&shared->life[0].adopted) == 0) nap(50);
        s = store_dir_open();
        struct store_reader *reader;
        assert_int_equal(store_reader_open(s, STORE_ACCOUNTS, &reader), RW_OK);
        uint64_t cached_version = 1;
        uint32_t cached = 0;
        for (uint32_t looks = prng_below(&r, 3000); looks > 0; looks--) {
            const uint32_t committed = (uint32_t)atomic_load(&shared->life[0].adopted);
            const uint64_t v = store_accounts_version(s);
            if ((v & 1) || v != cached_version) {
                cached = name_now(reader);
                cached_version = v & 1 ? 1 : v;
            }
            // What was committed before the look is seen in it.
            assert_true(cached >= committed);
        }
        // Away from the moment at which the looks ended, which the child's commits may have set.
        nap(prng_below(&r, 3000));
        kill_it(child);
        odd += (uint32_t)(store_accounts_version(s) & 1);
        if ((store_accounts_version(s) & 1) == 0 && store_accounts_version(s) == cached_version)
            assert_int_equal(name_now(reader), cached);
        store_accounts_repair(s);
        assert_int_equal(store_accounts_version(s) & 1, 0);
        store_reader_close(reader);
        // The next process begins at 1 again, so the name must be smaller than all it will write.
        struct span zero = SPAN("0");
        assert_int_equal(store_commit(s, STORE_ACCOUNTS, rename_it, &zero), RW_OK);
        store_close(s);
    }
    print_message("40 kills: %u in the middle of a commit\n", odd);
    assert_true(odd > 0);
    store_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill__of_the_only_process),
        cmocka_unit_test(test_kill__beside_a_process_that_lives_on),
        cmocka_unit_test(test_kill__in_a_commit_to_accounts_leaves_no_stale_cache),
    };
    return cmocka_run_group_tests_name("store_crash", tests, group_setup, NULL);
}
