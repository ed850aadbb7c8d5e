// The two forms of one answer, made of each other: a whole answer out of the events of a stream, and the events out of a whole
// one. For answers that were kept in the other form than they are asked for.
//
// Lost     members that the neutral model does not know.
// Errors   RW_E_BAD: there is something in it that the other form cannot be given (log probabilities, citations, blocks of the
//          dialect's own), or it is no whole answer. RW_E_TOO_LARGE: memory.
// Thread   any. Never suspends.
#ifndef RINGWAY_PROVIDERS_CHAT_FOLD_H
#define RINGWAY_PROVIDERS_CHAT_FOLD_H

#include "providers/dialect.h"

// The stream's bytes, all of them. scratch: of single events.
enum rw_err chat_fold(struct chat_ctx *ctx, struct arena *scratch, const struct dialect *dialect,
                      struct span stream, struct chat_answer *ret) RW_WARN_UNUSED;
// Into w->out, to its end.
enum rw_err chat_unfold(struct chat_writer *w, const struct chat_answer *answer) RW_WARN_UNUSED;

#endif
