// Files that processes share: locks and blocks. See store_priv.h.
#include <fcntl.h>
#include <unistd.h>

#include "store/store_priv.h"

enum rw_err store_file_lock(int fd, short type, bool wait)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0)
        if (errno != EINTR) return rw_errno();
    return RW_OK;
}

enum rw_err store_file_fill(int fd, int64_t bytes)
{
    int err;
    // On a tmpfs the kernel's own work for an io_uring of this thread interrupts it, like a signal.
    do err = posix_fallocate(fd, 0, bytes);
    while (err == EINTR);
    if (err != EOPNOTSUPP && err != EINVAL) return (enum rw_err) - err;
    return ftruncate(fd, bytes) == 0 ? RW_OK : rw_errno();
}
