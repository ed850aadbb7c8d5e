// limit_cell: the arithmetic on single words. Situations with the clock moved by hand; then every interleaving of two and three
// callers: the source is compiled into this file with a hook between each load and compare-and-swap, at which a caller stands
// still while the others go on, in all orders; then the same with real threads (and under TSan with whatever it finds).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <ucontext.h>

static void step(void);
#define LIMIT_STEP() step()
#include "policy/limit_cell.c"

#define SEC CLOCK_SEC
static const int64_t t0 = 1000 * SEC;
static const struct limit_bucket per_minute = {.unit_ns = SEC, .burst = 10}; // 60 a minute, 10 at once

static int64_t left_of(const _Atomic int64_t *word, const struct limit_bucket *b, int64_t now_ns)
{
    return limit_bucket_left(b, limit_bucket_used_ns(word, now_ns));
}

// --- Slots and buckets.

static void test_slot_take__up_to_the_limit_and_again_after_a_give(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    int64_t n = 0;
    assert_true(limit_slot_take(&word, 2, LIMIT_ENFORCE, &n));
    assert_true(limit_slot_take(&word, 2, LIMIT_ENFORCE, &n));
    assert_int_equal(n, 2);
    assert_false(limit_slot_take(&word, 2, LIMIT_ENFORCE, &n));
    assert_int_equal(n, 2);
    assert_true(limit_slot_take(&word, 2, LIMIT_COUNT_ONLY, &n));
    assert_int_equal(n, 3);
    limit_slot_give(&word);
    limit_slot_give(&word);
    assert_true(limit_slot_take(&word, 2, LIMIT_ENFORCE, &n));
}

static void test_slot_give__never_below_zero(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    limit_slot_give(&word);
    assert_int_equal(word, 0);
}

static void test_bucket_take__burst_then_wait(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    int64_t used = 0;
    for (int i = 0; i < 10; i++) assert_true(limit_bucket_take(&word, &per_minute, 1, t0, &used));
    assert_int_equal(used, 10 * SEC);
    assert_false(limit_bucket_take(&word, &per_minute, 1, t0, &used));
    assert_int_equal(used, 10 * SEC); // so one fits in a second
    assert_false(limit_bucket_take(&word, &per_minute, 1, t0 + SEC - 1, &used));
    assert_true(limit_bucket_take(&word, &per_minute, 1, t0 + SEC, &used));
}

static void test_bucket_take__idle_holds_no_more_than_burst(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    int64_t used = 0;
    assert_true(limit_bucket_take(&word, &per_minute, 10, t0, &used));
    assert_int_equal(left_of(&word, &per_minute, t0), 0);
    assert_int_equal(left_of(&word, &per_minute, t0 + 3600 * SEC), 10);
}

static void test_bucket_take__clock_back_grants_nothing(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    int64_t used = 0;
    assert_true(limit_bucket_take(&word, &per_minute, 10, t0, &used));
    assert_false(limit_bucket_take(&word, &per_minute, 1, t0 - 500 * SEC, &used));
}

static void test_bucket_add__debt_is_waited_for_and_refund_is_bounded(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    int64_t used = 0;
    assert_true(limit_bucket_take(&word, &per_minute, 2, t0, &used));
    limit_bucket_add(&word, &per_minute, 13, t0); // five above the burst
    assert_int_equal(left_of(&word, &per_minute, t0), 0);
    assert_false(limit_bucket_take(&word, &per_minute, 1, t0, &used));
    assert_int_equal(used, 15 * SEC);
    limit_bucket_add(&word, &per_minute, -15, t0);
    assert_int_equal(left_of(&word, &per_minute, t0), 10);
    limit_bucket_add(&word, &per_minute, -15, t0);
    assert_int_equal(left_of(&word, &per_minute, t0), 10);
    limit_bucket_add(&word, &per_minute, 3, t0 + 60 * SEC); // a bucket long full: the debt begins now
    assert_int_equal(left_of(&word, &per_minute, t0 + 60 * SEC), 7);
}

static void test_bucket_add__largest_debts_do_not_wrap(void **state)
{
    (void)state;
    const struct limit_bucket slow = {.unit_ns = LIMIT_DAY_NS, .burst = 1};
    _Atomic int64_t word = 0;
    int64_t used = 0;
    for (int i = 0; i < 2000; i++) limit_bucket_add(&word, &slow, INT64_MAX, t0);
    assert_false(limit_bucket_take(&word, &slow, 1, t0, &used));
    assert_int_equal(used, LIMIT_DEBT_NS_MAX);
    limit_bucket_add(&word, &slow, INT64_MIN, t0);
    assert_true(limit_bucket_take(&word, &slow, 1, t0, &used));
}

