// See limit.h. Each part of each level is taken by one compare-and-swap; which parts were taken is remembered in one bit each,
// so that giving back is exact whatever was refused or only looked at. Levels that are joined in a list are first tried as a
// whole (limit_quick.h); while that stands, no bits are kept of them.
#include "policy/limit_quick.h"

#include <float.h>

// A place for one more request becomes free when another ends, and nobody knows when.
#define CONCURRENCY_WAIT_NS CLOCK_SEC

// hard: false is about money; a quota in requests or tokens is kept.
static enum limit_force force_of(const struct limit_set *set, bool money)
{
    return set->shadow ? LIMIT_COUNT_ONLY : money && !set->hard ? LIMIT_SOFT : LIMIT_ENFORCE;
}

// A rate takes at most its burst or its whole window: who needs more waits for a full one.
static int64_t most(const struct limit_part *p, int64_t n)
{
    const int64_t room = p->kind == LIMIT_K_BUCKET ? p->bucket.burst : p->limit;
    return n < room ? n : room;
}

static int64_t amount_of(const struct limit_part *p, int64_t tokens, int64_t nanos)
{
    if (limit_what_is_money(p->what)) return nanos;
    return limit_part_is_admit(p) ? 1 : most(p, tokens);
}

static struct limit_count count_of(const struct limit_part *p, const struct limit_when *at)
{
    struct limit_count k = {.limit = p->limit, .bits = p->bits};
    if (p->kind == LIMIT_K_DAY) k.period = at->day;
    else if (p->kind == LIMIT_K_MONTH) k.period = at->month;
    else k.period = (uint32_t)(at->utc_ns / p->window_ns);
    return k;
}

static _Atomic int64_t *ring_word(const struct limit_bound *b, const struct limit_part *p, unsigned i)
{
    return &b->cell[p->cell + i / LIMIT_RING_CELL_WORDS]->word[1 + i % LIMIT_RING_CELL_WORDS];
}

static struct limit_ring ring_of(const struct limit_bound *b, const struct limit_part *p)
{
    struct limit_ring r;
    r.total = ring_word(b, p, 0);
    for (unsigned i = 0; i < LIMIT_RING_SLOTS; i++) r.slot[i] = ring_word(b, p, 1 + i);
    r.slots = p->what == LIMIT_USD_MONTH ? LIMIT_RING_MONTH_SLOTS : LIMIT_RING_DAY_SLOTS;
    return r;
}

static _Atomic int64_t *word_of(const struct limit_bound *b, const struct limit_part *p)
{
    return &b->cell[p->cell]->word[p->word];
}

// The time until the part's period ends; of a ring until its oldest slot may leave.
static int64_t period_left_ns(const struct limit_part *p, const struct limit_time *t)
{
    const int64_t end = p->kind == LIMIT_K_DAY ? t->day_end_ns
        : p->kind == LIMIT_K_MONTH             ? t->month_end_ns
                                               : (t->at.utc_ns / p->window_ns + 1) * p->window_ns;
    return end > t->at.utc_ns ? end - t->at.utc_ns : 1;
}

// The view with the least remaining is the one to show.
static void show(struct limit *l, const struct limit_part *p, int64_t remaining, int64_t reset_ns)
{
    struct limit_view *v = limit_part_is_admit(p) ? &l->requests : &l->tokens;
    if (v->limit && v->remaining <= remaining) return;
    *v = (struct limit_view){p->limit, remaining, reset_ns};
}

struct taking {
    struct limit *l;
    enum limit_level level;
    const struct limit_time *t;
    const struct limit_when *at; // whose day and month are charged
    struct limit_refusal *why;
    int64_t least_room; // that a rate in tokens has for one request
};

static void note_shadow(const struct taking *k, bool refused)
{
    if (refused) k->l->shadowed |= (uint8_t)LIMIT_BIT(k->level);
}

