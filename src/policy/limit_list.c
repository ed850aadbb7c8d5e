// See limit.h: joined. The steps of all levels stand in the order of their kinds, so that each kind is a loop of its own.
#include "policy/limit_priv.h"

enum step_kind {
    PLACE,
    REQUESTS,
    REQUEST_QUOTA,
    TOKENS,
    TOKEN_QUOTA,
    MONEY,
    STEP_KINDS,
    NOT_ORDINARY = STEP_KINDS
};

static enum step_kind kind_of(const struct limit_part *p)
{
    const bool admit = limit_part_is_admit(p), money = limit_what_is_money(p->what);
    switch (p->kind) {
    case LIMIT_K_SLOTS: return PLACE;
    case LIMIT_K_BUCKET: return admit ? REQUESTS : TOKENS;
    case LIMIT_K_DAY: return money ? MONEY : admit ? REQUEST_QUOTA : TOKEN_QUOTA;
    case LIMIT_K_MONTH: return MONEY;
    default: return NOT_ORDINARY;
    }
}

static bool is_ordinary(const struct limit_set *set)
{
    for (uint8_t i = 0; i < set->count; i++)
        if (kind_of(&set->part[i]) == NOT_ORDINARY) return false;
    return !set->shadow;
}

size_t limit_list_bytes(const struct limit_set *const set[LIMIT_LEVELS])
{
    size_t steps = 0;
    for (unsigned level = 0; level < LIMIT_LEVELS; level++)
        if (set[level] && is_ordinary(set[level])) steps += set[level]->count;
    return sizeof(struct limit_list) + steps * sizeof(struct limit_step);
}

static struct limit_step step_of(struct store_cells *cells, const struct limit_bound *b,
                                 const struct limit_part *p, unsigned level)
{
    struct store_cell *cell = b->cell[p->cell];
    struct limit_step s = {.word = &cell->word[p->word], .room = p->limit, .part = p};
    switch (p->kind) {
    case LIMIT_K_SLOTS:
        s.hold = store_cells_index(cells, cell) + 1;
        s.level = level;
        break;
    case LIMIT_K_BUCKET:
        s.room = p->bucket.burst * p->bucket.unit_ns;
        s.unit_ns = p->bucket.unit_ns;
        s.per_ns = 1.0 / (double)p->bucket.unit_ns;
        break;
    case LIMIT_K_DAY: s.unit_ns = limit_what_is_money(p->what) ? LIMIT_BASE_DAY : LIMIT_BASE_QUOTA; break;
    default: s.unit_ns = LIMIT_BASE_MONTH;
    }
    return s;
}

static void join(struct limit_list *list, const struct limit_bound *b, unsigned level)
{
    const struct limit_set *set = b->set;
    list->levels |= (uint8_t)LIMIT_BIT(level);
    list->wants |= set->wants;
    if (set->least_room < list->most_tokens) list->most_tokens = set->least_room;
    if (set->usd_per_request != LIMIT_UNSET && set->usd_per_request < list->most_nanos)
        list->most_nanos = set->usd_per_request;
    for (uint8_t i = 0; i < set->count; i++)
        if (kind_of(&set->part[i]) == MONEY && set->part[i].limit < list->most_nanos)
            list->most_nanos = set->part[i].limit;
}

static uint8_t put_kind(struct store_cells *cells, const struct limit_bound *b, unsigned level,
                        enum step_kind kind, struct limit_list *list, uint8_t n)
{
    for (uint8_t i = 0; i < b->set->count; i++)
        if (kind_of(&b->set->part[i]) == kind) list->step[n++] = step_of(cells, b, &b->set->part[i], level);
    return n;
}

void limit_list_make(struct store_cells *cells, const struct limit_bound *const level[LIMIT_LEVELS],
                     struct limit_list *ret)
{
    uint8_t n = 0;
    uint8_t *const ends[STEP_KINDS] = {&ret->places, &ret->requests,     &ret->request_quotas,
                                       &ret->tokens, &ret->token_quotas, &ret->end};
    *ret = (struct limit_list){.most_tokens = INT64_MAX, .most_nanos = INT64_MAX};
    for (unsigned i = 0; i < LIMIT_LEVELS; i++)
        if (level[i] && !level[i]->lent && is_ordinary(level[i]->set)) join(ret, level[i], i);
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        for (unsigned i = 0; i < LIMIT_LEVELS; i++)
            if (ret->levels & LIMIT_BIT(i)) n = put_kind(cells, level[i], i, (enum step_kind)kind, ret, n);
        *ends[kind] = n;
    }
}
