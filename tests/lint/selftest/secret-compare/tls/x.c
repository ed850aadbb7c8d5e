// Breaks the rule that secrets are compared in constant time.
int tls_x(const struct x *a, const char *mac)
{
    return memcmp(a->mac, mac, 32);
}
