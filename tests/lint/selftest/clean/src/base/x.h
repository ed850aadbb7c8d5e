// A small module as all should be: adds with a bound. Pure; any thread.
#ifndef RINGWAY_BASE_X_H
#define RINGWAY_BASE_X_H

// The sum, at most most.
int span_x(int a, int b, int most);

#endif
