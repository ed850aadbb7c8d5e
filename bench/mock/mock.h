// ringway-mock: the upstream that tests and benchmarks talk to. Its contract is tests/lib/MOCK.md; this is how it is built.
//
// One thread, one loop of io/; a fiber per connection reads a request, records it, and plays the story that the request's model
// name asks for. An answer is built as a list of parts (bytes, and what is waited for before them), then sent part by part, so
// that pacing, lock-step and faults are one loop. Memory comes from malloc: this is no gateway.
#ifndef RINGWAY_MOCK_H
#define RINGWAY_MOCK_H

#include <stdio.h>

#include "base/list.h"
#include "io/stream.h"
#include "tls/crypto.h"
#include "wire/http.h"

#define MOCK_LOG_ENTRIES 4096
#define MOCK_BODY_KEPT 65536
#define MOCK_TOKENS 8192
// Where `stamp` puts the time: as many digits.
#define STAMP_PLACE "@@@@@@@@@@@@@@@@@@@@ "

// A growing text.
struct text {
    char *p;
    size_t n, cap;
};
void text_add(struct text *t, const void *p, size_t n);
void text_str(struct text *t, const char *s);
void text_fill(struct text *t, char c, size_t n);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_json(struct text *t, const char *p, size_t n); // quoted and escaped
void text_free(struct text *t);

// What the model name says. Numbers below 0: not given.
struct options {
    long chunks, size, bytes, dims, tools, status, errbytes, fail, split;
    long prompt, completion, cached;
    int64_t pace_ns, delay_ns, gap_ns, drip_ns, idle_close_ns;
    long error_at, cut_at, reset_at, stall_at, close_at;
    bool nousage, floatonly, n2, logprobs, echo_body, lean, close, silent, badjson, html, empty, errorbody,
        badevent, doublelength, bothlengths, badchunk, endless_head, longline, gzip, http10, early, extra,
        stale, redirect, nofinish, nodone, stamp;
    char finish[32], fixture[64], raw[64], lockstep[64], tag[64], code[64], retry_after[32],
        retry_after_ms[32], should_retry[16];
};
// NULL, or the option that is unknown.
const char *options_parse(const char *model, struct options *ret);

// One request, kept for /__log.
struct entry {
    uint64_t seq, connection;
    char method[16], path[256], query[256], model[256], tag[64];
    char *headers; // a JSON list
    uint64_t body_length;
    char body_sha256[65];
    uint8_t *body; // the first MOCK_BODY_KEPT bytes
    size_t body_kept;
    bool body_complete;
    int status;
    uint64_t chunks_sent, bytes_sent;
    const char *ended;
    int64_t head_ns, body_ns, first_ns, end_ns;
};

// What of the request's JSON shapes the answer.
struct wish {
    bool stream, include_usage, logprobs, base64;
    long n;
    long inputs;
};

struct conn {
    struct io_stream s;
    struct scope scope;
    struct list node;
    uint64_t id;
    uint64_t wire_bytes; // of the present answer
    bool control, counted, gone, keep, first_request, head_request;
    bool stale_next; // the next request gets no answer
    int64_t idle_close_ns;
    struct io_timer idle;
    struct entry *entry; // the present one
    struct options o;
    struct wish wish;
    bool closed_by_us, reset;
    struct text *copy; // of what is sent, or NULL
};

struct mock {
    struct io_loop loop;
    struct budget budget;
    struct io_op accept;
    struct list conns;
    struct entry *log[MOCK_LOG_ENTRIES];
    uint64_t seq, connections_total, connections_open, requests_total, requests_active, chunks_total,
        next_connection;
    struct {
        char token[64];
        long k;
        struct fiber_event moved;
    } steps[MOCK_TOKENS];
    uint32_t step_count;
    struct {
        char model[256];
        long seen;
    } fails[256];
    uint32_t fail_count;
    FILE *log_file;
    bool quick;
    const char *fixtures;
};
extern struct mock mock;

// --- send.c: bytes to the wire, with what the options do to them.

// 0, or negative when the answer is over (the client left, or a fault ended it).
int wire_send(struct conn *c, const void *p, size_t n);
int wire_wait(struct conn *c, int64_t ns);
// Ends the connection as told: FIN or reset.
void wire_cut(struct conn *c, bool reset);

// --- story.c: good answers. A stream is made part by part, so that it may be endless.
struct part {
    int64_t wait_ns; // before it
    long chunk; // it ends content chunk k; -1: it does not; -2: what follows the last one
};
struct story {
    struct text text; // the whole answer, or the present part
    const char *type;
    size_t whole_n; // of a recorded one
    bool stream, chat, recorded;
    int phase;
    long k, i, call;
    size_t at;
};
// The next part of a stream as s->text; false: there is none.
bool story_next(struct conn *c, struct story *s, struct part *ret);
void story_free(struct story *s);
void story_chat(struct conn *c, struct story *s, bool chat);
void story_embeddings(struct conn *c, struct story *s);
bool story_file(struct conn *c, struct story *s);

// --- answer.c: the request's end and the answer.
int answer(struct conn *c, const struct http_head *head);

// --- quick.c: answers that are remembered.

// 1: the request was read and answered; 0: it is none of these, nothing was read; -1: the connection is over.
int quick_answer(struct conn *c, const struct http_head *head);
// Takes the text over.
void quick_remember(const struct conn *c, struct text *answer);
// CLOCK_BOOTTIME in nanoseconds, now.
uint64_t stamp_now(void);

// --- look.c: /__stats, /__log, /__step, /__reset.
int look(struct conn *c, const struct http_head *head);
long step_reached(const char *token);
struct fiber_event *step_event(const char *token);
void entry_json(struct text *t, const struct entry *e);

#endif
