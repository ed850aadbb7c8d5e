// The built-in model: answers with what it was told last, so that a fresh install answers without any provider, and a client
// can be tried without spending anything. Streams too, a word an event.
//
// Thread   the worker's, in a fiber; nothing here waits.
#ifndef RINGWAY_GATEWAY_ECHO_H
#define RINGWAY_GATEWAY_ECHO_H

#include "gateway/ask.h"

struct echo_request {
    struct span model; // to name in the answer
    struct span body; // the client's, validated
    struct span path; // "/chat/completions", "/completions", "/embeddings"
    struct span id; // of the request
    bool usage; // a stream ends with a usage event
};

int echo_open(struct ask *a) RW_WARN_UNUSED;
int echo_whole(struct ask *a, struct span *ret) RW_WARN_UNUSED;
int echo_piece(struct ask *a, struct span *ret) RW_WARN_UNUSED;
bool echo_ended(const struct ask *a);

#endif
