// What a request costs. Prices are pico-dollars per token (10^-12 USD, a 64-bit integer): USD per million tokens with up to six
// decimals, exactly. A record sums its classes in picos and is rounded once, up, to nano-dollars: no sum of records is ever
// below what the classes add up to, and above it by less than a nano-dollar a record.
//
// Use      price_table_new(); price_table_read() the built-in list, then the user's file, whose rows replace those of the same
//          provider and model; price_find() per target; price_nanos() per record.
// File     {"models": [{"provider", "model", "alias", "mode", "input", "output", "cached_input", "cache_write",
//          "cache_write_1h", "reasoning", "audio_in", "audio_out", "image", "per_search", "context", "max_output",
//          "above": {"input_tokens", and prices}, "capabilities", "speed_class", "quality_class", "description"}]}: USD per
//          million tokens, per_search USD each. Other members are ignored. `above` is the price of the whole request when its
//          prompt is longer than that. The last four make the list a catalogue: they are there to choose by, never a gate.
// Absent   or null: cached_input, cache_write, image cost what input does, reasoning what output does, cache_write_1h 1.6 times
//          cache_write, a class of `above` rises as input does. Audio is unknown: it costs the dearer of input and output, and
//          its use is reported (*ret_unknown). A model without a row has no price: price_find() says so, and it is the
//          caller's to count and report that; nothing is silently free.
// Find     the model exactly, or an alias; "name*" by the longest beginning; without a date behind it (gpt-4o-2024-08-06).
//          azure has the rows of openai, vertex those of gemini. Bedrock: a geographic profile (us., eu., ...) has the row of
//          the same name, else of the model itself; a Claude that has only a global. row costs a tenth more in a profile or a
//          region.
// Owner    the table copies what it keeps. Made by one thread, then read-only for all.
// Thread   any for reading. Never suspends. price_find() and price_nanos() allocate nothing.
#ifndef RINGWAY_POLICY_PRICE_H
#define RINGWAY_POLICY_PRICE_H

#include "base/err.h"
#include "base/span.h"

// X(symbol, member of the file)
#define PRICE_CLASS_LIST(X) \
    X(PRICE_INPUT, "input") \
    X(PRICE_CACHED_INPUT, "cached_input") \
    X(PRICE_CACHE_WRITE, "cache_write") \
    X(PRICE_CACHE_WRITE_1H, "cache_write_1h") \
    X(PRICE_OUTPUT, "output") \
    X(PRICE_REASONING, "reasoning") \
    X(PRICE_AUDIO_IN, "audio_in") \
    X(PRICE_AUDIO_OUT, "audio_out") \
    X(PRICE_IMAGE, "image")

#define X(symbol, name) symbol,
enum price_class { PRICE_CLASS_LIST(X) PRICE_CLASSES };
#undef X

#define PRICE_UNKNOWN INT64_C(-1)
#define PRICE_TOKENS_MAX INT64_C(1000000000) // of one class in one record
#define PRICE_PICO_MAX INT64_C(1000000000) // a thousand dollars per million tokens
#define PRICE_SEARCH_PICO_MAX INT64_C(1000000000000) // a dollar

struct price {
    int64_t pico[PRICE_CLASSES];
    int64_t above_pico[PRICE_CLASSES];
    int64_t above_tokens; // a longer prompt costs above_pico; 0: none does
    int64_t search_pico;
    int64_t context, max_output; // tokens; 0: not known
    uint16_t unknown; // classes whose price is a guess, one bit each
    bool chat; // it can answer with tokens: not an embedding or a rerank model
};

// X(symbol, name in the file)
#define PRICE_CAPABILITY_LIST(X) \
    X(PRICE_CAN_STREAM, "streaming") \
    X(PRICE_CAN_TOOLS, "tools") \
    X(PRICE_CAN_VISION, "vision") \
    X(PRICE_CAN_AUDIO, "audio_in") \
    X(PRICE_CAN_PDF, "pdf") \
    X(PRICE_CAN_SCHEMA, "json_schema") \
    X(PRICE_CAN_REASON, "reasoning") \
    X(PRICE_CAN_CACHE, "prompt_cache")

#define X(symbol, name) symbol,
enum price_capability { PRICE_CAPABILITY_LIST(X) PRICE_CAPABILITIES };
#undef X

enum price_speed { PRICE_SPEED_UNKNOWN, PRICE_FAST, PRICE_STANDARD, PRICE_SLOW };

// What a row says besides prices.
struct price_about {
    struct span mode; // "chat", "embedding", "rerank"; empty: not said
    struct span description;
    uint16_t capabilities; // 1 << enum price_capability
    enum price_speed speed;
    uint8_t quality; // 1 to 5; 0: not said
};

extern const char *const price_capability_names[PRICE_CAPABILITIES];
extern const char *const price_speed_names[PRICE_SLOW + 1]; // that of PRICE_SPEED_UNKNOWN is empty

// Tokens by class, each counted in one class only: input without what was cached, output without reasoning.
struct price_usage {
    int64_t tokens[PRICE_CLASSES];
    int64_t searches;
};

// What a record costs, at least 0. Counts beyond PRICE_TOKENS_MAX are cut (COUNT_IF). *ret_unknown (may be NULL): classes used
// whose price is a guess.
int64_t price_nanos(const struct price *p, const struct price_usage *u, uint16_t *ret_unknown);

// A price from what is known: pico and above_pico hold PRICE_UNKNOWN where nothing is; of input and output one must be known.
// False: neither is, or a figure is out of range.
bool price_complete(struct price *p);

// A decimal number, not negative, times 10^decimals, rounded up: "0.15" with 6 is 150000. False: no such number, or too large.
bool price_decimal(struct span text, unsigned decimals, int64_t *ret);

struct price_table;

#define PRICE_ROWS_MAX 16384
#define PRICE_WHY_BYTES 160

struct price_table *price_table_new(void); // NULL: no memory
void price_table_free(struct price_table *t);

// All rows or none. RW_E_CONFIG with words in `why`, of PRICE_WHY_BYTES, NUL-terminated.
RW_WARN_UNUSED enum rw_err price_table_read(struct price_table *t, struct span json, char *why);

uint32_t price_table_count(const struct price_table *t);

// Each row that can be found, the newest of those of one name, in no order, until fn returns false. name: "openai/gpt-4o", with a
// '*' at its end if it is a beginning.
typedef bool price_row_fn(struct span name, const struct price *price, const struct price_about *about,
                          void *ctx);
void price_table_each(const struct price_table *t, price_row_fn *fn, void *ctx);

// provider: its type ("openai", "bedrock"). False: this model has no price.
bool price_find(const struct price_table *t, struct span provider, struct span model, struct price *ret);
// What its row says besides; NULL: no row. It lives as long as the table.
const struct price_about *price_about(const struct price_table *t, struct span provider, struct span model);

#endif
