// UTF-8 after RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFD's plane (U+10FFFF is the
// last).
//
// Use      utf8_valid() for a text that is all there. utf8_feed() for one that comes in pieces, cut anywhere:
//              struct utf8 u = {0};
//              while (more) if (!utf8_feed(&u, piece)) refuse();
//              if (!utf8_done(&u)) refuse();   // ends inside a character
//          utf8_cut() before a text is shortened.
// Cost     ASCII is passed 16 bytes at a time; other text costs a few instructions for each character.
// Owner    everything is the caller's. No allocation. Thread: any. Never suspends.
#ifndef RINGWAY_WIRE_UTF8_H
#define RINGWAY_WIRE_UTF8_H

#include "base/span.h"

#define UTF8_BYTES_MAX 4
#define UTF8_REPLACEMENT 0xfffdu

// Between two pieces. All zero: at a boundary of characters, nothing wrong yet.
struct utf8 {
    uint8_t need; // continuation bytes that are still to come
    uint8_t low, high; // what the next of them may be
    bool bad; // stays
};

bool utf8_valid(struct span s);

// False: the text is not UTF-8, now or before.
bool utf8_feed(struct utf8 *u, struct span piece);

static inline bool utf8_done(const struct utf8 *u)
{
    return !u->bad && u->need == 0;
}

// Length of the longest beginning of s that is UTF-8 and ends with a whole character.
uint32_t utf8_prefix(struct span s);

// The largest position <= at (at is cut to s.n) that does not stand inside a character. Bytes that are no
// UTF-8 are characters of their own.
uint32_t utf8_cut(struct span s, uint32_t at);

// Length (1 to 4) of the whole character at the front of s, its number in *ret; 0, and *ret untouched, if
// there is none.
uint32_t utf8_decode(struct span s, uint32_t *ret);

// Writes a character (not a surrogate, at most U+10FFFF) and returns its length. out has room for
// UTF8_BYTES_MAX.
uint32_t utf8_encode(uint32_t character, uint8_t *out);

#endif
