// See principal.h.
#include "gateway/principal.h"

#include <stdlib.h>

#include "base/metric.h"
#include "gateway/access_log.h"
#include "policy/limit_account.h"
#include "tls/crypto.h"

// One slot for each hash: two busy keys that share one cost a read of the store each time they alternate, 175 ns.
#define SLOTS 4096u
// A key under its previous text is looked at again this soon: the store knows until when it is good. So is one whose limits
// could not be read.
#define AGAIN_MS 1000

struct principals {
    struct store *store;
    struct store_reader *reader;
    struct principal *slot[SLOTS];
    struct store_cells *cells;
    struct principal_rules rules;
    // Of the key that is being read.
    uint8_t record[PRINCIPAL_LEVELS][STORE_ACCOUNT_BYTES_MAX];
    uint8_t plan_record[STORE_ACCOUNT_BYTES_MAX];
    struct store_account plan;
    struct limit_set set[PRINCIPAL_LEVELS];
    bool limited[PRINCIPAL_LEVELS];
    bool limits_left_out;
    const struct principal_plan *plan_says;
};

struct principals *principals_open(struct store *store, struct store_cells *cells, enum rw_err *ret_err)
{
    struct principals *p = calloc(1, sizeof *p);
    *ret_err = p ? store_reader_open(store, STORE_ACCOUNTS, &p->reader) : (enum rw_err) - ENOMEM;
    if (!*ret_err) {
        p->store = store;
        p->cells = cells;
        return p;
    }
    free(p);
    return NULL;
}

void principals_rules(struct principals *p, const struct principal_rules *rules)
{
    p->rules = *rules;
}

void principals_close(struct principals *p)
{
    if (!p) return;
    for (uint32_t i = 0; i < SLOTS; i++) {
        MUST(!p->slot[i] || p->slot[i]->users == 0);
        free(p->slot[i]);
    }
    store_reader_close(p->reader);
    free(p);
}

// --- From records to a principal: one block of memory, so that it goes by one free().

struct builder {
    struct principal *principal; // NULL: only count
    uint8_t *at;
    size_t bytes;
};

static void *take(struct builder *b, size_t n)
{
    void *p = b->at;
    n = (n + 15) & ~(size_t)15;
    b->bytes += n;
    if (b->at) b->at += n;
    return p;
}

static struct span keep(struct builder *b, struct span s)
{
    void *p = take(b, s.n);
    if (p && s.n) memcpy(p, s.p, s.n);
    return (struct span){p, s.n};
}

static void keep_list(struct builder *b, struct store_list list, struct principal_list *ret)
{
    struct span *items = take(b, list.count * sizeof *items);
    struct span item;
    uint32_t n = 0;
    while (store_list_next(&list, &item)) {
        const struct span kept = keep(b, item);
        if (items) items[n++] = kept;
    }
    if (ret) *ret = (struct principal_list){items, n};
}

static void keep_cidrs(struct builder *b, struct store_list list, uint32_t level)
{
    struct io_cidr *nets = take(b, list.count * sizeof *nets);
    struct span item;
    uint32_t n = 0;
    while (store_list_next(&list, &item)) {
        struct store_cidr c;
        if (!nets || item.n != sizeof c) continue;
        memcpy(&c, item.p, sizeof c);
        struct io_cidr *net = &nets[n++];
        memset(net, 0, sizeof *net);
        // io/ keeps IPv4 as ::ffff:a.b.c.d.
        if (c.bytes == 4) net->bytes[10] = net->bytes[11] = 0xff;
        memcpy(net->bytes + 16 - c.bytes, c.address, c.bytes);
        net->bits = (uint8_t)(c.bits + (c.bytes == 4 ? 96 : 0));
    }
    if (!b->principal) return;
    b->principal->cidrs[level] = nets;
    b->principal->cidr_count[level] = n;
}

static const enum limit_level limit_levels[PRINCIPAL_LEVELS] = {LIMIT_KEY, LIMIT_TEAM, LIMIT_TENANT};

// A limit that cannot be had. RW_OK: the rules let requests go on without it.
static enum rw_err leave_out(struct principals *all, enum rw_err err)
{
    if (all->rules.metrics) metric_add(all->rules.metrics, METRIC_STORE_LIMITS, 0, 1);
    if (all->rules.limits_closed) return err;
    all->limits_left_out = true;
    return RW_OK;
}

static enum rw_err keep_limit(struct builder *b, struct principals *all, uint32_t level, uint32_t id)
{
    if (!all->limited[level]) return RW_OK;
    struct limit_set *set = take(b, sizeof *set);
    struct limit_bound *bound = take(b, sizeof *bound);
    if (!b->principal) return RW_OK;
    *set = all->set[level];
    const enum rw_err err =
        limit_bind(all->cells, limit_levels[level], (struct limit_id){.lo = id}, set, bound);
    if (err) return leave_out(all, err);
    b->principal->limit[level] = bound;
    return RW_OK;
}

