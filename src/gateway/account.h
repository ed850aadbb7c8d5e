// What a request takes of limits and budgets, what it costs, and its record in the ledger.
//
// Use      exchange_admit() and exchange_reserve() are stages; exchange_charge() settles, before the last bytes of an answer
//          leave, so that a client never has an answer whole that the books do not know; exchange_settle() calls it again for
//          what ended without one.
// Books    requests and concurrency of key, team, tenant and all are taken before the body is read; the model's, tokens and
//          money once the target is known, by an estimate (policy/estimate.h), and corrected by what was really used.
// Record   a slot of the worker's journal from admission on (store/journal.h). If the process dies, a slot that had asked
//          nobody gives back what it held; one that had is charged at its estimate.
// Usage    as the provider counted it. If it named none although it was asked, the record says `estimated`: a token for four
//          bytes of the prompt, and one for each event of content that went by, where they are counted; else for four
//          bytes of a whole answer, for 128 of a stream.
// Clamped  where a hard budget has not enough left for the worst case, a chat is asked for a shorter answer: max_tokens goes up
//          as what fits, and x-ringway-clamped says so.
// Without  a store (worker_cfg.journal NULL) nothing is kept and nothing is limited.
// Owner    the exchange's arena. Thread   the worker's. Only account_commit() suspends.
#ifndef RINGWAY_GATEWAY_ACCOUNT_H
#define RINGWAY_GATEWAY_ACCOUNT_H

#include "gateway/exchange.h"
#include "policy/limit.h"
#include "policy/price.h"

// Complete lines of a head: x-ratelimit-* or anthropic-ratelimit-*, x-ringway-clamped, x-ringway-cost-usd.
#define ACCOUNT_LINES_BYTES 768

struct account {
    struct limit limit;
    const struct price *price; // of the target; NULL: the model has none
    uint32_t slot; // STORE_SLOT_NONE: no record
    bool closed;
    uint64_t commit_number; // of the journal: the answer waits for it; 0: it does not
    bool uncounted; // a limit has no room to be counted, which refuses
    int64_t cost_nanos; // as charged
    int64_t saved_nanos; // what an answer from the cache would have cost
    uint64_t model; // for the estimator
    struct limit_bound end_user; // lent
    struct price found; // of a target that the plan does not name
};

// How it ended, for the record: the status that goes or went out, and the bytes of the answer that are about to. Does
// nothing the second time.
void exchange_charge(struct exchange *x, uint16_t status, uint64_t bytes_more);
// Tokens of a request that nobody has counted.
int64_t account_guess_input(const struct exchange *x);

// Before the last bytes of an answer leave: suspends until the record is committed, where that is asked for
// (usage.sync_interval 0). A ledger that cannot be written is not waited for.
void account_commit(struct exchange *x);

// The answer comes from the cache: the record says for whom and of what, and nothing is reserved.
void account_hit(struct exchange *x);
// What the provider counted when the answer was made.
void account_saved(struct exchange *x, const struct usage *usage);

// The lines that belong into the head of an answer; empty: none.
struct span account_lines(struct exchange *x);

#endif
