// Limits and budgets of a request, at up to six levels at once, counted in mapped cells (store/cells.h) that all workers of all
// processes share. What is taken before the call is settled after it by what was really used.
//
// Make     limit_compile() a limit object of the configuration or of the store; limit_bind() it to the cells of the one it
//          belongs to, once per key, team, ...; limit_lend() for an end user, per request.
// Use      struct limit l = {.level = {[LIMIT_KEY] = &key->bound, ...}};    // NULL: no limit at this level, nothing is touched
//          limit_admit(&l, levels, &time, &why)       requests and concurrency, of the levels known so far; again for later
//          ones limit_reserve(&l, tokens, nanos, ...)      the estimate; again with more tops up
//          limit_charge(&l, tokens, nanos, ...)       what was really used: books the excess        } the journal's FINAL is
//          limit_release(&l, &time)                   gives back what was not used, and concurrency } written between the two
//          limit_cancel(&l, &time)                    instead of the last two: nothing was sent; everything is given back
// Order    Levels are taken as enumerated; a refusal gives back what that call took. A client that is refused has used nothing
//          up once limit_cancel() is called.
// Tokens   A rate takes the estimate, at most its burst: who asks for more waits for a full bucket. Excess is debt that later
//          requests wait for.
// Money    Nano-dollars. A hard budget is never exceeded as long as no request costs more than its reservation: reserve the
//          worst case, see estimate.h. A soft one (hard: false) admits while anything is left. Prices are rounded up to nanos
//          once per record (price.h); nothing is rounded here.
// Period   A day's and a month's budget is charged to the period of the reservation. What is settled after its end changes
//          nothing in the next one. Days and months end by the calendar (limit_time.h); rolling ones are the last 24 hours and
//          30 days, in steps of an hour and a day: what was spent leaves them up to one step late, never early.
// Shadow   Counts, and notes in `shadowed` what would have been refused; enforces nothing. A rate in shadow takes only what
//          fits, as if the request had been refused.
// Crash    `held` of struct limit_hold names the cells whose concurrency (word 0) the request has taken. It is plain data for a
//          journal in mapped memory: point l.hold there. It is marked behind the taking and cleared before the giving back, so
//          who dies leaves at most one slot too many taken, and limit_adopt() by a living process never gives back too much.
// Thread   a struct limit is one exchange's; sets are immutable; cells are everybody's. Never suspends, allocates nothing.
#ifndef RINGWAY_POLICY_LIMIT_H
#define RINGWAY_POLICY_LIMIT_H

#include <stddef.h>

#include "policy/limit_cell.h"
#include "policy/limit_time.h"

// X(symbol, name)
#define LIMIT_LEVELS_LIST(X) \
    X(LIMIT_KEY, "key") \
    X(LIMIT_TEAM, "team") \
    X(LIMIT_TENANT, "tenant") \
    X(LIMIT_MODEL, "model") \
    X(LIMIT_GLOBAL, "global") \
    X(LIMIT_END_USER, "end_user")

// X(symbol, name in texts and metrics)
#define LIMIT_WHATS(X) \
    X(LIMIT_CONCURRENCY, "concurrent requests") \
    X(LIMIT_REQUESTS_SECOND, "requests per second") \
    X(LIMIT_REQUESTS_MINUTE, "requests per minute") \
    X(LIMIT_REQUESTS_HOUR, "requests per hour") \
    X(LIMIT_REQUESTS_DAY, "requests per day") \
    X(LIMIT_TOKENS_SECOND, "tokens per second") \
    X(LIMIT_TOKENS_MINUTE, "tokens per minute") \
    X(LIMIT_TOKENS_HOUR, "tokens per hour") \
    X(LIMIT_TOKENS_DAY, "tokens per day") \
    X(LIMIT_USD_REQUEST, "USD per request") \
    X(LIMIT_USD_DAY, "USD per day") \
    X(LIMIT_USD_MONTH, "USD per month")

#define X(symbol, name) symbol,
enum limit_level { LIMIT_LEVELS_LIST(X) LIMIT_LEVELS };
enum limit_what { LIMIT_WHATS(X) LIMIT_WHAT_COUNT };
#undef X

const char *limit_level_name(enum limit_level level);
const char *limit_what_name(enum limit_what what);

static inline bool limit_what_is_money(enum limit_what what)
{
    return what >= LIMIT_USD_REQUEST;
}

// --- A limit object as it is written.

#define LIMIT_UNSET INT64_C(-1)
enum limit_window { LIMIT_SECOND, LIMIT_MINUTE, LIMIT_HOUR, LIMIT_DAY };

struct limit_rate {
    enum limit_window window;
    bool tokens; // else requests
    int64_t limit;
    int64_t burst; // 0: as many as limit; of a day's quota: 0
};
#define LIMIT_RATES_MAX 8 // each window once for requests and once for tokens

