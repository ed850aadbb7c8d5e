// The neutral chat model: what a request, an answer or an event of a stream means, whatever dialect it was written in. A codec
// (dialect.h) decodes its dialect into these structs and encodes them into its dialect; any two codecs together translate.
//
// Lossless  What a dialect can say has a word here, or is kept as raw JSON beside it (`extra`, CHAT_RAW) with the dialect it
//           came from: the same dialect writes it again, another one drops it by name or refuses.
// Losses    chat_drop() notes the name of a field that the target cannot say (x-ringway-dropped); under CHAT_STRICT it refuses
//           instead. chat_refuse() ends the translation: RW_E_BAD, and ctx->problem names the field.
// Text      is UTF-8 without escapes: in place in the input where there were none, else in the arena. A span with p == NULL is
//           absent, with n == 0 and p != NULL it is there and empty. `raw` and numbers are JSON as it was written, so that
//           no seed or id goes through a double and the order of keys stays.
// Owner     everything lies in the arena of the context or in the input; both are kept until the output was sent.
// Thread    any. Never suspends, no I/O, no clock: time and ids are given.
// Errors    RW_E_BAD: see ctx->problem. RW_E_TOO_LARGE: the arena refused.
#ifndef RINGWAY_PROVIDERS_CHAT_H
#define RINGWAY_PROVIDERS_CHAT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

struct dialect;

// --- The context of one translation: memory, strictness, losses, and why it failed.

// What is done with what the target cannot say.
enum chat_mode {
    CHAT_NORMAL, // drop what only tunes; refuse what the client's code relies on
    CHAT_STRICT, // refuse both
    CHAT_LENIENT, // drop also what may be dropped at the caller's risk
};

#define CHAT_LOSSES_MAX 32

// Names of request fields, each once, in the order in which they were met.
struct chat_losses {
    struct span name[CHAT_LOSSES_MAX];
    uint32_t n;
    bool more; // there were more of them
};

// Why a request cannot be translated, for an error of the client's dialect.
struct chat_problem {
    struct span param; // "messages[2].content", "n"; p NULL: none
    struct span text; // for people
    bool unsupported; // valid, but not with this target: code unsupported_parameter
};

struct chat_ctx {
    struct arena *arena;
    enum chat_mode mode;
    struct chat_losses losses;
    struct chat_problem problem;
    uint8_t nesting; // of parts in parts, while they are read
    bool json_tool; // structured output was asked for as a call of the tool CHAT_JSON_TOOL
};

// Parts in results in parts: more than any dialect has, and little stack.
#define CHAT_NESTING_MAX 4

#define CHAT_JSON_TOOL SPAN("json_tool_call")

void chat_ctx_init(struct chat_ctx *ctx, struct arena *arena, enum chat_mode mode);

// Zeroed memory, or NULL.
void *chat_alloc(struct chat_ctx *ctx, uint32_t bytes);

// A field that the target has no word for. RW_OK, or RW_E_BAD under CHAT_STRICT.
enum rw_err chat_drop(struct chat_ctx *ctx, struct span name) RW_WARN_UNUSED;
// A field that the client relies on: RW_E_BAD, but a drop under CHAT_LENIENT.
enum rw_err chat_refuse_soft(struct chat_ctx *ctx, struct span name, struct span text) RW_WARN_UNUSED;
// Always RW_E_BAD. `text` is a whole sentence.
enum rw_err chat_refuse(struct chat_ctx *ctx, struct span name, struct span text) RW_WARN_UNUSED;
// What the client wrote is wrong for any target. param: `format` with % replaced by a number each.
enum rw_err chat_bad(struct chat_ctx *ctx, struct span text, const char *format, uint32_t a, uint32_t b,
                     uint32_t c) RW_WARN_UNUSED;

// The losses as the value of a header: "seed, logit_bias". Cut between two names.
uint32_t chat_losses_text(const struct chat_losses *losses, char *out, uint32_t cap);

// --- Pieces that several things share.

// A member that has no word here: name without escapes, value as JSON.
struct chat_extra {
    struct chat_extra *next;
    struct span name;
    struct span value;
};

