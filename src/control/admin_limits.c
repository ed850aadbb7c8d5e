// Limits as JSON, both ways: the object of the configuration. See admin.h.
#include "base/fmt.h"
#include "control/admin.h"
#include "policy/limit_account.h"
#include "wire/json.h"

#define NANOS_PER_USD INT64_C(1000000000)
#define PER_MINUTE_MAX 600000000
#define USD_MAX (LIMIT_USD_NANOS_MAX / NANOS_PER_USD)

static const char *const windows[STORE_WINDOW_COUNT] = {"second", "minute", "hour", "day"};

// As rpm or tpm.
static bool is_short(const struct store_rate *r)
{
    return r->window == STORE_MINUTE && r->burst == 0;
}

// --- Writing.

void admin_write_usd(struct json_out *o, struct span key, int64_t nanos)
{
    char text[FMT_DECIMAL_BYTES];
    struct fmt f;
    fmt_init(&f, text, sizeof text);
    fmt_decimal(&f, nanos, 9);
    json_out_key_raw(o, key, fmt_text(&f));
}

static void write_rates(struct json_out *o, const struct store_limits *l)
{
    bool begun = false;
    for (uint32_t i = 0; i < l->rates_count; i++) {
        const struct store_rate *r = &l->rates[i];
        if (is_short(r)) json_out_key_u64(o, r->unit == STORE_TOKENS ? SPAN("tpm") : SPAN("rpm"), r->limit);
    }
    for (uint32_t i = 0; i < l->rates_count; i++) {
        const struct store_rate *r = &l->rates[i];
        if (is_short(r)) continue;
        if (!begun) json_out_key_array(o, SPAN("rates"));
        begun = true;
        json_out_object(o);
        json_out_key_string(o, SPAN("window"), span_str(windows[r->window]));
        json_out_key_u64(o, r->unit == STORE_TOKENS ? SPAN("tokens") : SPAN("requests"), r->limit);
        if (r->burst) json_out_key_u64(o, SPAN("burst"), r->burst);
        json_out_end(o);
    }
    if (begun) json_out_end(o);
}

void admin_limits_write(struct json_out *o, const struct store_limits *l)
{
    json_out_key_object(o, SPAN("limits"));
    write_rates(o, l);
    if (l->set & STORE_SET_CONCURRENCY) json_out_key_u64(o, SPAN("concurrency"), l->concurrency);
    if (l->set & STORE_SET_USD_PER_REQUEST)
        admin_write_usd(o, SPAN("usd_per_request"), l->usd_per_request_nanos);
    if (l->set & STORE_SET_USD_PER_DAY) admin_write_usd(o, SPAN("usd_per_day"), l->usd_per_day_nanos);
    if (l->set & STORE_SET_USD_PER_MONTH) admin_write_usd(o, SPAN("usd_per_month"), l->usd_per_month_nanos);
    if (l->set & STORE_SET_HARD) json_out_key_bool(o, SPAN("hard"), l->hard);
    if (l->set & STORE_SET_SHADOW) json_out_key_bool(o, SPAN("shadow"), l->shadow);
    if (l->set & STORE_SET_MODE)
        json_out_key_string(o, SPAN("mode"),
                            l->mode == STORE_FIXED_WINDOW ? SPAN("fixed_window") : SPAN("token_bucket"));
    json_out_end(o);
}

// --- Reading.

// A limits object while it is laid over what there is.
struct reading {
    struct admin_call *c;
    struct store_limits *l;
    uint32_t given; // rates that the object named, one bit for each window and unit
};

static bool bad(const struct reading *r, const char *text, const char *field)
{
    return admin_bad(r->c, text, span_str(field));
}

// Each by itself may be, but not together.
static bool odd(const struct reading *r, const char *text, const char *field)
{
    admin_refuse_field(r->c, 422, span_str(field), text, span_str(field));
    return false;
}

// Digits with a point and an exponent in them, times 10^9, what is smaller cut off: a budget is never more than was said. -1:
// more than any budget may be.
static int64_t nanos_of(struct span digits, int32_t scale)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < digits.n; i++) {
        if (digits.p[i] == '.') continue;
        if (scale-- <= 0) break;
        n = n * 10 + (digits.p[i] - '0');
        if (n > USD_MAX * NANOS_PER_USD) return -1;
    }
    for (; scale > 0 && n > 0; scale--) {
        n *= 10;
        if (n > USD_MAX * NANOS_PER_USD) return -1;
    }
    return n;
}

