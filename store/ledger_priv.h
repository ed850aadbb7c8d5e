// The ledger's tables as they are written: raw records and the sums that a batch collects.
//
//   raw        id (16), part (1): encoded record
//   rollup     day (4), level (1), tenant (4), team (4), key (4), model (4), provider (4): struct store_sums;
//              what a level does not know is 0; model and provider are numbers of `texts`
//   tags       day (4), team (4), tag (4), tenant (4): struct store_sums
//   texts      a text: number (4, little-endian);  0 is the empty text, TEXT_OTHER what came after the last
//   text_ids   number (4): the text
#ifndef RINGWAY_STORE_LEDGER_PRIV_H
#define RINGWAY_STORE_LEDGER_PRIV_H

#include "store/store_priv.h"
#include "store/usage.h"

#define RAW_KEY_BYTES (STORE_ID_BYTES + 1)
#define ROLLUP_KEY_BYTES 25
#define TAG_KEY_BYTES 16
#define TEXT_OTHER 1
#define TEXT_OTHER_NAME "other"

enum store_level { LEVEL_TENANT = 1, LEVEL_TEAM, LEVEL_KEY };

struct store_ledger; // what is collected for one transaction after the other

RW_WARN_UNUSED enum rw_err store_ledger_new(struct store_ledger **ret);
void store_ledger_free(struct store_ledger *l);

// Before a transaction's first record. Forgets what an earlier one that failed had collected.
void store_ledger_begin(struct store_ledger *l);
// -EEXIST: the record is there already, and nothing was done. RW_E_CLOSED: it comes from an `adopted` journal and
// is older than what the sweep has removed: it may have been there.
RW_WARN_UNUSED enum rw_err store_ledger_put(struct store_ledger *l, struct store_txn *t,
                                            const struct store_record *r, bool adopted);
// The sums. After the last record.
RW_WARN_UNUSED enum rw_err store_ledger_end(struct store_ledger *l, struct store_txn *t);

// Removes up to `max` raw records that began before a moment.
RW_WARN_UNUSED enum rw_err store_ledger_sweep(struct store_txn *t, int64_t before_ms, uint32_t max,
                                              uint32_t *ret_removed);
// Bytes that raw records take, and when the oldest began (0: none).
RW_WARN_UNUSED enum rw_err store_ledger_raw_size(struct store *s, uint64_t *ret_bytes,
                                                 int64_t *ret_oldest_ms);

static inline struct span raw_key(const uint8_t id[STORE_ID_BYTES], uint8_t part, uint8_t ret[RAW_KEY_BYTES])
{
    memcpy(ret, id, STORE_ID_BYTES);
    ret[STORE_ID_BYTES] = part;
    return span_of(ret, RAW_KEY_BYTES);
}

// The number of a text; RW_E_NOT_FOUND.
RW_WARN_UNUSED enum rw_err store_ledger_text_find(const struct store *s, MDB_txn *txn, struct span text,
                                                  uint32_t *ret);
// The text of a number, in the map.
RW_WARN_UNUSED enum rw_err store_ledger_text_of(const struct store *s, MDB_txn *txn, uint32_t number,
                                                struct span *ret);

RW_WARN_UNUSED enum rw_err store_ledger_sums_read(struct span value, struct store_sums *ret);

#endif
