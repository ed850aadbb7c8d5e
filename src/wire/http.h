// HTTP/1.1 on the wire after RFC 9110 and 9112: heads parsed where they were received, chunked bodies
// decoded in place, heads written into a buffer. Strict: whatever two parsers could read in two ways is
// refused, because a gateway that guesses lets one client's request end up inside another's.
//
// What is refused, in one breath: any line end but CRLF; obs-fold; NUL and controls; a space before a
// colon; both lengths, two of one kind, a listed, signed, hexadecimal or overflowing one; a
// Transfer-Encoding that is not exactly one "chunked" or stands in HTTP/1.0; a missing, doubled or
// malformed Host; userinfo; CONNECT; "*" outside OPTIONS; two Authorization fields; HTTP/0.9, "HTTP/1.10",
// another major version; heads, targets and field counts over the limit. The first byte that cannot be
// right refuses at once: nobody waits for the rest of a TLS hello.
//
// Use      struct http_head head;
//          http_head_init(&head);
//          for (;;) {
//              int got = http_request_parse(p, n, &rules, &head);  // p[0 .. n): all since the head began
//              if (got > 0) break;                                 // p + got: the body, or what follows
//              if (got < 0) refuse(http_bad_info(got));
//              receive more, behind the same bytes;                // HTTP_NEED_MORE
//          }
//          head.framing, http_path(&head), http_value(&head, HTTP_N_CONTENT_TYPE), ...
// Bytes    never copied, never changed. The head holds offsets from head.base, the pointer given to the
//          last parse: who moves the bytes (a larger buffer, an arena) points head.base at them and goes
//          on. Spans taken out of a head die when its bytes move.
// Cost     linear in n, also when the bytes come one by one: the head remembers what it has looked at.
//          User instructions, x86-64 (AVX2) and AArch64: 268 bytes with 6 fields 865 and 1,046, 802 bytes with 19
//          fields 1,860 and 2,725; with a memo of the same head 237 and 300, 360 and 575.
// Errors   a negative enum http_bad; http_bad_info() has the end to answer with and words for people. A
//          head that was refused is not parsed further.
// Owner    everything is the caller's. No allocation, no I/O, no clock. Thread: any. Never suspends.
#ifndef RINGWAY_WIRE_HTTP_H
#define RINGWAY_WIRE_HTTP_H

#include "base/check.h"
#include "base/end.h"
#include "base/lanes.h"
#include "base/limits.h"
#include "base/span.h"
#include "wire/http_names.h"

// --- Results. Positive: done. All three parsers use the same values.
#define HTTP_NEED_MORE 0

