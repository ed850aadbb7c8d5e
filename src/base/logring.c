// See logring.h. Positions count bytes since the start and never wrap (2^64 bytes are 10,000 years); the
// place in the ring is their low bits.
#include "base/logring.h"

#include <stdatomic.h>
#include <stdlib.h>

enum rw_err logring_init(struct logring *r, uint32_t bytes, void (*wake)(void *arg), void *wake_arg)
{
    MUST((bytes & (bytes - 1)) == 0 && bytes >= 2 * LOG_LINE_BYTES_MAX && bytes <= UINT32_C(1) << 30);
    char *p = aligned_alloc(64, (size_t)bytes + LOG_LINE_BYTES_MAX);
    if (!p) return (enum rw_err) - ENOMEM;
    *r = (struct logring){.bytes = p, .size = bytes, .wake = wake, .wake_arg = wake_arg};
    return RW_OK;
}

void logring_done(struct logring *r)
{
    free(r->bytes);
    r->bytes = NULL;
}

char *logring_reserve(struct logring *r, uint32_t n)
{
    MUST(n > 0 && n <= LOG_LINE_BYTES_MAX);
    const uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (RW_UNLIKELY(head + n - r->tail_seen > r->size)) {
        // Acquire: the consumer has finished reading what its tail has passed, before we write there.
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head + n - r->tail_seen > r->size) {
            const uint64_t dropped = atomic_load_explicit(&r->dropped, memory_order_relaxed);
            atomic_store_explicit(&r->dropped, dropped + 1, memory_order_relaxed);
            r->reserved = 0;
            return NULL;
        }
    }
    r->reserved = n;
    return r->bytes + (head & (r->size - 1));
}

// The ring is over half full as far as we know. tail_seen may be old, so it is read again before anybody is
// told.
static __attribute__((noinline)) void high_water(struct logring *r, uint64_t head)
{
    r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (head - r->tail_seen <= r->size / 2 || !r->wake) return;
    if (atomic_exchange_explicit(&r->told, true, memory_order_relaxed)) return;
    r->wake(r->wake_arg);
}

void logring_commit(struct logring *r, uint32_t n)
{
    MUST(n > 0 && n <= r->reserved);
    r->reserved = 0;
    const uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    const uint32_t at = (uint32_t)(head & (r->size - 1));
    if (RW_UNLIKELY(at + n > r->size)) memcpy(r->bytes, r->bytes + r->size, at + n - r->size);
    // Release: who sees the new head sees the line.
    atomic_store_explicit(&r->head, head + n, memory_order_release);
    if (RW_UNLIKELY(head + n - r->tail_seen > r->size / 2)) high_water(r, head + n);
}

bool logring_put(struct logring *r, struct span line)
{
    char *at = logring_reserve(r, line.n);
    if (!at) return false;
    memcpy(at, line.p, line.n);
    logring_commit(r, line.n);
    return true;
}

uint32_t logring_peek(struct logring *r, struct span ret_pieces[2])
{
    const uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    const uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    const uint32_t n = (uint32_t)(head - tail), at = (uint32_t)(tail & (r->size - 1));
    if (n == 0) return 0;
    const uint32_t first = n < r->size - at ? n : r->size - at;
    ret_pieces[0] = span_of(r->bytes + at, first);
    if (first == n) return 1;
    ret_pieces[1] = span_of(r->bytes, n - first);
    return 2;
}

void logring_consume(struct logring *r, uint32_t n)
{
    const uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    const uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    MUST(n <= head - tail);
    // Release: our reading is done before the producer may write there again.
    atomic_store_explicit(&r->tail, tail + n, memory_order_release);
    // Only progress makes another call worth while: a consumer whose sink is stuck is not called for each
    // line. What comes between our peek and this is found by the next poll.
    if (n && atomic_load_explicit(&r->told, memory_order_relaxed))
        atomic_store_explicit(&r->told, false, memory_order_relaxed);
}

uint64_t logring_dropped(const struct logring *r)
{
    return atomic_load_explicit(&r->dropped, memory_order_relaxed);
}
