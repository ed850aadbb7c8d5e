// The bytes lie between two symbols of prices_data.S.
#include "providers/prices.h"

extern const uint8_t provider_prices_begin[], provider_prices_end[];

struct span provider_prices(void)
{
    return span_of(provider_prices_begin, (uintptr_t)provider_prices_end - (uintptr_t)provider_prices_begin);
}
