// Answers from the cache: the stage between admission and the provider, and what it is made of.
//
//   cache.c         may this request be answered from the cache, and is it there
//   cache_key.c     what makes two requests the same
//   cache_replay.c  a kept answer in the form that is asked for: whole, or as a stream
//   flight.c        answers that are on their way
//
// A hit counts as a request, and uses no tokens and no money. Kept are whole answers with status 200, JSON or event streams, of
// at most CACHE_ANSWER_BYTES_MAX; never errors, never what broke off.
// Thread   the worker's.
#ifndef RINGWAY_GATEWAY_CACHE_H
#define RINGWAY_GATEWAY_CACHE_H

#include "gateway/exchange.h"
#include "store/cache.h"

// The form of an answer: what two requests for the same may want differently.
#define CACHE_STREAM 1u
#define CACHE_ARRAY 2u // a stream as one JSON array
#define CACHE_USAGE 4u // a stream with its usage event

#define CACHE_TYPE_BYTES_MAX 64

// What stands beside an answer; kept as it lies in memory.
struct cache_meta {
    uint32_t version;
    uint8_t form;
    uint8_t content_type_n;
    uint16_t zero;
    struct usage usage;
    char content_type[CACHE_TYPE_BYTES_MAX];
};
#define CACHE_META_VERSION 1

// The form that the request wants.
uint8_t cache_form(const struct exchange *x);

struct flight;

// The canonical request, in a flight's memory. NULL: it is too long, or there is no memory.
struct flight *cache_key(struct exchange *x);

// Answers with what was kept. STAGE_GO: it cannot be given in this form; nothing was sent.
enum stage cache_replay(struct exchange *x, const struct cache_meta *meta, struct span body);
// The head of an answer that was kept; length may be CALL_CHUNKED.
void cache_reply_start(struct exchange *x, struct span content_type, uint64_t length);

#endif
