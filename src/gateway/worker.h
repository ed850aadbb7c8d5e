// A worker: one thread's share of the gateway. Loop, listeners, client connections, upstream pools, metrics, access log: all
// its own. What it reads from outside is the plan.
//
// Use      worker_open() in the thread that will turn it (or in the simulator's), worker_turn() until worker_is_done().
// Control  talks to it by mail: worker_plan() hands over a new plan, worker_drain() begins the end. Both may be called from
//          any thread.
// Drain    listeners take what the kernel has accepted and are closed; requests are served to their end with `connection:
//          close`; idle connections stay for idle_ns, so that a client that is about to send is still served.
#ifndef RINGWAY_GATEWAY_WORKER_H
#define RINGWAY_GATEWAY_WORKER_H

#include "base/metric.h"
#include "base/prng.h"
#include "gateway/access_log.h"
#include "gateway/credential.h"
#include "gateway/plan.h"
#include "io/loop.h"
#include "net/h1.h"
#include "net/upstream.h"
#include "wire/json_form.h"

#define WORKER_CLOSED UINT32_MAX
#define WORKER_NO_LISTENER UINT32_MAX
#define REQUEST_ID_BYTES 26

// A key that a client sent and whom it stands for: a client sends it with every request, and its HMAC costs a tenth of one.
// As secret as the keys themselves; wiped with its plan.
#define WORKER_KEYS_SEEN_BITS 6
#define WORKER_KEYS_SEEN (1u << WORKER_KEYS_SEEN_BITS)
#define WORKER_KEY_BYTES_MAX 84
struct worker_key {
    const struct principal *planned; // of the present plan; NULL: one of the store, by its digest
    uint32_t n; // 0: none
    uint8_t digest[STORE_HASH_BYTES];
    uint8_t text[WORKER_KEY_BYTES_MAX];
};
static_assert(sizeof(struct worker_key) == 128, "two cache lines");

struct once;

struct worker_cfg {
    uint32_t index;
    uint32_t workers; // of this process
    uint16_t process_epoch; // tells processes apart in request ids
    uint32_t fibers_max;
    uint16_t buffers;
    int64_t memory_bytes; // the byte budget
    uint64_t seed;
    const struct plan *plan;
    struct logring *access; // NULL: off
    struct metrics *metrics;
    struct io_offload *offload; // for handshakes; NULL: they are made on the worker
    struct store *store; // accounts; NULL: none
    struct store_cells *cells; // of limits; with a store
    struct store_journal *journal; // this worker's; with a store
    // Answers wait until their record is committed: this asks for it, of any thread; worker_committed() says when it is. NULL:
    // they do not wait.
    void (*commit_wanted)(void *ctx);
    struct once *once; // for Idempotency-Key; NULL: the field means nothing
    struct store_answers *answers; // the cache; NULL: none, and no plan has one
    // Connections of each worker, for the balance at accept; NULL: none. WORKER_CLOSED until it is open and once it drains.
    _Atomic uint32_t *open_by_worker;
    struct worker **peers; // all workers, this one included; NULL: none
    // What a plan is told when the last exchange on it has ended. Runs on the worker.
    void (*plan_released)(void *ctx, const struct plan *plan);
    // A provider has refused our credentials with this status; NULL: nobody wants to know. Runs on the worker, at every
    // refusal: who is told sees to it that he says it no more often than people can bear.
    void (*credentials_refused)(void *ctx, const struct plan *plan, uint32_t provider, uint32_t status,
                                int64_t now_ns);
    void *ctx;
};

struct worker_listener {
    struct io_op accept;
    struct worker *worker;
    struct h1_entry entry; // follows the plan; connections point here
    struct io_timer rearm;
    int fd;
    bool ours; // made by this worker, not adopted
};

// What of x-ratelimit-* stands before the remainder and between it and the time, made for the limit that was named last. Copied
// whole, with what lies behind.
struct worker_limit_text {
    int64_t limit; // 0: none
    uint32_t front_bytes, middle_bytes;
    char front[112];
    char middle[48];
};