static void test_bucket_take__burst_is_the_same_however_it_is_split(void **state)
{
    (void)state;
    struct limit_bucket b;
    assert_true(limit_bucket_make(7, 60 * SEC, 0, &b)); // a token does not last a whole number of nanoseconds
    for (int64_t piece = 1; piece <= 7; piece++) {
        _Atomic int64_t word = 0;
        int64_t used = 0, got = 0;
        while (limit_bucket_take(&word, &b, piece, t0, &used)) got += piece;
        assert_int_equal(got, 7 / piece * piece);
        assert_int_equal(left_of(&word, &b, t0), 7 - got);
    }
}

static void test_bucket_take__never_faster_than_asked_for(void **state)
{
    (void)state;
    struct limit_bucket b;
    assert_true(limit_bucket_make(9000, SEC / 1000, 1, &b)); // 111.1 ns a token
    _Atomic int64_t word = 0;
    int64_t used = 0, got = 0;
    for (int64_t now = t0; now < t0 + SEC / 10;) {
        const bool ok = limit_bucket_take(&word, &b, 1, now, &used);
        got += ok;
        now += ok ? 1 : used + b.unit_ns - b.burst * b.unit_ns;
    }
    assert_in_range(got, 9000 * 99, 9000 * 100 + 1); // and the burst that was there at the start
}

static void test_bucket_make__refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    struct limit_bucket b;
    assert_false(limit_bucket_make(0, SEC, 1, &b));
    assert_false(limit_bucket_make(10, 0, 1, &b));
    assert_false(limit_bucket_make(10, SEC, -1, &b));
    assert_false(limit_bucket_make(10, LIMIT_FILL_NS_MAX + 1, 1, &b));
    assert_false(limit_bucket_make(SEC / 98, SEC, 1, &b));
    assert_false(limit_bucket_make(1, LIMIT_FILL_NS_MAX, 3, &b));
    assert_true(limit_bucket_make(SEC / 100, SEC, SEC / 100, &b));
    assert_true(limit_bucket_make(10, SEC, 25, &b)); // a burst above the rate
    assert_int_equal(b.burst, 25);
}

// --- Counts.

static bool count_take(_Atomic int64_t *word, uint32_t period, int64_t limit, int64_t n)
{
    const struct limit_count k = {.limit = limit, .period = period, .bits = LIMIT_MONEY_BITS};
    int64_t left;
    bool ahead;
    return limit_count_take(word, &k, n, LIMIT_ENFORCE, &left, &ahead);
}

static int64_t count_used(const _Atomic int64_t *word, uint32_t period)
{
    const struct limit_count k = {.period = period, .bits = LIMIT_MONEY_BITS};
    return limit_count_used(word, &k);
}

static void count_add(_Atomic int64_t *word, uint32_t period, int64_t n)
{
    const struct limit_count k = {.period = period, .bits = LIMIT_MONEY_BITS};
    limit_count_add(word, &k, n);
}

static void test_count_take__up_to_the_limit_and_anew_in_the_next_period(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    assert_true(count_take(&word, 20000, 100, 60));
    assert_false(count_take(&word, 20000, 100, 41));
    assert_true(count_take(&word, 20000, 100, 40));
    assert_false(count_take(&word, 20000, 100, 1));
    assert_true(count_take(&word, 20000, 100, 0)); // who takes nothing is never in the way
    assert_int_equal(count_used(&word, 20000), 100);
    assert_int_equal(count_used(&word, 20001), 0);
    assert_true(count_take(&word, 20001, 100, 100));
    assert_false(count_take(&word, 20001, 100, 1));
}

static void test_count_take__clock_back_takes_from_the_later_period(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    assert_true(count_take(&word, 20001, 100, 60));
    assert_false(count_take(&word, 20000, 100, 41));
    const struct limit_count k = {.limit = 100, .period = 20000, .bits = LIMIT_MONEY_BITS};
    int64_t left;
    bool ahead;
    assert_true(limit_count_take(&word, &k, 30, LIMIT_ENFORCE, &left, &ahead));
    assert_true(ahead);
    assert_int_equal(left, 10);
    assert_int_equal(count_used(&word, 20001), 90);
    count_add(&word, 20000, -30); // that period is not in the word
    assert_int_equal(count_used(&word, 20001), 90);
    count_add(&word, 20001, -30);
    assert_int_equal(count_used(&word, 20001), 60);
}

