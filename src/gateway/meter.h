// The meter: reads usage, finish reasons and errors out of a provider's answer in passing, and says what kind of event it is.
// It changes nothing.
//
// Thread   the worker's. Never suspends. The tables are made by answer_tables(), once in the process.
#ifndef RINGWAY_GATEWAY_METER_H
#define RINGWAY_GATEWAY_METER_H

#include "gateway/exchange.h"
#include "wire/json_form.h"
#include "wire/json_twin.h"

struct meter {
    struct json_scan *scan; // of the event looked at last; model is value[METER_MODEL]
    // Knows events that say nothing new, once the first token was seen; such a one leaves scan as it was. NULL: every event is
    // scanned, for who needs to know where the model stands.
    struct json_twin *twin;
    bool first_token; // content was seen
    bool finished; // a finish reason was seen
    bool done; // [DONE]
};

// The fields that a scan for a meter has room for.
#define METER_FIELDS_MAX 16

enum meter_field { METER_MODEL, METER_USAGE };

enum meter_event {
    METER_PLAIN, // goes on as it is
    METER_USAGE_ONLY, // the usage event that ends a stream: no choices
    METER_ERROR, // the provider's error, in the stream
    METER_DONE, // [DONE]
    METER_BAD, // not JSON
};

// scan (of JSON_SCAN_BYTES(METER_FIELDS_MAX) at least) and twin (all zero, or NULL) are the caller's and live as long as
// the meter.
void meter_init(struct meter *m, struct json_scan *scan, struct json_twin *twin);
enum meter_event meter_event(struct meter *m, struct span data, struct usage *usage);
// A whole answer, long ones scanned in slices; form: of answers like it, or NULL. 1: valid; 0: it is an error object; negative:
// an enum json_bad, or -ECANCELED.
int meter_whole(struct meter *m, struct json_form *form, struct span body, struct usage *usage);

#endif
