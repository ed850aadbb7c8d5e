// See prices.h.
#include "control/prices.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "control/config.h"
#include "providers/prices.h"

// A file at most.
#define PRICES_BYTES_MAX MIB(4)
#define USD_DECIMALS 6 // picos per token are millionths of a dollar per million tokens

static bool read_file(struct price_table *t, const char *path, char *ret_why, uint32_t cap)
{
    char why[PRICE_WHY_BYTES] = "no memory";
    char *text = malloc(PRICES_BYTES_MAX);
    const int64_t n = text ? config_env_process.read_file(NULL, path, text, PRICES_BYTES_MAX) : -ENOMEM;
    if (n < 0) snprintf(why, sizeof why, "%s", rw_err_name((int)n));
    const bool ok = n >= 0 && price_table_read(t, span_of(text, (size_t)n), why) == RW_OK;
    if (!ok) snprintf(ret_why, cap, "prices_file %s cannot be used: %s", path, why);
    free(text);
    return ok;
}

bool prices_load(const char *file, struct price_table **ret, char *ret_why, uint32_t cap)
{
    char why[PRICE_WHY_BYTES] = "no memory";
    struct price_table *t = price_table_new();
    if (!t || price_table_read(t, provider_prices(), why) != RW_OK) {
        snprintf(ret_why, cap, "the built-in prices cannot be used: %s", why);
    } else if (!file || read_file(t, file, ret_why, cap)) {
        *ret = t;
        return true;
    }
    price_table_free(t);
    return false;
}

static bool on_row(struct span name, const struct price *price, const struct price_about *about, void *ctx)
{
    struct prices_sorted *r = ctx;
    (void)about;
    if (!span_starts(name, r->beginning) || r->n == PRICE_ROWS_MAX) return true;
    r->at[r->n].name = name;
    r->at[r->n++].price = price;
    return true;
}

int prices_compare(struct span a, struct span b)
{
    const int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_name(const void *a, const void *b)
{
    return prices_compare(*(const struct span *)a, *(const struct span *)b);
}

void prices_sort(const struct price_table *t, struct span beginning, struct prices_sorted *ret)
{
    ret->n = 0;
    ret->beginning = beginning;
    price_table_each(t, on_row, ret);
    if (ret->n) qsort(ret->at, ret->n, sizeof ret->at[0], by_name);
}

static void write_count(struct json_out *o, const char *key, int64_t n)
{
    if (n > 0) json_out_key_u64(o, span_str(key), (uint64_t)n);
}

void prices_write(struct json_out *o, const struct price *p)
{
    static const char *const names[PRICE_CLASSES] = {
#define X(symbol, name) [symbol] = name,
        PRICE_CLASS_LIST(X)
#undef X
    };
    for (int c = 0; c < PRICE_CLASSES; c++) {
        char text[FMT_DECIMAL_BYTES];
        struct fmt f;
        if (p->unknown & 1u << c) continue;
        fmt_init(&f, text, sizeof text);
        fmt_decimal(&f, p->pico[c], USD_DECIMALS);
        json_out_key_raw(o, span_str(names[c]), fmt_text(&f));
    }
    write_count(o, "context", p->context);
    write_count(o, "max_output", p->max_output);
    write_count(o, "dearer_above", p->above_tokens);
}