static void test_count_fill__only_where_nothing_was_counted(void **state)
{
    (void)state;
    struct limit_count k = {.period = 100, .limit = 50, .bits = LIMIT_TOKEN_BITS};
    _Atomic int64_t word = 0;
    limit_count_fill(&word, &k, 30);
    assert_int_equal(limit_count_used(&word, &k), 30);
    limit_count_fill(&word, &k, 40);
    assert_int_equal(limit_count_used(&word, &k), 30);
    k.period++;
    limit_count_fill(&word, &k, 7);
    assert_int_equal(limit_count_used(&word, &k), 7);
    k.period--; // a clock that is behind changes nothing
    limit_count_fill(&word, &k, 9);
    k.period++;
    assert_int_equal(limit_count_used(&word, &k), 7);
}

static void test_count_take__every_period_number_begins_empty(void **state)
{
    (void)state;
    for (uint8_t bits = LIMIT_TOKEN_BITS; bits <= LIMIT_MONTH_BITS; bits += 4)
        for (uint32_t period = 0; period < 10000; period++) {
            const struct limit_count k = {.limit = 10, .period = period, .bits = bits};
            int64_t left;
            bool ahead;
            _Atomic int64_t fresh = 0;
            assert_true(limit_count_take(&fresh, &k, 10, LIMIT_ENFORCE, &left, &ahead));
            assert_false(limit_count_take(&fresh, &k, 1, LIMIT_ENFORCE, &left, &ahead));
            assert_false(ahead);
            const struct limit_count next = {.limit = 10, .period = period + 1, .bits = bits};
            assert_int_equal(limit_count_used(&fresh, &k), 10);
            assert_int_equal(limit_count_used(&fresh, &next), 0);
        }
}

static void test_count_take__soft_admits_while_anything_is_left(void **state)
{
    (void)state;
    const struct limit_count k = {.limit = 100, .period = 7, .bits = LIMIT_MONEY_BITS};
    _Atomic int64_t word = 0;
    int64_t left;
    bool ahead;
    assert_true(limit_count_take(&word, &k, 99, LIMIT_SOFT, &left, &ahead));
    assert_int_equal(left, 1);
    assert_true(limit_count_take(&word, &k, 50, LIMIT_SOFT, &left, &ahead));
    assert_int_equal(left, 0);
    assert_false(limit_count_take(&word, &k, 1, LIMIT_SOFT, &left, &ahead));
    assert_true(limit_count_take(&word, &k, 1, LIMIT_COUNT_ONLY, &left, &ahead));
    assert_int_equal(limit_count_used(&word, &k), 150);
}

static void test_count_add__amount_stays_within_its_bits(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    count_add(&word, 5, 10);
    count_add(&word, 5, -20);
    assert_int_equal(count_used(&word, 5), 0);
    count_add(&word, 5, 7);
    for (int i = 0; i < 3; i++) count_add(&word, 5, LIMIT_AMOUNT_MAX(LIMIT_MONEY_BITS));
    assert_int_equal(count_used(&word, 5), LIMIT_AMOUNT_MAX(LIMIT_MONEY_BITS));
    assert_false(count_take(&word, 5, LIMIT_AMOUNT_MAX(LIMIT_MONEY_BITS), 1));
    assert_true(count_take(&word, 6, LIMIT_AMOUNT_MAX(LIMIT_MONEY_BITS), 1));
}

// --- Rings.

struct ring_words {
    _Atomic int64_t total, slot[LIMIT_RING_SLOTS];
};

static struct limit_ring ring_of(struct ring_words *w, uint32_t slots)
{
    struct limit_ring r = {.total = &w->total, .slots = slots};
    for (int i = 0; i < LIMIT_RING_SLOTS; i++) r.slot[i] = &w->slot[i];
    return r;
}

static bool ring_take(struct ring_words *w, uint32_t slot, int64_t limit, int64_t n)
{
    const struct limit_ring r = ring_of(w, 24);
    const struct limit_count k = {.limit = limit, .period = slot, .bits = LIMIT_MONEY_BITS};
    int64_t left;
    bool ahead;
    return limit_ring_take(&r, &k, n, LIMIT_ENFORCE, &left, &ahead);
}

static void ring_add(struct ring_words *w, uint32_t slot, int64_t n)
{
    const struct limit_ring r = ring_of(w, 24);
    const struct limit_count k = {.period = slot, .bits = LIMIT_MONEY_BITS};
    limit_ring_add(&r, &k, n);
}

