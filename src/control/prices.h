// The prices that hold with a configuration: the built-in list and, over it, the file that it names.
//
// Thread   control's; reads a file.
#ifndef RINGWAY_CONTROL_PRICES_H
#define RINGWAY_CONTROL_PRICES_H

#include "base/limits.h"
#include "policy/price.h"
#include "wire/json_out.h"

// file: NULL for the built-in prices alone. The table is the caller's to free. False: ret_why (cap bytes) says why, for people.
bool prices_load(const char *file, struct price_table **ret, char *ret_why, uint32_t cap);

// Rows whose name begins so, by name; spans and prices are the table's.
struct prices_sorted {
    struct {
        struct span name;
        const struct price *price;
    } at[PRICE_ROWS_MAX];
    uint32_t n;
    struct span beginning;
};

void prices_sort(const struct price_table *t, struct span beginning, struct prices_sorted *ret);
int prices_compare(struct span a, struct span b); // of names, as memcmp()
// The members of one price: US dollars per million tokens by class, and what is known of the model.
void prices_write(struct json_out *o, const struct price *p);

#endif
