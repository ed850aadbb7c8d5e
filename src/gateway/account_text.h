// The words and numbers of account.c that clients and metrics see.
#ifndef RINGWAY_GATEWAY_ACCOUNT_TEXT_H
#define RINGWAY_GATEWAY_ACCOUNT_TEXT_H

#include "gateway/account.h"

// The refusal of a limit becomes the exchange's end: 429, or the status of a budget that is used up.
enum stage account_refuse(struct exchange *x, const struct limit_refusal *why);

// Metrics of a request that was charged.
void account_count(struct exchange *x, const struct price_usage *used);

#endif
