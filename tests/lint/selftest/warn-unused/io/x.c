// Breaks the rule that no error is dropped.
static enum rw_err send_all(int fd)
{
    return fd < 0 ? RW_E_BAD : RW_OK;
}

void io_x(int fd)
{
    send_all(fd);
}
