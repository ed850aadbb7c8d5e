// Writes JSON of any size onto an arena, as a gather list: small things are copied into pieces of the arena,
// long ones that need no escaping (an image of 5 MB in base64) stay where they are and are pointed at.
//
// Use      struct json_out o;
//          json_out_init(&o, arena);
//          json_out_object(&o);
//          json_out_key(&o, SPAN("id"));  json_out_string(&o, id);
//          json_out_end(&o);
//          RW_TRY(json_out_done(&o));
//          send o.iov[0 .. o.iov_n), o.bytes in all
// Frames   json_out_bytes() outside of any container writes bytes that are no JSON: the frame of an event,
//          a second document behind the first.
// Order    a value in an object without its key, a key in an array, an end too many and nesting deeper than
//          JSON_OUT_DEPTH_MAX are programmer errors, as in json_write.h.
// Strings  as json_write.h: escaped as RFC 8259 demands and no more, what is no UTF-8 becomes U+FFFD.
// Memory   the arena's, until it is rewound; and whatever the long spans pointed at, which the caller keeps.
// Errors   the arena refused, or there were more than JSON_OUT_IOV_MAX pieces: looked at once, at the end.
// Thread   any. Never suspends.
#ifndef RINGWAY_WIRE_JSON_OUT_H
#define RINGWAY_WIRE_JSON_OUT_H

#include <sys/uio.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define JSON_OUT_DEPTH_MAX 63
// Shorter than this is copied, also if it could be pointed at: a piece costs the kernel more than the copy.
#define JSON_OUT_REF_BYTES_MIN 2048
// Pieces of one output; far below IOV_MAX, so that a head fits in front.
#define JSON_OUT_IOV_MAX 512

struct json_out {
    struct arena *arena;
    struct iovec *iov;
    uint32_t iov_n, iov_cap;
    uint8_t *at, *limit; // room behind the last piece
    uint64_t bytes;
    bool failed;
    bool comma; // a comma belongs before what comes next
    bool key; // a key was written and waits for its value
    bool open; // a string is being written in pieces
    uint8_t depth;
    uint64_t arrays; // a bit for each open container, the innermost is the lowest
};

void json_out_init(struct json_out *o, struct arena *arena);

void json_out_object(struct json_out *o);
void json_out_array(struct json_out *o);
void json_out_end(struct json_out *o); // closes the innermost

// Plain text that needs no escapes.
void json_out_key(struct json_out *o, struct span key);
// Any text.
void json_out_key_text(struct json_out *o, struct span key);

void json_out_string(struct json_out *o, struct span text);
void json_out_u64(struct json_out *o, uint64_t v);
void json_out_i64(struct json_out *o, int64_t v);
void json_out_bool(struct json_out *o, bool v);
void json_out_null(struct json_out *o);
// A value that is JSON already.
void json_out_raw(struct json_out *o, struct span json);

// One string of several texts: open, any number of pieces (each ends with a whole character), close.
void json_out_open(struct json_out *o);
void json_out_piece(struct json_out *o, struct span text);
void json_out_close(struct json_out *o);

// Members in one call.
void json_out_key_string(struct json_out *o, struct span key, struct span text);
void json_out_key_u64(struct json_out *o, struct span key, uint64_t v);
void json_out_key_bool(struct json_out *o, struct span key, bool v);
void json_out_key_raw(struct json_out *o, struct span key, struct span json);
void json_out_key_null(struct json_out *o, struct span key);
void json_out_key_object(struct json_out *o, struct span key);
void json_out_key_array(struct json_out *o, struct span key);

// Bytes as they are, between documents.
void json_out_bytes(struct json_out *o, struct span bytes);

// RW_E_TOO_LARGE: it did not fit; what is there must not be sent. All containers are closed.
enum rw_err json_out_done(const struct json_out *o) RW_WARN_UNUSED;

// All of it as one region: the only piece itself, else a copy in the arena; {NULL, 0} if that does not fit.
struct span json_out_flat(const struct json_out *o);

#endif
