// Accounts as bytes: a version, the fixed fields, the limits that are set, the texts and lists. Written and
// read field by field, so that the struct may change without the format.
#include "store/accounts.h"
#include "store/store_priv.h"

#define RECORD_VERSION 1

void store_list_add(struct store_list_maker *m, struct span item)
{
    if (m->overflow || item.n > STORE_NAME_BYTES_MAX || item.n + 1 > m->cap - m->n) {
        m->overflow = true;
        return;
    }
    m->p[m->n] = (uint8_t)item.n;
    if (item.n) memcpy(m->p + m->n + 1, item.p, item.n);
    m->n += item.n + 1;
    m->count++;
}

struct store_list store_list_made(const struct store_list_maker *m)
{
    return (struct store_list){.bytes = {m->p, m->n}, .count = m->count};
}

bool store_list_next(struct store_list *rest, struct span *ret_item)
{
    const struct span b = rest->bytes;
    if (rest->count == 0 || b.n == 0 || b.p[0] >= b.n) return false;
    *ret_item = (struct span){b.p + 1, b.p[0]};
    rest->bytes = (struct span){b.p + 1 + b.p[0], b.n - 1 - b.p[0]};
    rest->count--;
    return true;
}

// The count must be what the bytes hold: a reader relies on it.
static bool list_is_whole(struct store_list list)
{
    struct span item;
    while (list.count)
        if (!store_list_next(&list, &item)) return false;
    return list.bytes.n == 0;
}

static void out_list(struct store_out *o, struct store_list list)
{
    store_out_u32(o, list.count);
    store_out_span(o, list.bytes);
}

static struct store_list in_list(struct store_in *in)
{
    struct store_list list = {.count = store_in_u32(in)};
    list.bytes = store_in_span(in);
    if (!in->bad && !list_is_whole(list)) in->bad = true;
    if (in->bad) list = (struct store_list){0};
    return list;
}

static void out_limits(struct store_out *o, const struct store_limits *l)
{
    store_out_u32(o, l->set);
    if (l->set & STORE_SET_CONCURRENCY) store_out_u32(o, l->concurrency);
    if (l->set & STORE_SET_USD_PER_REQUEST) store_out_u64(o, (uint64_t)l->usd_per_request_nanos);
    if (l->set & STORE_SET_USD_PER_DAY) store_out_u64(o, (uint64_t)l->usd_per_day_nanos);
    if (l->set & STORE_SET_USD_PER_MONTH) store_out_u64(o, (uint64_t)l->usd_per_month_nanos);
    if (l->set & STORE_SET_HARD) store_out_u8(o, l->hard);
    if (l->set & STORE_SET_SHADOW) store_out_u8(o, l->shadow);
    if (l->set & STORE_SET_MODE) store_out_u8(o, l->mode);
    store_out_u8(o, l->rates_count);
    for (uint32_t i = 0; i < l->rates_count; i++) {
        store_out_u64(o, l->rates[i].limit);
        store_out_u64(o, l->rates[i].burst);
        store_out_u8(o, l->rates[i].window);
        store_out_u8(o, l->rates[i].unit);
    }
}

static void in_limits(struct store_in *in, struct store_limits *l)
{
    l->set = store_in_u32(in);
    if (l->set & STORE_SET_CONCURRENCY) l->concurrency = store_in_u32(in);
    if (l->set & STORE_SET_USD_PER_REQUEST) l->usd_per_request_nanos = (int64_t)store_in_u64(in);
    if (l->set & STORE_SET_USD_PER_DAY) l->usd_per_day_nanos = (int64_t)store_in_u64(in);
    if (l->set & STORE_SET_USD_PER_MONTH) l->usd_per_month_nanos = (int64_t)store_in_u64(in);
    if (l->set & STORE_SET_HARD) l->hard = store_in_u8(in) != 0;
    if (l->set & STORE_SET_SHADOW) l->shadow = store_in_u8(in) != 0;
    if (l->set & STORE_SET_MODE) l->mode = store_in_u8(in);
    l->rates_count = store_in_u8(in);
    if (l->set & ~(uint32_t)STORE_SET_ALL || l->rates_count > STORE_RATES_MAX || l->mode >= STORE_MODE_COUNT)
        in->bad = true;
    for (uint32_t i = 0; !in->bad && i < l->rates_count; i++) {
        l->rates[i].limit = store_in_u64(in);
        l->rates[i].burst = store_in_u64(in);
        l->rates[i].window = store_in_u8(in);
        l->rates[i].unit = store_in_u8(in);
        if (l->rates[i].window >= STORE_WINDOW_COUNT || l->rates[i].unit >= STORE_UNIT_COUNT) in->bad = true;
    }
}

int64_t store_account_encode(const struct store_account *a, void *out, size_t cap)
{
    MUST(a->kind > 0 && a->kind < STORE_KIND_COUNT && a->limits.rates_count <= STORE_RATES_MAX);
    struct store_out o = {.p = out,
                          .cap = cap < STORE_ACCOUNT_BYTES_MAX ? (uint32_t)cap : STORE_ACCOUNT_BYTES_MAX};
    store_out_u8(&o, RECORD_VERSION);
    store_out_u8(&o, a->kind);
    store_out_u32(&o, a->id);
    store_out_u32(&o, a->parent);
    store_out_u32(&o, a->tenant);
    store_out_u32(&o, a->flags);
    store_out_u64(&o, (uint64_t)a->created_ms);
    store_out_u64(&o, (uint64_t)a->updated_ms);
    store_out_u64(&o, (uint64_t)a->expires_ms);
    store_out_u64(&o, (uint64_t)a->previous_until_ms);
    out_limits(&o, &a->limits);
    store_out_span(&o, a->name);
    store_out_span(&o, a->prefix);
    store_out_span(&o, a->plan);
    out_list(&o, a->models);
    out_list(&o, a->providers);
    out_list(&o, a->regions);
    out_list(&o, a->cidrs);
    out_list(&o, a->tags);
    return o.overflow ? (int64_t)RW_E_TOO_LARGE : (int64_t)o.n;
}

enum rw_err store_account_decode(struct span encoded, struct store_account *ret)
{
    struct store_in in = {.rest = encoded};
    struct store_account a = {0};
    if (store_in_u8(&in) != RECORD_VERSION) return in.bad ? RW_E_CORRUPT : RW_E_VERSION;
    a.kind = store_in_u8(&in);
    a.id = store_in_u32(&in);
    a.parent = store_in_u32(&in);
    a.tenant = store_in_u32(&in);
    a.flags = store_in_u32(&in);
    a.created_ms = (int64_t)store_in_u64(&in);
    a.updated_ms = (int64_t)store_in_u64(&in);
    a.expires_ms = (int64_t)store_in_u64(&in);
    a.previous_until_ms = (int64_t)store_in_u64(&in);
    in_limits(&in, &a.limits);
    a.name = store_in_span(&in);
    a.prefix = store_in_span(&in);
    a.plan = store_in_span(&in);
    a.models = in_list(&in);
    a.providers = in_list(&in);
    a.regions = in_list(&in);
    a.cidrs = in_list(&in);
    a.tags = in_list(&in);
    if (in.bad || in.rest.n || a.kind == 0 || a.kind >= STORE_KIND_COUNT) return RW_E_CORRUPT;
    *ret = a;
    return RW_OK;
}
