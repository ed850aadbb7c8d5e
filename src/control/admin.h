// The administrator's side: one function from a request to its answer. The admin socket of a running server calls it on an
// offload thread (admin_server.h); the command line calls it itself when no server runs. So both do the same.
//
// Paths    behind /admin/v1: tenants, teams, keys, plans, each with /{id or name}; keys/{id}/rotate and /revoke; audit;
//          usage?days=&group_by=; explain/{request id}.
// Objects  use the configuration's names plus id, created_at, updated_at, and prefix for keys. Lists are
//          {"data":[…],"next":…|null} with ?limit=&after=. PUT replaces what the body names and leaves the
//          rest; null takes a value away.
// Errors   {"error":{"message","type":"gateway_error","code",…}}; the message says what to do.
// Thread   any that may wait for the disk; several at once. No call sees another's memory.
#ifndef RINGWAY_CONTROL_ADMIN_H
#define RINGWAY_CONTROL_ADMIN_H

#include "store/cells.h"
#include "store/secret.h"
#include "wire/http.h"
#include "wire/json_out.h"

#define ADMIN_PREFIX "/admin/v1"

struct admin {
    struct store *store;
    struct store_cells *cells; // that a running server's limits count in; NULL: none runs
    struct store_pepper pepper;
    int64_t (*wall_ms)(void);
};

struct admin_call {
    // What is asked.
    enum http_method method;
    struct span path; // whole
    struct span query;
    struct span body;
    struct span actor; // for the audit
    struct arena *arena;
    // The answer, in the arena.
    uint16_t status;
    const char *allow; // methods, with 405
    struct json_out out;
    const struct admin *admin;
};

void admin_run(const struct admin *a, struct admin_call *c);

// --- For the files of the admin API: each takes the segments behind its collection's name.
void admin_accounts(struct admin_call *c, enum store_kind kind, struct span id, struct span verb);
void admin_audit(struct admin_call *c);
void admin_usage(struct admin_call *c);
void admin_explain(struct admin_call *c, struct span id);

// Answers with an error. The text's %: detail.
void admin_refuse(struct admin_call *c, uint16_t status, const char *text, struct span detail);
void admin_refuse_err(struct admin_call *c, enum rw_err err);
void admin_begin(struct admin_call *c, uint16_t status); // an answer of ours: c->out is ready for its object
void admin_wrong_method(struct admin_call *c, const char *allow);
// False: it was refused.
bool admin_reader(struct admin_call *c, enum store_env env, struct store_reader **ret);
// By its id, or by its name if it has a letter in it. The record lies in the call's arena.
RW_WARN_UNUSED enum rw_err admin_find(struct admin_call *c, struct store_reader *r, enum store_kind kind,
                                      struct span id, struct store_account *ret);
// A parameter of the query, decoded; {NULL, 0}: not there.
struct span admin_query(struct admin_call *c, struct span name);
bool admin_query_u64(struct admin_call *c, struct span name, uint64_t least, uint64_t most, uint64_t *value);

// --- admin_account.c: records as JSON.
void admin_account_write(struct json_out *o, struct store_reader *r, const struct store_account *a);
// Its members, without the object around them.
void admin_account_members(struct json_out *o, struct store_reader *r, const struct store_account *a);
// Lays the members of an object over *a; lists and texts go to the call's arena. False: it was refused.
// What is no part of the record: the name of the parent, and a key's text when it is brought along.
struct admin_more {
    struct span parent, key;
};
bool admin_account_read(struct admin_call *c, struct span body, struct store_account *a,
                        struct admin_more *more);
// One value of a body; `field` is its name in the refusal. The text goes to the call's arena.
bool admin_read_text(struct admin_call *c, struct span field, struct span value, struct span *ret);
bool admin_read_bool(struct admin_call *c, struct span field, struct span value, bool *ret);
bool admin_bad(struct admin_call *c, const char *text, struct span field); // refuses with 400; false

// --- admin_used.c: a member `used`, {"what","used","limit"} of each limit that counts; nothing if no server runs.
void admin_used_write(struct admin_call *c, struct store_reader *r, const struct store_account *a);

// --- admin_limits.c: limits as the configuration writes them, with rpm and tpm for the rates of a minute.
void admin_limits_write(struct json_out *o, const struct store_limits *l); // a member `limits`
// Lays the members over *l; null takes one away. What can be enforced only is let through (policy/limit_account.h).
bool admin_limits_read(struct admin_call *c, struct span object, struct store_limits *l);
void admin_write_usd(struct json_out *o, struct span key, int64_t nanos);

#endif