static bool take_slot(const struct taking *k, const struct limit_bound *b, const struct limit_part *p)
{
    int64_t holders = b->holders;
    bool ok = b->set->shadow || holders <= p->limit;
    if (!b->lent) ok = limit_slot_take(word_of(b, p), p->limit, force_of(b->set, false), &holders);
    note_shadow(k, b->set->shadow && holders > p->limit);
    return ok;
}

static bool take_bucket(const struct taking *k, const struct limit_bound *b, const struct limit_part *p,
                        int64_t n, int64_t *ret_wait_ns)
{
    int64_t used_ns;
    const bool ok = limit_bucket_take(word_of(b, p), &p->bucket, n, k->t->now_ns, &used_ns);
    if (!ok) *ret_wait_ns = used_ns + n * p->bucket.unit_ns - p->bucket.burst * p->bucket.unit_ns;
    if (b->set->shadow) note_shadow(k, !ok);
    else show(k->l, p, limit_bucket_left(&p->bucket, used_ns), used_ns);
    return ok;
}

static int64_t count_used(const struct limit_bound *b, const struct limit_part *p,
                          const struct limit_count *k)
{
    if (p->kind != LIMIT_K_RING) return limit_count_used(word_of(b, p), k);
    const struct limit_ring ring = ring_of(b, p);
    return limit_ring_used(&ring, k);
}

static bool take_count(const struct taking *k, const struct limit_bound *b, const struct limit_part *p,
                       int64_t n, bool *ret_ahead)
{
    const struct limit_count count = count_of(p, p->kind == LIMIT_K_WINDOW ? &k->t->at : k->at);
    const bool money = limit_what_is_money(p->what);
    const enum limit_force force = force_of(b->set, money);
    if (b->set->shadow) note_shadow(k, n > 0 && count_used(b, p, &count) > p->limit - n);
    int64_t left;
    bool ok;
    if (p->kind == LIMIT_K_RING) {
        const struct limit_ring ring = ring_of(b, p);
        ok = limit_ring_take(&ring, &count, n, force, &left, ret_ahead);
    } else {
        ok = limit_count_take(word_of(b, p), &count, n, force, &left, ret_ahead);
    }
    if (!b->set->shadow && !money) show(k->l, p, left, period_left_ns(p, k->t));
    return ok;
}

// Takes n of part i of the level. False: refused, and *why says so. A limit in shadow never refuses.
static bool take(const struct taking *k, uint8_t i, int64_t n)
{
    const struct limit_bound *b = k->l->level[k->level];
    const struct limit_part *p = &b->set->part[i];
    bool ok, ahead = false;
    int64_t wait_ns = CONCURRENCY_WAIT_NS;
    if (p->kind == LIMIT_K_SLOTS) ok = take_slot(k, b, p);
    else if (p->kind == LIMIT_K_BUCKET) ok = take_bucket(k, b, p, n, &wait_ns);
    else ok = take_count(k, b, p, n, &ahead);
    const uint16_t bit = (uint16_t)(1u << i);
    if (ok) {
        // A top-up goes where the first part went, or is not given back.
        if (!(k->l->taken[k->level] & bit))
            k->l->ahead[k->level] = (uint16_t)((k->l->ahead[k->level] & ~bit) | (ahead ? bit : 0));
        k->l->taken[k->level] |= bit;
        return true;
    }
    if (b->set->shadow) return true;
    int64_t reset_ns = wait_ns;
    if (p->kind != LIMIT_K_SLOTS && p->kind != LIMIT_K_BUCKET) {
        reset_ns = period_left_ns(p, k->t);
        wait_ns = limit_what_is_money(p->what) ? LIMIT_NOT_BY_WAITING : reset_ns;
    }
    *k->why = (struct limit_refusal){k->level, (enum limit_what)p->what, p->limit, wait_ns, reset_ns};
    return false;
}

