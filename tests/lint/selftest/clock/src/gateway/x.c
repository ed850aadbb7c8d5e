// Breaks the rule that only io/clock.c asks for the time.
long gateway_x(void)
{
    return time(0);
}