// US dollars as any JSON number from 0 on: 12.5, 1e-3.
static bool usd_of(const struct reading *r, const char *field, struct span value, int64_t *ret)
{
    const uint32_t minus = value.n && value.p[0] == '-';
    uint32_t e = 0, point = UINT32_MAX;
    int32_t exponent = 0;
    const struct span body = span_from(value, minus);
    while (e < body.n && ((body.p[e] >= '0' && body.p[e] <= '9') || body.p[e] == '.')) {
        if (body.p[e] == '.') point = e;
        e++;
    }
    // Longer exponents are nothing or too much, as these are.
    const bool down = e + 1 < body.n && body.p[e + 1] == '-';
    for (uint32_t i = e + 1; i < body.n; i++)
        if (body.p[i] >= '0' && body.p[i] <= '9' && exponent < 1000)
            exponent = exponent * 10 + (body.p[i] - '0');
    const int32_t whole = (int32_t)(point < e ? point : e);
    const int64_t n = json_type(value) == JSON_NUMBER
        ? nanos_of((struct span){body.p, e}, whole + 9 + (down ? -exponent : exponent))
        : -1;
    // Minus nothing is nothing.
    if (n < 0 || n > LIMIT_USD_NANOS_MAX || (minus && n > 0))
        return bad(r, "The field '%' is US dollars, from 0 to 4000000, or null: 12.50.", field);
    *ret = n;
    return true;
}

// Sets, or with limit 0 takes away, the rate of that window and unit.
static bool set_rate(struct reading *r, struct store_rate rate)
{
    struct store_limits *l = r->l;
    const uint32_t bit = 1u << (rate.window * STORE_UNIT_COUNT + rate.unit);
    uint32_t i = 0;
    if (r->given & bit)
        return odd(r, "The field '%' gives the same rate twice (rpm and tpm are the rates of one minute).",
                   "limits");
    r->given |= bit;
    while (i < l->rates_count && (l->rates[i].window != rate.window || l->rates[i].unit != rate.unit)) i++;
    if (rate.limit == 0) {
        if (i < l->rates_count) l->rates[i] = l->rates[--l->rates_count];
        return true;
    }
    // Each window once, of requests and of tokens: there is room for all.
    if (i == l->rates_count && l->rates_count == STORE_RATES_MAX)
        return bad(r, "More than eight rates in '%'.", "limits");
    if (i == l->rates_count) l->rates_count++;
    l->rates[i] = rate;
    return true;
}

static bool rate_of(struct reading *r, struct span object)
{
    struct store_rate rate = {.window = STORE_WINDOW_COUNT};
    struct json_iter it = json_iter(object);
    struct span key, value, text;
    bool both = false;
    if (json_type(object) != JSON_OBJECT) return bad(r, "Each of '%' is an object.", "limits.rates");
    while (json_next(&it, &key, &value)) {
        if (json_key_is(key, SPAN("window"))) {
            if (!admin_read_text(r->c, SPAN("limits.rates[].window"), value, &text)) return false;
            for (uint32_t i = 0; i < STORE_WINDOW_COUNT; i++)
                if (span_eq(text, span_str(windows[i]))) rate.window = (uint8_t)i;
        } else if (json_key_is(key, SPAN("requests")) || json_key_is(key, SPAN("tokens"))) {
            both = rate.limit != 0;
            rate.unit = json_key_is(key, SPAN("tokens")) ? STORE_TOKENS : STORE_REQUESTS;
            if (!json_u64(value, &rate.limit) || rate.limit == 0)
                return bad(r, "The field '%' is a whole number above 0.",
                           "limits.rates[].requests or tokens");
        } else if (json_key_is(key, SPAN("burst"))) {
            if (!json_u64(value, &rate.burst))
                return bad(r, "The field '%' is a whole number.", "limits.rates[].burst");
        } else {
            return admin_bad(r->c, "The field 'limits.rates[].%' is unknown.", key);
        }
    }
    if (rate.window == STORE_WINDOW_COUNT || rate.limit == 0 || both)
        return odd(r,
                   "Each of '%' has a window (second, minute, hour or day), and requests or tokens above 0.",
                   "limits.rates");
    return set_rate(r, rate);
}

// All that are not rpm and tpm.
static bool rates_of(struct reading *r, struct span array)
{
    struct json_iter it = json_iter(array);
    struct span none, value;
    uint8_t n = 0;
    if (json_type(array) != JSON_ARRAY && json_type(array) != JSON_NULL)
        return bad(r, "The field '%' is a list.", "limits.rates");
    for (uint32_t i = 0; i < r->l->rates_count; i++)
        if (is_short(&r->l->rates[i])) r->l->rates[n++] = r->l->rates[i];
    r->l->rates_count = n;
    if (json_type(array) == JSON_NULL) return true;
    while (json_next(&it, &none, &value))
        if (!rate_of(r, value)) return false;
    return true;
}

