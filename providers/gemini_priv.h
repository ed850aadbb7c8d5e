// What the files of Gemini's dialect share.
#ifndef RINGWAY_PROVIDERS_GEMINI_PRIV_H
#define RINGWAY_PROVIDERS_GEMINI_PRIV_H

#include "providers/dialect_priv.h"

#define GEMINI_PART_KEYS(X) \
    X(GP_TEXT, "text") \
    X(GP_THOUGHT, "thought") \
    X(GP_SIGNATURE, "thoughtSignature") \
    X(GP_INLINE, "inlineData") \
    X(GP_FILE, "fileData") \
    X(GP_CALL, "functionCall") \
    X(GP_RESPONSE, "functionResponse")
enum { GEMINI_PART_KEYS(CHAT_KEY_ENUM) GP_COUNT };

// The calls of the model's last content: what gives no ids is matched by name and order.
struct gemini_calls {
    struct chat_part *open[DIALECT_TOOLS_MAX];
    uint32_t n;
    uint32_t made; // ids made so far
    struct span seed; // of the answer's own id, so that ids of two answers differ
};

// The parts of a content. Calls are put into *calls, responses take their ids out of it.
enum rw_err chat_gemini_parts(struct chat_ctx *ctx, struct span parts, uint32_t index,
                              struct gemini_calls *calls, struct chat_part ***tail) RW_WARN_UNUSED;
enum rw_err chat_gemini_part_members(struct chat_ctx *ctx, struct span part, struct span *values,
                                     struct chat_extra **extra) RW_WARN_UNUSED;
enum rw_err chat_gemini_request(struct chat_ctx *ctx, struct span body,
                                struct chat_request *ret) RW_WARN_UNUSED;
enum rw_err chat_gemini_request_write(struct chat_ctx *ctx, const struct chat_request *rq,
                                      const struct dialect_target *target, struct json_out *o) RW_WARN_UNUSED;

enum rw_err chat_gemini_usage(struct chat_ctx *ctx, struct span usage, struct chat_usage *ret) RW_WARN_UNUSED;
void chat_gemini_usage_write(const struct chat_usage *usage, bool own, struct json_out *o);
enum chat_finish chat_gemini_finish(struct span word);
struct span chat_gemini_finish_word(enum chat_finish finish);
enum rw_err chat_gemini_logprobs(struct chat_ctx *ctx, struct span result,
                                 struct chat_logprob **ret) RW_WARN_UNUSED;
enum rw_err chat_gemini_answer(struct chat_ctx *ctx, struct span body,
                               struct chat_answer *ret) RW_WARN_UNUSED;
enum rw_err chat_gemini_answer_write(struct chat_ctx *ctx, const struct chat_answer *answer,
                                     const struct dialect_reply *reply, struct json_out *o) RW_WARN_UNUSED;
void chat_gemini_error_take(struct chat_ctx *ctx, struct span error, struct chat_error *ret);
void chat_gemini_error(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
uint16_t chat_gemini_error_write(const struct chat_error *error, const struct dialect_reply *reply,
                                 struct json_out *o);

enum rw_err chat_gemini_read(struct chat_reader *r, struct span name, struct span data) RW_WARN_UNUSED;
enum rw_err chat_gemini_write(struct chat_writer *w, const struct chat_event *e) RW_WARN_UNUSED;

#endif
