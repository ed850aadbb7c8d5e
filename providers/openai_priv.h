// What the files of OpenAI's dialect share. Servers that speak it with differences (Mistral) use them with a flavour.
#ifndef RINGWAY_PROVIDERS_OPENAI_PRIV_H
#define RINGWAY_PROVIDERS_OPENAI_PRIV_H

#include "providers/dialect_priv.h"

// A message of the assistant: of a request's history, of an answer, or the delta of a stream that gives whole calls.
struct openai_said {
    struct chat_part *parts; // thoughts, text, refusal, calls
    struct chat_extra *extra;
};

enum rw_err chat_openai_request(struct chat_ctx *ctx, struct span body,
                                struct chat_request *ret) RW_WARN_UNUSED;
// content of any message: a string or parts.
enum rw_err chat_openai_content(struct chat_ctx *ctx, struct span content, uint32_t index,
                                struct chat_part ***tail) RW_WARN_UNUSED;
enum rw_err chat_openai_thoughts(struct chat_ctx *ctx, struct span text, struct span blocks,
                                 struct chat_part ***tail) RW_WARN_UNUSED;
enum rw_err chat_openai_calls(struct chat_ctx *ctx, struct span calls, uint32_t index,
                              struct chat_part ***tail) RW_WARN_UNUSED;

enum rw_err chat_openai_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o) RW_WARN_UNUSED;
// The same for Mistral, whose words differ a little: a request that was made fit.
enum rw_err chat_openai_request_write_as(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target, bool mistral,
                                         struct json_out *o) RW_WARN_UNUSED;
// One entry of tool_calls, its object left open.
void chat_openai_call_write(struct chat_ctx *ctx, const struct chat_part *call, struct json_out *o);

enum rw_err chat_openai_answer(struct chat_ctx *ctx, struct span body,
                               struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_openai_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                     const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;
enum rw_err chat_openai_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret) RW_WARN_UNUSED;
void chat_openai_usage_write(const struct chat_usage *usage, struct json_out *o);
enum rw_err chat_openai_logprobs(struct chat_ctx *ctx, struct span list,
                                 struct chat_logprob **ret) RW_WARN_UNUSED;
// The value of "logprobs": null or an object.
void chat_openai_logprobs_write(const struct chat_logprob *content, const struct chat_logprob *refusal,
                                struct json_out *o);
enum chat_finish chat_openai_finish(struct span word);
struct span chat_openai_finish_word(enum chat_finish finish, bool legacy);
void chat_openai_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
// The object that is the value of "error".
void chat_openai_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret);
uint16_t chat_openai_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o);

enum rw_err chat_openai_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_openai_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;
// A chunk with one call that is complete.
void chat_openai_call_whole(struct chat_writer *w, const struct writer_block *call, struct span arguments);

#endif