struct limit_cfg {
    int64_t rpm, tpm, concurrency; // LIMIT_UNSET: none
    int64_t usd_per_request, usd_per_day,
        usd_per_month; // nanos; LIMIT_UNSET: none; 0: nothing that costs money
    bool hard, shadow;
    bool fixed_window; // mode
    bool rolling; // budget.period
    uint32_t rate_count;
    struct limit_rate rate[LIMIT_RATES_MAX];
};

// All unset, hard.
struct limit_cfg limit_cfg_none(void);

#define LIMIT_USD_NANOS_MAX INT64_C(4000000000000000) // four million dollars, and
#define LIMIT_USD_MONTH_NANOS_MAX INT64_C(60000000000000000) // sixty million in a month of the calendar
#define LIMIT_CONCURRENCY_MAX INT64_C(1000000000)

// --- Compiled.

#define LIMIT_PARTS_MAX 11
#define LIMIT_CELLS_MAX 18 // that one object counts in; one to four without rolling budgets

struct limit_part {
    uint8_t what; // enum limit_what
    uint8_t kind; // private
    uint8_t cell, word; // place in struct limit_bound
    uint8_t bits; // of the amount in a count
    int64_t limit;
    struct limit_bucket bucket;
    int64_t window_ns; // of a fixed window, of a ring's slot
};

struct limit_set {
    uint8_t
        count; // parts; the first `admit` of them are taken by limit_admit(), the others by limit_reserve()
    uint8_t admit;
    uint8_t cells;
    bool hard, shadow;
    uint8_t wants; // of limit_wants()
    int64_t usd_per_request;
    int64_t least_room; // of the rates in tokens: the most that one request takes of the smallest
    uint8_t cell[LIMIT_CELLS_MAX]; // which of a name's cells, in the order of struct limit_bound
    struct limit_part part[LIMIT_PARTS_MAX];
};

// RW_E_CONFIG with *ret_why in words for a configuration error; *ret is untouched then. An end user's budget is never rolling
// (cfg->rolling is ignored), so that few cells are lent for it.
RW_WARN_UNUSED enum rw_err limit_compile(const struct limit_cfg *cfg, enum limit_level level,
                                         struct limit_set *ret, const char **ret_why);

// Whose limit it is, in 112 bits: an id of the store, or a hash of a name. lo is not 0.
struct limit_id {
    uint64_t lo;
    uint64_t hi; // the lower 48 bits count
};

struct limit_bound {
    const struct limit_set *set;
    bool lent;
    int64_t holders; // of a lent one, with this request
    struct store_cell *cell[LIMIT_CELLS_MAX];
};

// What the words mean: for store_cells_cfg.layout.
#define LIMIT_LAYOUT UINT64_C(1)

// RW_E_TOO_LARGE: the table of cells is full.
RW_WARN_UNUSED enum rw_err limit_bind(struct store_cells *cells, enum limit_level level, struct limit_id id,
                                      const struct limit_set *set, struct limit_bound *ret);

// For an end user, before limit_admit() of that level, which takes over: it gives the cells back if it refuses, else
// limit_release() and limit_cancel() do. limit_lend_give() if it never comes to that.
RW_WARN_UNUSED enum rw_err limit_lend(struct store_cells *cells, struct limit_id id,
                                      const struct limit_set *set, const struct limit_time *t,
                                      struct limit_bound *ret);
void limit_lend_give(struct limit_bound *bound);

// --- Joined: the parts of levels that often come together as one list of steps, which a request of the ordinary kind takes in a
// straight line (limit_quick.h). A level with a part that is not ordinary (a fixed window, a rolling budget) or in shadow is
// left out, and does without.

struct limit_step {
    _Atomic int64_t *word;
    int64_t room; // holders, nanoseconds to full, tokens or nanos
    int64_t unit_ns; // of a bucket; of a count the number of its base
    union {
        double per_ns; // of a bucket: 1 / unit_ns
        struct {
            uint32_t hold, level; // of a place: what is noted in limit_hold, and where
        };
    };
    const struct limit_part *part;
};

struct limit_list {
    uint8_t levels; // bits
    uint8_t wants; // of limit_wants()
    // Where the steps of a kind end: places, requests in buckets and in quotas, tokens in buckets and in quotas, money.
    uint8_t places, requests, request_quotas, tokens, token_quotas, end;
    int64_t most_tokens, most_nanos; // of a request, within all of the limits: more is not ordinary
    struct limit_step step[];
};

// How large a list of those levels is.
size_t limit_list_bytes(const struct limit_set *const set[LIMIT_LEVELS]);
// The bounds and their sets live as long as the list. NULL: no such level.
void limit_list_make(struct store_cells *cells, const struct limit_bound *const level[LIMIT_LEVELS],
                     struct limit_list *ret);

