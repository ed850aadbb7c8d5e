// The arithmetic of limits on single words of shared memory, which any number of threads and processes change at once. Four
// kinds:
//
//   slots    a count of holders that may not exceed a limit: concurrency.
//   bucket   a rate: a token bucket in one number, the moment at which it will be full again (the theoretical arrival time of
//            GCRA, ITU-T I.371 annex A). Taking n moves that moment n * unit_ns into the future; it may lie at most
//            burst * unit_ns ahead of now. Nothing has to run for it to refill.
//   count    what was taken in one period (a day, a month, a fixed window): the period's number and the amount in one word, so
//            that a new period begins by the same compare-and-swap that takes from it. Who gives back to a period that is over
//            gives back nothing.
//   ring     what was taken in the last n slots of time (rolling): a total, a count as above whose period is the latest slot,
//            and a count for each slot, which leaves the total when its time is over. The total is raised before the slot and
//            falls by what the slot says in the compare-and-swap that moves it on: an update that dies in between leaves too
//            much in the total, never too little.
//
// Owner    nobody: the words lie in mapped memory. All zero is "nothing taken".
// Thread   any; lock-free: one compare-and-swap, repeated only when another caller won in between. Never suspends.
// Clock    given. Nanoseconds of CLOCK_BOOTTIME for buckets. A period's number only grows: a caller whose clock is behind (up
//          to LIMIT_BEHIND_MAX periods) takes from the word's own period (*ret_ahead), so a step back grants nothing.
// Exact    A burst is the same number of tokens however it is split. A bucket's rate is never above the one asked for, and
//          below it by less than limit / window_ns (one part in 300,000 at 200,000 tokens a minute).
// Crash    Each function is one atomic change (ring: two, in the safe order): who dies inside has taken or has not.
#ifndef RINGWAY_POLICY_LIMIT_CELL_H
#define RINGWAY_POLICY_LIMIT_CELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

// Between the load of a word and the compare-and-swap another caller may come in: tests/unit/test_limit_cell.c defines this to
// let the others run here, in every order.
#ifndef LIMIT_STEP
#define LIMIT_STEP() ((void)0)
#endif

#define LIMIT_DAY_NS (86400 * CLOCK_SEC)
// Keeps the rounding of a rate below one percent: 600 million tokens a minute.
#define LIMIT_UNIT_NS_MIN INT64_C(100)
// No bucket needs longer to fill, and no debt is waited for longer than this.
#define LIMIT_FILL_NS_MAX LIMIT_DAY_NS
#define LIMIT_DEBT_NS_MAX (100 * LIMIT_DAY_NS)
#define LIMIT_BEHIND_MAX 32

// How a word is shared between the period's number and the amount.
#define LIMIT_TOKEN_BITS 40 // requests and tokens: 10^12 in a period; numbers repeat after 16 million periods
#define LIMIT_MONEY_BITS 52 // nano-dollars: 4.5 million dollars; numbers repeat after 4,096 days or hours
#define LIMIT_MONTH_BITS 56 // nano-dollars in a month: 72 million dollars; numbers repeat after 256 months
#define LIMIT_AMOUNT_MAX(bits) ((INT64_C(1) << (bits)) - 1)

// Whether a limit holds, or is only looked at.
enum limit_force {
    LIMIT_ENFORCE, // take if it fits
    LIMIT_SOFT, // take if there was anything left
    LIMIT_COUNT_ONLY, // take in any case
};

// --- Slots.
// *ret_holders: with this one, or as it is if refused.
bool limit_slot_take(_Atomic int64_t *word, int64_t limit, enum limit_force force, int64_t *ret_holders);
void limit_slot_give(_Atomic int64_t *word);

// --- Buckets.
struct limit_bucket {
    int64_t unit_ns; // time in which one token comes back
    int64_t burst; // tokens at once
};

// "limit per window, at most burst at once" (0: as many as limit). False, and *ret untouched, if that is out of range.
bool limit_bucket_make(int64_t limit, int64_t window_ns, int64_t burst, struct limit_bucket *ret);

// n: 0 to burst. True: taken, and *ret_used_ns how far from full it is now. False: left as it was, *ret_used_ns likewise; it
// would fit in *ret_used_ns + n * unit_ns - burst * unit_ns.
bool limit_bucket_take(_Atomic int64_t *word, const struct limit_bucket *b, int64_t n, int64_t now_ns,
                       int64_t *ret_used_ns);

// Books n more (a debt that later takes wait for), or fewer (n < 0: given back; never above full).
void limit_bucket_add(_Atomic int64_t *word, const struct limit_bucket *b, int64_t n, int64_t now_ns);

static inline int64_t limit_bucket_used_ns(const _Atomic int64_t *word, int64_t now_ns)
{
    const int64_t full_at = atomic_load_explicit(word, memory_order_relaxed);
    return full_at > now_ns ? full_at - now_ns : 0;
}