// What a key of the configuration may is what stands there; it lives as long as the plan.
static void lay_over(struct principal *made, const struct principal *planned)
{
    made->known = true;
    made->models[0] = planned->models[0];
    made->providers[0] = planned->providers[0];
    made->regions[0] = planned->regions[0];
    made->regional = made->regional || planned->regional;
    made->cidrs[0] = planned->cidrs[0];
    made->cidr_count[0] = planned->cidr_count[0];
    made->limit[0] = planned->limit[0];
    made->disabled = made->disabled || planned->disabled;
}

static void join_limits(struct builder *b, struct principals *all)
{
    const struct principal *planned = all->plan_says->planned;
    const struct limit_bound *global = all->plan_says->global, *level[LIMIT_LEVELS] = {0};
    const struct limit_set *set[LIMIT_LEVELS] = {0};
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++)
        if (all->limited[i]) set[limit_levels[i]] = &all->set[i];
    if (planned) set[LIMIT_KEY] = planned->limit[0] ? planned->limit[0]->set : NULL;
    if (global) set[LIMIT_GLOBAL] = global->set;
    struct limit_list *list = take(b, limit_list_bytes(set));
    if (!b->principal) return;
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) level[limit_levels[i]] = b->principal->limit[i];
    level[LIMIT_GLOBAL] = global;
    limit_list_make(all->cells, level, list);
    b->principal->limits = list;
}

static enum rw_err build(struct builder *b, struct principals *all,
                         const struct store_account level[PRINCIPAL_LEVELS])
{
    struct principal *p = take(b, sizeof *p);
    const struct span names[PRINCIPAL_LEVELS] = {keep(b, level[0].name), keep(b, level[1].name),
                                                 keep(b, level[2].name)};
    b->principal = p;
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) {
        keep_list(b, level[i].models, p ? &p->models[i] : NULL);
        keep_list(b, level[i].providers, p ? &p->providers[i] : NULL);
        keep_cidrs(b, level[i].cidrs, i);
        keep_list(b, level[i].regions, p ? &p->regions[i] : NULL);
        keep_list(b, level[i].tags, p ? &p->tags[i] : NULL);
        if (!p) continue;
        p->regional = p->regional || p->regions[i].count > 0;
        p->tagged = p->tagged || p->tags[i].count > 0;
        p->disabled = p->disabled || (level[i].flags & STORE_DISABLED) != 0;
        if (level[i].expires_ms && (!p->expires_ms || level[i].expires_ms < p->expires_ms))
            p->expires_ms = level[i].expires_ms;
    }
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) RW_TRY(keep_limit(b, all, i, level[i].id));
    if (p && all->plan_says->planned) lay_over(p, all->plan_says->planned);
    join_limits(b, all);
    uint8_t *line = take(b, ACCESS_PRINCIPAL_BYTES_MAX);
    if (!p) return RW_OK;
    p->name = names[0];
    p->team = names[1];
    p->tenant = names[2];
    p->key_id = level[0].id;
    p->team_id = level[1].id;
    p->tenant_id = level[2].id;
    const struct access_record r = {.tenant = names[2], .team = names[1], .key = names[0]};
    p->log_line = span_of(line, access_log_prepare_principal(&r, (char *)line));
    p->known = p->known || !(level[0].flags & (STORE_REVOKED | STORE_FROM_FILE));
    return RW_OK;
}

static struct principal *make(struct principals *all, const struct store_account level[PRINCIPAL_LEVELS],
                              enum rw_err *ret_err)
{
    struct builder b = {0};
    MUST(build(&b, all, level) == RW_OK); // counts
    uint8_t *bytes = calloc(1, b.bytes);
    if (!bytes) return NULL;
    b = (struct builder){.at = bytes};
    *ret_err = build(&b, all, level);
    if (!*ret_err) return b.principal;
    free(bytes);
    return NULL;
}

// A key whose team or plan is not there is no unknown key.
static enum rw_err missing(enum rw_err err)
{
    return err == RW_E_NOT_FOUND ? RW_E_CORRUPT : err;
}

// The limits of one level, compiled. Of a plan that cannot be read only the account's own.
static enum rw_err read_limit(struct principals *p, uint32_t i, const struct store_account *account)
{
    const char *why;
    struct store_buf buf = {.p = p->plan_record, .cap = sizeof p->plan_record};
    bool has_plan = account->plan.n > 0;
    if (has_plan) {
        const enum rw_err err =
            missing(store_account_named(p->reader, STORE_PLAN, account->plan, &buf, &p->plan));
        if (err) RW_TRY(leave_out(p, err));
        has_plan = !err;
    }
    const struct limit_cfg cfg = limit_of_account(account, has_plan ? &p->plan : NULL);
    if (!p->cells || limit_cfg_is_empty(&cfg)) return RW_OK;
    const enum rw_err err = limit_compile(&cfg, limit_levels[i], &p->set[i], &why);
    if (err) return leave_out(p, err);
    p->limited[i] = true;
    return RW_OK;
}

