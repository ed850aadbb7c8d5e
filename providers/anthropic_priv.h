// What the files of Anthropic's dialect share.
#ifndef RINGWAY_PROVIDERS_ANTHROPIC_PRIV_H
#define RINGWAY_PROVIDERS_ANTHROPIC_PRIV_H

#include "providers/dialect_priv.h"

enum rw_err chat_anthropic_request(struct chat_ctx *ctx, struct span body,
                                   struct chat_request *ret) RW_WARN_UNUSED;
// content of a message or of a result: a string or blocks.
enum rw_err chat_anthropic_content(struct chat_ctx *ctx, struct span content, uint32_t index,
                                   struct chat_part ***tail) RW_WARN_UNUSED;
// One citation of a text block.
struct chat_citation *chat_anthropic_citation(struct chat_ctx *ctx, struct span value);

enum rw_err chat_anthropic_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target,
                                         struct json_out *o) RW_WARN_UNUSED;

// Counts that are not in `usage` are taken from *known (NULL: none).
enum rw_err chat_anthropic_usage(struct chat_ctx *ctx, struct span usage, const struct chat_usage *known,
                                 struct chat_usage *ret) RW_WARN_UNUSED;
void chat_anthropic_usage_write(const struct chat_usage *usage, bool own, struct json_out *o);
enum chat_finish chat_anthropic_finish(struct span word);
struct span chat_anthropic_finish_word(enum chat_finish finish);
// An id that the dialect takes: other characters become '_'.
struct span chat_anthropic_id(struct chat_ctx *ctx, struct span id);
enum rw_err chat_anthropic_answer(struct chat_ctx *ctx, struct span body,
                                  struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_anthropic_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                        const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;
void chat_anthropic_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
void chat_anthropic_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret);
uint16_t chat_anthropic_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                    struct json_out *o);

enum rw_err chat_anthropic_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_anthropic_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;

#endif
