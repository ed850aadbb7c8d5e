// Breaks the rule that a header has a guard.
int io_x(void);
