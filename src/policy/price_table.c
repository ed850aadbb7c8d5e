// The rows of the price list by provider and model. Rows with a '*' at the end are few and are tried one by one.
#include "policy/price.h"

#include <stdlib.h>

#include "base/fmt.h"
#include "base/map.h"
#include "wire/json.h"

#define KEY_BYTES_MAX 256
#define MODE_BYTES_MAX 16
#define DESCRIPTION_BYTES_MAX 160
#define USD_PER_MILLION_DECIMALS 6 // of pico-dollars per token
#define USD_DECIMALS 12 // of pico-dollars

struct row {
    struct row *next;
    struct price price;
    bool wildcard;
    struct price_about about;
    struct span name, alias; // "provider/model"; an empty alias is none
    uint8_t bytes[2 * KEY_BYTES_MAX];
    uint8_t mode[MODE_BYTES_MAX], description[DESCRIPTION_BYTES_MAX];
};

struct price_table {
    struct map exact, alias;
    struct row *rows; // all, newest first
};

struct price_table *price_table_new(void)
{
    struct price_table *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    map_init(&t->exact, 1, PRICE_ROWS_MAX);
    map_init(&t->alias, 1, PRICE_ROWS_MAX);
    return t;
}

static void free_rows(struct row *row)
{
    while (row) {
        struct row *next = row->next;
        free(row);
        row = next;
    }
}

void price_table_free(struct price_table *t)
{
    if (!t) return;
    map_done(&t->exact);
    map_done(&t->alias);
    free_rows(t->rows);
    free(t);
}

uint32_t price_table_count(const struct price_table *t)
{
    return t->exact.count;
}

// A row with a star is not in the map; a later one of the same beginning stands before it.
static bool is_newest(const struct price_table *t, const struct row *row)
{
    if (!row->wildcard) return map_get(&t->exact, row->name) == row;
    for (const struct row *r = t->rows; r != row; r = r->next)
        if (r->wildcard && span_eq(r->name, row->name)) return false;
    return true;
}

void price_table_each(const struct price_table *t, price_row_fn *fn, void *ctx)
{
    for (const struct row *row = t->rows; row; row = row->next) {
        // The star still stands behind the key.
        const struct span name = {row->name.p, row->name.n + row->wildcard};
        if (is_newest(t, row) && !fn(name, &row->price, &row->about, ctx)) return;
    }
}

// --- Reading.

static const struct span class_names[PRICE_CLASSES] = {
#define X(symbol, name) [symbol] = SPAN_INIT(name),
    PRICE_CLASS_LIST(X)
#undef X
};

// A price or null. False: something else.
static bool read_price(struct span value, unsigned decimals, int64_t *ret)
{
    if (json_type(value) == JSON_NULL) return true;
    return json_type(value) == JSON_NUMBER && price_decimal(value, decimals, ret);
}

static bool read_count(struct span value, int64_t *ret)
{
    uint64_t n;
    if (json_type(value) == JSON_NULL) return true;
    if (!json_u64(value, &n) || n > (uint64_t)PRICE_TOKENS_MAX) return false;
    *ret = (int64_t)n;
    return true;
}

static int class_of(struct span key)
{
    for (int c = 0; c < PRICE_CLASSES; c++)
        if (json_key_is(key, class_names[c])) return c;
    return -1;
}

static bool read_above(struct span value, struct price *p)
{
    struct json_iter it = json_iter(value);
    struct span key, member;
    if (json_type(value) == JSON_NULL) return true;
    if (json_type(value) != JSON_OBJECT) return false;
    while (json_next(&it, &key, &member)) {
        const int c = class_of(key);
        if (c >= 0 && !read_price(member, USD_PER_MILLION_DECIMALS, &p->above_pico[c])) return false;
        if (json_key_is(key, SPAN("input_tokens")) && !read_count(member, &p->above_tokens)) return false;
    }
    return p->above_tokens > 0;
}

// "provider/name" at `at`; empty if it does not fit.
static struct span join(uint8_t *at, struct span provider, struct span name)
{
    if (provider.n + 1 + (uint64_t)name.n > KEY_BYTES_MAX) return (struct span){NULL, 0};
    memcpy(at, provider.p, provider.n);
    at[provider.n] = '/';
    memcpy(at + provider.n + 1, name.p, name.n);
    return span_of(at, provider.n + 1 + name.n);
}

