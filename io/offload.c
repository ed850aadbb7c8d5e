// See offload.h. A task lies on the stack of the fiber that waits for it: first in the queue, then with the
// thread that runs it, and last as a letter to the fiber's loop, which sets the event that the fiber waits
// for. After posting the letter the thread does not touch the task again: the fiber may have gone on.
#include "io/offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "io/loop.h"
#include "io/machine.h"

#define THREADS_MAX 4u
#define CPUS_PER_THREAD 4u

struct task {
    struct io_mail mail;
    struct io_loop *loop;
    struct fiber_event ended;
    int (*fn)(void *);
    void *arg;
    int result;
    struct task *next; // in the queue
};

struct io_offload {
    pthread_mutex_t lock; // of all below it
    pthread_cond_t more;
    struct task *first, *last;
    struct io_offload_stats stats;
    bool closing;
    uint32_t threads;
    pthread_t thread[];
};

static void come_home(struct io_loop *loop, struct io_mail *mail)
{
    (void)loop;
    fiber_event_set(&LIST_OWNER(mail, struct task, mail)->ended);
}

// The next task, or NULL when the pool closes. `ran`: the caller has just ended one.
static struct task *next_task(struct io_offload *p, bool ran)
{
    pthread_mutex_lock(&p->lock);
    if (ran) {
        p->stats.running--;
        p->stats.done++;
    }
    while (!p->first && !p->closing) pthread_cond_wait(&p->more, &p->lock);
    struct task *t = p->first;
    if (t) {
        p->first = t->next;
        if (!p->first) p->last = NULL;
        p->stats.queued--;
        p->stats.running++;
    }
    pthread_mutex_unlock(&p->lock);
    return t;
}

static void *serve(void *arg)
{
    struct io_offload *p = arg;
    bool ran = false;
    for (struct task *t; (t = next_task(p, ran)); ran = true) {
        t->result = t->fn(t->arg);
        io_loop_post(t->loop, &t->mail);
    }
    return NULL;
}

static enum rw_err start_threads(struct io_offload *p, uint32_t n)
{
    // Signals are for the threads that wait for them.
    sigset_t all, was;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int err = 0;
    while (p->threads < n && !err) {
        err = pthread_create(&p->thread[p->threads], NULL, serve, p);
        if (err) break;
        (void)pthread_setname_np(p->thread[p->threads], "offload");
        p->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return (enum rw_err) - err;
}

enum rw_err io_offload_open(uint32_t threads, struct io_offload **ret)
{
    if (threads == 0) {
        threads = io_machine_cpus() / CPUS_PER_THREAD;
        if (threads > THREADS_MAX) threads = THREADS_MAX;
        if (threads == 0) threads = 1;
    }
    struct io_offload *p = calloc(1, sizeof *p + threads * sizeof *p->thread);
    if (!p) return (enum rw_err) - ENOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    const enum rw_err err = start_threads(p, threads);
    if (err) {
        io_offload_close(p);
        return err;
    }
    *ret = p;
    return RW_OK;
}

void io_offload_close(struct io_offload *p)
{
    pthread_mutex_lock(&p->lock);
    MUST(!p->first);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->threads; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static bool enqueue(struct io_offload *p, struct task *t)
{
    pthread_mutex_lock(&p->lock);
    MUST(!p->closing);
    const bool room = p->stats.queued < IO_OFFLOAD_QUEUE_MAX;
    if (room) {
        if (p->last) p->last->next = t;
        else p->first = t;
        p->last = t;
        p->stats.queued++;
        pthread_cond_signal(&p->more);
    } else {
        p->stats.refused++;
    }
    pthread_mutex_unlock(&p->lock);
    return room;
}

int io_offload(struct io_offload *pool, int (*fn)(void *), void *arg)
{
    struct task t = {.mail = {.open = come_home}, .loop = fiber_loop(), .fn = fn, .arg = arg};
    fiber_event_init(&t.ended);
    if (!enqueue(pool, &t)) return -EAGAIN;
    fiber_shield();
    const int r = fiber_wait(&t.ended, CLOCK_NEVER);
    fiber_unshield();
    MUST(r == 0);
    return t.result;
}

void io_offload_stats(struct io_offload *pool, struct io_offload_stats *ret)
{
    pthread_mutex_lock(&pool->lock);
    *ret = pool->stats;
    pthread_mutex_unlock(&pool->lock);
}
