// Breaks the rule that a struct is called struct.
#ifndef RINGWAY_IO_X_H
#define RINGWAY_IO_X_H

typedef struct io_x io_x;

#endif