// Notes that the field is set, or with null that it is not. True: its value is to be read.
static bool given(struct reading *r, struct span value, uint32_t flag)
{
    const bool there = json_type(value) != JSON_NULL;
    r->l->set = there ? r->l->set | flag : r->l->set & ~flag;
    return there;
}

static bool money_of(struct reading *r, const char *field, struct span value, uint32_t flag, int64_t *slot)
{
    *slot = 0;
    return !given(r, value, flag) || usd_of(r, field, value, slot);
}

static bool flag_of(struct reading *r, const char *field, struct span value, uint32_t flag, bool *slot)
{
    *slot = false;
    return !given(r, value, flag) || admin_read_bool(r->c, span_str(field), value, slot);
}

static bool mode_of(struct reading *r, struct span value)
{
    struct span text;
    r->l->mode = STORE_TOKEN_BUCKET;
    if (!given(r, value, STORE_SET_MODE)) return true;
    if (!admin_read_text(r->c, SPAN("limits.mode"), value, &text)) return false;
    if (span_eq(text, SPAN("fixed_window"))) r->l->mode = STORE_FIXED_WINDOW;
    return r->l->mode == STORE_FIXED_WINDOW || span_eq(text, SPAN("token_bucket")) ||
        bad(r, "The field '%' is token_bucket or fixed_window.", "limits.mode");
}

// null is 0.
static bool count_of(struct reading *r, const char *field, struct span value, uint64_t *ret)
{
    *ret = 0;
    if (json_type(value) == JSON_NULL) return true;
    return (json_u64(value, ret) && *ret > 0 && *ret <= UINT32_MAX) ||
        bad(r, "The field '%' is a whole number above 0, or null for no limit.", field);
}

static bool rate_short_of(struct reading *r, const char *field, struct span value, enum store_unit unit)
{
    struct store_rate rate = {.window = STORE_MINUTE, .unit = (uint8_t)unit};
    if (!count_of(r, field, value, &rate.limit)) return false;
    if (rate.limit > PER_MINUTE_MAX)
        return bad(r, "The field '%' cannot be enforced: a rate may be at most 10 million a second.", field);
    return set_rate(r, rate);
}

static bool limit_of(struct reading *r, struct span key, struct span value)
{
    struct store_limits *l = r->l;
    uint64_t n;
    if (json_key_is(key, SPAN("rpm"))) return rate_short_of(r, "limits.rpm", value, STORE_REQUESTS);
    if (json_key_is(key, SPAN("tpm"))) return rate_short_of(r, "limits.tpm", value, STORE_TOKENS);
    if (json_key_is(key, SPAN("concurrency"))) {
        (void)given(r, value, STORE_SET_CONCURRENCY);
        if (!count_of(r, "limits.concurrency", value, &n)) return false;
        l->concurrency = (uint32_t)n;
        return true;
    }
    if (json_key_is(key, SPAN("usd_per_request")))
        return money_of(r, "limits.usd_per_request", value, STORE_SET_USD_PER_REQUEST,
                        &l->usd_per_request_nanos);
    if (json_key_is(key, SPAN("usd_per_day")))
        return money_of(r, "limits.usd_per_day", value, STORE_SET_USD_PER_DAY, &l->usd_per_day_nanos);
    if (json_key_is(key, SPAN("usd_per_month")))
        return money_of(r, "limits.usd_per_month", value, STORE_SET_USD_PER_MONTH, &l->usd_per_month_nanos);
    if (json_key_is(key, SPAN("hard"))) return flag_of(r, "limits.hard", value, STORE_SET_HARD, &l->hard);
    if (json_key_is(key, SPAN("shadow")))
        return flag_of(r, "limits.shadow", value, STORE_SET_SHADOW, &l->shadow);
    if (json_key_is(key, SPAN("mode"))) return mode_of(r, value);
    if (json_key_is(key, SPAN("rates"))) return rates_of(r, value);
    return admin_bad(r->c, "The field 'limits.%' is unknown.", key);
}

bool admin_limits_read(struct admin_call *c, struct span object, struct store_limits *l)
{
    struct reading r = {.c = c, .l = l};
    struct json_iter it = json_iter(object);
    struct span key, value;
    const char *field, *why;
    if (json_type(object) == JSON_NULL) {
        memset(l, 0, sizeof *l);
        return true;
    }
    if (json_type(object) != JSON_OBJECT) return bad(&r, "The field '%' is an object.", "limits");
    while (json_next(&it, &key, &value))
        if (!limit_of(&r, key, value)) return false;
    if (limit_account_check(l, &field, &why) == RW_OK) return true;
    char text[240];
    struct fmt f;
    fmt_init(&f, text, sizeof text - 1);
    fmt_str(&f, "The field '%' cannot be enforced: ");
    fmt_str(&f, why);
    fmt_char(&f, '.');
    text[f.n] = 0;
    return odd(&r, text, field);
}
