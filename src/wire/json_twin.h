// The events of one stream resemble each other: the same keys, the same id, a few new words in one string.
// A twin remembers one of them and knows the next ones by comparing bytes, which costs a tenth of a scan.
//
// Use      struct json_twin t = {0};                                // one for each stream
//          if (json_twin_is(&t, event)) {                           // as the one before: nothing new to read
//              forward(event);
//          } else {
//              if (json_scan(&s, &fields, JSON_TOP_OBJECT, event) < 0) refuse();
//              json_twin_learn(&t, &s, event);
//              look at s.value[]
//          }
// True     says: the text is valid JSON, and it is the remembered one but for the insides of string values
//          that are none of the fields of interest. So every field of interest has the type it had, and the
//          value if it is no container. Where it stands may differ: who needs that scans.
// Learns   by differences: a string value in which two texts differ becomes a hole. A text that differs
//          elsewhere is remembered instead. When nothing matches any more, learning is tried less and less
//          often.
// Owner    the caller; the twin holds copies. Flags and fields of the scans must be the same each time.
// Thread   any. Never suspends. No allocation.
#ifndef RINGWAY_WIRE_JSON_TWIN_H
#define RINGWAY_WIRE_JSON_TWIN_H

#include "wire/json.h"

#define JSON_TWIN_BYTES_MAX 1000
#define JSON_TWIN_HOLES_MAX 6

// The inside of a string value.
struct json_twin_hole {
    uint16_t at, n;
};

// All zero: nothing remembered.
struct json_twin {
    uint16_t n; // bytes of text, 0: none
    uint16_t holes;
    uint32_t misses; // since the last match
    struct json_twin_hole hole[JSON_TWIN_HOLES_MAX]; // from left to right
    uint8_t text[JSON_TWIN_BYTES_MAX];
};

bool json_twin_is(struct json_twin *t, struct span text);

// After a scan of the text that succeeded. Texts that are too long are not learnt.
void json_twin_learn(struct json_twin *t, const struct json_scan *s, struct span text);

#endif
