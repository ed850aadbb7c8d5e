// See limit_cell.h. The state is one word each, so the only question is which value it had when ours went in. A word guards no
// other memory: relaxed order is enough, but for rings, whose two words are changed in an order that others rely on.
#include "policy/limit_cell.h"

#include "base/check.h"

static_assert(LIMIT_DEBT_NS_MAX < INT64_MAX / 4, "now, debt and cost must fit");

static bool swap(_Atomic int64_t *word, int64_t *old, int64_t new)
{
    const bool done =
        atomic_compare_exchange_weak_explicit(word, old, new, memory_order_relaxed, memory_order_relaxed);
    LIMIT_STEP();
    return done;
}

// --- Slots.

bool limit_slot_take(_Atomic int64_t *word, int64_t limit, enum limit_force force, int64_t *ret_holders)
{
    int64_t n = limit_word(word);
    do {
        if (n >= limit && force != LIMIT_COUNT_ONLY) {
            *ret_holders = n;
            return false;
        }
    } while (!swap(word, &n, n + 1));
    *ret_holders = n + 1;
    return true;
}

void limit_slot_give(_Atomic int64_t *word)
{
    int64_t n = limit_word(word);
    do {
        if (COUNT_IF(n <= 0)) return; // given back twice: better one too few than a count below zero
    } while (!swap(word, &n, n - 1));
}

// --- Buckets.

static int64_t cost_ns(const struct limit_bucket *b, int64_t n)
{
    return n <= LIMIT_DEBT_NS_MAX / b->unit_ns ? n * b->unit_ns : LIMIT_DEBT_NS_MAX;
}

bool limit_bucket_make(int64_t limit, int64_t window_ns, int64_t burst, struct limit_bucket *ret)
{
    if (limit < 1 || window_ns < 1 || window_ns > LIMIT_FILL_NS_MAX || burst < 0) return false;
    const int64_t unit_ns = (window_ns + limit - 1) / limit; // rounded up: never more than was asked for
    if (burst == 0) burst = limit;
    if (unit_ns < LIMIT_UNIT_NS_MIN || burst > 2 * LIMIT_FILL_NS_MAX / unit_ns) return false;
    *ret = (struct limit_bucket){.unit_ns = unit_ns, .burst = burst};
    return true;
}

bool limit_bucket_take(_Atomic int64_t *word, const struct limit_bucket *b, int64_t n, int64_t now_ns,
                       int64_t *ret_used_ns)
{
    MUST(n >= 0 && n <= b->burst);
    const int64_t cost = n * b->unit_ns, room = b->burst * b->unit_ns;
    int64_t full_at = limit_word(word);
    int64_t next;
    do {
        const int64_t from =
            full_at > now_ns ? full_at : now_ns; // filled up in the past: full now, no fuller
        next = from + cost;
        if (next - now_ns > room) {
            *ret_used_ns = from - now_ns;
            return false;
        }
    } while (!swap(word, &full_at, next));
    *ret_used_ns = next - now_ns;
    return true;
}

void limit_bucket_add(_Atomic int64_t *word, const struct limit_bucket *b, int64_t n, int64_t now_ns)
{
    const int64_t change = n >= 0 ? cost_ns(b, n) : -cost_ns(b, n == INT64_MIN ? INT64_MAX : -n);
    int64_t full_at = limit_word(word);
    int64_t next;
    do {
        // A bucket that was full for long is full now: the debt begins now. What is given back to it is lost.
        next = (change > 0 && full_at < now_ns ? now_ns : full_at) + change;
        if (next > now_ns + LIMIT_DEBT_NS_MAX) next = now_ns + LIMIT_DEBT_NS_MAX;
        if (next < 0) next = 0;
    } while (!swap(word, &full_at, next));
}

// --- Counts.

struct parts {
    uint32_t period;
    int64_t amount;
};

static uint32_t period_mask(uint8_t bits)
{
    return (uint32_t)(UINT64_MAX >> bits);
}

