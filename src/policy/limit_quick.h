// The ordinary case of a joined list of limits, for limit.c: each step is one load, one comparison and one compare-and-swap.
// Places, rates as token buckets, and counts (quotas of a day, budgets of the calendar) in a period that has begun, with room for
// all of it, and nobody in between. Whatever else there is, a limit_quick_*() says false and has changed nothing that lasts; the
// functions of limit.c then decide level by level, part by part.
//
// Thread   as limit.h.
#ifndef RINGWAY_POLICY_LIMIT_QUICK_H
#define RINGWAY_POLICY_LIMIT_QUICK_H

#include "policy/limit_priv.h"

// What a count's word says at the beginning of its period: the period's number, and nothing taken.
struct limit_bases {
    int64_t of[LIMIT_BASES];
};

static inline struct limit_bases limit_bases_of(const struct limit_when *at)
{
    struct limit_bases b;
    b.of[LIMIT_BASE_QUOTA] = limit_count_base(at->day, LIMIT_TOKEN_BITS);
    b.of[LIMIT_BASE_DAY] = limit_count_base(at->day, LIMIT_MONEY_BITS);
    b.of[LIMIT_BASE_MONTH] = limit_count_base(at->month, LIMIT_MONTH_BITS);
    return b;
}

// The limit with the least left so far. Rates are compared by their reciprocals, so that only the least one is divided.
struct limit_least {
    double left;
    const struct limit_step *step;
    int64_t reset_ns; // of a bucket also how far from full it is
};

static inline void limit_least_note(struct limit_least *least, double left, const struct limit_step *s,
                                    int64_t reset_ns)
{
    if (left < least->left) *least = (struct limit_least){left, s, reset_ns};
}

// Steps from s to before end. Returns where it ended: at `end` if all took.
static inline const struct limit_step *limit_quick_buckets(const struct limit_step *s,
                                                           const struct limit_step *end, int64_t n,
                                                           int64_t now_ns, struct limit_least *least)
{
    for (; s < end; s++) {
        int64_t used_ns;
        if (!limit_bucket_try(s->word, s->unit_ns, s->room, n, now_ns, &used_ns)) break;
        limit_least_note(least, (double)(s->room - used_ns) * s->per_ns, s, used_ns);
    }
    return s;
}

static inline const struct limit_step *limit_quick_quotas(const struct limit_step *s,
                                                          const struct limit_step *end, int64_t n,
                                                          const struct limit_time *t,
                                                          const struct limit_bases *bases,
                                                          struct limit_least *least)
{
    for (; s < end; s++) {
        int64_t left;
        if (!limit_count_try(s->word, bases->of[s->unit_ns], s->room, n, &left)) break;
        limit_least_note(least, (double)left, s, t->day_end_ns - t->at.utc_ns);
    }
    return s;
}

static inline const struct limit_step *limit_quick_money(const struct limit_step *s,
                                                         const struct limit_step *end, int64_t nanos,
                                                         const struct limit_bases *bases)
{
    int64_t left;
    while (s < end && limit_count_try(s->word, bases->of[s->unit_ns], s->room, nanos, &left)) s++;
    return s;
}

// Each place is noted behind its taking.
static inline const struct limit_step *limit_quick_places(const struct limit_step *s,
                                                          const struct limit_step *end,
                                                          struct limit_hold *hold)
{
    for (; s < end && limit_slot_try(s->word, s->room); s++) {
        atomic_signal_fence(memory_order_release);
        hold->held[s->level] = s->hold;
    }
    return s;
}

// And its note cleared before the giving back.
static inline void limit_quick_leave(const struct limit_step *s, const struct limit_step *end,
                                     struct limit_hold *hold)
{
    for (; s < end; s++) {
        hold->held[s->level] = 0;
        atomic_signal_fence(memory_order_seq_cst);
        if (!limit_slot_give_try(s->word)) limit_slot_give(s->word);
    }
}

static inline void limit_quick_buckets_back(const struct limit_step *s, const struct limit_step *end,
                                            int64_t n)
{
    for (; s < end; s++) limit_bucket_back(s->word, s->unit_ns, n);
}

static inline void limit_quick_counts_back(const struct limit_step *s, const struct limit_step *end,
                                           int64_t n, const struct limit_bases *bases)
{
    for (; s < end; s++) {
        const int64_t base = bases->of[s->unit_ns];
        if (RW_LIKELY(limit_count_back_try(s->word, base, s->room, n))) continue;
        const uint8_t bits = s->part->bits;
        const struct limit_count k = {.bits = bits, .period = (uint32_t)((uint64_t)base >> bits)};
        limit_count_add(s->word, &k, -n);
    }
}

// A request of every level, and its places.
static inline bool limit_quick_admit(const struct limit_list *list, const struct limit_time *t,
                                     struct limit_hold *hold, struct limit_least *least)
{
    const struct limit_step *const places = list->step + list->places,
                                   *const requests = list->step + list->requests,
                                   *const quotas = list->step + list->request_quotas;
    const struct limit_step *s = limit_quick_places(list->step, places, hold), *at = s;
    if (RW_LIKELY(s == places)) at = limit_quick_buckets(s, requests, 1, t->now_ns, least);
    if (RW_UNLIKELY(at == requests && requests < quotas)) {
        const struct limit_bases bases = limit_bases_of(&t->at);
        at = limit_quick_quotas(at, quotas, 1, t, &bases, least);
        if (at < quotas) limit_quick_counts_back(requests, at, 1, &bases);
    }
    if (RW_LIKELY(at == quotas)) return true;
    if (s == places) limit_quick_buckets_back(places, at < requests ? at : requests, 1);
    limit_quick_leave(list->step, s, hold);
    return false;
}

// Gives back of a reservation that took all of the list's steps.
static inline void limit_quick_return(const struct limit_list *list, int64_t tokens, int64_t nanos,
                                      const struct limit_bases *bases)
{
    const struct limit_step *const s = list->step;
    limit_quick_buckets_back(s + list->request_quotas, s + list->tokens, tokens);
    limit_quick_counts_back(s + list->tokens, s + list->token_quotas, tokens, bases);
    limit_quick_counts_back(s + list->token_quotas, s + list->end, nanos, bases);
}

// The estimate of a request that has reserved nothing yet.
static inline bool limit_quick_reserve(const struct limit_list *list, int64_t tokens, int64_t nanos,
                                       const struct limit_time *t, const struct limit_bases *bases,
                                       struct limit_least *least)
{
    const struct limit_step *const from = list->step + list->request_quotas,
                                   *const buckets = list->step + list->tokens,
                                   *const quotas = list->step + list->token_quotas,
                                   *const end = list->step + list->end;
    if (RW_UNLIKELY(tokens > list->most_tokens || nanos > list->most_nanos)) return false;
    const struct limit_step *s = limit_quick_buckets(from, buckets, tokens, t->now_ns, least);
    if (RW_LIKELY(s == buckets)) s = limit_quick_quotas(s, quotas, tokens, t, bases, least);
    if (RW_LIKELY(s == quotas)) s = limit_quick_money(s, end, nanos, bases);
    if (RW_LIKELY(s == end)) return true;
    limit_quick_buckets_back(from, s < buckets ? s : buckets, tokens);
    if (s > buckets) limit_quick_counts_back(buckets, s < quotas ? s : quotas, tokens, bases);
    if (s > quotas) limit_quick_counts_back(quotas, s, nanos, bases);
    return false;
}

#endif