// Why bytes were refused: X(symbol, end for a client's request, detail that fits "The request is not valid
// HTTP/1.1: %.") For a provider's answer the end is always END_UPSTREAM_BROKEN, with the same detail.
#define HTTP_BADS(X) \
    /* Lines and bytes. */ \
    X(HTTP_BAD_TLS, END_BAD_REQUEST, \
      "a TLS handshake arrived on a port that speaks plain HTTP (use http://)") \
    X(HTTP_BAD_BARE_CR, END_BAD_REQUEST, "a carriage return stands without its line feed") \
    X(HTTP_BAD_BARE_LF, END_BAD_REQUEST, "a line ends with a bare line feed, CRLF is required") \
    X(HTTP_BAD_EMPTY_LINES, END_BAD_REQUEST, "too many empty lines stand before the request line") \
    X(HTTP_BAD_HEAD_SIZE, END_HEAD_TOO_LARGE, "the head is longer than limits.head") \
    X(HTTP_BAD_FIELD_COUNT, END_HEAD_TOO_LARGE, "the head has too many fields") \
    /* The request line. */ \
    X(HTTP_BAD_METHOD, END_BAD_REQUEST, "the method is not a token of at most 24 characters") \
    X(HTTP_BAD_CONNECT, END_BAD_METHOD, "CONNECT is not served here") \
    X(HTTP_BAD_TARGET, END_BAD_REQUEST, "the request target is not a path or an http URL") \
    X(HTTP_BAD_TARGET_BYTE, END_BAD_REQUEST, "the request target holds a byte that must be percent-encoded") \
    X(HTTP_BAD_TARGET_SIZE, END_HEAD_TOO_LARGE, "the request target is too long") \
    X(HTTP_BAD_USERINFO, END_BAD_REQUEST, "the request target carries a user name") \
    X(HTTP_BAD_AUTHORITY, END_BAD_REQUEST, "the host of the request target is empty or malformed") \
    X(HTTP_BAD_ASTERISK, END_BAD_REQUEST, "the target '*' belongs to OPTIONS only") \
    X(HTTP_BAD_VERSION, END_BAD_REQUEST, "the version is not of the form HTTP/1.1") \
    X(HTTP_BAD_HTTP09, END_BAD_REQUEST, "the request line has no version (HTTP/0.9 is not served)") \
    X(HTTP_BAD_MAJOR, END_VERSION, "Only HTTP/1.1 and HTTP/1.0 are served here.") \
    X(HTTP_BAD_H2_PREFACE, END_VERSION, \
      "HTTP/2 without TLS is not served here. Let the client use HTTP/1.1 (for curl: --http1.1).") \
    /* Fields. */ \
    X(HTTP_BAD_NAME, END_BAD_REQUEST, "a field name holds a byte that is not a token character") \
    X(HTTP_BAD_NAME_SIZE, END_HEAD_TOO_LARGE, "a field name is longer than 255 bytes") \
    X(HTTP_BAD_NAME_SPACE, END_BAD_REQUEST, "a space stands before the colon of a field") \
    X(HTTP_BAD_NAME_EMPTY, END_BAD_REQUEST, "a field has no name") \
    X(HTTP_BAD_NO_COLON, END_BAD_REQUEST, "a line of the head has no colon") \
    X(HTTP_BAD_FOLD, END_BAD_REQUEST, "a field is continued on the next line (obs-fold)") \
    X(HTTP_BAD_VALUE, END_BAD_REQUEST, "a field value holds a control character") \
    /* What the fields say. */ \
    X(HTTP_BAD_NO_HOST, END_BAD_REQUEST, "the Host field is missing") \
    X(HTTP_BAD_TWO_HOSTS, END_BAD_REQUEST, "there is more than one Host field") \
    X(HTTP_BAD_HOST, END_BAD_REQUEST, "the Host field is not of the form host[:port]") \
    X(HTTP_BAD_LENGTH, END_BAD_REQUEST, "Content-Length is not one decimal number") \
    X(HTTP_BAD_TWO_LENGTHS, END_BAD_REQUEST, "there is more than one Content-Length") \
    X(HTTP_BAD_BOTH_LENGTHS, END_BAD_REQUEST, "Content-Length and Transfer-Encoding are both present") \
    X(HTTP_BAD_CODING, END_BAD_REQUEST, "Transfer-Encoding is not exactly 'chunked'") \
    X(HTTP_BAD_CODING_1_0, END_BAD_REQUEST, "HTTP/1.0 knows no Transfer-Encoding") \
    X(HTTP_BAD_TWO_AUTHORIZATIONS, END_BAD_REQUEST, "there is more than one Authorization field") \
    X(HTTP_BAD_EXPECT, END_EXPECTATION, "only 'Expect: 100-continue' is understood") \
    /* Answers. */ \
    X(HTTP_BAD_STATUS_LINE, END_BAD_REQUEST, "the status line is malformed") \
    X(HTTP_BAD_STATUS, END_BAD_REQUEST, "the status is not between 100 and 599") \
    /* Chunked bodies. */ \
    X(HTTP_BAD_CHUNK_SIZE, END_BAD_REQUEST, "a chunk size is not a hexadecimal number") \
    X(HTTP_BAD_CHUNK_OVERFLOW, END_BAD_REQUEST, "a chunk size is too large") \
    X(HTTP_BAD_CHUNK_EXT, END_BAD_REQUEST, "a chunk extension is malformed") \
    X(HTTP_BAD_CHUNK_EXT_SIZE, END_BAD_REQUEST, "the chunk extensions are too long") \
    X(HTTP_BAD_CHUNK_END, END_BAD_REQUEST, "a chunk does not end with CRLF where its size says") \
    X(HTTP_BAD_TRAILER_SIZE, END_BAD_REQUEST, "the trailers are too long")

#define X(symbol, end, detail) symbol##_POSITIVE,
enum http_bad_index { HTTP_BAD_NONE_POSITIVE, HTTP_BADS(X) HTTP_BAD_COUNT };
#undef X
#define X(symbol, end, detail) symbol = -symbol##_POSITIVE,
enum http_bad { HTTP_BADS(X) };
#undef X

struct http_bad_info {
    const char *name; // "HTTP_BAD_HOST"
    enum rw_end end; // for a request; an answer of a provider: END_UPSTREAM_BROKEN
    const char *detail; // the `%` of the end's text
};

// bad is a negative result of one of the parsers. Never NULL.
const struct http_bad_info *http_bad_info(int bad);

