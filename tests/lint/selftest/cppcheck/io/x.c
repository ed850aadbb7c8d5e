// Writes behind the end of an array.
int io_x(void);

int io_x(void)
{
    int a[4] = {0};
    a[4] = 1;
    return a[0];
}
