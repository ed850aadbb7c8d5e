// See limit_time.h. Civil dates by Howard Hinnant's algorithm (days_from_civil): a year begins in March, so the leap day is
// its last.
#include "policy/limit_time.h"

#include <stddef.h>

#define DAY_S INT64_C(86400)
// The offset is corrected this often, so that no worker writes the shared line more than once a second.
#define CORRECT_NS CLOCK_SEC
// What a clock wanders between two corrections is not worth a write.
#define WANDER_NS CLOCK_MS
// A worker that slept for long does not draw the offset at once for all of it.
#define CORRECT_NS_MAX (60 * CLOCK_SEC)

enum { WORD_OFFSET = 1, WORD_CORRECTED = 2 };

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

// Months since 1970 of a day since 1970.
static int64_t month_of(int64_t day)
{
    const int64_t z = day + 719468; // since 0000-03-01
    const int64_t era = floor_div(z, 146097), doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t month = (5 * doy + 2) / 153; // 0: March
    return (era * 400 + yoe - 1970) * 12 + month + 2;
}

// The first day of a month.
static int64_t day_of_month(int64_t month)
{
    const int64_t march = month - 2; // months since March 1970
    const int64_t year = 1970 + floor_div(march, 12), m = march - floor_div(march, 12) * 12;
    const int64_t era = floor_div(year, 400), yoe = year - era * 400;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 - 719468;
}

int32_t limit_zone_offset_s(const struct limit_zone *zone, int64_t utc_s)
{
    if (!zone || zone->count == 0) return 0;
    uint32_t low = 0, high = zone->count;
    while (high - low > 1) {
        const uint32_t mid = low + (high - low) / 2;
        if (zone->change[mid].at_s <= utc_s) low = mid;
        else high = mid;
    }
    return zone->change[low].offset_s;
}

// When a local day begins: the first moment that is not in the day before. Offsets change by less than a day; where midnight is
// skipped or comes twice, one of the two offsets around it names the moment.
static int64_t day_begins_s(const struct limit_zone *zone, int64_t day)
{
    const int64_t local = day * DAY_S;
    const int64_t a = local - limit_zone_offset_s(zone, local - DAY_S);
    const int64_t b = local - limit_zone_offset_s(zone, local + DAY_S);
    const int64_t first = a < b ? a : b, second = a < b ? b : a;
    return first + limit_zone_offset_s(zone, first) >= local ? first : second;
}

void limit_time_at(struct limit_time *t, const struct limit_zone *zone, int64_t utc_ns)
{
    t->at.utc_ns = utc_ns;
    const int64_t s = floor_div(utc_ns, CLOCK_SEC);
    const int64_t day = floor_div(s + limit_zone_offset_s(zone, s), DAY_S), month = month_of(day);
    t->at.day = (uint32_t)day;
    t->at.month = (uint32_t)month;
    t->day_end_ns = day_begins_s(zone, day + 1) * CLOCK_SEC;
    t->month_end_ns = day_begins_s(zone, day_of_month(month + 1)) * CLOCK_SEC;
}

// Draws the shared offset towards the wall clock. One worker does it: whose compare-and-swap moves the time of the last
// correction.
static void correct(struct store_cell *cell, int64_t behind_ns, int64_t now_ns)
{
    int64_t last = atomic_load_explicit(&cell->word[WORD_CORRECTED], memory_order_relaxed);
    const int64_t passed = now_ns - last;
    if (passed < CORRECT_NS || !atomic_compare_exchange_strong(&cell->word[WORD_CORRECTED], &last, now_ns))
        return;
    const int64_t most = (passed < CORRECT_NS_MAX ? passed : CORRECT_NS_MAX) / LIMIT_TIME_SLEW;
    const int64_t step = behind_ns > most ? most : behind_ns < -most ? -most : behind_ns;
    atomic_fetch_add_explicit(&cell->word[WORD_OFFSET], step, memory_order_relaxed);
}

void limit_time_update(struct limit_time *t, struct store_cell *cell, const struct limit_zone *zone,
                       int64_t now_ns, int64_t wall_ns)
{
    int64_t offset = atomic_load_explicit(&cell->word[WORD_OFFSET], memory_order_relaxed);
    if (RW_UNLIKELY(offset == 0)) {
        const int64_t first = wall_ns - now_ns ? wall_ns - now_ns : 1;
        atomic_store_explicit(&cell->word[WORD_CORRECTED], now_ns, memory_order_relaxed);
        if (atomic_compare_exchange_strong(&cell->word[WORD_OFFSET], &offset, first)) offset = first;
    }
    const int64_t behind = wall_ns - now_ns - offset;
    if (behind > WANDER_NS || behind < -WANDER_NS) correct(cell, behind, now_ns);
    t->now_ns = now_ns;
    const int64_t utc_ns = now_ns + offset;
    if (utc_ns > t->at.utc_ns) t->at.utc_ns = utc_ns;
    if (RW_UNLIKELY(t->at.utc_ns >= t->day_end_ns)) limit_time_at(t, zone, t->at.utc_ns);
}