// --- Heads.
#define HTTP_METHODS(X) \
    X(HTTP_GET, "GET") \
    X(HTTP_HEAD, "HEAD") \
    X(HTTP_POST, "POST") \
    X(HTTP_PUT, "PUT") \
    X(HTTP_DELETE, "DELETE") \
    X(HTTP_OPTIONS, "OPTIONS") \
    X(HTTP_PATCH, "PATCH") \
    X(HTTP_TRACE, "TRACE")

#define X(symbol, text) symbol,
enum http_method {
    HTTP_METHODS(X) HTTP_METHOD_OTHER
}; // OTHER: a token we have no use for; http_method_text() has it
#undef X

#define HTTP_METHOD_BYTES_MAX 24
#define HTTP_NAME_BYTES_MAX 255

// Offsets are from http_head.base.
struct http_field {
    uint16_t name;
    uint16_t value; // without white space at its ends
    uint16_t value_len;
    uint8_t name_len;
    uint8_t kind; // enum http_name
};

static_assert(sizeof(struct http_field) == 8, "sixteen fields in two cache lines");
static_assert(HTTP_HEAD_BYTES_MAX <= 65536, "an offset into a head fits 16 bits");
static_assert(HTTP_FIELDS_MAX <= 255, "an index of a field fits a byte");
static_assert(HTTP_N_OTHER <= 63, "a bit for each name that is read");

enum http_body {
    HTTP_BODY_NONE, // no body, whatever follows is the next message
    HTTP_BODY_LENGTH, // exactly `length` bytes, 0 included (Content-Length was given)
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, // answers only; keep_alive is false then
};

struct http_framing {
    uint64_t length; // of HTTP_BODY_LENGTH, else 0; at most INT64_MAX
    uint8_t kind; // enum http_body
    bool keep_alive; // the peer keeps the connection after this message
    bool expect_continue; // the client waits for a 100 before it sends the body (never with HTTP/1.0)
    bool websocket; // asks for an upgrade to websocket in the proper form; other upgrades are ignored
};

struct http_head {
    const uint8_t *base; // what every offset counts from: p of the last parse, or where its bytes are now
    // Where the request line's or status line's parts are. The first line sets what belongs to it.
    uint16_t method_at, target_at, path_at, query_at, authority_at, reason_at;
    uint16_t target_len; // as sent
    uint16_t path_len; // without the query; 0 in absolute form without a path, where http_path() says "/"
    uint16_t query_len; // behind the '?'
    uint16_t authority_len; // of the absolute form, else 0
    uint16_t reason_len;
    uint16_t status;
    uint8_t method; // enum http_method
    uint8_t method_len;
    uint8_t minor; // HTTP/1.minor, 0 to 9
    bool has_query; // there was a '?', perhaps with nothing behind it
    // What follows, up to the fields, is zero at the start.
    uint32_t bytes; // of the whole head, its blank line included; 0 until it is whole
    struct http_framing framing;
    uint64_t doubled; // bit per enum http_name that came more than once; not for HTTP_N_OTHER
    // Where the next parse goes on; private to the parser.
    struct {
        uint32_t line; // the first line that is not whole yet begins here
        uint32_t scanned; // up to here that line was looked at and found right
        uint16_t host_run; // host characters at the beginning of the Host field, 0: not counted
        uint8_t name_len; // of the field in that line; 0: its colon was not reached
        uint8_t empty_lines;
        bool in_fields; // the first line is done
    } at;
    uint16_t field_count;
    uint8_t first[HTTP_NAME_COUNT + 1]; // by enum http_name: the first such field's index + 1, 0: none
    struct http_field field[HTTP_FIELDS_MAX];
};

// What a head may be; a configuration's limits.head goes to head_bytes_max. None may be above the ceilings
// of limits.h.
struct http_rules {
    uint32_t head_bytes_max;
    uint16_t target_bytes_max;
    uint16_t fields_max;
};
#define HTTP_RULES_DEFAULT \
    { \
        .head_bytes_max = HTTP_HEAD_BYTES, .target_bytes_max = HTTP_TARGET_BYTES_MAX, \
        .fields_max = HTTP_FIELDS_MAX \
    }

// Before the first parse of each message.
static inline void http_head_init(struct http_head *head)
{
    memset(&head->bytes, 0, offsetof(struct http_head, field) - offsetof(struct http_head, bytes));
}