static int64_t ring_used(struct ring_words *w, uint32_t slot)
{
    const struct limit_ring r = ring_of(w, 24);
    const struct limit_count k = {.period = slot, .bits = LIMIT_MONEY_BITS};
    return limit_ring_used(&r, &k);
}

static void test_ring_take__what_was_taken_leaves_with_its_slot(void **state)
{
    (void)state;
    struct ring_words w = {0};
    assert_true(ring_take(&w, 1000, 100, 30));
    assert_true(ring_take(&w, 1005, 100, 70));
    assert_false(ring_take(&w, 1023, 100, 1)); // the slot 1000 is the 24th
    assert_true(ring_take(&w, 1024, 100, 30)); // and left
    assert_false(ring_take(&w, 1024, 100, 1));
    assert_int_equal(ring_used(&w, 1028), 100);
    assert_int_equal(ring_used(&w, 1029), 30);
    assert_int_equal(ring_used(&w, 1048), 0);
    assert_true(ring_take(&w, 9999, 100, 100));
}

static void test_ring_add__only_while_the_slot_is_in_the_window(void **state)
{
    (void)state;
    struct ring_words w = {0};
    assert_true(ring_take(&w, 1000, 100, 30));
    assert_true(ring_take(&w, 1010, 100, 20));
    ring_add(&w, 1000, -10); // settled later: less
    assert_int_equal(ring_used(&w, 1010), 40);
    ring_add(&w, 1000, 5); // and more
    assert_int_equal(ring_used(&w, 1010), 45);
    assert_int_equal(ring_used(&w, 1024), 20); // all 25 of the slot left with it
    assert_true(ring_take(&w, 1024, 100, 1));
    ring_add(&w, 1000, -10); // too late: it is not subtracted twice
    ring_add(&w, 1000, 10);
    assert_int_equal(ring_used(&w, 1024), 21);
}

static void test_ring_take__against_a_list_of_all_takes(void **state)
{
    (void)state;
    struct ring_words w = {0};
    static int64_t taken[10000];
    uint64_t x = 88172645463325252u;
    for (uint32_t now = 4000; now < 9000; now++) { // over the place where numbers of 12 bits repeat, twice
        for (int i = 0; i < 3; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            const int64_t n = (int64_t)(x % 40);
            int64_t sum = 0;
            for (uint32_t s = now - 23; s <= now; s++) sum += taken[s];
            assert_int_equal(ring_used(&w, now), sum);
            const bool ok = ring_take(&w, now, 500, n);
            assert_int_equal(ok, n == 0 || sum + n <= 500);
            if (ok) taken[now] += n;
            if (x & 1 << 20 && taken[now - 3] > 0) ring_add(&w, now - 3, -1), taken[now - 3]--;
        }
        if (x % 97 == 0) now += (uint32_t)(x >> 32) % 40; // nobody comes for a while
    }
}

// --- Every interleaving. Callers are coroutines; at each step() one may be left and another one goes on. A schedule is the list
// of choices; after each run the last choice that could have been another is changed, until none can.

enum { ACTORS_MAX = 3, STACK_BYTES = 64 * 1024, CHOICES_MAX = 64 };

struct actor {
    ucontext_t context;
    void (*run)(int);
    bool done;
};
static struct actor actors[ACTORS_MAX];
static ucontext_t scheduler;
static int current = -1;
static char stacks[ACTORS_MAX][STACK_BYTES];

static void step(void)
{
    if (current >= 0) swapcontext(&actors[current].context, &scheduler);
}

static void actor_main(int i)
{
    actors[i].run(i);
    actors[i].done = true;
}

static void actor_begin(int i, void (*run)(int))
{
    struct actor *a = &actors[i];
    a->run = run;
    a->done = false;
    getcontext(&a->context);
    a->context.uc_stack.ss_sp = stacks[i];
    a->context.uc_stack.ss_size = STACK_BYTES;
    a->context.uc_link = &scheduler;
    makecontext(&a->context, (void (*)(void))actor_main, 1, i);
}

