// What one record costs, and what a price is that is known in part. See price.h.
#include "policy/price.h"

static_assert(PRICE_CLASSES * PRICE_TOKENS_MAX <= INT64_MAX / PRICE_PICO_MAX, "the sum of a record fits");

#define PICO_PER_NANO 1000
#define DIGITS_MAX 18

// Classes of the prompt: what `above` is measured by.
static const bool is_prompt[PRICE_CLASSES] = {
    [PRICE_INPUT] = true,          [PRICE_CACHED_INPUT] = true, [PRICE_CACHE_WRITE] = true,
    [PRICE_CACHE_WRITE_1H] = true, [PRICE_AUDIO_IN] = true,     [PRICE_IMAGE] = true,
};

static int64_t bounded(int64_t n, int64_t max)
{
    if (COUNT_IF(n < 0 || n > max)) return n < 0 ? 0 : max;
    return n;
}

static bool is_in_and_out(const struct price_usage *u)
{
    int64_t others = u->searches;
    for (int c = 0; c < PRICE_CLASSES; c++)
        if (c != PRICE_INPUT && c != PRICE_OUTPUT) others |= u->tokens[c];
    return others == 0 && (uint64_t)u->tokens[PRICE_INPUT] <= PRICE_TOKENS_MAX &&
        (uint64_t)u->tokens[PRICE_OUTPUT] <= PRICE_TOKENS_MAX;
}

// Of tokens that are only read and written, as most are.
static int64_t in_and_out(const struct price *p, int64_t in, int64_t out)
{
    const int64_t *price = p->above_tokens && in > p->above_tokens ? p->above_pico : p->pico;
    const uint64_t pico = (uint64_t)(in * price[PRICE_INPUT] + out * price[PRICE_OUTPUT]);
    return (int64_t)((pico + PICO_PER_NANO - 1) / PICO_PER_NANO);
}

int64_t price_nanos(const struct price *p, const struct price_usage *u, uint16_t *ret_unknown)
{
    if (RW_LIKELY(!ret_unknown && is_in_and_out(u)))
        return in_and_out(p, u->tokens[PRICE_INPUT], u->tokens[PRICE_OUTPUT]);
    int64_t tokens[PRICE_CLASSES], prompt = 0, pico = 0;
    uint16_t unknown = 0;
    for (int c = 0; c < PRICE_CLASSES; c++) {
        tokens[c] = bounded(u->tokens[c], PRICE_TOKENS_MAX);
        if (is_prompt[c]) prompt += tokens[c];
        if (tokens[c]) unknown |= (uint16_t)(p->unknown & 1u << c);
    }
    const int64_t *price = p->above_tokens && prompt > p->above_tokens ? p->above_pico : p->pico;
    for (int c = 0; c < PRICE_CLASSES; c++) pico += tokens[c] * price[c];
    int64_t nanos = pico / PICO_PER_NANO;
    pico %= PICO_PER_NANO;
    // Searches apart, since a dollar times a million of them would not fit beside the tokens.
    const int64_t searches = bounded(u->searches, 1000000) * p->search_pico + pico;
    nanos += searches / PICO_PER_NANO + (searches % PICO_PER_NANO != 0);
    if (ret_unknown) *ret_unknown = unknown;
    return nanos;
}

// a * b / c, rounded up.
static int64_t scale(int64_t a, int64_t b, int64_t c)
{
    const int64_t n = c ? (a * b + c - 1) / c : a;
    return n < PRICE_PICO_MAX ? n : PRICE_PICO_MAX;
}

static void fill(int64_t *p, enum price_class c, int64_t value)
{
    if (p[c] == PRICE_UNKNOWN) p[c] = value;
}

static bool in_range(const int64_t *p)
{
    for (int c = 0; c < PRICE_CLASSES; c++)
        if (p[c] < PRICE_UNKNOWN || p[c] > PRICE_PICO_MAX) return false;
    return true;
}