struct names {
    uint8_t bytes[3][KEY_BYTES_MAX];
    struct span provider, model, alias;
};

static bool read_text(struct span value, uint8_t *buf, uint32_t cap, struct span *ret)
{
    if (json_type(value) == JSON_NULL) return true;
    return json_string(value, JSON_LONE_REFUSE, buf, cap, ret) == RW_OK;
}

static bool read_name(struct span value, uint8_t *buf, struct span *ret)
{
    return read_text(value, buf, KEY_BYTES_MAX, ret);
}

// --- What is said besides prices.

const char *const price_capability_names[PRICE_CAPABILITIES] = {
#define X(symbol, name) [symbol] = name,
    PRICE_CAPABILITY_LIST(X)
#undef X
};
const char *const price_speed_names[PRICE_SLOW + 1] = {"", "fast", "standard", "slow"};

static bool text_is(struct span value, const char *want)
{
    if (json_type(value) != JSON_STRING) return false;
    return json_key_is((struct span){value.p + 1, value.n - 2}, span_str(want));
}

// A capability that a newer list knows is none of ours to refuse.
static bool read_capabilities(struct span value, struct price_about *about)
{
    struct json_iter it = json_iter(value);
    struct span key, item;
    if (json_type(value) == JSON_NULL) return true;
    if (json_type(value) != JSON_ARRAY) return false;
    while (json_next(&it, &key, &item))
        for (int i = 0; i < PRICE_CAPABILITIES; i++)
            if (text_is(item, price_capability_names[i])) about->capabilities |= (uint16_t)(1u << i);
    return true;
}

static bool read_speed(struct span value, struct price_about *about)
{
    if (json_type(value) == JSON_NULL) return true;
    for (int i = PRICE_FAST; i <= PRICE_SLOW; i++)
        if (text_is(value, price_speed_names[i])) about->speed = (enum price_speed)i;
    return about->speed != PRICE_SPEED_UNKNOWN;
}

static bool read_quality(struct span value, struct price_about *about)
{
    uint64_t n;
    if (json_type(value) == JSON_NULL) return true;
    if (!json_u64(value, &n) || n < 1 || n > 5) return false;
    about->quality = (uint8_t)n;
    return true;
}

// One member that is no price. NULL, or what is wrong with it.
static const char *read_about(struct row *row, struct span key, struct span value)
{
    struct price_about *about = &row->about;
    if (json_key_is(key, SPAN("mode")))
        return read_text(value, row->mode, sizeof row->mode, &about->mode) ? NULL : "mode is a short text";
    if (json_key_is(key, SPAN("description")))
        return read_text(value, row->description, sizeof row->description, &about->description)
            ? NULL
            : "description is a text of up to 160 bytes";
    if (json_key_is(key, SPAN("capabilities")))
        return read_capabilities(value, about) ? NULL : "capabilities is a list";
    if (json_key_is(key, SPAN("speed_class")))
        return read_speed(value, about) ? NULL : "speed_class is fast, standard or slow";
    if (json_key_is(key, SPAN("quality_class")))
        return read_quality(value, about) ? NULL : "quality_class is a number from 1 to 5";
    return NULL;
}

// --- Rows.

// One member of a row. NULL, or what is wrong with it.
static const char *read_member(struct row *row, struct names *names, struct span key, struct span value)
{
    struct price *p = &row->price;
    const int c = class_of(key);
    if (c >= 0)
        return read_price(value, USD_PER_MILLION_DECIMALS, &p->pico[c]) ? NULL
                                                                        : "a price is a number of at least 0";
    if (json_key_is(key, SPAN("per_search")))
        return read_price(value, USD_DECIMALS, &p->search_pico) ? NULL
                                                                : "per_search is a number of at least 0";
    if (json_key_is(key, SPAN("context")))
        return read_count(value, &p->context) ? NULL : "context is a number of tokens";
    if (json_key_is(key, SPAN("max_output")))
        return read_count(value, &p->max_output) ? NULL : "max_output is a number of tokens";
    if (json_key_is(key, SPAN("above")))
        return read_above(value, p) ? NULL : "above is an object with input_tokens and prices";
    if (json_key_is(key, SPAN("provider")))
        return read_name(value, names->bytes[0], &names->provider) ? NULL : "provider is a text";
    if (json_key_is(key, SPAN("model")))
        return read_name(value, names->bytes[1], &names->model) ? NULL : "model is a text";
    if (json_key_is(key, SPAN("alias")))
        return read_name(value, names->bytes[2], &names->alias) ? NULL : "alias is a text";
    return read_about(row, key, value);
}

