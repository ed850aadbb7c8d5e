// Breaks the ban on calls that know no length.
void io_x(char *to, const char *from)
{
    strcpy(to, from);
}
