// Sees a test.
#include "tests/lib/y.h"