// Books n more (or fewer) of part i, which was taken at that moment: a period that is over is left alone, and so is one so
// long ago that its number may mean another.
static void add(struct limit *l, enum limit_level level, uint8_t i, int64_t n,
                const struct limit_when *taken_at, const struct limit_time *t)
{
    const struct limit_bound *b = l->level[level];
    const struct limit_part *p = &b->set->part[i];
    if (n == 0) return;
    if (p->kind == LIMIT_K_BUCKET) {
        limit_bucket_add(word_of(b, p), &p->bucket, n, t->now_ns);
        return;
    }
    struct limit_count count = count_of(p, taken_at);
    if (l->ahead[level] & 1u << i) count.period++;
    const int32_t ago = (int32_t)(count_of(p, &t->at).period - count.period);
    if (ago > LIMIT_RING_SLOTS) return;
    if (p->kind == LIMIT_K_RING) {
        const struct limit_ring ring = ring_of(b, p);
        limit_ring_add(&ring, &count, n);
    } else {
        limit_count_add(word_of(b, p), &count, n);
    }
}

// --- Concurrency, which a journal remembers.

static struct limit_hold *hold_of(struct limit *l)
{
    return l->hold ? l->hold : &l->own_hold;
}

// Marks follow the taking.
static void mark(struct limit *l, enum limit_level level)
{
    const struct limit_bound *b = l->level[level];
    const uint8_t cells = b->lent ? b->set->cells : b->set->count && b->set->part[0].kind == LIMIT_K_SLOTS;
    atomic_signal_fence(memory_order_release);
    for (uint8_t i = 0; i < cells; i++)
        hold_of(l)->held[(unsigned)level + i] = store_cells_index(l->cells, b->cell[i]) + 1;
}

// And are cleared before the giving back.
static void let_go(struct limit *l, enum limit_level level)
{
    const struct limit_bound *b = l->level[level];
    const bool slot = b->set->count && b->set->part[0].kind == LIMIT_K_SLOTS;
    const uint8_t n = b->lent ? b->set->cells : slot;
    for (uint8_t i = 0; i < n; i++) hold_of(l)->held[(unsigned)level + i] = 0;
    atomic_signal_fence(memory_order_seq_cst);
    if (b->lent)
        for (uint8_t i = 0; i < n; i++) store_cells_give(b->cell[i]);
    else if (slot && l->taken[level] & 1u) limit_slot_give(word_of(b, &b->set->part[0]));
}

static void leave(struct limit *l, enum limit_level level, bool give_requests, const struct limit_time *t)
{
    const struct limit_set *set = l->level[level]->set;
    for (uint8_t i = 0; give_requests && i < set->admit; i++)
        if (set->part[i].kind != LIMIT_K_SLOTS && l->taken[level] & 1u << i)
            add(l, level, i, -1, &l->admitted_at[level], t);
    let_go(l, level);
    l->admitted &= (uint8_t)~LIMIT_BIT(level);
    l->taken[level] = 0;
}

// Notes of the levels whose lists were taken as a whole what was taken of each, where it goes on part by part.
static __attribute__((noinline)) void spell_out(struct limit *l)
{
    for (unsigned i = 0; i < LIMIT_LISTS; i++) {
        const uint8_t levels = l->list[i] ? l->list[i]->levels & l->quick : 0;
        for (unsigned level = 0; levels >> level; level++) {
            if (!(levels & LIMIT_BIT(level))) continue;
            const struct limit_set *set = l->level[level]->set;
            l->admitted_at[level] = l->list_at[i];
            l->taken[level] = (uint16_t)((1u << (l->reserved ? set->count : set->admit)) - 1);
            l->ahead[level] = 0;
        }
    }
    l->quick = 0;
}

