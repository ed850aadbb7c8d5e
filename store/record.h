// One request in the ledger, and its id.
//
// Id       the raw key: time in milliseconds (48 bits), epoch of the process (16), worker (8), sequence (56),
//          big-endian, so that keys sort by time. Its text is 26 characters of Crockford's base 32.
// Part     an exchange has one record, part 0. Every attempt at a provider that cost money, or may have,
//          besides the one that part 0 accounts for, has a record of its own under the same id: parts 1, 2, ...
//          Sums count requests by parts 0, tokens and money by all.
// Memory   spans are whoever's who filled the struct in; those of a decoded record point into its bytes.
#ifndef RINGWAY_STORE_RECORD_H
#define RINGWAY_STORE_RECORD_H

#include "store/env.h"

#define STORE_ID_BYTES 16
#define STORE_ID_CHARS 26
// A record, encoded, at most.
#define STORE_RECORD_BYTES_MAX KIB(2)

// Classes of tokens as they are priced. cache reads and writes are not in input; reasoning is not in output.
enum store_tokens {
    STORE_TOKENS_INPUT,
    STORE_TOKENS_CACHE_READ,
    STORE_TOKENS_CACHE_WRITE,
    STORE_TOKENS_OUTPUT,
    STORE_TOKENS_REASONING,
    STORE_TOKENS_AUDIO,
    STORE_TOKENS_IMAGE,
    STORE_TOKENS_OTHER,
    STORE_TOKENS_COUNT
};

enum store_record_flags {
    STORE_ESTIMATED = 1 << 0, // the provider named no usage
    STORE_CRASHED = 1 << 1, // the process died in between: charged at the estimate
    STORE_CUT = 1 << 2, // the answer broke off, or the client left
    STORE_STREAMED = 1 << 3,
    STORE_UNPRICED = 1 << 4, // the model has no price
    STORE_FAILED = 1 << 5, // ended in an error
    STORE_EARLIER_BOOT = 1 << 6, // found in a journal of an earlier boot of the machine
    STORE_REFUSED = 1 << 7, // by a limit or for want of room: nothing of its limits was used up
};

enum store_cache { STORE_CACHE_NONE, STORE_CACHE_HIT, STORE_CACHE_MISS, STORE_CACHE_BYPASS };

struct store_texts {
    struct span model; // as it was asked for, or its configured name
    struct span provider;
    struct span upstream_model; // empty: the same as model
    struct span user; // the end user
    struct span client_id; // the client's own request id
    struct span tags[STORE_TAGS_MAX]; // "k=v"
    uint32_t tags_count;
    struct span encoded; // all of the above as store_texts_encode() writes it; empty: not at hand
};

struct store_record {
    uint8_t id[STORE_ID_BYTES];
    uint8_t part;
    uint8_t attempts;
    uint8_t cache; // enum store_cache
    uint8_t dialect;
    uint16_t status; // 0: nothing was sent
    uint32_t flags; // enum store_record_flags
    uint32_t tenant, team, key;
    uint32_t tokens[STORE_TOKENS_COUNT];
    int64_t cost_nanos; // 0 of an answer from the cache; it is stored where the next one is
    int64_t saved_nanos; // what such an answer would have cost
    uint64_t bytes_in, bytes_out;
    uint64_t duration_us;
    uint32_t first_byte_us;
    uint32_t overhead_us;
    struct span end; // name of base/end.h
    struct store_texts texts;
};

// One number holds both: a hit costs nothing.
static inline int64_t store_record_money(const struct store_record *r)
{
    return r->cache == STORE_CACHE_HIT ? r->saved_nanos : r->cost_nanos;
}
static inline void store_record_money_set(struct store_record *r, int64_t nanos)
{
    r->cost_nanos = r->cache == STORE_CACHE_HIT ? 0 : nanos;
    r->saved_nanos = r->cache == STORE_CACHE_HIT ? nanos : 0;
}

// When the request began, milliseconds since 1970.
static inline int64_t store_id_ms(const uint8_t id[STORE_ID_BYTES])
{
    uint64_t high;
    memcpy(&high, id, sizeof high);
    return (int64_t)(__builtin_bswap64(high) >> 16);
}

void store_id_make(uint64_t wall_ms, uint16_t epoch, uint8_t worker, uint64_t sequence,
                   uint8_t ret[STORE_ID_BYTES]);
void store_id_text(const uint8_t id[STORE_ID_BYTES], char ret[STORE_ID_CHARS]);
// Upper case is taken, too. RW_E_BAD for anything but 26 such characters.
RW_WARN_UNUSED enum rw_err store_id_parse(struct span text, uint8_t ret[STORE_ID_BYTES]);

// Into STORE_RECORD_BYTES_MAX bytes; returns how many. Texts longer than STORE_TEXT_BYTES_MAX are a programmer
// error. The id and the part are the key, not in the bytes.
uint32_t store_record_encode(const struct store_record *r, uint8_t *out);
// Of a raw key and its value.
RW_WARN_UNUSED enum rw_err store_record_decode(struct span key, struct span value, struct store_record *ret);

// The texts by themselves: into `out` (STORE_RECORD_BYTES_MAX), and back. Each is a length and its bytes.
uint32_t store_texts_encode(const struct store_texts *t, uint8_t *out);
// RW_E_CORRUPT: *ret is undefined.
RW_WARN_UNUSED enum rw_err store_texts_decode(struct span bytes, struct store_texts *ret);

// Bytes that the encoded texts take.
uint32_t store_texts_bytes(const struct store_texts *t);

#endif
