// Dialects: how each API writes requests, answers and streams. A dialect is a table of pure functions between its bytes and the
// neutral model (chat.h); a client's and a provider's table together translate. Same-dialect traffic does not come here: it
// is passed byte for byte with edits.
//
// Request   struct chat_ctx ctx;
//           chat_ctx_init(&ctx, arena, mode);
//           struct chat_request rq;
//           struct json_out out;
//           client->decode_request(&ctx, body, &rq);          // rq.model, rq.stream: from the path where they stand there
//           json_out_init(&out, arena);
//           provider->encode_request(&ctx, &rq, &target, &out);
//           RW_E_BAD: answer 400 with ctx.problem; RW_OK: send out.iov; chat_losses_text(&ctx.losses) is the header.
//           The body is what was scanned (valid JSON, an object) and stays until the request was sent.
// Answer    dialect_answer(&ctx, provider, body, &answer);   // the ctx of the request
//           client->encode_answer(&ctx, &answer, &reply, &out);
//           RW_E_BAD from decoding: the provider's answer is no answer (502). RW_E_EOF: it has no finish reason.
// Stream    struct dialect_pipe p;
//           dialect_pipe_init(&p, provider, client, &ctx, scratch, &reply);
//           for each piece as it was received, cut anywhere:
//               json_out_init(&out, scratch);
//               r = dialect_pipe_feed(&p, piece, &out);       // 0, or p.error says what the provider said
//               send out.iov (it may be empty); then rewind scratch to where it was before
//           at the end of the body, unless p.done: r = dialect_pipe_end(&p, &out);    // RW_E_EOF: it broke off
//           Nothing is written before there is content: while !p.begun another target may be asked. After it,
//           dialect_pipe_fail() writes an error in the client's dialect; a broken stream is never ended as a whole one.
//           p.usage, p.content (something of the answer itself was seen: the first token), p.finished are for the meter.
// Errors    provider->decode_error() of a status >= 400 with its body; client->encode_error() returns the status to send.
// Arenas    ctx.arena keeps what lives as long as the exchange; scratch only what one feed makes, so it is rewound after
//           each send (to a mark from before the feed; two arenas, or one could not be rewound).
// Thread    any; read-only tables.
#ifndef RINGWAY_PROVIDERS_DIALECT_H
#define RINGWAY_PROVIDERS_DIALECT_H

#include "providers/chat.h"
#include "wire/json_out.h"
#include "wire/sse.h"

// Adding a dialect is a line here and its files. dialect_NAME is its table.
#define DIALECTS(X) \
    X(openai) \
    X(anthropic) \
    X(gemini) \
    X(mistral) \
    X(cohere) \
    X(responses) \
    X(converse)

// Dialects of one family pass each other's unknown fields.
enum dialect_family {
    DIALECT_OPENAI,
    DIALECT_ANTHROPIC,
    DIALECT_GEMINI,
    DIALECT_COHERE,
    DIALECT_RESPONSES,
    DIALECT_BEDROCK
};

enum dialect_framing { DIALECT_SSE, DIALECT_EVENTSTREAM };

// What is asked, and what is known of it.
struct dialect_target {
    struct span model; // the provider's name for it
    int64_t max_output; // tokens; 0: not known
    struct span
        body_version; // Anthropic's messages: said as anthropic_version, and the model is not said; n 0: the model is
    bool max_tokens_old; // knows max_tokens, not max_completion_tokens (servers with OpenAI's dialect)
};

// What the client's answer is made with.
struct dialect_reply {
    struct span id; // of the request: ids that a provider does not give are made of it
    struct span model; // to be named in the answer; p NULL: the provider's
    int64_t created_s; // now, of the wall clock
    bool usage_wanted; // in a stream (OpenAI: stream_options.include_usage)
    bool legacy_functions; // chat_request.legacy_functions
    bool json_array; // Gemini's stream without alt=sse: one JSON array
    const struct chat_request
        *request; // what was asked, for dialects whose answers repeat it; NULL: not known
};

