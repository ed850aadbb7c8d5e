// accounts: records are written through store_commit() into a store made for each test and read back by hash,
// id, name and in pages; random histories of create, update, rotate, revoke and delete are compared with an
// array that plays the same; what is refused must leave nothing behind, in no table and not in the audit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "store/accounts.h"
#include "store/audit.h"
#include "tests/lib/store_dir.h"

static struct store *s;
static struct store_reader *reader;
static uint8_t bytes[STORE_ACCOUNT_BYTES_MAX];
static struct store_buf buf = {.p = bytes, .cap = sizeof bytes};
static const struct store_act act = {.wall_ms = 1700000000000, .actor = SPAN_INIT("uid 0")};

static int setup(void **state)
{
    (void)state;
    store_dir_make();
    s = store_dir_open();
    assert_int_equal(store_reader_open(s, STORE_ACCOUNTS, &reader), RW_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_reader_close(reader);
    store_close(s);
    store_dir_remove();
    return 0;
}

// What a commit is to do: one of these at a time.
struct deed {
    enum { CREATE, UPDATE, DELETE, REVOKE, ROTATE } what;
    struct store_account a;
    const uint8_t *hash;
    struct span prefix;
    int64_t until_ms;
    uint32_t id;
    enum rw_err fail_with; // after the deed
};

static enum rw_err run(struct store_txn *t, void *ctx)
{
    struct deed *d = ctx;
    enum rw_err err = RW_OK;
    switch (d->what) {
    case CREATE: err = store_account_create(t, &d->a, d->hash, &act, &d->id); break;
    case UPDATE: err = store_account_update(t, &d->a, &act); break;
    case DELETE: err = store_account_delete(t, d->a.kind, d->a.id, &act); break;
    case REVOKE: err = store_key_revoke(t, d->a.id, &act); break;
    case ROTATE: err = store_key_rotate(t, d->a.id, d->hash, d->prefix, d->until_ms, &act); break;
    }
    return err ? err : d->fail_with;
}

static enum rw_err perform(struct deed *d)
{
    return store_commit(s, STORE_ACCOUNTS, run, d);
}

static uint32_t make(enum store_kind kind, const char *name, uint32_t parent, const uint8_t *hash)
{
    struct deed d = {
        .what = CREATE, .a = {.kind = (uint8_t)kind, .parent = parent, .name = span_str(name)}, .hash = hash};
    assert_int_equal(perform(&d), RW_OK);
    assert_true(d.id > 0);
    return d.id;
}

static void hash_of(uint64_t seed, uint8_t ret[STORE_HASH_BYTES])
{
    struct prng r;
    prng_seed(&r, seed);
    for (int i = 0; i < 4; i++) {
        const uint64_t v = prng_next(&r);
        memcpy(ret + 8 * i, &v, 8);
    }
}

static uint64_t audit_entries(void)
{
    struct store_audit_state state;
    assert_int_equal(store_audit_verify(reader, &state), RW_OK);
    assert_int_equal(state.broken, 0);
    return state.entries;
}

static void assert_span(struct span s1, const char *text)
{
    assert_int_equal(s1.n, strlen(text));
    assert_memory_equal(s1.p, text, s1.n);
}

static void test_create__a_full_record_comes_back_by_hash_id_and_name(void **state)
{
    (void)state;
    uint8_t hash[STORE_HASH_BYTES], list[64], cidrs[64];
    hash_of(1, hash);
    struct store_list_maker models = {.p = list, .cap = sizeof list};
    store_list_add(&models, SPAN("gpt-4o-mini"));
    store_list_add(&models, SPAN(""));
    store_list_add(&models, SPAN("llama"));
    struct store_list_maker nets = {.p = cidrs, .cap = sizeof cidrs};
    const struct store_cidr net = {.bytes = 4, .bits = 8, .address = {10}};
    store_list_add(&nets, span_of(&net, sizeof net));

    const uint32_t tenant = make(STORE_TENANT, "acme", 0, NULL),
                   team = make(STORE_TEAM, "research", tenant, NULL);
    make(STORE_PLAN, "production", 0, NULL);
    struct deed d = {.what = CREATE,
                     .hash = hash,
                     .a = {.kind = STORE_KEY,
                           .parent = team,
                           .flags = STORE_FROM_FILE,
                           .expires_ms = 1800000000000,
                           .limits = {.set = STORE_SET_ALL,
                                      .concurrency = 64,
                                      .usd_per_request_nanos = 1,
                                      .usd_per_day_nanos = INT64_MAX,
                                      .usd_per_month_nanos = -1,
                                      .hard = true,
                                      .shadow = true,
                                      .mode = STORE_FIXED_WINDOW,
                                      .rates_count = 2,
                                      .rates = {{.limit = 600, .burst = 10, .window = STORE_MINUTE},
                                                {.limit = 7, .window = STORE_DAY, .unit = STORE_TOKENS}}},
                           .name = SPAN("ci"),
                           .prefix = SPAN("rw-abc"),
                           .plan = SPAN("production"),
                           .models = store_list_made(&models),
                           .cidrs = store_list_made(&nets)}};
    assert_int_equal(perform(&d), RW_OK);

    struct store_account a[3];
    assert_int_equal(store_key_find(reader, hash, 0, &buf, &a[0]), RW_OK);
    assert_int_equal(store_account_get(reader, STORE_KEY, d.id, &buf, &a[1]), RW_OK);
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("ci"), &buf, &a[2]), RW_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].id, d.id);
        assert_int_equal(a[i].parent, team);
        assert_int_equal(a[i].tenant, tenant);
        assert_int_equal(a[i].flags, STORE_FROM_FILE);
        assert_int_equal(a[i].created_ms, act.wall_ms);
        assert_int_equal(a[i].expires_ms, 1800000000000);
        assert_memory_equal(&a[i].limits, &d.a.limits, sizeof a[i].limits);
        assert_span(a[i].name, "ci");
        assert_span(a[i].prefix, "rw-abc");
        assert_span(a[i].plan, "production");
        assert_int_equal(a[i].models.count, 3);
        assert_int_equal(a[i].providers.count, 0);
        struct span item;
        assert_true(store_list_next(&a[i].cidrs, &item));
        assert_int_equal(item.n, sizeof net);
        assert_memory_equal(item.p, &net, item.n);
        assert_false(store_list_next(&a[i].cidrs, &item));
    }
    struct span item;
    assert_true(store_list_next(&a[0].models, &item));
    assert_span(item, "gpt-4o-mini");
    assert_true(store_list_next(&a[0].models, &item));
    assert_span(item, "");
    assert_true(store_list_next(&a[0].models, &item));
    assert_span(item, "llama");
    assert_int_equal(audit_entries(), 4);
}

