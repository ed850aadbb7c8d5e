// The prices that hold with a configuration: the built-in list and, over it, the file that it names.
//
// Thread   control's; reads a file.
#ifndef RINGWAY_CONTROL_PRICES_H
#define RINGWAY_CONTROL_PRICES_H

#include "policy/price.h"

// file: NULL for the built-in prices alone. The table is the caller's to free. False: ret_why (cap bytes) says why, for people.
bool prices_load(const char *file, struct price_table **ret, char *ret_why, uint32_t cap);

#endif