// Level `refused` refused: what this call took is given back, also what was lent for levels that it did not come to.
static void step_back(struct limit *l, unsigned refused, uint32_t levels, uint8_t before,
                      const struct limit_time *t)
{
    spell_out(l);
    for (unsigned level = 0; level < LIMIT_LEVELS; level++) {
        if (!(levels & LIMIT_BIT(level)) || before & LIMIT_BIT(level) || !l->level[level]) continue;
        if (level <= refused || l->admitted & LIMIT_BIT(level)) leave(l, (enum limit_level)level, true, t);
        else if (l->level[level]->lent) let_go(l, (enum limit_level)level);
    }
}

// The least that is left of those in lists, as it is shown.
static void show_least(struct limit *l, const struct limit_least *least)
{
    if (!least->step) return;
    const struct limit_part *p = least->step->part;
    const int64_t left =
        p->kind == LIMIT_K_BUCKET ? limit_bucket_left(&p->bucket, least->reset_ns) : (int64_t)least->left;
    show(l, p, left, least->reset_ns);
}

static void admit_lists(struct limit *l, uint32_t levels, const struct limit_time *t)
{
    struct limit_least least = {.left = DBL_MAX};
    for (unsigned i = 0; i < LIMIT_LISTS; i++) {
        const struct limit_list *list = l->list[i];
        if (!list || list->levels & ~levels || list->levels & l->admitted) continue;
        if (!limit_quick_admit(list, t, hold_of(l), &least)) continue;
        l->quick |= list->levels;
        l->admitted |= list->levels;
        l->list_at[i] = t->at;
    }
    show_least(l, &least);
}

bool limit_admit(struct limit *l, uint32_t levels, const struct limit_time *t, struct limit_refusal *ret)
{
    const uint8_t before = l->admitted;
    if (!before) l->requests = (struct limit_view){0};
    admit_lists(l, levels, t);
    for (uint32_t rest = levels & ~(uint32_t)l->admitted; rest; rest &= rest - 1) {
        const unsigned level = (unsigned)__builtin_ctz(rest);
        const struct limit_bound *b = l->level[level];
        if (!b) continue;
        l->admitted_at[level] = t->at;
        const struct taking k = {.l = l, .level = (enum limit_level)level, .t = t, .at = &t->at, .why = ret};
        bool ok = true;
        for (uint8_t i = 0; ok && i < b->set->admit; i++) ok = take(&k, i, 1);
        if (!ok) {
            step_back(l, level, levels, before, t);
            return false;
        }
        l->admitted |= (uint8_t)LIMIT_BIT(level);
        mark(l, (enum limit_level)level);
    }
    return true;
}

uint32_t limit_wants(const struct limit *l)
{
    uint32_t wants = 0, rest = l->admitted;
    for (unsigned i = 0; i < LIMIT_LISTS; i++) {
        if (!l->list[i] || l->list[i]->levels & ~rest) continue;
        wants |= l->list[i]->wants;
        rest &= ~(uint32_t)l->list[i]->levels;
    }
    for (unsigned level = 0; rest; level++, rest >>= 1)
        if (rest & 1) wants |= l->level[level]->set->wants;
    return wants;
}

// The most a single request may cost.
static bool affordable(const struct taking *k, const struct limit_set *set, int64_t nanos)
{
    if (set->usd_per_request == LIMIT_UNSET || nanos <= set->usd_per_request) return true;
    note_shadow(k, set->shadow);
    if (set->shadow) return true;
    *k->why = (struct limit_refusal){k->level, LIMIT_USD_REQUEST, set->usd_per_request, LIMIT_NOT_BY_WAITING,
                                     LIMIT_NOT_BY_WAITING};
    return false;
}

// What a reservation of so many tokens and nanos takes of the part beyond what was reserved before.
static int64_t beyond(const struct limit *l, const struct limit_part *p, int64_t tokens, int64_t nanos)
{
    const int64_t n = amount_of(p, tokens, nanos);
    return l->reserved ? n - amount_of(p, l->token_estimate, l->nanos) : n;
}