static struct parts parts_of(int64_t word, uint8_t bits)
{
    return (struct parts){(uint32_t)((uint64_t)word >> bits), word & LIMIT_AMOUNT_MAX(bits)};
}

static int64_t word_of(uint32_t period, int64_t amount, uint8_t bits)
{
    if (amount > LIMIT_AMOUNT_MAX(bits)) amount = LIMIT_AMOUNT_MAX(bits);
    return (int64_t)((uint64_t)period << bits | (uint64_t)amount);
}

// Where the word stands beside the caller's period: 0 the same, > 0 so many periods on, < 0 so many back (or never used).
static int32_t on_by(int64_t word, struct parts p, const struct limit_count *k)
{
    if (word == 0) return INT32_MIN;
    const uint32_t mask = period_mask(k->bits), on = (p.period - k->period) & mask;
    if (RW_LIKELY(on == 0)) return 0;
    return on <= LIMIT_BEHIND_MAX ? (int32_t)on : -(int32_t)((mask - on) & INT32_MAX) - 1;
}

static bool fits(int64_t used, int64_t n, int64_t limit, enum limit_force force)
{
    if (force == LIMIT_COUNT_ONLY || n == 0) return true; // who takes nothing is never in the way
    return used < limit && (force == LIMIT_SOFT || n <= limit - used);
}

bool limit_count_take(_Atomic int64_t *word, const struct limit_count *k, int64_t n, enum limit_force force,
                      int64_t *ret_left, bool *ret_ahead)
{
    MUST(n >= 0);
    int64_t old = limit_word(word), used, next;
    bool ok;
    int32_t on;
    do {
        const struct parts p = parts_of(old, k->bits);
        on = on_by(old, p, k);
        used = on >= 0 ? p.amount : 0;
        ok = fits(used, n, k->limit, force);
        if (!ok) break;
        if (n > LIMIT_AMOUNT_MAX(k->bits)) n = LIMIT_AMOUNT_MAX(k->bits);
        next = word_of(on >= 0 ? p.period : k->period & period_mask(k->bits), used + n, k->bits);
    } while (!swap(word, &old, next));
    if (ok) used += n;
    *ret_left = used < k->limit ? k->limit - used : 0;
    *ret_ahead = on == 1;
    return ok;
}

static int64_t amount_add(int64_t amount, int64_t n, uint8_t bits)
{
    if (n < 0) return -n < amount ? amount + n : 0;
    return n < LIMIT_AMOUNT_MAX(bits) - amount ? amount + n : LIMIT_AMOUNT_MAX(bits);
}

void limit_count_add(_Atomic int64_t *word, const struct limit_count *k, int64_t n)
{
    int64_t old = limit_word(word), next;
    do {
        const struct parts p = parts_of(old, k->bits);
        const int32_t on = on_by(old, p, k);
        if (on > 0 || (on < 0 && n <= 0)) return; // that period is over, or had nothing
        next = word_of(k->period & period_mask(k->bits), amount_add(on == 0 ? p.amount : 0, n, k->bits),
                       k->bits);
    } while (!swap(word, &old, next));
}

void limit_count_fill(_Atomic int64_t *word, const struct limit_count *k, int64_t n)
{
    int64_t old = limit_word(word), next;
    do {
        const struct parts p = parts_of(old, k->bits);
        const int32_t on = on_by(old, p, k);
        if (on > 0 || (on == 0 && p.amount > 0)) return;
        next = word_of(k->period & period_mask(k->bits), amount_add(0, n, k->bits), k->bits);
    } while (!swap(word, &old, next));
}

int64_t limit_count_used(const _Atomic int64_t *word, const struct limit_count *k)
{
    const int64_t v = limit_word(word);
    const struct parts p = parts_of(v, k->bits);
    return on_by(v, p, k) >= 0 ? p.amount : 0;
}

// --- Rings.

