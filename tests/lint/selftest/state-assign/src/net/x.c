// Breaks the rule that a state changes in its transition function only.
void net_x(struct conn *c)
{
    c->state = 2;
}
