// Breaks the rule that git keeps old code, not comments.
int io_x(int n)
{
    // n = n + 1;
    return n;
}
