// See estimate.h. The percentile is learned without a histogram: above it, it rises by 19 steps, below it, it falls by one; it
// stands still where one of twenty is above. A step is a part of its value, large for the first answers and small for later
// ones.
#include "policy/estimate.h"

#include <stdlib.h>

#define STEP_PARTS_MIN 16
#define STEP_PARTS_MAX 256
#define ABOVE_STEPS 19
#define TOKEN_PARTS 256

static int64_t at_most(int64_t n, int64_t max)
{
    return n < max ? n : max;
}

static int64_t at_least(int64_t n, const int64_t *pico, enum price_class c, uint16_t unknown)
{
    return pico[c] > n && !(unknown & 1u << c) ? pico[c] : n;
}

// The dearest that a token of the prompt (or of the answer) can be, and the same of a long prompt.
static int64_t dearest(const int64_t *pico, bool prompt, uint16_t unknown)
{
    MUST(pico);
    int64_t most = at_least(0, pico, prompt ? PRICE_INPUT : PRICE_OUTPUT, unknown);
    if (!prompt) {
        most = at_least(most, pico, PRICE_REASONING, unknown);
        return at_least(most, pico, PRICE_AUDIO_OUT, unknown);
    }
    most = at_least(most, pico, PRICE_CACHED_INPUT, unknown);
    most = at_least(most, pico, PRICE_CACHE_WRITE, unknown);
    most = at_least(most, pico, PRICE_CACHE_WRITE_1H, unknown);
    most = at_least(most, pico, PRICE_AUDIO_IN, unknown);
    return at_least(most, pico, PRICE_IMAGE, unknown);
}

static int64_t input_bound(const struct estimate_ask *ask, const struct price *p)
{
    const int64_t elsewhere = at_most(ask->parts_elsewhere, PRICE_TOKENS_MAX / ESTIMATE_PART_TOKENS);
    const int64_t bound = at_most(
        at_most(ask->body_bytes, PRICE_TOKENS_MAX) + elsewhere * ESTIMATE_PART_TOKENS, PRICE_TOKENS_MAX);
    // A prompt that does not fit the model is refused by the provider.
    return p && p->context ? at_most(bound, p->context) : bound;
}

static int64_t answers(const struct estimate_ask *ask)
{
    return ask->n < 1 ? 1 : at_most(ask->n, ESTIMATE_ANSWERS_MAX);
}

static int64_t output_bound(const struct estimate_ask *ask, const struct price *p)
{
    if (p && !p->chat) return 0;
    int64_t model_max = ESTIMATE_OUTPUT_TOKENS;
    if (p && p->max_output) model_max = p->max_output;
    else if (p && p->context) model_max = p->context;
    // Of a model's maximum there is hearsay only: what the client asks for counts, also where it is more.
    return (ask->max_tokens >= 0 ? at_most(ask->max_tokens, PRICE_TOKENS_MAX / ESTIMATE_ANSWERS_MAX)
                                 : model_max) *
        answers(ask);
}

#define PICOS_PER_NANO 1000

// Rounded up once, as a record is: where the worst case is what it really costs, a budget for a hundred lets in a hundred. Each
// product fits, their sum may not.
static int64_t cost(const struct price *p, int64_t input, int64_t output)
{
    const int64_t *pico = p->above_tokens && input > p->above_tokens ? p->above_pico : p->pico;
    const int64_t part[] = {input * dearest(pico, true, p->unknown),
                            output * dearest(pico, false, p->unknown), p->search_pico};
    int64_t nanos = 0, rest = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        nanos += part[i] / PICOS_PER_NANO;
        rest += part[i] % PICOS_PER_NANO;
    }
    return nanos + (rest + PICOS_PER_NANO - 1) / PICOS_PER_NANO;
}

static bool is_free(const struct price *p)
{
    if (p->pico[PRICE_INPUT] || p->pico[PRICE_OUTPUT]) return false;
    return dearest(p->pico, true, 0) == 0 && dearest(p->pico, false, 0) == 0 && p->search_pico == 0;
}