// Runs all schedules of the actors; returns how many there were. A schedule with more than CHOICES_MAX steps would be a loop
// without an end.
static int all_orders(int count, void (*const *run)(int), void (*before)(void), void (*after)(void))
{
    int choice[CHOICES_MAX] = {0}, options[CHOICES_MAX], runs = 0;
    for (;;) {
        before();
        for (int i = 0; i < count; i++) actor_begin(i, run[i]);
        int depth = 0;
        for (;; depth++) {
            int ready[ACTORS_MAX], n = 0;
            for (int i = 0; i < count; i++)
                if (!actors[i].done) ready[n++] = i;
            if (n == 0) break;
            assert_true(depth < CHOICES_MAX);
            options[depth] = n;
            current = ready[choice[depth]];
            swapcontext(&scheduler, &actors[current].context);
            current = -1;
        }
        after();
        runs++;
        int last = depth - 1;
        while (last >= 0 && choice[last] + 1 == options[last]) last--;
        if (last < 0) return runs;
        choice[last]++;
        memset(choice + last + 1, 0, sizeof choice - (size_t)(last + 1) * sizeof *choice);
    }
}

static struct ring_words shared;
static bool won[ACTORS_MAX];
static int64_t amount[ACTORS_MAX];

static void nothing_taken(void)
{
    memset(&shared, 0, sizeof shared);
    memset(won, 0, sizeof won);
}

static int64_t won_sum(void)
{
    int64_t sum = 0;
    for (int i = 0; i < ACTORS_MAX; i++) sum += won[i] ? amount[i] : 0;
    return sum;
}

static void slot_taker(int i)
{
    int64_t n;
    won[i] = limit_slot_take(&shared.total, 2, LIMIT_ENFORCE, &n);
}

static void slot_user(int i)
{
    int64_t n;
    won[i] = limit_slot_take(&shared.total, 2, LIMIT_ENFORCE, &n);
    if (won[i]) limit_slot_give(&shared.total);
}

static void slot_quick_user(int i)
{
    int64_t n;
    won[i] = limit_slot_try(&shared.total, 2) || limit_slot_take(&shared.total, 2, LIMIT_ENFORCE, &n);
    if (won[i] && !limit_slot_give_try(&shared.total)) limit_slot_give(&shared.total);
}

static void two_of_three(void)
{
    assert_int_equal(won[0] + won[1] + won[2], 2);
    assert_int_equal(shared.total, 2);
}

static void none_held(void)
{
    assert_int_equal(shared.total, 0);
    assert_true(won[0] && won[1]);
}

static void bucket_taker(int i)
{
    int64_t used;
    won[i] = limit_bucket_take(&shared.total, &per_minute, amount[i], t0, &used);
}

static void bucket_within_burst(void)
{
    assert_true(won_sum() <= 10);
    assert_true(won_sum() >=
                8); // what fits is not refused: the second of 4, 4 and 5 always fits with one of the others
    assert_int_equal(shared.total, t0 + won_sum() * SEC);
}

static void bucket_settler(int i)
{
    int64_t used;
    won[i] = limit_bucket_take(&shared.total, &per_minute, 4, t0, &used);
    if (won[i]) limit_bucket_add(&shared.total, &per_minute, amount[i] - 4, t0);
}

// As limit.c does: one try, then the whole function.
static void bucket_quick_settler(int i)
{
    int64_t used;
    won[i] = limit_bucket_try(&shared.total, SEC, 10 * SEC, 4, t0, &used) ||
        limit_bucket_take(&shared.total, &per_minute, 4, t0, &used);
    if (won[i]) limit_bucket_back(&shared.total, SEC, 4 - amount[i]);
}

static void bucket_settled(void)
{
    assert_int_equal(shared.total, t0 + won_sum() * SEC);
}

static void count_taker(int i)
{
    // The clock of the third is in the next period.
    won[i] = count_take(&shared.total, i == 2 ? 21 : 20, 10, amount[i]);
}

static void count_within_limit(void)
{
    assert_true(won[2]);
    const int64_t later = count_used(&shared.total, 21);
    assert_true(later <= 10 && later >= amount[2]);
    assert_true(won[0] || won[1]);
}

static void count_settler(int i)
{
    won[i] = count_take(&shared.total, 20, 10, 4);
    if (won[i]) count_add(&shared.total, 20, amount[i] - 4);
}

static void count_quick_settler(int i)
{
    const int64_t base = limit_count_base(20, LIMIT_MONEY_BITS);
    int64_t left;
    won[i] = limit_count_try(&shared.total, base, 10, 4, &left) || count_take(&shared.total, 20, 10, 4);
    if (won[i] && !limit_count_back_try(&shared.total, base, 10, 4 - amount[i]))
        count_add(&shared.total, 20, amount[i] - 4);
}

// In the next period: what is given back to the one before must not come out of its amount.
static void count_in_the_next(int i)
{
    won[i] = count_take(&shared.total, 21, 10, 5);
}

