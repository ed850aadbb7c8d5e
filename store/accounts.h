// Accounts: tenants, teams, keys and plans as records, found by a key's HMAC, by id or by name, listed in
// pages, and changed only together with an entry in the audit (audit.h), in one transaction.
//
// Record   a tenant has teams, a team has keys. What a limit or a list means is policy's business; here they
//          are kept. Ids are numbers from 1, each kind its own, never used twice. A name is unique among
//          tenants, teams and plans; keys may share one. The parent of a record never changes.
// Memory   a found record is copied, encoded, to the caller's buffer; the struct's spans and lists point
//          there. An encoded record may be kept and decoded again (store_account_decode), which costs about
//          as much as a copy. STORE_ACCOUNT_BYTES_MAX bytes hold any record.
// Plan     is named by those who have it: it must be there, and can neither be deleted nor renamed while somebody
//          has it.
// Key      is stored as its HMAC only (secret.h). Rotating one leaves the old hash valid until a time; a
//          revoked key stays, and its hash with it, so that it cannot come back.
// Thread   readers: the thread of the store_reader. Writing functions: inside store_commit(STORE_ACCOUNTS).
// Time     wall_ms: milliseconds since 1970 UTC.
// Errors   RW_E_NOT_FOUND; -EEXIST name or hash is taken; -ENOTEMPTY it has children, or is a plan in use; -ESTALE it was
//          changed since store_act.was was read; RW_E_BAD a name that is empty or has control characters; RW_E_TOO_LARGE the
//          buffer, a name or the record; RW_E_CORRUPT.
#ifndef RINGWAY_STORE_ACCOUNTS_H
#define RINGWAY_STORE_ACCOUNTS_H

#include "store/env.h"

#define STORE_HASH_BYTES 32
#define STORE_ID_NONE 0

enum store_kind { STORE_TENANT = 1, STORE_TEAM, STORE_KEY, STORE_PLAN, STORE_KIND_COUNT };

enum store_window { STORE_SECOND, STORE_MINUTE, STORE_HOUR, STORE_DAY, STORE_WINDOW_COUNT };
enum store_unit { STORE_REQUESTS, STORE_TOKENS, STORE_UNIT_COUNT };
enum store_mode { STORE_TOKEN_BUCKET, STORE_FIXED_WINDOW, STORE_MODE_COUNT };

struct store_rate {
    uint64_t limit;
    uint64_t burst; // 0: the limit
    uint8_t window; // enum store_window
    uint8_t unit; // enum store_unit
};

// Which of the fields below were given; the others are 0.
enum store_limit_set {
    STORE_SET_CONCURRENCY = 1 << 0,
    STORE_SET_USD_PER_REQUEST = 1 << 1,
    STORE_SET_USD_PER_DAY = 1 << 2,
    STORE_SET_USD_PER_MONTH = 1 << 3,
    STORE_SET_HARD = 1 << 4,
    STORE_SET_SHADOW = 1 << 5,
    STORE_SET_MODE = 1 << 6,
    STORE_SET_ALL = (1 << 7) - 1,
};

struct store_limits {
    uint32_t set;
    uint32_t concurrency;
    int64_t usd_per_request_nanos;
    int64_t usd_per_day_nanos;
    int64_t usd_per_month_nanos;
    bool hard;
    bool shadow;
    uint8_t mode; // enum store_mode
    uint8_t rates_count;
    struct store_rate rates[STORE_RATES_MAX];
};

// Items one behind the other, encoded.
struct store_list {
    struct span bytes;
    uint32_t count;
};

enum store_flags {
    STORE_DISABLED = 1 << 0, // may be enabled again
    STORE_REVOKED = 1 << 1, // a key; for ever
    STORE_FROM_FILE = 1 << 2, // stands in the configuration file, which is where it is changed
};

// An item of `cidrs`.
struct store_cidr {
    uint8_t bytes; // of the address: 4 or 16
    uint8_t bits; // of the prefix
    uint8_t address[16]; // network order; beyond `bytes` zero
};

struct store_account {
    uint8_t kind; // enum store_kind
    uint32_t id;
    uint32_t parent; // a key's team, a team's tenant
    uint32_t tenant; // a key's, filled in when it is created
    uint32_t flags; // enum store_flags
    int64_t created_ms;
    int64_t updated_ms;
    int64_t expires_ms; // 0: never
    int64_t previous_until_ms; // a rotated key: until when its previous hash is good; 0: it has none
    struct store_limits limits;
    struct span name;
    struct span prefix; // the beginning of a key's text, to be shown
    struct span plan; // its name
    struct store_list models, providers, regions; // allowed; none: all
    struct store_list cidrs; // struct store_cidr; none: all
    struct store_list tags; // "k=v"
};

