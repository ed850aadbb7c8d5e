// Breaks the rule that the printf family stays away from requests.
int http_x(char *to, int n)
{
    return snprintf(to, 8, "%d", n);
}