struct estimate estimate_worst(const struct estimate_ask *ask, const struct price *p)
{
    struct estimate e = {.input_tokens = input_bound(ask, p), .output_tokens = output_bound(ask, p)};
    e.output_tokens = at_most(e.output_tokens, PRICE_TOKENS_MAX);
    if (p && !is_free(p)) e.nanos = cost(p, e.input_tokens, e.output_tokens);
    return e;
}

int64_t estimate_clamp(const struct estimate_ask *ask, const struct price *p, int64_t nanos)
{
    const int64_t asked = at_most(output_bound(ask, p), PRICE_TOKENS_MAX), input = input_bound(ask, p);
    const int64_t each = at_most(asked / answers(ask), PRICE_TOKENS_MAX);
    if (is_free(p) || cost(p, input, asked) <= nanos) return each;
    int64_t low = -1, high = each; // low fits, high does not
    while (high - low > 1) {
        const int64_t mid = low + (high - low) / 2;
        if (cost(p, input, mid * answers(ask)) <= nanos) low = mid;
        else high = mid;
    }
    return low;
}

// --- Learning.

struct entry {
    uint64_t model, key;
    uint64_t p95; // in parts of a token
    uint32_t used; // tick of the last use; 0: free
    uint32_t learned;
};

static_assert(sizeof(struct entry) * ESTIMATE_WAYS == 128, "a set is two cache lines");
static_assert((ESTIMATE_SETS & (ESTIMATE_SETS - 1)) == 0, "a set is found by a mask");

struct estimator {
    uint32_t tick;
    struct entry set[ESTIMATE_SETS][ESTIMATE_WAYS];
};

struct estimator *estimate_new(void)
{
    return calloc(1, sizeof(struct estimator));
}

void estimate_free(struct estimator *e)
{
    free(e);
}

static struct entry *set_of(struct estimator *e, uint64_t model, uint64_t key)
{
    uint64_t h = (model ^ (key << 32 | key >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    return e->set[h & (ESTIMATE_SETS - 1)];
}

static struct entry *find(struct entry *set, uint64_t model, uint64_t key)
{
    for (int i = 0; i < ESTIMATE_WAYS; i++)
        if (set[i].used && set[i].model == model && set[i].key == key) return &set[i];
    return NULL;
}

static struct entry *oldest(struct entry *set, uint32_t tick)
{
    struct entry *at = set;
    for (int i = 1; i < ESTIMATE_WAYS && at->used; i++)
        if (!set[i].used || tick - set[i].used > tick - at->used) at = &set[i];
    return at;
}

int64_t estimate_tokens(struct estimator *e, uint64_t model, uint64_t key, const struct estimate_ask *ask)
{
    const int64_t worst = input_bound(ask, NULL) + output_bound(ask, NULL);
    struct entry *at = find(set_of(e, model, key), model, key);
    if (at) {
        at->used = ++e->tick ? e->tick : ++e->tick;
        return at_most((int64_t)((at->p95 + TOKEN_PARTS - 1) / TOKEN_PARTS), worst);
    }
    return at_most(ask->body_bytes / 4 + ESTIMATE_FIRST_OUTPUT_TOKENS, worst);
}

void estimate_learn(struct estimator *e, uint64_t model, uint64_t key, int64_t tokens)
{
    const uint64_t used = TOKEN_PARTS * (uint64_t)(tokens < 1 ? 1 : at_most(tokens, PRICE_TOKENS_MAX));
    struct entry *set = set_of(e, model, key), *at = find(set, model, key);
    e->tick = e->tick + 1 ? e->tick + 1 : 1;
    if (!at) {
        at = oldest(set, e->tick);
        *at = (struct entry){.model = model, .key = key, .p95 = used + used / 4};
    }
    at->used = e->tick;
    if (at->learned < STEP_PARTS_MAX) at->learned++;
    const uint32_t parts = at->learned < STEP_PARTS_MIN ? STEP_PARTS_MIN : at->learned;
    const uint64_t step = at->p95 / parts + 1;
    if (used > at->p95) at->p95 += step * ABOVE_STEPS;
    else if (at->p95 > step) at->p95 -= step;
}
