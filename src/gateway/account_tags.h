// Tags of a record, "name=value", for chargeback: whose they are, by whom they were set.
//
// From     the key, its team and its tenant (as administrators set them), then x-ringway-tags (k=v,k=v), then the string members
//          of the body's `metadata` (of dialects that have it as OpenAI does: Anthropic's names a user). A name counts once: the
//          first of these says its value, so that no client books on another's account.
// Bounds   STORE_TAGS_MAX of STORE_TEXT_BYTES_MAX bytes each; what is too long or too many is left out.
// Owner    what is not in place is in the exchange's arena. Thread   the worker's. Never suspends.
#ifndef RINGWAY_GATEWAY_ACCOUNT_TAGS_H
#define RINGWAY_GATEWAY_ACCOUNT_TAGS_H

#include "gateway/exchange.h"
#include "store/record.h"

// Whether there may be any.
static inline bool account_has_tags(const struct exchange *x)
{
    return x->principal->tagged || http_has(&x->call->head, HTTP_N_X_RINGWAY_TAGS) ||
        (x->scan && x->scan->value[FIELD_METADATA].type == JSON_OBJECT);
}

void account_tags(struct exchange *x, struct store_texts *t);

#endif
