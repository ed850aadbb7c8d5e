// What the store costs: keys found by their hash, and records committed by the writer in batches of a thousand.
//
//   store                     among 1,000 and 100,000 keys, in a folder made below $TMPDIR and removed
//   store make DIR KEYS       only makes the keys
//   store find DIR KEYS N     only finds N of them (under callgrind: instructions; twice with different N)
//   store write DIR BATCHES   only commits records
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "store/accounts.h"
#include "store/usage.h"
#include "store/writer.h"

#define T0 INT64_C(1700000000000)
#define KEYS_PER_COMMIT 10000
#define BATCH 1000
#define ROUND 4096

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

// Of this thread: what others do on the machine does not count.
static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void must(enum rw_err err, const char *what)
{
    if (!err) return;
    (void)fprintf(stderr, "%s: %s\n", what, rw_err_name(err));
    exit(1);
}

static struct store *open_in(const char *dir)
{
    struct store *s = NULL;
    char why[STORE_WHY_BYTES];
    // Small enough for valgrind.
    const struct store_cfg cfg = {.data_dir = dir, .map_bytes = {UINT64_C(2) << 30, UINT64_C(4) << 30}};
    must(store_open(&cfg, &s, why), why);
    return s;
}

static void hash_of(uint64_t i, uint8_t ret[STORE_HASH_BYTES])
{
    struct prng r;
    prng_seed(&r, i);
    for (int k = 0; k < 4; k++) {
        const uint64_t v = prng_next(&r);
        memcpy(ret + 8 * k, &v, 8);
    }
}

struct some_keys {
    uint64_t first, end;
};

static enum rw_err make_some(struct store_txn *t, void *ctx)
{
    const struct some_keys *some = ctx;
    const struct store_act act = {.wall_ms = T0, .actor = SPAN("bench")};
    uint8_t hash[STORE_HASH_BYTES];
    uint32_t id;
    struct store_account a = {.kind = STORE_TENANT, .name = SPAN("acme")};
    if (some->first == 0) {
        RW_TRY(store_account_create(t, &a, NULL, &act, &id));
        a = (struct store_account){.kind = STORE_TEAM, .parent = 1, .name = SPAN("research")};
        RW_TRY(store_account_create(t, &a, NULL, &act, &id));
        a = (struct store_account){.kind = STORE_PLAN, .name = SPAN("production")};
        RW_TRY(store_account_create(t, &a, NULL, &act, &id));
    }
    a = (struct store_account){
        .kind = STORE_KEY, .parent = 1, .name = SPAN("key"), .plan = SPAN("production")};
    a.limits.set = STORE_SET_CONCURRENCY | STORE_SET_USD_PER_MONTH;
    a.limits.rates_count = 2;
    for (uint64_t i = some->first; i < some->end; i++) {
        hash_of(i, hash);
        RW_TRY(store_account_create(t, &a, hash, &act, &id));
    }
    return RW_OK;
}

static void make(const char *dir, uint64_t keys)
{
    struct store *s = open_in(dir);
    const int64_t begun = now_ns();
    for (struct some_keys some = {0}; some.first < keys; some.first = some.end) {
        some.end = some.first + KEYS_PER_COMMIT < keys ? some.first + KEYS_PER_COMMIT : keys;
        must(store_commit(s, STORE_ACCOUNTS, make_some, &some), "make keys");
    }
    printf("make  %8llu keys: %.1f us each\n", (unsigned long long)keys,
           (double)(now_ns() - begun) / 1e3 / (double)keys);
    store_close(s);
}

static void find(const char *dir, uint64_t keys, uint64_t n)
{
    static uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
    struct store_buf buf = {.p = bytes, .cap = sizeof bytes};
    struct store *s = open_in(dir);
    struct store_reader *reader;
    struct store_account a;
    struct prng r;
    static uint8_t hash[ROUND][STORE_HASH_BYTES];
    int64_t spent = 0;
    uint64_t done = 0;
    prng_seed(&r, 3);
    must(store_reader_open(s, STORE_ACCOUNTS, &reader), "reader");
    while (done < n) {
        const uint64_t some = n - done < ROUND ? n - done : ROUND;
        for (uint64_t i = 0; i < some; i++) hash_of(prng_below(&r, (uint32_t)keys), hash[i]);
        const int64_t begun = cpu_ns();
        for (uint64_t i = 0; i < some; i++) must(store_key_find(reader, hash[i], T0, &buf, &a), "find");
        spent += cpu_ns() - begun;
        done += some;
    }
    printf("find among %8llu keys: %.0f ns of CPU each\n", (unsigned long long)keys,
           (double)spent / (double)n);
    store_reader_close(reader);
    store_close(s);
}

