// The way of log lines from a worker to the log thread: a ring of bytes with one producer and one consumer.
// The producer never waits and never wakes anybody for a line: when the ring is full the line is dropped and
// counted.
//
// Use      producer: at = logring_reserve(r, most); write a line that ends with '\n' at `at`;
//          logring_commit(r, length). consumer: logring_peek(); use the bytes; logring_consume().
// Lines    a line is written in one piece: behind the ring lies room for the longest line, and what ran over
//          the end is copied to the beginning at commit. The consumer sees whole lines only, in at most two
//          pieces.
// Wake     when a commit finds the ring over half full and the consumer has not been told since it last made
//          progress, `wake` is called, once: for bursts. Otherwise the consumer polls (every 50 ms or
//          faster).
// Owner    whoever made it; both sides must be done before logring_done().
// Thread   one producer thread, one consumer thread; lock-free, acquire and release on two positions. Never
//          suspends.
#ifndef RINGWAY_BASE_LOGRING_H
#define RINGWAY_BASE_LOGRING_H

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

// What the two sides write lies at least a cache line apart, wherever the struct itself lies.
#define LOGRING_APART 64

struct logring {
    char *bytes; // size + LOG_LINE_BYTES_MAX
    uint32_t size; // a power of two
    void (*wake)(void *wake_arg);
    void *wake_arg;

    uint8_t apart[LOGRING_APART];

    // The producer's.
    _Atomic uint64_t head; // bytes ever committed
    uint64_t tail_seen; // the last value of tail that the producer read
    _Atomic uint64_t dropped; // lines
    uint32_t reserved; // granted by the last reserve and not yet committed

    uint8_t apart_too[LOGRING_APART];

    // The consumer's.
    _Atomic uint64_t tail; // bytes ever consumed
    _Atomic bool told; // by the producer: woken since the last consume
};

// bytes: a power of two, at least 2 * LOG_LINE_BYTES_MAX. wake may be NULL. It runs on the producer's thread
// and must not block.
RW_WARN_UNUSED enum rw_err logring_init(struct logring *r, uint32_t bytes, void (*wake)(void *arg),
                                        void *wake_arg);
void logring_done(struct logring *r);

// Room for a line of at most n bytes (<= LOG_LINE_BYTES_MAX), or NULL: the ring is full and the line was
// counted as dropped. A reserve that is not committed costs nothing.
char *logring_reserve(struct logring *r, uint32_t n);
// n bytes of the last reserve are a line; its last byte is '\n'.
void logring_commit(struct logring *r, uint32_t n);
// Reserve, copy, commit. False: dropped and counted.
bool logring_put(struct logring *r, struct span line);

// What there is to read, as 0, 1 or 2 pieces; valid until it is consumed. Returns the number of pieces.
uint32_t logring_peek(struct logring *r, struct span ret_pieces[2]);
// n bytes from the front are done with; may end inside a line.
void logring_consume(struct logring *r, uint32_t n);

// Lines dropped since the start. Any thread.
uint64_t logring_dropped(const struct logring *r);

#endif
