// Follows a null pointer when n is negative.
int io_x(int n);

int io_x(int n)
{
    int *p = &n;
    if (n < 0) p = 0;
    return *p;
}