// Takes a level's part of the reservation. *ret_end: the parts before it were taken, or left alone.
static bool reserve_level(struct taking *k, int64_t tokens, int64_t nanos, uint8_t *ret_end)
{
    struct limit *l = k->l;
    const struct limit_set *set = l->level[k->level]->set;
    uint8_t i = set->admit;
    bool ok = affordable(k, set, nanos);
    if (set->least_room < k->least_room) k->least_room = set->least_room;
    while (ok && i < set->count) {
        // A rate in shadow that the first estimate did not fit counts nothing more of this request.
        if (!l->reserved || l->taken[k->level] & 1u << i)
            ok = take(k, i, beyond(l, &set->part[i], tokens, nanos));
        if (ok) i++;
    }
    *ret_end = i;
    return ok;
}

// Gives back what this call took of the level's parts before `end`; `before` says what had been taken earlier.
static void unreserve_level(const struct taking *k, int64_t tokens, int64_t nanos, uint8_t end,
                            uint16_t before)
{
    struct limit *l = k->l;
    const struct limit_set *set = l->level[k->level]->set;
    for (uint8_t i = set->admit; i < end; i++)
        if (l->taken[k->level] & 1u << i)
            add(l, k->level, i, -beyond(l, &set->part[i], tokens, nanos), k->at, k->t);
    l->taken[k->level] = before;
}

// A reservation that is half a day old and wanted to grow is too old to be told from another period's: it stays where it is,
// and the request reserves anew.
static void forget_old(struct limit *l, const struct limit_time *t)
{
    if (l->reserved && t->at.utc_ns - l->reserved_at.utc_ns < LIMIT_DAY_NS / 2) return;
    if (l->reserved) spell_out(l);
    for (unsigned level = 0; l->reserved && level < LIMIT_LEVELS; level++)
        if (l->admitted & LIMIT_BIT(level))
            l->taken[level] &= (uint16_t)((1u << l->level[level]->set->admit) - 1);
    l->reserved = false;
    l->reserved_at = t->at;
    l->token_estimate = l->nanos = 0;
}

// The first reservation of what lists took as a whole. False: they go on part by part, and nothing was reserved.
static bool reserve_lists(struct limit *l, int64_t tokens, int64_t nanos, const struct limit_time *t,
                          const struct limit_bases *bases)
{
    struct limit_least least = {.left = DBL_MAX};
    for (unsigned i = 0; i < LIMIT_LISTS; i++) {
        const struct limit_list *list = l->list[i];
        if (!list || !(list->levels & l->quick)) continue;
        if (RW_LIKELY(limit_quick_reserve(list, tokens, nanos, t, bases, &least))) continue;
        while (i-- > 0)
            if (l->list[i] && l->list[i]->levels & l->quick)
                limit_quick_return(l->list[i], tokens, nanos, bases);
        return false;
    }
    show_least(l, &least);
    return true;
}

// Level by level, those that are in no list. False: refused, and what was taken of them was given back.
static bool reserve_levels(struct taking *k, int64_t tokens, int64_t nanos)
{
    struct limit *l = k->l;
    const uint32_t levels = l->admitted & ~(uint32_t)l->quick;
    uint16_t before[LIMIT_LEVELS];
    for (unsigned level = 0; levels >> level; level++) {
        if (!(levels & LIMIT_BIT(level))) continue;
        before[level] = l->taken[level];
        k->level = (enum limit_level)level;
        uint8_t end;
        if (reserve_level(k, tokens, nanos, &end)) continue;
        for (unsigned back = 0; back <= level; back++) {
            if (!(levels & LIMIT_BIT(back))) continue;
            k->level = (enum limit_level)back;
            unreserve_level(k, tokens, nanos, back == level ? end : l->level[back]->set->count, before[back]);
        }
        return false;
    }
    return true;
}