// The cell of limit_time.h. NULL: the table is full.
struct store_cell *limit_clock_cell(struct store_cells *cells);

// --- One request.

// What an estimate is needed for.
#define LIMIT_WANTS_TOKENS 1u
#define LIMIT_WANTS_MONEY 2u
#define LIMIT_WANTS_WORST_CASE 4u // money that must not be exceeded

#define LIMIT_HOLD_CELLS (LIMIT_LEVELS - 1 + 4)

// For the journal: all zero is nothing. The cells are numbers of store_cells_index() + 1.
struct limit_hold {
    uint32_t held[LIMIT_HOLD_CELLS];
};

#define LIMIT_NOT_BY_WAITING INT64_C(-1)

struct limit_refusal {
    enum limit_level level;
    enum limit_what what;
    int64_t limit; // tokens, requests, nanos
    int64_t
        wait_ns; // when it would fit, at least 1; LIMIT_NOT_BY_WAITING: a budget is gone, or it costs too much
    int64_t reset_ns; // of a budget or quota: the time until its period ends; else as wait_ns
};

// For x-ratelimit-*; limit 0: there is none. Of several the one with the least remaining.
struct limit_view {
    int64_t limit, remaining;
    int64_t reset_ns; // until it is whole again
};

#define LIMIT_LISTS 2

struct limit {
    const struct limit_bound *level[LIMIT_LEVELS];
    const struct limit_list *list[LIMIT_LISTS]; // of some of these levels, each in one list; NULL: none
    struct store_cells *cells;
    struct limit_hold *hold; // NULL: own_hold
    // --- Read only for others.
    uint8_t shadowed; // levels whose shadow limit would have refused, one bit each
    struct limit_view requests, tokens;
    int64_t token_estimate, nanos; // reserved
    uint32_t day, month; // to which the money is charged; 0 before limit_reserve()
    // --- Private.
    uint8_t admitted; // levels
    uint8_t quick; // of these those whose list was taken as a whole; what follows does not say so of them
    uint16_t taken[LIMIT_LEVELS], ahead[LIMIT_LEVELS]; // parts
    struct limit_when admitted_at[LIMIT_LEVELS], list_at[LIMIT_LISTS], reserved_at;
    int64_t used_tokens, used_nanos; // as charged
    bool reserved, charged;
    bool cut; // a rate in tokens took less than the estimate
    struct limit_hold own_hold;
};

#define LIMIT_BIT(level) (1u << (level))
#define LIMIT_ALL_LEVELS (LIMIT_BIT(LIMIT_LEVELS) - 1)

// Takes requests and concurrency of those of the levels that were not admitted before. False: refused, what this call took was
// given back, *ret says why.
bool limit_admit(struct limit *l, uint32_t levels, const struct limit_time *t, struct limit_refusal *ret);

// LIMIT_WANTS_* over all admitted levels.
uint32_t limit_wants(const struct limit *l);

// The estimate, of the whole request: a second call takes the difference if it is more, else nothing.
bool limit_reserve(struct limit *l, int64_t tokens, int64_t nanos, const struct limit_time *t,
                   struct limit_refusal *ret);

// The most nanos that a reservation could have now at all hard levels; INT64_MAX without any. What is reserved already counts
// as left.
int64_t limit_money_left(const struct limit *l, const struct limit_time *t);

void limit_charge(struct limit *l, int64_t tokens, int64_t nanos, const struct limit_time *t);
void limit_release(struct limit *l, const struct limit_time *t);
void limit_cancel(struct limit *l, const struct limit_time *t);

// --- After a death.

// Gives back the concurrency of a request whose process is dead. May be called again if the caller died in the middle.
void limit_adopt(struct store_cells *cells, struct limit_hold *hold);

// Alone, after STORE_CELLS_LEFT: forgets concurrency, money and daily quotas, which the ledger knows better. Rates stay, and
// so does what end users have used, of whom the ledger has no sums: what was reserved for requests that died counts as used.
void limit_forget(struct store_cells *cells);

// Books what a ledger says was used in the period of `when`: LIMIT_USD_DAY, LIMIT_USD_MONTH, LIMIT_REQUESTS_DAY,
// LIMIT_TOKENS_DAY. Of a rolling budget a booking is for the slot of that moment. Nothing if the set has no such limit.
void limit_book(const struct limit_bound *bound, enum limit_what what, int64_t amount,
                const struct limit_time *when);

// The same for a limit that is new in the middle of a period: only where nothing was counted in it yet. Not for rolling
// budgets, which begin with nothing.
void limit_fill(const struct limit_bound *bound, enum limit_what what, int64_t amount,
                const struct limit_time *t);

// For status pages: what was used of a limit until now; of a rate what is missing to full. False: the set has no such limit.
bool limit_used(const struct limit_bound *bound, enum limit_what what, const struct limit_time *t,
                int64_t *ret_used, int64_t *ret_limit);

#endif
