// The operations of the admin API as one table: method, path, fields and what runs them. Routing, the methods in a 405,
// /openapi.json and the list in the manual are made from it, so that they say the same. A new operation is a line there; a new
// field of an object is a line in its schema and one in what reads and writes it (a test compares the two).
//
// Owner    constant. Thread any.
#ifndef RINGWAY_CONTROL_ADMIN_TABLE_H
#define RINGWAY_CONTROL_ADMIN_TABLE_H

#include "store/accounts.h"
#include "wire/http.h"

struct admin_call;

enum admin_type {
    ADMIN_TEXT, // `more`: the values it may have, "a|b"; or a pattern that begins with ^; or NULL
    ADMIN_COUNT, // a whole number, least to most
    ADMIN_USD,
    ADMIN_BOOL,
    ADMIN_TIME, // RFC 3339, UTC
    ADMIN_OBJECT, // of schema `of`
    ADMIN_LIST, // of objects of schema `of`
    ADMIN_TEXTS, // `more`: a format of its items
    ADMIN_TAGS, // an object of strings
    ADMIN_SUMS, // an object of whole numbers
    ADMIN_ANY,
};

enum {
    ADMIN_NEEDED = 1 << 0,
    ADMIN_NULL = 1 << 1, // may be null
    ADMIN_READ = 1 << 2, // in answers only
    ADMIN_WRITE = 1 << 3, // in requests only
};

struct admin_field {
    const char *name;
    const char *text; // what it is, for the reference
    enum admin_type type;
    uint8_t flags;
    const char *more;
    const struct admin_schema *of;
    uint64_t least, most; // of a number, or of a text's length; most 0: no bound
};

struct admin_schema {
    const char *name;
    const struct admin_field *fields;
    uint32_t count;
    bool open; // answers have more members, named after what was asked for
};

enum {
    ADMIN_LISTS = 1 << 0, // {"data":[…],"next"} of the answer's schema
    ADMIN_ETAG = 1 << 1, // answers with an ETag and heeds If-Match
    ADMIN_LIVE = 1 << 2, // of the running server itself: runs on control's loop
    ADMIN_NO_STORE = 1 << 3, // works also where data_dir is off
    ADMIN_BYTES = 1 << 4, // the answer is no JSON
    ADMIN_BODY_FREE = 1 << 5, // the body may be left out
    ADMIN_OPEN = 1 << 6, // asks for no token
    ADMIN_MAKES = 1 << 7, // 201 instead of `status` if it made something
};

struct admin_route {
    enum http_method method;
    const char *path; // "{id}" stands for one segment
    const char *id; // of the operation: "team_create"
    const char *summary;
    const struct admin_field *params; // of the query
    uint32_t param_count;
    const struct admin_schema *body; // NULL: none
    const struct admin_schema *answer;
    uint16_t status;
    uint16_t flags;
    enum store_kind kind;
    void (*run)(struct admin_call *c);
};

extern const struct admin_route admin_routes[];
extern const uint32_t admin_route_count;

#define ADMIN_SEGMENTS_MAX 8

// The operation of a path that was cut into decoded segments. NULL: there is none; then *ret_methods has a bit for each method
// that there is. *ret_id: what stood for {id}; untouched if nothing did.
const struct admin_route *admin_route_find(enum http_method method, const struct span *segments, uint32_t n,
                                           uint32_t *ret_methods, struct span *ret_id);

#endif
