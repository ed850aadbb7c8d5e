// Decoding gzip (RFC 1952) as it arrives, with a bound on what it may grow to: an answer that comes compressed although identity
// was asked for is read all the same, a bomb is not.
//
// Use      struct gzip *g = gzip_open(memory);
//          for each piece: do gzip_next(g, &piece, out, cap, &n) while (n == cap || piece.n > 0);
//          at the end of the input: gzip_whole(g), or it is cut short.
// Members  Several behind each other are one text (RFC 1952 2.2); anything else behind a member is bad.
// Ratio    Behind the first GZIP_FREE_BYTES of output, what came out is at most GZIP_RATIO_MAX times what went in: texts of
//          models shrink to a third, JSON that repeats itself to a thirtieth, deflate can reach 1,032.
// Memory   all of it is the caller's GZIP_MEMORY_BYTES; nothing has to be closed. No allocation besides. Never suspends.
// Thread   one at a time.
// Errors   RW_E_BAD, RW_E_TOO_LARGE (the ratio); gzip_reason() has the words. Both are final.
#ifndef RINGWAY_WIRE_GZIP_H
#define RINGWAY_WIRE_GZIP_H

#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"

// 32 KiB of window and 7 KiB of state.
#define GZIP_MEMORY_BYTES KIB(44)
#define GZIP_FREE_BYTES MIB(1)
#define GZIP_RATIO_MAX 100u

struct gzip;

// memory: GZIP_MEMORY_BYTES, aligned to 16, the decoder's for as long as it is used.
struct gzip *gzip_open(uint8_t *memory);
// Decodes from the front of *in, which is advanced, until it is used up or out is full. cap > 0.
enum rw_err gzip_next(struct gzip *g, struct span *in, uint8_t *out, uint32_t cap,
                      uint32_t *ret_out) RW_WARN_UNUSED;
// What went in so far is whole: one member at least, and the last one has its end.
bool gzip_whole(const struct gzip *g);
// Of the error; never NULL.
const char *gzip_reason(const struct gzip *g);

#endif
