// The audit: what administrators did, in order, each entry chained to the one before by SHA-256, so that a
// changed, removed or inserted entry shows. Entries are written in the transaction of the act itself
// (accounts.h does so); acts that change no account add theirs by store_audit_add().
//
// Chain    an entry's hash covers its sequence number, its bytes and the hash before it. The last number and
//          hash stand apart, so that a shortened end shows, too. Someone who can write the file can make a
//          new chain: keep the head hash that store_audit_verify() gives somewhere else to see that as well.
// Thread   as accounts.h.
#ifndef RINGWAY_STORE_AUDIT_H
#define RINGWAY_STORE_AUDIT_H

#include "store/accounts.h"

struct store_audit_entry {
    uint64_t sequence; // from 1
    int64_t wall_ms;
    uint8_t kind; // enum store_kind of the subject, 0: none
    uint32_t id;
    struct span action; // "key.create", "backup", ...
    struct span actor;
    struct span name; // of the subject, at the time
    struct span detail;
    uint8_t hash[STORE_HASH_BYTES];
};

// sequence and hash are ignored. Texts together at most STORE_AUDIT_TEXT_BYTES_MAX: RW_E_TOO_LARGE.
RW_WARN_UNUSED enum rw_err store_audit_add(struct store_txn *t, const struct store_audit_entry *e);

// The newest `count` entries before the sequence number `before` (0: from the end), newest first, until fn
// returns false. Spans are good during the call.
typedef bool store_audit_fn(const struct store_audit_entry *e, void *ctx);
RW_WARN_UNUSED enum rw_err store_audit_tail(struct store_reader *r, uint64_t before, uint32_t count,
                                            store_audit_fn *fn, void *ctx);

struct store_audit_state {
    uint64_t entries; // that are in order, from the first
    uint64_t broken; // sequence number of the first that is not; 0: the chain is whole
    uint8_t head[STORE_HASH_BYTES]; // of the last that is in order; zero if there is none
};

// Reads all of it. RW_OK also when the chain is broken: the state says so.
RW_WARN_UNUSED enum rw_err store_audit_verify(struct store_reader *r, struct store_audit_state *ret);

#endif
