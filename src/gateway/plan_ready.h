// What of a plan is written once, so that no request has to: the beginning of a chat's head, the lines of an answer's head that
// are always the same, the parts of a log line that name model and key, and what the list of models says of each.
//
// Use      gateway_provider_ready() for each provider that is asked over HTTP, when its other fields stand; gateway_plan_ready()
//          as the last step of making a plan, when its models, keys, providers and CORS values stand.
// Memory   from `take` (NULL: there is none); it lives as long as the plan.
// Errors   -ENOMEM.
// Thread   control's.
#ifndef RINGWAY_GATEWAY_PLAN_READY_H
#define RINGWAY_GATEWAY_PLAN_READY_H

#include "gateway/plan.h"

struct plan_room {
    void *(*take)(void *ctx, size_t n);
    void *ctx;
};

enum rw_err gateway_provider_ready(struct plan_provider *p, const struct plan_room *room) RW_WARN_UNUSED;
// models and keys: those of the plan, which holds them as const.
enum rw_err gateway_plan_ready(struct plan *p, struct plan_model *models, struct principal *keys,
                               const struct plan_room *room) RW_WARN_UNUSED;

#endif