static void count_not_of_the_next(void)
{
    assert_true(won[1]);
    const int64_t used = count_used(&shared.total, 21);
    assert_true(used == 5 || (used >= 5 + amount[0] && used <= 9)); // who came later was charged there
}

static void count_settled(void)
{
    assert_int_equal(count_used(&shared.total, 20), won_sum());
}

static void ring_begun(void)
{
    nothing_taken();
    const int at = current;
    current = -1;
    assert_true(ring_take(&shared, 1000, 10, 3));
    assert_true(ring_take(&shared, 1023, 10, 4));
    current = at;
}

static void ring_taker(int i)
{
    won[i] = ring_take(&shared, 1024, 10, amount[i]); // in which slot 1000 leaves
}

static void ring_giver(int i)
{
    (void)i;
    ring_add(&shared, 1000, -2); // late, in the slot that leaves
}

static void ring_within_limit(void)
{
    const int64_t used = ring_used(&shared, 1024);
    assert_int_equal(used, 4 + won_sum());
    assert_true(used <= 10);
    assert_true(won[0] || won[1]);
    assert_int_equal(ring_used(&shared, 1047), won_sum()); // the slots know the same as the total
}

// What is given back at the very moment its slot leaves may stay in the total: too much, never too little.
static void ring_never_too_little(void)
{
    const int64_t used = ring_used(&shared, 1024);
    assert_true(used >= 4 + won_sum() && used <= 6 + won_sum() && used <= 10);
}

static void test_interleavings__slots(void **state)
{
    (void)state;
    void (*const takers[])(int) = {slot_taker, slot_taker, slot_taker};
    void (*const users[])(int) = {slot_user, slot_user};
    void (*const mixed[])(int) = {slot_quick_user, slot_user};
    void (*const quick[])(int) = {slot_quick_user, slot_quick_user};
    assert_true(all_orders(3, takers, nothing_taken, two_of_three) > 100);
    assert_true(all_orders(2, users, nothing_taken, none_held) > 50);
    assert_true(all_orders(2, mixed, nothing_taken, none_held) > 50);
    assert_true(all_orders(2, quick, nothing_taken, none_held) > 50);
}

static void test_interleavings__buckets(void **state)
{
    (void)state;
    amount[0] = 4, amount[1] = 4, amount[2] = 5;
    void (*const takers[])(int) = {bucket_taker, bucket_taker, bucket_taker};
    assert_true(all_orders(3, takers, nothing_taken, bucket_within_burst) > 100);
    amount[0] = 1, amount[1] = 9, amount[2] = 0;
    void (*const settlers[])(int) = {bucket_settler, bucket_settler};
    assert_true(all_orders(2, settlers, nothing_taken, bucket_settled) > 50);
    amount[0] = 1, amount[1] = 3;
    void (*const mixed[])(int) = {bucket_quick_settler, bucket_settler};
    void (*const quick[])(int) = {bucket_quick_settler, bucket_quick_settler};
    assert_true(all_orders(2, mixed, nothing_taken, bucket_settled) > 20);
    assert_true(all_orders(2, quick, nothing_taken, bucket_settled) > 20);
}

static void test_interleavings__counts(void **state)
{
    (void)state;
    amount[0] = 6, amount[1] = 6, amount[2] = 3;
    void (*const takers[])(int) = {count_taker, count_taker, count_taker};
    assert_true(all_orders(3, takers, nothing_taken, count_within_limit) > 100);
    amount[0] = 1, amount[1] = 9, amount[2] = 0;
    void (*const settlers[])(int) = {count_settler, count_settler};
    assert_true(all_orders(2, settlers, nothing_taken, count_settled) > 50);
    amount[0] = 1, amount[1] = 3;
    void (*const mixed[])(int) = {count_quick_settler, count_settler};
    void (*const quick[])(int) = {count_quick_settler, count_quick_settler};
    void (*const late[])(int) = {count_quick_settler, count_in_the_next};
    assert_true(all_orders(2, mixed, nothing_taken, count_settled) > 50);
    assert_true(all_orders(2, quick, nothing_taken, count_settled) > 50);
    assert_true(all_orders(2, late, nothing_taken, count_not_of_the_next) > 20);
}

static void test_interleavings__rings(void **state)
{
    (void)state;
    amount[0] = 4, amount[1] = 4, amount[2] = 0;
    void (*const takers[])(int) = {ring_taker, ring_taker};
    assert_true(all_orders(2, takers, ring_begun, ring_within_limit) > 50);
    void (*const mixed[])(int) = {ring_taker, ring_giver};
    assert_true(all_orders(2, mixed, ring_begun, ring_never_too_little) > 50);
}