// --- Lists.

// Writes a list into the caller's bytes.
struct store_list_maker {
    uint8_t *p;
    uint32_t n, cap, count;
    bool overflow;
};

void store_list_add(struct store_list_maker *m, struct span item);
struct store_list store_list_made(const struct store_list_maker *m);
// Takes the first item off *rest. False: there is none.
bool store_list_next(struct store_list *rest, struct span *ret_item);

// --- Encoded records.

// The number of bytes, or RW_E_TOO_LARGE.
RW_WARN_UNUSED int64_t store_account_encode(const struct store_account *a, void *out, size_t cap);
RW_WARN_UNUSED enum rw_err store_account_decode(struct span encoded, struct store_account *ret);

// --- Reading. buf: for the encoded record, of which *ret_bytes (may be NULL) are used.

struct store_buf {
    void *p;
    uint32_t cap;
    uint32_t n; // set: bytes of the record
};

// By the HMAC of a key. A previous hash finds the key until previous_until_ms, then nothing.
RW_WARN_UNUSED enum rw_err store_key_find(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES],
                                          int64_t wall_ms, struct store_buf *buf, struct store_account *ret);
RW_WARN_UNUSED enum rw_err store_account_get(struct store_reader *r, enum store_kind kind, uint32_t id,
                                             struct store_buf *buf, struct store_account *ret);
// Of several keys of one name the oldest.
RW_WARN_UNUSED enum rw_err store_account_named(struct store_reader *r, enum store_kind kind, struct span name,
                                               struct store_buf *buf, struct store_account *ret);

// Calls fn for up to `limit` records in the order of their ids, those of one parent (0: all), behind the id
// `after` (0: from the first), until fn returns false. All of one snapshot; the record's spans are good
// during the call only. *ret_next: what to pass as `after` for the next page, 0 when there is no more.
typedef bool store_account_fn(const struct store_account *a, void *ctx);
RW_WARN_UNUSED enum rw_err store_account_list(struct store_reader *r, enum store_kind kind, uint32_t parent,
                                              uint32_t after, uint32_t limit, store_account_fn *fn, void *ctx,
                                              uint32_t *ret_next);

// The name of what is or once was stored, for usage of deleted keys. Returns its length; RW_E_NOT_FOUND.
RW_WARN_UNUSED int64_t store_account_label(struct store_reader *r, enum store_kind kind, uint32_t id,
                                           char ret_name[STORE_NAME_BYTES_MAX]);

// --- Writing, each with its entry in the audit.

// Who does it, for the audit.
struct store_act {
    int64_t wall_ms;
    struct span actor; // "uid 0 by socket", "admin token", ...
    struct span detail; // what was asked for, as JSON or empty; no secrets
    struct span was; // the encoded record this rests on; {NULL, 0}: whatever it is by now
};

// a->id is ignored, created_ms and updated_ms are the act's time. hash: of a key; NULL for the others.
// *ret_id is good when the transaction is committed.
RW_WARN_UNUSED enum rw_err store_account_create(struct store_txn *t, const struct store_account *a,
                                                const uint8_t *hash, const struct store_act *act,
                                                uint32_t *ret_id);
// Everything but kind, id, parent, tenant, created_ms, prefix, previous_until_ms and STORE_REVOKED, which stay.
RW_WARN_UNUSED enum rw_err store_account_update(struct store_txn *t, const struct store_account *a,
                                                const struct store_act *act);
RW_WARN_UNUSED enum rw_err store_account_delete(struct store_txn *t, enum store_kind kind, uint32_t id,
                                                const struct store_act *act);

RW_WARN_UNUSED enum rw_err store_key_revoke(struct store_txn *t, uint32_t id, const struct store_act *act);
// The key's hash becomes previous, good until previous_until_ms; one that was previous is forgotten.
RW_WARN_UNUSED enum rw_err store_key_rotate(struct store_txn *t, uint32_t id,
                                            const uint8_t new_hash[STORE_HASH_BYTES], struct span new_prefix,
                                            int64_t previous_until_ms, const struct store_act *act);

#endif
