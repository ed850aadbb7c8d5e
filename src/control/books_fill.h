// Money and daily quotas of the period that is running, from the ledger into the cells. See books.h.
#ifndef RINGWAY_CONTROL_BOOKS_FILL_H
#define RINGWAY_CONTROL_BOOKS_FILL_H

#include "control/books.h"

RW_WARN_UNUSED enum rw_err books_fill(struct books *b);

#endif
