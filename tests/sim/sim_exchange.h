// The exchange scenario: the gateway's own workers between simulated clients and providers. What is shared by its parts:
//
//   sim_gateway.c   builds plan and workers, runs the world, checks that everything was given back
//   sim_plan.c      the plans: what a configuration may say
//   sim_request.c   composes what clients ask, and what a provider must get of it
//   sim_odd.c       what never reaches a provider
//   sim_client.c    the clients: send in any way, read, leave; check every answer
//   sim_check.c     what an answer and a request must be
//   sim_answer.c    composes what providers answer, well or badly, and what the client must get of it
//   sim_provider.c  the providers: check every request, answer
//
// struct sim_request is the truth about one exchange: written by both sides, never seen by the gateway.
#ifndef RINGWAY_TESTS_SIM_EXCHANGE_H
#define RINGWAY_TESTS_SIM_EXCHANGE_H

#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "providers/dialect.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_driver.h"
#include "tests/sim/sim_http.h"
#include "wire/proxy_protocol.h"

#define SIM_WORKERS_MAX 3
#define SIM_CLIENTS_MAX 16
#define SIM_PROVIDERS_MAX 3
#define SIM_PROVIDER_CONNS_MAX 512
#define SIM_REQUESTS_MAX 1024
// A peer to whom nothing at all happens for this long has been forgotten: longer than every time limit together.
#define SIM_PATIENCE_NS (2000 * CLOCK_SEC)

enum sim_ask_kind { ASK_CHAT, ASK_TEXT, ASK_EMBED, ASK_UPLOAD, ASK_ECHO, ASK_LOCAL, ASK_KINDS };

enum sim_verdict {
    VERDICT_NONE, // no provider has answered
    VERDICT_WHOLE, // good and complete: the client must get all of `expected`
    VERDICT_STATUS, // an error, passed on with its body
    VERDICT_STATUS_OURS, // an error whose body cannot be passed on
    VERDICT_BAD, // broken, or no answer: the client must see an error, whatever came before it
};

struct sim_request {
    uint32_t id;
    uint8_t kind;
    uint8_t verdict;
    bool stream, usage_asked, http10, expects, closes;
    bool head_only; // HEAD
    bool silent; // answered without a body
    bool hangs; // it has no end
    bool odd; // one of those in sim_odd.c
    bool crlf; // the events of the answer end in CRLF
    int refused_with; // the status that the gateway must refuse it with; 0: none
    bool limited; // its key may not use every model
    uint32_t provider;
    struct span model; // its name, as it is asked for
    bool model_same; // and upstream
    bool unnamed; // by default
    bool chat; // by messages; else by a prompt
    bool parts; // the message has several
    bool key_in_query;
    struct span head, body; // as the client sends them
    struct span body_up; // what the provider must get, decoded
    struct span said; // to the echo model
    // What the provider did.
    uint32_t asked; // times that it got the head
    uint64_t answer_sent; // bytes of the last answer, as they went out
    int answer_status;
    struct span expected; // what the client must get of it
    bool shaky; // it may or may not arrive whole, or in time
    // When, and what else went on.
    int64_t begun_ns, left_ns, ended_ns;
    uint32_t troubles; // of the world when it began
    bool troubled_start;
    bool piped; // when its client left it had sent others behind: the end is not seen before those are read
    bool slow; // the client made long pauses
    bool begun, left, ended;
};

struct sim_gateway;

struct sim_client {
    struct sim_gateway *g;
    struct sim_end *end; // NULL: not connected
    struct sim_event run;
    struct sim_message msg; // the answer being read
    uint32_t id, next_port;
    uint32_t first, count; // its requests
    uint32_t send_at, answer_at; // the one being sent, the one whose answer is awaited: from first
    uint64_t sent; // bytes of the one being sent
    uint32_t depth; // requests on the way at most
    uint32_t answers_here; // on this connection
    int64_t pause_until_ns; // of writing
    int64_t wait_100_until_ns; // for the interim answer; 0: not waiting
    int64_t progress_ns;
    int64_t leave_ns; // CLOCK_NEVER: stays
    uint64_t leave_bytes; // of what is read on this connection
    uint64_t read_here;
    uint32_t tries;
    uint32_t left_troubles; // of the world when it left
    uint8_t leave_how;
    bool overtold; // bytes behind the last answer are the body that HEAD did not want
    bool last_here; // the answer said close
    bool intruder; // what it said instead of a PROXY header must not be answered
    struct span entry; // what stands in front of the first request of a connection
    bool half_closed; // it has left by a FIN and still holds the connection
    bool done;
};

// What a provider does behind the bytes of an answer.
enum sim_stop { STOP_KEEP, STOP_FIN, STOP_RESET, STOP_SILENT };

struct sim_answer {
    struct span wire;
    uint32_t stop_at; // bytes of it that are sent
    uint8_t stop; // enum sim_stop
    bool early; // before the request was read
    bool deaf; // the rest of the request is never read
    bool at_once; // without pauses between its pieces
    int64_t pause_max_ns;
};

