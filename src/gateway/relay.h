// What the ways of relaying an answer share (relay.c: the bytes that came; relay_chat.c: chats that are decoded on their way).
//
// Thread   the worker's, in a fiber.
#ifndef RINGWAY_GATEWAY_RELAY_H
#define RINGWAY_GATEWAY_RELAY_H

#include "gateway/exchange.h"

// The head, with the provider's status and x->ask.content_type.
void relay_start(struct exchange *x, uint64_t length);
// The same when others ride along: to the exchange's own client (flight.h).
void relay_head(struct exchange *x, uint64_t length);
// Pieces of the body, at most CALL_IOV_MAX. STAGE_FAIL: the client could not be reached.
enum stage relay_forward(struct exchange *x, const struct iovec *iov, uint32_t n, bool last);

// --- relay_chat.c
// The provider's answer, in the client's dialect.
enum stage relay_translated(struct exchange *x, bool stream);
enum stage relay_embeddings(struct exchange *x);
enum stage relay_translated_error(struct exchange *x);
// The provider's bytes, decoded in passing for what the meter wants to know.
enum stage relay_watched(struct exchange *x, bool stream);

#endif