static void test_create__what_is_refused_leaves_nothing(void **state)
{
    (void)state;
    uint8_t hash[STORE_HASH_BYTES], other[STORE_HASH_BYTES];
    static char name[STORE_NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof name);
    hash_of(1, hash);
    hash_of(2, other);
    const uint32_t tenant = make(STORE_TENANT, "t", 0, NULL), team = make(STORE_TEAM, "m", tenant, NULL);
    make(STORE_KEY, "k", team, hash);
    const uint64_t version = store_accounts_version(s);

    const struct {
        struct store_account a;
        const uint8_t *hash;
        enum rw_err err;
    } wrong[] = {
        {{.kind = STORE_TENANT, .name = SPAN("t")}, NULL, (enum rw_err) - EEXIST},
        {{.kind = STORE_TEAM, .parent = tenant, .name = SPAN("m")}, NULL, (enum rw_err) - EEXIST},
        {{.kind = STORE_TEAM, .parent = tenant + 1, .name = SPAN("x")}, NULL, RW_E_NOT_FOUND},
        {{.kind = STORE_KEY, .parent = team, .name = SPAN("x")}, hash, (enum rw_err) - EEXIST},
        {{.kind = STORE_KEY, .parent = team + 1, .name = SPAN("x")}, other, RW_E_NOT_FOUND},
        {{.kind = STORE_TENANT}, NULL, RW_E_BAD},
        {{.kind = STORE_TENANT, .name = SPAN("a\nb")}, NULL, RW_E_BAD},
        {{.kind = STORE_TENANT, .name = span_of(name, sizeof name)}, NULL, RW_E_TOO_LARGE},
        {{.kind = STORE_TENANT, .name = SPAN("x"), .plan = SPAN("none")}, NULL, RW_E_NOT_FOUND},
        {{.kind = STORE_TENANT, .name = SPAN("x"), .plan = span_of(name, sizeof name)}, NULL, RW_E_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct deed d = {.what = CREATE, .a = wrong[i].a, .hash = wrong[i].hash};
        assert_int_equal(perform(&d), wrong[i].err);
    }
    struct deed fails = {.what = CREATE,
                         .a = {.kind = STORE_KEY, .parent = team, .name = SPAN("late")},
                         .hash = other,
                         .fail_with = (enum rw_err) - ECANCELED};
    assert_int_equal(perform(&fails), -ECANCELED);

    struct store_account a;
    assert_int_equal(store_key_find(reader, other, 0, &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("late"), &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_account_named(reader, STORE_TEAM, SPAN("x"), &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(audit_entries(), 3);
    assert_int_equal(store_accounts_version(s), version);
    // Numbers are not lost either.
    assert_int_equal(make(STORE_KEY, "k", team, other), 2);
}

static void test_get__a_small_buffer_is_told(void **state)
{
    (void)state;
    const uint32_t id = make(STORE_TENANT, "acme", 0, NULL);
    struct store_buf small = {.p = bytes, .cap = 20};
    struct store_account a;
    assert_int_equal(store_account_get(reader, STORE_TENANT, id, &small, &a), RW_E_TOO_LARGE);
    assert_int_equal(store_account_get(reader, STORE_TENANT, id, &buf, &a), RW_OK);
    assert_int_equal(store_account_decode(span_of(bytes, buf.n), &a), RW_OK);
    // Cut anywhere it is no record.
    for (uint32_t n = 0; n < buf.n; n++)
        assert_int_equal(store_account_decode(span_of(bytes, n), &a), RW_E_CORRUPT);
}

static void test_named__prefixes_and_kinds_are_not_mixed_up(void **state)
{
    (void)state;
    uint8_t hash[3][STORE_HASH_BYTES];
    for (uint64_t i = 0; i < 3; i++) hash_of(i, hash[i]);
    const uint32_t tenant = make(STORE_TENANT, "ab", 0, NULL), team = make(STORE_TEAM, "abc", tenant, NULL);
    make(STORE_KEY, "abcd", team, hash[0]);
    const uint32_t first = make(STORE_KEY, "abc", team, hash[1]);
    make(STORE_KEY, "abc", team, hash[2]);
    struct store_account a;
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("abc"), &buf, &a), RW_OK);
    assert_int_equal(a.id, first);
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("ab"), &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_account_named(reader, STORE_TENANT, SPAN("a"), &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_account_named(reader, STORE_TENANT, SPAN("abc"), &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_account_named(reader, STORE_TEAM, SPAN("abc"), &buf, &a), RW_OK);
}

static void test_rotate__both_keys_hold_until_the_overlap_ends(void **state)
{
    (void)state;
    uint8_t h[3][STORE_HASH_BYTES];
    for (uint64_t i = 0; i < 3; i++) hash_of(i, h[i]);
    const uint32_t tenant = make(STORE_TENANT, "t", 0, NULL), team = make(STORE_TEAM, "m", tenant, NULL);
    const uint32_t id = make(STORE_KEY, "k", team, h[0]);
    struct deed rotate = {
        .what = ROTATE, .a = {.id = id}, .hash = h[1], .prefix = SPAN("rw-two"), .until_ms = 1000};
    assert_int_equal(perform(&rotate), RW_OK);

    struct store_account a;
    assert_int_equal(store_key_find(reader, h[0], 999, &buf, &a), RW_OK);
    assert_int_equal(a.id, id);
    assert_span(a.prefix, "rw-two");
    assert_int_equal(a.previous_until_ms, 1000);
    assert_int_equal(store_key_find(reader, h[0], 1000, &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_key_find(reader, h[1], 1000, &buf, &a), RW_OK);

    // Again: the first is gone at once. And what it had is not to be had by another.
    rotate.hash = h[2];
    rotate.until_ms = 5000;
    assert_int_equal(perform(&rotate), RW_OK);
    assert_int_equal(store_key_find(reader, h[0], 0, &buf, &a), RW_E_NOT_FOUND);
    assert_int_equal(store_key_find(reader, h[1], 4999, &buf, &a), RW_OK);
    assert_int_equal(store_key_find(reader, h[2], 9999, &buf, &a), RW_OK);
    rotate.hash = h[1];
    assert_int_equal(perform(&rotate), -EEXIST);

    struct deed revoke = {.what = REVOKE, .a = {.id = id}};
    assert_int_equal(perform(&revoke), RW_OK);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(store_key_find(reader, h[i], 0, &buf, &a), RW_OK);
        assert_int_equal(a.flags, STORE_REVOKED);
    }
    // An update does not bring it back, and changes nothing that is not its business.
    struct deed update = {.what = UPDATE,
                          .a = {.kind = STORE_KEY, .id = id, .name = SPAN("new"), .parent = 77}};
    assert_int_equal(perform(&update), RW_OK);
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("new"), &buf, &a), RW_OK);
    assert_int_equal(a.flags, STORE_REVOKED);
    assert_int_equal(a.parent, team);
    assert_span(a.prefix, "rw-two");
    assert_int_equal(a.previous_until_ms, 5000);
    assert_int_equal(store_account_named(reader, STORE_KEY, SPAN("k"), &buf, &a), RW_E_NOT_FOUND);

    struct deed delete = {.what = DELETE, .a = {.kind = STORE_KEY, .id = id}};
    assert_int_equal(perform(&delete), RW_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(store_key_find(reader, h[i], 0, &buf, &a), RW_E_NOT_FOUND);
    char name[STORE_NAME_BYTES_MAX];
    assert_int_equal(store_account_label(reader, STORE_KEY, id, name), 3);
    assert_memory_equal(name, "new", 3);
    assert_int_equal(store_account_label(reader, STORE_KEY, id + 1, name), RW_E_NOT_FOUND);
    assert_int_equal(store_account_label(reader, STORE_TEAM, team, name), 1);
}

static void test_delete__not_with_children(void **state)
{
    (void)state;
    uint8_t hash[STORE_HASH_BYTES];
    hash_of(1, hash);
    const uint32_t tenant = make(STORE_TENANT, "t", 0, NULL), team = make(STORE_TEAM, "m", tenant, NULL);
    const uint32_t id = make(STORE_KEY, "k", team, hash);
    make(STORE_TEAM, "empty", tenant, NULL);
    struct deed d = {.what = DELETE, .a = {.kind = STORE_TEAM, .id = team}};
    assert_int_equal(perform(&d), -ENOTEMPTY);
    struct deed key = {.what = DELETE, .a = {.kind = STORE_KEY, .id = id}};
    assert_int_equal(perform(&key), RW_OK);
    assert_int_equal(perform(&d), RW_OK);
    assert_int_equal(perform(&d), RW_E_NOT_FOUND);
    struct deed top = {.what = DELETE, .a = {.kind = STORE_TENANT, .id = tenant}};
    assert_int_equal(perform(&top), -ENOTEMPTY);
}

static void test_plan__stays_as_long_as_somebody_has_it(void **state)
{
    (void)state;
    uint8_t hash[STORE_HASH_BYTES];
    hash_of(1, hash);
    const uint32_t gold = make(STORE_PLAN, "gold", 0, NULL), tenant = make(STORE_TENANT, "t", 0, NULL),
                   team = make(STORE_TEAM, "m", tenant, NULL), key = make(STORE_KEY, "k", team, hash);
    make(STORE_PLAN, "gol", 0, NULL);
    struct deed drop = {.what = DELETE, .a = {.kind = STORE_PLAN, .id = gold}};
    struct deed rename = {.what = UPDATE, .a = {.kind = STORE_PLAN, .id = gold, .name = SPAN("silver")}};
    struct deed change = {
        .what = UPDATE, .a = {.kind = STORE_PLAN, .id = gold, .name = SPAN("gold"), .limits.rates_count = 1}};
    struct deed owner[2] = {{.what = UPDATE, .a = {.kind = STORE_TENANT, .id = tenant, .name = SPAN("t")}},
                            {.what = UPDATE, .a = {.kind = STORE_KEY, .id = key, .name = SPAN("k")}}};
    for (int i = 0; i < 2; i++) {
        owner[i].a.plan = SPAN("none");
        assert_int_equal(perform(&owner[i]), RW_E_NOT_FOUND);
        owner[i].a.plan = SPAN("gold");
        assert_int_equal(perform(&owner[i]), RW_OK);
        assert_int_equal(perform(&drop), -ENOTEMPTY);
        assert_int_equal(perform(&rename), -ENOTEMPTY);
        assert_int_equal(perform(&change), RW_OK);
        owner[i].a.plan = SPAN("");
        assert_int_equal(perform(&owner[i]), RW_OK);
    }
    // What a rotated key was before counts as the key it is.
    hash_of(2, hash);
    struct deed rotate = {.what = ROTATE, .a = {.id = key}, .hash = hash, .prefix = SPAN("x"), .until_ms = 9};
    assert_int_equal(perform(&rotate), RW_OK);
    assert_int_equal(perform(&rename), RW_OK);
    assert_int_equal(perform(&drop), RW_OK);
}

struct page {
    uint32_t ids[64];
    uint32_t n;
    uint32_t stop_at;
};

static bool collect(const struct store_account *a, void *ctx)
{
    struct page *p = ctx;
    p->ids[p->n++] = a->id;
    return p->n != p->stop_at;
}

static void test_list__pages_cover_each_once_in_order(void **state)
{
    (void)state;
    uint8_t hash[STORE_HASH_BYTES];
    const uint32_t tenant = make(STORE_TENANT, "t", 0, NULL);
    const uint32_t team[2] = {make(STORE_TEAM, "one", tenant, NULL), make(STORE_TEAM, "two", tenant, NULL)};
    for (uint32_t i = 0; i < 50; i++) {
        hash_of(i, hash);
        make(STORE_KEY, "k", team[i % 5 == 0], hash);
    }
    for (uint32_t parent = 0; parent < 3; parent++)
        for (uint32_t limit = 1; limit < 60; limit += 7) {
            struct page all = {0};
            uint32_t next = 0, pages = 0;
            do {
                const uint32_t before = all.n;
                assert_int_equal(store_account_list(reader, STORE_KEY, parent ? team[parent - 1] : 0, next,
                                                    limit, collect, &all, &next),
                                 RW_OK);
                assert_true(all.n - before <= limit);
                pages++;
            } while (next);
            const uint32_t wanted = parent == 0 ? 50 : parent == 1 ? 40 : 10;
            assert_int_equal(all.n, wanted);
            assert_int_equal(pages, (wanted + limit - 1) / limit);
            for (uint32_t i = 1; i < all.n; i++) assert_true(all.ids[i] > all.ids[i - 1]);
        }
    struct page stopped = {.stop_at = 3};
    uint32_t next;
    assert_int_equal(store_account_list(reader, STORE_TEAM, 0, 0, 10, collect, &(struct page){0}, &next),
                     RW_OK);
    assert_int_equal(next, 0);
    assert_int_equal(store_account_list(reader, STORE_KEY, 0, 0, 10, collect, &stopped, &next), RW_OK);
    assert_int_equal(stopped.n, 3);
    assert_int_equal(next, 3);
    assert_int_equal(store_account_list(reader, STORE_PLAN, 0, 0, 10, collect, &stopped, &next), RW_OK);
    assert_int_equal(next, 0);
}

static void test_version__changes_with_every_commit_and_outlives_a_dead_writer(void **state)
{
    (void)state;
    const uint64_t v0 = store_accounts_version(s);
    assert_int_equal(v0 & 1, 0);
    make(STORE_TENANT, "t", 0, NULL);
    const uint64_t v1 = store_accounts_version(s);
    assert_true(v1 != v0 && (v1 & 1) == 0);
    store_accounts_repair(s);
    assert_int_equal(store_accounts_version(s), v1);
}

#define HISTORY_KEYS 24

// A key as the history knows it; hashes are made of the numbers.
struct played {
    uint32_t id; // 0: not there
    uint64_t hash;
    uint64_t previous; // 0: none
    bool revoked;
};

static void check_played(const struct played *k)
{
    uint8_t h[STORE_HASH_BYTES];
    struct store_account a;
    hash_of(k->hash, h);
    assert_int_equal(store_key_find(reader, h, 0, &buf, &a), k->id ? RW_OK : RW_E_NOT_FOUND);
    if (k->id) {
        assert_int_equal(a.id, k->id);
        assert_int_equal(a.flags, k->revoked ? STORE_REVOKED : 0);
    }
    if (!k->previous) return;
    hash_of(k->previous, h);
    assert_int_equal(store_key_find(reader, h, 0, &buf, &a), k->id ? RW_OK : RW_E_NOT_FOUND);
    if (k->id) assert_int_equal(a.id, k->id);
}

static void test_random_history__agrees_with_an_array(void **state)
{
    (void)state;
    struct prng r;
    prng_seed(&r, 5);
    struct played keys[HISTORY_KEYS] = {0};
    const uint32_t tenant = make(STORE_TENANT, "t", 0, NULL), team = make(STORE_TEAM, "m", tenant, NULL);
    uint64_t next_hash = 1, acts = 2;
    for (int step = 0; step < 600; step++) {
        struct played *k = &keys[prng_below(&r, HISTORY_KEYS)];
        uint8_t h[STORE_HASH_BYTES];
        hash_of(next_hash, h);
        struct deed d = {.hash = h,
                         .until_ms = 1,
                         .a = {.kind = STORE_KEY, .id = k->id, .parent = team, .name = SPAN("k")}};
        d.what = CREATE;
        if (k->id) d.what += 1 + prng_below(&r, 4);
        assert_int_equal(perform(&d), RW_OK);
        acts++;
        if (d.what == CREATE) {
            *k = (struct played){.id = d.id, .hash = next_hash++};
        } else if (d.what == DELETE) {
            k->id = 0;
            check_played(k);
            *k = (struct played){0};
        } else if (d.what == REVOKE) {
            k->revoked = true;
        } else if (d.what == ROTATE) {
            k->previous = k->hash;
            k->hash = next_hash++;
        }
        for (int i = 0; i < HISTORY_KEYS; i++)
            if (keys[i].id) check_played(&keys[i]);
    }
    assert_int_equal(audit_entries(), acts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create__a_full_record_comes_back_by_hash_id_and_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_create__what_is_refused_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get__a_small_buffer_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named__prefixes_and_kinds_are_not_mixed_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotate__both_keys_hold_until_the_overlap_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete__not_with_children, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan__stays_as_long_as_somebody_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list__pages_cover_each_once_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version__changes_with_every_commit_and_outlives_a_dead_writer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_history__agrees_with_an_array, setup, teardown),
    };
    return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