struct sim_provider_conn {
    struct sim_gateway *g;
    struct sim_end *end;
    struct sim_event run;
    struct sim_message msg;
    struct sim_answer answer;
    struct sim_request *request; // being read or answered
    uint32_t provider;
    uint32_t served;
    uint32_t sent; // of the answer
    int64_t pause_until_ns;
    int64_t read_pause_until_ns;
    int64_t close_ns; // of an idle connection
    bool answering, answered, silent;
    bool used;
};

// What the configuration of a run says.
struct sim_shape {
    bool base; // paths begin with /base
    bool origins_listed; // of browsers; else any
    bool renamed; // answers carry the model's name as it was asked for
    bool proxied; // a PROXY header comes first
    bool trusting; // X-Forwarded-For is believed
    bool defaults; // a model and a provider for those who name none
    bool ready_needs_target;
    bool echo; // there is a built-in provider
    bool metrics, access_log;
    bool named; // the resolver tells the providers' addresses
    bool killed; // a drain has little patience
    uint32_t body_max;
};

struct sim_gateway {
    struct sim_world *w;
    struct sim_net net;
    struct sim_totals *totals;
    struct sim_process *process;
    struct worker worker[SIM_WORKERS_MAX];
    struct worker *peers[SIM_WORKERS_MAX];
    bool worker_closed[SIM_WORKERS_MAX];
    uint32_t workers;
    _Atomic uint32_t open_by_worker[SIM_WORKERS_MAX];
    struct logring access[SIM_WORKERS_MAX];
    uint64_t log_lines[SIM_WORKERS_MAX];
    struct plan *plan[2]; // the second is what the first is replaced by
    uint32_t plans_given, plans_released; // beyond the first, by any worker
    struct up_shared shared[SIM_PROVIDERS_MAX];
    struct worker_mail mail[SIM_WORKERS_MAX];
    _Atomic bool mail_opened[SIM_WORKERS_MAX];
    struct worker_mail plan_mail[SIM_WORKERS_MAX];
    _Atomic bool plan_opened[SIM_WORKERS_MAX];
    struct io_addr listen;
    struct io_addr provider_addr[SIM_PROVIDERS_MAX][2];
    uint32_t provider_addrs[SIM_PROVIDERS_MAX];
    struct sim_listener *provider_listener[SIM_PROVIDERS_MAX];
    uint32_t providers;
    struct sim_client client[SIM_CLIENTS_MAX];
    uint32_t clients;
    struct sim_provider_conn conn[SIM_PROVIDER_CONNS_MAX];
    uint32_t conns_open;
    struct sim_request request[SIM_REQUESTS_MAX];
    uint32_t requests;
    uint32_t size_max; // of bodies in this run
    int64_t memory_bytes; // of each worker
    struct sim_event reload, drain;
    int64_t drained_ns; // when draining began; CLOCK_NEVER: not yet
    bool calm; // clients and providers behave
    bool tight; // so little memory, fibers or connections that refusals are in order
    struct sim_shape shape;
    struct sim_event resolve, shortage;
    bool resolved; // the names, once
    int64_t killed_ns; // when a drain loses its patience; CLOCK_NEVER: not yet known
};

#define SIM_KEY "sk-good-key"
#define SIM_KEY_LIMITED "sk-limited-key"
#define SIM_KEY_DISABLED "sk-disabled-key"
#define SIM_UP_KEY "up-secret-key"

// Memory that lives until the end of the run.
void *sim_keep(uint32_t n);
struct span sim_keep_span(struct span s);
void sim_forget(void);

// Text being put together.
struct sim_text {
    uint8_t *p;
    uint32_t n, cap;
};
void sim_text_put(struct sim_text *t, struct span s);
void sim_text_str(struct sim_text *t, const char *text);
void sim_text_format(struct sim_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_text_words(struct sim_world *w, struct sim_text *t, uint32_t n);

// --- sim_plan.c
void sim_shape_choose(struct sim_gateway *g);
struct plan *sim_plan_make(struct sim_gateway *g, uint64_t generation);
void sim_plan_free(struct plan *p);

// --- sim_request.c
void sim_request_compose(struct sim_gateway *g, struct sim_request *r);
void sim_odd_compose(struct sim_gateway *g, struct sim_request *r); // sim_odd.c
struct sim_request *sim_request_find(struct sim_gateway *g, const struct sim_message *m);

// --- sim_client.c
void sim_client_open(struct sim_gateway *g, struct sim_client *c, uint32_t first, uint32_t count);
void sim_client_close(struct sim_client *c);

// --- sim_check.c
// What is wrong with it is not the gateway's fault.
bool sim_excused(const struct sim_gateway *g, const struct sim_request *r);
// An answer is whole, by its framing.
void sim_check_answer(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m);
// The connection ended within an answer, or before it.
void sim_check_broken(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m);
// What a provider got, when it is whole or (as far as it came) when it broke off.
void sim_check_request(struct sim_gateway *g, struct sim_request *r, const struct sim_message *m, bool whole);

// --- sim_answer.c
void sim_answer_compose(struct sim_gateway *g, struct sim_request *r, bool fresh, struct sim_answer *ret);

// --- sim_provider.c
void sim_provider_open(struct sim_gateway *g, uint32_t provider);
void sim_providers_close(struct sim_gateway *g);

sim_scenario sim_exchange;

#endif
