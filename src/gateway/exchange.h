// The exchange: the life of one request, from its head to the line in the log. exchange.c tells the story; each stage is in a
// file of its own and is handed the exchange.
//
// Owner    the call's arena holds the exchange; it ends with the handler.
// Thread   the worker's, in a fiber.
#ifndef RINGWAY_GATEWAY_EXCHANGE_H
#define RINGWAY_GATEWAY_EXCHANGE_H

#include "base/fmt.h"
#include "gateway/ask.h"
#include "gateway/plan.h"
#include "gateway/route.h"
#include "gateway/worker.h"
#include "net/call.h"
#include "store/record.h"
#include "wire/json.h"

struct translation;
struct account;
struct flight;
struct once_claim;

// What a stage says.
enum stage {
    STAGE_GO, // the next stage
    STAGE_DONE, // answered; settle
    STAGE_FAIL, // x->end says why; answer with an error if that is still possible, then settle
};

#define CROSSED_FIELDS_MAX 8

// Counts as the provider gave them; -1: not known.
struct usage {
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cached_tokens;
    int64_t reasoning_tokens; // part of output
    int64_t cache_write_tokens, cache_write_1h_tokens; // part of input, as is cached; the second of the first
    int64_t audio_input_tokens, audio_output_tokens;
};

// What the gateway reads of a request's JSON body: indices of struct json_scan.value, in the order of body.c's table.
enum request_field {
    FIELD_MODEL,
    FIELD_STREAM,
    FIELD_OPTIONS,
    FIELD_INCLUDE_USAGE,
    FIELD_N,
    FIELD_GOOGLE_CONFIG,
    FIELD_AMAZON_CONFIG,
    FIELD_MAX_TOKENS, // and its other names
    FIELD_MAX_COMPLETION,
    FIELD_MAX_OUTPUT,
    FIELD_MAX_GOOGLE,
    FIELD_MAX_AMAZON,
    FIELD_USER,
    FIELD_METADATA,
    FIELD_COUNT,
};

struct exchange {
    struct call *call;
    struct worker *worker;
    const struct plan *plan;
    const struct route *route;
    struct span path; // without base_path and query
    struct span rest; // behind the route's path
    uint8_t request_id[REQUEST_ID_BYTES];
    struct span client_request_id;
    const struct principal *principal;
    struct span body;
    struct json_scan *scan; // of the body; done
    struct span model_named; // the field model, unescaped; n 0: absent
    struct span model_asked; // that, or the default
    bool stream; // the client wants an event stream
    bool json_array; // or one JSON array that comes piece by piece
    bool usage_asked; // and its usage event
    uint32_t choices; // n
    int64_t max_tokens; // of the answer; -1: not said
    char max_tokens_text[FMT_U64_BYTES]; // the same, when it is set
    bool clamped; // max_tokens was lowered to what the budget has left, and goes up so
    struct span user; // the end user, as the client calls him
    struct span upstream_model;
    const struct plan_model *model; // NULL: provider/model
    const struct plan_provider *provider;
    bool translated; // the provider speaks another dialect than the client
    struct translation *translation; // translate.h; NULL: none
    struct ask ask;
    bool asked; // ask_open() was called
    bool streaming; // an event stream was begun to the client
    bool error_sent; // an error event was passed on or written
    bool answered; // the client has read all of the answer's meaning once what is being sent has arrived
    bool mid_event; // a part of an event went out that has not ended
    uint32_t retry_after_s; // 0: not said
    // Fields of the provider's head that cross.
    struct call_field crossed[CROSSED_FIELDS_MAX];
    uint32_t crossed_count;
    int64_t client_wait_ns; // waiting for the client to send its body or to take the answer
    struct usage usage;
    struct span upstream_request_id;
    int64_t first_token_ns;
    // How it ended. detail completes the end's text; param names the field at fault.
    enum rw_end end;
    const char *detail;
    const char *param;
    const char *allow; // methods, for 405
    struct span error_type; // of an error in a dialect that names it in the head; n 0: none
    uint64_t answer_bytes; // of bodies, for the log
    struct account *account; // account.h; NULL: nothing is kept of this request
    uint32_t content_events; // of a stream: they went by
    enum store_cache cache; // what the cache had to say; STORE_CACHE_NONE: it was not asked
    struct once_claim *claim; // once.h: an Idempotency-Key is this exchange's; NULL: none is
    bool replayed; // the answer is what an earlier request with the same Idempotency-Key was given
    struct flight *flight; // flight.h: others may be given this answer, too; NULL: it is only the client's
    // revoke.h: streams whose key may be revoked. in_streams.next NULL: it is not watched.
    struct list in_streams;
    struct scope *scope;
    uint64_t seen_version, seen_generation; // of accounts and plan
};

// Once in the process, before there are threads: the tables of JSON fields.
void exchange_tables(void);

// The handler of h1.h. Returns when everything about the call is done.
void exchange_run(struct call *call, struct worker *worker);

// --- The stages, in the order of life.
enum stage exchange_identify(struct exchange *x); // head.c: route, method, CORS preflight
enum stage exchange_authenticate(struct exchange *x); // auth.c: who asks
enum stage exchange_admit(struct exchange *x); // account.c: requests, concurrency; the ledger's slot
enum stage inform_usage(struct exchange *x); // usage.c: what the asker's team has used
enum stage exchange_inform(struct exchange *x); // inform.c: health, models: answered from here
enum stage exchange_read(struct exchange *x); // body.c: the whole body, or nothing for a streamed one
enum stage exchange_scan(struct exchange *x); // body.c: valid JSON, and what we read of it
enum stage exchange_route(struct exchange *x); // target.c: model and provider
enum stage exchange_once(struct exchange *x); // once.c: Idempotency-Key
enum stage exchange_cache(struct exchange *x); // cache.c: the answer, if it is known
enum stage exchange_reserve(struct exchange *x); // account.c: tokens and money, by an estimate
enum stage exchange_ask(struct exchange *x); // request.c: the provider's request, until an answer began
enum stage exchange_relay(struct exchange *x); // relay.c: the answer, whole or streamed
void exchange_refuse(struct exchange *x); // refuse.c: an error in the client's dialect
void exchange_settle(struct exchange *x); // settle.c: the ledger, metrics, log

// --- For stages.
void request_tables(void); // body.c
void answer_tables(void); // meter.c
enum stage exchange_fail(struct exchange *x, enum rw_end end, const char *detail);
// The same with a text put together of three pieces (any may be empty), kept in the arena.
enum stage exchange_fail_text(struct exchange *x, enum rw_end end, struct span a, struct span b,
                              struct span c);
// Of an error of call.h's functions while the request is read.
enum stage exchange_fail_client(struct exchange *x, int err);
// The ask's failure becomes the exchange's.
enum stage exchange_fail_ask(struct exchange *x, int err);

// The head that every answer has: request id, CORS, and what is known of the provider; status and length are the caller's.
// fields: room for CALL_FIELDS_MAX, which reply points at; up to four may be added.
void exchange_reply_init(struct exchange *x, struct call_reply *reply, struct call_field *fields);
void exchange_reply_add(struct call_reply *reply, struct call_field *fields, struct span name,
                        struct span value);
// A whole answer of ours.
enum stage exchange_reply(struct exchange *x, uint16_t status, struct span content_type, struct span body);
// How long a write to the client may take.
int64_t exchange_write_until(const struct exchange *x);

#endif
