// A backup as the answer of a call: GET /admin/v1/backup on the admin socket. It is sent while it is made, in chunks, so it may
// be of any size; without the pepper, which is only for who may read its file.
//
// Thread   admin_backup_send(): a fiber of control's loop. The copy is made by a thread of its own; reading it and the entry in
//          the audit wait on an offload thread. admin_backup_note(): any that may wait.
#ifndef RINGWAY_CONTROL_ADMIN_BACKUP_H
#define RINGWAY_CONTROL_ADMIN_BACKUP_H

#include "control/admin.h"
#include "io/offload.h"
#include "net/call.h"

#define ADMIN_BACKUP_PATH ADMIN_PREFIX "/backup"

// False: it could not begin, and c holds the refusal. Else the call is answered; an answer without its end is no backup.
bool admin_backup_send(struct call *call, struct io_offload *offload, struct admin_call *c);

// The entry in the audit. file: where it went, as far as that is known.
RW_WARN_UNUSED enum rw_err admin_backup_note(const struct admin *a, struct span actor, struct span file,
                                             bool with_pepper);

#endif
