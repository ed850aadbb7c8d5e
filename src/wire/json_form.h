// The answers of one provider resemble each other: the same keys in the same order, the same words; an id, a
// time, a few counts and the text itself are others each time. A form is what they have in common. A text that
// fits it is known to be valid after its bytes were compared, and where its values lie follows from the form.
// An answer of 850 bytes in which six values change costs 1,490 instructions instead of 3,030 (AArch64); where
// no two have the same keys, learning adds 200.
//
// Use      struct json_form f = {0};                                // one for texts of one kind
//          int got = json_form_scan(&f, &s, &fields, text);         // instead of json_scan(..., JSON_TOP_OBJECT, ...)
// Result   always that of the plain scan, whatever came before: the same return value, and in s what json.h
//          calls public.
// Learns   from texts that did not fit. A long string becomes a hole at once, a shorter one and a number when
//          two texts differ in them; a text that differs elsewhere is remembered instead. In a hole anything
//          may stand that is valid there. Learning costs as much as a few scans, so there is no more of it than
//          one text in JSON_FORM_LEARN_COST in the long run.
// Owner    the caller. The form holds short strings and numbers of a text until another text has others there. Whoever
//          sends texts through the same form could tell by the time whether his has the same ones, so it is for texts
//          whose authors are trusted with that: the answers of a provider.
// Thread   any. Never suspends. No allocation.
#ifndef RINGWAY_WIRE_JSON_FORM_H
#define RINGWAY_WIRE_JSON_FORM_H

#include "wire/json.h"

#define JSON_FORM_BYTES_MAX 1400
#define JSON_FORM_HOLES_MAX 16
#define JSON_FORM_FIELDS_MAX 16
#define JSON_FORM_LEARN_COST 64

// A place whose bytes are not part of the form: the inside of a string value, or a number.
struct json_form_hole {
    uint16_t at; // in the form, which has nothing there
    bool number;
};

// A field's value as it would be if all holes were empty, and behind how many holes it begins and ends.
struct json_form_value {
    struct json_value value;
    uint8_t holes_from, holes_to;
    bool hole; // a string that is one
};

// All zero: nothing is remembered.
struct json_form {
    const struct json_fields *fields; // what the values belong to
    uint16_t n; // bytes of text, 0: none
    uint16_t holes;
    uint32_t spent; // on learning; every text earns one back
    uint16_t top, close; // of the scan, in the form
    bool top_empty;
    struct json_form_hole hole[JSON_FORM_HOLES_MAX];
    struct json_form_value value[JSON_FORM_FIELDS_MAX];
    uint8_t text[JSON_FORM_BYTES_MAX]; // without what is in the holes
};

// fields: at most JSON_FORM_FIELDS_MAX. Other fields than the time before: what was learnt is forgotten.
int json_form_scan(struct json_form *f, struct json_scan *s, const struct json_fields *fields,
                   struct span text);

#endif