static void use(struct store_journal *j, struct prng *r, uint64_t sequence, int64_t wall_ms)
{
    static const struct span model[] = {SPAN_INIT("gpt-4o-mini"), SPAN_INIT("claude-3-5-sonnet"),
                                        SPAN_INIT("llama-3")};
    struct store_begin b = {.tenant = 1, .key = 1 + prng_below(r, 2000)};
    b.team = 1 + b.key / 20;
    b.texts.model = model[prng_below(r, 3)];
    b.texts.provider = SPAN("openai");
    store_id_make((uint64_t)wall_ms, 1, 0, sequence, b.id);
    const struct store_record done = {
        .status = 200, .cost_nanos = 1000, .tokens = {100, 0, 0, 50}, .end = SPAN("ok")};
    const uint32_t slot = store_journal_begin(j, &b);
    MUST(slot != STORE_SLOT_NONE);
    store_journal_final(j, slot, &done);
    (void)store_journal_done(j, slot);
}

static void write_records(const char *dir, uint64_t batches)
{
    struct store *s = open_in(dir);
    struct store_journal *j;
    struct store_writer *w;
    struct prng r;
    int64_t commit_ns = 0, commit_cpu_ns = 0, journal_ns = 0, wall_ms = T0;
    prng_seed(&r, 4);
    must(store_journal_open(s, 1, 0, 0, &j), "journal");
    must(store_writer_open(&(struct store_writer_cfg){.store = s}, &w), "writer");
    store_writer_add(w, j);
    for (uint64_t b = 0; b < batches; b++, wall_ms += 100) {
        const int64_t begun = now_ns();
        for (uint64_t i = 0; i < BATCH; i++) use(j, &r, b * BATCH + i, wall_ms);
        const int64_t written = now_ns(), cpu = cpu_ns();
        (void)store_writer_step(w, wall_ms);
        commit_cpu_ns += cpu_ns() - cpu;
        commit_ns += now_ns() - written;
        journal_ns += written - begun;
    }
    const double records = (double)(batches * BATCH);
    printf("write %llu batches of %d: %.2f us a record (%.2f of CPU), %.0f records a second; journal %.0f ns "
           "each\n",
           (unsigned long long)batches, BATCH, (double)commit_ns / 1e3 / records,
           (double)commit_cpu_ns / 1e3 / records, records * 1e9 / (double)commit_ns,
           (double)journal_ns / records);
    must(store_writer_stop(w, wall_ms), "stop");
    store_journal_close(j);
    store_close(s);
}

static uint64_t number(const char *text)
{
    uint64_t v;
    if (span_u64(span_str(text), &v)) return v;
    (void)fprintf(stderr, "not a number: %s\n", text);
    exit(2);
}

static void sub(char *path, size_t n, const char *dir, const char *name)
{
    (void)snprintf(path, n, "%s/%s", dir, name);
    if (mkdir(path, 0700) != 0) must(rw_errno(), path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        make(argv[2], number(argv[3]));
    } else if (argc == 5 && strcmp(argv[1], "find") == 0) {
        find(argv[2], number(argv[3]), number(argv[4]));
    } else if (argc == 4 && strcmp(argv[1], "write") == 0) {
        write_records(argv[2], number(argv[3]));
    } else if (argc == 1) {
        const char *tmp = getenv("TMPDIR");
        char dir[256], path[300];
        (void)snprintf(dir, sizeof dir, "%s/ringway-store-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(dir)) must(rw_errno(), dir);
        sub(path, sizeof path, dir, "few");
        make(path, 1000);
        find(path, 1000, 1000000);
        sub(path, sizeof path, dir, "many");
        make(path, 100000);
        find(path, 100000, 1000000);
        sub(path, sizeof path, dir, "write");
        write_records(path, 100);
        (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    } else {
        (void)fprintf(stderr, "wrong use: see the beginning of bench/micro/store.c\n");
        return 2;
    }
    return 0;
}
