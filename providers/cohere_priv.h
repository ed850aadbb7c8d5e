// What the files of Cohere's dialect (v2) share.
#ifndef RINGWAY_PROVIDERS_COHERE_PRIV_H
#define RINGWAY_PROVIDERS_COHERE_PRIV_H

#include "providers/dialect_priv.h"

// The name of a text part that stood in tool_plan, and of a document that stood beside the messages.
#define COHERE_PLAN SPAN("tool_plan")
#define COHERE_BESIDE SPAN("documents")

enum rw_err chat_cohere_request(struct chat_ctx *ctx, struct span body,
                                struct chat_request *ret) RW_WARN_UNUSED;
// What an assistant said, in a request's history or in an answer: v as in COHERE_SAID_KEYS.
#define COHERE_SAID_KEYS(X) \
    X(CS_ROLE, "role") \
    X(CS_CONTENT, "content") \
    X(CS_PLAN, "tool_plan") \
    X(CS_CALLS, "tool_calls") \
    X(CS_CALL_ID, "tool_call_id") \
    X(CS_CITATIONS, "citations")
enum { COHERE_SAID_KEYS(CHAT_KEY_ENUM) CS_COUNT };
extern const struct span chat_cohere_said_keys[CS_COUNT];
enum rw_err chat_cohere_said(struct chat_ctx *ctx, const struct span *v, uint32_t index,
                             struct chat_part ***tail) RW_WARN_UNUSED;
struct chat_citation *chat_cohere_citation(struct chat_ctx *ctx, struct span value);
// The members of a message of the assistant behind its role.
enum rw_err chat_cohere_said_write(struct chat_ctx *ctx, const struct chat_part *parts, bool own, bool answer,
                                   struct json_out *o) RW_WARN_UNUSED;

enum rw_err chat_cohere_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o) RW_WARN_UNUSED;

enum rw_err chat_cohere_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret) RW_WARN_UNUSED;
void chat_cohere_usage_write(const struct chat_usage *usage, bool own, struct json_out *o);
enum chat_finish chat_cohere_finish(struct span word);
// "ERROR" for what was filtered: the dialect has no word for an answer that was stopped, and it is not complete.
struct span chat_cohere_finish_word(enum chat_finish finish);
// One entry of logprobs, which may cover several tokens; *next is where the next one is linked.
enum rw_err chat_cohere_logprob(struct chat_ctx *ctx, struct span value,
                                struct chat_logprob ***next) RW_WARN_UNUSED;
void chat_cohere_logprob_write(const struct chat_logprob *l, struct json_out *o);
enum rw_err chat_cohere_answer(struct chat_ctx *ctx, struct span body,
                               struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_cohere_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                     const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;
void chat_cohere_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
uint16_t chat_cohere_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o);

enum rw_err chat_cohere_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_cohere_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;

#endif