struct chat_reader;
struct chat_writer;

struct dialect {
    const char *name; // "openai"
    enum dialect_family family;
    enum dialect_framing framing;
    bool model_in_path; // the body names neither the model nor whether to stream
    const char *content_type; // of a stream

    enum rw_err (*decode_request)(struct chat_ctx *ctx, struct span body, struct chat_request *ret);
    enum rw_err (*encode_request)(struct chat_ctx *ctx, const struct chat_request *rq,
                                  const struct dialect_target *target, struct json_out *out);
    enum rw_err (*decode_answer)(struct chat_ctx *ctx, struct span body, struct chat_answer *ret);
    enum rw_err (*encode_answer)(struct chat_ctx *ctx, const struct chat_answer *answer,
                                 const struct dialect_reply *reply, struct json_out *out);
    // One event of the provider's stream: its name, if it has one, and its payload.
    enum rw_err (*read)(struct chat_reader *r, struct span name, struct span data);
    // One event of the answer, framed.
    enum rw_err (*write)(struct chat_writer *w, const struct chat_event *e);

    void (*decode_error)(struct chat_ctx *ctx, uint16_t status, struct span body, struct chat_error *ret);
    uint16_t (*encode_error)(const struct chat_error *error, const struct dialect_reply *reply,
                             struct json_out *out);
    // What of a request must not pass even to a provider of this dialect: RW_E_BAD with a problem. NULL: everything may.
    enum rw_err (*check)(struct chat_ctx *ctx, struct span body);
};

#define X(name) extern const struct dialect dialect_##name;
DIALECTS(X)
#undef X

#define X(name) +1
enum { DIALECT_COUNT = 0 DIALECTS(X) };
#undef X
extern const struct dialect *const dialect_all[DIALECT_COUNT];

// Of clients of POST /v1/chat only: no provider speaks it, so it is none of dialect_all. OpenAI's chat with these defaults
// and its own errors.
extern const struct dialect dialect_native;
#define DIALECT_NATIVE_MAX_TOKENS 1024

// Of clients of Bedrock's InvokeModel only, likewise; every provider answers them by translation, so they encode no request.
extern const struct dialect dialect_invoke_claude, dialect_invoke_nova, dialect_invoke_titan;
// Whose body it is: by the vendor in the model's id, for other names by the body (a JSON object) itself.
const struct dialect *dialect_invoke(struct span model, struct span body);
// Does the id name one of Titan's text models?
bool dialect_is_titan(struct span model);

const struct dialect *dialect_find(struct span name); // NULL: none of that name

// What an error is called in the head of its answer, where the dialect's SDKs look for it; n 0: nothing is said there.
struct span dialect_error_type(const struct dialect *dialect, enum chat_error_kind kind);

// from->decode_answer(), with structured output that was asked for as a call turned back into text.
enum rw_err dialect_answer(struct chat_ctx *ctx, const struct dialect *from, struct span body,
                           struct chat_answer *ret) RW_WARN_UNUSED;

// --- A stream being decoded.

#define DIALECT_CHOICES_MAX 8
#define DIALECT_TOOLS_MAX 128

struct reader_tool; // dialect_priv.h

struct reader_choice {
    bool started, finished;
    bool has_refusal;
    uint32_t tool_count;
    struct reader_tool *tools; // in the arena of the context
    uint32_t tool_cap;
    // The first half of a surrogate pair that an event's text ended with; the other comes with the next one.
    uint32_t half, half_of;
};

