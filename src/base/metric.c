// See metric.h. A row of a set holds the cells of all metrics of that set one behind the other, so a request
// touches one or two cache lines of its target's row and none of anybody else's.
#include "base/metric.h"

#include <stdlib.h>

#define CACHE_LINE 64

__extension__ typedef unsigned __int128 wide;

static_assert(METRIC_PLAIN_END < 1 << METRIC_SET_SHIFT, "the cells of a row are counted in 16 bits");
static_assert(METRIC_TARGET_END - METRIC_TARGET_BEFORE < 1 << METRIC_SET_SHIFT, "likewise");
static_assert(METRIC_MODEL_END - METRIC_MODEL_BEFORE < 1 << METRIC_SET_SHIFT, "likewise");
static_assert(sizeof(metric_cell) == 8, "a cell is a plain word");

static metric_cell *row_new(uint32_t set)
{
    const size_t bytes =
        (metric_row_size(set) * sizeof(metric_cell) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    metric_cell *cells = aligned_alloc(CACHE_LINE, bytes);
    if (cells) memset((void *)cells, 0, bytes);
    return cells;
}

struct metrics *metric_new(void)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    for (uint32_t set = 0; set < METRIC_SET_COUNT; set++) {
        metric_cell *cells = row_new(set);
        if (!cells) {
            metric_free(m);
            return NULL;
        }
        atomic_store_explicit(&m->rows[set][METRIC_ROW_OTHER], cells, memory_order_relaxed);
    }
    return m;
}

void metric_free(struct metrics *m)
{
    if (!m) return;
    for (uint32_t set = 0; set < METRIC_SET_COUNT; set++)
        for (uint32_t row = 0; row < METRIC_ROWS_MAX; row++)
            free((void *)atomic_load_explicit(&m->rows[set][row], memory_order_relaxed));
    free(m);
}

metric_cell *metric_row_make(struct metrics *m, uint32_t set, uint32_t row)
{
    MUST(set != METRIC_SET_PLAIN); // its only row is made with m: another one is a wrong label
    metric_cell *cells = row_new(set);
    if (!cells) return atomic_load_explicit(&m->rows[set][METRIC_ROW_OTHER], memory_order_relaxed);
    // Release: who finds the row finds it zeroed.
    atomic_store_explicit(&m->rows[set][row], cells, memory_order_release);
    return cells;
}

const metric_cell *metric_row_cells(const struct metrics *m, uint32_t set, uint32_t row)
{
    MUST(set < METRIC_SET_COUNT && row < METRIC_ROWS_MAX);
    return atomic_load_explicit(&m->rows[set][row], memory_order_acquire);
}

// --- Histograms.
//
// A value is brought to units of 2^-30 s; bucket 0 holds what is below 2^low units, then each octave has
// 2^split buckets of equal width, and the last bucket the rest.

struct shape {
    uint32_t low;
    uint32_t split;
};

#define OCTAVES(split) ((METRIC_BUCKETS - 2) >> (split))

static inline struct shape shape_of(enum metric_kind kind)
{
    return kind == METRIC_SHORT ? (struct shape){.low = 12, .split = 2}
                                : (struct shape){.low = 14, .split = 1};
}

static_assert(12 + OCTAVES(2) == 27 && 14 + OCTAVES(1) == 44, "2^-3 s and 2^14 s, as the header states");

// 2^93 / 10^9, cut: a value that is exactly a bound comes out just below it.
#define UNITS_PER_NS_SHIFTED UINT64_C(9903520314283042199)

static inline uint32_t bucket_of(struct shape s, uint64_t ns)
{
    const uint64_t units = (uint64_t)((wide)ns * UNITS_PER_NS_SHIFTED >> 63);
    if (units >> s.low == 0) return 0;
    const uint32_t octave = 63 - (uint32_t)__builtin_clzll(units);
    const uint32_t within = (uint32_t)(units >> (octave - s.split)) & ((1U << s.split) - 1);
    const uint32_t bucket = 1 + ((octave - s.low) << s.split) + within;
    return bucket < METRIC_BUCKETS ? bucket : METRIC_BUCKETS - 1;
}

uint32_t metric_bucket_long(uint64_t ns)
{
    return bucket_of(shape_of(METRIC_LONG), ns);
}

uint32_t metric_bucket_short(uint64_t ns)
{
    return bucket_of(shape_of(METRIC_SHORT), ns);
}

uint64_t metric_bucket_bound(enum metric_kind kind, uint32_t bucket)
{
    MUST(kind >= METRIC_LONG && bucket < METRIC_BUCKETS);
    const struct shape s = shape_of(kind);
    if (bucket == METRIC_BUCKETS - 1) return UINT64_MAX;
    const uint32_t octave = s.low + (bucket >> s.split), within = bucket & ((1U << s.split) - 1);
    return ((UINT64_C(1) << s.split) + within) << (octave - s.split);
}

// --- Names.

struct row_name {
    char *text; // model and, for a target, the provider behind it
    uint32_t model_n, provider_n;
};

struct metric_labels {
    struct row_name rows[METRIC_SET_COUNT][METRIC_ROWS_MAX];
    uint32_t count[METRIC_SET_COUNT];
};

struct metric_labels *metric_labels_new(void)
{
    struct metric_labels *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->count[METRIC_SET_PLAIN] = 1;
    l->count[METRIC_SET_TARGET] = l->count[METRIC_SET_MODEL] = METRIC_ROW_NONE + 1;
    return l;
}

void metric_labels_free(struct metric_labels *l)
{
    if (!l) return;
    for (uint32_t set = 0; set < METRIC_SET_COUNT; set++)
        for (uint32_t row = 0; row < l->count[set]; row++) free(l->rows[set][row].text);
    free(l);
}

