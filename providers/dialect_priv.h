// What the codecs share: reading members by a table of names, texts, media, turns that alternate, the blocks of a stream, and
// the table of errors. Everything here is for files of providers/ only.
#ifndef RINGWAY_PROVIDERS_DIALECT_PRIV_H
#define RINGWAY_PROVIDERS_DIALECT_PRIV_H

#include "base/fmt.h"
#include "providers/dialect.h"
#include "wire/json.h"
#include "wire/utf8.h"

// --- Tables of names: #define KEYS(X) X(K_MODEL, "model") ..., an enum of indices and the spans of one list.

#define CHAT_KEY_ENUM(symbol, name) symbol,
#define CHAT_KEY_SPAN(symbol, name) SPAN_INIT(name),

static inline bool chat_has(struct span s)
{
    return s.p != NULL;
}

// The values of the members named keys[0 .. n) in values[]; absent ones and nulls have p == NULL. Members without a place go to
// *extra (NULL: they are ignored), nulls do not. A member given twice is RW_E_BAD. object need not be one: then all are absent.
enum rw_err chat_members(struct chat_ctx *ctx, struct span object, const struct span *keys, uint32_t n,
                         struct span *values, struct chat_extra **extra) RW_WARN_UNUSED;

// The same with names in lowerCamelCase or snake_case, as Google's JSON has them.
enum rw_err chat_members_google(struct chat_ctx *ctx, struct span object, const struct span *keys, uint32_t n,
                                struct span *values, struct chat_extra **extra) RW_WARN_UNUSED;

// The text of a JSON string; absent if value is; RW_E_BAD (without a problem) if it is another type.
enum rw_err chat_text(struct chat_ctx *ctx, struct span value, struct span *ret) RW_WARN_UNUSED;
// The same for values that nobody relies on: absent if it is no string.
struct span chat_text_or_none(struct chat_ctx *ctx, struct span value);
int64_t chat_count(struct span value); // a number of tokens; -1 if it is none
bool chat_true(struct span value);
enum chat_tri chat_tri_of(struct span value);
struct span chat_extra_find(const struct chat_extra *extra, struct span name);

struct chat_part *chat_part_new(struct chat_ctx *ctx, enum chat_part_kind kind);
// Behind the last of a list; *tail is where the next one is linked.
static inline void chat_part_add(struct chat_part ***tail, struct chat_part *part)
{
    **tail = part;
    *tail = &part->next;
}

// A list of names out of a JSON string or an array of them.
enum rw_err chat_names(struct chat_ctx *ctx, struct span value, struct chat_name **ret) RW_WARN_UNUSED;

// Is text one JSON object?
bool chat_is_object(struct span text);
// Is it valid JSON of any kind?
bool chat_is_json(struct span text);
// JSON without the white space between its tokens; itself if there is none.
struct span chat_compact(struct chat_ctx *ctx, struct span json);
// n texts as one.
struct span chat_concat(struct chat_ctx *ctx, const struct span *texts, uint32_t n);
// a formatted: each % of format is a number of the list.
struct span chat_format(struct chat_ctx *ctx, const char *format, uint32_t a, uint32_t b, uint32_t c);

// A URL as a source of media: data URLs are taken apart (media type, base64 without line ends), others stay.
// RW_E_BAD: the base64 is none.
enum rw_err chat_media_url(struct chat_ctx *ctx, struct span url, struct chat_media *ret) RW_WARN_UNUSED;
// Checks base64 of either alphabet and makes it ordinary: no white space, padded. RW_E_BAD: it is none.
enum rw_err chat_base64_normal(struct chat_ctx *ctx, struct span text, struct span *ret) RW_WARN_UNUSED;
// Base64 as it is in chat_media.data. RW_E_TOO_LARGE.
enum rw_err chat_base64_decode(struct chat_ctx *ctx, struct span text, struct span *ret) RW_WARN_UNUSED;
// "data:image/png;base64,..." written in pieces as a JSON string.
void chat_media_write_url(struct json_out *o, const struct chat_media *media);

// --- Turns: the messages as dialects want them that know a separate system text and two roles that alternate.

struct chat_turn {
    struct chat_turn *next;
    bool assistant;
    struct chat_part *parts; // tool results first, in the order of their calls
};

struct chat_turns {
    struct chat_part *system; // text parts, one for each system message
    struct chat_turn *turns; // the first and, unless it is a prefill, the last are the user's
    bool tools; // there are calls or results
};

// Copies the list, not the parts' contents. RW_E_BAD: a call without a result, a result without a call, nothing to say.
enum rw_err chat_turns_make(struct chat_ctx *ctx, const struct chat_request *rq,
                            struct chat_turns *ret) RW_WARN_UNUSED;

// --- Losses that many encoders have in common.

// What a target makes of an unknown field.
struct dialect_verdict {
    struct span name;
    bool refuse; // else it is dropped
    bool hard; // refused also under CHAT_LENIENT
};

// Every member of extra is refused if the table says so, else dropped.
enum rw_err chat_extra_lose(struct chat_ctx *ctx, const struct chat_extra *extra,
                            const struct dialect_verdict *table, uint32_t n) RW_WARN_UNUSED;
// Writes them.
void chat_extra_write(struct json_out *o, const struct chat_extra *extra);