struct chat_reader {
    const struct dialect *dialect;
    struct chat_ctx *ctx; // what lives as long as the stream
    struct chat_ctx temp; // on the scratch arena: what lives as long as an event
    enum rw_err (*push)(void *arg, const struct chat_event *e);
    void *arg;
    bool started; // CHAT_EV_START was pushed
    bool done; // CHAT_EV_DONE was
    bool failed; // CHAT_EV_ERROR was
    struct chat_usage usage;
    struct reader_choice choice[DIALECT_CHOICES_MAX];
    uint32_t choices; // of them in use
    // The open block of dialects that have blocks.
    enum chat_part_kind block;
    bool block_open;
    uint32_t block_tool;
    enum chat_finish finish; // said, not yet pushed
    struct span stop_sequence; // likewise
    bool exception; // what is read is no event: its name is the type of an error
    struct span model, id; // of the answer
    // Framing: what was received of an event that is not whole.
    struct sse sse;
    uint8_t *carry;
    uint32_t carry_n, carry_cap;
    uint32_t skipped; // events that were no JSON
};

void chat_reader_init(struct chat_reader *r, const struct dialect *dialect, struct chat_ctx *ctx,
                      struct arena *scratch, enum rw_err (*push)(void *arg, const struct chat_event *e),
                      void *arg);
// Any piece of the stream; pushes what is whole. After CHAT_EV_DONE or _ERROR the rest is ignored.
enum rw_err chat_reader_feed(struct chat_reader *r, struct span piece) RW_WARN_UNUSED;
// The body has ended. RW_OK: CHAT_EV_DONE was pushed, now or before, or CHAT_EV_ERROR. RW_E_EOF: it broke off.
enum rw_err chat_reader_end(struct chat_reader *r) RW_WARN_UNUSED;

// --- A stream being encoded.

struct writer_block; // dialect_priv.h
struct responses_item; // responses_priv.h

struct chat_writer {
    const struct dialect *dialect;
    struct chat_ctx *ctx;
    struct arena *scratch;
    const struct dialect_reply *reply;
    struct json_out *out; // of this feed
    struct span id, model;
    int64_t created_s;
    struct chat_usage usage;
    bool started;
    bool calls; // there were tool calls
    enum chat_finish finish;
    struct span stop_sequence, explanation;
    struct writer_block *head, *tail; // blocks in order; the head is being written
    uint32_t blocks; // closed before the head
    bool head_open;
    uint64_t begun; // choices whose first chunk was sent, one bit each
    uint32_t blocks_begun; // elements of a JSON array, contents of Cohere's that were written
    uint32_t citations; // written, where they are counted
    uint64_t sequence; // events of the responses dialect, and its items: the first and the last
    struct responses_item *items, *item;
    bool broken; // a call's arguments are no object where one must be sent
};

void chat_writer_init(struct chat_writer *w, const struct dialect *dialect, struct chat_ctx *ctx,
                      struct arena *scratch, const struct dialect_reply *reply);

// --- From a provider's stream to a client's.

struct dialect_pipe {
    struct chat_reader reader;
    struct chat_writer writer;
    bool begun; // something was written
    bool content; // text, a call or a thought was seen
    bool finished; // a finish reason was seen
    bool done; // the answer is whole and was ended
    bool failed; // the provider reported an error: `error`
    struct chat_error error;
    struct chat_usage usage;
    struct chat_event start; // held back until there is content
    uint32_t json_call; // the call that stands for structured output + 1
};

void dialect_pipe_init(struct dialect_pipe *p, const struct dialect *from, const struct dialect *to,
                       struct chat_ctx *ctx, struct arena *scratch, const struct dialect_reply *reply);
enum rw_err dialect_pipe_feed(struct dialect_pipe *p, struct span piece, struct json_out *out) RW_WARN_UNUSED;
enum rw_err dialect_pipe_end(struct dialect_pipe *p, struct json_out *out) RW_WARN_UNUSED;
// Writes an error event of the client's dialect. Nothing may be written after it.
enum rw_err dialect_pipe_fail(struct dialect_pipe *p, const struct chat_error *error,
                              struct json_out *out) RW_WARN_UNUSED;

#endif
