// Server-sent events (WHATWG HTML, 9.2.5 and 9.2.6), found where they were received: for any split of the
// stream, with line ends LF, CRLF, CR or a mixture of them, a byte order mark at the start, comments,
// event, data, id and retry lines.
//
// Use      struct sse s = {0};
//          for (;;) {
//              struct sse_event e;
//              int got = sse_next(&s, p, n, &e);      // p[0 .. n): all bytes behind the last event
//              if (got > 0) { ...; p += e.raw.n; n -= e.raw.n; continue; }
//              receive more behind the same bytes     // SSE_NEED_MORE; p may change, the bytes may not
//          }
//          at the end of the stream: sse_rest(&s, p, n) is what was not terminated and must not be
//          dispatched.
// Events   Each block up to and with its blank line is an event here, so that the raw spans together are
//          the stream, byte for byte. e.data_lines == 0 means that a browser would dispatch nothing: a
//          keep-alive comment, an id alone, a blank line too many.
//          An event is reported as soon as its blank line is certain. If that ends in CR and an LF follows,
//          the LF is the first byte of the next event's raw span.
// Data     of the one data line, without the one space behind the colon; if there are several, sse_data()
//          joins them.
// Long     An event larger than the caller wants to hold: sse_pass() forgets the bytes read so far, the
//          caller forwards them, and the rest of that event comes with `passed` set and without data.
// Spans    point into p and live as long as the caller keeps those bytes.
// Owner    everything is the caller's. No allocation. Thread: any. Never suspends. Which SIMD is used is
//          decided once.
#ifndef RINGWAY_WIRE_SSE_H
#define RINGWAY_WIRE_SSE_H

#include "base/err.h"
#include "base/span.h"

#define SSE_NEED_MORE 0

struct sse_event {
    struct span raw; // with the blank line; p of the next call is p + raw.n
    struct span data; // of the last data line; all of it if data_lines is 1
    struct span name; // value of the last event line; empty: "message"
    struct span id; // of the last id line; p is NULL if there is none
    struct span retry; // of the last retry line; p is NULL if there is none
    uint32_t data_lines;
    bool comment; // a comment line is in it
    bool mark; // raw begins with a byte order mark
    bool passed; // sse_pass() was used inside it: data_lines, data and name are not to be trusted
};

// Where in the current event. All zero: at the start of a stream. Offsets count from p of the call.
struct sse {
    uint32_t at; // searched so far
    uint32_t line; // start of the open line
    uint32_t flags;
    uint32_t data_lines;
    uint32_t data, data_n;
    uint32_t name, name_n;
    uint32_t id, id_n;
    uint32_t retry, retry_n;
};

// 1: *ret is an event. SSE_NEED_MORE: there is no whole one; *ret is untouched.
int sse_next(struct sse *s, const uint8_t *p, uint32_t n, struct sse_event *ret);

// After SSE_NEED_MORE with the same n: all n bytes are given away unread, the next call begins behind them.
void sse_pass(struct sse *s, uint32_t n);

// At the end of the stream, after SSE_NEED_MORE with the same p and n: the bytes of an unterminated event.
// Empty if the stream ended cleanly. s is at the start of a stream again.
struct span sse_rest(struct sse *s, const uint8_t *p, uint32_t n);

// All data lines of an event joined by LF. One line: in place, buf is not touched. Otherwise in buf; cap =
// raw.n is always enough. RW_E_TOO_LARGE it does not fit; RW_E_NOT_FOUND no data lines.
enum rw_err sse_data(const struct sse_event *e, uint8_t *buf, uint32_t cap, struct span *ret) RW_WARN_UNUSED;

// Writes an event: an event line if name is not empty (no line ends in it), a data line for each line of
// data (LF, CRLF or CR end a line), a blank line. Returns the bytes written, or RW_E_TOO_LARGE.
int64_t sse_write(struct span name, struct span data, uint8_t *out, uint32_t cap);

// A data of one line goes out as a gather list without copying: SSE_DATA, the payload, SSE_END.
#define SSE_DATA SPAN("data: ")
#define SSE_END SPAN("\n\n")

// For tests and benchmarks, as json_simd_select().
bool sse_simd_select(const char *name);

#endif
