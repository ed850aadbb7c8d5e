// What of a plan is written once, so that no request has to: the lines of an answer's head that are always the same, and the
// parts of a log line that name model and key, and what the list of models says of each.
//
// Use      the last step of making a plan, when its models, keys, providers and CORS values stand.
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

// models and keys: those of the plan, which holds them as const.
enum rw_err gateway_plan_ready(struct plan *p, struct plan_model *models, struct principal *keys,
                               const struct plan_room *room) RW_WARN_UNUSED;

#endif
