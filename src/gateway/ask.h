// Asking a provider: one request in, one answer out, whatever has to happen in between (a pooled connection that went stale,
// and later retries, other targets, hedges). The exchange of a client goes through it, and so will everything else that
// needs a model.
//
// Use      fill the first part of struct ask; ask_open() until an answer began; then ask_whole(), or ask_piece() until it
//          returns 0; ask_close() always.
// Failed   ask_open() and the readers return a negative error, and `end`, `detail` say what happened in the words of
//          base/end.h. -ECANCELED: the asker is to stop; end is the scope's reason.
// Memory   spans of the answer lie in the arena, pieces in the connection's buffers until the next call.
// Thread   the worker's, in a fiber; every function suspends.
#ifndef RINGWAY_GATEWAY_ASK_H
#define RINGWAY_GATEWAY_ASK_H

#include "gateway/plan.h"
#include "net/call.h"
#include "net/upstream.h"

struct worker;
struct echo;
struct echo_request;

struct ask {
    // What is asked.
    struct worker *worker;
    struct arena *arena;
    const struct plan_provider *provider;
    const struct plan_timeouts *timeouts;
    enum http_method method;
    struct span path; // behind the provider's prefix
    struct span fields; // complete header lines that cross (content-type, accept, ...)
    const struct iovec *body; // in the arena
    uint32_t body_iov;
    uint64_t body_bytes;
    struct call *upload; // instead of body: passed on as it arrives, never asked twice
    uint64_t upload_bytes_max;
    int64_t upload_idle_ns;
    bool stream; // an event stream was asked for
    const struct echo_request *echo; // for the built-in model

    // What came of it.
    struct http_head *head; // of the answer, until the first read of its body
    uint16_t status;
    struct span content_type;
    uint32_t attempts;
    int64_t sent_ns; // the request was handed to the kernel
    int64_t head_ns; // the answer's head was there
    int64_t waited_ns; // sum of the time spent waiting for the provider
    enum rw_end end;
    const char *detail;
    bool client_failed; // the upload broke off on the client's side
    bool coded; // in a way that is not understood here; gzip is, and its readers give what was in it
    bool whole_length_known;
    uint64_t length; // of the answer's body, if known

    // Private.
    struct span authorization; // complete lines, where they are not the provider's own (credential.h)
    struct up_conn *up;
    struct echo *generator;
    struct io_buf *decoding; // gzip's memory, and room for what comes out; NULL: the answer comes as it is
    struct gzip *gzip;
    struct io_buf *decoded; // handed out by ask_whole()
    struct span coded_left; // received and not yet decoded
    uint32_t slice_bytes; // decoded since the last turn of others
    bool decode_more; // the room was full: there may be more in the decoder
    int64_t total_until_ns;
    int64_t
        first_token_until_ns; // set by ask_open() for streams; CLOCK_NEVER once the reader has seen content
};

int ask_open(struct ask *a) RW_WARN_UNUSED;
// The same provider about something more, with another body; the answer before goes. Within the same total time.
int ask_again(struct ask *a) RW_WARN_UNUSED;
// The whole body in one region, at most max bytes; lives until ask_close().
int ask_whole(struct ask *a, uint64_t max, struct span *ret) RW_WARN_UNUSED;
// The next piece: 1, or 0 at the end. It may be changed in place.
int ask_piece(struct ask *a, struct span *ret) RW_WARN_UNUSED;
// The piece that was read last was the end of the answer.
bool ask_ended(const struct ask *a);
void ask_close(struct ask *a);

#endif
