// What the files of OpenAI's responses dialect share. Errors have the form of its chat dialect.
#ifndef RINGWAY_PROVIDERS_RESPONSES_PRIV_H
#define RINGWAY_PROVIDERS_RESPONSES_PRIV_H

#include "providers/dialect_priv.h"

// An item of an answer's output. In a stream they are kept to the end: the last event repeats all of them.
struct responses_item {
    struct responses_item *next;
    enum chat_part_kind kind; // CHAT_TEXT, CHAT_REFUSAL, CHAT_THINKING, CHAT_TOOL_CALL
    struct span id;
    struct span call_id, name; // of a call
    struct span signature; // of thinking
    uint8_t *text;
    uint32_t n, cap;
    const struct chat_citation *citations;
    const struct chat_logprob *logprobs;
};

// What an answer says of itself, whole or in an event.
struct responses_head {
    struct span id, model;
    struct span status; // "in_progress", "completed", "incomplete", "failed"
    struct span reason; // of an incomplete one
    int64_t created_s;
    const struct chat_error *error;
    const struct chat_usage *usage; // NULL: not known yet
    const struct chat_request *request; // is repeated; NULL: not known
};

// Proofs of other providers' thinking travel as encrypted_content behind this; OpenAI's own are not understood by them.
#define RESPONSES_PROOF SPAN("rw1.")

enum rw_err chat_responses_request(struct chat_ctx *ctx, struct span body,
                                   struct chat_request *ret) RW_WARN_UNUSED;
// What must not pass even to OpenAI: things that are kept there under the gateway's name, whoever made them.
enum rw_err chat_responses_check(struct chat_ctx *ctx, struct span body) RW_WARN_UNUSED;
struct span chat_responses_proof(struct chat_ctx *ctx, struct span encrypted_content);

enum rw_err chat_responses_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                         const struct dialect_target *target,
                                         struct json_out *o) RW_WARN_UNUSED;
void chat_responses_tool_write(const struct chat_tool *t, struct json_out *o);
void chat_responses_choice_write(const struct chat_tool_choice *c, struct json_out *o);
void chat_responses_format_write(const struct chat_format *f, struct json_out *o);

enum rw_err chat_responses_usage(struct chat_ctx *ctx, struct span usage,
                                 struct chat_usage *ret) RW_WARN_UNUSED;
// completed, or the reason of what is incomplete.
enum chat_finish chat_responses_finish(struct chat_ctx *ctx, struct span status, struct span details);
// Up to the elements of output, and what stands behind them.
void chat_responses_open(const struct responses_head *head, struct json_out *o);
void chat_responses_close(const struct responses_head *head, struct json_out *o);
void chat_responses_item_write(const struct responses_item *item, bool begun, struct json_out *o);
void chat_responses_part_write(const struct responses_item *item, bool begun, struct json_out *o);
void chat_responses_annotation_write(const struct chat_citation *c, struct json_out *o);
void chat_responses_logprobs_write(const struct chat_logprob *list, struct json_out *o);
struct chat_citation *chat_responses_annotation(struct chat_ctx *ctx, struct span value);
// The head of what ended so.
void chat_responses_ended(struct responses_head *head, enum chat_finish finish);
enum rw_err chat_responses_answer(struct chat_ctx *ctx, struct span body,
                                  struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_responses_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                        const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;

enum rw_err chat_responses_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_responses_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;

#endif
