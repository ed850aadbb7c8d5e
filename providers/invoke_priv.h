// What the files of InvokeModel's bodies share.
#ifndef RINGWAY_PROVIDERS_INVOKE_PRIV_H
#define RINGWAY_PROVIDERS_INVOKE_PRIV_H

#include "providers/dialect_priv.h"

// Takes the member of this name out of the list; its value, absent if there is none.
struct span chat_invoke_take(struct chat_extra **list, struct span name);

// One event of the model's own, as a frame that holds it in base64.
void chat_invoke_chunk(struct chat_writer *w, struct span event);
// One that the Converse dialect wrote: {type: payload}.
void chat_nova_event(struct chat_writer *w, struct span type, struct span payload);

// Titan's.
enum rw_err chat_titan_request(struct chat_ctx *ctx, struct span body,
                               struct chat_request *ret) RW_WARN_UNUSED;
enum rw_err chat_titan_answer(struct chat_ctx *ctx, struct span body, struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_titan_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                    const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;

#endif
