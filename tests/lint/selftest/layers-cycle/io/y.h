// Two.
#include "io/x.h"
