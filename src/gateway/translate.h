// A request whose client and provider speak different dialects: the body is decoded into the neutral model and encoded
// again on its way up, the answer on its way down (providers/dialect.h). What the target cannot say is dropped and named in
// x-ringway-dropped, or refused.
//
// Owner    the exchange; translate_close() gives the memory back.
// Memory   of its own, charged to the worker's budget: a body is unescaped and escaped anew.
// Thread   the worker's, in a fiber.
#ifndef RINGWAY_GATEWAY_TRANSLATE_H
#define RINGWAY_GATEWAY_TRANSLATE_H

#include "gateway/exchange.h"
#include "providers/dialect.h"

struct translation {
    struct chat_ctx ctx;
    struct arena memory; // lives as long as the exchange
    struct arena scratch; // of one feed of the stream
    struct chat_request request;
    struct dialect_reply reply;
    struct json_out body; // the request, encoded
    struct dialect_pipe *pipe; // of a streamed answer
    struct embedding *embedding; // translate_embed.c; NULL: it is a chat
    char dropped[CHAT_LOSSES_MAX * 40];
    uint32_t dropped_n;
};

// The memory and what answers are made with; x->translation is set. Also for an answer that is only read.
enum stage translate_open(struct exchange *x);
// x->body becomes x->translation->body.
enum stage translate_request(struct exchange *x);
// The same of a request for embeddings.
enum stage translate_embed_request(struct exchange *x);
// The translation ended early: the field at fault and what to do, or there was no memory.
enum stage translate_refused(struct exchange *x, enum rw_err err);
// What of a request must not pass even where nothing is translated.
enum stage translate_check(struct exchange *x);
void translate_close(struct exchange *x);

// What the meter knows.
void translate_usage(struct exchange *x, const struct chat_usage *usage);
// The exchange's end (END_UPSTREAM_STATUS: the provider's answer) as an error of the client's dialect.
struct chat_error translate_end(const struct exchange *x, struct span text);

#endif