// What stays valid: the key's record, its team's and its tenant's, each in a buffer of its own.
static enum rw_err read_levels(struct principals *p, const uint8_t *digest, int64_t wall_ms,
                               struct store_account level[PRINCIPAL_LEVELS])
{
    struct store_buf buf[PRINCIPAL_LEVELS];
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++)
        buf[i] = (struct store_buf){.p = p->record[i], .cap = sizeof p->record[i]};
    RW_TRY(store_key_find(p->reader, digest, wall_ms, &buf[0], &level[0]));
    RW_TRY(missing(store_account_get(p->reader, STORE_TEAM, level[0].parent, &buf[1], &level[1])));
    RW_TRY(missing(store_account_get(p->reader, STORE_TENANT, level[1].parent, &buf[2], &level[2])));
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) {
        p->limited[i] = false;
        RW_TRY(read_limit(p, i, &level[i]));
    }
    return RW_OK;
}

static struct principal *read_anew(struct principals *p, const uint8_t *digest, int64_t wall_ms,
                                   const struct principal_plan *plan, enum rw_err *ret_err)
{
    struct store_account level[PRINCIPAL_LEVELS];
    struct principal *made;
    // Before the records: what is changed meanwhile makes the entry old, never the other way round.
    const uint64_t version = store_accounts_version(p->store);
    p->limits_left_out = false;
    p->plan_says = plan;
    *ret_err = read_levels(p, digest, wall_ms, level);
    const bool unknown = *ret_err == RW_E_NOT_FOUND;
    if (unknown) made = calloc(1, sizeof *made);
    else if (*ret_err) return NULL;
    else made = make(p, level, ret_err);
    if (!made) {
        if (!*ret_err || *ret_err == RW_E_NOT_FOUND) *ret_err = (enum rw_err) - ENOMEM;
        return NULL;
    }
    if (p->limits_left_out || (made->known && level[0].previous_until_ms > wall_ms))
        made->good_until_ms = wall_ms + AGAIN_MS;
    made->plan = plan->generation;
    memcpy(made->digest, digest, sizeof made->digest);
    made->version = version;
    *ret_err = RW_OK;
    return made;
}

static void drop(struct principal *old)
{
    if (!old) return;
    old->cached = false;
    if (old->users == 0) free(old);
}

// The account cannot be read now: what was read before, if the rules take it.
static struct principal *as_it_was(const struct principals *p, struct principal *old, const uint8_t *digest,
                                   uint64_t generation)
{
    if (p->rules.metrics) metric_add(p->rules.metrics, METRIC_STORE_AUTH, 0, 1);
    const bool same = old && old->plan == generation && crypto_equal(old->digest, digest, STORE_HASH_BYTES);
    return p->rules.auth_open && same && old->known ? old : NULL;
}

enum rw_err principal_find(struct principals *p, const uint8_t digest[STORE_HASH_BYTES], int64_t wall_ms,
                           const struct principal_plan *plan, const struct principal **ret)
{
    uint32_t at;
    memcpy(&at, digest, sizeof at);
    struct principal **slot = &p->slot[at % SLOTS];
    struct principal *one = *slot;
    const bool fresh = one && one->plan == plan->generation &&
        one->version == store_accounts_version(p->store) && !(one->version & 1) &&
        (!one->good_until_ms || wall_ms < one->good_until_ms) &&
        crypto_equal(one->digest, digest, STORE_HASH_BYTES);
    if (RW_UNLIKELY(!fresh)) {
        enum rw_err err;
        one = read_anew(p, digest, wall_ms, plan, &err);
        if (err && !(one = as_it_was(p, *slot, digest, plan->generation)))
            return p->rules.auth_open && plan->planned ? RW_E_NOT_FOUND : err;
        if (one != *slot) drop(*slot);
        *slot = one;
        one->cached = true;
    }
    if (!one->known) return RW_E_NOT_FOUND;
    one->users++;
    *ret = one;
    return RW_OK;
}

void principal_leave(struct principals *p, const struct principal *principal)
{
    // One of the plan's is not counted.
    if (!p || !principal || principal->planned) return;
    struct principal *one = (struct principal *)(uintptr_t)principal;
    MUST(one->users > 0);
    one->users--;
    if (one->users == 0 && !one->cached) free(one);
}

// --- What it may.

static bool lists_allow(const struct principal_list lists[PRINCIPAL_LEVELS], struct span name)
{
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) {
        bool found = lists[i].count == 0;
        for (uint32_t k = 0; k < lists[i].count && !found; k++) found = span_eq(lists[i].item[k], name);
        if (!found) return false;
    }
    return true;
}

bool principal_may_model(const struct principal *p, struct span model)
{
    return lists_allow(p->models, model);
}

bool principal_may_provider(const struct principal *p, struct span provider, struct span region)
{
    return lists_allow(p->providers, provider) && (!p->regional || lists_allow(p->regions, region));
}

bool principal_may_come_from(const struct principal *p, const struct io_addr *client)
{
    for (uint32_t i = 0; i < PRINCIPAL_LEVELS; i++) {
        bool found = p->cidr_count[i] == 0;
        for (uint32_t k = 0; k < p->cidr_count[i] && !found; k++)
            found = io_cidr_has(&p->cidrs[i][k], client);
        if (!found) return false;
    }
    return true;
}
