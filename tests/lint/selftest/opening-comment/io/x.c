int io_x;