enum chat_tri { CHAT_UNSAID, CHAT_NO, CHAT_YES };

// Where the bytes of an image, a sound or a document are.
enum chat_source {
    CHAT_DATA, // base64, in `data`
    CHAT_URL, // in `data`
    CHAT_FILE_ID, // at the provider; in `data`
    CHAT_PLAIN, // text, in `data`
    CHAT_BLOCKS, // further parts, in chat_part.content
};

struct chat_media {
    enum chat_source source;
    struct span type; // "image/png"; n 0: not said
    struct span data;
    struct span name; // file name or title
    struct span context; // words about the document
    struct span detail; // low, high, auto
};

enum chat_citation_kind {
    CHAT_CITE_WEB, // url, title
    CHAT_CITE_DOCUMENT, // document, title, and where in it
    CHAT_CITE_OTHER, // raw only
};

struct chat_citation {
    struct chat_citation *next;
    enum chat_citation_kind kind;
    struct span url, title, text; // text: what was cited
    int64_t start, end; // characters of the answer's text that it belongs to; -1: not known
    const struct dialect *dialect; // of raw
    struct span raw; // as the dialect wrote it
};

enum chat_part_kind {
    CHAT_TEXT, // text, citations
    CHAT_IMAGE, // media
    CHAT_AUDIO, // media; media.type "audio/wav"
    CHAT_VIDEO, // media
    CHAT_DOCUMENT, // media
    CHAT_TOOL_CALL, // id, name, arguments, signature
    CHAT_TOOL_RESULT, // id, name, content, failed
    CHAT_THINKING, // text, signature
    CHAT_REDACTED, // signature: thinking that only its provider can read
    CHAT_REFUSAL, // text
    CHAT_RAW, // raw, name (its type): what only its own dialect understands
};

struct chat_part {
    struct chat_part *next;
    enum chat_part_kind kind;
    bool failed; // a tool result that is an error
    bool id_made; // the dialect gave none
    bool cache; // the prompt up to here may be cached
    enum chat_tri cited; // citations are wanted of this document
    struct span cache_ttl; // "5m", "1h"; absent: the provider's default
    struct span text;
    struct span id;
    struct span name;
    struct span arguments; // JSON text as the model wrote it: may be empty, may be no JSON
    struct span signature; // proof of the provider's that must come back unchanged
    struct chat_media media;
    struct chat_part *content; // of a tool result or a document
    struct chat_citation *citations;
    struct span raw;
    struct chat_extra *extra;
};

// --- The request.

enum chat_role {
    CHAT_SYSTEM,
    CHAT_DEVELOPER,
    CHAT_USER,
    CHAT_ASSISTANT,
    CHAT_TOOL, // one or more tool results and nothing else
};

struct chat_message {
    struct chat_message *next;
    enum chat_role role;
    uint32_t index; // in the client's list, for errors; of a system text beside the list UINT32_MAX
    struct span name;
    struct chat_part *parts;
    struct chat_extra *extra;
};

enum chat_tool_kind {
    CHAT_FUNCTION,
    CHAT_HOSTED, // the provider runs it: raw, name (its type)
    CHAT_CUSTOM, // free text instead of JSON: raw, name
};

struct chat_tool {
    struct chat_tool *next;
    enum chat_tool_kind kind;
    struct span name;
    struct span description;
    struct span schema; // JSON Schema of the arguments; absent: none
    enum chat_tri strict;
    bool cache;
    struct span cache_ttl;
    struct span raw; // as its dialect wrote it; absent if that is what the other members say
    struct chat_extra *extra;
};

struct chat_name {
    struct chat_name *next;
    struct span name;
};

enum chat_choice_kind {
    CHAT_CHOICE_UNSAID,
    CHAT_CHOICE_AUTO,
    CHAT_CHOICE_NONE,
    CHAT_CHOICE_REQUIRED,
    CHAT_CHOICE_NAMED, // name
    CHAT_CHOICE_ALLOWED, // allowed; allowed_required
    CHAT_CHOICE_RAW, // raw: only its own dialect understands it
};

struct chat_tool_choice {
    enum chat_choice_kind kind;
    struct span name;
    struct chat_name *allowed;
    bool allowed_required;
    struct span raw;
};