// Tokens that could be taken now; 0 while in debt.
static inline int64_t limit_bucket_left(const struct limit_bucket *b, int64_t used_ns)
{
    const int64_t room_ns = b->burst * b->unit_ns;
    return used_ns < room_ns ? (room_ns - used_ns) / b->unit_ns : 0;
}

// --- Counts.
struct limit_count {
    int64_t limit; // at most LIMIT_AMOUNT_MAX(bits)
    uint32_t period; // its number; only the bits that the word has for it count
    uint8_t bits; // of the amount
};

// n >= 0. *ret_left: what could be taken afterwards (0 if over the limit). *ret_ahead: the word was one period on, and n was
// taken from that.
bool limit_count_take(_Atomic int64_t *word, const struct limit_count *k, int64_t n, enum limit_force force,
                      int64_t *ret_left, bool *ret_ahead);

// Books n more or fewer in period k->period, if the word is still there. Never below 0.
void limit_count_add(_Atomic int64_t *word, const struct limit_count *k, int64_t n);

// What is known to have been used, where nothing of the period was counted yet; else nothing.
void limit_count_fill(_Atomic int64_t *word, const struct limit_count *k, int64_t n);
// What was taken in the period, or in a later one.
int64_t limit_count_used(const _Atomic int64_t *word, const struct limit_count *k);

// --- One try, inline, for what each request does. True: done, as the functions above would have. False: it does not fit, or
// somebody came in between, or it is not the ordinary case; nothing was changed, and the functions above decide.

static inline int64_t limit_word(const _Atomic int64_t *word)
{
    const int64_t v = atomic_load_explicit(word, memory_order_relaxed);
    LIMIT_STEP();
    return v;
}

static inline bool limit_word_try(_Atomic int64_t *word, int64_t old, int64_t new)
{
    const bool done =
        atomic_compare_exchange_strong_explicit(word, &old, new, memory_order_relaxed, memory_order_relaxed);
    LIMIT_STEP();
    return done;
}

static inline bool limit_slot_try(_Atomic int64_t *word, int64_t limit)
{
    const int64_t n = limit_word(word);
    return n < limit && limit_word_try(word, n, n + 1);
}

static inline bool limit_slot_give_try(_Atomic int64_t *word)
{
    const int64_t n = limit_word(word);
    return n > 0 && limit_word_try(word, n, n - 1);
}

// n at once; room_ns: burst * unit_ns. n * unit_ns does not overflow.
static inline bool limit_bucket_try(_Atomic int64_t *word, int64_t unit_ns, int64_t room_ns, int64_t n,
                                    int64_t now_ns, int64_t *ret_used_ns)
{
    const int64_t full_at = limit_word(word);
    const int64_t next = (full_at > now_ns ? full_at : now_ns) + n * unit_ns;
    *ret_used_ns = next - now_ns;
    return next - now_ns <= room_ns && limit_word_try(word, full_at, next);
}

// Gives back n that were taken. Always done; and where it is full by now nothing is lost: what lies in the past means full,
// however far.
static inline void limit_bucket_back(_Atomic int64_t *word, int64_t unit_ns, int64_t n)
{
    atomic_fetch_sub_explicit(word, n * unit_ns, memory_order_relaxed);
}

// What a count's word says at the beginning of a period.
static inline int64_t limit_count_base(uint32_t period, uint8_t bits)
{
    return (int64_t)((uint64_t)period << bits);
}

// Takes n (0 to limit) of a count whose word is in the period of the base: one of another differs from it by more than any
// limit. *ret_left: what could be taken afterwards.
static inline bool limit_count_try(_Atomic int64_t *word, int64_t base, int64_t limit, int64_t n,
                                   int64_t *ret_left)
{
    const int64_t old = limit_word(word);
    const uint64_t used = (uint64_t)old - (uint64_t)base, most = (uint64_t)(limit - n);
    *ret_left = (int64_t)(most - used);
    return used <= most && limit_word_try(word, old, old + n);
}

// Gives n back, of at most the limit.
static inline bool limit_count_back_try(_Atomic int64_t *word, int64_t base, int64_t limit, int64_t n)
{
    const int64_t old = limit_word(word);
    const uint64_t rest = (uint64_t)old - (uint64_t)base - (uint64_t)n;
    return rest <= (uint64_t)(limit - n) && limit_word_try(word, old, old - n);
}

// --- Rings.
// Slots lie in their words by their number modulo LIMIT_RING_SLOTS: a power of two, so that this goes on where numbers repeat.
#define LIMIT_RING_SLOTS 32
struct limit_ring {
    _Atomic int64_t *total;
    _Atomic int64_t *slot[LIMIT_RING_SLOTS];
    uint32_t slots; // of time in the window; at most LIMIT_RING_SLOTS
};

// As for counts; k->period is the slot's number.
bool limit_ring_take(const struct limit_ring *r, const struct limit_count *k, int64_t n,
                     enum limit_force force, int64_t *ret_left, bool *ret_ahead);
void limit_ring_add(const struct limit_ring *r, const struct limit_count *k, int64_t n);
int64_t limit_ring_used(const struct limit_ring *r, const struct limit_count *k);

#endif
