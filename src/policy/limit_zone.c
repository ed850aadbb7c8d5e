// Zones of the calendar out of TZif files (RFC 8536): a header, tables of changes with times of 32 bits, the same again with 64
// bits, and a rule in the notation of POSIX TZ for the years behind the tables ("CET-1CEST,M3.5.0,M10.5.0/3"). Times of 32
// bits are skipped; leap seconds are not counted by the clocks we are given, so files that have them are refused.
#include "policy/limit_time.h"

#define HEADER_BYTES 44
#define DAY_S INT64_C(86400)
#define RULE_YEAR_LAST 2100
#define RULE_YEARS_MAX 100

struct reader {
    const uint8_t *p, *end;
    bool bad;
};

static const uint8_t *take(struct reader *r, uint64_t n)
{
    if (r->bad || n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t big(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

struct header {
    uint32_t utc_marks, std_marks, leaps, times, types, chars;
};

static bool read_header(struct reader *r, struct header *h)
{
    const uint8_t *p = take(r, HEADER_BYTES);
    if (!p || !span_eq(span_of(p, 4), SPAN("TZif")) || p[4] < '2') return false;
    *h = (struct header){(uint32_t)big(p + 20, 4), (uint32_t)big(p + 24, 4), (uint32_t)big(p + 28, 4),
                         (uint32_t)big(p + 32, 4), (uint32_t)big(p + 36, 4), (uint32_t)big(p + 40, 4)};
    return true;
}

static bool add(struct limit_zone *z, int64_t at_s, int32_t offset_s)
{
    if (z->count && z->change[z->count - 1].offset_s == offset_s) return true;
    if (z->count == LIMIT_ZONE_CHANGES_MAX || (z->count && z->change[z->count - 1].at_s >= at_s))
        return false;
    z->change[z->count++] = (struct limit_zone_change){at_s, offset_s};
    return true;
}

// The second set of tables: what was before 1970 becomes the first offset.
static bool read_tables(struct reader *r, const struct header *h, struct limit_zone *z)
{
    const uint8_t *times = take(r, (uint64_t)h->times * 8);
    const uint8_t *kinds = take(r, h->times);
    const uint8_t *types = take(r, (uint64_t)h->types * 6);
    take(r, (uint64_t)h->chars + (uint64_t)h->leaps * 12 + h->std_marks + h->utc_marks);
    if (r->bad || h->leaps || h->types == 0) return false;
    int32_t first = (int32_t)(uint32_t)big(types, 4);
    uint32_t i = 0;
    for (; i < h->times && (int64_t)big(times + (size_t)i * 8, 8) <= 0; i++)
        if (kinds[i] < h->types) first = (int32_t)(uint32_t)big(types + (size_t)kinds[i] * 6, 4);
    if (!add(z, INT64_MIN, first)) return false;
    for (; i < h->times; i++) {
        if (kinds[i] >= h->types) return false;
        if (!add(z, (int64_t)big(times + (size_t)i * 8, 8),
                 (int32_t)(uint32_t)big(types + (size_t)kinds[i] * 6, 4)))
            return false;
    }
    return true;
}

// --- The rule.

static bool at_char(struct reader *r, uint8_t c)
{
    if (r->bad || r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

static int64_t number(struct reader *r, int64_t max)
{
    int64_t v = 0;
    const uint8_t *start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && v <= max) v = v * 10 + (*r->p++ - '0');
    if (r->p == start || v > max) r->bad = true;
    return v;
}

static void skip_name(struct reader *r)
{
    const uint8_t *start = r->p;
    if (at_char(r, '<')) {
        while (r->p < r->end && *r->p != '>') r->p++;
        if (!at_char(r, '>')) r->bad = true;
        return;
    }
    while (r->p < r->end && (uint8_t)((*r->p | 0x20) - 'a') < 26) r->p++;
    if (r->p - start < 3) r->bad = true;
}

// [+-]hh[:mm[:ss]]
static int64_t seconds(struct reader *r)
{
    const bool negative = at_char(r, '-');
    if (!negative) (void)at_char(r, '+');
    int64_t s = number(r, 167) * 3600;
    if (at_char(r, ':')) s += number(r, 59) * 60;
    if (at_char(r, ':')) s += number(r, 59);
    return negative ? -s : s;
}

// Mm.w.d[/time] and Jn[/time] and n[/time]: a day of the year and seconds into it.
struct rule {
    uint8_t kind; // 'M', 'J', '0'
    int64_t month, week, day, time_s;
};

static struct rule read_rule(struct reader *r)
{
    struct rule rule = {.kind = '0', .time_s = 2 * 3600};
    if (at_char(r, 'M')) {
        rule.kind = 'M';
        rule.month = number(r, 12);
        if (!at_char(r, '.')) r->bad = true;
        rule.week = number(r, 5);
        if (!at_char(r, '.')) r->bad = true;
        rule.day = number(r, 6);
        if (rule.month < 1 || rule.week < 1) r->bad = true;
    } else if (at_char(r, 'J')) {
        rule.kind = 'J';
        rule.day = number(r, 365);
        if (rule.day < 1) r->bad = true;
    } else {
        rule.day = number(r, 365);
    }
    if (at_char(r, '/')) rule.time_s = seconds(r);
    return rule;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

// Days since 1970 of January 1st.
static int64_t year_begins(int64_t year)
{
    const int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

// The rule's moment in local time as it was before, in seconds since 1970.
static int64_t rule_local_s(const struct rule *rule, int64_t year)
{
    static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    const int64_t leap = is_leap(year), first = year_begins(year);
    int64_t day = first + rule->day;
    if (rule->kind == 'J') {
        day = first + rule->day - 1 + (leap && rule->day >= 60);
    } else if (rule->kind == 'M') {
        const int64_t start = first + before[rule->month - 1] + (leap && rule->month > 2);
        const int64_t days = before[rule->month] - before[rule->month - 1] + (leap && rule->month == 2);
        const int64_t weekday = (start + 4) % 7; // January 1st 1970 was a Thursday
        int64_t n = (rule->day - weekday + 7) % 7 + (rule->week - 1) * 7;
        if (n >= days) n -= 7;
        day = start + n;
    }
    return day * DAY_S + rule->time_s;
}

// Goes on from the last change of the tables.
static bool read_footer(struct reader *r, struct limit_zone *z)
{
    if (!at_char(r, '\n')) return false;
    if (at_char(r, '\n')) return true; // no rule: the last offset stays
    skip_name(r);
    const int64_t standard = -seconds(r);
    if (r->bad) return false;
    const int64_t last = z->change[z->count - 1].at_s;
    if (at_char(r, '\n')) return z->count > 1 || add(z, 0, (int32_t)standard);
    skip_name(r);
    int64_t summer = standard + 3600;
    if (!at_char(r, ',')) {
        summer = -seconds(r);
        if (!at_char(r, ',')) return false;
    }
    const struct rule begins = read_rule(r);
    if (!at_char(r, ',')) return false;
    const struct rule ends = read_rule(r);
    if (r->bad || !at_char(r, '\n')) return false;
    int64_t from = RULE_YEAR_LAST - RULE_YEARS_MAX + 1;
    while (from < RULE_YEAR_LAST && year_begins(from + 1) * DAY_S <= last) from++;
    for (int64_t year = from; year <= RULE_YEAR_LAST; year++) {
        const int64_t on = rule_local_s(&begins, year) - standard, off = rule_local_s(&ends, year) - summer;
        const bool north = on < off;
        for (int i = 0; i < 2; i++) {
            const bool to_summer = north == (i == 0);
            const int64_t at = to_summer ? on : off;
            if (at <= last) continue;
            if (!add(z, at, (int32_t)(to_summer ? summer : standard))) return false;
        }
    }
    return true;
}

bool limit_zone_parse(struct span tzif, struct limit_zone *ret)
{
    struct reader r = {tzif.p, tzif.p + tzif.n, false};
    struct header h;
    ret->count = 0;
    if (!read_header(&r, &h)) return false;
    take(&r,
         (uint64_t)h.times * 5 + (uint64_t)h.types * 6 + h.chars + (uint64_t)h.leaps * 8 + h.std_marks +
             h.utc_marks);
    if (!read_header(&r, &h)) return false;
    if (read_tables(&r, &h, ret) && read_footer(&r, ret)) return true;
    ret->count = 0;
    return false;
}