// The total as it would be at the caller's slot: what was taken in slots that have left is subtracted. The word itself moves on
// when somebody takes.
static struct parts moved_on(const struct limit_ring *r, const struct limit_count *k, int64_t word)
{
    struct parts p = parts_of(word, k->bits);
    const int32_t on = on_by(word, p, k);
    if (on >= 0) return p;
    if (on <= -(int32_t)r->slots) return (struct parts){k->period & period_mask(k->bits), 0};
    for (int32_t i = on; i < 0; i++) {
        p.period = (p.period + 1) & period_mask(k->bits);
        const uint32_t leaves = (p.period - r->slots) & period_mask(k->bits);
        const struct parts slot = parts_of(limit_word(r->slot[leaves % LIMIT_RING_SLOTS]), k->bits);
        if (slot.period == leaves) p.amount = amount_add(p.amount, -slot.amount, k->bits);
    }
    return p;
}

// Books n in the slot of that number, which nobody has reused yet, or for the first time.
static void slot_add(const struct limit_ring *r, const struct limit_count *k, uint32_t period, int64_t n)
{
    _Atomic int64_t *word = r->slot[period % LIMIT_RING_SLOTS];
    int64_t old = limit_word(word), next;
    do {
        const struct parts p = parts_of(old, k->bits);
        const struct limit_count own = {.period = period, .bits = k->bits};
        const int32_t on = on_by(old, p, &own);
        if (on > 0 || (on < 0 && n <= 0)) return;
        next = word_of(period, amount_add(on == 0 ? p.amount : 0, n, k->bits), k->bits);
    } while (!swap(word, &old, next));
}

bool limit_ring_take(const struct limit_ring *r, const struct limit_count *k, int64_t n,
                     enum limit_force force, int64_t *ret_left, bool *ret_ahead)
{
    MUST(n >= 0 && r->slots <= LIMIT_RING_SLOTS);
    int64_t old = limit_word(r->total), next;
    struct parts p;
    do {
        p = moved_on(r, k, old);
        if (!fits(p.amount, n, k->limit, force)) {
            *ret_left = p.amount < k->limit ? k->limit - p.amount : 0;
            return false;
        }
        if (n > LIMIT_AMOUNT_MAX(k->bits)) n = LIMIT_AMOUNT_MAX(k->bits);
        next = word_of(p.period, p.amount + n, k->bits);
    } while (!swap(r->total, &old, next));
    atomic_thread_fence(memory_order_seq_cst);
    slot_add(r, k, p.period, n);
    p.amount += n;
    *ret_left = p.amount < k->limit ? k->limit - p.amount : 0;
    *ret_ahead = p.period == ((k->period + 1) & period_mask(k->bits));
    return true;
}

// Changes the total by n if the slot k->period still belongs to it. False: it does not.
static bool total_add(const struct limit_ring *r, const struct limit_count *k, int64_t n)
{
    int64_t old = limit_word(r->total), next;
    do {
        const struct parts p = moved_on(r, k, old);
        const uint32_t age = (p.period - k->period) & period_mask(k->bits);
        if (age >= r->slots) return false;
        next = word_of(p.period, amount_add(p.amount, n, k->bits), k->bits);
    } while (!swap(r->total, &old, next));
    return true;
}

void limit_ring_add(const struct limit_ring *r, const struct limit_count *k, int64_t n)
{
    const uint32_t period = k->period & period_mask(k->bits);
    if (n > 0) {
        if (!total_add(r, k, n)) return;
        atomic_thread_fence(memory_order_seq_cst);
        slot_add(r, k, period, n);
    } else if (n < 0) {
        slot_add(r, k, period, n);
        atomic_thread_fence(memory_order_seq_cst);
        (void)total_add(r, k, n);
    }
}

int64_t limit_ring_used(const struct limit_ring *r, const struct limit_count *k)
{
    return moved_on(r, k, limit_word(r->total)).amount;
}