enum chat_format_kind { CHAT_FORMAT_UNSAID, CHAT_FORMAT_TEXT, CHAT_FORMAT_JSON, CHAT_FORMAT_SCHEMA };

struct chat_format {
    enum chat_format_kind kind;
    struct span name, description;
    struct span schema; // JSON
    enum chat_tri strict;
    struct span raw; // the schema as its dialect wrote it, if that is no JSON Schema
};

// How hard to think. Dialects speak of an effort or of a budget in tokens; whichever was said is here.
enum chat_effort {
    CHAT_EFFORT_UNSAID,
    CHAT_EFFORT_NONE,
    CHAT_EFFORT_MINIMAL,
    CHAT_EFFORT_LOW,
    CHAT_EFFORT_MEDIUM,
    CHAT_EFFORT_HIGH,
    CHAT_EFFORT_XHIGH,
    CHAT_EFFORT_MAX,
    CHAT_EFFORT_COUNT,
};

enum chat_thinking_mode {
    CHAT_THINK_UNSAID,
    CHAT_THINK_OFF,
    CHAT_THINK_BUDGET, // budget
    CHAT_THINK_ADAPTIVE, // as much as it takes
    CHAT_THINK_BETWEEN_TOOLS,
};

struct chat_thinking {
    enum chat_thinking_mode mode;
    enum chat_effort effort;
    int64_t budget; // tokens; -1: the model decides
    enum chat_tri show; // thoughts are wanted in the answer
    struct span display; // "summarized", "omitted"
};

struct chat_request {
    const struct dialect *dialect; // in which it was asked
    struct span model;
    bool stream;
    bool usage_wanted; // in the stream
    bool legacy_functions; // functions/function_call: the answer's calls take that form
    struct chat_message *messages; // in order, system messages in their place
    struct chat_tool *tools;
    struct chat_tool_choice tool_choice;
    enum chat_tri parallel_tools;
    struct chat_format format;
    struct chat_thinking thinking;
    // Numbers as they were written; absent if null or not there.
    struct span max_tokens;
    struct span temperature, top_p, top_k;
    struct span seed, n;
    struct span presence_penalty, frequency_penalty;
    struct span top_logprobs;
    bool logprobs;
    struct chat_name *stop;
    struct span user; // who it is asked for, for the provider's abuse checks
    struct span service_tier;
    bool cache; // the whole prompt may be cached
    struct span cache_ttl;
    struct chat_extra
        *config_extra; // unknown members of Gemini's generationConfig, Bedrock's inferenceConfig
    struct span model_fields; // what Bedrock's clients say to the model itself: JSON, as it came
    struct chat_extra *extra; // everything else
};

// --- The answer.

enum chat_finish {
    CHAT_FINISH_NONE, // none was given: the answer is not complete
    CHAT_FINISH_STOP,
    CHAT_FINISH_STOP_SEQUENCE,
    CHAT_FINISH_LENGTH,
    CHAT_FINISH_CONTEXT, // the model's window is full
    CHAT_FINISH_TOOLS,
    CHAT_FINISH_FILTER,
    CHAT_FINISH_REFUSAL,
    CHAT_FINISH_PAUSE, // a hosted tool's loop stopped: send the answer back to go on
    CHAT_FINISH_MALFORMED, // the model's output was no use: an error, not a finish
};

// Tokens; -1: not said. input includes what was cached, output includes the thinking.
struct chat_usage {
    int64_t input, output;
    int64_t cached; // read from the provider's cache
    int64_t cache_write; // written to it
    int64_t cache_write_1h; // of these for an hour
    int64_t reasoning;
    int64_t audio_input, audio_output;
    int64_t prediction_used, prediction_wasted;
    struct span service_tier;
    struct chat_extra *extra;
};

struct chat_logprob {
    struct chat_logprob *next;
    struct span token;
    struct span logprob; // number
    struct span token_id; // number; absent: not given
    struct span bytes; // JSON array; absent: not given
    struct chat_logprob *top;
};

