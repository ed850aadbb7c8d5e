// Small changes to a large JSON text without copying it: a list of replacements becomes a gather list of
// slices of the original and the new bytes in between. All other bytes stay as the client sent them.
//
// Use      struct json_edits e;
//          json_edits_init(&e, body, &scan);                              // scan: done, of this body
//          json_edits_replace(&e, &scan.value[F_MODEL], new_model);       // with its quotes
//          RW_TRY(json_edits_set_in(&e, &scan.value[F_OPTIONS], SPAN("stream_options"),
//                                   &scan.value[F_INCLUDE_USAGE], SPAN("include_usage"), SPAN("true")));
//          RW_TRY(json_edits_gather(&e, iov, CALL_IOV_MAX, &iov_n, &bytes));
// Owner    body and new bytes are the caller's and are pointed at by the iovec. Short new bytes are put
//          together inside struct json_edits: it must stay where it is until the iovec was used.
// Errors   sticky: an edit that cannot be made (too many, out of the text, overlapping another) makes
//          gather fail.
// Thread   any. Never suspends. No allocation.
#ifndef RINGWAY_WIRE_JSON_EDIT_H
#define RINGWAY_WIRE_JSON_EDIT_H

#include <sys/uio.h>

#include "wire/json.h"

#define JSON_EDITS_MAX 8
#define JSON_EDIT_SCRATCH_BYTES 256
// Entries that an iovec needs for any list.
#define JSON_EDIT_IOV_MAX (2 * JSON_EDITS_MAX + 1)

// body[off .. off + len) becomes `with`. len 0 inserts, an empty `with` deletes.
struct json_edit {
    uint32_t off;
    uint32_t len;
    struct span with;
};

struct json_edits {
    struct span body;
    const struct json_scan *scan;
    uint32_t n;
    enum rw_err err;
    struct json_edit edit[JSON_EDITS_MAX];
    uint32_t scratch_n;
    bool top_inserted; // into a top-level object that had no members
    uint8_t scratch[JSON_EDIT_SCRATCH_BYTES];
};

// scan may be NULL if no top-level member is to be set.
void json_edits_init(struct json_edits *e, struct span body, const struct json_scan *scan);

// In any order. Several insertions at one place stand there in the order in which they were given.
void json_edits_add(struct json_edits *e, uint32_t off, uint32_t len, struct span with);

// Another value in the place of v (present).
void json_edits_replace(struct json_edits *e, const struct json_value *v, struct span with);

// The top-level member `key`: replaces its value if v is there, else inserts it as the first member. key is
// plain text that needs no escapes; `with` is JSON.
void json_edits_set(struct json_edits *e, const struct json_value *v, struct span key, struct span with);

// A member of a top-level member: "outer":{"inner":with}. Makes the outer object where it is absent or
// null, adds to it or replaces in it where it is there. RW_E_BAD, and nothing is edited, if outer is
// neither. Once per outer.
enum rw_err json_edits_set_in(struct json_edits *e, const struct json_value *outer, struct span outer_key,
                              const struct json_value *inner, struct span inner_key,
                              struct span with) RW_WARN_UNUSED;

// The gather list, without empty pieces, and the sum of its bytes. RW_E_BAD edits overlap or lie outside
// the body; RW_E_TOO_LARGE too many edits, no room in the scratch or in iov, or a result of 4 GiB.
enum rw_err json_edits_gather(struct json_edits *e, struct iovec *iov, uint32_t cap, uint32_t *ret_n,
                              uint32_t *ret_bytes) RW_WARN_UNUSED;

#endif
