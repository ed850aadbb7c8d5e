// What models cost: the list that is built into the binary (prices.json, JSON as policy/price.h reads it), so that a gateway
// without a file of its own knows the prices of the day it was made.
//
// Thread   any; read-only.
#ifndef RINGWAY_PROVIDERS_PRICES_H
#define RINGWAY_PROVIDERS_PRICES_H

#include "base/span.h"

struct span provider_prices(void);

#endif
