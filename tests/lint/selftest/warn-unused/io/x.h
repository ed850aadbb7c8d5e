// Breaks the rule that a declaration says RW_WARN_UNUSED.
#ifndef RINGWAY_IO_X_H
#define RINGWAY_IO_X_H

enum rw_err io_send(int fd);

#endif
