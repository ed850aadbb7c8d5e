// The administrator's side: one function from a request to its answer. A running server calls it for its socket and its TCP
// listener (admin_server.h); the command line calls it itself when no server runs. So all do the same.
//
// Paths    the table of admin_table.h; GET /openapi.json says what they take and answer.
// Objects  use the configuration's names plus id, created_at, updated_at, and prefix for keys. Lists are
//          {"data":[…],"next":…|null} with ?limit=&after=. PATCH changes what the body names and leaves the rest, null takes
//          a value away; PUT makes the record what the body says, and makes it if there is none of that name.
// Versions an answer with one record has an ETag. If-Match holds whoever changes it to that version (412), If-None-Match: *
//          to making it new; on GET If-None-Match gives 304. A change without If-Match never overwrites one it has not seen.
// Errors   {"error":{"message","type":"gateway_error","code","field","mend"}}: field is the one that is wrong, mend what to do;
//          each is left out where there is none.
// Thread   any that may wait for the disk; several at once. No call sees another's memory. Operations with ADMIN_LIVE: that
//          of the server's control loop.
#ifndef RINGWAY_CONTROL_ADMIN_H
#define RINGWAY_CONTROL_ADMIN_H

#include "control/admin_table.h"
#include "policy/price.h"
#include "store/cells.h"
#include "store/secret.h"
#include "wire/http.h"
#include "wire/json_out.h"

#define ADMIN_PREFIX "/admin/v1"
#define ADMIN_ETAG_BYTES 20 // with its quotes, and a NUL

// What only a running server knows and does. Called on its control loop.
struct admin_live {
    void *ctx;
    void (*status)(void *ctx, struct json_out *o); // the members of Status
    // RW_E_CONFIG: the file cannot be used, and nothing was changed; -EAGAIN: a reload is under way. ret_why: for people.
    enum rw_err (*reload)(void *ctx, char *ret_why, size_t cap);
    const struct price_table *(*prices)(void *ctx);
};

struct admin {
    struct store *store; // NULL: nothing is kept
    struct store_answers *answers; // the running server's cache; NULL: it has none
    struct store_cells *cells; // that a running server's limits count in; NULL: none runs
    const struct admin_live *live; // NULL: none runs
    struct store_pepper pepper;
    int64_t (*wall_ms)(void);
};

struct admin_call {
    // What is asked.
    enum http_method method;
    struct span path; // whole
    struct span query;
    struct span body;
    struct span if_match, if_none_match; // fields; {NULL, 0}: not there
    struct span actor; // for the audit
    struct arena *arena;
    // The answer, in the arena.
    uint16_t status;
    const char *allow; // methods, with 405
    char etag[ADMIN_ETAG_BYTES]; // "": none
    struct json_out out;
    // For the files of the admin API.
    const struct admin *admin;
    const struct admin_route *route; // NULL: there is none
    struct span id; // what stood for {id}
    uint32_t tries; // of a change that others came before
    bool again; // run the operation once more
};

// Finds the operation and checks the body; what is wrong is refused at once. True: admin_run() is to be called, on the control
// loop if c->route is ADMIN_LIVE.
bool admin_begin_call(const struct admin *a, struct admin_call *c);
// The whole of it, where no loop runs.
void admin_run(const struct admin *a, struct admin_call *c);
// Behind admin_begin_call().
void admin_run_found(struct admin_call *c);

// --- Operations.

void admin_account_list(struct admin_call *c);
void admin_account_create(struct admin_call *c);
void admin_account_show(struct admin_call *c);
void admin_account_put(struct admin_call *c);
void admin_account_change(struct admin_call *c);
void admin_account_delete(struct admin_call *c);
void admin_key_rotate(struct admin_call *c);
void admin_key_revoke(struct admin_call *c);
void admin_audit(struct admin_call *c);
void admin_audit_verify(struct admin_call *c);
void admin_usage(struct admin_call *c);
void admin_cache_stats(struct admin_call *c);
void admin_cache_purge(struct admin_call *c);
void admin_explain(struct admin_call *c);
void admin_limits_used(struct admin_call *c);
void admin_prices(struct admin_call *c);
void admin_status(struct admin_call *c);
void admin_reload(struct admin_call *c);
void admin_native_create(struct admin_call *c);
void admin_native_list(struct admin_call *c);
void admin_openapi(struct admin_call *c);

// --- For the files of the admin API.

// Answers with an error. The text's %: detail. What stands behind a '|' in the text says what to do.
void admin_refuse(struct admin_call *c, uint16_t status, const char *text, struct span detail);
// The same, and which field it is about.
void admin_refuse_field(struct admin_call *c, uint16_t status, struct span field, const char *text,
                        struct span detail);
void admin_refuse_err(struct admin_call *c, enum rw_err err);
void admin_begin(struct admin_call *c, uint16_t status); // an answer of ours: c->out is ready for its object
// False: it was refused.
bool admin_reader(struct admin_call *c, enum store_env env, struct store_reader **ret);
// By its id, or by its name if it has a letter in it. The record lies in the call's arena; ret_bytes (may be NULL): encoded.
RW_WARN_UNUSED enum rw_err admin_find(struct admin_call *c, struct store_reader *r, enum store_kind kind,
                                      struct span id, struct store_account *ret, struct span *ret_bytes);
// A parameter of the query, decoded; {NULL, 0}: not there.
struct span admin_query(struct admin_call *c, struct span name);
bool admin_query_u64(struct admin_call *c, struct span name, uint64_t least, uint64_t most, uint64_t *value);
// limit and after of a list. False: it was refused.
bool admin_query_page(struct admin_call *c, uint64_t *ret_limit, uint64_t *ret_after);
// The end of a list's answer. next 0: there is no more.
void admin_list_end(struct admin_call *c, uint64_t next);

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
void admin_write_time(struct json_out *o, struct span key, int64_t ms); // RFC 3339; 0: null

// --- admin_used.c: a member `used`, {"what","used","limit"} of each limit that counts; nothing if no server runs.
void admin_used_write(struct admin_call *c, struct store_reader *r, const struct store_account *a);

// --- admin_limits.c: limits as the configuration writes them, with rpm and tpm for the rates of a minute.
void admin_limits_write(struct json_out *o, const struct store_limits *l); // a member `limits`
// Lays the members over *l; null takes one away. What can be enforced only is let through (policy/limit_account.h).
bool admin_limits_read(struct admin_call *c, struct span object, struct store_limits *l);
void admin_write_usd(struct json_out *o, struct span key, int64_t nanos);

#endif
