// The time that limits count by: the moment, and which day and month it is for budgets.
//
// A calendar needs the wall clock, and a wall clock steps. So the calendar's time is the boot clock plus an offset that is
// kept in a shared cell: set once when the table of cells is made, and afterwards drawn towards the wall clock by at most
// 1/LIMIT_TIME_SLEW of the time that passes. A step of the wall clock moves no budget into a new day; all workers of all
// processes see the same day; it never runs backwards. After a start with nobody else alive it is the wall clock again.
//
// Use      one struct limit_time per worker; limit_time_update() once per turn of the loop; the struct is handed to every call
//          of limit.h.
// Zone     days and months begin at midnight in a zone: a list of offsets from UTC, made from a TZif file (RFC 8536) by
//          limit_zone_parse(); NULL is UTC.
// Thread   the struct is its worker's; the cell is everybody's. Never suspends, allocates nothing.
#ifndef RINGWAY_POLICY_LIMIT_TIME_H
#define RINGWAY_POLICY_LIMIT_TIME_H

#include "base/clock.h"
#include "base/span.h"
#include "store/cells.h"

#define LIMIT_TIME_SLEW 8

struct limit_zone;

// A moment of the calendar.
struct limit_when {
    int64_t utc_ns; // since 1970; never runs backwards in one worker
    uint32_t day; // days since 1970 and
    uint32_t month; // months since 1970, both in the zone
};

struct limit_time {
    int64_t now_ns; // of the boot clock
    struct limit_when at;
    int64_t day_end_ns, month_end_ns; // on the scale of utc_ns
};

// cell: of everybody (limit_clock_cell()). zone: NULL for UTC; who changes it sets day_end_ns to 0.
void limit_time_update(struct limit_time *t, struct store_cell *cell, const struct limit_zone *zone,
                       int64_t now_ns, int64_t wall_ns);

// Another moment of the same calendar, for booking what a ledger says.
void limit_time_at(struct limit_time *t, const struct limit_zone *zone, int64_t utc_ns);

// Changes of the offset from UTC, oldest first; before the first one the first offset holds.
#define LIMIT_ZONE_CHANGES_MAX 320
struct limit_zone {
    uint32_t count;
    struct limit_zone_change {
        int64_t at_s; // UTC; the first is INT64_MIN
        int32_t offset_s; // east of Greenwich
    } change[LIMIT_ZONE_CHANGES_MAX];
};

// The content of /usr/share/zoneinfo/...: what it lists since 1970, and what its rule says for the years up to 2100. False, and
// *ret is UTC, if it is not TZif of version 2 or later or says something that is not understood.
bool limit_zone_parse(struct span tzif, struct limit_zone *ret);

int32_t limit_zone_offset_s(const struct limit_zone *zone, int64_t utc_s);

#endif
