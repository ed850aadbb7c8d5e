// Backup while everything runs, and restore while nothing does.
//
// Archive  one file or stream: a head, then each environment as LMDB copies it (a snapshot, without unused
//          pages) in chunks, the pepper if it is asked for, and the SHA-256 of all of it. Each environment is a
//          snapshot of its own; accounts is taken first.
// Pepper   without it nobody can try keys against a stolen archive, and the store can only be used again with
//          the pepper file kept elsewhere. With it the archive is as secret as the keys.
// Not in   journals: what is not committed yet; a commit is at most sync_interval away. Limit cells are rebuilt.
// Thread   any that may wait, with SIGPIPE ignored if fd may be a pipe. The copy holds a snapshot while it runs,
//          so the files may grow meanwhile.
#ifndef RINGWAY_STORE_BACKUP_H
#define RINGWAY_STORE_BACKUP_H

#include "store/secret.h"

// pepper: NULL to leave it out. Does not sync fd. Errors are of writing to fd or reading the store.
RW_WARN_UNUSED enum rw_err store_backup(struct store *s, const struct store_pepper *pepper, int fd);

struct store_restored {
    bool has_pepper;
    uint8_t pepper[STORE_PEPPER_BYTES]; // wipe it
};

// Makes data_dir (its parent must exist) from an archive. The archive is read and checked whole before anything
// is put in place. What is there already is kept if `replace`, as accounts.before-1 and so on; else -EEXIST.
// -EAGAIN: a process has the store open. RW_E_BAD: no archive, or a damaged one. RW_E_VERSION: of a later release.
// ret_why (STORE_WHY_BYTES) says it for people.
RW_WARN_UNUSED enum rw_err store_restore(const char *data_dir, int fd, bool replace,
                                         struct store_restored *ret, char *ret_why);

#endif