// --- Threads.

enum { THREADS = 4, TRIES = 50000 };
static const struct limit_bucket race = {.unit_ns = SEC, .burst = 50000};
static struct ring_words raced;

static void *bucket_racer(void *arg)
{
    int64_t used = 0, *got = arg;
    for (int i = 0; i < TRIES; i++) *got += limit_bucket_take(&raced.total, &race, 1, t0, &used);
    return NULL;
}

static void *count_racer(void *arg)
{
    int64_t *got = arg;
    for (int i = 0; i < TRIES; i++) {
        *got += count_take(&raced.total, 77, 50000, 3);
        if (i % 3 == 0) count_add(&raced.total, 77, 0);
    }
    return NULL;
}

static void *bucket_quick_racer(void *arg)
{
    int64_t used = 0, *got = arg;
    for (int i = 0; i < TRIES; i++) {
        *got += limit_bucket_try(&raced.total, SEC, 50000 * SEC, 1, t0, &used) ||
            limit_bucket_take(&raced.total, &race, 1, t0, &used);
        if (i % 3 == 0 && *got > 0) {
            limit_bucket_back(&raced.total, SEC, 1);
            (*got)--;
        }
    }
    return NULL;
}

static void *count_quick_racer(void *arg)
{
    const int64_t base = limit_count_base(77, LIMIT_MONEY_BITS);
    int64_t left, *got = arg;
    for (int i = 0; i < TRIES; i++) {
        const bool ok =
            limit_count_try(&raced.total, base, 50000, 3, &left) || count_take(&raced.total, 77, 50000, 3);
        *got += ok;
        if (!ok || i % 3) continue;
        if (!limit_count_back_try(&raced.total, base, 50000, 3)) count_add(&raced.total, 77, -3);
        (*got)--;
    }
    return NULL;
}

static void *ring_racer(void *arg)
{
    int64_t *got = arg;
    for (int i = 0; i < TRIES; i++) *got += ring_take(&raced, 1000 + (uint32_t)(i / 10000), 50000, 1);
    return NULL;
}

static void *slot_racer(void *arg)
{
    int64_t *got = arg, n;
    for (int i = 0; i < TRIES; i++) {
        if (!limit_slot_take(&raced.total, 2, LIMIT_ENFORCE, &n)) continue;
        (*got)++;
        if (n > 2) *got = INT64_MIN;
        limit_slot_give(&raced.total);
    }
    return NULL;
}

static int64_t run_threads(void *(*fn)(void *))
{
    memset(&raced, 0, sizeof raced);
    pthread_t thread[THREADS];
    int64_t got[THREADS] = {0}, sum = 0;
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, fn, &got[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        sum += got[i];
    }
    return sum;
}

static void test_threads__get_exactly_the_limit(void **state)
{
    (void)state;
    assert_int_equal(run_threads(bucket_racer), 50000);
    assert_int_equal(run_threads(count_racer), 16666);
    const int64_t buckets = run_threads(bucket_quick_racer);
    assert_true(buckets <= 50000 && raced.total == t0 + buckets * SEC);
    const int64_t counts = run_threads(count_quick_racer);
    assert_true(counts <= 16666 && count_used(&raced.total, 77) == 3 * counts);
    assert_int_equal(run_threads(ring_racer), 50000);
    assert_true(run_threads(slot_racer) > 0);
    assert_int_equal(raced.total, 0);
}

// --- One try: what it does is what the whole function does; what it leaves is as it was.

#define TRIES 20000

static int64_t pick(uint32_t *seed, int64_t most)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int64_t)(*seed >> 8) % (most + 1);
}

static void test_bucket_try__as_the_whole_function(void **state)
{
    (void)state;
    uint32_t seed = 1;
    int taken = 0;
    for (int i = 0; i < TRIES; i++) {
        const int64_t begun = t0 + (pick(&seed, 30) - 15) * SEC, n = pick(&seed, 10);
        _Atomic int64_t word = begun, other = begun;
        int64_t used = 0, other_used = 0;
        const bool fits = limit_bucket_take(&other, &per_minute, n, t0, &other_used);
        assert_int_equal(limit_bucket_try(&word, SEC, 10 * SEC, n, t0, &used), fits);
        assert_int_equal(word, fits ? other : begun);
        if (!fits) continue;
        taken++;
        assert_int_equal(used, other_used);
        limit_bucket_back(&word, SEC, n);
        limit_bucket_add(&other, &per_minute, -n, t0);
        assert_int_equal(word, other);
    }
    assert_true(taken > TRIES / 10);
}