static struct span cut(struct span name)
{
    if (name.n <= METRIC_NAME_BYTES_MAX) return name;
    name.n = METRIC_NAME_BYTES_MAX;
    while (name.n && (name.p[name.n] & 0xc0) == 0x80) name.n--;
    return name;
}

static struct span model_of(const struct row_name *r)
{
    return span_of(r->text, r->model_n);
}

static struct span provider_of(const struct row_name *r)
{
    return r->text ? span_of(r->text + r->model_n, r->provider_n) : (struct span){NULL, 0};
}

static uint32_t row_named(struct metric_labels *l, uint32_t set, struct span model, struct span provider)
{
    model = cut(model);
    provider = cut(provider);
    for (uint32_t row = METRIC_ROW_NONE; row < l->count[set]; row++) {
        const struct row_name *r = &l->rows[set][row];
        if (span_eq(model_of(r), model) && span_eq(provider_of(r), provider)) return row;
    }
    if (l->count[set] == METRIC_ROWS_MAX) return METRIC_ROW_OTHER;
    char *text = malloc(model.n + provider.n);
    if (!text) return METRIC_ROW_OTHER;
    if (model.n) memcpy(text, model.p, model.n);
    if (provider.n) memcpy(text + model.n, provider.p, provider.n);
    l->rows[set][l->count[set]] =
        (struct row_name){.text = text, .model_n = model.n, .provider_n = provider.n};
    return l->count[set]++;
}

uint32_t metric_target_row(struct metric_labels *l, struct span model, struct span provider)
{
    return row_named(l, METRIC_SET_TARGET, model, provider);
}

uint32_t metric_model_row(struct metric_labels *l, struct span model)
{
    return row_named(l, METRIC_SET_MODEL, model, (struct span){NULL, 0});
}

uint32_t metric_rows(const struct metric_labels *l, uint32_t set)
{
    MUST(set < METRIC_SET_COUNT);
    return l->count[set];
}

struct span metric_row_model(const struct metric_labels *l, uint32_t set, uint32_t row)
{
    MUST(set < METRIC_SET_COUNT && row < l->count[set]);
    return row == METRIC_ROW_OTHER ? SPAN("other") : model_of(&l->rows[set][row]);
}

struct span metric_row_provider(const struct metric_labels *l, uint32_t row)
{
    MUST(row < l->count[METRIC_SET_TARGET]);
    return row == METRIC_ROW_OTHER ? SPAN("other") : provider_of(&l->rows[METRIC_SET_TARGET][row]);
}

// --- Tables.

#define SET_OF(symbol) ((symbol) >> METRIC_SET_SHIFT)
#define X(symbol, name_, kind_, help_, a, b) \
    {.name = (name_), \
     .help = (help_), \
     .id = (symbol), \
     .kind = (kind_), \
     .set = SET_OF(symbol), \
     .labels = {(a), (b)}},
static const struct metric_info table[] = {RW_METRICS_PLAIN(X) RW_METRICS_BY_TARGET(X)
                                               RW_METRICS_BY_MODEL(X)};
#undef X

const struct metric_info *metric_table(uint32_t *ret_count)
{
    *ret_count = sizeof table / sizeof *table;
    return table;
}

static const char *const status_names[METRIC_STATUS_COUNT] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
static const char *const token_names[METRIC_TOKENS_COUNT] = {"input", "output", "cache_read", "cache_write",
                                                             "reasoning"};
static const char *const upstream_names[METRIC_UPSTREAM_COUNT] = {"idle", "active"};
static const char *const group_names[METRIC_GROUP_COUNT] = {"client", "upstream"};
static const char *const buffer_names[METRIC_BUFFER_COUNT] = {"kernel", "held", "free"};
static const char *const level_names[METRIC_LEVEL_COUNT] = {"key",   "team",   "tenant",
                                                            "model", "global", "end_user"};
static const char *const limit_names[METRIC_LIMIT_COUNT] = {"concurrency", "requests", "tokens", "money"};
static const char *const cache_names[METRIC_CACHE_COUNT] = {"hit", "miss", "bypass"};

#define X(symbol, name_, count_) [symbol] = {.name = (name_), .count = (count_)},
static const struct {
    const char *name;
    uint32_t count;
} labels[METRIC_LABEL_COUNT] = {RW_METRIC_LABELS(X)};
#undef X

const char *metric_label_name(uint32_t label)
{
    MUST(label < METRIC_LABEL_COUNT);
    return labels[label].name;
}

uint32_t metric_label_values(uint32_t label)
{
    MUST(label < METRIC_LABEL_COUNT);
    return labels[label].count;
}

const char *metric_label_value(uint32_t label, uint32_t value)
{
    MUST(value < metric_label_values(label));
    switch ((enum metric_fixed_label)label) {
    case METRIC_LABEL_UNUSED: return "";
    case METRIC_LABEL_STATUS: return status_names[value];
    case METRIC_LABEL_END:
    case METRIC_LABEL_REASON: return end_info((enum rw_end)value)->name;
    case METRIC_LABEL_TOKENS: return token_names[value];
    case METRIC_LABEL_UPSTREAM: return upstream_names[value];
    case METRIC_LABEL_GROUP: return group_names[value];
    case METRIC_LABEL_BUFFER: return buffer_names[value];
    case METRIC_LABEL_LEVEL: return level_names[value];
    case METRIC_LABEL_LIMIT: return limit_names[value];
    case METRIC_LABEL_CACHE: return cache_names[value];
    case METRIC_LABEL_COUNT: break;
    }
    UNREACHABLE("checked above");
}