// Not inlined: the buffers of a row and those of the scan are not needed at once.
__attribute__((noinline)) static const char *read_row(struct row *row, struct span value)
{
    struct names names = {0};
    struct price *p = &row->price;
    for (int c = 0; c < PRICE_CLASSES; c++) p->pico[c] = p->above_pico[c] = PRICE_UNKNOWN;
    struct json_iter it = json_iter(value);
    struct span key, member;
    if (json_type(value) != JSON_OBJECT) return "a model is an object";
    while (json_next(&it, &key, &member)) {
        const char *why = read_member(row, &names, key, member);
        if (why) return why;
    }
    if (names.provider.n == 0 || names.model.n == 0) return "provider and model are missing";
    p->chat = row->about.mode.n == 0 || span_eq(row->about.mode, SPAN("chat"));
    if (!price_complete(p))
        return "input and output are missing, or a price is above 1,000 USD per million tokens";
    row->name = join(row->bytes, names.provider, names.model);
    if (names.alias.n) row->alias = join(row->bytes + KEY_BYTES_MAX, names.provider, names.alias);
    if (row->name.n == 0 || (names.alias.n && row->alias.n == 0)) return "a name is too long";
    row->wildcard = row->name.p[row->name.n - 1] == '*';
    if (row->wildcard) row->name.n--;
    return NULL;
}

static enum rw_err say(char *why, const char *what, uint32_t row)
{
    struct fmt f;
    fmt_init(&f, why, PRICE_WHY_BYTES - 1);
    if (row) {
        fmt_str(&f, "model ");
        fmt_u64(&f, row);
        fmt_str(&f, " of the price list: ");
    }
    fmt_str(&f, what);
    why[f.n] = 0;
    return RW_E_CONFIG;
}

static enum rw_err keep(struct price_table *t, struct row *row)
{
    if (!row->wildcard) RW_TRY(map_put(&t->exact, row->name, row, NULL));
    if (row->alias.n) RW_TRY(map_put(&t->alias, row->alias, row, NULL));
    row->next = t->rows;
    t->rows = row;
    return RW_OK;
}

// Turns the list around, so that later rows replace earlier ones.
static enum rw_err keep_all(struct price_table *t, struct row *newest)
{
    struct row *oldest = NULL;
    while (newest) {
        struct row *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct row *row = oldest;
        oldest = row->next;
        const enum rw_err err = keep(t, row);
        if (err == RW_OK) continue;
        row->next = oldest;
        free_rows(row);
        return err;
    }
    return RW_OK;
}

enum rw_err price_table_read(struct price_table *t, struct span json, char *why)
{
    struct json_scan scan;
    struct span models, value, key;
    const int bad = json_scan(&scan, NULL, JSON_TOP_OBJECT, json);
    if (bad < 0) return say(why, json_bad_text(bad), 0);
    if (!json_member(json, SPAN("models"), &models) || json_type(models) != JSON_ARRAY)
        return say(why, "the price list has no array of models", 0);
    struct json_iter it = json_iter(models);
    struct row *rows = NULL;
    uint32_t n = 0;
    while (json_next(&it, &key, &value)) {
        const char *what = n == PRICE_ROWS_MAX ? "too many models" : NULL;
        struct row *row = what ? NULL : calloc(1, sizeof *row);
        n++;
        if (row) {
            row->next = rows;
            rows = row;
            what = read_row(row, value);
        } else if (!what) {
            what = "no memory";
        }
        if (what) {
            free_rows(rows);
            return say(why, what, n);
        }
    }
    const enum rw_err err = keep_all(t, rows);
    return err == RW_OK ? err : say(why, "no memory, or too many models", 0);
}

