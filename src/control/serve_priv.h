// What the files of `serve` share: the running server, whole. serve.c begins, reloads and ends it; serve_admin.c is what
// administrators see of it.
//
// Owner    serve_run(). Thread: control's, but for what struct thread says is its worker's.
#ifndef RINGWAY_CONTROL_SERVE_PRIV_H
#define RINGWAY_CONTROL_SERVE_PRIV_H

#include <pthread.h>
#include <sys/stat.h>

#include "control/admin_server.h"
#include "control/books.h"
#include "control/first_key.h"
#include "control/metrics_page.h"
#include "control/plan_build.h"
#include "control/serve.h"
#include "gateway/once.h"
#include "gateway/worker.h"
#include "io/offload.h"
#include "io/probe.h"

struct serve;

struct thread {
    struct serve *serve;
    pthread_t id;
    struct worker worker;
    struct worker_cfg cfg;
    struct logring ring;
    struct worker_mail plan_mail, drain_mail;
    _Atomic bool plan_opened, drain_opened;
    struct io_mail ended; // to control
    enum rw_err err; // of worker_open()
    uint32_t err_listener;
    uint64_t turns_seen;
    int64_t turned_ns;
    bool wedged;
    bool started, open;
};

struct serve {
    struct serve_options options;
    struct config *config; // the one in force; owned by its plan
    struct plan *plan;
    struct plan_world world;
    struct io_resolver *resolver;
    struct metric_labels *labels;
    struct log *log;
    struct budget budget;
    struct io_loop loop;
    struct metrics_page page;
    struct admin admin; // admin.store NULL: nothing is kept
    struct books books;
    struct once once; // with a store
    struct admin_live live;
    struct admin_server admin_server;
    int64_t started_ms;
    struct io_op signals;
    struct io_timer look;
    struct stat file;
    struct thread *threads;
    struct worker *workers[WORKERS_MAX];
    struct metrics *metrics[WORKERS_MAX];
    struct io_offload *offload;
    _Atomic uint32_t open_by_worker[WORKERS_MAX];
    uint32_t worker_count;
    uint32_t running;
    struct io_probe probe;
    bool use_uring;
    struct first_key first_key;
    pthread_mutex_t start_lock;
    pthread_cond_t start_cond;
    uint32_t start_waiting;
    _Atomic int64_t
        refused_said_ns[PROVIDERS_MAX]; // by index in the plan: when it was last said of this provider
    bool draining;
};

// As admin_live.reload.
RW_WARN_UNUSED enum rw_err serve_reload(struct serve *s, char *ret_why, size_t cap);

// Opens the admin socket and the TCP listener; what cannot be opened is said in the log.
void serve_admin_begin(struct serve *s);
// The configuration in force has another token and other certificates, perhaps.
void serve_admin_renew(struct serve *s);
// What administrators asked for is done to its end: it runs on threads that are about to go.
void serve_admin_end(struct serve *s);

#endif
