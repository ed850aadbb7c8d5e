// See prices.h.
#include "control/prices.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "control/config.h"
#include "providers/prices.h"

// A file at most.
#define PRICES_BYTES_MAX MIB(4)

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