static void test_bucket_back__of_one_that_is_full_by_now_makes_it_no_fuller(void **state)
{
    (void)state;
    _Atomic int64_t word = 5 * SEC; // soon after the boot
    int64_t used = 0;
    limit_bucket_back(&word, SEC, 10);
    assert_true(word < 0);
    assert_true(limit_bucket_try(&word, SEC, 10 * SEC, 10, t0, &used));
    assert_false(limit_bucket_try(&word, SEC, 10 * SEC, 1, t0, &used));
}

static void test_count_try__as_the_whole_function(void **state)
{
    (void)state;
    uint32_t seed = 2;
    int taken = 0, given = 0;
    for (int i = 0; i < TRIES; i++) {
        const uint32_t period = 20000 + (uint32_t)pick(&seed, 2);
        const struct limit_count k = {.limit = 100, .bits = LIMIT_MONEY_BITS, .period = period};
        const int64_t base = limit_count_base(period, LIMIT_MONEY_BITS), n = pick(&seed, 60);
        const int64_t begun = limit_count_base(20001, LIMIT_MONEY_BITS) + pick(&seed, 120);
        _Atomic int64_t word = begun, other = begun;
        int64_t left = 0, other_left = 0;
        bool ahead;
        if (limit_count_try(&word, base, k.limit, n, &left)) {
            assert_true(limit_count_take(&other, &k, n, LIMIT_ENFORCE, &other_left, &ahead) && !ahead);
            assert_int_equal(left, other_left);
            taken++;
        } else {
            assert_int_equal(word, begun);
        }
        const int64_t more = pick(&seed, 60);
        if (limit_count_back_try(&word, base, k.limit, more)) {
            limit_count_add(&other, &k, -more);
            given++;
        }
        assert_int_equal(word, other);
    }
    assert_true(taken > TRIES / 10 && given > TRIES / 10);
}

static void test_slot_try__up_to_the_limit(void **state)
{
    (void)state;
    _Atomic int64_t word = 0;
    assert_true(limit_slot_try(&word, 2));
    assert_true(limit_slot_try(&word, 2));
    assert_false(limit_slot_try(&word, 2));
    assert_int_equal(word, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_take__up_to_the_limit_and_again_after_a_give),
        cmocka_unit_test(test_slot_give__never_below_zero),
        cmocka_unit_test(test_bucket_take__burst_then_wait),
        cmocka_unit_test(test_bucket_take__idle_holds_no_more_than_burst),
        cmocka_unit_test(test_bucket_take__clock_back_grants_nothing),
        cmocka_unit_test(test_bucket_add__debt_is_waited_for_and_refund_is_bounded),
        cmocka_unit_test(test_bucket_add__largest_debts_do_not_wrap),
        cmocka_unit_test(test_bucket_take__burst_is_the_same_however_it_is_split),
        cmocka_unit_test(test_bucket_take__never_faster_than_asked_for),
        cmocka_unit_test(test_bucket_make__refuses_what_it_cannot_hold),
        cmocka_unit_test(test_count_take__up_to_the_limit_and_anew_in_the_next_period),
        cmocka_unit_test(test_count_take__clock_back_takes_from_the_later_period),
        cmocka_unit_test(test_count_fill__only_where_nothing_was_counted),
        cmocka_unit_test(test_count_take__every_period_number_begins_empty),
        cmocka_unit_test(test_count_take__soft_admits_while_anything_is_left),
        cmocka_unit_test(test_count_add__amount_stays_within_its_bits),
        cmocka_unit_test(test_ring_take__what_was_taken_leaves_with_its_slot),
        cmocka_unit_test(test_ring_add__only_while_the_slot_is_in_the_window),
        cmocka_unit_test(test_ring_take__against_a_list_of_all_takes),
        cmocka_unit_test(test_bucket_try__as_the_whole_function),
        cmocka_unit_test(test_bucket_back__of_one_that_is_full_by_now_makes_it_no_fuller),
        cmocka_unit_test(test_count_try__as_the_whole_function),
        cmocka_unit_test(test_slot_try__up_to_the_limit),
        cmocka_unit_test(test_interleavings__slots),
        cmocka_unit_test(test_interleavings__buckets),
        cmocka_unit_test(test_interleavings__counts),
        cmocka_unit_test(test_interleavings__rings),
        cmocka_unit_test(test_threads__get_exactly_the_limit),
    };
    return cmocka_run_group_tests_name("limit_cell", tests, NULL, NULL);
}