// p[0 .. n) begins with the message (a few empty lines before a request are skipped) and holds at least
// what the call before saw, unchanged, wherever it lies now. Returns the bytes of the head (> 0),
// HTTP_NEED_MORE, or a negative enum http_bad. Until it is whole, only the parser's own fields of *head
// mean anything.
int http_request_parse(const uint8_t *p, uint32_t n, const struct http_rules *rules, struct http_head *head);

// The same for an answer. `asked` is the method of the request: an answer to HEAD has no body, neither
// have 1xx, 204 and 304. After a 1xx (except 101, which the caller knows it asked for) the real answer
// follows in the same stream: init again.
int http_response_parse(const uint8_t *p, uint32_t n, const struct http_rules *rules, enum http_method asked,
                        struct http_head *head);

// --- The head before. A client repeats itself: the heads of one connection, or of one program, are the
// same up to a length, an id, a date. A memo keeps the last head that was parsed; lines that come again at
// the same place, also with another value of the same length, are not parsed again. The result is always
// that of the plain parse, whatever came before; it costs a quarter of it.
//
// Use      one memo per stream of similar heads (a worker's clients, one origin's answers), all zero at
//          first. It holds the bytes of a head, credentials included: http_memo_forget() before its memory
//          goes to others.
#define HTTP_MEMO_BYTES 1280

struct http_memo {
    uint32_t bytes; // of the head that is kept; 0: none
    uint8_t asked; // answers: the method
    struct http_rules rules;
    struct http_head head;
    uint8_t text[HTTP_MEMO_BYTES];
};

int http_request_parse_memo(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                            struct http_head *head, struct http_memo *memo);
int http_response_parse_memo(const uint8_t *p, uint32_t n, const struct http_rules *rules,
                             enum http_method asked, struct http_head *head, struct http_memo *memo);
void http_memo_forget(struct http_memo *memo);

// True once something other than empty lines came: until then a connection between two requests is idle.
static inline bool http_head_begun(const struct http_head *head, uint32_t n)
{
    return n > head->at.line;
}

static inline struct span http_span(const struct http_head *head, uint32_t at, uint32_t n)
{
    return (struct span){head->base + at, n};
}

static inline struct span http_field_name(const struct http_head *head, uint32_t i)
{
    return http_span(head, head->field[i].name, head->field[i].name_len);
}

static inline struct span http_field_value(const struct http_head *head, uint32_t i)
{
    return http_span(head, head->field[i].value, head->field[i].value_len);
}

static inline bool http_has(const struct http_head *head, enum http_name name)
{
    return head->first[name] != 0;
}

static inline bool http_is_doubled(const struct http_head *head, enum http_name name)
{
    return head->doubled >> name & 1;
}

// The value of the first field of that name; {NULL, 0} if there is none (an empty value has a pointer).
static inline struct span http_value(const struct http_head *head, enum http_name name)
{
    return http_has(head, name) ? http_field_value(head, head->first[name] - UINT32_C(1))
                                : (struct span){NULL, 0};
}

static inline struct span http_method_text(const struct http_head *head)
{
    return http_span(head, head->method_at, head->method_len);
}

// As sent, absolute form included: for the log.
static inline struct span http_target(const struct http_head *head)
{
    return http_span(head, head->target_at, head->target_len);
}

// Begins with '/' (or is "*" for OPTIONS). Still percent-encoded and unchecked: url_path_check() before
// routing.
static inline struct span http_path(const struct http_head *head)
{
    return head->path_len ? http_span(head, head->path_at, head->path_len) : SPAN("/");
}

static inline struct span http_query(const struct http_head *head)
{
    return http_span(head, head->query_at, head->query_len);
}

static inline struct span http_reason(const struct http_head *head)
{
    return http_span(head, head->reason_at, head->reason_len);
}

// Index of the first field of that name (any case), from `from` on; field_count if there is none. Linear:
// for names that come from the configuration.
uint32_t http_find(const struct http_head *head, struct span name, uint32_t from);

// True if a comma-separated list in any field of that kind holds the token (any case).
bool http_lists(const struct http_head *head, enum http_name kind, struct span token);

// True if a Connection field names `name`, which then goes no further than this hop (RFC 9110 7.6.1).
static inline bool http_connection_lists(const struct http_head *head, struct span name)
{
    return http_has(head, HTTP_N_CONNECTION) && http_lists(head, HTTP_N_CONNECTION, name);
}

// The kind of a name, any case. For code that meets names outside a head.
enum http_name http_name_of(struct span name);
// In lower case; HTTP_N_OTHER gives "".
extern const struct span http_name_texts[HTTP_NAME_COUNT + 1];
static inline struct span http_name_text(enum http_name name)
{
    MUST(name <= HTTP_N_OTHER);
    return http_name_texts[name];
}
struct span http_method_name(enum http_method method);

