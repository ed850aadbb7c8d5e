// What a request will use, before it is known. Two answers for two purposes:
//
//   worst case   for money that must not be exceeded: no answer to this request can cost more. Tokens of the prompt are at
//                most the bytes of the body (a token is at least one byte of text, and what a chat template adds is less than
//                the JSON around a message), plus a bound for each part that lies elsewhere (an image or a file by URL), each
//                at the price of the dearest class; tokens of the answer at most max_tokens, else the model's maximum, times n.
//   expected     for token rates and soft budgets: the 95th percentile of what (model, key) used lately, learned here; before
//                anything was learned a quarter of the body's bytes and ESTIMATE_FIRST_OUTPUT_TOKENS, within the worst case.
//
// Owner    struct estimator is a worker's: a table of fixed size, set-associative; the least recently used entry of a set goes.
// Thread   the estimator: the worker's. The rest: any. Never suspends, allocates nothing but in estimate_new().
#ifndef RINGWAY_POLICY_ESTIMATE_H
#define RINGWAY_POLICY_ESTIMATE_H

#include "base/limits.h"
#include "policy/price.h"

struct estimate_ask {
    int64_t body_bytes;
    int64_t parts_elsewhere; // of the prompt, given by reference
    int64_t max_tokens; // as asked for; -1: not given
    int64_t n; // answers asked for; 0 is 1
};

struct estimate {
    int64_t input_tokens, output_tokens;
    int64_t nanos;
};

// p: NULL if the model has no price; the tokens are then bounded by what is asked for or ESTIMATE_OUTPUT_TOKENS, and nanos is
// 0.
struct estimate estimate_worst(const struct estimate_ask *ask, const struct price *p);

// The largest max_tokens with which the worst case costs at most `nanos`; -1: not even an empty answer does.
int64_t estimate_clamp(const struct estimate_ask *ask, const struct price *p, int64_t nanos);

struct estimator;

struct estimator *estimate_new(void); // NULL: no memory
void estimate_free(struct estimator *e);

// Tokens that a request of this model and key will use, input and output together.
int64_t estimate_tokens(struct estimator *e, uint64_t model, uint64_t key, const struct estimate_ask *ask);

// What it did use.
void estimate_learn(struct estimator *e, uint64_t model, uint64_t key, int64_t tokens);

#endif