// A schema in Google's subset of OpenAPI as JSON Schema; RW_E_BAD: nested too deep.
enum rw_err chat_google_schema(struct chat_ctx *ctx, struct span schema, struct span *ret) RW_WARN_UNUSED;

// "modalities": ["text"], which asks for nothing.
bool chat_modalities_text(const struct chat_extra *extra);

// n > 1, logprobs, audio: what every dialect but OpenAI's refuses.
enum rw_err chat_refuse_choices(struct chat_ctx *ctx, const struct chat_request *rq) RW_WARN_UNUSED;

// The tools that tool_choice allows (CHAT_CHOICE_ALLOWED), else all.
bool chat_tool_allowed(const struct chat_request *rq, const struct chat_tool *tool);

// "call_" or another prefix, the reply's id and a number.
struct span chat_made_id(struct chat_ctx *ctx, const char *prefix, struct span id, uint32_t number);

// 406 for claude-opus-4-6, 305 for claude-3-5-sonnet-20241022; 0: no Claude, or a name without a version.
uint32_t chat_claude_version(struct span model);
// A number clamped to high (a literal); itself if it is not above.
struct span chat_clamp(struct span number, double high, struct span literal);

extern const struct span chat_effort_names[CHAT_EFFORT_COUNT];
enum chat_effort chat_effort_of(struct span name);
// An effort for a budget in tokens, and a budget for an effort.
enum chat_effort chat_effort_of_budget(int64_t budget);

// --- Errors.

struct chat_error_words {
    const char *name;
    uint16_t openai_status;
    const char *openai_type, *openai_code; // code NULL: null
    uint16_t anthropic_status;
    const char *anthropic_type;
    uint16_t google_status;
    const char *google_word;
    uint16_t aws_status;
    const char *aws_type;
};

extern const struct chat_error_words chat_error_table[CHAT_E_COUNT];

// By the status alone, if the body says no more.
enum chat_error_kind chat_error_of_status(uint16_t status);
// Does the message say that the prompt is longer than the model's window?
bool chat_error_is_context(struct span message);
// A text of a body that is no JSON of the dialect's: cut to 1 KiB.
struct span chat_error_text(struct span body);

// --- Streams, decoding.

struct reader_tool {
    uint32_t key; // the provider's index for it
    bool used, ended, whole; // whole: its braces are balanced
    bool in_string, escape;
    uint32_t depth;
    uint64_t bytes; // of arguments
};

enum rw_err chat_reader_push(struct chat_reader *r, const struct chat_event *e) RW_WARN_UNUSED;
enum rw_err chat_reader_start(struct chat_reader *r, struct span id, struct span model,
                              int64_t created_s) RW_WARN_UNUSED;
// kind and a text that is JSON: joins surrogate pairs across events; pushes nothing if it is empty.
enum rw_err chat_reader_text(struct chat_reader *r, uint32_t choice, enum chat_event_kind kind, uint32_t tool,
                             struct span value) RW_WARN_UNUSED;
// The choice of this index, or NULL: too many.
struct reader_choice *chat_reader_choice(struct chat_reader *r, uint64_t index);
// A new call of the choice; its number in *ret.
enum rw_err chat_reader_tool(struct chat_reader *r, uint32_t choice, uint32_t key, struct span id,
                             struct span name, uint32_t *ret) RW_WARN_UNUSED;
// The call that the provider counts as key, or -1.
int32_t chat_reader_tool_find(const struct chat_reader *r, uint32_t choice, uint32_t key);
// Its end; {} first if there were no arguments.
enum rw_err chat_reader_tool_end(struct chat_reader *r, uint32_t choice, uint32_t tool) RW_WARN_UNUSED;
// The finish of a choice, after the ends of its calls.
enum rw_err chat_reader_finish(struct chat_reader *r, uint32_t choice,
                               const struct chat_event *e) RW_WARN_UNUSED;
enum rw_err chat_reader_usage(struct chat_reader *r, const struct chat_usage *usage) RW_WARN_UNUSED;
// CHAT_EV_DONE if every choice has finished, else RW_E_EOF.
enum rw_err chat_reader_done(struct chat_reader *r) RW_WARN_UNUSED;
enum rw_err chat_reader_error(struct chat_reader *r, const struct chat_error *error) RW_WARN_UNUSED;

// --- Streams, encoding: dialects whose blocks stand one behind the other. Events come in any order; the first block is written
// as it comes, what belongs to later ones is kept until those before have ended.

struct writer_block {
    struct writer_block *next;
    enum chat_part_kind kind;
    uint32_t tool;
    struct span id, name;
    bool ended;
    uint8_t *held; // text that waits
    uint32_t held_n, held_cap;
};

// What the dialect writes for the head block.
struct writer_ops {
    void (*open)(struct chat_writer *w, const struct writer_block *b);
    void (*text)(struct chat_writer *w, const struct writer_block *b, struct span text);
    void (*signature)(struct chat_writer *w, const struct writer_block *b, struct span text);
    void (*close)(struct chat_writer *w, const struct writer_block *b);
    bool whole_calls; // the text of a call is handed over in one piece, at its end
    bool refusals; // are blocks of their own, not texts
};

enum rw_err chat_blocks_event(struct chat_writer *w, const struct writer_ops *ops,
                              const struct chat_event *e) RW_WARN_UNUSED;
// Closes everything.
enum rw_err chat_blocks_end(struct chat_writer *w, const struct writer_ops *ops) RW_WARN_UNUSED;

#endif