// "host" or "host:port" as RFC 9112 3.2 wants it: a registered name (letters, digits, - . _ ~), an IPv4
// address, or an IPv6 literal in brackets; a port of 1 to 65535. Not empty.
bool http_host_is_valid(struct span host);

// --- Chunked bodies (RFC 9112 7.1). All zero is the beginning of a body.
#define HTTP_CHUNKED_DONE 1

struct http_chunked {
    uint64_t left; // data bytes of this chunk that are still to come
    uint64_t body_bytes; // data bytes decoded so far
    uint32_t ext_bytes; // of all chunk extensions
    uint32_t trailer_bytes; // of all trailers
    uint8_t state;
    uint8_t digits;
    uint8_t name_len; // of the trailer being read, stops counting at its limit
};

// Takes the framing out of buf[0 .. n): the data bytes of all chunks in it move together to the front.
// *ret_out is their number, *ret_consumed how many bytes of buf were used: all n unless it returns
// HTTP_CHUNKED_DONE, then what follows is the next message. Bytes behind *ret_out are garbage up to
// *ret_consumed and untouched from there. Returns HTTP_CHUNKED_DONE, HTTP_NEED_MORE or a negative enum
// http_bad (then the counts say how far it came). Any split of the body gives the same bytes. Trailers are
// checked like fields of a head and dropped.
int http_chunked_decode(struct http_chunked *st, uint8_t *buf, uint32_t n, uint32_t *ret_consumed,
                        uint32_t *ret_out);

// The same without moving anything, one piece at a time: for those who send pieces as a gather list. Looks
// at p[0 .. n), sets *ret_data to the next run of data bytes (length 0: there was only framing) and
// *ret_consumed to the bytes used, that run included. HTTP_NEED_MORE with *ret_consumed < n: call again
// with the rest.
int http_chunked_next(struct http_chunked *st, const uint8_t *p, uint32_t n, uint32_t *ret_consumed,
                      struct span *ret_data);

// --- Writing heads into a caller's buffer. What does not fit is not written and sets `overflow`; a name
// or value that would break the head (CR, LF, NUL, other controls; a name that is no token) is not written
// and sets `bad`. Both stay set: write everything, then look once at what http_write_end() returns.
struct http_writer {
    uint8_t *p;
    uint32_t n;
    uint32_t cap;
    bool overflow;
    bool bad;
};

// Room for "FFFFFFFF" CRLF; chunks of more than 4 GiB - 1 are not written.
#define HTTP_CHUNK_SIZE_BYTES_MAX 10

static inline struct http_writer http_writer(void *buf, uint32_t cap)
{
    return (struct http_writer){.p = (uint8_t *)buf, .cap = cap};
}

// "HTTP/1.1 200 OK" CRLF. 100 to 599; one without a registered reason gets an empty one.
void http_write_status_line(struct http_writer *w, uint32_t status);
// "POST /v1/x?q HTTP/1.1" CRLF from a path (not empty, without '?') and a query without its '?' (may be
// empty); bytes that must be percent-encoded are bad.
void http_write_request_line(struct http_writer *w, enum http_method method, struct span path,
                             struct span query);
void http_write_field(struct http_writer *w, struct span name, struct span value);
// The same for a name that is known to be right.
void http_write_value(struct http_writer *w, struct span name, struct span value);
void http_write_field_u64(struct http_writer *w, struct span name, uint64_t value);
// Bytes that are known to be right: whole precomputed lines ("connection: close\r\n"), or a date line kept
// per second.
static inline void http_write_raw(struct http_writer *w, struct span bytes)
{
    if (RW_UNLIKELY(w->overflow || bytes.n > w->cap - w->n)) {
        w->overflow = true;
        return;
    }
    lanes_copy(w->p + w->n, bytes.p, bytes.n);
    w->n += bytes.n;
}
// The blank line. Returns the bytes of the head; 0 if anything did not fit or was bad.
uint32_t http_write_end(struct http_writer *w);

// Lower-case hex and CRLF before a chunk of n > 0 bytes; the chunk itself is followed by CRLF, the body
// ends with HTTP_CHUNK_LAST. out has room for HTTP_CHUNK_SIZE_BYTES_MAX; returns the bytes written.
uint32_t http_write_chunk_size(uint8_t *out, uint32_t n);
#define HTTP_CHUNK_LAST "0\r\n\r\n"

// "OK", "Not Found"; "" if there is none.
struct span http_status_text(uint32_t status);

#endif