// --- Finding.

static struct span rows_of(struct span provider)
{
    if (span_eq(provider, SPAN("azure"))) return SPAN("openai");
    if (span_eq(provider, SPAN("vertex"))) return SPAN("gemini");
    return provider;
}

// Without "-2024-08-06" or "-20240806" behind it; as it is if there is none.
static struct span undated(struct span name)
{
    uint32_t digits = 0, n = name.n;
    while (n && digits < 8) {
        const uint8_t c = name.p[n - 1];
        if (c != '-' && (uint8_t)(c - '0') > 9) return name;
        if (c != '-') digits++;
        n--;
    }
    if (digits < 8 || n < 2 || name.p[n - 1] != '-') return name;
    return (struct span){name.p, n - 1};
}

static const struct row *find_row(const struct price_table *t, struct span provider, struct span model)
{
    uint8_t bytes[KEY_BYTES_MAX];
    const struct span key = join(bytes, provider, model);
    if (key.n == 0) return NULL;
    const struct row *row = map_get(&t->exact, key);
    if (!row) row = map_get(&t->alias, key);
    if (row) return row;
    for (const struct row *w = t->rows; w; w = w->next)
        if (w->wildcard && span_starts(key, w->name) && (!row || w->name.n > row->name.n)) row = w;
    return row;
}

static const struct row *find_dated(const struct price_table *t, struct span provider, struct span model)
{
    const struct row *row = find_row(t, provider, model);
    const struct span bare = undated(model);
    return row || bare.n == model.n ? row : find_row(t, provider, bare);
}

// The model behind a geographic profile's prefix; as it is if it has none.
static struct span without_region(struct span model)
{
    static const struct span regions[] = {SPAN_INIT("us."),     SPAN_INIT("eu."), SPAN_INIT("apac."),
                                          SPAN_INIT("us-gov."), SPAN_INIT("jp."), SPAN_INIT("au."),
                                          SPAN_INIT("ca."),     SPAN_INIT("sa."), SPAN_INIT("global.")};
    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
        if (span_starts(model, regions[i])) return span_from(model, regions[i].n);
    return model;
}

static void raise_tenth(struct price *p)
{
    for (int c = 0; c < PRICE_CLASSES; c++) {
        p->pico[c] = (p->pico[c] * 11 + 9) / 10;
        p->above_pico[c] = (p->above_pico[c] * 11 + 9) / 10;
    }
}

// *ret_dearer: the row is of the global profile, which costs less.
static const struct row *find_bedrock(const struct price_table *t, struct span model, bool *ret_dearer)
{
    const struct span bedrock = SPAN("bedrock"), bare = without_region(model);
    const struct row *row = find_dated(t, bedrock, bare);
    uint8_t bytes[KEY_BYTES_MAX];
    if (!row && bare.n + sizeof "global." <= sizeof bytes) {
        memcpy(bytes, "global.", 7);
        memcpy(bytes + 7, bare.p, bare.n);
        row = find_row(t, bedrock, span_of(bytes, bare.n + 7));
        *ret_dearer = row && span_starts(bare, SPAN("anthropic.claude"));
    }
    return row;
}

static const struct row *find(const struct price_table *t, struct span provider, struct span model,
                              bool *ret_dearer)
{
    *ret_dearer = false;
    provider = rows_of(provider);
    const struct row *row = find_dated(t, provider, model);
    return row || !span_eq(provider, SPAN("bedrock")) ? row : find_bedrock(t, model, ret_dearer);
}

bool price_find(const struct price_table *t, struct span provider, struct span model, struct price *ret)
{
    bool dearer;
    const struct row *row = find(t, provider, model, &dearer);
    if (!row) return false;
    *ret = row->price;
    if (dearer) raise_tenth(ret);
    return true;
}

const struct price_about *price_about(const struct price_table *t, struct span provider, struct span model)
{
    bool dearer;
    const struct row *row = find(t, provider, model, &dearer);
    return row ? &row->about : NULL;
}
