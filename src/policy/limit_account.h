// Limits of a key, a team or a tenant as they stand in the store, with those of its plan, as one limit object.
//
// Plan     An account's own limit holds; where it has none, its plan's does. That is decided for each by itself: each rate
//          (a window, of requests or of tokens), concurrency, usd_per_request, usd_per_day, usd_per_month, hard, shadow, mode.
//          So an account replaces what its plan says and adds to it; it cannot do without it: a plan's limit is lifted by a
//          higher one of its own. hard, shadow and mode are the whole object's: an account's `shadow` is for what it has
//          from its plan, too.
// Mode     Where the mode is fixed_window, bursts of a plan that was written for token buckets count for nothing.
// Each     A plan is a set of figures, not a purse: two teams of one plan have its limits each.
// Checked  What limit_account_check() let through on its way into the store is compiled by limit_compile() at any level, with
//          any plan that was let through, and with rolling budgets.
// Thread   any. Never suspends, allocates nothing.
#ifndef RINGWAY_POLICY_LIMIT_ACCOUNT_H
#define RINGWAY_POLICY_LIMIT_ACCOUNT_H

#include "policy/limit.h"
#include "store/accounts.h"

// plan: NULL if it has none. `rolling` is not the account's to say: the caller sets it before limit_compile().
struct limit_cfg limit_of_account(const struct store_account *account, const struct store_account *plan);

// Whether any limit follows from it; without one there is nothing to compile and to bind.
bool limit_cfg_is_empty(const struct limit_cfg *cfg);

// Of one record, plan or account. RW_E_CONFIG: *ret_field is the field as it is written ("limits.rates"), *ret_why what it may
// be.
RW_WARN_UNUSED enum rw_err limit_account_check(const struct store_limits *limits, const char **ret_field,
                                               const char **ret_why);

#endif
