// See x.h. Words that only look like breakers: a member called time, calls in a string, "todo" in lower case.
#include "base/x.h"

struct span_tools {
    int (*time)(int n);
};

static const char *const span_words = "malloc(8); strcpy(a, b); // later";

static int twice(int n)
{
    return 2 * n;
}

int span_x(int a, int b, int most)
{
    const struct span_tools tools = {.time = twice};
    const int sum = tools.time(a) / 2 + b + (span_words[0] == 'x');
    return sum < most ? sum : most;
}
