// See json.h. Here: what is not hot of the scan, and the choice of the implementation. The scan itself is
// json_machine.h.
#include "wire/json.h"

#include <stdatomic.h>

#include "base/fmt.h"
#include "wire/json_priv.h"

// --- The implementation.

static const struct json_way *const ways[] = {
#if defined(__x86_64__)
    &json_way_avx2, &json_way_sse42,
#elif defined(__aarch64__)
    &json_way_neon,
#endif
    &json_way_scalar, // last: it runs everywhere
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

// Every thread that finds it empty chooses the same.
static _Atomic(const struct json_way *) chosen;

static const struct json_way *best(void)
{
    uint32_t i = 0;
    while (i + 1 < WAYS && !ways[i]->usable()) i++;
    return ways[i];
}

const struct json_way *json_way(void)
{
    const struct json_way *way = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (RW_LIKELY(way)) return way;
    way = best();
    atomic_store_explicit(&chosen, way, memory_order_relaxed);
    return way;
}

bool json_simd_select(const char *name)
{
    const struct json_way *way = name ? NULL : best();
    for (uint32_t i = 0; name && i < WAYS; i++)
        if (strcmp(ways[i]->name, name) == 0 && ways[i]->usable()) way = ways[i];
    if (way) atomic_store_explicit(&chosen, way, memory_order_relaxed);
    return way != NULL;
}

const char *json_simd_name(void)
{
    return json_way()->name;
}

// --- Fields of interest.

static const struct json_fields no_fields;

static uint32_t field_with_path(const char *const *paths, uint32_t n, const char *path, size_t path_n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strlen(paths[i]) == path_n && memcmp(paths[i], path, path_n) == 0) return i;
    return JSON_NO_FIELD;
}

// The node in which the last key of paths[f] stands. Its parent is among the paths before.
static uint32_t node_of_path(const struct json_fields *fields, const char *const *paths, uint32_t f,
                             const char *dot)
{
    if (!dot) return JSON_NODE_TOP;
    const bool element = dot - paths[f] > 2 && memcmp(dot - 2, "[]", 2) == 0;
    const uint32_t parent = field_with_path(paths, f, paths[f], (size_t)(dot - paths[f]) - (element ? 2 : 0));
    MUST(parent != JSON_NO_FIELD && parent < fields->n);
    return element ? JSON_NODE_ELEMENT(parent) : JSON_NODE_OF(parent);
}

// The field whose value the node is, or is an element of.
static uint32_t field_of_node(uint32_t node)
{
    return node > JSON_FIELDS_MAX ? node - JSON_FIELDS_MAX - 1 : node - 1;
}

static void add_field(struct json_fields *ret, uint32_t f, const char *key, uint32_t node, uint8_t parents[])
{
    struct json_field *const field = &ret->field[f];
    const size_t key_n = strlen(key);
    MUST(key_n > 0 && key_n <= JSON_FIELD_KEY_BYTES_MAX && !strchr(key, '['));
    memcpy(field->key, key, key_n);
    field->key[key_n] = '"';
    field->mask = (uint32_t)((UINT64_C(2) << key_n) - 1);

    const uint32_t bit = json_key_bit((uint8_t)key[key_n - 1], (uint32_t)key_n);
    uint8_t *const slot = &ret->slot[node][bit];
    field->next = *slot;
    *slot = (uint8_t)(f + 1);
    ret->filter[node] |= UINT64_C(1) << bit;

    parents[f] = (uint8_t)node;
    for (uint32_t above = node; above != JSON_NODE_TOP; above = parents[field_of_node(above)]) {
        ret->below[above] |= UINT64_C(1) << f;
        if (above > JSON_FIELDS_MAX) field->repeats = true;
    }
}

void json_fields_make(struct json_fields *ret, const char *const *paths, uint32_t n)
{
    uint8_t parents[JSON_FIELDS_MAX];
    MUST(n <= JSON_FIELDS_MAX);
    *ret = no_fields;
    ret->n = n;
    for (uint32_t f = 0; f < n; f++) {
        MUST(field_with_path(paths, f, paths[f], strlen(paths[f])) == JSON_NO_FIELD);
        const char *const dot = strrchr(paths[f], '.');
        add_field(ret, f, dot ? dot + 1 : paths[f], node_of_path(ret, paths, f, dot), parents);
    }
}

uint32_t json_field_of(const struct json_fields *fields, uint32_t node, struct span raw_key)
{
    const uint8_t *const row = fields->slot[node];
    for (uint32_t bit = 0; bit < 64; bit++)
        for (uint32_t next = row[bit]; next; next = fields->field[next - 1].next) {
            const struct json_field *const f = &fields->field[next - 1];
            const uint32_t key_n = (uint32_t)__builtin_popcount(f->mask) - 1;
            if (json_key_is(raw_key, span_of(f->key, key_n))) return next - 1;
        }
    return JSON_NO_FIELD;
}

// --- The scan.

void json_scan_init(struct json_scan *s, const struct json_fields *fields, uint32_t flags)
{
    memset(s, 0, offsetof(struct json_scan, stack) + 1);
    s->fields = fields ? fields : &no_fields;
    s->flags = (uint8_t)flags;
    s->state = JSON_S_TOP;
    s->field = JSON_NO_FIELD;
    memset(s->value, 0, s->fields->n * sizeof(s->value[0]));
}

int json_scan_feed(struct json_scan *s, const uint8_t *base, uint32_t n, bool final)
{
    if (RW_UNLIKELY(s->bad)) return s->bad;
    MUST(n >= s->pos);
    const int got = json_way()->feed(s, base, n, final);
    if (RW_UNLIKELY(got < 0)) s->bad = got;
    return got;
}

int json_scan(struct json_scan *s, const struct json_fields *fields, uint32_t flags, struct span text)
{
    json_scan_init(s, fields, flags);
    s->bad = json_way()->feed(s, text.p, text.n, true);
    if (RW_UNLIKELY(s->bad < 0)) return s->bad;
    s->bad = 0;
    return 1;
}

const char *json_bad_text(int bad)
{
    static const char *const texts[JSON_BAD_COUNT] = {
#define X(symbol, text) text,
        JSON_BADS(X)
#undef X
    };
    MUST(bad < 0 && bad >= -(int)JSON_BAD_COUNT);
    return texts[-1 - bad];
}

uint32_t json_scan_say(const struct json_scan *s, char *out, uint32_t cap)
{
    MUST(cap > 0);
    char number[FMT_U64_BYTES];
    const struct span pieces[] = {
        span_str(json_bad_text(s->bad)),
        SPAN(" at byte "),
        span_of(number, (size_t)(fmt_raw_u64(number, s->pos) - number)),
    };
    uint32_t n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t room = cap - 1 - n, k = pieces[i].n < room ? pieces[i].n : room;
        memcpy(out + n, pieces[i].p, k);
        n += k;
    }
    out[n] = 0;
    return n;
}