struct chat_choice {
    struct chat_choice *next;
    uint32_t index;
    struct chat_part *parts;
    enum chat_finish finish;
    struct span finish_raw; // the provider's word
    struct span stop_sequence;
    struct span explanation; // of a refusal
    struct chat_logprob *logprobs;
    struct chat_logprob *refusal_logprobs;
    struct chat_extra *extra;
    struct chat_extra *message_extra;
};

struct chat_answer {
    const struct dialect *dialect;
    struct span id;
    struct span model; // the provider's name for it
    int64_t created_s; // -1: not said
    struct chat_choice *choices;
    struct chat_usage usage;
    struct chat_extra *extra;
};

// --- Errors.

#define CHAT_ERRORS(X) \
    X(CHAT_E_BAD_REQUEST) \
    X(CHAT_E_KEY) /* the client's key */ \
    X(CHAT_E_NOT_ALLOWED) \
    X(CHAT_E_NOT_FOUND) \
    X(CHAT_E_TOO_LARGE) \
    X(CHAT_E_CONTEXT) /* longer than the model's window */ \
    X(CHAT_E_CONTENT) /* content policy */ \
    X(CHAT_E_RATE) \
    X(CHAT_E_QUOTA) /* the gateway's account at the provider is used up */ \
    X(CHAT_E_MONEY) /* the caller's budget is used up */ \
    X(CHAT_E_OVERLOADED) \
    X(CHAT_E_TIMEOUT) \
    X(CHAT_E_UPSTREAM_AUTH) /* the provider refuses the gateway's credentials */ \
    X(CHAT_E_SERVER)

enum chat_error_kind {
#define X(symbol) symbol,
    CHAT_ERRORS(X)
#undef X
        CHAT_E_COUNT
};

struct chat_error {
    enum chat_error_kind kind;
    uint16_t status; // of the provider's answer; 0: it came in a stream
    struct span message;
    struct span code; // the provider's word: "context_length_exceeded", "ThrottlingException"
    struct span param; // field at fault
    int64_t retry_after_ms; // -1: not said
};

// --- Events of a streamed answer.

enum chat_event_kind {
    CHAT_EV_START, // the answer began: id, model, created_s, usage as far as it is known
    CHAT_EV_TEXT, // text
    CHAT_EV_THINKING, // text
    CHAT_EV_SIGNATURE, // text: the proof of the thinking before it
    CHAT_EV_TOOL_SIGNATURE, // tool, text: the proof that a call must come back with
    CHAT_EV_REDACTED, // text
    CHAT_EV_REFUSAL, // text
    CHAT_EV_CITATION, // citation
    CHAT_EV_LOGPROBS, // logprobs, refusal_logprobs
    CHAT_EV_TOOL_START, // tool, id, name
    CHAT_EV_TOOL_ARGS, // tool, text: a fragment, cut anywhere
    CHAT_EV_TOOL_END, // tool: its arguments are whole
    CHAT_EV_RAW, // raw: a block of its own dialect, whole
    CHAT_EV_FINISH, // finish, stop_sequence, explanation: once per choice
    CHAT_EV_USAGE, // usage, cumulative: the last one counts
    CHAT_EV_DONE, // the answer is whole
    CHAT_EV_ERROR, // error: nothing follows
};

// Lives until the function that was handed it returns.
struct chat_event {
    enum chat_event_kind kind;
    uint32_t choice;
    uint32_t tool; // tool calls of a choice are counted from 0
    struct span text;
    struct span id, name, model;
    int64_t created_s;
    enum chat_finish finish;
    struct span finish_raw, stop_sequence, explanation;
    const struct chat_usage *usage;
    const struct chat_citation *citation;
    const struct chat_logprob *logprobs, *refusal_logprobs;
    const struct chat_error *error;
    struct span raw;
};

void chat_usage_init(struct chat_usage *usage); // all -1
// What `from` says takes the place of what was said before; nothing is added.
void chat_usage_take(struct chat_usage *usage, const struct chat_usage *from);

// A stable word for logs and tests: "text", "tool_start", ...
const char *chat_event_name(enum chat_event_kind kind);
const char *chat_error_name(enum chat_error_kind kind);
const char *chat_finish_name(enum chat_finish finish);

#endif