static uint16_t fill_classes(int64_t *p)
{
    uint16_t unknown = 0;
    fill(p, PRICE_INPUT, p[PRICE_OUTPUT]);
    fill(p, PRICE_OUTPUT, p[PRICE_INPUT]);
    fill(p, PRICE_CACHED_INPUT, p[PRICE_INPUT]);
    if (p[PRICE_CACHE_WRITE] == PRICE_UNKNOWN) fill(p, PRICE_CACHE_WRITE_1H, p[PRICE_INPUT]);
    else fill(p, PRICE_CACHE_WRITE_1H, scale(p[PRICE_CACHE_WRITE], 8, 5));
    fill(p, PRICE_CACHE_WRITE, p[PRICE_INPUT]);
    fill(p, PRICE_IMAGE, p[PRICE_INPUT]);
    fill(p, PRICE_REASONING, p[PRICE_OUTPUT]);
    const int64_t dearer = p[PRICE_INPUT] > p[PRICE_OUTPUT] ? p[PRICE_INPUT] : p[PRICE_OUTPUT];
    static const enum price_class audio[] = {PRICE_AUDIO_IN, PRICE_AUDIO_OUT};
    for (int i = 0; i < 2; i++) {
        if (p[audio[i]] != PRICE_UNKNOWN) continue;
        p[audio[i]] = dearer;
        // What costs nothing at all costs nothing in audio either.
        if (dearer) unknown |= (uint16_t)(1u << audio[i]);
    }
    return unknown;
}

bool price_complete(struct price *p)
{
    if (!in_range(p->pico) || !in_range(p->above_pico) || p->search_pico < 0 ||
        p->search_pico > PRICE_SEARCH_PICO_MAX)
        return false;
    if (p->pico[PRICE_INPUT] == PRICE_UNKNOWN && p->pico[PRICE_OUTPUT] == PRICE_UNKNOWN) return false;
    if ((p->pico[PRICE_INPUT] == PRICE_UNKNOWN || p->pico[PRICE_OUTPUT] == PRICE_UNKNOWN) && p->above_tokens)
        return false;
    p->unknown = fill_classes(p->pico);
    const int64_t base = p->pico[PRICE_INPUT];
    int64_t *above = p->above_pico;
    fill(above, PRICE_INPUT, base);
    for (int c = 0; c < PRICE_CLASSES; c++)
        fill(above, (enum price_class)c,
             is_prompt[c] ? scale(p->pico[c], above[PRICE_INPUT], base) : PRICE_UNKNOWN);
    fill(above, PRICE_OUTPUT, scale(p->pico[PRICE_OUTPUT], above[PRICE_INPUT], base));
    const int64_t output = p->pico[PRICE_OUTPUT];
    fill(above, PRICE_REASONING, scale(p->pico[PRICE_REASONING], above[PRICE_OUTPUT], output));
    fill(above, PRICE_AUDIO_OUT, scale(p->pico[PRICE_AUDIO_OUT], above[PRICE_OUTPUT], output));
    return true;
}

static bool is_digit(struct span s)
{
    return s.n && (uint8_t)(s.p[0] - '0') < 10;
}

// Digits at the front of *s into *v, at most DIGITS_MAX with those before; zeros behind a point that nothing follows are free.
static uint32_t digits(struct span *s, int64_t *v, uint32_t *count)
{
    uint32_t n = 0;
    for (; is_digit(*s); *s = span_from(*s, 1), n++) {
        if (*v || s->p[0] != '0') (*count)++;
        if (*count <= DIGITS_MAX) *v = *v * 10 + (s->p[0] - '0');
    }
    return n;
}

bool price_decimal(struct span text, unsigned decimals, int64_t *ret)
{
    int64_t v = 0;
    uint32_t count = 0, behind = 0;
    if (digits(&text, &v, &count) == 0) return false;
    if (text.n && text.p[0] == '.') {
        text = span_from(text, 1);
        behind = digits(&text, &v, &count);
        if (behind == 0) return false;
    }
    int64_t exponent = 0;
    if (text.n && (text.p[0] | 0x20) == 'e') {
        text = span_from(text, 1);
        const bool negative = text.n && text.p[0] == '-';
        if (text.n && (text.p[0] == '-' || text.p[0] == '+')) text = span_from(text, 1);
        uint64_t e;
        if (text.n > 3 || !span_u64(text, &e)) return false;
        exponent = negative ? -(int64_t)e : (int64_t)e;
        text.n = 0;
    }
    if (text.n || count > DIGITS_MAX) return false;
    int64_t shift = exponent + (int64_t)decimals - (int64_t)behind;
    for (; shift > 0 && v; shift--) {
        if (v > INT64_MAX / 10) return false;
        v *= 10;
    }
    for (; shift < 0 && v > 1; shift++) v = v / 10 + (v % 10 != 0);
    *ret = v; // what is left below the last decimal is rounded up to one of it
    return true;
}
