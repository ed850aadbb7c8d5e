// What the files of Bedrock's Converse dialect share.
#ifndef RINGWAY_PROVIDERS_CONVERSE_PRIV_H
#define RINGWAY_PROVIDERS_CONVERSE_PRIV_H

#include "providers/dialect_priv.h"

enum rw_err chat_converse_request(struct chat_ctx *ctx, struct span body,
                                  struct chat_request *ret) RW_WARN_UNUSED;
// The blocks of a message, a result or an answer. Each part has its block as `raw`, for its own dialect.
enum rw_err chat_converse_blocks(struct chat_ctx *ctx, struct span list, uint32_t index,
                                 struct chat_part ***tail) RW_WARN_UNUSED;
enum rw_err chat_converse_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                        const struct dialect_target *target,
                                        struct json_out *o) RW_WARN_UNUSED;

enum rw_err chat_converse_usage(struct chat_ctx *ctx, struct span usage,
                                struct chat_usage *ret) RW_WARN_UNUSED;
void chat_converse_usage_write(const struct chat_usage *usage, struct json_out *o);
// The same by the names that Nova's own bodies have for what was cached.
void chat_nova_usage_write(const struct chat_usage *usage, struct json_out *o);
enum chat_finish chat_converse_finish(struct span word);
struct span chat_converse_finish_word(enum chat_finish finish);
enum rw_err chat_converse_answer(struct chat_ctx *ctx, struct span body,
                                 struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_converse_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                       const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;
// The member "output" of an answer.
enum rw_err chat_converse_output_write(const struct chat_answer *a, struct json_out *o) RW_WARN_UNUSED;
// "throttlingException" or "ThrottlingException".
enum chat_error_kind chat_converse_error_kind(struct span type, enum chat_error_kind otherwise);
void chat_converse_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
uint16_t chat_converse_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                   struct json_out *o);

enum rw_err chat_converse_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_converse_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;

#endif