struct worker {
    struct worker_cfg cfg;
    struct budget budget;
    struct io_loop loop;
    struct h1_server http;
    struct worker_listener *listeners;
    uint32_t listener_count;
    struct up_origin *origins; // by plan_provider.origin
    uint32_t origin_count;
    struct credential_seat *credentials; // by plan_provider.credential
    struct json_form *answers; // by origin: what the whole answers from there have in common
    const struct plan *plan;
    uint32_t plan_users; // exchanges on the present plan
    struct plan_seat *old_plans;
    struct access_log access;
    struct principals *principals; // NULL: only keys of the configuration are known
    struct estimator *estimator; // with a journal
    struct flights *flights; // with a cache
    struct limit_time limit_time;
    struct store_cell *limit_clock;
    struct list streams; // of exchanges, see revoke.h
    struct io_timer revoke_look;
    struct fiber_event commit; // records were committed, or could not be
    bool commit_failing;
    _Atomic int commit_err; // of the last commit
    _Atomic bool commit_posted;
    struct io_mail commit_mail;
    struct worker_limit_text limit_text[2][2]; // requests, tokens; of OpenAI, of Anthropic
    struct prng prng;
    uint64_t sequence; // of request ids
    uint64_t id_high; // the upper half of the last one
    uint8_t id[REQUEST_ID_BYTES]; // its text
    struct worker_key keys_seen[WORKER_KEYS_SEEN];
    uint64_t accept_paused;
    struct io_timer trim;
    struct io_timer drain_end;
    int64_t drain_quiet_until_ns; // listeners take no more after this
    struct io_timer drain_quiet;
    uint32_t drain_looks; // turns since the quiet time was over
    bool accepting;
    bool draining;
    bool ready;
    bool closed; // only letters may still come
};

// Takes the driver over. What listening refused is returned, with the listener's index in *ret_listener; WORKER_NO_LISTENER
// when something else failed.
enum rw_err worker_open(struct worker *w, struct io_driver *driver, const struct worker_cfg *cfg,
                        uint32_t *ret_listener) RW_WARN_UNUSED;
void worker_turn(struct worker *w, int64_t deadline_ns);
// Drained: no connection, no fiber, no operation is left.
bool worker_is_done(const struct worker *w);
// After worker_is_done(), in the worker's thread: listeners, connections and plans are given up.
void worker_close(struct worker *w);
// The loop itself, once nobody can post to the worker any more (the threads that could were joined). Letters that came too
// late are dropped: a plan among them is let go, a client's connection closed. Also after a worker_open() that failed.
void worker_free(struct worker *w);

// --- From any thread. The mail is the caller's until it is opened; *opened is then set.
struct worker_mail {
    struct io_mail mail;
    struct worker *worker;
    const struct plan *plan;
    int64_t idle_ns, timeout_ns; // of a drain
    int fd; // of a connection handed over
    uint32_t listener;
    _Atomic bool *opened;
};
void worker_plan(struct worker *w, struct worker_mail *m, const struct plan *plan);
// New addresses of an origin; the letter is made and freed inside. -ENOMEM: the worker goes on with those it has.
enum rw_err worker_addrs(struct worker *w, uint32_t origin, const struct io_addr *addrs,
                         uint32_t n) RW_WARN_UNUSED;
// A new credential, which the letter holds until it is taken. -ENOMEM: the worker goes on with the one it has.
enum rw_err worker_credential(struct worker *w, uint32_t index, const struct credential *c) RW_WARN_UNUSED;
void worker_drain(struct worker *w, struct worker_mail *m, int64_t idle_ns, int64_t timeout_ns);
// Records of this worker's journal were committed, or could not be: then nobody waits until a commit succeeds again. Not after
// worker_free().
void worker_committed(struct worker *w, enum rw_err err);

// --- For exchanges.
const struct plan *worker_plan_use(struct worker *w);
void worker_plan_leave(struct worker *w, const struct plan *plan);

// Updates the gauges that are read from here (connections, fibers, buffers, budget). Cheap; called every so often.
void worker_gauges(struct worker *w);

#endif