bool limit_reserve(struct limit *l, int64_t tokens, int64_t nanos, const struct limit_time *t,
                   struct limit_refusal *ret)
{
    MUST(tokens >= 0 && nanos >= 0 && !l->charged);
    forget_old(l, t);
    if (tokens < l->token_estimate) tokens = l->token_estimate;
    if (nanos < l->nanos) nanos = l->nanos;
    l->tokens = (struct limit_view){0};
    const struct limit_bases bases = limit_bases_of(&l->reserved_at);
    struct taking k = {.l = l, .t = t, .at = &l->reserved_at, .why = ret, .least_room = INT64_MAX};
    if (l->reserved || !reserve_lists(l, tokens, nanos, t, &bases)) spell_out(l);
    if (!reserve_levels(&k, tokens, nanos)) {
        for (unsigned i = 0; i < LIMIT_LISTS; i++)
            if (l->list[i] && l->list[i]->levels & l->quick)
                limit_quick_return(l->list[i], tokens, nanos, &bases);
        return false;
    }
    l->reserved = true;
    l->cut = tokens > k.least_room;
    l->token_estimate = tokens;
    l->nanos = nanos;
    l->day = l->reserved_at.day;
    l->month = l->reserved_at.month;
    return true;
}

int64_t limit_money_left(const struct limit *l, const struct limit_time *t)
{
    int64_t least = INT64_MAX;
    for (unsigned level = 0; level < LIMIT_LEVELS; level++) {
        const struct limit_bound *b = l->level[level];
        if (!b || !(l->admitted & LIMIT_BIT(level)) || b->set->shadow || !b->set->hard) continue;
        if (b->set->usd_per_request != LIMIT_UNSET && b->set->usd_per_request < least)
            least = b->set->usd_per_request;
        for (uint8_t i = b->set->admit; i < b->set->count; i++) {
            const struct limit_part *p = &b->set->part[i];
            if (!limit_what_is_money(p->what)) continue;
            const struct limit_count k = count_of(p, &t->at);
            int64_t used = count_used(b, p, &k);
            if (l->reserved) used = used > l->nanos ? used - l->nanos : 0;
            const int64_t left = used < p->limit ? p->limit - used : 0;
            if (left < least) least = left;
        }
    }
    return least;
}

// What remains to be booked of the part when the request is settled: what was used beyond the reservation, or less than it.
static int64_t correction(const struct limit *l, const struct limit_part *p)
{
    const int64_t used = limit_what_is_money(p->what) ? l->used_nanos : l->used_tokens;
    return used - amount_of(p, l->token_estimate, l->nanos);
}

// In one direction, level by level.
static void settle(struct limit *l, bool excess, const struct limit_time *t)
{
    const uint32_t levels = l->admitted & ~(uint32_t)l->quick;
    for (unsigned level = 0; levels >> level; level++) {
        if (!(levels & LIMIT_BIT(level))) continue;
        const struct limit_set *set = l->level[level]->set;
        for (uint8_t i = set->admit; i < set->count; i++) {
            if (!(l->taken[level] & 1u << i)) continue;
            const int64_t n = correction(l, &set->part[i]);
            if (excess ? n > 0 : n < 0) add(l, (enum limit_level)level, i, n, &l->reserved_at, t);
        }
    }
}

// Usage within the estimate exceeds nothing, unless a rate took less of it than was asked for.
static bool within(const struct limit *l)
{
    return !l->cut && l->used_tokens <= l->token_estimate && l->used_nanos <= l->nanos;
}

void limit_charge(struct limit *l, int64_t tokens, int64_t nanos, const struct limit_time *t)
{
    MUST(tokens >= 0 && nanos >= 0 && !l->charged);
    l->charged = true;
    l->used_tokens = tokens;
    l->used_nanos = nanos;
    if (!l->reserved || RW_LIKELY(within(l))) return;
    spell_out(l);
    settle(l, true, t);
}

