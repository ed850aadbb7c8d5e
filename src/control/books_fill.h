// Money and daily quotas of the period that is running, from the ledger into the cells. See books.h.
#ifndef RINGWAY_CONTROL_BOOKS_FILL_H
#define RINGWAY_CONTROL_BOOKS_FILL_H

#include "control/books.h"
#include "policy/limit.h"
#include "store/accounts.h"
#include "store/usage.h"

RW_WARN_UNUSED enum rw_err books_fill(struct books *b);

// An account or a plan as it is about to be: limits that are new know what was used since their period began. Any thread
// that may wait for the disk.
RW_WARN_UNUSED enum rw_err books_fill_changed(struct store *s, struct store_cells *cells,
                                              const struct store_account *changed);

// The same for limits of the configuration that were bound. `who`: whose requests they count; days are ignored.
RW_WARN_UNUSED enum rw_err books_fill_bound(struct store *s, struct store_cells *cells,
                                            const struct store_usage_query *who,
                                            const struct limit_bound *bound);

#endif
