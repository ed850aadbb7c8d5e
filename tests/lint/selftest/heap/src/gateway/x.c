// Breaks the rule that requests take no memory from malloc.
void *gateway_x(void)
{
    return malloc(8);
}
