// What limit.c and limit_compile.c share: where each limit of an object is counted.
//
// A name has several cells, of which an object uses those that its limits need. Word 0 of each is the number of holders: of the
// main cell the concurrency, of all cells that are lent the borrowers.
//
//   main         requests and tokens per minute (buckets), USD per day and month, requests per day: all of an ordinary object
//   rare         requests and tokens per second and hour (buckets), tokens per day
//   fixed 1, 2   the rates of mode fixed_window: other words, since a bucket's word means nothing as a count
//   ring 1..7    a rolling day: the total, then the slots; another seven for a rolling month
#ifndef RINGWAY_POLICY_LIMIT_PRIV_H
#define RINGWAY_POLICY_LIMIT_PRIV_H

#include "base/check.h"
#include "policy/limit.h"

enum limit_kind { LIMIT_K_SLOTS, LIMIT_K_BUCKET, LIMIT_K_WINDOW, LIMIT_K_DAY, LIMIT_K_MONTH, LIMIT_K_RING };

enum limit_cell_number { LIMIT_C_MAIN, LIMIT_C_RARE, LIMIT_C_FIXED_1, LIMIT_C_FIXED_2, LIMIT_C_RING_DAY };
#define LIMIT_RING_CELL_WORDS (STORE_CELL_WORDS - 1)
#define LIMIT_RING_CELLS ((1 + LIMIT_RING_SLOTS + LIMIT_RING_CELL_WORDS - 1) / LIMIT_RING_CELL_WORDS)
#define LIMIT_C_RING_MONTH (LIMIT_C_RING_DAY + LIMIT_RING_CELLS)
#define LIMIT_C_COUNT (LIMIT_C_RING_MONTH + LIMIT_RING_CELLS)

static_assert(LIMIT_C_COUNT <= LIMIT_CELLS_MAX, "an object may use all of them");
static_assert(LIMIT_HOLD_CELLS == LIMIT_END_USER + LIMIT_C_RING_DAY,
              "an end user holds all cells but the rings'");

// Of counts by the calendar, which begin anew when the word of their period is another.
enum limit_base { LIMIT_BASE_QUOTA, LIMIT_BASE_DAY, LIMIT_BASE_MONTH, LIMIT_BASES };

#define LIMIT_W_USD_DAY 3
#define LIMIT_W_USD_MONTH 4
#define LIMIT_W_REQUESTS_DAY 5
#define LIMIT_W_TOKENS_DAY 5 // of the rare cell

#define LIMIT_RING_DAY_SLOTS 24
#define LIMIT_RING_DAY_SLOT_NS (3600 * CLOCK_SEC)
#define LIMIT_RING_MONTH_SLOTS 30
#define LIMIT_RING_MONTH_SLOT_NS LIMIT_DAY_NS

// The second half of a cell's name: level, number, and the upper bits of the id.
static inline uint64_t limit_cell_kind(enum limit_level level, unsigned number, uint64_t id_hi)
{
    return (uint64_t)(level + 1) << 56 | (uint64_t)number << 48 | (id_hi & ((UINT64_C(1) << 48) - 1));
}

static inline unsigned limit_cell_number(uint64_t kind)
{
    return (unsigned)(kind >> 48) & 0xff;
}

static inline enum limit_level limit_cell_level(uint64_t kind) // LIMIT_LEVELS: none
{
    const uint64_t level = (kind >> 56) - 1;
    return level < LIMIT_LEVELS ? (enum limit_level)level : LIMIT_LEVELS;
}

static inline bool limit_part_is_admit(const struct limit_part *p)
{
    return p->what <= LIMIT_REQUESTS_DAY;
}

#endif
