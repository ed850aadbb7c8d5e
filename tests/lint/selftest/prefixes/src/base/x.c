// Exports a name that says nothing of its folder.
int helper(void);

int helper(void)
{
    return 1;
}