// What lists took as a whole.
static void end_lists(struct limit *l)
{
    const struct limit_bases bases = limit_bases_of(&l->reserved_at);
    const int64_t tokens = l->token_estimate - l->used_tokens, nanos = l->nanos - l->used_nanos;
    for (unsigned i = 0; i < LIMIT_LISTS; i++) {
        const struct limit_list *list = l->list[i];
        if (!list || !(list->levels & l->quick)) continue;
        if (l->reserved) limit_quick_return(list, tokens, nanos, &bases);
        limit_quick_leave(list->step, list->step + list->places, hold_of(l));
    }
    l->admitted &= (uint8_t)~l->quick;
    l->quick = 0;
}

static void end(struct limit *l, bool give_requests, const struct limit_time *t)
{
    // Where the day is another by now, the number of its period may mean another one.
    if (give_requests || !within(l) || (l->reserved && l->day != t->at.day)) spell_out(l);
    end_lists(l);
    if (l->reserved && l->admitted) settle(l, false, t);
    l->reserved = false;
    for (unsigned level = 0; l->admitted >> level; level++)
        if (l->admitted & LIMIT_BIT(level)) leave(l, (enum limit_level)level, give_requests, t);
}

void limit_release(struct limit *l, const struct limit_time *t)
{
    MUST(l->charged || !l->reserved);
    end(l, false, t);
}

void limit_cancel(struct limit *l, const struct limit_time *t)
{
    MUST(!l->charged); // so nothing was used
    end(l, true, t);
}

// --- After a death.

void limit_adopt(struct store_cells *cells, struct limit_hold *hold)
{
    for (unsigned i = 0; i < LIMIT_HOLD_CELLS; i++) {
        if (!hold->held[i]) continue;
        struct store_cell *cell = store_cells_at(cells, hold->held[i] - 1);
        hold->held[i] = 0;
        atomic_signal_fence(memory_order_seq_cst);
        if (cell) store_cells_give(cell);
    }
}

static const struct limit_part *part_of(const struct limit_set *set, enum limit_what what)
{
    for (uint8_t i = 0; i < set->count; i++)
        if (set->part[i].what == what) return &set->part[i];
    return NULL;
}

void limit_book(const struct limit_bound *b, enum limit_what what, int64_t amount,
                const struct limit_time *when)
{
    const struct limit_part *p = part_of(b->set, what);
    if (!p || amount <= 0) return;
    MUST(p->kind == LIMIT_K_DAY || p->kind == LIMIT_K_MONTH || p->kind == LIMIT_K_RING);
    const struct limit_count count = count_of(p, &when->at);
    if (p->kind == LIMIT_K_RING) {
        const struct limit_ring ring = ring_of(b, p);
        limit_ring_add(&ring, &count, amount);
    } else {
        limit_count_add(word_of(b, p), &count, amount);
    }
}

void limit_fill(const struct limit_bound *b, enum limit_what what, int64_t amount, const struct limit_time *t)
{
    const struct limit_part *p = part_of(b->set, what);
    if (!p || amount <= 0 || p->kind == LIMIT_K_RING) return;
    MUST(p->kind == LIMIT_K_DAY || p->kind == LIMIT_K_MONTH);
    const struct limit_count count = count_of(p, &t->at);
    limit_count_fill(word_of(b, p), &count, amount);
}

bool limit_used(const struct limit_bound *b, enum limit_what what, const struct limit_time *t,
                int64_t *ret_used, int64_t *ret_limit)
{
    const struct limit_part *p = part_of(b->set, what);
    if (!p) return false;
    if (p->kind == LIMIT_K_SLOTS) {
        *ret_used = atomic_load_explicit(&b->cell[p->cell]->word[0], memory_order_relaxed);
    } else if (p->kind == LIMIT_K_BUCKET) {
        const int64_t used_ns = limit_bucket_used_ns(word_of(b, p), t->now_ns);
        *ret_used = (used_ns + p->bucket.unit_ns - 1) / p->bucket.unit_ns;
    } else {
        const struct limit_count count = count_of(p, &t->at);
        *ret_used = count_used(b, p, &count);
    }
    *ret_limit = p->limit;
    return true;
}
